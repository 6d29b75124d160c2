use geodynamo_storage::Engine;

use super::describe::table_description;
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
    let description = api.tables.delete_table(api.table_name(&input.table_name)?).await?;
    Ok(DeleteTableOutput {
        table_description: Some(table_description(api, description)),
    })
}
