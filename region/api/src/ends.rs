//! How requests end, as they are counted by table.

use geodynamo_table::usage::{DataOperation, RequestEnd};

use crate::{ApiError, Operation};

/// The codes of throttled requests, and of throttled actions of transactions.
const THROTTLED: [&str; 5] = [
    "ProvisionedThroughputExceededException",
    "ThrottlingException",
    "RequestLimitExceeded",
    "ProvisionedThroughputExceeded",
    "ThrottlingError",
];

/// The operation as metrics know it; `None` of one that is not on items.
pub(crate) fn on_items(operation: Operation) -> Option<DataOperation> {
    macro_rules! same {
        ($($name:ident),*) => {
            match operation {
                $(Operation::$name => Some(DataOperation::$name),)*
                _ => None,
            }
        };
    }
    geodynamo_table::with_data_operations!(same)
}

/// How a request ended that took so many seconds.
pub(crate) fn end_of(answer: &Result<Vec<u8>, ApiError>, seconds: f64) -> RequestEnd {
    match answer {
        Ok(_) => RequestEnd::Done(seconds),
        Err(error) if error.status() >= 500 => RequestEnd::SystemError,
        Err(error) if error.codes().any(|code| THROTTLED.contains(&code)) => RequestEnd::Throttled,
        Err(error) if error.name() == "ConditionalCheckFailedException" => RequestEnd::ConditionFailed,
        Err(_) => RequestEnd::UserError,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::errors::CancellationReason;

    #[test]
    fn every_operation_that_is_counted_is_found() {
        let found: Vec<_> = Operation::ALL
            .iter()
            .filter_map(|operation| on_items(*operation))
            .collect();
        assert_eq!(found.len(), DataOperation::ALL.len());
        for operation in Operation::ALL {
            assert_eq!(on_items(operation), DataOperation::named(operation.name()));
        }
    }

    #[test]
    fn ends_are_those_of_cloudwatch() {
        let end = |error: ApiError| end_of(&Err(error), 1.0);
        assert_eq!(end_of(&Ok(Vec::new()), 1.0), RequestEnd::Done(1.0));
        assert_eq!(end(ApiError::internal_known()), RequestEnd::SystemError);
        assert_eq!(end(ApiError::throttling("x")), RequestEnd::Throttled);
        assert_eq!(
            end(ApiError::conditional_check_failed(None)),
            RequestEnd::ConditionFailed
        );
        for refused in [ApiError::validation("x"), ApiError::transaction_conflict()] {
            assert_eq!(end(refused), RequestEnd::UserError);
        }
        let canceled = |code| {
            let reason = CancellationReason {
                code,
                ..CancellationReason::NONE
            };
            end(ApiError::transaction_canceled(vec![CancellationReason::NONE, reason]))
        };
        assert_eq!(canceled("ThrottlingError"), RequestEnd::Throttled);
        assert_eq!(canceled("ConditionalCheckFailed"), RequestEnd::UserError);
    }
}
