use crate::client::Client;

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
    assert_eq!(got.matches(&large).count(), 52);
    assert!(got.contains(r#""UnprocessedKeys":{"music":{"Keys":["#));
    // A page ends at 1 MB.
    let page = client.ok("Scan", r#"{"TableName":"music"}"#).await;
    assert_eq!(page.matches(&large).count(), 4);
    assert!(page.contains("LastEvaluatedKey"));
}
