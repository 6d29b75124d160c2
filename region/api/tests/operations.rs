//! Requests and replies, whole, on the in-memory engine.

use std::sync::Arc;

use geodynamo_api::{Api, Operation};
use geodynamo_replicator_core::{ReplicaId, parking::ParkingLimits};
use geodynamo_storage::{MemoryEngine, Spanning};
use geodynamo_table::{Options, Tables, TimeSource};

/// A clock that stands still: replies are the same in every run.
struct Still;

impl TimeSource for Still {
    fn now_ms(&self) -> u64 {
        1_763_890_000_000
    }
}

struct Client(Api<MemoryEngine>);

impl Client {
    async fn new() -> Self {
        let options = Options {
            region: "us-east-1".into(),
            regions: vec!["us-east-1".into(), "eu-west-1".into()],
            account: "000000000000".into(),
            partitions: 4,
            parking: ParkingLimits::default(),
            time: Arc::new(Still),
            new_replica: ReplicaId(7),
        };
        let tables = Tables::open(MemoryEngine::new(Spanning::Yes), options).await.unwrap();
        Self(Api::new(tables, "127.0.0.1:8000"))
    }

    /// A client with a table `music` (artist, song), a local index by year and a global one by genre.
    async fn with_table() -> Self {
        let client = Self::new().await;
        client
            .ok(
                "CreateTable",
                r#"{"TableName":"music","BillingMode":"PAY_PER_REQUEST",
                "AttributeDefinitions":[{"AttributeName":"artist","AttributeType":"S"},{"AttributeName":"song","AttributeType":"S"},
                    {"AttributeName":"year","AttributeType":"N"},{"AttributeName":"genre","AttributeType":"S"}],
                "KeySchema":[{"AttributeName":"artist","KeyType":"HASH"},{"AttributeName":"song","KeyType":"RANGE"}],
                "LocalSecondaryIndexes":[{"IndexName":"by-year","Projection":{"ProjectionType":"KEYS_ONLY"},
                    "KeySchema":[{"AttributeName":"artist","KeyType":"HASH"},{"AttributeName":"year","KeyType":"RANGE"}]}],
                "GlobalSecondaryIndexes":[{"IndexName":"by-genre","Projection":{"ProjectionType":"KEYS_ONLY"},
                    "KeySchema":[{"AttributeName":"genre","KeyType":"HASH"},{"AttributeName":"song","KeyType":"RANGE"}]}]}"#,
            )
            .await;
        client
    }

    async fn call(&self, operation: &str, body: &str) -> (u16, String) {
        let reply = self
            .0
            .call(&format!("DynamoDB_20120810.{operation}"), body.as_bytes())
            .await;
        assert_eq!(reply.error.is_some(), reply.status != 200);
        (reply.status, String::from_utf8(reply.body.to_vec()).unwrap())
    }

    async fn ok(&self, operation: &str, body: &str) -> String {
        let (status, reply) = self.call(operation, body).await;
        assert_eq!(status, 200, "{operation} {body}: {reply}");
        reply
    }

    /// That a call's reply is this document.
    async fn gives(&self, operation: &str, body: &str, expected: &str) {
        assert_eq!(self.ok(operation, body).await, expected, "{operation} {body}");
    }

    /// That a call is refused with this error.
    async fn refuses(&self, operation: &str, body: &str, error: &str, message: &str) {
        let (status, reply) = self.call(operation, body).await;
        assert_eq!(status, 400, "{operation} {body}: {reply}");
        assert!(reply.contains(&format!("#{error}\"")), "{operation} {body}: {reply}");
        let message = message.replace('"', "\\\"");
        assert!(
            reply.contains(&format!("essage\":\"{message}\"")),
            "{operation} {body}: {reply}"
        );
    }

    async fn invalid(&self, operation: &str, body: &str, message: &str) {
        self.refuses(operation, body, "ValidationException", message).await;
    }
}

const KEY: &str = r#"{"artist":{"S":"a"},"song":{"S":"s"}}"#;

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
            r#""GlobalTableVersion":"2019.11.21","Replicas":[{"RegionName":"eu-west-1","ReplicaStatus":"CREATING"}]"#
        ),
        "{replicated}"
    );
    let deleted = client.ok("DeleteTable", r#"{"TableName":"abc"}"#).await;
    assert!(deleted.contains(r#""TableStatus":"DELETING""#), "{deleted}");
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
            r#"{a},"KeySchema":[{{"AttributeName":"a","KeyType":"HASH"}},{{"AttributeName":"a","KeyType":"RANGE"}}]"#
        ),
        "Both the Hash Key and the Range Key element in the KeySchema have the same name",
    )
    .await;
    check(
        &format!(r#"{a},"KeySchema":[{{"AttributeName":"z","KeyType":"HASH"}}]"#),
        "One or more parameter values were invalid: Some index key attributes are not defined in AttributeDefinitions. Keys: [z], AttributeDefinitions: [a]",
    )
    .await;
    check(
        &format!("{ab},{hash}"),
        "One or more parameter values were invalid: Some AttributeDefinitions are not used. AttributeDefinitions: [a, b], keys used: [a]",
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

#[tokio::test]
async fn items() {
    let client = Client::with_table().await;
    let item = r#"{"artist":{"S":"a"},"genre":{"S":"pop"},"n":{"N":"1"},"song":{"S":"s"}}"#;
    client
        .gives("GetItem", &format!(r#"{{"TableName":"music","Key":{KEY}}}"#), "{}")
        .await;
    client
        .gives("PutItem", &format!(r#"{{"TableName":"music","Item":{item}}}"#), "{}")
        .await;
    client
        .gives(
            "GetItem",
            &format!(r#"{{"TableName":"music","Key":{KEY}}}"#),
            &format!(r#"{{"Item":{item}}}"#),
        )
        .await;
    client
        .gives(
            "GetItem",
            &format!(r##"{{"TableName":"music","Key":{KEY},"ProjectionExpression":"#n, nope","ExpressionAttributeNames":{{"#n":"n"}},"ReturnConsumedCapacity":"TOTAL"}}"##),
            r#"{"Item":{"n":{"N":"1"}},"ConsumedCapacity":{"TableName":"music","CapacityUnits":0.5}}"#,
        )
        .await;
    client
        .gives(
            "GetItem",
            &format!(r#"{{"TableName":"music","Key":{KEY},"AttributesToGet":["genre"]}}"#),
            r#"{"Item":{"genre":{"S":"pop"}}}"#,
        )
        .await;
    let put = format!(
        r#"{{"TableName":"music","Item":{item},"ReturnValues":"ALL_OLD","ReturnConsumedCapacity":"INDEXES","ReturnItemCollectionMetrics":"SIZE"}}"#
    );
    let reply = client.ok("PutItem", &put).await;
    assert!(
        reply.starts_with(&format!(
            r#"{{"Attributes":{item},"ConsumedCapacity":{{"TableName":"music","CapacityUnits":"#
        )),
        "{reply}"
    );
    assert!(
        reply.ends_with(
            r#""ItemCollectionMetrics":{"ItemCollectionKey":{"artist":{"S":"a"}},"SizeEstimateRangeGB":[0.0,1.0]}}"#
        ),
        "{reply}"
    );

    // Conditions.
    let failed = r#"{"__type":"com.amazonaws.dynamodb.v20120810#ConditionalCheckFailedException","message":"The conditional request failed""#;
    let conditional = |rest: &str| {
        format!(r#"{{"TableName":"music","Item":{item},"ConditionExpression":"attribute_not_exists(artist)"{rest}}}"#)
    };
    assert_eq!(
        client.call("PutItem", &conditional("")).await,
        (400, format!("{failed}}}"))
    );
    let with_old = conditional(r#","ReturnValuesOnConditionCheckFailure":"ALL_OLD""#);
    assert_eq!(
        client.call("PutItem", &with_old).await,
        (400, format!(r#"{failed},"Item":{item}}}"#))
    );
    let expected = |exists: bool| {
        format!(
            r#"{{"TableName":"music","Item":{item},"Expected":{{"artist":{{"Exists":{exists}{}}}}}}}"#,
            if exists { r#","Value":{"S":"a"}"# } else { "" }
        )
    };
    assert_eq!(client.call("PutItem", &expected(false)).await.0, 400);
    client.gives("PutItem", &expected(true), "{}").await;

    // Updates.
    let update = |returns: &str| {
        format!(
            r#"{{"TableName":"music","Key":{KEY},"UpdateExpression":"SET n = n + :one, m = :one","ExpressionAttributeValues":{{":one":{{"N":"1"}}}},"ReturnValues":"{returns}"}}"#
        )
    };
    client.gives("UpdateItem", &update("NONE"), "{}").await;
    client
        .gives(
            "UpdateItem",
            &update("UPDATED_NEW"),
            r#"{"Attributes":{"m":{"N":"1"},"n":{"N":"3"}}}"#,
        )
        .await;
    client
        .gives(
            "UpdateItem",
            &update("UPDATED_OLD"),
            r#"{"Attributes":{"m":{"N":"1"},"n":{"N":"3"}}}"#,
        )
        .await;
    client
        .gives(
            "UpdateItem",
            &update("ALL_NEW"),
            r#"{"Attributes":{"artist":{"S":"a"},"genre":{"S":"pop"},"m":{"N":"1"},"n":{"N":"5"},"song":{"S":"s"}}}"#,
        )
        .await;
    let old = r#"{"artist":{"S":"a"},"genre":{"S":"pop"},"m":{"N":"1"},"n":{"N":"5"},"song":{"S":"s"}}"#;
    client
        .gives("UpdateItem", &update("ALL_OLD"), &format!(r#"{{"Attributes":{old}}}"#))
        .await;
    client
        .gives(
            "UpdateItem",
            &format!(r#"{{"TableName":"music","Key":{KEY},"AttributeUpdates":{{"m":{{"Action":"DELETE"}},"n":{{"Action":"ADD","Value":{{"N":"-6"}}}}}},"ReturnValues":"UPDATED_NEW"}}"#),
            r#"{"Attributes":{"n":{"N":"0"}}}"#,
        )
        .await;
    client
        .gives(
            "UpdateItem",
            r#"{"TableName":"music","Key":{"artist":{"S":"b"},"song":{"S":"t"}},"ReturnValues":"ALL_NEW"}"#,
            r#"{"Attributes":{"artist":{"S":"b"},"song":{"S":"t"}}}"#,
        )
        .await;

    // Deletes.
    let delete = format!(r#"{{"TableName":"music","Key":{KEY},"ReturnValues":"ALL_OLD"}}"#);
    client
        .gives(
            "DeleteItem",
            &delete,
            r#"{"Attributes":{"artist":{"S":"a"},"genre":{"S":"pop"},"n":{"N":"0"},"song":{"S":"s"}}}"#,
        )
        .await;
    client.gives("DeleteItem", &delete, "{}").await;
}

#[tokio::test]
async fn items_that_cannot_be() {
    let client = Client::with_table().await;
    let check = async |operation: &str, rest: &str, message: &str| {
        client
            .invalid(operation, &format!(r#"{{"TableName":"music",{rest}}}"#), message)
            .await;
    };
    check(
        "GetItem",
        r#""Key":{"artist":{"S":"a"}}"#,
        "The provided key element does not match the schema",
    )
    .await;
    check(
        "GetItem",
        r#""Key":{"artist":{"S":"a"},"song":{"N":"1"}}"#,
        "The provided key element does not match the schema",
    )
    .await;
    check(
        "PutItem",
        r#""Item":{"song":{"S":"a"}}"#,
        "One or more parameter values were invalid: Missing the key artist in the item",
    )
    .await;
    check(
        "PutItem",
        r#""Item":{"artist":{"S":""},"song":{"S":"a"}}"#,
        "One or more parameter values are not valid. The AttributeValue for a key attribute cannot contain an empty string value. Key: artist",
    )
    .await;
    check(
        "PutItem",
        r#""Item":{"artist":{"N":"1"},"song":{"S":"a"}}"#,
        "One or more parameter values were invalid: Type mismatch for key artist expected: S actual: N",
    )
    .await;
    let large = "x".repeat(400 * 1024);
    check(
        "PutItem",
        &format!(r#""Item":{{"artist":{{"S":"a"}},"song":{{"S":"a"}},"x":{{"S":"{large}"}}}}"#),
        "Item size has exceeded the maximum allowed size",
    )
    .await;
    check(
        "PutItem",
        &format!(r#""Item":{KEY},"ReturnValues":"ALL_NEW""#),
        "ReturnValues can only be ALL_OLD or NONE",
    )
    .await;
    check(
        "PutItem",
        &format!(r#""Item":{KEY},"ConditionExpression":"a = :a","Expected":{{"a":{{"Exists":false}}}}"#),
        "Can not use both expression and non-expression parameters in the same request: Non-expression parameters: {Expected} Expression parameters: {ConditionExpression}",
    )
    .await;
    check(
        "PutItem",
        &format!(r#""Item":{KEY},"ExpressionAttributeValues":{{":a":{{"S":"a"}}}}"#),
        "ExpressionAttributeValues can only be specified when using expressions: ConditionExpression is null",
    )
    .await;
    check(
        "UpdateItem",
        &format!(r##""Key":{KEY},"ExpressionAttributeNames":{{"#a":"a"}}"##),
        "ExpressionAttributeNames can only be specified when using expressions",
    )
    .await;
    check(
        "UpdateItem",
        &format!(
            r#""Key":{KEY},"UpdateExpression":"SET artist = :a","ExpressionAttributeValues":{{":a":{{"S":"a"}}}}"#
        ),
        "One or more parameter values were invalid: Cannot update attribute artist. This attribute is part of the key",
    )
    .await;
    let parentheses = "(".repeat(4096);
    let body = format!(r#"{{"TableName":"music","Item":{KEY},"ConditionExpression":"{parentheses}"}}"#);
    let (status, reply) = client.call("PutItem", &body).await;
    assert!(
        status == 400 && reply.contains("#ValidationException") && reply.contains("Invalid ConditionExpression: "),
        "{reply}"
    );
}

#[tokio::test]
async fn queries_and_scans() {
    let client = Client::with_table().await;
    for at in 0..5 {
        let item = format!(
            r#"{{"artist":{{"S":"a"}},"song":{{"S":"s{at}"}},"year":{{"N":"{}"}},"genre":{{"S":"g"}},"place":{{"N":"{at}"}}}}"#,
            2000 - at
        );
        client
            .ok("PutItem", &format!(r#"{{"TableName":"music","Item":{item}}}"#))
            .await;
    }
    let query = |rest: &str| {
        format!(
            r#"{{"TableName":"music","KeyConditionExpression":"artist = :a","ExpressionAttributeValues":{{":a":{{"S":"a"}}}}{rest}}}"#
        )
    };
    client
        .gives(
            "Query",
            &query(r#","Select":"COUNT""#),
            r#"{"Count":5,"ScannedCount":5}"#,
        )
        .await;
    client
        .gives(
            "Query",
            &query(r#","Limit":2,"ScanIndexForward":false,"ProjectionExpression":"song""#),
            r#"{"Items":[{"song":{"S":"s4"}},{"song":{"S":"s3"}}],"Count":2,"ScannedCount":2,"LastEvaluatedKey":{"artist":{"S":"a"},"song":{"S":"s3"}}}"#,
        )
        .await;
    client
        .gives(
            "Query",
            &query(r#","ScanIndexForward":false,"ProjectionExpression":"song","ExclusiveStartKey":{"artist":{"S":"a"},"song":{"S":"s1"}}"#),
            r#"{"Items":[{"song":{"S":"s0"}}],"Count":1,"ScannedCount":1}"#,
        )
        .await;
    // A local index: in its own order; what it lacks comes from the table.
    client
        .gives(
            "Query",
            &query(r#","IndexName":"by-year","Limit":1"#),
            r#"{"Items":[{"artist":{"S":"a"},"song":{"S":"s4"},"year":{"N":"1996"}}],"Count":1,"ScannedCount":1,"LastEvaluatedKey":{"artist":{"S":"a"},"song":{"S":"s4"},"year":{"N":"1996"}}}"#,
        )
        .await;
    client
        .gives(
            "Query",
            &query(r#","IndexName":"by-year","Limit":1,"ProjectionExpression":"genre""#),
            r#"{"Items":[{"genre":{"S":"g"}}],"Count":1,"ScannedCount":1,"LastEvaluatedKey":{"artist":{"S":"a"},"song":{"S":"s4"},"year":{"N":"1996"}}}"#,
        )
        .await;
    client
        .gives(
            "Query",
            r#"{"TableName":"music","IndexName":"by-genre","KeyConditions":{"genre":{"ComparisonOperator":"EQ","AttributeValueList":[{"S":"g"}]},"song":{"ComparisonOperator":"BETWEEN","AttributeValueList":[{"S":"s1"},{"S":"s2"}]}},"Select":"COUNT"}"#,
            r#"{"Count":2,"ScannedCount":2}"#,
        )
        .await;
    client
        .gives(
            "Query",
            r#"{"TableName":"music","KeyConditionExpression":"artist = :a AND begins_with(song, :s)","FilterExpression":"place > :n","ExpressionAttributeValues":{":a":{"S":"a"},":s":{"S":"s"},":n":{"N":"2"}},"ProjectionExpression":"place"}"#,
            r#"{"Items":[{"place":{"N":"3"}},{"place":{"N":"4"}}],"Count":2,"ScannedCount":5}"#,
        )
        .await;
    client
        .gives(
            "Scan",
            r#"{"TableName":"music","Select":"COUNT"}"#,
            r#"{"Count":5,"ScannedCount":5}"#,
        )
        .await;
    let mut found = 0;
    for segment in 0..3 {
        let reply = client.ok("Scan", &format!(r#"{{"TableName":"music","Segment":{segment},"TotalSegments":3,"ScanFilter":{{"place":{{"ComparisonOperator":"GE","AttributeValueList":[{{"N":"2"}}]}}}}}}"#)).await;
        found += reply.matches(r#""place":"#).count();
    }
    assert_eq!(found, 3);

    let check = async |operation: &str, body: &str, message: &str| client.invalid(operation, body, message).await;
    check(
        "Query",
        &query(r#","IndexName":"nope""#),
        "The table does not have the specified index: nope",
    )
    .await;
    check(
        "Query",
        &query(r#","Select":"ALL_PROJECTED_ATTRIBUTES""#),
        "ALL_PROJECTED_ATTRIBUTES can be used only when Querying using an IndexName",
    )
    .await;
    check(
        "Query",
        &query(r#","Select":"COUNT","ProjectionExpression":"song""#),
        "Cannot specify the ProjectionExpression when choosing to get COUNT",
    )
    .await;
    check(
        "Query",
        r#"{"TableName":"music"}"#,
        "Either the KeyConditions or KeyConditionExpression parameter must be specified in the request.",
    )
    .await;
    check(
        "Query",
        &query(r#","FilterExpression":"song = :a""#),
        "Filter Expression can only contain non-primary key attributes: Primary key attribute: song",
    )
    .await;
    check(
        "Query",
        r#"{"TableName":"music","KeyConditionExpression":"artist = :a","ExpressionAttributeValues":{":a":{"N":"1"}}}"#,
        "One or more parameter values were invalid: Condition parameter type does not match schema type",
    )
    .await;
    let genre = r#"{"TableName":"music","IndexName":"by-genre","KeyConditionExpression":"genre = :a","ExpressionAttributeValues":{":a":{"S":"g"}}"#;
    check(
        "Query",
        &format!(r#"{genre},"ConsistentRead":true}}"#),
        "Consistent reads are not supported on global secondary indexes",
    )
    .await;
    check(
        "Query",
        &format!(r#"{genre},"Select":"ALL_ATTRIBUTES"}}"#),
        "One or more parameter values were invalid: Select type ALL_ATTRIBUTES is not supported for global secondary index by-genre because its projection type is not ALL",
    )
    .await;
    check(
        "Scan",
        r#"{"TableName":"music","Segment":3,"TotalSegments":3}"#,
        "The Segment parameter is zero-based and must be less than parameter TotalSegments: Segment: 3 is not less than TotalSegments: 3",
    )
    .await;
    check(
        "Scan",
        r#"{"TableName":"music","Segment":3}"#,
        "The TotalSegments parameter is required but was not present in the request when Segment parameter is present",
    )
    .await;
}

#[tokio::test]
async fn batches() {
    let client = Client::with_table().await;
    let put = |at: usize| format!(r#"{{"PutRequest":{{"Item":{{"artist":{{"S":"a"}},"song":{{"S":"s{at}"}}}}}}}}"#);
    let key = |at: usize| format!(r#"{{"artist":{{"S":"a"}},"song":{{"S":"s{at}"}}}}"#);
    let write = |list: &[String]| format!(r#"{{"RequestItems":{{"music":[{}]}}}}"#, list.join(","));
    let get = |list: &[String]| format!(r#"{{"RequestItems":{{"music":{{"Keys":[{}]}}}}}}"#, list.join(","));
    let puts: Vec<_> = (0..25).map(put).collect();
    client
        .gives("BatchWriteItem", &write(&puts), r#"{"UnprocessedItems":{}}"#)
        .await;
    client
        .gives(
            "Scan",
            r#"{"TableName":"music","Select":"COUNT"}"#,
            r#"{"Count":25,"ScannedCount":25}"#,
        )
        .await;
    let keys: Vec<_> = (0..100).map(key).collect();
    let got = client.ok("BatchGetItem", &get(&keys)).await;
    assert_eq!(got.matches("artist").count(), 25, "{got}");
    assert!(got.ends_with(r#""UnprocessedKeys":{}}"#), "{got}");
    let delete = format!(r#"{{"DeleteRequest":{{"Key":{}}}}}"#, key(0));
    client
        .gives(
            "BatchWriteItem",
            &write(std::slice::from_ref(&delete)),
            r#"{"UnprocessedItems":{}}"#,
        )
        .await;

    let duplicates = "Provided list of item keys contains duplicates";
    client
        .invalid("BatchWriteItem", &write(&[put(0), delete]), duplicates)
        .await;
    client
        .invalid("BatchGetItem", &get(&[key(1), key(1)]), duplicates)
        .await;
    client
        .invalid(
            "BatchWriteItem",
            &write(&[r#"{"PutRequest":{"Item":{"song":{"S":"x"}}}}"#.into()]),
            "The provided key element does not match the schema",
        )
        .await;
    let none = r#"{"RequestItems":{"nope":{"Keys":[{"a":{"S":"b"}}]}}}"#;
    client
        .refuses(
            "BatchGetItem",
            none,
            "ResourceNotFoundException",
            "Requested resource not found",
        )
        .await;
    // 60 items of 300 KB are more than a reply holds.
    let large = "x".repeat(300 * 1024);
    for at in 0..60 {
        client.ok("PutItem", &format!(r#"{{"TableName":"music","Item":{{"artist":{{"S":"a"}},"song":{{"S":"s{at}"}},"x":{{"S":"{large}"}}}}}}"#)).await;
    }
    let keys: Vec<_> = (0..60).map(key).collect();
    let got = client.ok("BatchGetItem", &get(&keys)).await;
    assert_eq!(got.matches(&large).count(), 54);
    assert!(got.contains(r#""UnprocessedKeys":{"music":{"Keys":["#));
    // A page ends at 1 MB.
    let page = client.ok("Scan", r#"{"TableName":"music"}"#).await;
    assert_eq!(page.matches(&large).count(), 4);
    assert!(page.contains("LastEvaluatedKey"));
}

#[tokio::test]
async fn the_rest() {
    let client = Client::with_table().await;
    client
        .gives(
            "DescribeEndpoints",
            "{}",
            r#"{"Endpoints":[{"Address":"127.0.0.1:8000","CachePeriodInMinutes":1440}]}"#,
        )
        .await;
    client.gives("ListGlobalTables", "{}", r#"{"GlobalTables":[]}"#).await;
    let group = r#"{"GlobalTableName":"abc","ReplicationGroup":[{"RegionName":"us-east-1"}]}"#;
    let (_, reply) = client.call("CreateGlobalTable", group).await;
    assert!(
        reply.contains("ValidationException") && reply.contains("2017.11.29"),
        "{reply}"
    );
    client
        .refuses(
            "DescribeGlobalTable",
            r#"{"GlobalTableName":"abc"}"#,
            "GlobalTableNotFoundException",
            "Global table not found: Global table with name: 'abc' does not exist.",
        )
        .await;
    client
        .refuses(
            "ListBackups",
            "{}",
            "UnknownOperationException",
            "ListBackups is not available in this version of geodynamo.",
        )
        .await;
    client
        .refuses(
            "Nothing",
            "{}",
            "UnknownOperationException",
            "An unknown operation was requested.",
        )
        .await;
    client
        .invalid(
            "UpdateTimeToLive",
            r#"{"TableName":"abc"}"#,
            "1 validation error detected: Value null at 'timeToLiveSpecification' failed to satisfy constraint: Member must not be null",
        )
        .await;
    client
        .invalid(
            "UpdateTable",
            r#"{"TableName":"music","GlobalSecondaryIndexUpdates":[{"Delete":{"IndexName":"by-genre"}}]}"#,
            "GlobalSecondaryIndexUpdates Delete is not available in this version of geodynamo",
        )
        .await;
}

/// Whatever arrives, every operation answers with a document of DynamoDB's kind.
#[tokio::test]
async fn bad_bodies() {
    let client = Client::with_table().await;
    let deep = format!(r#"{{"TableName":{}"#, "[".repeat(100_000));
    for operation in Operation::ALL {
        for body in [
            "",
            "{",
            "[]",
            "null",
            "\u{feff}{}",
            "{\"TableName\":\"music\"} x",
            deep.as_str(),
            "{\"a\":\u{1}}",
        ] {
            let (status, reply) = client.call(operation.name(), body).await;
            assert_eq!(status, 400, "{operation:?} {body:.40}: {reply}");
            assert!(
                reply.starts_with(r#"{"__type":"com.amazon"#),
                "{operation:?} {body:.40}: {reply}"
            );
        }
    }
}
