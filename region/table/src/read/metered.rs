//! Reads that consume capacity, and end or are refused where there is none left.

use std::sync::Arc;

use geodynamo_item::Item;
use geodynamo_storage::Engine;

use crate::{
    Access, Result, StoredItem, Table, TableError,
    layout::index::ItemKey,
    read::Reads,
    schema::{IndexDefinition, capacity::read_units},
    table::insights::Place,
};

/// What of several items could be read.
#[derive(Debug)]
pub struct ReadItems {
    /// The items with the first keys, in their order.
    pub found: Vec<Option<StoredItem>>,
    /// Why there are none of the other keys: the table's capacity was used up.
    pub throttled: Option<TableError>,
}

/// What a page of a query or a scan consumes as it goes on.
///
/// Every partition that a page reads of is rounded up by itself, and costs as much as its smallest item where it has none. A
/// query reads of one.
pub(crate) struct PageMeter<'a> {
    table: &'a Table,
    /// The index that is read, by its place among the table's.
    index: Option<usize>,
    consistent: bool,
    /// How many partitions there are.
    partitions: u64,
    /// The one that is being read, from 0, and the bytes read of it.
    partition: u64,
    bytes: usize,
    /// What those before it cost.
    before: f64,
    /// Whether it consumes.
    on: bool,
}

impl<E: Engine> Reads<E> {
    /// The item with a key, as a client reads it.
    pub async fn get_item(&self, table: &Table, key: &Item, consistent: bool) -> Result<Option<StoredItem>> {
        let at = table.key_of(key)?;
        let least = read_units(0, consistent);
        table.admit(None, Access::Read, (&at).into(), least)?;
        let found = self.get_at(table, &at).await?;
        if let Some(item) = &found {
            table.consume(
                None,
                Access::Read,
                (&at).into(),
                read_units(item.size()?, consistent) - least,
            );
        }
        Ok(found)
    }

    /// The items with these keys, as a client reads them: as many as there is capacity for.
    pub async fn get_items(&self, table: &Table, wanted: &[Item], consistent: bool) -> Result<ReadItems> {
        let least = read_units(0, consistent);
        let mut places = Vec::with_capacity(wanted.len());
        let mut throttled = None;
        if table.is_metered() {
            for key in wanted {
                let at = table.key_of(key)?;
                match table.admit(None, Access::Read, (&at).into(), least) {
                    Ok(()) => places.push(at),
                    Err(error) => {
                        throttled = Some(error);
                        break;
                    }
                }
            }
        }
        let admitted = throttled.as_ref().map_or(wanted.len(), |_| places.len());
        let found = self.get_many(table, &wanted[..admitted]).await?;
        for (place, item) in found.iter().enumerate() {
            let size = item.as_ref().map(StoredItem::size).transpose()?.unwrap_or(0);
            let units = read_units(size, consistent);
            match places.get(place) {
                Some(at) => table.consume(None, Access::Read, at.into(), units - least),
                // Nothing was consumed to let it in, and nobody asks where.
                None => table.consume(None, Access::Read, Place::of_route(0), units),
            }
        }
        Ok(ReadItems { found, throttled })
    }
}

/// Lets all actions of a transaction in, or none of it.
pub(crate) fn admit_transaction<'a>(
    places: impl Iterator<Item = (&'a Arc<Table>, &'a ItemKey)>,
    access: Access,
    least: f64,
) -> Result<()> {
    let reasons: Vec<_> = places
        .map(|(table, at)| table.admit(None, access, at.into(), least).err())
        .collect();
    if reasons.iter().all(Option::is_none) {
        return Ok(());
    }
    Err(TableError::TransactionCanceled(reasons))
}

impl<'a> PageMeter<'a> {
    /// Begins a page that reads from a place on, of so many partitions; it is refused if there is no capacity left.
    pub(crate) fn begin(
        table: &'a Table,
        index: Option<&IndexDefinition>,
        consistent: bool,
        from: Place<'_>,
        partitions: u64,
        on: bool,
    ) -> Result<Self> {
        let place = |index: &IndexDefinition| table.indexes().iter().position(|other| other.kind == index.kind);
        let mut meter = Self {
            table,
            index: index.and_then(place),
            consistent,
            partitions,
            partition: 0,
            bytes: 0,
            before: 0.0,
            on,
        };
        meter.partition = meter.partition_of(from.route);
        if meter.on {
            table.admit(meter.index, Access::Read, from, meter.units())?;
        }
        Ok(meter)
    }

    /// So many more bytes of the table or the index have been read, of an item. Whether the page must end here,
    /// for want of capacity.
    pub(crate) fn has_read(&mut self, bytes: usize, at: Place<'_>) -> bool {
        let before = self.units();
        self.go_on_to(at.route);
        self.bytes += bytes;
        let more = self.units() - before;
        if !self.on || more <= 0.0 {
            return false;
        }
        self.table.consume(self.index, Access::Read, at, more);
        self.table.is_used_up(self.index, Access::Read, at.route)
    }

    /// Everything up to a route has been looked at.
    pub(crate) fn has_reached(&mut self, route: u64) {
        let before = self.units();
        self.go_on_to(route);
        if self.on {
            self.table
                .consume(self.index, Access::Read, Place::of_route(route), self.units() - before);
        }
    }

    /// What the page has consumed of the table or the index.
    pub(crate) fn units(&self) -> f64 {
        self.before + read_units(self.bytes, self.consistent)
    }

    /// Pages of several partitions go forward only.
    fn go_on_to(&mut self, route: u64) {
        let partition = self.partition_of(route);
        let passed = partition.saturating_sub(self.partition);
        if passed > 0 {
            // The one that was being read, and those in between, of which nothing was.
            self.before = self.units() + (passed - 1) as f64 * read_units(0, self.consistent);
            (self.partition, self.bytes) = (partition, 0);
        }
    }

    /// Partitions are equal parts of the routes.
    fn partition_of(&self, route: u64) -> u64 {
        // Less than the number of partitions.
        ((u128::from(route) * u128::from(self.partitions)) >> u64::BITS) as u64
    }

    /// An item was read from the table for an index's.
    pub(crate) fn has_fetched(&self, units: f64, route: u64) {
        if self.on {
            self.table.consume(None, Access::Read, Place::of_route(route), units);
        }
    }
}
