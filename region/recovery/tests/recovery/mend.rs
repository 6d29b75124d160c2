//! A table of one region gets back from its archive what was in a damaged file.

use bytes::Bytes;
use geodynamo_storage::{Commit, Direction, Distrust, Engine, Scan, Spanning, Write};
use geodynamo_table::TableError;

use crate::support::{World, key, n, small, with};

/// The space of items' records.
const ITEMS: u8 = 1;

async fn rows(world: &World) -> Vec<(Bytes, Bytes)> {
    let id = world.tables.table_named("t").unwrap().id();
    let scan = Scan {
        from: std::ops::Bound::Included([&[ITEMS][..], &id.to_be_bytes()].concat().into()),
        to: std::ops::Bound::Excluded([&[ITEMS][..], &(id + 1).to_be_bytes()].concat().into()),
        direction: Direction::Forward,
        rows_max: usize::MAX,
        bytes_max: usize::MAX,
        once: true,
    };
    world.tables.engine().scan(scan).await.unwrap().rows
}

/// As an engine does that takes a damaged file out of use.
async fn lose(world: &World, lost: &[(Bytes, Bytes)]) {
    let engine = world.tables.engine();
    let mut distrust = Distrust::clone(&engine.distrusted().now());
    distrust.add_rows(lost[0].0.clone(), [&lost[lost.len() - 1].0[..], &[0]].concat().into());
    engine.distrusted().change(distrust);
    for (key, _) in lost {
        let commit = Commit {
            writes: vec![Write::Delete(key.clone())],
            ..Commit::default()
        };
        engine.commit(commit).await.unwrap();
    }
}

#[tokio::test]
async fn what_was_lost_comes_back_as_it_was_last_written() {
    let world = World::new(Spanning::Yes, small()).await;
    for number in 0..60 {
        world.put(with(key("p", number), "v", n(number))).await;
    }
    world.switch(true).await;
    world.recoveries.ship().await.unwrap();
    // Behind the base: some are new, some are gone.
    for number in 0..60 {
        world.time.pass(10);
        match number % 3 {
            0 => world.put(with(key("p", number), "v", n(number + 1000))).await,
            1 => {
                let table = world.tables.table("t").unwrap();
                let gone = key("p", number);
                let deleted = world.tables.writes().delete(&table, &gone, Default::default());
                deleted.await.unwrap();
            }
            _ => {}
        }
    }
    world.time.pass(1000);
    let whole = world.items("t").await;
    assert_eq!(whole.len(), 40);
    let id = world.tables.table_named("t").unwrap().id();
    assert!(!world.recoveries.mend(id).await.unwrap(), "there is nothing to mend");
    let all = rows(&world).await;
    lose(&world, &all[10..45]).await;
    let left = world.tables.verify().mend().await.unwrap();
    assert_eq!(left.len(), 1);
    assert!(left[0].peers.is_empty());
    assert!(world.recoveries.mend(id).await.unwrap());
    assert!(world.tables.verify().mend().await.unwrap().is_empty());
    assert_eq!(world.items("t").await, whole);
    world.recoveries.ship().await.unwrap();
    world.time.pass(1000);
    world.recoveries.ship().await.unwrap();
    assert_eq!(world.restored(None, "copy").await.unwrap(), whole);
}

#[tokio::test]
async fn without_an_archive_of_it_a_table_stays_refused() {
    let world = World::new(Spanning::Yes, small()).await;
    for number in 0..20 {
        world.put(with(key("p", number), "v", n(number))).await;
    }
    let all = rows(&world).await;
    lose(&world, &all[5..8]).await;
    let id = world.tables.table_named("t").unwrap().id();
    assert!(!world.recoveries.mend(id).await.unwrap());
    let digest = world.tables.reads().digest("t").await;
    assert!(matches!(digest, Err(TableError::Storage(_))), "{digest:?}");
}
