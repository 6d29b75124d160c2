//! Snapshots.

use std::{collections::BTreeSet, sync::Arc};

use super::support::{LOG, all_rows_of, append, bytes, everything, key, log_from, put};
use crate::{Commit, Direction, Engine, LogId, Position, Scan, Snapshot, Write};

pub(super) async fn isolation<E: Engine>(engine: E) {
    let (a, b, c) = (key("a"), key("b"), key("c"));
    let empty = engine.snapshot();
    engine
        .commit(Commit::of([put(&a, "1"), put(&b, "1")]).appending(append(LOG, "1")))
        .await
        .unwrap();
    let first = engine.snapshot();
    let writes = [put(&a, "2"), Write::Delete(b.clone()), put(&c, "2")];
    engine
        .commit(Commit::of(writes).appending(append(LOG, "2")))
        .await
        .unwrap();
    let second = engine.snapshot();
    engine
        .commit(Commit::of([Write::DeleteRange(key(""), key("z"))]).appending(append(LOG, "3")))
        .await
        .unwrap();
    engine.log_trim(LOG, Position(3)).await.unwrap();

    let of = |rows: &[(&bytes::Bytes, &str)]| rows.iter().map(|(k, v)| ((*k).clone(), bytes(v))).collect::<Vec<_>>();
    assert_eq!(all_rows_of(&empty).await, [], "a snapshot does not see later commits");
    assert_eq!(
        all_rows_of(&first).await,
        of(&[(&a, "1"), (&b, "1")]),
        "a snapshot does not see later commits"
    );
    assert_eq!(
        all_rows_of(&second).await,
        of(&[(&a, "2"), (&c, "2")]),
        "a snapshot does not see later deletions"
    );
    assert_eq!(first.get(&a).await.unwrap(), Some(bytes("1")), "a snapshot's get");
    assert_eq!(second.get(&b).await.unwrap(), None, "a snapshot's get of a deleted key");
    let reverse = Scan {
        direction: Direction::Reverse,
        rows_max: 1,
        ..everything()
    };
    let page = second.scan(reverse).await.unwrap();
    assert_eq!(
        (page.rows, page.more),
        (of(&[(&c, "2")]), true),
        "a snapshot's scan keeps limits and direction"
    );
    for (snapshot, end) in [(&empty, 0), (&first, 1), (&second, 2)] {
        assert_eq!(
            snapshot.log_end(LOG).await.unwrap(),
            Position(end),
            "a snapshot's log end does not move"
        );
        assert_eq!(
            snapshot.log_end(LogId(99)).await.unwrap(),
            Position::START,
            "a snapshot's end of an unused log"
        );
    }
}

/// While writers commit, each snapshot holds exactly the rows that the records up to its log end tell of.
pub(super) async fn log_end_is_exact<E: Engine>(engine: E) {
    const WRITERS: u32 = 8;
    const COMMITS: u32 = 80;
    let engine = Arc::new(engine);
    let writer = |engine: Arc<E>, writer: u32| async move {
        for count in 0..COMMITS {
            // The record is the row's key.
            let row = key([writer.to_be_bytes(), count.to_be_bytes()].concat());
            engine
                .commit(Commit::of([put(&row, "")]).appending(append(LOG, &row)))
                .await
                .unwrap();
        }
    };
    let writers: Vec<_> = (0..WRITERS)
        .map(|number| tokio::spawn(writer(engine.clone(), number)))
        .collect();
    loop {
        let done = writers.iter().all(tokio::task::JoinHandle::is_finished);
        let snapshot = engine.snapshot();
        // Let the engine go on, so a snapshot that looks at the present is found out.
        let taken = engine.log_end(LOG).await.unwrap();
        while engine.log_end(LOG).await.unwrap() == taken && !writers.iter().all(tokio::task::JoinHandle::is_finished) {
            tokio::task::yield_now().await;
        }
        let end = snapshot.log_end(LOG).await.unwrap();
        assert!(
            end <= taken,
            "a snapshot's log end is not behind the moment it was taken at"
        );
        let mut records = log_from(&*engine, 0).await;
        records.truncate(end.0 as usize);
        let told: BTreeSet<_> = records.into_iter().map(|record| record.record).collect();
        let held: BTreeSet<_> = all_rows_of(&snapshot).await.into_iter().map(|row| row.0).collect();
        assert!(
            told == held,
            "a snapshot holds what the records up to its log end {end:?} tell of: {} rows only told, {} only held",
            told.difference(&held).count(),
            held.difference(&told).count()
        );
        if done {
            assert_eq!(end, Position(u64::from(WRITERS * COMMITS)), "the last snapshot has all");
            break;
        }
    }
    for writer in writers {
        writer.await.unwrap();
    }
}
