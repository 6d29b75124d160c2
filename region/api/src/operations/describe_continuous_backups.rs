use geodynamo_storage::Engine;

use super::describe::seconds;
use crate::{
    Api,
    errors::ApiError,
    generated::{
        ContinuousBackupsDescription, DescribeContinuousBackupsInput, DescribeContinuousBackupsOutput,
        PointInTimeRecoveryDescription,
    },
};

/// Shows a table's point-in-time recovery. It is not built yet, so it is off, unless it is shown nevertheless
/// ([`crate::Habits`]); `ContinuousBackupsStatus` is ENABLED for every table, as in DynamoDB.
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
    let recovery = match api.shown_recovery(name) {
        None => PointInTimeRecoveryDescription {
            point_in_time_recovery_status: Some("DISABLED".into()),
            ..PointInTimeRecoveryDescription::default()
        },
        Some((since, days)) => PointInTimeRecoveryDescription {
            point_in_time_recovery_status: Some("ENABLED".into()),
            recovery_period_in_days: Some(days),
            earliest_restorable_date_time: Some(seconds(since)),
            latest_restorable_date_time: Some(seconds(api.tables.now_ms())),
        },
    };
    Ok(ContinuousBackupsDescription {
        continuous_backups_status: Some("ENABLED".into()),
        point_in_time_recovery_description: Some(recovery),
    })
}
