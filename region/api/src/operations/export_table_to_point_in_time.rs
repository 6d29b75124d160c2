use geodynamo_storage::Engine;

use super::transfers::{export_description, millis};
use crate::{
    Api,
    errors::ApiError,
    generated::{ExportTableToPointInTimeInput, ExportTableToPointInTimeOutput, IncrementalExportSpecification},
    transfer::{ExportKind, Millis, NewExport},
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
    super::control::refuse("FilterSpecification", input.filter_specification.is_some())?;
    let arn = input.table_arn.as_deref().unwrap_or_default();
    let name = api.table_of_arn(arn)?;
    let window = window(api, name)?;
    let text = |text: Option<compact_str::CompactString>| text.map(String::from);
    let kind = match input.export_type.as_deref() {
        Some("INCREMENTAL_EXPORT") => {
            if input.export_time.is_some() {
                return Err(ApiError::invalid("ExportTime must not be specified for an incremental export"));
            }
            incremental(api, input.incremental_export_specification.as_ref(), window)?
        }
        _ => {
            if input.incremental_export_specification.is_some() {
                return Err(ApiError::invalid("IncrementalExportSpecification is only for an export of the type INCREMENTAL_EXPORT"));
            }
            let at_ms = input.export_time.map(millis);
            if at_ms.is_some_and(|at| at < window.0 || at > api.tables.now_ms()) {
                return Err(ApiError::invalid_export_time());
            }
            ExportKind::Full {
                at_ms: at_ms.unwrap_or_else(|| api.tables.now_ms()),
            }
        }
    };
    let wanted = NewExport {
        table: name.to_owned(),
        table_arn: api.table_arn(name),
        kind,
        ion: input.export_format.as_deref() == Some("ION"),
        bucket: text(input.s3_bucket).unwrap_or_default(),
        bucket_owner: text(input.s3_bucket_owner),
        prefix: text(input.s3_prefix),
        sse_algorithm: text(input.s3_sse_algorithm),
        sse_key: text(input.s3_sse_kms_key_id),
        token: text(input.client_token),
    };
    let Some(transfer) = &api.transfer else {
        return Err(ApiError::not_offered("ExportTableToPointInTime"));
    };
    let job = transfer.begin_export(wanted).await?;
    Ok(ExportTableToPointInTimeOutput {
        export_description: Some(export_description(&job)),
    })
}

/// What can be exported of a table, by its continuous backups.
fn window<E: Engine>(api: &Api<E>, name: &str) -> Result<(Millis, Millis), ApiError> {
    api.tables
        .table_named(name)
        .map_err(|_| ApiError::table_not_found(name))?;
    let unavailable = || ApiError::point_in_time_recovery_unavailable(name);
    let recovery = api.recovery.as_ref().ok_or_else(unavailable)?;
    let backups = recovery.continuous_backups(name)?;
    if !backups.enabled {
        return Err(unavailable());
    }
    // Just switched on: the first base is on its way.
    let now = api.tables.now_ms();
    Ok(backups.window.unwrap_or((now, now)))
}

fn incremental<E: Engine>(
    api: &Api<E>,
    wanted: Option<&IncrementalExportSpecification>,
    window: (Millis, Millis),
) -> Result<ExportKind, ApiError> {
    let from = wanted.and_then(|wanted| wanted.export_from_time).map(millis);
    let to = wanted.and_then(|wanted| wanted.export_to_time).map(millis);
    let from_ms = from.ok_or_else(|| ApiError::invalid("ExportFromTime is required for an incremental export"))?;
    let to_ms = to.unwrap_or_else(|| api.tables.now_ms().min(from_ms + WINDOW_MS_MAX));
    if from_ms < window.0 || to_ms > api.tables.now_ms() || from_ms >= to_ms {
        return Err(ApiError::invalid_export_time());
    }
    if api.checks_export_window() && !(WINDOW_MS_MIN..=WINDOW_MS_MAX).contains(&(to_ms - from_ms)) {
        return Err(ApiError::invalid(
            "The export period must be at least 15 minutes and at most 24 hours long",
        ));
    }
    Ok(ExportKind::Incremental {
        from_ms,
        to_ms,
        old_images: wanted.and_then(|wanted| wanted.export_view_type.as_deref()) != Some("NEW_IMAGE"),
    })
}
