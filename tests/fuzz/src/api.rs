//! Any bytes as the body of any operation, as the server calls it: an answer that is JSON, and never "internal error".

use std::{cell::RefCell, sync::Arc};

use geodynamo_api::{Api, Call};
use geodynamo_policy::Caller;
use geodynamo_replicator_core::{ReplicaId, parking::ParkingLimits};
use geodynamo_storage::{MemoryEngine, Spanning};
use geodynamo_table::{Options, Tables, TimeSource};
use tokio::runtime::{Builder, Runtime};

use crate::bytes_to::byte;

/// Calls that one region gets, so that what they leave behind stays small.
const CALLS_MAX: usize = 2_000;

/// The account of the region.
pub(crate) const ACCOUNT: &str = "000000000000";

const OPERATIONS: &[&str] = &[
    "PutItem",
    "UpdateItem",
    "Query",
    "Scan",
    "GetItem",
    "DeleteItem",
    "BatchGetItem",
    "BatchWriteItem",
    "TransactGetItems",
    "TransactWriteItems",
    "ExecuteStatement",
    "BatchExecuteStatement",
    "ExecuteTransaction",
    "CreateTable",
    "UpdateTable",
    "DescribeTable",
    "DeleteTable",
    "ListTables",
    "UpdateTimeToLive",
    "DescribeTimeToLive",
    "TagResource",
    "UntagResource",
    "ListTagsOfResource",
    "DescribeLimits",
    "DescribeEndpoints",
    "DescribeContinuousBackups",
    "DescribeGlobalTable",
    "ListGlobalTables",
];
const STREAM_OPERATIONS: &[&str] = &["ListStreams", "DescribeStream", "GetShardIterator", "GetRecords"];

/// A table with an index of each kind and a stream.
const TABLE: &str = r#"{"TableName":"t","BillingMode":"PAY_PER_REQUEST",
    "AttributeDefinitions":[{"AttributeName":"pk","AttributeType":"S"},{"AttributeName":"sk","AttributeType":"N"},
        {"AttributeName":"a","AttributeType":"S"}],
    "KeySchema":[{"AttributeName":"pk","KeyType":"HASH"},{"AttributeName":"sk","KeyType":"RANGE"}],
    "LocalSecondaryIndexes":[{"IndexName":"l","Projection":{"ProjectionType":"KEYS_ONLY"},
        "KeySchema":[{"AttributeName":"pk","KeyType":"HASH"},{"AttributeName":"a","KeyType":"RANGE"}]}],
    "GlobalSecondaryIndexes":[{"IndexName":"g","Projection":{"ProjectionType":"ALL"},
        "KeySchema":[{"AttributeName":"a","KeyType":"HASH"}]}],
    "StreamSpecification":{"StreamEnabled":true,"StreamViewType":"NEW_AND_OLD_IMAGES"}}"#;
const ITEMS: [&str; 2] = [
    r#"{"TableName":"t","Item":{"pk":{"S":"a"},"sk":{"N":"1"},"a":{"S":"x"},"m":{"M":{"l":{"L":[{"N":"1"}]}}}}}"#,
    r#"{"TableName":"t","Item":{"pk":{"S":"a"},"sk":{"N":"2"},"s":{"SS":["x","y"]}}}"#,
];

/// A region with the table `t`.
pub(crate) struct Region {
    pub(crate) runtime: Runtime,
    pub(crate) api: Api<MemoryEngine>,
    calls: usize,
}

thread_local! {
    static REGION: RefCell<Option<Region>> = const { RefCell::new(None) };
}

pub(crate) fn run(mut bytes: &[u8]) {
    let number = usize::from(byte(&mut bytes)) % (OPERATIONS.len() + STREAM_OPERATIONS.len());
    let target = match OPERATIONS.get(number) {
        Some(operation) => format!("DynamoDB_20120810.{operation}"),
        None => format!(
            "DynamoDBStreams_20120810.{}",
            STREAM_OPERATIONS[number - OPERATIONS.len()]
        ),
    };
    REGION.with_borrow_mut(|slot| {
        let region = slot.get_or_insert_with(Region::new);
        region.call(&target, bytes);
        region.calls += 1;
        if region.calls == CALLS_MAX {
            *slot = None;
        }
    });
}

impl Region {
    pub(crate) fn new() -> Self {
        let runtime = Builder::new_current_thread()
            .enable_all()
            .build()
            .expect("a runtime without threads");
        let options = Options {
            region: "us-east-1".into(),
            regions: vec!["us-east-1".into()],
            account: ACCOUNT.into(),
            partitions: 4,
            parking: ParkingLimits::default(),
            verify: Default::default(),
            collect: Default::default(),
            collection_bytes_max: geodynamo_table::COLLECTION_BYTES_MAX,
            ttl: Default::default(),
            throttle: Default::default(),
            streams: Default::default(),
            time: Arc::new(Still),
            new_replica: ReplicaId(7),
            following: false,
        };
        let tables = runtime.block_on(Tables::open(MemoryEngine::new(Spanning::Yes), options));
        let region = Self {
            api: Api::new(tables.expect("a fresh engine opens"), "127.0.0.1:8000"),
            runtime,
            calls: 0,
        };
        region.call("DynamoDB_20120810.CreateTable", TABLE.as_bytes());
        for item in ITEMS {
            region.call("DynamoDB_20120810.PutItem", item.as_bytes());
        }
        region
    }

    fn call(&self, target: &str, body: &[u8]) {
        answered(&self.runtime, &self.api, &Caller::root(ACCOUNT), target, body);
    }
}

/// Whether a call succeeds. Whatever it is, its answer is JSON, and says so or what is wrong with the call.
pub(crate) fn answered(runtime: &Runtime, api: &Api<MemoryEngine>, caller: &Caller, target: &str, body: &[u8]) -> bool {
    let reply = runtime.block_on(api.call(Call::of(caller), target, body));
    assert!(matches!(reply.status, 200 | 400), "{target}: status {}", reply.status);
    assert_eq!(reply.status == 200, reply.error.is_none());
    if !reply.body.is_empty() {
        let json = serde_json::from_slice::<serde_json::Value>(&reply.body);
        assert!(json.is_ok(), "{target}: {}", String::from_utf8_lossy(&reply.body));
    }
    reply.status == 200
}

/// A clock that stands still.
struct Still;

impl TimeSource for Still {
    fn now_ms(&self) -> u64 {
        1_763_890_000_000
    }
}
