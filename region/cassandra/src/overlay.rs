//! Committed writes that rows have not followed yet, as readers see them.
//!
//! A clone is a few pointers, and never changes: it is what a view keeps of its moment.

use std::ops::Bound;

use bytes::Bytes;
use geodynamo_storage::{Direction, Write};
use imbl::{OrdMap, Vector};

/// A value, or none where the key is deleted.
pub(crate) type Value = Option<Bytes>;

/// What entries of the log have made of keys. Each mark is the place of the last entry that touched the key.
#[derive(Clone, Debug, Default)]
pub(crate) struct Overlay {
    /// Keys that were put or deleted, behind the ranges below.
    keys: OrdMap<Bytes, (i64, Value)>,
    /// Ranges that were deleted.
    ranges: Vector<(i64, Bytes, Bytes)>,
}

impl Overlay {
    /// Applies a write of the entry at a place, which is not before those applied already.
    pub(crate) fn apply(&mut self, place: i64, write: &Write) {
        match write {
            Write::Put(key, value) => {
                self.keys.insert(key.clone(), (place, Some(value.clone())));
            }
            Write::Delete(key) => {
                self.keys.insert(key.clone(), (place, None));
            }
            Write::DeleteRange(from, to) if from < to => {
                let hidden: Vec<Bytes> = self
                    .keys
                    .range(from.clone()..to.clone())
                    .map(|(key, _)| key.clone())
                    .collect();
                for key in hidden {
                    self.keys.remove(&key);
                }
                self.ranges.push_back((place, from.clone(), to.clone()));
            }
            Write::DeleteRange(..) => {}
        }
    }

    /// What it says of a key; none if rows are to be asked.
    pub(crate) fn get(&self, key: &[u8]) -> Option<Value> {
        if let Some((_, value)) = self.keys.get(key) {
            return Some(value.clone());
        }
        self.hides(key).then_some(None)
    }

    /// Whether a deleted range has the key.
    pub(crate) fn hides(&self, key: &[u8]) -> bool {
        self.ranges.iter().any(|(_, from, to)| **from <= *key && *key < **to)
    }

    /// Forgets what entries up to a place have made of keys, now that rows say the same.
    pub(crate) fn forget<'a>(&mut self, keys: impl Iterator<Item = &'a Bytes>, up_to: i64) {
        for key in keys {
            if self.keys.get(key).is_some_and(|(place, _)| *place <= up_to) {
                self.keys.remove(key);
            }
        }
        while self.ranges.front().is_some_and(|(place, ..)| *place <= up_to) {
            self.ranges.pop_front();
        }
    }

    /// The keys within bounds, in the direction.
    pub(crate) fn within<'a>(&'a self, bounds: (Bound<Bytes>, Bound<Bytes>), direction: Direction) -> Sorted<'a> {
        let keys = self
            .keys
            .range(bounds)
            .map(|(key, (_, value))| (key.clone(), value.clone()));
        match direction {
            Direction::Forward => Box::new(keys),
            Direction::Reverse => Box::new(keys.rev()),
        }
    }

    #[cfg(test)]
    pub(crate) fn is_empty(&self) -> bool {
        self.keys.is_empty() && self.ranges.is_empty()
    }
}

/// Keys with their values, sorted one way.
pub(crate) type Sorted<'a> = Box<dyn Iterator<Item = (Bytes, Value)> + Send + 'a>;

/// Merges what is sorted in one direction; of equal keys, the earlier iterator's wins.
pub(crate) struct Merged<'a> {
    sources: Vec<std::iter::Peekable<Sorted<'a>>>,
    direction: Direction,
}

impl<'a> Merged<'a> {
    pub(crate) fn new(sources: impl IntoIterator<Item = Sorted<'a>>, direction: Direction) -> Self {
        Self {
            sources: sources.into_iter().map(Iterator::peekable).collect(),
            direction,
        }
    }
}

impl Iterator for Merged<'_> {
    type Item = (Bytes, Value);

    fn next(&mut self) -> Option<Self::Item> {
        let heads = self.sources.iter_mut().filter_map(|source| source.peek());
        let keys = heads.map(|(key, _)| key);
        let next = match self.direction {
            Direction::Forward => keys.min(),
            Direction::Reverse => keys.max(),
        }?
        .clone();
        let mut found = None;
        for source in &mut self.sources {
            if let Some(item) = source.next_if(|(key, _)| *key == next) {
                found = found.or(Some(item));
            }
        }
        found
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    fn key() -> impl Strategy<Value = Bytes> {
        prop::collection::vec(0u8..3, 0..3).prop_map(Bytes::from)
    }

    fn write() -> impl Strategy<Value = Write> {
        prop_oneof![
            3 => (key(), key()).prop_map(|(key, value)| Write::Put(key, value)),
            2 => key().prop_map(Write::Delete),
            1 => (key(), key()).prop_map(|(from, to)| Write::DeleteRange(from, to)),
        ]
    }

    fn apply(rows: &mut BTreeMap<Bytes, Bytes>, write: &Write) {
        match write {
            Write::Put(key, value) => {
                rows.insert(key.clone(), value.clone());
            }
            Write::Delete(key) => {
                rows.remove(key);
            }
            Write::DeleteRange(from, to) => rows.retain(|key, _| key < from || key >= to),
        }
    }

    proptest! {
        /// Rows that have followed up to any place, with the overlay over them, are what was committed.
        #[test]
        fn over_rows_that_follow(writes in prop::collection::vec(write(), 0..20), followed in 0usize..20) {
            let followed = followed.min(writes.len());
            let (mut all, mut rows) = (BTreeMap::new(), BTreeMap::new());
            let mut overlay = Overlay::default();
            for (place, write) in writes.iter().enumerate() {
                overlay.apply(place as i64, write);
                apply(&mut all, write);
                if place < followed {
                    apply(&mut rows, write);
                }
            }
            let touched: Vec<Bytes> = writes[..followed].iter().map(|write| match write {
                Write::Put(key, _) | Write::Delete(key) | Write::DeleteRange(key, _) => key.clone(),
            }).collect();
            overlay.forget(touched.iter(), followed as i64 - 1);
            prop_assert!(followed < writes.len() || overlay.is_empty());
            for direction in [Direction::Forward, Direction::Reverse] {
                let stored = rows.iter().filter(|(key, _)| !overlay.hides(key));
                let stored = stored.map(|(key, value)| (key.clone(), Some(value.clone())));
                let stored: Sorted<'_> = match direction {
                    Direction::Forward => Box::new(stored),
                    Direction::Reverse => Box::new(stored.rev()),
                };
                let over = overlay.within((Bound::Unbounded, Bound::Unbounded), direction);
                let merged = Merged::new([over, stored], direction);
                let mut merged: Vec<_> = merged.filter_map(|(key, value)| Some((key, value?))).collect();
                if direction == Direction::Reverse {
                    merged.reverse();
                }
                prop_assert!(merged.iter().map(|(key, value)| (key, value)).eq(&all));
            }
        }
    }
}
