//! Every kind of file of a region is damaged in every way, one file at a time, while the region does not run: a bit is another,
//! the end is gone, it has another file's content, it is as it was some time ago. The region then has all that it acknowledged;
//! or refuses what it does not vouch for, and says so; or refuses to start, and leaves the files as they are. Never does it answer
//! with anything else than what was written last.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus};
use std::time::Duration;

use geodynamo_loadgen::client::{Connection, Endpoint};
use geodynamo_loadgen::cluster::Node;
use geodynamo_loadgen::tables;
use geodynamo_tests::damage::{Done, Harm, Image};
use geodynamo_tests::raw::{Dice, call, metric, noise};
use geodynamo_tests::regions::Regions;
use geodynamo_tests::{Failure, binary, wait_until};
use serde_json::{Value, json};

/// How many cases there are, where it is not one of each kind of file and of harm.
const CASES: &str = "GEODYNAMO_DAMAGE_CASES";
/// The first case's seed.
const SEED: &str = "GEODYNAMO_DAMAGE_SEED";
const CONFIG: &str = "[memory]\nwrite_buffer_mb = 8\n";
const PLAIN: &str = "[encryption]\nenabled = false\n";
/// One of each class.
const TABLES: [(&str, &str); 2] = [("often", "STANDARD"), ("seldom", "STANDARD_INFREQUENT_ACCESS")];
const INDEX: &str = "by-group";
const GROUPS: u32 = 5;
const VALUE_BYTES: usize = 20_000;
/// The most items that are written for one more file to come.
const ITEMS_MAX: u32 = 1500;
const DEADLINE: Duration = Duration::from_secs(120);
/// Files of which nothing is lost, whatever becomes of them, and others of which something must be noticed.
const NOTICED: [&str; 6] = [
    "table",
    "write-ahead log",
    "MANIFEST",
    "CURRENT",
    "keyring",
    "the region's key",
];

/// What was acknowledged: of each table's keys the last version, or none if that was deleted.
type Ledger = BTreeMap<(&'static str, u32), Option<u32>>;

/// A region that does not run, and what it must have.
struct Story {
    regions: Regions,
    /// Its files.
    image: Image,
    /// As they were before, twice.
    older: Vec<Image>,
    ledger: Ledger,
    _images: tempfile::TempDir,
}

/// What a region made of its files.
#[derive(Debug)]
enum Outcome {
    /// It has all.
    Whole,
    /// It does not vouch for some of it, and says so.
    Doubtful,
    /// It does not start, or did once, and does not again.
    Refused { why: String, again: bool },
}

fn item(key: u32, version: u32) -> Value {
    let value = noise(u64::from(key) << 32 | u64::from(version), VALUE_BYTES);
    json!({
        "pk": {"S": format!("key-{key}")},
        "group": {"S": format!("group-{}", (key + version) % GROUPS)},
        "version": {"N": version.to_string()},
        "value": {"S": value},
    })
}

/// Writes, and keeps the books.
struct Writer<'a> {
    connection: Connection,
    ledger: &'a mut Ledger,
}

impl Writer<'_> {
    async fn put(&mut self, table: &'static str, key: u32) -> Result<(), Failure> {
        let version = self.ledger.get(&(table, key)).copied().flatten().unwrap_or(0) + 1;
        let input = json!({"TableName": table, "Item": item(key, version)});
        tables::call(&mut self.connection, "PutItem", &input).await?;
        self.ledger.insert((table, key), Some(version));
        Ok(())
    }

    async fn delete(&mut self, table: &'static str, key: u32) -> Result<(), Failure> {
        let input = json!({"TableName": table, "Key": {"pk": {"S": format!("key-{key}")}}});
        tables::call(&mut self.connection, "DeleteItem", &input).await?;
        self.ledger.insert((table, key), None);
        Ok(())
    }
}

impl Story {
    async fn tell(more: &str) -> Result<Story, Failure> {
        let mut regions = Regions::prepare(&["us-east-1"], true, &format!("{CONFIG}{more}")).await?;
        let images = tempfile::tempdir()?;
        let home = home_of(&regions);
        let image = |name: &str| Image::take(&home, &["data", "data.key"], &images.path().join(name));
        let mut ledger = Ledger::new();
        regions.cluster.start()?;
        let endpoint = regions.cluster.nodes[0].endpoint();
        for (table, class) in TABLES {
            create(&endpoint, table, class).await?;
        }
        let mut writer = Writer {
            connection: Connection::open(&endpoint).await?,
            ledger: &mut ledger,
        };
        for key in 0..40 {
            writer.put("often", key).await?;
            writer.put("seldom", key).await?;
        }
        // Stopped and started: what there is stands in tables.
        regions.cluster.nodes[0].stop()?;
        regions.cluster.start()?;
        writer.connection = Connection::open(&endpoint).await?;
        for key in 0..60 {
            match key % 3 {
                0 => writer.put("often", key).await?,
                1 => writer.delete("often", key).await?,
                _ => writer.put("seldom", key).await?,
            }
        }
        let first = image("first")?;
        if more.is_empty() {
            rotate(&home)?;
        }
        let mut key = 100;
        while Image::take(&home, &["data"], &images.path().join("look"))?.count("table") < first.count("table") + 2 {
            assert!(key < ITEMS_MAX, "no file was written");
            for _ in 0..50 {
                writer.put("often", key).await?;
                key += 1;
            }
        }
        for key in 100..110 {
            writer.put("often", key).await?;
        }
        let second = image("second")?;
        for key in 105..115 {
            writer.put("often", key).await?;
            writer.delete("seldom", key - 100).await?;
        }
        regions.cluster.nodes[0].kill()?;
        let image = image("last")?;
        Ok(Story {
            regions,
            image,
            older: vec![first, second],
            ledger,
            _images: images,
        })
    }

    fn home(&self) -> PathBuf {
        home_of(&self.regions)
    }

    /// Does one thing to one file, and looks at what comes of it.
    async fn case(&mut self, case: (&str, Harm), seed: u64) -> Result<(Done, Outcome), Failure> {
        let home = self.home();
        self.image.lay(&home)?;
        let done = self.image.harm(&home, case, &self.older, &mut Dice(seed))?;
        let told = |error: Failure| format!("{done}: {error}");
        let outcome = self.judge().await.map_err(told)?;
        Ok((done, outcome))
    }

    /// Starts the region on the files that are there, and holds what it has against the books.
    async fn judge(&mut self) -> Result<Outcome, Failure> {
        let node = &mut self.regions.cluster.nodes[0];
        if let Some(why) = life(node)? {
            return Ok(Outcome::Refused { why, again: false });
        }
        let doubtful = check(&node.endpoint(), &self.ledger).await?;
        if doubtful > 0 {
            // Entries of indexes are made anew from the items at once.
            wait_until(
                "it says what it does not vouch for, or has mended it",
                DEADLINE,
                async || {
                    let is_out = metric(node.admin, "geodynamo_storage_quarantined_files_total")? > 0.0;
                    let is_told = metric(node.admin, "geodynamo_storage_unmended_ranges")? > 0.0;
                    Ok(is_out && (is_told || check(&node.endpoint(), &self.ledger).await? == 0))
                },
            )
            .await?;
        }
        // It is written on, and killed: all of it is as it was.
        let mut ledger = self.ledger.clone();
        let mut connection = Connection::open(&node.endpoint()).await?;
        let key = ITEMS_MAX + 1;
        let input = json!({"TableName": "often", "Item": item(key, 1)});
        match call(&mut connection, "PutItem", &input).await? {
            (200, _) => drop(ledger.insert(("often", key), Some(1))),
            (500, _) if doubtful > 0 => {}
            (status, answer) => return Err(format!("a put: {status} {answer}").into()),
        }
        node.kill()?;
        let again = match life(node)? {
            // It had not read the damage before.
            Some(why) if why.contains("Corruption") || why.contains("a damaged file held") => {
                return Ok(Outcome::Refused { why, again: true });
            }
            Some(why) => return Err(format!("it started once, and not again: {why}").into()),
            None => check(&node.endpoint(), &ledger).await?,
        };
        node.kill()?;
        Ok(if doubtful + again > 0 {
            Outcome::Doubtful
        } else {
            Outcome::Whole
        })
    }

    /// A region that refused to start has left its files as they were: once what was done to them is undone, all is there.
    async fn check_left(&mut self, done: &Done) -> Result<(), Failure> {
        self.image.put_back(&self.home(), &done.files)?;
        match self.judge().await? {
            Outcome::Whole => Ok(()),
            outcome => Err(format!("{done}, and undone again: {outcome:?}").into()),
        }
    }
}

fn home_of(regions: &Regions) -> PathBuf {
    regions.folder.path().join("us-east-1")
}

async fn create(endpoint: &Endpoint, table: &str, class: &str) -> Result<(), Failure> {
    let attribute = |name: &str| json!({"AttributeName": name, "AttributeType": "S"});
    let input = json!({
        "TableName": table,
        "TableClass": class,
        "BillingMode": "PAY_PER_REQUEST",
        "AttributeDefinitions": [attribute("pk"), attribute("group")],
        "KeySchema": [{"AttributeName": "pk", "KeyType": "HASH"}],
        "GlobalSecondaryIndexes": [{
            "IndexName": INDEX,
            "KeySchema": [{"AttributeName": "group", "KeyType": "HASH"}],
            "Projection": {"ProjectionType": "INCLUDE", "NonKeyAttributes": ["version"]},
        }],
    });
    let mut connection = Connection::open(endpoint).await?;
    tables::call(&mut connection, "CreateTable", &input).await?;
    Ok(tables::wait(&mut connection, table, |about| {
        about["Table"]["TableStatus"] == "ACTIVE"
    })
    .await?)
}

/// New keys, of the region and of its files.
fn rotate(home: &Path) -> Result<(), Failure> {
    let config = home.join("geodynamo.toml");
    let mut rotate = Command::new(binary()?);
    rotate.args(["keys", "rotate", "--data-key", "--config"]).arg(config);
    let output = rotate.output()?;
    match output.status.success() {
        true => Ok(()),
        false => Err(String::from_utf8_lossy(&output.stderr).into_owned().into()),
    }
}

/// Starts a region; gives what it said if it refused to.
fn life(node: &mut Node) -> Result<Option<String>, Failure> {
    let before = fs::metadata(&node.log).map_or(0, |log| log.len());
    node.start(&[])?;
    let ended = node.wait_ready_or_ended()?;
    let log = fs::read(&node.log)?;
    let said = String::from_utf8_lossy(log.get(usize::try_from(before)?..).unwrap_or_default()).into_owned();
    let ended: ExitStatus = match ended {
        _ if said.contains("panicked") => return Err(said.into()),
        None => return Ok(None),
        Some(ended) => ended,
    };
    let last = said.lines().last().unwrap_or_default().to_owned();
    // A signal or a success is no refusal, and nor is silence.
    match ended.code() {
        Some(1..100) if !last.is_empty() => Ok(Some(last)),
        _ => Err(format!("{ended}: {said}").into()),
    }
}

/// Reads everything in every way: each answer is right, or there is none. Gives how many there are none of.
async fn check(endpoint: &Endpoint, ledger: &Ledger) -> Result<usize, Failure> {
    let mut connection = Connection::open(endpoint).await?;
    let mut refused = 0;
    for ((table, key), version) in ledger {
        let input = json!({"TableName": table, "Key": {"pk": {"S": format!("key-{key}")}}, "ConsistentRead": true});
        match call(&mut connection, "GetItem", &input).await? {
            (200, answer) => {
                let expected = version.map_or(Value::Null, |version| item(*key, version));
                if answer["Item"] != expected {
                    let found = &answer["Item"]["version"];
                    return Err(format!("{table}, key {key}: version {found} instead of {version:?}").into());
                }
            }
            (500, _) => refused += 1,
            (status, answer) => return Err(format!("{table}, key {key}: {status} {answer}").into()),
        }
    }
    for (table, _) in TABLES {
        let of_table = ledger.iter().filter(|((of, _), _)| *of == table);
        let expected: Versions = of_table
            .filter_map(|((_, key), version)| Some((format!("key-{key}"), (*version)?.to_string())))
            .collect();
        let scan = json!({"TableName": table, "ConsistentRead": true, "ProjectionExpression": "pk, version"});
        match pages(&mut connection, "Scan", scan).await? {
            Some(found) if found != expected => return Err(differ(table, &found, &expected)),
            Some(_) => {}
            None => refused += 1,
        }
        if refused == 0 {
            let mut found = Versions::new();
            for group in 0..GROUPS {
                let query = json!({
                    "TableName": table, "IndexName": INDEX, "KeyConditionExpression": "#g = :g",
                    "ExpressionAttributeNames": {"#g": "group"},
                    "ExpressionAttributeValues": {":g": {"S": format!("group-{group}")}},
                });
                match pages(&mut connection, "Query", query).await? {
                    Some(some) => found.extend(some),
                    None => refused += 1,
                }
            }
            if refused == 0 && found != expected {
                return Err(differ(&format!("the index of {table}"), &found, &expected));
            }
        }
    }
    Ok(refused)
}

/// Keys and versions.
type Versions = BTreeSet<(String, String)>;

fn differ(what: &str, found: &Versions, expected: &Versions) -> Failure {
    let lost: Vec<_> = expected.difference(found).take(5).collect();
    let strange: Vec<_> = found.difference(expected).take(5).collect();
    format!("{what}: lost {lost:?}, and there are {strange:?}").into()
}

/// All pages of a scan or a query; none if any was refused.
async fn pages(connection: &mut Connection, operation: &str, mut input: Value) -> Result<Option<Versions>, Failure> {
    let mut found = Versions::new();
    loop {
        let answer = match call(connection, operation, &input).await? {
            (200, answer) => answer,
            (500, _) => return Ok(None),
            (status, answer) => return Err(format!("{operation}: {status} {answer}").into()),
        };
        for item in answer["Items"].as_array().ok_or("no items")? {
            let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
            found.insert((text(&item["pk"]["S"]), text(&item["version"]["N"])));
        }
        match &answer["LastEvaluatedKey"] {
            Value::Null => return Ok(Some(found)),
            last => input["ExclusiveStartKey"] = last.clone(),
        }
    }
}

fn number(variable: &str) -> Result<Option<u64>, Failure> {
    let text = std::env::var(variable).ok().filter(|text| !text.is_empty());
    Ok(text.map(|text| text.parse()).transpose()?)
}

/// Goes through cases; `kinds`: of which files, if not of all.
async fn all_cases(more: &str, kinds: &[&str]) -> Result<(), Failure> {
    let mut story = Story::tell(more).await?;
    let mut cases = story.image.cases(&story.older)?;
    cases.retain(|(kind, _)| kinds.is_empty() || kinds.contains(kind));
    // Not noticed: what was written last stands in tables and logs that such a manifest does not know; nor is the end of a log
    // missed that has another one behind it.
    cases.retain(|(kind, harm)| match *kind {
        "MANIFEST" => !matches!(harm, Harm::Cut | Harm::Older),
        "write-ahead log" => story.image.count(kind) == 1,
        _ => true,
    });
    let count = number(CASES)?.unwrap_or(cases.len() as u64);
    let seed = number(SEED)?.unwrap_or(1);
    let (mut whole, mut doubtful, mut refused) = (0, 0, 0);
    let (mut noticed, mut failures) = (BTreeSet::new(), Vec::new());
    for number in 0..count {
        let case = cases[usize::try_from(number)? % cases.len()];
        let seed = seed.wrapping_add(number);
        match story.case(case, seed).await {
            Ok((_, Outcome::Whole)) => whole += 1,
            Ok((done, Outcome::Doubtful)) => {
                println!("{seed}: {done}: some is refused");
                doubtful += 1;
                noticed.insert(case.0);
            }
            Ok((done, Outcome::Refused { why, again })) => {
                println!("{seed}: {done}: {why}");
                refused += 1;
                noticed.insert(case.0);
                // It may have gone on from it; and files that are out of use are not taken back.
                if !again
                    && !why.contains("a damaged file held")
                    && let Err(error) = story.check_left(&done).await
                {
                    failures.push(format!("{seed}: {error}"));
                }
            }
            Err(error) => failures.push(format!("{seed}: {error}")),
        }
        // Its end is known, or of no interest.
        story.regions.cluster.nodes[0].kill()?;
    }
    println!("{count} cases: all was there in {whole}, some was refused in {doubtful}, {refused} did not start");
    assert!(failures.is_empty(), "{}", failures.join("\n"));
    for kind in NOTICED.iter().filter(|kind| cases.iter().any(|(of, _)| of == *kind)) {
        assert!(noticed.contains(kind), "nothing was ever noticed of a damaged {kind}");
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn damage_is_told_of_or_does_no_harm() -> Result<(), Failure> {
    all_cases("", &[]).await
}

#[tokio::test(flavor = "multi_thread")]
async fn so_it_is_where_nothing_is_encrypted() -> Result<(), Failure> {
    all_cases(PLAIN, &["table", "write-ahead log", "MANIFEST", "CURRENT"]).await
}

/// The negative control: of a data directory that is older as a whole nobody can tell, and the same look at it finds what is lost.
#[tokio::test(flavor = "multi_thread")]
async fn a_loss_is_found_by_the_same_look() -> Result<(), Failure> {
    let mut story = Story::tell(PLAIN).await?;
    let home = story.home();
    story.image.lay(&home)?;
    assert!(matches!(story.judge().await?, Outcome::Whole));
    story.older[1].lay(&home)?;
    match story.judge().await {
        Err(error) => assert!(error.to_string().contains("version"), "{error}"),
        Ok(outcome) => return Err(format!("what is lost was not found: {outcome:?}").into()),
    }
    Ok(())
}
