//! Replicas that are lost: who gives them up, and what the others relay for them.

use geodynamo_replicator_core::{Millis, Stamp};
use xxhash_rust::xxh3::xxh3_64;

use crate::{
    Result,
    schema::ReplicaStatus,
    table::registers::{Change, Registers, Setting, pack},
};

/// How long a replica that is being removed may take to say that it is gone, in milliseconds: well above the time that it
/// waits for the others to have its writes. After that it is given up.
pub const GIVEN_UP_MS: Millis = 120_000;

/// The registers that order every member to fetch from every survivor. `stamp` makes the orders new ones.
pub(crate) fn relays(members: &[&String], survivors: &[&String], stamp: Stamp) -> Result<Vec<Change>> {
    let mut changes = Vec::new();
    for (number, (member, source)) in members
        .iter()
        .flat_map(|member| survivors.iter().map(move |source| (*member, *source)))
        .filter(|(member, source)| member != source)
        .enumerate()
    {
        let mut seed = stamp.to_bytes().to_vec();
        seed.extend_from_slice(&(number as u64).to_be_bytes());
        let setting = Setting::Relay(member.clone(), source.clone());
        changes.push((setting, Some(pack(&xxh3_64(&seed))?)));
    }
    Ok(changes)
}

impl Registers {
    /// The relay that a member should fetch next, of those whose source can give it: its number and its source. One that
    /// has begun goes first.
    pub(crate) fn relay_due(&self, member: &str, begun: impl Fn(u64) -> bool) -> Option<(u64, &String)> {
        let is_active = |region: &str| {
            let entry = self.replicas.get(region);
            entry.is_some_and(|entry| entry.status == ReplicaStatus::Active)
        };
        if !is_active(member) {
            return None;
        }
        let due = || {
            let own = self.relays.iter().filter(|((of, _), _)| of == member);
            own.filter(|((_, source), _)| is_active(source))
                .map(|((_, source), number)| (*number, source))
        };
        let goes_on = due().find(|(number, _)| begun(*number));
        goes_on.or_else(|| due().next())
    }

    fn active(&self) -> Vec<&String> {
        let active = self.replicas.iter();
        let active = active.filter(|(_, entry)| entry.status == ReplicaStatus::Active);
        active.map(|(region, _)| region).collect()
    }

    /// The replicas that a member is to give up: being removed, and silent for so long that it is the member's turn.
    pub(crate) fn lost(&self, member: &str, now: Millis) -> Vec<&String> {
        let Some(turn) = self.active().iter().position(|region| *region == member) else {
            return Vec::new();
        };
        let patience = GIVEN_UP_MS.saturating_mul(turn as Millis + 1);
        let is_lost =
            |status, since_ms: Millis| status == ReplicaStatus::Deleting && now >= since_ms.saturating_add(patience);
        let lost = self.replicas.iter();
        let lost = lost.filter(|(_, entry)| is_lost(entry.status, entry.since_ms));
        lost.map(|(region, _)| region).collect()
    }

    /// The registers once a member has given up what is lost; `stamp` makes the relays new ones.
    pub(crate) fn given_up(&self, member: &str, now: Millis, stamp: Stamp) -> Result<Vec<Change>> {
        let lost = self.lost(member, now).into_iter();
        let gone = lost.flat_map(|region| self.settings_of(region));
        let mut changes: Vec<Change> = gone.map(|setting| (setting, None)).collect();
        if !changes.is_empty() {
            changes.extend(relays(&self.active(), &self.active(), stamp)?);
        }
        Ok(changes)
    }

    /// Whether a member that serves was ordered to fetch a relay of this number from a source.
    pub(crate) fn relays_to(&self, member: &str, source: &str, number: u64) -> bool {
        let is_active = self
            .replicas
            .get(member)
            .is_some_and(|entry| entry.status == ReplicaStatus::Active);
        is_active && self.relays.get(&(member.to_owned(), source.to_owned())) == Some(&number)
    }
}
