//! Where the global indexes of this replica stand, durably.

use std::{collections::BTreeMap, sync::Arc};

use geodynamo_storage::{Commit, Engine, Write};

use crate::{
    IndexBuild, Result,
    local::Local,
    schema::IndexDefinition,
    table::index_state::{IndexState, IndexStates, global_id, state_key},
};

/// How far the global indexes of this replica are.
pub struct Indexes<E: Engine> {
    local: Arc<Local<E>>,
    /// By table and index.
    pub(crate) index_states: IndexStates,
}

impl<E: Engine> Indexes<E> {
    pub(crate) fn new(local: &Arc<Local<E>>, index_states: IndexStates) -> Self {
        Self {
            local: Arc::clone(local),
            index_states,
        }
    }

    /// The global indexes that this replica is filling.
    pub fn index_builds(&self) -> Vec<IndexBuild> {
        let mut builds = Vec::new();
        for table in self.local.all() {
            for index in table.indexes() {
                let state = global_id(index).and_then(|id| self.index_states.get((table.id(), id)));
                if let Some(state) = state.filter(|state| !state.built) {
                    builds.push(IndexBuild {
                        table: table.name().into(),
                        index: index.name.clone(),
                        looked_at: state.looked_at,
                        items: table.live.table.read().0,
                    });
                }
            }
        }
        builds
    }

    /// Gives every global index of a table that has none a state, before the first entry is written. The caller holds the
    /// catalog's lock.
    pub(crate) async fn discover_indexes(&self, table: u64, wanted: &BTreeMap<String, IndexDefinition>) -> Result<()> {
        for definition in wanted.values() {
            let Some(index) = global_id(definition) else { continue };
            if self.index_states.get((table, index)).is_none() {
                let state = IndexState::new(definition.clone(), false, false);
                if self.local.is_following() {
                    // Whoever writes the table stores it: until that comes here, nothing of the index is shown.
                    self.index_states.set((table, index), state);
                } else {
                    self.store_index_state((table, index), state).await?;
                }
            }
        }
        Ok(())
    }

    pub(crate) async fn store_index_state(&self, id: (u64, u64), state: IndexState) -> Result<()> {
        let commit = Commit {
            writes: vec![state.write(id)?],
            ..Commit::default()
        };
        self.local.store().commit(commit).await?;
        self.index_states.set(id, state);
        Ok(())
    }

    pub(crate) async fn forget_index_state(&self, (table, index): (u64, u64)) -> Result<()> {
        let commit = Commit {
            writes: vec![Write::Delete(state_key(table, index))],
            ..Commit::default()
        };
        self.local.store().commit(commit).await?;
        self.index_states.remove((table, index));
        Ok(())
    }

    /// The states of the indexes that a new table is made with: there is nothing to fill them from.
    pub(crate) async fn store_built_indexes(&self, table: u64, indexes: &[IndexDefinition]) -> Result<()> {
        for index in indexes {
            let Some(id) = global_id(index) else { continue };
            let state = IndexState::new(index.clone(), true, true);
            self.store_index_state((table, id), state).await?;
        }
        Ok(())
    }
}
