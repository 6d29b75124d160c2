//! A copy against a plain map, through closings, failures and compactions. What other engines make of it is tested in `tests/sdk`.

use std::collections::BTreeMap;

use geodynamo_item::{AttributeType, AttributeValue, Item, Number};
use geodynamo_table::StoredItem;

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
        (state.schemas.len(), state.schemas[1].first_field, state.files.len()),
        (2, 5, 0)
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
