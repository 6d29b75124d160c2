//! Reading stored items: the cursor, and items from it.

use bytes::Bytes;
use compact_str::CompactString;

use super::{CodecError, MAX_STORED_NESTING, VERSION, tag};
use crate::{AttributeValue, Item, Name, Number, Set};

/// The most attributes that room is made for before they are read.
const MAX_RESERVED: usize = 32;

/// Reads an item's stored form.
pub fn decode(bytes: &[u8]) -> Result<Item, CodecError> {
    let (mut cursor, count) = Cursor::of_item(bytes)?;
    let mut attributes = Vec::with_capacity(count.min(MAX_RESERVED));
    for _ in 0..count {
        attributes.push(read_attribute(&mut cursor, MAX_STORED_NESTING)?);
    }
    cursor.end()?;
    Item::from_sorted(attributes).ok_or(CodecError::Value)
}

/// Reads only the top-level attributes of these names; the others' values are passed over, unread.
pub fn decode_attributes<N: AsRef<str>>(bytes: &[u8], names: &[N]) -> Result<Item, CodecError> {
    let (mut cursor, count) = Cursor::of_item(bytes)?;
    let mut attributes = Vec::with_capacity(count.min(names.len()));
    for _ in 0..count {
        let name = cursor.text()?;
        if names.iter().any(|wanted| wanted.as_ref() == name) {
            attributes.push((Name::new(name), read_value(&mut cursor, MAX_STORED_NESTING)?));
        } else {
            cursor.skip_value()?;
        }
    }
    cursor.end()?;
    Item::from_sorted(attributes).ok_or(CodecError::Value)
}

fn read_attribute(cursor: &mut Cursor<'_>, levels: usize) -> Result<(Name, AttributeValue), CodecError> {
    Ok((Name::new(cursor.text()?), read_value(cursor, levels)?))
}

/// Reads a value that may nest so many levels deep.
fn read_value(cursor: &mut Cursor<'_>, levels: usize) -> Result<AttributeValue, CodecError> {
    let levels = levels.checked_sub(1).ok_or(CodecError::Depth)?;
    Ok(match cursor.byte()? {
        tag::S => AttributeValue::S(CompactString::new(cursor.text()?)),
        tag::N => AttributeValue::N(cursor.number()?),
        tag::B => AttributeValue::B(Bytes::copy_from_slice(cursor.bytes()?)),
        tag::FALSE => AttributeValue::Bool(false),
        tag::TRUE => AttributeValue::Bool(true),
        tag::NULL => AttributeValue::Null,
        tag::M => {
            let attributes = cursor.container()?.all(|content| read_attribute(content, levels))?;
            AttributeValue::M(Item::from_sorted(attributes).ok_or(CodecError::Value)?)
        }
        tag::L => AttributeValue::L(cursor.container()?.all(|content| read_value(content, levels))?),
        tag::SS => AttributeValue::Ss(
            cursor
                .container()?
                .set(|content| content.text().map(CompactString::new))?,
        ),
        tag::NS => AttributeValue::Ns(cursor.container()?.set(Cursor::number)?),
        tag::BS => AttributeValue::Bs(
            cursor
                .container()?
                .set(|content| content.bytes().map(Bytes::copy_from_slice))?,
        ),
        _ => return Err(CodecError::Tag),
    })
}

/// What is not read yet of stored bytes.
#[derive(Clone, Copy)]
pub(super) struct Cursor<'a>(&'a [u8]);

impl<'a> Cursor<'a> {
    /// At an item's first attribute; gives the count of attributes, too.
    pub(super) fn of_item(bytes: &'a [u8]) -> Result<(Self, usize), CodecError> {
        let mut cursor = Self(bytes);
        if cursor.byte()? != VERSION {
            return Err(CodecError::Version);
        }
        let count = cursor.length()?;
        Ok((cursor, count))
    }

    pub(super) fn byte(&mut self) -> Result<u8, CodecError> {
        let (byte, rest) = self.0.split_first().ok_or(CodecError::Length)?;
        self.0 = rest;
        Ok(*byte)
    }

    /// Bytes with their length before them.
    pub(super) fn bytes(&mut self) -> Result<&'a [u8], CodecError> {
        let length = self.length()?;
        self.take(length)
    }

    pub(super) fn text(&mut self) -> Result<&'a str, CodecError> {
        std::str::from_utf8(self.bytes()?).map_err(|_| CodecError::Value)
    }

    /// The cursor of a container's content, which is passed over.
    pub(super) fn container(&mut self) -> Result<Self, CodecError> {
        let (length, rest) = self.0.split_first_chunk::<4>().ok_or(CodecError::Length)?;
        self.0 = rest;
        let length = usize::try_from(u32::from_le_bytes(*length)).map_err(|_| CodecError::Length)?;
        self.take(length).map(Self)
    }

    pub(super) fn is_at_end(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn end(&self) -> Result<(), CodecError> {
        if self.0.is_empty() {
            Ok(())
        } else {
            Err(CodecError::Length)
        }
    }

    fn number(&mut self) -> Result<Number, CodecError> {
        Number::from_order_bytes(self.bytes()?).map_err(|_| CodecError::Value)
    }

    fn skip_value(&mut self) -> Result<(), CodecError> {
        match self.byte()? {
            tag::S | tag::N | tag::B => self.bytes().map(drop),
            tag::FALSE | tag::TRUE | tag::NULL => Ok(()),
            tag::M | tag::L | tag::SS | tag::NS | tag::BS => self.container().map(drop),
            _ => Err(CodecError::Tag),
        }
    }

    fn all<T>(mut self, mut read: impl FnMut(&mut Self) -> Result<T, CodecError>) -> Result<Vec<T>, CodecError> {
        let mut all = Vec::new();
        while !self.is_at_end() {
            all.push(read(&mut self)?);
        }
        Ok(all)
    }

    fn set<T: Ord>(self, read: impl FnMut(&mut Self) -> Result<T, CodecError>) -> Result<Set<T>, CodecError> {
        Set::from_sorted(self.all(read)?).ok_or(CodecError::Value)
    }

    fn length(&mut self) -> Result<usize, CodecError> {
        let mut length = 0u64;
        for shift in [0, 7, 14, 21, 28] {
            let byte = self.byte()?;
            length |= u64::from(byte & 0x7F) << shift;
            if byte < 0x80 {
                // A last byte of zero is a longer form than need be.
                if byte == 0 && shift > 0 {
                    break;
                }
                return usize::try_from(length).map_err(|_| CodecError::Length);
            }
        }
        Err(CodecError::Length)
    }

    fn take(&mut self, length: usize) -> Result<&'a [u8], CodecError> {
        let (taken, rest) = self.0.split_at_checked(length).ok_or(CodecError::Length)?;
        self.0 = rest;
        Ok(taken)
    }
}
