//! Every kind of failure in every kind of file, on a file system that fails on demand (`tests/shim/faults.c`): what was
//! acknowledged stays and is read meanwhile, what was refused never appears, and writes go on once the failure is gone.
//!
//! The engine runs in a child process, which is this test program under the library.
#![allow(clippy::unwrap_used, reason = "a test")]

use std::{
    collections::BTreeMap,
    fs::{File, OpenOptions},
    os::unix::fs::FileExt,
    path::{Path, PathBuf},
    process::Command,
    time::{Duration, Instant},
};

use bytes::Bytes;
use geodynamo_rocks::{RocksEngine, RocksOptions};
use geodynamo_seal::Keyring;
use geodynamo_storage::{
    Append, Commit, Engine, Health, LogId, Position, Snapshot, StorageError, Trouble, Write, key_head,
};

/// The variable that names the control file.
const CONTROL: &str = "FAULTS_CONTROL";
/// The variable that says, if it says anything, that stores are encrypted.
const SEALED: &str = "FAULTS_SEALED";
const LOG: LogId = LogId(7);
const DEADLINE: Duration = Duration::from_secs(60);

const EIO: i32 = 5;
const ENOSPC: i32 = 28;
const EROFS: i32 = 30;
const EDQUOT: i32 = 122;

/// The store's files, and those beside it.
const EVERYTHING: &str = "*/db*";

/// The child's tests run under the library, one process each.
fn run_child(test: &str, sealed: bool) -> bool {
    let home = tempfile::tempdir().unwrap();
    let library = home.path().join("faults.so");
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/shim/faults.c");
    let built = Command::new("gcc")
        .args(["-O2", "-shared", "-fPIC", "-o"])
        .args([&library, &source])
        .arg("-ldl")
        .status()
        .unwrap();
    assert!(built.success(), "the library does not compile");
    let control = home.path().join("control");
    File::create(&control).unwrap().set_len(4096).unwrap();
    let ended = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", test, "--ignored", "--nocapture"])
        .env("LD_PRELOAD", &library)
        .env(CONTROL, &control)
        .env(SEALED, if sealed { "1" } else { "" })
        .status()
        .unwrap();
    ended.success()
}

#[test]
fn every_failure_of_every_file() {
    assert!(run_child("child_every_failure", false));
}

#[test]
fn every_failure_of_every_encrypted_file() {
    assert!(run_child("child_every_failure", true));
}

#[test]
fn a_disk_that_fails_too_often_is_given_up() {
    assert!(run_child("child_given_up", true));
}

/// The negative control: an engine that acknowledges after a failed sync is caught by the same check.
#[test]
fn acknowledging_after_a_failed_sync_is_caught() {
    assert!(run_child("child_acknowledges", false));
}

/// What makes the file system fail.
struct Faults(File);

impl Faults {
    fn of_child() -> Self {
        let path = std::env::var_os(CONTROL).expect("run by its parent only");
        Self(OpenOptions::new().write(true).open(path).unwrap())
    }

    fn set(&self, rules: &[(&str, i32, &str)]) {
        let lines = rules
            .iter()
            .map(|(operation, error, pattern)| format!("{operation} {error} {pattern}\n"));
        let mut text = lines.collect::<String>().into_bytes();
        text.resize(4096, 0);
        self.0.write_all_at(&text, 0).unwrap();
    }
}

/// A store, and what it must hold.
struct Checked {
    path: PathBuf,
    engine: Option<RocksEngine>,
    options: RocksOptions,
    /// What was acknowledged: a key's value is its number.
    acknowledged: BTreeMap<u64, usize>,
    refused: Vec<u64>,
    /// The log's records.
    appended: u64,
    next: u64,
}

/// What a commit holds: rows, log records, or both.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Load {
    Rows,
    Records,
    Both,
}

impl Checked {
    fn new(path: PathBuf, options: RocksOptions) -> Self {
        Self {
            engine: Some(RocksEngine::open(&path, options.clone()).unwrap()),
            path,
            options,
            acknowledged: BTreeMap::new(),
            refused: Vec::new(),
            appended: 0,
            next: 0,
        }
    }

    fn engine(&self) -> &RocksEngine {
        self.engine.as_ref().unwrap()
    }

    fn key(number: u64) -> Bytes {
        let mut key = key_head(1, 1, number % 5, 8);
        key.extend_from_slice(&number.to_be_bytes());
        key.into()
    }

    fn value(number: u64, bytes: usize) -> Bytes {
        // Of no use to a compressor.
        let mut state = number.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
        let mut value = number.to_be_bytes().to_vec();
        while value.len() < bytes {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            value.extend_from_slice(&state.to_be_bytes());
        }
        value.into()
    }

    async fn put(&mut self, bytes: usize, load: Load) -> Result<(), StorageError> {
        let number = self.next;
        self.next += 1;
        let value = Self::value(number, bytes);
        let commit = Commit {
            writes: match load {
                Load::Records => Vec::new(),
                Load::Rows | Load::Both => vec![Write::Put(Self::key(number), value.clone())],
            },
            appends: match load {
                Load::Rows => Vec::new(),
                Load::Records | Load::Both => vec![Append {
                    log: LOG,
                    record: value.clone(),
                }],
            },
            ..Commit::default()
        };
        match self.engine().commit(commit).await {
            Ok(positions) => {
                if load != Load::Records {
                    self.acknowledged.insert(number, value.len());
                }
                if load != Load::Rows {
                    self.appended += 1;
                    assert_eq!(
                        positions,
                        [Position(self.appended)],
                        "no position is left out or given twice"
                    );
                }
                Ok(())
            }
            Err(error) => {
                self.refused.push(number);
                Err(error)
            }
        }
    }

    /// What is not as it must be.
    async fn faults(&self) -> Vec<String> {
        let mut faults = Vec::new();
        for (&number, &bytes) in &self.acknowledged {
            match self.engine().get(&Self::key(number)).await {
                Ok(Some(value)) if value == Self::value(number, bytes) => {}
                other => faults.push(format!(
                    "{number} was acknowledged: {:?}",
                    other.map(|value| value.is_some())
                )),
            }
        }
        for &number in &self.refused {
            match self.engine().get(&Self::key(number)).await {
                Ok(None) => {}
                other => faults.push(format!(
                    "{number} was refused: {:?}",
                    other.map(|value| value.is_some())
                )),
            }
        }
        let (mut after, mut count) = (Position::START, 0);
        loop {
            let records = match self.engine().log_read(LOG, after, 1000, 1 << 20).await {
                Ok(records) => records,
                Err(error) => {
                    faults.push(format!("the log behind {after:?}: {error}"));
                    break;
                }
            };
            let Some(last) = records.last() else { break };
            after = last.position;
            count += records.len() as u64;
        }
        let end = self.engine().log_end(LOG).await.ok();
        if count != self.appended || after.0 != count || end != Some(after) {
            faults.push(format!(
                "{count} records to {after:?}, end {end:?}, of {}",
                self.appended
            ));
        }
        faults
    }

    async fn check(&self, when: &str) {
        assert_eq!(self.faults().await, Vec::<String>::new(), "{when}");
    }

    async fn wait_writable(&self, when: &str) {
        let writable = tokio::time::timeout(DEADLINE, Health::wait_writable(self.engine().health())).await;
        assert!(writable.is_ok(), "{when}: {:?}", *self.engine().health().borrow());
    }

    async fn reopen(&mut self) {
        drop(self.engine.take());
        self.engine = Some(RocksEngine::open(&self.path, self.options.clone()).unwrap());
    }
}

fn options() -> RocksOptions {
    let is_sealed = std::env::var_os(SEALED).is_some_and(|said| !said.is_empty());
    RocksOptions {
        seal: is_sealed.then(|| Keyring::in_memory().unwrap()),
        block_cache_bytes: 8 << 20,
        row_cache_bytes: 64 << 10,
        memtable_bytes: 1 << 20,
        wal_bytes_max: 8 << 20,
        reserve_bytes: 1 << 20,
        failures_max: 1_000,
        ..RocksOptions::default()
    }
}

/// Bytes of a commit that soon fills memtables.
const LARGE: usize = 20_000;
/// So many of them fill more memtables than may wait: a write must fail by then.
const LARGE_MAX: usize = 1_000;

/// Rules (a call, its error, the files), the trouble that they make, and the load under which they are met.
type Case<'a> = (&'a [(&'a str, i32, &'a str)], Trouble, Load);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "a part of its parent, which runs it under the library: cargo test -p geodynamo-rocks --test faults"]
async fn child_every_failure() {
    let faults = Faults::of_child();
    let home = tempfile::tempdir().unwrap();
    let mut store = Checked::new(home.path().join("db"), options());
    // A rule, and the load under which it is met. Those of CURRENT and OPTIONS are met while the store is opened anew after
    // the WAL has failed.
    let cases: &[Case] = &[
        (&[("write", ENOSPC, "*.log")], Trouble::NoRoom, Load::Both),
        (&[("half", ENOSPC, "*.log")], Trouble::NoRoom, Load::Both),
        (&[("write", EDQUOT, "*.log")], Trouble::NoRoom, Load::Both),
        (&[("write", EIO, "*.log")], Trouble::WritesFail, Load::Both),
        (&[("half", EIO, "*.log")], Trouble::WritesFail, Load::Both),
        (&[("write", EROFS, "*.log")], Trouble::ReadOnly, Load::Both),
        (&[("sync", EIO, "*.log")], Trouble::WritesFail, Load::Both),
        (&[("sync", ENOSPC, "*.log")], Trouble::NoRoom, Load::Both),
        (&[("sync", EDQUOT, "*.log")], Trouble::NoRoom, Load::Both),
        (
            &[
                ("write", EIO, EVERYTHING),
                ("sync", EIO, EVERYTHING),
                ("open", EIO, EVERYTHING),
            ],
            Trouble::WritesFail,
            Load::Both,
        ),
        (
            &[
                ("write", EROFS, EVERYTHING),
                ("sync", EROFS, EVERYTHING),
                ("open", EROFS, EVERYTHING),
            ],
            Trouble::ReadOnly,
            Load::Both,
        ),
        (&[("write", ENOSPC, "*.sst")], Trouble::NoRoom, Load::Rows),
        (&[("write", ENOSPC, "*.sst")], Trouble::NoRoom, Load::Records),
        (&[("write", EIO, "*.sst")], Trouble::WritesFail, Load::Rows),
        (&[("write", EIO, "*.sst")], Trouble::WritesFail, Load::Records),
        (&[("sync", EIO, "*.sst")], Trouble::WritesFail, Load::Rows),
        (&[("sync", EIO, "*.sst")], Trouble::WritesFail, Load::Records),
        (&[("open", EROFS, "*.sst")], Trouble::ReadOnly, Load::Both),
        (&[("write", ENOSPC, "*/MANIFEST-*")], Trouble::NoRoom, Load::Both),
        (&[("write", EIO, "*/MANIFEST-*")], Trouble::WritesFail, Load::Both),
        (&[("sync", EIO, "*/MANIFEST-*")], Trouble::WritesFail, Load::Both),
        (
            &[("sync", EIO, "*.log"), ("rename", EIO, "*/CURRENT")],
            Trouble::WritesFail,
            Load::Both,
        ),
        (
            &[("sync", EIO, "*.log"), ("write", ENOSPC, "*.dbtmp")],
            Trouble::WritesFail,
            Load::Both,
        ),
        (
            &[("sync", EIO, "*.log"), ("write", EIO, "*/OPTIONS-*")],
            Trouble::WritesFail,
            Load::Both,
        ),
        (
            &[
                ("sync", EIO, "*.log"),
                ("open", EIO, "*/MANIFEST-*"),
                ("write", EIO, "*.sst"),
            ],
            Trouble::WritesFail,
            Load::Both,
        ),
    ];
    for (rules, trouble, load) in cases {
        let begun = Instant::now();
        let when = format!("{rules:?} under {load:?}");
        for bytes in [100, 3_000, 40_000] {
            store.put(bytes, Load::Both).await.unwrap();
        }
        let recoveries = store.engine().metrics().recoveries;
        faults.set(rules);
        let mut refusal = None;
        for _ in 0..LARGE_MAX {
            if let Err(error) = store.put(LARGE, *load).await {
                refusal = Some(error);
                break;
            }
        }
        let as_told = |error: &StorageError| matches!(error, StorageError::Unwritable(told) if told == trouble);
        assert!(refusal.as_ref().is_some_and(as_told), "{when}: {refusal:?}");
        assert_eq!(store.engine().health().borrow().trouble(), Some(*trouble), "{when}");
        store.check(&format!("{when}, while it lasts")).await;
        // Opened anew while other files still fail, if they are others than the first rule's.
        if let [_, rest @ ..] = rules
            && !rest.is_empty()
            && rules[0].2 != EVERYTHING
        {
            faults.set(rest);
            tokio::time::sleep(Duration::from_millis(600)).await;
            assert!(
                store.engine().health().borrow().trouble().is_some(),
                "{when}: it cannot be opened"
            );
            store.check(&format!("{when}, opened for reading")).await;
        }
        assert!(store.put(10, Load::Both).await.is_err(), "{when}: it lasts");
        faults.set(&[]);
        store.wait_writable(&when).await;
        store.put(10, Load::Both).await.unwrap();
        assert!(
            store.engine().metrics().recoveries > recoveries,
            "{when}: it is counted"
        );
        store.check(&format!("{when}, after it")).await;
        eprintln!("{when}: {:?}", begun.elapsed());
    }
    store.reopen().await;
    store.check("after a restart").await;

    // What passes without anybody's doing.
    faults.set(&[("allocate", ENOSPC, EVERYTHING)]);
    for _ in 0..100 {
        store.put(LARGE, Load::Both).await.unwrap();
    }
    faults.set(&[]);

    // A read that fails is told to its reader.
    store.reopen().await;
    faults.set(&[("read", EIO, "*.sst")]);
    let failed = store.engine().metrics().reads_failed;
    assert!(!store.faults().await.is_empty());
    assert!(store.engine().metrics().reads_failed > failed);
    // A compaction may have been under way; it cannot read either, and writes wait for it.
    faults.set(&[]);
    let begun = Instant::now();
    loop {
        store.wait_writable("once reads succeed").await;
        match store.put(10, Load::Rows).await {
            Ok(()) => break,
            // Its failure may come to light only now.
            Err(StorageError::Unwritable(_)) => assert!(begun.elapsed() < DEADLINE, "once reads succeed"),
            Err(error) => panic!("once reads succeed: {error}"),
        }
    }
    store.check("once reads succeed").await;
}

#[tokio::test]
#[ignore = "a part of its parent, which runs it under the library: cargo test -p geodynamo-rocks --test faults"]
async fn child_given_up() {
    let faults = Faults::of_child();
    let home = tempfile::tempdir().unwrap();
    let options = RocksOptions {
        failures_max: 2,
        ..options()
    };
    let mut store = Checked::new(home.path().join("db"), options);
    for failure in 0..3 {
        store.put(100, Load::Both).await.unwrap();
        faults.set(&[("sync", EIO, "*.log")]);
        assert!(store.put(100, Load::Both).await.is_err());
        faults.set(&[]);
        if failure < 2 {
            store.wait_writable("twice it recovers").await;
        }
    }
    assert_eq!(store.engine().health().borrow().trouble(), Some(Trouble::Broken));
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert!(matches!(
        store.put(100, Load::Both).await,
        Err(StorageError::Unwritable(Trouble::Broken))
    ));
    store.check("reads go on").await;
    let snapshot = store.engine().snapshot();
    assert!(snapshot.get(&Checked::key(0)).await.unwrap().is_some());
    store.engine().close().await.unwrap();
}

#[tokio::test]
#[ignore = "a part of its parent, which runs it under the library: cargo test -p geodynamo-rocks --test faults"]
async fn child_acknowledges() {
    let faults = Faults::of_child();
    let home = tempfile::tempdir().unwrap();
    let options = RocksOptions {
        refuse_failed: false,
        ..options()
    };
    let mut store = Checked::new(home.path().join("db"), options);
    store.put(100, Load::Rows).await.unwrap();
    store.check("so far so good").await;
    faults.set(&[("sync", EIO, "*.log")]);
    store.put(100, Load::Rows).await.expect("it acknowledges what failed");
    faults.set(&[]);
    store.wait_writable("it goes on").await;
    store.reopen().await;
    let found = store.faults().await;
    assert_eq!(found, ["1 was acknowledged: Ok(false)"], "the check finds what is lost");
}
