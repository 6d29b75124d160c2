//! Amazon Ion as text: a line of `{Item: {…}}` for each item.
//!
//! Types, by the developer guide: N is a decimal (or an int), B a blob, BOOL, NULL, S a string (or a symbol); L a list, M a
//! struct; sets are lists with the annotations `$dynamodb_SS`, `$dynamodb_NS`, `$dynamodb_BS`.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use bytes::Bytes;
use geodynamo_item::{AttributeValue, Item, MAX_NESTING, Number, Set};
use ion_rs::{Element, IonType, Sequence, Struct, Symbol};

use crate::{ItemError, Put, PutCondition, ion_brackets::Brackets};

/// What an Ion text may begin with.
pub(crate) const VERSION: &str = "$ion_1_0";
/// How deep a line's brackets may nest: an item's values, the item, and the struct around it, with room for a set.
const DEPTH_MAX: usize = MAX_NESTING + 4;

pub(crate) const STRING_SET: &str = "$dynamodb_SS";
pub(crate) const NUMBER_SET: &str = "$dynamodb_NS";
pub(crate) const BINARY_SET: &str = "$dynamodb_BS";

/// Reads a line.
pub(crate) fn read(line: &str) -> Result<Item, ItemError> {
    item(&parsed(line)?)
}

/// Reads a struct of a bulk operation.
pub(crate) fn read_put(text: &str) -> Result<Put, ItemError> {
    let element = parsed(text)?;
    let members = element.as_struct();
    let member = |name: &str| members.and_then(|members| members.get(name));
    let structure = |name: &'static str| {
        let fields = |element: &Element| element.as_struct().cloned().ok_or_else(|| not(name, "a struct"));
        member(name).map(fields).transpose()
    };
    let text = |name: &str, element: &Element| {
        element
            .as_text()
            .map(str::to_owned)
            .ok_or_else(|| not(name, "a string"))
    };
    let expression = member("ConditionExpression").map(|element| text("ConditionExpression", element));
    let names = structure("ExpressionAttributeNames")?.map(|fields| {
        let name = |(key, element)| Ok((named(key)?.to_owned(), text("ExpressionAttributeNames", element)?));
        fields.fields().map(name).collect::<Result<_, ItemError>>()
    });
    let values = structure("ExpressionAttributeValues")?;
    Ok(Put {
        item: item(&element)?,
        condition: PutCondition {
            expression: expression.transpose()?,
            names: names.transpose()?,
            values: values.as_ref().map(map).transpose()?,
        },
    })
}

fn parsed(text: &str) -> Result<Element, ItemError> {
    // The parser recurses, so how deep is found out first.
    if Brackets::of(text).deepest() > DEPTH_MAX {
        return Err(ItemError(format!("Values nest more than {MAX_NESTING} levels")));
    }
    Element::read_one(text).map_err(|error| ItemError(format!("The line is not Ion: {error}")))
}

fn item(element: &Element) -> Result<Item, ItemError> {
    let members = element
        .as_struct()
        .ok_or_else(|| ItemError("The line is not an Ion struct".into()))?;
    let item = members.get("Item").and_then(Element::as_struct);
    map(item.ok_or_else(|| ItemError("The line has no field Item that is a struct".into()))?)
}

fn not(name: &str, what: &str) -> ItemError {
    ItemError(format!("The field {name} is not {what}"))
}

fn named(symbol: &Symbol) -> Result<&str, ItemError> {
    symbol.text().ok_or_else(|| ItemError("A field has no name".into()))
}

fn map(members: &Struct) -> Result<Item, ItemError> {
    members
        .fields()
        .map(|(name, element)| Ok((named(name)?.into(), value(element)?)))
        .collect()
}

fn value(element: &Element) -> Result<AttributeValue, ItemError> {
    let refuse = || ItemError(format!("Ion's type {} has no DynamoDB type", element.ion_type()));
    if element.is_null() {
        return Ok(AttributeValue::Null);
    }
    Ok(match element.ion_type() {
        IonType::Bool => AttributeValue::Bool(element.as_bool().ok_or_else(refuse)?),
        IonType::Int | IonType::Decimal => AttributeValue::N(number(element)?),
        IonType::String | IonType::Symbol => AttributeValue::S(element.as_text().ok_or_else(refuse)?.into()),
        IonType::Blob => AttributeValue::B(Bytes::copy_from_slice(element.as_blob().ok_or_else(refuse)?)),
        IonType::Struct => AttributeValue::M(map(element.as_struct().ok_or_else(refuse)?)?),
        IonType::List => list(element, element.as_list().ok_or_else(refuse)?)?,
        _ => return Err(refuse()),
    })
}

fn list(element: &Element, elements: &Sequence) -> Result<AttributeValue, ItemError> {
    let annotations = element.annotations();
    let empty =
        || ItemError("One or more parameter values were invalid: a set may not be empty or have duplicates".into());
    if annotations.contains(STRING_SET) {
        let values = elements.iter().map(|element| match value(element)? {
            AttributeValue::S(text) => Ok(text),
            other => Err(not_in_set(&other)),
        });
        return Ok(AttributeValue::Ss(
            Set::new(values.collect::<Result<_, _>>()?).ok_or_else(empty)?,
        ));
    }
    if annotations.contains(NUMBER_SET) {
        let values = elements.iter().map(number);
        return Ok(AttributeValue::Ns(
            Set::new(values.collect::<Result<_, _>>()?).ok_or_else(empty)?,
        ));
    }
    if annotations.contains(BINARY_SET) {
        let values = elements.iter().map(|element| match value(element)? {
            AttributeValue::B(bytes) => Ok(bytes),
            other => Err(not_in_set(&other)),
        });
        return Ok(AttributeValue::Bs(
            Set::new(values.collect::<Result<_, _>>()?).ok_or_else(empty)?,
        ));
    }
    elements
        .iter()
        .map(value)
        .collect::<Result<_, _>>()
        .map(AttributeValue::L)
}

fn not_in_set(value: &AttributeValue) -> ItemError {
    ItemError(format!("A set has a member of type {}", value.kind()))
}

fn number(element: &Element) -> Result<Number, ItemError> {
    let text = match element.ion_type() {
        IonType::Int => element.as_int().map(ToString::to_string),
        // Ion writes `d` where numbers elsewhere have `e`, and a point at the end of whole ones.
        IonType::Decimal => element
            .as_decimal()
            .map(|decimal| decimal.to_string().replace(['d', 'D'], "e"))
            .map(|text| text.trim_end_matches('.').replace(".e", "e")),
        _ => None,
    };
    let text =
        text.ok_or_else(|| ItemError(format!("Ion's type {} is no number of DynamoDB's", element.ion_type())))?;
    Number::parse(&text).map_err(|error| ItemError(error.to_string()))
}

/// Writes an item as an Ion struct.
pub(crate) fn write_item(item: &Item, out: &mut String) {
    out.push('{');
    for (place, (name, value)) in item.iter().enumerate() {
        if place > 0 {
            out.push(',');
        }
        write_text(name, out);
        out.push(':');
        write_value(value, out);
    }
    out.push('}');
}

fn write_value(value: &AttributeValue, out: &mut String) {
    match value {
        AttributeValue::S(text) => write_text(text, out),
        AttributeValue::N(number) => write_number(number, out),
        AttributeValue::B(bytes) => write_blob(bytes, out),
        AttributeValue::Bool(value) => out.push_str(if *value { "true" } else { "false" }),
        AttributeValue::Null => out.push_str("null"),
        AttributeValue::M(map) => write_item(map, out),
        AttributeValue::L(list) => write_list("", list, write_value, out),
        AttributeValue::Ss(set) => write_list(STRING_SET, set.as_slice(), |text, out| write_text(text, out), out),
        AttributeValue::Ns(set) => write_list(NUMBER_SET, set.as_slice(), write_number, out),
        AttributeValue::Bs(set) => write_list(BINARY_SET, set.as_slice(), |bytes, out| write_blob(bytes, out), out),
    }
}

fn write_list<T>(annotation: &str, values: &[T], write: impl Fn(&T, &mut String), out: &mut String) {
    if !annotation.is_empty() {
        out.push_str(annotation);
        out.push_str("::");
    }
    out.push('[');
    for (place, value) in values.iter().enumerate() {
        if place > 0 {
            out.push(',');
        }
        write(value, out);
    }
    out.push(']');
}

fn write_number(number: &Number, out: &mut String) {
    let text = number.to_string().replace(['e', 'E'], "d").replace("d+", "d");
    out.push_str(&text);
    // Without a point or an exponent it would be an int.
    if !text.contains(['.', 'd']) {
        out.push('.');
    }
}

fn write_blob(bytes: &[u8], out: &mut String) {
    out.push_str("{{");
    out.push_str(&STANDARD.encode(bytes));
    out.push_str("}}");
}

/// Writes a string. JSON's escapes are Ion's, too, but for characters outside the basic plane, which stay as they are.
pub(crate) fn write_text(text: &str, out: &mut String) {
    out.push('"');
    for character in text.chars() {
        match character {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            // Control characters, and what some readers take for the end of a line.
            control if control.is_control() || matches!(control, '\u{2028}' | '\u{2029}') => {
                out.push_str(&format!("\\u{:04x}", u32::from(control)));
            }
            other => out.push(other),
        }
    }
    out.push('"');
}
