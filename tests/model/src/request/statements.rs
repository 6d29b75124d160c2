//! PartiQL statements, and the bodies of the operations that carry them out.

use serde_json::{Value as Json, json};

use super::Request;
use crate::{
    expression::{Condition, KeyCondition, Operand, Path, Update},
    schema::Schema,
    statement_text::StatementText,
    value::{Item, Value},
};

/// A statement.
#[derive(Clone, Debug)]
pub(crate) enum Statement {
    Select(Select),
    Insert {
        table: usize,
        item: Item,
    },
    Update {
        table: usize,
        /// What WHERE says that key attributes are: mostly all of them.
        key: Item,
        update: Update,
        rest: Option<Condition>,
        /// `ALL OLD`, `MODIFIED NEW`…
        returning: Option<&'static str>,
    },
    Delete {
        table: usize,
        key: Item,
        rest: Option<Condition>,
        returns_old: bool,
    },
    /// `EXISTS(SELECT * …)`
    Exists {
        table: usize,
        key: Item,
        rest: Option<Condition>,
    },
}

/// A SELECT. What it asks of keys stands apart from the filter, which asks nothing of them that a query could go by.
#[derive(Clone, Debug)]
pub(crate) struct Select {
    pub(crate) table: usize,
    pub(crate) index: Option<String>,
    pub(crate) columns: Option<Vec<Path>>,
    /// What it asks of key attributes, by their names.
    pub(crate) tests: Vec<(String, StatedTest)>,
    pub(crate) filter: Option<Condition>,
    /// `ORDER BY` the partition key (its first attribute), and whether descending.
    pub(crate) by_partition: Option<bool>,
    /// `ORDER BY` the sort key (its first attribute), and whether descending.
    pub(crate) by_sort: Option<bool>,
}

/// What a SELECT asks of a key attribute.
#[derive(Clone, Debug)]
pub(crate) enum StatedTest {
    Is(KeyCondition),
    /// One of several values.
    In(Vec<Value>),
}

impl StatedTest {
    /// The one value that it asks for.
    pub(crate) fn equal(&self) -> Option<&Value> {
        match self {
            Self::Is(condition) => condition.equal(),
            Self::In(_) => None,
        }
    }

    /// As a filter.
    pub(crate) fn condition(&self, name: &str) -> Condition {
        let path = Operand::Path(Path::top(name));
        let value = |value: &Value| Operand::Value(value.clone());
        match self {
            Self::Is(KeyCondition::Compare(operator, other)) => Condition::Compare(operator, path, value(other)),
            Self::Is(KeyCondition::Between(low, high)) => Condition::Between(path, value(low), value(high)),
            Self::Is(KeyCondition::BeginsWith(prefix)) => Condition::BeginsWith(path, value(prefix)),
            Self::In(values) => Condition::In(path, values.iter().map(value).collect()),
        }
    }
}

/// A statement as it is sent.
#[derive(Clone, Debug)]
pub(crate) struct Stated {
    pub(crate) statement: Statement,
    pub(crate) mistake: Option<StatementMistake>,
    /// `ReturnValuesOnConditionCheckFailure: ALL_OLD`
    pub(crate) shows_failed: bool,
    pub(crate) consistent: bool,
}

/// An ExecuteStatement.
#[derive(Clone, Debug)]
pub(crate) struct Execute {
    pub(crate) stated: Stated,
    pub(crate) limit: Option<usize>,
    /// How many pages are read.
    pub(crate) pages: usize,
}

/// An ExecuteTransaction.
#[derive(Clone, Debug)]
pub(crate) struct StatementTransaction {
    pub(crate) list: Vec<Stated>,
    /// `ClientRequestToken`
    pub(crate) token: Option<String>,
}

/// What is wrong with a statement beside what it asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum StatementMistake {
    Syntax,
    TooManyParameters,
    TooFewParameters,
}

impl Statement {
    pub(crate) fn reads(&self) -> bool {
        matches!(self, Self::Select(_))
    }

    pub(crate) fn kind(&self) -> &'static str {
        match self {
            Self::Select(select) if select.tests.len() > 2 => "SELECT by keys of several attributes",
            Self::Select(select) if select.index.is_some() => "SELECT from an index",
            Self::Select(_) => "SELECT",
            Self::Insert { .. } => "INSERT",
            Self::Update { .. } => "UPDATE",
            Self::Delete { .. } => "DELETE",
            Self::Exists { .. } => "EXISTS",
        }
    }

    pub(crate) fn table(&self) -> usize {
        match self {
            Self::Select(select) => select.table,
            Self::Insert { table, .. }
            | Self::Update { table, .. }
            | Self::Delete { table, .. }
            | Self::Exists { table, .. } => *table,
        }
    }
}

impl Stated {
    /// The members that a statement has in every operation.
    pub(super) fn body(&self, style: u64, schemas: &[Schema]) -> Json {
        let (mut text, mut parameters) = StatementText::new(style).statement(&self.statement, schemas);
        match self.mistake {
            Some(StatementMistake::Syntax) => text.push_str(" )"),
            Some(StatementMistake::TooManyParameters) => parameters.push(Value::Null),
            // Where there is none to take away the statement asks for one.
            Some(StatementMistake::TooFewParameters) if parameters.pop().is_none() => text.push_str(" AND a = ?"),
            _ => {}
        }
        let mut body = json!({ "Statement": text });
        if !parameters.is_empty() {
            body["Parameters"] = parameters.iter().map(Value::json).collect();
        }
        if self.shows_failed {
            body["ReturnValuesOnConditionCheckFailure"] = "ALL_OLD".into();
        }
        body
    }
}

impl Request {
    pub(super) fn execute(&self, execute: &Execute, schemas: &[Schema]) -> Json {
        let mut body = execute.stated.body(self.style, schemas);
        if let Some(limit) = execute.limit {
            body["Limit"] = limit.into();
        }
        self.consistent(&mut body, execute.stated.consistent);
        body
    }

    /// `Statements` of a batch.
    pub(super) fn batch_statements(&self, list: &[Stated], schemas: &[Schema]) -> Json {
        let body = |(at, stated): (usize, &Stated)| {
            let mut body = stated.body(self.style + at as u64, schemas);
            self.consistent(&mut body, stated.consistent);
            body
        };
        list.iter().enumerate().map(body).collect()
    }

    /// `TransactStatements`
    pub(crate) fn transact_statements(&self, list: &[Stated], schemas: &[Schema]) -> Json {
        let body = |(at, stated): (usize, &Stated)| stated.body(self.style + at as u64, schemas);
        list.iter().enumerate().map(body).collect()
    }
}
