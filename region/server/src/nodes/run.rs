//! A node of a region on Cassandra, from its first port to its end.

use std::{
    io,
    pin::pin,
    sync::{Arc, atomic::AtomicU64},
    time::Duration,
};

use geodynamo_access::{CredentialSource, Mode};
use geodynamo_cassandra::{Campaign, CassandraEngine, CassandraOptions};
use geodynamo_http::{
    nodes::{Door, Files, Forward},
    shutdown,
};
use geodynamo_metrics::{MetricsRegistry, catalogue};
use geodynamo_replicator::node_name;
use geodynamo_storage::StorageError;
use geodynamo_topology::Topology;
use parking_lot::Mutex;
use tokio::{sync::watch, time::Instant};

use super::{
    NodeError,
    admin::{self, Watched},
    passing::Passing,
    reading::Reading,
};
use crate::{
    collectors::StandByCollector,
    config::{CassandraEntry, Config},
    notify::{State, notify},
    process::{Listeners, Ready, bind, standby_port},
    region::{Region, RegionError, identity, read_topology},
    run::Done,
};

/// Runs a node until `asked` returns: it stands by, and once it has won it is the region. `greet` is called once, when clients are
/// answered, by this node or by the owner.
pub(crate) async fn serve(
    config: &Config,
    entry: &CassandraEntry,
    mode: Mode,
    asked: impl Future<Output = io::Result<()>>,
    greet: impl Fn(Ready) -> io::Result<()>,
) -> Done {
    let mut asked = pin!(asked);
    // The configuration has been checked: there is one.
    let path = config.topology.as_deref().unwrap_or(std::path::Path::new(""));
    let topology = Arc::new(read_topology(config, path)?);
    let door = door(config, &topology)?;
    let mut listeners = Listeners::bind(config).await?;
    let (forward, forward_at) = bind("forward", entry.forward).await?;
    let own_address = entry.forward_address.as_ref().map(ToString::to_string);
    let own_address = own_address.unwrap_or_else(|| forward_at.to_string());
    let options = entry
        .options(config, own_address.clone())
        .map_err(NodeError::Cassandra)?;
    let campaign = campaign(options).await?;
    let (tell_won, won) = watch::channel(false);
    let registry = MetricsRegistry::with_process();
    let by = StandBy {
        config,
        mode,
        topology,
        lease: Duration::from_secs(entry.lease_seconds.get()),
        passing: Arc::new(Passing {
            door: door.clone(),
            standing: campaign.standing(),
            own_address,
            won,
            idle: Mutex::default(),
            under_way: AtomicU64::new(0),
            answered: registry.counters(&catalogue::CASSANDRA_ANSWERED),
        }),
        reading: Arc::default(),
        registry,
    };
    let mut greeted = false;
    let won = tokio::select! {
        won = by.until_won(&tell_won, &listeners, campaign, |ready| {
            greeted = true;
            greet(ready)
        }) => won?,
        asked = &mut asked => return Ok(asked?),
    };
    drop(by);
    listeners.forward = Some(Forward {
        listener: forward,
        door,
    });
    own(config, mode, listeners, won, asked, |ready| match greeted {
        true => Ok(()),
        false => greet(ready),
    })
    .await
}

/// The way between the nodes of a configuration's region.
fn door(config: &Config, topology: &Topology) -> Result<Door, NodeError> {
    // The configuration has been checked: where a topology is, they are.
    let Some(files) = &config.cluster_tls else {
        return Err(NodeError::Tls("there is none".into()));
    };
    let name = node_name(topology.cluster().as_str(), config.region.as_str());
    let files = Files {
        ca: &files.ca,
        cert: &files.cert,
        key: &files.key,
    };
    Door::open(name, files).map_err(|error| NodeError::Tls(error.to_string()))
}

async fn campaign(options: CassandraOptions) -> Result<Campaign, NodeError> {
    let keyspace = options.keyspace.clone();
    Campaign::start(options).await.map_err(|error| {
        let advice = format!("is the keyspace {keyspace} made? `geodynamo schema cassandra` prints how");
        NodeError::Cassandra(format!("{error} ({advice})"))
    })
}

/// A node while it stands by.
struct StandBy<'a> {
    config: &'a Config,
    mode: Mode,
    topology: Arc<Topology>,
    lease: Duration,
    passing: Arc<Passing>,
    reading: Arc<Reading>,
    registry: MetricsRegistry,
}

impl StandBy<'_> {
    /// Answers what it can and passes on the rest until this node has won. Then its data port takes nothing more in; requests that it
    /// has go on to the new owner, which is this very process.
    async fn until_won(
        &self,
        tell_won: &watch::Sender<bool>,
        listeners: &Listeners,
        campaign: Campaign,
        greet: impl FnOnce(Ready) -> io::Result<()>,
    ) -> Result<CassandraEngine, Box<dyn std::error::Error + Send + Sync>> {
        let config = self.config;
        let watched = self.watched(&campaign);
        let readings = campaign.readings();
        let source: Arc<dyn CredentialSource> = Arc::<Reading>::clone(&self.reading);
        let port = standby_port(
            config,
            listeners.data_again()?,
            (self.mode, source),
            Arc::clone(&self.reading),
            Arc::<Passing>::clone(&self.passing),
            &self.registry,
        )?;
        // It is given when this ends, too.
        let (trigger, signal) = shutdown();
        let (admin, ready) = (listeners.admin_again()?, listeners.at());
        let greeting = async {
            wait_for_owner(&watched).await;
            tracing::info!(data = %ready.data, admin = %ready.admin, "{config} stands by");
            notify(State::Ready);
            greet(ready)?;
            std::future::pending::<io::Result<()>>().await
        };
        let mut serving = tokio::spawn(port.serve(signal.clone()));
        let won = tokio::select! {
            won = campaign.won() => won?,
            _ = &mut serving => return Err("connections are no longer taken in".into()),
            () = self.reading.follow(config, self.mode, &self.topology, &readings) => {
                return Err("the log is no longer followed".into());
            }
            () = admin::serve(admin, watched.clone(), signal) => return Err("the admin port is no longer served".into()),
            () = watched.clone().watch() => return Err("the lease is no longer watched".into()),
            failed = greeting => return Err(failed.err().map_or_else(|| "no greeting".into(), Into::into)),
        };
        tell_won.send_replace(true);
        self.reading.end();
        trigger.trigger();
        Ok(won)
    }

    fn watched(&self, campaign: &Campaign) -> Watched {
        self.registry.register(|registry| {
            registry.register_collector(Box::new(identity(self.config, Some(&self.topology))));
            registry.register_collector(Box::new(StandByCollector {
                standing: campaign.standing(),
                reading: Arc::clone(&self.reading),
                passing: Arc::clone(&self.passing),
            }));
        });
        Watched {
            node: self.config.node.to_string(),
            topology: Arc::clone(&self.topology),
            standing: campaign.standing(),
            renewed: Arc::new(Mutex::new(Instant::now())),
            lease: self.lease,
            registry: self.registry.clone(),
            open_metrics: self.config.admin.open_metrics,
            reading: Arc::clone(&self.reading),
        }
    }
}

/// Returns once there is a node to pass requests on to.
async fn wait_for_owner(watched: &Watched) {
    let mut standing = watched.standing.clone();
    while watched.owner().is_err() {
        if standing.changed().await.is_err() {
            std::future::pending().await
        }
    }
}

/// The region, on this node's engine, until it is asked to end or another node has taken over.
async fn own(
    config: &Config,
    mode: Mode,
    listeners: Listeners,
    engine: CassandraEngine,
    asked: impl Future<Output = io::Result<()>>,
    greet: impl FnOnce(Ready) -> io::Result<()>,
) -> Done {
    let (lost, epoch) = (engine.lost(), engine.metrics().epoch);
    let ready = listeners.at();
    let (trigger, signal) = shutdown();
    let region = match Region::start_on_cassandra(engine, listeners, config, mode, signal).await {
        Ok(region) => region,
        Err(_) if *lost.borrow() => return Err(NodeError::Replaced(epoch).into()),
        Err(error) => return Err(error.into()),
    };
    tracing::info!(epoch, data = %ready.data, admin = %ready.admin, "{config} writes");
    notify(State::Ready);
    greet(ready)?;
    let key_lost = tokio::select! {
        asked = asked => {
            asked?;
            false
        }
        // Nothing is answered any more, and nothing may be: it ends at once.
        () = replaced(lost) => return Err(NodeError::Replaced(epoch).into()),
        () = region.key_lost() => true,
    };
    tracing::info!("asked to end: answering what has begun");
    notify(State::Stopping);
    trigger.trigger();
    let ended = region.finish().await;
    match ended {
        // The log has what rows do not: the next owner reads it there.
        Err(StorageError::Io(reason)) => tracing::warn!(%reason, "the engine did not close in order"),
        ended => ended?,
    }
    tracing::info!("ended");
    match key_lost {
        true => Err(RegionError::KeyLost.into()),
        false => Ok(()),
    }
}

async fn replaced(mut lost: watch::Receiver<bool>) {
    // An error means that the engine is gone, and with it the right to write.
    let _ = lost.wait_for(|lost| *lost).await;
}
