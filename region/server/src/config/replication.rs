//! `[replication]`: how regions exchange what is written.

use serde::Deserialize;

use super::field::Within;

/// How regions exchange what is written.
#[derive(Clone, PartialEq, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Replication {
    /// How far ahead of this node's clock a delta's stamp may be, in milliseconds; further ones are parked.
    pub drift_max_ms: Within<1, 3_600_000>,
    /// The most deltas that are parked.
    pub parked_max: Within<1, 100_000_000>,
    /// For how long a region that was the source of a copy cannot be deleted, in seconds. DynamoDB's are 86,400; here nothing
    /// needs it.
    pub source_held_seconds: Within<0, 31_536_000>,
    /// For how long a region may be out of reach, or a table's key away, before its replicas and the others part, in seconds:
    /// each side keeps what it has, and goes on without the other. 0 is for ever. DynamoDB's are 20 hours.
    pub part_after_seconds: Within<0, 31_536_000>,
    /// How often each table is compared with each other region's, in seconds; 0 is only when asked to.
    pub verify_seconds: Within<0, 31_536_000>,
    /// How many MiB of rows are read for that in a second.
    pub verify_mb_per_second: Within<1, 100_000>,
    /// How often each table is looked through for tombstones that nobody needs any more, and conflict records that are too
    /// old, in seconds; 0 is never. It is read at the rate of verifications.
    pub collect_seconds: Within<0, 31_536_000>,
    /// How many days the record of a conflict is kept.
    pub conflicts_days: Within<1, 36_500>,
    /// The most conflict records that a table keeps; the oldest go first.
    pub conflicts_max: Within<1, 10_000_000>,
}

impl Default for Replication {
    fn default() -> Self {
        Self {
            drift_max_ms: Within::new(1000),
            parked_max: Within::new(100_000),
            source_held_seconds: Within::new(0),
            part_after_seconds: Within::new(72_000),
            verify_seconds: Within::new(3600),
            verify_mb_per_second: Within::new(8),
            collect_seconds: Within::new(3600),
            conflicts_days: Within::new(30),
            conflicts_max: Within::new(1_000_000),
        }
    }
}
