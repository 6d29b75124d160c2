//! Tables' definitions.

use serde_json::{Value as Json, json};

use crate::value::{Item, Value};

/// A key attribute: its name and type, `S`, `N` or `B`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct KeyAttribute {
    pub(crate) name: String,
    pub(crate) kind: &'static str,
}

/// The keys of a table or an index: one attribute each, if there is a sort key, but for those of global indexes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Keys {
    pub(crate) partition: Vec<KeyAttribute>,
    pub(crate) sort: Vec<KeyAttribute>,
}

/// What an index has beside keys.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Projection {
    All,
    KeysOnly,
    Include(Vec<String>),
}

/// A secondary index.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Index {
    pub(crate) name: String,
    pub(crate) global: bool,
    /// Whether it was added and is not filled yet.
    pub(crate) filling: bool,
    pub(crate) keys: Keys,
    pub(crate) projection: Projection,
}

/// A table's definition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Schema {
    pub(crate) name: String,
    pub(crate) keys: Keys,
    pub(crate) indexes: Vec<Index>,
}

/// The name of a table by its place; of one that is not there, too.
pub(crate) fn name_of(schemas: &[Schema], table: usize) -> &str {
    schemas.get(table).map_or("nowhere", |schema| schema.name.as_str())
}

impl Keys {
    pub(crate) fn attributes(&self) -> impl Iterator<Item = &KeyAttribute> {
        self.partition.iter().chain(&self.sort)
    }

    /// The name of the partition key's first attribute: a table's only one.
    pub(crate) fn partition_name(&self) -> &str {
        self.partition.first().map_or("", |key| key.name.as_str())
    }

    /// Whether a key has several attributes.
    pub(crate) fn has_several(&self) -> bool {
        self.partition.len() > 1 || self.sort.len() > 1
    }

    pub(crate) fn has(&self, name: &str) -> bool {
        self.attributes().any(|key| key.name == name)
    }

    /// Whether the item has all keys, of their types and not empty.
    pub(crate) fn fit(&self, item: &Item) -> bool {
        let fits = |value: &Value, key: &KeyAttribute| value.kind() == key.kind && !value.is_empty_key();
        self.attributes()
            .all(|key| item.get(&key.name).is_some_and(|value| fits(value, key)))
    }

    fn json(&self) -> Json {
        let of = |keys: &[KeyAttribute], kind: &str| -> Vec<Json> {
            let element = |key: &KeyAttribute| json!({ "AttributeName": key.name, "KeyType": kind });
            keys.iter().map(element).collect()
        };
        Json::Array([of(&self.partition, "HASH"), of(&self.sort, "RANGE")].concat())
    }
}

impl Index {
    /// Whether an attribute is copied.
    pub(crate) fn projects(&self, table: &Keys, name: &str) -> bool {
        let key = table.has(name) || self.keys.has(name);
        match &self.projection {
            Projection::All => true,
            Projection::KeysOnly => key,
            Projection::Include(names) => key || names.iter().any(|other| other == name),
        }
    }

    pub(crate) fn json(&self) -> Json {
        let projection = match &self.projection {
            Projection::All => json!({ "ProjectionType": "ALL" }),
            Projection::KeysOnly => json!({ "ProjectionType": "KEYS_ONLY" }),
            Projection::Include(names) => json!({ "ProjectionType": "INCLUDE", "NonKeyAttributes": names }),
        };
        json!({ "IndexName": self.name, "KeySchema": self.keys.json(), "Projection": projection })
    }
}

impl Schema {
    pub(crate) fn index(&self, name: &str) -> Option<&Index> {
        self.indexes.iter().find(|index| index.name == name)
    }

    /// The keys that a read goes by; `None` if there is no such index.
    pub(crate) fn keys_of(&self, index: Option<&str>) -> Option<&Keys> {
        match index {
            None => Some(&self.keys),
            Some(name) => self.index(name).map(|index| &index.keys),
        }
    }

    /// The index that is being filled.
    pub(crate) fn filling(&self) -> Option<&Index> {
        self.indexes.iter().find(|index| index.filling)
    }

    pub(crate) fn has_local(&self) -> bool {
        self.indexes.iter().any(|index| !index.global)
    }

    /// Every key attribute of the table and its indexes, each once.
    pub(crate) fn key_attributes(&self) -> Vec<&KeyAttribute> {
        let mut all: Vec<&KeyAttribute> = Vec::new();
        let indexes = self.indexes.iter().map(|index| &index.keys);
        for key in std::iter::once(&self.keys).chain(indexes).flat_map(Keys::attributes) {
            if all.iter().all(|known| known.name != key.name) {
                all.push(key);
            }
        }
        all
    }

    /// The body of CreateTable.
    pub(crate) fn create(&self) -> Json {
        let definitions: Json = self
            .key_attributes()
            .into_iter()
            .map(|key| json!({ "AttributeName": key.name, "AttributeType": key.kind }))
            .collect();
        let mut body = json!({
            "TableName": self.name,
            "BillingMode": "PAY_PER_REQUEST",
            "AttributeDefinitions": definitions,
            "KeySchema": self.keys.json(),
        });
        for (member, global) in [("LocalSecondaryIndexes", false), ("GlobalSecondaryIndexes", true)] {
            let of_kind = self.indexes.iter().filter(|index| index.global == global);
            let list: Vec<Json> = of_kind.map(Index::json).collect();
            if !list.is_empty() {
                body[member] = Json::Array(list);
            }
        }
        body
    }
}
