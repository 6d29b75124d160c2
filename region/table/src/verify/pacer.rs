//! How fast rows are read.

use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::{Instant, sleep_until};

/// Waits shorter than this are not waited for.
const PACE_LEAST: Duration = Duration::from_millis(5);

/// Holds reading to a rate.
#[derive(Debug)]
pub(super) struct Pacer {
    bytes_per_second: u64,
    /// When what was read so far will have been paid for.
    next: Mutex<Option<Instant>>,
}

impl Pacer {
    /// So many bytes a second; one, at least.
    pub(super) fn new(bytes_per_second: u64) -> Self {
        Self {
            bytes_per_second: bytes_per_second.max(1),
            next: Mutex::new(None),
        }
    }

    /// Waits as long as reading so many bytes may take.
    pub(super) async fn pace(&self, bytes: usize) {
        let cost = Duration::from_secs_f64(bytes as f64 / self.bytes_per_second as f64);
        let now = Instant::now();
        let until = {
            let mut next = self.next.lock();
            let until = next.map_or(now, |next| next.max(now)) + cost;
            *next = Some(until);
            until
        };
        if until > now + PACE_LEAST {
            sleep_until(until).await;
        } else {
            tokio::task::yield_now().await;
        }
    }
}
