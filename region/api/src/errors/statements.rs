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

    pub(crate) fn mixed_batch() -> Self {
        Self::validation("Read and write requests together in the same batch is not supported.")
    }

    pub(crate) fn mixed_transaction() -> Self {
        Self::validation("ExecuteTransaction API does not support both read and write operations in the same request.")
    }

    /// Of the transaction's statement at this place, from 0.
    pub(crate) fn transact_returning(at: usize) -> Self {
        Self::transact_statement(at, "RETURNING clause is not supported in ExecuteTransaction.")
    }

    /// As [`transact_returning`](Self::transact_returning).
    pub(crate) fn transact_index(at: usize) -> Self {
        Self::transact_statement(at, "Reads on indices are not supported within transactions.")
    }

    fn transact_statement(at: usize, fault: &str) -> Self {
        Self::validation(format!("Validation failed in TransactStatements[{at}]: {fault}"))
    }

    /// Unlike Query and Scan, statements are not told the index's name.
    pub(crate) fn no_index_to_select_from() -> Self {
        Self::validation("The table does not have the specified index")
    }

    /// Query and Scan say it in other words.
    pub(crate) fn consistent_select_from_global_index() -> Self {
        Self::validation("Strongly consistent read is not supported on Global Secondary Indexes")
    }

    /// *Ours.*
    pub(crate) fn exists_outside_transaction() -> Self {
        Self::validation("The EXISTS function can only be used in transactions")
    }

    pub(crate) fn invalid_next_token() -> Self {
        Self::validation("Invalid NextToken")
    }

    pub(crate) fn next_token_of_another_statement() -> Self {
        Self::validation("NextToken does not match request")
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
