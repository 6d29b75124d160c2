//! Bulk operations: objects of S3 put into a table that serves.

use std::collections::BTreeMap;

use compact_str::CompactString;
use geodynamo_storage::Engine;
use geodynamo_table::{TableStatus, given_name};
use xxhash_rust::xxh3::xxh3_64;

use super::{
    Answer,
    describe::seconds,
    transfers::{of_account, page},
};
use crate::{
    Api,
    errors::ApiError,
    generated::{
        BulkOperationBytes, BulkOperationDescription, BulkOperationSummary, BulkOperationTableDetail,
        BulkOperationUsage, CancelBulkOperationInput, CancelBulkOperationOutput, DescribeBulkOperationInput,
        DescribeBulkOperationOutput, InputS3Configuration, ListBulkOperationsInput, ListBulkOperationsOutput,
        OutputS3Configuration, StartBulkPutItemsInput, StartBulkPutItemsOutput,
    },
    transfer::{BulkJob, BulkOperations, BulkOutput, BulkState, ImportFormat, ImportSource, InputCompression, NewBulk},
    wire::encode,
};

/// Operations in a page, unless told.
const PAGE: i32 = 10;
/// The most; the model allows no more.
const PAGE_MAX: usize = 25;
/// Bytes of a write unit, which usage is told in.
const UNIT_BYTES: u64 = 1024;

/// Begins to put objects of S3 into a table.
pub(super) async fn start<E: Engine>(api: &Api<E>, input: StartBulkPutItemsInput) -> Answer {
    // Required by the model, so they are there.
    let source = source(input.input_s3_configuration.unwrap_or_default());
    let output = output(input.output_s3_configuration.unwrap_or_default())?;
    let name = &*api.table_of(input.table_name.as_deref().unwrap_or_default())?;
    let table = api.tables.table_named(name)?;
    let being = match table.status() {
        TableStatus::Creating => Some("created"),
        TableStatus::Deleting => Some("deleted"),
        TableStatus::Active | TableStatus::Updating | TableStatus::Inaccessible => None,
    };
    if let Some(being) = being {
        let name = given_name(name);
        return Err(ApiError::resource_in_use(format!("Table is being {being}: {name}")));
    }
    let wanted = NewBulk {
        table: name.to_owned(),
        table_arn: api.tables.local().table_arn(name),
        account: api.account.to_string(),
        source,
        output,
        // At least 1,024, by the model.
        max_units: input.max_write_request_units.and_then(|units| units.try_into().ok()),
        accelerated: input.performance_tier.as_deref() == Some("ACCELERATED"),
        token: input.client_token.map(String::from),
    };
    let Some(bulk) = bulk(api) else {
        return Err(ApiError::not_offered("StartBulkPutItems"));
    };
    let job = bulk.begin(wanted).await?;
    Ok(encode(&StartBulkPutItemsOutput {
        bulk_operation_description: Some(description(&job)),
    }))
}

/// Shows an operation.
pub(super) fn describe<E: Engine>(api: &Api<E>, input: &DescribeBulkOperationInput) -> Answer {
    let arn = input.bulk_operation_arn.as_deref().unwrap_or_default();
    let job = bulk(api).and_then(|bulk| bulk.find(arn));
    let job = job.ok_or_else(|| ApiError::bulk_operation_not_found(arn))?;
    Ok(encode(&DescribeBulkOperationOutput {
        bulk_operation_description: Some(description(&job)),
    }))
}

/// Has an operation end early.
pub(super) async fn cancel<E: Engine>(api: &Api<E>, input: &CancelBulkOperationInput) -> Answer {
    let arn = input.bulk_operation_arn.as_deref().unwrap_or_default();
    let found = match bulk(api) {
        Some(bulk) => bulk.cancel(arn).await?,
        None => None,
    };
    let job = found.ok_or_else(|| ApiError::bulk_operation_not_found(arn))?;
    if job.state.has_ended() {
        return Err(ApiError::validation(format!(
            "The bulk operation is not in progress: its status is {}",
            job.state.code()
        )));
    }
    Ok(encode(&CancelBulkOperationOutput {
        bulk_operation_arn: Some(job.arn.into()),
        bulk_operation_status: Some(job.state.code().into()),
    }))
}

/// Lists operations, newest first.
pub(super) fn list<E: Engine>(api: &Api<E>, input: &ListBulkOperationsInput) -> Answer {
    let all = bulk(api).map_or_else(Vec::new, |bulk| bulk.list());
    // A token is hexadecimal, so it is no ARN.
    let named = |job: BulkJob| (format!("{:016x}", xxh3_64(job.arn.as_bytes())), job);
    let all: Vec<_> = of_account(api, all, |job| &job.arn).into_iter().map(named).collect();
    let wanted = input.max_results.unwrap_or(PAGE);
    let (jobs, next_token) = page(
        all,
        |(name, _)| name,
        input.next_token.as_deref(),
        Some(wanted),
        PAGE_MAX,
    )?;
    let summary = |(_, job): (String, BulkJob)| BulkOperationSummary {
        bulk_operation_arn: Some(job.arn.into()),
        bulk_operation_status: Some(job.state.code().into()),
        start_time: Some(seconds(job.started_ms)),
        end_time: job.ended_ms.map(seconds),
    };
    Ok(encode(&ListBulkOperationsOutput {
        bulk_operations_summary_list: Some(jobs.into_iter().map(summary).collect()),
        next_token,
    }))
}

fn bulk<E: Engine>(api: &Api<E>) -> Option<&dyn BulkOperations> {
    api.transfer.as_ref().map(|transfer| transfer.bulk())
}

fn source(input: InputS3Configuration) -> ImportSource {
    ImportSource {
        bucket: input.s3_bucket.map(String::from).unwrap_or_default(),
        bucket_owner: input.s3_bucket_owner.map(String::from),
        prefix: input.s3_key_prefix.map(String::from),
        format: match input.input_format.as_deref() {
            Some("ION") => ImportFormat::Ion,
            _ => ImportFormat::DynamoDbJson,
        },
        compression: InputCompression::named(input.input_compression_type.as_deref()),
    }
}

/// Where reports go. The model requires no bucket, but its text does.
fn output(output: OutputS3Configuration) -> Result<BulkOutput, ApiError> {
    let types = output.output_type.unwrap_or_default();
    let tells = |name: &str| types.iter().any(|kind| kind == name);
    let (errors, failed_conditions) = (tells("ERROR"), tells("CONDITION_CHECK_FAILURE"));
    if !errors && !failed_conditions {
        return Err(ApiError::invalid("OutputType must have one value at least"));
    }
    let Some(bucket) = output.s3_bucket else {
        return Err(ApiError::invalid("OutputS3Configuration must have an S3Bucket"));
    };
    if (output.s3_sse_algorithm.as_deref() == Some("KMS")) != output.s3_sse_kms_key_id.is_some() {
        return Err(ApiError::invalid(
            "S3SseKmsKeyId must be specified if S3SseAlgorithm is KMS, and only then",
        ));
    }
    Ok(BulkOutput {
        bucket: bucket.into(),
        bucket_owner: output.s3_bucket_owner.map(String::from),
        prefix: output.s3_key_prefix.map(String::from),
        sse_algorithm: output.s3_sse_algorithm.map(String::from),
        sse_key: output.s3_sse_kms_key_id.map(String::from),
        errors,
        failed_conditions,
    })
}

fn description(job: &BulkJob) -> BulkOperationDescription {
    let wanted = &job.wanted;
    let (failure_code, failure_message) = failure(&job.state);
    BulkOperationDescription {
        bulk_operation_arn: Some(job.arn.as_str().into()),
        bulk_operation_status: Some(job.state.code().into()),
        table_details: Some(vec![BulkOperationTableDetail {
            table_name: Some(wanted.table_arn.as_str().into()),
            table_id: Some(job.table_id.as_str().into()),
        }]),
        client_token: text(&wanted.token),
        input_s3_configuration: Some(InputS3Configuration {
            s3_bucket_owner: text(&wanted.source.bucket_owner),
            s3_bucket: Some(wanted.source.bucket.as_str().into()),
            s3_key_prefix: text(&wanted.source.prefix),
            input_format: Some(wanted.source.format.code().into()),
            input_compression_type: Some(wanted.source.compression.code().into()),
        }),
        output_s3_configuration: Some(OutputS3Configuration {
            s3_bucket_owner: text(&wanted.output.bucket_owner),
            s3_bucket: Some(wanted.output.bucket.as_str().into()),
            s3_key_prefix: text(&wanted.output.prefix),
            s3_sse_algorithm: text(&wanted.output.sse_algorithm),
            s3_sse_kms_key_id: text(&wanted.output.sse_key),
            output_type: Some(types(&wanted.output)),
        }),
        start_time: Some(seconds(job.started_ms)),
        end_time: job.ended_ms.map(seconds),
        processed_item_count: Some(job.counts.processed_items as i64),
        processed_input_bytes: Some(job.counts.processed_bytes as i64),
        total_input_bytes: job.total_bytes.map(|bytes| bytes as i64),
        bulk_operation_usage: Some(vec![usage(job)]),
        failed_item_count: Some(job.counts.failed_items as i64),
        failure_code,
        failure_message,
        max_write_request_units: wanted.max_units.map(|units| units as i64),
        performance_tier: Some(if wanted.accelerated { "ACCELERATED" } else { "STANDARD" }.into()),
    }
}

fn usage(job: &BulkJob) -> BulkOperationUsage {
    let counts = &job.counts;
    let bytes = |units: u64| Some(units.saturating_mul(UNIT_BYTES) as i64);
    let indexes = |units: &BTreeMap<String, u64>| {
        let index = |(name, units): (&String, &u64)| {
            let used = BulkOperationBytes {
                bulk_put_bytes: bytes(*units),
            };
            (name.as_str().into(), used)
        };
        Some(units.iter().map(index).collect()).filter(|indexes: &BTreeMap<_, _>| !indexes.is_empty())
    };
    let all = counts.local_units.values().chain(counts.global_units.values());
    BulkOperationUsage {
        table_name: Some(job.wanted.table_arn.as_str().into()),
        bulk_put_bytes: bytes(all.sum::<u64>() + counts.table_units),
        table: Some(BulkOperationBytes {
            bulk_put_bytes: bytes(counts.table_units),
        }),
        local_secondary_indexes: indexes(&counts.local_units),
        global_secondary_indexes: indexes(&counts.global_units),
        vector_indexes: None,
    }
}

fn types(output: &BulkOutput) -> Vec<CompactString> {
    let all = [
        ("ERROR", output.errors),
        ("CONDITION_CHECK_FAILURE", output.failed_conditions),
    ];
    let told = all.into_iter().filter(|(_, told)| *told);
    told.map(|(name, _)| name.into()).collect()
}

fn failure(state: &BulkState) -> (Option<CompactString>, Option<CompactString>) {
    let (code, message) = match state {
        BulkState::Failed(code, message) => (code.as_str(), message.as_str()),
        BulkState::Cancelled => ("Cancelled", "The bulk operation was cancelled"),
        _ => return (None, None),
    };
    (Some(code.into()), Some(message.into()))
}

fn text(text: &Option<String>) -> Option<CompactString> {
    text.as_deref().map(CompactString::from)
}
