//! Errors of backups and restores, exports and imports.

use geodynamo_table::recovery::RecoveryError;

use super::ApiError;
use crate::transfer::TransferError;

impl ApiError {
    /// `ContinuousBackupsUnavailableException` of a region that has no archive.
    pub fn no_archive() -> Self {
        Self::dynamodb(
            "ContinuousBackupsUnavailableException",
            "Backups are not available: this region has no archive. See [archive] in its configuration.",
        )
    }

    /// `PointInTimeRecoveryUnavailableException`.
    pub fn point_in_time_recovery_unavailable(table: &str) -> Self {
        Self::from(RecoveryError::PointInTimeRecoveryUnavailable(table.into()))
    }
}

impl From<TransferError> for ApiError {
    fn from(error: TransferError) -> Self {
        let name = match &error {
            TransferError::ExportConflict => "ExportConflictException",
            TransferError::ImportConflict => "ImportConflictException",
            TransferError::BulkMismatch => return Self::idempotent_parameter_mismatch(),
            TransferError::InvalidExportTime => "InvalidExportTimeException",
            TransferError::LimitExceeded(_) => "LimitExceededException",
            TransferError::Internal(_) => return Self::internal(error),
            TransferError::Table(error) => return error.clone().into(),
        };
        Self::dynamodb(name, error.to_string())
    }
}

impl From<RecoveryError> for ApiError {
    fn from(error: RecoveryError) -> Self {
        let name = match &error {
            RecoveryError::TableNotFound(_) => "TableNotFoundException",
            RecoveryError::TableInUse(_) => "TableInUseException",
            RecoveryError::TableAlreadyExists(_) => "TableAlreadyExistsException",
            RecoveryError::BackupNotFound(_) => "BackupNotFoundException",
            RecoveryError::BackupInUse(_) => "BackupInUseException",
            RecoveryError::BackupOfVault(_) => return Self::invalid(error.to_string()),
            RecoveryError::ContinuousBackupsUnavailable(_) => "ContinuousBackupsUnavailableException",
            RecoveryError::PointInTimeRecoveryUnavailable(_) => "PointInTimeRecoveryUnavailableException",
            RecoveryError::InvalidRestoreTime => "InvalidRestoreTimeException",
            RecoveryError::LimitExceeded(_) => "LimitExceededException",
            RecoveryError::Archive(_) => return Self::internal(error),
            RecoveryError::Table(error) => return error.clone().into(),
        };
        Self::dynamodb(name, error.to_string())
    }
}
