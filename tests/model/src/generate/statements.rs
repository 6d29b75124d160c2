//! Random PartiQL statements.

use super::{Action, Condition, Generator, Item, KeyCondition, Path, Term, Update, Value};
use crate::{
    evaluate,
    expression::condition_paths,
    model::column,
    request::statements::{Execute, Select, Stated, StatedTest, Statement, StatementMistake, StatementTransaction},
    schema::{Index, KeyAttribute, Keys},
};

impl Generator<'_> {
    pub(super) fn execute(&mut self) -> Action {
        let statement = if self.rng.percent(45) {
            Statement::Select(self.select())
        } else {
            self.write_statement(1)
        };
        let selects = statement.reads();
        Action::Execute(Box::new(Execute {
            stated: self.stated(statement),
            limit: (selects && self.rng.percent(50)).then(|| self.rng.between(1, 6)),
            pages: if selects { self.rng.pick(&[1, 3, 20]) } else { 1 },
        }))
    }

    pub(super) fn batch_execute(&mut self) -> Action {
        let count = if self.rng.below(300) == 0 {
            26
        } else {
            self.rng.between(1, 5)
        };
        let reads = self.rng.percent(40);
        let mut list: Vec<Stated> = Vec::new();
        let mut keys: Vec<(usize, Item)> = Vec::new();
        for _ in 0..count {
            let statement = match reads != (self.rng.below(200) == 0) {
                true => Statement::Select(self.select_one()),
                false => self.write_statement(1),
            };
            // Two on one item are refused: seldom wanted.
            let key = (statement.table(), self.key_of_statement(&statement));
            let there = self.found(key.0, &key.1).is_some() && !matches!(statement, Statement::Exists { .. });
            if !keys.contains(&key) || there && self.rng.percent(2) {
                keys.push(key);
                list.push(self.stated(statement));
            }
        }
        Action::BatchExecute(list)
    }

    pub(super) fn execute_transaction(&mut self) -> Action {
        let reads = self.rng.percent(35);
        let mut list: Vec<Stated> = Vec::new();
        let mut keys: Vec<(usize, Item)> = Vec::new();
        for _ in 0..self.rng.between(1, 4) {
            let statement = match reads != (self.rng.below(200) == 0) {
                true => Statement::Select(self.select_one()),
                false => self.write_statement(30),
            };
            let key = (statement.table(), self.key_of_statement(&statement));
            if !keys.contains(&key) || self.rng.percent(1) {
                keys.push(key);
                let statement = self.returning_nothing(statement);
                list.push(self.stated(statement));
            }
        }
        let token = (!reads && self.rng.percent(30)).then(|| format!("statements-{:x}", self.rng.next()));
        Action::ExecuteTransaction(StatementTransaction { list, token })
    }

    fn stated(&mut self, statement: Statement) -> Stated {
        let mistakes = [
            StatementMistake::Syntax,
            StatementMistake::TooManyParameters,
            StatementMistake::TooFewParameters,
        ];
        let global = match &statement {
            Statement::Select(select) => {
                let schema = self.schema(select.table);
                let index = select.index.as_ref().and_then(|name| schema.index(name));
                index.is_some_and(|index| index.global)
            }
            _ => false,
        };
        Stated {
            mistake: (self.rng.below(60) == 0).then(|| self.rng.pick(&mistakes)),
            shows_failed: !statement.reads() && self.rng.percent(40),
            consistent: statement.reads() && self.rng.percent(if global { 2 } else { 40 }),
            statement,
        }
    }

    fn select(&mut self) -> Select {
        let table = self.table();
        let schema = self.schema(table).clone();
        let index: Option<Index> =
            (!schema.indexes.is_empty() && self.rng.percent(40)).then(|| self.rng.choose(&schema.indexes).clone());
        let keys = index.as_ref().map_or(&schema.keys, |index| &index.keys).clone();
        let item = self.item_with(table, &keys);
        let scans = self.rng.percent(25);
        let tests = if scans {
            Vec::new()
        } else {
            self.stated_tests(&keys, &item)
        };
        let fits = |name: &str| index.as_ref().is_none_or(|index| index.projects(&schema.keys, name));
        let unfit = |path: &Path| {
            let of = |keys: &[KeyAttribute]| keys.iter().any(|key| key.name == path.root);
            of(&keys.partition) || of(&keys.sort) && !scans
        };
        // What the index does not have counts as missing in scans.
        let misses = scans && self.rng.percent(40);
        let filter = self
            .rng
            .percent(45)
            .then(|| self.fitting(1, &item, &keys, unfit, |name| misses || fits(name)))
            .flatten();
        let columns = self.rng.percent(35).then(|| {
            let mut paths = self.projection(Some(&item));
            if index.as_ref().is_some_and(|index| index.global) && !self.rng.percent(3) {
                paths.retain(|path| fits(&path.root));
            }
            let mut names: Vec<String> = Vec::new();
            paths.retain(|path| {
                let name = column(path);
                let new = !names.contains(&name);
                names.push(name);
                new
            });
            paths
        });
        let several = matches!(tests.first(), Some((_, StatedTest::In(_))));
        // Of keys of several attributes it is refused, as of scans.
        let orders = !scans && !keys.has_several() || self.rng.percent(4);
        let by_partition = (orders && self.rng.percent(15)).then(|| self.rng.percent(50));
        let by_sort = !keys.sort.is_empty() && orders && self.rng.percent(25) && (!several || by_partition.is_some());
        let name = index.map(|index| index.name);
        Select {
            table,
            index: if self.rng.below(150) == 0 {
                Some("nope".into())
            } else {
                name
            },
            columns: columns.filter(|paths| !paths.is_empty()),
            tests,
            filter,
            by_partition,
            by_sort: by_sort.then(|| self.rng.percent(60)),
        }
    }

    /// What a SELECT asks of keys: mostly what a query could go by.
    fn stated_tests(&mut self, keys: &Keys, item: &Item) -> Vec<(String, StatedTest)> {
        let mut tests = Vec::new();
        let several = keys.has_several();
        for key in &keys.partition {
            let there = item.get(&key.name).cloned();
            // Of keys of several attributes it is a scan without one of them, or with several values of one.
            if several && self.rng.percent(6) {
                continue;
            }
            let values = self.key_values(key.kind, there, if several { 5 } else { 30 });
            tests.push((key.name.clone(), one_of(values)));
        }
        for key in &keys.sort {
            if self.rng.percent(if several { 25 } else { 40 }) {
                continue;
            }
            let there = item.get(&key.name).cloned();
            let test = match self.rng.below(100) {
                0..40 if several => one_of(self.key_values(key.kind, there, 0)),
                0..40 => one_of(self.key_values(key.kind, there, 100)),
                40..48 if several => one_of(self.key_values(key.kind, there, 100)),
                _ => StatedTest::Is(self.key_condition(key.kind, there)),
            };
            tests.push((key.name.clone(), test));
        }
        tests
    }

    /// A condition without what is unfit (what a WHERE clause's keys are found by, say), and mostly only about what an index
    /// has.
    pub(super) fn fitting(
        &mut self,
        depth: usize,
        item: &Item,
        keys: &Keys,
        unfit: impl Fn(&Path) -> bool,
        fits: impl Fn(&str) -> bool,
    ) -> Option<Condition> {
        for _ in 0..8 {
            let condition = self.condition(depth, Some(item));
            let mut paths = Vec::new();
            condition_paths(&condition, &mut paths);
            if !paths.iter().any(|path| unfit(path))
                && (self.rng.percent(3) || paths.iter().all(|path| fits(&path.root) || keys.has(&path.root)))
            {
                return Some(condition);
            }
        }
        None
    }

    /// One value for a key, or several in so many of a hundred.
    fn key_values(&mut self, kind: &str, there: Option<Value>, several: usize) -> Vec<Value> {
        let there = there.filter(|value| value.kind() == kind && !value.is_empty_key());
        let mut values = vec![there.unwrap_or_else(|| self.key_value(kind))];
        if self.rng.percent(several) {
            for _ in 0..self.rng.between(1, 6) {
                values.push(self.key_value(kind));
            }
        }
        if self.rng.below(150) == 0 {
            values.push(self.value(0));
        }
        values
    }

    /// A SELECT of one item by its whole key; seldom of something else.
    fn select_one(&mut self) -> Select {
        if self.rng.below(60) == 0 {
            return self.select();
        }
        let table = self.table();
        let key = self.key(table);
        let item = self.found(table, &key).unwrap_or_default();
        let keys = self.schema(table).keys.clone();
        let filter = self
            .rng
            .percent(30)
            .then(|| self.fitting(1, &item, &keys, |path| keys.has(&path.root), |_| true))
            .flatten();
        let test = |name: &str| Some((name.to_owned(), one_of(vec![key.get(name)?.clone()])));
        let tests = keys.attributes().filter_map(|key| test(&key.name)).collect();
        let columns = self.rng.percent(30).then(|| vec![self.path(Some(&item))]);
        Select {
            table,
            index: None,
            columns,
            tests,
            filter,
            by_partition: None,
            by_sort: None,
        }
    }

    /// INSERT, UPDATE or DELETE; EXISTS in so many of a hundred.
    fn write_statement(&mut self, exists: usize) -> Statement {
        let table = self.table();
        if self.rng.percent(35) {
            let mut item = self.item(table);
            let keys = self.schema(table).keys.clone();
            // Mostly of a key that is not there.
            for _ in 0..3 {
                if self.found(table, &item).is_none() {
                    break;
                }
                for key in keys.attributes() {
                    let value = self.key_value(key.kind);
                    item.insert(key.name.clone(), value);
                }
            }
            return Statement::Insert { table, item };
        }
        let mut key = self.key(table);
        let keys = self.schema(table).keys.clone();
        for _ in 0..3 {
            if self.found(table, &key).is_some() {
                break;
            }
            key = self.key(table);
        }
        // An attribute that is no key would be a condition.
        key.retain(|name, _| keys.has(name));
        if self.rng.below(80) == 0 {
            key.pop_last();
        }
        let old = self.found(table, &key);
        let item = old.clone().unwrap_or_default();
        let mut rest = self
            .rng
            .percent(30)
            .then(|| self.fitting(1, &item, &keys, |path| keys.has(&path.root), |_| true))
            .flatten();
        if rest.as_ref().is_some_and(|rest| !evaluate::holds(rest, &item, None)) && self.rng.percent(60) {
            rest = None;
        }
        if self.rng.percent(exists) {
            return Statement::Exists { table, key, rest };
        }
        if self.rng.percent(35) {
            let returns_old = self.rng.percent(50);
            return Statement::Delete {
                table,
                key,
                rest,
                returns_old,
            };
        }
        let update = self.update(table, old.as_ref());
        let update = self.stateable(update, old.as_ref());
        let returns = &[
            None,
            Some("ALL OLD"),
            Some("ALL NEW"),
            Some("MODIFIED OLD"),
            Some("MODIFIED NEW"),
        ];
        Statement::Update {
            table,
            key,
            update,
            rest,
            returning: self.rng.pick(returns),
        }
    }

    /// An update with only what PartiQL has: no `if_not_exists`, and no `ADD` of numbers.
    fn stateable(&mut self, mut update: Update, old: Option<&Item>) -> Update {
        for (_, term) in &mut update.set {
            *term = stateable(term, old);
        }
        let (sets, others): (Vec<_>, Vec<_>) = std::mem::take(&mut update.add)
            .into_iter()
            .partition(|(_, value)| matches!(value, Value::Ss(_) | Value::Ns(_) | Value::Bs(_)));
        update.add = sets;
        for (path, value) in others {
            let there = old.is_some_and(|old| matches!(path.find(old), Some(Value::N(_))));
            let term = match value {
                value @ Value::N(_) if there => {
                    Term::Plus(Box::new(Term::Path(path.clone())), Box::new(Term::Value(value)))
                }
                value => Term::Value(value),
            };
            update.set.push((path, term));
        }
        update
    }

    /// The statement without RETURNING, mostly: transactions have none.
    fn returning_nothing(&mut self, mut statement: Statement) -> Statement {
        if self.rng.percent(98) {
            match &mut statement {
                Statement::Update { returning, .. } => *returning = None,
                Statement::Delete { returns_old, .. } => *returns_old = false,
                _ => {}
            }
        }
        statement
    }

    fn key_of_statement(&self, statement: &Statement) -> Item {
        let keys = &self.schema(statement.table()).keys;
        match statement {
            Statement::Select(select) => {
                let equal = |(name, test): &(String, StatedTest)| Some((name.clone(), test.equal()?.clone()));
                select.tests.iter().filter_map(equal).collect()
            }
            Statement::Insert { item: key, .. }
            | Statement::Update { key, .. }
            | Statement::Delete { key, .. }
            | Statement::Exists { key, .. } => {
                let mut key = key.clone();
                key.retain(|name, _| keys.has(name));
                key
            }
        }
    }
}

fn one_of(mut values: Vec<Value>) -> StatedTest {
    match values.pop() {
        Some(value) if values.is_empty() => StatedTest::Is(KeyCondition::Compare("=", value)),
        last => StatedTest::In(values.into_iter().chain(last).collect()),
    }
}

fn stateable(term: &Term, old: Option<&Item>) -> Term {
    let inner = |term: &Term| Box::new(stateable(term, old));
    match term {
        Term::IfNotExists(path, _) if old.is_some_and(|old| path.find(old).is_some()) => Term::Path(path.clone()),
        Term::IfNotExists(_, otherwise) => stateable(otherwise, old),
        Term::ListAppend(one, two) => Term::ListAppend(inner(one), inner(two)),
        Term::Plus(one, two) => Term::Plus(inner(one), inner(two)),
        Term::Minus(one, two) => Term::Minus(inner(one), inner(two)),
        other => other.clone(),
    }
}
