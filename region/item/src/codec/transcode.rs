//! From stored bytes straight to DynamoDB JSON, or to a size: no item is built, nothing is allocated.

use geodynamo_json::Writer;

use super::read::Cursor;
use super::{CodecError, MAX_STORED_NESTING, tag};
use crate::number::write_order_bytes_text;
use crate::{AttributeType, NumberText, size};

/// Writes a stored item as one JSON object in DynamoDB's form, `{"attr":{"S":"…"}}`. On an error the writer holds part of
/// an object, and its text is of no use.
///
/// Checks all that keeps the JSON well-formed; what only [`decode`](super::decode) checks is the order of names and values.
pub fn write_json(bytes: &[u8], writer: &mut Writer) -> Result<(), CodecError> {
    let (mut cursor, count) = Cursor::of_item(bytes)?;
    writer.begin_object();
    for _ in 0..count {
        write_attribute(&mut cursor, writer, MAX_STORED_NESTING)?;
    }
    writer.end_object();
    cursor.end()
}

/// The size of a stored item in bytes as DynamoDB counts it: [`size::item`](crate::size::item) of the item.
pub fn size(bytes: &[u8]) -> Result<usize, CodecError> {
    let (mut cursor, count) = Cursor::of_item(bytes)?;
    let mut size = 0;
    for _ in 0..count {
        size += cursor.bytes()?.len() + size_of_value(&mut cursor, MAX_STORED_NESTING)?;
    }
    cursor.end()?;
    Ok(size)
}

fn write_attribute(cursor: &mut Cursor<'_>, writer: &mut Writer, levels: usize) -> Result<(), CodecError> {
    writer.key(cursor.text()?);
    write_value(cursor, writer, levels)
}

fn write_value(cursor: &mut Cursor<'_>, writer: &mut Writer, levels: usize) -> Result<(), CodecError> {
    let levels = levels.checked_sub(1).ok_or(CodecError::Depth)?;
    let tag = cursor.byte()?;
    writer.begin_object();
    writer.plain_key(kind_of(tag)?.code());
    match tag {
        tag::S => writer.string(cursor.text()?),
        tag::N => write_number(cursor, writer)?,
        tag::B => writer.base64(cursor.bytes()?),
        tag::FALSE => writer.bool(false),
        tag::M => {
            let mut content = cursor.container()?;
            writer.begin_object();
            while !content.is_at_end() {
                write_attribute(&mut content, writer, levels)?;
            }
            writer.end_object();
        }
        tag::L => write_all(cursor, writer, |content, writer| write_value(content, writer, levels))?,
        tag::SS => write_all(cursor, writer, |content, writer| {
            writer.string(content.text()?);
            Ok(())
        })?,
        tag::NS => write_all(cursor, writer, write_number)?,
        tag::BS => write_all(cursor, writer, |content, writer| {
            writer.base64(content.bytes()?);
            Ok(())
        })?,
        // TRUE and NULL, the tags left; NULL's value in JSON is true.
        _ => writer.bool(true),
    }
    writer.end_object();
    Ok(())
}

fn write_number(cursor: &mut Cursor<'_>, writer: &mut Writer) -> Result<(), CodecError> {
    let mut text = NumberText::new();
    write_order_bytes_text(cursor.bytes()?, &mut text).map_err(|_| CodecError::Value)?;
    writer.plain_string(&text);
    Ok(())
}

fn write_all(
    cursor: &mut Cursor<'_>,
    writer: &mut Writer,
    mut write: impl FnMut(&mut Cursor<'_>, &mut Writer) -> Result<(), CodecError>,
) -> Result<(), CodecError> {
    let mut content = cursor.container()?;
    writer.begin_array();
    while !content.is_at_end() {
        write(&mut content, writer)?;
    }
    writer.end_array();
    Ok(())
}

fn size_of_value(cursor: &mut Cursor<'_>, levels: usize) -> Result<usize, CodecError> {
    let levels = levels.checked_sub(1).ok_or(CodecError::Depth)?;
    Ok(match cursor.byte()? {
        tag::S | tag::B => cursor.bytes()?.len(),
        tag::N => size::number_of_length(cursor.bytes()?.len()),
        tag::FALSE | tag::TRUE | tag::NULL => 1,
        tag::M => {
            let elements = sum(cursor, |content| {
                Ok(size::ELEMENT + content.bytes()?.len() + size_of_value(content, levels)?)
            })?;
            size::CONTAINER + elements
        }
        tag::L => size::CONTAINER + sum(cursor, |content| Ok(size::ELEMENT + size_of_value(content, levels)?))?,
        tag::SS | tag::BS => sum(cursor, |content| Ok(content.bytes()?.len()))?,
        tag::NS => sum(cursor, |content| Ok(size::number_of_length(content.bytes()?.len())))?,
        _ => return Err(CodecError::Tag),
    })
}

fn sum(
    cursor: &mut Cursor<'_>,
    mut element: impl FnMut(&mut Cursor<'_>) -> Result<usize, CodecError>,
) -> Result<usize, CodecError> {
    let mut content = cursor.container()?;
    let mut total = 0;
    while !content.is_at_end() {
        total += element(&mut content)?;
    }
    Ok(total)
}

fn kind_of(tag: u8) -> Result<AttributeType, CodecError> {
    Ok(match tag {
        tag::S => AttributeType::S,
        tag::N => AttributeType::N,
        tag::B => AttributeType::B,
        tag::FALSE | tag::TRUE => AttributeType::Bool,
        tag::NULL => AttributeType::Null,
        tag::M => AttributeType::M,
        tag::L => AttributeType::L,
        tag::SS => AttributeType::Ss,
        tag::NS => AttributeType::Ns,
        tag::BS => AttributeType::Bs,
        _ => return Err(CodecError::Tag),
    })
}
