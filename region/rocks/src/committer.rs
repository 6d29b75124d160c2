//! The thread that carries commits out.

use std::{
    collections::HashMap,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Instant,
};

use bytes::Bytes;
use geodynamo_rocks_env::timed;
use geodynamo_storage::{Distrust, Distrusted, Health, LogId, Position, StorageError, Write};
use tokio::sync::watch;

use crate::{
    RocksOptions,
    batch::{Batch, LogState},
    classes::{Classes, Placement},
    holder::Holder,
    mark::Mark,
    metrics::Counters,
    quarantine::Suspects,
    queue::{Job, Queue, Waiting},
    recovery::Care,
    row_cache::RowCache,
    segments::Segments,
    statistics::Statistics,
    store::Store,
    tail::Tail,
};

/// Logs whose ends are remembered; those of others are read again when they are needed.
const LOGS_REMEMBERED_MAX: usize = 64 * 1024;

/// What the engine and its committer share.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) holder: Holder,
    pub(crate) queue: Queue,
    pub(crate) counters: Counters,
    /// What RocksDB counts.
    pub(crate) statistics: Statistics,
    /// Which rows lie where.
    pub(crate) classes: Classes,
    /// Held by who changes which, and by who takes in files of rows.
    pub(crate) placing: parking_lot::Mutex<()>,
    /// Rows read lately.
    pub(crate) rows: RowCache,
    /// What was in damaged files, and is not mended.
    pub(crate) distrusted: Arc<Distrusted>,
    /// Files that were found damaged.
    pub(crate) suspects: Suspects,
    /// The logs' newest durable records.
    pub(crate) tail: Tail,
    /// Changes when appends have become durable.
    pub(crate) activity: watch::Sender<u64>,
    /// Whether writes are taken.
    pub(crate) health: watch::Sender<Health>,
    /// How the committer ended, once it has.
    pub(crate) ended: watch::Sender<Option<Result<(), StorageError>>>,
    open: AtomicBool,
}

impl Shared {
    fn new(store: Arc<Store>, statistics: Statistics, placement: Placement, row_cache_bytes: usize) -> Self {
        Self {
            classes: Classes::new(placement),
            placing: parking_lot::Mutex::default(),
            holder: Holder::new(store),
            rows: RowCache::new(row_cache_bytes),
            distrusted: Arc::default(),
            suspects: Suspects::default(),
            queue: Queue::default(),
            counters: Counters::default(),
            statistics,
            tail: Tail::default(),
            activity: watch::Sender::new(0),
            health: watch::Sender::new(Health::Open),
            ended: watch::Sender::new(None),
            open: AtomicBool::new(true),
        }
    }

    /// Counts a read if it failed, and notes a damaged file if that was why.
    pub(crate) fn counted<T>(&self, read: Result<T, StorageError>) -> Result<T, StorageError> {
        if let Err(StorageError::Io(text)) = &read {
            self.suspects.hear(text);
        }
        self.counters.counted(read)
    }

    /// An error if the engine is closed.
    pub(crate) fn check_open(&self) -> Result<(), StorageError> {
        if self.open.load(Ordering::Acquire) {
            Ok(())
        } else {
            Err(StorageError::Closed)
        }
    }

    /// Refuses reads and further commits; the committer ends after those handed over, and writes the memtables out.
    pub(crate) fn close(&self) {
        self.open.store(false, Ordering::Release);
        self.classes.stop();
        self.queue.close(true);
    }
}

/// Carries out what is in the queue, batch by batch, until it is closed.
#[derive(Debug)]
pub(crate) struct Committer {
    pub(crate) shared: Arc<Shared>,
    pub(crate) options: RocksOptions,
    /// The store; none while it cannot be opened.
    pub(crate) store: Option<Arc<Store>>,
    /// The logs in use, as of the batch being built.
    pub(crate) logs: HashMap<LogId, LogState>,
    /// Where their records go, as of the same.
    pub(crate) segments: Segments,
    /// How the store and its disk are.
    pub(crate) care: Care,
    /// Where it is noted how far the store has come; none if its batches are not synced.
    pub(crate) mark: Option<Mark>,
}

type Answers = Vec<Result<Vec<Position>, StorageError>>;

impl Committer {
    /// Opens a store, and what is to write it.
    pub(crate) fn open(path: &Path, options: RocksOptions) -> Result<(Arc<Shared>, Self), StorageError> {
        let care = Care::new(path, &options);
        let statistics = Statistics::default();
        let store = Arc::new(Store::open(path, &options, &statistics, true, true)?);
        let segments = Segments::open(&store, options.turn_bytes())?;
        let placement = store.placement()?;
        let shared = Arc::new(Shared::new(
            store.clone(),
            statistics,
            placement,
            options.row_cache_bytes,
        ));
        let (distrust, files) = store.distrust()?;
        shared.distrusted.change(distrust);
        files.into_iter().for_each(|file| shared.suspects.add_number(file));
        let mark = options.sync.then(|| Mark::open(path)).transpose();
        let mark = mark.map_err(|error| StorageError::Io(format!("{}: {error}", Mark::path(path).display()).into()))?;
        let mut committer = Self {
            mark,
            shared: shared.clone(),
            options,
            store: Some(store),
            logs: HashMap::new(),
            segments,
            care,
        };
        committer.look();
        Ok((shared, committer))
    }

    pub(crate) fn run(mut self) {
        let mut jobs = Vec::new();
        while self.shared.queue.take(&mut jobs, self.care.due()) {
            if !jobs.is_empty() {
                self.carry_out(&mut jobs);
            }
            if self.care.is_due() {
                self.look();
            }
        }
        self.end_compaction();
        let result = match &self.store {
            Some(store) if self.shared.queue.flush_wanted() && !self.care.is_troubled() => store.flush(true),
            // What was acknowledged is in the WAL.
            _ => Ok(()),
        };
        self.shared.ended.send_replace(Some(result));
    }

    /// Carries out and answers a batch of jobs.
    fn carry_out(&mut self, jobs: &mut Vec<Waiting>) {
        let (answers, appended) = match self.write(jobs) {
            Ok(written) => written,
            Err(error) => return self.fail(jobs, &error),
        };
        if appended {
            self.shared.tail.push(appends(jobs, &answers));
        }
        for waiting in &*jobs {
            if let Job::Trim(log, up_to) = waiting.job {
                self.shared.tail.trim(log, up_to);
            }
        }
        let mut finished = Vec::with_capacity(jobs.len());
        for (Waiting { job, done, .. }, answer) in jobs.drain(..).zip(answers) {
            // A caller that dropped its future no longer wants the answer.
            let _ = done.send(answer);
            finished.push(job);
        }
        if appended {
            self.shared.activity.send_modify(|count| *count = count.wrapping_add(1));
        }
        // Freed only now: nobody waits for it.
        drop(finished);
        if let Some(store) = &self.store {
            self.segments.drop_dead(store);
        }
        if self.logs.len() > LOGS_REMEMBERED_MAX {
            self.logs.clear();
        }
    }

    /// Builds a write batch of the jobs and writes it. Gives the answers and whether logs have grown. An error means that the
    /// store could not be written; that a job's own rows could not be read is the job's answer.
    fn write(&mut self, jobs: &[Waiting]) -> Result<(Answers, bool), StorageError> {
        let shared = self.shared.clone();
        let store = self.store.clone().ok_or(StorageError::Closed)?;
        if self.segments.is_full() {
            // Waits by itself where a further memtable would stop writes.
            let begun = Instant::now();
            let flushed = store.flush(false);
            shared.counters.stalled(begun.elapsed());
            flushed?;
            self.segments.next();
        }
        let places = |waiting: &Waiting| matches!(waiting.job, Job::Place(..));
        let _placing = jobs.iter().any(places).then(|| shared.placing.lock());
        let placement = shared.classes.load_full();
        let mut batch = Batch::new(&store, &placement, &shared.rows, &mut self.segments, jobs)?;
        let mut answers = Vec::with_capacity(jobs.len());
        let mut refused = 0;
        let trusts = jobs.iter().any(|waiting| matches!(waiting.job, Job::Trust(_)));
        let mut distrust = trusts.then(|| Distrust::clone(&shared.distrusted.now()));
        for Waiting { job, .. } in jobs {
            let answer = match job {
                Job::Commit(commit) => batch.commit(commit, &mut self.logs),
                Job::Trim(log, up_to) => batch.trim(*log, *up_to, &mut self.logs),
                Job::Place(prefix, class) => batch.place(*prefix, *class),
                Job::Move(step) => batch.step(step),
                Job::Trust(trusted) => batch.trust(trusted, distrust.get_or_insert_default()),
            };
            refused += u64::from(matches!(answer, Err(StorageError::Precondition(_))));
            answers.push(answer);
        }
        let appended = !batch.grown.is_empty();
        let staged = batch.staged.take();
        let (commits, batch) = batch.finish(&self.logs);
        let bytes = batch.size_in_bytes();
        self.segments.writing(bytes);
        self.care.writing(bytes);
        if !batch.is_empty() {
            if appended {
                shared.tail.begin();
            }
            shared.rows.begin(writes(jobs, &answers));
            let begun = Instant::now();
            let (written, waits) = timed(|| store.write(batch, self.options.sync));
            if let Err(error) = written {
                shared.rows.abandon(writes(jobs, &answers));
                shared.tail.abandon();
                if self.options.refuse_failed {
                    return Err(error);
                }
                self.fall(&error);
                return Ok((answers, appended));
            }
            if let Some(mark) = &mut self.mark {
                mark.note(store.published());
            }
            shared.counters.wrote(commits, bytes, begun.elapsed(), waits);
            shared.rows.end(writes(jobs, &answers));
        }
        if let Some(distrust) = distrust {
            shared.distrusted.change(distrust);
        }
        if let Some(placement) = staged {
            // Before anything is written by it.
            shared.classes.publish(placement);
        }
        shared.counters.refused(refused);
        Ok((answers, appended))
    }

    /// Ends the engine's writing for now: what a failed sync left on disk is not known, so nothing may be built on it.
    fn fail(&mut self, jobs: &mut Vec<Waiting>, error: &StorageError) {
        let trouble = self.fall(error);
        self.shared.counters.failed(jobs.len() as u64);
        for Waiting { done, .. } in jobs.drain(..) {
            let _ = done.send(Err(StorageError::Unwritable(trouble)));
        }
    }
}

/// The writes of those jobs that are in the batch, in their order.
fn writes<'a>(
    jobs: &'a [Waiting],
    answers: &'a [Result<Vec<Position>, StorageError>],
) -> impl DoubleEndedIterator<Item = &'a Write> {
    jobs.iter()
        .zip(answers)
        .flat_map(|(Waiting { job, .. }, answer)| match (job, answer) {
            (Job::Commit(commit), Ok(_)) => &commit.writes[..],
            _ => &[][..],
        })
}

/// The records that a batch of jobs has appended, in their order.
fn appends<'a>(
    jobs: &'a [Waiting],
    answers: &'a [Result<Vec<Position>, StorageError>],
) -> impl Iterator<Item = (LogId, Position, &'a Bytes)> {
    jobs.iter().zip(answers).flat_map(|(Waiting { job, .. }, answer)| {
        let (appends, positions) = match (job, answer) {
            (Job::Commit(commit), Ok(positions)) => (&commit.appends[..], &positions[..]),
            _ => (&[][..], &[][..]),
        };
        let records = appends.iter().zip(positions);
        records.map(|(append, position)| (append.log, *position, &append.record))
    })
}

impl Drop for Committer {
    /// Whatever ended the thread, nobody waits for it in vain.
    fn drop(&mut self) {
        self.shared.queue.fail();
        self.shared.ended.send_if_modified(|ended| {
            let silent = ended.is_none();
            ended.get_or_insert(Err(StorageError::Closed));
            silent
        });
    }
}

#[cfg(test)]
mod tests {
    use geodynamo_storage::{Append, Commit};
    use tokio::sync::oneshot;

    use super::*;

    fn carry_out(committer: &mut Committer, jobs: Vec<Job>) {
        let waiting = |job| {
            let (done, answer) = oneshot::channel();
            (Waiting { job, done, bytes: 0 }, answer)
        };
        let (mut jobs, answers): (Vec<_>, Vec<_>) = jobs.into_iter().map(waiting).unzip();
        committer.carry_out(&mut jobs);
        for mut answer in answers {
            answer.try_recv().unwrap().unwrap();
        }
    }

    fn append(log: u64) -> Job {
        Job::Commit(Commit {
            appends: vec![Append {
                log: LogId(log),
                record: Bytes::from(vec![7; 1000]),
            }],
            ..Commit::default()
        })
    }

    /// Were it counted twice, the segment would be dropped with the other log's records.
    #[test]
    fn a_stretch_that_two_trims_of_a_batch_end_ends_once() {
        let home = tempfile::tempdir().unwrap();
        let (shared, mut committer) = Committer::open(home.path(), RocksOptions::default()).unwrap();
        let store = committer.store.clone().unwrap();
        committer.segments = Segments::open(&store, 1).unwrap();
        drop(shared);
        carry_out(&mut committer, vec![append(1), append(2)]);
        carry_out(&mut committer, vec![append(1), append(1)]);
        let trim = |log, up_to| Job::Trim(LogId(log), Position(up_to));
        carry_out(&mut committer, vec![trim(1, 1), trim(1, 2)]);
        assert!(committer.segments.keeps(0) && committer.segments.keeps(1));
        let left = |log| store.log_read(LogId(log), Position::START, 9, 1 << 20).unwrap();
        assert_eq!((left(1).len(), left(2).len()), (1, 1));
        carry_out(&mut committer, vec![trim(2, 1)]);
        assert!(!committer.segments.keeps(0) && committer.segments.keeps(1));
        assert_eq!((left(1).len(), left(2).len()), (1, 0));
    }
}
