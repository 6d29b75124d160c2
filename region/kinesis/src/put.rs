//! Putting records: Kinesis's API.

use std::{collections::HashSet, time::Duration};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use geodynamo_outgoing::{Answer, Call, Client, Endpoint};
use serde_json::{Value, json};

use crate::record::Data;

/// The most records of one call.
pub(crate) const RECORDS_MAX: usize = 500;
/// The most bytes of one call's records, before they are written in base64. Kinesis takes 5 MiB.
pub(crate) const BYTES_MAX: usize = 4 << 20;
/// How long one call may take.
const CALL_MAX: Duration = Duration::from_secs(10);
/// How much of an answer is read.
const ANSWER_BYTES_MAX: usize = 1 << 20;

/// What became of a call.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Put {
    /// All records were taken.
    All,
    /// Those at these places were not.
    But(Vec<usize>),
    /// None was, and they never will be as they are.
    Refused(String),
    /// None was, for now.
    NotNow(String),
}

/// Puts records.
pub(crate) async fn put(client: &Client, endpoint: &Endpoint, stream: &str, records: &[Data]) -> Put {
    let all: Vec<Value> = records
        .iter()
        .map(|record| json!({"Data": STANDARD.encode(&record.json), "PartitionKey": record.partition_key}))
        .collect();
    let answer = match call(
        client,
        endpoint,
        "PutRecords",
        &json!({"StreamARN": stream, "StreamName": name(stream), "Records": all}),
    )
    .await
    {
        Ok(answer) => answer,
        Err(told) => return Put::NotNow(told),
    };
    if !answer.status.is_success() {
        let kind = kind_of(&answer);
        let told = format!("{}: {kind}", answer.status);
        // What a stream says of a call that is too large, or of a record that is.
        let is_final = matches!(
            kind.as_str(),
            "ValidationException" | "InvalidArgumentException" | "SerializationException"
        );
        return if is_final {
            Put::Refused(told)
        } else {
            Put::NotNow(told)
        };
    }
    let told: Value = serde_json::from_slice(&answer.body).unwrap_or_default();
    let results = told.get("Records").and_then(Value::as_array);
    let failed = |result: &Value| result.get("ErrorCode").is_some_and(|code| !code.is_null());
    let failed = results
        .into_iter()
        .flatten()
        .enumerate()
        .filter(|(_, result)| failed(result));
    let failed: Vec<usize> = failed.map(|(place, _)| place).collect();
    if failed.is_empty() { Put::All } else { Put::But(failed) }
}

/// Whether there is a stream; an error tells that it cannot be known now.
pub(crate) async fn has_stream(client: &Client, endpoint: &Endpoint, stream: &str) -> Result<bool, String> {
    let answer = call(
        client,
        endpoint,
        "DescribeStreamSummary",
        &json!({"StreamName": name(stream)}),
    )
    .await?;
    if answer.status.is_success() {
        return Ok(true);
    }
    match kind_of(&answer).as_str() {
        "ResourceNotFoundException" => Ok(false),
        kind => Err(format!("{}: {kind}", answer.status)),
    }
}

async fn call(client: &Client, endpoint: &Endpoint, operation: &str, body: &Value) -> Result<Answer, String> {
    let target = format!("Kinesis_20131202.{operation}");
    let call = Call {
        method: "POST",
        path: "/",
        query: None,
        headers: &[
            ("content-type", "application/x-amz-json-1.1"),
            ("x-amz-target", &target),
        ],
        body: body.to_string().into(),
        within: CALL_MAX,
        answer_bytes_max: ANSWER_BYTES_MAX,
    };
    endpoint.call(client, &call).await.map_err(|error| error.to_string())
}

/// An error's name.
fn kind_of(answer: &Answer) -> String {
    let told: Value = serde_json::from_slice(&answer.body).unwrap_or_default();
    let kind = told.get("__type").and_then(Value::as_str).unwrap_or_default();
    kind.rsplit('#').next().unwrap_or(kind).to_owned()
}

/// The stream's name in its ARN.
pub(crate) fn name(stream: &str) -> &str {
    stream.rsplit('/').next().unwrap_or(stream)
}

/// Which records to put again: those that were not taken, and all behind them of the same items, so that the last one in the
/// stream is the last there was.
pub(crate) fn again(records: Vec<Data>, failed: &[usize]) -> Vec<Data> {
    let failed: HashSet<usize> = failed.iter().copied().collect();
    let mut items = HashSet::new();
    let mut kept = Vec::new();
    for (place, record) in records.into_iter().enumerate() {
        if failed.contains(&place) || items.contains(&record.partition_key) {
            items.insert(record.partition_key.clone());
            kept.push(record);
        }
    }
    kept
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_follows_a_failed_record_of_its_item_is_put_again() {
        let record = |key: &str, text: &str| Data {
            json: text.into(),
            partition_key: key.into(),
        };
        let all = vec![
            record("a", "1"),
            record("b", "1"),
            record("a", "2"),
            record("b", "2"),
            record("a", "3"),
        ];
        let kept = again(all, &[2]);
        assert_eq!(kept, [record("a", "2"), record("a", "3")]);
        assert_eq!(name("arn:aws:kinesis:us-east-1:000000000000:stream/s"), "s");
    }
}
