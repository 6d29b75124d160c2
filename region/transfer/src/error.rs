//! Why a job fails.

use std::io::ErrorKind;

use geodynamo_archive::ArchiveError;
use geodynamo_exchange::ObjectError;
use geodynamo_storage::StorageError;
use geodynamo_table::{TableError, recovery::RecoveryError};

/// Why a job fails. What a client is shown is a code and a message.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The bucket is not there.
    #[error("The specified bucket does not exist: {0}")]
    NoSuchBucket(String),
    /// The bucket's owner, as it was told, is not whoever asks.
    #[error("The bucket {0} belongs to another account")]
    OfAnother(String),
    /// Nothing is below the prefix.
    #[error("No objects were found with the prefix '{prefix}' in the bucket {bucket}")]
    NoObjects {
        /// The bucket.
        bucket: String,
        /// The prefix.
        prefix: String,
    },
    /// There are too many objects.
    #[error("There are more than {0} objects to import")]
    TooManyObjects(usize),
    /// The bucket cannot be read or written.
    #[error("{0}")]
    Bucket(#[from] object_store::Error),
    /// The bucket's place is none.
    #[error(transparent)]
    Place(#[from] ArchiveError),
    /// An object is not what it should be.
    #[error("The object {key} cannot be imported: {reason}")]
    Object {
        /// The object.
        key: String,
        /// Why not.
        reason: ObjectError,
    },
    /// Some items were no items.
    #[error(
        "Some of the items failed validation checks and were not imported. Please check CloudWatch error logs for more details."
    )]
    Items,
    /// The moment is not in the archive.
    #[error("The time of the export is not in the window of point in time recovery any more")]
    Moment,
    /// The filter does not fit the table.
    #[error("The filter cannot be read: {0}")]
    Filter(String),
    /// The table is gone.
    #[error("The table is gone")]
    Gone,
    /// The process ends: the job goes on when it starts again.
    #[error("the process ends")]
    Stopped,
    /// The operation is cancelled.
    #[error("the operation is cancelled")]
    Cancelled,
    /// The archive cannot say where a moment is.
    #[error(transparent)]
    Moments(#[from] RecoveryError),
    /// The archive cannot be read.
    #[error(transparent)]
    Archive(#[from] geodynamo_recovery::Error),
    /// The table cannot be written.
    #[error(transparent)]
    Table(#[from] TableError),
    /// A file of this process cannot be read or written.
    #[error(transparent)]
    Io(#[from] std::io::Error),
}

/// A job's result.
pub type Result<T> = std::result::Result<T, Error>;

impl Error {
    /// The failure's code, in DynamoDB's words where they are known.
    pub fn code(&self) -> &'static str {
        match self {
            Self::NoSuchBucket(_) => "S3NoSuchBucket",
            Self::NoObjects { .. } => "S3NoSuchKey",
            Self::TooManyObjects(_) => "S3TooManyObjects",
            Self::Bucket(
                object_store::Error::PermissionDenied { .. } | object_store::Error::Unauthenticated { .. },
            )
            | Self::OfAnother(_) => "S3AccessDenied",
            Self::Bucket(error) if is_of_bucket(error) => "S3NoSuchBucket",
            Self::Bucket(_) | Self::Place(_) => "S3Error",
            Self::Object { .. } => "InvalidFileFormat",
            Self::Items => "ItemValidationError",
            Self::Moment => "InvalidExportTime",
            Self::Gone => "TableNotFound",
            Self::Cancelled => "Cancelled",
            Self::Filter(_) | Self::Stopped | Self::Moments(_) | Self::Archive(_) | Self::Table(_) | Self::Io(_) => {
                "InternalFailure"
            }
        }
    }

    /// Whether it is this machine's trouble, which may pass.
    pub(crate) fn may_pass(&self) -> bool {
        match self {
            // What is too large is as large the next time.
            Self::Table(TableError::Storage(error)) => !matches!(error, StorageError::TooLarge(_)),
            Self::Io(error) => matches!(
                error.kind(),
                ErrorKind::StorageFull | ErrorKind::QuotaExceeded | ErrorKind::ReadOnlyFilesystem
            ),
            _ => false,
        }
    }
}

/// Whether an S3 API says that the bucket is not there. The store's error has no kind for it.
fn is_of_bucket(error: &object_store::Error) -> bool {
    error.to_string().contains("NoSuchBucket")
}
