//! What the tests share: a region with an archive, a clock, items, a plain model.

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use geodynamo_archive::{Archive, Place};
use geodynamo_item::{AttributeValue, Item, Number};
use geodynamo_recovery::{Options, Recoveries};
use geodynamo_replicator_core::{ReplicaId, parking::ParkingLimits};
use geodynamo_seal::MasterKeys;
use geodynamo_storage::{MemoryEngine, Spanning};
use geodynamo_table::{
    CreateTable, NewIndex, Options as TableOptions, ScanRequest, Tables, TimeSource,
    recovery::{Recovery, RecoveryError, RestoreSource},
    schema::{Billing, KeyAttribute, KeySchema, KeyType, Projection},
};

/// A whole second.
pub(crate) const NOW: u64 = 1_763_890_000_000;
pub(crate) const DAY: u64 = 24 * 60 * 60 * 1000;

/// A clock that a test steps.
#[derive(Debug)]
pub(crate) struct Time(AtomicU64);

impl Time {
    pub(crate) fn pass(&self, ms: u64) {
        self.0.fetch_add(ms, Ordering::Relaxed);
    }

    pub(crate) fn now(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

impl TimeSource for Time {
    fn now_ms(&self) -> u64 {
        self.now()
    }
}

/// The items of a table, by key.
pub(crate) type Items = BTreeMap<(String, i64), Item>;

/// A region with an archive.
pub(crate) struct World {
    pub(crate) time: Arc<Time>,
    pub(crate) tables: Arc<Tables<MemoryEngine>>,
    pub(crate) archive: Archive,
    pub(crate) recoveries: Recoveries<MemoryEngine>,
}

/// Small pieces, so that there are many of them.
pub(crate) fn small() -> Options {
    Options {
        segment_bytes: 300,
        chunk_bytes: 300,
        base_log_bytes_min: 3000,
        overlay_bytes_max: 400,
        ..Options::default()
    }
}

impl World {
    /// A region with the table `t`.
    pub(crate) async fn new(spanning: Spanning, options: Options) -> Self {
        Self::with(spanning, options, Archive::open(&Place::Memory).unwrap(), NOW, 1).await
    }

    /// A region with the table `t` and an archive that is there.
    pub(crate) async fn with(spanning: Spanning, options: Options, archive: Archive, now: u64, replica: u64) -> Self {
        Self::with_masters(spanning, options, archive, now, replica, None).await
    }

    /// The same, where tables may have keys of their own.
    pub(crate) async fn with_masters(
        spanning: Spanning,
        options: Options,
        archive: Archive,
        now: u64,
        replica: u64,
        masters: Option<Arc<dyn MasterKeys>>,
    ) -> Self {
        let time = Arc::new(Time(AtomicU64::new(now)));
        let table_options = TableOptions {
            region: "a".into(),
            regions: vec!["a".into()],
            account: "000000000000".into(),
            partitions: 3,
            streams: Default::default(),
            parking: ParkingLimits::default(),
            ttl: Default::default(),
            throttle: Default::default(),
            time: Arc::<Time>::clone(&time),
            verify: Default::default(),
            collect: Default::default(),
            collection_bytes_max: geodynamo_table::COLLECTION_BYTES_MAX,
            new_replica: ReplicaId(replica),
            following: false,
        };
        let tables = Tables::open_sealed(MemoryEngine::new(spanning), table_options, masters)
            .await
            .unwrap();
        tables.catalog().create_table(definition("t")).await.unwrap();
        let recoveries = Recoveries::new(Arc::clone(&tables), archive.clone(), options);
        Self {
            time,
            tables,
            archive,
            recoveries,
        }
    }

    /// The process ended and another one begins with the same data.
    pub(crate) fn restart(&mut self, options: Options) {
        self.recoveries = Recoveries::new(Arc::clone(&self.tables), self.archive.clone(), options);
    }

    pub(crate) async fn switch(&self, on: bool) {
        let period = on.then_some(35);
        self.recoveries
            .update_continuous_backups("t", on, period)
            .await
            .unwrap();
    }

    pub(crate) async fn put(&self, item: Item) {
        let table = self.tables.table("t").unwrap();
        self.tables
            .writes()
            .put(&table, item, Default::default())
            .await
            .unwrap();
    }

    /// Restores to a moment; gives the new table's items.
    pub(crate) async fn restored(&self, at_ms: Option<u64>, target: &str) -> Result<Items, RecoveryError> {
        let source = RestoreSource::PointInTime {
            table: "t".into(),
            at_ms,
        };
        self.restored_from(source, target).await
    }

    pub(crate) async fn restored_from(&self, source: RestoreSource, target: &str) -> Result<Items, RecoveryError> {
        let from = self.recoveries.restorable(source).await?;
        let create = from.settings.create(target);
        let shown = self.recoveries.restore(from, create).await?;
        assert_eq!(shown.status.code(), "CREATING");
        assert!(self.tables.table(target).is_err(), "no reads before it is whole");
        self.recoveries.restore_all().await.unwrap();
        Ok(self.items(target).await)
    }

    /// The items of a table, and that its index has those that it should.
    pub(crate) async fn items(&self, name: &str) -> Items {
        let table = self.tables.table(name).unwrap();
        let scan = |index| ScanRequest {
            index,
            limit: None,
            start: None,
            filter: None,
            consistent: false,
            segment: None,
            fetch_base: false,
        };
        let mut items = Items::new();
        for stored in self.tables.reads().scan(&table, scan(None)).await.unwrap().items {
            let item = stored.decode().unwrap();
            items.insert(place(&item), item);
        }
        if table.indexes().iter().any(|index| index.name == "by-g") {
            let indexed = self
                .tables
                .reads()
                .scan(&table, scan(Some("by-g")))
                .await
                .unwrap()
                .items
                .len();
            assert_eq!(indexed, items.values().filter(|item| item.get("g").is_some()).count());
        }
        assert_eq!(table.counts().0, items.len() as u64);
        items
    }
}

/// The key of an item.
pub(crate) fn place(item: &Item) -> (String, i64) {
    let (Some(AttributeValue::S(p)), Some(AttributeValue::N(s))) = (item.get("p"), item.get("s")) else {
        panic!("an item has its keys");
    };
    (p.to_string(), s.to_string().parse().unwrap())
}

/// Keys `p` (S) and `s` (N); a local index by `l` (S); a global one by `g` (S).
pub(crate) fn definition(name: &str) -> CreateTable {
    CreateTable {
        name: name.into(),
        keys: keys(("p", KeyType::S), Some(("s", KeyType::N))),
        local_indexes: vec![NewIndex {
            name: "by-l".into(),
            keys: keys(("p", KeyType::S), Some(("l", KeyType::S))),
            projection: Projection::KeysOnly,
            throughput: None,
        }],
        global_indexes: vec![index("by-g", "g")],
        billing: Billing::OnDemand,
        throughput: Default::default(),
        stream: None,
        deletion_protection: false,
        table_class: None,
        tags: Default::default(),
        resource_policy: None,
        master_key: None,
    }
}

pub(crate) fn index(name: &str, by: &str) -> NewIndex {
    NewIndex {
        name: name.into(),
        keys: keys((by, KeyType::S), None),
        projection: Projection::All,
        throughput: None,
    }
}

fn keys(partition: (&str, KeyType), sort: Option<(&str, KeyType)>) -> KeySchema {
    let attribute = |(name, kind): (&str, KeyType)| KeyAttribute {
        name: name.into(),
        kind,
    };
    KeySchema::new(attribute(partition), sort.map(attribute))
}

pub(crate) fn s(text: &str) -> AttributeValue {
    AttributeValue::S(text.into())
}

pub(crate) fn n(number: i64) -> AttributeValue {
    AttributeValue::N(Number::parse(&number.to_string()).unwrap())
}

pub(crate) fn key(p: &str, sort: i64) -> Item {
    [("p", s(p)), ("s", n(sort))]
        .into_iter()
        .map(|(name, value)| (name.into(), value))
        .collect()
}

/// An item with an attribute more.
pub(crate) fn with(mut item: Item, name: &str, value: AttributeValue) -> Item {
    item.insert(name.into(), value);
    item
}
