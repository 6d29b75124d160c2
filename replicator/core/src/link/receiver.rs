//! The receiving end of a link: from one peer's logs to this replica.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use super::{
    LOGS_PER_LINK_MAX, SILENCE_MS_MAX, Ticket, Violation, check_dialer,
    incoming::{Incoming, Phase, Stretch},
    rounds::Rounds,
};
use crate::{
    frame::{DELTAS_PER_FRAME_MAX, FRAME_BYTES_MAX, Frame, LOGS_PER_OPEN_MAX},
    host::{Applied, ApplyError, Batch, Identity, Peer},
    ids::{LogId, LogInfo, Position, TableId},
    stamp::Millis,
};

/// How much may be on the way to this node on one link, unless configured otherwise, in bytes: 200 ms of 100 Mbit/s three
/// times over.
pub const CREDIT_BYTES: u64 = 8 * 1024 * 1024;
/// The most batches of one link that are being applied at a time: one a log.
pub const APPLYING_MAX: usize = 16;
/// About the most bytes that are applied in one batch, in the unit of [`Delta::weight`](crate::Delta::weight).
pub const APPLY_BYTES: u64 = 1024 * 1024;
/// While batches of a table are being applied, what comes of its other logs gathers for the next round, but not of a log
/// that has so many bytes, in the unit of [`Delta::weight`](crate::Delta::weight). A commit costs this node about the same
/// whether it takes one log's deltas or all those of a table: under load one is made as soon as the one before is durable, of
/// what came meanwhile.
pub const ROUND_BYTES: u64 = 64 * 1024;
/// Nothing gathers for longer than this, in milliseconds.
pub const ROUND_MS: Millis = 5;
/// How long after a full parking space or a failure a log is asked for again, in milliseconds.
pub const RETRY_MS: Millis = 500;
/// Credit is given back in steps of at least this part of the whole.
const CREDIT_STEPS: u64 = 16;

/// What a receiver is told.
#[derive(Clone, Debug)]
pub enum Event {
    /// A frame came from the peer.
    Frame(Frame),
    /// Answers [`Action::LookUpCursor`]: `None` while the log must wait.
    Cursor(Ticket, Option<Position>),
    /// Answers [`Action::Apply`]: it is durable, or nothing of it is.
    Applied(Ticket, Result<Applied, ApplyError>),
    /// The host's catalog changed: logs that wait are asked about again.
    Catalog,
    /// Time has passed: see [`Receiver::poll_timeout`].
    Tick,
    /// No more frames will come: what has come gathers no longer.
    End,
}

/// What a receiver wants done.
#[derive(Clone, Debug, PartialEq)]
pub enum Action {
    /// Send this frame, after those before it.
    Send(Frame),
    /// The peer has introduced itself.
    Established(Peer),
    /// Read the durable cursor of a log.
    LookUpCursor(Ticket, LogInfo),
    /// Apply a stretch of a log durably.
    Apply(Ticket, Batch),
    /// End the connection.
    Disconnect(Violation),
}

/// What a receiver has done so far on its connection.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ReceiverStats {
    /// Deltas taken in.
    pub deltas_received: u64,
    /// Batches applied.
    pub batches: u64,
    /// Deltas dropped because they came twice, too early, or while their log waited.
    pub dropped: u64,
    /// Times a log stalled because the parking space was full.
    pub stalls: u64,
}

/// The receiving end of a link, for one connection.
#[derive(Debug)]
pub struct Receiver {
    own: Identity,
    peer_region: String,
    peer: Option<Peer>,
    closed: bool,
    logs: BTreeMap<LogId, Incoming>,
    /// Logs with batches to apply, each once.
    ready: VecDeque<LogId>,
    timers: BTreeSet<(Millis, LogId)>,
    tickets: BTreeMap<Ticket, Question>,
    next_ticket: u64,
    /// Batches that are being applied: all, and each table's.
    applying: usize,
    rounds: Rounds,
    /// When what gathers is to begin at the latest; never if nothing does.
    gathered: Millis,
    /// When something was last told.
    now: Millis,
    /// Whether the peer's last frame has come.
    ended: bool,
    /// How often the host's catalog has changed. A question may be answered as of before a change and heard of after it:
    /// a log that the answer leaves waiting is asked about again at once, or it would wait for a change that has been.
    catalog: u64,
    /// How many [`Frame::Resume`] were sent.
    resumes: u32,
    /// What the peer may have on the way.
    credit: u64,
    /// What is held here, or being applied, of it.
    held: u64,
    /// What is not held any more but not given back yet.
    owed: u64,
    heard: Millis,
    stats: ReceiverStats,
    actions: VecDeque<Action>,
}

/// What was asked of the host.
#[derive(Clone, Copy, Debug)]
struct Question {
    log: LogId,
    /// [`Receiver::catalog`] when it was asked.
    catalog: u64,
    of: Topic,
}

#[derive(Clone, Copy, Debug)]
enum Topic {
    Cursor,
    Apply {
        table: TableId,
        weight: u64,
        up_to: Position,
    },
}

impl Receiver {
    /// A receiver for a new connection from a node whose certificate names `peer_region`.
    pub fn new(own: Identity, peer_region: &str, credit_bytes: u64, now: Millis) -> Self {
        Self {
            own,
            peer_region: peer_region.into(),
            peer: None,
            closed: false,
            logs: BTreeMap::new(),
            ready: VecDeque::new(),
            timers: BTreeSet::new(),
            tickets: BTreeMap::new(),
            next_ticket: 0,
            applying: 0,
            rounds: Rounds::default(),
            gathered: Millis::MAX,
            now,
            ended: false,
            catalog: 0,
            resumes: 0,
            credit: credit_bytes.max(1),
            held: 0,
            owed: 0,
            heard: now,
            stats: ReceiverStats::default(),
            actions: VecDeque::new(),
        }
    }

    /// Takes an event. Actions follow from [`Receiver::poll_action`].
    pub fn handle(&mut self, now: Millis, event: Event) {
        if self.closed {
            return;
        }
        self.now = now;
        match event {
            Event::Frame(frame) => {
                self.heard = now;
                if let Err(violation) = self.on_frame(now, frame) {
                    self.disconnect(violation);
                }
            }
            Event::Cursor(ticket, cursor) => self.on_cursor(ticket, cursor),
            Event::Applied(ticket, outcome) => self.on_applied(now, ticket, outcome),
            Event::Catalog => self.on_catalog(),
            Event::Tick => self.on_tick(now),
            Event::End => self.ended = true,
        }
    }

    /// The next thing to do, until there is none. Rounds of batches to apply begin here, so with all that was told before.
    pub fn poll_action(&mut self) -> Option<Action> {
        if self.actions.is_empty() {
            self.pump();
        }
        self.actions.pop_front()
    }

    /// When [`Event::Tick`] is wanted at the latest.
    pub fn poll_timeout(&self) -> Option<Millis> {
        let log = self.timers.first().map_or(Millis::MAX, |&(at, _)| at);
        let silence = self.heard.saturating_add(SILENCE_MS_MAX);
        (!self.closed).then_some(log.min(self.gathered).min(silence))
    }

    /// The peer, once it has introduced itself.
    pub fn peer(&self) -> Option<&Peer> {
        self.peer.as_ref()
    }

    /// What was done so far.
    pub fn stats(&self) -> ReceiverStats {
        self.stats
    }

    /// The durable cursor of a log, as far as this connection knows.
    pub fn cursor(&self, log: LogId) -> Option<Position> {
        let log = self.logs.get(&log)?;
        (!matches!(log.phase, Phase::LookingUp(_) | Phase::Waiting)).then_some(log.cursor)
    }

    fn on_frame(&mut self, now: Millis, frame: Frame) -> Result<(), Violation> {
        if let Frame::Hello {
            protocol,
            cluster,
            region,
            replica,
            ..
        } = frame
        {
            if self.peer.is_some() {
                return Err(Violation::Unexpected("second hello"));
            }
            if cluster != self.own.cluster {
                return Err(Violation::Cluster(
                    cluster.chars().take(crate::frame::NAME_BYTES_MAX).collect(),
                ));
            }
            let protocol = check_dialer(&self.own, &self.peer_region, protocol, &region, replica)?;
            let peer = Peer { region, replica };
            self.peer = Some(peer.clone());
            self.actions.push_back(Action::Established(peer));
            self.send(Frame::Welcome {
                protocol,
                region: self.own.region.clone(),
                replica: self.own.replica,
                credit_bytes: self.credit,
            });
            return Ok(());
        }
        if self.peer.is_none() {
            return Err(Violation::Unexpected("before hello"));
        }
        match frame {
            Frame::Open { logs } => self.on_open(logs),
            Frame::Deltas {
                log,
                after,
                up_to,
                epoch,
                deltas,
                sent_ms,
                ..
            } => {
                let stretch = Stretch {
                    after,
                    up_to,
                    weight: Frame::weight_of(&deltas),
                    deltas,
                    sent_ms,
                };
                self.on_deltas(log, epoch, stretch)
            }
            Frame::Close { log } => {
                self.forget(log);
                Ok(())
            }
            Frame::Ping { sent_ms } => {
                self.send(Frame::Pong { sent_ms, now_ms: now });
                Ok(())
            }
            Frame::Pong { .. } => Ok(()),
            Frame::Hello { .. } | Frame::Welcome { .. } => Err(Violation::Unexpected("greeting")),
            Frame::Resume { .. } | Frame::Pause { .. } | Frame::Ack { .. } | Frame::Credit { .. } => {
                Err(Violation::Unexpected("acks on the way there"))
            }
        }
    }

    fn on_open(&mut self, logs: Vec<LogInfo>) -> Result<(), Violation> {
        if logs.len() > LOGS_PER_OPEN_MAX {
            return Err(Violation::Limit("logs in one open frame"));
        }
        let own = self.peer.as_ref().map(|peer| peer.replica);
        for info in logs {
            // A cursor says that what it is about is here: nobody but its writer may move it.
            let named = LogId::of(info.origin, info.table, info.partition);
            if Some(info.origin) != own || info.log != named || info.range.0 > info.range.1 {
                return Err(Violation::Foreign(info.log));
            }
            self.forget(info.log);
            if self.logs.len() >= LOGS_PER_LINK_MAX {
                return Err(Violation::Limit("logs of one link"));
            }
            let (cursor, received) = (Position::START, Position::START);
            let queue = VecDeque::new();
            let log = Incoming {
                info,
                phase: Phase::Waiting,
                cursor,
                received,
                queue,
                bytes: 0,
                queued: false,
                since: 0,
                epoch: 0,
            };
            self.logs.insert(info.log, log);
            self.look_up(info.log);
        }
        Ok(())
    }

    fn on_deltas(&mut self, log: LogId, epoch: u32, mut stretch: Stretch) -> Result<(), Violation> {
        let (weight, count) = (stretch.weight, stretch.deltas.len() as u64);
        if stretch.deltas.len() > DELTAS_PER_FRAME_MAX {
            return Err(Violation::Limit("deltas in one frame"));
        }
        if stretch.up_to < stretch.after {
            return Err(Violation::Limit("a stretch that ends before it begins"));
        }
        self.held = self.held.saturating_add(weight);
        // The last frame before the credit is used up may pass it by an item in each log that was being read.
        if self.held > self.credit.saturating_add(2 * FRAME_BYTES_MAX as u64) {
            return Err(Violation::Limit("credit"));
        }
        self.stats.deltas_received += count;
        let Some(incoming) = self.logs.get_mut(&log) else {
            self.drop_held(weight, count);
            return Ok(());
        };
        if !matches!(incoming.phase, Phase::Open | Phase::Applying(_)) || epoch != incoming.epoch {
            self.drop_held(weight, count);
        } else if stretch.after > incoming.received {
            // A gap: the sender is asked to go back.
            self.drop_held(weight, count);
            self.resume(log);
        } else if stretch.up_to <= incoming.received {
            let (up_to, cursor) = (stretch.up_to, incoming.cursor);
            self.drop_held(weight, count);
            if up_to <= cursor {
                self.send(Frame::Ack { log, up_to: cursor });
            }
        } else {
            stretch.after = incoming.received;
            incoming.received = stretch.up_to;
            incoming.bytes = incoming.bytes.saturating_add(stretch.weight);
            incoming.queue.push_back(stretch);
            self.enqueue(log);
        }
        Ok(())
    }

    /// Asks the sender to send from what has been taken in, and to forget what it sent before.
    fn resume(&mut self, log: LogId) {
        let Some(incoming) = self.logs.get_mut(&log) else {
            return;
        };
        self.resumes = self.resumes.wrapping_add(1);
        incoming.epoch = self.resumes;
        let (position, epoch) = (incoming.received, incoming.epoch);
        self.send(Frame::Resume { log, position, epoch });
    }

    fn on_cursor(&mut self, ticket: Ticket, cursor: Option<Position>) {
        let Some(Question { log, catalog, .. }) = self.tickets.remove(&ticket) else {
            return;
        };
        let Some(incoming) = self.logs.get_mut(&log) else {
            return;
        };
        if incoming.phase != Phase::LookingUp(ticket) {
            return;
        }
        match cursor {
            None => self.wait(log, catalog),
            Some(position) => {
                incoming.phase = Phase::Open;
                (incoming.cursor, incoming.received) = (position, position);
                self.resume(log);
            }
        }
    }

    fn on_applied(&mut self, now: Millis, ticket: Ticket, outcome: Result<Applied, ApplyError>) {
        let Some(Question { log, catalog, of }) = self.tickets.remove(&ticket) else {
            return;
        };
        let Topic::Apply { table, weight, up_to } = of else {
            return;
        };
        self.applying -= 1;
        self.rounds.end(table);
        self.give_back(weight);
        let Some(incoming) = self.logs.get_mut(&log) else {
            return;
        };
        if incoming.phase != Phase::Applying(ticket) {
            return;
        }
        match outcome {
            Ok(_) => {
                incoming.phase = Phase::Open;
                incoming.cursor = incoming.cursor.max(up_to);
                let up_to = incoming.cursor;
                self.stats.batches += 1;
                self.send(Frame::Ack { log, up_to });
                self.enqueue(log);
            }
            Err(error) => {
                self.drop_queue(log);
                self.send(Frame::Pause { log });
                match error {
                    ApplyError::Unknown => self.wait(log, catalog),
                    ApplyError::Stalled => {
                        self.stats.stalls += 1;
                        self.pause(log, now);
                    }
                    ApplyError::Failed(_) => self.pause(log, now),
                }
            }
        }
    }

    /// The host does not know the log's table, as of a state of its catalog.
    fn wait(&mut self, log: LogId, catalog: u64) {
        if catalog < self.catalog {
            self.look_up(log);
        } else if let Some(incoming) = self.logs.get_mut(&log) {
            incoming.phase = Phase::Waiting;
        }
    }

    fn pause(&mut self, log: LogId, now: Millis) {
        let at = now.saturating_add(RETRY_MS);
        if let Some(incoming) = self.logs.get_mut(&log) {
            incoming.phase = Phase::Paused(at);
            self.timers.insert((at, log));
        }
    }

    fn on_catalog(&mut self) {
        self.catalog += 1;
        let waiting: Vec<LogId> = self
            .logs
            .iter()
            .filter(|(_, log)| log.phase == Phase::Waiting)
            .map(|(&id, _)| id)
            .collect();
        waiting.into_iter().for_each(|log| self.look_up(log));
    }

    fn on_tick(&mut self, now: Millis) {
        if now.saturating_sub(self.heard) >= SILENCE_MS_MAX {
            return self.disconnect(Violation::Silence(SILENCE_MS_MAX));
        }
        while let Some(&(at, log)) = self.timers.first()
            && at <= now
        {
            self.timers.pop_first();
            if self
                .logs
                .get(&log)
                .is_some_and(|incoming| incoming.phase == Phase::Paused(at))
            {
                self.look_up(log);
            }
        }
    }

    /// Applies what was taken in: one batch a log at a time, several logs side by side. What a table's round in flight keeps
    /// back goes to the end of those that are ready: it is little, at most the other logs of tables that are being applied.
    fn pump(&mut self) {
        self.gathered = Millis::MAX;
        let Some(peer) = self.peer.as_ref().filter(|_| !self.closed) else {
            return;
        };
        // Their rounds begin here, so with all that is ready of them.
        let mut beginning: Vec<TableId> = Vec::new();
        for _ in 0..self.ready.len() {
            if self.applying >= APPLYING_MAX {
                // The next that is done lets others begin.
                self.gathered = Millis::MAX;
                return;
            }
            let Some(log) = self.ready.pop_front() else { return };
            let Some(incoming) = self.logs.get_mut(&log) else {
                continue;
            };
            let table = incoming.info.table;
            if incoming.phase == Phase::Open
                && self.rounds.has(table)
                && let until = incoming.since.saturating_add(ROUND_MS)
                && self.now < until
                && incoming.bytes < ROUND_BYTES
                && !self.ended
                && !beginning.contains(&table)
            {
                self.gathered = self.gathered.min(until);
                self.ready.push_back(log);
                continue;
            }
            incoming.queued = false;
            if incoming.phase != Phase::Open {
                continue;
            }
            let Some((batch, weight)) = incoming.take_batch(peer) else {
                continue;
            };
            let up_to = batch.up_to;
            let ticket = Ticket(self.next_ticket);
            self.next_ticket += 1;
            incoming.phase = Phase::Applying(ticket);
            let (catalog, of) = (self.catalog, Topic::Apply { table, weight, up_to });
            self.tickets.insert(ticket, Question { log, catalog, of });
            self.applying += 1;
            self.rounds.begin(table);
            if !beginning.contains(&table) {
                beginning.push(table);
            }
            self.actions.push_back(Action::Apply(ticket, batch));
        }
    }

    fn look_up(&mut self, log: LogId) {
        let Some(incoming) = self.logs.get_mut(&log) else {
            return;
        };
        let ticket = Ticket(self.next_ticket);
        self.next_ticket += 1;
        incoming.phase = Phase::LookingUp(ticket);
        let (catalog, of) = (self.catalog, Topic::Cursor);
        self.tickets.insert(ticket, Question { log, catalog, of });
        self.actions.push_back(Action::LookUpCursor(ticket, incoming.info));
    }

    fn forget(&mut self, log: LogId) {
        self.drop_queue(log);
        if let Some(incoming) = self.logs.remove(&log)
            && let Phase::Paused(at) = incoming.phase
        {
            self.timers.remove(&(at, log));
        }
    }

    /// Drops what was taken in of a log but is not being applied: it will be asked for again.
    fn drop_queue(&mut self, log: LogId) {
        let Some(incoming) = self.logs.get_mut(&log) else {
            return;
        };
        incoming.received = incoming.cursor;
        incoming.bytes = 0;
        let dropped = std::mem::take(&mut incoming.queue);
        for stretch in dropped {
            self.drop_held(stretch.weight, stretch.deltas.len() as u64);
        }
    }

    fn drop_held(&mut self, weight: u64, deltas: u64) {
        self.stats.dropped += deltas;
        self.give_back(weight);
    }

    fn give_back(&mut self, weight: u64) {
        self.held = self.held.saturating_sub(weight);
        self.owed = self.owed.saturating_add(weight);
        if self.owed >= self.credit.div_ceil(CREDIT_STEPS) {
            let bytes = std::mem::take(&mut self.owed);
            self.send(Frame::Credit { bytes });
        }
    }

    fn enqueue(&mut self, log: LogId) {
        if let Some(incoming) = self.logs.get_mut(&log)
            && incoming.phase == Phase::Open
            && !incoming.queue.is_empty()
            && !incoming.queued
        {
            incoming.queued = true;
            incoming.since = self.now;
            self.ready.push_back(log);
        }
    }

    fn disconnect(&mut self, violation: Violation) {
        self.closed = true;
        self.actions.push_back(Action::Disconnect(violation));
    }

    fn send(&mut self, frame: Frame) {
        self.actions.push_back(Action::Send(frame));
    }
}
