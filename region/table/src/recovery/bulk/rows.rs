//! What is stored of an item that is filled in.

use std::sync::Arc;

use bytes::Bytes;
use geodynamo_item::{Item, codec};
use geodynamo_replicator_core::{MergeKind, Past, Stamp};
use geodynamo_storage::{Engine, Row, SortedFiles, SortedRows, Sorter, StorageError, Write};

use super::Filled;
use crate::{
    Result, StoredItem, Table, TableError,
    layout::{
        expiry::Sweeper,
        index::ItemKey,
        keys::{self, space},
        record::Record,
    },
    schema::IndexKind,
    store::{self, Store},
};

/// Makes rows of items, and entries of rows.
pub(super) struct Maker<E> {
    pub(super) store: Arc<Store<E>>,
    pub(super) table: Arc<Table>,
    pub(super) sweeper: Sweeper,
}

impl<E: Engine> Maker<E> {
    /// A new version of an item.
    pub(super) fn record(stamp: Stamp, item: Bytes) -> Record {
        Record {
            stamp,
            past: Past::new(),
            kind: MergeKind::ItemLww,
            item: Some(item),
        }
    }

    /// Its row, as it is stored.
    pub(super) fn row(&self, at: &ItemKey, record: &Record) -> Result<Row> {
        let key = keys::item(self.table.id(), at.route, &at.bytes);
        self.sealed(Write::Put(key, record.write()))
    }

    fn sealed(&self, mut write: Write) -> Result<Row> {
        store::seal_write(self.store.seals(), &mut write)?;
        match write {
            Write::Put(key, value) => Ok((key, value)),
            Write::Delete(key) | Write::DeleteRange(key, _) => Ok((key, Bytes::new())),
        }
    }

    /// Whether anything goes with an item.
    fn has_entries(&self) -> bool {
        !self.table.live.maintained.load().is_empty() || self.table.live.expires_by.load().is_some()
    }

    /// Puts what goes with an item of a row, and counts the item.
    pub(super) fn put_entries_of_row(
        &self,
        (key, value): &Row,
        filled: &mut (u64, u64),
        to: &mut dyn Sorter,
    ) -> Result<()> {
        let value = store::open_row(self.store.seals(), key, value.clone())?;
        let at = ItemKey {
            route: keys::route_of(key),
            bytes: keys::rest(key),
        };
        self.put_entries(&at, &Record::read(&value)?, filled, to)
    }

    /// Puts what goes with an item, and counts it. That it can be read is checked, too.
    pub(super) fn put_entries(
        &self,
        at: &ItemKey,
        record: &Record,
        filled: &mut (u64, u64),
        to: &mut dyn Sorter,
    ) -> Result<()> {
        let Some(item) = &record.item else {
            return Ok(());
        };
        let stored = StoredItem::new(item.clone());
        filled.0 += 1;
        filled.1 += stored.size()? as u64;
        if !self.has_entries() {
            return Ok(());
        }
        let item: Item = stored.decode()?;
        let mut writes = Vec::new();
        self.table.derive(at, record, Some(&item), self.sweeper, &mut writes)?;
        for write in writes {
            let (key, value) = self.sealed(write)?;
            to.put(&key, &value)?;
        }
        Ok(())
    }

    /// Counts an index entry.
    fn count_entry(&self, (key, value): &Row, filled: &mut Filled) -> Result<()> {
        let kind = match key.first() {
            Some(&space::GLOBAL) => IndexKind::Global(keys::owner_of(key)),
            Some(&space) if space >= space::LOCAL => IndexKind::Local(space - space::LOCAL),
            _ => return Ok(()),
        };
        let value = store::open_row(self.store.seals(), key, value.clone())?;
        let counted = filled.entries.entry(kind).or_default();
        counted.0 += 1;
        counted.1 += codec::size(&value).map_err(|_| TableError::Corrupt("an index entry".into()))? as u64;
        Ok(())
    }

    /// Passes sorted entries on, and counts them.
    pub(super) fn counting<'a>(
        &'a self,
        rows: Box<SortedRows<'static>>,
        filled: &'a mut Filled,
    ) -> impl Iterator<Item = Result<Row>> + Send + use<'a, E> {
        rows.map(move |row| {
            let row = row?;
            self.count_entry(&row, filled)?;
            Ok(row)
        })
    }
}

/// Writes rows into files. The engine passes on no errors but its own. So one of this layer is kept aside meanwhile: a record that
/// cannot be read must not look like a disk that may recover.
pub(super) fn write_into(files: &mut dyn SortedFiles, rows: impl Iterator<Item = Result<Row>> + Send) -> Result<()> {
    let mut met = None;
    let mut rows = rows.map(|row| {
        row.map_err(|error| match error {
            TableError::Storage(error) => error,
            other => {
                let told = StorageError::Io(other.to_string().into());
                met = Some(other);
                told
            }
        })
    });
    let written = files.write(&mut rows);
    drop(rows);
    match met {
        Some(error) => Err(error),
        None => Ok(written.map(drop)?),
    }
}
