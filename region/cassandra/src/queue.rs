//! Where commits wait for the committer.

use std::collections::VecDeque;

use geodynamo_storage::{Commit, LogId, Position, StorageError, Trouble};
use parking_lot::{Condvar, Mutex};
use tokio::sync::{Notify, oneshot};

/// The most commits that wait; the caller of the next one waits in place.
pub(crate) const QUEUE_JOBS_MAX: usize = 16 * 1024;
/// The most bytes of keys, values and records that wait; the one commit that passes it is let in.
pub(crate) const QUEUE_BYTES_MAX: usize = 32 << 20;
/// The most commits in one entry of the log.
const ENTRY_JOBS_MAX: usize = 4 * 1024;
/// An entry takes no further commit once it has so many bytes.
const ENTRY_BYTES: usize = 1 << 20;

/// What the committer does.
#[derive(Debug)]
pub(crate) enum Job {
    Commit(Commit),
    Trim(LogId, Position),
}

/// Positions of the appends, or why not.
pub(crate) type Answer = Result<Vec<Position>, StorageError>;

#[derive(Debug)]
pub(crate) struct Waiting {
    pub(crate) job: Job,
    pub(crate) done: oneshot::Sender<Answer>,
    bytes: usize,
}

#[derive(Debug, Default)]
pub(crate) struct Queue {
    state: Mutex<State>,
    work: Notify,
    /// Told when the queue was full and is not any more.
    room: Condvar,
}

#[derive(Debug, Default)]
struct State {
    jobs: VecDeque<Waiting>,
    bytes: usize,
    closed: bool,
    refusal: Option<Trouble>,
}

impl Queue {
    /// Puts a job behind all others. Waits in place while the queue is full: the committer has threads of its own.
    pub(crate) fn push(&self, job: Job) -> Result<oneshot::Receiver<Answer>, StorageError> {
        let bytes = match &job {
            Job::Commit(commit) => commit.bytes(),
            Job::Trim(..) => 0,
        };
        let (done, answer) = oneshot::channel();
        let mut state = self.state.lock();
        loop {
            if state.closed {
                return Err(StorageError::Closed);
            }
            if let Some(trouble) = state.refusal {
                return Err(StorageError::Unwritable(trouble));
            }
            if state.jobs.len() < QUEUE_JOBS_MAX && state.bytes < QUEUE_BYTES_MAX {
                break;
            }
            self.room.wait(&mut state);
        }
        state.bytes += bytes;
        state.jobs.push_back(Waiting { job, done, bytes });
        drop(state);
        self.work.notify_one();
        Ok(answer)
    }

    /// The jobs of the next entry, once there are any; none once the queue is closed and empty.
    pub(crate) async fn take(&self) -> Option<Vec<Waiting>> {
        loop {
            {
                let mut state = self.state.lock();
                let (mut jobs, mut bytes) = (Vec::new(), 0);
                while jobs.len() < ENTRY_JOBS_MAX
                    && let Some(next) = state.jobs.front()
                    && (jobs.is_empty() || bytes + next.bytes <= ENTRY_BYTES)
                    && let Some(next) = state.jobs.pop_front()
                {
                    bytes += next.bytes;
                    jobs.push(next);
                }
                state.bytes -= bytes;
                if !jobs.is_empty() {
                    self.room.notify_all();
                    return Some(jobs);
                }
                if state.closed {
                    return None;
                }
            }
            self.work.notified().await;
        }
    }

    /// Refuses jobs from now on, or takes them again. Those that wait in place are refused, too.
    pub(crate) fn refuse(&self, trouble: Option<Trouble>) {
        self.state.lock().refusal = trouble;
        self.room.notify_all();
    }

    /// Takes no further jobs.
    pub(crate) fn close(&self) {
        self.state.lock().closed = true;
        self.work.notify_one();
        self.room.notify_all();
    }

    /// Takes no further jobs, and drops those that wait: their callers are told that the engine is closed.
    pub(crate) fn abandon(&self) {
        self.close();
        self.state.lock().jobs.clear();
    }

    /// Jobs and bytes that wait.
    pub(crate) fn load(&self) -> (u64, u64) {
        let state = self.state.lock();
        (state.jobs.len() as u64, state.bytes as u64)
    }
}
