//! How far this replica's copy of each global index has come.
//!
//! An index's register travels to all replicas; each fills its own copy from its own items. The state stands in the
//! system space from before the copy's first entry until after its last is gone: an index that has no register any more
//! but still has a state has entries to be taken away.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use geodynamo_storage::Write;
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};

use crate::{
    Result, TableError,
    layout::keys,
    schema::{IndexDefinition, IndexKind, IndexStatus},
};

/// What the system keys of index states begin with.
const PREFIX: &str = "index/";

/// The state of one index's copy.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct IndexState {
    /// The index, also once its register is gone.
    #[serde(rename = "d")]
    pub(crate) definition: IndexDefinition,
    /// Whether the copy is whole.
    #[serde(rename = "b")]
    pub(crate) built: bool,
    /// Whether it was made with its table: DescribeTable shows no `Backfilling` then.
    #[serde(rename = "t")]
    pub(crate) with_table: bool,
    /// The engine key of the last item that the back-fill looked at.
    #[serde(rename = "m", default, with = "serde_bytes")]
    pub(crate) mark: Option<Vec<u8>>,
    /// How many items the back-fill has looked at.
    #[serde(rename = "n", default)]
    pub(crate) looked_at: u64,
    /// Whether every write under way maintains it. Not stored: after a restart no write is under way.
    #[serde(skip)]
    pub(crate) maintained: bool,
}

/// A global index's copy that is being filled, for whoever watches.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IndexBuild {
    /// The table.
    pub table: String,
    /// The index.
    pub index: String,
    /// How many items have been looked at.
    pub looked_at: u64,
    /// How many items the table has.
    pub items: u64,
}

/// All states, by table and index.
#[derive(Debug, Default)]
pub(crate) struct IndexStates(Mutex<BTreeMap<(u64, u64), IndexState>>);

/// What a table shows of its global indexes' copies.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct IndexPhases {
    /// By index id: how far it is, and whether it was made with its table.
    phases: BTreeMap<u64, (IndexStatus, bool)>,
    /// Indexes whose entries are being taken away.
    pub(crate) leaving: Vec<IndexDefinition>,
}

impl IndexState {
    /// The state of a copy with nothing in it; `built` if there is nothing to fill it from.
    pub(crate) fn new(definition: IndexDefinition, built: bool, with_table: bool) -> Self {
        Self {
            definition,
            built,
            with_table,
            mark: None,
            looked_at: 0,
            maintained: built,
        }
    }

    /// The write that stores it.
    pub(crate) fn write(&self, (table, index): (u64, u64)) -> Result<Write> {
        let value = rmp_serde::to_vec_named(self)
            .map_err(|error| TableError::Corrupt(format!("an index's state cannot be written: {error}")))?;
        Ok(Write::Put(state_key(table, index), value.into()))
    }

    fn status(&self) -> IndexStatus {
        match (self.built, self.maintained) {
            (true, _) => IndexStatus::Active,
            (false, true) => IndexStatus::Backfilling,
            (false, false) => IndexStatus::Creating,
        }
    }
}

impl IndexStates {
    /// From the rows of the system space.
    pub(crate) fn load(rows: &[(Bytes, Bytes)]) -> Result<Self> {
        let mut states = BTreeMap::new();
        for (key, value) in rows {
            let Some(id) = read_key(&keys::rest(key)) else {
                continue;
            };
            states.insert(id, read_state(value)?);
        }
        Ok(Self(Mutex::new(states)))
    }

    pub(crate) fn get(&self, id: (u64, u64)) -> Option<IndexState> {
        self.0.lock().get(&id).cloned()
    }

    pub(crate) fn set(&self, id: (u64, u64), state: IndexState) {
        self.0.lock().insert(id, state);
    }

    /// Takes in rows of the system space as another node has written them, `None` for those that it took away; which tables
    /// they are of.
    pub(crate) fn follow(&self, rows: impl Iterator<Item = (Bytes, Option<Bytes>)>) -> Result<BTreeSet<u64>> {
        let mut tables = BTreeSet::new();
        for (key, value) in rows {
            let Some(id) = read_key(&keys::rest(&key)) else {
                continue;
            };
            let mut states = self.0.lock();
            match value {
                Some(value) => states.insert(id, read_state(&value)?),
                None => states.remove(&id),
            };
            tables.insert(id.0);
        }
        Ok(tables)
    }

    pub(crate) fn remove(&self, id: (u64, u64)) {
        self.0.lock().remove(&id);
    }

    pub(crate) fn all(&self) -> Vec<(u64, u64)> {
        self.0.lock().keys().copied().collect()
    }

    /// What a table shows; `wanted` are the indexes that have a register.
    pub(crate) fn phases(&self, table: u64, wanted: &BTreeMap<String, IndexDefinition>) -> IndexPhases {
        let states = self.0.lock();
        let mut shown = IndexPhases::default();
        for ((_, index), state) in states.range((table, 0)..=(table, u64::MAX)) {
            if wanted.values().any(|definition| global_id(definition) == Some(*index)) {
                shown.phases.insert(*index, (state.status(), state.with_table));
            } else {
                shown.leaving.push(state.definition.clone());
            }
        }
        shown
    }
}

impl IndexPhases {
    /// How far an index's copy is; a local index is always ACTIVE.
    pub(crate) fn status(&self, index: &IndexDefinition) -> IndexStatus {
        let phase = global_id(index).and_then(|id| self.phases.get(&id));
        phase.map_or(IndexStatus::Active, |(status, _)| *status)
    }

    /// Whether an index was made with its table.
    pub(crate) fn with_table(&self, index: &IndexDefinition) -> bool {
        let phase = global_id(index).and_then(|id| self.phases.get(&id));
        phase.is_none_or(|(_, with_table)| *with_table)
    }

    /// Whether every copy is whole and nothing is being taken away.
    pub(crate) fn is_settled(&self) -> bool {
        let active = |(status, _): &(IndexStatus, bool)| *status == IndexStatus::Active;
        self.leaving.is_empty() && self.phases.values().all(active)
    }
}

/// A global index's id.
pub(crate) fn global_id(index: &IndexDefinition) -> Option<u64> {
    match index.kind {
        IndexKind::Global(id) => Some(id),
        IndexKind::Local(_) => None,
    }
}

pub(crate) fn state_key(table: u64, index: u64) -> Bytes {
    keys::system(&format!("{PREFIX}{table:016x}/{index:016x}"))
}

/// Whether a key of the engine is an index's state.
pub(crate) fn is_state_key(key: &[u8]) -> bool {
    key.first() == Some(&keys::space::SYSTEM) && keys::rest_of(key).starts_with(PREFIX.as_bytes())
}

fn read_state(value: &[u8]) -> Result<IndexState> {
    rmp_serde::from_slice(value)
        .map_err(|error| TableError::Corrupt(format!("an index's state cannot be read: {error}")))
}

fn read_key(name: &[u8]) -> Option<(u64, u64)> {
    let (table, index) = std::str::from_utf8(name).ok()?.strip_prefix(PREFIX)?.split_once('/')?;
    let number = |hex: &str| u64::from_str_radix(hex, 16).ok();
    Some((number(table)?, number(index)?))
}
