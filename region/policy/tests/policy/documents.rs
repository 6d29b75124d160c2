//! Policies of AWS's documents, and what the documents say that they allow.

use crate::requests::{Keys, TABLE, decide, user};

type Given<'a> = &'a [(&'a str, &'a [&'a str])];

fn check(policy: &str, action: &str, resource: &str, keys: Given<'_>, expect: bool) {
    let mut caller = user(&[policy]);
    caller.session = Some(geodynamo_policy::Session {
        keys: [("www.amazon.com:user_id".to_owned(), vec!["u1".to_owned()])].into(),
        ..geodynamo_policy::Session::default()
    });
    let decision = decide(&caller, None, &format!("dynamodb:{action}"), resource, &Keys::of(keys));
    assert_eq!(
        decision.is_allowed(),
        expect,
        "{action} {resource} {keys:?}: {decision:?}"
    );
}

/// "Using IAM policy conditions for fine-grained access control", example 1: limit access to the user's items.
#[test]
fn items_of_the_user() {
    let policy = r#"{"Version":"2012-10-17","Statement":[{"Sid":"FullAccessToUserItems","Effect":"Allow",
        "Action":["dynamodb:GetItem","dynamodb:BatchGetItem","dynamodb:Query","dynamodb:PutItem","dynamodb:UpdateItem",
            "dynamodb:DeleteItem","dynamodb:BatchWriteItem"],
        "Resource":["arn:aws:dynamodb:us-east-1:123456789012:table/GameScores"],
        "Condition":{"ForAllValues:StringEquals":{"dynamodb:LeadingKeys":["${www.amazon.com:user_id}"]}}}]}"#;
    let keys = |values: &'static [&'static str]| [("dynamodb:LeadingKeys", values)];
    check(policy, "GetItem", TABLE, &keys(&["u1"]), true);
    check(policy, "GetItem", TABLE, &keys(&["u2"]), false);
    check(policy, "BatchGetItem", TABLE, &keys(&["u1", "u1"]), true);
    check(policy, "BatchGetItem", TABLE, &keys(&["u1", "u2"]), false);
    check(policy, "Scan", TABLE, &[], false);
    check(policy, "GetItem", &format!("{TABLE}/index/i"), &keys(&["u1"]), false);
    // The documents warn of it: were Scan among the actions, it would be let through.
    let with_scan = policy.replace("\"dynamodb:Query\"", "\"dynamodb:Query\",\"dynamodb:Scan\"");
    check(&with_scan, "Scan", TABLE, &[], true);
}

/// Example 2: restrict to some attributes and the user's items; reads must say which attributes they want.
#[test]
fn attributes_of_the_users_items() {
    let policy = r#"{"Version":"2012-10-17","Statement":[{"Effect":"Allow",
        "Action":["dynamodb:GetItem","dynamodb:Query","dynamodb:UpdateItem","dynamodb:DeleteItem"],
        "Resource":"arn:aws:dynamodb:us-east-1:123456789012:table/GameScores",
        "Condition":{
            "ForAllValues:StringEquals":{"dynamodb:LeadingKeys":["${www.amazon.com:user_id}"],
                "dynamodb:Attributes":["UserId","GameTitle","Wins"]},
            "StringEqualsIfExists":{"dynamodb:Select":"SPECIFIC_ATTRIBUTES","dynamodb:ReturnValues":["NONE","UPDATED_OLD","UPDATED_NEW"]}}}]}"#;
    let leading: (&str, &[&str]) = ("dynamodb:LeadingKeys", &["u1"]);
    let some: (&str, &[&str]) = ("dynamodb:Attributes", &["UserId", "GameTitle"]);
    let more: (&str, &[&str]) = ("dynamodb:Attributes", &["UserId", "GameTitle", "Losses"]);
    let select = |select: &'static [&'static str]| ("dynamodb:Select", select);
    check(
        policy,
        "GetItem",
        TABLE,
        &[leading, some, select(&["SPECIFIC_ATTRIBUTES"])],
        true,
    );
    check(
        policy,
        "GetItem",
        TABLE,
        &[leading, some, select(&["ALL_ATTRIBUTES"])],
        false,
    );
    check(
        policy,
        "GetItem",
        TABLE,
        &[leading, more, select(&["SPECIFIC_ATTRIBUTES"])],
        false,
    );
    check(
        policy,
        "UpdateItem",
        TABLE,
        &[leading, some, ("dynamodb:ReturnValues", &["NONE"])],
        true,
    );
    check(
        policy,
        "UpdateItem",
        TABLE,
        &[leading, some, ("dynamodb:ReturnValues", &["ALL_OLD"])],
        false,
    );
}

/// "Using IAM with transactions": EnclosingOperation forbids writes outside of transactions.
#[test]
fn writes_in_transactions_only() {
    let policy = r#"{"Version":"2012-10-17","Statement":[
        {"Effect":"Allow","Action":["dynamodb:PutItem","dynamodb:UpdateItem"],"Resource":["arn:aws:dynamodb:*:*:table/GameScores"],
         "Condition":{"ForAnyValue:StringEquals":{"dynamodb:EnclosingOperation":["TransactWriteItems","TransactGetItems"]}}}]}"#;
    check(
        policy,
        "PutItem",
        TABLE,
        &[("dynamodb:EnclosingOperation", &["TransactWriteItems"])],
        true,
    );
    check(policy, "PutItem", TABLE, &[], false);
}

/// "IAM security policies with PartiQL": forbid full table scans.
#[test]
fn no_full_table_scans() {
    let policy = r#"{"Version":"2012-10-17","Statement":[
        {"Effect":"Deny","Action":["dynamodb:PartiQLSelect"],"Resource":["arn:aws:dynamodb:us-east-1:123456789012:table/GameScores"],
         "Condition":{"Bool":{"dynamodb:FullTableScan":["true"]}}},
        {"Effect":"Allow","Action":["dynamodb:PartiQLSelect"],"Resource":["arn:aws:dynamodb:us-east-1:123456789012:table/GameScores"]}]}"#;
    check(
        policy,
        "PartiQLSelect",
        TABLE,
        &[("dynamodb:FullTableScan", &["false"])],
        true,
    );
    check(
        policy,
        "PartiQLSelect",
        TABLE,
        &[("dynamodb:FullTableScan", &["true"])],
        false,
    );
}

/// "IAM policy to prevent the purchase of reserved capacity", and "… to grant access to an index only".
#[test]
fn resources_of_examples() {
    let index = r#"{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":["dynamodb:Query"],
        "Resource":["arn:aws:dynamodb:us-east-1:123456789012:table/GameScores/index/*"]}]}"#;
    check(index, "Query", &format!("{TABLE}/index/TopScores"), &[], true);
    check(index, "Query", TABLE, &[], false);
    let stream = r#"{"Version":"2012-10-17","Statement":[{"Effect":"Allow",
        "Action":["dynamodb:DescribeStream","dynamodb:GetRecords","dynamodb:GetShardIterator","dynamodb:ListStreams"],
        "Resource":"arn:aws:dynamodb:us-east-1:123456789012:table/GameScores/stream/*"}]}"#;
    check(
        stream,
        "GetRecords",
        &format!("{TABLE}/stream/2024-01-31T00:00:00.000"),
        &[],
        true,
    );
    check(stream, "GetItem", TABLE, &[], false);
}

/// "IAM JSON policy elements: Condition operators" and "Multivalued context keys": allow unless a tag key is forbidden.
#[test]
fn tag_keys() {
    let policy = r#"{"Version":"2012-10-17","Statement":[
        {"Effect":"Allow","Action":"dynamodb:TagResource","Resource":"*",
         "Condition":{"ForAllValues:StringEquals":{"aws:TagKeys":["environment","webserver"]},"Null":{"aws:TagKeys":"false"}}}]}"#;
    check(policy, "TagResource", TABLE, &[("aws:TagKeys", &["environment"])], true);
    check(
        policy,
        "TagResource",
        TABLE,
        &[("aws:TagKeys", &["environment", "cost"])],
        false,
    );
    check(policy, "TagResource", TABLE, &[], false);
}

/// "Attribute-based access control": the resource's tag must be the principal's.
#[test]
fn tags_that_match() {
    let policy = r#"{"Version":"2012-10-17","Statement":{"Effect":"Allow","Action":"dynamodb:*","Resource":"*",
        "Condition":{"StringEquals":{"aws:ResourceTag/project":"${aws:PrincipalTag/project}"}}}}"#;
    let mut caller = user(&[policy]);
    let mut check = |principal: Option<&str>, resource: &str, expect: bool| {
        caller.tags.clear();
        caller
            .tags
            .extend(principal.map(|tag| ("Project".to_owned(), tag.to_owned())));
        let keys = Keys::of(&[("aws:ResourceTag/project", &[resource])]);
        assert_eq!(
            decide(&caller, None, "dynamodb:GetItem", TABLE, &keys).is_allowed(),
            expect
        );
    };
    check(Some("blue"), "blue", true);
    check(Some("blue"), "red", false);
    check(None, "blue", false);
}
