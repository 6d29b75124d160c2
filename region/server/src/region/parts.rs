//! Smaller parts of a region, made from its configuration.

use std::sync::Arc;

use geodynamo_engine::RegionEngine;
use geodynamo_replicator::Replicator;
use geodynamo_table::Tables;
use geodynamo_topology::Topology;

use crate::{
    config::Config,
    metrics::{MetricsRegistry, catalogue},
    session::Sessions,
};

/// Sessions of a region's clients.
pub(super) fn sessions(
    config: &Config,
    topology: Option<&Topology>,
    tables: &Arc<Tables<RegionEngine>>,
    replicator: Option<&Replicator>,
    registry: &MetricsRegistry,
) -> Sessions<RegionEngine> {
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

/// The regions that there are links to.
pub(super) fn peer_names(config: &Config, topology: Option<&Topology>) -> Vec<String> {
    let peers = topology.map(|topology| {
        topology
            .peers(&config.region)
            .map(|peer| peer.name.to_string())
            .collect()
    });
    peers.unwrap_or_default()
}
