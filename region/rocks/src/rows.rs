//! From a RocksDB iterator to pages and records.

use std::ops::Bound;

use bytes::Bytes;
use geodynamo_storage::{Direction, LogRecord, Page, Scan, StorageError};
use rocksdb::{DB, DBAccess, DBRawIteratorWithThreadMode, ReadOptions};

use crate::{
    classes::{Family, Span, Spot},
    layout::position_of,
    store::family,
};

/// How an iterator for a scan is to be made: with its bounds, so it never reads what lies outside.
pub(crate) fn read_options(scan: &Scan) -> ReadOptions {
    let mut options = ReadOptions::default();
    options.fill_cache(!scan.once);
    match &scan.from {
        Bound::Unbounded => {}
        Bound::Included(from) => options.set_iterate_lower_bound(&from[..]),
        Bound::Excluded(from) => options.set_iterate_lower_bound(just_behind(from)),
    }
    match &scan.to {
        Bound::Unbounded => {}
        Bound::Included(to) => options.set_iterate_upper_bound(just_behind(to)),
        Bound::Excluded(to) => options.set_iterate_upper_bound(&to[..]),
    }
    options
}

/// The least key greater than another.
pub(crate) fn just_behind(key: &[u8]) -> Vec<u8> {
    let mut behind = Vec::with_capacity(key.len() + 1);
    behind.extend_from_slice(key);
    behind.push(0);
    behind
}

/// The value of a key at a snapshot.
pub(crate) fn get_at(
    db: &DB,
    view: &rocksdb::Snapshot<'_>,
    key: &[u8],
    spot: Spot,
) -> Result<Option<Bytes>, StorageError> {
    let get = |from: Family| {
        let value = view.get_pinned_cf(family(db, from.name())?, key).map_err(failed)?;
        Ok(value.map(|value| Bytes::copy_from_slice(&value)))
    };
    match spot {
        Spot::In(family) => get(family),
        Spot::Either(to) => match get(to)? {
            None => get(to.other()),
            found => Ok(found),
        },
    }
}

/// The page of a scan at a snapshot.
pub(crate) fn page_at(db: &DB, view: &rocksdb::Snapshot<'_>, scan: &Scan, span: Span) -> Result<Page, StorageError> {
    let rows = |of: Family, options| Ok(view.raw_iterator_cf_opt(family(db, of.name())?, options));
    match span {
        Span::In(family) => page(rows(family, read_options(scan))?, scan),
        Span::Both(bound) => {
            let options = |family| {
                let mut options = read_options(scan);
                if let Some((of, first)) = &bound
                    && *of == family
                    && begins_before(scan, first)
                {
                    // Before it are only marks of rows that were moved away, which would all be passed over.
                    options.set_iterate_lower_bound(&first[..]);
                }
                options
            };
            let [data, cold] = [Family::Data, Family::Cold].map(|family| rows(family, options(family)));
            page(Merged::new(data?, cold?, scan.direction), scan)
        }
    }
}

fn begins_before(scan: &Scan, key: &[u8]) -> bool {
    match &scan.from {
        Bound::Included(from) | Bound::Excluded(from) => *key > **from,
        Bound::Unbounded => true,
    }
}

/// What a page is made of: rows in one direction.
pub(crate) trait Rows {
    fn seek_to_first(&mut self);
    fn seek_to_last(&mut self);
    fn item(&self) -> Option<(&[u8], &[u8])>;
    fn next(&mut self);
    fn prev(&mut self);
    fn status(&self) -> Result<(), rocksdb::Error>;
}

impl<D: DBAccess> Rows for DBRawIteratorWithThreadMode<'_, D> {
    fn seek_to_first(&mut self) {
        self.seek_to_first();
    }

    fn seek_to_last(&mut self) {
        self.seek_to_last();
    }

    fn item(&self) -> Option<(&[u8], &[u8])> {
        self.item()
    }

    fn next(&mut self) {
        self.next();
    }

    fn prev(&mut self) {
        self.prev();
    }

    fn status(&self) -> Result<(), rocksdb::Error> {
        self.status()
    }
}

/// Rows of two families as one sequence. No key is in both. It goes one way only.
struct Merged<R> {
    rows: [R; 2],
    direction: Direction,
    /// Whose row is the next.
    first: usize,
}

impl<R: Rows> Merged<R> {
    fn new(data: R, cold: R, direction: Direction) -> Self {
        Self {
            rows: [data, cold],
            direction,
            first: 0,
        }
    }

    fn choose(&mut self) {
        let [a, b] = [&self.rows[0], &self.rows[1]].map(|rows| rows.item().map(|(key, _)| key));
        self.first = match (a, b) {
            (Some(a), Some(b)) => usize::from((a > b) == (self.direction == Direction::Forward)),
            (None, Some(_)) => 1,
            (_, None) => 0,
        };
    }
}

impl<R: Rows> Rows for Merged<R> {
    fn seek_to_first(&mut self) {
        self.rows.iter_mut().for_each(Rows::seek_to_first);
        self.choose();
    }

    fn seek_to_last(&mut self) {
        self.rows.iter_mut().for_each(Rows::seek_to_last);
        self.choose();
    }

    fn item(&self) -> Option<(&[u8], &[u8])> {
        self.rows[self.first].item()
    }

    fn next(&mut self) {
        self.rows[self.first].next();
        self.choose();
    }

    fn prev(&mut self) {
        self.rows[self.first].prev();
        self.choose();
    }

    fn status(&self) -> Result<(), rocksdb::Error> {
        self.rows.iter().try_for_each(Rows::status)
    }
}

/// The page of an iterator made with [`read_options`].
pub(crate) fn page(mut rows: impl Rows, scan: &Scan) -> Result<Page, StorageError> {
    match scan.direction {
        Direction::Forward => rows.seek_to_first(),
        Direction::Reverse => rows.seek_to_last(),
    }
    let mut page = Page::default();
    let mut bytes = 0usize;
    while let Some((key, value)) = rows.item() {
        bytes = bytes.saturating_add(key.len()).saturating_add(value.len());
        page.rows
            .push((Bytes::copy_from_slice(key), Bytes::copy_from_slice(value)));
        if page.rows.len() >= scan.rows_max || bytes >= scan.bytes_max {
            page.more = true;
            break;
        }
        match scan.direction {
            Direction::Forward => rows.next(),
            Direction::Reverse => rows.prev(),
        }
    }
    // An iterator that fails looks like one at its end.
    rows.status().map_err(failed)?;
    Ok(page)
}

/// Records of a log that are being gathered.
#[derive(Debug)]
pub(crate) struct Records {
    pub(crate) found: Vec<LogRecord>,
    bytes: usize,
    rows_max: usize,
    bytes_max: usize,
}

impl Records {
    /// None yet. At most so many are gathered, and none once so many bytes are reached.
    pub(crate) fn new(rows_max: usize, bytes_max: usize) -> Self {
        Self {
            found: Vec::new(),
            bytes: 0,
            rows_max,
            bytes_max,
        }
    }

    /// Whether no more are wanted.
    pub(crate) fn is_full(&self) -> bool {
        !self.found.is_empty() && (self.found.len() >= self.rows_max || self.bytes >= self.bytes_max)
    }

    /// Takes those of an iterator that is bounded to one stretch of a log.
    pub(crate) fn take<D: DBAccess>(
        &mut self,
        mut rows: DBRawIteratorWithThreadMode<'_, D>,
    ) -> Result<(), StorageError> {
        rows.seek_to_first();
        while let Some((key, record)) = rows.item() {
            self.bytes = self.bytes.saturating_add(record.len());
            self.found.push(LogRecord {
                position: position_of(key)?,
                record: Bytes::copy_from_slice(record),
            });
            if self.is_full() {
                break;
            }
            rows.next();
        }
        rows.status().map_err(failed)
    }
}

/// RocksDB's error as the engine's.
pub(crate) fn failed(error: rocksdb::Error) -> StorageError {
    StorageError::Io(error.into_string().into())
}
