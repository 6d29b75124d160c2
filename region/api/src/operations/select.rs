//! SELECTs: which queries, or which scan, they are; and their pages.

use geodynamo_expression::{
    Condition, Projection, ResolvedKeyCondition, SortCondition,
    partiql::{self, Plan, Range, Ranges, Select},
};
use geodynamo_item::Item;
use geodynamo_json::Writer;
use geodynamo_storage::Engine;
use geodynamo_table::{
    Capacity, PAGE_BYTES_MAX, PARTITION_KEY_BYTES_MAX, Query, ReadPage, SORT_KEY_BYTES_MAX, ScanRequest, StoredItem,
    Table, TableError,
    capacity::read_units,
    schema::{IndexDefinition, KeyAttribute, KeySchema},
};

use super::{
    query::{check_key, check_values},
    reading::{SelectRequest, filters_projected},
    statements::key_names,
};
use crate::{Api, errors::ApiError, wire::Value as _};

/// The most items in a page of a SELECT over several keys ("PartiQL operators", IN: "pages of up to 10 items").
const ITEMS_OVER_SEVERAL_KEYS: usize = 10;
/// The most queries for one page, so that its work is bounded also where nothing is found.
const RANGES_IN_PAGE: usize = 100;

/// How far a SELECT has come.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Position {
    /// Which of the plan's ranges.
    pub(super) range: usize,
    /// The last item's key, if any was read of it.
    pub(super) key: Option<Item>,
}

/// What to read.
pub(super) struct Reading {
    pub(super) limit: Option<usize>,
    pub(super) consistent: Option<bool>,
    pub(super) from: Option<Position>,
}

/// A page of a SELECT.
#[derive(Debug, Default)]
pub(super) struct Page {
    pub(super) items: Vec<StoredItem>,
    pub(super) capacity: Capacity,
    /// Where to go on; `None` behind the last page.
    pub(super) next: Option<Position>,
}

/// Reads a page.
pub(super) async fn page<E: Engine>(
    api: &Api<E>,
    table: &Table,
    select: &Select,
    reading: Reading,
) -> Result<Page, ApiError> {
    let index = index_of(table, select)?;
    let schema = index.map_or(table.keys(), |index| &index.keys);
    let consistent = reading.consistent.unwrap_or(false);
    if consistent && index.is_some_and(IndexDefinition::is_global) {
        return Err(ApiError::consistent_select_from_global_index());
    }
    if schema.has_several()
        && select.order.is_empty()
        && let Some(condition) = &select.condition
        && let Some((keys, filter)) = query_of_several(schema, condition)
    {
        return page_of_several(api, table, select, keys, filter, consistent, reading).await;
    }
    let plan = partiql::plan(select.condition.as_ref(), &select.order, key_names(schema))?;
    let fetch_base = fetches(table, select, index)?;
    let Some(ranges) = &plan.ranges else {
        let request = ScanRequest {
            index: select.index.as_deref(),
            limit: reading.limit,
            start: reading.from.and_then(|from| from.key),
            filter: plan.filter.as_ref(),
            consistent,
            segment: None,
            fetch_base,
        };
        return Ok(api.tables.reads().scan(table, request).await?.into());
    };
    if let Some(filter) = &plan.filter {
        filters_projected(table, index, filter)?;
    }
    check_ranges(schema, ranges)?;
    let source = Source {
        index: select.index.as_deref(),
        plan: &plan,
        ranges,
        consistent,
        fetch_base,
        // Of a table, one whole key is of one item; an index may have several.
        sole: |range: &Range| {
            index.is_none() && (schema.sort.is_none() || matches!(range.sort, Some(SortCondition::Equal(_))))
        },
    };
    source.page(api, table, reading.limit, reading.from).await
}

/// The index that a SELECT reads.
fn index_of<'t>(table: &'t Table, select: &Select) -> Result<Option<&'t IndexDefinition>, ApiError> {
    let Some(name) = &select.index else { return Ok(None) };
    let index = table.indexes().iter().find(|index| index.name == **name);
    index.map(Some).ok_or_else(ApiError::no_index_to_select_from)
}

/// The query that a WHERE clause is of an index whose keys have several attributes, if it is one.
fn query_of_several(schema: &KeySchema, condition: &Condition) -> Option<(ResolvedKeyCondition, Option<Condition>)> {
    let partition: Vec<_> = schema.partition_attributes().map(KeyAttribute::name).collect();
    let sort: Vec<_> = schema.sort_attributes().map(KeyAttribute::name).collect();
    partiql::query_of_several(condition, &partition, &sort)
}

/// Reads a page of such a query.
async fn page_of_several<E: Engine>(
    api: &Api<E>,
    table: &Table,
    select: &Select,
    keys: ResolvedKeyCondition,
    filter: Option<Condition>,
    consistent: bool,
    reading: Reading,
) -> Result<Page, ApiError> {
    let index = index_of(table, select)?;
    check_values(index.map_or(table.keys(), |index| &index.keys), &keys)?;
    if let Some(filter) = &filter {
        filters_projected(table, index, filter)?;
    }
    let query = Query {
        index: select.index.as_deref(),
        partition: keys.partition,
        sort_equal: keys.sort_equal,
        sort: keys.sort,
        forward: true,
        limit: reading.limit,
        start: reading.from.and_then(|from| from.key),
        filter: filter.as_ref(),
        consistent,
        fetch_base: fetches(table, select, index)?,
    };
    Ok(api.tables.reads().query(table, query).await?.into())
}

impl From<ReadPage> for Page {
    fn from(page: ReadPage) -> Self {
        let go_on = |key| Position {
            range: 0,
            key: Some(key),
        };
        Self {
            items: page.items,
            capacity: page.capacity,
            next: page.last_key.map(go_on),
        }
    }
}

/// Several queries, one after another.
struct Source<'a, F> {
    index: Option<&'a str>,
    plan: &'a Plan,
    ranges: &'a Ranges,
    consistent: bool,
    fetch_base: bool,
    /// Whether a range has one item at most.
    sole: F,
}

impl<F: Fn(&Range) -> bool> Source<'_, F> {
    async fn page<E: Engine>(
        &self,
        api: &Api<E>,
        table: &Table,
        limit: Option<usize>,
        from: Option<Position>,
    ) -> Result<Page, ApiError> {
        let mut left = limit.unwrap_or(usize::MAX);
        if self.ranges.len() > 1 {
            left = left.min(ITEMS_OVER_SEVERAL_KEYS);
        }
        let mut page = Page::default();
        let mut bytes = 0;
        let (first, mut start) = from.map_or((0, None), |from| (from.range, from.key));
        for at in first..self.ranges.len() {
            if left == 0 || bytes >= PAGE_BYTES_MAX || at - first == RANGES_IN_PAGE {
                page.next = Some(Position { range: at, key: None });
                break;
            }
            let Some(range) = self.ranges.get(at) else { break };
            let sole = (self.sole)(&range);
            let query = Query {
                index: self.index,
                partition: vec![range.partition],
                sort_equal: Vec::new(),
                sort: range.sort,
                forward: self.plan.forward,
                limit: Some(left),
                start: start.take(),
                filter: self.plan.filter.as_ref(),
                consistent: self.consistent,
                fetch_base: self.fetch_base,
            };
            let read = match api.tables.reads().query(table, query).await {
                // What was read of the ranges before is not lost.
                Err(TableError::Throttled(_)) if at > first => {
                    page.next = Some(Position { range: at, key: None });
                    break;
                }
                read => read?,
            };
            left = left.saturating_sub(read.scanned);
            page.capacity.add(&read.capacity);
            bytes += read.bytes;
            page.items.extend(read.items);
            if let Some(key) = read.last_key.filter(|_| !sole) {
                page.next = Some(Position {
                    range: at,
                    key: Some(key),
                });
                break;
            }
        }
        Ok(page)
    }
}

/// Whether what is shown has to come from the table, because a local index lacks it.
fn fetches(table: &Table, select: &Select, index: Option<&IndexDefinition>) -> Result<bool, ApiError> {
    let columns = select.columns.as_ref();
    let projection = columns.map(|columns| Projection::of(columns.iter().map(|column| column.path.clone())));
    let request = SelectRequest {
        select: None,
        expression: projection.is_some(),
        attributes: false,
        index: index.is_some(),
    };
    let (_, fetches) = request.shown(table, index, projection)?;
    Ok(fetches)
}

fn check_ranges(schema: &KeySchema, ranges: &Ranges) -> Result<(), ApiError> {
    for partition in &ranges.partitions {
        check_key(&schema.partition, partition, PARTITION_KEY_BYTES_MAX)?;
    }
    let Some(attribute) = &schema.sort else { return Ok(()) };
    let mut operands = ranges.sorts.iter().flat_map(SortCondition::operands);
    operands.try_for_each(|value| check_key(attribute, value, SORT_KEY_BYTES_MAX))
}

/// What a SELECT in a batch or a transaction is of: one item by its whole key, and what else it must be.
pub(super) struct Single {
    pub(super) key: Item,
    pub(super) rest: Vec<Condition>,
}

/// The one item that a SELECT is of; `None` if it could be of several. Whether the values can be keys is not checked.
pub(super) fn single(table: &Table, select: &Select) -> Option<Single> {
    if select.index.is_some() || !select.order.is_empty() {
        return None;
    }
    let (key, rest) = partiql::single_key(select.condition.as_ref(), key_names(table.keys()))?;
    Some(Single { key, rest })
}

impl Single {
    /// Reads the item; gives it as the SELECT shows it, and what that consumed.
    pub(super) async fn read<E: Engine>(
        &self,
        api: &Api<E>,
        table: &Table,
        select: &Select,
        consistent: bool,
    ) -> Result<(Option<Item>, Capacity), ApiError> {
        let found = api.tables.reads().get_item(table, &self.key, consistent).await?;
        let bytes = found.as_ref().map(StoredItem::size).transpose()?.unwrap_or(0);
        let capacity = Capacity {
            table: read_units(bytes, consistent),
            ..Capacity::default()
        };
        let item = found.map(|item| item.decode()).transpose()?;
        Ok((self.show(select, item), capacity))
    }

    /// The item as the SELECT shows it, if it is there and is what the SELECT asks for.
    pub(super) fn show(&self, select: &Select, item: Option<Item>) -> Option<Item> {
        let meets = |item: &Item| self.rest.iter().all(|condition| condition.evaluate(item));
        item.filter(meets).map(|item| select.show(item))
    }
}

/// Writes an item as a SELECT shows it.
pub(super) fn write_shown(item: &StoredItem, select: &Select, writer: &mut Writer) -> Result<(), ApiError> {
    match select.columns {
        None => item.write_json(writer)?,
        Some(_) => select.show(item.decode()?).encode(writer),
    }
    Ok(())
}
