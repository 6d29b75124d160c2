//! A simulated replica: what the house around the core does, on a simulated store.

use bytes::Bytes;
use geodynamo_replicator_core::{
    Applied, ApplyError, Batch, Body, Change, Clock, ClockError, Delta, Effect, Hlc, Identity, Images, Judgement,
    LogInfo, Millis, Origin, Past, Position, ReplicaId, Stamp, TableId, Version, judge,
    parking::{Admission, ParkingLimits, admit, is_ahead},
};
use geodynamo_topology::{PartitionMap, partition_hash};

use crate::{
    collect::Standings,
    control::Control,
    store::{Commit, Op, Parked, Seen, State, Store},
};

/// The world's only table.
pub(crate) const TABLE: TableId = TableId(7);
const PARTITIONS: PartitionMap = match PartitionMap::uniform(2) {
    Some(map) => map,
    None => PartitionMap::WHOLE,
};

/// What a client writes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Write {
    Put(Bytes),
    /// The same item again.
    RePut,
    Delete,
    /// The item's time to live is over.
    Expire,
}

/// A region's replica and its wall clock.
#[derive(Debug)]
pub(crate) struct Replica {
    pub(crate) region: usize,
    pub(crate) id: ReplicaId,
    pub(crate) store: Store,
    pub(crate) clock: Clock,
    pub(crate) control: Control,
    pub(crate) limits: ParkingLimits,
    pub(crate) is_up: bool,
    /// Counts its lives.
    pub(crate) epoch: u64,
    /// How far its wall clock is off, in milliseconds.
    pub(crate) offset: i64,
    /// How many parts in a million its wall clock is fast.
    pub(crate) drift_ppm: i64,
    pub(crate) sync_planned: bool,
    pub(crate) release_planned: bool,
    pub(crate) ceiling_pending: bool,
    pub(crate) standings: Standings,
}

/// What a batch of deltas did, as it is being staged.
struct Staged {
    commit: Commit,
    applied: Applied,
    origin: Origin,
    wall: Millis,
    /// Whether a link brings it.
    linked: bool,
}

pub(crate) fn region_name(region: usize) -> String {
    format!("region-{region}")
}

fn log_of(replica: ReplicaId, partition: u16) -> LogInfo {
    LogInfo::new(
        replica,
        TABLE,
        partition,
        PARTITIONS.range(partition).unwrap_or((0, u64::MAX)),
    )
}

/// The partition that a key is of.
pub(crate) fn partition_of(key: &[u8]) -> u16 {
    PARTITIONS.partition_of(partition_hash(key))
}

impl Replica {
    pub(crate) fn new(region: usize, control: Control, limits: ParkingLimits) -> Self {
        let id = ReplicaId(region as u64 + 1);
        Self {
            region,
            id,
            store: Store::default(),
            clock: Clock::new(id, Hlc::default()),
            control,
            limits,
            is_up: true,
            epoch: 0,
            offset: 0,
            drift_ppm: 0,
            sync_planned: false,
            release_planned: false,
            ceiling_pending: false,
            standings: Standings::default(),
        }
    }

    pub(crate) fn identity(&self) -> Identity {
        Identity {
            cluster: "simulation".into(),
            region: region_name(self.region),
            replica: self.id,
        }
    }

    /// Its own logs.
    pub(crate) fn logs(&self) -> Vec<LogInfo> {
        (0..PARTITIONS.partitions())
            .map(|partition| log_of(self.id, partition))
            .collect()
    }

    /// What its wall clock shows when it is really `now`.
    pub(crate) fn wall(&self, now: Millis) -> Millis {
        /// 2023-11-14, so that stamps look like stamps.
        const EPOCH_MS: i64 = 1_700_000_000_000;
        let now = i64::try_from(now).unwrap_or(i64::MAX / 2);
        let drifted = now + now * self.drift_ppm / 1_000_000;
        u64::try_from(EPOCH_MS + drifted + self.offset).unwrap_or(0)
    }

    /// Whether it takes clients' writes: it does not before its copy is whole.
    pub(crate) fn is_active(&self) -> bool {
        self.is_up && self.store.durable.copy.done
    }

    /// The ceiling that should be made durable now.
    pub(crate) fn ceiling_wanted(&self, wall: Millis) -> Option<Hlc> {
        self.clock.wants_ceiling(wall).filter(|_| !self.ceiling_pending)
    }

    /// Makes a client's write: reads the key, stamps the new version and commits it with its change.
    ///
    /// `Ok(None)` if there is nothing to write over.
    pub(crate) fn write(&mut self, wall: Millis, key: Bytes, write: &Write) -> Result<Option<Commit>, ClockError> {
        let current = self.store.live.versions.get(&key).cloned();
        let live = current.as_ref().filter(|version| !version.is_tombstone());
        let value = match (write, live) {
            (Write::Put(value), _) => Some(value.clone()),
            (Write::RePut, Some(version)) => version.value.clone(),
            (Write::Delete, _) => None,
            (Write::Expire, Some(_)) => None,
            (Write::RePut | Write::Expire, None) => return Ok(None),
        };
        if let Some(version) = &current {
            // After a restart the clock knows only what it issued itself.
            self.clock.observe(version.stamp);
        }
        let stamp = match (write, live) {
            (Write::Expire, Some(version)) => version.stamp.expired(),
            _ => self.clock.issue(wall)?,
        };
        let forgotten = || Past::forgotten(self.store.live.kept.collected);
        let past = current
            .as_ref()
            .map_or_else(forgotten, |version| Past::after(&version.past, version.stamp));
        let version = Version {
            stamp,
            past,
            kind: Default::default(),
            value,
        };
        let on = current.map(|version| version.stamp);
        let mut commit = Commit::default();
        commit.seen.push(Seen::Wrote {
            key: key.clone(),
            version: version.clone(),
            on,
            forgotten: self.store.live.kept.collected,
        });
        self.put(&mut commit, key, version, Origin::Local, wall);
        Ok(Some(commit))
    }

    /// Applies a batch from a link.
    pub(crate) fn apply(&mut self, wall: Millis, batch: &Batch) -> Result<(Commit, Applied), ApplyError> {
        let mut used = self.store.live.parking_use(batch.log.origin);
        let mut admissions = Vec::with_capacity(batch.deltas.len());
        for delta in &batch.deltas {
            let admission = match delta {
                Delta::Conflict { .. } => Admission::Merge,
                Delta::Version { version, .. } => admit(version.stamp, wall, delta.weight() as u64, used, &self.limits),
            };
            match admission {
                Admission::Merge => {}
                Admission::Park => used = used.with(delta.weight() as u64),
                Admission::Stall => return Err(ApplyError::Stalled),
            }
            admissions.push(admission);
        }
        let origin = Origin::Remote {
            replica: batch.log.origin,
            log: batch.log.log,
            position: batch.up_to,
        };
        let mut staged = Staged {
            commit: Commit::default(),
            applied: Applied::default(),
            origin,
            wall,
            linked: true,
        };
        for (delta, admission) in batch.deltas.iter().zip(admissions) {
            self.take_in(&mut staged, delta, admission == Admission::Park, batch.log, batch.after);
        }
        let cursor = Op::Cursor {
            info: batch.log,
            position: batch.up_to,
        };
        if self.control == Control::CursorBeforeSync {
            self.store.durable.apply(&cursor);
        }
        self.stage(&mut staged.commit, cursor);
        Ok((staged.commit, staged.applied))
    }

    /// Merges a copy's rows, which come from the replica `from`.
    pub(crate) fn apply_rows(&mut self, wall: Millis, from: ReplicaId, deltas: &[Delta]) -> (Commit, Applied) {
        let log = log_of(from, 0);
        let origin = Origin::Remote {
            replica: from,
            log: log.log,
            position: Position::START,
        };
        let mut staged = Staged {
            commit: Commit::default(),
            applied: Applied::default(),
            origin,
            wall,
            linked: false,
        };
        for delta in deltas {
            let park = match delta {
                Delta::Version { version, .. } => is_ahead(version.stamp, wall, self.limits.drift_ms_max),
                Delta::Conflict { .. } => false,
            };
            self.take_in(&mut staged, delta, park, log, Position::START);
        }
        (staged.commit, staged.applied)
    }

    /// Merges the parked deltas whose time has come; gives how many there were.
    pub(crate) fn release(&mut self, wall: Millis) -> Option<(Commit, u64)> {
        let due = |parked: &&Parked| !is_ahead(parked.version.stamp, wall, self.limits.drift_ms_max);
        let due: Vec<_> = self.store.live.parked.values().filter(due).cloned().collect();
        let origin = Origin::Local;
        let mut staged = Staged {
            commit: Commit::default(),
            applied: Applied::default(),
            origin,
            wall,
            linked: false,
        };
        let count = due.len() as u64;
        for Parked {
            key,
            version,
            log,
            after,
            ..
        } in due
        {
            staged.origin = Origin::Remote {
                replica: log.origin,
                log: log.log,
                position: after,
            };
            self.stage(
                &mut staged.commit,
                Op::Unpark {
                    stamp: version.stamp,
                    key: key.clone(),
                },
            );
            self.merge(&mut staged, key, version);
        }
        (count > 0).then_some((staged.commit, count))
    }

    /// Commits a single op.
    pub(crate) fn commit_op(&mut self, op: Op) -> Commit {
        let mut commit = Commit::default();
        self.stage(&mut commit, op);
        commit
    }

    /// Adds an op to a commit; later ones build on it.
    pub(crate) fn stage(&mut self, commit: &mut Commit, op: Op) {
        self.store.live.apply(&op);
        commit.ops.push(op);
    }

    fn take_in(&mut self, staged: &mut Staged, delta: &Delta, park: bool, log: LogInfo, after: Position) {
        match delta.clone() {
            Delta::Version { key, version } if park => {
                staged.applied.parked += 1;
                let weight = delta.weight() as u64;
                self.stage(
                    &mut staged.commit,
                    Op::Park(Parked {
                        key,
                        version,
                        log,
                        after,
                        weight,
                    }),
                );
            }
            Delta::Version { key, version } => self.merge(staged, key, version),
            Delta::Conflict { key, loser, winner } => {
                let origin = staged.origin;
                self.record_conflict(staged, key, loser, winner, origin);
            }
        }
    }

    fn merge(&mut self, staged: &mut Staged, key: Bytes, version: Version) {
        self.clock.observe(version.stamp);
        let current = self.store.live.versions.get(&key).cloned();
        let held = current.as_ref().map(|version| version.stamp);
        let bygone = version.stamp.time <= self.store.live.kept.collected;
        if held.is_none() && staged.linked && bygone && self.control != Control::EarlyCollection {
            staged.applied.duplicates += 1;
            return;
        }
        staged.commit.seen.push(Seen::Met {
            key: key.clone(),
            held,
            incoming: version.stamp,
        });
        match self.judge(current.as_ref(), &version) {
            Judgement::Duplicate | Judgement::Outdated => staged.applied.duplicates += 1,
            Judgement::Refused => {
                let winner = held.unwrap_or(version.stamp);
                self.record_conflict(staged, key, version, winner, Origin::Local);
            }
            judgement @ (Judgement::Overwrites | Judgement::Displaces) => {
                staged.applied.applied += 1;
                let winner = version.stamp;
                self.put(&mut staged.commit, key.clone(), version, staged.origin, staged.wall);
                if let (Judgement::Displaces, Some(loser)) = (judgement, current) {
                    self.record_conflict(staged, key, loser, winner, Origin::Local);
                }
            }
        }
    }

    fn judge(&self, current: Option<&Version>, incoming: &Version) -> Judgement {
        let none = Past::new();
        match self.control {
            Control::ArrivalOrderWins => match current {
                Some(current) if current.stamp == incoming.stamp => Judgement::Duplicate,
                _ => Judgement::Overwrites,
            },
            Control::PastsIgnored => judge(current.map(|version| (version.stamp, &none)), (incoming.stamp, &none)),
            _ => judge(
                current.map(|version| (version.stamp, &version.past)),
                (incoming.stamp, &incoming.past),
            ),
        }
    }

    /// Records a conflict's loser, once; one detected here also goes into the log, for the others.
    fn record_conflict(&mut self, staged: &mut Staged, key: Bytes, loser: Version, winner: Stamp, origin: Origin) {
        if self.store.live.conflicts.contains_key(&(key.clone(), loser.stamp)) {
            return;
        }
        staged.applied.conflicts += 1;
        let change = Change::conflict(key.clone(), loser.clone(), winner, origin, staged.wall);
        self.stage(&mut staged.commit, Op::Conflict { key, loser, winner });
        self.append(&mut staged.commit, change);
    }

    fn put(&mut self, commit: &mut Commit, key: Bytes, version: Version, origin: Origin, wall: Millis) {
        let change = Change {
            key: key.clone(),
            stamp: version.stamp,
            past: version.past.clone(),
            origin,
            commit_time: wall,
            transaction: None,
            body: Body::Item {
                deleted: version.is_tombstone(),
                effect: Effect::default(),
                images: Images::default(),
            },
        };
        self.stage(commit, Op::Put { key, version });
        self.append(commit, change);
    }

    fn append(&mut self, commit: &mut Commit, change: Change) {
        let log = log_of(self.id, partition_of(&change.key)).log;
        // Positions have gaps, as an engine's may.
        let position = Position(self.store.live.end(log).0 + 1 + change.stamp.time.0 % 3);
        self.stage(commit, Op::Append { log, position, change });
    }

    /// What is durable of it.
    pub(crate) fn durable(&self) -> &State {
        &self.store.durable
    }
}
