//! The laws, checked against the oracle.

use std::collections::BTreeMap;

use bytes::Bytes;
use geodynamo_replicator_core::{Body, LogId, Position, Stamp, Version};

use crate::{collect::is_forgotten, store::State, trace::Law, world::World};

impl World {
    /// Whether the world has come to rest: everyone up, everything durable, sent, acknowledged and released.
    pub(crate) fn is_at_rest(&self) -> bool {
        let members = &self.replicas[..self.members];
        members.iter().all(|replica| {
            let durable = replica.durable();
            let has_all = members.iter().filter(|peer| peer.id != replica.id).all(|peer| {
                let cursor = |log| durable.cursor(log).unwrap_or_default();
                peer.logs()
                    .iter()
                    .all(|info| cursor(info.log) >= peer.durable().end(info.log))
            });
            replica.is_active() && !replica.store.has_pending() && durable.parked.is_empty() && has_all
        })
    }

    /// What keeps the world from coming to rest.
    pub(crate) fn unrest(&self) -> String {
        let members = &self.replicas[..self.members];
        let mut out = String::new();
        for replica in members {
            let durable = replica.durable();
            out += &format!(
                "region {}: parked {}, pending {}",
                replica.region,
                durable.parked.len(),
                replica.store.pending()
            );
            out += &format!(", copied {};", durable.copy.done);
            for peer in members.iter().filter(|peer| peer.id != replica.id) {
                for info in peer.logs() {
                    let (cursor, end) = (
                        durable.cursor(info.log).unwrap_or_default(),
                        peer.durable().end(info.log),
                    );
                    if cursor < end {
                        out += &format!(" at {cursor} of {end} of a log of region {};", peer.region);
                    }
                }
            }
        }
        out
    }

    /// Everything that must hold once the world is at rest.
    pub(crate) fn check_all(&mut self) {
        for region in 0..self.members {
            self.check_cursors(region);
            self.check_logs(region);
            self.check_winners(region);
            self.check_conflicts(region);
        }
        self.check_acknowledged();
        for region in 1..self.members {
            let (first, other) = (self.replicas[0].durable(), self.replicas[region].durable());
            let kept = |state: &State| -> Vec<_> {
                let collected = first.kept.collected.max(other.kept.collected);
                let mut versions: Vec<_> = state.versions.clone().into_iter().collect();
                versions.retain(|(_, version)| !(version.is_tombstone() && is_forgotten(collected, version.stamp)));
                versions
            };
            if kept(first) != kept(other) {
                self.broken(
                    Law::Converges,
                    format!("regions 0 and {region} hold different versions"),
                );
                return;
            }
            let losers = |state: &State| -> Vec<_> {
                state
                    .conflicts
                    .iter()
                    .map(|(place, (loser, _))| (place.clone(), loser.clone()))
                    .collect()
            };
            if losers(first) != losers(other) {
                self.broken(
                    Law::Conflicts,
                    format!("regions 0 and {region} hold different conflict records"),
                );
                return;
            }
        }
    }

    /// Law 6: up to its cursor, a region has durably applied or parked everything of a log.
    pub(crate) fn check_cursors(&mut self, region: usize) {
        let replica = &self.replicas[region];
        let durable = replica.durable();
        if !durable.copy.done {
            // The cursors are the source's until the copy is whole.
            return;
        }
        let mut missing = None;
        for peer in self.replicas[..self.members]
            .iter()
            .filter(|peer| peer.id != replica.id)
        {
            for info in peer.logs() {
                let cursor = durable.cursor(info.log).unwrap_or_default();
                let log = peer.durable().logs.get(&info.log).map_or(&[][..], Vec::as_slice);
                for (position, change) in log.iter().take_while(|(position, _)| *position <= cursor) {
                    let is_there = match &change.body {
                        _ if !change.is_local() => true,
                        Body::Conflict { .. } => durable.conflicts.contains_key(&(change.key.clone(), change.stamp)),
                        Body::Item { .. } => holds(durable, &change.key, change.stamp),
                    };
                    if !is_there {
                        missing = Some((peer.region, *position, cursor, change.key.clone(), change.stamp));
                    }
                }
            }
        }
        if let Some((peer, position, cursor, key, stamp)) = missing {
            let what = format!("{key:?} {stamp} at {position} of a log of region {peer}");
            let detail = format!("region {region} has a cursor at {cursor}, but lacks {what}");
            self.broken(Law::CursorsAndLinks, detail);
        }
    }

    /// Law 8: per item, the stamps in a log only grow, and its positions too.
    fn check_logs(&mut self, region: usize) {
        let mut last: BTreeMap<(LogId, &Bytes), Stamp> = BTreeMap::new();
        let mut fault = None;
        for (id, log) in &self.replicas[region].durable().logs {
            let mut end = Position::START;
            for (position, change) in log {
                if *position <= end {
                    fault = Some(format!("a log of region {region} has {position} after {end}"));
                }
                end = *position;
                if change.loser().is_some() {
                    continue;
                }
                let before = last.insert((*id, &change.key), change.stamp);
                if before.is_some_and(|before| before >= change.stamp) {
                    fault = Some(format!(
                        "a log of region {region} has {} of {:?} after {before:?}",
                        change.stamp, change.key
                    ));
                }
            }
        }
        if let Some(detail) = fault {
            self.broken(Law::Logs, detail);
        }
    }

    /// Laws 3 and 5: a region holds, of each key, the greatest stamp ever written, with what was written.
    fn check_winners(&mut self, region: usize) {
        let durable = self.replicas[region].durable();
        let greatest = self.oracle.greatest();
        let collected = durable.kept.collected;
        let gone = |version: &Version| version.is_tombstone() && is_forgotten(collected, version.stamp);
        let wrong = greatest
            .iter()
            .find(|(key, version)| match durable.versions.get(**key) {
                Some(held) => held != **version,
                None => !gone(version),
            });
        if let Some((key, version)) = wrong {
            let held = durable.versions.get(*key).map(|held| held.stamp);
            let detail = format!(
                "region {region} holds {held:?} of {key:?}, the greatest written is {}",
                version.stamp
            );
            let law = if version.is_tombstone() {
                Law::NothingComesBack
            } else {
                Law::GreatestStampWins
            };
            return self.broken(law, detail);
        }
        if !durable.versions.keys().all(|key| greatest.contains_key(key)) {
            self.broken(Law::Converges, format!("region {region} holds keys that nobody wrote"));
        }
    }

    /// Law 7: a region has recorded exactly the losers.
    fn check_conflicts(&mut self, region: usize) {
        let durable = self.replicas[region].durable();
        let missing = self
            .oracle
            .losers
            .iter()
            .find(|loser| !durable.conflicts.contains_key(loser));
        let spurious = durable
            .conflicts
            .keys()
            .find(|loser| !self.oracle.losers.contains(loser));
        let detail = match (missing, spurious) {
            (Some((key, stamp)), _) => format!("region {region} lacks the record that {stamp} of {key:?} lost"),
            (_, Some((key, stamp))) => {
                format!("region {region} records that {stamp} of {key:?} lost, which it did not")
            }
            (None, None) => return,
        };
        self.broken(Law::Conflicts, detail);
    }

    /// Laws 1 and 8: every acknowledged write is in the log of the region that took it.
    fn check_acknowledged(&mut self) {
        let mut logged = std::collections::BTreeSet::new();
        for replica in &self.replicas {
            let changes = replica.durable().logs.values().flatten().map(|(_, change)| change);
            logged.extend(
                changes
                    .filter(|c| c.is_local() && c.loser().is_none())
                    .map(|c| (c.key.clone(), c.stamp)),
            );
        }
        if let Some((key, stamp)) = self.oracle.acknowledged.iter().find(|write| !logged.contains(write)) {
            let region = self
                .oracle
                .written
                .get(&(key.clone(), *stamp))
                .map(|written| written.region);
            let detail = format!("the acknowledged write {stamp} of {key:?} in region {region:?} is in no log");
            self.broken(Law::Durable, detail);
        }
    }
}

/// Whether a state holds that version of a key, or a newer one, or has one parked.
fn holds(state: &State, key: &Bytes, stamp: Stamp) -> bool {
    let held = state.versions.get(key);
    held.is_some_and(|version| version.stamp >= stamp)
        || (held.is_none() && stamp.time <= state.kept.collected)
        || state
            .parked
            .values()
            .any(|parked| parked.key == *key && parked.version.stamp >= stamp)
}
