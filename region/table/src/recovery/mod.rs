//! What backups and restores need of tables, and the words in which the API asks for them.
//!
//! Who keeps an archive does three things with tables. He holds their change logs until he has read them
//! ([`LogHolder`]), he takes moments of them ([`crate::Logs::cut`], [`crate::Logs::snapshot_of`]), and he makes tables anew from what
//! he kept ([`Loads::create_restored`]). The API reaches him through [`Recovery`], so that it knows of no archive.
//!
//! # A table's state at a moment
//! Every change tells when it was committed here ([`commit_time`]). All changes of one commit, so all of a transaction, have
//! the same time, and a commit that begins after another has ended has no lesser one. The state of a table at a moment is
//! of each key the last change, in the order of the log, that was committed at that moment or before.
//!
//! [`commit_time`]: geodynamo_replicator_core::Change::commit_time

mod bulk;
mod door;
pub(crate) mod imports;
mod load;
mod sealed;

pub use crate::log::cut::{Cut, Row, TableSnapshot};
pub use crate::log::holders::LogHolder;
pub use crate::table::settings::{PointInTime, Restore, TableSettings};
pub use bulk::{ImportLoad, RestoreLoad};
pub use door::{
    Answer, BACKUP_RETENTION_MS, Backup, BackupFilter, BackupKind, BackupPage, BackupState, ContinuousBackups,
    DELETED_TABLE_BACKUP, RECOVERY_PERIOD_DAYS_MAX, Recovery, RecoveryError, Restorable, RestoreSource,
};
pub(crate) use load::mark_key as restore_mark_key;
pub use load::{LoadMark, Loads, Restoring};
pub use sealed::{KEY_AWAY_MAX_MS, Opener, SealedRows};
