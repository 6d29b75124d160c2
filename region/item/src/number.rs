//! Numbers: exact to 38 significant digits, magnitudes from 1E-130 to 9.99…E+125.

mod order;
mod text;

use std::cmp::Ordering;

pub use order::{NumberBytes, NumberOrderError};
pub use text::NumberText;
pub(crate) use text::write_order_bytes_text;

/// The most significant digits a number may have.
pub const MAX_DIGITS: u32 = 38;

/// A DynamoDB number in normal form: `coefficient × 10^exponent`; the coefficient has no trailing decimal zero, and zero
/// is `0 × 10^0`. So equal numbers are equal in every field.
///
/// Precision and range are those of the AWS developer guide, "Supported data types and naming rules": up to 38 digits,
/// positive from 1E-130 to 9.9999999999999999999999999999999999999E+125, the same negative, and zero.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Number {
    coefficient: i128,
    exponent: i16,
}

/// Why a text is not a number, or a result is not one. The texts are DynamoDB's own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NumberError {
    /// Not the text of a number.
    #[error("The parameter cannot be converted to a numeric value")]
    Malformed,
    /// More than 38 significant digits.
    #[error("Attempting to store more than 38 significant digits in a Number")]
    Digits,
    /// Above 9.99…E+125, or a sum of more than 38 digits.
    #[error("Number overflow. Attempting to store a number with magnitude larger than supported range")]
    Overflow,
    /// Below 1E-130.
    #[error("Number underflow. Attempting to store a number with magnitude smaller than supported range")]
    Underflow,
}

/// The point of a number `0.ddd × 10^point`, at least.
const MIN_POINT: i32 = -129;
/// The point of a number `0.ddd × 10^point`, at most.
const MAX_POINT: i32 = 126;

impl Number {
    /// Zero.
    pub const ZERO: Self = Self {
        coefficient: 0,
        exponent: 0,
    };

    /// Parses DynamoDB's decimal text: an optional sign, digits with at most one point among or beside them, and an
    /// optional exponent (`e` or `E`, an optional sign, digits). Leading and trailing zeros do not count as significant
    /// digits. White space, infinities and NaN are [`NumberError::Malformed`].
    pub fn parse(text: &str) -> Result<Self, NumberError> {
        let bytes = text.as_bytes();
        let (negative, bytes) = split_sign(bytes);
        let mut digits = Digits::default();
        let mut at = 0;
        while let Some(digit @ b'0'..=b'9') = bytes.get(at) {
            digits.push(digit - b'0');
            at += 1;
        }
        let mut seen = at;
        let mut places = 0i64;
        if bytes.get(at) == Some(&b'.') {
            at += 1;
            let start = at;
            while let Some(digit @ b'0'..=b'9') = bytes.get(at) {
                digits.push(digit - b'0');
                at += 1;
            }
            seen += at - start;
            places = i64::try_from(at - start).unwrap_or(i64::MAX);
        }
        if seen == 0 {
            return Err(NumberError::Malformed);
        }
        let exponent = match bytes.get(at..) {
            None | Some([]) => 0,
            Some([b'e' | b'E', exponent @ ..]) => parse_exponent(exponent)?,
            Some(_) => return Err(NumberError::Malformed),
        };
        digits.number(negative, exponent.saturating_sub(places))
    }

    /// The exact sum.
    ///
    /// # Errors
    /// [`NumberError::Overflow`] of a sum that needs more than 38 digits, too: so DynamoDB puts it, though such a number in a
    /// request is [`NumberError::Digits`]. [`NumberError::Underflow`] below 1E-130.
    #[expect(clippy::should_implement_trait, reason = "the trait's sum cannot fail")]
    pub fn add(self, other: Self) -> Result<Self, NumberError> {
        self.exact_sum(other).map_err(|error| match error {
            NumberError::Digits => NumberError::Overflow,
            error => error,
        })
    }

    fn exact_sum(self, other: Self) -> Result<Self, NumberError> {
        let (high, low) = if self.exponent >= other.exponent {
            (self, other)
        } else {
            (other, self)
        };
        if low.coefficient == 0 {
            return Ok(high);
        }
        if high.coefficient == 0 {
            return Ok(low);
        }
        // Brought to the lower exponent. If that leaves the 128 bits, it is above 3.4 × 10^38, so even the difference to
        // the other one (below 10^38) needs more than 38 digits: and it has no trailing zeros to strip, because the
        // exponents differ and the lower coefficient ends in another digit than zero.
        let raised = 10u128
            .checked_pow(u32::from(high.exponent.abs_diff(low.exponent)))
            .and_then(|scale| high.coefficient.unsigned_abs().checked_mul(scale))
            .ok_or(NumberError::Digits)?;
        let lower = low.coefficient.unsigned_abs();
        let (negative, magnitude) = if high.is_negative() == low.is_negative() {
            (
                high.is_negative(),
                raised.checked_add(lower).ok_or(NumberError::Digits)?,
            )
        } else if raised >= lower {
            (high.is_negative(), raised - lower)
        } else {
            (low.is_negative(), lower - raised)
        };
        Self::normal(negative, magnitude, i64::from(low.exponent))
    }

    /// The exact difference.
    ///
    /// # Errors
    /// As [`add`](Self::add).
    #[expect(clippy::should_implement_trait, reason = "the trait's difference cannot fail")]
    pub fn sub(self, other: Self) -> Result<Self, NumberError> {
        self.add(other.negated())
    }

    /// The same magnitude, the other sign.
    #[must_use]
    pub fn negated(self) -> Self {
        Self {
            coefficient: -self.coefficient,
            ..self
        }
    }

    /// Whether it is below zero.
    pub fn is_negative(&self) -> bool {
        self.coefficient < 0
    }

    /// The number as an integer; `None` if it has a fraction or does not fit.
    pub fn to_i64(self) -> Option<i64> {
        let scale = 10i128.checked_pow(u32::try_from(self.exponent).ok()?)?;
        i64::try_from(self.coefficient.checked_mul(scale)?).ok()
    }

    /// From any coefficient and exponent to normal form, if it is in range.
    fn normal(negative: bool, mut magnitude: u128, mut exponent: i64) -> Result<Self, NumberError> {
        if magnitude == 0 {
            return Ok(Self::ZERO);
        }
        while magnitude.is_multiple_of(10) {
            magnitude /= 10;
            exponent += 1;
        }
        let digits = digits(magnitude);
        if digits > MAX_DIGITS {
            return Err(NumberError::Digits);
        }
        let point = exponent.saturating_add(i64::from(digits));
        if point > i64::from(MAX_POINT) {
            return Err(NumberError::Overflow);
        }
        if point < i64::from(MIN_POINT) {
            return Err(NumberError::Underflow);
        }
        // At most 38 digits are below 10^38, which an i128 holds, and a point in range keeps the exponent above -168.
        let coefficient = i128::try_from(magnitude).map_err(|_| NumberError::Digits)?;
        let exponent = i16::try_from(exponent).map_err(|_| NumberError::Overflow)?;
        Ok(Self {
            coefficient: if negative { -coefficient } else { coefficient },
            exponent,
        })
    }

    /// The point of `0.ddd × 10^point`, which orders magnitudes roughly.
    fn point(&self) -> i32 {
        digits(self.coefficient.unsigned_abs()).cast_signed() + i32::from(self.exponent)
    }
}

/// Significant digits as they come in, without the zeros before and after them.
#[derive(Default)]
struct Digits {
    magnitude: u128,
    /// How many digits the magnitude has.
    count: u64,
    /// Zeros that count only if another digit follows.
    zeros: u64,
}

impl Digits {
    fn push(&mut self, digit: u8) {
        if digit == 0 {
            self.zeros += u64::from(self.count > 0);
            return;
        }
        self.count += self.zeros + 1;
        if self.count <= u64::from(MAX_DIGITS) {
            // Fewer than 38 zeros here, so both the power and the magnitude stay below 10^38.
            let scale = 10u128.pow(u32::try_from(self.zeros).unwrap_or(0) + 1);
            self.magnitude = self.magnitude * scale + u128::from(digit);
        }
        self.zeros = 0;
    }

    fn number(self, negative: bool, exponent: i64) -> Result<Number, NumberError> {
        if self.count > u64::from(MAX_DIGITS) {
            return Err(NumberError::Digits);
        }
        let zeros = i64::try_from(self.zeros).unwrap_or(i64::MAX);
        Number::normal(negative, self.magnitude, exponent.saturating_add(zeros))
    }
}

fn split_sign(bytes: &[u8]) -> (bool, &[u8]) {
    match bytes {
        [b'-', rest @ ..] => (true, rest),
        [b'+', rest @ ..] => (false, rest),
        _ => (false, bytes),
    }
}

/// Digits with an optional sign, held within the range of an `i64` (no number is near it).
fn parse_exponent(bytes: &[u8]) -> Result<i64, NumberError> {
    let (negative, digits) = split_sign(bytes);
    if digits.is_empty() || !digits.iter().all(u8::is_ascii_digit) {
        return Err(NumberError::Malformed);
    }
    let value = digits.iter().fold(0i64, |value, digit| {
        value.saturating_mul(10).saturating_add(i64::from(digit - b'0'))
    });
    Ok(if negative { -value } else { value })
}

/// How many decimal digits; zero has none.
fn digits(magnitude: u128) -> u32 {
    // Most are short: 64-bit arithmetic is many times faster.
    match u64::try_from(magnitude) {
        Ok(short) => short.checked_ilog10().map_or(0, |log| log + 1),
        Err(_) => magnitude.ilog10() + 1,
    }
}

impl From<i64> for Number {
    fn from(integer: i64) -> Self {
        // Any integer of 64 bits has at most 20 digits and is in range.
        Self::normal(integer < 0, u128::from(integer.unsigned_abs()), 0).unwrap_or(Self::ZERO)
    }
}

impl From<u64> for Number {
    fn from(integer: u64) -> Self {
        // Any integer of 64 bits has at most 20 digits and is in range.
        Self::normal(false, u128::from(integer), 0).unwrap_or(Self::ZERO)
    }
}

impl std::str::FromStr for Number {
    type Err = NumberError;

    fn from_str(text: &str) -> Result<Self, NumberError> {
        Self::parse(text)
    }
}

impl PartialOrd for Number {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Number {
    /// By value.
    fn cmp(&self, other: &Self) -> Ordering {
        let sign = |number: &Self| number.coefficient.signum();
        let by_sign = sign(self).cmp(&sign(other));
        if by_sign.is_ne() || self.coefficient == 0 {
            return by_sign;
        }
        let by_magnitude = self.point().cmp(&other.point()).then_with(|| {
            // The points are equal, so scaling to the lower exponent keeps both coefficients at 38 digits or fewer.
            let scaled = |number: &Self| {
                let raise = number.exponent - self.exponent.min(other.exponent);
                number.coefficient.unsigned_abs() * 10u128.pow(raise.unsigned_abs().into())
            };
            scaled(self).cmp(&scaled(other))
        });
        if self.is_negative() {
            by_magnitude.reverse()
        } else {
            by_magnitude
        }
    }
}
