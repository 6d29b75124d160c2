use geodynamo_storage::Engine;
use geodynamo_table::Shard;

use super::{
    describe::{key_schema, seconds},
    streams::{page_limit, stream_arn, stream_error},
};
use crate::{
    Api,
    errors::ApiError,
    generated::{self, DescribeStreamInput, DescribeStreamOutput, SequenceNumberRange, StreamDescription},
};

/// Describes a stream and its shards, or the children of one of them.
pub(super) fn describe_stream<E: Engine>(
    api: &Api<E>,
    input: &DescribeStreamInput,
) -> Result<DescribeStreamOutput, ApiError> {
    let arn = input.stream_arn.as_deref().unwrap_or_default();
    let name = api.stream_of_arn(arn)?;
    let filter = input.shard_filter.as_ref();
    let parent = filter.and_then(|filter| filter.shard_id.as_deref());
    if filter.is_some() && parent.is_none() {
        return Err(ApiError::no_parent_shard());
    }
    let after = input.exclusive_start_shard_id.as_deref();
    let found = api
        .tables
        .streams()
        .describe_stream(&name, after, parent, page_limit(input.limit))
        .map_err(|error| stream_error(error, arn))?;
    let last = found
        .shards
        .last()
        .filter(|_| found.more)
        .map(|shard| shard.id.as_str().into());
    Ok(DescribeStreamOutput {
        stream_description: Some(StreamDescription {
            stream_arn: Some(stream_arn(api, &name).into()),
            stream_label: Some(name.label().into()),
            stream_status: Some(if found.enabled { "ENABLED" } else { "DISABLED" }.into()),
            stream_view_type: Some(found.view.code().into()),
            creation_request_date_time: Some(seconds(name.label_ms)),
            table_name: Some(name.table.into()),
            key_schema: Some(key_schema(&found.keys)),
            shards: Some(found.shards.into_iter().map(shard).collect()),
            last_evaluated_shard_id: last,
        }),
    })
}

fn shard(shard: Shard) -> generated::Shard {
    generated::Shard {
        shard_id: Some(shard.id.into()),
        sequence_number_range: Some(SequenceNumberRange {
            starting_sequence_number: Some(shard.start.into()),
            ending_sequence_number: shard.end.map(Into::into),
        }),
        parent_shard_id: shard.parent.map(Into::into),
    }
}
