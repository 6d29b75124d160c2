//! One owner after the other, and two at once, on a real Cassandra.

// A test: it panics on purpose.
#![allow(clippy::unwrap_used)]

use std::{collections::BTreeMap, time::Duration};

use bytes::Bytes;
use geodynamo_cassandra::{CassandraEngine, CassandraOptions, Take};
use geodynamo_storage::{
    Append, Commit, Engine, LogId, Position, Precondition, Snapshot, StorageError, Write, key_head,
};

mod common;

use common::{open, options, schema};

const LOG: LogId = LogId(7);
const DEADLINE: Duration = Duration::from_secs(60);

fn key(text: &str) -> Bytes {
    let mut key = key_head(1, 1, 1, text.len());
    key.extend_from_slice(text.as_bytes());
    key.into()
}

fn put(text: &str, value: &str) -> Commit {
    Commit {
        writes: vec![Write::Put(key(text), Bytes::copy_from_slice(value.as_bytes()))],
        appends: vec![Append {
            log: LOG,
            record: Bytes::copy_from_slice(text.as_bytes()),
        }],
        ..Commit::default()
    }
}

/// What is acknowledged by an owner that was replaced, and by the one that replaced it, while both write for a while: each
/// write that is missing in the end.
async fn lost_with(options: &CassandraOptions, slot: i32, unfenced: bool) -> Vec<String> {
    let first = open(
        &CassandraOptions {
            unfenced,
            ..options.clone()
        },
        slot,
    );
    let mut acknowledged = BTreeMap::new();
    let mut write = async |engine: &CassandraEngine, name: String| {
        if engine.commit(put(&name, &name)).await.is_ok() {
            acknowledged.insert(name.clone(), name);
        }
    };
    for i in 0..10 {
        write(&first, format!("before-{i}")).await;
    }
    let second = open(options, slot);
    // One after the other, so that both write at the same places if nothing keeps them from it.
    for i in 0..10 {
        write(&second, format!("second-{i}")).await;
        write(&first, format!("first-{i}")).await;
    }
    drop((first, second));
    let third = open(options, slot);
    // The rows of both may have been written before the log was overwritten: it is the log that tells.
    let records = third.log_read(LOG, Position::START, 1000, 1 << 20).await.unwrap();
    let mut lost = Vec::new();
    for (name, value) in acknowledged {
        let is_row = third.get(&key(&name)).await.unwrap().as_deref() == Some(value.as_bytes());
        let is_logged = records.iter().any(|record| record.record == value.as_bytes());
        if !is_row || !is_logged {
            lost.push(name);
        }
    }
    lost
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
#[ignore = "needs Cassandra, which scripts/test.py starts: scripts/test.py cassandra"]
async fn an_owner_that_was_replaced_commits_nothing() {
    let options = options();
    schema(&options).await;
    assert_eq!(lost_with(&options, 1, false).await, [""; 0]);
    // The negative control: an owner that does not look at the epoch overwrites what the other one acknowledged.
    assert!(
        !lost_with(&options, 2, true).await.is_empty(),
        "commits without the epoch are found out"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
#[ignore = "needs Cassandra, which scripts/test.py starts: scripts/test.py cassandra"]
async fn who_was_replaced_answers_nothing() {
    let options = options();
    schema(&options).await;
    let first = open(&options, 3);
    first.commit(put("a", "1")).await.unwrap();
    let snapshot = first.snapshot();
    let mut lost = first.lost();
    let second = open(&options, 3);
    assert_eq!(second.get(&key("a")).await.unwrap(), Some(Bytes::from("1")), "replayed");
    assert!(matches!(first.commit(put("a", "2")).await, Err(StorageError::Closed)));
    let told = tokio::time::timeout(DEADLINE, lost.wait_for(|lost| *lost)).await;
    assert!(
        told.is_ok_and(|told| told.is_ok()),
        "an owner hears that it was replaced"
    );
    assert!(matches!(first.get(&key("a")).await, Err(StorageError::Closed)));
    assert!(matches!(snapshot.get(&key("a")).await, Err(StorageError::Closed)));
    assert!(matches!(
        first.log_read(LOG, Position::START, 1, 1).await,
        Err(StorageError::Closed)
    ));
    assert_eq!(
        second.log_end(LOG).await.unwrap(),
        Position(1),
        "refused commits leave no trace"
    );
}

/// A lease that is held is not taken; one that is given up is taken at once; one that is no longer renewed, once it is over.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
#[ignore = "needs Cassandra, which scripts/test.py starts: scripts/test.py cassandra"]
async fn a_lease_is_waited_for() {
    let options = CassandraOptions {
        take: Take::WhenFree,
        ..options()
    };
    schema(&options).await;
    let first = open(&options, 4);
    let waiting = CassandraOptions {
        slot: geodynamo_cassandra::Slot(4),
        node: "other".into(),
        ..options.clone()
    };
    let mut second = tokio::spawn(CassandraEngine::open(waiting.clone()));
    let early = tokio::time::timeout(3 * options.lease, &mut second).await;
    assert!(early.is_err(), "a lease that is renewed is not taken");
    first.commit(put("a", "1")).await.unwrap();
    first.close().await.unwrap();
    let second = tokio::time::timeout(DEADLINE, second).await.unwrap().unwrap().unwrap();
    assert_eq!(second.get(&key("a")).await.unwrap(), Some(Bytes::from("1")));
    // Gone without a word.
    drop(second);
    let third = tokio::time::timeout(DEADLINE, CassandraEngine::open(waiting)).await;
    let third = third.unwrap().unwrap();
    let commit = Commit {
        preconditions: vec![Precondition::Equals(key("a"), Bytes::from("1"))],
        ..put("a", "2")
    };
    assert_eq!(third.commit(commit).await.unwrap(), [Position(2)]);
}

/// Over several stretches of the log: what is trimmed is dropped, what is not is read, by the next owner, too.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
#[ignore = "needs Cassandra, which scripts/test.py starts: scripts/test.py cassandra"]
async fn the_log_goes_on_from_stretch_to_stretch() {
    const RECORD: usize = 1 << 20;
    const RECORDS: u64 = 80;
    let options = options();
    schema(&options).await;
    let engine = open(&options, 5);
    for i in 0..RECORDS {
        let mut commit = put(&format!("key-{i}"), "value");
        commit.appends[0].record = Bytes::from(vec![i as u8; RECORD]);
        assert_eq!(engine.commit(commit).await.unwrap(), [Position(i + 1)]);
    }
    let read_all = async |engine: &CassandraEngine, first: u64| {
        let mut after = Position(first - 1);
        while after.0 < RECORDS {
            let records = engine.log_read(LOG, after, 8, usize::MAX).await.unwrap();
            for record in records {
                assert_eq!(record.position.0, after.0 + 1);
                assert!(record.record.len() == RECORD && record.record[0] == after.0 as u8);
                after = record.position;
            }
        }
    };
    // Half of it is no longer in memory.
    read_all(&engine, 1).await;
    engine.log_trim(LOG, Position(50)).await.unwrap();
    read_all(&engine, 51).await;
    drop(engine);
    let engine = open(&options, 5);
    read_all(&engine, 51).await;
    assert_eq!(engine.get(&key("key-0")).await.unwrap(), Some(Bytes::from("value")));
    assert_eq!(engine.log_end(LOG).await.unwrap(), Position(RECORDS));
    engine.log_trim(LOG, Position(RECORDS)).await.unwrap();
    engine.close().await.unwrap();
    let engine = open(&options, 5);
    assert!(engine.log_read(LOG, Position::START, 9, 99).await.unwrap().is_empty());
    let next = engine.commit(put("next", "")).await.unwrap();
    assert_eq!(next, [Position(RECORDS + 1)]);
}
