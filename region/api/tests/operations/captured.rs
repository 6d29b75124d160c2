//! What was captured from DynamoDB itself, case by case, and what follows from it.

mod reading;
mod statements;

use crate::client::Client;

/// What a call is refused with: the error's name, and its message.
async fn refusal(client: &Client, operation: &str, body: &str) -> String {
    let (status, reply) = client.call(operation, body).await;
    assert_eq!(status, 400, "{operation} {body}: {reply}");
    reply
}

/// That the calls are refused as invalid, each with a message that has these parts, in their order.
async fn invalid_with(client: &Client, operation: &str, cases: &[(String, &[&str])]) {
    for (body, parts) in cases {
        let reply = refusal(client, operation, body).await;
        assert!(reply.contains("#ValidationException"), "{body}: {reply}");
        let mut rest = reply.as_str();
        for part in *parts {
            let at = rest.find(part);
            rest = at.map_or_else(|| panic!("{part} of {body}: {reply}"), |at| &rest[at + part.len()..]);
        }
    }
}

fn create(name: &str, keys: &[&str], indexes: &str) -> String {
    let schema = schema(keys);
    format!(
        r#"{{"TableName":"{name}","BillingMode":"PAY_PER_REQUEST","AttributeDefinitions":[{}],"KeySchema":{schema}{indexes}}}"#,
        keys.iter()
            .map(|key| format!(r#"{{"AttributeName":"{key}","AttributeType":"S"}}"#))
            .collect::<Vec<_>>()
            .join(",")
    )
}

/// A key schema: the first attribute is the partition key.
fn schema(keys: &[&str]) -> String {
    let kinds = std::iter::once("HASH").chain(std::iter::repeat("RANGE"));
    typed_schema(&keys.iter().copied().zip(kinds).collect::<Vec<_>>())
}

fn typed_schema(keys: &[(&str, &str)]) -> String {
    let element = |(name, kind): &(&str, &str)| format!(r#"{{"AttributeName":"{name}","KeyType":"{kind}"}}"#);
    format!("[{}]", keys.iter().map(element).collect::<Vec<_>>().join(","))
}

fn statements(member: &str, list: &[&str]) -> String {
    let one = |text: &&str| format!(r#"{{"Statement":"{}"}}"#, text.replace('"', "\\\""));
    format!(
        r#"{{"{member}":[{}]}}"#,
        list.iter().map(one).collect::<Vec<_>>().join(",")
    )
}
