//! The items that a run adds: numbers that all its connections share, and how many of them are there.

use std::{
    collections::BTreeSet,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

/// New items' numbers, and up to which of them all are there: YCSB's acknowledged counter, so that a choice of the newest items
/// never asks for one that is still on its way.
#[derive(Debug)]
pub struct Newest {
    first: u64,
    next: AtomicU64,
    /// All items below this are there, or have failed.
    there: AtomicU64,
    /// Those beyond it: at most one for each connection.
    beyond: Mutex<BTreeSet<u64>>,
}

impl Newest {
    /// Of a table with so many items.
    pub fn new(items: u64) -> Self {
        Self {
            first: items,
            next: AtomicU64::new(items),
            there: AtomicU64::new(items),
            beyond: Mutex::default(),
        }
    }

    /// The number of a new item. It must be told to [`Newest::inserted`] when its request has ended.
    pub fn insert(&self) -> u64 {
        self.next.fetch_add(1, Ordering::Relaxed)
    }

    /// An insert has ended, well or badly: a failed one must not hide those behind it.
    pub fn inserted(&self, number: u64) {
        let mut beyond = self.beyond.lock().unwrap_or_else(PoisonError::into_inner);
        beyond.insert(number);
        let mut there = self.there.load(Ordering::Relaxed);
        while beyond.remove(&there) {
            there += 1;
        }
        self.there.store(there, Ordering::Relaxed);
    }

    /// How many items there are more than at first.
    pub fn added(&self) -> u64 {
        self.there.load(Ordering::Relaxed) - self.first
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn items_count_when_all_before_them_are_there() {
        let newest = Newest::new(10);
        let numbers: Vec<u64> = (0..4).map(|_| newest.insert()).collect();
        assert_eq!(numbers, [10, 11, 12, 13]);
        newest.inserted(12);
        assert_eq!(newest.added(), 0);
        newest.inserted(10);
        assert_eq!(newest.added(), 1);
        newest.inserted(11);
        assert_eq!(newest.added(), 3);
    }
}
