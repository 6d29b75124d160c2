//! Last-writer-wins merge and the detection of conflicts.

use crdts::{CvRDT, LWWReg};

use crate::{past::Past, stamp::Stamp};

/// What becomes of an incoming version of a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Judgement {
    /// The replica holds this very version: nothing to do.
    Duplicate,
    /// The replica's version was written knowing the incoming one: nothing to do.
    Outdated,
    /// The incoming version was written knowing the replica's: it takes its place.
    Overwrites,
    /// Concurrent, and the incoming version's stamp is greater: it displaces the replica's, which is the loser.
    Displaces,
    /// Concurrent, and the replica's version's stamp is greater: the incoming one is refused and is the loser.
    Refused,
}

impl Judgement {
    /// Whether the incoming version becomes the replica's.
    pub fn applies(self) -> bool {
        matches!(self, Self::Overwrites | Self::Displaces)
    }

    /// Whether a version was refused or displaced by one whose past lacks it.
    pub fn is_conflict(self) -> bool {
        matches!(self, Self::Displaces | Self::Refused)
    }
}

/// Which of the two a register holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Side {
    Current,
    Incoming,
}

/// Judges an incoming version against the one a replica holds.
///
/// The winner is whatever `crdts::LWWReg` holds after merging the two with their stamps as markers. Stamps are never
/// issued twice, so equal markers are the same version (LWWReg would ignore an equal marker silently; it is told apart
/// here first). The pasts only tell a conflict from an overwrite: they never pick the winner.
pub fn judge(current: Option<(Stamp, &Past)>, incoming: (Stamp, &Past)) -> Judgement {
    let Some((stamp, past)) = current else {
        return Judgement::Overwrites;
    };
    if stamp == incoming.0 {
        return Judgement::Duplicate;
    }
    let mut register = LWWReg {
        val: Side::Current,
        marker: stamp,
    };
    let challenger = LWWReg {
        val: Side::Incoming,
        marker: incoming.0,
    };
    debug_assert!(
        CvRDT::validate_merge(&register, &challenger).is_ok(),
        "equal markers were told apart above"
    );
    CvRDT::merge(&mut register, challenger);
    match register.val {
        Side::Incoming if incoming.1.covers(stamp) => Judgement::Overwrites,
        Side::Incoming => Judgement::Displaces,
        Side::Current if past.covers(incoming.0) => Judgement::Outdated,
        Side::Current => Judgement::Refused,
    }
}
