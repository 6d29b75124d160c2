//! Smaller parts of a region, made from its configuration.

use std::sync::Arc;

use geodynamo_archive::Archive;
use geodynamo_engine::RegionEngine;
use geodynamo_metrics::{MetricsRegistry, catalogue};
use geodynamo_recovery::{Options as RecoveryOptions, Recoveries};
use geodynamo_replicator::Replicator;
use geodynamo_table::Tables;
use geodynamo_topology::Topology;
use geodynamo_transfer::Transfers;
use tokio::sync::watch;

use super::RegionError;
use crate::{config::Config, sealing::Sealing, session::Sessions};

/// A data directory's exports and imports: what was asked for, and what was wrong with items.
const TRANSFERS: &str = "transfers";

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

/// Backups and restores, where there is an archive.
pub(super) async fn recoveries(
    config: &Config,
    tables: &Arc<Tables<RegionEngine>>,
    sealing: Option<&Sealing>,
    stop: watch::Receiver<bool>,
) -> Result<Option<Recoveries<RegionEngine>>, RegionError> {
    let Some(entry) = &config.archive else { return Ok(None) };
    let mut archive = Archive::open(&entry.place())?;
    if let Some(sealing) = sealing {
        let sealed = sealing.archive(&archive);
        sealing.keep_exchanging(archive, config.region.to_string(), stop).await;
        archive = sealed;
    }
    let options = RecoveryOptions {
        ship_ms: entry.ship_seconds.get() * 1000,
        scrub_bytes_per_second: entry.scrub_bytes_per_second(),
        ..RecoveryOptions::default()
    };
    Ok(Some(Recoveries::new(Arc::clone(tables), archive, options)))
}

/// Exports and imports. What is known of them is sealed as everything else is.
pub(super) async fn transfers(
    config: &Config,
    tables: &Arc<Tables<RegionEngine>>,
    recoveries: Option<Recoveries<RegionEngine>>,
    sealing: Option<&Sealing>,
    stop: watch::Receiver<bool>,
) -> Result<Transfers<RegionEngine>, RegionError> {
    let folder = config.data_dir.join(TRANSFERS);
    let place = (&*folder, sealing.map(|sealing| sealing.keyring.clone()));
    let buckets = config.s3.places(&config.data_dir);
    Ok(Transfers::start(Arc::clone(tables), recoveries, buckets, place, stop).await?)
}
