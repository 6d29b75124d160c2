//! Where the change logs' records lie: in segments, one after the other.
//!
//! The key of a record begins with the number of the segment that was being written when it came. So whatever is written
//! later, to whichever log, has a greater key, and a memtable holds records of one segment only: where the next one begins,
//! memtables are flushed. Memtables that wait together become one file, of segments that follow each other. So files do not
//! overlap, and RocksDB moves them down its levels without reading them. Keyed by log and position alone, every file would
//! span all logs, and each compaction would write all that is kept of them anew.
//!
//! A log's records within one segment are a stretch of it; where each begins, and in which segment it lies, stands in a
//! row of its own. A trim ends the stretches that it covers. The files of segments without stretches are dropped whole:
//! nothing is marked as deleted, for a mark would lie in a new file and span the old ones. The price: a log that is held
//! for long, for a peer that is cut off, holds the other logs' records in its segments with it.

use std::collections::BTreeMap;

use geodynamo_storage::StorageError;

use crate::store::Store;

/// The segments that hold records, and the one that is being written. The committer's own.
#[derive(Debug)]
pub(crate) struct Segments {
    /// What is appended goes here.
    current: u64,
    /// Bytes that were written since it began, to logs and else.
    bytes: usize,
    /// Bytes after which the next one begins.
    bytes_max: usize,
    /// How many stretches that are not trimmed each one has; the current one is here even without one.
    stretches: BTreeMap<u64, u32>,
    /// Those that have none any more, whose files were not dropped yet.
    dead: Vec<u64>,
}

impl Segments {
    /// The segments of a store, each of what logs get of about so many bytes that are written. A new one is begun.
    pub(crate) fn open(store: &Store, bytes_max: usize) -> Result<Self, StorageError> {
        let mut stretches = BTreeMap::new();
        store.for_each_stretch(|segment| *stretches.entry(segment).or_insert(0) += 1)?;
        let last = stretches.keys().next_back().copied().max(store.last_segment()?);
        let current = last.map_or(0, |last| last + 1);
        stretches.insert(current, 0);
        // What a crash left: the files of segments whose last stretch was ended, but which were not dropped.
        let mut from = 0;
        for &live in stretches.keys() {
            if from < live {
                store.drop_segments(from..live)?;
            }
            from = live + 1;
        }
        Ok(Self {
            current,
            bytes: 0,
            bytes_max,
            stretches,
            dead: Vec::new(),
        })
    }

    /// The number of the segment that is being written.
    pub(crate) fn current(&self) -> u64 {
        self.current
    }

    /// Whether the next one is due.
    pub(crate) fn is_full(&self) -> bool {
        self.bytes >= self.bytes_max
    }

    /// Whether a segment's files are kept.
    #[cfg(test)]
    pub(crate) fn keeps(&self, segment: u64) -> bool {
        self.stretches.contains_key(&segment)
    }

    /// Begins the next one. Nothing may be appended to this one any more.
    pub(crate) fn next(&mut self) {
        if self.stretches.get(&self.current) == Some(&0) {
            self.stretches.remove(&self.current);
            self.dead.push(self.current);
        }
        self.current += 1;
        self.bytes = 0;
        self.stretches.insert(self.current, 0);
    }

    /// So many bytes are being written, to logs and else.
    pub(crate) fn writing(&mut self, bytes: usize) {
        self.bytes = self.bytes.saturating_add(bytes);
    }

    /// A log has begun a stretch in the current one.
    pub(crate) fn stretch_begun(&mut self) {
        *self.stretches.entry(self.current).or_insert(0) += 1;
    }

    /// A stretch was trimmed whole.
    pub(crate) fn stretch_ended(&mut self, segment: u64) {
        let Some(count) = self.stretches.get_mut(&segment) else {
            return;
        };
        *count = count.saturating_sub(1);
        if *count == 0 && segment != self.current {
            self.stretches.remove(&segment);
            self.dead.push(segment);
        }
    }

    /// Drops the files of segments that have no stretches any more. What of this is on disk must be so already.
    pub(crate) fn drop_dead(&mut self, store: &Store) {
        let Some(&oldest) = self.stretches.keys().next() else {
            return;
        };
        let mut dead = std::mem::take(&mut self.dead);
        if dead.is_empty() {
            return;
        }
        dead.retain(|&segment| segment > oldest);
        // From the start each time: what was not moved down yet when its own segment was dropped, and files that a
        // compaction made of several segments.
        let before = std::iter::once(0..oldest);
        for range in before.chain(dead.into_iter().map(|segment| segment..segment + 1)) {
            // They are dropped with the next ones, or when the store is opened.
            if let Err(error) = store.drop_segments(range) {
                tracing::warn!(%error, "the files of trimmed logs were not dropped");
            }
        }
    }
}
