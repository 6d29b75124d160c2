//! The database: opening it, reading it, writing batches.

use std::{
    fmt,
    fs::File,
    io::Read as _,
    ops::Range,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use bytes::Bytes;
use geodynamo_seal::{FILE_HEADER_BYTES, is_header};
use geodynamo_storage::{LogId, LogRecord, Page, Position, Prefix, Scan, StorageError};
use rocksdb::{
    Cache, ColumnFamily, ColumnFamilyDescriptor, CompactOptions, DB, DBRawIterator, FlushOptions, ReadOptions,
    WriteBatch, WriteOptions, properties,
};

use crate::{
    RocksMetrics, RocksOptions, admission,
    chain::Chain,
    classes::{Family, Placement, Span, Spot},
    damage,
    layout::{self, COLD, DATA, FORMAT, FORMAT_KEY, LOG, META},
    mark::{self, Mark},
    rows::{self, Records, failed},
    statistics::Statistics,
};

/// The column families of a store that was opened for writing.
const FAMILIES: [&str; 4] = [META, DATA, COLD, LOG];

/// An open database.
pub(crate) struct Store {
    db: Arc<DB>,
    cache: Cache,
    single: Single,
    chain: Chain,
}

/// How single rows are read.
struct Single {
    /// So that what is read from disk, of data, indexes and filters, stays in the block cache.
    keeping: ReadOptions,
    /// So that it does not.
    passing: ReadOptions,
    /// The cache is full when so many bytes of it are used, memtables included.
    full_bytes: usize,
    /// Whether the cache was full when it was asked last.
    is_full: AtomicBool,
}

impl Single {
    fn new(options: &RocksOptions) -> Self {
        let mut passing = ReadOptions::default();
        passing.fill_cache(false);
        Self {
            keeping: ReadOptions::default(),
            passing,
            full_bytes: options.cache_bytes() / 16 * 15,
            is_full: AtomicBool::new(false),
        }
    }
}

impl fmt::Debug for Store {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Store")
            .field("path", &self.db.path())
            .finish_non_exhaustive()
    }
}

impl Store {
    /// Opens the store for reading and writing. What was in the WAL is in tables when this returns, written and synced anew.
    /// A new one is made only if that is wanted.
    /// Compactions run by themselves only if `compacts`.
    pub(crate) fn open(
        path: &Path,
        options: &RocksOptions,
        statistics: &Statistics,
        make: bool,
        compacts: bool,
    ) -> Result<Self, StorageError> {
        check_seal(path, options)?;
        if options.sync {
            check_logs(path, options)?;
        }
        let (mut database, cache) = options.database(statistics);
        database.create_if_missing(make);
        let families = options.column_families(path, &cache, compacts)?;
        let db = DB::open_cf_descriptors(&database, path, families).map_err(failed)?;
        let store = Self::of(db, cache, options);
        store.check_format(options.sync)?;
        Ok(store)
    }

    /// Opens a store that is there for reading only, which writes nothing.
    pub(crate) fn open_to_read(
        path: &Path,
        options: &RocksOptions,
        statistics: &Statistics,
    ) -> Result<Self, StorageError> {
        let (mut database, cache) = options.database(statistics);
        database.create_if_missing(false);
        // One that an older release wrote lacks a family, and nothing makes it here.
        let there = DB::list_cf(&database, path).map_err(failed)?;
        let is_there = |family: &ColumnFamilyDescriptor| there.iter().any(|name| name == family.name());
        let families = options
            .column_families(path, &cache, true)?
            .into_iter()
            .filter(is_there);
        let db = DB::open_cf_descriptors_read_only(&database, path, families, false).map_err(failed)?;
        Ok(Self::of(db, cache, options))
    }

    fn of(db: DB, cache: Cache, options: &RocksOptions) -> Self {
        Self {
            db: Arc::new(db),
            cache,
            single: Single::new(options),
            chain: Chain::new(),
        }
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
                let mut batch = self.batch(0);
                batch.put_cf(self.family(META)?, FORMAT_KEY, [FORMAT]);
                self.write(batch, sync)
            }
            None => Err(StorageError::Io("the store has no format, and is not empty".into())),
        }
    }

    fn is_empty(&self) -> Result<bool, StorageError> {
        for family in FAMILIES {
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

    /// How rows are kept, as it is stored.
    pub(crate) fn placement(&self) -> Result<Placement, StorageError> {
        let mut options = ReadOptions::default();
        options.set_iterate_lower_bound(layout::CLASSES.0);
        options.set_iterate_upper_bound(layout::CLASSES.1);
        let mut rows = self.db.raw_iterator_cf_opt(self.family(META)?, options);
        rows.seek_to_first();
        let mut places = Vec::new();
        while let Some((key, value)) = rows.item() {
            let prefix = key.get(1..).and_then(Prefix::of);
            let (Some(prefix), [place]) = (prefix, value) else {
                return Err(layout::damaged("how rows are kept"));
            };
            places.push((prefix, *place));
            rows.next();
        }
        rows.status().map_err(failed)?;
        Placement::load(places)
    }

    pub(crate) fn get(&self, key: &[u8], placement: &Placement) -> Result<Option<Bytes>, StorageError> {
        match placement.spot(key) {
            Spot::In(family) => {
                let options = self.single_options();
                let value = self.db.get_pinned_cf_opt(self.family(family.name())?, key, options);
                Ok(value.map_err(failed)?.map(|value| Bytes::copy_from_slice(&value)))
            }
            spot => rows::get_at(&self.db, &self.db.snapshot(), key, spot),
        }
    }

    /// For a read of single rows.
    fn single_options(&self) -> &ReadOptions {
        if self.keeps_blocks() {
            &self.single.keeping
        } else {
            &self.single.passing
        }
    }

    /// Whether a read of single rows leaves what it read from disk in the block cache: see [`admission`].
    pub(crate) fn keeps_blocks(&self) -> bool {
        let is_full = &self.single.is_full;
        if admission::is_lucky() {
            // To ask how full it is costs more than each read should pay.
            let full = self.cache.get_usage() >= self.single.full_bytes;
            if full != is_full.load(Ordering::Relaxed) {
                is_full.store(full, Ordering::Relaxed);
            }
            return true;
        }
        !is_full.load(Ordering::Relaxed)
    }

    /// Whether a key has a value, or none. For the committer, beside whom nobody writes.
    pub(crate) fn holds(
        &self,
        key: &[u8],
        expect: Option<&Bytes>,
        placement: &Placement,
    ) -> Result<bool, StorageError> {
        let is_in = |family: Family| self.holds_in(family, key, expect);
        match placement.spot(key) {
            Spot::In(family) => is_in(family),
            // No row is in both.
            Spot::Either(to) if expect.is_none() => Ok(is_in(to)? && is_in(to.other())?),
            Spot::Either(to) => Ok(is_in(to)? || is_in(to.other())?),
        }
    }

    /// Whether a key has a value, or none, in one family.
    pub(crate) fn holds_in(&self, family: Family, key: &[u8], expect: Option<&Bytes>) -> Result<bool, StorageError> {
        let options = self.single_options();
        let value = self.db.get_pinned_cf_opt(self.family(family.name())?, key, options);
        Ok(value.map_err(failed)?.as_deref() == expect.map(|expect| &expect[..]))
    }

    /// All as of one moment: RocksDB reads the keys of one call, in one column family, at one sequence number.
    pub(crate) fn get_many<K: AsRef<[u8]>>(
        &self,
        keys: &[K],
        placement: &Placement,
    ) -> Result<Vec<Option<Bytes>>, StorageError> {
        let first = keys
            .first()
            .map_or(Spot::In(Family::Data), |key| placement.spot(key.as_ref()));
        let family = match first {
            Spot::In(family) if keys.iter().all(|key| placement.spot(key.as_ref()) == first) => family,
            _ => {
                let view = self.db.snapshot();
                let get = |key: &K| rows::get_at(&self.db, &view, key.as_ref(), placement.spot(key.as_ref()));
                return keys.iter().map(get).collect();
            }
        };
        let options = self.single_options();
        let values = self
            .db
            .batched_multi_get_cf_opt(self.family(family.name())?, keys, false, options);
        values
            .into_iter()
            .map(|value| Ok(value.map_err(failed)?.map(|value| Bytes::copy_from_slice(&value))))
            .collect()
    }

    pub(crate) fn scan(&self, scan: &Scan, placement: &Placement) -> Result<Page, StorageError> {
        if scan.is_empty() {
            return Ok(Page::default());
        }
        match placement.span_of_scan(scan) {
            Span::In(family) => self.scan_in(family, scan),
            span => rows::page_at(&self.db, &self.db.snapshot(), scan, span),
        }
    }

    /// A page of a range in one family.
    pub(crate) fn scan_in(&self, family: Family, scan: &Scan) -> Result<Page, StorageError> {
        let family = self.family(family.name())?;
        rows::page(self.db.raw_iterator_cf_opt(family, rows::read_options(scan)), scan)
    }

    pub(crate) fn log_read(
        &self,
        log: LogId,
        after: Position,
        rows_max: usize,
        bytes_max: usize,
    ) -> Result<Vec<LogRecord>, StorageError> {
        let mut trimmed = self.log_trimmed(log)?;
        loop {
            let Some(first) = after.max(trimmed).0.checked_add(1) else {
                return Ok(Vec::new());
            };
            let mut records = Records::new(rows_max, bytes_max);
            self.gather(log, Position(first), &mut records)?;
            // A trim that came in between may have taken what the stretches told of; what lies behind it may be there.
            let trimmed_now = self.log_trimmed(log)?;
            if !records.found.is_empty() || trimmed_now == trimmed {
                return Ok(records.found);
            }
            trimmed = trimmed_now;
        }
    }

    /// Gathers a log's records from a position on.
    fn gather(&self, log: LogId, first: Position, records: &mut Records) -> Result<(), StorageError> {
        let mut stretches = self.stretches(log)?;
        // The last one that begins no later holds the position.
        stretches.seek_for_prev(layout::stretch_key(log, first));
        if !stretches.valid() {
            stretches.status().map_err(failed)?;
            stretches.seek_to_first();
        }
        while let Some(segment) = stretches.value() {
            let segment = layout::segment_from(segment)?;
            let mut options = ReadOptions::default();
            options.set_iterate_lower_bound(layout::record_key(segment, log, first));
            options.set_iterate_upper_bound(layout::record_key(segment, log, Position(u64::MAX)));
            records.take(self.db.raw_iterator_cf_opt(self.family(LOG)?, options))?;
            if records.is_full() {
                return Ok(());
            }
            stretches.next();
        }
        stretches.status().map_err(failed)
    }

    /// The rows of a log's stretches.
    fn stretches(&self, log: LogId) -> Result<DBRawIterator<'_>, StorageError> {
        let mut options = ReadOptions::default();
        options.set_iterate_lower_bound(layout::stretch_key(log, Position::START));
        options.set_iterate_upper_bound(layout::stretch_key(log, Position(u64::MAX)));
        Ok(self.db.raw_iterator_cf_opt(self.family(META)?, options))
    }

    /// The stretches of a log that a trim up to a position ends: where each began, and its segment. The last one ends only
    /// if that is the log's end.
    pub(crate) fn stretches_ended(
        &self,
        log: LogId,
        up_to: Position,
        end: Position,
    ) -> Result<Vec<(Position, u64)>, StorageError> {
        let mut ended = Vec::new();
        let mut stretches = self.stretches(log)?;
        stretches.seek_to_first();
        let mut open = None;
        while let Some((key, segment)) = stretches.item() {
            let (first, segment) = (layout::first_of(key)?, layout::segment_from(segment)?);
            // Those before the next one's first have been trimmed.
            ended.extend(open.take().filter(|_| first.0 <= up_to.0.saturating_add(1)));
            if first > up_to {
                return Ok(ended);
            }
            open = Some((first, segment));
            stretches.next();
        }
        stretches.status().map_err(failed)?;
        ended.extend(open.filter(|_| up_to >= end));
        Ok(ended)
    }

    /// Tells of each stretch of any log in which segment it is.
    pub(crate) fn for_each_stretch(&self, mut tell: impl FnMut(u64)) -> Result<(), StorageError> {
        let mut options = ReadOptions::default();
        options.set_iterate_lower_bound(layout::STRETCHES.0);
        options.set_iterate_upper_bound(layout::STRETCHES.1);
        let mut stretches = self.db.raw_iterator_cf_opt(self.family(META)?, options);
        stretches.seek_to_first();
        while let Some(segment) = stretches.value() {
            tell(layout::segment_from(segment)?);
            stretches.next();
        }
        stretches.status().map_err(failed)
    }

    /// The newest segment that a record is in, trimmed or not.
    pub(crate) fn last_segment(&self) -> Result<Option<u64>, StorageError> {
        let mut records = self.db.raw_iterator_cf(self.family(LOG)?);
        records.seek_to_last();
        records.status().map_err(failed)?;
        records.key().map(layout::segment_of).transpose()
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

    /// The next batch that is written, with room for so many bytes.
    pub(crate) fn batch(&self, bytes: usize) -> WriteBatch {
        let mut batch = WriteBatch::with_capacity_bytes(bytes);
        self.chain.begin(&mut batch);
        batch
    }

    /// Writes a batch that [`Store::batch`] gave; if `sync`, it is on disk before anything of it is visible, and before this returns.
    pub(crate) fn write(&self, batch: WriteBatch, sync: bool) -> Result<(), StorageError> {
        let mut options = WriteOptions::default();
        options.set_sync(sync);
        self.db.write_opt(batch, &options).map_err(failed)?;
        self.chain.written();
        // A sync writes out what is buffered.
        if sync {
            Ok(())
        } else {
            self.db.flush_wal(false).map_err(failed)
        }
    }

    /// Tries whether the store takes writes, with one that changes nothing.
    pub(crate) fn try_out(&self, sync: bool) -> Result<(), StorageError> {
        let mut batch = self.batch(0);
        batch.put_cf(self.family(META)?, FORMAT_KEY, [FORMAT]);
        self.write(batch, sync)
    }

    /// The sequence number of the last write that readers see.
    pub(crate) fn published(&self) -> u64 {
        self.db.latest_sequence_number()
    }

    /// How many flushes and compactions have failed.
    pub(crate) fn background_errors(&self) -> u64 {
        self.whole(properties::BACKGROUND_ERRORS)
    }

    /// Bytes in memtables.
    pub(crate) fn memtable_bytes(&self) -> u64 {
        self.sum(properties::CUR_SIZE_ALL_MEM_TABLES)
    }

    /// Ends flushes and compactions; there are none any more.
    pub(crate) fn stop_background(&self) {
        self.db.cancel_all_background_work(false);
    }

    /// Merges rows so that what was overwritten or deleted takes no room any more. Returns when that is done.
    pub(crate) fn compact(&self) -> Result<(), StorageError> {
        self.compact_in(Family::Data, None, None)
    }

    /// The same, of a range of one family. What it writes is in the store's own directory, whatever its family.
    pub(crate) fn compact_in(&self, of: Family, from: Option<&[u8]>, to: Option<&[u8]>) -> Result<(), StorageError> {
        let mut options = CompactOptions::default();
        options.set_exclusive_manual_compaction(false);
        self.db
            .compact_range_cf_opt(self.family(of.name())?, from, to, &options);
        Ok(())
    }

    /// Bytes of the files of a family that may hold keys of a range.
    pub(crate) fn file_bytes(&self, of: Family, from: &[u8], to: &[u8]) -> Result<u64, StorageError> {
        let files = self.db.live_files().map_err(failed)?.into_iter().filter(|file| {
            let begins = file.start_key.as_deref().is_none_or(|start| start < to);
            let ends = file.end_key.as_deref().is_none_or(|end| end >= from);
            file.column_family_name == of.name() && begins && ends
        });
        Ok(files.map(|file| file.size as u64).sum())
    }

    /// Drops the files that hold nothing but records of these segments.
    pub(crate) fn drop_segments(&self, segments: Range<u64>) -> Result<(), StorageError> {
        let (from, to) = (segments.start.to_be_bytes(), segments.end.to_be_bytes());
        self.db
            .delete_file_in_range_cf(self.family(LOG)?, from, to)
            .map_err(failed)
    }

    /// Writes all memtables out; unless `wait`, in the background, and what is written from now on goes to new ones and a
    /// new WAL.
    pub(crate) fn flush(&self, wait: bool) -> Result<(), StorageError> {
        let [meta, data, cold, log] = FAMILIES.map(|name| self.family(name));
        let families = [meta?, data?, cold?, log?];
        let mut options = FlushOptions::default();
        options.set_wait(wait);
        self.db.flush_cfs_opt(&families, &options).map_err(failed)
    }

    /// Fills in what the database holds. A property that cannot be read counts zero.
    pub(crate) fn measure(&self, metrics: &mut RocksMetrics) {
        metrics.cache_bytes = self.cache.get_usage() as u64;
        metrics.memtable_bytes = self.memtable_bytes();
        metrics.table_bytes = self.sum(properties::TOTAL_SST_FILES_SIZE);
        let of = |name| {
            family(&self.db, name)
                .ok()
                .map(|family| self.db.property_int_value_cf(family, properties::TOTAL_SST_FILES_SIZE))
        };
        let bytes = |name| of(name).and_then(|bytes| bytes.ok().flatten()).unwrap_or(0);
        (metrics.standard_bytes, metrics.infrequent_bytes) = (bytes(DATA), bytes(COLD));
        metrics.compaction_pending_bytes = self.sum(properties::ESTIMATE_PENDING_COMPACTION_BYTES);
        metrics.write_rate_limit = self.whole(properties::ACTUAL_DELAYED_WRITE_RATE);
        metrics.writes_stopped = self.whole(properties::IS_WRITE_STOPPED) != 0;
    }

    /// A property of the column families, summed up.
    fn sum(&self, property: &properties::PropName) -> u64 {
        let of = |name| {
            self.db
                .property_int_value_cf(family(&self.db, name).ok()?, property)
                .ok()
                .flatten()
        };
        FAMILIES.into_iter().filter_map(of).sum()
    }

    /// A property of the database.
    fn whole(&self, property: &properties::PropName) -> u64 {
        self.db.property_int_value(property).ok().flatten().unwrap_or(0)
    }
}

/// Refuses a store that is encrypted without keys, and one that is not with them: RocksDB would take either for damaged.
fn check_seal(path: &Path, options: &RocksOptions) -> Result<(), StorageError> {
    let mut start = Vec::new();
    // Without that file it is a new store, or one that RocksDB says more of.
    let Ok(file) = File::open(path.join("CURRENT")) else {
        return Ok(());
    };
    file.take(FILE_HEADER_BYTES as u64)
        .read_to_end(&mut start)
        .map_err(|error| StorageError::Io(error.to_string().into()))?;
    let refused = |text: &str| Err(StorageError::Io(text.into()));
    match &options.seal {
        None if is_header(&start) => refused("the store is encrypted, and there is no key"),
        Some(_) if start.starts_with(b"MANIFEST-") => refused("the store is not encrypted"),
        _ => Ok(()),
    }
}

/// Refuses a store of which RocksDB would leave out what had been acknowledged: because a log is damaged or gone, or because a log,
/// the manifest or the whole store is an older copy of itself.
fn check_logs(path: &Path, options: &RocksOptions) -> Result<(), StorageError> {
    let io = |error: std::io::Error| StorageError::Io(error.to_string().into());
    let corrupted = |text: String| Err(StorageError::Io(format!("Corruption: {text}").into()));
    let known = mark::read(path).map_err(io)?.unwrap_or(0);
    let mark = Mark::path(path);
    if known > 0 && !path.join("CURRENT").exists() {
        let (path, mark) = (path.display(), mark.display());
        return corrupted(format!(
            "{path} is gone: it is not made anew as long as {mark} says that there was one"
        ));
    }
    let second = options.cold_dir.as_deref().map(|folder| (COLD, folder));
    // If the manifest cannot be read, RocksDB says more of that.
    let needed = geodynamo_rocks_env::needed_log(path, second, options.seal.clone()).ok();
    let found = damage::find(path, options.seal.as_ref(), needed).map_err(io)?;
    if let Some(log) = found.gap {
        return corrupted(format!(
            "{}: before the end of log {log:06} writes are missing that had been acknowledged: a log is gone or was cut off, or the \
             MANIFEST is an older copy. Bring the files back; or give the region a new data directory, and it gets a copy from the \
             other regions",
            path.display()
        ));
    }
    if found.damage.is_none() && found.last >= known {
        return Ok(());
    }
    // It may be a log that is not needed any more: what was in it is in tables, then.
    let published = Store::open_to_read(path, options, &Statistics::default())?.published();
    match found.damage {
        Some(damage) if published < damage.next => corrupted(format!(
            "{}: damaged at byte {}, and writes behind it had been acknowledged",
            damage.log.display(),
            damage.at
        )),
        _ if published < known => corrupted(format!(
            "{}: it ends with write {published}, and {known} had been acknowledged, as {} says: a log, or all of it, is an older copy \
             or was cut off. Bring the files back; or give the region a new data directory, and it gets a copy from the other regions",
            path.display(),
            mark.display()
        )),
        _ => Ok(()),
    }
}

/// A column family's handle. Opening made all of them, so an error means a fault of this crate.
pub(crate) fn family<'a>(db: &'a DB, name: &'static str) -> Result<&'a ColumnFamily, StorageError> {
    db.cf_handle(name)
        .ok_or_else(|| StorageError::Io(format!("no column family {name}").into()))
}
