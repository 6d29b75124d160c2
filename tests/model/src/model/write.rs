//! Writes.

use std::collections::BTreeSet;

use super::{
    Action, Capacity, Expected, Fault, ITEM_BYTES_MAX, Item, Json, Model, Place, Refusal, Refused, Request, Schema,
    Value, Write, checks, item_json, item_size, json, settled,
};
use crate::{
    answer::Each,
    evaluate,
    expression::{Condition, Step},
    older, update,
};

/// DynamoDB's words for an update that makes too much.
const UPDATED_TOO_LARGE: &str = "Item size to update has exceeded the maximum allowed size";

/// What a write makes of an item; nothing has been changed yet.
pub(super) struct Worked {
    pub(super) place: Place,
    pub(super) old: Option<Item>,
    pub(super) new: Option<Item>,
}

impl Model {
    /// A PutItem, DeleteItem or UpdateItem.
    pub(super) fn write(&mut self, request: &Request, table: usize, write: &Write) -> Refused<Json> {
        let Action::Write {
            condition,
            returns,
            shows_failed,
            ..
        } = &request.action
        else {
            return Err(Vec::new());
        };
        let schema = self.schemas.get(table);
        let mut refusals = checks::condition("ConditionExpression", condition.as_ref(), request.mistake, self.fault);
        refusals.extend(self.older_refusals(request));
        refusals.extend(checks::write(schema, write, false, self.fault));
        let updates = matches!(write, Write::Update(..) | Write::Older(..));
        if !updates && !matches!(returns, None | Some("NONE" | "ALL_OLD")) {
            refusals.push(Refusal::invalid("ReturnValues can only be ALL_OLD or NONE"));
        }
        if schema.is_none() {
            refusals.push(Refusal::no_table());
        }
        let Some(schema) = schema.filter(|_| refusals.is_empty()).cloned() else {
            return Err(refusals);
        };
        let meets = |item: &Item| {
            let older = request.older.as_ref();
            self.holds(condition.as_ref(), item) && older.is_none_or(|older| older::holds(older, item, self.fault))
        };
        let Worked { place, old, new } = self.work(table, write, meets, *shows_failed)?;
        let counted = self.counted_bytes(write, new.as_ref());
        if counted > ITEM_BYTES_MAX && !self.is(Fault::UpdatesCountAsTheirItems) {
            return Err(vec![Refusal::invalid(UPDATED_TOO_LARGE)]);
        }
        let capacity = self.replace(table, &schema, place, old.as_ref(), new.as_ref());
        let mut reply = json!({});
        if let Some(attributes) = self.returned(*returns, write, old, new) {
            reply["Attributes"] = item_json(&attributes);
        }
        if let Some(shown) = capacity.shown(request, &schema) {
            reply["ConsumedCapacity"] = shown;
        }
        if request.metrics && schema.has_local() {
            reply["ItemCollectionMetrics"] = metrics(&schema, &write.item()[schema.keys.partition_name()]);
        }
        Ok(reply)
    }

    /// What an UpdateItem counts for, beside the item that it leaves: the attributes that it names, as they become; 3 bytes; for
    /// each action 19 bytes if it brings a value, and one more for an element of a list, or else 2. (Measured; updates of
    /// transactions and PartiQL do not count so.)
    fn counted_bytes(&self, write: &Write, new: Option<&Item>) -> usize {
        let (mut names, mut bytes) = (BTreeSet::new(), 3);
        match write {
            Write::Update(_, Some(update)) => {
                let values = update.add.iter().chain(&update.delete).map(|(path, _)| path);
                for path in update.set.iter().map(|(path, _)| path).chain(values) {
                    let of_list = path.steps.iter().any(|step| matches!(step, Step::Index(_)));
                    bytes += 19 + usize::from(of_list);
                }
                bytes += 2 * update.remove.len();
                names.extend(update.paths().into_iter().map(|path| &path.root));
            }
            Write::Older(_, changes) => {
                for (name, change) in changes {
                    bytes += if change.value.is_some() { 19 } else { 2 };
                    names.insert(name);
                }
            }
            _ => {}
        }
        let size = |name: &String| new.and_then(|new| Some(name.len() + new.get(name)?.size()));
        bytes + names.into_iter().filter_map(size).sum::<usize>()
    }

    /// Whether an item meets a condition, if there is one.
    pub(super) fn holds(&self, condition: Option<&Condition>, item: &Item) -> bool {
        condition.is_none_or(|condition| evaluate::holds(condition, item, self.fault))
    }

    /// What is wrong with the older parameters: by themselves, or beside expressions.
    pub(super) fn older_refusals(&self, request: &Request) -> Vec<Refusal> {
        let (older, expressions) = request.both_kinds();
        let mixed = older::mixed(&older, &expressions).filter(|_| !self.is(Fault::BothKindsOfParametersGoTogether));
        let by_themselves = request.older.iter().flat_map(older::refusals);
        let tested = request.older.iter().flat_map(|older| &older.tests);
        let nameless = checks::empty_name(tested.map(|(name, _)| name), self.fault);
        mixed.into_iter().chain(by_themselves).chain(nameless).collect()
    }

    /// What a write makes of its item, whose table is there, if the condition holds of the item.
    pub(super) fn work(
        &self,
        table: usize,
        write: &Write,
        meets: impl Fn(&Item) -> bool,
        shows_failed: bool,
    ) -> Refused<Worked> {
        let schema = &self.schemas[table];
        let place = Place::of(&schema.keys, write.item());
        let old = self.tables[table].get(&place).cloned();
        if !meets(old.as_ref().unwrap_or(&Item::new())) {
            let shown = old.filter(|_| shows_failed && !self.is(Fault::FailedConditionsNeverShowTheItem));
            return Err(vec![Refusal::condition_failed(
                shown.map(|item| settled(item_json(&item))),
            )]);
        }
        let new = match write {
            Write::Put(item) => Some(item.clone()),
            Write::Delete(_) if old.is_none() && self.is(Fault::DeletesOfNothingFail) => {
                return Err(vec![Refusal::condition_failed(None)]);
            }
            Write::Delete(_) => None,
            Write::Check(_) => old.clone(),
            // What only takes away makes no item, and finds nothing wrong with its paths in nothing.
            Write::Update(..) | Write::Older(..)
                if old.is_none() && takes_away(write) && !self.is(Fault::RemovingFromNothingNeedsItsPath) =>
            {
                None
            }
            Write::Update(key, _) | Write::Older(key, _) => {
                let before = old.as_ref().unwrap_or(key);
                let after = match write {
                    Write::Update(_, Some(change)) => update::apply(change, before, self.fault),
                    Write::Older(_, changes) => older::apply(changes, before, self.fault),
                    _ => Ok(before.clone()),
                };
                let after = after.map_err(|texts| texts.into_iter().map(Refusal::invalid).collect::<Vec<_>>())?;
                let of_request = |name: &str| match write {
                    Write::Update(_, Some(change)) => change.tells_type_of(name),
                    Write::Older(_, changes) => changes.iter().any(|(attribute, _)| attribute == name),
                    _ => false,
                };
                let refusals = checks::updated(schema, &after, &of_request);
                if !refusals.is_empty() {
                    return Err(refusals);
                }
                Some(after).filter(|_| old.is_some() || !takes_away(write))
            }
        };
        let grows = !matches!(write, Write::Check(_));
        if grows && new.as_ref().is_some_and(|new| self.is_too_large(schema, new)) {
            return Err(vec![Refusal::invalid(
                if matches!(write, Write::Update(..) | Write::Older(..)) {
                    UPDATED_TOO_LARGE
                } else {
                    checks::TOO_LARGE
                },
            )]);
        }
        Ok(Worked { place, old, new })
    }

    /// Puts and deletes items, all or (if one of them is wrong) none.
    pub(super) fn batch_write(&mut self, request: &Request, list: &[(usize, Vec<Write>)]) -> Refused<Json> {
        let mut refusals = Vec::new();
        if list.iter().map(|(_, writes)| writes.len()).sum::<usize>() > 25 {
            refusals.push(Refusal::invalid(""));
        }
        for (table, writes) in list {
            let nameless = writes
                .iter()
                .filter_map(|write| checks::empty_name(write.item().keys(), self.fault));
            refusals.extend(nameless);
            let Some(schema) = self.schemas.get(*table) else {
                refusals.push(Refusal::no_table());
                continue;
            };
            let mut places = Vec::new();
            for write in writes {
                let item = write.item();
                let wrong = match write {
                    Write::Put(item) => match checks::key(schema, &key_of(schema, item)) {
                        wrong if wrong.is_empty() => checks::item(schema, item),
                        // A batch's item without good keys is refused as a key is; or for its size, which comes first.
                        mut wrong => {
                            if item_size(item) > ITEM_BYTES_MAX {
                                wrong.push(Refusal::invalid(checks::TOO_LARGE));
                            }
                            wrong
                        }
                    },
                    _ => checks::key(schema, item),
                };
                if wrong.is_empty() {
                    let place = Place::of(&schema.keys, item);
                    if places.contains(&place) {
                        refusals.push(Refusal::invalid("Provided list of item keys contains duplicates"));
                    }
                    places.push(place);
                }
                if wrong.is_empty() && matches!(write, Write::Put(_)) && self.is_too_large(schema, item) {
                    refusals.push(Refusal::invalid(checks::TOO_LARGE));
                }
                refusals.extend(wrong);
            }
        }
        if !refusals.is_empty() {
            return Err(refusals);
        }
        let mut reply = json!({ "UnprocessedItems": {} });
        let mut consumed = Vec::new();
        for (table, writes) in list {
            let schema = self.schemas[*table].clone();
            let mut capacity = Capacity::default();
            let mut collections: Vec<&Value> = Vec::new();
            for (at, write) in writes.iter().enumerate() {
                let item = write.item();
                let place = Place::of(&schema.keys, item);
                let old = self.tables[*table].get(&place).cloned();
                let new = Some(item).filter(|_| matches!(write, Write::Put(_)));
                if self.is(Fault::ABatchForgetsItsLastWrite) && at + 1 == writes.len() {
                    continue;
                }
                capacity.add(&self.replace(*table, &schema, place, old.as_ref(), new));
                let partition = &item[schema.keys.partition_name()];
                if !collections.contains(&partition) {
                    collections.push(partition);
                }
            }
            consumed.extend(capacity.shown(request, &schema));
            if request.metrics && schema.has_local() {
                let list: Vec<_> = collections
                    .into_iter()
                    .map(|partition| metrics(&schema, partition))
                    .collect();
                reply["ItemCollectionMetrics"][&schema.name] = list.into();
            }
        }
        if !consumed.is_empty() {
            reply["ConsumedCapacity"] = consumed.into();
        }
        Ok(reply)
    }

    /// The guide's page of quotas: an item and its entry in a local index have 400 KB together, for each local index.
    fn is_too_large(&self, schema: &Schema, item: &Item) -> bool {
        let local = schema.indexes.iter().filter(|index| !index.global);
        let entries = local.filter_map(|index| self.entry(&schema.keys, index, item));
        item_size(item) + entries.map(|entry| item_size(&entry)).max().unwrap_or(0) > ITEM_BYTES_MAX
    }

    /// Puts an item in the place of another, or takes it away; gives what that consumed.
    pub(super) fn replace(
        &mut self,
        table: usize,
        schema: &Schema,
        place: Place,
        old: Option<&Item>,
        new: Option<&Item>,
    ) -> Capacity {
        let size = |item: Option<&Item>| item.map_or(0, item_size);
        let mut capacity = Capacity {
            table: self.write_units(size(old).max(size(new))),
            ..Capacity::default()
        };
        for index in &schema.indexes {
            let entry = |item: Option<&Item>| item.and_then(|item| self.entry(&schema.keys, index, item));
            let units = match (entry(old), entry(new)) {
                (None, None) => continue,
                (Some(before), Some(after)) if before == after => continue,
                (Some(before), Some(after)) => {
                    let place = |item: &Item| Place::in_index(&schema.keys, index, item);
                    let (before_size, after_size) = (item_size(&before), item_size(&after));
                    if place(&before) == place(&after) || self.is(Fault::MovingAnIndexEntryCostsOnce) {
                        self.write_units(before_size.max(after_size))
                    } else {
                        self.write_units(before_size) + self.write_units(after_size)
                    }
                }
                (Some(entry), None) | (None, Some(entry)) => self.write_units(item_size(&entry)),
            };
            capacity.indexes.insert(index.name.clone(), units);
        }
        match new {
            Some(item) => self.tables[table].insert(place, item.clone()),
            None => self.tables[table].remove(&place),
        };
        capacity
    }

    fn returned(&self, returns: Option<&str>, write: &Write, old: Option<Item>, new: Option<Item>) -> Option<Item> {
        let touched = |item: Option<Item>| match write {
            Write::Update(_, Some(update)) => item.map(|item| evaluate::project(&update.paths(), &item)),
            Write::Older(_, changes) => item.map(|mut item| {
                item.retain(|name, _| changes.iter().any(|(changed, _)| changed == name));
                item
            }),
            _ => None,
        };
        let returned = match returns {
            Some("ALL_OLD") => old,
            Some("ALL_NEW") => new,
            Some("UPDATED_OLD") if self.is(Fault::UpdatedOldGivesEverything) => old,
            Some("UPDATED_OLD") => touched(old),
            Some("UPDATED_NEW") => touched(new),
            _ => None,
        };
        returned.filter(|item| !item.is_empty())
    }
}

/// Whether an update only takes attributes or elements away.
fn takes_away(write: &Write) -> bool {
    match write {
        Write::Update(_, Some(change)) => change.set.is_empty() && change.add.is_empty(),
        Write::Older(_, changes) => changes.iter().all(|(_, change)| change.action == Some("DELETE")),
        _ => false,
    }
}

fn key_of(schema: &Schema, item: &Item) -> Item {
    let keys = item.iter().filter(|(name, _)| schema.keys.has(name));
    keys.map(|(name, value)| (name.clone(), value.clone())).collect()
}

/// No collection here comes near a gigabyte.
pub(super) fn metrics(schema: &Schema, partition: &Value) -> Json {
    let name = schema.keys.partition_name();
    json!({ "ItemCollectionKey": { name: partition.json() }, "SizeEstimateRangeGB": [0.0, 1.0] })
}

impl Expected {
    /// What kind of answer it is, for counting.
    pub(crate) fn outcome(&self) -> &'static str {
        match self {
            Self::Each(each, _) if each.iter().any(|each| matches!(each, Each::Failed(..))) => "partly",
            Self::Reply(_) | Self::Each(..) => "ok",
            Self::Refused(list) => list.first().map_or("refused", |refusal| refusal.kind),
        }
    }
}
