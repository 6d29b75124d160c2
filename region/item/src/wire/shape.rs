//! JSON of the wrong type, in DynamoDB's words.

use std::borrow::Cow;

use geodynamo_json::{JsonError, Kind, Reader};

use super::SerializationError;

/// What the service's model asks for where a value stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Target {
    /// A string.
    String,
    /// A string of base64.
    Blob,
    /// A Boolean.
    Boolean,
    /// A list.
    List,
    /// A map of attribute values.
    Map,
    /// An attribute value.
    Value,
}

/// DynamoDB's words for the value that the reader stands before, where the model asks for something else. The value is
/// not consumed, but for a Boolean or a number.
fn unexpected(reader: &mut Reader<'_>, target: Target) -> SerializationError {
    let token = match reader.peek() {
        Err(error) => return error.into(),
        Ok(Kind::Object) => return shape("Start of structure or map found where not expected"),
        Ok(Kind::Array) => {
            return shape(match target {
                Target::String => "Unrecognized collection type class java.lang.String",
                Target::Blob => "Unrecognized collection type class java.nio.ByteBuffer",
                Target::Boolean => "Unrecognized collection type class java.lang.Boolean",
                // A list is a list: there is no such error.
                Target::List | Target::Value => {
                    "Unrecognized collection type class com.amazonaws.dynamodb.v20120810.AttributeValue"
                }
                Target::Map => {
                    "Unrecognized collection type java.util.Map<java.lang.String, \
                     com.amazonaws.dynamodb.v20120810.AttributeValue>"
                }
            });
        }
        Ok(Kind::String) => "STRING_VALUE",
        Ok(Kind::Number) => match reader.number() {
            Err(error) => return error.into(),
            Ok(text) if text.contains(['.', 'e', 'E']) => "DECIMAL_VALUE",
            Ok(_) => "NUMBER_VALUE",
        },
        Ok(Kind::Null) => "NULL_VALUE",
        Ok(Kind::Bool) => match reader.bool() {
            Err(error) => return error.into(),
            Ok(true) => "TRUE_VALUE",
            Ok(false) => "FALSE_VALUE",
        },
    };
    let class = match target {
        Target::String => "String",
        Target::Boolean if token == "STRING_VALUE" => return shape("Unexpected token received from parser"),
        Target::Boolean => "Boolean",
        Target::Blob => return shape("only base-64-encoded strings are convertible to bytes"),
        Target::List | Target::Map => return shape("Unexpected field type"),
        Target::Value => return shape("Unexpected value type in payload"),
    };
    SerializationError::Shape(Cow::Owned(format!("{token} cannot be converted to {class}")))
}

/// A string; of anything else DynamoDB's refusal.
pub(super) fn read_string<'a>(reader: &mut Reader<'a>) -> Result<Cow<'a, str>, SerializationError> {
    expected(reader, Target::String, Reader::string)
}

/// What `read` reads; of a value of another kind DynamoDB's refusal.
pub(super) fn expected<'a, T>(
    reader: &mut Reader<'a>,
    target: Target,
    read: impl FnOnce(&mut Reader<'a>) -> Result<T, JsonError>,
) -> Result<T, SerializationError> {
    match read(reader) {
        Ok(value) => Ok(value),
        Err(JsonError::Unexpected { .. }) => Err(unexpected(reader, target)),
        Err(error) => Err(error.into()),
    }
}

pub(super) fn shape(text: &'static str) -> SerializationError {
    SerializationError::Shape(Cow::Borrowed(text))
}
