use proptest::prelude::*;
use serde_json::{Value, json};

use super::Pattern;

/// A pattern, events that it matches, and events that it does not.
struct Case {
    name: String,
    pattern: String,
    matched: Vec<Value>,
    passed: Vec<Value>,
}

/// Of AWS's documentation: EventBridge's page of comparison operators, Lambda's page of filter rules for DynamoDB.
fn documented() -> Vec<Case> {
    let cases: Value = serde_json::from_str(include_str!("documented.json")).unwrap();
    let list = |value: &Value| value.as_array().cloned().unwrap_or_default();
    cases
        .as_array()
        .unwrap()
        .iter()
        .map(|case| Case {
            name: case["name"].as_str().unwrap().to_owned(),
            pattern: case["pattern"].to_string(),
            matched: list(&case["matches"]),
            passed: list(&case["does_not_match"]),
        })
        .collect()
}

#[test]
fn documented_examples() {
    let cases = documented();
    assert!(cases.len() >= 30, "{}", cases.len());
    for case in cases {
        let pattern = Pattern::parse(&case.pattern).unwrap_or_else(|error| panic!("{}: {error}", case.name));
        assert!(!case.matched.is_empty() && !case.passed.is_empty(), "{}", case.name);
        for event in &case.matched {
            assert!(pattern.matches(event), "{}: {event}", case.name);
        }
        for event in &case.passed {
            assert!(!pattern.matches(event), "{}: {event}", case.name);
        }
    }
}

#[test]
fn what_is_no_pattern_is_refused() {
    for text in [
        "",
        "[]",
        "{",
        "{}",
        r#"{"a": {}}"#,
        r#"{"a": []}"#,
        r#"{"a": "b"}"#,
        r#"{"a": [["b"]]}"#,
        r#"{"a": [{}]}"#,
        r#"{"a": [{"prefix": "b", "suffix": "c"}]}"#,
        r#"{"a": [{"prefix": 1}]}"#,
        r#"{"a": [{"prefix": {"suffix": "b"}}]}"#,
        r#"{"a": [{"near": "b"}]}"#,
        r#"{"a": [{"exists": "yes"}]}"#,
        r#"{"a": [{"wildcard": "b**c"}]}"#,
        r#"{"a": [{"wildcard": "b\\c"}]}"#,
        r#"{"a": [{"anything-but": []}]}"#,
        r#"{"a": [{"anything-but": ["b", 1]}]}"#,
        r#"{"a": [{"anything-but": null}]}"#,
        r#"{"a": [{"anything-but": {"exists": true}}]}"#,
        r#"{"a": [{"numeric": []}]}"#,
        r#"{"a": [{"numeric": ["="]}]}"#,
        r#"{"a": [{"numeric": ["~", 1]}]}"#,
        r#"{"a": [{"numeric": ["=", "1"]}]}"#,
        r#"{"a": [{"numeric": ["=", 6.0e9]}]}"#,
        r#"{"a": [{"numeric": ["<", 1, ">", 0]}]}"#,
        r#"{"a": [{"numeric": [">", 1, "<", 0]}]}"#,
        r#"{"a": [{"cidr": "10.0.0.0/33"}]}"#,
        r#"{"$or": [{"a": ["b"]}]}"#,
    ] {
        assert!(Pattern::parse(text).is_err(), "{text}");
    }
}

#[test]
fn a_deep_pattern_is_refused_before_the_stack_ends() {
    let deep = format!("{}[1]{}", "{\"a\":".repeat(2000), "}".repeat(2000));
    assert!(Pattern::parse(&deep).is_err());
}

/// What a wildcard means, in the plainest words: by trying everything.
fn plain(pattern: &[char], text: &[char]) -> bool {
    match pattern {
        [] => text.is_empty(),
        ['*', rest @ ..] => (0..=text.len()).any(|from| plain(rest, &text[from..])),
        [first, rest @ ..] => text.first() == Some(first) && plain(rest, &text[1..]),
    }
}

proptest! {
    #[test]
    fn wildcards_are_what_they_mean(pattern in "[ab*]{0,8}", text in "[ab]{0,10}") {
        prop_assume!(!pattern.contains("**"));
        let compiled = Pattern::parse(&json!({"f": [{"wildcard": pattern}]}).to_string()).unwrap();
        let (one, other): (Vec<char>, Vec<char>) = (pattern.chars().collect(), text.chars().collect());
        prop_assert_eq!(compiled.matches(&json!({"f": text})), plain(&one, &other));
    }

    #[test]
    fn texts_never_panic(text in ".{0,60}", event in ".{0,20}") {
        if let Ok(pattern) = Pattern::parse(&text) {
            pattern.matches(&Value::from(event));
        }
    }

    #[test]
    fn literals_and_their_exclusion_are_opposites(text in "[abc]{0,2}", other in "[abc]{0,2}") {
        let event = json!({"f": other});
        let is = Pattern::parse(&json!({"f": [text]}).to_string()).unwrap();
        let is_not = Pattern::parse(&json!({"f": [{"anything-but": text}]}).to_string()).unwrap();
        prop_assert_eq!(is.matches(&event), !is_not.matches(&event));
        let none = json!({});
        prop_assert!(!is.matches(&none) && !is_not.matches(&none));
    }
}
