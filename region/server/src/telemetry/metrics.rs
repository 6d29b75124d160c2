//! Metrics sent over OTLP, as the catalogue has them: histograms as exponential ones, with exemplars.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use geodynamo_histogram::SCHEMA;
use geodynamo_http::Shutdown;
use geodynamo_metrics::{Gathered, HistogramReading, MetricsRegistry, catalogue::Kind};
use geodynamo_outgoing::{Call, Client, Endpoint};
use opentelemetry_proto::tonic::{
    collector::metrics::v1::ExportMetricsServiceRequest,
    common::v1::{AnyValue, InstrumentationScope, KeyValue, any_value},
    metrics::v1::{
        AggregationTemporality, Exemplar, ExponentialHistogram, ExponentialHistogramDataPoint, Gauge, Metric,
        NumberDataPoint, ResourceMetrics, ScopeMetrics, Sum, exemplar, exponential_histogram_data_point::Buckets,
        metric, number_data_point,
    },
    resource::v1,
};
use opentelemetry_sdk::Resource;
use prost::Message;

use super::settings::Target;

/// How much of a collector's answer is read.
const ANSWER_BYTES_MAX: usize = 64 << 10;
/// The form of what is sent.
const CONTENT_TYPE: &str = "application/x-protobuf";

/// Sends metrics to a collector.
#[derive(Debug)]
pub(super) struct MetricsExport {
    pub(super) target: Target,
    pub(super) interval: Duration,
    pub(super) resource: Resource,
    pub(super) client: Client,
    pub(super) endpoint: Endpoint,
}

/// The times that a point bears.
#[derive(Clone, Copy)]
struct Times {
    start_ns: u64,
    now_ns: u64,
}

impl MetricsExport {
    /// Sends at its interval until the signal, and once more then. What does not arrive is not sent again: the next has it
    /// all, for what is counted is told as a whole.
    pub(super) async fn run(self, registry: MetricsRegistry, mut shutdown: Shutdown) {
        let start_ns = unix_ns();
        let mut ticks = tokio::time::interval(self.interval);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        // Right at the start there is nothing to tell.
        ticks.tick().await;
        let mut arrives = true;
        let mut goes_on = true;
        while goes_on {
            goes_on = tokio::select! {
                _ = ticks.tick() => true,
                () = shutdown.wait() => false,
            };
            let sent = self.send(&registry, start_ns).await;
            if sent.is_ok() != arrives {
                arrives = sent.is_ok();
                match sent {
                    Ok(()) => tracing::info!(collector = self.target.url, "metrics arrive again"),
                    Err(reason) => tracing::warn!(collector = self.target.url, reason, "metrics do not arrive"),
                }
            }
        }
    }

    async fn send(&self, registry: &MetricsRegistry, start_ns: u64) -> Result<(), String> {
        let gathered = registry.gather().map_err(|error| error.to_string())?;
        let now_ns = unix_ns();
        let request = request(&gathered, &self.resource, Times { start_ns, now_ns });
        let mut headers = vec![("content-type", CONTENT_TYPE)];
        let more = self.target.headers.iter();
        headers.extend(more.map(|(name, value)| (name.as_str(), value.as_str())));
        let call = Call {
            method: "POST",
            path: "",
            query: None,
            headers: &headers,
            body: Bytes::from(request.encode_to_vec()),
            within: self.target.timeout,
            answer_bytes_max: ANSWER_BYTES_MAX,
        };
        let answer = self.endpoint.call(&self.client, &call).await;
        match answer.map_err(|error| error.to_string())?.status {
            status if status.is_success() => Ok(()),
            status => Err(format!("the collector answers {status}")),
        }
    }
}

fn request(gathered: &[Gathered], resource: &Resource, times: Times) -> ExportMetricsServiceRequest {
    let attributes = resource
        .iter()
        .map(|(key, value)| attribute(key.as_str(), &value.as_str()));
    let scope_metrics = ScopeMetrics {
        scope: Some(InstrumentationScope {
            name: "geodynamo".into(),
            version: env!("CARGO_PKG_VERSION").into(),
            ..InstrumentationScope::default()
        }),
        metrics: gathered.iter().map(|gathered| metric(gathered, times)).collect(),
        schema_url: String::new(),
    };
    ExportMetricsServiceRequest {
        resource_metrics: vec![ResourceMetrics {
            resource: Some(v1::Resource {
                attributes: attributes.collect(),
                ..v1::Resource::default()
            }),
            scope_metrics: vec![scope_metrics],
            schema_url: String::new(),
        }],
    }
}

fn metric(gathered: &Gathered, times: Times) -> Metric {
    let points = || {
        let points = gathered.samples.iter().map(|sample| NumberDataPoint {
            attributes: sample
                .labels
                .iter()
                .map(|(name, value)| attribute(name, value))
                .collect(),
            start_time_unix_nano: times.start_ns,
            time_unix_nano: times.now_ns,
            value: Some(number_data_point::Value::AsDouble(sample.value)),
            ..NumberDataPoint::default()
        });
        points.collect()
    };
    let data = match gathered.of.kind {
        Kind::Counter => metric::Data::Sum(Sum {
            data_points: points(),
            aggregation_temporality: AggregationTemporality::Cumulative as i32,
            is_monotonic: true,
        }),
        Kind::Gauge | Kind::Info => metric::Data::Gauge(Gauge { data_points: points() }),
        Kind::Histogram => metric::Data::ExponentialHistogram(ExponentialHistogram {
            data_points: gathered
                .histograms
                .iter()
                .map(|reading| point(reading, times))
                .collect(),
            aggregation_temporality: AggregationTemporality::Cumulative as i32,
        }),
    };
    Metric {
        name: gathered.of.full_name(),
        description: gathered.of.help.to_owned(),
        unit: gathered.of.unit.ucum().to_owned(),
        data: Some(data),
        ..Metric::default()
    }
}

fn point(reading: &HistogramReading, times: Times) -> ExponentialHistogramDataPoint {
    let counts = &reading.counts.exponential;
    let exemplars = reading.exemplars.iter().flatten().map(|exemplar| Exemplar {
        time_unix_nano: (exemplar.at_unix_s * 1e9) as u64,
        trace_id: u128::from_str_radix(&exemplar.trace_id, 16)
            .map(|id| id.to_be_bytes().to_vec())
            .unwrap_or_default(),
        value: Some(exemplar::Value::AsDouble(exemplar.value)),
        ..Exemplar::default()
    });
    ExponentialHistogramDataPoint {
        attributes: reading
            .labels
            .iter()
            .map(|(name, value)| attribute(name, value))
            .collect(),
        start_time_unix_nano: times.start_ns,
        time_unix_nano: times.now_ns,
        count: reading.counts.exponential_count(),
        sum: Some(reading.counts.sum),
        scale: SCHEMA,
        positive: buckets(counts),
        exemplars: exemplars.collect(),
        ..ExponentialHistogramDataPoint::default()
    }
}

/// All buckets from the first that has any to the last.
fn buckets(counts: &[(i32, u64)]) -> Option<Buckets> {
    let ((first, _), (last, _)) = (counts.first()?, counts.last()?);
    let mut dense = vec![0; usize::try_from(last - first).ok()? + 1];
    for (number, count) in counts {
        if let Some(place) = usize::try_from(number - first)
            .ok()
            .and_then(|place| dense.get_mut(place))
        {
            *place = *count;
        }
    }
    Some(Buckets {
        // Prometheus numbers a bucket by its upper bound, OpenTelemetry by its lower one.
        offset: first - 1,
        bucket_counts: dense,
    })
}

fn attribute(key: &str, value: &str) -> KeyValue {
    KeyValue {
        key: key.to_owned(),
        value: Some(AnyValue {
            value: Some(any_value::Value::StringValue(value.to_owned())),
        }),
        ..KeyValue::default()
    }
}

fn unix_ns() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use geodynamo_histogram::Histogram;

    use super::*;

    #[test]
    fn histograms_become_exponential_ones() {
        let histogram = Histogram::new(&[1.0]);
        [0.25, 0.25, 4.0].into_iter().for_each(|value| histogram.record(value));
        let reading = HistogramReading::plain(vec![("table", "t".into())], histogram.snapshot());
        let times = Times { start_ns: 1, now_ns: 2 };
        let point = point(&reading, times);
        assert_eq!((point.count, point.sum, point.scale), (3, Some(4.5), 3));
        let buckets = point.positive.unwrap();
        // 0.25 is 2^-2, the upper bound of Prometheus' bucket -16.
        assert_eq!((buckets.offset, buckets.bucket_counts.len()), (-17, 33));
        assert_eq!((buckets.bucket_counts[0], buckets.bucket_counts[32]), (2, 1));
        assert_eq!(super::buckets(&[]), None);
    }
}
