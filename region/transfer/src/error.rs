//! Why a job fails.

use geodynamo_exchange::ObjectError;
use geodynamo_table::TableError;

/// Why a job fails. What a client is shown is a code and a message.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The bucket is not there.
    #[error("The specified bucket does not exist: {0}")]
    NoSuchBucket(String),
    /// Nothing is below the prefix.
    #[error("No objects were found with the prefix '{1}' in the bucket {0}")]
    NoObjects(String, String),
    /// The bucket cannot be read or written.
    #[error("{0}")]
    Bucket(#[from] object_store::Error),
    /// An object is not what it should be.
    #[error("{0}: {1}")]
    Object(String, ObjectError),
    /// Some items were no items.
    #[error("Some of the items failed validation checks and were not imported. Please check CloudWatch error logs for more details.")]
    Items,
    /// More changed in the window than an export holds in memory.
    #[error("More than {0} bytes of items changed in the window; export a shorter one")]
    Window(usize),
    /// The moment is not in the archive.
    #[error("The export's time is not in the archive")]
    Moment,
    /// The archive cannot be read.
    #[error(transparent)]
    Recovery(#[from] geodynamo_recovery::Error),
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
            Self::NoObjects(..) => "S3NoSuchKey",
            Self::Bucket(object_store::Error::PermissionDenied { .. } | object_store::Error::Unauthenticated { .. }) => "S3AccessDenied",
            Self::Bucket(_) => "S3Error",
            Self::Object(..) => "InvalidFileFormat",
            Self::Items => "ItemValidationError",
            Self::Window(_) => "ExportWindowTooLarge",
            Self::Moment => "InvalidExportTime",
            Self::Recovery(_) | Self::Table(_) | Self::Io(_) => "InternalFailure",
        }
    }
}
