//! Regions that leave a global table with what they have; sessions that go from region to region.

use std::time::Duration;

use geodynamo_table::{Seen, TableError, TableStatus, UpdateTable, noting};
use tokio::time::Instant;

use crate::{
    regions::{Regions, deliver_all},
    support::{MODES, Region, get, key, n, put, s, with},
};

async fn update(region: &Region, change: impl FnOnce(&mut UpdateTable)) -> Result<(), TableError> {
    let mut update = UpdateTable::default();
    change(&mut update);
    region.catalog().update_table("t", update).await.map(drop)
}

async fn ask_to_leave(region: &Region) {
    update(region, |update| update.disassociation_protection = Some(false))
        .await
        .unwrap();
    update(region, |update| update.disassociate = true).await.unwrap();
}

fn others(region: &Region) -> Vec<String> {
    let replicas = region.describe("t").unwrap().replicas;
    replicas.into_iter().map(|replica| replica.region).collect()
}

#[tokio::test]
async fn a_region_leaves_with_what_it_has_and_goes_on_alone() {
    for mode in MODES {
        let mut regions = Regions::with_table(mode, &["a", "b", "c"]).await;
        for number in 0..12 {
            put(&regions.all[(number % 3) as usize], "t", key("k", number)).await;
        }
        regions.settle().await;
        let c = &regions.all[2];
        let refused = update(c, |update| update.disassociate = true).await.unwrap_err();
        assert!(
            refused.to_string().contains("protected against disassociation"),
            "{refused}"
        );
        put(c, "t", key("last", 1)).await;
        ask_to_leave(c).await;
        assert_eq!(c.describe("t").unwrap().status, TableStatus::Updating);
        // The others do not have its last write yet, so it stays.
        c.background().reconcile().await.unwrap();
        assert_eq!(others(c).len(), 2);
        regions.settle().await;
        regions.restart(2).await;
        regions.settle().await;

        let [a, b, c] = [0, 1, 2].map(|at| &regions.all[at]);
        assert_eq!(
            (others(a), others(b), others(c)),
            (vec!["b".into()], vec!["a".into()], vec![])
        );
        for region in [a, b, c] {
            assert_eq!(region.describe("t").unwrap().status, TableStatus::Active);
            assert!(get(region, "t", &key("last", 1)).await.is_some());
        }
        // Items and settings are each side's own from here on.
        put(a, "t", key("theirs", 1)).await;
        put(c, "t", key("own", 1)).await;
        put(c, "t", with(key("k", 1), "x", n(1))).await;
        update(c, |update| update.deletion_protection = Some(true))
            .await
            .unwrap();
        regions.settle().await;
        assert_eq!(get(c, "t", &key("theirs", 1)).await, None);
        assert_eq!(
            (get(a, "t", &key("own", 1)).await, get(b, "t", &key("own", 1)).await),
            (None, None)
        );
        assert_eq!(get(b, "t", &key("k", 1)).await, Some(key("k", 1)));
        assert!(get(b, "t", &key("theirs", 1)).await.is_some());
        // Its name is taken there, and it is no source of another group.
        assert!(
            update(a, |update| update.replica_creates.push("c".into()))
                .await
                .is_err()
        );
        assert!(
            update(c, |update| update.replica_creates.push("a".into()))
                .await
                .is_err()
        );
        // It goes alone, and may come again as anybody.
        update(c, |update| update.deletion_protection = Some(false))
            .await
            .unwrap();
        c.catalog().delete_table("t").await.unwrap();
        regions.settle().await;
        assert!(regions.all[2].describe("t").is_err());
        assert_eq!(others(&regions.all[0]), ["b"]);
        regions.add("t", "c").await;
        assert_eq!(regions.agree_on_digests("t").await, 14);
    }
}

#[tokio::test]
async fn who_leaves_waits_for_who_is_out_of_reach() {
    for mode in MODES {
        let regions = Regions::with_table(mode, &["a", "b"]).await;
        let [a, b] = [0, 1].map(|at| &regions.all[at]);
        put(b, "t", key("k", 1)).await;
        ask_to_leave(b).await;
        for _ in 0..3 {
            b.background().reconcile().await.unwrap();
        }
        assert_eq!(
            (others(b), b.describe("t").unwrap().status),
            (vec!["a".into()], TableStatus::Updating)
        );
        // Writes go on meanwhile.
        put(b, "t", key("k", 2)).await;
        deliver_all(b, a).await.unwrap();
        regions.settle().await;
        assert!(others(a).is_empty() && others(b).is_empty());
        assert!(get(a, "t", &key("k", 2)).await.is_some());
    }
}

#[tokio::test]
async fn a_session_is_seen_where_its_writes_are() {
    for mode in MODES {
        let regions = Regions::with_table(mode, &["a", "b", "c"]).await;
        let [a, b, c] = [0, 1, 2].map(|at| &regions.all[at]);
        let (_, noted) = noting(put(a, "t", with(key("k", 1), "x", s("a")))).await;
        assert_eq!(noted.len(), 1);
        let mut seen = Seen::default();
        a.merge().note_seen(&mut seen, &noted);
        let read = Seen::from_bytes(&seen.to_bytes("house").0, "house").unwrap();
        assert!(a.merge().has_seen(&read) && !b.merge().has_seen(&read) && !c.merge().has_seen(&read));
        let soon = Instant::now() + Duration::from_millis(20);
        assert!(!b.merge().await_seen(&read, soon).await);
        let later = Instant::now() + Duration::from_secs(30);
        let (waited, delivered) = tokio::join!(b.merge().await_seen(&read, later), deliver_all(a, b));
        assert!(waited && delivered.unwrap() > 0);
        assert!(b.merge().has_seen(&read) && !c.merge().has_seen(&read));
        // What is written there in turn is seen only by who has both.
        put(b, "t", with(key("k", 2), "x", s("b"))).await;
        let mut both = read.clone();
        b.merge().note_seen(&mut both, &noted);
        deliver_all(b, c).await.unwrap();
        assert!(b.merge().has_seen(&both) && !a.merge().has_seen(&both) && !c.merge().has_seen(&both));
        deliver_all(a, c).await.unwrap();
        assert!(c.merge().has_seen(&both));
        // A change that is only passed over is waited for by nobody.
        let mut of_c = Seen::default();
        c.merge().note_seen(&mut of_c, &noted);
        deliver_all(b, a).await.unwrap();
        assert!(a.merge().has_seen(&of_c), "c has written nothing of its own");
    }
}
