//! Transactions: all or nothing, why not, what they consume, tokens, what the logs say of them.

use std::sync::Arc;

use geodynamo_item::Item;
use geodynamo_replicator_core::{Change, LogId, TableId};
use geodynamo_storage::{MemoryEngine, Spanning, Trouble};
use geodynamo_table::{
    ClientToken, NewIndex, TOKEN_VALID_MS, Table, TableError, Tables, TransactAction,
    TransactAction::{Check, Delete, Put, Update},
    TransactWrite, UpdateTable,
    schema::{KeyAttribute, KeySchema, KeyType, Projection},
};

use crate::{
    regions::Regions,
    support::{NOW, Region, Time, alone, condition, definition, get, item, key, n, options, put, s, update, with},
};

fn action(table: &Arc<Table>, action: TransactAction) -> TransactWrite {
    TransactWrite {
        table: Arc::clone(table),
        action,
        condition: None,
        values_bytes: 0,
        old_on_failure: false,
    }
}

fn only_if(mut action: TransactWrite, text: &str, old_on_failure: bool) -> TransactWrite {
    action.condition = Some(condition(text, None));
    action.old_on_failure = old_on_failure;
    action
}

/// What is told of more than 4 MB.
const SIZE: &str = "transaction size cannot exceed 4 MB";

fn indexed(number: i64, x: &str) -> Item {
    let item = with(with(key("a", number), "l", s("l")), "g", s("g"));
    with(item, "x", s(x))
}

#[tokio::test]
async fn all_actions_are_carried_out_in_one_commit_with_one_id() {
    let (tables, table) = alone(Spanning::Yes).await;
    tables.catalog().create_table(definition("u")).await.unwrap();
    let other = tables.table("u").unwrap();
    put(&tables, "t", indexed(1, "old")).await;
    put(&tables, "t", indexed(2, "old")).await;
    put(&tables, "t", indexed(3, "old")).await;
    let before = (
        changes(&tables, &table).await.len(),
        changes(&tables, &other).await.len(),
    );

    let actions = vec![
        action(&table, Put(indexed(1, "new"))),
        action(&other, Put(indexed(1, "other"))),
        action(&table, Update(key("a", 2), Some(update("SET x = :v", s("updated"))))),
        action(&table, Delete(key("a", 3))),
        only_if(action(&other, Check(key("a", 9))), "attribute_not_exists(p)", false),
        action(&other, Update(key("a", 4), None)),
    ];
    let done = tables.writes().transact_write(actions, None).await.unwrap();
    assert!(!done.repeated);
    let names: Vec<_> = done.capacity.iter().map(|(table, _)| table.name()).collect();
    assert_eq!(names, ["t", "u"]);

    assert_eq!(get(&tables, "t", &key("a", 1)).await, Some(indexed(1, "new")));
    assert_eq!(get(&tables, "t", &key("a", 2)).await, Some(indexed(2, "updated")));
    assert_eq!(get(&tables, "t", &key("a", 3)).await, None);
    assert_eq!(get(&tables, "u", &key("a", 1)).await, Some(indexed(1, "other")));
    assert_eq!(get(&tables, "u", &key("a", 4)).await, Some(key("a", 4)));
    assert_eq!(get(&tables, "u", &key("a", 9)).await, None);
    let shown = (tables.describe("t").unwrap(), tables.describe("u").unwrap());
    assert_eq!((shown.0.items, shown.0.global_indexes[0].items), (2, 2));
    assert_eq!((shown.1.items, shown.1.local_indexes[0].items), (2, 1));

    let mut written = changes(&tables, &table).await.split_off(before.0);
    assert_eq!(written.len(), 3);
    written.extend(changes(&tables, &other).await.split_off(before.1));
    assert_eq!(written.len(), 5, "a check writes nothing");
    let id = written[0].transaction;
    assert!(id.is_some() && written.iter().all(|change| change.transaction == id));
    let mut stamps: Vec<_> = written.iter().map(|change| change.stamp).collect();
    stamps.sort_unstable();
    stamps.dedup();
    assert_eq!(stamps.len(), 5, "each version has its own stamp");
    // What replaced a version has seen it.
    let pasts = written.iter().filter(|change| change.past.iter().next().is_some());
    assert_eq!(pasts.count(), 3);
}

#[tokio::test]
async fn a_cancelled_transaction_changes_nothing_and_gives_a_reason_for_each_action() {
    let (tables, table) = alone(Spanning::Yes).await;
    put(&tables, "t", indexed(1, "old")).await;
    let before = tables.reads().digest("t").await.unwrap();
    let too_large = update("SET y = :v", s(&"y".repeat(400 * 1024)));
    let actions = vec![
        action(&table, Put(indexed(5, "new"))),
        only_if(action(&table, Put(indexed(1, "new"))), "attribute_not_exists(p)", true),
        only_if(action(&table, Delete(key("a", 2))), "attribute_exists(p)", true),
        only_if(action(&table, Check(key("a", 3))), "x = y", false),
        action(&table, Update(key("a", 4), Some(update("SET x = z + :v", n(1))))),
        action(&table, Update(key("a", 6), Some(too_large))),
        action(&table, Update(key("a", 7), Some(update("SET g = :v", n(1))))),
        only_if(action(&table, Check(key("a", 8))), "attribute_not_exists(p)", false),
    ];
    let error = tables.writes().transact_write(actions, None).await.unwrap_err();
    let TableError::TransactionCanceled(reasons) = error else {
        panic!("{error:?}");
    };
    let shown: Vec<_> = reasons
        .iter()
        .map(|reason| reason.as_ref().map(ToString::to_string))
        .collect();
    let failed = "The conditional request failed";
    let expected = [
        None,
        Some(failed),
        Some(failed),
        Some(failed),
        // Of several validation errors the first is told.
        Some("The provided expression refers to an attribute that does not exist in the item"),
        None,
        None,
        None,
    ];
    assert_eq!(shown.iter().map(Option::as_deref).collect::<Vec<_>>(), expected);
    let old = |number: usize| match &reasons[number] {
        Some(TableError::ConditionFailed(failed)) => failed.item.as_ref(),
        other => panic!("{other:?}"),
    };
    assert_eq!((old(1), old(2), old(3)), (Some(&indexed(1, "old")), None, None));
    assert_eq!(tables.reads().digest("t").await.unwrap(), before);
}

/// Whether the whole request is refused, or one of its actions is the reason.
#[tokio::test]
async fn faults_are_the_requests_or_the_actions() {
    let (tables, table) = alone(Spanning::Yes).await;
    let checked = |key: Item| only_if(action(&table, Check(key)), "attribute_not_exists(x)", false);
    let schema = "The provided key element does not match the schema";
    let part_of_key = update("SET p = :v", s("b"));
    let big = |number| with(key("a", number), "x", s(&"x".repeat(390 * 1024)));
    let cases: Vec<(Vec<TransactWrite>, bool, &str)> = vec![
        (vec![checked(item([("p", s("a"))]))], true, schema),
        (
            vec![
                action(&table, Delete(key("a", 1))),
                checked(item([("p", n(1)), ("s", n(1))])),
            ],
            true,
            schema,
        ),
        (
            vec![action(&table, Put(item([("p", s("a"))])))],
            true,
            "Missing the key s in the item",
        ),
        (
            vec![action(&table, Put(with(key("a", 1), "l", n(1))))],
            true,
            "Type mismatch for Index Key l",
        ),
        (
            vec![action(&table, Update(key("a", 1), Some(part_of_key)))],
            true,
            "part of the key",
        ),
        (
            vec![action(&table, Put(key("", 1)))],
            false,
            "empty string value. Key: p",
        ),
        (vec![checked(key("", 1))], false, "empty string value. Key: p"),
        (
            vec![action(&table, Delete(key(&"k".repeat(2049), 1)))],
            false,
            "hashkey has exceeded",
        ),
        (
            vec![action(&table, Put(with(key("a", 1), "g", s(""))))],
            false,
            "IndexKey: g",
        ),
        (
            vec![checked(key("a", 1)), action(&table, Put(key("a", 1)))],
            false,
            "multiple operations on one item",
        ),
        (
            vec![action(&table, Put(with(key("a", 1), "x", s(&"x".repeat(410_000)))))],
            false,
            "Item size has exceeded",
        ),
        (
            (0..11).map(|number| action(&table, Put(big(number)))).collect(),
            false,
            SIZE,
        ),
        (
            // So are the values of expressions.
            (0..11)
                .map(|number| with_values(action(&table, Check(key("a", number)))))
                .collect(),
            false,
            SIZE,
        ),
        (
            vec![
                action(&table, Delete(key("a", 1))),
                action(&table, Put(item([("p", s("a"))]))),
                // Of several validation errors the first is told.
                checked(item([("p", n(1)), ("s", n(1))])),
                checked(item([("p", s("a"))])),
            ],
            true,
            "Missing the key s in the item",
        ),
    ];
    let before = tables.reads().digest("t").await.unwrap();
    for (actions, of_action, text) in cases {
        let message = match tables.writes().transact_write(actions, None).await.unwrap_err() {
            TableError::TransactionCanceled(reasons) => {
                assert!(of_action, "{text}");
                let told: Vec<_> = reasons.iter().flatten().collect();
                assert_eq!(told.len(), 1, "{reasons:?}");
                told[0].to_string()
            }
            other => {
                assert!(!of_action, "{other:?}");
                other.to_string()
            }
        };
        assert!(message.contains(text), "{message}, not {text}");
    }
    assert_eq!(tables.reads().digest("t").await.unwrap(), before);
    // Ten of the large ones fit; but a read of eleven does not fit either.
    let puts = |range: std::ops::Range<i64>| range.map(|number| action(&table, Put(big(number)))).collect();
    tables.writes().transact_write(puts(0..10), None).await.unwrap();
    tables.writes().transact_write(puts(10..20), None).await.unwrap();
    let wanted: Vec<_> = (0..11).map(|number| (Arc::clone(&table), key("a", number))).collect();
    let error = tables.writes().transact_get(&wanted).await.unwrap_err();
    assert!(error.to_string().contains(SIZE), "{error}");
    assert_eq!(tables.writes().transact_get(&wanted[1..]).await.unwrap().len(), 10);
    let twice = [wanted[0].clone(), wanted[0].clone()];
    assert!(
        tables
            .writes()
            .transact_get(&twice)
            .await
            .unwrap_err()
            .to_string()
            .contains("multiple operations")
    );
    // What no key can be is the reason of its read, unlike of a write.
    for (wrong, text) in [
        (item([("p", s("a"))]), schema),
        (key("", 1), "empty string value. Key: p"),
        (key(&"k".repeat(2049), 1), "hashkey has exceeded"),
    ] {
        let of = |key: Item| (Arc::clone(&table), key);
        let wrong = [wanted[0].clone(), of(wrong), of(key("", 2))];
        let error = tables.writes().transact_get(&wrong).await.unwrap_err();
        let TableError::TransactionCanceled(reasons) = error else {
            panic!("{error:?}");
        };
        let told: Vec<_> = reasons
            .iter()
            .map(|reason| reason.as_ref().map(ToString::to_string))
            .collect();
        assert!(told[1].as_ref().is_some_and(|told| told.contains(text)), "{told:?}");
        assert_eq!((&told[0], &told[2]), (&None, &None), "the first is told");
    }
    // What a request does not carry does not count: what is deleted, replaced, changed or only looked at.
    let small = |number| match number % 4 {
        0 => action(&table, Delete(key("a", number))),
        1 => action(&table, Put(key("a", number))),
        2 => action(&table, Update(key("a", number), Some(update("SET z = :v", n(1))))),
        _ => only_if(action(&table, Check(key("a", number))), "attribute_exists(p)", false),
    };
    tables
        .writes()
        .transact_write((0..20).map(small).collect(), None)
        .await
        .unwrap();
    assert_eq!(tables.describe("t").unwrap().items, 15);
}

fn with_values(action: TransactWrite) -> TransactWrite {
    TransactWrite {
        values_bytes: 390 * 1024,
        ..action
    }
}

#[tokio::test]
async fn items_cost_twice_and_index_entries_once() {
    let (tables, table) = alone(Spanning::Yes).await;
    put(&tables, "t", with(key("a", 2), "x", s(&"x".repeat(2500)))).await;
    put(&tables, "t", with(key("a", 3), "x", s(&"x".repeat(1500)))).await;
    let actions = vec![
        // One unit, twice; one for each index.
        action(&table, Put(indexed(1, "x"))),
        // Three units, twice: the larger of the sizes.
        action(&table, Delete(key("a", 2))),
        // Two units, twice, for looking.
        only_if(action(&table, Check(key("a", 3))), "attribute_exists(p)", false),
        // One unit, twice, for finding nothing.
        only_if(action(&table, Check(key("a", 4))), "attribute_not_exists(p)", false),
    ];
    let token = ClientToken::new("token", b"");
    let done = tables
        .writes()
        .transact_write(actions.clone(), Some(&token))
        .await
        .unwrap();
    let capacity = &done.capacity[0].1;
    assert_eq!(capacity.table, 2.0 + 6.0 + 4.0 + 2.0);
    assert_eq!(capacity.local, [("by-l".to_owned(), 1.0)]);
    assert_eq!(capacity.global, [("by-g".to_owned(), 1.0)]);
    // A repetition reads four items, each twice, and writes nothing.
    let before = tables.reads().digest("t").await.unwrap();
    let again = tables.writes().transact_write(actions, Some(&token)).await.unwrap();
    assert!(again.repeated);
    assert_eq!((again.capacity.len(), again.capacity[0].1.total()), (1, 8.0));
    assert_eq!(tables.reads().digest("t").await.unwrap(), before);
}

#[tokio::test]
async fn a_token_is_valid_for_ten_minutes_and_survives_a_crash() {
    let time = Time::at(NOW);
    let open = |engine| Tables::open(engine, options("a", &["a"], &time));
    let mut tables = open(MemoryEngine::new(Spanning::Yes)).await.unwrap();
    tables.catalog().create_table(definition("t")).await.unwrap();
    let add = |tables: &Region| {
        let table = tables.table("t").unwrap();
        vec![action(&table, Update(key("a", 1), Some(update("ADD n :v", n(1)))))]
    };
    let (token, same_name) = (ClientToken::new("token", b"1"), ClientToken::new("token", b"2"));
    let count = async |tables: &Region| get(tables, "t", &key("a", 1)).await.unwrap().get("n").cloned();

    // A cancelled transaction uses no token up.
    let table = tables.table("t").unwrap();
    let fails = only_if(action(&table, Check(key("a", 1))), "attribute_exists(p)", false);
    tables
        .writes()
        .transact_write(vec![fails], Some(&same_name))
        .await
        .unwrap_err();
    assert!(
        !tables
            .writes()
            .transact_write(add(&tables), Some(&token))
            .await
            .unwrap()
            .repeated
    );

    // The clock may step back over a crash: time does not.
    for now in [NOW, NOW + 1000, NOW - 3_600_000, NOW + TOKEN_VALID_MS - 1] {
        time.set(now);
        assert!(
            tables
                .writes()
                .transact_write(add(&tables), Some(&token))
                .await
                .unwrap()
                .repeated,
            "{now}"
        );
        let error = tables
            .writes()
            .transact_write(add(&tables), Some(&same_name))
            .await
            .unwrap_err();
        assert!(matches!(error, TableError::ParameterMismatch), "{error}");
        let engine = tables.engine().crash();
        tables = open(engine).await.unwrap();
    }
    assert_eq!(count(&tables).await, Some(n(1)));
    // The clock's ceiling is two seconds ahead.
    time.set(NOW + TOKEN_VALID_MS + 2000);
    assert!(
        !tables
            .writes()
            .transact_write(add(&tables), Some(&same_name))
            .await
            .unwrap()
            .repeated
    );
    assert_eq!(count(&tables).await, Some(n(2)));
    assert!(
        tables
            .writes()
            .transact_write(add(&tables), Some(&same_name))
            .await
            .unwrap()
            .repeated
    );
}

/// "If the original TransactWriteItems call was successful, then subsequent calls with the same client token return
/// successfully without making any changes": whatever has become of the table since.
#[tokio::test]
async fn a_repetition_is_not_judged_by_the_indexes_that_there_are_by_now() {
    let (tables, table) = alone(Spanning::Yes).await;
    let token = ClientToken::new("token", b"");
    let puts = |table| vec![action(table, Put(with(key("a", 1), "h", n(1))))];
    tables
        .writes()
        .transact_write(puts(&table), Some(&token))
        .await
        .unwrap();
    let by_h = NewIndex {
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
    };
    let adding = UpdateTable {
        index_creates: vec![by_h],
        ..UpdateTable::default()
    };
    tables.catalog().update_table("t", adding).await.unwrap();
    while tables.backfill().build_indexes().await.unwrap() {}
    let table = tables.table("t").unwrap();
    assert!(
        tables
            .writes()
            .transact_write(puts(&table), Some(&token))
            .await
            .unwrap()
            .repeated
    );
    tables.writes().transact_write(puts(&table), None).await.unwrap_err();
}

#[tokio::test]
async fn what_a_failing_disk_swallows_is_swallowed_whole_and_its_token_too() {
    let time = Time::at(NOW);
    let open = |engine| Tables::open(engine, options("a", &["a"], &time));
    let first = open(MemoryEngine::new(Spanning::Yes)).await.unwrap();
    first.catalog().create_table(definition("t")).await.unwrap();
    let before = first.reads().digest("t").await.unwrap();
    first.engine().refuse_writes(Some(Trouble::WritesFail));
    let token = ClientToken::new("token", b"");
    let puts = |tables: &Region| {
        let table = tables.table("t").unwrap();
        (0..3)
            .map(|number| action(&table, Put(indexed(number, "x"))))
            .collect::<Vec<_>>()
    };
    let error = first
        .writes()
        .transact_write(puts(&first), Some(&token))
        .await
        .unwrap_err();
    assert!(matches!(error, TableError::Storage(_)), "{error:?}");
    assert_eq!(
        (
            first.reads().digest("t").await.unwrap(),
            first.describe("t").unwrap().items
        ),
        (before, 0)
    );

    let second = open(first.engine().crash()).await.unwrap();
    let done = second
        .writes()
        .transact_write(puts(&second), Some(&token))
        .await
        .unwrap();
    assert!(!done.repeated);
    assert_eq!(second.describe("t").unwrap().items, 3);
}

#[tokio::test]
async fn an_engine_that_does_not_span_groups_refuses_what_it_cannot_commit_at_once() {
    let (tables, table) = alone(Spanning::No).await;
    let before = tables.reads().digest("t").await.unwrap();
    let one = || vec![action(&table, Put(key("a", 1))), action(&table, Put(key("a", 2)))];
    let two = vec![action(&table, Put(key("a", 1))), action(&table, Put(key("b", 1)))];
    for (actions, token) in [(two, None), (one(), Some(ClientToken::new("token", b"")))] {
        let error = tables
            .writes()
            .transact_write(actions, token.as_ref())
            .await
            .unwrap_err();
        assert!(matches!(error, TableError::Validation(_)), "{error:?}");
        assert_eq!(tables.reads().digest("t").await.unwrap(), before);
    }
    tables.writes().transact_write(one(), None).await.unwrap();
    assert_eq!(get(&tables, "t", &key("a", 2)).await, Some(key("a", 2)));
}

#[tokio::test]
async fn a_transaction_that_no_commit_takes_is_refused_not_cut() {
    let (tables, _) = alone(Spanning::Yes).await;
    let mut wide = definition("wide");
    let index = wide.global_indexes.remove(0);
    wide.global_indexes = (0..20)
        .map(|number| NewIndex {
            name: format!("by-g-{number}"),
            projection: Projection::All,
            ..index.clone()
        })
        .collect();
    tables.catalog().create_table(wide).await.unwrap();
    let table = tables.table("wide").unwrap();
    let puts = |x: usize| {
        let put = |number| action(&table, Put(indexed(number, &"x".repeat(x))));
        (0..10).map(put).collect::<Vec<_>>()
    };
    let error = tables.writes().transact_write(puts(400_000), None).await.unwrap_err();
    assert!(error.to_string().contains("more than one commit takes"), "{error}");
    assert_eq!(tables.describe("wide").unwrap().items, 0);
    tables.writes().transact_write(puts(200_000), None).await.unwrap();
    assert_eq!(tables.describe("wide").unwrap().global_indexes[19].items, 10);
}

#[tokio::test]
async fn other_regions_get_the_items_one_by_one_and_merge_them_like_any() {
    let regions = Regions::with_table(Spanning::Yes, &["a", "b"]).await;
    let [a, b] = &regions.all[..] else { unreachable!() };
    let table = a.table("t").unwrap();
    put(a, "t", indexed(3, "old")).await;
    regions.settle().await;
    // While the regions have not heard of each other, one of the items is written in both.
    regions.times[1].set(NOW + 1000);
    let actions = vec![
        action(&table, Put(indexed(1, "transaction"))),
        action(&table, Put(indexed(2, "transaction"))),
        action(&table, Delete(key("a", 3))),
    ];
    a.writes().transact_write(actions, None).await.unwrap();
    put(b, "t", indexed(1, "single")).await;
    regions.settle().await;
    // Two items, one tombstone, one conflict.
    assert_eq!(regions.agree("t").await, (2, 1, 1));
    for region in [a, b] {
        assert_eq!(get(region, "t", &key("a", 1)).await, Some(indexed(1, "single")));
        assert_eq!(get(region, "t", &key("a", 2)).await, Some(indexed(2, "transaction")));
        assert_eq!(get(region, "t", &key("a", 3)).await, None);
    }
}

/// All changes of a table, partition by partition.
async fn changes(region: &Region, table: &Table) -> Vec<Change> {
    let mut changes = Vec::new();
    for partition in 0..table.partitions().partitions() {
        let log = LogId::of(region.replica(), TableId(table.id()), partition);
        let read = region
            .logs()
            .read_log(log, Default::default(), 1000, 1 << 20)
            .await
            .unwrap();
        changes.extend(read.into_iter().map(|(_, change)| change));
    }
    changes
}
