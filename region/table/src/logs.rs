//! This replica's change logs, as links and trimming see them.

use bytes::Bytes;
use geodynamo_replicator_core::{Change, HostError, LogId, LogInfo, Millis, Position, TableId, Version};
use geodynamo_storage::Engine;
use tokio::sync::watch;

use crate::{
    Result, Table, TableError, Tables, apply::key_at, keys, record::Record, registers::CATALOG, table::TableStatus,
};

/// How long a stream keeps its records, in milliseconds: 24 hours, as in DynamoDB.
pub const STREAM_RETENTION_MS: Millis = 24 * 60 * 60 * 1000;
/// Records looked at a time when a log is trimmed by age.
const TRIM_ROWS: usize = 1024;
/// Bytes looked at a time, likewise.
const TRIM_BYTES: usize = 4 * 1024 * 1024;

impl<E: Engine> Tables<E> {
    /// The logs that a region must get: those of every table that has, or is admitting, a replica there, and the
    /// catalog's.
    pub fn logs_to(&self, region: &str) -> Vec<LogInfo> {
        let mut logs = self.logs_of(self.catalog_table());
        for table in self.all() {
            if table.replicates_to(region) {
                logs.extend(self.logs_of(&table));
            }
        }
        logs
    }

    /// The last readable position of one of this replica's logs.
    pub fn log_end(&self, log: LogId) -> Position {
        self.ends.lock().get(&log).copied().unwrap_or_default()
    }

    /// Changes whenever something readable was added to a log.
    pub fn writes(&self) -> watch::Receiver<u64> {
        self.written.subscribe()
    }

    /// Changes whenever the catalog has.
    pub fn catalog(&self) -> watch::Receiver<u64> {
        self.catalog_changed.subscribe()
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
            .engine()
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
        let Some(table) = self.replicated(table.0) else {
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
        for found in self.engine().get_many(&engine_keys).await? {
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

    /// This replica's logs of a table.
    pub(crate) fn logs_of(&self, table: &Table) -> Vec<LogInfo> {
        let map = table.partitions();
        let log = |partition| {
            let range = map.range(partition).unwrap_or((0, u64::MAX));
            LogInfo::new(self.replica(), TableId(table.id()), partition, range)
        };
        (0..map.partitions()).map(log).collect()
    }

    /// Up to where every other replica of a table has applied one of this replica's logs; the log's end if there is none.
    pub(crate) fn applied_everywhere(&self, table: &Table, log: LogId) -> Position {
        let acked = self.acked.lock();
        let others = table
            .other_replicas(self.region())
            .filter(|(region, _)| table.replicates_to(region));
        let applied = others.map(|(region, _)| acked.get(&(region.clone(), log)).copied().unwrap_or_default());
        applied.min().unwrap_or_else(|| self.log_end(log))
    }

    /// Drops what no reader of the logs needs any more: what every replica has applied and, where a stream is on, what is
    /// older than its retention. The catalog's log is never trimmed: it is small, and a fresh incarnation reads it whole.
    pub(crate) async fn trim_logs(&self) -> Result<()> {
        let now = self.orderer().time.now_ms();
        for table in self.all() {
            if table.id() == CATALOG || table.status() == TableStatus::Creating {
                continue;
            }
            for info in self.logs_of(&table) {
                let mut up_to = self.applied_everywhere(&table, info.log);
                if table.view().is_some() {
                    up_to = self
                        .older_than(info.log, now.saturating_sub(STREAM_RETENTION_MS), up_to)
                        .await?;
                }
                if up_to > Position::START {
                    let position = geodynamo_storage::Position(up_to.0);
                    self.engine()
                        .log_trim(geodynamo_storage::LogId(info.log.0), position)
                        .await?;
                }
            }
        }
        Ok(())
    }

    /// The last position, up to a limit, of the records that were committed before a time.
    async fn older_than(&self, log: LogId, time: Millis, limit: Position) -> Result<Position> {
        let mut at = Position::START;
        while at < limit {
            let records = self.read_log(log, at, TRIM_ROWS, TRIM_BYTES).await;
            let records = records.map_err(|error| TableError::Corrupt(error.to_string()))?;
            if records.is_empty() {
                break;
            }
            for (position, change) in records {
                if position > limit || change.commit_time >= time {
                    return Ok(at);
                }
                at = position;
            }
        }
        Ok(at)
    }
}
