//! Kinesis streaming destinations: the words in which the API asks for them, and what whoever serves them needs of tables.
//!
//! A destination gets every change of a table with the item before and after, whatever the table's stream shows. So its table's
//! changes carry both ([`crate::Streams::feed`]), and its change logs are held until they are delivered ([`LogHolder`]).
//!
//! [`LogHolder`]: crate::recovery::LogHolder

use std::{future::Future, pin::Pin};

use geodynamo_replicator_core::{LogInfo, Millis, Position};
use geodynamo_storage::Engine;

use crate::{
    Result, StreamRecord, Table, TableError,
    schema::StreamView,
    streams::{Source, Streams, public_record},
};

/// What a call of [`KinesisDestinations`] comes to.
pub type Answer<'a, T> = Pin<Box<dyn Future<Output = std::result::Result<T, DestinationError>> + Send + 'a>>;

/// Serves the streaming destinations of a region's tables.
pub trait KinesisDestinations: Send + Sync + 'static {
    /// Begins to send a table's changes to a stream.
    fn enable<'a>(&'a self, table: &'a str, stream: &'a str, precision: Option<Precision>) -> Answer<'a, Destination>;

    /// Ends that.
    fn disable<'a>(&'a self, table: &'a str, stream: &'a str) -> Answer<'a, Destination>;

    /// Changes how times are told.
    fn update<'a>(&'a self, table: &'a str, stream: &'a str, precision: Option<Precision>) -> Answer<'a, Destination>;

    /// A table's destinations, those that are off too.
    fn describe(&self, table: &str) -> std::result::Result<Vec<Destination>, DestinationError>;
}

/// How times are told.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Precision {
    /// In milliseconds.
    Millisecond,
    /// In microseconds.
    Microsecond,
}

/// What a destination is doing.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum DestinationStatus {
    /// It is being looked whether there is such a stream.
    Enabling,
    /// It gets the table's changes.
    Active,
    /// It is being ended.
    Disabling,
    /// It gets nothing.
    Disabled,
    /// There is no such stream.
    EnableFailed,
    /// Its settings are being changed.
    Updating,
}

/// A destination.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Destination {
    /// The stream's ARN.
    pub stream: String,
    /// What it is doing.
    pub status: DestinationStatus,
    /// Why, if there is something to tell.
    pub reason: Option<String>,
    /// How times are told, if that was told.
    pub precision: Option<Precision>,
}

/// Why a call is refused.
#[derive(Clone, Debug, thiserror::Error)]
pub enum DestinationError {
    /// `ValidationException` with this message.
    #[error("{0}")]
    Invalid(String),
    /// `LimitExceededException` with this message.
    #[error("{0}")]
    LimitExceeded(String),
    /// `ResourceNotFoundException` with this message.
    #[error("{0}")]
    NotFound(String),
    /// Whatever tables fail with.
    #[error(transparent)]
    Table(#[from] TableError),
}

/// A change as destinations get it.
#[derive(Clone, PartialEq, Debug)]
pub struct FedRecord {
    /// With the item before and after.
    pub record: StreamRecord,
    /// When it was committed here, in milliseconds since the Unix epoch.
    pub created_ms: Millis,
}

impl Precision {
    /// DynamoDB's name.
    pub fn code(self) -> &'static str {
        match self {
            Self::Millisecond => "MILLISECOND",
            Self::Microsecond => "MICROSECOND",
        }
    }

    /// What has this name.
    pub fn from_code(code: &str) -> Option<Self> {
        [Self::Millisecond, Self::Microsecond]
            .into_iter()
            .find(|precision| precision.code() == code)
    }
}

impl DestinationStatus {
    /// DynamoDB's name.
    pub fn code(self) -> &'static str {
        match self {
            Self::Enabling => "ENABLING",
            Self::Active => "ACTIVE",
            Self::Disabling => "DISABLING",
            Self::Disabled => "DISABLED",
            Self::EnableFailed => "ENABLE_FAILED",
            Self::Updating => "UPDATING",
        }
    }
}

impl<E: Engine> Streams<E> {
    /// From here on, every write of a table that begins tells of the item before and after, or need not any more. A
    /// [`cut`](crate::Logs::cut) made afterwards is a place behind which all do.
    pub fn feed(&self, table: &Table, on: bool) {
        table.live.keep_both_images(on);
    }

    /// Changes of one of a table's logs behind a position, with the position of each; and the last position looked at. Some
    /// changes make no record.
    pub async fn fed_records(
        &self,
        table: &Table,
        log: &LogInfo,
        after: Position,
        rows_max: usize,
        bytes_max: usize,
    ) -> Result<(Vec<(Position, FedRecord)>, Position)> {
        // Before the log is read: a change that comes afterwards is not passed over if nothing was found.
        let end = self.local.log_end(log.log);
        let changes = self.logs.read_log(log.log, after, rows_max, bytes_max).await;
        let changes = changes.map_err(|error| TableError::Corrupt(error.to_string()))?;
        let source = Source {
            log: log.log,
            keys: table.keys(),
            view: StreamView::NewAndOldImages,
        };
        let (mut records, mut at) = (Vec::new(), after);
        if changes.is_empty() {
            // What was there is trimmed.
            return Ok((records, at.max(end)));
        }
        for (position, change) in changes {
            if position > end {
                break;
            }
            let created_ms = change.commit_time;
            let sequence = position.0.to_string();
            if let Some(record) = public_record(&source, position, sequence, change)? {
                records.push((position, FedRecord { record, created_ms }));
            }
            at = position;
        }
        Ok((records, at))
    }
}
