//! Types of values, as operators see them.

use geodynamo_item::{AttributeType, AttributeValue};

/// The value's type.
pub(crate) fn kind_of(value: &AttributeValue) -> AttributeType {
    match value {
        AttributeValue::S(_) => AttributeType::S,
        AttributeValue::N(_) => AttributeType::N,
        AttributeValue::B(_) => AttributeType::B,
        AttributeValue::Bool(_) => AttributeType::Bool,
        AttributeValue::Null => AttributeType::Null,
        AttributeValue::M(_) => AttributeType::M,
        AttributeValue::L(_) => AttributeType::L,
        AttributeValue::Ss(_) => AttributeType::Ss,
        AttributeValue::Ns(_) => AttributeType::Ns,
        AttributeValue::Bs(_) => AttributeType::Bs,
    }
}

/// The type of this name: `S`, `BOOL`, …
pub(crate) fn kind_named(name: &str) -> Option<AttributeType> {
    Some(match name {
        "S" => AttributeType::S,
        "N" => AttributeType::N,
        "B" => AttributeType::B,
        "BOOL" => AttributeType::Bool,
        "NULL" => AttributeType::Null,
        "M" => AttributeType::M,
        "L" => AttributeType::L,
        "SS" => AttributeType::Ss,
        "NS" => AttributeType::Ns,
        "BS" => AttributeType::Bs,
        _ => return None,
    })
}
