//! This replica's change logs, as links see them.

pub(crate) mod copies;
pub(crate) mod cut;
pub(crate) mod holders;

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
};

use bytes::Bytes;
use geodynamo_replicator_core::{Change, HostError, LogId, LogInfo, Millis, Origin, Position, TableId, Version};
use geodynamo_storage::Engine;
use parking_lot::Mutex;
use tokio::sync::watch;

use crate::{
    Result, Table, TableError,
    layout::{keys, record::Record},
    local::{Local, system::key_at},
    log::holders::Holders,
};

/// The most records of a log that [`crate::Logs::oldest_unapplied`] looks through for one of this replica's own.
const UNAPPLIED_ROWS: usize = 256;
/// The most bytes, likewise.
const UNAPPLIED_BYTES: usize = 1 << 20;

/// This replica's change logs: reading them, and until when their records are kept.
pub struct Logs<E: Engine> {
    local: Arc<Local<E>>,
    /// How far each region has applied them.
    pub(crate) acked: Mutex<BTreeMap<(String, LogId), Position>>,
    /// Up to where they were trimmed since the process started.
    pub(crate) trimmed: Mutex<HashMap<LogId, Position>>,
    /// Who needs their records besides links and streams.
    pub(crate) holders: Holders,
}

impl<E: Engine> Logs<E> {
    pub(crate) fn new(local: &Arc<Local<E>>) -> Self {
        Self {
            local: Arc::clone(local),
            acked: Mutex::default(),
            trimmed: Mutex::default(),
            holders: Holders::default(),
        }
    }

    /// The logs that a region must get: those of every table that has, or is admitting, a replica there, and the
    /// system tables'.
    pub fn logs_to(&self, region: &str) -> Vec<LogInfo> {
        let mut logs: Vec<_> = self
            .local
            .system()
            .all()
            .flat_map(|table| self.local.logs_of(table))
            .collect();
        for table in self.local.all() {
            // What is sealed under a key that is away cannot be read, and is sent once it is there again.
            if table.replicates_to(region) && table.live.key.away_since().is_none() {
                logs.extend(self.local.logs_of(&table));
            }
        }
        logs
    }

    /// The number of the last growth of a log: changes whenever something was added to one that links have to send.
    pub fn growth(&self) -> watch::Receiver<u64> {
        self.local.ends.watch()
    }

    /// The logs that have grown since the growth with a number, with their last readable positions.
    pub fn grown_since(&self, number: u64) -> Vec<(LogId, Position)> {
        self.local.ends.grown_since(number)
    }

    /// Records of one of this replica's logs.
    pub async fn read_log(
        &self,
        log: LogId,
        after: Position,
        rows_max: usize,
        bytes_max: usize,
    ) -> std::result::Result<Vec<(Position, Change)>, HostError> {
        let failed = |error: &dyn std::fmt::Display| HostError(error.to_string());
        let (log, after) = (geodynamo_storage::LogId(log.0), geodynamo_storage::Position(after.0));
        let records = self
            .local
            .store()
            .log_read(log, after, rows_max, bytes_max)
            .await
            .map_err(|error| failed(&error))?;
        let decode = |record: geodynamo_storage::LogRecord| {
            let change = Change::decode(&record.record).map_err(|error| failed(&error))?;
            Ok((Position(record.position.0), change))
        };
        records.into_iter().map(decode).collect()
    }

    /// The current versions of keys, in their order; no more once `bytes_max` is reached.
    pub async fn versions(
        &self,
        table: TableId,
        wanted: Vec<Bytes>,
        bytes_max: usize,
    ) -> std::result::Result<Vec<Option<Version>>, HostError> {
        let Some(table) = self.local.replicated(table.0) else {
            return Err(HostError(format!("table {table} is not known here")));
        };
        self.read_versions(&table, &wanted, bytes_max)
            .await
            .map_err(|error| HostError(error.to_string()))
    }

    async fn read_versions(&self, table: &Table, wanted: &[Bytes], bytes_max: usize) -> Result<Vec<Option<Version>>> {
        let place = |key: &Bytes| key_at(table, key).map(|at| keys::item(table.id(), at.route, &at.bytes));
        let engine_keys = wanted.iter().map(place).collect::<Result<Vec<_>>>()?;
        let mut versions = Vec::with_capacity(wanted.len());
        let mut bytes = 0;
        for found in self.local.store().get_held(&engine_keys).await? {
            bytes += found.as_ref().map_or(0, Bytes::len);
            let record = found.map(|bytes| Record::read(&bytes)).transpose()?;
            versions.push(record.map(Record::into_version));
            if bytes >= bytes_max {
                break;
            }
        }
        Ok(versions)
    }

    /// A region has durably applied one of this replica's logs up to a position.
    pub fn acked(&self, region: &str, log: LogId, position: Position) {
        let mut acked = self.acked.lock();
        let known = acked.entry((region.to_owned(), log)).or_default();
        *known = (*known).max(position);
    }

    /// When the oldest of this replica's writes was committed that a region has not applied, by this replica's wall clock;
    /// `None` if it has applied all. Reads the start of each log that the region is behind on.
    pub async fn oldest_unapplied(&self, region: &str) -> Result<Option<Millis>> {
        let mut oldest: Option<Millis> = None;
        for log in self.logs_to(region) {
            let applied = self
                .acked
                .lock()
                .get(&(region.to_owned(), log.log))
                .copied()
                .unwrap_or_default();
            if applied >= self.local.log_end(log.log) {
                continue;
            }
            let rows = self.read_log(log.log, applied, UNAPPLIED_ROWS, UNAPPLIED_BYTES).await;
            let rows = rows.map_err(|error| TableError::Corrupt(error.0))?;
            let local = rows.iter().find(|(_, change)| change.origin == Origin::Local);
            let found = local.map(|(_, change)| change.commit_time);
            oldest = oldest.into_iter().chain(found).min();
        }
        Ok(oldest)
    }

    /// Up to where every other replica of a table has applied one of this replica's logs; the log's end if there is none.
    pub(crate) fn applied_everywhere(&self, table: &Table, log: LogId) -> Position {
        let acked = self.acked.lock();
        let others = table
            .other_replicas(self.local.region())
            .filter(|(region, _)| table.replicates_to(region));
        let applied = others.map(|(region, _)| acked.get(&(region.clone(), log)).copied().unwrap_or_default());
        applied.min().unwrap_or_else(|| self.local.log_end(log))
    }

    pub(crate) async fn trim_log(&self, log: LogId, up_to: Position) -> Result<()> {
        let known = self.trimmed.lock().get(&log).copied().unwrap_or_default();
        if up_to > known {
            let position = geodynamo_storage::Position(up_to.0);
            self.local
                .store()
                .log_trim(geodynamo_storage::LogId(log.0), position)
                .await?;
            self.trimmed.lock().insert(log, up_to);
        }
        Ok(())
    }

    pub(crate) async fn stored_end(&self, log: LogId) -> Result<Position> {
        let end = self.local.store().log_end(geodynamo_storage::LogId(log.0)).await?;
        Ok(Position(end.0))
    }
}
