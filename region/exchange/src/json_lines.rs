//! DynamoDB JSON: a line of `{"Item": {…}}` for each item.

use std::{collections::BTreeMap, fmt::Display};

use geodynamo_item::{Item, wire};
use geodynamo_json::Reader;

use crate::{ItemError, Put};

/// Reads a line.
pub(crate) fn read(line: &str) -> Result<Item, ItemError> {
    let mut found = None;
    members(line, |name, reader| {
        match name {
            "Item" => found = Some(item(reader)?),
            _ => drop(reader.skip_value().map_err(wrong)?),
        }
        Ok(())
    })?;
    found.ok_or_else(none)
}

/// Reads a line of a bulk operation.
pub(crate) fn read_put(line: &str) -> Result<Put, ItemError> {
    let (mut found, mut put) = (false, Put::default());
    members(line, |name, reader| {
        match name {
            "Item" => (put.item, found) = (item(reader)?, true),
            "ConditionExpression" => put.condition.expression = Some(reader.string().map_err(wrong)?.into_owned()),
            "ExpressionAttributeNames" => put.condition.names = Some(names(reader)?),
            "ExpressionAttributeValues" => put.condition.values = Some(item(reader)?),
            _ => drop(reader.skip_value().map_err(wrong)?),
        }
        Ok(())
    })?;
    if found { Ok(put) } else { Err(none()) }
}

/// Has each member of a line's object read.
fn members(line: &str, mut read: impl FnMut(&str, &mut Reader<'_>) -> Result<(), ItemError>) -> Result<(), ItemError> {
    let mut reader = Reader::new(line.as_bytes()).map_err(wrong)?;
    reader.begin_object().map_err(wrong)?;
    while let Some(name) = reader.next_key().map_err(wrong)? {
        read(&name, &mut reader)?;
    }
    reader.end().map_err(wrong)
}

fn item(reader: &mut Reader<'_>) -> Result<Item, ItemError> {
    wire::read_item(reader).map_err(wrong)?.map_err(wrong)
}

fn names(reader: &mut Reader<'_>) -> Result<BTreeMap<String, String>, ItemError> {
    let mut names = BTreeMap::new();
    reader.begin_object().map_err(wrong)?;
    while let Some(key) = reader.next_key().map_err(wrong)? {
        let key = key.into_owned();
        names.insert(key, reader.string().map_err(wrong)?.into_owned());
    }
    Ok(names)
}

fn none() -> ItemError {
    ItemError("The line has no member \"Item\"".into())
}

fn wrong(error: impl Display) -> ItemError {
    ItemError(error.to_string())
}
