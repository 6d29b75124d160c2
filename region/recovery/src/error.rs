//! Why backups and restores fail inside.

use geodynamo_archive::ArchiveError;
use geodynamo_storage::StorageError;
use geodynamo_table::TableError;

/// Why a piece of work could not be done.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The archive fails.
    #[error(transparent)]
    Archive(#[from] ArchiveError),
    /// The tables fail.
    #[error(transparent)]
    Table(#[from] TableError),
    /// What the archive holds does not go together, or cannot be read by this release.
    #[error("{name}: {reason}")]
    Damaged {
        /// The object.
        name: String,
        /// What is wrong.
        reason: String,
    },
    /// Part of the change log is gone, or tells less than it should: a chain cannot go on.
    #[error("the change log of table {table} cannot be archived any more: {reason}")]
    Gap {
        /// The table.
        table: String,
        /// What is missing.
        reason: String,
    },
    /// The table, or what was begun, is gone.
    #[error("it is gone")]
    Gone,
    /// Too much is under way; it may be tried again.
    #[error("{0}")]
    Busy(String),
}

impl Error {
    /// Whether trying again may help.
    pub fn may_pass(&self) -> bool {
        match self {
            Self::Archive(error) => error.may_pass(),
            // What is too large is as large the next time.
            Self::Table(TableError::Storage(error)) => !matches!(error, StorageError::TooLarge(_)),
            Self::Table(_) => false,
            Self::Busy(_) => true,
            Self::Damaged { .. } | Self::Gap { .. } | Self::Gone => false,
        }
    }

    pub(crate) fn damaged(name: &str, reason: impl std::fmt::Display) -> Self {
        Self::Damaged {
            name: name.into(),
            reason: reason.to_string(),
        }
    }
}

/// This crate's result.
pub type Result<T> = std::result::Result<T, Error>;
