use std::{collections::BTreeMap, sync::Arc};

use compact_str::CompactString;
use geodynamo_expression::{Condition, Context, Parameter, Update};
use geodynamo_item::{AttributeValue, Item};
use geodynamo_json::Writer;
use geodynamo_storage::Engine;
use geodynamo_table::{ClientToken, Table, TransactAction, TransactWrite};

use super::{
    Answer,
    consumed::{Units, collection_key, collection_metrics, transacted},
    names::table_name,
    parameters::{Names, condition, context, says},
};
use crate::{
    Api,
    errors::ApiError,
    generated::{ConditionCheck, Delete, Put, TransactWriteItem, TransactWriteItemsInput, TransactWriteItemsOutput},
    generated::{ItemCollectionMetrics, Update as UpdateMember},
    wire::{encode, write_member},
};

/// Writes several items, all or nothing.
pub(super) async fn transact_write_items<E: Engine>(api: &Api<E>, input: TransactWriteItemsInput) -> Answer {
    let token = input
        .client_request_token
        .as_deref()
        .map(|text| ClientToken::new(text, &parameters(&input.transact_items)));
    let actions = input.transact_items.unwrap_or_default().into_iter();
    let actions = actions.map(|item| action(api, item)).collect::<Result<Vec<_>, _>>()?;
    let collections = collections(&actions, &input.return_item_collection_metrics);
    let done = api.tables.transact_write(actions, token.as_ref()).await?;
    let units = if done.repeated { Units::Read } else { Units::Write };
    let metrics = if done.repeated {
        BTreeMap::new()
    } else {
        metrics(api, collections).await?
    };
    Ok(encode(&TransactWriteItemsOutput {
        consumed_capacity: transacted(&done.capacity, &input.return_consumed_capacity, units),
        item_collection_metrics: Some(metrics).filter(|metrics| !metrics.is_empty()),
    }))
}

/// What a repetition under the same token must have the same: the actions, but not what the reply is to tell besides.
fn parameters(items: &Option<Vec<TransactWriteItem>>) -> Vec<u8> {
    let mut writer = Writer::with_capacity(1024);
    writer.begin_object();
    write_member("TransactItems", items, &mut writer);
    writer.end_object();
    writer.into_bytes()
}

fn action<E: Engine>(api: &Api<E>, item: TransactWriteItem) -> Result<TransactWrite, ApiError> {
    match (item.condition_check, item.put, item.delete, item.update) {
        (Some(check), None, None, None) => check_action(api, check),
        (None, Some(put), None, None) => put_action(api, put),
        (None, None, Some(delete), None) => delete_action(api, delete),
        (None, None, None, Some(update)) => update_action(api, update),
        _ => Err(ApiError::transact_item_of_no_kind()),
    }
}

fn check_action<E: Engine>(api: &Api<E>, check: ConditionCheck) -> Result<TransactWrite, ApiError> {
    let (names, values) = (&check.expression_attribute_names, &check.expression_attribute_values);
    let condition = only_condition(names, values, &check.condition_expression)?;
    Ok(TransactWrite {
        table: table(api, &check.table_name)?,
        action: TransactAction::Check(check.key.unwrap_or_default()),
        condition,
        old_on_failure: says(&check.return_values_on_condition_check_failure, "ALL_OLD"),
    })
}

fn put_action<E: Engine>(api: &Api<E>, put: Put) -> Result<TransactWrite, ApiError> {
    let (names, values) = (&put.expression_attribute_names, &put.expression_attribute_values);
    let condition = only_condition(names, values, &put.condition_expression)?;
    Ok(TransactWrite {
        table: table(api, &put.table_name)?,
        action: TransactAction::Put(put.item.unwrap_or_default()),
        condition,
        old_on_failure: says(&put.return_values_on_condition_check_failure, "ALL_OLD"),
    })
}

fn delete_action<E: Engine>(api: &Api<E>, delete: Delete) -> Result<TransactWrite, ApiError> {
    let (names, values) = (&delete.expression_attribute_names, &delete.expression_attribute_values);
    let condition = only_condition(names, values, &delete.condition_expression)?;
    Ok(TransactWrite {
        table: table(api, &delete.table_name)?,
        action: TransactAction::Delete(delete.key.unwrap_or_default()),
        condition,
        old_on_failure: says(&delete.return_values_on_condition_check_failure, "ALL_OLD"),
    })
}

fn update_action<E: Engine>(api: &Api<E>, update: UpdateMember) -> Result<TransactWrite, ApiError> {
    let mut context = context(
        &update.expression_attribute_names,
        update.expression_attribute_values.as_ref(),
    )?;
    // Required by the model, so it is there.
    let text = update.update_expression.as_deref().unwrap_or_default();
    let parsed = Update::parse(text, &mut context)?;
    let condition = condition(Parameter::Condition, &update.condition_expression, &mut context)?;
    context.finish()?;
    Ok(TransactWrite {
        table: table(api, &update.table_name)?,
        action: TransactAction::Update(update.key.unwrap_or_default(), Some(parsed)),
        condition,
        old_on_failure: says(&update.return_values_on_condition_check_failure, "ALL_OLD"),
    })
}

/// The condition of an action that has no other expression.
fn only_condition(
    names: &Names,
    values: &Option<Item>,
    expression: &Option<CompactString>,
) -> Result<Option<Condition>, ApiError> {
    let mut context: Context<'_> = context(names, values.as_ref())?;
    let given = expression.is_some();
    context.check_given(given, given, "ConditionExpression is null")?;
    let condition = condition(Parameter::Condition, expression, &mut context)?;
    context.finish()?;
    Ok(condition)
}

fn table<E: Engine>(api: &Api<E>, name: &Option<CompactString>) -> Result<Arc<Table>, ApiError> {
    Ok(api.tables.table(table_name(name)?)?)
}

/// The item collections that metrics are asked for, each once, by table.
fn collections(actions: &[TransactWrite], asked: &Option<CompactString>) -> Vec<(Arc<Table>, AttributeValue)> {
    let mut collections: Vec<(Arc<Table>, AttributeValue)> = Vec::new();
    for TransactWrite { table, action, .. } in actions {
        let item = match action {
            TransactAction::Put(item) => item,
            TransactAction::Delete(key) | TransactAction::Update(key, _) => key,
            TransactAction::Check(_) => continue,
        };
        let Some(partition) = collection_key(table, asked, item) else {
            continue;
        };
        let known = |(other, key): &(Arc<Table>, AttributeValue)| other.id() == table.id() && *key == partition;
        if !collections.iter().any(known) {
            collections.push((Arc::clone(table), partition));
        }
    }
    collections
}

async fn metrics<E: Engine>(
    api: &Api<E>,
    collections: Vec<(Arc<Table>, AttributeValue)>,
) -> Result<BTreeMap<CompactString, Vec<ItemCollectionMetrics>>, ApiError> {
    let mut metrics: BTreeMap<CompactString, Vec<_>> = BTreeMap::new();
    for (table, partition) in collections {
        let of_collection = collection_metrics(api, &table, Some(partition)).await?;
        metrics.entry(table.name().into()).or_default().extend(of_collection);
    }
    Ok(metrics)
}
