//! What the links count, and how long versions take to arrive.

use std::{
    collections::BTreeMap,
    fmt,
    sync::{Arc, atomic::Ordering::Relaxed},
};

use geodynamo_replicator::{LinkMetrics, Metrics, Observer};
use geodynamo_replicator_core::{Millis, TableId};
use prometheus_client::{
    collector::Collector,
    encoding::DescriptorEncoder,
    metrics::{
        MetricType,
        family::{Family, MetricConstructor},
        histogram::Histogram,
    },
};

use super::{MetricsRegistry, NoLabels};

/// Bounds for what crosses the world: from a millisecond to minutes.
const REPLICATED_SECONDS: [f64; 18] = [
    0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.075, 0.1, 0.15, 0.2, 0.3, 0.5, 1.0, 2.0, 5.0, 15.0, 60.0, 300.0,
];

/// Bounds for what happens on this machine.
const APPLIED_SECONDS: [f64; 11] = [0.0002, 0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.5, 2.0];

type ByRegion = Family<[(&'static str, String); 1], Histogram, Bounds>;

/// Records the replicator's measurements, by the region they are about.
#[derive(Debug)]
pub struct ReplicationObserver {
    replicated: ByRegion,
    applied: ByRegion,
}

#[derive(Clone, Copy, Debug)]
struct Bounds(&'static [f64]);

impl MetricConstructor<Histogram> for Bounds {
    fn new_metric(&self) -> Histogram {
        Histogram::new(self.0.iter().copied())
    }
}

impl ReplicationObserver {
    /// An observer whose histograms are in `registry`.
    pub fn new(registry: &MetricsRegistry) -> Arc<Self> {
        let observer = Self {
            replicated: Family::new_with_constructor(Bounds(&REPLICATED_SECONDS)),
            applied: Family::new_with_constructor(Bounds(&APPLIED_SECONDS)),
        };
        registry.register(|registry| {
            registry.register(
                "replication_latency_seconds",
                "Time from a version's stamp, by its region's clock, until it is durable here",
                observer.replicated.clone(),
            );
            registry.register(
                "replication_apply_seconds",
                "Time to apply a batch durably",
                observer.applied.clone(),
            );
        });
        Arc::new(observer)
    }
}

impl Observer for ReplicationObserver {
    fn replicated(&self, from_region: &str, _: TableId, latency_ms: Millis) {
        let labels = [("from_region", from_region.to_owned())];
        self.replicated
            .get_or_create(&labels)
            .observe(latency_ms as f64 / 1000.0);
    }

    fn applied(&self, from_region: &str, _: usize, seconds: f64) {
        self.applied
            .get_or_create(&[("from_region", from_region.to_owned())])
            .observe(seconds);
    }
}

/// Shows what the replicator counts, by peer region.
#[derive(Debug)]
pub struct LinkCollector(pub Arc<Metrics>);

/// A link's number: its name, its help, whether it only grows, and how to read it.
type Reading = (&'static str, &'static str, bool, fn(&LinkMetrics) -> u64);

const OUTGOING: [Reading; 12] = [
    ("link_up", "1 while the peer is connected", false, |link| {
        link.connected.load(Relaxed).into()
    }),
    ("link_connections", "Connections made to the peer", true, |link| {
        link.connections.load(Relaxed)
    }),
    ("link_sent_bytes", "Bytes sent, after compression", true, |link| {
        link.bytes_sent.load(Relaxed)
    }),
    ("link_sent_deltas", "Deltas sent", true, |link| {
        link.deltas_sent.load(Relaxed)
    }),
    ("link_skipped_changes", "Changes that needed no delta", true, |link| {
        link.changes_skipped.load(Relaxed)
    }),
    (
        "link_backlog_changes",
        "Changes that the peer has not acknowledged, at most",
        false,
        |link| link.backlog.load(Relaxed),
    ),
    ("link_rtt_microseconds", "The connection's round trip", false, |link| {
        link.rtt_us.load(Relaxed)
    }),
    (
        "link_packets_lost",
        "Packets of the present connection that were declared lost",
        false,
        |link| link.packets_lost.load(Relaxed),
    ),
    (
        "link_congestion_events",
        "Times the congestion window of the present connection was cut",
        false,
        |link| link.congestion_events.load(Relaxed),
    ),
    (
        "link_window_bytes",
        "The connection's congestion window",
        false,
        |link| link.window_bytes.load(Relaxed),
    ),
    (
        "link_last_ack_milliseconds",
        "When the peer last acknowledged something, since 1970",
        false,
        |link| link.last_ack_ms.load(Relaxed),
    ),
    (
        "link_logs_ahead",
        "Logs of which the peer holds more than this replica: data was lost here",
        false,
        |link| link.peers_ahead.load(Relaxed),
    ),
];

const INCOMING: [Reading; 7] = [
    ("link_received_deltas", "Deltas received", true, |link| {
        link.deltas_received.load(Relaxed)
    }),
    ("link_applied_versions", "Versions applied", true, |link| {
        link.versions_applied.load(Relaxed)
    }),
    (
        "link_duplicate_versions",
        "Versions that were held already",
        true,
        |link| link.duplicates.load(Relaxed),
    ),
    ("link_parked_versions", "Versions parked", true, |link| {
        link.parked.load(Relaxed)
    }),
    ("link_conflicts", "Conflicts recorded", true, |link| {
        link.conflicts.load(Relaxed)
    }),
    ("link_batches", "Batches applied", true, |link| {
        link.batches.load(Relaxed)
    }),
    (
        "link_apply_failures",
        "Times that a log stalled or applying failed",
        true,
        |link| link.apply_failures.load(Relaxed),
    ),
];

impl Collector for LinkCollector {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        encode(&mut encoder, &OUTGOING, &self.0.outgoing())?;
        encode(&mut encoder, &INCOMING, &self.0.incoming())
    }
}

fn encode(
    encoder: &mut DescriptorEncoder<'_>,
    readings: &[Reading],
    links: &BTreeMap<String, Arc<LinkMetrics>>,
) -> fmt::Result {
    for (name, help, grows, read) in readings {
        let kind = if *grows { MetricType::Counter } else { MetricType::Gauge };
        let mut metric = encoder.encode_descriptor(name, help, None, kind)?;
        for (peer, link) in links {
            let labels = [("peer_region", peer.as_str())];
            let mut metric = metric.encode_family(&labels)?;
            let value = read(link);
            if *grows {
                metric.encode_counter::<NoLabels, u64, f64>(&value, None)?;
            } else {
                metric.encode_gauge(&i64::try_from(value).unwrap_or(i64::MAX))?;
            }
        }
    }
    Ok(())
}
