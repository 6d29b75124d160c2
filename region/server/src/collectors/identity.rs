//! Which process this is, where it keeps its data, and how far behind its peers are.

use std::{
    collections::BTreeMap,
    fmt,
    path::PathBuf,
    time::{SystemTime, UNIX_EPOCH},
};

use geodynamo_metrics::{
    catalogue::{self, Metric},
    describe, gauge,
};
use geodynamo_topology::place;
use parking_lot::Mutex;
use prometheus_client::{
    collector::Collector,
    encoding::{DescriptorEncoder, EncodeLabelSet},
};

use crate::build;

/// Tells what the process was built from, which region and node it is, which regions it has links with, and what room its
/// disk has.
#[derive(Debug)]
pub struct IdentityCollector {
    /// The region's name.
    pub region: String,
    /// The node's name.
    pub node: String,
    /// Its zone, if it has one.
    pub zone: Option<String>,
    /// The other regions of the topology.
    pub peers: Vec<String>,
    /// The data directory.
    pub data_dir: PathBuf,
    /// When the process started.
    pub started: SystemTime,
}

impl Collector for IdentityCollector {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let e = &mut encoder;
        info(
            e,
            &catalogue::BUILD,
            &[("version", build::VERSION), ("commit", build::COMMIT)],
        )?;
        info(e, &catalogue::REGION, &[("region", &self.region), ("node", &self.node)])?;
        if let Some(zone) = &self.zone {
            info(e, &catalogue::NODE_ZONE, &[("node", &self.node), ("zone", zone)])?;
        }
        if let Some(place) = place::place(&self.region) {
            let (latitude, longitude) = (place.latitude.to_string(), place.longitude.to_string());
            let labels = [
                ("region", self.region.as_str()),
                ("place", place.name),
                ("latitude", latitude.as_str()),
                ("longitude", longitude.as_str()),
            ];
            info(e, &catalogue::REGION_PLACE, &labels)?;
        }
        let mut peers = describe(e, &catalogue::PEER)?;
        for peer in &self.peers {
            peers.encode_info(&[("region", self.region.as_str()), ("peer_region", peer.as_str())])?;
        }
        gauge(e, &catalogue::PROCESS_START, unix_s(self.started) as u64)?;
        describe(e, &catalogue::TIME)?.encode_gauge(&unix_s(SystemTime::now()))?;
        if let Ok(disk) = rustix::fs::statvfs(&self.data_dir) {
            gauge(
                e,
                &catalogue::STORAGE_DISK_FREE_BYTES,
                disk.f_bavail.saturating_mul(disk.f_frsize),
            )?;
            gauge(
                e,
                &catalogue::STORAGE_DISK_BYTES,
                disk.f_blocks.saturating_mul(disk.f_frsize),
            )?;
        }
        Ok(())
    }
}

/// How old the oldest write is that a peer has not applied, by peer; kept up to date by a task that asks the logs.
#[derive(Debug, Default)]
pub struct ReplicationLag(Mutex<BTreeMap<String, f64>>);

impl ReplicationLag {
    /// Notes a peer's lag in seconds.
    pub fn set(&self, peer: &str, seconds: f64) {
        self.0.lock().insert(peer.to_owned(), seconds);
    }

    /// A peer's lag in seconds, once it is known.
    pub fn get(&self, peer: &str) -> Option<f64> {
        self.0.lock().get(peer).copied()
    }
}

/// Shows a [`ReplicationLag`].
#[derive(Debug)]
pub struct LagCollector(pub std::sync::Arc<ReplicationLag>);

impl Collector for LagCollector {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let mut metric = describe(&mut encoder, &catalogue::REPLICATION_OLDEST_UNREPLICATED)?;
        for (peer, seconds) in self.0.0.lock().iter() {
            metric
                .encode_family(&[("peer_region", peer.as_str())])?
                .encode_gauge(seconds)?;
        }
        Ok(())
    }
}

fn info(encoder: &mut DescriptorEncoder<'_>, of: &Metric, labels: &impl EncodeLabelSet) -> fmt::Result {
    describe(encoder, of)?.encode_info(labels)
}

fn unix_s(time: SystemTime) -> f64 {
    time.duration_since(UNIX_EPOCH).map_or(0.0, |since| since.as_secs_f64())
}
