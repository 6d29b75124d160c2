//! Where entities are kept: rows of a table that every region replicates.

use std::future::Future;

use bytes::Bytes;

/// A row's key and its new value; `None` takes it away.
pub type Change = (Bytes, Option<Bytes>);

/// Why rows cannot be read or written.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("{0}")]
pub struct StoreError(pub String);

/// A table of rows. Of two writes of a row in different regions, the later one wins.
pub trait Store: Send + Sync + 'static {
    /// All rows.
    fn rows(&self) -> impl Future<Output = Result<Vec<(Bytes, Bytes)>, StoreError>> + Send;

    /// Some rows as they are now: their values, `None` for those that are not there.
    fn get(&self, rows: &[Bytes]) -> impl Future<Output = Result<Vec<Option<Bytes>>, StoreError>> + Send;

    /// Carries out all changes or none; they are durable once this returns. It runs to its end even if its future is
    /// dropped.
    fn commit(&self, changes: Vec<Change>) -> impl Future<Output = Result<(), StoreError>> + Send;
}
