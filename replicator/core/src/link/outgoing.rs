//! One log on its way to one peer: what has been read, what must still be sent, what need not be.

use std::collections::{BTreeMap, VecDeque};

use bytes::Bytes;

use super::{Ticket, sender::SenderStats};
use crate::{
    change::{Body, Change},
    delta::Delta,
    ids::{LogInfo, Position},
    stamp::{Millis, ReplicaId, Stamp},
    version::Version,
};

/// What a log is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    /// The peer has not said yet from where, or asked for a pause.
    Waiting,
    /// Nothing is being asked of the host.
    Idle,
    /// A stretch is being read.
    Reading { ticket: Ticket, reserved: i64 },
    /// Versions for the first `steps` pending steps are being read.
    Fetching {
        ticket: Ticket,
        reserved: i64,
        steps: usize,
    },
    /// The host could not answer; tried again when the timer fires.
    Failed,
    /// The peer is ahead of this log's end: nothing can be sent on this connection.
    Ahead,
}

/// What one change, or several of one key, still ask for.
#[derive(Debug)]
enum Step {
    /// Send the key's current version. `newest` is the greatest stamp of the key in the stretch.
    Key {
        position: Position,
        key: Bytes,
        newest: Stamp,
    },
    /// Send a conflict's loser.
    Conflict { position: Position, delta: Delta },
}

/// One log on its way to one peer. `acked <= sent <= done <= fetched <= end`.
#[derive(Debug)]
pub(super) struct Outgoing {
    pub(super) info: LogInfo,
    pub(super) phase: Phase,
    /// The newest position known to be readable.
    pub(super) end: Position,
    /// The peer's durable cursor.
    pub(super) acked: Position,
    /// Which of the peer's requests the frames follow.
    pub(super) epoch: u32,
    /// The cursor that the peer asked from, while it is beyond the known end.
    pub(super) claimed: Position,
    /// Up to where frames have been sent.
    pub(super) sent: Position,
    /// Up to where nothing is left to send.
    pub(super) done: Position,
    /// Up to where changes have been read.
    pub(super) fetched: Position,
    /// Whether it is in the queue of logs with work to do.
    pub(super) queued: bool,
    /// When it wants to be looked at again.
    pub(super) timer: Option<Millis>,
    pending: VecDeque<Step>,
    ahead: SentAhead,
}

impl Outgoing {
    pub(super) fn new(info: LogInfo, end: Position) -> Self {
        let start = Position::START;
        Self {
            info,
            phase: Phase::Waiting,
            epoch: 0,
            claimed: start,
            end,
            acked: start,
            sent: start,
            done: start,
            fetched: start,
            queued: false,
            timer: None,
            pending: VecDeque::new(),
            ahead: SentAhead::default(),
        }
    }

    /// Forgets everything beyond the peer's durable cursor: what went out may not have been applied.
    pub(super) fn rewind(&mut self, cursor: Position, phase: Phase) {
        self.pending.clear();
        self.ahead = SentAhead::default();
        (self.acked, self.sent, self.done, self.fetched) = (cursor, cursor, cursor, cursor);
        self.phase = phase;
    }

    /// Whether anything is left to ask of the host.
    pub(super) fn has_work(&self) -> bool {
        self.phase == Phase::Idle && (!self.pending.is_empty() || self.fetched < self.end)
    }

    /// Whether changes were read that have not been sent.
    pub(super) fn has_pending(&self) -> bool {
        !self.pending.is_empty()
    }

    /// Memory kept to avoid sending versions twice, in bytes.
    pub(super) fn ahead_bytes(&self) -> usize {
        self.ahead.bytes
    }

    /// Drops that memory: versions may be sent again.
    pub(super) fn forget_ahead(&mut self) {
        self.ahead = SentAhead::default();
    }

    /// Takes in a stretch of the log that was read after `fetched`: decides which keys' versions are needed.
    pub(super) fn take_in(&mut self, changes: Vec<(Position, Change)>, stats: &mut SenderStats) {
        let mut planned: BTreeMap<Bytes, usize> = BTreeMap::new();
        for (position, change) in changes {
            if position <= self.fetched {
                continue;
            }
            self.fetched = position;
            stats.changes_read += 1;
            if let Some((loser, winner)) = change.loser() {
                if change.is_local() {
                    let delta = Delta::Conflict {
                        key: change.key,
                        loser,
                        winner,
                    };
                    self.pending.push_back(Step::Conflict { position, delta });
                } else {
                    stats.passed_over += 1;
                }
                continue;
            }
            debug_assert!(
                matches!(change.body, Body::Item { .. }),
                "a change is an item's or a conflict's"
            );
            if let Some(Step::Key { newest, .. }) = planned.get(&change.key).and_then(|&at| self.pending.get_mut(at)) {
                *newest = (*newest).max(change.stamp);
                stats.coalesced += 1;
                continue;
            }
            let went_out = self.ahead.pass(&change.key, change.stamp);
            if !change.is_local() {
                stats.passed_over += 1;
            } else if went_out {
                stats.coalesced += 1;
            } else {
                planned.insert(change.key.clone(), self.pending.len());
                self.pending.push_back(Step::Key {
                    position,
                    key: change.key,
                    newest: change.stamp,
                });
            }
        }
        if self.pending.is_empty() {
            self.done = self.fetched;
        }
    }

    /// The next steps that may go into one frame: how many, and the keys whose versions they need.
    pub(super) fn next_steps(&self, steps_max: usize, bytes_max: u64) -> (usize, Vec<Bytes>) {
        let (mut steps, mut keys, mut bytes) = (0, Vec::new(), 0);
        for step in self.pending.iter().take(steps_max) {
            match step {
                Step::Key { key, .. } => keys.push(key.clone()),
                Step::Conflict { delta, .. } => bytes += delta.weight() as u64,
            }
            if steps > 0 && bytes > bytes_max {
                if matches!(step, Step::Key { .. }) {
                    keys.pop();
                }
                break;
            }
            steps += 1;
        }
        (steps, keys)
    }

    /// Takes the current versions of the keys of the next `steps` steps (perhaps fewer versions than keys) and gives the
    /// deltas to send; `None` if no step could be done.
    pub(super) fn resolve(
        &mut self,
        steps: usize,
        versions: Vec<Option<Version>>,
        peer: ReplicaId,
        stats: &mut SenderStats,
    ) -> Option<Vec<Delta>> {
        let mut versions = versions.into_iter();
        let mut deltas = Vec::new();
        let mut resolved = 0;
        while resolved < steps {
            match self.pending.pop_front() {
                None => break,
                Some(Step::Conflict { position, delta }) => {
                    self.done = position;
                    deltas.push(delta);
                }
                Some(Step::Key { position, key, newest }) => {
                    let Some(version) = versions.next() else {
                        self.pending.push_front(Step::Key { position, key, newest });
                        break;
                    };
                    self.done = position;
                    match version {
                        // Nothing is held any more: the table was dropped, or the tombstone was collected, which every
                        // member has allowed.
                        None => stats.passed_over += 1,
                        Some(version) if wrote(peer, version.stamp) => {
                            stats.known_to_peer += 1;
                            self.ahead.note(&key, newest, version.stamp);
                        }
                        Some(version) => {
                            self.ahead.note(&key, newest, version.stamp);
                            deltas.push(Delta::Version { key, version });
                        }
                    }
                }
            }
            resolved += 1;
        }
        if self.pending.is_empty() {
            self.done = self.fetched;
        }
        stats.deltas_sent += deltas.len() as u64;
        (resolved > 0).then_some(deltas)
    }
}

/// Whether that replica itself wrote the version with this stamp. An expiry bears the stamp of the version it expires, so
/// its replica is not the one that made it.
fn wrote(replica: ReplicaId, stamp: Stamp) -> bool {
    stamp.replica == replica && !stamp.expiry
}

/// Versions that have gone out though their changes are further on in the log than what has been read.
///
/// A key's current version is often newer than the change that asked for it. When the newer change is read in its turn,
/// this tells that its version has gone out. An entry is dropped there: stamps of a key only grow in a log, so nothing
/// behind it asks for that version again.
#[derive(Debug, Default)]
struct SentAhead {
    stamps: BTreeMap<Bytes, Stamp>,
    bytes: usize,
}

impl SentAhead {
    /// What an entry takes besides its key, in bytes (an estimate).
    const ENTRY_BYTES: usize = 96;

    /// A version of `key` went out, while `newest` is the newest of its changes that has been read.
    fn note(&mut self, key: &Bytes, newest: Stamp, sent: Stamp) {
        if sent > newest && self.stamps.insert(key.clone(), sent).is_none() {
            self.bytes += key.len() + Self::ENTRY_BYTES;
        }
    }

    /// The change of `key` with this stamp has been read: whether that version, or a newer one, has gone out.
    fn pass(&mut self, key: &Bytes, stamp: Stamp) -> bool {
        let Some(&sent) = self.stamps.get(key) else {
            return false;
        };
        if sent <= stamp {
            self.stamps.remove(key);
            self.bytes -= key.len() + Self::ENTRY_BYTES;
        }
        sent >= stamp
    }
}
