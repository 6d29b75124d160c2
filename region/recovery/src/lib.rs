//! Backups and restores: continuous backups with point-in-time recovery, backups on demand, and tables made from either.
//!
//! [`Recoveries`] stands between a region's [`Tables`] and an [`Archive`]. It implements [`geodynamo_table::recovery::Recovery`],
//! by which the API reaches it.
//!
//! # What is kept
//! A table with point-in-time recovery has a **chain**: now and then a *base*, all items as they were at one moment, and the
//! change log from the first base on in *segments*, which are shipped every few seconds. A table's state at a moment is the
//! last base before it, and of each key behind that the last change that was committed by then ([`Moment`]).
//!
//! The log on disk waits for the archive ([`geodynamo_table::recovery::LogHolder`]) within [`Options::behind_ms_max`] and
//! [`Options::behind_records_max`]. Past either it waits no longer: the chain ends, which is told in the log and in
//! [`Status::chains_broken`], and the window begins anew with a base as soon as the archive can be written again. Writes are
//! never stopped.
//!
//! A backup is a base of its own. That of a deleted table is a record that names its chain. A copy of a backup of another region
//! is a backup like any other, but for the order in which it is written: its record comes last.
//!
//! # Names
//! ```text
//! REGION/REPLICA/table/NAME-ID/CHAIN/base/MS-NONCE/000000    a chunk of a base, and so on
//! REGION/REPLICA/table/NAME-ID/CHAIN/base/MS-NONCE/manifest  written last: a base without it is none
//! REGION/REPLICA/table/NAME-ID/CHAIN/log/SEQUENCE-CLOSED-REACH-NONCE
//! REGION/REPLICA/table/NAME-ID/CHAIN/settings/MS-NONCE       the table's settings from then on
//! REGION/backup/NAME/ID/record                               what DescribeBackup shows
//! REGION/backup/NAME/ID/base/MS-NONCE/...                    as above
//! REGION/register/NAME/MS-NONCE                              what a service above keeps; the last one counts
//! ```
//! Times are milliseconds since the Unix epoch. All that stands here is written once.
//!
//! [`Tables`]: geodynamo_table::Tables
//! [`Archive`]: geodynamo_archive::Archive

mod away;
mod backups;
mod base;
mod catalogue;
mod chain;
mod codec;
mod copies;
mod error;
mod follow;
mod layout;
mod mend;
mod options;
mod registers;
mod replay;
mod restore;
mod retention;
mod root;
mod scrub;
mod service;

pub use catalogue::{Archived, archived_tables};
pub use codec::{Manifest, Record};
pub use copies::{Arrived, COPY_OBJECT_BYTES_MAX, CopyHead, Outgoing};
pub use error::{Error, Result};
pub use options::Options;
pub use replay::{Changes, Job, Moment};
pub use root::{Recoveries, RestoreProgress, Status};
