//! Buckets of capacity: what was not spent is kept for a while, what was spent too much is waited for.
//!
//! A request is let in while something is left, and what it turns out to cost is taken then: so a bucket may be overdrawn
//! by what is under way, never starved by a request that costs more than it can hold. Everything is one atomic number, so
//! requests never wait for each other here.

use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};

use geodynamo_replicator_core::Millis;

/// How much unused capacity is kept, in seconds of it. Source: AWS developer guide, "Burst and adaptive capacity".
pub(crate) const SAVED_S_MAX: i64 = 300;
/// How far a bucket may be overdrawn, in seconds of its capacity. It also bounds how long a table stands still if the
/// clock is set back.
const DEBT_S_MAX: i64 = 300;
/// Nanoseconds of a second.
const SECOND_NS: i64 = 1_000_000_000;

/// The capacity of a table or an index, counted in time: what is left is how long ago the bucket was (or will be) empty.
/// So a rate that changes changes what is left in proportion.
#[derive(Debug)]
pub(crate) struct Bucket {
    /// When it was, or will be, empty: nanoseconds since the Unix epoch.
    empty_ns: AtomicI64,
}

impl Bucket {
    /// A bucket that has saved since a time, and one second's worth at least.
    pub(crate) fn since(ms: Millis) -> Self {
        Self {
            empty_ns: AtomicI64::new(ns(ms) - SECOND_NS),
        }
    }

    /// Whether anything is left.
    pub(crate) fn has_any(&self, now: Millis) -> bool {
        self.empty_ns.load(Ordering::Relaxed) < ns(now)
    }

    /// Takes units out, at a rate of so many per second.
    pub(crate) fn spend(&self, now: Millis, units: f64, rate: u64) {
        let now = ns(now);
        // Rounded up, so that a rate is never exceeded. The conversion saturates, and the cost is bounded below.
        let cost = (units * SECOND_NS as f64 / rate.max(1) as f64).ceil() as i64;
        self.empty_ns
            .fetch_max(now - SAVED_S_MAX * SECOND_NS, Ordering::Relaxed);
        self.empty_ns
            .fetch_add(cost.clamp(0, DEBT_S_MAX * SECOND_NS), Ordering::Relaxed);
        self.empty_ns.fetch_min(now + DEBT_S_MAX * SECOND_NS, Ordering::Relaxed);
    }

    /// What is left, in units at a rate; less than nothing if it is overdrawn.
    #[cfg(test)]
    pub(crate) fn left(&self, now: Millis, rate: u64) -> f64 {
        let since = ns(now) - self.empty_ns.load(Ordering::Relaxed);
        since.min(SAVED_S_MAX * SECOND_NS) as f64 * rate as f64 / SECOND_NS as f64
    }
}

/// What a key range has spent in the present second. Nothing is saved; what was spent too much counts for the next one.
#[derive(Debug, Default)]
pub(crate) struct Window {
    /// The second since the Unix epoch (the upper half), and what was spent in it, in half units (the lower half).
    spent: AtomicU64,
}

impl Window {
    /// Whether anything is left of so many units per second.
    pub(crate) fn has_any(&self, now: Millis, rate: u64) -> bool {
        let (_, halves) = Self::roll(self.spent.load(Ordering::Relaxed), now, rate);
        u64::from(halves) < rate.saturating_mul(2)
    }

    /// Spends units.
    pub(crate) fn spend(&self, now: Millis, units: f64, rate: u64) {
        // Units are halves or wholes, and a request's are thousands at most; the conversion saturates.
        let cost = (units * 2.0) as u32;
        let next = |spent| {
            let (second, halves) = Self::roll(spent, now, rate);
            Some(u64::from(second) << 32 | u64::from(halves.saturating_add(cost)))
        };
        // It always has a next value, so it cannot fail.
        let _ = self.spent.fetch_update(Ordering::Relaxed, Ordering::Relaxed, next);
    }

    /// What was spent, as of now: with every second that has passed, a second's worth is forgotten.
    fn roll(spent: u64, now: Millis, rate: u64) -> (u32, u32) {
        let (second, halves) = ((spent >> 32) as u32, spent as u32); // The two halves.
        let current = (now / 1000) as u32; // Wraps in the year 2106, where one second's count is forgotten.
        // A clock that was set back starts anew.
        let Some(passed) = current.checked_sub(second) else {
            return (current, 0);
        };
        let forgotten = rate.saturating_mul(2).saturating_mul(passed.into());
        let halves = u64::from(halves).saturating_sub(forgotten);
        (current, u32::try_from(halves).unwrap_or(u32::MAX))
    }
}

fn ns(ms: Millis) -> i64 {
    i64::try_from(ms)
        .unwrap_or(i64::MAX / 2_000_000)
        .saturating_mul(1_000_000)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const NOW: Millis = 1_763_890_000_000;

    #[test]
    fn a_new_bucket_has_a_seconds_worth_and_saves_five_minutes() {
        let bucket = Bucket::since(NOW);
        assert_eq!(bucket.left(NOW, 10), 10.0);
        assert_eq!(bucket.left(NOW + 9_000, 10), 100.0);
        assert_eq!(bucket.left(NOW + 299_000, 10), 3_000.0);
        assert_eq!(
            bucket.left(NOW + 10_000_000, 10),
            3_000.0,
            "no more than five minutes' worth"
        );
        bucket.spend(NOW + 10_000_000, 2_999.5, 10);
        assert!(bucket.has_any(NOW + 10_000_000));
        bucket.spend(NOW + 10_000_000, 0.5, 10);
        assert!(!bucket.has_any(NOW + 10_000_000));
        assert!(bucket.has_any(NOW + 10_000_001));
    }

    #[test]
    fn what_is_spent_too_much_is_waited_for_but_not_for_ever() {
        let bucket = Bucket::since(NOW);
        bucket.spend(NOW, 400.0, 10);
        assert_eq!(bucket.left(NOW, 10), -390.0);
        assert!(!bucket.has_any(NOW + 39_000) && bucket.has_any(NOW + 39_001));
        for _ in 0..100 {
            bucket.spend(NOW, 400.0, 1);
        }
        assert!(!bucket.has_any(NOW + 300_000) && bucket.has_any(NOW + 300_001));
        // The clock is set back an hour: the next request that spends brings the bucket to the new time.
        bucket.spend(NOW - 3_600_000, 0.0, 1);
        assert!(bucket.has_any(NOW - 3_600_000 + 300_001));
    }

    #[test]
    fn another_rate_changes_what_is_left_in_proportion() {
        let bucket = Bucket::since(NOW);
        assert_eq!(bucket.left(NOW + 9_000, 10), 100.0);
        assert_eq!(bucket.left(NOW + 9_000, 100), 1_000.0);
    }

    #[test]
    fn a_key_range_has_its_rate_every_second_and_no_more() {
        let window = Window::default();
        let spend = |from: Millis, units: f64| {
            let mut spent = 0.0;
            while window.has_any(from, 1_000) && spent < 10_000.0 {
                window.spend(from, units, 1_000);
                spent += units;
            }
            spent
        };
        assert_eq!(spend(NOW, 1.0), 1_000.0);
        assert_eq!(spend(NOW + 999, 0.5), 0.0);
        assert_eq!(spend(NOW + 1_000, 0.5), 1_000.0);
        assert_eq!(spend(NOW + 60_000, 1.0), 1_000.0, "nothing is saved");
        // 1,200 in one second: 800 are left for the next one.
        assert_eq!(spend(NOW + 61_000, 400.0), 1_200.0);
        assert_eq!(spend(NOW + 62_000, 1.0), 800.0);
        // A clock that was set back.
        assert_eq!(spend(NOW, 1.0), 1_000.0);
    }

    proptest! {
        #[test]
        fn over_any_time_a_bucket_gives_its_rate_what_it_saved_and_one_request(
            rate in 1_u64..1_000,
            steps in proptest::collection::vec((0_u64..3_000, 1_u32..40), 1..200),
        ) {
            let bucket = Bucket::since(NOW);
            let (mut now, mut spent) = (NOW, 0.0);
            for (step, halves) in steps {
                now += step;
                if bucket.has_any(now) {
                    bucket.spend(now, f64::from(halves) / 2.0, rate);
                    spent += f64::from(halves) / 2.0;
                }
                let seconds = (now - NOW) as f64 / 1_000.0 + 1.0;
                // The last request may have cost up to 20 units more than was left.
                prop_assert!(spent <= rate as f64 * seconds + 20.0, "{spent} in {seconds} s at {rate}");
            }
        }

        #[test]
        fn a_window_never_gives_more_than_its_rate_and_one_request(
            rate in 1_u64..1_000,
            steps in proptest::collection::vec((0_u64..300, 1_u32..40), 1..400),
        ) {
            let window = Window::default();
            let (mut now, mut spent) = (NOW, 0.0);
            for (step, halves) in steps {
                now += step;
                if window.has_any(now, rate) {
                    window.spend(now, f64::from(halves) / 2.0, rate);
                    spent += f64::from(halves) / 2.0;
                }
                let seconds = (now / 1_000 - NOW / 1_000) as f64 + 1.0;
                prop_assert!(spent <= rate as f64 * seconds + 20.0, "{spent} in {seconds} s at {rate}");
            }
        }
    }
}
