//! Change logs on disk: segments, trims, files.

use std::{
    collections::BTreeSet,
    path::Path,
    time::{Duration, Instant},
};

use bytes::Bytes;
use geodynamo_storage::{Append, Commit, Engine, LogId, Position};
use rocksdb::properties;

use super::{open, small};
use crate::{
    RocksEngine, RocksOptions,
    layout::{LOG, segment_of},
};

/// Trims of a long log drop its files, and reading it stays right.
#[tokio::test]
async fn long_logs_are_trimmed() {
    let home = tempfile::tempdir().unwrap();
    let engine = open(home.path());
    let batch = |first: u64| Commit {
        appends: (first..first + 1000)
            .map(|i| Append {
                log: LogId(3),
                record: Bytes::from(vec![i as u8; 100]),
            })
            .collect(),
        ..Commit::default()
    };
    for round in 0..100 {
        engine.commit(batch(round * 1000)).await.unwrap();
        engine
            .log_trim(LogId(3), Position((round * 1000).saturating_sub(500)))
            .await
            .unwrap();
    }
    engine.log_trim(LogId(3), Position(99_000)).await.unwrap();
    let left = engine
        .log_read(LogId(3), Position::START, usize::MAX, usize::MAX)
        .await
        .unwrap();
    assert_eq!((left.len(), left[0].position), (1000, Position(99_001)));
    assert_eq!(engine.log_end(LogId(3)).await.unwrap(), Position(100_000));
}

const LOGS: u64 = 16;
const ROUNDS: u64 = 800;

fn append(log: u64, i: u64) -> Append {
    Append {
        log: LogId(log.wrapping_mul(0x9E37_79B9_7F4A_7C15)),
        record: Bytes::from((0..2_000_u64).map(|b| (b * i * 31 % 251) as u8).collect::<Vec<_>>()),
    }
}

/// Appends to logs of which one is written now and then, so that it lies where others' records are long gone.
fn round(i: u64) -> Commit {
    Commit {
        appends: (0..LOGS)
            .filter(|&log| log > 0 || i.is_multiple_of(200))
            .map(|log| append(log, i))
            .collect(),
        ..Commit::default()
    }
}

/// Log records are written to a file once, whichever logs they belong to: files of one segment each, which are moved down
/// the levels as they are. Once all that a segment holds is trimmed, its files are gone, and a restart goes on behind it.
#[tokio::test]
async fn log_records_are_written_once() {
    let home = tempfile::tempdir().unwrap();
    let open = |path: &Path| {
        let options = RocksOptions {
            memtable_bytes: 2 << 20,
            ..small()
        };
        RocksEngine::open(path, options).unwrap()
    };
    let engine = open(home.path());
    for i in 0..ROUNDS {
        engine.commit(round(i)).await.unwrap();
        // Memtables that wait together would become one file, of several segments.
        settled(&engine).await;
    }
    let files = log_files(&engine);
    assert!(files.len() >= 8, "{} files", files.len());
    for file in &files {
        assert_eq!(file.0, file.1, "a file has records of several segments");
    }
    let segments: BTreeSet<u64> = files.iter().map(|file| file.0).collect();
    // Whoever compacts them writes fewer, longer ones, or several of each segment. A memtable that RocksDB ends by itself
    // divides a segment.
    let divided = files.len() - segments.len();
    assert!(divided <= 2, "{} files of {} segments", files.len(), segments.len());

    let log = |log: u64| append(log, 0).log;
    let read = async |engine: &RocksEngine, log: LogId, after: u64| {
        let mut found = Vec::new();
        let mut after = Position(after);
        loop {
            let records = engine.log_read(log, after, 7, 1 << 20).await.unwrap();
            let Some(last) = records.last() else { return found };
            after = last.position;
            found.extend(records.into_iter().map(|record| record.position.0));
        }
    };
    assert_eq!(read(&engine, log(0), 0).await, (1..=4).collect::<Vec<_>>());
    assert_eq!(read(&engine, log(5), 123).await, (124..=ROUNDS).collect::<Vec<_>>());
    // All but one log: what that one shares segments with stays, and is not read any more.
    for other in 1..LOGS {
        engine.log_trim(log(other), Position(ROUNDS)).await.unwrap();
    }
    engine.log_trim(log(0), Position(2)).await.unwrap();
    assert_eq!(read(&engine, log(5), 0).await, Vec::<u64>::new());
    assert_eq!(read(&engine, log(0), 0).await, (3..=4).collect::<Vec<_>>());
    let left = log_files(&engine).len();
    assert!(left < files.len() / 2, "{left} of {} files are left", files.len());

    engine.close().await.unwrap();
    drop(engine);
    let engine = open(home.path());
    assert_eq!(engine.commit(round(200)).await.unwrap()[5], Position(ROUNDS + 1));
    assert_eq!(read(&engine, log(5), 0).await, vec![ROUNDS + 1]);
    assert_eq!(read(&engine, log(0), 0).await, (3..=5).collect::<Vec<_>>());
    for each in 0..LOGS {
        engine.log_trim(log(each), Position(ROUNDS + 1)).await.unwrap();
    }
    // Whatever remains is at the first level, from which RocksDB drops no files; the next ones take them along.
    for i in 0..ROUNDS {
        let positions = engine.commit(round(i)).await.unwrap();
        for (append, position) in round(i).appends.into_iter().zip(positions) {
            engine.log_trim(append.log, position).await.unwrap();
        }
    }
    settled(&engine).await;
    assert!(log_files(&engine).len() <= 8, "{:?}", log_files(&engine));
}

/// Where flushes are slow, a file has records of several segments, which follow each other: no file lies among others' records.
#[tokio::test]
async fn files_of_log_records_do_not_overlap() {
    let home = tempfile::tempdir().unwrap();
    let options = RocksOptions {
        memtable_bytes: 2 << 20,
        background_bytes_per_second: 6 << 20,
        ..small()
    };
    let engine = RocksEngine::open(home.path(), options).unwrap();
    for i in 0..ROUNDS {
        engine.commit(round(i)).await.unwrap();
    }
    settled(&engine).await;
    let mut files = log_files(&engine);
    files.sort_unstable();
    // As many memtables as may wait make a file of four segments at most.
    assert!(files.len() >= 5, "{files:?}");
    let neighbours = || files.iter().zip(&files[1..]);
    assert!(neighbours().all(|(one, next)| one.1 <= next.0), "{files:?}");
    // Only a memtable that RocksDB ends by itself divides a segment.
    let divided = neighbours().filter(|(one, next)| one.1 == next.0).count();
    assert!(divided <= 2, "{files:?}");
}

/// The first and the last segment of each file of log records.
fn log_files(engine: &RocksEngine) -> Vec<(u64, u64)> {
    let segment = |key: &Option<Vec<u8>>| segment_of(key.as_ref().unwrap()).unwrap();
    let files = engine.shared.holder.now().unwrap().db().live_files().unwrap();
    let logs = files.iter().filter(|file| file.column_family_name == LOG);
    logs.map(|file| (segment(&file.start_key), segment(&file.end_key)))
        .collect()
}

/// Waits until nothing is flushed or compacted.
async fn settled(engine: &RocksEngine) {
    let store = engine.shared.holder.now().unwrap();
    let db = store.db();
    let busy = |name| db.property_int_value(name).unwrap().unwrap_or(0) > 0;
    let deadline = Instant::now() + Duration::from_secs(60);
    while busy(properties::NUM_RUNNING_COMPACTIONS)
        || busy(properties::NUM_RUNNING_FLUSHES)
        || busy(properties::COMPACTION_PENDING)
        || busy(properties::MEM_TABLE_FLUSH_PENDING)
    {
        assert!(Instant::now() < deadline, "still busy");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}
