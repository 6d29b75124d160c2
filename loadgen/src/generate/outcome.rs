//! A run's results, and the files they are kept in.

use std::{collections::BTreeMap, fmt::Write as _, io, path::Path, time::Duration};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use hdrhistogram::{
    Histogram,
    serialization::{Deserializer, Serializer as _, V2DeflateSerializer, interval_log::IntervalLogWriterBuilder},
};
use serde::{Deserialize, Serialize};

use super::{
    record::{ByOperation, Measured, histogram},
    verify::Verified,
};

/// The version of the JSON form.
pub const FORMAT: u32 = 1;
/// The quantiles that tables show.
pub const QUANTILES: [(f64, &str); 5] = [
    (0.5, "p50"),
    (0.9, "p90"),
    (0.99, "p99"),
    (0.999, "p99.9"),
    (1.0, "max"),
];

/// A run's results.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Outcome {
    /// [`FORMAT`].
    pub format: u32,
    /// The workload's name.
    pub workload: String,
    /// How requests arrived, in words.
    pub arrivals: String,
    /// When it began, in seconds since 1970.
    pub started_unix_s: u64,
    /// The measured time.
    pub seconds: f64,
    /// By region and operation.
    pub operations: Vec<OperationOutcome>,
    /// Second by second.
    pub timeline: Vec<Second>,
    /// What the generator itself took.
    pub client: Client,
    /// The first error's text.
    pub first_error: Option<String>,
    /// What reading back showed, if it was asked for.
    #[serde(skip_deserializing)]
    pub verified: Option<Verified>,
}

/// One region's requests of one operation.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct OperationOutcome {
    /// The region.
    pub region: String,
    /// The operation.
    pub operation: String,
    /// Requests that were answered with what they asked for.
    pub done: u64,
    /// Errors by exception.
    pub errors: BTreeMap<String, u64>,
    /// Response times in milliseconds, by quantile.
    pub response_ms: BTreeMap<String, f64>,
    /// Service times, likewise.
    pub service_ms: BTreeMap<String, f64>,
    /// All response times: an HDR histogram of nanoseconds (V2, deflated, Base64).
    pub response_histogram: String,
    /// All service times.
    pub service_histogram: String,
}

/// One second of the run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Second {
    /// Since the start of the run, warm-up included.
    pub at_s: f64,
    /// Requests a second that were asked for; none in a closed loop.
    pub asked: Option<f64>,
    /// Requests done.
    pub done: u64,
    /// Requests that failed.
    pub failed: u64,
    /// Response times in milliseconds.
    pub p50_ms: f64,
    /// Likewise.
    pub p99_ms: f64,
    /// Likewise.
    pub p999_ms: f64,
}

/// What the generator itself took.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Client {
    /// Its processor time in seconds.
    pub cpu_s: f64,
    /// That for each request, in microseconds.
    pub cpu_us_per_request: f64,
    /// Requests that were sent more than a millisecond after they were due.
    pub late: u64,
    /// Of those, the ones that the generator itself was late with.
    pub own_fault: u64,
    /// Whether the generator, not the server, limited the run: more than one request in a hundred was late by its own fault,
    /// or it used nearly all of the threads it had.
    pub limited: bool,
}

impl OperationOutcome {
    /// Of what was measured.
    pub fn new(region: &str, operation: &str, measured: &Measured) -> Self {
        Self {
            region: region.to_owned(),
            operation: operation.to_owned(),
            done: measured.response_ns.len(),
            errors: measured.errors.clone(),
            response_ms: quantiles(&measured.response_ns),
            service_ms: quantiles(&measured.service_ns),
            response_histogram: pack(&measured.response_ns),
            service_histogram: pack(&measured.service_ns),
        }
    }

    /// Its response times, as they were recorded.
    pub fn response(&self) -> Histogram<u64> {
        unpack(&self.response_histogram)
    }
}

impl Outcome {
    /// All response times of an operation (of all if it is `None`), all regions together.
    pub fn response(&self, operation: Option<&str>) -> Histogram<u64> {
        let mut merged = histogram();
        for found in self
            .operations
            .iter()
            .filter(|found| operation.is_none_or(|name| name == found.operation))
        {
            // All have the same bounds, unless a file was changed by hand.
            let _ = merged.add(found.response());
        }
        merged
    }

    /// Requests done.
    pub fn done(&self) -> u64 {
        self.operations.iter().map(|operation| operation.done).sum()
    }

    /// Requests that failed.
    pub fn failed(&self) -> u64 {
        self.operations
            .iter()
            .flat_map(|operation| operation.errors.values())
            .sum()
    }

    /// Requests done a second.
    pub fn rate(&self) -> f64 {
        self.done() as f64 / self.seconds.max(1e-9)
    }

    /// Reads a file that [`Outcome::write`] wrote.
    pub fn read(path: &Path) -> io::Result<Self> {
        let text = std::fs::read(path)
            .map_err(|error| io::Error::new(error.kind(), format!("{}: {error}", path.display())))?;
        let outcome: Self =
            serde_json::from_slice(&text).map_err(|error| io::Error::other(format!("{}: {error}", path.display())))?;
        if outcome.format != FORMAT {
            return Err(io::Error::other(format!(
                "{}: format {}, not {FORMAT}",
                path.display(),
                outcome.format
            )));
        }
        Ok(outcome)
    }

    /// Writes `NAME.json`, `NAME.hlog`, `NAME.hgrm` and `NAME.html` in a folder.
    pub fn write(&self, folder: &Path, name: &str) -> io::Result<()> {
        std::fs::create_dir_all(folder)?;
        let file = |extension: &str| folder.join(format!("{name}.{extension}"));
        std::fs::write(file("json"), serde_json::to_vec_pretty(self).map_err(io::Error::other)?)?;
        std::fs::write(file("hlog"), self.interval_log()?)?;
        std::fs::write(file("hgrm"), percentiles(&self.response(None)))?;
        std::fs::write(file("html"), super::page::page(self))
    }

    /// An HDR interval log with one interval, the whole run, and a tag for each region and operation.
    fn interval_log(&self) -> io::Result<Vec<u8>> {
        let mut bytes = Vec::new();
        let mut serializer = V2DeflateSerializer::new();
        let mut log = IntervalLogWriterBuilder::new()
            .add_comment("geodynamo-loadgen: response times in nanoseconds")
            .begin_log_with(&mut bytes, &mut serializer)?;
        for operation in &self.operations {
            let tag = format!("{}.{}", operation.region, operation.operation);
            let tag = hdrhistogram::serialization::interval_log::Tag::new(&tag);
            let length = Duration::from_secs_f64(self.seconds);
            log.write_histogram(&operation.response(), Duration::ZERO, length, tag)
                .map_err(|error| io::Error::other(format!("{error:?}")))?;
        }
        Ok(bytes)
    }

    /// The table that is printed at the end.
    pub fn table(&self) -> String {
        let mut text = format!("{:<18} {:<18} {:>9} {:>8}", "region", "operation", "per s", "errors");
        for (_, name) in QUANTILES {
            let _ = write!(text, " {:>9}", format!("{name} ms"));
        }
        for operation in &self.operations {
            let errors: u64 = operation.errors.values().sum();
            let _ = write!(
                text,
                "\n{:<18} {:<18} {:>9.0} {errors:>8}",
                operation.region,
                operation.operation,
                operation.done as f64 / self.seconds.max(1e-9)
            );
            for (_, name) in QUANTILES {
                let _ = write!(
                    text,
                    " {:>9.2}",
                    operation.response_ms.get(name).copied().unwrap_or_default()
                );
            }
            for (exception, count) in &operation.errors {
                let _ = write!(text, "\n{:>40} {count}", exception);
            }
        }
        text
    }
}

/// The outcomes of all regions and operations.
pub fn operations(regions: &[String], measured: &ByOperation) -> Vec<OperationOutcome> {
    measured
        .iter()
        .map(|((region, operation), measured)| OperationOutcome::new(&regions[*region], operation.name(), measured))
        .collect()
}

fn quantiles(histogram: &Histogram<u64>) -> BTreeMap<String, f64> {
    let milliseconds = |quantile| (histogram.value_at_quantile(quantile) as f64 / 1e3).round() / 1e3;
    QUANTILES
        .iter()
        .map(|(quantile, name)| ((*name).to_owned(), milliseconds(*quantile)))
        .collect()
}

fn pack(histogram: &Histogram<u64>) -> String {
    let mut bytes = Vec::new();
    // Into memory, and of a histogram whose counts fit: this does not fail.
    let _ = V2DeflateSerializer::new().serialize(histogram, &mut bytes);
    STANDARD.encode(bytes)
}

/// An empty histogram of what is none.
fn unpack(text: &str) -> Histogram<u64> {
    let bytes = STANDARD.decode(text).unwrap_or_default();
    Deserializer::new()
        .deserialize(&mut bytes.as_slice())
        .unwrap_or_else(|_| histogram())
}

/// The percentile distribution in HdrHistogram's text form; values in milliseconds.
fn percentiles(histogram: &Histogram<u64>) -> String {
    let mut text = format!(
        "{:>12} {:>14} {:>10} {:>14}\n\n",
        "Value", "Percentile", "TotalCount", "1/(1-Percentile)"
    );
    let mut total = 0;
    for step in histogram.iter_quantiles(5) {
        total += step.count_since_last_iteration();
        let quantile = step.quantile_iterated_to();
        let inverse = if quantile < 1.0 {
            format!("{:>14.2}", 1.0 / (1.0 - quantile))
        } else {
            format!("{:>14}", "inf")
        };
        let _ = writeln!(
            text,
            "{:>12.3} {quantile:>14.12} {total:>10} {inverse}",
            step.value_iterated_to() as f64 / 1e6
        );
    }
    let _ = writeln!(
        text,
        "#[Mean    = {:>12.3}, StdDeviation   = {:>12.3}]",
        histogram.mean() / 1e6,
        histogram.stdev() / 1e6
    );
    let _ = writeln!(
        text,
        "#[Max     = {:>12.3}, Total count    = {:>12}]",
        histogram.max() as f64 / 1e6,
        histogram.len()
    );
    text
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// An outcome with latencies around so many milliseconds, for other modules' tests.
    pub(in super::super) fn outcome(around_ms: u64) -> Outcome {
        let mut measured = Measured::default();
        for number in 0..1_000 {
            measured
                .response_ns
                .record(around_ms * 1_000_000 + number * 1_000)
                .unwrap();
            measured
                .service_ns
                .record(around_ms * 900_000 + number * 1_000)
                .unwrap();
        }
        measured.errors.insert("ThrottlingException".into(), 3);
        let timeline = (0..10).map(|second| Second {
            at_s: f64::from(second),
            asked: Some(100.0),
            done: 100,
            failed: 0,
            p50_ms: around_ms as f64 + f64::from(second % 3) / 100.0,
            p99_ms: around_ms as f64 + 1.0 + f64::from(second % 2) / 100.0,
            p999_ms: around_ms as f64 + 1.0,
        });
        Outcome {
            format: FORMAT,
            workload: "ycsb-a".into(),
            arrivals: "constant:100".into(),
            started_unix_s: 0,
            seconds: 10.0,
            operations: vec![OperationOutcome::new("us-east-1", "get", &measured)],
            timeline: timeline.collect(),
            client: Client::default(),
            first_error: None,
            verified: None,
        }
    }

    #[test]
    fn what_is_written_is_read() {
        let folder = tempfile::tempdir().unwrap();
        let outcome = outcome(5);
        outcome.write(folder.path(), "run").unwrap();
        let read = Outcome::read(&folder.path().join("run.json")).unwrap();
        assert_eq!(read.response(Some("get")), outcome.response(None));
        assert_eq!((read.done(), read.failed(), read.rate()), (1_000, 3, 100.0));
        for extension in ["hlog", "hgrm", "html"] {
            assert!(
                std::fs::metadata(folder.path().join(format!("run.{extension}")))
                    .unwrap()
                    .len()
                    > 150
            );
        }
        std::fs::write(folder.path().join("bad.json"), "{}").unwrap();
        assert!(Outcome::read(&folder.path().join("bad.json")).is_err());
    }

    #[test]
    fn objectives() {
        let outcome = outcome(5);
        let missed = |text: &str| text.parse::<super::super::slo::Objective>().unwrap().missed(&outcome);
        assert_eq!(missed("get.p99<7ms"), None);
        assert!(missed("get.p99<5ms").unwrap().contains("not below"));
        assert!(missed("put.p99<5ms").unwrap().contains("nothing"));
        assert_eq!(missed("errors<1%"), None);
        assert!(missed("errors<0.1%").is_some());
        assert_eq!(missed("rate>99"), None);
        assert!(missed("rate>100").is_some());
    }
}
