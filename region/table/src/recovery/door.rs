//! The door between the API and whoever keeps backups.

use std::{future::Future, pin::Pin};

use geodynamo_replicator_core::Millis;

use super::{Restore, TableSettings};
use crate::{CreateTable, Description, TableError, schema::accounts::given_name};

/// The longest window of point-in-time recovery, in days, which is also the usual one.
pub const RECOVERY_PERIOD_DAYS_MAX: u32 = 35;
/// How long the backup of a deleted table is kept, in milliseconds: 35 days, as in DynamoDB.
pub const BACKUP_RETENTION_MS: Millis = 35 * 24 * 60 * 60 * 1000;
/// What is put behind a deleted table's name for the name of its backup.
pub const DELETED_TABLE_BACKUP: &str = "$DeletedTableBackup";

/// What a call of [`Recovery`] comes to.
pub type Answer<'a, T> = Pin<Box<dyn Future<Output = Result<T, RecoveryError>> + Send + 'a>>;

/// Keeps backups of a region's tables and restores them.
pub trait Recovery: Send + Sync + 'static {
    /// A table's continuous backups.
    fn continuous_backups(&self, table: &str) -> Result<ContinuousBackups, RecoveryError>;

    /// Switches a table's point-in-time recovery on or off. Without a period it stays as it is, or becomes
    /// [`RECOVERY_PERIOD_DAYS_MAX`].
    fn update_continuous_backups<'a>(
        &'a self,
        table: &'a str,
        enabled: bool,
        period_days: Option<u32>,
    ) -> Answer<'a, ContinuousBackups>;

    /// Begins a backup of a table as it is now.
    fn create_backup<'a>(&'a self, table: &'a str, name: &'a str) -> Answer<'a, Backup>;

    /// A backup by its ARN.
    fn backup<'a>(&'a self, arn: &'a str) -> Answer<'a, Backup>;

    /// Removes a backup; gives what it was.
    fn delete_backup<'a>(&'a self, arn: &'a str) -> Answer<'a, Backup>;

    /// Backups that fit a filter, oldest first.
    fn backups(&self, filter: BackupFilter) -> Answer<'_, BackupPage>;

    /// Looks up what can be restored.
    fn restorable(&self, source: RestoreSource) -> Answer<'_, Restorable>;

    /// Begins to restore a table; it is CREATING until all of it is there. `create` is what [`TableSettings::create`] gave,
    /// with the caller's overrides.
    fn restore(&self, from: Restorable, create: CreateTable) -> Answer<'_, Description>;
}

/// A table's continuous backups.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ContinuousBackups {
    /// Whether point-in-time recovery is on.
    pub enabled: bool,
    /// How far back it reaches at most, in days; none while it is off.
    pub period_days: Option<u32>,
    /// The first and the last moment that can be restored, both whole seconds, in milliseconds since the Unix epoch; none
    /// until there is one.
    pub window: Option<(Millis, Millis)>,
}

/// Who made a backup.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BackupKind {
    /// A client.
    User,
    /// The region, of a table that was deleted.
    System,
    /// AWS Backup's API. Such a backup is a recovery point of a vault, and goes only by the vault's rules.
    Aws,
}

impl BackupKind {
    /// DynamoDB's name.
    pub fn code(self) -> &'static str {
        match self {
            Self::User => "USER",
            Self::System => "SYSTEM",
            Self::Aws => "AWS_BACKUP",
        }
    }
}

/// How far a backup has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BackupState {
    /// Being written.
    Creating,
    /// Whole.
    Available,
    /// Just deleted.
    Deleted,
}

impl BackupState {
    /// DynamoDB's name.
    pub fn code(self) -> &'static str {
        match self {
            Self::Creating => "CREATING",
            Self::Available => "AVAILABLE",
            Self::Deleted => "DELETED",
        }
    }
}

/// A backup.
#[derive(Clone, Debug, PartialEq)]
pub struct Backup {
    /// Its ARN.
    pub arn: String,
    /// Its name, which others may have too.
    pub name: String,
    /// Who made it.
    pub kind: BackupKind,
    /// How far it has come.
    pub state: BackupState,
    /// When it was asked for, in milliseconds since the Unix epoch.
    pub created_ms: Millis,
    /// When it goes by itself, if it does.
    pub expires_ms: Option<Millis>,
    /// The table's settings at that time.
    pub settings: TableSettings,
    /// How many items it holds; of one that is being written, how many the table had.
    pub items: u64,
    /// Their size by DynamoDB's formula.
    pub bytes: u64,
}

/// Which backups to list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BackupFilter {
    /// Only of tables of this account; of all where none is told.
    pub account: Option<String>,
    /// Only of the table with this name.
    pub table: Option<String>,
    /// Only of this kind.
    pub kind: Option<BackupKind>,
    /// Not those made before, in milliseconds since the Unix epoch.
    pub from_ms: Option<Millis>,
    /// Not those made at this time or later.
    pub before_ms: Option<Millis>,
    /// Only those behind this one.
    pub after: Option<String>,
    /// How many at most.
    pub limit: usize,
}

/// Some backups.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct BackupPage {
    /// The backups, oldest first.
    pub backups: Vec<Backup>,
    /// The last one's ARN, if there are more.
    pub last: Option<String>,
}

/// What to restore from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RestoreSource {
    /// A table's continuous backups.
    PointInTime {
        /// The table, by name or by ARN. It may be deleted.
        table: String,
        /// The moment, in milliseconds since the Unix epoch; the last one there is if none.
        at_ms: Option<Millis>,
    },
    /// A backup, by its ARN.
    Backup(String),
}

/// What can be restored.
#[derive(Clone, Debug, PartialEq)]
pub struct Restorable {
    /// What the restored table is like, unless it is told otherwise.
    pub settings: TableSettings,
    /// What the new table remembers.
    pub restore: Restore,
}

/// Why backups or restores are refused or fail. The API turns each into DynamoDB's error of that name.
#[derive(Clone, Debug, thiserror::Error)]
pub enum RecoveryError {
    /// `TableNotFoundException`: there is no table of this name.
    #[error("Table not found: {}", given_name(.0))]
    TableNotFound(String),
    /// `TableInUseException` with this message.
    #[error("{0}")]
    TableInUse(String),
    /// `TableAlreadyExistsException`: the target's name is taken.
    #[error("Table already exists: {}", given_name(.0))]
    TableAlreadyExists(String),
    /// `BackupNotFoundException`: there is no backup of this ARN.
    #[error("Backup not found: {0}")]
    BackupNotFound(String),
    /// `BackupInUseException`: the backup of this ARN is being written or read.
    #[error("Backup is being used by another control plane operation: {0}")]
    BackupInUse(String),
    /// `ValidationException`: the backup of this ARN is a recovery point of a backup vault.
    #[error("Backup is managed by AWS Backup and can only be deleted from its backup vault: {0}")]
    BackupOfVault(String),
    /// `ContinuousBackupsUnavailableException` with this message.
    #[error("{0}")]
    ContinuousBackupsUnavailable(String),
    /// `PointInTimeRecoveryUnavailableException`: it is not on for the table of this name.
    #[error("Point in time recovery is not enabled for table '{}'", given_name(.0))]
    PointInTimeRecoveryUnavailable(String),
    /// `InvalidRestoreTimeException`: the moment is not in the window.
    #[error(
        "An invalid restore time was specified. RestoreDateTime must be between EarliestRestorableDateTime and \
         LatestRestorableDateTime."
    )]
    InvalidRestoreTime,
    /// `LimitExceededException` with this message.
    #[error("{0}")]
    LimitExceeded(String),
    /// `InternalServerError`: the archive cannot be used. The text is for the log, not for the client.
    #[error("{0}")]
    Archive(String),
    /// Whatever tables fail with.
    #[error(transparent)]
    Table(#[from] TableError),
}
