//! The archive: a store outside the data directory, in which objects are written once and never changed.
//!
//! An archive is a folder, or a bucket of any S3 API. Every object is compressed and has a header with a version and a
//! checksum that also covers its name, so that [`Archive::get`] gives what was put there or says that it is damaged. Names
//! are paths below the archive's place; whoever keeps things here chooses them such that a listing explains itself.
//!
//! Nothing here knows what the objects hold.

mod archive;
mod envelope;
mod error;
mod place;
#[cfg(feature = "s3")]
mod s3;

pub use archive::{Archive, Found, UNFINISHED_AGE, Verified};
pub use envelope::{OBJECT_BYTES_MAX, Plain, Transform, TransformError};
pub use error::{ArchiveError, Result};
pub use place::{Place, S3Place};
