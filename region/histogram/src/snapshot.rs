//! What a histogram has counted.

use crate::{HIGHEST, LOWEST, classic, exponential};

/// A histogram's counts at one moment.
#[derive(Clone, Debug, PartialEq)]
pub struct Snapshot {
    /// Of all values, in their unit.
    pub sum: f64,
    /// The upper bounds of `classic`, inclusive; one more bucket follows, without a bound.
    pub bounds: &'static [f64],
    /// How many values are in each bucket (not cumulative); one more than bounds.
    pub classic: Vec<u64>,
    /// How many values are in each exponential bucket that has any, by its number, which ascends.
    pub exponential: Vec<(i32, u64)>,
}

impl Default for Snapshot {
    /// An empty one without bounds.
    fn default() -> Self {
        Self::new(&[])
    }
}

impl Snapshot {
    /// An empty one with these upper bounds.
    pub fn new(bounds: &'static [f64]) -> Self {
        Self {
            sum: 0.0,
            bounds,
            classic: vec![0; bounds.len() + 1],
            exponential: Vec::new(),
        }
    }

    /// Adds so many equal values; they must come in ascending order.
    pub fn add(&mut self, value: f64, count: u64) {
        if count == 0 {
            return;
        }
        self.sum += value * count as f64;
        if let Some(bucket) = self.classic.get_mut(classic(self.bounds, value)) {
            *bucket += count;
        }
        let number = exponential(value).clamp(LOWEST, HIGHEST);
        match self.exponential.last_mut() {
            Some((last, sum)) if *last == number => *sum += count,
            _ => self.exponential.push((number, count)),
        }
    }

    /// How many values there are, by the buckets with bounds.
    pub fn count(&self) -> u64 {
        self.classic.iter().sum()
    }

    /// How many values there are, by the exponential buckets.
    pub fn exponential_count(&self) -> u64 {
        self.exponential.iter().map(|(_, count)| count).sum()
    }
}

#[cfg(test)]
mod tests {
    use crate::{Histogram, LATENCY_S, Snapshot};

    #[test]
    fn it_counts_as_a_histogram_does() {
        let histogram = Histogram::new(LATENCY_S);
        let mut snapshot = Snapshot::new(LATENCY_S);
        for (value, count) in [(0.000_05, 3), (0.0001, 1), (0.002, 0), (0.25, 7), (0.26, 1), (20.0, 2)] {
            (0..count).for_each(|_| histogram.record(value));
            snapshot.add(value, count);
        }
        let recorded = histogram.snapshot();
        assert_eq!(snapshot.classic, recorded.classic);
        assert_eq!(snapshot.exponential, recorded.exponential);
        assert_eq!((snapshot.count(), snapshot.exponential_count()), (14, 14));
        assert!((snapshot.sum - recorded.sum).abs() < 1e-6);
    }
}
