//! A sink of this region, and what holds logs for it.

use std::{
    collections::BTreeMap,
    sync::atomic::{AtomicU64, Ordering::Relaxed},
};

use geodynamo_replicator_core::{LogId, LogInfo, Millis, Position};
use geodynamo_table::{Table, recovery::LogHolder};
use parking_lot::Mutex;
use serde::Serialize;
use tokio::{sync::watch, task::JoinHandle};

use crate::{SinkSpec, rows::Copy};

/// A sink.
#[derive(Debug)]
pub(crate) struct Entry {
    pub(crate) spec: SinkSpec,
    /// Whether the configuration file has it.
    pub(crate) from_file: bool,
    /// Which copy is its.
    pub(crate) copy: Mutex<Option<Copy>>,
    pub(crate) runner: Mutex<Option<Runner>>,
    pub(crate) state: Mutex<State>,
    /// What went wrong last, until something goes well.
    pub(crate) error: Mutex<Option<String>>,
    /// When the copy last had all there was, or took something, in milliseconds since the Unix epoch.
    pub(crate) went_well_ms: AtomicU64,
    /// When the oldest change was committed that the copy does not have; 0 for none.
    pub(crate) waiting_since_ms: AtomicU64,
    pub(crate) changes: AtomicU64,
    pub(crate) commits: AtomicU64,
    pub(crate) failures: AtomicU64,
    pub(crate) loads: AtomicU64,
    pub(crate) loaded: AtomicU64,
}

#[derive(Debug)]
pub(crate) struct Runner {
    pub(crate) stop: watch::Sender<bool>,
    pub(crate) task: JoinHandle<()>,
}

/// What a sink is doing.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum State {
    /// There is no such table.
    NoTable,
    /// The copy is being reached.
    Connecting,
    /// The copy is being begun.
    Loading,
    /// The copy gets every change.
    Following,
}

impl State {
    fn code(self) -> &'static str {
        match self {
            Self::NoTable => "no table",
            Self::Connecting => "connecting",
            Self::Loading => "loading",
            Self::Following => "following",
        }
    }
}

/// A sink, and what it has done since the process started.
#[derive(Clone, PartialEq, Debug, Serialize)]
pub struct SinkStatus {
    /// What it was told.
    #[serde(flatten)]
    pub spec: SinkSpec,
    /// Whether the configuration file has it; an operator added it otherwise.
    pub from_file: bool,
    /// What it is doing: `no table`, `connecting`, `loading` or `following`.
    pub state: &'static str,
    /// What went wrong last, until something goes well.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// How old the oldest change is that the copy does not have, in milliseconds; 0 if it has all.
    pub lag_ms: u64,
    /// Changes that the copy took.
    pub changes: u64,
    /// Transactions that brought them.
    pub commits: u64,
    /// Times that the copy could not be reached or changed.
    pub failures: u64,
    /// Times that it was begun with a snapshot.
    pub loads: u64,
    /// Items of snapshots that it took.
    pub loaded: u64,
}

impl Entry {
    pub(crate) fn new(spec: SinkSpec, from_file: bool, now_ms: Millis) -> Self {
        Self {
            spec,
            from_file,
            copy: Mutex::default(),
            runner: Mutex::default(),
            state: Mutex::new(State::NoTable),
            error: Mutex::default(),
            went_well_ms: AtomicU64::new(now_ms),
            waiting_since_ms: AtomicU64::new(0),
            changes: AtomicU64::new(0),
            commits: AtomicU64::new(0),
            failures: AtomicU64::new(0),
            loads: AtomicU64::new(0),
            loaded: AtomicU64::new(0),
        }
    }

    pub(crate) fn status(&self, now_ms: Millis) -> SinkStatus {
        let since = self.waiting_since_ms.load(Relaxed);
        SinkStatus {
            spec: self.spec.clone(),
            from_file: self.from_file,
            state: self.state.lock().code(),
            error: self.error.lock().clone(),
            lag_ms: if since == 0 { 0 } else { now_ms.saturating_sub(since) },
            changes: self.changes.load(Relaxed),
            commits: self.commits.load(Relaxed),
            failures: self.failures.load(Relaxed),
            loads: self.loads.load(Relaxed),
            loaded: self.loaded.load(Relaxed),
        }
    }

    pub(crate) fn went_well(&self, now_ms: Millis) {
        self.went_well_ms.store(now_ms, Relaxed);
        *self.error.lock() = None;
    }

    /// Something waits since a moment, if nothing older does.
    pub(crate) fn waits_since(&self, ms: Millis) {
        let since = self.waiting_since_ms.load(Relaxed);
        if since == 0 || ms < since {
            self.waiting_since_ms.store(ms.max(1), Relaxed);
        }
    }
}

/// Which logs are held, for which sink. A sink whose table's logs are held from a position needs all behind it.
#[derive(Debug, Default)]
pub(crate) struct Holds(Mutex<BTreeMap<String, Held>>);

/// A table, and the positions from which its logs are held.
type Held = (u64, BTreeMap<LogId, Position>);

impl Holds {
    /// Holds a table's logs for a sink from these positions on; those that are not told, from the start.
    pub(crate) fn hold(&self, sink: &str, table: u64, logs: &[LogInfo], positions: &[u64]) {
        let position = |place: usize| Position(positions.get(place).copied().unwrap_or_default());
        let held = logs.iter().enumerate().map(|(place, log)| (log.log, position(place)));
        self.0.lock().insert(sink.to_owned(), (table, held.collect()));
    }

    /// Holds nothing for a sink any more.
    pub(crate) fn release(&self, sink: &str) {
        self.0.lock().remove(sink);
    }
}

impl LogHolder for Holds {
    fn releases(&self, table: &Table, log: LogId) -> Option<Position> {
        let held = self.0.lock();
        let of_table = held.values().filter(|(id, _)| *id == table.id());
        of_table.filter_map(|(_, logs)| logs.get(&log).copied()).min()
    }

    fn lets_go(&self, _: &Table) -> bool {
        true
    }
}
