//! Who belongs to a global table: regions that leave it with all they have, and those that must not be deleted yet.
//!
//! A region leaves in two steps. It is asked to ([`Setting::Leave`]), and the table is UPDATING from then on. Once the other
//! regions have applied every write of this region, with no write under way, it goes: one commit copies every shared setting to
//! registers of its own ([`Setting::Apart`]), and from that commit on it sees itself alone, and the others see nothing of it (see
//! [`Registers::seen_from`]). The table keeps its id, so its items, indexes, streams and backups stay where they are.

use std::{sync::atomic::Ordering, time::Duration};

use geodynamo_replicator_core::{Millis, Position};
use geodynamo_storage::Engine;
use tokio::time::{Instant, sleep};
use xxhash_rust::xxh3::xxh3_64;

use crate::{
    Result, Table, TableError, UpdateTable,
    catalog::Catalog,
    schema::{ReplicaEntry, ReplicaStatus},
    table::registers::{Change, Setting, pack},
};

/// How long writes may be held up for the last of them to be applied elsewhere. If they are not by then, they go on, and it is
/// tried again.
const HELD_UP_MAX: Duration = Duration::from_secs(1);
/// How often it is looked whether they are.
const LOOK_EVERY: Duration = Duration::from_millis(5);

impl<E: Engine> Catalog<E> {
    /// Sets for how long the source of a copy cannot be deleted, in milliseconds. DynamoDB's are 24 hours; here a source is not
    /// needed any more once its copy is whole, so at first it is not at all.
    pub fn hold_sources(&self, ms: Millis) {
        self.source_held_ms.store(ms, Ordering::Relaxed);
    }

    /// What an update asks about the group itself.
    pub(crate) fn group_changes(&self, table: &Table, update: &UpdateTable, now: Millis) -> Result<Vec<Change>> {
        let region = self.local.region().to_owned();
        let registers = &table.registers;
        let is_global = table.other_replicas(&region).next().is_some();
        let mut changes = Vec::new();
        if let Some(protected) = update.disassociation_protection {
            if !is_global {
                return Err(TableError::invalid(
                    "DisassociationProtectionEnabled can only be specified for a global table replica",
                ));
            }
            changes.push((
                Setting::DisassociationProtection(region.clone()),
                Some(pack(&protected)?),
            ));
        }
        if let Some(mode) = update.settings_mode {
            if is_global {
                return Err(TableError::invalid(
                    "GlobalTableSettingsReplicationMode can only be changed for a regional table",
                ));
            }
            changes.push((Setting::SettingsMode, Some(pack(&mode)?)));
        }
        for leaver in &update.replica_deletes {
            self.check_source(table, leaver)?;
        }
        if update.disassociate {
            if !is_global {
                return Err(TableError::no_replica(&region));
            }
            if registers
                .disassociation_protection
                .get(&region)
                .copied()
                .unwrap_or(true)
            {
                return Err(TableError::Validation(
                    "Replica cannot be disassociated as it is currently protected against disassociation. Disable \
                     disassociation protection first."
                        .into(),
                ));
            }
            changes.push((Setting::Leave(region), Some(pack(&now)?)));
        }
        Ok(changes)
    }

    /// Whether a region's replica of a table may be deleted.
    pub(crate) fn check_source(&self, table: &Table, region: &str) -> Result<()> {
        let (now, held_ms) = (self.local.now_ms(), self.source_held_ms.load(Ordering::Relaxed));
        let seeded = |entry: &ReplicaEntry| {
            entry.source.as_deref() == Some(region)
                && matches!(entry.status, ReplicaStatus::Active | ReplicaStatus::Creating)
                && now < entry.since_ms.saturating_add(held_ms)
        };
        if held_ms > 0 && table.registers.replicas.values().any(seeded) {
            return Err(TableError::Validation(
                "Replica cannot be deleted because it has acted as a source region for new replica(s) being added to the \
                 table in the last 24 hours."
                    .into(),
            ));
        }
        Ok(())
    }

    /// Whether this region has left the group of a table by now: a table that is held may be older than that.
    pub(crate) fn has_left(&self, table: u64) -> bool {
        self.local
            .directory()
            .registers
            .get(&table)
            .is_some_and(|registers| registers.is_apart)
    }

    /// Leaves the group, once the others have everything that was written here.
    pub(crate) async fn leave_group(&self, id: u64) -> Result<()> {
        let Some(table) = self.local.directory().by_id.get(&id).cloned() else {
            return Ok(());
        };
        if !self.others_have_all(&table) {
            return Ok(());
        }
        let _changing = self.catalog_lock.lock().await;
        // Nothing is written, here or by other regions, until it is done.
        let Some(closed) = table.live.gate.close().await else {
            return Ok(());
        };
        let until = Instant::now() + HELD_UP_MAX;
        while !self.others_have_all(&table) {
            if Instant::now() >= until {
                tracing::info!(
                    table = table.name(),
                    "a region that leaves a group waits for the others"
                );
                return Ok(());
            }
            sleep(LOOK_EVERY).await;
        }
        let leaves = self.local.directory().registers.get(&id).is_some_and(|registers| {
            let region = self.local.region();
            registers.replicas.contains_key(region) && registers.leaving.contains_key(region)
        });
        if leaves {
            self.go_apart_locked(id).await?;
            drop(closed);
        }
        Ok(())
    }

    /// Goes on alone at once, whatever the others lack: they are out of reach, or have taken this region out of the group.
    pub(crate) async fn go_alone(&self, id: u64) -> Result<()> {
        let Some(table) = self.local.directory().by_id.get(&id).cloned() else {
            return Ok(());
        };
        let _changing = self.catalog_lock.lock().await;
        let closed = table.live.gate.close().await;
        if closed.is_none() || self.has_left(id) {
            return Ok(());
        }
        tracing::error!(
            region = self.local.region(),
            table = table.name(),
            "this region's replica was out of the others' reach for too long: it goes on alone, with what it has"
        );
        self.go_apart_locked(id).await
    }

    /// Makes a replica a table of its own. The caller holds the catalog's lock and the table's gate.
    async fn go_apart_locked(&self, id: u64) -> Result<()> {
        let region = self.local.region().to_owned();
        let registers = self.local.directory().registers.get(&id).cloned().unwrap_or_default();
        let Some(own) = registers.replicas.get(&region) else {
            return Ok(());
        };
        let stamp = self.local.orderer().stamp(self.local.store_arc(), None).await?;
        let mut changes = registers.taken_along(&region)?;
        // Another join: what the others may still ask of the one before is about nothing.
        let alone = ReplicaEntry {
            join: xxh3_64(&stamp.to_bytes()),
            source: None,
            since_ms: self.local.now_ms(),
            ..own.clone()
        };
        changes.push((Setting::Replica(region.clone()), Some(pack(&alone)?)));
        for setting in [
            Setting::Leave(region.clone()),
            Setting::Request(region.clone()),
            Setting::DisassociationProtection(region.clone()),
        ] {
            changes.push((setting, None));
        }
        // Read capacity of its own becomes the table's.
        let own = own_reads(&registers, &region)?;
        changes.retain(|(setting, _)| !own.iter().any(|(known, _)| known == setting));
        changes.extend(own);
        self.set_locked(id, changes).await?;
        self.local.counters().gone_alone.fetch_add(1, Ordering::Relaxed);
        tracing::info!(
            region,
            table = id,
            "this region has left a global table with what it has"
        );
        Ok(())
    }

    /// Whether every other replica has applied everything that was written here.
    fn others_have_all(&self, table: &Table) -> bool {
        self.local.logs_of(table).iter().all(|info| {
            let told = self.local.ends.told(info.log).unwrap_or(Position::START);
            self.logs.applied_everywhere(table, info.log) >= told
        })
    }
}

/// A region's own read capacity, as settings of the table that it takes along.
fn own_reads(registers: &crate::table::registers::Registers, region: &str) -> Result<Vec<Change>> {
    use crate::schema::{Billing, Throughput};
    let Some(own) = registers.overrides.get(region) else {
        return Ok(Vec::new());
    };
    let mut changes = vec![(Setting::Overrides(region.to_owned()), None)];
    let mut set = |setting: Setting, value| {
        changes.push((Setting::Apart(region.to_owned(), Box::new(setting)), Some(value)));
    };
    if let (Some(read), Some(Billing::Provisioned(units))) = (own.table.provisioned, registers.billing) {
        set(
            Setting::Billing,
            pack(&Billing::Provisioned(Throughput { read, ..units }))?,
        );
    }
    if let Some(read) = own.table.on_demand {
        let limits = registers.on_demand.unwrap_or_default();
        let limits = crate::table::throughput::OnDemandLimits {
            read: Some(read),
            ..limits
        };
        set(Setting::OnDemand, pack(&limits)?);
    }
    for (name, read) in &own.indexes {
        let Some(id) = registers
            .global_indexes
            .get(name)
            .and_then(crate::table::index_state::global_id)
        else {
            continue;
        };
        let mut capacity = registers.index_capacity.get(&id).cloned().unwrap_or_default();
        let units = capacity
            .provisioned
            .or(registers.global_indexes.get(name).and_then(|index| index.throughput));
        if let (Some(read), Some(units)) = (read.provisioned, units) {
            capacity.provisioned = Some(Throughput { read, ..units });
        }
        if let Some(read) = read.on_demand {
            let limits = capacity.on_demand.unwrap_or_default();
            capacity.on_demand = Some(crate::table::throughput::OnDemandLimits {
                read: Some(read),
                ..limits
            });
        }
        set(Setting::IndexCapacity(id), pack(&capacity)?);
    }
    Ok(changes)
}
