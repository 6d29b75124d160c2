use std::{
    collections::BTreeMap,
    fs,
    path::Path,
    sync::{Arc, Mutex},
};

use geodynamo_seal::{Use, Witness};
use rocksdb::{DB, Options, WriteBatch, WriteOptions};

use super::*;

/// What uses of key streams it was told of.
#[derive(Debug, Default)]
struct Uses(Mutex<Noted>);

#[derive(Debug, Default)]
struct Noted {
    /// By stream and first byte, where they end.
    ends: BTreeMap<(u64, u64), u64>,
    /// Those that overlap an earlier one.
    overlaps: u64,
    count: u64,
}

impl Witness for Uses {
    fn note(&self, of: Use) {
        let mut noted = self.0.lock().unwrap();
        let end = of.offset + of.bytes;
        let before = noted.ends.range(..(of.stream, end)).next_back();
        if before.is_some_and(|((stream, _), before_end)| *stream == of.stream && *before_end > of.offset) {
            noted.overlaps += 1;
        }
        noted.ends.insert((of.stream, of.offset), end);
        noted.count += 1;
    }
}

impl Uses {
    fn overlaps(&self) -> u64 {
        self.0.lock().unwrap().overlaps
    }
}

fn options(env: &Env) -> Options {
    let mut options = Options::default();
    options.create_if_missing(true);
    options.set_env(env);
    options.set_recycle_log_file_num(2);
    options.set_write_buffer_size(64 << 10);
    options
}

fn write(db: &DB, round: u64) {
    for number in 0..20_u64 {
        let mut batch = WriteBatch::default();
        batch.put(
            number.to_be_bytes(),
            format!("planted-secret-{round}-{number}-{}", "x".repeat(2000)),
        );
        let mut sync = WriteOptions::default();
        sync.set_sync(true);
        db.write_opt(batch, &sync).unwrap();
    }
}

fn holds(folder: &Path, text: &[u8]) -> Vec<String> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let content = fs::read(&path).unwrap();
        if content.windows(text.len()).any(|window| window == text) {
            found.push(path.file_name().unwrap().to_string_lossy().into_owned());
        }
    }
    found
}

/// Loads, flushes, writes WALs over, opens again; a copy of the folder is opened, too. Gives what was noted.
fn story(keyring: Keyring, home: &Path) -> Arc<Uses> {
    let uses = Arc::new(Uses::default());
    let env = sealed(keyring.with_witness(uses.clone()));
    let path = home.join("db");
    for round in 0..4 {
        let db = DB::open(&options(&env), &path).unwrap();
        for flush in 0..6 {
            write(&db, 10 * round + flush);
            db.flush().unwrap();
        }
        write(&db, 10 * round + 9);
        assert!(db.get(7_u64.to_be_bytes()).unwrap().is_some());
        // As a crash leaves it: the copy's WAL was never closed.
        let copy = home.join(format!("copy-{round}"));
        fs::create_dir(&copy).unwrap();
        for entry in fs::read_dir(&path).unwrap() {
            let from = entry.unwrap().path();
            fs::copy(&from, copy.join(from.file_name().unwrap())).unwrap();
        }
        for newest in [10 * round + 9, 1000] {
            let copied = DB::open(&options(&env), &copy).unwrap();
            let last = copied.get(19_u64.to_be_bytes()).unwrap().unwrap();
            assert!(last.starts_with(format!("planted-secret-{newest}-19").as_bytes()));
            write(&copied, 1000);
        }
        db.compact_range(None::<&[u8]>, None::<&[u8]>);
    }
    uses
}

#[test]
fn nothing_is_in_the_clear_and_no_key_stream_is_used_twice() {
    let home = tempfile::tempdir().unwrap();
    let uses = story(Keyring::in_memory().unwrap(), home.path());
    assert_eq!(uses.overlaps(), 0);
    assert!(uses.0.lock().unwrap().count > 500, "uses were noted");
    for folder in ["db", "copy-0", "copy-3"] {
        for text in [
            &b"planted-secret"[..],
            b"leveldb.Bytewise",
            b"RocksDB version",
            b"MANIFEST-",
        ] {
            assert_eq!(holds(&home.path().join(folder), text), [""; 0], "{folder}");
        }
    }
}

/// The negative control of the test for overlaps.
#[test]
fn writing_over_without_a_new_salt_is_caught() {
    let home = tempfile::tempdir().unwrap();
    let uses = story(Keyring::in_memory().unwrap().keeping_salts(), home.path());
    assert!(uses.overlaps() > 0);
}

/// The negative control of the search for texts.
#[test]
fn without_encryption_all_is_found() {
    let home = tempfile::tempdir().unwrap();
    let env = Env::new().unwrap();
    let db = DB::open(&options(&env), home.path()).unwrap();
    write(&db, 0);
    db.flush().unwrap();
    write(&db, 1);
    for text in [
        &b"planted-secret"[..],
        b"leveldb.Bytewise",
        b"RocksDB version",
        b"MANIFEST-",
    ] {
        assert!(!holds(home.path(), text).is_empty());
    }
}

#[test]
fn another_keyring_opens_nothing_and_changes_nothing() {
    let home = tempfile::tempdir().unwrap();
    let env = sealed(Keyring::in_memory().unwrap());
    let db = DB::open(&options(&env), home.path()).unwrap();
    write(&db, 0);
    drop(db);
    let content = || {
        let files = fs::read_dir(home.path()).unwrap().map(|entry| entry.unwrap().path());
        let mut files: Vec<_> = files
            .filter(|path| !path.file_name().unwrap().to_string_lossy().starts_with("LOG"))
            .map(|path| (path.clone(), fs::read(path).unwrap()))
            .collect();
        files.sort();
        files
    };
    let before = content();
    let mut other = options(&sealed(Keyring::in_memory().unwrap()));
    let error = DB::open(&other, home.path()).unwrap_err().to_string();
    assert!(error.contains("not in the keyring"), "{error}");
    other.set_env(&Env::new().unwrap());
    DB::open(&other, home.path()).unwrap_err();
    assert!(content() == before);
    let db = DB::open(&options(&env), home.path()).unwrap();
    assert!(db.get(7_u64.to_be_bytes()).unwrap().is_some());
}
