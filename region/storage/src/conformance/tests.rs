//! The suite passes on the in-memory engine, and fails on engines that are broken on purpose.

use std::{any::Any, collections::HashMap, sync::Arc, time::Duration};

use bytes::Bytes;
use parking_lot::Mutex;
use tokio::sync::watch;

use super::{
    commits::{atomic, compare_and_swap, dropped_futures},
    logs::{nothing_behind_a_reader, record_and_row_together},
    run, run_reopen,
    snapshots::log_end_is_exact,
};
use crate::{
    Append, Commit, Engine, LogId, LogRecord, MemoryEngine, MemorySnapshot, Page, Position, Precondition, Scan,
    Snapshot, Spanning, StorageError,
};

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn memory_engine_that_spans() {
    run(|| MemoryEngine::new(Spanning::Yes)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn memory_engine_that_does_not_span() {
    run(|| MemoryEngine::new(Spanning::No)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn memory_engine_after_crashes() {
    run_reopen(stores(|engine| engine.crash())).await;
}

/// Gives openers of stores; `again` makes the next engine of a store from the last.
fn stores(again: fn(&MemoryEngine) -> MemoryEngine) -> impl Fn(usize) -> Broken + Send + Sync {
    let stores: Mutex<HashMap<usize, Broken>> = Mutex::default();
    move |store| {
        let mut stores = stores.lock();
        let engine = match stores.get(&store) {
            // A closed engine's state is still there to be cut off by a crash.
            Some(last) => again(&last.inner),
            None => MemoryEngine::new(Spanning::Yes),
        };
        let engine = Broken {
            inner: Arc::new(engine),
            fault: Fault::None,
        };
        stores.insert(store, engine.clone());
        engine
    }
}

/// What is wrong with an engine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fault {
    /// Nothing: the wrapper itself passes.
    None,
    /// Appends are visible before the writes.
    AppendsFirst,
    /// Each write is visible before the next.
    TornCommits,
    /// Writes are visible before the appends.
    WritesFirst,
    /// The commit is handed over when its future is polled, and taken back when it is dropped.
    HandedOverLate,
    /// Preconditions are checked when the commit is handed over, not when it is carried out.
    PreconditionsEarly,
    /// Preconditions are not checked.
    PreconditionsNever,
    /// Now and then a record appears only after the one behind it.
    BehindReaders,
    /// The log's end is forgotten with its last record.
    EndFromRecords,
    /// A trim beyond the end also takes what comes.
    TrimsTheFuture,
    /// A snapshot's log end is the present one.
    SnapshotEndLive,
    /// A scan of no rows gives none.
    ScanOfNoRows,
    /// `more` is always false.
    NeverMore,
    /// Commits of two groups are carried out by an engine that says it does not span.
    SpansSilently,
    /// Limits are not checked.
    Unlimited,
    /// Nobody is told of appends.
    Silent,
    /// A closed engine still reads.
    ReadsWhenClosed,
}

#[derive(Clone)]
struct Broken {
    inner: Arc<MemoryEngine>,
    fault: Fault,
}

struct BrokenSnapshot {
    inner: MemorySnapshot,
    engine: Broken,
}

impl Snapshot for BrokenSnapshot {
    async fn get(&self, key: &[u8]) -> Result<Option<Bytes>, StorageError> {
        self.inner.get(key).await
    }

    async fn scan(&self, scan: Scan) -> Result<Page, StorageError> {
        self.inner.scan(scan).await
    }

    async fn log_end(&self, log: LogId) -> Result<Position, StorageError> {
        match self.engine.fault {
            Fault::SnapshotEndLive => self.engine.log_end(log).await,
            _ => self.inner.log_end(log).await,
        }
    }
}

impl Engine for Broken {
    type Snapshot = BrokenSnapshot;

    fn spans_groups(&self) -> bool {
        self.fault != Fault::SpansSilently && self.inner.spans_groups()
    }

    async fn get(&self, key: &[u8]) -> Result<Option<Bytes>, StorageError> {
        match self.inner.get(key).await {
            Err(StorageError::Closed) if self.fault == Fault::ReadsWhenClosed => Ok(None),
            result => result,
        }
    }

    async fn get_many(&self, keys: &[Bytes]) -> Result<Vec<Option<Bytes>>, StorageError> {
        self.inner.get_many(keys).await
    }

    async fn get_each(&self, keys: &[Bytes]) -> Result<Vec<Option<Bytes>>, StorageError> {
        self.inner.get_each(keys).await
    }

    async fn scan(&self, scan: Scan) -> Result<Page, StorageError> {
        if self.fault == Fault::ScanOfNoRows && scan.rows_max == 0 {
            return Ok(Page {
                more: true,
                ..Page::default()
            });
        }
        let mut page = self.inner.scan(scan).await?;
        page.more &= self.fault != Fault::NeverMore;
        Ok(page)
    }

    fn snapshot(&self) -> BrokenSnapshot {
        BrokenSnapshot {
            inner: self.inner.snapshot(),
            engine: self.clone(),
        }
    }

    fn commit(&self, commit: Commit) -> impl Future<Output = Result<Vec<Position>, StorageError>> + Send + use<> {
        let (inner, fault) = (self.inner.clone(), self.fault);
        let mut early = Vec::new();
        let mut handed_over = None;
        let mut late = None;
        match fault {
            Fault::HandedOverLate => late = Some(commit),
            Fault::PreconditionsEarly | Fault::PreconditionsNever if !commit.preconditions.is_empty() => {
                if fault == Fault::PreconditionsEarly {
                    early = commit.preconditions.clone();
                }
                late = Some(Commit {
                    preconditions: Vec::new(),
                    ..commit
                });
            }
            Fault::AppendsFirst if !commit.appends.is_empty() && !commit.writes.is_empty() => {
                let Commit {
                    preconditions,
                    writes,
                    appends,
                    ..
                } = commit;
                handed_over = Some(inner.commit(Commit {
                    preconditions,
                    appends,
                    ..Commit::default()
                }));
                late = Some(Commit {
                    writes,
                    ..Commit::default()
                });
            }
            Fault::WritesFirst if !commit.appends.is_empty() && !commit.writes.is_empty() => {
                let Commit {
                    preconditions,
                    writes,
                    appends,
                    ..
                } = commit;
                handed_over = Some(inner.commit(Commit {
                    preconditions,
                    writes,
                    ..Commit::default()
                }));
                late = Some(Commit {
                    appends,
                    ..Commit::default()
                });
            }
            Fault::TornCommits if commit.writes.len() > 1 => {
                let mut rest = commit;
                let first = rest.writes.remove(0);
                handed_over = Some(inner.commit(Commit {
                    writes: vec![first],
                    ..Commit::default()
                }));
                late = Some(rest);
            }
            Fault::Unlimited if commit.check().is_err() => {}
            _ => handed_over = Some(inner.commit(commit)),
        }
        async move {
            for (index, precondition) in early.into_iter().enumerate() {
                let (key, expect) = match precondition {
                    Precondition::Absent(key) => (key, None),
                    Precondition::Equals(key, value) => (key, Some(value)),
                };
                if inner.get(&key).await? != expect {
                    return Err(StorageError::Precondition(index));
                }
            }
            let mut positions = match handed_over {
                Some(handed_over) => handed_over.await?,
                None => Vec::new(),
            };
            if let Some(late) = late {
                // The fault's window is kept open for long, so that a race finds it in every run.
                tokio::time::sleep(Duration::from_millis(1)).await;
                positions.extend(inner.commit(late).await?);
            }
            Ok(positions)
        }
    }

    async fn log_read(
        &self,
        log: LogId,
        after: Position,
        rows_max: usize,
        bytes_max: usize,
    ) -> Result<Vec<LogRecord>, StorageError> {
        let mut records = self.inner.log_read(log, after, rows_max, bytes_max).await?;
        let end = self.inner.log_end(log).await?;
        if self.fault == Fault::BehindReaders && end.0 % 5 == 0 {
            records.retain(|record| record.position.0 + 1 != end.0);
        }
        Ok(records)
    }

    async fn log_end(&self, log: LogId) -> Result<Position, StorageError> {
        if self.fault == Fault::EndFromRecords {
            let records = self
                .inner
                .log_read(log, Position::START, usize::MAX, usize::MAX)
                .await?;
            return Ok(records.last().map_or(Position::START, |last| last.position));
        }
        self.inner.log_end(log).await
    }

    async fn log_trim(&self, log: LogId, up_to: Position) -> Result<(), StorageError> {
        if self.fault == Fault::TrimsTheFuture && up_to > self.inner.log_end(log).await? {
            self.inner
                .commit(Commit {
                    appends: vec![Append {
                        log,
                        record: Bytes::new(),
                    }],
                    ..Commit::default()
                })
                .await?;
        }
        self.inner.log_trim(log, up_to).await
    }

    fn log_activity(&self) -> watch::Receiver<u64> {
        match self.fault {
            Fault::Silent => watch::Sender::new(0).subscribe(),
            _ => self.inner.log_activity(),
        }
    }

    async fn close(&self) -> Result<(), StorageError> {
        self.inner.close().await
    }
}

fn broken(fault: Fault) -> Broken {
    Broken {
        inner: Arc::new(MemoryEngine::new(Spanning::Yes)),
        fault,
    }
}

/// The text that checks failed with, if they failed.
async fn failure_of(checks: impl Future<Output = ()> + Send + 'static) -> Option<String> {
    let panic = tokio::spawn(checks).await.err()?.into_panic();
    Some(text_of(&*panic))
}

fn text_of(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().cloned();
    text.or_else(|| panic.downcast_ref::<&str>().map(ToString::to_string))
        .unwrap_or_default()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn broken_engines_fail_the_suite() {
    assert_eq!(
        failure_of(run(|| broken(Fault::None))).await,
        None,
        "the wrapper itself passes"
    );
    let check = async |fault: Fault, expect: &str| {
        let failure = failure_of(run(move || broken(fault))).await;
        let found = failure.as_ref().is_some_and(|text| text.contains(expect));
        assert!(found, "{fault:?} is to be found out by “{expect}”, not {failure:?}");
    };
    check(Fault::AppendsFirst, "the last call wins").await;
    check(Fault::WritesFirst, "order of the calls").await;
    check(Fault::HandedOverLate, "order of the calls").await;
    check(Fault::PreconditionsEarly, "compare and swap").await;
    check(Fault::PreconditionsNever, "refuses the commit").await;
    check(Fault::BehindReaders, "records").await;
    check(Fault::EndFromRecords, "a trim does not move the end").await;
    check(Fault::TrimsTheFuture, "positions").await;
    check(Fault::SnapshotEndLive, "a snapshot's log end does not move").await;
    check(Fault::ScanOfNoRows, "at most 0 rows").await;
    check(Fault::NeverMore, "`more`").await;
    check(Fault::SpansSilently, "spans_groups is false").await;
    check(Fault::Unlimited, "too large").await;
    check(Fault::Silent, "told of").await;
    check(Fault::ReadsWhenClosed, "get of a closed engine").await;
}

/// The checks that race: each finds what it is there for by itself, though an earlier one finds it too.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn broken_engines_fail_the_checks_that_race() {
    let check = |failure: Option<String>, expect: &str| {
        assert!(
            failure.as_ref().is_some_and(|text| text.contains(expect)),
            "“{expect}” expected, not {failure:?}"
        );
    };
    check(
        failure_of(record_and_row_together(broken(Fault::AppendsFirst))).await,
        "a record was visible before its row",
    );
    check(
        failure_of(record_and_row_together(broken(Fault::WritesFirst))).await,
        "a row was visible before its record",
    );
    check(
        failure_of(log_end_is_exact(broken(Fault::AppendsFirst))).await,
        "tell of",
    );
    check(
        failure_of(log_end_is_exact(broken(Fault::WritesFirst))).await,
        "tell of",
    );
    check(
        failure_of(log_end_is_exact(broken(Fault::SnapshotEndLive))).await,
        "not behind the moment",
    );
    check(
        failure_of(nothing_behind_a_reader(broken(Fault::BehindReaders))).await,
        "have no gap",
    );
    check(
        failure_of(compare_and_swap(broken(Fault::PreconditionsEarly))).await,
        "compare and swap",
    );
    check(
        failure_of(dropped_futures(broken(Fault::HandedOverLate))).await,
        "though its future was dropped",
    );
    check(failure_of(atomic(broken(Fault::TornCommits))).await, "half of a commit");
}

/// A suite for restarts that a forgetful engine passed would be worthless.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn forgetful_engines_fail_the_suite() {
    let forgets_all = run_reopen(stores(|_| MemoryEngine::new(Spanning::Yes)));
    let failure = failure_of(forgets_all).await.unwrap_or_default();
    assert!(
        failure.contains("after a restart"),
        "an engine that forgets all is found out: {failure}"
    );
}
