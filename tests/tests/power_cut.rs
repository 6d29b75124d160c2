//! Law 1: an acknowledged write is on disk before the reply. A region loses its power 20 times under load, and some times
//! more while it writes over the WAL files that it no longer needs.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use geodynamo_loadgen::client::{Connection, Endpoint};
use geodynamo_tests::Failure;
use geodynamo_tests::power::Power;
use geodynamo_tests::regions::Regions;
use serde_json::{Value, json};

const TABLE: &str = "power";
const WRITERS: usize = 8;
const ROUNDS: u64 = 20;
/// Rounds of load so heavy that WAL files are written over within each.
const HEAVY_ROUNDS: u64 = 4;
const HEAVY_VALUE_BYTES: usize = 24 * 1024;
/// A small write buffer, and with it a small WAL.
const SMALL_MEMORY: &str = "[memory]\nwrite_buffer_mb = 8\n";

#[tokio::test(flavor = "multi_thread")]
async fn no_acknowledged_write_is_lost() -> Result<(), Failure> {
    let mut regions = Regions::prepare(&["us-east-1", "eu-west-1"], true, "").await?;
    let power = Power::new(regions.folder.path())?;
    power.on(&mut regions.cluster.nodes[0])?;
    regions.cluster.start()?;
    regions.global_table(TABLE, 2).await?;

    let mut acknowledged = BTreeMap::new();
    let (mut cut_bytes, mut rounds_with_load) = (0, 0);
    for round in 0..ROUNDS {
        let (fresh, taken) = round_of_load(&power, &mut regions, round, LIGHT).await?;
        cut_bytes += taken["bytes_cut"].as_u64().unwrap_or(0);
        rounds_with_load += u64::from(!fresh.is_empty());
        acknowledged.extend(fresh);
        power.on(&mut regions.cluster.nodes[0])?;
        let lost = missing(&regions.cluster.nodes[0].endpoint(), &acknowledged).await?;
        assert_eq!(
            lost,
            Vec::<String>::new(),
            "round {round}: acknowledged and gone; cut back: {taken}"
        );
    }
    println!(
        "{} writes acknowledged over {ROUNDS} power cuts, {cut_bytes} unsynced bytes cut",
        acknowledged.len()
    );
    assert_eq!(rounds_with_load, ROUNDS);

    // Replication goes on where it was.
    regions.converge(TABLE, &[0, 1], Duration::from_secs(120)).await?;
    let lost = missing(&regions.cluster.nodes[1].endpoint(), &acknowledged).await?;
    assert_eq!(lost, Vec::<String>::new(), "not in the peer");
    assert!(regions.cluster.nodes[0].stop()?.success(), "SIGTERM ends it with 0");
    Ok(())
}

/// WAL files are written over once they are not needed: what a power cut leaves of such a file is new up to the last sync
/// and old behind it, and the region must tell the one from the other.
#[tokio::test(flavor = "multi_thread")]
async fn no_acknowledged_write_is_lost_in_a_wal_that_is_written_over() -> Result<(), Failure> {
    let mut regions = Regions::prepare(&["us-east-1"], true, SMALL_MEMORY).await?;
    let power = Power::new(regions.folder.path())?;
    power.on(&mut regions.cluster.nodes[0])?;
    regions.global_table(TABLE, 1).await?;
    let heavy = Load {
        value_bytes: HEAVY_VALUE_BYTES,
        at_least: Duration::from_secs(3),
    };
    let (mut acknowledged, mut overwrites, mut undone) = (BTreeMap::new(), 0, 0);
    for round in 0..HEAVY_ROUNDS {
        let (fresh, taken) = round_of_load(&power, &mut regions, round, heavy).await?;
        overwrites += taken["overwrites"].as_u64().unwrap_or(0);
        undone += taken["overwrites_undone"].as_u64().unwrap_or(0);
        assert!(!fresh.is_empty(), "round {round} had no load");
        acknowledged.extend(fresh);
        power.on(&mut regions.cluster.nodes[0])?;
        let lost = missing(&regions.cluster.nodes[0].endpoint(), &acknowledged).await?;
        assert_eq!(
            lost,
            Vec::<String>::new(),
            "round {round}: acknowledged and gone; cut back: {taken}"
        );
    }
    println!(
        "{} writes acknowledged, {overwrites} overwrites of synced bytes, {undone} of them undone",
        acknowledged.len()
    );
    assert!(overwrites > 0, "no WAL file was written over");
    Ok(())
}

/// The negative control: with sync switched off the same procedure must lose writes, or it proves nothing.
#[tokio::test(flavor = "multi_thread")]
async fn without_sync_writes_are_lost() -> Result<(), Failure> {
    let mut regions = Regions::prepare(&["us-east-1"], false, "").await?;
    let power = Power::new(regions.folder.path())?;
    power.on(&mut regions.cluster.nodes[0])?;
    regions.global_table(TABLE, 1).await?;
    for round in 0..ROUNDS {
        let (fresh, taken) = round_of_load(&power, &mut regions, round, LIGHT).await?;
        assert!(!fresh.is_empty(), "round {round} had no load");
        // What is left may not even have the table, or not start: lost all the same.
        if power.on(&mut regions.cluster.nodes[0]).is_err() {
            println!("round {round}: the region does not start; cut back: {taken}");
            return Ok(());
        }
        let lost = missing(&regions.cluster.nodes[0].endpoint(), &fresh).await?;
        if !lost.is_empty() {
            println!(
                "round {round}: {} of {} acknowledged writes lost",
                lost.len(),
                fresh.len()
            );
            return Ok(());
        }
    }
    Err("sync was off and nothing was lost: the power cuts cut nothing".into())
}

/// What writers do in a round.
#[derive(Clone, Copy)]
struct Load {
    value_bytes: usize,
    /// Rounds last longer, each by another time.
    at_least: Duration,
}

const LIGHT: Load = Load {
    value_bytes: 9,
    at_least: Duration::from_millis(150),
};

/// Load, then a power cut in its middle: what was acknowledged, and what the cut took.
async fn round_of_load(
    power: &Power,
    regions: &mut Regions,
    round: u64,
    load: Load,
) -> Result<(BTreeMap<String, String>, Value), Failure> {
    let endpoint = regions.cluster.nodes[0].endpoint();
    let stop = Arc::new(AtomicBool::new(false));
    let writers: Vec<_> = (0..WRITERS)
        .map(|writer| tokio::spawn(write(endpoint.clone(), round, writer, load.value_bytes, stop.clone())))
        .collect();
    // The cut comes at another point of the server's work each round; the load needs no state to wait for.
    tokio::time::sleep(load.at_least + Duration::from_millis(53 * round)).await;
    let taken = power.cut(&mut regions.cluster.nodes[0])?;
    stop.store(true, Ordering::Relaxed);
    let mut acknowledged = BTreeMap::new();
    for writer in writers {
        acknowledged.extend(writer.await?);
    }
    Ok((acknowledged, taken))
}

/// Writes until the server is gone; gives the keys and values that were acknowledged. Half of the writes go to keys of
/// the writer's own that are written again and again: the last acknowledged value, or a later one, has to be there.
async fn write(
    endpoint: Endpoint,
    round: u64,
    writer: usize,
    value_bytes: usize,
    stop: Arc<AtomicBool>,
) -> BTreeMap<String, String> {
    let mut acknowledged = BTreeMap::new();
    let Ok(mut connection) = Connection::open(&endpoint).await else {
        return acknowledged;
    };
    for number in 0_u64.. {
        if stop.load(Ordering::Relaxed) {
            break;
        }
        let key = match number % 2 {
            0 => format!("{round}-{writer}-{number}"),
            _ => format!("{round}-{writer}-again-{}", number % 10),
        };
        let value = format!("{number:09}");
        let padding = "x".repeat(value_bytes.saturating_sub(value.len()));
        let put = json!({"TableName": TABLE, "Item": {"pk": {"S": key}, "value": {"S": format!("{value}{padding}")}}});
        match connection
            .call("DynamoDB_20120810.PutItem", put.to_string().as_bytes())
            .await
        {
            Ok(reply) if reply.status == 200 => acknowledged.insert(key, value),
            _ => break,
        };
    }
    acknowledged
}

/// The keys whose value is not there, or is older than what was acknowledged.
async fn missing(endpoint: &Endpoint, acknowledged: &BTreeMap<String, String>) -> Result<Vec<String>, Failure> {
    let entries: Arc<Vec<(String, String)>> = Arc::new(
        acknowledged
            .iter()
            .map(|(key, value)| (key.clone(), value.clone()))
            .collect(),
    );
    let readers: Vec<_> = (0..WRITERS)
        .map(|reader| {
            let (endpoint, entries) = (endpoint.clone(), entries.clone());
            tokio::spawn(async move {
                let mut lost = Vec::new();
                let mut connection = Connection::open(&endpoint).await?;
                for (key, value) in entries.iter().skip(reader).step_by(WRITERS) {
                    let get = json!({"TableName": TABLE, "Key": {"pk": {"S": key}}, "ConsistentRead": true});
                    let reply = connection
                        .call("DynamoDB_20120810.GetItem", get.to_string().as_bytes())
                        .await?;
                    let answer: Value = serde_json::from_slice(connection.body(reply))?;
                    if answer["Item"]["value"]["S"]
                        .as_str()
                        .is_none_or(|found| found < value.as_str())
                    {
                        lost.push(format!("{key}: {answer}"));
                    }
                }
                Ok::<_, Failure>(lost)
            })
        })
        .collect();
    let mut lost = Vec::new();
    for reader in readers {
        lost.extend(reader.await??);
    }
    Ok(lost)
}

#[test]
fn the_shim_is_where_it_is_looked_for() {
    assert!(Path::new(env!("CARGO_MANIFEST_DIR")).join("shim/cutback.py").exists());
}
