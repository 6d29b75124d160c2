use geodynamo_storage::Engine;

use crate::{
    Api,
    errors::ApiError,
    generated::{
        ContinuousBackupsDescription, DescribeContinuousBackupsInput, DescribeContinuousBackupsOutput,
        PointInTimeRecoveryDescription,
    },
};

/// Shows a table's point-in-time recovery. It cannot be switched on yet, so it is off; `ContinuousBackupsStatus` is
/// ENABLED for every table, as in DynamoDB.
pub(super) fn describe_continuous_backups<E: Engine>(
    api: &Api<E>,
    input: &DescribeContinuousBackupsInput,
) -> Result<DescribeContinuousBackupsOutput, ApiError> {
    Ok(DescribeContinuousBackupsOutput {
        continuous_backups_description: Some(continuous_backups(api, api.table_name(&input.table_name)?)?),
    })
}

/// A table's continuous backups.
pub(super) fn continuous_backups<E: Engine>(
    api: &Api<E>,
    name: &str,
) -> Result<ContinuousBackupsDescription, ApiError> {
    api.tables
        .table_named(name)
        .map_err(|_| ApiError::table_not_found(name))?;
    Ok(ContinuousBackupsDescription {
        continuous_backups_status: Some("ENABLED".into()),
        point_in_time_recovery_description: Some(PointInTimeRecoveryDescription {
            point_in_time_recovery_status: Some("DISABLED".into()),
            ..PointInTimeRecoveryDescription::default()
        }),
    })
}
