use geodynamo_json::Writer;
use geodynamo_storage::Engine;
use geodynamo_table::{Capacity, capacity::read_units, given_name};

use super::{
    Answer,
    consumed::consumed,
    parameters::{context, projection, together},
    reading::write_shown,
};
use crate::{
    Api,
    errors::ApiError,
    generated::GetItemInput,
    wire::{Request, write_member},
};

/// Bytes of a reply beside the item's stored ones: JSON takes more than the stored form.
const REPLY_BYTES: usize = 512;

impl Request for GetItemInput {
    fn check_together(&self) -> Result<(), ApiError> {
        together(
            &[("AttributesToGet", self.attributes_to_get.is_some())],
            &[("ProjectionExpression", self.projection_expression.is_some())],
            self.expression_attribute_names.is_some(),
            None,
        )
    }
}

/// Gives the item with a key. Without a projection its stored form goes to the reply without an item being built.
pub(super) async fn get_item<E: Engine>(api: &Api<E>, input: GetItemInput) -> Answer {
    let mut context = context(&input.expression_attribute_names, None)?;
    let projection = projection(&input.projection_expression, &input.attributes_to_get, &mut context)?;
    context.finish()?;

    let table = api.tables.table(&api.table_name(&input.table_name)?)?;
    let found = api
        .tables
        .reads()
        .get_item(
            &table,
            &input.key.unwrap_or_default(),
            input.consistent_read.unwrap_or(false),
        )
        .await?;
    let mut writer = Writer::with_capacity(REPLY_BYTES);
    writer.begin_object();
    if let Some(item) = &found {
        writer.plain_key("Item");
        write_shown(item, projection.as_ref(), &mut writer)?;
    }
    if input.return_consumed_capacity.is_some() {
        let bytes = found.as_ref().map(|item| item.size()).transpose()?.unwrap_or(0);
        let units = read_units(bytes, input.consistent_read.unwrap_or(false));
        let capacity = Capacity {
            table: units,
            ..Capacity::default()
        };
        let consumed = consumed(given_name(table.name()), &input.return_consumed_capacity, &capacity);
        write_member("ConsumedCapacity", &consumed, &mut writer);
    }
    writer.end_object();
    Ok(writer.into_bytes())
}
