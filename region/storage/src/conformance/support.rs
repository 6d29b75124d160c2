//! Short words for the checks.

use std::ops::Bound;

use bytes::Bytes;

use crate::{
    Append, Commit, Direction, Engine, LogId, LogRecord, Position, Precondition, Scan, Snapshot, Write, key_head,
};

/// The log that most checks write.
pub(super) const LOG: LogId = LogId(7);

/// A key of the group that most checks stay in.
pub(super) fn key(rest: impl AsRef<[u8]>) -> Bytes {
    key_of(1, 1, rest)
}

/// A key of another group for each owner and route.
pub(super) fn key_of(owner: u64, route: u64, rest: impl AsRef<[u8]>) -> Bytes {
    let mut key = key_head(1, owner, route, rest.as_ref().len());
    key.extend_from_slice(rest.as_ref());
    key.into()
}

pub(super) fn bytes(text: impl AsRef<[u8]>) -> Bytes {
    Bytes::copy_from_slice(text.as_ref())
}

pub(super) fn put(key: &Bytes, value: impl AsRef<[u8]>) -> Write {
    Write::Put(key.clone(), bytes(value))
}

pub(super) fn append(log: LogId, record: impl AsRef<[u8]>) -> Append {
    Append {
        log,
        record: bytes(record),
    }
}

impl Commit {
    pub(super) fn of(writes: impl Into<Vec<Write>>) -> Self {
        Self {
            writes: writes.into(),
            ..Self::default()
        }
    }

    pub(super) fn appending(mut self, append: Append) -> Self {
        self.appends.push(append);
        self
    }

    pub(super) fn given(mut self, precondition: Precondition) -> Self {
        self.preconditions.push(precondition);
        self
    }
}

/// Everything between two bounds, forward.
pub(super) fn range(from: Bound<Bytes>, to: Bound<Bytes>) -> Scan {
    Scan {
        from,
        to,
        direction: Direction::Forward,
        rows_max: usize::MAX,
        bytes_max: usize::MAX,
        once: false,
    }
}

pub(super) fn everything() -> Scan {
    range(Bound::Unbounded, Bound::Unbounded)
}

pub(super) async fn all_rows<E: Engine>(engine: &E) -> Vec<(Bytes, Bytes)> {
    engine.scan(everything()).await.unwrap().rows
}

pub(super) async fn all_rows_of<S: Snapshot>(snapshot: &S) -> Vec<(Bytes, Bytes)> {
    snapshot.scan(everything()).await.unwrap().rows
}

/// All of the log behind a position.
pub(super) async fn log_from<E: Engine>(engine: &E, after: u64) -> Vec<LogRecord> {
    let (mut records, mut after) = (Vec::new(), Position(after));
    loop {
        let page = engine.log_read(LOG, after, usize::MAX, usize::MAX).await.unwrap();
        let Some(last) = page.last() else { return records };
        after = last.position;
        records.extend(page);
    }
}

pub(super) fn record(position: u64, text: impl AsRef<[u8]>) -> LogRecord {
    LogRecord {
        position: Position(position),
        record: bytes(text),
    }
}

/// A small generator of numbers that look random and are the same in every run (xorshift64*).
pub(super) struct Numbers(pub(super) u64);

impl Numbers {
    pub(super) fn below(&mut self, end: u64) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 33) % end
    }
}
