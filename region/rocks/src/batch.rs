//! A write batch being built of what waits for the committer.

use std::collections::{BTreeSet, HashMap, hash_map::Entry};

use bytes::Bytes;
use geodynamo_storage::{Commit, Distrust, LogId, Position, Precondition, Prefix, StorageClass, StorageError, Write};
use rocksdb::{ColumnFamily, WriteBatch};

use crate::{
    classes::{Family, Place, Placement, Span, Spot},
    layout::{self, LOG, META},
    mover::Step,
    overlay::Overlay,
    quarantine::note_distrust,
    queue::Trusted,
    queue::{Job, Waiting},
    row_cache::{Found, RowCache},
    segments::Segments,
    store::Store,
};

/// The last position that a log can have reached.
const POSITION_MAX: u64 = u64::MAX / 2;
/// Bytes of a write batch's framing around one write, about.
const FRAMING_BYTES: usize = 16;

#[derive(Clone, Copy, Debug)]
pub(crate) struct LogState {
    end: Position,
    trimmed: Position,
    /// The segment of its last stretch, if that goes on.
    segment: Option<u64>,
}

/// A write batch being built.
pub(crate) struct Batch<'a> {
    store: &'a Store,
    /// How rows are kept.
    placement: &'a Placement,
    /// How those of the batches after this one are, if otherwise.
    pub(crate) staged: Option<Placement>,
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
    pub(crate) grown: BTreeSet<LogId>,
    /// Stretches that trims have ended, by log and first position: the store still tells of them.
    ended: BTreeSet<(LogId, Position)>,
    commits: u64,
}

impl<'a> Batch<'a> {
    pub(crate) fn new(
        store: &'a Store,
        placement: &'a Placement,
        rows: &'a RowCache,
        segments: &'a mut Segments,
        jobs: &[Waiting],
    ) -> Result<Self, StorageError> {
        let size = |waiting: &Waiting| match &waiting.job {
            Job::Commit(commit) => waiting.bytes + FRAMING_BYTES * (commit.writes.len() + 2 * commit.appends.len()),
            Job::Trim(..) | Job::Place(..) | Job::Trust(_) => 4 * FRAMING_BYTES,
            Job::Move(step) => 2 * step.bytes(),
        };
        // Who wants to know what the batch has done to keys so far.
        let conditional = |waiting: &Waiting| match &waiting.job {
            Job::Commit(commit) => !commit.preconditions.is_empty(),
            Job::Move(_) => true,
            Job::Trim(..) | Job::Place(..) | Job::Trust(_) => false,
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
            batch: store.batch(jobs.iter().map(size).sum()),
            overlay: jobs.iter().any(conditional).then(Overlay::default),
            grown: BTreeSet::new(),
            ended: BTreeSet::new(),
            commits: 0,
        })
    }

    /// Adds a commit whole, or not at all.
    pub(crate) fn commit(
        &mut self,
        commit: &Commit,
        logs: &mut HashMap<LogId, LogState>,
    ) -> Result<Vec<Position>, StorageError> {
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
    pub(crate) fn place(&mut self, prefix: Prefix, class: StorageClass) -> Result<Vec<Position>, StorageError> {
        let staged = self.staged.get_or_insert_with(|| self.placement.clone());
        if let Some(place) = staged.choose(prefix, class) {
            self.keep_place(prefix, &place);
        }
        Ok(Vec::new())
    }

    /// Takes what can be trusted again out of what is not vouched for: `now`, as of the jobs before.
    pub(crate) fn trust(&mut self, trusted: &Trusted, now: &mut Distrust) -> Result<Vec<Position>, StorageError> {
        let before = now.clone();
        match trusted {
            Trusted::Rows(from, to) => now.remove_rows(from, to),
            Trusted::Records => now.remove_records(),
        }
        note_distrust(self.store, &before, now, &mut self.batch)?;
        Ok(Vec::new())
    }

    fn keep_place(&mut self, prefix: Prefix, place: &Place) {
        match place.stored() {
            Some(stored) => self.batch.put_cf(self.meta, layout::class_key(prefix), [stored]),
            None => self.batch.delete_cf(self.meta, layout::class_key(prefix)),
        }
    }

    /// Carries out a step of a move, unless that move is over.
    pub(crate) fn step(&mut self, step: &Step) -> Result<Vec<Position>, StorageError> {
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

    pub(crate) fn trim(
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
    pub(crate) fn finish(mut self, logs: &HashMap<LogId, LogState>) -> (u64, WriteBatch) {
        for log in &self.grown {
            if let Some(state) = logs.get(log) {
                self.batch
                    .put_cf(self.meta, layout::end_key(*log), state.end.0.to_be_bytes());
            }
        }
        (self.commits, self.batch)
    }
}
