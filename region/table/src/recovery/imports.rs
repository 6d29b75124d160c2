//! Tables that are made from what others wrote: CREATING until all of it is there.
//!
//! How far an import has come stands beside the items, in the same commit, so it goes on after a crash where it was. What the
//! mark says is known to whoever imports.

use std::{collections::BTreeMap, sync::Arc};

use bytes::Bytes;
use geodynamo_item::Item;
use geodynamo_replicator_core::{MergeKind, Origin, Past};
use geodynamo_storage::{Engine, Write};

use crate::{
    CreateTable, Description, Result, StoredItem, Table, TableError,
    layout::{keys, record::Record},
    recovery::Loads,
    table::{
        registers::{Setting, pack},
        settings::Import,
    },
    write::{KeyChange, Staged},
};

/// What the system keys of imports begin with.
const PREFIX: &str = "import/";

impl<E: Engine> Loads<E> {
    /// Makes a table that is CREATING until [`Loads::finish_import`](super::Loads::finish_import).
    pub async fn create_imported(&self, create: CreateTable) -> Result<Description> {
        let import = (self.import_setting(), Some(pack(&Import { in_progress: true })?));
        self.catalog.create_with(create, vec![import]).await
    }

    /// The tables that are being imported.
    pub fn importing(&self) -> Vec<Arc<Table>> {
        let mut all = self.local.all();
        all.retain(|table| table.registers.is_being_imported(self.local.region()));
        all
    }

    /// What was last said of how far the import of a table has come.
    pub async fn import_mark(&self, table: u64) -> Result<Option<Bytes>> {
        Ok(self.local.store().get(&mark_key(table)).await?)
    }

    /// Why an item cannot be imported into a table, if it cannot.
    pub fn check_imported(&self, table: &Table, item: &Item) -> Result<()> {
        table.check_item(item)?;
        if table.is_too_large(item, geodynamo_item::size::item(item)) {
            return Err(TableError::Validation(
                "Item size has exceeded the maximum allowed size".into(),
            ));
        }
        Ok(())
    }

    /// Puts items into a table that is being imported, all at once, and says how far that is: where the engine has no door for
    /// more (`bulk`). Of several with one key the last one stays.
    pub(crate) async fn load_by_commit(&self, table: u64, items: &[Item], mark: Bytes) -> Result<()> {
        let table = self.imported(table)?;
        let inside = table.live.gate.enter_or_gone().await?;
        // Nobody else writes to it before it is ACTIVE.
        let section = self.local.section_of([inside], Vec::new()).await;
        let mut last = BTreeMap::new();
        for item in items {
            let at = table.key_of_item(item)?;
            last.insert(keys::item(table.id(), at.route, &at.bytes), (at, item));
        }
        let places: Vec<_> = last.keys().cloned().collect();
        let held = self.local.store().get_each(&places).await?;
        let mut staged = Staged::default();
        for ((at, item), held) in last.values().zip(held) {
            let held = held.map(|bytes| Record::read(&bytes)).transpose()?;
            let seen = held.as_ref().map(|record| record.stamp);
            let new = Record {
                stamp: self.local.orderer().stamp(self.local.store_arc(), seen).await?,
                past: held
                    .as_ref()
                    .map_or_else(Past::new, |record| Past::after(&record.past, record.stamp)),
                kind: MergeKind::ItemLww,
                item: Some(StoredItem::encode(item).into_bytes()),
            };
            let change = KeyChange {
                at,
                old: held.as_ref(),
                old_item: None,
                new: &new,
                new_item: Some(item),
                origin: Origin::Local,
            };
            self.writes.stage(&table, &change, &mut staged)?;
        }
        staged.marks.push(Write::Put(mark_key(table.id()), mark));
        self.writes.commit(section, staged).await
    }

    /// All items are there: the table is ACTIVE from here on.
    pub(crate) async fn activate_import(&self, table: u64) -> Result<()> {
        let _changing = self.catalog.catalog_lock.lock().await;
        let done = pack(&Import { in_progress: false })?;
        let change = (self.import_setting(), Some(done));
        self.catalog.set_locked(self.imported(table)?.id(), vec![change]).await
    }

    /// An import cannot be finished: its table goes.
    pub async fn abandon_import(&self, table: u64) -> Result<()> {
        self.take_away_unfilled(&*self.imported(table)?).await?;
        self.end_load(table, mark_key(table)).await
    }

    fn import_setting(&self) -> Setting {
        Setting::Import(self.local.region().into())
    }

    pub(crate) fn imported(&self, id: u64) -> Result<Arc<Table>> {
        let table = self.local.directory().by_id.get(&id).cloned();
        let imported = |table: &Arc<Table>| table.registers.is_being_imported(self.local.region());
        table.filter(imported).ok_or_else(TableError::no_table)
    }
}

pub(crate) fn mark_key(table: u64) -> Bytes {
    keys::system(&format!("{PREFIX}{table:016x}"))
}
