//! Rows of system tables; see `local/system.rs` for what these are.

use std::sync::Arc;

use bytes::Bytes;
use geodynamo_replicator_core::{MergeKind, Origin, Past};
use geodynamo_storage::Engine;
use tokio::sync::watch;

use crate::{
    ItemKey, Result, SystemTable, TableError,
    layout::{
        keys::{self, space},
        record::{Record, item_of},
    },
    local::{Local, load_range, order::latch_of, system::row_key},
    write::{KeyChange, Staged, Writes},
};

/// Rows of system tables.
pub struct SystemRows<E: Engine> {
    local: Arc<Local<E>>,
    writes: Arc<Writes<E>>,
}

impl<E: Engine> SystemRows<E> {
    pub(crate) fn new(local: &Arc<Local<E>>, writes: &Arc<Writes<E>>) -> Self {
        Self {
            local: Arc::clone(local),
            writes: Arc::clone(writes),
        }
    }

    /// All rows of a system table: keys, in their order, and values.
    pub async fn system_rows(&self, table: SystemTable) -> Result<Vec<(Bytes, Bytes)>> {
        let (from, to) = keys::owner_range(space::ITEM, table.id(), 0, u64::MAX);
        let mut rows = Vec::new();
        for (key, record) in load_range(self.local.store(), from, to).await? {
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
        let found = self.local.store().get_each(&places).await?;
        let value = |record: Option<Bytes>| record.map_or(Ok(None), |record| item_of(&record));
        found.into_iter().map(value).collect()
    }

    /// Changes rows of a system table, all or none of them: `None` takes a row away. Once this returns the change is
    /// durable, and on its way to the other regions.
    pub async fn system_commit(&self, table: SystemTable, changes: Vec<(Bytes, Option<Bytes>)>) -> Result<()> {
        let place = |(row, value): (Bytes, _)| Ok((row_key(table.id(), &row)?, value));
        let changes = changes.into_iter().map(place).collect::<Result<Vec<_>>>()?;
        self.commit_system_rows(table.id(), changes).await
    }

    /// Changes whenever rows of a system table were merged from another region; see [`crate::SystemRows::system_merged`].
    pub fn system_changes(&self, table: SystemTable) -> watch::Receiver<u64> {
        match self.local.system().changed.get(&table.id()) {
            Some(changed) => changed.version.subscribe(),
            // Each has one.
            None => watch::channel(0).1,
        }
    }

    /// The rows that were merged from other regions since this was last asked. One part of the service alone may ask.
    pub fn system_merged(&self, table: SystemTable) -> Vec<Bytes> {
        let changed = self.local.system().changed.get(&table.id());
        let taken = changed.map(|changed| std::mem::take(&mut *changed.keys.lock()));
        taken.into_iter().flatten().collect()
    }

    /// Sets rows of one system table in one commit.
    pub(crate) async fn commit_system_rows(&self, id: u64, changes: Vec<(ItemKey, Option<Bytes>)>) -> Result<()> {
        let Some(table) = self.local.system().get(id).cloned() else {
            return Err(TableError::Corrupt(format!("there is no system table {id}")));
        };
        let latches = changes.iter().map(|(at, _)| latch_of(id, &at.bytes)).collect();
        let section = self.local.section_of([], latches).await;
        let mut staged = Staged::default();
        for (at, value) in &changes {
            let current = self.local.store().get(&keys::item(id, at.route, &at.bytes)).await?;
            let current = current.map(|bytes| Record::read(&bytes)).transpose()?;
            let seen = current.as_ref().map(|record| record.stamp);
            let stamp = self.local.orderer().stamp(self.local.store_arc(), seen).await?;
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
            self.writes.stage(&table, &change, &mut staged)?;
        }
        // Settings are small, and the deletion of a table is among them.
        staged.commit.makes_room = true;
        self.writes.commit(section, staged).await
    }

    /// After rows of a system table were merged: whoever owns the table is told.
    pub(crate) fn system_rows_merged(&self, id: u64, rows: Vec<Bytes>) {
        if SystemTable::from_id(id).is_some() {
            self.local.system().merged(id, rows);
        }
    }
}
