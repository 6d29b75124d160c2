//! How a region's tables are set up.

use std::sync::Arc;

use geodynamo_replicator_core::{Millis, ReplicaId, parking::ParkingLimits};

use crate::{ThrottleOptions, TimeSource};

/// How a region's tables are set up.
#[derive(Clone)]
pub struct Options {
    /// This region.
    pub region: String,
    /// Every region of the topology, this one too.
    pub regions: Vec<String>,
    /// The account number in ARNs.
    pub account: String,
    /// How many partitions a new table has; 0 for as many as DynamoDB gives it for its throughput.
    pub partitions: u16,
    /// What may be parked.
    pub parking: ParkingLimits,
    /// How items expire.
    pub ttl: TtlOptions,
    /// How requests are throttled.
    pub throttle: ThrottleOptions,
    /// What streams keep, and how their shards follow each other.
    pub streams: StreamOptions,
    /// How tables are compared with other regions'.
    pub verify: VerifyOptions,
    /// What is kept of items and versions that are gone.
    pub collect: CollectOptions,
    /// Local time.
    pub time: Arc<dyn TimeSource>,
    /// The largest item collection of a table with local indexes, in bytes; see [`crate::COLLECTION_BYTES_MAX`].
    pub collection_bytes_max: u64,
    /// The id that the replica gets if its data directory is fresh: random, so that it was never used before.
    pub new_replica: ReplicaId,
    /// Whether another node writes these tables, and this one reads what it has: see [`crate::Following`].
    pub following: bool,
}

/// How streams are set up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StreamOptions {
    /// How old a shard becomes before a child continues it, in milliseconds.
    pub shard_ms: Millis,
    /// How long records are kept, in milliseconds.
    pub retention_ms: Millis,
    /// How often a shard may be read in a second, by all together; 0 is as often as one likes.
    pub reads_per_second: u32,
}

impl Default for StreamOptions {
    fn default() -> Self {
        Self {
            shard_ms: SHARD_MS,
            retention_ms: STREAM_RETENTION_MS,
            reads_per_second: 0,
        }
    }
}

/// How items expire.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TtlOptions {
    /// How often expired items are looked for, in milliseconds.
    pub sweep_ms: Millis,
    /// How long expired items are left to the region that wrote them, in milliseconds. A region deletes them itself
    /// afterwards: the other may be cut off, or gone.
    pub grace_ms: Millis,
    /// How long a table's setting stays before it may be changed again, in milliseconds.
    pub change_interval_ms: Millis,
}

impl Default for TtlOptions {
    /// Expired items are gone within half a minute, whoever wrote them; the setting may change once an hour, as in
    /// DynamoDB.
    fn default() -> Self {
        Self {
            sweep_ms: 5_000,
            grace_ms: 20_000,
            change_interval_ms: 60 * 60 * 1000,
        }
    }
}

/// How tables are verified.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct VerifyOptions {
    /// How often each table is verified with each region, in milliseconds; 0 is never by itself.
    pub every_ms: Millis,
    /// How many bytes of rows are read for it in a second, for all of a region's verifications.
    pub bytes_per_second: u64,
}

impl Default for VerifyOptions {
    fn default() -> Self {
        Self {
            every_ms: 3_600_000,
            bytes_per_second: 8 << 20,
        }
    }
}

/// What is kept for conflicts' sake.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CollectOptions {
    /// How often tables are looked through, in milliseconds; 0 is never.
    pub every_ms: Millis,
    /// How long a conflict's record is kept, in milliseconds, from when its loser was written.
    pub conflicts_ms: Millis,
    /// The most conflict records of a table; the oldest go.
    pub conflicts_max: usize,
}

impl Default for CollectOptions {
    fn default() -> Self {
        Self {
            every_ms: 3_600_000,
            conflicts_ms: 30 * 86_400_000,
            conflicts_max: 1_000_000,
        }
    }
}

/// How long a stream keeps its records unless told otherwise, in milliseconds: 24 hours, as in DynamoDB.
pub const STREAM_RETENTION_MS: Millis = 24 * 60 * 60 * 1000;

/// How old a shard becomes unless told otherwise, in milliseconds: about four hours, as in DynamoDB.
pub const SHARD_MS: Millis = 4 * 60 * 60 * 1000;
