//! A mapping in memory: what it is, how far it has come, what it is doing.

use std::{
    collections::BTreeMap,
    sync::atomic::{AtomicU64, Ordering::Relaxed},
};

use parking_lot::Mutex;
use tokio::{sync::watch, task::JoinHandle};

use crate::{
    mapping::{Checkpoint, Mapping, State},
    runner::Stop,
};

/// What a mapping says before its first invocation.
const NOTHING_YET: &str = "No records processed";
/// After one that its function took.
pub(crate) const OK: &str = "OK";
/// After one that it did not.
pub(crate) const CALL_FAILED: &str = "PROBLEM: Function call failed";

/// A mapping.
#[derive(Debug)]
pub(crate) struct Entry {
    pub(crate) mapping: Mutex<Mapping>,
    checkpoints: Mutex<BTreeMap<String, Checkpoint>>,
    live: Mutex<Live>,
    pub(crate) counts: Counts,
    /// When the oldest record was made that each shard is not done with, in seconds since the Unix epoch.
    oldest_s: Mutex<BTreeMap<String, u64>>,
}

#[derive(Debug)]
struct Live {
    state: State,
    last_result: String,
    runner: Option<Runner>,
}

/// A task that runs a mapping.
#[derive(Debug)]
pub(crate) struct Runner {
    pub(crate) stop: watch::Sender<Stop>,
    pub(crate) task: JoinHandle<()>,
}

/// What a mapping has done since the process started.
#[derive(Debug, Default)]
pub(crate) struct Counts {
    pub(crate) invocations: AtomicU64,
    pub(crate) errors: AtomicU64,
    pub(crate) not_reached: AtomicU64,
    pub(crate) delivered: AtomicU64,
    pub(crate) filtered: AtomicU64,
    pub(crate) discarded: AtomicU64,
}

impl Counts {
    pub(crate) fn add(counter: &AtomicU64, count: usize) {
        counter.fetch_add(count as u64, Relaxed);
    }
}

impl Entry {
    pub(crate) fn new(mapping: Mapping, checkpoints: BTreeMap<String, Checkpoint>, state: State) -> Self {
        Self {
            mapping: Mutex::new(mapping),
            checkpoints: Mutex::new(checkpoints),
            live: Mutex::new(Live {
                state,
                last_result: NOTHING_YET.into(),
                runner: None,
            }),
            counts: Counts::default(),
            oldest_s: Mutex::default(),
        }
    }

    pub(crate) fn state(&self) -> State {
        self.live.lock().state
    }

    pub(crate) fn set_state(&self, state: State) {
        self.live.lock().state = state;
    }

    /// From a state that may be left to another; `false` if it is in none.
    pub(crate) fn change_state(&self, to: State) -> bool {
        let mut live = self.live.lock();
        let at_rest = matches!(live.state, State::Enabled | State::Disabled);
        if at_rest {
            live.state = to;
        }
        at_rest
    }

    pub(crate) fn result(&self) -> String {
        self.live.lock().last_result.clone()
    }

    pub(crate) fn set_result(&self, result: &str) {
        let mut live = self.live.lock();
        if live.last_result != result {
            live.last_result = result.to_owned();
        }
    }

    pub(crate) fn set_runner(&self, runner: Runner) {
        self.live.lock().runner = Some(runner);
    }

    pub(crate) fn take_runner(&self) -> Option<Runner> {
        self.live.lock().runner.take()
    }

    pub(crate) fn checkpoint(&self, shard: &str) -> Checkpoint {
        self.checkpoints.lock().get(shard).cloned().unwrap_or_default()
    }

    pub(crate) fn set_checkpoint(&self, shard: &str, checkpoint: Checkpoint) {
        self.checkpoints.lock().insert(shard.to_owned(), checkpoint);
    }

    pub(crate) fn is_done(&self, shard: &str) -> bool {
        self.checkpoints
            .lock()
            .get(shard)
            .is_some_and(|checkpoint| checkpoint.done)
    }

    pub(crate) fn done_shards(&self) -> Vec<String> {
        let checkpoints = self.checkpoints.lock();
        let done = checkpoints.iter().filter(|(_, checkpoint)| checkpoint.done);
        done.map(|(shard, _)| shard.clone()).collect()
    }

    pub(crate) fn shards(&self) -> Vec<String> {
        self.checkpoints.lock().keys().cloned().collect()
    }

    pub(crate) fn forget(&self, shard: &str) {
        self.checkpoints.lock().remove(shard);
    }

    /// When the oldest record of a shard was made that is not done with.
    pub(crate) fn set_oldest(&self, shard: &str, oldest_s: Option<u64>) {
        let mut all = self.oldest_s.lock();
        match oldest_s {
            Some(oldest) => drop(all.insert(shard.to_owned(), oldest)),
            None => drop(all.remove(shard)),
        }
    }

    pub(crate) fn oldest_s(&self) -> Option<u64> {
        self.oldest_s.lock().values().min().copied()
    }
}
