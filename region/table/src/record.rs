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
/// The most entries of a past in a record.
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
        entries.sort_unstable_by_key(|stamp| (stamp.replica, stamp.expiry));
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

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn stamp(ms: u64, counter: u64, replica: u64) -> Stamp {
        Stamp::new(Hlc(Hlc::from_millis(ms).0 + counter), ReplicaId(replica))
    }

    /// Name, record: one line each in the golden file.
    fn samples() -> Vec<(&'static str, Record)> {
        let past = |stamps: &[Stamp]| stamps.iter().copied().collect::<Past>();
        let record = |stamp, past, item: Option<&'static [u8]>| Record {
            stamp,
            past,
            kind: MergeKind::ItemLww,
            item: item.map(Bytes::from_static),
        };
        let first = stamp(1_763_890_000_000, 0, 7);
        let second = stamp(1_763_890_000_001, 3, 0x0102_0304_0506_0708);
        vec![
            ("first", record(first, Past::new(), Some(b"item"))),
            ("tombstone", record(second, past(&[first]), None)),
            ("expired", record(second.expired(), past(&[first]), None)),
            (
                "two-pasts",
                record(
                    stamp(1_763_890_000_002, 0, 9),
                    past(&[first, second.expired()]),
                    Some(b"\x00\xff"),
                ),
            ),
            ("empty-item", record(first, Past::new(), Some(b""))),
        ]
    }

    #[test]
    fn the_layout_is_the_golden_files() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden/record-1.hex");
        let golden = std::fs::read_to_string(path).unwrap();
        let lines: Vec<_> = golden.lines().filter(|line| !line.starts_with('#')).collect();
        let hex = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
        let written: Vec<_> = samples()
            .iter()
            .map(|(name, record)| format!("{name} {}", hex(&record.write())))
            .collect();
        assert_eq!(lines, written);
        for (line, (_, record)) in lines.iter().zip(samples()) {
            let digits = line.split(' ').nth(1).unwrap();
            let byte = |at| u8::from_str_radix(&digits[at..at + 2], 16).unwrap();
            let bytes: Bytes = (0..digits.len()).step_by(2).map(byte).collect::<Vec<_>>().into();
            assert_eq!(Record::read(&bytes).unwrap(), record, "{line}");
            assert_eq!(item_of(&bytes).unwrap(), record.item);
        }
    }

    #[test]
    fn a_past_that_is_too_long_loses_its_oldest() {
        let past: Past = (0..300).map(|replica| stamp(1000 + replica, 0, 1 + replica)).collect();
        let bytes = write(stamp(5000, 0, 1), &past, MergeKind::ItemLww, Some(b"x"));
        let read = Record::read(&bytes).unwrap();
        assert_eq!(read.past.len(), PAST_MAX);
        assert!(read.past.covers(stamp(1299, 0, 300)) && !read.past.covers(stamp(1044, 0, 45)));
        assert_eq!(read.item.as_deref(), Some(&b"x"[..]));
    }

    fn arb_stamp() -> impl Strategy<Value = Stamp> {
        (any::<u64>(), any::<u64>(), any::<bool>()).prop_map(|(time, replica, expiry)| Stamp {
            time: Hlc(time),
            replica: ReplicaId(replica),
            expiry,
        })
    }

    proptest! {
        #[test]
        fn records_come_back(
            stamp in arb_stamp(),
            past in proptest::collection::vec(arb_stamp(), 0..5),
            item in proptest::option::of(proptest::collection::vec(any::<u8>(), 0..40)),
        ) {
            let record = Record {
                stamp,
                past: past.into_iter().collect(),
                kind: MergeKind::ItemLww,
                item: item.map(Bytes::from),
            };
            let bytes = record.write();
            prop_assert_eq!(item_of(&bytes).unwrap(), record.item.clone());
            prop_assert_eq!(Record::read(&bytes).unwrap(), record);
        }

        #[test]
        fn damaged_records_are_refused_or_read_but_never_panic(
            mut bytes in proptest::collection::vec(any::<u8>(), 0..120),
            plausible in any::<bool>(),
        ) {
            if let (true, [format, kind, flags, ..]) = (plausible, &mut bytes[..]) {
                (*format, *kind, *flags) = (FORMAT, 0, *flags % 4);
            }
            let bytes = Bytes::from(bytes);
            let read = Record::read(&bytes);
            if let Ok(record) = read {
                prop_assert_eq!(item_of(&bytes).unwrap(), record.item);
            }
        }
    }
}
