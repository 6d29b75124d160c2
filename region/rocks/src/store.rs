//! The database: opening it, reading it, writing batches.

use std::{fmt, path::Path, sync::Arc};

use bytes::Bytes;
use geodynamo_storage::{LogId, LogRecord, Page, Position, Scan, StorageError};
use rocksdb::{Cache, ColumnFamily, DB, FlushOptions, ReadOptions, WriteBatch, WriteOptions, properties};

use crate::{
    RocksMetrics, RocksOptions,
    layout::{self, DATA, FORMAT, FORMAT_KEY, LOG, META},
    rows::{self, failed},
};

/// An open database. Clones share it.
#[derive(Clone)]
pub(crate) struct Store {
    db: Arc<DB>,
    cache: Cache,
}

impl fmt::Debug for Store {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Store")
            .field("path", &self.db.path())
            .finish_non_exhaustive()
    }
}

impl Store {
    pub(crate) fn open(path: &Path, options: &RocksOptions) -> Result<Self, StorageError> {
        let (database, cache) = options.database();
        let families = options.column_families(&cache);
        let db = DB::open_cf_descriptors(&database, path, families).map_err(failed)?;
        let store = Self {
            db: Arc::new(db),
            cache,
        };
        store.check_format(options.sync)?;
        Ok(store)
    }

    /// Refuses a store of another format; writes the format into a new one.
    fn check_format(&self, sync: bool) -> Result<(), StorageError> {
        match self.db.get_pinned_cf(self.family(META)?, FORMAT_KEY).map_err(failed)? {
            Some(format) if *format == [FORMAT] => Ok(()),
            Some(format) => {
                let text = format!("the store has format {:?}; this program knows {FORMAT} only", &*format);
                Err(StorageError::Io(text.into()))
            }
            None if self.is_empty()? => {
                let mut batch = WriteBatch::default();
                batch.put_cf(self.family(META)?, FORMAT_KEY, [FORMAT]);
                self.write(batch, sync)
            }
            None => Err(StorageError::Io("the store has no format, and is not empty".into())),
        }
    }

    fn is_empty(&self) -> Result<bool, StorageError> {
        for family in [META, DATA, LOG] {
            let mut rows = self.db.raw_iterator_cf(self.family(family)?);
            rows.seek_to_first();
            rows.status().map_err(failed)?;
            if rows.valid() {
                return Ok(false);
            }
        }
        Ok(true)
    }

    pub(crate) fn db(&self) -> &Arc<DB> {
        &self.db
    }

    pub(crate) fn family(&self, name: &'static str) -> Result<&ColumnFamily, StorageError> {
        family(&self.db, name)
    }

    pub(crate) fn get(&self, key: &[u8]) -> Result<Option<Bytes>, StorageError> {
        let value = self.db.get_pinned_cf(self.family(DATA)?, key).map_err(failed)?;
        Ok(value.map(|value| Bytes::copy_from_slice(&value)))
    }

    /// Whether a key has a value, or none.
    pub(crate) fn holds(&self, key: &[u8], expect: Option<&Bytes>) -> Result<bool, StorageError> {
        let value = self.db.get_pinned_cf(self.family(DATA)?, key).map_err(failed)?;
        Ok(value.as_deref() == expect.map(|expect| &expect[..]))
    }

    /// All as of one moment: RocksDB reads the keys of one call, in one column family, at one sequence number.
    pub(crate) fn get_many(&self, keys: &[Bytes]) -> Result<Vec<Option<Bytes>>, StorageError> {
        let values = self
            .db
            .batched_multi_get_cf_opt(self.family(DATA)?, keys, false, &ReadOptions::default());
        values
            .into_iter()
            .map(|value| Ok(value.map_err(failed)?.map(|value| Bytes::copy_from_slice(&value))))
            .collect()
    }

    pub(crate) fn scan(&self, scan: &Scan) -> Result<Page, StorageError> {
        if scan.is_empty() {
            return Ok(Page::default());
        }
        rows::page(
            self.db
                .raw_iterator_cf_opt(self.family(DATA)?, rows::read_options(scan)),
            scan,
        )
    }

    pub(crate) fn log_read(
        &self,
        log: LogId,
        after: Position,
        rows_max: usize,
        bytes_max: usize,
    ) -> Result<Vec<LogRecord>, StorageError> {
        // Begins behind the trim, so as not to walk over its tombstones.
        let Some(first) = after.max(self.log_trimmed(log)?).0.checked_add(1) else {
            return Ok(Vec::new());
        };
        let mut options = ReadOptions::default();
        options.set_iterate_lower_bound(layout::record_key(log, Position(first)));
        options.set_iterate_upper_bound(layout::behind_log(log));
        rows::records(
            self.db.raw_iterator_cf_opt(self.family(LOG)?, options),
            rows_max,
            bytes_max,
        )
    }

    pub(crate) fn log_end(&self, log: LogId) -> Result<Position, StorageError> {
        self.position(&layout::end_key(log))
    }

    /// Up to where a log was trimmed.
    pub(crate) fn log_trimmed(&self, log: LogId) -> Result<Position, StorageError> {
        self.position(&layout::trim_key(log))
    }

    fn position(&self, key: &[u8]) -> Result<Position, StorageError> {
        match self.db.get_pinned_cf(self.family(META)?, key).map_err(failed)? {
            Some(position) => layout::position_from(&position),
            None => Ok(Position::START),
        }
    }

    /// Writes a batch; if `sync`, it is on disk before anything of it is visible, and before this returns.
    pub(crate) fn write(&self, batch: WriteBatch, sync: bool) -> Result<(), StorageError> {
        let mut options = WriteOptions::default();
        options.set_sync(sync);
        self.db.write_opt(batch, &options).map_err(failed)
    }

    /// Drops the files that hold nothing but trimmed records of a log.
    pub(crate) fn drop_trimmed_files(&self, log: LogId, up_to: Position) -> Result<(), StorageError> {
        let (from, to) = (layout::record_key(log, Position::START), layout::record_key(log, up_to));
        self.db
            .delete_file_in_range_cf(self.family(LOG)?, from, to)
            .map_err(failed)
    }

    /// Writes all memtables out.
    pub(crate) fn flush(&self) -> Result<(), StorageError> {
        let families = [self.family(META)?, self.family(DATA)?, self.family(LOG)?];
        self.db
            .flush_cfs_opt(&families, &FlushOptions::default())
            .map_err(failed)
    }

    /// Fills in what the database holds. A property that cannot be read counts zero.
    pub(crate) fn measure(&self, metrics: &mut RocksMetrics) {
        let sum = |property: &properties::PropName| -> u64 {
            let of = |name| {
                self.db
                    .property_int_value_cf(family(&self.db, name).ok()?, property)
                    .ok()
                    .flatten()
            };
            [META, DATA, LOG].into_iter().filter_map(of).sum()
        };
        let whole = |property: &properties::PropName| self.db.property_int_value(property).ok().flatten().unwrap_or(0);
        metrics.cache_bytes = self.cache.get_usage() as u64;
        metrics.memtable_bytes = sum(properties::CUR_SIZE_ALL_MEM_TABLES);
        metrics.table_bytes = sum(properties::TOTAL_SST_FILES_SIZE);
        metrics.compaction_pending_bytes = sum(properties::ESTIMATE_PENDING_COMPACTION_BYTES);
        metrics.write_rate_limit = whole(properties::ACTUAL_DELAYED_WRITE_RATE);
        metrics.writes_stopped = whole(properties::IS_WRITE_STOPPED) != 0;
    }
}

/// A column family's handle. Opening made all of them, so an error means a fault of this crate.
pub(crate) fn family<'a>(db: &'a DB, name: &'static str) -> Result<&'a ColumnFamily, StorageError> {
    db.cf_handle(name)
        .ok_or_else(|| StorageError::Io(format!("no column family {name}").into()))
}
