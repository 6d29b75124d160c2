//! Verification: two replicas of a table compare what they hold, and one heals itself from the other.
//!
//! The **asker** walks through its own rows in the order of their keys and takes sums over stretches of them; the
//! **answerer** takes sums over the same stretches of its own. Stretches that differ are divided, down to a few rows, and then
//! listed by key and stamp. What the asker lacks, once it has applied everything that the answerer had when it listed it, is
//! a difference that no link will mend: the asker fetches just that, and merges it like any delta. What the *answerer* lacks
//! it is told of as stretches, and mends by asking in its turn. Nobody writes to anybody.
//!
//! So the trees of sums are made by whoever scans, and kept by nobody. A put costs nothing, an equal table of five million
//! rows costs two paced scans and some 250 KB on the link, and how deep a tree goes follows from where rows are, also where
//! all of them have one partition key.
//!
//! Two kinds of rows are compared: items' versions (tombstones included), and conflict records.

mod verifier;

use std::collections::VecDeque;

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::{
    delta::Delta,
    host::CopyMark,
    ids::{LogInfo, Position, TableId},
    stamp::{Hlc, ReplicaId, Stamp},
};

pub use verifier::{Compared, Done, Task, Verified, Verifier, VerifierAction, VerifyOrder};

/// The most stretches whose sums are asked for at a time.
pub const PARTS_MAX: usize = 16;
/// Rows of a stretch of the walk; one that differs is divided.
pub const PART_ROWS: usize = 1024;
/// Stretches of so many rows are not divided further, but listed.
pub const LEAF_ROWS: usize = 64;
/// The most rows that are listed at a time.
pub const LIST_ROWS_MAX: usize = 1024;
/// The most rows that an answerer goes through for one question. Stretches behind that are left out of the answer.
pub const SCAN_ROWS_MAX: usize = 64 * 1024;
/// The most keys that are fetched at a time.
pub const FETCH_KEYS_MAX: usize = 256;
/// About how many bytes of deltas are fetched at a time.
pub const FETCH_BYTES: usize = 1024 * 1024;
/// The most stretches that an answerer is told of; beyond, it looks through the whole table.
pub const STRETCHES_MAX: usize = 256;

/// Which rows are compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum RowKind {
    /// Items' versions.
    #[serde(rename = "i")]
    Item,
    /// Conflict records.
    #[serde(rename = "c")]
    Conflict,
}

/// A stretch of a table's rows: behind a mark, up to and including another.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stretch {
    /// From the first row if it is not there.
    #[serde(rename = "a", default, skip_serializing_if = "Option::is_none")]
    pub after: Option<CopyMark>,
    /// To the last row if it is not there.
    #[serde(rename = "u", default, skip_serializing_if = "Option::is_none")]
    pub until: Option<CopyMark>,
}

/// The sum over a stretch: how many rows, and XXH3-128 over their keys and contents in their order, in two halves.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sum(
    /// How many rows.
    pub u32,
    /// The upper half.
    pub u64,
    /// The lower half.
    pub u64,
);

/// A row, as it is listed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Listed {
    /// Where it stands.
    #[serde(rename = "m")]
    pub mark: CopyMark,
    /// The version's stamp; of a conflict record, the loser's.
    #[serde(rename = "s")]
    pub stamp: Stamp,
    /// XXH3-64 over its content.
    #[serde(rename = "h")]
    pub hash: u64,
    /// Whether its own check fails, so that nothing else of it means anything.
    #[serde(rename = "x", default, skip_serializing_if = "std::ops::Not::not")]
    pub damaged: bool,
}

/// How a replica stands with a table, as it tells another when they compare.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Standing {
    /// Everything that this replica writes from here on has a greater stamp.
    #[serde(rename = "s")]
    pub stamp: Hlc,
    /// Everything that this replica wrote up to here is applied by every member.
    #[serde(rename = "d", default)]
    pub everywhere: Hlc,
    /// Nothing up to here is parked at this replica, nor will be.
    #[serde(rename = "p", default)]
    pub settled: Hlc,
    /// What this replica agrees to forget: see [`crate::collect`].
    #[serde(rename = "a", default)]
    pub agreed: Hlc,
    /// Tombstones up to here may have been collected.
    #[serde(rename = "t", default)]
    pub collected: Hlc,
    /// Conflict records of losers up to here may have been dropped.
    #[serde(rename = "c", default)]
    pub dropped: Hlc,
}

impl Standing {
    /// What neither side compares: see [`Horizons`].
    pub fn horizons(&self, other: &Self) -> Horizons {
        Horizons {
            collected: self.collected.max(other.collected),
            dropped: self.dropped.max(other.dropped),
        }
    }
}

/// What is left out of a comparison, because either side may have taken it away.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Horizons {
    /// Tombstones up to here.
    #[serde(rename = "t", default)]
    pub collected: Hlc,
    /// Conflict records of losers up to here.
    #[serde(rename = "c", default)]
    pub dropped: Hlc,
}

/// What an asker says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Question {
    /// First: about which table. Answered by [`Answer::Ready`].
    #[serde(rename = "begin")]
    Begin {
        /// Which.
        #[serde(rename = "t")]
        table: TableId,
        /// Who asks.
        #[serde(rename = "r")]
        replica: ReplicaId,
        /// How it stands.
        #[serde(rename = "s")]
        standing: Standing,
    },
    /// The sums over stretches that follow each other. Answered by [`Answer::Sums`].
    #[serde(rename = "sums")]
    Sums {
        /// Of which rows.
        #[serde(rename = "k")]
        kind: RowKind,
        /// Behind which row the first begins.
        #[serde(rename = "a", default, skip_serializing_if = "Option::is_none")]
        after: Option<CopyMark>,
        /// Where each but the last ends; at most [`PARTS_MAX`], less one.
        #[serde(rename = "m")]
        marks: Vec<CopyMark>,
        /// Where the last ends.
        #[serde(rename = "u", default, skip_serializing_if = "Option::is_none")]
        until: Option<CopyMark>,
        /// What is left out.
        #[serde(rename = "z")]
        horizons: Horizons,
    },
    /// The rows of a stretch. Answered by [`Answer::Rows`].
    #[serde(rename = "list")]
    List {
        /// Which rows.
        #[serde(rename = "k")]
        kind: RowKind,
        /// Of which stretch.
        #[serde(rename = "s")]
        stretch: Stretch,
        /// What is left out.
        #[serde(rename = "z")]
        horizons: Horizons,
    },
    /// Rows with all that is in them. Answered by [`Answer::Deltas`].
    #[serde(rename = "fetch")]
    Fetch {
        /// Which rows.
        #[serde(rename = "k")]
        kind: RowKind,
        /// At most [`FETCH_KEYS_MAX`].
        #[serde(rename = "m")]
        marks: Vec<CopyMark>,
    },
    /// Last: the answerer lacks rows of these stretches. Not answered.
    #[serde(rename = "behind")]
    Behind {
        /// At most [`STRETCHES_MAX`].
        #[serde(rename = "s")]
        stretches: Vec<Stretch>,
    },
}

/// What an answerer says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Answer {
    /// It will answer.
    #[serde(rename = "ready")]
    Ready {
        /// How it stands.
        #[serde(rename = "s")]
        standing: Standing,
    },
    /// The sums, in the order of the stretches; those that took too long are missing at the end.
    #[serde(rename = "sums")]
    Sums {
        /// At most as many as were asked for.
        #[serde(rename = "s")]
        sums: Vec<Sum>,
    },
    /// Rows of a stretch, from its beginning.
    #[serde(rename = "rows")]
    Rows(Listing),
    /// Rows with all that is in them.
    #[serde(rename = "deltas")]
    Deltas {
        /// How many of the marks that were asked for this is about, from the first.
        #[serde(rename = "n")]
        taken: u32,
        /// What is held of them, and passes its check.
        #[serde(rename = "d")]
        deltas: Vec<Delta>,
    },
    /// Not this table, not now.
    #[serde(rename = "refused")]
    Refused {
        /// Why, for the log.
        #[serde(rename = "r")]
        reason: String,
    },
}

/// Rows of a stretch, as the answerer has them.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Listing {
    /// In order; at most [`LIST_ROWS_MAX`].
    #[serde(rename = "r")]
    pub rows: Vec<Listed>,
    /// Whether the stretch goes on behind the last.
    #[serde(rename = "m", default, skip_serializing_if = "std::ops::Not::not")]
    pub more: bool,
    /// How far the logs that speak of the stretch were applied once the rows had been read: the answerer's cursor of each
    /// other origin's, and the ends of its own. Who has applied as much has had a chance to hold every row listed.
    #[serde(rename = "e")]
    pub applied: Vec<(LogInfo, Position)>,
    /// How the answerer stood after that, for what it may have taken away meanwhile.
    #[serde(rename = "z", default)]
    pub horizons: Horizons,
}

/// The marks of rows that follow each other, as the parts of a stretch end: for whoever takes sums.
#[derive(Debug)]
pub struct Ends {
    marks: VecDeque<CopyMark>,
    /// How many stretches have ended.
    ended: usize,
}

impl Ends {
    /// The ends of stretches.
    pub fn new(marks: Vec<CopyMark>) -> Self {
        Self {
            marks: marks.into(),
            ended: 0,
        }
    }

    /// In which stretch a row is; rows come in their order.
    pub fn part_of(&mut self, route: u64, key: &Bytes) -> usize {
        while let Some(CopyMark(of, end)) = self.marks.front()
            && (*of, end) < (route, key)
        {
            self.marks.pop_front();
            self.ended += 1;
        }
        self.ended
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mark(number: u64) -> CopyMark {
        CopyMark(number, Bytes::from(number.to_be_bytes().to_vec()))
    }

    #[test]
    fn rows_fall_into_their_stretches() {
        let mut ends = Ends::new(vec![mark(3), mark(5)]);
        let parts: Vec<_> = [1, 3, 4, 5, 6]
            .map(mark)
            .iter()
            .map(|CopyMark(route, key)| ends.part_of(*route, key))
            .collect();
        assert_eq!(parts, [0, 0, 1, 1, 2]);
    }

    #[test]
    fn questions_and_answers_come_back() {
        let stamp = Stamp::new(Hlc(7), ReplicaId(8)).expired();
        let question = Question::Sums {
            kind: RowKind::Conflict,
            after: None,
            marks: vec![mark(1)],
            until: Some(mark(2)),
            horizons: Horizons {
                collected: Hlc(1),
                dropped: Hlc(2),
            },
        };
        let bytes = crate::frame::encode(&question).unwrap();
        assert_eq!(crate::frame::decode::<Question>(&bytes).unwrap(), question);
        let answer = Answer::Rows(Listing {
            rows: vec![Listed {
                mark: mark(1),
                stamp,
                hash: u64::MAX,
                damaged: true,
            }],
            more: true,
            applied: vec![(LogInfo::new(ReplicaId(1), TableId(2), 3, (4, u64::MAX)), Position(5))],
            horizons: Horizons::default(),
        });
        let bytes = crate::frame::encode(&answer).unwrap();
        assert_eq!(crate::frame::decode::<Answer>(&bytes).unwrap(), answer);
    }
}
