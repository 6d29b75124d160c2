//! The stored record of a key: its version, with the item in its stored form.
//!
//! Layout: format byte, merge kind, flags, stamp time (8, big-endian), stamp replica (8), count of the past's entries (1),
//! each 17 bytes as [`Stamp::to_bytes`], then the item's stored form (a tombstone has nothing there; that of an expiry has a
//! note, 8), then a check (4): the lower half of XXH3-64 over all before it. Records of format 1 have neither note nor check.
//! The golden files in `tests/golden` hold it still.
//!
//! An expiry bears the stamp of what it expired, so its stamp does not tell when it was made. The note does: when this replica
//! had it, by its own clock, or 0. It is no part of the version.
//!
//! The check is looked at whenever a record is read, so what has rotted is neither shown to anybody nor sent to another
//! region; verification (`verify`) finds it and brings it back from there.

use bytes::{BufMut, Bytes};
use geodynamo_replicator_core::{Hlc, MergeKind, Millis, Past, ReplicaId, Stamp, Version};
use xxhash_rust::xxh3::{Xxh3, xxh3_64};

use crate::{Result, TableError};

/// The format that is written.
const FORMAT: u8 = 2;
/// The format without a check.
const FORMAT_UNCHECKED: u8 = 1;
/// Bytes of an expiry's note.
const NOTE: usize = 8;
/// Bytes of the check.
const CHECK: usize = 4;
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
            item: head.live.then(|| bytes.slice(head.item_at..head.end)),
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
    Ok(head.live.then(|| bytes.slice(head.item_at..head.end)))
}

/// The bytes of a record.
pub(crate) fn write(stamp: Stamp, past: &Past, kind: MergeKind, item: Option<&[u8]>) -> Bytes {
    let mut out = Vec::with_capacity(HEAD + past.len() * Stamp::LEN + item.map_or(0, <[u8]>::len) + NOTE + CHECK);
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
    if item.is_none() && stamp.expiry {
        out.extend_from_slice(&[0; NOTE]);
    }
    out.extend_from_slice(&check_of(&out));
    out.into()
}

/// Bytes behind what a record says: an expiry's note, and the check.
fn behind(bytes: &[u8]) -> usize {
    const EXPIRED: u8 = FLAG_TOMBSTONE | FLAG_EXPIRY;
    match bytes {
        [FORMAT, _, flags, ..] if flags & EXPIRED == EXPIRED => NOTE + CHECK,
        [FORMAT, ..] => CHECK,
        _ => 0,
    }
}

/// When this replica had an expiry, in milliseconds since the Unix epoch, if that was noted.
pub(crate) fn noted(bytes: &[u8]) -> Option<Millis> {
    let (rest, _) = bytes.split_last_chunk::<CHECK>()?;
    let (_, note) = rest.split_last_chunk::<NOTE>()?;
    let note = u64::from_be_bytes(*note);
    (behind(bytes) == NOTE + CHECK && note > 0).then_some(note)
}

/// An expiry's record with a note of when this replica had it.
pub(crate) fn with_note(record: &Record, now: Millis) -> Bytes {
    let mut out = record.write().to_vec();
    if behind(&out) == NOTE + CHECK {
        out.truncate(out.len() - NOTE - CHECK);
        out.extend_from_slice(&now.to_be_bytes());
        out.extend_from_slice(&check_of(&out));
    }
    out.into()
}

fn check_of(bytes: &[u8]) -> [u8; CHECK] {
    let [.., a, b, c, d] = xxh3_64(bytes).to_be_bytes();
    [a, b, c, d]
}

/// Takes what a record says into a hash: the same for one of any format, so that replicas whose releases wrote different
/// ones compare equal.
pub(crate) fn hash_into(hasher: &mut Xxh3, bytes: &[u8]) {
    match bytes.split_first() {
        Some((&FORMAT, rest)) => {
            hasher.update(&[FORMAT_UNCHECKED]);
            hasher.update(&rest[..rest.len().saturating_sub(behind(bytes))]);
        }
        _ => hasher.update(bytes),
    }
}

/// How many bytes [`hash_into`] takes in.
pub(crate) fn hashed_len(bytes: &[u8]) -> usize {
    bytes.len().saturating_sub(behind(bytes))
}

/// What is left of a record that fails its check, for whoever takes away what was derived from it.
pub(crate) fn salvage(bytes: &Bytes) -> Option<Record> {
    let body = bytes.get(..bytes.len().checked_sub(CHECK)?)?;
    let mut whole = body.to_vec();
    *whole.first_mut()? = FORMAT;
    whole.extend_from_slice(&check_of(&whole));
    Record::read(&whole.into()).ok()
}

struct Head {
    stamp: Stamp,
    kind: MergeKind,
    live: bool,
    item_at: usize,
    /// Where the item ends.
    end: usize,
}

impl Head {
    fn read(bytes: &[u8]) -> Result<Self> {
        let head: &[u8; HEAD] = bytes.first_chunk().ok_or_else(|| corrupt("head"))?;
        let end = match head[0] {
            FORMAT_UNCHECKED => bytes.len(),
            FORMAT => {
                let (body, check) = bytes.split_last_chunk::<CHECK>().ok_or_else(|| corrupt("check"))?;
                if check_of(body) != *check {
                    return Err(corrupt("check"));
                }
                bytes.len().saturating_sub(behind(bytes))
            }
            _ => return Err(corrupt("format byte")),
        };
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
        if end < item_at {
            return Err(corrupt("past"));
        }
        Ok(Self {
            stamp,
            kind,
            live: flags & FLAG_TOMBSTONE == 0,
            item_at,
            end,
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
        let hex = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
        let written: Vec<_> = samples()
            .iter()
            .map(|(name, record)| format!("{name} {}", hex(&record.write())))
            .collect();
        assert_eq!(golden("record-2.hex"), written);
        let mut hashes = Vec::new();
        for file in ["record-1.hex", "record-2.hex"] {
            for (line, (_, record)) in golden(file).iter().zip(samples()) {
                let digits = line.split(' ').nth(1).unwrap();
                let byte = |at| u8::from_str_radix(&digits[at..at + 2], 16).unwrap();
                let bytes: Bytes = (0..digits.len()).step_by(2).map(byte).collect::<Vec<_>>().into();
                assert_eq!(Record::read(&bytes).unwrap(), record, "{line}");
                assert_eq!(item_of(&bytes).unwrap(), record.item);
                let mut hasher = Xxh3::new();
                hash_into(&mut hasher, &bytes);
                hashes.push((hashed_len(&bytes), hasher.digest()));
            }
        }
        let (first, second) = hashes.split_at(samples().len());
        assert_eq!(first, second, "what a record says is the same in both formats");
    }

    fn golden(file: &str) -> Vec<String> {
        let path = format!("{}/tests/golden/{file}", env!("CARGO_MANIFEST_DIR"));
        let golden = std::fs::read_to_string(path).unwrap();
        let lines = golden.lines().filter(|line| !line.starts_with('#'));
        lines.map(str::to_owned).collect()
    }

    #[test]
    fn a_flipped_bit_is_noticed_and_the_rest_salvaged() {
        let (_, record) = samples().remove(0);
        let whole = record.write();
        for bit in 0..whole.len() * 8 {
            let mut bytes = whole.to_vec();
            bytes[bit / 8] ^= 1 << (bit % 8);
            let bytes = Bytes::from(bytes);
            // Format 3, 0 and so on are not read either; format 1 has no check, and is two bits away.
            assert!(Record::read(&bytes).is_err() && item_of(&bytes).is_err(), "bit {bit}");
        }
        let mut bytes = whole.to_vec();
        let item_at = whole.len() - CHECK - 1;
        bytes[item_at] ^= 1;
        let salvaged = salvage(&bytes.into()).unwrap();
        assert_eq!((salvaged.stamp, &salvaged.past), (record.stamp, &record.past));
        assert_ne!(salvaged.item, record.item);
    }

    #[test]
    fn a_note_is_no_part_of_what_an_expiry_says() {
        let all = samples();
        for (name, record) in &all {
            let (plain, bytes) = (record.write(), with_note(record, 7));
            let is_expiry = *name == "expired";
            assert_eq!((noted(&plain), noted(&bytes)), (None, is_expiry.then_some(7)), "{name}");
            assert_eq!(Record::read(&bytes).unwrap(), *record);
            let hash = |bytes: &[u8]| {
                let mut hasher = Xxh3::new();
                hash_into(&mut hasher, bytes);
                (hashed_len(bytes), hasher.digest())
            };
            assert_eq!(hash(&plain), hash(&bytes));
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
                (*format, *kind, *flags) = (FORMAT_UNCHECKED, 0, *flags % 4);
            }
            let bytes = Bytes::from(bytes);
            let read = Record::read(&bytes);
            if let Ok(record) = read {
                prop_assert_eq!(item_of(&bytes).unwrap(), record.item);
            }
        }
    }
}
