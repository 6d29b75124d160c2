//! The error catalogue: one named constructor for each of DynamoDB's errors, with its status, its type and its texts.

mod invalid;
mod recovery;
mod statements;
mod throttled;

use std::{borrow::Cow, fmt};

use geodynamo_item::Item;
use geodynamo_json::Writer;
use geodynamo_storage::StorageError;
use geodynamo_table::{TableError, given_name};

use crate::wire::{SerializationError, Value as _};

/// Namespace of DynamoDB's own errors.
const DYNAMODB: &str = "com.amazonaws.dynamodb.v20120810#";

/// An error reply.
#[derive(Clone, Debug, PartialEq)]
pub struct ApiError(Box<Inner>);

#[derive(Clone, Debug, PartialEq)]
struct Inner {
    status: u16,
    /// The whole `__type`.
    kind: Cow<'static, str>,
    /// The member that has the message: `message` or `Message`.
    key: &'static str,
    message: Cow<'static, str>,
    /// `Item` of a failed condition.
    item: Option<Item>,
    /// `CancellationReasons` of a cancelled transaction.
    reasons: Vec<CancellationReason>,
    /// What went wrong inside: for the log, not for the client.
    fault: Option<String>,
    /// The one of `ThrottlingReasons`.
    throttled: Option<throttled::ThrottlingReason>,
}

/// Why one action of a transaction did not succeed.
#[derive(Clone, Debug, PartialEq)]
pub struct CancellationReason {
    /// `None`, `ConditionalCheckFailed`, `ItemCollectionSizeLimitExceeded`, `TransactionConflict`, `ValidationError`…
    pub code: &'static str,
    /// What is wrong; `None` for an action that is not to blame.
    pub message: Option<Cow<'static, str>>,
    /// The item as it was, where the action asked for it.
    pub item: Option<Item>,
}

/// What the signature's check found wrong with a request. The server makes the reply from it.
impl ApiError {
    /// `UnrecognizedClientException`: the access key is not known.
    pub fn unrecognized_client() -> Self {
        Self::coral(
            "UnrecognizedClientException",
            "message",
            "The security token included in the request is invalid.",
        )
    }

    /// `InvalidSignatureException` with this message.
    pub fn invalid_signature(message: impl Into<Cow<'static, str>>) -> Self {
        Self::coral("InvalidSignatureException", "message", message)
    }

    /// `InvalidSignatureException` for a signature that is not the request's.
    pub fn signature_does_not_match() -> Self {
        Self::invalid_signature(
            "The request signature we calculated does not match the signature you provided. Check your AWS Secret Access \
             Key and signing method. Consult the service documentation for details.",
        )
    }

    /// `IncompleteSignatureException` with this message.
    pub fn incomplete_signature(message: impl Into<Cow<'static, str>>) -> Self {
        Self::coral("IncompleteSignatureException", "message", message)
    }

    /// `MissingAuthenticationTokenException`: the request is not signed.
    pub fn missing_authentication_token() -> Self {
        Self::coral(
            "MissingAuthenticationTokenException",
            "message",
            "Request is missing Authentication Token",
        )
    }

    /// `AccessDeniedException` with this message.
    pub fn access_denied(message: impl Into<Cow<'static, str>>) -> Self {
        Self::coral("AccessDeniedException", "Message", message)
    }

    /// `AccessDeniedException`: the table is sealed under a key that the key service does not give.
    pub(crate) fn key_away() -> Self {
        Self::access_denied("KMS key access denied error: the key that the table is encrypted under cannot be used")
    }
}

/// What DynamoDB's front answers to requests that are not an operation's.
impl ApiError {
    /// `SerializationException`: the body is not the operation's shape.
    pub(crate) fn serialization(error: SerializationError) -> Self {
        Self::malformed(error.0)
    }

    /// `SerializationException` with this message, as for a body that is not JSON.
    pub fn malformed(message: impl Into<Cow<'static, str>>) -> Self {
        Self::coral("SerializationException", "Message", message)
    }

    /// `UnknownOperationException`: no operation has this target.
    pub fn unknown_operation() -> Self {
        Self::coral(
            "UnknownOperationException",
            "message",
            "An unknown operation was requested.",
        )
    }

    /// `UnknownOperationException` for an operation of DynamoDB that geodynamo does not offer.
    pub fn not_offered(operation: &str) -> Self {
        let message = format!("{operation} is not available in this version of geodynamo.");
        Self::coral("UnknownOperationException", "message", message)
    }

    /// `RequestEntityTooLargeException`, status 413: the body has more than 16 MiB.
    pub fn request_too_large() -> Self {
        let mut error = Self::coral("RequestEntityTooLargeException", "message", "Request entity too large");
        error.0.status = 413;
        error
    }

    /// `ValidationException` with this message.
    pub fn validation(message: impl Into<Cow<'static, str>>) -> Self {
        Self::new(400, "com.amazon.coral.validate#ValidationException", "message", message)
    }

    /// `ServiceUnavailable`, status 503: the process is stopping, or starting.
    pub fn service_unavailable() -> Self {
        Self::new(
            503,
            "com.amazon.coral.availability#ServiceUnavailableException",
            "message",
            "Service is unavailable.",
        )
    }
}

/// DynamoDB's own errors.
impl ApiError {
    /// `ConditionalCheckFailedException`; with the item as it was, where the request asked for it.
    pub fn conditional_check_failed(item: Option<Item>) -> Self {
        let mut error = Self::dynamodb("ConditionalCheckFailedException", "The conditional request failed");
        error.0.item = item;
        error
    }

    /// `ResourceNotFoundException` with this message.
    pub fn resource_not_found(message: impl Into<Cow<'static, str>>) -> Self {
        Self::dynamodb("ResourceNotFoundException", message)
    }

    /// `ResourceNotFoundException` for the ARN of something whose tags were asked for; misspelt by DynamoDB.
    pub fn resource_arn_not_found(arn: &str) -> Self {
        Self::resource_not_found(format!("Requested resource not found: ResourcArn: {arn} not found"))
    }

    /// `ResourceInUseException` with this message.
    pub fn resource_in_use(message: impl Into<Cow<'static, str>>) -> Self {
        Self::dynamodb("ResourceInUseException", message)
    }

    /// `LimitExceededException` with this message.
    pub fn limit_exceeded(message: impl Into<Cow<'static, str>>) -> Self {
        Self::dynamodb("LimitExceededException", message)
    }

    /// `ItemCollectionSizeLimitExceededException`.
    pub fn item_collection_size_limit_exceeded() -> Self {
        Self::dynamodb("ItemCollectionSizeLimitExceededException", "Collection size exceeded.")
    }

    /// `InternalServerError`, status 500. The fault is for the log, not for the client.
    pub fn internal(fault: impl fmt::Display) -> Self {
        let mut error = Self::internal_known();
        error.0.fault = Some(fault.to_string());
        error
    }

    /// `InternalServerError`, status 500, for a fault that the log tells of already.
    pub fn internal_known() -> Self {
        let mut error = Self::dynamodb("InternalServerError", "Internal server error");
        error.0.status = 500;
        error
    }

    /// `TransactionCanceledException`: the reasons are in the order of the transaction's actions.
    pub fn transaction_canceled(reasons: Vec<CancellationReason>) -> Self {
        let codes = reasons.iter().map(|reason| reason.code).collect::<Vec<_>>().join(", ");
        let message =
            format!("Transaction cancelled, please refer cancellation reasons for specific reasons [{codes}]");
        let mut error = Self::new(400, "", "Message", message);
        error.0.kind = format!("{DYNAMODB}TransactionCanceledException").into();
        error.0.reasons = reasons;
        error
    }

    /// `TransactionConflictException`.
    pub fn transaction_conflict() -> Self {
        Self::dynamodb("TransactionConflictException", "Transaction is ongoing for the item")
    }

    /// `TransactionInProgressException`.
    pub fn transaction_in_progress() -> Self {
        Self::dynamodb(
            "TransactionInProgressException",
            "Transaction from previous request is still in progress",
        )
    }

    /// `IdempotentParameterMismatchException`.
    pub fn idempotent_parameter_mismatch() -> Self {
        Self::dynamodb(
            "IdempotentParameterMismatchException",
            "DynamoDB rejected the request because you retried a request with a different payload but with an \
             idempotent token that was already used.",
        )
    }

    /// `DuplicateItemException`.
    pub fn duplicate_item() -> Self {
        Self::dynamodb("DuplicateItemException", "Duplicate primary key exists in table")
    }

    /// `ReplicaAlreadyExistsException`.
    pub fn replica_already_exists(region: &str) -> Self {
        let message = format!(
            "Failed to create a the new replica of table in region: '{region}' because a replica already exists."
        );
        Self::dynamodb("ReplicaAlreadyExistsException", message)
    }

    /// `ReplicaNotFoundException`.
    pub fn replica_not_found(region: &str) -> Self {
        let message = format!("The replica in region '{region}' does not exist.");
        Self::dynamodb("ReplicaNotFoundException", message)
    }

    /// `GlobalTableNotFoundException` for a global table of version 2017.11.29: there are none.
    pub fn global_table_not_found(name: &str) -> Self {
        let message = format!("Global table not found: Global table with name: '{name}' does not exist.");
        Self::dynamodb("GlobalTableNotFoundException", message)
    }

    /// `TableNotFoundException`.
    pub fn table_not_found(name: &str) -> Self {
        Self::dynamodb(
            "TableNotFoundException",
            format!("Table not found: {}", given_name(name)),
        )
    }

    /// `BackupNotFoundException`.
    pub fn backup_not_found(arn: Option<&str>) -> Self {
        let message = format!("Backup not found: {}", arn.unwrap_or_default());
        Self::dynamodb("BackupNotFoundException", message)
    }

    /// `ExportNotFoundException`.
    pub fn export_not_found(arn: Option<&str>) -> Self {
        let message = format!("Export not found: {}", arn.unwrap_or_default());
        Self::dynamodb("ExportNotFoundException", message)
    }

    /// `ImportNotFoundException`.
    pub fn import_not_found(arn: Option<&str>) -> Self {
        let message = format!("Import not found: {}", arn.unwrap_or_default());
        Self::dynamodb("ImportNotFoundException", message)
    }

    /// `ResourceNotFoundException` for a bulk operation.
    pub fn bulk_operation_not_found(arn: &str) -> Self {
        Self::resource_not_found(format!("Requested resource not found: Bulk operation: {arn} not found"))
    }

    /// `PolicyNotFoundException`.
    pub fn policy_not_found(arn: &str) -> Self {
        let message = format!("Resource-based policy not found for the provided ResourceArn: {arn}");
        Self::dynamodb("PolicyNotFoundException", message)
    }

    /// `ValidationException` for a text that is no policy.
    pub fn invalid_policy(reason: &str) -> Self {
        Self::validation(format!("Invalid policy document: {reason}"))
    }

    /// `ValidationException` for a policy that has more than so many bytes.
    pub fn policy_too_large(bytes_max: usize) -> Self {
        Self::invalid_policy(&format!("The policy has more than {bytes_max} bytes"))
    }

    /// `ValidationException` for a policy that takes away its caller's right to change it.
    pub fn removes_own_access() -> Self {
        Self::validation(
            "The policy would remove your permission to change it. To confirm that this is meant, set \
             ConfirmRemoveSelfResourceAccess to true.",
        )
    }

    /// `ResourceNotFoundException` for an index.
    pub fn no_index(name: &str) -> Self {
        Self::resource_not_found(format!("Requested resource not found: Index: {name} not found"))
    }

    /// `IndexNotFoundException`.
    pub fn index_not_found(name: &str) -> Self {
        Self::dynamodb(
            "IndexNotFoundException",
            format!("Requested resource not found: Index: {name} not found"),
        )
    }
}

impl ApiError {
    /// The HTTP status.
    pub fn status(&self) -> u16 {
        self.0.status
    }

    /// The error's name without its namespace, such as `ValidationException`.
    pub fn name(&self) -> &str {
        self.0.kind.rsplit('#').next().unwrap_or_default()
    }

    /// The error's name, and the codes of a cancelled transaction's reasons.
    pub(crate) fn codes(&self) -> impl Iterator<Item = &str> {
        let reasons = self.0.reasons.iter().map(|reason| reason.code);
        std::iter::once(self.name()).chain(reasons)
    }

    /// The message.
    pub fn message(&self) -> &str {
        &self.0.message
    }

    /// What went wrong inside, if something did: for the log.
    pub fn fault(&self) -> Option<&str> {
        self.0.fault.as_deref()
    }

    /// The reply's body. A message that is empty is left out.
    pub fn body(&self) -> Vec<u8> {
        let mut writer = Writer::with_capacity(64 + self.0.kind.len() + self.0.message.len());
        writer.begin_object();
        writer.plain_key("__type");
        writer.plain_string(&self.0.kind);
        if !self.0.message.is_empty() {
            writer.plain_key(self.0.key);
            writer.string(&self.0.message);
        }
        if let Some(item) = &self.0.item {
            writer.plain_key("Item");
            item.encode(&mut writer);
        }
        if !self.0.reasons.is_empty() {
            writer.plain_key("CancellationReasons");
            writer.begin_array();
            for reason in &self.0.reasons {
                reason.encode(&mut writer);
            }
            writer.end_array();
        }
        if let Some(throttled) = &self.0.throttled {
            throttled.encode(self.name(), &mut writer);
        }
        writer.end_object();
        writer.into_bytes()
    }

    fn coral(name: &'static str, key: &'static str, message: impl Into<Cow<'static, str>>) -> Self {
        Self::new(400, format!("com.amazon.coral.service#{name}"), key, message)
    }

    fn dynamodb(name: &'static str, message: impl Into<Cow<'static, str>>) -> Self {
        let key = match name {
            "IdempotentParameterMismatchException" | "TransactionInProgressException" => "Message",
            _ => "message",
        };
        Self::new(400, format!("{DYNAMODB}{name}"), key, message)
    }

    #[cold]
    fn new(
        status: u16,
        kind: impl Into<Cow<'static, str>>,
        key: &'static str,
        message: impl Into<Cow<'static, str>>,
    ) -> Self {
        Self(Box::new(Inner {
            status,
            kind: kind.into(),
            key,
            message: message.into(),
            item: None,
            reasons: Vec::new(),
            fault: None,
            throttled: None,
        }))
    }
}

impl CancellationReason {
    /// The reason of an action that is not to blame.
    pub const NONE: Self = Self {
        code: "None",
        message: None,
        item: None,
    };

    fn encode(&self, writer: &mut Writer) {
        writer.begin_object();
        writer.plain_key("Code");
        writer.plain_string(self.code);
        if let Some(message) = &self.message {
            writer.plain_key("Message");
            writer.string(message);
        }
        if let Some(item) = &self.item {
            writer.plain_key("Item");
            item.encode(writer);
        }
        writer.end_object();
    }
}

/// Why one action of a transaction could not be carried out.
impl From<Option<TableError>> for CancellationReason {
    fn from(error: Option<TableError>) -> Self {
        let Some(error) = error else { return Self::NONE };
        let message = error.to_string();
        let (code, item) = match error {
            TableError::Throttled(throttled) => {
                let (code, message) = throttled::cancellation(&throttled);
                return Self {
                    code,
                    message: Some(message.into()),
                    item: None,
                };
            }
            TableError::ConditionFailed(failed) => ("ConditionalCheckFailed", failed.item),
            TableError::ItemCollectionSize => ("ItemCollectionSizeLimitExceeded", None),
            TableError::TransactionConflict => ("TransactionConflict", None),
            _ => ("ValidationError", None),
        };
        Self {
            code,
            message: Some(message.into()),
            item,
        }
    }
}

impl fmt::Display for ApiError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.name(), self.message())
    }
}

impl std::error::Error for ApiError {}

impl From<TableError> for ApiError {
    fn from(error: TableError) -> Self {
        match error {
            TableError::Validation(message) => Self::validation(message),
            TableError::ResourceNotFound(message) => Self::resource_not_found(message),
            TableError::ResourceInUse(message) => Self::resource_in_use(message),
            TableError::LimitExceeded(message) => Self::limit_exceeded(message),
            TableError::ConditionFailed(failed) => Self::conditional_check_failed(failed.item),
            TableError::Throttled(throttled) => Self::throttled(&throttled),
            TableError::ItemCollectionSize => Self::item_collection_size_limit_exceeded(),
            TableError::TransactionConflict => Self::transaction_conflict(),
            TableError::TransactionCanceled(reasons) => {
                Self::transaction_canceled(reasons.into_iter().map(CancellationReason::from).collect())
            }
            TableError::TransactionInProgress => Self::transaction_in_progress(),
            TableError::ParameterMismatch => Self::idempotent_parameter_mismatch(),
            TableError::Storage(StorageError::KeyAway) => Self::key_away(),
            // The engine has logged it once, and nothing is wrong with this request.
            TableError::Storage(StorageError::Unwritable(_)) => Self::internal_known(),
            TableError::Storage(_) | TableError::Corrupt(_) => Self::internal(error),
        }
    }
}
