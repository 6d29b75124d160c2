//! Streams that begin, end and turn to new shards while writes, readers and crashes go on.

use std::collections::{BTreeMap, btree_map::Entry};

use geodynamo_item::Item;
use geodynamo_storage::{Engine, MemoryEngine, Spanning};
use geodynamo_table::{EventKind, SHARD_MS, ShardPlace, StreamError, Tables, schema::StreamView};

use crate::{
    streams::{BOTH, all, read, shards, stream, switch, with_stream},
    support::{MODES, NOW, get, handed_over, key, n, options, put, wait_for, with},
};

/// Writers, a clock that makes shards old, and a reader of all shards at once: each write is read once, whichever shard
/// it fell into.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn each_record_is_in_one_shard_whatever_happens_at_once() {
    const WRITERS: i64 = 4;
    const WRITES: i64 = 150;
    let (tables, time) = with_stream(Spanning::Yes, StreamView::NewImage).await;
    let name = stream(&tables);
    let mut writers = tokio::task::JoinSet::new();
    for writer in 0..WRITERS {
        let tables = std::sync::Arc::clone(&tables);
        writers.spawn(async move {
            for number in 0..WRITES {
                put(&tables, "t", with(key("k", writer), "x", n(number))).await;
                tokio::task::yield_now().await;
            }
        });
    }
    let mut found: BTreeMap<String, Vec<(String, Item)>> = BTreeMap::new();
    // A shard's place, or none at its end.
    let mut places: BTreeMap<String, Option<String>> = BTreeMap::new();
    for round in 0.. {
        let written = writers.is_empty();
        if round < 100 {
            time.set(NOW + SHARD_MS * round);
        }
        let rolls = tokio::spawn({
            let tables = std::sync::Arc::clone(&tables);
            async move { tables.streams().roll_streams().await }
        });
        for shard in shards(&tables, &name) {
            if let Entry::Vacant(place) = places.entry(shard.id) {
                let begin = tables
                    .streams()
                    .shard_iterator(&name, place.key(), ShardPlace::TrimHorizon)
                    .await;
                place.insert(Some(begin.unwrap()));
            }
        }
        for (shard, place) in &mut places {
            let Some(iterator) = place.take() else { continue };
            // What the clock has made too old for an iterator is asked for again: nothing of it was lost.
            let page = match tables.streams().stream_records(&name, &iterator, 1000).await {
                Err(StreamError::Expired) => {
                    let last = found.get(shard).and_then(|records| records.last());
                    let from = last.map_or(ShardPlace::TrimHorizon, |(number, _)| ShardPlace::After(number));
                    let iterator = tables.streams().shard_iterator(&name, shard, from).await.unwrap();
                    tables.streams().stream_records(&name, &iterator, 1000).await.unwrap()
                }
                page => page.unwrap(),
            };
            let records = page.records.into_iter();
            let records = records.map(|record| (record.sequence, record.new.unwrap().decode().unwrap()));
            found.entry(shard.clone()).or_default().extend(records);
            *place = page.next;
        }
        rolls.await.unwrap().unwrap();
        while let Some(done) = writers.try_join_next() {
            done.unwrap();
        }
        if written && round >= 100 {
            break;
        }
    }
    assert!(places.len() > 4 * 20, "there were many generations: {}", places.len());
    // Shards in the order of their ids are generations in their order.
    let mut by_writer: BTreeMap<String, Vec<Item>> = BTreeMap::new();
    for (_, item) in found.into_values().flatten() {
        by_writer.entry(format!("{:?}", item.get("s"))).or_default().push(item);
    }
    assert_eq!(by_writer.len(), WRITERS as usize);
    for items in by_writer.into_values() {
        let values: Vec<_> = items.iter().map(|item| item.get("x").cloned().unwrap()).collect();
        assert_eq!(values, (0..WRITES).map(n).collect::<Vec<_>>(), "each once, in order");
    }
}

/// A write that was prepared while there was no stream, and is durable after the setting: it is before the stream.
#[tokio::test]
async fn a_write_under_way_when_a_stream_begins_is_before_it() {
    let (tables, _) = with_stream(Spanning::Yes, StreamView::KeysOnly).await;
    switch(&tables, None).await;
    put(&tables, "t", key("k", 0)).await;
    tokio::task::yield_now().await;
    tables.engine().hold();
    let switching = tokio::spawn({
        let tables = std::sync::Arc::clone(&tables);
        async move { switch(&tables, Some(StreamView::NewImage)).await }
    });
    handed_over(&tables, 1).await;
    let writing = tokio::spawn({
        let tables = std::sync::Arc::clone(&tables);
        async move { put(&tables, "t", key("k", 1)).await }
    });
    handed_over(&tables, 2).await;
    tables.engine().sync_first(1);
    for _ in 0..1000 {
        tokio::task::yield_now().await;
    }
    assert!(!switching.is_finished());
    while !(switching.is_finished() && writing.is_finished()) {
        tables.engine().sync();
        tokio::task::yield_now().await;
    }
    let after = tokio::spawn({
        let tables = std::sync::Arc::clone(&tables);
        async move { put(&tables, "t", key("k", 2)).await }
    });
    while !after.is_finished() {
        tables.engine().sync();
        tokio::task::yield_now().await;
    }
    let records = all(&tables, &stream(&tables)).await;
    let shown: Vec<_> = records
        .into_iter()
        .map(|record| record.new.map(|new| new.decode().unwrap()))
        .collect();
    assert_eq!(shown, [Some(key("k", 2))]);
}

/// A write that was handed over before its shard's successor, and is durable before that is: it is the successor's, and
/// nobody has read it in the shard before.
#[tokio::test]
async fn a_record_at_the_turn_of_shards_is_in_the_later_one_only() {
    let (tables, time) = with_stream(Spanning::Yes, BOTH).await;
    let name = stream(&tables);
    time.set(NOW + SHARD_MS);
    // The clock's ceiling is raised first: it needs a commit, too.
    put(&tables, "t", key("k", 0)).await;
    tokio::task::yield_now().await;
    tables.engine().hold();
    let writing = tokio::spawn({
        let tables = std::sync::Arc::clone(&tables);
        async move { put(&tables, "t", key("k", 1)).await }
    });
    handed_over(&tables, 1).await;
    let rolling = tokio::spawn({
        let tables = std::sync::Arc::clone(&tables);
        async move { tables.streams().roll_streams().await }
    });
    handed_over(&tables, 2).await;
    tables.engine().sync_first(1);
    writing.await.unwrap();
    assert_eq!(get(&tables, "t", &key("k", 1)).await, Some(key("k", 1)));
    assert_eq!(shards(&tables, &name).len(), 4, "the successors are not there yet");
    let mut iterators = Vec::new();
    for shard in shards(&tables, &name) {
        let (records, open) = read(&tables, &name, &shard.id, ShardPlace::TrimHorizon).await.unwrap();
        assert!(open && records.iter().all(|record| record.keys == key("k", 0)));
        iterators.push(
            tables
                .streams()
                .shard_iterator(&name, &shard.id, ShardPlace::Latest)
                .await
                .unwrap(),
        );
    }
    tables.engine().sync();
    rolling.await.unwrap().unwrap();
    for iterator in iterators {
        let page = tables.streams().stream_records(&name, &iterator, 10).await.unwrap();
        assert!(page.records.is_empty() && page.next.is_none());
    }
    assert_eq!(shards(&tables, &name).len(), 8);
    assert_eq!(all(&tables, &name).await.len(), 2);
}

/// A stream is switched off and on while writers write: every record of every stream shows what its view says.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn records_are_of_their_streams_view_though_it_changes_under_writes() {
    let (tables, _) = with_stream(Spanning::Yes, BOTH).await;
    let stop = std::sync::Arc::new(std::sync::atomic::AtomicBool::new(false));
    let made = std::sync::Arc::new(std::sync::atomic::AtomicUsize::new(0));
    let mut writers = tokio::task::JoinSet::new();
    for writer in 0..4 {
        let (tables, stop) = (std::sync::Arc::clone(&tables), std::sync::Arc::clone(&stop));
        let made = std::sync::Arc::clone(&made);
        writers.spawn(async move {
            put(&tables, "t", with(key("k", writer), "x", n(-1))).await;
            for number in 0.. {
                if stop.load(std::sync::atomic::Ordering::Relaxed) {
                    return;
                }
                put(&tables, "t", with(key("k", writer), "x", n(number))).await;
                made.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
                tokio::task::yield_now().await;
            }
        });
    }
    // However the machine is loaded: each setting is in force for some writes.
    let some_writes = async || {
        let enough = made.load(std::sync::atomic::Ordering::Relaxed) + 10;
        wait_for(|| made.load(std::sync::atomic::Ordering::Relaxed) >= enough).await;
    };
    let views = [StreamView::KeysOnly, StreamView::NewImage, StreamView::OldImage, BOTH];
    for view in views.into_iter().cycle().take(20) {
        switch(&tables, None).await;
        some_writes().await;
        switch(&tables, Some(view)).await;
        some_writes().await;
    }
    stop.store(true, std::sync::atomic::Ordering::Relaxed);
    while let Some(done) = writers.join_next().await {
        done.unwrap();
    }
    let mut seen = 0;
    for name in tables.streams().list_streams(None, None, 100).streams {
        let view = tables.streams().describe_stream(&name, None, None, 1).unwrap().view;
        for record in all(&tables, &name).await {
            seen += 1;
            assert_eq!(record.new.is_some(), view.new_image(), "{view:?}");
            let old = view.old_image() && record.kind == EventKind::Modify;
            assert_eq!(record.old.is_some(), old, "{view:?}");
        }
    }
    assert!(seen > 100, "{seen}");
}

/// The setting is durable and the process ends before the stream is: it begins when the process comes back.
#[tokio::test]
async fn a_stream_that_a_crash_kept_from_beginning_begins_later() {
    let (tables, time) = with_stream(Spanning::Yes, BOTH).await;
    let name = stream(&tables);
    let rows = |engine: &MemoryEngine| {
        let space = |byte: u8| bytes::Bytes::from(vec![byte]);
        engine.commit(geodynamo_storage::Commit {
            writes: vec![geodynamo_storage::Write::DeleteRange(space(8), space(9))],
            ..Default::default()
        })
    };
    put(&tables, "t", key("k", 1)).await;
    let engine = tables.engine().crash();
    rows(&engine).await.unwrap();
    let again = Tables::open(engine, options("a", &["a"], &time)).await.unwrap();
    assert_eq!(stream(&again), name);
    assert!(all(&again, &name).await.is_empty());
    put(&again, "t", key("k", 2)).await;
    assert_eq!(all(&again, &name).await.len(), 1);
}

#[tokio::test]
async fn sequence_numbers_and_shards_survive_a_restart_and_a_clock_that_steps_back() {
    for mode in MODES {
        let (tables, time) = with_stream(mode, BOTH).await;
        let name = stream(&tables);
        put(&tables, "t", with(key("k", 1), "x", n(1))).await;
        time.set(NOW + SHARD_MS);
        tables.streams().roll_streams().await.unwrap();
        put(&tables, "t", with(key("k", 1), "x", n(2))).await;
        let (shards_before, records) = (shards(&tables, &name), all(&tables, &name).await);
        let open = shards_before.iter().filter(|shard| shard.end.is_none());
        let mut iterators = Vec::new();
        for shard in open {
            iterators.push(
                tables
                    .streams()
                    .shard_iterator(&name, &shard.id, ShardPlace::Latest)
                    .await
                    .unwrap(),
            );
        }

        time.set(NOW - 1000);
        let again = Tables::open(tables.engine().crash(), options("a", &["a"], &time))
            .await
            .unwrap();
        assert_eq!(stream(&again), name);
        assert_eq!(shards(&again, &name), shards_before);
        assert_eq!(all(&again, &name).await, records);
        put(&again, "t", with(key("k", 1), "x", n(3))).await;
        let mut read_on = Vec::new();
        for iterator in iterators {
            read_on.extend(
                again
                    .streams()
                    .stream_records(&name, &iterator, 10)
                    .await
                    .unwrap()
                    .records,
            );
        }
        assert_eq!(read_on.len(), 1, "iterators are good after a restart");
        assert!(read_on[0].sequence > records[1].sequence);
        // Four hours before its shards began: far enough to begin new ones, behind them.
        time.set(NOW - SHARD_MS);
        again.streams().roll_streams().await.unwrap();
        put(&again, "t", with(key("k", 1), "x", n(4))).await;
        let records = all(&again, &name).await;
        assert_eq!(records.len(), 4);
        assert!(records.is_sorted_by(|one, next| one.sequence < next.sequence));
        assert!(shards(&again, &name).is_sorted_by(|one, next| one.id < next.id));
        assert_eq!(shards(&again, &name).len(), 12);
    }
}
