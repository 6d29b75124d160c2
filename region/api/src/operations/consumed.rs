//! `ConsumedCapacity` and `ItemCollectionMetrics`.

use std::{collections::BTreeMap, sync::Arc};

use compact_str::CompactString;
use geodynamo_item::{AttributeValue, Item};
use geodynamo_storage::Engine;
use geodynamo_table::{Capacity, Table, given_name};

use super::parameters::says;
use crate::{Api, errors::ApiError, generated};

/// Bytes of a gigabyte, in which item collections are measured.
const GIGABYTE: u64 = 1024 * 1024 * 1024;

/// What a request consumed, as far as it asked for it.
pub(super) fn consumed(
    table: &str,
    asked: &Option<CompactString>,
    capacity: &Capacity,
) -> Option<generated::ConsumedCapacity> {
    let indexes = says(asked, "INDEXES");
    if !indexes && !says(asked, "TOTAL") {
        return None;
    }
    let of = |units: f64| generated::Capacity {
        capacity_units: Some(units),
        ..Default::default()
    };
    let by_name = |list: &[(String, f64)]| {
        let map: BTreeMap<_, _> = list.iter().map(|(name, units)| (name.into(), of(*units))).collect();
        (indexes && !map.is_empty()).then_some(map)
    };
    Some(generated::ConsumedCapacity {
        table_name: Some(table.into()),
        capacity_units: Some(capacity.total()),
        table: indexes.then(|| of(capacity.table)),
        local_secondary_indexes: by_name(&capacity.local),
        global_secondary_indexes: by_name(&capacity.global),
        ..Default::default()
    })
}

/// What the capacity units of a transaction are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Units {
    Read,
    Write,
}

/// What a transaction consumed of each table, as far as it asked for it. Unlike other operations' figures, those of
/// transactions also say which kind of units they are.
pub(super) fn transacted(
    capacities: &[(Arc<Table>, Capacity)],
    asked: &Option<CompactString>,
    units: Units,
) -> Option<Vec<generated::ConsumedCapacity>> {
    let say = |capacity: &mut generated::Capacity| match units {
        Units::Read => capacity.read_capacity_units = capacity.capacity_units,
        Units::Write => capacity.write_capacity_units = capacity.capacity_units,
    };
    let shown = capacities.iter().filter_map(|(table, capacity)| {
        let mut shown = consumed(given_name(table.name()), asked, capacity)?;
        match units {
            Units::Read => shown.read_capacity_units = shown.capacity_units,
            Units::Write => shown.write_capacity_units = shown.capacity_units,
        }
        let indexes = [&mut shown.local_secondary_indexes, &mut shown.global_secondary_indexes];
        let indexes = indexes.into_iter().flatten().flat_map(|map| map.values_mut());
        indexes.chain(&mut shown.table).for_each(say);
        Some(shown)
    });
    Some(shown.collect::<Vec<_>>()).filter(|list| !list.is_empty())
}

/// The partition key that `ReturnItemCollectionMetrics` is about: none unless asked for and the table has local indexes.
pub(super) fn collection_key(table: &Table, asked: &Option<CompactString>, item: &Item) -> Option<AttributeValue> {
    let local = table.indexes().iter().any(|index| !index.is_global());
    (says(asked, "SIZE") && local)
        .then(|| item.get(&table.keys().partition.name).cloned())
        .flatten()
}

/// The size of an item collection.
pub(super) async fn collection_metrics<E: Engine>(
    api: &Api<E>,
    table: &Table,
    partition: Option<AttributeValue>,
) -> Result<Option<generated::ItemCollectionMetrics>, ApiError> {
    let Some(partition) = partition else { return Ok(None) };
    let key = Item::from_iter([(table.keys().partition.name.as_str().into(), partition)]);
    let lower = (api.tables.writes().collection_bytes(table, &key).await? / GIGABYTE) as f64;
    Ok(Some(generated::ItemCollectionMetrics {
        item_collection_key: Some(key),
        size_estimate_range_gb: Some(vec![lower, lower + 1.0]),
    }))
}
