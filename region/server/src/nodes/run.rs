//! A node of a region on Cassandra, from its first port to its end.

use std::{io, pin::pin, sync::Arc};

use geodynamo_access::Mode;
use geodynamo_cassandra::{Campaign, CassandraEngine, CassandraOptions};
use geodynamo_storage::StorageError;
use geodynamo_topology::Topology;
use parking_lot::Mutex;
use tokio::{
    sync::{Semaphore, mpsc, watch},
    time::Instant,
};

use super::{
    Door, Forward, NodeError,
    admin::{self, Watched},
    standby::StandBy,
};
use crate::{
    config::{CassandraEntry, Config},
    metrics::{MetricsRegistry, StandByCollector},
    notify::{State, notify},
    process::{Listeners, Ready, bind},
    region::{Region, RegionError, identity, read_topology},
    run::Done,
    shutdown::shutdown,
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
    let door = Door::open(config, &topology)?;
    let mut listeners = Listeners::bind(config).await?;
    let (forward, forward_at) = bind("forward", entry.forward).await?;
    let own_address = entry.forward_address.as_ref().map(ToString::to_string);
    let own_address = own_address.unwrap_or_else(|| forward_at.to_string());
    let options = entry
        .options(config, own_address.clone())
        .map_err(NodeError::Cassandra)?;
    let campaign = campaign(options).await?;
    let connections_max = config.data_limits().connections_max.min(Semaphore::MAX_PERMITS);
    let (tell_won, won) = watch::channel(false);
    let (waiting, handed_over) = mpsc::channel(connections_max);
    let by = StandBy {
        door: door.clone(),
        standing: campaign.standing(),
        own_address,
        connections: Arc::new(Semaphore::new(connections_max)),
        won,
        waiting,
    };
    let mut greeted = false;
    let won = tokio::select! {
        won = stand_by(config, entry, (&by, &tell_won), topology, &listeners, campaign, |ready| {
            greeted = true;
            greet(ready)
        }) => won?,
        asked = &mut asked => return Ok(asked?),
    };
    listeners.forward = Some(Forward {
        listener: forward,
        door,
        waiting: handed_over,
    });
    own(config, mode, listeners, won, asked, |ready| match greeted {
        true => Ok(()),
        false => greet(ready),
    })
    .await
}

async fn campaign(options: CassandraOptions) -> Result<Campaign, NodeError> {
    let keyspace = options.keyspace.clone();
    Campaign::start(options).await.map_err(|error| {
        let advice = format!("is the keyspace {keyspace} made? `geodynamo schema cassandra` prints how");
        NodeError::Cassandra(format!("{error} ({advice})"))
    })
}

/// Passes on what comes until this node has won.
async fn stand_by(
    config: &Config,
    entry: &CassandraEntry,
    (by, tell_won): (&StandBy, &watch::Sender<bool>),
    topology: Arc<Topology>,
    listeners: &Listeners,
    campaign: Campaign,
    greet: impl FnOnce(Ready) -> io::Result<()>,
) -> Result<CassandraEngine, Box<dyn std::error::Error + Send + Sync>> {
    let registry = MetricsRegistry::with_process();
    registry.register(|registry| {
        registry.register_collector(Box::new(identity(config, Some(&topology))));
        registry.register_collector(Box::new(StandByCollector {
            standing: by.standing.clone(),
            connections: Arc::clone(&by.connections),
            connections_max: config.data_limits().connections_max,
        }));
    });
    let watched = Watched {
        node: config.node.to_string(),
        topology,
        standing: by.standing.clone(),
        renewed: Arc::new(Mutex::new(Instant::now())),
        lease: std::time::Duration::from_secs(entry.lease_seconds.get()),
        registry,
        open_metrics: config.admin.open_metrics,
    };
    // It is given when this ends, too.
    let (_trigger, signal) = shutdown();
    let (admin, ready) = (listeners.admin_again()?, listeners.at());
    let greeting = async {
        wait_for_owner(&watched).await;
        tracing::info!(data = %ready.data, admin = %ready.admin, "{config} stands by");
        notify(State::Ready);
        greet(ready)?;
        std::future::pending::<io::Result<()>>().await
    };
    let mut passing = pin!(by.pass_on(&listeners.data));
    let won = tokio::select! {
        won = campaign.won() => won?,
        () = &mut passing => return Err("connections are no longer taken in".into()),
        () = admin::serve(admin, watched.clone(), signal) => return Err("the admin port is no longer served".into()),
        () = watched.clone().watch() => return Err("the lease is no longer watched".into()),
        failed = greeting => return Err(failed.err().map_or_else(|| "no greeting".into(), Into::into)),
    };
    tell_won.send_replace(true);
    passing.await;
    Ok(won)
}

/// Returns once there is a node to pass connections on to.
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
