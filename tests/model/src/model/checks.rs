//! What DynamoDB refuses: keys, items, expressions.

use crate::{
    answer::Refusal,
    expression::{self, Condition, Path, Update},
    fault::Fault,
    older,
    request::{Mistake, Write},
    schema::{Index, KeyAttribute, Schema},
    value::{Item, Value, item_size},
};

use super::ITEM_BYTES_MAX;

/// DynamoDB's words for an item that has too many bytes.
pub(super) const TOO_LARGE: &str = "Item size has exceeded the maximum allowed size";

fn invalid(detail: String) -> Refusal {
    Refusal::invalid(format!("One or more parameter values were invalid: {detail}"))
}

/// Of an attribute without a name; one within an attribute may be without.
pub(super) fn empty_name<'n>(mut names: impl Iterator<Item = &'n String>, fault: Option<Fault>) -> Option<Refusal> {
    let empty = names.any(String::is_empty) && fault != Some(Fault::EmptyNamesAreStored);
    empty.then(|| invalid("Empty attribute name".into()))
}

fn word(value: &Value) -> &'static str {
    if matches!(value, Value::B(_)) {
        "binary"
    } else {
        "string"
    }
}

pub(super) fn empty_key(value: &Value, name: &str) -> Refusal {
    Refusal::invalid(format!(
        "One or more parameter values are not valid. The AttributeValue for a key attribute cannot contain an empty {} \
         value. Key: {name}",
        word(value)
    ))
}

/// Of a write, whatever its item is; `stated` if it is a statement's.
pub(super) fn write(schema: Option<&Schema>, write: &Write, stated: bool, fault: Option<Fault>) -> Vec<Refusal> {
    let mut refusals: Vec<_> = empty_name(write.item().keys(), fault).into_iter().collect();
    if let Some(schema) = schema {
        refusals.extend(match write {
            Write::Put(put) => item(schema, put),
            other => key(schema, other.item()),
        });
    }
    match write {
        Write::Update(_, Some(change)) => refusals.extend(update(schema, change, stated, fault)),
        Write::Older(_, changes) => {
            refusals.extend(empty_name(changes.iter().map(|(name, _)| name), fault));
            refusals.extend(older::change_refusals(changes));
            let names: Vec<_> = changes.iter().map(|(name, _)| name.as_str()).collect();
            refusals.extend(keys_updated(schema, &names));
        }
        _ => {}
    }
    refusals
}

/// Of a key that stands alone.
pub(super) fn key(schema: &Schema, key: &Item) -> Vec<Refusal> {
    let fits = |name: &str, kind| key.get(name).is_some_and(|value| value.kind() == kind);
    let attributes: Vec<_> = schema.keys.attributes().collect();
    if key.len() != attributes.len() || !attributes.iter().all(|attribute| fits(&attribute.name, attribute.kind)) {
        return vec![Refusal::invalid("The provided key element does not match the schema")];
    }
    empty_keys(schema, key)
}

/// Of key attributes that are empty, of whatever type they should be.
pub(super) fn empty_keys(schema: &Schema, item: &Item) -> Vec<Refusal> {
    let keys = schema
        .keys
        .attributes()
        .filter_map(|key| Some((key, item.get(&key.name)?)));
    let empty = keys.filter(|(_, value)| value.is_empty_key());
    empty.map(|(key, value)| empty_key(value, &key.name)).collect()
}

/// Of an item that is to be put.
pub(super) fn item(schema: &Schema, item: &Item) -> Vec<Refusal> {
    let mut refusals = Vec::new();
    for key in schema.keys.attributes() {
        match item.get(&key.name) {
            None => refusals.push(invalid(format!("Missing the key {} in the item", key.name))),
            Some(value) if value.kind() != key.kind => refusals.push(invalid(format!(
                "Type mismatch for key {} expected: {} actual: {}",
                key.name,
                key.kind,
                value.kind()
            ))),
            Some(value) if value.is_empty_key() => refusals.push(empty_key(value, &key.name)),
            Some(_) => {}
        }
    }
    refusals.extend(index_keys(schema, item, wrong_index_key, empty_index_key));
    if item_size(item) > ITEM_BYTES_MAX {
        refusals.push(Refusal::invalid(TOO_LARGE));
    }
    refusals
}

fn wrong_index_key(index: &Index, key: &KeyAttribute, value: &Value) -> Refusal {
    invalid(format!(
        "Type mismatch for Index Key {} Expected: {} Actual: {} IndexName: {}",
        key.name,
        key.kind,
        value.kind(),
        index.name
    ))
}

fn empty_index_key(index: &str, key: &str, value: &Value) -> String {
    format!(
        "One or more parameter values are not valid. A value specified for a secondary index key is not supported. The \
         AttributeValue for a key attribute cannot contain an empty {} value. IndexName: {index}, IndexKey: {key}",
        word(value)
    )
}

/// Of the attributes that indexes go by and that are empty, of whatever type they should be.
pub(super) fn empty_index_keys(schema: &Schema, item: &Item) -> Vec<Refusal> {
    let mut refusals = Vec::new();
    for index in schema.indexes.iter().filter(|index| !index.filling) {
        let keys = index
            .keys
            .attributes()
            .filter_map(|key| Some((key, item.get(&key.name)?)));
        let empty = keys.filter(|(_, value)| value.is_empty_key());
        refusals.extend(empty.map(|(key, value)| Refusal::invalid(empty_index_key(&index.name, &key.name, value))));
    }
    refusals
}

/// Of an item as an update leaves it. `of_request` tells the attributes whose types the request itself tells.
pub(super) fn updated(schema: &Schema, item: &Item, of_request: &dyn Fn(&str) -> bool) -> Vec<Refusal> {
    let wrong_type = |index: &Index, key: &KeyAttribute, value: &Value| {
        if of_request(&key.name) {
            return wrong_index_key(index, key, value);
        }
        Refusal::invalid("The update expression attempted to update the secondary index key to unsupported type")
    };
    index_keys(schema, item, wrong_type, |_, _, value| {
        format!(
            "One or more parameter values are not valid. The update expression attempted to update a secondary index key to \
             a value that is not supported. The AttributeValue for a key attribute cannot contain an empty {} value.",
            word(value)
        )
    })
}

/// Of the attributes that indexes go by; what is wrong with one is told in the words of the request.
///
/// The guide, on index key violations: "After the backfilling phase completes, all writes to items that violate the new
/// index's key schema will be rejected"; not before.
fn index_keys(
    schema: &Schema,
    item: &Item,
    wrong_type: impl Fn(&Index, &KeyAttribute, &Value) -> Refusal,
    empty: fn(&str, &str, &Value) -> String,
) -> Vec<Refusal> {
    let mut refusals = Vec::new();
    for index in schema.indexes.iter().filter(|index| !index.filling) {
        for key in index.keys.attributes() {
            match item.get(&key.name) {
                Some(value) if value.kind() != key.kind => refusals.push(wrong_type(index, key, value)),
                Some(value) if value.is_empty_key() => {
                    refusals.push(Refusal::invalid(empty(&index.name, &key.name, value)));
                }
                _ => {}
            }
        }
    }
    refusals
}

fn in_parameter(parameter: &str, faults: Vec<String>) -> impl Iterator<Item = Refusal> {
    faults.into_iter().map(move |fault| {
        Refusal::invalid(if fault.is_empty() {
            fault
        } else {
            format!("Invalid {parameter}: {fault}")
        })
    })
}

/// Of a condition or filter, and of the mistake in it.
pub(super) fn condition(
    parameter: &str,
    condition: Option<&Condition>,
    mistake: Option<Mistake>,
    fault: Option<Fault>,
) -> Vec<Refusal> {
    let mut faults = Vec::new();
    if let Some(condition) = condition {
        expression::condition_faults(condition, fault, &mut faults);
    }
    let mut refusals: Vec<_> = in_parameter(parameter, faults).collect();
    refusals.extend(mistake.map(|mistake| Refusal::invalid(mistake.text(parameter, fault))));
    refusals
}

/// Of what is projected, by an expression or by `AttributesToGet`.
pub(super) fn projection(paths: Option<&[Path]>, by_attributes: bool, fault: Option<Fault>) -> Vec<Refusal> {
    let mut faults = Vec::new();
    let paths: Vec<_> = paths.unwrap_or_default().iter().collect();
    if by_attributes {
        let twice = paths
            .iter()
            .enumerate()
            .filter(|(at, path)| paths[..*at].contains(path));
        let refusal = |(_, path): (usize, &&Path)| invalid(format!("Duplicate value in attribute name: {}", path.root));
        let nameless = empty_name(paths.iter().map(|path| &path.root), fault);
        return twice.map(refusal).chain(nameless).collect();
    }
    expression::overlap_faults(&paths, &mut faults);
    expression::depth_faults(&paths, fault, &mut faults);
    in_parameter("ProjectionExpression", faults).collect()
}

pub(super) fn update(schema: Option<&Schema>, update: &Update, stated: bool, fault: Option<Fault>) -> Vec<Refusal> {
    let mut faults = Vec::new();
    expression::update_faults(update, stated, fault, &mut faults);
    let mut refusals: Vec<_> = in_parameter("UpdateExpression", faults).collect();
    let names: Vec<_> = update.paths().into_iter().map(|path| path.root.as_str()).collect();
    refusals.extend(keys_updated(schema, &names));
    refusals
}

/// Of key attributes among those that an update names.
fn keys_updated(schema: Option<&Schema>, names: &[&str]) -> Vec<Refusal> {
    let keys = schema.into_iter().flat_map(|schema| schema.keys.attributes());
    let updated = keys.filter(|key| names.contains(&key.name.as_str()));
    let refusal = |name: &str| {
        invalid(format!(
            "Cannot update attribute {name}. This attribute is part of the key"
        ))
    };
    updated.map(|key| refusal(&key.name)).collect()
}

/// Of attributes that a read of an index names and the index does not have.
pub(super) fn unprojected(schema: &Schema, index: &Index, paths: &[&Path], words: &str) -> Option<Refusal> {
    let mut names: Vec<&str> = paths.iter().map(|path| path.root.as_str()).collect();
    names.retain(|name| !index.projects(&schema.keys, name));
    names.sort_unstable();
    names.dedup();
    (!names.is_empty()).then(|| invalid(format!("{words} [{}]", names.join(", "))))
}
