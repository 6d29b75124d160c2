//! Replicas that are lost: what some of the survivors have of them, all of them get.

use geodynamo_replicator_core::Batch;
use geodynamo_storage::Spanning;
use geodynamo_table::{GIVEN_UP_MS, TableStatus, UpdateTable};

use crate::{
    regions::{Regions, batches},
    replication::owners,
    support::{MODES, NOW, Region, get, key, n, put, s, with},
};

/// Regions a, b, c with a table; of what b wrote last, a has one part and c another.
async fn with_writes_parted(mode: Spanning) -> Regions {
    let regions = Regions::with_table(mode, &["a", "b", "c"]).await;
    let [a, b, c] = [0, 1, 2].map(|at| &regions.all[at]);
    for number in 0..10 {
        put(a, "t", with(key(&format!("k{number}"), 0), "g", s("old"))).await;
    }
    regions.settle().await;
    for number in 0..40 {
        put(b, "t", with(key(&format!("k{number}"), 0), "g", s("of b"))).await;
    }
    // Concurrent with b's: a conflict that only a knows of.
    put(a, "t", with(key("k3", 0), "g", s("of a"))).await;
    let (mut to_a, mut to_c): (Vec<Batch>, Vec<Batch>) = (Vec::new(), Vec::new());
    for (number, batch) in batches(b, a).await.into_iter().enumerate() {
        if number % 2 == 0 { &mut to_a } else { &mut to_c }.push(batch);
    }
    assert!(!to_a.is_empty() && !to_c.is_empty());
    assert!(a.merge().apply_all(to_a).await.iter().all(Result::is_ok));
    assert!(c.merge().apply_all(to_c).await.iter().all(Result::is_ok));
    assert_ne!(
        a.reads().digest("t").await.unwrap(),
        c.reads().digest("t").await.unwrap()
    );
    regions
}

#[tokio::test]
async fn what_only_some_have_of_a_lost_incarnation_reaches_everybody() {
    for mode in MODES {
        let mut regions = with_writes_parted(mode).await;
        regions.replace(1).await;
        regions.settle().await;
        assert_eq!(regions.agree_on_digests("t").await, 40, "{mode:?}");
        for region in &regions.all {
            assert_eq!(region.table_named("t").unwrap().status(), TableStatus::Active);
            assert!(region.merge().copies_due().is_empty());
        }
        // Once is enough: nothing is left to exchange, and what is written now is replicated as ever.
        let logged = regions.logged();
        regions.settle().await;
        assert_eq!(regions.logged(), logged);
        put(&regions.all[1], "t", with(key("k7", 0), "x", n(7))).await;
        regions.settle().await;
        assert_eq!(regions.agree_on_digests("t").await, 40);
    }
}

#[tokio::test]
async fn a_replica_that_is_removed_and_silent_is_given_up() {
    for mode in MODES {
        let regions = with_writes_parted(mode).await;
        let [a, b, c] = [0, 1, 2].map(|at| &regions.all[at]);
        let removal = UpdateTable {
            replica_deletes: vec!["b".into()],
            ..UpdateTable::default()
        };
        a.catalog().update_table("t", removal).await.unwrap();
        let reached = ["a", "c"];
        regions.settle_among(&reached).await;
        regions.times.iter().for_each(|time| time.set(NOW + GIVEN_UP_MS - 1));
        regions.settle_among(&reached).await;
        assert_eq!(
            a.table("t").unwrap().status(),
            TableStatus::Updating,
            "it may still answer"
        );
        assert_ne!(
            a.reads().digest("t").await.unwrap(),
            c.reads().digest("t").await.unwrap()
        );

        regions.times.iter().for_each(|time| time.set(NOW + GIVEN_UP_MS));
        regions.settle_among(&reached).await;
        let digest = a.reads().digest("t").await.unwrap();
        assert_eq!(digest, c.reads().digest("t").await.unwrap(), "{mode:?}");
        let of_b = |region: &Region| {
            region
                .describe("t")
                .unwrap()
                .replicas
                .iter()
                .any(|replica| replica.region == "b")
        };
        for region in [a, c] {
            assert_eq!(region.table("t").unwrap().status(), TableStatus::Active);
            assert!(!of_b(region));
        }
        for number in 0..40 {
            let key = key(&format!("k{number}"), 0);
            assert!(get(a, "t", &key).await.is_some() && get(c, "t", &key).await.is_some());
        }
        // It comes back, learns of it, and keeps nothing.
        let id = b.table("t").unwrap().id();
        regions.settle().await;
        assert!(b.table_named("t").is_err());
        assert!(!owners(b).await.contains(&id));
        assert_eq!(a.reads().digest("t").await.unwrap(), digest);
    }
}
