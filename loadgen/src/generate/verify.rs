//! Reads back what a run wrote.
//!
//! Several connections write the same items, so which of their last writes stands is not known; but each item must be there
//! if nobody deleted it, its version must be one that its connection was sent, and not older than the last that this very
//! connection was acknowledged. With several regions all must give the same item.

use std::{
    collections::BTreeSet,
    io,
    time::{Duration, Instant},
};

use serde::Serialize;
use serde_json::Value;

use super::{worker::Left, workload::key_json};
use crate::client::{Connection, Endpoint};

/// How long regions may take to become equal.
const CONVERGE_MAX: Duration = Duration::from_secs(60);
/// The pause before regions are asked again.
const ASK_AGAIN: Duration = Duration::from_millis(100);
/// The most faults that are told.
const FAULTS_MAX: usize = 20;

/// What reading back showed.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Verified {
    /// Items that were written and read again.
    pub items: u64,
    /// Items that are not as they must be.
    pub faults: u64,
    /// The first of them, in words.
    pub examples: Vec<String>,
}

/// Reads every item that was written, in every region.
pub async fn verify(endpoints: &[Endpoint], table: &str, collections: bool, left: &[Left]) -> io::Result<Verified> {
    let mut connections = Vec::new();
    for endpoint in endpoints {
        connections.push(Connection::open(endpoint).await?);
    }
    let keys: BTreeSet<u64> = left.iter().flat_map(|left| left.acknowledged.keys().copied()).collect();
    let mut verified = Verified {
        items: keys.len() as u64,
        ..Verified::default()
    };
    let deadline = Instant::now() + CONVERGE_MAX;
    for key in keys {
        let found = read_equal(&mut connections, table, collections, key, deadline).await?;
        let fault = match found {
            None => Some(format!("item {key} differs between regions after {CONVERGE_MAX:?}")),
            Some(version) => judge(key, version.as_deref(), left),
        };
        if let Some(fault) = fault {
            verified.faults += 1;
            if verified.examples.len() < FAULTS_MAX {
                verified.examples.push(fault);
            }
        }
    }
    Ok(verified)
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
            let reply = connection.call("DynamoDB_20120810.GetItem", body.as_bytes()).await?;
            let answer: Value = serde_json::from_slice(connection.body(reply)).map_err(io::Error::other)?;
            if reply.status != 200 {
                return Err(io::Error::other(format!("GetItem: {answer}")));
            }
            versions.insert(answer["Item"]["version"]["S"].as_str().map(str::to_owned));
        }
        match (versions.len(), versions.pop_first()) {
            (1, Some(version)) => return Ok(Some(version)),
            _ if Instant::now() > deadline => return Ok(None),
            _ => tokio::time::sleep(ASK_AGAIN).await,
        }
    }
}

/// What is wrong with an item, if something is.
fn judge(key: u64, found: Option<&str>, left: &[Left]) -> Option<String> {
    let Some(text) = found else {
        let deleted = left
            .iter()
            .any(|left| left.acknowledged.get(&key) == Some(&None) || left.unknown.contains(&key));
        return (!deleted).then(|| format!("item {key} is gone, and nobody deleted it"));
    };
    let parsed = text
        .split_once('/')
        .and_then(|(a, b)| Some((a.parse::<u64>().ok()?, b.parse::<u64>().ok()?)));
    let Some((connection, version)) = parsed else {
        return Some(format!("item {key} has the version '{text}', which nobody wrote"));
    };
    // Loading is connection 0's, too, and comes before the run.
    let of_writer = left.iter().find(|left| left.connection == connection)?;
    match of_writer.acknowledged.get(&key) {
        Some(Some(last)) if version < *last => Some(format!(
            "item {key} has version {version} of a connection whose write {last} was acknowledged"
        )),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn items_are_judged_by_their_own_writers() {
        let left = |connection, acknowledged: &[(u64, Option<u64>)]| Left {
            connection,
            acknowledged: acknowledged.iter().copied().collect(),
            ..Left::default()
        };
        let all = [left(1, &[(7, Some(5)), (8, None)]), left(2, &[(7, Some(3))])];
        let check =
            |key, found: Option<&str>, fault: bool| assert_eq!(judge(key, found, &all).is_some(), fault, "{found:?}");
        check(7, Some("1/5"), false);
        check(7, Some("1/6"), false);
        check(7, Some("2/3"), false);
        check(7, Some("1/4"), true);
        check(7, None, true);
        check(7, Some("x"), true);
        check(8, None, false);
        check(8, Some("1/1"), false);
    }
}
