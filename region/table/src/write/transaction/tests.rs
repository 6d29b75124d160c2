//! What meets a transaction in progress. A transaction is kept in progress by a latch that the test holds.

use std::{
    future::Future,
    sync::atomic::{AtomicU64, Ordering},
    task::Poll,
};

use geodynamo_item::{AttributeValue, Number};
use geodynamo_replicator_core::{Millis, ReplicaId, parking::ParkingLimits};
use geodynamo_storage::{MemoryEngine, Spanning};

use super::*;
use crate::{
    CreateTable, Options, TOKEN_VALID_MS, Tables, TimeSource,
    layout::{keys::space, range},
    local::order::Turn,
    schema::{Billing, KeyAttribute, KeySchema, KeyType},
};

/// A clock that a test steps.
struct Time(AtomicU64);

impl TimeSource for Time {
    fn now_ms(&self) -> Millis {
        self.0.load(Ordering::Relaxed)
    }
}

async fn region() -> (Arc<Tables<MemoryEngine>>, Arc<Table>) {
    region_at(&Arc::new(Time(AtomicU64::new(1_763_890_000_000)))).await
}

fn options(time: &Arc<Time>) -> Options {
    Options {
        region: "a".into(),
        regions: vec!["a".into()],
        account: "000000000000".into(),
        partitions: 4,
        streams: Default::default(),
        parking: ParkingLimits::default(),
        ttl: Default::default(),
        throttle: Default::default(),
        time: Arc::<Time>::clone(time),
        verify: Default::default(),
        collect: Default::default(),
        collection_bytes_max: crate::COLLECTION_BYTES_MAX,
        new_replica: ReplicaId(1),
        following: false,
    }
}

async fn region_at(time: &Arc<Time>) -> (Arc<Tables<MemoryEngine>>, Arc<Table>) {
    let tables = Tables::open(MemoryEngine::new(Spanning::Yes), options(time))
        .await
        .unwrap();
    let partition = KeyAttribute {
        name: "p".into(),
        kind: KeyType::N,
    };
    let create = CreateTable {
        name: "t".into(),
        keys: KeySchema::new(partition, None),
        local_indexes: vec![],
        global_indexes: vec![],
        billing: Billing::OnDemand,
        throughput: Default::default(),
        stream: None,
        deletion_protection: false,
        table_class: None,
        tags: Default::default(),
        resource_policy: None,
        master_key: None,
    };
    tables.catalog().create_table(create).await.unwrap();
    let table = tables.table("t").unwrap();
    (tables, table)
}

fn key(number: usize) -> Item {
    let number = AttributeValue::N(Number::parse(&number.to_string()).unwrap());
    Item::from_iter([("p".into(), number)])
}

fn puts(table: &Arc<Table>, keys: impl IntoIterator<Item = usize>) -> Vec<TransactWrite> {
    let put = |number| TransactWrite {
        table: Arc::clone(table),
        action: TransactAction::Put(key(number)),
        condition: None,
        values_bytes: 0,
        old_on_failure: false,
    };
    keys.into_iter().map(put).collect()
}

/// Polls once: what is pending then waits for the latch that the test holds.
async fn started<F: Future + Unpin>(future: &mut F) {
    let pending =
        std::future::poll_fn(|context| Poll::Ready(std::pin::Pin::new(&mut *future).poll(context).is_pending()));
    assert!(pending.await, "it should wait");
}

async fn hold(tables: &Tables<MemoryEngine>, table: &Table, number: usize) -> Turn {
    let at = table.key_of(&key(number)).unwrap();
    tables.local().orderer().order(latch_of(table.id(), &at.bytes)).await
}

/// Which actions are told of a conflict; `None` if the error is another one.
fn conflicting(error: &TableError) -> Option<Vec<bool>> {
    let TableError::TransactionCanceled(reasons) = error else {
        return None;
    };
    let conflict = |reason: &Option<TableError>| match reason {
        None => Some(false),
        Some(TableError::TransactionConflict) => Some(true),
        Some(_) => None,
    };
    reasons.iter().map(conflict).collect()
}

#[tokio::test]
async fn what_meets_a_transaction_in_progress_is_told_and_other_items_go_on() {
    let (tables, table) = region().await;
    let held = hold(&tables, &table, 2).await;
    let token = ClientToken::new("token", b"puts");
    let mut first = Box::pin(tables.writes().transact_write(puts(&table, [1, 2]), Some(&token)));
    started(&mut first).await;

    for number in [1, 2] {
        let refused = [
            tables.writes().put(&table, key(number), WriteOptions::default()).await,
            tables
                .writes()
                .delete(&table, &key(number), WriteOptions::default())
                .await,
            tables
                .writes()
                .update(&table, &key(number), None, WriteOptions::default())
                .await,
        ];
        for result in refused {
            assert!(matches!(result, Err(TableError::TransactionConflict)), "{result:?}");
        }
    }
    let second = tables
        .writes()
        .transact_write(puts(&table, [3, 1, 4]), None)
        .await
        .unwrap_err();
    assert_eq!(conflicting(&second), Some(vec![false, true, false]));
    let wanted = [key(1), key(3), key(2)].map(|key| (Arc::clone(&table), key));
    let read = tables.writes().transact_get(&wanted).await.unwrap_err();
    assert_eq!(conflicting(&read), Some(vec![true, false, true]));
    // Single reads see what is committed, and items that only lie near are not touched.
    assert_eq!(tables.reads().get(&table, &key(1)).await.unwrap(), None);
    tables
        .writes()
        .transact_write(puts(&table, [3, 4]), None)
        .await
        .unwrap();
    tables
        .writes()
        .put(&table, key(5), WriteOptions::default())
        .await
        .unwrap();
    let again = tables
        .writes()
        .transact_write(puts(&table, [8]), Some(&token))
        .await
        .unwrap_err();
    assert!(matches!(again, TableError::TransactionInProgress));
    let otherwise = ClientToken::new("token", b"other puts");
    let again = tables
        .writes()
        .transact_write(puts(&table, [8]), Some(&otherwise))
        .await;
    assert!(matches!(again, Err(TableError::ParameterMismatch)));

    drop(held);
    assert!(!first.await.unwrap().repeated);
    let read = tables.writes().transact_get(&wanted).await.unwrap();
    assert_eq!(read.iter().filter(|item| item.is_some()).count(), 3);
    tables
        .writes()
        .put(&table, key(1), WriteOptions::default())
        .await
        .unwrap();
    let again = tables
        .writes()
        .transact_write(puts(&table, [1, 2]), Some(&token))
        .await
        .unwrap();
    assert!(again.repeated);
}

#[tokio::test]
async fn a_transaction_that_meets_a_write_in_progress_is_cancelled() {
    let (tables, table) = region().await;
    let held = hold(&tables, &table, 1).await;
    let mut put = Box::pin(tables.writes().put(&table, key(1), WriteOptions::default()));
    started(&mut put).await;
    let refused = tables
        .writes()
        .transact_write(puts(&table, [2, 1]), None)
        .await
        .unwrap_err();
    assert_eq!(conflicting(&refused), Some(vec![false, true]));
    let refused = tables
        .writes()
        .transact_get(&[(Arc::clone(&table), key(1))])
        .await
        .unwrap_err();
    assert_eq!(conflicting(&refused), Some(vec![true]));
    drop(held);
    put.await.unwrap();
    tables
        .writes()
        .transact_write(puts(&table, [2, 1]), None)
        .await
        .unwrap();
}

#[tokio::test]
async fn a_write_that_may_wait_does_and_comes_after_the_transaction() {
    let (tables, table) = region().await;
    let held = hold(&tables, &table, 1).await;
    let mut first = Box::pin(tables.writes().transact_write(puts(&table, [1]), None));
    started(&mut first).await;
    let waits = WriteOptions {
        waits: true,
        return_old: true,
        ..WriteOptions::default()
    };
    let key = key(1);
    let mut delete = Box::pin(tables.writes().delete(&table, &key, waits));
    started(&mut delete).await;
    drop(held);
    let (first, delete) = tokio::join!(first, delete);
    first.unwrap();
    assert_eq!(delete.unwrap().old, Some(key));
}

#[tokio::test]
async fn an_item_that_shares_a_latch_is_no_conflict() {
    let (tables, table) = region().await;
    let latch = |number: usize| latch_of(table.id(), &table.key_of(&key(number)).unwrap().bytes);
    let other = (2..10_000_000).find(|number| latch(*number) == latch(1)).unwrap();
    let held = hold(&tables, &table, 1).await;
    let mut first = Box::pin(tables.writes().transact_write(puts(&table, [1]), None));
    started(&mut first).await;
    // They wait, as the latch makes them, and then succeed.
    let mut second = Box::pin(tables.writes().transact_write(puts(&table, [other]), None));
    started(&mut second).await;
    drop(held);
    let (first, second) = tokio::join!(first, second);
    assert!(first.is_ok() && second.is_ok());
    // Both in one transaction: one latch, taken once.
    tables
        .writes()
        .transact_write(puts(&table, [1, other]), None)
        .await
        .unwrap();
}

/// Every transaction overlaps with many others, in every order of keys. They must all end, and some must get through.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn transactions_that_cross_never_lock_up() {
    let (tables, table) = region().await;
    let mut running = tokio::task::JoinSet::new();
    for client in 0..16_usize {
        let (tables, table) = (Arc::clone(&tables), Arc::clone(&table));
        running.spawn(async move {
            let mut committed = 0;
            for round in 0..200_usize {
                let keys = (0..8).map(|number| (client * 7 + round * (1 + client % 3) + number * 5) % 13);
                match tables.writes().transact_write(puts(&table, keys), None).await {
                    Ok(_) => committed += 1,
                    Err(error) => assert!(conflicting(&error).is_some_and(|all| all.contains(&true)), "{error}"),
                }
                tokio::task::yield_now().await;
            }
            committed
        });
    }
    let all = async {
        let mut committed = 0;
        while let Some(client) = running.join_next().await {
            committed += client.unwrap();
        }
        committed
    };
    let committed = tokio::time::timeout(std::time::Duration::from_secs(60), all).await;
    assert!(committed.expect("a lock-up") > 0);
    assert!((0..13).all(|number| {
        let at = table.key_of(&key(number)).unwrap();
        !tables.writes().transactions.ongoing.is_written(&Whose {
            table: table.id(),
            key: at.bytes,
        })
    }));
}

#[tokio::test]
async fn old_tokens_are_dropped_and_valid_ones_are_kept() {
    let time = Arc::new(Time(AtomicU64::new(1_000 * TOKEN_VALID_MS)));
    let (tables, table) = region_at(&time).await;
    let stored = async || {
        let (from, to) = keys::owner_range(space::TOKEN, 0, 0, 0);
        let (_, end) = keys::owner_range(space::TOKEN, u64::MAX, u64::MAX, u64::MAX);
        assert!(from < to && to < end);
        let page = tables
            .engine()
            .scan(range::whole(from, end, 100, 1 << 20))
            .await
            .unwrap();
        page.rows.len()
    };
    // One token every five minutes for an hour.
    for number in 0..12_usize {
        time.0.fetch_add(TOKEN_VALID_MS / 2, Ordering::Relaxed);
        let token = ClientToken::new(&number.to_string(), b"");
        tables
            .writes()
            .transact_write(puts(&table, [number]), Some(&token))
            .await
            .unwrap();
        assert_eq!(stored().await, number + 1);
    }
    tables.writes().drop_old_tokens().await.unwrap();
    let left = stored().await;
    assert!((2..=4).contains(&left), "{left}");
    for (number, repeated) in [(11, true), (10, true), (9, false), (0, false)] {
        let token = ClientToken::new(&number.to_string(), b"");
        let done = tables
            .writes()
            .transact_write(puts(&table, [number]), Some(&token))
            .await
            .unwrap();
        assert_eq!(done.repeated, repeated, "{number}");
    }
}

#[tokio::test]
async fn a_token_is_known_after_a_restart() {
    let time = Arc::new(Time(AtomicU64::new(1_000 * TOKEN_VALID_MS)));
    let (tables, table) = region_at(&time).await;
    let token = ClientToken::new("token", b"");
    let done = tables
        .writes()
        .transact_write(puts(&table, [1]), Some(&token))
        .await
        .unwrap();
    assert!(!done.repeated);
    // The clock starts at its ceiling, a second ahead; what is used then is found too.
    let tables = Tables::open(tables.engine().crash(), options(&time)).await.unwrap();
    let table = tables.table("t").unwrap();
    for (text, repeated) in [("token", true), ("other", false), ("other", true)] {
        let token = ClientToken::new(text, b"");
        let done = tables
            .writes()
            .transact_write(puts(&table, [1]), Some(&token))
            .await
            .unwrap();
        assert_eq!(done.repeated, repeated, "{text}");
    }
    time.0.fetch_add(2 * TOKEN_VALID_MS, Ordering::Relaxed);
    let done = tables
        .writes()
        .transact_write(puts(&table, [1]), Some(&token))
        .await
        .unwrap();
    assert!(!done.repeated, "it is valid no more");
}
