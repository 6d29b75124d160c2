//! HTTP answers: DynamoDB's headers around a JSON document.

use std::fmt::Write;

use bytes::Bytes;
use geodynamo_access::AccessError;
use http::{HeaderMap, HeaderName, HeaderValue, Response, StatusCode, header};
use http_body_util::Full;

use super::{
    coding::{COMPRESSED_BYTES_MIN, Coding, compress},
    request_id,
};
use crate::{
    handler::{Reply, RestReply},
    session::{SESSION, SESSION_DROPPED},
};

const JSON: HeaderValue = HeaderValue::from_static("application/x-amz-json-1.0");
const REST_JSON: HeaderValue = HeaderValue::from_static("application/json");
const XML: HeaderValue = HeaderValue::from_static("text/xml");
const TEXT: HeaderValue = HeaderValue::from_static("text/plain");
const CLOSE: HeaderValue = HeaderValue::from_static("close");
const ANY: HeaderValue = HeaderValue::from_static("*");
/// What scripts of any origin may read of an answer's headers: what the SDKs look at.
const EXPOSED: HeaderValue = HeaderValue::from_static(
    "x-amzn-requestid, x-amz-crc32, x-amzn-errortype, x-amzn-errormessage, x-geodynamo-session, date",
);
/// How long a browser may remember that it may call, in seconds: two days.
const PREFLIGHT_S: HeaderValue = HeaderValue::from_static("172800");
const REQUEST_ID: HeaderName = HeaderName::from_static("x-amzn-requestid");
const ERROR_TYPE: HeaderName = HeaderName::from_static("x-amzn-errortype");
const CRC32: HeaderName = HeaderName::from_static("x-amz-crc32");

/// What the data port itself refuses.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Refusal {
    /// No or another `X-Amz-Target` than an operation's.
    UnknownOperation,
    /// Another path than `/`.
    UnknownPath,
    /// Another method than POST or GET.
    UnknownMethod,
    /// Headers longer than a request's may be.
    HeadersTooLarge,
    /// A body longer than a request may be.
    TooLarge,
    /// A body that did not come in time.
    Late,
    /// A body that broke off; hardly anyone is left to read this.
    Broken,
    /// A wrong signature.
    Access(AccessError),
    /// A compressed body that is not, or is in a way that nobody knows.
    Malformed,
    /// No node writes, and none did for as long as a request waits.
    NoOwner,
    /// The node that writes was lost with the request.
    OwnerLost,
    /// The handler panicked.
    Internal {
        /// The operation's name.
        operation: &'static str,
        /// What it panicked with.
        panic: String,
    },
}

/// Wraps an operation's answer; compressed if it is long and the client takes that.
pub(crate) async fn reply(reply: Reply, request_id: HeaderValue, accepted: Option<Coding>) -> Response<Full<Bytes>> {
    let mut response = if let Some(coding) = accepted.filter(|_| reply.body.len() >= COMPRESSED_BYTES_MIN) {
        let compressed = compress(&reply.body, coding).await;
        let mut response = document(reply.status, JSON, request_id, compressed);
        let name = HeaderValue::from_static(coding.name());
        response.headers_mut().insert(header::CONTENT_ENCODING, name);
        response
    } else {
        document(reply.status, JSON, request_id, reply.body)
    };
    if let Some(token) = reply.session {
        let headers = response.headers_mut();
        headers.insert(SESSION, token.value);
        if token.dropped > 0 {
            headers.insert(SESSION_DROPPED, HeaderValue::from(token.dropped));
        }
    }
    response
}

/// An answer's id, for the log.
pub(crate) fn id(response: &Response<Full<Bytes>>) -> &str {
    let id = response.headers().get(REQUEST_ID);
    id.and_then(|id| id.to_str().ok()).unwrap_or_default()
}

/// Says that the port is well.
pub(crate) fn healthy(text: Bytes) -> Response<Full<Bytes>> {
    let mut response = json(StatusCode::OK, text);
    response.headers_mut().insert(header::CONTENT_TYPE, TEXT);
    response
}

/// Tells a browser that scripts of any origin may read the answer.
///
/// DynamoDB does so for all its answers ("Cross-Origin Resource Sharing" in the guide of the AWS SDK for JavaScript): who
/// may call is for the signature to say.
pub(crate) fn allow_any_origin(response: &mut Response<Full<Bytes>>) {
    let headers = response.headers_mut();
    headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, ANY);
    headers.insert(header::ACCESS_CONTROL_EXPOSE_HEADERS, EXPOSED);
}

/// Answers a browser that asks whether it may send a request: it may, with the method and the headers it asks for.
pub(crate) fn preflight(asked: &HeaderMap) -> Response<Full<Bytes>> {
    let mut response = json(StatusCode::OK, Bytes::new());
    let headers = response.headers_mut();
    for (request, allow) in [
        (
            header::ACCESS_CONTROL_REQUEST_METHOD,
            header::ACCESS_CONTROL_ALLOW_METHODS,
        ),
        (
            header::ACCESS_CONTROL_REQUEST_HEADERS,
            header::ACCESS_CONTROL_ALLOW_HEADERS,
        ),
    ] {
        if let Some(wanted) = asked.get(request) {
            headers.insert(allow, wanted.clone());
        }
    }
    headers.insert(header::ACCESS_CONTROL_MAX_AGE, PREFLIGHT_S);
    response
}

/// Says why there is no answer.
pub(crate) fn refusal(refusal: &Refusal) -> Response<Full<Bytes>> {
    let (status, kind, message, closes) = refusal.parts();
    let mut body = String::with_capacity(64 + kind.len() + message.as_ref().map_or(0, String::len));
    body.push_str("{\"__type\":");
    push_json_string(&mut body, kind);
    if let Some(message) = message {
        body.push_str(",\"message\":");
        push_json_string(&mut body, &message);
    }
    body.push('}');
    let mut response = json(status, Bytes::from(body));
    if closes {
        response.headers_mut().insert(header::CONNECTION, CLOSE);
    }
    response
}

impl Refusal {
    /// How metrics call it.
    pub(crate) fn reason(&self) -> &'static str {
        match self {
            Self::UnknownOperation => "unknown_operation",
            Self::UnknownPath => "unknown_path",
            Self::UnknownMethod => "unknown_method",
            Self::HeadersTooLarge => "headers_too_large",
            Self::TooLarge => "too_large",
            Self::Late => "late",
            Self::Broken => "broken",
            Self::Access(error) => error.code().name(),
            Self::Malformed => "malformed",
            Self::NoOwner => "no_owner",
            Self::OwnerLost => "owner_lost",
            Self::Internal { .. } => "internal",
        }
    }

    /// Status, `__type`, message, and whether the connection can be used no more (a body was left unread).
    fn parts(&self) -> (StatusCode, &'static str, Option<String>, bool) {
        const UNKNOWN: &str = "com.amazon.coral.service#UnknownOperationException";
        match self {
            Self::UnknownOperation => (StatusCode::BAD_REQUEST, UNKNOWN, None, false),
            Self::UnknownPath => (StatusCode::NOT_FOUND, UNKNOWN, None, false),
            Self::UnknownMethod => (StatusCode::METHOD_NOT_ALLOWED, UNKNOWN, None, false),
            Self::HeadersTooLarge => (
                StatusCode::BAD_REQUEST,
                "com.amazon.coral.service#SerializationException",
                Some("Request header size limit exceeded".to_owned()),
                false,
            ),
            Self::TooLarge => (
                StatusCode::PAYLOAD_TOO_LARGE,
                "com.amazon.coral.service#RequestEntityTooLargeException",
                Some("Request size limit exceeded".to_owned()),
                true,
            ),
            Self::Late | Self::Broken => (
                StatusCode::REQUEST_TIMEOUT,
                "com.amazon.coral.service#RequestTimeoutException",
                Some("The request body was not received in time".to_owned()),
                true,
            ),
            Self::Access(error) => (
                StatusCode::BAD_REQUEST,
                error.code().qualified_name(),
                Some(error.to_string()),
                false,
            ),
            // DynamoDB calls this a failure of its own.
            Self::Malformed => (
                StatusCode::INTERNAL_SERVER_ERROR,
                "com.amazon.coral.service#InternalFailure",
                None,
                false,
            ),
            Self::NoOwner => (
                StatusCode::SERVICE_UNAVAILABLE,
                "com.amazonaws.dynamodb.v20120810#InternalServerError",
                Some("No node writes the region's log for now; nothing was done".to_owned()),
                false,
            ),
            Self::OwnerLost => (
                StatusCode::INTERNAL_SERVER_ERROR,
                "com.amazonaws.dynamodb.v20120810#InternalServerError",
                Some("The node that writes was lost before it answered".to_owned()),
                false,
            ),
            Self::Internal { .. } => (
                StatusCode::INTERNAL_SERVER_ERROR,
                "com.amazonaws.dynamodb.v20120810#InternalServerError",
                Some("Internal server error".to_owned()),
                false,
            ),
        }
    }
}

/// A JSON document, as services of the REST protocol answer.
pub(crate) fn rest(reply: RestReply, request_id: HeaderValue) -> Response<Full<Bytes>> {
    let mut response = document(reply.status, REST_JSON, request_id, reply.body);
    let headers = response.headers_mut();
    headers.remove(CRC32);
    if let Some(error) = reply.error {
        headers.insert(ERROR_TYPE, HeaderValue::from_static(error));
    }
    response
}

/// An XML document, as services of the Query protocol answer.
pub(crate) fn xml(status: StatusCode, request_id: HeaderValue, body: Bytes) -> Response<Full<Bytes>> {
    let mut response = document(status, XML, request_id, body);
    response.headers_mut().remove(CRC32);
    response
}

fn json(status: StatusCode, body: Bytes) -> Response<Full<Bytes>> {
    document(status, JSON, request_id::next(), body)
}

fn document(status: StatusCode, kind: HeaderValue, request_id: HeaderValue, body: Bytes) -> Response<Full<Bytes>> {
    let crc = crc32fast::hash(&body);
    let mut response = Response::new(Full::new(body));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, kind);
    headers.insert(REQUEST_ID, request_id);
    headers.insert(CRC32, HeaderValue::from(crc));
    response
}

/// `text` in quotation marks, as JSON has it.
fn push_json_string(out: &mut String, text: &str) {
    out.push('"');
    for character in text.chars() {
        match character {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            // Writing to a String cannot fail.
            control if control < ' ' => drop(write!(out, "\\u{:04x}", u32::from(control))),
            other => out.push(other),
        }
    }
    out.push('"');
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn strings_survive_json(text in any::<String>()) {
            let mut out = String::new();
            push_json_string(&mut out, &text);
            prop_assert_eq!(serde_json::from_str::<String>(&out).unwrap(), text);
        }
    }
}
