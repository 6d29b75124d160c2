use geodynamo_json::Writer;
use geodynamo_storage::Engine;
use geodynamo_table::RecordForm;

use super::{
    Answer,
    streams::{iterator_text, records_limit, split_iterator, stream_arn, stream_error},
};
use crate::{Api, errors::ApiError, generated::GetRecordsInput};

/// Bytes of a reply beside its records.
const REPLY_BYTES: usize = 512;
/// Bytes of a record beside its key and images.
const RECORD_BYTES: usize = 512;

/// Gives records of a shard. Images go to the reply in their stored form, without items being built.
pub(super) async fn get_records<E: Engine>(api: &Api<E>, input: &GetRecordsInput) -> Answer {
    let limit = records_limit(input.limit)?;
    let (arn, iterator) = split_iterator(input.shard_iterator.as_deref().unwrap_or_default())?;
    let name = api.stream_of_arn(arn).map_err(|_| ApiError::invalid_shard_iterator())?;
    let page = api.tables.streams().stream_records(&name, iterator, limit).await;
    let page = page.map_err(|error| stream_error(error, arn))?;
    let bytes: usize = page
        .records
        .iter()
        .map(|record| RECORD_BYTES + 2 * record.size_bytes)
        .sum();
    let mut writer = Writer::with_capacity(REPLY_BYTES + bytes);
    writer.begin_object();
    writer.plain_key("Records");
    writer.begin_array();
    for record in &page.records {
        record.write_json(api.tables.region(), RecordForm::Client, &mut writer)?;
    }
    writer.end_array();
    if let Some(next) = page.next {
        writer.plain_key("NextShardIterator");
        writer.string(&iterator_text(&stream_arn(api, &name), &next));
    }
    writer.end_object();
    Ok(writer.into_bytes())
}
