//! Tombstones and conflict records are taken away, and no delete comes back.

use geodynamo_storage::{Engine, MemoryEngine, Spanning};
use geodynamo_table::{CollectOptions, Options, Remains, Tables, TimeSource, UpdateTable};

use crate::{
    regions::{Regions, batches, deliver_all},
    support::{MODES, NOW, Region, Time, definition, get, key, n, options, put, with},
    verify::{ITEMS, rows, verify_all},
};

async fn delete(region: &Region, p: &str, sort: i64) {
    let table = region.table("t").unwrap();
    region
        .writes()
        .delete(&table, &key(p, sort), Default::default())
        .await
        .unwrap();
}

/// Passes the time after which tables are looked through again, and looks through them.
async fn collect(regions: &Regions) {
    for (region, time) in regions.all.iter().zip(&regions.times) {
        time.set(time.now_ms() + 3_600_000);
        region.verify().collect().await.unwrap();
    }
}

/// As many verifications and scans as it takes at most.
async fn forget(regions: &Regions) {
    for _ in 0..3 {
        regions.times.iter().for_each(|time| time.set(time.now_ms() + 1000));
        verify_all(regions).await;
        collect(regions).await;
    }
}

async fn tombstones(region: &Region) -> usize {
    let items = rows(region, ITEMS).await;
    items.iter().filter(|(_, value)| value[2] & 1 == 1).count()
}

#[tokio::test(start_paused = true)]
async fn a_region_alone_forgets_what_it_deleted() {
    for mode in MODES {
        let regions = Regions::new(mode, &["a"]).await;
        let a = &regions.all[0];
        a.catalog().create_table(definition("t")).await.unwrap();
        for number in 0..300 {
            put(a, "t", key("k", number)).await;
        }
        for number in 0..200 {
            delete(a, "k", number).await;
        }
        assert_eq!(tombstones(a).await, 200);
        collect(&regions).await;
        assert_eq!(tombstones(a).await, 0);
        assert_eq!(rows(a, ITEMS).await.len(), 100);
        let Remains {
            tombstones,
            tombstones_collected,
            ..
        } = a.verify().remains();
        assert_eq!((tombstones, tombstones_collected), (0, 200));
        // What comes later is newer than what was forgotten, whatever the clock says, after a restart, too.
        regions.times[0].set(NOW - 1_000_000);
        put(a, "t", with(key("k", 1), "x", n(1))).await;
        assert!(get(a, "t", &key("k", 1)).await.is_some());
    }
}

#[tokio::test(start_paused = true)]
async fn tombstones_go_once_everybody_has_everything() {
    for mode in MODES {
        let regions = Regions::with_table(mode, &["a", "b", "c"]).await;
        let [a, b, c] = [0, 1, 2].map(|at| &regions.all[at]);
        for number in 0..60 {
            put(
                &regions.all[number % 3],
                "t",
                with(key("k", number as i64), "g", crate::support::s("x")),
            )
            .await;
        }
        regions.settle().await;
        for number in 0..50 {
            delete(&regions.all[(number as usize + 1) % 3], "k", number).await;
        }
        // c does not hear of it.
        for _ in 0..3 {
            deliver_all(a, b).await.unwrap();
            deliver_all(b, a).await.unwrap();
            deliver_all(c, a).await.unwrap();
            deliver_all(c, b).await.unwrap();
        }
        let before = tombstones(a).await;
        assert!(before >= 50);
        forget_between(&regions).await;
        assert_eq!(tombstones(a).await, before, "c has not applied them");
        regions.settle().await;
        forget(&regions).await;
        for region in &regions.all {
            assert_eq!(tombstones(region).await, 0, "{mode:?} {}", region.region());
        }
        // Replicas are equal, in items and indexes, and nothing was healed, for nothing was amiss.
        assert_eq!(regions.agree("t").await.0, 10);
        for region in &regions.all {
            assert!(region.verify().verify_counts().healed.is_empty());
        }
        // A key that was forgotten is written anew: no conflict with a tombstone that somebody may still have.
        put(c, "t", with(key("k", 3), "x", n(1))).await;
        regions.settle().await;
        assert_eq!(regions.agree("t").await, (11, 0, 0));
    }
}

/// Verifications and scans while links stand still.
async fn forget_between(regions: &Regions) {
    for _ in 0..2 {
        for region in &regions.all {
            region.verify().verify_now(None).unwrap();
        }
        for asker in &regions.all {
            for answerer in &regions.all {
                for _ in 0..8 {
                    if let Some((_, ended, _)) = crate::verify::verify(asker, answerer).await {
                        ended.unwrap();
                    }
                }
            }
        }
        collect(regions).await;
    }
}

/// One has collected, another one has not yet: a new version of the key is an ordinary overwrite, for both.
#[tokio::test(start_paused = true)]
async fn a_write_after_a_forgotten_delete_is_no_conflict() {
    for mode in MODES {
        let regions = Regions::with_table(mode, &["a", "b"]).await;
        let (a, b) = (&regions.all[0], &regions.all[1]);
        put(a, "t", key("k", 1)).await;
        regions.settle().await;
        delete(b, "k", 1).await;
        regions.settle().await;
        regions.times.iter().for_each(|time| time.set(NOW + 1000));
        for _ in 0..3 {
            verify_all(&regions).await;
        }
        regions.times[0].set(NOW + 7_200_000);
        a.verify().collect().await.unwrap();
        assert_eq!((tombstones(a).await, tombstones(b).await), (0, 1));
        regions.times[1].set(NOW + 7_200_000);
        put(a, "t", with(key("k", 1), "x", n(1))).await;
        regions.settle().await;
        assert_eq!(regions.agree("t").await, (1, 0, 0), "{mode:?}");
    }
}

/// The negative control: with tombstones gone before everybody has them, the older write comes back.
#[tokio::test(start_paused = true)]
async fn a_tombstone_that_went_too_early_would_be_missed() {
    let regions = Regions::with_table(Spanning::Yes, &["a", "b", "c"]).await;
    let [a, b, c] = [0, 1, 2].map(|at| &regions.all[at]);
    // c's write is on its way to a for a long time; b has it and deletes it, and a has the delete.
    put(c, "t", key("k", 1)).await;
    let late = batches(c, a).await;
    deliver_all(c, b).await.unwrap();
    delete(b, "k", 1).await;
    deliver_all(b, a).await.unwrap();
    let collected = async |early: bool| {
        if early {
            let tombstone = rows(a, ITEMS).await.remove(0).0;
            let commit = geodynamo_storage::Commit {
                writes: vec![geodynamo_storage::Write::Delete(tombstone)],
                ..Default::default()
            };
            MemoryEngine::commit(a.engine(), commit).await.unwrap();
        } else {
            forget_between(&regions).await;
        }
    };
    collected(false).await;
    assert_eq!(tombstones(a).await, 1, "what c wrote is not everywhere");
    for batch in late.clone() {
        a.merge().apply(batch).await.unwrap();
    }
    assert!(get(a, "t", &key("k", 1)).await.is_none());
    collected(true).await;
    for mut batch in late {
        // As if it came for the first time.
        batch.log.partition += 1;
        a.merge().apply(batch).await.unwrap();
    }
    assert!(
        get(a, "t", &key("k", 1)).await.is_some(),
        "the delete has come back: this is what the rules are for"
    );
}

#[tokio::test(start_paused = true)]
async fn nothing_is_collected_while_somebody_joins_and_the_newcomer_brings_nothing_back() {
    for mode in MODES {
        let regions = Regions::with_table(mode, &["a", "b"]).await;
        let (a, b) = (&regions.all[0], &regions.all[1]);
        for number in 0..20 {
            put(a, "t", key("k", number)).await;
        }
        regions.settle().await;
        for number in 0..10 {
            delete(b, "k", number).await;
        }
        regions.settle().await;
        let removal = UpdateTable {
            replica_deletes: vec!["b".into()],
            ..UpdateTable::default()
        };
        a.catalog().update_table("t", removal).await.unwrap();
        regions.settle().await;
        let update = UpdateTable {
            replica_creates: vec!["b".into()],
            ..UpdateTable::default()
        };
        a.catalog().update_table("t", update).await.unwrap();
        a.background().reconcile().await.unwrap();
        collect(&regions).await;
        assert_eq!(tombstones(a).await, 10, "b is joining");
        regions.settle().await;
        assert_eq!(tombstones(b).await, 10);
        forget(&regions).await;
        assert_eq!((tombstones(a).await, tombstones(b).await), (0, 0));
        assert_eq!(regions.agree("t").await, (10, 0, 0));

        // Its clock is behind what was forgotten: what it writes is newer all the same.
        let removal = UpdateTable {
            replica_deletes: vec!["b".into()],
            ..UpdateTable::default()
        };
        a.catalog().update_table("t", removal).await.unwrap();
        regions.settle().await;
        let now = regions.times[0].now_ms() + 3_600_000;
        regions.times[0].set(now);
        put(a, "t", key("k", 50)).await;
        delete(a, "k", 50).await;
        regions.times[0].set(now + 1000);
        a.verify().collect().await.unwrap();
        assert_eq!(tombstones(a).await, 0);
        regions.times[1].set(now - 500);
        regions.add("t", "b").await;
        put(b, "t", with(key("k", 3), "x", n(7))).await;
        regions.settle().await;
        assert!(get(a, "t", &key("k", 3)).await.is_some());
        assert_eq!(regions.agree("t").await, (11, 0, 0));
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_parked_holds_tombstones_back() {
    let regions = Regions::with_table(Spanning::Yes, &["a", "b"]).await;
    let (a, b) = (&regions.all[0], &regions.all[1]);
    // b's clock is ten minutes ahead: what it writes is parked at a, and what it deletes after that.
    regions.times[0].set(NOW + 4 * 3_600_000);
    regions.times[1].set(NOW + 4 * 3_600_000 + 600_000);
    put(b, "t", key("k", 1)).await;
    regions.settle().await;
    delete(b, "k", 2).await;
    regions.settle().await;
    for _ in 0..3 {
        for (asker, answerer) in [(a, b), (b, a)] {
            asker.verify().verify_now(Some("t")).unwrap();
            let (_, ended, _) = crate::verify::verify(asker, answerer).await.unwrap();
            ended.unwrap();
        }
    }
    for region in &regions.all {
        region.verify().collect().await.unwrap();
        assert_eq!(region.verify().remains().tombstones_collected, 0);
    }
    assert!(get(a, "t", &key("k", 1)).await.is_none(), "it is parked");
    assert_eq!(tombstones(b).await, 1, "a has not come to its time yet");
}

#[tokio::test(start_paused = true)]
async fn what_was_agreed_outlives_a_restart() {
    for mode in MODES {
        let mut regions = Regions::with_table(mode, &["a", "b"]).await;
        put(&regions.all[0], "t", key("k", 1)).await;
        regions.settle().await;
        delete(&regions.all[0], "k", 1).await;
        regions.settle().await;
        forget(&regions).await;
        let before = regions.all[0].verify().remains().collected_to_ms;
        regions.restart(0).await;
        regions.restart(1).await;
        collect(&regions).await;
        let after = regions.all[0].verify().remains().collected_to_ms;
        assert!(after >= before && before > Some(0), "{before:?} {after:?}");
        put(&regions.all[1], "t", key("k", 1)).await;
        regions.settle().await;
        assert_eq!(regions.agree_on_digests("t").await, 1);
    }
}

#[tokio::test(start_paused = true)]
async fn conflict_records_are_kept_for_a_while_and_not_too_many() {
    for mode in MODES {
        let regions = Regions::with_table(mode, &["a", "b"]).await;
        let (a, b) = (&regions.all[0], &regions.all[1]);
        let conflict = async |number: i64| {
            put(a, "t", with(key("c", number), "x", n(1))).await;
            put(b, "t", with(key("c", number), "x", n(2))).await;
            regions.settle().await;
        };
        conflict(1).await;
        regions.times.iter().for_each(|time| time.set(NOW + 20 * 86_400_000));
        conflict(2).await;
        let kept = async |region: &Region| region.reads().conflicts("t", None, 100).await.unwrap().conflicts.len();
        collect(&regions).await;
        assert_eq!((kept(a).await, kept(b).await), (2, 2));
        regions.times.iter().for_each(|time| time.set(NOW + 31 * 86_400_000));
        a.verify().collect().await.unwrap();
        assert_eq!((kept(a).await, kept(b).await), (1, 2));
        assert_eq!(a.verify().remains().conflicts, 1);
        // The other one brings it back neither by itself nor by verification.
        verify_all(&regions).await;
        assert_eq!((kept(a).await, kept(b).await), (1, 2));
        assert!(a.verify().verify_counts().healed.is_empty());
        b.verify().collect().await.unwrap();
        assert_eq!(kept(b).await, 1);
    }
    // By number: the oldest go.
    let time = Time::at(NOW);
    let few = Options {
        collect: CollectOptions {
            conflicts_max: 3,
            ..CollectOptions::default()
        },
        ..options("a", &["a", "b"], &time)
    };
    let mut regions = Regions::with_table(Spanning::Yes, &["a", "b"]).await;
    for number in 0..8 {
        regions.times.iter().for_each(|time| time.set(NOW + 1000 * number));
        put(&regions.all[0], "t", with(key("c", number as i64), "x", n(1))).await;
        put(&regions.all[1], "t", with(key("c", number as i64), "x", n(2))).await;
        regions.settle().await;
    }
    regions.all[0] = Tables::open(regions.all[0].engine().crash(), few).await.unwrap();
    time.set(NOW + 3_700_000);
    regions.all[0].verify().collect().await.unwrap();
    let left = regions.all[0]
        .reads()
        .conflicts("t", None, 100)
        .await
        .unwrap()
        .conflicts;
    let mut times: Vec<u64> = left
        .iter()
        .map(|conflict| conflict.loser.stamp.time.millis() - NOW)
        .collect();
    times.sort_unstable();
    assert_eq!(times, [5000, 6000, 7000]);
}
