//! What the engine, its committer and its follower share.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
};

use bytes::Bytes;
use geodynamo_storage::{Health, LogId, StorageError, Trouble};
use imbl::OrdMap;
use parking_lot::Mutex;
use tokio::sync::{Notify, watch};

use crate::{
    CassandraOptions,
    cache::RowCache,
    entry::Op,
    logs::{End, Ends, Stretches, Tail},
    overlay::{Overlay, Value},
    queue::Queue,
    store::Store,
    tenure::Tenure,
    views::Moment,
};

#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) store: Arc<Store>,
    pub(crate) options: CassandraOptions,
    pub(crate) epoch: i64,
    pub(crate) tenure: Arc<Tenure>,
    pub(crate) queue: Queue,
    pub(crate) cache: RowCache,
    pub(crate) state: Mutex<State>,
    /// Changes when appends have become durable.
    pub(crate) activity: watch::Sender<u64>,
    pub(crate) health: watch::Sender<Health>,
    /// Told when entries are there for rows to follow, and when the engine closes.
    pub(crate) to_follow: Notify,
    /// Told when rows have followed.
    pub(crate) followed: Notify,
    /// Told when a view was closed.
    pub(crate) view_closed: Notify,
    /// How far the engine has ended.
    pub(crate) ending: watch::Sender<Ending>,
    pub(crate) counters: Counters,
    open: AtomicBool,
}

/// How far an engine has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Ending {
    /// Not at all.
    No,
    /// The committer has ended: there will be no further entry.
    Committed,
    /// Rows have followed all of it.
    Followed,
}

#[derive(Debug, Default)]
pub(crate) struct Counters {
    pub(crate) entries: AtomicU64,
    pub(crate) commits: AtomicU64,
    pub(crate) unknown: AtomicU64,
    pub(crate) rows: AtomicU64,
    pub(crate) reads: AtomicU64,
    pub(crate) undone: AtomicU64,
}

impl Counters {
    pub(crate) fn add(counter: &AtomicU64, count: usize) {
        counter.fetch_add(count as u64, Ordering::Relaxed);
    }
}

/// What is committed, and how far rows have followed it.
#[derive(Debug, Default)]
pub(crate) struct State {
    /// The last entry.
    pub(crate) committed: i64,
    /// The last entry that rows have followed.
    pub(crate) followed: i64,
    pub(crate) overlay: Overlay,
    /// The entries that rows have not followed, and their bytes.
    pub(crate) pending: VecDeque<Pending>,
    pub(crate) pending_bytes: usize,
    pub(crate) ends: Ends,
    pub(crate) stretches: Stretches,
    pub(crate) tail: Tail,
    pub(crate) views: BTreeMap<u64, Arc<Moment>>,
    pub(crate) last_view: u64,
    /// Where each range of rows begins. The first one begins with the first key that there can be.
    pub(crate) ranges: OrdMap<Bytes, i64>,
}

/// An entry that rows are to follow.
#[derive(Clone, Debug)]
pub(crate) struct Pending {
    pub(crate) place: i64,
    pub(crate) stretch: i64,
    pub(crate) ends: bool,
    pub(crate) ops: Arc<[Op]>,
}

impl Pending {
    fn bytes(&self) -> usize {
        self.ops.iter().map(Op::bytes).sum()
    }
}

impl State {
    /// Makes an entry visible.
    pub(crate) fn publish(&mut self, pending: Pending) {
        for op in &*pending.ops {
            match op {
                Op::Write(write) => self.overlay.apply(pending.place, write),
                Op::Trim(log, up_to) => {
                    let end = self.ends.entry(*log).or_default();
                    end.trimmed = end.trimmed.max(*up_to);
                }
                Op::Append(log, last, count) => {
                    let end = self.ends.entry(*log).or_default();
                    end.last = end.last.max(*last);
                    self.stretches.add(pending.stretch, *log, *last, *count);
                }
            }
        }
        // A stretch is known from its first entry on, whether it has records or not: in the end it is dropped.
        self.stretches.0.entry(pending.stretch).or_default();
        self.committed = pending.place;
        self.pending_bytes += pending.bytes();
        self.pending.push_back(pending);
    }

    /// Rows have followed the entries up to a place, in which these keys were written.
    pub(crate) fn follow<'a>(&mut self, keys: impl Iterator<Item = &'a Bytes>, up_to: i64) {
        self.overlay.forget(keys, up_to);
        while let Some(first) = self.pending.front()
            && first.place <= up_to
        {
            self.pending_bytes -= first.bytes();
            self.pending.pop_front();
        }
        self.followed = up_to;
    }

    pub(crate) fn end(&self, log: LogId) -> End {
        self.ends.get(&log).copied().unwrap_or_default()
    }

    /// The range that a key's row is in.
    pub(crate) fn range_of(&self, key: &[u8]) -> i64 {
        self.ranges.get_prev(key).map_or(0, |(_, range)| *range)
    }
}

impl Shared {
    pub(crate) fn new(
        store: Arc<Store>,
        options: CassandraOptions,
        epoch: i64,
        tenure: Arc<Tenure>,
        state: State,
    ) -> Self {
        Self {
            store,
            cache: RowCache::new(options.row_cache_bytes),
            options,
            epoch,
            tenure,
            queue: Queue::default(),
            state: Mutex::new(state),
            activity: watch::Sender::new(0),
            health: watch::Sender::new(Health::Open),
            to_follow: Notify::new(),
            followed: Notify::new(),
            view_closed: Notify::new(),
            ending: watch::Sender::new(Ending::No),
            counters: Counters::default(),
            open: AtomicBool::new(true),
        }
    }

    /// An error if the engine is closed, or may not answer.
    pub(crate) async fn check(&self) -> Result<(), StorageError> {
        self.check_open()?;
        self.tenure.check().await
    }

    pub(crate) fn check_open(&self) -> Result<(), StorageError> {
        if self.open.load(Ordering::Acquire) && !self.tenure.is_lost() {
            Ok(())
        } else {
            Err(StorageError::Closed)
        }
    }

    /// Takes no further reads or commits.
    pub(crate) fn close(&self) {
        self.open.store(false, Ordering::Release);
        self.queue.close();
        self.to_follow.notify_one();
    }

    /// Another node writes the log now. Nothing more is committed, or answered.
    pub(crate) fn lose(&self) {
        self.tenure.lose();
        self.queue.abandon();
        self.to_follow.notify_one();
        self.followed.notify_one();
        let text = "another node has taken over";
        self.health
            .send_replace(Health::Unreadable(Trouble::Broken, text.into()));
    }

    /// Whether the log takes entries; while it does not, commits are refused.
    pub(crate) fn is_writable(&self, error: Option<&StorageError>) {
        let is_open = *self.health.borrow() == Health::Open;
        match error {
            None if !is_open => {
                self.queue.refuse(None);
                self.health.send_replace(Health::Open);
                tracing::info!("Cassandra takes writes again");
            }
            Some(error) if is_open => {
                self.queue.refuse(Some(Trouble::WritesFail));
                self.health
                    .send_replace(Health::Unwritable(Trouble::WritesFail, error.to_string().into()));
                tracing::error!(%error, "Cassandra takes no writes");
            }
            _ => {}
        }
    }

    /// The value of a key now.
    pub(crate) async fn value(&self, key: &[u8]) -> Result<Value, StorageError> {
        // First of all: whatever is committed from here on keeps the cache from remembering what is read below.
        let ticket = match self.cache.get(key) {
            Ok(value) => return Ok(Some(value)),
            Err(ticket) => ticket,
        };
        let range = {
            let state = self.state.lock();
            if let Some(value) = state.overlay.get(key) {
                return Ok(value);
            }
            state.range_of(key)
        };
        Counters::add(&self.counters.reads, 1);
        let value = self.store.get(range, key).await?;
        if let Some(value) = &value {
            self.cache.keep(ticket, key, value);
        }
        Ok(value)
    }
}

#[cfg(test)]
mod tests {
    use geodynamo_storage::Position;

    use super::*;

    #[test]
    fn each_log_has_an_end_of_its_own() {
        let mut state = State::default();
        for (place, log) in (1..).zip([7, 0, 8, u64::MAX]) {
            let ops = [
                Op::Append(LogId(log), Position(1), 1),
                Op::Append(LogId(7), Position(9), 3),
            ];
            state.publish(Pending {
                place,
                stretch: 0,
                ends: false,
                ops: ops.into(),
            });
            assert!(state.end(LogId(log)).last >= Position(1), "{log}");
            assert_eq!(state.end(LogId(7)).last, Position(9), "{log}");
        }
    }
}
