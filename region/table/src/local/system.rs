//! System tables: what the service itself keeps in every region of the topology, by the machinery that items have.
//!
//! A system table has a fixed id and no registers of its own; every region holds it, and no request for data sees it. Its
//! rows are keys and values of whoever owns it, not items; versions, merging, links and copies are those of items: the last
//! writer wins, row by row. The rows of a table are one group, so that one change of several rows is one commit on any engine.
//!
//! The catalog is the first of them (see `registers.rs`). Its rows are read here in this crate; those of the others
//! through [`Tables::system_rows`] and its like.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use bytes::Bytes;
use geodynamo_replicator_core::{MergeKind, Origin, Past};
use geodynamo_storage::Engine;
use parking_lot::Mutex;
use tokio::sync::watch;

use crate::{
    Result, Table, TableError, Tables,
    layout::{
        index::ItemKey,
        keys::{self, space},
        record::{Record, item_of},
    },
    local::order::latch_of,
    schema::{Definition, KeyAttribute, KeySchema, KeyType},
    table::{
        Live, TableStatus,
        index_state::IndexPhases,
        registers::{CATALOG, Registers, register_route},
    },
    tables::load_range,
    write::{KeyChange, Staged},
};

/// Ids below this are system tables', in this release and later ones: no table that is made gets one.
pub(crate) const SYSTEM_IDS: u64 = 16;

/// A system table that a part of the service above this crate owns.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum SystemTable {
    /// Principals and policies.
    Access = 1,
    /// How provisioned capacity is scaled.
    Scaling = 2,
}

impl SystemTable {
    /// All of them.
    pub const ALL: [Self; 2] = [Self::Access, Self::Scaling];

    const fn id(self) -> u64 {
        self as u64
    }

    fn from_id(id: u64) -> Option<Self> {
        Self::ALL.into_iter().find(|table| table.id() == id)
    }
}

/// Whether a table is the service's own.
pub(crate) const fn is_system(id: u64) -> bool {
    id < SYSTEM_IDS
}

/// The system tables of a region.
#[derive(Debug)]
pub(crate) struct SystemTables {
    /// The catalog first.
    tables: BTreeMap<u64, Arc<Table>>,
    changed: BTreeMap<u64, Changed>,
}

/// The rows of a table that were merged from other regions and not looked at since.
#[derive(Debug, Default)]
struct Changed {
    keys: Mutex<BTreeSet<Bytes>>,
    version: watch::Sender<u64>,
}

impl SystemTables {
    pub(crate) fn new() -> Result<Self> {
        let ids = [CATALOG].into_iter().chain(SystemTable::ALL.map(SystemTable::id));
        let tables = ids.map(|id| Ok((id, Arc::new(table(id)?))));
        Ok(Self {
            tables: tables.collect::<Result<_>>()?,
            changed: SystemTable::ALL.map(|table| (table.id(), Changed::default())).into(),
        })
    }

    pub(crate) fn get(&self, id: u64) -> Option<&Arc<Table>> {
        self.tables.get(&id)
    }

    pub(crate) fn all(&self) -> impl Iterator<Item = &Arc<Table>> {
        self.tables.values()
    }

    /// Rows were merged.
    pub(crate) fn merged(&self, id: u64, rows: Vec<Bytes>) {
        let Some(changed) = self.changed.get(&id).filter(|_| !rows.is_empty()) else {
            return;
        };
        changed.keys.lock().extend(rows);
        changed.version.send_modify(|version| *version += 1);
    }
}

/// Where a row of a system table stands.
pub(crate) fn row_key(table: u64, key: &Bytes) -> Result<ItemKey> {
    if table == CATALOG {
        // A register of a newer release is kept too: its table's id is all that its place needs.
        let id = key
            .get(..16)
            .and_then(|hex| std::str::from_utf8(hex).ok())
            .and_then(|hex| u64::from_str_radix(hex, 16).ok());
        let id = id.ok_or_else(|| TableError::Corrupt("a register's key cannot be read".into()))?;
        return Ok(ItemKey {
            route: register_route(id),
            bytes: key.clone(),
        });
    }
    Ok(ItemKey {
        route: register_route(table),
        bytes: key.clone(),
    })
}

/// A system table; it has no registers of its own.
fn table(id: u64) -> Result<Table> {
    let partition = KeyAttribute {
        name: "register".into(),
        kind: KeyType::S,
    };
    let definition = Definition {
        name: String::new(),
        created_ms: 0,
        keys: KeySchema::new(partition, None),
        local_indexes: Vec::new(),
        partitions: 1,
        uuid: 0,
    };
    let registers = Registers {
        definition: Some(definition),
        ..Registers::default()
    };
    let (status, phases, live) = (TableStatus::Active, IndexPhases::default(), Arc::<Live>::default());
    Table::new(id, registers, status, phases, live)
        .ok_or_else(|| TableError::Corrupt("a system table cannot be made".into()))
}

impl<E: Engine> Tables<E> {
    /// All rows of a system table: keys, in their order, and values.
    pub async fn system_rows(&self, table: SystemTable) -> Result<Vec<(Bytes, Bytes)>> {
        let (from, to) = keys::owner_range(space::ITEM, table.id(), 0, u64::MAX);
        let mut rows = Vec::new();
        for (key, record) in load_range(self.store(), from, to).await? {
            if let Some(value) = item_of(&record)? {
                rows.push((keys::rest(&key), value));
            }
        }
        Ok(rows)
    }

    /// Some rows of a system table as they are now: their values, `None` for those that are not there.
    pub async fn system_get(&self, table: SystemTable, rows: &[Bytes]) -> Result<Vec<Option<Bytes>>> {
        let place = |row: &Bytes| row_key(table.id(), row).map(|at| keys::item(table.id(), at.route, &at.bytes));
        let places = rows.iter().map(place).collect::<Result<Vec<_>>>()?;
        let found = self.store().get_each(&places).await?;
        let value = |record: Option<Bytes>| record.map_or(Ok(None), |record| item_of(&record));
        found.into_iter().map(value).collect()
    }

    /// Changes rows of a system table, all or none of them: `None` takes a row away. Once this returns the change is
    /// durable, and on its way to the other regions.
    ///
    /// Its future must run to its end; see the crate's documentation.
    pub async fn system_commit(&self, table: SystemTable, changes: Vec<(Bytes, Option<Bytes>)>) -> Result<()> {
        let place = |(row, value): (Bytes, _)| Ok((row_key(table.id(), &row)?, value));
        let changes = changes.into_iter().map(place).collect::<Result<Vec<_>>>()?;
        self.commit_system_rows(table.id(), changes).await
    }

    /// Changes whenever rows of a system table were merged from another region; see [`Tables::system_merged`].
    pub fn system_changes(&self, table: SystemTable) -> watch::Receiver<u64> {
        match self.system().changed.get(&table.id()) {
            Some(changed) => changed.version.subscribe(),
            // Each has one.
            None => watch::channel(0).1,
        }
    }

    /// The rows that were merged from other regions since this was last asked. One part of the service alone may ask.
    pub fn system_merged(&self, table: SystemTable) -> Vec<Bytes> {
        let changed = self.system().changed.get(&table.id());
        let taken = changed.map(|changed| std::mem::take(&mut *changed.keys.lock()));
        taken.into_iter().flatten().collect()
    }

    /// Sets rows of one system table in one commit.
    pub(crate) async fn commit_system_rows(&self, id: u64, changes: Vec<(ItemKey, Option<Bytes>)>) -> Result<()> {
        let Some(table) = self.system().get(id).cloned() else {
            return Err(TableError::Corrupt(format!("there is no system table {id}")));
        };
        let latches = changes.iter().map(|(at, _)| latch_of(id, &at.bytes)).collect();
        let turn = self.orderer().order_all(latches).await;
        let mut staged = Staged::default();
        for (at, value) in &changes {
            let current = self.store().get(&keys::item(id, at.route, &at.bytes)).await?;
            let current = current.map(|bytes| Record::read(&bytes)).transpose()?;
            let seen = current.as_ref().map(|record| record.stamp);
            let stamp = self.orderer().stamp(self.store_arc(), seen).await?;
            let past = current
                .as_ref()
                .map_or_else(Past::new, |record| Past::after(&record.past, record.stamp));
            let new = Record {
                stamp,
                past,
                kind: MergeKind::ItemLww,
                item: value.clone(),
            };
            let change = KeyChange {
                at,
                old: current.as_ref(),
                old_item: None,
                new: &new,
                new_item: None,
                origin: Origin::Local,
            };
            self.stage(&table, &change, &mut staged)?;
        }
        // Settings are small, and the deletion of a table is among them.
        staged.commit.makes_room = true;
        self.commit(staged).await?;
        drop(turn);
        Ok(())
    }

    /// After rows of a system table were merged: whoever owns the table is told.
    pub(crate) fn system_rows_merged(&self, id: u64, rows: Vec<Bytes>) {
        if SystemTable::from_id(id).is_some() {
            self.system().merged(id, rows);
        }
    }
}
