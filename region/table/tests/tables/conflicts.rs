//! Conflicts as they are listed, and as their stream has them.

use geodynamo_item::Item;
use geodynamo_table::{
    ConflictId, ConflictVersion, EventKind, StoredItem, StreamKind, StreamName, TableError, UpdateTable,
};

use crate::{
    regions::Regions,
    streams::all,
    support::{MODES, NOW, Region, definition, key, n, put, s, with},
};

fn decoded(item: &Option<StoredItem>) -> Option<Item> {
    item.as_ref().map(|item| item.decode().unwrap())
}

fn streams(region: &Region) -> Vec<StreamName> {
    region.streams().list_streams(Some("t"), None, 100).streams
}

async fn delete(region: &Region, key: &Item) {
    let table = region.table("t").unwrap();
    region.writes().delete(&table, key, Default::default()).await.unwrap();
}

/// In every region, each loser of a conflict is listed, and the stream of conflicts has it with the winner.
#[tokio::test]
async fn every_loser_is_seen_everywhere() {
    for mode in MODES {
        let regions = Regions::with_table(mode, &["a", "b", "c"]).await;
        let [a, b, c] = &regions.all[..] else { unreachable!() };
        for region in [a, b] {
            put(region, "t", with(key("k", 1), "x", s(region.region()))).await;
            regions.settle_among(&[region.region()]).await;
        }
        // A delete may lose, too, and a put to a delete.
        put(c, "t", key("gone", 2)).await;
        regions.settle().await;
        delete(c, &key("gone", 2)).await;
        put(a, "t", with(key("gone", 2), "x", n(1))).await;
        put(a, "t", key("plain", 3)).await;
        regions.settle().await;
        put(b, "t", with(key("plain", 3), "x", n(1))).await;
        regions.settle().await;

        for region in &regions.all {
            let page = region.reads().conflicts("t", None, 10).await.unwrap();
            assert_eq!((page.conflicts.len(), page.next), (2, None), "in {}", region.region());
            for conflict in &page.conflicts {
                let name = conflict.keys.get("p").cloned().unwrap();
                let current = conflict.current.as_ref().unwrap();
                assert!(conflict.loser.stamp < current.stamp);
                if name == s("k") {
                    assert_eq!(conflict.loser.region.as_deref(), Some("a"));
                    assert_eq!(decoded(&conflict.loser.item), Some(with(key("k", 1), "x", s("a"))));
                    assert_eq!(current.region.as_deref(), Some("b"));
                } else {
                    assert_eq!(name, s("gone"));
                    let (lost, won) = (decoded(&conflict.loser.item), decoded(&current.item));
                    assert!(lost.is_none() != won.is_none());
                }
                let found = region.reads().conflict("t", &conflict.id).await.unwrap();
                assert_eq!(found.as_ref(), Some(conflict));
                assert_eq!(ConflictId::parse(&conflict.id.to_string()), Some(conflict.id.clone()));
            }
            // One at a time.
            let first = region.reads().conflicts("t", None, 1).await.unwrap();
            let second = region.reads().conflicts("t", first.next.as_ref(), 1).await.unwrap();
            assert_eq!([first.conflicts, second.conflicts].concat(), page.conflicts);

            let names = streams(region);
            assert_eq!(names.len(), 2);
            assert_eq!(
                [names[0].kind, names[1].kind],
                [StreamKind::Changes, StreamKind::Conflicts]
            );
            assert_eq!(StreamName::of("t", &names[1].label()).as_ref(), Some(&names[1]));
            let records = all(region, &names[1]).await;
            assert_eq!(records.len(), 2, "in {}", region.region());
            let of_k = records.iter().find(|record| record.keys == key("k", 1)).unwrap();
            assert_eq!(of_k.kind, EventKind::Modify);
            assert_eq!(decoded(&of_k.old), Some(with(key("k", 1), "x", s("a"))));
            assert_eq!(decoded(&of_k.new), Some(with(key("k", 1), "x", s("b"))));
            let versions = of_k.conflict.as_ref().unwrap();
            let by = |by: &str| ConflictVersion {
                by: by.into(),
                time_ms: NOW,
            };
            assert_eq!((&versions.loser, &versions.winner), (&by("a"), &by("b")));
            // What overwrites what it has seen is in neither.
            assert!(
                all(region, &names[0])
                    .await
                    .iter()
                    .all(|record| record.conflict.is_none())
            );
        }
    }
}

#[tokio::test]
async fn a_table_of_one_region_has_no_stream_of_conflicts() {
    for mode in MODES {
        let regions = Regions::new(mode, &["a", "b"]).await;
        let a = &regions.all[0];
        a.catalog().create_table(definition("t")).await.unwrap();
        let update = UpdateTable {
            stream: Some(Some(crate::streams::BOTH)),
            ..UpdateTable::default()
        };
        a.catalog().update_table("t", update).await.unwrap();
        let names = streams(a);
        assert_eq!(names.len(), 1);
        assert_eq!(names[0].kind, StreamKind::Changes);
        assert!(a.reads().conflicts("t", None, 10).await.unwrap().conflicts.is_empty());
        let missing = a.reads().conflicts("none", None, 10).await;
        assert!(matches!(missing, Err(TableError::ResourceNotFound(_))));
    }
}

/// Listings go on behind any name, of whichever kind.
#[tokio::test]
async fn streams_are_listed_a_page_at_a_time() {
    let regions = Regions::with_table(MODES[0], &["a", "b"]).await;
    regions.all[0].catalog().create_table(definition("u")).await.unwrap();
    regions.add("u", "b").await;
    let tables = &regions.all[0];
    let whole = tables.streams().list_streams(None, None, 10);
    assert_eq!((whole.streams.len(), whole.more), (4, false));
    for size in 1..=4 {
        let (mut after, mut seen) = (None, Vec::new());
        loop {
            let page = tables.streams().list_streams(None, after.clone(), size);
            seen.extend(page.streams.clone());
            after = page.streams.last().cloned();
            if !page.more {
                break;
            }
            assert_eq!(page.streams.len(), size);
        }
        assert_eq!(seen, whole.streams, "{size} at a time");
    }
}
