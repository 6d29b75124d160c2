//! PartiQL statements. What they mean is the developer guide's "PartiQL - a SQL-compatible query language for Amazon
//! DynamoDB"; where it is silent, docs/differences.md.

use super::{
    Answer, Capacity, Expected, Fault, Item, Json, Model, Refusal, Refused, Request, Start, Write, checks, item_json,
    item_size, json,
};
use crate::{
    evaluate,
    expression::{self, Condition, KeyCondition, KeyTests, Path, Step},
    model::{Place, read::PAGE_BYTES_MAX},
    request::{
        Read,
        statements::{Execute, Select, Stated, StatedTest, Statement, StatementMistake, StatementTransaction},
        transactions::{self, Transaction},
    },
    schema::{KeyAttribute, Keys},
};

/// The guide's page on `IN`: "results are returned in pages of up to 10 items" if it is on keys.
const ITEMS_OVER_SEVERAL_KEYS: usize = 10;

const NO_KEY: &str = "Where clause does not contain a mandatory equality on all key attributes";

impl Model {
    pub(super) fn execute(&mut self, request: &Request, execute: &Execute, start: Option<&Start>) -> Answer {
        let mut next = None;
        let reply = match &execute.stated.statement {
            Statement::Select(select) => self.select(request, execute, select, start).map(|(reply, position)| {
                next = position;
                reply
            }),
            statement => self.write_statement(&execute.stated).0.map(|(item, capacity)| {
                let mut reply = json!({ "Items": item.iter().map(item_json).collect::<Vec<_>>() });
                if let Some(shown) = capacity.shown(request, &self.schemas[statement.table()]) {
                    reply["ConsumedCapacity"] = shown;
                }
                reply
            }),
        };
        Answer {
            expected: Expected::of(reply),
            next,
        }
    }

    /// A page of a SELECT, and where the next one starts.
    fn select(
        &self,
        request: &Request,
        execute: &Execute,
        select: &Select,
        start: Option<&Start>,
    ) -> Refused<(Json, Option<Start>)> {
        let mut refusals = faults(&execute.stated, self.fault);
        let Some(schema) = self.schemas.get(select.table) else {
            refusals.push(Refusal::no_table());
            return Err(refusals);
        };
        let keys = schema.keys_of(select.index.as_deref()).unwrap_or(&schema.keys);
        let (ranges, filter) = self.plan(select, keys);
        let mut read = Read {
            table: select.table,
            index: select.index.clone(),
            query: None,
            filter,
            projection: select.columns.clone(),
            select: None,
            limit: execute.limit,
            forward: select.by_sort.map(|descending| !descending),
            consistent: execute.stated.consistent,
            start: None,
            segment: None,
            pages: 1,
        };
        if ranges.is_empty() {
            refusals.extend(self.table_refusals(&read, None, schema, None));
            if is_ordered(select) {
                refusals.push(Refusal::invalid(match read.filter {
                    // How that is told of keys of several attributes is not known.
                    _ if keys.has_several() => "",
                    None => "Must have WHERE clause in the statement when using ORDER BY clause.",
                    Some(_) => {
                        "Must have at least one non-optional hash key condition in WHERE clause when using ORDER BY \
                         clause."
                    }
                }));
            }
        }
        for range in &ranges {
            read.query = Some(range.clone());
            refusals.extend(self.table_refusals(&read, None, schema, None));
        }
        if !refusals.is_empty() {
            return Err(refusals.into_iter().map(in_words_of_statements).collect());
        }

        let (first, mut from) = start.map_or((0, None), |start| (start.range, start.key.clone()));
        let mut left = execute.limit.unwrap_or(usize::MAX);
        let mut items = Vec::new();
        let mut capacity = Capacity::default();
        let mut next = None;
        if ranges.is_empty() {
            let page = self.page(&read, None, from.as_ref());
            items = page.items;
            capacity = page.capacity;
            next = page.last.map(|key| Start {
                range: 0,
                key: Some(key),
            });
        }
        if ranges.len() > 1 && !self.is(Fault::SelectsOverSeveralKeysHaveNoPages) {
            left = left.min(ITEMS_OVER_SEVERAL_KEYS);
        }
        let mut bytes = 0;
        for (at, range) in ranges.iter().enumerate().skip(first) {
            if left == 0 || bytes >= PAGE_BYTES_MAX {
                next = Some(Start { range: at, key: None });
                break;
            }
            // Of a table, a whole key is one item's: there is nothing behind it.
            let exact = range.iter().filter(|(_, test)| test.equal().is_some()).count();
            let sole = select.index.is_none() && exact == keys.attributes().count();
            read.query = Some(range.clone());
            read.limit = Some(left);
            let page = self.page(&read, None, from.take().as_ref());
            left -= page.scanned;
            bytes += page.bytes;
            capacity.add(&page.capacity);
            items.extend(page.items);
            if let Some(key) = page.last.filter(|_| !sole) {
                next = Some(Start {
                    range: at,
                    key: Some(key),
                });
                break;
            }
        }
        let items = items.iter().map(|item| item_json(&columns(select, item)));
        let mut reply = json!({ "Items": items.collect::<Vec<_>>() });
        if let Some(next) = &next {
            reply["NextToken"] = true.into();
            if let Some(key) = &next.key {
                reply["LastEvaluatedKey"] = item_json(key);
            }
        }
        if let Some(shown) = capacity.shown(request, schema) {
            reply["ConsumedCapacity"] = shown;
        }
        Ok((reply, next))
    }

    /// Carries a write out; gives the item that it returns, and what it consumed. If it fails, what it consumed stands beside:
    /// none if that is not known.
    pub(super) fn write_statement(&mut self, stated: &Stated) -> (Refused<(Option<Item>, Capacity)>, Option<f64>) {
        let mut failed_units = Some(0.0);
        let done = self.try_statement(stated, &mut failed_units);
        (done, failed_units)
    }

    fn try_statement(&mut self, stated: &Stated, failed_units: &mut Option<f64>) -> Refused<(Option<Item>, Capacity)> {
        let mut refusals = faults(stated, self.fault);
        let statement = &stated.statement;
        let table = statement.table();
        let Some(schema) = self.schemas.get(table).cloned() else {
            refusals.push(Refusal::no_table());
            return Err(refusals);
        };
        if matches!(statement, Statement::Exists { .. }) {
            refusals.push(Refusal::invalid(""));
        }
        let Some(action) = self.action(stated) else {
            refusals.push(Refusal::invalid(NO_KEY));
            return Err(refusals);
        };
        refusals.extend(checks::write(Some(&schema), &action.write, true, self.fault));
        if !refusals.is_empty() {
            return Err(refusals);
        }
        let meets = |item: &Item| self.holds(action.condition.as_ref(), item);
        let worked = self.work(table, &action.write, meets, stated.shows_failed);
        let worked = worked.map_err(|list| {
            *failed_units = self.failed_units(table, &action.write, &list);
            list.into_iter()
                .map(|refusal| failed(statement, refusal))
                .collect::<Vec<_>>()
        })?;
        let returned = match (statement, &action.write) {
            (Statement::Delete { returns_old: true, .. }, _) if !self.is(Fault::DeleteStatementsGiveNothingBack) => {
                worked.old.clone()
            }
            (Statement::Update { returning, .. }, Write::Update(_, Some(update))) => {
                let part = |item: &Option<Item>| item.as_ref().map(|item| evaluate::project(&update.paths(), item));
                match returning {
                    Some("ALL OLD") => worked.old.clone(),
                    Some("ALL NEW") => worked.new.clone(),
                    Some("MODIFIED OLD") if self.is(Fault::UpdatedOldGivesEverything) => worked.old.clone(),
                    Some("MODIFIED OLD") => part(&worked.old),
                    Some("MODIFIED NEW") => part(&worked.new),
                    _ => None,
                }
            }
            _ => None,
        };
        let capacity = self.replace(table, &schema, worked.place, worked.old.as_ref(), worked.new.as_ref());
        Ok((returned.filter(|item| !item.is_empty()), capacity))
    }

    /// What a statement other than SELECT does; `None` if it does not name its item.
    pub(super) fn action(&self, stated: &Stated) -> Option<transactions::Action> {
        let table = stated.statement.table();
        let keys = &self.schemas[table].keys;
        let partition = Path::top(keys.partition_name());
        let there = Condition::Exists(partition.clone());
        let named = |key: &Item| keys.attributes().all(|attribute| key.contains_key(&attribute.name));
        let both = |rest: &Option<Condition>| match rest {
            None => there.clone(),
            Some(rest) => Condition::And(vec![there.clone(), rest.clone()]),
        };
        let (write, condition) = match &stated.statement {
            Statement::Select(_) => return None,
            Statement::Insert { item, .. } if self.is(Fault::InsertsReplace) => (Write::Put(item.clone()), None),
            Statement::Insert { item, .. } => (Write::Put(item.clone()), Some(Condition::NotExists(partition))),
            Statement::Update { key, .. } | Statement::Delete { key, .. } | Statement::Exists { key, .. }
                if !named(key) =>
            {
                return None;
            }
            Statement::Update { key, update, rest, .. } => {
                let condition = Some(both(rest)).filter(|_| !self.is(Fault::UpdateStatementsMakeItems));
                (Write::Update(key.clone(), Some(update.clone())), condition)
            }
            // To delete what is not there succeeds, whatever else is asked of it.
            Statement::Delete { key, rest, .. } => {
                let absent = Condition::NotExists(partition);
                let condition = rest.clone().map(|rest| Condition::Or(vec![absent, rest]));
                (Write::Delete(key.clone()), condition)
            }
            Statement::Exists { key, rest, .. } => {
                let condition = Some(both(rest)).filter(|_| !self.is(Fault::ExistsAlwaysHolds));
                (Write::Check(key.clone()), condition)
            }
        };
        Some(transactions::Action {
            table,
            write,
            condition,
            shows_failed: stated.shows_failed,
        })
    }

    /// A SELECT in a batch: of one item.
    pub(super) fn select_one(&self, stated: &Stated, select: &Select) -> Refused<(Option<Item>, Capacity)> {
        let mut refusals = faults(stated, self.fault);
        let Some(schema) = self.schemas.get(select.table) else {
            refusals.push(Refusal::no_table());
            return Err(refusals);
        };
        match self.key_of(select) {
            None => refusals.push(key_wanted("BatchExecuteStatement")),
            Some(key) => refusals.extend(checks::key(schema, &key)),
        }
        let Some(key) = self.key_of(select).filter(|_| refusals.is_empty()) else {
            return Err(refusals);
        };
        let found = self.tables[select.table].get(&Place::of(&schema.keys, &key));
        let capacity = Capacity {
            table: self.read_units(found.map_or(0, item_size), stated.consistent),
            ..Capacity::default()
        };
        Ok((self.shown_one(select, found), capacity))
    }

    fn shown_one(&self, select: &Select, found: Option<&Item>) -> Option<Item> {
        let found = found.filter(|item| self.holds(select.filter.as_ref(), item))?;
        Some(columns(select, found))
    }

    /// The whole key that a SELECT names by equality, if it does.
    pub(super) fn key_of(&self, select: &Select) -> Option<Item> {
        let keys = &self.schemas.get(select.table)?.keys;
        if select.index.is_some() || is_ordered(select) {
            return None;
        }
        let value = |key: &KeyAttribute| {
            let (_, test) = select.tests.iter().find(|(name, _)| *name == key.name)?;
            Some((key.name.clone(), test.equal()?.clone()))
        };
        keys.attributes().map(value).collect()
    }

    /// The queries that a SELECT is, in the order of reading, none if it is a scan; and what is left to the filter.
    ///
    /// Of keys of one attribute, it is one for each value of the partition key, with each of the sort key's. Of several,
    /// docs/differences.md: "a query if each attribute of the partition key has its `=`, else a scan; no ORDER BY".
    fn plan(&self, select: &Select, keys: &Keys) -> (Vec<KeyTests>, Option<Condition>) {
        let several = keys.has_several();
        let mut left: Vec<_> = select.tests.iter().collect();
        let mut ranges = vec![KeyTests::new()];
        let mut take = |key: &KeyAttribute, partition: bool, by: Option<bool>| {
            let fits = |(_, test): &&(String, StatedTest)| narrows(test, key, several, partition);
            let at = left.iter().position(|test| test.0 == key.name && fits(test))?;
            Some(alternatives(&left.remove(at).1, by))
        };
        let mut with = |key: &KeyAttribute, tests: &[KeyCondition]| {
            let longer = |range: &KeyTests| {
                let of = |test: &KeyCondition| [&range[..], &[(key.name.clone(), test.clone())]].concat();
                tests.iter().map(of).collect::<Vec<_>>()
            };
            ranges = ranges.iter().flat_map(longer).collect();
        };
        let mut scans = several && (is_ordered(select) || self.is(Fault::SelectsByKeysOfSeveralAttributesScan));
        for key in &keys.partition {
            match take(key, true, select.by_partition) {
                Some(tests) => with(key, &tests),
                None => scans = true,
            }
        }
        for key in &keys.sort {
            // The sort key's values are read in its order.
            let Some(tests) = take(key, false, Some(select.by_sort == Some(true))) else {
                break;
            };
            with(key, &tests);
            if tests.iter().any(|test| test.equal().is_none()) {
                break;
            }
        }
        if scans {
            left = select.tests.iter().collect();
            ranges.clear();
        }
        let conditions = left.into_iter().map(|(name, test)| test.condition(name));
        let mut conditions: Vec<_> = conditions.chain(select.filter.clone()).collect();
        let filter = match conditions.len() {
            0 | 1 => conditions.pop(),
            _ => Some(Condition::And(conditions)),
        };
        (ranges, filter)
    }

    pub(super) fn execute_transaction(
        &mut self,
        request: &Request,
        transaction: &StatementTransaction,
    ) -> Refused<Json> {
        let list = &transaction.list;
        let mut refusals: Vec<Refusal> = list.iter().flat_map(|stated| faults(stated, self.fault)).collect();
        if list.iter().any(|stated| stated.statement.table() >= self.schemas.len()) {
            refusals.push(Refusal::no_table());
        }
        if list.iter().any(|stated| stated.statement.reads()) && !list.iter().all(|stated| stated.statement.reads()) {
            refusals.push(Refusal::invalid(""));
        }
        for (at, stated) in list.iter().enumerate() {
            let returns = match &stated.statement {
                Statement::Update { returning, .. } => returning.is_some(),
                Statement::Delete { returns_old, .. } => *returns_old,
                _ => false,
            };
            if returns && !self.is(Fault::TransactionsMayReturnItems) {
                refusals.push(Refusal::invalid(format!(
                    "Validation failed in TransactStatements[{at}]: RETURNING clause is not supported in ExecuteTransaction."
                )));
            }
            if matches!(&stated.statement, Statement::Select(select) if select.index.is_some()) {
                refusals.push(Refusal::invalid(format!(
                    "Validation failed in TransactStatements[{at}]: Reads on indices are not supported within transactions."
                )));
            }
        }
        if !refusals.is_empty() {
            return Err(refusals);
        }
        if list.iter().all(|stated| stated.statement.reads()) {
            return self.select_together(request, list);
        }
        let mut actions = Vec::new();
        let mut reasons = Vec::new();
        for stated in list {
            match self.action(stated) {
                Some(action) => {
                    actions.push(action);
                    reasons.push(Vec::new());
                }
                None => reasons.push(vec![Refusal::invalid(NO_KEY)]),
            }
        }
        if actions.len() < reasons.len() {
            // Others may be wrong in other ways; which of them is told is not known.
            return Err(vec![
                Refusal::canceled(reasons.clone()),
                Refusal::canceled(self.first_told(reasons)),
            ]);
        }
        let parameters = request.transact_statements(list, &self.schemas);
        let as_actions = Transaction {
            actions,
            token: transaction.token.clone(),
        };
        let reason = |at: usize, refusal| failed(&list[at].statement, refusal);
        let consumed = self.transact(request, &as_actions, parameters, Vec::new(), reason, true)?;
        let mut reply = json!({ "Responses": [] });
        if self.is(Fault::WritingTransactionsHaveAResponseForEachStatement) {
            reply["Responses"] = list.iter().map(|_| json!({})).collect();
        }
        if let Some(shown) = self.transacted(request, &consumed.units, consumed.kind) {
            reply["ConsumedCapacity"] = shown;
        }
        Ok(reply)
    }

    fn select_together(&self, request: &Request, list: &[Stated]) -> Refused<Json> {
        let mut wanted = Vec::new();
        let mut selects = Vec::new();
        for stated in list {
            let Statement::Select(select) = &stated.statement else {
                continue;
            };
            let Some(key) = self.key_of(select) else {
                return Err(vec![key_wanted("ExecuteTransaction")]);
            };
            wanted.push((select.table, key));
            selects.push(select);
        }
        let wanted: Vec<_> = wanted.iter().map(|(table, key)| (*table, key)).collect();
        let (found, consumed) = self.transact_read(&wanted, Vec::new())?;
        let response = |(select, item): (&&Select, Option<&Item>)| match self.shown_one(select, item) {
            None => json!({}),
            Some(item) => json!({ "Item": item_json(&item) }),
        };
        let mut reply = json!({ "Responses": selects.iter().zip(found).map(response).collect::<Vec<_>>() });
        if let Some(shown) = self.transacted(request, &consumed, "ReadCapacityUnits") {
            reply["ConsumedCapacity"] = shown;
        }
        Ok(reply)
    }
}

/// A failed INSERT is told as what it is: a duplicate.
fn failed(statement: &Statement, refusal: Refusal) -> Refusal {
    if matches!(statement, Statement::Insert { .. }) && refusal.kind == "ConditionalCheckFailedException" {
        Refusal::duplicate_item()
    } else {
        refusal
    }
}

/// Two faults of a SELECT are told in other words than those of Query and Scan: captured from DynamoDB.
fn in_words_of_statements(refusal: Refusal) -> Refusal {
    match refusal.text.as_deref() {
        Some(text) if text.starts_with("The table does not have the specified index") => {
            Refusal::invalid("The table does not have the specified index")
        }
        Some("Consistent reads are not supported on global secondary indexes") => {
            Refusal::invalid("Strongly consistent read is not supported on Global Secondary Indexes")
        }
        _ => refusal,
    }
}

fn key_wanted(operation: &str) -> Refusal {
    Refusal::invalid(format!(
        "Select statements within {operation} must specify the primary key in the where clause."
    ))
}

fn is_ordered(select: &Select) -> bool {
    select.by_partition.is_some() || select.by_sort.is_some()
}

/// Whether a query goes by what a SELECT asks of a key attribute. What it does not go by is left to the filter: beginnings
/// of numbers, which there are none of; of keys of several attributes, all beginnings and several values.
fn narrows(test: &StatedTest, key: &KeyAttribute, several: bool, partition: bool) -> bool {
    match test {
        StatedTest::In(_) => !several,
        StatedTest::Is(KeyCondition::Compare("=", _)) => true,
        StatedTest::Is(KeyCondition::BeginsWith(_)) => !partition && !several && key.kind != "N",
        StatedTest::Is(_) => !partition,
    }
}

/// What is asked for one after the other: each value once, in the order of the key's if that is wanted, descending or not.
fn alternatives(test: &StatedTest, descending: Option<bool>) -> Vec<KeyCondition> {
    let values = match test {
        StatedTest::Is(condition) => return vec![condition.clone()],
        StatedTest::In(values) => values,
    };
    let mut list = Vec::new();
    for value in values {
        if !list.contains(value) {
            list.push(value.clone());
        }
    }
    if let Some(descending) = descending {
        list.sort_by(|one, two| one.order(two).unwrap_or(std::cmp::Ordering::Equal));
        if descending {
            list.reverse();
        }
    }
    list.into_iter()
        .map(|value| KeyCondition::Compare("=", value))
        .collect()
}

/// What a SELECT shows of an item: a path under its last attribute's name and the indexes behind it.
fn columns(select: &Select, item: &Item) -> Item {
    let Some(paths) = &select.columns else {
        return item.clone();
    };
    let shown = |path: &Path| Some((column(path), path.find(item)?.clone()));
    paths.iter().filter_map(shown).collect()
}

/// The name of a column.
pub(crate) fn column(path: &Path) -> String {
    path.steps.iter().fold(path.root.clone(), |name, step| match step {
        Step::Key(key) => key.clone(),
        Step::Index(index) => format!("{name}[{index}]"),
    })
}

/// What is wrong with a statement whatever the tables are. Few of the words are documented.
pub(super) fn faults(stated: &Stated, fault: Option<Fault>) -> Vec<Refusal> {
    let mut faults = Vec::new();
    let mut refusals = Vec::new();
    match stated.mistake {
        Some(StatementMistake::Syntax) => return vec![Refusal::invalid("")],
        Some(StatementMistake::TooManyParameters) => {
            // Whatever else is wrong with the statement may be told first.
            refusals.push(Refusal::invalid(
                "Number of parameters in request and statement don't match.",
            ));
        }
        // Where there was none to take away the statement asks for one, where none may stand, too.
        Some(StatementMistake::TooFewParameters) => return vec![Refusal::invalid("")],
        None => {}
    }
    let condition = match &stated.statement {
        Statement::Select(select) => {
            let paths: Vec<_> = select.columns.iter().flatten().collect();
            expression::overlap_faults(&paths, &mut faults);
            expression::depth_faults(&paths, fault, &mut faults);
            for (name, test) in &select.tests {
                expression::condition_faults(&test.condition(name), fault, &mut faults);
            }
            select.filter.as_ref()
        }
        Statement::Insert { item, .. } => {
            refusals.extend(checks::empty_name(item.keys(), fault));
            None
        }
        Statement::Update { update, rest, .. } => {
            expression::update_faults(update, true, fault, &mut faults);
            rest.as_ref()
        }
        Statement::Delete { rest, .. } | Statement::Exists { rest, .. } => rest.as_ref(),
    };
    if let Some(condition) = condition {
        expression::condition_faults(condition, fault, &mut faults);
    }
    refusals.extend(faults.into_iter().map(|_| Refusal::invalid("")));
    refusals
}
