//! The door between the API and whoever carries out exports, imports and bulk operations.

mod bulk;

use std::{future::Future, pin::Pin};

use geodynamo_item::AttributeType;
use geodynamo_table::{CreateTable, TableError};
use serde::{Deserialize, Serialize};

pub use bulk::{BulkCounts, BulkJob, BulkOperations, BulkOutput, BulkState, NewBulk};

/// Milliseconds since the Unix epoch.
pub type Millis = u64;

/// What a call of [`Transfer`] comes to.
pub type Answer<'a, T> = Pin<Box<dyn Future<Output = Result<T, TransferError>> + Send + 'a>>;

/// Carries out exports and imports.
pub trait Transfer: Send + Sync + 'static {
    /// Begins an export; gives it as it is then. With a client token that was used within eight hours, what that began.
    fn begin_export(&self, wanted: NewExport) -> Answer<'_, ExportJob>;

    /// An export by its ARN.
    fn export(&self, arn: &str) -> Option<ExportJob>;

    /// Exports, newest first; only of a table's ARN, if one is given.
    fn exports(&self, table_arn: Option<&str>) -> Vec<ExportJob>;

    /// Begins an import; gives it as it is then.
    fn begin_import(&self, wanted: NewImport) -> Answer<'_, ImportJob>;

    /// An import by its ARN.
    fn import(&self, arn: &str) -> Option<ImportJob>;

    /// Imports, newest first; only into a table's ARN, if one is given.
    fn imports(&self, table_arn: Option<&str>) -> Vec<ImportJob>;

    /// Whoever carries out bulk operations.
    fn bulk(&self) -> &dyn BulkOperations;
}

/// A table's id as clients see it.
pub fn table_id(uuid: u128) -> String {
    crate::operations::uuid(uuid).into()
}

/// Why a job does not begin.
#[derive(Debug, thiserror::Error)]
pub enum TransferError {
    /// `ExportConflictException`: the client token was used with other parameters.
    #[error("A different export with the same client token was requested")]
    ExportConflict,
    /// `ImportConflictException`, likewise.
    #[error("A different import with the same client token was requested")]
    ImportConflict,
    /// `IdempotentParameterMismatchException`: the client token began another bulk operation.
    #[error("the client token was used with other parameters")]
    BulkMismatch,
    /// `InvalidExportTimeException`: the moment is not in the window.
    #[error("The specified time is outside of the window of point in time recovery")]
    InvalidExportTime,
    /// `LimitExceededException` with this message.
    #[error("{0}")]
    LimitExceeded(String),
    /// Whatever tables fail with.
    #[error(transparent)]
    Table(#[from] TableError),
    /// `InternalServerError`. The text is for the log, not for the client.
    #[error("{0}")]
    Internal(String),
}

/// How far a job has come.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum JobState {
    /// Under way.
    InProgress,
    /// Done.
    Completed,
    /// It failed: a code and a message.
    Failed(String, String),
}

impl JobState {
    /// DynamoDB's name.
    pub fn code(&self) -> &'static str {
        match self {
            Self::InProgress => "IN_PROGRESS",
            Self::Completed => "COMPLETED",
            Self::Failed(..) => "FAILED",
        }
    }
}

/// What is exported.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ExportKind {
    /// The table as of a moment.
    Full {
        /// The moment.
        at_ms: Millis,
        /// Whether the request left it to the service: then it is the first one from when it came that there is.
        latest: bool,
    },
    /// What was changed within a window.
    Incremental {
        /// Its begin, which is in it.
        from_ms: Millis,
        /// Its end, which is not.
        to_ms: Millis,
        /// Whether items as they were are told, too.
        old_images: bool,
    },
}

/// An export that is asked for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NewExport {
    /// The table's name.
    pub table: String,
    /// Its ARN, as it was given.
    pub table_arn: String,
    /// What is exported.
    pub kind: ExportKind,
    /// Whether data files are Ion, not DynamoDB JSON.
    pub ion: bool,
    /// The bucket.
    pub bucket: String,
    /// Its owner, as it was given.
    pub bucket_owner: Option<String>,
    /// What the names of the files begin with.
    pub prefix: Option<String>,
    /// How S3 is to encrypt them, as it was given.
    pub sse_algorithm: Option<String>,
    /// With which key.
    pub sse_key: Option<String>,
    /// The request's FilterSpecification, as JSON.
    pub filter: Option<String>,
    /// The client token.
    pub token: Option<String>,
}

/// An export.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExportJob {
    /// Its id.
    pub id: String,
    /// Its ARN.
    pub arn: String,
    /// The table's id in the archive.
    pub table_key: u64,
    /// The table's id as clients see it.
    pub table_id: String,
    /// What was asked for.
    pub wanted: NewExport,
    /// When it began.
    pub started_ms: Millis,
    /// When it ended.
    pub ended_ms: Option<Millis>,
    /// How far it is.
    pub state: JobState,
    /// Where the summary of its manifest is.
    pub manifest: Option<String>,
    /// Lines in its data files.
    pub items: u64,
    /// Their bytes, uncompressed.
    pub bytes: u64,
}

/// How an import's objects are written.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ImportFormat {
    /// A line of `{"Item": {…}}` for each item.
    DynamoDbJson,
    /// A line of Ion text for each item.
    Ion,
    /// Comma-separated values.
    Csv {
        /// Between the values.
        delimiter: u8,
        /// The columns' names; an object's first record has them if they are not told.
        header: Option<Vec<String>>,
    },
}

impl ImportFormat {
    /// DynamoDB's name.
    pub fn code(&self) -> &'static str {
        match self {
            Self::DynamoDbJson => "DYNAMODB_JSON",
            Self::Ion => "ION",
            Self::Csv { .. } => "CSV",
        }
    }
}

/// How an import's objects are compressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum InputCompression {
    /// Not at all.
    None,
    /// gzip.
    Gzip,
    /// Zstandard.
    Zstd,
}

impl InputCompression {
    /// The one of DynamoDB's name. Another name, which the model does not let in, and none are none.
    pub(crate) fn named(name: Option<&str>) -> Self {
        match name {
            Some("GZIP") => Self::Gzip,
            Some("ZSTD") => Self::Zstd,
            _ => Self::None,
        }
    }

    /// DynamoDB's name.
    pub fn code(self) -> &'static str {
        match self {
            Self::None => "NONE",
            Self::Gzip => "GZIP",
            Self::Zstd => "ZSTD",
        }
    }
}

/// An import that is asked for.
#[derive(Clone, Debug, PartialEq)]
pub struct NewImport {
    /// The new table.
    pub create: CreateTable,
    /// The request's TableCreationParameters, as JSON, to be shown again and to be compared.
    pub parameters: String,
    /// Where from and how.
    pub source: ImportSource,
    /// The client token.
    pub token: Option<String>,
}

/// Where the objects of an import or a bulk operation are and how they are written.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ImportSource {
    /// The bucket.
    pub bucket: String,
    /// Its owner, as it was given.
    pub bucket_owner: Option<String>,
    /// What the names of the objects begin with.
    pub prefix: Option<String>,
    /// How they are written.
    pub format: ImportFormat,
    /// How they are compressed.
    pub compression: InputCompression,
}

/// How far an import has come.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ImportCounts {
    /// Bytes of objects that were read, as they are stored.
    pub processed_bytes: u64,
    /// Items that were read.
    pub processed_items: u64,
    /// Items that are in the table; of several with one key, each is counted.
    pub imported_items: u64,
    /// Items that are none, or that the table cannot hold.
    pub errors: u64,
}

/// An import.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ImportJob {
    /// Its id.
    pub id: String,
    /// Its ARN.
    pub arn: String,
    /// The new table's name.
    pub table: String,
    /// Its ARN.
    pub table_arn: String,
    /// Its id as clients see it.
    pub table_id: String,
    /// Its id in engine keys.
    pub table_key: u64,
    /// The types of all key attributes, which CSV does not tell.
    pub key_types: Vec<(String, KeyKind)>,
    /// The request's TableCreationParameters, as JSON.
    pub parameters: String,
    /// Where from and how.
    pub source: ImportSource,
    /// The client token.
    pub token: Option<String>,
    /// When it began.
    pub started_ms: Millis,
    /// When it ended.
    pub ended_ms: Option<Millis>,
    /// How far it is.
    pub state: JobState,
    /// In numbers.
    pub counts: ImportCounts,
}

/// The type of a key attribute.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum KeyKind {
    /// A string.
    S,
    /// A number.
    N,
    /// Binary.
    B,
}

impl From<KeyKind> for AttributeType {
    fn from(kind: KeyKind) -> Self {
        match kind {
            KeyKind::S => Self::S,
            KeyKind::N => Self::N,
            KeyKind::B => Self::B,
        }
    }
}
