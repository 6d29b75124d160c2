//! Throttling: what provisioned tables and indexes, on-demand tables and hot keys may consume, by a clock that is stepped.

use std::sync::Arc;

use geodynamo_item::Item;
use geodynamo_storage::MemoryEngine;
use geodynamo_table::{
    Access, CreateTable, Limit, Options, Query, ScanRequest, Table, TableError, Tables, ThrottleOptions, Throttled,
    TransactAction, TransactWrite, UpdateTable,
    schema::{Billing, Throughput},
    throughput::{OnDemandUpdate, ThroughputUpdate},
};

use crate::support::{MODES, NOW, Region, Time, condition, definition, key, n, options, s, with};

/// A region that throttles, with the table `t`.
struct World {
    tables: Region,
    time: Arc<Time>,
    now: u64,
}

impl World {
    async fn new(billing: Billing, index: Option<Throughput>, throttle: ThrottleOptions) -> Self {
        Self::in_mode(geodynamo_storage::Spanning::Yes, billing, index, throttle).await
    }

    async fn in_mode(
        mode: geodynamo_storage::Spanning,
        billing: Billing,
        index: Option<Throughput>,
        throttle: ThrottleOptions,
    ) -> Self {
        let time = Time::at(NOW);
        let options = Options {
            throttle,
            ..options("a", &["a"], &time)
        };
        let tables = Tables::open(MemoryEngine::new(mode), options).await.unwrap();
        let mut create = CreateTable {
            billing,
            ..definition("t")
        };
        create.global_indexes[0].throughput = index;
        tables.catalog().create_table(create).await.unwrap();
        Self { tables, time, now: NOW }
    }

    fn table(&self) -> Arc<Table> {
        self.tables.table("t").unwrap()
    }

    fn pass(&mut self, ms: u64) {
        self.now += ms;
        self.time.set(self.now);
    }

    async fn put(&self, item: Item) -> Result<(), Throttled> {
        throttled(self.tables.writes().put(&self.table(), item, Default::default()).await)
    }

    /// How many items can be put one after the other.
    async fn puts(&self, items: impl Iterator<Item = Item>) -> usize {
        let mut done = 0;
        for item in items {
            if self.put(item).await.is_err() {
                break;
            }
            done += 1;
        }
        done
    }

    /// How many times a key can be got.
    async fn gets(&self, wanted: &Item, consistent: bool) -> usize {
        let mut done = 0;
        while done < 100_000 {
            let got = self.tables.reads().get_item(&self.table(), wanted, consistent).await;
            if throttled(got).is_err() {
                break;
            }
            done += 1;
        }
        done
    }
}

fn throttled<T: std::fmt::Debug>(result: Result<T, TableError>) -> Result<(), Throttled> {
    match result {
        Ok(_) => Ok(()),
        Err(TableError::Throttled(throttled)) => Err(*throttled),
        Err(error) => panic!("{error}"),
    }
}

fn on() -> ThrottleOptions {
    ThrottleOptions {
        enabled: true,
        ..ThrottleOptions::default()
    }
}

fn provisioned(read: u64, write: u64) -> Billing {
    Billing::Provisioned(Throughput { read, write })
}

/// Items of distinct partition keys that no index has.
fn spread(count: i64) -> impl Iterator<Item = Item> {
    (0..count).map(|number| key(&format!("k{number}"), number))
}

fn large(item: Item, kilobytes: usize) -> Item {
    with(item, "y", s(&"x".repeat(kilobytes * 1024 - 100)))
}

#[tokio::test]
async fn a_provisioned_table_writes_at_its_rate_and_saves_five_minutes() {
    for mode in MODES {
        let mut world = World::in_mode(mode, provisioned(100, 10), None, on()).await;
        assert_eq!(world.puts(spread(1_000)).await, 10, "a second's worth at first");
        assert_eq!(
            world.put(key("k", 1)).await,
            Err(Throttled {
                limit: Limit::Provisioned,
                access: Access::Write,
                index: false,
                on_demand: false,
                resource: "arn:aws:dynamodb:a:000000000000:table/t".into(),
            })
        );
        world.pass(1_000);
        assert_eq!(world.puts(spread(1_000)).await, 10);
        world.pass(20_000);
        assert_eq!(world.puts(spread(1_000)).await, 200, "what was not used is saved");
        world.pass(3_600_000);
        assert_eq!(world.puts(spread(10_000)).await, 3_000, "for five minutes");
        assert_eq!(world.tables.counts().throttled, 5);
    }
}

#[tokio::test]
async fn units_are_of_sizes_and_a_large_item_overdraws() {
    let mut world = World::new(provisioned(100, 10), None, on()).await;
    world.put(large(key("k", 1), 25)).await.unwrap();
    assert!(world.put(key("k", 2)).await.is_err());
    world.pass(1_500);
    assert!(
        world.put(key("k", 2)).await.is_err(),
        "25 units of 10 a second, and one second's worth at first"
    );
    world.pass(1);
    assert_eq!(world.puts(spread(100)).await, 1);
    // Deleting and replacing cost the larger size.
    world.pass(1_000);
    let table = world.table();
    world
        .tables
        .writes()
        .delete(&table, &key("k", 1), Default::default())
        .await
        .unwrap();
    assert!(world.put(key("k", 2)).await.is_err());
    world.pass(1_400);
    assert!(world.put(key("k", 2)).await.is_err());
    world.pass(200);
    assert!(world.put(key("k", 2)).await.is_ok());
}

#[tokio::test]
async fn a_failed_condition_consumes_by_the_size_of_the_item() {
    let mut world = World::new(provisioned(100, 10), None, on()).await;
    world.put(large(key("k", 1), 5)).await.unwrap();
    let fails = condition("attribute_not_exists(p)", None);
    let table = world.table();
    let put = async |item: Item| {
        let options = geodynamo_table::WriteOptions {
            condition: Some(&fails),
            ..Default::default()
        };
        world.tables.writes().put(&table, item, options).await
    };
    assert!(matches!(put(key("k", 1)).await, Err(TableError::ConditionFailed(_))));
    // 5 for the put and 5 for the condition: nothing is left, so the next one is not even looked at.
    assert!(matches!(put(key("k", 1)).await, Err(TableError::Throttled(_))));
    // The larger of the item as it is and as it would have become.
    world.pass(1_000);
    let table = world.table();
    let update = async |kilobytes: usize| {
        let options = geodynamo_table::WriteOptions {
            condition: Some(&fails),
            ..Default::default()
        };
        let change = crate::support::update("SET y = :v", s(&"x".repeat(kilobytes * 1024 - 100)));
        world
            .tables
            .writes()
            .update(&table, &key("k", 1), Some(&change), options)
            .await
    };
    assert!(matches!(update(8).await, Err(TableError::ConditionFailed(_))));
    assert!(
        matches!(update(1).await, Err(TableError::ConditionFailed(_))),
        "two were left"
    );
    assert!(matches!(update(1).await, Err(TableError::Throttled(_))));
    let missing = condition("attribute_exists(p)", None);
    // Three were overdrawn.
    world.pass(1_300);
    let table = world.table();
    for expected in 0..11 {
        let options = geodynamo_table::WriteOptions {
            condition: Some(&missing),
            ..Default::default()
        };
        let result = world.tables.writes().put(&table, key("none", 1), options).await;
        let out = matches!(result, Err(TableError::Throttled(_)));
        assert_eq!(out, expected == 10, "{result:?}");
    }
}

#[tokio::test]
async fn reads_cost_half_unless_consistent_and_count_apart_from_writes() {
    let mut world = World::new(provisioned(10, 5), None, on()).await;
    world.put(key("k", 1)).await.unwrap();
    assert_eq!(world.gets(&key("k", 1), false).await, 20);
    world.pass(1_000);
    assert_eq!(world.gets(&key("k", 1), true).await, 10);
    world.pass(1_000);
    assert_eq!(world.gets(&key("missing", 1), false).await, 20);
    // 9 KB: three units.
    world.pass(60_000);
    world.put(large(key("large", 1), 5)).await.unwrap();
    world.pass(600_000);
    assert_eq!(world.gets(&key("large", 1), true).await, 1_500);
    assert_eq!(
        throttled(world.tables.reads().get_item(&world.table(), &key("k", 1), false).await)
            .unwrap_err()
            .to_string(),
        "TableReadProvisionedThroughputExceeded"
    );
    let wanted: Vec<_> = (0..100).map(|number| key("k", number)).collect();
    world.pass(3_000);
    let read = world
        .tables
        .reads()
        .get_items(&world.table(), &wanted, true)
        .await
        .unwrap();
    assert_eq!(read.found.len(), 30, "as many as there is capacity for");
    assert!(matches!(read.throttled, Some(TableError::Throttled(_))));
}

#[tokio::test]
async fn a_global_index_without_capacity_throttles_the_writes_of_its_table() {
    let index = Throughput { read: 4, write: 2 };
    let mut world = World::new(provisioned(1_000, 1_000), Some(index), on()).await;
    let indexed = |number: i64| with(key("k", number), "g", s(&format!("g{number}")));
    assert_eq!(world.puts((0..100).map(indexed)).await, 2);
    let refused = world.put(indexed(50)).await.unwrap_err();
    assert_eq!(refused.to_string(), "IndexWriteProvisionedThroughputExceeded");
    assert_eq!(&*refused.resource, "arn:aws:dynamodb:a:000000000000:table/t/index/by-g");
    assert_eq!(world.puts(spread(100)).await, 100, "writes that it does not have go on");
    world.pass(1_000);
    // A changed key is taken away and put: two units.
    world.put(with(key("k", 0), "g", s("moved"))).await.unwrap();
    assert!(world.put(indexed(3)).await.is_err());

    // Reads of it are its own.
    world.pass(10_000);
    let query = || Query {
        index: Some("by-g"),
        partition: vec![s("moved")],
        sort_equal: Vec::new(),
        sort: None,
        forward: true,
        limit: None,
        start: None,
        filter: None,
        consistent: false,
        fetch_base: false,
    };
    let mut pages = 0;
    while throttled(world.tables.reads().query(&world.table(), query()).await).is_ok() {
        pages += 1;
    }
    // 11 seconds and the first, at 4 units a second, a half each.
    assert_eq!(pages, 12 * 8);
    let free = world.tables.reads().query_free(&world.table(), query()).await.unwrap();
    assert_eq!(free.items.len(), 1);
}

/// An on-demand table has four partitions, and a scan reads of each of them.
#[tokio::test]
async fn a_scan_takes_of_every_partition_whether_it_finds_something_or_not() {
    let mut world = World::new(Billing::OnDemand, None, on()).await;
    let most = OnDemandUpdate {
        read: Some(Some(10)),
        write: None,
    };
    let throughput = ThroughputUpdate {
        on_demand: Some(most),
        ..ThroughputUpdate::default()
    };
    let update = UpdateTable {
        throughput,
        ..UpdateTable::default()
    };
    world.tables.catalog().update_table("t", update).await.unwrap();
    let scans = async |world: &World, segment: Option<(u32, u32)>| {
        let mut pages = Vec::new();
        loop {
            let request = ScanRequest {
                consistent: true,
                segment,
                ..ScanRequest::default()
            };
            match world.tables.reads().scan(&world.table(), request).await {
                Ok(page) => pages.push(page.capacity.table),
                Err(error) => {
                    assert_eq!(throttled::<()>(Err(error)).unwrap_err().limit, Limit::OnDemandMaximum);
                    break pages;
                }
            }
        }
    };
    // 10 units; the last is let in while there is one left.
    assert_eq!(scans(&world, None).await, [4.0; 3]);
    // Two were overdrawn.
    world.pass(1_200);
    assert_eq!(scans(&world, Some((1, 4))).await, [1.0; 10]);
    for number in 0..100 {
        world.put(key(&format!("k{number}"), number)).await.unwrap();
    }
    world.pass(1_000);
    // A page that finds something ends where the capacity does.
    assert_eq!(scans(&world, None).await, [4.0, 4.0, 2.0]);
}

#[tokio::test]
async fn a_page_ends_where_the_capacity_does() {
    let mut world = World::new(provisioned(3, 1_000), None, on()).await;
    for number in 0..20 {
        world.put(large(key("k", number), 4)).await.unwrap();
    }
    world.pass(9_000);
    // Ten seconds' worth at 3 a second; nearly 4 KB an item, so a consistent read takes about a unit for each.
    let query = |start: Option<Item>| Query {
        index: None,
        partition: vec![s("k")],
        sort_equal: Vec::new(),
        sort: None,
        forward: true,
        limit: None,
        start,
        filter: None,
        consistent: true,
        fetch_base: false,
    };
    let whole = world.tables.reads().query(&world.table(), query(None)).await.unwrap();
    assert_eq!((whole.items.len(), whole.last_key), (20, None));
    let short = world.tables.reads().query(&world.table(), query(None)).await.unwrap();
    assert_eq!((short.items.len(), short.scanned), (10, 10));
    assert_eq!(short.last_key, Some(key("k", 9)));
    assert_eq!(short.capacity.table, 10.0);
    let refused = world
        .tables
        .reads()
        .query(&world.table(), query(short.last_key.clone()))
        .await;
    assert!(matches!(refused, Err(TableError::Throttled(_))));
    let scan = world.tables.reads().scan(&world.table(), ScanRequest::default()).await;
    assert!(matches!(scan, Err(TableError::Throttled(_))));
    world.pass(10_000);
    let rest = world
        .tables
        .reads()
        .query(&world.table(), query(short.last_key))
        .await
        .unwrap();
    assert_eq!((rest.items.len(), rest.last_key), (10, None));
    let scan = world
        .tables
        .reads()
        .scan(&world.table(), ScanRequest::default())
        .await
        .unwrap();
    assert_eq!(
        (scan.scanned, scan.last_key),
        (20, None),
        "20 left, of which it takes half a unit for each"
    );
}

#[tokio::test]
async fn a_hot_key_is_held_to_its_ceiling_and_others_go_on() {
    let mut throttle = on();
    throttle.key_range = Throughput { read: 30, write: 10 };
    let mut world = World::new(Billing::OnDemand, None, throttle).await;
    for round in 0..3 {
        assert_eq!(
            world.puts((0..100).map(|number| key("hot", number))).await,
            10,
            "{round}"
        );
        let refused = world.put(key("hot", 1)).await.unwrap_err();
        assert_eq!(refused.to_string(), "TableWriteKeyRangeThroughputExceeded");
        assert!(refused.on_demand);
        assert_eq!(world.gets(&key("hot", 1), true).await, 30);
        world.put(key("cold", round)).await.unwrap();
        // Nothing is saved.
        world.pass(100_000);
    }
    // And the ceiling holds where more is provisioned.
    let world = World::new(provisioned(1_000, 1_000), None, throttle).await;
    assert_eq!(world.puts((0..100).map(|number| key("hot", number))).await, 10);
    assert!(world.puts(spread(200)).await >= 100);
    // Without ceilings there are none.
    throttle.key_range = Throughput::default();
    let world = World::new(Billing::OnDemand, None, throttle).await;
    assert_eq!(world.puts((0..3_000).map(|number| key("hot", number))).await, 3_000);
}

#[tokio::test]
async fn a_hot_key_of_an_index_is_held_to_its_ceiling() {
    let mut throttle = on();
    throttle.key_range = Throughput { read: 30, write: 10 };
    let world = World::new(Billing::OnDemand, None, throttle).await;
    let same = |item: Item| with(item, "g", s("same"));
    let put = world.puts(spread(100).map(same)).await;
    assert_eq!(put, 10);
    let refused = world.put(with(key("other", 1), "g", s("same"))).await.unwrap_err();
    assert_eq!(refused.to_string(), "IndexWriteKeyRangeThroughputExceeded");
    world.put(with(key("other", 1), "g", s("another"))).await.unwrap();
}

#[tokio::test]
async fn the_accounts_quota_holds_on_demand_tables() {
    let mut throttle = on();
    throttle.on_demand = Throughput { read: 40, write: 20 };
    let world = World::new(Billing::OnDemand, None, throttle).await;
    assert_eq!(world.puts(spread(100)).await, 20);
    let refused = world.put(key("k", 1)).await.unwrap_err();
    assert_eq!(
        (refused.limit, refused.to_string().as_str()),
        (Limit::AccountQuota, "TableWriteAccountLimitExceeded")
    );
    let world = World::new(provisioned(100, 100), None, throttle).await;
    assert_eq!(
        world.puts(spread(200)).await,
        100,
        "provisioned tables have what is provisioned"
    );
}

#[tokio::test]
async fn a_transaction_takes_twice_and_is_refused_whole() {
    let mut world = World::new(provisioned(10, 10), None, on()).await;
    let actions = |from: i64, count: i64| -> Vec<_> {
        (from..from + count)
            .map(|number| TransactWrite {
                table: world.tables.table("t").unwrap(),
                action: TransactAction::Put(key("k", number)),
                condition: None,
                values_bytes: 0,
                old_on_failure: false,
            })
            .collect()
    };
    world.tables.writes().transact_write(actions(0, 4), None).await.unwrap();
    // Two units are left: the first action of three is let in, and nothing is written.
    let error = world
        .tables
        .writes()
        .transact_write(actions(10, 3), None)
        .await
        .unwrap_err();
    let TableError::TransactionCanceled(reasons) = error else {
        panic!("{error}");
    };
    let out: Vec<_> = reasons.iter().map(Option::is_some).collect();
    assert_eq!(out, [false, true, true]);
    assert!(matches!(reasons[1], Some(TableError::Throttled(_))));
    let wanted: Vec<_> = (0..20).map(|number| (world.table(), key("k", number))).collect();
    world.pass(3_000);
    let found = world.tables.writes().transact_get(&wanted).await.unwrap();
    assert_eq!(found.iter().flatten().count(), 4);
    let error = world.tables.writes().transact_get(&wanted).await.unwrap_err();
    assert!(matches!(error, TableError::TransactionCanceled(_)), "{error}");
}

#[tokio::test]
async fn what_is_provisioned_may_change_and_what_was_used_stays_used() {
    let mut world = World::new(provisioned(10, 10), None, on()).await;
    assert_eq!(world.puts(spread(100)).await, 10);
    let update = UpdateTable {
        billing: Some(provisioned(10, 100)),
        ..UpdateTable::default()
    };
    world.tables.catalog().update_table("t", update).await.unwrap();
    assert_eq!(world.puts(spread(100)).await, 0);
    world.pass(1_000);
    assert_eq!(world.puts(spread(1_000)).await, 100);
    let update = UpdateTable {
        billing: Some(Billing::OnDemand),
        ..UpdateTable::default()
    };
    world.tables.catalog().update_table("t", update).await.unwrap();
    assert_eq!(world.puts(spread(500)).await, 500);
}

#[tokio::test]
async fn what_is_not_asked_for_by_clients_is_never_throttled() {
    let mut world = World::new(provisioned(10, 10), None, on()).await;
    world.tables.expiry().update_time_to_live("t", true, "x").await.unwrap();
    let past = n((NOW / 1000) as i64 - 60);
    assert_eq!(
        world.puts(spread(100).map(|item| with(item, "x", past.clone()))).await,
        10
    );
    assert_eq!(world.tables.expiry().sweep_expired().await.unwrap().expired, 10);
    world.pass(1_000);
    assert_eq!(world.puts(spread(100)).await, 10, "expiries consume nothing");

    let off = World::new(provisioned(1, 1), None, ThrottleOptions::default()).await;
    assert_eq!(off.puts(spread(500)).await, 500);
    assert!(!off.table().is_throttled());
}
