//! Opening the engine that a configuration names.

use std::{
    fs,
    num::NonZero,
    path::Path,
    sync::Arc,
    time::{Duration, Instant},
};

use geodynamo_cassandra::CassandraEngine;
use geodynamo_engine::RegionEngine;
use geodynamo_rocks::{RocksEngine, RocksMetrics, RocksOptions};
use geodynamo_seal::MasterKeys;
use geodynamo_storage::StorageError;
use geodynamo_table::{Options as TableOptions, TableError, Tables};

use super::{DATABASE, RegionError};
use crate::{config::Config, nodes::NodeError, sealing::Sealing};

/// Bytes of WAL to a byte of memtables. What is in the WAL is in memtables too, so much less would flush small ones; much
/// more would only lengthen the start after a crash.
const WAL_PER_MEMTABLE: u64 = 3;
/// MiB a second that are written in the background, for each core. Each can make about half of that, in puts of small items.
const BACKGROUND_MB_PER_CORE: u64 = 64;

/// The most damaged files that are taken out of use while tables are being opened.
const DAMAGED_FILES_MAX: usize = 64;
/// How long to wait for one of them to be taken out of use.
const QUARANTINE_WAIT: Duration = Duration::from_secs(120);
/// How often that is looked for.
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// Opens the tables that an engine holds. If that meets damaged files, they are taken out of use first; what was in them is then
/// refused until it is mended, and a region that has lost what it knows of itself does not start.
pub(super) async fn open_tables(
    engine: RegionEngine,
    options: TableOptions,
    masters: Option<Arc<dyn MasterKeys>>,
) -> Result<Arc<Tables<RegionEngine>>, TableError> {
    let engine = Arc::new(engine);
    for _ in 0..DAMAGED_FILES_MAX {
        let before = metrics(&engine);
        let opened = Tables::open_shared(Arc::clone(&engine), options.clone(), masters.clone()).await;
        let Err(TableError::Storage(damage @ (StorageError::Io(_) | StorageError::Closed))) = opened else {
            return opened;
        };
        let mut now = metrics(&engine);
        if now.suspect_files == 0 && now.quarantined_files == before.quarantined_files {
            return Err(damage.into());
        }
        tracing::warn!(%damage, "the tables cannot be opened before a damaged file is out of use");
        let since = Instant::now();
        // Some wait for it, and none was taken out since.
        while now.suspect_files > now.hopeless_files && now.quarantined_files == before.quarantined_files {
            if since.elapsed() > QUARANTINE_WAIT {
                return Err(damage.into());
            }
            tokio::time::sleep(LOOK_EVERY).await;
            now = metrics(&engine);
        }
        if now.hopeless_files > 0 && now.quarantined_files == before.quarantined_files {
            let text = format!(
                "{damage}: that file cannot be taken out of use; give the region a new data directory, which gets copies from the \
                 other regions or from backups"
            );
            return Err(StorageError::Io(text.into()).into());
        }
    }
    Tables::open_shared(engine, options, masters).await
}

fn metrics(engine: &RegionEngine) -> RocksMetrics {
    engine.rocks().map(RocksEngine::metrics).unwrap_or_default()
}

fn background_mb_per_second(config: &Config) -> u64 {
    let cores = std::thread::available_parallelism().map_or(1, NonZero::get) as u64;
    let told = config.storage.background_mb_per_second.as_ref();
    told.map_or(BACKGROUND_MB_PER_CORE * cores, |told| told.get())
}

/// The engine of a region that does not run. On Cassandra, waits until no node writes.
pub(crate) async fn open_engine(config: &Config, sealing: Option<&Sealing>) -> Result<RegionEngine, RegionError> {
    let Some(entry) = config.storage.on_cassandra() else {
        return open_rocks(config, sealing);
    };
    let failed = |error: String| RegionError::Node(NodeError::Cassandra(error));
    let options = entry.options(config, String::new()).map_err(failed)?;
    let opened = CassandraEngine::open(options).await;
    opened
        .map(RegionEngine::Cassandra)
        .map_err(|error| failed(error.to_string()))
}

pub(super) fn make_folder(path: &Path) -> Result<(), RegionError> {
    fs::create_dir_all(path).map_err(|source| RegionError::File {
        path: path.to_owned(),
        source,
    })
}

pub(crate) fn open_rocks(config: &Config, sealing: Option<&Sealing>) -> Result<RegionEngine, RegionError> {
    let path = config.data_dir.join(DATABASE);
    make_folder(&path)?;
    let memtable_bytes = config.memory.write_buffer_mb.to_usize() << 20;
    let options = RocksOptions {
        block_cache_bytes: config.memory.block_cache_mb.to_usize() << 20,
        row_cache_bytes: config.memory.row_cache_mb.to_usize() << 20,
        memtable_bytes,
        wal_bytes_max: WAL_PER_MEMTABLE * memtable_bytes as u64,
        background_bytes_per_second: background_mb_per_second(config) << 20,
        reserve_bytes: config.storage.reserve_mb.get() << 20,
        cold_dir: config.storage.cold_dir.clone(),
        seal: sealing.map(|sealing| sealing.keyring.clone()),
        sync: config.storage.sync,
        ..RocksOptions::default()
    };
    RocksEngine::open(&path, options)
        .map(RegionEngine::Rocks)
        .map_err(|source| RegionError::Storage { path, source })
}
