//! The engine on encrypted files: it conforms, nothing is in the clear, no key stream is used twice, damage is found.

use std::{
    collections::BTreeMap,
    io::{BufRead, BufReader, Write as _},
    time::Duration,
};

use geodynamo_seal::{Keyring, LocalKey, Use, Witness};

use super::*;

/// What stands in keys, values and records.
const SECRET: &str = "planted-secret";
/// Bytes of a value, which no compressor makes shorter.
const VALUE: usize = 4_000;
/// What a writing child is told.
const WRITER: &str = "ROCKS_TEST_SEALED_WRITER";
const MODE: &str = "ROCKS_TEST_SEALED_MODE";
const ROUNDS: u64 = 4;
const WRITES: u64 = 700;

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn conforms() {
    let home = tempfile::tempdir().unwrap();
    let seal = Keyring::in_memory().unwrap();
    let count = std::sync::atomic::AtomicUsize::new(0);
    conformance::run(|| {
        let number = count.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        open_sealed(&home.path().join(number.to_string()), &seal)
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn conforms_across_restarts() {
    let home = tempfile::tempdir().unwrap();
    let seal = Keyring::in_memory().unwrap();
    conformance::run_reopen(|store| open_sealed(&home.path().join(store.to_string()), &seal)).await;
}

fn open_sealed(path: &Path, seal: &Keyring) -> RocksEngine {
    let options = RocksOptions {
        seal: Some(seal.clone()),
        ..small()
    };
    RocksEngine::open(path, options).unwrap()
}

/// Memtables are so small that WALs are written over soon.
fn tiny(seal: Option<Keyring>) -> RocksOptions {
    RocksOptions {
        memtable_bytes: 1 << 20,
        wal_bytes_max: 4 << 20,
        seal,
        ..small()
    }
}

fn value(number: u64) -> Bytes {
    let mut state = number.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut value = format!("{SECRET}-{number}").into_bytes();
    while value.len() < VALUE {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        value.extend_from_slice(&state.to_be_bytes());
    }
    value.into()
}

fn planted(number: u64) -> Commit {
    Commit {
        writes: vec![Write::Put(key(&format!("{SECRET}-key-{number:08}")), value(number))],
        appends: vec![Append {
            log: LogId(1),
            record: Bytes::from(format!("{SECRET}-record-{number}")),
        }],
        ..Commit::default()
    }
}

/// Writes every use of a key stream to a file, before it becomes one: what a killed process has used is there.
#[derive(Debug)]
struct Noted(fs::File);

impl Noted {
    fn in_file(path: &Path) -> Arc<Self> {
        let file = fs::OpenOptions::new().create(true).append(true).open(path).unwrap();
        Arc::new(Self(file))
    }
}

impl Witness for Noted {
    fn note(&self, of: Use) {
        let numbers = [of.stream, of.offset, of.bytes].map(u64::to_be_bytes);
        (&self.0).write_all(&numbers.concat()).unwrap();
    }
}

/// How many of the uses in a file overlap another one, and how many there are.
fn overlaps(path: &Path) -> (usize, usize) {
    let bytes = fs::read(path).unwrap();
    let number = |at: &[u8]| u64::from_be_bytes(at.try_into().unwrap());
    let mut streams: BTreeMap<u64, Vec<(u64, u64)>> = BTreeMap::new();
    for of in bytes.chunks_exact(24) {
        let (stream, offset, count) = (number(&of[..8]), number(&of[8..16]), number(&of[16..]));
        streams.entry(stream).or_default().push((offset, offset + count));
    }
    let mut found = 0;
    for uses in streams.values_mut() {
        uses.sort_unstable();
        found += uses.windows(2).filter(|pair| pair[0].1 > pair[1].0).count();
    }
    (found, bytes.len() / 24)
}

/// The keys of a story, which its processes share.
fn keys(home: &Path, mode: &str) -> Option<Keyring> {
    let region_key = LocalKey::parse("a test".into(), &"07".repeat(32)).unwrap();
    let path = home.join("keyring.json");
    let keyring = match mode {
        "plain" => return None,
        _ if path.exists() => Keyring::open(&path, &region_key).unwrap(),
        _ => Keyring::make(&path, &region_key).unwrap(),
    };
    let keyring = keyring.with_witness(Noted::in_file(&home.join("uses")));
    Some(if mode == "keeping" {
        keyring.keeping_salts()
    } else {
        keyring
    })
}

#[tokio::test]
#[ignore = "killed by its parents, which run it: cargo test -p geodynamo-rocks --lib tests::sealed"]
async fn child_writes() {
    let home = PathBuf::from(std::env::var_os(WRITER).expect("run by its parent only"));
    let seal = keys(&home, &std::env::var(MODE).unwrap());
    let engine = RocksEngine::open(home.join("db"), tiny(seal)).unwrap();
    let first = engine.log_end(LogId(1)).await.unwrap().0;
    for number in first.. {
        engine.commit(planted(number)).await.unwrap();
        eprintln!("acknowledged {number}");
    }
}

/// A store through load, turns of its memtables, WALs written over, kill -9, copies that are opened, compactions. All
/// that was acknowledged is there.
async fn story(home: &Path, mode: &str, rounds: u64) {
    let mut acknowledged = 0;
    for round in 0..rounds {
        let mut writer = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "tests::sealed::child_writes", "--ignored", "--nocapture"])
            .env(WRITER, home)
            .env(MODE, mode)
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let until = acknowledged + WRITES;
        for line in BufReader::new(writer.stderr.take().unwrap()).lines() {
            let line = line.unwrap();
            if let Some(number) = line.strip_prefix("acknowledged ") {
                acknowledged = number.parse::<u64>().unwrap() + 1;
                if acknowledged == until {
                    writer.kill().unwrap();
                }
            }
        }
        assert!(
            !writer.wait().unwrap().success() && acknowledged >= until,
            "killed at work"
        );
        // The copy goes its own way, from the same files.
        let copy = home.join(format!("copy-{round}"));
        fs::create_dir(&copy).unwrap();
        for entry in fs::read_dir(home.join("db")).unwrap() {
            let entry = entry.unwrap();
            fs::copy(entry.path(), copy.join(entry.file_name())).unwrap();
        }
        let engine = RocksEngine::open(&copy, tiny(keys(home, mode))).unwrap();
        for number in 0..acknowledged {
            let found = engine.get(&key(&format!("{SECRET}-key-{number:08}"))).await.unwrap();
            assert!(found == Some(value(number)), "{number} of {acknowledged}");
        }
        for number in 0..50 {
            engine.commit(planted(1_000_000 + number)).await.unwrap();
        }
        engine.shared.holder.now().unwrap().compact().unwrap();
        engine.close().await.unwrap();
    }
}

/// The kinds of files below a folder that hold the secret.
fn holders(home: &Path) -> Vec<String> {
    let mut found = std::collections::BTreeSet::new();
    for folder in fs::read_dir(home).unwrap().map(|entry| entry.unwrap().path()) {
        if !folder.is_dir() {
            continue;
        }
        for path in fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()) {
            let content = fs::read(&path).unwrap();
            if memchr_of(&content, SECRET.as_bytes()) {
                let name = path.file_name().unwrap().to_string_lossy().into_owned();
                found.insert(
                    name.trim_start_matches(|letter: char| letter.is_ascii_digit())
                        .to_owned(),
                );
            }
        }
    }
    found
        .into_iter()
        .map(|name| name.split('-').next().unwrap_or_default().to_owned())
        .collect()
}

fn memchr_of(content: &[u8], text: &[u8]) -> bool {
    content.windows(text.len()).any(|window| window == text)
}

#[tokio::test]
async fn nothing_is_in_the_clear_and_no_key_stream_is_used_twice() {
    let home = tempfile::tempdir().unwrap();
    story(home.path(), "sealed", ROUNDS).await;
    assert_eq!(holders(home.path()), [""; 0]);
    let (found, uses) = overlaps(&home.path().join("uses"));
    assert_eq!(found, 0, "of {uses}");
    assert!(uses > usize::try_from(ROUNDS * WRITES).unwrap(), "{uses}");
}

/// The negative control of the search.
#[tokio::test]
async fn without_encryption_all_is_found() {
    let home = tempfile::tempdir().unwrap();
    story(home.path(), "plain", 1).await;
    let found = holders(home.path());
    for kind in [".log", ".sst", "MANIFEST"] {
        assert!(found.iter().any(|name| name == kind), "{kind} is not among {found:?}");
    }
}

/// The negative control of the search for overlaps.
#[tokio::test]
async fn writing_wals_over_without_a_new_salt_is_caught() {
    let home = tempfile::tempdir().unwrap();
    // What it makes of its data is of no interest.
    let story = tokio::time::timeout(Duration::from_secs(60), story(home.path(), "keeping", 1));
    story.await.unwrap();
    assert!(overlaps(&home.path().join("uses")).0 > 0);
}

#[tokio::test]
async fn keys_and_stores_must_go_together() {
    let home = tempfile::tempdir().unwrap();
    let refused = |path: &Path, options: RocksOptions, expect: &str| match RocksEngine::open(path, options) {
        Err(StorageError::Io(text)) => assert!(text.contains(expect), "{text}"),
        other => panic!("to be refused with “{expect}”: {other:?}"),
    };
    let seal = Keyring::in_memory().unwrap();
    let (sealed, plain) = (home.path().join("sealed"), home.path().join("plain"));
    open_sealed(&sealed, &seal).commit(put("a")).await.unwrap();
    open(&plain).commit(put("a")).await.unwrap();
    refused(&sealed, small(), "encrypted, and there is no key");
    refused(&plain, tiny(Some(seal.clone())), "is not encrypted");
    refused(&sealed, tiny(Some(Keyring::in_memory().unwrap())), "not in the keyring");
    assert!(open_sealed(&sealed, &seal).get(&key("a")).await.unwrap().is_some());
    assert!(open(&plain).get(&key("a")).await.unwrap().is_some());
}

/// Flips bits in every kind of file of a store. Each is told of, or does no harm: what is read is what was written, and all of
/// it. Of the last batch alone nobody can tell whether it was ever whole.
#[tokio::test]
async fn flipped_bits_never_give_other_data() {
    flip(
        Some(Keyring::in_memory().unwrap()),
        &[".log", ".sst", "MANIFEST", "CURRENT"],
    )
    .await;
}

#[tokio::test]
async fn flipped_bits_of_plain_logs_are_told_of() {
    flip(None, &[".log"]).await;
}

/// `kinds`: of which bits must be told of; all kinds are tried if the store is encrypted.
async fn flip(seal: Option<Keyring>, kinds: &[&str]) {
    const ROWS: u64 = 60;
    const FLIPS: u64 = 14;
    let home = tempfile::tempdir().unwrap();
    let whole = home.path().join("db");
    let engine = RocksEngine::open(&whole, tiny(seal.clone())).unwrap();
    for number in 0..ROWS / 2 {
        engine.commit(planted(number)).await.unwrap();
    }
    engine.shared.holder.now().unwrap().flush(true).unwrap();
    for number in ROWS / 2..ROWS {
        engine.commit(planted(number)).await.unwrap();
    }
    let image = copy_of(&whole);
    drop(engine);
    let (mut told, mut harmless) = (BTreeMap::new(), 0);
    for file in fs::read_dir(image.path()).unwrap().map(|entry| entry.unwrap()) {
        let name = file.file_name().to_string_lossy().into_owned();
        let length = file.metadata().unwrap().len();
        let kind = name.trim_start_matches(|letter: char| letter.is_ascii_digit());
        let kind = kind.split('-').next().unwrap_or_default().to_owned();
        if seal.is_none() && !kinds.contains(&&*kind) {
            continue;
        }
        for flip in 0..FLIPS.min(length) {
            // Some in the header, the others all over the file.
            let at = if flip < 5 { flip * 25 } else { length * flip / FLIPS };
            let copy = copy_of(image.path());
            let path = copy.path().join(&name);
            let mut content = fs::read(&path).unwrap();
            content[usize::try_from(at.min(length - 1)).unwrap()] ^= 1 << (flip % 8);
            fs::write(&path, content).unwrap();
            let outcome = read_all(copy.path(), seal.as_ref(), ROWS).await;
            match outcome {
                Err(_) => *told.entry(kind.clone()).or_insert(0) += 1,
                Ok(found) => {
                    let last = kind == ".log" && found == ROWS - 1 && at > length / ROWS * (ROWS - 3);
                    assert!(
                        found == ROWS || last,
                        "{name} at {at} of {length}: {found} of {ROWS} rows"
                    );
                    harmless += 1;
                }
            }
        }
    }
    for kind in kinds {
        assert!(
            told.contains_key(*kind),
            "{told:?} were told of, {harmless} did no harm"
        );
    }
    assert!(told[".log"] >= 10, "{told:?}");
}

/// Opens a store and reads all of it; gives how many rows there are.
async fn read_all(path: &Path, seal: Option<&Keyring>, rows: u64) -> Result<u64, StorageError> {
    let engine = RocksEngine::open(path, tiny(seal.cloned()))?;
    let mut found = 0;
    for number in 0..rows {
        if let Some(row) = engine.get(&key(&format!("{SECRET}-key-{number:08}"))).await? {
            assert!(row == value(number), "{number}");
            found += 1;
        }
    }
    let page = engine.scan(everything()).await?;
    assert_eq!(page.rows.len() as u64, found);
    let records = engine
        .log_read(LogId(1), Position::START, usize::MAX, usize::MAX)
        .await?;
    for (number, record) in records.iter().enumerate() {
        assert_eq!(record.record, format!("{SECRET}-record-{number}"));
    }
    Ok(found)
}
