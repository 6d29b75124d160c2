//! What rows of a copy are: the columns, as Iceberg and Parquet have them.

use geodynamo_item::{AttributeType, AttributeValue, Item};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::typed::{self, Typer};
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

/// The columns of a copy: the key's digest, the key attributes, the document, and those of attributes, if they have some.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub(super) struct Columns {
    /// Iceberg's id of the schema.
    pub(super) id: i32,
    /// The id of the first field; the others follow.
    pub(super) first_field: i32,
    /// Of the key attributes. Where attributes have columns, keys that are numbers have such.
    pub(super) keys: Vec<Column>,
    /// Whether attributes have columns.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(super) typed: bool,
    /// Those that they have.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(super) attributes: Vec<typed::Column>,
}

/// A value in a column.
#[derive(Clone, PartialEq, Debug)]
pub(super) enum Cell {
    Text(String),
    Double(f64),
    Binary(Vec<u8>),
    Bool(bool),
    /// Times ten to the scale that decimals have.
    Decimal(i128),
    List(Vec<Cell>),
}

/// A row.
#[derive(Clone, PartialEq, Debug)]
pub(super) struct Row {
    pub(super) digest: Digest,
    pub(super) keys: Vec<Cell>,
    pub(super) item: String,
    /// Of attributes' columns: their places, in order, and what is in them; null in the others.
    pub(super) attributes: Vec<(usize, Cell)>,
}

impl Cell {
    /// About what it takes in memory.
    fn bytes(&self) -> usize {
        let more = match self {
            Self::Text(text) => text.len(),
            Self::Binary(binary) => binary.len(),
            Self::List(cells) => cells.iter().map(Self::bytes).sum(),
            Self::Double(_) | Self::Bool(_) | Self::Decimal(_) => 0,
        };
        size_of::<Self>() + more
    }
}

impl Row {
    /// About what it takes in memory.
    pub(super) fn bytes(&self) -> usize {
        let keys: usize = self.keys.iter().map(Cell::bytes).sum();
        let attributes: usize = self.attributes.iter().map(|(_, cell)| cell.bytes()).sum();
        self.item.len() + keys + attributes + size_of::<Self>()
    }
}

impl Columns {
    /// Of a table.
    pub(super) fn of(shape: &Shape, id: i32, first_field: i32, typed: bool) -> Self {
        let is_key = |(_, kind): &&(String, AttributeType)| !typed || *kind != AttributeType::N;
        let keys: Vec<_> = shape.keys.iter().filter(is_key).collect();
        let names = columns(keys.iter().map(|(name, _)| name.as_str()));
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
            keys: names.into_iter().zip(keys).map(column).collect(),
            typed,
            attributes: Vec::new(),
        }
    }

    /// Whether they are a table's, whatever attributes its items have had.
    pub(super) fn fit(&self, shape: &Shape, typed: bool) -> bool {
        let new = Self::of(shape, self.id, self.first_field, typed);
        new.keys == self.keys && new.typed == self.typed
    }

    /// The id of the document's field.
    pub(super) fn item_field(&self) -> i32 {
        self.first_field + 1 + i32::try_from(self.keys.len()).unwrap_or(0)
    }

    /// The last field's id.
    pub(super) fn last_field(&self) -> i32 {
        let last = self.attributes.last();
        last.map_or(self.item_field(), |column| column.element.unwrap_or(column.field))
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
        let attributes = self.attributes.iter().map(typed::Column::json);
        let fields: Vec<Value> = all.enumerate().map(field).chain(attributes).collect();
        json!({
            "type": "struct",
            "schema-id": self.id,
            "identifier-field-ids": [self.first_field],
            "fields": fields,
        })
    }

    /// The rows of items. Attributes that have no columns yet get some.
    pub(super) fn rows(&mut self, puts: &[Put], form: Document) -> Result<Vec<Row>, TargetError> {
        if !self.typed {
            return puts.iter().map(|put| self.row(put, &decoded(put)?, form)).collect();
        }
        let mut typer = Typer::new(self);
        let row = |put: &Put| {
            let item = decoded(put)?;
            let attributes = typer.cells(&item);
            Ok(Row {
                attributes,
                ..typer.columns().row(put, &item, form)?
            })
        };
        puts.iter().map(row).collect()
    }

    /// The row of an item, without its attributes.
    fn row(&self, put: &Put, item: &Item, form: Document) -> Result<Row, TargetError> {
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
            item: document::write(item, form),
            attributes: Vec::new(),
        })
    }
}

fn decoded(put: &Put) -> Result<Item, TargetError> {
    put.item.decode().map_err(|error| TargetError(error.to_string()))
}

/// A key's digest.
pub(super) fn digest(key: &[u8]) -> Digest {
    let whole = crate::names::digest_of(key);
    whole.first_chunk().copied().unwrap_or_default()
}
