//! Whatever is not one table: lists, limits, streams, backups, exports, imports, global tables of the older version.

use geodynamo_storage::Engine;

use super::{Authorize, Gate};
use crate::{
    errors::ApiError,
    generated::{
        CancelBulkOperationInput, CreateBackupInput, CreateGlobalTableInput, DeleteBackupInput, DescribeBackupInput,
        DescribeBulkOperationInput, DescribeEndpointsRequest, DescribeExportInput, DescribeGlobalTableInput,
        DescribeGlobalTableSettingsInput, DescribeImportInput, DescribeLimitsInput, DescribeStreamInput,
        ExportTableToPointInTimeInput, GetRecordsInput, GetShardIteratorInput, ImportTableInput, ListBackupsInput,
        ListBulkOperationsInput, ListContributorInsightsInput, ListExportsInput, ListGlobalTablesInput,
        ListImportsInput, ListStreamsInput, ListTablesInput, RestoreTableFromBackupInput,
        RestoreTableToPointInTimeInput, StartBulkPutItemsInput, UpdateGlobalTableInput, UpdateGlobalTableSettingsInput,
    },
    operations::split_iterator,
};

/// Operations that have no resource.
macro_rules! on_anything {
    ($($input:ident: $action:literal,)*) => {
        $(impl Authorize for $input {
            fn authorize<E: Engine>(&self, gate: &Gate<'_, E>) -> Result<(), ApiError> {
                gate.ask_plain($action, &gate.anything())
            }
        })*
    };
}

on_anything! {
    DescribeEndpointsRequest: "dynamodb:DescribeEndpoints",
    DescribeLimitsInput: "dynamodb:DescribeLimits",
    ListBackupsInput: "dynamodb:ListBackups",
    // The reference does not have the bulk operations yet.
    ListBulkOperationsInput: "dynamodb:ListBulkOperations",
    ListContributorInsightsInput: "dynamodb:ListContributorInsights",
    ListExportsInput: "dynamodb:ListExports",
    ListGlobalTablesInput: "dynamodb:ListGlobalTables",
    ListImportsInput: "dynamodb:ListImports",
    ListStreamsInput: "dynamodb:ListStreams",
    ListTablesInput: "dynamodb:ListTables",
}

/// Operations on something that an ARN, or an id, names.
macro_rules! on_named {
    ($($input:ident: $action:literal, $arn:ident;)*) => {
        $(impl Authorize for $input {
            fn authorize<E: Engine>(&self, gate: &Gate<'_, E>) -> Result<(), ApiError> {
                gate.ask_plain($action, &gate.named(self.$arn.as_deref().unwrap_or_default()))
            }
        })*
    };
}

on_named! {
    DescribeBackupInput: "dynamodb:DescribeBackup", backup_arn;
    DeleteBackupInput: "dynamodb:DeleteBackup", backup_arn;
    DescribeExportInput: "dynamodb:DescribeExport", export_arn;
    DescribeImportInput: "dynamodb:DescribeImport", import_arn;
    DescribeBulkOperationInput: "dynamodb:DescribeBulkOperation", bulk_operation_arn;
    CancelBulkOperationInput: "dynamodb:CancelBulkOperation", bulk_operation_arn;
}

impl Authorize for CreateBackupInput {
    fn authorize<E: Engine>(&self, gate: &Gate<'_, E>) -> Result<(), ApiError> {
        let target = gate.table(self.table_name.as_deref().unwrap_or_default())?;
        gate.ask_plain("dynamodb:CreateBackup", &target)
    }
}

impl Authorize for ExportTableToPointInTimeInput {
    fn authorize<E: Engine>(&self, gate: &Gate<'_, E>) -> Result<(), ApiError> {
        let target = gate.table(self.table_arn.as_deref().unwrap_or_default())?;
        gate.ask_plain("dynamodb:ExportTableToPointInTime", &target)?;
        ask_folder(gate, &target, self.s3_bucket.as_deref(), self.s3_prefix.as_deref())
    }
}

impl Authorize for ImportTableInput {
    fn authorize<E: Engine>(&self, gate: &Gate<'_, E>) -> Result<(), ApiError> {
        let parameters = self.table_creation_parameters.as_ref();
        let name = parameters.and_then(|parameters| parameters.table_name.as_deref());
        let target = gate.table_in(gate.api.tables.region(), name.unwrap_or_default())?;
        gate.ask_plain("dynamodb:ImportTable", &target)?;
        let source = self.s3_bucket_source.as_ref();
        let bucket = source.and_then(|source| source.s3_bucket.as_deref());
        let prefix = source.and_then(|source| source.s3_key_prefix.as_deref());
        ask_source(gate, &target, bucket, prefix)
    }
}

/// What filling a restored table asks for besides: the reference's dependent actions.
const FILLING: [&str; 7] = [
    "dynamodb:BatchWriteItem",
    "dynamodb:DeleteItem",
    "dynamodb:GetItem",
    "dynamodb:PutItem",
    "dynamodb:Query",
    "dynamodb:Scan",
    "dynamodb:UpdateItem",
];

/// Asks for a restore of `source` into a table of this name.
fn restore<E: Engine>(
    gate: &Gate<'_, E>,
    action: &'static str,
    source: &super::Target,
    table: Option<&str>,
) -> Result<(), ApiError> {
    gate.ask_plain(action, source)?;
    let target = gate.table_in(gate.api.tables.region(), table.unwrap_or_default())?;
    gate.ask_plain(action, &target)?;
    FILLING
        .into_iter()
        .try_for_each(|action| gate.ask_plain(action, &target))
}

impl Authorize for RestoreTableFromBackupInput {
    fn authorize<E: Engine>(&self, gate: &Gate<'_, E>) -> Result<(), ApiError> {
        let backup = gate.named(self.backup_arn.as_deref().unwrap_or_default());
        let table = self.target_table_name.as_deref();
        restore(gate, "dynamodb:RestoreTableFromBackup", &backup, table)
    }
}

impl Authorize for RestoreTableToPointInTimeInput {
    fn authorize<E: Engine>(&self, gate: &Gate<'_, E>) -> Result<(), ApiError> {
        let source = self.source_table_arn.as_deref().or(self.source_table_name.as_deref());
        let source = gate.table(source.unwrap_or_default())?;
        let table = self.target_table_name.as_deref();
        restore(gate, "dynamodb:RestoreTableToPointInTime", &source, table)
    }
}

/// Operations on a stream.
macro_rules! on_stream {
    ($($input:ident: $action:literal,)*) => {
        $(impl Authorize for $input {
            fn authorize<E: Engine>(&self, gate: &Gate<'_, E>) -> Result<(), ApiError> {
                ask_stream(gate, $action, self.stream_arn.as_deref().unwrap_or_default())
            }
        })*
    };
}

on_stream! {
    DescribeStreamInput: "dynamodb:DescribeStream",
    GetShardIteratorInput: "dynamodb:GetShardIterator",
}

impl Authorize for GetRecordsInput {
    /// An iterator tells its stream.
    fn authorize<E: Engine>(&self, gate: &Gate<'_, E>) -> Result<(), ApiError> {
        let (arn, _) = split_iterator(self.shard_iterator.as_deref().unwrap_or_default())?;
        if gate.stream_of_arn(arn).is_err() {
            return Err(ApiError::invalid_shard_iterator());
        }
        ask_stream(gate, "dynamodb:GetRecords", arn)
    }
}

/// Asks for an action on a stream. Of an ARN that is of no stream, the label may be wrong: then it is asked for on that ARN.
fn ask_stream<E: Engine>(gate: &Gate<'_, E>, action: &'static str, arn: &str) -> Result<(), ApiError> {
    match gate.stream_of_arn(arn) {
        Ok(name) => gate.ask_plain(action, &gate.stream(&name)),
        Err(_) => gate.ask_plain(action, &gate.named(arn)),
    }
}

/// Operations on a global table of version 2017.11.29.
macro_rules! on_global_table {
    ($($input:ident: $action:literal,)*) => {
        $(impl Authorize for $input {
            fn authorize<E: Engine>(&self, gate: &Gate<'_, E>) -> Result<(), ApiError> {
                let name = self.global_table_name.as_deref().unwrap_or_default();
                gate.ask_plain($action, &gate.global_table(name))
            }
        })*
    };
}

on_global_table! {
    DescribeGlobalTableInput: "dynamodb:DescribeGlobalTable",
    DescribeGlobalTableSettingsInput: "dynamodb:DescribeGlobalTableSettings",
}

/// Changes of one ask for the same on the table of its name.
macro_rules! on_global_table_and_table {
    ($($input:ident: $action:literal,)*) => {
        $(impl Authorize for $input {
            fn authorize<E: Engine>(&self, gate: &Gate<'_, E>) -> Result<(), ApiError> {
                let name = self.global_table_name.as_deref().unwrap_or_default();
                gate.ask_plain($action, &gate.global_table(name))?;
                gate.ask_plain($action, &gate.table_in(gate.api.tables.region(), name)?)
            }
        })*
    };
}

on_global_table_and_table! {
    CreateGlobalTableInput: "dynamodb:CreateGlobalTable",
    UpdateGlobalTableInput: "dynamodb:UpdateGlobalTable",
    UpdateGlobalTableSettingsInput: "dynamodb:UpdateGlobalTableSettings",
}

impl Authorize for StartBulkPutItemsInput {
    /// What is read and written in buckets is asked for as imports and exports do; but they are the caller's own.
    fn authorize<E: Engine>(&self, gate: &Gate<'_, E>) -> Result<(), ApiError> {
        let target = gate.table(self.table_name.as_deref().unwrap_or_default())?;
        gate.ask_plain("dynamodb:StartBulkPutItems", &target)?;
        let own = gate.anything();
        let input = self.input_s3_configuration.as_ref();
        let bucket = input.and_then(|input| input.s3_bucket.as_deref());
        let prefix = input.and_then(|input| input.s3_key_prefix.as_deref());
        ask_source(gate, &own, bucket, prefix)?;
        let output = self.output_s3_configuration.as_ref();
        let bucket = output.and_then(|output| output.s3_bucket.as_deref());
        let prefix = output.and_then(|output| output.s3_key_prefix.as_deref());
        ask_folder(gate, &own, bucket, prefix)
    }
}

/// Asks whether the caller may write the files of a job below a prefix of a bucket: on the folder of them all, since the job
/// has no name yet.
fn ask_folder<E: Engine>(
    gate: &Gate<'_, E>,
    target: &super::Target,
    bucket: Option<&str>,
    prefix: Option<&str>,
) -> Result<(), ApiError> {
    let folder = match prefix.map(|prefix| prefix.trim_end_matches('/')) {
        Some(prefix) if !prefix.is_empty() => format!("{prefix}/AWSDynamoDB/"),
        _ => "AWSDynamoDB/".to_owned(),
    };
    let folder = gate.in_s3(target, bucket.unwrap_or_default(), Some(&folder));
    gate.ask_plain("s3:PutObject", &folder)
}

/// Asks whether the caller may read what is below a prefix of a bucket.
fn ask_source<E: Engine>(
    gate: &Gate<'_, E>,
    target: &super::Target,
    bucket: Option<&str>,
    prefix: Option<&str>,
) -> Result<(), ApiError> {
    let bucket = bucket.unwrap_or_default();
    gate.ask_plain("s3:ListBucket", &gate.in_s3(target, bucket, None))?;
    gate.ask_plain(
        "s3:GetObject",
        &gate.in_s3(target, bucket, Some(prefix.unwrap_or_default())),
    )
}
