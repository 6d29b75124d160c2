//! What the replicator asks of the house it lives in: the plain data of the questions and answers.
//!
//! The questions themselves are the `Host` trait of `geodynamo-replicator`, which is async; whoever holds the tables
//! answers with these types and needs nothing but this crate.

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::{
    delta::Delta,
    ids::{LogInfo, Position, TableId},
    stamp::{Millis, ReplicaId},
};

/// Who a node is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// The cluster's name: nodes of different clusters refuse each other.
    pub cluster: String,
    /// This node's region.
    pub region: String,
    /// This node's replica.
    pub replica: ReplicaId,
}

/// The other end of a link.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Peer {
    /// Its region: the one its certificate names.
    pub region: String,
    /// Its replica.
    pub replica: ReplicaId,
}

/// A stretch of one change log, to be applied as one durable commit.
///
/// Applying it means: judge every delta against what is held, commit records, index entries, changes (with
/// `Origin::Remote`), conflict records and the cursor `up_to` together, and only then answer. Deltas of stamps too far ahead are
/// parked in the same commit (see [`crate::parking`]). The cursor is raised, never lowered: a batch may come twice, and
/// two batches of one log may overlap after a reconnect.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Batch {
    /// Whose log it is, and of which table and partition.
    pub log: LogInfo,
    /// Who sent it.
    pub from: Peer,
    /// The stretch begins after this position. Parked deltas count from here for the watermark.
    pub after: Position,
    /// The cursor once it is applied.
    pub up_to: Position,
    /// In the sender's order. May be empty: then only the cursor moves, and that need not be synced at once.
    pub deltas: Vec<Delta>,
    /// When the first of it was sent, by the sender's wall clock.
    pub sent_ms: Millis,
}

/// What became of a batch.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Applied {
    /// Versions that became the replica's.
    pub applied: u32,
    /// Versions it held already, or knew to be outdated.
    pub duplicates: u32,
    /// Versions parked because their stamps are too far ahead.
    pub parked: u32,
    /// Conflicts recorded for the first time.
    pub conflicts: u32,
    /// Of those, versions that came and lost to the one held.
    pub refused: u32,
    /// Of those, versions that were held and lost to one that came. The rest another replica had found.
    pub displaced: u32,
}

/// Why a batch was not applied. Nothing of it was committed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ApplyError {
    /// The parking space of an origin is full: only this log waits, and is asked for again later.
    #[error("the parking space is full")]
    Stalled,
    /// The table or its replica here is gone or not known yet: asked for again when the catalog changes.
    #[error("the table is not known here")]
    Unknown,
    /// Storage failed: asked for again later.
    #[error("applying failed: {0}")]
    Failed(String),
}

/// Why the host could not answer. Asked again later.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct HostError(pub String);

/// A copy that this node should fetch: it joins a table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CopyOrder {
    /// The table.
    pub table: TableId,
    /// Which join this is: new for every time a region is added to the table.
    pub join: u64,
    /// The region to copy from.
    pub source: String,
    /// The last row that is durable here: the copy goes on after it.
    pub after: Option<CopyMark>,
}

/// A place in a copy: the partition hash and the item key of the last row. Copies go in this order.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct CopyMark(
    /// The partition hash.
    pub u64,
    /// The item key.
    #[serde(with = "crate::codec::bytes_field")]
    pub Bytes,
);

/// Some rows of a copy, as the source gives them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CopyPage {
    /// Versions (tombstones and parked ones too) and conflict records, in the order of [`CopyMark`].
    pub deltas: Vec<Delta>,
    /// The last key of the page; `None` if the table ends before any further row.
    pub last: Option<CopyMark>,
}

/// Why a source gives no copy now.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CopyError {
    /// The table is not known here, not complete here, or the asker is not admitted to it (yet).
    #[error("no copy of this table can be given: {0}")]
    Refused(String),
    /// Storage failed.
    #[error("reading failed: {0}")]
    Failed(String),
}
