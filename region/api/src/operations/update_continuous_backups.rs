use geodynamo_storage::Engine;

use super::{backups::continuous, describe_continuous_backups::off};
use crate::{
    Api,
    errors::ApiError,
    generated::{UpdateContinuousBackupsInput, UpdateContinuousBackupsOutput},
};

/// Switches a table's point-in-time recovery on or off.
pub(super) async fn update_continuous_backups<E: Engine>(
    api: &Api<E>,
    input: &UpdateContinuousBackupsInput,
) -> Result<UpdateContinuousBackupsOutput, ApiError> {
    let name = &*api.table_name(&input.table_name)?;
    let wanted = input.point_in_time_recovery_specification.as_ref();
    let enabled = wanted
        .and_then(|wanted| wanted.point_in_time_recovery_enabled)
        .unwrap_or(false);
    let period = wanted.and_then(|wanted| wanted.recovery_period_in_days);
    if period.is_some() && !enabled {
        return Err(ApiError::invalid(
            "RecoveryPeriodInDays must not be specified when PointInTimeRecoveryEnabled is false",
        ));
    }
    let backups = match &api.recovery {
        // Switching it off is done already.
        None if !enabled => off(api, name)?,
        None => {
            off(api, name)?;
            return Err(ApiError::no_archive());
        }
        Some(recovery) => {
            // The model allows no others.
            let period = period.and_then(|days| u32::try_from(days).ok());
            recovery.update_continuous_backups(name, enabled, period).await?
        }
    };
    Ok(UpdateContinuousBackupsOutput {
        continuous_backups_description: Some(continuous(backups)),
    })
}
