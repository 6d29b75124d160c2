//! Errors as Application Auto Scaling words them.

use geodynamo_table::TableError;

/// An error's name and message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ScalingError {
    /// Such as `ValidationException`.
    pub code: &'static str,
    /// For the client.
    pub message: String,
    /// What went wrong inside: for the log, not for the client.
    pub fault: Option<Box<str>>,
}

impl ScalingError {
    pub(crate) fn new(code: &'static str, message: impl Into<String>) -> Self {
        Self {
            code,
            message: message.into(),
            fault: None,
        }
    }

    pub(crate) fn validation(message: impl Into<String>) -> Self {
        Self::new("ValidationException", message)
    }

    /// The HTTP status.
    pub(crate) fn status(&self) -> u16 {
        if self.code == "InternalServiceException" {
            500
        } else {
            400
        }
    }
}

impl From<TableError> for ScalingError {
    fn from(error: TableError) -> Self {
        Self {
            fault: Some(error.to_string().into()),
            ..Self::new("InternalServiceException", "The service encountered an internal error")
        }
    }
}
