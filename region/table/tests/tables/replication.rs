//! Regions that write at the same time, join, leave, and run ahead of each other.

use std::collections::BTreeSet;

use geodynamo_replicator_core::{ApplyError, Stamp, TableId, parking::ParkingLimits};
use geodynamo_storage::{Direction, Engine, MemoryEngine, Scan};
use geodynamo_table::{DRAIN_MS_MAX, Query, Tables, UpdateTable};
use tokio::sync::watch;

use crate::{
    regions::{Regions, batches, deliver_all},
    support::{MODES, NOW, Region, definition, get, item, key, n, options, put, s, wait_for, with},
};

/// The space of streams' rows.
pub(crate) const STREAM_SPACE: u8 = 8;

#[tokio::test]
async fn writes_on_all_sides_end_the_same_everywhere() {
    for mode in MODES {
        let regions = Regions::with_table(mode, &["a", "b", "c"]).await;
        for round in 0..3 {
            for (at, region) in regions.all.iter().enumerate() {
                for number in 0..20 {
                    // Some keys are one region's own, some are written by all, and the last round deletes some.
                    let name = if number % 3 == 0 { "all" } else { region.region() };
                    let item = with(key(name, number), "g", s(&format!("g{}", (number + at as i64) % 3)));
                    put(region, "t", with(item, "x", n(round))).await;
                }
                if round == 2 {
                    let table = region.table("t").unwrap();
                    let gone = key(region.region(), 1);
                    tables_delete(region, &table, &gone).await;
                }
            }
            regions.settle().await;
        }
        let (items, tombstones, conflicts) = regions.agree("t").await;
        // 7 keys of all, 13 of each region, of which one is deleted; in every round 2 of 3 writers lose at 7 keys.
        assert_eq!((items, tombstones, conflicts), (7 + 3 * 12, 3, 3 * 2 * 7), "{mode:?}");
        // Nothing circulates: a further exchange finds nothing and logs nothing.
        let logged = regions.logged();
        regions.settle().await;
        assert_eq!(regions.logged(), logged);
        for region in &regions.all {
            for other in regions.all.iter().filter(|other| other.region() != region.region()) {
                assert!(batches(region, other).await.is_empty());
            }
        }
    }
}

async fn tables_delete(region: &Region, table: &geodynamo_table::Table, key: &geodynamo_item::Item) {
    region.writes().delete(table, key, Default::default()).await.unwrap();
}

#[tokio::test]
async fn a_write_that_saw_the_other_is_no_conflict() {
    for mode in MODES {
        let regions = Regions::with_table(mode, &["a", "b"]).await;
        for number in 0..6 {
            put(&regions.all[number % 2], "t", with(key("k", 1), "x", n(number as i64))).await;
            regions.settle().await;
        }
        assert_eq!(regions.agree("t").await, (1, 0, 0));
        let last = with(key("k", 1), "x", n(5));
        assert_eq!(get(&regions.all[0], "t", &key("k", 1)).await, Some(last));
    }
}

/// Two write at once: the later stamp stands in both, and each tells what it did. Who hears of the other's write first is the one
/// that refuses it: what lost is not sent any more.
#[tokio::test]
async fn conflicts_are_counted_by_what_came_of_them() {
    for mode in MODES {
        let regions = Regions::with_table(mode, &["a", "b"]).await;
        let [a, b] = [0, 1].map(|at| &regions.all[at]);
        put(a, "t", with(key("k", 1), "x", n(1))).await;
        put(b, "t", with(key("k", 1), "x", n(2))).await;
        let by = |region: &Region| {
            let counts = region.counts();
            (counts.conflicts, counts.conflicts_refused, counts.conflicts_displaced)
        };
        let earlier = get(a, "t", &key("k", 1)).await;
        deliver_all(a, b).await.unwrap();
        let refuses = get(b, "t", &key("k", 1)).await != earlier;
        assert_eq!(by(b), if refuses { (1, 1, 0) } else { (1, 0, 1) }, "{mode:?}");
        deliver_all(b, a).await.unwrap();
        regions.settle().await;
        assert_eq!(regions.agree("t").await, (1, 0, 1));
        // Where the write of a lost in b, that of b takes its place in a; where it won, a hears what it beat.
        assert_eq!(by(a), if refuses { (1, 0, 1) } else { (1, 0, 0) }, "{mode:?}");
    }
}

#[tokio::test]
async fn a_duplicate_batch_changes_nothing() {
    for mode in MODES {
        let regions = Regions::with_table(mode, &["a", "b"]).await;
        let (a, b) = (&regions.all[0], &regions.all[1]);
        put(a, "t", with(key("k", 1), "x", n(1))).await;
        put(b, "t", with(key("k", 1), "x", n(2))).await;
        put(a, "t", key("k", 2)).await;
        let again = batches(a, b).await;
        assert!(!again.is_empty());
        regions.settle().await;
        assert_eq!(regions.agree("t").await, (2, 0, 1));
        let (logged, before) = (regions.logged(), b.describe("t").unwrap());
        for batch in again {
            let applied = b.merge().apply(batch).await.unwrap();
            assert_eq!((applied.applied, applied.conflicts), (0, 0));
        }
        assert_eq!(regions.agree("t").await, (2, 0, 1));
        assert_eq!(regions.logged(), logged);
        assert_eq!(b.describe("t").unwrap(), before);
        regions.settle().await;
    }
}

#[tokio::test]
async fn a_remote_write_moves_index_entries() {
    for mode in MODES {
        let regions = Regions::with_table(mode, &["a", "b"]).await;
        let (a, b) = (&regions.all[0], &regions.all[1]);
        let found = async |g: &str| {
            let table = b.table("t").unwrap();
            let query = Query {
                index: Some("by-g"),
                partition: vec![s(g)],
                sort_equal: Vec::new(),
                sort: None,
                forward: true,
                limit: None,
                start: None,
                filter: None,
                consistent: false,
                fetch_base: false,
            };
            b.reads().query(&table, query).await.unwrap().items.len()
        };
        put(a, "t", with(key("k", 1), "g", s("one"))).await;
        regions.settle().await;
        assert_eq!((found("one").await, found("two").await), (1, 0));
        put(a, "t", with(key("k", 1), "g", s("two"))).await;
        regions.settle().await;
        assert_eq!((found("one").await, found("two").await), (0, 1));
        let table = a.table("t").unwrap();
        tables_delete(a, &table, &key("k", 1)).await;
        regions.settle().await;
        assert_eq!((found("one").await, found("two").await), (0, 0));
        assert_eq!(regions.agree("t").await, (0, 1, 0));
    }
}

#[tokio::test]
async fn a_joining_region_gets_items_tombstones_and_conflicts() {
    for mode in MODES {
        let regions = Regions::new(mode, &["a", "b", "c"]).await;
        let a = &regions.all[0];
        a.catalog().create_table(definition("t")).await.unwrap();
        for number in 0..50 {
            put(a, "t", with(key("k", number), "g", s("g"))).await;
        }
        let table = a.table("t").unwrap();
        tables_delete(a, &table, &key("k", 7)).await;
        regions.add("t", "b").await;
        put(a, "t", with(key("k", 1), "x", s("a"))).await;
        put(&regions.all[1], "t", with(key("k", 1), "x", s("b"))).await;
        regions.settle().await;
        regions.add("t", "c").await;
        assert_eq!(regions.agree("t").await, (49, 1, 1), "{mode:?}");
    }
}

#[tokio::test]
async fn a_stamp_from_too_far_ahead_waits_for_its_time() {
    for mode in MODES {
        let mut regions = Regions::with_table(mode, &["a", "b"]).await;
        put(&regions.all[0], "t", key("k", 1)).await;
        regions.settle().await;
        regions.times[1].set(NOW + 60_000);
        put(&regions.all[1], "t", with(key("k", 1), "x", s("ahead"))).await;
        regions.settle().await;
        assert_eq!(regions.all[0].counts().waiting, 1);
        assert_eq!(get(&regions.all[0], "t", &key("k", 1)).await, Some(key("k", 1)));

        regions.restart(0).await;
        assert_eq!(regions.all[0].counts().waiting, 1);
        let (stop, stopped) = watch::channel(false);
        regions.all[0].background().start_background(stopped);
        regions.times[0].set(NOW + 60_000);
        wait_for(|| regions.all[0].counts().waiting == 0).await;
        drop(stop);
        assert_eq!(regions.all[0].counts().released, 1);
        regions.settle().await;
        // Without the counts: a restarted process counts in the background.
        let digest = regions.all[0].reads().digest("t").await.unwrap();
        assert_eq!(digest, regions.all[1].reads().digest("t").await.unwrap());
        let ahead = with(key("k", 1), "x", s("ahead"));
        assert_eq!(get(&regions.all[0], "t", &key("k", 1)).await, Some(ahead));
        regions.restart(0).await;
        assert_eq!(regions.all[0].counts().waiting, 0, "it is no longer stored");
    }
}

#[tokio::test]
async fn a_full_parking_space_refuses_the_batch_whole() {
    for mode in MODES {
        let mut regions = Regions::with_table(mode, &["a", "b"]).await;
        let engine = regions.all[0].engine().crash();
        let small = ParkingLimits {
            count_max: 2,
            ..ParkingLimits::default()
        };
        let mut with_small = options("a", &["a", "b"], &regions.times[0]);
        with_small.parking = small;
        regions.all[0] = Tables::open(engine, with_small).await.unwrap();
        let (a, b) = (&regions.all[0], &regions.all[1]);
        regions.times[1].set(NOW + 60_000);
        for number in 0..3 {
            put(b, "t", key("one-partition", number)).await;
        }
        let before = a.reads().digest("t").await.unwrap();
        assert_eq!(deliver_all(b, a).await, Err(ApplyError::Stalled));
        assert_eq!(a.counts().waiting, 0);
        assert_eq!(a.reads().digest("t").await.unwrap(), before);
        // Once time has come nearer, the same stretch goes through.
        regions.times[0].set(NOW + 60_000);
        regions.settle().await;
        assert_eq!(
            a.reads().digest("t").await.unwrap(),
            b.reads().digest("t").await.unwrap()
        );
        assert_eq!(
            get(a, "t", &key("one-partition", 2)).await,
            Some(key("one-partition", 2))
        );
    }
}

/// Stretches of several logs that come together: what one of them parks counts for the next, and one that finds the space
/// full keeps no other waiting.
#[tokio::test]
async fn one_log_that_stalls_keeps_no_other_waiting() {
    for mode in MODES {
        let mut regions = Regions::with_table(mode, &["a", "b"]).await;
        let engine = regions.all[0].engine().crash();
        let mut with_small = options("a", &["a", "b"], &regions.times[0]);
        with_small.parking.count_max = 3;
        regions.all[0] = Tables::open(engine, with_small).await.unwrap();
        let (a, b) = (&regions.all[0], &regions.all[1]);
        for number in 0..40 {
            put(b, "t", key(&format!("now-{number}"), 0)).await;
        }
        let on_time = batches(b, a).await;
        regions.times[1].set(NOW + 60_000);
        // A partition key of each of two logs: its bytes, up to the zero that ends them.
        for batch in &on_time[..2] {
            let name = batch.deltas[0].key().split(|byte| *byte == 0).next().unwrap();
            for number in 1..=2 {
                put(b, "t", key(std::str::from_utf8(name).unwrap(), number)).await;
            }
        }
        // Two logs get two far deltas each, behind what they have already; the space takes three.
        let all = batches(b, a).await;
        assert!(on_time.len() > 2 && all.len() == on_time.len(), "{} logs", all.len());
        let answers = a.merge().apply_all(all).await;
        let stalled = answers
            .iter()
            .filter(|answer| **answer == Err(ApplyError::Stalled))
            .count();
        let parked: u32 = answers.iter().flatten().map(|applied| applied.parked).sum();
        let applied: u32 = answers.iter().flatten().map(|applied| applied.applied).sum();
        assert_eq!((stalled, parked, a.counts().waiting), (1, 2, 2));
        let there = items_of_now(a).await;
        assert_eq!(there, applied as usize, "nothing of the stalled log, all of the others");
        assert!((1..40).contains(&there));
        let (stop, stopped) = watch::channel(false);
        a.background().start_background(stopped);
        regions.times[0].set(NOW + 60_000);
        wait_for(|| a.counts().waiting == 0).await;
        drop(stop);
        regions.settle().await;
        assert_eq!(
            a.reads().digest("t").await.unwrap(),
            b.reads().digest("t").await.unwrap()
        );
    }
}

/// How many of the items `now-…` a region has.
async fn items_of_now(region: &Region) -> usize {
    let mut there = 0;
    for number in 0..40 {
        there += usize::from(get(region, "t", &key(&format!("now-{number}"), 0)).await.is_some());
    }
    there
}

/// What is parked and comes again, because its ack was lost, takes no more of the space.
#[tokio::test]
async fn a_parked_stretch_that_comes_again_fits_a_full_space() {
    for mode in MODES {
        let mut regions = Regions::with_table(mode, &["a", "b"]).await;
        let engine = regions.all[0].engine().crash();
        let mut with_small = options("a", &["a", "b"], &regions.times[0]);
        with_small.parking.count_max = 2;
        regions.all[0] = Tables::open(engine, with_small).await.unwrap();
        let (a, b) = (&regions.all[0], &regions.all[1]);
        regions.times[1].set(NOW + 60_000);
        for number in 0..2 {
            put(b, "t", key("one-partition", number)).await;
        }
        let again = batches(b, a).await;
        assert!(deliver_all(b, a).await.is_ok());
        assert_eq!(a.counts().waiting, 2);
        for batch in again {
            assert!(a.merge().apply(batch).await.is_ok());
        }
        assert_eq!(a.counts().waiting, 2);
    }
}

/// Law 4 across keys and a restart: whoever read a merged version from ahead of local time writes above it.
#[tokio::test]
async fn a_write_after_a_restart_is_above_everything_that_was_merged() {
    for mode in MODES {
        let mut regions = Regions::with_table(mode, &["a", "b"]).await;
        // Within the drift that is merged at once.
        regions.times[1].set(NOW + 4_500);
        put(&regions.all[1], "t", key("theirs", 1)).await;
        regions.settle().await;
        let merged = stamp_of(&regions.all[0], &key("theirs", 1)).await;
        regions.restart(0).await;
        put(&regions.all[0], "t", key("ours", 1)).await;
        let written = stamp_of(&regions.all[0], &key("ours", 1)).await;
        assert!(written > merged, "{written} after {merged}");
    }
}

/// The stamp of an item of the table `t`.
async fn stamp_of(region: &Region, key: &geodynamo_item::Item) -> Stamp {
    let table = region.table("t").unwrap();
    let at = table.key_of(key).unwrap();
    let versions = region
        .logs()
        .versions(TableId(table.id()), vec![at.bytes().clone()], usize::MAX)
        .await;
    versions.unwrap().remove(0).unwrap().stamp
}

#[tokio::test]
async fn a_removed_replica_leaves_nothing_behind() {
    for mode in MODES {
        let regions = Regions::with_table(mode, &["a", "b"]).await;
        let (a, b) = (&regions.all[0], &regions.all[1]);
        for number in 0..20 {
            put(b, "t", with(with(key("k", number), "g", s("g")), "l", s("l"))).await;
        }
        regions.settle().await;
        let id = b.table("t").unwrap().id();
        assert!(owners(b).await.contains(&id));
        let update = UpdateTable {
            replica_deletes: vec!["b".into()],
            ..UpdateTable::default()
        };
        a.catalog().update_table("t", update).await.unwrap();
        regions.settle().await;
        assert!(b.table_named("t").is_err());
        assert!(!owners(b).await.contains(&id), "{mode:?}");
        let shown = a.describe("t").unwrap();
        assert!(shown.replicas.is_empty() && a.local().is_settled("t"));
        assert_eq!(shown.items, 20, "what b wrote last is here");

        // The name is free again in b's sight once the last replica is gone; old deltas do not reach the new table.
        put(a, "t", key("old", 1)).await;
        a.catalog().delete_table("t").await.unwrap();
        regions.settle().await;
        assert!(a.table_named("t").is_err());
        a.catalog().create_table(definition("t")).await.unwrap();
        assert_ne!(a.table("t").unwrap().id(), id);
        put(a, "t", item([("p", s("new")), ("s", n(1))])).await;
        regions.add("t", "b").await;
        assert_eq!(regions.agree("t").await, (1, 0, 0));
    }
}

#[tokio::test]
async fn a_deleted_table_takes_no_deltas_that_come_late() {
    for mode in MODES {
        let regions = Regions::with_table(mode, &["a", "b"]).await;
        let (a, b) = (&regions.all[0], &regions.all[1]);
        put(a, "t", key("old", 1)).await;
        let id = a.table("t").unwrap().id();
        let late: Vec<_> = batches(a, b).await;
        assert!(late.iter().any(|batch| batch.log.table.0 == id));
        b.catalog().delete_table("t").await.unwrap();
        regions.times[1].set(NOW + DRAIN_MS_MAX + 1);
        regions.settle().await;
        assert!(b.table_named("t").is_err());
        b.catalog().create_table(definition("t")).await.unwrap();
        for batch in late.into_iter().filter(|batch| batch.log.table.0 == id) {
            assert_eq!(b.merge().apply(batch).await, Err(ApplyError::Unknown));
        }
        assert_eq!(get(b, "t", &key("old", 1)).await, None);
    }
}

/// The owners of all keys that a region's engine has, besides the system's and those of streams, which stay for a day.
pub(crate) async fn owners(region: &Region) -> BTreeSet<u64> {
    let scan = Scan {
        from: std::ops::Bound::Unbounded,
        to: std::ops::Bound::Unbounded,
        direction: Direction::Forward,
        rows_max: usize::MAX,
        bytes_max: usize::MAX,
        once: false,
    };
    let rows = MemoryEngine::scan(region.engine(), scan).await.unwrap().rows;
    let owner = |key: &[u8]| u64::from_be_bytes(key[1..9].try_into().unwrap());
    let rows = rows.iter().filter(|(key, _)| key[0] != STREAM_SPACE);
    rows.map(|(key, _)| owner(key)).collect()
}
