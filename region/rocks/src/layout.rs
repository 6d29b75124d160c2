//! How keys and logs lie in RocksDB. Golden files fix it (`tests/golden`).
//!
//! | column family | key | value |
//! | --- | --- | --- |
//! | `data` | the engine key | the value |
//! | `cold` | the same, of rows that are read seldom: see [`crate::classes`] | the value |
//! | `log` | segment u64 BE, log id u64 BE, position u64 BE | the record |
//! | `default` | 0x00 | [`FORMAT`], one byte |
//! | `default` | 0x01, log id u64 BE | the log's last position, u64 BE |
//! | `default` | 0x02, log id u64 BE | the position up to which the log was trimmed, u64 BE |
//! | `default` | 0x03, log id u64 BE, position u64 BE | the segment that holds the log's records from there on, u64 BE |
//! | `default` | 0x04, space, owner u64 BE | how those rows are kept, one byte; none for how most are |
//! | `default` | 0x05, an engine key | what is not vouched for begins there; the value is the engine key before which it ends |
//! | `default` | 0x06, a record's key | the same of log records, to a record's key |
//! | `default` | 0x07, file number u64 BE | that file is being taken out of use; nothing |
//!
//! Segments are told of in [`crate::segments`].

use std::collections::BTreeMap;

use bytes::Bytes;
use geodynamo_storage::{Distrust, LogId, Position, Prefix, RecordPlace, StorageError};

/// The version of the layout; a store of another version is refused.
pub const FORMAT: u8 = 2;

/// Column family of keys and values.
pub(crate) const DATA: &str = "data";
/// Column family of keys and values that are read seldom.
pub(crate) const COLD: &str = "cold";
/// Column family of log records.
pub(crate) const LOG: &str = "log";
/// Column family of the format, and of logs' ends and trims. RocksDB wants one of this name.
pub(crate) const META: &str = "default";

/// The key of the format.
pub(crate) const FORMAT_KEY: [u8; 1] = [0];

const END: u8 = 1;
const TRIM: u8 = 2;
const STRETCH: u8 = 3;
const CLASS: u8 = 4;
const DISTRUSTED_ROWS: u8 = 5;
const DISTRUSTED_RECORDS: u8 = 6;
const QUARANTINE: u8 = 7;

/// The key of a log's last position.
pub(crate) fn end_key(log: LogId) -> [u8; 9] {
    meta_key(END, log)
}

/// The key of a log's trim.
pub(crate) fn trim_key(log: LogId) -> [u8; 9] {
    meta_key(TRIM, log)
}

fn meta_key(kind: u8, log: LogId) -> [u8; 9] {
    let mut key = [kind; 9];
    key[1..].copy_from_slice(&log.0.to_be_bytes());
    key
}

/// The key of the row that tells where a stretch of a log lies which begins at a position.
pub(crate) fn stretch_key(log: LogId, first: Position) -> [u8; 17] {
    let mut key = [0; 17];
    key[..9].copy_from_slice(&meta_key(STRETCH, log));
    key[9..].copy_from_slice(&first.0.to_be_bytes());
    key
}

/// The first position of a stretch, from its row's key.
pub(crate) fn first_of(key: &[u8]) -> Result<Position, StorageError> {
    position_from(key.get(9..).unwrap_or_default())
}

/// The key of the row that tells how rows of a prefix are kept.
pub(crate) fn class_key(prefix: Prefix) -> [u8; 1 + Prefix::BYTES] {
    let mut key = [CLASS; 1 + Prefix::BYTES];
    key[1..].copy_from_slice(&prefix.0);
    key
}

/// Before and behind those rows.
pub(crate) const CLASSES: ([u8; 1], [u8; 1]) = ([CLASS], [CLASS + 1]);

/// Before and behind the rows of what is not vouched for.
pub(crate) const DISTRUST: ([u8; 1], [u8; 1]) = ([DISTRUSTED_ROWS], [QUARANTINE + 1]);

/// The key of the note that a file is being taken out of use.
pub(crate) fn quarantine_key(file: u64) -> [u8; 9] {
    meta_key(QUARANTINE, LogId(file))
}

/// The rows that tell of what is not vouched for.
pub(crate) fn distrust_rows(distrust: &Distrust) -> BTreeMap<Vec<u8>, Vec<u8>> {
    let rows = distrust
        .rows()
        .map(|(from, to)| ([&[DISTRUSTED_ROWS], &from[..]].concat(), to.to_vec()));
    let place = |place: &RecordPlace| record_key(place.0, place.1, place.2);
    let records = distrust
        .records()
        .map(|(from, to)| ([&[DISTRUSTED_RECORDS], &place(from)[..]].concat(), place(to).to_vec()));
    rows.chain(records).collect()
}

/// Adds what such a row tells; gives the file if it is being taken out of use.
pub(crate) fn take_distrust(key: &[u8], value: &[u8], distrust: &mut Distrust) -> Result<Option<u64>, StorageError> {
    match key.split_first() {
        Some((&DISTRUSTED_ROWS, from)) => {
            distrust.add_rows(Bytes::copy_from_slice(from), Bytes::copy_from_slice(value));
            Ok(None)
        }
        Some((&DISTRUSTED_RECORDS, from)) => {
            distrust.add_records(place_of(from, false)?, place_of(value, false)?);
            Ok(None)
        }
        Some((&QUARANTINE, file)) => number(file, "a file's number").map(Some),
        _ => Err(damaged("what is not vouched for")),
    }
}

/// The place of a record's key, or of where a range of them begins or ends. A key that is cut short is the first that begins so;
/// `up`: one that is longer is the next.
pub(crate) fn place_of(key: &[u8], up: bool) -> Result<RecordPlace, StorageError> {
    let mut whole = [0; 24];
    for (to, from) in whole.iter_mut().zip(key) {
        *to = *from;
    }
    let position = position_of(&whole)?;
    let position = Position(position.0.saturating_add(u64::from(up && key.len() > whole.len())));
    Ok((
        segment_of(&whole)?,
        LogId(number(&whole[8..16], "a log's id")?),
        position,
    ))
}

/// Before and behind the rows of all logs' stretches.
pub(crate) const STRETCHES: ([u8; 1], [u8; 1]) = ([STRETCH], [STRETCH + 1]);

/// The key of a log record.
pub(crate) fn record_key(segment: u64, log: LogId, position: Position) -> [u8; 24] {
    let mut key = [0; 24];
    key[..8].copy_from_slice(&segment.to_be_bytes());
    key[8..16].copy_from_slice(&log.0.to_be_bytes());
    key[16..].copy_from_slice(&position.0.to_be_bytes());
    key
}

/// The position in a record's key.
pub(crate) fn position_of(key: &[u8]) -> Result<Position, StorageError> {
    position_from(key.get(16..).unwrap_or_default())
}

/// The segment in a record's key.
pub(crate) fn segment_of(key: &[u8]) -> Result<u64, StorageError> {
    number(key.get(..8).unwrap_or_default(), "a log record's key")
}

/// A position as stored.
pub(crate) fn position_from(bytes: &[u8]) -> Result<Position, StorageError> {
    number(bytes, "a position").map(Position)
}

/// A segment's number as stored.
pub(crate) fn segment_from(bytes: &[u8]) -> Result<u64, StorageError> {
    number(bytes, "a segment")
}

fn number(bytes: &[u8], what: &str) -> Result<u64, StorageError> {
    bytes.try_into().map(u64::from_be_bytes).map_err(|_| damaged(what))
}

pub(crate) fn damaged(what: &str) -> StorageError {
    StorageError::Io(format!("{what} is damaged").into())
}
