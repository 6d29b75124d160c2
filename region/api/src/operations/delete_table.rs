use geodynamo_storage::Engine;

use super::describe::deleted_table;
use crate::{
    Api,
    errors::ApiError,
    generated::{DeleteTableInput, DeleteTableOutput},
};

/// Removes this region's replica of a table.
pub(super) async fn delete_table<E: Engine>(
    api: &Api<E>,
    input: &DeleteTableInput,
) -> Result<DeleteTableOutput, ApiError> {
    let name = &*api.table_name(&input.table_name)?;
    let table = api.tables.table_named(name).map(|table| table.id());
    let description = api.tables.catalog().delete_table(name).await?;
    if let Ok(table) = table {
        api.await_settled(table).await;
        api.forget_unbuilt(table);
    }
    Ok(DeleteTableOutput {
        table_description: Some(deleted_table(api, &description)),
    })
}
