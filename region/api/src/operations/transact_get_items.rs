use std::sync::Arc;

use geodynamo_expression::Projection;
use geodynamo_json::Writer;
use geodynamo_storage::Engine;
use geodynamo_table::{Capacity, Table, capacity::read_units};

use super::{
    Answer,
    consumed::{Units, transacted},
    parameters::{context, projection, together},
    reading::write_shown,
};
use crate::{
    Api,
    errors::ApiError,
    generated::{Get, TransactGetItemsInput},
    wire::{Request, write_member},
};

/// How often an item is read: once to prepare the transaction, once to commit it.
const TWICE: f64 = 2.0;

impl Request for TransactGetItemsInput {
    fn check_together(&self) -> Result<(), ApiError> {
        let items = self.transact_items.iter().flatten();
        items.filter_map(|item| item.get.as_ref()).try_for_each(|get| {
            let projection = ("ProjectionExpression", get.projection_expression.is_some());
            together(&[], &[projection], get.expression_attribute_names.is_some(), None)
        })
    }
}

/// Gives several items as of one moment.
pub(super) async fn transact_get_items<E: Engine>(api: &Api<E>, input: TransactGetItemsInput) -> Answer {
    let items = input.transact_items.unwrap_or_default().into_iter();
    // Required by the model, so it is there.
    let gets: Vec<Get> = items.map(|item| item.get.unwrap_or_default()).collect();
    let projections = gets.iter().map(projected).collect::<Result<Vec<_>, _>>()?;
    let mut wanted = Vec::with_capacity(gets.len());
    for get in gets {
        let table = api.tables.table(&api.table_name(&get.table_name)?)?;
        wanted.push((table, get.key.unwrap_or_default()));
    }
    let found = api.tables.writes().transact_get(&wanted).await?;

    let mut capacities: Vec<(Arc<Table>, Capacity)> = Vec::new();
    let mut writer = Writer::with_capacity(1024);
    writer.begin_object();
    writer.plain_key("Responses");
    writer.begin_array();
    for (((table, _), projection), item) in wanted.into_iter().zip(projections).zip(found) {
        writer.begin_object();
        let mut size = 0;
        if let Some(item) = item {
            size = item.size()?;
            writer.plain_key("Item");
            write_shown(&item, projection.as_ref(), &mut writer)?;
        }
        writer.end_object();
        let consumed = Capacity {
            table: TWICE * read_units(size, true),
            ..Capacity::default()
        };
        match capacities.iter_mut().find(|(other, _)| other.id() == table.id()) {
            Some((_, sum)) => sum.add(&consumed),
            None => capacities.push((table, consumed)),
        }
    }
    writer.end_array();
    let consumed = transacted(&capacities, &input.return_consumed_capacity, Units::Read);
    write_member("ConsumedCapacity", &consumed, &mut writer);
    writer.end_object();
    Ok(writer.into_bytes())
}

fn projected(get: &Get) -> Result<Option<Projection>, ApiError> {
    let mut context = context(&get.expression_attribute_names, None)?;
    let projection = projection(&get.projection_expression, &None, &mut context)?;
    context.finish()?;
    Ok(projection)
}
