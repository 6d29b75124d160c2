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

/// The bytes of the key attribute `pk`.
pub(crate) fn key(item: &Item<'_>) -> Result<Vec<u8>, &'static str> {
    match item.get("pk") {
        Some(Attribute::S(key)) => Ok(key.as_bytes().to_vec()),
        _ => Err("no pk"),
    }
}
