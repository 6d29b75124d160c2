//! Members that are out of reach for longer than a group waits.

use geodynamo_storage::Spanning;
use geodynamo_table::{LOOK_MS_MAX, OUT_OF_REACH_MS, TableStatus, TimeSource};

use crate::{
    regions::Regions,
    support::{MODES, Region, get, key, n, put, with},
};

/// Lets time pass in which regions of each side reach each other only.
fn pass(regions: &Regions, sides: &[&[&str]], ms: u64) {
    let mut left = ms;
    for region in &regions.all {
        region.catalog().part_after(OUT_OF_REACH_MS);
    }
    loop {
        for (region, time) in regions.all.iter().zip(&regions.times) {
            let side = sides.iter().find(|side| side.contains(&region.region()));
            let up: Vec<String> = side
                .into_iter()
                .flat_map(|side| side.iter().map(|name| (*name).to_owned()))
                .collect();
            region.catalog().reached(&up);
            time.set(time.now_ms() + left.min(LOOK_MS_MAX));
            if left <= LOOK_MS_MAX {
                region.catalog().reached(&up);
            }
        }
        if left <= LOOK_MS_MAX {
            return;
        }
        left -= LOOK_MS_MAX;
    }
}

fn others(region: &Region) -> Vec<String> {
    let replicas = region.describe("t").unwrap().replicas;
    replicas.into_iter().map(|replica| replica.region).collect()
}

/// Region c is cut off for longer than twenty hours: a and b stay a group without it, c goes on alone, each with its data; and
/// so it stays once they reach each other again.
#[tokio::test]
async fn who_is_out_of_reach_for_too_long_goes_on_alone() {
    for mode in MODES {
        let mut regions = Regions::with_table(mode, &["a", "b", "c"]).await;
        for number in 0..10 {
            put(
                &regions.all[(number % 3) as usize],
                "t",
                with(key("k", number), "x", n(number)),
            )
            .await;
        }
        regions.settle().await;
        let sides: [&[&str]; 2] = [&["a", "b"], &["c"]];
        put(&regions.all[2], "t", key("of c", 1)).await;
        put(&regions.all[0], "t", key("of a", 1)).await;
        pass(&regions, &sides, OUT_OF_REACH_MS - 1);
        regions.settle_among(&["a", "b"]).await;
        regions.settle_among(&["c"]).await;
        assert_eq!(others(&regions.all[0]), ["b", "c"], "{mode:?}: one millisecond is left");
        assert!(regions.all[0].describe("t").unwrap().replicas[1].out_of_reach);
        assert_eq!(others(&regions.all[2]), ["a", "b"]);

        pass(&regions, &sides, 1);
        regions.settle_among(&["a", "b"]).await;
        regions.settle_among(&["c"]).await;
        for restarted in [false, true] {
            if restarted {
                for at in 0..3 {
                    regions.restart(at).await;
                }
                regions.settle().await;
            }
            let [a, b, c] = [0, 1, 2].map(|at| &regions.all[at]);
            assert_eq!(
                (others(a), others(b), others(c)),
                (vec!["b".into()], vec!["a".into()], vec![])
            );
            for region in [a, b, c] {
                assert_eq!(region.table("t").unwrap().status(), TableStatus::Active);
                assert!(get(region, "t", &key("k", 3)).await.is_some());
            }
            assert_eq!(
                a.reads().digest("t").await.unwrap(),
                b.reads().digest("t").await.unwrap()
            );
            assert!(get(c, "t", &key("of c", 1)).await.is_some() && get(a, "t", &key("of c", 1)).await.is_none());
            assert!(get(b, "t", &key("of a", 1)).await.is_some() && get(c, "t", &key("of a", 1)).await.is_none());
            put(c, "t", key("alone", i64::from(restarted))).await;
            put(a, "t", key("together", i64::from(restarted))).await;
            regions.settle().await;
        }
        let counts = [0, 1, 2].map(|at| regions.all[at].counts());
        assert!(counts.iter().all(|counts| counts.refused_copies == 0));
        // Nothing waits for it: what the others have is trimmed, and tombstones are theirs alone to forget.
        let (a, id) = (&regions.all[0], regions.all[0].table("t").unwrap().id());
        assert!(!a.logs().logs_to("c").iter().any(|info| info.table.0 == id));
    }
}

/// One that was not running meanwhile learns of it, and keeps what it has.
#[tokio::test]
async fn who_was_away_learns_that_it_was_taken_out() {
    let regions = Regions::with_table(Spanning::Yes, &["a", "b", "c"]).await;
    put(&regions.all[0], "t", key("k", 1)).await;
    regions.settle().await;
    put(&regions.all[2], "t", key("unseen", 1)).await;
    for region in &regions.all {
        region.catalog().part_after(OUT_OF_REACH_MS);
    }
    for _ in 0..=OUT_OF_REACH_MS / LOOK_MS_MAX {
        for (at, name) in [(0, "b"), (1, "a")] {
            regions.all[at].catalog().reached(&[name.to_owned()]);
            regions.times[at].set(regions.times[at].now_ms() + LOOK_MS_MAX);
        }
    }
    // The control: a clock that steps by a year is no outage.
    regions.times[2].set(regions.times[2].now_ms() + 365 * 86_400_000);
    regions.all[2].catalog().reached(&["a".to_owned(), "b".to_owned()]);
    regions.settle_among(&["a", "b"]).await;
    assert_eq!(others(&regions.all[0]), ["b"]);
    regions.settle().await;
    let [a, b, c] = [0, 1, 2].map(|at| &regions.all[at]);
    assert_eq!((others(b), others(c)), (vec!["a".to_owned()], vec![]));
    assert!(get(c, "t", &key("unseen", 1)).await.is_some() && get(c, "t", &key("k", 1)).await.is_some());
    assert!(get(a, "t", &key("unseen", 1)).await.is_none());
    assert_eq!((a.counts().expelled, c.counts().gone_alone), (1, 1));
}

/// Of two regions the one with the lesser name stays what it was, and the other one goes on alone.
#[tokio::test]
async fn of_two_regions_each_keeps_its_table() {
    let regions = Regions::with_table(Spanning::Yes, &["a", "b"]).await;
    put(&regions.all[0], "t", key("k", 1)).await;
    regions.settle().await;
    pass(&regions, &[&["a"], &["b"]], OUT_OF_REACH_MS + LOOK_MS_MAX);
    regions.settle_among(&["a"]).await;
    regions.settle_among(&["b"]).await;
    regions.settle().await;
    for region in &regions.all {
        assert_eq!(others(region), Vec::<String>::new());
        assert!(get(region, "t", &key("k", 1)).await.is_some());
        put(region, "t", key(region.region(), 2)).await;
    }
    regions.settle().await;
    assert!(get(&regions.all[0], "t", &key("b", 2)).await.is_none());
}
