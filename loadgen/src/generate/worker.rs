//! Asks and measures: threads with connections, each with requests of its own.

use std::{
    io,
    pin::{Pin, pin},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use super::{
    arrivals::Schedule,
    ending::{DRAIN_MAX, Ending},
    record::{At, Recorder},
    requests::{Request, Requests},
    verify::Left,
};
use crate::{
    alarm::Alarm,
    client::{Connection, Endpoint},
};

/// How long a connection waits before it opens again, after it broke.
const REOPEN_AFTER: Duration = Duration::from_millis(50);
/// A request that was sent so much later than it was due is late.
const LATE: Duration = Duration::from_millis(1);

/// What all connections of a run share.
pub struct Shared {
    /// The regions.
    pub endpoints: Vec<Endpoint>,
    /// The schedule of an open loop: whoever is free takes the next request.
    pub schedule: Option<Mutex<Schedule>>,
    /// When the run begins.
    pub start: Instant,
    /// What is due from then on is measured.
    pub measured_from: Instant,
    /// When it ends, unless it is broken off.
    pub planned_end: Instant,
    /// How it ends.
    pub ending: Ending,
    /// A request that is not answered within this time has failed.
    pub timeout: Duration,
    /// Measured requests of an open loop that were sent over a millisecond after they were due, since all connections were busy
    /// or the generator itself was late.
    pub late: AtomicU64,
    /// Of those, the ones that were late by the generator's own fault: the connection was free in time.
    pub own_fault: AtomicU64,
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
    let lock = || recorder.lock().unwrap_or_else(PoisonError::into_inner);
    let mut left = Left {
        connection,
        region,
        ..Left::default()
    };
    let (mut ends, mut gives_up) = (pin!(shared.ending.ends()), pin!(shared.ending.gives_up()));
    let endpoint = &shared.endpoints[region];
    // Whoever is not there yet is asked again with the first request.
    let mut open = tokio::select! {
        opened = Connection::open(endpoint) => opened.ok(),
        () = tokio::time::sleep_until(shared.start.into()) => None,
    };
    pause(&shared, &alarm, ends.as_mut(), shared.start).await?;
    while let Some(due) = next(&shared, &alarm, ends.as_mut()).await? {
        if shared.ending.is_given_up() {
            let at = (region, requests.skip());
            account(&shared, &mut lock(), at, due, Instant::now(), Answer::Unfinished);
            continue;
        }
        let request = requests.draw();
        let sent = Instant::now();
        let answer = tokio::select! {
            biased;
            answer = exchange(&mut open, endpoint, &request, shared.timeout) => answer,
            () = gives_up.as_mut() => Answer::Unfinished,
        };
        if let Some(number) = request.inserts {
            requests.inserted(number);
        }
        if keep {
            note(&mut left, &request, &answer, sent);
        }
        let is_broken = !matches!(answer, Answer::Done | Answer::Refused(..));
        account(&shared, &mut lock(), (region, request.operation), due, sent, answer);
        if is_broken {
            open = None;
            pause(&shared, &alarm, ends.as_mut(), Instant::now() + REOPEN_AFTER).await?;
        }
    }
    Ok(left)
}

enum Answer {
    Done,
    /// The exception's name, the whole answer, and whether what was asked for may have been done nevertheless.
    Refused(String, String, bool),
    /// No connection.
    NotSent(io::Error),
    Broken(io::Error),
    TimedOut,
    /// Not before the run was over.
    Unfinished,
}

/// Measures a request, if it is to be: those that were due after the warm-up, whenever they end.
fn account(shared: &Shared, recorder: &mut Recorder, at: At, due: Instant, sent: Instant, answer: Answer) {
    let now = Instant::now();
    recorder.ended += 1;
    if due < shared.measured_from {
        return;
    }
    let nanoseconds = |from: Instant| now.saturating_duration_since(from).as_nanos() as u64;
    let waited = Some(nanoseconds(due));
    match answer {
        Answer::Done => {
            let after_end = now > shared.ending.ended_at().unwrap_or(shared.planned_end);
            recorder.answered(at, nanoseconds(due), nanoseconds(sent), after_end);
        }
        Answer::Refused(exception, text, _) => recorder.failed(at, &exception, None, || text),
        Answer::NotSent(error) | Answer::Broken(error) => {
            recorder.failed(at, "connection", None, || error.to_string());
        }
        Answer::TimedOut => recorder.failed(at, "timeout", waited, || format!("no answer in {:?}", shared.timeout)),
        Answer::Unfinished => recorder.failed(at, "unfinished", waited, || {
            format!("no answer within {DRAIN_MAX:?} after the end")
        }),
    }
}

/// Waits until a moment, or the end of the run. `ends` must not have been waited for to its end while the run goes on.
async fn pause(
    shared: &Shared,
    alarm: &Alarm,
    ends: Pin<&mut impl Future<Output = ()>>,
    until: Instant,
) -> io::Result<()> {
    let wait = until.saturating_duration_since(Instant::now());
    if wait.is_zero() || shared.ending.ended_at().is_some() {
        return Ok(());
    }
    tokio::select! {
        gone_off = alarm.sleep(wait) => gone_off,
        () = ends => Ok(()),
    }
}

/// Waits for the next request to be due, and gives when it was; `None` at the end, when all that was due has been given.
async fn next(shared: &Shared, alarm: &Alarm, ends: Pin<&mut impl Future<Output = ()>>) -> io::Result<Option<Instant>> {
    let Some(schedule) = &shared.schedule else {
        let now = Instant::now();
        let goes_on = now < shared.planned_end && shared.ending.ended_at().is_none();
        return Ok(goes_on.then_some(now));
    };
    let Some(after) = schedule.lock().unwrap_or_else(PoisonError::into_inner).next() else {
        return Ok(None);
    };
    let due = shared.start + after;
    let is_free = due > Instant::now();
    pause(shared, alarm, ends, due).await?;
    if shared.ending.ended_at().is_some_and(|end| due > end) {
        return Ok(None);
    }
    if due.elapsed() > LATE && due >= shared.measured_from {
        shared.late.fetch_add(1, Ordering::Relaxed);
        if is_free {
            shared.own_fault.fetch_add(1, Ordering::Relaxed);
        }
    }
    Ok(Some(due))
}

/// One request, on the connection that is open or a new one.
async fn exchange(open: &mut Option<Connection>, endpoint: &Endpoint, request: &Request, timeout: Duration) -> Answer {
    let work = async {
        let connection = match open {
            Some(connection) => connection,
            None => match Connection::open(endpoint).await {
                Ok(connection) => open.insert(connection),
                Err(error) => return Answer::NotSent(error),
            },
        };
        ask(connection, request).await
    };
    tokio::time::timeout(timeout, work).await.unwrap_or(Answer::TimedOut)
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
                let text = "a batch was not carried out whole".to_owned();
                return Answer::Refused("Unprocessed".to_owned(), text, true);
            }
            Answer::Done
        }
        Ok(reply) => {
            let text = String::from_utf8_lossy(connection.body(reply)).into_owned();
            let (name, may_be_done) = (exception(&text, reply.status), reply.status >= 500);
            Answer::Refused(name, format!("{} {text}", reply.status), may_be_done)
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
fn note(left: &mut Left, request: &Request, answer: &Answer, sent: Instant) {
    let now = Instant::now();
    for (key, version) in &request.writes {
        match answer {
            Answer::Done => left.acknowledged(*key, *version, sent, now),
            Answer::Refused(.., false) | Answer::NotSent(_) => {}
            Answer::Refused(.., true) | Answer::Broken(_) | Answer::TimedOut | Answer::Unfinished => {
                left.unknown(*key, *version);
            }
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
