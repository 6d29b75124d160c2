//! DynamoDB JSON: attribute values as `{"S": "…"}`, read with DynamoDB's own refusals.
//!
//! There are two kinds of refusal, which DynamoDB makes at different times. JSON of the wrong types is refused while the
//! request is read (`SerializationException`): nothing more of it is read. A value that makes no sense is refused only
//! when the whole request has been read and its members have met the model's constraints (`ValidationException`): so the
//! reader stands behind the value then, and the caller keeps the text for later. Both are in [`Wire`].
//!
//! The texts are DynamoDB's as far as they are known from its answers to clients; they name no members, which the caller
//! adds where DynamoDB does (`ExpressionAttributeValues contains invalid value: … for key :v`).

mod shape;
mod value;
mod write;

use std::borrow::Cow;

use geodynamo_json::JsonError;

pub use value::{read_item, read_value};
pub use write::{write_item, write_value};

/// What was read; or what DynamoDB says of it when it comes to validation (it has been consumed then); or why reading
/// cannot go on.
pub type Wire<T> = Result<Result<T, ValidationText>, SerializationError>;

/// The text of a `ValidationException` for a value that makes no sense.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct ValidationText(pub Cow<'static, str>);

impl ValidationText {
    /// Whether DynamoDB says it in the same words wherever the value stands: also of one of `ExpressionAttributeValues`,
    /// whose other refusals tell the parameter and the value's key.
    pub fn is_whole_message(&self) -> bool {
        [NAME_TOO_LARGE, text::EMPTY_SS, text::EMPTY_NS, text::EMPTY_BS].contains(&&*self.0)
    }
}

impl From<&'static str> for ValidationText {
    fn from(text: &'static str) -> Self {
        Self(Cow::Borrowed(text))
    }
}

impl From<String> for ValidationText {
    fn from(text: String) -> Self {
        Self(Cow::Owned(text))
    }
}

/// Why a request cannot be read: the cause of a `SerializationException`.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SerializationError {
    /// Not JSON, or nested too deeply.
    #[error(transparent)]
    Json(#[from] JsonError),
    /// JSON of another type than the model's; DynamoDB's text of it.
    #[error("{0}")]
    Shape(Cow<'static, str>),
}

/// The text of a `ValidationException` for an attribute's name of more than [`MAX_NAME`](crate::MAX_NAME) bytes.
pub const NAME_TOO_LARGE: &str =
    "1 validation error detected: Attribute name is too large, must be less than 65536 bytes";

/// The text of a `ValidationException` for an attribute without a name. In maps within attributes a name may be empty.
pub const EMPTY_NAME: &str = "One or more parameter values were invalid: Empty attribute name";

/// The texts that need no more than themselves.
mod text {
    pub(super) const EMPTY: &str =
        "Supplied AttributeValue is empty, must contain exactly one of the supported datatypes";
    pub(super) const SEVERAL: &str =
        "Supplied AttributeValue has more than one datatypes set, must contain exactly one of the supported datatypes";
    pub(super) const NULL: &str =
        "One or more parameter values were invalid: Null attribute value types must have the value of true";
    pub(super) const EMPTY_SS: &str = "One or more parameter values were invalid: An string set  may not be empty";
    pub(super) const EMPTY_NS: &str = "One or more parameter values were invalid: An number set  may not be empty";
    pub(super) const EMPTY_BS: &str = "One or more parameter values were invalid: Binary sets should not be empty";
    pub(super) const NULL_IN_SET: &str =
        "One or more parameter values were invalid: An string set  may not have a null string as a member";
    pub(super) const DUPLICATE_NUMBERS: &str = "Input collection contains duplicates";
    pub(super) const NESTING: &str = "Nesting Levels have exceeded supported limits: Attributes in the item have nested levels beyond supported limit";
}
