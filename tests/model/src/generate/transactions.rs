//! Random transactions.

use super::{Action, Condition, Generator, Item, Request, Write};
use crate::{
    evaluate,
    request::transactions::{self, Get, Transaction},
};

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
        let token = self.rng.percent(40).then(|| format!("token-{:x}", self.rng.next()));
        Action::TransactWrite(Transaction { actions, token })
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
        for _ in 0..count {
            let table = self.table();
            let key = self.key(table);
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
