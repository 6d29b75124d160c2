//! How far every member has applied what every member wrote, and what may therefore be gone. The rules are
//! `geodynamo_replicator_core::collect`.
//!
//! A mark is taken while no write of the table is under way, so everything that this replica wrote up to the mark's stamp is in
//! its logs by then. Members tell each other how they stand when they compare.

use std::collections::BTreeMap;

use bytes::Bytes;
use geodynamo_replicator_core::{
    Hlc, ReplicaId,
    collect::{self, Marks},
    verify::{Horizons, Standing, Verified},
};
use geodynamo_storage::{Commit, Engine, Write};
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};

use crate::{
    Result, Table, TableError, Tables,
    layout::keys,
    local::system::is_system,
    schema::ReplicaStatus,
    table::{TableStatus, registers::pack},
};

/// The system key of what is kept of a table, before its id.
const KEPT_KEY: &str = "standing/";

/// How this replica and others stand with tables.
#[derive(Debug, Default)]
pub(crate) struct Standings(Mutex<BTreeMap<u64, OfTable>>);

#[derive(Debug, Default)]
struct OfTable {
    marks: Marks,
    /// Up to where what this replica wrote is applied everywhere.
    everywhere: Hlc,
    /// What other replicas have told.
    told: BTreeMap<ReplicaId, Standing>,
    kept: Kept,
}

/// What outlives a restart.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Kept {
    /// What this replica has agreed to.
    #[serde(rename = "a")]
    pub(crate) agreed: Hlc,
    /// Up to where tombstones may have been collected.
    #[serde(rename = "t")]
    pub(crate) collected: Hlc,
    /// Up to where conflict records may have been dropped.
    #[serde(rename = "c")]
    pub(crate) dropped: Hlc,
}

pub(crate) fn kept_key(table: u64) -> Bytes {
    keys::system(&format!("{KEPT_KEY}{table:016x}"))
}

impl Standings {
    /// From the system's keys.
    pub(crate) fn load(rows: &[(Bytes, Bytes)]) -> Result<Self> {
        let mut all = BTreeMap::new();
        for (key, value) in rows {
            let name = keys::rest(key);
            let table = std::str::from_utf8(&name)
                .ok()
                .and_then(|name| name.strip_prefix(KEPT_KEY));
            let Some(table) = table.and_then(|hex| u64::from_str_radix(hex, 16).ok()) else {
                continue;
            };
            let kept = rmp_serde::from_slice(value)
                .map_err(|error| TableError::Corrupt(format!("a table's standing cannot be read: {error}")))?;
            let of = OfTable {
                kept,
                ..OfTable::default()
            };
            all.insert(table, of);
        }
        Ok(Self(Mutex::new(all)))
    }

    /// The greatest stamp that was agreed to, of any table.
    pub(crate) fn agreed(&self) -> Hlc {
        let all = self.0.lock();
        all.values().map(|of| of.kept.agreed).max().unwrap_or_default()
    }

    /// A replica has told how it stands. What it says only grows.
    pub(super) fn heard(&self, table: u64, replica: ReplicaId, standing: &Standing) {
        let mut all = self.0.lock();
        let known = all.entry(table).or_default().told.entry(replica).or_default();
        known.stamp = known.stamp.max(standing.stamp);
        known.everywhere = known.everywhere.max(standing.everywhere);
        known.settled = known.settled.max(standing.settled);
        known.agreed = known.agreed.max(standing.agreed);
    }

    pub(super) fn forget(&self, table: u64) {
        self.0.lock().remove(&table);
    }

    /// What is kept of a table.
    pub(crate) fn kept(&self, table: u64) -> Kept {
        self.0.lock().get(&table).map(|of| of.kept).unwrap_or_default()
    }
}

impl<E: Engine> Tables<E> {
    /// How this replica stands with a table, now.
    pub(super) async fn standing(&self, table: &Table) -> Result<Standing> {
        let stamp = self.mark(table).await?;
        let members = self.members(table);
        let (own, agreed) = {
            let mut all = self.verifications().standings.0.lock();
            let of = all.entry(table.id()).or_default();
            if let Some(reached) = of.marks.reached(|log| self.applied_everywhere(table, log)) {
                of.everywhere = of.everywhere.max(reached);
            }
            let own = Standing {
                stamp,
                everywhere: of.everywhere,
                settled: self.settled_to(table),
                ..Standing::default()
            };
            let agreed = members.map(|members| collect::agreed(of.standings(&members, &own)));
            (own, agreed.unwrap_or_default())
        };
        let kept = self
            .raise_kept(table, |kept| kept.agreed = kept.agreed.max(agreed))
            .await?;
        Ok(Standing {
            agreed: kept.agreed,
            collected: kept.collected,
            dropped: kept.dropped,
            ..own
        })
    }

    /// Agrees to what the source of this replica's copy has agreed to: the copy has everything up to there.
    pub(crate) async fn agree(&self, table: &Table, to: Hlc) -> Result<()> {
        self.raise_kept(table, |kept| kept.agreed = kept.agreed.max(to))
            .await
            .map(drop)
    }

    /// Up to where tombstones of a table may go, as far as this replica knows.
    pub(super) fn collectable(&self, table: &Table, own: &Standing) -> Hlc {
        let Some(members) = self.members(table) else {
            return Hlc(0);
        };
        let all = self.verifications().standings.0.lock();
        let none = OfTable::default();
        collect::collectable(all.get(&table.id()).unwrap_or(&none).standings(&members, own))
    }

    /// The other members of a table; `None` while it is not known who they are going to be, or what one of them lacks: while
    /// a join, a removal or a relay is under way.
    fn members(&self, table: &Table) -> Option<Vec<ReplicaId>> {
        if is_system(table.id())
            || !matches!(table.status(), TableStatus::Active)
            || !table.registers.relays.is_empty()
            || table.registers.is_being_filled(self.region())
            || self.copies.lock().contains_key(&table.id())
        {
            return None;
        }
        let mut members = Vec::new();
        for (region, entry) in &table.registers.replicas {
            match entry.status {
                // It never was one.
                ReplicaStatus::Failed => {}
                ReplicaStatus::Active if region == self.region() => {}
                ReplicaStatus::Active => members.push(ReplicaId(entry.incarnation?)),
                ReplicaStatus::Creating | ReplicaStatus::Deleting => return None,
            }
        }
        Some(members)
    }

    /// Nothing up to here is parked, nor will be: what is parked is ahead of local time.
    fn settled_to(&self, table: &Table) -> Hlc {
        let now = Hlc::from_millis(self.orderer().time.now_ms());
        let parked = self.parking().oldest_of(table.id());
        parked.map_or(now, |parked| now.min(Hlc(parked.time.0.saturating_sub(1))))
    }

    async fn mark(&self, table: &Table) -> Result<Hlc> {
        // Writes under way end first; later ones have greater stamps.
        let gate = table.live.gate.write().await;
        let stamp = self.orderer().last();
        let mut ends = Vec::new();
        for info in self.logs_of(table) {
            ends.push((info.log, self.stored_end(info.log).await?));
        }
        drop(gate);
        if !is_system(table.id()) {
            let mut all = self.verifications().standings.0.lock();
            all.entry(table.id()).or_default().marks.add(stamp, ends);
        }
        Ok(stamp)
    }

    /// A region has told how it stands.
    pub(super) fn heard_from(&self, table: &Table, region: &str, standing: &Standing) {
        let incarnation = table.registers.replicas.get(region).and_then(|entry| entry.incarnation);
        if let Some(replica) = incarnation {
            let standings = &self.verifications().standings;
            standings.heard(table.id(), ReplicaId(replica), standing);
        }
    }

    /// What may have been taken away here.
    pub(super) fn horizons(&self, table: u64) -> Horizons {
        let kept = self.verifications().standings.kept(table);
        Horizons {
            collected: kept.collected,
            dropped: kept.dropped,
        }
    }

    /// Raises what is kept of a table, durably, before anybody goes by it.
    pub(super) async fn raise_kept(&self, table: &Table, raise: impl FnOnce(&mut Kept)) -> Result<Kept> {
        let id = table.id();
        let _raising = self.verifications().raising.lock().await;
        let known = self.verifications().standings.kept(id);
        let mut kept = known;
        raise(&mut kept);
        if kept == known {
            return Ok(kept);
        }
        let gate = table.live.gate.read().await;
        if gate.0 {
            return Err(TableError::no_table());
        }
        let commit = Commit {
            writes: vec![Write::Put(kept_key(id), pack(&kept)?)],
            makes_room: true,
            ..Commit::default()
        };
        self.store().commit(commit).await?;
        self.verifications().standings.0.lock().entry(id).or_default().kept = kept;
        drop(gate);
        Ok(kept)
    }

    /// Up to which stamps a verification has shown two regions to be equal: of the two, as they stood when it began; of
    /// others, up to where their writes are applied everywhere.
    pub(super) fn equal_up_to(&self, table: &Table, peer: &str, verified: &Verified) -> BTreeMap<String, Hlc> {
        let mut up_to = BTreeMap::from([
            (self.region().to_owned(), verified.own.stamp),
            (peer.to_owned(), verified.peer.stamp),
        ]);
        let all = self.verifications().standings.0.lock();
        let Some(of) = all.get(&table.id()) else {
            return up_to;
        };
        for (region, entry) in table
            .other_replicas(self.region())
            .filter(|(region, _)| *region != peer)
        {
            let told = entry.incarnation.and_then(|replica| of.told.get(&ReplicaId(replica)));
            up_to.insert(region.clone(), told.map_or(Hlc(0), |told| told.everywhere));
        }
        up_to
    }
}

impl OfTable {
    /// What every member has told: others, and this replica itself.
    fn standings<'a>(
        &'a self,
        others: &'a [ReplicaId],
        own: &'a Standing,
    ) -> impl Iterator<Item = Option<&'a Standing>> {
        others.iter().map(|member| self.told.get(member)).chain([Some(own)])
    }
}
