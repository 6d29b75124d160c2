//! The asking side of a verification.

use std::collections::VecDeque;

use super::{
    Answer, FETCH_KEYS_MAX, Horizons, LEAF_ROWS, LIST_ROWS_MAX, Listed, Listing, PART_ROWS, PARTS_MAX, Question,
    RowKind, STRETCHES_MAX, Standing, Stretch, Sum,
};
use crate::{
    delta::Delta,
    host::CopyMark,
    ids::TableId,
    stamp::{Hlc, ReplicaId},
};

/// A verification that is due: this node asks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VerifyOrder {
    /// Which table.
    pub table: TableId,
    /// Whom.
    pub peer: String,
    /// Which stretches; the whole table if there are none.
    pub stretches: Vec<Stretch>,
}

/// What the asking side's house is to do.
#[derive(Clone, Debug, PartialEq)]
pub enum Task {
    /// Say how it stands with a table. Answered by [`Done::Standing`].
    Stand {
        /// Which.
        table: TableId,
    },
    /// Note how the answerer stands, as it says. Answered by [`Done::Heard`].
    Hear {
        /// What it says.
        standing: Standing,
    },
    /// Take the sums of its own rows: stretches of `rows` rows each, at most [`PARTS_MAX`]. Answered by [`Done::Parts`].
    Parts {
        /// Of which rows.
        kind: RowKind,
        /// Within which stretch.
        stretch: Stretch,
        /// Rows to a part.
        rows: usize,
        /// What is left out.
        horizons: Horizons,
    },
    /// Hold rows of the answerer against its own. Answered by [`Done::Compared`].
    Compare {
        /// Which rows.
        kind: RowKind,
        /// The stretch that the listing is all of.
        stretch: Stretch,
        /// What the answerer has there.
        listing: Listing,
        /// Own rows that are newer are not the answerer's to have.
        begun: Hlc,
        /// What is left out.
        horizons: Horizons,
    },
    /// Merge what was fetched. Answered by [`Done::Healed`].
    Heal {
        /// Which rows.
        kind: RowKind,
        /// From whom.
        from: ReplicaId,
        /// What the answerer holds.
        deltas: Vec<Delta>,
    },
}

/// What the asking side's house has done.
#[derive(Clone, Debug, PartialEq)]
pub enum Done {
    /// How it stands.
    Standing(Standing),
    /// It is noted.
    Heard,
    /// Own sums: where each part ends, and its sum; the last one ends where the stretch does if `all` is so.
    Parts {
        /// Ends and sums, in order.
        parts: Vec<(Option<CopyMark>, Sum)>,
        /// Whether the last part ends where the stretch does.
        all: bool,
    },
    /// What is different.
    Compared(Compared),
    /// It is merged and durable.
    Healed,
}

/// How a stretch of the answerer's rows differs from own ones.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Compared {
    /// What is to be fetched.
    pub wanted: Vec<CopyMark>,
    /// Whether the answerer lacks something.
    pub peer_behind: bool,
    /// Rows that cannot be judged, because what the answerer had is still on its way.
    pub in_flight: u64,
}

/// How a verification ended.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Verified {
    /// Own rows that were gone through.
    pub rows: u64,
    /// Stretches in which the answerer lacks something.
    pub behind: Vec<Stretch>,
    /// Stretches that are not proven to be equal: those, and those with rows that could not be judged.
    pub unproven: Vec<Stretch>,
    /// Rows that could not be judged.
    pub in_flight: u64,
    /// How this side stood when it began.
    pub own: Standing,
    /// How the answerer stood.
    pub peer: Standing,
}

/// What an asker wants done.
#[derive(Clone, Debug, PartialEq)]
pub enum VerifierAction {
    /// Send this, and wait until the stream has taken it.
    Send(Question),
    /// Read the answer.
    Receive,
    /// Have the house do this.
    Do(Task),
    /// All has been compared, and what this side lacked is here.
    Done(Verified),
    /// It ends here, and begins anew some other time.
    GiveUp(String),
}

/// The asking side of a verification, for one stream.
#[derive(Debug)]
pub struct Verifier {
    table: TableId,
    own: ReplicaId,
    peer: ReplicaId,
    standing: Standing,
    horizons: Horizons,
    /// What is left to do: the last goes first.
    work: Vec<Work>,
    /// What the answer that is awaited is about.
    asked: Asked,
    verified: Verified,
    actions: VecDeque<VerifierAction>,
}

#[derive(Debug)]
enum Work {
    /// Compare sums over parts of so many rows.
    Walk(RowKind, Stretch, usize),
    /// Compare rows.
    List(RowKind, Stretch),
}

#[derive(Debug)]
enum Asked {
    Standing,
    Ready,
    Heard,
    Parts(RowKind, Stretch, usize),
    Sums(RowKind, Stretch, usize, Vec<(Option<CopyMark>, Sum)>, bool),
    Rows(RowKind, Stretch),
    Compared(RowKind, Stretch),
    Deltas(RowKind, Vec<CopyMark>),
    Healed(RowKind, Vec<CopyMark>),
    Nothing,
}

impl Verifier {
    /// The asking side of a verification that is due, between two replicas.
    pub fn new(order: &VerifyOrder, own: ReplicaId, peer: ReplicaId) -> Self {
        let stretches = if order.stretches.is_empty() {
            vec![Stretch::default()]
        } else {
            order.stretches.clone()
        };
        let work = |kind| {
            let stretches = stretches.clone().into_iter().rev();
            stretches.map(move |stretch| Work::Walk(kind, stretch, PART_ROWS))
        };
        Self {
            table: order.table,
            own,
            peer,
            standing: Standing::default(),
            horizons: Horizons::default(),
            work: work(RowKind::Conflict).chain(work(RowKind::Item)).collect(),
            asked: Asked::Standing,
            verified: Verified::default(),
            actions: VecDeque::from([VerifierAction::Do(Task::Stand { table: order.table })]),
        }
    }

    /// The next thing to do, until there is none.
    pub fn poll_action(&mut self) -> Option<VerifierAction> {
        self.actions.pop_front()
    }

    /// The house could not do what it was to.
    pub fn failed(&mut self, reason: String) {
        self.asked = Asked::Nothing;
        self.actions.clear();
        self.actions.push_back(VerifierAction::GiveUp(reason));
    }

    /// The house has done what it was to.
    pub fn done(&mut self, done: Done) {
        match (std::mem::replace(&mut self.asked, Asked::Nothing), done) {
            (Asked::Standing, Done::Standing(standing)) => {
                self.standing = standing.clone();
                self.ask(
                    Asked::Ready,
                    Question::Begin {
                        table: self.table,
                        replica: self.own,
                        standing,
                    },
                );
            }
            (Asked::Heard, Done::Heard) => self.next(),
            (Asked::Parts(kind, stretch, rows), Done::Parts { parts, all }) => {
                let Some(((until, _), before)) = parts.split_last() else {
                    return self.failed("own sums are missing".into());
                };
                self.verified.rows += if rows == PART_ROWS {
                    parts.iter().map(|(_, sum)| u64::from(sum.0)).sum()
                } else {
                    0
                };
                let question = Question::Sums {
                    kind,
                    after: stretch.after.clone(),
                    marks: before.iter().filter_map(|(mark, _)| mark.clone()).collect(),
                    until: until.clone(),
                    horizons: self.horizons,
                };
                self.ask(Asked::Sums(kind, stretch, rows, parts, all), question);
            }
            (Asked::Compared(kind, stretch), Done::Compared(compared)) => {
                self.verified.in_flight += compared.in_flight;
                if compared.peer_behind || compared.in_flight > 0 {
                    self.verified.unproven.push(stretch.clone());
                }
                if compared.peer_behind {
                    self.verified.behind.push(stretch);
                }
                self.fetch(kind, compared.wanted);
            }
            (Asked::Healed(kind, rest), Done::Healed) => self.fetch(kind, rest),
            _ => self.failed("not what was asked for".into()),
        }
    }

    /// The answerer has answered.
    pub fn answered(&mut self, answer: Answer) {
        match (std::mem::replace(&mut self.asked, Asked::Nothing), answer) {
            (_, Answer::Refused { reason }) => self.failed(reason),
            (Asked::Ready, Answer::Ready { standing }) => {
                self.horizons = self.standing.horizons(&standing);
                self.verified.own = self.standing.clone();
                self.verified.peer = standing.clone();
                self.asked = Asked::Heard;
                self.actions.push_back(VerifierAction::Do(Task::Hear { standing }));
            }
            (Asked::Sums(kind, stretch, rows, parts, all), Answer::Sums { sums }) => {
                self.compare_sums(kind, stretch, rows, parts, all, &sums);
            }
            (Asked::Rows(kind, stretch), Answer::Rows(listing)) => {
                if listing.rows.len() > LIST_ROWS_MAX {
                    return self.failed("too many rows in one answer".into());
                }
                let inside = |listed: &Listed| {
                    let behind = stretch.after.as_ref().is_none_or(|after| listed.mark > *after);
                    behind && stretch.until.as_ref().is_none_or(|until| listed.mark <= *until)
                };
                let ordered = listing.rows.windows(2).all(|pair| pair[0].mark < pair[1].mark);
                if !ordered || !listing.rows.iter().all(inside) || (listing.more && listing.rows.is_empty()) {
                    return self.failed("the answer's rows are not those of the stretch, in order".into());
                }
                let mut listed = stretch.clone();
                if let Some(last) = listing.rows.last().filter(|_| listing.more) {
                    listed.until = Some(last.mark.clone());
                    let rest = Stretch {
                        after: listed.until.clone(),
                        until: stretch.until,
                    };
                    self.work.push(Work::List(kind, rest));
                }
                self.asked = Asked::Compared(kind, listed.clone());
                self.actions.push_back(VerifierAction::Do(Task::Compare {
                    kind,
                    stretch: listed,
                    begun: self.standing.stamp,
                    horizons: Horizons {
                        collected: self.horizons.collected.max(listing.horizons.collected),
                        dropped: self.horizons.dropped.max(listing.horizons.dropped),
                    },
                    listing,
                }));
            }
            (Asked::Deltas(kind, mut marks), Answer::Deltas { taken, deltas }) => {
                let taken = usize::try_from(taken).unwrap_or(usize::MAX).min(marks.len());
                if taken == 0 {
                    return self.failed("the answer is about nothing".into());
                }
                let rest = marks.split_off(taken);
                self.asked = Asked::Healed(kind, rest);
                let from = self.peer;
                let task = Task::Heal { kind, from, deltas };
                self.actions.push_back(VerifierAction::Do(task));
            }
            _ => self.failed("the answerer does not keep to the protocol".into()),
        }
    }

    fn compare_sums(
        &mut self,
        kind: RowKind,
        stretch: Stretch,
        rows: usize,
        parts: Vec<(Option<CopyMark>, Sum)>,
        all: bool,
        sums: &[Sum],
    ) {
        let last = parts.last().and_then(|(end, _)| end.clone());
        if !all {
            let rest = Stretch {
                after: last,
                until: stretch.until,
            };
            self.work.push(Work::Walk(kind, rest, rows));
        }
        let mut after = stretch.after;
        let mut different = Vec::new();
        for (number, (until, own)) in parts.into_iter().enumerate() {
            let part = Stretch {
                after,
                until: until.clone(),
            };
            after = until;
            if sums.get(number) == Some(&own) {
                continue;
            }
            // Where the answerer has far more rows, sums of it would only be asked for again and again.
            let divides = usize::try_from(own.0).unwrap_or(usize::MAX) > LEAF_ROWS && sums.len() > number;
            different.push(if divides && rows > LEAF_ROWS {
                Work::Walk(kind, part, (rows / PARTS_MAX).max(LEAF_ROWS))
            } else {
                Work::List(kind, part)
            });
        }
        self.work.extend(different.into_iter().rev());
        self.next();
    }

    fn fetch(&mut self, kind: RowKind, mut marks: Vec<CopyMark>) {
        if marks.is_empty() {
            return self.next();
        }
        let rest = marks.split_off(marks.len().min(FETCH_KEYS_MAX));
        let question = Question::Fetch {
            kind,
            marks: marks.clone(),
        };
        marks.extend(rest);
        self.ask(Asked::Deltas(kind, marks), question);
    }

    fn next(&mut self) {
        match self.work.pop() {
            Some(Work::Walk(kind, stretch, rows)) => {
                self.asked = Asked::Parts(kind, stretch.clone(), rows);
                self.actions.push_back(VerifierAction::Do(Task::Parts {
                    kind,
                    stretch,
                    rows,
                    horizons: self.horizons,
                }));
            }
            Some(Work::List(kind, stretch)) => {
                let question = Question::List {
                    kind,
                    stretch: stretch.clone(),
                    horizons: self.horizons,
                };
                self.ask(Asked::Rows(kind, stretch), question);
            }
            None => {
                let verified = std::mem::take(&mut self.verified);
                if !verified.behind.is_empty() {
                    let mut stretches = verified.behind.clone();
                    if stretches.len() > STRETCHES_MAX {
                        stretches = vec![Stretch::default()];
                    }
                    let behind = Question::Behind { stretches };
                    self.actions.push_back(VerifierAction::Send(behind));
                }
                self.actions.push_back(VerifierAction::Done(verified));
            }
        }
    }

    fn ask(&mut self, asked: Asked, question: Question) {
        self.asked = asked;
        self.actions.push_back(VerifierAction::Send(question));
        self.actions.push_back(VerifierAction::Receive);
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;
    use crate::stamp::Stamp;

    fn mark(number: u64) -> CopyMark {
        CopyMark(number, Bytes::from(number.to_be_bytes().to_vec()))
    }

    fn order() -> VerifyOrder {
        VerifyOrder {
            table: TableId(9),
            peer: "b".into(),
            stretches: Vec::new(),
        }
    }

    fn ready(verifier: &mut Verifier) {
        assert!(matches!(
            verifier.poll_action(),
            Some(VerifierAction::Do(Task::Stand { .. }))
        ));
        verifier.done(Done::Standing(Standing::default()));
        assert!(matches!(verifier.poll_action(), Some(VerifierAction::Send(_))));
        assert_eq!(verifier.poll_action(), Some(VerifierAction::Receive));
        let standing = Standing::default();
        verifier.answered(Answer::Ready { standing });
        assert!(matches!(
            verifier.poll_action(),
            Some(VerifierAction::Do(Task::Hear { .. }))
        ));
        verifier.done(Done::Heard);
    }

    /// Every answer that is not to the question ends it; none panics.
    #[test]
    fn wrong_answers_end_it() {
        let listing = |rows: Vec<Listed>, more| Listing {
            rows,
            more,
            ..Listing::default()
        };
        let row = |number| Listed {
            mark: mark(number),
            stamp: Stamp::default(),
            hash: 0,
            damaged: false,
        };
        let answers = [
            Answer::Deltas {
                taken: 0,
                deltas: vec![],
            },
            Answer::Rows(listing(vec![], true)),
            Answer::Rows(listing(vec![row(2), row(1)], false)),
            Answer::Rows(listing(vec![row(900)], false)),
            Answer::Refused { reason: "no".into() },
            Answer::Ready {
                standing: Standing::default(),
            },
        ];
        for answer in answers {
            let mut verifier = Verifier::new(&order(), ReplicaId(1), ReplicaId(2));
            ready(&mut verifier);
            assert!(matches!(
                verifier.poll_action(),
                Some(VerifierAction::Do(Task::Parts { .. }))
            ));
            let parts = vec![(Some(mark(9)), Sum(3, 1, 1))];
            verifier.done(Done::Parts { parts, all: false });
            assert!(matches!(verifier.poll_action(), Some(VerifierAction::Send(_))));
            assert_eq!(verifier.poll_action(), Some(VerifierAction::Receive));
            verifier.answered(Answer::Sums { sums: vec![] });
            assert!(matches!(
                verifier.poll_action(),
                Some(VerifierAction::Send(Question::List { .. }))
            ));
            assert_eq!(verifier.poll_action(), Some(VerifierAction::Receive));
            verifier.answered(answer);
            assert!(matches!(verifier.poll_action(), Some(VerifierAction::GiveUp(_))));
            assert_eq!(verifier.poll_action(), None);
        }
    }
}
