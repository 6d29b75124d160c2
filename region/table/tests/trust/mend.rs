//! What a damaged file held is refused, taken for absent by nobody, and mended from other regions.

use bytes::Bytes;
use geodynamo_storage::{Commit, Distrust, Engine, LogId, Position, Spanning, StorageError, Write};
use geodynamo_table::{TableError, Tables};

use crate::{
    regions::{Regions, deliver_all},
    support::{MODES, NOW, Region, Time, alone, get, key, options, put, s, with},
    verify::{ITEMS, rows, verify},
};

/// The space of global index entries.
const GLOBAL: u8 = 2;

async fn fill(region: &Region, count: usize) {
    for number in 0..count {
        let item = with(key(&format!("p{}", number % 97), number as i64), "g", s("indexed"));
        put(region, "t", with(item, "l", s(&number.to_string()))).await;
    }
}

/// Takes rows away as an engine does that takes a damaged file out of use: it says so first. Unless `said`, it does not.
async fn lose(region: &Region, lost: &[(Bytes, Bytes)], said: bool) {
    let (from, last) = (lost[0].0.clone(), &lost[lost.len() - 1].0);
    if said {
        let to = Bytes::from([&last[..], &[0]].concat());
        let mut distrust = Distrust::clone(&region.engine().distrusted().now());
        distrust.add_rows(from, to);
        region.engine().distrusted().change(distrust);
    }
    for (key, _) in lost {
        let commit = Commit {
            writes: vec![Write::Delete(key.clone())],
            ..Commit::default()
        };
        region.engine().commit(commit).await.unwrap();
    }
}

/// The key of a stored item: of its partition key and number, which `fill` gave it.
fn key_of(region: &Region, engine_key: &Bytes) -> geodynamo_item::Item {
    for number in 0..1000 {
        let partition = format!("p{}", number % 97);
        let candidate = key(&partition, number);
        if region.table("t").unwrap().key_of(&candidate).unwrap().bytes()[..] == engine_key[17..] {
            return candidate;
        }
    }
    panic!("no item of these tests has that key");
}

fn is_refused<T: std::fmt::Debug>(answer: Result<T, TableError>) {
    assert!(
        matches!(answer, Err(TableError::Storage(StorageError::Distrusted))),
        "{answer:?}"
    );
}

/// Verifies and mends until nothing is in doubt.
async fn mend(regions: &Regions, at: usize) {
    for round in 0..60 {
        let left = regions.all[at].verify().mend().await.unwrap();
        if regions.all[at].engine().distrusted().now().is_empty() {
            return;
        }
        assert!(left.iter().all(|of| !of.peers.is_empty()), "{left:?}");
        for (other, answerer) in regions.all.iter().enumerate() {
            if other != at {
                while verify(&regions.all[at], answerer).await.is_some() {}
            }
        }
        // Whoever was asked too early is asked again.
        regions.times[at].set(NOW + 11_000 * (round + 1));
        regions.exchange().await;
    }
    panic!("it is never mended: {:?}", regions.all[at].engine().distrusted().now());
}

#[tokio::test(start_paused = true)]
async fn what_is_lost_is_refused_and_then_mended_from_the_others() {
    for mode in MODES {
        let regions = Regions::with_table(mode, &["a", "b", "c"]).await;
        let (a, b) = (&regions.all[0], &regions.all[1]);
        fill(a, 300).await;
        regions.settle().await;
        let table = b.table("t").unwrap();
        let items = rows(b, ITEMS).await;
        let lost = items[100..140].to_vec();
        let (first, other) = (key_of(b, &lost[0].0), key_of(b, &items[10].0));
        lose(b, &lost, true).await;
        let entries = {
            let index = table.indexes().iter().find(|index| index.is_global()).unwrap();
            let all = index_rows(b, index.kind).await;
            assert_eq!(all.len(), 300);
            all
        };
        lose(b, &entries[50..60], true).await;

        // Nobody is told that they are not there; the rest is served.
        is_refused(b.reads().get(&table, &first).await.map(|_| ()));
        is_refused(
            b.writes()
                .put(&table, first.clone(), Default::default())
                .await
                .map(|_| ()),
        );
        is_refused(b.reads().digest("t").await.map(|_| ()));
        assert!(get(b, "t", &other).await.is_some());
        put(b, "t", with(other.clone(), "x", s("new"))).await;
        // Links go on, both ways: what another region writes now counts by its stamp.
        put(a, "t", with(first.clone(), "g", s("another"))).await;
        regions.exchange().await;
        is_refused(b.reads().get(&table, &first).await.map(|_| ()));
        assert_eq!(get(a, "t", &other).await.unwrap(), with(other.clone(), "x", s("new")));
        // A region that asks the damaged one gets no answer, and loses nothing.
        a.verify().verify_now(Some("t")).unwrap();
        let (_, ended, _) = verify(a, b).await.unwrap();
        assert!(ended.is_err(), "{ended:?}");

        mend(&regions, 1).await;
        regions.settle().await;
        let whole = a.reads().digest("t").await.unwrap();
        for region in &regions.all {
            assert_eq!(region.reads().digest("t").await.unwrap(), whole, "{mode:?}");
        }
        assert_eq!(get(b, "t", &first).await.unwrap(), with(first, "g", s("another")));
        assert!(b.verify().unmended().is_empty());
        assert!(a.verify().verify_counts().healed.is_empty());
    }
}

fn own_logs(region: &Region, table: u64) -> Vec<geodynamo_replicator_core::LogInfo> {
    let mut logs = region.logs().logs_to("b");
    logs.retain(|info| info.table.0 == table);
    logs
}

async fn index_rows(region: &Region, kind: geodynamo_table::schema::IndexKind) -> Vec<(Bytes, Bytes)> {
    let geodynamo_table::schema::IndexKind::Global(id) = kind else {
        return Vec::new();
    };
    let scan = geodynamo_storage::Scan {
        from: std::ops::Bound::Included([&[GLOBAL][..], &id.to_be_bytes()].concat().into()),
        to: std::ops::Bound::Excluded([&[GLOBAL][..], &(id + 1).to_be_bytes()].concat().into()),
        direction: Default::default(),
        rows_max: usize::MAX,
        bytes_max: usize::MAX,
        once: true,
    };
    region.engine().scan(scan).await.unwrap().rows
}

/// An engine that loses rows without a word: they are taken for absent.
#[tokio::test(start_paused = true)]
async fn without_a_word_what_is_lost_is_taken_for_absent() {
    let regions = Regions::with_table(Spanning::Yes, &["a", "b"]).await;
    let (a, b) = (&regions.all[0], &regions.all[1]);
    fill(a, 50).await;
    regions.settle().await;
    let items = rows(b, ITEMS).await;
    let first = key_of(b, &items[20].0);
    lose(b, &items[20..30], false).await;
    assert_eq!(get(b, "t", &first).await, None);
}

/// Records of a log are lost that the other region had not got: it gets the items by being compared with.
#[tokio::test(start_paused = true)]
async fn a_log_that_lost_records_has_others_compared_with() {
    let regions = Regions::with_table(Spanning::Yes, &["a", "b"]).await;
    let (a, b) = (&regions.all[0], &regions.all[1]);
    fill(a, 50).await;
    let table = a.table("t").unwrap();
    let mut distrust = Distrust::default();
    for info in own_logs(a, table.id()) {
        let log = LogId(info.log.0);
        let end = a.engine().log_end(log).await.unwrap();
        distrust.add_records((0, log, Position(1)), (0, log, Position(end.0 + 1)));
    }
    a.engine().distrusted().change(distrust);
    for info in own_logs(a, table.id()) {
        let log = LogId(info.log.0);
        let end = a.engine().log_end(log).await.unwrap();
        a.engine().log_trim(log, end).await.unwrap();
    }
    regions.exchange().await;
    assert_eq!(rows(b, ITEMS).await.len(), 0, "no link brings it");
    for round in 0..60 {
        a.verify().mend().await.unwrap();
        if a.engine().distrusted().now().is_empty() {
            break;
        }
        while verify(a, b).await.is_some() {}
        while verify(b, a).await.is_some() {}
        deliver_all(a, b).await.unwrap();
        for time in &regions.times {
            time.set(NOW + 11_000 * (round + 1));
        }
    }
    assert!(a.engine().distrusted().now().is_empty());
    assert_eq!(rows(b, ITEMS).await.len(), 50);
}

#[tokio::test(start_paused = true)]
async fn a_table_that_no_other_region_has_stays_refused_and_is_told_of() {
    let (a, table) = alone(Spanning::Yes).await;
    fill(&a, 50).await;
    let items = rows(&a, ITEMS).await;
    let (first, other) = (key_of(&a, &items[20].0), key_of(&a, &items[1].0));
    lose(&a, &items[20..30], true).await;
    let left = a.verify().mend().await.unwrap();
    assert_eq!((left.len(), left[0].table.as_str(), left[0].ranges), (1, "t", 1));
    assert!(left[0].peers.is_empty());
    assert_eq!(a.verify().unmended(), left);
    is_refused(a.reads().get(&table, &first).await.map(|_| ()));
    assert!(get(&a, "t", &other).await.is_some());
    // Once somebody has brought them back from elsewhere, they are served.
    for (key, value) in &items[20..30] {
        let commit = Commit {
            writes: vec![Write::Put(key.clone(), value.clone())],
            ..Commit::default()
        };
        a.engine().commit(commit).await.unwrap();
    }
    let ranges = a.verify().unmended_rows(table.id());
    a.verify().mended(table.id(), &ranges).await.unwrap();
    assert!(get(&a, "t", &first).await.is_some());
    assert!(a.verify().mend().await.unwrap().is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_replica_that_lost_its_own_state_does_not_start() {
    let (a, _) = alone(Spanning::Yes).await;
    let mut distrust = Distrust::default();
    distrust.add_rows(Bytes::from_static(&[0, 0]), Bytes::from_static(&[0, 1]));
    a.engine().distrusted().change(distrust);
    let refused = Tables::open(a.engine().crash(), options("a", &["a"], &Time::at(NOW))).await;
    assert!(matches!(refused.map(|_| ()), Err(TableError::Corrupt(text)) if text.contains("new data directory")));
}
