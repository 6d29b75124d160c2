use std::borrow::Cow;

use geodynamo_storage::Engine;
use geodynamo_table::recovery::{BackupFilter, BackupKind, BackupPage};

use super::{backups::summary, restores::millis};
use crate::{
    Api,
    errors::ApiError,
    generated::{ListBackupsInput, ListBackupsOutput},
};

/// The most backups of a page.
const PAGE_MAX: usize = 100;

/// Lists backups, also of tables that are gone, oldest first.
pub(super) async fn list_backups<E: Engine>(
    api: &Api<E>,
    input: &ListBackupsInput,
) -> Result<ListBackupsOutput, ApiError> {
    let table = input.table_name.as_deref().map(|name| api.table_of(name)).transpose()?;
    let bounds = (input.time_range_lower_bound, input.time_range_upper_bound);
    if let (Some(lower), Some(upper)) = bounds
        && lower >= upper
    {
        return Err(ApiError::invalid(
            "TimeRangeLowerBound must be before TimeRangeUpperBound",
        ));
    }
    // As in DynamoDB, a client's backups are listed if nothing else is asked for.
    let kind = match input.backup_type.as_deref() {
        Some("SYSTEM") => Some(BackupKind::System),
        Some("AWS_BACKUP") => Some(BackupKind::Aws),
        Some("ALL") => None,
        _ => Some(BackupKind::User),
    };
    let page = match &api.recovery {
        Some(recovery) => {
            let filter = BackupFilter {
                account: Some(api.account.to_string()),
                table: table.map(Cow::into_owned),
                kind,
                from_ms: input.time_range_lower_bound.map(millis),
                before_ms: input.time_range_upper_bound.map(millis),
                after: input.exclusive_start_backup_arn.as_deref().map(str::to_owned),
                limit: input
                    .limit
                    .and_then(|limit| usize::try_from(limit).ok())
                    .unwrap_or(PAGE_MAX),
            };
            recovery.backups(filter).await?
        }
        None => BackupPage::default(),
    };
    Ok(ListBackupsOutput {
        backup_summaries: Some(page.backups.iter().map(|backup| summary(api, backup)).collect()),
        last_evaluated_backup_arn: page.last.map(Into::into),
    })
}
