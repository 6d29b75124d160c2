//! A snapshot that owns its database.

use std::{fmt, sync::Arc};

use bytes::Bytes;
use geodynamo_storage::{LogId, Page, Position, Scan, Snapshot, StorageError};
use rocksdb::DB;
use self_cell::self_cell;

use crate::{
    classes::Placement,
    holder::View,
    layout::{META, end_key, position_from},
    rows::{failed, get_at, page_at},
    store::family,
};

type RocksView<'a> = rocksdb::Snapshot<'a>;

self_cell!(
    /// A view, and the database that it is of.
    pub(crate) struct Owned {
        owner: Arc<DB>,
        #[covariant]
        dependent: RocksView,
    }
);

impl Owned {
    /// The view of this moment.
    pub(crate) fn of(db: Arc<DB>) -> Self {
        Self::new(db, |db| db.snapshot())
    }
}

/// A view of a [`crate::RocksEngine`] at one moment. While it lives, what is overwritten since stays on disk, and the
/// database stays open. It ends early if the engine has to open the database anew; reading it gives an error then.
pub struct RocksSnapshot {
    /// The view; an error if there was none to take.
    view: Result<Arc<View>, StorageError>,
    /// How rows were kept then.
    placement: Arc<Placement>,
}

impl RocksSnapshot {
    pub(crate) fn new(view: Result<Arc<View>, StorageError>, placement: Arc<Placement>) -> Self {
        Self { view, placement }
    }

    fn read<T>(&self, read: impl FnOnce(&DB, &RocksView<'_>) -> Result<T, StorageError>) -> Result<T, StorageError> {
        let view = self.view.as_ref().map_err(Clone::clone)?.read();
        match &*view {
            Some(owned) => read(owned.borrow_owner(), owned.borrow_dependent()),
            None => Err(StorageError::Io("the snapshot ended: the store was opened anew".into())),
        }
    }
}

impl fmt::Debug for RocksSnapshot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sequence = self.read(|_, view| Ok(view.sequence_number()));
        f.debug_struct("RocksSnapshot").field("sequence", &sequence).finish()
    }
}

impl Snapshot for RocksSnapshot {
    async fn get(&self, key: &[u8]) -> Result<Option<Bytes>, StorageError> {
        self.read(|db, view| get_at(db, view, key, self.placement.spot(key)))
    }

    async fn scan(&self, scan: Scan) -> Result<Page, StorageError> {
        self.read(|db, view| {
            if scan.is_empty() {
                return Ok(Page::default());
            }
            page_at(db, view, &scan, self.placement.span_of_scan(&scan))
        })
    }

    async fn log_end(&self, log: LogId) -> Result<Position, StorageError> {
        // A log's end is written in the batch of its records and rows, so it is as exact as the view.
        self.read(
            |db, view| match view.get_pinned_cf(family(db, META)?, end_key(log)).map_err(failed)? {
                Some(position) => position_from(&position),
                None => Ok(Position::START),
            },
        )
    }
}
