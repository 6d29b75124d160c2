//! Which tables are sealed, and under which keys.

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
};

use arc_swap::ArcSwap;
use geodynamo_seal::{KeyId, RowKey};
use geodynamo_storage::{LogId, StorageError};

/// How one table is sealed.
#[derive(Clone, Debug)]
pub(crate) struct TableSeal {
    /// What its rows are written under.
    pub(crate) current: Current,
    /// Its global indexes, by their ids.
    pub(crate) indexes: Vec<u64>,
    /// This replica's change logs of it.
    pub(crate) logs: Vec<LogId>,
}

/// What a table's rows are written under.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Current {
    /// Nothing.
    Plain,
    /// A key.
    Under(KeyId),
    /// A key that is not there yet: none is written.
    Awaited,
}

/// All of it. It is read with every commit and changed seldom.
#[derive(Debug, Default)]
pub(crate) struct Seals {
    state: ArcSwap<State>,
    /// Held while the state is changed.
    changing: parking_lot::Mutex<()>,
}

#[derive(Clone, Debug, Default)]
struct State {
    tables: BTreeMap<u64, TableSeal>,
    /// The keys that can be used, of any table.
    keys: HashMap<KeyId, Arc<RowKey>>,
    /// What is written under a key: tables and global indexes, and change logs. Made of `tables`.
    owners: HashMap<u64, Option<KeyId>>,
    logs: HashMap<LogId, Option<KeyId>>,
}

impl Seals {
    /// Whether nothing is written sealed.
    pub(crate) fn is_empty(&self) -> bool {
        self.state.load().owners.is_empty()
    }

    /// The key that rows of an owner, a table or a global index, are written under.
    pub(crate) fn key_of(&self, owner: u64) -> Result<Option<Arc<RowKey>>, StorageError> {
        let state = self.state.load();
        state.owners.get(&owner).map(|id| state.usable(*id)).transpose()
    }

    /// The key that records of a change log are written under.
    pub(crate) fn key_of_log(&self, log: LogId) -> Result<Option<Arc<RowKey>>, StorageError> {
        let state = self.state.load();
        state.logs.get(&log).map(|id| state.usable(*id)).transpose()
    }

    /// A key that rows may be sealed under.
    pub(crate) fn with_id(&self, id: KeyId) -> Option<Arc<RowKey>> {
        self.state.load().keys.get(&id).cloned()
    }

    /// How a table is sealed from here on; `None` for one that is gone.
    pub(crate) fn set(&self, table: u64, seal: Option<TableSeal>) {
        let is_plain = |state: &State| !state.tables.contains_key(&table);
        let seal = seal.filter(|seal| seal.current != Current::Plain);
        if seal.is_none() && is_plain(&self.state.load()) {
            return;
        }
        self.change(|state| {
            match seal {
                Some(seal) => drop(state.tables.insert(table, seal)),
                None => drop(state.tables.remove(&table)),
            }
            state.owners.clear();
            state.logs.clear();
            for (table, seal) in &state.tables {
                let id = match seal.current {
                    Current::Plain => continue,
                    Current::Under(id) => Some(id),
                    Current::Awaited => None,
                };
                state.owners.insert(*table, id);
                state.owners.extend(seal.indexes.iter().map(|index| (*index, id)));
                state.logs.extend(seal.logs.iter().map(|log| (*log, id)));
            }
        });
    }

    /// A key can be used from here on.
    pub(crate) fn add(&self, key: RowKey) {
        self.change(|state| drop(state.keys.insert(key.id(), Arc::new(key))));
    }

    /// A key cannot be used any more.
    pub(crate) fn remove(&self, id: KeyId) {
        self.change(|state| drop(state.keys.remove(&id)));
    }

    fn change(&self, change: impl FnOnce(&mut State)) {
        let _changing = self.changing.lock();
        let mut state = State::clone(&self.state.load());
        change(&mut state);
        self.state.store(Arc::new(state));
    }
}

impl State {
    fn usable(&self, id: Option<KeyId>) -> Result<Arc<RowKey>, StorageError> {
        id.and_then(|id| self.keys.get(&id).cloned())
            .ok_or(StorageError::KeyAway)
    }
}
