use geodynamo_storage::Engine;

use super::backups::description;
use crate::{
    Api,
    errors::ApiError,
    generated::{DeleteBackupInput, DeleteBackupOutput},
};

/// Removes a backup.
pub(super) async fn delete_backup<E: Engine>(
    api: &Api<E>,
    input: &DeleteBackupInput,
) -> Result<DeleteBackupOutput, ApiError> {
    let arn = input.backup_arn.as_deref().unwrap_or_default();
    let Some(recovery) = &api.recovery else {
        return Err(ApiError::backup_not_found(Some(arn)));
    };
    let backup = recovery.delete_backup(arn).await?;
    Ok(DeleteBackupOutput {
        backup_description: Some(description(api, &backup)),
    })
}
