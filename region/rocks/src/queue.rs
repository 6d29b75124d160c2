//! Where commits wait for the committer.

use std::{
    collections::VecDeque,
    time::{Duration, Instant},
};

use bytes::Bytes;
use geodynamo_storage::{Commit, LogId, Position, Prefix, StorageClass, StorageError, Trouble};
use parking_lot::{Condvar, Mutex};
use tokio::sync::oneshot;

use crate::mover::Step;

/// The most commits that wait; the caller of the next one waits in place.
pub const QUEUE_JOBS_MAX: usize = 16 * 1024;
/// The most bytes of keys, values and records that wait; the one commit that passes it is let in.
pub const QUEUE_BYTES_MAX: usize = 32 * 1024 * 1024;
/// The most commits that share one sync.
pub const BATCH_JOBS_MAX: usize = 4 * 1024;
/// The most bytes that share one sync; the one commit that passes it is let in.
pub const BATCH_BYTES_MAX: usize = 4 * 1024 * 1024;
/// How long a batch waits until there are as many commits as in the batch before, if those were more than one, but less than
/// [`GATHER_JOBS`]. Their callers were answered together, and mostly come back together. A sync costs a tenth of a millisecond
/// of processor, however many commits share it, and every batch wakes callers and links: at 8,000 puts a second this makes a
/// third of the syncs unnecessary, and the median of puts hardly later (measured on two cores). Whoever writes alone waits
/// for nobody.
pub(crate) const GATHER_MAX: Duration = Duration::from_micros(500);
/// A batch of so many commits is not waited for: a sync costs each of them little, and callers that are kept waiting would be
/// missed at the next one.
pub(crate) const GATHER_JOBS: usize = 8;
/// Nor is one of so many bytes, as peers' deltas make them: there the sync is the lesser part.
pub(crate) const GATHER_BYTES: usize = 64 * 1024;

/// What the committer does.
#[derive(Debug)]
pub(crate) enum Job {
    Commit(Commit),
    Trim(LogId, Position),
    /// Chooses how rows of a prefix are kept.
    Place(Prefix, StorageClass),
    /// A step of a move from one class to another.
    Move(Step),
    /// What was not vouched for is as it should be.
    Trust(Trusted),
}

/// What can be trusted again.
#[derive(Clone, Debug)]
pub(crate) enum Trusted {
    /// The rows of a range, `[from, to)`.
    Rows(Bytes, Bytes),
    /// All records of logs that are there.
    Records,
}

impl Job {
    /// Whether less is to be stored once it is carried out.
    fn makes_room(&self) -> bool {
        match self {
            Self::Commit(commit) => commit.makes_room,
            Self::Trim(..) => true,
            Self::Place(..) | Self::Move(_) | Self::Trust(_) => false,
        }
    }
}

/// Positions of the appends, or why not. Ends without one if the engine failed or was closed before.
pub(crate) type Answer = oneshot::Receiver<Result<Vec<Position>, StorageError>>;

#[derive(Debug)]
pub(crate) struct Waiting {
    pub(crate) job: Job,
    pub(crate) done: oneshot::Sender<Result<Vec<Position>, StorageError>>,
    pub(crate) bytes: usize,
}

#[derive(Debug, Default)]
pub(crate) struct Queue {
    state: Mutex<State>,
    /// Told when the committer waits and something came.
    work: Condvar,
    /// Told when the queue was full and is not any more.
    room: Condvar,
}

#[derive(Debug, Default)]
struct State {
    jobs: VecDeque<Waiting>,
    bytes: usize,
    /// For how many jobs the committer waits; 0 while it does not wait.
    awaited: usize,
    /// How many jobs were in the last batch; 0 if it was large (see [`GATHER_BYTES`]).
    last: usize,
    /// How many callers wait for room.
    crowd: usize,
    closed: bool,
    /// Why jobs are refused, if they are.
    refusal: Option<Refusal>,
    /// Whether the memtables are to be written out at the end.
    flush: bool,
}

/// Why jobs are refused, and which.
#[derive(Clone, Copy, Debug)]
struct Refusal {
    trouble: Trouble,
    /// Whether jobs that make room are taken all the same.
    spares_relief: bool,
}

impl Refusal {
    fn of(self, job: &Job) -> Option<StorageError> {
        let taken = self.spares_relief && job.makes_room();
        (!taken).then_some(StorageError::Unwritable(self.trouble))
    }
}

impl Queue {
    /// Puts a job behind all others. Waits in place while the queue is full.
    pub(crate) fn push(&self, job: Job) -> Result<Answer, StorageError> {
        let bytes = match &job {
            Job::Commit(commit) => commit.bytes(),
            Job::Move(step) => step.bytes(),
            Job::Trim(..) | Job::Place(..) | Job::Trust(_) => 0,
        };
        let (done, answer) = oneshot::channel();
        let mut state = self.state.lock();
        loop {
            if state.closed {
                return Err(StorageError::Closed);
            }
            if let Some(refused) = state.refusal.and_then(|refusal| refusal.of(&job)) {
                return Err(refused);
            }
            if !state.is_full() {
                break;
            }
            state.crowd += 1;
            self.room.wait(&mut state);
            state.crowd -= 1;
        }
        state.jobs.push_back(Waiting { job, done, bytes });
        state.bytes = state.bytes.saturating_add(bytes);
        let wake = state.awaited > 0 && (state.jobs.len() >= state.awaited || state.is_full());
        if wake {
            state.awaited = 0;
        }
        drop(state);
        if wake {
            self.work.notify_one();
        }
        Ok(answer)
    }

    /// Waits for work, and a little for more of it (see [`GATHER_MAX`]), then moves what fits one batch to `batch`, which is
    /// empty. False if the queue is closed and empty; none is moved if none came before the deadline.
    pub(crate) fn take(&self, batch: &mut Vec<Waiting>, deadline: Instant) -> bool {
        let mut state = self.state.lock();
        while state.jobs.is_empty() {
            if state.closed {
                return false;
            }
            state.awaited = 1;
            if self.work.wait_until(&mut state, deadline).timed_out() && state.jobs.is_empty() {
                state.awaited = 0;
                return !state.closed;
            }
        }
        if (2..GATHER_JOBS).contains(&state.last) {
            let deadline = Instant::now() + GATHER_MAX;
            while state.jobs.len() < state.last && !state.is_full() && !state.closed {
                state.awaited = state.last;
                if self.work.wait_until(&mut state, deadline).timed_out() {
                    break;
                }
            }
        }
        state.awaited = 0;
        let mut bytes = 0usize;
        while batch.len() < BATCH_JOBS_MAX && bytes < BATCH_BYTES_MAX {
            let Some(waiting) = state.jobs.pop_front() else { break };
            bytes = bytes.saturating_add(waiting.bytes);
            batch.push(waiting);
        }
        state.last = if bytes < GATHER_BYTES { batch.len() } else { 0 };
        state.bytes = state.bytes.saturating_sub(bytes);
        if state.crowd > 0 && !state.is_full() {
            self.room.notify_all();
        }
        true
    }

    /// Takes no more jobs; those that wait are still carried out.
    pub(crate) fn close(&self, flush: bool) {
        let mut state = self.state.lock();
        state.flush |= flush && !state.closed;
        state.closed = true;
        state.awaited = 0;
        drop(state);
        self.work.notify_all();
        self.room.notify_all();
    }

    /// Refuses jobs from now on, those that wait and those to come; or only those that do not make room.
    pub(crate) fn refuse(&self, trouble: Trouble, spares_relief: bool) {
        let refusal = Refusal { trouble, spares_relief };
        let mut state = self.state.lock();
        state.refusal = Some(refusal);
        let (mut kept, mut refused) = (VecDeque::new(), Vec::new());
        for waiting in std::mem::take(&mut state.jobs) {
            match refusal.of(&waiting.job) {
                Some(error) => refused.push((waiting, error)),
                None => kept.push_back(waiting),
            }
        }
        state.bytes = kept.iter().fold(0, |sum, waiting| sum.saturating_add(waiting.bytes));
        state.jobs = kept;
        drop(state);
        for (Waiting { done, .. }, error) in refused {
            // A caller that dropped its future no longer wants the answer.
            let _ = done.send(Err(error));
        }
        self.room.notify_all();
    }

    /// Takes jobs again.
    pub(crate) fn accept(&self) {
        self.state.lock().refusal = None;
    }

    /// Takes no more jobs and drops those that wait.
    pub(crate) fn fail(&self) {
        let mut state = self.state.lock();
        state.closed = true;
        state.bytes = 0;
        let dropped = std::mem::take(&mut state.jobs);
        drop(state);
        drop(dropped);
        self.room.notify_all();
    }

    /// Whether the memtables are to be written out at the end.
    pub(crate) fn flush_wanted(&self) -> bool {
        self.state.lock().flush
    }

    /// How many jobs and bytes wait.
    pub(crate) fn load(&self) -> (usize, usize) {
        let state = self.state.lock();
        (state.jobs.len(), state.bytes)
    }
}

impl State {
    fn is_full(&self) -> bool {
        self.jobs.len() >= QUEUE_JOBS_MAX || self.bytes >= QUEUE_BYTES_MAX
    }
}

#[cfg(test)]
mod tests {
    use std::{sync::Arc, time::Duration};

    use bytes::Bytes;
    use geodynamo_storage::Write;

    use super::*;

    fn put(bytes: usize) -> Job {
        let value = Bytes::from(vec![0; bytes]);
        Job::Commit(Commit {
            writes: vec![Write::Put(Bytes::new(), value)],
            ..Commit::default()
        })
    }

    fn take(queue: &Queue, batch: &mut Vec<Waiting>) -> bool {
        queue.take(batch, Instant::now() + Duration::from_secs(30))
    }

    #[test]
    fn nobody_waits_behind_a_refusal() {
        let queue = Queue::default();
        let relief = || match put(1) {
            Job::Commit(commit) => Job::Commit(Commit {
                makes_room: true,
                ..commit
            }),
            other => other,
        };
        let no_room = |error| matches!(error, StorageError::Unwritable(Trouble::NoRoom));
        let (mut waits, mut spared) = (queue.push(put(1)).unwrap(), queue.push(relief()).unwrap());
        queue.refuse(Trouble::NoRoom, true);
        assert!(waits.try_recv().unwrap().is_err_and(no_room));
        assert!(queue.push(put(1)).is_err_and(no_room));
        assert_eq!(queue.load().0, 1, "what makes room is kept");
        queue.push(Job::Trim(LogId(1), Position(1))).unwrap();
        queue.refuse(Trouble::NoRoom, false);
        assert!(spared.try_recv().unwrap().is_err_and(no_room));
        assert!(queue.push(relief()).is_err_and(no_room));
        assert_eq!(queue.load(), (0, 0));
        let mut batch = Vec::new();
        assert!(
            queue.take(&mut batch, Instant::now()) && batch.is_empty(),
            "the deadline"
        );
        queue.accept();
        let _taken = queue.push(put(1)).unwrap();
        assert!(take(&queue, &mut batch) && batch.len() == 1);
    }

    #[test]
    fn batches_are_bounded() {
        let queue = Queue::default();
        let check = |push: usize, bytes: usize, expect: usize| {
            for _ in 0..push {
                queue.push(put(bytes)).unwrap();
            }
            let mut batch = Vec::new();
            assert!(take(&queue, &mut batch));
            assert_eq!(batch.len(), expect, "{push} jobs of {bytes} bytes");
            while queue.load().0 > 0 {
                take(&queue, &mut Vec::new());
            }
            assert_eq!(queue.load(), (0, 0));
        };
        check(1, 0, 1);
        check(10, 100, 10);
        check(BATCH_JOBS_MAX + 5, 1, BATCH_JOBS_MAX);
        check(4, BATCH_BYTES_MAX / 2, 2);
        check(4, BATCH_BYTES_MAX / 2 - 1, 3);
        check(2, BATCH_BYTES_MAX * 2, 1);
    }

    #[test]
    fn a_batch_waits_a_little_for_as_many_as_before() {
        let queue = Queue::default();
        let take = |pushed: usize| {
            (0..pushed).for_each(|_| drop(queue.push(put(1)).unwrap()));
            let (mut batch, begun) = (Vec::new(), Instant::now());
            assert!(queue.take(&mut batch, begun + Duration::from_secs(30)));
            assert_eq!(batch.len(), pushed);
            begun.elapsed()
        };
        take(3);
        assert!(take(2) >= GATHER_MAX, "the third may be on its way");
        assert!(take(1) >= GATHER_MAX);
        // How quickly is not told here; that it does not wait is.
        take(1);
        assert_eq!(queue.state.lock().last, 1);
        assert!(
            (0..100).map(|_| take(1)).min() < Some(GATHER_MAX),
            "one waits for nobody"
        );
        take(2);
        assert!((0..100).map(|_| take(2)).min() < Some(GATHER_MAX), "as many as before");
        take(GATHER_JOBS);
        let few = || [take(GATHER_JOBS), take(1)][1];
        assert!((0..100).map(|_| few()).min() < Some(GATHER_MAX), "many enough");
        (0..2).for_each(|_| drop(queue.push(put(GATHER_BYTES)).unwrap()));
        assert!(queue.take(&mut Vec::new(), Instant::now() + Duration::from_secs(30)));
        assert_eq!(queue.state.lock().last, 0, "large enough");
    }

    /// The one that completes the batch ends the committer's wait, as does one that fills the queue; no other does.
    #[test]
    fn the_committer_is_woken_when_all_have_come() {
        let queue = Queue::default();
        let awaited_after = |awaited: usize, bytes: usize| {
            queue.state.lock().awaited = awaited;
            drop(queue.push(put(bytes)).unwrap());
            queue.state.lock().awaited
        };
        assert_eq!(awaited_after(2, 1), 2, "one of two");
        assert_eq!(awaited_after(2, 1), 0, "both");
        assert_eq!(awaited_after(0, 1), 0, "it does not wait");
        assert_eq!(awaited_after(9, QUEUE_BYTES_MAX), 0, "there is room for no more");
    }

    #[test]
    fn a_full_queue_makes_the_caller_wait() {
        let queue = Arc::new(Queue::default());
        let too_many = QUEUE_BYTES_MAX / (1024 * 1024);
        for _ in 0..too_many {
            queue.push(put(1024 * 1024)).unwrap();
        }
        let caller = std::thread::spawn({
            let queue = queue.clone();
            move || queue.push(put(1)).is_ok()
        });
        // It waits: it has said so, and nothing was pushed.
        let deadline = std::time::Instant::now() + Duration::from_secs(30);
        while queue.state.lock().crowd == 0 {
            assert!(std::time::Instant::now() < deadline, "the caller waits for room");
            std::thread::yield_now();
        }
        assert_eq!(queue.load().0, too_many);
        let mut batch = Vec::new();
        assert!(take(&queue, &mut batch));
        assert!(caller.join().unwrap(), "room lets the caller go on");
        assert_eq!(queue.load().0, too_many - batch.len() + 1);
    }

    #[test]
    fn closing_drains_and_failing_drops() {
        let queue = Queue::default();
        let _kept = queue.push(put(1)).unwrap();
        queue.close(true);
        assert!(matches!(queue.push(put(1)), Err(StorageError::Closed)));
        assert!(take(&queue, &mut Vec::new()), "what waits is still carried out");
        assert!(!take(&queue, &mut Vec::new()));
        assert!(queue.flush_wanted());

        let queue = Queue::default();
        let mut dropped = queue.push(put(1)).unwrap();
        queue.fail();
        assert!(!take(&queue, &mut Vec::new()));
        assert!(matches!(dropped.try_recv(), Err(oneshot::error::TryRecvError::Closed)));
    }
}
