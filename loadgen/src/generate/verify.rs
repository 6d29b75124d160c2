//! Reads back what a run wrote.
//!
//! Several connections write the same items, so which of their last writes stands is not known; but it must be one of those
//! that can stand. For each item these are, and nothing else is:
//!
//! - of each connection, the last write that was acknowledged, unless another one of the same region, acknowledged too, was sent
//!   after that acknowledgement: it came later, wherever regions agree which write is the last;
//! - every write whose outcome is not known (a broken connection, a time-out, a 5xx): it may yet be carried out at any time;
//! - what was there before the run, as long as no write of the run was acknowledged.
//!
//! So an acknowledged write that is lost is seen, because what was there before shows. Nothing else may write the table
//! meanwhile. With several regions all must give the same item.

use std::{
    collections::{BTreeMap, BTreeSet},
    io,
    time::{Duration, Instant},
};

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::requests::{key_json, version_text};
use crate::client::{Connection, Endpoint};

/// How long regions may take to become equal.
const CONVERGE_MAX: Duration = Duration::from_secs(60);
/// The pause before regions are asked again.
const ASK_AGAIN: Duration = Duration::from_millis(100);
/// An item is read within this time, in each region.
const READ_MAX: Duration = Duration::from_secs(30);
/// The most faults that are told.
const FAULTS_MAX: usize = 20;
/// The most writes of one connection to one item whose outcome is not known that are kept apart; with more of them the item is not
/// judged by its version.
const UNKNOWN_MAX: usize = 256;

/// What reading back showed.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Verified {
    /// Items that were written and read again.
    pub items: u64,
    /// Items that are not as they must be.
    pub faults: u64,
    /// The first of them, in words.
    pub examples: Vec<String>,
    /// Why reading stopped before all items were read, if it did.
    #[serde(default)]
    pub broken_off: Option<String>,
}

/// A version that a connection gave an item; `None`: it deleted it.
pub type Version = Option<u64>;

/// What a connection did to one item.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Writes {
    /// The last write that was acknowledged.
    last: Option<Acknowledged>,
    /// Those whose outcome is not known.
    unknown: BTreeSet<Version>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Acknowledged {
    version: Version,
    sent: Instant,
    at: Instant,
}

/// What a connection leaves.
#[derive(Debug, Default)]
pub struct Left {
    /// Its number.
    pub connection: u64,
    /// The place of its region.
    pub region: usize,
    /// What it wrote, by item, if that is to be checked.
    pub writes: BTreeMap<u64, Writes>,
}

impl Left {
    /// Notes a write that was acknowledged. A connection's writes come one after the other.
    pub fn acknowledged(&mut self, key: u64, version: Version, sent: Instant, at: Instant) {
        self.writes.entry(key).or_default().last = Some(Acknowledged { version, sent, at });
    }

    /// Notes a write whose outcome is not known.
    pub fn unknown(&mut self, key: u64, version: Version) {
        let unknown = &mut self.writes.entry(key).or_default().unknown;
        if unknown.len() <= UNKNOWN_MAX {
            unknown.insert(version);
        }
    }
}

/// What may be found of one item.
#[derive(Debug, Default)]
struct Candidates {
    /// Versions' texts; `None`: no item.
    may_be: BTreeSet<Option<String>>,
    /// Whether something of the run was acknowledged, so that what was there before cannot be found.
    written: bool,
    /// Whether there are more writes with unknown outcome than are kept.
    too_many: bool,
}

impl Candidates {
    fn of(key: u64, run: &str, left: &[Left]) -> Self {
        let of_key = || left.iter().filter_map(|left| Some((left, left.writes.get(&key)?)));
        let mut found = Self::default();
        for (one, writes) in of_key() {
            let text = |version: &Version| version.map(|number| version_text(run, one.connection, number));
            found.may_be.extend(writes.unknown.iter().map(text));
            found.too_many |= writes.unknown.len() > UNKNOWN_MAX;
            if let Some(last) = writes.last {
                found.written = true;
                let is_written_over = of_key()
                    .filter(|(other, _)| other.region == one.region)
                    .filter_map(|(_, writes)| writes.last)
                    .any(|other| other.sent > last.at);
                if !is_written_over {
                    found.may_be.insert(text(&last.version));
                }
            }
        }
        found
    }
}

/// Reads every item that was written, in every region. `run` is the run's tag in versions. A region that does not answer ends it;
/// what was seen until then is kept.
pub async fn verify(endpoints: &[Endpoint], table: &str, collections: bool, run: &str, left: &[Left]) -> Verified {
    let mut verified = Verified::default();
    if let Err(error) = read_all(&mut verified, endpoints, (table, collections), run, left).await {
        verified.broken_off = Some(error.to_string());
    }
    verified
}

async fn read_all(
    verified: &mut Verified,
    endpoints: &[Endpoint],
    (table, collections): (&str, bool),
    run: &str,
    left: &[Left],
) -> io::Result<()> {
    let mut connections = Vec::new();
    for endpoint in endpoints {
        connections.push(within(Connection::open(endpoint)).await?);
    }
    let keys: BTreeSet<u64> = left.iter().flat_map(|left| left.writes.keys().copied()).collect();
    let deadline = Instant::now() + CONVERGE_MAX;
    for key in keys {
        let found = read_equal(&mut connections, table, collections, key, deadline).await?;
        verified.items += 1;
        let fault = match found {
            None => Some(format!("item {key} differs between regions after {CONVERGE_MAX:?}")),
            Some(version) => judge(key, version.as_deref(), run, left),
        };
        if let Some(fault) = fault {
            verified.faults += 1;
            if verified.examples.len() < FAULTS_MAX {
                verified.examples.push(fault);
            }
        }
    }
    Ok(())
}

async fn within<T>(work: impl Future<Output = io::Result<T>>) -> io::Result<T> {
    tokio::time::timeout(READ_MAX, work)
        .await
        .map_err(|_| io::Error::new(io::ErrorKind::TimedOut, format!("no answer in {READ_MAX:?}")))?
}

/// The item's version in all regions (`None` inside: there is no item), or `None` if they do not become equal.
async fn read_equal(
    connections: &mut [Connection],
    table: &str,
    collections: bool,
    key: u64,
    deadline: Instant,
) -> io::Result<Option<Option<String>>> {
    let body = format!(
        "{{\"TableName\":\"{table}\",\"ConsistentRead\":true,\"Key\":{{{}}}}}",
        key_json(key, collections)
    );
    loop {
        let mut versions = BTreeSet::new();
        for connection in &mut *connections {
            let reply = within(connection.call("DynamoDB_20120810.GetItem", body.as_bytes())).await?;
            let answer: Value = serde_json::from_slice(connection.body(reply)).map_err(io::Error::other)?;
            if reply.status != 200 {
                return Err(io::Error::other(format!("GetItem: {answer}")));
            }
            // An item without a version is none of ours, and is not the same as no item.
            let version = answer
                .get("Item")
                .map(|item| item["version"]["S"].as_str().unwrap_or_default().to_owned());
            versions.insert(version);
        }
        match (versions.len(), versions.pop_first()) {
            (1, Some(version)) => return Ok(Some(version)),
            _ if Instant::now() > deadline => return Ok(None),
            _ => tokio::time::sleep(ASK_AGAIN).await,
        }
    }
}

/// What is wrong with an item, if something is.
fn judge(key: u64, found: Option<&str>, run: &str, left: &[Left]) -> Option<String> {
    let candidates = Candidates::of(key, run, left);
    if candidates.too_many || candidates.may_be.contains(&found.map(str::to_owned)) {
        return None;
    }
    let of_run = found
        .and_then(|text| text.strip_prefix(run))
        .is_some_and(|rest| rest.starts_with('-'));
    match found {
        None if candidates.written => Some(format!("item {key} is gone, and nobody deleted it last")),
        Some(text) if of_run => Some(format!(
            "item {key} has the version '{text}', which was written over or never sent to it"
        )),
        Some(text) if candidates.written => Some(format!(
            "item {key} has the version '{text}' of before the run: an acknowledged write is lost"
        )),
        // Nothing was acknowledged: what was there before is what must be there.
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RUN: &str = "r";

    /// A connection's writes: (item, version, sent, acknowledged), in milliseconds; without the last, its outcome is unknown.
    fn left(connection: u64, region: usize, start: Instant, writes: &[(u64, Version, u64, Option<u64>)]) -> Left {
        let mut left = Left {
            connection,
            region,
            ..Left::default()
        };
        let moment = |ms| start + Duration::from_millis(ms);
        for (key, version, sent, at) in writes {
            match at {
                Some(at) => left.acknowledged(*key, *version, moment(*sent), moment(*at)),
                None => left.unknown(*key, *version),
            }
        }
        left
    }

    #[test]
    fn only_what_can_stand_may_be_found() {
        let start = Instant::now();
        let all = [
            left(
                1,
                0,
                start,
                &[
                    (7, Some(4), 0, Some(5)),
                    (7, Some(5), 10, Some(20)),
                    (8, None, 0, Some(5)),
                    (9, Some(6), 0, Some(5)),
                    (10, Some(7), 0, None),
                    (11, None, 0, None),
                ],
            ),
            left(2, 0, start, &[(7, Some(3), 15, Some(25)), (9, Some(4), 6, Some(9))]),
            left(3, 1, start, &[(8, Some(1), 10, Some(12))]),
        ];
        let check = |key, found: Option<&str>, fault: bool| {
            assert_eq!(judge(key, found, RUN, &all).is_some(), fault, "{key} {found:?}");
        };
        // Two last writes at the same time: either stands; nothing older, nothing of before, nothing that nobody sent.
        check(7, Some("r-1/5"), false);
        check(7, Some("r-2/3"), false);
        check(7, Some("r-1/4"), true);
        check(7, Some("r-1/6"), true);
        check(7, Some("load-0/1"), true);
        check(7, Some("x"), true);
        check(7, Some(""), true);
        check(7, None, true);
        // Deleted here and put in another region: regions choose.
        check(8, None, false);
        check(8, Some("r-3/1"), false);
        check(8, Some("r-1/1"), true);
        check(8, Some("load-0/1"), true);
        // Written over by another connection of the same region.
        check(9, Some("r-2/4"), false);
        check(9, Some("r-1/6"), true);
        // Unknown outcomes: done or not.
        check(10, Some("r-1/7"), false);
        check(10, Some("load-0/1"), false);
        check(10, Some("r-1/8"), true);
        check(11, None, false);
        check(11, Some("load-0/1"), false);
    }
}
