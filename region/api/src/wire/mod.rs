//! What decoding, encoding and validating mean; the generated shapes say only of what they are made.
//!
//! A request is judged in DynamoDB's order: what cannot be parsed (`SerializationException`) first, then the service
//! model's constraints, all of them at once, then attribute values that are wrong in themselves, the first of them.

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

pub(crate) use attribute::expression_values;
pub(crate) use check::{Checker, Rule};
pub(crate) use decode::{DecodeContext, Decoded, SerializationError, member, skip};
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

/// Decodes a whole request and checks it against the model's constraints.
pub(crate) fn checked<T: Structure>(body: &[u8]) -> Result<T, ApiError> {
    let mut context = DecodeContext::default();
    let request = decode::whole::<T>(body, &mut context).map_err(ApiError::serialization)?;
    if let Some(message) = check::check_request(&request) {
        return Err(ApiError::validation(message));
    }
    match context.into_invalid() {
        Some(message) => Err(ApiError::validation(message)),
        None => Ok(request),
    }
}
