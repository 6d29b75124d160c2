//! Numbers: exact to 38 significant digits, magnitudes from 1E-130 to 9.99…E+125.

use std::cmp::Ordering;

/// A DynamoDB number in normal form: `coefficient × 10^exponent`; the coefficient has no trailing decimal zero, and zero
/// is `0 × 10^0`. So equal numbers are equal in every field.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Number {
    coefficient: i128,
    exponent: i16,
}

/// Why a text is not a number, or a result is not one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NumberError {
    /// Not the text of a number.
    #[error("The parameter cannot be converted to a numeric value")]
    Malformed,
    /// More than 38 significant digits.
    #[error("Attempting to store more than 38 significant digits in a Number")]
    Digits,
    /// Above 9.99…E+125.
    #[error("Number overflow. Attempting to store a number with magnitude larger than supported range")]
    Overflow,
    /// Below 1E-130.
    #[error("Number underflow. Attempting to store a number with magnitude smaller than supported range")]
    Underflow,
}

impl Number {
    /// Zero.
    pub const ZERO: Self = Self { coefficient: 0, exponent: 0 };

    /// Parses DynamoDB's decimal text.
    pub fn parse(_text: &str) -> Result<Self, NumberError> {
        Err(NumberError::Malformed) // the item crate's author replaces this
    }

    /// The exact sum; an error if it needs more than 38 digits or leaves the range.
    pub fn add(self, _other: Self) -> Result<Self, NumberError> {
        Err(NumberError::Malformed) // the item crate's author replaces this
    }

    /// The exact difference; an error if it needs more than 38 digits or leaves the range.
    pub fn sub(self, _other: Self) -> Result<Self, NumberError> {
        Err(NumberError::Malformed) // the item crate's author replaces this
    }
}

impl PartialOrd for Number {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Number {
    fn cmp(&self, other: &Self) -> Ordering {
        (self.coefficient, self.exponent).cmp(&(other.coefficient, other.exponent)) // the author replaces this
    }
}
