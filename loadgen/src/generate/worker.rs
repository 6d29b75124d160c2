//! Asks and measures: threads with connections, each with requests of its own.

use std::{
    collections::HashMap,
    io,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use super::{
    arrivals::Schedule,
    record::Recorder,
    workload::{Operation, Request, Requests},
};
use crate::{
    alarm::Alarm,
    client::{Connection, Endpoint},
};

/// How long a connection waits before it opens again, after it broke.
const REOPEN_AFTER: Duration = Duration::from_millis(50);

/// What all connections of a run share.
pub struct Shared {
    /// The regions.
    pub endpoints: Vec<Endpoint>,
    /// The schedule of an open loop: whoever is free takes the next request.
    pub schedule: Option<Mutex<Schedule>>,
    /// When the run begins, and how much of it is not measured.
    pub start: Instant,
    /// The part that is left out.
    pub warm_up: Duration,
    /// When it ends.
    pub end: Instant,
    /// Ends it before that.
    pub stop: AtomicBool,
    /// Requests of an open loop that were sent later than a millisecond after they were due, since all connections were busy
    /// or the generator itself was late.
    pub late: AtomicU64,
    /// Of those, the ones that were late by the generator's own fault: the connection was free in time.
    pub own_fault: AtomicU64,
}

/// The versions that a connection's writes were acknowledged with, by item: `None` if it deleted it.
pub type Acknowledged = HashMap<u64, Option<u64>>;

/// What a connection leaves.
#[derive(Debug, Default)]
pub struct Left {
    /// Its number.
    pub connection: u64,
    /// What it wrote, if that is to be checked.
    pub acknowledged: Acknowledged,
    /// Items whose last write's outcome is not known.
    pub unknown: std::collections::HashSet<u64>,
}

/// One connection's work until the run ends. `region` is the endpoint's place.
pub async fn work(
    shared: Arc<Shared>,
    recorder: Arc<Mutex<Recorder>>,
    mut requests: Requests,
    region: usize,
    connection: u64,
    keep: bool,
) -> io::Result<Left> {
    let alarm = Alarm::new()?;
    let mut left = Left {
        connection,
        ..Left::default()
    };
    let mut open = None;
    alarm
        .sleep(shared.start.saturating_duration_since(Instant::now()))
        .await?;
    let measured_from = shared.start + shared.warm_up;
    while let Some(due) = next(&shared, &alarm).await? {
        let request = requests.draw();
        let at = (region, request.operation);
        let lock = || recorder.lock().unwrap_or_else(PoisonError::into_inner);
        let connection = match &mut open {
            Some(connection) => connection,
            None => match Connection::open(&shared.endpoints[region]).await {
                Ok(connection) => open.insert(connection),
                Err(error) => {
                    lock().failed(at, "connection", || error.to_string());
                    alarm.sleep(REOPEN_AFTER).await?;
                    continue;
                }
            },
        };
        let sent = Instant::now();
        let answer = ask(connection, &request).await;
        let now = Instant::now();
        if keep {
            note(&mut left, &request, &answer);
        }
        let measured = due >= measured_from && now <= shared.end;
        match answer {
            Answer::Done if measured => {
                let nanoseconds = |from: Instant| now.saturating_duration_since(from).as_nanos() as u64;
                lock().answered(at, nanoseconds(due), nanoseconds(sent));
            }
            Answer::Done => {}
            Answer::Refused(exception, text) => {
                if measured {
                    lock().failed(at, &exception, || text);
                }
            }
            Answer::Broken(error) => {
                open = None;
                lock().failed(at, "connection", || error.to_string());
                alarm.sleep(REOPEN_AFTER).await?;
            }
        }
    }
    Ok(left)
}

enum Answer {
    Done,
    /// The exception's name and the whole answer.
    Refused(String, String),
    Broken(io::Error),
}

/// Waits for the next request to be due, and gives when it was; `None` at the end.
async fn next(shared: &Shared, alarm: &Alarm) -> io::Result<Option<Instant>> {
    if shared.stop.load(Ordering::Relaxed) || Instant::now() >= shared.end {
        return Ok(None);
    }
    let Some(schedule) = &shared.schedule else {
        return Ok(Some(Instant::now()));
    };
    let Some(after) = schedule.lock().unwrap_or_else(PoisonError::into_inner).next() else {
        return Ok(None);
    };
    let due = shared.start + after;
    let wait = due.saturating_duration_since(Instant::now());
    if !wait.is_zero() {
        alarm.sleep(wait).await?;
    }
    if shared.stop.load(Ordering::Relaxed) {
        return Ok(None);
    }
    if due.elapsed() > Duration::from_millis(1) {
        shared.late.fetch_add(1, Ordering::Relaxed);
        if !wait.is_zero() {
            shared.own_fault.fetch_add(1, Ordering::Relaxed);
        }
    }
    Ok(Some(due))
}

async fn ask(connection: &mut Connection, request: &Request) -> Answer {
    if let Some(before) = &request.before {
        match call(connection, "GetItem", before).await {
            Answer::Done => {}
            other => return other,
        }
    }
    call(connection, request.operation.api(), &request.body).await
}

async fn call(connection: &mut Connection, api: &str, body: &str) -> Answer {
    match connection
        .call(&format!("DynamoDB_20120810.{api}"), body.as_bytes())
        .await
    {
        Ok(reply) if reply.status == 200 => {
            let left_over = api.starts_with("Batch") && has_unprocessed(connection.body(reply));
            if left_over {
                return Answer::Refused("Unprocessed".to_owned(), "a batch was not carried out whole".to_owned());
            }
            Answer::Done
        }
        Ok(reply) => {
            let text = String::from_utf8_lossy(connection.body(reply)).into_owned();
            Answer::Refused(exception(&text, reply.status), format!("{} {text}", reply.status))
        }
        Err(error) => Answer::Broken(error),
    }
}

fn has_unprocessed(body: &[u8]) -> bool {
    let answer: serde_json::Value = serde_json::from_slice(body).unwrap_or_default();
    ["UnprocessedItems", "UnprocessedKeys"]
        .iter()
        .any(|member| answer[member].as_object().is_some_and(|rest| !rest.is_empty()))
}

/// The name of an error's exception, or its status.
fn exception(body: &str, status: u16) -> String {
    let answer: serde_json::Value = serde_json::from_str(body).unwrap_or_default();
    let name = answer["__type"]
        .as_str()
        .map(|name| name.rsplit('#').next().unwrap_or(name).to_owned());
    name.unwrap_or_else(|| format!("HTTP {status}"))
}

/// Notes what a write's answer says of its items.
fn note(left: &mut Left, request: &Request, answer: &Answer) {
    for (key, version) in &request.writes {
        match answer {
            Answer::Done => {
                left.acknowledged.insert(*key, *version);
                left.unknown.remove(key);
            }
            // A refusal wrote nothing, but for batches, of which a part may be done.
            Answer::Refused(..) if request.operation != Operation::BatchWrite => {}
            Answer::Refused(..) | Answer::Broken(_) => drop(left.unknown.insert(*key)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exceptions() {
        let check = |body: &str, expect: &str| assert_eq!(exception(body, 500), expect);
        check(
            "{\"__type\":\"com.amazonaws.dynamodb.v20120810#ResourceNotFoundException\"}",
            "ResourceNotFoundException",
        );
        check("{\"__type\":\"ThrottlingException\"}", "ThrottlingException");
        check("<html>", "HTTP 500");
    }
}
