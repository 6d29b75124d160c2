//! The contents of objects: chunks of bases, segments of logs, manifests, records.
//!
//! What has many small parts is binary: a version byte, then lengths and bytes, all numbers big-endian. What is small is
//! MessagePack with named fields. Golden files in `tests/golden` hold both still.

use bytes::{Buf, BufMut, Bytes, BytesMut};
use geodynamo_replicator_core::{Body, Change, Millis, Position, TransactionId};
use geodynamo_table::recovery::{Row, SealedRows, TableSettings};
use serde::{Deserialize, Serialize, de::DeserializeOwned};

use crate::{Error, Result};

/// What an object is, in its header.
pub(crate) mod kind {
    /// A chunk of a base.
    pub(crate) const CHUNK: u8 = 1;
    /// A base's manifest.
    pub(crate) const MANIFEST: u8 = 2;
    /// A segment of a change log.
    pub(crate) const SEGMENT: u8 = 3;
    /// A table's settings.
    pub(crate) const SETTINGS: u8 = 4;
    /// A backup's record.
    pub(crate) const RECORD: u8 = 5;
    /// A register's value.
    pub(crate) const REGISTER: u8 = 6;
}

/// The one version of chunks and segments.
const VERSION: u8 = 1;
const FLAG_DELETED: u8 = 1;
const FLAG_TRANSACTION: u8 = 2;

/// What a base is made of.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Manifest {
    /// The table's settings.
    #[serde(rename = "s")]
    pub settings: TableSettings,
    /// The moment of the base, in milliseconds since the Unix epoch.
    #[serde(rename = "t")]
    pub cut_ms: Millis,
    /// Where the logs ended then, by partition.
    #[serde(rename = "e")]
    pub ends: Vec<u64>,
    /// Its chunks, in the order of their rows.
    #[serde(rename = "c")]
    pub chunks: Vec<Chunk>,
    /// How many items there are.
    #[serde(rename = "n")]
    pub items: u64,
    /// Bytes of their stored forms and keys.
    #[serde(rename = "b")]
    pub stored_bytes: u64,
    /// Their size by DynamoDB's formula, as DescribeTable showed it.
    #[serde(rename = "z")]
    pub bytes: u64,
    /// Its rows are sealed as they lay in the table, whose key was away: by what they are opened.
    #[serde(rename = "y", default, skip_serializing_if = "Option::is_none")]
    pub sealed: Option<SealedRows>,
}

/// A chunk of a base.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Chunk {
    /// The route of its first row.
    #[serde(rename = "f")]
    pub first: u64,
    /// The route of its last row.
    #[serde(rename = "l")]
    pub last: u64,
    /// How many rows.
    #[serde(rename = "n")]
    pub items: u64,
}

/// A change as the archive keeps it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// The partition whose log it stands in.
    pub partition: usize,
    /// Its place there.
    pub position: u64,
    /// When it was committed, in milliseconds since the Unix epoch.
    pub commit_ms: Millis,
    /// The transaction it was part of.
    pub transaction: Option<TransactionId>,
    /// The item's key: the partition key terminated, then the sort key.
    pub key: Bytes,
    /// The item as it became, in its stored form; none if it was deleted.
    pub item: Option<Bytes>,
}

/// What a segment says of itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct SegmentHead {
    /// Behind which position of each partition's log it begins.
    #[serde(rename = "f")]
    pub(crate) from: Vec<u64>,
    /// Up to which position of each it goes.
    #[serde(rename = "t")]
    pub(crate) to: Vec<u64>,
    /// See [`crate::layout::SegmentName`].
    #[serde(rename = "c")]
    pub(crate) closed_ms: Millis,
    /// Likewise.
    #[serde(rename = "r")]
    pub(crate) reach_ms: Millis,
}

/// A segment that is being made.
#[derive(Debug)]
pub(crate) struct SegmentWriter {
    from: Vec<u64>,
    to: Vec<u64>,
    records: BytesMut,
}

/// A chunk that is being made.
#[derive(Debug, Default)]
pub(crate) struct ChunkWriter {
    rows: BytesMut,
    first: u64,
    last: u64,
    items: u64,
}

/// The bytes of something small.
pub(crate) fn pack<T: Serialize>(name: &str, value: &T) -> Result<Bytes> {
    let packed = rmp_serde::to_vec_named(value).map_err(|error| Error::damaged(name, error))?;
    Ok(packed.into())
}

/// Something small from its bytes.
pub(crate) fn unpack<T: DeserializeOwned>(name: &str, bytes: &[u8]) -> Result<T> {
    rmp_serde::from_slice(bytes).map_err(|error| Error::damaged(name, error))
}

impl SegmentWriter {
    /// A segment behind these positions.
    pub(crate) fn behind(from: &[u64]) -> Self {
        Self {
            from: from.to_vec(),
            to: from.to_vec(),
            records: BytesMut::new(),
        }
    }

    /// Bytes of its records.
    pub(crate) fn len(&self) -> usize {
        self.records.len()
    }

    /// Up to where it goes.
    pub(crate) fn to(&self) -> &[u64] {
        &self.to
    }

    /// Whether it goes nowhere.
    pub(crate) fn is_empty(&self) -> bool {
        self.from == self.to
    }

    /// Adds the next change of a partition's log. What changed no item only moves the position. Gives false for a change
    /// that does not tell what the item became.
    pub(crate) fn push(&mut self, partition: usize, position: Position, change: &Change) -> bool {
        if let Some(to) = self.to.get_mut(partition) {
            *to = position.0;
        }
        let Body::Item { deleted, images, .. } = &change.body else {
            return true;
        };
        let item = match (deleted, &images.new) {
            (true, _) => None,
            (false, Some(item)) => Some(item),
            (false, None) => return false,
        };
        let out = &mut self.records;
        // A table has no more partitions than a u16 has numbers; keys and items are far shorter than a u32.
        out.put_u16(partition as u16);
        out.put_u64(position.0);
        out.put_u64(change.commit_time);
        let deleted = if item.is_none() { FLAG_DELETED } else { 0 };
        let transaction = change.transaction.map_or(0, |_| FLAG_TRANSACTION);
        out.put_u8(deleted | transaction);
        out.put_u32(change.key.len() as u32);
        out.put_u32(item.map_or(0, |item| item.len() as u32));
        if let Some(id) = change.transaction {
            out.put_u128(id.0);
        }
        out.put_slice(&change.key);
        out.put_slice(item.map_or(&[], |item| item));
        true
    }

    /// Its content.
    pub(crate) fn finish(&self, closed_ms: Millis, reach_ms: Millis) -> Result<Bytes> {
        let head = SegmentHead {
            from: self.from.clone(),
            to: self.to.clone(),
            closed_ms,
            reach_ms,
        };
        let head = pack("a segment", &head)?;
        let mut out = BytesMut::with_capacity(5 + head.len() + self.records.len());
        out.put_u8(VERSION);
        out.put_u32(head.len() as u32);
        out.put_slice(&head);
        out.put_slice(&self.records);
        Ok(out.freeze())
    }
}

/// What a segment says of itself, and its records, which [`next_record`] reads.
pub(crate) fn open_segment(name: &str, mut content: Bytes) -> Result<(SegmentHead, Bytes)> {
    check_version(name, &mut content)?;
    let len = content.try_get_u32().map_err(|error| Error::damaged(name, error))? as usize;
    if content.len() < len {
        return Err(Error::damaged(name, "its head is cut off"));
    }
    let head: SegmentHead = unpack(name, &content.split_to(len))?;
    if head.from.len() != head.to.len() {
        return Err(Error::damaged(name, "its head contradicts itself"));
    }
    Ok((head, content))
}

/// The next record of a segment.
pub(crate) fn next_record(name: &str, records: &mut Bytes) -> Result<Option<Record>> {
    if records.is_empty() {
        return Ok(None);
    }
    read_record(records)
        .map(Some)
        .ok_or_else(|| Error::damaged(name, "a record is cut off"))
}

fn read_record(from: &mut Bytes) -> Option<Record> {
    let partition = usize::from(from.try_get_u16().ok()?);
    let position = from.try_get_u64().ok()?;
    let commit_ms = from.try_get_u64().ok()?;
    let flags = from.try_get_u8().ok()?;
    let key_len = from.try_get_u32().ok()? as usize;
    let item_len = from.try_get_u32().ok()? as usize;
    let transaction = if flags & FLAG_TRANSACTION == 0 {
        None
    } else {
        Some(TransactionId(from.try_get_u128().ok()?))
    };
    let key = take(from, key_len)?;
    let item = take(from, item_len)?;
    Some(Record {
        partition,
        position,
        commit_ms,
        transaction,
        key,
        item: (flags & FLAG_DELETED == 0).then_some(item),
    })
}

impl ChunkWriter {
    /// Adds the next row.
    pub(crate) fn push(&mut self, row: &Row) {
        if self.items == 0 {
            self.first = row.route;
        }
        self.last = row.route;
        self.items += 1;
        self.rows.put_u64(row.route);
        self.rows.put_u32(row.key.len() as u32);
        self.rows.put_u32(row.item.len() as u32);
        self.rows.put_slice(&row.key);
        self.rows.put_slice(&row.item);
    }

    /// Bytes of its rows.
    pub(crate) fn len(&self) -> usize {
        self.rows.len()
    }

    /// What it is, and its content; it is empty afterwards.
    pub(crate) fn take(&mut self) -> (Chunk, Bytes) {
        let Self {
            rows,
            first,
            last,
            items,
        } = std::mem::take(self);
        let mut out = BytesMut::with_capacity(1 + rows.len());
        out.put_u8(VERSION);
        out.put_slice(&rows);
        (Chunk { first, last, items }, out.freeze())
    }
}

/// The rows of a chunk.
pub(crate) fn open_chunk(name: &str, mut content: Bytes) -> Result<Vec<Row>> {
    check_version(name, &mut content)?;
    let mut rows = Vec::new();
    while !content.is_empty() {
        let row = read_row(&mut content).ok_or_else(|| Error::damaged(name, "a row is cut off"))?;
        rows.push(row);
    }
    Ok(rows)
}

fn read_row(from: &mut Bytes) -> Option<Row> {
    let route = from.try_get_u64().ok()?;
    let key_len = from.try_get_u32().ok()? as usize;
    let item_len = from.try_get_u32().ok()? as usize;
    Some(Row {
        route,
        key: take(from, key_len)?,
        item: take(from, item_len)?,
    })
}

fn take(from: &mut Bytes, len: usize) -> Option<Bytes> {
    (from.len() >= len).then(|| from.split_to(len))
}

fn check_version(name: &str, content: &mut Bytes) -> Result<()> {
    match content.try_get_u8() {
        Ok(VERSION) => Ok(()),
        Ok(other) => Err(Error::damaged(name, format!("version {other} is not known"))),
        Err(error) => Err(Error::damaged(name, error)),
    }
}

#[cfg(test)]
mod tests {
    use geodynamo_replicator_core::{Effect, Hlc, Images, MergeKind, Origin, Past, ReplicaId, Stamp};
    use proptest::prelude::*;

    use super::*;

    fn change(
        key: &'static [u8],
        item: Option<&'static [u8]>,
        commit_time: Millis,
        transaction: Option<u128>,
    ) -> Change {
        Change {
            key: Bytes::from_static(key),
            stamp: Stamp::new(Hlc(1), ReplicaId(1)),
            past: Past::new(),
            origin: Origin::Local,
            commit_time,
            transaction: transaction.map(TransactionId),
            body: Body::Item {
                deleted: item.is_none(),
                effect: Effect::default(),
                images: Images {
                    old: None,
                    new: item.map(Bytes::from_static),
                },
            },
        }
    }

    fn segment() -> SegmentWriter {
        let mut segment = SegmentWriter::behind(&[0, 5]);
        assert!(segment.push(0, Position(1), &change(b"k", Some(b"item"), 7, None)));
        assert!(segment.push(1, Position(6), &change(b"q", None, 8, Some(9))));
        let conflict = Change {
            body: Body::Conflict {
                kind: MergeKind::ItemLww,
                value: None,
                winner: Stamp::new(Hlc(2), ReplicaId(2)),
            },
            ..change(b"q", None, 9, None)
        };
        assert!(segment.push(1, Position(7), &conflict));
        segment
    }

    fn golden(name: &str) -> Bytes {
        let text = include_str!("../tests/golden/archive-1.hex");
        let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        let hex = line.expect("the golden file has the line");
        let byte = |at| u8::from_str_radix(&hex[at..at + 2], 16).expect("hex digits");
        (0..hex.len()).step_by(2).map(byte).collect::<Vec<_>>().into()
    }

    #[test]
    fn the_layouts_are_the_golden_files() {
        assert_eq!(segment().finish(8, 9).expect("it is small"), golden("segment"));
        let mut chunk = ChunkWriter::default();
        chunk.push(&Row {
            route: 3,
            key: Bytes::from_static(b"k"),
            item: Bytes::from_static(b"item"),
        });
        let (about, content) = chunk.take();
        let expected = Chunk {
            first: 3,
            last: 3,
            items: 1,
        };
        assert_eq!((about, content), (expected, golden("chunk")));
    }

    #[test]
    fn segments_are_read_back() {
        let content = segment().finish(8, 9).expect("it is small");
        let (head, mut records) = open_segment("s", content).expect("it is whole");
        assert_eq!((head.from, head.to), (vec![0, 5], vec![1, 7]));
        let first = next_record("s", &mut records)
            .expect("it is whole")
            .expect("there is one");
        assert_eq!((first.partition, first.position, first.commit_ms), (0, 1, 7));
        assert_eq!((&first.key[..], first.item.as_deref()), (&b"k"[..], Some(&b"item"[..])));
        let second = next_record("s", &mut records)
            .expect("it is whole")
            .expect("there is one");
        assert_eq!((second.transaction, second.item), (Some(TransactionId(9)), None));
        assert_eq!(next_record("s", &mut records).expect("it is whole"), None);
        // A change that does not tell what the item became.
        let mut segment = SegmentWriter::behind(&[0]);
        let mut silent = change(b"k", None, 1, None);
        if let Body::Item { deleted, .. } = &mut silent.body {
            *deleted = false;
        }
        assert!(!segment.push(0, Position(1), &silent));
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200), whole: bool) {
            let mut bytes = bytes;
            if let (true, Some(first)) = (whole, bytes.first_mut()) {
                *first = VERSION;
            }
            let _ = open_chunk("c", bytes.clone().into());
            if let Ok((_, mut records)) = open_segment("s", bytes.into()) {
                while let Ok(Some(_)) = next_record("s", &mut records) {}
            }
        }
    }
}
