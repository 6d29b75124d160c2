//! The engines under test, called as the server calls them.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use geodynamo_api::{Api, Call};
use geodynamo_policy::Caller;
use geodynamo_replicator_core::{ReplicaId, parking::ParkingLimits};
use geodynamo_rocks::{RocksEngine, RocksOptions};
use geodynamo_storage::{Engine, MemoryEngine, Spanning};
use geodynamo_table::{Options, Tables, TimeSource};
use serde_json::Value as Json;

use crate::{model::START_MS, request::changes::Event};

/// Which engine is under the tables.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum EngineKind {
    /// The in-memory engine, spanning groups.
    Memory,
    /// RocksDB.
    Rocks,
}

/// Steps that filling and emptying indexes may take, so that it ends even if it would not.
const BUILD_STEPS_MAX: usize = 10_000;
/// The account of everything.
const ACCOUNT: &str = "000000000000";

/// A clock that stands still until it is told that time passes: replies are the same in every run.
#[derive(Clone)]
struct Clock(Arc<AtomicU64>);

impl TimeSource for Clock {
    fn now_ms(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// A region in this process. Nothing goes on in it but what it is asked for.
pub(crate) struct Region {
    engine: Under,
    clock: Clock,
}

/// The API, by what is under it.
enum Under {
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
        let clock = Clock(Arc::new(AtomicU64::new(START_MS)));
        let engine = match kind {
            EngineKind::Memory => Under::Memory(api(MemoryEngine::new(Spanning::Yes), &clock).await?),
            EngineKind::Rocks => {
                let folder = tempfile::tempdir().map_err(|error| error.to_string())?;
                let options = RocksOptions {
                    block_cache_bytes: 4 << 20,
                    // So small that rows are driven out.
                    row_cache_bytes: 256 << 10,
                    memtable_bytes: 8 << 20,
                    // What is tested here is not what survives a power cut.
                    sync: false,
                    ..RocksOptions::default()
                };
                let engine = RocksEngine::open(folder.path(), options).map_err(|error| error.to_string())?;
                Under::Rocks {
                    api: api(engine, &clock).await?,
                    _folder: folder,
                }
            }
        };
        Ok(Self { engine, clock })
    }

    /// Sends a request: a status and a document come back.
    pub(crate) async fn call(&self, operation: &str, body: &[u8]) -> (u16, Json) {
        let target = format!("DynamoDB_20120810.{operation}");
        let root = Caller::root(ACCOUNT);
        let reply = match &self.engine {
            Under::Memory(api) => api.call(Call::of(&root), &target, body).await,
            Under::Rocks { api, .. } => api.call(Call::of(&root), &target, body).await,
        };
        let document = serde_json::from_slice(&reply.body);
        (
            reply.status,
            document.unwrap_or_else(|error| Json::String(format!("not JSON: {error}"))),
        )
    }

    /// Lets something happen that happens by itself in a server.
    pub(crate) async fn happen(&self, event: Event) -> Result<(), String> {
        match &self.engine {
            Under::Memory(api) => happen(api.tables(), &self.clock, event).await,
            Under::Rocks { api, .. } => happen(api.tables(), &self.clock, event).await,
        }
    }
}

async fn happen<E: Engine>(tables: &Tables<E>, clock: &Clock, event: Event) -> Result<(), String> {
    let steps = match event {
        Event::Pass(ms) => {
            clock.0.fetch_add(ms, Ordering::Relaxed);
            loop {
                let swept = tables
                    .expiry()
                    .sweep_expired()
                    .await
                    .map_err(|error| error.to_string())?;
                if !swept.more {
                    return Ok(());
                }
            }
        }
        Event::Step => 1,
        Event::Build => BUILD_STEPS_MAX,
    };
    for _ in 0..steps {
        if !tables
            .backfill()
            .build_indexes()
            .await
            .map_err(|error| error.to_string())?
        {
            return Ok(());
        }
    }
    if steps == 1 {
        Ok(())
    } else {
        Err(format!("indexes are not built after {steps} steps"))
    }
}

async fn api<E: Engine>(engine: E, clock: &Clock) -> Result<Api<E>, String> {
    let options = Options {
        region: "us-east-1".into(),
        regions: vec!["us-east-1".into()],
        account: ACCOUNT.into(),
        partitions: 4,
        parking: ParkingLimits::default(),
        time: Arc::new(clock.clone()),
        verify: Default::default(),
        collect: Default::default(),
        collection_bytes_max: geodynamo_table::COLLECTION_BYTES_MAX,
        new_replica: ReplicaId(7),
        following: false,
        ttl: Default::default(),
        throttle: Default::default(),
        streams: Default::default(),
    };
    let tables = Tables::open(engine, options).await.map_err(|error| error.to_string())?;
    Ok(Api::new(tables, "127.0.0.1:8000"))
}
