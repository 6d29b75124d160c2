//! What rows of a copy are: the columns, as Iceberg and Parquet have them.

use geodynamo_item::{AttributeType, AttributeValue};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::{
    Document, document,
    names::{ITEM, KEY, columns},
    target::{Put, Shape, TargetError},
};

/// Bytes of a row's key: the beginning of a digest of the item's.
pub(super) const DIGEST_BYTES: usize = 16;

/// What tells rows apart, and what they are sorted by in a file.
pub(super) type Digest = [u8; DIGEST_BYTES];

/// The type of a key attribute's column.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub(super) enum Kind {
    /// Of S.
    #[serde(rename = "s")]
    Text,
    /// Of N: the nearest double, which one compares with. The document has the number itself.
    #[serde(rename = "n")]
    Double,
    /// Of B.
    #[serde(rename = "b")]
    Binary,
}

/// A column of a key attribute.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub(super) struct Column {
    /// The attribute.
    pub(super) attribute: String,
    /// The column's name.
    pub(super) name: String,
    /// Its type.
    pub(super) kind: Kind,
}

/// The columns of a copy: the key's digest, the key attributes, the document.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub(super) struct Columns {
    /// Iceberg's id of the schema.
    pub(super) id: i32,
    /// The id of the first field; the others follow.
    pub(super) first_field: i32,
    /// Of the key attributes.
    pub(super) keys: Vec<Column>,
}

/// A value in a key attribute's column.
#[derive(Clone, PartialEq, Debug)]
pub(super) enum Cell {
    Text(String),
    Double(f64),
    Binary(Vec<u8>),
}

/// A row.
#[derive(Clone, PartialEq, Debug)]
pub(super) struct Row {
    pub(super) digest: Digest,
    pub(super) keys: Vec<Cell>,
    pub(super) item: String,
}

impl Row {
    /// About what it takes in memory.
    pub(super) fn bytes(&self) -> usize {
        let keys = self.keys.iter().map(|cell| match cell {
            Cell::Text(text) => text.len(),
            Cell::Double(_) => 0,
            Cell::Binary(binary) => binary.len(),
        });
        self.item.len() + keys.sum::<usize>() + size_of::<Self>() + self.keys.len() * size_of::<Cell>()
    }
}

impl Columns {
    /// Of a table.
    pub(super) fn of(shape: &Shape, id: i32, first_field: i32) -> Self {
        let names = columns(shape.keys.iter().map(|(name, _)| name.as_str()));
        let column = |(name, (attribute, kind)): (String, &(String, AttributeType))| Column {
            attribute: attribute.clone(),
            name,
            kind: match kind {
                AttributeType::N => Kind::Double,
                AttributeType::B => Kind::Binary,
                _ => Kind::Text,
            },
        };
        Self {
            id,
            first_field,
            keys: names.into_iter().zip(&shape.keys).map(column).collect(),
        }
    }

    /// The last field's id.
    pub(super) fn last_field(&self) -> i32 {
        self.first_field + 1 + i32::try_from(self.keys.len()).unwrap_or(0)
    }

    /// Iceberg's schema.
    pub(super) fn json(&self) -> Value {
        let field = |(place, (name, kind)): (usize, (&str, &str))| {
            let id = self.first_field + i32::try_from(place).unwrap_or(0);
            json!({"id": id, "name": name, "required": true, "type": kind})
        };
        let kinds = self.keys.iter().map(|column| {
            let kind = match column.kind {
                Kind::Text => "string",
                Kind::Double => "double",
                Kind::Binary => "binary",
            };
            (column.name.as_str(), kind)
        });
        let all = std::iter::once((KEY, "binary")).chain(kinds).chain([(ITEM, "string")]);
        let fields: Vec<Value> = all.enumerate().map(field).collect();
        json!({
            "type": "struct",
            "schema-id": self.id,
            "identifier-field-ids": [self.first_field],
            "fields": fields,
        })
    }

    /// The row of an item.
    pub(super) fn row(&self, put: &Put, form: Document) -> Result<Row, TargetError> {
        let item = put.item.decode().map_err(|error| TargetError(error.to_string()))?;
        let mut keys = Vec::with_capacity(self.keys.len());
        for column in &self.keys {
            keys.push(match (column.kind, item.get(&column.attribute)) {
                (Kind::Text, Some(AttributeValue::S(value))) => Cell::Text(value.to_string()),
                (Kind::Double, Some(AttributeValue::N(number))) => {
                    // What a number's text is, a double's is, too.
                    Cell::Double(number.text().parse().unwrap_or(f64::NAN))
                }
                (Kind::Binary, Some(AttributeValue::B(value))) => Cell::Binary(value.to_vec()),
                _ => return Err(TargetError("an item has not the key that its table's have".into())),
            });
        }
        Ok(Row {
            digest: digest(&put.key),
            keys,
            item: document::write(&item, form),
        })
    }
}

/// A key's digest.
pub(super) fn digest(key: &[u8]) -> Digest {
    let whole = crate::names::digest_of(key);
    whole.first_chunk().copied().unwrap_or_default()
}
