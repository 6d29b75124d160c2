//! The reader, against RFC 8259 and against serde_json.

#![allow(clippy::unwrap_used, reason = "a test")]

use std::borrow::Cow;

use geodynamo_json::{JsonError, Kind, MAX_DEPTH, Reader};
use proptest::prelude::*;
use serde_json::Value;

/// Reads any value by the reader's own calls, as a decoder would.
fn read(reader: &mut Reader<'_>) -> Result<Value, JsonError> {
    Ok(match reader.peek()? {
        Kind::Object => {
            let mut members = serde_json::Map::new();
            reader.begin_object()?;
            while let Some(key) = reader.next_key()? {
                members.insert(key.into_owned(), read(reader)?);
            }
            Value::Object(members)
        }
        Kind::Array => {
            let mut elements = Vec::new();
            reader.begin_array()?;
            while reader.next_element()? {
                elements.push(read(reader)?);
            }
            Value::Array(elements)
        }
        Kind::String => Value::String(reader.string()?.into_owned()),
        Kind::Number => serde_json::from_str(reader.number()?).expect("a number's text is JSON"),
        Kind::Bool => Value::Bool(reader.bool()?),
        Kind::Null => {
            reader.null()?;
            Value::Null
        }
    })
}

fn read_all(text: &[u8]) -> Result<Value, JsonError> {
    let mut reader = Reader::new(text)?;
    let value = read(&mut reader)?;
    reader.end()?;
    Ok(value)
}

fn skip_all(text: &[u8]) -> Result<&str, JsonError> {
    let mut reader = Reader::new(text)?;
    let skipped = reader.skip_value()?;
    reader.end()?;
    Ok(skipped)
}

#[test]
fn reads() {
    for text in [
        "null",
        " true ",
        "false\n",
        "0",
        "-0",
        "-0.5e+7",
        "1E9",
        "10.25e-3",
        "\t[ ]\r\n",
        "{ }",
        "[[],{},[{}]]",
        r#"{"a":1,"a":2,"":[1 , 2,3]}"#,
        r#""\"\\\/\b\f\n\r\t\u0000\u00e9\uD83D\ude00 é😀""#,
        r#"{"k\u0065y" : "v"}"#,
    ] {
        let expect: Value = serde_json::from_str(text).unwrap();
        assert_eq!(read_all(text.as_bytes()), Ok(expect), "{text}");
        assert_eq!(skip_all(text.as_bytes()), Ok(text.trim()), "{text}");
    }
}

#[test]
fn refuses() {
    let malformed = |text: &[u8], offset| {
        for error in [read_all(text).map(drop), skip_all(text).map(drop)] {
            match error {
                Err(JsonError::Malformed { offset: at, .. }) => assert_eq!(at, offset, "{text:?}"),
                other => panic!("{text:?}: {other:?}"),
            }
        }
    };
    for (text, offset) in [
        ("", 0),
        ("  ", 2),
        ("nul", 0),
        ("True", 0),
        ("NaN", 0),
        ("01", 1),
        ("-", 1),
        ("+1", 0),
        (".5", 0),
        ("1.", 2),
        ("1.e5", 2),
        ("1e", 2),
        ("1e+", 3),
        ("0x10", 1),
        ("1 2", 2),
        ("[1,]", 3),
        ("[,1]", 1),
        ("[1 2]", 3),
        ("[1", 2),
        ("[1}", 2),
        ("]", 0),
        (r#"{"a":1]"#, 6),
        (r#"{"a":1,}"#, 7),
        (r#"{"a" 1}"#, 5),
        (r#"{"a":}"#, 5),
        (r#"{"a"}"#, 4),
        (r#"{a:1}"#, 1),
        (r#"{1:1}"#, 1),
        (r#"{"a":1 "b":2}"#, 7),
        (r#"{,"a":1}"#, 1),
        ("{", 1),
        (r#"{"a":"#, 5),
        (r#"""#, 1),
        (r#""abc"#, 4),
        ("\"a\nb\"", 2),
        ("\"a\0b\"", 2),
        (r#""\x""#, 1),
        (r#""\u12""#, 1),
        (r#""\u12g4""#, 1),
        (r#""\uD83D""#, 1),
        (r#""\uDE00""#, 1),
        (r#""\uD83Dx""#, 1),
        (r#""\uD83D\n""#, 1),
        (r#""\uD83DA""#, 1),
        (r#""\uDE00\uD83D""#, 1),
        (r#""a\"#, 2),
        ("'a'", 0),
        ("/* */ 1", 0),
        ("\u{FEFF}1", 0),
        ("1\u{a0}", 1),
    ] {
        malformed(text.as_bytes(), offset);
    }
    malformed(b"\"a\xFF\"", 2);
    malformed(b"\"\xC3\"", 1);
    malformed(b"\"\xED\xA0\x80\"", 1); // a surrogate in UTF-8
}

#[test]
fn depth_is_limited() {
    for (open, close) in [("[", "]"), (r#"{"a":"#, "}")] {
        let nested = |depth: usize| {
            let inner = if open == "[" { "" } else { "1" };
            format!("{}{inner}{}", open.repeat(depth), close.repeat(depth))
        };
        assert!(read_all(nested(MAX_DEPTH).as_bytes()).is_ok());
        assert!(skip_all(nested(MAX_DEPTH).as_bytes()).is_ok());
        let deep = JsonError::TooDeep {
            offset: MAX_DEPTH * open.len(),
        };
        assert_eq!(read_all(nested(MAX_DEPTH + 1).as_bytes()).map(drop), Err(deep));
        assert_eq!(skip_all(nested(MAX_DEPTH + 1).as_bytes()).map(drop), Err(deep));
        assert_eq!(skip_all(nested(1_000_000).as_bytes()).map(drop), Err(deep));
        // Depth is where one is, not how many levels there were.
        let wide = format!("[{}1]", "[[[]]],".repeat(MAX_DEPTH));
        assert!(skip_all(wide.as_bytes()).is_ok());
    }
}

#[test]
fn an_unexpected_kind_is_named_and_not_consumed() {
    let mut reader = Reader::new(br#"[ 5]"#).unwrap();
    reader.begin_array().unwrap();
    assert_eq!(reader.next_element(), Ok(true));
    let expect = |expected| JsonError::Unexpected {
        offset: 2,
        expected,
        found: Kind::Number,
    };
    assert_eq!(reader.string(), Err(expect(Kind::String)));
    assert_eq!(reader.begin_object(), Err(expect(Kind::Object)));
    assert_eq!(reader.begin_array(), Err(expect(Kind::Array)));
    assert_eq!(reader.bool(), Err(expect(Kind::Bool)));
    assert_eq!(reader.null(), Err(expect(Kind::Null)));
    assert_eq!(reader.number(), Ok("5"));
    assert_eq!(reader.next_element(), Ok(false));
    assert_eq!(reader.end(), Ok(()));
}

#[test]
fn strings_are_borrowed_unless_escaped() {
    let mut reader = Reader::new(r#"["é", "\u00e9"]"#.as_bytes()).unwrap();
    reader.begin_array().unwrap();
    reader.next_element().unwrap();
    assert!(matches!(reader.string(), Ok(Cow::Borrowed("é"))));
    reader.next_element().unwrap();
    assert!(matches!(reader.string(), Ok(Cow::Owned(text)) if text == "é"));
}

fn arb_json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<String>().prop_map(Value::from),
    ];
    leaf.prop_recursive(6, 64, 6, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..6).prop_map(Value::from),
            prop::collection::btree_map(any::<String>(), inner, 0..6)
                .prop_map(|map| Value::Object(map.into_iter().collect())),
        ]
    })
}

proptest! {
    #[test]
    fn reads_what_serde_json_writes(value in arb_json(), pretty: bool) {
        let text = if pretty { serde_json::to_string_pretty(&value) } else { serde_json::to_string(&value) }.unwrap();
        prop_assert_eq!(read_all(text.as_bytes()), Ok(value));
        prop_assert_eq!(skip_all(text.as_bytes()), Ok(text.as_str()));
    }

    /// Near-JSON: accepted exactly when serde_json accepts it, never a panic.
    #[test]
    fn accepts_what_serde_json_accepts(text in r#"([\[\]{},:"\\ue0-9.\-+DdEa ]|null|true|"a"|"a":|\\uD83D|\\uDE00|é){0,12}"#) {
        let expect: Result<Value, _> = serde_json::from_str(&text);
        // serde_json refuses numbers that a double cannot hold; RFC 8259 does not.
        prop_assume!(!matches!(&expect, Err(error) if error.to_string().contains("out of range")));
        prop_assert_eq!(read_all(text.as_bytes()).ok(), expect.ok());
        prop_assert_eq!(read_all(text.as_bytes()).map(drop), skip_all(text.as_bytes()).map(drop));
    }

    #[test]
    fn never_panics(bytes in prop::collection::vec(any::<u8>(), 0..64)) {
        let _ = read_all(&bytes);
        let _ = skip_all(&bytes);
        // Calls in an order that no decoder would make.
        if let Ok(mut reader) = Reader::new(&bytes) {
            for byte in &bytes {
                let _ = match byte % 8 {
                    0 => reader.begin_object(),
                    1 => reader.next_key().map(drop),
                    2 => reader.begin_array(),
                    3 => reader.next_element().map(drop),
                    4 => reader.string().map(drop),
                    5 => reader.number().map(drop),
                    6 => reader.skip_value().map(drop),
                    _ => reader.end(),
                };
            }
        }
    }
}
