//! What the tests share: regions that know each other, calls, a clock.

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use bytes::Bytes;
use geodynamo_archive::{Archive, Place, Transform, TransformError};
use geodynamo_backup::{Asked, Authorization, Backups, Call, Regions, Reply};
use geodynamo_item::{AttributeValue, Item};
use geodynamo_policy::{Caller, Environment};
use geodynamo_recovery::{Options, Recoveries};
use geodynamo_replicator_core::{ReplicaId, parking::ParkingLimits};
use geodynamo_storage::{MemoryEngine, Spanning};
use geodynamo_table::{
    CreateTable, Options as TableOptions, ScanRequest, Tables, TimeSource,
    recovery::Recovery,
    schema::{Billing, KeyAttribute, KeySchema, KeyType},
};
use serde_json::{Value, json};
use tokio::sync::watch;

/// A whole day: 2025-11-23T00:00:00Z.
pub(crate) const NOW: u64 = 1_763_856_000_000;
pub(crate) const HOUR: u64 = 60 * 60 * 1000;
pub(crate) const DAY: u64 = 24 * HOUR;
pub(crate) const ACCOUNT: &str = "000000000000";
pub(crate) const ROLE: &str = "arn:aws:iam::000000000000:role/backups";
/// How long something may take that takes no time.
const SOON: Duration = Duration::from_secs(60);

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

/// Each region's own encryption: what one has sealed, another cannot open.
struct Masked(u8);

impl Transform for Masked {
    fn id(&self) -> u8 {
        1
    }

    fn seal(&self, _: &str, mut bytes: Vec<u8>) -> Result<Vec<u8>, TransformError> {
        bytes.iter_mut().for_each(|byte| *byte ^= self.0);
        bytes.push(self.0);
        Ok(bytes)
    }

    fn open(&self, _: &str, mut bytes: Vec<u8>) -> Result<Vec<u8>, TransformError> {
        if bytes.pop() != Some(self.0) {
            return Err(TransformError::NoKey("another key".into()));
        }
        bytes.iter_mut().for_each(|byte| *byte ^= self.0);
        Ok(bytes)
    }
}

/// A region.
pub(crate) struct Region {
    pub(crate) name: &'static str,
    pub(crate) time: Arc<Time>,
    pub(crate) tables: Arc<Tables<MemoryEngine>>,
    pub(crate) archive: Archive,
    pub(crate) recoveries: Recoveries<MemoryEngine>,
    pub(crate) backups: Backups<MemoryEngine>,
    stop: watch::Sender<bool>,
}

impl Region {
    /// A region with an empty archive.
    pub(crate) async fn new(name: &'static str, time: &Arc<Time>, replica: u64) -> Self {
        let archive = Archive::open(&Place::Memory).unwrap();
        let archive = archive.with_transform(Arc::new(Masked(replica as u8 + 1)));
        let options = TableOptions {
            region: name.into(),
            regions: vec![name.into()],
            account: ACCOUNT.into(),
            partitions: 3,
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
        };
        let tables = Tables::open(MemoryEngine::new(Spanning::Yes), options).await.unwrap();
        let (stop, stopped) = watch::channel(false);
        let recoveries = Recoveries::new(Arc::clone(&tables), archive.clone(), small());
        let backups = Backups::open(Arc::clone(&tables), Some(recoveries.clone()), stopped)
            .await
            .unwrap();
        Self {
            name,
            time: Arc::clone(time),
            tables,
            archive,
            recoveries,
            backups,
            stop,
        }
    }

    /// The process ended, at once, and another one begins with the same data.
    pub(crate) async fn restart(&mut self) {
        self.stop.send_replace(true);
        let (stop, stopped) = watch::channel(false);
        self.stop = stop;
        self.recoveries = Recoveries::new(Arc::clone(&self.tables), self.archive.clone(), small());
        let recoveries = Some(self.recoveries.clone());
        self.backups = Backups::open(Arc::clone(&self.tables), recoveries, stopped)
            .await
            .unwrap();
    }

    pub(crate) async fn make_table(&self, name: &str) {
        let key = KeyAttribute {
            name: "p".into(),
            kind: KeyType::S,
        };
        let create = CreateTable {
            name: name.into(),
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
        self.tables.catalog().create_table(create).await.unwrap();
    }

    pub(crate) async fn put(&self, table: &str, key: &str, value: &str) {
        let table = self.tables.table(table).unwrap();
        let text = |text: &str| AttributeValue::S(text.into());
        let item: Item = [("p".into(), text(key)), ("v".into(), text(value))]
            .into_iter()
            .collect();
        self.tables
            .writes()
            .put(&table, item, Default::default())
            .await
            .unwrap();
    }

    /// The values of a table's items, by key.
    pub(crate) async fn items(&self, table: &str) -> BTreeMap<String, String> {
        let table = self.tables.table(table).unwrap();
        let scan = ScanRequest {
            index: None,
            limit: None,
            start: None,
            filter: None,
            consistent: false,
            segment: None,
            fetch_base: false,
        };
        let text = |item: &Item, name: &str| match item.get(name) {
            Some(AttributeValue::S(text)) => text.to_string(),
            other => panic!("{name} is {other:?}"),
        };
        let stored = self.tables.reads().scan(&table, scan).await.unwrap().items;
        let items = stored.into_iter().map(|stored| {
            let item = stored.decode().unwrap();
            (text(&item, "p"), text(&item, "v"))
        });
        items.collect()
    }

    /// Calls an operation as root; gives its document, or the error's code.
    pub(crate) async fn call(&self, method: &str, path: &str, body: Value) -> Result<Value, &'static str> {
        self.call_as(&Caller::root(ACCOUNT), method, path, body).await
    }

    /// The same as somebody else.
    pub(crate) async fn call_as(
        &self,
        caller: &Caller,
        method: &str,
        path: &str,
        body: Value,
    ) -> Result<Value, &'static str> {
        let reply = self.reply(caller, method, path, &body).await;
        match reply.error {
            Some(error) => Err(error.code),
            None if reply.body.is_empty() => Ok(Value::Null),
            None => Ok(serde_json::from_str(&reply.body).unwrap()),
        }
    }

    /// What somebody's call is answered with.
    pub(crate) async fn reply(&self, caller: &Caller, method: &str, path: &str, body: &Value) -> Reply {
        let (path, query) = path.split_once('?').unwrap_or((path, ""));
        let body = if body.is_null() {
            String::new()
        } else {
            body.to_string()
        };
        self.backups
            .call(Call {
                method,
                path,
                query,
                body: body.as_bytes(),
                caller,
                environment: Environment::default(),
                authorization: Authorization::Enforce,
            })
            .await
    }

    pub(crate) async fn get(&self, path: &str) -> Value {
        self.call("GET", path, Value::Null).await.unwrap()
    }

    pub(crate) async fn make_vault(&self, name: &str) {
        self.call("PUT", &format!("/backup-vaults/{name}"), json!({}))
            .await
            .unwrap();
    }

    pub(crate) fn vault_arn(&self, vault: &str) -> String {
        format!("arn:aws:backup:{}:{ACCOUNT}:backup-vault:{vault}", self.name)
    }

    pub(crate) fn table_arn(&self, table: &str) -> String {
        format!("arn:aws:dynamodb:{}:{ACCOUNT}:table/{table}", self.name)
    }

    /// Backs a table up; gives the recovery point's ARN once it is there.
    pub(crate) async fn back_up(&self, table: &str, vault: &str) -> String {
        let started = json!({ "BackupVaultName": vault, "ResourceArn": self.table_arn(table), "IamRoleArn": ROLE });
        let job = self.call("PUT", "/backup-jobs", started).await.unwrap();
        let job = self.ended("backup-jobs", &job["BackupJobId"]).await;
        assert_eq!(job["State"], "COMPLETED", "{job}");
        job["RecoveryPointArn"].as_str().unwrap().to_owned()
    }

    /// A job of a kind, once it has ended.
    pub(crate) async fn ended(&self, kind: &str, id: &Value) -> Value {
        let path = format!("/{kind}/{}", id.as_str().unwrap());
        let deadline = Instant::now() + SOON;
        loop {
            self.tick().await;
            let mut job = self.get(&path).await;
            if kind == "copy-jobs" {
                job = job["CopyJob"].take();
            }
            let state = if kind == "restore-jobs" {
                &job["Status"]
            } else {
                &job["State"]
            };
            if !["CREATED", "PENDING", "RUNNING", "ABORTING"].contains(&state.as_str().unwrap()) {
                return job;
            }
            assert!(Instant::now() < deadline, "{job}");
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }

    /// The job of a path as somebody else sees it, once it has ended.
    pub(crate) async fn ended_as(&self, caller: &Caller, path: &str) -> Value {
        let deadline = Instant::now() + SOON;
        loop {
            self.tick().await;
            let job = self.call_as(caller, "GET", path, Value::Null).await.unwrap();
            let of_job = job.get("CopyJob").unwrap_or(&job);
            let state = of_job.get("State").or(of_job.get("Status")).and_then(Value::as_str);
            if !["CREATED", "PENDING", "RUNNING", "ABORTING"].contains(&state.unwrap()) {
                return job;
            }
            assert!(Instant::now() < deadline, "{job}");
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }

    /// The ARN of a backup that DynamoDB's own API makes.
    pub(crate) async fn plain_backup(&self, table: &str) -> String {
        self.recoveries.create_backup(table, "plain").await.unwrap().arn
    }

    /// What is due, restores too.
    pub(crate) async fn tick(&self) {
        self.backups.tick().await.unwrap();
        self.recoveries.restore_all().await.unwrap();
    }

    /// Restores a recovery point into a table.
    pub(crate) async fn restore(&self, point: &str, table: &str) {
        let started = json!({
            "RecoveryPointArn": point,
            "IamRoleArn": ROLE,
            "Metadata": { "targetTableName": table },
        });
        let job = self.call("PUT", "/restore-jobs", started).await.unwrap();
        let job = self.ended("restore-jobs", &job["RestoreJobId"]).await;
        assert_eq!(job["Status"], "COMPLETED", "{job}");
        assert_eq!(job["CreatedResourceArn"], self.table_arn(table));
    }

    /// The recovery points of a vault.
    pub(crate) async fn points(&self, vault: &str) -> Vec<Value> {
        let found = self.get(&format!("/backup-vaults/{vault}/recovery-points")).await;
        found["RecoveryPoints"].as_array().unwrap().clone()
    }
}

fn small() -> Options {
    Options {
        chunk_bytes: 300,
        ..Options::default()
    }
}

/// The one other region that a region has. Every so many questions something goes wrong, before it is heard or after.
pub(crate) struct Peer {
    name: &'static str,
    backups: Backups<MemoryEngine>,
    asked: AtomicU64,
    /// Which question fails: every one whose number it divides; none if it is 0.
    fails: AtomicU64,
}

impl Peer {
    pub(crate) fn of(region: &Region) -> Arc<Self> {
        Arc::new(Self {
            name: region.name,
            backups: region.backups.clone(),
            asked: AtomicU64::new(0),
            fails: AtomicU64::new(0),
        })
    }

    pub(crate) fn fails_every(&self, questions: u64) {
        self.fails.store(questions, Ordering::Relaxed);
    }

    pub(crate) fn asked(&self) -> u64 {
        self.asked.load(Ordering::Relaxed)
    }
}

impl Regions for Peer {
    fn names(&self) -> Vec<String> {
        vec![self.name.to_owned()]
    }

    fn ask<'a>(&'a self, region: &'a str, question: Bytes) -> Asked<'a> {
        Box::pin(async move {
            assert_eq!(region, self.name);
            let number = self.asked.fetch_add(1, Ordering::Relaxed) + 1;
            let fails = self.fails.load(Ordering::Relaxed);
            let failing = number.is_multiple_of(fails);
            if failing && number.is_multiple_of(2) {
                return Err("it is not heard".to_owned());
            }
            let answer = self.backups.answer(&question).await?;
            if failing {
                return Err("its answer is lost".to_owned());
            }
            Ok(answer)
        })
    }
}

/// Two regions, with one clock, the first of which knows the other.
pub(crate) async fn two() -> (Region, Region, Arc<Peer>) {
    let time = Arc::new(Time(AtomicU64::new(NOW)));
    let (a, b) = (Region::new("a", &time, 1).await, Region::new("b", &time, 2).await);
    let peer = Peer::of(&b);
    a.backups.connect(Arc::<Peer>::clone(&peer));
    (a, b, peer)
}

/// A path's segment.
pub(crate) fn segment(text: &str) -> String {
    text.replace(':', "%3A").replace('/', "%2F")
}
