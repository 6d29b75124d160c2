//! A world: its regions, its network, its clock, and what happens in it.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use geodynamo_replicator_core::{Millis, parking::ParkingLimits};

use crate::{
    connection::Connection,
    control::Control,
    copy::Copy,
    event::{Agenda, ConnectionId, Event},
    oracle::Oracle,
    replica::{Replica, Write},
    rng::Rng,
    store::{Commit, CopyState, Done, Op, Seen},
    totals::Totals,
    trace::{Broken, Law, Trace},
};

/// The regions that are there from the start; the next one may join.
pub(crate) const JOINER: usize = 3;
/// How long clients write and faults happen, in virtual milliseconds.
const ACTIVE_MS: Millis = 20_000;
/// How long the world may take to come to rest after that, in virtual milliseconds. Clocks that ran ahead by tens of
/// seconds, and restarts that skipped to the ceiling, must be waited out.
const CALM_MS_MAX: Millis = 600_000;
/// Few keys, so that writes meet.
const KEYS: u64 = 12;

/// Everything there is.
pub(crate) struct World {
    pub(crate) control: Control,
    pub(crate) rng: Rng,
    pub(crate) now: Millis,
    pub(crate) agenda: Agenda,
    /// All regions, the one that may join last.
    pub(crate) replicas: Vec<Replica>,
    /// How many of them take part.
    pub(crate) members: usize,
    pub(crate) connections: BTreeMap<ConnectionId, Connection>,
    /// The current connection from one region to another.
    pub(crate) links: BTreeMap<(usize, usize), ConnectionId>,
    /// Pairs of regions, the smaller number first.
    pub(crate) cuts: BTreeSet<(usize, usize)>,
    pub(crate) copy: Option<Copy>,
    pub(crate) copy_source: usize,
    pub(crate) next_id: u64,
    pub(crate) is_calm: bool,
    pub(crate) oracle: Oracle,
    pub(crate) totals: Totals,
    pub(crate) trace: Trace,
    broken: Option<Broken>,
    is_done: bool,
    written: u64,
}

impl World {
    pub(crate) fn new(seed: u64, control: Control, trace: bool) -> Self {
        let mut rng = Rng::new(seed);
        let count_max = rng.between(4, 40);
        let limits = ParkingLimits {
            count_max,
            ..ParkingLimits::default()
        };
        let mut replicas: Vec<_> = (0..=JOINER)
            .map(|region| Replica::new(region, control, limits))
            .collect();
        for replica in &mut replicas[..JOINER] {
            let commit = replica.commit_op(Op::Copy(CopyState {
                started: true,
                mark: None,
                done: true,
            }));
            replica.store.commit(commit);
            replica.store.sync();
        }
        replicas[JOINER].is_up = false;
        let mut world = Self {
            control,
            copy_source: rng.index(JOINER),
            rng,
            now: 0,
            agenda: Agenda::default(),
            replicas,
            members: JOINER,
            connections: BTreeMap::new(),
            links: BTreeMap::new(),
            cuts: BTreeSet::new(),
            copy: None,
            next_id: 0,
            is_calm: false,
            oracle: Oracle::default(),
            totals: Totals::default(),
            trace: Trace::new(trace),
            broken: None,
            is_done: false,
            written: 0,
        };
        for from in 0..JOINER {
            world.plan_in(0, Event::ClientWrite(from));
            world.plan_in(0, Event::Collect(from));
            for to in (0..JOINER).filter(|to| *to != from) {
                world.plan_in(0, Event::Dial { from, to });
            }
        }
        world.plan_in(500, Event::Fault);
        if world.rng.permille(600) {
            let at = world.rng.between(1, ACTIVE_MS - 5_000);
            world.plan_in(at, Event::Join);
        }
        world.plan_in(ACTIVE_MS, Event::Calm);
        world
    }

    /// Lets everything happen, until the world is at rest or a law is broken.
    pub(crate) fn run(&mut self) -> Result<Totals, Broken> {
        while !self.is_done && self.broken.is_none() {
            let Some((at, event)) = self.agenda.next() else { break };
            self.now = self.now.max(at);
            self.totals.events += 1;
            self.handle(event);
        }
        match self.broken.take() {
            Some(broken) => Err(broken),
            None => {
                self.totals.conflicts = self.oracle.losers.len() as u64;
                Ok(self.totals)
            }
        }
    }

    pub(crate) fn into_trace(self) -> Vec<String> {
        self.trace.into_lines()
    }

    fn handle(&mut self, event: Event) {
        match event {
            Event::ClientWrite(region) => self.client_write(region),
            Event::Sync { region, epoch } => self.sync(region, epoch),
            Event::Grown { region, epoch } => {
                if self.replicas[region].epoch == epoch {
                    self.tell_links(region);
                }
            }
            Event::ReleaseParked { region, epoch } => self.release_parked(region, epoch),
            Event::Deliver(id, way) => self.deliver(id, way),
            Event::Tick(id) => self.tick(id),
            Event::AnswerSender(id, action) => self.answer_sender(id, action),
            Event::AnswerReceiver { id, to, epoch, action } => self.answer_receiver(id, to, epoch, action),
            Event::Cursor { id, ticket, cursor } => self.cursor(id, ticket, cursor),
            Event::Dial { from, to } => self.dial(from, to),
            Event::Restart(region) => self.restart(region),
            Event::Heal(a, b) => self.heal(a, b),
            Event::Fault => self.fault(),
            Event::SetClock { region, offset } => self.replicas[region].offset = offset,
            Event::Collect(region) => self.collect(region),
            Event::Told { to, from, standing } => self.told(to, from, &standing),
            Event::Join => self.join(),
            Event::StartCopy => self.start_copy(),
            Event::CopyForth(id) => self.copy_forth(id),
            Event::CopyBack(id) => self.copy_back(id),
            Event::CopySource(id, action) => self.copy_source(id, action),
            Event::CopyJoiner(id, action) => self.copy_joiner(id, action),
            Event::Calm => self.calm(),
            Event::Check => self.check(),
        }
    }

    pub(crate) fn plan_in(&mut self, wait: Millis, event: Event) {
        self.agenda.plan(self.now + wait, event);
    }

    pub(crate) fn is_cut(&self, a: usize, b: usize) -> bool {
        self.cuts.contains(&(a.min(b), a.max(b)))
    }

    /// A law was broken: the first one found is what counts.
    pub(crate) fn broken(&mut self, law: Law, detail: String) {
        self.trace.line(self.now, || format!("BROKEN {law:?}: {detail}"));
        self.broken.get_or_insert(Broken { law, detail });
    }

    fn client_write(&mut self, region: usize) {
        if self.is_calm {
            return;
        }
        let wait = self.rng.between(5, 150);
        self.plan_in(wait, Event::ClientWrite(region));
        self.keep_ceiling(region);
        let key = Bytes::from(format!("key-{}", self.rng.below(KEYS)));
        let write = match self.rng.below(100) {
            0..60 => Write::Put(Bytes::from(format!("{region}/{}", self.written))),
            60..75 => Write::Delete,
            75..85 => Write::RePut,
            _ => Write::Expire,
        };
        let wall = self.replicas[region].wall(self.now);
        if !self.replicas[region].is_active() {
            return;
        }
        // Without a ceiling yet, or without an item to write over, the client tries something else later.
        let Ok(Some(mut commit)) = self.replicas[region].write(wall, key, &write) else {
            return;
        };
        self.written += 1;
        for seen in &commit.seen {
            if let Seen::Wrote { key, version, on, .. } = seen {
                let stamp = version.stamp;
                self.trace.line(self.now, || {
                    format!("region {region} writes {key:?} {stamp}: {write:?}")
                });
                if let Err(broken) = self.oracle.issued(region, stamp, *on) {
                    self.broken.get_or_insert(broken);
                }
            }
        }
        self.totals.deletes += u64::from(write == Write::Delete);
        self.totals.re_puts += u64::from(write == Write::RePut);
        self.totals.expiries += u64::from(write == Write::Expire);
        commit.done.push(Done::Client);
        self.commit(region, commit);
    }

    /// Makes a higher ceiling durable when the clock's is near.
    fn keep_ceiling(&mut self, region: usize) {
        let replica = &mut self.replicas[region];
        let wall = replica.wall(self.now);
        if let Some(ceiling) = replica.ceiling_wanted(wall).filter(|_| replica.is_up) {
            replica.ceiling_pending = true;
            let mut commit = replica.commit_op(Op::Ceiling(ceiling));
            commit.done.push(Done::Ceiling(ceiling));
            self.commit(region, commit);
        }
    }

    /// Hands a commit to a region's store and plans its sync: many commits share one.
    pub(crate) fn commit(&mut self, region: usize, commit: Commit) {
        let wait = self.rng.between(1, 8);
        let replica = &mut self.replicas[region];
        replica.store.commit(commit);
        if !replica.sync_planned {
            replica.sync_planned = true;
            let epoch = replica.epoch;
            self.plan_in(wait, Event::Sync { region, epoch });
        }
    }

    fn sync(&mut self, region: usize, epoch: u64) {
        if self.replicas[region].epoch != epoch {
            return;
        }
        self.replicas[region].sync_planned = false;
        let commits = self.replicas[region].store.sync();
        for commit in &commits {
            self.tell_oracle(region, commit);
        }
        for commit in commits {
            for done in commit.done {
                match done {
                    Done::Client => {
                        self.totals.writes += 1;
                        for seen in &commit.seen {
                            if let Seen::Wrote { key, version, .. } = seen {
                                self.oracle.acknowledged.insert((key.clone(), version.stamp));
                            }
                        }
                    }
                    Done::Applied(id, ticket, applied) => self.applied(id, ticket, Ok(applied)),
                    Done::Ceiling(ceiling) => {
                        self.replicas[region].clock.raise_ceiling(ceiling);
                        self.replicas[region].ceiling_pending = false;
                    }
                    Done::Copy(id) => self.copy_stored(id),
                }
            }
        }
        // What is durable can be read before anyone has heard of it.
        if self.rng.permille(300) {
            let wait = self.rng.between(1, 200);
            self.plan_in(wait, Event::Grown { region, epoch });
        } else {
            self.tell_links(region);
        }
        self.plan_release(region);
    }

    pub(crate) fn tell_oracle(&mut self, region: usize, commit: &Commit) {
        if let Err(broken) = self.oracle.durable(region, commit) {
            self.broken(broken.law, broken.detail);
        }
    }

    /// Parked deltas are looked at from time to time, as long as there are any.
    pub(crate) fn plan_release(&mut self, region: usize) {
        let replica = &mut self.replicas[region];
        if replica.is_up && !replica.release_planned && !replica.store.live.parked.is_empty() {
            replica.release_planned = true;
            let epoch = replica.epoch;
            self.plan_in(250, Event::ReleaseParked { region, epoch });
        }
    }

    fn release_parked(&mut self, region: usize, epoch: u64) {
        if self.replicas[region].epoch != epoch {
            return;
        }
        self.replicas[region].release_planned = false;
        let wall = self.replicas[region].wall(self.now);
        if let Some((commit, released)) = self.replicas[region].release(wall) {
            self.totals.released += released;
            self.trace
                .line(self.now, || format!("region {region} merges {released} parked deltas"));
            self.commit(region, commit);
        }
        self.plan_release(region);
    }

    /// After the faults: once everything is at rest, everything must be right.
    fn check(&mut self) {
        if self.is_at_rest() {
            self.check_all();
            self.is_done = true;
        } else if self.now > ACTIVE_MS + CALM_MS_MAX {
            let unrest = self.unrest();
            self.broken(Law::Converges, format!("the world does not come to rest: {unrest}"));
        } else {
            self.plan_in(1_000, Event::Check);
        }
    }
}
