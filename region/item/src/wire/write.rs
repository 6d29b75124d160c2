//! Writing attribute values.

use geodynamo_json::Writer;

use crate::{AttributeValue, Item, Number};

/// Writes one attribute value, `{"S":"…"}`.
pub fn write_value(value: &AttributeValue, writer: &mut Writer) {
    writer.begin_object();
    writer.plain_key(value.kind().code());
    match value {
        AttributeValue::S(text) => writer.string(text),
        AttributeValue::N(number) => write_number(number, writer),
        AttributeValue::B(bytes) => writer.base64(bytes),
        AttributeValue::Bool(value) => writer.bool(*value),
        AttributeValue::Null => writer.bool(true),
        AttributeValue::M(map) => write_item(map, writer),
        AttributeValue::L(list) => write_all(list, writer, write_value),
        AttributeValue::Ss(set) => write_all(set, writer, |text, writer| writer.string(text)),
        AttributeValue::Ns(set) => write_all(set, writer, write_number),
        AttributeValue::Bs(set) => write_all(set, writer, |bytes, writer| writer.base64(bytes)),
    }
    writer.end_object();
}

/// Writes a map of attribute values, `{"name":{"S":"…"}}`, in the order of their names.
pub fn write_item(item: &Item, writer: &mut Writer) {
    writer.begin_object();
    for (name, value) in item {
        writer.key(name);
        write_value(value, writer);
    }
    writer.end_object();
}

fn write_number(number: &Number, writer: &mut Writer) {
    writer.plain_string(&number.text());
}

fn write_all<'a, T: 'a>(
    values: impl IntoIterator<Item = &'a T>,
    writer: &mut Writer,
    write: impl Fn(&'a T, &mut Writer),
) {
    writer.begin_array();
    for value in values {
        write(value, writer);
    }
    writer.end_array();
}
