//! How far every member has applied what every member wrote, and what may therefore be gone. The rules are
//! `geodynamo_replicator_core::collect`.
//!
//! A mark is taken while no write of the table is under way, so everything that this replica wrote up to the mark's stamp is in
//! its logs by then. Members tell each other how they stand when they compare.

pub(crate) mod copies;
pub(crate) mod parked;

use std::{collections::BTreeMap, sync::Arc};

use geodynamo_replicator_core::{
    Hlc, ReplicaId, collect,
    verify::{Standing, Verified},
};
use geodynamo_storage::{Commit, Engine, Write};

use crate::{
    Result, Table,
    local::{
        Local,
        standings::{Kept, OfTable, kept_key},
        system::is_system,
    },
    log::Logs,
    progress::{copies::Copies, parked::Parking},
    schema::ReplicaStatus,
    table::{TableStatus, registers::pack},
};

/// How far every member of a table has applied what every member wrote.
pub(crate) struct Progress<E: Engine> {
    local: Arc<Local<E>>,
    logs: Arc<Logs<E>>,
    /// What is parked.
    pub(crate) parking: Arc<Parking>,
    /// The copies that this replica is fetching.
    pub(crate) copies: Arc<Copies>,
    /// Held by whoever raises what is kept of a table's standing.
    pub(crate) raising: tokio::sync::Mutex<()>,
}

impl<E: Engine> Progress<E> {
    pub(crate) fn new(
        local: &Arc<Local<E>>,
        logs: &Arc<Logs<E>>,
        parking: &Arc<Parking>,
        copies: &Arc<Copies>,
    ) -> Self {
        Self {
            local: Arc::clone(local),
            logs: Arc::clone(logs),
            parking: Arc::clone(parking),
            copies: Arc::clone(copies),
            raising: tokio::sync::Mutex::default(),
        }
    }

    /// How this replica stands with a table, now.
    pub(crate) async fn standing(&self, table: &Table) -> Result<Standing> {
        let stamp = self.mark(table).await?;
        let members = self.members(table);
        // Who has acknowledged a log that has lost records need not have all that it told.
        let is_whole = self.local.store().distrusted().now().is_empty();
        let (own, agreed) = {
            let mut all = self.local.standings().0.lock();
            let of = all.entry(table.id()).or_default();
            if is_whole && let Some(reached) = of.marks.reached(|log| self.logs.applied_everywhere(table, log)) {
                of.everywhere = of.everywhere.max(reached);
            }
            let own = Standing {
                stamp,
                everywhere: of.everywhere,
                settled: self.settled_to(table),
                ..Standing::default()
            };
            let agreed = members
                .filter(|_| is_whole)
                .map(|members| collect::agreed(of.standings(&members, &own)));
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
    pub(crate) fn collectable(&self, table: &Table, own: &Standing) -> Hlc {
        let Some(members) = self.members(table) else {
            return Hlc(0);
        };
        let all = self.local.standings().0.lock();
        let none = OfTable::default();
        collect::collectable(all.get(&table.id()).unwrap_or(&none).standings(&members, own))
    }

    /// The other members of a table; `None` while it is not known who they are going to be, or what one of them lacks: while
    /// a join, a removal or a relay is under way.
    fn members(&self, table: &Table) -> Option<Vec<ReplicaId>> {
        if is_system(table.id())
            || !matches!(table.status(), TableStatus::Active)
            || !table.registers.relays.is_empty()
            || table.registers.is_being_filled(self.local.region())
            || self.copies.lock().contains_key(&table.id())
        {
            return None;
        }
        let mut members = Vec::new();
        for (region, entry) in &table.registers.replicas {
            match entry.status {
                // It never was one.
                ReplicaStatus::Failed => {}
                ReplicaStatus::Active if region == self.local.region() => {}
                ReplicaStatus::Active => members.push(ReplicaId(entry.incarnation?)),
                ReplicaStatus::Creating | ReplicaStatus::Deleting => return None,
            }
        }
        Some(members)
    }

    /// Nothing up to here is parked, nor will be: what is parked is ahead of local time.
    fn settled_to(&self, table: &Table) -> Hlc {
        let now = Hlc::from_millis(self.local.orderer().time.now_ms());
        let parked = self.parking.oldest_of(table.id());
        parked.map_or(now, |parked| now.min(Hlc(parked.time.0.saturating_sub(1))))
    }

    async fn mark(&self, table: &Table) -> Result<Hlc> {
        // Writes under way end first; later ones have greater stamps.
        let closed = table.live.gate.close().await;
        let stamp = self.local.orderer().last();
        let mut ends = Vec::new();
        for info in self.local.logs_of(table) {
            ends.push((info.log, self.logs.stored_end(info.log).await?));
        }
        drop(closed);
        if !is_system(table.id()) {
            let mut all = self.local.standings().0.lock();
            all.entry(table.id()).or_default().marks.add(stamp, ends);
        }
        Ok(stamp)
    }

    /// A region has told how it stands.
    pub(crate) fn heard_from(&self, table: &Table, region: &str, standing: &Standing) {
        let incarnation = table.registers.replicas.get(region).and_then(|entry| entry.incarnation);
        if let Some(replica) = incarnation {
            let standings = &self.local.standings();
            standings.heard(table.id(), ReplicaId(replica), standing);
        }
    }

    /// Raises what is kept of a table, durably, before anybody goes by it.
    pub(crate) async fn raise_kept(&self, table: &Table, raise: impl FnOnce(&mut Kept)) -> Result<Kept> {
        let id = table.id();
        let _raising = self.raising.lock().await;
        let known = self.local.standings().kept(id);
        let mut kept = known;
        raise(&mut kept);
        if kept == known {
            return Ok(kept);
        }
        let _inside = table.live.gate.enter_or_gone().await?;
        let commit = Commit {
            writes: vec![Write::Put(kept_key(id), pack(&kept)?)],
            makes_room: true,
            ..Commit::default()
        };
        self.local.store().commit(commit).await?;
        self.local.standings().0.lock().entry(id).or_default().kept = kept;
        Ok(kept)
    }

    /// Up to which stamps a verification has shown two regions to be equal: of the two, as they stood when it began; of
    /// others, up to where their writes are applied everywhere.
    pub(crate) fn equal_up_to(&self, table: &Table, peer: &str, verified: &Verified) -> BTreeMap<String, Hlc> {
        let mut up_to = BTreeMap::from([
            (self.local.region().to_owned(), verified.own.stamp),
            (peer.to_owned(), verified.peer.stamp),
        ]);
        let all = self.local.standings().0.lock();
        let Some(of) = all.get(&table.id()) else {
            return up_to;
        };
        for (region, entry) in table
            .other_replicas(self.local.region())
            .filter(|(region, _)| *region != peer)
        {
            let told = entry.incarnation.and_then(|replica| of.told.get(&ReplicaId(replica)));
            up_to.insert(region.clone(), told.map_or(Hlc(0), |told| told.everywhere));
        }
        up_to
    }
}
