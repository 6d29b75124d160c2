//! What DynamoDB refuses: keys, items, expressions.

use crate::{
    answer::Refusal,
    expression::{self, Condition, Path, Update},
    request::{Mistake, Request},
    schema::{Index, Schema},
    value::{Item, Value, item_size},
};

use super::ITEM_BYTES_MAX;

/// DynamoDB's words for an item that has too many bytes.
pub(super) const TOO_LARGE: &str = "Item size has exceeded the maximum allowed size";

fn invalid(detail: String) -> Refusal {
    Refusal::invalid(format!("One or more parameter values were invalid: {detail}"))
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

/// Of a key that stands alone.
pub(super) fn key(schema: &Schema, key: &Item) -> Vec<Refusal> {
    let fits = |name: &str, kind| key.get(name).is_some_and(|value| value.kind() == kind);
    let attributes: Vec<_> = schema.keys.attributes().collect();
    if key.len() != attributes.len() || !attributes.iter().all(|attribute| fits(&attribute.name, attribute.kind)) {
        return vec![Refusal::invalid("The provided key element does not match the schema")];
    }
    let empty = attributes
        .iter()
        .filter(|attribute| key[&attribute.name].is_empty_key());
    empty
        .map(|attribute| empty_key(&key[&attribute.name], &attribute.name))
        .collect()
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
    refusals.extend(index_keys(schema, item, |index, key, value| {
        format!(
            "One or more parameter values are not valid. A value specified for a secondary index key is not supported. The \
             AttributeValue for a key attribute cannot contain an empty {} value. IndexName: {index}, IndexKey: {key}",
            word(value)
        )
    }));
    if item_size(item) > ITEM_BYTES_MAX {
        refusals.push(Refusal::invalid(TOO_LARGE));
    }
    refusals
}

/// Of an item as an update leaves it.
pub(super) fn updated(schema: &Schema, item: &Item) -> Vec<Refusal> {
    index_keys(schema, item, |_, _, value| {
        format!(
            "One or more parameter values are not valid. The update expression attempted to update a secondary index key to \
             a value that is not supported. The AttributeValue for a key attribute cannot contain an empty {} value.",
            word(value)
        )
    })
}

/// Of the attributes that indexes go by; an empty one is told in the words of the request.
fn index_keys(schema: &Schema, item: &Item, empty: fn(&str, &str, &Value) -> String) -> Vec<Refusal> {
    let mut refusals = Vec::new();
    for index in &schema.indexes {
        for key in index.keys.attributes() {
            match item.get(&key.name) {
                Some(value) if value.kind() != key.kind => refusals.push(invalid(format!(
                    "Type mismatch for Index Key {} Expected: {} Actual: {} IndexName: {}",
                    key.name,
                    key.kind,
                    value.kind(),
                    index.name
                ))),
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
pub(super) fn condition(parameter: &str, condition: Option<&Condition>, request: &Request) -> Vec<Refusal> {
    let mut faults = Vec::new();
    if let Some(condition) = condition {
        expression::condition_faults(condition, &mut faults);
    }
    let mut refusals: Vec<_> = in_parameter(parameter, faults).collect();
    refusals.extend(
        request
            .mistake
            .map(|mistake: Mistake| Refusal::invalid(mistake.text(parameter))),
    );
    refusals
}

pub(super) fn projection(paths: Option<&[Path]>) -> Vec<Refusal> {
    let mut faults = Vec::new();
    let paths: Vec<_> = paths.unwrap_or_default().iter().collect();
    expression::overlap_faults(&paths, &mut faults);
    in_parameter("ProjectionExpression", faults).collect()
}

pub(super) fn update(schema: Option<&Schema>, update: &Update) -> Vec<Refusal> {
    let mut faults = Vec::new();
    expression::update_faults(update, &mut faults);
    let mut refusals: Vec<_> = in_parameter("UpdateExpression", faults).collect();
    let keys = schema.into_iter().flat_map(|schema| schema.keys.attributes());
    for key in keys.filter(|key| update.paths().iter().any(|path| path.root == key.name)) {
        refusals.push(invalid(format!(
            "Cannot update attribute {}. This attribute is part of the key",
            key.name
        )));
    }
    refusals
}

/// Of attributes that a read of an index names and the index does not have.
pub(super) fn unprojected(schema: &Schema, index: &Index, paths: &[&Path], words: &str) -> Option<Refusal> {
    let mut names: Vec<&str> = paths.iter().map(|path| path.root.as_str()).collect();
    names.retain(|name| !index.projects(&schema.keys, name));
    names.sort_unstable();
    names.dedup();
    (!names.is_empty()).then(|| invalid(format!("{words} [{}]", names.join(", "))))
}
