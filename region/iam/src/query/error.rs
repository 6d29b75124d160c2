//! Refusals, in IAM's codes and words.

use super::shape::Service;

/// A refusal: a code and the words for the client.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{code}: {message}")]
pub struct IamError {
    /// As the services have it: `NoSuchEntity`.
    pub code: &'static str,
    /// For the client.
    pub message: String,
    /// What went wrong inside, where something did: for the log, not for the client.
    pub fault: Option<Box<str>>,
}

/// What an operation comes to.
pub(crate) type Result<T> = std::result::Result<T, IamError>;

impl IamError {
    /// A refusal with a code.
    pub(crate) fn new(code: &'static str, message: impl Into<String>) -> Self {
        Self {
            code,
            message: message.into(),
            fault: None,
        }
    }

    pub(crate) fn no_such(message: impl Into<String>) -> Self {
        Self::new("NoSuchEntity", message)
    }

    pub(crate) fn exists(message: impl Into<String>) -> Self {
        Self::new("EntityAlreadyExists", message)
    }

    pub(crate) fn limit(message: impl Into<String>) -> Self {
        Self::new("LimitExceeded", message)
    }

    pub(crate) fn invalid_input(message: impl Into<String>) -> Self {
        Self::new("InvalidInput", message)
    }

    pub(crate) fn conflict(message: impl Into<String>) -> Self {
        Self::new("DeleteConflict", message)
    }

    pub(crate) fn malformed(message: impl Into<String>) -> Self {
        Self::new("MalformedPolicyDocument", message)
    }

    pub(crate) fn validation(message: impl Into<String>) -> Self {
        Self::new("ValidationError", message)
    }

    pub(crate) fn denied(message: impl Into<String>) -> Self {
        Self::new("AccessDenied", message)
    }

    /// Something went wrong inside; the client is told only that.
    pub(crate) fn internal(fault: impl std::fmt::Display) -> Self {
        Self {
            code: "InternalFailure",
            message: "The request processing has failed because of an unknown error, exception or failure.".into(),
            fault: Some(fault.to_string().into()),
        }
    }

    /// The HTTP status.
    pub(crate) fn status(&self, service: &Service) -> u16 {
        service.status(self.code)
    }

    /// Whose fault it is: `Sender` or `Receiver`.
    pub(crate) fn kind(&self, service: &Service) -> &'static str {
        if self.status(service) >= 500 {
            "Receiver"
        } else {
            "Sender"
        }
    }
}
