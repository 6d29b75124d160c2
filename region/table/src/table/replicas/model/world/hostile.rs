//! A region that gives itself a replica.

use super::{REGIONS, Rule, World, spend};
use crate::{
    schema::{ReplicaEntry, ReplicaStatus},
    table::registers::Change,
    table::registers::{Setting, pack},
    table::replicas,
};

impl World {
    /// A region that has no table of the name says that it is to have one that it was not asked to take.
    pub(super) fn forge(&mut self, rule: Rule, at: usize) -> Option<()> {
        spend(&mut self.left.forges)?;
        let tables = self.places[at].tables();
        // One that has a table of the name would take its own away.
        if self.holder(rule, at, &tables).is_some() {
            return None;
        }
        let id = *tables.keys().find(|id| !self.invited.contains(&(at, **id)))?;
        let join = self.places[at].number();
        self.set(at, id, self.forged(at, join));
        Some(())
    }

    /// All that a region can say about itself in the names of others.
    fn forged(&self, at: usize, join: u64) -> Vec<Change> {
        let me = REGIONS[at].to_owned();
        let mut changes = Vec::new();
        for other in REGIONS.iter().take(self.places.len()).filter(|other| **other != me) {
            let promise = Some(pack(&join).unwrap());
            changes.push((Setting::Admission(me.clone(), (*other).into()), promise.clone()));
            changes.push((Setting::Relay(me.clone(), (*other).into()), promise));
            changes.push(replicas::create_request(&me, other, join, self.now).unwrap());
        }
        let own = replicas::founder(join, self.places[at].incarnation, self.now);
        let own = ReplicaEntry {
            status: ReplicaStatus::Creating,
            ..own
        };
        changes.push((Setting::Replica(me), Some(pack(&own).unwrap())));
        changes
    }
}
