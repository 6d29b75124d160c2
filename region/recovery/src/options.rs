//! How backups are kept.

use geodynamo_replicator_core::Millis;

const SECOND: Millis = 1000;
const HOUR: Millis = 60 * 60 * SECOND;
const DAY: Millis = 24 * HOUR;

/// How backups are kept. Times are in milliseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Options {
    /// How often the change log of a table is shipped.
    pub ship_ms: Millis,
    /// How large a segment's content gets at most, but for its last record, in bytes.
    pub segment_bytes: usize,
    /// How large a chunk of a base gets, likewise.
    pub chunk_bytes: usize,
    /// A new base is made once the log since the last one has as many bytes as that, and at least so many.
    pub base_log_bytes_min: u64,
    /// A new base is made once the last one is so old, if anything has changed since.
    pub base_age_ms: Millis,
    /// How often a segment is written although nothing has changed, so that the archive by itself says so.
    pub heartbeat_ms: Millis,
    /// How long the log on disk waits for the archive.
    pub behind_ms_max: Millis,
    /// How many changes of a table wait for the archive.
    pub behind_records_max: u64,
    /// How long a table that is being deleted waits until the archive has the last of it.
    pub delete_wait_ms_max: Millis,
    /// How many bytes of changes a reader of a moment holds in memory at a time.
    pub overlay_bytes_max: usize,
    /// How many tables are shipped at once.
    pub ships_max: usize,
    /// How many backups are written at once.
    pub backups_max: usize,
    /// How many tables are restored at once.
    pub restores_max: usize,
    /// How many bytes of the archive are read in a second to find damage; 0: none are.
    pub scrub_bytes_per_second: u64,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            ship_ms: 5 * SECOND,
            segment_bytes: 8 << 20,
            chunk_bytes: 8 << 20,
            base_log_bytes_min: 64 << 20,
            base_age_ms: 7 * DAY,
            heartbeat_ms: HOUR,
            behind_ms_max: 6 * HOUR,
            behind_records_max: 20_000_000,
            delete_wait_ms_max: HOUR / 6,
            overlay_bytes_max: 64 << 20,
            ships_max: 8,
            // As in DynamoDB, 50 at a time.
            backups_max: 50,
            restores_max: 50,
            scrub_bytes_per_second: 0,
        }
    }
}
