//! Joins in a world: the core's source and joiner, and the stream between them.

use std::collections::{BTreeSet, VecDeque};

use bytes::Bytes;
use geodynamo_replicator_core::{
    ApplyError, CopyMark, CopyOrder, CopyPage, CopyStart, Delta, Stamp,
    join::{CopyFrame, Joiner, JoinerAction, JoinerEvent, Source, SourceAction, SourceEvent},
};
use geodynamo_topology::partition_hash;

use crate::{
    event::{CopyId, Event},
    replica::{TABLE, region_name},
    store::{CopyState, Done, Kept, Op, State},
    world::{JOINER, World},
};

/// The most items of a page: few, so that a copy takes many.
const PAGE_ROWS: usize = 2;

/// A copy's stream.
#[derive(Debug)]
pub(crate) struct Copy {
    id: CopyId,
    source: usize,
    giver: Source,
    taker: Joiner,
    forth: VecDeque<CopyFrame>,
    back: VecDeque<CopyFrame>,
    /// Frames that have arrived but were not asked for yet.
    arrived: VecDeque<CopyFrame>,
    is_wanted: bool,
}

impl World {
    /// A fourth region joins.
    pub(crate) fn join(&mut self) {
        self.trace.line(self.now, || "region 3 joins".into());
        self.members = JOINER + 1;
        self.replicas[JOINER].is_up = true;
        for other in 0..JOINER {
            self.plan_in(
                1,
                Event::Dial {
                    from: other,
                    to: JOINER,
                },
            );
            self.plan_in(
                1,
                Event::Dial {
                    from: JOINER,
                    to: other,
                },
            );
        }
        self.plan_in(5, Event::StartCopy);
    }

    pub(crate) fn start_copy(&mut self) {
        let state = &self.replicas[JOINER].durable().copy;
        if state.done || self.copy.is_some() {
            return;
        }
        let source = self.copy_source;
        if !self.replicas[JOINER].is_up || !self.replicas[source].is_up || self.is_cut(JOINER, source) {
            return self.plan_in(200, Event::StartCopy);
        }
        let order = CopyOrder {
            table: TABLE,
            join: 1,
            source: region_name(source),
            after: state.mark.clone(),
        };
        self.next_id += 1;
        let id = CopyId(self.next_id);
        self.trace
            .line(self.now, || format!("{id:?} starts after {:?}", order.after));
        self.copy = Some(Copy {
            id,
            source,
            giver: Source::new(),
            taker: Joiner::new(&order),
            forth: VecDeque::new(),
            back: VecDeque::new(),
            arrived: VecDeque::new(),
            is_wanted: false,
        });
        self.drive_copy(id);
    }

    /// The stream breaks; another goes on where it stopped.
    pub(crate) fn break_copy(&mut self, why: &str) {
        if let Some(copy) = self.copy.take() {
            self.trace.line(self.now, || format!("{:?} breaks: {why}", copy.id));
            self.totals.broken_copies += 1;
            let wait = self.rng.between(50, 500);
            self.plan_in(wait, Event::StartCopy);
        }
    }

    /// Whether a region takes part in the copy that is under way.
    pub(crate) fn is_copying(&self, region: usize) -> bool {
        self.copy
            .as_ref()
            .is_some_and(|copy| region == JOINER || region == copy.source)
    }

    fn drive_copy(&mut self, id: CopyId) {
        loop {
            let Some(copy) = self.copy.as_mut().filter(|copy| copy.id == id) else {
                return;
            };
            if let Some(frame) = copy.arrived.pop_front_if(|_| copy.is_wanted) {
                copy.is_wanted = false;
                copy.taker.handle(JoinerEvent::Frame(frame));
            } else if let Some(action) = copy.giver.poll_action() {
                // Constant, so that its frames keep their order, as on a QUIC stream.
                self.plan_in(5, Event::CopySource(id, action));
            } else if let Some(action) = copy.taker.poll_action() {
                match action {
                    JoinerAction::Receive => copy.is_wanted = true,
                    action => self.plan_in(1, Event::CopyJoiner(id, action)),
                }
            } else {
                return;
            }
        }
    }

    pub(crate) fn copy_forth(&mut self, id: CopyId) {
        let Some(copy) = self.copy.as_mut().filter(|copy| copy.id == id) else {
            return;
        };
        if let Some(frame) = copy.forth.pop_front() {
            copy.giver.handle(SourceEvent::Frame(frame));
        }
        self.drive_copy(id);
    }

    pub(crate) fn copy_back(&mut self, id: CopyId) {
        let Some(copy) = self.copy.as_mut().filter(|copy| copy.id == id) else {
            return;
        };
        if let Some(frame) = copy.back.pop_front() {
            copy.arrived.push_back(frame);
        }
        self.drive_copy(id);
    }

    pub(crate) fn copy_source(&mut self, id: CopyId, action: SourceAction) {
        let Some(copy) = self.copy.as_mut().filter(|copy| copy.id == id) else {
            return;
        };
        let giver = &self.replicas[copy.source];
        let durable = giver.durable();
        match action {
            SourceAction::Send(frame) => {
                copy.back.push_back(frame);
                self.plan_in(40, Event::CopyBack(id));
            }
            SourceAction::Start(_) => {
                let own = giver.logs().into_iter().map(|info| (info, durable.end(info.log)));
                let cursors = own.chain(durable.cursors.values().copied()).collect();
                let forgotten = durable.kept.agreed;
                let start = CopyStart { cursors, forgotten };
                copy.giver.handle(SourceEvent::Started(Ok(start)));
            }
            SourceAction::Page { after, .. } => {
                let page = page_of(durable, after.as_ref());
                copy.giver.handle(SourceEvent::Page(Ok(page)));
            }
            SourceAction::Finish => {}
            SourceAction::Abort(why) => return self.break_copy(why),
        }
        self.drive_copy(id);
    }

    pub(crate) fn copy_joiner(&mut self, id: CopyId, action: JoinerAction) {
        let Some(copy) = self.copy.as_mut().filter(|copy| copy.id == id) else {
            return;
        };
        let from = self.replicas[copy.source].id;
        let wall = self.replicas[JOINER].wall(self.now);
        let joiner = &mut self.replicas[JOINER];
        let state = joiner.store.live.copy.clone();
        let mut commit = match action {
            JoinerAction::Send(frame) => {
                copy.forth.push_back(frame);
                return self.plan_in(40, Event::CopyForth(id));
            }
            JoinerAction::Receive => return,
            JoinerAction::StoreStart(_) if state.started => {
                copy.taker.handle(JoinerEvent::Stored(Ok(())));
                return self.drive_copy(id);
            }
            JoinerAction::StoreStart(CopyStart { cursors, forgotten }) => {
                joiner.clock.observe(Stamp::new(forgotten, joiner.id));
                let mut commit = joiner.commit_op(Op::Copy(CopyState {
                    started: true,
                    mark: None,
                    done: false,
                }));
                let own = joiner.id;
                let kept = Kept {
                    agreed: forgotten,
                    ..Kept::default()
                };
                joiner.stage(&mut commit, Op::Kept(kept));
                for (info, position) in cursors.into_iter().filter(|(info, _)| info.origin != own) {
                    joiner.stage(&mut commit, Op::Cursor { info, position });
                }
                commit
            }
            JoinerAction::StoreRows(rows) => {
                let (mut commit, applied) = joiner.apply_rows(wall, from, &rows.deltas);
                self.totals.parked += u64::from(applied.parked);
                let state = CopyState {
                    mark: Some(rows.last),
                    ..state
                };
                self.replicas[JOINER].stage(&mut commit, Op::Copy(state));
                commit
            }
            JoinerAction::StoreEnd => joiner.commit_op(Op::Copy(CopyState { done: true, ..state })),
            JoinerAction::Done => {
                self.copy = None;
                self.totals.joins += 1;
                self.trace.line(self.now, || "region 3 has joined".into());
                self.plan_in(1, Event::Collect(JOINER));
                return self.plan_in(1, Event::ClientWrite(JOINER));
            }
            JoinerAction::GiveUp(why) => return self.break_copy(&why),
        };
        commit.done.push(Done::Copy(id));
        self.commit(JOINER, commit);
    }

    /// What a copy's stream asked to store is durable.
    pub(crate) fn copy_stored(&mut self, id: CopyId) {
        let state = &self.replicas[JOINER].durable().copy;
        // A link that missed this is not helped by each page of the copy.
        if state.done || state.mark.is_none() {
            self.tell_catalog(JOINER);
        }
        let Some(copy) = self.copy.as_mut().filter(|copy| copy.id == id) else {
            return;
        };
        copy.taker.handle(JoinerEvent::Stored(Ok::<_, ApplyError>(())));
        self.drive_copy(id);
    }
}

/// The next rows: items by partition hash and key with their conflicts' losers; with the first page, all that is parked.
/// A key may have losers only: where their winner is parked, and they came before it.
fn page_of(state: &State, after: Option<&CopyMark>) -> CopyPage {
    let mark = |key: &Bytes| CopyMark(partition_hash(key), key.clone());
    let losers = state.conflicts.keys().map(|(key, _)| key);
    let marks: BTreeSet<_> = state.versions.keys().chain(losers).map(mark).collect();
    let mut marks: Vec<_> = marks
        .into_iter()
        .filter(|mark| after.is_none_or(|a| a < mark))
        .collect();
    marks.truncate(PAGE_ROWS);
    let mut deltas = Vec::new();
    for CopyMark(_, key) in &marks {
        let version = state.versions.get(key).cloned();
        deltas.extend(version.map(|version| Delta::Version {
            key: key.clone(),
            version,
        }));
        for ((of, _), (loser, winner)) in &state.conflicts {
            if of == key {
                deltas.push(Delta::Conflict {
                    key: key.clone(),
                    loser: loser.clone(),
                    winner: *winner,
                });
            }
        }
    }
    if after.is_none() {
        for parked in state.parked.values() {
            deltas.push(Delta::Version {
                key: parked.key.clone(),
                version: parked.version.clone(),
            });
        }
    }
    CopyPage {
        deltas,
        last: marks.pop(),
    }
}
