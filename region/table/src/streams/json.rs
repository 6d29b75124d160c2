//! A stream's record as clients and functions get it.

use geodynamo_item::wire;
use geodynamo_json::Writer;

use super::{ConflictVersion, ConflictVersions, EventKind, StreamRecord};
use crate::{Result, stream_label};

/// Whom a record is written for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RecordForm<'a> {
    /// A client of GetRecords.
    Client,
    /// A function: with the stream's ARN.
    Event(&'a str),
}

impl EventKind {
    /// DynamoDB's name.
    pub fn code(self) -> &'static str {
        match self {
            Self::Insert => "INSERT",
            Self::Modify => "MODIFY",
            Self::Remove => "REMOVE",
        }
    }
}

impl StreamRecord {
    /// Writes the record. Images go out in their stored form, without items being built.
    pub fn write_json(&self, region: &str, form: RecordForm<'_>, writer: &mut Writer) -> Result<()> {
        let text = |name: &str, value: &str, writer: &mut Writer| {
            writer.plain_key(name);
            writer.string(value);
        };
        let whole = |name: &str, number: u64, writer: &mut Writer| {
            writer.plain_key(name);
            writer.integer(i64::try_from(number).unwrap_or(i64::MAX));
        };
        writer.begin_object();
        text("eventID", &self.event_id, writer);
        text("eventName", self.kind.code(), writer);
        text("eventVersion", "1.1", writer);
        text("eventSource", "aws:dynamodb", writer);
        text("awsRegion", region, writer);
        writer.plain_key("dynamodb");
        writer.begin_object();
        whole("ApproximateCreationDateTime", self.created_ms / 1000, writer);
        writer.plain_key("Keys");
        wire::write_item(&self.keys, writer);
        for (name, image) in [("NewImage", &self.new), ("OldImage", &self.old)] {
            if let Some(image) = image {
                writer.plain_key(name);
                image.write_json(writer)?;
            }
        }
        text("SequenceNumber", &self.sequence, writer);
        whole("SizeBytes", self.size_bytes as u64, writer);
        text("StreamViewType", self.view.code(), writer);
        writer.end_object();
        // The one difference that clients and functions see.
        let (principal, kind) = match form {
            RecordForm::Client => ("PrincipalId", "Type"),
            RecordForm::Event(_) => ("principalId", "type"),
        };
        if let Some(ConflictVersions { loser, winner }) = &self.conflict {
            // Programs know a record's members only, so the versions are told where DynamoDB names who acted.
            writer.plain_key("userIdentity");
            writer.begin_object();
            let version = |version: &ConflictVersion| format!("{}@{}Z", version.by, stream_label(version.time_ms));
            text(
                principal,
                &format!("loser={};winner={}", version(loser), version(winner)),
                writer,
            );
            text(kind, "Conflict", writer);
            writer.end_object();
        }
        if self.expired {
            writer.plain_key("userIdentity");
            writer.begin_object();
            text(principal, "dynamodb.amazonaws.com", writer);
            text(kind, "Service", writer);
            writer.end_object();
        }
        if let RecordForm::Event(arn) = form {
            text("eventSourceARN", arn, writer);
        }
        writer.end_object();
        Ok(())
    }
}
