//! Why a text is no policy.

use std::fmt;

use crate::Place;

/// Why a text is no policy, and where: what `MalformedPolicyDocument` tells.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct PolicyError {
    /// Where in the text.
    pub place: Place,
    /// What is wrong there, such as `Syntax error: …` or `Duplicate key: Action`. A sentence without its full stop.
    pub reason: String,
}

impl fmt::Display for PolicyError {
    /// `Duplicate key: Action at position (line 3, column 14)`
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} at position (line {}, column {})",
            self.reason, self.place.line, self.place.column
        )
    }
}

impl std::error::Error for PolicyError {}
