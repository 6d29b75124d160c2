//! An engine whose commits of items can be held back, so that a test can look at what goes on beside a write.

use std::sync::Arc;

use bytes::Bytes;
use geodynamo_storage::{Commit, Engine, LogId, LogRecord, MemoryEngine, Page, Position, Scan, StorageError, Write};
use tokio::sync::watch;

/// The in-memory engine behind a gate for commits that put items.
#[derive(Debug)]
pub(crate) struct Gated {
    engine: Arc<MemoryEngine>,
    open: watch::Sender<bool>,
    waiting: watch::Sender<usize>,
}

impl Gated {
    pub(crate) fn new(engine: MemoryEngine) -> Self {
        Self {
            engine: Arc::new(engine),
            open: watch::Sender::new(true),
            waiting: watch::Sender::new(0),
        }
    }

    pub(crate) fn set_open(&self, open: bool) {
        self.open.send_replace(open);
    }

    /// Returns once a commit waits.
    pub(crate) async fn one_waits(&self) {
        self.waiting.subscribe().wait_for(|waiting| *waiting > 0).await.unwrap();
    }
}

/// Whether a commit puts an item of a table other than the catalog.
fn is_of_items(commit: &Commit) -> bool {
    commit.writes.iter().any(|write| match write {
        Write::Put(key, _) => key[0] == 1 && key[1..9] != [0; 8],
        Write::Delete(_) | Write::DeleteRange(..) => false,
    })
}

impl Engine for Gated {
    type Snapshot = <MemoryEngine as Engine>::Snapshot;

    fn spans_groups(&self) -> bool {
        self.engine.spans_groups()
    }

    async fn get(&self, key: &[u8]) -> Result<Option<Bytes>, StorageError> {
        self.engine.get(key).await
    }

    async fn get_many(&self, keys: &[Bytes]) -> Result<Vec<Option<Bytes>>, StorageError> {
        self.engine.get_many(keys).await
    }

    async fn get_each(&self, keys: &[Bytes]) -> Result<Vec<Option<Bytes>>, StorageError> {
        self.engine.get_each(keys).await
    }

    async fn scan(&self, scan: Scan) -> Result<Page, StorageError> {
        self.engine.scan(scan).await
    }

    fn snapshot(&self) -> Self::Snapshot {
        self.engine.snapshot()
    }

    fn commit(&self, commit: Commit) -> impl Future<Output = Result<Vec<Position>, StorageError>> + Send + use<> {
        let (engine, mut open, waiting) = (Arc::clone(&self.engine), self.open.subscribe(), self.waiting.clone());
        async move {
            if is_of_items(&commit) && !*open.borrow() {
                waiting.send_modify(|waiting| *waiting += 1);
                open.wait_for(|open| *open).await.map_err(|_| StorageError::Closed)?;
            }
            engine.commit(commit).await
        }
    }

    async fn log_read(
        &self,
        log: LogId,
        after: Position,
        rows_max: usize,
        bytes_max: usize,
    ) -> Result<Vec<LogRecord>, StorageError> {
        self.engine.log_read(log, after, rows_max, bytes_max).await
    }

    async fn log_end(&self, log: LogId) -> Result<Position, StorageError> {
        self.engine.log_end(log).await
    }

    async fn log_trim(&self, log: LogId, up_to: Position) -> Result<(), StorageError> {
        self.engine.log_trim(log, up_to).await
    }

    fn log_activity(&self) -> watch::Receiver<u64> {
        self.engine.log_activity()
    }

    async fn close(&self) -> Result<(), StorageError> {
        self.engine.close().await
    }
}
