//! The Apache Cassandra engine: what a region's nodes share when one machine is not enough.
//!
//! # The log is the database
//! A slot (a region has one so far) has one log, which one node at a time writes: the owner. `commit` puts a commit into a
//! queue; the committer makes one *entry* of all that wait, and writes it, with the records of change logs that belong to it,
//! by one lightweight transaction: if the partition's epoch is the owner's, and the place behind the last entry is free. So
//! consensus is paid once for many commits, places have no gaps, and an owner that was replaced commits nothing, whatever its
//! clock says. The log is cut into *stretches*, a Cassandra partition each; the last entry of a stretch says that it ends, and
//! only behind that the next one is begun. An entry whose answer did not come is written again, under the same epoch and place,
//! until it is clear what became of it.
//!
//! # Rows follow
//! The follower (`follower.rs`) writes rows by plain upserts at QUORUM whose timestamp is the entry's place: idempotent and
//! free of order. Until then, reads are answered from the overlay, which is bounded: commits wait for the follower. How far
//! rows have followed is stored now and then; a new owner takes the lease, raises the epoch in the log, reads the log from
//! there, and serves.
//!
//! # One moment
//! Scans, reads of several keys and snapshots are views (`views.rs`): the overlay of their moment over rows, which do not go
//! on past it, or, for a view that stays open, keep for it what they write over.
//!
//! # Reads from memory
//! The owner answers from memory without asking anyone while its lease lasts, by a clock that nobody sets
//! (`tenure.rs`). A lease is taken over by who has watched it unrenewed for its whole length.
//!
//! # Nodes that stand by
//! A node that does not write reads all the same: it follows the log's tail (`reader.rs`), and knows how old what it sees
//! may be.

use std::{
    future::Future,
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use bytes::Bytes;
use geodynamo_storage::{
    Commit, Engine, Health, LogId, LogRecord, Page, Position, Scan, Snapshot, StorageError, Trouble,
};
use tokio::sync::watch;

mod cache;
mod campaign;
mod committer;
mod entry;
mod follower;
mod logs;
mod options;
mod overlay;
mod pages;
mod queue;
mod reader;
mod rows;
mod schema;
mod shared;
mod statements;
mod store;
mod tenure;
mod views;

pub use campaign::{Campaign, Readings, Standing, create_schema};
pub use options::{CassandraOptions, Slot, Take};
pub use reader::{CassandraReader, Caught};
pub use schema::schema;
pub use store::Lease;

use campaign::Threads;
use logs::Paged;
use queue::Job;
use shared::{Ending, Shared};
use views::View;

/// The most bytes of keys, values and records in one commit: a Cassandra node takes no mutation that is larger than half a
/// segment of its commit log, which is 16 MiB by default.
pub const COMMIT_BYTES_MAX: usize = 12 << 20;
/// How long closing waits for rows to follow; what they have not followed, the next owner reads from the log.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(10);
/// How long closing waits for the lease to be given up; otherwise it is over by itself.
const RELEASE_TIMEOUT: Duration = Duration::from_secs(2);

/// Storage in Apache Cassandra, of the node that writes the slot's log.
///
/// Dropping it leaves the rest to the log, and the lease to its end; [`Engine::close`] lets rows follow all of the log, and gives
/// the lease up.
#[derive(Debug)]
pub struct CassandraEngine {
    shared: Arc<Shared>,
    threads: Threads,
}

/// What the engine has done and holds.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CassandraMetrics {
    /// The owner's epoch.
    pub epoch: i64,
    /// The last entry of the log.
    pub committed: i64,
    /// The last entry that rows have followed.
    pub followed: i64,
    /// Bytes of entries that rows have not followed.
    pub overlay_bytes: u64,
    /// Commits that wait.
    pub queue_jobs: u64,
    /// Bytes of commits that wait.
    pub queue_bytes: u64,
    /// Entries written.
    pub entries: u64,
    /// Commits and trims in them.
    pub commits: u64,
    /// Entries whose answer did not come, each time.
    pub unknown: u64,
    /// Rows written.
    pub rows: u64,
    /// Rows read one by one.
    pub reads: u64,
    /// Rows kept for views.
    pub undone: u64,
    /// Reads of one row answered from the cache.
    pub row_cache_hits: u64,
    /// Reads of one row that were not.
    pub row_cache_misses: u64,
    /// Why no writes are taken, if they are not.
    pub trouble: Option<Trouble>,
}

impl CassandraEngine {
    fn new(shared: Arc<Shared>, threads: Threads) -> Self {
        Self { shared, threads }
    }

    /// Waits until this node writes the slot's log, and opens it.
    ///
    /// # Errors
    /// [`StorageError::Io`] if Cassandra cannot be reached, has not the tables, or what it has cannot be read.
    pub async fn open(options: CassandraOptions) -> Result<Self, StorageError> {
        Campaign::start(options).await?.won().await
    }

    /// Turns true once another node has taken over: then the engine does nothing more.
    pub fn lost(&self) -> watch::Receiver<bool> {
        self.shared.tenure.lost()
    }

    /// What the engine has done and holds.
    pub fn metrics(&self) -> CassandraMetrics {
        let shared = &self.shared;
        let counters = &shared.counters;
        let (queue_jobs, queue_bytes) = shared.queue.load();
        let (row_cache_hits, row_cache_misses) = shared.cache.usage();
        let state = shared.state.lock();
        CassandraMetrics {
            epoch: shared.epoch,
            committed: state.committed,
            followed: state.followed,
            overlay_bytes: state.pending_bytes as u64,
            queue_jobs,
            queue_bytes,
            entries: counters.entries.load(Ordering::Relaxed),
            commits: counters.commits.load(Ordering::Relaxed),
            unknown: counters.unknown.load(Ordering::Relaxed),
            rows: counters.rows.load(Ordering::Relaxed),
            reads: counters.reads.load(Ordering::Relaxed),
            undone: counters.undone.load(Ordering::Relaxed),
            row_cache_hits,
            row_cache_misses,
            trouble: shared.health.borrow().trouble(),
        }
    }

    fn hand_over(
        &self,
        job: Job,
    ) -> Result<impl Future<Output = Result<Vec<Position>, StorageError>> + Send + use<>, StorageError> {
        self.shared.check_open()?;
        let answer = self.shared.queue.push(job)?;
        Ok(async move { answer.await.unwrap_or(Err(StorageError::Closed)) })
    }

    /// Records of a log that are no longer in memory.
    async fn read_stored(
        &self,
        log: LogId,
        after: Position,
        last: Position,
        page: &mut Paged,
        bytes_max: usize,
    ) -> Result<(), StorageError> {
        /// Bytes that are read ahead of what was asked for.
        const READ_BYTES_MAX: usize = 4 << 20;
        let stretches = self.shared.state.lock().stretches.behind(log, after);
        for stretch in stretches {
            let bytes_max = bytes_max.min(READ_BYTES_MAX);
            let found = self.shared.store.records(stretch, log, after, bytes_max).await?;
            for (end, payload) in found {
                let records = entry::decode_records(payload)?;
                let first = (end.0 + 1).saturating_sub(records.len() as u64);
                for (position, record) in (first..).map(Position).zip(records) {
                    if position <= after {
                        continue;
                    }
                    // The log may be longer in Cassandra than what is visible.
                    if position > last || !page.push(position, record) {
                        return Ok(());
                    }
                }
            }
            if !page.records.is_empty() {
                return Ok(());
            }
        }
        Ok(())
    }
}

impl Engine for CassandraEngine {
    type Snapshot = CassandraSnapshot;

    /// A slot has one log, and a commit is one entry of it.
    fn spans_groups(&self) -> bool {
        true
    }

    fn commit_bytes_max(&self) -> usize {
        COMMIT_BYTES_MAX
    }

    async fn get(&self, key: &[u8]) -> Result<Option<Bytes>, StorageError> {
        self.shared.check_open()?;
        if key.len() > geodynamo_storage::KEY_BYTES_MAX {
            return Ok(None);
        }
        let value = self.shared.value(key).await?;
        self.shared.check().await?;
        Ok(value)
    }

    async fn get_many(&self, keys: &[Bytes]) -> Result<Vec<Option<Bytes>>, StorageError> {
        if let [key] = keys {
            return Ok(vec![self.get(key).await?]);
        }
        self.shared.check_open()?;
        let values = View::open(&self.shared).get_many(keys).await?;
        self.shared.check().await?;
        Ok(values)
    }

    async fn get_each(&self, keys: &[Bytes]) -> Result<Vec<Option<Bytes>>, StorageError> {
        use futures_util::{StreamExt, TryStreamExt, stream};
        stream::iter(keys.to_vec())
            .map(|key| async move { self.get(&key).await })
            .buffered(pages::GETS_AT_ONCE)
            .try_collect()
            .await
    }

    async fn scan(&self, scan: Scan) -> Result<Page, StorageError> {
        self.shared.check_open()?;
        let page = View::open(&self.shared).scan(&scan).await?;
        self.shared.check().await?;
        Ok(page)
    }

    fn snapshot(&self) -> CassandraSnapshot {
        let view = self.shared.check_open().map(|()| View::open(&self.shared));
        CassandraSnapshot { view }
    }

    fn commit(&self, commit: Commit) -> impl Future<Output = Result<Vec<Position>, StorageError>> + Send + use<> {
        let answer = commit
            .check_within(COMMIT_BYTES_MAX)
            .and_then(|()| self.hand_over(Job::Commit(commit)));
        async move { answer?.await }
    }

    async fn log_read(
        &self,
        log: LogId,
        after: Position,
        rows_max: usize,
        bytes_max: usize,
    ) -> Result<Vec<LogRecord>, StorageError> {
        loop {
            self.shared.check_open()?;
            let (after, last) = {
                let state = self.shared.state.lock();
                let end = state.end(log);
                let after = after.max(end.trimmed);
                if after >= end.last {
                    return Ok(Vec::new());
                }
                if let Some(records) = state.tail.read(log, after, rows_max, bytes_max) {
                    return Ok(records);
                }
                (after, end.last)
            };
            let mut page = Paged::new(rows_max, bytes_max);
            self.read_stored(log, after, last, &mut page, bytes_max).await?;
            self.shared.check().await?;
            // What was trimmed meanwhile may be gone already.
            if self.shared.state.lock().end(log).trimmed > after {
                continue;
            }
            return match page.records.first() {
                Some(first) if first.position.0 == after.0 + 1 => Ok(page.records),
                _ => Err(entry::damaged("a change log has a gap, and")),
            };
        }
    }

    async fn log_end(&self, log: LogId) -> Result<Position, StorageError> {
        self.shared.check().await?;
        Ok(self.shared.state.lock().end(log).last)
    }

    async fn log_trim(&self, log: LogId, up_to: Position) -> Result<(), StorageError> {
        self.hand_over(Job::Trim(log, up_to))?.await.map(drop)
    }

    fn log_activity(&self) -> watch::Receiver<u64> {
        self.shared.activity.subscribe()
    }

    fn health(&self) -> watch::Receiver<Health> {
        self.shared.health.subscribe()
    }

    async fn close(&self) -> Result<(), StorageError> {
        let shared = &self.shared;
        shared.close();
        let mut ending = shared.ending.subscribe();
        let followed = ending.wait_for(|ending| *ending == Ending::Followed);
        let result = match tokio::time::timeout(CLOSE_TIMEOUT, followed).await {
            Ok(Ok(_)) => Ok(()),
            _ => Err(StorageError::Io("rows did not follow the log in time".into())),
        };
        if !shared.tenure.is_lost() {
            shared.tenure.lose();
            // On the engine's own threads: the caller's may end.
            let (store, epoch) = (Arc::clone(&shared.store), shared.epoch);
            let releasing = self.threads.run(async move { store.release(epoch).await });
            let _ = tokio::time::timeout(RELEASE_TIMEOUT, releasing).await;
        }
        result
    }
}

impl Drop for CassandraEngine {
    fn drop(&mut self) {
        self.shared.close();
        self.shared.queue.abandon();
        self.shared.tenure.lose();
    }
}

/// A view of a [`CassandraEngine`] at one moment.
///
/// It holds back no one: rows go on past it, and what they write over is kept for it, up to 64 MiB. A snapshot under which more
/// than that was overwritten fails all further reads.
#[derive(Debug)]
pub struct CassandraSnapshot {
    view: Result<View, StorageError>,
}

impl CassandraSnapshot {
    fn view(&self) -> Result<&View, StorageError> {
        let view = self.view.as_ref().map_err(Clone::clone)?;
        view.shared().check_open()?;
        Ok(view)
    }
}

impl Snapshot for CassandraSnapshot {
    async fn get(&self, key: &[u8]) -> Result<Option<Bytes>, StorageError> {
        let view = self.view()?;
        let value = view.get(key).await?;
        view.shared().check().await?;
        Ok(value)
    }

    async fn scan(&self, scan: Scan) -> Result<Page, StorageError> {
        let view = self.view()?;
        let page = view.scan(&scan).await?;
        view.shared().check().await?;
        Ok(page)
    }

    async fn log_end(&self, log: LogId) -> Result<Position, StorageError> {
        Ok(self
            .view()?
            .moment()
            .ends
            .get(&log)
            .map_or(Position::START, |end| end.last))
    }
}
