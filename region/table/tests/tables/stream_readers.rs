//! Who reads streams: how often they may, and what is counted of them.

use geodynamo_storage::{MemoryEngine, Spanning};
use geodynamo_table::{CreateTable, Shard, ShardPlace, StreamError, Tables};

use crate::{
    streams::{BOTH, all, shards, stream, with_stream},
    support::{NOW, Time, definition, key, options, put},
};

#[tokio::test]
async fn a_shard_may_be_read_only_so_often_in_a_second() {
    let time = Time::at(NOW);
    let mut options = options("a", &["a"], &time);
    options.streams.reads_per_second = 2;
    let tables = Tables::open(MemoryEngine::new(Spanning::Yes), options).await.unwrap();
    let create = CreateTable {
        stream: Some(BOTH),
        ..definition("t")
    };
    tables.catalog().create_table(create).await.unwrap();
    let name = stream(&tables);
    let shards = shards(&tables, &name);
    let iterator = async |at: usize| {
        let shard: &Shard = &shards[at];
        tables
            .streams()
            .shard_iterator(&name, &shard.id, ShardPlace::Latest)
            .await
            .unwrap()
    };
    let (first, second) = (iterator(0).await, iterator(1).await);
    for _ in 0..2 {
        tables.streams().stream_records(&name, &first, 1).await.unwrap();
    }
    let often = tables.streams().stream_records(&name, &first, 1).await;
    assert!(matches!(often, Err(StreamError::TooOften)));
    tables.streams().stream_records(&name, &second, 1).await.unwrap();
    time.set(NOW + 1000);
    tables.streams().stream_records(&name, &first, 1).await.unwrap();
}

/// What metrics tell of readers: how old the last record was that they were given.
#[tokio::test]
async fn how_far_readers_are_behind_is_counted() {
    let (tables, time) = with_stream(Spanning::Yes, BOTH).await;
    let counts = || {
        let all = tables.local().table_counts().into_iter();
        all.filter(|counts| counts.name == "t").find_map(|counts| counts.stream)
    };
    assert_eq!(counts(), None, "nobody has read it");
    for number in 0..3 {
        put(&tables, "t", key("k", number)).await;
    }
    time.set(NOW + 45_000);
    let records = all(&tables, &stream(&tables)).await;
    assert_eq!(records.len(), 3);
    let read = counts().unwrap();
    assert_eq!(read.records, 3);
    assert_eq!(
        read.bytes,
        records.iter().map(|record| record.size_bytes as u64).sum::<u64>()
    );
    // Calls that gave records gave some of 45 s ago; those that found nothing more were at the end.
    let late = read.age.classic[read.age.bounds.partition_point(|bound| *bound < 45.0)];
    assert!(late > 0 && late <= 3, "{read:?}");
    assert_eq!(read.age.sum, late as f64 * 45.0);
    assert_eq!(read.age.classic[0], read.age.count() - late);
}
