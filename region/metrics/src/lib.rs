//! What the process tells of itself, in one catalogue and in the forms that scrapers ask for.
//!
//! [`MetricsRegistry`] holds everything that is shown; whoever has something to show registers a collector, and names its metrics by
//! the constants of [`catalogue`]. It is written as OpenMetrics text, or in Prometheus' protobuf messages where native histograms are
//! asked for ([`protobuf`]); [`exposition`] reads the text back.

pub mod catalogue;
mod exemplars;
pub mod exposition;
mod gathered;
mod process;
pub mod protobuf;
mod text;

use std::{fmt, sync::Arc};

use parking_lot::Mutex;
use prometheus_client::{
    collector::Collector,
    encoding::{DescriptorEncoder, MetricEncoder},
    metrics::{MetricType, counter::Counter, family::Family},
    registry::Registry,
};

use self::catalogue::{Kind, Metric};
pub use self::{
    exemplars::Exemplars,
    gathered::{Exemplar, Gathered, HistogramReading, Histograms, Label},
};

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
    pub fn register_histograms(&self, of: &'static Metric, histograms: Box<dyn Histograms>) {
        self.0.lock().histograms.push((of, histograms));
    }

    /// Adds a gauge that is read when somebody looks.
    pub fn register_reading(&self, of: &'static Metric, read: impl Fn() -> u64 + Send + Sync + 'static) {
        let read = Box::new(read);
        self.register(|registry| registry.register_collector(Box::new(Reading { of, read })));
    }

    /// Adds a counter with one label.
    pub fn counters(&self, of: &'static Metric) -> Family<[(&'static str, &'static str); 1], Counter> {
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
    pub fn gather(&self) -> Result<Vec<Gathered>, fmt::Error> {
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
pub type NoLabels = [(&'static str, &'static str); 0];

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
pub fn add(registry: &mut Registry, of: &Metric, metric: impl prometheus_client::registry::Metric) {
    registry.register(of.name, of.help, metric);
}

/// Begins a metric of the catalogue.
pub fn describe<'a>(encoder: &'a mut DescriptorEncoder<'_>, of: &Metric) -> Result<MetricEncoder<'a>, fmt::Error> {
    let kind = match of.kind {
        Kind::Counter => MetricType::Counter,
        Kind::Gauge => MetricType::Gauge,
        Kind::Histogram => MetricType::Histogram,
        Kind::Info => MetricType::Info,
    };
    encoder.encode_descriptor(of.name, of.help, None, kind)
}

/// Writes one counter.
pub fn counter(encoder: &mut DescriptorEncoder<'_>, of: &Metric, value: u64) -> fmt::Result {
    describe(encoder, of)?.encode_counter::<NoLabels, u64, f64>(&value, None)
}

/// Writes one gauge. Counts above 2^63 are shown as that.
pub fn gauge(encoder: &mut DescriptorEncoder<'_>, of: &Metric, value: u64) -> fmt::Result {
    describe(encoder, of)?.encode_gauge(&i64::try_from(value).unwrap_or(i64::MAX))
}
