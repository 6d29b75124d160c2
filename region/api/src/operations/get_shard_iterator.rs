use geodynamo_storage::Engine;
use geodynamo_table::ShardPlace;

use super::streams::{iterator_text, stream_arn, stream_error};
use crate::{
    Api,
    errors::ApiError,
    generated::{GetShardIteratorInput, GetShardIteratorOutput},
};

/// Gives an iterator of a shard.
pub(super) async fn get_shard_iterator<E: Engine>(
    api: &Api<E>,
    input: &GetShardIteratorInput,
) -> Result<GetShardIteratorOutput, ApiError> {
    let arn = input.stream_arn.as_deref().unwrap_or_default();
    let name = api.stream_of_arn(arn)?;
    let kind = input.shard_iterator_type.as_deref().unwrap_or_default();
    let sequence = || {
        let number = input.sequence_number.as_deref();
        number.ok_or_else(|| ApiError::iterator_parameter_missing("SequenceNumber", kind))
    };
    if input.sequence_number.is_some() && !matches!(kind, "AT_SEQUENCE_NUMBER" | "AFTER_SEQUENCE_NUMBER") {
        return Err(ApiError::iterator_parameter_extra("SequenceNumber", kind));
    }
    let place = match kind {
        "LATEST" => ShardPlace::Latest,
        "AT_SEQUENCE_NUMBER" => ShardPlace::At(sequence()?),
        "AFTER_SEQUENCE_NUMBER" => ShardPlace::After(sequence()?),
        "AT_TIMESTAMP" => {
            let time = input.timestamp;
            let time = time.ok_or_else(|| ApiError::iterator_parameter_missing("Timestamp", kind))?;
            // Beyond what it can hold a number saturates: a time before 1970 is the oldest, and one after all time is
            // in the future.
            let ms = (time * 1000.0) as u64;
            if ms > api.tables.now_ms() {
                return Err(ApiError::timestamp_in_future());
            }
            ShardPlace::Time(ms)
        }
        // The model allows no other.
        _ => ShardPlace::TrimHorizon,
    };
    let shard = input.shard_id.as_deref().unwrap_or_default();
    let iterator = api.tables.streams().shard_iterator(&name, shard, place).await;
    let iterator = iterator.map_err(|error| stream_error(error, arn))?;
    Ok(GetShardIteratorOutput {
        shard_iterator: Some(iterator_text(&stream_arn(api, &name), &iterator).into()),
    })
}
