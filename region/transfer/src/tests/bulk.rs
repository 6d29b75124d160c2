//! Bulk operations, into a table that serves.

use geodynamo_api::transfer::{BulkCounts, BulkJob, BulkOutput, BulkState, NewBulk, TransferError};
use serde_json::{Value, json};

use super::*;
use crate::{
    bulk::kept::{Kept, Mark},
    seal::Seal,
};

const OWN: &str = "000000000000";

fn wanted(prefix: &str) -> NewBulk {
    NewBulk {
        table: "t".into(),
        table_arn: ARN.into(),
        account: OWN.into(),
        source: ImportSource {
            bucket: "bucket".into(),
            bucket_owner: None,
            prefix: Some(prefix.into()),
            format: ImportFormat::DynamoDbJson,
            compression: InputCompression::None,
        },
        output: BulkOutput {
            bucket: "told".into(),
            bucket_owner: None,
            prefix: Some("p".into()),
            sse_algorithm: None,
            sse_key: None,
            errors: true,
            failed_conditions: true,
        },
        max_units: None,
        accelerated: false,
        token: None,
    }
}

fn record(key: &str, value: &str) -> Value {
    json!({"Item": {"pk": {"S": key}, "v": {"S": value}}})
}

fn unless_there(mut record: Value) -> Value {
    record["ConditionExpression"] = json!("attribute_not_exists(pk)");
    record
}

impl World {
    async fn with_table() -> Self {
        let world = Self::new(Spanning::Yes).await;
        world.tables.catalog().create_table(definition("t")).await.unwrap();
        world
    }

    fn object(&self, name: &str, text: &str) {
        let path = self.bucket().join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }

    fn records(&self, name: &str, records: &[Value]) {
        let text: String = records.iter().map(|record| format!("{record}\n")).collect();
        self.object(name, &text);
    }

    /// What an operation told of a kind, and in how many files.
    fn told(&self, job: &BulkJob, kind: &str) -> (Vec<Value>, usize) {
        let folder = self
            .folder
            .path()
            .join("s3/told/p/AWSDynamoDB")
            .join(&job.id)
            .join(kind);
        let mut files: Vec<_> = std::fs::read_dir(folder)
            .map(|files| files.map(|file| file.unwrap().path()).collect())
            .unwrap_or_default();
        files.sort();
        let text: String = files
            .iter()
            .map(|file| std::fs::read_to_string(file).unwrap())
            .collect();
        let lines = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        (lines, files.len())
    }

    fn summary(&self, job: &BulkJob) -> Value {
        let folder = self.folder.path().join("s3/told/p/AWSDynamoDB").join(&job.id);
        serde_json::from_slice(&std::fs::read(folder.join("manifest-summary.json")).unwrap()).unwrap()
    }
}

async fn ended(transfers: &Transfers<MemoryEngine>, arn: &str) -> BulkJob {
    loop {
        let job = transfers.bulk().find(arn).unwrap();
        if job.state.has_ended() {
            return job;
        }
        tokio::task::yield_now().await;
    }
}

async fn carried_out(world: &World, wanted: NewBulk) -> BulkJob {
    let (_running, stop) = watch::channel(false);
    let transfers = world.start(stop).await;
    let begun = transfers.bulk().begin(wanted).await.unwrap();
    assert_eq!(begun.state, BulkState::InProgress);
    ended(&transfers, &begun.arn).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_no_item_is_told_and_the_rest_is_put() {
    let world = World::with_table().await;
    let table = world.tables.table("t").unwrap();
    world
        .tables
        .writes()
        .put(&table, item("there", "old"), Default::default())
        .await
        .unwrap();
    let good: Vec<_> = (0..100).map(|number| record(&format!("k{number}"), "new")).collect();
    world.records("in/1.json", &good);
    let mut bad_condition = record("x", "y");
    bad_condition["ExpressionAttributeNames"] = json!({"#a": "b"});
    world.records(
        "in/2.json",
        &[
            json!({"Item": {"v": {"S": "no key"}}}),
            json!("no record"),
            bad_condition,
            unless_there(record("there", "new")),
            unless_there(record("not there", "new")),
            record("again", "1"),
            record("again", "2"),
            record("again", "3"),
        ],
    );
    // It is cut off in its midst; what comes before is put.
    world.object(
        "in/3.json",
        "{\"Item\":{\"pk\":{\"S\":\"last\"},\"v\":{\"S\":\"new\"}}}\nnot this",
    );
    world.object("other/4.json", "not below the prefix");

    let job = carried_out(&world, wanted("in/")).await;
    assert_eq!(job.state, BulkState::CompletedWithErrors);
    let counts = &job.counts;
    assert_eq!(
        (counts.processed_items, counts.failed_items, counts.failed_conditions),
        (110, 4, 1)
    );
    assert_eq!(counts.table_units, 105);
    assert_eq!(Some(counts.processed_bytes), job.total_bytes);
    let items = world.items("t").await;
    assert_eq!(items.len(), 100 + 4);
    assert_eq!(
        (&*items["there"], &*items["not there"], &*items["again"]),
        ("old", "new", "3")
    );

    let (errors, files) = world.told(&job, "error");
    assert!(errors.len() == 4 && files > 1, "{errors:?} in {files}");
    let without_key = errors.iter().find(|line| line["Item"]["v"]["S"] == "no key").unwrap();
    assert_eq!(
        without_key["itemS3Pointer"],
        json!({"bucket": "bucket", "key": "in/2.json", "itemIndex": 0, "line": 1})
    );
    assert!(
        without_key["errorMessages"][0]
            .as_str()
            .unwrap()
            .contains("Missing the key pk")
    );
    let (conditions, _) = world.told(&job, "condition-check-failure");
    assert_eq!(conditions.len(), 1);
    assert_eq!(conditions[0]["Item"]["v"]["S"], "new");
    assert_eq!(conditions[0]["ExistingItem"]["v"]["S"], "old");
    let summary = world.summary(&job);
    assert_eq!(summary["bulkOperationStatus"], "COMPLETED_WITH_ERRORS");
    assert_eq!(summary["reports"][0]["itemCount"], 4);
    assert_eq!(summary["reports"][0]["fileCount"], files);

    // Failed conditions are no errors; what is not asked for is not told.
    let mut quiet = wanted("in/2");
    quiet.output.errors = false;
    let again = carried_out(&world, quiet).await;
    assert_eq!(world.told(&again, "error").0.len(), 0);
    assert_eq!(world.told(&again, "condition-check-failure").0.len(), 2);
    // The very item that is there is none that this operation has written.
    world.records("only/1.json", &[unless_there(record("there", "old"))]);
    let job = carried_out(&world, wanted("only/")).await;
    assert_eq!((job.state, job.counts.failed_conditions), (BulkState::Completed, 1));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_object_that_cannot_be_read_on_is_an_error_of_one() {
    let world = World::with_table().await;
    let text: String = (0..50)
        .map(|number| format!("{}\n", record(&format!("k{number}"), &"v".repeat(50))))
        .collect();
    let mut packed = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::none());
    std::io::Write::write_all(&mut packed, text.as_bytes()).unwrap();
    let packed = packed.finish().unwrap();
    std::fs::create_dir_all(world.bucket().join("in")).unwrap();
    std::fs::write(world.bucket().join("in/1.gz"), &packed[..packed.len() / 2]).unwrap();
    std::fs::write(world.bucket().join("in/2.gz"), &packed).unwrap();
    let mut wanted = wanted("in/");
    wanted.source.compression = InputCompression::Gzip;
    let job = carried_out(&world, wanted).await;
    assert_eq!(
        (&job.state, job.counts.failed_items),
        (&BulkState::CompletedWithErrors, 1)
    );
    assert_eq!(world.items("t").await.len(), 50);
    let (errors, _) = world.told(&job, "error");
    assert_eq!(
        errors[0]["itemS3Pointer"],
        json!({"bucket": "bucket", "key": "in/1.gz"})
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_operation_goes_on_where_it_was() {
    let mut broken_off = 0;
    for round in 0..3 {
        let world = World::with_table().await;
        let (mut expected, mut bad) = (Items::new(), 0);
        for object in 0..3 {
            let mut records = Vec::new();
            for number in 0..300 {
                let (key, value) = (format!("k{}", number * 7 % 200), format!("{object} {number}"));
                if number % 50 == 49 {
                    records.push(json!({"Item": {"v": {"S": value}}}));
                    bad += 1;
                } else if number % 3 == 0 {
                    // Written once, whatever is written again.
                    records.push(unless_there(record(&format!("only {object} {number}"), &value)));
                    expected.insert(format!("only {object} {number}"), value);
                } else {
                    records.push(record(&key, &value));
                    expected.insert(key, value);
                }
            }
            world.records(&format!("in/{object}.json"), &records);
        }
        let mut arn = None;
        for after in [0, 100 + 150 * round, 600, u64::MAX] {
            let (stopping, stop) = watch::channel(false);
            let transfers = world.start(stop).await;
            let arn = match &arn {
                Some(arn) => arn,
                None => arn.insert(transfers.bulk().begin(wanted("in/")).await.unwrap().arn),
            };
            let job = loop {
                let job = transfers.bulk().find(arn).unwrap();
                if job.state.has_ended() || job.counts.processed_items >= after {
                    break job;
                }
                tokio::task::yield_now().await;
            };
            broken_off += usize::from(!job.state.has_ended() && job.counts.processed_items > 0);
            stopping.send(true).unwrap();
            // Whoever was at it has stopped when it is the only one that holds the operations.
            while transfers.bulk.is_shared() {
                tokio::task::yield_now().await;
            }
        }
        let (_running, stop) = watch::channel(false);
        let transfers = world.start(stop).await;
        let job = ended(&transfers, arn.as_ref().unwrap()).await;
        let counts = (
            job.counts.processed_items,
            job.counts.failed_items,
            job.counts.failed_conditions,
        );
        assert_eq!(counts, (900, bad, 0));
        assert_eq!(job.state, BulkState::CompletedWithErrors);
        assert_eq!(world.items("t").await, expected);
        let (errors, _) = world.told(&job, "error");
        let places: BTreeSet<String> = errors.iter().map(|line| line["itemS3Pointer"].to_string()).collect();
        assert_eq!((places.len() as u64, errors.len() as u64), (bad, bad));
    }
    assert!(broken_off > 0, "it was never broken off");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cancelled_operation_ends_where_it_is() {
    let world = World::with_table().await;
    let records: Vec<_> = (0..3000).map(|number| record(&format!("k{number}"), "v")).collect();
    world.records("in/1.json", &records);
    let (_running, stop) = watch::channel(false);
    let transfers = world.start(stop).await;
    let mut slow = wanted("in/");
    slow.max_units = Some(1024);
    let begun = transfers.bulk().begin(slow).await.unwrap();
    while transfers.bulk().find(&begun.arn).unwrap().counts.processed_items < 50 {
        tokio::task::yield_now().await;
    }
    let cancelled = transfers.bulk().cancel(&begun.arn).await.unwrap().unwrap();
    assert_eq!(cancelled.state, BulkState::Cancelling);
    let job = ended(&transfers, &begun.arn).await;
    assert_eq!(job.state, BulkState::Cancelled);
    let written = world.items("t").await.len() as u64;
    assert_eq!(written, job.counts.processed_items);
    assert!((50..3000).contains(&written), "{written}");
    assert_eq!(world.summary(&job)["bulkOperationStatus"], "CANCELLED");
    // One that has ended stays as it is; one that is not there is nothing.
    assert_eq!(
        transfers.bulk().cancel(&begun.arn).await.unwrap().unwrap().state,
        BulkState::Cancelled
    );
    assert!(transfers.bulk().cancel("no such").await.unwrap().is_none());
    assert_eq!(transfers.status().bulk.running, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_waits_can_be_cancelled_and_there_is_a_limit() {
    let world = World::with_table().await;
    let records: Vec<_> = (0..5000).map(|number| record(&format!("k{number}"), "v")).collect();
    world.records("in/1.json", &records);
    let (_running, stop) = watch::channel(false);
    let transfers = world.start(stop).await;
    let mut arns = Vec::new();
    let mut slow = wanted("in/");
    slow.max_units = Some(1024);
    while arns.len() < crate::root::PENDING_MAX {
        arns.push(transfers.bulk().begin(slow.clone()).await.unwrap().arn);
    }
    let refused = transfers.bulk().begin(slow.clone()).await;
    assert!(matches!(refused, Err(TransferError::LimitExceeded(_))), "{refused:?}");
    for arn in arns.iter().rev() {
        transfers.bulk().cancel(arn).await.unwrap();
    }
    for arn in &arns {
        assert_eq!(ended(&transfers, arn).await.state, BulkState::Cancelled);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_cannot_be_carried_out_fails() {
    let world = World::with_table().await;
    world.records("in/1.json", &[record("a", "b")]);
    let failed = |job: BulkJob| match job.state {
        BulkState::Failed(code, _) => code,
        other => panic!("{other:?}"),
    };
    assert_eq!(failed(carried_out(&world, wanted("none/")).await), "S3NoSuchKey");
    let mut elsewhere = wanted("in/");
    elsewhere.source.bucket = "no-such".into();
    assert_eq!(failed(carried_out(&world, elsewhere).await), "S3NoSuchBucket");
    // Another account's bucket, by its owner's number or as another account's caller.
    for change in [
        |wanted: &mut NewBulk| wanted.source.bucket_owner = Some("111122223333".into()),
        |wanted: &mut NewBulk| wanted.output.bucket_owner = Some("111122223333".into()),
    ] {
        let mut of_another = wanted("in/");
        change(&mut of_another);
        assert_eq!(failed(carried_out(&world, of_another).await), "S3AccessDenied");
    }
    let mut by_another = wanted("in/");
    by_another.account = "111122223333".into();
    assert_eq!(failed(carried_out(&world, by_another).await), "S3NoSuchBucket");
    assert!(world.items("t").await.is_empty());
    // The owner's own number is no hindrance.
    let mut own = wanted("in/");
    (own.source.bucket_owner, own.output.bucket_owner) = (Some(OWN.into()), Some(OWN.into()));
    assert_eq!(carried_out(&world, own).await.state, BulkState::Completed);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn reports_are_not_read_as_input() {
    let world = World::with_table().await;
    let mut records: Vec<_> = (0..40).map(|number| record(&format!("k{number}"), "v")).collect();
    records.push(json!("bad"));
    world.records("z.json", &records);
    let mut into_itself = wanted("");
    into_itself.output.bucket = "bucket".into();
    into_itself.output.prefix = None;
    let (stopping, stop) = watch::channel(false);
    let transfers = world.start(stop).await;
    let arn = transfers.bulk().begin(into_itself).await.unwrap().arn;
    ended(&transfers, &arn).await;
    stopping.send(true).unwrap();
    // As if it had been broken off just before its end.
    let path = std::fs::read_dir(world.folder.path().join("jobs/bulk"))
        .unwrap()
        .next()
        .unwrap()
        .unwrap()
        .path();
    let (seal, name) = (Seal::new(Some(world.keyring.clone())), path.file_name().unwrap());
    let (stored, name) = (std::fs::read(&path).unwrap(), name.to_str().unwrap());
    let kept = String::from_utf8(seal.open(name, &stored).unwrap().into_owned()).unwrap();
    let kept = kept.replace("\"CompletedWithErrors\"", "\"InProgress\"");
    std::fs::write(&path, seal.seal(name, kept.into_bytes()).unwrap()).unwrap();
    drop(transfers);
    let (_running, stop) = watch::channel(false);
    let transfers = world.start(stop).await;
    let job = ended(&transfers, &arn).await;
    assert_eq!((job.counts.processed_items, job.counts.failed_items), (41, 1));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_token_begins_one_operation() {
    let world = World::with_table().await;
    world.records("in/1.json", &[record("a", "b")]);
    let (_running, stop) = watch::channel(false);
    let transfers = world.start(stop).await;
    let mut once = wanted("in/");
    once.token = Some("once".into());
    let first = transfers.bulk().begin(once.clone()).await.unwrap();
    ended(&transfers, &first.arn).await;
    assert_eq!(transfers.bulk().begin(once.clone()).await.unwrap().arn, first.arn);
    let mut other = once.clone();
    other.accelerated = true;
    let refused = transfers.bulk().begin(other).await;
    assert!(matches!(refused, Err(TransferError::BulkMismatch)), "{refused:?}");
    // A token is its account's, and for eight hours.
    let mut of_another = once.clone();
    of_another.account = "111122223333".into();
    world.time.pass(1);
    assert_ne!(transfers.bulk().begin(of_another).await.unwrap().arn, first.arn);
    world.time.pass(8 * 60 * 60 * 1000);
    let later = transfers.bulk().begin(once).await.unwrap();
    assert_ne!(later.arn, first.arn);
    let listed: Vec<_> = transfers.bulk().list().into_iter().map(|job| job.arn).collect();
    assert_eq!(
        (listed.len(), &listed[0], &listed[2..]),
        (3, &later.arn, &[first.arn][..])
    );
}

/// What a data directory holds of operations is read by later releases.
#[test]
fn the_stored_form_of_operations() {
    let golden = concat!(
        r#"{"job":{"id":"01763890000000-0000000a","arn":"a","table_id":"id","table_key":7,"#,
        r#""wanted":{"table":"t","table_arn":"arn:aws:dynamodb:a:000000000000:table/t","account":"000000000000","#,
        r#""source":{"bucket":"bucket","bucket_owner":null,"prefix":"in/","format":"DynamoDbJson","compression":"None"},"#,
        r#""output":{"bucket":"told","bucket_owner":null,"prefix":"p","sse_algorithm":null,"sse_key":null,"#,
        r#""errors":true,"failed_conditions":true},"max_units":null,"accelerated":false,"token":null},"#,
        r#""started_ms":1,"ended_ms":2,"state":{"Failed":["code","message"]},"#,
        r#""counts":{"processed_bytes":1,"processed_items":2,"failed_items":3,"failed_conditions":4,"table_units":5,"#,
        r#""local_units":{"l":6},"global_units":{"g":7}},"total_bytes":8},"#,
        r#""mark":{"begun":true,"object":"in/1","records":9,"whole":false,"#,
        r#""counts":{"processed_bytes":0,"processed_items":0,"failed_items":0,"failed_conditions":0,"table_units":0,"#,
        r#""local_units":{},"global_units":{}},"#,
        r#""told":{"errors":{"whole_files":0,"last":0,"all":0},"failed_conditions":{"whole_files":0,"last":0,"all":0}}}}"#
    );
    let job = BulkJob {
        id: "01763890000000-0000000a".into(),
        arn: "a".into(),
        table_id: "id".into(),
        table_key: 7,
        wanted: wanted("in/"),
        started_ms: 1,
        ended_ms: Some(2),
        state: BulkState::Failed("code".into(), "message".into()),
        counts: BulkCounts {
            processed_bytes: 1,
            processed_items: 2,
            failed_items: 3,
            failed_conditions: 4,
            table_units: 5,
            local_units: [("l".into(), 6)].into(),
            global_units: [("g".into(), 7)].into(),
        },
        total_bytes: Some(8),
    };
    let mark = Mark {
        begun: true,
        object: Some("in/1".into()),
        records: 9,
        ..Mark::default()
    };
    let kept = Kept { job, mark };
    assert_eq!(serde_json::to_string(&kept).unwrap(), golden);
    assert_eq!(serde_json::from_str::<Kept>(golden).unwrap(), kept);
}
