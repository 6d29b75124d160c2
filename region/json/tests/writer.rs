//! The writer, against serde_json.

#![allow(clippy::unwrap_used, reason = "a test")]

use geodynamo_json::Writer;
use proptest::prelude::*;
use serde_json::Value;

fn check(write: impl FnOnce(&mut Writer), expect: &str) {
    let mut writer = Writer::new();
    write(&mut writer);
    assert_eq!(String::from_utf8(writer.into_bytes()).unwrap(), expect);
}

#[test]
fn writes() {
    check(|w| w.integer(i64::MIN), "-9223372036854775808");
    check(|w| w.float(1.0), "1.0");
    check(|w| w.float(0.5), "0.5");
    check(|w| w.float(1_763_890_000.123), "1763890000.123");
    check(|w| w.float(f64::NAN), "null");
    check(|w| w.base64(b"foob"), r#""Zm9vYg==""#);
    check(
        |w| w.string("a\"\\/\u{8}\u{c}\n\r\t\u{1}\u{1f}\u{7f}é😀"),
        "\"a\\\"\\\\/\\b\\f\\n\\r\\t\\u0001\\u001f\u{7f}é😀\"",
    );
    check(
        |w| {
            w.begin_array();
            w.begin_object();
            w.end_object();
            w.begin_array();
            w.null();
            w.bool(true);
            w.end_array();
            w.begin_object();
            w.key("\n");
            w.begin_array();
            w.end_array();
            w.plain_key("b");
            w.plain_string("c");
            w.key("d");
            w.raw("[1]");
            w.end_object();
            w.end_array();
        },
        r#"[{},[null,true],{"\n":[],"b":"c","d":[1]}]"#,
    );
}

#[test]
fn appends() {
    let mut writer = Writer::from(b"1".to_vec());
    writer.bool(false);
    assert_eq!(writer.into_bytes(), b"1false");
}

fn write(value: &Value, writer: &mut Writer) {
    match value {
        Value::Null => writer.null(),
        Value::Bool(value) => writer.bool(*value),
        Value::Number(number) => match number.as_i64() {
            Some(integer) => writer.integer(integer),
            None => writer.float(number.as_f64().unwrap()),
        },
        Value::String(text) => writer.string(text),
        Value::Array(elements) => {
            writer.begin_array();
            elements.iter().for_each(|element| write(element, writer));
            writer.end_array();
        }
        Value::Object(members) => {
            writer.begin_object();
            for (key, value) in members {
                writer.key(key);
                write(value, writer);
            }
            writer.end_object();
        }
    }
}

proptest! {
    #[test]
    fn floats_read_back(number in any::<f64>().prop_filter("finite", |number| number.is_finite())) {
        let mut writer = Writer::new();
        writer.float(number);
        let text = String::from_utf8(writer.into_bytes()).unwrap();
        prop_assert_eq!(text.parse(), Ok(number));
        prop_assert!(serde_json::from_str::<Value>(&text).is_ok());
    }

    #[test]
    fn serde_json_reads_it_back(
        strings in prop::collection::vec(any::<String>(), 0..5),
        keys in prop::collection::btree_map(any::<String>(), any::<i32>(), 0..5),
        integer: i64,
    ) {
        let value = serde_json::json!([strings, keys, [], {}, integer]);
        let mut writer = Writer::with_capacity(64);
        write(&value, &mut writer);
        let back: Value = serde_json::from_slice(writer.as_bytes()).unwrap();
        prop_assert_eq!(back.to_string(), value.to_string());
    }
}
