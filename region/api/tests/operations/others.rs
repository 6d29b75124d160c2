use geodynamo_api::Operation;

use crate::client::Client;

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
            "UpdateTableReplicaAutoScaling",
            r#"{"TableName":"music"}"#,
            "UnknownOperationException",
            "UpdateTableReplicaAutoScaling is not available in this version of geodynamo.",
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
            r#"{"TableName":"music","MultiRegionConsistency":"STRONG"}"#,
            "MultiRegionConsistency STRONG is not available in this version of geodynamo",
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
