//! Tombstones are collected in a world, by the core's own rules, while everything else happens.

use std::collections::BTreeMap;

use bytes::Bytes;
use geodynamo_replicator_core::{
    Hlc, LogId, Position, ReplicaId, Stamp,
    collect::{self, Marks},
    verify::Standing,
};

use crate::{control::Control, event::Event, store::Op, world::World};

/// What a replica knows of how everybody stands. A crash forgets it.
#[derive(Debug, Default)]
pub(crate) struct Standings {
    marks: Marks,
    everywhere: Hlc,
    told: BTreeMap<ReplicaId, Standing>,
    /// How far each region has acknowledged this replica's logs.
    acked: BTreeMap<(usize, LogId), Position>,
}

impl World {
    /// A region looks at what it may forget, and tells the others how it stands.
    pub(crate) fn collect(&mut self, region: usize) {
        let wait = self.rng.between(300, 1_500);
        self.plan_in(wait, Event::Collect(region));
        let others: Vec<usize> = (0..self.members).filter(|other| *other != region).collect();
        let joining = self.replicas[..self.members]
            .iter()
            .any(|replica| !replica.durable().copy.done);
        let replica = &self.replicas[region];
        // A mark waits for the writes under way; while somebody joins, nobody knows what he lacks.
        if !replica.is_active() || replica.store.has_pending() || joining {
            return;
        }
        let ids: Vec<ReplicaId> = others.iter().map(|other| self.replicas[*other].id).collect();
        let wall = replica.wall(self.now);
        let replica = &mut self.replicas[region];
        let stamp = replica.clock.last();
        let ends = replica.logs().into_iter();
        let ends = ends.map(|info| (info.log, replica.durable().end(info.log)));
        let ends = ends.collect();
        let standings = &mut replica.standings;
        standings.marks.add(stamp, ends);
        let applied = |log| {
            let acked = others
                .iter()
                .map(|other| standings.acked.get(&(*other, log)).copied().unwrap_or_default());
            acked.min().unwrap_or_default()
        };
        let reached = standings.marks.reached(applied);
        standings.everywhere = standings.everywhere.max(reached.unwrap_or_default());
        let durable = replica.store.durable.kept;
        let parked = replica
            .store
            .durable
            .parked
            .values()
            .map(|parked| parked.version.stamp.time);
        let settled = parked.min().map_or(Hlc::from_millis(wall), |parked| {
            Hlc::from_millis(wall).min(Hlc(parked.0.saturating_sub(1)))
        });
        let own = Standing {
            stamp,
            everywhere: replica.standings.everywhere,
            settled,
            agreed: durable.agreed,
            ..Standing::default()
        };
        let all = || ids.iter().map(|id| replica.standings.told.get(id)).chain([Some(&own)]);
        let mut kept = durable;
        kept.agreed = kept.agreed.max(collect::agreed(all()));
        kept.collected = kept.collected.max(collect::collectable(all()));
        if self.control == Control::EarlyCollection {
            kept.collected = stamp;
        }
        for other in others {
            if !self.is_cut(region, other) {
                let wait = self.rng.between(5, 400);
                let (from, standing) = (self.replicas[region].id, own.clone());
                self.plan_in(
                    wait,
                    Event::Told {
                        to: other,
                        from,
                        standing,
                    },
                );
            }
        }
        let replica = &mut self.replicas[region];
        let mut commit = replica.commit_op(Op::Kept(kept));
        // Only what was durable before: who goes by it may crash.
        let gone = |(key, version): (&Bytes, &geodynamo_replicator_core::Version)| {
            let goes = version.is_tombstone() && !version.stamp.expiry && version.stamp.time <= durable.collected;
            goes.then(|| key.clone())
        };
        let gone: Vec<Bytes> = replica.store.live.versions.iter().filter_map(gone).collect();
        self.totals.collected += gone.len() as u64;
        for key in gone {
            let replica = &mut self.replicas[region];
            replica.stage(&mut commit, Op::Forget(key));
        }
        self.commit(region, commit);
    }

    /// A replica has told how it stands.
    pub(crate) fn told(&mut self, to: usize, from: ReplicaId, standing: &Standing) {
        let replica = &mut self.replicas[to];
        if !replica.is_up {
            return;
        }
        let known = replica.standings.told.entry(from).or_default();
        known.everywhere = known.everywhere.max(standing.everywhere);
        known.settled = known.settled.max(standing.settled);
        known.agreed = known.agreed.max(standing.agreed);
    }

    /// A region has acknowledged a log of another one.
    pub(crate) fn acked(&mut self, of: usize, by: usize, log: LogId, up_to: Position) {
        let known = self.replicas[of].standings.acked.entry((by, log)).or_default();
        *known = (*known).max(up_to);
    }
}

/// Up to where a region has, or may have, forgotten tombstones.
pub(crate) fn is_forgotten(collected: Hlc, stamp: Stamp) -> bool {
    !stamp.expiry && stamp.time <= collected
}
