use geodynamo_expression::Parameter;
use geodynamo_storage::Engine;
use geodynamo_table::{WriteOptions, given_name};

use super::{
    Answer,
    consumed::{collection_key, collection_metrics, consumed},
    legacy,
    parameters::{condition, condition_together, context, returns_old, says, unless_empty},
};
use crate::{
    Api,
    errors::ApiError,
    generated::{DeleteItemInput, DeleteItemOutput},
    wire::{Request, encode},
};

impl Request for DeleteItemInput {
    fn check_together(&self) -> Result<(), ApiError> {
        condition_together(
            self.expected.is_some(),
            self.conditional_operator.is_some(),
            self.condition_expression.is_some(),
            self.expression_attribute_names.is_some(),
            self.expression_attribute_values.is_some(),
        )
    }

    fn check_before_values(&self) -> Result<(), ApiError> {
        returns_old(&self.return_values)?;
        context(
            &self.expression_attribute_names,
            self.expression_attribute_values.as_ref(),
        )
        .map(drop)
    }
}

/// Deletes the item with a key.
pub(super) async fn delete_item<E: Engine>(api: &Api<E>, input: DeleteItemInput) -> Answer {
    let return_old = returns_old(&input.return_values)?;
    let mut context = context(
        &input.expression_attribute_names,
        input.expression_attribute_values.as_ref(),
    )?;
    let condition = match condition(Parameter::Condition, &input.condition_expression, &mut context)? {
        None => legacy::expected(input.expected, &input.conditional_operator)?,
        given => given,
    };
    context.finish()?;

    let table = api.tables.table(&api.table_name(&input.table_name)?)?;
    let key = input.key.unwrap_or_default();
    let options = WriteOptions {
        condition: condition.as_ref(),
        return_old,
        old_on_failure: says(&input.return_values_on_condition_check_failure, "ALL_OLD"),
        ..WriteOptions::default()
    };
    let written = api.tables.writes().delete(&table, &key, options).await?;
    let collection = collection_key(&table, &input.return_item_collection_metrics, &key);
    Ok(encode(&DeleteItemOutput {
        attributes: unless_empty(written.old),
        consumed_capacity: consumed(
            given_name(table.name()),
            &input.return_consumed_capacity,
            &written.capacity,
        ),
        item_collection_metrics: collection_metrics(api, &table, collection).await?,
    }))
}
