//! What the data port counts.

use std::{sync::Arc, time::Duration};

use geodynamo_metrics::{HistogramReading, Histograms, MetricsRegistry, add, catalogue};
use http::StatusCode;
use opentelemetry::trace::TraceId;
use prometheus_client::metrics::{counter::Counter, family::Family, gauge::Gauge};

use crate::{
    latency::{self, Latencies, LatencySummary, Outcome},
    slow::{Ended, LastSlow, SlowRequest},
};

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

    /// Keeps a slow request to be shown.
    pub(crate) fn was_slow(&self, ended: &Ended<'_>) {
        self.last_slow.keep(ended);
    }

    /// The requests that were slow lately, the newest first.
    pub fn last_slow(&self) -> Vec<SlowRequest> {
        self.last_slow.all()
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
