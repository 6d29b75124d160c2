//! Reading a view: rows from Cassandra, with what is known better over them.

use std::ops::Bound;

use bytes::{BufMut, Bytes, BytesMut};
use futures_util::{StreamExt, TryStreamExt, stream};
use geodynamo_storage::{Direction, KEY_BYTES_MAX, Page, Scan, StorageError};

use crate::{
    overlay::{Merged, Sorted, Value},
    rows::Keys,
    views::View,
};

/// Rows of the first page of a scan; their size tells how many the next ones may have.
const FIRST_ROWS: i32 = 64;
const ROWS_MAX: i32 = 4000;
/// Bytes that a page of Cassandra's should have.
const PAGE_BYTES: usize = 1 << 20;
/// Rows that are asked for at once.
pub(crate) const GETS_AT_ONCE: usize = 32;

impl View {
    pub(crate) async fn get(&self, key: &[u8]) -> Result<Value, StorageError> {
        if key.len() > KEY_BYTES_MAX {
            return Ok(None);
        }
        let (moment, shared) = (self.moment(), self.shared());
        if let Some(value) = moment.overlay.get(key) {
            return Ok(value);
        }
        let range = shared.state.lock().range_of(key);
        let stored = shared.store.get(range, key).await?;
        // Behind the read: rows may have gone on meanwhile.
        let undo = moment.undo.lock().rows()?;
        Ok(undo.get(key).cloned().unwrap_or(stored))
    }

    pub(crate) async fn get_many(&self, keys: &[Bytes]) -> Result<Vec<Value>, StorageError> {
        stream::iter(keys.to_vec())
            .map(|key| async move { self.get(&key).await })
            .buffered(GETS_AT_ONCE)
            .try_collect()
            .await
    }

    pub(crate) async fn scan(&self, scan: &Scan) -> Result<Page, StorageError> {
        let mut page = Page::default();
        if scan.is_empty() {
            return Ok(page);
        }
        let (mut from, mut to) = limits(scan);
        let (mut bytes, mut rows_max) = (0usize, FIRST_ROWS);
        if let Ok(wanted) = i32::try_from(scan.rows_max) {
            rows_max = rows_max.min(wanted.saturating_add(1));
        }
        loop {
            let is_reverse = scan.direction == Direction::Reverse;
            // The part of one range that is read next.
            let (range, keys) = self.part(&from, to.as_ref(), is_reverse);
            let (rows, more) = self.shared().store.scan(range, &keys, rows_max).await?;
            let read: usize = rows.iter().map(|(key, value)| key.len() + value.len()).sum();
            // What the page covers, and what is left behind it.
            let covered = match rows.last().filter(|_| more) {
                None => (keys.from.clone(), keys.to.clone()),
                Some((last, _)) if is_reverse => (last.clone(), keys.to.clone()),
                Some((last, _)) => (keys.from.clone(), Some(successor(last))),
            };
            if !self.merge(scan, &covered, &rows, &mut page, &mut bytes)? {
                return Ok(page);
            }
            if is_reverse {
                if covered.0 <= from {
                    return Ok(page);
                }
                to = Some(covered.0);
            } else {
                match covered.1 {
                    Some(end) if to.as_ref().is_none_or(|to| end < *to) => from = end,
                    _ => return Ok(page),
                }
            }
            if let Some(mean) = read.checked_div(rows.len()) {
                rows_max = i32::try_from(PAGE_BYTES / mean.max(1))
                    .unwrap_or(ROWS_MAX)
                    .clamp(2, ROWS_MAX);
            }
        }
    }

    /// The first range with keys between the bounds (in reverse the last one), and what of it is between them.
    fn part(&self, from: &Bytes, to: Option<&Bytes>, is_reverse: bool) -> (i64, Keys) {
        let state = self.shared().state.lock();
        let ranges = &state.ranges;
        let found = match (is_reverse, to) {
            (false, _) => ranges.get_prev(from),
            (true, Some(to)) => ranges.range(..to.clone()).next_back(),
            (true, None) => ranges.get_max().map(|(first, range)| (first, range)),
        };
        let (first, range) = found.map_or((Bytes::new(), 0), |(first, range)| (first.clone(), *range));
        let next = ranges
            .range((Bound::Excluded(first.clone()), Bound::Unbounded))
            .next()
            .map(|(next, _)| next.clone());
        let to = match (to.cloned(), next) {
            (Some(to), Some(next)) => Some(to.min(next)),
            (to, next) => to.or(next),
        };
        let keys = Keys {
            from: from.clone().max(first),
            to,
            reverse: is_reverse,
        };
        (range, keys)
    }

    /// Adds what is between the bounds to a page; whether there is room for more.
    fn merge(
        &self,
        scan: &Scan,
        (from, to): &(Bytes, Option<Bytes>),
        rows: &[(Bytes, Bytes)],
        page: &mut Page,
        bytes: &mut usize,
    ) -> Result<bool, StorageError> {
        let moment = self.moment();
        // Behind the read: rows may have gone on meanwhile.
        let undo = moment.undo.lock().rows()?;
        let bounds = (
            Bound::Included(from.clone()),
            to.clone().map_or(Bound::Unbounded, Bound::Excluded),
        );
        if to.as_ref().is_some_and(|to| to <= from) {
            return Ok(true);
        }
        let undone = undo
            .range(bounds.clone())
            .map(|(key, value)| (key.clone(), value.clone()));
        let undone: Sorted<'_> = match scan.direction {
            Direction::Forward => Box::new(undone.filter(|(key, _)| !moment.overlay.hides(key))),
            Direction::Reverse => Box::new(undone.rev().filter(|(key, _)| !moment.overlay.hides(key))),
        };
        let stored = rows.iter().filter(|(key, _)| !moment.overlay.hides(key));
        let stored = Box::new(stored.map(|(key, value)| (key.clone(), Some(value.clone()))));
        let over = moment.overlay.within(bounds, scan.direction);
        for (key, value) in Merged::new([over, undone, stored], scan.direction) {
            let Some(value) = value else { continue };
            *bytes = bytes.saturating_add(key.len()).saturating_add(value.len());
            page.rows.push((key, value));
            if page.rows.len() >= scan.rows_max || *bytes >= scan.bytes_max {
                page.more = true;
                return Ok(false);
            }
        }
        Ok(true)
    }
}

/// A scan's bounds: from the first up to the second, or to the end.
fn limits(scan: &Scan) -> (Bytes, Option<Bytes>) {
    let from = match &scan.from {
        Bound::Unbounded => Bytes::new(),
        Bound::Included(from) => from.clone(),
        Bound::Excluded(from) => successor(from),
    };
    let to = match &scan.to {
        Bound::Unbounded => None,
        Bound::Included(to) => Some(successor(to)),
        Bound::Excluded(to) => Some(to.clone()),
    };
    (from, to)
}

/// The least key behind a key.
fn successor(key: &Bytes) -> Bytes {
    let mut next = BytesMut::with_capacity(key.len() + 1);
    next.put_slice(key);
    next.put_u8(0);
    next.freeze()
}
