//! Reading all files, and writing single ones anew.

use super::*;
use crate::{ScrubPlace, Scrubbed};

const VALUE: usize = 2_000;

/// A store with some files of 300 rows each.
async fn filled(path: &Path, options: RocksOptions) -> RocksEngine {
    let engine = RocksEngine::open(path, options).unwrap();
    for part in 0..3 {
        let writes = (0..300).map(|row| {
            let noise = (0..VALUE as u64 / 8).flat_map(|word| {
                let mixed = (part * 1_000_000 + row * 1000 + word + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
                (mixed ^ (mixed >> 29)).to_be_bytes()
            });
            Write::Put(key(&format!("{part}-{row:05}")), noise.collect::<Vec<u8>>().into())
        });
        let commit = Commit {
            writes: writes.collect(),
            ..Commit::default()
        };
        engine.commit(commit).await.unwrap();
        engine.shared.holder.now().unwrap().flush(true).unwrap();
    }
    engine
}

/// All of it, step by step.
async fn scrub(engine: &RocksEngine) -> Vec<Scrubbed> {
    let mut place = ScrubPlace::default();
    let mut steps = Vec::new();
    loop {
        let step = engine.scrub(&mut place, 100_000).await.unwrap();
        steps.push(step.clone());
        assert!(steps.len() < 1000, "it does not end");
        if step.done {
            assert_eq!(place, ScrubPlace::default());
            return steps;
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_flipped_bit_is_found_and_the_rest_is_read() {
    let home = tempfile::tempdir().unwrap();
    let path = home.path().join("db");
    let engine = filled(&path, small()).await;
    let whole = scrub(&engine).await;
    assert!(whole.iter().all(|step| step.damage.is_none()));
    let bytes: u64 = whole.iter().map(|step| step.bytes).sum();
    assert!(bytes > 900 * VALUE as u64, "{bytes}");
    let files: Vec<_> = engine.shared.holder.now().unwrap().db().live_files().unwrap();
    let file = files.iter().find(|file| file.column_family_name == DATA).unwrap();
    let file = file.name.trim_start_matches('/').to_owned();
    engine.close().await.unwrap();
    drop(engine);

    let mut content = fs::read(path.join(&file)).unwrap();
    content[100_000] ^= 4;
    fs::write(path.join(&file), content).unwrap();
    let engine = RocksEngine::open(&path, small()).unwrap();
    let steps = scrub(&engine).await;
    let damaged: Vec<_> = steps.iter().filter_map(|step| step.damage.clone()).collect();
    assert_eq!(damaged.len(), 1, "{damaged:?}");
    assert_eq!(damaged[0].file.as_deref(), Some(&*file), "{damaged:?}");
    let left: u64 = steps.iter().map(|step| step.bytes).sum();
    assert!(left > bytes / 2, "the other files were read, too: {left} of {bytes}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn files_are_written_anew() {
    let home = tempfile::tempdir().unwrap();
    let path = home.path().join("db");
    let engine = filled(&path, small()).await;
    let names = || -> Vec<String> {
        let files = engine.shared.holder.now().unwrap().db().live_files().unwrap();
        let of_data = files.iter().filter(|file| file.column_family_name == DATA);
        of_data
            .map(|file| file.name.trim_start_matches('/').to_owned())
            .collect()
    };
    for _ in 0..2 {
        for file in names() {
            engine.rewrite(&file).await.unwrap();
        }
    }
    let last = names();
    for file in &last {
        assert!(engine.rewrite(file).await.unwrap() > 0);
        assert!(!names().contains(file), "{file} is still there");
        assert_eq!(engine.rewrite(file).await.unwrap(), 0, "it is gone");
    }
    let page = engine.scan(everything()).await.unwrap();
    assert_eq!(page.rows.len(), 900);
}
