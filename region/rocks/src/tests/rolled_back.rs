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
