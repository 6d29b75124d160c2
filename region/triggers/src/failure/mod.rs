//! What becomes of records that a function does not take: a note of them goes where the mapping's OnFailure says.

mod destination;
mod table;

use bytes::Bytes;
use geodynamo_storage::Engine;
use serde_json::{Map, Value, json};

pub use self::destination::{Destination, Destinations};
pub(crate) use self::{
    destination::Failed,
    table::{TableArn, fault},
};
use crate::{
    invoke::Failure,
    runner::{Shared, instant},
};

/// What a function would have got, in notes that have it.
pub(crate) const PAYLOAD: &str = "payload";
/// The members that notes may have.
pub(crate) const NOTE_ATTRIBUTES: [&str; 6] = [
    "requestContext",
    "responseContext",
    "version",
    "timestamp",
    "DDBStreamBatchInfo",
    PAYLOAD,
];

/// Sends a note where an ARN says, and waits until it is taken there. `event` is what the function would have got.
pub(crate) async fn send<E: Engine>(
    shared: &Shared<E>,
    arn: &str,
    given_up: &GivenUp<'_>,
    event: impl FnOnce() -> Bytes,
) -> Result<(), Failed> {
    match TableArn::parse(arn) {
        Some(table) => table::put(&shared.tables, table, given_up, event).await,
        None => {
            let account = given_up.function.split(':').nth(4).unwrap_or_default();
            let of = shared.destinations.of(shared.other(account), arn);
            let of = of.ok_or_else(|| Failed(format!("no destination is configured for {arn}")))?;
            shared.destinations.send(of, &shared.client, given_up, event).await
        }
    }
}

/// Why records were given up.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Condition {
    RetryAttemptsExhausted,
    RecordAgeExceeded,
}

impl Condition {
    fn code(self) -> &'static str {
        match self {
            Self::RetryAttemptsExhausted => "RetryAttemptsExhausted",
            Self::RecordAgeExceeded => "RecordAgeExceeded",
        }
    }
}

/// Records that were given up.
#[derive(Clone, Debug)]
pub(crate) struct GivenUp<'a> {
    pub(crate) request_id: &'a str,
    pub(crate) function: &'a str,
    pub(crate) mapping: &'a str,
    pub(crate) condition: Condition,
    pub(crate) invocations: u64,
    /// How the last invocation failed, if there was one.
    pub(crate) failure: Option<&'a Failure>,
    pub(crate) stream: &'a str,
    pub(crate) shard: &'a str,
    /// Sequence numbers of the first and the last record.
    pub(crate) sequences: (&'a str, &'a str),
    /// When these were made, in seconds since the Unix epoch.
    pub(crate) created_s: (u64, u64),
    pub(crate) records: usize,
    /// In milliseconds since the Unix epoch.
    pub(crate) now_ms: u64,
}

impl GivenUp<'_> {
    /// One that has all that notes may have: to see whether a table takes it.
    fn sample() -> GivenUp<'static> {
        GivenUp {
            request_id: "0a1b2c3d-0000-4000-8000-000000000000",
            function: "arn:aws:lambda:us-east-1:000000000000:function:f",
            mapping: "0a1b2c3d-0000-4000-8000-000000000000",
            condition: Condition::RetryAttemptsExhausted,
            invocations: 1,
            failure: None,
            stream: "arn:aws:dynamodb:us-east-1:000000000000:table/t/stream/2026-11-30T09:00:00.000",
            shard: "shardId-00000000000000000000-00000000",
            sequences: ("100000000000000000001", "100000000000000000001"),
            created_s: (0, 0),
            records: 1,
            now_ms: 0,
        }
    }

    /// The note, in AWS's form.
    pub(crate) fn note(&self) -> Map<String, Value> {
        let mut note = Map::new();
        note.insert(
            "requestContext".into(),
            json!({
                "requestId": self.request_id,
                "functionArn": self.function,
                "condition": self.condition.code(),
                "approximateInvokeCount": self.invocations,
            }),
        );
        if let Some(failure) = self.failure {
            note.insert(
                "responseContext".into(),
                json!({
                    "statusCode": failure.status,
                    "executedVersion": failure.version,
                    "functionError": failure.error,
                }),
            );
        }
        note.insert("version".into(), "1.0".into());
        let timestamp = format!("{}Z", geodynamo_table::stream_label(self.now_ms));
        note.insert("timestamp".into(), timestamp.into());
        note.insert(
            "DDBStreamBatchInfo".into(),
            json!({
                "shardId": self.shard,
                "startSequenceNumber": self.sequences.0,
                "endSequenceNumber": self.sequences.1,
                "approximateArrivalOfFirstRecord": instant(self.created_s.0),
                "approximateArrivalOfLastRecord": instant(self.created_s.1),
                "batchSize": self.records,
                "streamArn": self.stream,
            }),
        );
        note
    }
}
