//! A region in this process: its engine, tables, API, ports and links, wired together.

use std::{fs, io, path::PathBuf, sync::Arc};

use bytes::Bytes;
use geodynamo_access::{Mode, Principal};
use geodynamo_api::{Api, Operation};
use geodynamo_replicator::{LinkMetrics, PeerConfig, Pem, Replicator};
use geodynamo_replicator_core::{ReplicaId, parking::ParkingLimits};
use geodynamo_rocks::{RocksEngine, RocksOptions};
use geodynamo_storage::{Engine, StorageError};
use geodynamo_table::{Options, TableError, Tables};
use geodynamo_topology::{Topology, TopologyError};
use http::StatusCode;
use serde_json::Value;
use tokio::sync::watch;

use crate::{
    admin::{Admin, DigestError},
    clock::SystemClock,
    config::Config,
    finish::finish,
    handler::{Handler, Reply},
    link_host::LinkHost,
    metrics::MetricsRegistry,
    process::{self, Ports},
    replication_metrics,
    shutdown::{ShutdownTrigger, shutdown},
};

/// The account in ARNs of a self-hosted region.
const ACCOUNT: &str = "000000000000";
/// The folder of the engine's files in the data directory.
const ENGINE_FOLDER: &str = "rocksdb";

/// Why a region cannot start.
#[derive(Debug, thiserror::Error)]
pub enum RegionError {
    /// The data directory cannot be made, or another file cannot be read.
    #[error("{}: {source}", path.display())]
    File {
        /// The file or folder.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The topology is refused.
    #[error(transparent)]
    Topology(#[from] TopologyError),
    /// The engine cannot be opened.
    #[error(transparent)]
    Storage(#[from] StorageError),
    /// The tables cannot be opened.
    #[error(transparent)]
    Tables(#[from] TableError),
    /// The links cannot be started.
    #[error(transparent)]
    Links(#[from] geodynamo_replicator::StartError),
    /// A port cannot be served.
    #[error(transparent)]
    Ports(#[from] process::StartError),
}

/// A running region.
pub struct Region {
    tables: Arc<Tables<RocksEngine>>,
    ports: Ports,
    replicator: Option<Replicator>,
    stop_background: watch::Sender<bool>,
    stop_ports: ShutdownTrigger,
}

impl Region {
    /// Starts a region as its configuration says. Must be called within a tokio runtime.
    pub async fn start(config: &Config, mode: Mode) -> Result<Self, RegionError> {
        let registry = MetricsRegistry::with_process();
        let topology = load_topology(config)?;
        let tables = open_tables(config, topology.as_ref()).await?;
        let (stop_background, background) = watch::channel(false);
        tables.start_background(background);
        let replicator = match &topology {
            Some(topology) => Some(start_links(config, topology, &tables, &registry)?),
            None => None,
        };
        replication_metrics::register_tables(&registry, &tables);
        let api = Api::new(Arc::clone(&tables), config.listen.data.to_string());
        let (stop_ports, stopped) = shutdown();
        let handler = ApiHandler { api };
        let admin = RegionAdmin {
            tables: Arc::clone(&tables),
        };
        let ports = Ports::start(config, mode, handler, admin, &registry, stopped).await?;
        Ok(Self {
            tables,
            ports,
            replicator,
            stop_background,
            stop_ports,
        })
    }

    /// Its ports.
    pub fn ports(&self) -> &Ports {
        &self.ports
    }

    /// Answers what was begun, closes the links, then the engine.
    pub async fn stop(self) -> Result<(), StorageError> {
        self.stop_ports.trigger();
        self.ports.finish().await;
        if let Some(replicator) = self.replicator {
            replicator.shutdown().await;
        }
        self.stop_background.send_replace(true);
        self.tables.engine().close().await
    }
}

async fn open_tables(
    config: &Config,
    topology: Option<&Topology>,
) -> Result<Arc<Tables<RocksEngine>>, RegionError> {
    let folder = config.data_dir.join(ENGINE_FOLDER);
    fs::create_dir_all(&folder).map_err(file_error(&folder))?;
    let options = RocksOptions {
        block_cache_bytes: config.memory.block_cache_mb.to_usize() << 20,
        memtable_bytes: config.memory.write_buffer_mb.to_usize() << 20,
        sync: config.storage.sync,
        ..RocksOptions::default()
    };
    let engine = RocksEngine::open(&folder, options)?;
    let own = || vec![config.region.to_string()];
    let regions = topology.map_or_else(own, |topology| {
        topology.regions().iter().map(|region| region.name.to_string()).collect()
    });
    let options = Options {
        region: config.region.to_string(),
        regions,
        account: ACCOUNT.to_owned(),
        partitions: u16::try_from(config.storage.partitions_per_table.get()).unwrap_or(u16::MAX),
        parking: ParkingLimits {
            drift_ms_max: config.replication.drift_max_ms.get(),
            count_max: config.replication.parked_max.get(),
            ..ParkingLimits::default()
        },
        time: Arc::new(SystemClock),
        new_replica: ReplicaId(rand::random()),
    };
    Ok(Tables::open(engine, options).await?)
}

fn start_links(
    config: &Config,
    topology: &Topology,
    tables: &Arc<Tables<RocksEngine>>,
    registry: &MetricsRegistry,
) -> Result<Replicator, RegionError> {
    let read = |path: &PathBuf| fs::read_to_string(path).map_err(file_error(path));
    let (ca_certificate, node) = match &config.cluster_tls {
        Some(files) => (
            read(&files.ca)?,
            Pem {
                certificate: read(&files.cert)?,
                key: read(&files.key)?,
            },
        ),
        // The configuration was refused without them.
        None => Default::default(),
    };
    let own = config.region.as_str();
    let peers = topology.peers(&config.region).filter_map(|peer| {
        // One node holds a region's replica today, so the first address is the region's.
        let address = topology.dial(own, peer.name.as_str()).first()?.to_string();
        Some(PeerConfig {
            region: peer.name.to_string(),
            address,
        })
    });
    let links = geodynamo_replicator::Config {
        listen: config.listen.replication,
        ca_certificate,
        node,
        peers: peers.collect(),
        credit_bytes: config.memory.replication_mb.get() << 20,
    };
    let observer = replication_metrics::observer(registry, own);
    let host = Arc::new(LinkHost::new(topology.cluster().as_str(), Arc::clone(tables)));
    let replicator = Replicator::start(&links, host, Some(observer))?;
    replication_metrics::register_links(registry, replicator.metrics());
    Ok(replicator)
}

fn load_topology(config: &Config) -> Result<Option<Topology>, RegionError> {
    let Some(path) = &config.topology else { return Ok(None) };
    let text = fs::read_to_string(path).map_err(file_error(path))?;
    let topology = Topology::parse(&path.display().to_string(), &text)?;
    topology.require_region(&config.region)?;
    Ok(Some(topology))
}

fn file_error(path: &std::path::Path) -> impl FnOnce(io::Error) -> RegionError + use<> {
    let path = path.to_owned();
    move |source| RegionError::File { path, source }
}

/// The API behind the data port.
struct ApiHandler {
    api: Api<RocksEngine>,
}

/// The operations' names, in the order of [`Operation::ALL`].
static OPERATIONS: [&str; Operation::ALL.len()] = {
    let mut names = [""; Operation::ALL.len()];
    let mut at = 0;
    while at < names.len() {
        names[at] = Operation::ALL[at].name();
        at += 1;
    }
    names
};

impl Handler for ApiHandler {
    fn operations(&self) -> &'static [&'static str] {
        &OPERATIONS
    }

    fn operation(&self, target: &str) -> Option<usize> {
        Operation::from_target(target).map(|operation| operation as usize)
    }

    async fn call(&self, _principal: Principal, target: &str, body: Bytes) -> Reply {
        let reply = match Operation::from_target(target) {
            // A read may be dropped with its client; anything that may write runs to its end.
            Some(Operation::GetItem | Operation::Query | Operation::Scan | Operation::BatchGetItem) | None => {
                self.api.call(target, &body).await
            }
            Some(_) => {
                let (api, target) = (self.api.clone(), target.to_owned());
                finish(async move { api.call(&target, &body).await }).await
            }
        };
        Reply {
            status: StatusCode::from_u16(reply.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR),
            body: reply.body,
        }
    }
}

/// The region behind the admin port.
struct RegionAdmin {
    tables: Arc<Tables<RocksEngine>>,
}

impl Admin for RegionAdmin {
    fn readiness(&self) -> Result<(), String> {
        // The ports are bound after the tables are open, so whoever can ask is answered.
        Ok(())
    }

    async fn digest(&self, table: &str) -> Result<Value, DigestError> {
        match self.tables.digest(table).await {
            Ok(digest) => serde_json::to_value(digest).map_err(|error| DigestError::Failed(error.to_string())),
            Err(TableError::ResourceNotFound(_)) => Err(DigestError::NoSuchTable(table.to_owned())),
            Err(error) => Err(DigestError::Failed(error.to_string())),
        }
    }
}

/// One counter of a link, as metrics read it.
pub(crate) type LinkReading = fn(&LinkMetrics) -> u64;
