//! Digests: what two replicas compare to know that they hold the same.

use geodynamo_replicator_core::Hlc;
use geodynamo_storage::{Engine, Snapshot};
use serde::Serialize;
use xxhash_rust::xxh3::Xxh3;

use crate::{
    Result, Table,
    layout::{
        keys::{self, space},
        range, record,
    },
    local::stats,
    read::Reads,
    schema::IndexKind,
};

/// The digest of a table in this region, as of one moment.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Digest {
    /// The table's name.
    pub table: String,
    /// Of each partition: keys, items, stamps and pasts, tombstones included until the regions have agreed to forget some.
    /// From then on each takes them away in its own time.
    pub partitions: Vec<PartDigest>,
    /// Of each index, by name: entries.
    pub indexes: Vec<PartDigest>,
}

/// The digest of a part of a table.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct PartDigest {
    /// The partition's number, or the index's name.
    pub part: String,
    /// XXH3-128 over all keys and records in their order, in hexadecimal.
    pub digest: String,
    /// How many items, or entries.
    pub items: u64,
    /// How many tombstones; an index has none.
    pub tombstones: u64,
    /// How many conflicts' losers are recorded.
    pub conflicts: u64,
}

impl<E: Engine> Reads<E> {
    /// The digest of a table: replicas that have applied the same deltas have the same.
    pub async fn digest(&self, name: &str) -> Result<Digest> {
        let table = self.local.table_named(name)?;
        let snapshot = self.local.store().snapshot();
        // Each region takes tombstones away in its own time.
        let forgets = self.local.standings().kept(table.id()).agreed > Hlc(0);
        let mut partitions = Vec::new();
        for partition in 0..table.partitions().partitions() {
            let (first, last) = table.partitions().range(partition).unwrap_or((0, u64::MAX));
            let id = table.id();
            let number = partition.to_string();
            let mut part = hash(&snapshot, number, space::ITEM, id, (first, last), forgets).await?;
            let conflicts = hash(&snapshot, String::new(), space::CONFLICT, id, (first, last), forgets).await?;
            part.conflicts = conflicts.items + conflicts.tombstones;
            partitions.push(part);
        }
        let mut indexes = Vec::new();
        for index in table.indexes() {
            let (space, owner) = match index.kind {
                IndexKind::Local(ordinal) => (space::LOCAL + ordinal, table.id()),
                IndexKind::Global(id) => (space::GLOBAL, id),
            };
            indexes.push(hash(&snapshot, index.name.clone(), space, owner, (0, u64::MAX), forgets).await?);
        }
        Ok(Digest {
            table: Table::name(&table).to_owned(),
            partitions,
            indexes,
        })
    }
}

async fn hash<S: Snapshot>(
    snapshot: &S,
    part: String,
    space: u8,
    owner: u64,
    (first, last): (u64, u64),
    forgets: bool,
) -> Result<PartDigest> {
    let mut hasher = Xxh3::new();
    let (mut items, mut tombstones) = (0, 0);
    let (mut from, to) = keys::owner_range(space, owner, first, last);
    loop {
        let page = snapshot
            .scan(range::whole(from, to.clone(), stats::ROWS, stats::BYTES))
            .await?;
        let next = page.rows.last().map(|(key, _)| keys::just_after(key));
        for (key, value) in page.rows {
            let records = matches!(space, space::ITEM | space::CONFLICT);
            if space == space::ITEM && forgets && record::item_of(&value)?.is_none() {
                continue;
            }
            hasher.update(&(key.len() as u64).to_be_bytes());
            hasher.update(&key);
            if records {
                hasher.update(&(record::hashed_len(&value) as u64).to_be_bytes());
                record::hash_into(&mut hasher, &value);
            } else {
                hasher.update(&(value.len() as u64).to_be_bytes());
                hasher.update(&value);
            }
            if records && record::item_of(&value)?.is_none() {
                tombstones += 1;
            } else {
                items += 1;
            }
        }
        match next {
            Some(next) if page.more => from = next,
            _ => break,
        }
        tokio::task::yield_now().await;
    }
    Ok(PartDigest {
        part,
        digest: format!("{:032x}", hasher.digest128()),
        items,
        tombstones,
        conflicts: 0,
    })
}
