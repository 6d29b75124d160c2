use std::sync::Arc;

use geodynamo_expression::Projection;
use geodynamo_json::Writer;
use geodynamo_storage::Engine;
use geodynamo_table::{Capacity, Table, capacity::read_units};

use super::{
    Answer,
    consumed::{Units, transacted},
    names::table_name,
    parameters::{context, projection},
    reading::write_shown,
};
use crate::{
    Api,
    errors::ApiError,
    generated::{Get, TransactGetItemsInput},
    wire::write_member,
};

/// How often an item is read: once to prepare the transaction, once to commit it.
const TWICE: f64 = 2.0;

/// Gives several items as of one moment.
pub(super) async fn transact_get_items<E: Engine>(api: &Api<E>, input: TransactGetItemsInput) -> Answer {
    let mut wanted = Vec::new();
    let mut projections = Vec::new();
    for item in input.transact_items.unwrap_or_default() {
        // Required by the model, so it is there.
        let get = item.get.unwrap_or_default();
        projections.push(projected(&get)?);
        wanted.push((
            api.tables.table(table_name(&get.table_name)?)?,
            get.key.unwrap_or_default(),
        ));
    }
    let found = api.tables.transact_get(&wanted).await?;

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
    context.check_given(get.projection_expression.is_some(), false, "")?;
    let projection = projection(&get.projection_expression, &None, &mut context)?;
    context.finish()?;
    Ok(projection)
}
