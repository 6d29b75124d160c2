//! What a node reads that stands by, on a real Cassandra.

// A test: it panics on purpose.
#![allow(clippy::unwrap_used)]

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use bytes::Bytes;
use geodynamo_cassandra::{Campaign, CassandraEngine, CassandraOptions, CassandraReader, Slot, Take};
use geodynamo_storage::{Append, Commit, Direction, Engine, LogId, Position, Scan, StorageError, Write, key_head};

mod common;

use common::{open, options, schema};

const LOG: LogId = LogId(7);
/// How old what a reader shows may be; the region's own bound.
const STALENESS_MAX: Duration = Duration::from_secs(1);
/// How long the writer goes on.
const WRITES_FOR: Duration = Duration::from_secs(8);

fn key(text: &str) -> Bytes {
    let mut key = key_head(1, 1, 1, text.len());
    key.extend_from_slice(text.as_bytes());
    key.into()
}

fn put(text: &str, value: u64) -> Commit {
    Commit {
        writes: vec![Write::Put(key(text), Bytes::copy_from_slice(&value.to_be_bytes()))],
        appends: vec![Append {
            log: LOG,
            record: Bytes::from_static(b"r"),
        }],
        ..Commit::default()
    }
}

fn number(value: Option<Bytes>) -> u64 {
    value.map_or(0, |value| u64::from_be_bytes(value[..].try_into().unwrap()))
}

fn all() -> Scan {
    let (from, to) = (key(""), key("~"));
    Scan {
        from: std::ops::Bound::Included(from),
        to: std::ops::Bound::Excluded(to),
        direction: Direction::Forward,
        rows_max: 1000,
        bytes_max: 1 << 20,
        once: false,
    }
}

/// A reader of a slot that another node writes: the campaign never wins, for its lease is longer than the test.
async fn reader(options: &CassandraOptions, slot: i32) -> (Campaign, CassandraReader) {
    let campaign = Campaign::start(CassandraOptions {
        slot: Slot(slot),
        take: Take::WhenFree,
        lease: Duration::from_secs(3600),
        ..options.clone()
    });
    let campaign = campaign.await.unwrap();
    let reader = campaign.readings().open(|key| key.ends_with(b"wanted")).await.unwrap();
    (campaign, reader)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
#[ignore = "needs Cassandra, which scripts/test.py starts: scripts/test.py cassandra"]
async fn a_reader_sees_all_that_was_acknowledged_before_it_looked_and_writes_nothing() {
    let options = options();
    schema(&options).await;
    let owner = open(&options, 21);
    owner.commit(put("before", 1)).await.unwrap();
    let (_campaign, reader) = reader(&options, 21).await;
    assert_eq!(reader.age(), None, "nothing was read yet");
    for round in 2..40 {
        for name in ["a", "wanted", "b"] {
            owner.commit(put(name, round)).await.unwrap();
        }
        if round % 3 == 0 {
            let gone = Commit {
                writes: vec![Write::Delete(key("b"))],
                ..Commit::default()
            };
            owner.commit(gone).await.unwrap();
        }
        let caught = reader.catch_up().await.unwrap();
        assert_eq!(caught.written.into_iter().collect::<Vec<_>>(), [key("wanted")]);
        assert_eq!(number(reader.get(&key("a")).await.unwrap()), round);
        let b = if round % 3 == 0 { 0 } else { round };
        assert_eq!(number(reader.get(&key("b")).await.unwrap()), b);
        let page = reader.scan(all()).await.unwrap();
        assert_eq!(page.rows, owner.scan(all()).await.unwrap().rows, "{round}");
    }
    let place = reader.place();
    let refused = reader.commit(put("a", 0)).await;
    assert!(matches!(refused, Err(StorageError::Unwritable(_))), "{refused:?}");
    assert!(reader.log_trim(LOG, Position(1)).await.is_err());
    reader.catch_up().await.unwrap();
    assert_eq!(reader.place(), place, "a reader's commit reached the log");
    assert_eq!(number(owner.get(&key("a")).await.unwrap()), 39);
    owner.close().await.unwrap();
}

/// How long after a write was acknowledged a reader, asked whenever it says that it is fresh enough, still showed what was before:
/// the longest such time.
async fn longest_lag(options: &CassandraOptions, slot: i32) -> Duration {
    let owner: Arc<CassandraEngine> = Arc::new(open(options, slot));
    let (_campaign, reader) = reader(options, slot).await;
    let caught = reader.catch_up().await.unwrap();
    reader.is_as_of(&caught);
    let (acknowledged, ended) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicBool::new(false)));
    let begun = Instant::now();
    // When each number was acknowledged, in microseconds since the beginning.
    let times: Arc<parking_lot::Mutex<Vec<Duration>>> = Arc::default();
    let writing = tokio::spawn({
        let (owner, acknowledged, ended, times) = (
            Arc::clone(&owner),
            Arc::clone(&acknowledged),
            Arc::clone(&ended),
            Arc::clone(&times),
        );
        async move {
            for value in 1.. {
                owner.commit(put("counter", value)).await.unwrap();
                times.lock().push(begun.elapsed());
                acknowledged.store(value, Ordering::Release);
                if begun.elapsed() > WRITES_FOR {
                    break;
                }
            }
            ended.store(true, Ordering::Release);
        }
    });
    let mut longest = Duration::ZERO;
    let mut last = 0;
    while !ended.load(Ordering::Acquire) {
        if let Ok(caught) = reader.catch_up().await {
            reader.is_as_of(&caught);
        }
        for _ in 0..20 {
            let asked = begun.elapsed();
            if reader.age().is_none_or(|age| age > STALENESS_MAX) {
                continue;
            }
            let seen = number(reader.get(&key("counter")).await.unwrap());
            // The oldest number that was acknowledged and is not seen.
            let missing = times.lock().get(seen as usize).copied();
            if let Some(acknowledged) = missing {
                longest = longest.max(asked.saturating_sub(acknowledged));
            }
            last = last.max(seen);
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }
    writing.await.unwrap();
    let written = acknowledged.load(Ordering::Acquire);
    println!("{written} writes; {last} seen; the longest lag {longest:?}");
    owner.close().await.unwrap();
    longest
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
#[ignore = "needs Cassandra, which scripts/test.py starts: scripts/test.py cassandra"]
async fn what_a_reader_shows_is_no_older_than_it_says() {
    let options = options();
    schema(&options).await;
    let lag = longest_lag(&options, 22).await;
    assert!(lag <= STALENESS_MAX, "{lag:?}");
    // The negative control: a reader that follows nothing, and says that it has.
    let deaf = CassandraOptions { deaf: true, ..options };
    let lag = longest_lag(&deaf, 23).await;
    assert!(
        lag > STALENESS_MAX,
        "a reader that follows nothing is found out: {lag:?}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
#[ignore = "needs Cassandra, which scripts/test.py starts: scripts/test.py cassandra"]
async fn a_reader_goes_on_with_the_next_owner_and_past_the_ends_of_stretches() {
    let options = options();
    schema(&options).await;
    let (mut value, mut owner) = (0, open(&options, 24));
    let (_campaign, reader) = reader(&options, 24).await;
    for _ in 0..3 {
        // More than a stretch: what is trimmed of it is dropped behind the reader's back, too.
        for _ in 0..30 {
            value += 1;
            let mut commit = put("a", value);
            commit
                .writes
                .push(Write::Put(key("big"), Bytes::from(vec![0; 1 << 20])));
            owner.commit(commit).await.unwrap();
            owner.log_trim(LOG, Position(value)).await.unwrap();
        }
        let caught = reader.catch_up().await.unwrap();
        reader.is_as_of(&caught);
        assert_eq!(number(reader.get(&key("a")).await.unwrap()), value);
        // The one before is refused from here on.
        owner = open(&options, 24);
    }
    value += 1;
    owner.commit(put("a", value)).await.unwrap();
    reader.catch_up().await.unwrap();
    assert_eq!(number(reader.get(&key("a")).await.unwrap()), value);
    owner.close().await.unwrap();
}
