//! Older copies of files, in the place of the files.

use geodynamo_seal::Keyring;

use super::*;
use crate::mark::Mark;

/// Copies a store, and what its mark says, to where a crash would have left them.
fn crash(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        if entry.file_name() != "LOCK" {
            fs::copy(entry.path(), to.join(entry.file_name())).unwrap();
        }
    }
    fs::copy(Mark::path(from), Mark::path(to)).unwrap();
}

#[tokio::test]
async fn an_older_copy_is_refused_and_left_as_it_is() {
    for seal in [None, Some(Keyring::in_memory().unwrap())] {
        let options = RocksOptions { seal, ..small() };
        let home = tempfile::tempdir().unwrap();
        let path = |name: &str| home.path().join(name);
        let engine = RocksEngine::open(path("db"), options.clone()).unwrap();
        for number in 0..10 {
            engine.commit(put(&format!("{number:02}"))).await.unwrap();
        }
        crash(&path("db"), &path("older"));
        for number in 10..20 {
            engine.commit(put(&format!("{number:02}"))).await.unwrap();
        }
        let rows = async |name: &str| {
            let engine = RocksEngine::open(path(name), options.clone())?;
            engine.scan(everything()).await.map(|page| page.rows.len())
        };
        let refused = async |name: &str, why: &str| match rows(name).await {
            Err(error) => assert!(error.to_string().contains(why), "{name}: {error}"),
            Ok(count) => panic!("{name} was opened with {count} rows"),
        };

        crash(&path("db"), &path("log"));
        let wal = newest_wal(&path("log"));
        let newer = fs::read(&wal).unwrap();
        fs::copy(path("older").join(wal.file_name().unwrap()), &wal).unwrap();
        refused("log", "an older copy").await;
        refused("log", "an older copy").await;
        fs::remove_file(&wal).unwrap();
        refused("log", "an older copy").await;
        fs::write(&wal, newer).unwrap();
        assert_eq!(rows("log").await.unwrap(), 20, "it was left as it was");
        assert_eq!(rows("log").await.unwrap(), 20);

        crash(&path("older"), &path("whole"));
        fs::copy(Mark::path(&path("db")), Mark::path(&path("whole"))).unwrap();
        refused("whole", "an older copy").await;
        // Without a mark nobody can tell.
        fs::remove_file(Mark::path(&path("whole"))).unwrap();
        assert_eq!(rows("whole").await.unwrap(), 10);

        engine.close().await.unwrap();
        drop(engine);
        assert_eq!(rows("db").await.unwrap(), 20);
        fs::rename(path("db"), path("elsewhere")).unwrap();
        refused("db", "is gone").await;
    }
}

/// Ten rows, and ten more in another table, until there are so many; the last ten are in the log alone.
async fn in_tables(engine: &RocksEngine, rows: std::ops::Range<u32>) {
    for number in rows.clone() {
        engine.commit(put(&format!("{number:02}"))).await.unwrap();
        if number % 10 == 9 && number + 1 < rows.end {
            engine.shared.holder.now().unwrap().flush(true).unwrap();
        }
    }
}

fn replace(from: &Path, to: &Path, begins: &str) {
    let mut count = 0;
    for entry in fs::read_dir(from).unwrap().map(|entry| entry.unwrap()) {
        if entry.file_name().to_string_lossy().starts_with(begins) {
            fs::copy(entry.path(), to.join(entry.file_name())).unwrap();
            count += 1;
        }
    }
    assert_eq!(count, 1, "{begins}");
}

/// An older manifest beside newer logs: what was written between them stands in tables that it does not know. As far as sequence
/// numbers go, all is there.
#[tokio::test]
async fn an_older_manifest_is_refused() {
    for seal in [None, Some(Keyring::in_memory().unwrap())] {
        let options = RocksOptions { seal, ..small() };
        let home = tempfile::tempdir().unwrap();
        let path = |name: &str| home.path().join(name);
        let engine = RocksEngine::open(path("db"), options.clone()).unwrap();
        in_tables(&engine, 0..11).await;
        crash(&path("db"), &path("older"));
        in_tables(&engine, 11..35).await;
        crash(&path("db"), &path("mixed"));
        crash(&path("db"), &path("whole"));
        replace(&path("older"), &path("mixed"), "MANIFEST");
        for _ in 0..2 {
            match RocksEngine::open(path("mixed"), options.clone()) {
                Err(error) => assert!(error.to_string().contains("the MANIFEST is an older copy"), "{error}"),
                Ok(_) => panic!("it was opened"),
            }
        }
        let rows = async |name: &str, options: &RocksOptions| {
            let engine = RocksEngine::open(path(name), options.clone()).unwrap();
            engine.scan(everything()).await.unwrap().rows.len()
        };
        assert_eq!(rows("whole", &options).await, 35);
        replace(&path("db"), &path("mixed"), "MANIFEST");
        assert_eq!(rows("mixed", &options).await, 35, "it was left as it was");

        // The negative control: where nobody looks, rows are lost without a word.
        crash(&path("db"), &path("unseen"));
        replace(&path("older"), &path("unseen"), "MANIFEST");
        let unseen = RocksOptions { sync: false, ..options };
        assert!(rows("unseen", &unseen).await < 35);
    }
}

/// Of two logs that are needed, the first one ends early, or is gone.
#[tokio::test]
async fn a_log_that_is_cut_off_before_another_is_refused() {
    let home = tempfile::tempdir().unwrap();
    let path = |name: &str| home.path().join(name);
    // Its format is in a table.
    RocksEngine::open(path("db"), small()).unwrap().close().await.unwrap();
    let engine = RocksEngine::open(path("db"), small()).unwrap();
    for number in 0..10 {
        engine.commit(put(&format!("{number:02}"))).await.unwrap();
    }
    let first = newest_wal(&path("db"));
    let store = engine.shared.holder.now().unwrap();
    // One family alone goes into a table: the log is needed for the others.
    let mut options = rocksdb::FlushOptions::default();
    options.set_wait(true);
    store.db().flush_cf_opt(store.family(DATA).unwrap(), &options).unwrap();
    drop(store);
    for number in 10..20 {
        engine.commit(put(&format!("{number:02}"))).await.unwrap();
    }
    assert_ne!(newest_wal(&path("db")), first, "there are two logs");
    crash(&path("db"), &path("whole"));
    assert_eq!(
        RocksEngine::open(path("whole"), small())
            .unwrap()
            .log_end(LogId(1))
            .await
            .unwrap(),
        Position(20)
    );
    let bytes = fs::read(&first).unwrap();
    let end = data_end(&first) as usize;
    for (number, left) in [0, end / 2, end - 1].into_iter().enumerate() {
        let name = format!("cut-{number}");
        crash(&path("db"), &path(&name));
        let log = path(&name).join(first.file_name().unwrap());
        fs::write(&log, &bytes[..left]).unwrap();
        match RocksEngine::open(path(&name), small()) {
            Err(error) => assert!(error.to_string().contains("a log is gone or was cut off"), "{error}"),
            Ok(_) => panic!("{left} bytes: it was opened"),
        }
    }
    // The negative control: where nobody looks, records are lost without a word, and the log goes on behind them.
    crash(&path("db"), &path("unseen"));
    fs::write(path("unseen").join(first.file_name().unwrap()), []).unwrap();
    let unseen = RocksOptions { sync: false, ..small() };
    let engine = RocksEngine::open(path("unseen"), unseen).unwrap();
    assert_eq!(engine.log_end(LogId(1)).await.unwrap(), Position(20));
    let records = engine.log_read(LogId(1), Position::START, 99, 1 << 20).await.unwrap();
    assert!(records.len() < 20);
}
