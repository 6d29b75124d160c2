//! Tables that are made from what an archive kept.

use std::{collections::BTreeMap, sync::Arc};

use bytes::Bytes;
use geodynamo_replicator_core::{MergeKind, Origin, Past};
use geodynamo_storage::{Engine, Write};
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};

use super::{PointInTime, Restore, Row};
use crate::{
    CreateTable, Description, Result, Sealing, StoredItem, Table, TableError,
    catalog::Catalog,
    layout::{index::ItemKey, keys, record::Record},
    local::Local,
    schema::{ReplicaEntry, ReplicaStatus},
    table::registers::{Setting, pack},
    write::{KeyChange, Staged, Writes},
};

/// What the system keys of restores begin with.
const PREFIX: &str = "restore/";

/// How far a restore has come: the last item that is there, and how many are.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct LoadMark {
    /// The last item's route.
    #[serde(rename = "r", default)]
    route: u64,
    /// The last item's key; none before the first one.
    #[serde(rename = "k", default, with = "serde_bytes")]
    key: Option<Vec<u8>>,
    /// How many items.
    #[serde(rename = "n", default)]
    pub items: u64,
}

impl LoadMark {
    /// The last item's route and key; none before the first one.
    pub fn last(&self) -> Option<(u64, Bytes)> {
        self.key.as_ref().map(|key| (self.route, Bytes::copy_from_slice(key)))
    }

    /// The mark behind more rows.
    pub fn behind(&self, rows: &[Row]) -> Self {
        rows.last().map_or_else(
            || self.clone(),
            |last| Self {
                route: last.route,
                key: Some(last.key.to_vec()),
                items: self.items + rows.len() as u64,
            },
        )
    }
}

/// A table that is being restored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Restoring {
    /// Its id.
    pub table: u64,
    /// Its name.
    pub name: String,
    /// What it is restored from.
    pub restore: Restore,
}

/// Tables that are filled from an archive or an import before they are ACTIVE.
pub struct Loads<E: Engine> {
    pub(super) local: Arc<Local<E>>,
    pub(super) writes: Arc<Writes<E>>,
    pub(super) sealing: Arc<Sealing<E>>,
    pub(super) catalog: Arc<Catalog<E>>,
    /// Loads, by their tables: whoever is at one holds its lock.
    pub(super) turns: Mutex<BTreeMap<u64, Arc<tokio::sync::Mutex<()>>>>,
}

impl<E: Engine> Loads<E> {
    pub(crate) fn new(
        local: &Arc<Local<E>>,
        writes: &Arc<Writes<E>>,
        sealing: &Arc<Sealing<E>>,
        catalog: &Arc<Catalog<E>>,
    ) -> Self {
        Self {
            local: Arc::clone(local),
            writes: Arc::clone(writes),
            sealing: Arc::clone(sealing),
            catalog: Arc::clone(catalog),
            turns: Mutex::default(),
        }
    }

    /// Makes a table that is CREATING until [`Loads::finish_restore`].
    ///
    /// It is under its source's master key only where there is a key service.
    pub async fn create_restored(&self, mut create: CreateTable, restore: &Restore) -> Result<Description> {
        if !self.sealing.has_master_keys() {
            create.master_key = None;
        }
        let restore = (Setting::Restore(self.local.region().into()), Some(pack(restore)?));
        self.catalog.create_with(create, vec![restore]).await
    }

    /// The tables that are being restored.
    pub fn restoring(&self) -> Vec<Restoring> {
        let mut all = Vec::new();
        for table in self.local.all() {
            let restore = table.registers.restores.get(self.local.region());
            if let Some(restore) = restore.filter(|restore| restore.in_progress) {
                all.push(Restoring {
                    table: table.id(),
                    name: table.name().into(),
                    restore: restore.clone(),
                });
            }
        }
        all
    }

    /// How far the restore of a table has come.
    pub async fn load_mark(&self, table: u64) -> Result<LoadMark> {
        let Some(bytes) = self.local.store().get(&mark_key(table)).await? else {
            return Ok(LoadMark::default());
        };
        rmp_serde::from_slice(&bytes)
            .map_err(|error| TableError::Corrupt(format!("a restore's mark cannot be read: {error}")))
    }

    /// Puts items into a table that is being restored, all at once, and says how far that is: where the engine has no door for
    /// more (`bulk`).
    pub(crate) async fn load_by_commit_of_rows(&self, table: u64, rows: &[Row], mark: &LoadMark) -> Result<()> {
        let table = self.loading(table)?;
        let inside = table.live.gate.enter_or_gone().await?;
        // Nobody else writes to it before it is ACTIVE.
        let section = self.local.section_of([inside], Vec::new()).await;
        let mut staged = Staged::default();
        let held = self.held_already(&table, rows).await?;
        for (row, held) in rows.iter().zip(held) {
            let at = ItemKey {
                route: row.route,
                bytes: row.key.clone(),
            };
            let seen = held.as_ref().map(|record| record.stamp);
            let stamp = self.local.orderer().stamp(self.local.store_arc(), seen).await?;
            let new = Record {
                stamp,
                past: held
                    .as_ref()
                    .map_or_else(Past::new, |record| Past::after(&record.past, record.stamp)),
                kind: MergeKind::ItemLww,
                item: Some(row.item.clone()),
            };
            // That it can be read is checked before it is stored.
            StoredItem::new(row.item.clone()).size()?;
            let change = KeyChange {
                at: &at,
                old: held.as_ref(),
                old_item: None,
                new: &new,
                new_item: None,
                origin: Origin::Local,
            };
            self.writes.stage(&table, &change, &mut staged)?;
        }
        staged.marks.push(Write::Put(mark_key(table.id()), pack(mark)?));
        self.writes.commit(section, staged).await
    }

    /// All items are there: the table is ACTIVE from here on.
    pub(crate) async fn activate_restore(&self, table: u64) -> Result<()> {
        let _changing = self.catalog.catalog_lock.lock().await;
        let table = self.loading(table)?;
        let done = table
            .registers
            .restores
            .get(self.local.region())
            .map(|restore| Restore {
                in_progress: false,
                ..restore.clone()
            });
        let done = done.map(|done| pack(&done)).transpose()?;
        self.catalog
            .set_locked(table.id(), vec![(Setting::Restore(self.local.region().into()), done)])
            .await
    }

    /// A restore cannot be finished: its table goes.
    pub async fn abandon_restore(&self, table: u64) -> Result<()> {
        self.take_away_unfilled(&*self.loading(table)?).await?;
        let _turn = self.turn(table).await;
        self.end_load(table, mark_key(table)).await?;
        self.turns.lock().remove(&table);
        Ok(())
    }

    /// A table that never came to have all of its items goes.
    pub(crate) async fn take_away_unfilled(&self, table: &Table) -> Result<()> {
        let _changing = self.catalog.catalog_lock.lock().await;
        let Some(entry) = table.registers.replicas.get(self.local.region()) else {
            return Ok(());
        };
        let leaving = ReplicaEntry {
            status: ReplicaStatus::Deleting,
            since_ms: self.local.now_ms(),
            ..entry.clone()
        };
        let change = (Setting::Replica(self.local.region().into()), Some(pack(&leaving)?));
        self.catalog.set_locked(table.id(), vec![change]).await
    }

    /// Switches point-in-time recovery of a table in this region on or off.
    pub async fn set_point_in_time(&self, name: &str, setting: PointInTime) -> Result<()> {
        let _changing = self.catalog.catalog_lock.lock().await;
        let table = self.local.table_named(name)?;
        let change = (Setting::PointInTime(self.local.region().into()), Some(pack(&setting)?));
        self.catalog.set_locked(table.id(), vec![change]).await
    }

    pub(crate) fn loading(&self, id: u64) -> Result<std::sync::Arc<Table>> {
        let table = self.local.directory().by_id.get(&id).cloned();
        let loading = |table: &std::sync::Arc<Table>| {
            let restore = table.registers.restores.get(self.local.region());
            restore.is_some_and(|restore| restore.in_progress)
        };
        table.filter(loading).ok_or_else(TableError::no_table)
    }

    /// What is held of the rows' keys: something only if a restore goes on behind a mark that was not the last.
    pub(crate) async fn held_already(&self, table: &Table, rows: &[Row]) -> Result<Vec<Option<Record>>> {
        if self.local.store().spans_groups() {
            return Ok(vec![None; rows.len()]);
        }
        let place = |row: &Row| keys::item(table.id(), row.route, &row.key);
        let places: Vec<_> = rows.iter().map(place).collect();
        let found = self.local.store().get_each(&places).await?.into_iter();
        found
            .map(|bytes| bytes.map(|bytes| Record::read(&bytes)).transpose())
            .collect()
    }
}

pub(crate) fn mark_key(table: u64) -> Bytes {
    keys::system(&format!("{PREFIX}{table:016x}"))
}
