//! The event that a function gets, and what its answer says of the records in it.

use bytes::Bytes;
use geodynamo_table::stream_label;
use serde_json::{Value, json};

use super::queue::Queued;
use crate::mapping::Window;

/// The longest event, as Lambda has it.
pub(super) const EVENT_BYTES_MAX: usize = 6 << 20;
/// Bytes of an event beside its records.
const ENVELOPE_BYTES: usize = 64;
/// The longest state of a window, as JSON.
pub(super) const STATE_BYTES_MAX: usize = 1 << 20;

/// What an event tells of its window.
#[derive(Clone, Copy, Debug)]
pub(super) struct InWindow<'a> {
    pub(super) window: &'a Window,
    pub(super) length_s: u64,
    pub(super) shard: &'a str,
    pub(super) stream: &'a str,
    pub(super) is_final: bool,
    pub(super) is_early: bool,
}

/// Bytes that a record takes in an event.
pub(super) fn bytes_of(record: &Queued) -> usize {
    record.json.len() + 1
}

/// The event of some records.
pub(super) fn event(records: &[Queued], window: Option<&InWindow<'_>>) -> Bytes {
    let bytes = records.iter().map(bytes_of).sum::<usize>();
    let state = window.map_or(0, |window| window.window.state.len() + 512);
    let mut out = Vec::with_capacity(ENVELOPE_BYTES + bytes + state);
    out.extend_from_slice(b"{\"Records\":[");
    for (place, record) in records.iter().enumerate() {
        if place > 0 {
            out.push(b',');
        }
        out.extend_from_slice(&record.json);
    }
    out.push(b']');
    if let Some(at) = window {
        let start = at.window.start_s;
        let end = start.saturating_add(at.length_s);
        let beside = json!({
            "window": {"start": instant(start), "end": instant(end)},
            "shardId": at.shard,
            "eventSourceARN": at.stream,
            "isFinalInvokeForWindow": at.is_final,
            "isWindowTerminatedEarly": at.is_early,
        })
        .to_string();
        out.extend_from_slice(b",\"state\":");
        out.extend_from_slice(at.window.state.as_bytes());
        out.push(b',');
        out.extend_from_slice(beside.trim_start_matches('{').as_bytes());
    } else {
        out.push(b'}');
    }
    out.into()
}

/// A second as events have it: `2026-11-30T09:00:00Z`.
pub(crate) fn instant(unix_s: u64) -> String {
    let label = stream_label(unix_s.saturating_mul(1000));
    format!("{}Z", label.trim_end_matches(".000"))
}

/// What an answer says.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Said {
    /// All records are done with.
    All,
    /// Those before this place are; it and those behind it have failed.
    Before(usize),
    /// All have failed.
    None(&'static str),
}

/// What a function says of its records: `{"batchItemFailures": [{"itemIdentifier": SEQUENCE}]}`, the first of which counts.
pub(super) fn said(answer: &[u8], records: &[Queued]) -> Said {
    // What is no JSON, as from an address that knows nothing of this, says nothing.
    let Ok(answer) = serde_json::from_slice::<Value>(answer) else {
        return Said::All;
    };
    let failures = match answer.get("batchItemFailures") {
        None | Some(Value::Null) => return Said::All,
        Some(Value::Array(failures)) => failures,
        Some(_) => return Said::None("batchItemFailures is no list"),
    };
    let mut first: Option<usize> = None;
    for failure in failures {
        let sequence = match failure.get("itemIdentifier") {
            Some(Value::String(sequence)) if !sequence.is_empty() => sequence,
            _ => return Said::None("a failure has no itemIdentifier"),
        };
        match records.iter().position(|record| *record.sequence == **sequence) {
            Some(place) => first = Some(first.map_or(place, |first| first.min(place))),
            None => return Said::None("an itemIdentifier is of no record"),
        }
    }
    first.map_or(Said::All, Said::Before)
}

/// A window's new state in an answer; `None` if there is none, which is a failure.
pub(super) fn state(answer: &[u8]) -> Option<String> {
    let answer: Value = serde_json::from_slice(answer).ok()?;
    answer.get("state").map(Value::to_string)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn records(count: usize) -> Vec<Queued> {
        (0..count)
            .map(|place| Queued::sample(&format!("{}", 100 + place), &format!("{{\"n\":{place}}}")))
            .collect()
    }

    #[test]
    fn events() {
        assert_eq!(&event(&records(2), None)[..], br#"{"Records":[{"n":0},{"n":1}]}"#);
        let window = Window {
            start_s: 1_607_497_440,
            state: r#"{"a":1}"#.into(),
        };
        let at = InWindow {
            window: &window,
            length_s: 120,
            shard: "s",
            stream: "arn",
            is_final: true,
            is_early: false,
        };
        let read: Value = serde_json::from_slice(&event(&records(1), Some(&at))).unwrap();
        let expected = json!({
            "Records": [{"n": 0}],
            "window": {"start": "2020-12-09T07:04:00Z", "end": "2020-12-09T07:06:00Z"},
            "state": {"a": 1},
            "shardId": "s",
            "eventSourceARN": "arn",
            "isFinalInvokeForWindow": true,
            "isWindowTerminatedEarly": false,
        });
        assert_eq!(read, expected);
    }

    /// "Configuring partial batch response with DynamoDB and Lambda": success and failure conditions.
    #[test]
    fn what_answers_say() {
        let records = records(3);
        for all in [
            "",
            "null",
            "{}",
            "ok",
            "\"ok\"",
            r#"{"batchItemFailures": null}"#,
            r#"{"batchItemFailures": []}"#,
        ] {
            assert_eq!(said(all.as_bytes(), &records), Said::All, "{all}");
        }
        for none in [
            r#"{"batchItemFailures": [{"itemIdentifier": ""}]}"#,
            r#"{"batchItemFailures": [{"itemIdentifier": null}]}"#,
            r#"{"batchItemFailures": [{"itemId": "101"}]}"#,
            r#"{"batchItemFailures": [{"itemIdentifier": "7"}]}"#,
            r#"{"batchItemFailures": "101"}"#,
        ] {
            assert!(matches!(said(none.as_bytes(), &records), Said::None(_)), "{none}");
        }
        let some = r#"{"batchItemFailures": [{"itemIdentifier": "102"}, {"itemIdentifier": "101"}]}"#;
        assert_eq!(said(some.as_bytes(), &records), Said::Before(1));
        assert_eq!(state(br#"{"state": {"a": [1]}}"#), Some(r#"{"a":[1]}"#.into()));
        assert_eq!(state(b"{}"), None);
    }
}
