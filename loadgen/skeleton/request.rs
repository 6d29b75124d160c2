//! The requests' JSON, typed, borrowed from the body where it can be.

use std::borrow::Cow;
use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// An attribute value in DynamoDB's JSON.
#[derive(Serialize, Deserialize)]
pub(crate) enum Attribute<'a> {
    S(#[serde(borrow)] Cow<'a, str>),
    N(#[serde(borrow)] Cow<'a, str>),
    B(#[serde(borrow)] Cow<'a, str>),
    #[serde(rename = "BOOL")]
    Bool(bool),
    #[serde(rename = "NULL")]
    Null(bool),
    M(#[serde(borrow)] Item<'a>),
    L(#[serde(borrow)] Vec<Attribute<'a>>),
    #[serde(rename = "SS")]
    Strings(Vec<String>),
    #[serde(rename = "NS")]
    Numbers(Vec<String>),
    #[serde(rename = "BS")]
    Binaries(Vec<String>),
}

pub(crate) type Item<'a> = BTreeMap<&'a str, Attribute<'a>>;

#[derive(Deserialize)]
pub(crate) struct Put<'a> {
    #[serde(rename = "Item", borrow)]
    pub(crate) item: Item<'a>,
}

#[derive(Deserialize)]
pub(crate) struct Get<'a> {
    #[serde(rename = "Key", borrow)]
    pub(crate) key: Item<'a>,
}

#[derive(Deserialize)]
pub(crate) struct Update<'a> {
    #[serde(rename = "Key", borrow)]
    pub(crate) key: Item<'a>,
    #[serde(rename = "ExpressionAttributeValues", borrow)]
    pub(crate) values: Item<'a>,
}

/// The bench's one key condition is `pk = :k`.
#[derive(Deserialize)]
pub(crate) struct Query<'a> {
    #[serde(rename = "ExpressionAttributeValues", borrow)]
    pub(crate) values: Item<'a>,
}

#[derive(Deserialize)]
pub(crate) struct Transaction<'a> {
    #[serde(rename = "TransactItems", borrow)]
    pub(crate) items: Vec<TransactPut<'a>>,
}

#[derive(Deserialize)]
pub(crate) struct TransactPut<'a> {
    #[serde(rename = "Put", borrow)]
    pub(crate) put: Put<'a>,
}

#[derive(Deserialize)]
pub(crate) struct Batch<'a> {
    #[serde(rename = "RequestItems", borrow)]
    pub(crate) request_items: BTreeMap<&'a str, Vec<BatchPut<'a>>>,
}

#[derive(Deserialize)]
pub(crate) struct BatchPut<'a> {
    #[serde(rename = "PutRequest", borrow)]
    pub(crate) put_request: Put<'a>,
}

impl<'a> Update<'a> {
    /// The item after the bench's one update, `SET payload = :p`.
    pub(crate) fn updated(self) -> Item<'a> {
        let Update {
            key: mut item,
            mut values,
        } = self;
        if let Some(payload) = values.remove(":p") {
            item.insert("payload", payload);
        }
        item
    }
}

impl Query<'_> {
    /// What all keys of the item collection begin with.
    pub(crate) fn prefix(&self) -> Result<Vec<u8>, &'static str> {
        match self.values.get(":k") {
            Some(Attribute::S(key)) => Ok([key.as_bytes(), &[SEPARATOR]].concat()),
            _ => Err("no :k"),
        }
    }
}

/// Between a partition key and a sort key. The bench's keys have printable characters only.
const SEPARATOR: u8 = 0;

/// The bytes of the key attributes: `pk`, and `sk` if there is one.
pub(crate) fn key(item: &Item<'_>) -> Result<Vec<u8>, &'static str> {
    match (item.get("pk"), item.get("sk")) {
        (Some(Attribute::S(pk)), None) => Ok(pk.as_bytes().to_vec()),
        (Some(Attribute::S(pk)), Some(Attribute::S(sk))) => Ok([pk.as_bytes(), &[SEPARATOR], sk.as_bytes()].concat()),
        _ => Err("no pk"),
    }
}

/// Whether a key, or an item, is of a table with a sort key.
pub(crate) fn is_sorted(item: &Item<'_>) -> bool {
    item.contains_key("sk")
}
