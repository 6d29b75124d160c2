//! Restores in bulk: items come in the order of their keys, each once. They go into files as they come, and what goes with them
//! through a sorter. Files are written on a thread of their own (`writing.rs`) while the next rows are made.
//!
//! The mark is written down once the file is durable in which the last row before it is, and the run in which what goes
//! with that row is.

use std::sync::Arc;

use geodynamo_storage::{Engine, Row as EngineRow, Write};

use super::{
    Behind, ENTRIES, Filled, State, blocking, lost,
    rows::Maker,
    show,
    writing::{Turn, Writing},
};
use crate::{
    Result,
    layout::index::ItemKey,
    recovery::{LoadMark, Loads, Row, restore_mark_key},
    table::registers::pack,
};

/// Bytes of rows after which a file is ended, and is written down how far the restore is.
const KEPT_BYTES: usize = 64 * 1024 * 1024;

/// A restore that is under way.
pub struct RestoreLoad {
    table: u64,
    /// None where it goes by commits.
    behind: Option<Behind>,
    state: State,
    /// The writer of a file that is not ended.
    writing: Option<Writing>,
    /// Bytes of rows since it was last written down how far this is.
    bytes: usize,
    turn: Turn,
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
        let turn = self.turn(table).await;
        let mark = self.load_mark(table).await?;
        let state = self.load_state(table).await?;
        let mut load = RestoreLoad {
            table,
            behind: None,
            state: state.clone().unwrap_or_default(),
            writing: None,
            bytes: 0,
            turn,
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
        let stamps = self.local.orderer().stamps(self.local.store_arc(), rows.len()).await?;
        let table = self.loading(load.table)?;
        let maker = self.maker(Arc::clone(&table));
        let mut sorter = behind.sorter.take().ok_or_else(lost)?;
        let mut items = load.state.items;
        let put = move || {
            let (mut made, mut bytes) = (Vec::with_capacity(rows.len()), 0);
            for (row, stamp) in rows.into_iter().zip(stamps) {
                let at = ItemKey {
                    route: row.route,
                    bytes: row.key,
                };
                let record = Maker::<E>::record(stamp, row.item);
                maker.put_entries(&at, &record, &mut items, &mut *sorter)?;
                let row = maker.row(&at, &record)?;
                bytes += row.0.len() + row.1.len();
                made.push(row);
            }
            let is_full = sorter.is_full();
            Ok((sorter, made, items, bytes, is_full))
        };
        let (sorter, made, items, bytes, is_full) = blocking(put).await?;
        behind.sorter = Some(sorter);
        load.state.items = items;
        load.bytes += bytes;
        // How far it is, for whoever waits.
        show(&table.live.table, items);
        if !made.is_empty() {
            let writing = match load.writing.take() {
                Some(writing) => writing,
                None => Writing::begin(behind.files.take().ok_or_else(lost)?, Arc::clone(&load.turn)),
            };
            load.writing = Some(writing.put(made).await?);
        }
        if is_full || load.bytes >= KEPT_BYTES {
            self.keep_written(load, mark).await?;
        }
        Ok(())
    }

    /// All items have been put; `mark` says so. They are there, and the table is ACTIVE, once this returns.
    pub async fn finish_restore(&self, mut load: RestoreLoad, mark: &LoadMark) -> Result<()> {
        let table = load.table;
        if load.behind.is_some() {
            load.state.taking = true;
            self.keep_written(&mut load, mark).await?;
        }
        match &mut load.behind {
            Some(behind) => {
                let found = self.loading(table)?;
                let maker = self.maker(Arc::clone(&found));
                let files = behind.files.take().ok_or_else(lost)?;
                let entries = behind.sorter.take().ok_or_else(lost)?;
                let mut filled = Filled {
                    items: load.state.items,
                    ..Filled::default()
                };
                let make = move |put: &mut dyn FnMut(EngineRow) -> Result<()>| {
                    for row in maker.counting(entries.into_rows()?, &mut filled) {
                        put(row?)?;
                    }
                    Ok(filled)
                };
                let writing = Writing::begin(files, Arc::clone(&load.turn));
                let (files, filled) = writing.put_all(make).await?;
                self.take_in(&found, files, &filled).await?;
            }
            None => self.local.recount(&self.loading(table)?).await?,
        }
        self.activate_restore(table).await?;
        self.end_load(table, restore_mark_key(table)).await?;
        self.turns.lock().remove(&table);
        Ok(())
    }

    /// Ends the file that is being written, and writes down how far the restore is.
    async fn keep_written(&self, load: &mut RestoreLoad, mark: &LoadMark) -> Result<()> {
        let Some(behind) = &mut load.behind else { return Ok(()) };
        let mut sorter = behind.sorter.take().ok_or_else(lost)?;
        let writing = load.writing.take();
        let written = async {
            match writing {
                Some(writing) => writing.end().await.map(Some),
                None => Ok(None),
            }
        };
        let kept = blocking(move || {
            let runs = sorter.keep()?;
            Ok((sorter, runs))
        });
        let (written, kept) = tokio::join!(written, kept);
        if let Some((files, count)) = written? {
            behind.files = Some(files);
            load.state.files = count;
        }
        let (sorter, runs) = kept?;
        behind.sorter = Some(sorter);
        load.state.runs = runs;
        load.bytes = 0;
        let mark = Write::Put(restore_mark_key(load.table), pack(mark)?);
        self.keep_load(load.table, &load.state, mark).await
    }
}
