//! What follows when a replica is lost: its region has a fresh data directory, or is removed and does not answer.
//!
//! Some of the survivors may hold writes of the lost replica that others never got, and nobody will send them: a link
//! carries its own side's writes only. So the survivors relay them: a register orders each of them to fetch from each
//! other one, over the copies' way, all that it holds of the table. What is there already is merged without effect.

use geodynamo_replicator_core::{CopyOrder, Millis, Stamp, TableId};
use geodynamo_storage::Engine;
use xxhash_rust::xxh3::xxh3_64;

use crate::{
    Result, Table, TableError, TableStatus, Tables, UpdateTable,
    catalog::Change,
    copy::CopyState,
    registers::{Registers, Setting, pack},
    schema::ReplicaStatus,
};

/// How long a replica that is being removed may take to say that it is gone, in milliseconds: well above the time that it
/// waits for the others to have its writes. After that it is given up.
pub const GIVEN_UP_MS: Millis = 120_000;

/// The registers that order every member to fetch from every survivor. `stamp` makes the orders new ones.
pub(crate) fn relays(members: &[&String], survivors: &[&String], stamp: Stamp) -> Result<Vec<Change>> {
    let mut changes = Vec::new();
    for (number, (member, source)) in members
        .iter()
        .flat_map(|member| survivors.iter().map(move |source| (*member, *source)))
        .filter(|(member, source)| member != source)
        .enumerate()
    {
        let mut seed = stamp.to_bytes().to_vec();
        seed.extend_from_slice(&(number as u64).to_be_bytes());
        let setting = Setting::Relay(member.clone(), source.clone());
        changes.push((setting, Some(pack(&xxh3_64(&seed))?)));
    }
    Ok(changes)
}

impl Registers {
    /// The relay that a member should fetch next, of those whose source can give it: its number and its source. One that
    /// has begun goes first.
    pub(crate) fn relay_due(&self, member: &str, begun: Option<&CopyState>) -> Option<(u64, &String)> {
        let is_active = |region: &str| {
            let entry = self.replicas.get(region);
            entry.is_some_and(|entry| entry.status == ReplicaStatus::Active)
        };
        if !is_active(member) {
            return None;
        }
        let due = || {
            let own = self.relays.iter().filter(|((of, _), _)| of == member);
            own.filter(|((_, source), _)| is_active(source))
                .map(|((_, source), number)| (*number, source))
        };
        let goes_on = due().find(|(number, _)| begun.is_some_and(|state| state.is_of(*number)));
        goes_on.or_else(|| due().next())
    }

    fn active(&self) -> Vec<&String> {
        let active = self.replicas.iter();
        let active = active.filter(|(_, entry)| entry.status == ReplicaStatus::Active);
        active.map(|(region, _)| region).collect()
    }

    /// The replicas that a member is to give up: being removed, and silent for so long that it is the member's turn.
    pub(crate) fn lost(&self, member: &str, now: Millis) -> Vec<&String> {
        let Some(turn) = self.active().iter().position(|region| *region == member) else {
            return Vec::new();
        };
        let patience = GIVEN_UP_MS.saturating_mul(turn as Millis + 1);
        let is_lost =
            |status, since_ms: Millis| status == ReplicaStatus::Deleting && now >= since_ms.saturating_add(patience);
        let lost = self.replicas.iter();
        let lost = lost.filter(|(_, entry)| is_lost(entry.status, entry.since_ms));
        lost.map(|(region, _)| region).collect()
    }

    /// The registers once a member has given up what is lost; `stamp` makes the relays new ones.
    pub(crate) fn given_up(&self, member: &str, now: Millis, stamp: Stamp) -> Result<Vec<Change>> {
        let lost = self.lost(member, now).into_iter();
        let gone = lost.flat_map(|region| self.settings_of(region));
        let mut changes: Vec<Change> = gone.map(|setting| (setting, None)).collect();
        if !changes.is_empty() {
            changes.extend(relays(&self.active(), &self.active(), stamp)?);
        }
        Ok(changes)
    }

    /// Whether a member that serves was ordered to fetch a relay of this number from a source.
    pub(crate) fn relays_to(&self, member: &str, source: &str, number: u64) -> bool {
        let is_active = self
            .replicas
            .get(member)
            .is_some_and(|entry| entry.status == ReplicaStatus::Active);
        is_active && self.relays.get(&(member.to_owned(), source.to_owned())) == Some(&number)
    }
}

impl<E: Engine> Tables<E> {
    /// The relay of a table that this replica should be fetching now.
    pub(crate) fn relay_order(&self, table: &Table, state: Option<&CopyState>) -> Option<CopyOrder> {
        let (join, source) = table.registers.relay_due(self.region(), state)?;
        Some(CopyOrder {
            table: TableId(table.id()),
            join,
            source: source.clone(),
            after: state.filter(|state| state.is_of(join)).and_then(CopyState::mark),
        })
    }

    /// Gives up replicas that are being removed and have been silent for too long. The members do it by turns, in the
    /// order of their names, so that usually one does; if two do, the others fetch more than they need. The caller holds
    /// the catalog's lock.
    pub(crate) async fn give_up_lost(&self, id: u64, registers: &Registers) -> Result<()> {
        let lost = registers.lost(self.region(), self.orderer().time.now_ms());
        if lost.is_empty() {
            return Ok(());
        }
        for region in lost {
            tracing::warn!(
                region,
                table = id,
                "a replica that was removed does not answer: it is given up"
            );
        }
        let stamp = self.orderer().stamp(self.store_arc(), None).await?;
        self.set_locked(
            id,
            registers.given_up(self.region(), self.orderer().time.now_ms(), stamp)?,
        )
        .await
    }

    /// Takes a region that is lost for good out of every table that is served here; gives their names. Each of its replicas
    /// is removed, and given up once it has been silent for long enough.
    ///
    /// # Errors
    /// If it is this region, or a table cannot be changed now. Those before it are.
    pub async fn forget_region(&self, region: &str) -> Result<Vec<String>> {
        if region == self.region() {
            return Err(TableError::Validation(format!("{region} is this very region")));
        }
        let mut names = Vec::new();
        for table in self.all() {
            let entry = table.registers.replicas.get(region);
            let is_here = matches!(table.status(), TableStatus::Active | TableStatus::Updating);
            if !is_here || entry.is_none_or(|entry| entry.status == ReplicaStatus::Deleting) {
                continue;
            }
            let removal = UpdateTable {
                replica_deletes: vec![region.to_owned()],
                ..UpdateTable::default()
            };
            self.update_table(table.name(), removal).await?;
            names.push(table.name().to_owned());
        }
        Ok(names)
    }

    /// Whether this region is to give up a replica of a table.
    pub(crate) fn finds_lost(&self, registers: &Registers) -> bool {
        !registers.lost(self.region(), self.orderer().time.now_ms()).is_empty()
    }

    /// Takes away what is left here of replicas that others have given up.
    pub(crate) async fn drop_given_up(&self) -> Result<()> {
        loop {
            let Some(table) = self.given_up.lock().pop() else {
                return Ok(());
            };
            let dropped = self.drop_data(&table).await;
            if dropped.is_err() {
                self.given_up.lock().push(table);
                return dropped;
            }
        }
    }
}
