//! Reads: queries and scans against a naive model of the same items.

use std::collections::BTreeSet;

use geodynamo_expression::SortCondition;
use geodynamo_item::{AttributeValue, Item};
use geodynamo_storage::Spanning;
use geodynamo_table::{
    CreateTable, Query, ReadPage, ScanRequest, Table, WriteOptions,
    schema::{Billing, Throughput},
};

use crate::support::{MODES, Region, alone, condition, definition, item, key, n, put, s, update, with};

/// 60 items under three partition keys; two thirds have an entry in the local index, half one in the global index.
fn model() -> Vec<Item> {
    let make = |number: i64| {
        let mut item = key(["a", "b", "c"][number as usize % 3], number - 30);
        if number % 3 != 1 || number > 40 {
            item = with(item, "l", s(&format!("l{}", number * 7 % 10)));
        }
        if number % 2 == 0 {
            item = with(item, "g", s(["g", "h"][number as usize % 4 / 2]));
        }
        with(item, "x", n(number))
    };
    (0..60).map(make).collect()
}

async fn filled(mode: geodynamo_storage::Spanning) -> (Region, std::sync::Arc<Table>) {
    let (tables, table) = alone(mode).await;
    for item in model() {
        // Written twice and once deleted between: what is left over would show.
        put(&tables, "t", with(item.clone(), "g", s("stale"))).await;
        let key = item
            .iter()
            .filter(|(name, _)| *name == "p" || *name == "s")
            .map(|(name, value)| (name.clone(), value.clone()))
            .collect();
        tables
            .writes()
            .delete(&table, &key, WriteOptions::default())
            .await
            .unwrap();
        put(&tables, "t", item).await;
    }
    (tables, table)
}

/// An index's name, its partition key and its sort key.
const SHAPES: [(Option<&str>, &str, &str); 3] = [(None, "p", "s"), (Some("by-l"), "p", "l"), (Some("by-g"), "g", "s")];

#[tokio::test]
async fn queries_page_through_what_a_naive_model_gives() {
    for mode in MODES {
        let (tables, table) = filled(mode).await;
        for (index, partition, sort) in SHAPES {
            let point = |number: i64| {
                if sort == "l" {
                    s(&format!("l{number}"))
                } else {
                    n(number)
                }
            };
            let conditions = [
                None,
                Some(SortCondition::Equal(point(4))),
                Some(SortCondition::Less(point(4))),
                Some(SortCondition::LessOrEqual(point(4))),
                Some(SortCondition::Greater(point(4))),
                Some(SortCondition::GreaterOrEqual(point(4))),
                Some(SortCondition::Between(point(2), point(7))),
                Some(SortCondition::Between(point(7), point(2))),
            ];
            for value in ["a", "c", "g", "h", "none"] {
                for condition in &conditions {
                    for (forward, limit) in [(true, None), (true, Some(1)), (false, Some(3)), (false, None)] {
                        let expected = naive((partition, value), sort, condition.as_ref());
                        let found = query_all(&tables, &table, (index, s(value)), condition, (forward, limit)).await;
                        let case = format!("{mode:?} {index:?} {value} {condition:?} {forward} {limit:?}");
                        // Of equal index keys any order will do; the sequence of sort keys and the set of items must be
                        // right, and every item must come once.
                        let sorts =
                            |items: &[Item]| items.iter().map(|item| item.get(sort).cloned()).collect::<Vec<_>>();
                        let mut in_order = sorts(&expected);
                        if !forward {
                            in_order.reverse();
                        }
                        assert_eq!(sorts(&found), in_order, "{case}");
                        assert_eq!(ids(&found), ids(&expected), "{case}");
                        assert_eq!(found.len(), expected.len(), "{case}");
                    }
                }
            }
        }
    }
}

fn naive((partition, value): (&str, &str), sort: &str, condition: Option<&SortCondition>) -> Vec<Item> {
    let mut items: Vec<Item> = model()
        .into_iter()
        .filter(|item| item.get(partition) == Some(&s(value)))
        .filter(|item| item.get(sort).is_some_and(|at| holds(condition, at)))
        .collect();
    items.sort_by_key(|item| order(item.get(sort).unwrap()));
    items
}

fn holds(condition: Option<&SortCondition>, at: &AttributeValue) -> bool {
    let at = order(at);
    match condition {
        None => true,
        Some(SortCondition::Equal(value)) => at == order(value),
        Some(SortCondition::Less(value)) => at < order(value),
        Some(SortCondition::LessOrEqual(value)) => at <= order(value),
        Some(SortCondition::Greater(value)) => at > order(value),
        Some(SortCondition::GreaterOrEqual(value)) => at >= order(value),
        Some(SortCondition::Between(low, high)) => order(low) <= at && at <= order(high),
        Some(other) => panic!("not used here: {other:?}"),
    }
}

fn order(value: &AttributeValue) -> (i64, String) {
    match value {
        AttributeValue::N(number) => (number.to_i64().unwrap(), String::new()),
        AttributeValue::S(text) => (0, text.to_string()),
        other => panic!("no key: {other:?}"),
    }
}

fn ids(items: &[Item]) -> BTreeSet<String> {
    let id = |item: &Item| format!("{:?} {:?}", item.get("p"), item.get("s"));
    items.iter().map(id).collect()
}

async fn query_all(
    tables: &Region,
    table: &Table,
    (index, partition): (Option<&str>, AttributeValue),
    sort: &Option<SortCondition>,
    (forward, limit): (bool, Option<usize>),
) -> Vec<Item> {
    let mut all = Vec::new();
    let mut start = None;
    for _ in 0..100 {
        let query = Query {
            index,
            partition: vec![partition.clone()],
            sort_equal: Vec::new(),
            sort: sort.clone(),
            forward,
            limit,
            start,
            filter: None,
            consistent: false,
            fetch_base: false,
        };
        let page = tables.reads().query(table, query).await.unwrap();
        assert!(limit.is_none_or(|limit| page.scanned <= limit));
        assert_eq!(page.scanned, page.items.len());
        all.extend(items(&page));
        match page.last_key {
            None => return all,
            last => start = last,
        }
    }
    panic!("the query never ends");
}

fn items(page: &ReadPage) -> Vec<Item> {
    page.items.iter().map(|item| item.decode().unwrap()).collect()
}

#[tokio::test]
async fn scan_segments_cover_everything_once() {
    for mode in MODES {
        let (tables, table) = filled(mode).await;
        for (index, total, limit) in [
            (None, 1, None),
            (None, 4, Some(3)),
            (None, 7, None),
            (Some("by-g"), 3, Some(1)),
            (Some("by-l"), 5, Some(2)),
        ] {
            let sort = SHAPES.iter().find(|shape| shape.0 == index).unwrap();
            let expected: Vec<_> = model()
                .into_iter()
                .filter(|item| item.get(sort.1).is_some() && item.get(sort.2).is_some())
                .collect();
            let mut found = Vec::new();
            for segment in 0..total {
                let mut start = None;
                loop {
                    let request = ScanRequest {
                        index,
                        limit,
                        start,
                        segment: Some((segment, total)),
                        ..ScanRequest::default()
                    };
                    let page = tables.reads().scan(&table, request).await.unwrap();
                    found.extend(items(&page));
                    match page.last_key {
                        None => break,
                        last => start = last,
                    }
                }
            }
            assert_eq!(found.len(), expected.len(), "{index:?} {total}");
            assert_eq!(ids(&found), ids(&expected), "{index:?} {total}");
        }
        let segment = Some((4, 4));
        let request = ScanRequest {
            segment,
            ..ScanRequest::default()
        };
        assert!(tables.reads().scan(&table, request).await.is_err());
    }
}

/// A scan costs as much as its smallest item in every partition that it looks at: DynamoDB's partitions, four of an on-demand
/// table. What is in one is rounded up by itself.
#[tokio::test]
async fn a_scan_costs_in_every_partition() {
    let (tables, table) = alone(Spanning::Yes).await;
    let cost = async |table: &Table, request: ScanRequest<'_>| {
        let halves = tables.reads().scan(table, request).await.unwrap().capacity.total();
        halves * 2.0
    };
    let scan = |index, segment| ScanRequest {
        index,
        segment,
        ..ScanRequest::default()
    };
    for (index, segment, expected) in [
        (None, None, 4.0),
        (Some("by-g"), None, 4.0),
        (Some("by-l"), None, 4.0),
        (None, Some((0, 1)), 4.0),
        (None, Some((0, 2)), 2.0),
        (None, Some((3, 4)), 1.0),
        (None, Some((5, 8)), 1.0),
        (None, Some((0, 3)), 2.0),
        (None, Some((1, 3)), 2.0),
        (Some("by-g"), Some((2, 3)), 2.0),
    ] {
        assert_eq!(
            cost(&table, scan(index, segment)).await,
            expected,
            "{index:?} {segment:?}"
        );
        let consistent = ScanRequest {
            consistent: true,
            ..scan(index, segment)
        };
        assert_eq!(cost(&table, consistent).await, 2.0 * expected, "{index:?} {segment:?}");
    }
    for (read, write, expected) in [(5, 5, 1.0), (3_000, 1_000, 1.0), (3_001, 1, 2.0), (1, 2_500, 3.0)] {
        let mut create = CreateTable {
            billing: Billing::Provisioned(Throughput { read, write }),
            ..definition(&format!("provisioned-{read}"))
        };
        create.global_indexes[0].throughput = Some(Throughput { read: 1, write: 1 });
        tables.catalog().create_table(create).await.unwrap();
        let table = tables.table(&format!("provisioned-{read}")).unwrap();
        assert_eq!(cost(&table, scan(None, None)).await, expected, "{read} {write}");
        assert_eq!(cost(&table, scan(Some("by-l"), None)).await, expected, "{read} {write}");
        assert_eq!(cost(&table, scan(Some("by-g"), None)).await, 1.0, "{read} {write}");
    }

    // With items: the partitions' segments cost together what the whole costs, and pages end where they end.
    for number in 0..60 {
        let item = with(key(&format!("k{number}"), number), "x", s(&"x".repeat(1_500)));
        put(&tables, "t", item).await;
    }
    let whole = cost(&table, scan(None, None)).await;
    let mut parts = 0.0;
    for segment in 0..4 {
        parts += cost(&table, scan(None, Some((segment, 4)))).await;
    }
    assert_eq!(whole, parts);
    let limited = |limit| ScanRequest {
        limit: Some(limit),
        ..ScanRequest::default()
    };
    assert_eq!(
        cost(&table, limited(1)).await,
        1.0,
        "the first is in the first partition"
    );
    let (mut start, mut paged, mut pages) = (None, 0.0, 0.0);
    loop {
        let page = tables
            .reads()
            .scan(&table, ScanRequest { start, ..limited(7) })
            .await
            .unwrap();
        paged += page.capacity.table * 2.0;
        pages += 1.0;
        match page.last_key {
            None => break,
            last => start = last,
        }
    }
    assert!(whole <= paged && paged <= whole + pages, "{whole} {paged}");
}

/// A query of a table without a sort key is of one item: it has no further page, and none can be asked for.
#[tokio::test]
async fn a_query_of_one_item_cannot_go_on() {
    let (tables, _) = alone(Spanning::Yes).await;
    let mut create = definition("hash");
    create.keys.sort = None;
    create.local_indexes = Vec::new();
    create.global_indexes[0].keys.sort = None;
    tables.catalog().create_table(create).await.unwrap();
    let table = tables.table("hash").unwrap();
    let key = |p: &str| item([("p", s(p))]);
    for p in ["a", "b"] {
        put(&tables, "hash", with(key(p), "g", s("g"))).await;
    }
    let query = |index, value, start| Query {
        index,
        partition: vec![s(value)],
        sort_equal: Vec::new(),
        sort: None,
        forward: true,
        limit: Some(1),
        start,
        filter: None,
        consistent: false,
        fetch_base: false,
    };
    let page = tables.reads().query(&table, query(None, "a", None)).await.unwrap();
    assert_eq!((page.items.len(), page.last_key), (1, None));
    for start in [key("a"), key("b"), Item::new()] {
        let error = tables
            .reads()
            .query(&table, query(None, "a", Some(start)))
            .await
            .unwrap_err();
        let text = error.to_string();
        assert!(
            text.starts_with("The provided exclusive start key is invalid: "),
            "{text}"
        );
    }
    // An index without a sort key has many items of one key.
    let first = tables
        .reads()
        .query(&table, query(Some("by-g"), "g", None))
        .await
        .unwrap();
    assert!(first.last_key.is_some());
    let second = tables
        .reads()
        .query(&table, query(Some("by-g"), "g", first.last_key))
        .await
        .unwrap();
    assert_eq!(second.items.len(), 1);
}

#[tokio::test]
async fn indexes_show_what_they_project_and_filters_leave_out_after_reading() {
    for mode in MODES {
        let (tables, table) = alone(mode).await;
        let full = with(with(with(key("a", 1), "g", s("g")), "x", n(1)), "y", s("y"));
        put(&tables, "t", full.clone()).await;
        put(&tables, "t", with(with(key("a", 2), "g", s("g")), "x", n(2))).await;
        let two = condition("x = :v", Some(n(2)));
        let query = |filter, fetch_base| Query {
            index: Some("by-g"),
            partition: vec![s("g")],
            sort_equal: Vec::new(),
            sort: None,
            forward: true,
            limit: None,
            start: None,
            filter,
            consistent: false,
            fetch_base,
        };
        let page = tables.reads().query(&table, query(None, false)).await.unwrap();
        let without_y = item([("p", s("a")), ("s", n(1)), ("g", s("g")), ("x", n(1))]);
        assert_eq!(items(&page)[0], without_y);
        assert_eq!((page.capacity.table, page.capacity.global.len()), (0.0, 1));
        assert_eq!(page.capacity.total(), 0.5);
        let page = tables.reads().query(&table, query(Some(&two), false)).await.unwrap();
        assert_eq!((page.items.len(), page.scanned), (1, 2));
        // An update of an attribute that the index does not have leaves its entry; a deleted one is gone.
        let set = update("SET y = :v", s("z"));
        let written = tables
            .writes()
            .update(&table, &key("a", 1), Some(&set), WriteOptions::default())
            .await;
        assert!(written.unwrap().capacity.global.is_empty());
        let start = with(key("b", 1), "g", s("g"));
        let wrong = Query {
            start: Some(start),
            partition: vec![s("h")],
            ..query(None, false)
        };
        let error = tables.reads().query(&table, wrong).await.unwrap_err().to_string();
        assert!(error.contains("outside query boundaries"), "{error}");
    }
}

#[tokio::test]
async fn a_page_ends_at_a_mebibyte_and_costs_by_its_bytes() {
    for mode in MODES {
        let (tables, table) = alone(mode).await;
        for number in 0..6 {
            put(&tables, "t", with(key("a", number), "x", s(&"x".repeat(300 * 1024)))).await;
        }
        let mut sizes = Vec::new();
        let mut start = None;
        loop {
            let query = Query {
                index: None,
                partition: vec![s("a")],
                sort_equal: Vec::new(),
                sort: None,
                forward: true,
                limit: None,
                start,
                filter: None,
                consistent: true,
                fetch_base: false,
            };
            let page = tables.reads().query(&table, query).await.unwrap();
            let bytes: usize = page.items.iter().map(|item| item.size().unwrap()).sum();
            assert_eq!(page.capacity.table, (bytes.div_ceil(4096)).max(1) as f64);
            sizes.push(page.items.len());
            match page.last_key {
                None => break,
                last => start = last,
            }
        }
        assert_eq!(sizes, [4, 2]);
    }
}
