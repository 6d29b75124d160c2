//! Where items and index entries stand, which gives their order.

use std::cmp::Ordering;

use geodynamo_item::AttributeValue;
use geodynamo_topology::partition::partition_hash;

use crate::{
    schema::{Index, Keys},
    value::{Item, Value},
};

/// A place among a table's items or an index's entries: first by the partition key's hash, as ARCHITECTURE.md has it, then
/// by the attributes of the keys, one after the other: an index's, then the table's.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Place {
    hash: u64,
    keys: Vec<KeyValue>,
}

/// A key's value, ordered as DynamoDB orders keys.
#[derive(Clone, Debug, PartialEq, Eq)]
struct KeyValue(Value);

impl Place {
    /// Of an item that has its keys.
    pub(crate) fn of(keys: &Keys, item: &Item) -> Self {
        let values = values(keys, item);
        Self {
            hash: hash(&values[..keys.partition.len()]),
            keys: values,
        }
    }

    /// Of an item's entry in an index; a local index's stands with the item's partition key.
    pub(crate) fn in_index(table: &Keys, index: &Index, item: &Item) -> Self {
        let own = values(&index.keys, item);
        Self {
            hash: hash(&own[..index.keys.partition.len()]),
            keys: own.into_iter().chain(values(table, item)).collect(),
        }
    }

    /// The order without what tells items of one index key apart.
    pub(crate) fn index_keys(&self, keys: &Keys) -> Self {
        Self {
            hash: self.hash,
            keys: self.keys[..keys.attributes().count()].to_vec(),
        }
    }

    /// Which of so many segments a scan finds it in.
    pub(crate) fn segment(&self, total: usize) -> usize {
        ((u128::from(self.hash) * total as u128) >> 64) as usize
    }
}

fn values(keys: &Keys, item: &Item) -> Vec<KeyValue> {
    let value = |name: &str| item.get(name).cloned().unwrap_or(Value::Null);
    keys.attributes().map(|key| KeyValue(value(&key.name))).collect()
}

/// Where a partition key is placed is geodynamo's choice, not DynamoDB's: the one thing that the model takes from it.
fn hash(partition: &[KeyValue]) -> u64 {
    let mut bytes = Vec::new();
    for KeyValue(value) in partition {
        let value = match value {
            Value::N(number) => match number.to_string().parse() {
                Ok(number) => AttributeValue::N(number),
                Err(_) => return 0,
            },
            Value::S(text) => AttributeValue::S(text.as_str().into()),
            Value::B(bytes) => AttributeValue::B(bytes.clone().into()),
            _ => return 0,
        };
        if partition.len() == 1 {
            geodynamo_item::key::write_final(&mut bytes, &value);
        } else {
            geodynamo_item::key::write_terminated(&mut bytes, &value);
        }
    }
    partition_hash(&bytes)
}

impl Ord for KeyValue {
    fn cmp(&self, other: &Self) -> Ordering {
        self.0.order(&other.0).unwrap_or(Ordering::Equal)
    }
}

impl PartialOrd for KeyValue {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}
