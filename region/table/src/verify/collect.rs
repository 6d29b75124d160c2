//! Taking away what nobody needs any more: tombstones that every member has agreed to forget, and conflict records that are
//! too old or too many. Paced, a scan of the table each time.

use std::{cmp::Reverse, collections::BinaryHeap, ops::Bound, sync::Arc};

use bytes::Bytes;
use geodynamo_replicator_core::{Hlc, Millis, Stamp, verify::RowKind};
use geodynamo_storage::{Direction, Engine, Scan, Write};
use xxhash_rust::xxh3::xxh3_64;

use super::rows::{mark_of, space_of};
use crate::{
    Result, Table,
    layout::{
        keys,
        record::{self, Record},
    },
    local::order::latch_of,
    table::TableStatus,
    verify::Verify,
    write::Staged,
};

/// The most rows read at a time.
const PAGE_ROWS: usize = 1024;
/// About the most bytes read at a time.
const PAGE_BYTES: usize = 256 * 1024;
/// How long expiries are kept after every member has agreed to forget what was written when they were made, in milliseconds. An
/// expiry's stamp is its version's, and the note of when it came here goes by this replica's clock: members' clocks may
/// differ by so much.
const EXPIRIES_KEPT_MS: Millis = 86_400_000;
/// The most rows that are taken away in one commit: their keys' writers wait for it.
const DELETES_MAX: usize = 64;

/// What is kept of what is gone, over all tables: as of each table's last scan.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Remains {
    /// Tombstones.
    pub tombstones: u64,
    /// What they take, keys and records, before compression.
    pub tombstone_bytes: u64,
    /// Conflict records.
    pub conflicts: u64,
    /// What they take.
    pub conflict_bytes: u64,
    /// Tombstones taken away since the process started.
    pub tombstones_collected: u64,
    /// Conflict records taken away since the process started, for their age or their number.
    pub conflicts_dropped: u64,
    /// Of the table that is farthest behind: up to when its tombstones are collected, in milliseconds since the Unix epoch.
    /// None before every table has been looked through.
    pub collected_to_ms: Option<Millis>,
}

/// What is done with a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    Stays,
    Goes,
    /// It is an expiry of which it is not known since when it has been here.
    IsNoted,
}

impl<E: Engine> Verify<E> {
    /// What is kept of what is gone.
    pub fn remains(&self) -> Remains {
        let all = &self.verifications;
        let scans = all.scans.lock();
        let mut sum = *all.collected.lock();
        let tables = self.local.all();
        let of_tables = tables.iter().filter_map(|table| scans.get(&table.id()));
        for (_, remains) in of_tables {
            sum.tombstones += remains.tombstones;
            sum.tombstone_bytes += remains.tombstone_bytes;
            sum.conflicts += remains.conflicts;
            sum.conflict_bytes += remains.conflict_bytes;
        }
        let collected = |table: &Arc<Table>| {
            let known = scans.contains_key(&table.id());
            known.then(|| self.local.horizons(table.id()).collected.millis())
        };
        let collected: Option<Vec<Millis>> = tables.iter().map(collected).collect();
        sum.collected_to_ms = collected.and_then(|all| all.into_iter().min());
        sum
    }

    /// Looks through every table for which it is time, and takes away what may go.
    ///
    /// # Errors
    /// If the engine fails.
    pub async fn collect(&self) -> Result<()> {
        // What is to be mended may be a delete that others have not heard of.
        if !self.local.store().distrusted().now().is_empty() {
            return Ok(());
        }
        let every = self.local.options().collect.every_ms;
        for table in self.local.all() {
            let now = self.local.orderer().time.now_ms();
            let serves = matches!(table.status(), TableStatus::Active | TableStatus::Updating);
            let last = self.verifications.scans.lock().get(&table.id()).map(|(at, _)| *at);
            // Not all tables at once.
            let spread = xxh3_64(&table.id().to_le_bytes()) % every.max(1);
            let first = self.verifications.started_ms.saturating_add(spread);
            let due = last.map_or(first, |at| at.saturating_add(every)) <= now;
            if every == 0 || !serves || !due {
                continue;
            }
            self.collect_from(&table, now).await?;
        }
        Ok(())
    }

    async fn collect_from(&self, table: &Table, now: Millis) -> Result<()> {
        let mut remains = Remains::default();
        let own = self.progress.standing(table).await?;
        let to = self.progress.collectable(table, &own);
        let kept = self
            .progress
            .raise_kept(table, |kept| kept.collected = kept.collected.max(to))
            .await?;
        self.look_through(table, RowKind::Item, |record, (key, value)| {
            if record.item.is_some() {
                return Fate::Stays;
            }
            let fate = match record::noted(value) {
                _ if record.stamp.time > kept.collected => Fate::Stays,
                _ if !record.stamp.expiry => Fate::Goes,
                Some(noted) if noted.saturating_add(EXPIRIES_KEPT_MS) <= kept.collected.millis() => Fate::Goes,
                Some(_) => Fate::Stays,
                None => Fate::IsNoted,
            };
            if fate != Fate::Goes {
                remains.tombstones += 1;
                remains.tombstone_bytes += (key.len() + value.len()) as u64;
            }
            fate
        })
        .await?;

        let oldest = Hlc::from_millis(now.saturating_sub(self.local.options().collect.conflicts_ms));
        let max = self.local.options().collect.conflicts_max;
        // The newest of them, oldest first: what does not fit in there has to go.
        let mut newest: BinaryHeap<Reverse<Hlc>> = BinaryHeap::new();
        let mut drops = Hlc(0);
        self.look_through(table, RowKind::Conflict, |record, _| {
            let at = record.stamp.time;
            if at < oldest {
                drops = drops.max(at);
            } else {
                newest.push(Reverse(at));
                if newest.len() > max
                    && let Some(Reverse(at)) = newest.pop()
                {
                    drops = drops.max(at);
                }
            }
            Fate::Stays
        })
        .await?;
        drop(newest);
        let kept = self
            .progress
            .raise_kept(table, |kept| kept.dropped = kept.dropped.max(drops))
            .await?;
        self.look_through(table, RowKind::Conflict, |record, (key, value)| {
            if record.stamp.time <= kept.dropped {
                return Fate::Goes;
            }
            remains.conflicts += 1;
            remains.conflict_bytes += (key.len() + value.len()) as u64;
            Fate::Stays
        })
        .await?;
        self.verifications.scans.lock().insert(table.id(), (now, remains));
        Ok(())
    }

    /// Goes through a table's rows, and does with each what `fate` says. Damaged ones stay.
    async fn look_through(
        &self,
        table: &Table,
        kind: RowKind,
        mut fate: impl FnMut(&Record, (&Bytes, &Bytes)) -> Fate,
    ) -> Result<()> {
        let (first, end) = keys::owner_range(space_of(kind), table.id(), 0, u64::MAX);
        let mut from = Bound::Included(first);
        loop {
            let scan = Scan {
                from,
                to: Bound::Excluded(end.clone()),
                direction: Direction::Forward,
                rows_max: PAGE_ROWS,
                bytes_max: PAGE_BYTES,
                once: true,
            };
            let page = self.local.store().scan(scan).await?;
            let last = page.rows.last().map(|(key, _)| key.clone());
            let mut read = 0;
            let mut going: Vec<(Bytes, Bytes, Fate)> = Vec::new();
            for (key, value) in page.rows {
                read += key.len() + value.len();
                let Ok(record) = Record::read(&value) else { continue };
                let fate = fate(&record, (&key, &value));
                if fate != Fate::Stays {
                    going.push((key, value, fate));
                }
            }
            for rows in going.chunks(DELETES_MAX) {
                self.take_away(table, kind, rows).await?;
            }
            self.pace(read).await;
            match last {
                Some(last) if page.more => from = Bound::Excluded(last),
                _ => return Ok(()),
            }
        }
    }

    /// Takes rows away, or notes them, that are as they were read.
    async fn take_away(&self, table: &Table, kind: RowKind, rows: &[(Bytes, Bytes, Fate)]) -> Result<()> {
        self.local.writable().await;
        let Some(inside) = table.live.gate.enter().await else {
            return Ok(());
        };
        let item_key = |key: &Bytes| {
            let rest = mark_of(key).1;
            match kind {
                RowKind::Item => rest,
                RowKind::Conflict => rest.slice(..rest.len().saturating_sub(Stamp::LEN)),
            }
        };
        let latches = rows.iter().map(|(key, ..)| latch_of(table.id(), &item_key(key)));
        let section = self.local.section_of([inside], latches.collect()).await;
        let keys: Vec<Bytes> = rows.iter().map(|(key, ..)| key.clone()).collect();
        let now = self.local.store().get_each(&keys).await?;
        let same = rows
            .iter()
            .zip(now)
            .filter(|((_, value, _), now)| now.as_ref() == Some(value));
        let (mut writes, mut count) = (Vec::with_capacity(rows.len()), 0);
        for ((key, value, fate), _) in same {
            if *fate == Fate::Goes {
                count += 1;
                writes.push(Write::Delete(key.clone()));
            } else {
                let noted = record::with_note(&Record::read(value)?, self.local.orderer().time.now_ms());
                writes.push(Write::Put(key.clone(), noted));
            }
        }
        self.writes.commit(section, Staged::of_marks(writes, true)).await?;
        let mut collected = self.verifications.collected.lock();
        match kind {
            RowKind::Item => collected.tombstones_collected += count,
            RowKind::Conflict => collected.conflicts_dropped += count,
        }
        Ok(())
    }
}
