//! Counting what a table holds when a process starts. Afterwards every write counts what it changes.

use std::sync::Arc;

use bytes::Bytes;
use geodynamo_storage::{Engine, Snapshot};

use crate::{
    Result, StoredItem, Table,
    layout::{
        keys::{self, space},
        range, record,
    },
    local::Local,
    schema::{IndexDefinition, IndexKind, IndexStatus},
    table::Stats,
};

/// Rows counted at a time.
pub(crate) const ROWS: usize = 1024;
/// Bytes read at a time.
pub(crate) const BYTES: usize = 1024 * 1024;

/// Counts all tables in a snapshot taken now. Writes that come later count their difference to it, so the sum is right
/// as soon as the counting ends, however long it takes. Until then the counts that were stored are shown.
pub(crate) fn count_in_background<E: Engine>(local: &Local<E>) {
    let snapshot = local.store().snapshot();
    let mut all = local.all();
    // What is being filled past the log of commits is counted when that ends.
    let has_door = local.store().engine().ingest().is_some();
    all.retain(|table| !(has_door && table.registers.is_being_filled(local.region())));
    // What is shown is known before the first write.
    let shown: Vec<_> = all.iter().flat_map(shown).collect();
    tokio::spawn(async move {
        for Shown {
            table,
            index,
            stats,
            counts,
        } in shown
        {
            let counted = Stats::default();
            let result = match &index {
                None => count_items(&snapshot, &table, &counted).await,
                Some(index) => count_entries(&snapshot, &table, index, &counted).await,
            };
            match result {
                Ok(()) => stats.correct(counts, counted.read()),
                Err(error) => {
                    tracing::warn!(table = table.name(), %error, "counting items failed: ItemCount and TableSizeBytes may be wrong");
                }
            }
        }
    });
}

impl<E: Engine> Local<E> {
    /// Counts a table that was filled by commits, though it need not have been: what an earlier process put is not counted yet.
    pub(crate) async fn recount(&self, table: &Arc<Table>) -> Result<()> {
        if self.store().engine().ingest().is_none() {
            return Ok(());
        }
        let snapshot = self.store().snapshot();
        for Shown {
            table, index, stats, ..
        } in shown(table)
        {
            let counted = Stats::default();
            match &index {
                None => count_items(&snapshot, &table, &counted).await?,
                Some(index) => count_entries(&snapshot, &table, index, &counted).await?,
            }
            stats.correct(stats.read(), counted.read());
        }
        Ok(())
    }
}

/// What is shown of a table, or of an index of it, while it is being counted.
struct Shown {
    table: Arc<Table>,
    index: Option<IndexDefinition>,
    stats: Arc<Stats>,
    counts: (u64, u64),
}

fn shown(table: &Arc<Table>) -> Vec<Shown> {
    let shown = |index: Option<&IndexDefinition>, stats: &Arc<Stats>| Shown {
        table: Arc::clone(table),
        index: index.cloned(),
        stats: Arc::clone(stats),
        counts: stats.read(),
    };
    // An index that is being filled is counted when that ends.
    let built = |index: &&IndexDefinition| table.phases.status(index) == IndexStatus::Active;
    let stats = table.live.indexes.read();
    let indexes = table.indexes().iter().filter(built);
    let mut all = vec![shown(None, &table.live.table)];
    all.extend(indexes.filter_map(|index| stats.get(&index.kind).map(|stats| shown(Some(index), stats))));
    all
}

async fn count_items<S: Snapshot>(snapshot: &S, table: &Table, stats: &Stats) -> Result<()> {
    each(snapshot, space::ITEM, table.id(), |value| {
        if let Some(item) = record::item_of(&value)? {
            stats.count(None, Some(StoredItem::new(item).size()?));
        }
        Ok(())
    })
    .await
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
        let page = snapshot.scan(range::whole(from, to.clone(), ROWS, BYTES)).await?;
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
