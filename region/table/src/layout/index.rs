//! Index maintenance: a function of the change.
//!
//! An item's index entries depend on the item and the table's definition alone. A write takes away the old item's entries
//! and puts the new one's, in the same commit where the engine spans groups.

use bytes::Bytes;
use geodynamo_item::{AttributeValue, Item, codec, key, size};
use geodynamo_storage::{Write, key_head};
use geodynamo_topology::partition::partition_hash;
use smallvec::SmallVec;

use crate::{
    Result, TableError,
    layout::keys,
    schema::{
        IndexDefinition, IndexKind, KeyAttribute, KeySchema, Projection, capacity::write_units, key_len, key_max,
    },
};

/// An index entry: its engine key, and the projected attributes in stored form.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Entry {
    pub(crate) key: Bytes,
    pub(crate) value: Bytes,
}

/// Where an item's key stands: its route and its table-relative bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ItemKey {
    pub(crate) route: u64,
    pub(crate) bytes: Bytes,
}

impl ItemKey {
    /// The key of an item; a key attribute that is missing or of another type is the caller's error.
    pub(crate) fn of(schema: &KeySchema, item: &Item) -> Option<Self> {
        let partition = key_value(&schema.partition, item)?;
        let mut bytes = Vec::with_capacity(64);
        let route = route(partition);
        key::write_terminated(&mut bytes, partition);
        if let Some(sort) = &schema.sort {
            key::write_final(&mut bytes, key_value(sort, item)?);
        }
        Some(Self {
            route,
            bytes: bytes.into(),
        })
    }

    /// The key that changes and deltas carry.
    pub fn bytes(&self) -> &Bytes {
        &self.bytes
    }

    /// The hash of the partition key.
    pub fn route(&self) -> u64 {
        self.route
    }

    /// The key that another replica sent: the route follows from the bytes.
    pub fn from_bytes(bytes: Bytes) -> Result<Self> {
        let end = bytes.windows(2).position(|pair| pair == [0, 1]);
        let mut partition = bytes.get(..end.unwrap_or(0)).unwrap_or_default().to_vec();
        // A zero byte is written as 0x00 0xFF; the terminator 0x00 0x01 stands nowhere else, for 0x01 never follows an
        // escaped zero's 0x00.
        let mut zero = false;
        partition.retain(|byte| {
            let filler = zero && *byte == u8::MAX;
            zero = *byte == 0;
            !filler
        });
        match end {
            Some(_) => Ok(Self {
                route: partition_hash(&partition),
                bytes,
            }),
            None => Err(TableError::Corrupt("an item's key cannot be read".into())),
        }
    }

    /// The key attributes that the bytes stand for.
    pub(crate) fn decode(schema: &KeySchema, bytes: &[u8]) -> Result<Item> {
        let broken = |_| TableError::Corrupt("an item's key cannot be read".into());
        let (partition, rest) = key::read_terminated(bytes, schema.partition.kind.attribute_type()).map_err(broken)?;
        let mut item = Item::new();
        item.insert(schema.partition.name.as_str().into(), partition);
        if let Some(sort) = &schema.sort {
            let value = key::read_final(rest, sort.kind.attribute_type()).map_err(broken)?;
            item.insert(sort.name.as_str().into(), value);
        }
        Ok(item)
    }
}

/// The route of a partition key: the partition hash of its order-preserving bytes.
pub(crate) fn route(partition: &AttributeValue) -> u64 {
    let mut bytes = Vec::with_capacity(32);
    key::write_final(&mut bytes, partition);
    partition_hash(&bytes)
}

/// The route of a partition key that may have several attributes: of one alone its own, of several the partition hash of
/// their terminated bytes.
pub(crate) fn route_of(partition: &[&AttributeValue]) -> u64 {
    if let [sole] = partition {
        return route(sole);
    }
    let mut bytes = Vec::with_capacity(64);
    partition
        .iter()
        .for_each(|value| key::write_terminated(&mut bytes, value));
    partition_hash(&bytes)
}

/// The value of a key attribute, if it is there and of the right type.
pub(crate) fn key_value<'a>(attribute: &KeyAttribute, item: &'a Item) -> Option<&'a AttributeValue> {
    item.get(&attribute.name)
        .filter(|value| value.kind() == attribute.kind.attribute_type())
}

/// The item's entry in an index; `None` if the item lacks one of its keys, or has one that cannot be a key there (a
/// replicated item is never refused for it: it stays out of the index).
pub(crate) fn entry(
    table: u64,
    schema: &KeySchema,
    index: &IndexDefinition,
    at: &ItemKey,
    item: &Item,
) -> Option<Entry> {
    // Most have one attribute: that costs no allocation.
    let mut partition = SmallVec::<[&AttributeValue; 1]>::new();
    for attribute in index.keys.partition_attributes() {
        partition.push(usable(key_value(attribute, item)?, true)?);
    }
    let (space, owner, route) = place(table, index, at.route, &partition);
    let mut engine_key = key_head(space, owner, route, at.bytes.len() + 64);
    for value in partition {
        key::write_terminated(&mut engine_key, value);
    }
    for sort in index.keys.sort_attributes() {
        key::write_terminated(&mut engine_key, usable(key_value(sort, item)?, false)?);
    }
    engine_key.extend_from_slice(&at.bytes);
    Some(Entry {
        key: engine_key.into(),
        value: project(schema, index, item),
    })
}

/// The size of the item's entry in an index by DynamoDB's formula; `None` if it has none.
pub(crate) fn entry_size(schema: &KeySchema, index: &IndexDefinition, item: &Item) -> Option<usize> {
    for (attribute, partition) in index.keys.roles() {
        usable(key_value(attribute, item)?, partition)?;
    }
    let copied = item.iter().filter(|(name, _)| projects(schema, index, name));
    Some(copied.map(|(name, value)| size::attribute(name, value)).sum())
}

/// Space, owner and route of an index's entries for a partition key.
pub(crate) fn place(
    table: u64,
    index: &IndexDefinition,
    base_route: u64,
    partition: &[&AttributeValue],
) -> (u8, u64, u64) {
    match index.kind {
        IndexKind::Local(ordinal) => (keys::space::LOCAL + ordinal, table, base_route),
        IndexKind::Global(id) => (keys::space::GLOBAL, id, route_of(partition)),
    }
}

/// What a change did to one index.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct IndexChange {
    /// Which one, by its place among the table's indexes.
    pub(crate) index: usize,
    /// The entry's size before, if there was one.
    pub(crate) before: Option<usize>,
    /// The entry's size after, if there is one.
    pub(crate) after: Option<usize>,
    /// Write units: of an entry that moved, both for taking it away and for putting it.
    pub(crate) units: f64,
}

/// Stages the writes that take an item's indexes from one state to the other; gives what changed, for counting.
pub(crate) fn maintain(
    table: u64,
    schema: &KeySchema,
    indexes: &[IndexDefinition],
    at: &ItemKey,
    old: Option<&Item>,
    new: Option<&Item>,
    writes: &mut Vec<Write>,
) -> Vec<IndexChange> {
    let mut changes = Vec::new();
    for (number, index) in indexes.iter().enumerate() {
        let before = old.and_then(|item| entry(table, schema, index, at, item));
        let after = new.and_then(|item| entry(table, schema, index, at, item));
        if before == after {
            continue;
        }
        let size = |entry: &Option<Entry>| entry.as_ref().and_then(|entry| codec::size(&entry.value).ok());
        let (sizes, moved) = (
            (size(&before), size(&after)),
            before.as_ref().map(|e| &e.key) != after.as_ref().map(|e| &e.key),
        );
        let units = match sizes {
            (Some(before), Some(after)) if moved => write_units(before, 0) + write_units(0, after),
            (before, after) => write_units(before.unwrap_or(0), after.unwrap_or(0)),
        };
        changes.push(IndexChange {
            index: number,
            before: sizes.0,
            after: sizes.1,
            units,
        });
        if let Some(before) = before.filter(|_| moved) {
            writes.push(Write::Delete(before.key));
        }
        if let Some(after) = after {
            writes.push(Write::Put(after.key, after.value));
        }
    }
    changes
}

/// Whether the attribute is copied into the index.
pub(crate) fn projects(schema: &KeySchema, index: &IndexDefinition, name: &str) -> bool {
    let key = schema.contains(name) || index.keys.contains(name);
    match &index.projection {
        Projection::All => true,
        Projection::KeysOnly => key,
        Projection::Include(names) => key || names.iter().any(|other| other == name),
    }
}

fn project(schema: &KeySchema, index: &IndexDefinition, item: &Item) -> Bytes {
    let mut out = Vec::with_capacity(128);
    if index.projection == Projection::All {
        codec::encode(item, &mut out);
    } else {
        let copied = item.iter().filter(|(name, _)| projects(schema, index, name));
        let copied: Item = copied.map(|(name, value)| (name.clone(), value.clone())).collect();
        codec::encode(&copied, &mut out);
    }
    out.into()
}

/// An empty string or binary cannot be an index key, nor one that is too long.
fn usable(value: &AttributeValue, partition: bool) -> Option<&AttributeValue> {
    (1..=key_max(partition)).contains(&key_len(value)).then_some(value)
}
