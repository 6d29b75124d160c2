//! Filling this replica's copies of new global indexes, and emptying those of indexes that are gone.
//!
//! A concurrent write is neither lost nor doubled: from the moment an index is published every new write maintains it;
//! once the writes that were under way before have ended, the back-fill goes through the items, a page at a time, with
//! the turn on all keys of the page while it reads them again and puts their entries. So an item's entry is always put
//! from its current version, and whoever changes it later finds the entry to take away. How far it is is stored with each
//! page.

use std::{ops::Bound, sync::Arc};

use bytes::Bytes;
use geodynamo_storage::{Commit, Direction, Engine, Scan, Write};

use crate::{
    Indexes, Result, StoredItem, Table,
    catalog::Catalog,
    layout::{
        index::{self, ItemKey},
        keys::{self, space},
        range, record,
    },
    local::{Local, order::latch_of, stats},
    schema::IndexDefinition,
    table::{
        Stats, TableStatus,
        index_state::{IndexState, global_id},
    },
    write::{Staged, Writes},
};

/// The most items of a page: their keys' writers wait while its entries are committed.
const PAGE_ROWS: usize = 128;
/// The most bytes of a page.
const PAGE_BYTES: usize = 512 * 1024;

/// Fills new global indexes and empties those that are gone.
pub struct Backfill<E: Engine> {
    local: Arc<Local<E>>,
    writes: Arc<Writes<E>>,
    indexes: Arc<Indexes<E>>,
    catalog: Arc<Catalog<E>>,
}

impl<E: Engine> Backfill<E> {
    pub(crate) fn new(
        local: &Arc<Local<E>>,
        writes: &Arc<Writes<E>>,
        indexes: &Arc<Indexes<E>>,
        catalog: &Arc<Catalog<E>>,
    ) -> Self {
        Self {
            local: Arc::clone(local),
            writes: Arc::clone(writes),
            indexes: Arc::clone(indexes),
            catalog: Arc::clone(catalog),
        }
    }

    /// Does a bounded piece of what there is to fill or to empty, for each index; gives whether there is more to do.
    pub async fn build_indexes(&self) -> Result<bool> {
        let mut more = false;
        for id in self.indexes.index_states.all() {
            let table = self.local.directory().by_id.get(&id.0).cloned();
            let index = table.as_ref().and_then(|table| wanted(table, id.1).cloned());
            match (table, index) {
                // Its data is about to go.
                (Some(table), Some(_)) if table.status() == TableStatus::Deleting => {}
                (Some(table), Some(index)) => more |= self.back_fill(&table, &index, id).await?,
                (table, _) => more |= self.empty_index(table.as_deref(), id).await?,
            }
        }
        Ok(more)
    }

    /// One step of a back-fill: waiting for older writes, a page, or the end.
    async fn back_fill(&self, table: &Arc<Table>, index: &IndexDefinition, id: (u64, u64)) -> Result<bool> {
        let Some(state) = self.indexes.index_states.get(id).filter(|state| !state.built) else {
            return Ok(false);
        };
        if !state.maintained {
            tracing::info!(
                table = table.name(),
                index = index.name,
                "a global index is being filled"
            );
            // Writes that began before the index was published end first.
            table.live.gate.let_all_out().await;
            let maintained = IndexState {
                maintained: true,
                ..state
            };
            self.show_index(id, maintained).await?;
            return Ok(true);
        }
        let from = match &state.mark {
            Some(mark) => Bound::Excluded(Bytes::copy_from_slice(mark)),
            None => Bound::Included(keys::owner_range(space::ITEM, table.id(), 0, 0).0),
        };
        let page = self
            .local
            .store()
            .scan(Scan {
                from,
                to: Bound::Excluded(keys::owner_range(space::ITEM, table.id(), 0, u64::MAX).1),
                direction: Direction::Forward,
                rows_max: PAGE_ROWS,
                bytes_max: PAGE_BYTES,
                // The same rows are read again at once, by their keys.
                once: false,
            })
            .await?;
        let engine_keys: Vec<Bytes> = page.rows.into_iter().map(|(key, _)| key).collect();
        if engine_keys.is_empty() {
            return self.finish_back_fill(table, index, id, state).await;
        }
        self.back_fill_page(table, index, id, state, engine_keys).await?;
        Ok(true)
    }

    async fn back_fill_page(
        &self,
        table: &Table,
        index: &IndexDefinition,
        id: (u64, u64),
        state: IndexState,
        engine_keys: Vec<Bytes>,
    ) -> Result<()> {
        // As long as the gate is held, nobody takes away the table's data or the index's entries.
        let Some(inside) = table.live.gate.enter().await else {
            return Ok(());
        };
        if !table.live.maintains(index) {
            return Ok(());
        }
        let latches = engine_keys.iter().map(|key| latch_of(table.id(), &keys::rest(key)));
        let section = self.local.section_of([inside], latches.collect()).await;
        let mut writes = Vec::with_capacity(engine_keys.len() + 1);
        for (key, found) in engine_keys.iter().zip(self.local.store().get_many(&engine_keys).await?) {
            let stored = found.map(|bytes| record::item_of(&bytes)).transpose()?.flatten();
            let Some(stored) = stored else { continue };
            let at = ItemKey {
                route: keys::route_of(key),
                bytes: keys::rest(key),
            };
            let item = StoredItem::new(stored).decode()?;
            let entry = index::entry(table.id(), table.keys(), index, &at, &item);
            writes.extend(entry.map(|entry| Write::Put(entry.key, entry.value)));
        }
        let state = IndexState {
            mark: engine_keys.last().map(|key| key.to_vec()),
            looked_at: state.looked_at + engine_keys.len() as u64,
            ..state
        };
        // The mark is last: where each write is a commit of its own it is behind the entries, never ahead.
        writes.push(state.write(id)?);
        self.writes.commit(section, Staged::of_marks(writes, false)).await?;
        self.indexes.index_states.set(id, state);
        Ok(())
    }

    /// Every item has been looked at: what the index holds is counted, and it is ACTIVE.
    async fn finish_back_fill(
        &self,
        table: &Arc<Table>,
        index: &IndexDefinition,
        id: (u64, u64),
        state: IndexState,
    ) -> Result<bool> {
        let stats = Arc::<Stats>::default();
        let snapshot = {
            // No write is under way: each is either in the snapshot or counted by itself.
            let closed = table.live.gate.close().await;
            if closed.is_none() || !table.live.maintains(index) {
                return Ok(true);
            }
            table.live.indexes.write().insert(index.kind, Arc::clone(&stats));
            self.local.store().snapshot()
        };
        stats::count_entries(&snapshot, table, index, &stats).await?;
        let built = IndexState {
            built: true,
            mark: None,
            ..state
        };
        self.indexes.store_index_state(id, built.clone()).await?;
        let (entries, _) = stats.read();
        let (table, index) = (table.name(), index.name.as_str());
        tracing::info!(table, index, entries, "a global index is filled");
        self.show_index(id, built).await?;
        Ok(true)
    }

    /// One step of taking an index's entries away.
    async fn empty_index(&self, table: Option<&Table>, id: (u64, u64)) -> Result<bool> {
        if let Some(table) = table {
            // Writes that still maintain it end first.
            table.live.gate.let_all_out().await;
        }
        let _changing = self.catalog.catalog_lock.lock().await;
        let again = self
            .local
            .directory()
            .by_id
            .get(&id.0)
            .is_some_and(|table| wanted(table, id.1).is_some());
        let Some(state) = self.indexes.index_states.get(id).filter(|_| !again) else {
            return Ok(true);
        };
        // Should the table come back to this region before all is gone, the index is filled from the start.
        if state.built || state.mark.is_some() {
            let state = IndexState::new(state.definition, false, state.with_table);
            self.indexes.store_index_state(id, state).await?;
        }
        let (from, to) = keys::owner_range(space::GLOBAL, id.1, 0, u64::MAX);
        if self.local.store().spans_groups() {
            let writes = vec![Write::DeleteRange(from, to)];
            self.local
                .store()
                .commit(Commit {
                    writes,
                    ..Commit::default()
                })
                .await?;
        } else {
            let page = self
                .local
                .store()
                .scan(range::whole(from, to, PAGE_ROWS, PAGE_BYTES))
                .await?;
            for commit in self
                .local
                .splits(page.rows.into_iter().map(|(key, _)| Write::Delete(key)).collect())
            {
                self.local.store().commit(commit).await?;
            }
            if page.more {
                return Ok(true);
            }
        }
        self.indexes.forget_index_state(id).await?;
        if table.is_some() {
            self.catalog.refresh_locked(id.0).await?;
        }
        Ok(true)
    }

    /// Takes note of a state and shows it in DescribeTable, unless the index is gone by now.
    async fn show_index(&self, id: (u64, u64), state: IndexState) -> Result<()> {
        let _changing = self.catalog.catalog_lock.lock().await;
        if self.indexes.index_states.get(id).is_some() {
            self.indexes.index_states.set(id, state);
        }
        self.catalog.refresh_locked(id.0).await
    }
}

/// The index with an id, if it has a register.
fn wanted(table: &Table, id: u64) -> Option<&IndexDefinition> {
    table.indexes().iter().find(|index| global_id(index) == Some(id))
}
