//! AWS Backup's errors.

use geodynamo_recovery::Error as ArchiveError;
use geodynamo_table::{TableError, recovery::RecoveryError};
use serde_json::json;

/// An error as AWS Backup answers it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct BackupError {
    /// Its name, as the header `x-amzn-ErrorType` tells it.
    pub code: &'static str,
    /// Its text.
    pub message: String,
    /// What went wrong inside, where something did: for the log, not for the client.
    pub fault: Option<Box<str>>,
}

/// What an operation comes to.
pub(crate) type Result<T> = std::result::Result<T, BackupError>;

impl BackupError {
    /// An error without a fault.
    pub fn new(code: &'static str, message: impl Into<String>) -> Self {
        Self {
            code,
            message: message.into(),
            fault: None,
        }
    }

    pub(crate) fn invalid(message: impl Into<String>) -> Self {
        Self::new("InvalidParameterValueException", message)
    }

    pub(crate) fn missing(name: &str) -> Self {
        Self::new(
            "MissingParameterValueException",
            format!("Missing required parameter: {name}"),
        )
    }

    pub(crate) fn refused(message: impl Into<String>) -> Self {
        Self::new("InvalidRequestException", message)
    }

    pub(crate) fn not_found(message: impl Into<String>) -> Self {
        Self::new("ResourceNotFoundException", message)
    }

    pub(crate) fn exists(message: impl Into<String>) -> Self {
        Self::new("AlreadyExistsException", message)
    }

    pub(crate) fn limit(message: impl Into<String>) -> Self {
        Self::new("LimitExceededException", message)
    }

    /// The service cannot do it now.
    pub(crate) fn unavailable(fault: impl std::fmt::Display) -> Self {
        Self {
            fault: Some(fault.to_string().into()),
            ..Self::new(
                "ServiceUnavailableException",
                "The request failed due to a temporary failure of the server.",
            )
        }
    }

    /// Its HTTP status.
    pub fn status(&self) -> u16 {
        match self.code {
            "AccessDeniedException" => 403,
            "UnknownOperationException" => 404,
            "ServiceUnavailableException" => 500,
            _ => 400,
        }
    }

    /// Its document.
    pub fn document(&self) -> String {
        let kind = if self.status() >= 500 { "Server" } else { "Client" };
        json!({ "Code": self.code, "Type": kind, "Message": self.message }).to_string()
    }
}

impl From<TableError> for BackupError {
    fn from(error: TableError) -> Self {
        Self::unavailable(error)
    }
}

impl From<ArchiveError> for BackupError {
    fn from(error: ArchiveError) -> Self {
        Self::unavailable(error)
    }
}

impl From<RecoveryError> for BackupError {
    fn from(error: RecoveryError) -> Self {
        let message = error.to_string();
        match error {
            RecoveryError::TableNotFound(_) | RecoveryError::BackupNotFound(_) => Self::not_found(message),
            RecoveryError::TableAlreadyExists(_) => Self::exists(message),
            RecoveryError::LimitExceeded(_) => Self::limit(message),
            RecoveryError::TableInUse(_) | RecoveryError::BackupInUse(_) => {
                Self::new("InvalidResourceStateException", message)
            }
            RecoveryError::Archive(_) => Self::unavailable(message),
            RecoveryError::Table(TableError::Storage(_)) => Self::unavailable(message),
            _ => Self::refused(message),
        }
    }
}
