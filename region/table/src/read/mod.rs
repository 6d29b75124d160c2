//! Reads: single items, queries and scans.

pub(crate) mod conflicts;
pub(crate) mod digest;
pub(crate) mod metered;

use std::{ops::Bound, sync::Arc};

use bytes::Bytes;
use geodynamo_expression::{Condition, SortCondition};
use geodynamo_item::{AttributeValue, Item};
use geodynamo_storage::{Direction, Engine, Scan};
use geodynamo_topology::partition::segment_range;
use smallvec::SmallVec;

use crate::{
    Result, StoredItem, Table, TableError,
    layout::{
        index::{self, ItemKey},
        keys,
        range::{KeyRange, SortForm},
        record,
    },
    local::Local,
    read::metered::PageMeter,
    schema::{
        IndexDefinition, IndexKind,
        capacity::{Capacity, read_units},
    },
    table::{insights::Place, throughput},
};

/// The most bytes of items a page reads, before filters.
pub const PAGE_BYTES_MAX: usize = 1024 * 1024;
/// Rows read from the engine at a time.
const CHUNK_ROWS: usize = 512;
/// What is told of an `ExclusiveStartKey` that no page can start at; and of one that no item can have.
const INVALID_START: &str = "The provided starting key is invalid";
const NO_MATCH: &str = ": The provided key element does not match the schema";
/// Rows passed over in one page (tombstones) before it ends with a key to go on from. So a page's work is bounded also
/// where nothing is left of what was deleted.
const PASSED_OVER_MAX: usize = 64 * 1024;

/// A query: the items of one partition key, in the order of the sort key.
#[derive(Debug)]
pub struct Query<'a> {
    /// The index to read, or the table itself.
    pub index: Option<&'a str>,
    /// The values of the partition key's attributes: mostly one.
    pub partition: Vec<AttributeValue>,
    /// What the first attributes of a sort key of several are equal to.
    pub sort_equal: Vec<AttributeValue>,
    /// The condition on the sort key's next attribute: mostly its only one.
    pub sort: Option<SortCondition>,
    /// Ascending, or descending.
    pub forward: bool,
    /// The most items to look at.
    pub limit: Option<usize>,
    /// `ExclusiveStartKey`
    pub start: Option<Item>,
    /// What to leave out after reading.
    pub filter: Option<&'a Condition>,
    /// A strongly consistent read. Every read is one here; it only costs more.
    pub consistent: bool,
    /// Whether to take whole items from the table where a local index does not have them.
    pub fetch_base: bool,
}

/// A scan: all items, in no order that means anything.
#[derive(Debug, Default)]
pub struct ScanRequest<'a> {
    /// The index to read, or the table itself.
    pub index: Option<&'a str>,
    /// The most items to look at.
    pub limit: Option<usize>,
    /// `ExclusiveStartKey`
    pub start: Option<Item>,
    /// What to leave out after reading.
    pub filter: Option<&'a Condition>,
    /// A strongly consistent read.
    pub consistent: bool,
    /// `Segment` and `TotalSegments`
    pub segment: Option<(u32, u32)>,
    /// Whether to take whole items from the table where a local index does not have them.
    pub fetch_base: bool,
}

/// A page of a query or a scan.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ReadPage {
    /// The items that the filter let through.
    pub items: Vec<StoredItem>,
    /// How many items were looked at.
    pub scanned: usize,
    /// Their bytes.
    pub bytes: usize,
    /// `LastEvaluatedKey`
    pub last_key: Option<Item>,
    /// What it consumed.
    pub capacity: Capacity,
}

/// What a page reads and how far.
struct Reading<'a> {
    index: Option<&'a IndexDefinition>,
    range: KeyRange,
    forward: bool,
    limit: usize,
    filter: Option<&'a Condition>,
    consistent: bool,
    fetch_base: bool,
    /// The last route of the range, and among how many partitions DynamoDB would have its routes.
    last: u64,
    partitions: u64,
    /// Whether it consumes capacity.
    metered: bool,
}

/// Reads: items by their keys, queries, scans, and conflicts that were recorded.
pub struct Reads<E: Engine> {
    local: Arc<Local<E>>,
}

impl<E: Engine> Reads<E> {
    pub(crate) fn new(local: &Arc<Local<E>>) -> Self {
        Self {
            local: Arc::clone(local),
        }
    }

    /// The item with a key.
    pub async fn get(&self, table: &Table, key: &Item) -> Result<Option<StoredItem>> {
        self.get_at(table, &table.key_of(key)?).await
    }

    pub(crate) async fn get_at(&self, table: &Table, at: &ItemKey) -> Result<Option<StoredItem>> {
        let found = self
            .local
            .store()
            .get(&keys::item(table.id(), at.route, &at.bytes))
            .await?;
        Ok(found
            .map(|bytes| record::item_of(&bytes))
            .transpose()?
            .flatten()
            .map(StoredItem::new))
    }

    /// The items with these keys, in their order, all as of one moment.
    pub async fn get_many(&self, table: &Table, wanted: &[Item]) -> Result<Vec<Option<StoredItem>>> {
        let at = |key: &Item| table.key_of(key).map(|at| keys::item(table.id(), at.route, &at.bytes));
        let engine_keys = wanted.iter().map(at).collect::<Result<Vec<_>>>()?;
        self.stored(&engine_keys).await
    }

    /// A page of a query.
    pub async fn query(&self, table: &Table, query: Query<'_>) -> Result<ReadPage> {
        self.query_as(table, query, true).await
    }

    /// A page of a query that no client pays for.
    pub async fn query_free(&self, table: &Table, query: Query<'_>) -> Result<ReadPage> {
        self.query_as(table, query, false).await
    }

    async fn query_as(&self, table: &Table, query: Query<'_>, metered: bool) -> Result<ReadPage> {
        let index = query.index.map(|name| table.readable_index(name)).transpose()?;
        let schema = index.map_or(table.keys(), |index| &index.keys);
        let partition: SmallVec<[&AttributeValue; 1]> = query.partition.iter().collect();
        let route = index::route_of(&partition);
        let place = match index {
            Some(index) => index::place(table.id(), index, route, &partition),
            None => (keys::space::ITEM, table.id(), route),
        };
        let form = if index.is_some() {
            SortForm::Terminated
        } else {
            SortForm::Final
        };
        let values = query.partition.iter().chain(&query.sort_equal);
        let mut range = KeyRange::of(place, values, form, query.sort.as_ref());
        // Of a table without a sort key a query is of one item: there is nothing to go on with.
        let sole = index.is_none() && schema.sort.is_none();
        if let Some(start) = &query.start {
            if sole {
                return Err(TableError::Validation(
                    "The provided exclusive start key is invalid: A query of a table without a range key has no further pages"
                        .into(),
                ));
            }
            let key = self.start_key(table, index, start, true)?;
            let mut values = schema
                .partition_attributes()
                .map(|attribute| start.get(&attribute.name));
            if !query.partition.iter().all(|value| values.next() == Some(Some(value))) {
                return Err(TableError::Validation(
                    "The provided starting key is outside query boundaries based on provided conditions".into(),
                ));
            }
            if !range.contains(&key) {
                return Err(TableError::Validation(
                    "The provided starting key does not match the range key predicate".into(),
                ));
            }
            range = range.behind(key, query.forward);
        }
        let reading = Reading {
            index,
            range,
            forward: query.forward,
            limit: query.limit.unwrap_or(usize::MAX),
            filter: query.filter,
            consistent: query.consistent,
            fetch_base: query.fetch_base,
            last: route,
            partitions: 1,
            metered,
        };
        let mut page = self.read(table, reading).await?;
        page.last_key = page.last_key.filter(|_| !sole);
        Ok(page)
    }

    /// A page of a scan.
    pub async fn scan(&self, table: &Table, request: ScanRequest<'_>) -> Result<ReadPage> {
        let index = request.index.map(|name| table.readable_index(name)).transpose()?;
        let (segment, total) = request.segment.unwrap_or((0, 1));
        let (first, last) = segment_range(segment, total).ok_or_else(|| {
            TableError::Validation(format!(
                "The Segment parameter is zero-based and must be less than parameter TotalSegments: Segment: {segment} is \
                 not less than TotalSegments: {total}"
            ))
        })?;
        let (space, owner) = match index.map(|index| index.kind) {
            None => (keys::space::ITEM, table.id()),
            Some(IndexKind::Local(ordinal)) => (keys::space::LOCAL + ordinal, table.id()),
            Some(IndexKind::Global(id)) => (keys::space::GLOBAL, id),
        };
        let (from, to) = keys::owner_range(space, owner, first, last);
        let mut range = KeyRange::between(from, to);
        if let Some(start) = &request.start {
            let key = self.start_key(table, index, start, false)?;
            if !range.contains(&key) {
                return Err(TableError::Validation(format!(
                    "The provided starting key is invalid: Invalid ExclusiveStartKey. Please use ExclusiveStartKey with \
                     correct Segment. TotalSegments: {total} Segment: {segment}"
                )));
            }
            range = range.behind(key, true);
        }
        self.read(
            table,
            Reading {
                index,
                range,
                forward: true,
                limit: request.limit.unwrap_or(usize::MAX),
                filter: request.filter,
                consistent: request.consistent,
                fetch_base: request.fetch_base,
                last,
                partitions: throughput::partitions(table.bounds(&self.local.options().region, index)),
                metered: true,
            },
        )
        .await
    }

    async fn read(&self, table: &Table, reading: Reading<'_>) -> Result<ReadPage> {
        let mut page = ReadPage::default();
        let mut bytes = 0;
        let mut base_units = 0.0;
        let mut passed_over = 0;
        let mut range = reading.range.clone();
        let from = range.from.clone();
        let first = match &from {
            Bound::Included(key) | Bound::Excluded(key) => Place::of_engine_key(key),
            Bound::Unbounded => Place::of_route(0),
        };
        let (index, consistent) = (reading.index, reading.consistent);
        let mut meter = PageMeter::begin(table, index, consistent, first, reading.partitions, reading.metered)?;
        'page: while !range.is_empty() {
            let scan = Scan {
                from: range.from.clone(),
                to: range.to.clone(),
                direction: if reading.forward {
                    Direction::Forward
                } else {
                    Direction::Reverse
                },
                rows_max: (reading.limit - page.scanned).min(CHUNK_ROWS),
                bytes_max: PAGE_BYTES_MAX,
                once: false,
            };
            let chunk = self.local.store().scan(scan).await?;
            let last = chunk.rows.last().map(|(key, _)| key.clone());
            for (key, value) in chunk.rows {
                let stored = if reading.index.is_some() {
                    Some(value)
                } else {
                    record::item_of(&value)?
                };
                let Some(stored) = stored.map(StoredItem::new) else {
                    passed_over += 1;
                    if passed_over == PASSED_OVER_MAX {
                        page.last_key = Some(ItemKey::decode(table.keys(), &keys::rest(&key))?);
                        meter.has_reached(keys::route_of(&key));
                        break 'page;
                    }
                    continue;
                };
                page.scanned += 1;
                let size = stored.size()?;
                bytes += size;
                let route = keys::route_of(&key);
                let used_up = meter.has_read(size, Place::of_engine_key(&key));
                let ends = page.scanned == reading.limit || bytes >= PAGE_BYTES_MAX || used_up;
                if ends {
                    page.last_key = Some(self.last_key(table, reading.index, &key, &stored)?);
                }
                let fetched = base_units;
                if let Some(shown) = self.shown(table, &reading, stored, &mut base_units).await? {
                    page.items.push(shown);
                }
                meter.has_fetched(base_units - fetched, route);
                if ends {
                    break 'page;
                }
            }
            match last {
                Some(last) if chunk.more => range = range.behind(last, reading.forward),
                _ => break,
            }
        }
        if page.last_key.is_none() {
            meter.has_reached(reading.last);
        }
        page.bytes = bytes;
        let units = meter.units();
        page.capacity = match reading.index {
            None => Capacity::of_table(units),
            Some(index) if index.is_global() => Capacity {
                global: vec![(index.name.clone(), units)],
                ..Capacity::default()
            },
            Some(index) => Capacity {
                table: base_units,
                local: vec![(index.name.clone(), units)],
                global: Vec::new(),
            },
        };
        Ok(page)
    }

    /// The item as the page shows it; `None` if the filter leaves it out, which is held against what the index has.
    async fn shown(
        &self,
        table: &Table,
        reading: &Reading<'_>,
        stored: StoredItem,
        base_units: &mut f64,
    ) -> Result<Option<StoredItem>> {
        let passes = |item: &Item| reading.filter.is_none_or(|filter| filter.evaluate(item));
        if reading.fetch_base && reading.index.is_some() {
            let entry = stored.decode()?;
            let key = table.key_of_item(&entry)?;
            let base = self
                .stored(&[keys::item(table.id(), key.route, &key.bytes)])
                .await?
                .pop()
                .flatten();
            let Some(base) = base else { return Ok(None) };
            *base_units += read_units(base.size()?, reading.consistent);
            return Ok(passes(&entry).then_some(base));
        }
        if reading.filter.is_none() {
            return Ok(Some(stored));
        }
        Ok(passes(&stored.decode()?).then_some(stored))
    }

    /// The items of these engine keys, in their order, all as of one moment.
    pub(crate) async fn stored(&self, engine_keys: &[Bytes]) -> Result<Vec<Option<StoredItem>>> {
        let found = self.local.store().get_many(engine_keys).await?;
        let item = |bytes: Option<Bytes>| {
            Ok(bytes
                .map(|bytes| record::item_of(&bytes))
                .transpose()?
                .flatten()
                .map(StoredItem::new))
        };
        found.into_iter().map(item).collect()
    }

    /// The engine key that an `ExclusiveStartKey` of a Query, or of a Scan, stands for.
    fn start_key(&self, table: &Table, index: Option<&IndexDefinition>, start: &Item, query: bool) -> Result<Bytes> {
        let wanted = || {
            table
                .keys()
                .attributes()
                .chain(index.iter().flat_map(|index| index.keys.attributes()))
        };
        let all_there = wanted().all(|key| start.contains(&key.name));
        if !all_there || start.iter().any(|(name, _)| wanted().all(|key| key.name != name)) {
            // Only of a table's scan is it told why.
            let why = (!query && index.is_none()).then_some(NO_MATCH);
            return Err(TableError::Validation(format!(
                "{INVALID_START}{}",
                why.unwrap_or_default()
            )));
        }
        let invalid = || TableError::Validation(format!("{INVALID_START}{NO_MATCH}"));
        let at = ItemKey::of(table.keys(), start).ok_or_else(invalid)?;
        match index {
            None => Ok(keys::item(table.id(), at.route, &at.bytes)),
            Some(index) => index::entry(table.id(), table.keys(), index, &at, start)
                .map(|entry| entry.key)
                .ok_or_else(invalid),
        }
    }

    /// The key to go on from: the item's key and, of an index, the index's.
    fn last_key(
        &self,
        table: &Table,
        index: Option<&IndexDefinition>,
        key: &Bytes,
        stored: &StoredItem,
    ) -> Result<Item> {
        let Some(index) = index else {
            return ItemKey::decode(table.keys(), &keys::rest(key));
        };
        let item = stored.decode()?;
        let wanted = |name: &str| table.keys().contains(name) || index.keys.contains(name);
        Ok(item.into_iter().filter(|(name, _)| wanted(name)).collect())
    }
}
