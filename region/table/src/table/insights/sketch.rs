//! The heaviest keys of a stream of weighted ones, in bounded memory.
//!
//! Misra and Gries' counters with weights. What is told of a key is at most too high by [`Sketch::error`], and never too low;
//! a key whose weight is more than the error is there. With `n` counters the error is at most 1/n of all weight.
//!
//! Source: Anderson, Bevin, Lang, Liberty, Rhodes, Thaler: "A High-Performance Algorithm for Identifying Frequent Items in Data
//! Streams" (2017).

use std::collections::HashMap;

/// Counters for the heaviest keys.
#[derive(Debug)]
pub(super) struct Sketch {
    counters: HashMap<Box<[u8]>, f64>,
    capacity: usize,
    /// What was taken from every counter so far.
    error: f64,
    total: f64,
}

impl Sketch {
    /// One that keeps at least `capacity` of the heaviest keys, and never more than twice as many.
    pub(super) fn new(capacity: usize) -> Self {
        Self {
            counters: HashMap::new(),
            capacity: capacity.max(1),
            error: 0.0,
            total: 0.0,
        }
    }

    /// Adds weight to a key.
    pub(super) fn add(&mut self, key: &[u8], weight: f64) {
        if weight <= 0.0 {
            return;
        }
        self.total += weight;
        if let Some(counter) = self.counters.get_mut(key) {
            *counter += weight;
            return;
        }
        if self.counters.len() >= 2 * self.capacity {
            self.shrink();
        }
        self.counters.insert(key.into(), weight);
    }

    /// Takes from all counters what the lighter half has at most, so that this half goes.
    fn shrink(&mut self) {
        let mut weights: Vec<f64> = self.counters.values().copied().collect();
        let lighter = weights.len().saturating_sub(self.capacity + 1);
        let (_, least, _) = weights.select_nth_unstable_by(lighter, f64::total_cmp);
        let least = *least;
        self.error += least;
        self.counters.retain(|_, weight| {
            *weight -= least;
            *weight > 0.0
        });
    }

    /// All weight that was added.
    pub(super) fn total(&self) -> f64 {
        self.total
    }

    /// By how much a key's weight may be told too high, and what a key may have that is not there.
    pub(super) fn error(&self) -> f64 {
        self.error
    }

    /// The keys with what they weigh at most, the heaviest first.
    pub(super) fn heaviest(&self, most: usize) -> Vec<(Box<[u8]>, f64)> {
        let mut found: Vec<_> = self.counters.iter().map(|(key, weight)| (key, *weight)).collect();
        found.sort_unstable_by(|(a_key, a), (b_key, b)| b.total_cmp(a).then_with(|| a_key.cmp(b_key)));
        found.truncate(most);
        found
            .into_iter()
            .map(|(key, weight)| (key.clone(), weight + self.error))
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn few_keys_are_counted_exactly() {
        let mut sketch = Sketch::new(4);
        for (key, weight) in [(b"a", 1.0), (b"b", 2.5), (b"a", 3.0), (b"c", 0.0)] {
            sketch.add(key, weight);
        }
        let wanted: Vec<(Box<[u8]>, f64)> = vec![((*b"a").into(), 4.0), ((*b"b").into(), 2.5)];
        assert_eq!(sketch.heaviest(10), wanted);
        assert_eq!((sketch.total(), sketch.error()), (6.5, 0.0));
    }

    proptest! {
        /// What the paper promises, against exact counts.
        #[test]
        fn weights_are_within_the_error(
            events in prop::collection::vec((0u8..60, 1u8..40), 1..2000),
            capacity in 1usize..20,
        ) {
            let mut sketch = Sketch::new(capacity);
            let mut exact = BTreeMap::<u8, f64>::new();
            for (key, weight) in events {
                let key = key / (key % 7 + 1);
                sketch.add(&[key], f64::from(weight));
                *exact.entry(key).or_default() += f64::from(weight);
                prop_assert!(sketch.counters.len() <= 2 * capacity);
            }
            let total: f64 = exact.values().sum();
            prop_assert_eq!(sketch.total(), total);
            prop_assert!(sketch.error() <= total / capacity as f64);
            let told: BTreeMap<u8, f64> =
                sketch.heaviest(usize::MAX).into_iter().map(|(key, weight)| (key[0], weight)).collect();
            for (key, weight) in exact {
                match told.get(&key) {
                    Some(told) => prop_assert!(weight <= *told && *told <= weight + sketch.error()),
                    None => prop_assert!(weight <= sketch.error()),
                }
            }
        }
    }
}
