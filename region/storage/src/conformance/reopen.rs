//! What is there after a restart.

use super::support::{LOG, all_rows, append, bytes, key, log_from, put, record};
use crate::{Commit, Engine, LogId, Position, Precondition, Snapshot, Write};

/// Acknowledged commits are there, whether the engine was closed or only dropped.
pub(super) async fn keeps<E: Engine>(open: impl Fn() -> E, close: bool) {
    let engine = open();
    for i in 0..100u8 {
        engine
            .commit(Commit::of([put(&key([i]), [i; 300])]).appending(append(LOG, [i])))
            .await
            .unwrap();
    }
    engine
        .commit(Commit::of([
            Write::DeleteRange(key([10]), key([90])),
            Write::Delete(key([5])),
        ]))
        .await
        .unwrap();
    if close {
        engine.close().await.unwrap();
    }
    drop(engine);

    let engine = open();
    let kept: Vec<u8> = (0..10).chain(90..100).filter(|i| *i != 5).collect();
    let expect: Vec<_> = kept.into_iter().map(|i| (key([i]), bytes([i; 300]))).collect();
    assert!(
        all_rows(&engine).await == expect,
        "acknowledged writes and deletes are there after a restart"
    );
    let records: Vec<_> = (0..100u8).map(|i| record(u64::from(i) + 1, [i])).collect();
    assert!(
        log_from(&engine, 0).await == records,
        "acknowledged records are there after a restart"
    );
    assert_eq!(
        engine.snapshot().log_end(LOG).await.unwrap(),
        Position(100),
        "a snapshot's log end after a restart"
    );
    let commit = Commit::of([put(&key("new"), "")])
        .given(Precondition::Absent(key([50])))
        .given(Precondition::Equals(key([1]), bytes([1; 300])))
        .appending(append(LOG, "new"));
    assert_eq!(
        engine.commit(commit).await.unwrap(),
        [Position(101)],
        "positions go on after a restart"
    );
}

/// The end of a log survives even if nothing is left of the log.
pub(super) async fn log_end_after_trim<E: Engine>(open: impl Fn() -> E) {
    let engine = open();
    for i in 0..10u8 {
        engine
            .commit(
                Commit::default()
                    .appending(append(LOG, [i]))
                    .appending(append(LogId(8), [i])),
            )
            .await
            .unwrap();
    }
    engine.log_trim(LOG, Position(10)).await.unwrap();
    engine.log_trim(LogId(8), Position(4)).await.unwrap();
    engine.close().await.unwrap();
    drop(engine);

    let engine = open();
    assert_eq!(
        engine.log_end(LOG).await.unwrap(),
        Position(10),
        "the end of an emptied log survives a restart"
    );
    assert_eq!(log_from(&engine, 0).await, [], "trimmed records don't come back");
    let left = engine.log_read(LogId(8), Position::START, 1, 1).await.unwrap();
    assert_eq!(
        left,
        [record(5, [4])],
        "records behind the trim are there after a restart"
    );
    let positions = engine
        .commit(Commit::default().appending(append(LOG, "next")))
        .await
        .unwrap();
    assert_eq!(
        positions,
        [Position(11)],
        "positions are not used again after a trim and a restart"
    );
}

pub(super) async fn many_times<E: Engine>(open: impl Fn() -> E) {
    for round in 1..=8u64 {
        let engine = open();
        assert_eq!(
            engine.log_end(LOG).await.unwrap(),
            Position(round - 1),
            "every restart keeps all"
        );
        engine
            .commit(Commit::of([put(&key("round"), round.to_be_bytes())]).appending(append(LOG, "x")))
            .await
            .unwrap();
        assert_eq!(
            engine.get(&key("round")).await.unwrap(),
            Some(bytes(round.to_be_bytes())),
            "the last write wins"
        );
        if round % 2 == 0 {
            engine.close().await.unwrap();
        }
    }
}
