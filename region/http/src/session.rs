//! What requests ask for with the headers of sessions.

use geodynamo_api::Operation;
use http::{HeaderMap, HeaderName, HeaderValue};
use serde_json::Value;

/// Asks for a token, or brings one.
pub const SESSION: HeaderName = HeaderName::from_static("x-geodynamo-session");
/// How many tables a token could not hold.
pub const SESSION_DROPPED: HeaderName = HeaderName::from_static("x-geodynamo-session-dropped");
/// How long to wait for this region to catch up.
pub const WAIT_MS: HeaderName = HeaderName::from_static("x-geodynamo-session-wait-ms");
/// How old what is read may be.
pub const STALENESS_MS: HeaderName = HeaderName::from_static("x-geodynamo-max-staleness-ms");

/// What a request's headers ask for.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Asked {
    /// The value of [`SESSION`].
    pub session: Option<HeaderValue>,
    /// The value of [`WAIT_MS`].
    pub wait_ms: Option<HeaderValue>,
    /// The value of [`STALENESS_MS`].
    pub staleness_ms: Option<HeaderValue>,
}

impl Asked {
    /// What they ask for; mostly nothing.
    pub fn of(headers: &HeaderMap) -> Option<Box<Self>> {
        let (session, staleness_ms) = (headers.get(SESSION), headers.get(STALENESS_MS));
        if session.is_none() && staleness_ms.is_none() {
            return None;
        }
        Some(Box::new(Self {
            session: session.cloned(),
            wait_ms: headers.get(WAIT_MS).cloned(),
            staleness_ms: staleness_ms.cloned(),
        }))
    }
}

/// A token, and how many tables it could not hold.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Token {
    /// The header's value.
    pub value: HeaderValue,
    /// Tables that were left out of it.
    pub dropped: usize,
}

/// Whether a request reads data and changes nothing.
pub fn is_read(operation: Option<Operation>, body: &[u8]) -> bool {
    match operation {
        Some(
            Operation::GetItem
            | Operation::BatchGetItem
            | Operation::Query
            | Operation::Scan
            | Operation::TransactGetItems,
        ) => true,
        Some(Operation::ExecuteStatement | Operation::BatchExecuteStatement | Operation::ExecuteTransaction) => {
            serde_json::from_slice::<Value>(body).is_ok_and(|body| all_select(&body))
        }
        _ => false,
    }
}

/// Whether a statement, or all statements of a request, only read.
pub fn all_select(body: &Value) -> bool {
    let is_select = |statement: &Value| {
        let text = statement["Statement"].as_str().unwrap_or_default().trim_start();
        text.get(..6).is_some_and(|word| word.eq_ignore_ascii_case("select"))
    };
    match body.get("Statements").or_else(|| body.get("TransactStatements")) {
        Some(all) => all.as_array().is_some_and(|all| all.iter().all(is_select)),
        None => is_select(body),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn statements_that_only_read() {
        let case = |operation, body: &str| is_read(Some(operation), body.as_bytes());
        assert!(case(Operation::Query, "{}"));
        assert!(!case(Operation::PutItem, "{}"));
        assert!(case(
            Operation::ExecuteStatement,
            r#"{"Statement": " select * from t"}"#
        ));
        assert!(!case(
            Operation::ExecuteStatement,
            r#"{"Statement": "UPDATE t SET a=1"}"#
        ));
        assert!(!case(Operation::ExecuteStatement, "{"));
        let mixed = r#"{"Statements": [{"Statement": "SELECT 1"}, {"Statement": "DELETE"}]}"#;
        assert!(!case(Operation::BatchExecuteStatement, mixed));
        let reads = r#"{"TransactStatements": [{"Statement": "SELECT 1"}, {"Statement": "Select 2"}]}"#;
        assert!(case(Operation::ExecuteTransaction, reads));
    }

    #[test]
    fn nothing_is_asked_for_without_the_headers() {
        let mut headers = HeaderMap::new();
        headers.insert(WAIT_MS, HeaderValue::from_static("5"));
        assert_eq!(Asked::of(&headers), None);
        headers.insert(SESSION, HeaderValue::from_static(""));
        let asked = Asked::of(&headers).unwrap();
        assert_eq!(asked.wait_ms, Some(HeaderValue::from_static("5")));
    }
}
