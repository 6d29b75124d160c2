//! What UpdateTable changes of a table's global indexes.

use geodynamo_storage::Engine;
use xxhash_rust::xxh3::xxh3_64;

use crate::{
    Result, Table, TableError, UpdateTable,
    catalog::Catalog,
    schema::{IndexDefinition, IndexKind, IndexStatus, Projection},
    table::{
        index_state::global_id,
        registers::{Change, Setting, pack},
    },
};

/// The most global indexes of a table: AWS's default quota.
pub const GLOBAL_INDEXES_MAX: usize = 20;
/// The most non-key attributes that all indexes of a table list together.
pub const NON_KEY_ATTRIBUTES_MAX: usize = 100;

impl<E: Engine> Catalog<E> {
    /// The registers that make and take away global indexes as an update asks, and the indexes that it makes.
    pub(crate) async fn index_changes(
        &self,
        table: &Table,
        update: &UpdateTable,
    ) -> Result<(Vec<Change>, Vec<IndexDefinition>)> {
        check(table, update)?;
        let (mut changes, mut created) = (Vec::new(), Vec::new());
        for new in &update.index_creates {
            let stamp = self.local.orderer().stamp(self.local.store_arc(), None).await?;
            let mut named = stamp.to_bytes().to_vec();
            named.extend_from_slice(new.name.as_bytes());
            let definition = new.clone().into_definition(IndexKind::Global(xxh3_64(&named).max(1)));
            changes.push((Setting::GlobalIndex(definition.name.clone()), Some(pack(&definition)?)));
            created.push(definition);
        }
        for name in &update.index_deletes {
            let id = global_id(existing(table, name)?);
            changes.push((Setting::GlobalIndex(name.clone()), None));
            let capacity = id.filter(|id| table.registers.index_capacity.contains_key(id));
            changes.extend(capacity.map(|id| (Setting::IndexCapacity(id), None)));
        }
        Ok((changes, created))
    }
}

fn check(table: &Table, update: &UpdateTable) -> Result<()> {
    let simultaneous = || {
        TableError::LimitExceeded(
            "Subscriber limit exceeded: Only 1 online index can be created or deleted simultaneously per table".into(),
        )
    };
    if update.index_creates.len() + update.index_deletes.len() > 1 {
        return Err(simultaneous());
    }
    for name in &update.index_deletes {
        existing(table, name)?;
    }
    for (name, _) in &update.throughput.indexes {
        if !update.index_creates.iter().any(|new| new.name == *name) {
            existing(table, name)?;
        }
    }
    let in_progress = |index: &&IndexDefinition| table.phases.status(index) != IndexStatus::Active;
    let building = table.indexes().iter().find(in_progress);
    // An index that is being filled may be taken away; nothing else goes on beside it.
    let other = building.is_some_and(|index| !update.index_deletes.contains(&index.name));
    let changes = !update.index_creates.is_empty() || !update.index_deletes.is_empty();
    for new in &update.index_creates {
        if table.index(&new.name).is_ok() {
            return Err(TableError::Validation(
                "Attempting to create an index which already exists".into(),
            ));
        }
    }
    if changes && (other || !table.phases.leaving.is_empty()) {
        return Err(simultaneous());
    }
    if update.index_creates.is_empty() {
        return Ok(());
    }
    let global = table.indexes().iter().filter(|index| index.is_global()).count();
    if global + update.index_creates.len() > GLOBAL_INDEXES_MAX {
        return Err(TableError::invalid(format!(
            "GlobalSecondaryIndex count exceeds the per-table limit of {GLOBAL_INDEXES_MAX}"
        )));
    }
    let listed = |projection: &Projection| match projection {
        Projection::Include(names) => names.len(),
        Projection::All | Projection::KeysOnly => 0,
    };
    let there = table.indexes().iter().map(|index| listed(&index.projection));
    let added = update.index_creates.iter().map(|index| listed(&index.projection));
    if there.chain(added).sum::<usize>() > NON_KEY_ATTRIBUTES_MAX {
        return Err(TableError::invalid(format!(
            "Number of NonKeyAttributes in all indexes exceeds the limit of {NON_KEY_ATTRIBUTES_MAX}"
        )));
    }
    Ok(())
}

/// A global index that is there.
fn existing<'a>(table: &'a Table, name: &str) -> Result<&'a IndexDefinition> {
    let found = table
        .indexes()
        .iter()
        .find(|index| index.name == name && index.is_global());
    found.ok_or_else(TableError::no_table)
}
