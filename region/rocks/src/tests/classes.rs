//! Classes: rows are found wherever they lie, while they are moved, and after a kill in the middle of it.

use std::{
    collections::BTreeMap,
    io::{BufRead, BufReader},
    time::{Duration, Instant},
};

use super::*;
use crate::classes;

const OWNER: u64 = 1;
/// How long a move may take here.
const DEADLINE: Duration = Duration::from_secs(60);
/// What a child is told that is killed.
const MOVER: &str = "ROCKS_TEST_MOVER";

fn row(space: u8, owner: u64, name: u64) -> Bytes {
    let mut key = key_head(space, owner, name.wrapping_mul(0x9e37_79b9_7f4a_7c15), 8);
    key.extend_from_slice(&name.to_be_bytes());
    key.into()
}

fn prefix() -> Prefix {
    Prefix::new(1, OWNER)
}

async fn settled(engine: &RocksEngine) {
    let begun = Instant::now();
    while engine.shared.classes.load().moving() > 0 {
        assert!(begun.elapsed() < DEADLINE, "a move does not end");
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}

async fn swept(engine: &RocksEngine) {
    let begun = Instant::now();
    while engine.shared.classes.has_work() {
        assert!(begun.elapsed() < DEADLINE, "what a move left does not go");
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}

fn families(engine: &RocksEngine, prefix: Prefix) -> [usize; 2] {
    let store = engine.shared.holder.now().unwrap();
    [classes::Family::Data, classes::Family::Cold].map(|family| {
        let page = store.scan_in(family, &everything()).unwrap();
        page.rows
            .iter()
            .filter(|(key, _)| Prefix::of(key) == Some(prefix))
            .count()
    })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn conforms_with_all_rows_cold() {
    let home = tempfile::tempdir().unwrap();
    let count = std::sync::atomic::AtomicUsize::new(0);
    let cold = |name: String| {
        let options = RocksOptions {
            cold_dir: Some(home.path().join(format!("{name}-cold"))),
            ..small()
        };
        let engine = RocksEngine::open(home.path().join(name), options).unwrap();
        // Whatever the suite's keys are of.
        let mut placement = Placement::default();
        for owner in 0..64 {
            for space in 0..8 {
                placement.set(
                    Prefix::new(space, owner),
                    classes::Place::Settled {
                        family: classes::Family::Cold,
                        unswept: false,
                    },
                );
            }
        }
        engine.shared.classes.publish(placement);
        engine
    };
    conformance::run(|| cold(count.fetch_add(1, std::sync::atomic::Ordering::Relaxed).to_string())).await;
    conformance::run_reopen(|store| cold(format!("again-{store}"))).await;
}

/// Reads of every kind, at every moment, give what was written, while rows go there and back.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn rows_are_found_while_they_are_moved() {
    let home = tempfile::tempdir().unwrap();
    let options = RocksOptions {
        move_bytes_per_second: 0,
        ..small()
    };
    let engine = Arc::new(RocksEngine::open(home.path(), options).unwrap());
    const ROWS: u64 = 3000;
    let put = |name: u64, version: u64| {
        Write::Put(
            row(1, OWNER, name),
            Bytes::from(format!("{version:012}-{name}").into_bytes()),
        )
    };
    for first in (0..ROWS).step_by(500) {
        let others =
            (first..first + 500).flat_map(|name| [put(name, 0), Write::Put(row(1, OWNER + 1, name), "other".into())]);
        engine
            .commit(Commit {
                writes: others.collect(),
                ..Commit::default()
            })
            .await
            .unwrap();
    }
    let done = Arc::new(std::sync::atomic::AtomicBool::new(false));
    let is_done = |done: &std::sync::atomic::AtomicBool| done.load(std::sync::atomic::Ordering::Relaxed);
    let mut readers = Vec::new();
    for reader in 0..3_u64 {
        let (engine, done) = (engine.clone(), done.clone());
        readers.push(tokio::spawn(async move {
            let mut seen = BTreeMap::new();
            let mut round = reader;
            while !is_done(&done) {
                round += 7;
                let name = round % ROWS;
                let version = |value: &Bytes| value[..12].to_vec();
                match reader {
                    0 => {
                        let value = engine
                            .get(&row(1, OWNER, name))
                            .await
                            .unwrap()
                            .expect("a row is missing");
                        let before = seen.insert(name, version(&value));
                        assert!(before <= Some(version(&value)), "an older row");
                    }
                    1 => {
                        let keys = [
                            row(1, OWNER, name),
                            row(1, OWNER + 1, name),
                            row(1, OWNER, (name + 1) % ROWS),
                        ];
                        let values = engine.get_many(&keys).await.unwrap();
                        assert!(values.iter().all(Option::is_some), "of many, one is missing");
                    }
                    _ => {
                        let direction = [Direction::Forward, Direction::Reverse][usize::from(round % 2 == 0)];
                        let scan = Scan {
                            direction,
                            ..everything()
                        };
                        let page = match round % 4 {
                            0 | 1 => engine.scan(scan).await.unwrap(),
                            _ => engine.snapshot().scan(scan).await.unwrap(),
                        };
                        assert_eq!(
                            page.rows.len() as u64,
                            2 * ROWS,
                            "a scan misses rows, or has some twice"
                        );
                        assert!(
                            page.rows
                                .windows(2)
                                .all(|two| (two[0].0 < two[1].0) == (direction == Direction::Forward))
                        );
                    }
                }
            }
        }));
    }
    let writer = tokio::spawn({
        let (engine, done) = (engine.clone(), done.clone());
        async move {
            let mut version = 1;
            while !is_done(&done) {
                version += 1;
                let key = row(1, OWNER, version * 13 % ROWS);
                // As a conditional write does, on what is there.
                let before = engine.get(&key).await.unwrap().unwrap();
                let commit = Commit {
                    preconditions: vec![Precondition::Equals(key, before)],
                    writes: vec![put(version * 13 % ROWS, version)],
                    ..Commit::default()
                };
                engine.commit(commit).await.unwrap();
            }
        }
    });
    for round in 0..6 {
        engine.set_class(prefix(), StorageClass::Infrequent).await.unwrap();
        assert_eq!(engine.classes(), [(prefix(), StorageClass::Infrequent)]);
        if round % 2 == 0 {
            settled(&engine).await;
            assert_eq!(families(&engine, prefix()), [0, ROWS as usize]);
        }
        engine.set_class(prefix(), StorageClass::Standard).await.unwrap();
        if round % 3 > 0 {
            settled(&engine).await;
            assert_eq!(families(&engine, prefix()), [ROWS as usize, 0]);
        }
    }
    engine.set_class(prefix(), StorageClass::Infrequent).await.unwrap();
    settled(&engine).await;
    done.store(true, std::sync::atomic::Ordering::Relaxed);
    for reader in readers {
        reader.await.unwrap();
    }
    writer.await.unwrap();
    swept(&engine).await;
    assert!(engine.metrics().moved_bytes > 0);
    // A range that is deleted is gone from both.
    engine.set_class(prefix(), StorageClass::Standard).await.unwrap();
    let gone = Write::DeleteRange(key_head(1, OWNER, 0, 0).into(), key_head(1, OWNER + 1, 0, 0).into());
    engine
        .commit(Commit {
            writes: vec![gone],
            ..Commit::default()
        })
        .await
        .unwrap();
    settled(&engine).await;
    assert_eq!(families(&engine, prefix()), [0, 0]);
    swept(&engine).await;
    assert!(
        engine.shared.holder.now().unwrap().placement().unwrap() == Placement::default(),
        "nothing is left to be told"
    );
}

/// The negative control of the above: who looks in one family only misses rows.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_looks_in_one_family_misses_rows() {
    let home = tempfile::tempdir().unwrap();
    let engine = open(home.path());
    engine
        .commit(Commit {
            writes: vec![Write::Put(row(1, OWNER, 1), "1".into())],
            ..Commit::default()
        })
        .await
        .unwrap();
    let before = engine.shared.classes.load_full();
    let view = engine.snapshot();
    engine.set_class(prefix(), StorageClass::Infrequent).await.unwrap();
    settled(&engine).await;
    let store = engine.shared.holder.now().unwrap();
    assert_eq!(store.get(&row(1, OWNER, 1), &before).unwrap(), None);
    assert!(
        !engine.shared.classes.is_current(&before),
        "which a reader would notice"
    );
    assert!(
        store
            .get(&row(1, OWNER, 1), &engine.shared.classes.load())
            .unwrap()
            .is_some()
    );
    assert!(
        view.get(&row(1, OWNER, 1)).await.unwrap().is_some(),
        "a snapshot knows how rows lay"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cold_dir_has_what_was_compacted() {
    let home = tempfile::tempdir().unwrap();
    let cold_dir = home.path().join("cold");
    let options = || RocksOptions {
        cold_dir: Some(cold_dir.clone()),
        ..small()
    };
    let engine = RocksEngine::open(home.path().join("db"), options()).unwrap();
    engine.set_class(prefix(), StorageClass::Infrequent).await.unwrap();
    let writes = |from: u64| {
        (from..from + 1000)
            .map(|name| Write::Put(row(1, OWNER, name), vec![7; 100].into()))
            .collect()
    };
    engine
        .commit(Commit {
            writes: writes(0),
            ..Commit::default()
        })
        .await
        .unwrap();
    settled(&engine).await;
    let files = |dir: &Path| {
        let is_table =
            |entry: std::io::Result<fs::DirEntry>| entry.unwrap().path().extension().is_some_and(|it| it == "sst");
        fs::read_dir(dir).unwrap().any(is_table)
    };
    let begun = Instant::now();
    for round in 1.. {
        engine.shared.holder.now().unwrap().flush(true).unwrap();
        if files(&cold_dir) {
            break;
        }
        assert!(begun.elapsed() < DEADLINE, "nothing comes to the cold_dir");
        engine
            .commit(Commit {
                writes: writes(round % 2 * 500),
                ..Commit::default()
            })
            .await
            .unwrap();
    }
    assert!(engine.metrics().infrequent_bytes > 0);
    engine.close().await.unwrap();
    drop(engine);
    let without = RocksEngine::open(home.path().join("db"), small())
        .unwrap_err()
        .to_string();
    assert!(without.contains("cold_dir"), "{without}");
    let engine = RocksEngine::open(home.path().join("db"), options()).unwrap();
    assert_eq!(families(&engine, prefix()), [0, 1500]);
}

/// A process that writes and changes classes is killed; the next one finds what was acknowledged, and ends the move.
#[test]
fn moves_go_on_after_a_kill() {
    let home = tempfile::tempdir().unwrap();
    let path = home.path().join("db");
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let mut known: BTreeMap<u64, u64> = BTreeMap::new();
    let mut broken_off = 0;
    for round in 0..8_u64 {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "tests::classes::moving_child", "--nocapture", "--ignored"])
            .env(MOVER, &path)
            .env("ROUND", round.to_string())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let mut acknowledged = 0;
        for line in lines.map_while(Result::ok) {
            let Some((name, version)) = line.strip_prefix("wrote ").and_then(|line| line.split_once(' ')) else {
                continue;
            };
            known.insert(name.parse().unwrap(), version.parse().unwrap());
            acknowledged += 1;
            if acknowledged == 60 + round * 45 {
                child.kill().unwrap();
            }
        }
        child.wait().unwrap();
        let engine = RocksEngine::open(&path, small()).unwrap();
        broken_off += usize::from(
            engine.shared.classes.load().moving() > 0 || families(&engine, prefix()).iter().all(|count| *count > 0),
        );
        runtime.block_on(async {
            for when in ["before", "after"] {
                for (name, version) in &known {
                    let value = engine.get(&row(1, OWNER, *name)).await.unwrap();
                    let value = String::from_utf8(value.unwrap().to_vec()).unwrap();
                    let found: u64 = value[..12].parse().unwrap();
                    assert!(found >= *version, "{name}: {found}, not {version}, {when} the move");
                }
                settled(&engine).await;
            }
            assert_eq!(
                families(&engine, prefix()).iter().filter(|count| **count > 0).count(),
                1
            );
            engine.close().await.unwrap();
        });
    }
    assert!(broken_off > 0, "no move was broken off");
}

#[test]
#[ignore = "killed by its parent, which runs it: cargo test -p geodynamo-rocks --lib tests::classes"]
fn moving_child() {
    let Some(path) = std::env::var_os(MOVER) else { return };
    let round: u64 = std::env::var("ROUND").unwrap().parse().unwrap();
    let options = RocksOptions {
        move_bytes_per_second: 1 << 20,
        ..small()
    };
    let engine = RocksEngine::open(path, options).unwrap();
    tokio::runtime::Runtime::new().unwrap().block_on(async {
        let put = |name: u64, version: u64| {
            Write::Put(
                row(1, OWNER, name),
                Bytes::from(format!("{version:012}{}", "x".repeat(300)).into_bytes()),
            )
        };
        if round == 0 {
            let writes = (0..3000).map(|name| put(name, 0)).collect();
            engine
                .commit(Commit {
                    writes,
                    ..Commit::default()
                })
                .await
                .unwrap();
        }
        for step in 0_u64.. {
            if step % 40 == 0 {
                let class =
                    [StorageClass::Infrequent, StorageClass::Standard][usize::from((step / 40 + round) % 2 == 1)];
                engine.set_class(prefix(), class).await.unwrap();
            }
            let (name, version) = (step * 37 % 3000, round * 1_000_000 + step + 1);
            engine
                .commit(Commit {
                    writes: vec![put(name, version)],
                    ..Commit::default()
                })
                .await
                .unwrap();
            println!("wrote {name} {version}");
        }
    });
}
