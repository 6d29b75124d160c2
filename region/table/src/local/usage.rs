//! What was counted of tables, for metrics.

use std::future::Future;

use geodynamo_storage::Engine;

use crate::{
    Table,
    local::Local,
    schema::IndexKind,
    table::{
        throughput::Bounds,
        usage::{DataOperation, RequestEnd, TableCounts, UnitCounts, noting_used},
    },
};

impl<E: Engine> Local<E> {
    /// What was counted of each table that is told apart, and of all others.
    pub fn table_counts(&self) -> Vec<TableCounts> {
        let directory = self.directory();
        let told_apart = directory
            .by_name
            .values()
            .filter(|table| table.live.usage.name.is_some());
        let mut all: Vec<_> = told_apart
            .map(|table| table.live.usage.read(self.units_of(table)))
            .collect();
        let other = self.usages().other();
        all.push(other.read(vec![other.units.read()]));
        all
    }

    /// The capacity of a table, and of its global indexes.
    fn units_of(&self, table: &Table) -> Vec<UnitCounts> {
        let of = |name: &str, owner: Option<u64>, bounds: Bounds| {
            let (consumed, refused) = table.live.meters.counts(owner);
            let provisioned = match bounds {
                Bounds::Provisioned(units) => Some([units.read, units.write]),
                Bounds::OnDemand(_) => None,
            };
            UnitCounts {
                index: name.to_owned(),
                consumed,
                refused,
                provisioned,
            }
        };
        let mut all = vec![of("", None, table.bounds(self.region(), None))];
        all.extend(table.indexes().iter().filter_map(|index| match index.kind {
            IndexKind::Global(id) => Some(of(&index.name, Some(id), table.bounds(self.region(), Some(index)))),
            IndexKind::Local(_) => None,
        }));
        all
    }
}

/// Carries a request out, and counts its end for each table that it asked for data of; `end` tells it of the output.
pub async fn counting<E: Engine, F: Future>(
    local: &Local<E>,
    operation: DataOperation,
    request: F,
    end: impl FnOnce(&F::Output) -> RequestEnd,
) -> F::Output {
    let (output, used) = noting_used(request).await;
    let end = end(&output);
    for usage in &used {
        usage.ended(operation, end);
    }
    // A table that there is was not looked for, so none is to blame.
    if used.is_empty() && !matches!(end, RequestEnd::Done(_)) {
        local.usages().other().ended(operation, end);
    }
    output
}
