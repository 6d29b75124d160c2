//! Batches of PartiQL statements.

use super::{
    BTreeMap, Capacity, Expected, Fault, Item, Model, Place, Refusal, Request, UNKNOWN, Write, checks, item_json,
    item_size, json, settled, statements::faults,
};
use crate::{
    answer::Each,
    request::statements::{Stated, Statement},
};

/// API reference, BatchExecuteStatement: "each … can have up to 25 statements".
const STATEMENTS_MAX: usize = 25;

impl Model {
    /// Carries out all of a batch, or refuses all of it; each statement then fails for itself.
    pub(super) fn batch_execute(&mut self, request: &Request, list: &[Stated]) -> Expected {
        let mut refusals = Vec::new();
        if list.len() > STATEMENTS_MAX {
            refusals.push(Refusal::invalid(""));
        }
        // A statement that cannot be read is neither.
        let reads = |reads: bool| {
            let mut sound = list.iter().filter(|stated| {
                faults(stated, self.fault).is_empty() && stated.statement.table() < self.schemas.len()
            });
            sound.any(|stated| stated.statement.reads() == reads)
        };
        if reads(true) && reads(false) {
            refusals.push(Refusal::invalid(""));
        }
        if self.names_one_twice(list) && !self.is(Fault::BatchesMayNameAnItemTwice) {
            refusals.push(Refusal::invalid("Provided list of item keys contains duplicates"));
        }
        if !refusals.is_empty() {
            return Expected::Refused(refusals);
        }
        let mut each = Vec::new();
        // What the successes consumed, and the failures, by table.
        let mut consumed: BTreeMap<usize, Capacity> = BTreeMap::new();
        let mut failures: BTreeMap<usize, Option<f64>> = BTreeMap::new();
        let mut of_each = Vec::new();
        for stated in list {
            let (done, failed_units) = match &stated.statement {
                Statement::Select(select) => (self.select_one(stated, select), Some(0.0)),
                _ => self.write_statement(stated),
            };
            let table = stated.statement.table();
            let name = self.schemas.get(table).map(|schema| schema.name.clone());
            each.push(match done {
                Ok((item, capacity)) => {
                    let mut response = json!({ "TableName": name });
                    if let Some(item) = item {
                        response["Item"] = item_json(&item);
                    }
                    of_each.extend(capacity.shown(request, &self.schemas[table]));
                    consumed.entry(table).or_default().add(&capacity);
                    Each::Done(settled(response))
                }
                Err(_) if self.is(Fault::ABatchOfStatementsStopsAtItsFirstFailure) => break,
                Err(list) => {
                    let sum = failures.entry(table).or_insert(Some(0.0));
                    *sum = sum.zip(failed_units).map(|(sum, units)| sum + units);
                    Each::Failed(list, name.filter(|_| faults(stated, self.fault).is_empty()))
                }
            });
        }
        let mut known = true;
        for (table, capacity) in &mut consumed {
            let failed = failures.get(table).copied().unwrap_or(Some(0.0));
            known &= failed.is_some();
            capacity.failed = failed.unwrap_or(0.0);
        }
        let shown = |(table, capacity): (&usize, &Capacity)| capacity.shown(request, &self.schemas[*table]);
        let mut list: Vec<_> = consumed.iter().filter_map(shown).collect();
        if self.is(Fault::ABatchOfStatementsHasACapacityForEach) {
            list = of_each;
        }
        let mut rest = json!({});
        if !list.is_empty() {
            rest["ConsumedCapacity"] = if known { list.into() } else { UNKNOWN.into() };
        }
        Expected::Each(each, settled(rest))
    }

    /// Whether two statements of a batch are on one item.
    fn names_one_twice(&self, list: &[Stated]) -> bool {
        let mut places = Vec::new();
        for stated in list {
            let table = stated.statement.table();
            let Some(schema) = self
                .schemas
                .get(table)
                .filter(|_| faults(stated, self.fault).is_empty())
            else {
                continue;
            };
            let key = match &stated.statement {
                Statement::Select(select) => self.key_of(select),
                _ => self.action(stated).map(|action| {
                    let mut key = action.write.item().clone();
                    key.retain(|name, _| schema.keys.has(name));
                    key
                }),
            };
            let Some(key) = key.filter(|key| checks::key(schema, key).is_empty()) else {
                continue;
            };
            let place = (table, Place::of(&schema.keys, &key));
            if places.contains(&place) {
                return true;
            }
            places.push(place);
        }
        false
    }

    /// What a write that failed consumes: the larger of the item there is and the one that it would have made.
    pub(super) fn failed_units(&self, table: usize, write: &Write, why: &[Refusal]) -> Option<f64> {
        if why
            .iter()
            .any(|refusal| refusal.kind != "ConditionalCheckFailedException")
        {
            return None;
        }
        if self.is(Fault::FailedStatementsConsumeNothing) {
            return Some(0.0);
        }
        let stored = self.tables[table].get(&Place::of(&self.schemas[table].keys, write.item()));
        let new = self.work(table, write, |_| true, false).ok()?.new;
        let size = |item: Option<&Item>| item.map_or(0, item_size);
        Some(self.write_units(size(stored).max(size(new.as_ref()))))
    }
}
