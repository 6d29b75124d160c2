//! The sending end of a link: from this replica's logs to one peer.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use bytes::Bytes;

use super::{
    LOGS_PER_LINK_MAX, PING_MS, SILENCE_MS_MAX, Ticket, Violation, check_peer,
    outgoing::{Outgoing, Phase},
};
use crate::{
    change::Change,
    delta::Delta,
    frame::{DELTAS_PER_FRAME_MAX, Frame, LOGS_PER_OPEN_MAX, PROTOCOL},
    host::{Identity, Peer},
    ids::{LogId, LogInfo, Position, TableId},
    stamp::Millis,
    version::Version,
};

/// The most changes read from a log at a time.
pub const ROWS_PER_READ_MAX: usize = 2048;
/// About how many bytes are read, and sent in one frame, at a time.
pub const BATCH_BYTES: u64 = 256 * 1024;
/// The most logs that are being read at a time, and so hold changes in memory.
pub const LOGS_READING_MAX: usize = 8;
/// How long a cursor that moves past changes with nothing to send may wait before the peer is told, in milliseconds.
pub const PROGRESS_MS: Millis = 500;
/// How long after a failed read it is tried again, in milliseconds.
pub const RETRY_MS: Millis = 200;
/// The most memory, in bytes, that a link keeps to avoid sending a version twice. Beyond it, versions may go twice.
pub const SENT_AHEAD_BYTES_MAX: usize = 16 * 1024 * 1024;

/// What a sender is told.
#[derive(Clone, Debug)]
pub enum Event {
    /// A frame came from the peer.
    Frame(Frame),
    /// These logs must be sent; with each, the position of its newest readable record.
    Open(Vec<(LogInfo, Position)>),
    /// This log must not be sent any more.
    Close(LogId),
    /// A log has grown: the position of its newest readable record.
    Activity(LogId, Position),
    /// Answers [`Action::ReadLog`].
    Log(Ticket, Vec<(Position, Change)>),
    /// Answers [`Action::ReadVersions`]; may be shorter than the keys, but not empty.
    Versions(Ticket, Vec<Option<Version>>),
    /// The host could not answer.
    Failed(Ticket),
    /// Time has passed: see [`Sender::poll_timeout`].
    Tick,
}

/// What a sender wants done.
#[derive(Clone, Debug, PartialEq)]
pub enum Action {
    /// Send this frame, after those before it.
    Send(Frame),
    /// The peer has introduced itself.
    Established(Peer),
    /// Read changes of a log after a position: at most `rows_max`, no more once `bytes_max` is reached.
    ReadLog {
        /// For the answer.
        ticket: Ticket,
        /// Which log.
        log: LogId,
        /// After which position.
        after: Position,
        /// The most changes.
        rows_max: usize,
        /// No more once this many bytes are reached.
        bytes_max: usize,
    },
    /// Read keys' current versions: no more once `bytes_max` is reached, but at least one.
    ReadVersions {
        /// For the answer.
        ticket: Ticket,
        /// The keys' table.
        table: TableId,
        /// Which keys.
        keys: Vec<Bytes>,
        /// No more once this many bytes are reached.
        bytes_max: usize,
    },
    /// The peer has applied a log up to here.
    Acked(LogId, Position),
    /// The peer's cursor is beyond the log's end as this link knows it. The log is not sent until the end is told to be
    /// there; if that is not the log's end either, this replica has lost data that the peer has.
    PeerAhead {
        /// Which log.
        log: LogId,
        /// The peer's cursor.
        cursor: Position,
        /// The log's end.
        end: Position,
    },
    /// End the connection.
    Disconnect(Violation),
}

/// What a sender has done so far on its connection.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SenderStats {
    /// Changes read from logs.
    pub changes_read: u64,
    /// Deltas sent.
    pub deltas_sent: u64,
    /// Changes passed over because they came from another replica, or nothing is held of their key.
    pub passed_over: u64,
    /// Changes that needed nothing because an equal or newer version of their key went out.
    pub coalesced: u64,
    /// Keys whose current version the peer itself wrote.
    pub known_to_peer: u64,
    /// Times the memory of what went out was full and dropped.
    pub forgotten: u64,
}

/// The sending end of a link, for one connection.
#[derive(Debug)]
pub struct Sender {
    own: Identity,
    peer_region: String,
    peer: Option<Peer>,
    closed: bool,
    logs: BTreeMap<LogId, Outgoing>,
    /// Logs with work to do, each once: this is what makes the link fair.
    ready: VecDeque<LogId>,
    timers: BTreeSet<(Millis, LogId)>,
    tickets: BTreeMap<Ticket, LogId>,
    next_ticket: u64,
    /// Logs in [`Phase::Reading`] or [`Phase::Fetching`].
    reading: usize,
    /// What may still be sent. Below zero after an item larger than what was left.
    credit: i64,
    credit_max: i64,
    /// What the logs being read may yet take of the credit.
    reserved: i64,
    next_ping: Millis,
    heard: Millis,
    stats: SenderStats,
    actions: VecDeque<Action>,
}

impl Sender {
    /// A sender for a new connection to a node of `peer_region`.
    pub fn new(own: Identity, peer_region: &str, now: Millis) -> Self {
        let hello = Frame::Hello {
            protocol: PROTOCOL,
            cluster: own.cluster.clone(),
            region: own.region.clone(),
            replica: own.replica,
            now_ms: now,
        };
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
            reading: 0,
            credit: 0,
            credit_max: 0,
            reserved: 0,
            next_ping: now.saturating_add(PING_MS),
            heard: now,
            stats: SenderStats::default(),
            actions: VecDeque::from([Action::Send(hello)]),
        }
    }

    /// Takes an event. Actions follow from [`Sender::poll_action`].
    pub fn handle(&mut self, now: Millis, event: Event) {
        if self.closed {
            return;
        }
        match event {
            Event::Frame(frame) => {
                self.heard = now;
                if let Err(violation) = self.on_frame(now, frame) {
                    self.closed = true;
                    self.actions.push_back(Action::Disconnect(violation));
                }
            }
            Event::Open(logs) => self.on_open(logs),
            Event::Close(log) => self.on_close(log),
            Event::Activity(log, end) => self.on_activity(log, end),
            Event::Log(ticket, changes) => self.on_log(now, ticket, changes),
            Event::Versions(ticket, versions) => self.on_versions(now, ticket, versions),
            Event::Failed(ticket) => self.on_failed(now, ticket),
            Event::Tick => self.on_tick(now),
        }
        self.pump(now);
    }

    /// The next thing to do, until there is none.
    pub fn poll_action(&mut self) -> Option<Action> {
        self.actions.pop_front()
    }

    /// When [`Event::Tick`] is wanted at the latest.
    pub fn poll_timeout(&self) -> Option<Millis> {
        let log = self.timers.first().map_or(Millis::MAX, |&(at, _)| at);
        (!self.closed).then_some(log.min(self.next_ping))
    }

    /// The peer, once it has introduced itself.
    pub fn peer(&self) -> Option<&Peer> {
        self.peer.as_ref()
    }

    /// What was done so far.
    pub fn stats(&self) -> SenderStats {
        self.stats
    }

    /// An upper bound of the changes that the peer has not acknowledged, over all logs.
    pub fn backlog(&self) -> u64 {
        self.logs.values().map(|log| log.end.since(log.acked)).sum()
    }

    /// The peer's durable cursor of a log, as far as this connection knows.
    pub fn acked(&self, log: LogId) -> Option<Position> {
        self.logs.get(&log).map(|log| log.acked)
    }

    fn on_frame(&mut self, now: Millis, frame: Frame) -> Result<(), Violation> {
        if let Frame::Welcome {
            protocol,
            region,
            replica,
            credit_bytes,
        } = frame
        {
            return self.on_welcome(protocol, region, replica, credit_bytes);
        }
        if self.peer.is_none() {
            return Err(Violation::Unexpected("before welcome"));
        }
        match frame {
            Frame::Resume { log, position, epoch } => self.on_resume(log, position, epoch),
            Frame::Pause { log } => {
                self.release(log);
                if let Some(out) = self.logs.get_mut(&log) {
                    out.rewind(out.acked, Phase::Waiting);
                }
            }
            Frame::Ack { log, up_to } => self.on_ack(log, up_to)?,
            Frame::Credit { bytes } => {
                let bytes = i64::try_from(bytes).unwrap_or(i64::MAX);
                self.credit = self.credit.saturating_add(bytes).min(self.credit_max);
            }
            Frame::Pong { .. } => {}
            Frame::Ping { sent_ms } => self.send(Frame::Pong { sent_ms, now_ms: now }),
            Frame::Welcome { .. } | Frame::Hello { .. } => return Err(Violation::Unexpected("greeting")),
            Frame::Open { .. } | Frame::Deltas { .. } | Frame::Close { .. } => {
                return Err(Violation::Unexpected("deltas on the way back"));
            }
        }
        Ok(())
    }

    fn on_welcome(
        &mut self,
        protocol: u16,
        region: String,
        replica: crate::stamp::ReplicaId,
        credit: u64,
    ) -> Result<(), Violation> {
        if self.peer.is_some() {
            return Err(Violation::Unexpected("second welcome"));
        }
        check_peer(&self.own, &self.peer_region, protocol, &region, replica)?;
        self.credit_max = i64::try_from(credit).unwrap_or(i64::MAX);
        self.credit = self.credit_max;
        let peer = Peer { region, replica };
        self.peer = Some(peer.clone());
        self.actions.push_back(Action::Established(peer));
        let logs = self.logs.values().map(|log| log.info).collect();
        self.announce(logs);
        Ok(())
    }

    /// The peer says from where a log must be sent.
    ///
    /// While the log waits, the position is the peer's durable cursor. In the middle of sending it is where the peer found a
    /// gap: what lies before has been taken in, but is not durable, so it must not pass for acknowledged.
    fn on_resume(&mut self, log: LogId, position: Position, epoch: u32) {
        let Some(out) = self.logs.get(&log) else { return };
        let (is_durable, acked, end) = (matches!(out.phase, Phase::Waiting | Phase::Ahead), out.acked, out.end);
        self.release(log);
        let Some(out) = self.logs.get_mut(&log) else { return };
        if position > end {
            out.rewind(end, Phase::Ahead);
            (out.claimed, out.epoch) = (position, epoch);
            let cursor = position;
            self.actions.push_back(Action::PeerAhead { log, cursor, end });
            return;
        }
        out.rewind(position, Phase::Idle);
        out.epoch = epoch;
        if is_durable {
            self.actions.push_back(Action::Acked(log, position));
        } else {
            out.acked = acked.min(position);
        }
        self.enqueue(log);
    }

    fn on_ack(&mut self, log: LogId, up_to: Position) -> Result<(), Violation> {
        let Some(out) = self.logs.get_mut(&log) else {
            return Ok(());
        };
        if matches!(out.phase, Phase::Waiting | Phase::Ahead) {
            return Ok(());
        }
        if up_to > out.end {
            return Err(Violation::Limit("an ack of what does not exist"));
        }
        if up_to > out.acked {
            out.acked = up_to;
            self.actions.push_back(Action::Acked(log, up_to));
        }
        Ok(())
    }

    fn on_open(&mut self, logs: Vec<(LogInfo, Position)>) {
        let mut fresh = Vec::new();
        for (info, end) in logs {
            if self.logs.contains_key(&info.log) || self.logs.len() >= LOGS_PER_LINK_MAX {
                continue;
            }
            self.logs.insert(info.log, Outgoing::new(info, end));
            fresh.push(info);
        }
        if self.peer.is_some() {
            self.announce(fresh);
        }
    }

    fn announce(&mut self, logs: Vec<LogInfo>) {
        for logs in logs.chunks(LOGS_PER_OPEN_MAX) {
            self.send(Frame::Open { logs: logs.to_vec() });
        }
    }

    fn on_close(&mut self, log: LogId) {
        self.release(log);
        let Some(out) = self.logs.remove(&log) else { return };
        if let Some(at) = out.timer {
            self.timers.remove(&(at, log));
        }
        if self.peer.is_some() {
            self.send(Frame::Close { log });
        }
    }

    fn on_activity(&mut self, log: LogId, end: Position) {
        let Some(out) = self.logs.get_mut(&log) else { return };
        if end > out.end {
            out.end = end;
            if out.phase == Phase::Ahead && end >= out.claimed {
                // The peer knew of the end before this link did.
                let (position, epoch) = (out.claimed, out.epoch);
                return self.on_resume(log, position, epoch);
            }
            self.enqueue(log);
        }
    }

    fn on_log(&mut self, now: Millis, ticket: Ticket, changes: Vec<(Position, Change)>) {
        let Some(log) = self.tickets.get(&ticket).copied() else {
            return;
        };
        if changes.is_empty() {
            // The log's end is readable by contract, so this is a failure of the host's.
            return self.on_failed(now, ticket);
        }
        self.release(log);
        let Some(out) = self.logs.get_mut(&log) else { return };
        out.take_in(changes, &mut self.stats);
        // What could be read may be newer than what this link has been told of.
        out.end = out.end.max(out.fetched);
        self.after_step(now, log);
    }

    fn on_versions(&mut self, now: Millis, ticket: Ticket, versions: Vec<Option<Version>>) {
        let (Some(log), Some(peer)) = (self.tickets.get(&ticket).copied(), self.peer.as_ref()) else {
            return;
        };
        let Some(out) = self.logs.get_mut(&log) else { return };
        let Phase::Fetching { steps, .. } = out.phase else {
            return;
        };
        match out.resolve(steps, versions, peer.replica, &mut self.stats) {
            None => self.on_failed(now, ticket),
            Some(deltas) => {
                self.release(log);
                if !deltas.is_empty() {
                    self.flush(now, log, deltas);
                }
                self.after_step(now, log);
            }
        }
    }

    fn on_failed(&mut self, now: Millis, ticket: Ticket) {
        let Some(log) = self.tickets.get(&ticket).copied() else {
            return;
        };
        self.release(log);
        if let Some(out) = self.logs.get_mut(&log) {
            out.phase = Phase::Failed;
            self.arm(log, now.saturating_add(RETRY_MS));
        }
    }

    fn on_tick(&mut self, now: Millis) {
        if now.saturating_sub(self.heard) >= SILENCE_MS_MAX {
            self.closed = true;
            self.actions
                .push_back(Action::Disconnect(Violation::Silence(SILENCE_MS_MAX)));
            return;
        }
        if now >= self.next_ping {
            self.next_ping = now.saturating_add(PING_MS);
            if self.peer.is_some() {
                self.send(Frame::Ping { sent_ms: now });
            }
        }
        while let Some(&(at, log)) = self.timers.first()
            && at <= now
        {
            self.timers.pop_first();
            self.on_timer(now, log);
        }
    }

    fn on_timer(&mut self, now: Millis, log: LogId) {
        let Some(out) = self.logs.get_mut(&log) else { return };
        out.timer = None;
        if out.phase == Phase::Failed {
            out.phase = Phase::Idle;
        }
        if out.done > out.sent && !matches!(out.phase, Phase::Waiting | Phase::Ahead) {
            if self.credit > 0 {
                self.flush(now, log, Vec::new());
            } else {
                self.arm(log, now.saturating_add(PROGRESS_MS));
            }
        }
        self.enqueue(log);
    }

    /// What comes after a stretch was taken in or sent: the rest of it, or the next, or word of the progress.
    fn after_step(&mut self, now: Millis, log: LogId) {
        let Some(out) = self.logs.get_mut(&log) else { return };
        if out.has_pending() && !out.queued {
            // First in the queue, so that no more than LOGS_READING_MAX logs ever hold changes in memory.
            out.queued = true;
            self.ready.push_front(log);
        } else {
            let silent = out.done > out.sent;
            self.enqueue(log);
            if silent {
                self.arm(log, now.saturating_add(PROGRESS_MS));
            }
        }
    }

    /// Sends a stretch: from what was sent last to what is done.
    fn flush(&mut self, now: Millis, log: LogId, deltas: Vec<Delta>) {
        let Some(out) = self.logs.get_mut(&log) else { return };
        let (after, up_to, epoch) = (out.sent, out.done, out.epoch);
        out.sent = up_to;
        self.credit = self.credit.saturating_sub_unsigned(Frame::weight_of(&deltas));
        let remembers = out.ahead_bytes() > 0;
        self.send(Frame::Deltas {
            log,
            after,
            up_to,
            epoch,
            deltas,
            sent_ms: now,
            traces: Vec::new(),
        });
        if remembers {
            self.bound_memory();
        }
    }

    /// Drops the memory of what went out, largest first, while it is over its limit.
    fn bound_memory(&mut self) {
        let mut total: usize = self.logs.values().map(Outgoing::ahead_bytes).sum();
        while total > SENT_AHEAD_BYTES_MAX
            && let Some(out) = self.logs.values_mut().max_by_key(|out| out.ahead_bytes())
        {
            total -= out.ahead_bytes();
            out.forget_ahead();
            self.stats.forgotten += 1;
        }
    }

    /// Puts questions to the host as far as credit allows.
    fn pump(&mut self, now: Millis) {
        // Not less than a batch at a time, or the link would get by with crumbs.
        let enough = (self.credit_max / 4).clamp(1, BATCH_BYTES as i64);
        while self.reading < LOGS_READING_MAX && self.credit - self.reserved >= enough {
            let Some(log) = self.ready.pop_front() else { return };
            let Some(out) = self.logs.get_mut(&log) else { continue };
            out.queued = false;
            if !out.has_work() {
                continue;
            }
            let reserved = (self.credit - self.reserved).min(BATCH_BYTES as i64);
            let bytes_max = usize::try_from(reserved).unwrap_or(0);
            let (steps, keys) = out.next_steps(DELTAS_PER_FRAME_MAX, bytes_max as u64);
            let ticket = Ticket(self.next_ticket);
            let action = if steps == 0 {
                out.phase = Phase::Reading { ticket, reserved };
                let after = out.fetched;
                Action::ReadLog {
                    ticket,
                    log,
                    after,
                    rows_max: ROWS_PER_READ_MAX,
                    bytes_max: BATCH_BYTES as usize,
                }
            } else {
                out.phase = Phase::Fetching {
                    ticket,
                    reserved,
                    steps,
                };
                Action::ReadVersions {
                    ticket,
                    table: out.info.table,
                    keys,
                    bytes_max,
                }
            };
            self.next_ticket += 1;
            self.tickets.insert(ticket, log);
            self.reading += 1;
            self.reserved += reserved;
            match action {
                Action::ReadVersions { keys, .. } if keys.is_empty() => self.on_versions(now, ticket, Vec::new()),
                action => self.actions.push_back(action),
            }
        }
    }

    /// Ends a log's question to the host, if there is one: its answer will be ignored.
    fn release(&mut self, log: LogId) {
        let Some(out) = self.logs.get_mut(&log) else { return };
        if let Phase::Reading { ticket, reserved } | Phase::Fetching { ticket, reserved, .. } = out.phase {
            out.phase = Phase::Idle;
            self.tickets.remove(&ticket);
            self.reading -= 1;
            self.reserved -= reserved;
        }
    }

    fn enqueue(&mut self, log: LogId) {
        if let Some(out) = self.logs.get_mut(&log)
            && out.has_work()
            && !out.queued
        {
            out.queued = true;
            self.ready.push_back(log);
        }
    }

    /// Wants to look at a log again at some time, or earlier if it already does.
    fn arm(&mut self, log: LogId, at: Millis) {
        let Some(out) = self.logs.get_mut(&log) else { return };
        if out.timer.is_some_and(|timer| timer <= at) {
            return;
        }
        if let Some(timer) = out.timer.replace(at) {
            self.timers.remove(&(timer, log));
        }
        self.timers.insert((at, log));
    }

    fn send(&mut self, frame: Frame) {
        self.actions.push_back(Action::Send(frame));
    }
}
