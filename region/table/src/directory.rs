//! The tables of a region, by name and by id, as the catalog's registers make them.

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
};

use geodynamo_replicator_core::ReplicaId;
use geodynamo_storage::Engine;

use crate::{
    Result, Table, Tables,
    keys::{self, space},
    registers::{CATALOG, Registers, Setting},
    replicas::{self, Claim},
    schema::ReplicaStatus,
    table::{Live, TableStatus},
    tables::load_range,
};

/// The tables of this region, by name and by id, and all registers.
#[derive(Debug, Default)]
pub(crate) struct Directory {
    pub(crate) by_name: BTreeMap<String, Arc<Table>>,
    pub(crate) by_id: HashMap<u64, Arc<Table>>,
    pub(crate) registers: BTreeMap<u64, Registers>,
}

impl Directory {
    /// Every table of a name that anything is known of, in whatever region it is.
    pub(crate) fn of_name<'a>(&'a self, name: &str) -> impl Iterator<Item = (u64, &'a Registers)> {
        self.registers.iter().filter_map(move |(id, registers)| {
            let named = registers
                .definition
                .as_ref()
                .is_some_and(|definition| definition.name == name);
            named.then_some((*id, registers))
        })
    }

    /// The table that has a name in a region.
    pub(crate) fn holder(&self, name: &str, region: &str, replica: ReplicaId) -> Option<(u64, Claim)> {
        let tables = self.of_name(name);
        let there = tables.filter_map(|(id, registers)| Some((id, registers.replicas.get(region)?)));
        replicas::holder(there, replica.0)
    }

    /// Gives a name to the table that has it now.
    fn settle_name(&mut self, name: &str, region: &str, replica: ReplicaId) {
        let holder = self.holder(name, region, replica);
        match holder.and_then(|(id, _)| self.by_id.get(&id)).cloned() {
            Some(table) => drop(self.by_name.insert(name.into(), table)),
            None => drop(self.by_name.remove(name)),
        }
    }
}

impl<E: Engine> Tables<E> {
    /// Makes a table anew from its registers, as they are stored now.
    pub(crate) async fn refresh(&self, table: u64) -> Result<()> {
        let _changing = self.catalog_lock.lock().await;
        self.refresh_locked(table).await
    }

    /// Like [`Tables::refresh`], for a caller that holds the catalog's lock.
    pub(crate) async fn refresh_locked(&self, id: u64) -> Result<()> {
        let registers = self.load_registers_of(id).await?;
        let before = self.directory.load_full();
        let mut directory = Directory {
            by_name: before.by_name.clone(),
            by_id: before.by_id.clone(),
            registers: before.registers.clone(),
        };
        let old = directory.by_id.remove(&id);
        self.tell_failures(before.registers.get(&id), &registers);
        if registers == Registers::default() {
            directory.registers.remove(&id);
        } else {
            directory.registers.insert(id, registers.clone());
        }
        let name = registers.definition.as_ref().map(|definition| definition.name.clone());
        let holder = name
            .as_ref()
            .and_then(|name| directory.holder(name, self.region(), self.replica()));
        // What the incarnation before held, and this one has not answered for, is here only if nothing else has the name.
        let held = match holder {
            Some((holder, Claim::Inherited)) => holder == id,
            _ => registers.is_held(self.region(), self.replica().0),
        };
        if held {
            self.discover_indexes(id, &registers.global_indexes).await?;
        }
        let phases = self.index_states().phases(id, &registers.global_indexes);
        let status = replicas::table_status(&registers, self.region(), self.replica().0);
        if let Some(status) = status.filter(|_| held) {
            let settled = phases.is_settled();
            let status = match status {
                TableStatus::Active | TableStatus::Updating if registers.is_being_filled(self.region()) => {
                    TableStatus::Creating
                }
                TableStatus::Active if !settled => TableStatus::Updating,
                status => status,
            };
            let new = || Arc::new(Live::counted(self.usages().of(name.as_deref().unwrap_or_default())));
            let live = old.as_ref().map_or_else(new, |old| Arc::clone(&old.live));
            if let Some(mut table) = Table::new(id, registers, status, phases, live) {
                table.throttle = Some(self.throttle_of(&table));
                table.insights = self.table_insights(&table);
                let there = self.follow_encryption(id, Some(&table));
                table.live.key.set(there, self.now_ms());
                if !there && matches!(table.status, TableStatus::Active | TableStatus::Updating) {
                    table.status = TableStatus::Inaccessible;
                }
                let archived = self.point_in_time(&table).is_some_and(|setting| setting.enabled);
                table.live.keep_images(archived);
                let table = Arc::new(table);
                self.load_ends(&table).await?;
                self.follow_stream_setting(id, Some(&table), Some(&table.live)).await?;
                directory.by_id.insert(id, table);
            }
        }
        if !directory.by_id.contains_key(&id) {
            self.follow_encryption(id, None);
            self.follow_stream_setting(id, None, old.as_ref().map(|old| &*old.live))
                .await?;
            // Others have given it up, or the copy failed: what is here of it is to be taken away.
            if let Some(old) = &old
                && !old.live.gate.read().await.0
            {
                self.given_up.lock().push(Arc::clone(old));
            }
        }
        for name in name.as_deref().into_iter().chain(old.as_ref().map(|old| old.name())) {
            directory.settle_name(name, self.region(), self.replica());
        }
        self.directory.store(Arc::new(directory));
        self.catalog_changed.send_modify(|version| *version += 1);
        Ok(())
    }

    /// Tells the log of replicas that other regions could not make.
    fn tell_failures(&self, before: Option<&Registers>, after: &Registers) {
        for (region, entry) in &after.replicas {
            let known = before.and_then(|before| before.replicas.get(region));
            let Some(failure) = entry.failure.filter(|_| entry.status == ReplicaStatus::Failed) else {
                continue;
            };
            let holds = after.is_held(self.region(), self.replica().0);
            if holds && region != self.region() && known.is_none_or(|known| known.status != ReplicaStatus::Failed) {
                let name = after.definition.as_ref().map_or("", |definition| &definition.name);
                tracing::warn!(
                    region = self.region(),
                    table = name,
                    replica = region,
                    reason = failure.text(name),
                    "a replica could not be made"
                );
            }
        }
    }

    /// Whether this replica has had a copy of another region's catalog, or will never need one.
    pub(crate) fn knows_catalog(&self) -> bool {
        let alone = self.options().regions.iter().all(|region| region == self.region());
        alone || self.copies.lock().contains_key(&CATALOG)
    }

    /// How many replicas could not be made, of tables that anything is known of here, in whatever region.
    pub fn failed_replicas(&self) -> usize {
        self.directory.load().registers.values().map(replicas::failed).sum()
    }

    pub(crate) async fn load_registers(&self) -> Result<BTreeMap<u64, Registers>> {
        let (from, to) = keys::owner_range(space::ITEM, CATALOG, 0, u64::MAX);
        self.read_registers(from, to).await
    }

    async fn load_registers_of(&self, table: u64) -> Result<Registers> {
        let route = crate::registers::register_route(table);
        let (from, to) = keys::owner_range(space::ITEM, CATALOG, route, route);
        Ok(self.read_registers(from, to).await?.remove(&table).unwrap_or_default())
    }

    async fn read_registers(&self, from: bytes::Bytes, to: bytes::Bytes) -> Result<BTreeMap<u64, Registers>> {
        let mut all: BTreeMap<u64, Registers> = BTreeMap::new();
        for (key, value) in load_range(self.store(), from, to).await? {
            let Some(value) = crate::record::item_of(&value)? else {
                continue;
            };
            if let Some((table, setting)) = Setting::parse(&keys::rest(&key)) {
                all.entry(table).or_default().read(setting, &value)?;
            }
        }
        let seen =
            |(table, registers): (u64, Registers)| (table, registers.seen_from((self.region(), self.replica().0)));
        Ok(all.into_iter().map(seen).collect())
    }
}

#[cfg(test)]
mod tests;
