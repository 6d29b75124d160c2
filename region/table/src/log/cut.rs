//! Moments of a table.

use std::ops::Bound;

use bytes::Bytes;
use geodynamo_item::Item;
use geodynamo_replicator_core::{Millis, Position};
use geodynamo_storage::{Direction, Engine, Scan, Snapshot};

use crate::{
    Result, StoredItem, Table,
    layout::{
        keys::{self, space},
        record,
    },
    log::Logs,
    store::StoreSnapshot,
    table::settings::TableSettings,
};

/// The most rows of a page of a snapshot.
const PAGE_ROWS_MAX: usize = 16 * 1024;

/// A moment of a table: every change that was committed before it stands at or before these ends of the table's logs, and
/// every change behind them was committed at this moment or later.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cut {
    /// The moment, in milliseconds since the Unix epoch.
    pub ms: Millis,
    /// Where the log of each partition ends.
    pub ends: Vec<Position>,
}

/// An item as it is stored: where it stands, its key, its stored form.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    /// The hash of its partition key.
    pub route: u64,
    /// Its key: the partition key terminated, then the sort key.
    pub key: Bytes,
    /// The item's stored form.
    pub item: Bytes,
}

impl Row {
    /// The item.
    pub fn decode(&self) -> Result<Item> {
        StoredItem::new(self.item.clone()).decode()
    }
}

/// A table as it was at a cut.
pub struct TableSnapshot<S> {
    pub(crate) snapshot: StoreSnapshot<S>,
    table: u64,
    /// The moment.
    pub cut: Cut,
    /// The table's settings then.
    pub settings: TableSettings,
    /// How many items it had, and their size by DynamoDB's formula: as DescribeTable showed them.
    pub counts: (u64, u64),
}

impl<E: Engine> Logs<E> {
    /// This moment of a table: the writes that are under way end first, and none begins meanwhile. None if the table's data
    /// is gone.
    pub async fn cut(&self, table: &Table) -> Option<Cut> {
        let _closed = table.live.gate.close().await?;
        Some(self.cut_now(table))
    }

    /// A table as it is now. None if its data is gone.
    pub async fn snapshot_of(&self, table: &Table) -> Option<TableSnapshot<E::Snapshot>> {
        let _closed = table.live.gate.close().await?;
        Some(TableSnapshot {
            snapshot: self.local.store().snapshot(),
            table: table.id(),
            cut: self.cut_now(table),
            settings: self.local.settings_of(table),
            counts: table.live.table.read(),
        })
    }

    /// The caller has closed the table's gate, so no write is under way.
    fn cut_now(&self, table: &Table) -> Cut {
        let logs = self.local.logs_of(table);
        let ends = self.local.ends.now();
        Cut {
            ms: self.local.orderer().commit_ms(),
            ends: logs.iter().map(|info| ends.get(info.log).unwrap_or_default()).collect(),
        }
    }
}

impl<S: Snapshot> TableSnapshot<S> {
    /// Of a page's rows.
    pub(crate) fn scan_behind(&self, after: Option<&(u64, Bytes)>, bytes_max: usize) -> Scan {
        let (first, end) = keys::owner_range(space::ITEM, self.table, 0, u64::MAX);
        let from = match after {
            Some((route, key)) => Bound::Excluded(keys::item(self.table, *route, key)),
            None => Bound::Included(first),
        };
        Scan {
            from,
            to: Bound::Excluded(end),
            direction: Direction::Forward,
            rows_max: PAGE_ROWS_MAX,
            bytes_max: bytes_max.max(1),
            once: true,
        }
    }

    /// Items behind a place, in the order of route and key, of about so many bytes; and the place to go on behind, if there
    /// may be more.
    pub async fn page(
        &self,
        after: Option<&(u64, Bytes)>,
        bytes_max: usize,
    ) -> Result<(Vec<Row>, Option<(u64, Bytes)>)> {
        let page = self.snapshot.scan(self.scan_behind(after, bytes_max)).await?;
        let next = page.rows.last().filter(|_| page.more);
        let next = next.map(|(key, _)| (keys::route_of(key), keys::rest(key)));
        let mut rows = Vec::with_capacity(page.rows.len());
        for (key, value) in page.rows {
            if let Some(item) = record::item_of(&value)? {
                let (route, key) = (keys::route_of(&key), keys::rest(&key));
                rows.push(Row { route, key, item });
            }
        }
        Ok((rows, next))
    }
}
