//! What requests are refused for, and with which words.

use geodynamo_json::Reader;
use proptest::prelude::*;

use super::{DecodeContext, Structure, checked, decode, encode};
use crate::{
    errors::ApiError,
    generated::{samples::SAMPLES, *},
};

#[test]
fn samples_round_trip() {
    for sample in &SAMPLES {
        let (what, json) = (sample.what, sample.json.as_bytes());
        match (sample.round_trip)(json) {
            Ok(bytes) => assert_eq!(String::from_utf8_lossy(&bytes), sample.json, "{what}"),
            Err(error) => panic!("{what}: {error}"),
        }
        if sample.input {
            assert_eq!(sample.operation.check(json), Ok(()), "{what}");
        }
    }
}

#[test]
fn every_required_member_is_missed() {
    // Taking away all members makes an error of each required one, and of nothing else.
    for sample in SAMPLES.iter().filter(|sample| sample.input) {
        let empty = sample.operation.check(b"{}");
        let required = sample.what.ends_with("required members") && sample.json != "{}";
        let only_required = !sample.what.ends_with("every member");
        if only_required {
            assert_eq!(empty.is_err(), required, "{}", sample.what);
        }
        if let Err(error) = empty {
            let told = [
                "failed to satisfy constraint: Member must not be null",
                "The parameter 'TableName' is required but was not present in the request",
            ];
            assert!(told.iter().any(|text| error.message().contains(text)), "{error}");
        }
    }
}

#[test]
fn targets() {
    for operation in Operation::ALL {
        let service = match operation {
            Operation::DescribeStream
            | Operation::GetRecords
            | Operation::GetShardIterator
            | Operation::ListStreams => "DynamoDBStreams_20120810",
            _ => "DynamoDB_20120810",
        };
        assert_eq!(
            Operation::from_target(&format!("{service}.{}", operation.name())),
            Some(operation)
        );
    }
    for target in [
        "",
        "DynamoDB_20120810",
        "DynamoDB_20120810.Nothing",
        "DynamoDB_20111205.GetItem",
        "GetItem",
    ] {
        assert_eq!(Operation::from_target(target), None, "{target}");
    }
}

/// Requests that cannot be parsed.
#[test]
fn serialization_errors() {
    let check = |json: &str, expected: &str| {
        let error = checked::<QueryInput>(json.as_bytes()).expect_err(json);
        assert_eq!(
            (error.name(), error.message()),
            ("SerializationException", expected),
            "{json}"
        );
    };
    check(r#"{"TableName": true}"#, "TRUE_VALUE cannot be converted to String");
    check(r#"{"TableName": false}"#, "FALSE_VALUE cannot be converted to String");
    check(r#"{"TableName": 23}"#, "NUMBER_VALUE cannot be converted to String");
    check(r#"{"TableName": -1.5}"#, "DECIMAL_VALUE cannot be converted to String");
    check(
        r#"{"TableName": []}"#,
        "Unrecognized collection type class java.lang.String",
    );
    check(
        r#"{"TableName": {}}"#,
        "Start of structure or map found where not expected",
    );
    check(r#"{"Limit": "23"}"#, "STRING_VALUE cannot be converted to Integer");
    check(r#"{"Limit": true}"#, "TRUE_VALUE cannot be converted to Integer");
    check(
        r#"{"Limit": []}"#,
        "Unrecognized collection type class java.lang.Integer",
    );
    check(r#"{"Limit": {}}"#, "Start of structure or map found where not expected");
    check(
        r#"{"Limit": 99999999999}"#,
        "NUMBER_VALUE cannot be converted to Integer",
    );
    check(r#"{"Limit": 1e400}"#, "NUMBER_VALUE cannot be converted to Integer");
    check(r#"{"ConsistentRead": "true"}"#, "Unexpected token received from parser");
    check(
        r#"{"ConsistentRead": 1}"#,
        "NUMBER_VALUE cannot be converted to Boolean",
    );
    check(
        r#"{"ConsistentRead": []}"#,
        "Unrecognized collection type class java.lang.Boolean",
    );
    check(r#"{"AttributesToGet": "a"}"#, "Unexpected field type");
    check(
        r#"{"AttributesToGet": {}}"#,
        "Start of structure or map found where not expected",
    );
    check(
        r#"{"AttributesToGet": [1]}"#,
        "NUMBER_VALUE cannot be converted to String",
    );
    check(r#"{"ExpressionAttributeNames": 1}"#, "Unexpected field type");
    check(
        r#"{"ExpressionAttributeNames": []}"#,
        "Unrecognized collection type java.util.Map<java.lang.String, java.lang.String>",
    );
    check(r#"{"KeyConditions": {"a": 1}}"#, "Unexpected value type in payload");
    check(
        r#"{"KeyConditions": {"a": []}}"#,
        "Unrecognized collection type class com.amazonaws.dynamodb.v20120810.Condition",
    );
    check(
        "[]",
        "Unrecognized collection type class com.amazonaws.dynamodb.v20120810.QueryInput",
    );
    check("1", "Unexpected value type in payload");
    check("", "");
    check("{\"a\":", "");
    check("{} {}", "");
}

/// Constraints of the model.
#[test]
fn constraints() {
    fn check<T: Structure>(json: &str, expected: &str) {
        let error = checked::<T>(json.as_bytes())
            .err()
            .unwrap_or_else(|| panic!("accepted: {json}"));
        assert_eq!(
            (error.name(), error.message()),
            ("ValidationException", expected),
            "{json}"
        );
    }
    let long = "x".repeat(256);
    check::<DescribeTableInput>(
        "{}",
        "The parameter 'TableName' is required but was not present in the request",
    );
    check::<DescribeTableInput>(
        r#"{"TableName": null}"#,
        "The parameter 'TableName' is required but was not present in the request",
    );
    check::<DescribeTableInput>(
        r#"{"TableName": "ab"}"#,
        "1 validation error detected: Value 'ab' at 'tableName' failed to satisfy constraint: Member must have length \
         greater than or equal to 3",
    );
    check::<DescribeTableInput>(
        &format!(r#"{{"TableName": "{long}"}}"#),
        &format!(
            "1 validation error detected: Value '{long}' at 'tableName' failed to satisfy constraint: Member must have \
             length less than or equal to 255"
        ),
    );
    check::<DescribeTableInput>(
        r#"{"TableName": "a;"}"#,
        "2 validation errors detected: Value 'a;' at 'tableName' failed to satisfy constraint: Member must satisfy \
         regular expression pattern: [a-zA-Z0-9_.-]+; Value 'a;' at 'tableName' failed to satisfy constraint: Member \
         must have length greater than or equal to 3",
    );
    check::<CreateTableInput>(
        r#"{"TableName": "abc", "KeySchema": [{"AttributeName": "a", "KeyType": "X"}, {"AttributeName": ""}]}"#,
        "3 validation errors detected: Value 'X' at 'keySchema.1.member.keyType' failed to satisfy constraint: Member \
         must satisfy enum value set: [HASH, RANGE]; Value '' at 'keySchema.2.member.attributeName' failed to satisfy \
         constraint: Member must have length greater than or equal to 1; Value null at 'keySchema.2.member.keyType' \
         failed to satisfy constraint: Member must not be null",
    );
    check::<CreateTableInput>(
        r#"{"TableName": "abc", "KeySchema": [], "ProvisionedThroughput": {"ReadCapacityUnits": 0}}"#,
        "3 validation errors detected: Value '[]' at 'keySchema' failed to satisfy constraint: Member must have length \
         greater than or equal to 1; Value '0' at 'provisionedThroughput.readCapacityUnits' failed to satisfy constraint: \
         Member must have value greater than or equal to 1; Value null at 'provisionedThroughput.writeCapacityUnits' \
         failed to satisfy constraint: Member must not be null",
    );
    check::<ListTablesInput>(
        r#"{"Limit": 101, "ExclusiveStartTableName": "a"}"#,
        "2 validation errors detected: Value 'a' at 'exclusiveStartTableName' failed to satisfy constraint: Member must \
         have length greater than or equal to 3; Value '101' at 'limit' failed to satisfy constraint: Member must have \
         value less than or equal to 100",
    );
    check::<QueryInput>(
        r#"{"TableName": "abc", "ReturnConsumedCapacity": "hi", "AttributesToGet": []}"#,
        "2 validation errors detected: Value '[]' at 'attributesToGet' failed to satisfy constraint: Member must have \
         length greater than or equal to 1; Value 'hi' at 'returnConsumedCapacity' failed to satisfy constraint: Member \
         must satisfy enum value set: [INDEXES, TOTAL, NONE]",
    );
    check::<DescribeTableInput>(
        r#"{"TableName": ""}"#,
        "1 validation error detected: Value '' at 'tableName' failed to satisfy constraint: Member must have length \
         greater than or equal to 1",
    );
    check::<CreateTableInput>(
        r#"{"KeySchema": [], "BillingMode": "x"}"#,
        "The parameter 'TableName' is required but was not present in the request",
    );
    check::<BatchGetItemInput>(
        r#"{"RequestItems": {"abc": {}}}"#,
        "1 validation error detected: Value null at 'requestItems.abc.member.keys' failed to satisfy constraint: Member \
         must not be null",
    );
    check::<BatchGetItemInput>(
        &format!(
            r#"{{"RequestItems": {{"abc": {{"Keys": [{}]}}}}}}"#,
            vec!["{}"; 101].join(",")
        ),
        "1 validation error detected: Value at 'RequestItems.abc.member.Keys' failed to satisfy constraint: Member must \
         have length less than or equal to 100",
    );
    check::<QueryInput>(
        r#"{"TableName": "abc", "Limit": 0, "Select": "x"}"#,
        "2 validation errors detected: Value 'x' at 'select' failed to satisfy constraint: Member must satisfy enum value \
         set: [SPECIFIC_ATTRIBUTES, COUNT, ALL_ATTRIBUTES, ALL_PROJECTED_ATTRIBUTES]; Value at 'Limit' failed to satisfy \
         constraint: Member must have value greater than or equal to 1",
    );
    check::<ScanInput>(
        r#"{"TableName": "abc", "Limit": 0}"#,
        "1 validation error detected: Value '0' at 'limit' failed to satisfy constraint: Member must have value greater \
         than or equal to 1",
    );
    check::<BatchWriteItemInput>(
        r#"{"RequestItems": {"abc": []}}"#,
        "1 validation error detected: Value '{abc=[]}' at 'requestItems' failed to satisfy constraint: Map value must \
         satisfy constraint: [Member must have length less than or equal to 25, Member must have length greater than or \
         equal to 1]",
    );
    check::<BatchWriteItemInput>(
        r#"{"RequestItems": {"a!": [{"PutRequest": {}}]}}"#,
        "2 validation errors detected: Value '{a!=[WriteRequest(putRequest=PutRequest(item=null), deleteRequest=null)]}' \
         at 'requestItems' failed to satisfy constraint: Map keys must satisfy constraint: [Member must have length less \
         than or equal to 255, Member must have length greater than or equal to 3, Member must satisfy regular \
         expression pattern: [a-zA-Z0-9_.-]+]; Value null at 'requestItems.a!.member.1.member.putRequest.item' failed to \
         satisfy constraint: Member must not be null",
    );
}

#[test]
fn table_arns_and_unknown_members_are_taken() {
    let arn = "arn:aws:dynamodb:us-east-1:000000000000:table/abc";
    let input: DescribeTableInput =
        checked(format!(r#"{{"New": [{{"a": null}}], "TableName": "{arn}"}}"#).as_bytes()).unwrap();
    assert_eq!(input.table_name.as_deref(), Some(arn));
    let input: QueryInput = checked(br#"{"TableName": "abc", "Limit": 34.9}"#).unwrap();
    assert_eq!(input.limit, Some(34));
}

/// Attribute values that are wrong in themselves come after the model's constraints, and the first of them only.
#[test]
fn attribute_values() {
    let check = |json: &str, name: &str, expected: &str| {
        let error = checked::<GetItemInput>(json.as_bytes()).expect_err(json);
        assert_eq!((error.name(), error.message()), (name, expected), "{json}");
    };
    let empty = "Supplied AttributeValue is empty, must contain exactly one of the supported datatypes";
    check(
        r#"{"TableName": "abc", "Key": {"a": {}}}"#,
        "ValidationException",
        empty,
    );
    check(
        r#"{"TableName": "abc", "Key": {"a": null}}"#,
        "ValidationException",
        empty,
    );
    check(
        r#"{"Key": {"a": {}}}"#,
        "ValidationException",
        "1 validation error detected: Value null at 'tableName' failed to satisfy constraint: Member must not be null",
    );
    check(
        r#"{"Key": {"a": {"S": 1}}}"#,
        "SerializationException",
        "NUMBER_VALUE cannot be converted to String",
    );
    check(
        r#"{"Key": []}"#,
        "SerializationException",
        "Unrecognized collection type java.util.Map<java.lang.String, com.amazonaws.dynamodb.v20120810.AttributeValue>",
    );
    let error = checked::<ScanInput>(
        br#"{"TableName": "abc", "ExpressionAttributeValues": {":a": {"S": "x"}, ":b": {"NULL": false}, ":c": {}}}"#,
    );
    assert_eq!(
        error.unwrap_err().message(),
        "ExpressionAttributeValues contains invalid value: One or more parameter values were invalid: Null attribute \
         value types must have the value of true for key :b"
    );
    let list = "Unrecognized collection type class com.amazonaws.dynamodb.v20120810.AttributeValue";
    let error = checked::<UpdateItemInput>(br#"{"AttributeUpdates": {"a": {"Value": []}}}"#).unwrap_err();
    assert_eq!(error.message(), list);
}

#[test]
fn at_most_ten_violations_are_told() {
    let elements = vec![r#"{"AttributeName":"","KeyType":"x"}"#; 100].join(",");
    let json = format!(r#"{{"TableName": "abc", "KeySchema": [{elements}]}}"#);
    let error = checked::<CreateTableInput>(json.as_bytes()).unwrap_err();
    assert!(
        error.message().starts_with("10 validation errors detected: "),
        "{error}"
    );
    assert!(error.message().len() < 2000);
}

/// A list that is too long is shown whole, as it was sent; only what is a million bytes and more is cut.
#[test]
fn shown_values_are_whole_within_reason() {
    let write = |value: usize| format!(r#"{{"PutRequest": {{"Item": {{"pk": {{"S": "{value:0100}"}}}}}}}}"#);
    let writes: Vec<_> = (0..26).map(write).collect();
    let json = format!(r#"{{"RequestItems": {{"abc": [{}]}}}}"#, writes.join(","));
    let error = checked::<BatchWriteItemInput>(json.as_bytes()).unwrap_err();
    for value in 0..26 {
        assert!(error.message().contains(&format!("{value:0100}")), "{value}: {error}");
    }
    assert!(error.message().ends_with("greater than or equal to 1]"), "{error}");
    let json = format!(r#"{{"TableName": "{0}", "IndexName": "{0}"}}"#, "é".repeat(1 << 20));
    let error = checked::<QueryInput>(json.as_bytes()).unwrap_err();
    assert!(error.message().len() < (1 << 20) + 5000, "{}", error.message().len());
}

#[test]
fn errors_are_named_as_in_the_model() {
    let names = [
        (ApiError::conditional_check_failed(None), "message"),
        (ApiError::resource_not_found("x"), "message"),
        (ApiError::resource_in_use("x"), "message"),
        (ApiError::limit_exceeded("x"), "message"),
        (ApiError::item_collection_size_limit_exceeded(), "message"),
        (ApiError::internal(""), "message"),
        (ApiError::transaction_canceled(Vec::new()), "Message"),
        (ApiError::transaction_conflict(), "message"),
        (ApiError::transaction_in_progress(), "Message"),
        (ApiError::idempotent_parameter_mismatch(), "Message"),
        (ApiError::duplicate_item(), "message"),
        (ApiError::replica_already_exists(""), "message"),
        (ApiError::replica_not_found(""), "message"),
        (ApiError::global_table_not_found(""), "message"),
        (ApiError::index_not_found(""), "message"),
        (ApiError::table_not_found(""), "message"),
        (ApiError::backup_not_found(None), "message"),
        (ApiError::export_not_found(None), "message"),
        (ApiError::import_not_found(None), "message"),
        (ApiError::policy_not_found(""), "message"),
    ];
    for (error, key) in names {
        let known = exceptions::EXCEPTIONS.iter().find(|(name, ..)| *name == error.name());
        let (_, model_key, fault) = known.unwrap_or_else(|| panic!("{} is not in the models", error.name()));
        assert_eq!(*model_key, key, "{error}");
        assert_eq!(error.status(), if *fault { 500 } else { 400 }, "{error}");
        let body = String::from_utf8(error.body()).unwrap();
        let start = format!(
            r#"{{"__type":"com.amazonaws.dynamodb.v20120810#{}","{key}":""#,
            error.name()
        );
        assert!(body.starts_with(&start), "{body}");
    }
}

proptest! {
    #[test]
    fn decoding_never_panics(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        for operation in Operation::ALL {
            let _ = operation.check(&bytes);
        }
    }

    #[test]
    fn decoding_json_like_text_never_panics(sample in 0..SAMPLES.len(), cut in any::<prop::sample::Index>(), with in "[\\[\\]{}\",:0-9a-zA-Znul.-]{0,8}") {
        let json = SAMPLES[sample].json;
        let at = cut.index(json.len());
        let text = format!("{}{with}{}", &json[..at], &json[at..]);
        // What decodes all the same encodes to a text that stays as it is.
        if let Ok(bytes) = (SAMPLES[sample].round_trip)(text.as_bytes()) {
            prop_assert_eq!((SAMPLES[sample].round_trip)(&bytes), Ok(bytes));
        }
        prop_assert!((SAMPLES[sample].round_trip)(&json.as_bytes()[..at]).is_err());
    }
}

#[test]
fn deep_nesting_is_refused() {
    for (open, close) in [("[", "]"), (r#"{"a":"#, "}")] {
        let json = format!("{{\"x\":{}1{}}}", open.repeat(100_000), close.repeat(100_000));
        let mut context = DecodeContext::default();
        let error = decode::whole::<QueryInput>(json.as_bytes(), &mut context).map(|input| encode(&input));
        assert_eq!(error.unwrap_err().to_string(), "");
    }
    assert!(Reader::new(b"{}").is_ok());
}
