//! PartiQL's errors. What is wrong with a statement itself is in geodynamo-expression. Where DynamoDB's text is not known, it
//! is marked *ours*.

use geodynamo_item::Item;

use super::{ApiError, CancellationReason};

impl ApiError {
    pub(crate) fn select_of_several(operation: &str) -> Self {
        Self::validation(format!(
            "Select statements within {operation} must specify the primary key in the where clause."
        ))
    }

    /// *Ours.*
    pub(crate) fn mixed_statements() -> Self {
        Self::validation(
            "The entire request must consist of either read statements or write statements, you cannot mix both",
        )
    }

    /// *Ours.*
    pub(crate) fn exists_outside_transaction() -> Self {
        Self::validation("The EXISTS function can only be used in transactions")
    }

    /// *Ours.*
    pub(crate) fn invalid_next_token() -> Self {
        Self::validation("The provided NextToken is invalid")
    }

    /// *Ours.*
    pub(crate) fn next_token_of_another_statement() -> Self {
        Self::validation("The provided NextToken does not match the statement and its parameters")
    }

    /// `Item` of a failed condition.
    pub(crate) fn item(&self) -> Option<&Item> {
        self.0.item.as_ref()
    }

    /// The error's code among a batch's responses (`BatchStatementErrorCodeEnum` of the service model).
    pub(crate) fn statement_code(&self) -> &'static str {
        match self.name() {
            "ConditionalCheckFailedException" => "ConditionalCheckFailed",
            "ItemCollectionSizeLimitExceededException" => "ItemCollectionSizeLimitExceeded",
            "RequestLimitExceeded" => "RequestLimitExceeded",
            "ProvisionedThroughputExceededException" => "ProvisionedThroughputExceeded",
            "TransactionConflictException" => "TransactionConflict",
            "ThrottlingException" => "ThrottlingError",
            "ResourceNotFoundException" => "ResourceNotFound",
            "AccessDeniedException" => "AccessDenied",
            "DuplicateItemException" => "DuplicateItem",
            "ValidationException" => "ValidationError",
            _ => "InternalServerError",
        }
    }
}

impl CancellationReason {
    /// The reason of a statement that does not fit its table.
    pub(crate) fn of_statement(error: &ApiError) -> Self {
        Self {
            code: error.statement_code(),
            message: Some(error.message().to_owned().into()),
            item: None,
        }
    }

    /// The reason of an INSERT of an item that is there.
    pub(crate) fn duplicate_item() -> Self {
        Self {
            code: "DuplicateItem",
            message: Some("Duplicate primary key exists in table".into()),
            item: None,
        }
    }
}
