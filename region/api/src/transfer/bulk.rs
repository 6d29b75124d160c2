//! The door to whoever carries out bulk operations.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{Answer, ImportSource, Millis};

/// Carries out bulk operations: puts what objects of S3 have into tables that serve.
pub trait BulkOperations: Send + Sync + 'static {
    /// Begins an operation; gives it as it is then. With a client token that was used within eight hours, what that began.
    fn begin(&self, wanted: NewBulk) -> Answer<'_, BulkJob>;

    /// An operation by its ARN.
    fn find(&self, arn: &str) -> Option<BulkJob>;

    /// All that began within 90 days, newest first.
    fn list(&self) -> Vec<BulkJob>;

    /// Has an operation that is under way end early; gives it as it is then. None of that ARN: nothing.
    fn cancel(&self, arn: &str) -> Answer<'_, Option<BulkJob>>;
}

/// How far an operation has come.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum BulkState {
    /// It waits, or writes.
    InProgress,
    /// It is to end early.
    Cancelling,
    /// It has ended early.
    Cancelled,
    /// All was read; what its conditions let through is written.
    Completed,
    /// All was read; some of it was no item, or none of the table.
    CompletedWithErrors,
    /// It failed: a code and a message.
    Failed(String, String),
}

impl BulkState {
    /// DynamoDB's name.
    pub fn code(&self) -> &'static str {
        match self {
            Self::InProgress => "IN_PROGRESS",
            Self::Cancelling => "CANCELLING",
            Self::Cancelled => "CANCELLED",
            Self::Completed => "COMPLETED",
            Self::CompletedWithErrors => "COMPLETED_WITH_ERRORS",
            Self::Failed(..) => "FAILED",
        }
    }

    /// Whether nothing more happens to it.
    pub fn has_ended(&self) -> bool {
        !matches!(self, Self::InProgress | Self::Cancelling)
    }
}

/// Where the reports of an operation go, and what they tell.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BulkOutput {
    /// The bucket.
    pub bucket: String,
    /// Its owner, as it was given.
    pub bucket_owner: Option<String>,
    /// What the names of the reports begin with.
    pub prefix: Option<String>,
    /// How S3 is to encrypt them, as it was given.
    pub sse_algorithm: Option<String>,
    /// With which key.
    pub sse_key: Option<String>,
    /// Whether they tell what was no item, or none of the table.
    pub errors: bool,
    /// Whether they tell whose condition did not hold.
    pub failed_conditions: bool,
}

/// An operation that is asked for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NewBulk {
    /// The table's name in the catalog.
    pub table: String,
    /// Its ARN.
    pub table_arn: String,
    /// The account that asks, whose the buckets are.
    pub account: String,
    /// Where from and how.
    pub source: ImportSource,
    /// Where reports go.
    pub output: BulkOutput,
    /// The most write units a second.
    pub max_units: Option<u64>,
    /// Whether it is to be fast at the cost of others.
    pub accelerated: bool,
    /// The client token.
    pub token: Option<String>,
}

/// How far an operation has come, in numbers.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct BulkCounts {
    /// Bytes of objects that were read, as they are stored.
    pub processed_bytes: u64,
    /// Records that were read.
    pub processed_items: u64,
    /// Those that were no item, or none of the table; an object that cannot be read on is one.
    pub failed_items: u64,
    /// Those whose condition did not hold.
    pub failed_conditions: u64,
    /// Write units that the table consumed.
    pub table_units: u64,
    /// Those of local indexes, by name.
    pub local_units: BTreeMap<String, u64>,
    /// Those of global indexes, by name.
    pub global_units: BTreeMap<String, u64>,
}

/// An operation.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BulkJob {
    /// Its id: of ids, the greater one is of what began later.
    pub id: String,
    /// Its ARN.
    pub arn: String,
    /// The table's id as clients see it.
    pub table_id: String,
    /// Its id in engine keys.
    pub table_key: u64,
    /// What was asked for.
    pub wanted: NewBulk,
    /// When it began.
    pub started_ms: Millis,
    /// When it ended.
    pub ended_ms: Option<Millis>,
    /// How far it is.
    pub state: BulkState,
    /// In numbers.
    pub counts: BulkCounts,
    /// Bytes of all objects, once that is known.
    pub total_bytes: Option<u64>,
}
