//! Bulk operations: what objects of a bucket have is put into a table that serves.
//!
//! Each item is put by a write like any other, so conditions, streams, indexes, replicas and throttling see it. A batch of records
//! is written at once, by several writers that share the keys among them: of records with one key, the later one is written later.
//! Behind each batch stands how far the operation is, durably, so that one that was broken off goes on there. The batch in which
//! it was is written again; who of it had been written before is not told as a failed condition.

mod halt;
pub(crate) mod kept;
mod lane;
mod pace;
mod report;
mod run;

use std::{
    collections::BTreeMap,
    io,
    ops::Deref,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
};

use geodynamo_api::transfer::{
    Answer, BulkCounts, BulkJob, BulkOperations, BulkState, NewBulk, TransferError, table_id,
};
use geodynamo_exchange::layout;
use geodynamo_storage::Engine;
use geodynamo_table::Tables;
use parking_lot::Mutex;
use tokio::sync::{Semaphore, watch};

use crate::{
    Buckets, Result,
    bulk::{halt::Halt, kept::Kept},
    ledger::{Entry, Ledger},
    root::{LISTED_MS, PENDING_MAX, RUNNING_MAX, TOKEN_MS, internal, report, too_many},
    seal::Seal,
    stop::Stop,
};

/// A region's bulk operations. Cheap to clone.
pub(crate) struct Bulks<E: Engine>(Arc<Inner<E>>);

/// What all clones share.
pub(crate) struct Inner<E: Engine> {
    tables: Arc<Tables<E>>,
    buckets: Buckets,
    jobs: Ledger<Kept>,
    running: Semaphore,
    /// Held while an operation begins, so that a client token begins one.
    beginning: tokio::sync::Mutex<()>,
    /// Held while a record of an operation is changed, so that none of two changes is lost.
    changing: Mutex<()>,
    /// Tells operations that run or wait that they are cancelled.
    cancels: Mutex<BTreeMap<String, watch::Sender<bool>>>,
    counters: Counters,
    stop: Stop,
}

#[derive(Debug, Default)]
struct Counters {
    completed: AtomicU64,
    failed: AtomicU64,
    put_items: AtomicU64,
    errors: AtomicU64,
}

/// What an operator watches of bulk operations.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct BulkStatus {
    /// Those that run or wait.
    pub running: u64,
    /// Those that are done.
    pub completed: u64,
    /// Those that failed, were cancelled, or had bad items.
    pub failed: u64,
    /// Items that they put.
    pub put_items: u64,
    /// Records that were no items, or none of their table.
    pub errors: u64,
}

impl<E: Engine> Clone for Bulks<E> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<E: Engine> Deref for Bulks<E> {
    type Target = Inner<E>;

    fn deref(&self) -> &Inner<E> {
        &self.0
    }
}

impl<E: Engine> Bulks<E> {
    /// Opens the operations in a folder and goes on with those that were broken off, until `stop` says so.
    pub(crate) fn start(
        tables: Arc<Tables<E>>,
        buckets: Buckets,
        (folder, seal): (&Path, &Seal),
        stop: Stop,
    ) -> Result<Self> {
        let this = Self(Arc::new(Inner {
            tables,
            buckets,
            jobs: Ledger::open(folder.to_owned(), seal.clone())?,
            running: Semaphore::new(RUNNING_MAX),
            beginning: tokio::sync::Mutex::default(),
            changing: Mutex::default(),
            cancels: Mutex::default(),
            counters: Counters::default(),
            stop,
        }));
        for kept in this.jobs.all(|kept| !kept.ended()) {
            this.spawn(&kept.job);
        }
        Ok(this)
    }

    /// What an operator watches.
    pub(crate) fn status(&self) -> BulkStatus {
        let counters = &self.counters;
        BulkStatus {
            running: self.jobs.all(|kept| !kept.ended()).len() as u64,
            completed: counters.completed.load(Relaxed),
            failed: counters.failed.load(Relaxed),
            put_items: counters.put_items.load(Relaxed),
            errors: counters.errors.load(Relaxed),
        }
    }

    /// Whether somebody else has the operations, too.
    #[cfg(test)]
    pub(crate) fn is_shared(&self) -> bool {
        Arc::strong_count(&self.0) > 1
    }

    /// Has an operation run.
    fn spawn(&self, job: &BulkJob) {
        let (cancel, cancelled) = watch::channel(job.state == BulkState::Cancelling);
        self.cancels.lock().insert(job.id.clone(), cancel);
        let halt = Halt::new(self.stop.clone(), cancelled);
        tokio::spawn(self.clone().run(job.clone(), halt));
    }

    async fn run(self, job: BulkJob, halt: Halt) {
        let result = self.carry_out(&job, &halt).await;
        self.cancels.lock().remove(&job.id);
        if halt.is_stopped() {
            return;
        }
        let now = self.tables.now_ms();
        let kept = self.change(&job.id, |kept| {
            kept.job.ended_ms = Some(now);
            kept.job.state = match &result {
                Ok(()) if kept.job.counts.failed_items > 0 => BulkState::CompletedWithErrors,
                Ok(()) => BulkState::Completed,
                // Whatever it met with besides.
                Err(_) if halt.is_cancelled() => BulkState::Cancelled,
                Err(error) => BulkState::Failed(error.code().to_owned(), error.to_string()),
            };
        });
        let state = self.jobs.get(&job.id).map(|kept| kept.job.state);
        let ended = match state {
            Some(BulkState::Completed) => &self.counters.completed,
            _ => &self.counters.failed,
        };
        ended.fetch_add(1, Relaxed);
        report("a bulk operation", &job.arn, result.err().as_ref(), kept);
    }

    fn begin_now(&self, wanted: NewBulk) -> std::result::Result<BulkJob, TransferError> {
        let now = self.tables.now_ms();
        if wanted.token.is_some() {
            let used = |kept: &Kept| {
                let before = &kept.job.wanted;
                before.token == wanted.token && before.account == wanted.account && kept.job.started_ms + TOKEN_MS > now
            };
            if let Some(kept) = self.jobs.all(used).pop() {
                let same = kept.job.wanted == wanted;
                return if same {
                    Ok(kept.job)
                } else {
                    Err(TransferError::BulkMismatch)
                };
            }
        }
        if self.jobs.all(|kept| !kept.ended()).len() >= PENDING_MAX {
            return Err(too_many("bulk operations"));
        }
        let table = self.tables.table_named(&wanted.table)?;
        let description = self.tables.describe(&wanted.table)?;
        let id = layout::export_id(now, rand::random());
        let job = BulkJob {
            arn: format!("{}/bulk-operation/{id}", wanted.table_arn),
            id,
            table_id: table_id(description.uuid),
            table_key: table.id(),
            wanted,
            started_ms: now,
            ended_ms: None,
            state: BulkState::InProgress,
            counts: BulkCounts::default(),
            total_bytes: None,
        };
        self.jobs.put(&Kept::new(job.clone())).map_err(internal)?;
        self.spawn(&job);
        Ok(job)
    }

    fn cancel_now(&self, arn: &str) -> std::result::Result<Option<BulkJob>, TransferError> {
        let Some(found) = self.find(arn) else { return Ok(None) };
        self.change(&found.id, |kept| {
            if !kept.job.state.has_ended() {
                kept.job.state = BulkState::Cancelling;
            }
        })
        .map_err(internal)?;
        if let Some(cancel) = self.cancels.lock().get(&found.id) {
            cancel.send_replace(true);
        }
        Ok(self.find(arn))
    }

    fn counted_put(&self) {
        self.counters.put_items.fetch_add(1, Relaxed);
    }

    fn counted_error(&self) {
        self.counters.errors.fetch_add(1, Relaxed);
    }

    /// Changes an operation's record.
    fn change(&self, id: &str, change: impl FnOnce(&mut Kept)) -> io::Result<()> {
        let _changing = self.changing.lock();
        self.jobs.change(id, change)
    }
}

impl<E: Engine> BulkOperations for Bulks<E> {
    fn begin(&self, wanted: NewBulk) -> Answer<'_, BulkJob> {
        Box::pin(async move {
            let _beginning = self.beginning.lock().await;
            self.begin_now(wanted)
        })
    }

    fn find(&self, arn: &str) -> Option<BulkJob> {
        self.jobs.all(|kept| kept.job.arn == arn).pop().map(|kept| kept.job)
    }

    fn list(&self) -> Vec<BulkJob> {
        let now = self.tables.now_ms();
        let listed = self.jobs.all(|kept| kept.job.started_ms + LISTED_MS > now);
        listed.into_iter().rev().map(|kept| kept.job).collect()
    }

    fn cancel(&self, arn: &str) -> Answer<'_, Option<BulkJob>> {
        let cancelled = self.cancel_now(arn);
        Box::pin(async move { cancelled })
    }
}
