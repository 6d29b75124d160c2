//! Links in a world: the core's senders and receivers, and the pipes between them.

use std::collections::{BTreeMap, VecDeque};

use bytes::Bytes;
use geodynamo_replicator_core::{
    Applied, ApplyError, Delta, Frame, LogId, Millis, Position, Stamp,
    link::{Receiver, Sender, Ticket, Violation, receiver, sender},
};

use crate::{
    event::{ConnectionId, Event, Way},
    replica::region_name,
    store::Done,
    trace::Law,
    world::World,
};

/// The credit of a link, in bytes: small, so that it runs out.
const CREDIT_BYTES: u64 = 4_096;

/// One connection of a link. Frames keep their order, as on a QUIC stream, unless a fault moves them.
#[derive(Debug)]
pub(crate) struct Connection {
    pub(crate) from: usize,
    pub(crate) to: usize,
    pub(crate) sender: Sender,
    pub(crate) receiver: Receiver,
    forth: VecDeque<Frame>,
    back: VecDeque<Frame>,
    /// When the last frame planned on each way arrives.
    arrives: [Millis; 2],
    /// Deliveries that wait for a cut to heal.
    held_up: Vec<Way>,
    tick_at: Option<Millis>,
    /// Versions sent since the log was last rewound.
    crossed: BTreeMap<(LogId, Bytes), Stamp>,
}

impl World {
    pub(crate) fn dial(&mut self, from: usize, to: usize) {
        if self.links.contains_key(&(from, to)) {
            return;
        }
        if !self.replicas[from].is_up || !self.replicas[to].is_up || self.is_cut(from, to) {
            return self.plan_in(200, Event::Dial { from, to });
        }
        self.next_id += 1;
        let id = ConnectionId(self.next_id);
        let mut sender = Sender::new(self.replicas[from].identity(), &region_name(to), self.now);
        let receiver = Receiver::new(self.replicas[to].identity(), &region_name(from), CREDIT_BYTES, self.now);
        let durable = self.replicas[from].durable();
        let logs = self.replicas[from]
            .logs()
            .into_iter()
            .map(|info| (info, durable.end(info.log)))
            .collect();
        sender.handle(self.now, sender::Event::Open(logs));
        let connection = Connection {
            from,
            to,
            sender,
            receiver,
            forth: VecDeque::new(),
            back: VecDeque::new(),
            arrives: [self.now; 2],
            held_up: Vec::new(),
            tick_at: None,
            crossed: BTreeMap::new(),
        };
        self.connections.insert(id, connection);
        self.links.insert((from, to), id);
        self.trace
            .line(self.now, || format!("{id:?} from {from} to {to} dialled"));
        self.drive(id);
    }

    /// The connection ends, and everything on its way with it.
    pub(crate) fn disconnect(&mut self, id: ConnectionId, why: &str) {
        let Some(connection) = self.connections.remove(&id) else {
            return;
        };
        let (from, to) = (connection.from, connection.to);
        self.links.remove(&(from, to));
        self.totals.lost_connections += 1;
        self.trace
            .line(self.now, || format!("{id:?} from {from} to {to} lost: {why}"));
        let wait = self.rng.between(10, 300);
        self.plan_in(wait, Event::Dial { from, to });
    }

    pub(crate) fn deliver(&mut self, id: ConnectionId, way: Way) {
        let Some(connection) = self.connections.get(&id) else {
            return;
        };
        let is_cut = self.is_cut(connection.from, connection.to);
        let Some(connection) = self.connections.get_mut(&id) else {
            return;
        };
        if is_cut {
            connection.held_up.push(way);
            return;
        }
        let now = self.now;
        match way {
            Way::Forth => {
                let Some(frame) = connection.forth.pop_front() else {
                    return;
                };
                connection.receiver.handle(now, receiver::Event::Frame(frame));
            }
            Way::Back => {
                let Some(frame) = connection.back.pop_front() else {
                    return;
                };
                if let Frame::Resume { log, .. } = &frame {
                    connection.crossed.retain(|(crossed, _), _| crossed != log);
                }
                connection.sender.handle(now, sender::Event::Frame(frame));
            }
        }
        self.totals.frames += 1;
        self.drive(id);
    }

    /// A cut between two regions has healed: what was held up goes on.
    pub(crate) fn resume_deliveries(&mut self, a: usize, b: usize) {
        for pair in [(a, b), (b, a)] {
            let Some(id) = self.links.get(&pair).copied() else {
                continue;
            };
            let Some(connection) = self.connections.get_mut(&id) else {
                continue;
            };
            let held_up = std::mem::take(&mut connection.held_up);
            for way in held_up {
                self.plan_in(1, Event::Deliver(id, way));
            }
        }
    }

    pub(crate) fn tick(&mut self, id: ConnectionId) {
        let now = self.now;
        let Some(connection) = self.connections.get_mut(&id) else {
            return;
        };
        // One that was planned before an earlier one was: that one is gone by, and has planned anew.
        if connection.tick_at != Some(now) {
            return;
        }
        connection.tick_at = None;
        connection.sender.handle(now, sender::Event::Tick);
        connection.receiver.handle(now, receiver::Event::Tick);
        self.drive(id);
    }

    /// Does what both ends want done.
    pub(crate) fn drive(&mut self, id: ConnectionId) {
        loop {
            let Some(connection) = self.connections.get_mut(&id) else {
                return;
            };
            if let Some(action) = connection.sender.poll_action() {
                self.on_sender(id, action);
            } else if let Some(action) = connection.receiver.poll_action() {
                self.on_receiver(id, action);
            } else {
                break;
            }
        }
        let Some(connection) = self.connections.get_mut(&id) else {
            return;
        };
        let timeouts = [connection.sender.poll_timeout(), connection.receiver.poll_timeout()];
        if let Some(at) = timeouts.into_iter().flatten().min()
            && let at = at.max(self.now + 1)
            && connection.tick_at.is_none_or(|planned| at < planned)
        {
            connection.tick_at = Some(at);
            self.agenda.plan(at, Event::Tick(id));
        }
    }

    fn on_sender(&mut self, id: ConnectionId, action: sender::Action) {
        match action {
            sender::Action::Send(frame) => self.send_forth(id, frame),
            sender::Action::Established(_) => {}
            sender::Action::ReadLog { .. } | sender::Action::ReadVersions { .. } => {
                let wait = self.rng.between(0, 4);
                self.plan_in(wait, Event::AnswerSender(id, action));
            }
            sender::Action::Acked(log, up_to) => {
                self.check_cursor(id, log, up_to, "the sender was told of");
                if let Some((of, by)) = self
                    .connections
                    .get(&id)
                    .map(|connection| (connection.from, connection.to))
                {
                    self.acked(of, by, log, up_to);
                }
            }
            sender::Action::PeerAhead { log, cursor, end } => {
                // A copy may have told the peer of an end that the link hears of later.
                let from = self.connections.get(&id).map(|connection| connection.from);
                if from.is_some_and(|from| self.replicas[from].durable().end(log) >= cursor) {
                    return;
                }
                self.broken(
                    Law::Durable,
                    format!("log {log} ends at {end}, but a peer has {cursor} of it"),
                );
            }
            sender::Action::Disconnect(violation) => self.violated(id, &violation),
        }
    }

    fn on_receiver(&mut self, id: ConnectionId, action: receiver::Action) {
        match action {
            receiver::Action::Send(frame) => {
                if let Frame::Ack { log, up_to } = &frame {
                    self.check_cursor(id, *log, *up_to, "the receiver acknowledged");
                }
                self.send_back(id, frame);
            }
            receiver::Action::Established(_) => {}
            receiver::Action::LookUpCursor(..) | receiver::Action::Apply(..) => {
                let Some(connection) = self.connections.get(&id) else {
                    return;
                };
                let to = connection.to;
                let epoch = self.replicas[to].epoch;
                let wait = self.rng.between(0, 4);
                self.plan_in(wait, Event::AnswerReceiver { id, to, epoch, action });
            }
            receiver::Action::Disconnect(violation) => self.violated(id, &violation),
        }
    }

    /// Silence ends a connection when a link is cut. Nothing else may: both ends are this release.
    fn violated(&mut self, id: ConnectionId, violation: &Violation) {
        if !matches!(violation, Violation::Silence(_)) {
            self.broken(Law::CursorsAndLinks, format!("{id:?} was ended: {violation}"));
        }
        self.disconnect(id, &violation.to_string());
    }

    /// Law 6: nobody is told of a position that is not durable at the receiver.
    fn check_cursor(&mut self, id: ConnectionId, log: LogId, up_to: Position, who: &str) {
        let Some(connection) = self.connections.get(&id) else {
            return;
        };
        let durable = self.replicas[connection.to].durable().cursor(log).unwrap_or_default();
        if up_to > durable {
            let detail = format!("{who} position {up_to} of log {log}, durable is {durable} ({id:?})");
            self.broken(Law::CursorsAndLinks, detail);
        }
    }

    fn send_forth(&mut self, id: ConnectionId, frame: Frame) {
        let is_deltas = matches!(frame, Frame::Deltas { .. });
        if let Frame::Deltas {
            log,
            after,
            up_to,
            deltas,
            ..
        } = &frame
        {
            self.trace.line(self.now, || {
                let keys: Vec<_> = deltas.iter().map(describe).collect();
                format!("{id:?} sends {after}..{up_to} of {log}: {}", keys.join(", "))
            });
            self.check_crossing(id, *log, deltas);
        }
        let faults = is_deltas && !self.is_calm;
        let (twice, early) = (faults && self.rng.permille(30), faults && self.rng.permille(30));
        let wait = self.rng.between(1, 120);
        let Some(connection) = self.connections.get_mut(&id) else {
            return;
        };
        let before_last = connection.forth.len().saturating_sub(1);
        if early && matches!(connection.forth.back(), Some(Frame::Deltas { .. })) {
            self.totals.reordered_frames += 1;
            connection.forth.insert(before_last, frame.clone());
        } else {
            connection.forth.push_back(frame.clone());
        }
        // Frames come out one by one in the order of the queue, each not before the one planned last.
        let at = connection.arrives[0].max(self.now + wait);
        connection.arrives[0] = at;
        if twice {
            connection.forth.push_back(frame);
            self.totals.duplicated_frames += 1;
            self.agenda.plan(at, Event::Deliver(id, Way::Forth));
        }
        self.agenda.plan(at, Event::Deliver(id, Way::Forth));
    }

    fn send_back(&mut self, id: ConnectionId, frame: Frame) {
        let wait = self.rng.between(1, 120);
        let twice = matches!(frame, Frame::Ack { .. }) && !self.is_calm && self.rng.permille(30);
        let Some(connection) = self.connections.get_mut(&id) else {
            return;
        };
        let at = connection.arrives[1].max(self.now + wait);
        connection.arrives[1] = at;
        for _ in 0..=u8::from(twice) {
            connection.back.push_back(frame.clone());
            self.agenda.plan(at, Event::Deliver(id, Way::Back));
        }
        self.totals.duplicated_frames += u64::from(twice);
    }

    /// Law 6: a version crosses a link once per connection, unless the receiver asked for its log again.
    fn check_crossing(&mut self, id: ConnectionId, log: LogId, deltas: &[Delta]) {
        for delta in deltas {
            let Delta::Version { key, version } = delta else {
                continue;
            };
            let Some(connection) = self.connections.get_mut(&id) else {
                return;
            };
            let before = connection.crossed.insert((log, key.clone()), version.stamp);
            if before.is_some_and(|before| before >= version.stamp) {
                let detail = format!("{key:?} {} crossed {id:?} after {before:?}", version.stamp);
                self.broken(Law::CursorsAndLinks, detail);
            }
        }
    }

    /// The sending house answers its link.
    pub(crate) fn answer_sender(&mut self, id: ConnectionId, action: sender::Action) {
        let fails = !self.is_calm && self.rng.permille(10);
        let most = self.rng.between(1, 40) as usize;
        let Some(connection) = self.connections.get_mut(&id) else {
            return;
        };
        let durable = self.replicas[connection.from].durable();
        let event = match action {
            sender::Action::ReadLog { ticket, .. } | sender::Action::ReadVersions { ticket, .. } if fails => {
                self.totals.storage_failures += 1;
                sender::Event::Failed(ticket)
            }
            sender::Action::ReadLog {
                ticket,
                log,
                after,
                rows_max,
                ..
            } => {
                let log = durable.logs.get(&log).map_or(&[][..], Vec::as_slice);
                let first = log.partition_point(|(position, _)| *position <= after);
                let changes = log[first..].iter().take(rows_max.min(most)).cloned().collect();
                sender::Event::Log(ticket, changes)
            }
            sender::Action::ReadVersions { ticket, keys, .. } => {
                let versions = keys
                    .iter()
                    .take(most)
                    .map(|key| durable.versions.get(key).cloned())
                    .collect();
                sender::Event::Versions(ticket, versions)
            }
            _ => return,
        };
        connection.sender.handle(self.now, event);
        self.drive(id);
    }

    /// The receiving house answers its link. An apply goes on though the connection is gone, but not after a crash.
    pub(crate) fn answer_receiver(&mut self, id: ConnectionId, to: usize, epoch: u64, action: receiver::Action) {
        match action {
            receiver::Action::LookUpCursor(ticket, info) => {
                let durable = self.replicas[to].durable();
                let cursor = durable
                    .copy
                    .started
                    .then(|| durable.cursor(info.log).unwrap_or_default());
                // The house may change between its answer and when the link hears of it.
                let wait = self.rng.between(0, 4);
                self.plan_in(wait, Event::Cursor { id, ticket, cursor });
            }
            receiver::Action::Apply(ticket, batch) => {
                if !self.replicas[to].is_up || self.replicas[to].epoch != epoch {
                    return;
                }
                let wall = self.replicas[to].wall(self.now);
                if !self.is_calm && self.rng.permille(10) {
                    self.totals.storage_failures += 1;
                    return self.applied(id, ticket, Err(ApplyError::Failed("simulated".into())));
                }
                match self.replicas[to].apply(wall, &batch) {
                    Ok((mut commit, applied)) => {
                        self.totals.deltas += batch.deltas.len() as u64;
                        self.totals.parked += u64::from(applied.parked);
                        self.trace.line(self.now, || {
                            let (after, up_to) = (batch.after, batch.up_to);
                            format!("region {to} applies {after}..{up_to} of {}: {applied:?}", batch.log.log)
                        });
                        if self.control == crate::Control::CursorBeforeSync {
                            self.commit(to, commit);
                            return self.applied(id, ticket, Ok(applied));
                        }
                        commit.done.push(Done::Applied(id, ticket, applied));
                        self.commit(to, commit);
                    }
                    Err(error) => {
                        self.totals.stalls += u64::from(error == ApplyError::Stalled);
                        self.applied(id, ticket, Err(error));
                    }
                }
            }
            _ => {}
        }
    }

    /// Tells a receiver what the house knew of a log.
    pub(crate) fn cursor(&mut self, id: ConnectionId, ticket: Ticket, cursor: Option<Position>) {
        let Some(connection) = self.connections.get_mut(&id) else {
            return;
        };
        let event = receiver::Event::Cursor(ticket, cursor);
        connection.receiver.handle(self.now, event);
        self.drive(id);
    }

    /// Tells a receiver what became of a batch.
    pub(crate) fn applied(&mut self, id: ConnectionId, ticket: Ticket, outcome: Result<Applied, ApplyError>) {
        let Some(connection) = self.connections.get_mut(&id) else {
            return;
        };
        connection
            .receiver
            .handle(self.now, receiver::Event::Applied(ticket, outcome));
        self.drive(id);
    }

    /// A region's logs have grown: its links are told.
    pub(crate) fn tell_links(&mut self, region: usize) {
        let durable = self.replicas[region].durable();
        let ends: Vec<_> = self.replicas[region]
            .logs()
            .iter()
            .map(|info| (info.log, durable.end(info.log)))
            .collect();
        let links: Vec<_> = self
            .links
            .iter()
            .filter(|((from, _), _)| *from == region)
            .map(|(_, id)| *id)
            .collect();
        for id in links {
            let Some(connection) = self.connections.get_mut(&id) else {
                continue;
            };
            for (log, end) in &ends {
                connection.sender.handle(self.now, sender::Event::Activity(*log, *end));
            }
            self.drive(id);
        }
    }

    /// A region knows its table now: the receivers of its links ask again.
    pub(crate) fn tell_catalog(&mut self, region: usize) {
        let links: Vec<_> = self
            .links
            .iter()
            .filter(|((_, to), _)| *to == region)
            .map(|(_, id)| *id)
            .collect();
        for id in links {
            let Some(connection) = self.connections.get_mut(&id) else {
                continue;
            };
            connection.receiver.handle(self.now, receiver::Event::Catalog);
            self.drive(id);
        }
    }
}

fn describe(delta: &Delta) -> String {
    let key = String::from_utf8_lossy(delta.key());
    match delta {
        Delta::Version { version, .. } => format!("{key} {}", version.stamp),
        Delta::Conflict { loser, .. } => format!("loser {key} {}", loser.stamp),
    }
}
