//! Streams: what their records say, how their shards follow each other, what is kept.

use std::collections::BTreeMap;

use geodynamo_item::Item;
use geodynamo_storage::{MemoryEngine, Spanning};
use geodynamo_table::{
    CreateTable, EventKind, ITERATOR_MS, SHARD_MS, STREAM_RETENTION_MS, STREAMS_PER_TABLE_MAX, Shard, ShardPlace,
    StreamError, StreamKind, StreamName, StreamRecord, Tables, UpdateTable, schema::StreamView,
};

use crate::{
    regions::Regions,
    support::{MODES, NOW, Region, Time, definition, get, key, n, options, put, s, with},
};

pub(crate) const BOTH: StreamView = StreamView::NewAndOldImages;

/// A region with a clock, and the table `t` with a stream.
pub(crate) async fn with_stream(mode: Spanning, view: StreamView) -> (Region, std::sync::Arc<Time>) {
    let time = Time::at(NOW);
    let tables = Tables::open(MemoryEngine::new(mode), options("a", &["a"], &time))
        .await
        .unwrap();
    let create = CreateTable {
        stream: Some(view),
        ..definition("t")
    };
    tables.catalog().create_table(create).await.unwrap();
    (tables, time)
}

/// The only stream of the table `t`'s changes, or the latest.
pub(crate) fn stream(tables: &Region) -> StreamName {
    let mut streams = tables.streams().list_streams(Some("t"), None, 100).streams;
    streams.retain(|name| name.kind == StreamKind::Changes);
    streams.pop().unwrap()
}

pub(crate) fn shards(tables: &Region, name: &StreamName) -> Vec<Shard> {
    let described = tables.streams().describe_stream(name, None, None, usize::MAX).unwrap();
    assert!(!described.more);
    described.shards
}

/// Reads a shard from a place on, and whether it goes on.
pub(crate) async fn read(
    tables: &Region,
    name: &StreamName,
    shard: &str,
    place: ShardPlace<'_>,
) -> Result<(Vec<StreamRecord>, bool), StreamError> {
    let mut next = Some(tables.streams().shard_iterator(name, shard, place).await?);
    let mut records = Vec::new();
    while let Some(iterator) = next {
        let page = tables.streams().stream_records(name, &iterator, 7).await?;
        if page.records.is_empty() && page.next.is_some() {
            return Ok((records, true));
        }
        records.extend(page.records);
        next = page.next;
    }
    Ok((records, false))
}

/// All records of a stream, parents before children.
pub(crate) async fn all(tables: &Region, name: &StreamName) -> Vec<StreamRecord> {
    let mut records = Vec::new();
    for shard in shards(tables, name) {
        records.extend(read(tables, name, &shard.id, ShardPlace::TrimHorizon).await.unwrap().0);
    }
    records
}

async fn delete(tables: &Region, key: &Item) {
    let table = tables.table("t").unwrap();
    tables.writes().delete(&table, key, Default::default()).await.unwrap();
}

pub(crate) async fn switch(tables: &Region, stream: Option<StreamView>) {
    let update = UpdateTable {
        stream: Some(stream),
        ..UpdateTable::default()
    };
    tables.catalog().update_table("t", update).await.unwrap();
}

#[tokio::test]
async fn records_show_what_the_view_says() {
    for mode in MODES {
        for view in [
            StreamView::KeysOnly,
            StreamView::NewImage,
            StreamView::OldImage,
            StreamView::NewAndOldImages,
        ] {
            let (tables, _) = with_stream(mode, view).await;
            let (first, second) = (with(key("k", 1), "x", s("one")), with(key("k", 1), "x", s("second")));
            put(&tables, "t", first.clone()).await;
            put(&tables, "t", second.clone()).await;
            delete(&tables, &key("k", 1)).await;
            let records = all(&tables, &stream(&tables)).await;
            let images = |record: &StreamRecord| {
                let decode =
                    |image: &Option<geodynamo_table::StoredItem>| image.as_ref().map(|image| image.decode().unwrap());
                (record.kind, decode(&record.old), decode(&record.new))
            };
            let (old, new) = (view.old_image(), view.new_image());
            let expect = [
                (EventKind::Insert, None, Some(first.clone()).filter(|_| new)),
                (
                    EventKind::Modify,
                    Some(first).filter(|_| old),
                    Some(second.clone()).filter(|_| new),
                ),
                (EventKind::Remove, Some(second).filter(|_| old), None),
            ];
            assert_eq!(records.iter().map(images).collect::<Vec<_>>(), expect, "{view:?}");
            for record in &records {
                assert_eq!((&record.keys, record.view), (&key("k", 1), view));
                assert_eq!(record.created_ms / 1000, NOW / 1000);
                assert!(!record.expired);
            }
            // p, k, s and a number of two bytes; then x and three bytes, or x and six.
            let (keys, one, two) = (1 + 1 + 1 + 2, 9, 12);
            let sizes: Vec<_> = records.iter().map(|record| record.size_bytes - keys).collect();
            let weigh = |shown: bool, size: usize| if shown { size } else { 0 };
            let expect = [weigh(new, one), weigh(old, one) + weigh(new, two), weigh(old, two)];
            assert_eq!(sizes, expect, "{view:?}");
        }
    }
}

#[tokio::test]
async fn a_write_that_changes_nothing_has_no_record() {
    for mode in MODES {
        for view in [StreamView::KeysOnly, BOTH] {
            let (tables, _) = with_stream(mode, view).await;
            let item = with(key("k", 1), "x", s("same"));
            delete(&tables, &key("k", 1)).await;
            put(&tables, "t", item.clone()).await;
            put(&tables, "t", item.clone()).await;
            delete(&tables, &key("k", 1)).await;
            delete(&tables, &key("k", 1)).await;
            put(&tables, "t", item).await;
            let kinds: Vec<_> = all(&tables, &stream(&tables)).await.iter().map(|r| r.kind).collect();
            assert_eq!(kinds, [EventKind::Insert, EventKind::Remove, EventKind::Insert]);
        }
    }
}

#[tokio::test]
async fn replaying_a_stream_gives_the_table() {
    for mode in MODES {
        let (tables, time) = with_stream(mode, BOTH).await;
        for round in 0..60_i64 {
            let which = key(["a", "b", "c"][round as usize % 3], round % 7);
            if round % 5 == 4 {
                delete(&tables, &which).await;
            } else {
                put(&tables, "t", with(which, "x", n(round))).await;
            }
            if round % 20 == 19 {
                time.set(NOW + SHARD_MS * (1 + round as u64 / 20));
                tables.streams().roll_streams().await.unwrap();
            }
        }
        let mut replayed = BTreeMap::new();
        let mut ids = std::collections::BTreeSet::new();
        for record in all(&tables, &stream(&tables)).await {
            assert!(ids.insert(record.event_id.clone()), "an event's id is unique");
            let at = format!("{:?}", record.keys);
            let old = record.old.map(|old| old.decode().unwrap());
            assert_eq!(replayed.get(&at).cloned(), old, "the old image is the item as it was");
            match record.new {
                Some(new) => drop(replayed.insert(at, new.decode().unwrap())),
                None => drop(replayed.remove(&at)),
            }
        }
        assert!(replayed.len() > 10);
        assert_eq!(tables.describe("t").unwrap().items, replayed.len() as u64);
        for item in replayed.into_values() {
            let key = key_of(&item);
            assert_eq!(get(&tables, "t", &key).await, Some(item));
        }
    }
}

fn key_of(item: &Item) -> Item {
    let of_key = item.iter().filter(|(name, _)| *name == "p" || *name == "s");
    of_key.map(|(name, value)| (name.clone(), value.clone())).collect()
}

#[tokio::test]
async fn shards_are_closed_and_continued_by_children() {
    for mode in MODES {
        let (tables, time) = with_stream(mode, BOTH).await;
        let name = stream(&tables);
        let mut written = Vec::new();
        for generation in 0..4_u64 {
            for number in 0..5_i64 {
                let item = with(key("k", number), "x", n(generation as i64));
                put(&tables, "t", item).await;
                written.push((generation, number));
            }
            // Not due a millisecond earlier; and a clock that steps back a little changes nothing.
            time.set(NOW + SHARD_MS * (generation + 1) - 1);
            tables.streams().roll_streams().await.unwrap();
            time.set(NOW + SHARD_MS * (generation + 1) - 60_000);
            tables.streams().roll_streams().await.unwrap();
            assert_eq!(shards(&tables, &name).len(), 4 * (generation as usize + 1));
            if generation < 3 {
                time.set(NOW + SHARD_MS * (generation + 1));
                tables.streams().roll_streams().await.unwrap();
            }
        }
        let shards = shards(&tables, &name);
        assert_eq!(shards.len(), 16);
        assert!(shards.is_sorted_by(|one, next| one.id < next.id));
        for (at, shard) in shards.iter().enumerate() {
            let (generation, partition) = (at / 4, at % 4);
            let parent = generation.checked_sub(1).map(|before| &shards[before * 4 + partition]);
            assert_eq!(shard.parent.as_ref(), parent.map(|parent| &parent.id));
            assert_eq!(shard.end.is_some(), generation < 3);
            assert!(shard.end.as_ref().is_none_or(|end| shard.start < *end));
            if let Some(parent) = parent {
                assert!(parent.end.as_ref().unwrap() < &shard.start);
            }
            // And the children of a shard are found by it.
            let children = tables
                .streams()
                .describe_stream(&name, None, Some(&shard.id), 10)
                .unwrap()
                .shards;
            let expect = shards.get(at + 4).map(|child| child.id.as_str());
            assert_eq!(children.first().map(|child| child.id.as_str()), expect);
        }
        // Every record is in its generation's shard, within its numbers, in the order of the writes.
        let mut found = Vec::new();
        for (at, shard) in shards.iter().enumerate() {
            let (records, open) = read(&tables, &name, &shard.id, ShardPlace::TrimHorizon).await.unwrap();
            assert_eq!(open, at / 4 == 3, "only the last generation goes on");
            for record in records {
                assert!(record.sequence > shard.start && shard.end.as_ref().is_none_or(|end| record.sequence < *end));
                let new = record.new.unwrap().decode().unwrap();
                found.push((at as u64 / 4, new.get("s").cloned(), new.get("x").cloned()));
            }
        }
        let expect: Vec<_> = written
            .iter()
            .map(|(generation, number)| (*generation, Some(n(*number)), Some(n(*generation as i64))))
            .collect();
        assert_eq!(found, expect);
    }
}

#[tokio::test]
async fn iterators_begin_where_they_are_told_to() {
    for mode in MODES {
        let (tables, time) = with_stream(mode, StreamView::KeysOnly).await;
        let name = stream(&tables);
        for number in 0..10_i64 {
            time.set(NOW + 1000 * number as u64);
            put(&tables, "t", key("k", number)).await;
            // A write without a record between any two.
            put(&tables, "t", key("k", number)).await;
        }
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
        let Shard { id, start, .. } = shard.unwrap();
        let records = read(&tables, &name, &id, ShardPlace::TrimHorizon).await.unwrap().0;
        assert_eq!(records.len(), 10);
        let check = async |place: ShardPlace<'_>, first: usize| {
            let (found, open) = read(&tables, &name, &id, place).await.unwrap();
            assert!(open);
            assert_eq!(found, records[first..], "{place:?}");
        };
        check(ShardPlace::Latest, 10).await;
        check(ShardPlace::At(&start), 0).await;
        check(ShardPlace::After(&start), 0).await;
        for (at, record) in records.iter().enumerate() {
            check(ShardPlace::At(&record.sequence), at).await;
            check(ShardPlace::After(&record.sequence), at + 1).await;
            check(ShardPlace::Time(NOW + 1000 * at as u64), at).await;
            check(ShardPlace::Time(NOW + 1000 * at as u64 + 1), at + 1).await;
        }
        check(ShardPlace::Time(0), 0).await;
        for (number, expect) in [
            ("100000000000000000000", 0),
            ("199999999999999999999", 0),
            ("no number at all here", 0),
        ] {
            let found = tables
                .streams()
                .shard_iterator(&name, &id, ShardPlace::At(number))
                .await;
            assert!(matches!(found, Err(StreamError::Sequence)), "{number} {expect}");
        }
        let latest = tables
            .streams()
            .shard_iterator(&name, &id, ShardPlace::Latest)
            .await
            .unwrap();
        put(&tables, "t", key("k", 100)).await;
        let found = tables.streams().stream_records(&name, &latest, 10).await.unwrap();
        assert_eq!(found.records.len(), 1, "a read right after a write sees it");
    }
}

#[tokio::test]
async fn an_iterator_expires_after_fifteen_minutes() {
    let (tables, time) = with_stream(Spanning::Yes, BOTH).await;
    let name = stream(&tables);
    let shard = shards(&tables, &name).remove(0).id;
    let iterator = tables
        .streams()
        .shard_iterator(&name, &shard, ShardPlace::TrimHorizon)
        .await
        .unwrap();
    time.set(NOW + ITERATOR_MS);
    let next = tables
        .streams()
        .stream_records(&name, &iterator, 1)
        .await
        .unwrap()
        .next
        .unwrap();
    time.set(NOW + ITERATOR_MS + 1);
    let expired = tables.streams().stream_records(&name, &iterator, 1).await;
    assert!(matches!(expired, Err(StreamError::Expired)));
    tables.streams().stream_records(&name, &next, 1).await.unwrap();
}

#[tokio::test]
async fn what_is_not_there_is_told() {
    let (tables, _) = with_stream(Spanning::Yes, BOTH).await;
    let name = stream(&tables);
    let shard = shards(&tables, &name).remove(0).id;
    let other = StreamName {
        label_ms: name.label_ms + 1,
        ..name.clone()
    };
    let none = tables.streams().describe_stream(&other, None, None, 1);
    assert!(matches!(none, Err(StreamError::NoStream)));
    let mut wrong = shard.clone();
    let last = if wrong.pop() == Some('0') { '1' } else { '0' };
    wrong.push(last);
    for id in ["shardId-00000000000000000000-00000000", "nonsense", &wrong] {
        let none = tables.streams().shard_iterator(&name, id, ShardPlace::Latest).await;
        assert!(matches!(none, Err(StreamError::NoShard)), "{id}");
    }
    let mut iterator = tables
        .streams()
        .shard_iterator(&name, &shard, ShardPlace::Latest)
        .await
        .unwrap();
    let last = if iterator.pop() == Some('0') { '1' } else { '0' };
    iterator.push(last);
    let none = tables.streams().stream_records(&name, &iterator, 1).await;
    assert!(matches!(none, Err(StreamError::Iterator)));
}

#[tokio::test]
async fn a_stream_switched_off_and_on_is_another_one() {
    for mode in MODES {
        let (tables, time) = with_stream(mode, BOTH).await;
        let first = stream(&tables);
        put(&tables, "t", with(key("k", 1), "x", n(1))).await;
        switch(&tables, None).await;
        put(&tables, "t", with(key("k", 1), "x", n(2))).await;
        let off = tables.streams().describe_stream(&first, None, None, 100).unwrap();
        assert!(!off.enabled && off.shards.iter().all(|shard| shard.end.is_some()));
        // In the same millisecond: another label all the same.
        switch(&tables, Some(StreamView::KeysOnly)).await;
        put(&tables, "t", with(key("k", 1), "x", n(3))).await;
        let second = stream(&tables);
        assert!(second > first);
        assert_eq!(
            tables.streams().list_streams(None, None, 10).streams,
            [first.clone(), second.clone()]
        );
        let page = tables.streams().list_streams(Some("t"), None, 1);
        assert!(page.more && page.streams == [first.clone()]);
        assert_eq!(
            tables.streams().list_streams(Some("t"), Some(first.clone()), 1).streams,
            std::slice::from_ref(&second)
        );
        assert!(tables.streams().list_streams(Some("u"), None, 1).streams.is_empty());
        let (olds, news) = (all(&tables, &first).await, all(&tables, &second).await);
        assert_eq!((olds.len(), news.len()), (1, 1));
        assert!(olds[0].new.is_some() && news[0].new.is_none());
        assert!(olds[0].sequence < news[0].sequence);
        assert_eq!(news[0].kind, EventKind::Modify);

        // Both are there after a restart; a day after it ended, the first is gone.
        let again = Tables::open(tables.engine().crash(), options("a", &["a"], &time))
            .await
            .unwrap();
        assert_eq!(all(&again, &first).await, olds);
        time.set(NOW + STREAM_RETENTION_MS - 1);
        again.streams().trim_logs().await.unwrap();
        assert_eq!(all(&again, &first).await, olds);
        time.set(NOW + STREAM_RETENTION_MS);
        again.streams().trim_logs().await.unwrap();
        assert_eq!(
            again.streams().list_streams(None, None, 10).streams,
            std::slice::from_ref(&second)
        );
        let last = Tables::open(again.engine().crash(), options("a", &["a"], &time))
            .await
            .unwrap();
        assert_eq!(last.streams().list_streams(None, None, 10).streams, [second]);
    }
}

#[tokio::test]
async fn switching_often_forgets_the_oldest() {
    let (tables, _) = with_stream(Spanning::Yes, BOTH).await;
    let first = stream(&tables);
    for _ in 0..STREAMS_PER_TABLE_MAX {
        switch(&tables, None).await;
        switch(&tables, Some(BOTH)).await;
    }
    let streams = tables.streams().list_streams(None, None, 100).streams;
    assert_eq!(streams.len(), STREAMS_PER_TABLE_MAX);
    assert!(!streams.contains(&first));
}

#[tokio::test]
async fn a_deleted_tables_stream_can_be_read_for_a_day() {
    for mode in MODES {
        let (tables, time) = with_stream(mode, BOTH).await;
        let name = stream(&tables);
        put(&tables, "t", with(key("k", 1), "x", n(1))).await;
        let records = all(&tables, &name).await;
        tables.catalog().delete_table("t").await.unwrap();
        tables.background().reconcile().await.unwrap();
        assert!(tables.table_named("t").is_err());
        assert_eq!(all(&tables, &name).await, records);
        // A new table of the name has nothing to do with it.
        let create = CreateTable {
            stream: Some(BOTH),
            ..definition("t")
        };
        tables.catalog().create_table(create).await.unwrap();
        put(&tables, "t", with(key("k", 1), "x", n(2))).await;
        let second = stream(&tables);
        assert_ne!(second, name);
        let again = Tables::open(tables.engine().crash(), options("a", &["a"], &time))
            .await
            .unwrap();
        assert_eq!(all(&again, &name).await, records);
        assert!(!again.streams().describe_stream(&name, None, None, 1).unwrap().enabled);
        assert!(again.streams().describe_stream(&second, None, None, 1).unwrap().enabled);
        time.set(NOW + STREAM_RETENTION_MS);
        again.streams().trim_logs().await.unwrap();
        assert_eq!(again.streams().list_streams(None, None, 10).streams, [second]);
    }
}

/// Its label is its region's, too. What a setting that is made anew brings has again one of its own.
#[tokio::test]
async fn each_regions_stream_has_a_label_of_its_own() {
    for mode in MODES {
        let regions = Regions::with_table(mode, &["a", "b"]).await;
        let (a, b) = (&regions.all[0], &regions.all[1]);
        let shown = |region: &Region| region.describe("t").unwrap().stream.unwrap().label_ms;
        let first = (shown(a), shown(b));
        assert_ne!(first.0, first.1);
        for region in [a, b] {
            assert_eq!(stream(region).label_ms, shown(region));
            regions.settle().await;
        }
        assert_eq!((shown(a), shown(b)), first);
    }
}

#[tokio::test]
async fn each_regions_stream_has_what_it_merged_and_not_what_lost() {
    for mode in MODES {
        let regions = Regions::with_table(mode, &["a", "b"]).await;
        let (a, b) = (&regions.all[0], &regions.all[1]);
        put(a, "t", with(key("k", 1), "x", s("a"))).await;
        regions.settle().await;
        // Concurrently: b's is the greater stamp, and a's loses.
        regions.times[1].set(NOW + 500);
        put(a, "t", with(key("k", 1), "x", s("loses"))).await;
        put(b, "t", with(key("k", 1), "x", s("wins"))).await;
        regions.settle().await;
        // The same item written again in the other region: nothing changes there, nor here.
        regions.times[0].set(NOW + 900);
        put(a, "t", with(key("k", 1), "x", s("wins"))).await;
        regions.settle().await;
        let values = async |region: &Region| -> Vec<_> {
            let records = all(region, &stream(region)).await;
            let new = |record: StreamRecord| record.new.unwrap().decode().unwrap().get("x").cloned();
            records.into_iter().filter_map(new).collect()
        };
        assert_eq!(values(a).await, [s("a"), s("loses"), s("wins")], "{mode:?}");
        assert_eq!(values(b).await, [s("a"), s("wins")], "{mode:?}");
        assert_eq!(regions.agree("t").await.2, 1);
    }
}

#[tokio::test]
async fn an_expiry_is_the_services_deletion_where_it_began() {
    for mode in MODES {
        let regions = Regions::with_table(mode, &["a", "b"]).await;
        let (a, b) = (&regions.all[0], &regions.all[1]);
        a.expiry().update_time_to_live("t", true, "x").await.unwrap();
        let expires = n(NOW as i64 / 1000 + 10);
        put(a, "t", with(key("k", 1), "x", expires.clone())).await;
        put(a, "t", with(key("k", 2), "x", expires)).await;
        regions.settle().await;
        delete(a, &key("k", 2)).await;
        regions.settle().await;
        regions.times.iter().for_each(|time| time.set(NOW + 11_000));
        a.expiry().sweep_expired().await.unwrap();
        regions.settle().await;
        for (region, ours) in [(a, true), (b, false)] {
            let records = all(region, &stream(region)).await;
            let removed = records.iter().filter(|record| record.kind == EventKind::Remove);
            let removed: Vec<_> = removed.map(|record| (record.keys.clone(), record.expired)).collect();
            assert_eq!(
                removed,
                [(key("k", 2), false), (key("k", 1), ours)],
                "{mode:?} {}",
                region.region()
            );
            assert!(
                records
                    .iter()
                    .all(|record| record.old.is_some() || record.kind == EventKind::Insert)
            );
        }
    }
}

#[tokio::test]
async fn the_copy_of_a_joining_replica_makes_no_records() {
    for mode in MODES {
        let regions = Regions::new(mode, &["a", "b"]).await;
        let (a, b) = (&regions.all[0], &regions.all[1]);
        a.catalog().create_table(definition("t")).await.unwrap();
        for number in 0..20 {
            put(a, "t", key("k", number)).await;
        }
        regions.add("t", "b").await;
        assert_eq!(b.describe("t").unwrap().items, 20);
        assert!(all(b, &stream(b)).await.is_empty());
        put(a, "t", key("k", 20)).await;
        regions.settle().await;
        assert_eq!(all(b, &stream(b)).await.len(), 1);
    }
}
