//! What decoding, encoding and validating mean; the generated shapes say only of what they are made.
//!
//! A request is judged in DynamoDB's order: what cannot be parsed (`SerializationException`) first, then the service
//! model's constraints, all of them at once, then parameters that do not go together ([`Request::check_together`]), then
//! attribute values that are wrong in themselves, the first of them, then the operation's own rules.

mod attribute;
mod check;
mod decode;
mod encode;
mod java;
mod pattern;
#[cfg(test)]
pub(crate) mod testing;
#[cfg(test)]
mod tests;
mod values;

use geodynamo_json::{Reader, Writer};

pub(crate) use attribute::{expression_values, starting_key};
pub(crate) use check::{Checker, Rule};
pub(crate) use decode::{DecodeContext, Decoded, SerializationError, member, skip, whole};
pub(crate) use encode::{encode, write_member};
pub(crate) use java::JavaText;
pub(crate) use pattern::Pattern;

use crate::errors::ApiError;

/// A structure of the service model. Generated.
pub(crate) trait Structure: Default {
    /// The shape's name in the model.
    const NAME: &'static str;

    /// Decodes the member of this name; skips the value if there is no such member.
    fn decode_member(&mut self, name: &str, reader: &mut Reader<'_>, context: &mut DecodeContext) -> Decoded<()>;

    /// Writes the members that are there.
    fn encode_members(&self, writer: &mut Writer);

    /// Checks the members against the model's constraints.
    fn check_members(&self, _checker: &mut Checker<'_>) {}

    /// Shows the members as Java's `toString` does.
    fn show_members(&self, _text: &mut JavaText) {}
}

/// What a member, an element or a map's value may be.
pub(crate) trait Value: Sized {
    /// Reads a value that is not `null`.
    fn decode(reader: &mut Reader<'_>, context: &mut DecodeContext) -> Decoded<Self>;

    /// What `null` stands for as an element or a map's value; `None` if it is passed over.
    fn from_null(_context: &mut DecodeContext) -> Option<Self> {
        None
    }

    /// Writes it.
    fn encode(&self, writer: &mut Writer);

    /// Shows it as Java's `toString` does.
    fn show(&self, text: &mut JavaText);

    /// The name of its type in Java, which serialization errors tell.
    fn java_type() -> String;

    /// Says which of the rule's constraints it breaks.
    fn broken(&self, _rule: &Rule, _add: &mut dyn FnMut(String)) {}

    /// Checks the structures in it.
    fn check_inside(&self, _checker: &mut Checker<'_>) {}
}

/// A request, and the rules of its operation that come between the model's and those that need a table.
pub(crate) trait Request: Structure {
    /// Refuses parameters that do not go together. It comes before attribute values are judged.
    fn check_together(&self) -> Result<(), ApiError> {
        Ok(())
    }

    /// Refuses what comes before `ExpressionAttributeValues` are judged. Asked only if one of those is wrong: otherwise the
    /// operation comes by the same rules anyway.
    fn check_before_values(&self) -> Result<(), ApiError> {
        Ok(())
    }
}

/// Decodes a whole request and judges it as far as is possible without its operation.
pub(crate) fn checked<T: Structure>(body: &[u8]) -> Result<T, ApiError> {
    let (request, context) = constrained(body)?;
    match context.invalid.or(context.invalid_for_expressions) {
        Some(message) => Err(ApiError::validation(message)),
        None => Ok(request),
    }
}

/// Decodes a whole request and judges it as far as is possible without a table.
pub(crate) fn prepared<T: Request>(body: &[u8]) -> Result<T, ApiError> {
    let (request, context) = constrained::<T>(body)?;
    request.check_together()?;
    if let Some(message) = context.invalid {
        return Err(ApiError::validation(message));
    }
    if let Some(message) = context.invalid_for_expressions {
        request.check_before_values()?;
        return Err(ApiError::validation(message));
    }
    Ok(request)
}

/// Decodes a whole request and checks it against the model's constraints.
fn constrained<T: Structure>(body: &[u8]) -> Result<(T, DecodeContext), ApiError> {
    let mut context = DecodeContext::default();
    let request = decode::whole::<T>(body, &mut context).map_err(ApiError::serialization)?;
    match check::check_request(&request) {
        Some(message) => Err(ApiError::validation(message)),
        None => Ok((request, context)),
    }
}
