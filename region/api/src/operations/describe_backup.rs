use geodynamo_storage::Engine;

use super::backups::description;
use crate::{
    Api,
    errors::ApiError,
    generated::{DescribeBackupInput, DescribeBackupOutput},
};

/// Shows a backup, and the table that it was made of.
pub(super) async fn describe_backup<E: Engine>(
    api: &Api<E>,
    input: &DescribeBackupInput,
) -> Result<DescribeBackupOutput, ApiError> {
    let arn = input.backup_arn.as_deref().unwrap_or_default();
    let Some(recovery) = &api.recovery else {
        return Err(ApiError::backup_not_found(Some(arn)));
    };
    let backup = recovery.backup(arn).await?;
    Ok(DescribeBackupOutput {
        backup_description: Some(description(api, &backup)),
    })
}
