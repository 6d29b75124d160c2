//! Numbers as decimal text: plain digits, as DynamoDB gives them, however many there are.

use std::fmt;
use std::ops::Deref;

use super::order::Pairs;
use super::{Number, NumberOrderError};

/// The longest text: `-0.`, 167 digits of a fraction; an integer has at most 126 digits.
const MAX_TEXT: usize = 172;

impl Number {
    /// The number's text in DynamoDB's form: plain digits, no zeros that do not count: `-0.5`, `120`. There is never an
    /// exponent: 1E+125 is a one and 125 zeros.
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
    }
    Ok(())
}
