//! Contributor insights: keys that are accessed and throttled most, by a clock that is stepped.

use geodynamo_item::Item;
use geodynamo_storage::{MemoryEngine, Spanning};
use geodynamo_table::{
    InsightsKind, InsightsMode, Options, Query, TableError, Tables, ThrottleOptions, TransactAction, TransactWrite,
    schema::{Billing, Throughput},
};

use crate::support::{NOW, Region, Time, alone, definition, item, key, n, options, put, s, with};

const ALL: Option<InsightsMode> = Some(InsightsMode::AccessedAndThrottledKeys);

/// The keys of one kind with their weight.
fn told(tables: &Region, index: Option<&str>, kind: InsightsKind) -> Vec<(Item, f64)> {
    let reports = tables.catalog().insights_report("t", index, 5).unwrap();
    let report = reports.into_iter().find(|report| report.kind == kind);
    report.map(|report| report.keys).unwrap_or_default()
}

#[tokio::test]
async fn accessed_keys_are_counted_with_what_they_consume() {
    let (tables, table) = alone(Spanning::Yes).await;
    put(&tables, "t", key("before", 1)).await;
    assert_eq!(tables.catalog().insights_report("t", None, 5).unwrap(), []);
    tables.catalog().set_insights("t", None, ALL).await.unwrap();
    tables.catalog().set_insights("t", Some("by-g"), ALL).await.unwrap();
    let table = tables.table(table.name()).unwrap();

    // A unit for each index that has it, too; the local one's are the table's.
    put(&tables, "t", with(key("a", 1), "g", s("red"))).await;
    put(&tables, "t", key("a", 2)).await;
    put(&tables, "t", with(key("b", 1), "l", s("x"))).await;
    for consistent in [true, false] {
        tables.reads().get_item(&table, &key("a", 1), consistent).await.unwrap();
    }
    tables
        .reads()
        .get_items(&table, &[key("a", 2), key("none", 1)], true)
        .await
        .unwrap();
    let delete = TransactWrite {
        table: table.clone(),
        action: TransactAction::Delete(key("b", 1)),
        condition: None,
        values_bytes: 0,
        old_on_failure: false,
    };
    tables.writes().transact_write(vec![delete], None).await.unwrap();

    let partitions = |name: &str| item([("p", s(name))]);
    assert_eq!(
        told(&tables, None, InsightsKind::AccessedPartitions),
        [
            (partitions("b"), 5.0),
            (partitions("a"), 4.5),
            (partitions("none"), 1.0)
        ]
    );
    assert_eq!(
        told(&tables, None, InsightsKind::AccessedItems),
        [
            (key("b", 1), 5.0),
            (key("a", 1), 2.5),
            (key("a", 2), 2.0),
            (key("none", 1), 1.0)
        ]
    );
    let entry = item([("g", s("red")), ("s", n(1))]);
    let of_index = told(&tables, Some("by-g"), InsightsKind::AccessedPartitions);
    assert_eq!(of_index, [(item([("g", s("red"))]), 1.0)]);
    assert_eq!(told(&tables, Some("by-g"), InsightsKind::AccessedItems), [(entry, 1.0)]);
    assert_eq!(told(&tables, None, InsightsKind::ThrottledPartitions), []);

    // What was counted ends with the setting, and an index's are its own.
    tables.catalog().set_insights("t", None, None).await.unwrap();
    put(&tables, "t", key("a", 1)).await;
    assert_eq!(tables.catalog().insights_report("t", None, 5).unwrap(), []);
    assert_eq!(told(&tables, Some("by-g"), InsightsKind::AccessedPartitions).len(), 1);
    let setting = tables.catalog().insights("t", None).unwrap().unwrap();
    assert!(!setting.enabled);
    let listed: Vec<_> = tables
        .catalog()
        .all_insights(Some("t"))
        .into_iter()
        .map(|(_, index, setting)| (index, setting.enabled))
        .collect();
    assert_eq!(listed, [(None, false), (Some("by-g".to_owned()), true)]);
    for index in ["by-l", "none"] {
        let refused = tables.catalog().set_insights("t", Some(index), ALL).await;
        assert!(matches!(refused, Err(TableError::ResourceNotFound(_))), "{refused:?}");
    }
}

#[tokio::test]
async fn queries_count_their_partition_key() {
    let (tables, _) = alone(Spanning::Yes).await;
    for number in 0..4 {
        put(&tables, "t", with(key("a", number), "x", s(&"x".repeat(3000)))).await;
    }
    tables.catalog().set_insights("t", None, ALL).await.unwrap();
    let table = tables.table("t").unwrap();
    let query = Query {
        index: None,
        partition: vec![s("a")],
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
    assert_eq!(page.items.len(), 4);
    let counted = told(&tables, None, InsightsKind::AccessedPartitions);
    assert_eq!(counted, [(item([("p", s("a"))]), page.capacity.table)]);
    let items: f64 = told(&tables, None, InsightsKind::AccessedItems)
        .iter()
        .map(|(_, units)| units)
        .sum();
    assert!(items > 0.0 && items <= page.capacity.table);
}

#[tokio::test]
async fn throttled_keys_are_counted_by_request() {
    let time = Time::at(NOW);
    let options = Options {
        throttle: ThrottleOptions {
            enabled: true,
            ..ThrottleOptions::default()
        },
        ..options("a", &["a"], &time)
    };
    let tables = Tables::open(MemoryEngine::new(Spanning::Yes), options).await.unwrap();
    let mut create = definition("t");
    create.billing = Billing::Provisioned(Throughput { read: 1, write: 1 });
    create.global_indexes[0].throughput = Some(Throughput { read: 1, write: 1 });
    tables.catalog().create_table(create).await.unwrap();
    tables
        .catalog()
        .set_insights("t", None, Some(InsightsMode::ThrottledKeys))
        .await
        .unwrap();
    let table = tables.table("t").unwrap();
    let mut refused = 0.0;
    for _ in 0..400 {
        let wrote = tables.writes().put(&table, key("hot", 1), Default::default()).await;
        refused += f64::from(u8::from(wrote.is_err()));
    }
    assert!(refused > 10.0);
    assert_eq!(
        told(&tables, None, InsightsKind::ThrottledPartitions),
        [(item([("p", s("hot"))]), refused)]
    );
    assert_eq!(
        told(&tables, None, InsightsKind::ThrottledItems),
        [(key("hot", 1), refused)]
    );
    // Nothing else is counted in this mode.
    let kinds: Vec<_> = tables
        .catalog()
        .insights_report("t", None, 5)
        .unwrap()
        .into_iter()
        .map(|report| report.kind)
        .collect();
    assert_eq!(kinds, [InsightsKind::ThrottledPartitions, InsightsKind::ThrottledItems]);
    time.set(NOW + 6 * 60_000);
    assert_eq!(told(&tables, None, InsightsKind::ThrottledPartitions), []);
}
