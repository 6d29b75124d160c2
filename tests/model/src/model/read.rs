//! Reads.

use super::{
    BatchGet, Capacity, Fault, Index, Item, Json, Model, Place, Refusal, Refused, Request, Schema, checks, item_json,
    item_size, json,
};
use crate::{
    evaluate,
    expression::{KeyCondition, KeyTests, Path, condition_paths},
    older::{self, test_refusals},
    request::{
        Read,
        older::{Older, key_test},
    },
    schema::{KeyAttribute, Keys, Projection},
    value::Value,
};

/// The partitions of an on-demand table, or of its index, each of which a scan reads for itself: captured from DynamoDB.
const PARTITIONS: usize = 4;
/// Bytes that a page reads before filters: the item that passes it is the page's last.
pub(super) const PAGE_BYTES_MAX: usize = 1024 * 1024;

/// What one request reads.
#[derive(Default)]
pub(super) struct Page {
    /// What passes the filter, whole.
    pub(super) items: Vec<Item>,
    pub(super) scanned: usize,
    /// Of what is read, before the filter.
    pub(super) bytes: usize,
    /// The key to go on behind.
    pub(super) last: Option<Item>,
    pub(super) capacity: Capacity,
}

impl Model {
    pub(super) fn get(
        &self,
        request: &Request,
        table: usize,
        key: &Item,
        projection: Option<&[Path]>,
        consistent: bool,
    ) -> Refused<Json> {
        let by_attributes = request.older.as_ref().is_some_and(|older| older.attributes);
        let mut refusals = checks::projection(projection, by_attributes, self.fault);
        refusals.extend(self.older_refusals(request));
        let Some(schema) = self.schemas.get(table) else {
            refusals.push(Refusal::no_table());
            return Err(refusals);
        };
        refusals.extend(checks::key(schema, key));
        if !refusals.is_empty() {
            return Err(refusals);
        }
        let found = self.tables[table].get(&Place::of(&schema.keys, key));
        let mut reply = json!({});
        if let Some(item) = found {
            reply["Item"] = item_json(&shown(projection, item));
        }
        let capacity = Capacity {
            table: self.read_units(found.map_or(0, item_size), consistent),
            ..Capacity::default()
        };
        if let Some(capacity) = capacity.shown(request, schema) {
            reply["ConsumedCapacity"] = capacity;
        }
        Ok(reply)
    }

    pub(super) fn batch_get(&self, request: &Request, list: &[BatchGet]) -> Refused<Json> {
        let mut refusals = Vec::new();
        if list.iter().map(|wanted| wanted.keys.len()).sum::<usize>() > 100 {
            refusals.push(Refusal::invalid(""));
        }
        for wanted in list {
            refusals.extend(checks::projection(
                wanted.projection.as_deref(),
                wanted.attributes,
                self.fault,
            ));
            let Some(schema) = self.schemas.get(wanted.table) else {
                refusals.push(Refusal::no_table());
                continue;
            };
            for (at, key) in wanted.keys.iter().enumerate() {
                refusals.extend(checks::key(schema, key));
                if wanted.keys[..at].contains(key) {
                    refusals.push(Refusal::invalid("Provided list of item keys contains duplicates"));
                }
            }
        }
        if !refusals.is_empty() {
            return Err(refusals);
        }
        let mut reply = json!({ "Responses": {}, "UnprocessedKeys": {} });
        let mut consumed = Vec::new();
        for wanted in list {
            let schema = &self.schemas[wanted.table];
            let mut capacity = Capacity::default();
            let mut items = Vec::new();
            for key in &wanted.keys {
                let found = self.tables[wanted.table].get(&Place::of(&schema.keys, key));
                capacity.table += self.read_units(found.map_or(0, item_size), wanted.consistent);
                items.extend(found.map(|item| item_json(&shown(wanted.projection.as_deref(), item))));
            }
            reply["Responses"][&schema.name] = items.into();
            consumed.extend(capacity.shown(request, schema));
        }
        if !consumed.is_empty() {
            reply["ConsumedCapacity"] = consumed.into();
        }
        Ok(reply)
    }

    /// A page of a Query or Scan, and the key that the next one starts behind.
    pub(super) fn read(&self, request: &Request, read: &Read, start: Option<&Item>) -> Refused<(Json, Option<Item>)> {
        let schema = self.schema(read.table);
        let start = start.or(read.start.as_ref());
        let mut refusals = self.refusals(request, read, schema.as_ref().ok().copied(), start);
        if let Err(missing) = &schema {
            refusals.extend(missing.iter().cloned());
        }
        let (Ok(schema), true) = (schema, refusals.is_empty()) else {
            return Err(refusals);
        };
        let page = self.page(read, request.older.as_ref(), start);
        let mut count = page.items.len();
        if self.is(Fault::CountIsOfWhatWasScanned) {
            count = page.scanned;
        }
        let mut reply = json!({ "Count": count, "ScannedCount": page.scanned });
        if read.select != Some("COUNT") {
            let items = page
                .items
                .iter()
                .map(|item| item_json(&shown(read.projection.as_deref(), item)));
            reply["Items"] = items.collect();
        }
        if let Some(key) = &page.last {
            reply["LastEvaluatedKey"] = item_json(key);
        }
        if let Some(capacity) = page.capacity.shown(request, schema) {
            reply["ConsumedCapacity"] = capacity;
        }
        Ok((reply, page.last))
    }

    /// Reads a page of a table that is there, behind a key.
    pub(super) fn page(&self, read: &Read, older: Option<&Older>, start: Option<&Item>) -> Page {
        let schema = &self.schemas[read.table];
        let index = read.index.as_ref().and_then(|name| schema.index(name));
        let fetches = index.is_some_and(|index| !index.global && fetches(read, schema, index));
        let mut rows = self.rows(read.table, index);
        let keys = index.map_or(&schema.keys, |index| &index.keys);
        rows.retain(|(place, item)| self.wanted(read, place, item));
        if read.forward == Some(false) {
            rows.reverse();
            if self.is(Fault::DescendingQueriesKeepTies) {
                rows.sort_by_key(|(place, _)| std::cmp::Reverse(place.index_keys(keys)));
                rows.chunk_by_mut(|one, two| one.0.index_keys(keys) == two.0.index_keys(keys))
                    .for_each(<[_]>::reverse);
            }
        }
        if let Some(start) = start {
            let from = place_of(schema, index, start);
            rows.retain(|(place, _)| match read.forward {
                Some(false) => *place < from,
                _ if self.is(Fault::PagesStartAtTheirKey) => *place >= from,
                _ => *place > from,
            });
        }

        let mut page = Page::default();
        let mut fetched = 0.0;
        let total = rows.len();
        let mut of_partitions = [0; PARTITIONS];
        let mut last_place = None;
        for (place, row) in rows {
            page.scanned += 1;
            page.bytes += item_size(&row);
            of_partitions[place.segment(PARTITIONS)] += item_size(&row);
            let mut item = row.clone();
            if fetches {
                item = self.tables[read.table][&Place::of(&schema.keys, &row)].clone();
                fetched += self.read_units(item_size(&item), read.consistent);
            }
            // What an index does not have is missing for filters, whatever is shown.
            let seen = match index {
                Some(_) if self.is(Fault::FiltersOfScansSeeWholeItems) => {
                    &self.tables[read.table][&Place::of(&schema.keys, &row)]
                }
                _ => &row,
            };
            if self.holds(read.filter.as_ref(), seen) && older.is_none_or(|older| older::holds(older, seen, self.fault))
            {
                page.items.push(item);
            }
            if Some(page.scanned) == read.limit || page.bytes >= PAGE_BYTES_MAX {
                page.last = Some(key_of(schema, index, &row));
                last_place = Some(place);
                break;
            }
        }
        if page.scanned == total && self.is(Fault::ALimitReachedAtTheEndHasNoKeyToGoOnFrom) {
            page.last = None;
        }
        let units = if read.query.is_some() {
            self.read_units(page.bytes, read.consistent)
        } else {
            let from = start.map(|start| place_of(schema, index, start));
            let looked_at = partitions_of(read, from.as_ref(), last_place.as_ref());
            looked_at
                .map(|partition| self.read_units(of_partitions[partition], read.consistent))
                .sum()
        };
        if is_of_one_item(read, schema) {
            page.last = None;
        }
        page.capacity = match index {
            None => Capacity {
                table: units,
                ..Capacity::default()
            },
            Some(index) => Capacity {
                table: fetched,
                indexes: [(index.name.clone(), units)].into(),
                ..Capacity::default()
            },
        };
        page
    }

    fn wanted(&self, read: &Read, place: &Place, item: &Item) -> bool {
        let in_segment = read
            .segment
            .is_none_or(|(segment, total)| place.segment(total) == segment);
        let meets = |(name, condition): &(String, KeyCondition)| {
            let value = item.get(name);
            value.is_some_and(|value| evaluate::key_holds(condition, value, self.fault))
        };
        in_segment && read.query.iter().flatten().all(meets)
    }

    fn refusals(&self, request: &Request, read: &Read, schema: Option<&Schema>, start: Option<&Item>) -> Vec<Refusal> {
        let (of_keys, of_filter) = match request.mistake {
            Some(mistake) if mistake.is_of_keys() => (Some(mistake), None),
            mistake => (None, mistake),
        };
        let mut refusals = checks::condition("FilterExpression", read.filter.as_ref(), of_filter, self.fault);
        refusals.extend(of_keys.map(|mistake| Refusal::invalid(mistake.text("KeyConditionExpression", self.fault))));
        let older = request.older.as_ref();
        let by_attributes = older.is_some_and(|older| older.attributes);
        refusals.extend(checks::projection(
            read.projection.as_deref(),
            by_attributes,
            self.fault,
        ));
        refusals.extend(self.older_refusals(request));
        if let Some((segment, total)) = read.segment
            && segment >= total
        {
            refusals.push(Refusal::invalid(format!(
                "The Segment parameter is zero-based and must be less than parameter TotalSegments: Segment: {segment} is \
                 not less than TotalSegments: {total}"
            )));
        }
        match (&read.query, older) {
            (Some(tests), Some(older)) if older.keys => {
                if older.keys_operator != "EQ" {
                    refusals.push(Refusal::invalid(
                        "Attempted conditional constraint is not an indexable operation",
                    ));
                }
                refusals.extend(tests.iter().flat_map(|(_, test)| test_refusals("", &key_test(test))));
            }
            (Some(tests), _) if tests.is_empty() => refusals.push(Refusal::invalid(
                "Invalid KeyConditionExpression: The expression can not be empty;",
            )),
            (Some(tests), _) => refusals.extend(tests.iter().flat_map(|(_, test)| test_refusal(test))),
            (None, _) => {}
        }
        let parameter = if by_attributes {
            "AttributesToGet"
        } else {
            "ProjectionExpression"
        };
        match (read.select, &read.projection) {
            (Some(select @ ("ALL_ATTRIBUTES" | "ALL_PROJECTED_ATTRIBUTES" | "COUNT")), Some(_)) => {
                let what = if select == "COUNT" { "only the Count" } else { select };
                refusals.push(Refusal::invalid(format!(
                    "Cannot specify the {parameter} when choosing to get {what}"
                )));
            }
            (Some("SPECIFIC_ATTRIBUTES"), None) => refusals.push(Refusal::invalid(
                "Must specify the AttributesToGet or ProjectionExpression when choosing to get SPECIFIC_ATTRIBUTES",
            )),
            (Some("ALL_PROJECTED_ATTRIBUTES"), None) if read.index.is_none() => {
                let told = read.query.is_none() && self.is(Fault::ScansAreToldOfScanning);
                let how = if told { "Scanning" } else { "Querying" };
                refusals.push(Refusal::invalid(format!(
                    "ALL_PROJECTED_ATTRIBUTES can be used only when {how} using an IndexName"
                )));
            }
            _ => {}
        }
        if let Some(schema) = schema {
            refusals.extend(self.table_refusals(read, older, schema, start));
            refusals.extend(key_filter_refusals(read, older, schema));
        }
        refusals
    }

    /// What is wrong by the table's definition.
    pub(super) fn table_refusals(
        &self,
        read: &Read,
        older: Option<&Older>,
        schema: &Schema,
        start: Option<&Item>,
    ) -> Vec<Refusal> {
        let mut refusals = Vec::new();
        let index = match &read.index {
            None => None,
            Some(name) => match schema.index(name) {
                Some(index) => Some(index),
                None => {
                    refusals.push(Refusal::invalid(format!(
                        "The table does not have the specified index: {name}"
                    )));
                    return refusals;
                }
            },
        };
        if let Some(index) = index.filter(|index| index.filling) {
            refusals.push(Refusal::invalid(format!(
                "Cannot read from backfilling global secondary index: {}",
                index.name
            )));
        }
        if let Some(index) = index.filter(|index| index.global) {
            if read.consistent {
                refusals.push(Refusal::invalid(
                    "Consistent reads are not supported on global secondary indexes",
                ));
            }
            if read.select == Some("ALL_ATTRIBUTES") && index.projection != Projection::All {
                refusals.push(Refusal::invalid(format!(
                    "One or more parameter values were invalid: Select type ALL_ATTRIBUTES is not supported for global \
                     secondary index {} because its projection type is not ALL",
                    index.name
                )));
            }
        }
        let keys = index.map_or(&schema.keys, |index| &index.keys);
        // Only a query's filter must be on what the index has.
        let judged = read.query.is_some() || self.is(Fault::ScansAreRefusedFiltersOnWhatTheirIndexLacks);
        if let Some(index) = index.filter(|_| judged) {
            let tested = older.iter().flat_map(|older| &older.tests);
            let tested: Vec<_> = tested.map(|(name, _)| Path::top(name)).collect();
            let mut filtered: Vec<_> = tested.iter().collect();
            if let Some(filter) = &read.filter {
                condition_paths(filter, &mut filtered);
            }
            let words = format!(
                "Secondary index {} does not project one or more filter attributes:",
                index.name
            );
            refusals.extend(checks::unprojected(schema, index, &filtered, &words));
        }
        if let (Some(index), Some(projection)) = (index.filter(|index| index.global), &read.projection) {
            let words = format!("Global secondary index {} does not project", index.name);
            refusals.extend(checks::unprojected(
                schema,
                index,
                &projection.iter().collect::<Vec<_>>(),
                &words,
            ));
        }
        if let Some(tests) = &read.query {
            refusals.extend(query_refusals(keys, tests));
        }
        if let Some(start) = start
            && !self.can_start(read, schema, index, start)
        {
            refusals.push(Refusal::invalid(""));
        }
        refusals
    }

    /// Whether a key is one that the read could have ended at.
    fn can_start(&self, read: &Read, schema: &Schema, index: Option<&Index>, start: &Item) -> bool {
        let own = index.map(|index| &index.keys);
        let known = |name: &String| schema.keys.has(name) || own.is_some_and(|keys| keys.has(name));
        if is_of_one_item(read, schema)
            || !start.keys().all(known)
            || !schema.keys.fit(start)
            || !own.is_none_or(|keys| keys.fit(start))
        {
            return false;
        }
        let place = place_of(schema, index, start);
        self.wanted(read, &place, start)
    }
}

/// Whether it is a query of a table without a sort key, which has no second page: captured from DynamoDB.
fn is_of_one_item(read: &Read, schema: &Schema) -> bool {
    read.query.is_some() && read.index.is_none() && schema.keys.sort.is_empty()
}

/// The partitions that a scan looks at: from its segment's first, or where it goes on, to its segment's last, or where its
/// page ends.
fn partitions_of(read: &Read, from: Option<&Place>, to: Option<&Place>) -> std::ops::RangeInclusive<usize> {
    let (segment, total) = read.segment.unwrap_or((0, 1));
    let at = |place: &Place| place.segment(PARTITIONS);
    let first = from.map_or(segment * PARTITIONS / total, at);
    let last = to.map_or(((segment + 1) * PARTITIONS - 1) / total, at);
    first..=last
}

fn shown(projection: Option<&[Path]>, item: &Item) -> Item {
    match projection {
        None => item.clone(),
        Some(paths) => evaluate::project(&paths.iter().collect::<Vec<_>>(), item),
    }
}

/// Whether a read of a local index needs what only the table has.
fn fetches(read: &Read, schema: &Schema, index: &Index) -> bool {
    let lacks = |path: &Path| !index.projects(&schema.keys, &path.root);
    match &read.projection {
        Some(paths) => paths.iter().any(lacks),
        None => read.select == Some("ALL_ATTRIBUTES") && index.projection != Projection::All,
    }
}

fn place_of(schema: &Schema, index: Option<&Index>, item: &Item) -> Place {
    match index {
        None => Place::of(&schema.keys, item),
        Some(index) => Place::in_index(&schema.keys, index, item),
    }
}

/// `LastEvaluatedKey`: the table's keys, and the index's.
fn key_of(schema: &Schema, index: Option<&Index>, item: &Item) -> Item {
    let wanted = |name: &str| schema.keys.has(name) || index.is_some_and(|index| index.keys.has(name));
    let keys = item.iter().filter(|(name, _)| wanted(name));
    keys.map(|(name, value)| (name.clone(), value.clone())).collect()
}

/// A Query's filter may not be on the keys that it goes by.
fn key_filter_refusals(read: &Read, older: Option<&Older>, schema: &Schema) -> Vec<Refusal> {
    let mut refusals = Vec::new();
    let keys = read.query.as_ref().and_then(|_| schema.keys_of(read.index.as_deref()));
    let Some(keys) = keys else { return refusals };
    let mut tested = older.into_iter().flat_map(|older| &older.tests);
    if tested.any(|(name, _)| keys.has(name)) {
        // How QueryFilter is told that, the documents do not say.
        refusals.push(Refusal::invalid(""));
    }
    let mut paths = Vec::new();
    if let Some(filter) = &read.filter {
        condition_paths(filter, &mut paths);
    }
    for path in paths.into_iter().filter(|path| keys.has(&path.root)) {
        refusals.push(Refusal::invalid(format!(
            "Filter Expression can only contain non-primary key attributes: Primary key attribute: {}",
            path.root
        )));
    }
    refusals
}

/// What is wrong with a condition on a key attribute, whatever the table's keys are.
fn test_refusal(test: &KeyCondition) -> Option<Refusal> {
    let typed = |operator: &str, value: &Value, fits: bool| {
        (!fits).then(|| {
            Refusal::invalid(format!(
                "Invalid KeyConditionExpression: Incorrect operand type for operator or function; operator or function: \
                 {operator}, operand type: {}",
                value.kind()
            ))
        })
    };
    match test {
        KeyCondition::Compare(operator, value) => typed(operator, value, *operator == "=" || value.has_order()),
        KeyCondition::BeginsWith(prefix) => typed("begins_with", prefix, matches!(prefix, Value::S(_) | Value::B(_))),
        KeyCondition::Between(low, high) => {
            let ordered = low.order(high).is_some_and(std::cmp::Ordering::is_le);
            (!ordered).then(|| Refusal::invalid(""))
        }
    }
}

/// The guide, on keys of several attributes: each attribute of the partition key has its `=`, then those of the sort key may
/// have conditions from left to right, all but the last one `=`.
fn query_refusals(keys: &Keys, tests: &KeyTests) -> Vec<Refusal> {
    let find = |key: &KeyAttribute| tests.iter().find(|(name, _)| *name == key.name).map(|(_, test)| test);
    let equal = |key: &KeyAttribute| find(key).is_some_and(|test| test.equal().is_some());
    let sorts = keys.sort.iter().take_while(|key| find(key).is_some()).count();
    let before_last = keys.sort.iter().take(sorts.saturating_sub(1));
    let mut refusals = Vec::new();
    // Too many: one attribute twice, one behind a gap, or one that is no key.
    if !keys.partition.iter().chain(before_last).all(equal) || tests.len() != keys.partition.len() + sorts {
        refusals.push(Refusal::invalid(""));
    }
    for key in keys.attributes() {
        for value in find(key).into_iter().flat_map(KeyCondition::values) {
            if value.kind() != key.kind {
                refusals.push(Refusal::invalid(
                    "One or more parameter values were invalid: Condition parameter type does not match schema type",
                ));
            } else if value.is_empty_key() {
                refusals.push(checks::empty_key(value, &key.name));
            }
        }
    }
    refusals
}
