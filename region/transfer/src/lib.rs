//! Exports of tables to S3, imports and bulk operations from it, as jobs that outlive a restart.
//!
//! An export reads the archive, not the table that serves: a moment of the table for a full one, the net change of each item
//! within a window for an incremental one. An import makes a new table, which is CREATING until all of its items are there.
//! [`Transfers`] implements [`geodynamo_api::transfer::Transfer`], by which the API reaches it; the forms of the files are
//! geodynamo-exchange's. A bulk operation puts items into a table that serves, and has a room of its own (`bulk`).
//!
//! What was asked for stands in a ledger: a file for each job, sealed where data is encrypted. When a process ends in the midst of a job, it goes on at the next
//! start: an export writes the same files again, an import goes on behind the last record that was committed.

mod buckets;
mod bulk;
mod error;
mod error_log;
mod export;
mod import;
mod ledger;
mod objects;
mod root;
mod seal;
mod stop;
#[cfg(test)]
mod tests;
mod window;
mod writer;

pub use buckets::{BucketPlace, Buckets};
pub use bulk::BulkStatus;
pub use error::{Error, Result};
pub use root::{Status, Transfers};
