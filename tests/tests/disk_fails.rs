//! When the machine fails: a disk that fills up and gets room again, and one whose writes and syncs fail for a while. Reads go
//! on, writes are refused and go on by themselves, and nothing acknowledged is lost.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use geodynamo_loadgen::client::{Connection, Endpoint};
use geodynamo_loadgen::cluster::ask_admin;
use geodynamo_loadgen::signer::Credentials;
use geodynamo_loadgen::tables;
use geodynamo_tests::power::Power;
use geodynamo_tests::raw::{call, metric, noise};
use geodynamo_tests::regions::Regions;
use geodynamo_tests::{Failure, binary, wait_until};
use serde_json::{Value, json};

const TABLE: &str = "disk";
const DEADLINE: Duration = Duration::from_secs(60);

/// A small file system in memory, unmounted when it is dropped.
struct SmallDisk(PathBuf);

impl SmallDisk {
    /// None if this process may not mount one.
    fn mount(at: &Path, megabytes: u32) -> Result<Option<SmallDisk>, Failure> {
        std::fs::create_dir_all(at)?;
        let options = format!("size={megabytes}m");
        let mounted = Command::new("mount")
            .args(["-t", "tmpfs", "-o", &options, "tmpfs"])
            .arg(at)
            .status()?;
        Ok(mounted.success().then(|| SmallDisk(at.to_owned())))
    }

    fn grow(&self, megabytes: u32) -> Result<(), Failure> {
        let options = format!("remount,size={megabytes}m");
        let grown = Command::new("mount").args(["-o", &options]).arg(&self.0).status()?;
        if grown.success() {
            Ok(())
        } else {
            Err("the disk does not grow".into())
        }
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        // Also while a process still has files there.
        let _ = Command::new("umount").arg("--lazy").arg(&self.0).status();
    }
}

/// A running `geodynamo dev`.
struct Dev {
    process: Child,
    endpoint: Endpoint,
    admin: SocketAddr,
    log: PathBuf,
}

impl Dev {
    fn start(data: &Path, log: &Path) -> Result<Dev, Failure> {
        let errors = std::fs::File::options().create(true).append(true).open(log)?;
        let mut process = Command::new(binary()?)
            .args(["dev", "--port", "0", "--admin-port", "0", "--data"])
            .arg(data)
            .stdout(Stdio::piped())
            .stderr(errors)
            .spawn()?;
        let mut lines = BufReader::new(process.stdout.take().ok_or("no output")?).lines();
        let mut address = |before: &str| -> Result<SocketAddr, Failure> {
            for line in lines.by_ref() {
                if let Some((_, address)) = line?.split_once(before) {
                    return Ok(address.trim().parse()?);
                }
            }
            Err(format!("it ended before it said '{before}'").into())
        };
        let data = address("answers at http://")?;
        let admin = address("health and metrics: http://")?;
        let credentials = Credentials {
            access_key_id: "local".into(),
            secret_access_key: "local".into(),
            region: "us-east-1".into(),
        };
        Ok(Dev {
            process,
            endpoint: Endpoint {
                address: data,
                credentials,
                tls: None,
            },
            admin,
            log: log.to_owned(),
        })
    }

    fn kill(&mut self) -> Result<(), Failure> {
        self.process.kill()?;
        self.process.wait()?;
        Ok(())
    }

    fn readiness(&self) -> Result<(u16, String), Failure> {
        Ok(ask_admin(self.admin, "/readyz")?)
    }

    fn metric(&self, name: &str) -> Result<f64, Failure> {
        metric(self.admin, name)
    }

    fn log_lines(&self, with: &str) -> Result<usize, Failure> {
        let log = std::fs::read_to_string(&self.log)?;
        Ok(log.lines().filter(|line| line.contains(with)).count())
    }
}

impl Drop for Dev {
    fn drop(&mut self) {
        // Already ended is as good.
        let _ = self.kill();
    }
}

async fn put(connection: &mut Connection, key: &str, bytes: usize) -> Result<(u16, Value), Failure> {
    // Compression does not keep the disk from filling.
    let seed = key
        .bytes()
        .fold(1_u64, |seed, byte| seed.wrapping_mul(31).wrapping_add(byte.into()));
    let value = noise(seed, bytes);
    let input = json!({"TableName": TABLE, "Item": {"pk": {"S": key}, "value": {"S": value}}});
    call(connection, "PutItem", &input).await
}

async fn is_there(connection: &mut Connection, key: &str) -> Result<bool, Failure> {
    let input = json!({"TableName": TABLE, "Key": {"pk": {"S": key}}, "ConsistentRead": true});
    let (status, answer) = call(connection, "GetItem", &input).await?;
    if status != 200 {
        return Err(format!("GetItem of {key}: {status} {answer}").into());
    }
    Ok(answer.get("Item").is_some())
}

/// Puts items until one is refused; the keys that were acknowledged.
async fn fill(connection: &mut Connection, round: usize) -> Result<BTreeSet<String>, Failure> {
    let mut keys = BTreeSet::new();
    for number in 0..20_000 {
        let key = format!("{round}-{number}");
        match put(connection, &key, 40_000).await? {
            (200, _) => keys.insert(key),
            (500, answer) => {
                assert!(
                    answer["__type"]
                        .as_str()
                        .is_some_and(|kind| kind.ends_with("InternalServerError"))
                );
                return Ok(keys);
            }
            other => return Err(format!("{key}: {other:?}").into()),
        };
    }
    Err("the disk does not fill up".into())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_disk_refuses_writes_until_it_has_room() -> Result<(), Failure> {
    let folder = tempfile::tempdir()?;
    let Some(disk) = SmallDisk::mount(&folder.path().join("disk"), 150)? else {
        eprintln!("SKIPPED: no small disk can be mounted here: a_full_disk_refuses_writes_until_it_has_room");
        return Ok(());
    };
    let (data, log) = (disk.0.join("data"), folder.path().join("log"));
    let mut dev = Dev::start(&data, &log)?;
    tables::create(&dev.endpoint, TABLE).await?;
    let mut connection = Connection::open(&dev.endpoint).await?;
    assert_eq!(dev.readiness()?.0, 200);
    assert!(
        dev.metric("geodynamo_storage_reserve_bytes")? > 0.0,
        "there is a reserve"
    );

    // Full.
    let mut acknowledged = fill(&mut connection, 0).await?;
    assert!(acknowledged.len() > 100, "{} items", acknowledged.len());
    let (status, reason) = dev.readiness()?;
    assert!(
        status == 503 && reason.contains("there is no room on the disk"),
        "{status} {reason}"
    );
    assert_eq!(dev.metric("geodynamo_storage_unwritable{reason=\"no_room\"}")?, 1.0);
    for key in &acknowledged {
        assert!(
            is_there(&mut connection, key).await?,
            "{key} is read while there is no room"
        );
    }
    // Sweeps, counts and the like go on meanwhile; none of them has anything to say.
    for number in 0..30 {
        assert_eq!(put(&mut connection, &format!("refused-{number}"), 100).await?.0, 500);
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    assert_eq!(
        dev.log_lines("recovery: the store takes no writes")?,
        1,
        "one line says so"
    );
    assert_eq!(dev.log_lines("ERROR")?, 1, "and none else does");
    assert!(std::fs::read_to_string(&log)?.contains(&data.join("db").display().to_string()));

    // Out of the reserve, items can be deleted.
    wait_until("a delete", DEADLINE, async || {
        let key = json!({"TableName": TABLE, "Key": {"pk": {"S": "0-0"}}});
        Ok(call(&mut connection, "DeleteItem", &key).await?.0 == 200)
    })
    .await?;
    acknowledged.remove("0-0");
    assert!(!is_there(&mut connection, "0-0").await?);

    // Room: writes go on, without a restart.
    disk.grow(220)?;
    wait_until("ready again", DEADLINE, async || Ok(dev.readiness()?.0 == 200)).await?;
    let before = dev.metric("geodynamo_storage_recoveries_total")?;
    assert!(before >= 1.0);
    assert!(
        dev.metric("geodynamo_storage_reserve_bytes")? > 0.0,
        "the reserve is back"
    );
    for number in 0..100 {
        let key = format!("after-{number}");
        assert_eq!(put(&mut connection, &key, 1_000).await?.0, 200);
        acknowledged.insert(key);
    }

    // Full once more, and then the process is killed.
    acknowledged.extend(fill(&mut connection, 1).await?);
    dev.kill()?;
    disk.grow(300)?;
    let dev = Dev::start(&data, &log)?;
    let mut connection = Connection::open(&dev.endpoint).await?;
    for key in &acknowledged {
        assert!(is_there(&mut connection, key).await?, "{key} was acknowledged");
    }
    assert!(!is_there(&mut connection, "0-0").await?, "the delete was acknowledged");
    assert!(!is_there(&mut connection, "refused-0").await?);
    wait_until("a write after the restart", DEADLINE, async || {
        let (status, answer) = put(&mut connection, "last", 100).await?;
        if status != 200 {
            eprintln!("after the restart: {status} {answer}");
        }
        Ok(status == 200)
    })
    .await?;
    println!("{} items acknowledged", acknowledged.len());

    // A data directory that is in use.
    let second = Command::new(binary()?)
        .args(["dev", "--port", "0", "--admin-port", "0", "--data"])
        .arg(&data)
        .output()?;
    let said = String::from_utf8_lossy(&second.stderr).into_owned();
    let expected = format!("in use by another process (pid {})", dev.process.id());
    assert!(!second.status.success() && said.contains(&expected), "{said}");
    Ok(())
}

/// Deleting gets a region out of a full disk without anybody else's doing.
#[tokio::test(flavor = "multi_thread")]
async fn deletes_make_room() -> Result<(), Failure> {
    let folder = tempfile::tempdir()?;
    let Some(disk) = SmallDisk::mount(&folder.path().join("disk"), 200)? else {
        eprintln!("SKIPPED: no small disk can be mounted here: deletes_make_room");
        return Ok(());
    };
    let dev = Dev::start(&disk.0.join("data"), &folder.path().join("log"))?;
    tables::create(&dev.endpoint, TABLE).await?;
    let mut connection = Connection::open(&dev.endpoint).await?;
    let keys = fill(&mut connection, 0).await?;
    let drop = json!({"TableName": TABLE});
    // The reserve is not there at once.
    wait_until("the table is deleted", DEADLINE, async || {
        Ok(call(&mut connection, "DeleteTable", &drop).await?.0 == 200)
    })
    .await?;
    wait_until("ready again", DEADLINE, async || Ok(dev.readiness()?.0 == 200)).await?;
    println!("{} items were there", keys.len());
    tables::create(&dev.endpoint, TABLE).await?;
    assert_eq!(put(&mut connection, "after", 40_000).await?.0, 200);
    Ok(())
}

/// What makes a disk fail, one after the other.
const FAULTS: [&[&str]; 3] = [
    &["sync 5 */db/*.log"],
    &["half 28 */db/*.log"],
    &["write 30 */db*", "sync 30 */db*", "open 30 */db*"],
];
const WRITERS: usize = 4;

/// Two regions, one of which fails again and again and then loses its power.
#[tokio::test(flavor = "multi_thread")]
async fn a_failing_disk_loses_nothing_and_links_go_on() -> Result<(), Failure> {
    let (mut regions, power) = failing_regions(&["us-east-1", "eu-west-1"]).await?;
    regions.global_table(TABLE, 2).await?;
    let stop = Arc::new(AtomicBool::new(false));
    let writers: Vec<_> = (0..2 * WRITERS)
        .map(|writer| {
            let endpoint = regions.cluster.nodes[writer % 2].endpoint();
            tokio::spawn(write(endpoint, writer, stop.clone()))
        })
        .collect();
    for (round, rules) in FAULTS.into_iter().enumerate() {
        let node = &regions.cluster.nodes[0];
        power.set_faults(rules)?;
        wait_until("not ready", DEADLINE, async || Ok(node.admin("/readyz")?.0 == 503)).await?;
        // The other region goes on, and so does its link.
        tokio::time::sleep(Duration::from_millis(700)).await;
        power.set_faults(&[])?;
        wait_until("ready again", DEADLINE, async || Ok(node.admin("/readyz")?.0 == 200)).await?;
        println!("round {round}: {rules:?}");
        tokio::time::sleep(Duration::from_millis(300)).await;
    }
    let taken = power.cut(&mut regions.cluster.nodes[0])?;
    stop.store(true, Ordering::Relaxed);
    let (mut acknowledged, mut refused) = (BTreeMap::new(), 0);
    for writer in writers {
        let (values, failures) = writer.await?;
        acknowledged.extend(values);
        refused += failures;
    }
    assert!(refused > 0, "no write met the failures");
    let log = std::fs::read_to_string(&regions.cluster.nodes[0].log)?;
    assert_eq!(
        count(&log, "recovery: the store takes no writes"),
        FAULTS.len(),
        "{log}"
    );
    assert_eq!(count(&log, "the store takes writes again"), FAULTS.len(), "{log}");
    power.on(&mut regions.cluster.nodes[0])?;
    regions.converge(TABLE, &[0, 1], Duration::from_secs(120)).await?;
    for node in &regions.cluster.nodes {
        let lost = lost(&node.endpoint(), &acknowledged).await?;
        assert_eq!(lost, Vec::<String>::new(), "in {}; cut back: {taken}", node.region);
    }
    println!("{} writes acknowledged, {refused} refused", acknowledged.len());
    Ok(())
}

/// The negative control: where a failed sync is taken for a success, the same check finds what is lost.
#[tokio::test(flavor = "multi_thread")]
async fn syncs_that_fail_unseen_lose_writes() -> Result<(), Failure> {
    let (mut regions, power) = failing_regions(&["us-east-1"]).await?;
    regions.global_table(TABLE, 1).await?;
    let stop = Arc::new(AtomicBool::new(false));
    power.set_faults(&["lie 5 */db/*.log"])?;
    let writer = tokio::spawn(write(regions.cluster.nodes[0].endpoint(), 0, stop.clone()));
    tokio::time::sleep(Duration::from_millis(700)).await;
    power.cut(&mut regions.cluster.nodes[0])?;
    stop.store(true, Ordering::Relaxed);
    let (acknowledged, _) = writer.await?;
    assert!(!acknowledged.is_empty());
    power.set_faults(&[])?;
    if power.on(&mut regions.cluster.nodes[0]).is_err() {
        println!("the region does not start: lost all the same");
        return Ok(());
    }
    let lost = lost(&regions.cluster.nodes[0].endpoint(), &acknowledged).await?;
    assert!(!lost.is_empty(), "nothing was lost: the check proves nothing");
    Ok(())
}

/// Regions of which the first has a disk that fails when it is told to.
async fn failing_regions(names: &[&str]) -> Result<(Regions, Power), Failure> {
    let mut regions = Regions::prepare(names, true, "[memory]\nwrite_buffer_mb = 8\n").await?;
    let power = Power::with_faults(regions.folder.path())?;
    power.on(&mut regions.cluster.nodes[0])?;
    if names.len() > 1 {
        regions.cluster.start()?;
    }
    Ok((regions, power))
}

fn count(text: &str, part: &str) -> usize {
    text.lines().filter(|line| line.contains(part)).count()
}

/// Writes until it is stopped or the server is gone; the keys and values that were acknowledged, and how often a write was
/// refused. Half of the writes go to keys of the writer's own that are written again and again.
async fn write(endpoint: Endpoint, writer: usize, stop: Arc<AtomicBool>) -> (BTreeMap<String, String>, usize) {
    let (mut acknowledged, mut refused) = (BTreeMap::new(), 0);
    let Ok(mut connection) = Connection::open(&endpoint).await else {
        return (acknowledged, refused);
    };
    for number in 0_u64.. {
        if stop.load(Ordering::Relaxed) {
            break;
        }
        let key = match number % 2 {
            0 => format!("{writer}-{number}"),
            _ => format!("{writer}-again-{}", number % 10),
        };
        let value = format!("{number:09}");
        let item = json!({"pk": {"S": key}, "value": {"S": format!("{value}{}", "x".repeat(1_000))}});
        match call(&mut connection, "PutItem", &json!({"TableName": TABLE, "Item": item})).await {
            Ok((200, _)) => drop(acknowledged.insert(key, value)),
            Ok(_) => {
                refused += 1;
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
            Err(_) => break,
        }
    }
    (acknowledged, refused)
}

/// The keys whose value is not there, or is older than what was acknowledged.
async fn lost(endpoint: &Endpoint, acknowledged: &BTreeMap<String, String>) -> Result<Vec<String>, Failure> {
    let mut connection = Connection::open(endpoint).await?;
    let mut lost = Vec::new();
    for (key, value) in acknowledged {
        let get = json!({"TableName": TABLE, "Key": {"pk": {"S": key}}, "ConsistentRead": true});
        let (_, answer) = call(&mut connection, "GetItem", &get).await?;
        let found = answer["Item"]["value"]["S"].as_str();
        if found.is_none_or(|found| found < value.as_str()) {
            lost.push(key.clone());
        }
    }
    Ok(lost)
}
