//! What is derived of items, where either may have been lost: index entries, and what is due to expire.

use std::{ops::Bound, sync::Arc};

use bytes::Bytes;
use geodynamo_storage::{Direction, Distrust, Engine, Scan, Write};

use super::{
    mend::Range,
    rows::{PAGE_BYTES, PAGE_ROWS},
};
use crate::{
    Result, StoredItem, Table,
    layout::{
        index::{self, ItemKey},
        keys::{self, space},
        record::Record,
    },
    local::order::latch_of,
    schema::{IndexDefinition, IndexKind},
    verify::Verify,
    write::Staged,
};

impl<E: Engine> Verify<E> {
    /// Puts what is derived of a table's items and lies in ranges of keys.
    pub(super) async fn derive_anew(&self, table: &Arc<Table>, ranges: &[Range]) -> Result<()> {
        if ranges.is_empty() {
            return Ok(());
        }
        let mut distrust = Distrust::default();
        for (from, to) in ranges {
            distrust.add_rows(from.clone(), to.clone());
        }
        let (first, end) = keys::owner_range(space::ITEM, table.id(), 0, u64::MAX);
        self.each_page(table, first, end, |held, writes| {
            let (key, value) = held;
            let at = ItemKey {
                route: keys::route_of(key),
                bytes: keys::rest(key),
            };
            let record = Record::read(value)?;
            let item = record.item.clone();
            let item = item.map(|item| StoredItem::new(item).decode()).transpose()?;
            let mut made = Vec::new();
            table.derive(&at, &record, item.as_ref(), self.local.sweeper(), &mut made)?;
            made.retain(|write| matches!(write, Write::Put(key, _) if distrust.covers(key)));
            writes.extend(made);
            Ok(())
        })
        .await
    }

    /// Takes entries of indexes away that no item has: an item whose former version was lost may have changed since.
    pub(super) async fn drop_stale_entries(&self, table: &Arc<Table>) -> Result<()> {
        let maintained = table.live.maintained.load_full();
        for index in &*maintained {
            let (space, owner) = match index.kind {
                IndexKind::Local(ordinal) => (space::LOCAL + ordinal, table.id()),
                IndexKind::Global(id) => (space::GLOBAL, id),
            };
            let (mut from, end) = keys::owner_range(space, owner, 0, u64::MAX);
            loop {
                let page = self.local.store().scan_held(whole_page(from, end.clone())).await?;
                let last = page.rows.last().map(|(key, _)| key.clone());
                self.pace(page.rows.iter().map(|(key, value)| key.len() + value.len()).sum())
                    .await;
                for (key, value) in page.rows {
                    let entry = StoredItem::new(value).decode()?;
                    if let Some(at) = ItemKey::of(table.keys(), &entry) {
                        self.drop_if_stale(table, index, &at, key).await?;
                    }
                }
                match last {
                    Some(last) if page.more => from = keys::just_after(&last),
                    _ => break,
                }
            }
        }
        Ok(())
    }

    async fn drop_if_stale(&self, table: &Table, index: &IndexDefinition, at: &ItemKey, entry: Bytes) -> Result<()> {
        let is_of = |item: Option<&Bytes>| -> Result<bool> {
            let Some(item) = item.map(Record::read).transpose()?.and_then(|record| record.item) else {
                return Ok(false);
            };
            let item = StoredItem::new(item).decode()?;
            let own = index::entry(table.id(), table.keys(), index, at, &item);
            Ok(own.is_some_and(|own| own.key == entry))
        };
        let place = [keys::item(table.id(), at.route, &at.bytes)];
        if is_of(self.local.store().get_held(&place).await?[0].as_ref())? {
            return Ok(());
        }
        let Some(inside) = table.live.gate.enter().await else {
            return Ok(());
        };
        let section = self.local.section(inside, latch_of(table.id(), &at.bytes)).await;
        if is_of(self.local.store().get_held(&place).await?[0].as_ref())? {
            return Ok(());
        }
        let staged = Staged::of_marks(vec![Write::Delete(entry)], false);
        self.writes.commit(section, staged).await
    }

    /// Goes through a table's items, with the turn on each page's keys, and commits what is made of them.
    async fn each_page(
        &self,
        table: &Table,
        mut from: Bytes,
        end: Bytes,
        make: impl Fn((&Bytes, &Bytes), &mut Vec<Write>) -> Result<()>,
    ) -> Result<()> {
        loop {
            let page = self.local.store().scan_held(whole_page(from, end.clone())).await?;
            let keys: Vec<Bytes> = page.rows.into_iter().map(|(key, _)| key).collect();
            let Some(last) = keys.last().cloned() else {
                return Ok(());
            };
            let Some(inside) = table.live.gate.enter().await else {
                return Ok(());
            };
            let latches = keys.iter().map(|key| latch_of(table.id(), &keys::rest(key)));
            let section = self.local.section_of([inside], latches.collect()).await;
            let (mut writes, mut read) = (Vec::new(), 0);
            for (key, value) in keys.iter().zip(self.local.store().get_held(&keys).await?) {
                let Some(value) = value else { continue };
                read += key.len() + value.len();
                make((key, &value), &mut writes)?;
            }
            self.writes.commit(section, Staged::of_marks(writes, false)).await?;
            self.pace(read).await;
            from = keys::just_after(&last);
        }
    }
}

fn whole_page(from: Bytes, to: Bytes) -> Scan {
    Scan {
        from: Bound::Included(from),
        to: Bound::Excluded(to),
        direction: Direction::Forward,
        rows_max: PAGE_ROWS,
        bytes_max: PAGE_BYTES,
        once: true,
    }
}
