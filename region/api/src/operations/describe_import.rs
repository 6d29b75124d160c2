use geodynamo_storage::Engine;

use super::transfers::import_description;
use crate::{
    Api,
    errors::ApiError,
    generated::{DescribeImportInput, DescribeImportOutput},
};

/// Shows an import.
pub(super) fn describe_import<E: Engine>(
    api: &Api<E>,
    input: &DescribeImportInput,
) -> Result<DescribeImportOutput, ApiError> {
    let arn = input.import_arn.as_deref();
    let found = api
        .transfer
        .as_ref()
        .and_then(|transfer| transfer.import(arn.unwrap_or_default()));
    Ok(DescribeImportOutput {
        import_table_description: Some(import_description(
            &found.ok_or_else(|| ApiError::import_not_found(arn))?,
        )?),
    })
}
