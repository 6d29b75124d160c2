//! Exports and imports of a region in memory, held against a plain model. Pieces are small here, so there are many of them.

mod bulk;

use std::{
    collections::{BTreeMap, BTreeSet},
    io::Read as _,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use geodynamo_api::transfer::{
    ExportJob, ExportKind, ImportCounts, ImportFormat, ImportJob, ImportSource, InputCompression, JobState, KeyKind,
    NewExport, NewImport, Transfer,
};
use geodynamo_archive::{Archive, Place};
use geodynamo_item::{AttributeValue, Item};
use geodynamo_recovery::{Options, Recoveries};
use geodynamo_replicator_core::{ReplicaId, parking::ParkingLimits};
use geodynamo_seal::Keyring;
use geodynamo_storage::{MemoryEngine, Spanning, Trouble};
use geodynamo_table::{
    CreateTable, Options as TableOptions, ScanRequest, TableStatus, Tables, TimeSource,
    recovery::Recovery,
    schema::{Billing, KeyAttribute, KeySchema, KeyType},
};
use rand::{Rng, SeedableRng, rngs::StdRng};
use tokio::sync::watch;

use crate::{BucketPlace, Transfers};

/// A whole second.
const NOW: u64 = 1_763_890_000_000;
const ARN: &str = "arn:aws:dynamodb:a:000000000000:table/t";
/// What a table has, by key.
type Items = BTreeMap<String, String>;

#[derive(Debug)]
struct Time(AtomicU64);

impl Time {
    fn pass(&self, ms: u64) -> u64 {
        self.0.fetch_add(ms, Ordering::Relaxed) + ms
    }
}

impl TimeSource for Time {
    fn now_ms(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

struct World {
    time: Arc<Time>,
    tables: Arc<Tables<MemoryEngine>>,
    recoveries: Recoveries<MemoryEngine>,
    folder: tempfile::TempDir,
    keyring: Keyring,
}

impl World {
    async fn new(spanning: Spanning) -> Self {
        let time = Arc::new(Time(AtomicU64::new(NOW)));
        let options = TableOptions {
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
            new_replica: ReplicaId(1),
            following: false,
        };
        let tables = Tables::open(MemoryEngine::new(spanning), options).await.unwrap();
        let archive = Archive::open(&Place::Memory).unwrap();
        let small = Options {
            segment_bytes: 300,
            chunk_bytes: 300,
            ..Options::default()
        };
        let recoveries = Recoveries::new(Arc::clone(&tables), archive, small);
        Self {
            time,
            tables,
            recoveries,
            folder: tempfile::tempdir().unwrap(),
            keyring: Keyring::in_memory().unwrap(),
        }
    }

    async fn start(&self, stop: watch::Receiver<bool>) -> Transfers<MemoryEngine> {
        let buckets = BucketPlace::Folder(self.bucket().parent().unwrap().to_owned());
        let jobs = self.folder.path().join("jobs");
        let (tables, recoveries) = (Arc::clone(&self.tables), Some(self.recoveries.clone()));
        let place = (&*jobs, Some(self.keyring.clone()));
        Transfers::start(tables, recoveries, buckets, place, stop)
            .await
            .unwrap()
    }

    fn bucket(&self) -> std::path::PathBuf {
        self.folder.path().join("s3/bucket")
    }

    async fn items(&self, table: &str) -> Items {
        let table = self.tables.table(table).unwrap();
        let page = self.tables.reads().scan(&table, ScanRequest::default()).await.unwrap();
        assert!(page.last_key.is_none());
        let item = |item: &geodynamo_table::StoredItem| {
            let item = item.decode().unwrap();
            (text(&item, "pk"), text(&item, "v"))
        };
        page.items.iter().map(item).collect()
    }
}

fn text(item: &Item, name: &str) -> String {
    match item.get(name) {
        Some(AttributeValue::S(text)) => text.to_string(),
        other => panic!("{name} is {other:?}"),
    }
}

fn item(key: &str, value: &str) -> Item {
    let attribute = |name: &str, value: &str| (name.into(), AttributeValue::S(value.into()));
    [attribute("pk", key), attribute("v", value)].into_iter().collect()
}

fn definition(name: &str) -> CreateTable {
    CreateTable {
        name: name.into(),
        keys: KeySchema::new(
            KeyAttribute {
                name: "pk".into(),
                kind: KeyType::S,
            },
            None,
        ),
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
    }
}

async fn exported(transfers: &Transfers<MemoryEngine>, kind: ExportKind) -> ExportJob {
    let wanted = NewExport {
        table: "t".into(),
        table_arn: ARN.into(),
        kind,
        ion: false,
        bucket: "bucket".into(),
        bucket_owner: None,
        prefix: None,
        sse_algorithm: None,
        sse_key: None,
        filter: None,
        token: None,
    };
    let mut job = transfers.begin_export(wanted).await.unwrap();
    while job.state == JobState::InProgress {
        tokio::task::yield_now().await;
        job = transfers.export(&job.arn).unwrap();
    }
    assert_eq!(job.state, JobState::Completed);
    job
}

/// The lines of an export's data files, and how many files there are.
fn lines(bucket: &Path, job: &ExportJob) -> (Vec<serde_json::Value>, usize) {
    let manifest = bucket.join(job.manifest.as_ref().unwrap());
    let files = std::fs::read_to_string(manifest.with_file_name("manifest-files.json")).unwrap();
    let mut lines = Vec::new();
    for file in files.lines() {
        let file: serde_json::Value = serde_json::from_str(file).unwrap();
        let data = std::fs::File::open(bucket.join(file["dataFileS3Key"].as_str().unwrap())).unwrap();
        let mut text = String::new();
        flate2::read::GzDecoder::new(data).read_to_string(&mut text).unwrap();
        lines.extend(
            text.lines()
                .map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap()),
        );
    }
    (lines, files.lines().count())
}

/// A write: when, of which key, and what it left.
type Event = (u64, String, Option<String>);

fn state(history: &[Event], before_ms: u64) -> Items {
    let mut items = Items::new();
    for (_, key, value) in history.iter().filter(|(ms, ..)| *ms < before_ms) {
        match value {
            Some(value) => drop(items.insert(key.clone(), value.clone())),
            None => drop(items.remove(key)),
        }
    }
    items
}

/// What an incremental export must tell: of each key the new and the old value.
fn changes(history: &[Event], from_ms: u64, to_ms: u64) -> BTreeMap<String, (Option<String>, Option<String>)> {
    let (old, new) = (state(history, from_ms), state(history, to_ms));
    let within = history.iter().filter(|(ms, ..)| (from_ms..to_ms).contains(ms));
    let keys: BTreeSet<&String> = within.map(|(_, key, _)| key).collect();
    let change = |key: &String| (key.clone(), (new.get(key).cloned(), old.get(key).cloned()));
    keys.into_iter()
        .map(change)
        .filter(|(_, (new, old))| new.is_some() || old.is_some())
        .collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn exports_are_what_a_plain_model_says() {
    let mut random = StdRng::seed_from_u64(16);
    let mut told_apart = 0;
    for round in 0..4 {
        let spanning = if round % 2 == 0 { Spanning::Yes } else { Spanning::No };
        let world = World::new(spanning).await;
        let (_running, stop) = watch::channel(false);
        let transfers = world.start(stop).await;
        world.tables.catalog().create_table(definition("t")).await.unwrap();
        world
            .recoveries
            .update_continuous_backups("t", true, None)
            .await
            .unwrap();
        world.time.pass(1);
        world.recoveries.ship().await.unwrap();
        let begin = world.time.pass(1);
        let table = world.tables.table("t").unwrap();
        let mut history: Vec<Event> = Vec::new();
        for number in 0..200 {
            let now = world.time.pass(random.random_range(0..3));
            let key = format!("k{}", random.random_range(0..40));
            let value = random.random_bool(0.7).then(|| format!("v{number} {}", "x".repeat(20)));
            match &value {
                Some(value) => drop(
                    world
                        .tables
                        .writes()
                        .put(&table, item(&key, value), Default::default())
                        .await
                        .unwrap(),
                ),
                None => {
                    let key: Item = [("pk".into(), AttributeValue::S(key.as_str().into()))]
                        .into_iter()
                        .collect();
                    world
                        .tables
                        .writes()
                        .delete(&table, &key, Default::default())
                        .await
                        .unwrap();
                }
            }
            history.push((now, key, value));
            if random.random_bool(0.05) {
                world.recoveries.ship().await.unwrap();
            }
        }
        let end = world.time.pass(2);
        world.time.pass(1);
        world.recoveries.ship().await.unwrap();
        for _ in 0..6 {
            let from_ms = random.random_range(begin..end - 1);
            let to_ms = random.random_range(from_ms + 1..end);
            let kind = ExportKind::Incremental {
                from_ms,
                to_ms,
                old_images: true,
            };
            let job = exported(&transfers, kind).await;
            let (lines, files) = lines(&world.bucket(), &job);
            let value = |line: &serde_json::Value, image: &str| line[image]["v"]["S"].as_str().map(str::to_owned);
            let key = |line: &serde_json::Value| line["Keys"]["pk"]["S"].as_str().unwrap().to_owned();
            let told: BTreeMap<_, _> = lines
                .iter()
                .map(|line| (key(line), (value(line, "NewImage"), value(line, "OldImage"))))
                .collect();
            assert_eq!(told.len(), lines.len());
            assert_eq!(told, changes(&history, from_ms, to_ms), "{from_ms}..{to_ms}");
            assert!(files > 1 || lines.len() < 10);
            // A window that is one millisecond off is another one, now and then.
            told_apart += usize::from(told != changes(&history, from_ms, to_ms + 1));
            told_apart += usize::from(told != changes(&history, from_ms + 1, to_ms));
        }
        let at_ms = random.random_range(begin..end);
        let job = exported(&transfers, ExportKind::Full { at_ms, latest: false }).await;
        let (lines, _) = lines(&world.bucket(), &job);
        let text = |line: &serde_json::Value, name: &str| line["Item"][name]["S"].as_str().unwrap().to_owned();
        let told: Items = lines.iter().map(|line| (text(line, "pk"), text(line, "v"))).collect();
        assert_eq!(told, state(&history, at_ms + 1));
    }
    assert!(told_apart > 0);
}

fn new_import(name: &str) -> NewImport {
    NewImport {
        create: definition(name),
        parameters: "{}".into(),
        source: ImportSource {
            bucket: "bucket".into(),
            bucket_owner: None,
            prefix: None,
            format: ImportFormat::Csv {
                delimiter: b',',
                header: Some(vec!["pk".into(), "v".into()]),
            },
            compression: InputCompression::None,
        },
        token: None,
    }
}

async fn ended(transfers: &Transfers<MemoryEngine>, arn: &str) -> ImportJob {
    loop {
        let job = transfers.import(arn).unwrap();
        if job.state != JobState::InProgress {
            return job;
        }
        tokio::task::yield_now().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_import_goes_on_where_it_was() {
    for (round, spanning) in [Spanning::Yes, Spanning::No, Spanning::Yes].into_iter().enumerate() {
        let world = World::new(spanning).await;
        std::fs::create_dir_all(world.bucket()).unwrap();
        let (mut expected, mut bad) = (Items::new(), 0);
        for object in 0..3 {
            let mut text = String::new();
            for record in 0..500 {
                // Each key comes several times: the last one stays.
                let (key, value) = (format!("k{}", record * 7 % 300), format!("{object} {record}"));
                if record % 50 == 49 {
                    text.push_str(&format!(",{value}\n"));
                    bad += 1;
                } else {
                    text.push_str(&format!("{key},{value}\n"));
                    expected.insert(key, value);
                }
            }
            std::fs::write(world.bucket().join(format!("{object}.csv")), text).unwrap();
        }
        let mut arn = None;
        let mut broken_off = 0;
        // Broken off after so many records, then run to its end.
        for after in [1, 400 + 100 * round as u64, 1200, u64::MAX] {
            let (stopping, stop) = watch::channel(false);
            let transfers = world.start(stop).await;
            let arn = match &arn {
                Some(arn) => arn,
                None => arn.insert(transfers.begin_import(new_import("i")).await.unwrap().arn),
            };
            let job = loop {
                let job = transfers.import(arn).unwrap();
                if job.state != JobState::InProgress || job.counts.processed_items >= after {
                    break job;
                }
                tokio::task::yield_now().await;
            };
            if job.state == JobState::InProgress {
                let status = world.tables.table_named("i").unwrap().status();
                broken_off += usize::from(status == TableStatus::Creating);
            }
            stopping.send(true).unwrap();
            // Whoever was at it has stopped when it is the only one that holds the jobs.
            while transfers.is_shared() {
                tokio::task::yield_now().await;
            }
        }
        let (_running, stop) = watch::channel(false);
        let transfers = world.start(stop).await;
        let job = ended(&transfers, arn.as_ref().unwrap()).await;
        assert!(matches!(&job.state, JobState::Failed(code, _) if code == "ItemValidationError"));
        let counts = (job.counts.processed_items, job.counts.imported_items, job.counts.errors);
        assert_eq!(counts, (1500, 1500 - bad, bad));
        assert_eq!(world.items("i").await, expected);
        let log = transfers.import_errors(&job.id).unwrap().unwrap();
        let told: BTreeSet<&str> = log.lines().collect();
        assert_eq!((told.len() as u64, log.lines().count() as u64), (bad, bad));
        assert!(broken_off > 0, "it was never broken off");
        assert_eq!(transfers.import_errors("no such").unwrap(), None);
        // Nothing of it is in the clear.
        for file in ["json", "errors"] {
            let path = transfers.error_log(&job.id).with_extension(file);
            let stored = std::fs::read(path).unwrap();
            assert!(!stored.windows(6).any(|window| window == b"bucket"), "{file}");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_table_that_nobody_imports_goes() {
    let world = World::new(Spanning::Yes).await;
    world.tables.loads().create_imported(definition("i")).await.unwrap();
    assert_eq!(world.tables.table_named("i").unwrap().status(), TableStatus::Creating);
    let (_running, stop) = watch::channel(false);
    let transfers = world.start(stop).await;
    let gone = |name: &str| {
        let table = world.tables.table_named(name);
        table.map_or(true, |table| table.status() == TableStatus::Deleting)
    };
    assert!(gone("i"));
    // So does that of an import that fails.
    std::fs::create_dir_all(world.bucket()).unwrap();
    std::fs::write(world.bucket().join("1.csv"), "not read").unwrap();
    let mut wanted = new_import("j");
    wanted.source.compression = InputCompression::Gzip;
    let arn = transfers.begin_import(wanted).await.unwrap().arn;
    let job = ended(&transfers, &arn).await;
    assert!(matches!(&job.state, JobState::Failed(code, _) if code == "InvalidFileFormat"));
    while !gone("j") {
        tokio::task::yield_now().await;
    }
}

/// A job that waits for the disk ends with the process, also where that is told by nothing but the sender's end; it goes on later.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_job_that_waits_for_the_disk_ends_with_the_process() {
    const DEADLINE: Duration = Duration::from_secs(60);
    let world = World::new(Spanning::Yes).await;
    std::fs::create_dir_all(world.bucket()).unwrap();
    let lines: String = (0..1000).map(|number| format!("k{number},v\n")).collect();
    std::fs::write(world.bucket().join("1.csv"), lines).unwrap();
    let all_ended = async |transfers: &Transfers<MemoryEngine>| {
        let ended = tokio::time::timeout(DEADLINE, async {
            while transfers.is_shared() {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        });
        ended.await.expect("the job ends");
    };
    // Begun, and no more than that.
    let transfers = world.start(watch::channel(true).1).await;
    let arn = transfers.begin_import(new_import("i")).await.unwrap().arn;
    all_ended(&transfers).await;
    assert_eq!(transfers.import(&arn).unwrap().state, JobState::InProgress);
    world.tables.engine().refuse_writes(Some(Trouble::ReadOnly));
    let (running, stop) = watch::channel(false);
    let transfers = world.start(stop).await;
    drop(running);
    all_ended(&transfers).await;
    assert_eq!(transfers.import(&arn).unwrap().state, JobState::InProgress);
    world.tables.engine().refuse_writes(None);
    let (_running, stop) = watch::channel(false);
    let transfers = world.start(stop).await;
    assert_eq!(ended(&transfers, &arn).await.state, JobState::Completed);
    assert_eq!(world.items("i").await.len(), 1000);
}

/// What a data directory holds of jobs is read by later releases.
#[test]
fn the_stored_forms_of_jobs() {
    let export = ExportJob {
        id: "01763890000000-0000000a".into(),
        arn: format!("{ARN}/export/01763890000000-0000000a"),
        table_key: u64::MAX,
        table_id: "id".into(),
        wanted: NewExport {
            table: "t".into(),
            table_arn: ARN.into(),
            kind: ExportKind::Full {
                at_ms: NOW,
                latest: true,
            },
            ion: true,
            bucket: "b".into(),
            bucket_owner: None,
            prefix: Some("p".into()),
            sse_algorithm: None,
            sse_key: None,
            filter: Some("{}".into()),
            token: None,
        },
        started_ms: NOW,
        ended_ms: None,
        state: JobState::InProgress,
        manifest: None,
        items: 0,
        bytes: 0,
    };
    let golden = concat!(
        r#"{"id":"01763890000000-0000000a","#,
        r#""arn":"arn:aws:dynamodb:a:000000000000:table/t/export/01763890000000-0000000a","#,
        r#""table_key":18446744073709551615,"table_id":"id","#,
        r#""wanted":{"table":"t","table_arn":"arn:aws:dynamodb:a:000000000000:table/t","#,
        r#""kind":{"Full":{"at_ms":1763890000000,"latest":true}},"ion":true,"bucket":"b","bucket_owner":null,"prefix":"p","#,
        r#""sse_algorithm":null,"sse_key":null,"filter":"{}","token":null},"#,
        r#""started_ms":1763890000000,"ended_ms":null,"state":"InProgress","manifest":null,"items":0,"bytes":0}"#
    );
    assert_eq!(serde_json::to_string(&export).unwrap(), golden);
    assert_eq!(serde_json::from_str::<ExportJob>(golden).unwrap(), export);
    let import = ImportJob {
        id: "i".into(),
        arn: "a".into(),
        table: "t".into(),
        table_arn: "ta".into(),
        table_id: "id".into(),
        table_key: 7,
        key_types: vec![("pk".into(), KeyKind::N)],
        parameters: "{}".into(),
        source: new_import("t").source,
        token: Some("once".into()),
        started_ms: 1,
        ended_ms: Some(2),
        state: JobState::Failed("code".into(), "message".into()),
        counts: ImportCounts {
            processed_bytes: 1,
            processed_items: 2,
            imported_items: 3,
            errors: 4,
        },
    };
    let golden = concat!(
        r#"{"id":"i","arn":"a","table":"t","table_arn":"ta","table_id":"id","table_key":7,"key_types":[["pk","N"]],"#,
        r#""parameters":"{}","source":{"bucket":"bucket","bucket_owner":null,"prefix":null,"#,
        r#""format":{"Csv":{"delimiter":44,"header":["pk","v"]}},"compression":"None"},"token":"once","#,
        r#""started_ms":1,"ended_ms":2,"state":{"Failed":["code","message"]},"#,
        r#""counts":{"processed_bytes":1,"processed_items":2,"imported_items":3,"errors":4}}"#
    );
    assert_eq!(serde_json::to_string(&import).unwrap(), golden);
    assert_eq!(serde_json::from_str::<ImportJob>(golden).unwrap(), import);
}
