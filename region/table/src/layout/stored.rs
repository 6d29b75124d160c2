//! Items as they are stored.

use bytes::Bytes;
use geodynamo_item::{Item, codec};
use geodynamo_json::Writer;

use crate::{Result, TableError};

/// An item in its stored form: sent to a client without being built, decoded where something has to look inside.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredItem(Bytes);

impl StoredItem {
    pub(crate) fn new(bytes: Bytes) -> Self {
        Self(bytes)
    }

    /// The stored form of an item.
    pub fn encode(item: &Item) -> Self {
        let mut out = Vec::with_capacity(256);
        codec::encode(item, &mut out);
        Self(out.into())
    }

    /// An item of a snapshot's row.
    pub fn of(row: Bytes) -> Self {
        Self(row)
    }

    /// How many bytes the stored form has; never zero.
    #[expect(clippy::len_without_is_empty, reason = "an item has a format byte at least")]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// The bytes.
    pub(crate) fn into_bytes(self) -> Bytes {
        self.0
    }

    /// Writes it as DynamoDB JSON.
    pub fn write_json(&self, out: &mut Writer) -> Result<()> {
        codec::write_json(&self.0, out).map_err(|_| unreadable())
    }

    /// Builds the item.
    pub fn decode(&self) -> Result<Item> {
        codec::decode(&self.0).map_err(|_| unreadable())
    }

    /// Its size in bytes by DynamoDB's formula.
    pub fn size(&self) -> Result<usize> {
        codec::size(&self.0).map_err(|_| unreadable())
    }
}

fn unreadable() -> TableError {
    TableError::Corrupt("a stored item cannot be read".into())
}
