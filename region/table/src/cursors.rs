//! Cursors: how far each other replica's change logs are durably applied here.

use std::collections::BTreeMap;

use bytes::Bytes;
use geodynamo_replicator_core::{LogId, LogInfo, Position, ReplicaId, TableId};
use geodynamo_storage::{Commit, Engine, KEY_HEAD, Write};
use parking_lot::Mutex;

use crate::{Result, Tables, keys, write::Staged};

/// Bytes of a stored cursor: position, origin, partition, first and last hash.
const STORED: usize = 34;

/// The cursors, as they are stored.
#[derive(Debug, Default)]
pub(crate) struct Cursors(Mutex<BTreeMap<(u64, LogId), (LogInfo, Position)>>);

impl Cursors {
    /// From the rows of their space.
    pub(crate) fn load(rows: Vec<(Bytes, Bytes)>) -> Self {
        let cursors = rows.iter().filter_map(|(key, value)| {
            let (info, at) = read(key, value)?;
            Some(((info.table.0, info.log), (info, at)))
        });
        Self(Mutex::new(cursors.collect()))
    }

    /// The cursor of a log, if one was ever stored.
    pub(crate) fn get(&self, table: u64, log: LogId) -> Option<Position> {
        self.0.lock().get(&(table, log)).map(|(_, at)| *at)
    }

    /// All of a table's.
    pub(crate) fn of_table(&self, table: u64) -> Vec<(LogInfo, Position)> {
        let cursors = self.0.lock();
        cursors
            .range((table, LogId(0))..=(table, LogId(u64::MAX)))
            .map(|(_, cursor)| *cursor)
            .collect()
    }

    fn raise(&self, info: &LogInfo, to: Position) {
        let mut cursors = self.0.lock();
        let cursor = cursors
            .entry((info.table.0, info.log))
            .or_insert((*info, Position::START));
        cursor.1 = cursor.1.max(to);
    }

    /// A table's data is gone.
    pub(crate) fn forget(&self, table: u64) {
        self.0.lock().retain(|(of, _), _| *of != table);
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

impl<E: Engine> Tables<E> {
    /// Commits what was staged together with cursors of one table. Where the engine does not span groups, each cursor
    /// follows in a commit of its own: it may be behind what is applied, never ahead.
    pub(crate) async fn commit_with_cursors(&self, cursors: &[(LogInfo, Position)], mut staged: Staged) -> Result<()> {
        let writes = self.cursor_writes(cursors);
        if self.engine().spans_groups() {
            staged.commit.writes.extend(writes);
            self.commit(staged).await?;
        } else {
            self.commit(staged).await?;
            for write in writes {
                self.engine()
                    .commit(Commit {
                        writes: vec![write],
                        ..Commit::default()
                    })
                    .await?;
            }
        }
        self.raise_cursors(cursors);
        Ok(())
    }

    /// The writes that store cursors; none is lowered.
    pub(crate) fn cursor_writes(&self, cursors: &[(LogInfo, Position)]) -> Vec<Write> {
        cursors
            .iter()
            .filter_map(|(log, at)| self.cursor_write(log, *at))
            .collect()
    }

    /// Cursors have been stored.
    pub(crate) fn raise_cursors(&self, cursors: &[(LogInfo, Position)]) {
        cursors.iter().for_each(|(log, at)| self.cursors.raise(log, *at));
    }

    /// The cursor of a log as it is stored.
    pub(crate) async fn stored_cursor(&self, info: &LogInfo) -> Result<Position> {
        let key = keys::cursor(info.table.0, info.log.0);
        let value = self.engine().get(&key).await?;
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
