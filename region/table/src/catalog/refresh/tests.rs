//! Data directories of the version before, in which one register was both request and answer, and a region could have taken
//! two tables of one name.

use std::sync::Arc;

use geodynamo_item::{AttributeValue, Item};
use geodynamo_replicator_core::{Millis, ReplicaId, parking::ParkingLimits};
use geodynamo_storage::{Commit, MemoryEngine, Spanning, Write};

use super::*;
use crate::{
    Options, Tables, TimeSource,
    layout::keys,
    schema::{Billing, Definition, Failure, KeyAttribute, KeySchema, KeyType, ReplicaEntry, ReplicaStatus},
    table::registers::{Setting, pack},
};

const NOW: Millis = 1_763_890_000_000;
const ME: u64 = 2;

struct Fixed;

impl TimeSource for Fixed {
    fn now_ms(&self) -> Millis {
        NOW
    }
}

type Region = Arc<Tables<MemoryEngine>>;

async fn open(engine: MemoryEngine) -> Region {
    let options = Options {
        region: "b".into(),
        regions: vec!["a".into(), "b".into()],
        account: "000000000000".into(),
        partitions: 2,
        streams: Default::default(),
        parking: ParkingLimits::default(),
        ttl: Default::default(),
        throttle: Default::default(),
        time: Arc::new(Fixed),
        verify: Default::default(),
        collect: Default::default(),
        collection_bytes_max: crate::COLLECTION_BYTES_MAX,
        new_replica: ReplicaId(ME),
        following: false,
    };
    Tables::open(engine, options).await.unwrap()
}

/// Region b, which has had a's catalog.
async fn region() -> Region {
    let engine = MemoryEngine::new(Spanning::Yes);
    note_catalog(&engine).await;
    open(engine).await
}

/// Notes that another region's catalog has been copied.
async fn note_catalog(engine: &MemoryEngine) {
    let commit = Commit {
        writes: vec![Write::Put(keys::system("catalog.copied"), bytes::Bytes::new())],
        ..Commit::default()
    };
    engine.commit(commit).await.unwrap();
}

fn entry(status: ReplicaStatus, source: Option<&str>, incarnation: Option<u64>, since_ms: Millis) -> ReplicaEntry {
    ReplicaEntry {
        status,
        join: 5,
        source: source.map(str::to_owned),
        incarnation,
        since_ms,
        failure: None,
    }
}

/// The registers of a table `t` as the version before wrote them: a's replica, and b's.
async fn write(region: &Region, id: u64, of_a: Option<ReplicaEntry>, of_b: Option<ReplicaEntry>) {
    let key = KeyAttribute {
        name: "p".into(),
        kind: KeyType::S,
    };
    let definition = Definition {
        name: "t".into(),
        created_ms: NOW,
        keys: KeySchema::new(key, None),
        local_indexes: Vec::new(),
        partitions: 2,
        uuid: id.into(),
    };
    let mut changes = vec![
        (Setting::Definition, Some(pack(&definition).unwrap())),
        (Setting::Billing, Some(pack(&Billing::OnDemand).unwrap())),
    ];
    for (of, entry) in [("a", of_a), ("b", of_b)] {
        changes.extend(entry.map(|entry| (Setting::Replica(of.into()), Some(pack(&entry).unwrap()))));
    }
    let _changing = region.catalog().catalog_lock.lock().await;
    region.catalog().set_locked(id, changes).await.unwrap();
}

fn own(region: &Region, id: u64) -> Option<(ReplicaStatus, Option<u64>, Option<Failure>)> {
    let directory = region.local().directory();
    let own = directory.registers.get(&id)?.replicas.get("b")?;
    Some((own.status, own.incarnation, own.failure))
}

fn item() -> Item {
    [("p".into(), AttributeValue::S("k".into()))].into_iter().collect()
}

#[tokio::test]
async fn of_two_tables_of_one_name_the_one_that_was_made_here_keeps_it() {
    for (made_here, copied) in [(9, 1), (1, 9)] {
        let region = region().await;
        let active = |source, since_ms| Some(entry(ReplicaStatus::Active, source, Some(ME), since_ms));
        write(&region, made_here, None, active(None, NOW - 2)).await;
        let table = region.table("t").unwrap();
        region.writes().put(&table, item(), Default::default()).await.unwrap();
        let of_a = entry(ReplicaStatus::Active, None, Some(1), NOW - 3);
        write(&region, copied, Some(of_a), active(Some("a"), NOW - 1)).await;

        let region = open(region.engine().crash()).await;
        let named = |region: &Region| region.table("t").map(|table| table.id()).ok();
        assert_eq!(named(&region), Some(made_here));
        for _ in 0..4 {
            region.background().reconcile().await.unwrap();
            assert_eq!(named(&region), Some(made_here));
        }
        let failed = (ReplicaStatus::Failed, Some(ME), Some(Failure::NameTaken));
        assert_eq!(own(&region, copied), Some(failed));
        assert!(!region.local().directory().by_id.contains_key(&copied));
        let table = region.table("t").unwrap();
        assert!(region.reads().get(&table, &item()).await.unwrap().is_some());
    }
}

#[tokio::test]
async fn a_request_in_the_place_of_an_answer_is_answered() {
    for taken in [false, true] {
        let region = region().await;
        if taken {
            let made_here = entry(ReplicaStatus::Active, None, Some(ME), NOW);
            write(&region, 9, None, Some(made_here)).await;
        }
        let of_a = entry(ReplicaStatus::Active, None, Some(1), NOW);
        let asked = entry(ReplicaStatus::Creating, Some("a"), None, NOW);
        write(&region, 1, Some(of_a), Some(asked)).await;
        assert_eq!(region.table("t").is_ok(), taken);
        region.background().reconcile().await.unwrap();
        let wanted = if taken {
            (ReplicaStatus::Failed, None, Some(Failure::NameTaken))
        } else {
            (ReplicaStatus::Creating, Some(ME), None)
        };
        assert_eq!(own(&region, 1), Some(wanted));
        let named = region.table_named("t").map(|table| table.id()).ok();
        assert_eq!(named, Some(if taken { 9 } else { 1 }));
    }
}

#[tokio::test]
async fn a_removal_in_the_place_of_an_answer_is_carried_out() {
    let region = region().await;
    let of_a = entry(ReplicaStatus::Active, None, Some(1), NOW);
    let removed = entry(ReplicaStatus::Deleting, Some("a"), Some(ME), NOW);
    write(&region, 1, Some(of_a), Some(removed)).await;
    assert!(region.table("t").is_err());
    region.background().reconcile().await.unwrap();
    assert!(region.table_named("t").is_err());
    assert_eq!(own(&region, 1), None);
}

/// A fresh data directory answers nothing before it knows what the one before it held.
#[tokio::test]
async fn nothing_is_answered_before_the_catalog_is_known() {
    let region = open(MemoryEngine::new(Spanning::Yes)).await;
    let of_a = entry(ReplicaStatus::Active, None, Some(1), NOW);
    let asked = entry(ReplicaStatus::Creating, Some("a"), None, NOW);
    write(&region, 1, Some(of_a), Some(asked)).await;
    region.background().reconcile().await.unwrap();
    assert_eq!(own(&region, 1), Some((ReplicaStatus::Creating, None, None)));
    // Now it learns that the one before it had a table of that name.
    let inherited = entry(ReplicaStatus::Active, None, Some(ME + 1), NOW);
    write(&region, 9, None, Some(inherited)).await;
    assert_eq!(region.table_named("t").unwrap().id(), 9);
    note_catalog(region.engine()).await;
    let region = open(region.engine().crash()).await;
    region.background().reconcile().await.unwrap();
    region.background().reconcile().await.unwrap();
    assert_eq!(own(&region, 9), Some((ReplicaStatus::Active, Some(ME), None)));
    assert_eq!(
        own(&region, 1),
        Some((ReplicaStatus::Failed, None, Some(Failure::NameTaken)))
    );
    assert_eq!(region.table("t").unwrap().id(), 9);
}
