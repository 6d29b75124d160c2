//! What the engine tells of RocksDB's work.

use super::*;

#[tokio::test]
async fn blocks_that_are_in_the_cache_are_told_from_others() {
    let home = tempfile::tempdir().unwrap();
    let options = RocksOptions {
        row_cache_bytes: 0,
        ..small()
    };
    let engine = RocksEngine::open(home.path(), options.clone()).unwrap();
    for i in 0..100 {
        engine.commit(put(&i.to_string())).await.unwrap();
    }
    engine.close().await.unwrap();
    drop(engine);
    let engine = RocksEngine::open(home.path(), options).unwrap();
    let before = engine.metrics();
    engine.get(&key("7")).await.unwrap().unwrap();
    let first = engine.metrics();
    assert!(first.block_cache_misses > before.block_cache_misses, "{first:?}");
    for _ in 0..50 {
        engine.get(&key("7")).await.unwrap().unwrap();
    }
    let then = engine.metrics();
    assert_eq!(then.block_cache_misses, first.block_cache_misses);
    assert!(then.block_cache_hits >= first.block_cache_hits + 50, "{then:?}");
}

#[tokio::test]
async fn flushes_and_compactions_are_counted() {
    let home = tempfile::tempdir().unwrap();
    let engine = RocksEngine::open(home.path(), small()).unwrap();
    let before = engine.metrics();
    assert_eq!((before.flushed_bytes, before.compaction_read_bytes), (0, 0));
    // Two files with the same key, which are merged.
    for _ in 0..2 {
        engine.commit(put("7")).await.unwrap();
        engine.compact().await.unwrap();
    }
    let metrics = engine.metrics();
    assert!(
        metrics.flushed_bytes > 0 && metrics.compaction_read_bytes > 0 && metrics.compaction_written_bytes > 0,
        "{metrics:?}"
    );
}

/// A disk that takes flushes slowly: writes come to wait for it, and how long is told.
#[tokio::test]
async fn time_that_writes_are_stalled_is_told() {
    const WRITES_MAX: usize = 400;
    let home = tempfile::tempdir().unwrap();
    let options = RocksOptions {
        background_bytes_per_second: 4 << 20,
        memtable_bytes: 4 << 20,
        sync: false,
        ..small()
    };
    let engine = RocksEngine::open(home.path(), options).unwrap();
    let begun = Instant::now();
    let mut writes = 0;
    // A change of memtables alone takes a millisecond.
    while engine.metrics().stalled_seconds < 0.5 {
        writes += 1;
        assert!(writes < WRITES_MAX, "{:?}", engine.metrics());
        // What does not compress.
        let value: Vec<u8> = (0..128 * 1024_u32)
            .map(|at| (at.wrapping_mul(2_654_435_761).rotate_left(at % 31) >> 13) as u8 ^ writes as u8)
            .collect();
        let commit = Commit {
            writes: vec![Write::Put(key(&writes.to_string()), value.into())],
            ..Commit::default()
        };
        engine.commit(commit).await.unwrap();
    }
    let metrics = engine.metrics();
    assert!(metrics.stalled_seconds <= begun.elapsed().as_secs_f64(), "{metrics:?}");
    assert_eq!(metrics.sync_seconds.count(), 0, "nothing was synced");
    assert!(metrics.flushed_bytes > 1 << 20, "{metrics:?}");
}
