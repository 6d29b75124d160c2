use geodynamo_storage::Engine;

use super::names::table_name;
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
    let name = table_name(&input.table_name)?;
    api.tables
        .table_named(name)
        .map_err(|_| ApiError::table_not_found(name))?;
    Ok(DescribeContinuousBackupsOutput {
        continuous_backups_description: Some(ContinuousBackupsDescription {
            continuous_backups_status: Some("ENABLED".into()),
            point_in_time_recovery_description: Some(PointInTimeRecoveryDescription {
                point_in_time_recovery_status: Some("DISABLED".into()),
                ..PointInTimeRecoveryDescription::default()
            }),
        }),
    })
}
