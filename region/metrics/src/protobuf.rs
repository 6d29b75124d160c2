//! Metrics as Prometheus' protobuf messages: the only form in which it takes native histograms.
//!
//! The messages are those of `io/prometheus/client/metrics.proto` (proto2), as far as they are used here. Source:
//! <https://github.com/prometheus/client_model>; the histograms: <https://prometheus.io/docs/specs/native_histograms/>.

use geodynamo_histogram::SCHEMA;
use http::{HeaderMap, header};
use prost::Message;

use super::{
    catalogue::Kind,
    gathered::{self, Gathered, HistogramReading},
};

/// The form's content type.
pub const CONTENT_TYPE: &str =
    "application/vnd.google.protobuf; proto=io.prometheus.client.MetricFamily; encoding=delimited";
/// Values up to this count as zero; Prometheus' own default.
const ZERO_THRESHOLD: f64 = 2.938_735_877_055_719e-39;

/// Whether whoever asks prefers protobuf: it is the first that its `Accept` header names.
pub fn is_asked_for(headers: &HeaderMap) -> bool {
    let accept = headers.get(header::ACCEPT).and_then(|value| value.to_str().ok());
    let weighed = accept.unwrap_or_default().split(',').filter_map(weigh);
    // Of equal weights, the first.
    let best = weighed.reduce(|best, next| if next.1 > best.1 { next } else { best });
    best.is_some_and(|(is_protobuf, weight)| is_protobuf && weight > 0.0)
}

/// Whether a part of an `Accept` header is this form, and its weight.
fn weigh(part: &str) -> Option<(bool, f64)> {
    let mut parameters = part.split(';').map(str::trim);
    let kind = parameters.next()?;
    let (mut weight, mut proto, mut encoding) = (1.0, None, None);
    for parameter in parameters {
        match parameter.split_once('=')? {
            ("q", value) => weight = value.parse().ok()?,
            ("proto", value) => proto = Some(value),
            ("encoding", value) => encoding = Some(value),
            _ => {}
        }
    }
    let is_protobuf = kind == "application/vnd.google.protobuf"
        && proto == Some("io.prometheus.client.MetricFamily")
        && encoding == Some("delimited");
    Some((is_protobuf, weight))
}

/// Writes metrics, each behind its length.
pub fn encode(all: &[Gathered]) -> Vec<u8> {
    let mut out = Vec::new();
    for gathered in all {
        let family = family(gathered);
        out.reserve(family.encoded_len() + 8);
        // There is room: a vector grows.
        let _ = family.encode_length_delimited(&mut out);
    }
    out
}

fn family(gathered: &Gathered) -> MetricFamily {
    let kind = match gathered.of.kind {
        Kind::Counter => MetricType::Counter,
        Kind::Gauge | Kind::Info => MetricType::Gauge,
        Kind::Histogram => MetricType::Histogram,
    };
    let numbers = gathered.samples.iter().map(|sample| {
        let number = Some(Number { value: sample.value });
        Metric {
            label: sample
                .labels
                .iter()
                .map(|(name, value)| LabelPair::of(name, value))
                .collect(),
            gauge: number.filter(|_| kind == MetricType::Gauge),
            counter: number.filter(|_| kind == MetricType::Counter),
            histogram: None,
        }
    });
    let histograms = gathered.histograms.iter().map(|reading| Metric {
        label: reading
            .labels
            .iter()
            .map(|(name, value)| LabelPair::of(name, value))
            .collect(),
        gauge: None,
        counter: None,
        histogram: Some(Histogram::of(reading)),
    });
    MetricFamily {
        name: gathered.of.full_name(),
        help: gathered.of.help.to_owned(),
        kind: kind as i32,
        metric: numbers.chain(histograms).collect(),
    }
}

impl Histogram {
    fn of(reading: &HistogramReading) -> Self {
        let (spans, deltas) = sparse(&reading.counts.exponential);
        let buckets = reading.buckets();
        let buckets = buckets.map(|(bound, count, exemplar)| Bucket {
            cumulative_count: count,
            upper_bound: bound,
            exemplar: exemplar.map(Exemplar::of),
        });
        Self {
            sample_count: reading.counts.exponential_count(),
            sample_sum: reading.counts.sum,
            bucket: buckets.collect(),
            schema: SCHEMA,
            zero_threshold: ZERO_THRESHOLD,
            zero_count: 0,
            positive_span: spans,
            positive_delta: deltas,
        }
    }
}

/// Buckets as spans of consecutive ones, and the differences of their counts.
fn sparse(buckets: &[(i32, u64)]) -> (Vec<BucketSpan>, Vec<i64>) {
    let (mut spans, mut deltas): (Vec<BucketSpan>, Vec<i64>) = (Vec::new(), Vec::new());
    let (mut next, mut last) = (0, 0_i64);
    for (number, count) in buckets {
        match spans.last_mut() {
            Some(span) if *number == next => span.length += 1,
            // Of the first, its number; of others, how far it is behind the end of the one before.
            _ => spans.push(BucketSpan {
                offset: number - next,
                length: 1,
            }),
        }
        let count = i64::try_from(*count).unwrap_or(i64::MAX);
        deltas.push(count - last);
        (next, last) = (number + 1, count);
    }
    (spans, deltas)
}

impl Exemplar {
    fn of(exemplar: &gathered::Exemplar) -> Self {
        let seconds = exemplar.at_unix_s.floor();
        Self {
            label: vec![LabelPair::of("trace_id", &exemplar.trace_id)],
            value: exemplar.value,
            timestamp: Some(Timestamp {
                seconds: seconds as i64,
                nanos: ((exemplar.at_unix_s - seconds) * 1e9) as i32,
            }),
        }
    }
}

impl LabelPair {
    fn of(name: &str, value: &str) -> Self {
        Self {
            name: name.to_owned(),
            value: value.to_owned(),
        }
    }
}

#[derive(Clone, PartialEq, Message)]
struct MetricFamily {
    #[prost(string, tag = "1")]
    name: String,
    #[prost(string, tag = "2")]
    help: String,
    /// A [`MetricType`].
    #[prost(int32, tag = "3")]
    kind: i32,
    #[prost(message, repeated, tag = "4")]
    metric: Vec<Metric>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum MetricType {
    Counter = 0,
    Gauge = 1,
    Histogram = 4,
}

#[derive(Clone, PartialEq, Message)]
struct Metric {
    #[prost(message, repeated, tag = "1")]
    label: Vec<LabelPair>,
    #[prost(message, optional, tag = "2")]
    gauge: Option<Number>,
    #[prost(message, optional, tag = "3")]
    counter: Option<Number>,
    #[prost(message, optional, tag = "7")]
    histogram: Option<Histogram>,
}

#[derive(Clone, PartialEq, Message)]
struct LabelPair {
    #[prost(string, tag = "1")]
    name: String,
    #[prost(string, tag = "2")]
    value: String,
}

/// A gauge's message, and a counter's.
#[derive(Clone, Copy, PartialEq, Message)]
struct Number {
    #[prost(double, tag = "1")]
    value: f64,
}

#[derive(Clone, PartialEq, Message)]
struct Histogram {
    #[prost(uint64, tag = "1")]
    sample_count: u64,
    #[prost(double, tag = "2")]
    sample_sum: f64,
    #[prost(message, repeated, tag = "3")]
    bucket: Vec<Bucket>,
    #[prost(sint32, tag = "5")]
    schema: i32,
    #[prost(double, tag = "6")]
    zero_threshold: f64,
    #[prost(uint64, tag = "7")]
    zero_count: u64,
    #[prost(message, repeated, tag = "12")]
    positive_span: Vec<BucketSpan>,
    #[prost(sint64, repeated, tag = "13")]
    positive_delta: Vec<i64>,
}

#[derive(Clone, PartialEq, Message)]
struct Bucket {
    #[prost(uint64, tag = "1")]
    cumulative_count: u64,
    #[prost(double, tag = "2")]
    upper_bound: f64,
    #[prost(message, optional, tag = "3")]
    exemplar: Option<Exemplar>,
}

#[derive(Clone, PartialEq, Message)]
struct BucketSpan {
    #[prost(sint32, tag = "1")]
    offset: i32,
    #[prost(uint32, tag = "2")]
    length: u32,
}

#[derive(Clone, PartialEq, Message)]
struct Exemplar {
    #[prost(message, repeated, tag = "1")]
    label: Vec<LabelPair>,
    #[prost(double, tag = "2")]
    value: f64,
    #[prost(message, optional, tag = "3")]
    timestamp: Option<Timestamp>,
}

/// `google.protobuf.Timestamp`
#[derive(Clone, Copy, PartialEq, Message)]
struct Timestamp {
    #[prost(int64, tag = "1")]
    seconds: i64,
    #[prost(int32, tag = "2")]
    nanos: i32,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_asked_for() {
        let asked = |accept: &'static str| {
            let mut headers = HeaderMap::new();
            headers.insert(header::ACCEPT, header::HeaderValue::from_static(accept));
            is_asked_for(&headers)
        };
        // What Prometheus 2.42 sends with native histograms, and without; what Prometheus 3 sends.
        assert!(asked(
            "application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=delimited,\
             application/openmetrics-text;version=1.0.0;q=0.8,text/plain;version=0.0.4;q=0.5,*/*;q=0.1"
        ));
        assert!(!asked(
            "application/openmetrics-text;version=1.0.0,application/openmetrics-text;version=0.0.1;q=0.75,\
             text/plain;version=0.0.4;q=0.5,*/*;q=0.1"
        ));
        assert!(asked(
            "application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=delimited;q=0.6,\
             application/openmetrics-text;version=1.0.0;q=0.5,*/*;q=0.1"
        ));
        assert!(!asked(
            "application/openmetrics-text;version=1.0.0;q=0.6,\
             application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=delimited;q=0.5"
        ));
        for other in [
            "",
            "*/*",
            "text/html",
            "application/vnd.google.protobuf",
            "a;b",
            ";q=x",
            "application/json;q=0",
        ] {
            assert!(!asked(other), "{other}");
        }
        assert!(!is_asked_for(&HeaderMap::new()));
    }

    #[test]
    fn buckets_are_sparse() {
        let (spans, deltas) = sparse(&[(-3, 5), (-2, 5), (4, 2), (5, 9)]);
        let spans: Vec<_> = spans.iter().map(|span| (span.offset, span.length)).collect();
        assert_eq!(spans, [(-3, 2), (5, 2)]);
        assert_eq!(deltas, [5, 0, -3, 7]);
        assert_eq!(sparse(&[]), (Vec::new(), Vec::new()));
    }
}
