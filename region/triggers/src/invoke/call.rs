//! Functions behind an address: Lambda's Invoke API, or plain POST requests.

use std::time::Duration;

use bytes::Bytes;
use geodynamo_outgoing::{Answer, Call, CallError, Client, Endpoint, encode_segment};

use super::{ANSWER_BYTES_MAX, Failure, LATEST, Outcome, cut, error_in, hmac::HEADER};

/// What answers are given besides the function's own time.
const GRACE: Duration = Duration::from_secs(2);
/// What runtimes say of a function that took too long, with a status that tells nothing.
const TIMED_OUT: &[u8] = b"Task timed out after ";

/// Invokes a function by Lambda's Invoke API.
pub(super) async fn invoke(
    client: &Client,
    endpoint: &Endpoint,
    name: &str,
    version: Option<&str>,
    timeout: Duration,
    event: Bytes,
) -> Outcome {
    let path = format!("/2015-03-31/functions/{}/invocations", encode_segment(name));
    let query = version.map(|version| format!("Qualifier={}", encode_segment(version)));
    let call = Call {
        method: "POST",
        path: &path,
        query: query.as_deref(),
        headers: &[
            ("content-type", "application/json"),
            ("x-amz-invocation-type", "RequestResponse"),
        ],
        body: event,
        within: timeout + GRACE,
        answer_bytes_max: ANSWER_BYTES_MAX,
    };
    let answer = match endpoint.call(client, &call).await {
        Ok(answer) => answer,
        Err(error) => return not_answered(error, timeout),
    };
    let header = |name: &str| answer.headers.get(name).and_then(|value| value.to_str().ok());
    if !answer.status.is_success() {
        // The service's answer, not the function's.
        return Outcome::NotReached(told(&answer));
    }
    let error = header("x-amz-function-error").map(str::to_owned);
    // Lambda's emulator tells of errors in the body only.
    let found = error_in(&answer.body);
    let timed_out = answer.body.starts_with(TIMED_OUT);
    if error.is_none() && found.is_none() && !timed_out {
        return Outcome::Answered(answer.body);
    }
    Outcome::Failed(Failure {
        status: answer.status.as_u16(),
        error: error.unwrap_or_else(|| "Unhandled".into()),
        version: header("x-amz-executed-version").unwrap_or(LATEST).to_owned(),
        told: cut(found.unwrap_or_else(|| told(&answer))),
    })
}

/// What an address is told of an event beside it.
pub(super) struct Names<'a> {
    /// The function's ARN.
    pub(super) arn: &'a str,
    pub(super) request_id: &'a str,
    /// See `hmac`.
    pub(super) signature: Option<&'a str>,
}

/// Sends an event to an address.
pub(super) async fn post(
    client: &Client,
    endpoint: &Endpoint,
    names: &Names<'_>,
    timeout: Duration,
    event: Bytes,
) -> Outcome {
    let mut headers = vec![
        ("content-type", "application/json"),
        ("x-amz-function-arn", names.arn),
        ("x-amz-request-id", names.request_id),
    ];
    headers.extend(names.signature.map(|signature| (HEADER, signature)));
    let call = Call {
        method: "POST",
        path: "",
        query: None,
        headers: &headers,
        body: event,
        within: timeout,
        answer_bytes_max: ANSWER_BYTES_MAX,
    };
    match endpoint.call(client, &call).await {
        Ok(answer) if answer.status.is_success() => Outcome::Answered(answer.body),
        // Somebody before the function, who says that it is not there now.
        Ok(answer) if matches!(answer.status.as_u16(), 429 | 502 | 503 | 504) => Outcome::NotReached(told(&answer)),
        Ok(answer) => Outcome::Failed(Failure {
            status: answer.status.as_u16(),
            ..Failure::unhandled(told(&answer))
        }),
        Err(error) => not_answered(error, timeout),
    }
}

fn not_answered(error: CallError, timeout: Duration) -> Outcome {
    match error {
        CallError::Late(_) => Outcome::Failed(Failure::late(timeout)),
        CallError::TooLong(_) => Outcome::Failed(Failure::unhandled(error.to_string())),
        CallError::Broken(told) => Outcome::NotReached(told),
    }
}

fn told(answer: &Answer) -> String {
    let body = String::from_utf8_lossy(&answer.body[..answer.body.len().min(512)]).into_owned();
    cut(format!("{}: {body}", answer.status))
}
