//! The tables that are here, and this replica's logs of them.

use std::{sync::Arc, time::Duration};

use geodynamo_replicator_core::{LogId, LogInfo, Millis, Position, ReplicaId, TableId};
use geodynamo_storage::{Commit, Engine, Health, StorageError, Write};
use tokio::sync::watch;

use crate::{
    Options, Result, Table, TableError, TableStatus,
    layout::{expiry::Sweeper, keys, range},
    local::{
        Counters, Local,
        directory::Directory,
        order::Orderer,
        seen as session, stats,
        system::{SystemTables, is_system},
        traces::Traces,
    },
    store::Store,
    table::{
        insights::TableInsights,
        replicas,
        settings::{PointInTime, TableSettings},
        throttle::Throttle,
        usage::Usages,
    },
    usage,
};

impl<E: Engine> Local<E> {
    /// This region.
    pub fn region(&self) -> &str {
        &self.options.region
    }

    /// The account number in ARNs.
    pub fn account(&self) -> &str {
        &self.options.account
    }

    /// This replica's incarnation.
    pub fn replica(&self) -> ReplicaId {
        self.replica
    }

    /// The engine.
    pub fn engine(&self) -> &E {
        self.store.engine()
    }

    /// Local time, in milliseconds since the Unix epoch.
    pub fn now_ms(&self) -> Millis {
        self.options.time.now_ms()
    }

    /// A table that takes requests for data.
    pub fn table(&self, name: &str) -> Result<Arc<Table>> {
        let directory = self.directory.load();
        let table = directory.by_name.get(name).ok_or_else(TableError::no_table)?;
        match table.status() {
            TableStatus::Active | TableStatus::Updating => {
                session::note(table.id());
                usage::note(table);
                Ok(Arc::clone(table))
            }
            TableStatus::Inaccessible => Err(TableError::Storage(StorageError::KeyAway)),
            TableStatus::Creating | TableStatus::Deleting => Err(TableError::no_table()),
        }
    }

    /// A table in whatever state, for the control plane.
    pub fn table_named(&self, name: &str) -> Result<Arc<Table>> {
        let directory = self.directory.load();
        directory
            .by_name
            .get(name)
            .cloned()
            .ok_or_else(|| TableError::no_table_named(name))
    }

    /// The catalog's names behind `after`, of all accounts, at most `limit`; and the last of them if there are more.
    pub fn list(&self, after: Option<&str>, limit: usize) -> (Vec<String>, Option<String>) {
        use std::ops::Bound;
        let directory = self.directory.load();
        let from = after.map_or(Bound::Unbounded, Bound::Excluded);
        let mut names = directory
            .by_name
            .range::<str, _>((from, Bound::Unbounded))
            .map(|(name, _)| name.clone());
        let page: Vec<_> = names.by_ref().take(limit).collect();
        let last = if names.next().is_some() {
            page.last().cloned()
        } else {
            None
        };
        (page, last)
    }

    /// Every table of this region, by id.
    pub(crate) fn all(&self) -> Vec<Arc<Table>> {
        self.directory.load().by_id.values().cloned().collect()
    }

    /// A table that takes deltas: a system table, or one with a replica here.
    pub(crate) fn replicated(&self, id: u64) -> Option<Arc<Table>> {
        if is_system(id) {
            return self.system.get(id).cloned();
        }
        let directory = self.directory.load();
        directory
            .by_id
            .get(&id)
            .filter(|table| table.status() != TableStatus::Deleting)
            .cloned()
    }

    pub(crate) fn directory(&self) -> arc_swap::Guard<Arc<Directory>> {
        self.directory.load()
    }

    pub(crate) fn store(&self) -> &Store<E> {
        &self.store
    }

    pub(crate) fn store_arc(&self) -> &Arc<Store<E>> {
        &self.store
    }

    pub(crate) fn options(&self) -> &Options {
        &self.options
    }

    pub(crate) fn orderer(&self) -> &Arc<Orderer> {
        &self.orderer
    }

    /// Whether another node writes, and this one keeps up with it.
    pub(crate) fn is_following(&self) -> bool {
        self.options.following
    }

    pub(crate) fn counters(&self) -> &Counters {
        &self.counters
    }

    pub(crate) fn traces(&self) -> &Traces {
        &self.traces
    }

    pub(crate) fn usages(&self) -> &Usages {
        &self.usages
    }

    pub(crate) fn system(&self) -> &SystemTables {
        &self.system
    }

    pub(crate) fn throttle_of(&self, table: &Table) -> Box<Throttle> {
        let arn = self.table_arn(table.name());
        Throttle::of(
            table,
            self.region(),
            &arn,
            &self.options.throttle,
            &self.options.time,
            &self.counters.throttled,
        )
    }

    /// Learns where this replica's logs of a table end, if it does not know yet.
    pub(crate) async fn load_ends(&self, table: &Table) -> Result<()> {
        for partition in 0..table.partitions().partitions() {
            let log = self.log_of(table, partition);
            let end = self.store.log_end(log).await?;
            self.ends.raise([(LogId(log.0), Position(end.0))], true);
        }
        Ok(())
    }

    /// The last readable position of one of this replica's logs.
    pub fn log_end(&self, log: LogId) -> Position {
        self.ends.get(log).unwrap_or_default()
    }

    /// Changes whenever the catalog has.
    pub fn catalog_changes(&self) -> watch::Receiver<u64> {
        self.catalog_changed.subscribe()
    }

    /// This replica's logs of a table.
    pub(crate) fn logs_of(&self, table: &Table) -> Vec<LogInfo> {
        let map = table.partitions();
        let log = |partition| {
            let range = map.range(partition).unwrap_or((0, u64::MAX));
            LogInfo::new(self.replica(), TableId(table.id()), partition, range)
        };
        (0..map.partitions()).map(log).collect()
    }

    /// How this replica lets items expire.
    pub(crate) fn sweeper(&self) -> Sweeper {
        Sweeper {
            replica: self.replica(),
            grace_ms: self.options().ttl.grace_ms,
        }
    }

    /// This replica's change log of a partition of a table.
    pub(crate) fn log_of(&self, table: &Table, partition: u16) -> geodynamo_storage::LogId {
        geodynamo_storage::LogId(LogId::of(self.replica(), TableId(table.id()), partition).0)
    }

    /// Waits until the engine takes writes. What makes room, as deleting expired items does, need not wait.
    pub async fn writable(&self) {
        Health::wait_writable(self.store().health()).await;
    }

    pub(crate) async fn drop_range(&self, space: u8, owner: u64) -> Result<()> {
        let (from, to) = keys::owner_range(space, owner, 0, u64::MAX);
        if self.store().spans_groups() {
            let writes = vec![Write::DeleteRange(from, to)];
            self.store()
                .commit(Commit {
                    writes,
                    makes_room: true,
                    ..Commit::default()
                })
                .await?;
            return Ok(());
        }
        loop {
            // As they are stored: the key of a table that goes may be away.
            let page = self
                .store
                .engine()
                .scan(range::whole(from.clone(), to.clone(), stats::ROWS, stats::BYTES))
                .await?;
            for commit in self.splits(page.rows.into_iter().map(|(key, _)| Write::Delete(key)).collect()) {
                self.store().commit(commit).await?;
            }
            if !page.more {
                return Ok(());
            }
        }
    }

    /// Waits until a table is ACTIVE with all its indexes, or gone, for no longer than `limit`. Whether it is.
    pub async fn await_settled(&self, table: u64, limit: Duration) -> bool {
        let mut changed = self.catalog_changes();
        let settled = async {
            loop {
                let status = self.directory().by_id.get(&table).map(|table| table.status());
                // Whoever changes the catalog is there as long as the tables are.
                if matches!(status, None | Some(TableStatus::Active)) || changed.changed().await.is_err() {
                    return;
                }
            }
        };
        tokio::time::timeout(limit, settled).await.is_ok()
    }

    /// Whether a table is ACTIVE here and everywhere else it is said to be.
    pub fn is_settled(&self, name: &str) -> bool {
        self.table_named(name)
            .is_ok_and(|table| table.status() == TableStatus::Active)
    }

    /// How many replicas could not be made, of tables that anything is known of here, in whatever region.
    pub fn failed_replicas(&self) -> usize {
        self.directory.load().registers.values().map(replicas::failed).sum()
    }

    /// Commits for writes of several groups: one where the engine spans them, else one for each write.
    pub(crate) fn splits(&self, writes: Vec<Write>) -> Vec<Commit> {
        if self.store().spans_groups() {
            return vec![Commit {
                writes,
                ..Commit::default()
            }];
        }
        writes
            .into_iter()
            .map(|write| Commit {
                writes: vec![write],
                ..Commit::default()
            })
            .collect()
    }

    /// What is counted of a table, from its settings.
    pub(crate) fn table_insights(&self, table: &Table) -> Option<Box<TableInsights>> {
        TableInsights::of(table, self.region(), &self.options().time)
    }

    /// A table's point-in-time recovery in this region, if it was ever switched on.
    pub fn point_in_time(&self, table: &Table) -> Option<PointInTime> {
        table.registers.point_in_time.get(self.region()).copied()
    }

    /// The tables of this region that are, or are being removed with, point-in-time recovery.
    pub fn tables_with_point_in_time(&self) -> Vec<std::sync::Arc<Table>> {
        let mut tables = self.all();
        tables.retain(|table| {
            let on = self.point_in_time(table).is_some_and(|setting| setting.enabled);
            on && table.status() != TableStatus::Creating
        });
        tables
    }

    /// A table in whatever state, by its id.
    pub fn table_with_id(&self, id: u64) -> Option<std::sync::Arc<Table>> {
        self.directory().by_id.get(&id).cloned()
    }

    /// A table's settings as archives keep them.
    pub fn settings_of(&self, table: &Table) -> TableSettings {
        table.settings(self.region())
    }

    /// This replica's change logs of a table, by partition.
    pub fn change_logs(&self, table: &Table) -> Vec<LogInfo> {
        self.logs_of(table)
    }

    /// No change is committed with a lesser time from here on: so that times go on after a restart even if the clock was put
    /// back.
    pub fn commit_after(&self, ms: Millis) {
        self.orderer().commit_after(ms);
    }
}
