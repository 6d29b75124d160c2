use geodynamo_storage::Engine;
use geodynamo_table::recovery::RestoreSource;

use super::{describe::table_description, restores::Overrides};
use crate::{
    Api,
    errors::ApiError,
    generated::{RestoreTableFromBackupInput, RestoreTableFromBackupOutput},
};

/// Makes a table from a backup.
pub(super) async fn restore_table_from_backup<E: Engine>(
    api: &Api<E>,
    input: RestoreTableFromBackupInput,
) -> Result<RestoreTableFromBackupOutput, ApiError> {
    let arn = input.backup_arn.unwrap_or_default();
    let Some(recovery) = &api.recovery else {
        return Err(ApiError::backup_not_found(Some(&arn)));
    };
    let master_key = api.wanted_key(input.sse_specification_override.as_ref())?;
    let overrides = Overrides {
        billing_mode: input.billing_mode_override,
        global: input.global_secondary_index_override,
        local: input.local_secondary_index_override,
        provisioned: input.provisioned_throughput_override,
        on_demand: input.on_demand_throughput_override,
        vector: input.vector_index_override.is_some(),
    };
    let from = recovery.restorable(RestoreSource::Backup(arn.into())).await?;
    let mut create = from.settings.create(&api.table_name(&input.target_table_name)?);
    overrides.apply(&mut create)?;
    // It is under its source's key unless told otherwise.
    if let Some(master_key) = master_key {
        create.master_key = master_key;
    }
    let description = recovery.restore(from, create).await?;
    Ok(RestoreTableFromBackupOutput {
        table_description: Some(table_description(api, description)),
    })
}
