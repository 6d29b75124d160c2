//! How far a peer's clock is from this node's, by the times that its answers to pings tell.

use std::collections::VecDeque;

use geodynamo_replicator_core::Millis;

/// How many answers are kept; there is one a second.
const ANSWERS_MAX: usize = 8;

/// The last answers of a peer, on one connection.
///
/// An answer was given some time between the ping's going and the answer's coming: half-way, if both ways take as long. So
/// the offset that it tells is wrong by half of its round trip at most, and the answer with the shortest one tells it best
/// (RFC 5905, section 10, does the same).
#[derive(Debug, Default)]
pub(crate) struct Answers(VecDeque<Answer>);

#[derive(Clone, Copy, Debug)]
struct Answer {
    round_trip_ms: Millis,
    /// Twice the offset, in milliseconds: whole numbers do for halves.
    twice_offset_ms: i64,
}

impl Answers {
    /// Takes an answer in: how long it took, the peer's clock as it answered, and this node's as the answer came. Gives the
    /// peer's clock's lead over this node's, in seconds; negative if it is behind.
    pub(crate) fn take(&mut self, round_trip_ms: Millis, peer_ms: Millis, own_ms: Millis) -> f64 {
        if self.0.len() >= ANSWERS_MAX {
            self.0.pop_front();
        }
        let ahead = signed(peer_ms).saturating_sub(signed(own_ms)).saturating_mul(2);
        self.0.push_back(Answer {
            round_trip_ms,
            twice_offset_ms: ahead.saturating_add(signed(round_trip_ms)),
        });
        // The newest of those that are as good.
        let best = self.0.iter().rev().min_by_key(|answer| answer.round_trip_ms);
        best.map_or(0.0, |best| best.twice_offset_ms as f64 / 2e3)
    }
}

fn signed(ms: Millis) -> i64 {
    i64::try_from(ms).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_of_half_way() {
        // Sent at 1000, answered at 1050 by this node's clock, which is 1350 by the peer's, and here at 1100.
        assert_eq!(Answers::default().take(100, 1350, 1100), 0.3);
        assert_eq!(Answers::default().take(100, 750, 1100), -0.3);
        assert_eq!(Answers::default().take(0, 1000, 1000), 0.0);
    }

    #[test]
    fn the_shortest_way_tells_best_until_it_is_old() {
        let mut answers = Answers::default();
        assert_eq!(answers.take(10, 1005, 1010), 0.0);
        // One that waited on its way back.
        for _ in 1..ANSWERS_MAX {
            assert_eq!(answers.take(500, 2005, 2500), 0.0);
        }
        assert_eq!(answers.take(500, 2005, 2500), -0.245);
    }

    #[test]
    fn times_that_make_no_sense_do_no_harm() {
        let mut answers = Answers::default();
        assert!(answers.take(u64::MAX, u64::MAX, 0).is_finite());
        assert!(answers.take(0, 0, u64::MAX).is_finite());
    }
}
