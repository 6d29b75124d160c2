//! Commits: order, preconditions, atomicity, groups, limits, closing.

use std::sync::Arc;

use bytes::Bytes;

use super::support::{LOG, all_rows, append, bytes, everything, key, key_of, log_from, put, record};
use crate::{COMMIT_WRITES_MAX, Commit, Engine, KEY_BYTES_MAX, LogId, Position, Precondition, StorageError, Write};

/// A commit is handed over when `commit` is called, whichever future is awaited first.
pub(super) async fn order_of_calls<E: Engine>(engine: E) {
    let a = key("a");
    for round in 0..50u64 {
        let first = engine.commit(Commit::of([put(&a, "first")]).appending(append(LOG, "first")));
        let second = engine.commit(Commit::of([put(&a, "second")]).appending(append(LOG, "second")));
        let third = engine.commit(Commit::of([put(&a, "third")]).appending(append(LOG, "third")));
        assert_eq!(
            second.await.unwrap(),
            [Position(round * 3 + 2)],
            "commits are carried out in the order of the calls"
        );
        assert_eq!(
            third.await.unwrap(),
            [Position(round * 3 + 3)],
            "commits are carried out in the order of the calls"
        );
        assert_eq!(
            first.await.unwrap(),
            [Position(round * 3 + 1)],
            "commits are carried out in the order of the calls"
        );
        assert_eq!(
            engine.get(&a).await.unwrap(),
            Some(bytes("third")),
            "the last call wins"
        );
    }
}

/// Dropping the future does not take the commit back.
pub(super) async fn dropped_futures<E: Engine>(engine: E) {
    for i in 0..20u8 {
        drop(engine.commit(Commit::of([put(&key([i]), "kept")]).appending(append(LOG, [i]))));
    }
    engine.commit(Commit::of([put(&key("last"), "")])).await.unwrap();
    assert_eq!(
        all_rows(&engine).await.len(),
        21,
        "a commit is carried out though its future was dropped"
    );
    let records: Vec<_> = (0..20u8).map(|i| record(u64::from(i) + 1, [i])).collect();
    assert_eq!(
        log_from(&engine, 0).await,
        records,
        "records of dropped futures are there, in order"
    );
}

pub(super) async fn preconditions<E: Engine>(engine: E) {
    let (a, b) = (key("a"), key("b"));
    let refused = |result: Result<Vec<Position>, StorageError>, index: usize| match result {
        Err(StorageError::Precondition(at)) => assert_eq!(at, index, "the precondition that does not hold is named"),
        other => panic!("a precondition that does not hold refuses the commit: {other:?}"),
    };
    engine
        .commit(Commit::of([put(&a, "1")]).given(Precondition::Absent(a.clone())))
        .await
        .unwrap();
    refused(
        engine
            .commit(Commit::of([put(&a, "2")]).given(Precondition::Absent(a.clone())))
            .await,
        0,
    );
    let commit = Commit::of([put(&b, "2"), Write::DeleteRange(a.clone(), b.clone())])
        .appending(append(LOG, "no"))
        .given(Precondition::Equals(a.clone(), bytes("1")))
        .given(Precondition::Equals(a.clone(), bytes("other")));
    refused(engine.commit(commit).await, 1);
    refused(
        engine
            .commit(Commit::of([put(&b, "2")]).given(Precondition::Equals(b.clone(), bytes(""))))
            .await,
        0,
    );
    assert_eq!(
        all_rows(&engine).await,
        [(a.clone(), bytes("1"))],
        "a refused commit writes nothing"
    );
    assert_eq!(
        engine.log_end(LOG).await.unwrap(),
        Position::START,
        "a refused commit appends nothing"
    );
    let commit = Commit::of([put(&a, "2")])
        .given(Precondition::Equals(a.clone(), bytes("1")))
        .given(Precondition::Absent(b))
        .appending(append(LOG, "yes"));
    assert_eq!(
        engine.commit(commit).await.unwrap(),
        [Position(1)],
        "positions have no gap from refused commits"
    );
    // Preconditions alone are a commit, too.
    engine
        .commit(Commit::default().given(Precondition::Equals(a.clone(), bytes("2"))))
        .await
        .unwrap();
    refused(engine.commit(Commit::default().given(Precondition::Absent(a))).await, 0);
}

/// Preconditions see the commits handed over just before, which an engine may write in the same batch.
pub(super) async fn preconditions_in_a_batch<E: Engine>(engine: E) {
    for round in 0..50u8 {
        let (a, b) = (key([round, 0]), key([round, 1]));
        let expect = [true, false, true, false, true, true, false, true, true];
        let commits = [
            Commit::of([put(&a, "1")]).given(Precondition::Absent(a.clone())),
            Commit::of([put(&a, "2"), put(&b, "")]).given(Precondition::Absent(a.clone())),
            Commit::of([Write::Delete(a.clone())]).given(Precondition::Equals(a.clone(), bytes("1"))),
            Commit::of([put(&a, "3")]).given(Precondition::Equals(a.clone(), bytes("1"))),
            Commit::of([put(&a, "4"), put(&b, "4")]).given(Precondition::Absent(b.clone())),
            Commit::of([Write::DeleteRange(key([round]), key([round, 1])), put(&b, "5")])
                .given(Precondition::Equals(a.clone(), bytes("4"))),
            Commit::of([put(&a, "6")]).given(Precondition::Equals(b.clone(), bytes("4"))),
            Commit::of([put(&a, "7")]).given(Precondition::Absent(a.clone())),
            Commit::of([Write::DeleteRange(key([round]), key([round + 1]))])
                .given(Precondition::Equals(a.clone(), bytes("7")))
                .given(Precondition::Equals(b.clone(), bytes("5"))),
        ];
        let futures: Vec<_> = commits.into_iter().map(|commit| engine.commit(commit)).collect();
        for (index, (future, expect)) in futures.into_iter().zip(expect).enumerate() {
            match future.await {
                Ok(_) if expect => {}
                Err(StorageError::Precondition(0)) if !expect => {}
                other => panic!("preconditions see the commits before, round {round} commit {index}: {other:?}"),
            }
        }
        assert_eq!(
            engine.get_many(&[a, b]).await.unwrap(),
            [None, None],
            "the last commit of a round removes both"
        );
    }
}

/// Sixteen writers count one number up; none of their steps gets lost.
pub(super) async fn compare_and_swap<E: Engine>(engine: E) {
    const WRITERS: u64 = 16;
    const STEPS: u64 = 20;
    let engine = Arc::new(engine);
    let counter = key("counter");
    engine
        .commit(Commit::of([put(&counter, 0u64.to_be_bytes())]))
        .await
        .unwrap();
    let writer = |engine: Arc<E>, counter: Bytes| async move {
        for _ in 0..STEPS {
            loop {
                let now = engine.get(&counter).await.unwrap().unwrap();
                let next = u64::from_be_bytes(now.as_ref().try_into().unwrap()) + 1;
                let commit = Commit::of([put(&counter, next.to_be_bytes())])
                    .given(Precondition::Equals(counter.clone(), now))
                    .appending(append(LOG, next.to_be_bytes()));
                match engine.commit(commit).await {
                    Ok(positions) => {
                        assert_eq!(
                            positions,
                            [Position(next)],
                            "a compare and swap that held is the next in order"
                        );
                        break;
                    }
                    Err(StorageError::Precondition(0)) => {}
                    Err(other) => panic!("compare and swap: {other}"),
                }
            }
        }
    };
    let writers: Vec<_> = (0..WRITERS)
        .map(|_| tokio::spawn(writer(engine.clone(), counter.clone())))
        .collect();
    for writer in writers {
        writer.await.unwrap();
    }
    let total = engine.get(&counter).await.unwrap();
    assert_eq!(
        total,
        Some(bytes((WRITERS * STEPS).to_be_bytes())),
        "no compare and swap gets lost"
    );
}

/// Readers never see one half of a commit.
pub(super) async fn atomic<E: Engine>(engine: E) {
    const COMMITS: u64 = 300;
    let engine = Arc::new(engine);
    let keys = [key("a"), key("b"), key("c")];
    engine
        .commit(Commit::of(
            keys.iter().map(|key| put(key, 0u64.to_be_bytes())).collect::<Vec<_>>(),
        ))
        .await
        .unwrap();
    let writer = tokio::spawn({
        let (engine, keys) = (engine.clone(), keys.clone());
        async move {
            for count in 1..=COMMITS {
                let puts: Vec<_> = keys.iter().map(|key| put(key, count.to_be_bytes())).collect();
                engine.commit(Commit::of(puts)).await.unwrap();
            }
        }
    });
    let mut rounds = 0u64;
    while !writer.is_finished() || rounds == 0 {
        let values = engine.get_many(&keys).await.unwrap();
        assert!(
            values.iter().all(|value| value == &values[0] && value.is_some()),
            "get_many saw half of a commit: {values:?}"
        );
        let rows = engine.scan(everything()).await.unwrap().rows;
        assert!(
            rows.len() == 3 && rows.iter().all(|row| row.1 == rows[0].1),
            "a scan saw half of a commit: {rows:?}"
        );
        rounds += 1;
        tokio::task::yield_now().await;
    }
    writer.await.unwrap();
}

pub(super) async fn groups<E: Engine>(engine: E) {
    let (here, there) = (key_of(1, 1, "a"), key_of(1, 2, "a"));
    let other_space = {
        let mut key = here.to_vec();
        key[0] = 9;
        Bytes::from(key)
    };
    assert_eq!(
        engine.group_of(&here),
        engine.group_of(&other_space),
        "the space is not part of the group"
    );
    assert_ne!(
        engine.group_of(&here),
        engine.group_of(&there),
        "the route is part of the group"
    );
    assert_ne!(
        engine.group_of(&here),
        engine.group_of(&key_of(2, 1, "a")),
        "the owner is part of the group"
    );

    // Whatever the engine: one group in several spaces, with several logs.
    let commit = Commit::of([put(&here, "1"), put(&other_space, "1")])
        .given(Precondition::Absent(other_space.clone()))
        .appending(append(LogId(1), "1"))
        .appending(append(LogId(2), "1"));
    assert_eq!(
        engine.commit(commit).await.unwrap(),
        [Position(1), Position(1)],
        "one group, several spaces and logs"
    );
    // A whole group's range ends where the next group begins.
    let whole = Commit::of([Write::DeleteRange(key_of(1, 5, ""), key_of(1, 6, ""))]);
    engine.commit(whole).await.unwrap();

    let spanning = [
        Commit::of([put(&here, "2"), put(&there, "2")]),
        Commit::of([put(&here, "2")]).given(Precondition::Absent(key_of(1, 9, "never put"))),
        Commit::of([Write::Delete(here.clone()), Write::Delete(key_of(2, 1, "a"))]),
        Commit::of([Write::DeleteRange(key_of(1, 3, ""), key_of(1, 5, ""))]),
    ];
    for commit in spanning {
        let result = engine.commit(commit).await;
        match (engine.spans_groups(), result) {
            (true, Ok(_)) | (false, Err(StorageError::SpansGroups)) => {}
            (spans, result) => panic!("spans_groups is {spans}, but a commit of two groups gave {result:?}"),
        }
    }
    let left = if engine.spans_groups() { None } else { Some(bytes("1")) };
    assert_eq!(
        engine.get(&here).await.unwrap(),
        left,
        "a commit of two groups is whole or refused whole"
    );
}

pub(super) async fn limits<E: Engine>(engine: E) {
    let too_large = |result: Result<Vec<Position>, StorageError>| {
        assert!(
            matches!(result, Err(StorageError::TooLarge(_))),
            "what passes a limit is refused as too large: {result:?}"
        );
    };
    let fits = key(vec![b'k'; KEY_BYTES_MAX - crate::KEY_HEAD]);
    let too_long = key(vec![b'k'; KEY_BYTES_MAX - crate::KEY_HEAD + 1]);
    engine
        .commit(Commit::of([
            put(&fits, "fits"),
            Write::DeleteRange(key("a"), fits.clone()),
        ]))
        .await
        .unwrap();
    assert_eq!(
        engine.get(&fits).await.unwrap(),
        Some(bytes("fits")),
        "a key of the greatest length is a key"
    );
    let small = key("a");
    too_large(engine.commit(Commit::of([put(&small, ""), put(&too_long, "")])).await);
    too_large(
        engine
            .commit(Commit::of([put(&small, ""), Write::Delete(too_long.clone())]))
            .await,
    );
    too_large(
        engine
            .commit(Commit::of([
                put(&small, ""),
                Write::DeleteRange(small.clone(), too_long.clone()),
            ]))
            .await,
    );
    too_large(
        engine
            .commit(Commit::of([put(&small, "")]).given(Precondition::Absent(too_long)))
            .await,
    );

    let many = |count: usize| vec![put(&key("many"), "x"); count];
    engine.commit(Commit::of(many(COMMIT_WRITES_MAX))).await.unwrap();
    too_large(
        engine
            .commit(Commit::of([many(COMMIT_WRITES_MAX), vec![put(&small, "")]].concat()))
            .await,
    );

    let bytes_max = engine.commit_bytes_max();
    let big = |bytes: usize| Commit::of([Write::Put(small.clone(), Bytes::from(vec![7; bytes - small.len()]))]);
    too_large(engine.commit(big(bytes_max + 1)).await);
    too_large(engine.commit(big(bytes_max).appending(append(LOG, "x"))).await);
    assert_eq!(
        engine.get(&small).await.unwrap(),
        None,
        "a commit that is too large writes nothing"
    );
    assert_eq!(
        engine.log_end(LOG).await.unwrap(),
        Position::START,
        "a commit that is too large appends nothing"
    );
    engine.commit(big(bytes_max)).await.unwrap();
    let length = engine.get(&small).await.unwrap().unwrap().len();
    assert_eq!(
        length,
        bytes_max - small.len(),
        "a commit of the greatest size is a commit"
    );
}

pub(super) async fn close<E: Engine>(engine: E) {
    let a = key("a");
    let before = engine.commit(Commit::of([put(&a, "1")]));
    engine.close().await.unwrap();
    before.await.unwrap();
    let closed = |what: &str, error: Option<StorageError>| {
        assert!(
            matches!(error, Some(StorageError::Closed)),
            "{what} of a closed engine gives Closed: {error:?}"
        );
    };
    closed("get", engine.get(&a).await.err());
    closed("get_many", engine.get_many(std::slice::from_ref(&a)).await.err());
    closed("scan", engine.scan(everything()).await.err());
    closed("commit", engine.commit(Commit::of([put(&a, "2")])).await.err());
    closed("log_read", engine.log_read(LOG, Position::START, 1, 1).await.err());
    closed("log_end", engine.log_end(LOG).await.err());
    closed("log_trim", engine.log_trim(LOG, Position(1)).await.err());
}
