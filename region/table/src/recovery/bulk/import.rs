//! Imports in bulk: items come in any order, and some come again.
//!
//! They are sorted as they come. Once all are there, the last of each key is written to a file, what goes with it goes through
//! a second sorter, and all of it is taken in.

use std::sync::Arc;

use bytes::Bytes;
use geodynamo_item::Item;
use geodynamo_storage::{Engine, Ingest, SortedFiles, Sorter, Write};

use super::{
    Behind, ENTRIES, Filled, ITEMS, State, blocking, lost,
    rows::{Maker, write_into},
};
use crate::{
    Result, StoredItem, Table,
    recovery::{Loads, imports},
};

/// An import that is under way.
pub struct ImportLoad {
    table: u64,
    /// None where it goes by commits.
    behind: Option<Behind>,
    state: State,
}

impl<E: Engine> Loads<E> {
    /// Begins an import, or takes it up where it was; gives what was last said of how far that is.
    pub async fn take_up_import(&self, table: u64) -> Result<(ImportLoad, Option<Bytes>)> {
        let mark = self.import_mark(table).await?;
        let state = self.load_state(table).await?;
        let mut load = ImportLoad {
            table,
            behind: None,
            state: state.clone().unwrap_or_default(),
        };
        // One with a mark alone was begun by commits.
        let Some(door) = self
            .local
            .store()
            .engine()
            .ingest()
            .filter(|_| mark.is_none() || state.is_some())
        else {
            return Ok((load, mark));
        };
        let runs = load.state.runs;
        let opening = Arc::clone(&door);
        let opened = blocking(move || Ok(opening.sorter(table, ITEMS, runs)?)).await;
        let (sorter, mark) = match opened {
            Ok(sorter) => (sorter, mark),
            Err(error) if runs > 0 => {
                tracing::warn!(table, %error, "what was loaded of an import is of no use: it begins anew");
                self.end_load(table, imports::mark_key(table)).await?;
                load.state = State::default();
                let opening = Arc::clone(&door);
                (blocking(move || Ok(opening.sorter(table, ITEMS, 0)?)).await?, None)
            }
            Err(error) => return Err(error),
        };
        load.behind = Some(Behind {
            door,
            sorter: Some(sorter),
            files: None,
        });
        Ok((load, mark))
    }

    /// Puts items into a table that is being imported, and says how far that is. Of several with one key the last one stays.
    /// They have been checked.
    ///
    /// # Errors
    /// [`crate::TableError::ResourceNotFound`] if the table is not being imported (any more). After an error the import is to be
    /// taken up again.
    pub async fn load_items(&self, load: &mut ImportLoad, items: Vec<Item>, mark: Bytes) -> Result<()> {
        let Some(behind) = &mut load.behind else {
            return self.load_by_commit(load.table, &items, mark).await;
        };
        let table = self.imported(load.table)?;
        let stamps = self.local.orderer().stamps(self.local.store_arc(), items.len()).await?;
        let mut sorter = behind.sorter.take().ok_or_else(lost)?;
        let maker = self.maker(table);
        let put = move || {
            for (item, stamp) in items.iter().zip(stamps) {
                let at = maker.table.key_of_item(item)?;
                let record = Maker::<E>::record(stamp, StoredItem::encode(item).into_bytes());
                let (key, value) = maker.row(&at, &record)?;
                sorter.put(&key, &value)?;
            }
            let runs = sorter.is_full().then(|| sorter.keep()).transpose()?;
            Ok((sorter, runs))
        };
        let (sorter, runs) = blocking(put).await?;
        behind.sorter = Some(sorter);
        if let Some(runs) = runs {
            load.state.runs = runs;
            let mark = Write::Put(imports::mark_key(load.table), mark);
            self.keep_load(load.table, &load.state, mark).await?;
        }
        Ok(())
    }

    /// All items have been put; `mark` says so. They are there, and the table is ACTIVE, once this returns.
    pub async fn finish_import(&self, mut load: ImportLoad, mark: Bytes) -> Result<()> {
        let table = load.table;
        match &mut load.behind {
            Some(behind) => {
                let mut sorter = behind.sorter.take().ok_or_else(lost)?;
                let keep = move || {
                    let runs = sorter.keep()?;
                    Ok((sorter, runs))
                };
                let (sorter, runs) = blocking(keep).await?;
                load.state.runs = runs;
                let mark = Write::Put(imports::mark_key(table), mark);
                self.keep_load(table, &load.state, mark).await?;
                let found = self.imported(table)?;
                let (door, maker) = (Arc::clone(&behind.door), self.maker(Arc::clone(&found)));
                let (files, filled) = blocking(move || merge(&*door, &maker, sorter)).await?;
                self.take_in(&found, files, &filled).await?;
            }
            None => self.local.recount(&self.imported(table)?).await?,
        }
        self.activate_import(table).await?;
        self.end_load(table, imports::mark_key(table)).await
    }

    pub(super) fn maker(&self, table: Arc<Table>) -> Maker<E> {
        Maker {
            store: Arc::clone(self.local.store_arc()),
            table,
            sweeper: self.local.sweeper(),
        }
    }
}

/// Writes items, and what goes with them, into files.
fn merge<E: Engine>(
    door: &dyn Ingest,
    maker: &Maker<E>,
    items: Box<dyn Sorter>,
) -> Result<(Box<dyn SortedFiles>, Filled)> {
    let load = maker.table.id();
    let mut files = door.files(load, 0, false)?;
    let mut entries = door.sorter(load, ENTRIES, 0)?;
    let mut filled = Filled::default();
    let rows = items.into_rows()?.map(|row| {
        let row = row?;
        maker.put_entries_of_row(&row, &mut filled.items, &mut *entries)?;
        Ok(row)
    });
    write_into(&mut *files, rows)?;
    let entries = entries.into_rows()?;
    write_into(&mut *files, maker.counting(entries, &mut filled))?;
    Ok((files, filled))
}
