//! The errors of requests for which there is no capacity left.

use std::borrow::Cow;

use geodynamo_json::Writer;
use geodynamo_table::{Limit, Throttled};

use super::ApiError;

const OF_TABLE: &str = "The level of configured provisioned throughput for the table was exceeded. Consider increasing \
                        your provisioning level with the UpdateTable API.";
const OF_INDEX: &str = "The level of configured provisioned throughput for one or more global secondary indexes of the \
                        table was exceeded. Consider increasing your provisioning level for the under-provisioned \
                        global secondary indexes with the UpdateTable API";
const HOT_TABLE: &str = "Throughput exceeds the current capacity of your table or index. DynamoDB is automatically \
                         scaling your table or index so please try again shortly. If exceptions persist, check if you \
                         have a hot key: \
                         https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/bp-partition-key-design.html";
const HOT_INDEX: &str = "Throughput exceeds the current capacity for one or more global secondary indexes. DynamoDB is \
                         automatically scaling your index so please try again shortly.";
const MAXIMUM: &str = "Throughput exceeds the maximum OnDemandThroughput configured on table or index";

const QUOTA: &str = "Throughput exceeds the current throughput limit for your account. Please contact AWS Support at \
                     https://aws.amazon.com/support request a limit increase";

/// What DynamoDB tells of the limit.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct ThrottlingReason {
    reason: String,
    resource: String,
}

impl ApiError {
    /// `ThrottlingException` with this message.
    pub fn throttling(message: impl Into<Cow<'static, str>>) -> Self {
        Self::new(
            400,
            "com.amazon.coral.availability#ThrottlingException",
            "message",
            message,
        )
    }

    /// `ProvisionedThroughputExceededException`, `ThrottlingException` or `RequestLimitExceeded`, with its reason.
    pub(crate) fn throttled(throttled: &Throttled) -> Self {
        let mut error = match throttled.limit {
            Limit::AccountQuota => Self::dynamodb("RequestLimitExceeded", QUOTA),
            _ if throttled.on_demand => Self::throttling(text(throttled)),
            _ => Self::dynamodb("ProvisionedThroughputExceededException", text(throttled)),
        };
        error.0.throttled = Some(ThrottlingReason {
            reason: throttled.to_string(),
            resource: throttled.resource.to_string(),
        });
        error
    }
}

impl ThrottlingReason {
    /// Writes the list of reasons, as a member of the error of this name.
    pub(super) fn encode(&self, error: &str, writer: &mut Writer) {
        writer.plain_key(if error == "ThrottlingException" {
            "throttlingReasons"
        } else {
            "ThrottlingReasons"
        });
        writer.begin_array();
        writer.begin_object();
        writer.plain_key("reason");
        writer.string(&self.reason);
        writer.plain_key("resource");
        writer.string(&self.resource);
        writer.end_object();
        writer.end_array();
    }
}

/// Code and message of the action of a transaction that was throttled.
pub(super) fn cancellation(throttled: &Throttled) -> (&'static str, &'static str) {
    let code = if throttled.on_demand {
        "ThrottlingError"
    } else {
        "ProvisionedThroughputExceeded"
    };
    (code, text(throttled))
}

fn text(throttled: &Throttled) -> &'static str {
    match (throttled.on_demand, throttled.index) {
        (true, _) if throttled.limit == Limit::OnDemandMaximum => MAXIMUM,
        (true, false) => HOT_TABLE,
        (true, true) => HOT_INDEX,
        (false, false) => OF_TABLE,
        (false, true) => OF_INDEX,
    }
}

#[cfg(test)]
mod tests {
    use geodynamo_table::Access;

    use super::*;

    #[test]
    fn errors_tell_which_limit_of_what_was_passed() {
        let check = |limit, access, index, on_demand, kind: &str, message: &str, reason: &str| {
            let throttled = Throttled {
                limit,
                access,
                index,
                on_demand,
                resource: "arn:x".into(),
            };
            let error = ApiError::throttled(&throttled);
            let name = kind.rsplit('#').next().unwrap();
            assert_eq!((error.status(), error.name()), (400, name));
            let list = if name == "ThrottlingException" {
                "throttlingReasons"
            } else {
                "ThrottlingReasons"
            };
            let body = String::from_utf8(error.body()).unwrap();
            let expected = format!(
                r#"{{"__type":"{kind}","message":"{message}","{list}":[{{"reason":"{reason}","resource":"arn:x"}}]}}"#
            );
            assert_eq!(body, expected);
        };
        let provisioned = "com.amazonaws.dynamodb.v20120810#ProvisionedThroughputExceededException";
        let throttling = "com.amazon.coral.availability#ThrottlingException";
        let (read, write) = (Access::Read, Access::Write);
        check(
            Limit::Provisioned,
            read,
            false,
            false,
            provisioned,
            OF_TABLE,
            "TableReadProvisionedThroughputExceeded",
        );
        check(
            Limit::Provisioned,
            write,
            true,
            false,
            provisioned,
            OF_INDEX,
            "IndexWriteProvisionedThroughputExceeded",
        );
        check(
            Limit::KeyRange,
            write,
            false,
            false,
            provisioned,
            OF_TABLE,
            "TableWriteKeyRangeThroughputExceeded",
        );
        check(
            Limit::KeyRange,
            write,
            false,
            true,
            throttling,
            HOT_TABLE,
            "TableWriteKeyRangeThroughputExceeded",
        );
        check(
            Limit::KeyRange,
            read,
            true,
            true,
            throttling,
            HOT_INDEX,
            "IndexReadKeyRangeThroughputExceeded",
        );
        check(
            Limit::OnDemandMaximum,
            read,
            false,
            true,
            throttling,
            MAXIMUM,
            "TableReadMaxOnDemandThroughputExceeded",
        );
        check(
            Limit::AccountQuota,
            write,
            false,
            true,
            "com.amazonaws.dynamodb.v20120810#RequestLimitExceeded",
            QUOTA,
            "TableWriteAccountLimitExceeded",
        );
    }
}
