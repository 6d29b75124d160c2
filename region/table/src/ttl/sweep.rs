//! The sweep: expired items become tombstones.
//!
//! An expiry is a delete whose stamp is the expired version's own with the expiry bit (law 11): the same in every region,
//! whoever finds it first, so two regions that expire one version have made one version, and any write that did not see
//! the expiry has a greater stamp and wins.

use std::sync::atomic::Ordering;

use bytes::Bytes;
use geodynamo_replicator_core::{Origin, Past};
use geodynamo_storage::{Engine, Scan, Write};

use crate::{
    Result, StoredItem, Table,
    layout::{
        expiry::{self, AGE_MS_MAX},
        index::ItemKey,
        keys::{self, space},
        range,
        record::Record,
    },
    local::order::latch_of,
    table::TableStatus,
    ttl::Expiry,
    write::{KeyChange, Staged},
};

/// The most items that expire in one commit: while it is made durable, writes of these items wait.
const ROWS_PER_COMMIT: usize = 32;
/// The most bytes of entries read at a time.
const BYTES_PER_COMMIT: usize = 1024 * 1024;
/// The most commits for one table in one round, so that no table holds up the others.
const COMMITS_PER_ROUND: usize = 64;

/// What a round of the sweep did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Swept {
    /// How many items expired.
    pub expired: u64,
    /// Whether a table had more to expire than a round takes.
    pub more: bool,
}

impl<E: Engine> Expiry<E> {
    /// Deletes the items that have expired, up to a limit for each table; brings expiry indexes in line with their
    /// tables' settings first. Deleting them consumes no capacity.
    pub async fn sweep_expired(&self) -> Result<Swept> {
        let mut swept = Swept::default();
        let mut failed = None;
        for table in self.local.all() {
            if matches!(table.status(), TableStatus::Active | TableStatus::Updating) {
                // A table that fails does not keep the others from being swept.
                failed = self.sweep_table(&table, &mut swept).await.err().or(failed);
            }
        }
        failed.map_or(Ok(swept), Err)
    }

    async fn sweep_table(&self, table: &Table, swept: &mut Swept) -> Result<()> {
        self.align_expiry_index(table).await?;
        let Some(attribute) = table.live.expires_by.load_full() else {
            return Ok(());
        };
        // What expires at this very millisecond has not expired yet.
        let Some(last) = self.local.orderer().time.now_ms().checked_sub(1) else {
            return Ok(());
        };
        let (mut from, to) = keys::owner_range(space::EXPIRY, table.id(), 0, last);
        for _ in 0..COMMITS_PER_ROUND {
            // The beginning is read again in every round.
            let scan = Scan {
                once: false,
                ..range::whole(from, to.clone(), ROWS_PER_COMMIT, BYTES_PER_COMMIT)
            };
            let page = self.local.store().scan(scan).await?;
            let Some((key, _)) = page.rows.last() else {
                return Ok(());
            };
            from = keys::just_after(key);
            let entries = page.rows.into_iter().map(|(key, _)| key).collect();
            let expired = self.expire(table, &attribute, entries).await?;
            swept.expired += expired;
            self.local.counters().expired.fetch_add(expired, Ordering::Relaxed);
            table.live.usage.expired(expired);
            if !page.more {
                return Ok(());
            }
            tokio::task::yield_now().await;
        }
        swept.more = true;
        Ok(())
    }

    /// Expires the items that these entries are of, if the entries are still theirs; gives how many.
    async fn expire(&self, table: &Table, attribute: &str, entries: Vec<Bytes>) -> Result<u64> {
        let Some(inside) = table.live.gate.enter().await else {
            return Ok(0);
        };
        let ats = entries
            .iter()
            .map(|entry| ItemKey::from_bytes(keys::rest(entry)))
            .collect::<Result<Vec<_>>>()?;
        let latches = ats.iter().map(|at| latch_of(table.id(), &at.bytes)).collect();
        let section = self.local.section_of([inside], latches).await;
        let places: Vec<_> = ats
            .iter()
            .map(|at| keys::item(table.id(), at.route, &at.bytes))
            .collect();
        let records = self.local.store().get_many(&places).await?;
        let now = self.local.orderer().time.now_ms();
        let mut staged = Staged::default();
        let mut stale = Vec::new();
        let mut expired = 0;
        for ((entry, at), record) in entries.into_iter().zip(&ats).zip(records) {
            let record = record.map(|bytes| Record::read(&bytes)).transpose()?;
            let Some(record) = self.still_due(table, attribute, &entry, at, record, now)? else {
                stale.push(Write::Delete(entry));
                continue;
            };
            self.stage_expiry(table, at, &record, &mut staged)?;
            expired += 1;
        }
        staged.commit.makes_room = true;
        staged.marks = stale;
        self.writes.commit(section, staged).await?;
        Ok(expired)
    }

    /// The record, if the entry is its and it did not expire too long ago.
    fn still_due(
        &self,
        table: &Table,
        attribute: &str,
        entry: &Bytes,
        at: &ItemKey,
        record: Option<Record>,
        now: u64,
    ) -> Result<Option<Record>> {
        let Some(record) = record else { return Ok(None) };
        let current = expiry::entry(table.id(), at, &record, attribute, self.local.sweeper())?;
        let expires = expiry::expires_ms(&record, attribute)?;
        let recent = expires.is_some_and(|expires| expires.saturating_add(AGE_MS_MAX) >= now);
        Ok((current.as_ref() == Some(entry) && recent).then_some(record))
    }

    fn stage_expiry(&self, table: &Table, at: &ItemKey, old: &Record, staged: &mut Staged) -> Result<()> {
        let old_item = match &old.item {
            Some(item) if !table.indexes().is_empty() => Some(StoredItem::new(item.clone()).decode()?),
            _ => None,
        };
        let tombstone = Record {
            stamp: old.stamp.expired(),
            past: Past::after(&old.past, old.stamp),
            kind: old.kind,
            item: None,
        };
        let change = KeyChange {
            at,
            old: Some(old),
            old_item: old_item.as_ref(),
            new: &tombstone,
            new_item: None,
            origin: Origin::Local,
        };
        self.writes.stage(table, &change, staged)
    }
}
