//! Lets rows follow the log.
//!
//! Everything written here carries its entry's place as timestamp, so it may be written again (by this node or by the next
//! one, which does not know how far this one came), and what lands late changes nothing.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::{Duration, Instant},
};

use bytes::Bytes;
use futures_util::{StreamExt, TryStreamExt, stream};
use geodynamo_storage::{LogId, StorageError, Write};

use crate::{
    entry::{self, Op},
    overlay::Value,
    pages::GETS_AT_ONCE,
    rows::{Keys, RowWrite},
    shared::{Counters, Ending, Pending, Shared},
    store::Mark,
    views::Moment,
};

/// What is written in one round.
const ROUND_ENTRIES_MAX: usize = 1024;
const ROUND_BYTES: usize = 4 << 20;
/// How long a round waits for views that are open.
const VIEWS_TIMEOUT: Duration = Duration::from_millis(50);
/// How often it is stored how far rows have followed, at most.
const MARK_EVERY: Duration = Duration::from_secs(1);
/// Between tries of what Cassandra did not do.
const PAUSE_FIRST: Duration = Duration::from_millis(20);
const PAUSE_MAX: Duration = Duration::from_secs(1);
/// Rows of a page that is read to be kept for a view.
const UNDO_ROWS: i32 = 500;

pub(crate) struct Follower {
    shared: Arc<Shared>,
    mark: Mark,
    marked: Instant,
    /// Whether a log was trimmed since stretches were dropped last.
    trimmed: bool,
}

/// What a round writes.
#[derive(Default)]
struct Round {
    /// The last write of each key, and its entry's place.
    keys: BTreeMap<Bytes, (i64, Value)>,
    ranges: Vec<(i64, Bytes, Bytes)>,
    logs: BTreeSet<LogId>,
    /// All keys that were written, those in ranges deleted later, too.
    touched: Vec<Bytes>,
    place: i64,
    stretch: i64,
    ends: bool,
    trims: bool,
}

impl Round {
    fn add(&mut self, entry: &Pending) {
        (self.place, self.stretch, self.ends) = (entry.place, entry.stretch, entry.ends);
        for op in &*entry.ops {
            match op {
                Op::Write(Write::Put(key, value)) => {
                    self.touched.push(key.clone());
                    self.keys.insert(key.clone(), (entry.place, Some(value.clone())));
                }
                Op::Write(Write::Delete(key)) => {
                    self.touched.push(key.clone());
                    self.keys.insert(key.clone(), (entry.place, None));
                }
                Op::Write(Write::DeleteRange(from, to)) if from < to => {
                    self.keys.retain(|key, _| key < from || key >= to);
                    self.ranges.push((entry.place, from.clone(), to.clone()));
                }
                Op::Write(Write::DeleteRange(..)) => {}
                Op::Trim(log, _) => {
                    self.trims = true;
                    self.logs.insert(*log);
                }
                Op::Append(log, ..) => {
                    self.logs.insert(*log);
                }
            }
        }
    }
}

impl Follower {
    pub(crate) fn new(shared: Arc<Shared>, mark: Mark) -> Self {
        Self {
            shared,
            mark,
            marked: Instant::now(),
            trimmed: true,
        }
    }

    /// Until the committer has ended and rows have followed all of it, or another node has taken over.
    pub(crate) async fn run(mut self) {
        loop {
            if self.shared.tenure.is_lost() {
                break;
            }
            if let Some((round, old)) = self.choose().await {
                let done = self.follow(&round, &old).await;
                if done.is_none() {
                    break;
                }
                continue;
            }
            if *self.shared.ending.borrow() >= Ending::Committed {
                self.store_mark(true).await;
                break;
            }
            if self.is_behind() {
                // Nothing else to do: what a restart would have to read again gets less.
                let _ = tokio::time::timeout(MARK_EVERY, self.shared.to_follow.notified()).await;
                self.store_mark(false).await;
            } else {
                self.shared.to_follow.notified().await;
            }
        }
        self.shared.ending.send_replace(Ending::Followed);
    }

    fn is_behind(&self) -> bool {
        self.mark.place < self.shared.state.lock().followed
    }

    /// The entries of the next round, and the views that are older.
    async fn choose(&self) -> Option<(Round, Vec<Arc<Moment>>)> {
        let begun = Instant::now();
        loop {
            {
                let state = self.shared.state.lock();
                state.pending.front()?;
                let is_patient = begun.elapsed() < VIEWS_TIMEOUT
                    && state.pending_bytes < self.shared.options.overlay_bytes_max / 2
                    && *self.shared.ending.borrow() == Ending::No;
                let old: Vec<_> = state
                    .views
                    .values()
                    .filter(|moment| moment.place <= state.followed && !moment.undo.lock().is_lost())
                    .cloned()
                    .collect();
                if old.is_empty() || !is_patient {
                    // Rows go on up to the next view at most: it needs nothing to be kept then.
                    let next = state
                        .views
                        .values()
                        .map(|moment| moment.place)
                        .filter(|place| *place > state.followed)
                        .min()
                        .unwrap_or(i64::MAX);
                    let (mut round, mut bytes) = (Round::default(), 0usize);
                    for entry in state.pending.iter().take(ROUND_ENTRIES_MAX) {
                        if entry.place > next || bytes >= ROUND_BYTES || round.ends {
                            break;
                        }
                        bytes += entry.ops.iter().map(Op::bytes).sum::<usize>();
                        round.add(entry);
                    }
                    return Some((round, old));
                }
            }
            let _ = tokio::time::timeout(VIEWS_TIMEOUT, self.shared.view_closed.notified()).await;
        }
    }

    /// Writes a round; none if another node has taken over before it was done.
    async fn follow(&mut self, round: &Round, old: &[Arc<Moment>]) -> Option<()> {
        let mut pause = PAUSE_FIRST;
        while !old.is_empty()
            && let Err(error) = self.keep(round, old).await
        {
            self.wait("what a snapshot needs was not read", &error, &mut pause)
                .await?;
        }
        while let Err(error) = self.write(round).await {
            self.wait("rows did not follow the log", &error, &mut pause).await?;
        }
        Counters::add(&self.shared.counters.rows, round.keys.len());
        self.trimmed |= round.trims || round.ends;
        self.shared.state.lock().follow(round.touched.iter(), round.place);
        self.shared.followed.notify_one();
        if round.ends {
            self.seal(round.stretch).await?;
        }
        if round.ends || self.marked.elapsed() >= MARK_EVERY {
            self.store_mark(false).await;
        }
        Some(())
    }

    /// Keeps for views what the round writes over.
    async fn keep(&self, round: &Round, old: &[Arc<Moment>]) -> Result<(), StorageError> {
        let wants = |key: &Bytes| {
            old.iter()
                .any(|moment| moment.overlay.get(key).is_none() && moment.undo.lock().wants(key))
        };
        let keep = |key: &Bytes, value: &Value| {
            for moment in old {
                if moment.overlay.get(key).is_none() {
                    let mut undo = moment.undo.lock();
                    if undo.wants(key) {
                        undo.keep(key, value.clone());
                        Counters::add(&self.shared.counters.undone, 1);
                    }
                }
            }
        };
        let wanted: Vec<Bytes> = round.keys.keys().filter(|key| wants(key)).cloned().collect();
        let found: Vec<(Bytes, Value)> = stream::iter(wanted)
            .map(|key| async move {
                let range = self.shared.state.lock().range_of(&key);
                let value = self.shared.store.get(range, &key).await?;
                Ok::<_, StorageError>((key, value))
            })
            .buffer_unordered(GETS_AT_ONCE)
            .try_collect()
            .await?;
        for (key, value) in &found {
            keep(key, value);
        }
        for (_, from, to) in &round.ranges {
            for (range, first, end) in self.parts(from, to) {
                let mut keys = Keys {
                    from: first,
                    to: Some(end),
                    reverse: false,
                };
                loop {
                    let (rows, more) = self.shared.store.scan(range, &keys, UNDO_ROWS).await?;
                    for (key, value) in &rows {
                        keep(key, &Some(value.clone()));
                    }
                    match rows.last() {
                        Some((last, _)) if more && !old.iter().all(|moment| moment.undo.lock().is_lost()) => {
                            keys.from = [last, &b"\0"[..]].concat().into();
                        }
                        _ => break,
                    }
                }
            }
        }
        Ok(())
    }

    async fn write(&self, round: &Round) -> Result<(), StorageError> {
        let mut writes = Vec::with_capacity(round.ranges.len() + round.keys.len());
        for (place, from, to) in &round.ranges {
            for (range, first, end) in self.parts(from, to) {
                writes.push((range, *place, RowWrite::DeleteFrom(first, Some(end))));
            }
        }
        let logs = {
            let state = self.shared.state.lock();
            for (key, (place, value)) in &round.keys {
                let write = match value {
                    Some(value) => RowWrite::Put(key.clone(), value.clone()),
                    None => RowWrite::Delete(key.clone()),
                };
                writes.push((state.range_of(key), *place, write));
            }
            let logs = round.logs.iter().map(|log| {
                let end = state.end(*log);
                (*log, end.last, end.trimmed)
            });
            logs.collect::<Vec<_>>()
        };
        tokio::try_join!(
            self.shared.store.write(writes),
            self.shared.store.write_logs(round.place, logs)
        )?;
        Ok(())
    }

    /// The parts of a range of keys that are in one range of rows each.
    fn parts(&self, from: &Bytes, to: &Bytes) -> Vec<(i64, Bytes, Bytes)> {
        let state = self.shared.state.lock();
        let mut parts = vec![(state.range_of(from), from.clone(), to.clone())];
        for (first, range) in state.ranges.range(from.clone()..to.clone()) {
            if first == from {
                continue;
            }
            if let Some(last) = parts.last_mut() {
                last.2 = first.clone();
            }
            parts.push((*range, first.clone(), to.clone()));
        }
        parts
    }

    /// Says what stands in a stretch that has ended.
    async fn seal(&self, stretch: i64) -> Option<()> {
        let index = {
            let state = self.shared.state.lock();
            let logs = state.stretches.0.get(&stretch);
            entry::encode_index(logs.into_iter().flatten().map(|(log, span)| (*log, *span)))
        };
        let mut pause = PAUSE_FIRST;
        while let Err(error) = self.shared.store.write_stretch(stretch, &index).await {
            self.wait("the index of a stretch was not written", &error, &mut pause)
                .await?;
        }
        Some(())
    }

    /// Stores how far rows have followed, and drops the stretches that nobody needs any more. What does not work is done the
    /// next time.
    async fn store_mark(&mut self, is_last: bool) {
        let mark = {
            let state = self.shared.state.lock();
            // Where the next entry stands. Where there is none yet, that of the last one: whether the stretch ended with it is
            // seen by whoever reads the log from there.
            let next = state.pending.front().map(|entry| entry.stretch);
            let newest = state.stretches.0.last_key_value().map_or(0, |(stretch, _)| *stretch);
            Mark {
                stretch: next.unwrap_or(newest),
                place: state.followed,
                oldest: state.stretches.0.first_key_value().map_or(0, |(stretch, _)| *stretch),
            }
        };
        if mark != self.mark {
            match self.shared.store.write_mark(mark).await {
                Ok(()) => (self.mark, self.marked) = (mark, Instant::now()),
                Err(error) => tracing::warn!(%error, "how far rows have followed was not stored"),
            }
        }
        if self.trimmed && !is_last {
            self.trimmed = !self.drop_dead().await;
        }
    }

    /// Drops stretches without records that are needed; whether that worked.
    async fn drop_dead(&self) -> bool {
        let dead = {
            let state = self.shared.state.lock();
            state.stretches.dead(self.mark.stretch, &state.ends)
        };
        for stretch in dead {
            if let Err(error) = self.shared.store.drop_stretch(stretch).await {
                tracing::warn!(%error, stretch, "a stretch of the log was not dropped");
                return false;
            }
            self.shared.state.lock().stretches.0.remove(&stretch);
        }
        true
    }

    /// Waits before something is tried again; none if another node has taken over.
    async fn wait(&self, failure: &str, error: &StorageError, pause: &mut Duration) -> Option<()> {
        tracing::warn!(%error, "{failure}");
        if self.shared.tenure.is_lost() {
            return None;
        }
        tokio::time::sleep(*pause).await;
        *pause = (2 * *pause).min(PAUSE_MAX);
        Some(())
    }
}
