//! Writes: conditions, what they give back, limits, counts, units.

use geodynamo_item::{AttributeValue, Item, size};
use geodynamo_storage::Spanning;
use geodynamo_table::{Capacity, TableError, WriteOptions};

use crate::support::{MODES, alone, condition, get, handed_over, item, key, n, put, s, update, with};

const ALL: WriteOptions<'_> = WriteOptions {
    condition: None,
    return_old: true,
    return_new: true,
    old_on_failure: false,
    counts_actions: false,
    waits: false,
};

#[tokio::test]
async fn writes_give_what_they_replaced_and_what_they_made() {
    for mode in MODES {
        let (tables, table) = alone(mode).await;
        let first = with(key("a", 1), "x", s("one"));
        let second = with(key("a", 1), "x", s("two"));
        let put = tables.writes().put(&table, first.clone(), ALL).await.unwrap();
        assert_eq!((put.old, put.new), (None, Some(first.clone())));
        let put = tables.writes().put(&table, second.clone(), ALL).await.unwrap();
        assert_eq!((put.old, put.new), (Some(first), Some(second.clone())));

        let set = update("SET n = if_not_exists(n, :v) + :v", n(4));
        let updated = tables
            .writes()
            .update(&table, &key("a", 1), Some(&set), ALL)
            .await
            .unwrap();
        let third = with(second.clone(), "n", n(8));
        assert_eq!((updated.old, updated.new), (Some(second), Some(third.clone())));
        assert_eq!(get(&tables, "t", &key("a", 1)).await, Some(third.clone()));

        let deleted = tables.writes().delete(&table, &key("a", 1), ALL).await.unwrap();
        assert_eq!((deleted.old, deleted.new), (Some(third), None));
        assert_eq!(get(&tables, "t", &key("a", 1)).await, None);
        let again = tables.writes().delete(&table, &key("a", 1), ALL).await.unwrap();
        assert_eq!((again.old, again.new), (None, None));

        // Behind a tombstone an update makes an item anew, and nothing of the old one is left.
        let made = tables
            .writes()
            .update(&table, &key("a", 1), Some(&set), ALL)
            .await
            .unwrap();
        assert_eq!((made.old, made.new), (None, Some(with(key("a", 1), "n", n(8)))));
        let bare = tables.writes().update(&table, &key("a", 2), None, ALL).await.unwrap();
        assert_eq!(bare.new, Some(key("a", 2)));
        let many = tables
            .reads()
            .get_many(&table, &[key("a", 2), key("a", 3), key("a", 1)])
            .await
            .unwrap();
        let many: Vec<_> = many.iter().map(Option::is_some).collect();
        assert_eq!(many, [true, false, true]);
    }
}

#[tokio::test]
async fn conditions_decide_and_a_refused_write_changes_nothing() {
    for mode in MODES {
        let (tables, table) = alone(mode).await;
        let stored = with(key("a", 1), "x", s("one"));
        put(&tables, "t", stored.clone()).await;
        let before = tables.reads().digest("t").await.unwrap();
        let cases = [
            ("attribute_not_exists(p)", None, false),
            ("x = :v", Some(s("two")), false),
            ("x = :v", Some(s("one")), true),
            ("attribute_exists(p)", None, true),
        ];
        for (text, value, holds) in cases {
            let condition = condition(text, value);
            for old_on_failure in [false, true] {
                let options = WriteOptions {
                    condition: Some(&condition),
                    old_on_failure,
                    ..WriteOptions::default()
                };
                let result = tables.writes().put(&table, stored.clone(), options).await;
                match result {
                    Ok(_) => assert!(holds, "{text}"),
                    Err(TableError::ConditionFailed(failed)) => {
                        assert!(!holds, "{text}");
                        assert_eq!(failed.item, old_on_failure.then(|| stored.clone()));
                        let refused = tables.writes().delete(&table, &key("a", 1), options).await;
                        assert!(matches!(refused, Err(TableError::ConditionFailed(_))));
                        let set = update("SET x = :v", n(1));
                        let refused = tables.writes().update(&table, &key("a", 1), Some(&set), options).await;
                        assert!(matches!(refused, Err(TableError::ConditionFailed(_))));
                        assert_eq!(tables.reads().digest("t").await.unwrap(), before, "{text}");
                    }
                    Err(other) => panic!("{text}: {other}"),
                }
            }
        }
    }
}

#[tokio::test]
async fn keys_and_sizes_are_checked() {
    let big = |bytes: usize| {
        let base = with(key("a", 1), "x", s(""));
        let room = bytes - size::item(&base);
        with(base, "x", s(&"x".repeat(room)))
    };
    let cases: Vec<(Item, &str)> = vec![
        (item([("p", s("a"))]), "Missing the key s in the item"),
        (
            item([("p", n(1)), ("s", n(1))]),
            "Type mismatch for key p expected: S actual: N",
        ),
        (key("", 1), "cannot contain an empty string value. Key: p"),
        (key(&"k".repeat(2049), 1), "hashkey has exceeded"),
        (with(key("a", 1), "l", n(1)), "IndexName: by-l"),
        (with(key("a", 1), "g", s("")), "IndexKey: g"),
        (
            with(key("a", 1), "l", s(&"k".repeat(1025))),
            "Size limit exceeded for Index Key l Actual Size: 1025 bytes Max Size: 1024 bytes IndexName: by-l",
        ),
        (big(400 * 1024 + 1), "Item size has exceeded the maximum allowed size"),
        (key(&"k".repeat(2048), 1), ""),
        (with(key("a", 1), "l", s(&"k".repeat(1024))), ""),
        (big(400 * 1024), ""),
    ];
    for mode in MODES {
        let (tables, table) = alone(mode).await;
        for (item, refusal) in cases.clone() {
            let result = tables.writes().put(&table, item, WriteOptions::default()).await;
            match result {
                Ok(_) => assert_eq!(refusal, ""),
                Err(TableError::Validation(message)) => {
                    assert!(
                        !refusal.is_empty() && message.contains(refusal),
                        "{message}, not {refusal}"
                    );
                }
                Err(other) => panic!("{other:?}, not {refusal}"),
            }
        }
        let schema = "does not match the schema";
        for wrong in [
            item([("p", s("a"))]),
            with(key("a", 1), "x", n(1)),
            item([("p", s("a")), ("s", s("1"))]),
        ] {
            let error = tables.reads().get(&table, &wrong).await.unwrap_err().to_string();
            assert!(error.contains(schema), "{error}");
            let error = tables
                .writes()
                .delete(&table, &wrong, ALL)
                .await
                .unwrap_err()
                .to_string();
            assert!(error.contains(schema), "{error}");
        }
        for (text, refusal) in [("SET p = :v", "part of the key"), ("SET g = :v", "by-g")] {
            let set = update(text, AttributeValue::Bool(true));
            let error = tables
                .writes()
                .update(&table, &key("a", 1), Some(&set), ALL)
                .await
                .unwrap_err();
            assert!(error.to_string().contains(refusal), "{text}: {error}");
        }
    }
}

#[tokio::test]
async fn items_and_bytes_are_counted() {
    for mode in MODES {
        let (tables, table) = alone(mode).await;
        let full = |number: i64| {
            let item = with(key("a", number), "l", s("l"));
            with(with(item, "g", s("g")), "x", s("xyz"))
        };
        let check = |items: u64, bytes: usize, indexed: u64| {
            let shown = tables.describe("t").unwrap();
            assert_eq!((shown.items, shown.bytes), (items, bytes as u64));
            assert_eq!(shown.local_indexes[0].items, indexed);
            assert_eq!(shown.global_indexes[0].items, indexed);
        };
        for number in 0..10 {
            put(&tables, "t", full(number)).await;
        }
        let sum = |from: i64| (from..10).map(|number| size::item(&full(number))).sum::<usize>();
        check(10, sum(0), 10);
        put(&tables, "t", full(3)).await;
        check(10, sum(0), 10);
        tables.writes().delete(&table, &key("a", 0), ALL).await.unwrap();
        tables.writes().delete(&table, &key("a", 0), ALL).await.unwrap();
        check(9, sum(1), 9);
        put(&tables, "t", key("a", 1)).await;
        check(9, sum(2) + size::item(&key("a", 1)), 8);
    }
}

#[tokio::test]
async fn writes_consume_units_of_the_table_and_of_touched_indexes() {
    let one = |g: Option<&str>, bytes: usize| {
        let item = with(key("a", 1), "y", s(&"y".repeat(bytes)));
        match g {
            Some(g) => with(item, "g", s(g)),
            None => item,
        }
    };
    let global = |units: f64| vec![("by-g".to_owned(), units)];
    let steps = [
        (one(None, 10), 1.0, vec![]),
        (one(Some("g"), 1500), 2.0, global(1.0)),
        // The entry is the same: only the table is written, by the larger size.
        (one(Some("g"), 10), 2.0, vec![]),
        // The entry moves: one unit for the old place, one for the new.
        (one(Some("h"), 10), 1.0, global(2.0)),
        (one(None, 10), 1.0, global(1.0)),
    ];
    for mode in MODES {
        let (tables, table) = alone(mode).await;
        for (number, (item, units, global)) in steps.clone().into_iter().enumerate() {
            let written = tables
                .writes()
                .put(&table, item, WriteOptions::default())
                .await
                .unwrap();
            let expected = Capacity {
                table: units,
                local: vec![],
                global,
            };
            assert_eq!(written.capacity, expected, "step {number}");
        }
    }
}

/// A client that hangs up ends its request. What it had handed over is committed all the same, so the next one who writes the key
/// waits for that.
#[tokio::test]
async fn a_write_whose_caller_goes_away_keeps_its_turn() {
    let (tables, table) = alone(Spanning::Yes).await;
    put(&tables, "t", with(key("a", 1), "n", n(0))).await;
    let add = || {
        let (tables, table) = (tables.clone(), table.clone());
        tokio::spawn(async move {
            let add = update("SET n = n + :v", n(1));
            let key = key("a", 1);
            tables.writes().update(&table, &key, Some(&add), ALL).await
        })
    };
    tables.engine().hold();
    let first = add();
    handed_over(&tables, 1).await;
    first.abort();
    assert!(first.await.unwrap_err().is_cancelled());
    let second = add();
    // It cannot read before the first one is durable; without its turn it would be handed over within a few steps.
    for _ in 0..1000 {
        tokio::task::yield_now().await;
    }
    assert_eq!(tables.engine().unsynced(), 1);
    tables.engine().sync();
    handed_over(&tables, 1).await;
    tables.engine().sync();
    let new = second.await.unwrap().unwrap().new;
    assert_eq!(new, Some(with(key("a", 1), "n", n(2))), "neither is lost");
    let counted = table.counts();
    assert_eq!(counted.0, 1);
}
