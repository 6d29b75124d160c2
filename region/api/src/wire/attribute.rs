//! Attribute values and items, by way of the item crate's wire form.

use geodynamo_item::{AttributeValue, Item, Name, wire};
use geodynamo_json::{Kind, Reader, Writer};

use super::{DecodeContext, Decoded, JavaText, SerializationError, Value, values::not_map};

/// The members of DynamoDB's `AttributeValue`, in the model's order, as Java names them.
const MEMBERS: [(&str, &str); 10] = [
    ("S", "s"),
    ("N", "n"),
    ("B", "b"),
    ("SS", "sS"),
    ("NS", "nS"),
    ("BS", "bS"),
    ("M", "m"),
    ("L", "l"),
    ("NULL", "nULL"),
    ("BOOL", "bOOL"),
];

impl Value for AttributeValue {
    fn decode(reader: &mut Reader<'_>, context: &mut DecodeContext) -> Decoded<Self> {
        match reader.peek()? {
            Kind::Object => (),
            Kind::Array => {
                let text = format!("Unrecognized collection type class {}", Self::java_type());
                return Err(SerializationError(text.into()));
            }
            _ => return Err(SerializationError::VALUE_TYPE),
        }
        Ok(kept(wire::read_value(reader)?, context).unwrap_or(Self::Null))
    }

    fn from_null(context: &mut DecodeContext) -> Option<Self> {
        context
            .remember("Supplied AttributeValue is empty, must contain exactly one of the supported datatypes".into());
        None
    }

    fn encode(&self, writer: &mut Writer) {
        wire::write_value(self, writer);
    }

    fn show(&self, text: &mut JavaText) {
        let set = self.kind().code();
        text.sequence("AttributeValue(", MEMBERS.iter(), ")", |text, (code, name)| {
            text.push(name);
            text.push("=");
            if *code == set {
                show_content(self, text)
            } else {
                text.push("null")
            }
        });
    }

    fn java_type() -> String {
        "com.amazonaws.dynamodb.v20120810.AttributeValue".into()
    }
}

impl Value for Item {
    fn decode(reader: &mut Reader<'_>, context: &mut DecodeContext) -> Decoded<Self> {
        match reader.peek()? {
            Kind::Object => (),
            Kind::Array => return Err(not_map::<Self>()),
            _ => return Err(SerializationError::FIELD_TYPE),
        }
        Ok(kept(wire::read_item(reader)?, context).unwrap_or_default())
    }

    fn encode(&self, writer: &mut Writer) {
        wire::write_item(self, writer);
    }

    fn show(&self, text: &mut JavaText) {
        text.sequence("{", self.iter(), "}", |text, (name, value)| {
            text.push(name);
            text.push("=");
            value.show(text);
        });
    }

    fn java_type() -> String {
        format!("java.util.Map<java.lang.String, {}>", AttributeValue::java_type())
    }
}

/// Decodes `ExpressionAttributeValues`, whose refusals name the value's key and come later than those of other values. A
/// value that is refused leaves its key, which may be refused before.
pub(crate) fn expression_values(
    member: &mut Option<Item>,
    reader: &mut Reader<'_>,
    context: &mut DecodeContext,
) -> Decoded<()> {
    *member = None;
    match reader.peek()? {
        Kind::Null => return Ok(reader.null()?),
        Kind::Object => (),
        Kind::Array => return Err(not_map::<Item>()),
        _ => return Err(SerializationError::FIELD_TYPE),
    }
    let mut values = Vec::new();
    reader.begin_object()?;
    while let Some(key) = reader.next_key()? {
        let value = wire::read_value(reader)?.unwrap_or_else(|refusal| {
            context.remember_for_expressions(if refusal.is_whole_message() {
                refusal.0.into_owned()
            } else {
                format!("ExpressionAttributeValues contains invalid value: {refusal} for key {key}")
            });
            AttributeValue::Null
        });
        values.push((Name::from(key), value));
    }
    *member = Some(values.into_iter().collect());
    Ok(())
}

/// Decodes `ExclusiveStartKey`, whose refusals say so.
pub(crate) fn starting_key(
    member: &mut Option<Item>,
    reader: &mut Reader<'_>,
    context: &mut DecodeContext,
) -> Decoded<()> {
    *member = None;
    match reader.peek()? {
        Kind::Null => return Ok(reader.null()?),
        Kind::Object => (),
        Kind::Array => return Err(not_map::<Item>()),
        _ => return Err(SerializationError::FIELD_TYPE),
    }
    let key = wire::read_item(reader)?.unwrap_or_else(|refusal| {
        context.remember(format!("The provided starting key is invalid: {refusal}"));
        Item::default()
    });
    *member = Some(key);
    Ok(())
}

impl From<wire::SerializationError> for SerializationError {
    fn from(error: wire::SerializationError) -> Self {
        match error {
            wire::SerializationError::Json(error) => error.into(),
            wire::SerializationError::Shape(text) => Self(text),
        }
    }
}

/// The value, or `None` with its refusal remembered.
fn kept<T>(read: Result<T, wire::ValidationText>, context: &mut DecodeContext) -> Option<T> {
    read.map_err(|refusal| context.remember(refusal.0.into_owned())).ok()
}

fn show_content(value: &AttributeValue, text: &mut JavaText) {
    match value {
        AttributeValue::S(string) => text.push(string),
        AttributeValue::N(number) => text.push(&number.text()),
        AttributeValue::B(_) => text.push("java.nio.HeapByteBuffer"),
        AttributeValue::Bool(value) => value.show(text),
        AttributeValue::Null => text.push("true"),
        AttributeValue::M(map) => map.show(text),
        AttributeValue::L(list) => list.show(text),
        AttributeValue::Ss(set) => text.sequence("[", set.iter(), "]", |text, member| text.push(member)),
        AttributeValue::Ns(set) => text.sequence("[", set.iter(), "]", |text, member| text.push(&member.text())),
        AttributeValue::Bs(set) => text.sequence("[", set.iter(), "]", |text, _| text.push("java.nio.HeapByteBuffer")),
    }
}
