//! The `ValidationException`s of the API itself.

use std::fmt;

use geodynamo_table::{PARTITION_KEY_BYTES_MAX, schema::Throughput};

use super::ApiError;
use crate::{generated::KeySchemaElement, wire::Value as _};

impl ApiError {
    /// "One or more parameter values were invalid: …"
    pub(crate) fn invalid(detail: impl fmt::Display) -> Self {
        Self::validation(format!("One or more parameter values were invalid: {detail}"))
    }

    pub(crate) fn invalid_arn(arn: &str) -> Self {
        Self::validation(format!("Invalid TableArn: Invalid ResourceArn provided as input {arn}"))
    }

    /// An ARN of another region.
    pub(crate) fn foreign_arn(arn: &str) -> Self {
        Self::validation(format!("1 validation error detected: Invalid AWS region in '{arn}'"))
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

    /// Scan is told the same as Query.
    pub(crate) fn projected_without_index() -> Self {
        Self::validation("ALL_PROJECTED_ATTRIBUTES can be used only when Querying using an IndexName")
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

    /// A table without indexes has fewer definitions than keys.
    pub(crate) fn key_without_definition() -> Self {
        Self::validation("Invalid KeySchema: Some index key attribute have no definition")
    }

    /// A table without indexes has more definitions than keys.
    pub(crate) fn more_definitions_than_keys() -> Self {
        Self::invalid(
            "Number of attributes in KeySchema does not exactly match number of attributes defined in AttributeDefinitions",
        )
    }

    /// How DynamoDB says it is not known.
    pub(crate) fn key_attribute_twice(name: &str) -> Self {
        Self::validation(format!("Invalid KeySchema: Duplicate key attribute: {name}"))
    }

    /// How DynamoDB says it is not known.
    pub(crate) fn too_many_key_attributes(kind: &str, given: usize, most: usize) -> Self {
        Self::validation(format!(
            "Invalid KeySchema: {given} {kind} key attributes were given; the limit is {most}"
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

    /// [Seen in](https://github.com/aws/aws-cli/issues/4906).
    pub(crate) fn replica_update_of_local_region() -> Self {
        Self::validation(
            "Cannot add, delete, or update the local region through ReplicaUpdates. Use CreateTable, DeleteTable, or \
             UpdateTable as required.",
        )
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
