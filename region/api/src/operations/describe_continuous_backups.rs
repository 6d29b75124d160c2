use geodynamo_storage::Engine;
use geodynamo_table::recovery::ContinuousBackups;

use super::backups::continuous;
use crate::{
    Api,
    errors::ApiError,
    generated::{DescribeContinuousBackupsInput, DescribeContinuousBackupsOutput},
};

/// Shows a table's point-in-time recovery, and which moments can be restored.
pub(super) fn describe_continuous_backups<E: Engine>(
    api: &Api<E>,
    input: &DescribeContinuousBackupsInput,
) -> Result<DescribeContinuousBackupsOutput, ApiError> {
    let name = &*api.table_name(&input.table_name)?;
    let backups = match &api.recovery {
        Some(recovery) => recovery.continuous_backups(name)?,
        None => off(api, name)?,
    };
    Ok(DescribeContinuousBackupsOutput {
        continuous_backups_description: Some(continuous(backups)),
    })
}

/// Of a table in a region without an archive.
pub(super) fn off<E: Engine>(api: &Api<E>, name: &str) -> Result<ContinuousBackups, ApiError> {
    let table = api.tables.table_named(name);
    table.map_err(|_| ApiError::table_not_found(name))?;
    Ok(ContinuousBackups::default())
}
