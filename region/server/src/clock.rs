//! The system's clock.

use std::time::{SystemTime, UNIX_EPOCH};

use geodynamo_replicator_core::Millis;
use geodynamo_table::TimeSource;

/// The system's clock.
#[derive(Clone, Copy, Debug)]
pub(crate) struct SystemClock;

impl TimeSource for SystemClock {
    fn now_ms(&self) -> Millis {
        SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .map_or(0, |since| u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
    }
}

fn sessions(
    config: &Config,
    topology: Option<&Topology>,
    tables: &Arc<Tables<RocksEngine>>,
    replicator: Option<&Replicator>,
    registry: &MetricsRegistry,
) -> Sessions<RocksEngine> {
    let cluster = topology.map_or("", |topology| topology.cluster().as_str());
    let asker = replicator.map(Replicator::asker).unwrap_or_default();
    let outcomes = registry.counters(&catalogue::SESSION_REQUESTS);
    Sessions::new(
        Arc::clone(tables),
        cluster.to_owned(),
        config.session.waits(),
        asker,
        outcomes,
    )
}

fn peer_names(config: &Config, topology: Option<&Topology>) -> Vec<String> {
    let peers = topology.map(|topology| {
        topology
            .peers(&config.region)
            .map(|peer| peer.name.to_string())
            .collect()
    });
    peers.unwrap_or_default()
}
