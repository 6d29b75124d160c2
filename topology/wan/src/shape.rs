//! How a directed link treats packets.

use std::time::Duration;

use serde_json::{Map, Value, json};

/// The longest delay and the largest jitter, in milliseconds.
pub const DELAY_MS_MAX: f64 = 10_000.0;
/// The highest bandwidth that can be set, in megabits per second; above it, leave the link unlimited.
pub const BANDWIDTH_MBPS_MAX: f64 = 100_000.0;
/// The lowest bandwidth that can be set, in megabits per second; below it, cut the link.
pub const BANDWIDTH_MBPS_MIN: f64 = 0.001;

/// How a directed link treats packets.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Shape {
    /// The least time from entry to exit.
    pub delay: Duration,
    /// The most that is added to the delay, evenly distributed; packets stay in order.
    pub jitter: Duration,
    /// The share of packets that is lost, from 0 to 1.
    pub loss: f64,
    /// The share of packets that arrives twice, from 0 to 1.
    pub duplicate: f64,
    /// The share of packets that is held back so that later ones overtake it, from 0 to 1.
    pub reorder: f64,
    /// Megabits per second; `None` is unlimited.
    pub bandwidth_mbps: Option<f64>,
    /// Whether nothing gets through, what is under way included.
    pub cut: bool,
}

/// New values for some of a shape's settings; the rest keep theirs.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct ShapeChange {
    /// See [`Shape::delay`], in milliseconds from 0 to [`DELAY_MS_MAX`].
    pub delay_ms: Option<f64>,
    /// See [`Shape::jitter`], in milliseconds from 0 to [`DELAY_MS_MAX`].
    pub jitter_ms: Option<f64>,
    /// See [`Shape::loss`].
    pub loss: Option<f64>,
    /// See [`Shape::duplicate`].
    pub duplicate: Option<f64>,
    /// See [`Shape::reorder`].
    pub reorder: Option<f64>,
    /// See [`Shape::bandwidth_mbps`]; `Some(None)` makes it unlimited.
    pub bandwidth_mbps: Option<Option<f64>>,
    /// See [`Shape::cut`].
    pub cut: Option<bool>,
}

/// Why a change is refused; nothing of it is applied then.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ShapeError {
    /// The body is not a JSON object.
    #[error("the body must be a JSON object: {0}")]
    Json(String),
    /// There is no such setting.
    #[error("unknown field '{0}': known are delay_ms, jitter_ms, loss, duplicate, reorder, bandwidth_mbps, cut")]
    UnknownField(String),
    /// A value is of the wrong type or out of its range.
    #[error("{field} must be {expected}, not {found}")]
    Value {
        /// Which setting.
        field: &'static str,
        /// What it takes.
        expected: &'static str,
        /// What was given.
        found: String,
    },
}

const MILLIS: &str = "a number of milliseconds from 0 to 10000";
const SHARE: &str = "a number from 0 to 1";
const BANDWIDTH: &str = "a number of megabits per second from 0.001 to 100000, or null for no limit";

impl ShapeChange {
    /// Reads a JSON object with any of the settings: `{"delay_ms": 40, "cut": false}`.
    pub fn from_json(body: &[u8]) -> Result<Self, ShapeError> {
        let fields: Map<String, Value> =
            serde_json::from_slice(body).map_err(|error| ShapeError::Json(error.to_string()))?;
        let mut change = Self::default();
        for (field, value) in &fields {
            match field.as_str() {
                "delay_ms" => change.delay_ms = Some(number("delay_ms", MILLIS, value)?),
                "jitter_ms" => change.jitter_ms = Some(number("jitter_ms", MILLIS, value)?),
                "loss" => change.loss = Some(number("loss", SHARE, value)?),
                "duplicate" => change.duplicate = Some(number("duplicate", SHARE, value)?),
                "reorder" => change.reorder = Some(number("reorder", SHARE, value)?),
                "bandwidth_mbps" if value.is_null() => change.bandwidth_mbps = Some(None),
                "bandwidth_mbps" => change.bandwidth_mbps = Some(Some(number("bandwidth_mbps", BANDWIDTH, value)?)),
                "cut" => {
                    let refused = || ShapeError::Value {
                        field: "cut",
                        expected: "true or false",
                        found: value.to_string(),
                    };
                    change.cut = Some(value.as_bool().ok_or_else(refused)?);
                }
                _ => return Err(ShapeError::UnknownField(field.clone())),
            }
        }
        Ok(change)
    }

    /// The shape with the new values, if all are in their ranges.
    pub fn apply(&self, shape: Shape) -> Result<Shape, ShapeError> {
        let bandwidth = self.bandwidth_mbps.flatten();
        let bandwidth = in_range(
            "bandwidth_mbps",
            BANDWIDTH,
            bandwidth,
            BANDWIDTH_MBPS_MIN,
            BANDWIDTH_MBPS_MAX,
        )?;
        Ok(Shape {
            delay: millis("delay_ms", self.delay_ms)?.unwrap_or(shape.delay),
            jitter: millis("jitter_ms", self.jitter_ms)?.unwrap_or(shape.jitter),
            loss: in_range("loss", SHARE, self.loss, 0.0, 1.0)?.unwrap_or(shape.loss),
            duplicate: in_range("duplicate", SHARE, self.duplicate, 0.0, 1.0)?.unwrap_or(shape.duplicate),
            reorder: in_range("reorder", SHARE, self.reorder, 0.0, 1.0)?.unwrap_or(shape.reorder),
            bandwidth_mbps: if self.bandwidth_mbps.is_some() {
                bandwidth
            } else {
                shape.bandwidth_mbps
            },
            cut: self.cut.unwrap_or(shape.cut),
        })
    }
}

impl Shape {
    /// The settings as the HTTP interface names them.
    pub fn to_json(&self) -> Map<String, Value> {
        let millis = |duration: Duration| json!(duration.as_secs_f64() * 1000.0);
        Map::from_iter([
            ("delay_ms".to_owned(), millis(self.delay)),
            ("jitter_ms".to_owned(), millis(self.jitter)),
            ("loss".to_owned(), json!(self.loss)),
            ("duplicate".to_owned(), json!(self.duplicate)),
            ("reorder".to_owned(), json!(self.reorder)),
            ("bandwidth_mbps".to_owned(), json!(self.bandwidth_mbps)),
            ("cut".to_owned(), json!(self.cut)),
        ])
    }
}

fn number(field: &'static str, expected: &'static str, value: &Value) -> Result<f64, ShapeError> {
    value.as_f64().ok_or_else(|| ShapeError::Value {
        field,
        expected,
        found: value.to_string(),
    })
}

fn in_range(
    field: &'static str,
    expected: &'static str,
    value: Option<f64>,
    min: f64,
    max: f64,
) -> Result<Option<f64>, ShapeError> {
    match value {
        // Written so that NaN, which is in no range, is refused.
        Some(value) if !(min..=max).contains(&value) => Err(ShapeError::Value {
            field,
            expected,
            found: value.to_string(),
        }),
        value => Ok(value),
    }
}

fn millis(field: &'static str, value: Option<f64>) -> Result<Option<Duration>, ShapeError> {
    Ok(in_range(field, MILLIS, value, 0.0, DELAY_MS_MAX)?.map(|ms| Duration::from_secs_f64(ms / 1000.0)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn changes() {
        let shape = Shape {
            delay: Duration::from_millis(40),
            loss: 0.5,
            bandwidth_mbps: Some(8.0),
            ..Shape::default()
        };
        let check = |body: &str, expect: Result<Shape, &str>| {
            let found = ShapeChange::from_json(body.as_bytes()).and_then(|change| change.apply(shape));
            assert_eq!(
                found.map_err(|error| error.to_string()),
                expect.map_err(str::to_owned),
                "{body}"
            );
        };
        check("{}", Ok(shape));
        check(
            r#"{"delay_ms": 2.5, "cut": true}"#,
            Ok(Shape {
                delay: Duration::from_micros(2500),
                cut: true,
                ..shape
            }),
        );
        check(
            r#"{"bandwidth_mbps": null}"#,
            Ok(Shape {
                bandwidth_mbps: None,
                ..shape
            }),
        );
        check(
            r#"{"jitter_ms": 1, "loss": 0, "duplicate": 1, "reorder": 0.25, "bandwidth_mbps": 100}"#,
            Ok(Shape {
                jitter: Duration::from_millis(1),
                loss: 0.0,
                duplicate: 1.0,
                reorder: 0.25,
                bandwidth_mbps: Some(100.0),
                ..shape
            }),
        );
        check(r#"{"loss": 1.5}"#, Err("loss must be a number from 0 to 1, not 1.5"));
        check(r#"{"loss": null}"#, Err("loss must be a number from 0 to 1, not null"));
        check(
            r#"{"delay_ms": -1}"#,
            Err("delay_ms must be a number of milliseconds from 0 to 10000, not -1"),
        );
        check(
            r#"{"jitter_ms": "5"}"#,
            Err("jitter_ms must be a number of milliseconds from 0 to 10000, not \"5\""),
        );
        check(
            r#"{"bandwidth_mbps": 0}"#,
            Err(
                "bandwidth_mbps must be a number of megabits per second from 0.001 to 100000, or null for no limit, not 0",
            ),
        );
        check(r#"{"cut": 1}"#, Err("cut must be true or false, not 1"));
        check(
            r#"{"delay": 1}"#,
            Err("unknown field 'delay': known are delay_ms, jitter_ms, loss, duplicate, reorder, bandwidth_mbps, cut"),
        );
        for body in ["", "[]", "7", "{", "{\"cut\": true} x", &"[".repeat(100_000)] {
            assert!(
                matches!(ShapeChange::from_json(body.as_bytes()), Err(ShapeError::Json(_))),
                "{body:.20}"
            );
        }
        let nan = ShapeChange {
            loss: Some(f64::NAN),
            ..ShapeChange::default()
        };
        assert!(nan.apply(shape).is_err());
    }
}
