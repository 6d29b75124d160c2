//! One log of a peer: what has been taken in, and what is being done about it.

use std::collections::VecDeque;

use super::{Ticket, receiver::APPLY_BYTES};
use crate::{
    delta::Delta,
    host::{Batch, Peer},
    ids::{LogInfo, Position},
    stamp::Millis,
};

/// One log of the peer.
#[derive(Debug)]
pub(super) struct Incoming {
    pub(super) info: LogInfo,
    pub(super) phase: Phase,
    /// Durably applied up to here.
    pub(super) cursor: Position,
    /// Taken in up to here.
    pub(super) received: Position,
    pub(super) queue: VecDeque<Stretch>,
    /// The weight of what is in the queue.
    pub(super) bytes: u64,
    /// Whether it waits for its turn to be applied, and since when.
    pub(super) queued: bool,
    pub(super) since: Millis,
    /// Which [`Frame::Resume`](crate::Frame::Resume) was the last. What the sender sent before it heard of it is dropped: a
    /// stretch that is sent again may hold newer versions than the same stretch held before, and later ones rely on it.
    pub(super) epoch: u32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    /// The host is being asked for the cursor.
    LookingUp(Ticket),
    /// The table is not known here yet: waits for the catalog to change.
    Waiting,
    /// Frames are taken in.
    Open,
    /// Frames are taken in; a batch is being applied.
    Applying(Ticket),
    /// Full or failed: waits for its time.
    Paused(Millis),
}

#[derive(Debug)]
pub(super) struct Stretch {
    pub(super) after: Position,
    pub(super) up_to: Position,
    pub(super) deltas: Vec<Delta>,
    pub(super) weight: u64,
    pub(super) sent_ms: Millis,
}

impl Incoming {
    /// Joins what was taken in, up to [`APPLY_BYTES`], into one batch: a log that is written faster than it syncs then
    /// pays one sync for many frames.
    pub(super) fn take_batch(&mut self, peer: &Peer) -> Option<(Batch, u64)> {
        let first = self.queue.pop_front()?;
        let mut weight = first.weight;
        let mut batch = Batch {
            log: self.info,
            from: peer.clone(),
            after: first.after,
            up_to: first.up_to,
            deltas: first.deltas,
            sent_ms: first.sent_ms,
        };
        while let Some(next) = self.queue.front()
            && weight + next.weight <= APPLY_BYTES
            && let Some(next) = self.queue.pop_front()
        {
            weight += next.weight;
            batch.up_to = next.up_to;
            batch.deltas.extend(next.deltas);
        }
        self.bytes = self.bytes.saturating_sub(weight);
        Some((batch, weight))
    }
}
