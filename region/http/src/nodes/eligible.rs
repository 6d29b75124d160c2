//! Which requests a node that stands by may answer itself: reads that ask for no consistency.

use geodynamo_api::Operation;
use serde_json::Value;

use crate::session::all_select;

/// The member of a request that asks for consistency.
const CONSISTENT: &[u8] = b"ConsistentRead";
/// What begins a character that is written by its number: a member's name may be hidden so.
const ESCAPE: &[u8] = b"\\u";

/// Whether an operation on items may answer with what was true a moment ago, as the request is. What it cannot make sense of, it
/// leaves to the owner.
pub fn may_be_stale(operation: Operation, body: &[u8]) -> bool {
    let holds = |text: &[u8]| memchr::memmem::find(body, text).is_some();
    match operation {
        Operation::GetItem | Operation::BatchGetItem | Operation::Query | Operation::Scan => {
            let is_plain = !holds(CONSISTENT) && !holds(ESCAPE);
            is_plain || parsed(body).is_some_and(|body| !asks_for_consistency(&body))
        }
        Operation::ExecuteStatement | Operation::BatchExecuteStatement => {
            parsed(body).is_some_and(|body| all_select(&body) && !asks_for_consistency(&body))
        }
        _ => false,
    }
}

fn parsed(body: &[u8]) -> Option<Value> {
    serde_json::from_slice(body).ok()
}

/// Whether a request, a table of a batch, or a statement of one asks for it; or says something else than that it does not.
fn asks_for_consistency(body: &Value) -> bool {
    let asks = |part: &Value| {
        !matches!(
            part.get("ConsistentRead"),
            None | Some(Value::Null | Value::Bool(false))
        )
    };
    let tables = body.get("RequestItems").and_then(Value::as_object);
    let statements = body.get("Statements").and_then(Value::as_array);
    asks(body)
        || tables.is_some_and(|tables| tables.values().any(asks))
        || statements.is_some_and(|statements| statements.iter().any(asks))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_reads_that_ask_for_no_consistency() {
        use Operation::{
            BatchExecuteStatement, BatchGetItem, ExecuteStatement, GetItem, PutItem, Query, Scan, TransactGetItems,
        };
        let may = |operation, body: &str| may_be_stale(operation, body.as_bytes());
        assert!(may(GetItem, r#"{"TableName": "t"}"#));
        assert!(may(Query, r#"{"ConsistentRead": false}"#));
        assert!(may(Scan, r#"{"FilterExpression": "ConsistentRead = :a"}"#));
        assert!(may(GetItem, r#"{"Key": {"a": {"S": "\u00e4"}}}"#));
        assert!(!may(GetItem, r#"{"ConsistentRead": true}"#));
        assert!(!may(GetItem, r#"{"\u0043onsistentRead": true}"#));
        assert!(!may(GetItem, r#"{"ConsistentRead": "no"}"#));
        assert!(!may(GetItem, r#"{"ConsistentRead": "#));
        assert!(may(
            BatchGetItem,
            r#"{"RequestItems": {"a": {"ConsistentRead": false}}}"#
        ));
        assert!(!may(
            BatchGetItem,
            r#"{"RequestItems": {"a": {}, "b": {"ConsistentRead": true}}}"#
        ));
        assert!(may(ExecuteStatement, r#"{"Statement": "select * from t"}"#));
        assert!(!may(
            ExecuteStatement,
            r#"{"Statement": "select * from t", "ConsistentRead": true}"#
        ));
        assert!(!may(ExecuteStatement, r#"{"Statement": "delete from t"}"#));
        assert!(!may(
            BatchExecuteStatement,
            r#"{"Statements": [{"Statement": "SELECT 1"}, {"Statement": "SELECT 2", "ConsistentRead": true}]}"#
        ));
        assert!(!may(PutItem, "{}"));
        assert!(!may(TransactGetItems, "{}"));
    }
}
