//! Parking: what becomes of a stamp too far ahead of local time.
//!
//! It is never adopted (the clock would run away) and never lost: the delta waits, durably, until local time comes near.
//! It counts for the cursor, not for the watermark. The space is bounded per origin; when it is full, only that origin
//! stalls. This module decides; whoever holds the tables keeps the space.

use bytes::Bytes;

use crate::{
    ids::Position,
    stamp::{Millis, Stamp},
};

/// How far ahead of local time a stamp may be and still be merged, unless configured otherwise, in milliseconds.
pub const DRIFT_MS_MAX: Millis = 5_000;

/// How much may be parked per origin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ParkingLimits {
    /// How far ahead of local time a stamp may be and still be merged, in milliseconds.
    pub drift_ms_max: Millis,
    /// The most deltas.
    pub count_max: u64,
    /// The most bytes, in the unit of [`crate::Delta::weight`].
    pub bytes_max: u64,
}

impl Default for ParkingLimits {
    fn default() -> Self {
        Self {
            drift_ms_max: DRIFT_MS_MAX,
            count_max: 100_000,
            bytes_max: 64 * 1024 * 1024,
        }
    }
}

/// What one origin has parked.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ParkingUse {
    /// Deltas.
    pub count: u64,
    /// Bytes, in the unit of [`crate::Delta::weight`].
    pub bytes: u64,
}

impl ParkingUse {
    /// After one more was parked.
    #[must_use]
    pub fn with(self, bytes: u64) -> Self {
        Self {
            count: self.count.saturating_add(1),
            bytes: self.bytes.saturating_add(bytes),
        }
    }

    /// After one was released.
    #[must_use]
    pub fn without(self, bytes: u64) -> Self {
        Self {
            count: self.count.saturating_sub(1),
            bytes: self.bytes.saturating_sub(bytes),
        }
    }
}

/// What to do with a version's stamp.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Admission {
    /// Near enough: merge it.
    Merge,
    /// Too far ahead: park it.
    Park,
    /// Too far ahead, and its origin's space is full: refuse the batch ([`crate::host::ApplyError::Stalled`]).
    Stall,
}

/// Decides what becomes of a version with this stamp and this weight, at local time `now`.
pub fn admit(stamp: Stamp, now: Millis, weight: u64, used: ParkingUse, limits: &ParkingLimits) -> Admission {
    if !is_ahead(stamp, now, limits.drift_ms_max) {
        return Admission::Merge;
    }
    let after = used.with(weight);
    if after.count <= limits.count_max && after.bytes <= limits.bytes_max {
        Admission::Park
    } else {
        Admission::Stall
    }
}

/// Whether a stamp is too far ahead of local time to be merged.
pub fn is_ahead(stamp: Stamp, now: Millis, drift_ms_max: Millis) -> bool {
    stamp.time.millis() > now.saturating_add(drift_ms_max)
}

/// The key of a parked delta within its space: by stamp, so that a scan from the start gives what is due first.
pub fn parked_key(stamp: Stamp, item_key: &[u8]) -> Bytes {
    let mut key = Vec::with_capacity(Stamp::LEN + item_key.len());
    key.extend_from_slice(&stamp.to_bytes());
    key.extend_from_slice(item_key);
    key.into()
}

/// The stamp and item key of a parked delta's key; `None` if it is none.
pub fn parse_parked_key(key: &[u8]) -> Option<(Stamp, &[u8])> {
    let (stamp, item_key) = key.split_first_chunk::<{ Stamp::LEN }>()?;
    Some((Stamp::from_bytes(stamp)?, item_key))
}

/// Up to where everything of a log is applied: its cursor, unless something older is parked. A parked delta's position is
/// its batch's [`crate::host::Batch::after`]: what it came with lies behind that.
pub fn watermark(cursor: Position, oldest_parked: Option<Position>) -> Position {
    oldest_parked.map_or(cursor, |parked| parked.min(cursor))
}
