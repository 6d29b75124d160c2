use crate::client::Client;

const KEY: &str = r#"{"artist":{"S":"a"},"song":{"S":"s"}}"#;

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

/// `update_size.rs` has the rule. Of an item with the key `{"pk": "a"}` it is 409,581 bytes; not in transactions and PartiQL.
#[tokio::test]
async fn what_an_update_writes_has_a_limit() {
    let client = Client::new().await;
    client
        .ok(
            "CreateTable",
            r#"{"TableName":"written","BillingMode":"PAY_PER_REQUEST","AttributeDefinitions":[{"AttributeName":"pk","AttributeType":"S"}],
            "KeySchema":[{"AttributeName":"pk","KeyType":"HASH"}]}"#,
        )
        .await;
    let of = |bytes: usize| "x".repeat(bytes - "pk".len() - "a".len() - "f".len());
    let update = |value: &str| {
        format!(
            r#"{{"TableName":"written","Key":{{"pk":{{"S":"a"}}}},"UpdateExpression":"SET f = :v","ExpressionAttributeValues":{{":v":{{"S":"{value}"}}}}}}"#
        )
    };
    let older = |value: &str| {
        format!(
            r#"{{"TableName":"written","Key":{{"pk":{{"S":"a"}}}},"AttributeUpdates":{{"f":{{"Value":{{"S":"{value}"}}}}}}}}"#
        )
    };
    let too_large = "Item size to update has exceeded the maximum allowed size";
    for body in [&update as &dyn Fn(&str) -> String, &older] {
        client.invalid("UpdateItem", &body(&of(409_582)), too_large).await;
        client.gives("UpdateItem", &body(&of(409_581)), "{}").await;
    }
    let full = of(409_600);
    client
        .gives(
            "TransactWriteItems",
            &format!(r#"{{"TransactItems":[{{"Update":{}}}]}}"#, update(&full)),
            "{}",
        )
        .await;
    let statement = r#""Statement":"UPDATE written SET f = ? WHERE pk = 'a'""#;
    client
        .gives(
            "ExecuteStatement",
            &format!(r#"{{{statement},"Parameters":[{{"S":"{full}"}}]}}"#),
            r#"{"Items":[]}"#,
        )
        .await;
    // What it does not name does not count.
    client
        .gives(
            "UpdateItem",
            r#"{"TableName":"written","Key":{"pk":{"S":"a"}},"UpdateExpression":"REMOVE g"}"#,
            "{}",
        )
        .await;
}

#[tokio::test]
async fn attributes_have_names() {
    let client = Client::with_table().await;
    let item = r#"{"artist":{"S":"a"},"song":{"S":"s"},"":{"S":"x"}}"#;
    for (operation, body) in [
        ("PutItem", format!(r#"{{"TableName":"music","Item":{item}}}"#)),
        (
            "BatchWriteItem",
            format!(r#"{{"RequestItems":{{"music":[{{"PutRequest":{{"Item":{item}}}}}]}}}}"#),
        ),
        (
            "TransactWriteItems",
            format!(r#"{{"TransactItems":[{{"Put":{{"TableName":"music","Item":{item}}}}}]}}"#),
        ),
        (
            "UpdateItem",
            format!(r#"{{"TableName":"music","Key":{KEY},"AttributeUpdates":{{"":{{"Value":{{"S":"x"}}}}}}}}"#),
        ),
        (
            "DeleteItem",
            format!(r#"{{"TableName":"music","Key":{KEY},"Expected":{{"":{{"Exists":false}}}}}}"#),
        ),
        (
            "GetItem",
            format!(r#"{{"TableName":"music","Key":{KEY},"AttributesToGet":[""]}}"#),
        ),
        (
            "BatchGetItem",
            format!(r#"{{"RequestItems":{{"music":{{"Keys":[{KEY}],"AttributesToGet":["a",""]}}}}}}"#),
        ),
        (
            "Scan",
            r#"{"TableName":"music","ScanFilter":{"":{"ComparisonOperator":"NULL"}}}"#.to_owned(),
        ),
        (
            "Query",
            r#"{"TableName":"music","KeyConditions":{"":{"ComparisonOperator":"EQ","AttributeValueList":[{"S":"a"}]}}}"#
                .to_owned(),
        ),
        (
            "ExecuteStatement",
            r#"{"Statement":"INSERT INTO music VALUE {'artist': 'a', 'song': 's', '': 1}"}"#.to_owned(),
        ),
    ] {
        let text = "One or more parameter values were invalid: Empty attribute name";
        client.invalid(operation, &body, text).await;
    }
    // An entry of a map may be without one.
    let item = r#"{"artist":{"S":"a"},"map":{"M":{"":{"S":"x"}}},"song":{"S":"s"}}"#;
    client
        .gives("PutItem", &format!(r#"{{"TableName":"music","Item":{item}}}"#), "{}")
        .await;
}

/// Wherever it stands: others among these values are told with their parameter.
#[tokio::test]
async fn empty_sets_among_the_values() {
    let client = Client::with_table().await;
    for (set, text) in [
        (r#"{"SS":[]}"#, "An string set  may not be empty"),
        (r#"{"NS":[]}"#, "An number set  may not be empty"),
        (r#"{"BS":[]}"#, "Binary sets should not be empty"),
    ] {
        let values = format!(r#""ExpressionAttributeValues":{{":v":{set}}}"#);
        let update = format!(r#"{{"TableName":"music","Key":{KEY},"UpdateExpression":"SET a = :v",{values}}}"#);
        let text = format!("One or more parameter values were invalid: {text}");
        client.invalid("UpdateItem", &update, &text).await;
        let transaction = format!(r#"{{"TransactItems":[{{"Update":{update}}}]}}"#);
        client.invalid("TransactWriteItems", &transaction, &text).await;
        let scan = format!(r#"{{"TableName":"music","FilterExpression":"a = :v",{values}}}"#);
        client.invalid("Scan", &scan, &text).await;
    }
}

#[tokio::test]
async fn nothing_is_taken_away_from_nothing() {
    let client = Client::with_table().await;
    for expression in ["REMOVE x.y", "REMOVE x[0], y", "DELETE x.y :v"] {
        let values = if expression.contains(":v") {
            r#","ExpressionAttributeValues":{":v":{"SS":["a"]}}"#
        } else {
            ""
        };
        let update = format!(r#"{{"TableName":"music","Key":{KEY},"UpdateExpression":"{expression}"{values}}}"#);
        client.gives("UpdateItem", &update, "{}").await;
        let transaction = format!(r#"{{"TransactItems":[{{"Update":{update}}}]}}"#);
        client.gives("TransactWriteItems", &transaction, "{}").await;
    }
    client
        .gives("GetItem", &format!(r#"{{"TableName":"music","Key":{KEY}}}"#), "{}")
        .await;
    // An item that is there has to have what the path leads through.
    client
        .ok("PutItem", &format!(r#"{{"TableName":"music","Item":{KEY}}}"#))
        .await;
    client
        .invalid(
            "UpdateItem",
            &format!(r#"{{"TableName":"music","Key":{KEY},"UpdateExpression":"REMOVE x.y"}}"#),
            "The document path provided in the update expression is invalid for update",
        )
        .await;
}
