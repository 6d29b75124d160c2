//! What the links count, and how long versions take to arrive.

use std::{
    collections::BTreeMap,
    fmt,
    sync::{Arc, atomic::Ordering::Relaxed},
};

use geodynamo_histogram::Histogram;
use geodynamo_metrics::{
    Exemplars, HistogramReading, Histograms, MetricsRegistry, NoLabels,
    catalogue::{self, Kind, Metric},
    describe,
};
use geodynamo_replicator::{Faults, LinkMetrics, Metrics, Observer};
use geodynamo_replicator_core::{Millis, TableId, TraceContext};
use opentelemetry::trace::TraceId;
use parking_lot::RwLock;
use prometheus_client::{collector::Collector, encoding::DescriptorEncoder};

/// Bounds for what crosses the world: from a millisecond to minutes.
const REPLICATED_SECONDS: [f64; 18] = [
    0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.075, 0.1, 0.15, 0.2, 0.3, 0.5, 1.0, 2.0, 5.0, 15.0, 60.0, 300.0,
];

/// Bounds for what happens on this machine.
const APPLIED_SECONDS: [f64; 11] = [0.0002, 0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.5, 2.0];

/// Records the replicator's measurements, by the region they are about.
#[derive(Debug)]
pub struct ReplicationObserver {
    replicated: Arc<ByRegion>,
    applied: Arc<ByRegion>,
}

/// A histogram for each region that there is.
#[derive(Debug)]
struct ByRegion {
    bounds: &'static [f64],
    all: RwLock<BTreeMap<String, Histogram>>,
    exemplars: Exemplars<String>,
}

impl ByRegion {
    fn new(bounds: &'static [f64]) -> Arc<Self> {
        Arc::new(Self {
            bounds,
            all: RwLock::default(),
            exemplars: Exemplars::new(bounds),
        })
    }

    fn record(&self, region: &str, value: f64) {
        if let Some(histogram) = self.all.read().get(region) {
            return histogram.record(value);
        }
        let mut all = self.all.write();
        let histogram = all.entry(region.to_owned());
        histogram.or_insert_with(|| Histogram::new(self.bounds)).record(value);
    }
}

impl Histograms for ByRegion {
    fn read(&self) -> Vec<HistogramReading> {
        let all = self.all.read();
        let of = |(region, histogram): (&String, &Histogram)| HistogramReading {
            labels: vec![("from_region", region.clone())],
            counts: histogram.snapshot(),
            exemplars: self.exemplars.of(region),
        };
        all.iter().map(of).collect()
    }
}

impl ReplicationObserver {
    /// An observer whose histograms are in `registry`.
    pub fn new(registry: &MetricsRegistry) -> Arc<Self> {
        let observer = Self {
            replicated: ByRegion::new(&REPLICATED_SECONDS),
            applied: ByRegion::new(&APPLIED_SECONDS),
        };
        for (of, histograms) in [
            (&catalogue::REPLICATION_LATENCY, &observer.replicated),
            (&catalogue::REPLICATION_APPLY, &observer.applied),
        ] {
            registry.register_histograms(of, Box::new(Arc::clone(histograms)));
        }
        Arc::new(observer)
    }
}

impl Observer for ReplicationObserver {
    fn replicated(&self, from_region: &str, _: TableId, latency_ms: Millis) {
        self.replicated.record(from_region, latency_ms as f64 / 1000.0);
    }

    fn traced(&self, from_region: &str, latency_ms: Millis, trace: TraceContext) {
        let (of, trace) = (from_region.to_owned(), TraceId::from(trace.trace_id));
        self.replicated
            .exemplars
            .remember(of, latency_ms as f64 / 1000.0, trace);
    }

    fn applied(&self, from_region: &str, _: usize, seconds: f64) {
        self.applied.record(from_region, seconds);
    }
}

/// Shows what the replicator counts, by peer region.
#[derive(Debug)]
pub struct LinkCollector(pub Arc<Metrics>, pub Faults);

/// A link's number: its metric, and how to read it in the metric's unit.
type Reading = (&'static Metric, fn(&LinkMetrics) -> f64);

const OUTGOING: [Reading; 12] = [
    (&catalogue::LINK_UP, |link| f64::from(link.connected.load(Relaxed))),
    (&catalogue::LINK_CONNECTIONS, |link| {
        link.connections.load(Relaxed) as f64
    }),
    (&catalogue::LINK_SENT_BYTES, |link| link.bytes_sent.load(Relaxed) as f64),
    (&catalogue::LINK_SENT_DELTAS, |link| {
        link.deltas_sent.load(Relaxed) as f64
    }),
    (&catalogue::LINK_SKIPPED_CHANGES, |link| {
        link.changes_skipped.load(Relaxed) as f64
    }),
    (&catalogue::LINK_BACKLOG_CHANGES, |link| {
        link.backlog.load(Relaxed) as f64
    }),
    (&catalogue::LINK_RTT, |link| link.rtt_us.load(Relaxed) as f64 / 1e6),
    (&catalogue::LINK_PACKETS_LOST, |link| {
        link.packets_lost.load(Relaxed) as f64
    }),
    (&catalogue::LINK_CONGESTION_EVENTS, |link| {
        link.congestion_events.load(Relaxed) as f64
    }),
    (&catalogue::LINK_WINDOW_BYTES, |link| {
        link.window_bytes.load(Relaxed) as f64
    }),
    (&catalogue::LINK_LAST_ACK, |link| {
        link.last_ack_ms.load(Relaxed) as f64 / 1e3
    }),
    (&catalogue::LINK_LOGS_AHEAD, |link| {
        link.peers_ahead.load(Relaxed) as f64
    }),
];

const INCOMING: [Reading; 7] = [
    (&catalogue::LINK_RECEIVED_DELTAS, |link| {
        link.deltas_received.load(Relaxed) as f64
    }),
    (&catalogue::LINK_APPLIED_VERSIONS, |link| {
        link.versions_applied.load(Relaxed) as f64
    }),
    (&catalogue::LINK_DUPLICATE_VERSIONS, |link| {
        link.duplicates.load(Relaxed) as f64
    }),
    (&catalogue::LINK_PARKED_VERSIONS, |link| {
        link.parked.load(Relaxed) as f64
    }),
    (&catalogue::LINK_CONFLICTS, |link| link.conflicts.load(Relaxed) as f64),
    (&catalogue::LINK_BATCHES, |link| link.batches.load(Relaxed) as f64),
    (&catalogue::LINK_APPLY_FAILURES, |link| {
        link.apply_failures.load(Relaxed) as f64
    }),
];

impl Collector for LinkCollector {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        encode(&mut encoder, &OUTGOING, &self.0.outgoing())?;
        encode(&mut encoder, &INCOMING, &self.0.incoming())?;
        let mut offsets = describe(&mut encoder, &catalogue::LINK_CLOCK_OFFSET)?;
        for (peer, link) in self.0.outgoing() {
            if let Some(offset) = link.clock_offset_s() {
                let labels = [("peer_region", peer.as_str())];
                offsets.encode_family(&labels)?.encode_gauge(&offset)?;
            }
        }
        let faults = self.1.now();
        let mut metric = describe(&mut encoder, &catalogue::LINK_FAULT)?;
        for peer in self.0.outgoing().keys() {
            let labels = [("peer_region", peer.as_str())];
            let there = f64::from(faults.contains_key(peer));
            metric.encode_family(&labels)?.encode_gauge(&there)?;
        }
        let mut metric = describe(&mut encoder, &catalogue::LINK_FAULT_PACKETS)?;
        metric.encode_counter::<NoLabels, f64, f64>(&(self.1.dropped() as f64), None)
    }
}

fn encode(
    encoder: &mut DescriptorEncoder<'_>,
    readings: &[Reading],
    links: &BTreeMap<String, Arc<LinkMetrics>>,
) -> fmt::Result {
    for (of, read) in readings {
        let mut metric = describe(encoder, of)?;
        for (peer, link) in links {
            let labels = [("peer_region", peer.as_str())];
            let mut metric = metric.encode_family(&labels)?;
            let value = read(link);
            if of.kind == Kind::Counter {
                metric.encode_counter::<NoLabels, f64, f64>(&value, None)?;
            } else {
                metric.encode_gauge(&value)?;
            }
        }
    }
    Ok(())
}
