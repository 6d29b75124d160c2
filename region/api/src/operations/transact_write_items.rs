use std::{collections::BTreeMap, sync::Arc};

use compact_str::CompactString;
use geodynamo_expression::{Condition, Parameter, Update};
use geodynamo_item::{AttributeValue, Item, size};
use geodynamo_json::Writer;
use geodynamo_storage::Engine;
use geodynamo_table::{ClientToken, ITEM_BYTES_MAX, Table, TransactAction, TransactWrite, given_name};

use super::{
    Answer,
    consumed::{Units, collection_key, collection_metrics, transacted},
    parameters::{Names, condition, context, says, together},
};
use crate::{
    Api,
    errors::ApiError,
    generated::{ItemCollectionMetrics, TransactWriteItem, TransactWriteItemsInput, TransactWriteItemsOutput},
    wire::{Request, encode, write_member},
};

impl Request for TransactWriteItemsInput {
    fn check_together(&self) -> Result<(), ApiError> {
        let items = self.transact_items.iter().flatten();
        items.map(Parts::of).try_for_each(|parts| parts?.check_together())
    }

    fn check_before_values(&self) -> Result<(), ApiError> {
        for item in self.transact_items.iter().flatten() {
            let parts = Parts::of(item)?;
            context(parts.names, parts.values.as_ref())?;
        }
        Ok(())
    }
}

/// Writes several items, all or nothing.
pub(super) async fn transact_write_items<E: Engine>(api: &Api<E>, input: TransactWriteItemsInput) -> Answer {
    let token = input
        .client_request_token
        .as_deref()
        .map(|text| ClientToken::new(&api.token(text), &parameters(&input.transact_items)));
    let actions = plan(api, input.transact_items.unwrap_or_default())?;
    let collections = collections(&actions, &input.return_item_collection_metrics);
    let done = api.tables.writes().transact_write(actions, token.as_ref()).await?;
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

/// What all kinds of actions have, borrowed from one.
struct Parts<'a> {
    table: &'a Option<CompactString>,
    names: &'a Names,
    values: &'a Option<Item>,
    update: Option<&'a CompactString>,
    condition: &'a Option<CompactString>,
    returns: &'a Option<CompactString>,
}

impl<'a> Parts<'a> {
    fn of(item: &'a TransactWriteItem) -> Result<Self, ApiError> {
        macro_rules! parts {
            ($action:expr, $update:expr) => {
                Ok(Self {
                    table: &$action.table_name,
                    names: &$action.expression_attribute_names,
                    values: &$action.expression_attribute_values,
                    update: $update,
                    condition: &$action.condition_expression,
                    returns: &$action.return_values_on_condition_check_failure,
                })
            };
        }
        match (&item.condition_check, &item.put, &item.delete, &item.update) {
            (Some(check), None, None, None) => parts!(check, None),
            (None, Some(put), None, None) => parts!(put, None),
            (None, None, Some(delete), None) => parts!(delete, None),
            (None, None, None, Some(update)) => parts!(update, update.update_expression.as_ref()),
            _ => Err(ApiError::transact_item_of_no_kind()),
        }
    }

    fn check_together(&self) -> Result<(), ApiError> {
        let expressions = [
            ("UpdateExpression", self.update.is_some()),
            ("ConditionExpression", self.condition.is_some()),
        ];
        // An update always has its expression.
        let values = (self.values.is_some(), "ConditionExpression is null");
        together(
            &[],
            &expressions,
            self.names.is_some(),
            Some(values).filter(|_| self.update.is_none()),
        )
    }

    /// The update and the condition.
    fn parse(&self) -> Result<(Option<Update>, Option<Condition>), ApiError> {
        let mut context = context(self.names, self.values.as_ref())?;
        let update = self.update.map(|text| Update::parse(text, &mut context)).transpose()?;
        let condition = condition(Parameter::Condition, self.condition, &mut context)?;
        context.finish()?;
        Ok((update, condition))
    }
}

/// Every expression is judged before the first table is looked for, and every table is found before anything is done.
fn plan<E: Engine>(api: &Api<E>, items: Vec<TransactWriteItem>) -> Result<Vec<TransactWrite>, ApiError> {
    let mut parsed = Vec::with_capacity(items.len());
    for item in &items {
        let parts = Parts::of(item)?;
        let put = item.put.as_ref().and_then(|put| put.item.as_ref());
        if put.is_some_and(|item| size::item(item) > ITEM_BYTES_MAX) {
            return Err(ApiError::item_too_large());
        }
        let values = parts.values.iter().flat_map(Item::iter);
        let values_bytes = values.map(|(_, value)| size::value(value)).sum();
        parsed.push((parts.parse()?, values_bytes, says(parts.returns, "ALL_OLD")));
    }
    let mut planned = Vec::with_capacity(items.len());
    for (item, ((update, condition), values_bytes, old_on_failure)) in items.into_iter().zip(parsed) {
        planned.push(TransactWrite {
            table: api.tables.table(&api.table_name(Parts::of(&item)?.table)?)?,
            action: action(item, update),
            condition,
            values_bytes,
            old_on_failure,
        });
    }
    Ok(planned)
}

/// Keys and items are required by the model, so they are there.
fn action(item: TransactWriteItem, parsed: Option<Update>) -> TransactAction {
    if let Some(put) = item.put {
        TransactAction::Put(put.item.unwrap_or_default())
    } else if let Some(delete) = item.delete {
        TransactAction::Delete(delete.key.unwrap_or_default())
    } else if let Some(update) = item.update {
        TransactAction::Update(update.key.unwrap_or_default(), parsed)
    } else {
        TransactAction::Check(item.condition_check.unwrap_or_default().key.unwrap_or_default())
    }
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
        metrics
            .entry(given_name(table.name()).into())
            .or_default()
            .extend(of_collection);
    }
    Ok(metrics)
}
