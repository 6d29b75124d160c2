//! Items as JSON documents.

use std::borrow::Cow;

use geodynamo_item::{AttributeValue, Item};
use geodynamo_json::Writer;

use crate::Document;

/// Writes an item.
pub(crate) fn write(item: &Item, form: Document) -> String {
    written(item, form, |text| Cow::Borrowed(text))
}

/// Writes a value as plain JSON.
pub(crate) fn write_value(value: &AttributeValue, writer: &mut Writer) {
    plain(value, |text| Cow::Borrowed(text), writer);
}

/// Writes an item for PostgreSQL, whose texts cannot have U+0000: it becomes U+FFFD.
pub(crate) fn write_without_nul(item: &Item, form: Document) -> String {
    written(item, form, text)
}

/// A text without U+0000.
pub(crate) fn text(text: &str) -> Cow<'_, str> {
    if text.contains('\0') {
        Cow::Owned(text.replace('\0', "\u{fffd}"))
    } else {
        Cow::Borrowed(text)
    }
}

/// What becomes of texts.
type Texts = fn(&str) -> Cow<'_, str>;

fn written(item: &Item, form: Document, texts: Texts) -> String {
    let mut writer = Writer::with_capacity(256);
    members(item, form, texts, &mut writer);
    // A writer writes what it is given, which is text.
    String::from_utf8(writer.into_bytes()).unwrap_or_default()
}

fn members(item: &Item, form: Document, texts: Texts, writer: &mut Writer) {
    writer.begin_object();
    for (name, value) in item.iter() {
        writer.key(&texts(name));
        match form {
            Document::Plain => plain(value, texts, writer),
            Document::Dynamodb => typed(value, texts, writer),
        }
    }
    writer.end_object();
}

fn plain(value: &AttributeValue, texts: Texts, writer: &mut Writer) {
    match value {
        AttributeValue::S(value) => writer.string(&texts(value)),
        AttributeValue::N(number) => writer.raw(&number.text()),
        AttributeValue::B(binary) => writer.base64(binary),
        AttributeValue::Bool(value) => writer.bool(*value),
        AttributeValue::Null => writer.null(),
        AttributeValue::M(map) => members(map, Document::Plain, texts, writer),
        AttributeValue::L(list) => array(list, writer, |value, writer| plain(value, texts, writer)),
        AttributeValue::Ss(set) => array(set.as_slice(), writer, |value, writer| writer.string(&texts(value))),
        AttributeValue::Ns(set) => array(set.as_slice(), writer, |number, writer| writer.raw(&number.text())),
        AttributeValue::Bs(set) => array(set.as_slice(), writer, |binary, writer| writer.base64(binary)),
    }
}

fn typed(value: &AttributeValue, texts: Texts, writer: &mut Writer) {
    writer.begin_object();
    writer.plain_key(value.kind().code());
    match value {
        AttributeValue::N(number) => writer.plain_string(&number.text()),
        AttributeValue::Null => writer.bool(true),
        AttributeValue::M(map) => members(map, Document::Dynamodb, texts, writer),
        AttributeValue::L(list) => array(list, writer, |value, writer| typed(value, texts, writer)),
        AttributeValue::Ns(set) => array(set.as_slice(), writer, |number, writer| {
            writer.plain_string(&number.text())
        }),
        _ => plain(value, texts, writer),
    }
    writer.end_object();
}

fn array<T>(values: &[T], writer: &mut Writer, write: impl Fn(&T, &mut Writer)) {
    writer.begin_array();
    for value in values {
        write(value, writer);
    }
    writer.end_array();
}

#[cfg(test)]
mod tests {
    use geodynamo_item::wire;
    use geodynamo_json::Reader;

    use super::*;

    fn read(json: &str) -> Item {
        wire::read_item(&mut Reader::new(json.as_bytes()).unwrap())
            .unwrap()
            .unwrap()
    }

    #[test]
    fn documents() {
        let json = r#"{"s":{"S":"a\u0000\"b"},"n":{"N":"1E+30"},"b":{"B":"AAE="},"t":{"BOOL":true},"z":{"NULL":true},
            "m":{"M":{"x":{"N":"-0.5"}}},"l":{"L":[{"S":"y"},{"L":[]}]},"ss":{"SS":["q","p"]},"ns":{"NS":["2","1"]},
            "bs":{"BS":["AA=="]}}"#;
        let item = read(json);
        let thirty = format!("1{}", "0".repeat(30));
        let expected = format!(
            "{{\"b\":\"AAE=\",\"bs\":[\"AA==\"],\"l\":[\"y\",[]],\"m\":{{\"x\":-0.5}},\"n\":{thirty},\"ns\":[1,2],\
             \"s\":\"a\u{fffd}\\\"b\",\"ss\":[\"p\",\"q\"],\"t\":true,\"z\":null}}"
        );
        assert_eq!(write_without_nul(&item, Document::Plain), expected);
        let typed = write_without_nul(&item, Document::Dynamodb);
        assert!(write(&item, Document::Dynamodb).contains("a\\u0000"));
        let expected = item.iter().map(|(name, _)| name.to_string()).collect::<Vec<_>>();
        let again = read(&typed);
        assert_eq!(
            again.iter().map(|(name, _)| name.to_string()).collect::<Vec<_>>(),
            expected
        );
        assert_eq!(again.get("n"), item.get("n"));
        assert_eq!(again.get("bs"), item.get("bs"));
        assert!(matches!(again.get("s"), Some(AttributeValue::S(text)) if text == "a\u{fffd}\"b"));
    }
}
