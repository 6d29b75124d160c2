//! Bits that flip in a region's files: what was in the file is refused until it is mended, from other regions or from the archive,
//! and never is anything else served.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use geodynamo_loadgen::client::{Connection, Endpoint};
use geodynamo_loadgen::cluster::Node;
use geodynamo_loadgen::tables;
use geodynamo_tests::raw::{call, metric, noise};
use geodynamo_tests::regions::{Regions, THREE};
use geodynamo_tests::{Failure, wait_until};
use serde_json::{Value, json};

const TABLE: &str = "rot";
const ITEMS: usize = 2000;
const VALUE_BYTES: usize = 3000;
const DEADLINE: Duration = Duration::from_secs(120);
/// Files are small.
const CONFIG: &str = "[memory]\nwrite_buffer_mb = 8\n";

fn value(number: usize) -> String {
    noise(number as u64, VALUE_BYTES)
}

async fn fill(endpoint: &Endpoint) -> Result<(), Failure> {
    let mut connection = Connection::open(endpoint).await?;
    for number in 0..ITEMS {
        let item = json!({"pk": {"S": format!("key-{number}")}, "value": {"S": value(number)}});
        let (status, answer) = call(&mut connection, "PutItem", &json!({"TableName": TABLE, "Item": item})).await?;
        assert_eq!(status, 200, "{answer}");
    }
    Ok(())
}

/// Reads all items: each is as it was written, or refused. Gives how many were refused.
async fn read_all(endpoint: &Endpoint) -> Result<usize, Failure> {
    let mut connection = Connection::open(endpoint).await?;
    let mut refused = 0;
    for number in 0..ITEMS {
        let key = json!({"pk": {"S": format!("key-{number}")}});
        let input = json!({"TableName": TABLE, "Key": key, "ConsistentRead": true});
        match call(&mut connection, "GetItem", &input).await? {
            (200, answer) => assert_eq!(answer["Item"]["value"]["S"], json!(value(number)), "key-{number}"),
            (500, _) => refused += 1,
            (status, answer) => return Err(format!("key-{number}: {status} {answer}").into()),
        }
    }
    Ok(refused)
}

fn table_files(folder: &Path) -> Result<Vec<(u64, PathBuf)>, Failure> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let path = entry.path();
        if entry.file_type()?.is_dir() {
            found.extend(table_files(&path)?);
        } else if path.extension().is_some_and(|extension| extension == "sst") {
            found.push((entry.metadata()?.len(), path));
        }
    }
    Ok(found)
}

fn flip_bit(path: &Path, at: usize) -> Result<(), Failure> {
    let mut content = fs::read(path)?;
    content[at] ^= 8;
    Ok(fs::write(path, content)?)
}

/// Flips a bit in the middle of each of the largest files of a region that does not run; gives how many.
fn flip(folder: &Path, region: &str) -> Result<usize, Failure> {
    let mut files = table_files(&folder.join(region))?;
    files.retain(|(bytes, _)| *bytes > 200_000);
    files.sort();
    for (bytes, path) in &files {
        flip_bit(path, usize::try_from(bytes / 2)?)?;
    }
    assert!(!files.is_empty(), "there are no files in {}", folder.display());
    Ok(files.len())
}

fn copy_folder(from: &Path, to: &Path) -> Result<(), Failure> {
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let there = to.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            copy_folder(&entry.path(), &there)?;
        } else {
            fs::copy(entry.path(), there)?;
        }
    }
    Ok(())
}

/// Stops a region, flips bits in its files, starts it, and reads all items over and over until `is_done`; gives how many reads
/// were refused.
async fn rot(
    regions: &mut Regions,
    number: usize,
    is_done: impl Fn(&Node) -> Result<bool, Failure>,
) -> Result<usize, Failure> {
    let region = regions.cluster.nodes[number].region.clone();
    regions.cluster.nodes[number].stop()?;
    let flipped = flip(regions.folder.path(), &region)?;
    let node = &mut regions.cluster.nodes[number];
    node.start(&[])?;
    node.wait_ready()?;
    let node = &regions.cluster.nodes[number];
    let (mut refused, begun) = (0, std::time::Instant::now());
    loop {
        refused += read_all(&node.endpoint()).await?;
        let quarantined = metric(node.admin, "geodynamo_storage_quarantined_files_total")?;
        if quarantined > 0.0 && is_done(node)? {
            println!("{region}: {flipped} bits flipped, {quarantined} files taken out of use, {refused} reads refused");
            return Ok(refused);
        }
        assert!(begun.elapsed() < DEADLINE, "{}", fs::read_to_string(&node.log)?);
    }
}

fn is_mended(node: &Node) -> Result<bool, Failure> {
    let unmended = metric(node.admin, "geodynamo_storage_unmended_ranges")?;
    let damaged = metric(node.admin, "geodynamo_storage_damaged_files")?;
    Ok(unmended == 0.0 && damaged == 0.0 && metric(node.admin, "geodynamo_storage_scrubs_total")? >= 1.0)
}

async fn mended_from_regions(more: &str) -> Result<(), Failure> {
    let mut regions = Regions::prepare(&THREE, true, &format!("{CONFIG}{more}")).await?;
    regions.cluster.start()?;
    regions.global_table(TABLE, 3).await?;
    fill(&regions.cluster.nodes[0].endpoint()).await?;
    regions.converge(TABLE, &[0, 1, 2], DEADLINE).await?;
    let refused = rot(&mut regions, 1, is_mended).await?;
    regions.converge(TABLE, &[0, 1, 2], DEADLINE).await?;
    for node in &regions.cluster.nodes {
        assert_eq!(read_all(&node.endpoint()).await?, 0, "{}", node.region);
    }
    assert!(
        metric(
            regions.cluster.nodes[1].admin,
            "geodynamo_healed_rows_total{reason=\"missing\"}"
        )? > 0.0
    );
    assert_eq!(
        metric(
            regions.cluster.nodes[0].admin,
            "geodynamo_healed_rows_total{reason=\"missing\"}"
        )?,
        0.0
    );
    // And once more, after a kill: it is as it was.
    regions.cluster.nodes[1].kill()?;
    regions.cluster.nodes[1].start(&[])?;
    regions.cluster.nodes[1].wait_ready()?;
    assert_eq!(read_all(&regions.cluster.nodes[1].endpoint()).await?, 0);
    println!("{refused} reads were refused meanwhile");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_global_table_is_mended_from_the_other_regions() -> Result<(), Failure> {
    mended_from_regions("").await
}

#[tokio::test(flavor = "multi_thread")]
async fn so_it_is_where_nothing_is_encrypted() -> Result<(), Failure> {
    mended_from_regions("[encryption]\nenabled = false\n").await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_table_of_one_region_is_mended_from_the_archive() -> Result<(), Failure> {
    let archive = tempfile::tempdir()?;
    let more = format!(
        "{CONFIG}[archive]\nurl = {:?}\nship_seconds = 1\n",
        archive.path().display().to_string()
    );
    let mut regions = Regions::prepare(&THREE[..1], true, &more).await?;
    regions.cluster.start()?;
    let endpoint = regions.cluster.nodes[0].endpoint();
    tables::create(&endpoint, TABLE).await?;
    let mut connection = Connection::open(&endpoint).await?;
    let on = json!({"TableName": TABLE, "PointInTimeRecoverySpecification": {"PointInTimeRecoveryEnabled": true}});
    let (status, answer) = call(&mut connection, "UpdateContinuousBackups", &on).await?;
    assert_eq!(status, 200, "{answer}");
    fill(&endpoint).await?;
    let filled = SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs_f64();
    let node = &regions.cluster.nodes[0];
    let described = json!({"TableName": TABLE});
    wait_until(
        "the archive has a base and all that was written",
        DEADLINE,
        async || {
            let mut connection = Connection::open(&endpoint).await?;
            let (_, answer) = call(&mut connection, "DescribeContinuousBackups", &described).await?;
            let window = &answer["ContinuousBackupsDescription"]["PointInTimeRecoveryDescription"];
            let latest = window["LatestRestorableDateTime"].as_f64().unwrap_or_default();
            // Times are told in whole seconds or in parts of them.
            Ok(latest >= filled + 1.0 && metric(node.admin, "geodynamo_archive_bases_total")? >= 1.0)
        },
    )
    .await?;
    rot(&mut regions, 0, is_mended).await?;
    assert_eq!(read_all(&endpoint).await?, 0);
    Ok(())
}

/// With neither, what was damaged stays refused, and the region says so; the rest is served.
#[tokio::test(flavor = "multi_thread")]
async fn with_neither_it_is_refused_and_said() -> Result<(), Failure> {
    let mut regions = Regions::prepare(&THREE[..1], true, CONFIG).await?;
    regions.cluster.start()?;
    let endpoint = regions.cluster.nodes[0].endpoint();
    tables::create(&endpoint, TABLE).await?;
    fill(&endpoint).await?;
    let is_said = |node: &Node| Ok(metric(node.admin, "geodynamo_storage_unmendable_tables")? >= 1.0);
    rot(&mut regions, 0, is_said).await?;
    let refused = read_all(&endpoint).await?;
    assert!(refused > 0 && refused < ITEMS / 2, "{refused}");
    let node = &mut regions.cluster.nodes[0];
    let (_, report) = node.admin("/verify")?;
    let report: Value = serde_json::from_str(&report)?;
    assert_eq!(report["unmended"][0]["table"], json!(TABLE), "{report}");
    // It is so after a restart, too.
    node.kill()?;
    node.start(&[])?;
    node.wait_ready()?;
    assert_eq!(read_all(&node.endpoint()).await?, refused);
    Ok(())
}

/// A region starts though it meets damage while it opens its tables. What keeps it from starting is damage that is met before, while the
/// store itself is opened; then it names the file.
#[tokio::test(flavor = "multi_thread")]
async fn damage_that_is_met_at_a_start_does_not_stop_a_region() -> Result<(), Failure> {
    const PLACES: u64 = 8;
    let mut regions = Regions::prepare(&THREE[..1], true, CONFIG).await?;
    regions.cluster.start()?;
    let endpoint = regions.cluster.nodes[0].endpoint();
    tables::create(&endpoint, TABLE).await?;
    let mut connection = Connection::open(&endpoint).await?;
    let stream = json!({"StreamEnabled": true, "StreamViewType": "NEW_AND_OLD_IMAGES"});
    let stream = json!({"TableName": TABLE, "StreamSpecification": stream});
    let (status, answer) = call(&mut connection, "UpdateTable", &stream).await?;
    assert_eq!(status, 200, "{answer}");
    fill(&endpoint).await?;
    let node = &mut regions.cluster.nodes[0];
    node.stop()?;
    let (data, kept) = (
        regions.folder.path().join(&node.region).join("data"),
        regions.folder.path().join("kept"),
    );
    copy_folder(&data, &kept)?;
    let mut files = table_files(&data)?;
    files.retain(|(bytes, _)| *bytes > 200_000);
    assert!(!files.is_empty(), "there are no files in {}", data.display());
    let (mut refused, mut unopened) = (0, 0);
    for (bytes, path) in &files {
        for place in 0..PLACES {
            fs::remove_dir_all(&data)?;
            copy_folder(&kept, &data)?;
            let at = bytes * (2 * place + 1) / (2 * PLACES);
            flip_bit(path, usize::try_from(at)?)?;
            node.start(&[])?;
            if let Err(error) = node.wait_ready() {
                let (file, said) = (
                    path.file_name().unwrap_or_default().to_string_lossy(),
                    error.to_string(),
                );
                let is_refused = said.contains("data/db: storage: Corruption") && said.contains(&*file);
                assert!(is_refused, "{file} at {at} of {bytes}: {said}");
                unopened += 1;
                node.kill()?;
                continue;
            }
            // Each is as it was written, or refused.
            refused += read_all(&endpoint).await?;
            node.kill()?;
        }
    }
    let all = PLACES * files.len() as u64;
    println!("{all} places, {unopened} stores that could not be opened, {refused} reads refused");
    assert!(refused > 0 && unopened <= all / 6, "{unopened} of {all}");
    Ok(())
}
