use compact_str::CompactString;
use geodynamo_storage::Engine;

use super::{create_table::definition, transfers::import_description};
use crate::{
    Api,
    errors::ApiError,
    generated::{CreateTableInput, ImportTableInput, ImportTableOutput, InputFormatOptions, TableCreationParameters},
    transfer::{ImportFormat, ImportSource, InputCompression, NewImport},
    wire::encode,
};

/// Begins to import objects of S3 into a new table.
pub(super) async fn import_table<E: Engine>(
    api: &Api<E>,
    input: ImportTableInput,
) -> Result<ImportTableOutput, ApiError> {
    // Required by the model, so it is there, here and below.
    let parameters = input.table_creation_parameters.unwrap_or_default();
    let kept = String::from_utf8_lossy(&encode(&parameters)).into_owned();
    let create = definition(api, table_of(parameters))?;
    let bucket = input.s3_bucket_source.unwrap_or_default();
    let text = |text: Option<CompactString>| text.map(String::from);
    let source = ImportSource {
        bucket: text(bucket.s3_bucket).unwrap_or_default(),
        bucket_owner: text(bucket.s3_bucket_owner),
        prefix: text(bucket.s3_key_prefix),
        format: format(
            input.input_format.as_deref().unwrap_or_default(),
            input.input_format_options,
        )?,
        compression: InputCompression::named(input.input_compression_type.as_deref()),
    };
    let Some(transfer) = &api.transfer else {
        return Err(ApiError::not_offered("ImportTable"));
    };
    let wanted = NewImport {
        create,
        parameters: kept,
        source,
        token: text(input.client_token),
    };
    let job = transfer.begin_import(wanted).await?;
    Ok(ImportTableOutput {
        import_table_description: Some(import_description(&job)?),
    })
}

fn table_of(parameters: TableCreationParameters) -> CreateTableInput {
    CreateTableInput {
        table_name: parameters.table_name,
        attribute_definitions: parameters.attribute_definitions,
        key_schema: parameters.key_schema,
        billing_mode: parameters.billing_mode,
        provisioned_throughput: parameters.provisioned_throughput,
        on_demand_throughput: parameters.on_demand_throughput,
        sse_specification: parameters.sse_specification,
        global_secondary_indexes: parameters.global_secondary_indexes,
        vector_indexes: parameters.vector_indexes,
        ..CreateTableInput::default()
    }
}

fn format(name: &str, options: Option<InputFormatOptions>) -> Result<ImportFormat, ApiError> {
    let csv = options.and_then(|options| options.csv);
    match name {
        "CSV" => {
            let csv = csv.unwrap_or_default();
            Ok(ImportFormat::Csv {
                // One byte, by the model's pattern.
                delimiter: csv.delimiter.and_then(|text| text.bytes().next()).unwrap_or(b','),
                header: csv
                    .header_list
                    .map(|names| names.into_iter().map(String::from).collect()),
            })
        }
        _ if csv.is_some() => Err(ApiError::invalid(
            "InputFormatOptions of Csv can only be specified for the InputFormat CSV",
        )),
        "ION" => Ok(ImportFormat::Ion),
        _ => Ok(ImportFormat::DynamoDbJson),
    }
}
