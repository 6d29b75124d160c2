//! Notes of failures as items of a table of this region, written through the table layer as any client's are.
//!
//! A note's key is made of the mapping, the shard, and the sequence numbers of the first and the last record that it is of. A record
//! is in one batch of a mapping at a time, so two notes never have one key; a note that is written again, after a crash before the
//! checkpoint, takes its own place.

use std::borrow::Cow;

use bytes::Bytes;
use geodynamo_item::{AttributeType, AttributeValue, Item, Number, size};
use geodynamo_storage::Engine;
use geodynamo_table::{ITEM_BYTES_MAX, Table, Tables, WriteOptions, is_given_name, schema::KeyAttribute, stored_name};
use serde_json::{Map, Value, json};

use super::{GivenUp, NOTE_ATTRIBUTES, PAYLOAD, destination::Failed};

/// A table that an ARN names.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct TableArn<'a> {
    pub(crate) region: &'a str,
    pub(crate) account: &'a str,
    pub(crate) name: &'a str,
}

impl<'a> TableArn<'a> {
    /// The table in `arn:aws:dynamodb:REGION:ACCOUNT:table/NAME`; `None` if the ARN is of something else.
    pub(crate) fn parse(arn: &'a str) -> Option<Self> {
        let parts: Vec<&str> = arn.splitn(6, ':').collect();
        let ["arn", _, "dynamodb", region, account, resource] = parts[..] else {
            return None;
        };
        let name = resource.strip_prefix("table/")?;
        (!name.is_empty() && !name.contains('/') && is_given_name(name)).then_some(Self { region, account, name })
    }

    /// What the catalog calls it, where the cluster's own account is `own`.
    pub(crate) fn stored(self, own: &str) -> Option<Cow<'a, str>> {
        stored_name(own, self.account, self.name)
    }
}

/// What is wrong with a table as the destination of an account's mapping of another table's stream, if something is.
pub(crate) fn fault<E: Engine>(tables: &Tables<E>, account: &str, of: TableArn<'_>, source: &str) -> Option<String> {
    if (of.region, of.account) != (tables.region(), account) {
        return Some("the table is of another region or account".into());
    }
    if of.name == source {
        return Some("the table is the stream's own, so its notes would be records".into());
    }
    let table = match tables.table(&of.stored(tables.account()).unwrap_or_default()) {
        Ok(table) => table,
        Err(error) => return Some(error.to_string()),
    };
    for attribute in table.keys().attributes() {
        if !matches!(attribute.kind.attribute_type(), AttributeType::S | AttributeType::B) {
            return Some(format!("the key {} must be of the type S or B", attribute.name));
        }
        if NOTE_ATTRIBUTES.contains(&attribute.name.as_str()) {
            return Some(format!("a note has an attribute {} of its own", attribute.name));
        }
    }
    let sample = GivenUp::sample();
    let mut note = sample.note();
    note.insert("responseContext".into(), json!({}));
    match item(&table, &sample, note).map(|item| table.check_item(&item)) {
        Ok(checked) => checked.err().map(|error| error.to_string()),
        Err(Failed(told)) => Some(told),
    }
}

/// Puts a note. `event` is what the function would have got: the item has it where there is room.
pub(crate) async fn put<E: Engine>(
    tables: &Tables<E>,
    of: TableArn<'_>,
    given_up: &GivenUp<'_>,
    event: impl FnOnce() -> Bytes,
) -> Result<(), Failed> {
    let failed = |told: &dyn std::fmt::Display| Failed(format!("the table {}: {told}", of.name));
    let stored = of.stored(tables.account()).unwrap_or_default();
    let table = tables.table(&stored).map_err(|error| failed(&error))?;
    let mut item = item(&table, given_up, given_up.note())?;
    let payload = event();
    if payload.len() < ITEM_BYTES_MAX {
        let mut whole = item.clone();
        let payload = String::from_utf8_lossy(&payload);
        whole.insert(PAYLOAD.into(), AttributeValue::S((&*payload).into()));
        if !table.is_too_large(&whole, size::item(&whole)) && table.check_item(&whole).is_ok() {
            item = whole;
        }
    }
    let options = WriteOptions {
        waits: true,
        ..WriteOptions::default()
    };
    let written = tables.writes().put(&table, item, options).await;
    written.map(drop).map_err(|error| failed(&error))
}

/// A note as an item with the table's key.
fn item(table: &Table, given_up: &GivenUp<'_>, note: Map<String, Value>) -> Result<Item, Failed> {
    let mut item = members(note)?;
    let (first, last) = given_up.sequences;
    let records = format!("{}/{first}-{last}", given_up.shard);
    let keys = table.keys();
    let mut set = |attribute: &KeyAttribute, text: String| {
        let value = match attribute.kind.attribute_type() {
            AttributeType::B => AttributeValue::B(text.into()),
            _ => AttributeValue::S(text.into()),
        };
        item.insert(attribute.name.as_str().into(), value);
    };
    match &keys.sort {
        // A mapping's notes are together, those of a shard in order.
        Some(sort) => {
            set(&keys.partition, given_up.mapping.to_owned());
            set(sort, records);
        }
        None => set(&keys.partition, format!("{}/{records}", given_up.mapping)),
    }
    Ok(item)
}

fn members(object: Map<String, Value>) -> Result<Item, Failed> {
    let mut item = Item::new();
    for (name, member) in object {
        item.insert(name.into(), value(member)?);
    }
    Ok(item)
}

/// A part of a note, which is our own and nests a level.
fn value(value: Value) -> Result<AttributeValue, Failed> {
    Ok(match value {
        Value::Null => AttributeValue::Null,
        Value::Bool(value) => AttributeValue::Bool(value),
        Value::Number(number) => {
            let parsed = Number::parse(&number.to_string());
            AttributeValue::N(parsed.map_err(|error| Failed(error.to_string()))?)
        }
        Value::String(text) => AttributeValue::S(text.into()),
        Value::Array(members) => AttributeValue::L(members.into_iter().map(self::value).collect::<Result<_, _>>()?),
        Value::Object(object) => AttributeValue::M(members(object)?),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tables_in_arns() {
        let parse = TableArn::parse;
        let table = parse("arn:aws:dynamodb:eu-west-1:000000000000:table/dead").unwrap();
        assert_eq!(
            (table.region, table.account, table.name),
            ("eu-west-1", "000000000000", "dead")
        );
        for other in [
            "arn:aws:sqs:eu-west-1:000000000000:dead",
            "arn:aws:dynamodb:eu-west-1:000000000000:table/",
            "arn:aws:dynamodb:eu-west-1:000000000000:table/dead/index/i",
            "arn:aws:dynamodb:eu-west-1:000000000000:global-table/dead",
            "dead",
        ] {
            assert_eq!(parse(other), None, "{other}");
        }
    }

    #[test]
    fn a_note_as_an_item() {
        let note = GivenUp::sample().note();
        let names: Vec<String> = note.keys().cloned().collect();
        let item = members(note).unwrap();
        assert_eq!(item.len(), names.len());
        // What a table's keys must not be called.
        assert!(
            names.iter().all(|name| NOTE_ATTRIBUTES.contains(&name.as_str())),
            "{names:?}"
        );
        let AttributeValue::M(info) = item.get("DDBStreamBatchInfo").unwrap() else {
            panic!("{item:?}")
        };
        assert_eq!(
            info.get("batchSize"),
            Some(&AttributeValue::N(Number::parse("1").unwrap()))
        );
    }
}
