//! A run's results, and the files they are kept in.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Write as _,
    io,
    path::Path,
    time::{Duration, UNIX_EPOCH},
};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use hdrhistogram::{
    Histogram,
    serialization::{
        Deserializer, Serializer as _, V2DeflateSerializer,
        interval_log::{IntervalLogWriterBuilder, Tag},
    },
};
use serde::{Deserialize, Serialize};

use super::{
    lag::Lag,
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
    #[serde(default)]
    pub verified: Option<Verified>,
    /// How far regions lagged behind each other, if that was asked for.
    #[serde(default)]
    pub lag: Vec<Lag>,
    /// Whether somebody broke it off.
    #[serde(default)]
    pub broken_off: bool,
}

/// One region's requests of one operation.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct OperationOutcome {
    /// The region.
    pub region: String,
    /// The operation.
    pub operation: String,
    /// Requests that were answered with what they asked for.
    pub done: u64,
    /// Of those, the ones that were answered after the end: they were due before it.
    #[serde(default)]
    pub after_end: u64,
    /// Errors by exception; broken connections as `connection`, requests without an answer as `timeout` and `unfinished`.
    pub errors: BTreeMap<String, u64>,
    /// Response times in milliseconds, by quantile.
    pub response_ms: BTreeMap<String, f64>,
    /// Service times, likewise.
    pub service_ms: BTreeMap<String, f64>,
    /// All response times: an HDR histogram of nanoseconds (V2, deflated, Base64). Requests without an answer are in it with how
    /// long they waited for one.
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
    /// Whether this is no whole second of the run but its rest, and what ended after it.
    #[serde(default)]
    pub rest: bool,
    /// The same by region and operation.
    #[serde(default)]
    pub operations: Vec<OperationOutcome>,
}

impl Second {
    /// Of what was measured in a second that ended so long after the start.
    pub fn new(at_s: f64, asked: Option<f64>, regions: &[String], measured: &ByOperation) -> Self {
        let mut all = Measured::default();
        for one in measured.values() {
            all.add(one);
        }
        let milliseconds = |quantile| all.response_ns.value_at_quantile(quantile) as f64 / 1e6;
        Self {
            at_s,
            asked,
            done: all.done(),
            failed: all.error_count(),
            p50_ms: milliseconds(0.5),
            p99_ms: milliseconds(0.99),
            p999_ms: milliseconds(0.999),
            rest: false,
            operations: operations(regions, measured),
        }
    }
}

/// What the generator itself took.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Client {
    /// Its processor time of the measured time, in seconds.
    pub cpu_s: f64,
    /// That for each request that ended in the measured time, in microseconds.
    pub cpu_us_per_request: f64,
    /// That as a part of the time of its threads: 1 is all of it.
    #[serde(default)]
    pub cpu_share: f64,
    /// Its threads.
    #[serde(default)]
    pub threads: u64,
    /// Measured requests that were sent more than a millisecond after they were due.
    pub late: u64,
    /// Of those, the ones that the generator itself was late with.
    pub own_fault: u64,
    /// Whether the generator, not the server, limited the run.
    pub limited: bool,
    /// Why that is said.
    #[serde(default)]
    pub limit: Option<String>,
}

impl OperationOutcome {
    /// Of what was measured.
    pub fn new(region: &str, operation: &str, measured: &Measured) -> Self {
        Self {
            region: region.to_owned(),
            operation: operation.to_owned(),
            done: measured.done(),
            after_end: measured.after_end,
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

    /// Its service times.
    pub fn service(&self) -> Histogram<u64> {
        unpack(&self.service_histogram)
    }

    /// How many errors.
    pub fn failed(&self) -> u64 {
        self.errors.values().sum()
    }
}

impl Outcome {
    /// All response times of an operation (of all if it is `None`), all regions together.
    pub fn response(&self, operation: Option<&str>) -> Histogram<u64> {
        self.merged(operation, OperationOutcome::response)
    }

    /// Likewise, service times.
    pub fn service(&self, operation: Option<&str>) -> Histogram<u64> {
        self.merged(operation, OperationOutcome::service)
    }

    fn merged(&self, operation: Option<&str>, read: fn(&OperationOutcome) -> Histogram<u64>) -> Histogram<u64> {
        let mut merged = histogram();
        for found in self
            .operations
            .iter()
            .filter(|found| operation.is_none_or(|name| name == found.operation))
        {
            // All have the same bounds, unless a file was changed by hand.
            let _ = merged.add(read(found));
        }
        merged
    }

    /// Requests done.
    pub fn done(&self) -> u64 {
        self.operations.iter().map(|operation| operation.done).sum()
    }

    /// Requests that failed.
    pub fn failed(&self) -> u64 {
        self.operations.iter().map(OperationOutcome::failed).sum()
    }

    /// Requests done a second, within the measured time.
    pub fn rate(&self) -> f64 {
        let after_end: u64 = self.operations.iter().map(|operation| operation.after_end).sum();
        (self.done() - after_end.min(self.done())) as f64 / self.seconds.max(1e-9)
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

    /// What went wrong, in lines: regions whose requests failed, pairs whose probes did, and what was not read back.
    pub fn complaints(&self) -> Vec<String> {
        let mut lines = Vec::new();
        let regions: BTreeSet<&str> = self.operations.iter().map(|one| one.region.as_str()).collect();
        for region in regions {
            let of_region = || self.operations.iter().filter(|one| one.region == region);
            let (done, failed): (u64, u64) = (
                of_region().map(|one| one.done).sum(),
                of_region().map(OperationOutcome::failed).sum(),
            );
            if failed > 0 {
                lines.push(format!("{region}: {failed} of {} requests failed", done + failed));
            }
        }
        for lag in &self.lag {
            if let Some(error) = &lag.error {
                lines.push(format!("probes from {} to {}: {error}", lag.from, lag.to));
            }
        }
        if let Some(verified) = &self.verified {
            if verified.faults > 0 {
                lines.push(format!(
                    "{} of {} items are not what was acknowledged: {:?}",
                    verified.faults, verified.items, verified.examples
                ));
            }
            if let Some(error) = &verified.broken_off {
                lines.push(format!("reading back stopped after {} items: {error}", verified.items));
            }
        }
        lines
    }

    /// Writes `NAME.json`, `NAME.hlog`, `NAME.hgrm`, `NAME.service.hgrm` and `NAME.html` in a folder.
    pub fn write(&self, folder: &Path, name: &str) -> io::Result<()> {
        std::fs::create_dir_all(folder)?;
        let file = |extension: &str| folder.join(format!("{name}.{extension}"));
        std::fs::write(file("json"), serde_json::to_vec_pretty(self).map_err(io::Error::other)?)?;
        std::fs::write(file("hlog"), self.interval_log()?)?;
        std::fs::write(file("hgrm"), percentiles(&self.response(None)))?;
        std::fs::write(file("service.hgrm"), percentiles(&self.service(None)))?;
        std::fs::write(file("html"), super::page::page(self))
    }

    /// An HDR interval log: an interval for each second, with a tag for each region and operation; service times have a tag of
    /// their own, which ends in `.service`.
    fn interval_log(&self) -> io::Result<Vec<u8>> {
        let mut bytes = Vec::new();
        let mut serializer = V2DeflateSerializer::new();
        let mut log = IntervalLogWriterBuilder::new()
            .add_comment(
                "geodynamo-loadgen: nanoseconds; response times, and service times as REGION.OPERATION.service",
            )
            .with_start_time(UNIX_EPOCH + Duration::from_secs(self.started_unix_s))
            .begin_log_with(&mut bytes, &mut serializer)?;
        let mut from = self.timeline.first().map_or(0.0, |first| first.at_s - 1.0).max(0.0);
        for second in &self.timeline {
            let length = Duration::try_from_secs_f64(second.at_s - from).unwrap_or_default();
            for one in &second.operations {
                let tag = format!("{}.{}", one.region, one.operation);
                for (tag, histogram) in [(format!("{tag}.service"), one.service()), (tag, one.response())] {
                    let start = Duration::try_from_secs_f64(from).unwrap_or_default();
                    log.write_histogram(&histogram, start, length, Tag::new(&tag))
                        .map_err(|error| io::Error::other(format!("{error:?}")))?;
                }
            }
            from = second.at_s;
        }
        Ok(bytes)
    }

    /// The table that is printed at the end.
    pub fn table(&self) -> String {
        let mut text = format!("{:<18} {:<18} {:>9} {:>8}", "region", "operation", "per s", "errors");
        for (_, name) in QUANTILES {
            let _ = write!(text, " {:>9}", format!("{name} ms"));
        }
        let cells = |text: &mut String, quantiles: &BTreeMap<String, f64>| {
            for (_, name) in QUANTILES {
                let _ = write!(text, " {:>9.2}", quantiles.get(name).copied().unwrap_or_default());
            }
        };
        for one in &self.operations {
            let _ = write!(
                text,
                "\n{:<18} {:<18} {:>9.0} {:>8}",
                one.region,
                one.operation,
                (one.done - one.after_end.min(one.done)) as f64 / self.seconds.max(1e-9),
                one.failed()
            );
            cells(&mut text, &one.response_ms);
            let _ = write!(text, "\n{:<18} {:<18} {:>18}", "", "  service time", "");
            cells(&mut text, &one.service_ms);
            for (exception, count) in &one.errors {
                let _ = write!(text, "\n{:>40} {count}", exception);
            }
        }
        for lag in &self.lag {
            let pair = format!("{} to {}", lag.from, lag.to);
            let _ = write!(text, "\n{pair:<37} {:>18}", format!("{} probes", lag.probes));
            cells(&mut text, &lag.visible_ms);
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

/// A histogram's quantiles in milliseconds, by their names.
pub(super) fn quantiles(histogram: &Histogram<u64>) -> BTreeMap<String, f64> {
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
    use hdrhistogram::serialization::interval_log::{IntervalLogIterator, LogEntry};

    use super::{super::workload::Operation, *};

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
        let timeline = (0..10_u64).map(|second| {
            let mut measured = Measured::default();
            for number in 0..100 {
                let nanoseconds = around_ms * 1_000_000 + (second % 3) * 10_000 + number * 1_000;
                measured.response_ns.record(nanoseconds).unwrap();
                measured.service_ns.record(nanoseconds).unwrap();
            }
            let measured = [((0, Operation::Get), measured)].into();
            Second::new(second as f64 + 1.0, Some(100.0), &["us-east-1".into()], &measured)
        });
        let lag = Lag {
            from: "us-east-1".into(),
            to: "eu-west-1".into(),
            probes: 10,
            series: (0..10)
                .map(|second| (f64::from(second), around_ms as f64 * 10.0 + f64::from(second % 2)))
                .collect(),
            ..Lag::default()
        };
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
            lag: vec![lag],
            broken_off: false,
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
        assert_eq!(read.response(None).len(), 1_000);
        assert_eq!(read.timeline, outcome.timeline);
        for extension in ["hlog", "hgrm", "service.hgrm", "html"] {
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
    fn the_log_has_an_interval_for_each_second() {
        let log = outcome(5).interval_log().unwrap();
        let log = IntervalLogIterator::new(&log);
        let mut seen = BTreeMap::<String, Vec<(Duration, Duration, u64)>>::new();
        for entry in log {
            let LogEntry::Interval(interval) = entry.unwrap() else {
                continue;
            };
            let histogram = unpack(interval.encoded_histogram());
            let tag = interval.tag().unwrap().as_str().to_owned();
            let at = (interval.start_timestamp(), interval.duration(), histogram.len());
            seen.entry(tag).or_default().push(at);
        }
        let second = Duration::from_secs(1);
        let expect: Vec<_> = (0..10).map(|number| (second * number, second, 100)).collect();
        assert_eq!(
            seen.keys().collect::<Vec<_>>(),
            ["us-east-1.get", "us-east-1.get.service"]
        );
        assert!(seen.values().all(|intervals| *intervals == expect), "{seen:?}");
    }

    #[test]
    fn requests_without_an_answer_are_no_answers() {
        let mut measured = Measured::default();
        measured.response_ns.record(5_000_000_000).unwrap();
        measured.errors.insert("unfinished".into(), 1);
        let one = OperationOutcome::new("r", "get", &measured);
        assert_eq!((one.done, one.failed()), (0, 1));
        assert!(one.response_ms["p50"] > 4_900.0);
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
        // Ten probes of 50 and 51 ms.
        assert_eq!(missed("lag.p99<52ms"), None);
        assert_eq!(missed("lag.p50<51ms"), None);
        assert!(missed("lag.p99<51ms").unwrap().contains("us-east-1 to eu-west-1"));
        let unprobed = Outcome {
            lag: Vec::new(),
            ..outcome.clone()
        };
        let lag: super::super::slo::Objective = "lag.p99<52ms".parse().unwrap();
        assert!(lag.missed(&unprobed).unwrap().contains("nothing"));
        assert_eq!(missed("rate>99"), None);
        assert!(missed("rate>100").is_some());
    }
}
