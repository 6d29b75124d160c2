//! Rows as they are compared: sums over stretches, lists, and what is fetched.

use std::ops::Bound;

use bytes::Bytes;
use geodynamo_replicator_core::{
    CopyMark, Delta, LogInfo, Position, Stamp,
    verify::{
        Ends, FETCH_BYTES, FETCH_KEYS_MAX, Horizons, LIST_ROWS_MAX, Listed, Listing, PARTS_MAX, RowKind, SCAN_ROWS_MAX,
        Stretch, Sum,
    },
};
use geodynamo_storage::{Direction, Engine, LogId, Page, Scan};
use xxhash_rust::xxh3::Xxh3;

use crate::{
    Result, Table,
    layout::{
        keys::{self, space},
        record::{self, Record},
    },
    verify::Verify,
};

/// The most rows read at a time.
pub(super) const PAGE_ROWS: usize = 1024;
/// About the most bytes read at a time.
pub(super) const PAGE_BYTES: usize = 256 * 1024;
/// What stands for the content of a row that fails its check, with the replica's id behind it: two replicas' damaged rows
/// are never alike.
const DAMAGED: &[u8] = b"damaged";

/// A row, as far as it is compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Held {
    pub(super) stamp: Stamp,
    pub(super) hash: u64,
    pub(super) damaged: bool,
    pub(super) tombstone: bool,
}

/// Who reads rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Side {
    Asks,
    Answers,
}

/// The space of a kind of rows.
pub(super) fn space_of(kind: RowKind) -> u8 {
    match kind {
        RowKind::Item => space::ITEM,
        RowKind::Conflict => space::CONFLICT,
    }
}

/// Where a row stands among the engine's keys.
pub(super) fn place(table: u64, kind: RowKind, CopyMark(route, key): &CopyMark) -> Bytes {
    keys::with(space_of(kind), table, *route, key)
}

/// The mark of a row.
pub(super) fn mark_of(key: &Bytes) -> CopyMark {
    CopyMark(keys::route_of(key), keys::rest(key))
}

/// Whether a row is left out of a comparison, because either side may have taken it away.
pub(super) fn is_left_out(kind: RowKind, stamp: Stamp, tombstone: bool, horizons: Horizons) -> bool {
    match kind {
        RowKind::Item => tombstone && stamp.time <= horizons.collected,
        RowKind::Conflict => stamp.time <= horizons.dropped,
    }
}

impl<E: Engine> Verify<E> {
    /// The next rows of a stretch behind a row, and what they cost to read.
    ///
    /// The asking side reads what is there: what it may have lost it lacks, and gets. The answering one answers only for
    /// what it vouches for: a row that it has lost must not be taken for one that never was.
    async fn page(
        &self,
        table: &Table,
        kind: RowKind,
        after: Option<&Bytes>,
        stretch: &Stretch,
        side: Side,
    ) -> Result<Page> {
        let (first, end) = keys::owner_range(space_of(kind), table.id(), 0, u64::MAX);
        let from = match (after, &stretch.after) {
            (Some(after), _) => Bound::Excluded(after.clone()),
            (None, Some(mark)) => Bound::Excluded(place(table.id(), kind, mark)),
            (None, None) => Bound::Included(first),
        };
        let to = match &stretch.until {
            Some(mark) => Bound::Included(place(table.id(), kind, mark)),
            None => Bound::Excluded(end),
        };
        let scan = Scan {
            from,
            to,
            direction: Direction::Forward,
            rows_max: PAGE_ROWS,
            bytes_max: PAGE_BYTES,
            once: true,
        };
        let page = match side {
            Side::Asks => self.local.store().scan_held(scan).await?,
            Side::Answers => self.local.store().scan(scan).await?,
        };
        self.pace(page.rows.iter().map(|(key, value)| key.len() + value.len()).sum())
            .await;
        Ok(page)
    }

    /// A row as it is compared; `None` if it is left out.
    fn held(&self, kind: RowKind, key: &Bytes, value: &Bytes, horizons: Horizons) -> Option<Held> {
        let damaged = Held {
            stamp: Stamp::default(),
            hash: self.local.replica().0,
            damaged: true,
            tombstone: false,
        };
        let Ok(record) = Record::read(value) else {
            return Some(damaged);
        };
        // A conflict record that says another stamp than its key is damaged, too.
        let ends_in = |stamp: Stamp| key.ends_with(&stamp.to_bytes());
        if kind == RowKind::Conflict && !ends_in(record.stamp) {
            return Some(damaged);
        }
        let mut hasher = Xxh3::new();
        record::hash_into(&mut hasher, value);
        let tombstone = record.item.is_none();
        (!is_left_out(kind, record.stamp, tombstone, horizons)).then(|| Held {
            stamp: record.stamp,
            hash: hasher.digest(),
            damaged: false,
            tombstone,
        })
    }

    fn add_row(&self, sum: &mut Summing, key: &[u8], value: &Bytes, held: Held) {
        sum.rows = sum.rows.saturating_add(1);
        sum.hasher.update(&(key.len() as u64).to_be_bytes());
        sum.hasher.update(key);
        if held.damaged {
            sum.hasher.update(DAMAGED);
            sum.hasher.update(&self.local.replica().0.to_be_bytes());
        } else {
            sum.hasher.update(&(record::hashed_len(value) as u64).to_be_bytes());
            record::hash_into(&mut sum.hasher, value);
        }
    }

    /// The asking side: sums over parts of a stretch, of so many rows each, and where they end.
    pub(crate) async fn parts(
        &self,
        table: &Table,
        kind: RowKind,
        stretch: &Stretch,
        rows: usize,
        horizons: Horizons,
    ) -> Result<(Vec<(Option<CopyMark>, Sum)>, bool)> {
        let mut parts = Vec::new();
        let mut sum = Summing::default();
        let mut last: Option<Bytes> = None;
        loop {
            let page = self.page(table, kind, last.as_ref(), stretch, Side::Asks).await?;
            let more = page.more;
            for (key, value) in page.rows {
                if let Some(held) = self.held(kind, &key, &value, horizons) {
                    self.add_row(&mut sum, &key, &value, held);
                }
                if sum.rows as usize >= rows {
                    parts.push((Some(mark_of(&key)), std::mem::take(&mut sum).sum()));
                    if parts.len() >= PARTS_MAX {
                        return Ok((parts, false));
                    }
                }
                last = Some(key);
            }
            if !more {
                break;
            }
        }
        // What the answerer has behind the last row here belongs to the last part.
        parts.push((stretch.until.clone(), sum.sum()));
        Ok((parts, true))
    }

    /// The answering side: sums over stretches that follow each other. Those that are not reached are missing.
    pub(crate) async fn sums(
        &self,
        table: &Table,
        kind: RowKind,
        stretch: Stretch,
        mut marks: Vec<CopyMark>,
        horizons: Horizons,
    ) -> Result<Vec<Sum>> {
        marks.truncate(PARTS_MAX);
        let count = marks.len() + 1;
        let mut ends = Ends::new(marks);
        let mut sums = Vec::with_capacity(count);
        let mut sum = Summing::default();
        let (mut last, mut read) = (None, 0);
        loop {
            let page = self.page(table, kind, last.as_ref(), &stretch, Side::Answers).await?;
            let more = page.more;
            read += page.rows.len();
            for (key, value) in page.rows {
                let CopyMark(route, rest) = mark_of(&key);
                let part = ends.part_of(route, &rest);
                while sums.len() < part {
                    sums.push(std::mem::take(&mut sum).sum());
                }
                if let Some(held) = self.held(kind, &key, &value, horizons) {
                    self.add_row(&mut sum, &key, &value, held);
                }
                last = Some(key);
            }
            if !more {
                break;
            }
            if read >= SCAN_ROWS_MAX {
                return Ok(sums);
            }
        }
        while sums.len() < count {
            sums.push(std::mem::take(&mut sum).sum());
        }
        Ok(sums)
    }

    /// Rows of a stretch from its beginning, as they are compared, and whether it goes on.
    pub(super) async fn held_rows(
        &self,
        table: &Table,
        kind: RowKind,
        stretch: &Stretch,
        rows_max: usize,
        horizons: Horizons,
        side: Side,
    ) -> Result<(Vec<(CopyMark, Held)>, bool)> {
        let mut rows = Vec::new();
        let mut last: Option<Bytes> = None;
        loop {
            let page = self.page(table, kind, last.as_ref(), stretch, side).await?;
            let more = page.more;
            for (key, value) in page.rows {
                if rows.len() >= rows_max {
                    return Ok((rows, true));
                }
                if let Some(held) = self.held(kind, &key, &value, horizons) {
                    rows.push((mark_of(&key), held));
                }
                last = Some(key);
            }
            if !more {
                return Ok((rows, false));
            }
        }
    }

    /// The answering side: rows of a stretch, and how far logs were applied once they had been read.
    pub(crate) async fn list_rows(
        &self,
        table: &Table,
        kind: RowKind,
        stretch: &Stretch,
        horizons: Horizons,
    ) -> Result<Listing> {
        let (rows, more) = self
            .held_rows(table, kind, stretch, LIST_ROWS_MAX, horizons, Side::Answers)
            .await?;
        let until = if more {
            rows.last().map(|(mark, _)| mark.0)
        } else {
            stretch.until.as_ref().map(|mark| mark.0)
        };
        let range = (
            stretch.after.as_ref().map_or(0, |mark| mark.0),
            until.unwrap_or(u64::MAX),
        );
        let applied = self.applied_of(table, range).await?;
        let listed = |(mark, held): (CopyMark, Held)| Listed {
            mark,
            stamp: held.stamp,
            hash: held.hash,
            damaged: held.damaged,
        };
        Ok(Listing {
            rows: rows.into_iter().map(listed).collect(),
            more,
            applied,
            horizons: self.local.horizons(table.id()),
        })
    }

    /// How far the logs that speak of some routes are applied here, as it is stored: the ends of this replica's own, and its
    /// cursors of others'. What stands in memory may be a moment behind what can be read.
    async fn applied_of(&self, table: &Table, (first, last): (u64, u64)) -> Result<Vec<(LogInfo, Position)>> {
        let speaks = |info: &LogInfo| info.range.0 <= last && info.range.1 >= first;
        let mut applied = Vec::new();
        let distrust = self.local.store().distrusted().now();
        for info in self.local.logs_of(table).into_iter().filter(speaks) {
            // No link brings what a log has lost, so nobody may wait for it.
            if distrust.may_lack(LogId(info.log.0)) {
                continue;
            }
            applied.push((info, self.logs.stored_end(info.log).await?));
        }
        for (info, _) in self.merge.cursors.of_table(table.id()) {
            if speaks(&info) {
                applied.push((info, self.merge.stored_cursor(&info).await?));
            }
        }
        Ok(applied)
    }

    /// The answering side: rows with all that is in them, of the first so many marks. What fails its check is not given away.
    pub(crate) async fn fetch_rows(
        &self,
        table: &Table,
        kind: RowKind,
        mut marks: Vec<CopyMark>,
    ) -> Result<(u32, Vec<Delta>)> {
        marks.truncate(FETCH_KEYS_MAX);
        let (mut taken, mut deltas, mut bytes) = (0, Vec::new(), 0);
        for mark in marks {
            taken += 1;
            let key = place(table.id(), kind, &mark);
            let Some(value) = self.local.store().get(&key).await? else {
                continue;
            };
            bytes += key.len() + value.len();
            if let Ok(record) = Record::read(&value) {
                deltas.extend(delta_of(kind, mark.1, record));
            }
            if bytes >= FETCH_BYTES {
                break;
            }
        }
        self.pace(bytes).await;
        Ok((taken, deltas))
    }
}

fn delta_of(kind: RowKind, key: Bytes, record: Record) -> Option<Delta> {
    let version = record.into_version();
    match kind {
        RowKind::Item => Some(Delta::Version { key, version }),
        RowKind::Conflict => Some(Delta::Conflict {
            key: key.slice(..key.len().checked_sub(Stamp::LEN)?),
            // As in copies: which version won is not part of the record.
            winner: version.stamp,
            loser: version,
        }),
    }
}

/// A sum that is being taken.
#[derive(Default)]
struct Summing {
    rows: u32,
    hasher: Xxh3,
}

impl Summing {
    fn sum(self) -> Sum {
        let hash = self.hasher.digest128();
        Sum(self.rows, (hash >> 64) as u64, hash as u64)
    }
}
