//! The stored form of items: compact bytes that can be sized, picked from and turned into DynamoDB JSON without building an
//! [`Item`].
//!
//! Version 1, which every item begins with: byte 1, the count of attributes as a varint, then the attributes in the order
//! of their names, each name once:
//! - an attribute: its name's length as a varint, the name, its value
//! - a value: a tag byte, then its content by the tag, as the constants in the module `tag` say
//! - a varint: seven bits a byte, the lowest first, the high bit set on all but the last; at most five bytes, never longer
//!   than need be.
//!
//! One item has one form: equal items have equal bytes. `tests/golden` holds it still. Reading refuses whatever does not
//! follow this, never panics, and allocates no more than in proportion to the bytes it is given.

mod read;
mod transcode;

pub use read::{decode, decode_attributes};
pub use transcode::{size, write_json};

use crate::{AttributeValue, Item};

/// The version that is written.
const VERSION: u8 = 1;

/// How deeply stored values may nest: DynamoDB's 32 levels with room to spare, so that an item which was stored can always
/// be read, and bytes that nest without end cannot exhaust the stack.
pub const MAX_STORED_NESTING: usize = 4 * crate::MAX_NESTING;

/// What stands before a value, and what its content then is.
mod tag {
    /// A string: its length as a varint, its UTF-8.
    pub(super) const S: u8 = 1;
    /// A number: its length as a byte, its order-preserving bytes.
    pub(super) const N: u8 = 2;
    /// Binary: its length as a varint, its bytes.
    pub(super) const B: u8 = 3;
    /// False: nothing.
    pub(super) const FALSE: u8 = 4;
    /// True: nothing.
    pub(super) const TRUE: u8 = 5;
    /// Null: nothing.
    pub(super) const NULL: u8 = 6;
    /// A map: the length of the rest in bytes (4, little-endian), then attributes as in an item.
    pub(super) const M: u8 = 7;
    /// A list: the length of the rest in bytes (4, little-endian), then values.
    pub(super) const L: u8 = 8;
    /// A string set: the length of the rest in bytes (4, little-endian), then strings in their order, each as in [`S`].
    pub(super) const SS: u8 = 9;
    /// A number set: the length of the rest in bytes (4, little-endian), then numbers in their order, each as in [`N`].
    pub(super) const NS: u8 = 10;
    /// A binary set: the length of the rest in bytes (4, little-endian), then values in their order, each as in [`B`].
    pub(super) const BS: u8 = 11;
}

/// Bytes that are not an item's stored form.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CodecError {
    /// The bytes end too early, go on too long, or a length does not fit what it holds.
    #[error("a stored item's lengths do not fit its bytes")]
    Length,
    /// Of a later version, or none.
    #[error("a stored item of an unknown version")]
    Version,
    /// An unknown tag.
    #[error("an unknown kind of value in a stored item")]
    Tag,
    /// Not UTF-8, not a number, or values or names out of order.
    #[error("a malformed value in a stored item")]
    Value,
    /// Nested deeper than [`MAX_STORED_NESTING`].
    #[error("a stored item nests too deeply")]
    Depth,
}

/// Appends an item's stored form. Its values must nest within [`MAX_STORED_NESTING`], as all do that were read from
/// DynamoDB JSON or put together within DynamoDB's limits ([`AttributeValue::nests_within`]); others could not be read
/// again.
pub fn encode(item: &Item, out: &mut Vec<u8>) {
    out.push(VERSION);
    write_varint(item.len(), out);
    write_attributes(item, out);
}

fn write_attributes(item: &Item, out: &mut Vec<u8>) {
    for (name, value) in item {
        write_bytes(name.as_bytes(), out);
        write_value(value, out);
    }
}

fn write_value(value: &AttributeValue, out: &mut Vec<u8>) {
    match value {
        AttributeValue::S(text) => {
            out.push(tag::S);
            write_bytes(text.as_bytes(), out);
        }
        AttributeValue::N(number) => {
            out.push(tag::N);
            write_bytes(&number.order_bytes(), out);
        }
        AttributeValue::B(bytes) => {
            out.push(tag::B);
            write_bytes(bytes, out);
        }
        AttributeValue::Bool(false) => out.push(tag::FALSE),
        AttributeValue::Bool(true) => out.push(tag::TRUE),
        AttributeValue::Null => out.push(tag::NULL),
        AttributeValue::M(map) => write_container(tag::M, out, |out| write_attributes(map, out)),
        AttributeValue::L(list) => {
            write_container(tag::L, out, |out| list.iter().for_each(|value| write_value(value, out)));
        }
        AttributeValue::Ss(set) => {
            write_container(tag::SS, out, |out| {
                set.iter().for_each(|text| write_bytes(text.as_bytes(), out))
            });
        }
        AttributeValue::Ns(set) => {
            write_container(tag::NS, out, |out| {
                set.iter().for_each(|number| write_bytes(&number.order_bytes(), out))
            });
        }
        AttributeValue::Bs(set) => {
            write_container(tag::BS, out, |out| set.iter().for_each(|bytes| write_bytes(bytes, out)));
        }
    }
}

/// Writes a container, its length once it is known.
fn write_container(tag: u8, out: &mut Vec<u8>, content: impl FnOnce(&mut Vec<u8>)) {
    out.push(tag);
    let at = out.len();
    out.extend([0; 4]);
    content(out);
    let length = stored_length(out.len() - at - 4);
    out[at..at + 4].copy_from_slice(&length.to_le_bytes());
}

fn write_bytes(bytes: &[u8], out: &mut Vec<u8>) {
    write_varint(bytes.len(), out);
    out.extend_from_slice(bytes);
}

fn write_varint(length: usize, out: &mut Vec<u8>) {
    let mut rest = stored_length(length);
    while rest >= 0x80 {
        out.push(rest as u8 | 0x80); // the low seven bits
        rest >>= 7;
    }
    out.push(rest as u8); // below 0x80
}

/// A length as it is stored. Items are at most 400 KB, requests 16 MB: no length is near 4 GB. (If one were, it would be
/// stored as 4 GB, which reading refuses.)
fn stored_length(length: usize) -> u32 {
    u32::try_from(length).unwrap_or(u32::MAX)
}
