use geodynamo_storage::Engine;
use geodynamo_table::{StreamName, given_name};

use super::streams::{page_limit, stream_arn};
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
        .map(|arn| api.stream_of_arn(arn))
        .transpose()?;
    let table = input.table_name.as_deref().map(|name| api.table_of(name)).transpose()?;
    let after = after.filter(|after| api.tables.local().owner(&after.table) == &*api.account);
    let page = api
        .tables
        .streams()
        .list_streams_of(&api.account, table.as_deref(), after, page_limit(input.limit));
    let last = page
        .streams
        .last()
        .filter(|_| page.more)
        .map(|name| stream_arn(api, name));
    let stream = |name: StreamName| Stream {
        stream_arn: Some(stream_arn(api, &name).into()),
        stream_label: Some(name.label().into()),
        table_name: Some(given_name(&name.table).into()),
    };
    Ok(ListStreamsOutput {
        streams: Some(page.streams.into_iter().map(stream).collect()),
        last_evaluated_stream_arn: last.map(Into::into),
    })
}
