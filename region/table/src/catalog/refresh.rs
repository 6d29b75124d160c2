//! What this replica makes of the catalog's registers: the tables that are here.

use std::{collections::BTreeMap, sync::Arc};

use geodynamo_storage::Engine;

use crate::{
    Result, Table, TableStatus,
    catalog::Catalog,
    layout::keys::{self, space},
    local::{directory::Directory, load_range},
    schema::ReplicaStatus,
    table::{
        Live,
        registers::{CATALOG, Registers, Setting},
        replicas::{self, Claim},
    },
};

impl<E: Engine> Catalog<E> {
    /// Makes every table from its registers, as a process starts; `judged` says that members are judged by who admitted them.
    pub(crate) async fn load(&self, judged: bool) -> Result<()> {
        for table in self.local.system().all() {
            self.local.load_ends(table).await?;
        }
        let registers = self.load_registers().await?;
        self.sealing.take_in(registers.values()).await;
        for table in registers.keys() {
            self.refresh(*table).await?;
        }
        self.inherit_members(judged).await?;
        self.streams.settle_streams().await?;
        for table in self.local.all() {
            if let Some(counts) = self.local.stored_counts.lock().get(&table.id()) {
                counts.show(&table);
            }
        }
        Ok(())
    }

    /// Makes every table as the node that writes them has it.
    pub(crate) async fn load_as_written(&self) -> Result<()> {
        let registers = self.load_registers().await?;
        self.sealing.take_in(registers.values()).await;
        for table in registers.keys() {
            self.refresh(*table).await?;
        }
        Ok(())
    }

    /// Makes a table anew that another node has changed.
    pub(crate) async fn follow(&self, table: u64) -> Result<()> {
        let registers = self.load_registers_of(table).await?;
        self.sealing.take_in(std::iter::once(&registers)).await;
        self.refresh(table).await
    }

    /// Makes a table anew from its registers, as they are stored now.
    pub(crate) async fn refresh(&self, table: u64) -> Result<()> {
        let _changing = self.catalog_lock.lock().await;
        self.refresh_locked(table).await
    }

    /// Like [`Catalog::refresh`], for a caller that holds the catalog's lock.
    pub(crate) async fn refresh_locked(&self, id: u64) -> Result<()> {
        let registers = self.load_registers_of(id).await?;
        let before = self.local.directory.load_full();
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
            .and_then(|name| directory.holder(name, self.local.region(), self.local.replica()));
        // What the incarnation before held, and this one has not answered for, is here only if nothing else has the name.
        let held = match holder {
            Some((holder, Claim::Inherited)) => holder == id,
            _ => registers.is_held(self.local.region(), self.local.replica().0),
        };
        if held {
            self.indexes.discover_indexes(id, &registers.global_indexes).await?;
        }
        let phases = self.indexes.index_states.phases(id, &registers.global_indexes);
        let status = replicas::table_status(&registers, self.local.region(), self.local.replica().0);
        if let Some(status) = status.filter(|_| held) {
            let settled = phases.is_settled();
            let status = match status {
                TableStatus::Active | TableStatus::Updating if registers.is_being_filled(self.local.region()) => {
                    TableStatus::Creating
                }
                TableStatus::Active if !settled => TableStatus::Updating,
                status => status,
            };
            let new = || {
                Arc::new(Live::counted(
                    self.local.usages().of(name.as_deref().unwrap_or_default()),
                ))
            };
            let live = old.as_ref().map_or_else(new, |old| Arc::clone(&old.live));
            if let Some(mut table) = Table::new(id, registers, status, phases, live) {
                table.throttle = Some(self.local.throttle_of(&table));
                table.insights = self.local.table_insights(&table);
                let there = self.sealing.follow_encryption(id, Some(&table));
                table.live.key.set(there, self.local.now_ms());
                if !there && matches!(table.status, TableStatus::Active | TableStatus::Updating) {
                    table.status = TableStatus::Inaccessible;
                }
                let archived = self.local.point_in_time(&table).is_some_and(|setting| setting.enabled);
                table.live.keep_images(archived);
                let table = Arc::new(table);
                self.local.load_ends(&table).await?;
                self.follow_streams(id, Some(&table), Some(&table.live)).await?;
                directory.by_id.insert(id, table);
            }
        }
        if !directory.by_id.contains_key(&id) {
            self.sealing.follow_encryption(id, None);
            self.follow_streams(id, None, old.as_ref().map(|old| &*old.live))
                .await?;
            // Others have given it up, or the copy failed: what is here of it is to be taken away.
            if let Some(old) = &old
                && !self.local.is_following()
                && !old.live.gate.is_gone().await
            {
                self.given_up.lock().push(Arc::clone(old));
            }
        }
        for name in name.as_deref().into_iter().chain(old.as_ref().map(|old| old.name())) {
            directory.settle_name(name, self.local.region(), self.local.replica());
        }
        self.local.directory.store(Arc::new(directory));
        self.local.catalog_changed.send_modify(|version| *version += 1);
        Ok(())
    }

    /// Streams begin and end where they are written.
    async fn follow_streams(&self, id: u64, table: Option<&Table>, live: Option<&Live>) -> Result<()> {
        if self.local.is_following() {
            return Ok(());
        }
        self.streams.follow_stream_setting(id, table, live).await
    }

    /// Tells the log of replicas that other regions could not make.
    fn tell_failures(&self, before: Option<&Registers>, after: &Registers) {
        for (region, entry) in &after.replicas {
            let known = before.and_then(|before| before.replicas.get(region));
            let Some(failure) = entry.failure.filter(|_| entry.status == ReplicaStatus::Failed) else {
                continue;
            };
            let holds = after.is_held(self.local.region(), self.local.replica().0);
            if holds && region != self.local.region() && known.is_none_or(|known| known.status != ReplicaStatus::Failed)
            {
                let name = after.definition.as_ref().map_or("", |definition| &definition.name);
                tracing::warn!(
                    region = self.local.region(),
                    table = name,
                    replica = region,
                    reason = failure.text(name),
                    "a replica could not be made"
                );
            }
        }
    }

    pub(crate) async fn load_registers(&self) -> Result<BTreeMap<u64, Registers>> {
        let (from, to) = keys::owner_range(space::ITEM, CATALOG, 0, u64::MAX);
        self.read_registers(from, to).await
    }

    async fn load_registers_of(&self, table: u64) -> Result<Registers> {
        let route = crate::table::registers::register_route(table);
        let (from, to) = keys::owner_range(space::ITEM, CATALOG, route, route);
        Ok(self.read_registers(from, to).await?.remove(&table).unwrap_or_default())
    }

    async fn read_registers(&self, from: bytes::Bytes, to: bytes::Bytes) -> Result<BTreeMap<u64, Registers>> {
        let mut all: BTreeMap<u64, Registers> = BTreeMap::new();
        for (key, value) in load_range(self.local.store(), from, to).await? {
            let Some(value) = crate::layout::record::item_of(&value)? else {
                continue;
            };
            if let Some((table, setting)) = Setting::parse(&keys::rest(&key)) {
                all.entry(table).or_default().read(setting, &value)?;
            }
        }
        let seen = |(table, registers): (u64, Registers)| {
            (
                table,
                registers.seen_from((self.local.region(), self.local.replica().0)),
            )
        };
        Ok(all.into_iter().map(seen).collect())
    }
}

#[cfg(test)]
mod tests;
