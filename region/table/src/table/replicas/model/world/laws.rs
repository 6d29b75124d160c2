//! What must hold in every world.

use super::{REGIONS, Rule, WRITES_MAX, World};
use crate::{schema::ReplicaStatus, table::TableStatus};

impl World {
    /// Whether what was acknowledged is in sight, but for replicas that were ordered away.
    pub(in super::super) fn is_in_sight(&self, rule: Rule) -> bool {
        let tables = self.all_tables();
        self.acknowledged.iter().all(|((at, id), (join, items))| {
            let shown = self.shown(rule, *at, &tables[*at]);
            let serves = matches!(shown, Some((_, TableStatus::Active | TableStatus::Updating)));
            let held = self.places[*at].items.get(id).copied().unwrap_or_default();
            let in_sight = serves && shown.is_some_and(|(shown, _)| shown == *id) && held & items == *items;
            in_sight || self.ordered.contains(&(*at, *id, *join))
        })
    }

    /// Whether a world in which nothing is left to happen is as it should be.
    pub(in super::super) fn is_settled(&self, rule: Rule) -> bool {
        let tables = self.all_tables();
        if tables.iter().any(|of| *of != tables[0]) {
            return false;
        }
        tables[0].iter().all(|(id, registers)| {
            let is_rest = |status| matches!(status, ReplicaStatus::Active | ReplicaStatus::Failed);
            let all_rest = registers.replicas.values().all(|entry| is_rest(entry.status));
            let members: Vec<usize> = (0..self.places.len())
                .filter(|at| {
                    let entry = registers.replicas.get(REGIONS[*at]);
                    entry.is_some_and(|entry| entry.status == ReplicaStatus::Active)
                })
                .collect();
            let items = |at: &usize| self.places[*at].items.get(id).copied().unwrap_or_default();
            let serve = members
                .iter()
                .all(|at| self.active(rule, *at, &tables[*at]) == Some(*id));
            let same = members.windows(2).all(|two| items(&two[0]) == items(&two[1]));
            registers.definition.is_none() || (all_rest && serve && same)
        })
    }

    /// Whether nobody has anything of a table but who made it or was asked to take it.
    pub(in super::super) fn is_kept_to_members(&self) -> bool {
        self.places.iter().enumerate().all(|(at, place)| {
            let others = !(((1 << WRITES_MAX) - 1) << (at as u32 * WRITES_MAX));
            let mut tables = place.items.iter();
            tables.all(|(id, items)| items & others == 0 || self.invited.contains(&(at, *id)))
        })
    }
}
