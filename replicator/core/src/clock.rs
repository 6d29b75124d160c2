//! The hybrid logical clock.

use crate::stamp::{Hlc, Millis, ReplicaId, Stamp};

/// Issues stamps: each greater than every stamp issued or observed before, and never one twice, also after a restart.
///
/// The ceiling is what is on disk: no stamp above it is ever issued. Whoever owns the clock persists a higher ceiling
/// ahead of need (see [`Clock::wants_ceiling`]) and raises it once that is durable. After a restart the clock starts at
/// the persisted ceiling, so it is above everything it issued, however the wall clock has stepped.
#[derive(Clone, Debug)]
pub struct Clock {
    replica: ReplicaId,
    last: Hlc,
    ceiling: Hlc,
}

/// Why no stamp can be issued now.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ClockError {
    /// The next stamp would be above the durable ceiling: persist a higher one first.
    #[error("the next stamp is above the durable ceiling")]
    Ceiling,
}

impl Clock {
    /// How far above the last stamp a new ceiling is put, in milliseconds: one durable write buys this much time.
    pub const CEILING_AHEAD_MS: Millis = 2_000;
    /// A higher ceiling is asked for when less than this is left, in milliseconds.
    pub const CEILING_MARGIN_MS: Millis = 1_000;

    /// A clock that starts at the durable ceiling (zero for a fresh data directory).
    pub fn new(replica: ReplicaId, ceiling: Hlc) -> Self {
        Self {
            replica,
            last: ceiling,
            ceiling,
        }
    }

    /// The replica whose stamps it issues.
    pub fn replica(&self) -> ReplicaId {
        self.replica
    }

    /// The last reading issued or observed.
    pub fn last(&self) -> Hlc {
        self.last
    }

    /// Issues the next stamp: `max(last + 1, now)`.
    pub fn issue(&mut self, now: Millis) -> Result<Stamp, ClockError> {
        let time = self.last.next().max(Hlc::from_millis(now));
        if time > self.ceiling {
            return Err(ClockError::Ceiling);
        }
        self.last = time;
        Ok(Stamp::new(time, self.replica))
    }

    /// Takes note of a stamp that was merged, so that later stamps are greater. The caller has already parked stamps too
    /// far ahead of `now`, so this never runs the clock away.
    pub fn observe(&mut self, stamp: Stamp) {
        self.last = self.last.max(stamp.time);
    }

    /// Whether the durable ceiling is above everything issued and observed. Until it is, what was observed must not be
    /// seen by a reader: after a restart the clock would not know of it.
    pub fn is_covered(&self) -> bool {
        self.last <= self.ceiling
    }

    /// The ceiling to persist now, if the durable one is near.
    pub fn wants_ceiling(&self, now: Millis) -> Option<Hlc> {
        let time = self.last.next().max(Hlc::from_millis(now));
        (time.millis() + Self::CEILING_MARGIN_MS > self.ceiling.millis())
            .then(|| Hlc::from_millis(time.millis() + Self::CEILING_AHEAD_MS))
    }

    /// A ceiling has become durable.
    pub fn raise_ceiling(&mut self, ceiling: Hlc) {
        self.ceiling = self.ceiling.max(ceiling);
    }
}
