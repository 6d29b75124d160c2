//! The Engine trait, the in-memory engine, and the conformance suite that every engine passes.
//!
//! Nothing here knows what an item is, and nothing above this crate knows which engine it runs on.
//!
//! # Keys and groups
//! A key is bytes, ordered bytewise, with a fixed 17-byte head ([`key_head`]): one byte of space, eight of owner (a table or
//! an index), eight of route (the hash of a partition key). Owner and route make the key's *group*: what an engine can
//! commit atomically even if it spans nothing else. The space is not part of the group, so an item, its local index
//! entries and its conflict records are in one group.
//!
//! # Change logs
//! A commit may append records to change logs. The engine gives positions in commit order: once a reader has seen
//! position *n* of a log, nothing ever appears at or below *n*.

use std::{future::Future, ops::Bound, sync::Arc};

use bytes::Bytes;

mod class;
pub mod conformance;
mod distrust;
pub mod effort;
mod health;
mod ingest;
mod limits;
mod memory;
mod unfinished;

pub use class::{Prefix, StorageClass};
pub use distrust::{Distrust, Distrusted, Doubt, RecordPlace};
pub use health::{Health, Trouble};
pub use ingest::{Ingest, IngestDoor, LANES, Row, SortedFiles, SortedRows, Sorter};
pub use memory::{MemoryEngine, MemorySnapshot, Spanning};
pub use unfinished::Unfinished;

/// Bytes of a key's head: space, owner, route.
pub const KEY_HEAD: usize = 17;
/// The longest key an engine must take, in bytes: a head, a 2,048-byte partition key escaped, a 1,024-byte sort key, and
/// the base table's key behind an index entry's.
pub const KEY_BYTES_MAX: usize = 16 * 1024;
/// The most writes in one commit.
pub const COMMIT_WRITES_MAX: usize = 16 * 1024;
/// The most bytes of keys, values and records in one commit, unless an engine takes less ([`Engine::commit_bytes_max`]).
pub const COMMIT_BYTES_MAX: usize = 64 * 1024 * 1024;

/// What a key belongs to for atomicity: its owner and its route, as in the key's head.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Group(pub [u8; 16]);

impl Group {
    /// The group of a key; a key shorter than its head is padded with zeros.
    pub fn of(key: &[u8]) -> Self {
        let mut group = [0; 16];
        for (to, from) in group.iter_mut().zip(key.iter().skip(1)) {
            *to = *from;
        }
        Self(group)
    }
}

/// Starts a key: writes its head. Append the rest of the key to the vector.
pub fn key_head(space: u8, owner: u64, route: u64, rest_len: usize) -> Vec<u8> {
    let mut key = Vec::with_capacity(KEY_HEAD + rest_len);
    key.push(space);
    key.extend_from_slice(&owner.to_be_bytes());
    key.extend_from_slice(&route.to_be_bytes());
    key
}

/// A change log's immutable id.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LogId(pub u64);

/// A place in a change log. Zero is before the first record; the first record is at 1.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Position(pub u64);

impl Position {
    /// Before the first record of a log.
    pub const START: Self = Self(0);
}

/// One write of a commit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Write {
    /// Sets a key.
    Put(Bytes, Bytes),
    /// Removes a key.
    Delete(Bytes),
    /// Removes every key in `[from, to)`. Only keys of the commit's group on an engine that does not span groups.
    DeleteRange(Bytes, Bytes),
}

/// A record appended to a change log, in the same commit as the writes it tells of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Append {
    /// The log.
    pub log: LogId,
    /// Opaque bytes.
    pub record: Bytes,
}

/// What must hold when a commit is carried out; otherwise nothing of it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Precondition {
    /// The key is not there.
    Absent(Bytes),
    /// The key has this very value.
    Equals(Bytes, Bytes),
}

/// An atomic, durable commit.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Commit {
    /// Checked first, all of them, against everything committed before.
    pub preconditions: Vec<Precondition>,
    /// Applied in order.
    pub writes: Vec<Write>,
    /// Appended in order.
    pub appends: Vec<Append>,
    /// Whether carrying it out leaves less to be stored, as a delete does: an engine without room may take it from a
    /// reserve.
    pub makes_room: bool,
}

/// One record of a change log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogRecord {
    /// Where it stands.
    pub position: Position,
    /// What was appended.
    pub record: Bytes,
}

/// Which way a scan goes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Direction {
    /// By ascending key.
    #[default]
    Forward,
    /// By descending key.
    Reverse,
}

/// A scan of a key range. It ends at the limit it reaches first; a page always has at least one row if there is one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Scan {
    /// The lower bound, whichever the direction.
    pub from: Bound<Bytes>,
    /// The upper bound, whichever the direction.
    pub to: Bound<Bytes>,
    /// Which way.
    pub direction: Direction,
    /// The most rows.
    pub rows_max: usize,
    /// The most bytes of keys and values; the row that reaches it is the last.
    pub bytes_max: usize,
    /// Whether what is read will hardly be read again soon, as by one who goes through a whole table: an engine need not
    /// keep it in memory, where it would displace what is read often.
    pub once: bool,
}

/// What a scan found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Page {
    /// Keys and values in the scan's direction.
    pub rows: Vec<(Bytes, Bytes)>,
    /// Whether a limit ended the scan (there may be more behind the last row).
    pub more: bool,
}

/// Why an engine could not do what it was asked to.
#[derive(Clone, Debug, thiserror::Error)]
pub enum StorageError {
    /// A precondition did not hold; nothing was written. The number is its index in the commit.
    #[error("precondition {0} does not hold")]
    Precondition(usize),
    /// The commit touches more than one group and the engine does not span them; nothing was written.
    #[error("the commit touches more than one group")]
    SpansGroups,
    /// A limit of this crate was passed; nothing was written.
    #[error("{0}")]
    TooLarge(&'static str),
    /// Reading failed, or the store cannot be opened. Others may still be read.
    #[error("storage: {0}")]
    Io(Arc<str>),
    /// The engine takes no writes for now, or for good: see [`Engine::health`]. Nothing of the commit is visible, and
    /// nothing of it will be; but if the process ends before the engine has recovered, the next start may find it whole.
    #[error("the store takes no writes: {0}")]
    Unwritable(Trouble),
    /// A file that held what was asked for was damaged: what is there may be less than was acknowledged.
    #[error("what was asked for was in a damaged file, and is not mended yet")]
    Distrusted,
    /// What was asked for is sealed under a key that is away.
    #[error("the key is away")]
    KeyAway,
    /// The engine is closed.
    #[error("the engine is closed")]
    Closed,
}

/// A view of all keys as they were at one moment. Change logs are not part of it.
pub trait Snapshot: Send + Sync + 'static {
    /// The value of a key.
    fn get(&self, key: &[u8]) -> impl Future<Output = Result<Option<Bytes>, StorageError>> + Send;
    /// A page of a range.
    fn scan(&self, scan: Scan) -> impl Future<Output = Result<Page, StorageError>> + Send;
    /// The last position of a log at that moment: the snapshot holds the effect of every record up to it and of none
    /// behind it.
    fn log_end(&self, log: LogId) -> impl Future<Output = Result<Position, StorageError>> + Send;
}

/// Storage for one replica.
pub trait Engine: Send + Sync + 'static {
    /// The engine's snapshots.
    type Snapshot: Snapshot;

    /// Whether one commit may touch several groups.
    fn spans_groups(&self) -> bool;

    /// The group a key belongs to.
    fn group_of(&self, key: &[u8]) -> Group {
        Group::of(key)
    }

    /// The most bytes of keys, values and records in one commit: [`COMMIT_BYTES_MAX`], or less where commits travel.
    fn commit_bytes_max(&self) -> usize {
        COMMIT_BYTES_MAX
    }

    /// The value of a key, as of the last durable commit.
    fn get(&self, key: &[u8]) -> impl Future<Output = Result<Option<Bytes>, StorageError>> + Send;

    /// The values of several keys, in their order, all as of one moment.
    fn get_many(&self, keys: &[Bytes]) -> impl Future<Output = Result<Vec<Option<Bytes>>, StorageError>> + Send;

    /// The values of several keys, in their order, each as of a moment of its own, none before the call: for whoever has the
    /// turn on them, or wants the newest there is. May cost less than [`Engine::get_many`].
    fn get_each(&self, keys: &[Bytes]) -> impl Future<Output = Result<Vec<Option<Bytes>>, StorageError>> + Send {
        self.get_many(keys)
    }

    /// A page of a range, as of the last durable commit.
    fn scan(&self, scan: Scan) -> impl Future<Output = Result<Page, StorageError>> + Send;

    /// A view of this moment.
    fn snapshot(&self) -> Self::Snapshot;

    /// Commits. Resolves when it is durable, and nothing of it is visible before; gives the position of each append.
    ///
    /// The commit is handed over when this function is called, not when its future is first polled: two commits of one
    /// caller are carried out in the order of the calls. Dropping the future does not take the commit back.
    fn commit(&self, commit: Commit) -> impl Future<Output = Result<Vec<Position>, StorageError>> + Send + use<Self>;

    /// Records of a log behind `after`, oldest first, at most `rows_max` and about `bytes_max` bytes (at least one record
    /// if there is one). Trimmed records are skipped. An answer may end before the log does: only one without records says
    /// that none is behind `after`.
    fn log_read(
        &self,
        log: LogId,
        after: Position,
        rows_max: usize,
        bytes_max: usize,
    ) -> impl Future<Output = Result<Vec<LogRecord>, StorageError>> + Send;

    /// The last position of a log; [`Position::START`] if nothing was ever appended. Survives trimming and restarts.
    fn log_end(&self, log: LogId) -> impl Future<Output = Result<Position, StorageError>> + Send;

    /// Drops the records of a log up to and including `up_to`. Positions are not used again.
    fn log_trim(&self, log: LogId, up_to: Position) -> impl Future<Output = Result<(), StorageError>> + Send;

    /// Changes whenever a commit with appends has become durable. Wait on it, then ask the logs.
    fn log_activity(&self) -> tokio::sync::watch::Receiver<u64>;

    /// Whether the engine takes writes, and if not, why not. An engine that never refuses any need not say.
    fn health(&self) -> tokio::sync::watch::Receiver<Health> {
        tokio::sync::watch::channel(Health::Open).1
    }

    /// Chooses how rows of a prefix are kept. Resolves when the choice is durable; rows that are there are moved in the
    /// background, while they are read and written as ever. An engine that keeps all rows in one way need not know of it.
    fn set_class(
        &self,
        prefix: Prefix,
        class: StorageClass,
    ) -> impl Future<Output = Result<(), StorageError>> + Send + use<Self> {
        let _ = (prefix, class);
        std::future::ready(Ok(()))
    }

    /// The prefixes that are not kept as [`StorageClass::Standard`], as they were chosen.
    fn classes(&self) -> Vec<(Prefix, StorageClass)> {
        Vec::new()
    }

    /// What the engine does not vouch for, because a file that held it was damaged. None for an engine that cannot tell.
    fn distrusted(&self) -> Arc<Distrusted> {
        Arc::default()
    }

    /// A range of keys, `[from, to)`, is as it should be again. Resolves when that is durable.
    fn trust_rows(&self, from: Bytes, to: Bytes) -> impl Future<Output = Result<(), StorageError>> + Send + use<Self> {
        let _ = (from, to);
        std::future::ready(Ok(()))
    }

    /// Whoever follows change logs has been told of the records that are gone. Resolves when that is durable.
    fn trust_records(&self) -> impl Future<Output = Result<(), StorageError>> + Send + use<Self> {
        std::future::ready(Ok(()))
    }

    /// Taking in many sorted rows at once, where the engine can do that.
    fn ingest(&self) -> IngestDoor {
        None
    }

    /// Flushes and closes; later calls give [`StorageError::Closed`].
    fn close(&self) -> impl Future<Output = Result<(), StorageError>> + Send;
}
