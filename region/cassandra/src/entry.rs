//! What is written into the log: entries of the journal, and records of change logs.

use bytes::{Buf, BufMut, Bytes, BytesMut};
use geodynamo_storage::{LogId, Position, StorageError, Write};

/// The first byte of everything that is stored.
const FORMAT: u8 = 1;

const PUT: u8 = 1;
const DELETE: u8 = 2;
const DELETE_RANGE: u8 = 3;
const TRIM: u8 = 4;
const APPEND: u8 = 5;

/// One step of an entry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Op {
    /// A write of a row, or of many.
    Write(Write),
    /// A log is trimmed up to a position.
    Trim(LogId, Position),
    /// A log has grown by so many records, up to a position.
    Append(LogId, Position, u32),
}

impl Op {
    /// Bytes it takes in memory, about.
    pub(crate) fn bytes(&self) -> usize {
        const FRAME: usize = 96;
        FRAME
            + match self {
                Self::Write(Write::Put(a, b) | Write::DeleteRange(a, b)) => a.len() + b.len(),
                Self::Write(Write::Delete(key)) => key.len(),
                Self::Trim(..) | Self::Append(..) => 0,
            }
    }
}

/// An entry as it is stored.
pub(crate) fn encode(ops: &[Op]) -> Bytes {
    let mut to = BytesMut::with_capacity(ops.iter().map(Op::bytes).sum());
    to.put_u8(FORMAT);
    for op in ops {
        match op {
            Op::Write(Write::Put(key, value)) => {
                to.put_u8(PUT);
                put(&mut to, key);
                put(&mut to, value);
            }
            Op::Write(Write::Delete(key)) => {
                to.put_u8(DELETE);
                put(&mut to, key);
            }
            Op::Write(Write::DeleteRange(from, end)) => {
                to.put_u8(DELETE_RANGE);
                put(&mut to, from);
                put(&mut to, end);
            }
            Op::Trim(log, position) => {
                to.put_u8(TRIM);
                to.put_u64(log.0);
                to.put_u64(position.0);
            }
            Op::Append(log, last, count) => {
                to.put_u8(APPEND);
                to.put_u64(log.0);
                to.put_u64(last.0);
                to.put_u32(*count);
            }
        }
    }
    to.freeze()
}

/// An entry as it was.
pub(crate) fn decode(from: Bytes) -> Result<Vec<Op>, StorageError> {
    try_decode(from).ok_or_else(|| damaged("an entry of the log"))
}

fn try_decode(mut from: Bytes) -> Option<Vec<Op>> {
    if from.try_get_u8().ok()? != FORMAT {
        return None;
    }
    let mut ops = Vec::new();
    while let Ok(tag) = from.try_get_u8() {
        ops.push(match tag {
            PUT => Op::Write(Write::Put(take(&mut from)?, take(&mut from)?)),
            DELETE => Op::Write(Write::Delete(take(&mut from)?)),
            DELETE_RANGE => Op::Write(Write::DeleteRange(take(&mut from)?, take(&mut from)?)),
            TRIM => Op::Trim(LogId(from.try_get_u64().ok()?), Position(from.try_get_u64().ok()?)),
            APPEND => Op::Append(
                LogId(from.try_get_u64().ok()?),
                Position(from.try_get_u64().ok()?),
                from.try_get_u32().ok()?,
            ),
            _ => return None,
        });
    }
    Some(ops)
}

/// Records as they are stored together.
pub(crate) fn encode_records(records: &[Bytes]) -> Bytes {
    let mut to = BytesMut::with_capacity(1 + records.iter().map(|record| 4 + record.len()).sum::<usize>());
    to.put_u8(FORMAT);
    for record in records {
        put(&mut to, record);
    }
    to.freeze()
}

/// Records as they were.
pub(crate) fn decode_records(mut from: Bytes) -> Result<Vec<Bytes>, StorageError> {
    let damaged = || damaged("records of a change log");
    if from.try_get_u8().ok() != Some(FORMAT) {
        return Err(damaged());
    }
    let mut records = Vec::new();
    while from.has_remaining() {
        records.push(take(&mut from).ok_or_else(damaged)?);
    }
    Ok(records)
}

/// What a stretch has of a log: its first and its last position there.
pub(crate) type Span = (LogId, (Position, Position));

/// What a stretch has, as it is stored.
pub(crate) fn encode_index(logs: impl Iterator<Item = Span>) -> Bytes {
    let mut to = BytesMut::new();
    to.put_u8(FORMAT);
    for (log, (first, last)) in logs {
        to.put_u64(log.0);
        to.put_u64(first.0);
        to.put_u64(last.0);
    }
    to.freeze()
}

/// The other way.
pub(crate) fn decode_index(mut from: Bytes) -> Result<Vec<Span>, StorageError> {
    const ROW: usize = 24;
    if from.try_get_u8().ok() != Some(FORMAT) || !from.remaining().is_multiple_of(ROW) {
        return Err(damaged("the index of a stretch of the log"));
    }
    let mut logs = Vec::with_capacity(from.remaining() / ROW);
    while from.has_remaining() {
        logs.push((
            LogId(from.get_u64()),
            (Position(from.get_u64()), Position(from.get_u64())),
        ));
    }
    Ok(logs)
}

fn put(to: &mut BytesMut, bytes: &Bytes) {
    // Nothing that is stored is longer: a commit's limit is far below.
    to.put_u32(bytes.len() as u32);
    to.put_slice(bytes);
}

fn take(from: &mut Bytes) -> Option<Bytes> {
    let length = from.try_get_u32().ok()? as usize;
    (length <= from.remaining()).then(|| from.split_to(length))
}

pub(crate) fn damaged(what: &str) -> StorageError {
    StorageError::Io(format!("{what} cannot be read").into())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn bytes() -> impl Strategy<Value = Bytes> {
        prop::collection::vec(any::<u8>(), 0..9).prop_map(Bytes::from)
    }

    fn op() -> impl Strategy<Value = Op> {
        prop_oneof![
            (bytes(), bytes()).prop_map(|(k, v)| Op::Write(Write::Put(k, v))),
            bytes().prop_map(|key| Op::Write(Write::Delete(key))),
            (bytes(), bytes()).prop_map(|(a, b)| Op::Write(Write::DeleteRange(a, b))),
            (any::<u64>(), any::<u64>()).prop_map(|(log, at)| Op::Trim(LogId(log), Position(at))),
            (any::<u64>(), any::<u64>(), any::<u32>()).prop_map(|(log, at, count)| Op::Append(
                LogId(log),
                Position(at),
                count
            )),
        ]
    }

    proptest! {
        #[test]
        fn entries_are_read_as_they_were(ops in prop::collection::vec(op(), 0..9)) {
            prop_assert_eq!(decode(encode(&ops)).unwrap(), ops);
        }

        #[test]
        fn records_are_read_as_they_were(records in prop::collection::vec(bytes(), 0..9)) {
            prop_assert_eq!(decode_records(encode_records(&records)).unwrap(), records);
        }

        #[test]
        fn any_bytes_are_read_or_refused(any in prop::collection::vec(any::<u8>(), 0..40)) {
            let any = Bytes::from(any);
            let _ = (decode(any.clone()), decode_records(any.clone()), decode_index(any));
        }
    }

    /// Stored for good: a change of these bytes is a new format.
    #[test]
    fn golden() {
        let key = Bytes::from_static(b"k");
        let ops = [
            Op::Write(Write::Put(key.clone(), Bytes::from_static(b"v"))),
            Op::Write(Write::Delete(key.clone())),
            Op::Write(Write::DeleteRange(key.clone(), key)),
            Op::Trim(LogId(2), Position(3)),
            Op::Append(LogId(2), Position(9), 4),
        ];
        let expect = b"\x01\x01\0\0\0\x01k\0\0\0\x01v\x02\0\0\0\x01k\x03\0\0\0\x01k\0\0\0\x01k\
            \x04\0\0\0\0\0\0\0\x02\0\0\0\0\0\0\0\x03\x05\0\0\0\0\0\0\0\x02\0\0\0\0\0\0\0\x09\0\0\0\x04";
        assert_eq!(&encode(&ops)[..], &expect[..]);
        let records = [Bytes::from_static(b"a"), Bytes::new()];
        assert_eq!(&encode_records(&records)[..], b"\x01\0\0\0\x01a\0\0\0\0");
        let index = encode_index([(LogId(1), (Position(2), Position(3)))].into_iter());
        assert_eq!(
            &index[..],
            b"\x01\0\0\0\0\0\0\0\x01\0\0\0\0\0\0\0\x02\0\0\0\0\0\0\0\x03"
        );
    }
}
