//! Keys and values: reads, writes, scans.

use std::{collections::BTreeMap, ops::Bound};

use bytes::Bytes;

use super::support::{Numbers, all_rows, bytes, everything, key, put, range};
use crate::{Commit, Direction, Engine, Page, Scan, Write};

pub(super) async fn reads_and_writes<E: Engine>(engine: E) {
    let (a, b, c) = (key("a"), key("b"), key("c"));
    assert_eq!(engine.get(&a).await.unwrap(), None, "an empty engine has no keys");
    assert_eq!(all_rows(&engine).await, [], "an empty engine has no rows");
    assert_eq!(
        engine.commit(Commit::default()).await.unwrap(),
        [],
        "an empty commit is one"
    );

    engine
        .commit(Commit::of([put(&a, "1"), put(&b, ""), put(&c, "3")]))
        .await
        .unwrap();
    assert_eq!(engine.get(&a).await.unwrap(), Some(bytes("1")), "a put is read back");
    assert_eq!(
        engine.get(&b).await.unwrap(),
        Some(bytes("")),
        "an empty value is a value"
    );
    assert_eq!(engine.get(&key("aa")).await.unwrap(), None, "a prefix is not a match");
    assert_eq!(
        engine.get(&b"x".repeat(crate::KEY_BYTES_MAX + 1)).await.unwrap(),
        None,
        "too long a key is not there"
    );
    let keys = [c.clone(), key("x"), a.clone(), c.clone()];
    let values = [Some(bytes("3")), None, Some(bytes("1")), Some(bytes("3"))];
    assert_eq!(engine.get_many(&keys).await.unwrap(), values, "in the keys' order");
    assert_eq!(engine.get_many(&[]).await.unwrap(), [], "get_many of nothing");
    // Twice: what was read may be kept somewhere.
    for _ in 0..2 {
        assert_eq!(engine.get_each(&keys).await.unwrap(), values, "in the keys' order");
    }
    assert_eq!(engine.get_each(&[]).await.unwrap(), [], "get_each of nothing");

    engine
        .commit(Commit::of([
            put(&a, "2"),
            Write::Delete(b.clone()),
            Write::Delete(key("x")),
        ]))
        .await
        .unwrap();
    assert_eq!(
        all_rows(&engine).await,
        [(a.clone(), bytes("2")), (c.clone(), bytes("3"))],
        "overwrite and delete"
    );

    // Writes of one commit are applied in order.
    engine
        .commit(Commit::of([
            put(&a, "x"),
            Write::DeleteRange(key("a"), key("c")),
            put(&b, "y"),
            Write::Delete(c.clone()),
            put(&c, "z"),
            Write::DeleteRange(key("c"), key("c")),
            Write::DeleteRange(key("z"), key("a")),
        ]))
        .await
        .unwrap();
    assert_eq!(
        all_rows(&engine).await,
        [(b, bytes("y")), (c, bytes("z"))],
        "writes are applied in order"
    );
}

pub(super) async fn scan_limits<E: Engine>(engine: E) {
    // Ten rows of 22 bytes of key and 78 of value.
    let rows: Vec<(Bytes, Bytes)> = (0..10).map(|i| (key(format!("row-{i}")), bytes([i; 78]))).collect();
    engine
        .commit(Commit::of(
            rows.iter()
                .map(|(k, v)| Write::Put(k.clone(), v.clone()))
                .collect::<Vec<_>>(),
        ))
        .await
        .unwrap();

    let check = async |rows_max: usize, bytes_max: usize, expect: usize| {
        for direction in [Direction::Forward, Direction::Reverse] {
            let page = engine
                .scan(Scan {
                    direction,
                    rows_max,
                    bytes_max,
                    ..everything()
                })
                .await
                .unwrap();
            let mut expected = rows.clone();
            if direction == Direction::Reverse {
                expected.reverse();
            }
            expected.truncate(expect);
            assert_eq!(
                page.rows, expected,
                "scan of at most {rows_max} rows and {bytes_max} bytes, {direction:?}"
            );
            let limited = expect >= rows_max || expect * 100 >= bytes_max;
            assert_eq!(
                page.more, limited,
                "`more` says whether a limit ended the scan: {rows_max} {bytes_max}"
            );
        }
    };
    check(usize::MAX, usize::MAX, 10).await;
    check(3, usize::MAX, 3).await;
    check(10, usize::MAX, 10).await;
    check(11, usize::MAX, 10).await;
    check(1, usize::MAX, 1).await;
    check(0, usize::MAX, 1).await;
    check(usize::MAX, 0, 1).await;
    check(usize::MAX, 1, 1).await;
    check(usize::MAX, 100, 1).await;
    check(usize::MAX, 101, 2).await;
    check(usize::MAX, 300, 3).await;
    check(2, 300, 2).await;
    check(5, 300, 3).await;

    let none = Scan {
        rows_max: 0,
        bytes_max: 0,
        ..range(Bound::Excluded(key("row-9")), Bound::Unbounded)
    };
    assert_eq!(
        engine.scan(none).await.unwrap(),
        Page::default(),
        "a page of no rows is not limited"
    );
}

/// Random commits, then random scans, against a `BTreeMap`.
pub(super) async fn like_a_model<E: Engine>(engine: E) {
    let mut numbers = Numbers(0x9E37_79B9_7F4A_7C15);
    let mut model: BTreeMap<Bytes, Bytes> = BTreeMap::new();
    for round in 0..150u64 {
        let mut writes = Vec::new();
        for _ in 0..=numbers.below(8) {
            let (a, b) = (any_key(&mut numbers), any_key(&mut numbers));
            match numbers.below(10) {
                0 if a < b => {
                    model.retain(|key, _| key < &a || key >= &b);
                    writes.push(Write::DeleteRange(a, b));
                }
                1 | 2 => {
                    model.remove(&a);
                    writes.push(Write::Delete(a));
                }
                _ => {
                    let value = bytes(vec![round as u8; numbers.below(40) as usize]);
                    model.insert(a.clone(), value.clone());
                    writes.push(Write::Put(a, value));
                }
            }
        }
        engine.commit(Commit::of(writes)).await.unwrap();
        for _ in 0..6 {
            let scan = Scan {
                direction: if numbers.below(2) == 0 {
                    Direction::Forward
                } else {
                    Direction::Reverse
                },
                rows_max: if numbers.below(2) == 0 {
                    usize::MAX
                } else {
                    numbers.below(6) as usize
                },
                bytes_max: if numbers.below(2) == 0 {
                    usize::MAX
                } else {
                    numbers.below(200) as usize
                },
                ..range(any_bound(&mut numbers), any_bound(&mut numbers))
            };
            assert_eq!(
                engine.scan(scan.clone()).await.unwrap(),
                model_scan(&model, &scan),
                "{scan:?}"
            );
        }
        let key = any_key(&mut numbers);
        assert_eq!(engine.get(&key).await.unwrap(), model.get(&key).cloned(), "get {key:?}");
    }
    assert!(
        all_rows(&engine).await.into_iter().eq(model),
        "the whole, in bytewise order"
    );
}

/// Few distinct keys, with bytes that are easily put in the wrong order, some a prefix of others.
fn any_key(numbers: &mut Numbers) -> Bytes {
    let length = numbers.below(4);
    let rest: Vec<u8> = (0..length)
        .map(|_| [0x00, 0x01, 0x7F, 0x80, 0xFF][numbers.below(5) as usize])
        .collect();
    key(rest)
}

fn any_bound(numbers: &mut Numbers) -> Bound<Bytes> {
    match numbers.below(5) {
        0 => Bound::Unbounded,
        1 | 2 => Bound::Included(any_key(numbers)),
        _ => Bound::Excluded(any_key(numbers)),
    }
}

fn model_scan(model: &BTreeMap<Bytes, Bytes>, scan: &Scan) -> Page {
    let mut page = Page::default();
    let mut size = 0;
    let above = |key: &Bytes| match &scan.from {
        Bound::Unbounded => true,
        Bound::Included(from) => key >= from,
        Bound::Excluded(from) => key > from,
    };
    let below = |key: &Bytes| match &scan.to {
        Bound::Unbounded => true,
        Bound::Included(to) => key <= to,
        Bound::Excluded(to) => key < to,
    };
    let mut rows: Vec<_> = model.iter().filter(|(key, _)| above(key) && below(key)).collect();
    if scan.direction == Direction::Reverse {
        rows.reverse();
    }
    for (key, value) in rows {
        page.rows.push((key.clone(), value.clone()));
        size += key.len() + value.len();
        if page.rows.len() >= scan.rows_max || size >= scan.bytes_max {
            page.more = true;
            break;
        }
    }
    page
}
