//! Taking in many rows at once, beside the log of commits: a capability that an engine may have ([`crate::Engine::ingest`]).
//!
//! Whoever fills a table that nobody uses yet need not write each row twice. Rows that come in any order go through a
//! [`Sorter`], which needs little memory for however many; rows in order go into [`SortedFiles`], which the engine takes in as
//! they are. All of it belongs to a *load*, which has a number, and lies beside the engine's rows until it is taken in or
//! forgotten. What was kept of it is there after a crash.
//!
//! These calls block on the disk: make them where that is allowed.

use std::sync::Arc;

use bytes::Bytes;

use crate::StorageError;

/// A row: a key and a value.
pub type Row = (Bytes, Bytes);

/// Rows in the order of their keys, no key twice.
pub type SortedRows<'a> = dyn Iterator<Item = Result<Row, StorageError>> + Send + 'a;

/// Lanes of a load: each sorts rows of its own.
pub const LANES: u8 = 2;

/// An engine's door for loads.
pub trait Ingest: Send + Sync + 'static {
    /// Takes up a lane of a load with the first `kept` of the runs that [`Sorter::keep`] told of; any others are removed.
    ///
    /// # Errors
    /// [`StorageError::Io`] if one of them is missing.
    fn sorter(&self, load: u64, lane: u8, kept: u64) -> Result<Box<dyn Sorter>, StorageError>;

    /// Takes up a load's files, the first `kept` of them; any others are removed.
    ///
    /// # Errors
    /// [`StorageError::Io`] if one of them is missing, unless `taking` says that [`SortedFiles::take_in`] may have been under
    /// way: then those that are missing were taken in.
    fn files(&self, load: u64, kept: u64, taking: bool) -> Result<Box<dyn SortedFiles>, StorageError>;

    /// Removes all that lies there of a load. Rows that were taken in stay.
    ///
    /// # Errors
    /// Those of the disk.
    fn forget(&self, load: u64) -> Result<(), StorageError>;

    /// The loads of which something lies there.
    ///
    /// # Errors
    /// Those of the disk.
    fn loads(&self) -> Result<Vec<u64>, StorageError>;
}

/// Sorts rows that come in any order. Memory is bounded, whatever their number.
pub trait Sorter: Send {
    /// Takes a row. Of several with one key the last one stays.
    ///
    /// # Errors
    /// [`StorageError::TooLarge`] if there are more than the engine sorts; those of the disk.
    fn put(&mut self, key: &[u8], value: &[u8]) -> Result<(), StorageError>;

    /// Whether it is time to keep what was put.
    fn is_full(&self) -> bool;

    /// Makes all that was put durable; gives the number of runs by which it is taken up again.
    ///
    /// # Errors
    /// Those of the disk.
    fn keep(&mut self) -> Result<u64, StorageError>;

    /// All rows in order. What was kept stays until the load is forgotten.
    ///
    /// # Errors
    /// Those of the disk.
    fn into_rows(self: Box<Self>) -> Result<Box<SortedRows<'static>>, StorageError>;
}

/// Sorted rows in files that the engine takes in as they are.
pub trait SortedFiles: Send {
    /// Writes rows into new files, durably, which begin with the next prefix or where one is large enough; gives the number of
    /// files by which they are taken up again.
    ///
    /// # Errors
    /// [`StorageError::Io`] if they are not in order; those of the disk, and of the rows.
    fn write(&mut self, rows: &mut SortedRows<'_>) -> Result<u64, StorageError>;

    /// Gives all rows to the engine. Once it returns they are there, durably. Until then any part of them may be; after an
    /// error, or a crash, it can be done again.
    ///
    /// The caller promises that of the rows' prefixes nothing else is being written.
    ///
    /// # Errors
    /// Those of the disk; [`StorageError::Unwritable`] while the engine takes no writes.
    fn take_in(self: Box<Self>) -> Result<(), StorageError>;
}

/// The door of an engine that has one.
pub type IngestDoor = Option<Arc<dyn Ingest>>;
