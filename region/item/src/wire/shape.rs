//! JSON of the wrong type, in DynamoDB's words.

use std::borrow::Cow;

use geodynamo_json::{JsonError, Kind, Reader};

use super::SerializationError;

/// What the service's model asks for where a value stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Target {
    /// A string, or an enumeration.
    String,
    /// A string of base64.
    Blob,
    /// A Boolean.
    Boolean,
    /// A 32-bit integer.
    Integer,
    /// A 64-bit integer.
    Long,
    /// A number with a fraction.
    Double,
    /// A time in seconds.
    Timestamp,
    /// A list.
    List,
    /// A map.
    Map,
    /// A structure.
    Structure,
}

/// DynamoDB's words for the value that the reader stands before, where the model asks for something else. The value is
/// not consumed, but for a Boolean.
pub fn unexpected(reader: &mut Reader<'_>, target: Target) -> SerializationError {
    let token = match reader.peek() {
        Err(error) => return error.into(),
        Ok(Kind::Object) => return shape("Start of structure or map found where not expected"),
        Ok(Kind::Array) => return shape("Start of list found where not expected"),
        Ok(Kind::String) => "STRING_VALUE",
        Ok(Kind::Number) => "NUMBER_VALUE",
        Ok(Kind::Null) => "NULL_VALUE",
        Ok(Kind::Bool) => match reader.bool() {
            Err(error) => return error.into(),
            Ok(true) => "TRUE_VALUE",
            Ok(false) => "FALSE_VALUE",
        },
    };
    let class = match target {
        Target::String => "String",
        Target::Boolean => "Boolean",
        Target::Integer => "Integer",
        Target::Long => "Long",
        Target::Double => "Double",
        Target::Timestamp => "Date",
        Target::Blob => return shape("only base-64-encoded strings are convertible to bytes"),
        Target::List | Target::Map | Target::Structure => return shape("Unexpected field type"),
    };
    SerializationError::Shape(Cow::Owned(format!("{token} cannot be converted to {class}")))
}

/// A string; of anything else DynamoDB's refusal.
pub fn read_string<'a>(reader: &mut Reader<'a>) -> Result<Cow<'a, str>, SerializationError> {
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
