//! What the process tells of itself: counters, gauges, and latencies that are recorded once and shown twice.

mod cassandra;
pub mod catalogue;
mod exemplars;
mod gathered;
mod identity;
mod insights;
mod keys;
mod kinesis;
mod latency;
mod process;
pub(crate) mod protobuf;
mod recovery;
mod replication;
mod scrub;
mod sinks;
mod storage;
mod tables;
mod text;
mod triggers;

use std::{fmt, sync::Arc, time::Duration};

use http::StatusCode;
use opentelemetry::trace::TraceId;
use parking_lot::Mutex;
use prometheus_client::{
    collector::Collector,
    encoding::{DescriptorEncoder, MetricEncoder},
    metrics::{MetricType, counter::Counter, family::Family, gauge::Gauge},
    registry::Registry,
};

use self::catalogue::{Kind, Metric};
use self::latency::Latencies;
pub(crate) use self::{
    cassandra::{CassandraCollector, StandByCollector},
    gathered::{Exemplar, Gathered, HistogramReading, Histograms},
    insights::InsightsCollector,
    keys::KeyCollector,
    scrub::ScrubCollector,
};
pub use self::{
    identity::{IdentityCollector, LagCollector, ReplicationLag},
    kinesis::KinesisCollector,
    latency::{LatencySummary, Outcome},
    recovery::{BackupCollector, RecoveryCollector, TransferCollector},
    replication::{LinkCollector, ReplicationObserver},
    sinks::SinkCollector,
    storage::{RocksCollector, TableCollector},
    tables::UsageCollector,
    triggers::TriggerCollector,
};
use crate::data::slow::LastSlow;

/// All metrics of a process, under the prefix `geodynamo_`. Cheap to clone. Others register theirs with
/// [`MetricsRegistry::register`].
#[derive(Clone, Debug)]
pub struct MetricsRegistry(Arc<Mutex<Registered>>);

/// Histograms stand apart: `prometheus_client` writes none with exemplars for a collector, and no native ones.
#[derive(Debug)]
struct Registered {
    numbers: Registry,
    histograms: Vec<(&'static Metric, Box<dyn Histograms>)>,
}

impl Default for MetricsRegistry {
    fn default() -> Self {
        Self(Arc::new(Mutex::new(Registered {
            numbers: Registry::with_prefix(catalogue::PREFIX),
            histograms: Vec::new(),
        })))
    }
}

impl MetricsRegistry {
    /// An empty registry.
    pub fn new() -> Self {
        Self::default()
    }

    /// A registry with what the operating system says of this process.
    pub fn with_process() -> Self {
        let registry = Self::default();
        registry.register(|registry| registry.register_collector(Box::new(process::ProcessMetrics)));
        registry
    }

    /// Lets `register` add metrics; names get the prefix `geodynamo_`.
    pub fn register<R>(&self, register: impl FnOnce(&mut Registry) -> R) -> R {
        register(&mut self.0.lock().numbers)
    }

    /// Adds histograms.
    pub(crate) fn register_histograms(&self, of: &'static Metric, histograms: Box<dyn Histograms>) {
        self.0.lock().histograms.push((of, histograms));
    }

    /// Adds a gauge that is read when somebody looks.
    pub fn register_reading(&self, of: &'static Metric, read: impl Fn() -> u64 + Send + Sync + 'static) {
        let read = Box::new(read);
        self.register(|registry| registry.register_collector(Box::new(Reading { of, read })));
    }

    /// Adds a counter with one label.
    pub(crate) fn counters(&self, of: &'static Metric) -> Family<[(&'static str, &'static str); 1], Counter> {
        let counters = Family::default();
        self.register(|registry| add(registry, of, counters.clone()));
        counters
    }

    /// All metrics as OpenMetrics text, which Prometheus reads as such.
    pub fn encode(&self) -> Result<String, fmt::Error> {
        let (mut out, histograms) = self.read()?;
        text::append(&mut out, &histograms)?;
        Ok(out)
    }

    /// All metrics, in the catalogue's order, for other forms than text.
    pub(crate) fn gather(&self) -> Result<Vec<Gathered>, fmt::Error> {
        let (numbers, histograms) = self.read()?;
        Ok(gathered::gather(&numbers, histograms))
    }

    fn read(&self) -> Result<(String, Vec<gathered::Readings>), fmt::Error> {
        let registered = self.0.lock();
        let mut numbers = String::new();
        prometheus_client::encoding::text::encode(&mut numbers, &registered.numbers)?;
        let histograms = registered
            .histograms
            .iter()
            .map(|(of, histograms)| (*of, histograms.read()));
        Ok((numbers, histograms.collect()))
    }
}

/// What an encoder is told that has no labels, or no exemplars' labels, to write.
type NoLabels = [(&'static str, &'static str); 0];

/// What the data port counts.
#[derive(Debug)]
pub struct RequestMetrics {
    operations: &'static [&'static str],
    latencies: Latencies,
    refused: Family<[(&'static str, &'static str); 1], Counter>,
    panics: Counter,
    open_connections: Gauge,
    connections: Counter,
    last_slow: LastSlow,
}

impl RequestMetrics {
    /// Counts for these operations, shown in `registry`.
    pub fn new(registry: &MetricsRegistry, operations: &'static [&'static str]) -> Arc<Self> {
        let metrics = Arc::new(Self {
            operations,
            latencies: Latencies::new(operations.len()),
            refused: Family::default(),
            panics: Counter::default(),
            open_connections: Gauge::default(),
            connections: Counter::default(),
            last_slow: LastSlow::default(),
        });
        registry.register(|registry| {
            add(registry, &catalogue::REQUESTS_REFUSED, metrics.refused.clone());
            add(registry, &catalogue::REQUEST_PANICS, metrics.panics.clone());
            add(registry, &catalogue::CONNECTIONS_OPEN, metrics.open_connections.clone());
            add(registry, &catalogue::CONNECTIONS, metrics.connections.clone());
        });
        let durations = Box::new(RequestDurations(Arc::clone(&metrics)));
        registry.register_histograms(&catalogue::REQUEST_DURATION, durations);
        metrics
    }

    /// Quantiles of every operation and outcome that occurred, since the start.
    pub fn summaries(&self) -> Vec<(&'static str, Outcome, LatencySummary)> {
        let mut summaries = Vec::new();
        for (operation, name) in self.operations.iter().enumerate() {
            for outcome in Outcome::ALL {
                if let Some(histogram) = self.latencies.merged(operation, outcome) {
                    summaries.push((*name, outcome, LatencySummary::of(&histogram)));
                }
            }
        }
        summaries
    }

    /// A request was answered; `trace` is its trace's id, if it is traced.
    pub(crate) fn answered(&self, operation: usize, outcome: Outcome, took: Duration, trace: Option<TraceId>) {
        self.latencies.record(operation, outcome, took);
        if let Some(trace) = trace {
            self.latencies.remember(operation, outcome, took, trace);
        }
    }

    /// The requests that were slow lately.
    pub(crate) fn last_slow(&self) -> &LastSlow {
        &self.last_slow
    }

    pub(crate) fn refused(&self, reason: &'static str) {
        self.refused.get_or_create(&[("reason", reason)]).inc();
    }

    pub(crate) fn panicked(&self) {
        self.panics.inc();
    }

    /// Counts a connection until the guard is dropped.
    pub(crate) fn connection(&self) -> OpenConnection {
        self.connections.inc();
        self.open_connections.inc();
        OpenConnection(self.open_connections.clone())
    }
}

/// A connection that is counted as open.
#[derive(Debug)]
pub(crate) struct OpenConnection(Gauge);

impl Drop for OpenConnection {
    fn drop(&mut self) {
        self.0.dec();
    }
}

impl Outcome {
    /// The outcome that a status stands for.
    pub fn of(status: StatusCode) -> Self {
        if status.is_server_error() {
            Self::ServerError
        } else if status.is_client_error() {
            Self::ClientError
        } else {
            Self::Success
        }
    }
}

/// Shows the recorded latencies as histograms.
#[derive(Debug)]
struct RequestDurations(Arc<RequestMetrics>);

impl Histograms for RequestDurations {
    fn read(&self) -> Vec<HistogramReading> {
        let mut all = Vec::new();
        for (operation, name) in self.0.operations.iter().enumerate() {
            for outcome in Outcome::ALL {
                let Some(histogram) = self.0.latencies.merged(operation, outcome) else {
                    continue;
                };
                all.push(HistogramReading {
                    labels: vec![
                        ("operation", (*name).to_owned()),
                        ("outcome", outcome.name().to_owned()),
                    ],
                    counts: latency::counts(&histogram),
                    exemplars: self.0.latencies.exemplars(operation, outcome),
                });
            }
        }
        all
    }
}

struct Reading {
    of: &'static Metric,
    read: Box<dyn Fn() -> u64 + Send + Sync>,
}

impl fmt::Debug for Reading {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reading")
            .field("name", &self.of.name)
            .finish_non_exhaustive()
    }
}

impl Collector for Reading {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        match self.of.kind {
            Kind::Counter => counter(&mut encoder, self.of, (self.read)()),
            _ => gauge(&mut encoder, self.of, (self.read)()),
        }
    }
}

/// Adds a metric that keeps its own value.
fn add(registry: &mut Registry, of: &Metric, metric: impl prometheus_client::registry::Metric) {
    registry.register(of.name, of.help, metric);
}

/// Begins a metric of the catalogue.
fn describe<'a>(encoder: &'a mut DescriptorEncoder<'_>, of: &Metric) -> Result<MetricEncoder<'a>, fmt::Error> {
    let kind = match of.kind {
        Kind::Counter => MetricType::Counter,
        Kind::Gauge => MetricType::Gauge,
        Kind::Histogram => MetricType::Histogram,
        Kind::Info => MetricType::Info,
    };
    encoder.encode_descriptor(of.name, of.help, None, kind)
}

/// Writes one counter.
fn counter(encoder: &mut DescriptorEncoder<'_>, of: &Metric, value: u64) -> fmt::Result {
    describe(encoder, of)?.encode_counter::<NoLabels, u64, f64>(&value, None)
}

/// Writes one gauge. Counts above 2^63 are shown as that.
fn gauge(encoder: &mut DescriptorEncoder<'_>, of: &Metric, value: u64) -> fmt::Result {
    describe(encoder, of)?.encode_gauge(&i64::try_from(value).unwrap_or(i64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn metrics_are_shown() {
        let registry = MetricsRegistry::with_process();
        let metrics = RequestMetrics::new(&registry, &["PutItem", "GetItem"]);
        registry.register_reading(&catalogue::REQUEST_BUFFERED_BYTES, || 7);
        let trace = TraceId::from(0x4bf9_2f35_77b3_4da6_a3ce_929d_0e0e_4736);
        metrics.answered(1, Outcome::Success, Duration::from_micros(150), None);
        metrics.answered(1, Outcome::Success, Duration::from_millis(3), Some(trace));
        metrics.answered(1, Outcome::ClientError, Duration::from_secs(100), None);
        metrics.refused("late");
        let open = metrics.connection();
        let text = registry.encode().unwrap();
        for line in [
            "geodynamo_request_duration_seconds_count{operation=\"GetItem\",outcome=\"success\"} 2",
            "geodynamo_request_duration_seconds_bucket{le=\"0.0001\",operation=\"GetItem\",outcome=\"success\"} 0",
            "geodynamo_request_duration_seconds_bucket{le=\"0.0002\",operation=\"GetItem\",outcome=\"success\"} 1",
            "geodynamo_request_duration_seconds_bucket{le=\"0.003\",operation=\"GetItem\",outcome=\"success\"} 2 \
             # {trace_id=\"4bf92f3577b34da6a3ce929d0e0e4736\"} 0.003 ",
            "geodynamo_request_duration_seconds_bucket{le=\"0.005\",operation=\"GetItem\",outcome=\"success\"} 2\n",
            "geodynamo_request_duration_seconds_bucket{le=\"+Inf\",operation=\"GetItem\",outcome=\"client_error\"} 1",
            "geodynamo_requests_refused_total{reason=\"late\"} 1",
            "geodynamo_connections_open 1",
            "geodynamo_connections_total 1",
            "geodynamo_request_buffered_bytes 7",
            "geodynamo_process_resident_memory_bytes ",
        ] {
            assert!(text.contains(line), "no {line} in\n{text}");
        }
        assert!(!text.contains("PutItem"), "an operation that never was is shown");
        drop(open);
        assert!(registry.encode().unwrap().contains("geodynamo_connections_open 0"));
        let summaries = metrics.summaries();
        assert_eq!(summaries.len(), 2);
        let (name, outcome, summary) = summaries[0];
        assert_eq!((name, outcome, summary.count), ("GetItem", Outcome::Success, 2));
        assert!((3000..=3003).contains(&summary.max_us), "{summary:?}");
    }
}
