//! Restores in bulk: items come in the order of their keys, each once. They go into files as they come, and what goes with them
//! through a sorter.

use std::sync::Arc;

use geodynamo_replicator_core::Stamp;
use geodynamo_storage::{Engine, Row as EngineRow, Write};

use super::{Behind, ENTRIES, Filled, State, blocking, lost};
use crate::{
    Result, StoredItem,
    layout::index::ItemKey,
    recovery::{LoadMark, Loads, Row, restore_mark_key},
    table::registers::pack,
};

/// Bytes of rows that are held in memory until they are written to a file.
const HELD_BYTES: usize = 32 * 1024 * 1024;

/// A restore that is under way.
pub struct RestoreLoad {
    table: u64,
    /// None where it goes by commits.
    behind: Option<Behind>,
    state: State,
    held: Vec<EngineRow>,
    held_bytes: usize,
}

impl RestoreLoad {
    /// Whether it goes into files: then any number of rows may be put at once.
    pub fn is_in_bulk(&self) -> bool {
        self.behind.is_some()
    }
}

impl<E: Engine> Loads<E> {
    /// Begins a restore, or takes it up where it was; gives how far that is.
    pub async fn take_up_restore(&self, table: u64) -> Result<(RestoreLoad, LoadMark)> {
        let mark = self.load_mark(table).await?;
        let state = self.load_state(table).await?;
        let mut load = RestoreLoad {
            table,
            behind: None,
            state: state.clone().unwrap_or_default(),
            held: Vec::new(),
            held_bytes: 0,
        };
        // One with a mark alone was begun by commits.
        let is_new = mark == LoadMark::default();
        let Some(door) = self
            .local
            .store()
            .engine()
            .ingest()
            .filter(|_| is_new || state.is_some())
        else {
            return Ok((load, mark));
        };
        let open = |state: State| {
            let door = Arc::clone(&door);
            blocking(move || {
                Ok(Behind {
                    sorter: Some(door.sorter(table, ENTRIES, state.runs)?),
                    files: Some(door.files(table, state.files, state.taking)?),
                    door,
                })
            })
        };
        match open(load.state.clone()).await {
            Ok(behind) => {
                load.behind = Some(behind);
                Ok((load, mark))
            }
            Err(error) if load.state != State::default() => {
                tracing::warn!(table, %error, "what was loaded of a restore is of no use: it begins anew");
                self.end_load(table, restore_mark_key(table)).await?;
                load.state = State::default();
                load.behind = Some(open(State::default()).await?);
                Ok((load, LoadMark::default()))
            }
            Err(error) => Err(error),
        }
    }

    /// Puts items into a table that is being restored, and says how far that is. They are new versions with stamps of their own:
    /// nothing of the table they were in clings to them. They come in the order of route and key.
    ///
    /// # Errors
    /// [`crate::TableError::ResourceNotFound`] if the table is not being restored (any more). After an error the restore is to
    /// be taken up again.
    pub async fn load_rows(&self, load: &mut RestoreLoad, rows: Vec<Row>, mark: &LoadMark) -> Result<()> {
        let Some(behind) = &mut load.behind else {
            return self.load_by_commit_of_rows(load.table, &rows, mark).await;
        };
        let mut stamps: Vec<Stamp> = Vec::with_capacity(rows.len());
        for _ in &rows {
            stamps.push(self.local.orderer().stamp(self.local.store_arc(), None).await?);
        }
        let maker = self.maker(self.loading(load.table)?);
        let mut sorter = behind.sorter.take().ok_or_else(lost)?;
        let (mut held, mut items) = (std::mem::take(&mut load.held), load.state.items);
        let put = move || {
            let mut bytes = 0;
            for (row, stamp) in rows.into_iter().zip(stamps) {
                let at = ItemKey {
                    route: row.route,
                    bytes: row.key,
                };
                // That it can be read is checked before it is stored.
                StoredItem::new(row.item.clone()).size()?;
                let row = maker.row(&at, stamp, row.item)?;
                maker.put_entries(&row, &mut items, &mut *sorter)?;
                bytes += row.0.len() + row.1.len();
                held.push(row);
            }
            let is_full = sorter.is_full();
            Ok((sorter, held, items, bytes, is_full))
        };
        let (sorter, held, items, bytes, is_full) = blocking(put).await?;
        behind.sorter = Some(sorter);
        (load.held, load.state.items) = (held, items);
        load.held_bytes += bytes;
        if is_full || load.held_bytes >= HELD_BYTES {
            self.write_held(load, mark).await?;
        }
        Ok(())
    }

    /// All items have been put; `mark` says so. They are there, and the table is ACTIVE, once this returns.
    pub async fn finish_restore(&self, mut load: RestoreLoad, mark: &LoadMark) -> Result<()> {
        let table = load.table;
        if load.behind.is_some() {
            load.state.taking = true;
            self.write_held(&mut load, mark).await?;
        }
        match &mut load.behind {
            Some(behind) => {
                let found = self.loading(table)?;
                let maker = self.maker(Arc::clone(&found));
                let mut files = behind.files.take().ok_or_else(lost)?;
                let entries = behind.sorter.take().ok_or_else(lost)?;
                let mut filled = Filled {
                    items: load.state.items,
                    ..Filled::default()
                };
                let write = move || {
                    files.write(&mut maker.counting(entries.into_rows()?, &mut filled))?;
                    Ok((files, filled))
                };
                let (files, filled) = blocking(write).await?;
                self.take_in(&found, files, &filled).await?;
            }
            None => self.local.recount(&self.loading(table)?).await?,
        }
        self.activate_restore(table).await?;
        self.end_load(table, restore_mark_key(table)).await
    }

    /// Writes what is held, and says how far that is.
    async fn write_held(&self, load: &mut RestoreLoad, mark: &LoadMark) -> Result<()> {
        let Some(behind) = &mut load.behind else { return Ok(()) };
        let mut files = behind.files.take().ok_or_else(lost)?;
        let mut sorter = behind.sorter.take().ok_or_else(lost)?;
        let held = std::mem::take(&mut load.held);
        load.held_bytes = 0;
        let write = move || {
            let written = files.write(&mut held.into_iter().map(Ok))?;
            let runs = sorter.keep()?;
            Ok((files, sorter, written, runs))
        };
        let (files, sorter, written, runs) = blocking(write).await?;
        (behind.files, behind.sorter) = (Some(files), Some(sorter));
        (load.state.files, load.state.runs) = (written, runs);
        let mark = Write::Put(restore_mark_key(load.table), pack(mark)?);
        self.keep_load(load.table, &load.state, mark).await
    }
}
