//! A snapshot that owns its database.

use std::{fmt, sync::Arc};

use bytes::Bytes;
use geodynamo_storage::{LogId, Page, Position, Scan, Snapshot, StorageError};
use rocksdb::DB;
use self_cell::self_cell;

use crate::{
    layout::{DATA, META, end_key, position_from},
    rows::{failed, page, read_options},
    store::{Store, family},
};

type View<'a> = rocksdb::Snapshot<'a>;

self_cell!(
    /// A view, and the database that it is of.
    struct Owned {
        owner: Arc<DB>,
        #[covariant]
        dependent: View,
    }
);

/// A view of a [`crate::RocksEngine`] at one moment. While it lives, what is overwritten since stays on disk, and the
/// database stays open.
pub struct RocksSnapshot {
    /// The view; an error if the engine was closed when it was taken.
    view: Result<Owned, StorageError>,
}

impl RocksSnapshot {
    pub(crate) fn new(store: Result<&Store, StorageError>) -> Self {
        Self {
            view: store.map(|store| Owned::new(store.db().clone(), |db| db.snapshot())),
        }
    }

    fn view(&self) -> Result<(&DB, &View<'_>), StorageError> {
        let owned = self.view.as_ref().map_err(Clone::clone)?;
        Ok((owned.borrow_owner(), owned.borrow_dependent()))
    }
}

impl fmt::Debug for RocksSnapshot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sequence = self.view().map(|(_, view)| view.sequence_number());
        f.debug_struct("RocksSnapshot").field("sequence", &sequence).finish()
    }
}

impl Snapshot for RocksSnapshot {
    async fn get(&self, key: &[u8]) -> Result<Option<Bytes>, StorageError> {
        let (db, view) = self.view()?;
        let value = view.get_pinned_cf(family(db, DATA)?, key).map_err(failed)?;
        Ok(value.map(|value| Bytes::copy_from_slice(&value)))
    }

    async fn scan(&self, scan: Scan) -> Result<Page, StorageError> {
        if scan.is_empty() {
            return self.view().map(|_| Page::default());
        }
        let (db, view) = self.view()?;
        page(view.raw_iterator_cf_opt(family(db, DATA)?, read_options(&scan)), &scan)
    }

    async fn log_end(&self, log: LogId) -> Result<Position, StorageError> {
        // A log's end is written in the batch of its records and rows, so it is as exact as the view.
        let (db, view) = self.view()?;
        match view.get_pinned_cf(family(db, META)?, end_key(log)).map_err(failed)? {
            Some(position) => position_from(&position),
            None => Ok(Position::START),
        }
    }
}
