//! DynamoDB Streams: public views of this replica's change logs.
//!
//! Nothing is written for them but what says which part of which log is whose: a stream begins where each partition's
//! log ended when it was switched on, and ends where they ended when it was switched off. In between, its shards follow
//! each other: a generation of them, one for each partition, begins where the logs ended when the one before was old
//! enough. These positions are durable before anyone reads past them, so a record belongs to one shard for ever,
//! whatever clocks and processes do. What a record says is in the change: the key, the images, and its [`Effect`].
//!
//! A table with replicas in other regions has a second stream beside each: of its conflicts. It has the same shards, and its
//! records are those changes that record a conflict's loser ([`StreamKind::Conflicts`]).
//!
//! [`Effect`]: geodynamo_replicator_core::Effect

mod describe;
mod ids;
mod json;
pub mod kinesis;
mod lifecycle;
mod read;
mod rows;
mod state;
mod trim;

use std::sync::Arc;

use geodynamo_replicator_core::Millis;
use geodynamo_storage::Engine;

use crate::{TableError, local::Local, log::Logs};

pub use describe::{Shard, StreamDescription, StreamPage};
pub use json::RecordForm;
pub use read::{
    ConflictVersion, ConflictVersions, EventKind, RECORDS_BYTES_MAX, RECORDS_MAX, RecordPage, ShardPlace, StreamRecord,
};
pub(crate) use read::{Source, public_record};
pub(crate) use state::StreamStates;

/// How long a shard iterator can be used, in milliseconds: 15 minutes, as in DynamoDB.
pub const ITERATOR_MS: Millis = 15 * 60 * 1000;
/// The most streams of one table that can be read. If it is switched on more often within the retention, the oldest that
/// is off is forgotten.
pub const STREAMS_PER_TABLE_MAX: usize = 32;
/// The most generations of shards of one stream. Past it, the last ones stay open for longer.
pub const GENERATIONS_MAX: usize = 1000;

/// Why a request on streams was refused or failed.
#[derive(Clone, Debug, thiserror::Error)]
pub enum StreamError {
    /// `ResourceNotFoundException`: there is no such stream.
    #[error("the stream does not exist")]
    NoStream,
    /// `ResourceNotFoundException`: the stream has no such shard.
    #[error("the shard does not exist")]
    NoShard,
    /// `TrimmedDataAccessException`: the records are too old and gone.
    #[error("the records have been trimmed")]
    Trimmed,
    /// `ExpiredIteratorException`: the iterator was given out more than [`ITERATOR_MS`] ago.
    #[error("the iterator has expired")]
    Expired,
    /// `ValidationException`: the text is not an iterator of the stream.
    #[error("the iterator is not one of the stream's")]
    Iterator,
    /// `ValidationException`: no record of the shard has the sequence number.
    #[error("the sequence number is not one of the shard's")]
    Sequence,
    /// `LimitExceededException`: the shard is read too often.
    #[error("the shard is read too often")]
    TooOften,
    /// Whatever tables fail with.
    #[error(transparent)]
    Table(#[from] TableError),
}

/// DynamoDB Streams on this replica's change logs.
pub struct Streams<E: Engine> {
    local: Arc<Local<E>>,
    logs: Arc<Logs<E>>,
    /// The streams there are rows of.
    pub(crate) states: StreamStates,
}

impl<E: Engine> Streams<E> {
    pub(crate) fn new(local: &Arc<Local<E>>, logs: &Arc<Logs<E>>, states: StreamStates) -> Self {
        Self {
            local: Arc::clone(local),
            logs: Arc::clone(logs),
            states,
        }
    }
}
