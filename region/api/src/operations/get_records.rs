use geodynamo_json::Writer;
use geodynamo_storage::Engine;
use geodynamo_table::{ConflictVersion, EventKind, StreamRecord, stream_label};

use super::{
    Answer,
    streams::{iterator_text, records_limit, split_iterator, stream_arn, stream_error, stream_of_arn},
};
use crate::{Api, errors::ApiError, generated::GetRecordsInput, wire::Value as _};

/// Bytes of a reply beside its records.
const REPLY_BYTES: usize = 512;
/// Bytes of a record beside its key and images.
const RECORD_BYTES: usize = 512;

/// Gives records of a shard. Images go to the reply in their stored form, without items being built.
pub(super) async fn get_records<E: Engine>(api: &Api<E>, input: &GetRecordsInput) -> Answer {
    let limit = records_limit(input.limit)?;
    let (arn, iterator) = split_iterator(input.shard_iterator.as_deref().unwrap_or_default())?;
    let name = stream_of_arn(arn).map_err(|_| ApiError::invalid_shard_iterator())?;
    let page = api.tables.stream_records(&name, iterator, limit).await;
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
        write_record(record, api.tables.region(), &mut writer)?;
    }
    writer.end_array();
    if let Some(next) = page.next {
        writer.plain_key("NextShardIterator");
        writer.string(&iterator_text(&stream_arn(api, &name), &next));
    }
    writer.end_object();
    Ok(writer.into_bytes())
}

fn write_record(record: &StreamRecord, region: &str, writer: &mut Writer) -> Result<(), ApiError> {
    let text = |name: &str, value: &str, writer: &mut Writer| {
        writer.plain_key(name);
        writer.string(value);
    };
    let whole = |name: &str, number: u64, writer: &mut Writer| {
        writer.plain_key(name);
        writer.integer(i64::try_from(number).unwrap_or(i64::MAX));
    };
    writer.begin_object();
    text("eventID", &record.event_id, writer);
    let name = match record.kind {
        EventKind::Insert => "INSERT",
        EventKind::Modify => "MODIFY",
        EventKind::Remove => "REMOVE",
    };
    text("eventName", name, writer);
    text("eventVersion", "1.1", writer);
    text("eventSource", "aws:dynamodb", writer);
    text("awsRegion", region, writer);
    writer.plain_key("dynamodb");
    writer.begin_object();
    whole("ApproximateCreationDateTime", record.created_s, writer);
    writer.plain_key("Keys");
    record.keys.encode(writer);
    for (name, image) in [("NewImage", &record.new), ("OldImage", &record.old)] {
        if let Some(image) = image {
            writer.plain_key(name);
            image.write_json(writer)?;
        }
    }
    text("SequenceNumber", &record.sequence, writer);
    whole("SizeBytes", record.size_bytes as u64, writer);
    text("StreamViewType", record.view.code(), writer);
    writer.end_object();
    if let Some(conflict) = &record.conflict {
        // Programs know a record's members only, so the versions are told where DynamoDB names who acted.
        writer.plain_key("userIdentity");
        writer.begin_object();
        let version = |version: &ConflictVersion| format!("{}@{}Z", version.by, stream_label(version.time_ms));
        let versions = format!(
            "loser={};winner={}",
            version(&conflict.loser),
            version(&conflict.winner)
        );
        text("PrincipalId", &versions, writer);
        text("Type", "Conflict", writer);
        writer.end_object();
    }
    if record.expired {
        writer.plain_key("userIdentity");
        writer.begin_object();
        text("PrincipalId", "dynamodb.amazonaws.com", writer);
        text("Type", "Service", writer);
        writer.end_object();
    }
    writer.end_object();
    Ok(())
}
