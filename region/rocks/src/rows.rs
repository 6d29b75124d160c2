//! From a RocksDB iterator to pages and records.

use std::ops::Bound;

use bytes::Bytes;
use geodynamo_storage::{Direction, LogRecord, Page, Scan, StorageError};
use rocksdb::{DBAccess, DBRawIteratorWithThreadMode, ReadOptions};

use crate::layout::position_of;

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
fn just_behind(key: &[u8]) -> Vec<u8> {
    let mut behind = Vec::with_capacity(key.len() + 1);
    behind.extend_from_slice(key);
    behind.push(0);
    behind
}

/// The page of an iterator made with [`read_options`].
pub(crate) fn page<D: DBAccess>(
    mut rows: DBRawIteratorWithThreadMode<'_, D>,
    scan: &Scan,
) -> Result<Page, StorageError> {
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
