//! Order-preserving bytes of numbers: comparing them as bytes compares the numbers.
//!
//! A number is `±0.ppp… × 100^h` with pairs of decimal digits `p` from 0 to 99, the first and last of them not 0, and `h`
//! from -64 to 63.
//! - zero: `0x80`
//! - positive: `0x80 + (h + 64)`, then each pair as `p + 1`. The smallest head is zero's; zero has no pairs, so it is less.
//! - negative: `0x7F - (h + 64)`, then each pair as `101 - p`, then `0xFF`, so that of two that begin alike the one with
//!   more pairs, which is further from zero, is less.
//!
//! These bytes are in keys and in stored items: the format never changes. Integers up to 99 take two bytes, up to 9,999
//! three; the longest numbers 21 bytes, negative ones 22.

use std::ops::Deref;

use super::{MAX_DIGITS, Number};

/// Pairs that 38 digits can touch.
const MAX_PAIRS: usize = 20;
/// The most bytes a number takes.
const MAX_BYTES: usize = MAX_PAIRS + 2;
/// The head of zero, and of the smallest positive numbers.
const ZERO: u8 = 0x80;
/// What ends a negative number.
const NEGATIVE_END: u8 = 0xFF;
/// What is added to `h` to make it count from zero.
const HEAD_BIAS: i32 = 64;

/// Bytes that are not a number's, or not the only form of its bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not the bytes of a number")]
pub struct NumberOrderError;

impl Number {
    /// The number's order-preserving bytes: comparing two numbers' bytes compares the numbers.
    pub fn order_bytes(&self) -> NumberBytes {
        let mut out = NumberBytes {
            bytes: [0; MAX_BYTES],
            length: 0,
        };
        if self.coefficient == 0 {
            out.push(ZERO);
            return out;
        }
        let pairs = Pairs::of(self);
        let negative = self.is_negative();
        // The point is -129 to 126, so this is 0 to 127.
        let head = u8::try_from(pairs.hundreds + HEAD_BIAS).unwrap_or(0);
        out.push(if negative { ZERO - 1 - head } else { ZERO + head });
        for pair in pairs.iter() {
            out.push(if negative { 101 - pair } else { pair + 1 });
        }
        if negative {
            out.push(NEGATIVE_END);
        }
        out
    }

    /// The number of such bytes.
    pub fn from_order_bytes(bytes: &[u8]) -> Result<Self, NumberOrderError> {
        let Some(pairs) = Pairs::read(bytes)? else {
            return Ok(Self::ZERO);
        };
        let mut magnitude = 0u128;
        for pair in pairs.iter() {
            // Twenty pairs are below 10^40, which is not 2^128: the twentieth may not fit, if it ends in zero.
            magnitude = match magnitude.checked_mul(100) {
                Some(raised) => raised + u128::from(pair),
                None => return pairs.number(magnitude * 10 + u128::from(pair / 10), 1),
            };
        }
        pairs.number(magnitude, 0)
    }
}

/// A number's order-preserving bytes, without an allocation.
#[derive(Clone, Copy, Debug)]
pub struct NumberBytes {
    bytes: [u8; MAX_BYTES],
    length: u8,
}

impl NumberBytes {
    fn push(&mut self, byte: u8) {
        self.bytes[usize::from(self.length)] = byte;
        self.length += 1;
    }
}

impl Deref for NumberBytes {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.bytes[..usize::from(self.length)]
    }
}

/// A number other than zero as `±0.ppp… × 100^hundreds`.
pub(super) struct Pairs {
    pub(super) negative: bool,
    pub(super) hundreds: i32,
    pairs: [u8; MAX_PAIRS],
    count: u8,
}

impl Pairs {
    /// The pairs, the greatest first; each 0 to 99, the first and the last not 0.
    pub(super) fn iter(&self) -> impl ExactSizeIterator<Item = u8> {
        self.pairs[..usize::from(self.count)].iter().copied()
    }

    /// The pairs of order-preserving bytes; `None` for zero.
    pub(super) fn read(bytes: &[u8]) -> Result<Option<Self>, NumberOrderError> {
        let (head, mut rest) = bytes.split_first().ok_or(NumberOrderError)?;
        let negative = *head < ZERO;
        if negative {
            rest = rest.strip_suffix(&[NEGATIVE_END]).ok_or(NumberOrderError)?;
        } else if *head == ZERO && rest.is_empty() {
            return Ok(None);
        }
        let mut pairs = [0; MAX_PAIRS];
        if rest.is_empty() || rest.len() > MAX_PAIRS {
            return Err(NumberOrderError);
        }
        for (pair, byte) in pairs.iter_mut().zip(rest) {
            let value = if negative {
                101u8.checked_sub(*byte)
            } else {
                byte.checked_sub(1)
            };
            *pair = value.filter(|value| *value < 100).ok_or(NumberOrderError)?;
        }
        let (first, last) = (pairs[0], pairs[rest.len() - 1]);
        let digits = rest.len() * 2 - usize::from(first < 10) - usize::from(last.is_multiple_of(10));
        if first == 0 || last == 0 || digits > MAX_DIGITS as usize {
            return Err(NumberOrderError);
        }
        let hundreds = i32::from(if negative { ZERO - 1 - head } else { head - ZERO }) - HEAD_BIAS;
        Ok(Some(Self {
            negative,
            hundreds,
            pairs,
            count: u8::try_from(rest.len()).map_err(|_| NumberOrderError)?,
        }))
    }

    fn of(number: &Number) -> Self {
        let mut magnitude = number.coefficient.unsigned_abs();
        let mut pairs = [0; MAX_PAIRS];
        let mut at = MAX_PAIRS;
        let mut push = |pair: u8| {
            at -= 1;
            pairs[at] = pair;
        };
        // From the right. Pairs are aligned at the point, so an odd exponent leaves one digit for the last pair.
        let last = |magnitude: &mut u128, base: u8| {
            let rest = *magnitude % u128::from(base);
            *magnitude /= u128::from(base);
            rest as u8 // below the base
        };
        if number.exponent.rem_euclid(2) == 1 {
            push(last(&mut magnitude, 10) * 10);
        }
        while magnitude > u128::from(u64::MAX) {
            push(last(&mut magnitude, 100));
        }
        // 64-bit arithmetic is many times faster.
        let mut short = magnitude as u64; // just seen to fit
        while short > 0 {
            push((short % 100) as u8);
            short /= 100;
        }
        pairs.copy_within(at.., 0);
        Self {
            negative: number.is_negative(),
            hundreds: (number.point() + 1).div_euclid(2),
            pairs,
            count: (MAX_PAIRS - at) as u8, // at most MAX_PAIRS
        }
    }

    /// The number of these pairs, whose digits but for `dropped` zeros at the end are the magnitude.
    fn number(&self, magnitude: u128, dropped: i64) -> Result<Number, NumberOrderError> {
        let exponent = i64::from(self.hundreds - i32::from(self.count)) * 2 + dropped;
        Number::normal(self.negative, magnitude, exponent).map_err(|_| NumberOrderError)
    }
}
