use geodynamo_table::ITERATOR_MS;

use crate::client::Client;

/// The string member of this name that comes first in a document.
fn member<'a>(reply: &'a str, name: &str) -> &'a str {
    let (_, rest) = reply.split_once(&format!("\"{name}\":\"")).unwrap();
    rest.split_once('"').unwrap().0
}

#[tokio::test]
async fn an_iterator_expires_after_a_quarter_of_an_hour() {
    let client = Client::with_table().await;
    client
        .ok(
            "UpdateTable",
            r#"{"TableName":"music","StreamSpecification":{"StreamEnabled":true,"StreamViewType":"KEYS_ONLY"}}"#,
        )
        .await;
    let described = client.ok("DescribeTable", r#"{"TableName":"music"}"#).await;
    let arn = member(&described, "LatestStreamArn");
    let stream = client
        .ok("DescribeStream", &format!(r#"{{"StreamArn":"{arn}"}}"#))
        .await;
    let shard = member(&stream, "ShardId");
    let asked = format!(r#"{{"StreamArn":"{arn}","ShardId":"{shard}","ShardIteratorType":"TRIM_HORIZON"}}"#);
    let iterator = client.ok("GetShardIterator", &asked).await;
    let read = format!(r#"{{"ShardIterator":"{}"}}"#, member(&iterator, "ShardIterator"));
    client.pass(ITERATOR_MS);
    let records = client.ok("GetRecords", &read).await;
    client.pass(1);
    client
        .refuses(
            "GetRecords",
            &read,
            "ExpiredIteratorException",
            "The provided iterator exceeds the maximum age allowed.",
        )
        .await;
    // The one that the read gave is younger.
    let next = format!(r#"{{"ShardIterator":"{}"}}"#, member(&records, "NextShardIterator"));
    client.ok("GetRecords", &next).await;
}
