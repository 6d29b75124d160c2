//! Random transactions.

use super::{Action, Condition, Generator, Item, Request, Value, Write};
use crate::{
    evaluate,
    request::transactions::{self, Get, Transaction},
    value::item_size,
};

/// Items of a flood: as many as a batch takes, with so many bytes each that they are more than 4 MB together.
const FLOOD: usize = 25;
const FLOOD_BYTES: usize = 170_000;
/// Keys that are tried for it.
const FLOOD_TRIES: usize = 300;

impl Generator<'_> {
    pub(super) fn transact_write(&mut self) -> Action {
        let count = if self.rng.below(400) == 0 {
            101
        } else {
            self.rng.between(1, 5)
        };
        let mut actions: Vec<transactions::Action> = Vec::new();
        for _ in 0..count {
            let action = self.transact_action();
            let same = |other: &transactions::Action| {
                other.table == action.table && self.keys_of(other) == self.keys_of(&action)
            };
            if !actions.iter().any(same) || count > 100 || self.rng.percent(1) {
                actions.push(action);
            }
        }
        // Several that are wrong: it is told of the first.
        if self.rng.percent(2) {
            for action in &mut actions {
                match &mut action.write {
                    Write::Delete(key) | Write::Check(key) | Write::Update(key, _) => self.spoil_key(key),
                    _ => {}
                }
            }
        }
        let token = self.rng.percent(40).then(|| format!("token-{:x}", self.rng.next()));
        Action::TransactWrite(Transaction { actions, token })
    }

    /// Puts of more bytes than a transaction may carry, if there is none of them yet and the table has keys enough.
    pub(super) fn flood(&mut self) -> Option<Vec<(usize, Vec<Write>)>> {
        if self.rng.below(40) != 0 || self.large().is_some() {
            return None;
        }
        let table = self.table();
        let (keys, mut items) = (self.schema(table).keys.clone(), Vec::<Item>::new());
        for _ in 0..FLOOD_TRIES {
            let key: Item = keys
                .attributes()
                .map(|key| (key.name.clone(), self.key_value(key.kind)))
                .collect();
            if items.len() < FLOOD && !items.contains(&key) {
                items.push(key);
            }
        }
        let put = |mut item: Item| {
            item.insert("d".into(), Value::S("x".repeat(FLOOD_BYTES)));
            Write::Put(item)
        };
        let full = items.len() == FLOOD && table < self.model.schemas.len();
        full.then(|| vec![(table, items.into_iter().map(put).collect())])
    }

    /// Deletes, in one transaction, of items that are more than a transaction may carry, if there are so many. Or puts of them,
    /// which it may not.
    pub(super) fn drain(&mut self) -> Option<Transaction> {
        let list = match self.large() {
            Some((table, list)) => vec![(table, list.into_iter().map(Write::Delete).collect())],
            None if self.rng.percent(20) => self.flood()?,
            None => return None,
        };
        let action = |table: usize, write: Write| transactions::Action {
            table,
            write,
            condition: None,
            shows_failed: false,
        };
        let of_table = |(table, writes): (usize, Vec<Write>)| writes.into_iter().map(move |write| action(table, write));
        Some(Transaction {
            actions: list.into_iter().flat_map(of_table).collect(),
            token: None,
        })
    }

    /// The keys of a table's large items, if they are more than a transaction may carry.
    fn large(&self) -> Option<(usize, Vec<Item>)> {
        for (table, items) in self.model.tables.iter().enumerate() {
            let large: Vec<_> = items.values().filter(|item| item_size(item) > FLOOD_BYTES).collect();
            if large.iter().map(|item| item_size(item)).sum::<usize>() > FLOOD * FLOOD_BYTES && large.len() <= 100 {
                let keys = &self.model.schemas[table].keys;
                let key = |item: &&Item| {
                    let mut key = (*item).clone();
                    key.retain(|name, _| keys.has(name));
                    key
                };
                return Some((table, large.iter().map(key).collect()));
            }
        }
        None
    }

    /// A transaction that was carried out before, or another one under its token.
    pub(super) fn repeated(&mut self) -> Option<Request> {
        let used: Vec<_> = self.model.tokens.values().collect();
        if used.is_empty() {
            return None;
        }
        let mut request = self.rng.choose(&used).request.clone();
        if self.rng.percent(25)
            && let Action::TransactWrite(transaction) = &mut request.action
        {
            let action = self.transact_action();
            transaction.actions.pop();
            transaction.actions.push(action);
        }
        Some(request)
    }

    fn transact_action(&mut self) -> transactions::Action {
        let table = self.table();
        let kind = self.rng.below(10);
        let write = match kind {
            0..4 => Write::Put(self.item(table)),
            4..6 => Write::Delete(self.key(table)),
            6..8 => {
                let key = self.key(table);
                let old = self.found(table, &key);
                Write::Update(key, Some(self.update(table, old.as_ref())))
            }
            _ => Write::Check(self.key(table)),
        };
        let old = self.found(table, write.item());
        let conditioned = matches!(write, Write::Check(_)) || self.rng.percent(30);
        transactions::Action {
            table,
            condition: conditioned.then(|| self.met(old.as_ref())),
            write,
            shows_failed: self.rng.percent(50),
        }
    }

    pub(super) fn transact_get(&mut self) -> Action {
        let count = if self.rng.below(400) == 0 {
            101
        } else {
            self.rng.between(1, 5)
        };
        let mut list: Vec<Get> = Vec::new();
        let spoilt = self.rng.percent(3);
        for _ in 0..count {
            let table = self.table();
            let mut key = self.key(table);
            if spoilt && self.rng.percent(50) {
                self.empty_key(table, &mut key);
            }
            let found = self.found(table, &key);
            let same = |other: &Get| other.table == table && other.key == key;
            if !list.iter().any(same) || count > 100 || self.rng.percent(1) {
                list.push(Get {
                    table,
                    key,
                    projection: self.rng.percent(30).then(|| self.projection(found.as_ref())),
                });
            }
        }
        Action::TransactGet(list)
    }

    /// Empties a key attribute that can be empty.
    fn empty_key(&mut self, table: usize, key: &mut Item) {
        for attribute in self.schema(table).keys.clone().attributes() {
            match attribute.kind {
                "S" => drop(key.insert(attribute.name.clone(), Value::S(String::new()))),
                "B" => drop(key.insert(attribute.name.clone(), Value::B(Vec::new()))),
                _ => {}
            }
        }
    }

    /// A condition that an item mostly meets.
    pub(super) fn met(&mut self, item: Option<&Item>) -> Condition {
        let nothing = Item::new();
        let mut condition = self.condition(1, item);
        for _ in 0..6 {
            if self.rng.percent(6) || evaluate::holds(&condition, item.unwrap_or(&nothing), None) {
                break;
            }
            condition = self.condition(1, item);
        }
        condition
    }

    fn keys_of(&self, action: &transactions::Action) -> Item {
        let keys = &self.schema(action.table).keys;
        let mut item = action.write.item().clone();
        item.retain(|name, _| keys.has(name));
        item
    }
}
