use geodynamo_expression::{Parameter, Update};
use geodynamo_storage::Engine;
use geodynamo_table::{WriteOptions, given_name};

use super::{
    Answer,
    consumed::{collection_key, collection_metrics, consumed},
    legacy,
    parameters::{condition, context, says, together, unless_empty},
};
use crate::{
    Api,
    errors::ApiError,
    generated::{UpdateItemInput, UpdateItemOutput},
    wire::{Request, encode},
};

impl Request for UpdateItemInput {
    fn check_together(&self) -> Result<(), ApiError> {
        together(
            &[
                ("AttributeUpdates", self.attribute_updates.is_some()),
                ("Expected", self.expected.is_some()),
                ("ConditionalOperator", self.conditional_operator.is_some()),
            ],
            &[
                ("UpdateExpression", self.update_expression.is_some()),
                ("ConditionExpression", self.condition_expression.is_some()),
            ],
            self.expression_attribute_names.is_some(),
            Some((
                self.expression_attribute_values.is_some(),
                "UpdateExpression and ConditionExpression are null",
            )),
        )
    }

    fn check_before_values(&self) -> Result<(), ApiError> {
        context(
            &self.expression_attribute_names,
            self.expression_attribute_values.as_ref(),
        )
        .map(drop)
    }
}

/// Changes an item, or makes one.
pub(super) async fn update_item<E: Engine>(api: &Api<E>, input: UpdateItemInput) -> Answer {
    let mut context = context(
        &input.expression_attribute_names,
        input.expression_attribute_values.as_ref(),
    )?;
    let update = match &input.update_expression {
        Some(text) => Some(Update::parse(text, &mut context)?),
        None => legacy::attribute_updates(input.attribute_updates)?,
    };
    let condition = match condition(Parameter::Condition, &input.condition_expression, &mut context)? {
        None => legacy::expected(input.expected, &input.conditional_operator)?,
        given => given,
    };
    context.finish()?;

    let table = api.tables.table(&api.table_name(&input.table_name)?)?;
    let key = input.key.unwrap_or_default();
    let returns = input.return_values.as_deref().unwrap_or("NONE");
    let options = WriteOptions {
        condition: condition.as_ref(),
        return_old: matches!(returns, "ALL_OLD" | "UPDATED_OLD"),
        return_new: matches!(returns, "ALL_NEW" | "UPDATED_NEW"),
        old_on_failure: says(&input.return_values_on_condition_check_failure, "ALL_OLD"),
        counts_actions: true,
        ..WriteOptions::default()
    };
    let refused = if input.update_expression.is_some() {
        ApiError::from
    } else {
        legacy::update_refused
    };
    let updated = api.tables.writes().update(&table, &key, update.as_ref(), options).await;
    let written = updated.map_err(refused)?;
    let attributes = match (returns, update) {
        ("ALL_OLD", _) => written.old,
        ("ALL_NEW", _) => written.new,
        ("UPDATED_OLD", Some(update)) => written.old.map(|old| update.updated_old(&old)),
        ("UPDATED_NEW", Some(update)) => written.new.map(|new| update.updated_new(&new)),
        _ => None,
    };
    let collection = collection_key(&table, &input.return_item_collection_metrics, &key);
    Ok(encode(&UpdateItemOutput {
        attributes: unless_empty(attributes),
        consumed_capacity: consumed(
            given_name(table.name()),
            &input.return_consumed_capacity,
            &written.capacity,
        ),
        item_collection_metrics: collection_metrics(api, &table, collection).await?,
    }))
}
