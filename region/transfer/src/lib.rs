//! Exports of tables to S3 and imports from it, as jobs that outlive a restart.
//!
//! An export reads the archive, not the table that serves: a moment of the table for a full one, the net change of each item
//! within a window for an incremental one. An import makes a new table, which is CREATING until all of its items are there.
//! [`Transfers`] implements [`geodynamo_api::transfer::Transfer`], by which the API reaches it; the forms of the files are
//! geodynamo-exchange's.
//!
//! What was asked for, and how far it is, stands in a [`ledger`]: a file for each job. A job that a crash broke off is begun
//! anew at the next start, with the same id: an export writes the same files again, an import puts the same items again.

mod buckets;
mod error;
mod export;
mod import;
mod ledger;
mod root;

pub use buckets::{BucketPlace, Buckets};
pub use error::{Error, Result};
pub use root::Transfers;
