//! Rows read or written lately.
//!
//! Two generations: what is asked for goes into the young one; once that is full it becomes the old one, and what was in the
//! old one is forgotten. Nothing in it is older than the last commit: a read that began before a commit of its key brings
//! nothing in.

use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};

use bytes::Bytes;
use geodynamo_storage::Write;
use parking_lot::Mutex;

/// Counters of commits by hash of the key; keys that share one only keep each other's reads from being remembered.
const STAMPS: usize = 4096;
/// Bytes that an entry takes besides its key and value, about.
const FRAME_BYTES: usize = 128;

#[derive(Debug)]
pub(crate) struct RowCache {
    bytes_max: usize,
    hasher: RandomState,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    young: HashMap<Bytes, Bytes>,
    old: HashMap<Bytes, Bytes>,
    young_bytes: usize,
    stamps: Vec<u32>,
    /// Counts deleted ranges.
    ranges: u32,
    hits: u64,
    misses: u64,
}

/// When a read began.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Ticket(u32, u32);

impl RowCache {
    pub(crate) fn new(bytes_max: usize) -> Self {
        Self {
            bytes_max,
            hasher: RandomState::new(),
            state: Mutex::new(State {
                young: HashMap::new(),
                old: HashMap::new(),
                young_bytes: 0,
                stamps: vec![0; STAMPS],
                ranges: 0,
                hits: 0,
                misses: 0,
            }),
        }
    }

    fn stamp(&self, key: &[u8]) -> usize {
        self.hasher.hash_one(key) as usize % STAMPS
    }

    /// The row, or a ticket for whoever reads it.
    pub(crate) fn get(&self, key: &[u8]) -> Result<Bytes, Ticket> {
        let stamp = self.stamp(key);
        let mut state = self.state.lock();
        if let Some(value) = state.young.get(key).cloned() {
            state.hits += 1;
            return Ok(value);
        }
        if let Some((key, value)) = state.old.remove_entry(key) {
            state.hits += 1;
            state.keep(key, value.clone(), self.bytes_max);
            return Ok(value);
        }
        state.misses += 1;
        Err(Ticket(state.stamps[stamp], state.ranges))
    }

    /// Remembers what a read found, unless the key was written since it began.
    pub(crate) fn keep(&self, ticket: Ticket, key: &[u8], value: &Bytes) {
        let stamp = self.stamp(key);
        let mut state = self.state.lock();
        if ticket == Ticket(state.stamps[stamp], state.ranges) {
            // A copy: what was read may be a small part of a large buffer.
            let (key, value) = (Bytes::copy_from_slice(key), Bytes::copy_from_slice(value));
            state.keep(key, value, self.bytes_max);
        }
    }

    /// A write was committed.
    pub(crate) fn write(&self, write: &Write) {
        match write {
            Write::Put(key, value) => {
                let stamp = self.stamp(key);
                let mut state = self.state.lock();
                state.stamps[stamp] = state.stamps[stamp].wrapping_add(1);
                state.forget(key);
                state.keep(key.clone(), value.clone(), self.bytes_max);
            }
            Write::Delete(key) => {
                let stamp = self.stamp(key);
                let mut state = self.state.lock();
                state.stamps[stamp] = state.stamps[stamp].wrapping_add(1);
                state.forget(key);
            }
            Write::DeleteRange(from, to) => {
                let mut state = self.state.lock();
                state.ranges = state.ranges.wrapping_add(1);
                let outside = |key: &Bytes| key < from || key >= to;
                state.young.retain(|key, _| outside(key));
                state.old.retain(|key, _| outside(key));
            }
        }
    }

    /// Hits and misses.
    pub(crate) fn usage(&self) -> (u64, u64) {
        let state = self.state.lock();
        (state.hits, state.misses)
    }
}

impl State {
    fn forget(&mut self, key: &[u8]) {
        if let Some(value) = self.young.remove(key) {
            self.young_bytes -= (FRAME_BYTES + key.len() + value.len()).min(self.young_bytes);
        }
        self.old.remove(key);
    }

    fn keep(&mut self, key: Bytes, value: Bytes, bytes_max: usize) {
        let bytes = FRAME_BYTES + key.len() + value.len();
        if bytes > bytes_max / 4 {
            return;
        }
        if self.young_bytes + bytes > bytes_max / 2 {
            self.old = std::mem::take(&mut self.young);
            self.young_bytes = 0;
        }
        self.young_bytes += bytes;
        self.young.insert(key, value);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_read_that_a_commit_overtook_is_not_remembered() {
        let cache = RowCache::new(1 << 20);
        let (key, old, new) = (Bytes::from("k"), Bytes::from("old"), Bytes::from("new"));
        let ticket = cache.get(&key).unwrap_err();
        cache.write(&Write::Put(key.clone(), new.clone()));
        cache.keep(ticket, &key, &old);
        assert_eq!(cache.get(&key), Ok(new));
        cache.write(&Write::Delete(key.clone()));
        let ticket = cache.get(&key).unwrap_err();
        cache.write(&Write::DeleteRange(Bytes::from("a"), Bytes::from("z")));
        cache.keep(ticket, &key, &old);
        let ticket = cache.get(&key).unwrap_err();
        cache.keep(ticket, &key, &old);
        assert_eq!(cache.get(&key), Ok(old));
    }

    #[test]
    fn what_is_not_asked_for_is_forgotten() {
        let cache = RowCache::new(64 << 10);
        let key = |i: u32| Bytes::copy_from_slice(&i.to_be_bytes());
        for i in 0..10_000 {
            cache.write(&Write::Put(key(i), key(i)));
            assert!(cache.get(&key(0)).is_ok(), "asked for all the time");
        }
        assert!(cache.get(&key(1)).is_err());
        let state = cache.state.lock();
        assert!((state.young.len() + state.old.len()) * FRAME_BYTES <= 64 << 10);
    }
}
