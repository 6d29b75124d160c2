//! A record as streams get it.

use geodynamo_item::wire;
use geodynamo_json::Writer;
use geodynamo_table::{
    StoredItem,
    kinesis::{FedRecord, Precision},
};
use xxhash_rust::xxh3::xxh3_128;

/// A record to be put.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Data {
    pub(crate) json: Vec<u8>,
    /// The same for all records of an item, so they stay in one shard.
    pub(crate) partition_key: String,
}

/// Writes a record.
pub(crate) fn data(
    fed: &FedRecord,
    region: &str,
    table: &str,
    precision: Option<Precision>,
) -> Result<Data, geodynamo_table::TableError> {
    let record = &fed.record;
    let mut writer = Writer::with_capacity(512 + 2 * record.size_bytes);
    let text = |name: &str, value: &str, writer: &mut Writer| {
        writer.plain_key(name);
        writer.string(value);
    };
    writer.begin_object();
    text("awsRegion", region, &mut writer);
    text("eventID", &uuid(&record.event_id), &mut writer);
    text("eventName", record.kind.code(), &mut writer);
    writer.plain_key("userIdentity");
    if record.expired {
        writer.begin_object();
        text("principalId", "dynamodb.amazonaws.com", &mut writer);
        text("type", "Service", &mut writer);
        writer.end_object();
    } else {
        writer.null();
    }
    text("recordFormat", "application/json", &mut writer);
    text("tableName", table, &mut writer);
    writer.plain_key("dynamodb");
    writer.begin_object();
    writer.plain_key("ApproximateCreationDateTime");
    let scale = if precision == Some(Precision::Microsecond) {
        1000
    } else {
        1
    };
    let time = fed.created_ms.saturating_mul(scale);
    writer.integer(i64::try_from(time).unwrap_or(i64::MAX));
    if let Some(precision) = precision {
        text("ApproximateCreationDateTimePrecision", precision.code(), &mut writer);
    }
    let mut key = Writer::new();
    wire::write_item(&record.keys, &mut key);
    writer.plain_key("Keys");
    wire::write_item(&record.keys, &mut writer);
    let images: [(&str, &Option<StoredItem>); 2] = [("NewImage", &record.new), ("OldImage", &record.old)];
    for (name, image) in images {
        if let Some(image) = image {
            writer.plain_key(name);
            image.write_json(&mut writer)?;
        }
    }
    writer.plain_key("SizeBytes");
    writer.integer(i64::try_from(record.size_bytes).unwrap_or(i64::MAX));
    writer.end_object();
    text("eventSource", "aws:dynamodb", &mut writer);
    writer.end_object();
    Ok(Data {
        json: writer.into_bytes(),
        partition_key: format!("{:032X}", xxh3_128(key.as_bytes())),
    })
}

/// 32 hex digits in the form of a UUID.
fn uuid(hex: &str) -> String {
    let part = |from: usize, to: usize| hex.get(from..to).unwrap_or_default();
    let parts = [part(0, 8), part(8, 12), part(12, 16), part(16, 20), part(20, 32)];
    parts.join("-")
}
