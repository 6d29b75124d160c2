//! What happens in a world, and when.

use std::collections::BTreeMap;

use geodynamo_replicator_core::{
    Millis, Position, ReplicaId,
    join::{JoinerAction, SourceAction},
    link::{Ticket, receiver, sender},
    verify::Standing,
};

/// A connection, never used again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct ConnectionId(pub(crate) u64);

/// A copy's stream, never used again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct CopyId(pub(crate) u64);

/// A direction on a connection: with the deltas, or back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Way {
    Forth,
    Back,
}

/// Something that happens. Regions are numbered; `epoch` tells a region's lives apart.
#[derive(Clone, Debug)]
pub(crate) enum Event {
    ClientWrite(usize),
    Sync {
        region: usize,
        epoch: u64,
    },
    /// Links hear that a region's logs have grown, perhaps later than the growth can be read.
    Grown {
        region: usize,
        epoch: u64,
    },
    ReleaseParked {
        region: usize,
        epoch: u64,
    },
    Deliver(ConnectionId, Way),
    Tick(ConnectionId),
    AnswerSender(ConnectionId, sender::Action),
    AnswerReceiver {
        id: ConnectionId,
        to: usize,
        epoch: u64,
        action: receiver::Action,
    },
    Cursor {
        id: ConnectionId,
        ticket: Ticket,
        cursor: Option<Position>,
    },
    Dial {
        from: usize,
        to: usize,
    },
    Restart(usize),
    Heal(usize, usize),
    Fault,
    SetClock {
        region: usize,
        offset: i64,
    },
    /// A region looks at which tombstones may go.
    Collect(usize),
    /// A replica has told another region's how it stands.
    Told {
        to: usize,
        from: ReplicaId,
        standing: Standing,
    },
    Join,
    StartCopy,
    CopyForth(CopyId),
    CopyBack(CopyId),
    CopySource(CopyId, SourceAction),
    CopyJoiner(CopyId, JoinerAction),
    Calm,
    Check,
}

/// What is yet to happen: by time, then in the order it was planned.
#[derive(Debug, Default)]
pub(crate) struct Agenda {
    events: BTreeMap<(Millis, u64), Event>,
    planned: u64,
}

impl Agenda {
    pub(crate) fn plan(&mut self, at: Millis, event: Event) {
        self.planned += 1;
        self.events.insert((at, self.planned), event);
    }

    pub(crate) fn next(&mut self) -> Option<(Millis, Event)> {
        self.events.pop_first().map(|((at, _), event)| (at, event))
    }
}
