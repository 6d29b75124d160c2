//! Decoding, with the serialization errors of DynamoDB's own layer.

use std::borrow::Cow;

use geodynamo_json::{JsonError, Kind, Reader};

use super::{Structure, Value};

/// What decoding gives: a value, or why there is none.
pub(crate) type Decoded<T> = Result<T, SerializationError>;

/// Why a request's text does not make the operation's shape, in DynamoDB's own words; of what is not JSON it has none.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub(crate) struct SerializationError(pub(crate) Cow<'static, str>);

impl SerializationError {
    pub(crate) const START_OF_STRUCTURE: Self =
        Self(Cow::Borrowed("Start of structure or map found where not expected"));
    pub(crate) const FIELD_TYPE: Self = Self(Cow::Borrowed("Unexpected field type"));
    pub(crate) const VALUE_TYPE: Self = Self(Cow::Borrowed("Unexpected value type in payload"));
    pub(crate) const TOKEN: Self = Self(Cow::Borrowed("Unexpected token received from parser"));
}

impl From<JsonError> for SerializationError {
    fn from(_: JsonError) -> Self {
        Self(Cow::Borrowed(""))
    }
}

/// What decoding remembers on its way: messages of `ValidationException`s for later.
#[derive(Debug, Default)]
pub(crate) struct DecodeContext {
    /// Of attribute values; the first one stays.
    pub(crate) invalid: Option<String>,
    /// Of `ExpressionAttributeValues`; the first one stays.
    pub(crate) invalid_for_expressions: Option<String>,
}

impl DecodeContext {
    /// Remembers what is wrong with an attribute value.
    #[cold]
    pub(crate) fn remember(&mut self, message: String) {
        self.invalid.get_or_insert(message);
    }

    /// Remembers what is wrong with one of `ExpressionAttributeValues`.
    #[cold]
    pub(crate) fn remember_for_expressions(&mut self, message: String) {
        self.invalid_for_expressions.get_or_insert(message);
    }
}

/// Decodes a whole text.
pub(crate) fn whole<T: Structure>(body: &[u8], context: &mut DecodeContext) -> Decoded<T> {
    let mut reader = Reader::new(body)?;
    let value = T::decode(&mut reader, context)?;
    reader.end()?;
    Ok(value)
}

/// Decodes a member; `null` stands for an absent one.
pub(crate) fn member<T: Value>(
    member: &mut Option<T>,
    reader: &mut Reader<'_>,
    context: &mut DecodeContext,
) -> Decoded<()> {
    *member = if reader.peek()? == Kind::Null {
        reader.null()?;
        None
    } else {
        Some(T::decode(reader, context)?)
    };
    Ok(())
}

/// Passes over the value of a member that the model does not know, as DynamoDB does.
pub(crate) fn skip(reader: &mut Reader<'_>) -> Decoded<()> {
    reader.skip_value()?;
    Ok(())
}

/// Decodes the elements of an array.
pub(crate) fn elements<T: Value>(
    reader: &mut Reader<'_>,
    context: &mut DecodeContext,
    mut add: impl FnMut(T),
) -> Decoded<()> {
    reader.begin_array()?;
    while reader.next_element()? {
        if let Some(value) = element(reader, context)? {
            add(value);
        }
    }
    Ok(())
}

/// Decodes an element or a map's value.
pub(crate) fn element<T: Value>(reader: &mut Reader<'_>, context: &mut DecodeContext) -> Decoded<Option<T>> {
    if reader.peek()? == Kind::Null {
        reader.null()?;
        return Ok(T::from_null(context));
    }
    T::decode(reader, context).map(Some)
}

/// The error of a value that stands where a scalar of type `T` was expected.
#[cold]
pub(crate) fn not_scalar<T: Value>(reader: &mut Reader<'_>) -> SerializationError {
    let java_type = T::java_type();
    let token = match token(reader) {
        Ok(token) => token,
        Err(error) => return error,
    };
    let name = java_type.rsplit('.').next().unwrap_or_default();
    match token {
        "START_OBJECT" => SerializationError::START_OF_STRUCTURE,
        "START_ARRAY" => SerializationError(format!("Unrecognized collection type class {java_type}").into()),
        token => SerializationError(format!("{token} cannot be converted to {name}").into()),
    }
}

/// The older layer's name of the next value's token.
fn token(reader: &mut Reader<'_>) -> Decoded<&'static str> {
    Ok(match reader.peek()? {
        Kind::Object => "START_OBJECT",
        Kind::Array => "START_ARRAY",
        Kind::String => "STRING_VALUE",
        Kind::Number if reader.number()?.contains(['.', 'e', 'E']) => "DECIMAL_VALUE",
        Kind::Number => "NUMBER_VALUE",
        Kind::Bool if reader.bool()? => "TRUE_VALUE",
        Kind::Bool => "FALSE_VALUE",
        Kind::Null => "NULL_VALUE",
    })
}
