//! Histograms that many threads write and anyone reads: counts in buckets with fixed bounds, which whoever reads them may
//! choose, and in exponential ones of which each is 9 % wider than the one below it. No I/O, no clock.
//!
//! The exponential buckets are those of Prometheus' native histograms with schema 3, and of OpenTelemetry's exponential
//! histograms with scale 3: bucket `i` has what is above `2^((i-1)/8)` and not above `2^(i/8)` (OpenTelemetry numbers it
//! `i - 1`). Source: <https://prometheus.io/docs/specs/native_histograms/>.

mod snapshot;

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

pub use snapshot::Snapshot;

/// Prometheus' schema of the exponential buckets: there are `2^3` of them for each power of two.
pub const SCHEMA: i32 = 3;
/// Exponential buckets for each power of two.
const PER_POWER: f64 = 8.0;
/// The exponential bucket of whatever is smaller than the ones behind it: up to 1/1024 of a millisecond.
pub const LOWEST: i32 = -160;
/// The exponential bucket of whatever is larger than the ones before it: above 512 (seconds; commits in a batch: 4096).
pub const HIGHEST: i32 = 104;
/// How many exponential buckets there are.
const EXPONENTIAL: usize = (HIGHEST - LOWEST) as usize + 1;
/// A sum is kept in so many parts of the unit: it has room for half a million years of latencies.
const SUM_PARTS: f64 = 1e6;

/// Upper bounds of what a request, or a part of one, takes, in seconds: from 100 µs to 10 s, close to each other where the
/// single-digit milliseconds are.
pub const LATENCY_S: &[f64] = &[
    0.0001, 0.0002, 0.0005, 0.001, 0.002, 0.003, 0.005, 0.0075, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0,
];

/// A histogram. Recording takes no lock and allocates nothing; one takes some 2.5 KB.
#[derive(Debug)]
pub struct Histogram {
    bounds: &'static [f64],
    /// One more than bounds.
    classic: Box<[AtomicU64]>,
    exponential: Box<[AtomicU64]>,
    /// Of all values, in millionths.
    sum: AtomicU64,
}

impl Histogram {
    /// An empty one, with these upper bounds, which ascend.
    pub fn new(bounds: &'static [f64]) -> Self {
        let zeros = |count| (0..count).map(|_| AtomicU64::new(0)).collect();
        Self {
            bounds,
            classic: zeros(bounds.len() + 1),
            exponential: zeros(EXPONENTIAL),
            sum: AtomicU64::new(0),
        }
    }

    /// Counts a value. What is negative or no number counts as zero.
    pub fn record(&self, value: f64) {
        let value = if value > 0.0 { value } else { 0.0 };
        if let Some(count) = self.classic.get(classic(self.bounds, value)) {
            count.fetch_add(1, Relaxed);
        }
        if let Some(count) = self.exponential.get(place(exponential(value))) {
            count.fetch_add(1, Relaxed);
        }
        self.sum.fetch_add((value * SUM_PARTS).round() as u64, Relaxed);
    }

    /// What was recorded. Values that are being recorded may be in one kind of buckets and not yet in the other.
    pub fn snapshot(&self) -> Snapshot {
        let exponential = self.exponential.iter().zip(LOWEST..);
        Snapshot {
            sum: self.sum.load(Relaxed) as f64 / SUM_PARTS,
            bounds: self.bounds,
            classic: self.classic.iter().map(|count| count.load(Relaxed)).collect(),
            exponential: exponential
                .map(|(count, bucket)| (bucket, count.load(Relaxed)))
                .filter(|(_, count)| *count > 0)
                .collect(),
        }
    }
}

/// The bucket with a bound that a value belongs to: bounds are inclusive.
fn classic(bounds: &[f64], value: f64) -> usize {
    bounds.partition_point(|bound| *bound < value)
}

/// The number of the exponential bucket that a value belongs to, which is none of a negative one.
fn exponential(value: f64) -> i32 {
    // A cast from a float ends at the type's bounds; the logarithm of zero is below them.
    ((value.log2() * PER_POWER).ceil() as i32).clamp(LOWEST, HIGHEST)
}

/// Where a bucket stands among all of them.
fn place(bucket: i32) -> usize {
    usize::try_from(bucket - LOWEST).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn bounds_belong_to_their_buckets() {
        for (at, bound) in LATENCY_S.iter().enumerate() {
            let histogram = Histogram::new(LATENCY_S);
            histogram.record(*bound);
            histogram.record(bound * 1.000_001);
            let snapshot = histogram.snapshot();
            assert_eq!((snapshot.classic[at], snapshot.classic[at + 1]), (1, 1), "{bound}");
        }
        let powers = Histogram::new(&[]);
        for power in [-4, 0, 3] {
            powers.record(2.0_f64.powi(power));
        }
        assert_eq!(powers.snapshot().exponential, [(-32, 1), (0, 1), (24, 1)]);
    }

    #[test]
    fn what_is_out_of_range_is_counted_at_the_ends() {
        let histogram = Histogram::new(LATENCY_S);
        for value in [0.0, -1.0, f64::NAN, 1e-9, 1e9] {
            histogram.record(value);
        }
        let snapshot = histogram.snapshot();
        assert_eq!(snapshot.exponential, [(LOWEST, 4), (HIGHEST, 1)]);
        assert_eq!((snapshot.classic[0], snapshot.classic[LATENCY_S.len()]), (4, 1));
        assert_eq!(snapshot.count(), 5);
    }

    #[test]
    fn threads_lose_nothing() {
        let histogram = Histogram::new(LATENCY_S);
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| (0..1000).for_each(|_| histogram.record(0.5)));
            }
        });
        let snapshot = histogram.snapshot();
        assert_eq!((snapshot.count(), snapshot.exponential.len()), (4000, 1));
        assert!((snapshot.sum - 2000.0).abs() < 1e-6);
    }

    proptest! {
        #[test]
        fn a_value_is_within_its_buckets(value in 1e-6..500.0_f64) {
            let bucket = exponential(value);
            let above = 2.0_f64.powf(f64::from(bucket) / PER_POWER);
            let below = 2.0_f64.powf(f64::from(bucket - 1) / PER_POWER);
            prop_assert!(value <= above * (1.0 + 1e-12) && value > below * (1.0 - 1e-12));
            let at = classic(LATENCY_S, value);
            prop_assert!(LATENCY_S.get(at).is_none_or(|bound| value <= *bound));
            prop_assert!(at == 0 || LATENCY_S[at - 1] < value);
        }
    }
}
