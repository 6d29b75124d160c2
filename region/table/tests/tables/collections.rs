//! Sizes of item collections, in a table with a local index.

use std::sync::Arc;

use geodynamo_item::Item;
use geodynamo_storage::{MemoryEngine, Spanning};
use geodynamo_table::{Query, TableError, Tables, TransactAction, TransactWrite};

use crate::{
    regions::Regions,
    support::{MODES, NOW, Region, Time, alone, definition, item, key, options, put, s, update, with},
};

/// What the collection of `p` holds: its items, and their entries in the local index `by-l`.
async fn measured(tables: &Region, p: &str) -> u64 {
    let table = tables.table("t").unwrap();
    let mut sum = 0;
    for index in [None, Some("by-l")] {
        let query = Query {
            index,
            partition: vec![s(p)],
            sort_equal: Vec::new(),
            sort: None,
            forward: true,
            limit: None,
            start: None,
            filter: None,
            consistent: true,
            fetch_base: false,
        };
        let page = tables.reads().query(&table, query).await.unwrap();
        assert_eq!(page.last_key, None);
        sum += page.items.iter().map(|item| item.size().unwrap() as u64).sum::<u64>();
    }
    sum
}

async fn size(tables: &Region, p: &str) -> u64 {
    let table = tables.table("t").unwrap();
    let of: Item = item([("p", s(p))]);
    tables.writes().collection_bytes(&table, &of).await.unwrap()
}

async fn is_right(tables: &Region, p: &str) -> u64 {
    let (size, measured) = (size(tables, p).await, measured(tables, p).await);
    assert_eq!(size, measured, "{p}");
    size
}

/// A region whose collections are small.
async fn small(spanning: Spanning, most: u64) -> Region {
    let mut options = options("a", &["a"], &Time::at(NOW));
    options.collection_bytes_max = most;
    let tables = Tables::open(MemoryEngine::new(spanning), options).await.unwrap();
    tables.catalog().create_table(definition("t")).await.unwrap();
    tables
}

#[tokio::test]
async fn a_collections_size_follows_every_write() {
    for spanning in MODES {
        let (tables, table) = alone(spanning).await;
        assert_eq!(is_right(&tables, "p").await, 0);
        put(&tables, "t", with(key("p", 1), "l", s("a"))).await;
        put(&tables, "t", with(key("p", 2), "x", s("no entry"))).await;
        put(&tables, "t", with(key("q", 2), "l", s("another collection"))).await;
        let two = is_right(&tables, "p").await;
        let longer = update("SET l = :v", s("longer"));
        tables
            .writes()
            .update(&table, &key("p", 1), Some(&longer), Default::default())
            .await
            .unwrap();
        assert_eq!(is_right(&tables, "p").await, two + 2 * 5);
        tables
            .writes()
            .delete(&table, &key("p", 1), Default::default())
            .await
            .unwrap();
        tables
            .writes()
            .delete(&table, &key("p", 9), Default::default())
            .await
            .unwrap();
        assert_ne!(is_right(&tables, "p").await, 0);
        tables
            .writes()
            .delete(&table, &key("p", 2), Default::default())
            .await
            .unwrap();
        assert_eq!(is_right(&tables, "p").await, 0);
        assert_ne!(is_right(&tables, "q").await, 0);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn writes_of_a_collection_at_once_are_all_counted_also_after_a_crash() {
    for spanning in MODES {
        let time = Time::at(NOW);
        let (tables, _) = alone(spanning).await;
        let writers: Vec<_> = (0..8_i64)
            .map(|writer| {
                let tables = Arc::clone(&tables);
                tokio::spawn(async move {
                    let table = tables.table("t").unwrap();
                    for round in 0..50_i64 {
                        let at = key(if round % 2 == 0 { "p" } else { "q" }, (writer * 7 + round) % 20);
                        if round % 5 == 4 {
                            tables.writes().delete(&table, &at, Default::default()).await.unwrap();
                        } else {
                            let new = with(at, "l", s(&"x".repeat((writer + round + 1) as usize)));
                            tables.writes().put(&table, new, Default::default()).await.unwrap();
                        }
                    }
                })
            })
            .collect();
        for writer in writers {
            writer.await.unwrap();
        }
        let before = [is_right(&tables, "p").await, is_right(&tables, "q").await];
        let again = Tables::open(tables.engine().crash(), options("a", &["a"], &time))
            .await
            .unwrap();
        assert_eq!([is_right(&again, "p").await, is_right(&again, "q").await], before);
    }
}

#[tokio::test]
async fn replicas_count_what_they_merge_and_are_never_refused_for_it() {
    for spanning in MODES {
        let regions = Regions::with_table(spanning, &["a", "b"]).await;
        for number in 0..20 {
            // Both write the same keys: one of the two wins.
            for region in &regions.all {
                let new = with(key("p", number), "l", s(region.region()));
                put(region, "t", new).await;
            }
            put(&regions.all[0], "t", with(key("p", 100 + number), "x", s("a's own"))).await;
        }
        regions.settle().await;
        let sizes = [
            is_right(&regions.all[0], "p").await,
            is_right(&regions.all[1], "p").await,
        ];
        assert_eq!(sizes[0], sizes[1]);
        regions.agree("t").await;
    }
}

#[tokio::test]
async fn a_collection_that_would_be_too_large_is_refused() {
    for spanning in MODES {
        let tables = small(spanning, 1_000).await;
        let table = tables.table("t").unwrap();
        let large = |number: i64, length: usize| with(key("p", number), "x", s(&"x".repeat(length)));
        put(&tables, "t", large(1, 900)).await;
        let refused = tables.writes().put(&table, large(2, 900), Default::default()).await;
        assert!(matches!(refused, Err(TableError::ItemCollectionSize)), "{refused:?}");
        // Just as large as it may be, to the byte.
        let free = 1_000 - is_right(&tables, "p").await as usize;
        let rest = large(2, 0);
        let own = geodynamo_item::size::item(&rest);
        let refused = tables
            .writes()
            .put(&table, large(2, free - own + 1), Default::default())
            .await;
        assert!(matches!(refused, Err(TableError::ItemCollectionSize)), "{refused:?}");
        put(&tables, "t", large(2, free - own)).await;
        assert_eq!(is_right(&tables, "p").await, 1_000);
        // What is as large as before, or smaller, is let through.
        put(&tables, "t", large(1, 900)).await;
        put(&tables, "t", large(1, 10)).await;
        tables
            .writes()
            .delete(&table, &key("p", 2), Default::default())
            .await
            .unwrap();
        is_right(&tables, "p").await;
    }
}

#[tokio::test]
async fn a_transactions_actions_count_together() {
    let tables = small(MODES[0], 1_000).await;
    let table = tables.table("t").unwrap();
    let put = |p: &str, number: i64| TransactWrite {
        table: Arc::clone(&table),
        action: TransactAction::Put(with(key(p, number), "x", s(&"x".repeat(400)))),
        condition: None,
        values_bytes: 0,
        old_on_failure: false,
    };
    let refused = tables
        .writes()
        .transact_write(vec![put("q", 1), put("p", 1), put("p", 2), put("p", 3)], None)
        .await;
    let Err(TableError::TransactionCanceled(reasons)) = refused else {
        panic!("{refused:?}");
    };
    let blamed: Vec<bool> = reasons.iter().map(Option::is_some).collect();
    assert_eq!(blamed, [false, false, false, true]);
    assert!(matches!(reasons[3], Some(TableError::ItemCollectionSize)));
    assert_eq!(is_right(&tables, "q").await, 0);
    tables
        .writes()
        .transact_write(vec![put("q", 1), put("p", 1), put("p", 2)], None)
        .await
        .unwrap();
    assert_eq!(is_right(&tables, "p").await, 2 * is_right(&tables, "q").await);
}
