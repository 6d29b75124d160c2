//! Sinks of a region in memory, into Iceberg tables in folders: through crashes, trimmed logs, copies that are put back.

use std::{
    fs,
    path::Path,
    sync::Arc,
    time::{Duration, Instant},
};

use geodynamo_item::{AttributeValue, Item, Number};
use geodynamo_replicator_core::{ReplicaId, parking::ParkingLimits};
use geodynamo_storage::{MemoryEngine, Spanning};
use geodynamo_table::{
    CreateTable, Options as TableOptions, ScanRequest, Tables, TimeSource,
    schema::{Billing, KeyAttribute, KeySchema, KeyType},
};

use crate::{HELD_FOR, IcebergSpec, Options, SinkError, SinkSpec, Sinks, document, iceberg::tests::documents};

/// How long anything may take.
const DEADLINE: Duration = Duration::from_secs(30);

#[derive(Debug)]
struct Clock;

impl TimeSource for Clock {
    fn now_ms(&self) -> u64 {
        let since = std::time::SystemTime::UNIX_EPOCH.elapsed().unwrap();
        u64::try_from(since.as_millis()).unwrap()
    }
}

async fn open(engine: MemoryEngine) -> Arc<Tables<MemoryEngine>> {
    let options = TableOptions {
        region: "a".into(),
        regions: vec!["a".into()],
        account: "000000000000".into(),
        partitions: 3,
        streams: Default::default(),
        parking: ParkingLimits::default(),
        ttl: Default::default(),
        throttle: Default::default(),
        time: Arc::new(Clock),
        collection_bytes_max: geodynamo_table::COLLECTION_BYTES_MAX,
        new_replica: ReplicaId(7),
        following: false,
        verify: Default::default(),
        collect: Default::default(),
    };
    Tables::open(engine, options).await.unwrap()
}

async fn region() -> Arc<Tables<MemoryEngine>> {
    let tables = open(MemoryEngine::new(Spanning::Yes)).await;
    let key = KeyAttribute {
        name: "p".into(),
        kind: KeyType::S,
    };
    let table = CreateTable {
        name: "orders".into(),
        keys: KeySchema::new(key, None),
        local_indexes: Vec::new(),
        global_indexes: Vec::new(),
        billing: Billing::OnDemand,
        throughput: Default::default(),
        stream: None,
        deletion_protection: false,
        table_class: None,
        tags: Default::default(),
        resource_policy: None,
        master_key: None,
    };
    tables.catalog().create_table(table).await.unwrap();
    tables
}

fn lake(folder: &Path) -> SinkSpec {
    SinkSpec {
        name: "lake".into(),
        table: "orders".into(),
        postgres: None,
        iceberg: Some(IcebergSpec {
            commit_seconds: 1,
            ..IcebergSpec::at(folder.to_string_lossy().into_owned())
        }),
    }
}

async fn start(tables: &Arc<Tables<MemoryEngine>>, sinks: Vec<SinkSpec>) -> Sinks<MemoryEngine> {
    let options = Options {
        held_for: HELD_FOR,
        position_first: false,
    };
    Sinks::start(Arc::clone(tables), options, sinks).await.unwrap()
}

/// Writes items `from..to` of twenty keys; every fourth write deletes.
async fn write(tables: &Tables<MemoryEngine>, from: u32, to: u32) {
    let table = tables.table("orders").unwrap();
    for number in from..to {
        let mut item = Item::new();
        item.insert("p".into(), AttributeValue::S(format!("k{}", number * 7 % 20).into()));
        if number % 4 == 3 {
            tables.writes().delete(&table, &item, Default::default()).await.unwrap();
        } else {
            item.insert(
                "n".into(),
                AttributeValue::N(Number::parse(&number.to_string()).unwrap()),
            );
            tables.writes().put(&table, item, Default::default()).await.unwrap();
        }
    }
}

async fn scanned(tables: &Tables<MemoryEngine>) -> Vec<String> {
    let table = tables.table("orders").unwrap();
    let scan = ScanRequest {
        index: None,
        limit: None,
        start: None,
        filter: None,
        consistent: true,
        segment: None,
        fetch_base: false,
    };
    let found = tables.reads().scan(&table, scan).await.unwrap().items;
    let mut found: Vec<String> = found
        .iter()
        .map(|item| document::write(&item.decode().unwrap(), crate::Document::Plain))
        .collect();
    found.sort();
    found
}

/// Waits until the copy is a Scan of the table.
async fn is_copied(tables: &Tables<MemoryEngine>, sink: &SinkSpec) {
    let began = Instant::now();
    let expected = scanned(tables).await;
    loop {
        let found = documents(sink).await;
        if found.as_ref() == Some(&expected) {
            return;
        }
        assert!(began.elapsed() < DEADLINE, "{found:?} is not {expected:?}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

fn loads(sinks: &Sinks<MemoryEngine>) -> u64 {
    sinks.list().first().map_or(0, |sink| sink.loads)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_copy_goes_on_where_it_was_through_crashes() {
    let folder = tempfile::tempdir().unwrap();
    let sink = lake(folder.path());
    let mut tables = region().await;
    write(&tables, 0, 100).await;
    for turn in 1..5 {
        let sinks = start(&tables, vec![sink.clone()]).await;
        if turn == 1 {
            is_copied(&tables, &sink).await;
        }
        write(&tables, turn * 100, turn * 100 + 100).await;
        // In the midst of a commit, before or behind it.
        tokio::time::sleep(Duration::from_millis(u64::from(turn) * 290)).await;
        write(&tables, turn * 100 + 50, turn * 100 + 75).await;
        sinks.stop().await;
        assert_eq!(loads(&sinks), u64::from(turn == 1));
        // Logs are trimmed by whoever comes next, too.
        tables = open(tables.engine().crash()).await;
    }
    let sinks = start(&tables, vec![sink.clone()]).await;
    tables.streams().trim_logs().await.unwrap();
    is_copied(&tables, &sink).await;
    assert_eq!(loads(&sinks), 0);

    // While it cannot be written, logs are held for it.
    let data = folder.path().join("orders/data");
    let aside = folder.path().join("aside");
    fs::rename(&data, &aside).unwrap();
    fs::write(&data, "").unwrap();
    write(&tables, 1000, 1050).await;
    let began = Instant::now();
    while sinks.list()[0].failures == 0 {
        assert!(began.elapsed() < DEADLINE);
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert!(sinks.list()[0].error.is_some() && sinks.list()[0].lag_ms > 0);
    tables.streams().trim_logs().await.unwrap();
    fs::remove_file(&data).unwrap();
    fs::rename(&aside, &data).unwrap();
    is_copied(&tables, &sink).await;
    assert_eq!(loads(&sinks), 0);
    sinks.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_copy_behind_which_changes_are_missing_begins_anew() {
    let folder = tempfile::tempdir().unwrap();
    let sink = lake(folder.path());
    let tables = region().await;
    write(&tables, 0, 40).await;
    let sinks = start(&tables, vec![sink.clone()]).await;
    is_copied(&tables, &sink).await;
    let metadata = folder.path().join("orders/metadata");
    let hint = fs::read_to_string(metadata.join("version-hint.text")).unwrap();

    // Put back to how it was, when the logs behind it are gone.
    write(&tables, 40, 80).await;
    is_copied(&tables, &sink).await;
    sinks.stop().await;
    let held = start(&tables, vec![sink.clone()]).await;
    is_copied(&tables, &sink).await;
    write(&tables, 80, 81).await;
    is_copied(&tables, &sink).await;
    tables.streams().trim_logs().await.unwrap();
    held.stop().await;
    let first: u64 = hint.parse().unwrap();
    for found in fs::read_dir(&metadata).unwrap() {
        let path = found.unwrap().path();
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        let version = name
            .strip_prefix('v')
            .and_then(|name| name.split('.').next()?.parse::<u64>().ok());
        if version.is_some_and(|version| version > first) {
            fs::remove_file(path).unwrap();
        }
    }
    fs::write(metadata.join("version-hint.text"), &hint).unwrap();
    restore_state(&metadata, first);
    let sinks = start(&tables, vec![sink.clone()]).await;
    is_copied(&tables, &sink).await;
    assert_eq!(loads(&sinks), 1);
    sinks.stop().await;

    // Told nothing for a while: changes had no images then.
    let none = start(&tables, Vec::new()).await;
    write(&tables, 90, 130).await;
    none.stop().await;
    let sinks = start(&tables, vec![sink.clone()]).await;
    is_copied(&tables, &sink).await;
    assert_eq!(loads(&sinks), 1);
    assert!(matches!(sinks.remove("lake").await, Err(SinkError::InFile(_))));
    assert!(matches!(sinks.add(sink.clone()).await, Err(SinkError::Exists(_))));
    assert!(matches!(sinks.remove("other").await, Err(SinkError::Absent(_))));
    sinks.stop().await;
}

/// The state that goes with a metadata file is taken away with the next one: it is made again from what that one had.
fn restore_state(metadata: &Path, version: u64) {
    let text = fs::read(metadata.join(format!("v{version}.metadata.json"))).unwrap();
    let read: serde_json::Value = serde_json::from_slice(&text).unwrap();
    let snapshots = read["snapshots"].as_array().unwrap();
    let summary = &snapshots.last().unwrap()["summary"];
    let name = summary["geodynamo.state"].as_str().unwrap();
    let path = metadata.parent().unwrap().join(name);
    assert!(!path.exists());
    let positions = summary["geodynamo.positions"].as_str().unwrap();
    let positions: Vec<u64> = positions.split(',').map(|text| text.parse().unwrap()).collect();
    let state = serde_json::json!({
        "version": version, "uuid": read["table-uuid"], "files": [], "gone": [], "epoch": summary["geodynamo.epoch"],
        "positions": positions,
        "schemas": [{"id": 0, "first_field": 1, "keys": [{"attribute": "p", "name": "p", "kind": "s"}]}],
        "snapshots": snapshots.iter().map(|snapshot| serde_json::json!({
            "id": snapshot["snapshot-id"], "sequence": snapshot["sequence-number"], "ms": snapshot["timestamp-ms"],
            "schema": 0, "summary": snapshot["summary"],
        })).collect::<Vec<_>>(),
    });
    fs::write(path, state.to_string()).unwrap();
}
