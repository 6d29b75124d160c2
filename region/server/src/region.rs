//! A region: everything that one process runs, started and ended in order.

mod opening;
mod parts;

use std::{
    fs, io,
    net::{IpAddr, Ipv4Addr, SocketAddr},
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, SystemTime},
};

use geodynamo_access::{CredentialSource, Mode};
use geodynamo_api::Api;
use geodynamo_archive::ArchiveError;
use geodynamo_backup::Backups;
use geodynamo_cassandra::CassandraEngine;
use geodynamo_console::Links;
use geodynamo_engine::RegionEngine;
use geodynamo_http::{Shutdown, traces};
use geodynamo_kinesis::Kinesis;
use geodynamo_metrics::MetricsRegistry;
use geodynamo_recovery::Recoveries;
use geodynamo_replicator::{Config as ReplicatorConfig, Observer, PeerConfig, Pem, Replicator};
use geodynamo_replicator_core::{ReplicaId, parking::ParkingLimits};
use geodynamo_scaling::Scaling;
use geodynamo_sinks::{SinkError, Sinks};
use geodynamo_storage::{Engine, StorageError};
use geodynamo_table::{
    CollectOptions, Options, StreamOptions, TableError, Tables, ThrottleOptions, TimeSource, TtlOptions, VerifyOptions,
    kinesis::KinesisDestinations, recovery::Recovery, schema::Throughput,
};
use geodynamo_topology::{Topology, TopologyError};
use geodynamo_triggers::Triggers;
use tokio::sync::watch;

pub(crate) use self::opening::{open_engine, open_rocks};
use self::{
    opening::make_folder,
    parts::{peer_names, recoveries, sessions, transfers},
};
use crate::{
    access::{self, AccessStartError, house::HouseSigner},
    accounts::OfAccounts,
    api::{Services, TablesAdmin},
    audit::Auditing,
    clock::SystemClock,
    collectors::{
        BackupCollector, CassandraCollector, IdentityCollector, InsightsCollector, KeyCollector, KinesisCollector,
        LagCollector, LinkCollector, RecoveryCollector, ReplicationLag, ReplicationObserver, RocksCollector,
        ScrubCollector, SinkCollector, TableCollector, TransferCollector, TriggerCollector, UsageCollector,
    },
    config::{ClusterTls, Config, ThrottleEntry},
    console::{self, RegionLinks},
    copies::Peers,
    links::LinkControl,
    nodes::{self, NodeError},
    peers::TablesHost,
    process::{Callers, Listeners, Ports, StartError},
    scrub::Scrub,
    sealing::{self, KeyWatch, Sealing, SealingError, ShownKeys, keep_table_keys, table_keys},
    sinks,
    triggers::{self, TriggersStartError},
};

/// How often the lag behind each peer is worked out.
const LAG_EVERY: Duration = Duration::from_secs(2);
/// A data directory's database.
pub(crate) const DATABASE: &str = "db";
/// How long a region that ends may take to put the last of its change logs into the archive.
const LAST_SHIPPING: Duration = Duration::from_secs(5);

/// Why a region cannot start.
#[derive(Debug, thiserror::Error)]
pub enum RegionError {
    /// A file that cannot be read, or a folder that cannot be made.
    #[error("{}: {source}", path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The topology is none, or this region is not in it.
    #[error(transparent)]
    Topology(#[from] TopologyError),
    /// The topology does not have this node in this region.
    #[error("{}: region '{region}' has no node '{node}'", path.display())]
    NoSuchNode {
        /// The topology file.
        path: PathBuf,
        /// This region.
        region: String,
        /// This node.
        node: String,
    },
    /// The data directory cannot be used.
    #[error("{}: {source}", path.display())]
    Storage {
        /// The database's folder.
        path: PathBuf,
        /// Why.
        source: StorageError,
    },
    /// What is in the data directory cannot be read.
    #[error("the tables cannot be opened: {0}")]
    Tables(#[from] TableError),
    /// What is stored cannot be encrypted, or decrypted.
    #[error(transparent)]
    Sealing(#[from] SealingError),
    /// The archive cannot be used.
    #[error(transparent)]
    Archive(#[from] ArchiveError),
    /// Exports and imports cannot go on.
    #[error("exports and imports: {0}")]
    Transfers(#[from] geodynamo_transfer::Error),
    /// Who may do what cannot be told.
    #[error("IAM: {0}")]
    Access(#[from] AccessStartError),
    /// Event source mappings cannot be run.
    #[error("event source mappings: {0}")]
    Triggers(#[from] TriggersStartError),
    /// Sinks cannot be run.
    #[error("sinks: {0}")]
    Sinks(#[from] SinkError),
    /// The nodes of a region cannot be put together.
    #[error(transparent)]
    Node(#[from] NodeError),
    /// The replicator does not start.
    #[error("replication: {0}")]
    Replication(#[from] geodynamo_replicator::StartError),
    /// The region must not serve any more.
    #[error("the service that has the region's key was away for too long ([encryption] away_seconds)")]
    KeyLost,
    /// The ports cannot be served.
    #[error(transparent)]
    Ports(#[from] StartError),
}

/// A running region.
pub struct Region {
    tables: Arc<Tables<RegionEngine>>,
    ports: Ports,
    replicator: Option<Replicator>,
    replication_address: Option<SocketAddr>,
    recoveries: Option<Recoveries<RegionEngine>>,
    triggers: Arc<Triggers<RegionEngine>>,
    kinesis: Option<Kinesis<RegionEngine>>,
    sinks: Sinks<RegionEngine>,
    keys: Option<KeyWatch>,
    registry: MetricsRegistry,
    background: watch::Sender<bool>,
}

impl Region {
    /// Starts everything: the engine, which is RocksDB, the tables, the ports, and replication where there is a topology. When it
    /// returns, requests are answered.
    pub async fn start(config: &Config, mode: Mode, shutdown: Shutdown) -> Result<Self, RegionError> {
        let sealing = sealing::open(config)?;
        let engine = open_rocks(config, sealing.as_ref())?;
        Self::start_on(engine, None, sealing, (config, mode), shutdown).await
    }

    /// The same on an engine on Cassandra and ports that are bound.
    pub(crate) async fn start_on_cassandra(
        engine: CassandraEngine,
        listeners: Listeners,
        config: &Config,
        mode: Mode,
        shutdown: Shutdown,
    ) -> Result<Self, RegionError> {
        let engine = RegionEngine::Cassandra(engine);
        make_folder(&config.data_dir)?;
        let sealing = sealing::open(config)?;
        Self::start_on(engine, Some(listeners), sealing, (config, mode), shutdown).await
    }

    async fn start_on(
        engine: RegionEngine,
        listeners: Option<Listeners>,
        sealing: Option<Sealing>,
        (config, mode): (&Config, Mode),
        shutdown: Shutdown,
    ) -> Result<Self, RegionError> {
        let topology = config
            .topology
            .as_deref()
            .map(|path| read_topology(config, path))
            .transpose()?;
        let time: Arc<dyn TimeSource> = Arc::new(SystemClock);
        let masters = table_keys(config)?;
        let options = table_options(config, topology.as_ref(), &time);
        let tables = opening::open_tables(engine, options, masters).await?;
        let registry = MetricsRegistry::with_process();
        registry.register(|registry| {
            registry.register_collector(Box::new(CassandraCollector(Arc::clone(&tables))));
            registry.register_collector(Box::new(InsightsCollector(Arc::clone(&tables))));
            registry.register_collector(Box::new(TableCollector(Arc::clone(&tables))));
            registry.register_collector(Box::new(identity(config, topology.as_ref())));
        });
        RocksCollector(Arc::clone(&tables)).register(&registry);
        UsageCollector(Arc::clone(&tables)).register(&registry);
        if traces::are_on() {
            tables.local().follow_traces(traces::current);
        }
        tables
            .catalog()
            .hold_sources(config.replication.source_held_seconds.get() * 1000);
        tables
            .catalog()
            .part_after(config.replication.part_after_seconds.get() * 1000);
        let (background, stop) = watch::channel(false);
        // Before logs are trimmed.
        let recoveries = recoveries(config, &tables, sealing.as_ref(), stop.clone()).await?;
        let kinesis = triggers::start_kinesis(config, &tables).await?;
        let collector = KinesisCollector(kinesis.clone());
        registry.register(|registry| registry.register_collector(Box::new(collector)));
        let sinks = sinks::start(config, &tables).await?;
        let collector = SinkCollector(sinks.clone());
        registry.register(|registry| registry.register_collector(Box::new(collector)));
        let iam = access::start(config, &tables, sealing.as_ref(), stop.clone()).await?;
        let rate = config.storage.scrub_mb_per_second.get() << 20;
        let scrub = Scrub::start(&tables, recoveries.clone(), rate, stop.clone());
        registry.register(|registry| registry.register_collector(Box::new(ScrubCollector(scrub))));
        let keys = sealing
            .as_ref()
            .map(|sealing| KeyWatch::start(config, sealing, &tables, stop.clone()));
        if let Some(keys) = &keys {
            let collector = KeyCollector(keys.clone());
            registry.register(|registry| registry.register_collector(Box::new(collector)));
        }
        tables.background().start_background(stop.clone());
        keep_table_keys(config, &tables, stop.clone());
        if let Some(recoveries) = &recoveries {
            recoveries.start(stop.clone());
            let collector = RecoveryCollector(recoveries.clone());
            registry.register(|registry| registry.register_collector(Box::new(collector)));
        }
        let transfers = transfers(config, &tables, recoveries.clone(), sealing.as_ref(), stop.clone()).await?;
        let (shown_transfers, collector) = (transfers.clone(), TransferCollector(transfers.clone()));
        registry.register(|registry| registry.register_collector(Box::new(collector)));
        let backups = Backups::open(Arc::clone(&tables), recoveries.clone(), stop.clone()).await?;
        let collector = BackupCollector(backups.clone());
        registry.register(|registry| registry.register_collector(Box::new(collector)));
        let triggers = triggers::start(config, &tables).await?;
        let collector = TriggerCollector(Arc::clone(&triggers));
        registry.register(|registry| registry.register_collector(Box::new(collector)));
        let scaling = Scaling::start(Arc::clone(&tables), config.scaling.options(), stop.clone()).await?;
        let mut links: Option<Arc<dyn Links>> = None;
        let replicator = match (&topology, &config.cluster_tls) {
            (Some(topology), Some(files)) => {
                let host = TablesHost {
                    tables: Arc::clone(&tables),
                    backups: backups.clone(),
                    cluster: topology.cluster().as_str().to_owned(),
                    time,
                    shutdown: shutdown.clone(),
                };
                let observer: Arc<dyn Observer> = ReplicationObserver::new(&registry);
                let replicator = Replicator::start(
                    &replicator_config(config, topology, files)?,
                    Arc::new(host),
                    Some(observer),
                )?;
                let lag = Arc::new(ReplicationLag::default());
                links = Some(Arc::new(RegionLinks {
                    metrics: replicator.metrics(),
                    lag: Arc::clone(&lag),
                }));
                let collector = LinkCollector(replicator.metrics(), replicator.faults());
                registry.register(|registry| {
                    registry.register_collector(Box::new(collector));
                    registry.register_collector(Box::new(LagCollector(Arc::clone(&lag))));
                });
                let peers = topology
                    .peers(&config.region)
                    .map(|peer| peer.name.to_string())
                    .collect();
                tokio::spawn(crate::reach::watch(
                    Arc::clone(&tables),
                    replicator.metrics(),
                    stop.clone(),
                ));
                tokio::spawn(watch_lag(Arc::clone(&tables), peers, lag, stop));
                Some(replicator)
            }
            _ => None,
        };
        if let Some(replicator) = &replicator {
            backups.connect(Arc::new(Peers {
                names: peer_names(config, topology.as_ref()),
                asker: replicator.asker(),
            }));
        }
        backups.run();
        let backups_of_accounts = backups.clone();
        let sessions = sessions(config, topology.as_ref(), &tables, replicator.as_ref(), &registry);
        let replication_address = replicator.as_ref().map(Replicator::address);
        let auditing = Auditing::start(config, &registry).map_err(|source| RegionError::File {
            path: config.audit.path.clone().unwrap_or_default(),
            source,
        })?;
        let auditing = auditing.map(Arc::new);
        let of_admin = auditing.clone();
        let known = topology
            .as_ref()
            .and_then(|topology| topology.node(config.node.as_str()));
        let api = |bound: SocketAddr| {
            let endpoint = known.map_or_else(|| reachable(bound).to_string(), |(_, node)| node.data.to_string());
            let recovery = recoveries.clone().map(|all| Arc::new(all) as Arc<dyn Recovery>);
            let api = Api::new(Arc::clone(&tables), endpoint)
                .with_habits(config.habits)
                .with_recovery(recovery)
                .with_transfer(Some(Arc::new(transfers)))
                .with_scaling(Some(Arc::new(scaling.clone())))
                .with_kinesis(kinesis.clone().map(|all| Arc::new(all) as Arc<dyn KinesisDestinations>));
            Services::new(
                api,
                Arc::clone(&iam),
                Arc::clone(&triggers),
                (scaling, backups),
                mode,
                auditing,
                sessions,
            )
        };
        let house = access::house::credential(config, sealing.as_ref())?;
        let signer = HouseSigner::new(&house, config.region.as_str());
        let control = replicator.as_ref().map(|replicator| {
            Arc::new(LinkControl {
                region: config.region.to_string(),
                peers: peer_names(config, topology.as_ref()),
                faults: replicator.faults(),
                metrics: replicator.metrics(),
            })
        });
        let admin = TablesAdmin {
            tables: Arc::clone(&tables),
            links,
            signer: Some(Arc::new(signer)),
            control,
            console: config
                .console
                .enabled
                .then(|| console::facts(config, mode, topology.as_ref())),
            sinks: sinks.clone(),
            keys: ShownKeys::new(config, sealing.clone(), keys.clone()),
            transfers: shown_transfers,
            iam: Arc::clone(&iam),
            of_accounts: OfAccounts {
                backups: backups_of_accounts,
                triggers: Arc::clone(&triggers),
                other_regions: peer_names(config, topology.as_ref()),
            },
            owner: nodes::owner_of(&tables, config, topology.as_ref()),
        };
        if mode != Mode::Any {
            access::ensure_root(config, topology.as_ref(), &tables, &iam).await?;
        }
        let source: Arc<dyn CredentialSource> = Arc::<access::RegionIam<RegionEngine>>::clone(&iam);
        let callers = Callers {
            mode,
            source: Some(source),
            house: Some(house),
            auditing: of_admin,
        };
        let listeners = match listeners {
            Some(listeners) => listeners,
            None => Listeners::bind(config).await?,
        };
        let ports = Ports::start(config, listeners, callers, api, admin, &registry, shutdown)?;
        Ok(Self {
            tables,
            ports,
            replicator,
            replication_address,
            recoveries,
            triggers,
            kinesis,
            sinks,
            keys,
            registry,
            background,
        })
    }

    /// The ports for clients and operators.
    pub fn ports(&self) -> &Ports {
        &self.ports
    }

    /// Where peers connect to, if there are any.
    pub fn replication_address(&self) -> Option<SocketAddr> {
        self.replication_address
    }

    /// Its metrics.
    pub(crate) fn metrics(&self) -> &MetricsRegistry {
        &self.registry
    }

    /// The tables.
    pub fn tables(&self) -> &Arc<Tables<RegionEngine>> {
        &self.tables
    }

    /// Returns once the region must not serve any more, because its key was away for too long.
    pub async fn key_lost(&self) {
        match &self.keys {
            Some(keys) => keys.lost().await,
            None => std::future::pending().await,
        }
    }

    /// Returns once the signal was given that [`Region::start`] was told of, the requests are answered, what peers sent is
    /// applied and the engine is closed.
    pub async fn finish(self) -> Result<(), StorageError> {
        self.ports.finish().await;
        self.triggers.stop().await;
        if let Some(kinesis) = &self.kinesis {
            kinesis.stop().await;
        }
        self.sinks.stop().await;
        if let Some(replicator) = self.replicator {
            replicator.shutdown().await;
        }
        if let Some(recoveries) = &self.recoveries {
            match tokio::time::timeout(LAST_SHIPPING, recoveries.ship()).await {
                Ok(Ok(())) => {}
                // They are shipped at the next start.
                Ok(Err(error)) => tracing::warn!(%error, "the last changes were not archived"),
                Err(_) => tracing::warn!("the last changes were not archived in time"),
            }
        }
        self.background.send_replace(true);
        if let Err(error) = self.tables.local().store_counts().await {
            // They are counted anew at the next start.
            tracing::warn!(%error, "the tables' counts were not stored");
        }
        self.tables.engine().close().await
    }
}

pub(crate) fn identity(config: &Config, topology: Option<&Topology>) -> IdentityCollector {
    let peers = topology.map(|topology| {
        topology
            .peers(&config.region)
            .map(|peer| peer.name.to_string())
            .collect()
    });
    IdentityCollector {
        region: config.region.to_string(),
        node: config.node.to_string(),
        zone: topology.and_then(|topology| nodes::zone_of(topology, config.node.as_str())),
        peers: peers.unwrap_or_default(),
        data_dir: config.data_dir.clone(),
        started: SystemTime::now(),
    }
}

/// Asks the logs, every [`LAG_EVERY`], how old the oldest write is that each peer has not applied.
async fn watch_lag(
    tables: Arc<Tables<RegionEngine>>,
    peers: Vec<String>,
    lag: Arc<ReplicationLag>,
    mut stop: watch::Receiver<bool>,
) {
    while tokio::time::timeout(LAG_EVERY, stop.wait_for(|stopped| *stopped))
        .await
        .is_err()
    {
        for peer in &peers {
            match tables.logs().oldest_unapplied(peer).await {
                Ok(oldest) => {
                    let age_ms = oldest.map_or(0, |oldest| tables.now_ms().saturating_sub(oldest));
                    lag.set(peer, age_ms as f64 / 1000.0);
                }
                Err(error) => tracing::debug!(%error, peer, "the lag is not known"),
            }
        }
    }
}

pub(crate) fn read_topology(config: &Config, path: &Path) -> Result<Topology, RegionError> {
    let topology = Topology::parse(&path.display().to_string(), &read(path)?)?;
    let region = topology.require_region(&config.region)?;
    if region.nodes.iter().any(|node| node.name == config.node) {
        Ok(topology)
    } else {
        Err(RegionError::NoSuchNode {
            path: path.to_owned(),
            region: config.region.to_string(),
            node: config.node.to_string(),
        })
    }
}

pub(crate) fn table_options(config: &Config, topology: Option<&Topology>, time: &Arc<dyn TimeSource>) -> Options {
    let regions = match topology {
        None => vec![config.region.to_string()],
        Some(topology) => topology
            .regions()
            .iter()
            .map(|region| region.name.to_string())
            .collect(),
    };
    Options {
        region: config.region.to_string(),
        regions,
        account: config.account().to_owned(),
        // The configuration's limit is far below this type's.
        partitions: u16::try_from(config.storage.partitions_per_table.get()).unwrap_or(u16::MAX),
        parking: ParkingLimits {
            drift_ms_max: config.replication.drift_max_ms.get(),
            count_max: config.replication.parked_max.get(),
            ..ParkingLimits::default()
        },
        ttl: TtlOptions {
            sweep_ms: config.ttl.sweep_ms.get(),
            grace_ms: config.ttl.grace_ms.get(),
            change_interval_ms: config.ttl.change_interval_ms.get(),
        },
        throttle: throttle_options(&config.throttle),
        streams: StreamOptions {
            shard_ms: config.streams.shard_seconds.get() * 1000,
            retention_ms: config.streams.retention_seconds.get() * 1000,
            reads_per_second: u32::try_from(config.streams.reads_per_second.get()).unwrap_or(u32::MAX),
        },
        verify: VerifyOptions {
            every_ms: config.replication.verify_seconds.get() * 1000,
            bytes_per_second: config.replication.verify_mb_per_second.get() << 20,
        },
        collect: CollectOptions {
            every_ms: config.replication.collect_seconds.get() * 1000,
            conflicts_ms: config.replication.conflicts_days.get() * 86_400_000,
            conflicts_max: config.replication.conflicts_max.to_usize(),
        },
        time: Arc::clone(time),
        collection_bytes_max: config.storage.item_collection_bytes.get(),
        new_replica: ReplicaId(rand::random()),
        following: false,
    }
}

fn throttle_options(entry: &ThrottleEntry) -> ThrottleOptions {
    let throughput = |read: u64, write: u64| Throughput { read, write };
    ThrottleOptions {
        enabled: entry.enabled,
        key_range: throughput(entry.key_range_read.get(), entry.key_range_write.get()),
        on_demand: throughput(entry.on_demand_read.get(), entry.on_demand_write.get()),
    }
}

fn replicator_config(
    config: &Config,
    topology: &Topology,
    files: &ClusterTls,
) -> Result<ReplicatorConfig, RegionError> {
    let own = config.region.as_str();
    let peers: Vec<PeerConfig> = topology
        .peers(&config.region)
        .map(|peer| {
            let addresses = topology.dial(own, peer.name.as_str()).into_iter();
            PeerConfig {
                region: peer.name.to_string(),
                addresses: addresses.map(ToString::to_string).collect(),
            }
        })
        .collect();
    let all_bytes = config.memory.replication_mb.get() << 20;
    Ok(ReplicatorConfig {
        listen: config.listen.replication,
        ca_certificate: read(&files.ca)?,
        node: Pem {
            certificate: read(&files.cert)?,
            key: read(&files.key)?,
        },
        credit_bytes: all_bytes / peers.len().max(1) as u64,
        peers,
    })
}

fn read(path: &Path) -> Result<String, RegionError> {
    fs::read_to_string(path).map_err(|source| RegionError::File {
        path: path.to_owned(),
        source,
    })
}

/// An address that a client on this machine can connect to.
pub(crate) fn reachable(bound: SocketAddr) -> SocketAddr {
    match bound.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => SocketAddr::from((Ipv4Addr::LOCALHOST, bound.port())),
        IpAddr::V6(ip) if ip.is_unspecified() => SocketAddr::from((Ipv4Addr::LOCALHOST, bound.port())),
        _ => bound,
    }
}
