//! How keys and logs lie in RocksDB. Golden files fix it (`tests/golden`).
//!
//! | column family | key | value |
//! | --- | --- | --- |
//! | `data` | the engine key | the value |
//! | `log` | log id u64 BE, position u64 BE | the record |
//! | `default` | 0x00 | [`FORMAT`], one byte |
//! | `default` | 0x01, log id u64 BE | the log's last position, u64 BE |
//! | `default` | 0x02, log id u64 BE | the position up to which the log was trimmed, u64 BE |

use geodynamo_storage::{LogId, Position, StorageError};

/// The version of the layout; a store of another version is refused.
pub const FORMAT: u8 = 1;

/// Column family of keys and values.
pub(crate) const DATA: &str = "data";
/// Column family of log records.
pub(crate) const LOG: &str = "log";
/// Column family of the format, and of logs' ends and trims. RocksDB wants one of this name.
pub(crate) const META: &str = "default";

/// The key of the format.
pub(crate) const FORMAT_KEY: [u8; 1] = [0];

const END: u8 = 1;
const TRIM: u8 = 2;

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

/// The key of a log record.
pub(crate) fn record_key(log: LogId, position: Position) -> [u8; 16] {
    let mut key = [0; 16];
    key[..8].copy_from_slice(&log.0.to_be_bytes());
    key[8..].copy_from_slice(&position.0.to_be_bytes());
    key
}

/// The key just behind a log's last possible record.
pub(crate) fn behind_log(log: LogId) -> [u8; 17] {
    let mut key = [0; 17];
    key[..16].copy_from_slice(&record_key(log, Position(u64::MAX)));
    key
}

/// The position in a record's key.
pub(crate) fn position_of(key: &[u8]) -> Result<Position, StorageError> {
    match key.get(8..) {
        Some(position) => position_from(position),
        None => Err(damaged("a log record's key")),
    }
}

/// A position as stored.
pub(crate) fn position_from(bytes: &[u8]) -> Result<Position, StorageError> {
    bytes
        .try_into()
        .map(|bytes| Position(u64::from_be_bytes(bytes)))
        .map_err(|_| damaged("a position"))
}

pub(crate) fn damaged(what: &str) -> StorageError {
    StorageError::Io(format!("{what} is damaged").into())
}
