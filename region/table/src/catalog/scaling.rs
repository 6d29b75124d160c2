//! What whoever scales provisioned capacity asks of tables: what was consumed, what there is, and another number of units.

use geodynamo_storage::Engine;

use crate::{
    Access, Result, Table, TableError, UpdateTable,
    catalog::Catalog,
    schema::{Billing, IndexDefinition, IndexKind, ReplicaStatus, Throughput},
    table::{
        index_state::global_id,
        throughput::{Bounds, IndexUpdate, ReadOverride, ReplicaUpdate},
    },
};

/// What was consumed of a table, or of one of its global indexes, since it was first used in this process.
#[derive(Clone, Debug, PartialEq)]
pub struct Consumed {
    /// The table's id.
    pub table: u64,
    /// Its name.
    pub name: String,
    /// The index's name.
    pub index: Option<String>,
    /// The index's id.
    pub index_id: Option<u64>,
    /// Read units.
    pub read: f64,
    /// Write units.
    pub write: f64,
}

/// A provisioned table, or one of its global indexes, as it is now.
#[derive(Clone, Debug, PartialEq)]
pub struct Provisioned {
    /// The table's id.
    pub table: u64,
    /// Units a second, in this region.
    pub units: Throughput,
    /// The regions that have the table.
    pub regions: Vec<String>,
}

impl Table {
    /// The id of a global index.
    pub fn global_index_id(&self, name: &str) -> Option<u64> {
        self.index(name).ok().and_then(global_id)
    }
}

impl<E: Engine> Catalog<E> {
    /// What was consumed of every provisioned table of this region.
    pub fn consumed(&self) -> Vec<Consumed> {
        let mut all = Vec::new();
        for table in self.local.all() {
            if !matches!(table.registers.billing, Some(Billing::Provisioned(_))) {
                continue;
            }
            let used = |owner: Option<u64>| {
                let of = |access| table.live.meters.total(owner, access);
                (of(Access::Read), of(Access::Write))
            };
            let entry = |index: Option<(&IndexDefinition, u64)>| {
                let id = index.map(|(_, id)| id);
                let (read, write) = used(id);
                Consumed {
                    table: table.id(),
                    name: table.name().to_owned(),
                    index: index.map(|(index, _)| index.name.clone()),
                    index_id: id,
                    read,
                    write,
                }
            };
            all.push(entry(None));
            all.extend(table.indexes().iter().filter_map(|index| match index.kind {
                IndexKind::Global(id) => Some(entry(Some((index, id)))),
                IndexKind::Local(_) => None,
            }));
        }
        all
    }

    /// What is provisioned of a table, or of one of its global indexes.
    ///
    /// # Errors
    /// There is no such table or index here, or the table is in on-demand mode (`None`).
    pub fn provisioned(&self, name: &str, index: Option<&str>) -> Result<Option<Provisioned>> {
        let table = self.local.table_named(name)?;
        let index = index.map(|index| table.index(index)).transpose()?;
        if index.is_some_and(|index| !index.is_global()) {
            return Err(TableError::no_table());
        }
        let Bounds::Provisioned(units) = table.bounds(self.local.region(), index) else {
            return Ok(None);
        };
        let lives = |status| matches!(status, ReplicaStatus::Active | ReplicaStatus::Creating);
        let others = table
            .other_replicas(self.local.region())
            .filter(|(_, entry)| lives(entry.status));
        let mut regions = vec![self.local.region().to_owned()];
        regions.extend(others.map(|(region, _)| region.clone()));
        Ok(Some(Provisioned {
            table: table.id(),
            units,
            regions,
        }))
    }

    /// Provisions another number of units. Of a global table, read units are set for this region alone, write units for all.
    pub async fn provision(&self, name: &str, index: Option<&str>, access: Access, units: u64) -> Result<()> {
        let Some(there) = self.provisioned(name, index)? else {
            return Err(TableError::invalid("the table is in on-demand mode"));
        };
        let mut update = UpdateTable::default();
        if access == Access::Read && there.regions.len() > 1 {
            let read = ReadOverride {
                provisioned: Some(units),
                on_demand: None,
            };
            let own = match index {
                None => ReplicaUpdate {
                    table: read,
                    ..ReplicaUpdate::default()
                },
                Some(index) => ReplicaUpdate {
                    indexes: vec![(index.to_owned(), read)],
                    ..ReplicaUpdate::default()
                },
            };
            update.replica_updates.push((self.local.region().to_owned(), own));
        } else {
            // What is set for the table is changed, not what this region has in its place.
            let table = self.local.table_named(name)?;
            let with = |units_now: Throughput| match access {
                Access::Read => Throughput {
                    read: units,
                    ..units_now
                },
                Access::Write => Throughput {
                    write: units,
                    ..units_now
                },
            };
            match (index, table.registers.billing) {
                (None, Some(Billing::Provisioned(now))) => update.billing = Some(Billing::Provisioned(with(now))),
                (None, _) => return Err(TableError::invalid("the table is in on-demand mode")),
                (Some(index), _) => {
                    let now = table.index(index)?.throughput.unwrap_or_default();
                    let provisioned = Some(with(now));
                    let change = IndexUpdate {
                        provisioned,
                        ..IndexUpdate::default()
                    };
                    update.throughput.indexes.push((index.to_owned(), change));
                }
            }
        }
        self.update_table(name, update).await.map(drop)
    }
}
