//! The system's clock.

use std::time::{SystemTime, UNIX_EPOCH};

use geodynamo_replicator_core::Millis;
use geodynamo_table::TimeSource;

/// The system's clock.
#[derive(Clone, Copy, Debug)]
pub(crate) struct SystemClock;

impl TimeSource for SystemClock {
    fn now_ms(&self) -> Millis {
        SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .map_or(0, |since| u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
    }
}
