//! Global indexes that are added to and removed from a table that is written to.

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use geodynamo_item::Item;
use geodynamo_storage::{Direction, Engine, MemoryEngine, Scan};
use geodynamo_table::{
    NewIndex, ScanRequest, TableError, Tables, UpdateTable,
    schema::{IndexStatus, KeyAttribute, KeySchema, KeyType, Projection},
    throughput::{IndexUpdate, ThroughputUpdate, WarmUpdate},
};

use crate::{
    gated::Gated,
    regions::Regions,
    support::{MODES, NOW, Time, alone, definition, get, item, key, n, options, put, s, with},
};

/// Steps after which an index that is still being built is taken to be so for ever.
const STEPS_MAX: usize = 10_000;

/// An index by `h` (S) that copies everything.
fn by_h() -> NewIndex {
    NewIndex {
        name: "by-h".into(),
        keys: KeySchema::new(
            KeyAttribute {
                name: "h".into(),
                kind: KeyType::S,
            },
            None,
        ),
        projection: Projection::All,
        throughput: None,
    }
}

fn adding(index: NewIndex) -> UpdateTable {
    UpdateTable {
        index_creates: vec![index],
        ..UpdateTable::default()
    }
}

fn removing(name: &str) -> UpdateTable {
    UpdateTable {
        index_deletes: vec![name.into()],
        ..UpdateTable::default()
    }
}

async fn build<E: Engine>(tables: &Arc<Tables<E>>) {
    for _ in 0..STEPS_MAX {
        if !tables.backfill().build_indexes().await.unwrap() {
            return;
        }
    }
    panic!("the indexes are never built");
}

fn status<E: Engine>(tables: &Arc<Tables<E>>, index: &str) -> Option<IndexStatus> {
    let description = tables.describe("t").unwrap();
    let found = description
        .global_indexes
        .iter()
        .find(|shown| shown.definition.name == index);
    found.map(|shown| shown.status)
}

/// What a scan of the table, or of an index, gives: by partition key and sort key.
async fn scanned<E: Engine>(tables: &Arc<Tables<E>>, index: Option<&str>) -> BTreeMap<String, Item> {
    let table = tables.table("t").unwrap();
    let mut items = BTreeMap::new();
    let mut start = None;
    loop {
        let request = ScanRequest {
            index,
            start,
            ..ScanRequest::default()
        };
        let page = tables.reads().scan(&table, request).await.unwrap();
        for stored in page.items {
            let item = stored.decode().unwrap();
            let place = format!("{:?} {:?}", item.get("p"), item.get("s"));
            assert_eq!(items.insert(place, item), None, "an entry stands twice");
        }
        start = page.last_key;
        if start.is_none() {
            return items;
        }
    }
}

/// That the index holds just the items that have its key, and that it is counted right.
async fn index_is_true<E: Engine>(tables: &Arc<Tables<E>>) {
    let mut items = scanned(tables, None).await;
    items.retain(|_, item| matches!(item.get("h"), Some(geodynamo_item::AttributeValue::S(text)) if !text.is_empty()));
    assert_eq!(scanned(tables, Some("by-h")).await, items);
    let description = tables.describe("t").unwrap();
    let shown = description
        .global_indexes
        .iter()
        .find(|shown| shown.definition.name == "by-h");
    assert_eq!(shown.unwrap().items, items.len() as u64);
}

/// How many global index entries the engine has.
async fn entries<E: Engine>(tables: &Arc<Tables<E>>) -> usize {
    use std::ops::Bound;
    let scan = Scan {
        from: Bound::Included(vec![2].into()),
        to: Bound::Excluded(vec![3].into()),
        direction: Direction::Forward,
        rows_max: usize::MAX,
        bytes_max: usize::MAX,
        once: false,
    };
    tables.engine().scan(scan).await.unwrap().rows.len()
}

fn refused(result: Result<impl std::fmt::Debug, TableError>, text: &str) {
    assert_eq!(result.unwrap_err().to_string(), text);
}

#[tokio::test]
async fn an_added_index_gets_the_items_that_are_there() {
    for spanning in MODES {
        let (tables, _) = alone(spanning).await;
        for number in 0..300 {
            let mut new = key("p", number);
            if number % 3 == 0 {
                new = with(new, "h", s(&format!("h{}", number % 7)));
            }
            put(&tables, "t", new).await;
        }
        // What cannot be a key of the index is left out.
        put(&tables, "t", with(key("wrong type", 0), "h", n(1))).await;
        put(&tables, "t", with(key("empty", 0), "h", s(""))).await;
        put(&tables, "t", with(key("too long", 0), "h", s(&"x".repeat(2049)))).await;
        let shown = tables.catalog().update_table("t", adding(by_h())).await.unwrap();
        assert_eq!(shown.status.code(), "UPDATING");
        assert_eq!(status(&tables, "by-h"), Some(IndexStatus::Creating));
        build(&tables).await;
        assert_eq!(status(&tables, "by-h"), Some(IndexStatus::Active));
        assert_eq!(tables.describe("t").unwrap().status.code(), "ACTIVE");
        let found = scanned(&tables, Some("by-h")).await;
        assert_eq!(found.len(), 100);
        let table = tables.table("t").unwrap();
        let wrong = tables
            .writes()
            .put(&table, with(key("wrong type", 0), "h", n(2)), Default::default());
        refused(
            wrong.await,
            "One or more parameter values were invalid: Type mismatch for Index Key h Expected: S Actual: N IndexName: by-h",
        );
        // What was left out can still be changed and deleted.
        tables
            .writes()
            .delete(&table, &key("wrong type", 0), Default::default())
            .await
            .unwrap();
        put(&tables, "t", with(key("empty", 0), "h", s("now"))).await;
        assert_eq!(scanned(&tables, Some("by-h")).await.len(), 101);
    }
}

#[tokio::test]
async fn until_an_index_is_filled_what_does_not_fit_it_is_written_and_stays_out() {
    for spanning in MODES {
        let (tables, _) = alone(spanning).await;
        put(&tables, "t", with(key("p", 1), "h", s("a"))).await;
        put(&tables, "t", with(key("q", 1), "h", s("b"))).await;
        tables.catalog().update_table("t", adding(by_h())).await.unwrap();
        // Before any step, and once writes maintain the index.
        put(&tables, "t", with(key("p", 1), "h", n(1))).await;
        tables.backfill().build_indexes().await.unwrap();
        put(&tables, "t", with(key("q", 1), "h", s(""))).await;
        put(&tables, "t", with(key("r", 1), "h", s("c"))).await;
        assert_ne!(status(&tables, "by-h"), Some(IndexStatus::Active));
        build(&tables).await;
        assert_eq!(scanned(&tables, Some("by-h")).await.len(), 1);
        index_is_true(&tables).await;
        let table = tables.table("t").unwrap();
        let wrong = tables
            .writes()
            .put(&table, with(key("p", 1), "h", n(1)), Default::default());
        refused(
            wrong.await,
            "One or more parameter values were invalid: Type mismatch for Index Key h Expected: S Actual: N IndexName: by-h",
        );
    }
}

#[tokio::test]
async fn an_index_that_is_not_active_is_not_read() {
    let (tables, _) = alone(MODES[0]).await;
    put(&tables, "t", with(key("p", 1), "h", s("a"))).await;
    tables.catalog().update_table("t", adding(by_h())).await.unwrap();
    let table = tables.table("t").unwrap();
    let request = || ScanRequest {
        index: Some("by-h"),
        ..ScanRequest::default()
    };
    refused(
        tables.reads().scan(&table, request()).await,
        "Cannot read from backfilling global secondary index: by-h",
    );
    build(&tables).await;
    tables.catalog().update_table("t", removing("by-h")).await.unwrap();
    assert_eq!(status(&tables, "by-h"), Some(IndexStatus::Deleting));
    let table = tables.table("t").unwrap();
    refused(
        tables.reads().scan(&table, request()).await,
        "The table does not have the specified index: by-h",
    );
    build(&tables).await;
    assert_eq!(status(&tables, "by-h"), None);
    assert_eq!(tables.describe("t").unwrap().status.code(), "ACTIVE");
}

#[tokio::test]
async fn one_index_is_created_or_deleted_at_a_time() {
    let (tables, _) = alone(MODES[0]).await;
    let simultaneous =
        "Subscriber limit exceeded: Only 1 online index can be created or deleted simultaneously per table";
    let other = || NewIndex {
        name: "other".into(),
        ..by_h()
    };
    let both = UpdateTable {
        index_creates: vec![by_h(), other()],
        ..UpdateTable::default()
    };
    refused(tables.catalog().update_table("t", both).await, simultaneous);
    tables.catalog().update_table("t", adding(by_h())).await.unwrap();
    refused(tables.catalog().update_table("t", adding(other())).await, simultaneous);
    refused(tables.catalog().update_table("t", removing("by-g")).await, simultaneous);
    refused(
        tables.catalog().update_table("t", adding(by_h())).await,
        "Attempting to create an index which already exists",
    );
    // The one that is being filled may go; until it has, nothing else is done.
    tables.catalog().update_table("t", removing("by-h")).await.unwrap();
    refused(tables.catalog().update_table("t", adding(other())).await, simultaneous);
    build(&tables).await;
    tables.catalog().update_table("t", adding(other())).await.unwrap();
    build(&tables).await;
    refused(
        tables.catalog().update_table("t", removing("nothing")).await,
        "Requested resource not found",
    );
}

#[tokio::test]
async fn the_twenty_first_index_is_refused() {
    let (tables, _) = alone(MODES[0]).await;
    for number in 1..20 {
        let index = NewIndex {
            name: format!("index-{number}"),
            ..by_h()
        };
        tables.catalog().update_table("t", adding(index)).await.unwrap();
        build(&tables).await;
    }
    refused(
        tables.catalog().update_table("t", adding(by_h())).await,
        "One or more parameter values were invalid: GlobalSecondaryIndex count exceeds the per-table limit of 20",
    );
    // The index `by-g` lists one attribute already.
    tables.catalog().update_table("t", removing("index-1")).await.unwrap();
    build(&tables).await;
    let listing = |count: usize| NewIndex {
        projection: Projection::Include((0..count).map(|number| format!("a{number}")).collect()),
        ..by_h()
    };
    refused(
        tables.catalog().update_table("t", adding(listing(100))).await,
        "One or more parameter values were invalid: Number of NonKeyAttributes in all indexes exceeds the limit of 100",
    );
    tables.catalog().update_table("t", adding(listing(99))).await.unwrap();
}

#[tokio::test]
async fn a_removed_index_leaves_no_entries() {
    for spanning in MODES {
        let (tables, _) = alone(spanning).await;
        for number in 0..300 {
            put(&tables, "t", with(key("p", number), "h", s("same"))).await;
        }
        tables.catalog().update_table("t", adding(by_h())).await.unwrap();
        build(&tables).await;
        assert_eq!(entries(&tables).await, 300);
        tables.catalog().update_table("t", removing("by-h")).await.unwrap();
        build(&tables).await;
        assert_eq!(entries(&tables).await, 0);
        // While it is being filled, too.
        tables.catalog().update_table("t", adding(by_h())).await.unwrap();
        for _ in 0..3 {
            tables.backfill().build_indexes().await.unwrap();
        }
        assert_ne!(entries(&tables).await, 0);
        assert_eq!(status(&tables, "by-h"), Some(IndexStatus::Backfilling));
        assert_eq!(tables.indexes().index_builds()[0].looked_at, 256);
        tables.catalog().update_table("t", removing("by-h")).await.unwrap();
        build(&tables).await;
        assert_eq!(entries(&tables).await, 0);
        // An index of the same name is another one.
        tables.catalog().update_table("t", adding(by_h())).await.unwrap();
        build(&tables).await;
        index_is_true(&tables).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn writes_during_a_back_fill_are_neither_lost_nor_doubled() {
    for spanning in MODES {
        let (tables, _) = alone(spanning).await;
        for number in 0..400 {
            put(&tables, "t", with(key("p", number), "h", s(&format!("first-{number}")))).await;
        }
        let stop = Arc::new(AtomicBool::new(false));
        let writers: Vec<_> = (0..4_i64)
            .map(|writer| {
                let (tables, stop) = (Arc::clone(&tables), Arc::clone(&stop));
                tokio::spawn(async move {
                    let mut round = 0;
                    while !stop.load(Ordering::Relaxed) && round < 5_000 {
                        // The table as a request sees it, which may be older than the index.
                        let table = tables.table("t").unwrap();
                        tokio::task::yield_now().await;
                        let at = key("p", (round * 37 + writer * 11) % 500);
                        let done = if round % 5 == 0 {
                            tables.writes().delete(&table, &at, Default::default()).await
                        } else {
                            let new = with(at, "h", s(&format!("{}", round % 9)));
                            tables.writes().put(&table, new, Default::default()).await
                        };
                        done.unwrap();
                        round += 1;
                    }
                })
            })
            .collect();
        for _ in 0..3 {
            tables.catalog().update_table("t", adding(by_h())).await.unwrap();
            build(&tables).await;
            tables.catalog().update_table("t", removing("by-h")).await.unwrap();
            build(&tables).await;
        }
        tables.catalog().update_table("t", adding(by_h())).await.unwrap();
        build(&tables).await;
        stop.store(true, Ordering::Relaxed);
        for writer in writers {
            writer.await.unwrap();
        }
        index_is_true(&tables).await;
    }
}

#[tokio::test]
async fn a_back_fill_waits_for_the_writes_that_do_not_know_the_index() {
    for spanning in MODES {
        let engine = Gated::new(MemoryEngine::new(spanning));
        let tables = Tables::open(engine, options("a", &["a"], &Time::at(NOW)))
            .await
            .unwrap();
        tables.catalog().create_table(definition("t")).await.unwrap();
        // A new item, on its way to the disk, which nobody sees yet.
        tables.engine().set_open(false);
        let table = tables.table("t").unwrap();
        let writer = Arc::clone(&tables);
        let write = tokio::spawn(async move {
            let new = with(key("p", 1), "h", s("a"));
            writer.writes().put(&table, new, Default::default()).await
        });
        tables.engine().one_waits().await;
        tables.catalog().update_table("t", adding(by_h())).await.unwrap();
        let builder = Arc::clone(&tables);
        let built = tokio::spawn(async move { build(&builder).await });
        for _ in 0..1_000 {
            tokio::task::yield_now().await;
        }
        assert_eq!(status(&tables, "by-h"), Some(IndexStatus::Creating));
        tables.engine().set_open(true);
        write.await.unwrap().unwrap();
        built.await.unwrap();
        assert_eq!(status(&tables, "by-h"), Some(IndexStatus::Active));
        assert_eq!(scanned(&tables, Some("by-h")).await.len(), 1);
        index_is_true(&tables).await;
    }
}

#[tokio::test]
async fn a_removed_index_is_emptied_after_the_writes_that_still_know_it() {
    for spanning in MODES {
        let engine = Gated::new(MemoryEngine::new(spanning));
        let tables = Tables::open(engine, options("a", &["a"], &Time::at(NOW)))
            .await
            .unwrap();
        tables.catalog().create_table(definition("t")).await.unwrap();
        tables.engine().set_open(false);
        let table = tables.table("t").unwrap();
        let writer = Arc::clone(&tables);
        let write = tokio::spawn(async move {
            let new = with(key("p", 1), "g", s("a"));
            writer.writes().put(&table, new, Default::default()).await
        });
        tables.engine().one_waits().await;
        tables.catalog().update_table("t", removing("by-g")).await.unwrap();
        let builder = Arc::clone(&tables);
        let emptied = tokio::spawn(async move { build(&builder).await });
        for _ in 0..1_000 {
            tokio::task::yield_now().await;
        }
        assert_eq!(status(&tables, "by-g"), Some(IndexStatus::Deleting));
        tables.engine().set_open(true);
        write.await.unwrap().unwrap();
        emptied.await.unwrap();
        assert_eq!(status(&tables, "by-g"), None);
        assert_eq!(entries(&tables).await, 0);
    }
}

#[tokio::test]
async fn a_back_fill_goes_on_after_a_restart() {
    for spanning in MODES {
        let time = Time::at(NOW);
        let (mut tables, _) = alone(spanning).await;
        for number in 0..1_000 {
            put(&tables, "t", with(key("p", number), "h", s("same"))).await;
        }
        tables.catalog().update_table("t", adding(by_h())).await.unwrap();
        // Waiting for older writes, then two pages.
        for _ in 0..3 {
            tables.backfill().build_indexes().await.unwrap();
        }
        let before = tables.indexes().index_builds()[0].looked_at;
        assert_eq!(before, 256);
        tables = Tables::open(tables.engine().crash(), options("a", &["a"], &time))
            .await
            .unwrap();
        assert_eq!(tables.indexes().index_builds()[0].looked_at, before);
        assert_eq!(status(&tables, "by-h"), Some(IndexStatus::Creating));
        put(&tables, "t", with(key("p", 5), "h", s("other"))).await;
        build(&tables).await;
        index_is_true(&tables).await;
        tables = Tables::open(tables.engine().crash(), options("a", &["a"], &time))
            .await
            .unwrap();
        assert_eq!(status(&tables, "by-h"), Some(IndexStatus::Active));
        // So does taking one away.
        tables.catalog().update_table("t", removing("by-h")).await.unwrap();
        tables = Tables::open(tables.engine().crash(), options("a", &["a"], &time))
            .await
            .unwrap();
        assert_eq!(status(&tables, "by-h"), Some(IndexStatus::Deleting));
        build(&tables).await;
        assert_eq!(entries(&tables).await, 0);
    }
}

#[tokio::test]
async fn throughput_of_an_index_does_not_bring_it_back() {
    let regions = Regions::with_table(MODES[0], &["a", "b"]).await;
    // One region removes the index while the other, later by its clock, changes its throughput.
    regions.times[1].set(NOW + 1_000);
    let warmer = IndexUpdate {
        warm: Some(WarmUpdate {
            read: Some(20_000),
            write: None,
        }),
        ..IndexUpdate::default()
    };
    let changing = UpdateTable {
        throughput: ThroughputUpdate {
            indexes: vec![("by-g".into(), warmer)],
            ..ThroughputUpdate::default()
        },
        ..UpdateTable::default()
    };
    regions.all[0]
        .catalog()
        .update_table("t", removing("by-g"))
        .await
        .unwrap();
    regions.all[1].catalog().update_table("t", changing).await.unwrap();
    regions.settle().await;
    for region in &regions.all {
        assert!(region.describe("t").unwrap().global_indexes.is_empty());
    }
    regions.agree("t").await;
}

#[tokio::test]
async fn every_replica_fills_its_own_copy_while_all_write() {
    for spanning in MODES {
        let regions = Regions::with_table(spanning, &["a", "b", "c"]).await;
        for number in 0..200 {
            let region = &regions.all[number as usize % 3];
            put(region, "t", with(key("p", number), "h", s(&format!("{}", number % 5)))).await;
        }
        regions.settle().await;
        regions.all[1]
            .catalog()
            .update_table("t", adding(by_h()))
            .await
            .unwrap();
        // Every region writes before it knows of the index; one of them what cannot be a key there.
        for (at, region) in regions.all.iter().enumerate() {
            put(region, "t", with(key("p", at as i64), "h", s(region.region()))).await;
            put(region, "t", with(key("new", at as i64), "h", s(region.region()))).await;
        }
        put(&regions.all[2], "t", with(key("wrong", 1), "h", n(1))).await;
        regions.all[1].backfill().build_indexes().await.unwrap();
        regions.settle().await;
        regions.agree("t").await;
        for region in &regions.all {
            index_is_true(region).await;
            assert!(get(region, "t", &key("wrong", 1)).await.is_some());
        }
        regions.all[2]
            .catalog()
            .update_table("t", removing("by-h"))
            .await
            .unwrap();
        regions.settle().await;
        regions.agree("t").await;
        for region in &regions.all {
            assert_eq!(status(region, "by-h"), None);
        }
    }
}

#[tokio::test]
async fn two_regions_that_add_an_index_of_one_name_end_with_one() {
    let regions = Regions::with_table(MODES[1], &["a", "b"]).await;
    for number in 0..20 {
        let new = item([("p", s("p")), ("s", n(number)), ("h", s("h")), ("i", s("i"))]);
        put(&regions.all[0], "t", new).await;
    }
    regions.settle().await;
    let mut other = by_h();
    other.keys.partition.name = "i".into();
    for (region, index) in regions.all.iter().zip([by_h(), other]) {
        region.catalog().update_table("t", adding(index)).await.unwrap();
        build(region).await;
    }
    regions.settle().await;
    regions.agree("t").await;
    for region in &regions.all {
        assert_eq!(scanned(region, Some("by-h")).await.len(), 20);
        // No more than those: what the losing index had is gone.
        assert_eq!(entries(region).await, 20);
    }
}

#[tokio::test]
async fn a_region_joins_while_an_index_is_being_filled() {
    for spanning in MODES {
        let regions = Regions::new(spanning, &["a", "b"]).await;
        let first = &regions.all[0];
        first.catalog().create_table(definition("t")).await.unwrap();
        for number in 0..500 {
            put(first, "t", with(key("p", number), "h", s(&format!("{}", number % 5)))).await;
        }
        let joining = UpdateTable {
            replica_creates: vec!["b".into()],
            ..UpdateTable::default()
        };
        first.catalog().update_table("t", joining).await.unwrap();
        first.catalog().update_table("t", adding(by_h())).await.unwrap();
        first.backfill().build_indexes().await.unwrap();
        first.backfill().build_indexes().await.unwrap();
        regions.settle().await;
        assert!(regions.all[1].local().is_settled("t"));
        regions.agree("t").await;
        index_is_true(&regions.all[1]).await;
    }
}
