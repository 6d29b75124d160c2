//! Transactions, and their bodies.

use serde_json::{Value as Json, json};

use super::{Request, Write};
use crate::{
    expression::{Condition, Path},
    schema::{Schema, name_of},
    text::Texts,
    value::{Item, item_json},
};

/// A TransactWriteItems.
#[derive(Clone, Debug)]
pub(crate) struct Transaction {
    pub(crate) actions: Vec<Action>,
    /// `ClientRequestToken`
    pub(crate) token: Option<String>,
}

/// An action of a write transaction.
#[derive(Clone, Debug)]
pub(crate) struct Action {
    pub(crate) table: usize,
    pub(crate) write: Write,
    pub(crate) condition: Option<Condition>,
    /// `ReturnValuesOnConditionCheckFailure: ALL_OLD`
    pub(crate) shows_failed: bool,
}

/// A get of a TransactGetItems.
#[derive(Clone, Debug)]
pub(crate) struct Get {
    pub(crate) table: usize,
    pub(crate) key: Item,
    pub(crate) projection: Option<Vec<Path>>,
}

impl Transaction {
    /// The action whose condition has the request's mistake in it: the first that has a condition.
    pub(crate) fn mistaken(&self) -> Option<usize> {
        self.actions.iter().position(|action| action.condition.is_some())
    }
}

impl Request {
    /// `TransactItems` of a write transaction. Each action has names and values of its own.
    pub(crate) fn transact_writes(&self, transaction: &Transaction, schemas: &[Schema]) -> Json {
        let actions = transaction.actions.iter().enumerate();
        let body = |(at, action): (usize, &Action)| {
            let mut texts = Texts::new(self.style + at as u64);
            let mut body = json!({ "TableName": name_of(schemas, action.table) });
            let kind = match &action.write {
                Write::Put(item) => {
                    body["Item"] = item_json(item);
                    "Put"
                }
                Write::Delete(key) => {
                    body["Key"] = item_json(key);
                    "Delete"
                }
                Write::Update(key, update) => {
                    body["Key"] = item_json(key);
                    if let Some(update) = update {
                        body["UpdateExpression"] = texts.update(update).into();
                    }
                    "Update"
                }
                Write::Check(key) | Write::Older(key, _) => {
                    body["Key"] = item_json(key);
                    "ConditionCheck"
                }
            };
            let mistaken = transaction.mistaken() == Some(at);
            if let Some(condition) = &action.condition {
                let text = texts.condition(condition);
                body["ConditionExpression"] = if mistaken { self.mistaken(text) } else { text }.into();
            }
            if action.shows_failed {
                body["ReturnValuesOnConditionCheckFailure"] = "ALL_OLD".into();
            }
            texts.finish(&mut body);
            if mistaken {
                self.unused(&mut body);
            }
            json!({ kind: body })
        };
        actions.map(body).collect()
    }
}

/// `TransactItems` of a read transaction.
pub(super) fn transact_gets(style: u64, list: &[Get], schemas: &[Schema]) -> Json {
    let body = |(at, get): (usize, &Get)| {
        let mut texts = Texts::new(style + at as u64);
        let mut body = json!({ "TableName": name_of(schemas, get.table), "Key": item_json(&get.key) });
        if let Some(paths) = &get.projection {
            body["ProjectionExpression"] = texts.projection(paths).into();
        }
        texts.finish(&mut body);
        json!({ "Get": body })
    };
    list.iter().enumerate().map(body).collect()
}
