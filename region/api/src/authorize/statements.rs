//! PartiQL: each statement asks for its own action.
//! <https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/ql-iam.html>

use geodynamo_expression::{
    Condition,
    partiql::{self, Returning, Select, Statement},
};
use geodynamo_item::{AttributeValue, Item};
use geodynamo_storage::Engine;
use geodynamo_table::schema::KeyAttribute;

use super::{
    Authorize, Facts, Gate, Target,
    facts::{Attributes, Leading, add_leading, leading_of, owned},
    reads::{keys_read, schema},
};
use crate::{
    errors::ApiError,
    generated::{BatchExecuteStatementInput, ExecuteStatementInput, ExecuteTransactionInput},
    operations::key_names,
};

impl Authorize for ExecuteStatementInput {
    fn authorize<E: Engine>(&self, gate: &Gate<'_, E>) -> Result<(), ApiError> {
        let text = self.statement.as_deref().unwrap_or_default();
        let on_failure = self.return_values_on_condition_check_failure.as_deref();
        gate.statement(text, self.parameters.as_deref(), None, on_failure)
    }
}

impl Authorize for ExecuteTransactionInput {
    fn authorize<E: Engine>(&self, gate: &Gate<'_, E>) -> Result<(), ApiError> {
        self.transact_statements.iter().flatten().try_for_each(|statement| {
            let text = statement.statement.as_deref().unwrap_or_default();
            let on_failure = statement.return_values_on_condition_check_failure.as_deref();
            gate.statement(
                text,
                statement.parameters.as_deref(),
                Some("ExecuteTransaction"),
                on_failure,
            )
        })
    }
}

/// Each of its statements succeeds or fails for itself, so the operation asks for each.
impl Authorize for BatchExecuteStatementInput {
    fn authorize<E: Engine>(&self, _: &Gate<'_, E>) -> Result<(), ApiError> {
        Ok(())
    }
}

impl<E: Engine> Gate<'_, E> {
    /// Asks whether the caller may carry a statement out.
    ///
    /// # Errors
    /// As [`ask`](Self::ask); what is wrong with the statement itself.
    pub(crate) fn statement(
        &self,
        text: &str,
        parameters: Option<&[AttributeValue]>,
        enclosing: Option<&'static str>,
        on_failure: Option<&str>,
    ) -> Result<(), ApiError> {
        if self.is_open() {
            return Ok(());
        }
        let statement = Statement::parse(text, parameters.unwrap_or_default())?;
        let target = self.table(statement.table())?;
        let returned = |returning: &'static str| match on_failure {
            Some("ALL_OLD") => "ALL_OLD",
            _ => returning,
        };
        match &statement {
            Statement::Select(select) | Statement::Exists(select) => self.select(target, select, enclosing),
            Statement::Insert(insert) => {
                let leading = || Ok(leading_of(target.table.as_deref(), [&insert.item].into_iter()));
                let attributes = || {
                    let mut attributes = Attributes::default();
                    attributes.add_item(&insert.item);
                    Ok(attributes)
                };
                let facts = Facts {
                    leading: Some(&leading),
                    attributes: Some(&attributes),
                    return_values: Some(returned("NONE")),
                    enclosing_operation: enclosing,
                    ..Facts::default()
                };
                self.ask("dynamodb:PartiQLInsert", &target, &facts)
            }
            Statement::Update(update) => {
                let leading = || Ok(leading_of_condition(&target, update.condition.as_ref()));
                let attributes = || {
                    let mut attributes = Attributes::default();
                    attributes.add_update(&update.update);
                    update
                        .condition
                        .iter()
                        .for_each(|condition| attributes.add_condition(condition));
                    Ok(attributes)
                };
                let returning = match update.returning {
                    None => "NONE",
                    Some(Returning::AllOld) => "ALL_OLD",
                    Some(Returning::ModifiedOld) => "UPDATED_OLD",
                    Some(Returning::AllNew) => "ALL_NEW",
                    Some(Returning::ModifiedNew) => "UPDATED_NEW",
                };
                let facts = Facts {
                    leading: Some(&leading),
                    attributes: Some(&attributes),
                    return_values: Some(returned(returning)),
                    enclosing_operation: enclosing,
                    ..Facts::default()
                };
                self.ask("dynamodb:PartiQLUpdate", &target, &facts)
            }
            Statement::Delete(delete) => {
                let leading = || Ok(leading_of_condition(&target, delete.condition.as_ref()));
                let attributes = || {
                    let mut attributes = Attributes::default();
                    delete
                        .condition
                        .iter()
                        .for_each(|condition| attributes.add_condition(condition));
                    Ok(attributes)
                };
                let facts = Facts {
                    leading: Some(&leading),
                    attributes: Some(&attributes),
                    return_values: Some(returned(if delete.returns_old { "ALL_OLD" } else { "NONE" })),
                    enclosing_operation: enclosing,
                    ..Facts::default()
                };
                self.ask("dynamodb:PartiQLDelete", &target, &facts)
            }
        }
    }

    fn select(&self, target: Target, select: &Select, enclosing: Option<&'static str>) -> Result<(), ApiError> {
        let index = select.index.as_ref().map(|index| index.as_str());
        let target = target.index(index);
        // In batches and transactions a SELECT is of one item, by its whole key.
        let read = match enclosing {
            None => leading_of_select(&target, select, index),
            Some(_) => Some(leading_of_condition(&target, select.condition.as_ref())),
        };
        let leading = || Ok(read.clone().unwrap_or_default());
        let attributes = || {
            let mut attributes = keys_read(&target, index);
            let columns = select.columns.iter().flatten();
            attributes.add_all(columns.map(|column| &column.path.root));
            select
                .condition
                .iter()
                .for_each(|condition| attributes.add_condition(condition));
            attributes.add_all(select.order.iter().map(|order| &order.attribute));
            Ok(attributes)
        };
        let shown = match (&select.columns, index) {
            (Some(_), _) => "SPECIFIC_ATTRIBUTES",
            (None, Some(_)) => "ALL_PROJECTED_ATTRIBUTES",
            (None, None) => "ALL_ATTRIBUTES",
        };
        let facts = Facts {
            leading: Some(&leading),
            attributes: Some(&attributes),
            select: Some(shown),
            enclosing_operation: enclosing,
            full_table_scan: Some(read.is_none()),
            ..Facts::default()
        };
        self.ask("dynamodb:PartiQLSelect", &target, &facts)
    }
}

/// The partition keys that a SELECT goes by; `None` if it reads everything.
fn leading_of_select(target: &Target, select: &Select, index: Option<&str>) -> Option<Leading<'static>> {
    let schema = schema(target, index)?;
    let mut leading = Leading::default();
    if schema.has_several() {
        let partition: Vec<_> = schema.partition_attributes().map(KeyAttribute::name).collect();
        let sort: Vec<_> = schema.sort_attributes().map(KeyAttribute::name).collect();
        let (keys, _) = partiql::query_of_several(select.condition.as_ref()?, &partition, &sort)?;
        for (place, value) in keys.partition.iter().enumerate() {
            add_leading(&mut leading, place, Some(value));
        }
        return Some(owned(leading));
    }
    let plan = partiql::plan(select.condition.as_ref(), &select.order, key_names(schema)).ok()?;
    let ranges = plan.ranges?;
    for value in &ranges.partitions {
        add_leading(&mut leading, 0, Some(value));
    }
    Some(owned(leading))
}

/// The partition key of the one item that a write is of. A write of no single item leaves nothing: the operation refuses it.
fn leading_of_condition(target: &Target, condition: Option<&Condition>) -> Leading<'static> {
    let key = |schema| partiql::single_key(condition, key_names(schema));
    let found: Option<(Item, _)> = schema(target, None).and_then(key);
    found.map_or_else(Leading::default, |(key, _)| {
        owned(leading_of(target.table.as_deref(), [&key].into_iter()))
    })
}
