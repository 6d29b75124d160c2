//! The RocksDB engine: the embedded default. It spans groups.
//!
//! # How a commit travels
//! `commit` puts the commit into a bounded queue. One thread drains the queue, checks preconditions against the database
//! and the commits before in the same batch, gives the log positions, writes everything as one RocksDB write batch with
//! one WAL sync, then answers every commit of it. While one sync runs, the next batch accumulates; nothing is delayed to
//! make a batch larger. RocksDB publishes a synced batch to readers only after the WAL's sync, so nothing is visible
//! before it is durable, and a reader sees all of a commit or nothing.
//!
//! Log records go into segments, which keep compactions from writing them again and again (`segments.rs`). After so many
//! bytes (`RocksOptions::turn_bytes`) all memtables are flushed together: then the next segment and the next WAL begin.
//!
//! Reads run where they are called: most are answered from memory in microseconds, and a hand-over to another thread
//! would cost more than it saves.
//!
//! # Classes
//! Rows of [`StorageClass::Infrequent`] lie in a column family of their own, whose files take less room and more time to read.
//! `classes.rs` tells how they get there and back.
//!
//! # Loads
//! Many rows at once come in table files, past the committer: `ingest`.
//!
//! # When the machine fails
//! A write or sync that fails ends writing, but not reading: `recovery.rs` tells what passes from what does not, and how the
//! engine comes back without a restart. [`Engine::health`] says how it is.
//!
//! # Encryption
//! With [`RocksOptions::seal`], RocksDB's files are written through a file system that encrypts them (`geodynamo-rocks-env`).
//! The files beside the store hold nothing: the lock a process's id, the reserve nothing at all, the mark (`mark.rs`) a number.
//!
//! # Memory
//! One cache of [`RocksOptions::block_cache_bytes`] + [`RocksOptions::memtable_bytes`] holds data, index and filter
//! blocks, and is charged for the memtables. [`RocksOptions::row_cache_bytes`] hold single rows that were read lately:
//! reads of one key come from there if they can. Once either is full, few reads of single rows bring in what they found
//! (`admission.rs`), and scans of [`Scan::once`] bring in nothing. The queue holds at most [`QUEUE_BYTES_MAX`] and one
//! commit, and [`TAIL_BYTES_MAX`] of the newest log records stay in memory for those who follow the logs.

use std::{future::Future, path::Path, sync::Arc, thread::JoinHandle, time::Instant};

use bytes::Bytes;
use geodynamo_storage::{
    Commit, Distrusted, Engine, Health, IngestDoor, LogId, LogRecord, Page, Position, Prefix, Scan, StorageClass,
    StorageError, effort,
};
use parking_lot::Mutex;
use tokio::sync::watch;

mod admission;
mod batch;
mod chain;
mod classes;
mod cold_dir;
mod committer;
mod damage;
mod disk;
mod holder;
mod ingest;
mod layout;
mod lock;
mod mark;
mod metrics;
mod mover;
mod options;
mod overlay;
mod quarantine;
mod queue;
mod recovery;
mod row_cache;
mod rows;
mod segments;
mod snapshot;
mod statistics;
mod store;
mod tail;
mod trouble;
mod upkeep;
mod wal;

pub use ingest::loads_of;
pub use layout::FORMAT;
pub use metrics::RocksMetrics;
pub use options::RocksOptions;
pub use queue::{BATCH_BYTES_MAX, BATCH_JOBS_MAX, QUEUE_BYTES_MAX, QUEUE_JOBS_MAX};
pub use snapshot::RocksSnapshot;
pub use tail::TAIL_BYTES_MAX;
pub use upkeep::{Damaged, ScrubPlace, Scrubbed};

use classes::{Placement, Spot};
use committer::{Committer, Shared};
use lock::Lock;
use queue::{Answer, Job, Trusted};
use row_cache::Found;
use store::Store;

/// Storage in RocksDB.
///
/// Dropping it carries out what was handed over and leaves the rest to the WAL; [`Engine::close`] also writes the
/// memtables out, so that the next start is quick. The directory stays locked until the engine and all its snapshots are
/// dropped. Beside it lie files of its name: `.lock`, `.mark`, and
/// `.reserve` if there is one.
#[derive(Debug)]
pub struct RocksEngine {
    shared: Arc<Shared>,
    committer: Mutex<Option<JoinHandle<()>>>,
    mover: Mutex<Option<JoinHandle<()>>>,
    loads: ingest::Door,
    _lock: Lock,
    _cold_lock: Option<Lock>,
}

impl RocksEngine {
    /// Opens the store in a directory, which is made if it is not there.
    ///
    /// # Errors
    /// [`StorageError::Io`] if the directory cannot be used, is in use, is damaged, or was written in a format that this
    /// program does not know.
    pub fn open(path: impl AsRef<Path>, options: RocksOptions) -> Result<Self, StorageError> {
        let lock = Lock::take(path.as_ref())?;
        let cold_lock = options.cold_dir.as_deref().map(Lock::take_in).transpose()?;
        cold_dir::check(path.as_ref(), options.cold_dir.as_deref())?;
        let rate = options.move_bytes_per_second;
        let (shared, committer) = Committer::open(path.as_ref(), options.clone())?;
        let loads = ingest::Door::new(&shared, options, path.as_ref());
        let failed = |error| StorageError::Io(format!("no thread for commits: {error}").into());
        let thread = std::thread::Builder::new().name("rocks-committer".into());
        let committer = thread.spawn(move || committer.run()).map_err(failed)?;
        let mut engine = Self {
            shared,
            committer: Mutex::new(Some(committer)),
            mover: Mutex::new(None),
            loads,
            _lock: lock,
            _cold_lock: cold_lock,
        };
        let thread = std::thread::Builder::new().name("rocks-mover".into());
        let shared = engine.shared.clone();
        let mover = thread.spawn(move || mover::run(&shared, rate)).map_err(failed)?;
        *engine.mover.get_mut() = Some(mover);
        Ok(engine)
    }

    /// What the engine has done and holds. Reading it is cheap enough for every scrape: a millisecond or so.
    pub fn metrics(&self) -> RocksMetrics {
        let mut metrics = self.shared.counters.read();
        (metrics.queue_jobs, metrics.queue_bytes) = self.shared.queue.load();
        if let Some(store) = self.shared.holder.now() {
            store.measure(&mut metrics);
        }
        metrics.moving = self.shared.classes.load().moving();
        metrics.trouble = self.shared.health.borrow().trouble();
        self.shared.statistics.tell(&mut metrics);
        let rows = self.shared.rows.usage();
        metrics.row_cache_hits = rows.hits;
        metrics.row_cache_misses = rows.misses;
        metrics.row_cache_bytes = rows.bytes as u64;
        self.shared.suspects.count(&mut metrics);
        let distrust = self.shared.distrusted.now();
        metrics.distrusted_ranges = (distrust.rows().count() + distrust.records().count()) as u64;
        metrics
    }

    /// Writes out what is in memory, and merges all rows so that they take the least room. For measurements: it reads and
    /// writes the whole store, in a thread for blocking work, and what lies in a `cold_dir` comes out of it.
    ///
    /// # Errors
    /// If that fails.
    pub async fn compact(&self) -> Result<(), StorageError> {
        let shared = self.shared.clone();
        let work = tokio::task::spawn_blocking(move || {
            let store = shared.holder.now().ok_or(StorageError::Closed)?;
            store.flush(true)?;
            store.compact_in(classes::Family::Data, None, None)?;
            store.compact_in(classes::Family::Cold, None, None)
        });
        work.await.unwrap_or(Err(StorageError::Closed))
    }

    /// Puts a job behind those handed over before; waits in place while the queue is full. The committer's thread, which
    /// makes room, needs nothing of the caller's runtime.
    fn hand_over(&self, job: Job) -> Result<Answer, StorageError> {
        self.shared.queue.push(job)
    }

    async fn get_one(&self, key: &[u8]) -> Result<Option<Bytes>, StorageError> {
        self.shared.check_open()?;
        if !self.is_kept_in_memory(key) {
            return self.read_rows(|store, placement| store.get(key, placement)).await;
        }
        let ticket = match self.shared.rows.get(key) {
            Found::Row(value) => return Ok(Some(value)),
            Found::Missing(ticket) => Some(ticket),
            Found::Unknown => None,
        };
        let value = self.read_rows(|store, placement| store.get(key, placement)).await?;
        if let (Some(ticket), Some(value)) = (ticket, &value) {
            self.shared.rows.keep(&ticket, key, value, admission::is_lucky());
        }
        Ok(value)
    }

    /// Rows that are in the cache from there, the others from the store, all of them at once.
    async fn get_some(&self, keys: &[Bytes]) -> Result<Vec<Option<Bytes>>, StorageError> {
        self.shared.check_open()?;
        let mut found = Vec::with_capacity(keys.len());
        let (mut places, mut wanted) = (Vec::new(), Vec::new());
        for (place, key) in keys.iter().enumerate() {
            let looked_up = match self.is_kept_in_memory(key) {
                true => self.shared.rows.get(key),
                false => Found::Unknown,
            };
            let ticket = match looked_up {
                Found::Row(value) => {
                    found.push(Some(value));
                    continue;
                }
                Found::Missing(ticket) => Some(ticket),
                Found::Unknown => None,
            };
            found.push(None);
            places.push((place, ticket));
            wanted.push(key);
        }
        if wanted.is_empty() {
            return Ok(found);
        }
        let values = self
            .read_rows(|store, placement| store.get_many(&wanted, placement))
            .await?;
        for (((place, ticket), key), value) in places.into_iter().zip(wanted).zip(values) {
            if let (Some(ticket), Some(value)) = (ticket, &value) {
                self.shared.rows.keep(&ticket, key, value, admission::is_lucky());
            }
            found[place] = value;
        }
        Ok(found)
    }

    /// Whether rows like this one are kept in the row cache.
    fn is_kept_in_memory(&self, key: &[u8]) -> bool {
        self.shared.classes.load().spot(key) == Spot::In(classes::Family::Data)
    }

    /// Reads rows of the store by how they are kept; once more if that changes meanwhile.
    async fn read_rows<T>(
        &self,
        read: impl Fn(&Store, &Placement) -> Result<T, StorageError>,
    ) -> Result<T, StorageError> {
        let begun = effort::is_measured().then(Instant::now);
        let _measured = begun.map(Measured);
        loop {
            self.shared.check_open()?;
            let store = self.shared.holder.store().await?;
            let placement = self.shared.classes.load();
            let found = self.shared.counted(read(&store, &placement));
            if self.shared.classes.is_current(&placement) {
                return found;
            }
        }
    }

    /// Reads the store; while it is being opened anew, waits until it is.
    async fn read<T>(&self, read: impl FnOnce(&Store) -> Result<T, StorageError>) -> Result<T, StorageError> {
        self.shared.check_open()?;
        let store = self.shared.holder.store().await?;
        self.shared.counted(read(&store))
    }

    fn trust(&self, trusted: Trusted) -> impl Future<Output = Result<(), StorageError>> + Send + use<> {
        let answer = self.hand_over(Job::Trust(trusted));
        async move { answer?.await.unwrap_or(Err(StorageError::Closed)).map(drop) }
    }
}

/// Tells what a read of the store took, when it is dropped.
struct Measured(Instant);

impl Drop for Measured {
    fn drop(&mut self) {
        effort::missed(self.0.elapsed());
    }
}

impl Engine for RocksEngine {
    type Snapshot = RocksSnapshot;

    fn spans_groups(&self) -> bool {
        true
    }

    async fn get(&self, key: &[u8]) -> Result<Option<Bytes>, StorageError> {
        self.get_one(key).await
    }

    async fn get_many(&self, keys: &[Bytes]) -> Result<Vec<Option<Bytes>>, StorageError> {
        match keys {
            [key] => Ok(vec![self.get_one(key).await?]),
            // As of one moment, which the rows of the cache need not be of.
            _ => self.read_rows(|store, placement| store.get_many(keys, placement)).await,
        }
    }

    async fn get_each(&self, keys: &[Bytes]) -> Result<Vec<Option<Bytes>>, StorageError> {
        self.get_some(keys).await
    }

    async fn scan(&self, scan: Scan) -> Result<Page, StorageError> {
        self.read_rows(|store, placement| store.scan(&scan, placement)).await
    }

    fn snapshot(&self) -> RocksSnapshot {
        loop {
            let placement = self.shared.classes.load_full();
            let view = self.shared.check_open().and_then(|()| self.shared.holder.view());
            if self.shared.classes.is_current(&placement) {
                return RocksSnapshot::new(view, placement);
            }
        }
    }

    fn commit(&self, commit: Commit) -> impl Future<Output = Result<Vec<Position>, StorageError>> + Send + use<> {
        let measured = effort::is_measured().then(|| (Instant::now(), self.shared.clone()));
        let answer = commit.check().and_then(|()| self.hand_over(Job::Commit(commit)));
        async move {
            let answer = answer?.await.unwrap_or(Err(StorageError::Closed));
            if let Some((begun, shared)) = measured {
                effort::committed(begun.elapsed(), shared.counters.last_write());
            }
            answer
        }
    }

    async fn log_read(
        &self,
        log: LogId,
        after: Position,
        rows_max: usize,
        bytes_max: usize,
    ) -> Result<Vec<LogRecord>, StorageError> {
        self.shared.check_open()?;
        match self.shared.tail.read(log, after, rows_max, bytes_max) {
            Some(records) => Ok(records),
            None => self.read(|store| store.log_read(log, after, rows_max, bytes_max)).await,
        }
    }

    async fn log_end(&self, log: LogId) -> Result<Position, StorageError> {
        self.read(|store| store.log_end(log)).await
    }

    async fn log_trim(&self, log: LogId, up_to: Position) -> Result<(), StorageError> {
        let answer = self.hand_over(Job::Trim(log, up_to))?;
        answer.await.unwrap_or(Err(StorageError::Closed)).map(|_| ())
    }

    fn log_activity(&self) -> watch::Receiver<u64> {
        self.shared.activity.subscribe()
    }

    fn health(&self) -> watch::Receiver<Health> {
        self.shared.health.subscribe()
    }

    fn set_class(
        &self,
        prefix: Prefix,
        class: StorageClass,
    ) -> impl Future<Output = Result<(), StorageError>> + Send + use<> {
        let answer = self.hand_over(Job::Place(prefix, class));
        async move { answer?.await.unwrap_or(Err(StorageError::Closed)).map(drop) }
    }

    fn classes(&self) -> Vec<(Prefix, StorageClass)> {
        self.shared.classes.load().classes()
    }

    fn distrusted(&self) -> Arc<Distrusted> {
        self.shared.distrusted.clone()
    }

    fn trust_rows(&self, from: Bytes, to: Bytes) -> impl Future<Output = Result<(), StorageError>> + Send + use<> {
        self.trust(Trusted::Rows(from, to))
    }

    fn trust_records(&self) -> impl Future<Output = Result<(), StorageError>> + Send + use<> {
        self.trust(Trusted::Records)
    }

    fn ingest(&self) -> IngestDoor {
        self.loads.open()
    }

    async fn close(&self) -> Result<(), StorageError> {
        self.shared.close();
        let mut ended = self.shared.ended.subscribe();
        // An error means the committer is gone without a word, which only a panic in it could do.
        match ended.wait_for(Option::is_some).await {
            Ok(result) => result.clone().unwrap_or(Err(StorageError::Closed)),
            Err(_) => Err(StorageError::Closed),
        }
    }
}

impl Drop for RocksEngine {
    fn drop(&mut self) {
        self.shared.classes.stop();
        self.shared.queue.close(false);
        for thread in [&mut self.committer, &mut self.mover] {
            if let Some(thread) = thread.get_mut().take() {
                // One that panicked has nothing left to wait for.
                let _ = thread.join();
            }
        }
    }
}

#[cfg(test)]
mod tests;
