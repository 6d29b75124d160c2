//! Opening the engine that a configuration names.

use std::{fs, num::NonZero, path::Path};

use geodynamo_cassandra::CassandraEngine;
use geodynamo_engine::RegionEngine;
use geodynamo_rocks::{RocksEngine, RocksOptions};

use super::{DATABASE, RegionError};
use crate::{config::Config, nodes::NodeError, sealing::Sealing};

/// Bytes of WAL to a byte of memtables. What is in the WAL is in memtables too, so much less would flush small ones; much
/// more would only lengthen the start after a crash.
const WAL_PER_MEMTABLE: u64 = 3;
/// MiB a second that are written in the background, for each core. Each can make about half of that, in puts of small items.
const BACKGROUND_MB_PER_CORE: u64 = 64;

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
