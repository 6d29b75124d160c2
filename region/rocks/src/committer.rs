//! The thread that carries commits out.

use std::{
    collections::{BTreeSet, HashMap, hash_map::Entry},
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Instant,
};

use bytes::Bytes;
use geodynamo_storage::{Commit, Health, LogId, Position, Precondition, Prefix, StorageClass, StorageError, Write};
use rocksdb::{ColumnFamily, WriteBatch};
use tokio::sync::watch;

use crate::{
    RocksOptions,
    classes::{Classes, Family, Place, Placement, Span, Spot},
    holder::Holder,
    layout::{self, LOG, META},
    metrics::Counters,
    mover::Step,
    overlay::Overlay,
    queue::{Job, Queue, Waiting},
    recovery::Care,
    row_cache::{Found, RowCache},
    segments::Segments,
    store::Store,
    tail::Tail,
};

/// Logs whose ends are remembered; those of others are read again when they are needed.
const LOGS_REMEMBERED_MAX: usize = 64 * 1024;
/// The last position that a log can have reached.
const POSITION_MAX: u64 = u64::MAX / 2;
/// Bytes of a write batch's framing around one write, about.
const FRAMING_BYTES: usize = 16;

/// What the engine and its committer share.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) holder: Holder,
    pub(crate) queue: Queue,
    pub(crate) counters: Counters,
    /// Which rows lie where.
    pub(crate) classes: Classes,
    /// Rows read lately.
    pub(crate) rows: RowCache,
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
    fn new(store: Arc<Store>, placement: Placement, row_cache_bytes: usize) -> Self {
        Self {
            classes: Classes::new(placement),
            holder: Holder::new(store),
            rows: RowCache::new(row_cache_bytes),
            queue: Queue::default(),
            counters: Counters::default(),
            tail: Tail::default(),
            activity: watch::Sender::new(0),
            health: watch::Sender::new(Health::Open),
            ended: watch::Sender::new(None),
            open: AtomicBool::new(true),
        }
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
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct LogState {
    end: Position,
    trimmed: Position,
    /// The segment of its last stretch, if that goes on.
    segment: Option<u64>,
}

type Answers = Vec<Result<Vec<Position>, StorageError>>;

impl Committer {
    /// Opens a store, and what is to write it.
    pub(crate) fn open(path: &Path, options: RocksOptions) -> Result<(Arc<Shared>, Self), StorageError> {
        let care = Care::new(path, &options);
        let store = Arc::new(Store::open(path, &options, true)?);
        let segments = Segments::open(&store, options.turn_bytes())?;
        let shared = Arc::new(Shared::new(store.clone(), store.placement()?, options.row_cache_bytes));
        let mut committer = Self {
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
            store.flush(false)?;
            self.segments.next();
        }
        let placement = shared.classes.load_full();
        let mut batch = Batch::new(&store, &placement, &shared.rows, &mut self.segments, jobs)?;
        let mut answers = Vec::with_capacity(jobs.len());
        let mut refused = 0;
        for Waiting { job, .. } in jobs {
            let answer = match job {
                Job::Commit(commit) => batch.commit(commit, &mut self.logs),
                Job::Trim(log, up_to) => batch.trim(*log, *up_to, &mut self.logs),
                Job::Place(prefix, class) => batch.place(*prefix, *class),
                Job::Move(step) => batch.step(step),
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
            if let Err(error) = store.write(batch, self.options.sync) {
                shared.rows.abandon(writes(jobs, &answers));
                shared.tail.abandon();
                if self.options.refuse_failed {
                    return Err(error);
                }
                self.fall(&error);
                return Ok((answers, appended));
            }
            shared.counters.wrote(commits, bytes, begun.elapsed());
            shared.rows.end(writes(jobs, &answers));
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

/// A write batch being built.
struct Batch<'a> {
    store: &'a Store,
    /// How rows are kept.
    placement: &'a Placement,
    /// How those of the batches after this one are, if otherwise.
    staged: Option<Placement>,
    rows: &'a RowCache,
    segments: &'a mut Segments,
    data: &'a ColumnFamily,
    cold: &'a ColumnFamily,
    log: &'a ColumnFamily,
    meta: &'a ColumnFamily,
    batch: WriteBatch,
    /// What the batch so far does to keys; only if a commit in it has preconditions.
    overlay: Option<Overlay>,
    /// Logs appended to.
    grown: BTreeSet<LogId>,
    /// Stretches that trims have ended, by log and first position: the store still tells of them.
    ended: BTreeSet<(LogId, Position)>,
    commits: u64,
}

impl<'a> Batch<'a> {
    fn new(
        store: &'a Store,
        placement: &'a Placement,
        rows: &'a RowCache,
        segments: &'a mut Segments,
        jobs: &[Waiting],
    ) -> Result<Self, StorageError> {
        let size = |waiting: &Waiting| match &waiting.job {
            Job::Commit(commit) => waiting.bytes + FRAMING_BYTES * (commit.writes.len() + 2 * commit.appends.len()),
            Job::Trim(..) | Job::Place(..) => 4 * FRAMING_BYTES,
            Job::Move(step) => 2 * step.bytes(),
        };
        // Who wants to know what the batch has done to keys so far.
        let conditional = |waiting: &Waiting| match &waiting.job {
            Job::Commit(commit) => !commit.preconditions.is_empty(),
            Job::Move(_) => true,
            Job::Trim(..) | Job::Place(..) => false,
        };
        Ok(Self {
            store,
            placement,
            staged: None,
            rows,
            segments,
            data: store.family(Family::Data.name())?,
            cold: store.family(Family::Cold.name())?,
            log: store.family(LOG)?,
            meta: store.family(META)?,
            batch: WriteBatch::with_capacity_bytes(jobs.iter().map(size).sum()),
            overlay: jobs.iter().any(conditional).then(Overlay::default),
            grown: BTreeSet::new(),
            ended: BTreeSet::new(),
            commits: 0,
        })
    }

    /// Adds a commit whole, or not at all.
    fn commit(&mut self, commit: &Commit, logs: &mut HashMap<LogId, LogState>) -> Result<Vec<Position>, StorageError> {
        self.check(&commit.preconditions)?;
        for append in &commit.appends {
            self.log_state(append.log, logs)?;
        }
        for write in &commit.writes {
            match write {
                Write::Put(key, value) => self.put(key, value),
                Write::Delete(key) => self.delete(key),
                Write::DeleteRange(from, to) if from < to => self.delete_range(from, to),
                Write::DeleteRange(..) => {}
            }
            if let Some(overlay) = &mut self.overlay {
                overlay.apply(write);
            }
        }
        let mut positions = Vec::with_capacity(commit.appends.len());
        for append in &commit.appends {
            let state = self.log_state(append.log, logs)?;
            state.end.0 += 1;
            let segment = self.segments.current();
            if state.segment != Some(segment) {
                let key = layout::stretch_key(append.log, state.end);
                self.batch.put_cf(self.meta, key, segment.to_be_bytes());
                self.segments.stretch_begun();
                state.segment = Some(segment);
            }
            let key = layout::record_key(segment, append.log, state.end);
            self.batch.put_cf(self.log, key, &append.record);
            self.grown.insert(append.log);
            positions.push(state.end);
        }
        self.commits += 1;
        Ok(positions)
    }

    fn family(&self, family: Family) -> &'a ColumnFamily {
        match family {
            Family::Data => self.data,
            Family::Cold => self.cold,
        }
    }

    fn put(&mut self, key: &Bytes, value: &Bytes) {
        match self.placement.spot(key) {
            Spot::In(family) => self.batch.put_cf(self.family(family), key, value),
            Spot::Either(to) => {
                self.batch.put_cf(self.family(to), key, value);
                self.batch.delete_cf(self.family(to.other()), key);
            }
        }
    }

    fn delete(&mut self, key: &Bytes) {
        match self.placement.spot(key) {
            Spot::In(family) => self.batch.delete_cf(self.family(family), key),
            Spot::Either(_) => {
                self.batch.delete_cf(self.data, key);
                self.batch.delete_cf(self.cold, key);
            }
        }
    }

    fn delete_range(&mut self, from: &Bytes, to: &Bytes) {
        match self.placement.span(from, to) {
            Span::In(family) => self.batch.delete_range_cf(self.family(family), from, to),
            Span::Both(_) => {
                self.batch.delete_range_cf(self.data, from, to);
                self.batch.delete_range_cf(self.cold, from, to);
            }
        }
    }

    /// Chooses how rows of a prefix are kept: those of the batches after this one.
    fn place(&mut self, prefix: Prefix, class: StorageClass) -> Result<Vec<Position>, StorageError> {
        let staged = self.staged.get_or_insert_with(|| self.placement.clone());
        if let Some(place) = staged.choose(prefix, class) {
            self.keep_place(prefix, &place);
        }
        Ok(Vec::new())
    }

    fn keep_place(&mut self, prefix: Prefix, place: &Place) {
        match place.stored() {
            Some(stored) => self.batch.put_cf(self.meta, layout::class_key(prefix), [stored]),
            None => self.batch.delete_cf(self.meta, layout::class_key(prefix)),
        }
    }

    /// Carries out a step of a move, unless that move is over.
    fn step(&mut self, step: &Step) -> Result<Vec<Position>, StorageError> {
        let prefix = step.prefix();
        let place = self.placement.get(prefix);
        // It may have been chosen anew in this very batch.
        let is_settled = self.staged.as_ref().is_none_or(|staged| staged.get(prefix) == place);
        match (step, place) {
            (Step::Rows { since, rows, up_to, .. }, Some(Place::Moving { to, since: current, .. }))
                if since == current =>
            {
                let (to, from) = (*to, to.other());
                for (key, value) in rows {
                    // What was written since it was read is where it belongs.
                    let touched = self.overlay.as_ref().is_some_and(|overlay| overlay.get(key).is_some());
                    if !touched && self.store.holds_in(from, key, Some(value))? {
                        self.batch.put_cf(self.family(to), key, value);
                        self.batch.delete_cf(self.family(from), key);
                    }
                }
                let staged = self.staged.get_or_insert_with(|| self.placement.clone());
                staged.moved(prefix, *since, up_to);
            }
            (Step::Moved { since, .. }, Some(Place::Moving { to, since: current, .. }))
                if since == current && is_settled =>
            {
                let (family, unswept) = (*to, true);
                self.settle(prefix, Place::Settled { family, unswept });
            }
            (Step::Swept { .. }, Some(Place::Settled { family, unswept: true })) if is_settled => {
                let (family, unswept) = (*family, false);
                self.settle(prefix, Place::Settled { family, unswept });
            }
            _ => {}
        }
        Ok(Vec::new())
    }

    fn settle(&mut self, prefix: Prefix, place: Place) {
        self.keep_place(prefix, &place);
        let staged = self.staged.get_or_insert_with(|| self.placement.clone());
        staged.set(prefix, place);
    }

    fn check(&self, preconditions: &[Precondition]) -> Result<(), StorageError> {
        for (index, precondition) in preconditions.iter().enumerate() {
            let (key, expect) = match precondition {
                Precondition::Absent(key) => (key, None),
                Precondition::Equals(key, value) => (key, Some(value)),
            };
            let holds = match self.overlay.as_ref().and_then(|overlay| overlay.get(key)) {
                Some(found) => found == expect,
                // Rows are as of the batch before: this thread writes them.
                None => match self.rows.get(key) {
                    Found::Row(value) => Some(&value) == expect,
                    Found::Missing(_) | Found::Unknown => self.store.holds(key, expect, self.placement)?,
                },
            };
            if !holds {
                return Err(StorageError::Precondition(index));
            }
        }
        Ok(())
    }

    fn trim(
        &mut self,
        log: LogId,
        up_to: Position,
        logs: &mut HashMap<LogId, LogState>,
    ) -> Result<Vec<Position>, StorageError> {
        let state = self.log_state(log, logs)?;
        let up_to = up_to.min(state.end);
        if up_to > state.trimmed {
            self.batch
                .put_cf(self.meta, layout::trim_key(log), up_to.0.to_be_bytes());
            state.trimmed = up_to;
            // A stretch that this very batch begins is not seen, and ends with the next trim.
            for (first, segment) in self.store.stretches_ended(log, up_to, state.end)? {
                if !self.ended.insert((log, first)) {
                    continue;
                }
                self.batch.delete_cf(self.meta, layout::stretch_key(log, first));
                self.segments.stretch_ended(segment);
                state.segment = state.segment.filter(|&current| current != segment);
            }
        }
        Ok(Vec::new())
    }

    fn log_state<'l>(
        &self,
        log: LogId,
        logs: &'l mut HashMap<LogId, LogState>,
    ) -> Result<&'l mut LogState, StorageError> {
        match logs.entry(log) {
            Entry::Occupied(entry) => Ok(entry.into_mut()),
            Entry::Vacant(entry) => {
                let (end, trimmed) = (self.store.log_end(log)?, self.store.log_trimmed(log)?);
                // Far more than was ever appended; and a position behind it can be counted on.
                if end.0 > POSITION_MAX || trimmed > end {
                    return Err(layout::damaged("a log's end"));
                }
                Ok(entry.insert(LogState {
                    end,
                    trimmed,
                    segment: None,
                }))
            }
        }
    }

    /// Adds the ends of the logs; gives the number of commits and the batch.
    fn finish(mut self, logs: &HashMap<LogId, LogState>) -> (u64, WriteBatch) {
        for log in &self.grown {
            if let Some(state) = logs.get(log) {
                self.batch
                    .put_cf(self.meta, layout::end_key(*log), state.end.0.to_be_bytes());
            }
        }
        (self.commits, self.batch)
    }
}

#[cfg(test)]
mod tests {
    use geodynamo_storage::Append;
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
