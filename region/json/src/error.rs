//! What is wrong with a text, and the kinds of JSON values.

use std::fmt;

/// Why a text could not be read. Offsets are in bytes from the text's start.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum JsonError {
    /// Not JSON (RFC 8259).
    #[error("malformed JSON at byte {offset}: {what}")]
    Malformed {
        /// Where.
        offset: usize,
        /// What is wrong there.
        what: &'static str,
    },
    /// JSON nested deeper than [`MAX_DEPTH`](crate::MAX_DEPTH) levels.
    #[error("JSON nested too deeply at byte {offset}")]
    TooDeep {
        /// Where the level begins that is too much.
        offset: usize,
    },
    /// A value of another kind than was asked for. The value is not consumed: the reader still stands before it, so the
    /// caller may look at it or skip it.
    #[error("found {found} where {expected} was expected, at byte {offset}")]
    Unexpected {
        /// Where the value begins.
        offset: usize,
        /// What was asked for.
        expected: Kind,
        /// What is there.
        found: Kind,
    },
}

impl JsonError {
    /// Where, in bytes from the text's start.
    pub fn offset(&self) -> usize {
        match *self {
            Self::Malformed { offset, .. } | Self::TooDeep { offset } | Self::Unexpected { offset, .. } => offset,
        }
    }
}

/// The kind of a JSON value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// `{…}`
    Object,
    /// `[…]`
    Array,
    /// `"…"`
    String,
    /// `1`, `-0.5e7`
    Number,
    /// `true`, `false`
    Bool,
    /// `null`
    Null,
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Object => "an object",
            Self::Array => "an array",
            Self::String => "a string",
            Self::Number => "a number",
            Self::Bool => "a Boolean",
            Self::Null => "null",
        })
    }
}
