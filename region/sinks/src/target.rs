//! Where a copy is kept.

use std::{future::Future, time::Duration};

use geodynamo_item::AttributeType;
use geodynamo_table::StoredItem;

use bytes::Bytes;

/// Keeps a copy of a table. After an error the target must be opened again.
pub(crate) trait Target: Send {
    /// Connects, and tells what the copy has; `None` if there is no copy.
    fn open(&mut self, shape: &Shape) -> impl Future<Output = Result<Option<Held>, TargetError>> + Send;

    /// Begins the copy anew. What was there before is seen until the end.
    fn begin_load(&mut self, shape: &Shape) -> impl Future<Output = Result<(), TargetError>> + Send;

    /// Adds items of the snapshot, each once.
    fn load(&mut self, rows: &[Put]) -> impl Future<Output = Result<(), TargetError>> + Send;

    /// Ends it: the copy has the snapshot, and this is what it has.
    fn end_load(&mut self, held: &Held) -> impl Future<Output = Result<(), TargetError>> + Send;

    /// Makes changes, all or none, if the copy has what it is said to have; and notes what it has then.
    fn apply(&mut self, batch: &Batch, from: &Held, to: &Held) -> impl Future<Output = Result<(), TargetError>> + Send;

    /// What changes gather for before they are made.
    fn interval(&self) -> Duration;

    /// Forgets what is open.
    fn close(&mut self);
}

/// What a table is like.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Shape {
    /// Its name.
    pub(crate) table: String,
    /// The key attributes, that of the partition key first.
    pub(crate) keys: Vec<(String, AttributeType)>,
}

/// What a copy has.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Held {
    /// Which copy it is: a new one for each that is begun anew for a reason. See `rows::Copy`.
    pub(crate) epoch: String,
    /// The last position of each partition's log.
    pub(crate) positions: Vec<u64>,
}

/// An item to be put.
#[derive(Clone, PartialEq, Debug)]
pub(crate) struct Put {
    /// Its key: see `CopiedChange`.
    pub(crate) key: Bytes,
    /// The item.
    pub(crate) item: StoredItem,
}

/// Changes of items, one of each at most.
#[derive(Clone, PartialEq, Debug, Default)]
pub(crate) struct Batch {
    /// Items as they are now.
    pub(crate) puts: Vec<Put>,
    /// The keys of those that are not there any more.
    pub(crate) deletes: Vec<Bytes>,
}

/// Why a copy could not be changed.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("{0}")]
pub(crate) struct TargetError(pub(crate) String);
