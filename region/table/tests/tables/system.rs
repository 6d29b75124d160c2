//! System tables: rows that every region has, whatever tables there are.

use bytes::Bytes;
use geodynamo_table::{SystemTable, Tables};

use crate::{
    regions::Regions,
    support::{MODES, NOW, Region, options, wait_for},
};

const ACCESS: SystemTable = SystemTable::Access;

fn bytes(text: &'static str) -> Bytes {
    Bytes::from_static(text.as_bytes())
}

async fn set(region: &Region, rows: &[(&'static str, Option<&'static str>)]) {
    let changes = rows.iter().map(|(key, value)| (bytes(key), value.map(bytes)));
    region.rows().system_commit(ACCESS, changes.collect()).await.unwrap();
}

async fn rows(region: &Region) -> Vec<(Bytes, Bytes)> {
    region.rows().system_rows(ACCESS).await.unwrap()
}

#[tokio::test]
async fn rows_reach_every_region_and_outlive_processes_and_directories() {
    for mode in MODES {
        let mut regions = Regions::new(mode, &["a", "b", "c"]).await;
        let told = regions.all[1].rows().system_changes(ACCESS);
        set(&regions.all[0], &[("user/ann", Some("1")), ("user/bob", Some("2"))]).await;
        set(&regions.all[1], &[("user/cid", Some("3"))]).await;
        assert!(!told.has_changed().unwrap(), "a change of one's own is known");
        regions.settle().await;
        assert!(told.has_changed().unwrap());
        assert_eq!(
            regions.all[1].rows().system_merged(ACCESS),
            [bytes("user/ann"), bytes("user/bob")]
        );
        assert!(regions.all[1].rows().system_merged(ACCESS).is_empty());
        set(&regions.all[2], &[("user/bob", None), ("user/ann", Some("4"))]).await;
        regions.settle().await;
        let all = [(bytes("user/ann"), bytes("4")), (bytes("user/cid"), bytes("3"))];
        for region in &regions.all {
            assert_eq!(rows(region).await, all, "{mode:?}");
            let some = region
                .rows()
                .system_get(ACCESS, &[bytes("user/bob"), bytes("user/cid")])
                .await
                .unwrap();
            assert_eq!(some, [None, Some(bytes("3"))]);
            assert_eq!(region.local().list(None, 100).0, Vec::<String>::new());
        }
        regions.restart(0).await;
        assert_eq!(rows(&regions.all[0]).await, all);
        // What a region without a disk had made is with the others.
        regions.replace(2).await;
        assert_eq!(rows(&regions.all[2]).await, []);
        regions.settle().await;
        assert_eq!(rows(&regions.all[2]).await, all, "{mode:?}");
    }
}

#[tokio::test]
async fn the_later_of_two_writes_wins_row_by_row() {
    for mode in MODES {
        let regions = Regions::new(mode, &["a", "b"]).await;
        set(&regions.all[0], &[("x", Some("a")), ("y", Some("a"))]).await;
        regions.times[1].set(NOW + 10);
        set(&regions.all[1], &[("x", Some("b")), ("z", Some("b"))]).await;
        regions.settle().await;
        for region in &regions.all {
            let all = [("x", "b"), ("y", "a"), ("z", "b")].map(|(key, value)| (bytes(key), bytes(value)));
            assert_eq!(rows(region).await, all);
        }
    }
}

#[tokio::test]
async fn a_change_of_several_rows_is_one_commit_that_a_crash_leaves_whole() {
    for mode in MODES {
        for killed in [true, false] {
            let regions = Regions::new(mode, &["a"]).await;
            let region = &regions.all[0];
            set(region, &[("x", Some("old"))]).await;
            region.engine().hold();
            let writing = tokio::spawn({
                let region = Region::clone(region);
                async move {
                    let changes = vec![(bytes("x"), None), (bytes("y"), Some(bytes("2")))];
                    region.rows().system_commit(ACCESS, changes).await
                }
            });
            wait_for(|| region.engine().unsynced() > 0).await;
            assert_eq!(region.engine().unsynced(), 1, "{mode:?}");
            if !killed {
                region.engine().sync();
            }
            let again = Tables::open(region.engine().crash(), options("a", &["a"], &regions.times[0])).await;
            let left = if killed { ("x", "old") } else { ("y", "2") };
            assert_eq!(rows(&again.unwrap()).await, [(bytes(left.0), bytes(left.1))]);
            assert_eq!(writing.await.unwrap().is_ok(), !killed);
        }
    }
}
