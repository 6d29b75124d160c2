//! DynamoDB in memory, slow and plain, from AWS's documents.

use std::collections::BTreeMap;

use serde_json::{Value as Json, json};

use crate::{
    answer::{Expected, Refusal, UNKNOWN, settled, with_exponents},
    fault::Fault,
    place::Place,
    request::{Action, BatchGet, Request, Write},
    schema::{Index, Keys, Schema},
    value::{Item, Value, item_json, item_size},
};

mod changes;
mod checks;
mod read;
mod statement_batches;
mod statements;
mod transact;
mod write;

/// When a world begins, in milliseconds since the Unix epoch.
pub(crate) const START_MS: u64 = 1_763_890_000_000;
/// Bytes an item may have.
const ITEM_BYTES_MAX: usize = 400 * 1024;

/// Tables, and a fault if one is planted.
#[derive(Clone, Debug)]
pub(crate) struct Model {
    pub(crate) schemas: Vec<Schema>,
    pub(crate) tables: Vec<BTreeMap<Place, Item>>,
    pub(crate) phases: Vec<Phases>,
    fault: Option<Fault>,
    /// Milliseconds since the Unix epoch.
    pub(crate) now: u64,
    /// Tokens of transactions that were carried out.
    pub(crate) tokens: BTreeMap<String, UsedToken>,
}

/// A client token that has been used.
#[derive(Clone, Debug)]
pub(crate) struct UsedToken {
    at: u64,
    /// What a repetition must have the same.
    parameters: Json,
    /// What a repetition consumes of each table.
    units: BTreeMap<usize, f64>,
    /// The request, to be repeated.
    pub(crate) request: Request,
}

/// An expected answer, and the key that the next page starts behind.
pub(crate) struct Answer {
    pub(crate) expected: Expected,
    pub(crate) next: Option<Start>,
}

/// Where a page starts.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Start {
    /// Which of the keys that a statement names.
    pub(crate) range: usize,
    /// The last item's key.
    pub(crate) key: Option<Item>,
}

pub(crate) use statements::column;

use changes::Phases;

/// What a request consumed of a table and its indexes.
#[derive(Clone, Debug, Default)]
struct Capacity {
    table: f64,
    indexes: BTreeMap<String, f64>,
    /// Of writes that failed: told in the total only.
    failed: f64,
}

type Refused<T> = Result<T, Vec<Refusal>>;

impl Model {
    pub(crate) fn new(schemas: Vec<Schema>, fault: Option<Fault>) -> Self {
        Self {
            tables: vec![BTreeMap::new(); schemas.len()],
            phases: vec![Phases::default(); schemas.len()],
            schemas,
            fault,
            now: START_MS,
            tokens: BTreeMap::new(),
        }
    }

    /// Carries a request out; a read that goes on starts behind `start`.
    pub(crate) fn answer(&mut self, request: &Request, start: Option<&Start>) -> Answer {
        let mut next = None;
        let reply = match &request.action {
            Action::Execute(execute) => return self.execute(request, execute, start),
            Action::BatchExecute(list) => {
                let expected = self.batch_execute(request, list);
                return Answer { expected, next };
            }
            Action::Table(change) => self.change(change),
            Action::Event(event) => {
                self.happen(*event);
                Ok(Json::Null)
            }
            Action::ExecuteTransaction(transaction) => self.execute_transaction(request, transaction),
            Action::Get {
                table,
                key,
                projection,
                consistent,
            } => self.get(request, *table, key, projection.as_deref(), *consistent),
            Action::Write { table, write, .. } => self.write(request, *table, write),
            Action::Read(read) => {
                let start = start.and_then(|start| start.key.as_ref());
                self.read(request, read, start).map(|(reply, key)| {
                    next = key.map(|key| Start {
                        range: 0,
                        key: Some(key),
                    });
                    reply
                })
            }
            Action::BatchGet(list) => self.batch_get(request, list),
            Action::BatchWrite(list) => self.batch_write(request, list),
            Action::TransactWrite(transaction) => self.transact_write(request, transaction),
            Action::TransactGet(list) => self.transact_get(request, list),
        };
        let mut expected = Expected::of(reply);
        if self.is(Fault::LargeNumbersHaveExponents)
            && let Expected::Reply(reply) = expected
        {
            expected = Expected::Reply(with_exponents(reply));
        }
        Answer { expected, next }
    }

    /// The items of a table, or its entries in an index, in the order of a scan.
    pub(crate) fn rows(&self, table: usize, index: Option<&Index>) -> Vec<(Place, Item)> {
        let items = &self.tables[table];
        let Some(index) = index else {
            return items
                .iter()
                .map(|(place, item)| (place.clone(), item.clone()))
                .collect();
        };
        let keys = &self.schemas[table].keys;
        let entries = items.values().filter_map(|item| {
            let entry = self.entry(keys, index, item)?;
            Some((Place::in_index(keys, index, item), entry))
        });
        let mut rows: Vec<_> = entries.collect();
        rows.sort_by(|one, two| one.0.cmp(&two.0));
        if self.is(Fault::IndexesAreOrderedByOneSortAttribute) {
            let mut by = index.clone();
            by.keys.sort.truncate(1);
            rows.sort_by_cached_key(|(_, entry)| Place::in_index(keys, &by, entry));
        }
        rows
    }

    /// What an index has of an item.
    fn entry(&self, keys: &Keys, index: &Index, item: &Item) -> Option<Item> {
        let mut needed = index.keys.clone();
        if self.is(Fault::IndexesNeedOnePartitionAttribute) {
            needed.partition.truncate(1);
        }
        let sparse = !self.is(Fault::IndexesAreNotSparse) || !item.contains_key(needed.partition_name());
        let typed = !self.is(Fault::IndexesHaveKeysOfWrongTypes);
        let there = needed.attributes().all(|key| item.contains_key(&key.name));
        if sparse && !(needed.fit(item) || !typed && there) {
            return None;
        }
        let whole = self.is(Fault::KeysOnlyIndexesHaveEverything);
        let copied = item.iter().filter(|(name, _)| whole || index.projects(keys, name));
        Some(copied.map(|(name, value)| (name.clone(), value.clone())).collect())
    }

    fn is(&self, fault: Fault) -> bool {
        self.fault == Some(fault)
    }

    fn schema(&self, table: usize) -> Refused<&Schema> {
        self.schemas.get(table).ok_or_else(|| vec![Refusal::no_table()])
    }

    fn read_units(&self, bytes: usize, consistent: bool) -> f64 {
        let units = bytes.div_ceil(4096).max(1) as f64;
        if consistent || self.is(Fault::EventualReadsCostAsMuchAsConsistentOnes) {
            units
        } else {
            units / 2.0
        }
    }

    fn write_units(&self, bytes: usize) -> f64 {
        if self.is(Fault::WritesCostOneUnit) {
            return 1.0;
        }
        bytes.div_ceil(1024).max(1) as f64
    }
}

impl Capacity {
    fn add(&mut self, other: &Self) {
        self.table += other.table;
        self.failed += other.failed;
        for (name, units) in &other.indexes {
            *self.indexes.entry(name.clone()).or_default() += units;
        }
    }

    /// `ConsumedCapacity`, as far as it is asked for.
    fn shown(&self, request: &Request, schema: &Schema) -> Option<Json> {
        let asked = request.capacity.filter(|asked| *asked != "NONE")?;
        let total = self.table + self.indexes.values().sum::<f64>() + self.failed;
        let mut shown = json!({ "TableName": schema.name, "CapacityUnits": total });
        if asked == "INDEXES" {
            shown["Table"] = json!({ "CapacityUnits": self.table });
            for (name, units) in &self.indexes {
                let global = schema.index(name).is_some_and(|index| index.global);
                let member = if global {
                    "GlobalSecondaryIndexes"
                } else {
                    "LocalSecondaryIndexes"
                };
                shown[member][name] = json!({ "CapacityUnits": units });
            }
        }
        Some(shown)
    }
}
