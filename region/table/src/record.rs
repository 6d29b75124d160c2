//! The stored record of a key: its version, with the item in its stored form.
//!
//! Layout: format byte, merge kind, flags, stamp time (8, big-endian), stamp replica (8), count of the past's entries (1),
//! each 17 bytes as [`Stamp::to_bytes`], then the item's stored form; a tombstone has nothing there. The golden file in
//! `tests/golden` holds it still.

use bytes::{BufMut, Bytes};
use geodynamo_replicator_core::{Hlc, MergeKind, Past, ReplicaId, Stamp, Version};

use crate::{Result, TableError};

/// The one format there is.
const FORMAT: u8 = 1;
const FLAG_TOMBSTONE: u8 = 1;
const FLAG_EXPIRY: u8 = 2;
/// Bytes before the past's entries.
const HEAD: usize = 20;
/// The most replicas a past can name in a record.
pub(crate) const PAST_MAX: usize = u8::MAX as usize;

/// A stored record, read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Record {
    pub(crate) stamp: Stamp,
    pub(crate) past: Past,
    pub(crate) kind: MergeKind,
    /// The item's stored form; `None` for a tombstone.
    pub(crate) item: Option<Bytes>,
}

impl Record {
    /// Reads a stored record; the item's bytes are shared, not copied.
    pub(crate) fn read(bytes: &Bytes) -> Result<Self> {
        let head = Head::read(bytes)?;
        let past = bytes[HEAD..head.item_at]
            .chunks_exact(Stamp::LEN)
            .map(|entry| {
                let entry: &[u8; Stamp::LEN] = entry.try_into().map_err(|_| corrupt("past"))?;
                Stamp::from_bytes(entry).ok_or_else(|| corrupt("past"))
            })
            .collect::<Result<Past>>()?;
        Ok(Self {
            stamp: head.stamp,
            past,
            kind: head.kind,
            item: head.live.then(|| bytes.slice(head.item_at..)),
        })
    }

    /// The bytes to store.
    pub(crate) fn write(&self) -> Bytes {
        write(self.stamp, &self.past, self.kind, self.item.as_deref())
    }

    /// As the replicator knows it.
    pub(crate) fn into_version(self) -> Version {
        Version {
            stamp: self.stamp,
            past: self.past,
            kind: self.kind,
            value: self.item,
        }
    }

    /// From what the replicator brought.
    pub(crate) fn from_version(version: Version) -> Self {
        Self {
            stamp: version.stamp,
            past: version.past,
            kind: version.kind,
            item: version.value,
        }
    }
}

/// The item's stored form within a stored record, without copying; `None` for a tombstone. All that a read needs.
pub(crate) fn item_of(bytes: &Bytes) -> Result<Option<Bytes>> {
    let head = Head::read(bytes)?;
    Ok(head.live.then(|| bytes.slice(head.item_at..)))
}

/// The bytes of a record.
pub(crate) fn write(stamp: Stamp, past: &Past, kind: MergeKind, item: Option<&[u8]>) -> Bytes {
    let mut out = Vec::with_capacity(HEAD + past.len() * Stamp::LEN + item.map_or(0, <[u8]>::len));
    out.put_u8(FORMAT);
    out.put_u8(kind.into());
    let tombstone = if item.is_none() { FLAG_TOMBSTONE } else { 0 };
    let expiry = if stamp.expiry { FLAG_EXPIRY } else { 0 };
    out.put_u8(tombstone | expiry);
    out.put_u64(stamp.time.0);
    out.put_u64(stamp.replica.0);
    // A past has an entry per incarnation that ever wrote the key; the oldest are dropped past PAST_MAX. That can only
    // make an overwrite of a very old version look like a conflict, never the reverse.
    let dropped = past.len().saturating_sub(PAST_MAX);
    let mut entries: Vec<Stamp> = Vec::new();
    if dropped > 0 {
        entries = past.iter().collect();
        entries.sort_unstable();
        entries.drain(..dropped);
        entries.sort_unstable_by_key(|stamp| stamp.replica);
    }
    out.put_u8(u8::try_from(past.len() - dropped).unwrap_or(u8::MAX));
    if dropped > 0 {
        entries
            .iter()
            .for_each(|stamp| out.extend_from_slice(&stamp.to_bytes()));
    } else {
        past.iter().for_each(|stamp| out.extend_from_slice(&stamp.to_bytes()));
    }
    out.extend_from_slice(item.unwrap_or_default());
    out.into()
}

struct Head {
    stamp: Stamp,
    kind: MergeKind,
    live: bool,
    item_at: usize,
}

impl Head {
    fn read(bytes: &[u8]) -> Result<Self> {
        let head: &[u8; HEAD] = bytes.first_chunk().ok_or_else(|| corrupt("head"))?;
        if head[0] != FORMAT {
            return Err(corrupt("format byte"));
        }
        let kind = MergeKind::try_from(head[1]).map_err(TableError::Corrupt)?;
        let flags = head[2];
        let mut time = [0; 8];
        time.copy_from_slice(&head[3..11]);
        let mut replica = [0; 8];
        replica.copy_from_slice(&head[11..19]);
        let stamp = Stamp {
            time: Hlc(u64::from_be_bytes(time)),
            replica: ReplicaId(u64::from_be_bytes(replica)),
            expiry: flags & FLAG_EXPIRY != 0,
        };
        let item_at = HEAD + usize::from(head[19]) * Stamp::LEN;
        if bytes.len() < item_at {
            return Err(corrupt("past"));
        }
        Ok(Self {
            stamp,
            kind,
            live: flags & FLAG_TOMBSTONE == 0,
            item_at,
        })
    }
}

fn corrupt(what: &str) -> TableError {
    TableError::Corrupt(format!("a stored record's {what} cannot be read"))
}
