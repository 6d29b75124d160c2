//! Counting what a table holds when a process starts. Afterwards every write counts what it changes.

use std::sync::Arc;

use bytes::Bytes;
use geodynamo_storage::{Engine, Snapshot};

use crate::{
    Result, StoredItem, Table, Tables,
    keys::{self, space},
    read, record,
    schema::{IndexDefinition, IndexKind, IndexStatus},
    table::Stats,
};

/// Rows counted at a time.
pub(crate) const ROWS: usize = 1024;
/// Bytes read at a time.
pub(crate) const BYTES: usize = 1024 * 1024;

/// Counts all tables in a snapshot taken now. Writes that come later count their difference to it, so the sum is right
/// as soon as the counting ends, however long it takes.
pub(crate) fn count_in_background<E: Engine>(tables: &Arc<Tables<E>>) {
    let snapshot = tables.engine().snapshot();
    let all = tables.all();
    tokio::spawn(async move {
        for table in all {
            if let Err(error) = count(&snapshot, &table).await {
                tracing::warn!(table = table.name(), %error, "counting items failed: ItemCount and TableSizeBytes are too low");
            }
        }
    });
}

async fn count<S: Snapshot>(snapshot: &S, table: &Table) -> Result<()> {
    each(snapshot, space::ITEM, table.id(), |value| {
        if let Some(item) = record::item_of(&value)? {
            table.live.table.count(None, Some(StoredItem::new(item).size()?));
        }
        Ok(())
    })
    .await?;
    for index in table.indexes() {
        // One that is being filled is counted when that ends.
        let built = table.phases.status(index) == IndexStatus::Active;
        let stats = table.live.indexes.read().get(&index.kind).cloned();
        if let Some(stats) = stats.filter(|_| built) {
            count_entries(snapshot, table, index, &stats).await?;
        }
    }
    Ok(())
}

/// Counts an index's entries.
pub(crate) async fn count_entries<S: Snapshot>(
    snapshot: &S,
    table: &Table,
    index: &IndexDefinition,
    stats: &Stats,
) -> Result<()> {
    let (space, owner) = match index.kind {
        IndexKind::Local(ordinal) => (space::LOCAL + ordinal, table.id()),
        IndexKind::Global(id) => (space::GLOBAL, id),
    };
    each(snapshot, space, owner, |value| {
        stats.count(None, Some(StoredItem::new(value).size()?));
        Ok(())
    })
    .await
}

async fn each<S: Snapshot>(
    snapshot: &S,
    space: u8,
    owner: u64,
    mut count: impl FnMut(Bytes) -> Result<()>,
) -> Result<()> {
    let (mut from, to) = keys::owner_range(space, owner, 0, u64::MAX);
    loop {
        let page = snapshot.scan(read::whole(from, to.clone(), ROWS, BYTES)).await?;
        let last = page.rows.last().map(|(key, _)| keys::just_after(key));
        for (_, value) in page.rows {
            count(value)?;
        }
        match last {
            Some(next) if page.more => from = next,
            _ => return Ok(()),
        }
        tokio::task::yield_now().await;
    }
}
