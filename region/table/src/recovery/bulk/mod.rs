//! Filling a table that nobody uses yet in bulk: past the log of commits, where the engine has a door for that
//! ([`geodynamo_storage::Ingest`]), and by commits where it has none.
//!
//! A table that is filled so has no change logs of its items: while it is CREATING it has neither a stream nor a replica nor
//! point-in-time recovery, and whoever begins to follow it later begins with its items as they are. What is filled in is an
//! item's record and its index entries, as a write would have made them; sizes of item collections are measured when
//! they are asked for, as they are of any collection that has none stored.
//!
//! How far a load is stands in a row beside the caller's mark, in the same commit ([`State`]); what it counts of runs and files
//! is durable before. So a load goes on after a crash where it was. Rows that are taken in twice are the same rows: until the
//! table is ACTIVE nobody sees any.

mod import;
mod restore;
mod rows;
mod writing;

use std::{collections::BTreeMap, sync::Arc};

use bytes::Bytes;
use geodynamo_storage::{Commit, Engine, Ingest, SortedFiles, Sorter, StorageError, Write};
use serde::{Deserialize, Serialize};

use crate::{
    Result, Table, TableError,
    layout::keys,
    recovery::Loads,
    schema::IndexKind,
    table::{Stats, registers::pack},
};

use self::writing::Turn;
pub use self::{import::ImportLoad, restore::RestoreLoad};

/// What the system keys of loads begin with.
const PREFIX: &str = "load/";
/// The lane that sorts items.
const ITEMS: u8 = 0;
/// The lane that sorts index entries.
const ENTRIES: u8 = 1;

/// How far a load is.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
struct State {
    /// Runs of its lane.
    #[serde(rename = "r", default)]
    runs: u64,
    /// Files of its items.
    #[serde(rename = "f", default)]
    files: u64,
    /// Items in them, and their bytes.
    #[serde(rename = "i", default)]
    items: (u64, u64),
    /// Whether files may have been taken in already.
    #[serde(rename = "t", default)]
    taking: bool,
}

/// What a load has of a table's items and of its indexes' entries: their number and bytes.
#[derive(Debug, Default)]
struct Filled {
    items: (u64, u64),
    entries: BTreeMap<IndexKind, (u64, u64)>,
}

fn key_of(table: u64) -> Bytes {
    keys::system(&format!("{PREFIX}{table:016x}"))
}

/// Has so many items and bytes shown. Nobody else counts before the table is ACTIVE.
fn show(stats: &Stats, counted: (u64, u64)) {
    stats.correct(stats.read(), counted);
}

/// Runs what blocks on the disk.
async fn blocking<T: Send + 'static>(work: impl FnOnce() -> Result<T> + Send + 'static) -> Result<T> {
    // An error means that it panicked, or that the process ends.
    tokio::task::spawn_blocking(work)
        .await
        .unwrap_or(Err(TableError::Storage(StorageError::Closed)))
}

/// An earlier step of a load failed: it has to be taken up again.
fn lost() -> TableError {
    TableError::Storage(StorageError::Io("a load was broken off".into()))
}

impl<E: Engine> Loads<E> {
    /// Waits until nobody else is at a load: a writer of one that was broken off goes on for a moment.
    pub(super) async fn turn(&self, table: u64) -> Turn {
        let turn = Arc::clone(self.turns.lock().entry(table).or_default());
        Arc::new(turn.lock_owned().await)
    }

    /// How far a table's load is; none if it has none.
    async fn load_state(&self, table: u64) -> Result<Option<State>> {
        let Some(bytes) = self.local.store().get(&key_of(table)).await? else {
            return Ok(None);
        };
        let state = rmp_serde::from_slice(&bytes);
        state
            .map(Some)
            .map_err(|error| TableError::Corrupt(format!("a load's state cannot be read: {error}")))
    }

    /// Says how far a load is, with its caller's mark.
    async fn keep_load(&self, table: u64, state: &State, mark: Write) -> Result<()> {
        let commit = Commit {
            writes: vec![mark, Write::Put(key_of(table), pack(state)?)],
            ..Commit::default()
        };
        self.local.store().commit(commit).await?;
        Ok(())
    }

    /// Nothing of a load is left, and nothing of its marks.
    pub(crate) async fn end_load(&self, table: u64, mark: Bytes) -> Result<()> {
        let commit = Commit {
            writes: vec![Write::Delete(mark), Write::Delete(key_of(table))],
            makes_room: true,
            ..Commit::default()
        };
        self.local.store().commit(commit).await?;
        if let Some(door) = self.local.store().engine().ingest() {
            blocking(move || Ok(door.forget(table)?)).await?;
        }
        Ok(())
    }

    /// Removes what lies there of loads that are over.
    pub(crate) fn forget_loads(&self) -> Result<()> {
        let Some(door) = self.local.store().engine().ingest() else {
            return Ok(());
        };
        let directory = self.local.directory();
        let is_filled = |load: &u64| {
            let table = directory.by_id.get(load);
            table.is_some_and(|table| table.registers.is_being_filled(self.local.region()))
        };
        for load in door.loads()? {
            if !is_filled(&load) {
                door.forget(load)?;
            }
        }
        Ok(())
    }

    /// Takes in a load's files; from here on the table has those items, and no others.
    async fn take_in(&self, table: &Table, files: Box<dyn SortedFiles>, filled: &Filled) -> Result<()> {
        let _inside = table.live.gate.enter_or_gone().await?;
        blocking(move || Ok(files.take_in()?)).await?;
        show(&table.live.table, filled.items);
        for (kind, stats) in &*table.live.indexes.read() {
            show(stats, filled.entries.get(kind).copied().unwrap_or_default());
        }
        Ok(())
    }
}

/// A door, and a sorter and files behind it. They are taken out while something is done with them, and not put back if that
/// fails: then the load is to be taken up again.
struct Behind {
    door: Arc<dyn Ingest>,
    sorter: Option<Box<dyn Sorter>>,
    files: Option<Box<dyn SortedFiles>>,
}
