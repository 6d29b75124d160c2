//! The conflicts of a table: versions that lost to concurrent writes of other regions, as they are kept here.
//!
//! Merging records each loser once, in the commit that decided against it; the records spread to all replicas. Here they are
//! read, in the order of their keys. What a conflict's version lost to is told by the stream of conflicts
//! ([`StreamKind::Conflicts`](crate::StreamKind)); here the item is shown as it is now.

use std::fmt;

use bytes::Bytes;
use geodynamo_item::Item;
use geodynamo_replicator_core::{ReplicaId, Stamp};
use geodynamo_storage::Engine;

use crate::{
    Result, StoredItem, Table, TableError,
    layout::{
        index::ItemKey,
        keys::{self, space},
        range,
        record::Record,
    },
    read::Reads,
};

/// The most conflicts that one call gives.
pub const CONFLICTS_PAGE_MAX: usize = 1000;
/// Bytes of records read for one page.
const PAGE_BYTES: usize = 4 * 1024 * 1024;

/// Names a conflict of a table: the item's key and the loser's stamp. As text, in hexadecimal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConflictId {
    route: u64,
    /// The item's key, then the stamp.
    rest: Bytes,
}

impl ConflictId {
    /// The id that a text is; `None` if it is none.
    pub fn parse(text: &str) -> Option<Self> {
        let digits = text.as_bytes();
        if !digits.len().is_multiple_of(2) || digits.len() / 2 < size_of::<u64>() + Stamp::LEN {
            return None;
        }
        let nibble = |digit: u8| char::from(digit).to_digit(16);
        let bytes: Option<Vec<u8>> = digits
            .chunks_exact(2)
            .map(|pair| u8::try_from(nibble(pair[0])? << 4 | nibble(pair[1])?).ok())
            .collect();
        let bytes = bytes?;
        let (route, rest) = bytes.split_first_chunk()?;
        Some(Self {
            route: u64::from_be_bytes(*route),
            rest: Bytes::copy_from_slice(rest),
        })
    }

    fn of_row(key: &Bytes) -> Option<Self> {
        let rest = keys::rest(key);
        (rest.len() >= Stamp::LEN).then(|| Self {
            route: keys::route_of(key),
            rest,
        })
    }

    fn item_key(&self) -> Bytes {
        self.rest.slice(..self.rest.len().saturating_sub(Stamp::LEN))
    }

    fn row(&self, table: u64) -> Bytes {
        keys::with(space::CONFLICT, table, self.route, &self.rest)
    }
}

impl fmt::Display for ConflictId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.route)?;
        self.rest.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

/// A version that lost.
#[derive(Clone, Debug, PartialEq)]
pub struct Conflict {
    /// Its name.
    pub id: ConflictId,
    /// The item's key.
    pub keys: Item,
    /// The version that lost.
    pub loser: ConflictSide,
    /// The item's version now; none if nothing was ever merged under its key.
    pub current: Option<ConflictSide>,
}

/// A version of an item in a conflict.
#[derive(Clone, Debug, PartialEq)]
pub struct ConflictSide {
    /// Its stamp.
    pub stamp: Stamp,
    /// The region that wrote it; none if it was written by a replica that its region has lost or removed since.
    pub region: Option<String>,
    /// The item; none if the version is a delete.
    pub item: Option<StoredItem>,
}

/// Some conflicts of a table.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ConflictPage {
    /// The conflicts, in the order of their keys' hashes.
    pub conflicts: Vec<Conflict>,
    /// The one to go on behind; none at the end.
    pub next: Option<ConflictId>,
}

impl<E: Engine> Reads<E> {
    /// Conflicts of a table behind one of them; at most `limit`, at most [`CONFLICTS_PAGE_MAX`].
    ///
    /// # Errors
    /// If there is no such table here, or the engine fails.
    pub async fn conflicts(&self, table: &str, after: Option<&ConflictId>, limit: usize) -> Result<ConflictPage> {
        let table = self.local.table_named(table)?;
        let (first, to) = keys::owner_range(space::CONFLICT, table.id(), 0, u64::MAX);
        let from = after.map_or(first, |after| keys::just_after(&after.row(table.id())));
        let limit = limit.clamp(1, CONFLICTS_PAGE_MAX);
        let page = self
            .local
            .store()
            .scan(range::whole(from, to, limit, PAGE_BYTES))
            .await?;
        let mut conflicts = Vec::with_capacity(page.rows.len());
        for (key, value) in &page.rows {
            conflicts.push(self.conflict_of_row(&table, key, value).await?);
        }
        let next = conflicts.last().filter(|_| page.more).map(|last| last.id.clone());
        Ok(ConflictPage { conflicts, next })
    }

    /// One conflict of a table; none if it is not recorded here.
    ///
    /// # Errors
    /// If there is no such table here, or the engine fails.
    pub async fn conflict(&self, table: &str, id: &ConflictId) -> Result<Option<Conflict>> {
        let table = self.local.table_named(table)?;
        let key = id.row(table.id());
        match self.local.store().get(&key).await? {
            Some(value) => self.conflict_of_row(&table, &key, &value).await.map(Some),
            None => Ok(None),
        }
    }

    async fn conflict_of_row(&self, table: &Table, key: &Bytes, value: &Bytes) -> Result<Conflict> {
        let id = ConflictId::of_row(key);
        let id = id.ok_or_else(|| TableError::Corrupt("a conflict's key cannot be read".into()))?;
        let item_key = id.item_key();
        let current = self
            .local
            .store()
            .get(&keys::item(table.id(), id.route, &item_key))
            .await?;
        let current = current.map(|bytes| Record::read(&bytes)).transpose()?;
        Ok(Conflict {
            keys: ItemKey::decode(table.keys(), &item_key)?,
            loser: side(table, Record::read(value)?),
            current: current.map(|record| side(table, record)),
            id,
        })
    }
}

fn side(table: &Table, record: Record) -> ConflictSide {
    ConflictSide {
        stamp: record.stamp,
        region: region_of(table, record.stamp.replica),
        item: record.item.map(StoredItem::new),
    }
}

/// The region that has a replica of a table, by the replica's id; none if no region has that one now.
pub(crate) fn region_of(table: &Table, replica: ReplicaId) -> Option<String> {
    let replicas = &table.registers.replicas;
    let found = replicas.iter().find(|(_, entry)| entry.incarnation == Some(replica.0));
    found.map(|(region, _)| region.clone())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn ids_are_read_back(route: u64, rest in prop::collection::vec(any::<u8>(), Stamp::LEN..80)) {
            let id = ConflictId { route, rest: rest.into() };
            prop_assert_eq!(ConflictId::parse(&id.to_string()), Some(id));
        }

        #[test]
        fn no_text_panics(text in ".{0,120}") {
            let _ = ConflictId::parse(&text);
        }
    }
}
