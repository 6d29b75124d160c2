//! Reading attribute values.

use std::borrow::Cow;
use std::fmt::Display;

use bytes::Bytes;
use compact_str::CompactString;
use geodynamo_json::{Kind, Reader, decode_base64};

use super::shape::{Target, expected, read_string, shape};
use super::{EMPTY_NAME, NAME_TOO_LARGE, SerializationError, ValidationText, Wire, text};
use crate::{AttributeType, AttributeValue, Item, MAX_NAME, MAX_NESTING, Name, Number, NumberError, Set};

/// Reads one attribute value, `{"S": "…"}`. `null` counts as a value without a type.
///
/// It may nest [`MAX_NESTING`] levels; what is deeper is passed over, and refused with a validation text.
pub fn read_value(reader: &mut Reader<'_>) -> Wire<AttributeValue> {
    read_nested(reader, MAX_NESTING)
}

/// Reads a map of attribute values, `{"name": {"S": "…"}}`: an item or a key. Of several values of one name the last stays.
/// An attribute without a name is refused.
pub fn read_item(reader: &mut Reader<'_>) -> Wire<Item> {
    Ok(match read_map(reader, MAX_NESTING)? {
        Ok(item) if item.contains("") => Err(EMPTY_NAME.into()),
        read => read,
    })
}

/// Reads a value that may nest so many levels deep.
fn read_nested(reader: &mut Reader<'_>, levels: usize) -> Wire<AttributeValue> {
    let Some(inner) = levels.checked_sub(1) else {
        reader.skip_value()?;
        return Ok(Err(text::NESTING.into()));
    };
    if read_null(reader)? {
        return Ok(Err(text::EMPTY.into()));
    }
    expected(reader, Target::Value, Reader::begin_object)?;
    let mut found: Option<(AttributeType, Result<AttributeValue, ValidationText>)> = None;
    let (mut several, mut bad_number) = (false, None);
    while let Some(key) = reader.next_key()? {
        // Members that the model does not know are passed over; null is as if the member were not there.
        let Some(kind) = AttributeType::from_code(&key) else {
            reader.skip_value()?;
            continue;
        };
        if read_null(reader)? {
            continue;
        }
        let value = read_content(reader, kind, inner)?;
        several |= found.as_ref().is_some_and(|(other, _)| *other != kind);
        if let (AttributeType::N | AttributeType::Ns, Err(refusal)) = (kind, &value) {
            bad_number = Some(refusal.clone());
        }
        found = Some((kind, value));
    }
    Ok(match found {
        // DynamoDB parses numbers before it counts the types.
        _ if several => Err(bad_number.unwrap_or(text::SEVERAL.into())),
        Some((_, value)) => value,
        None => Err(text::EMPTY.into()),
    })
}

fn read_content(reader: &mut Reader<'_>, kind: AttributeType, inner: usize) -> Wire<AttributeValue> {
    Ok(match kind {
        AttributeType::S => Ok(AttributeValue::S(CompactString::from(read_string(reader)?))),
        AttributeType::N => number(&read_string(reader)?).map(AttributeValue::N),
        AttributeType::B => Ok(AttributeValue::B(read_binary(reader)?)),
        AttributeType::Bool => Ok(AttributeValue::Bool(expected(reader, Target::Boolean, Reader::bool)?)),
        AttributeType::Null => {
            if expected(reader, Target::Boolean, Reader::bool)? {
                Ok(AttributeValue::Null)
            } else {
                Err(text::NULL.into())
            }
        }
        AttributeType::M => read_map(reader, inner)?.map(AttributeValue::M),
        AttributeType::L => read_list(reader, |reader| read_nested(reader, inner))?.map(AttributeValue::L),
        AttributeType::Ss => read_members(reader, |reader| Ok(Ok(CompactString::from(read_string(reader)?))))?
            .and_then(|members| {
                let twice = || duplicates(&members, |member| member, "");
                set(&members, text::EMPTY_SS, twice).map(AttributeValue::Ss)
            }),
        AttributeType::Ns => read_members(reader, |reader| Ok(number(&read_string(reader)?)))?.and_then(|members| {
            set(&members, text::EMPTY_NS, || text::DUPLICATE_NUMBERS.into()).map(AttributeValue::Ns)
        }),
        AttributeType::Bs => read_members(reader, |reader| Ok(Ok(read_binary(reader)?)))?.and_then(|members| {
            let twice = || duplicates(&members, |member| base64(member), "of type BS");
            set(&members, text::EMPTY_BS, twice).map(AttributeValue::Bs)
        }),
    })
}

fn read_map(reader: &mut Reader<'_>, levels: usize) -> Wire<Item> {
    expected(reader, Target::Map, Reader::begin_object)?;
    let mut attributes = Ok(Vec::new());
    while let Some(name) = reader.next_key()? {
        let name = Name::from(name);
        let mut value = read_nested(reader, levels)?;
        if name.len() > MAX_NAME {
            value = Err(NAME_TOO_LARGE.into());
        }
        keep(&mut attributes, value.map(|value| (name, value)));
    }
    Ok(attributes.map(Item::from_iter))
}

/// Reads all of a list; the first that is refused stands for the list.
fn read_list<'a, T>(reader: &mut Reader<'a>, mut read: impl FnMut(&mut Reader<'a>) -> Wire<T>) -> Wire<Vec<T>> {
    expected(reader, Target::List, Reader::begin_array)?;
    let mut values = Ok(Vec::new());
    while reader.next_element()? {
        let value = read(reader)?;
        keep(&mut values, value);
    }
    Ok(values)
}

/// Reads a set's members.
fn read_members<'a, T>(reader: &mut Reader<'a>, mut read: impl FnMut(&mut Reader<'a>) -> Wire<T>) -> Wire<Vec<T>> {
    read_list(reader, |reader| {
        if read_null(reader)? {
            Ok(Err(text::NULL_IN_SET.into()))
        } else {
            read(reader)
        }
    })
}

/// Adds a value, unless one was refused before; then there is no more to keep.
fn keep<T>(values: &mut Result<Vec<T>, ValidationText>, value: Result<T, ValidationText>) {
    match (values.as_mut(), value) {
        (Ok(values), Ok(value)) => values.push(value),
        (Ok(_), Err(refusal)) => *values = Err(refusal),
        (Err(_), _) => (),
    }
}

fn set<T: Ord + Clone>(
    members: &[T],
    empty: &'static str,
    twice: impl FnOnce() -> ValidationText,
) -> Result<Set<T>, ValidationText> {
    if members.is_empty() {
        return Err(empty.into());
    }
    Set::new(members.to_vec()).ok_or_else(twice)
}

/// The refusal of a set that has a member twice, which lists all of them; of binary sets it tells the type.
fn duplicates<'a, T, D: Display>(members: &'a [T], show: impl Fn(&'a T) -> D, of_type: &str) -> ValidationText {
    let mut list = String::new();
    for member in members {
        if !list.is_empty() {
            list.push_str(", ");
        }
        list.push_str(&show(member).to_string());
    }
    format!("One or more parameter values were invalid: Input collection [{list}]{of_type} contains duplicates.").into()
}

fn number(number: &str) -> Result<Number, ValidationText> {
    Number::parse(number).map_err(|error| match error {
        NumberError::Malformed if !number.is_empty() => format!("{error}: {number}").into(),
        _ => error.to_string().into(),
    })
}

fn read_binary(reader: &mut Reader<'_>) -> Result<Bytes, SerializationError> {
    let text = expected(reader, Target::Blob, Reader::string)?;
    match decode_base64(&text) {
        Ok(bytes) => Ok(bytes.into()),
        Err(_) => Err(not_base64(&text)),
    }
}

fn not_base64(text: &str) -> SerializationError {
    let is_base64 = |byte: &u8| byte.is_ascii_alphanumeric() || b"+/=".contains(byte);
    if !text.len().is_multiple_of(4) {
        let text = format!(
            "Base64 encoded length is expected a multiple of 4 bytes but found: {}",
            text.len()
        );
        return SerializationError::Shape(Cow::Owned(text));
    }
    match text
        .chars()
        .find(|char| !u8::try_from(*char).is_ok_and(|byte| is_base64(&byte)))
    {
        Some(char) => SerializationError::Shape(Cow::Owned(format!("Invalid Base64 character: '{char}'"))),
        None => shape("Invalid last non-pad Base64 character dectected"),
    }
}

fn read_null(reader: &mut Reader<'_>) -> Result<bool, SerializationError> {
    let null = reader.peek()? == Kind::Null;
    if null {
        reader.null()?;
    }
    Ok(null)
}

fn base64(bytes: &[u8]) -> String {
    let mut writer = geodynamo_json::Writer::new();
    writer.base64(bytes);
    String::from_utf8_lossy(writer.as_bytes()).trim_matches('"').to_owned()
}
