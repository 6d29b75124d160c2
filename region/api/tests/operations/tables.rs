use geodynamo_api::Habits;

use crate::client::Client;

#[tokio::test]
async fn tables() {
    let client = Client::new().await;
    client.gives("ListTables", "{}", r#"{"TableNames":[]}"#).await;
    let create = |name: &str| {
        format!(
            r#"{{"TableName":"{name}","KeySchema":[{{"AttributeName":"pk","KeyType":"HASH"}}],"AttributeDefinitions":
            [{{"AttributeName":"pk","AttributeType":"S"}}],"ProvisionedThroughput":{{"ReadCapacityUnits":3,"WriteCapacityUnits":5}},
            "StreamSpecification":{{"StreamEnabled":true,"StreamViewType":"NEW_IMAGE"}},"Tags":[{{"Key":"k","Value":"v"}}]}}"#
        )
    };
    let made = client.ok("CreateTable", &create("abc")).await;
    assert!(made.contains(r#""TableStatus":"CREATING""#), "{made}");
    client
        .refuses(
            "CreateTable",
            &create("abc"),
            "ResourceInUseException",
            "Table already exists: abc",
        )
        .await;
    client.ok("CreateTable", &create("abd")).await;
    client
        .gives(
            "ListTables",
            r#"{"Limit":1}"#,
            r#"{"TableNames":["abc"],"LastEvaluatedTableName":"abc"}"#,
        )
        .await;
    client
        .gives(
            "ListTables",
            r#"{"ExclusiveStartTableName":"abc"}"#,
            r#"{"TableNames":["abd"]}"#,
        )
        .await;
    let described = client.ok("DescribeTable", r#"{"TableName":"abc"}"#).await;
    let arn = "arn:aws:dynamodb:us-east-1:000000000000:table/abc";
    for part in [
        r#"{"Table":{"AttributeDefinitions":[{"AttributeName":"pk","AttributeType":"S"}],"TableName":"abc","#,
        r#""KeySchema":[{"AttributeName":"pk","KeyType":"HASH"}],"TableStatus":"ACTIVE","CreationDateTime":1763890000.0,"#,
        r#""ProvisionedThroughput":{"NumberOfDecreasesToday":0,"ReadCapacityUnits":3,"WriteCapacityUnits":5},"#,
        r#""TableSizeBytes":0,"ItemCount":0,"#,
        r#""StreamSpecification":{"StreamEnabled":true,"StreamViewType":"NEW_IMAGE"},"#,
        &format!(
            r#""LatestStreamLabel":"2025-11-23T09:26:40.000","LatestStreamArn":"{arn}/stream/2025-11-23T09:26:40.000""#
        ),
        r#""DeletionProtectionEnabled":false"#,
    ] {
        assert!(described.contains(part), "{part} in {described}");
    }
    assert_eq!(
        client.ok("DescribeTable", &format!(r#"{{"TableName":"{arn}"}}"#)).await,
        described
    );

    client
        .gives(
            "ListTagsOfResource",
            &format!(r#"{{"ResourceArn":"{arn}"}}"#),
            r#"{"Tags":[{"Key":"k","Value":"v"}]}"#,
        )
        .await;
    client
        .gives(
            "TagResource",
            &format!(r#"{{"ResourceArn":"{arn}","Tags":[{{"Key":"l","Value":""}}]}}"#),
            "",
        )
        .await;
    client
        .gives(
            "UntagResource",
            &format!(r#"{{"ResourceArn":"{arn}","TagKeys":["k"]}}"#),
            "",
        )
        .await;
    client
        .gives(
            "ListTagsOfResource",
            &format!(r#"{{"ResourceArn":"{arn}"}}"#),
            r#"{"Tags":[{"Key":"l","Value":""}]}"#,
        )
        .await;
    client
        .gives(
            "DescribeTimeToLive",
            r#"{"TableName":"abc"}"#,
            r#"{"TimeToLiveDescription":{"TimeToLiveStatus":"DISABLED"}}"#,
        )
        .await;
    client
        .gives(
            "DescribeContinuousBackups",
            r#"{"TableName":"abc"}"#,
            r#"{"ContinuousBackupsDescription":{"ContinuousBackupsStatus":"ENABLED","PointInTimeRecoveryDescription":{"PointInTimeRecoveryStatus":"DISABLED"}}}"#,
        )
        .await;

    client
        .ok("UpdateTable", r#"{"TableName":"abc","DeletionProtectionEnabled":true}"#)
        .await;
    client
        .invalid(
            "DeleteTable",
            r#"{"TableName":"abc"}"#,
            "Resource cannot be deleted as it is currently protected against deletion. Disable deletion protection first.",
        )
        .await;
    let updated = client.ok("UpdateTable", r#"{"TableName":"abc","DeletionProtectionEnabled":false,"BillingMode":"PAY_PER_REQUEST","StreamSpecification":{"StreamEnabled":false}}"#).await;
    assert!(updated.contains(r#""BillingMode":"PAY_PER_REQUEST""#), "{updated}");
    assert!(!updated.contains("StreamSpecification"), "{updated}");
    let replicated = client
        .ok(
            "UpdateTable",
            r#"{"TableName":"abd","ReplicaUpdates":[{"Create":{"RegionName":"eu-west-1"}}]}"#,
        )
        .await;
    assert!(
        replicated.contains(
            r#""GlobalTableVersion":"2019.11.21","Replicas":[{"RegionName":"eu-west-1","ReplicaStatus":"CREATING","ReplicaArn":"arn:aws:dynamodb:eu-west-1:000000000000:table/abd","GlobalTableSettingsReplicationMode":"ENABLED_WITH_OVERRIDES"}]"#
        ),
        "{replicated}"
    );
    let deleted = client.ok("DeleteTable", r#"{"TableName":"abc"}"#).await;
    let since =
        r#""BillingModeSummary":{"BillingMode":"PAY_PER_REQUEST","LastUpdateToPayPerRequestDateTime":1763890000.0}"#;
    let id = deleted
        .split(r#""TableId":""#)
        .nth(1)
        .unwrap()
        .split('"')
        .next()
        .unwrap();
    assert_eq!(
        deleted,
        format!(
            r#"{{"TableDescription":{{"TableName":"abc","TableStatus":"DELETING","ProvisionedThroughput":{{"NumberOfDecreasesToday":0,"ReadCapacityUnits":0,"WriteCapacityUnits":0}},"TableSizeBytes":0,"ItemCount":0,"TableArn":"{arn}","TableId":"{id}",{since},"DeletionProtectionEnabled":false}}}}"#
        )
    );
    client
        .refuses(
            "DescribeTable",
            r#"{"TableName":"nope"}"#,
            "ResourceNotFoundException",
            "Requested resource not found: Table: nope not found",
        )
        .await;
    client
        .refuses(
            "GetItem",
            r#"{"TableName":"nope","Key":{"a":{"S":"b"}}}"#,
            "ResourceNotFoundException",
            "Requested resource not found",
        )
        .await;
}

#[tokio::test]
async fn tables_that_cannot_be() {
    let client = Client::new().await;
    let check = async |rest: &str, message: &str| {
        client
            .invalid("CreateTable", &format!(r#"{{"TableName":"abc",{rest}}}"#), message)
            .await;
    };
    let a = r#""AttributeDefinitions":[{"AttributeName":"a","AttributeType":"S"}],"BillingMode":"PAY_PER_REQUEST""#;
    let ab = r#""AttributeDefinitions":[{"AttributeName":"a","AttributeType":"S"},{"AttributeName":"b","AttributeType":"S"}],"BillingMode":"PAY_PER_REQUEST""#;
    let hash = r#""KeySchema":[{"AttributeName":"a","KeyType":"HASH"}]"#;
    check(
        &format!(r#"{a},"KeySchema":[{{"AttributeName":"a","KeyType":"RANGE"}}]"#),
        "Invalid KeySchema: The first KeySchemaElement is not a HASH key type",
    )
    .await;
    check(
        &format!(
            r#"{ab},"KeySchema":[{{"AttributeName":"a","KeyType":"HASH"}},{{"AttributeName":"b","KeyType":"HASH"}}]"#
        ),
        "Invalid KeySchema: The second KeySchemaElement is not a RANGE key type",
    )
    .await;
    check(
        &format!(
            r#"{ab},"KeySchema":[{{"AttributeName":"a","KeyType":"HASH"}},{{"AttributeName":"a","KeyType":"RANGE"}}]"#
        ),
        "Both the Hash Key and the Range Key element in the KeySchema have the same name",
    )
    .await;
    check(
        &format!(
            r#"{a},"KeySchema":[{{"AttributeName":"a","KeyType":"HASH"}},{{"AttributeName":"a","KeyType":"RANGE"}}]"#
        ),
        "Invalid KeySchema: Some index key attribute have no definition",
    )
    .await;
    check(
        hash,
        "1 validation error detected: Value null at 'attributeDefinitions' failed to satisfy constraint: Member must not be null",
    )
    .await;
    check(
        r#""BillingMode":"PAY_PER_REQUEST""#,
        "2 validation errors detected: Value null at 'attributeDefinitions' failed to satisfy constraint: Member must not be null; Value null at 'keySchema' failed to satisfy constraint: Member must not be null",
    )
    .await;
    check(
        &format!(r#"{a},"KeySchema":[{{"AttributeName":"z","KeyType":"HASH"}}]"#),
        "One or more parameter values were invalid: Some index key attributes are not defined in AttributeDefinitions. Keys: [z], AttributeDefinitions: [a]",
    )
    .await;
    check(
        &format!("{ab},{hash}"),
        "One or more parameter values were invalid: Number of attributes in KeySchema does not exactly match number of attributes defined in AttributeDefinitions",
    )
    .await;
    check(
        &format!(r#""AttributeDefinitions":[{{"AttributeName":"a","AttributeType":"S"}}],{hash}"#),
        "One or more parameter values were invalid: ReadCapacityUnits and WriteCapacityUnits must both be specified when BillingMode is PROVISIONED",
    )
    .await;
    check(
        &format!(r#"{a},{hash},"LocalSecondaryIndexes":[{{"IndexName":"iii","Projection":{{"ProjectionType":"ALL"}},{hash}}}]"#),
        "One or more parameter values were invalid: Table KeySchema does not have a range key, which is required when specifying a LocalSecondaryIndex",
    )
    .await;
    check(
        &format!(r#"{a},{hash},"GlobalSecondaryIndexes":[{{"IndexName":"iii","Projection":{{"ProjectionType":"INCLUDE"}},{hash}}}]"#),
        "One or more parameter values were invalid: ProjectionType is INCLUDE, but NonKeyAttributes is not specified",
    )
    .await;
    let gsi = format!(r#"{{"IndexName":"iii","Projection":{{"ProjectionType":"ALL"}},{hash}}}"#);
    check(
        &format!(r#"{a},{hash},"GlobalSecondaryIndexes":[{gsi},{gsi}]"#),
        "One or more parameter values were invalid: Duplicate index name: iii",
    )
    .await;
}

/// The newest parameters are refused by name: nothing a client relies on is passed over.
#[tokio::test]
async fn parameters_that_are_not_offered() {
    let client = Client::new().await;
    let keys = r#""KeySchema":[{"AttributeName":"pk","KeyType":"HASH"}],"AttributeDefinitions":[{"AttributeName":"pk","AttributeType":"S"}],"BillingMode":"PAY_PER_REQUEST""#;
    client
        .ok("CreateTable", &format!(r#"{{"TableName":"there",{keys}}}"#))
        .await;
    for (parameter, value) in [
        (
            "GlobalTableSourceArn",
            r#""arn:aws:dynamodb:us-east-1:000000000000:table/abc""#,
        ),
        ("VectorIndexes", "[]"),
    ] {
        let body = format!(r#"{{"TableName":"new",{keys},"{parameter}":{value}}}"#);
        let text = format!("{parameter} is not available in this version of geodynamo");
        client.invalid("CreateTable", &body, &text).await;
    }
    for (parameter, value) in [
        (
            "GlobalTableWitnessUpdates",
            r#"[{"Create":{"RegionName":"eu-west-1"}}]"#,
        ),
        ("VectorIndexUpdates", "[]"),
    ] {
        let body = format!(r#"{{"TableName":"there","{parameter}":{value}}}"#);
        let text = format!("{parameter} is not available in this version of geodynamo");
        client.invalid("UpdateTable", &body, &text).await;
    }
}

/// Whoever develops against a region may have tables at once, and see what CDK and Terraform ask for.
#[tokio::test]
async fn habits() {
    let usual = Client::new().await;
    let keys = r#""KeySchema":[{"AttributeName":"pk","KeyType":"HASH"}],"AttributeDefinitions":[{"AttributeName":"pk","AttributeType":"S"}],"BillingMode":"PAY_PER_REQUEST""#;
    let create = format!(r#"{{"TableName":"abc",{keys}}}"#);
    let sealed = format!(r#"{{"TableName":"abc",{keys},"SSESpecification":{{"Enabled":true}}}}"#);
    let refused = "SSESpecification with Enabled true is not available in this version of geodynamo";
    usual.invalid("CreateTable", &sealed, refused).await;
    usual.ok("CreateTable", &create).await;
    let client = usual.with_habits(Habits {
        at_once: false,
        shows_unbuilt: true,
        ..Habits::default()
    });
    client
        .ok(
            "UpdateTable",
            r#"{"TableName":"abc","SSESpecification":{"Enabled":true}}"#,
        )
        .await;
    let described = client.ok("DescribeTable", r#"{"TableName":"abc"}"#).await;
    let shown = r#""SSEDescription":{"Status":"ENABLED","SSEType":"KMS","KMSMasterKeyArn":"arn:aws:kms:us-east-1:000000000000:alias/aws/dynamodb"}"#;
    assert!(described.contains(shown), "{described}");
    let at_once = usual.with_habits(Habits {
        at_once: true,
        ..Habits::default()
    });
    let made = at_once.ok("CreateTable", &create.replace("abc", "abd")).await;
    assert!(made.contains(r#""TableStatus":"ACTIVE""#), "{made}");
    let changed = at_once
        .ok(
            "UpdateTable",
            r#"{"TableName":"abd","DeletionProtectionEnabled":false}"#,
        )
        .await;
    assert!(changed.contains(r#""TableStatus":"ACTIVE""#), "{changed}");
}
