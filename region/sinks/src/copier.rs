//! Brings a table to a target, and keeps it up.

use std::{
    collections::BTreeMap,
    sync::{Arc, atomic::Ordering::Relaxed},
    time::Duration,
};

use bytes::Bytes;
use geodynamo_replicator_core::{LogInfo, Position};
use geodynamo_storage::Engine;
use geodynamo_table::{CopiedChanges, StoredItem, Table, TableError};
use tokio::time::Instant;

use crate::{
    entry::{Entry, State},
    rows::{Copy, copy_row, pack},
    service::{Inner, place},
    target::{Batch, Held, Put, Shape, Target, TargetError},
};

/// How often logs are looked at that nobody tells of, and whether there is a table.
const LOOK_EVERY: Duration = Duration::from_millis(250);
/// How often positions are stored when no change comes with them.
const POSITIONS_EVERY: Duration = Duration::from_secs(5);
/// Bytes of a log read at a time.
const READ_BYTES: usize = 512 << 10;
/// Changes of a log read at a time.
const READ_ROWS: usize = 1000;
/// Bytes of changes after which they are brought to the target, whatever they would gather for.
const BATCH_BYTES: usize = 4 << 20;
/// Changes, likewise.
const BATCH_ROWS: usize = 20_000;
/// Bytes of a snapshot read at a time.
const PAGE_BYTES: usize = 2 << 20;
/// What a change takes in memory besides its item.
const CHANGE_BYTES: usize = 128;
/// The pause after a first failure; it doubles with each that follows.
const PAUSE_MIN: Duration = Duration::from_millis(200);
/// The longest pause.
const PAUSE_MAX: Duration = Duration::from_secs(10);

pub(crate) struct Copier<E: Engine, T> {
    inner: Arc<Inner<E>>,
    entry: Arc<Entry>,
    target: T,
    /// Failures in a row.
    failed: u32,
}

/// Why a copy is not followed any more.
enum Ended {
    /// The table is gone.
    NoTable,
    /// Something is missing behind the copy: it has to begin anew.
    Missing,
    /// It could not be changed, or the table could not be read.
    Failed(String),
}

/// Changes that the target does not have yet, the last of each item.
#[derive(Default)]
struct Pending {
    changes: BTreeMap<Bytes, Option<StoredItem>>,
    /// How many there were.
    count: u64,
    bytes: usize,
}

impl From<TargetError> for Ended {
    fn from(error: TargetError) -> Self {
        Self::Failed(error.to_string())
    }
}

impl From<TableError> for Ended {
    fn from(error: TableError) -> Self {
        Self::Failed(error.to_string())
    }
}

impl<E: Engine, T: Target> Copier<E, T> {
    pub(crate) fn new(inner: Arc<Inner<E>>, entry: Arc<Entry>, target: T) -> Self {
        Self {
            inner,
            entry,
            target,
            failed: 0,
        }
    }

    /// Runs for ever.
    pub(crate) async fn run(&mut self) {
        loop {
            let Ok(table) = self.inner.tables.table(&self.entry.spec.table) else {
                self.without_table();
                tokio::time::sleep(LOOK_EVERY).await;
                continue;
            };
            let Err(ended) = self.copy(&table).await;
            self.target.close();
            let sink = self.name();
            match ended {
                Ended::NoTable => self.without_table(),
                Ended::Missing => {
                    tracing::warn!(sink, "changes are missing behind a sink's copy: it begins anew");
                    *self.entry.copy.lock() = None;
                }
                Ended::Failed(told) => self.fail(told).await,
            }
        }
    }

    fn name(&self) -> &str {
        &self.entry.spec.name
    }

    fn show(&self, state: State) {
        *self.entry.state.lock() = state;
    }

    fn without_table(&self) {
        self.show(State::NoTable);
        self.entry.waiting_since_ms.store(0, Relaxed);
        self.entry.went_well(self.inner.tables.now_ms());
        self.inner.holds.release(self.name());
    }

    /// Waits, longer each time. After a time the logs are not held any more.
    async fn fail(&mut self, told: String) {
        let sink = self.name();
        if self.failed == 0 {
            tracing::warn!(sink, told, "a sink's copy cannot be kept up");
        }
        let went_well = self.entry.went_well_ms.load(Relaxed);
        self.entry.waits_since(went_well);
        *self.entry.error.lock() = Some(told);
        self.entry.failures.fetch_add(1, Relaxed);
        let held_ms = u64::try_from(self.inner.options.held_for.as_millis()).unwrap_or(u64::MAX);
        let is_held = self.entry.copy.lock().is_some();
        if is_held && self.inner.tables.now_ms().saturating_sub(went_well) > held_ms {
            // The copy first: it is not the sink's from before something may be missing behind it.
            match self.inner.keep(vec![(copy_row(sink), None)]).await {
                Ok(()) => {
                    tracing::warn!(sink, "a sink was away for too long: its copy will begin anew");
                    *self.entry.copy.lock() = None;
                    self.inner.holds.release(sink);
                }
                Err(error) => tracing::warn!(%error, sink, "a sink's logs are still held"),
            }
        }
        let factor = 1_u32.checked_shl(self.failed).unwrap_or(u32::MAX);
        self.failed = self.failed.saturating_add(1);
        tokio::time::sleep(PAUSE_MIN.saturating_mul(factor).min(PAUSE_MAX)).await;
    }

    fn went_well(&mut self) {
        self.failed = 0;
        self.entry.went_well(self.inner.tables.now_ms());
    }

    /// Copies a table until something ends it.
    async fn copy(&mut self, table: &Table) -> Result<std::convert::Infallible, Ended> {
        self.show(State::Connecting);
        let logs = self.inner.tables.local().change_logs(table);
        let keys = table.keys().attributes();
        let shape = Shape {
            table: table.name().to_owned(),
            keys: keys.map(|key| (key.name.clone(), key.kind.attribute_type())).collect(),
        };
        let found = self.target.open(&shape).await?;
        let known = self.entry.copy.lock().clone().filter(|copy| copy.table == table.id());
        let held = match (known, found) {
            (Some(copy), Some(found)) if found.epoch == copy.epoch && found.positions.len() == logs.len() => found,
            (known, _) => {
                let loaded = self.load(table, &logs, &shape, known).await;
                if loaded.is_err() {
                    // The next try has another snapshot.
                    self.inner.holds.release(self.name());
                }
                loaded?
            }
        };
        self.inner.holds.hold(self.name(), table.id(), &logs, &held.positions);
        self.show(State::Following);
        self.follow(table, &logs, held).await
    }

    /// Which copy is the sink's, from now on.
    async fn begin_copy(&mut self, table: &Table) -> Result<Copy, Ended> {
        let copy = Copy {
            table: table.id(),
            epoch: format!("{}-{:016x}", self.inner.tables.replica(), rand::random::<u64>()),
            place: place(&self.entry.spec),
        };
        self.inner
            .keep(vec![(copy_row(self.name()), Some(pack(&copy)?))])
            .await?;
        *self.entry.copy.lock() = Some(copy.clone());
        Ok(copy)
    }

    /// Begins a copy with a snapshot.
    async fn load(
        &mut self,
        table: &Table,
        logs: &[LogInfo],
        shape: &Shape,
        known: Option<Copy>,
    ) -> Result<Held, Ended> {
        self.show(State::Loading);
        let tables = Arc::clone(&self.inner.tables);
        tables.logs().copy_changes_of(table, true);
        self.inner.holds.hold(self.name(), table.id(), logs, &[]);
        // Changes have been told of in full ever since a copy that is known was begun.
        let copy = match known {
            Some(copy) => copy,
            None => self.begin_copy(table).await?,
        };
        let snapshot = tables.logs().snapshot_of(table).await.ok_or(Ended::NoTable)?;
        let held = Held {
            epoch: copy.epoch,
            positions: snapshot.cut.ends.iter().map(|position| position.0).collect(),
        };
        self.inner.holds.hold(self.name(), table.id(), logs, &held.positions);
        self.entry.waits_since(snapshot.cut.ms);
        self.target.begin_load(shape).await?;
        let mut after = None;
        loop {
            let (rows, next) = snapshot.page(after.as_ref(), PAGE_BYTES).await?;
            let put = |row: geodynamo_table::recovery::Row| Put {
                key: row.key,
                item: StoredItem::of(row.item),
            };
            let rows: Vec<Put> = rows.into_iter().map(put).collect();
            self.target.load(&rows).await?;
            self.entry.loaded.fetch_add(rows.len() as u64, Relaxed);
            match next {
                Some(next) => after = Some(next),
                None => break,
            }
        }
        self.target.end_load(&held).await?;
        self.entry.loads.fetch_add(1, Relaxed);
        tracing::info!(sink = self.name(), "a sink's copy has a snapshot of its table");
        Ok(held)
    }

    /// Brings the changes behind what the copy has.
    async fn follow(
        &mut self,
        table: &Table,
        logs: &[LogInfo],
        mut held: Held,
    ) -> Result<std::convert::Infallible, Ended> {
        let mut writes = self.inner.tables.logs().growth();
        let mut at = held.clone();
        let mut pending = Pending::default();
        let mut stored = Instant::now();
        loop {
            writes.mark_unchanged();
            let more = self.gather(logs, &mut at, &mut pending).await?;
            if pending.is_empty() && !more {
                self.entry.waiting_since_ms.store(0, Relaxed);
                self.went_well();
            }
            let gathered = stored.elapsed() >= self.target.interval() || pending.is_full();
            let is_due = if pending.is_empty() {
                at != held && stored.elapsed() >= POSITIONS_EVERY
            } else {
                gathered
            };
            if is_due {
                let count = pending.count;
                self.target
                    .apply(&std::mem::take(&mut pending).into_batch(), &held, &at)
                    .await?;
                stored = Instant::now();
                held.clone_from(&at);
                self.inner.holds.hold(self.name(), table.id(), logs, &held.positions);
                self.entry.changes.fetch_add(count, Relaxed);
                self.entry.commits.fetch_add(1, Relaxed);
                self.entry.waiting_since_ms.store(0, Relaxed);
                self.went_well();
                continue;
            }
            if self.inner.tables.local().table_with_id(table.id()).is_none() {
                return Err(Ended::NoTable);
            }
            if !more {
                let rest = self.target.interval().saturating_sub(stored.elapsed());
                let wait = if pending.is_empty() {
                    LOOK_EVERY
                } else {
                    rest.min(LOOK_EVERY)
                };
                let _ = tokio::time::timeout(wait, writes.changed()).await;
            }
        }
    }

    /// Reads some of each log, as long as there is room; whether there may be more now.
    async fn gather(&mut self, logs: &[LogInfo], at: &mut Held, pending: &mut Pending) -> Result<bool, Ended> {
        let mut more = false;
        for (log, position) in logs.iter().zip(&mut at.positions) {
            if pending.is_full() {
                return Ok(true);
            }
            if self.inner.tables.local().log_end(log.log).0 == *position {
                continue;
            }
            let after = Position(*position);
            let found = self
                .inner
                .tables
                .logs()
                .copied_changes(log, after, READ_ROWS, READ_BYTES)
                .await?;
            let CopiedChanges::Found(changes, looked_at) = found else {
                return Err(Ended::Missing);
            };
            if let Some(first) = changes.first() {
                self.entry.waits_since(first.committed_ms);
            }
            for change in changes {
                pending.add(change.key, change.item);
            }
            *position = looked_at.0;
            more |= self.inner.tables.local().log_end(log.log) > looked_at;
        }
        Ok(more)
    }
}

impl Pending {
    fn is_empty(&self) -> bool {
        self.changes.is_empty()
    }

    fn is_full(&self) -> bool {
        self.bytes >= BATCH_BYTES || self.changes.len() >= BATCH_ROWS
    }

    fn add(&mut self, key: Bytes, item: Option<StoredItem>) {
        let size = |item: &Option<StoredItem>| item.as_ref().map_or(0, StoredItem::len);
        let new = size(&item);
        self.count += 1;
        let key_bytes = key.len();
        match self.changes.insert(key, item) {
            Some(old) => self.bytes = (self.bytes + new).saturating_sub(size(&old)),
            None => self.bytes += key_bytes + new + CHANGE_BYTES,
        }
    }

    fn into_batch(self) -> Batch {
        let mut batch = Batch::default();
        for (key, item) in self.changes {
            match item {
                Some(item) => batch.puts.push(Put { key, item }),
                None => batch.deletes.push(key),
            }
        }
        batch
    }
}

#[cfg(test)]
mod tests {
    use geodynamo_item::Item;

    use super::*;

    #[test]
    fn the_last_change_of_an_item_is_what_is_brought() {
        let mut pending = Pending::default();
        let item = || Some(StoredItem::encode(&Item::new()));
        pending.add(Bytes::from_static(b"a"), item());
        pending.add(Bytes::from_static(b"b"), item());
        pending.add(Bytes::from_static(b"a"), None);
        let empty = StoredItem::encode(&Item::new()).len();
        assert_eq!((pending.count, pending.bytes), (3, 2 + empty + 2 * CHANGE_BYTES));
        let batch = pending.into_batch();
        assert_eq!((batch.puts.len(), batch.deletes), (1, vec![Bytes::from_static(b"a")]));
    }
}
