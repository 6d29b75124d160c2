//! Latencies in HDR histograms, a set of them for each thread.
//!
//! A request's duration is recorded once, in some ten nanoseconds, into a histogram that (nearly always) only its own
//! thread writes. `/metrics` and `/latency` merge them when somebody looks.

use std::{
    cell::Cell,
    sync::atomic::{AtomicUsize, Ordering::Relaxed},
    time::Duration,
};

use geodynamo_histogram::{LATENCY_S, Snapshot};
use geodynamo_metrics::{Exemplar, Exemplars};
use hdrhistogram::Histogram;
use opentelemetry::trace::TraceId;
use parking_lot::Mutex;
use serde::Serialize;

/// Sets of histograms. Threads beyond this number share.
const SHARDS: usize = 16;

/// The longest duration that is told from longer ones, in microseconds.
const DURATION_US_MAX: u64 = 60_000_000;

/// Significant decimal digits of a duration.
const DIGITS: u8 = 3;

/// How a request ended.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Outcome {
    /// With what was asked for.
    Success,
    /// With an error of the client's making.
    ClientError,
    /// With an error of the server's making.
    ServerError,
}

impl Outcome {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Success, Self::ClientError, Self::ServerError];

    /// How metrics call it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Success => "success",
            Self::ClientError => "client_error",
            Self::ServerError => "server_error",
        }
    }
}

/// The quantiles of some requests' durations, in microseconds, exact to three digits.
#[derive(Clone, Copy, PartialEq, Debug, Serialize)]
pub struct LatencySummary {
    /// How many requests.
    pub count: u64,
    /// The mean.
    pub mean_us: f64,
    /// Half of the requests took no longer.
    pub p50_us: u64,
    /// 99 % of the requests took no longer.
    pub p99_us: u64,
    /// 99.9 % of the requests took no longer.
    pub p99_9_us: u64,
    /// The longest.
    pub max_us: u64,
}

impl LatencySummary {
    pub(crate) fn of(histogram: &Histogram<u64>) -> Self {
        Self {
            count: histogram.len(),
            mean_us: histogram.mean(),
            p50_us: histogram.value_at_quantile(0.5),
            p99_us: histogram.value_at_quantile(0.99),
            p99_9_us: histogram.value_at_quantile(0.999),
            max_us: histogram.max(),
        }
    }
}

/// Histograms by thread, operation and outcome. One takes 140 KB, from its first record on.
#[derive(Debug)]
pub(crate) struct Latencies {
    shards: Box<[Mutex<Shard>]>,
    /// By operation and outcome.
    exemplars: Exemplars<usize>,
}

type Shard = Vec<Option<Box<Histogram<u64>>>>;

impl Latencies {
    pub(crate) fn new(operations: usize) -> Self {
        let shard = || Mutex::new(vec![None; operations * Outcome::ALL.len()]);
        Self {
            shards: std::iter::repeat_with(shard).take(SHARDS).collect(),
            exemplars: Exemplars::new(LATENCY_S),
        }
    }

    /// Records one request. Operations that are not known are not recorded.
    pub(crate) fn record(&self, operation: usize, outcome: Outcome, took: Duration) {
        let took_us = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        let mut shard = self.shards[own_shard()].lock();
        if let Some(place) = shard.get_mut(place(operation, outcome)) {
            place
                .get_or_insert_with(|| Box::new(empty()))
                .saturating_record(took_us);
        }
    }

    /// Remembers a traced request as an example of its duration.
    pub(crate) fn remember(&self, operation: usize, outcome: Outcome, took: Duration, trace: TraceId) {
        self.exemplars
            .remember(place(operation, outcome), took.as_secs_f64(), trace);
    }

    /// Examples of traced requests, for each bucket.
    pub(crate) fn exemplars(&self, operation: usize, outcome: Outcome) -> Vec<Option<Exemplar>> {
        self.exemplars.of(&place(operation, outcome))
    }

    /// All threads' records; `None` if there are none.
    pub(crate) fn merged(&self, operation: usize, outcome: Outcome) -> Option<Histogram<u64>> {
        let mut merged: Option<Histogram<u64>> = None;
        for shard in &self.shards {
            let shard = shard.lock();
            let Some(Some(histogram)) = shard.get(place(operation, outcome)) else {
                continue;
            };
            match &mut merged {
                None => merged = Some((**histogram).clone()),
                // Both have the same range, so this cannot fail.
                Some(merged) => drop(merged.add(&**histogram)),
            }
        }
        merged
    }
}

/// How many durations are in each bucket that Prometheus sees.
pub(crate) fn counts(histogram: &Histogram<u64>) -> Snapshot {
    let mut counts = Snapshot::new(LATENCY_S);
    let mut sum_us = 0.0;
    for value in histogram.iter_recorded() {
        let (duration_us, count) = (value.value_iterated_to(), value.count_since_last_iteration());
        // What a value is recorded as may be 0.1 % above it; its lower end decides, so that bounds stay sharp.
        counts.add(histogram.lowest_equivalent(duration_us) as f64 / 1e6, count);
        sum_us += histogram.median_equivalent(duration_us) as f64 * count as f64;
    }
    counts.sum = sum_us / 1e6;
    counts
}

fn place(operation: usize, outcome: Outcome) -> usize {
    operation * Outcome::ALL.len() + outcome as usize
}

fn empty() -> Histogram<u64> {
    // These constants are valid: 1 ≤ low, 2 · low ≤ high, digits ≤ 5. The fallback has the same digits.
    Histogram::new_with_bounds(1, DURATION_US_MAX, DIGITS)
        .or_else(|_| Histogram::new(DIGITS))
        .expect("three digits are valid")
}

/// The shard of this thread: threads get them in turn.
fn own_shard() -> usize {
    static NEXT: AtomicUsize = AtomicUsize::new(0);
    thread_local! {
        static OWN: Cell<Option<usize>> = const { Cell::new(None) };
    }
    OWN.with(|own| {
        own.get().unwrap_or_else(|| {
            let next = NEXT.fetch_add(1, Relaxed) % SHARDS;
            own.set(Some(next));
            next
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn threads_are_merged() {
        let latencies = Latencies::new(3);
        std::thread::scope(|scope| {
            for thread in 1..=20 {
                let latencies = &latencies;
                scope.spawn(move || {
                    for _ in 0..100 {
                        latencies.record(2, Outcome::Success, Duration::from_millis(thread));
                    }
                });
            }
        });
        let merged = latencies.merged(2, Outcome::Success).unwrap();
        assert_eq!(merged.len(), 2000);
        let summary = LatencySummary::of(&merged);
        assert!((9990..=10_010).contains(&summary.p50_us), "{summary:?}");
        assert!((19_980..=20_020).contains(&summary.max_us), "{summary:?}");
        assert!(latencies.merged(1, Outcome::Success).is_none());
        latencies.record(3, Outcome::Success, Duration::ZERO);
        let counts = counts(&merged);
        assert!((counts.sum - 21.0).abs() < 0.03, "{}", counts.sum);
        assert_eq!((counts.count(), counts.exponential_count()), (2000, 2000));
        let count = |bound_s: f64| counts.classic[LATENCY_S.iter().position(|bound| *bound == bound_s).unwrap()];
        assert_eq!(
            (count(0.001), count(0.003), count(0.005), count(0.02), count(0.05)),
            (100, 100, 200, 1000, 0)
        );
    }

    #[test]
    fn bounds_belong_to_their_bucket() {
        for (place, bound_s) in LATENCY_S.iter().enumerate() {
            let latencies = Latencies::new(1);
            latencies.record(0, Outcome::Success, Duration::from_secs_f64(*bound_s));
            let counts = counts(&latencies.merged(0, Outcome::Success).unwrap());
            assert_eq!(counts.classic[place], 1, "{bound_s}");
        }
    }
}
