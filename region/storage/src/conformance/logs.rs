//! Change logs.

use std::{sync::Arc, time::Duration};

use super::support::{LOG, append, bytes, key, log_from, put, record};
use crate::{Commit, Engine, LogId, LogRecord, Position};

pub(super) async fn positions<E: Engine>(engine: E) {
    const OTHERS: [LogId; 3] = [LogId(0), LogId(8), LogId(u64::MAX)];
    assert_eq!(
        engine.log_end(LOG).await.unwrap(),
        Position::START,
        "an empty log ends at its start"
    );
    assert_eq!(log_from(&engine, 0).await, [], "an empty log has no records");
    let commit = Commit::default()
        .appending(append(LOG, "1"))
        .appending(append(LOG, ""))
        .appending(append(LOG, "3"));
    let positions = engine.commit(commit).await.unwrap();
    assert_eq!(
        positions,
        [Position(1), Position(2), Position(3)],
        "positions begin at one and are dense"
    );

    for other in OTHERS {
        assert_eq!(engine.log_end(other).await.unwrap(), Position::START, "logs are apart");
        let commit = Commit::default()
            .appending(append(other, "o"))
            .appending(append(LOG, format!("{other:?}")));
        assert_eq!(
            engine.commit(commit).await.unwrap()[0],
            Position(1),
            "each log has its own positions"
        );
        let records = engine
            .log_read(other, Position::START, usize::MAX, usize::MAX)
            .await
            .unwrap();
        assert_eq!(records, [record(1, "o")], "a log's records are its own");
    }
    assert_eq!(
        engine.log_end(LOG).await.unwrap(),
        Position(6),
        "the end is the last position"
    );
    let texts = ["1", "", "3", "LogId(0)", "LogId(8)", "LogId(18446744073709551615)"];
    let all: Vec<_> = (1..)
        .zip(texts)
        .map(|(position, text)| record(position, text))
        .collect();
    for after in 0..=7 {
        assert_eq!(
            log_from(&engine, after).await,
            all[6.min(after as usize)..],
            "records behind {after}"
        );
    }
    assert_eq!(
        log_from(&engine, u64::MAX).await,
        [],
        "nothing is behind the last position there can be"
    );
}

pub(super) async fn read_limits<E: Engine>(engine: E) {
    let mut commit = Commit::default();
    for i in 0..10u8 {
        commit.appends.push(append(LOG, [i; 100]));
    }
    engine.commit(commit).await.unwrap();
    let check = async |after: u64, rows_max: usize, bytes_max: usize, expect: std::ops::RangeInclusive<u64>| {
        let records = engine
            .log_read(LOG, Position(after), rows_max, bytes_max)
            .await
            .unwrap();
        let expected: Vec<_> = expect
            .map(|position| record(position, [position as u8 - 1; 100]))
            .collect();
        assert_eq!(
            records, expected,
            "records behind {after}, at most {rows_max} and about {bytes_max} bytes"
        );
    };
    check(0, 3, usize::MAX, 1..=3).await;
    check(4, 3, usize::MAX, 5..=7).await;
    check(8, 3, usize::MAX, 9..=10).await;
    check(0, 0, usize::MAX, 1..=1).await;
    check(0, usize::MAX, 0, 1..=1).await;
    // "About": the record that reaches the limit may be in or out by an engine's own overhead; here it is far away.
    let records = engine.log_read(LOG, Position::START, usize::MAX, 350).await.unwrap();
    assert!(
        (3..=4).contains(&records.len()),
        "about 350 bytes of records of 100: {}",
        records.len()
    );
}

/// A reader follows a log that sixteen writers append to: what it has seen, in the order it saw it, is the log.
pub(super) async fn nothing_behind_a_reader<E: Engine>(engine: E) {
    const WRITERS: u64 = 16;
    const COMMITS: u64 = 60;
    const TOTAL: usize = (WRITERS * COMMITS * 3 / 2) as usize;
    let engine = Arc::new(engine);
    let writer = |engine: Arc<E>, writer: u64| async move {
        let mut own = Vec::new();
        for count in 0..COMMITS {
            let mut commit = Commit::of([put(&key(writer.to_be_bytes()), count.to_be_bytes())]);
            for part in 0..=(count % 2) {
                commit = commit.appending(append(LOG, format!("{writer}/{count}/{part}")));
            }
            let records: Vec<_> = commit.appends.iter().map(|append| append.record.clone()).collect();
            let positions = engine.commit(commit).await.unwrap();
            assert_eq!(positions.len(), records.len(), "each append gets its position");
            own.extend(
                positions
                    .into_iter()
                    .zip(records)
                    .map(|(position, record)| LogRecord { position, record }),
            );
        }
        own
    };
    let reader = |engine: Arc<E>| async move {
        let mut seen: Vec<LogRecord> = Vec::new();
        while seen.len() < TOTAL {
            let after = seen.last().map_or(Position::START, |last| last.position);
            let rows_max = 1 + seen.len() % 7;
            for record in engine.log_read(LOG, after, rows_max, usize::MAX).await.unwrap() {
                let next = seen.last().map_or(1, |last| last.position.0 + 1);
                assert_eq!(record.position.0, next, "positions that a reader sees have no gap");
                seen.push(record);
            }
            let end = engine.log_end(LOG).await.unwrap();
            assert!(end.0 >= seen.len() as u64, "the end is not before what a reader saw");
            tokio::task::yield_now().await;
        }
        seen
    };
    let readers: Vec<_> = (0..2).map(|_| tokio::spawn(reader(engine.clone()))).collect();
    let writers: Vec<_> = (0..WRITERS)
        .map(|number| tokio::spawn(writer(engine.clone(), number)))
        .collect();
    let mut written = Vec::new();
    for writer in writers {
        let own = writer.await.unwrap();
        assert!(
            own.is_sorted_by_key(|record| record.position),
            "a writer's own commits are in its order"
        );
        written.extend(own);
    }
    written.sort_by_key(|record| record.position);
    for reader in readers {
        assert!(
            reader.await.unwrap() == written,
            "what a reader saw is what was appended, where the commits said"
        );
    }
    assert!(log_from(&*engine, 0).await == written, "the log is what was appended");
}

/// A record and the row it tells of become visible together.
pub(super) async fn record_and_row_together<E: Engine>(engine: E) {
    const COMMITS: u64 = 300;
    let engine = Arc::new(engine);
    let row = key("count");
    let writer = tokio::spawn({
        let (engine, row) = (engine.clone(), row.clone());
        async move {
            for count in 1..=COMMITS {
                let commit = Commit::of([put(&row, count.to_be_bytes())]).appending(append(LOG, count.to_be_bytes()));
                engine.commit(commit).await.unwrap();
            }
        }
    });
    let count = async || match engine.get(&row).await.unwrap() {
        Some(count) => u64::from_be_bytes(count.as_ref().try_into().unwrap()),
        None => 0,
    };
    loop {
        let last = writer.is_finished();
        let end = engine.log_end(LOG).await.unwrap().0;
        let row = count().await;
        let recorded = end + log_from(&*engine, end).await.len() as u64;
        assert!(row >= end, "a record was visible before its row: {end} and {row}");
        assert!(
            recorded >= row,
            "a row was visible before its record: {row} and {recorded}"
        );
        if last {
            break;
        }
        tokio::task::yield_now().await;
    }
    writer.await.unwrap();
}

pub(super) async fn trim<E: Engine>(engine: E) {
    let append_five = async |first: u64| {
        let commit = (first..first + 5).fold(Commit::default(), |c, position| {
            c.appending(append(LOG, position.to_string()))
        });
        let positions = engine.commit(commit).await.unwrap();
        assert_eq!(
            positions[0],
            Position(first),
            "positions are not used again after a trim"
        );
    };
    let check = async |after: u64, first: u64, end: u64| {
        let expect: Vec<_> = (first..=end)
            .map(|position| record(position, position.to_string()))
            .collect();
        assert_eq!(
            log_from(&engine, after).await,
            expect,
            "records behind {after} after a trim"
        );
        assert_eq!(
            engine.log_end(LOG).await.unwrap(),
            Position(end),
            "a trim does not move the end"
        );
    };
    engine.log_trim(LOG, Position(9)).await.unwrap();
    engine
        .commit(Commit::default().appending(append(LogId(8), "other")))
        .await
        .unwrap();
    append_five(1).await;
    check(0, 1, 5).await;
    engine.log_trim(LOG, Position(2)).await.unwrap();
    check(0, 3, 5).await;
    check(3, 4, 5).await;
    engine.log_trim(LOG, Position(1)).await.unwrap();
    check(0, 3, 5).await;
    engine.log_trim(LOG, Position(5)).await.unwrap();
    check(0, 6, 5).await;
    append_five(6).await;
    check(0, 6, 10).await;
    // A trim beyond the end takes what is there and nothing of what comes.
    engine.log_trim(LOG, Position(u64::MAX)).await.unwrap();
    check(0, 11, 10).await;
    append_five(11).await;
    check(0, 11, 15).await;
    let other = engine.log_read(LogId(8), Position::START, 9, 99).await.unwrap();
    assert_eq!(other, [record(1, "other")], "a trim of one log leaves the others");
}

/// A log is read and trimmed behind the reader while writers append.
pub(super) async fn trim_under_appends<E: Engine>(engine: E) {
    const COMMITS: u64 = 400;
    let engine = Arc::new(engine);
    let writer = tokio::spawn({
        let engine = engine.clone();
        async move {
            for count in 1..=COMMITS {
                let positions = engine
                    .commit(Commit::default().appending(append(LOG, count.to_be_bytes())))
                    .await
                    .unwrap();
                assert_eq!(positions, [Position(count)], "trims don't disturb positions");
            }
        }
    });
    let mut seen = 0;
    while seen < COMMITS {
        for record in engine.log_read(LOG, Position::START, 10, usize::MAX).await.unwrap() {
            seen += 1;
            assert_eq!(
                record.position,
                Position(seen),
                "a reader that trims behind itself misses nothing"
            );
            assert_eq!(record.record, bytes(seen.to_be_bytes()), "a record is at its position");
        }
        engine.log_trim(LOG, Position(seen)).await.unwrap();
    }
    writer.await.unwrap();
    assert_eq!(log_from(&*engine, 0).await, [], "all is trimmed");
    assert_eq!(
        engine.log_end(LOG).await.unwrap(),
        Position(COMMITS),
        "the end is still known"
    );
}

pub(super) async fn activity<E: Engine>(engine: E) {
    let engine = Arc::new(engine);
    let mut activity = engine.log_activity();
    for count in 1..=50u64 {
        activity.mark_unchanged();
        let commit = engine.commit(Commit::default().appending(append(LOG, count.to_be_bytes())));
        let changed = tokio::time::timeout(Duration::from_secs(30), activity.changed()).await;
        assert!(
            matches!(changed, Ok(Ok(()))),
            "a commit with appends is told of: {changed:?}"
        );
        assert_eq!(
            engine.log_end(LOG).await.unwrap(),
            Position(count),
            "what is told of is there"
        );
        commit.await.unwrap();
    }
}
