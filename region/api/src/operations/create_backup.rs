use geodynamo_storage::Engine;

use super::{backups::details, describe_continuous_backups::off};
use crate::{
    Api,
    errors::ApiError,
    generated::{CreateBackupInput, CreateBackupOutput},
};

/// Begins a backup of a table as it is now.
pub(super) async fn create_backup<E: Engine>(
    api: &Api<E>,
    input: &CreateBackupInput,
) -> Result<CreateBackupOutput, ApiError> {
    let table = &*api.table_name(&input.table_name)?;
    // A table that is not there is told of first.
    off(api, table)?;
    let name = input.backup_name.as_deref().unwrap_or_default();
    let backup = api.recovery()?.create_backup(table, name).await?;
    Ok(CreateBackupOutput {
        backup_details: Some(details(&backup)),
    })
}
