//! Time to live: the setting, and bringing the expiry index in line with it.
//!
//! The setting is a register of the catalog, so it is the same in every region in the end. Each replica brings its own
//! expiry index in line with it: switched on, the entries of the items that are there are filled in, page by page, while
//! writes go on (they keep the index from the moment the setting is known); switched off, the index is dropped. How far
//! this has come is kept durably, so a restart goes on where it was.

pub(crate) mod sweep;

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use bytes::Bytes;
use geodynamo_replicator_core::Millis;
use geodynamo_storage::{Engine, Write};
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};

use crate::{
    Result, Table, TableError,
    catalog::Catalog,
    layout::{
        expiry,
        index::ItemKey,
        keys::{self, space},
        range,
        record::Record,
    },
    local::{Local, stats},
    schema::TimeToLive,
    table::{
        TableStatus,
        registers::{Setting, pack},
    },
    write::Writes,
};

/// The system key that an expiry index's state is kept under, before the table's id.
const STATE_KEY: &str = "ttl/";

/// How far a table's time to live has come in a region.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TimeToLiveStatus {
    /// The items that are there are being gone through.
    Enabling,
    /// Expired items are deleted.
    Enabled,
    /// The expiry index is being taken away.
    Disabling,
    /// Items do not expire.
    Disabled,
}

impl TimeToLiveStatus {
    /// DynamoDB's name.
    pub fn code(self) -> &'static str {
        match self {
            Self::Enabling => "ENABLING",
            Self::Enabled => "ENABLED",
            Self::Disabling => "DISABLING",
            Self::Disabled => "DISABLED",
        }
    }
}

/// How far a table's expiry index is.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct ExpiryState {
    /// The setting it is being brought in line with.
    #[serde(rename = "s")]
    setting: TimeToLive,
    /// The last item that was gone through: its engine key.
    #[serde(rename = "m", default, skip_serializing_if = "Option::is_none", with = "mark")]
    mark: Option<Bytes>,
    /// Whether all were.
    #[serde(rename = "d")]
    done: bool,
}

impl ExpiryState {
    /// The states that are stored among the system's keys.
    pub(crate) fn load(rows: &[(Bytes, Bytes)]) -> Result<BTreeMap<u64, Self>> {
        let mut states = BTreeMap::new();
        for (key, value) in rows {
            let name = keys::rest(key);
            let table = std::str::from_utf8(&name)
                .ok()
                .and_then(|name| name.strip_prefix(STATE_KEY))
                .and_then(|hex| u64::from_str_radix(hex, 16).ok());
            if let Some(table) = table {
                let state = rmp_serde::from_slice(value)
                    .map_err(|error| TableError::Corrupt(format!("an expiry index's state cannot be read: {error}")))?;
                states.insert(table, state);
            }
        }
        Ok(states)
    }
}

/// The system key of the state of a table's expiry index.
pub(crate) fn state_key(table: u64) -> Bytes {
    keys::system(&format!("{STATE_KEY}{table:016x}"))
}

/// Time to live: which items expire, and taking them away.
pub struct Expiry<E: Engine> {
    local: Arc<Local<E>>,
    writes: Arc<Writes<E>>,
    catalog: Arc<Catalog<E>>,
    /// How far the expiry indexes are, by table.
    pub(crate) expiry_states: Mutex<BTreeMap<u64, ExpiryState>>,
}

impl<E: Engine> Expiry<E> {
    pub(crate) fn new(
        local: &Arc<Local<E>>,
        writes: &Arc<Writes<E>>,
        catalog: &Arc<Catalog<E>>,
        expiry_states: BTreeMap<u64, ExpiryState>,
    ) -> Self {
        Self {
            local: Arc::clone(local),
            writes: Arc::clone(writes),
            catalog: Arc::clone(catalog),
            expiry_states: Mutex::new(expiry_states),
        }
    }

    /// Switches a table's time to live on or off.
    ///
    /// # Errors
    /// `ValidationException` if it is as asked for already, is on for another attribute, or was changed less than
    /// [`change_interval_ms`](crate::TtlOptions::change_interval_ms) ago.
    pub async fn update_time_to_live(&self, name: &str, enabled: bool, attribute: &str) -> Result<()> {
        let _changing = self.catalog.catalog_lock.lock().await;
        let table = self.local.table_named(name)?;
        if !matches!(table.status(), TableStatus::Active | TableStatus::Updating) {
            return Err(TableError::ResourceInUse(format!(
                "Attempt to change a resource which is still in use: Table: {name} is in status: {}",
                table.status().code()
            )));
        }
        let now = self.local.orderer().time.now_ms();
        let current = table.registers.time_to_live.as_ref();
        check_change(
            current,
            enabled,
            attribute,
            now,
            self.local.options().ttl.change_interval_ms,
        )?;
        let setting = TimeToLive {
            enabled,
            attribute: attribute.to_owned(),
            changed_ms: now,
        };
        self.catalog
            .set_locked(table.id(), vec![(Setting::TimeToLive, Some(pack(&setting)?))])
            .await
    }

    /// How far a table's time to live has come in this region, and the attribute, unless it is off.
    pub fn time_to_live(&self, name: &str) -> Result<(TimeToLiveStatus, Option<String>)> {
        let table = self.local.table_named(name)?;
        let Some(setting) = &table.registers.time_to_live else {
            return Ok((TimeToLiveStatus::Disabled, None));
        };
        let states = self.expiry_states.lock();
        let done = states
            .get(&table.id())
            .is_some_and(|state| state.done && state.setting == *setting);
        let status = match (setting.enabled, done) {
            (true, true) => TimeToLiveStatus::Enabled,
            (true, false) => TimeToLiveStatus::Enabling,
            (false, true) => return Ok((TimeToLiveStatus::Disabled, None)),
            (false, false) => TimeToLiveStatus::Disabling,
        };
        Ok((status, Some(setting.attribute.clone())))
    }

    /// Brings a table's expiry index in line with its setting.
    pub(crate) async fn align_expiry_index(&self, table: &Table) -> Result<()> {
        let Some(setting) = &table.registers.time_to_live else {
            return Ok(());
        };
        let state = self.expiry_states.lock().get(&table.id()).cloned();
        let mut state = match state {
            Some(state) if state.setting == *setting => state,
            _ => {
                // Writes that have begun may not have seen the setting: they end first. Later ones see it.
                table.live.gate.let_all_out().await;
                // What another setting left behind.
                self.local.drop_range(space::EXPIRY, table.id()).await?;
                let state = ExpiryState {
                    setting: setting.clone(),
                    mark: None,
                    done: !setting.enabled,
                };
                self.set_expiry_state(table, Vec::new(), &state).await?;
                state
            }
        };
        while !state.done {
            self.fill_page(table, &mut state).await?;
            // Another setting, or none: that is for the next time.
            let current = self.local.directory().registers.get(&table.id()).cloned();
            if current.and_then(|registers| registers.time_to_live).as_ref() != Some(setting) {
                return Ok(());
            }
            tokio::task::yield_now().await;
        }
        Ok(())
    }

    /// How often expired items are looked for.
    pub(crate) fn sweep_every(&self) -> Duration {
        Duration::from_millis(self.local.options().ttl.sweep_ms.max(1))
    }

    /// Puts the entries of the next items. It needs no latches: a write that overtakes it keeps the index itself, and
    /// what is put here besides is stale, nothing worse.
    async fn fill_page(&self, table: &Table, state: &mut ExpiryState) -> Result<()> {
        let _inside = table.live.gate.enter_or_gone().await?;
        let (start, end) = keys::owner_range(space::ITEM, table.id(), 0, u64::MAX);
        let from = state.mark.as_ref().map_or(start, |mark| keys::just_after(mark));
        let page = self
            .local
            .store()
            .scan(range::whole(from, end, stats::ROWS, stats::BYTES))
            .await?;
        let mut writes = Vec::new();
        for (key, value) in &page.rows {
            let at = ItemKey {
                route: keys::route_of(key),
                bytes: keys::rest(key),
            };
            let attribute = &state.setting.attribute;
            let entry = expiry::entry(table.id(), &at, &Record::read(value)?, attribute, self.local.sweeper())?;
            writes.extend(entry.map(|key| Write::Put(key, Bytes::new())));
        }
        state.done = !page.more;
        state.mark = page.rows.last().map(|(key, _)| key.clone()).filter(|_| page.more);
        self.set_expiry_state(table, writes, state).await
    }

    /// Commits entries, then how far that brings the index.
    async fn set_expiry_state(&self, table: &Table, mut writes: Vec<Write>, state: &ExpiryState) -> Result<()> {
        writes.push(Write::Put(state_key(table.id()), pack(state)?));
        for commit in self.local.splits(writes) {
            self.local.store().commit(commit).await?;
        }
        self.expiry_states.lock().insert(table.id(), state.clone());
        Ok(())
    }
}

/// Whether a setting may be changed now. The texts are DynamoDB's.
fn check_change(
    current: Option<&TimeToLive>,
    enabled: bool,
    attribute: &str,
    now: Millis,
    interval: Millis,
) -> Result<()> {
    let refuse = |message: String| Err(TableError::Validation(message));
    match (current.filter(|ttl| ttl.enabled), enabled) {
        (None, false) => return refuse("TimeToLive is already disabled".into()),
        (Some(ttl), _) if ttl.attribute != attribute => {
            return refuse(format!(
                "TimeToLive is active on a different AttributeName: current AttributeName is {}",
                ttl.attribute
            ));
        }
        (Some(_), true) => return refuse("TimeToLive is already enabled".into()),
        _ => {}
    }
    match current {
        Some(ttl) if now < ttl.changed_ms.saturating_add(interval) => {
            refuse("Time to live has been modified multiple times within a fixed interval".into())
        }
        _ => Ok(()),
    }
}

/// An engine key as bytes, not as a list of numbers.
mod mark {
    use bytes::Bytes;
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    pub(super) fn serialize<S: Serializer>(mark: &Option<Bytes>, to: S) -> Result<S::Ok, S::Error> {
        mark.as_deref().map(serde_bytes::Bytes::new).serialize(to)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Option<Bytes>, D::Error> {
        let mark = Option::<serde_bytes::ByteBuf>::deserialize(from)?;
        Ok(mark.map(|mark| mark.into_vec().into()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_setting_may_change_once_an_interval_and_only_to_something_else() {
        let now = 1_763_890_000_000;
        let ttl = |enabled, changed_ms| TimeToLive {
            enabled,
            attribute: "a".into(),
            changed_ms,
        };
        let check = |current: Option<TimeToLive>, enabled: bool, attribute: &str, expected: Option<&str>| {
            let result = check_change(current.as_ref(), enabled, attribute, now, 1000);
            let message = result.err().map(|error| error.to_string());
            assert_eq!(message.as_deref(), expected, "{current:?} {enabled} {attribute}");
        };
        let (on, off) = ("TimeToLive is already enabled", "TimeToLive is already disabled");
        let other = "TimeToLive is active on a different AttributeName: current AttributeName is a";
        let soon = "Time to live has been modified multiple times within a fixed interval";
        check(None, true, "a", None);
        check(None, false, "a", Some(off));
        for changed in [now - 999, now - 1000, now + 5000] {
            check(Some(ttl(true, changed)), true, "a", Some(on));
            check(Some(ttl(true, changed)), true, "b", Some(other));
            check(Some(ttl(true, changed)), false, "b", Some(other));
            check(Some(ttl(false, changed)), false, "b", Some(off));
            let too_soon = (changed + 1000 > now).then_some(soon);
            check(Some(ttl(true, changed)), false, "a", too_soon);
            check(Some(ttl(false, changed)), true, "b", too_soon);
        }
    }

    #[test]
    fn states_come_back() {
        for mark in [None, Some(Bytes::from_static(b"\x00\xff"))] {
            let state = ExpiryState {
                setting: TimeToLive {
                    enabled: true,
                    attribute: "a".into(),
                    changed_ms: 5,
                },
                done: mark.is_none(),
                mark,
            };
            let rows = [
                (state_key(7), pack(&state).unwrap()),
                (keys::system("replica"), Bytes::from_static(b"12345678")),
            ];
            assert_eq!(ExpiryState::load(&rows).unwrap(), BTreeMap::from([(7, state)]));
        }
        assert!(ExpiryState::load(&[(state_key(7), Bytes::from_static(b"\xc1"))]).is_err());
    }
}
