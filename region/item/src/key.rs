//! Key bytes: forms of `S`, `N` and `B` values whose order as bytes is DynamoDB's order of the values.
//!
//! - *order-preserving*: `S` and `B` are their own bytes (DynamoDB sorts strings by their UTF-8 bytes, binary values by
//!   unsigned bytes), `N` is [`Number::order_bytes`](crate::Number::order_bytes).
//! - *final*: the order-preserving bytes as they are; nothing may follow them.
//! - *terminated*: with 0x00 written as 0x00 0xFF, ended by 0x00 0x01. Something may follow: tuples of terminated values
//!   sort as tuples of values.
//!
//! A value's type is not in its bytes: a key attribute has one type.

use std::ops::Deref;

use bytes::Bytes;
use compact_str::CompactString;

use crate::{AttributeType, AttributeValue, Number, NumberBytes};

/// Begins an escape in the terminated form.
const ESCAPE: u8 = 0x00;
/// After [`ESCAPE`]: a byte 0x00 of the value.
const ESCAPED_ZERO: u8 = 0xFF;
/// After [`ESCAPE`]: the end of the value.
const END: u8 = 0x01;

/// Bytes that are not a key's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// No end, or an escape that is none.
    #[error("a key's bytes are cut off or have an unknown escape")]
    Unterminated,
    /// Not UTF-8, or not a number's bytes.
    #[error("not the bytes of a key of this type")]
    Malformed,
    /// Keys are not of this type.
    #[error("keys are not of this type")]
    Type,
}

/// A value's order-preserving bytes, which the partition hash is taken of.
///
/// Only `S`, `N` and `B` values have any; of others there are none, so callers check a key's type first.
pub fn order_bytes(value: &AttributeValue) -> OrderBytes<'_> {
    match value {
        AttributeValue::S(text) => OrderBytes::Borrowed(text.as_bytes()),
        AttributeValue::B(bytes) => OrderBytes::Borrowed(bytes),
        AttributeValue::N(number) => OrderBytes::Number(number.order_bytes()),
        _ => OrderBytes::Borrowed(&[]),
    }
}

/// A value's order-preserving bytes, without an allocation.
#[derive(Clone, Copy, Debug)]
pub enum OrderBytes<'a> {
    /// The value's own bytes.
    Borrowed(&'a [u8]),
    /// A number's.
    Number(NumberBytes),
}

impl Deref for OrderBytes<'_> {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        match self {
            Self::Borrowed(bytes) => bytes,
            Self::Number(bytes) => bytes,
        }
    }
}

/// Appends a value in final form: for the last value of a key.
///
/// Of a value that is not `S`, `N` or `B` nothing is written; callers check a key's type first.
pub fn write_final(out: &mut Vec<u8>, value: &AttributeValue) {
    out.extend_from_slice(&order_bytes(value));
}

/// Appends a value in terminated form: for a value that something follows.
///
/// A value that is not `S`, `N` or `B` is written as if it were empty; callers check a key's type first.
pub fn write_terminated(out: &mut Vec<u8>, value: &AttributeValue) {
    write_terminated_prefix(out, value);
    out.extend([ESCAPE, END]);
}

/// Appends a value in terminated form but for its end: what all values in terminated form begin with that begin with this
/// value. With [`after_prefix`] it bounds a `begins_with` over terminated values, as [`write_final`] does over final ones.
pub fn write_terminated_prefix(out: &mut Vec<u8>, value: &AttributeValue) {
    let bytes = order_bytes(value);
    out.reserve(bytes.len() + 2);
    let mut pieces = bytes.split(|byte| *byte == ESCAPE);
    out.extend_from_slice(pieces.next().unwrap_or_default());
    for piece in pieces {
        out.extend([ESCAPE, ESCAPED_ZERO]);
        out.extend_from_slice(piece);
    }
}

/// The least bytes above all that begin with the prefix; `None` if there are none (the prefix is empty or all 0xFF), so the
/// range has no upper bound.
pub fn after_prefix(prefix: &[u8]) -> Option<Vec<u8>> {
    let last = prefix.iter().rposition(|byte| *byte != 0xFF)?;
    let mut after = prefix[..=last].to_vec();
    after[last] += 1;
    Some(after)
}

/// Reads a value in final form.
pub fn read_final(bytes: &[u8], kind: AttributeType) -> Result<AttributeValue, KeyError> {
    Ok(match kind {
        AttributeType::S => AttributeValue::S(CompactString::from_utf8(bytes).map_err(|_| KeyError::Malformed)?),
        AttributeType::N => AttributeValue::N(Number::from_order_bytes(bytes).map_err(|_| KeyError::Malformed)?),
        AttributeType::B => AttributeValue::B(Bytes::copy_from_slice(bytes)),
        _ => return Err(KeyError::Type),
    })
}

/// Reads a value in terminated form; gives what follows it, too.
pub fn read_terminated(bytes: &[u8], kind: AttributeType) -> Result<(AttributeValue, &[u8]), KeyError> {
    let (first, mut rest) = next_piece(bytes)?;
    let (value, rest) = match rest.split_first().ok_or(KeyError::Unterminated)? {
        // Most have no escapes: nothing to copy.
        (&END, rest) => (read_final(first, kind)?, rest),
        _ => {
            let mut value = first.to_vec();
            loop {
                match rest.split_first() {
                    Some((&END, rest)) => break (read_final(&value, kind)?, rest),
                    Some((&ESCAPED_ZERO, after)) => {
                        let (piece, after) = next_piece(after)?;
                        value.push(0);
                        value.extend_from_slice(piece);
                        rest = after;
                    }
                    _ => return Err(KeyError::Unterminated),
                }
            }
        }
    };
    Ok((value, rest))
}

/// The bytes before the next [`ESCAPE`], and those behind it.
fn next_piece(bytes: &[u8]) -> Result<(&[u8], &[u8]), KeyError> {
    let at = bytes
        .iter()
        .position(|byte| *byte == ESCAPE)
        .ok_or(KeyError::Unterminated)?;
    Ok((&bytes[..at], &bytes[at + 1..]))
}
