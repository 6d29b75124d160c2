//! The engines under test, called as the server calls them.

use std::sync::Arc;

use geodynamo_api::Api;
use geodynamo_replicator_core::{ReplicaId, parking::ParkingLimits};
use geodynamo_rocks::{RocksEngine, RocksOptions};
use geodynamo_storage::{Engine, MemoryEngine, Spanning};
use geodynamo_table::{Options, Tables, TimeSource};
use serde_json::Value as Json;

/// Which engine is under the tables.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum EngineKind {
    /// The in-memory engine, spanning groups.
    Memory,
    /// RocksDB.
    Rocks,
}

/// A clock that stands still: replies are the same in every run.
struct Still;

impl TimeSource for Still {
    fn now_ms(&self) -> u64 {
        1_763_890_000_000
    }
}

/// A region's API in this process.
pub(crate) enum Region {
    Memory(Api<MemoryEngine>),
    Rocks {
        api: Api<RocksEngine>,
        /// Goes when the region does.
        _folder: tempfile::TempDir,
    },
}

impl Region {
    /// A fresh region.
    pub(crate) async fn open(kind: EngineKind) -> Result<Self, String> {
        match kind {
            EngineKind::Memory => Ok(Self::Memory(api(MemoryEngine::new(Spanning::Yes)).await?)),
            EngineKind::Rocks => {
                let folder = tempfile::tempdir().map_err(|error| error.to_string())?;
                let options = RocksOptions {
                    block_cache_bytes: 4 << 20,
                    memtable_bytes: 8 << 20,
                    // What is tested here is not what survives a power cut.
                    sync: false,
                    ..RocksOptions::default()
                };
                let engine = RocksEngine::open(folder.path(), options).map_err(|error| error.to_string())?;
                Ok(Self::Rocks {
                    api: api(engine).await?,
                    _folder: folder,
                })
            }
        }
    }

    /// Sends a request: a status and a document come back.
    pub(crate) async fn call(&self, operation: &str, body: &[u8]) -> (u16, Json) {
        let target = format!("DynamoDB_20120810.{operation}");
        let reply = match self {
            Self::Memory(api) => api.call(&target, body).await,
            Self::Rocks { api, .. } => api.call(&target, body).await,
        };
        let document = serde_json::from_slice(&reply.body);
        (
            reply.status,
            document.unwrap_or_else(|error| Json::String(format!("not JSON: {error}"))),
        )
    }
}

async fn api<E: Engine>(engine: E) -> Result<Api<E>, String> {
    let options = Options {
        region: "us-east-1".into(),
        regions: vec!["us-east-1".into()],
        account: "000000000000".into(),
        partitions: 4,
        parking: ParkingLimits::default(),
        time: Arc::new(Still),
        collection_bytes_max: geodynamo_table::COLLECTION_BYTES_MAX,
        new_replica: ReplicaId(7),
        ttl: Default::default(),
        throttle: Default::default(),
        streams: Default::default(),
    };
    let tables = Tables::open(engine, options).await.map_err(|error| error.to_string())?;
    Ok(Api::new(tables, "127.0.0.1:8000"))
}
