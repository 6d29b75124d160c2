//! What the engine has done, for whoever exports it.

use std::{
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

use geodynamo_histogram::{Histogram, LATENCY_S, Snapshot};
use geodynamo_rocks_env::Waits;
use geodynamo_storage::{StorageError, Trouble};

/// Upper bounds of the buckets of commits in a batch.
const BATCH_COMMITS: [f64; 13] = [
    1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0, 512.0, 1024.0, 2048.0, 4096.0,
];

/// What a [`crate::RocksEngine`] has done since it was opened, and what it holds now.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct RocksMetrics {
    /// Commits carried out.
    pub commits: u64,
    /// Commits refused by a precondition.
    pub refused: u64,
    /// Commits that failed: the disk's fault.
    pub failed: u64,
    /// Bytes of the batches written: keys, values, records and their framing.
    pub bytes_written: u64,
    /// Commits in each batch; the count is the number of WAL syncs.
    pub batch_commits: Snapshot,
    /// Seconds that each batch's write took: WAL write, sync, memtables.
    pub write_seconds: Snapshot,
    /// Of those, seconds that the sync of the WAL took.
    pub sync_seconds: Snapshot,
    /// Seconds that writes waited for flushes and compaction: slowed, stopped, or while memtables were changed.
    pub stalled_seconds: f64,
    /// Jobs that wait for the committer now.
    pub queue_jobs: usize,
    /// Bytes of the jobs that wait now.
    pub queue_bytes: usize,
    /// Bytes in the cache, memtables included.
    pub cache_bytes: u64,
    /// Blocks (of data, indexes and filters) that were looked for and were in the block cache.
    pub block_cache_hits: u64,
    /// Blocks that were not.
    pub block_cache_misses: u64,
    /// Reads of one key that the row cache answered, preconditions of commits included.
    pub row_cache_hits: u64,
    /// Reads that it did not answer.
    pub row_cache_misses: u64,
    /// Bytes of rows in it.
    pub row_cache_bytes: u64,
    /// Bytes in memtables.
    pub memtable_bytes: u64,
    /// Bytes of table files on disk, the WAL not counted.
    pub table_bytes: u64,
    /// Bytes of those that hold rows of the class Standard.
    pub standard_bytes: u64,
    /// Bytes of those that hold rows of the class Infrequent.
    pub infrequent_bytes: u64,
    /// Prefixes of keys whose rows are being moved to another class now.
    pub moving: usize,
    /// Bytes of rows that were moved to another class.
    pub moved_bytes: u64,
    /// Bytes of files that memtables were written to.
    pub flushed_bytes: u64,
    /// Bytes of files that compactions read.
    pub compaction_read_bytes: u64,
    /// Bytes of files that compactions wrote.
    pub compaction_written_bytes: u64,
    /// Bytes that compaction has to rewrite, as RocksDB estimates.
    pub compaction_pending_bytes: u64,
    /// Bytes a second that RocksDB slows writes to now; zero if it does not.
    pub write_rate_limit: u64,
    /// Whether RocksDB has stopped writes now.
    pub writes_stopped: bool,
    /// Why the engine takes no writes now, if it does not.
    pub trouble: Option<Trouble>,
    /// How often the engine came to take writes again after it had not.
    pub recoveries: u64,
    /// Reads that failed.
    pub reads_failed: u64,
    /// Bytes kept in reserve for a full disk.
    pub reserve_bytes: u64,
    /// Damaged files that were taken out of use.
    pub quarantined_files: u64,
    /// Damaged files that were not, yet or for good.
    pub suspect_files: u64,
    /// Those of them that will never be: what they hold cannot be done without.
    pub hopeless_files: u64,
    /// Ranges of rows and of log records that were in such a file and are not mended.
    pub distrusted_ranges: u64,
}

/// The counters behind [`RocksMetrics`]. One thread counts, any may read.
#[derive(Debug)]
pub(crate) struct Counters {
    commits: AtomicU64,
    refused: AtomicU64,
    failed: AtomicU64,
    bytes_written: AtomicU64,
    recoveries: AtomicU64,
    reads_failed: AtomicU64,
    reserve_bytes: AtomicU64,
    moved_bytes: AtomicU64,
    batch_commits: Histogram,
    write_seconds: Histogram,
    sync_seconds: Histogram,
    /// In nanoseconds.
    stalled: AtomicU64,
    /// How long the last batch's write took, in microseconds.
    last_write: AtomicU64,
}

impl Default for Counters {
    fn default() -> Self {
        Self {
            commits: AtomicU64::new(0),
            refused: AtomicU64::new(0),
            failed: AtomicU64::new(0),
            bytes_written: AtomicU64::new(0),
            recoveries: AtomicU64::new(0),
            reads_failed: AtomicU64::new(0),
            reserve_bytes: AtomicU64::new(0),
            moved_bytes: AtomicU64::new(0),
            batch_commits: Histogram::new(&BATCH_COMMITS),
            write_seconds: Histogram::new(LATENCY_S),
            sync_seconds: Histogram::new(LATENCY_S),
            stalled: AtomicU64::new(0),
            last_write: AtomicU64::new(0),
        }
    }
}

impl Counters {
    pub(crate) fn wrote(&self, commits: u64, bytes: usize, took: Duration, waits: Waits) {
        self.commits.fetch_add(commits, Ordering::Relaxed);
        self.bytes_written.fetch_add(bytes as u64, Ordering::Relaxed);
        self.batch_commits.record(commits as f64);
        self.write_seconds.record(took.as_secs_f64());
        if !waits.synced.is_zero() {
            self.sync_seconds.record(waits.synced.as_secs_f64());
        }
        self.stalled(waits.delayed);
        let micros = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        self.last_write.store(micros, Ordering::Relaxed);
    }

    pub(crate) fn stalled(&self, waited: Duration) {
        let nanos = u64::try_from(waited.as_nanos()).unwrap_or(u64::MAX);
        self.stalled.fetch_add(nanos, Ordering::Relaxed);
    }

    /// How long the last batch's write took: to whoever has just been answered, his own's, or the next one's.
    pub(crate) fn last_write(&self) -> Duration {
        Duration::from_micros(self.last_write.load(Ordering::Relaxed))
    }

    pub(crate) fn refused(&self, commits: u64) {
        self.refused.fetch_add(commits, Ordering::Relaxed);
    }

    pub(crate) fn failed(&self, commits: u64) {
        self.failed.fetch_add(commits, Ordering::Relaxed);
    }

    pub(crate) fn recovered(&self) {
        self.recoveries.fetch_add(1, Ordering::Relaxed);
    }

    /// Counts a read if it failed.
    pub(crate) fn counted<T>(&self, read: Result<T, StorageError>) -> Result<T, StorageError> {
        if let Err(StorageError::Io(_)) = &read {
            self.reads_failed.fetch_add(1, Ordering::Relaxed);
        }
        read
    }

    pub(crate) fn reserved(&self, bytes: u64) {
        self.reserve_bytes.store(bytes, Ordering::Relaxed);
    }

    pub(crate) fn moved(&self, bytes: u64) {
        self.moved_bytes.fetch_add(bytes, Ordering::Relaxed);
    }

    pub(crate) fn read(&self) -> RocksMetrics {
        RocksMetrics {
            commits: self.commits.load(Ordering::Relaxed),
            refused: self.refused.load(Ordering::Relaxed),
            failed: self.failed.load(Ordering::Relaxed),
            bytes_written: self.bytes_written.load(Ordering::Relaxed),
            batch_commits: self.batch_commits.snapshot(),
            write_seconds: self.write_seconds.snapshot(),
            sync_seconds: self.sync_seconds.snapshot(),
            stalled_seconds: Duration::from_nanos(self.stalled.load(Ordering::Relaxed)).as_secs_f64(),
            recoveries: self.recoveries.load(Ordering::Relaxed),
            reads_failed: self.reads_failed.load(Ordering::Relaxed),
            reserve_bytes: self.reserve_bytes.load(Ordering::Relaxed),
            moved_bytes: self.moved_bytes.load(Ordering::Relaxed),
            ..RocksMetrics::default()
        }
    }
}
