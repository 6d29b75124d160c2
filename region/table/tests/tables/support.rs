//! What the tests share: a clock, items, expressions, one table definition, a naive order.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use geodynamo_expression::{Condition, Context, Parameter, Update};
use geodynamo_item::{AttributeValue, Item, Number};
use geodynamo_replicator_core::{ReplicaId, parking::ParkingLimits};
use geodynamo_storage::{MemoryEngine, Spanning};
use geodynamo_table::{
    CreateTable, NewIndex, Options, Table, Tables, TimeSource,
    schema::{Billing, KeyAttribute, KeySchema, KeyType, Projection},
};

pub(crate) const NOW: u64 = 1_763_890_000_000;
pub(crate) const MODES: [Spanning; 2] = [Spanning::Yes, Spanning::No];
pub(crate) type Region = Arc<Tables<MemoryEngine>>;

/// A clock that a test steps.
#[derive(Debug)]
pub(crate) struct Time(AtomicU64);

impl Time {
    pub(crate) fn at(now: u64) -> Arc<Self> {
        Arc::new(Self(AtomicU64::new(now)))
    }

    pub(crate) fn set(&self, now: u64) {
        self.0.store(now, Ordering::Relaxed);
    }
}

impl TimeSource for Time {
    fn now_ms(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

pub(crate) fn options(region: &str, regions: &[&str], time: &Arc<Time>) -> Options {
    let replica = region.bytes().fold(0, |id, byte| id * 256 + u64::from(byte));
    Options {
        region: region.into(),
        regions: regions.iter().map(|name| (*name).to_owned()).collect(),
        account: "000000000000".into(),
        partitions: 4,
        streams: Default::default(),
        parking: ParkingLimits::default(),
        ttl: Default::default(),
        throttle: Default::default(),
        time: Arc::<Time>::clone(time),
        verify: Default::default(),
        collect: Default::default(),
        collection_bytes_max: geodynamo_table::COLLECTION_BYTES_MAX,
        new_replica: ReplicaId(replica),
        following: false,
    }
}

/// One region with the table `t`.
pub(crate) async fn alone(spanning: Spanning) -> (Region, Arc<Table>) {
    let (tables, _) = alone_at(spanning).await;
    let table = tables.table("t").unwrap();
    (tables, table)
}

/// One region with the table `t`, and its clock.
pub(crate) async fn alone_at(spanning: Spanning) -> (Region, Arc<Time>) {
    let time = Time::at(NOW);
    let tables = Tables::open(MemoryEngine::new(spanning), options("a", &["a"], &time))
        .await
        .unwrap();
    tables.catalog().create_table(definition("t")).await.unwrap();
    (tables, time)
}

/// Keys `p` (S) and `s` (N); a local index by `l` (S); a global one by `g` (S) and `s` with only `x` besides the keys.
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
        global_indexes: vec![NewIndex {
            name: "by-g".into(),
            keys: keys(("g", KeyType::S), Some(("s", KeyType::N))),
            projection: Projection::Include(vec!["x".into()]),
            throughput: None,
        }],
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

pub(crate) fn item<const N: usize>(attributes: [(&str, AttributeValue); N]) -> Item {
    attributes
        .into_iter()
        .map(|(name, value)| (name.into(), value))
        .collect()
}

pub(crate) fn key(p: &str, sort: i64) -> Item {
    item([("p", s(p)), ("s", n(sort))])
}

/// An item with an attribute more than its key.
pub(crate) fn with(mut item: Item, name: &str, value: AttributeValue) -> Item {
    item.insert(name.into(), value);
    item
}

/// A condition that may speak of `:v`.
pub(crate) fn condition(text: &str, value: Option<AttributeValue>) -> Condition {
    let values: Item = value.into_iter().map(|value| (":v".into(), value)).collect();
    // No values at all are not the same as an empty map of them, which is refused.
    let context = if values.is_empty() {
        Ok(Context::new())
    } else {
        Context::new().with_values(&values)
    };
    let mut context = context.unwrap();
    Condition::parse(Parameter::Condition, text, &mut context).unwrap()
}

/// An update that speaks of `:v`.
pub(crate) fn update(text: &str, value: AttributeValue) -> Update {
    let values = item([(":v", value)]);
    let mut context = Context::new().with_values(&values).unwrap();
    Update::parse(text, &mut context).unwrap()
}

pub(crate) async fn put(tables: &Region, name: &str, item: Item) {
    let table = tables.table(name).unwrap();
    tables.writes().put(&table, item, Default::default()).await.unwrap();
}

pub(crate) async fn get(tables: &Region, name: &str, key: &Item) -> Option<Item> {
    let table = tables.table(name).unwrap();
    let stored = tables.reads().get(&table, key).await.unwrap();
    stored.map(|stored| stored.decode().unwrap())
}

pub(crate) async fn wait_for(holds: impl Fn() -> bool) {
    let waited = tokio::time::timeout(std::time::Duration::from_secs(20), async {
        while !holds() {
            tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        }
    });
    waited.await.expect("the state is reached in time");
}

/// Waits until so many commits wait to be durable.
pub(crate) async fn handed_over(tables: &Region, count: usize) {
    let waiting = async {
        while tables.engine().unsynced() < count {
            tokio::task::yield_now().await;
        }
    };
    let waited = tokio::time::timeout(std::time::Duration::from_secs(20), waiting).await;
    waited.expect("the commit is handed over");
}
