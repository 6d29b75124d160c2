use geodynamo_storage::Engine;

use super::transfers::export_description;
use crate::{
    Api,
    errors::ApiError,
    generated::{DescribeExportInput, DescribeExportOutput},
};

/// Shows an export.
pub(super) fn describe_export<E: Engine>(
    api: &Api<E>,
    input: &DescribeExportInput,
) -> Result<DescribeExportOutput, ApiError> {
    let arn = input.export_arn.as_deref();
    let found = api
        .transfer
        .as_ref()
        .and_then(|transfer| transfer.export(arn.unwrap_or_default()));
    Ok(DescribeExportOutput {
        export_description: Some(export_description(
            &found.ok_or_else(|| ApiError::export_not_found(arn))?,
        )?),
    })
}
