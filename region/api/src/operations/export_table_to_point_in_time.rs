use compact_str::CompactString;
use geodynamo_storage::Engine;

use super::{
    export_filter::{ExportFilter, kept},
    restores::millis,
    transfers::export_description,
};
use crate::{
    Api,
    errors::ApiError,
    generated::{ExportTableToPointInTimeInput, ExportTableToPointInTimeOutput, IncrementalExportSpecification},
    transfer::{ExportKind, Millis, NewExport, TransferError},
};

/// The shortest window of an incremental export, in milliseconds. Source: AWS developer guide, "Requesting a table export".
const WINDOW_MS_MIN: Millis = 15 * 60 * 1000;
/// The longest.
const WINDOW_MS_MAX: Millis = 24 * 60 * 60 * 1000;

/// Begins to export a table's archive to S3.
pub(super) async fn export_table_to_point_in_time<E: Engine>(
    api: &Api<E>,
    input: ExportTableToPointInTimeInput,
) -> Result<ExportTableToPointInTimeOutput, ApiError> {
    // Required by the model, so it is there.
    let name = &*api.table_of(input.table_arn.as_deref().unwrap_or_default())?;
    let table = api.tables.table_named(name);
    let table = table.map_err(|_| ApiError::table_not_found(name))?;
    let first = first_moment(api, name)?;
    let kind = match input.export_type.as_deref() {
        Some("INCREMENTAL_EXPORT") => {
            if input.export_time.is_some() {
                return Err(ApiError::invalid(
                    "ExportTime can not be specified for an export of type INCREMENTAL_EXPORT",
                ));
            }
            incremental(api, input.incremental_export_specification.as_ref(), first)?
        }
        _ if input.incremental_export_specification.is_some() => {
            return Err(ApiError::invalid(
                "IncrementalExportSpecification can only be specified for an export of type INCREMENTAL_EXPORT",
            ));
        }
        _ => full(api, input.export_time.map(millis), first)?,
    };
    if let Some(filter) = &input.filter_specification {
        ExportFilter::of(filter, table.keys())?;
    }
    let text = |text: Option<CompactString>| text.map(String::from);
    let wanted = NewExport {
        table: name.to_owned(),
        table_arn: api.tables.local().table_arn(name),
        kind,
        ion: input.export_format.as_deref() == Some("ION"),
        bucket: text(input.s3_bucket).unwrap_or_default(),
        bucket_owner: text(input.s3_bucket_owner),
        prefix: text(input.s3_prefix),
        sse_algorithm: text(input.s3_sse_algorithm),
        sse_key: text(input.s3_sse_kms_key_id),
        filter: input.filter_specification.as_ref().map(kept),
        token: text(input.client_token),
    };
    let Some(transfer) = &api.transfer else {
        return Err(ApiError::not_offered("ExportTableToPointInTime"));
    };
    let job = transfer.begin_export(wanted).await?;
    Ok(ExportTableToPointInTimeOutput {
        export_description: Some(export_description(&job)?),
    })
}

/// The first moment of a table that its continuous backups have; none if they were only just switched on.
fn first_moment<E: Engine>(api: &Api<E>, name: &str) -> Result<Option<Millis>, ApiError> {
    let unavailable = || ApiError::point_in_time_recovery_unavailable(name);
    let recovery = api.recovery.as_ref().ok_or_else(unavailable)?;
    let backups = recovery.continuous_backups(name)?;
    if !backups.enabled {
        return Err(unavailable());
    }
    Ok(backups.window.map(|(first, _)| first))
}

fn full<E: Engine>(api: &Api<E>, at_ms: Option<Millis>, first: Option<Millis>) -> Result<ExportKind, ApiError> {
    let now = api.tables.now_ms();
    let Some(at_ms) = at_ms else {
        return Ok(ExportKind::Full {
            at_ms: now,
            latest: true,
        });
    };
    if first.is_none_or(|first| at_ms < first) || at_ms > now {
        return Err(TransferError::InvalidExportTime.into());
    }
    Ok(ExportKind::Full { at_ms, latest: false })
}

fn incremental<E: Engine>(
    api: &Api<E>,
    wanted: Option<&IncrementalExportSpecification>,
    first: Option<Millis>,
) -> Result<ExportKind, ApiError> {
    let now = api.tables.now_ms();
    let from = wanted.and_then(|wanted| wanted.export_from_time).map(millis);
    let to = wanted.and_then(|wanted| wanted.export_to_time).map(millis);
    let from_ms = from.ok_or_else(|| {
        ApiError::invalid("ExportFromTime must be specified for an export of type INCREMENTAL_EXPORT")
    })?;
    let to_ms = to.unwrap_or_else(|| now.min(from_ms.saturating_add(WINDOW_MS_MAX)));
    if first.is_none_or(|first| from_ms < first) || to_ms > now || from_ms >= to_ms {
        return Err(TransferError::InvalidExportTime.into());
    }
    let shortest = if api.habits.short_exports { 1 } else { WINDOW_MS_MIN };
    if !(shortest..=WINDOW_MS_MAX).contains(&(to_ms - from_ms)) {
        return Err(ApiError::invalid(
            "The time between ExportFromTime and ExportToTime must be at least 15 minutes and at most 24 hours",
        ));
    }
    Ok(ExportKind::Incremental {
        from_ms,
        to_ms,
        old_images: wanted.and_then(|wanted| wanted.export_view_type.as_deref()) != Some("NEW_IMAGE"),
    })
}
