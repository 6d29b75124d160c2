//! What replication and the tables count, as metrics.

use std::{
    collections::BTreeMap,
    fmt,
    sync::{Arc, atomic::Ordering},
};

use geodynamo_replicator::{LinkMetrics, Metrics, Observer};
use geodynamo_replicator_core::{Millis, TableId};
use geodynamo_storage::Engine;
use geodynamo_table::{Counts, Tables};
use prometheus_client::{
    collector::Collector,
    encoding::{DescriptorEncoder, EncodeLabelSet, EncodeMetric},
    metrics::{counter::ConstCounter, family::Family, gauge::ConstGauge, histogram::Histogram},
};

use crate::{metrics::MetricsRegistry, region::LinkReading};

/// Bounds of replication latency, in seconds: from a local write's to a cut link's.
const LATENCY_BOUNDS_S: [f64; 16] =
    [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.15, 0.25, 0.5, 1.0, 2.5, 10.0, 60.0, 600.0];
/// Bounds of the time a batch takes to apply, in seconds.
const APPLY_BOUNDS_S: [f64; 10] = [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.5, 2.0];

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct FromRegion {
    from_region: String,
}

/// Puts replication's measurements into histograms.
struct Histograms {
    latency: Family<FromRegion, Histogram>,
    apply: Family<FromRegion, Histogram>,
}

impl Observer for Histograms {
    fn replicated(&self, from_region: &str, _table: TableId, latency_ms: Millis) {
        let label = FromRegion { from_region: from_region.to_owned() };
        self.latency.get_or_create(&label).observe(latency_ms as f64 / 1000.0);
    }

    fn applied(&self, from_region: &str, _deltas: usize, seconds: f64) {
        let label = FromRegion { from_region: from_region.to_owned() };
        self.apply.get_or_create(&label).observe(seconds);
    }
}

/// Histograms of replication, registered.
pub(crate) fn observer(registry: &MetricsRegistry, _region: &str) -> Arc<dyn Observer> {
    let latency = Family::<FromRegion, _>::new_with_constructor(|| Histogram::new(LATENCY_BOUNDS_S) as Histogram);
    let apply = Family::<FromRegion, _>::new_with_constructor(|| Histogram::new(APPLY_BOUNDS_S) as Histogram);
    registry.register(|registry| {
        let help = "From a version's stamp in its region to its being durable here, in seconds";
        registry.register("replication_latency_seconds", help, latency.clone());
        registry.register("replication_apply_duration_seconds", "Time to apply a batch durably", apply.clone());
    });
    Arc::new(Histograms { latency, apply })
}

/// What the links count, by peer and direction.
pub(crate) fn register_links(registry: &MetricsRegistry, metrics: Arc<Metrics>) {
    registry.register(|registry| registry.register_collector(Box::new(Links(metrics))));
}

/// What the tables count.
pub(crate) fn register_tables<E: Engine>(registry: &MetricsRegistry, tables: &Arc<Tables<E>>) {
    let readings: [(&'static str, &'static str, fn(Counts) -> u64); 6] = [
        ("merge_applied", "Other regions' versions that became this replica's since the start", |c| c.applied),
        ("merge_duplicates", "Versions that came again or were outdated since the start", |c| c.duplicates),
        ("merge_parked", "Versions parked because their stamps are too far ahead, since the start", |c| c.parked),
        ("merge_released", "Parked versions merged since the start", |c| c.released),
        ("merge_conflicts", "Conflicts whose losers were recorded since the start", |c| c.conflicts),
        ("parked_now", "Versions that are parked now", |c| c.waiting),
    ];
    for (name, help, read) in readings {
        let tables = Arc::clone(tables);
        registry.register_reading(name, help, move || read(tables.counts()));
    }
}

struct Links(Arc<Metrics>);

impl fmt::Debug for Links {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Links")
    }
}

/// Name, help, whether it only grows, and how it is read.
const READINGS: [(&str, &str, bool, LinkReading); 14] = [
    ("link_connected", "Whether the peer has introduced itself on a living connection", false, |link| {
        u64::from(link.connected.load(Ordering::Relaxed))
    }),
    ("link_connections", "Connections made", true, |link| link.connections.load(Ordering::Relaxed)),
    ("link_sent_bytes", "Bytes sent, after compression", true, |link| link.bytes_sent.load(Ordering::Relaxed)),
    ("link_sent_deltas", "Deltas sent", true, |link| link.deltas_sent.load(Ordering::Relaxed)),
    ("link_skipped_changes", "Changes that needed no delta", true, |link| link.changes_skipped.load(Ordering::Relaxed)),
    ("link_received_deltas", "Deltas received", true, |link| link.deltas_received.load(Ordering::Relaxed)),
    ("link_applied_versions", "Versions applied", true, |link| link.versions_applied.load(Ordering::Relaxed)),
    ("link_duplicate_versions", "Versions held already", true, |link| link.duplicates.load(Ordering::Relaxed)),
    ("link_parked_versions", "Versions parked", true, |link| link.parked.load(Ordering::Relaxed)),
    ("link_conflicts", "Conflicts recorded", true, |link| link.conflicts.load(Ordering::Relaxed)),
    ("link_apply_failures", "Times a log stalled or applying failed", true, |link| {
        link.apply_failures.load(Ordering::Relaxed)
    }),
    ("link_last_ack_ms", "When the peer last acknowledged, in ms since the Unix epoch", false, |link| {
        link.last_ack_ms.load(Ordering::Relaxed)
    }),
    ("link_backlog_changes", "Changes the peer has not acknowledged", false, |link| link.backlog.load(Ordering::Relaxed)),
    ("link_rtt_us", "The connection's round trip, in microseconds", false, |link| link.rtt_us.load(Ordering::Relaxed)),
];

impl Collector for Links {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        let directions: [(&str, BTreeMap<String, Arc<LinkMetrics>>); 2] =
            [("out", self.0.outgoing()), ("in", self.0.incoming())];
        for (name, help, grows, read) in READINGS {
            let kind = if grows {
                ConstCounter::new(0u64).metric_type()
            } else {
                ConstGauge::new(0i64).metric_type()
            };
            let mut metric = encoder.encode_descriptor(name, help, None, kind)?;
            for (direction, links) in &directions {
                for (peer, link) in links {
                    let labels = [("peer", peer.as_str()), ("direction", *direction)];
                    let encoder = metric.encode_family(&labels)?;
                    let value = read(link);
                    if grows {
                        ConstCounter::new(value).encode(encoder)?;
                    } else {
                        ConstGauge::new(i64::try_from(value).unwrap_or(i64::MAX)).encode(encoder)?;
                    }
                }
            }
        }
        Ok(())
    }
}
