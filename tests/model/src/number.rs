//! Numbers as strings of digits: slow and plain.

use std::{cmp::Ordering, fmt};

use crate::fault::Fault;

/// The most significant digits.
const DIGITS_MAX: usize = 38;

/// A DynamoDB number: `±ddd × 10^exponent`, no zero before or after its digits; zero has none.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Number {
    negative: bool,
    /// The greatest first.
    digits: Vec<u8>,
    exponent: i32,
}

/// Why a sum is not a number. The texts are DynamoDB's.
pub(crate) const TOO_MANY_DIGITS: &str = "Attempting to store more than 38 significant digits in a Number";
pub(crate) const OVERFLOW: &str =
    "Number overflow. Attempting to store a number with magnitude larger than supported range";
pub(crate) const UNDERFLOW: &str =
    "Number underflow. Attempting to store a number with magnitude smaller than supported range";

/// What DynamoDB says of a sum that is no number: one of too many digits is an overflow.
pub(crate) fn told(error: &'static str, fault: Option<Fault>) -> &'static str {
    match error {
        TOO_MANY_DIGITS if fault != Some(Fault::SumsOfTooManyDigitsAreToldSo) => OVERFLOW,
        error => error,
    }
}

impl Number {
    /// The number of a text; `None` if it is none.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let (negative, rest) = match text.strip_prefix('-') {
            Some(rest) => (true, rest),
            None => (false, text.strip_prefix('+').unwrap_or(text)),
        };
        let (mantissa, exponent) = match rest.split_once(['e', 'E']) {
            Some((mantissa, exponent)) => (mantissa, exponent.parse::<i32>().ok()?),
            None => (rest, 0),
        };
        let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
        let digits: Vec<u8> = whole.bytes().chain(fraction.bytes()).collect();
        if digits.is_empty() || !digits.iter().all(u8::is_ascii_digit) {
            return None;
        }
        let digits = digits.iter().map(|digit| digit - b'0').collect();
        Self::of(negative, digits, exponent - i32::try_from(fraction.len()).ok()?).ok()
    }

    pub(crate) fn of_count(count: usize) -> Self {
        let digits = count.to_string().bytes().map(|digit| digit - b'0').collect();
        Self::of(false, digits, 0).unwrap_or_else(|_| Self::zero())
    }

    /// The exact sum, or why it is none: [`told`] has DynamoDB's text for it.
    pub(crate) fn plus(&self, other: &Self) -> Result<Self, &'static str> {
        let low = self.exponent.min(other.exponent);
        let shifted = |number: &Self| {
            let mut digits = number.digits.clone();
            if !digits.is_empty() {
                digits.extend(std::iter::repeat_n(0, (number.exponent - low).unsigned_abs() as usize));
            }
            digits.reverse();
            digits
        };
        let (one, two) = (shifted(self), shifted(other));
        let (negative, mut sum) = if self.negative == other.negative {
            (self.negative, sum_of(&one, &two))
        } else if is_less(&one, &two) {
            (other.negative, difference_of(&two, &one))
        } else {
            (self.negative, difference_of(&one, &two))
        };
        sum.reverse();
        Self::of(negative, sum, low)
    }

    pub(crate) fn minus(&self, other: &Self) -> Result<Self, &'static str> {
        let mut negated = other.clone();
        negated.negative = !negated.negative && !negated.digits.is_empty();
        self.plus(&negated)
    }

    /// The guide: about one byte for two digits and one more. Here as differences.md has it: pairs of digits aligned at the
    /// point, one for the exponent, one for a minus; 21 at most.
    pub(crate) fn size(&self) -> usize {
        if self.digits.is_empty() {
            return 1;
        }
        let first = (self.exponent + self.digits.len() as i32 - 1).div_euclid(2);
        let pairs = first - self.exponent.div_euclid(2) + 1;
        (1 + pairs as usize + usize::from(self.negative)).min(21)
    }

    fn zero() -> Self {
        Self {
            negative: false,
            digits: Vec::new(),
            exponent: 0,
        }
    }

    fn of(negative: bool, digits: Vec<u8>, mut exponent: i32) -> Result<Self, &'static str> {
        let mut digits: Vec<u8> = digits.into_iter().skip_while(|digit| *digit == 0).collect();
        while digits.last() == Some(&0) {
            digits.pop();
            exponent += 1;
        }
        if digits.is_empty() {
            return Ok(Self::zero());
        }
        if digits.len() > DIGITS_MAX {
            return Err(TOO_MANY_DIGITS);
        }
        let magnitude = exponent + digits.len() as i32 - 1;
        if magnitude > 125 {
            return Err(OVERFLOW);
        }
        if magnitude < -130 {
            return Err(UNDERFLOW);
        }
        Ok(Self {
            negative,
            digits,
            exponent,
        })
    }
}

/// The least digit first.
fn sum_of(one: &[u8], two: &[u8]) -> Vec<u8> {
    let mut sum = Vec::new();
    let mut carry = 0;
    for at in 0..one.len().max(two.len()) + 1 {
        let digit = one.get(at).unwrap_or(&0) + two.get(at).unwrap_or(&0) + carry;
        sum.push(digit % 10);
        carry = digit / 10;
    }
    sum
}

/// The least digit first; `two` is not greater.
fn difference_of(one: &[u8], two: &[u8]) -> Vec<u8> {
    let mut rest = Vec::new();
    let mut borrow = 0;
    for (at, digit) in one.iter().enumerate() {
        let take = two.get(at).unwrap_or(&0) + borrow;
        let (digit, next) = if *digit >= take {
            (digit - take, 0)
        } else {
            (digit + 10 - take, 1)
        };
        rest.push(digit);
        borrow = next;
    }
    rest
}

fn is_less(one: &[u8], two: &[u8]) -> bool {
    let trimmed = |digits: &[u8]| digits.iter().rposition(|digit| *digit != 0).map_or(0, |at| at + 1);
    let (a, b) = (trimmed(one), trimmed(two));
    a < b || a == b && one[..a].iter().rev().lt(two[..b].iter().rev())
}

impl Ord for Number {
    fn cmp(&self, other: &Self) -> Ordering {
        let sign = |number: &Self| match (number.digits.is_empty(), number.negative) {
            (true, _) => 0,
            (false, true) => -1,
            (false, false) => 1,
        };
        let magnitude = |number: &Self| number.exponent + number.digits.len() as i32;
        let by_magnitude = magnitude(self)
            .cmp(&magnitude(other))
            .then_with(|| self.digits.cmp(&other.digits));
        match sign(self).cmp(&sign(other)) {
            Ordering::Equal if sign(self) == 0 => Ordering::Equal,
            Ordering::Equal if sign(self) < 0 => by_magnitude.reverse(),
            Ordering::Equal => by_magnitude,
            by_sign => by_sign,
        }
    }
}

impl PartialOrd for Number {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

/// Plain digits, always.
impl fmt::Display for Number {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.digits.is_empty() {
            return f.write_str("0");
        }
        let digits: String = self.digits.iter().map(|digit| char::from(b'0' + digit)).collect();
        if self.negative {
            f.write_str("-")?;
        }
        let whole = self.exponent + digits.len() as i32;
        if self.exponent >= 0 {
            return write!(f, "{digits}{}", "0".repeat(self.exponent as usize));
        }
        if whole > 0 {
            let (before, after) = digits.split_at(whole as usize);
            return write!(f, "{before}.{after}");
        }
        write!(f, "0.{}{digits}", "0".repeat(whole.unsigned_abs() as usize))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn number(text: &str) -> Number {
        Number::parse(text).unwrap()
    }

    #[test]
    fn texts() {
        let check = |text: &str, expected: &str| assert_eq!(number(text).to_string(), expected);
        check("0", "0");
        check("-0.00", "0");
        check("120", "120");
        check("1.20", "1.2");
        check("-0.05", "-0.05");
        check("1E-3", "0.001");
        check("1E37", &format!("1{}", "0".repeat(37)));
        check("1E38", &format!("1{}", "0".repeat(38)));
        check("12E124", &format!("12{}", "0".repeat(124)));
        assert_eq!(Number::parse("1E126"), None);
        assert_eq!(Number::parse("1E-131"), None);
        assert_eq!(Number::parse(&"1".repeat(39)), None);
    }

    #[test]
    fn sums() {
        let check = |one: &str, two: &str, sum: Result<&str, &str>| {
            assert_eq!(
                number(one).plus(&number(two)).map(|sum| sum.to_string()),
                sum.map(str::to_owned),
                "{one} + {two}"
            );
        };
        check("1", "2", Ok("3"));
        check("99", "1", Ok("100"));
        check("1", "-2", Ok("-1"));
        check("0.5", "-0.5", Ok("0"));
        check("-7", "2.5", Ok("-4.5"));
        check("1E37", "1", Ok(&format!("1{}1", "0".repeat(36))));
        check("1E38", "1", Err(TOO_MANY_DIGITS));
        check("9E125", "9E125", Err(OVERFLOW));
        check("1.1E-130", "-1E-130", Err(UNDERFLOW));
    }

    #[test]
    fn order() {
        let sorted = [
            "-1E125", "-10", "-9.5", "-1", "-0.5", "-1E-130", "0", "1E-130", "0.5", "0.55", "1", "9", "10", "1E100",
        ];
        for (at, one) in sorted.iter().enumerate() {
            for (other, two) in sorted.iter().enumerate() {
                assert_eq!(number(one).cmp(&number(two)), at.cmp(&other), "{one} {two}");
            }
        }
    }
}
