//! Lambda's errors.

use serde_json::json;

/// An error as Lambda answers it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct LambdaError {
    /// Its name, as the header `x-amzn-ErrorType` tells it.
    pub code: &'static str,
    /// Its text.
    pub message: String,
    /// What went wrong inside, where something did: for the log, not for the client.
    pub fault: Option<Box<str>>,
}

/// What an operation comes to.
pub(crate) type Result<T, E = LambdaError> = std::result::Result<T, E>;

impl LambdaError {
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

    pub(crate) fn validation(message: impl std::fmt::Display) -> Self {
        Self::new("ValidationException", format!("1 validation error detected: {message}"))
    }

    pub(crate) fn no_mapping() -> Self {
        Self::new(
            "ResourceNotFoundException",
            "The resource you requested does not exist.",
        )
    }

    pub(crate) fn internal(fault: impl std::fmt::Display) -> Self {
        Self {
            fault: Some(fault.to_string().into()),
            ..Self::new(
                "ServiceException",
                "An error occurred and the request cannot be processed.",
            )
        }
    }

    /// Its HTTP status.
    pub fn status(&self) -> u16 {
        match self.code {
            "AccessDeniedException"
            | "InvalidSignatureException"
            | "UnrecognizedClientException"
            | "ExpiredTokenException"
            | "MissingAuthenticationTokenException" => 403,
            "ResourceNotFoundException" | "UnknownOperationException" => 404,
            "ResourceConflictException" => 409,
            "TooManyRequestsException" => 429,
            "ServiceException" => 500,
            _ => 400,
        }
    }

    /// Its document.
    pub fn document(&self) -> String {
        let kind = if self.status() >= 500 { "Service" } else { "User" };
        // Some shapes of the model have one, some the other; SDKs read the one that their shape has.
        json!({"Type": kind, "message": self.message, "Message": self.message}).to_string()
    }
}
