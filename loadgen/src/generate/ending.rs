//! When a run ends: as planned, or earlier when somebody breaks it off; and when what is not answered by then is given up.

use std::{
    sync::atomic::{AtomicU8, Ordering},
    time::{Duration, Instant},
};

use tokio::sync::watch;

/// What is due and not answered when a run ends is sent and waited for so long, and then given up.
pub const DRAIN_MAX: Duration = Duration::from_secs(2);

/// How far a run is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Running,
    /// Nothing is due after this moment.
    Ended(Instant),
    /// Nothing is sent or waited for any more.
    GivenUp(Instant),
}

/// The end of a run, as all its connections see it.
#[derive(Debug)]
pub struct Ending {
    phase: watch::Sender<Phase>,
    /// Whether it has ended, for who asks before every request.
    ended: AtomicU8,
}

impl Ending {
    /// Of a run that goes on.
    pub fn new() -> Self {
        Self {
            phase: watch::Sender::new(Phase::Running),
            ended: AtomicU8::new(0),
        }
    }

    /// The run ends: what was due until `at` is still asked and waited for.
    pub fn end(&self, at: Instant) {
        self.ended.store(1, Ordering::Release);
        self.phase.send_replace(Phase::Ended(at));
    }

    /// What is not answered by now is given up.
    pub fn give_up(&self) {
        let at = self.ended_at().unwrap_or_else(Instant::now);
        self.ended.store(2, Ordering::Release);
        self.phase.send_replace(Phase::GivenUp(at));
    }

    /// When it ended; `None` while it goes on.
    pub fn ended_at(&self) -> Option<Instant> {
        if self.ended.load(Ordering::Acquire) == 0 {
            return None;
        }
        match *self.phase.borrow() {
            Phase::Running => None,
            Phase::Ended(at) | Phase::GivenUp(at) => Some(at),
        }
    }

    /// Whether what is due is no longer sent.
    pub fn is_given_up(&self) -> bool {
        self.ended.load(Ordering::Acquire) == 2
    }

    /// Waits until the run ends.
    pub async fn ends(&self) {
        self.until(|phase| *phase != Phase::Running).await;
    }

    /// Waits until what is not answered is given up.
    pub async fn gives_up(&self) {
        self.until(|phase| matches!(phase, Phase::GivenUp(_))).await;
    }

    async fn until(&self, is_so: impl FnMut(&Phase) -> bool) {
        // It fails only when the sender is gone, and that is part of `self`.
        let _ = self.phase.subscribe().wait_for(is_so).await;
    }
}

impl Default for Ending {
    fn default() -> Self {
        Self::new()
    }
}
