//! A simulated store: commits become durable at a sync; a crash drops what was not synced.

use std::collections::{BTreeMap, VecDeque};

use bytes::Bytes;
use geodynamo_replicator_core::{
    Applied, Change, CopyMark, Hlc, LogId, LogInfo, Position, ReplicaId, Stamp, Version,
    link::Ticket,
    parking::{ParkingUse, parked_key},
};

use crate::event::{ConnectionId, CopyId};

/// What a replica holds.
#[derive(Clone, Debug, Default)]
pub(crate) struct State {
    pub(crate) versions: BTreeMap<Bytes, Version>,
    /// Losers by key and stamp.
    pub(crate) conflicts: BTreeMap<(Bytes, Stamp), (Version, Stamp)>,
    /// This replica's own logs.
    pub(crate) logs: BTreeMap<LogId, Vec<(Position, Change)>>,
    pub(crate) cursors: BTreeMap<LogId, (LogInfo, Position)>,
    /// Parked deltas by stamp and key.
    pub(crate) parked: BTreeMap<Bytes, Parked>,
    pub(crate) ceiling: Hlc,
    pub(crate) copy: CopyState,
    pub(crate) kept: Kept,
}

/// What a replica has agreed to forget, and up to where it has done so.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Kept {
    pub(crate) agreed: Hlc,
    pub(crate) collected: Hlc,
}

/// A delta that waits for its time.
#[derive(Clone, Debug)]
pub(crate) struct Parked {
    pub(crate) key: Bytes,
    pub(crate) version: Version,
    pub(crate) log: LogInfo,
    pub(crate) after: Position,
    pub(crate) weight: u64,
}

/// How far the copy of a region that joins has come.
#[derive(Clone, Debug, Default)]
pub(crate) struct CopyState {
    pub(crate) started: bool,
    pub(crate) mark: Option<CopyMark>,
    pub(crate) done: bool,
}

/// One change of a state.
#[derive(Clone, Debug)]
pub(crate) enum Op {
    Put {
        key: Bytes,
        version: Version,
    },
    Append {
        log: LogId,
        position: Position,
        change: Change,
    },
    Cursor {
        info: LogInfo,
        position: Position,
    },
    Conflict {
        key: Bytes,
        loser: Version,
        winner: Stamp,
    },
    Park(Parked),
    Unpark {
        stamp: Stamp,
        key: Bytes,
    },
    Ceiling(Hlc),
    Copy(CopyState),
    Kept(Kept),
    /// A tombstone goes.
    Forget(Bytes),
}

/// What the oracle is told once a commit is durable.
#[derive(Clone, Debug)]
pub(crate) enum Seen {
    /// A client's write of `version` on top of what it read.
    Wrote {
        key: Bytes,
        version: Version,
        on: Option<Stamp>,
        /// Up to where the writer may have forgotten what it had seen.
        forgotten: Hlc,
    },
    /// A version met the one that was held.
    Met {
        key: Bytes,
        held: Option<Stamp>,
        incoming: Stamp,
    },
}

/// Who is told that a commit is durable.
#[derive(Clone, Debug)]
pub(crate) enum Done {
    Client,
    Applied(ConnectionId, Ticket, Applied),
    Ceiling(Hlc),
    Copy(CopyId),
}

/// What becomes durable together.
#[derive(Clone, Debug, Default)]
pub(crate) struct Commit {
    pub(crate) ops: Vec<Op>,
    pub(crate) seen: Vec<Seen>,
    pub(crate) done: Vec<Done>,
}

/// A replica's store.
#[derive(Debug, Default)]
pub(crate) struct Store {
    /// With what is not synced yet: what the next commit builds on, as the holder of the keys' latches would.
    pub(crate) live: State,
    /// What readers and links see, and what a crash leaves.
    pub(crate) durable: State,
    pending: VecDeque<Commit>,
}

impl State {
    pub(crate) fn apply(&mut self, op: &Op) {
        match op.clone() {
            Op::Put { key, version } => {
                self.versions.insert(key, version);
            }
            Op::Append { log, position, change } => self.logs.entry(log).or_default().push((position, change)),
            Op::Cursor { info, position } => {
                let cursor = self.cursors.entry(info.log).or_insert((info, position));
                cursor.1 = cursor.1.max(position);
            }
            Op::Conflict { key, loser, winner } => {
                self.conflicts.entry((key, loser.stamp)).or_insert((loser, winner));
            }
            Op::Park(parked) => {
                self.parked
                    .insert(parked_key(parked.version.stamp, &parked.key), parked);
            }
            Op::Unpark { stamp, key } => {
                self.parked.remove(&parked_key(stamp, &key));
            }
            Op::Ceiling(ceiling) => self.ceiling = self.ceiling.max(ceiling),
            Op::Copy(copy) => self.copy = copy,
            Op::Kept(kept) => {
                self.kept.agreed = self.kept.agreed.max(kept.agreed);
                self.kept.collected = self.kept.collected.max(kept.collected);
            }
            Op::Forget(key) => {
                self.versions.remove(&key);
            }
        }
    }

    pub(crate) fn end(&self, log: LogId) -> Position {
        self.logs
            .get(&log)
            .and_then(|log| log.last())
            .map_or(Position::START, |(position, _)| *position)
    }

    pub(crate) fn cursor(&self, log: LogId) -> Option<Position> {
        self.cursors.get(&log).map(|(_, position)| *position)
    }

    pub(crate) fn parking_use(&self, origin: ReplicaId) -> ParkingUse {
        let parked = self.parked.values().filter(|parked| parked.log.origin == origin);
        parked.fold(ParkingUse::default(), |used, parked| used.with(parked.weight))
    }
}

impl Store {
    /// Commits what has already been applied to the live state, op by op.
    pub(crate) fn commit(&mut self, commit: Commit) {
        self.pending.push_back(commit);
    }

    pub(crate) fn has_pending(&self) -> bool {
        !self.pending.is_empty()
    }

    /// Everything committed becomes durable; gives the commits that did.
    pub(crate) fn sync(&mut self) -> Vec<Commit> {
        let commits: Vec<_> = self.pending.drain(..).collect();
        commits
            .iter()
            .flat_map(|commit| &commit.ops)
            .for_each(|op| self.durable.apply(op));
        commits
    }

    /// The process dies: of what was not synced, the first `kept` commits have reached the disk, the rest is gone. Gives
    /// the former, and how many of the latter there were.
    pub(crate) fn crash(&mut self, kept: usize) -> (Vec<Commit>, usize) {
        let dropped = self.pending.len().saturating_sub(kept);
        self.pending.truncate(kept);
        let kept = self.sync();
        self.live = self.durable.clone();
        (kept, dropped)
    }

    pub(crate) fn pending(&self) -> usize {
        self.pending.len()
    }
}
