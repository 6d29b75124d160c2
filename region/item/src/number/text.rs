//! Numbers as decimal text: plain digits, as DynamoDB gives them; an exponent only where an integer has more than 38.

use std::fmt;
use std::ops::Deref;

use super::order::Pairs;
use super::{Number, NumberOrderError};

/// The longest text: `-0.`, 167 digits of a fraction; an integer has at most 126 digits.
const MAX_TEXT: usize = 172;

/// The most digits of an integer that is written plainly. The AWS SDK for Python reads numbers in a context of 38 digits
/// and refuses a text that has more, zeros or not: so larger ones get an exponent.
const PLAIN_DIGITS_MAX: usize = 38;

impl Number {
    /// The number's text in DynamoDB's form: plain digits, no zeros that do not count: `-0.5`, `120`; an integer of more
    /// than 38 digits has an exponent: `1E+125`.
    pub fn text(&self) -> NumberText {
        let mut text = NumberText::new();
        // A number's own bytes are always a number's.
        let _ = write_order_bytes_text(&self.order_bytes(), &mut text);
        text
    }
}

impl fmt::Display for Number {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.text())
    }
}

/// A number's text, without an allocation.
#[derive(Clone, Copy, Debug)]
pub struct NumberText {
    text: [u8; MAX_TEXT],
    length: usize,
}

impl NumberText {
    pub(crate) fn new() -> Self {
        Self {
            text: [b'0'; MAX_TEXT],
            length: 0,
        }
    }

    fn push(&mut self, byte: u8) {
        self.text[self.length] = byte;
        self.length += 1;
    }

    /// The buffer starts as zeros and is only ever written where the text goes on.
    fn push_zeros(&mut self, count: usize) {
        self.length += count;
    }

    /// Gives an integer of more than [`PLAIN_DIGITS_MAX`] digits an exponent: `1E+125`, `-1.5E+60`.
    fn shorten(&mut self) {
        let sign = usize::from(self.text[0] == b'-');
        let digits = self.length - sign;
        if digits <= PLAIN_DIGITS_MAX {
            return;
        }
        let zeros = self.text[..self.length]
            .iter()
            .rev()
            .take_while(|digit| **digit == b'0')
            .count();
        let significant = digits - zeros;
        self.length = sign + significant;
        if significant > 1 {
            self.text.copy_within(sign + 1..self.length, sign + 2);
            self.text[sign + 1] = b'.';
            self.length += 1;
        }
        let exponent = digits - 1;
        self.push(b'E');
        self.push(b'+');
        if exponent >= 100 {
            self.push(b'1');
        }
        // Below 126, so two digits are left.
        self.push(b'0' + (exponent / 10 % 10) as u8);
        self.push(b'0' + (exponent % 10) as u8);
    }

    fn push_pair(&mut self, pair: u8) {
        self.push(b'0' + pair / 10);
        self.push(b'0' + pair % 10);
    }
}

impl Deref for NumberText {
    type Target = str;

    fn deref(&self) -> &str {
        // Only ASCII is ever written.
        std::str::from_utf8(&self.text[..self.length]).unwrap_or_default()
    }
}

/// Writes the text of a number's order-preserving bytes, without making a [`Number`] of them: no 128-bit arithmetic.
/// `out` must be new.
pub(crate) fn write_order_bytes_text(bytes: &[u8], out: &mut NumberText) -> Result<(), NumberOrderError> {
    let Some(pairs) = Pairs::read(bytes)? else {
        out.push(b'0');
        return Ok(());
    };
    if pairs.negative {
        out.push(b'-');
    }
    // How many pairs stand before the point.
    let whole = usize::try_from(pairs.hundreds).unwrap_or(0);
    if whole == 0 {
        out.push(b'0');
    }
    for (at, pair) in pairs.iter().enumerate() {
        if at == 0 && whole > 0 {
            if pair >= 10 {
                out.push(b'0' + pair / 10);
            }
            out.push(b'0' + pair % 10);
            continue;
        }
        if at == whole {
            out.push(b'.');
            if at == 0 {
                // Pairs of zeros between the point and the first digit.
                out.push_zeros(2 * usize::try_from(-pairs.hundreds).unwrap_or(0));
            }
        }
        out.push_pair(pair);
    }
    let count = pairs.iter().len();
    if count > whole {
        // A fraction's last zero does not count. (The last pair is not 0, so there is at most one.)
        if out.text[out.length - 1] == b'0' {
            out.length -= 1;
        }
    } else {
        out.push_zeros(2 * (whole - count));
        out.shorten();
    }
    Ok(())
}
