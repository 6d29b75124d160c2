//! Local time.

use std::time::{SystemTime, UNIX_EPOCH};

use geodynamo_replicator_core::Millis;
use geodynamo_table::TimeSource;

/// The system's wall clock.
#[derive(Clone, Copy, Debug)]
pub struct SystemClock;

impl TimeSource for SystemClock {
    fn now_ms(&self) -> Millis {
        // A clock before 1970 reads as 1970: stamps still grow.
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
    }
}
