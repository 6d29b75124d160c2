//! Kinesis streaming destinations.

use geodynamo_storage::Engine;
use geodynamo_table::given_name;
use geodynamo_table::kinesis::{Destination, DestinationError, KinesisDestinations, Precision};

use super::Answer;
use crate::{
    Api,
    errors::ApiError,
    generated::{
        DescribeKinesisStreamingDestinationInput, DescribeKinesisStreamingDestinationOutput,
        EnableKinesisStreamingConfiguration, KinesisDataStreamDestination, KinesisStreamingDestinationInput,
        KinesisStreamingDestinationOutput, UpdateKinesisStreamingConfiguration, UpdateKinesisStreamingDestinationInput,
        UpdateKinesisStreamingDestinationOutput,
    },
    wire::encode,
};

impl From<DestinationError> for ApiError {
    fn from(error: DestinationError) -> Self {
        match error {
            DestinationError::Invalid(message) => Self::validation(message),
            DestinationError::LimitExceeded(message) => Self::limit_exceeded(message),
            DestinationError::NotFound(message) => Self::resource_not_found(message),
            DestinationError::Table(error) => error.into(),
        }
    }
}

/// Whoever serves destinations. Where no Kinesis is configured, the operations are not there.
fn door<'a, E: Engine>(api: &'a Api<E>, operation: &str) -> Result<&'a dyn KinesisDestinations, ApiError> {
    api.kinesis.as_deref().ok_or_else(|| ApiError::not_offered(operation))
}

fn precision(told: Option<&str>) -> Option<Precision> {
    // The model allows no others.
    told.and_then(Precision::from_code)
}

/// Begins to send a table's changes to a stream.
pub(super) async fn enable<E: Engine>(api: &Api<E>, input: &KinesisStreamingDestinationInput) -> Answer {
    let name = &*api.table_name(&input.table_name)?;
    let told = input.enable_kinesis_streaming_configuration.as_ref();
    let wanted = precision(told.and_then(|told| told.approximate_creation_date_time_precision.as_deref()));
    let stream = input.stream_arn.as_deref().unwrap_or_default();
    let destination = door(api, "EnableKinesisStreamingDestination")?
        .enable(name, stream, wanted)
        .await?;
    Ok(encode(&output(name, destination)))
}

/// Ends that.
pub(super) async fn disable<E: Engine>(api: &Api<E>, input: &KinesisStreamingDestinationInput) -> Answer {
    let name = &*api.table_name(&input.table_name)?;
    let stream = input.stream_arn.as_deref().unwrap_or_default();
    let destination = door(api, "DisableKinesisStreamingDestination")?
        .disable(name, stream)
        .await?;
    Ok(encode(&output(name, destination)))
}

/// Changes how times are told.
pub(super) async fn update<E: Engine>(api: &Api<E>, input: &UpdateKinesisStreamingDestinationInput) -> Answer {
    let name = &*api.table_name(&input.table_name)?;
    let told = input.update_kinesis_streaming_configuration.as_ref();
    let wanted = precision(told.and_then(|told| told.approximate_creation_date_time_precision.as_deref()));
    let stream = input.stream_arn.as_deref().unwrap_or_default();
    let destination = door(api, "UpdateKinesisStreamingDestination")?
        .update(name, stream, wanted)
        .await?;
    Ok(encode(&UpdateKinesisStreamingDestinationOutput {
        table_name: Some(given_name(name).into()),
        stream_arn: Some(destination.stream.into()),
        destination_status: Some(destination.status.code().into()),
        update_kinesis_streaming_configuration: destination.precision.map(|precision| {
            UpdateKinesisStreamingConfiguration {
                approximate_creation_date_time_precision: Some(precision.code().into()),
            }
        }),
    }))
}

/// A table's destinations.
pub(super) fn describe<E: Engine>(api: &Api<E>, input: &DescribeKinesisStreamingDestinationInput) -> Answer {
    let table = api.tables.describe(&api.table_name(&input.table_name)?)?;
    let all = match &api.kinesis {
        Some(kinesis) => kinesis.describe(&table.name)?,
        None => Vec::new(),
    };
    let shown = |destination: Destination| KinesisDataStreamDestination {
        stream_arn: Some(destination.stream.into()),
        destination_status: Some(destination.status.code().into()),
        destination_status_description: destination.reason.map(Into::into),
        approximate_creation_date_time_precision: destination.precision.map(|precision| precision.code().into()),
    };
    Ok(encode(&DescribeKinesisStreamingDestinationOutput {
        table_name: Some(given_name(&table.name).into()),
        kinesis_data_stream_destinations: Some(all.into_iter().map(shown).collect()),
    }))
}

fn output(name: &str, destination: Destination) -> KinesisStreamingDestinationOutput {
    KinesisStreamingDestinationOutput {
        table_name: Some(given_name(name).into()),
        stream_arn: Some(destination.stream.into()),
        destination_status: Some(destination.status.code().into()),
        enable_kinesis_streaming_configuration: destination.precision.map(|precision| {
            EnableKinesisStreamingConfiguration {
                approximate_creation_date_time_precision: Some(precision.code().into()),
            }
        }),
    }
}
