//! Random histories, restored to random moments, against a plain model.

use geodynamo_recovery::{Job, Moment, archived_tables};
use geodynamo_storage::Spanning;
use geodynamo_table::{TransactAction, TransactWrite, UpdateTable};
use rand::{Rng, SeedableRng, rngs::StdRng};

use crate::support::{Items, World, index, key, n, place, s, small, with};

/// How many histories.
const SEEDS: u64 = 8;
const STEPS: usize = 300;

/// What the model knows: the state after each commit, and when that was.
struct History {
    states: Vec<(u64, Items)>,
}

impl History {
    fn at(&self, ms: u64) -> &Items {
        let after = self.states.partition_point(|(at, _)| *at <= ms);
        &self.states[after - 1].1
    }
}

async fn history(world: &mut World, rng: &mut StdRng) -> History {
    let mut now = Items::new();
    world.switch(true).await;
    world.recoveries.ship().await.unwrap();
    let mut states = vec![(0, now.clone())];
    let table = world.tables.table("t").unwrap();
    let mut number = 0;
    for _ in 0..STEPS {
        world.time.pass(rng.random_range(0..4));
        let kind = rng.random_range(0..11);
        let mut item = || {
            number += 1;
            let item = with(
                key(["x", "y\0z", ""][rng.random_range(0..2)], rng.random_range(0..12)),
                "v",
                n(number),
            );
            let text = "long".repeat(rng.random_range(0..20));
            match rng.random_range(0..3) {
                0 => with(item, "g", s(&format!("g{text}"))),
                1 => with(item, "ttl", n((crate::support::NOW / 1000) as i64)),
                _ => with(item, "l", s(&format!("l{text}"))),
            }
        };
        match kind {
            10 => {
                // A transaction over several keys.
                let items: Items = (0..4).map(|_| item()).map(|item| (place(&item), item)).collect();
                let put = |item: &geodynamo_item::Item| TransactWrite {
                    table: table.clone(),
                    action: TransactAction::Put(item.clone()),
                    values_bytes: 0,
                    condition: None,
                    old_on_failure: false,
                };
                let actions = items.values().map(put).collect();
                if world.tables.writes().transact_write(actions, None).await.is_ok() {
                    now.extend(items);
                }
            }
            3 | 7 => {
                let item = item();
                let at = key(&place(&item).0, place(&item).1);
                world
                    .tables
                    .writes()
                    .delete(&table, &at, Default::default())
                    .await
                    .unwrap();
                now.remove(&place(&item));
            }
            _ => {
                let item = item();
                world.put(item.clone()).await;
                now.insert(place(&item), item);
            }
        }
        states.push((world.time.now(), now.clone()));
        match rng.random_range(0..40) {
            0..8 => world.recoveries.ship().await.unwrap(),
            8 => world.restart(small()),
            9 => world.tables.streams().trim_logs().await.unwrap(),
            10 => {
                // An index comes or goes; the items stay.
                let there = world
                    .tables
                    .table("t")
                    .unwrap()
                    .indexes()
                    .iter()
                    .any(|index| index.name == "by-v2");
                let update = UpdateTable {
                    index_creates: if there { vec![] } else { vec![index("by-v2", "w")] },
                    index_deletes: if there { vec!["by-v2".into()] } else { vec![] },
                    ..UpdateTable::default()
                };
                world.tables.catalog().update_table("t", update).await.unwrap();
                while world.tables.backfill().build_indexes().await.unwrap() {}
            }
            11 if number % 3 == 0 => {
                let _ = world.tables.expiry().update_time_to_live("t", true, "ttl").await;
                world.time.pass(3_600_000);
                while world.tables.expiry().sweep_expired().await.unwrap().more {}
                now = world.items("t").await;
                states.push((world.time.now(), now.clone()));
                let _ = world.tables.expiry().update_time_to_live("t", false, "ttl").await;
                world.time.pass(3_600_000);
            }
            _ => {}
        }
    }
    world.time.pass(5);
    world.recoveries.ship().await.unwrap();
    History { states }
}

async fn items_at(world: &World, job: &Job, after: Option<(u64, bytes::Bytes)>) -> Items {
    let mut moment = Moment::open(&world.archive, job, after, small().overlay_bytes_max)
        .await
        .unwrap();
    let mut items = Items::new();
    let mut last = None;
    while let Some(rows) = moment.next_rows(3, 1000).await.unwrap() {
        for row in rows {
            let at = (row.route, row.key.clone());
            assert!(last < Some(at.clone()), "rows are in order, each once");
            last = Some(at);
            let item = row.decode().unwrap();
            items.insert(place(&item), item);
        }
    }
    items
}

#[tokio::test]
async fn every_moment_is_what_it_was() {
    for seed in 0..SEEDS {
        let spanning = if seed % 4 == 3 { Spanning::No } else { Spanning::Yes };
        let mut rng = StdRng::seed_from_u64(seed);
        let mut world = World::new(spanning, small()).await;
        let history = history(&mut world, &mut rng).await;
        let chains = archived_tables(&world.archive, "a", Some("t")).await.unwrap();
        let (first, last) = chains.iter().fold((u64::MAX, 0), |(first, last), chain| {
            (first.min(chain.window().0), last.max(chain.window().1))
        });
        let (mut bases, mut caught) = (std::collections::BTreeSet::new(), 0);
        for number in 0..100 {
            // Any moment, and the very one of a commit.
            let commit = history.states[rng.random_range(0..history.states.len())].0;
            let at = match number % 2 {
                0 => rng.random_range(first..=last),
                _ => commit.clamp(first, last),
            };
            let job = chains.iter().rev().find_map(|chain| chain.job(at)).unwrap();
            bases.insert(job.base.clone());
            let expected = history.at(at);
            assert_eq!(
                &items_at(&world, &job, None).await,
                expected,
                "seed {seed}, moment {at}"
            );
            // Negative control: the cut of the log is off by one.
            let off = Job {
                at_ms: Some(at - 1),
                ..job
            };
            if off.base_ms < at && history.at(at - 1) != expected {
                assert_ne!(
                    &items_at(&world, &off, None).await,
                    expected,
                    "seed {seed}, moment {at}"
                );
                caught += 1;
            }
        }
        assert!(bases.len() > 1, "seed {seed}: the history is longer than one base");
        assert!(caught > 0, "seed {seed}: some moment differs from the one before");
        for number in 0..5 {
            let at = rng.random_range(first..=last);
            let restored = world.restored(Some(at), &format!("r{number}")).await.unwrap();
            assert_eq!(&restored, history.at(at), "seed {seed}, moment {at}");
        }
        assert_eq!(&world.restored(None, "latest").await.unwrap(), history.at(u64::MAX));
    }
}

#[tokio::test]
async fn a_restore_goes_on_where_it_was() {
    let mut rng = StdRng::seed_from_u64(77);
    let mut world = World::new(Spanning::Yes, small()).await;
    let history = history(&mut world, &mut rng).await;
    let chains = archived_tables(&world.archive, "a", Some("t")).await.unwrap();
    let chain = chains.last().unwrap();
    let job = chain.job(chain.window().1).unwrap();
    let expected = history.at(chain.window().1);
    let whole = items_at(&world, &job, None).await;
    assert_eq!(&whole, expected);
    let mut moment = Moment::open(&world.archive, &job, None, 400).await.unwrap();
    let mut before = 0;
    while let Some(rows) = moment.next_rows(1, 1).await.unwrap() {
        before += 1;
        let after = rows.last().map(|row| (row.route, row.key.clone()));
        assert_eq!(items_at(&world, &job, after).await.len(), expected.len() - before);
    }
}
