//! Trimming: a log keeps what a link or a stream still needs, and nothing else.

use geodynamo_replicator_core::{LogId, Position, TableId};
use geodynamo_storage::{Engine, MemoryEngine, Spanning};
use geodynamo_table::{
    SHARD_MS, STREAM_RETENTION_MS, ShardPlace, StreamError, Tables, UpdateTable, schema::StreamView,
};

use crate::{
    regions::{Regions, batches},
    replication::STREAM_SPACE,
    streams::{all, read, shards, stream, with_stream},
    support::{MODES, NOW, Region, alone, key, n, options, put, with},
};

/// How many records the logs of the table `t` hold.
async fn held(region: &Region) -> usize {
    let mut held = 0;
    for log in logs(region) {
        held += region
            .logs()
            .read_log(log, Position::START, usize::MAX, usize::MAX)
            .await
            .unwrap()
            .len();
    }
    held
}

fn logs(region: &Region) -> Vec<LogId> {
    let table = region.table("t").unwrap();
    let partitions = 0..table.partitions().partitions();
    let log = |partition| LogId::of(region.replica(), TableId(table.id()), partition);
    partitions.map(log).collect()
}

#[tokio::test]
async fn a_log_that_nobody_reads_is_trimmed_whole() {
    for mode in MODES {
        let (tables, _) = alone(mode).await;
        for number in 0..20 {
            put(&tables, "t", key("k", number)).await;
        }
        assert_eq!(held(&tables).await, 20);
        tables.streams().trim_logs().await.unwrap();
        assert_eq!(held(&tables).await, 0);
        put(&tables, "t", key("k", 20)).await;
        assert_eq!(held(&tables).await, 1, "it goes on behind what was trimmed");
    }
}

#[tokio::test]
async fn a_log_keeps_what_a_peer_has_not_applied() {
    for mode in MODES {
        let mut regions = Regions::with_table(mode, &["a", "b", "c"]).await;
        for number in 0..10 {
            put(&regions.all[0], "t", key("k", number)).await;
        }
        // Long after the stream's retention: only the peers' cursors hold the log now.
        regions
            .times
            .iter()
            .for_each(|time| time.set(NOW + 3 * STREAM_RETENTION_MS));
        let (a, b, c) = (&regions.all[0], &regions.all[1], &regions.all[2]);
        a.streams().trim_logs().await.unwrap();
        assert_eq!(held(a).await, 10, "neither peer has anything");
        // One of the peers has all of it, the other half of it.
        for to in [b, c] {
            for mut batch in batches(a, to).await {
                if batch.log.table.0 != a.table("t").unwrap().id() {
                    continue;
                }
                if to.region() == "c" {
                    batch.up_to = Position(5);
                    batch.deltas.truncate(5);
                }
                let (log, up_to) = (batch.log.log, batch.up_to);
                to.merge().apply(batch).await.unwrap();
                a.logs().acked(to.region(), log, up_to);
            }
        }
        a.streams().trim_logs().await.unwrap();
        assert_eq!(held(a).await, 5, "the slower peer's cursor counts");

        // After a restart it is not known what the peers have, until they say so: nothing goes.
        regions.restart(0).await;
        let a = &regions.all[0];
        a.streams().trim_logs().await.unwrap();
        assert_eq!(held(a).await, 5);
        put(a, "t", key("k", 10)).await;
        a.streams().trim_logs().await.unwrap();
        assert_eq!(held(a).await, 6);
        regions.settle().await;
        assert_eq!(regions.agree_on_digests("t").await, 11);
        let time = NOW + 5 * STREAM_RETENTION_MS;
        regions.times.iter().for_each(|clock| clock.set(time));
        let a = &regions.all[0];
        a.streams().trim_logs().await.unwrap();
        assert_eq!(held(a).await, 0);
    }
}

#[tokio::test]
async fn a_log_is_held_for_a_region_that_is_joining() {
    for mode in MODES {
        let regions = Regions::new(mode, &["a", "b"]).await;
        let (a, b) = (&regions.all[0], &regions.all[1]);
        a.catalog().create_table(crate::support::definition("t")).await.unwrap();
        put(a, "t", key("k", 1)).await;
        let update = UpdateTable {
            replica_creates: vec!["b".into()],
            ..UpdateTable::default()
        };
        a.catalog().update_table("t", update).await.unwrap();
        a.background().reconcile().await.unwrap();
        // It is far behind already when it begins.
        put(a, "t", key("k", 2)).await;
        regions.times[0].set(NOW + 2 * STREAM_RETENTION_MS);
        a.streams().trim_logs().await.unwrap();
        assert_eq!(held(a).await, 2, "what it may still need stays");
        regions.settle().await;
        assert_eq!(b.describe("t").unwrap().items, 2);
        // Its links begin where the copy did; it says so with the first thing that it gets.
        for number in 3..20 {
            put(a, "t", key(&number.to_string(), number)).await;
        }
        regions.settle().await;
        regions.times[0].set(NOW + 4 * STREAM_RETENTION_MS);
        a.streams().trim_logs().await.unwrap();
        assert_eq!(held(a).await, 0);
    }
}

#[tokio::test]
async fn a_stream_keeps_its_records_for_a_day() {
    for mode in MODES {
        let (tables, time) = with_stream(mode, StreamView::KeysOnly).await;
        let name = stream(&tables);
        for hour in 0..30_u64 {
            time.set(NOW + hour * 3_600_000);
            put(&tables, "t", with(key("k", 1), "x", n(hour as i64))).await;
            tables.streams().roll_streams().await.unwrap();
            tables.streams().trim_logs().await.unwrap();
        }
        // Of the hours 0 to 29, the first 5 are a day old or older at hour 29.
        let records = all(&tables, &name).await;
        let hours: Vec<_> = records
            .iter()
            .map(|record| (record.created_ms / 1000 - NOW / 1000) / 3600)
            .collect();
        assert_eq!(hours, (5..30).collect::<Vec<_>>());
        assert_eq!(held(&tables).await, 25);
        // The first generation ended more than a day ago; its children still name it.
        let shards = shards(&tables, &name);
        assert_eq!(shards.len(), 7 * 4);
        assert!(shards.iter().all(|shard| shard.parent.is_some()));
        let again = Tables::open(tables.engine().crash(), options("a", &["a"], &time))
            .await
            .unwrap();
        assert_eq!(all(&again, &name).await, records);
        assert_eq!(super::streams::shards(&again, &name), shards);
    }
}

#[tokio::test]
async fn reading_what_was_trimmed_is_refused() {
    for mode in MODES {
        let (tables, time) = with_stream(mode, StreamView::KeysOnly).await;
        let name = stream(&tables);
        put(&tables, "t", with(key("k", 1), "x", n(1))).await;
        time.set(NOW + SHARD_MS / 2);
        put(&tables, "t", with(key("k", 1), "x", n(2))).await;
        let records = all(&tables, &name).await;
        let mut shard = None;
        for candidate in shards(&tables, &name) {
            if !read(&tables, &name, &candidate.id, ShardPlace::TrimHorizon)
                .await
                .unwrap()
                .0
                .is_empty()
            {
                shard = Some(candidate);
            }
        }
        let shard = shard.unwrap();
        let iterator = async |place| tables.streams().shard_iterator(&name, &shard.id, place).await;
        // A retention later than the first record; iterators that were given out a minute before.
        time.set(NOW + STREAM_RETENTION_MS - 60_000);
        let early = iterator(ShardPlace::At(&records[0].sequence)).await.unwrap();
        let horizon = iterator(ShardPlace::TrimHorizon).await.unwrap();
        time.set(NOW + STREAM_RETENTION_MS + 1);
        tables.streams().trim_logs().await.unwrap();
        let refused = tables.streams().stream_records(&name, &early, 10).await;
        assert!(matches!(refused, Err(StreamError::Trimmed)));
        for place in [
            ShardPlace::At(&records[0].sequence),
            ShardPlace::At(&shard.start),
            ShardPlace::After(&shard.start),
        ] {
            let refused = iterator(place).await;
            assert!(matches!(refused, Err(StreamError::Trimmed)), "{place:?}");
        }
        for iterator in [
            horizon,
            iterator(ShardPlace::After(&records[0].sequence)).await.unwrap(),
            iterator(ShardPlace::At(&records[1].sequence)).await.unwrap(),
            iterator(ShardPlace::Time(NOW)).await.unwrap(),
        ] {
            let found = tables.streams().stream_records(&name, &iterator, 10).await.unwrap();
            assert_eq!(found.records, records[1..]);
        }
        // The same after a restart, which finds the horizon again by what is left.
        let again = Tables::open(tables.engine().crash(), options("a", &["a"], &time))
            .await
            .unwrap();
        let refused = again
            .streams()
            .shard_iterator(&name, &shard.id, ShardPlace::At(&records[0].sequence))
            .await;
        assert!(matches!(refused, Err(StreamError::Trimmed)));
    }
}

/// A peer that is cut off for longer than the retention: the log stays for it, the stream shows it no more.
#[tokio::test]
async fn a_stream_hides_what_is_too_old_though_the_log_holds_it() {
    let regions = Regions::with_table(Spanning::Yes, &["a", "b"]).await;
    let a = &regions.all[0];
    put(a, "t", key("k", 1)).await;
    assert_eq!(all(a, &stream(a)).await.len(), 1);
    regions.times[0].set(NOW + STREAM_RETENTION_MS + 1);
    a.streams().trim_logs().await.unwrap();
    assert_eq!((held(a).await, all(a, &stream(a)).await.len()), (1, 0));
    regions.settle().await;
    assert!(super::support::get(&regions.all[1], "t", &key("k", 1)).await.is_some());
}

#[tokio::test]
async fn nothing_is_left_of_a_deleted_tables_stream() {
    for mode in MODES {
        let (tables, time) = with_stream(mode, StreamView::NewImage).await;
        for number in 0..10 {
            put(&tables, "t", key("k", number)).await;
        }
        let logs = logs(&tables);
        let left = async |tables: &Region| {
            let mut left = 0;
            for log in &logs {
                left += tables
                    .logs()
                    .read_log(*log, Position::START, usize::MAX, usize::MAX)
                    .await
                    .unwrap()
                    .len();
            }
            left
        };
        tables.catalog().delete_table("t").await.unwrap();
        tables.background().reconcile().await.unwrap();
        tables.streams().trim_logs().await.unwrap();
        assert_eq!(left(&tables).await, 10);
        // Not even if the process did not run when the time came.
        time.set(NOW + STREAM_RETENTION_MS);
        let again = Tables::open(tables.engine().crash(), options("a", &["a"], &time))
            .await
            .unwrap();
        again.streams().trim_logs().await.unwrap();
        assert_eq!(left(&again).await, 0);
        assert!(again.streams().list_streams(None, None, 1).streams.is_empty());
        let rows = MemoryEngine::scan(again.engine(), everything_of_streams())
            .await
            .unwrap()
            .rows;
        assert!(rows.is_empty());
    }
}

fn everything_of_streams() -> geodynamo_storage::Scan {
    use std::ops::Bound;
    geodynamo_storage::Scan {
        from: Bound::Included(vec![STREAM_SPACE].into()),
        to: Bound::Excluded(vec![STREAM_SPACE + 1].into()),
        direction: geodynamo_storage::Direction::Forward,
        rows_max: usize::MAX,
        bytes_max: usize::MAX,
        once: false,
    }
}
