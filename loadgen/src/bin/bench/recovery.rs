//! What backups, imports and restores cost.
//!
//! - An import of JSON lines, from the call until it is COMPLETED, against BatchWriteItem of the same items.
//! - Puts into a table with point-in-time recovery against puts into one without, by turns.
//! - Bytes that the archive grows by for each byte written, of items that are text as JSON documents are, once the archive has
//!   them all.
//! - A restore of an on-demand backup, from the call until the table is ACTIVE, against a plain copy of as many bytes as the
//!   table has, with its sync.

use std::{
    collections::BTreeMap,
    fmt::Write as _,
    fs::{self, File},
    io::{self, Write as _},
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use geodynamo_loadgen::{
    client::{Connection, Endpoint},
    cluster::Cluster,
    load::run,
    process::{resident_bytes, wait_idle},
    report::median,
    tables::{call, create, put_batches, wait},
    workload::{Operation, Workload},
};
use rand::{Rng, SeedableRng, rngs::StdRng};
use serde_json::{Value, json};

use crate::{
    effort::Effort,
    pair::{IDLE_MAX, block_on, settings},
    verdict::{no_errors, verdict},
};

const IMPORT_WANTED: f64 = 3.0;
const PUTS_WANTED: f64 = 0.95;
const ARCHIVED_WANTED: f64 = 0.6;
const RESTORE_WANTED: f64 = 0.4;
/// Connections that put.
const CONNECTIONS: usize = 32;
/// Items of a BatchWriteItem.
const BATCH: u64 = 25;
/// A job is done within this time.
const JOB_MAX: Duration = Duration::from_secs(3600);
const POLL: Duration = Duration::from_millis(20);
const BUCKET: &str = "bench";
const WORDS: &[&str] = &[
    "order",
    "customer",
    "shipped",
    "pending",
    "street",
    "garden",
    "invoice",
    "total",
    "discount",
    "monday",
    "basket",
    "blue",
    "cotton",
    "summer",
    "delivery",
    "address",
    "express",
    "standard",
    "returned",
    "refund",
    "notes",
    "please",
    "ring",
    "the",
    "bell",
    "twice",
    "and",
    "leave",
    "parcel",
    "with",
    "neighbour",
    "fragile",
    "glass",
    "table",
    "lamp",
    "chair",
    "wooden",
];

/// Items that look like what JSON documents hold.
struct Items {
    random: StdRng,
    number: u64,
}

impl Items {
    fn new() -> Self {
        Self {
            random: StdRng::seed_from_u64(16),
            number: 0,
        }
    }

    fn words(&mut self, count: usize) -> String {
        let mut text = String::new();
        for _ in 0..count {
            let word = WORDS[self.random.random_range(0..WORDS.len())];
            let _ = write!(text, "{}{word}", if text.is_empty() { "" } else { " " });
        }
        text
    }

    /// The next item, as DynamoDB's JSON.
    fn next(&mut self) -> String {
        let number = self.number;
        self.number += 1;
        let (cents, day) = (self.random.random_range(100..100_000), self.random.random_range(1..29));
        let (name, notes, street) = (self.words(2), self.words(14), self.words(2));
        format!(
            "{{\"pk\":{{\"S\":\"order-{number:012}\"}},\"customer\":{{\"S\":\"{name}\"}},\"totalCents\":{{\"N\":\"{cents}\"}},\
             \"placedAt\":{{\"S\":\"2026-03-{day:02}T10:{:02}:{:02}Z\"}},\"status\":{{\"S\":\"shipped\"}},\
             \"address\":{{\"M\":{{\"street\":{{\"S\":\"{street} {}\"}},\"city\":{{\"S\":\"Rotterdam\"}}}}}},\
             \"notes\":{{\"S\":\"{notes}\"}}}}",
            number % 60,
            cents % 60,
            number % 200
        )
    }
}

/// Measures all of it.
pub(crate) fn measure(effort: &Effort, folder: &Path) -> io::Result<Value> {
    let bench = Bench::start(effort, folder)?;
    println!(
        "\nBackups, imports and restores; {} items of JSON-like text, one region, its archive a folder\n",
        bench.items
    );
    let imported = bench.import()?;
    let restored = bench.restore()?;
    let puts = bench.puts()?;
    let archived = bench.archived()?;
    let resident_mb = resident_bytes(bench.pid).unwrap_or(0) >> 20;
    println!("resident in the end: {resident_mb} MiB");
    Ok(json!({
        "items": bench.items, "import": imported, "restore": restored, "puts": puts, "archived": archived,
        "resident_mb": resident_mb,
    }))
}

struct Bench<'a> {
    effort: &'a Effort,
    folder: PathBuf,
    endpoint: Endpoint,
    pid: u32,
    items: u64,
    /// Ends the region when it is dropped.
    _cluster: Cluster,
}

impl<'a> Bench<'a> {
    fn start(effort: &'a Effort, folder: &Path) -> io::Result<Self> {
        let mut settings = settings(folder, "recovery", &["us-east-1"])?;
        let folder = settings.folder.clone();
        let text = |path: &Path| path.to_string_lossy().into_owned();
        settings.more = format!(
            "[archive]\nurl = \"{}\"\nship_seconds = 1\nscrub_mb_per_second = 0\n[s3]\ndir = \"{}\"\n\
             [throttle]\nkey_range_read = 0\nkey_range_write = 0\n",
            text(&folder.join("archive")),
            text(&folder.join("s3"))
        );
        let mut cluster = Cluster::new(settings)?;
        cluster.write(&BTreeMap::new())?;
        cluster.start()?;
        let node = &cluster.nodes[0];
        Ok(Self {
            effort,
            endpoint: node.endpoint(),
            pid: node.pid().ok_or_else(|| io::Error::other("the region does not run"))?,
            items: effort.keys * 5,
            folder,
            _cluster: cluster,
        })
    }

    fn ask(&self, operation: &str, body: &Value) -> io::Result<Value> {
        block_on(async { call(&mut Connection::open(&self.endpoint).await?, operation, body).await })
    }

    /// Asks until an answer is as it should be.
    fn ask_until(&self, operation: &str, body: &Value, ready: impl Fn(&Value) -> bool) -> io::Result<Value> {
        let deadline = Instant::now() + JOB_MAX;
        block_on(async {
            let mut connection = Connection::open(&self.endpoint).await?;
            loop {
                let answer = call(&mut connection, operation, body).await?;
                if ready(&answer) {
                    return Ok(answer);
                }
                if Instant::now() > deadline {
                    return Err(io::Error::other(format!("{operation} stays at {answer}")));
                }
                tokio::time::sleep(POLL).await;
            }
        })
    }

    fn idle(&self) -> io::Result<()> {
        wait_idle(self.pid, IDLE_MAX)
    }

    /// Puts items with BatchWriteItem.
    fn put_all(&self, table: &str, count: u64) -> io::Result<()> {
        let (mut items, table) = (Items::new(), table.to_owned());
        let bodies = (0..count.div_ceil(BATCH)).map(move |batch| {
            let of = BATCH.min(count - batch * BATCH);
            let mut body = format!("{{\"RequestItems\":{{\"{table}\":[");
            for number in 0..of {
                let comma = if number == 0 { "" } else { "," };
                let _ = write!(body, "{comma}{{\"PutRequest\":{{\"Item\":{}}}}}", items.next());
            }
            body.push_str("]}}");
            (of, body)
        });
        block_on(put_batches(&self.endpoint, CONNECTIONS, bodies, |_| ()))
    }

    fn import(&self) -> io::Result<Value> {
        let bucket = self.folder.join("s3").join(BUCKET);
        fs::create_dir_all(&bucket)?;
        let mut file = io::BufWriter::new(File::create(bucket.join("items.json"))?);
        let mut items = Items::new();
        for _ in 0..self.items {
            writeln!(file, "{{\"Item\":{}}}", items.next())?;
        }
        file.into_inner().map_err(io::IntoInnerError::into_error)?.sync_all()?;
        block_on(create(&self.endpoint, "written"))?;
        self.idle()?;
        let begun = Instant::now();
        self.put_all("written", self.items)?;
        let written = self.items as f64 / begun.elapsed().as_secs_f64();
        self.idle()?;
        let begun = Instant::now();
        let import = self.ask(
            "ImportTable",
            &json!({
                "S3BucketSource": {"S3Bucket": BUCKET}, "InputFormat": "DYNAMODB_JSON",
                "TableCreationParameters": {
                    "TableName": "imported", "BillingMode": "PAY_PER_REQUEST",
                    "AttributeDefinitions": [{"AttributeName": "pk", "AttributeType": "S"}],
                    "KeySchema": [{"AttributeName": "pk", "KeyType": "HASH"}],
                },
            }),
        )?;
        let arn = &import["ImportTableDescription"]["ImportArn"];
        let done = self.ask_until("DescribeImport", &json!({"ImportArn": arn}), |answer| {
            answer["ImportTableDescription"]["ImportStatus"] != "IN_PROGRESS"
        })?;
        let imported = self.items as f64 / begun.elapsed().as_secs_f64();
        let done = &done["ImportTableDescription"];
        if done["ImportStatus"] != "COMPLETED" || done["ImportedItemCount"] != self.items {
            return Err(io::Error::other(format!("the import came to {done}")));
        }
        let ratio = imported / written;
        println!(
            "import            {imported:>9.0} items/s   BatchWriteItem {written:>9.0} items/s   ratio {ratio:.2} (wanted {IMPORT_WANTED}: {})",
            verdict(ratio >= IMPORT_WANTED)
        );
        Ok(json!({"imported": imported, "written": written, "ratio": ratio, "wanted": IMPORT_WANTED}))
    }

    fn restore(&self) -> io::Result<Value> {
        self.idle()?;
        let backup = self.ask("CreateBackup", &json!({"TableName": "imported", "BackupName": "bench"}))?;
        let arn = backup["BackupDetails"]["BackupArn"].clone();
        self.ask_until("DescribeBackup", &json!({"BackupArn": arn}), |answer| {
            answer["BackupDescription"]["BackupDetails"]["BackupStatus"] == "AVAILABLE"
        })?;
        self.idle()?;
        let begun = Instant::now();
        self.ask(
            "RestoreTableFromBackup",
            &json!({"TargetTableName": "restored", "BackupArn": arn}),
        )?;
        block_on(async {
            let mut connection = Connection::open(&self.endpoint).await?;
            wait(&mut connection, "restored", |answer| {
                answer["Table"]["TableStatus"] == "ACTIVE"
            })
            .await
        })?;
        let took = begun.elapsed().as_secs_f64();
        let table = self.ask("DescribeTable", &json!({"TableName": "restored"}))?;
        if table["Table"]["ItemCount"] != self.items {
            return Err(io::Error::other(format!("the restored table is {table}")));
        }
        let bytes = table["Table"]["TableSizeBytes"].as_u64().unwrap_or(0);
        let copied = self.copy(bytes)?;
        let restored = bytes as f64 / took / 1e6;
        let ratio = restored / copied;
        println!(
            "restore           {restored:>9.1} MB/s      plain copy     {copied:>9.1} MB/s      ratio {ratio:.2} (wanted {RESTORE_WANTED}: {})",
            verdict(ratio >= RESTORE_WANTED)
        );
        Ok(
            json!({"restored_mb_s": restored, "copied_mb_s": copied, "bytes": bytes, "ratio": ratio, "wanted": RESTORE_WANTED}),
        )
    }

    /// Copies a file of so many bytes, and syncs it; gives MB a second.
    fn copy(&self, bytes: u64) -> io::Result<f64> {
        let (from, to) = (self.folder.join("copy-from"), self.folder.join("copy-to"));
        let mut file = File::create(&from)?;
        let mut items = Items::new();
        let mut left = bytes;
        while left > 0 {
            let text = items.next();
            let part = text.len().min(usize::try_from(left).unwrap_or(usize::MAX));
            file.write_all(&text.as_bytes()[..part])?;
            left -= part as u64;
        }
        file.sync_all()?;
        let mut rates = Vec::new();
        for _ in 0..self.effort.runs {
            let begun = Instant::now();
            fs::copy(&from, &to)?;
            File::open(&to)?.sync_all()?;
            rates.push(bytes as f64 / begun.elapsed().as_secs_f64() / 1e6);
            fs::remove_file(&to)?;
        }
        Ok(median(&rates))
    }

    fn puts(&self) -> io::Result<Value> {
        let tables = ["plain", "recovered"];
        for table in tables {
            block_on(create(&self.endpoint, table))?;
        }
        self.switch_on("recovered")?;
        let mut rates = [const { Vec::new() }; 2];
        for run_number in 0..self.effort.runs as u64 * 2 {
            for (table, rates) in tables.iter().zip(&mut rates) {
                self.idle()?;
                let workload = Workload {
                    table: (*table).into(),
                    ..self.effort.workload(Operation::Put)
                };
                let plan = self.effort.plan(&self.endpoint, &workload, CONNECTIONS, run_number + 1);
                let outcome = run(&plan)?;
                no_errors(&outcome)?;
                rates.push(outcome.rate());
            }
        }
        let [plain, recovered] = rates.map(|rates| median(&rates));
        let ratio = recovered / plain;
        println!(
            "puts with PITR    {recovered:>9.0} puts/s    without        {plain:>9.0} puts/s    ratio {ratio:.2} (wanted {PUTS_WANTED}: {})",
            verdict(ratio >= PUTS_WANTED)
        );
        Ok(json!({"with": recovered, "without": plain, "ratio": ratio, "wanted": PUTS_WANTED}))
    }

    fn switch_on(&self, table: &str) -> io::Result<()> {
        let body = json!({
            "TableName": table,
            "PointInTimeRecoverySpecification": {"PointInTimeRecoveryEnabled": true},
        });
        self.ask("UpdateContinuousBackups", &body)?;
        self.latest(table, 0.0).map(drop)
    }

    /// Waits until a table can be restored to a moment; gives the latest one.
    fn latest(&self, table: &str, after: f64) -> io::Result<f64> {
        let of = |answer: &Value| {
            let described = &answer["ContinuousBackupsDescription"]["PointInTimeRecoveryDescription"];
            described["LatestRestorableDateTime"].as_f64().unwrap_or(-1.0)
        };
        let body = json!({"TableName": table});
        self.ask_until("DescribeContinuousBackups", &body, |answer| of(answer) > after)
            .map(|answer| of(&answer))
    }

    fn archived(&self) -> io::Result<Value> {
        let table = "archived";
        block_on(create(&self.endpoint, table))?;
        self.switch_on(table)?;
        self.idle()?;
        let before = bytes_in(&self.folder.join("archive"))?;
        self.put_all(table, self.items)?;
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
        self.latest(table, now.map_or(0.0, |now| now.as_secs_f64()))?;
        self.idle()?;
        let grown = bytes_in(&self.folder.join("archive"))?.saturating_sub(before);
        let described = self.ask("DescribeTable", &json!({"TableName": table}))?;
        let written = described["Table"]["TableSizeBytes"].as_u64().unwrap_or(0);
        let ratio = grown as f64 / written as f64;
        println!(
            "archived          {grown:>9} bytes     written        {written:>9} bytes     ratio {ratio:.2} (wanted {ARCHIVED_WANTED}: {})",
            verdict(ratio <= ARCHIVED_WANTED)
        );
        Ok(json!({"archived": grown, "written": written, "ratio": ratio, "wanted": ARCHIVED_WANTED}))
    }
}

/// Bytes of all files under a folder.
fn bytes_in(folder: &Path) -> io::Result<u64> {
    let mut bytes = 0;
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder)? {
            let entry = entry?;
            match entry.metadata() {
                Ok(found) if found.is_dir() => folders.push(entry.path()),
                Ok(found) => bytes += found.len(),
                // It was renamed or removed meanwhile.
                Err(_) => {}
            }
        }
    }
    Ok(bytes)
}
