//! What was changed within the window of an incremental export, a part of the keys at a time.

use std::collections::BTreeMap;

use bytes::Bytes;
use geodynamo_api::transfer::Millis;
use geodynamo_archive::Archive;
use geodynamo_recovery::Changes;
use geodynamo_table::ItemKey;

use crate::{Result, writer::Last};

/// Bytes of changed items that are held in memory at a time. One route's are held whatever they take.
const SLICE_BYTES_MAX: usize = if cfg!(test) { 600 } else { 32 << 20 };

/// A window of a chain.
pub(crate) struct Window<'a> {
    pub(crate) archive: &'a Archive,
    /// The chain's folder.
    pub(crate) dir: &'a str,
    /// Its begin, which is in it.
    pub(crate) from_ms: Millis,
    /// Its end, which is not.
    pub(crate) to_ms: Millis,
}

/// The last change of each item whose route is at most [`Slice::last`] and beyond the slice before.
pub(crate) struct Slice {
    pub(crate) last: u64,
    pub(crate) changed: BTreeMap<(u64, Bytes), Last>,
}

impl Slice {
    /// What is behind the last slice.
    pub(crate) fn end() -> Self {
        Self {
            last: u64::MAX,
            changed: BTreeMap::new(),
        }
    }

    /// Whether nothing is left, here or behind.
    pub(crate) fn is_end(&self) -> bool {
        self.last == u64::MAX && self.changed.is_empty()
    }
}

impl Window<'_> {
    /// The changes of the routes from one on: of as many as there is room for.
    pub(crate) async fn slice(&self, first: u64) -> Result<Slice> {
        let mut changes = Changes::between(self.archive, self.dir, self.from_ms, self.to_ms).await?;
        let mut changed = BTreeMap::<(u64, Bytes), Last>::new();
        let (mut last, mut bytes) = (u64::MAX, 0);
        while let Some(record) = changes.next().await? {
            if !(self.from_ms..self.to_ms).contains(&record.commit_ms) {
                continue;
            }
            let at = ItemKey::from_bytes(record.key)?;
            if !(first..=last).contains(&at.route()) {
                continue;
            }
            // Copies: a slice of a segment would keep all of it in memory.
            let key = Bytes::copy_from_slice(at.bytes());
            let item = record.item.map(|item| Bytes::copy_from_slice(&item));
            let change = Last {
                item,
                commit_ms: record.commit_ms,
            };
            bytes += size(&key, &change);
            if let Some(before) = changed.insert((at.route(), key.clone()), change) {
                bytes -= size(&key, &before);
            }
            // What there is no room for is left to the next slice, whole routes at a time.
            while bytes > SLICE_BYTES_MAX
                && let Some(greatest) = changed.last_key_value().map(|((route, _), _)| *route)
                && changed
                    .first_key_value()
                    .is_some_and(|((least, _), _)| *least < greatest)
            {
                let left = changed.split_off(&(greatest, Bytes::new()));
                bytes -= left.iter().map(|((_, key), change)| size(key, change)).sum::<usize>();
                last = greatest - 1;
            }
        }
        Ok(Slice { last, changed })
    }
}

fn size(key: &Bytes, change: &Last) -> usize {
    key.len() + change.item.as_ref().map_or(0, Bytes::len) + size_of::<Last>()
}
