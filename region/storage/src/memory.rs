//! The in-memory engine: for tests, for `geodynamo dev`, and as the measure of what an engine must do.

use std::{
    collections::{BTreeMap, VecDeque},
    future::Future,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use bytes::Bytes;
use parking_lot::Mutex;
use tokio::sync::{oneshot, watch};

use crate::{
    Commit, Distrust, Distrusted, Engine, Health, IngestDoor, LogId, LogRecord, Page, Position, Prefix, Scan, Snapshot,
    StorageClass, StorageError, Trouble,
};

mod loads;
mod state;

use loads::Loads;
use state::State;

/// Whether an engine commits several groups at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Spanning {
    /// One commit may touch any keys.
    Yes,
    /// One commit may touch one group only; others get [`StorageError::SpansGroups`].
    No,
}

/// Keys and logs in memory.
///
/// "Durable" means here: [`MemoryEngine::crash`] keeps it. An engine made by [`MemoryEngine::new`] makes every commit
/// durable at once. One made by [`MemoryEngine::stepped`] holds commits back, invisible and unanswered, until
/// [`MemoryEngine::sync`] is called, so a test decides what a crash finds on disk.
///
/// Memory is bounded by what is stored; in the stepped mode also by what the test leaves unsynced.
#[derive(Debug)]
pub struct MemoryEngine {
    spanning: Spanning,
    stepped: AtomicBool,
    inner: Arc<Mutex<Inner>>,
    /// What is being loaded, as far as it was kept.
    loads: Loads,
    activity: watch::Sender<u64>,
    health: watch::Sender<Health>,
    /// Kept, and of no effect: in memory there is but one way to keep rows.
    classes: Mutex<BTreeMap<Prefix, StorageClass>>,
    distrusted: Arc<Distrusted>,
}

#[derive(Debug)]
struct Inner {
    /// What is durable, and so what is visible.
    durable: State,
    /// Handed over and not yet durable, in the order of the calls.
    pending: VecDeque<Pending>,
    open: bool,
}

#[derive(Debug)]
struct Pending {
    job: Job,
    done: oneshot::Sender<Result<Vec<Position>, StorageError>>,
}

#[derive(Debug)]
enum Job {
    Commit(Commit),
    Trim(LogId, Position),
}

impl MemoryEngine {
    /// An empty engine whose commits are durable at once.
    pub fn new(spanning: Spanning) -> Self {
        Self::with_state(spanning, false, State::default())
    }

    /// An empty engine whose commits become durable (and visible, and answered) when [`MemoryEngine::sync`] is called.
    pub fn stepped(spanning: Spanning) -> Self {
        Self::with_state(spanning, true, State::default())
    }

    /// From now on holds commits back, as an engine made by [`MemoryEngine::stepped`] does.
    pub fn hold(&self) {
        self.stepped.store(true, Ordering::Relaxed);
    }

    /// Makes everything handed over so far durable, in order; gives how many commits and trims that were, refused ones
    /// included.
    pub fn sync(&self) -> usize {
        self.sync_first(usize::MAX)
    }

    /// As [`MemoryEngine::sync`], for the oldest `count` commits and trims only.
    pub fn sync_first(&self, count: usize) -> usize {
        let mut inner = self.inner.lock();
        if !inner.open {
            return 0;
        }
        self.carry_out(&mut inner, count)
    }

    /// How many commits and trims wait for [`MemoryEngine::sync`].
    pub fn unsynced(&self) -> usize {
        self.inner.lock().pending.len()
    }

    /// Ends this engine as a crash would: what was handed over and not synced is lost (its futures give
    /// [`StorageError::Closed`]), and this engine is closed. Gives a new engine of the same mode that has what was durable.
    pub fn crash(&self) -> Self {
        let mut inner = self.inner.lock();
        inner.open = false;
        inner.pending.clear();
        let mut after = Self::with_state(
            self.spanning,
            self.stepped.load(Ordering::Relaxed),
            inner.durable.clone(),
        );
        after.loads = self.loads.after_crash();
        after.distrusted = Arc::clone(&self.distrusted);
        after
    }

    /// Takes no writes from now on, as an engine in this trouble does, or takes them again. What waits for
    /// [`MemoryEngine::sync`] is refused then.
    pub fn refuse_writes(&self, trouble: Option<Trouble>) {
        self.health.send_replace(match trouble {
            Some(trouble) => Health::Unwritable(trouble, "as a test wants it".into()),
            None => Health::Open,
        });
    }

    fn with_state(spanning: Spanning, stepped: bool, durable: State) -> Self {
        Self {
            spanning,
            stepped: AtomicBool::new(stepped),
            inner: Arc::new(Mutex::new(Inner {
                durable,
                pending: VecDeque::new(),
                open: true,
            })),
            loads: Loads::default(),
            activity: watch::Sender::new(0),
            health: watch::Sender::new(Health::Open),
            classes: Mutex::default(),
            distrusted: Arc::default(),
        }
    }

    /// Puts a job behind those already handed over. The answer comes through the receiver.
    fn hand_over(&self, job: Job) -> oneshot::Receiver<Result<Vec<Position>, StorageError>> {
        let (done, answer) = oneshot::channel();
        let mut inner = self.inner.lock();
        // An engine that is closed drops the sender; the receiver's error is read as `Closed`.
        if inner.open {
            inner.pending.push_back(Pending { job, done });
            if !self.stepped.load(Ordering::Relaxed) {
                self.carry_out(&mut inner, usize::MAX);
            }
        }
        answer
    }

    fn carry_out(&self, inner: &mut Inner, count: usize) -> usize {
        let count = count.min(inner.pending.len());
        if count == 0 {
            return 0;
        }
        let trouble = self.health.borrow().trouble();
        let mut appended = false;
        for Pending { job, done } in inner.pending.drain(..count) {
            let answer = match job {
                Job::Commit(commit) => match trouble {
                    Some(trouble) if trouble != Trouble::NoRoom || !commit.makes_room => {
                        Err(StorageError::Unwritable(trouble))
                    }
                    _ => inner.durable.commit(commit),
                },
                Job::Trim(log, up_to) => {
                    inner.durable.trim(log, up_to);
                    Ok(Vec::new())
                }
            };
            appended |= matches!(&answer, Ok(positions) if !positions.is_empty());
            // A caller that dropped its future no longer wants the answer.
            let _ = done.send(answer);
        }
        if appended {
            self.activity.send_modify(|count| *count = count.wrapping_add(1));
        }
        count
    }

    /// What is visible now.
    fn visible(&self) -> Result<State, StorageError> {
        let inner = self.inner.lock();
        if inner.open {
            Ok(inner.durable.clone())
        } else {
            Err(StorageError::Closed)
        }
    }
}

impl Engine for MemoryEngine {
    type Snapshot = MemorySnapshot;

    fn spans_groups(&self) -> bool {
        self.spanning == Spanning::Yes
    }

    async fn get(&self, key: &[u8]) -> Result<Option<Bytes>, StorageError> {
        Ok(self.visible()?.get(key))
    }

    async fn get_many(&self, keys: &[Bytes]) -> Result<Vec<Option<Bytes>>, StorageError> {
        let state = self.visible()?;
        Ok(keys.iter().map(|key| state.get(key)).collect())
    }

    async fn scan(&self, scan: Scan) -> Result<Page, StorageError> {
        Ok(self.visible()?.scan(&scan))
    }

    fn snapshot(&self) -> MemorySnapshot {
        MemorySnapshot { state: self.visible() }
    }

    fn commit(&self, commit: Commit) -> impl Future<Output = Result<Vec<Position>, StorageError>> + Send + use<> {
        let checked = match commit.check() {
            Ok(()) if self.spanning == Spanning::No && !commit.in_one_group() => Err(StorageError::SpansGroups),
            checked => checked,
        };
        let answer = checked.map(|()| self.hand_over(Job::Commit(commit)));
        async move { answer?.await.unwrap_or(Err(StorageError::Closed)) }
    }

    async fn log_read(
        &self,
        log: LogId,
        after: Position,
        rows_max: usize,
        bytes_max: usize,
    ) -> Result<Vec<LogRecord>, StorageError> {
        Ok(self.visible()?.log_read(log, after, rows_max, bytes_max))
    }

    async fn log_end(&self, log: LogId) -> Result<Position, StorageError> {
        Ok(self.visible()?.log_end(log))
    }

    async fn log_trim(&self, log: LogId, up_to: Position) -> Result<(), StorageError> {
        let answer = self.hand_over(Job::Trim(log, up_to));
        answer.await.unwrap_or(Err(StorageError::Closed)).map(|_| ())
    }

    fn log_activity(&self) -> watch::Receiver<u64> {
        self.activity.subscribe()
    }

    fn health(&self) -> watch::Receiver<Health> {
        self.health.subscribe()
    }

    fn set_class(
        &self,
        prefix: Prefix,
        class: StorageClass,
    ) -> impl Future<Output = Result<(), StorageError>> + Send + use<> {
        let mut classes = self.classes.lock();
        match class {
            StorageClass::Standard => classes.remove(&prefix),
            StorageClass::Infrequent => classes.insert(prefix, class),
        };
        std::future::ready(Ok(()))
    }

    fn classes(&self) -> Vec<(Prefix, StorageClass)> {
        self.classes
            .lock()
            .iter()
            .map(|(prefix, class)| (*prefix, *class))
            .collect()
    }

    /// One that spans groups has it.
    fn distrusted(&self) -> Arc<Distrusted> {
        Arc::clone(&self.distrusted)
    }

    fn trust_rows(&self, from: Bytes, to: Bytes) -> impl Future<Output = Result<(), StorageError>> + Send + use<> {
        let mut now = Distrust::clone(&self.distrusted.now());
        now.remove_rows(&from, &to);
        self.distrusted.change(now);
        std::future::ready(Ok(()))
    }

    fn trust_records(&self) -> impl Future<Output = Result<(), StorageError>> + Send + use<> {
        let mut now = Distrust::clone(&self.distrusted.now());
        now.remove_records();
        self.distrusted.change(now);
        std::future::ready(Ok(()))
    }

    fn ingest(&self) -> IngestDoor {
        self.spans_groups()
            .then(|| self.loads.door(Arc::clone(&self.inner), self.health.clone()))
    }

    async fn close(&self) -> Result<(), StorageError> {
        let mut inner = self.inner.lock();
        if inner.open {
            self.carry_out(&mut inner, usize::MAX);
            inner.open = false;
        }
        Ok(())
    }
}

/// A view of a [`MemoryEngine`] at one moment. It shares what has not changed since.
#[derive(Debug)]
pub struct MemorySnapshot {
    /// The view; an error if the engine was closed when it was taken.
    state: Result<State, StorageError>,
}

impl MemorySnapshot {
    fn state(&self) -> Result<&State, StorageError> {
        self.state.as_ref().map_err(Clone::clone)
    }
}

impl Snapshot for MemorySnapshot {
    async fn get(&self, key: &[u8]) -> Result<Option<Bytes>, StorageError> {
        Ok(self.state()?.get(key))
    }

    async fn scan(&self, scan: Scan) -> Result<Page, StorageError> {
        Ok(self.state()?.scan(&scan))
    }

    async fn log_end(&self, log: LogId) -> Result<Position, StorageError> {
        Ok(self.state()?.log_end(log))
    }
}

#[cfg(test)]
mod tests;
