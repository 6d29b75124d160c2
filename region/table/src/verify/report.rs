//! What verifications have shown, as it is told.

use std::collections::{BTreeMap, VecDeque};

use bytes::Bytes;
use geodynamo_replicator_core::{Hlc, Millis, Stamp};

/// Why a row was brought back from another region.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum HealReason {
    /// There was none here.
    Missing,
    /// There was an older version here.
    Outdated,
    /// What was here failed its check.
    Damaged,
    /// There was no record of this conflict here.
    Conflict,
}

impl HealReason {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Missing, Self::Outdated, Self::Damaged, Self::Conflict];

    /// A word for it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Missing => "missing",
            Self::Outdated => "outdated",
            Self::Damaged => "damaged",
            Self::Conflict => "conflict",
        }
    }
}

/// A row that was brought back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HealedRow {
    /// When, in milliseconds since the Unix epoch.
    pub at_ms: Millis,
    /// The row's partition.
    pub partition: u16,
    /// The item's key, as it is stored.
    pub key: Bytes,
    /// The version that was brought; of a conflict, the loser's.
    pub stamp: Stamp,
    /// Why.
    pub reason: HealReason,
}

/// That a partition was equal in two regions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Proof {
    /// When it was shown, in milliseconds since the Unix epoch.
    pub at_ms: Millis,
    /// Up to which stamps of which region's writes.
    pub up_to: BTreeMap<String, Hlc>,
}

/// What is known of a table being equal here and in another region.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PairReport {
    /// Whether a verification is under way.
    pub running: bool,
    /// When the last one ended, in milliseconds since the Unix epoch, and why it broke off, if it did.
    pub ended: Option<(Millis, Option<String>)>,
    /// The last proof for each partition.
    pub proven: BTreeMap<u16, Proof>,
    /// Rows that the last verification went through.
    pub rows: u64,
    /// Rows that the last one could not judge, as what the peer had was still on its way.
    pub in_flight: u64,
    /// Damaged rows that the peer did not have either.
    pub unhealed: u64,
    /// Rows of one stamp that differ though both pass their checks: a fault of the program. They are left as they are.
    pub twins: u64,
    /// How many rows were brought from the peer since the process started, by partition and reason.
    pub healed: BTreeMap<(u16, HealReason), u64>,
    /// The last of them.
    pub last_healed: VecDeque<HealedRow>,
}

/// What is known of a table being equal in all regions that have it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TableReport {
    /// The table's name; a system table's in parentheses.
    pub table: String,
    /// How many partitions it has.
    pub partitions: u16,
    /// With each other region.
    pub peers: BTreeMap<String, PairReport>,
}

/// What all verifications of a region have done since the process started.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct VerifyCounts {
    /// Verifications that came to their end.
    pub ended: u64,
    /// Those that broke off.
    pub failed: u64,
    /// Rows gone through.
    pub rows: u64,
    /// Rows healed, by reason.
    pub healed: BTreeMap<HealReason, u64>,
    /// Damaged rows that could not be healed, and twins, as of the last verifications.
    pub unhealed: u64,
    /// Since when the partition that waits longest has not been proven, by peer, in milliseconds since the Unix epoch.
    pub oldest_proof: BTreeMap<String, Millis>,
}
