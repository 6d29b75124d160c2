//! Table classes: which of the engine's rows are of which class.
//!
//! A table's class in a region is a register (`Setting::TableClass`). Of a table of the class STANDARD_INFREQUENT_ACCESS the
//! items and the entries of its indexes are kept so; what is small stays as it is. The engine keeps what it was told, and moves
//! rows by itself, so nothing here has to be done at a certain moment.

use std::collections::BTreeSet;

use geodynamo_storage::{Engine, Prefix, StorageClass};

use crate::{Result, Table, catalog::Catalog, layout::keys::space, schema::IndexKind};

/// The class of tables that are read seldom.
const INFREQUENT: &str = "STANDARD_INFREQUENT_ACCESS";

impl<E: Engine> Catalog<E> {
    /// Tells the engine of tables whose class is another one than it knows.
    pub(crate) async fn place_tables(&self) -> Result<()> {
        let wanted: BTreeSet<Prefix> = {
            let directory = self.local.directory();
            let infrequent = |table: &Table| {
                let class = table.registers.table_class.get(self.local.region());
                class.is_some_and(|class| class.class == INFREQUENT)
            };
            let tables = directory.by_id.values().filter(|table| infrequent(table));
            tables.flat_map(|table| prefixes(table)).collect()
        };
        let known: BTreeSet<Prefix> = self
            .local
            .store()
            .classes()
            .into_iter()
            .map(|(prefix, _)| prefix)
            .collect();
        for prefix in wanted.difference(&known) {
            self.local.store().set_class(*prefix, StorageClass::Infrequent).await?;
        }
        // Tables of another class now, and tables and indexes that are gone.
        for prefix in known.difference(&wanted) {
            self.local.store().set_class(*prefix, StorageClass::Standard).await?;
        }
        Ok(())
    }
}

/// What of a table is kept by its class.
fn prefixes(table: &Table) -> impl Iterator<Item = Prefix> {
    let of_index = |kind: IndexKind| match kind {
        IndexKind::Global(index) => Prefix::new(space::GLOBAL, index),
        IndexKind::Local(ordinal) => Prefix::new(space::LOCAL.saturating_add(ordinal), table.id()),
    };
    let indexes: Vec<_> = table.indexes().iter().map(|index| of_index(index.kind)).collect();
    std::iter::once(Prefix::new(space::ITEM, table.id())).chain(indexes)
}
