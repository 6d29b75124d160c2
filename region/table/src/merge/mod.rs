//! Merging what other regions send.

pub(crate) mod copy;
pub(crate) mod cursors;
mod session;
mod under_way;

pub use under_way::CopyUnderWay;

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use bytes::Bytes;
use geodynamo_item::Item;
use geodynamo_replicator_core::{
    Applied, ApplyError, Batch, Body, Delta, Judgement, LogInfo, Origin, Peer, Position, ReplicaId, Stamp, Version,
    judge,
    parking::{self, Admission, ParkingUse},
};
use geodynamo_storage::{Engine, Write};

use crate::{
    Result, StoredItem, Table, TableError,
    catalog::Catalog,
    layout::{index::ItemKey, keys, record::Record},
    local::{
        Local,
        order::latch_of,
        system::{is_system, key_at},
    },
    merge::cursors::Cursors,
    progress::{
        Progress,
        copies::Copies,
        parked::{Parked, Parking},
    },
    rows::SystemRows,
    table::{
        registers::{CATALOG, Setting},
        replicas::Way,
    },
    write::{KeyChange, Staged, Writes},
};

/// Deltas after which a merge lets other work of its thread go first: requests do not wait for a large batch.
const DELTAS_WITHOUT_A_PAUSE: usize = 64;

/// Everything that is being merged in one commit.
struct Merging<'a> {
    table: &'a Table,
    /// Where the deltas that are being merged came from.
    origin: Origin,
    /// What the batch has made of the keys so far; a key stands here once it has been read.
    versions: BTreeMap<Bytes, Option<Record>>,
    /// Conflicts recorded in this commit.
    recorded: BTreeSet<Bytes>,
    staged: Staged,
    /// What became of the deltas that are being merged.
    applied: Applied,
    /// Whether a link brings them, in the order of a log: what is older than what every member has agreed to forget has been
    /// here before.
    linked: bool,
}

/// A stretch of a log that is being applied, its deltas parted.
struct Admitted {
    log: LogInfo,
    up_to: Position,
    merged: Vec<Delta>,
    parked: Vec<Parked>,
}

type ApplyResult = std::result::Result<Applied, ApplyError>;

/// Merges what other replicas wrote: deltas, copies of tables, and what was parked.
pub struct Merge<E: Engine> {
    local: Arc<Local<E>>,
    writes: Arc<Writes<E>>,
    rows: Arc<SystemRows<E>>,
    catalog: Arc<Catalog<E>>,
    progress: Arc<Progress<E>>,
    /// How far their logs are applied here.
    pub(crate) cursors: Arc<Cursors>,
    /// What is parked.
    pub(crate) parking: Arc<Parking>,
    /// The copies that this replica is fetching, by table.
    pub(crate) copies: Arc<Copies>,
}

impl<E: Engine> Merge<E> {
    #[expect(clippy::too_many_arguments, reason = "its parts, one by one")]
    pub(crate) fn new(
        local: &Arc<Local<E>>,
        writes: &Arc<Writes<E>>,
        rows: &Arc<SystemRows<E>>,
        catalog: &Arc<Catalog<E>>,
        progress: &Arc<Progress<E>>,
        cursors: Cursors,
        parking: &Arc<Parking>,
        copies: &Arc<Copies>,
    ) -> Self {
        Self {
            local: Arc::clone(local),
            writes: Arc::clone(writes),
            rows: Arc::clone(rows),
            catalog: Arc::clone(catalog),
            progress: Arc::clone(progress),
            cursors: Arc::new(cursors),
            parking: Arc::clone(parking),
            copies: Arc::clone(copies),
        }
    }

    /// Applies a stretch of another replica's change log: records, index entries, changes, conflicts and the cursor, in
    /// one commit. See [`Batch`].
    pub async fn apply(&self, batch: Batch) -> ApplyResult {
        let answers = self.apply_all(vec![batch]).await;
        // One answer for each batch.
        answers.into_iter().next().unwrap_or(Err(ApplyError::Unknown))
    }

    /// Applies stretches of several logs of one table, all in one commit, and answers for each in their order. A stretch
    /// that cannot be had now (see [`ApplyError::Stalled`]) stays out of it; the others do not wait for it.
    pub async fn apply_all(&self, batches: Vec<Batch>) -> Vec<ApplyResult> {
        let count = batches.len();
        let all = |error: ApplyError| vec![Err(error); count];
        let Some(table) = batches
            .first()
            .and_then(|batch| self.local.replicated(batch.log.table.0))
        else {
            return all(ApplyError::Unknown);
        };
        match self.apply_to(&table, batches).await {
            Ok(answers) => answers,
            Err(error) => all(error),
        }
    }

    async fn apply_to(&self, table: &Table, batches: Vec<Batch>) -> std::result::Result<Vec<ApplyResult>, ApplyError> {
        let failed = |error: TableError| ApplyError::Failed(error.to_string());
        let inside = table.live.gate.enter().await.ok_or(ApplyError::Unknown)?;
        // Who has left a group takes nothing of it any more. That is decided with the gate closed.
        if table.registers.is_apart || self.catalog.has_left(table.id()) {
            return Err(ApplyError::Unknown);
        }
        // Only its own logs wait until its key is there.
        if table.live.key.is_away() {
            return Err(ApplyError::Stalled);
        }
        let (admitted, mut answers) = self.admit_all(table, batches);
        let keys = admitted.iter().flat_map(|stretch| &stretch.merged);
        let mut latches: Vec<_> = keys.map(|delta| latch_of(table.id(), delta.key())).collect();
        // The cursor is a key too: two batches of one log, after a reconnect, go one after the other.
        latches.extend(admitted.iter().map(|stretch| latch_of(stretch.log.log.0, b"cursor")));
        let section = self.local.section_of([inside], latches).await;
        let deltas = admitted.iter().flat_map(|stretch| &stretch.merged);
        let mut merging = self.merging(table, deltas).await.map_err(failed)?;
        merging.linked = true;
        let (mut cursors, mut parked) = (Vec::with_capacity(admitted.len()), Vec::new());
        let brings: Vec<bool> = admitted
            .iter()
            .map(|stretch| !(stretch.merged.is_empty() && stretch.parked.is_empty()))
            .collect();
        let mut places = answers.iter_mut().filter(|answer| answer.is_ok());
        for stretch in admitted {
            merging.origin = Origin::Remote {
                replica: stretch.log.origin,
                log: stretch.log.log,
                position: stretch.up_to,
            };
            merging.applied = Applied::default();
            self.merge(&mut merging, stretch.merged).await.map_err(failed)?;
            for parked in &stretch.parked {
                merging.staged.commit.writes.push(parked.put().map_err(failed)?);
                merging.applied.parked += 1;
            }
            parked.extend(stretch.parked);
            cursors.push((stretch.log, stretch.up_to));
            if let Some(answer) = places.next() {
                *answer = Ok(merging.applied);
            }
        }
        let touched = merging.touched();
        merging.staged.marks = self.cursor_writes(&cursors);
        let (known, parking) = (Arc::clone(&self.cursors), Arc::clone(&self.parking));
        let then = move || {
            // Whoever finds a cursor raised finds what was parked before it.
            parking.add(parked);
            known.raise_all(&cursors);
            let brought = cursors.iter().zip(brings).filter(|(_, brings)| *brings);
            brought.for_each(|((log, at), _)| known.bring(log, *at));
        };
        self.writes
            .commit_then(section, merging.staged, then)
            .await
            .map_err(failed)?;
        for applied in answers.iter().flatten() {
            self.local.counters().merged(applied);
        }
        self.after_system_merge(table, touched).await.map_err(failed)?;
        Ok(answers)
    }

    /// Admits batch after batch: those that can be applied now, and an answer for each, which is to be filled in for
    /// those. What one of them parks counts for the next.
    fn admit_all(&self, table: &Table, batches: Vec<Batch>) -> (Vec<Admitted>, Vec<ApplyResult>) {
        let mut used: BTreeMap<ReplicaId, ParkingUse> = BTreeMap::new();
        let (mut admitted, mut answers) = (Vec::with_capacity(batches.len()), Vec::with_capacity(batches.len()));
        for Batch {
            log,
            from,
            after,
            up_to,
            mut deltas,
            ..
        } in batches
        {
            if log.origin != from.replica || !self.is_member(table, &from) {
                answers.push(Err(ApplyError::Unknown));
                continue;
            }
            self.drop_forged(table, &from, &mut deltas);
            self.catalog
                .drop_unlawful(table, (&from.region, Way::Link), &mut deltas);
            let origin = log.origin;
            let use_before = used.get(&origin).copied();
            let use_before = use_before.unwrap_or_else(|| self.parking.used(origin));
            match self.admit(table, deltas, log, after, use_before) {
                Ok((merged, parked, use_after)) => {
                    used.insert(origin, use_after);
                    answers.push(Ok(Applied::default()));
                    admitted.push(Admitted {
                        log,
                        up_to,
                        merged,
                        parked,
                    });
                }
                Err(error) => answers.push(Err(error)),
            }
        }
        (admitted, answers)
    }

    /// Takes away versions that bear this replica's name and that it cannot have written yet: a stamp is issued once, by its
    /// replica. Links do not bring a replica what it wrote itself anyway, but for expiries, which whoever finds them writes.
    fn drop_forged(&self, table: &Table, from: &Peer, deltas: &mut Vec<Delta>) {
        let last = self.local.orderer().last();
        let is_forged = |delta: &Delta| {
            matches!(delta, Delta::Version { version, .. }
                if version.stamp.replica == self.local.replica()
                    && (version.stamp.time > last || (version.stamp.expiry && version.value.is_some())))
        };
        let before = deltas.len();
        deltas.retain(|delta| !is_forged(delta));
        if deltas.len() < before {
            tracing::error!(
                peer = from.region,
                table = table.id(),
                versions = before - deltas.len(),
                "a peer sends versions in this replica's name that it never wrote"
            );
        }
    }

    /// Merges a copy's rows, parted by [`crate::Merge::admit`]: like a batch, but with a mark of how far the copy has come in place of a cursor.
    pub(crate) async fn apply_copy(
        &self,
        table: &Table,
        origin: Origin,
        (merged, parked): (Vec<Delta>, Vec<Parked>),
        mark: Option<Write>,
    ) -> Result<Applied> {
        let inside = table.live.gate.enter_or_gone().await?;
        let latches = merged.iter().map(|delta| latch_of(table.id(), delta.key())).collect();
        let section = self.local.section_of([inside], latches).await;
        let mut merging = self.merging(table, &merged).await?;
        merging.origin = origin;
        self.merge(&mut merging, merged).await?;
        for parked in &parked {
            merging.staged.commit.writes.push(parked.put()?);
            merging.applied.parked += 1;
        }
        let (touched, applied) = (merging.touched(), merging.applied);
        merging.staged.marks.extend(mark);
        let parking = Arc::clone(&self.parking);
        let then = move || parking.add(parked);
        self.writes.commit_then(section, merging.staged, then).await?;
        self.local.counters().merged(&applied);
        self.after_system_merge(table, touched).await?;
        Ok(applied)
    }

    /// Parts deltas into those to merge now and those to park; gives them, and what the origin then has parked. A full
    /// parking space refuses them all; what is parked already, and comes again, takes no more of it.
    pub(crate) fn admit(
        &self,
        table: &Table,
        deltas: Vec<Delta>,
        log: LogInfo,
        after: Position,
        mut used: ParkingUse,
    ) -> std::result::Result<(Vec<Delta>, Vec<Parked>, ParkingUse), ApplyError> {
        let now = self.local.orderer().time.now_ms();
        let (mut merged, mut parked) = (Vec::with_capacity(deltas.len()), Vec::new());
        for delta in deltas {
            let (key, version) = match delta {
                Delta::Version { key, version }
                    if parking::is_ahead(version.stamp, now, self.parking.limits().drift_ms_max) =>
                {
                    (key, version)
                }
                delta => {
                    merged.push(delta);
                    continue;
                }
            };
            let weight = Delta::version_weight(&key, &version) as u64;
            if !self.parking.holds(table.id(), &key, version.stamp) {
                if parking::admit(version.stamp, now, weight, used, self.parking.limits()) == Admission::Stall {
                    return Err(ApplyError::Stalled);
                }
                used = used.with(weight);
            }
            parked.push(Parked {
                table: table.id(),
                key,
                version,
                log,
                after,
            });
        }
        Ok((merged, parked, used))
    }

    /// Merges parked deltas whose time has come; gives how many.
    pub(crate) async fn release_parked(&self) -> Result<usize> {
        let now = self.local.orderer().time.now_ms();
        let due = self.parking.due(now);
        let count = due.len();
        for parked in due {
            let Some(table) = self.local.replicated(parked.table) else {
                // The table is gone; its parked deltas went with it.
                self.parking.remove(&parked);
                continue;
            };
            let Some(inside) = table.live.gate.enter().await else {
                self.parking.remove(&parked);
                continue;
            };
            let section = self.local.section(inside, latch_of(table.id(), &parked.key)).await;
            let origin = Origin::Remote {
                replica: parked.log.origin,
                log: parked.log.log,
                position: parked.after,
            };
            let delta = Delta::Version {
                key: parked.key.clone(),
                version: parked.version.clone(),
            };
            let mut merging = self.merging(&table, [&delta]).await?;
            merging.origin = origin;
            self.merge(&mut merging, vec![delta]).await?;
            merging.staged.commit.writes.push(Write::Delete(parked.engine_key()?));
            let (touched, applied) = (merging.touched(), merging.applied);
            let (known, parking) = (Arc::clone(&self.cursors), Arc::clone(&self.parking));
            let then = move || {
                parking.remove(&parked);
                known.tell();
            };
            self.writes.commit_then(section, merging.staged, then).await?;
            self.local.counters().released(&applied);
            self.after_system_merge(&table, touched).await?;
        }
        Ok(count)
    }

    /// Reads what is held of the deltas' keys. The caller has the turn on them.
    async fn merging<'a>(&self, table: &'a Table, deltas: impl IntoIterator<Item = &Delta>) -> Result<Merging<'a>> {
        let ats = deltas.into_iter().map(|delta| key_at(table, delta.key()));
        let ats = ats.collect::<Result<Vec<_>>>()?;
        let place = |at: &ItemKey| keys::item(table.id(), at.route, &at.bytes);
        let engine_keys: Vec<_> = ats.iter().map(place).collect();
        let found = self.local.store().get_held(&engine_keys).await?;
        let read = |found: Option<Bytes>| found.map(|bytes| Record::read(&bytes)).transpose();
        let held = ats
            .into_iter()
            .zip(found)
            .map(|(at, found)| Ok((at.bytes, read(found)?)));
        Ok(Merging {
            table,
            origin: Origin::Local,
            versions: held.collect::<Result<_>>()?,
            recorded: BTreeSet::new(),
            staged: Staged::default(),
            applied: Applied::default(),
            linked: false,
        })
    }

    /// Judges deltas one after the other and stages what follows. The caller has the turn on their keys.
    async fn merge(&self, merging: &mut Merging<'_>, deltas: Vec<Delta>) -> Result<()> {
        for (number, delta) in deltas.into_iter().enumerate() {
            if number % DELTAS_WITHOUT_A_PAUSE == DELTAS_WITHOUT_A_PAUSE - 1 {
                tokio::task::yield_now().await;
            }
            let at = key_at(merging.table, delta.key())?;
            match delta {
                Delta::Version { version, .. } => self.merge_version(merging, &at, version).await?,
                Delta::Conflict { loser, .. } if self.local.is_dropped(merging.table, loser.stamp) => {}
                Delta::Conflict { loser, winner, .. } => {
                    let origin = merging.origin;
                    self.record_conflict(merging, &at, loser, winner, origin).await?;
                }
            }
        }
        // Whoever reads what is merged here must write above it, after a restart too.
        self.local.orderer().cover(self.local.store_arc()).await
    }

    async fn merge_version(&self, merging: &mut Merging<'_>, at: &ItemKey, version: Version) -> Result<()> {
        let table = merging.table;
        self.local.orderer().observe(version.stamp);
        let current = merging.versions.get(&at.bytes).cloned().flatten();
        if current.is_none() && merging.linked && self.local.is_bygone(table, version.stamp) {
            merging.applied.duplicates += 1;
            return Ok(());
        }
        let judgement = judge(
            current.as_ref().map(|record| (record.stamp, &record.past)),
            (version.stamp, &version.past),
        );
        match judgement {
            Judgement::Duplicate | Judgement::Outdated => {
                merging.applied.duplicates += 1;
                Ok(())
            }
            Judgement::Refused => {
                // There is a current version, or nothing could have refused this one.
                let winner = current.map_or(version.stamp, |record| record.stamp);
                let known = merging.applied.conflicts;
                self.record_conflict(merging, at, version, winner, Origin::Local)
                    .await?;
                merging.applied.refused += merging.applied.conflicts - known;
                Ok(())
            }
            Judgement::Overwrites | Judgement::Displaces => {
                let new = Record::from_version(version);
                let indexed = !table.indexes().is_empty();
                let decode = |record: &Record| -> Result<Option<Item>> {
                    let item = record.item.clone().filter(|_| indexed);
                    item.map(|item| StoredItem::new(item).decode()).transpose()
                };
                let old_item = current.as_ref().map(decode).transpose()?.flatten();
                let new_item = decode(&new)?;
                let change = KeyChange {
                    at,
                    old: current.as_ref(),
                    old_item: old_item.as_ref(),
                    new: &new,
                    new_item: new_item.as_ref(),
                    origin: merging.origin,
                };
                self.writes.stage(table, &change, &mut merging.staged)?;
                merging.applied.applied += 1;
                let winner = new.stamp;
                merging.versions.insert(at.bytes.clone(), Some(new));
                match current {
                    Some(loser) if judgement == Judgement::Displaces => {
                        let known = merging.applied.conflicts;
                        self.record_conflict(merging, at, loser.into_version(), winner, Origin::Local)
                            .await?;
                        merging.applied.displaced += merging.applied.conflicts - known;
                        Ok(())
                    }
                    _ => Ok(()),
                }
            }
        }
    }

    /// Records a conflict's loser, once: keyed by its key and stamp. One detected here also goes to the other replicas.
    async fn record_conflict(
        &self,
        merging: &mut Merging<'_>,
        at: &ItemKey,
        loser: Version,
        winner: Stamp,
        origin: Origin,
    ) -> Result<()> {
        let table = merging.table;
        let key = keys::conflict(table.id(), at.route, &at.bytes, loser.stamp);
        if !merging.recorded.insert(key.clone()) || self.holds(&key).await? {
            return Ok(());
        }
        let body = Body::Conflict {
            kind: loser.kind,
            value: loser.value.clone(),
            winner,
        };
        let record = Record::from_version(loser);
        merging.staged.commit.writes.push(Write::Put(key, record.write()));
        self.writes
            .append(table, at, record.stamp, record.past, origin, body, &mut merging.staged);
        merging.applied.conflicts += 1;
        Ok(())
    }

    /// Whether there is a row, as far as the engine can tell.
    async fn holds(&self, key: &Bytes) -> Result<bool> {
        let found = self.local.store().get_held(std::slice::from_ref(key)).await?;
        Ok(found.into_iter().flatten().next().is_some())
    }

    /// After registers were merged, the tables they describe are made anew; of other system tables, whoever owns them is
    /// told.
    pub(crate) async fn after_system_merge(&self, table: &Table, touched: Vec<Bytes>) -> Result<()> {
        if table.id() != CATALOG {
            self.rows.system_rows_merged(table.id(), touched);
            return Ok(());
        }
        let tables: BTreeSet<u64> = touched
            .iter()
            .filter_map(|key| Setting::parse(key))
            .map(|(table, _)| table)
            .collect();
        for table in tables {
            self.catalog.refresh(table).await?;
        }
        Ok(())
    }
}

impl Merging<'_> {
    /// The rows that changed, if it is a system table.
    fn touched(&self) -> Vec<Bytes> {
        if is_system(self.table.id()) {
            self.versions.keys().cloned().collect()
        } else {
            Vec::new()
        }
    }
}
