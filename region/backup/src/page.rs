//! Answers: lists in pages, moments, members that are there.

use geodynamo_replicator_core::Millis;
use serde_json::{Map, Value, json};

use crate::wire::{Input, text};

/// How many members a page has, if it is not told.
const PAGE: usize = 1000;

/// A page of a list whose members are named by keys. They are listed in the order of those, whatever order they came in.
pub(crate) fn page(input: &Input, name: &str, mut all: Vec<(String, Value)>) -> Value {
    all.sort_unstable_by(|(one, _), (other, _)| one.cmp(other));
    let most = input.get("MaxResults").and_then(Value::as_u64);
    let most = most.and_then(|most| usize::try_from(most).ok()).unwrap_or(PAGE);
    let after = text(input, "NextToken").unwrap_or_default();
    let mut rest = all.into_iter().filter(|(key, _)| key.as_str() > after).peekable();
    let mut last = None;
    let members: Vec<Value> = rest
        .by_ref()
        .take(most)
        .map(|(key, value)| {
            last = Some(key);
            value
        })
        .collect();
    let next = last.filter(|_| rest.peek().is_some());
    lean(json!({ name: members, "NextToken": next }))
}

/// Sorts what was made later before what was made sooner.
pub(crate) fn latest_first(ms: Millis, id: &str) -> String {
    format!("{:016x}-{id}", !ms)
}

/// A moment as documents have it.
pub(crate) fn seconds(ms: Millis) -> Value {
    (ms as f64 / 1000.0).into()
}

/// Likewise.
pub(crate) fn maybe_seconds(ms: Option<Millis>) -> Value {
    ms.map_or(Value::Null, seconds)
}

/// Whether a moment is between what a call tells: behind `after`, before `before`.
pub(crate) fn is_between(input: &Input, (after, before): (&str, &str), ms: Option<Millis>) -> bool {
    let bound = |name: &str| input.get(name).and_then(Value::as_f64);
    let moment = ms.map(|ms| ms as f64 / 1000.0);
    let fits = |bound: Option<f64>, holds: fn(f64, f64) -> bool| match (bound, moment) {
        (None, _) => true,
        (Some(_), None) => false,
        (Some(bound), Some(moment)) => holds(moment, bound),
    };
    fits(bound(after), |moment, after| moment > after) && fits(bound(before), |moment, before| moment < before)
}

/// Whether a call wants no other value than this.
pub(crate) fn is_wanted(input: &Input, member: &str, value: Option<&str>) -> bool {
    text(input, member).is_none_or(|wanted| Some(wanted) == value)
}

/// Without the members that are null, at any depth.
pub(crate) fn lean(value: Value) -> Value {
    match value {
        Value::Object(members) => {
            let members = members.into_iter().filter(|(_, value)| !value.is_null());
            let lean: Map<String, Value> = members.map(|(name, value)| (name, lean(value))).collect();
            Value::Object(lean)
        }
        Value::Array(members) => members.into_iter().map(lean).collect(),
        value => value,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_go_on() {
        let all = || ["b", "a", "c"].map(|key| (key.to_owned(), json!(key))).to_vec();
        let input = |value: Value| value.as_object().cloned().unwrap();
        let first = page(&input(json!({ "MaxResults": 2 })), "L", all());
        assert_eq!(first, json!({ "L": ["a", "b"], "NextToken": "b" }));
        let rest = page(&input(json!({ "NextToken": "b", "MaxResults": 1 })), "L", all());
        assert_eq!(rest, json!({ "L": ["c"] }));
        assert!(latest_first(2, "x") < latest_first(1, "x"));
    }

    #[test]
    fn bounds() {
        let input = json!({ "A": 1.0, "B": 3.0 }).as_object().cloned().unwrap();
        let between = |ms| is_between(&input, ("A", "B"), ms);
        assert_eq!(
            [Some(1000), Some(2000), Some(3000), None].map(between),
            [false, true, false, false]
        );
        assert!(is_between(&Input::new(), ("A", "B"), None));
    }
}
