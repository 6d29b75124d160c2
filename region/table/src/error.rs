//! Why the table layer refuses or fails.

use geodynamo_item::Item;
use geodynamo_storage::StorageError;

use crate::{Throttled, schema::accounts::given_name, table::TableStatus};

/// Why a request on tables was refused or failed. The api crate turns each into DynamoDB's error of that name.
#[derive(Clone, Debug, thiserror::Error)]
pub enum TableError {
    /// `ValidationException` with this message.
    #[error("{0}")]
    Validation(String),
    /// `ResourceNotFoundException` with this message.
    #[error("{0}")]
    ResourceNotFound(String),
    /// `ResourceInUseException` with this message.
    #[error("{0}")]
    ResourceInUse(String),
    /// `LimitExceededException` with this message.
    #[error("{0}")]
    LimitExceeded(String),
    /// `ConditionalCheckFailedException`
    #[error("The conditional request failed")]
    ConditionFailed(Box<ConditionFailed>),
    /// `ProvisionedThroughputExceededException`, `ThrottlingException` or `RequestLimitExceeded`.
    #[error("{0}")]
    Throttled(Box<Throttled>),
    /// `ItemCollectionSizeLimitExceededException`.
    #[error("Collection size exceeded.")]
    ItemCollectionSize,
    /// `TransactionConflictException`: a transaction is in progress on the item.
    #[error("Transaction is ongoing for the item")]
    TransactionConflict,
    /// `TransactionCanceledException`: for each action, in their order, why it could not be carried out, if it could not.
    #[error("the transaction is cancelled")]
    TransactionCanceled(Vec<Option<TableError>>),
    /// `TransactionInProgressException`: a transaction with the same client token is in progress.
    #[error("Transaction from previous request is still in progress")]
    TransactionInProgress,
    /// `IdempotentParameterMismatchException`: the client token was used for another transaction.
    #[error("the client token was used with other parameters")]
    ParameterMismatch,
    /// `InternalServerError`: storage failed. The text is for the log, not for the client.
    #[error("{0}")]
    Storage(#[from] StorageError),
    /// `InternalServerError`: a stored record cannot be read. The text is for the log, not for the client.
    #[error("{0}")]
    Corrupt(String),
}

/// What is to be told of a write whose condition failed.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ConditionFailed {
    /// The item as it is, where the request asked for it.
    pub item: Option<Item>,
    /// The write units that it consumed: of the larger of the item as it is and as it would have
    /// become. Source: AWS developer guide, "Working with items" (conditional writes).
    pub units: f64,
}

impl TableError {
    /// DynamoDB's answer for a table that is not there, or not ready for data.
    pub fn no_table() -> Self {
        Self::ResourceNotFound("Requested resource not found".into())
    }

    /// DynamoDB's answer of the control plane for a table that is not there.
    pub fn no_table_named(name: &str) -> Self {
        Self::ResourceNotFound(format!(
            "Requested resource not found: Table: {} not found",
            given_name(name)
        ))
    }

    /// DynamoDB's answer for a table that is being made, changed or removed.
    pub(crate) fn in_use(name: &str, status: TableStatus) -> Self {
        let done = match status {
            TableStatus::Creating => "created",
            TableStatus::Deleting => "deleted",
            TableStatus::Updating | TableStatus::Active | TableStatus::Inaccessible => "updated",
        };
        Self::ResourceInUse(format!(
            "Attempt to change a resource which is still in use: Table is being {done}: {}",
            given_name(name)
        ))
    }

    /// DynamoDB's answer for a region that has no replica.
    pub fn no_replica(region: &str) -> Self {
        Self::Validation(format!(
            "Update global table operation failed because one or more replicas were not part of the global table. Please \
             retry the request without these replicas: [{region}]."
        ))
    }

    /// A `ValidationException` in the "One or more parameter values were invalid" form.
    pub fn invalid(detail: impl std::fmt::Display) -> Self {
        Self::Validation(format!("One or more parameter values were invalid: {detail}"))
    }
}

/// The table layer's result.
pub type Result<T> = std::result::Result<T, TableError>;
