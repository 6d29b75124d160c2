//! Damaged files are taken out of use: what can be read of them stays, nothing comes back, nothing is taken for absent.

use std::time::{Duration, Instant};

use geodynamo_seal::Keyring;

use super::*;
use crate::ScrubPlace;

const ROWS: u64 = 600;
const WAIT: Duration = Duration::from_secs(60);

fn options(seal: Option<&Keyring>) -> RocksOptions {
    RocksOptions {
        seal: seal.cloned(),
        ..small()
    }
}

/// What no compressor makes shorter.
fn value(row: u64, version: u64) -> Bytes {
    let mut state = (row << 8 | version).wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut value = format!("{row}-{version}-").into_bytes();
    while value.len() < 1000 {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        value.extend_from_slice(&state.to_be_bytes());
    }
    value.into()
}

fn row_key(row: u64) -> Bytes {
    key(&format!("{row:06}"))
}

async fn write(engine: &RocksEngine, rows: impl Iterator<Item = u64>, version: u64) {
    let commit = Commit {
        writes: rows.map(|row| Write::Put(row_key(row), value(row, version))).collect(),
        appends: vec![Append {
            log: LogId(1),
            record: value(0, version),
        }],
        ..Commit::default()
    };
    engine.commit(commit).await.unwrap();
}

async fn flush(engine: &RocksEngine) {
    let shared = engine.shared.clone();
    let flushing = tokio::task::spawn_blocking(move || shared.holder.now().unwrap().flush(true));
    flushing.await.unwrap().unwrap();
}

/// Files of a family, by level: the lowest first.
fn files(engine: &RocksEngine, family: &str) -> Vec<(i32, String)> {
    let mut files = engine.shared.holder.now().unwrap().db().live_files().unwrap();
    files.retain(|file| file.column_family_name == family);
    let mut files: Vec<_> = files
        .iter()
        .map(|file| (file.level, file.name.trim_start_matches('/').to_owned()))
        .collect();
    files.sort();
    files
}

/// Old rows below, and above them a file in which every third is new, and every third is deleted.
async fn two_layers(path: &Path, seal: Option<&Keyring>) -> String {
    let engine = RocksEngine::open(path, options(seal)).unwrap();
    write(&engine, 0..ROWS, 1).await;
    engine.compact().await.unwrap();
    write(&engine, (0..ROWS).filter(|row| row % 3 == 0), 2).await;
    let commit = Commit {
        writes: (0..ROWS)
            .filter(|row| row % 3 == 1)
            .map(|row| Write::Delete(row_key(row)))
            .collect(),
        ..Commit::default()
    };
    engine.commit(commit).await.unwrap();
    flush(&engine).await;
    let (level, file) = files(&engine, DATA).remove(0);
    assert_eq!(level, 0);
    engine.close().await.unwrap();
    file
}

fn expected(row: u64) -> Option<Bytes> {
    match row % 3 {
        0 => Some(value(row, 2)),
        1 => None,
        _ => Some(value(row, 1)),
    }
}

fn flip(path: &Path, file: &str, at: usize) {
    let mut content = fs::read(path.join(file)).unwrap();
    content[at] ^= 4;
    fs::write(path.join(file), content).unwrap();
}

async fn scrub_all(engine: &RocksEngine) {
    let mut place = ScrubPlace::default();
    loop {
        match engine.scrub(&mut place, 1 << 20).await {
            Ok(step) if step.done => return,
            // It is being opened anew.
            Ok(_) | Err(_) => {}
        }
    }
}

async fn wait_until(what: &str, is_so: impl Fn() -> bool) {
    let deadline = Instant::now() + WAIT;
    while !is_so() {
        assert!(Instant::now() < deadline, "{what}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// Every row is as it should be, or not vouched for; gives how many are not.
async fn check(engine: &RocksEngine) -> u64 {
    let distrust = engine.distrusted().now();
    let mut doubtful = 0;
    for row in 0..ROWS {
        let found = engine.get(&row_key(row)).await.unwrap();
        if distrust.covers(&row_key(row)) {
            assert_eq!(found, None, "{row}");
            doubtful += 1;
        } else {
            assert_eq!(found, expected(row), "{row}");
        }
    }
    doubtful
}

async fn quarantined_and_trusted(seal: Option<Keyring>, at: usize) {
    let home = tempfile::tempdir().unwrap();
    let path = home.path().join("db");
    let file = two_layers(&path, seal.as_ref()).await;
    flip(&path, &file, at);
    let engine = RocksEngine::open(&path, options(seal.as_ref())).unwrap();
    scrub_all(&engine).await;
    wait_until("it is taken out of use", || engine.metrics().quarantined_files == 1).await;
    assert!(!files(&engine, DATA).iter().any(|(_, name)| *name == file));
    let doubtful = check(&engine).await;
    assert!(doubtful > 0 && doubtful < ROWS / 2, "{doubtful}");
    // All of it survives a compaction, a restart, and writes go on.
    engine.compact().await.unwrap();
    assert_eq!(check(&engine).await, doubtful);
    engine.close().await.unwrap();
    drop(engine);
    assert!(!path.join(&file).exists());
    let engine = RocksEngine::open(&path, options(seal.as_ref())).unwrap();
    assert_eq!(check(&engine).await, doubtful);
    let distrust = engine.distrusted().now();
    let commit = Commit {
        writes: (0..ROWS)
            .filter(|row| distrust.covers(&row_key(*row)))
            .filter_map(|row| Some(Write::Put(row_key(row), expected(row)?)))
            .collect(),
        ..Commit::default()
    };
    engine.commit(commit).await.unwrap();
    for (from, to) in distrust.rows() {
        engine.trust_rows(from.clone(), to.clone()).await.unwrap();
    }
    assert!(engine.distrusted().now().is_empty());
    assert_eq!(check(&engine).await, 0);
    engine.close().await.unwrap();
    drop(engine);
    let engine = RocksEngine::open(&path, options(seal.as_ref())).unwrap();
    assert_eq!(check(&engine).await, 0);
    assert_eq!(engine.metrics().distrusted_ranges, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_whole_stays_and_the_rest_is_not_vouched_for() {
    quarantined_and_trusted(None, 50_000).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn so_it_is_on_encrypted_files() {
    quarantined_and_trusted(Some(Keyring::in_memory().unwrap()), 50_000).await;
}

/// Without the deletion beneath what is kept, a file that is dropped brings back what it had deleted.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_file_that_is_only_dropped_brings_old_rows_back() {
    let home = tempfile::tempdir().unwrap();
    let path = home.path().join("db");
    let file = two_layers(&path, None).await;
    let number = file.trim_end_matches(".sst").parse().unwrap();
    geodynamo_rocks_env::drop_table(&path, None, None, number).unwrap();
    // Once more, and of one that never was: nothing.
    geodynamo_rocks_env::drop_table(&path, None, None, number).unwrap();
    geodynamo_rocks_env::drop_table(&path, None, None, 999_999).unwrap();
    let engine = RocksEngine::open(&path, options(None)).unwrap();
    assert_eq!(
        engine.get(&row_key(1)).await.unwrap(),
        Some(value(1, 1)),
        "it was deleted"
    );
    assert_eq!(
        engine.get(&row_key(0)).await.unwrap(),
        Some(value(0, 1)),
        "it was overwritten"
    );
}

/// RocksDB takes no writes after a compaction that met damage. The store comes out of that by itself.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_compaction_that_meets_damage_does_not_end_writing() {
    let home = tempfile::tempdir().unwrap();
    let path = home.path().join("db");
    let file = two_layers(&path, None).await;
    flip(&path, &file, 50_000);
    let engine = RocksEngine::open(&path, options(None)).unwrap();
    engine.compact().await.unwrap();
    wait_until("it is taken out of use", || engine.metrics().quarantined_files == 1).await;
    wait_until("it takes writes", || engine.metrics().trouble.is_none()).await;
    write(&engine, ROWS..ROWS + 10, 1).await;
    let doubtful = check(&engine).await;
    assert!(doubtful > 0 && doubtful < ROWS / 2, "{doubtful}");
    engine.compact().await.unwrap();
    assert_eq!(check(&engine).await, doubtful);
}

/// Its index: nothing of the file can be read, and all of its range is in doubt.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_file_without_its_index_is_in_doubt_as_a_whole() {
    let home = tempfile::tempdir().unwrap();
    let path = home.path().join("db");
    let file = two_layers(&path, None).await;
    let bytes = fs::read(path.join(&file)).unwrap().len();
    // What stands before the footer and its meta index.
    flip(&path, &file, bytes - 2_200);
    let engine = RocksEngine::open(&path, options(None)).unwrap();
    scrub_all(&engine).await;
    let metrics = engine.metrics();
    if metrics.quarantined_files + metrics.suspect_files > 0 {
        wait_until("it is taken out of use", || engine.metrics().quarantined_files == 1).await;
    }
    check(&engine).await;
}

/// Records of change logs: the others are read, and the log is known to lack some.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn logs_that_lack_records_are_known() {
    let home = tempfile::tempdir().unwrap();
    let path = home.path().join("db");
    let engine = open(&path);
    for row in 0..ROWS {
        write(&engine, row..row, row).await;
    }
    flush(&engine).await;
    let (_, file) = files(&engine, LOG).remove(0);
    engine.close().await.unwrap();
    drop(engine);
    flip(&path, &file, 200_000);
    let engine = open(&path);
    scrub_all(&engine).await;
    wait_until("it is taken out of use", || engine.metrics().quarantined_files == 1).await;
    let distrust = engine.distrusted().now();
    assert!(distrust.may_lack(LogId(1)) && !distrust.may_lack(LogId(2)));
    let records = engine
        .log_read(LogId(1), Position::START, 10_000, 1 << 30)
        .await
        .unwrap();
    assert!(
        records.len() > ROWS as usize / 2 && records.len() < ROWS as usize,
        "{}",
        records.len()
    );
    assert_eq!(engine.log_end(LogId(1)).await.unwrap(), Position(ROWS));
    write(&engine, 0..0, 1).await;
    assert_eq!(engine.log_end(LogId(1)).await.unwrap(), Position(ROWS + 1));
    engine.trust_records().await.unwrap();
    assert!(engine.distrusted().now().is_empty());
}

/// Broken off after any step, it is done once more.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_crash_between_two_steps_changes_nothing() {
    let home = tempfile::tempdir().unwrap();
    let path = home.path().join("db");
    let file = two_layers(&path, None).await;
    flip(&path, &file, 50_000);
    let mut doubtful = Vec::new();
    for step in 0..4 {
        let copy = home.path().join(format!("copy-{step}"));
        copy_folder(&path, &copy);
        // As a process leaves it that ended there.
        let (_, mut committer) = Committer::open(&copy, options(None)).unwrap();
        committer.quarantine_up_to(&file, step);
        drop(committer);
        let engine = RocksEngine::open(&copy, options(None)).unwrap();
        scrub_all(&engine).await;
        engine.compact().await.unwrap();
        wait_until("it is out of use", || {
            let metrics = engine.metrics();
            metrics.suspect_files == 0 && metrics.trouble.is_none()
        })
        .await;
        doubtful.push(check(&engine).await);
        assert!(!files(&engine, DATA).iter().any(|(_, name)| *name == file), "{step}");
        assert!(
            engine.shared.holder.now().unwrap().distrust().unwrap().1.is_empty(),
            "{step}"
        );
    }
    assert!(doubtful.windows(2).all(|pair| pair[0] == pair[1]), "{doubtful:?}");
}

fn copy_folder(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        fs::copy(entry.path(), to.join(entry.file_name())).unwrap();
    }
}
