//! Reads, and the schemas and lists of requests.

use super::{create, invalid_with, refusal, schema, typed_schema};
use crate::client::Client;

#[tokio::test]
async fn keys_to_start_from() {
    let client = Client::with_table().await;
    client.ok("CreateTable", &create("hash", &["pk"], "")).await;
    let invalid = "The provided starting key is invalid";
    let no_match = "The provided starting key is invalid: The provided key element does not match the schema";
    let by_artist = r#""KeyConditionExpression":"artist = :v","ExpressionAttributeValues":{":v":{"S":"a"}}"#;
    let by_genre =
        r#""IndexName":"by-genre","KeyConditionExpression":"genre = :v","ExpressionAttributeValues":{":v":{"S":"a"}}"#;
    let by_year = r#""IndexName":"by-year","#;
    let whole = r#""artist":{"S":"a"},"song":{"S":"s"}"#;
    for (operation, rest, start, expected) in [
        ("Query", by_artist, r#""artist":{"S":"a"}"#, invalid),
        (
            "Query",
            by_artist,
            r#""artist":{"S":"a"},"song":{"S":"s"},"x":{"S":"s"}"#,
            invalid,
        ),
        ("Query", by_artist, r#""artist":{"S":"a"},"song":{"N":"1"}"#, no_match),
        ("Query", by_artist, r#""artist":{"N":"1"},"song":{"S":"s"}"#, no_match),
        ("Query", by_genre, whole, invalid),
        (
            "Query",
            by_genre,
            r#""artist":{"S":"a"},"song":{"S":"s"},"genre":{"N":"1"}"#,
            no_match,
        ),
        (
            "Query",
            by_genre,
            r#""artist":{"N":"1"},"song":{"S":"s"},"genre":{"S":"a"}"#,
            no_match,
        ),
        ("Scan", r#""Limit":1"#, r#""artist":{"S":"a"}"#, no_match),
        (
            "Scan",
            r#""Limit":1"#,
            r#""artist":{"S":"a"},"song":{"N":"1"}"#,
            no_match,
        ),
        ("Scan", r#""IndexName":"by-genre""#, whole, invalid),
        ("Scan", r#""IndexName":"by-genre""#, r#""genre":{"S":"a"}"#, invalid),
        ("Scan", by_year.trim_end_matches(','), whole, invalid),
        (
            "Scan",
            r#""IndexName":"by-genre""#,
            r#""artist":{"S":"a"},"song":{"S":"s"},"genre":{"N":"1"}"#,
            no_match,
        ),
    ] {
        let body = format!(r#"{{"TableName":"music",{rest},"ExclusiveStartKey":{{{start}}}}}"#);
        client.invalid(operation, &body, expected).await;
    }
    // A query of a table without a sort key has one item at most: it gives no key to go on from, and takes none.
    client
        .ok("PutItem", r#"{"TableName":"hash","Item":{"pk":{"S":"a"}}}"#)
        .await;
    for condition in [
        r#""KeyConditionExpression":"pk = :v","ExpressionAttributeValues":{":v":{"S":"a"}}"#,
        r#""KeyConditions":{"pk":{"ComparisonOperator":"EQ","AttributeValueList":[{"S":"a"}]}}"#,
    ] {
        let query = format!(r#"{{"TableName":"hash","Limit":1,{condition}}}"#);
        client
            .gives(
                "Query",
                &query,
                r#"{"Items":[{"pk":{"S":"a"}}],"Count":1,"ScannedCount":1}"#,
            )
            .await;
        let started = format!(r#"{{"TableName":"hash",{condition},"ExclusiveStartKey":{{"pk":{{"S":"a"}}}}}}"#);
        let parts: &[&str] = &["The provided exclusive start key is invalid: "];
        invalid_with(&client, "Query", &[(started, parts)]).await;
    }
    let scan = r#"{"TableName":"hash","Limit":1,"ExclusiveStartKey":{"pk":{"S":"a"}}}"#;
    client
        .gives("Scan", scan, r#"{"Items":[],"Count":0,"ScannedCount":0}"#)
        .await;
}

#[tokio::test]
async fn a_scan_of_a_small_table_costs_in_each_of_its_partitions() {
    let client = Client::with_table().await;
    for (rest, expected) in [
        (r#""ConsistentRead":true"#, 4),
        (r#""ConsistentRead":false"#, 2),
        (r#""IndexName":"by-genre""#, 2),
        (r#""Segment":0,"TotalSegments":2"#, 1),
    ] {
        let body = format!(r#"{{"TableName":"music","Select":"COUNT","ReturnConsumedCapacity":"TOTAL",{rest}}}"#);
        let reply = client.ok("Scan", &body).await;
        assert!(
            reply.contains(&format!(r#""CapacityUnits":{expected}.0"#)),
            "{rest}: {reply}"
        );
    }
    let body = r#"{"Statement":"SELECT * FROM music WHERE x = 1","ReturnConsumedCapacity":"TOTAL"}"#;
    let reply = client.ok("ExecuteStatement", body).await;
    assert!(reply.contains(r#""CapacityUnits":2.0"#), "{reply}");
}

/// Of these texts only the parts are known.
#[tokio::test]
async fn schemas_and_projections_of_indexes() {
    let client = Client::with_table().await;
    let index = |keys: &str, projection: &str| {
        format!(r#"{{"IndexName":"iii","KeySchema":{keys},"Projection":{{{projection}}}}}"#)
    };
    let all = r#""ProjectionType":"ALL""#;
    let twice = r#""ProjectionType":"INCLUDE","NonKeyAttributes":["x","y","x"]"#;
    let [h, r] = ["HASH", "RANGE"];
    let global = |index: &str| create("new", &["a", "b"], &format!(r#","GlobalSecondaryIndexes":[{index}]"#));
    let local = |index: &str| create("new", &["a", "b"], &format!(r#","LocalSecondaryIndexes":[{index}]"#));
    let by = |keys: &[(&str, &str)]| global(&index(&typed_schema(keys), all));
    let precede: &[&str] = &["HASH", "precede", "RANGE"];
    let same: &[&str] = &["same name"];
    invalid_with(
        &client,
        "CreateTable",
        &[
            (by(&[("a", h), ("b", r), ("c", h)]), precede),
            (by(&[("b", r), ("a", h), ("c", h)]), precede),
            (by(&[("a", h), ("b", r), ("c", r), ("d", h)]), precede),
            (by(&[("a", h), ("b", h), ("a", h)]), same),
            (by(&[("a", h), ("b", r), ("a", r)]), same),
            (by(&[("a", h), ("a", h)]), same),
            (by(&[("a", h), ("a", r)]), same),
            (global(&index(&schema(&["b"]), twice)), &["NonKeyAttributes", ": x"]),
            (global(&index(&schema(&["b"]), twice)), &["Duplicate"]),
            (local(&index(&schema(&["a", "b"]), twice)), &["Duplicate"]),
        ],
    )
    .await;
    let definitions = r#""AttributeDefinitions":[{"AttributeName":"genre","AttributeType":"S"}]"#;
    let update = |keys: &str, projection: &str| {
        let index = index(keys, projection);
        format!(r#"{{"TableName":"music",{definitions},"GlobalSecondaryIndexUpdates":[{{"Create":{index}}}]}}"#)
    };
    let out_of_order = typed_schema(&[("genre", h), ("song", r), ("artist", h)]);
    invalid_with(
        &client,
        "UpdateTable",
        &[
            (update(&schema(&["genre"]), twice), &["Duplicate"]),
            (update(&out_of_order, all), precede),
        ],
    )
    .await;
}

#[tokio::test]
async fn queries_of_keys_of_several_attributes() {
    let client = Client::new().await;
    let keys = typed_schema(&[("a", "HASH"), ("b", "HASH"), ("c", "RANGE"), ("d", "RANGE")]);
    let index = format!(r#"{{"IndexName":"iii","KeySchema":{keys},"Projection":{{"ProjectionType":"ALL"}}}}"#);
    let table = create(
        "several",
        &["a", "b", "c", "d"],
        &format!(r#","GlobalSecondaryIndexes":[{index}]"#),
    );
    let table = table.replacen(&schema(&["a", "b", "c", "d"]), &schema(&["a"]), 1);
    client.ok("CreateTable", &table).await;
    let query = |condition: &str| {
        let values = ["a", "b", "c", "d"]
            .iter()
            .filter(|name| condition.contains(&format!(":{name}")))
            .map(|name| format!(r#"":{name}":{{"S":"x"}}"#))
            .collect::<Vec<_>>()
            .join(",");
        format!(
            r#"{{"TableName":"several","IndexName":"iii","KeyConditionExpression":"{condition}","ExpressionAttributeValues":{{{values}}}}}"#
        )
    };
    let older = |tests: &[(&str, &str)]| {
        let test = |(name, operator): &(&str, &str)| {
            format!(r#""{name}":{{"ComparisonOperator":"{operator}","AttributeValueList":[{{"S":"x"}}]}}"#)
        };
        let tests = tests.iter().map(test).collect::<Vec<_>>().join(",");
        format!(r#"{{"TableName":"several","IndexName":"iii","KeyConditions":{{{tests}}}}}"#)
    };
    let hash: &[&str] = &["equality", "HASH"];
    let range: &[&str] = &["equality", "RANGE"];
    invalid_with(
        &client,
        "Query",
        &[
            (query("a = :a"), hash),
            (query("a = :a AND b < :b"), hash),
            (query("a = :a AND c = :c"), hash),
            (query("a = :a AND b = :b AND d = :d"), range),
            (query("a = :a AND b = :b AND c < :c AND d = :d"), range),
            (query("a = :a AND b = :b AND begins_with(c, :c) AND d = :d"), range),
            (older(&[("a", "EQ")]), hash),
            (older(&[("a", "EQ"), ("b", "GT")]), hash),
            (older(&[("a", "EQ"), ("b", "EQ"), ("d", "EQ")]), range),
            (older(&[("a", "EQ"), ("b", "EQ"), ("c", "LT"), ("d", "EQ")]), range),
        ],
    )
    .await;
    client
        .ok("Query", &query("a = :a AND b = :b AND c = :c AND d < :d"))
        .await;
}

#[tokio::test]
async fn lists_that_are_too_long() {
    let client = Client::with_table().await;
    let list = |count: usize, element: &dyn Fn(usize) -> String| (0..count).map(element).collect::<Vec<_>>().join(",");
    let item = |at: usize| {
        format!(
            r#"{{"artist":{{"S":"{}"}},"song":{{"S":"s{at}"}}}}"#,
            "long".repeat(100)
        )
    };
    let put = |at: usize| format!(r#"{{"PutRequest":{{"Item":{}}}}}"#, item(at));
    let write = |at: usize| format!(r#"{{"Put":{{"TableName":"music","Item":{}}}}}"#, item(at));
    let get = |at: usize| format!(r#"{{"Get":{{"TableName":"music","Key":{}}}}}"#, item(at));
    let statement = |at: usize| format!(r#"{{"Statement":"SELECT {} FROM music"}}"#, "s".repeat(at + 100));
    let of = |name: &str, list: String| format!(r#"{{"{name}":[{list}]}}"#);
    let hundred = "at 'transactItems' failed to satisfy constraint: Member must have length less than or equal to 100";
    // All of the list is shown, however long it is.
    for (operation, body, shown, of_each, count, expected) in [
        (
            "BatchWriteItem",
            format!(r#"{{"RequestItems":{{"music":[{}]}}}}"#, list(26, &put)),
            "Value '{music=[WriteRequest(",
            "WriteRequest(",
            26,
            "at 'requestItems' failed to satisfy constraint: Map value must satisfy constraint: [Member must have length less \
             than or equal to 25, Member must have length greater than or equal to 1]",
        ),
        (
            "TransactWriteItems",
            of("TransactItems", list(101, &write)),
            "Value '[TransactWriteItem(",
            "TransactWriteItem(",
            101,
            hundred,
        ),
        (
            "TransactGetItems",
            of("TransactItems", list(101, &get)),
            "Value '[TransactGetItem(",
            "TransactGetItem(",
            101,
            hundred,
        ),
        (
            "ExecuteTransaction",
            of("TransactStatements", list(101, &statement)),
            "Value '[ParameterizedStatement(",
            "ParameterizedStatement(",
            101,
            "at 'transactStatements' failed to satisfy constraint: Member must have length less than or equal to 100",
        ),
        (
            "BatchExecuteStatement",
            of("Statements", list(26, &statement)),
            "Value '[BatchStatementRequest(",
            "BatchStatementRequest(",
            26,
            "at 'statements' failed to satisfy constraint: Member must have length less than or equal to 25",
        ),
    ] {
        let reply = refusal(&client, operation, &body).await;
        let start = format!(r#""message":"1 validation error detected: {shown}"#);
        assert!(
            reply.contains(&start) && reply.contains(expected),
            "{operation}: {reply}"
        );
        assert_eq!(reply.matches(of_each).count(), count, "{operation}");
        assert!(!reply.contains("..."), "{operation}");
    }
    let keys = format!(r#"{{"RequestItems":{{"music":{{"Keys":[{}]}}}}}}"#, list(101, &item));
    for (operation, body, expected) in [
        (
            "BatchGetItem",
            keys.as_str(),
            "Value at 'RequestItems.music.member.Keys' failed to satisfy constraint: Member must have length less than or \
             equal to 100",
        ),
        (
            "BatchGetItem",
            r#"{"RequestItems":{"music":{"Keys":[]}}}"#,
            "Value at 'RequestItems.music.member.Keys' failed to satisfy constraint: Member must have length greater than or \
             equal to 1",
        ),
        (
            "Query",
            r#"{"TableName":"music","Limit":0}"#,
            "Value at 'Limit' failed to satisfy constraint: Member must have value greater than or equal to 1",
        ),
        (
            "Query",
            r#"{"TableName":"music","AttributesToGet":[]}"#,
            "Value at 'AttributesToGet' failed to satisfy constraint: Member must have length greater than or equal to 1",
        ),
        // What is not a bound of a number or a list has its older form there, too; other operations have no other.
        (
            "Query",
            r#"{"TableName":"music","Select":"X"}"#,
            "Value 'X' at 'select' failed to satisfy constraint: Member must satisfy enum value set: [SPECIFIC_ATTRIBUTES, \
             COUNT, ALL_ATTRIBUTES, ALL_PROJECTED_ATTRIBUTES]",
        ),
        (
            "Scan",
            r#"{"TableName":"music","Limit":0}"#,
            "Value '0' at 'limit' failed to satisfy constraint: Member must have value greater than or equal to 1",
        ),
    ] {
        let counted = if operation == "BatchGetItem" {
            ""
        } else {
            "1 validation error detected: "
        };
        client.invalid(operation, body, &format!("{counted}{expected}")).await;
    }
}
