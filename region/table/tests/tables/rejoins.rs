//! Replicas that come back with nothing, and copies that are cut off.

use geodynamo_replicator_core::{CopyRequest, CopyRows};
use geodynamo_table::{STREAM_RETENTION_MS, TableStatus, UpdateTable};

use crate::{
    regions::{Regions, batches, peer},
    streams::{all, stream},
    support::{MODES, NOW, definition, get, key, n, put, s, with},
};

/// Bytes of a page of a copy that ends after a few rows.
const SMALL_PAGE: usize = 256;

#[tokio::test]
async fn a_region_with_a_fresh_directory_joins_its_tables_again() {
    for mode in MODES {
        let mut regions = Regions::with_table(mode, &["a", "b", "c"]).await;
        for number in 0..20 {
            put(
                &regions.all[(number % 3) as usize],
                "t",
                with(key("k", number), "g", s("g")),
            )
            .await;
        }
        regions.settle().await;
        let deleted = regions.all[0].table("t").unwrap();
        regions.all[0]
            .writes()
            .delete(&deleted, &key("k", 3), Default::default())
            .await
            .unwrap();
        regions.settle().await;
        let before = regions.all[1].replica();
        let last_sequence = all(&regions.all[1], &stream(&regions.all[1]))
            .await
            .pop()
            .unwrap()
            .sequence;
        // Nobody's logs go back that far any more: only a copy can bring it.
        let later = NOW + 2 * STREAM_RETENTION_MS;
        regions.times.iter().for_each(|time| time.set(later));
        for region in &regions.all {
            region.streams().trim_logs().await.unwrap();
        }
        regions.replace(1).await;
        let b = &regions.all[1];
        assert_ne!(b.replica(), before);
        assert!(b.table_named("t").is_err(), "it knows of nothing");
        // A write of the others while it is away.
        put(&regions.all[2], "t", with(key("k", 100), "x", n(1))).await;
        regions.settle().await;

        let [a, b, c] = [0, 1, 2].map(|at| &regions.all[at]);
        for region in [a, b, c] {
            assert_eq!(
                region.table_named("t").unwrap().status(),
                TableStatus::Active,
                "{mode:?} {}",
                region.region()
            );
        }
        assert_eq!(regions.agree_on_digests("t").await, 20);
        assert_eq!(get(b, "t", &key("k", 3)).await, None, "what was deleted stays deleted");
        // It takes writes, and the others get them: also ones of keys that its old incarnation wrote.
        put(b, "t", with(key("k", 1), "x", s("again"))).await;
        put(b, "t", with(key("new", 1), "x", s("new"))).await;
        regions.settle().await;
        assert_eq!(regions.agree_on_digests("t").await, 21);
        assert_eq!(
            get(c, "t", &key("k", 1)).await,
            Some(with(key("k", 1), "x", s("again")))
        );
        let records = all(b, &stream(b)).await;
        assert_eq!(records.len(), 2, "the stream begins behind the copy");
        assert!(records.iter().all(|record| record.sequence > last_sequence));
        regions.settle().await;
        for region in [a, c] {
            region.streams().trim_logs().await.unwrap();
        }
        assert_eq!(regions.agree_on_digests("t").await, 21);
    }
}

#[tokio::test]
async fn the_only_replicas_region_with_a_fresh_directory_has_nothing_to_join() {
    for mode in MODES {
        let mut regions = Regions::new(mode, &["a", "b"]).await;
        regions.all[0].catalog().create_table(definition("t")).await.unwrap();
        put(&regions.all[0], "t", key("k", 1)).await;
        regions.settle().await;
        regions.replace(0).await;
        regions.settle().await;
        let a = &regions.all[0];
        // The catalog came back from b; the items were nowhere else.
        assert_eq!(a.table("t").unwrap().status(), TableStatus::Active);
        assert_eq!(get(a, "t", &key("k", 1)).await, None);
        put(a, "t", key("k", 2)).await;
        assert_eq!(get(a, "t", &key("k", 2)).await, Some(key("k", 2)));
    }
}

#[tokio::test]
async fn a_copy_that_was_cut_off_goes_on_where_it_was() {
    for mode in MODES {
        let mut regions = Regions::new(mode, &["a", "b"]).await;
        regions.all[0].catalog().create_table(definition("t")).await.unwrap();
        for number in 0..40 {
            put(
                &regions.all[0],
                "t",
                with(key(&number.to_string(), number), "g", s("g")),
            )
            .await;
        }
        // A fresh region answers nobody before it has had a catalog.
        regions.settle().await;
        let update = UpdateTable {
            replica_creates: vec!["b".into()],
            ..UpdateTable::default()
        };
        regions.all[0].catalog().update_table("t", update).await.unwrap();
        let id = regions.all[0].table_named("t").unwrap().id();
        let (mut marks, mut shares) = (Vec::new(), Vec::new());
        for round in 0..6 {
            regions.exchange().await;
            let [a, b] = [0, 1].map(|at| &regions.all[at]);
            let order = b.merge().copies_due().into_iter().find(|order| order.table.0 == id);
            let order = order.unwrap_or_else(|| panic!("round {round}: the copy is due"));
            assert_eq!(
                order.after.as_ref(),
                marks.last(),
                "{mode:?}: it goes on behind what is durable"
            );
            let request = CopyRequest {
                table: order.table,
                join: order.join,
                after: order.after.clone(),
            };
            let start = a.merge().copy_out_start("b", &request).await.unwrap();
            let cursors = start.cursors.clone();
            b.merge().copy_in_start(&order, start).await.unwrap();
            if round > 0 {
                // The links' places are those of the first start, not of this one: nothing in between is missed.
                assert!(cursors.iter().any(|(info, end)| b.merge().cursor(info).unwrap() < *end));
            }
            let page = a
                .merge()
                .copy_out_page(order.table, order.after.clone(), SMALL_PAGE)
                .await
                .unwrap();
            let last = page.last.unwrap();
            let rows = CopyRows {
                deltas: page.deltas,
                last: last.clone(),
            };
            b.merge().copy_in_rows(&order, &peer(a), rows).await.unwrap();
            assert!(marks.iter().all(|mark| *mark < last), "no row comes twice");
            let under_way = b.merge().copies_under_way();
            let [copy] = under_way.as_slice() else {
                panic!("{under_way:?}")
            };
            assert_eq!((copy.table.as_str(), copy.source.as_str()), ("t", "a"));
            let before = shares.last().copied().unwrap_or(0.0);
            assert!(before < copy.share && copy.share < 1.0, "{mode:?}: {before} {copy:?}");
            assert!(b.counts().copied_rows > 0);
            shares.push(copy.share);
            marks.push(last);
            // Of this page, and of rows that were copied before, something changes meanwhile; then b's process ends.
            for number in 0..40 {
                put(a, "t", with(key(&number.to_string(), number), "x", n(round))).await;
            }
            assert_eq!(b.table_named("t").unwrap().status(), TableStatus::Creating);
            regions.restart(1).await;
        }
        regions.settle().await;
        let [a, b] = [0, 1].map(|at| &regions.all[at]);
        assert!(b.local().is_settled("t") && a.local().is_settled("t"));
        assert_eq!(b.merge().copies_under_way(), []);
        assert_eq!(regions.agree_on_digests("t").await, 40);
        assert!(batches(a, b).await.is_empty());
    }
}
