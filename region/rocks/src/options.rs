//! What can be chosen, and what it means for RocksDB.

use std::path::{Path, PathBuf};

use geodynamo_seal::Keyring;
use geodynamo_storage::StorageError;
use rocksdb::{
    BlockBasedIndexType, BlockBasedOptions, Cache, ColumnFamilyDescriptor, DBCompressionType, DBPath,
    DataBlockIndexType, Options, WriteBufferManager,
};

use crate::{
    classes::Family,
    layout::{COLD, DATA, LOG, META},
    rows::failed,
    statistics::Statistics,
};

const MIB: usize = 1024 * 1024;
/// Bytes of a data block. A point read that finds its block in no cache unpacks all of it: half of 8 KiB costs half as much,
/// 14 µs in a table of 10 million items.
const DATA_BLOCK_BYTES: usize = 4 * 1024;
/// Keys of a block's index after which one is written whole, the others as what they do not share with the one before. Keys
/// have a long part in common, their table's and often their partition key's. By reckoning, not by measurement: in a table of
/// 10 million items whole keys would take some 60 MB of the cache, these a third of that.
const INDEX_RESTART_KEYS: i32 = 16;
/// Bytes of a log block: logs are read in sequence.
const LOG_BLOCK_BYTES: usize = 64 * 1024;
/// Bytes of a block of rows that are read seldom: the more are compressed together, the less they take, and the more a read
/// of one unpacks.
const COLD_BLOCK_BYTES: usize = 8 * 1024;
/// How hard zstd tries with them. Measured with items of 1 KB of text (`examples/classes.rs`): beyond this it takes far longer
/// for hardly less.
const COLD_LEVEL: i32 = 9;
/// Bytes of a file's dictionary, which is learnt from samples of so many times its size: what the file's blocks have in common
/// need not be told in each.
const COLD_DICTIONARY_BYTES: i32 = 128 * 1024;
const COLD_SAMPLES: i32 = 16;
/// zstd's own choice of a window.
const COLD_WINDOW_BITS: i32 = -14;
/// Bits of bloom filter for each key: about one needless read in a hundred.
const BLOOM_BITS: f64 = 10.0;
/// The part of a memtable that its bloom filter takes: a key that it does not hold costs no search of it.
const MEMTABLE_BLOOM_PART: f64 = 0.02;
/// Keys to a bucket of a data block's hash index. RocksDB's documents find this a good trade of space for speed.
const BLOCK_HASH_RATIO: f64 = 0.75;
/// Bytes of one SST file.
const FILE_BYTES: u64 = 32 * MIB as u64;
/// Bytes that are written to files before they are given to the disk: no large write-back stands before a commit's sync.
const SYNC_STEP_BYTES: u64 = 512 * 1024;
/// Into steps of so many microseconds what may be written in the background is divided. A commit's sync waits for what
/// the disk was given before, which is one step's at most.
const BACKGROUND_STEP_MICROS: i64 = 5_000;
/// One in so many times compactions are let go before flushes: RocksDB's own figure.
const BACKGROUND_FAIRNESS: i32 = 10;
/// WAL files that are kept to be written over. A sync of a file that does not grow changes nothing in the file system's
/// journal: it takes half the time, and does not wait for the data of tables that are being written, which a commit of the
/// journal would. RocksDB cuts each to what was written of it, so they are of use only if all are of one size: see
/// [`RocksOptions::turn_bytes`].
const WAL_FILES_RECYCLED: usize = 4;
/// Files of rows that gather at level 0 before they are merged into the next level. A turn's are of some 10 MB, since the
/// change logs take most of it, and the level below holds 128 MB and more, all of which random overwrites touch: RocksDB's own
/// four would rewrite it for 40 MB.
const DATA_FILES_AT_LEVEL_0: i32 = 8;
/// Memtables of one kind that may wait to be written out before writes wait for them.
const MEMTABLES_MAX: i32 = 4;
/// Files of RocksDB's own messages that are kept, and bytes of each.
const INFO_FILES_MAX: usize = 2;
const INFO_FILE_BYTES_MAX: usize = 4 * MIB;
/// Bytes of the manifest after which it is written anew.
const MANIFEST_BYTES_MAX: usize = 16 * MIB;

/// How a [`crate::RocksEngine`] uses the machine. [`Default`] is meant for a region of 512 MB on two cores.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RocksOptions {
    /// Bytes of blocks (of data, indexes and filters) kept in memory. 96 MiB unless told.
    pub block_cache_bytes: usize,
    /// Bytes of single rows kept in memory because they were read lately, rounded down to a power of two. 32 MiB unless
    /// told; 0 keeps none.
    pub row_cache_bytes: usize,
    /// Bytes of writes kept in memory until they are written to tables. 64 MiB unless told; while a flush runs it may be
    /// passed by half.
    pub memtable_bytes: usize,
    /// Bytes of WAL after which the oldest writes are flushed, so that it can be cut. 192 MiB unless told.
    pub wal_bytes_max: u64,
    /// Files that RocksDB keeps open. 512 unless told.
    pub open_files_max: u16,
    /// Flushes and compactions that run at once. 2 unless told.
    pub background_jobs: u8,
    /// Bytes a second that flushes and compactions write at most, together; 0 for no limit. 128 MiB unless told. Without
    /// one, 40 MB of memtables go to the disk at once, and the syncs of commits wait for them.
    pub background_bytes_per_second: u64,
    /// Bytes kept in reserve for when the disk is full, at most an eighth of the file system. 0 unless told: none.
    pub reserve_bytes: u64,
    /// How often writes may fail within ten minutes before the engine gives up on the disk. 32 unless told.
    pub failures_max: usize,
    /// Where rows of the class Infrequent lie once they are compacted; none unless told: with the others. Once told, it
    /// stays.
    pub cold_dir: Option<PathBuf>,
    /// Bytes a second of rows that are moved from one class to another. 16 MiB unless told.
    pub move_bytes_per_second: u64,
    /// The keys that all files are encrypted under. None unless told: nothing is encrypted.
    pub seal: Option<Keyring>,
    /// Whether a commit waits for the disk. False is for tests that prove that it matters.
    pub sync: bool,
    /// Whether a commit whose write or sync failed is refused. False is for tests that prove that it matters.
    pub refuse_failed: bool,
}

impl Default for RocksOptions {
    fn default() -> Self {
        Self {
            block_cache_bytes: 96 * MIB,
            row_cache_bytes: 32 * MIB,
            memtable_bytes: 64 * MIB,
            wal_bytes_max: 192 * MIB as u64,
            open_files_max: 512,
            background_jobs: 2,
            background_bytes_per_second: 128 * MIB as u64,
            reserve_bytes: 0,
            failures_max: 32,
            cold_dir: None,
            move_bytes_per_second: 16 * MIB as u64,
            seal: None,
            sync: true,
            refuse_failed: true,
        }
    }
}

impl RocksOptions {
    /// Bytes of the cache: blocks, and memtables, which are charged to it. So that what is together stays under one limit.
    pub(crate) fn cache_bytes(&self) -> usize {
        self.block_cache_bytes.saturating_add(self.memtable_bytes)
    }

    /// The database's options, and the cache that must live as long as it.
    pub(crate) fn database(&self, statistics: &Statistics) -> (Options, Cache) {
        // Looking a block up takes no lock in this cache. 0: it learns how large blocks are.
        let cache = Cache::new_hyper_clock_cache(self.cache_bytes(), 0);
        // Memtables are charged to the cache: together they stay under one limit. No stall: a flush that lags is met by
        // RocksDB's own slowing of writes.
        let memtables =
            WriteBufferManager::new_write_buffer_manager_with_cache(self.memtable_bytes, false, cache.clone());
        let mut options = statistics.options();
        if let Some(keyring) = &self.seal {
            options.set_env(&geodynamo_rocks_env::sealed(keyring.clone()));
        }
        options.create_if_missing(true);
        options.create_missing_column_families(true);
        options.set_write_buffer_manager(&memtables);
        options.set_max_total_wal_size(self.wal_bytes_max);
        options.set_recycle_log_file_num(WAL_FILES_RECYCLED);
        // Every batch is synced, which writes out what was buffered, so this costs nothing. What it is for: RocksDB then does
        // not recover by itself from a WAL that failed. It would flush one column family after the other, and a crash between
        // them could bring back a part of the batch that failed. See `recovery.rs`.
        options.set_manual_wal_flush(true);
        options.set_max_open_files(self.open_files_max.max(64).into());
        options.set_max_background_jobs(self.background_jobs.max(1).into());
        options.set_max_subcompactions(1);
        options.set_bytes_per_sync(SYNC_STEP_BYTES);
        if let Ok(rate @ 1..) = i64::try_from(self.background_bytes_per_second) {
            options.set_ratelimiter(rate, BACKGROUND_STEP_MICROS, BACKGROUND_FAIRNESS);
        }
        options.set_compaction_readahead_size(MIB);
        options.set_skip_stats_update_on_db_open(true);
        options.set_stats_dump_period_sec(0);
        options.set_keep_log_file_num(INFO_FILES_MAX);
        options.set_max_log_file_size(INFO_FILE_BYTES_MAX);
        options.set_max_manifest_file_size(MANIFEST_BYTES_MAX);
        // Files left by an iterator are removed in the background, not by the reader.
        options.set_avoid_unnecessary_blocking_io(true);
        (options, cache)
    }

    pub(crate) fn column_families(
        &self,
        path: &Path,
        cache: &Cache,
        compacts: bool,
    ) -> Result<Vec<ColumnFamilyDescriptor>, StorageError> {
        let families = [
            (META, self.meta(cache)),
            (DATA, self.data(cache)),
            (COLD, self.cold(path, cache)?),
            (LOG, self.log(cache)),
        ];
        let described = families.map(|(name, mut options)| {
            options.set_disable_auto_compactions(!compacts);
            ColumnFamilyDescriptor::new(name, options)
        });
        Ok(described.into())
    }

    /// For who writes table files of a family beside the store.
    pub(crate) fn of_files(&self, family: Family, path: &Path) -> Result<Options, StorageError> {
        let cache = Cache::new_lru_cache(0);
        let mut options = match family {
            Family::Data => self.data(&cache),
            Family::Cold => self.cold(path, &cache)?,
        };
        if let Some(keyring) = &self.seal {
            options.set_env(&geodynamo_rocks_env::sealed(keyring.clone()));
        }
        options.set_bytes_per_sync(SYNC_STEP_BYTES);
        Ok(options)
    }

    fn data(&self, cache: &Cache) -> Options {
        let mut blocks = blocks(cache, DATA_BLOCK_BYTES);
        blocks.set_bloom_filter(BLOOM_BITS, false);
        blocks.set_optimize_filters_for_memory(true);
        blocks.set_whole_key_filtering(true);
        // Most reads are of one key: a hash index in the block finds it without a binary search.
        blocks.set_data_block_index_type(DataBlockIndexType::BinaryAndHash);
        blocks.set_data_block_hash_ratio(BLOCK_HASH_RATIO);
        let mut options = family(&blocks);
        options.set_memtable_prefix_bloom_ratio(MEMTABLE_BLOOM_PART);
        options.set_memtable_whole_key_filtering(true);
        // Room for a whole turn, should all that is written be of this kind.
        options.set_write_buffer_size(self.memtable_bytes);
        options.set_level_zero_file_num_compaction_trigger(DATA_FILES_AT_LEVEL_0);
        options
    }

    /// What makes rows take the least room. They are written as others are, and are so down to the last level; the compactions
    /// that bring them there do the work.
    fn cold(&self, path: &Path, cache: &Cache) -> Result<Options, StorageError> {
        let mut blocks = blocks(cache, COLD_BLOCK_BYTES);
        blocks.set_bloom_filter(BLOOM_BITS, false);
        blocks.set_optimize_filters_for_memory(true);
        blocks.set_whole_key_filtering(true);
        let mut options = family(&blocks);
        options.set_write_buffer_size(self.memtable_bytes);
        options.set_level_zero_file_num_compaction_trigger(DATA_FILES_AT_LEVEL_0);
        options.set_bottommost_compression_type(DBCompressionType::Zstd);
        options.set_bottommost_compression_options(COLD_WINDOW_BITS, COLD_LEVEL, 0, COLD_DICTIONARY_BYTES, true);
        options.set_bottommost_zstd_max_train_bytes(COLD_SAMPLES * COLD_DICTIONARY_BYTES, true);
        if let Some(cold_dir) = &self.cold_dir {
            // Of no size: what was flushed is in the first, and whatever a compaction writes in the last one.
            let first = DBPath::new(path, 0).map_err(failed)?;
            let last = DBPath::new(cold_dir, u64::MAX).map_err(failed)?;
            options.set_cf_paths(&[first, last]);
        }
        Ok(options)
    }

    /// Bytes of write batches after which all memtables are flushed, together: the next WAL begins, and the next segment of
    /// the change logs. So WALs are of one size, and one is done with as soon as its memtables are written out. With what
    /// memtables add to what is written, and the batch that passes it, this is less than they may take.
    pub(crate) fn turn_bytes(&self) -> usize {
        self.memtable_bytes / 8 * 5
    }

    fn log(&self, cache: &Cache) -> Options {
        let mut options = family(&blocks(cache, LOG_BLOCK_BYTES));
        options.set_write_buffer_size(self.memtable_bytes);
        options
    }

    fn meta(&self, cache: &Cache) -> Options {
        let mut options = family(&blocks(cache, DATA_BLOCK_BYTES));
        options.set_write_buffer_size(self.memtable_bytes / 4);
        options
    }
}

fn blocks(cache: &Cache, block_bytes: usize) -> BlockBasedOptions {
    let mut blocks = BlockBasedOptions::default();
    blocks.set_block_cache(cache);
    blocks.set_block_size(block_bytes);
    // Indexes and filters are in the cache, so under its limit; those in use stay before data blocks.
    blocks.set_cache_index_and_filter_blocks(true);
    blocks.set_pin_l0_filter_and_index_blocks_in_cache(true);
    blocks.set_index_type(BlockBasedIndexType::BinarySearch);
    blocks.set_index_block_restart_interval(INDEX_RESTART_KEYS);
    blocks.set_format_version(5);
    blocks
}

fn family(blocks: &BlockBasedOptions) -> Options {
    let mut options = Options::default();
    options.set_block_based_table_factory(blocks);
    options.set_max_write_buffer_number(MEMTABLES_MAX);
    options.set_compression_type(DBCompressionType::Lz4);
    options.set_level_compaction_dynamic_level_bytes(true);
    options.set_target_file_size_base(FILE_BYTES);
    options.set_max_bytes_for_level_base(4 * FILE_BYTES);
    options
}
