//! A client of an API on the in-memory engine.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use geodynamo_api::{Api, Authorization, Call, Habits};
use geodynamo_policy::Caller;
use geodynamo_replicator_core::{ReplicaId, parking::ParkingLimits};
use geodynamo_storage::{MemoryEngine, Spanning};
use geodynamo_table::{Options, Tables, TimeSource};

/// The `X-Amz-Target` of an operation.
pub(crate) fn target(operation: &str) -> String {
    let service = match operation {
        "DescribeStream" | "GetRecords" | "GetShardIterator" | "ListStreams" => "DynamoDBStreams",
        _ => "DynamoDB",
    };
    format!("{service}_20120810.{operation}")
}

/// A clock that stands still unless it is told otherwise: replies are the same in every run.
struct Still(AtomicU64);

impl TimeSource for Still {
    fn now_ms(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

pub(crate) struct Client {
    api: Api<MemoryEngine>,
    clock: Arc<Still>,
}

impl Client {
    pub(crate) async fn new() -> Self {
        let clock = Arc::new(Still(AtomicU64::new(1_763_890_000_000)));
        let options = Options {
            region: "us-east-1".into(),
            regions: vec!["us-east-1".into(), "eu-west-1".into()],
            account: "000000000000".into(),
            partitions: 4,
            streams: Default::default(),
            parking: ParkingLimits::default(),
            ttl: Default::default(),
            throttle: Default::default(),
            time: clock.clone(),
            verify: Default::default(),
            collect: Default::default(),
            collection_bytes_max: geodynamo_table::COLLECTION_BYTES_MAX,
            new_replica: ReplicaId(7),
            following: false,
        };
        let tables = Tables::open(MemoryEngine::new(Spanning::Yes), options).await.unwrap();
        Self {
            api: Api::new(tables, "127.0.0.1:8000"),
            clock,
        }
    }

    /// The same region by another habit.
    pub(crate) fn with_habits(&self, habits: Habits) -> Self {
        Self {
            api: Api::new(Arc::clone(self.api.tables()), "127.0.0.1:8000").with_habits(habits),
            clock: Arc::clone(&self.clock),
        }
    }

    /// Lets time pass.
    pub(crate) fn pass(&self, ms: u64) {
        self.clock.0.fetch_add(ms, Ordering::Relaxed);
    }

    /// A client with a table `music` (artist, song), a local index by year and a global one by genre.
    pub(crate) async fn with_table() -> Self {
        let client = Self::new().await;
        client
            .ok(
                "CreateTable",
                r#"{"TableName":"music","BillingMode":"PAY_PER_REQUEST",
                "AttributeDefinitions":[{"AttributeName":"artist","AttributeType":"S"},{"AttributeName":"song","AttributeType":"S"},
                    {"AttributeName":"year","AttributeType":"N"},{"AttributeName":"genre","AttributeType":"S"}],
                "KeySchema":[{"AttributeName":"artist","KeyType":"HASH"},{"AttributeName":"song","KeyType":"RANGE"}],
                "LocalSecondaryIndexes":[{"IndexName":"by-year","Projection":{"ProjectionType":"KEYS_ONLY"},
                    "KeySchema":[{"AttributeName":"artist","KeyType":"HASH"},{"AttributeName":"year","KeyType":"RANGE"}]}],
                "GlobalSecondaryIndexes":[{"IndexName":"by-genre","Projection":{"ProjectionType":"KEYS_ONLY"},
                    "KeySchema":[{"AttributeName":"genre","KeyType":"HASH"},{"AttributeName":"song","KeyType":"RANGE"}]}]}"#,
            )
            .await;
        client
    }

    /// The API, as it asks policies in this mode.
    pub(crate) fn asking(&self, authorization: Authorization) -> Api<MemoryEngine> {
        self.api.clone().with_authorization(authorization)
    }

    pub(crate) async fn call(&self, operation: &str, body: &str) -> (u16, String) {
        let root = Caller::root("000000000000");
        let reply = self
            .api
            .call(Call::of(&root), &target(operation), body.as_bytes())
            .await;
        assert_eq!(reply.error.is_some(), reply.status != 200);
        (reply.status, String::from_utf8(reply.body.to_vec()).unwrap())
    }

    pub(crate) async fn ok(&self, operation: &str, body: &str) -> String {
        let (status, reply) = self.call(operation, body).await;
        assert_eq!(status, 200, "{operation} {body}: {reply}");
        reply
    }

    /// That a call's reply is this document.
    pub(crate) async fn gives(&self, operation: &str, body: &str, expected: &str) {
        assert_eq!(self.ok(operation, body).await, expected, "{operation} {body}");
    }

    /// That a call is refused with this error.
    pub(crate) async fn refuses(&self, operation: &str, body: &str, error: &str, message: &str) {
        let (status, reply) = self.call(operation, body).await;
        assert_eq!(status, 400, "{operation} {body}: {reply}");
        assert!(reply.contains(&format!("#{error}\"")), "{operation} {body}: {reply}");
        let message = message.replace('"', "\\\"");
        assert!(
            reply.contains(&format!("essage\":\"{message}\"")),
            "{operation} {body}: {reply}"
        );
    }

    pub(crate) async fn invalid(&self, operation: &str, body: &str, message: &str) {
        self.refuses(operation, body, "ValidationException", message).await;
    }
}
