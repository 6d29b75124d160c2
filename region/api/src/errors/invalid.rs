//! The `ValidationException`s of the API itself.

use std::fmt;

use geodynamo_table::{
    PARTITION_KEY_BYTES_MAX,
    schema::{KeyAttribute, KeySchema, Throughput},
};

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

    /// What should be the ARN of something with tags.
    pub(crate) fn not_an_arn(text: &str) -> Self {
        Self::invalid(format!("ARNs must start with 'arn:': {text}"))
    }

    pub(crate) fn invalid_tag_key(key: &str) -> Self {
        Self::validation(format!("The Tag Key provided is invalid, Key: {key}"))
    }

    pub(crate) fn invalid_tag_value(value: &str) -> Self {
        Self::validation(format!("The Tag Value provided is invalid, Value: {value}"))
    }

    pub(crate) fn reserved_tag_key(key: &str) -> Self {
        Self::validation(format!("Tag Key cannot be prefixed with aws:, Key: {key}"))
    }

    pub(crate) fn tag_key_twice(key: &str) -> Self {
        Self::validation(format!(
            "Duplicate Tag Keys provided as input: Duplicate Tag Key found {key}"
        ))
    }

    pub(crate) fn too_many_tags() -> Self {
        Self::validation("Number of Tags exceed the current limit for the provided ResourceArn")
    }

    /// Members that a request must have, by their names in the model of DynamoDB's own.
    pub(crate) fn members_missing(names: &[&str]) -> Self {
        let missing =
            |name: &&str| format!("Value null at '{name}' failed to satisfy constraint: Member must not be null");
        let (count, errors) = (names.len(), if names.len() == 1 { "error" } else { "errors" });
        let missing: Vec<_> = names.iter().map(missing).collect();
        Self::validation(format!("{count} validation {errors} detected: {}", missing.join("; ")))
    }

    /// A stream that is switched on without a view, or off with one.
    pub(crate) fn stream_view(enabled: bool, of_new_table: bool) -> Self {
        Self::invalid(match (of_new_table, enabled) {
            (true, true) => "Table is being created with a stream enabled, UpdateViewType is required",
            (true, false) => "Table is being created with a stream disabled, UpdateViewType should not be specified",
            (false, true) => "If stream is being enabled then UpdateViewType is required",
            (false, false) => "If stream is being disabled, then UpdateViewType must not be specified",
        })
    }

    /// `index` is that of the index, if it is not the table's.
    pub(crate) fn on_demand_of_provisioned(member: &str, index: Option<&str>, is_new: bool) -> Self {
        let of = index.map(|name| format!(" for index : {name}")).unwrap_or_default();
        Self::invalid(if is_new {
            format!("{member} for OnDemandThroughput{of} cannot be specified when table BillingMode is PROVISIONED.")
        } else {
            format!("{member} for OnDemandThroughput{of} cannot be specified when the table BillingMode is PROVISIONED")
        })
    }

    pub(crate) fn on_demand_out_of_range(member: &str, index: Option<&str>) -> Self {
        let of = index.map_or_else(|| "table".to_owned(), |name| format!("index : {name}"));
        Self::invalid(format!(
            "Requested {member} for OnDemandThroughput for {of} is outside of valid range"
        ))
    }

    pub(crate) fn warm_index_of_nothing(index: &str) -> Self {
        Self::invalid(format!(
            "WarmThroughput must have at least one of ReadUnitsPerSecond or WriteUnitsPerSecond specified for index: {index}"
        ))
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

    /// Of a schema of several attributes. Only parts of DynamoDB's text are known.
    pub(crate) fn key_attribute_twice(name: &str) -> Self {
        Self::validation(format!(
            "Invalid KeySchema: Two elements in the KeySchema have the same name: {name}"
        ))
    }

    /// Of a schema of several attributes. Only parts of DynamoDB's text are known.
    pub(crate) fn hash_behind_range() -> Self {
        Self::validation("Invalid KeySchema: All HASH key elements must precede all RANGE key elements")
    }

    /// Only parts of DynamoDB's text are known.
    pub(crate) fn projected_twice(name: &str) -> Self {
        Self::invalid(format!("Duplicate attribute name in NonKeyAttributes: {name}"))
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

    pub(crate) fn attribute_defined_twice(name: &str) -> Self {
        Self::validation(format!("Attribute Name is duplicated: {name}"))
    }

    /// A request that adds an index and defines no attributes.
    pub(crate) fn no_attribute_definitions(index: &str) -> Self {
        Self::invalid(format!("AttributeDefinitions is not specified for index: {index}"))
    }

    pub(crate) fn attribute_redefined(there: &KeySchema, new: &KeySchema) -> Self {
        let element = |(attribute, partition): (&KeyAttribute, bool)| {
            let role = if partition { "HASH" } else { "RANGE" };
            format!(
                "SchemaElement: key{{{}:{}:{role}}}",
                attribute.name,
                attribute.kind.code()
            )
        };
        let show = |keys: &KeySchema| keys.roles().map(element).collect::<Vec<_>>().join(", ");
        Self::invalid(format!(
            "Attributes cannot be redefined. Please check that your attribute has the same type as previously defined. \
             Existing schema: Schema:[{}] New schema: Schema:[{}]",
            show(there),
            show(new)
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

    /// What is asked of a new replica is no change by itself, and then is not told of either.
    pub(crate) fn nothing_to_update(has_consistency: bool) -> Self {
        let consistency = if has_consistency {
            ""
        } else {
            "MultiRegionConsistency, "
        };
        Self::validation(format!(
            "At least one of ProvisionedThroughput, BillingMode, UpdateStreamEnabled, GlobalSecondaryIndexUpdates, \
             SSESpecification, ReplicaUpdates, MultiAccountReplicaReady, ReplicaTransitRoleArn, \
             {consistency}DeletionProtectionEnabled, OnDemandThroughput, WarmThroughput or TableClass is required"
        ))
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

    pub(crate) fn disassociation_with_others() -> Self {
        Self::validation("A Disassociate action must be the only replica update in the request")
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

    pub(crate) fn too_many_records(limit: usize, most: usize) -> Self {
        Self::validation(format!(
            "1 validation error detected: Value '{limit}' at 'limit' failed to satisfy constraint: Member must have value less \
             than or equal to {most}"
        ))
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

    pub(crate) fn iterator_parameter_extra(parameter: &str, kind: &str) -> Self {
        Self::validation(format!(
            "{parameter} must not be provided for the ShardIteratorType {kind}"
        ))
    }

    pub(crate) fn timestamp_in_future() -> Self {
        Self::validation("Timestamp must not be in the future")
    }
}
