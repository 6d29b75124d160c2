//! Counts that are kept from one process to the next: what DescribeTable shows while a new process still counts.
//!
//! They are stored every few seconds where they have changed, so after a crash they may be that much behind. Counting
//! everything anew, in the background, puts that right.

use std::{collections::BTreeMap, time::Duration};

use bytes::Bytes;
use geodynamo_storage::{Commit, Engine, Write};
use serde::{Deserialize, Serialize};

use crate::{Result, Table, TableError, layout::keys, local::Local, schema::IndexKind};

/// How often counts are stored. DynamoDB's own are some hours old; here they are right within six seconds.
pub(crate) const STORE_EVERY: Duration = Duration::from_secs(2);
/// What the system keys of counts begin with.
const PREFIX: &str = "counts/";

/// What a table and its indexes hold: items and bytes.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct StoredCounts {
    #[serde(rename = "t")]
    table: (u64, u64),
    #[serde(rename = "i", default)]
    indexes: Vec<(IndexKind, u64, u64)>,
}

impl StoredCounts {
    /// From the rows of the system space, by table.
    pub(crate) fn load(rows: &[(Bytes, Bytes)]) -> Result<BTreeMap<u64, Self>> {
        let mut all = BTreeMap::new();
        for (key, value) in rows {
            let name = keys::rest(key);
            let name = std::str::from_utf8(&name)
                .ok()
                .and_then(|name| name.strip_prefix(PREFIX));
            let Some(table) = name.and_then(|hex| u64::from_str_radix(hex, 16).ok()) else {
                continue;
            };
            let counts = rmp_serde::from_slice(value)
                .map_err(|error| TableError::Corrupt(format!("a table's counts cannot be read: {error}")))?;
            all.insert(table, counts);
        }
        Ok(all)
    }

    /// Shows them until the counting has ended.
    pub(crate) fn show(&self, table: &Table) {
        table.live.table.preset(self.table);
        let stats = table.live.indexes.read();
        for (kind, items, bytes) in &self.indexes {
            if let Some(stats) = stats.get(kind) {
                stats.preset((*items, *bytes));
            }
        }
    }

    fn of(table: &Table) -> Self {
        let stats = table.live.indexes.read();
        let index = |(kind, (items, bytes)): (&IndexKind, (u64, u64))| (*kind, items, bytes);
        Self {
            table: table.live.table.read(),
            indexes: stats.iter().map(|(kind, stats)| index((kind, stats.read()))).collect(),
        }
    }
}

impl<E: Engine> Local<E> {
    /// Stores the counts that have changed since they were stored.
    pub async fn store_counts(&self) -> Result<()> {
        let mut writes = Vec::new();
        let mut stored = self.stored_counts.lock().clone();
        let now: BTreeMap<u64, StoredCounts> = self
            .all()
            .iter()
            .map(|table| (table.id(), StoredCounts::of(table)))
            .collect();
        for (table, counts) in &now {
            if stored.get(table) != Some(counts) {
                let value = rmp_serde::to_vec_named(counts)
                    .map_err(|error| TableError::Corrupt(format!("a table's counts cannot be written: {error}")))?;
                writes.push(Write::Put(key(*table), value.into()));
            }
            stored.remove(table);
        }
        // What is left is of tables that are gone.
        writes.extend(stored.keys().map(|table| Write::Delete(key(*table))));
        if !writes.is_empty() {
            // All of the system space is one group.
            let commit = Commit {
                writes,
                ..Commit::default()
            };
            self.store().commit(commit).await?;
            *self.stored_counts.lock() = now;
        }
        Ok(())
    }
}

fn key(table: u64) -> Bytes {
    keys::system(&format!("{PREFIX}{table:016x}"))
}
