//! Cursors: how far each other replica's change logs are durably applied here.

use std::collections::BTreeMap;

use bytes::Bytes;
use geodynamo_replicator_core::{LogId, LogInfo, Position};
use geodynamo_storage::{Commit, Engine, KEY_HEAD, Write};
use parking_lot::Mutex;

use crate::{Result, Table, Tables, keys, write::Staged};

/// The cursors, as they are stored.
#[derive(Debug, Default)]
pub(crate) struct Cursors(Mutex<BTreeMap<(u64, LogId), Position>>);

impl Cursors {
    /// From the rows of their space.
    pub(crate) fn load(rows: Vec<(Bytes, Bytes)>) -> Self {
        let number = |bytes: &[u8]| bytes.try_into().ok().map(u64::from_be_bytes);
        let cursors = rows.iter().filter_map(|(key, value)| {
            let table = number(key.get(1..9)?)?;
            let log = number(key.get(KEY_HEAD..)?)?;
            Some(((table, LogId(log)), Position(number(value)?)))
        });
        Self(Mutex::new(cursors.collect()))
    }

    /// The cursor of a log, if one was ever stored.
    pub(crate) fn get(&self, table: u64, log: LogId) -> Option<Position> {
        self.0.lock().get(&(table, log)).copied()
    }

    /// All of a table's.
    pub(crate) fn of_table(&self, table: u64) -> Vec<(LogId, Position)> {
        let cursors = self.0.lock();
        cursors.range((table, LogId(0))..=(table, LogId(u64::MAX))).map(|((_, log), at)| (*log, *at)).collect()
    }

    fn raise(&self, table: u64, log: LogId, to: Position) {
        let mut cursors = self.0.lock();
        let cursor = cursors.entry((table, log)).or_default();
        *cursor = (*cursor).max(to);
    }

    /// A table's data is gone.
    pub(crate) fn forget(&self, table: u64) {
        self.0.lock().retain(|(of, _), _| *of != table);
    }
}

impl<E: Engine> Tables<E> {
    /// Commits what was staged together with the cursor. Where the engine does not span groups, the cursor follows in a
    /// commit of its own: it may be behind what is applied, never ahead.
    pub(crate) async fn commit_with_cursor(
        &self,
        table: &Table,
        log: &LogInfo,
        up_to: Position,
        mut staged: Staged,
    ) -> Result<()> {
        let write = self.cursor_write(table.id(), log.log, up_to);
        if self.engine().spans_groups() {
            staged.commit.writes.extend(write);
            self.commit(table, staged).await?;
        } else {
            self.commit(table, staged).await?;
            if let Some(write) = write {
                self.engine().commit(Commit { writes: vec![write], ..Commit::default() }).await?;
            }
        }
        self.cursors.raise(table.id(), log.log, up_to);
        Ok(())
    }

    /// Stores cursors; none is lowered.
    pub(crate) async fn store_cursors(&self, table: u64, cursors: &[(LogId, Position)]) -> Result<()> {
        let writes: Vec<_> = cursors.iter().filter_map(|(log, at)| self.cursor_write(table, *log, *at)).collect();
        if !writes.is_empty() {
            self.engine().commit(Commit { writes, ..Commit::default() }).await?;
        }
        cursors.iter().for_each(|(log, at)| self.cursors.raise(table, *log, *at));
        Ok(())
    }

    fn cursor_write(&self, table: u64, log: LogId, up_to: Position) -> Option<Write> {
        let stored = self.cursors.get(table, log).unwrap_or_default();
        let value = || up_to.0.to_be_bytes().to_vec().into();
        (stored < up_to || up_to == Position::START).then(|| Write::Put(keys::cursor(table, log.0), value()))
    }
}
