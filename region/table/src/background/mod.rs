//! What a region does by itself when the catalog, or the time, says so: answering those who ask for a replica, admitting
//! newcomers, giving a lost incarnation's place to the new one, removing replicas, merging what was parked, trimming logs.

pub(crate) mod lost;

use std::{
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use geodynamo_replicator_core::{Millis, Stamp};
use geodynamo_storage::{Commit, Engine, StorageError, Write};
use tokio::sync::watch;

use crate::{
    Result, Table, TableError,
    catalog::Catalog,
    indexing::Backfill,
    layout::keys::space,
    local::{Local, counts::STORE_EVERY, standings::kept_key},
    log::Logs,
    merge::Merge,
    progress::copies::copy_key,
    schema::{IndexKind, ReplicaEntry},
    streams::Streams,
    table::{
        registers::{Registers, Setting, pack},
        replicas::{self, Here, Outage, Step},
    },
    ttl::{self, Expiry},
    verify::Verify,
    write::Writes,
};

/// How often parked deltas are looked at.
const PARKED_EVERY: Duration = Duration::from_millis(20);
/// How often the catalog is looked at without being told to: what waits for other regions is tried again.
const RECONCILE_EVERY: Duration = Duration::from_millis(200);
/// How often streams' shards are looked at.
const ROLL_EVERY: Duration = Duration::from_secs(1);
/// How often it is looked whether a table is due to be looked through for tombstones.
const COLLECT_LOOK_EVERY: Duration = Duration::from_secs(1);
/// How often logs are trimmed.
const TRIM_EVERY: Duration = Duration::from_secs(10);
/// How long a replica that is being removed waits until the others have its writes, in milliseconds. A region that is cut
/// off for longer misses the last of them.
pub const DRAIN_MS_MAX: Millis = 30_000;
/// The most local indexes that a table can have.
const LOCAL_INDEXES_MAX: u8 = 5;

/// What a region does by itself.
pub struct Background<E: Engine> {
    local: Arc<Local<E>>,
    writes: Arc<Writes<E>>,
    logs: Arc<Logs<E>>,
    streams: Arc<Streams<E>>,
    catalog: Arc<Catalog<E>>,
    backfill: Arc<Backfill<E>>,
    expiry: Arc<Expiry<E>>,
    merge: Arc<Merge<E>>,
    verify: Arc<Verify<E>>,
}

impl<E: Engine> Background<E> {
    #[expect(clippy::too_many_arguments, reason = "its parts, one by one")]
    pub(crate) fn new(
        local: &Arc<Local<E>>,
        writes: &Arc<Writes<E>>,
        logs: &Arc<Logs<E>>,
        streams: &Arc<Streams<E>>,
        catalog: &Arc<Catalog<E>>,
        backfill: &Arc<Backfill<E>>,
        expiry: &Arc<Expiry<E>>,
        merge: &Arc<Merge<E>>,
        verify: &Arc<Verify<E>>,
    ) -> Self {
        Self {
            local: Arc::clone(local),
            writes: Arc::clone(writes),
            logs: Arc::clone(logs),
            streams: Arc::clone(streams),
            catalog: Arc::clone(catalog),
            backfill: Arc::clone(backfill),
            expiry: Arc::clone(expiry),
            merge: Arc::clone(merge),
            verify: Arc::clone(verify),
        }
    }

    /// Starts the background work; it ends when `stop` changes or its sender is gone.
    pub fn start_background(self: &Arc<Self>, stop: watch::Receiver<bool>) {
        let tables = Arc::clone(self);
        tokio::spawn(until(stop.clone(), async move {
            let mut changed = tables.local.catalog_changes();
            loop {
                tables.report("reconciling the catalog", tables.reconcile().await);
                tables.report("changing table classes", tables.catalog.place_tables().await);
                let _ = tokio::time::timeout(RECONCILE_EVERY, changed.changed()).await;
            }
        }));
        let tables = Arc::clone(self);
        tokio::spawn(until(stop.clone(), async move {
            loop {
                tokio::time::sleep(PARKED_EVERY).await;
                tables.local.writable().await;
                tables.report("merging parked deltas", tables.merge.release_parked().await.map(drop));
            }
        }));
        let tables = Arc::clone(self);
        tokio::spawn(until(stop.clone(), async move {
            let mut changed = tables.local.catalog_changes();
            loop {
                let swept = tables.expiry.sweep_expired().await;
                let more = swept.as_ref().is_ok_and(|swept| swept.more);
                tables.report("deleting expired items", swept.map(drop));
                if !more {
                    let _ = tokio::time::timeout(tables.expiry.sweep_every(), changed.changed()).await;
                }
            }
        }));
        let tables = Arc::clone(self);
        tokio::spawn(until(stop.clone(), async move {
            let mut changed = tables.local.catalog_changes();
            loop {
                tables.local.writable().await;
                match tables.backfill.build_indexes().await {
                    Ok(true) => {}
                    Ok(false) => drop(changed.changed().await),
                    failed => {
                        tables.report("building indexes", failed.map(drop));
                        tokio::time::sleep(RECONCILE_EVERY).await;
                    }
                }
            }
        }));
        let tables = Arc::clone(self);
        tokio::spawn(until(stop.clone(), async move {
            loop {
                tokio::time::sleep(ROLL_EVERY).await;
                tables.local.writable().await;
                tables.report("giving streams new shards", tables.streams.roll_streams().await);
            }
        }));
        let tables = Arc::clone(self);
        tokio::spawn(until(stop.clone(), async move {
            loop {
                tokio::time::sleep(STORE_EVERY).await;
                tables.local.writable().await;
                tables.report("storing counts", tables.local.store_counts().await);
            }
        }));
        let tables = Arc::clone(self);
        tokio::spawn(until(stop.clone(), async move {
            loop {
                tokio::time::sleep(COLLECT_LOOK_EVERY).await;
                tables.local.writable().await;
                tables.report("taking away tombstones", tables.verify.collect().await);
            }
        }));
        let tables = Arc::clone(self);
        tokio::spawn(until(stop, async move {
            loop {
                tokio::time::sleep(TRIM_EVERY).await;
                tables.report("trimming change logs", tables.streams.trim_logs().await);
                tables.report("dropping old client tokens", tables.writes.drop_old_tokens().await);
            }
        }));
    }

    fn report(&self, what: &str, result: Result<()>) {
        if let Err(error) = result {
            if matches!(error, TableError::Storage(StorageError::Unwritable(_))) {
                // The engine has said so, once.
                return;
            }
            tracing::error!(region = self.local.region(), %error, "{what} failed; it is tried again");
        }
    }

    /// Does what the catalog asks of this region.
    pub async fn reconcile(&self) -> Result<()> {
        self.drop_given_up().await?;
        let tables: Vec<u64> = self.local.directory().registers.keys().copied().collect();
        for id in tables {
            self.take_step(id).await?;
        }
        self.drop_given_up().await
    }

    /// Does what the catalog asks of this region for one table.
    async fn take_step(&self, id: u64) -> Result<()> {
        let due = self.step(id);
        match due {
            Some((Step::Rest, _)) | None => Ok(()),
            Some((Step::Serve, registers)) => {
                let outage = self.catalog.outage(id, &registers);
                if outage == Outage::GoAlone {
                    return self.catalog.go_alone(id).await;
                }
                if registers.leaving.contains_key(self.local.region()) {
                    return self.catalog.leave_group(id).await;
                }
                let promises = !replicas::admissions(&registers, self.local.region())?.is_empty();
                if !promises && !self.finds_lost(&registers) && outage == Outage::None {
                    return Ok(());
                }
                let _changing = self.catalog.catalog_lock.lock().await;
                let Some((Step::Serve, registers)) = self.step(id) else {
                    return Ok(());
                };
                self.catalog
                    .set_locked(id, replicas::admissions(&registers, self.local.region())?)
                    .await?;
                if let Outage::Expel(out) = self.catalog.outage(id, &registers) {
                    self.catalog.expel_locked(id, &registers, &out).await?;
                }
                self.give_up_lost(id, &registers).await
            }
            Some((Step::Leave, registers)) => self.leave(id, &registers).await,
            Some(_) => {
                // What is decided holds for as long as nobody changes the catalog.
                let _changing = self.catalog.catalog_lock.lock().await;
                let Some((step, registers)) = self.step(id) else {
                    return Ok(());
                };
                self.answer_locked(id, step, &registers).await
            }
        }
    }

    fn here(&self) -> Here<'_> {
        Here {
            region: self.local.region(),
            incarnation: self.local.replica().0,
            knows_catalog: self.merge.knows_catalog(),
            now: self.local.orderer().time.now_ms(),
        }
    }

    /// What this region is to do about its replica of a table; `None` if nothing is known of it, or what it had of the
    /// table has yet to be taken away.
    fn step(&self, id: u64) -> Option<(Step, Registers)> {
        if self.catalog.given_up.lock().iter().any(|table| table.id() == id) {
            return None;
        }
        let directory = self.local.directory();
        let registers = directory.registers.get(&id)?;
        let name = registers.definition.as_ref().map(|definition| &definition.name);
        let holder = name.and_then(|name| directory.holder(name, self.local.region(), self.local.replica()));
        Some((replicas::step(self.here(), id, registers, holder), registers.clone()))
    }

    /// Carries out a step that is but a change of registers. The caller holds the catalog's lock.
    async fn answer_locked(&self, id: u64, step: Step, registers: &Registers) -> Result<()> {
        let own = || Setting::Replica(self.local.region().into());
        let changes = match step {
            Step::Rest | Step::Serve | Step::Leave => return Ok(()),
            Step::Answer(answer) => {
                self.tell_answer(id, registers, &answer);
                vec![(own(), Some(pack(&answer)?))]
            }
            Step::Rejoin { survivors, failure } => {
                let stamp: Stamp = self.local.orderer().stamp(self.local.store_arc(), None).await?;
                replicas::rejoined(self.here(), registers, (&survivors, failure), stamp)?
            }
            Step::Forget => replicas::forgotten(self.here(), registers)?,
        };
        self.catalog.set_locked(id, changes).await
    }

    /// Tells the log of a replica that this region does not take.
    fn tell_answer(&self, id: u64, registers: &Registers, answer: &ReplicaEntry) {
        let Some(failure) = answer.failure else { return };
        let name = registers.definition.as_ref().map_or("", |definition| &definition.name);
        self.local.counters().refused_replicas.fetch_add(1, Ordering::Relaxed);
        tracing::warn!(
            region = self.local.region(),
            table = name,
            id,
            asked_by = answer.source.as_deref().unwrap_or_default(),
            reason = failure.text(name),
            "this region takes no replica of a table"
        );
    }

    /// Removes this region's replica: once the others have its writes, or have been waited for long enough, the data goes,
    /// then the registers that concern this region; with the last replica, all of the table's.
    async fn leave(&self, id: u64, registers: &Registers) -> Result<()> {
        let since_ms = registers
            .replicas
            .get(self.local.region())
            .map_or(0, |own| own.since_ms);
        let table = self.local.directory().by_id.get(&id).cloned();
        if let Some(table) = &table {
            let drained = self
                .local
                .logs_of(table)
                .iter()
                .all(|info| self.logs.applied_everywhere(table, info.log) >= self.local.log_end(info.log));
            if !drained && self.local.orderer().time.now_ms() < since_ms.saturating_add(DRAIN_MS_MAX) {
                return Ok(());
            }
            if !self.logs.holders.let_go(table) {
                return Ok(());
            }
            self.drop_data(table).await?;
        }
        let _changing = self.catalog.catalog_lock.lock().await;
        let Some((Step::Leave, registers)) = self.step(id) else {
            return Ok(());
        };
        self.catalog
            .set_locked(id, replicas::left(self.here(), &registers)?)
            .await
    }

    pub(crate) async fn drop_data(&self, table: &Arc<Table>) -> Result<()> {
        // Writes under way end first; later ones find the table gone.
        table.live.gate.close_for_good().await;
        let id = table.id();
        let spaces = [
            space::ITEM,
            space::CONFLICT,
            space::PARKED,
            space::COLLECTION,
            space::CURSOR,
            space::EXPIRY,
        ];
        let local = (0..LOCAL_INDEXES_MAX).map(|ordinal| (space::LOCAL + ordinal, id));
        let global = table.indexes().iter().filter_map(|index| match index.kind {
            IndexKind::Global(index) => Some((space::GLOBAL, index)),
            IndexKind::Local(_) => None,
        });
        for (space, owner) in spaces.map(|space| (space, id)).into_iter().chain(local).chain(global) {
            self.local.drop_range(space, owner).await?;
        }
        self.local
            .store()
            .commit(Commit {
                writes: vec![
                    Write::Delete(copy_key(id)),
                    Write::Delete(ttl::state_key(id)),
                    Write::Delete(kept_key(id)),
                ],
                makes_room: true,
                ..Commit::default()
            })
            .await?;
        self.expiry.expiry_states.lock().remove(&id);
        // Where there are streams, trimming takes the logs once they are too old.
        let logs = Some(self.local.logs_of(table)).filter(|_| !self.streams.states().keeps(id));
        for info in logs.into_iter().flatten() {
            let end = geodynamo_storage::Position(self.local.log_end(info.log).0);
            self.local
                .store()
                .log_trim(geodynamo_storage::LogId(info.log.0), end)
                .await?;
        }
        self.merge.cursors.forget(id);
        self.verify.verifications.forget(id);
        self.local.standings().forget(id);
        self.merge.copies.lock().remove(&id);
        self.merge
            .parking
            .of_table(id)
            .iter()
            .for_each(|parked| self.merge.parking.remove(parked));
        let logs: Vec<_> = self.local.logs_of(table).iter().map(|info| info.log).collect();
        self.logs.acked.lock().retain(|(_, log), _| !logs.contains(log));
        Ok(())
    }
}

async fn until(mut stop: watch::Receiver<bool>, work: impl Future<Output = ()>) {
    tokio::select! {
        () = work => {}
        _ = stop.changed() => {}
    }
}
