//! When a link's state machine wants to be looked at again.

use std::{pin::Pin, time::Duration};

use geodynamo_replicator_core::Millis;
use tokio::time::{Instant, Sleep, sleep};

/// A timer that is set anew only if it would go off too late. A state machine is asked for its timeout after every event, and
/// mostly wants to be looked at later than before: then the timer goes off early, once, for nothing.
pub(crate) struct Tick {
    sleep: Pin<Box<Sleep>>,
    /// When it goes off.
    at: Millis,
}

impl Tick {
    pub(crate) fn new() -> Self {
        Self {
            sleep: Box::pin(sleep(Duration::ZERO)),
            at: Millis::MAX,
        }
    }

    /// It must go off at this time at the latest, but not before the next millisecond.
    pub(crate) fn arm(&mut self, now: Millis, at: Millis) {
        let at = at.max(now.saturating_add(1));
        if at < self.at {
            self.at = at;
            let wait = Duration::from_millis(at.saturating_sub(now));
            // A time that no clock reaches: it does not go off.
            if let Some(deadline) = Instant::now().checked_add(wait) {
                self.sleep.as_mut().reset(deadline);
            }
        }
    }

    /// Returns when it goes off; it must have been armed since. Safe to cancel.
    pub(crate) async fn gone_off(&mut self) {
        self.sleep.as_mut().await;
        self.at = Millis::MAX;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn it_is_set_anew_only_to_go_off_earlier() {
        let mut tick = Tick::new();
        let set = |tick: &mut Tick, now, at| {
            let before = tick.sleep.deadline();
            tick.arm(now, at);
            tick.sleep.deadline() != before
        };
        assert!(set(&mut tick, 100, 900_000));
        assert!(!set(&mut tick, 110, 900_001));
        assert!(set(&mut tick, 110, 150), "earlier");
        assert!(!set(&mut tick, 120, 900_000));
        assert!(set(&mut tick, 120, 0), "late already: in the next millisecond");
        assert_eq!(tick.at, 121);
        tick.gone_off().await;
        assert!(set(&mut tick, 121, 900_000));
    }
}
