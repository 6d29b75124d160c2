//! The operations, one file each, named like the API.

mod auto_scaling;
mod backups;
mod batch_execute_statement;
mod batch_get_item;
mod batch_write_item;
mod bulk;
mod consumed;
mod contributor_insights;
mod control;
mod create_backup;
mod create_table;
mod delete_backup;
mod delete_item;
mod delete_table;
mod describe;
mod describe_backup;
mod describe_continuous_backups;
mod describe_endpoints;
mod describe_export;
mod describe_import;
mod describe_limits;
mod describe_stream;
mod describe_table;
mod describe_time_to_live;
mod execute_statement;
mod execute_transaction;
mod export_filter;
mod export_table_to_point_in_time;
mod get_item;
mod get_records;
mod get_shard_iterator;
mod global_tables;
mod import_table;
mod kinesis;
mod legacy;
mod list_backups;
mod list_exports;
mod list_imports;
mod list_streams;
mod list_tables;
mod list_tags_of_resource;
mod names;
mod next_token;
mod parameters;
mod put_item;
mod query;
mod reading;
mod resource_policy;
mod restore_table_from_backup;
mod restore_table_to_point_in_time;
mod restores;
mod scan;
mod select;
mod statements;
mod streams;
mod tag_resource;
mod throughput;
mod transact_get_items;
mod transact_write_items;
mod transfers;
mod untag_resource;
mod update_continuous_backups;
mod update_item;
mod update_table;
mod update_time_to_live;

use geodynamo_storage::Engine;

pub use export_filter::ExportFilter;
pub(crate) use {describe::uuid, statements::key_names, streams::split_iterator};

use crate::{Api, authorize::Gate, errors::ApiError, generated::Operation, wire::encode};

/// What an operation gives: the reply's document.
type Answer = Result<Vec<u8>, ApiError>;

/// Carries an operation out, once the gate has let its request through.
pub(crate) async fn run<E: Engine>(api: &Api<E>, gate: &Gate<'_, E>, operation: Operation, body: &[u8]) -> Answer {
    match operation {
        Operation::PutItem => put_item::put_item(api, gate.prepared(body)?).await,
        Operation::GetItem => get_item::get_item(api, gate.prepared(body)?).await,
        Operation::UpdateItem => update_item::update_item(api, gate.prepared(body)?).await,
        Operation::DeleteItem => delete_item::delete_item(api, gate.prepared(body)?).await,
        // Other operations' futures are boxed, so that they do not make every request's future larger: those that are used
        // much by themselves, so that the rarest does not make theirs larger.
        Operation::Query => Box::pin(query::query(api, gate.prepared(body)?)).await,
        Operation::TransactWriteItems => {
            Box::pin(transact_write_items::transact_write_items(api, gate.prepared(body)?)).await
        }
        Operation::TransactGetItems => {
            Box::pin(transact_get_items::transact_get_items(api, gate.prepared(body)?)).await
        }
        Operation::BatchGetItem => Box::pin(batch_get_item::batch_get_item(api, gate.prepared(body)?)).await,
        Operation::BatchWriteItem => Box::pin(batch_write_item::batch_write_item(api, gate.prepared(body)?)).await,
        _ => Box::pin(run_rarer(api, gate, operation, body)).await,
    }
}

async fn run_rarer<E: Engine>(api: &Api<E>, gate: &Gate<'_, E>, operation: Operation, body: &[u8]) -> Answer {
    match operation {
        Operation::Scan => scan::scan(api, gate.prepared(body)?).await,
        Operation::ExecuteStatement => execute_statement::execute_statement(api, gate.checked(body)?).await,
        Operation::ExecuteTransaction => execute_transaction::execute_transaction(api, gate.checked(body)?).await,
        Operation::BatchExecuteStatement => {
            batch_execute_statement::batch_execute_statement(api, gate, gate.checked(body)?).await
        }
        Operation::CreateTable => Ok(encode(&create_table::create_table(api, gate.checked(body)?).await?)),
        Operation::DescribeTable => Ok(encode(&describe_table::describe_table(api, &gate.checked(body)?)?)),
        Operation::ListTables => Ok(encode(&list_tables::list_tables(api, &gate.checked(body)?))),
        Operation::UpdateTable => Ok(encode(&update_table::update_table(api, gate.checked(body)?).await?)),
        Operation::DeleteTable => Ok(encode(&delete_table::delete_table(api, &gate.checked(body)?).await?)),
        Operation::TagResource => tag_resource::tag_resource(api, gate.checked(body)?).await,
        Operation::UntagResource => untag_resource::untag_resource(api, gate.checked(body)?).await,
        Operation::ListTagsOfResource => Ok(encode(&list_tags_of_resource::list_tags_of_resource(
            api,
            &gate.checked(body)?,
        )?)),
        Operation::DescribeEndpoints => Ok(encode(&describe_endpoints::describe_endpoints(
            api,
            &gate.checked(body)?,
        ))),
        Operation::DescribeLimits => Ok(encode(&describe_limits::describe_limits(&gate.checked(body)?))),
        Operation::DescribeTimeToLive => Ok(encode(&describe_time_to_live::describe_time_to_live(
            api,
            &gate.checked(body)?,
        )?)),
        Operation::UpdateTimeToLive => Ok(encode(
            &update_time_to_live::update_time_to_live(api, gate.checked(body)?).await?,
        )),
        Operation::ListStreams => Ok(encode(&list_streams::list_streams(api, &gate.checked(body)?)?)),
        Operation::DescribeStream => Ok(encode(&describe_stream::describe_stream(api, &gate.checked(body)?)?)),
        Operation::GetShardIterator => Ok(encode(
            &get_shard_iterator::get_shard_iterator(api, &gate.checked(body)?).await?,
        )),
        Operation::GetRecords => get_records::get_records(api, &gate.checked(body)?).await,
        Operation::DescribeContinuousBackups => Ok(encode(&describe_continuous_backups::describe_continuous_backups(
            api,
            &gate.checked(body)?,
        )?)),
        Operation::UpdateContinuousBackups => Ok(encode(
            &update_continuous_backups::update_continuous_backups(api, &gate.checked(body)?).await?,
        )),
        Operation::CreateBackup => Ok(encode(&create_backup::create_backup(api, &gate.checked(body)?).await?)),
        Operation::DescribeBackup => Ok(encode(
            &describe_backup::describe_backup(api, &gate.checked(body)?).await?,
        )),
        Operation::DeleteBackup => Ok(encode(&delete_backup::delete_backup(api, &gate.checked(body)?).await?)),
        Operation::ListBackups => Ok(encode(&list_backups::list_backups(api, &gate.checked(body)?).await?)),
        Operation::RestoreTableFromBackup => Ok(encode(
            &restore_table_from_backup::restore_table_from_backup(api, gate.checked(body)?).await?,
        )),
        Operation::RestoreTableToPointInTime => Ok(encode(
            &restore_table_to_point_in_time::restore_table_to_point_in_time(api, gate.checked(body)?).await?,
        )),
        Operation::ExportTableToPointInTime => Ok(encode(
            &export_table_to_point_in_time::export_table_to_point_in_time(api, gate.checked(body)?).await?,
        )),
        Operation::DescribeExport => Ok(encode(&describe_export::describe_export(api, &gate.checked(body)?)?)),
        Operation::ListExports => Ok(encode(&list_exports::list_exports(api, &gate.checked(body)?)?)),
        Operation::ImportTable => Ok(encode(&import_table::import_table(api, gate.checked(body)?).await?)),
        Operation::DescribeImport => Ok(encode(&describe_import::describe_import(api, &gate.checked(body)?)?)),
        Operation::ListImports => Ok(encode(&list_imports::list_imports(api, &gate.checked(body)?)?)),
        Operation::EnableKinesisStreamingDestination => kinesis::enable(api, &gate.checked(body)?).await,
        Operation::DisableKinesisStreamingDestination => kinesis::disable(api, &gate.checked(body)?).await,
        Operation::UpdateKinesisStreamingDestination => kinesis::update(api, &gate.checked(body)?).await,
        Operation::DescribeKinesisStreamingDestination => kinesis::describe(api, &gate.checked(body)?),
        Operation::DescribeTableReplicaAutoScaling => auto_scaling::describe(api, &gate.checked(body)?),
        Operation::UpdateTableReplicaAutoScaling => auto_scaling::update(api, gate.checked(body)?).await,
        Operation::GetResourcePolicy => Ok(encode(&resource_policy::get(api, &gate.checked(body)?)?)),
        Operation::PutResourcePolicy => Ok(encode(&resource_policy::put(api, gate, gate.checked(body)?).await?)),
        Operation::DeleteResourcePolicy => Ok(encode(&resource_policy::delete(api, &gate.checked(body)?).await?)),
        Operation::CreateGlobalTable => global_tables::create(&gate.checked(body)?),
        Operation::DescribeGlobalTable => global_tables::describe(&gate.checked(body)?),
        Operation::DescribeGlobalTableSettings => global_tables::describe_settings(&gate.checked(body)?),
        Operation::ListGlobalTables => global_tables::list(&gate.checked(body)?),
        Operation::UpdateGlobalTable => global_tables::update(&gate.checked(body)?),
        Operation::UpdateGlobalTableSettings => global_tables::update_settings(&gate.checked(body)?),
        Operation::UpdateContributorInsights => contributor_insights::update(api, &gate.checked(body)?).await,
        Operation::DescribeContributorInsights => contributor_insights::describe(api, &gate.checked(body)?),
        Operation::ListContributorInsights => contributor_insights::list(api, &gate.checked(body)?),
        Operation::StartBulkPutItems => bulk::start(api, gate.checked(body)?).await,
        Operation::DescribeBulkOperation => bulk::describe(api, &gate.checked(body)?),
        Operation::CancelBulkOperation => bulk::cancel(api, &gate.checked(body)?).await,
        Operation::ListBulkOperations => bulk::list(api, &gate.checked(body)?),
        _ => {
            operation.check(body)?;
            Err(ApiError::not_offered(operation.name()))
        }
    }
}
