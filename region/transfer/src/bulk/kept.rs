//! What the ledger keeps of an operation.

use geodynamo_api::transfer::{BulkCounts, BulkJob};
use serde::{Deserialize, Serialize};

use super::report::Told;
use crate::ledger::Entry;

/// An operation, and where it goes on when it was broken off.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Kept {
    /// As clients are shown it. Its counts may be ahead of the mark's.
    pub(crate) job: BulkJob,
    /// What is done with.
    pub(crate) mark: Mark,
}

/// How far an operation has come, between two batches.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Mark {
    /// Whether it has begun to write: then it may have written of the batch behind the mark.
    pub(crate) begun: bool,
    /// The object that is being read; none before the first.
    pub(crate) object: Option<String>,
    /// Records of it that are done with.
    pub(crate) records: u64,
    /// Whether all of it is.
    pub(crate) whole: bool,
    /// What was counted.
    pub(crate) counts: BulkCounts,
    /// What the reports tell.
    pub(crate) told: Told,
}

impl Kept {
    pub(crate) fn new(job: BulkJob) -> Self {
        Self {
            job,
            mark: Mark::default(),
        }
    }
}

impl Entry for Kept {
    fn id(&self) -> &str {
        &self.job.id
    }

    fn ended(&self) -> bool {
        self.job.state.has_ended()
    }
}
