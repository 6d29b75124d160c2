//! Rows of a table whose key is away, kept as they are sealed, and opened once the key can be had again.

use bytes::Bytes;
use geodynamo_replicator_core::Millis;
use geodynamo_seal::{RowKey, sealed_under};
use geodynamo_storage::{Engine, Snapshot};
use serde::{Deserialize, Serialize};

use super::{Row, TableSnapshot};
use crate::{
    Result, Table, TableError,
    layout::{keys, record},
    recovery::Loads,
    sealing::unwrap_key,
    table::{
        encryption::SealedKey,
        registers::{Setting, pack},
        replicas,
    },
};

/// For how long a table's key may be away until the table is archived: seven days. Source: DynamoDB developer guide, "DynamoDB
/// encryption at rest: usage notes".
pub const KEY_AWAY_MAX_MS: Millis = 7 * 24 * 60 * 60 * 1000;

/// By what rows that were kept sealed are opened: the data key that they are under, wrapped under the table's master key. It is
/// of no use to who cannot use that.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SealedRows {
    /// The table that they were in, to whose keys they are bound.
    #[serde(rename = "t")]
    table: u64,
    #[serde(rename = "k")]
    key: SealedKey,
}

/// Opens rows that were kept sealed.
#[derive(Debug)]
pub struct Opener {
    table: u64,
    key: RowKey,
}

impl Opener {
    /// A row with its item's stored form in the place of the sealed record; none if that says that the item was deleted.
    ///
    /// # Errors
    /// [`TableError::Corrupt`] if it is not a row of that table under that key.
    pub fn open(&self, row: &Row) -> Result<Option<Row>> {
        let broken = |reason: &dyn std::fmt::Display| TableError::Corrupt(format!("a sealed row: {reason}"));
        let opened = match sealed_under(&row.item) {
            // It was written before the table had the key.
            None => row.item.clone(),
            Some(id) if id == self.key.id() => {
                let place = keys::item(self.table, row.route, &row.key);
                let opened = self.key.open(&place, &row.item);
                opened.map(Bytes::from).map_err(|error| broken(&error))?
            }
            Some(_) => return Err(broken(&"it is under another key")),
        };
        let item = record::item_of(&opened)?;
        Ok(item.map(|item| Row { item, ..row.clone() }))
    }
}

impl<S: Snapshot> TableSnapshot<S> {
    /// As [`TableSnapshot::page`], but with records as they lie in the engine, sealed if they are: of items and of what was
    /// deleted. It needs no key.
    pub async fn sealed_page(
        &self,
        after: Option<&(u64, Bytes)>,
        bytes_max: usize,
    ) -> Result<(Vec<Row>, Option<(u64, Bytes)>)> {
        let page = self.snapshot.raw().scan(self.scan_behind(after, bytes_max)).await?;
        let row = |(key, value): (Bytes, Bytes)| Row {
            route: keys::route_of(&key),
            key: keys::rest(&key),
            item: value,
        };
        let rows: Vec<Row> = page.rows.into_iter().map(row).collect();
        let next = rows.last().filter(|_| page.more);
        let next = next.map(|last| (last.route, last.key.clone()));
        Ok((rows, next))
    }
}

impl<E: Engine> Loads<E> {
    /// By what a table's sealed rows are opened, if it has a key of its own.
    pub fn sealed_rows(&self, table: &Table) -> Option<SealedRows> {
        let encryption = table.registers.encryption.get(self.local.region())?;
        Some(SealedRows {
            table: table.id(),
            key: encryption.key.clone()?,
        })
    }

    /// Whether a table's key is away.
    pub fn is_key_away(&self, table: &Table) -> bool {
        table.live.key.is_away()
    }

    /// The tables whose key has been away for [`KEY_AWAY_MAX_MS`], and that nobody is deleting.
    pub fn tables_to_archive(&self) -> Vec<std::sync::Arc<Table>> {
        let now = self.local.now_ms();
        let mut tables = self.local.all();
        tables.retain(|table| {
            let encryption = table.registers.encryption.get(self.local.region());
            let known = encryption.and_then(|encryption| encryption.away_ms);
            let since = known.or(table.live.key.away_since());
            table.status() == crate::TableStatus::Inaccessible
                && since.is_some_and(|since| now.saturating_sub(since) >= KEY_AWAY_MAX_MS)
        });
        tables
    }

    /// Has the key service open what rows were kept under.
    ///
    /// # Errors
    /// [`TableError::Validation`] if it refuses the key; [`TableError::Storage`] if it cannot be reached.
    pub async fn opener(&self, sealed: &SealedRows) -> Result<Opener> {
        let unwrapped = unwrap_key(self.sealing.masters()?, &sealed.key).await;
        let key = unwrapped.and_then(|(id, secret)| RowKey::new(id, &secret));
        let key = key.map_err(|error| crate::sealing::not_opened(&error))?;
        Ok(Opener {
            table: sealed.table,
            key,
        })
    }
}

impl<E: Engine> Loads<E> {
    /// Takes this region's replica of a table away that was archived; whether it did: not if the key is there again.
    pub async fn remove_archived(&self, table: u64) -> Result<bool> {
        let _changing = self.catalog.catalog_lock.lock().await;
        let still = self.tables_to_archive().into_iter().find(|still| still.id() == table);
        let Some(still) = still else { return Ok(false) };
        let Some(entry) = still.registers.replicas.get(self.local.region()) else {
            return Ok(false);
        };
        let leaving = pack(&replicas::leaving(entry, self.local.now_ms()))?;
        let change = (Setting::Replica(self.local.region().into()), Some(leaving));
        self.catalog.set_locked(table, vec![change]).await?;
        Ok(true)
    }
}
