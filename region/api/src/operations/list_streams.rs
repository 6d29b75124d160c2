use geodynamo_storage::Engine;
use geodynamo_table::StreamName;

use super::streams::{page_limit, stream_arn, stream_of_arn};
use crate::{
    Api,
    errors::ApiError,
    generated::{ListStreamsInput, ListStreamsOutput, Stream},
};

/// Gives the streams of this region, or of one table: also those that are switched off and can still be read.
pub(super) fn list_streams<E: Engine>(api: &Api<E>, input: &ListStreamsInput) -> Result<ListStreamsOutput, ApiError> {
    let after = input
        .exclusive_start_stream_arn
        .as_deref()
        .map(stream_of_arn)
        .transpose()?;
    let table = input.table_name.as_deref();
    let page = api.tables.streams().list_streams(table, after, page_limit(input.limit));
    let last = page
        .streams
        .last()
        .filter(|_| page.more)
        .map(|name| stream_arn(api, name));
    let stream = |name: StreamName| Stream {
        stream_arn: Some(stream_arn(api, &name).into()),
        stream_label: Some(name.label().into()),
        table_name: Some(name.table.into()),
    };
    Ok(ListStreamsOutput {
        streams: Some(page.streams.into_iter().map(stream).collect()),
        last_evaluated_stream_arn: last.map(Into::into),
    })
}
