//! Calls on single items.

use std::sync::Arc;

use geodynamo_loadgen::client::Endpoint;
use geodynamo_tests::Failure;
use geodynamo_tests::linearizable::{Call, Operation, State, Verdict, check};
use geodynamo_tests::recorder::{Answer, Choices, Session};
use serde_json::{Value, json};

use crate::{End, Region, Shared};

const TABLE: &str = "items";
const ITEMS: usize = 4;
const CLIENTS: usize = 8;
/// Values of puts are multiples of this, so that sums never reach the next.
const APART: u64 = 10_000;

/// When a put's end is recorded.
#[derive(Clone, Copy, PartialEq)]
enum Puts {
    /// When it is answered.
    Answered,
    /// At once: it is sent behind the client's back. What a cache that writes later would do.
    Early,
}

/// The calls on each item.
type History = Vec<Vec<Call>>;

#[tokio::test(flavor = "multi_thread")]
async fn single_item_calls_are_linearizable_over_kills() -> Result<(), Failure> {
    let mut region = Region::start(TABLE, End::Kill).await?;
    let history = record(&mut region, Puts::Answered, 2_500, 2).await?;
    let (mut calls, mut lost) = (0, 0);
    for (item, on_item) in history.iter().enumerate() {
        assert_eq!(check(None, on_item), Verdict::Linearizable, "item {item}");
        calls += on_item.len();
        lost += on_item.iter().filter(|call| call.end.is_none()).count();
    }
    println!("{calls} calls on {ITEMS} items are linearizable; {lost} of them were never answered");
    assert!(lost > 0, "the kills interrupted nothing");

    // The same history with one read of a value that had been overwritten before the read began.
    let changed: Vec<_> = history.iter().flat_map(|on_item| with_stale_reads(on_item)).collect();
    assert!(changed.len() >= 10, "only {} reads to change", changed.len());
    for (calls, stale) in changed {
        assert!(matches!(check(None, &calls), Verdict::Not(_)), "{stale:?} is not found");
    }
    Ok(())
}

/// The negative control: with puts that are acknowledged before they are done, the history must not pass.
#[tokio::test(flavor = "multi_thread")]
async fn puts_that_are_acknowledged_early_are_found_out() -> Result<(), Failure> {
    let mut region = Region::start(TABLE, End::Kill).await?;
    let history = record(&mut region, Puts::Early, 400, 0).await?;
    let found = history
        .iter()
        .filter(|calls| matches!(check(None, calls), Verdict::Not(_)));
    assert!(found.count() > 0, "no early acknowledgement was found out");
    Ok(())
}

async fn record(region: &mut Region, puts: Puts, each: u64, kills: u64) -> Result<History, Failure> {
    let shared = Arc::new(Shared::default());
    let clients: Vec<_> = (0..CLIENTS)
        .map(|number| tokio::spawn(client(number, region.endpoint(), puts, Arc::clone(&shared))))
        .collect();
    let driven = shared.drive(region, each, kills).await;
    let mut history = vec![Vec::new(); ITEMS];
    for client in clients {
        for (item, call) in client.await?? {
            history[item].push(call);
        }
    }
    driven?;
    Ok(history)
}

async fn client(
    number: usize,
    endpoint: Endpoint,
    puts: Puts,
    shared: Arc<Shared>,
) -> Result<Vec<(usize, Call)>, Failure> {
    let mut session = Session::new(endpoint.clone());
    let mut choices = Choices::new(number as u64);
    let mut known: [State; ITEMS] = [None; ITEMS];
    let mut behind = Vec::new();
    let mut calls = Vec::new();
    for count in 1_u64.. {
        if !shared.is_going_on() {
            break;
        }
        let item = choices.below(ITEMS as u64) as usize;
        let value = (count * CLIENTS as u64 + number as u64) * APART;
        let request = Request::choose(&mut choices, item, known[item], value);
        session.ready().await?;
        let begin = shared.moments.now();
        if puts == Puts::Early && matches!(request.kind, Kind::Put(_)) {
            let mut session = Session::new(endpoint.clone());
            let (kind, body) = (request.kind, request.body);
            behind.push(tokio::spawn(
                async move { session.call(kind.name(), &body).await.map(drop) },
            ));
            let operation = Operation::Write {
                to: Some(value),
                from: None,
            };
            let end = Some(shared.moments.now());
            calls.push((item, Call { operation, begin, end }));
            shared.count();
            continue;
        }
        let answer = session.call(request.kind.name(), &request.body).await?;
        let end = answer.as_ref().map(|_| shared.moments.now());
        if let Some(operation) = request.operation(answer.as_ref())? {
            if let Operation::Read(seen) = operation {
                known[item] = seen;
            }
            calls.push((item, Call { operation, begin, end }));
        }
        shared.count();
    }
    for put in behind {
        put.await??;
    }
    Ok(calls)
}

/// What is asked.
struct Request {
    kind: Kind,
    body: Value,
}

#[derive(Clone, Copy)]
enum Kind {
    Get,
    Query,
    TransactGet,
    Put(u64),
    Delete,
    PutIf(State, u64),
    Add,
    BatchPut(u64),
    TransactPut(u64),
}

impl Kind {
    fn name(self) -> &'static str {
        match self {
            Self::Get => "GetItem",
            Self::Query => "Query",
            Self::TransactGet => "TransactGetItems",
            Self::Put(_) | Self::PutIf(..) => "PutItem",
            Self::Delete => "DeleteItem",
            Self::Add => "UpdateItem",
            Self::BatchPut(_) => "BatchWriteItem",
            Self::TransactPut(_) => "TransactWriteItems",
        }
    }
}

impl Request {
    fn choose(choices: &mut Choices, item: usize, known: State, value: u64) -> Self {
        let key = json!({"pk": {"S": format!("item-{item}")}});
        let new = json!({"pk": key["pk"], "v": {"N": value.to_string()}});
        let (kind, mut body) = match choices.below(14) {
            0..=2 => (Kind::Get, json!({"Key": key, "ConsistentRead": true})),
            3 => (
                Kind::Query,
                json!({"KeyConditionExpression": "pk = :k", "ConsistentRead": true,
                    "ExpressionAttributeValues": {":k": key["pk"]}}),
            ),
            4 => (
                Kind::TransactGet,
                json!({"TransactItems": [{"Get": {"TableName": TABLE, "Key": key}}]}),
            ),
            5..=6 => (Kind::Put(value), json!({"Item": new, "ReturnValues": "ALL_OLD"})),
            7 => (Kind::Delete, json!({"Key": key, "ReturnValues": "ALL_OLD"})),
            8..=9 => (Kind::PutIf(known, value), put_if(known, &new)),
            10..=11 => (
                Kind::Add,
                json!({"Key": key, "UpdateExpression": "ADD v :one", "ReturnValues": "UPDATED_NEW",
                    "ExpressionAttributeValues": {":one": {"N": "1"}}}),
            ),
            12 => (
                Kind::BatchPut(value),
                json!({"RequestItems": {TABLE: [{"PutRequest": {"Item": new}}]}}),
            ),
            _ => (
                Kind::TransactPut(value),
                json!({"TransactItems": [{"Put": {"TableName": TABLE, "Item": new}}]}),
            ),
        };
        if !matches!(kind, Kind::TransactGet | Kind::TransactPut(_) | Kind::BatchPut(_)) {
            body["TableName"] = json!(TABLE);
        }
        Self { kind, body }
    }

    /// What the answer says was done and seen; `None` if it says that nothing was done, and nothing was seen.
    fn operation(&self, answer: Option<&Answer>) -> Result<Option<Operation>, Failure> {
        let Some(answer) = answer else {
            return Ok(self.unanswered());
        };
        if answer.is_conflict() {
            return Ok(None);
        }
        let body = &answer.body;
        let refused = answer.error() == "ConditionalCheckFailedException";
        if answer.status != 200 && !refused {
            return Err(format!("{}: {} {body}", self.kind.name(), answer.status).into());
        }
        let operation = match self.kind {
            Kind::Get => Operation::Read(value_of(&body["Item"])),
            Kind::Query => Operation::Read(value_of(&body["Items"][0])),
            Kind::TransactGet => Operation::Read(value_of(&body["Responses"][0]["Item"])),
            Kind::Put(value) => Operation::Write {
                to: Some(value),
                from: Some(value_of(&body["Attributes"])),
            },
            Kind::Delete => Operation::Write {
                to: None,
                from: Some(value_of(&body["Attributes"])),
            },
            Kind::PutIf(expected, value) => Operation::Swap {
                expected,
                to: Some(value),
                done: Some(!refused),
                found: refused.then(|| value_of(&body["Item"])),
            },
            Kind::Add => Operation::Increment {
                to: value_of(&body["Attributes"]),
            },
            Kind::BatchPut(value) | Kind::TransactPut(value) => Operation::Write {
                to: Some(value),
                from: None,
            },
        };
        Ok(Some(operation))
    }

    fn unanswered(&self) -> Option<Operation> {
        match self.kind {
            Kind::Get | Kind::Query | Kind::TransactGet => None,
            Kind::Put(value) | Kind::BatchPut(value) | Kind::TransactPut(value) => Some(Operation::Write {
                to: Some(value),
                from: None,
            }),
            Kind::Delete => Some(Operation::Write { to: None, from: None }),
            Kind::PutIf(expected, value) => Some(Operation::Swap {
                expected,
                to: Some(value),
                done: None,
                found: None,
            }),
            Kind::Add => Some(Operation::Increment { to: None }),
        }
    }
}

fn put_if(known: State, new: &Value) -> Value {
    let mut body = json!({"Item": new, "ReturnValuesOnConditionCheckFailure": "ALL_OLD"});
    match known {
        None => body["ConditionExpression"] = json!("attribute_not_exists(pk)"),
        Some(value) => {
            body["ConditionExpression"] = json!("v = :known");
            body["ExpressionAttributeValues"] = json!({":known": {"N": value.to_string()}});
        }
    }
    body
}

fn value_of(item: &Value) -> State {
    item["v"]["N"].as_str().and_then(|digits| digits.parse().ok())
}

/// Histories that differ from this one in one read, which saw a value that had been overwritten before it began: another
/// read had seen another value after the write of that one was answered.
fn with_stale_reads(calls: &[Call]) -> Vec<(Vec<Call>, Call)> {
    let reads = |call: &Call| match call.operation {
        Operation::Read(seen) => Some((seen, call.begin, call.end?)),
        _ => None,
    };
    let mut changed = Vec::new();
    for write in calls {
        let (Operation::Write { to: Some(value), .. }, Some(written)) = (write.operation, write.end) else {
            continue;
        };
        let over = calls.iter().filter_map(reads).find(|(seen, begin, _)| {
            let sum_of_it = seen.is_some_and(|seen| seen / APART == value / APART);
            *begin > written && !sum_of_it
        });
        let Some((_, _, overwritten)) = over else { continue };
        let later = calls
            .iter()
            .position(|call| reads(call).is_some_and(|(_, begin, _)| begin > overwritten));
        let Some(later) = later else { continue };
        let mut all = calls.to_vec();
        all[later].operation = Operation::Read(Some(value));
        changed.push((all, calls[later]));
        // Enough of one item; each takes a whole search.
        if changed.len() == 5 {
            break;
        }
    }
    changed
}
