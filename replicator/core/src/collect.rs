//! When tombstones may go.
//!
//! A tombstone may go once nobody can bring an older version of its key any more: once every member has applied everything
//! that every member wrote up to the tombstone's stamp, with nothing older parked and no join open. Each member works that
//! out by itself, from what the others tell of themselves, in three steps:
//!
//! 1. What this member wrote up to a stamp is applied **everywhere** once all others have acknowledged its logs up to where
//!    they ended when it had issued that stamp: [`Marks`].
//! 2. The least of all members' is what this member **agrees** to.
//! 3. Up to the least that all have agreed to, tombstones are **collected**.
//!
//! All of these only grow, and what a member has agreed to is durable before it tells. A write to a key that was forgotten
//! has seen what was forgotten: its past says so ([`Past::forgotten`](crate::Past::forgotten)), or a member that still has
//! the tombstone would take it for a conflict.

use std::collections::VecDeque;

use crate::{
    ids::{LogId, Position},
    stamp::Hlc,
    verify::Standing,
};

/// The most marks that wait to be acknowledged. One in the middle makes room, so both a member that answers at once and one
/// that is far behind reach one.
pub const MARKS_MAX: usize = 8;

/// A replica's marks: stamps, with the ends of its logs of a table when it had written everything up to them.
#[derive(Clone, Debug, Default)]
pub struct Marks(VecDeque<(Hlc, Vec<(LogId, Position)>)>);

impl Marks {
    /// Everything that was written up to `stamp` is in the logs up to these ends, and everything else will have a greater
    /// stamp.
    pub fn add(&mut self, stamp: Hlc, ends: Vec<(LogId, Position)>) {
        if self.0.len() >= MARKS_MAX {
            self.0.remove(MARKS_MAX / 2);
        }
        self.0.push_back((stamp, ends));
    }

    /// The greatest mark that is applied everywhere, of those that were not given before: `applied` tells how far all other
    /// members have acknowledged a log.
    pub fn reached(&mut self, applied: impl Fn(LogId) -> Position) -> Option<Hlc> {
        let is_applied =
            |(_, ends): &(Hlc, Vec<(LogId, Position)>)| ends.iter().all(|(log, end)| applied(*log) >= *end);
        let number = self.0.iter().rposition(is_applied)?;
        let reached = self.0.drain(..=number).next_back();
        reached.map(|(stamp, _)| stamp)
    }
}

/// What a member agrees to, from what all members (itself, too) have told. Nothing if one has told nothing.
pub fn agreed<'a>(members: impl IntoIterator<Item = Option<&'a Standing>>) -> Hlc {
    least(members, |standing| standing.everywhere.min(standing.settled))
}

/// Up to where tombstones may go, from what all members have told.
pub fn collectable<'a>(members: impl IntoIterator<Item = Option<&'a Standing>>) -> Hlc {
    least(members, |standing| standing.agreed)
}

fn least<'a>(members: impl IntoIterator<Item = Option<&'a Standing>>, of: fn(&Standing) -> Hlc) -> Hlc {
    let told = members.into_iter().map(|standing| standing.map_or(Hlc(0), of));
    told.min().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn marks_are_reached_in_order_and_given_once() {
        let log = LogId(1);
        let mut marks = Marks::default();
        for number in 1..=20 {
            marks.add(Hlc(number), vec![(log, Position(10 * number))]);
        }
        assert!(marks.0.len() <= MARKS_MAX);
        assert_eq!(marks.reached(|_| Position(9)), None);
        assert_eq!(marks.reached(|_| Position(15)), Some(Hlc(1)));
        assert_eq!(marks.reached(|_| Position(15)), None);
        assert_eq!(marks.reached(|_| Position(200)), Some(Hlc(20)));
        assert_eq!(marks.reached(|_| Position(200)), None);
    }

    #[test]
    fn one_that_is_silent_or_behind_holds_all_back() {
        let standing = |everywhere, settled, agreed| Standing {
            everywhere: Hlc(everywhere),
            settled: Hlc(settled),
            agreed: Hlc(agreed),
            ..Standing::default()
        };
        let (first, second) = (standing(9, 8, 3), standing(7, 20, 5));
        assert_eq!(agreed([Some(&first), Some(&second)]), Hlc(7));
        assert_eq!(collectable([Some(&first), Some(&second)]), Hlc(3));
        assert_eq!(agreed([Some(&first), None]), Hlc(0));
        assert_eq!(collectable([Some(&first), None]), Hlc(0));
        assert_eq!(agreed([]), Hlc(0));
    }
}
