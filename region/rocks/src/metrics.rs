//! What the engine has done, for whoever exports it.

use std::{
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

use geodynamo_storage::{StorageError, Trouble};

/// Upper bounds of the buckets of commits in a batch.
const BATCH_BOUNDS: [u64; 13] = [1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024, 2048, 4096];
/// Upper bounds of the buckets of a batch's write, in microseconds.
const WRITE_BOUNDS_MICROS: [u64; 16] = [
    50, 100, 200, 300, 500, 750, 1_000, 1_500, 2_000, 3_000, 5_000, 10_000, 25_000, 50_000, 100_000, 1_000_000,
];

/// What a [`crate::RocksEngine`] has done since it was opened, and what it holds now.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
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
    pub batch_commits: Distribution,
    /// Microseconds that each batch's write took: WAL write, sync, memtables.
    pub write_micros: Distribution,
    /// Jobs that wait for the committer now.
    pub queue_jobs: usize,
    /// Bytes of the jobs that wait now.
    pub queue_bytes: usize,
    /// Bytes in the cache, memtables included.
    pub cache_bytes: u64,
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
}

/// A histogram.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Distribution {
    /// The buckets' upper bounds, inclusive; one more bucket follows, without a bound.
    pub bounds: &'static [u64],
    /// How many values are in each bucket (not cumulative); one more than bounds.
    pub counts: Vec<u64>,
    /// The sum of all values.
    pub sum: u64,
}

impl Distribution {
    /// How many values there are.
    pub fn count(&self) -> u64 {
        self.counts.iter().sum()
    }
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
    batch_commits: Buckets<{ BATCH_BOUNDS.len() + 1 }>,
    write_micros: Buckets<{ WRITE_BOUNDS_MICROS.len() + 1 }>,
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
            batch_commits: Buckets::new(&BATCH_BOUNDS),
            write_micros: Buckets::new(&WRITE_BOUNDS_MICROS),
        }
    }
}

impl Counters {
    pub(crate) fn wrote(&self, commits: u64, bytes: usize, took: Duration) {
        self.commits.fetch_add(commits, Ordering::Relaxed);
        self.bytes_written.fetch_add(bytes as u64, Ordering::Relaxed);
        self.batch_commits.record(commits);
        self.write_micros
            .record(u64::try_from(took.as_micros()).unwrap_or(u64::MAX));
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
            batch_commits: self.batch_commits.read(),
            write_micros: self.write_micros.read(),
            recoveries: self.recoveries.load(Ordering::Relaxed),
            reads_failed: self.reads_failed.load(Ordering::Relaxed),
            reserve_bytes: self.reserve_bytes.load(Ordering::Relaxed),
            moved_bytes: self.moved_bytes.load(Ordering::Relaxed),
            ..RocksMetrics::default()
        }
    }
}

#[derive(Debug)]
struct Buckets<const N: usize> {
    bounds: &'static [u64],
    counts: [AtomicU64; N],
    sum: AtomicU64,
}

impl<const N: usize> Buckets<N> {
    fn new(bounds: &'static [u64]) -> Self {
        Self {
            bounds,
            counts: std::array::from_fn(|_| AtomicU64::new(0)),
            sum: AtomicU64::new(0),
        }
    }

    fn record(&self, value: u64) {
        let bucket = self.bounds.partition_point(|bound| *bound < value);
        if let Some(count) = self.counts.get(bucket) {
            count.fetch_add(1, Ordering::Relaxed);
        }
        self.sum.fetch_add(value, Ordering::Relaxed);
    }

    fn read(&self) -> Distribution {
        Distribution {
            bounds: self.bounds,
            counts: self.counts.iter().map(|count| count.load(Ordering::Relaxed)).collect(),
            sum: self.sum.load(Ordering::Relaxed),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_fall_into_their_buckets() {
        let buckets = Buckets::<{ BATCH_BOUNDS.len() + 1 }>::new(&BATCH_BOUNDS);
        let check = |value: u64, bucket: usize| {
            let before = buckets.read();
            buckets.record(value);
            let after = buckets.read();
            assert_eq!(after.counts[bucket], before.counts[bucket] + 1, "{value}");
            assert_eq!(
                (after.count(), after.sum),
                (before.count() + 1, before.sum + value),
                "{value}"
            );
        };
        check(0, 0);
        check(1, 0);
        check(2, 1);
        check(3, 2);
        check(4096, 12);
        check(4097, 13);
    }
}
