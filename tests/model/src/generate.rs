//! Random tables and requests, from a seed and from what the tables hold.

use crate::{
    expression::{Condition, KeyCondition, KeyTests, Operand, Path, Step, Term, Update},
    model::Model,
    request::{Action, BatchGet, Mistake, Read, Request, Write},
    rng::Rng,
    schema::{Index, Keys, Schema},
    value::{Item, Value},
};

mod changes;
mod expressions;
mod older;
mod reads;
mod statements;
mod tables;
mod transactions;
mod values;

pub(crate) use tables::tables;

/// Names of attributes that are no keys. Some are reserved words, some cannot stand in an expression.
const NAMES: &[&str] = &["a", "b", "c", "d", "e1", "name", "Size", "x.y", "é-1"];

/// Makes requests.
pub(crate) struct Generator<'m> {
    rng: &'m mut Rng,
    model: &'m Model,
    /// Whether items are large, so that pages end at a megabyte.
    heavy: bool,
}

/// The next request.
pub(crate) fn request(rng: &mut Rng, model: &Model, heavy: bool) -> Request {
    let mut generator = Generator { rng, model, heavy };
    if generator.rng.percent(1)
        && let Some(request) = generator.repeated()
    {
        return request;
    }
    let mut action = match generator.event() {
        Some(event) => Action::Event(event),
        None => generator.action(),
    };
    let older = generator.rng.percent(15).then(|| generator.aged(&mut action)).flatten();
    let conditioned = match &action {
        Action::Write { condition, .. } => condition.is_some(),
        Action::Read(read) => read.filter.is_some(),
        Action::TransactWrite(transaction) => transaction.mistaken().is_some(),
        _ => false,
    };
    let mistakes = conditioned && generator.rng.percent(5);
    let mut mistake = mistakes.then(|| generator.rng.pick(&Mistake::ALL));
    let by_keys = matches!(&action, Action::Read(read) if read.query.as_ref().is_some_and(|tests| !tests.is_empty()));
    let by_expression = by_keys && !older.as_ref().is_some_and(|older| older.keys);
    if by_expression && generator.rng.percent(1) {
        mistake = Some(generator.rng.pick(&Mistake::OF_KEYS));
    }
    let capacities = &[
        None,
        None,
        None,
        Some("NONE"),
        Some("TOTAL"),
        Some("INDEXES"),
        Some("INDEXES"),
    ];
    let writes = matches!(
        action,
        Action::Write { .. } | Action::BatchWrite(_) | Action::TransactWrite(_)
    );
    Request {
        style: generator.rng.next() >> 1,
        capacity: generator.rng.pick(capacities),
        metrics: writes && generator.rng.percent(10),
        mistake,
        older,
        action,
    }
}

impl Generator<'_> {
    fn action(&mut self) -> Action {
        match self.rng.below(100) {
            0..6 => self.get(),
            6..20 => {
                let table = self.table();
                let item = self.item(table);
                let old = self.found(table, &item);
                self.conditional(table, Write::Put(item), old)
            }
            20..25 => {
                let table = self.table();
                let key = self.key(table);
                let old = self.found(table, &key);
                self.conditional(table, Write::Delete(key), old)
            }
            25..39 => {
                let table = self.table();
                let key = self.key(table);
                let old = self.found(table, &key);
                let update = (!self.rng.percent(3)).then(|| match self.rng.below(120) {
                    0 => self.large_update(old.as_ref().unwrap_or(&key)),
                    _ => self.update(table, old.as_ref()),
                });
                self.conditional(table, Write::Update(key, update), old)
            }
            39..51 => Action::Read(Box::new(self.query())),
            51..59 => Action::Read(Box::new(self.scan())),
            59..62 => self.batch_get(),
            62..66 => match self.flood() {
                Some(items) => Action::BatchWrite(items),
                None => self.batch_write(),
            },
            66..75 => match self.drain() {
                Some(transaction) => Action::TransactWrite(transaction),
                None => self.transact_write(),
            },
            75..78 => self.transact_get(),
            78..91 => self.execute(),
            91..94 => self.batch_execute(),
            94..98 => self.execute_transaction(),
            _ => self.change(),
        }
    }

    /// A table's place; seldom of one that is not there.
    fn table(&mut self) -> usize {
        let tables = self.model.schemas.len();
        if self.rng.below(300) == 0 {
            tables
        } else {
            self.rng.below(tables)
        }
    }

    fn schema(&self, table: usize) -> &Schema {
        &self.model.schemas[table.min(self.model.schemas.len() - 1)]
    }

    /// The item of a key, or of an item's key.
    fn found(&self, table: usize, item: &Item) -> Option<Item> {
        let keys = &self.schema(table).keys;
        let same = |other: &&Item| keys.attributes().all(|key| other.get(&key.name) == item.get(&key.name));
        self.model.tables.get(table)?.values().find(same).cloned()
    }

    fn get(&mut self) -> Action {
        let table = self.table();
        let key = self.key(table);
        let found = self.found(table, &key);
        Action::Get {
            table,
            key,
            projection: self.rng.percent(40).then(|| self.projection(found.as_ref())),
            consistent: self.rng.percent(40),
        }
    }

    fn conditional(&mut self, table: usize, write: Write, old: Option<Item>) -> Action {
        let condition = self.rng.percent(45).then(|| self.condition(2, old.as_ref()));
        let returns: &[Option<&str>] = match write {
            Write::Update(..) => &[
                None,
                Some("NONE"),
                Some("ALL_OLD"),
                Some("ALL_NEW"),
                Some("UPDATED_OLD"),
                Some("UPDATED_NEW"),
            ],
            _ if self.rng.percent(1) => &[Some("ALL_NEW"), Some("UPDATED_OLD")],
            _ => &[None, Some("NONE"), Some("ALL_OLD")],
        };
        Action::Write {
            table,
            write: Box::new(write),
            condition,
            returns: self.rng.pick(returns),
            shows_failed: self.rng.percent(30),
        }
    }

    fn batch_get(&mut self) -> Action {
        let mut list = Vec::new();
        for table in self.some_tables() {
            let mut keys: Vec<Item> = Vec::new();
            for _ in 0..self.rng.between(1, 6) {
                let key = self.key(table);
                if !keys.contains(&key) || self.rng.percent(2) {
                    keys.push(key);
                }
            }
            let found = self.found(table, &keys[0]);
            list.push(BatchGet {
                table,
                keys,
                projection: self.rng.percent(30).then(|| self.projection(found.as_ref())),
                attributes: false,
                consistent: self.rng.percent(30),
            });
        }
        Action::BatchGet(list)
    }

    fn batch_write(&mut self) -> Action {
        let mut list = Vec::new();
        for table in self.some_tables() {
            let mut writes: Vec<Write> = Vec::new();
            let mut keys: Vec<Item> = Vec::new();
            let names = self.schema(table).keys.clone();
            for _ in 0..self.rng.between(1, 7) {
                let (key, write) = if self.rng.percent(65) {
                    let item = self.item(table);
                    let key = item.iter().filter(|(name, _)| names.has(name));
                    (
                        key.map(|(name, value)| (name.clone(), value.clone())).collect(),
                        Write::Put(item),
                    )
                } else {
                    let key = self.key(table);
                    (key.clone(), Write::Delete(key))
                };
                if !keys.contains(&key) || self.rng.percent(2) {
                    keys.push(key);
                    writes.push(write);
                }
            }
            list.push((table, writes));
        }
        Action::BatchWrite(list)
    }

    /// One table, or all.
    fn some_tables(&mut self) -> Vec<usize> {
        if self.rng.percent(60) {
            vec![self.table()]
        } else {
            (0..self.model.schemas.len()).collect()
        }
    }
}
