use geodynamo_expression::Parameter;
use geodynamo_item::size;
use geodynamo_storage::Engine;
use geodynamo_table::{ITEM_BYTES_MAX, WriteOptions, given_name};

use super::{
    Answer,
    consumed::{collection_key, collection_metrics, consumed},
    legacy,
    parameters::{condition, condition_together, context, returns_old, says, unless_empty},
};
use crate::{
    Api,
    errors::ApiError,
    generated::{PutItemInput, PutItemOutput},
    wire::{Request, encode},
};

impl Request for PutItemInput {
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
        check_size(self)?;
        context(
            &self.expression_attribute_names,
            self.expression_attribute_values.as_ref(),
        )
        .map(drop)
    }
}

/// Puts an item in place of whatever has its key.
pub(super) async fn put_item<E: Engine>(api: &Api<E>, input: PutItemInput) -> Answer {
    let return_old = returns_old(&input.return_values)?;
    check_size(&input)?;
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
    let item = input.item.unwrap_or_default();
    let collection = collection_key(&table, &input.return_item_collection_metrics, &item);
    let options = WriteOptions {
        condition: condition.as_ref(),
        return_old,
        old_on_failure: says(&input.return_values_on_condition_check_failure, "ALL_OLD"),
        ..WriteOptions::default()
    };
    let written = api.tables.writes().put(&table, item, options).await?;
    Ok(encode(&PutItemOutput {
        attributes: unless_empty(written.old),
        consumed_capacity: consumed(
            given_name(table.name()),
            &input.return_consumed_capacity,
            &written.capacity,
        ),
        item_collection_metrics: collection_metrics(api, &table, collection).await?,
    }))
}

/// Refuses an item that is too large, before there is a table to ask.
fn check_size(input: &PutItemInput) -> Result<(), ApiError> {
    match &input.item {
        Some(item) if size::item(item) > ITEM_BYTES_MAX => Err(ApiError::item_too_large()),
        _ => Ok(()),
    }
}
