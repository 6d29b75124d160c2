//! Names of tables, change logs and places in them.

use std::fmt;

use serde::{Deserialize, Serialize};
use xxhash_rust::xxh3::xxh3_64;

use crate::stamp::ReplicaId;

/// A table's id: given once, at creation, and never used again. A table dropped and created anew under the same name has
/// another id, so it never gets the old one's deltas. Table 0 is the catalog.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct TableId(pub u64);

impl TableId {
    /// The catalog: the system table that describes all others.
    pub const CATALOG: Self = Self(0);
}

impl fmt::Display for TableId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

/// A change log's id: globally unique and immutable.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct LogId(pub u64);

impl LogId {
    /// The id of a replica's change log for one partition of a table: XXH3-64 (seed 0) over the big-endian bytes of
    /// replica, table and partition. Replica ids are never used again, so neither are these.
    pub fn of(replica: ReplicaId, table: TableId, partition: u16) -> Self {
        let mut bytes = [0; 18];
        bytes[..8].copy_from_slice(&replica.0.to_be_bytes());
        bytes[8..16].copy_from_slice(&table.0.to_be_bytes());
        bytes[16..].copy_from_slice(&partition.to_be_bytes());
        Self(xxh3_64(&bytes))
    }
}

impl fmt::Display for LogId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

/// A place in a change log, in commit order: 0 is before the first record. Positions may have gaps; a record never
/// appears at or below a position that was already readable.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Position(pub u64);

impl Position {
    /// Before the first record.
    pub const START: Self = Self(0);

    /// The position just after this one.
    #[must_use]
    pub const fn next(self) -> Self {
        Self(self.0.saturating_add(1))
    }

    /// How far this position is ahead of an earlier one; 0 if it is not. An upper bound of the records between them.
    pub const fn since(self, earlier: Self) -> u64 {
        self.0.saturating_sub(earlier.0)
    }
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// What a receiver must know of a change log: whose it is and which keys it speaks of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct LogInfo {
    /// Its id.
    #[serde(rename = "l")]
    pub log: LogId,
    /// The table it belongs to.
    #[serde(rename = "t")]
    pub table: TableId,
    /// The partition it belongs to, by number.
    #[serde(rename = "p")]
    pub partition: u16,
    /// The replica whose log it is.
    #[serde(rename = "o")]
    pub origin: ReplicaId,
    /// The partition hashes it covers: first and last, both included.
    #[serde(rename = "r")]
    pub range: (u64, u64),
}

impl LogInfo {
    /// A replica's log for one partition of a table, with the id that follows from the three.
    pub fn new(origin: ReplicaId, table: TableId, partition: u16, range: (u64, u64)) -> Self {
        Self {
            log: LogId::of(origin, table, partition),
            table,
            partition,
            origin,
            range,
        }
    }
}
