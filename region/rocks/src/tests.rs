//! The engine against the conformance suite, crashes, damage and the golden layout.

use std::{
    fs,
    ops::Bound,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use geodynamo_storage::{Append, Direction, Group, Precondition, Snapshot, Trouble, Write, conformance, key_head};
use rocksdb::{ColumnFamilyDescriptor, DB, IteratorMode, Options};

use super::*;
use crate::layout::{COLD, DATA, FORMAT_KEY, LOG, META};

mod classes;
mod counts;
mod logs;
mod quarantine;
mod rolled_back;
mod sealed;
mod upkeep;

fn small() -> RocksOptions {
    RocksOptions {
        block_cache_bytes: 8 << 20,
        row_cache_bytes: 64 << 10,
        memtable_bytes: 8 << 20,
        ..RocksOptions::default()
    }
}

fn open(path: &Path) -> RocksEngine {
    RocksEngine::open(path, small()).unwrap()
}

fn key(rest: &str) -> Bytes {
    let mut key = key_head(1, 1, 1, rest.len());
    key.extend_from_slice(rest.as_bytes());
    key.into()
}

fn put(name: &str) -> Commit {
    let value = Bytes::copy_from_slice(name.as_bytes());
    Commit {
        writes: vec![Write::Put(key(name), value.clone())],
        appends: vec![Append {
            log: LogId(1),
            record: value,
        }],
        ..Commit::default()
    }
}

fn everything() -> Scan {
    Scan {
        from: Bound::Unbounded,
        to: Bound::Unbounded,
        direction: Direction::Forward,
        rows_max: usize::MAX,
        bytes_max: usize::MAX,
        once: false,
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn conforms() {
    let home = tempfile::tempdir().unwrap();
    let count = std::sync::atomic::AtomicUsize::new(0);
    conformance::run(|| {
        let number = count.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        open(&home.path().join(number.to_string()))
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn conforms_across_restarts() {
    let home = tempfile::tempdir().unwrap();
    conformance::run_reopen(|store| open(&home.path().join(store.to_string()))).await;
}

/// Whichever way a row is read, from the row cache or from the store: who has seen a value never sees an older one after.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn no_read_goes_back() {
    const WRITES: u64 = 20_000;
    const READERS: usize = 3;
    let home = tempfile::tempdir().unwrap();
    let options = RocksOptions {
        // A bucket or two: what is written beside the row collides with it.
        row_cache_bytes: 4096,
        sync: false,
        ..small()
    };
    let engine = Arc::new(RocksEngine::open(home.path(), options).unwrap());
    let row = key("row");
    let commit = |write: Write| Commit {
        writes: vec![write],
        ..Commit::default()
    };
    let write = |number: u64| commit(Write::Put(row.clone(), Bytes::copy_from_slice(&number.to_be_bytes())));
    engine.commit(write(0)).await.unwrap();
    let number = |value: &[u8]| u64::from_be_bytes(value.try_into().unwrap());
    let readers: Vec<_> = (0..READERS)
        .map(|reader| {
            let (engine, row) = (engine.clone(), row.clone());
            tokio::spawn(async move {
                let mut seen = 0;
                let (mut kept, mut round) = (0_u64, 0_u64);
                while seen < WRITES {
                    round += 1;
                    let value = if round % 2 == 0 {
                        let page = engine.scan(everything()).await.unwrap();
                        page.rows.iter().find(|found| found.0 == row).unwrap().1.clone()
                    } else {
                        engine.get(&row).await.unwrap().unwrap()
                    };
                    let now = number(&value);
                    assert!(now >= seen, "reader {reader}: {seen}, then {now}");
                    kept += u64::from(now == seen);
                    seen = now;
                }
                (round, kept)
            })
        })
        .collect();
    for count in 1..=WRITES {
        let beside = (count % 3 == 0).then(|| engine.commit(put(&(count % 7).to_string())));
        engine.commit(write(count)).await.unwrap();
        if let Some(beside) = beside {
            beside.await.unwrap();
        }
        if count % 1000 == 0 {
            let range = Write::DeleteRange(key("x"), key("y"));
            engine.commit(commit(range)).await.unwrap();
        }
    }
    for reader in readers {
        let (rounds, kept) = reader.await.unwrap();
        assert!(rounds > kept, "no reader saw a change");
    }
    let metrics = engine.metrics();
    assert!(
        metrics.row_cache_hits > 0 && metrics.row_cache_misses > 0,
        "{metrics:?}"
    );
}

/// Puts rows of 8 KiB that cannot be compressed, and writes them out.
async fn fill(home: &Path, rows: u64) {
    let engine = open(home);
    let mut random = xxhash_rust::xxh3::Xxh3::new();
    let mut commit = Commit::default();
    for row in 0..rows {
        let block = std::iter::repeat_with(|| {
            random.update(&row.to_be_bytes());
            random.digest128().to_be_bytes()
        });
        let value: Vec<u8> = block.take(512).flatten().collect();
        commit.writes.push(Write::Put(key(&row.to_string()), value.into()));
        if commit.writes.len() == 100 || row + 1 == rows {
            engine.commit(std::mem::take(&mut commit)).await.unwrap();
        }
    }
    engine.close().await.unwrap();
}

#[tokio::test]
async fn a_full_cache_takes_in_what_few_reads_found() {
    const ROWS: u64 = 4_000;
    let home = tempfile::tempdir().unwrap();
    // More than the cache holds.
    fill(home.path(), ROWS).await;
    let engine = open(home.path());
    let keeping = |reads: u32| {
        let store = engine.shared.holder.now().unwrap();
        (0..reads).filter(|_| store.keeps_blocks()).count()
    };
    assert_eq!(keeping(1_000), 1_000, "nothing has been read");
    for row in 0..ROWS {
        assert!(engine.get(&key(&row.to_string())).await.unwrap().is_some());
    }
    let (reads, due) = (80_000, 80_000 / admission::ONE_IN as usize);
    let kept = keeping(reads);
    assert!((due * 9 / 10..due * 11 / 10).contains(&kept), "{kept} of {reads}");
    // What came in while there was room has stayed for the most part; what was read last has not come in.
    rocksdb::perf::set_perf_stats(rocksdb::perf::PerfStatsLevel::EnableCount);
    let mut counts = rocksdb::perf::PerfContext::default();
    let mut blocks_read = Vec::new();
    for rows in [0..100, ROWS - 100..ROWS] {
        counts.reset();
        for row in rows {
            assert!(engine.get(&key(&row.to_string())).await.unwrap().is_some());
        }
        blocks_read.push(counts.metric(rocksdb::perf::PerfMetric::BlockReadCount));
    }
    assert!(
        blocks_read[0] < 75 && blocks_read[1] > 50,
        "{blocks_read:?} for 100 rows each"
    );
}

#[tokio::test]
async fn what_is_read_once_is_not_kept() {
    let home = tempfile::tempdir().unwrap();
    fill(home.path(), 500).await;
    let engine = open(home.path());
    let kept = || engine.metrics().cache_bytes;
    let before = kept();
    let all = Scan {
        once: true,
        ..everything()
    };
    assert_eq!(engine.scan(all.clone()).await.unwrap().rows.len(), 500);
    assert_eq!(engine.snapshot().scan(all).await.unwrap().rows.len(), 500);
    assert!(kept() < before + (1 << 20), "{} after {before}", kept());
    engine.scan(everything()).await.unwrap();
    assert!(kept() > before + (3 << 20), "{} after {before}", kept());
}

/// A copy of the files, made while the engine is open, is what a crash leaves.
fn copy_of(from: &Path) -> tempfile::TempDir {
    let to = tempfile::tempdir().unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        if entry.file_name() != "LOCK" {
            fs::copy(entry.path(), to.path().join(entry.file_name())).unwrap();
        }
    }
    to
}

#[tokio::test]
async fn a_crash_keeps_what_was_acknowledged() {
    let home = tempfile::tempdir().unwrap();
    let engine = open(home.path());
    for i in 0..50 {
        engine.commit(put(&format!("{i:02}"))).await.unwrap();
    }
    let copy = copy_of(home.path());
    let after = open(copy.path());
    assert_eq!(after.scan(everything()).await.unwrap().rows.len(), 50);
    assert_eq!(after.log_end(LogId(1)).await.unwrap(), Position(50));
}

/// Cutting the WAL anywhere leaves a prefix of the commits, each whole: row, record and log end agree.
#[tokio::test]
async fn a_cut_wal_leaves_whole_commits() {
    let home = tempfile::tempdir().unwrap();
    let engine = open(home.path());
    for i in 0..20 {
        engine.commit(put(&format!("{i:02}"))).await.unwrap();
    }
    let mut seen = std::collections::BTreeSet::new();
    for part in 0..=16u64 {
        let copy = copy_of(home.path());
        let wal = newest_wal(copy.path());
        let end = data_end(&wal);
        fs::OpenOptions::new()
            .write(true)
            .open(&wal)
            .unwrap()
            .set_len(end * part / 16)
            .unwrap();
        let after = open(copy.path());
        let rows = after.scan(everything()).await.unwrap().rows;
        let expect: Vec<_> = (0..rows.len()).map(|i| key(&format!("{i:02}"))).collect();
        assert!(rows.iter().map(|row| &row.0).eq(&expect), "a prefix is left");
        assert_eq!(after.log_end(LogId(1)).await.unwrap().0, rows.len() as u64);
        let records = after
            .log_read(LogId(1), Position::START, usize::MAX, usize::MAX)
            .await
            .unwrap();
        assert_eq!(records.len(), rows.len());
        seen.insert(rows.len());
    }
    assert!(
        seen.len() > 5 && seen.contains(&20),
        "the cuts fell into different commits: {seen:?}"
    );
}

fn newest_wal(path: &Path) -> PathBuf {
    let files = fs::read_dir(path).unwrap().map(|entry| entry.unwrap().path());
    files
        .filter(|path| path.extension().is_some_and(|extension| extension == "log"))
        .max()
        .unwrap()
}

/// The length of a WAL without zeros that were only allocated.
fn data_end(wal: &Path) -> u64 {
    let bytes = fs::read(wal).unwrap();
    bytes.iter().rposition(|byte| *byte != 0).map_or(0, |at| at as u64 + 1)
}

/// A process is killed while it writes; what it said was acknowledged is there. The same test binary is that process.
#[tokio::test]
async fn kill_nine_keeps_what_was_acknowledged() {
    use std::io::{BufRead, BufReader};
    if let Ok(path) = std::env::var("ROCKS_TEST_WRITER") {
        let engine = open(Path::new(&path));
        for i in 0.. {
            engine.commit(put(&format!("{i:06}"))).await.unwrap();
            eprintln!("acknowledged {i}");
        }
    }
    let home = tempfile::tempdir().unwrap();
    let mut acknowledged = 0usize;
    for round in 1..=3usize {
        let mut writer = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "tests::kill_nine_keeps_what_was_acknowledged", "--nocapture"])
            .env("ROCKS_TEST_WRITER", home.path())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let lines = BufReader::new(writer.stderr.take().unwrap()).lines();
        let mut fresh = 0;
        for line in lines {
            let line = line.unwrap();
            if let Some(number) = line.strip_prefix("acknowledged ") {
                acknowledged = acknowledged.max(number.parse::<usize>().unwrap() + 1);
                fresh += 1;
                if fresh == 40 * round {
                    writer.kill().unwrap();
                }
            }
        }
        assert!(
            !writer.wait().unwrap().success() && fresh >= 40 * round,
            "the writer was killed at work: {fresh}"
        );
        let engine = open(home.path());
        let rows = engine.scan(everything()).await.unwrap().rows;
        assert!(
            rows.len() >= acknowledged,
            "{} of {acknowledged} acknowledged writes are there",
            rows.len()
        );
    }
}

#[tokio::test]
async fn an_open_store_is_not_opened_twice() {
    let home = tempfile::tempdir().unwrap();
    let engine = open(home.path());
    engine.commit(put("a")).await.unwrap();
    let second = RocksEngine::open(home.path(), small());
    assert!(matches!(second, Err(StorageError::Io(_))), "{second:?}");
    // A snapshot holds the database open; without it the store is free.
    let snapshot = engine.snapshot();
    engine.close().await.unwrap();
    drop(engine);
    assert_eq!(
        snapshot.get(&key("a")).await.unwrap().as_deref(),
        Some(&b"a"[..]),
        "a snapshot outlives its engine"
    );
    assert!(RocksEngine::open(home.path(), small()).is_err());
    drop(snapshot);
    open(home.path());
}

#[test]
fn unknown_formats_and_places_are_refused() {
    let refused = |path: &Path, expect: &str| match RocksEngine::open(path, small()) {
        Err(StorageError::Io(text)) => assert!(text.contains(expect), "{text}"),
        other => panic!("to be refused with “{expect}”: {other:?}"),
    };
    let home = tempfile::tempdir().unwrap();
    drop(open(home.path()));
    let raw = |change: &dyn Fn(&DB)| {
        let families = [META, DATA, COLD, LOG].map(|name| ColumnFamilyDescriptor::new(name, Options::default()));
        change(&DB::open_cf_descriptors(&Options::default(), home.path(), families).unwrap());
    };
    raw(&|db| db.put(FORMAT_KEY, [FORMAT + 1]).unwrap());
    refused(home.path(), "the store has format [3]; this program knows 2 only");
    raw(&|db| db.delete(FORMAT_KEY).unwrap());
    drop(open(home.path())); // Empty, so new.
    raw(&|db| {
        db.put_cf(db.cf_handle(DATA).unwrap(), "a", "").unwrap();
        db.delete(FORMAT_KEY).unwrap();
    });
    refused(home.path(), "no format");

    let file = tempfile::NamedTempFile::new().unwrap();
    refused(file.path(), "");
    refused(&file.path().join("below a file"), "");
}

#[tokio::test]
async fn damage_is_told_of() {
    let home = tempfile::tempdir().unwrap();
    let engine = open(home.path());
    for i in 0..200 {
        engine
            .commit(Commit {
                appends: Vec::new(),
                ..put(&format!("{i:03}"))
            })
            .await
            .unwrap();
    }
    engine.close().await.unwrap();
    drop(engine);
    let files = fs::read_dir(home.path()).unwrap().map(|entry| entry.unwrap().path());
    let tables = files.filter(|path| path.extension().is_some_and(|extension| extension == "sst"));
    // The largest is the rows'; its data blocks are at the front.
    let table = tables.max_by_key(|path| fs::metadata(path).unwrap().len()).unwrap();
    let mut bytes = fs::read(&table).unwrap();
    bytes[..100].iter_mut().for_each(|byte| *byte ^= 0x55);
    fs::write(&table, bytes).unwrap();

    // The damage is found when it is read: no panic, and damage does not look like absence.
    let engine = open(home.path());
    let told = |what: &str, error: Option<StorageError>| {
        assert!(
            matches!(error, Some(StorageError::Io(_))),
            "{what} tells of damage: {error:?}"
        );
    };
    told("scan", engine.scan(everything()).await.err());
    told(
        "reverse scan",
        engine
            .scan(Scan {
                direction: Direction::Reverse,
                ..everything()
            })
            .await
            .err(),
    );
    told("get", engine.get(&key("000")).await.err());
    told("get_many", engine.get_many(&[key("000"), key("001")]).await.err());
    told("a snapshot's scan", engine.snapshot().scan(everything()).await.err());
    let conditional = Commit {
        preconditions: vec![Precondition::Absent(key("000"))],
        ..Commit::default()
    };
    told("a precondition", engine.commit(conditional).await.err());
    engine.commit(put("elsewhere")).await.unwrap();
}

/// A disk that fails: the WAL's directory is taken away under a small WAL limit, so that the next WAL cannot be made. Then it
/// comes back.
#[tokio::test]
async fn after_a_failed_write_none_is_taken_until_the_disk_is_back() {
    let home = tempfile::tempdir().unwrap();
    let (path, elsewhere) = (home.path().join("store"), home.path().join("elsewhere"));
    let options = RocksOptions {
        memtable_bytes: 1 << 20,
        wal_bytes_max: 1 << 18,
        ..small()
    };
    let engine = RocksEngine::open(&path, options).unwrap();
    engine.commit(put("before")).await.unwrap();
    let snapshot = engine.snapshot();
    fs::rename(&path, &elsewhere).unwrap();
    let big = Bytes::from(vec![7; 200_000]);
    let (mut failure, mut acknowledged) = (None, 0);
    for i in 0..200 {
        let commit = Commit {
            writes: vec![Write::Put(key(&i.to_string()), big.clone())],
            ..Commit::default()
        };
        match engine.commit(commit).await {
            Ok(_) => acknowledged += 1,
            Err(error) => {
                failure = Some(error);
                break;
            }
        }
    }
    let fails = |error: &StorageError| matches!(error, StorageError::Unwritable(Trouble::WritesFail));
    assert!(failure.as_ref().is_some_and(fails), "{failure:?}");
    let after = engine.commit(put("after")).await;
    assert!(after.as_ref().is_err_and(fails), "{after:?}");
    assert_eq!(engine.health().borrow().trouble(), Some(Trouble::WritesFail));
    assert_eq!(
        engine.get(&key("before")).await.unwrap().as_deref(),
        Some(&b"before"[..]),
        "reads go on"
    );
    assert!(engine.metrics().failed > 0);

    fs::rename(&elsewhere, &path).unwrap();
    tokio::time::timeout(
        std::time::Duration::from_secs(60),
        Health::wait_writable(engine.health()),
    )
    .await
    .unwrap();
    assert_eq!(engine.commit(put("after")).await.unwrap(), [Position(2)]);
    assert!(snapshot.get(&key("before")).await.is_err(), "it has ended");
    drop(snapshot);
    let mut store = Some(engine);
    for _ in 0..2 {
        let engine = store
            .take()
            .unwrap_or_else(|| RocksEngine::open(&path, small()).unwrap());
        for i in 0..200 {
            let found = engine.get(&key(&i.to_string())).await.unwrap();
            assert_eq!(found.is_some(), i < acknowledged, "{i} of {acknowledged}");
        }
        assert!(engine.get(&key("after")).await.unwrap().is_some());
    }
}

#[tokio::test]
async fn many_writers_share_a_sync() {
    let home = tempfile::tempdir().unwrap();
    let engine = Arc::new(open(home.path()));
    let futures: Vec<_> = (0..512).map(|i| engine.commit(put(&i.to_string()))).collect();
    for future in futures {
        future.await.unwrap();
    }
    let refused = Commit {
        preconditions: vec![Precondition::Absent(key("0"))],
        ..Commit::default()
    };
    assert!(engine.commit(refused).await.is_err());
    let metrics = engine.metrics();
    assert_eq!((metrics.commits, metrics.refused, metrics.failed), (512, 1, 0));
    assert_eq!(metrics.batch_commits.sum, 512.0);
    assert_eq!(metrics.write_seconds.count(), metrics.batch_commits.count());
    assert_eq!(
        metrics.sync_seconds.count(),
        metrics.batch_commits.count(),
        "each is synced once"
    );
    assert!(
        0.0 < metrics.sync_seconds.sum && metrics.sync_seconds.sum < metrics.write_seconds.sum,
        "{metrics:?}"
    );
    assert_eq!(metrics.stalled_seconds, 0.0);
    assert!(
        metrics.batch_commits.count() < 256,
        "512 commits were written by {}",
        metrics.batch_commits.count()
    );
    assert!(
        metrics.bytes_written > 512 * 20 && metrics.memtable_bytes > 0 && metrics.cache_bytes > 0,
        "{metrics:?}"
    );
    assert_eq!(
        (metrics.queue_jobs, metrics.queue_bytes, metrics.writes_stopped),
        (0, 0, false)
    );
}

/// The layout on disk, byte for byte. Run with GOLDEN=write to write the file anew, and raise FORMAT if it changed.
#[tokio::test]
async fn layout_is_golden() {
    let home = tempfile::tempdir().unwrap();
    let engine = open(home.path());
    assert_eq!(Group::of(&key("a")), engine.group_of(&key("a")));
    engine.commit(put("a")).await.unwrap();
    engine
        .commit(Commit {
            writes: vec![Write::Put(key("b\0"), Bytes::new())],
            ..put("c")
        })
        .await
        .unwrap();
    engine
        .commit(Commit {
            appends: vec![Append {
                log: LogId(u64::MAX),
                record: Bytes::from_static(b"last"),
            }],
            ..Commit::default()
        })
        .await
        .unwrap();
    engine.log_trim(LogId(1), Position(1)).await.unwrap();
    drop(engine);

    let families = [META, DATA, COLD, LOG].map(|name| ColumnFamilyDescriptor::new(name, Options::default()));
    let db = DB::open_cf_descriptors(&Options::default(), home.path(), families).unwrap();
    let hex = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    let mut found = String::new();
    for family in [META, DATA, COLD, LOG] {
        for row in db.iterator_cf(db.cf_handle(family).unwrap(), IteratorMode::Start) {
            let (key, value) = row.unwrap();
            found += &format!("{family} {} = {}\n", hex(&key), hex(&value));
        }
    }
    let golden = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/layout-2.txt");
    if std::env::var("GOLDEN").as_deref() == Ok("write") {
        fs::create_dir_all(golden.parent().unwrap()).unwrap();
        fs::write(&golden, &found).unwrap();
    }
    assert_eq!(found, fs::read_to_string(golden).unwrap());
}
