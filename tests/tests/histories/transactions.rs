//! Transactions over several items, among single writes and reads.

use std::collections::BTreeMap;
use std::sync::Arc;

use geodynamo_loadgen::client::Endpoint;
use geodynamo_tests::Failure;
use geodynamo_tests::recorder::{Answer, Choices, Session};
use geodynamo_tests::serializable::{Item, Outcome, Transaction, Violation, check};
use serde_json::{Value, json};

use crate::{End, Region, Shared};

const TABLE: &str = "lists";
const ITEMS: usize = 12;
const CLIENTS: usize = 8;

/// How transactions are carried out.
#[derive(Clone, Copy, PartialEq)]
enum Mode {
    /// By TransactWriteItems and TransactGetItems.
    AtOnce,
    /// By single calls, one after the other, and recorded as if they were one.
    Apart,
}

/// A client that records.
struct Client {
    number: usize,
    mode: Mode,
    session: Session,
    shared: Arc<Shared>,
    choices: Choices,
    values: u64,
    recorded: Recorded,
}

/// What a client did.
#[derive(Default)]
struct Recorded {
    history: Vec<Transaction>,
    /// The last transaction with a token that was committed.
    last: Option<Value>,
    conflicts: u64,
    /// Transactions whose answer was lost, and which were asked for again under the same token.
    repeated: u64,
}

#[tokio::test(flavor = "multi_thread")]
async fn transactions_are_serializable_and_whole_over_power_cuts() -> Result<(), Failure> {
    let mut region = Region::start(TABLE, End::PowerCut).await?;
    let all = record(&mut region, Mode::AtOnce, 1_200, 2).await?;
    let mut session = Session::new(region.endpoint());
    let last = lists(&mut session).await?;
    let history: Vec<_> = all.iter().flat_map(|one| one.history.clone()).collect();
    let committed = history.iter().filter(|one| one.outcome == Outcome::Committed).count();
    let (conflicts, repeated) = (sum(&all, |one| one.conflicts), sum(&all, |one| one.repeated));
    println!(
        "{} transactions: {committed} committed, {conflicts} conflicts, {repeated} repeated after a power cut",
        history.len()
    );
    assert_eq!(check(&history, &last), Ok(()));
    assert!(committed > 500 && conflicts > 0, "too little happened");
    assert!(repeated > 0, "the power cuts interrupted nothing");

    // Tokens are as durable as their transactions, over one more power cut too.
    region.restart()?;
    session = Session::new(region.endpoint());
    for body in all.iter().filter_map(|one| one.last.as_ref()) {
        let answer = session.call("TransactWriteItems", body).await?.ok_or("no answer")?;
        assert_eq!(answer.status, 200, "{}", answer.body);
        let units = &answer.body["ConsumedCapacity"][0];
        assert!(
            units["ReadCapacityUnits"].is_number(),
            "it was carried out again: {units}"
        );
        let mut other = body.clone();
        other["TransactItems"][0]["Update"]["ExpressionAttributeValues"][":v"]["L"][0]["N"] = json!("0");
        let answer = session.call("TransactWriteItems", &other).await?.ok_or("no answer")?;
        assert_eq!(answer.error(), "IdempotentParameterMismatchException");
    }
    assert_eq!(lists(&mut session).await?, last);

    changed_histories_are_found_out(&history, &last);
    Ok(())
}

/// The negative control: what is not done at once must be found out.
#[tokio::test(flavor = "multi_thread")]
async fn transactions_done_piece_by_piece_are_found_out() -> Result<(), Failure> {
    let mut region = Region::start(TABLE, End::Kill).await?;
    let all = record(&mut region, Mode::Apart, 600, 0).await?;
    let last = lists(&mut Session::new(region.endpoint())).await?;
    let history: Vec<_> = all.into_iter().flat_map(|one| one.history).collect();
    let verdict = check(&history, &last);
    assert!(matches!(verdict, Err(Violation::Cycle(_))), "{verdict:?}");
    Ok(())
}

/// The recorded history, with one thing changed each time.
fn changed_histories_are_found_out(history: &[Transaction], last: &BTreeMap<Item, Vec<u64>>) {
    let mut found = [0; 4];
    for (number, one) in history.iter().enumerate() {
        if one.outcome != Outcome::Committed {
            continue;
        }
        // The last value that a list had when it was read was, by other reads, there before: now it is not seen.
        if let Some(at) = one
            .reads
            .iter()
            .position(|(item, seen)| is_old(history, one, *item, seen))
        {
            let mut changed = history.to_vec();
            changed[number].reads[at].1.pop();
            assert!(
                matches!(check(&changed, last), Err(Violation::Cycle(_))),
                "a stale read"
            );
            found[0] += 1;
        }
        let Some((item, value)) = one.appends.first().copied() else {
            continue;
        };
        let without = |list: &[u64]| list.iter().copied().filter(|other| *other != value).collect::<Vec<_>>();
        let mut lost = last.clone();
        lost.insert(item, without(&last[&item]));
        assert!(check(history, &lost).is_err(), "a lost append");
        found[1] += 1;
        let mut undead = history.to_vec();
        undead[number].outcome = Outcome::Cancelled;
        assert_eq!(check(&undead, last), Err(Violation::Undead(number, item)));
        found[2] += 1;
        if one.appends.len() > 1 {
            // As a crash in the middle of a commit that is not atomic would leave it, and nobody had looked.
            let mut partial = history.to_vec();
            partial[number].outcome = Outcome::Unknown;
            for other in &mut partial {
                for (_, seen) in other.reads.iter_mut().filter(|(read, _)| *read == item) {
                    *seen = without(seen);
                }
            }
            assert_eq!(check(&partial, &lost), Err(Violation::Partial(number)));
            found[3] += 1;
        }
        if found.iter().all(|count| *count >= 20) {
            break;
        }
    }
    assert!(found.iter().all(|count| *count >= 20), "{found:?}");
}

/// Whether the last value of a list was appended by a transaction that was answered before this one began.
fn is_old(history: &[Transaction], reader: &Transaction, item: Item, seen: &[u64]) -> bool {
    let Some(value) = seen.last() else { return false };
    let writer = history.iter().find(|one| one.appends.contains(&(item, *value)));
    writer.is_some_and(|writer| writer.outcome == Outcome::Committed && writer.end < reader.begin)
}

async fn record(region: &mut Region, mode: Mode, each: u64, kills: u64) -> Result<Vec<Recorded>, Failure> {
    let shared = Arc::new(Shared::default());
    let clients: Vec<_> = (0..CLIENTS)
        .map(|number| tokio::spawn(Client::new(number, region.endpoint(), mode, &shared).run()))
        .collect();
    let driven = shared.drive(region, each, kills).await;
    let mut all = Vec::new();
    for client in clients {
        all.push(client.await??);
    }
    driven?;
    Ok(all)
}

impl Client {
    fn new(number: usize, endpoint: Endpoint, mode: Mode, shared: &Arc<Shared>) -> Self {
        Self {
            number,
            mode,
            session: Session::new(endpoint),
            shared: Arc::clone(shared),
            choices: Choices::new(1_000 + number as u64),
            values: 0,
            recorded: Recorded::default(),
        }
    }

    async fn run(mut self) -> Result<Recorded, Failure> {
        while self.shared.is_going_on() {
            let count = 2 + self.choices.below(2) as usize;
            let items = self.choices.some(count, ITEMS);
            match self.choices.below(10) {
                0..=2 => self.append(&items).await?,
                3..=4 => drop(self.read(&items).await?),
                5..=7 => self.read_and_append(&items).await?,
                8 => self.append_one(items[0], &mut Vec::new()).await?,
                _ => drop(self.read(&items[..1]).await?),
            }
            self.shared.count();
        }
        Ok(self.recorded)
    }

    /// Appends to all of the items, whatever they are.
    async fn append(&mut self, items: &[Item]) -> Result<(), Failure> {
        let appends: Vec<_> = items.iter().map(|item| (*item, self.value())).collect();
        if self.mode == Mode::Apart {
            return self.append_apart(appends).await;
        }
        let actions = appends
            .iter()
            .map(|(item, value)| json!({"Update": update(*item, *value)}));
        self.write(actions.collect(), Vec::new(), appends).await
    }

    /// Reads the items, then appends to the first of them on condition that none has changed: a transaction that read them
    /// all, though DynamoDB's are not interactive.
    async fn read_and_append(&mut self, items: &[Item]) -> Result<(), Failure> {
        let Some(reads) = self.read(items).await? else {
            return Ok(());
        };
        let appends = vec![(items[0], self.value())];
        if self.mode == Mode::Apart {
            return self.append_apart(appends).await;
        }
        let mut actions = Vec::new();
        for (item, seen) in &reads {
            let mut body = match appends.iter().find(|(other, _)| other == item) {
                Some((_, value)) => update(*item, *value),
                None => json!({"TableName": TABLE, "Key": key(*item)}),
            };
            if seen.is_empty() {
                body["ConditionExpression"] = json!("attribute_not_exists(l)");
            } else {
                body["ConditionExpression"] = json!("size(l) = :n");
                body["ExpressionAttributeValues"][":n"] = json!({"N": seen.len().to_string()});
            }
            let kind = if body["UpdateExpression"].is_string() {
                "Update"
            } else {
                "ConditionCheck"
            };
            actions.push(json!({kind: body}));
        }
        self.write(actions, reads, appends).await
    }

    /// A write transaction under a token, asked for until an answer comes.
    async fn write(
        &mut self,
        actions: Vec<Value>,
        reads: Vec<(Item, Vec<u64>)>,
        appends: Vec<(Item, u64)>,
    ) -> Result<(), Failure> {
        let token = format!("{}-{}", self.number, self.values);
        let body = json!({"TransactItems": actions, "ClientRequestToken": token, "ReturnConsumedCapacity": "TOTAL"});
        self.session.ready().await?;
        let begin = self.shared.moments.now();
        let answer = loop {
            match self.session.call("TransactWriteItems", &body).await? {
                Some(answer) => break answer,
                None => self.recorded.repeated += 1,
            }
        };
        let outcome = match answer.status {
            200 => Outcome::Committed,
            _ if answer.is_conflict() || answer.is_failed_condition() => Outcome::Cancelled,
            _ => return Err(failed("TransactWriteItems", &answer)),
        };
        self.recorded.conflicts += u64::from(answer.is_conflict());
        if outcome == Outcome::Committed {
            self.recorded.last = Some(body);
        }
        self.record(begin, outcome, reads, appends);
        Ok(())
    }

    /// The items' lists; `None` if there was a conflict, or no answer.
    async fn read(&mut self, items: &[Item]) -> Result<Option<Vec<(Item, Vec<u64>)>>, Failure> {
        self.session.ready().await?;
        let begin = self.shared.moments.now();
        let mut reads = Vec::new();
        if self.mode == Mode::AtOnce && items.len() > 1 {
            let gets = items
                .iter()
                .map(|item| json!({"Get": {"TableName": TABLE, "Key": key(*item)}}));
            let body = json!({"TransactItems": gets.collect::<Vec<_>>()});
            let Some(answer) = self.session.call("TransactGetItems", &body).await? else {
                return Ok(None);
            };
            if answer.is_conflict() {
                self.recorded.conflicts += 1;
                return Ok(None);
            }
            if answer.status != 200 {
                return Err(failed("TransactGetItems", &answer));
            }
            for (number, item) in items.iter().enumerate() {
                reads.push((*item, list(&answer.body["Responses"][number]["Item"])));
            }
        } else {
            for item in items {
                let body = json!({"TableName": TABLE, "Key": key(*item), "ConsistentRead": true});
                let Some(answer) = self.session.call("GetItem", &body).await? else {
                    return Ok(None);
                };
                if answer.status != 200 {
                    return Err(failed("GetItem", &answer));
                }
                reads.push((*item, list(&answer.body["Item"])));
            }
        }
        self.record(begin, Outcome::Committed, reads.clone(), Vec::new());
        Ok(Some(reads))
    }

    /// What is recorded as one transaction is done in pieces.
    async fn append_apart(&mut self, appends: Vec<(Item, u64)>) -> Result<(), Failure> {
        self.session.ready().await?;
        let begin = self.shared.moments.now();
        for (item, value) in &appends {
            let answer = self.session.call("UpdateItem", &update(*item, *value)).await?;
            let answer = answer.ok_or("no answer")?;
            if answer.status != 200 {
                return Err(failed("UpdateItem", &answer));
            }
        }
        self.record(begin, Outcome::Committed, Vec::new(), appends);
        Ok(())
    }

    /// A single write, which also tells what the list was.
    async fn append_one(&mut self, item: Item, reads: &mut Vec<(Item, Vec<u64>)>) -> Result<(), Failure> {
        let appends = vec![(item, self.value())];
        let mut body = update(item, appends[0].1);
        body["ReturnValues"] = json!("ALL_OLD");
        self.session.ready().await?;
        let begin = self.shared.moments.now();
        let outcome = match self.session.call("UpdateItem", &body).await? {
            None => Outcome::Unknown,
            Some(answer) if answer.is_conflict() => {
                self.recorded.conflicts += 1;
                Outcome::Cancelled
            }
            Some(answer) if answer.status == 200 => {
                reads.push((item, list(&answer.body["Attributes"])));
                Outcome::Committed
            }
            Some(answer) => return Err(failed("UpdateItem", &answer)),
        };
        self.record(begin, outcome, std::mem::take(reads), appends);
        Ok(())
    }

    fn record(&mut self, begin: u64, outcome: Outcome, reads: Vec<(Item, Vec<u64>)>, appends: Vec<(Item, u64)>) {
        self.recorded.history.push(Transaction {
            begin,
            end: self.shared.moments.now(),
            outcome,
            reads,
            appends,
        });
    }

    /// A value that nobody else appends.
    fn value(&mut self) -> u64 {
        self.values += 1;
        self.values * CLIENTS as u64 + self.number as u64
    }
}

async fn lists(session: &mut Session) -> Result<BTreeMap<Item, Vec<u64>>, Failure> {
    let mut lists = BTreeMap::new();
    for item in 0..ITEMS {
        let body = json!({"TableName": TABLE, "Key": key(item), "ConsistentRead": true});
        let answer = session.call("GetItem", &body).await?.ok_or("no answer")?;
        if answer.status != 200 {
            return Err(failed("GetItem", &answer));
        }
        lists.insert(item, list(&answer.body["Item"]));
    }
    Ok(lists)
}

fn key(item: Item) -> Value {
    json!({"pk": {"S": format!("list-{item}")}})
}

fn update(item: Item, value: u64) -> Value {
    json!({
        "TableName": TABLE,
        "Key": key(item),
        "UpdateExpression": "SET l = list_append(if_not_exists(l, :none), :v)",
        "ExpressionAttributeValues": {":none": {"L": []}, ":v": {"L": [{"N": value.to_string()}]}},
    })
}

fn list(item: &Value) -> Vec<u64> {
    let values = item["l"]["L"].as_array().map(Vec::as_slice).unwrap_or_default();
    let number = |value: &Value| value["N"].as_str().and_then(|digits| digits.parse().ok());
    values.iter().filter_map(number).collect()
}

fn failed(operation: &str, answer: &Answer) -> Failure {
    format!("{operation}: {} {}", answer.status, answer.body).into()
}

fn sum(all: &[Recorded], of: impl Fn(&Recorded) -> u64) -> u64 {
    all.iter().map(of).sum()
}
