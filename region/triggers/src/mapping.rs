//! An event source mapping: what is stored of it, and what clients see.

use std::collections::BTreeMap;

use bytes::Bytes;
use geodynamo_table::TableError;
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use serde_json::{Map, Value, json};

use crate::{
    pattern::{Pattern, PatternError},
    wire::error::{LambdaError, Result},
};

/// The most filters of a mapping.
pub(crate) const FILTERS_MAX: usize = 10;

/// Where a mapping begins.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub(crate) enum Start {
    #[serde(rename = "TRIM_HORIZON")]
    TrimHorizon,
    #[serde(rename = "LATEST")]
    Latest,
}

/// A mapping, as it is stored: what its owner said.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub(crate) struct Mapping {
    #[serde(rename = "u")]
    pub(crate) uuid: String,
    /// The stream's ARN.
    #[serde(rename = "s")]
    pub(crate) stream: String,
    #[serde(rename = "b")]
    pub(crate) start: Start,
    #[serde(rename = "e")]
    pub(crate) enabled: bool,
    /// When it was changed last, in milliseconds since the Unix epoch.
    #[serde(rename = "m")]
    pub(crate) modified_ms: u64,
    #[serde(rename = "c")]
    pub(crate) settings: Settings,
    #[serde(rename = "t", default, skip_serializing_if = "BTreeMap::is_empty")]
    pub(crate) tags: BTreeMap<String, String>,
}

/// What can be changed.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub(crate) struct Settings {
    /// The function's ARN.
    #[serde(rename = "f")]
    pub(crate) function: String,
    #[serde(rename = "b")]
    pub(crate) batch_size: usize,
    #[serde(rename = "w")]
    pub(crate) batching_window_s: u64,
    #[serde(rename = "p")]
    pub(crate) parallelization: usize,
    /// −1 is for ever, here and below.
    #[serde(rename = "a")]
    pub(crate) record_age_s_max: i64,
    #[serde(rename = "r")]
    pub(crate) retries_max: i64,
    #[serde(rename = "x")]
    pub(crate) bisect: bool,
    #[serde(rename = "i")]
    pub(crate) reports_failures: bool,
    /// 0 for none.
    #[serde(rename = "t")]
    pub(crate) tumbling_window_s: u64,
    #[serde(rename = "l", default)]
    pub(crate) filters: Vec<String>,
    #[serde(rename = "o", default)]
    pub(crate) on_failure: Option<String>,
    #[serde(rename = "q", default)]
    pub(crate) metrics: Vec<String>,
}

/// How far a shard has come.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Checkpoint {
    /// The last record that is done with; none before the first.
    #[serde(rename = "a", default, skip_serializing_if = "Option::is_none")]
    pub(crate) after: Option<String>,
    /// Whether all of a closed shard is.
    #[serde(rename = "d", default)]
    pub(crate) done: bool,
    /// The window that is open.
    #[serde(rename = "w", default, skip_serializing_if = "Option::is_none")]
    pub(crate) window: Option<Window>,
}

/// A tumbling window that is open.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub(crate) struct Window {
    /// When it begins, in seconds since the Unix epoch.
    #[serde(rename = "s")]
    pub(crate) start_s: u64,
    /// What the function answered last: JSON.
    #[serde(rename = "v")]
    pub(crate) state: String,
}

/// What a mapping is doing.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum State {
    Creating,
    Enabling,
    Enabled,
    Disabling,
    Disabled,
    Updating,
    Deleting,
}

/// A row of ours.
pub(crate) enum Row {
    Mapping(Mapping),
    /// Of a mapping and a shard.
    Checkpoint(String, String, Checkpoint),
}

impl State {
    pub(crate) fn code(self) -> &'static str {
        match self {
            Self::Creating => "Creating",
            Self::Enabling => "Enabling",
            Self::Enabled => "Enabled",
            Self::Disabling => "Disabling",
            Self::Disabled => "Disabled",
            Self::Updating => "Updating",
            Self::Deleting => "Deleting",
        }
    }
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            function: String::new(),
            batch_size: 100,
            batching_window_s: 0,
            parallelization: 1,
            record_age_s_max: -1,
            retries_max: -1,
            bisect: false,
            reports_failures: false,
            tumbling_window_s: 0,
            filters: Vec::new(),
            on_failure: None,
            metrics: Vec::new(),
        }
    }
}

impl Settings {
    /// The compiled filters; a record that one of them matches goes to the function.
    pub(crate) fn patterns(&self) -> Result<Vec<Pattern>, PatternError> {
        self.filters.iter().map(|text| Pattern::parse(text)).collect()
    }

    /// Takes in the checked parameters of a call, as far as it has any.
    pub(crate) fn take(&mut self, given: &Map<String, Value>) -> Result<()> {
        let whole = |name: &str| given.get(name).and_then(Value::as_i64);
        let unsigned = |name: &str| whole(name).and_then(|number| u64::try_from(number).ok());
        let size = |name: &str| whole(name).and_then(|number| usize::try_from(number).ok());
        if let Some(value) = size("BatchSize") {
            self.batch_size = value;
        }
        if let Some(value) = unsigned("MaximumBatchingWindowInSeconds") {
            self.batching_window_s = value;
        }
        if let Some(value) = size("ParallelizationFactor") {
            self.parallelization = value;
        }
        if let Some(value) = whole("MaximumRecordAgeInSeconds") {
            if (0..60).contains(&value) {
                return Err(LambdaError::invalid(
                    "MaximumRecordAgeInSeconds must be -1, or a value between 60 and 604800.",
                ));
            }
            self.record_age_s_max = value;
        }
        if let Some(value) = whole("MaximumRetryAttempts") {
            self.retries_max = value;
        }
        if let Some(value) = given.get("BisectBatchOnFunctionError").and_then(Value::as_bool) {
            self.bisect = value;
        }
        if let Some(value) = given.get("FunctionResponseTypes").and_then(Value::as_array) {
            self.reports_failures = !value.is_empty();
        }
        if let Some(value) = unsigned("TumblingWindowInSeconds") {
            self.tumbling_window_s = value;
        }
        if let Some(criteria) = given.get("FilterCriteria") {
            self.filters = filters(criteria)?;
        }
        if let Some(destinations) = given.get("DestinationConfig") {
            let told = |name: &str| {
                let destination = destinations.get(name)?.get("Destination")?.as_str()?;
                (!destination.is_empty()).then(|| destination.to_owned())
            };
            if told("OnSuccess").is_some() {
                return Err(LambdaError::invalid(
                    "OnSuccess destinations are not supported for DynamoDB event source mappings.",
                ));
            }
            self.on_failure = told("OnFailure");
        }
        if let Some(config) = given.get("MetricsConfig") {
            let names = config.get("Metrics").and_then(Value::as_array);
            let names = names.into_iter().flatten().filter_map(Value::as_str);
            self.metrics = names.map(str::to_owned).collect();
        }
        if self.tumbling_window_s > 0 && self.parallelization > 1 {
            return Err(LambdaError::invalid(
                "TumblingWindowInSeconds cannot be used with a ParallelizationFactor greater than 1.",
            ));
        }
        Ok(())
    }
}

fn filters(criteria: &Value) -> Result<Vec<String>> {
    let filters = criteria.get("Filters").and_then(Value::as_array);
    let filters = filters.map_or(&[][..], Vec::as_slice);
    if filters.len() > FILTERS_MAX {
        return Err(LambdaError::invalid(format!(
            "The number of filters must not exceed {FILTERS_MAX}."
        )));
    }
    let mut patterns = Vec::new();
    for filter in filters {
        // One without a pattern lets everything through, as an empty list does.
        let Some(pattern) = filter.get("Pattern").and_then(Value::as_str) else {
            continue;
        };
        if let Err(error) = Pattern::parse(pattern) {
            return Err(LambdaError::invalid(format!(
                "Invalid filter pattern definition. ({error})"
            )));
        }
        patterns.push(pattern.to_owned());
    }
    Ok(patterns)
}

impl Mapping {
    /// As clients see it.
    pub(crate) fn shown(&self, arn: &str, state: State, reason: &str, last_result: &str) -> Map<String, Value> {
        let settings = &self.settings;
        let mut shown = Map::new();
        let mut set = |name: &str, value: Value| drop(shown.insert(name.to_owned(), value));
        set("UUID", self.uuid.as_str().into());
        set("EventSourceMappingArn", arn.into());
        set("EventSourceArn", self.stream.as_str().into());
        set("FunctionArn", settings.function.as_str().into());
        set("StartingPosition", json!(self.start));
        set("BatchSize", settings.batch_size.into());
        set("MaximumBatchingWindowInSeconds", settings.batching_window_s.into());
        set("ParallelizationFactor", settings.parallelization.into());
        set("MaximumRecordAgeInSeconds", settings.record_age_s_max.into());
        set("MaximumRetryAttempts", settings.retries_max.into());
        set("BisectBatchOnFunctionError", settings.bisect.into());
        set("TumblingWindowInSeconds", settings.tumbling_window_s.into());
        let reports: &[&str] = if settings.reports_failures {
            &["ReportBatchItemFailures"]
        } else {
            &[]
        };
        set("FunctionResponseTypes", json!(reports));
        set(
            "DestinationConfig",
            match &settings.on_failure {
                Some(destination) => json!({"OnFailure": {"Destination": destination}}),
                None => json!({"OnFailure": {}}),
            },
        );
        if !settings.filters.is_empty() {
            let filters: Vec<Value> = settings.filters.iter().map(|text| json!({"Pattern": text})).collect();
            set("FilterCriteria", json!({"Filters": filters}));
        }
        if !settings.metrics.is_empty() {
            set("MetricsConfig", json!({"Metrics": settings.metrics}));
        }
        set("LastModified", json!(self.modified_ms as f64 / 1000.0));
        set("LastProcessingResult", last_result.into());
        set("State", state.code().into());
        set("StateTransitionReason", reason.into());
        shown
    }

    /// The account that it is of: its function's, whose stream it reads.
    pub(crate) fn account(&self) -> &str {
        self.settings.function.split(':').nth(4).unwrap_or_default()
    }

    /// The name of the function, without its version.
    pub(crate) fn function_name(&self) -> &str {
        self.settings.function.split(':').nth(6).unwrap_or_default()
    }
}

/// A mapping's row.
pub(crate) fn mapping_row(uuid: &str) -> Bytes {
    format!("mapping/{uuid}").into()
}

/// A checkpoint's row.
pub(crate) fn checkpoint_row(uuid: &str, shard: &str) -> Bytes {
    format!("shard/{uuid}/{shard}").into()
}

/// A row's value.
pub(crate) fn pack<T: Serialize>(value: &T) -> Result<Bytes, TableError> {
    let packed = rmp_serde::to_vec_named(value);
    let packed = packed.map_err(|error| TableError::Corrupt(format!("a trigger's row cannot be written: {error}")))?;
    Ok(packed.into())
}

/// Reads a row; `None` for a kind that a newer release has.
pub(crate) fn read_row(key: &[u8], value: &[u8]) -> Result<Option<Row>, TableError> {
    let corrupt = |reason: String| TableError::Corrupt(format!("a trigger's row cannot be read: {reason}"));
    let name = std::str::from_utf8(key).map_err(|error| corrupt(error.to_string()))?;
    fn unpack<T: DeserializeOwned>(value: &[u8]) -> Result<T, String> {
        rmp_serde::from_slice(value).map_err(|error| error.to_string())
    }
    match name.split_once('/') {
        Some(("mapping", _)) => Ok(Some(Row::Mapping(unpack(value).map_err(corrupt)?))),
        Some(("shard", rest)) => {
            let (uuid, shard) = rest.split_once('/').ok_or_else(|| corrupt(name.to_owned()))?;
            let checkpoint = unpack(value).map_err(corrupt)?;
            Ok(Some(Row::Checkpoint(uuid.to_owned(), shard.to_owned(), checkpoint)))
        }
        _ => Ok(None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample() -> Mapping {
        Mapping {
            uuid: "0a1b2c3d-0000-4000-8000-000000000000".into(),
            stream: "arn:aws:dynamodb:us-east-1:000000000000:table/t/stream/2026-11-30T09:00:00.000".into(),
            start: Start::Latest,
            enabled: true,
            modified_ms: 1_764_492_400_250,
            settings: Settings {
                function: "arn:aws:lambda:us-east-1:000000000000:function:f".into(),
                filters: vec![r#"{"eventName": ["INSERT"]}"#.into()],
                on_failure: Some("arn:aws:sqs:us-east-1:000000000000:dead".into()),
                ..Settings::default()
            },
            tags: [("k".to_owned(), "v".to_owned())].into(),
        }
    }

    /// Rows outlive releases: what was written once is read for ever.
    #[test]
    fn golden_rows() {
        let window = Window {
            start_s: 1_764_492_400,
            state: r#"{"n":1}"#.into(),
        };
        let checkpoint = Checkpoint {
            after: Some("100000000000000000007".into()),
            done: false,
            window: Some(window),
        };
        let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("golden");
        for (name, packed) in [
            ("mapping", pack(&sample()).unwrap()),
            ("checkpoint", pack(&checkpoint).unwrap()),
        ] {
            let path = folder.join(format!("{name}.msgpack"));
            if std::env::var_os("WRITE_GOLDEN").is_some() {
                std::fs::create_dir_all(&folder).unwrap();
                std::fs::write(&path, &packed).unwrap();
            }
            assert_eq!(std::fs::read(&path).unwrap(), packed, "{name}");
        }
        let read = read_row(
            &mapping_row("u"),
            &std::fs::read(folder.join("mapping.msgpack")).unwrap(),
        );
        assert!(matches!(read, Ok(Some(Row::Mapping(mapping))) if mapping == sample()));
        let read = read_row(
            &checkpoint_row("u", "s"),
            &std::fs::read(folder.join("checkpoint.msgpack")).unwrap(),
        );
        assert!(
            matches!(read, Ok(Some(Row::Checkpoint(uuid, shard, read))) if (uuid.as_str(), shard.as_str()) == ("u", "s") && read == checkpoint)
        );
    }

    #[test]
    fn rows_that_cannot_be_read() {
        assert!(read_row(b"mapping/u", b"x").is_err());
        assert!(read_row(b"shard/u", b"x").is_err());
        assert!(read_row(b"\xff", b"x").is_err());
        assert!(matches!(read_row(b"newer/u", b"x"), Ok(None)));
    }

    #[test]
    fn settings_are_taken_in_as_far_as_they_are_told() {
        let mut settings = Settings::default();
        let take = |settings: &mut Settings, given: Value| settings.take(given.as_object().unwrap());
        take(
            &mut settings,
            json!({"BatchSize": 7, "FunctionResponseTypes": ["ReportBatchItemFailures"]}),
        )
        .unwrap();
        take(&mut settings, json!({"MaximumRetryAttempts": 2})).unwrap();
        assert_eq!(
            (settings.batch_size, settings.retries_max, settings.reports_failures),
            (7, 2, true)
        );
        take(
            &mut settings,
            json!({"FilterCriteria": {"Filters": [{"Pattern": "{\"a\": [1]}"}]}}),
        )
        .unwrap();
        assert_eq!(settings.patterns().unwrap().len(), 1);
        take(
            &mut settings,
            json!({"FilterCriteria": {}, "FunctionResponseTypes": []}),
        )
        .unwrap();
        assert!(settings.filters.is_empty() && !settings.reports_failures);
        for bad in [
            json!({"FilterCriteria": {"Filters": [{"Pattern": "{"}]}}),
            json!({"FilterCriteria": {"Filters": vec![json!({"Pattern": "{\"a\": [1]}"}); 11]}}),
            json!({"MaximumRecordAgeInSeconds": 59}),
            json!({"DestinationConfig": {"OnSuccess": {"Destination": "arn:aws:sqs:us-east-1:000000000000:q"}}}),
            json!({"TumblingWindowInSeconds": 1, "ParallelizationFactor": 2}),
        ] {
            assert!(take(&mut Settings::default(), bad.clone()).is_err(), "{bad}");
        }
    }
}
