//! What the PartiQL operations have in common: statements with their tables, and the writes they stand for.

use std::sync::Arc;

use compact_str::CompactString;
use geodynamo_expression::{
    Condition, Path, Update,
    partiql::{self, Insert, KeyNames, Returning, Statement},
};
use geodynamo_item::{AttributeType, AttributeValue, Item};
use geodynamo_storage::Engine;
use geodynamo_table::{Capacity, Table, TableError, Tables, WriteOptions, schema::KeySchema};

use crate::{Api, errors::ApiError};

/// A statement and the table it is on.
pub(super) struct Bound {
    pub(super) statement: Statement,
    pub(super) table: Arc<Table>,
}

impl Bound {
    /// Finds a statement's table.
    pub(super) fn of<E: Engine>(api: &Api<E>, statement: Statement) -> Result<Self, ApiError> {
        let table = api.tables.table(&api.table_of(statement.table())?)?;
        Ok(Self { statement, table })
    }
}

/// Parses a statement.
pub(super) fn parse(
    text: &Option<CompactString>,
    parameters: &Option<Vec<AttributeValue>>,
) -> Result<Statement, ApiError> {
    // Required by the model, so it is there.
    let text = text.as_deref().unwrap_or_default();
    Ok(Statement::parse(text, parameters.as_deref().unwrap_or_default())?)
}

/// The names of a table's or an index's key attributes.
pub(crate) fn key_names(schema: &KeySchema) -> KeyNames<'_> {
    KeyNames {
        partition: &schema.partition.name,
        sort: schema.sort.as_ref().map(|sort| sort.name.as_str()),
        sort_has_beginning: schema
            .sort
            .as_ref()
            .is_some_and(|sort| sort.kind.attribute_type() != AttributeType::N),
        has_several: schema.has_several(),
    }
}

/// The write, or the check, that a statement stands for.
pub(super) enum Action {
    /// INSERT: refused as a duplicate if the condition fails.
    Insert { item: Item, condition: Condition },
    /// UPDATE
    Update {
        key: Item,
        update: Update,
        condition: Condition,
        returning: Option<Returning>,
    },
    /// DELETE
    Delete {
        key: Item,
        condition: Option<Condition>,
        returns_old: bool,
    },
    /// EXISTS
    Check { key: Item, condition: Condition },
}

impl Action {
    /// The key of the item that it is on. Of an item to insert that lacks a key attribute, what there is of it.
    pub(super) fn key(&self, table: &Table) -> Item {
        let of = match self {
            Self::Insert { item, .. } => item,
            Self::Update { key, .. } | Self::Delete { key, .. } | Self::Check { key, .. } => key,
        };
        let attribute = |name: &str| Some((name.into(), of.get(name)?.clone()));
        table
            .keys()
            .attributes()
            .filter_map(|key| attribute(&key.name))
            .collect()
    }
}

/// What a statement other than SELECT does.
pub(super) fn action(table: &Table, statement: Statement) -> Result<Action, ApiError> {
    let partition = || Path::from(table.keys().partition.name.as_str());
    let there = || Condition::Exists(partition());
    // Whether the values can be keys is for whoever reads or writes the item to say.
    let key_of = |condition: Option<&Condition>| {
        partiql::single_key(condition, key_names(table.keys())).ok_or(partiql::StatementError::KeyEquality)
    };
    Ok(match statement {
        Statement::Insert(Insert { item, .. }) => Action::Insert {
            item,
            condition: Condition::NotExists(partition()),
        },
        Statement::Update(statement) => {
            let (key, mut rest) = key_of(statement.condition.as_ref())?;
            // An UPDATE never makes an item.
            rest.insert(0, there());
            Action::Update {
                key,
                update: statement.update,
                condition: Condition::And(rest),
                returning: statement.returning,
            }
        }
        Statement::Delete(statement) => {
            let (key, rest) = key_of(statement.condition.as_ref())?;
            // To delete what is not there succeeds, whatever else is asked of it.
            let condition = || Condition::Or(vec![Condition::NotExists(partition()), Condition::And(rest.clone())]);
            Action::Delete {
                key,
                condition: (!rest.is_empty()).then(condition),
                returns_old: statement.returns_old,
            }
        }
        Statement::Exists(select) => {
            let (key, mut rest) = key_of(select.condition.as_ref())?;
            rest.insert(0, there());
            Action::Check {
                key,
                condition: Condition::And(rest),
            }
        }
        Statement::Select(_) => return Err(ApiError::internal("a SELECT is no write")),
    })
}

/// Carries a write out; gives the item that it returns, if it returns one, and what it consumed.
pub(super) async fn write<E: Engine>(
    tables: &Tables<E>,
    table: &Table,
    action: Action,
    old_on_failure: bool,
) -> Result<(Option<Item>, Capacity), WriteFailed> {
    let options = |condition| WriteOptions {
        condition,
        old_on_failure,
        ..WriteOptions::default()
    };
    match action {
        Action::Insert { item, condition } => match tables.writes().put(table, item, options(Some(&condition))).await {
            Ok(written) => Ok((None, written.capacity)),
            Err(TableError::ConditionFailed(failed)) => Err(WriteFailed {
                error: ApiError::duplicate_item(),
                units: failed.units,
            }),
            Err(error) => Err(error.into()),
        },
        Action::Update {
            key,
            update,
            condition,
            returning,
        } => {
            let options = WriteOptions {
                return_old: matches!(returning, Some(Returning::AllOld | Returning::ModifiedOld)),
                return_new: matches!(returning, Some(Returning::AllNew | Returning::ModifiedNew)),
                ..options(Some(&condition))
            };
            let written = tables.writes().update(table, &key, Some(&update), options).await?;
            let item = match returning {
                None => None,
                Some(Returning::AllOld) => written.old,
                Some(Returning::ModifiedOld) => written.old.map(|old| update.updated_old(&old)),
                Some(Returning::AllNew) => written.new,
                Some(Returning::ModifiedNew) => written.new.map(|new| update.updated_new(&new)),
            };
            Ok((item, written.capacity))
        }
        Action::Delete {
            key,
            condition,
            returns_old,
        } => {
            let options = WriteOptions {
                return_old: returns_old,
                ..options(condition.as_ref())
            };
            let written = tables.writes().delete(table, &key, options).await?;
            Ok((written.old, written.capacity))
        }
        Action::Check { .. } => Err(ApiError::exists_outside_transaction().into()),
    }
}

/// A write that was not carried out.
pub(super) struct WriteFailed {
    /// Why.
    pub(super) error: ApiError,
    /// The write units that it consumed all the same.
    pub(super) units: f64,
}

impl From<ApiError> for WriteFailed {
    fn from(error: ApiError) -> Self {
        Self { error, units: 0.0 }
    }
}

impl From<TableError> for WriteFailed {
    fn from(error: TableError) -> Self {
        let units = match &error {
            TableError::ConditionFailed(failed) => failed.units,
            _ => 0.0,
        };
        let error = error.into();
        Self { error, units }
    }
}

impl From<partiql::StatementError> for ApiError {
    fn from(error: partiql::StatementError) -> Self {
        Self::validation(error.to_string())
    }
}
