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
//!
//! Segments are told of in [`crate::segments`].

use geodynamo_storage::{LogId, Position, Prefix, StorageError};

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
