//! Restarts: what a crash leaves is what there was.

use geodynamo_replicator_core::Stamp;
use geodynamo_storage::{Engine, MemoryEngine, Spanning, StorageError, Trouble};
use geodynamo_table::{TableError, Tables};

use crate::support::{MODES, NOW, Region, Time, definition, get, key, n, options, put, s, with};

#[tokio::test]
async fn a_restarted_region_has_its_items_and_goes_on_with_greater_stamps() {
    for mode in MODES {
        let time = Time::at(NOW);
        let first = Tables::open(MemoryEngine::new(mode), options("a", &["a", "b"], &time))
            .await
            .unwrap();
        first.catalog().create_table(definition("t")).await.unwrap();
        for number in 0..30 {
            put(&first, "t", with(key("k", number), "g", s("g"))).await;
        }
        let table = first.table("t").unwrap();
        first
            .writes()
            .delete(&table, &key("k", 0), Default::default())
            .await
            .unwrap();
        let (digest, shown) = (first.reads().digest("t").await.unwrap(), first.describe("t").unwrap());
        let greatest = stamps(&first).await.into_iter().max().unwrap();

        // The clock has stepped back an hour, and the id offered for a fresh directory is another one.
        time.set(NOW - 3_600_000);
        let mut later = options("a", &["a", "b"], &time);
        later.new_replica.0 += 1;
        let engine = first.engine().crash();
        let second = Tables::open(engine, later).await.unwrap();
        assert_eq!(second.replica(), first.replica());
        assert_eq!(second.reads().digest("t").await.unwrap(), digest);
        assert_eq!(get(&second, "t", &key("k", 0)).await, None);
        let all = async {
            while second.describe("t").unwrap() != shown {
                tokio::task::yield_now().await;
            }
        };
        let waited = tokio::time::timeout(std::time::Duration::from_secs(20), all).await;
        waited.expect("the items are counted again");

        put(&second, "t", with(key("new", 1), "x", n(1))).await;
        let again = stamps(&second).await;
        assert!(again.iter().filter(|stamp| **stamp > greatest).count() == 1, "{mode:?}");
        // And the logs go on behind what they had.
        assert_eq!(again.len(), 32);
    }
}

#[tokio::test]
async fn a_write_that_a_crash_swallows_was_never_acknowledged() {
    let time = Time::at(NOW);
    let engine = MemoryEngine::stepped(Spanning::Yes);
    let opening = Tables::open(engine, options("a", &["a"], &time));
    // Nothing is durable, so the replica's id is not either: opening must not end.
    let waited = tokio::time::timeout(std::time::Duration::from_millis(50), opening).await;
    assert!(waited.is_err());

    let tables = Tables::open(MemoryEngine::new(Spanning::Yes), options("a", &["a"], &time))
        .await
        .unwrap();
    tables.catalog().create_table(definition("t")).await.unwrap();
    put(&tables, "t", key("k", 1)).await;
    let before = tables.reads().digest("t").await.unwrap();
    tables.engine().refuse_writes(Some(Trouble::WritesFail));
    let table = tables.table("t").unwrap();
    let result = tables.writes().put(&table, key("k", 2), Default::default()).await;
    assert!(matches!(result, Err(TableError::Storage(_))), "{result:?}");
    assert_eq!(tables.reads().digest("t").await.unwrap(), before);
    assert_eq!(tables.describe("t").unwrap().items, 1, "what failed is not counted");
    assert!(tables.engine().spans_groups());
}

/// For longer than the clock's durable ceiling lasts. Without room, what is deleted is deleted.
#[tokio::test]
async fn writes_go_on_once_the_engine_takes_them_again() {
    for trouble in Trouble::ALL {
        let time = Time::at(NOW);
        let engine = MemoryEngine::new(Spanning::Yes);
        let tables = Tables::open(engine, options("a", &["a"], &time)).await.unwrap();
        tables.catalog().create_table(definition("t")).await.unwrap();
        for number in 0..3 {
            put(&tables, "t", key("k", number)).await;
        }
        let table = tables.table("t").unwrap();
        tables.engine().refuse_writes(Some(trouble));
        for minutes in 0..3 {
            time.set(NOW + 60_000 * minutes);
            let result = tables.writes().put(&table, key("k", 9), Default::default()).await;
            let refused = |error: &TableError| matches!(error, TableError::Storage(StorageError::Unwritable(told)) if *told == trouble);
            assert!(result.as_ref().is_err_and(refused), "{trouble:?}: {result:?}");
            assert!(get(&tables, "t", &key("k", 0)).await.is_some(), "reads go on");
        }
        let deleted = tables.writes().delete(&table, &key("k", 1), Default::default()).await;
        assert_eq!(deleted.is_ok(), trouble == Trouble::NoRoom, "{trouble:?}");
        tables.engine().refuse_writes(None);
        put(&tables, "t", key("k", 4)).await;
        let items = 4 - u64::from(deleted.is_ok());
        assert_eq!(tables.describe("t").unwrap().items, items, "{trouble:?}");
    }
}

/// The stamps of all changes in the logs of all tables but the catalog.
async fn stamps(region: &Region) -> Vec<Stamp> {
    let table = region.table("t").unwrap();
    let mut stamps = Vec::new();
    for partition in 0..table.partitions().partitions() {
        let id = geodynamo_replicator_core::TableId(table.id());
        let log = geodynamo_replicator_core::LogId::of(region.replica(), id, partition);
        let changes = region
            .logs()
            .read_log(log, Default::default(), 1000, 1 << 20)
            .await
            .unwrap();
        assert_eq!(
            changes.last().map_or(Default::default(), |last| last.0),
            region.local().log_end(log)
        );
        stamps.extend(changes.into_iter().map(|(_, change)| change.stamp));
    }
    stamps
}

#[tokio::test]
async fn counts_are_shown_from_the_start_and_right_once_counted() {
    let time = Time::at(NOW);
    let (mut tables, _) = crate::support::alone(Spanning::No).await;
    for number in 0..10 {
        put(&tables, "t", with(key("p", number), "g", s("same"))).await;
    }
    tables.local().store_counts().await.unwrap();
    let stored = tables.describe("t").unwrap();
    // What comes after the counts were stored is counted anew.
    put(&tables, "t", with(key("p", 10), "g", s("same"))).await;
    let last = tables.describe("t").unwrap();
    let counts = |shown: &geodynamo_table::Description| {
        let index = &shown.global_indexes[0];
        (shown.items, shown.bytes, index.items, index.bytes)
    };
    assert_eq!((counts(&stored).0, counts(&last).2), (10, 11));
    tables = Tables::open(tables.engine().crash(), options("a", &["a"], &time))
        .await
        .unwrap();
    // The counting runs in the background: nothing has been awaited since.
    assert_eq!(counts(&tables.describe("t").unwrap()), counts(&stored));
    for _ in 0..1_000 {
        tokio::task::yield_now().await;
        if counts(&tables.describe("t").unwrap()) == counts(&last) {
            return;
        }
    }
    panic!(
        "counted {:?}, not {:?}",
        counts(&tables.describe("t").unwrap()),
        counts(&last)
    );
}
