//! The error catalogue: one named constructor for each of DynamoDB's errors, with its status, its type and its texts.

mod statements;
mod throttled;

use std::{borrow::Cow, fmt};

use geodynamo_item::Item;
use geodynamo_json::Writer;
use geodynamo_table::{PARTITION_KEY_BYTES_MAX, TableError, schema::Throughput};

use crate::{
    generated::KeySchemaElement,
    wire::{SerializationError, Value as _},
};

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

/// `ValidationException`s of the API itself.
impl ApiError {
    /// "One or more parameter values were invalid: …"
    pub(crate) fn invalid(detail: impl fmt::Display) -> Self {
        Self::validation(format!("One or more parameter values were invalid: {detail}"))
    }

    pub(crate) fn invalid_arn(arn: &str) -> Self {
        Self::validation(format!("Invalid TableArn: Invalid ResourceArn provided as input {arn}"))
    }

    pub(crate) fn both_kinds_of_parameters(older: &str, expressions: &str) -> Self {
        Self::validation(format!(
            "Can not use both expression and non-expression parameters in the same request: Non-expression parameters: \
             {{{older}}} Expression parameters: {{{expressions}}}"
        ))
    }

    pub(crate) fn parameter_not_offered(parameter: &str) -> Self {
        Self::validation(format!("{parameter} is not available in this version of geodynamo"))
    }

    pub(crate) fn duplicate_attribute(name: &str) -> Self {
        Self::invalid(format!("Duplicate value in attribute name: {name}"))
    }

    pub(crate) fn duplicate_keys() -> Self {
        Self::validation("Provided list of item keys contains duplicates")
    }

    pub(crate) fn write_request_of_neither_kind() -> Self {
        // DynamoDB says so of a request without any, too.
        Self::validation(
            "Supplied AttributeValue has more than one datatypes set, must contain exactly one of the supported datatypes",
        )
    }

    pub(crate) fn transact_item_of_no_kind() -> Self {
        Self::validation("TransactItems can only contain one of Check, Put, Update or Delete")
    }

    pub(crate) fn no_key_condition() -> Self {
        Self::validation(
            "Either the KeyConditions or KeyConditionExpression parameter must be specified in the request.",
        )
    }

    pub(crate) fn condition_type_mismatch() -> Self {
        Self::invalid("Condition parameter type does not match schema type")
    }

    pub(crate) fn empty_key(kind: &str, name: &str) -> Self {
        Self::validation(format!(
            "One or more parameter values are not valid. The AttributeValue for a key attribute cannot contain an empty \
             {kind} value. Key: {name}"
        ))
    }

    /// `bytes_max` tells which kind of key it is.
    pub(crate) fn key_too_long(bytes_max: usize) -> Self {
        if bytes_max == PARTITION_KEY_BYTES_MAX {
            Self::invalid(format!(
                "Size of hashkey has exceeded the maximum size limit of{bytes_max} bytes"
            ))
        } else {
            Self::invalid(format!(
                "Aggregated size of all range keys has exceeded the size limit of {bytes_max} bytes"
            ))
        }
    }

    pub(crate) fn item_too_large() -> Self {
        Self::validation("Item size has exceeded the maximum allowed size")
    }

    /// `parameter` is `Filter Expression` or `QueryFilter`.
    pub(crate) fn key_in_filter(parameter: &str, name: &str) -> Self {
        Self::validation(format!(
            "{parameter} can only contain non-primary key attributes: Primary key attribute: {name}"
        ))
    }

    pub(crate) fn not_projected(index: &str, names: &[&str]) -> Self {
        Self::invalid(format!(
            "Global secondary index {index} does not project [{}]",
            names.join(", ")
        ))
    }

    pub(crate) fn filter_not_projected(index: &str, names: &[&str]) -> Self {
        Self::invalid(format!(
            "Secondary index {index} does not project one or more filter attributes: [{}]",
            names.join(", ")
        ))
    }

    pub(crate) fn projection_with_select(parameter: &str, select: &str) -> Self {
        Self::validation(format!("Cannot specify the {parameter} when choosing to get {select}"))
    }

    pub(crate) fn no_specific_attributes() -> Self {
        Self::validation(
            "Must specify the AttributesToGet or ProjectionExpression when choosing to get SPECIFIC_ATTRIBUTES",
        )
    }

    pub(crate) fn projected_without_index(operation: &str) -> Self {
        Self::validation(format!(
            "ALL_PROJECTED_ATTRIBUTES can be used only when {operation} using an IndexName"
        ))
    }

    pub(crate) fn select_all_of_global_index(index: &str) -> Self {
        Self::invalid(format!(
            "Select type ALL_ATTRIBUTES is not supported for global secondary index {index} because its projection type is \
             not ALL"
        ))
    }

    pub(crate) fn scan_parameter_missing(missing: &str, given: &str) -> Self {
        Self::validation(format!(
            "The {missing} parameter is required but was not present in the request when {} is present",
            if given == "Segment" {
                "Segment parameter"
            } else {
                "parameter TotalSegments"
            }
        ))
    }

    pub(crate) fn segment_out_of_range(segment: i32, total: i32) -> Self {
        Self::validation(format!(
            "The Segment parameter is zero-based and must be less than parameter TotalSegments: Segment: {segment} is not \
             less than TotalSegments: {total}"
        ))
    }

    /// `kind` is the type's long name.
    pub(crate) fn action_not_for_type(action: &str, kind: &str) -> Self {
        Self::invalid(match action {
            "DELETE" => format!("DELETE action with value is not supported for the type {kind}"),
            _ => format!("{action} action is not supported for the type {kind}"),
        })
    }

    pub(crate) fn action_without_value() -> Self {
        Self::invalid("Only DELETE action is allowed when no attribute value is specified")
    }

    /// The item has a value of another type than an `AttributeUpdates` can add to or take from.
    pub(crate) fn attribute_update_mismatch() -> Self {
        Self::validation("Type mismatch for attribute to update")
    }

    pub(crate) fn conditional_operator_alone() -> Self {
        Self::validation("ConditionalOperator cannot be used without Filter or Expected")
    }

    pub(crate) fn conditional_operator_for_one() -> Self {
        Self::validation("ConditionalOperator can only be used when Filter or Expected has two or more elements")
    }

    pub(crate) fn comparison_without_value(operator: &str, name: &str) -> Self {
        Self::invalid(format!(
            "Value or AttributeValueList must be used with ComparisonOperator: {operator} for Attribute: {name}"
        ))
    }

    pub(crate) fn condition_values_of_several_types() -> Self {
        Self::invalid("AttributeValues inside AttributeValueList must be of same type")
    }

    pub(crate) fn condition_bounds_order() -> Self {
        Self::validation(
            "The BETWEEN condition was provided a range where the lower bound is bigger than the upper bound",
        )
    }

    pub(crate) fn request_items_missing(operation: &str) -> Self {
        Self::validation(format!("The requestItems parameter is required for {operation}"))
    }

    pub(crate) fn wrong_argument_count(operator: &str) -> Self {
        Self::invalid(format!(
            "Invalid number of argument(s) for the {operator} ComparisonOperator"
        ))
    }

    pub(crate) fn comparison_not_for_type(operator: &str, kind: &str) -> Self {
        Self::invalid(format!(
            "ComparisonOperator {operator} is not valid for {kind} AttributeValue type"
        ))
    }

    pub(crate) fn too_many_key_schema_elements(elements: &[KeySchemaElement]) -> Self {
        let mut shown = crate::wire::JavaText::default();
        shown.sequence("[", elements.iter(), "]", |text, element| element.show(text));
        Self::validation(format!(
            "1 validation error detected: Value '{}' at 'keySchema' failed to satisfy constraint: Member must have length \
             less than or equal to 2",
            shown.as_str()
        ))
    }

    pub(crate) fn undefined_key_attributes(keys: &str, defined: &str) -> Self {
        Self::invalid(format!(
            "Some index key attributes are not defined in AttributeDefinitions. Keys: [{keys}], AttributeDefinitions: \
             [{defined}]"
        ))
    }

    pub(crate) fn unused_attribute_definitions(defined: &str, used: &str) -> Self {
        Self::invalid(format!(
            "Some AttributeDefinitions are not used. AttributeDefinitions: [{defined}], keys used: [{used}]"
        ))
    }

    pub(crate) fn attribute_redefined(name: &str, there: &str, given: &str) -> Self {
        Self::invalid(format!(
            "Attribute definition cannot be changed: attribute {name} is of type {there} and was given as {given}"
        ))
    }

    pub(crate) fn index_update_of_no_kind() -> Self {
        Self::invalid(
            "Exactly one of Create, Update or Delete must be specified in each element of GlobalSecondaryIndexUpdates",
        )
    }

    pub(crate) fn index_updated_twice(name: &str) -> Self {
        Self::invalid(format!(
            "Only one global secondary index update per index is allowed simultaneously. Index: {name}"
        ))
    }

    pub(crate) fn nothing_to_update() -> Self {
        Self::validation(
            "At least one of ProvisionedThroughput, BillingMode, UpdateStreamEnabled, GlobalSecondaryIndexUpdates or \
             SSESpecification or ReplicaUpdates is required",
        )
    }

    /// Of an index, or of the table.
    pub(crate) fn same_throughput(index: Option<&str>, units: Throughput) -> Self {
        let what = index.map_or_else(|| "table".to_owned(), |name| format!("index {name}"));
        let kind = if index.is_some() { "index" } else { "table" };
        let Throughput { read, write } = units;
        Self::validation(format!(
            "The provisioned throughput for the {what} will not change. The requested value equals the current value. Current \
             ReadCapacityUnits provisioned for the {kind}: {read}. Requested ReadCapacityUnits: {read}. Current \
             WriteCapacityUnits provisioned for the {kind}: {write}. Requested WriteCapacityUnits: {write}. Refer to the \
             Amazon DynamoDB Developer Guide for current limits and how to request higher limits."
        ))
    }

    pub(crate) fn consistency_without_replica() -> Self {
        Self::invalid("MultiRegionConsistency can only be specified when a replica is created")
    }

    /// DynamoDB names a key of KMS, whatever it is that was not given.
    pub(crate) fn replica_update_of_nothing() -> Self {
        Self::invalid("KMSMasterKeyId must be specified for each replica.")
    }

    pub(crate) fn replica_update_of_no_kind() -> Self {
        Self::validation("Exactly one of Create, Update, Delete must be specified in each element of ReplicaUpdates")
    }

    pub(crate) fn old_global_tables() -> Self {
        Self::validation(
            "Creating global tables of version 2017.11.29 (Legacy) is not supported. Use UpdateTable with ReplicaUpdates to \
             create global tables of version 2019.11.21 (Current)",
        )
    }
}

/// Errors of streams. The texts are those of the service model's exceptions where nothing better is known.
impl ApiError {
    pub(crate) fn stream_not_found(arn: &str) -> Self {
        Self::resource_not_found(format!("Requested resource not found: Stream: {arn} not found"))
    }

    pub(crate) fn shard_not_found() -> Self {
        Self::resource_not_found("Requested resource not found: Shard does not exist")
    }

    pub(crate) fn trimmed_data_access() -> Self {
        Self::dynamodb(
            "TrimmedDataAccessException",
            "The data you are trying to access has been trimmed",
        )
    }

    pub(crate) fn expired_iterator() -> Self {
        Self::dynamodb(
            "ExpiredIteratorException",
            "The provided iterator exceeds the maximum age allowed.",
        )
    }

    pub(crate) fn too_many_stream_reads() -> Self {
        Self::limit_exceeded("Too many operations for a given subscriber.")
    }

    pub(crate) fn too_many_records() -> Self {
        Self::limit_exceeded("GetRecords was called with a value of more than 1000 for the limit request parameter.")
    }

    pub(crate) fn invalid_stream_arn(arn: &str) -> Self {
        Self::validation(format!(
            "Invalid StreamArn: Invalid ResourceArn provided as input {arn}"
        ))
    }

    pub(crate) fn invalid_shard_iterator() -> Self {
        Self::validation("Invalid ShardIterator")
    }

    pub(crate) fn invalid_sequence_number() -> Self {
        Self::validation("Invalid SequenceNumber")
    }

    pub(crate) fn no_parent_shard() -> Self {
        Self::validation("ShardId must be provided in the ShardFilter for the filter type CHILD_SHARDS")
    }

    pub(crate) fn iterator_parameter_missing(parameter: &str, kind: &str) -> Self {
        Self::validation(format!("{parameter} must be provided for the ShardIteratorType {kind}"))
    }

    pub(crate) fn timestamp_in_future() -> Self {
        Self::validation("Timestamp must not be in the future")
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

    /// `InternalServerError`, status 500. Why is for the log, not for the client.
    pub fn internal() -> Self {
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
            "Transaction with the given client token is already in progress.",
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
        Self::dynamodb("TableNotFoundException", format!("Table not found: {name}"))
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

    /// The message.
    pub fn message(&self) -> &str {
        &self.0.message
    }

    /// The reply's body.
    pub fn body(&self) -> Vec<u8> {
        let mut writer = Writer::with_capacity(64 + self.0.kind.len() + self.0.message.len());
        writer.begin_object();
        writer.plain_key("__type");
        writer.plain_string(&self.0.kind);
        writer.plain_key(self.0.key);
        writer.string(&self.0.message);
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
            TableError::ConditionFailed(item) => ("ConditionalCheckFailed", item.map(|item| *item)),
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
            TableError::ConditionFailed(item) => Self::conditional_check_failed(item.map(|item| *item)),
            TableError::Throttled(throttled) => Self::throttled(&throttled),
            TableError::ItemCollectionSize => Self::item_collection_size_limit_exceeded(),
            TableError::TransactionConflict => Self::transaction_conflict(),
            TableError::TransactionCanceled(reasons) => {
                Self::transaction_canceled(reasons.into_iter().map(CancellationReason::from).collect())
            }
            TableError::TransactionInProgress => Self::transaction_in_progress(),
            TableError::ParameterMismatch => Self::idempotent_parameter_mismatch(),
            TableError::Storage(_) | TableError::Corrupt(_) => Self::internal(),
        }
    }
}
