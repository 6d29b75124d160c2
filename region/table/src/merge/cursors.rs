//! Cursors: how far each other replica's change logs are durably applied here.

use std::collections::BTreeMap;

use bytes::Bytes;
use geodynamo_replicator_core::{LogId, LogInfo, Position, ReplicaId, TableId};
use geodynamo_storage::{Engine, KEY_HEAD, Write};
use parking_lot::Mutex;
use tokio::sync::watch;

use crate::{Result, layout::keys, merge::Merge};

/// Bytes of a stored cursor: position, origin, partition, first and last hash.
const STORED: usize = 34;

/// The cursors, as they are stored.
#[derive(Debug, Default)]
pub(crate) struct Cursors {
    known: Mutex<BTreeMap<(u64, LogId), Cursor>>,
    /// Changes whenever one is raised that somebody waits for.
    raised: watch::Sender<u64>,
}

#[derive(Clone, Copy, Debug)]
struct Cursor {
    info: LogInfo,
    at: Position,
    /// Up to where it last brought something: what is behind that was passed over.
    brought: Position,
}

impl Cursors {
    /// From the rows of their space.
    pub(crate) fn load(rows: Vec<(Bytes, Bytes)>) -> Self {
        let cursors = rows.iter().filter_map(|(key, value)| {
            let (info, at) = read(key, value)?;
            let brought = at;
            Some(((info.table.0, info.log), Cursor { info, at, brought }))
        });
        Self {
            known: Mutex::new(cursors.collect()),
            raised: watch::Sender::default(),
        }
    }

    /// The cursor of a log, if one was ever stored.
    pub(crate) fn get(&self, table: u64, log: LogId) -> Option<Position> {
        self.known.lock().get(&(table, log)).map(|cursor| cursor.at)
    }

    /// All of a table's.
    pub(crate) fn of_table(&self, table: u64) -> Vec<(LogInfo, Position)> {
        self.all(table, |cursor| cursor.at)
    }

    /// Up to where each of a table's last brought something.
    pub(crate) fn brought(&self, table: u64) -> Vec<(LogInfo, Position)> {
        self.all(table, |cursor| cursor.brought)
    }

    fn all(&self, table: u64, of: impl Fn(&Cursor) -> Position) -> Vec<(LogInfo, Position)> {
        let cursors = self.known.lock();
        cursors
            .range((table, LogId(0))..=(table, LogId(u64::MAX)))
            .map(|(_, cursor)| (cursor.info, of(cursor)))
            .collect()
    }

    fn raise(&self, info: &LogInfo, to: Position) {
        let mut cursors = self.known.lock();
        let cursor = cursors.entry((info.table.0, info.log)).or_insert(Cursor {
            info: *info,
            at: Position::START,
            brought: Position::START,
        });
        cursor.at = cursor.at.max(to);
    }

    /// Cursors have been stored.
    pub(crate) fn raise_all(&self, cursors: &[(LogInfo, Position)]) {
        cursors.iter().for_each(|(log, at)| self.raise(log, *at));
        self.tell();
    }

    /// What was read of a log up to a position brought something. The cursor has been raised.
    pub(crate) fn bring(&self, info: &LogInfo, to: Position) {
        if let Some(cursor) = self.known.lock().get_mut(&(info.table.0, info.log)) {
            cursor.brought = cursor.brought.max(to);
        }
    }

    /// Changes whenever a cursor is raised or a parked delta merged, from now on.
    pub(crate) fn watch(&self) -> watch::Receiver<u64> {
        self.raised.subscribe()
    }

    /// Wakes who waits, if anybody does. Whoever began to wait before this looked, looks after what was raised before it:
    /// both go through the lock.
    pub(crate) fn tell(&self) {
        if self.raised.receiver_count() > 0 {
            self.raised.send_modify(|number| *number = number.wrapping_add(1));
        }
    }

    /// A table's data is gone.
    pub(crate) fn forget(&self, table: u64) {
        self.known.lock().retain(|(of, _), _| *of != table);
    }
}

fn read(key: &[u8], value: &[u8]) -> Option<(LogInfo, Position)> {
    let number = |bytes: &[u8]| bytes.try_into().ok().map(u64::from_be_bytes);
    let value: &[u8; STORED] = value.try_into().ok()?;
    let info = LogInfo {
        log: LogId(number(key.get(KEY_HEAD..)?)?),
        table: TableId(number(key.get(1..9)?)?),
        partition: u16::from_be_bytes([value[16], value[17]]),
        origin: ReplicaId(number(&value[8..16])?),
        range: (number(&value[18..26])?, number(&value[26..34])?),
    };
    Some((info, Position(number(&value[..8])?)))
}

fn write(info: &LogInfo, at: Position) -> Write {
    let mut value = Vec::with_capacity(STORED);
    value.extend_from_slice(&at.0.to_be_bytes());
    value.extend_from_slice(&info.origin.0.to_be_bytes());
    value.extend_from_slice(&info.partition.to_be_bytes());
    value.extend_from_slice(&info.range.0.to_be_bytes());
    value.extend_from_slice(&info.range.1.to_be_bytes());
    Write::Put(keys::cursor(info.table.0, info.log.0), value.into())
}

impl<E: Engine> Merge<E> {
    /// The writes that store cursors; none is lowered.
    pub(crate) fn cursor_writes(&self, cursors: &[(LogInfo, Position)]) -> Vec<Write> {
        cursors
            .iter()
            .filter_map(|(log, at)| self.cursor_write(log, *at))
            .collect()
    }

    /// Stores a table's cursors as they are in memory, where those that were stored may be lost.
    pub(crate) async fn store_cursors_again(&self, table: u64) -> Result<()> {
        let cursors = self.cursors.of_table(table);
        let writes = cursors.iter().map(|(log, at)| write(log, *at)).collect();
        for commit in self.local.splits(writes) {
            self.local.store().commit(commit).await?;
        }
        Ok(())
    }

    /// The cursor of a log as it is stored.
    pub(crate) async fn stored_cursor(&self, info: &LogInfo) -> Result<Position> {
        let key = keys::cursor(info.table.0, info.log.0);
        let value = self.local.store().get(&key).await?;
        let stored = value.and_then(|value| read(&key, &value));
        Ok(stored.map_or(Position::START, |(_, at)| at))
    }

    fn cursor_write(&self, log: &LogInfo, up_to: Position) -> Option<Write> {
        let stored = self.cursors.get(log.table.0, log.log);
        stored.is_none_or(|stored| stored < up_to).then(|| write(log, up_to))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cursors_are_read_back() {
        let info = LogInfo::new(ReplicaId(7), TableId(9), 3, (5, u64::MAX));
        let Write::Put(key, value) = write(&info, Position(11)) else {
            unreachable!("a cursor is put")
        };
        assert_eq!(read(&key, &value), Some((info, Position(11))));
        assert_eq!(read(&key, &value[1..]), None);
    }
}
