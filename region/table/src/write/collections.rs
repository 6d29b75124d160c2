//! Item collections: how large all items of one partition key and their local index entries are together, in a table
//! with local indexes.
//!
//! A collection's size stands under a key of its own in its items' group and changes in the commits that change them.
//! Writes of different items of a collection go on at once, so the size is worked out where commits are handed over to
//! the engine, one after the other: an engine carries commits out in that order. Of a collection that has commits under
//! way the size is kept in memory; of any other, the stored one counts. One that has none stored is measured.

use std::collections::BTreeMap;

use bytes::Bytes;
use geodynamo_storage::{Commit, Engine, Position, Write};
use xxhash_rust::xxh3::xxh3_64;

use crate::{
    Result, StoredItem, Table, TableError,
    layout::{
        index::{ItemKey, route},
        keys::{self, space},
        range, record,
    },
    local::stats,
    schema::{IndexDefinition, IndexKind},
    write::committer::Committer,
};

/// The largest item collection of a table with local indexes, in bytes. Source: AWS developer guide, "Item collection
/// size limit".
pub const COLLECTION_BYTES_MAX: u64 = 10 * 1024 * 1024 * 1024;
/// How many locks there are. Two collections share one with a chance of one in so many.
const LOCKS: usize = 1024;

/// What a commit changes of a collection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct CollectionChange {
    /// The collection.
    pub(crate) of: Collection,
    /// By how many bytes.
    pub(crate) bytes: i64,
}

/// A collection.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Collection {
    table: u64,
    route: u64,
    /// The partition key, terminated.
    partition: Bytes,
}

/// The collections that have commits under way.
#[derive(Debug)]
pub(crate) struct Collections(Box<[tokio::sync::Mutex<BTreeMap<Collection, UnderWay>>]>);

#[derive(Debug, Default)]
struct UnderWay {
    /// The size with all of them.
    bytes: i64,
    commits: usize,
}

impl Default for Collections {
    fn default() -> Self {
        Self((0..LOCKS).map(|_| tokio::sync::Mutex::default()).collect())
    }
}

impl Collection {
    /// The collection of an item; `None` if its key cannot be read.
    pub(crate) fn of(table: u64, at: &ItemKey) -> Option<Self> {
        let end = at.bytes.windows(2).position(|pair| pair == [0, 1])?;
        Some(Self {
            table,
            route: at.route,
            partition: at.bytes.slice(..end + 2),
        })
    }

    fn key(&self) -> Bytes {
        keys::collection(self.table, self.route, &self.partition)
    }

    fn lock(&self) -> usize {
        xxh3_64(&self.partition) as usize % LOCKS
    }
}

impl<E: Engine> Committer<E> {
    /// The size of the collection with a partition key, in bytes.
    ///
    /// # Errors
    /// Those of storage. A key that is not of the table's kind gives zero.
    pub(crate) async fn bytes_of(&self, table: &Table, key: &geodynamo_item::Item) -> Result<u64> {
        let Some(partition) = key.get(&table.keys().partition.name) else {
            return Ok(0);
        };
        let mut bytes = Vec::with_capacity(64);
        geodynamo_item::key::write_terminated(&mut bytes, partition);
        let of = Collection {
            table: table.id(),
            route: route(partition),
            partition: bytes.into(),
        };
        let size = self.size_of_collection(table.indexes(), &of).await?;
        Ok(u64::try_from(size).unwrap_or(0))
    }

    /// Refuses a client's write whose last change makes a collection larger than it may be. What the same commit changed
    /// of it before counts.
    pub(crate) async fn admit_collection(&self, table: &Table, changes: &[CollectionChange]) -> Result<()> {
        let Some(last) = changes.last().filter(|change| change.bytes > 0) else {
            return Ok(());
        };
        let own = changes
            .iter()
            .filter(|change| change.of == last.of)
            .map(|change| change.bytes);
        let size = self.size_of_collection(table.indexes(), &last.of).await?;
        let after = size.saturating_add(own.sum());
        if u64::try_from(after).unwrap_or(0) > self.local.options().collection_bytes_max {
            return Err(TableError::ItemCollectionSize);
        }
        Ok(())
    }

    async fn size_of_collection(&self, indexes: &[IndexDefinition], of: &Collection) -> Result<i64> {
        let under_way = self.collections.0[of.lock()].lock().await;
        match under_way.get(of) {
            Some(known) => Ok(known.bytes),
            None => self.stored_size(indexes, of).await,
        }
    }

    /// Hands a commit over with its collections' new sizes, and carries it out.
    pub(super) async fn commit_with_collections(
        &self,
        mut commit: Commit,
        changes: &[CollectionChange],
    ) -> Result<Vec<Position>> {
        let mut sums: BTreeMap<&Collection, i64> = BTreeMap::new();
        for change in changes {
            *sums.entry(&change.of).or_default() += change.bytes;
        }
        // Locks are taken in one order everywhere.
        let mut locks: Vec<usize> = sums.keys().map(|of| of.lock()).collect();
        locks.sort_unstable();
        locks.dedup();
        let mut held = BTreeMap::new();
        for lock in locks {
            held.insert(lock, self.collections.0[lock].lock().await);
        }
        let mut known = Vec::with_capacity(sums.len());
        for of in sums.keys() {
            let under_way = held.get(&of.lock()).and_then(|under_way| under_way.get(of));
            let size = under_way.map(|known| known.bytes);
            known.push(match size {
                Some(size) => size,
                None => self.stored_size(&self.local_indexes_of(of.table), of).await?,
            });
        }
        // From here on nothing fails before the commit is handed over.
        for ((of, bytes), known) in sums.iter().zip(known) {
            let after = known + bytes;
            if let Some(under_way) = held.get_mut(&of.lock()) {
                let entry = under_way.entry((*of).clone()).or_default();
                entry.bytes = after;
                entry.commits += 1;
            }
            commit
                .writes
                .push(Write::Put(of.key(), after.to_be_bytes().to_vec().into()));
        }
        let result = if self.local.store().spans_groups() {
            // It is handed over by the call; the next one's sizes may be worked out while it is being written.
            let committed = self.local.store().commit(commit);
            drop(held);
            committed.await.map_err(TableError::from)
        } else {
            let committed = self.commit_by_group(commit).await;
            drop(held);
            committed
        };
        for (of, bytes) in sums {
            let mut under_way = self.collections.0[of.lock()].lock().await;
            if let Some(entry) = under_way.get_mut(of) {
                entry.commits -= 1;
                if result.is_err() {
                    entry.bytes -= bytes;
                }
                if entry.commits == 0 {
                    under_way.remove(of);
                }
            }
        }
        result
    }

    fn local_indexes_of(&self, table: u64) -> Vec<IndexDefinition> {
        let directory = self.local.directory();
        let table = directory.by_id.get(&table);
        let indexes = table.map(|table| table.indexes().iter().filter(|index| !index.is_global()));
        indexes.into_iter().flatten().cloned().collect()
    }

    /// The stored size, or the measured one where none is stored. No commit of the collection is under way.
    async fn stored_size(&self, indexes: &[IndexDefinition], of: &Collection) -> Result<i64> {
        // Of what was lost, it is measured.
        let stored = self
            .local
            .store()
            .get_held(&[of.key()])
            .await?
            .into_iter()
            .flatten()
            .next();
        if let Some(size) = stored.and_then(|bytes| bytes.as_ref().try_into().ok()) {
            return Ok(i64::from_be_bytes(size));
        }
        let mut size = self.measure(space::ITEM, of).await?;
        for index in indexes {
            if let IndexKind::Local(ordinal) = index.kind {
                size += self.measure(space::LOCAL + ordinal, of).await?;
            }
        }
        Ok(size)
    }

    async fn measure(&self, space: u8, of: &Collection) -> Result<i64> {
        let (mut from, to) = keys::partition_range(space, of.table, of.route, &of.partition);
        let mut sum: usize = 0;
        loop {
            let page = self
                .local
                .store()
                .scan_held(range::whole(from, to.clone(), stats::ROWS, stats::BYTES))
                .await?;
            let last = page.rows.last().map(|(key, _)| keys::just_after(key));
            for (_, value) in page.rows {
                let stored = if space == space::ITEM {
                    record::item_of(&value)?
                } else {
                    Some(value)
                };
                sum += stored.map_or(Ok(0), |stored| StoredItem::new(stored).size())?;
            }
            match last {
                Some(next) if page.more => from = next,
                _ => return Ok(i64::try_from(sum).unwrap_or(i64::MAX)),
            }
        }
    }
}
