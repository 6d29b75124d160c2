//! What becomes of records that a function does not take: a note of them goes where the mapping's OnFailure says.

mod destination;

use serde_json::{Map, Value, json};

pub use self::destination::{Destination, Destinations};
use crate::{invoke::Failure, runner::instant};

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
