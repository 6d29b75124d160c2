//! A copy against a plain map, through closings, failures and compactions. What other engines make of it is tested in `tests/sdk`.

use std::collections::BTreeMap;

use geodynamo_item::{AttributeType, AttributeValue, Item, Number, testing::arb_item};
use geodynamo_table::StoredItem;
use proptest::{collection::vec, prelude::*};

use super::{schema::Cell, *};
use crate::Document;

fn shape() -> Shape {
    Shape {
        table: "orders".into(),
        keys: vec![("pk".into(), AttributeType::S), ("item".into(), AttributeType::N)],
    }
}

fn put(key: u32, value: u32) -> Put {
    let mut item = Item::new();
    item.insert("pk".into(), AttributeValue::S(format!("k{key}").into()));
    item.insert("item".into(), AttributeValue::N(Number::parse("1.5").unwrap()));
    item.insert(
        "v".into(),
        AttributeValue::N(Number::parse(&value.to_string()).unwrap()),
    );
    Put {
        key: key.to_be_bytes().to_vec().into(),
        item: StoredItem::encode(&item),
    }
}

fn target(folder: &std::path::Path) -> Iceberg {
    let sink = SinkSpec {
        name: "lake".into(),
        table: "orders".into(),
        postgres: None,
        iceberg: None,
    };
    let mut spec = IcebergSpec::at(folder.to_string_lossy().into_owned());
    // Snapshots go at once.
    spec.keep_seconds = 0;
    spec.document = Document::Plain;
    Iceberg::new(&sink, spec, false)
}

fn held(position: u64) -> Held {
    Held {
        epoch: "e".into(),
        positions: vec![position, 7],
    }
}

/// The live rows, by their documents; no item may be there twice.
async fn content(open: &mut Open) -> Vec<String> {
    let columns = open.columns().unwrap().clone();
    let mut found = Vec::new();
    for file in open.state.files.clone() {
        let deleted = match &file.deletes {
            Some(deletes) => files::read_places(open.store.get(&deletes.name).await.unwrap()).unwrap(),
            None => Vec::new(),
        };
        let rows = files::read_rows(&columns, open.store.get(&file.file.name).await.unwrap()).unwrap();
        assert_eq!(rows.len() as u64, file.file.rows);
        assert!(rows.is_sorted_by_key(|row| row.digest));
        for (place, row) in rows.into_iter().enumerate() {
            if !deleted.contains(&(place as u32)) {
                assert!(matches!(row.keys[1], Cell::Double(number) if number == 1.5));
                found.push(row.item);
            }
        }
    }
    found.sort();
    found
}

/// The documents of a sink's copy; none if it is not there, or moves on while it is read.
pub(crate) async fn documents(sink: &SinkSpec) -> Option<Vec<String>> {
    let spec = sink.iceberg.clone()?;
    let store = Store::open(&spec, &sink.table).ok()?;
    let state = store.current().await.ok()??;
    let mut found = Vec::new();
    for file in &state.files {
        let deleted = match &file.deletes {
            Some(deletes) => files::read_places(store.get(&deletes.name).await.ok()?).ok()?,
            None => Vec::new(),
        };
        let rows = files::read_rows(state.schemas.last()?, store.get(&file.file.name).await.ok()?).ok()?;
        let live = (0_u32..).zip(rows).filter(|(place, _)| !deleted.contains(place));
        found.extend(live.map(|(_, row)| row.item));
    }
    found.sort();
    Some(found)
}

fn expected(model: &BTreeMap<u32, u32>) -> Vec<String> {
    let document = |(key, value): (&u32, &u32)| format!("{{\"item\":1.5,\"pk\":\"k{key}\",\"v\":{value}}}");
    let mut all: Vec<String> = model.iter().map(document).collect();
    all.sort();
    all
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 32, ..ProptestConfig::default() })]

    /// Whatever items have, and whichever columns came later.
    #[test]
    fn files_of_typed_rows_stay_readable(batches in vec(vec(arb_item(), 0..6), 1..4)) {
        let shape = Shape {
            keys: vec![("pk".into(), AttributeType::S), ("sk".into(), AttributeType::N)],
            ..shape()
        };
        let mut columns = Columns::of(&shape, 0, 1, true);
        let mut written = Vec::new();
        for (number, batch) in batches.into_iter().enumerate() {
            let put = |(place, mut item): (usize, Item)| {
                item.insert("pk".into(), AttributeValue::S(format!("{number}/{place}").into()));
                item.insert("sk".into(), AttributeValue::N(Number::parse(&place.to_string()).unwrap()));
                Put {
                    key: format!("{number}/{place}").into_bytes().into(),
                    item: StoredItem::encode(&item),
                }
            };
            let puts: Vec<Put> = batch.into_iter().enumerate().map(put).collect();
            let rows = columns.rows(&puts, Document::Plain).unwrap();
            written.push((files::rows(&columns, &rows).unwrap(), rows));
        }
        for (file, rows) in written {
            prop_assert_eq!(files::read_rows(&columns, file).unwrap(), rows);
        }
    }
}

#[tokio::test]
async fn attributes_get_columns_as_they_are_seen() {
    let folder = tempfile::tempdir().unwrap();
    let mut lake = target(folder.path());
    lake.spec.columns = crate::Columns::Typed;
    let put = |key: u32, name: &str, value: AttributeValue| {
        let mut item = Item::new();
        item.insert("pk".into(), AttributeValue::S(format!("k{key}").into()));
        item.insert("item".into(), AttributeValue::N(Number::parse("1.5").unwrap()));
        item.insert(name.into(), value);
        Put {
            key: key.to_be_bytes().to_vec().into(),
            item: StoredItem::encode(&item),
        }
    };
    let text = |text: &str| AttributeValue::S(text.into());
    assert_eq!(lake.open(&shape()).await.unwrap(), None);
    lake.begin_load(&shape()).await.unwrap();
    lake.load(&[put(0, "a", text("x")), put(1, "b", text("y"))])
        .await
        .unwrap();
    lake.end_load(&held(0)).await.unwrap();
    for position in 0..12_u64 {
        let batch = Batch {
            puts: vec![
                put(2, "a", AttributeValue::Bool(true)),
                put(3, &format!("c{position}"), text("z")),
            ],
            deletes: Vec::new(),
        };
        lake.apply(&batch, &held(position), &held(position + 1)).await.unwrap();
    }
    // As it is found again, with what it has learned.
    let mut lake = target(folder.path());
    lake.spec.columns = crate::Columns::Typed;
    assert_eq!(lake.open(&shape()).await.unwrap(), Some(held(12)));
    let open = lake.opened().unwrap();
    let columns = open.columns().unwrap().clone();
    let names: Vec<&str> = columns.attributes.iter().map(|column| column.name.as_str()).collect();
    assert_eq!(names[..5], ["a", "item_", "b", "a_boolean", "c0"]);
    assert_eq!((names.len(), open.state.schemas.len()), (16, 1));
    // Files from before, too, for they were compacted with younger ones.
    assert!(open.state.files.len() < 12);
    let mut found = BTreeMap::new();
    for file in open.state.files.clone() {
        let deleted = open.known(&file).await.unwrap().deleted;
        let rows = files::read_rows(&columns, open.store.get(&file.file.name).await.unwrap()).unwrap();
        for (_, row) in (0_u32..).zip(rows).filter(|(place, _)| !deleted.contains(place)) {
            let Cell::Text(key) = &row.keys[0] else {
                panic!("{row:?}")
            };
            found.insert(key.clone(), row.attributes);
        }
    }
    let number = (1, Cell::Double(1.5));
    assert_eq!(found["k0"], [(0, Cell::Text("x".into())), number.clone()]);
    assert_eq!(found["k1"], [number.clone(), (2, Cell::Text("y".into()))]);
    assert_eq!(found["k2"], [number.clone(), (3, Cell::Bool(true))]);
    assert_eq!(found["k3"], [number, (15, Cell::Text("z".into()))]);
    assert_eq!(found.len(), 4);
    // Told otherwise, it is another copy.
    let mut lake = target(folder.path());
    assert_eq!(lake.open(&shape()).await.unwrap(), None);
}

#[tokio::test]
async fn a_copy_has_each_item_once() {
    let folder = tempfile::tempdir().unwrap();
    let mut random = 7_u32;
    let mut next = |below: u32| {
        random = random.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (random >> 8) % below
    };
    let mut model: BTreeMap<u32, u32> = (0..200).map(|key| (key, 0)).collect();
    let mut lake = target(folder.path());
    assert_eq!(lake.open(&shape()).await.unwrap(), None);
    lake.begin_load(&shape()).await.unwrap();
    let rows: Vec<Put> = model.iter().map(|(key, value)| put(*key, *value)).collect();
    lake.load(&rows).await.unwrap();
    lake.end_load(&held(0)).await.unwrap();
    assert_eq!(content(lake.opened().unwrap()).await, expected(&model));
    for round in 0..60 {
        if round % 7 == 3 {
            // As a process that ends and begins anew.
            lake = target(folder.path());
            assert_eq!(lake.open(&shape()).await.unwrap(), Some(held(round)));
        }
        let mut batch = Batch::default();
        for key in (0..next(12))
            .map(|_| next(260))
            .collect::<std::collections::BTreeSet<u32>>()
        {
            if next(3) == 0 {
                model.remove(&key);
                batch.deletes.push(key.to_be_bytes().to_vec().into());
            } else {
                let value = next(1_000_000);
                model.insert(key, value);
                batch.puts.push(put(key, value));
            }
        }
        // Who is elsewhere changes nothing.
        assert!(lake.apply(&batch, &held(round + 9), &held(round + 10)).await.is_err());
        lake.apply(&batch, &held(round), &held(round + 1)).await.unwrap();
        assert_eq!(content(lake.opened().unwrap()).await, expected(&model), "round {round}");
    }
    let open = lake.opened().unwrap();
    assert!(
        open.state.files.len() < 10 && open.state.snapshots.len() == 1,
        "{:?}",
        open.state
    );
    // What is there is named, but for metadata files.
    let mut named: Vec<String> = Vec::new();
    for file in &open.state.files {
        named.extend([file.file.name.clone(), state::digests(&file.file.name)]);
        named.extend(file.deletes.as_ref().map(|file| file.name.clone()));
    }
    let mut there = Vec::new();
    for part in ["data", "keys"] {
        for found in std::fs::read_dir(folder.path().join("orders").join(part)).unwrap() {
            there.push(format!("{part}/{}", found.unwrap().file_name().to_string_lossy()));
        }
    }
    named.sort();
    there.sort();
    assert_eq!(there, named);

    // Of two writers one fails.
    let mut other = target(folder.path());
    other.open(&shape()).await.unwrap();
    let batch = Batch {
        puts: vec![put(1000, 1)],
        deletes: Vec::new(),
    };
    lake.apply(&batch, &held(60), &held(61)).await.unwrap();
    assert!(other.apply(&batch, &held(60), &held(61)).await.is_err());

    // Another table of that name: another schema, in the same history.
    let shape = Shape {
        keys: vec![("id".into(), AttributeType::B)],
        ..shape()
    };
    assert_eq!(lake.open(&shape).await.unwrap(), None);
    lake.begin_load(&shape).await.unwrap();
    lake.end_load(&held(0)).await.unwrap();
    let state = &lake.opened().unwrap().state;
    assert_eq!(
        (state.schemas.len(), state.schemas[0].first_field, state.files.len()),
        (1, 5, 0)
    );

    // A table of somebody else's is left alone.
    std::fs::write(folder.path().join("orders/metadata/version-hint.text"), "90").unwrap();
    std::fs::write(
        folder.path().join("orders/metadata/v90.metadata.json"),
        "{\"current-snapshot-id\": 1}",
    )
    .unwrap();
    assert!(lake.open(&shape).await.unwrap_err().0.contains("left alone"));
}
