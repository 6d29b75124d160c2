//! Attribute values and items, by way of the item crate's wire form.

use geodynamo_item::{AttributeValue, Item};
use geodynamo_json::{Reader, Writer};

use super::{DecodeContext, Decoded, JavaText, Value, skip};

impl Value for AttributeValue {
    fn decode(reader: &mut Reader<'_>, _: &mut DecodeContext) -> Decoded<Self> {
        skip(reader)?;
        Ok(AttributeValue::Null)
    }
    fn encode(&self, writer: &mut Writer) {
        writer.null();
    }
    fn show(&self, text: &mut JavaText) {
        text.push("?");
    }
    fn java_type() -> String {
        "com.amazonaws.dynamodb.v20120810.AttributeValue".into()
    }
}

impl Value for Item {
    fn decode(reader: &mut Reader<'_>, _: &mut DecodeContext) -> Decoded<Self> {
        skip(reader)?;
        Ok(Item::new())
    }
    fn encode(&self, writer: &mut Writer) {
        writer.null();
    }
    fn show(&self, text: &mut JavaText) {
        text.push("?");
    }
    fn java_type() -> String {
        format!("java.util.Map<java.lang.String, {}>", AttributeValue::java_type())
    }
}
