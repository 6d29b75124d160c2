//! Holding another replica's rows against own ones, and healing what is lacking here.

use std::{collections::BTreeMap, time::Duration};

use geodynamo_replicator_core::{
    ApplyError, CopyMark, Delta, Hlc, LogInfo, Origin, Peer, Position, Stamp, TableId, Version,
    verify::{Compared, Horizons, Listing, RowKind, Stretch},
};
use geodynamo_storage::{Engine, Write};
use tokio::time::{Instant, sleep};

use super::{
    HealReason, HealedRow,
    rows::{Side, is_left_out, place},
};
use crate::{
    Result, StoredItem, Table, TableError,
    layout::{
        index::ItemKey,
        keys,
        record::{self, Record},
    },
    local::{
        order::latch_of,
        system::{is_system, key_at},
    },
    schema::ReplicaStatus,
    table::replicas::Way,
    verify::Verify,
    write::{KeyChange, Staged},
};

/// How long what the answerer had may take to arrive by the links.
const SETTLE: Duration = Duration::from_secs(3);
/// How often it is looked whether it has.
const SETTLE_POLL: Duration = Duration::from_millis(20);

impl<E: Engine> Verify<E> {
    /// Waits until everything that the answerer had applied is applied here, too; gives whether it is.
    ///
    /// Logs of replicas that are no members any more do not count: nobody sends them. Of a system table it is not known who is
    /// lost: there the answerer's own logs count, and others are waited for, but not for ever.
    async fn settled(&self, table: &Table, peer: &Peer, applied: &[(LogInfo, Position)]) -> bool {
        let is_sent = |info: &LogInfo| {
            if info.origin == self.local.replica() || info.table.0 != table.id() {
                return false;
            }
            if is_system(table.id()) {
                return self.merge.cursors.get(table.id(), info.log).is_some();
            }
            let mut members = table.registers.replicas.values();
            members.any(|entry| entry.status == ReplicaStatus::Active && entry.incarnation == Some(info.origin.0))
        };
        let sent: Vec<_> = applied.iter().filter(|(info, _)| is_sent(info)).collect();
        let until = Instant::now() + SETTLE;
        loop {
            let is_behind = |(info, at): &&&(LogInfo, Position)| {
                self.merge.cursors.get(table.id(), info.log).unwrap_or_default() < *at
            };
            let mut behind = sent.iter().filter(is_behind).peekable();
            if behind.peek().is_none() {
                return true;
            }
            if Instant::now() >= until {
                return is_system(table.id()) && behind.all(|(info, _)| info.origin != peer.replica);
            }
            sleep(SETTLE_POLL).await;
        }
    }

    /// Holds all that the answerer has in a stretch against own rows.
    #[expect(clippy::too_many_arguments, reason = "a task's fields, one by one")]
    pub(crate) async fn compare(
        &self,
        table: &Table,
        peer: &Peer,
        kind: RowKind,
        stretch: &Stretch,
        listing: Listing,
        begun: Hlc,
        horizons: Horizons,
    ) -> Result<Compared> {
        let settled = self.settled(table, peer, &listing.applied).await;
        let horizons = Horizons {
            collected: horizons.collected.max(self.local.horizons(table.id()).collected),
            dropped: horizons.dropped.max(self.local.horizons(table.id()).dropped),
        };
        // Own rows now, a bounded number: the answerer is told of what it lacks by stretches anyway.
        let rows_max = listing.rows.len() + geodynamo_replicator_core::verify::LIST_ROWS_MAX;
        let (own, more) = self
            .held_rows(table, kind, stretch, rows_max, horizons, Side::Asks)
            .await?;
        // Behind the last of them nothing is known here, and a row that is not there has to be looked for.
        let known_to = own.last().filter(|_| more).map(|(mark, _)| mark.clone());
        let mut own: BTreeMap<_, _> = own.into_iter().collect();
        let mut compared = Compared {
            peer_behind: more,
            ..Compared::default()
        };
        let (mut unhealed, mut twins) = (0, 0);
        for listed in listing.rows {
            if known_to.as_ref().is_some_and(|known_to| listed.mark > *known_to) {
                compared.in_flight += 1;
                continue;
            }
            let held = own.remove(&listed.mark);
            if listed.damaged {
                compared.peer_behind = true;
                unhealed += u64::from(held.is_some_and(|held| held.damaged));
                continue;
            }
            let lacking = match held {
                // What it is, a tombstone or not, the list does not say: what was fetched will.
                None if kind == RowKind::Conflict && is_left_out(kind, listed.stamp, false, horizons) => false,
                None => true,
                Some(held) if held.damaged => true,
                Some(held) if held.stamp < listed.stamp => true,
                Some(held) if held.stamp > listed.stamp => {
                    compared.peer_behind |= held.stamp.time <= begun;
                    false
                }
                Some(held) => {
                    twins += u64::from(held.hash != listed.hash);
                    false
                }
            };
            let parked = kind == RowKind::Item && self.merge.parking.holds(table.id(), &listed.mark.1, listed.stamp);
            match (lacking, settled && !parked) {
                (true, true) => compared.wanted.push(listed.mark),
                (true, false) => compared.in_flight += 1,
                (false, _) => {}
            }
        }
        // What is left is not there.
        for held in own.into_values() {
            if held.damaged {
                unhealed += 1;
            } else if kind == RowKind::Conflict || held.stamp.time <= begun {
                compared.peer_behind = true;
            }
        }
        if unhealed + twins > 0 {
            tracing::error!(
                region = self.local.region(),
                table = super::shown_name(table),
                peer = peer.region,
                unhealed,
                twins,
                "rows differ, and it cannot be told which is right"
            );
            self.note_hopeless(table, &peer.region, unhealed, twins);
        }
        Ok(compared)
    }

    /// A row as it is there, vouched for or not.
    pub(super) async fn held_row(&self, key: bytes::Bytes) -> Result<Option<bytes::Bytes>> {
        Ok(self.local.store().get_held(&[key]).await?.into_iter().flatten().next())
    }

    /// Merges what the answerer holds of rows that are lacking here.
    pub(super) async fn heal(&self, table: &Table, peer: &Peer, kind: RowKind, deltas: Vec<Delta>) -> Result<()> {
        let mut deltas = deltas;
        self.catalog
            .drop_unlawful(table, (&peer.region, Way::PassedOn), &mut deltas);
        let mut ordinary = Vec::with_capacity(deltas.len());
        let mut healed = Vec::new();
        for delta in deltas {
            let (at, stamp) = match (&delta, kind) {
                (Delta::Version { key, version }, RowKind::Item) => (key_at(table, key)?, version.stamp),
                (Delta::Conflict { key, loser, .. }, RowKind::Conflict) => (key_at(table, key)?, loser.stamp),
                _ => return Err(TableError::Corrupt("a row of another kind than was asked for".into())),
            };
            let row = |reason| HealedRow {
                at_ms: self.local.orderer().time.now_ms(),
                partition: table.partitions().partition_of(at.route),
                key: at.bytes.clone(),
                stamp,
                reason,
            };
            let held = self.held_row(row_place(table, &delta, &at)).await?;
            let reason = match held.as_ref().map(Record::read) {
                Some(Err(_)) => {
                    if self.replace_damaged(table, peer, &at, delta).await? {
                        healed.push(row(HealReason::Damaged));
                    }
                    continue;
                }
                Some(Ok(_)) if kind == RowKind::Conflict => continue,
                Some(Ok(record)) if record.stamp >= stamp => continue,
                Some(Ok(_)) => HealReason::Outdated,
                None if kind == RowKind::Conflict => HealReason::Conflict,
                None => {
                    let collected = self.local.horizons(table.id()).collected;
                    let Delta::Version { version, .. } = &delta else {
                        continue;
                    };
                    // What the answerer held a while ago may have been deleted since, and the tombstone collected.
                    let moved = collected > self.collected_before(table.id(), &peer.region);
                    if version.stamp.time <= collected && (version.value.is_none() || moved) {
                        continue;
                    }
                    HealReason::Missing
                }
            };
            healed.push(row(reason));
            ordinary.push(delta);
        }
        if !ordinary.is_empty() {
            let log = LogInfo::new(peer.replica, TableId(table.id()), 0, (0, u64::MAX));
            let origin = Origin::Remote {
                replica: peer.replica,
                log: log.log,
                position: Position::START,
            };
            let used = self.merge.parking.used(log.origin);
            let admitted = self.merge.admit(table, ordinary, log, Position::START, used);
            let (merged, parked, _) = admitted.map_err(|error: ApplyError| TableError::Corrupt(error.to_string()))?;
            self.merge.apply_copy(table, origin, (merged, parked), None).await?;
        }
        self.note_healed(table, &peer.region, kind, healed);
        Ok(())
    }

    /// Puts a version in the place of a record that fails its check; gives whether it did.
    ///
    /// What is newer than the damaged one says, as far as that can be read, is a change like any other. The very same version
    /// is not: it was told of when it came, so only the record, and what is derived from it, is put right. Index entries of
    /// the damaged item are taken away as far as it can be read; they are the version's own where it is the same.
    async fn replace_damaged(&self, table: &Table, peer: &Peer, at: &ItemKey, delta: Delta) -> Result<bool> {
        let inside = table.live.gate.enter_or_gone().await?;
        let section = self.local.section(inside, latch_of(table.id(), &at.bytes)).await;
        let engine_key = row_place(table, &delta, at);
        let Some(held) = self.held_row(engine_key.clone()).await? else {
            return Ok(false);
        };
        if Record::read(&held).is_ok() {
            return Ok(false);
        }
        let mut staged = Staged::default();
        match delta {
            Delta::Conflict { loser, .. } => {
                let record = Record::from_version(loser);
                staged.commit.writes.push(Write::Put(engine_key, record.write()));
            }
            Delta::Version { version, .. } => {
                self.local.orderer().observe(version.stamp);
                self.stage_repair(table, peer, at, record::salvage(&held), version, &mut staged)?;
                self.local.orderer().cover(self.local.store_arc()).await?;
            }
        }
        self.writes.commit(section, staged).await?;
        if is_system(table.id()) {
            self.merge.after_system_merge(table, vec![at.bytes.clone()]).await?;
        }
        Ok(true)
    }

    fn stage_repair(
        &self,
        table: &Table,
        peer: &Peer,
        at: &ItemKey,
        salvaged: Option<Record>,
        version: Version,
        staged: &mut Staged,
    ) -> Result<()> {
        let new = Record::from_version(version);
        // Its item may not be one any more.
        let decode = |record: &Record| {
            let item = record.item.clone().filter(|_| !is_system(table.id()));
            item.map(|item| StoredItem::new(item).decode()).transpose()
        };
        let old_item = salvaged.as_ref().and_then(|old| decode(old).ok().flatten());
        let new_item = decode(&new)?;
        if let Some(old) = salvaged.as_ref().filter(|old| old.stamp < new.stamp) {
            let readable = old_item.is_some() || old.item.is_none();
            let change = KeyChange {
                at,
                old: Some(old).filter(|_| readable),
                old_item: old_item.as_ref(),
                new: &new,
                new_item: new_item.as_ref(),
                origin: Origin::Remote {
                    replica: peer.replica,
                    log: LogInfo::new(peer.replica, TableId(table.id()), 0, (0, u64::MAX)).log,
                    position: Position::START,
                },
            };
            return self.writes.stage(table, &change, staged);
        }
        let writes = &mut staged.commit.writes;
        writes.push(Write::Put(keys::item(table.id(), at.route, &at.bytes), new.write()));
        if is_system(table.id()) {
            return Ok(());
        }
        // Entries of what the damaged record seems to say go, and the version's come, also those that are there.
        if let Some(old_item) = &old_item {
            table.drop_entries(at, old_item, writes);
        }
        table.derive(at, &new, new_item.as_ref(), self.local.sweeper(), writes)
    }
}

/// Where the row of a delta stands.
fn row_place(table: &Table, delta: &Delta, at: &ItemKey) -> bytes::Bytes {
    match delta {
        Delta::Version { .. } => place(table.id(), RowKind::Item, &CopyMark(at.route, at.bytes.clone())),
        Delta::Conflict { loser, .. } => keys::conflict(table.id(), at.route, &at.bytes, loser_stamp(loser)),
    }
}

fn loser_stamp(loser: &Version) -> Stamp {
    loser.stamp
}
