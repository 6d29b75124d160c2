use bytes::Bytes;

use super::*;
use crate::{Append, Precondition, Write, key_head};

const LOG: LogId = LogId(1);

fn put(text: &'static str) -> Commit {
    let mut key = key_head(1, 1, 1, text.len());
    key.extend_from_slice(text.as_bytes());
    let value = Bytes::from_static(text.as_bytes());
    Commit {
        preconditions: vec![Precondition::Absent(key.clone().into())],
        writes: vec![Write::Put(key.into(), value.clone())],
        appends: vec![Append {
            log: LOG,
            record: value,
        }],
        makes_room: false,
    }
}

async fn values(engine: &MemoryEngine) -> Vec<Bytes> {
    let all = Scan {
        from: std::ops::Bound::Unbounded,
        to: std::ops::Bound::Unbounded,
        direction: crate::Direction::Forward,
        rows_max: usize::MAX,
        bytes_max: usize::MAX,
        once: false,
    };
    let rows: Vec<Bytes> = engine
        .scan(all)
        .await
        .unwrap()
        .rows
        .into_iter()
        .map(|row| row.1)
        .collect();
    let records = engine
        .log_read(LOG, Position::START, usize::MAX, usize::MAX)
        .await
        .unwrap();
    let records: Vec<Bytes> = records.into_iter().map(|record| record.record).collect();
    assert_eq!(engine.log_end(LOG).await.unwrap().0, records.len() as u64);
    let mut sorted = records;
    sorted.sort();
    assert_eq!(rows, sorted, "rows and records are visible together");
    rows
}

#[tokio::test]
async fn nothing_is_visible_before_it_is_synced() {
    let engine = MemoryEngine::stepped(Spanning::Yes);
    let activity = engine.log_activity();
    let mut first = Box::pin(engine.commit(put("a")));
    let second = engine.commit(put("b"));
    let refused = engine.commit(put("a"));
    assert_eq!(engine.unsynced(), 3);
    assert_eq!(values(&engine).await, [""; 0]);
    assert!(!activity.has_changed().unwrap(), "nobody is told before it is durable");
    tokio::select! {
        biased;
        answer = &mut first => panic!("answered before it was synced: {answer:?}"),
        () = std::future::ready(()) => {}
    }

    assert_eq!(engine.sync_first(1), 1);
    assert_eq!(first.await.unwrap(), [Position(1)]);
    assert_eq!(values(&engine).await, ["a"]);
    assert!(activity.has_changed().unwrap());

    assert_eq!(engine.sync(), 2);
    assert_eq!(second.await.unwrap(), [Position(2)]);
    assert!(
        matches!(refused.await, Err(StorageError::Precondition(0))),
        "preconditions are checked in order"
    );
    assert_eq!(values(&engine).await, ["a", "b"]);
}

#[tokio::test]
async fn a_crash_keeps_what_was_synced() {
    let engine = MemoryEngine::stepped(Spanning::No);
    let kept = engine.commit(put("kept"));
    engine.sync();
    kept.await.unwrap();
    let lost = engine.commit(put("lost"));

    let after = engine.crash();
    assert!(
        matches!(lost.await, Err(StorageError::Closed)),
        "a lost commit is not acknowledged"
    );
    assert!(
        matches!(engine.get(b"").await, Err(StorageError::Closed)),
        "the crashed engine is closed"
    );
    assert!(matches!(engine.snapshot().get(b"").await, Err(StorageError::Closed)));
    assert_eq!(engine.sync(), 0);
    assert_eq!(values(&after).await, ["kept"]);
    assert!(!after.spans_groups(), "the mode is kept");

    let next = after.commit(put("next"));
    assert_eq!(after.unsynced(), 1, "the stepped mode is kept");
    after.close().await.unwrap();
    assert_eq!(next.await.unwrap(), [Position(2)], "closing syncs, and positions go on");
}

#[tokio::test]
async fn writes_are_refused_and_taken_again() {
    let engine = MemoryEngine::new(Spanning::Yes);
    let health = engine.health();
    engine.commit(put("before")).await.unwrap();
    for trouble in Trouble::ALL {
        engine.refuse_writes(Some(trouble));
        assert_eq!(health.borrow().trouble(), Some(trouble));
        match engine.commit(put("refused")).await {
            Err(StorageError::Unwritable(told)) => assert_eq!(told, trouble),
            other => panic!("{other:?}"),
        }
        assert_eq!(values(&engine).await, ["before"], "reads go on");
    }
    engine.refuse_writes(Some(Trouble::NoRoom));
    let small = Commit {
        makes_room: true,
        ..put("small")
    };
    assert_eq!(engine.commit(small).await.unwrap(), [Position(2)], "it makes room");
    engine.refuse_writes(None);
    assert_eq!(*health.borrow(), Health::Open);
    assert_eq!(
        engine.commit(put("after")).await.unwrap(),
        [Position(3)],
        "what was refused has left no gap"
    );
    assert_eq!(values(&engine.crash()).await, ["after", "before", "small"]);
}

#[tokio::test]
async fn one_group_is_told_from_several() {
    let check = |from: &[u8], to: &[u8], expect: bool| {
        let commit = Commit {
            writes: vec![Write::DeleteRange(
                Bytes::copy_from_slice(from),
                Bytes::copy_from_slice(to),
            )],
            ..Commit::default()
        };
        assert_eq!(commit.in_one_group(), expect, "{from:?}..{to:?}");
    };
    let head = |space: u8, owner: u64, route: u64| key_head(space, owner, route, 0);
    let with = |mut head: Vec<u8>, rest: &[u8]| {
        head.extend_from_slice(rest);
        head
    };
    check(&head(1, 1, 1), &with(head(1, 1, 1), b"z"), true);
    check(&head(1, 1, 1), &head(1, 1, 2), true);
    check(&with(head(1, 1, 1), b"a"), &head(1, 1, 2), true);
    check(&head(1, 1, 1), &with(head(1, 1, 2), &[0]), false);
    check(&head(1, 1, 1), &head(1, 1, 3), false);
    check(&head(1, 1, 1), &head(1, 2, 1), false);
    check(&head(1, 1, u64::MAX), &head(1, 2, 0), true);
    check(&head(1, 1, u64::MAX), &head(1, 2, 0)[..9], true);
    check(&head(1, u64::MAX, u64::MAX), &[2], true);
    check(&head(1, u64::MAX, u64::MAX), &[3], false);
    check(&head(1, 1, 1), &head(2, 1, 1), false);
    check(&head(1, 1, 5), &head(1, 1, 1), true); // Empty: removes nothing.
}
