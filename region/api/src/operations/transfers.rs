//! What exports and imports are shown as.

use compact_str::CompactString;
use geodynamo_storage::Engine;

use super::{describe::seconds, export_filter::specification};
use crate::{
    Api,
    authorize::account_of,
    errors::ApiError,
    generated::{
        CsvOptions, ExportDescription, ImportTableDescription, IncrementalExportSpecification, InputFormatOptions,
        S3BucketSource,
    },
    transfer::{ExportJob, ExportKind, ImportFormat, ImportJob, JobState},
    wire::{DecodeContext, whole},
};

/// An export as DescribeExport shows it.
pub(super) fn export_description(job: &ExportJob) -> Result<ExportDescription, ApiError> {
    let wanted = &job.wanted;
    let (failure_code, failure_message) = failure(&job.state);
    let text = |text: &Option<String>| text.as_deref().map(CompactString::from);
    let full = ExportDescription {
        export_arn: Some(job.arn.as_str().into()),
        export_status: Some(job.state.code().into()),
        start_time: Some(seconds(job.started_ms)),
        end_time: job.ended_ms.map(seconds),
        export_manifest: text(&job.manifest),
        table_arn: Some(wanted.table_arn.as_str().into()),
        table_id: Some(job.table_id.as_str().into()),
        client_token: text(&wanted.token),
        s3_bucket: Some(wanted.bucket.as_str().into()),
        s3_bucket_owner: text(&wanted.bucket_owner),
        s3_prefix: text(&wanted.prefix),
        s3_sse_algorithm: text(&wanted.sse_algorithm),
        s3_sse_kms_key_id: text(&wanted.sse_key),
        failure_code,
        failure_message,
        export_format: Some(if wanted.ion { "ION" } else { "DYNAMODB_JSON" }.into()),
        billed_size_bytes: Some(job.bytes as i64),
        item_count: Some(job.items as i64),
        filter_specification: wanted.filter.as_deref().map(specification).transpose()?,
        ..ExportDescription::default()
    };
    Ok(match wanted.kind {
        ExportKind::Full { at_ms, .. } => ExportDescription {
            export_type: Some("FULL_EXPORT".into()),
            export_time: Some(seconds(at_ms)),
            ..full
        },
        ExportKind::Incremental {
            from_ms,
            to_ms,
            old_images,
        } => ExportDescription {
            export_type: Some("INCREMENTAL_EXPORT".into()),
            incremental_export_specification: Some(IncrementalExportSpecification {
                export_from_time: Some(seconds(from_ms)),
                export_to_time: Some(seconds(to_ms)),
                export_view_type: Some(if old_images { "NEW_AND_OLD_IMAGES" } else { "NEW_IMAGE" }.into()),
            }),
            ..full
        },
    })
}

/// An import as DescribeImport shows it.
pub(super) fn import_description(job: &ImportJob) -> Result<ImportTableDescription, ApiError> {
    let source = &job.source;
    let (failure_code, failure_message) = failure(&job.state);
    let text = |text: &Option<String>| text.as_deref().map(CompactString::from);
    let csv = match &source.format {
        ImportFormat::Csv { delimiter, header } => Some(CsvOptions {
            delimiter: Some(char::from(*delimiter).to_string().into()),
            header_list: header
                .as_ref()
                .map(|names| names.iter().map(|name| name.as_str().into()).collect()),
        }),
        _ => None,
    };
    let parameters = whole(job.parameters.as_bytes(), &mut DecodeContext::default());
    Ok(ImportTableDescription {
        import_arn: Some(job.arn.as_str().into()),
        import_status: Some(job.state.code().into()),
        table_arn: Some(job.table_arn.as_str().into()),
        table_id: Some(job.table_id.as_str().into()),
        client_token: text(&job.token),
        s3_bucket_source: Some(S3BucketSource {
            s3_bucket_owner: text(&source.bucket_owner),
            s3_bucket: Some(source.bucket.as_str().into()),
            s3_key_prefix: text(&source.prefix),
        }),
        error_count: Some(job.counts.errors as i64),
        cloud_watch_log_group_arn: None,
        input_format: Some(source.format.code().into()),
        input_format_options: csv.map(|csv| InputFormatOptions { csv: Some(csv) }),
        input_compression_type: Some(source.compression.code().into()),
        table_creation_parameters: Some(parameters.map_err(ApiError::serialization)?),
        start_time: Some(seconds(job.started_ms)),
        end_time: job.ended_ms.map(seconds),
        processed_size_bytes: Some(job.counts.processed_bytes as i64),
        processed_item_count: Some(job.counts.processed_items as i64),
        imported_item_count: Some(job.counts.imported_items as i64),
        failure_code,
        failure_message,
    })
}

fn failure(state: &JobState) -> (Option<CompactString>, Option<CompactString>) {
    match state {
        JobState::Failed(code, message) => (Some(code.as_str().into()), Some(message.as_str().into())),
        JobState::InProgress | JobState::Completed => (None, None),
    }
}

/// Those of the callers' account.
pub(super) fn of_account<E: Engine, T>(api: &Api<E>, mut all: Vec<T>, arn: impl Fn(&T) -> &String) -> Vec<T> {
    all.retain(|job| account_of(arn(job)) == &*api.account);
    all
}

/// A page of jobs behind a token, which is the ARN of the last one before, and the next page's token.
pub(super) fn page<T>(
    all: Vec<T>,
    arn: impl Fn(&T) -> &String,
    token: Option<&str>,
    wanted: Option<i32>,
    most: usize,
) -> Result<(Vec<T>, Option<CompactString>), ApiError> {
    let start = match token {
        None => 0,
        Some(token) => {
            let found = all.iter().position(|job| arn(job) == token);
            found.ok_or_else(|| ApiError::invalid("NextToken is not valid"))? + 1
        }
    };
    let most = wanted
        .and_then(|wanted| usize::try_from(wanted).ok())
        .unwrap_or(most)
        .min(most);
    let more = all.len() > start + most;
    let page: Vec<_> = all.into_iter().skip(start).take(most).collect();
    let next = page.last().filter(|_| more).map(|last| arn(last).as_str().into());
    Ok((page, next))
}
