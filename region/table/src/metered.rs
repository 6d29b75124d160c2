//! Reads that consume capacity, and end or are refused where there is none left.

use std::sync::Arc;

use geodynamo_item::Item;
use geodynamo_storage::Engine;

use crate::{
    Access, Result, StoredItem, Table, TableError, Tables, capacity::read_units, index::ItemKey,
    schema::IndexDefinition,
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
pub(crate) struct PageMeter<'a> {
    table: &'a Table,
    /// The index that is read, by its place among the table's.
    index: Option<usize>,
    consistent: bool,
    consumed: f64,
    on: bool,
}

impl<E: Engine> Tables<E> {
    /// The item with a key, as a client reads it.
    pub async fn get_item(&self, table: &Table, key: &Item, consistent: bool) -> Result<Option<StoredItem>> {
        let at = table.key_of(key)?;
        let least = read_units(0, consistent);
        table.admit(None, Access::Read, at.route, least)?;
        let found = self.get_at(table, &at).await?;
        if let Some(item) = &found
            && table.is_throttled()
        {
            table.consume(
                None,
                Access::Read,
                at.route,
                read_units(item.size()?, consistent) - least,
            );
        }
        Ok(found)
    }

    /// The items with these keys, as a client reads them: as many as there is capacity for.
    pub async fn get_items(&self, table: &Table, wanted: &[Item], consistent: bool) -> Result<ReadItems> {
        let least = read_units(0, consistent);
        let mut routes = Vec::with_capacity(wanted.len());
        let mut throttled = None;
        if table.is_throttled() {
            for key in wanted {
                let route = table.key_of(key)?.route;
                match table.admit(None, Access::Read, route, least) {
                    Ok(()) => routes.push(route),
                    Err(error) => {
                        throttled = Some(error);
                        break;
                    }
                }
            }
        }
        let admitted = throttled.as_ref().map_or(wanted.len(), |_| routes.len());
        let found = self.get_many(table, &wanted[..admitted]).await?;
        for (item, route) in found.iter().zip(routes) {
            if let Some(item) = item {
                table.consume(None, Access::Read, route, read_units(item.size()?, consistent) - least);
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
        .map(|(table, at)| table.admit(None, access, at.route, least).err())
        .collect();
    if reasons.iter().all(Option::is_none) {
        return Ok(());
    }
    Err(TableError::TransactionCanceled(reasons))
}

impl<'a> PageMeter<'a> {
    /// Begins a page that reads from a route on; it is refused if there is no capacity left.
    pub(crate) fn begin(
        table: &'a Table,
        index: Option<&IndexDefinition>,
        consistent: bool,
        route: u64,
        on: bool,
    ) -> Result<Self> {
        let place = |index: &IndexDefinition| table.indexes().iter().position(|other| other.kind == index.kind);
        let meter = Self {
            table,
            index: index.and_then(place),
            consistent,
            consumed: read_units(0, consistent),
            on: on && table.is_throttled(),
        };
        if meter.on {
            table.admit(meter.index, Access::Read, route, meter.consumed)?;
        }
        Ok(meter)
    }

    /// So many bytes of the table or the index have been read, up to a route. Whether the page must end here, for want of
    /// capacity.
    pub(crate) fn has_read(&mut self, bytes: usize, route: u64) -> bool {
        let units = read_units(bytes, self.consistent);
        if !self.on || units <= self.consumed {
            return false;
        }
        self.table
            .consume(self.index, Access::Read, route, units - self.consumed);
        self.consumed = units;
        self.table.admit(self.index, Access::Read, route, 0.0).is_err()
    }

    /// An item was read from the table for an index's.
    pub(crate) fn has_fetched(&self, units: f64, route: u64) {
        if self.on {
            self.table.consume(None, Access::Read, route, units);
        }
    }
}
