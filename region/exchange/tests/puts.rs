//! Records of bulk operations: items with their conditions, in both forms.
#![allow(clippy::unwrap_used, reason = "a test")]

use geodynamo_exchange::{Compression, Format, KeyTypes, LINE_BYTES_MAX, Put, PutCondition, PutReader};
use geodynamo_item::{AttributeValue, Item, Number};
use proptest::prelude::*;

/// What a text has: the line on which each record begins, and the record or why it is none.
fn puts(text: &str, format: &Format) -> Vec<(u64, Result<Put, String>)> {
    let mut reader = PutReader::new(text.as_bytes(), format, Compression::None, &KeyTypes::new()).unwrap();
    let mut found = Vec::new();
    while let Some(put) = reader.next() {
        found.push((reader.line(), put.unwrap().map_err(|error| error.0)));
    }
    found
}

fn expected() -> Put {
    let value = |text: &str| AttributeValue::N(Number::parse(text).unwrap());
    let of = |name: &str, value: AttributeValue| Item::from_iter([(name.into(), value)]);
    Put {
        item: of("pk", AttributeValue::S("a".into())),
        condition: PutCondition {
            expression: Some("#v < :v".into()),
            names: Some([("#v".into(), "version".into())].into()),
            values: Some(of(":v", value("3"))),
        },
    }
}

#[test]
fn a_record_has_a_condition() {
    let json = r##"{"ConditionExpression":"#v < :v","Item":{"pk":{"S":"a"}},"ExpressionAttributeNames":{"#v":"version"},
        "ExpressionAttributeValues":{":v":{"N":"3"}}}"##;
    assert_eq!(
        puts(&json.replace('\n', ""), &Format::DynamoDbJson),
        [(1, Ok(expected()))]
    );
    let ion = r##"$ion_1_0 {Item:{pk:"a"},ConditionExpression:"#v < :v",ExpressionAttributeNames:{'#v':"version"},ExpressionAttributeValues:{':v':3}}"##;
    assert_eq!(puts(ion, &Format::Ion), [(1, Ok(expected()))]);
    let plain = puts("{Item:{pk:\"a\"}}", &Format::Ion).remove(0).1.unwrap();
    assert!(plain.condition.is_none() && !expected().condition.is_none());
}

#[test]
fn a_struct_of_ion_goes_on_over_lines() {
    let text = "$ion_1_0\n{\n  Item: {pk: \"}\"} // a brace: }\n}\n\n{Item:{pk:\"b\"}}\n{Item:{\n";
    let found = puts(text, &Format::Ion);
    let lines: Vec<(u64, bool)> = found.iter().map(|(line, put)| (*line, put.is_ok())).collect();
    assert_eq!(lines, [(2, true), (6, true), (7, false)]);
    // JSON's records are lines.
    let found = puts("{\"Item\":\n{}}", &Format::DynamoDbJson);
    assert_eq!(found.iter().filter(|(_, put)| put.is_err()).count(), 2);
}

#[test]
fn what_is_no_put_is_told() {
    for (format, bad) in [
        (Format::DynamoDbJson, r#"{"Item":{},"ConditionExpression":7}"#),
        (
            Format::DynamoDbJson,
            r##"{"Item":{},"ExpressionAttributeNames":{"#a":1}}"##,
        ),
        (
            Format::DynamoDbJson,
            r#"{"Item":{},"ExpressionAttributeValues":{":a":"b"}}"#,
        ),
        (Format::DynamoDbJson, r#"{"ConditionExpression":"a = b"}"#),
        (Format::Ion, "{Item:{},ConditionExpression:7}"),
        (Format::Ion, "{Item:{},ExpressionAttributeNames:7}"),
        (Format::Ion, "{Item:{},ExpressionAttributeNames:{a:7}}"),
        (Format::Ion, "{ConditionExpression:\"a = b\"}"),
        (Format::Ion, "7"),
    ] {
        assert!(puts(bad, &format)[0].1.is_err(), "{bad}");
    }
}

#[test]
fn no_depth_is_hidden_from_the_parser() {
    for before in ["/* ' */", "{{\"}}\"}}", "'''\\''''", "// \"\n"] {
        let deep = format!("{{Item:{{a:[{before} {}", "[".repeat(200_000));
        assert!(
            puts(&deep, &Format::Ion).iter().all(|(_, put)| put.is_err()),
            "{before}"
        );
    }
    let long = "[\n".repeat(LINE_BYTES_MAX);
    assert!(puts(&long, &Format::Ion).iter().all(|(_, put)| put.is_err()));
}

proptest! {
    #[test]
    fn no_text_panics(text in "[\\[{(\"'/*:,}\\])a-z0-9 .$\n\\\\]{0,200}") {
        for format in [Format::DynamoDbJson, Format::Ion] {
            puts(&text, &format);
        }
    }
}
