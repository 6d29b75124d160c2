//! System tables: what the service itself keeps in every region of the topology, by the machinery that items have.
//!
//! A system table has a fixed id and no registers of its own; every region holds it, and no request for data sees it. Its
//! rows are keys and values of whoever owns it, not items; versions, merging, links and copies are those of items: the last
//! writer wins, row by row. The rows of a table are one group, so that one change of several rows is one commit on any engine.
//!
//! The catalog is the first of them (see `registers.rs`). Its rows are read here in this crate; those of the others
//! through [`crate::SystemRows::system_rows`] and its like.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use bytes::Bytes;
use parking_lot::Mutex;
use tokio::sync::watch;

use crate::{
    Result, Table, TableError,
    layout::index::ItemKey,
    schema::{Definition, KeyAttribute, KeySchema, KeyType},
    table::{
        Live, TableStatus,
        index_state::IndexPhases,
        registers::{CATALOG, Registers, register_route},
    },
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

    pub(crate) const fn id(self) -> u64 {
        self as u64
    }

    pub(crate) fn from_id(id: u64) -> Option<Self> {
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
    pub(crate) changed: BTreeMap<u64, Changed>,
}

/// The rows of a table that were merged from other regions and not looked at since.
#[derive(Debug, Default)]
pub(crate) struct Changed {
    pub(crate) keys: Mutex<BTreeSet<Bytes>>,
    pub(crate) version: watch::Sender<u64>,
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

/// Where a key that another replica sent stands.
pub(crate) fn key_at(table: &Table, key: &Bytes) -> Result<ItemKey> {
    if is_system(table.id()) {
        return row_key(table.id(), key);
    }
    ItemKey::from_bytes(key.clone())
}
