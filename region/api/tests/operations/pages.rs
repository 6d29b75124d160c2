use crate::client::Client;

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
        "Cannot specify the ProjectionExpression when choosing to get only the Count",
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
    check(
        "Scan",
        r#"{"TableName":"music","Select":"ALL_PROJECTED_ATTRIBUTES"}"#,
        "ALL_PROJECTED_ATTRIBUTES can be used only when Querying using an IndexName",
    )
    .await;
}

/// What an index does not have counts as missing in a scan; a query's filter on it is refused.
#[tokio::test]
async fn filters_on_what_an_index_does_not_have() {
    let client = Client::with_table().await;
    let item = r#"{"artist":{"S":"a"},"song":{"S":"s"},"year":{"N":"1"},"genre":{"S":"g"},"place":{"N":"1"}}"#;
    client
        .ok("PutItem", &format!(r#"{{"TableName":"music","Item":{item}}}"#))
        .await;
    for (index, key) in [("by-genre", "genre"), ("by-year", "artist")] {
        for (condition, count) in [("attribute_exists(place)", 0), ("attribute_not_exists(place)", 1)] {
            let scan = |rest: &str| {
                format!(
                    r#"{{"TableName":"music","IndexName":"{index}","Select":"COUNT","FilterExpression":"{condition}"{rest}}}"#
                )
            };
            let reply = format!(r#"{{"Count":{count},"ScannedCount":1}}"#);
            client.gives("Scan", &scan(""), &reply).await;
            let value = if key == "genre" { "g" } else { "a" };
            let query = scan(&format!(
                r#","KeyConditionExpression":"{key} = :k","ExpressionAttributeValues":{{":k":{{"S":"{value}"}}}}"#
            ));
            client
                .invalid(
                    "Query",
                    &query,
                    &format!(
                        "One or more parameter values were invalid: Secondary index {index} does not project one or more \
                         filter attributes: [place]"
                    ),
                )
                .await;
        }
        let statement =
            |condition: &str| format!(r#"{{"Statement":"SELECT song FROM \"music\".\"{index}\" WHERE {condition}"}}"#);
        client
            .gives("ExecuteStatement", &statement("place = 1"), r#"{"Items":[]}"#)
            .await;
        client
            .gives(
                "ExecuteStatement",
                &statement("place IS MISSING"),
                r#"{"Items":[{"song":{"S":"s"}}]}"#,
            )
            .await;
    }
    // Also where what is shown comes from the table.
    let scan = r#"{"TableName":"music","IndexName":"by-year","Select":"ALL_ATTRIBUTES","FilterExpression":"attribute_not_exists(place)"}"#;
    let reply = client.ok("Scan", scan).await;
    assert!(reply.contains(r#""place":{"N":"1"}"#), "{reply}");
}
