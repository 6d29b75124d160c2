//! Transactions.

use super::{
    BTreeMap, Capacity, Fault, Item, Json, Model, Place, Refusal, Refused, Request, Schema, UsedToken, Value, Write,
    checks, item_json, item_size, json,
    write::{Worked, metrics},
};
use crate::{
    evaluate,
    expression::Term,
    request::transactions::{Action, Get, Transaction},
};

/// API reference, TransactWriteItems: "up to 100 action requests".
const ACTIONS_MAX: usize = 100;
/// API reference, TransactWriteItems: "the aggregate size of the items in the transaction cannot exceed 4 MB": of what the
/// request carries, not of what is there. For TransactGetItems it is what is read.
const BYTES_MAX: usize = 4 * 1024 * 1024;
/// API reference, ClientRequestToken: "valid for 10 minutes after the first request that uses it is completed".
const TOKEN_MS: u64 = 10 * 60 * 1000;
/// The guide, on capacity management for transactions: "two underlying reads or writes of every item".
const TWICE: f64 = 2.0;

/// What is known of the words for a write transaction that is too large.
const TOO_LARGE: &str = "size cannot exceed";
const TWO_ON_ONE_ITEM: &str = "Transaction request cannot include multiple operations on one item";

/// What a transaction consumed of each table.
pub(super) type Consumed = BTreeMap<usize, Capacity>;

impl Model {
    pub(super) fn transact_write(&mut self, request: &Request, transaction: &Transaction) -> Refused<Json> {
        let parameters = request.transact_writes(transaction, &self.schemas);
        let mut refusals = Vec::new();
        for (at, action) in transaction.actions.iter().enumerate() {
            let mistake = request.mistake.filter(|_| transaction.mistaken() == Some(at));
            refusals.extend(checks::condition(
                "ConditionExpression",
                action.condition.as_ref(),
                mistake,
                self.fault,
            ));
        }
        let consumed = self.transact(request, transaction, parameters, refusals, |_, refusal| refusal, false)?;
        let mut reply = json!({});
        if let Some(shown) = self.transacted(request, &consumed.units, consumed.kind) {
            reply["ConsumedCapacity"] = shown;
        }
        if request.metrics && consumed.kind == "WriteCapacityUnits" {
            let collections = self.collections(&transaction.actions);
            if collections != json!({}) {
                reply["ItemCollectionMetrics"] = collections;
            }
        }
        Ok(reply)
    }

    /// Carries the actions out, all or none. `refusals` are known already; `reason` tells how an action's failed
    /// condition is put; `stated` whether they are statements'.
    pub(super) fn transact(
        &mut self,
        request: &Request,
        transaction: &Transaction,
        parameters: Json,
        mut refusals: Vec<Refusal>,
        reason: impl Fn(usize, Refusal) -> Refusal,
        stated: bool,
    ) -> Refused<Transacted> {
        let actions = &transaction.actions;
        if actions.len() > ACTIONS_MAX {
            refusals.push(Refusal::invalid(""));
        }
        let mut reasons: Vec<Vec<Refusal>> = vec![Vec::new(); actions.len()];
        let mut places = Vec::new();
        let mut carried = 0;
        for (at, Action { table, write, .. }) in actions.iter().enumerate() {
            let schema = self.schemas.get(*table);
            let Some(schema) = schema else {
                refusals.push(Refusal::no_table());
                refusals.extend(checks::write(None, write, stated, self.fault));
                continue;
            };
            let wrong = checks::write(Some(schema), write, stated, self.fault);
            let place = Place::of(&schema.keys, write.item());
            if wrong.is_empty() && places.contains(&(*table, place.clone())) {
                refusals.push(Refusal::invalid(TWO_ON_ONE_ITEM));
            }
            places.push((*table, place));
            carried += carried_bytes(write);
            refusals.extend(checks::empty_keys(schema, write.item()));
            if let Write::Put(item) = write {
                refusals.extend(checks::empty_index_keys(schema, item));
            }
            // What is wrong by the table's definition is an action's reason; what is wrong whatever the tables are is the
            // request's. Which of the two an empty key is the documents do not say: it may be either.
            for refusal in wrong {
                let text = refusal.text.as_deref().unwrap_or_default();
                let of_the_action = [
                    "does not match the schema",
                    "Type mismatch",
                    "Missing the key",
                    "part of the key",
                ];
                if !of_the_action.iter().any(|part| text.contains(part)) {
                    refusals.push(refusal.clone());
                }
                reasons[at].push(refusal);
            }
        }
        if carried > BYTES_MAX {
            refusals.push(Refusal::saying(TOO_LARGE));
        }
        if reasons.iter().any(|list| !list.is_empty()) {
            refusals.push(Refusal::canceled(self.first_told(reasons)));
        }
        let used = transaction.token.as_ref().and_then(|token| self.tokens.get(token));
        let used = used.filter(|used| self.now - used.at < TOKEN_MS || self.is(Fault::TokensAreValidForEver));
        if let Some(used) = used.filter(|_| !self.is(Fault::TokensAreForgotten)) {
            if used.parameters != parameters {
                refusals.push(Refusal::parameter_mismatch());
                return Err(refusals);
            }
            let of_table = |(table, units): (&usize, &f64)| {
                let capacity = Capacity {
                    table: *units,
                    ..Capacity::default()
                };
                (*table, capacity)
            };
            return Ok(Transacted {
                units: used.units.iter().map(of_table).collect(),
                kind: "ReadCapacityUnits",
            });
        }
        if !refusals.is_empty() {
            return Err(refusals);
        }

        let mut reasons = Vec::new();
        let mut all = Vec::new();
        for (at, action) in actions.iter().enumerate() {
            let meets = |item: &Item| self.holds(action.condition.as_ref(), item);
            match self.work(action.table, &action.write, meets, action.shows_failed) {
                Ok(worked) => {
                    all.push(worked);
                    reasons.push(Vec::new());
                }
                Err(list) => reasons.push(list.into_iter().map(|refusal| reason(at, refusal)).collect()),
            }
        }
        if all.len() < actions.len() && !self.is(Fault::TransactionsAreCarriedOutInPart) {
            // Of validation errors that only the items show, all may be told, or the first.
            let invalid = |list: &Vec<Refusal>| list.iter().any(|refusal| refusal.kind == "ValidationException");
            let mut first = reasons.clone();
            if let Some(at) = first.iter().position(invalid) {
                first[at + 1..]
                    .iter_mut()
                    .filter(|list| invalid(list))
                    .for_each(Vec::clear);
            }
            return Err(vec![Refusal::canceled(reasons), Refusal::canceled(first)]);
        }
        let size = |worked: &Worked| {
            let bytes = |item: &Option<Item>| item.as_ref().map_or(0, item_size);
            bytes(&worked.old).max(bytes(&worked.new))
        };
        if self.is(Fault::TransactionsCountWhatTheyDelete) && all.iter().map(size).sum::<usize>() > BYTES_MAX {
            return Err(vec![Refusal::saying(TOO_LARGE)]);
        }
        let mut consumed = Consumed::new();
        let mut units = BTreeMap::new();
        for (action, worked) in actions.iter().zip(all) {
            let schema = self.schemas[action.table].clone();
            let bytes = size(&worked);
            *units.entry(action.table).or_default() += TWICE * self.read_units(bytes, true);
            let Worked { place, old, new } = worked;
            let mut capacity = Capacity::default();
            if !matches!(action.write, Write::Check(_)) {
                capacity = self.replace(action.table, &schema, place, old.as_ref(), new.as_ref());
            }
            capacity.table = self.transacted_write_units(bytes);
            consumed.entry(action.table).or_default().add(&capacity);
        }
        if let Some(token) = &transaction.token {
            let used = UsedToken {
                at: self.now,
                parameters,
                units,
                request: request.clone(),
            };
            self.tokens.insert(token.clone(), used);
        }
        Ok(Transacted {
            units: consumed,
            kind: "WriteCapacityUnits",
        })
    }

    /// What is told of actions that are wrong whatever the items are: of the first that is.
    pub(super) fn first_told(&self, mut reasons: Vec<Vec<Refusal>>) -> Vec<Vec<Refusal>> {
        if !self.is(Fault::EachActionIsToldWhatIsWrongWithIt)
            && let Some(first) = reasons.iter().position(|list| !list.is_empty())
        {
            reasons[first + 1..].iter_mut().for_each(Vec::clear);
        }
        reasons
    }

    fn transacted_write_units(&self, bytes: usize) -> f64 {
        if self.is(Fault::TransactionsCostAsMuchAsSingleWrites) {
            return self.write_units(bytes);
        }
        TWICE * self.write_units(bytes)
    }

    pub(super) fn transact_get(&self, request: &Request, list: &[Get]) -> Refused<Json> {
        let mut refusals = Vec::new();
        if list.len() > ACTIONS_MAX {
            refusals.push(Refusal::invalid(""));
        }
        for get in list {
            refusals.extend(checks::projection(get.projection.as_deref(), false, self.fault));
        }
        let wanted: Vec<_> = list.iter().map(|get| (get.table, &get.key)).collect();
        let (found, consumed) = self.transact_read(&wanted, refusals)?;
        let shown = |(get, item): (&Get, Option<&Item>)| match item {
            None => json!({}),
            Some(item) => {
                let paths = get.projection.as_ref().map(|paths| paths.iter().collect::<Vec<_>>());
                let item = paths.map_or_else(|| item.clone(), |paths| evaluate::project(&paths, item));
                json!({ "Item": item_json(&item) })
            }
        };
        let mut reply = json!({ "Responses": list.iter().zip(found).map(shown).collect::<Vec<_>>() });
        if let Some(shown) = self.transacted(request, &consumed, "ReadCapacityUnits") {
            reply["ConsumedCapacity"] = shown;
        }
        Ok(reply)
    }

    /// The items with these keys, and what reading them consumed.
    pub(super) fn transact_read(
        &self,
        wanted: &[(usize, &Item)],
        mut refusals: Vec<Refusal>,
    ) -> Refused<(Vec<Option<&Item>>, Consumed)> {
        let mut reasons = Vec::new();
        let mut places = Vec::new();
        for (table, key) in wanted {
            let Some(schema) = self.schemas.get(*table) else {
                refusals.push(Refusal::no_table());
                reasons.push(Vec::new());
                continue;
            };
            let wrong = checks::key(schema, key);
            let place = (*table, Place::of(&schema.keys, key));
            if wrong.is_empty() && places.contains(&place) {
                refusals.push(Refusal::invalid(TWO_ON_ONE_ITEM));
            }
            reasons.push(wrong);
            places.push(place);
        }
        let wrong = reasons.iter().flatten().cloned().collect::<Vec<_>>();
        let empty = |refusal: &Refusal| refusal.text.as_ref().is_some_and(|text| text.contains("empty"));
        if self.is(Fault::EmptyKeysRefuseWholeReads) && wrong.iter().any(empty) {
            return Err(wrong);
        }
        if !wrong.is_empty() {
            refusals.push(Refusal::canceled(self.first_told(reasons)));
        }
        if !refusals.is_empty() {
            return Err(refusals);
        }
        let found: Vec<_> = places
            .iter()
            .map(|(table, place)| self.tables[*table].get(place))
            .collect();
        let mut consumed = Consumed::new();
        let mut bytes = 0;
        for ((table, _), item) in wanted.iter().zip(&found) {
            let size = item.map_or(0, item_size);
            bytes += size;
            let times = if self.is(Fault::TransactionReadsCostOnce) {
                1.0
            } else {
                TWICE
            };
            consumed.entry(*table).or_default().table += times * self.read_units(size, true);
        }
        if bytes > BYTES_MAX {
            return Err(vec![Refusal::invalid("")]);
        }
        Ok((found, consumed))
    }

    /// `ConsumedCapacity` of a transaction, which also says which units they are.
    pub(super) fn transacted(&self, request: &Request, consumed: &Consumed, kind: &str) -> Option<Json> {
        let mut list = Vec::new();
        for (table, capacity) in consumed {
            let mut shown = capacity.shown(request, &self.schemas[*table])?;
            let say = |of: &mut Json| {
                let units = of["CapacityUnits"].clone();
                of[kind] = units;
            };
            say(&mut shown);
            for (member, of) in shown.as_object_mut().into_iter().flatten() {
                match (member.as_str(), of) {
                    ("Table", of) => say(of),
                    ("GlobalSecondaryIndexes" | "LocalSecondaryIndexes", Json::Object(indexes)) => {
                        indexes.values_mut().for_each(say);
                    }
                    _ => {}
                }
            }
            list.push(shown);
        }
        Some(list).filter(|list| !list.is_empty()).map(Json::Array)
    }

    /// `ItemCollectionMetrics`: the collections that are written to, each once, by table.
    fn collections(&self, actions: &[Action]) -> Json {
        let mut seen: Vec<(usize, &Value)> = Vec::new();
        let mut shown = json!({});
        for action in actions.iter().filter(|action| !matches!(action.write, Write::Check(_))) {
            let schema: &Schema = &self.schemas[action.table];
            let partition = &action.write.item()[schema.keys.partition_name()];
            if !schema.has_local() || seen.contains(&(action.table, partition)) {
                continue;
            }
            seen.push((action.table, partition));
            match &mut shown[&schema.name] {
                Json::Array(list) => list.push(metrics(schema, partition)),
                none => *none = json!([metrics(schema, partition)]),
            }
        }
        shown
    }
}

/// What an action brings with it, but for its conditions: none here has a large value.
fn carried_bytes(write: &Write) -> usize {
    let brought = match write {
        Write::Update(_, Some(update)) => {
            let set = update.set.iter().map(|(_, term)| match term {
                Term::Value(value) => value.size(),
                _ => 0,
            });
            let values = update.add.iter().chain(&update.delete).map(|(_, value)| value.size());
            set.chain(values).sum()
        }
        _ => 0,
    };
    item_size(write.item()) + brought
}

/// What a transaction consumed, and of which kind of units.
pub(super) struct Transacted {
    pub(super) units: Consumed,
    pub(super) kind: &'static str,
}
