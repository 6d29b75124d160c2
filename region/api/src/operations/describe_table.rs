use geodynamo_storage::Engine;

use super::describe::table_description;
use crate::{
    Api,
    errors::ApiError,
    generated::{DescribeTableInput, DescribeTableOutput},
};

/// Shows a table.
pub(super) fn describe_table<E: Engine>(
    api: &Api<E>,
    input: &DescribeTableInput,
) -> Result<DescribeTableOutput, ApiError> {
    let description = api.tables.describe(&api.table_name(&input.table_name)?)?;
    Ok(DescribeTableOutput {
        table: Some(table_description(api, description)),
    })
}
