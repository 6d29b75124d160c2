//! DynamoDB JSON: what is read, and what is refused in which words.

#![allow(clippy::unwrap_used, reason = "a test")]

use geodynamo_item::wire::{SerializationError, read_item, read_value, write_value};
use geodynamo_item::{AttributeType, AttributeValue, Item, MAX_NESTING, Number, Set};
use geodynamo_json::{JsonError, Reader, Writer};
use proptest::prelude::*;

/// Reads one value with something behind it, which must be what the reader stands before.
fn read(text: &str) -> Result<Result<AttributeValue, String>, String> {
    let text = format!("[{text},7]");
    let mut reader = Reader::new(text.as_bytes()).unwrap();
    reader.begin_array().unwrap();
    reader.next_element().unwrap();
    let value = read_value(&mut reader).map_err(|error| error.to_string())?;
    assert_eq!(reader.next_element(), Ok(true), "{text}: not consumed");
    assert_eq!(reader.number(), Ok("7"), "{text}: not consumed");
    Ok(value.map_err(|refusal| refusal.to_string()))
}

#[test]
fn values_are_read() {
    let s = |text: &str| AttributeValue::S(text.into());
    for (text, expect) in [
        (r#"{"S":"a"}"#, s("a")),
        (r#"{"S":""}"#, s("")),
        (r#" { "S" : "\u0061" } "#, s("a")),
        (r#"{"N":"1.50"}"#, AttributeValue::N(Number::parse("1.5").unwrap())),
        (r#"{"B":"Zm9v"}"#, AttributeValue::B("foo".into())),
        (r#"{"B":""}"#, AttributeValue::B("".into())),
        (r#"{"BOOL":false}"#, AttributeValue::Bool(false)),
        (r#"{"NULL":true}"#, AttributeValue::Null),
        (
            r#"{"L":[{"S":"a"},{"L":[]}]}"#,
            AttributeValue::L(vec![s("a"), AttributeValue::L(vec![])]),
        ),
        (r#"{"M":{}}"#, AttributeValue::M(Item::new())),
        (
            r#"{"M":{"b":{"S":"1"},"a":{"S":"2"},"b":{"S":"3"}}}"#,
            AttributeValue::M([("a".into(), s("2")), ("b".into(), s("3"))].into_iter().collect()),
        ),
        (
            r#"{"SS":["b","a"]}"#,
            AttributeValue::Ss(Set::new(vec!["a".into(), "b".into()]).unwrap()),
        ),
        (
            r#"{"NS":["2","1.0"]}"#,
            AttributeValue::Ns(Set::new(vec![Number::from(1i64), Number::from(2i64)]).unwrap()),
        ),
        (
            r#"{"BS":["Zm9v"]}"#,
            AttributeValue::Bs(Set::new(vec!["foo".into()]).unwrap()),
        ),
        // Members the model does not know, and null ones, are as if they were not there.
        (r#"{"X":[1,{"y":2}],"S":"a","N":null}"#, s("a")),
        (r#"{"S":null,"S":"a"}"#, s("a")),
    ] {
        assert_eq!(read(text), Ok(Ok(expect)), "{text}");
    }
}

#[test]
fn values_without_sense_are_refused_and_consumed() {
    let empty = "Supplied AttributeValue is empty, must contain exactly one of the supported datatypes";
    let several =
        "Supplied AttributeValue has more than one datatypes set, must contain exactly one of the supported datatypes";
    let number = "The parameter cannot be converted to a numeric value";
    let invalid = "One or more parameter values were invalid: ";
    for (text, refusal) in [
        ("{}", empty.to_owned()),
        ("null", empty.to_owned()),
        (r#"{"X":"a"}"#, empty.to_owned()),
        (r#"{"s":"a"}"#, empty.to_owned()),
        (r#"{"S":null}"#, empty.to_owned()),
        (r#"{"S":"a","N":"1"}"#, several.to_owned()),
        (r#"{"N":"x","S":"a"}"#, format!("{number}: x")),
        (r#"{"N":"abc"}"#, format!("{number}: abc")),
        (r#"{"N":" 1"}"#, format!("{number}:  1")),
        (r#"{"N":""}"#, number.to_owned()),
        (
            r#"{"N":"123456789012345678901234567890123456789"}"#,
            "Attempting to store more than 38 significant digits in a Number".to_owned(),
        ),
        (
            r#"{"N":"1e126"}"#,
            "Number overflow. Attempting to store a number with magnitude larger than supported range".to_owned(),
        ),
        (
            r#"{"N":"1e-131"}"#,
            "Number underflow. Attempting to store a number with magnitude smaller than supported range".to_owned(),
        ),
        (
            r#"{"NULL":false}"#,
            format!("{invalid}Null attribute value types must have the value of true"),
        ),
        (r#"{"SS":[]}"#, format!("{invalid}An string set  may not be empty")),
        (r#"{"NS":[]}"#, format!("{invalid}An number set  may not be empty")),
        (r#"{"BS":[]}"#, format!("{invalid}Binary sets should not be empty")),
        (
            r#"{"SS":["a","b","a"]}"#,
            format!("{invalid}Input collection [a, b, a] contains duplicates."),
        ),
        (
            r#"{"BS":["AA==","AA=="]}"#,
            format!("{invalid}Input collection [AA==, AA==]of type BS contains duplicates."),
        ),
        (
            r#"{"NS":["1","1.0"]}"#,
            "Input collection contains duplicates".to_owned(),
        ),
        (r#"{"NS":["1","x","1"]}"#, format!("{number}: x")),
        (r#"{"L":[{"N":"x"},{"N":"y"},{"S":"a"}]}"#, format!("{number}: x")),
        (r#"{"L":[null]}"#, empty.to_owned()),
        (r#"{"M":{"a":{"N":"x"},"b":{},"c":{"S":"d"}}}"#, format!("{number}: x")),
    ] {
        assert_eq!(read(text), Ok(Err(refusal)), "{text}");
    }
}

#[test]
fn wrong_types_are_refused_at_once() {
    let structure = "Start of structure or map found where not expected";
    let class = "Unrecognized collection type class ";
    let value = "Unrecognized collection type class com.amazonaws.dynamodb.v20120810.AttributeValue";
    for (text, refusal) in [
        (r#"{"S":5}"#, "NUMBER_VALUE cannot be converted to String"),
        (r#"{"S":true}"#, "TRUE_VALUE cannot be converted to String"),
        (r#"{"S":false}"#, "FALSE_VALUE cannot be converted to String"),
        (r#"{"S":{}}"#, structure),
        (r#"{"S":[]}"#, &*format!("{class}java.lang.String")),
        (r#"{"N":5}"#, "NUMBER_VALUE cannot be converted to String"),
        (r#"{"NS":[5]}"#, "NUMBER_VALUE cannot be converted to String"),
        (r#"{"SS":["a",true]}"#, "TRUE_VALUE cannot be converted to String"),
        (r#"{"SS":"a"}"#, "Unexpected field type"),
        (r#"{"SS":{}}"#, structure),
        (r#"{"B":5}"#, "only base-64-encoded strings are convertible to bytes"),
        (r#"{"B":[1]}"#, &*format!("{class}java.nio.ByteBuffer")),
        (
            r#"{"B":"Zm9"}"#,
            "Base64 encoded length is expected a multiple of 4 bytes but found: 3",
        ),
        (r#"{"B":"Zm9-"}"#, "Invalid Base64 character: '-'"),
        (r#"{"B":"Zh=="}"#, "Invalid last non-pad Base64 character dectected"),
        (r#"{"BOOL":"true"}"#, "Unexpected token received from parser"),
        (r#"{"BOOL":1}"#, "NUMBER_VALUE cannot be converted to Boolean"),
        (r#"{"NULL":"true"}"#, "Unexpected token received from parser"),
        (r#"{"L":{}}"#, structure),
        (r#"{"L":"a"}"#, "Unexpected field type"),
        (r#"{"L":["a"]}"#, "Unexpected value type in payload"),
        (
            r#"{"M":[]}"#,
            "Unrecognized collection type java.util.Map<java.lang.String, com.amazonaws.dynamodb.v20120810.AttributeValue>",
        ),
        (r#"{"M":{"a":"b"}}"#, "Unexpected value type in payload"),
        (r#"{"M":{"a":[]}}"#, value),
        ("5", "Unexpected value type in payload"),
        (r#""a""#, "Unexpected value type in payload"),
        ("[]", value),
        // Even behind a value without sense.
        (
            r#"{"L":[{"N":"x"},{"S":5}]}"#,
            "NUMBER_VALUE cannot be converted to String",
        ),
    ] {
        assert_eq!(read(text), Err(refusal.to_owned()), "{text}");
    }
    let cut = read_value(&mut Reader::new(br#"{"S":"a""#).unwrap());
    assert!(matches!(
        cut,
        Err(SerializationError::Json(JsonError::Malformed { .. }))
    ));
}

#[test]
fn nesting_is_limited() {
    // Level 1 is the outermost list or map, the innermost a scalar.
    for (open, close) in [(r#"{"L":["#, "]}"), (r#"{"M":{"a":"#, "}}")] {
        let nested = |levels: usize| format!("{}{{\"S\":\"a\"}}{}", open.repeat(levels - 1), close.repeat(levels - 1));
        let value = read(&nested(MAX_NESTING)).unwrap().unwrap();
        assert!(value.nests_within(MAX_NESTING) && !value.nests_within(MAX_NESTING - 1));
        for levels in [MAX_NESTING + 1, 100] {
            let refusal = read(&nested(levels)).unwrap().unwrap_err();
            assert!(
                refusal.starts_with("Nesting Levels have exceeded supported limits"),
                "{refusal}"
            );
        }
        let deep = nested(100_000);
        let read = read_value(&mut Reader::new(deep.as_bytes()).unwrap());
        assert!(matches!(read, Err(SerializationError::Json(JsonError::TooDeep { .. }))));
    }
}

#[test]
fn codes_are_the_members() {
    for kind in AttributeType::ALL {
        assert_eq!(AttributeType::from_code(kind.code()), Some(kind));
    }
    assert_eq!(AttributeType::from_code("s"), None);
    let mut writer = Writer::new();
    write_value(&AttributeValue::Null, &mut writer);
    assert_eq!(writer.into_bytes(), br#"{"NULL":true}"#);
}

proptest! {
    /// Near-items: read or refused, never a panic; what is read comes back.
    #[test]
    fn never_panics(pieces in prop::collection::vec(prop::sample::select(vec![
        "{", "}", "[", "]", ",", ":", r#""S":"#, r#""N":"#, r#""L":["#, r#""M":{"#, r#""a":{"#, r#""1""#, "null", "true", r#"{"S":"a"}"#, r#""SS":["#,
        r#""B":"AA==""#, "]}", "}}", r#"{"N":"1"},"#,
    ]), 0..16)) {
        let text = format!("{{{}", pieces.concat());
        for text in [text.clone(), format!("{text}}}")] {
            if let Ok(Ok(item)) = read_item(&mut Reader::new(text.as_bytes()).unwrap()) {
                let mut writer = Writer::new();
                geodynamo_item::wire::write_item(&item, &mut writer);
                prop_assert_eq!(read_item(&mut Reader::new(writer.as_bytes()).unwrap()), Ok(Ok(item)));
            }
        }
    }
}
