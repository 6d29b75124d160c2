//! A model world for link tests: replicas with a plain map as their store, linked by senders and receivers through pipes
//! that lose everything on the way when they are cut.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use bytes::Bytes;
use geodynamo_replicator_core::{
    Applied, ApplyError, Batch, Body, Change, Clock, Delta, Effect, Frame, Hlc, Identity, Images, LogId, LogInfo,
    Origin, Peer, Position, ReplicaId, Stamp, TableId, Version, judge,
    link::{Receiver, Sender, Ticket, receiver, sender},
};

pub(crate) const TABLES: u64 = 2;
pub(crate) const PARTITIONS: u16 = 2;

/// What a replica holds. Everything here is durable.
pub(crate) struct Replica {
    pub(crate) id: ReplicaId,
    clock: Clock,
    pub(crate) store: BTreeMap<(TableId, Bytes), Version>,
    pub(crate) conflicts: BTreeSet<(TableId, Bytes, Stamp)>,
    pub(crate) logs: BTreeMap<LogId, Vec<(Position, Change)>>,
    pub(crate) cursors: BTreeMap<LogId, Position>,
    /// Whether applying is refused because the parking space is said to be full.
    pub(crate) is_full: bool,
    /// Tables that are not known here yet.
    pub(crate) unknown: BTreeSet<TableId>,
}

pub(crate) struct Link {
    pub(crate) from: usize,
    pub(crate) to: usize,
    pub(crate) sender: Sender,
    pub(crate) receiver: Receiver,
    pub(crate) forth: VecDeque<Frame>,
    back: VecDeque<Frame>,
    questions: Vec<sender::Action>,
    tasks: Vec<receiver::Action>,
    is_cut: bool,
    /// What has crossed on this connection, per key, and whether a log was rewound.
    crossed: BTreeMap<(LogId, Bytes), Stamp>,
    pub(crate) alarms: Vec<sender::Action>,
}

pub(crate) struct World {
    pub(crate) now: u64,
    pub(crate) credit: u64,
    pub(crate) replicas: Vec<Replica>,
    pub(crate) links: Vec<Link>,
    pub(crate) deltas: u64,
}

fn identity(at: usize, id: ReplicaId) -> Identity {
    Identity {
        cluster: "test".into(),
        region: region(at),
        replica: id,
    }
}

fn region(at: usize) -> String {
    format!("region-{at}")
}

pub(crate) fn log_of(replica: ReplicaId, table: TableId, partition: u16) -> LogInfo {
    LogInfo::new(replica, table, partition, (0, u64::MAX))
}

fn partition_of(key: &[u8]) -> u16 {
    u16::from(key[0]) % PARTITIONS
}

impl Replica {
    fn new(at: usize) -> Self {
        let id = ReplicaId(at as u64 + 1);
        let mut clock = Clock::new(id, Hlc::default());
        clock.raise_ceiling(Hlc::from_millis(1 << 44));
        let logs = (0..TABLES)
            .flat_map(|table| (0..PARTITIONS).map(move |partition| log_of(id, TableId(table), partition).log))
            .map(|log| (log, Vec::new()))
            .collect();
        Self {
            id,
            clock,
            store: BTreeMap::new(),
            conflicts: BTreeSet::new(),
            logs,
            cursors: BTreeMap::new(),
            is_full: false,
            unknown: BTreeSet::new(),
        }
    }

    pub(crate) fn infos(&self) -> Vec<LogInfo> {
        let partitions = |table| (0..PARTITIONS).map(move |partition| (TableId(table), partition));
        (0..TABLES)
            .flat_map(partitions)
            .map(|(table, partition)| log_of(self.id, table, partition))
            .collect()
    }

    pub(crate) fn end(&self, log: LogId) -> Position {
        self.logs[&log].last().map_or(Position::START, |record| record.0)
    }

    fn append(&mut self, table: TableId, change: Change) -> LogId {
        let log = log_of(self.id, table, partition_of(&change.key)).log;
        // Positions have gaps, as an engine's may.
        let at = Position(self.end(log).0 + 1 + change.stamp.time.0 % 3);
        self.logs.get_mut(&log).unwrap().push((at, change));
        log
    }

    pub(crate) fn write(
        &mut self,
        now: u64,
        table: TableId,
        key: Bytes,
        value: Option<Bytes>,
        is_expiry: bool,
    ) -> LogId {
        let held = self.store.get(&(table, key.clone()));
        let (stamp, past, value) = match held {
            Some(held) if is_expiry && !held.stamp.expiry => (
                held.stamp.expired(),
                geodynamo_replicator_core::Past::after(&held.past, held.stamp),
                None,
            ),
            Some(held) => {
                let past = geodynamo_replicator_core::Past::after(&held.past, held.stamp);
                (self.clock.issue(now).unwrap(), past, value)
            }
            None => (
                self.clock.issue(now).unwrap(),
                geodynamo_replicator_core::Past::new(),
                value,
            ),
        };
        let version = Version {
            stamp,
            past: past.clone(),
            kind: Default::default(),
            value,
        };
        let body = Body::Item {
            deleted: version.value.is_none(),
            effect: Effect::default(),
            images: Images::default(),
        };
        self.store.insert((table, key.clone()), version);
        self.append(
            table,
            Change {
                key,
                stamp,
                past,
                origin: Origin::Local,
                commit_time: now,
                transaction: None,
                body,
            },
        )
    }

    fn apply(&mut self, batch: &Batch) -> Result<Applied, ApplyError> {
        if self.is_full {
            return Err(ApplyError::Stalled);
        }
        let table = batch.log.table;
        if self.unknown.contains(&table) {
            return Err(ApplyError::Unknown);
        }
        let origin = Origin::Remote {
            replica: batch.from.replica,
            log: batch.log.log,
            position: batch.up_to,
        };
        for delta in batch.deltas.iter().cloned() {
            match delta {
                Delta::Conflict { key, loser, winner } => self.record(table, key, loser, winner, origin),
                Delta::Version { key, version } => {
                    self.clock.observe(version.stamp);
                    let slot = (table, key.clone());
                    let held = self.store.get(&slot).cloned();
                    let judgement = judge(
                        held.as_ref().map(|held| (held.stamp, &held.past)),
                        (version.stamp, &version.past),
                    );
                    let winner = held
                        .as_ref()
                        .map_or(version.stamp, |held| held.stamp.max(version.stamp));
                    if judgement.is_conflict() {
                        let loser = if judgement.applies() {
                            held.unwrap()
                        } else {
                            version.clone()
                        };
                        self.record(table, key.clone(), loser, winner, Origin::Local);
                    }
                    if judgement.applies() {
                        let body = Body::Item {
                            deleted: version.value.is_none(),
                            effect: Effect::default(),
                            images: Images::default(),
                        };
                        let (stamp, past) = (version.stamp, version.past.clone());
                        self.append(
                            table,
                            Change {
                                key,
                                stamp,
                                past,
                                origin,
                                commit_time: 0,
                                transaction: None,
                                body,
                            },
                        );
                        self.store.insert(slot, version);
                    }
                }
            }
        }
        let cursor = self.cursors.entry(batch.log.log).or_default();
        *cursor = (*cursor).max(batch.up_to);
        Ok(Applied::default())
    }

    fn record(&mut self, table: TableId, key: Bytes, loser: Version, winner: Stamp, origin: Origin) {
        if self.conflicts.insert((table, key.clone(), loser.stamp)) {
            self.append(table, Change::conflict(key, loser, winner, origin, 0));
        }
    }
}

impl World {
    pub(crate) fn new(replicas: usize, credit: u64) -> Self {
        let replicas: Vec<Replica> = (0..replicas).map(Replica::new).collect();
        let mut world = Self {
            now: 1_000_000,
            credit,
            replicas,
            links: Vec::new(),
            deltas: 0,
        };
        for from in 0..world.replicas.len() {
            for to in (0..world.replicas.len()).filter(|&to| to != from) {
                let link = world.connect(from, to);
                world.links.push(link);
            }
        }
        world
    }

    fn connect(&self, from: usize, to: usize) -> Link {
        let (a, b) = (&self.replicas[from], &self.replicas[to]);
        let mut sender = Sender::new(identity(from, a.id), &region(to), self.now);
        let receiver = Receiver::new(identity(to, b.id), &region(from), self.credit, self.now);
        let logs = a.infos().into_iter().map(|info| (info, a.end(info.log))).collect();
        sender.handle(self.now, sender::Event::Open(logs));
        Link {
            from,
            to,
            sender,
            receiver,
            forth: VecDeque::new(),
            back: VecDeque::new(),
            questions: Vec::new(),
            tasks: Vec::new(),
            is_cut: false,
            crossed: BTreeMap::new(),
            alarms: Vec::new(),
        }
    }

    pub(crate) fn write(&mut self, at: usize, table: u64, key: Bytes, value: Option<Bytes>, is_expiry: bool) {
        let log = self.replicas[at].write(self.now, TableId(table), key, value, is_expiry);
        self.stir(at, log);
    }

    /// Tells the links of a replica that a log has grown.
    fn stir(&mut self, at: usize, log: LogId) {
        let end = self.replicas[at].end(log);
        for link in self.links.iter_mut().filter(|link| link.from == at) {
            link.sender.handle(self.now, sender::Event::Activity(log, end));
        }
    }

    /// Takes everything the state machines want done into the pipes and queues.
    pub(crate) fn drain(&mut self, at: usize) {
        let link = &mut self.links[at];
        while let Some(action) = link.sender.poll_action() {
            match action {
                sender::Action::Send(frame) => {
                    if let Frame::Deltas {
                        log,
                        deltas,
                        after,
                        up_to,
                        ..
                    } = &frame
                    {
                        assert!(after < up_to, "a stretch moves on");
                        self.deltas += deltas.len() as u64;
                        for delta in deltas {
                            if let Delta::Version { key, version } = delta {
                                let (peer, stamp) = (self.replicas[link.to].id, version.stamp);
                                assert!(stamp.replica != peer || stamp.expiry, "the peer wrote it itself");
                                let earlier = link.crossed.insert((*log, key.clone()), stamp);
                                assert!(earlier.is_none_or(|earlier| earlier < stamp), "{stamp} crosses again");
                            }
                        }
                    }
                    link.forth.push_back(frame);
                }
                sender::Action::Disconnect(violation) => panic!("sender: {violation}"),
                sender::Action::Established(_) | sender::Action::Acked(..) => {}
                sender::Action::PeerAhead { .. } => link.alarms.push(action),
                question => link.questions.push(question),
            }
        }
        while let Some(action) = link.receiver.poll_action() {
            match action {
                receiver::Action::Send(frame) => link.back.push_back(frame),
                receiver::Action::Disconnect(violation) => panic!("receiver: {violation}"),
                receiver::Action::Established(_) => {}
                task => link.tasks.push(task),
            }
        }
        let on_the_way: u64 = link
            .forth
            .iter()
            .map(|frame| match frame {
                Frame::Deltas { deltas, .. } => Frame::weight_of(deltas),
                _ => 0,
            })
            .sum();
        assert!(
            on_the_way <= self.credit + 4096,
            "{on_the_way} on the way with a credit of {}",
            self.credit
        );
    }

    /// Does one thing on a link, chosen by `which`; says whether there was anything to do.
    pub(crate) fn step(&mut self, at: usize, which: usize) -> bool {
        self.drain(at);
        let now = self.now;
        let link = &mut self.links[at];
        let choices = usize::from(!link.forth.is_empty())
            + usize::from(!link.back.is_empty())
            + link.questions.len()
            + link.tasks.len();
        if link.is_cut || choices == 0 {
            return false;
        }
        let mut which = which % choices;
        if let Some(frame) = link.forth.front().filter(|_| which == 0).cloned() {
            link.forth.pop_front();
            // The wire form is part of what is tested.
            let frame =
                geodynamo_replicator_core::frame::decode(&geodynamo_replicator_core::frame::encode(&frame).unwrap());
            link.receiver.handle(now, receiver::Event::Frame(frame.unwrap()));
            return true;
        }
        which = which.saturating_sub(usize::from(!link.forth.is_empty()));
        if let Some(frame) = link.back.front().filter(|_| which == 0).cloned() {
            link.back.pop_front();
            if let Frame::Pause { log } = &frame {
                link.crossed.retain(|(of, _), _| of != log);
            }
            link.sender.handle(now, sender::Event::Frame(frame));
            return true;
        }
        which = which.saturating_sub(usize::from(!link.back.is_empty()));
        if which < link.questions.len() {
            let question = link.questions.swap_remove(which);
            self.answer(at, question);
        } else {
            let task = link
                .tasks
                .swap_remove((which - link.questions.len()).min(link.tasks.len() - 1));
            self.perform(at, task);
        }
        self.drain(at);
        true
    }

    fn answer(&mut self, at: usize, question: sender::Action) {
        let link = &mut self.links[at];
        let source = &self.replicas[link.from];
        let event = match question {
            sender::Action::ReadLog {
                ticket,
                log,
                after,
                rows_max,
                ..
            } => {
                let records = source.logs[&log].iter().filter(|record| record.0 > after);
                sender::Event::Log(ticket, records.take(rows_max.min(7)).cloned().collect())
            }
            sender::Action::ReadVersions {
                ticket,
                table,
                keys,
                bytes_max,
            } => {
                let mut bytes = 0;
                let mut versions = Vec::new();
                for key in keys {
                    let version = source.store.get(&(table, key)).cloned();
                    bytes += version.as_ref().map_or(0, Version::weight);
                    if bytes > bytes_max && !versions.is_empty() {
                        break;
                    }
                    versions.push(version);
                }
                sender::Event::Versions(ticket, versions)
            }
            other => panic!("no question: {other:?}"),
        };
        link.sender.handle(self.now, event);
    }

    fn perform(&mut self, at: usize, task: receiver::Action) {
        let (from, to) = (self.links[at].from, self.links[at].to);
        let event = match task {
            receiver::Action::LookUpCursor(ticket, info) => self.cursor(to, ticket, &info),
            receiver::Action::Apply(ticket, batch) => {
                assert_eq!(
                    batch.from,
                    Peer {
                        region: region(from),
                        replica: self.replicas[from].id
                    }
                );
                let ends: Vec<(LogId, Position)> = self.replicas[to]
                    .infos()
                    .iter()
                    .map(|info| (info.log, self.replicas[to].end(info.log)))
                    .collect();
                let outcome = self.replicas[to].apply(&batch);
                self.check_cursor(from, to, batch.log.log);
                for (log, end) in ends {
                    if self.replicas[to].end(log) > end {
                        self.stir(to, log);
                    }
                }
                receiver::Event::Applied(ticket, outcome)
            }
            other => panic!("no task: {other:?}"),
        };
        self.links[at].receiver.handle(self.now, event);
    }

    fn cursor(&self, at: usize, ticket: Ticket, info: &LogInfo) -> receiver::Event {
        let replica = &self.replicas[at];
        let known = !replica.unknown.contains(&info.table);
        receiver::Event::Cursor(
            ticket,
            known.then(|| replica.cursors.get(&info.log).copied().unwrap_or_default()),
        )
    }

    /// No cursor passes a key that the peer lacks.
    fn check_cursor(&self, from: usize, to: usize, log: LogId) {
        let (a, b) = (&self.replicas[from], &self.replicas[to]);
        let cursor = b.cursors.get(&log).copied().unwrap_or_default();
        let Some(info) = a.infos().into_iter().find(|info| info.log == log) else {
            return;
        };
        for (_, change) in a.logs[&log]
            .iter()
            .take_while(|record| record.0 <= cursor)
            .filter(|c| c.1.is_local())
        {
            let slot = (info.table, change.key.clone());
            if change.loser().is_some() {
                assert!(
                    b.conflicts.contains(&(slot.0, slot.1, change.stamp)),
                    "a cursor passed a conflict"
                );
            } else {
                let held = b.store.get(&slot).map(|held| held.stamp);
                assert!(
                    held >= Some(change.stamp),
                    "a cursor passed {}, held {held:?}",
                    change.stamp
                );
            }
        }
    }

    /// Everything on the way is lost, and both ends with it; what was durable stays.
    pub(crate) fn cut(&mut self, at: usize) {
        self.links[at].is_cut = true;
    }

    pub(crate) fn heal(&mut self, at: usize) {
        if self.links[at].is_cut {
            let (from, to) = (self.links[at].from, self.links[at].to);
            self.links[at] = self.connect(from, to);
        }
    }

    pub(crate) fn pass_time(&mut self, ms: u64) {
        self.now += ms;
        for link in self.links.iter_mut().filter(|link| !link.is_cut) {
            link.sender.handle(self.now, sender::Event::Tick);
            link.receiver.handle(self.now, receiver::Event::Tick);
        }
    }

    pub(crate) fn catalog_changed(&mut self) {
        for link in &mut self.links {
            link.receiver.handle(self.now, receiver::Event::Catalog);
        }
    }

    /// Heals everything and runs until nothing moves.
    pub(crate) fn settle(&mut self) {
        for replica in &mut self.replicas {
            replica.is_full = false;
            replica.unknown.clear();
        }
        (0..self.links.len()).for_each(|at| self.heal(at));
        self.catalog_changed();
        for round in 0.. {
            assert!(round < 10_000, "the world does not settle");
            let mut moved = false;
            for at in 0..self.links.len() {
                while self.step(at, round) {
                    moved = true;
                }
            }
            let is_level = self.links.iter().all(|link| {
                let source = &self.replicas[link.from];
                let cursors = &self.replicas[link.to].cursors;
                source
                    .infos()
                    .iter()
                    .all(|info| cursors.get(&info.log).copied().unwrap_or_default() == source.end(info.log))
            });
            if is_level && !moved {
                return;
            }
            self.pass_time(100);
        }
    }

    /// All replicas hold the same.
    pub(crate) fn check_equal(&self) {
        for replica in &self.replicas[1..] {
            assert_eq!(replica.store, self.replicas[0].store);
            assert_eq!(replica.conflicts, self.replicas[0].conflicts);
        }
        for link in &self.links {
            assert!(link.alarms.is_empty(), "{:?}", link.alarms);
        }
    }
}
