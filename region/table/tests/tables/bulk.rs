//! Tables that are filled in bulk: what is there in the end is what writes would have made, whatever breaks it off.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use geodynamo_item::Item;
use geodynamo_storage::{Engine, MemoryEngine, Spanning, Trouble};
use geodynamo_table::{
    Description, ScanRequest, TableError, TableStatus, Tables,
    recovery::{Restore, Row},
};

use crate::support::{MODES, NOW, Region, Time, definition, get, item, key, n, options, put, s, with};

const ITEMS: i64 = 400;
const BATCH: usize = 23;

/// An item of an import; keys come again, with another place in the indexes.
fn imported(number: i64) -> Item {
    let mut item = key(&format!("p{}", number * 7 % 5), number * 31 % 150);
    if number % 3 > 0 {
        item = with(item, "g", s(&format!("g{}", number % 11)));
    }
    if number % 4 > 0 {
        item = with(item, "l", s(&format!("l{}", number % 13)));
    }
    with(with(item, "x", n(number)), "long", s(&"y".repeat(number as usize % 90)))
}

/// The items and the indexes' entries, in no order, and what is counted of each.
async fn content(tables: &Region, name: &str) -> BTreeMap<String, (Vec<String>, u64, u64)> {
    let table = tables.table(name).unwrap();
    let shown = tables.describe(name).unwrap();
    let mut all = BTreeMap::new();
    for (index, items, bytes) in counted(&shown) {
        let request = ScanRequest {
            index: index.as_deref(),
            ..ScanRequest::default()
        };
        let page = tables.reads().scan(&table, request).await.unwrap();
        assert_eq!(page.last_key, None);
        let mut found: Vec<_> = page
            .items
            .iter()
            .map(|item| format!("{:?}", item.decode().unwrap().into_iter().collect::<BTreeMap<_, _>>()))
            .collect();
        found.sort();
        assert_eq!(items, found.len() as u64, "{index:?} is counted");
        all.insert(index.unwrap_or_default(), (found, items, bytes));
    }
    all
}

fn counted(shown: &Description) -> Vec<(Option<String>, u64, u64)> {
    let mut all = vec![(None, shown.items, shown.bytes)];
    for index in shown.local_indexes.iter().chain(&shown.global_indexes) {
        all.push((Some(index.definition.name.clone()), index.items, index.bytes));
    }
    all
}

/// What puts make of the items.
async fn expected() -> BTreeMap<String, (Vec<String>, u64, u64)> {
    let time = Time::at(NOW);
    let tables = Tables::open(MemoryEngine::new(Spanning::Yes), options("a", &["a"], &time))
        .await
        .unwrap();
    tables.catalog().create_table(definition("i")).await.unwrap();
    for number in 0..ITEMS {
        put(&tables, "i", imported(number)).await;
    }
    content(&tables, "i").await
}

fn id(tables: &Region) -> u64 {
    tables.table_named("i").unwrap().id()
}

/// Imports, in steps that are numbered; true once it is done. Before a step, `ends` may break it off.
async fn import(tables: &Region, step: &mut u32, ends: impl Fn(u32) -> bool) -> bool {
    let (mut load, mark) = tables.loads().take_up_import(id(tables)).await.unwrap();
    let done: usize = mark.map_or(0, |mark| String::from_utf8_lossy(&mark).parse().unwrap());
    let items: Vec<Item> = (0..ITEMS).map(imported).collect();
    for (number, batch) in items.chunks(BATCH).enumerate().skip(done) {
        *step += 1;
        if ends(*step) {
            return false;
        }
        let mark = Bytes::from((number + 1).to_string());
        tables
            .loads()
            .load_items(&mut load, batch.to_vec(), mark)
            .await
            .unwrap();
    }
    *step += 1;
    if ends(*step) {
        return false;
    }
    let mark = Bytes::from(items.chunks(BATCH).count().to_string());
    tables.loads().finish_import(load, mark).await.unwrap();
    true
}

#[tokio::test]
async fn an_import_makes_what_puts_make_wherever_it_is_broken_off() {
    let expected = expected().await;
    for mode in MODES {
        for every in [u32::MAX, 1, 3, 7] {
            let time = Time::at(NOW);
            let mut tables = Tables::open(MemoryEngine::new(mode), options("a", &["a"], &time))
                .await
                .unwrap();
            tables.loads().create_imported(definition("i")).await.unwrap();
            let (mut step, mut last) = (0, 0);
            // Three batches fill a sorter, and four steps are enough for the last of them.
            while !import(&tables, &mut step, |step| every != u32::MAX && step > last + 4 * every).await {
                last = step;
                assert_eq!(tables.table_named("i").unwrap().status(), TableStatus::Creating);
                let engine = tables.engine().crash();
                tables = Tables::open(engine, options("a", &["a"], &time)).await.unwrap();
                assert!(step < 2_000, "it comes to an end");
            }
            assert_eq!(content(&tables, "i").await, expected, "{mode:?} {every}");
            no_load_is_left(&tables);
            // Writes go on from there.
            put(&tables, "i", with(key("p1", 7), "x", n(1))).await;
            let read = get(&tables, "i", &key("p1", 7)).await.unwrap();
            assert_eq!(read.get("x"), Some(&n(1)));
            let table = tables.table("i").unwrap();
            for p in 0..5 {
                let of = item([("p", s(&format!("p{p}")))]);
                assert!(
                    tables.writes().collection_bytes(&table, &of).await.unwrap() > 0,
                    "{mode:?} {p}"
                );
            }
        }
    }
}

fn no_load_is_left(tables: &Region) {
    if let Some(door) = tables.engine().ingest() {
        assert_eq!(door.loads().unwrap(), [0; 0]);
    }
}

/// Rows as an archive gives them: in order.
async fn rows() -> Vec<Row> {
    let time = Time::at(NOW);
    let tables = Tables::open(MemoryEngine::new(Spanning::Yes), options("a", &["a"], &time))
        .await
        .unwrap();
    tables.catalog().create_table(definition("i")).await.unwrap();
    for number in 0..ITEMS {
        put(&tables, "i", imported(number)).await;
    }
    let snapshot = tables.logs().snapshot_of(&tables.table("i").unwrap()).await.unwrap();
    let (rows, next) = snapshot.page(None, usize::MAX).await.unwrap();
    assert_eq!(next, None);
    rows
}

fn of() -> Restore {
    Restore {
        source_table_arn: None,
        source_backup_arn: None,
        at_ms: NOW,
        in_progress: true,
        job: Vec::new(),
    }
}

async fn restore(tables: &Region, rows: &[Row], step: &mut u32, ends: impl Fn(u32) -> bool) -> bool {
    let (mut load, mut mark) = tables.loads().take_up_restore(id(tables)).await.unwrap();
    let done = usize::try_from(mark.items).unwrap();
    for batch in rows[done..].chunks(BATCH) {
        *step += 1;
        if ends(*step) {
            return false;
        }
        mark = mark.behind(batch);
        tables
            .loads()
            .load_rows(&mut load, batch.to_vec(), &mark)
            .await
            .unwrap();
        if load.is_in_bulk() {
            assert_eq!(
                tables.describe("i").unwrap().items,
                mark.items,
                "it is seen how far it is"
            );
        }
    }
    *step += 1;
    if ends(*step) {
        return false;
    }
    tables.loads().finish_restore(load, &mark).await.unwrap();
    true
}

#[tokio::test]
async fn a_restore_makes_what_puts_make_wherever_it_is_broken_off() {
    let (expected, rows) = (expected().await, rows().await);
    for mode in MODES {
        for every in [u32::MAX, 1, 2, 5] {
            let time = Time::at(NOW);
            let mut tables = Tables::open(MemoryEngine::new(mode), options("a", &["a"], &time))
                .await
                .unwrap();
            tables.loads().create_restored(definition("i"), &of()).await.unwrap();
            let (mut step, mut last) = (0, 0);
            while !restore(&tables, &rows, &mut step, |step| {
                every != u32::MAX && step > last + 3 * every
            })
            .await
            {
                last = step;
                assert_eq!(tables.table_named("i").unwrap().status(), TableStatus::Creating);
                let engine = tables.engine().crash();
                tables = Tables::open(engine, options("a", &["a"], &time)).await.unwrap();
                assert!(step < 2_000, "it comes to an end");
            }
            assert_eq!(content(&tables, "i").await, expected, "{mode:?} {every}");
            no_load_is_left(&tables);
        }
    }
}

/// The mark never is ahead of what is durable: whatever was put since, a crash takes it away, and it is put again.
#[tokio::test]
async fn the_mark_of_a_restore_is_of_what_is_durable() {
    let rows = rows().await;
    let time = Time::at(NOW);
    let mut marks = BTreeSet::new();
    for batches in 1..8 {
        let tables = Tables::open(MemoryEngine::new(Spanning::Yes), options("a", &["a"], &time))
            .await
            .unwrap();
        tables.loads().create_restored(definition("i"), &of()).await.unwrap();
        let (mut load, mut mark) = tables.loads().take_up_restore(id(&tables)).await.unwrap();
        for batch in rows.chunks(BATCH).take(batches) {
            mark = mark.behind(batch);
            tables
                .loads()
                .load_rows(&mut load, batch.to_vec(), &mark)
                .await
                .unwrap();
        }
        // As it is killed while a file is being written.
        let tables = Tables::open(tables.engine().crash(), options("a", &["a"], &time))
            .await
            .unwrap();
        let known = tables.loads().load_mark(id(&tables)).await.unwrap();
        assert!(known.items <= mark.items);
        marks.insert(known.items);
        let mut step = 0;
        assert!(restore(&tables, &rows, &mut step, |_| false).await);
        assert_eq!(content(&tables, "i").await, expected().await, "behind {batches}");
    }
    assert!(
        marks.len() > 2 && marks.contains(&0),
        "it is written down at some of these steps: {marks:?}"
    );
}

/// Negative control: with a mark that is ahead by one row, that row is missing.
#[tokio::test]
async fn a_mark_that_is_ahead_loses_rows() {
    let rows = rows().await;
    let time = Time::at(NOW);
    let tables = Tables::open(MemoryEngine::new(Spanning::Yes), options("a", &["a"], &time))
        .await
        .unwrap();
    tables.loads().create_restored(definition("i"), &of()).await.unwrap();
    let (mut load, mut mark) = tables.loads().take_up_restore(id(&tables)).await.unwrap();
    for batch in rows.chunks(BATCH) {
        mark = mark.behind(batch);
        let put = batch
            .iter()
            .filter(|row| Some(&row.key) != rows.get(BATCH).map(|row| &row.key));
        tables
            .loads()
            .load_rows(&mut load, put.cloned().collect(), &mark)
            .await
            .unwrap();
    }
    tables.loads().finish_restore(load, &mark).await.unwrap();
    assert_ne!(content(&tables, "i").await, expected().await);
}

#[tokio::test]
async fn what_lies_there_of_a_load_that_is_over_is_removed() {
    let time = Time::at(NOW);
    let open = async |engine| Tables::open(engine, options("a", &["a"], &time)).await.unwrap();
    let tables = open(MemoryEngine::new(Spanning::Yes)).await;
    tables.loads().create_imported(definition("i")).await.unwrap();
    let (mut load, _) = tables.loads().take_up_import(id(&tables)).await.unwrap();
    let items = (0..200).map(imported).collect();
    tables
        .loads()
        .load_items(&mut load, items, Bytes::from("1"))
        .await
        .unwrap();
    assert_eq!(tables.engine().ingest().unwrap().loads().unwrap(), [id(&tables)]);
    // As a crash leaves it that came between the end of an import and the end of its load.
    let door = tables.engine().ingest().unwrap();
    door.sorter(77, 0, 0).unwrap();
    let tables = open(tables.engine().crash()).await;
    let door = tables.engine().ingest().unwrap();
    assert_eq!(
        door.loads().unwrap(),
        [id(&tables)],
        "that of a table that is being imported stays"
    );
    tables.loads().abandon_import(id(&tables)).await.unwrap();
    assert_eq!(door.loads().unwrap(), [0; 0]);
}

#[tokio::test]
async fn a_store_that_takes_no_writes_breaks_an_import_off() {
    let time = Time::at(NOW);
    let tables = Tables::open(MemoryEngine::new(Spanning::Yes), options("a", &["a"], &time))
        .await
        .unwrap();
    tables.loads().create_imported(definition("i")).await.unwrap();
    let (mut load, _) = tables.loads().take_up_import(id(&tables)).await.unwrap();
    tables
        .loads()
        .load_items(&mut load, vec![imported(1)], Bytes::from("1"))
        .await
        .unwrap();
    tables.engine().refuse_writes(Some(Trouble::ReadOnly));
    tables.loads().finish_import(load, Bytes::from("1")).await.unwrap_err();
    assert_eq!(tables.table_named("i").unwrap().status(), TableStatus::Creating);
    tables.engine().refuse_writes(None);
    let mut step = 0;
    assert!(import(&tables, &mut step, |_| false).await);
    assert_eq!(content(&tables, "i").await, expected().await);
}

/// Puts something that nobody can read into the last run that was kept of a lane, in the place of its first row.
fn rot(tables: &Region, lane: u8) {
    let (door, load) = (tables.engine().ingest().unwrap(), id(tables));
    let runs = (1..100)
        .rev()
        .find(|runs| door.sorter(load, lane, *runs).is_ok())
        .unwrap();
    let whole = door.sorter(load, lane, runs).unwrap();
    let (key, _) = whole.into_rows().unwrap().next().unwrap().unwrap();
    let mut sorter = door.sorter(load, lane, runs - 1).unwrap();
    sorter.put(&key, &[0xff; 3]).unwrap();
    assert_eq!(sorter.keep().unwrap(), runs);
}

/// What cannot be read is told as that, so nobody tries for ever as he does with a disk that may recover.
#[tokio::test]
async fn a_load_that_has_rotted_is_no_trouble_of_the_disk() {
    let time = Time::at(NOW);
    let open = async || {
        let engine = MemoryEngine::new(Spanning::Yes);
        Tables::open(engine, options("a", &["a"], &time)).await.unwrap()
    };
    let told = |error: TableError, expected: &str| match error {
        TableError::Corrupt(what) => assert!(what.contains(expected), "{what}"),
        other => panic!("{other:?} is told of {expected}"),
    };

    let tables = open().await;
    tables.loads().create_imported(definition("i")).await.unwrap();
    let (mut load, _) = tables.loads().take_up_import(id(&tables)).await.unwrap();
    for number in 1..=6 {
        let items = (0..64).map(|item| imported(64 * number + item)).collect();
        let mark = Bytes::from(number.to_string());
        tables.loads().load_items(&mut load, items, mark).await.unwrap();
    }
    drop(load);
    rot(&tables, 0);
    let (load, mark) = tables.loads().take_up_import(id(&tables)).await.unwrap();
    let ended = tables.loads().finish_import(load, mark.unwrap()).await;
    told(ended.unwrap_err(), "record");

    let (tables, rows) = (open().await, rows().await);
    tables.loads().create_restored(definition("i"), &of()).await.unwrap();
    let (mut load, mut mark) = tables.loads().take_up_restore(id(&tables)).await.unwrap();
    for batch in rows.chunks(64) {
        mark = mark.behind(batch);
        let batch = batch.to_vec();
        tables.loads().load_rows(&mut load, batch, &mark).await.unwrap();
    }
    drop(load);
    rot(&tables, 1);
    let (load, mark) = tables.loads().take_up_restore(id(&tables)).await.unwrap();
    let ended = tables.loads().finish_restore(load, &mark).await;
    told(ended.unwrap_err(), "index entry");
}
