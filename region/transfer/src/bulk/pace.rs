//! How fast an operation writes at most.

use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::Instant;

use super::halt::Halt;
use crate::Result;

/// For so long what was not used may be used later.
const SAVED: Duration = Duration::from_millis(100);

/// A rate of write units that is not passed, but for what is under way at a moment.
pub(crate) struct Pace {
    /// Units a second; none is no limit.
    rate: Option<u64>,
    /// From when on more may be written.
    from: Mutex<Instant>,
}

impl Pace {
    pub(crate) fn new(rate: Option<u64>) -> Self {
        Self {
            rate: rate.filter(|rate| *rate > 0),
            from: Mutex::new(Instant::now()),
        }
    }

    /// Waits until more may be written.
    pub(crate) async fn wait(&self, halt: &Halt) -> Result<()> {
        if self.rate.is_none() {
            return Ok(());
        }
        let from = *self.from.lock();
        if from <= Instant::now() {
            return Ok(());
        }
        halt.or(tokio::time::sleep_until(from)).await
    }

    /// So many units were written.
    pub(crate) fn wrote(&self, units: f64) {
        if let Some(rate) = self.rate {
            let mut from = self.from.lock();
            *from = after(*from, Instant::now(), units, rate);
        }
    }
}

/// From when on more may be written, after so many units.
fn after(from: Instant, now: Instant, units: f64, rate: u64) -> Instant {
    let earliest = now.checked_sub(SAVED).unwrap_or(now);
    let cost = Duration::try_from_secs_f64(units / rate as f64).unwrap_or_default();
    from.max(earliest) + cost
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rate_is_kept_over_time() {
        let begin = Instant::now();
        let mut from = begin;
        let mut now = begin;
        let mut units = 0.0;
        while now < begin + Duration::from_secs(10) {
            if from <= now {
                from = after(from, now, 5.0, 1024);
                units += 5.0;
            } else {
                now = from;
            }
        }
        assert!((10_240.0..10_460.0).contains(&units), "{units}");
        // What was saved is used up at once, and no more than that.
        let later = now + Duration::from_secs(60);
        let saved = after(from, later, 1024.0, 1024);
        assert_eq!(saved, later + Duration::from_secs(1) - SAVED);
    }
}
