//! Time to live: what expires when, in every region, through restarts, and what wins over it.

use geodynamo_item::{AttributeValue, Item, Number};
use geodynamo_replicator_core::{Change, Origin};
use geodynamo_storage::{MemoryEngine, Spanning};
use geodynamo_table::{Swept, Tables, TimeToLiveStatus, TtlOptions};

use crate::{
    regions::{Regions, batches, deliver_all},
    support::{MODES, NOW, Region, Time, alone_at, definition, get, key, n, options, put, s, with},
};

/// Now in seconds.
const SECONDS: i64 = (NOW / 1000) as i64;
const FIVE_YEARS: i64 = 5 * 36_525 * 864;
const GRACE_MS: u64 = 20_000;

async fn enable(region: &Region) {
    region.expiry().update_time_to_live("t", true, "x").await.unwrap();
}

async fn sweep(region: &Region) -> Swept {
    region.expiry().sweep_expired().await.unwrap()
}

/// An item that expires so many seconds from now.
fn expiring(number: i64, after: i64) -> Item {
    with(
        with(key("k", number), "x", n(SECONDS + after)),
        "g",
        s(&format!("g{}", number % 3)),
    )
}

/// The local changes in a region's logs of the table that are expiries, and all changes that are.
async fn expiries(region: &Region) -> (usize, usize) {
    let changes = changes(region).await;
    let expired: Vec<_> = changes.iter().filter(|change| change.stamp.expiry).collect();
    let local = expired.iter().filter(|change| change.origin == Origin::Local);
    (local.count(), expired.len())
}

async fn changes(region: &Region) -> Vec<Change> {
    let table = region.table("t").unwrap();
    let mut changes = Vec::new();
    for partition in 0..table.partitions().partitions() {
        let id = geodynamo_replicator_core::TableId(table.id());
        let log = geodynamo_replicator_core::LogId::of(region.replica(), id, partition);
        let read = region
            .logs()
            .read_log(log, Default::default(), 10_000, 1 << 24)
            .await
            .unwrap();
        changes.extend(read.into_iter().map(|(_, change)| change));
    }
    changes
}

#[tokio::test]
async fn expired_items_are_deleted_with_their_index_entries_and_others_stay() {
    for mode in MODES {
        let (tables, time) = alone_at(mode).await;
        enable(&tables).await;
        let number = |text: &str| AttributeValue::N(Number::parse(text).unwrap());
        // What the attribute is, and whether the item goes.
        let cases = [
            (Some(n(SECONDS - 1)), true),
            (Some(n(SECONDS - FIVE_YEARS + 5)), true),
            (Some(n(SECONDS)), false),
            (Some(n(SECONDS + 1)), false),
            (Some(n(SECONDS * 1000)), false),
            (Some(n(SECONDS - FIVE_YEARS - 1)), false),
            (Some(n(0)), false),
            (Some(n(-1)), false),
            (Some(number("1E100")), false),
            (Some(number("1000000000.5")), false),
            (Some(s("1")), false),
            (Some(AttributeValue::Bool(true)), false),
            (None, false),
        ];
        for (at, (value, _)) in cases.iter().enumerate() {
            let item = with(key("k", at as i64), "g", s("g"));
            let item = value.clone().map_or(item.clone(), |value| with(item, "x", value));
            put(&tables, "t", item).await;
        }
        assert_eq!(
            sweep(&tables).await,
            Swept {
                expired: 2,
                more: false
            },
            "{mode:?}"
        );
        assert_eq!(
            sweep(&tables).await.expired,
            0,
            "what is too old is not looked at again"
        );
        for (at, (value, goes)) in cases.iter().enumerate() {
            let found = get(&tables, "t", &key("k", at as i64)).await;
            assert_eq!(found.is_none(), *goes, "{value:?} {mode:?}");
        }
        let shown = tables.describe("t").unwrap();
        assert_eq!(shown.items, 11);
        assert_eq!(shown.global_indexes[0].items, 11, "and its index entries with it");

        // Two more seconds, two more items: one of them expires just as the clock reaches the second after it.
        time.set(NOW + 1);
        assert_eq!(sweep(&tables).await.expired, 1);
        time.set(NOW + 1_000);
        assert_eq!(sweep(&tables).await.expired, 0);
        time.set(NOW + 1_001);
        assert_eq!(sweep(&tables).await.expired, 1);
        assert_eq!(tables.counts().expired, 4);
        let (local, all) = expiries(&tables).await;
        assert_eq!((local, all), (4, 4));
    }
}

#[tokio::test]
async fn an_expiry_is_stamped_just_above_the_version_it_expires() {
    for mode in MODES {
        let (tables, _) = alone_at(mode).await;
        enable(&tables).await;
        put(&tables, "t", expiring(1, -5)).await;
        sweep(&tables).await;
        let changes = changes(&tables).await;
        let [written, expired] = &changes[..] else {
            panic!("{changes:?}");
        };
        assert_eq!(expired.stamp, written.stamp.expired());
        assert!(expired.past.covers(written.stamp) && expired.stamp > written.stamp);
        // And whoever writes the key again is above the expiry.
        put(&tables, "t", expiring(1, 100)).await;
        let last = self::changes(&tables).await.pop().unwrap();
        assert!(last.stamp > expired.stamp && last.past.covers(expired.stamp));
    }
}

#[tokio::test]
async fn a_renewed_item_stays() {
    for mode in MODES {
        let (tables, time) = alone_at(mode).await;
        enable(&tables).await;
        put(&tables, "t", expiring(1, 5)).await;
        put(&tables, "t", expiring(2, 5)).await;
        put(&tables, "t", expiring(1, 50)).await;
        let table = tables.table("t").unwrap();
        tables
            .writes()
            .delete(&table, &key("k", 2), Default::default())
            .await
            .unwrap();
        put(&tables, "t", with(key("k", 2), "y", n(1))).await;
        time.set(NOW + 10_000);
        assert_eq!(sweep(&tables).await.expired, 0);
        time.set(NOW + 60_000);
        assert_eq!(sweep(&tables).await.expired, 1);
        assert!(get(&tables, "t", &key("k", 1)).await.is_none() && get(&tables, "t", &key("k", 2)).await.is_some());
    }
}

#[tokio::test]
async fn switched_on_it_finds_the_items_that_are_there_and_switched_off_it_leaves_them() {
    for mode in MODES {
        let (tables, time) = alone_at(mode).await;
        // More than a page of the back-fill.
        for number in 0..1_500 {
            put(&tables, "t", expiring(number, number % 2)).await;
        }
        let status = || tables.expiry().time_to_live("t").unwrap();
        assert_eq!(status(), (TimeToLiveStatus::Disabled, None));
        enable(&tables).await;
        assert_eq!(status(), (TimeToLiveStatus::Enabling, Some("x".into())));
        time.set(NOW + 1);
        let mut swept = sweep(&tables).await;
        assert_eq!(status(), (TimeToLiveStatus::Enabled, Some("x".into())));
        assert_eq!(swept.expired, 750, "{mode:?}");
        time.set(NOW + 3_600_000);
        tables.expiry().update_time_to_live("t", false, "x").await.unwrap();
        assert_eq!(status(), (TimeToLiveStatus::Disabling, Some("x".into())));
        swept = sweep(&tables).await;
        assert_eq!(swept.expired, 0);
        assert_eq!(status(), (TimeToLiveStatus::Disabled, None));
        assert_eq!(tables.describe("t").unwrap().items, 750);

        // By another attribute: what the first one said is forgotten.
        put(&tables, "t", with(key("other", 1), "y", n(SECONDS))).await;
        time.set(NOW + 7_200_000);
        tables.expiry().update_time_to_live("t", true, "y").await.unwrap();
        assert_eq!(sweep(&tables).await.expired, 1);
        assert_eq!(tables.describe("t").unwrap().items, 750);
    }
}

#[tokio::test]
async fn more_than_a_round_takes_goes_in_the_next_one() {
    let (tables, _) = alone_at(Spanning::Yes).await;
    enable(&tables).await;
    for number in 0..2_100 {
        put(&tables, "t", expiring(number, -5)).await;
    }
    let mut expired = 0;
    let mut rounds = 0;
    loop {
        let swept = sweep(&tables).await;
        expired += swept.expired;
        rounds += 1;
        if !swept.more {
            break;
        }
    }
    assert_eq!((expired, rounds), (2_100, 2));
}

#[tokio::test]
async fn a_restart_in_the_middle_of_the_back_fill_or_of_the_sweep_loses_no_expiry() {
    for mode in MODES {
        let time = Time::at(NOW);
        let open = |engine| {
            let time = std::sync::Arc::clone(&time);
            async move { Tables::open(engine, options("a", &["a"], &time)).await.unwrap() }
        };
        let first = open(MemoryEngine::new(mode)).await;
        first.catalog().create_table(definition("t")).await.unwrap();
        for number in 0..3_000 {
            put(&first, "t", expiring(number, -5)).await;
        }
        enable(&first).await;
        // Some way into the back-fill.
        tokio::select! {
            biased;
            swept = first.expiry().sweep_expired() => panic!("the back-fill is over at once: {swept:?}"),
            () = tokio::task::yield_now() => {}
        }
        let second = open(first.engine().crash()).await;
        let (status, attribute) = second.expiry().time_to_live("t").unwrap();
        assert_eq!((status, attribute.as_deref()), (TimeToLiveStatus::Enabling, Some("x")));
        // One round is not all of them.
        let swept = sweep(&second).await;
        assert!(swept.more && swept.expired > 0 && swept.expired < 3_000, "{swept:?}");
        put(&second, "t", expiring(5_000, -5)).await;
        let third = open(second.engine().crash()).await;
        assert_eq!(third.expiry().time_to_live("t").unwrap().0, TimeToLiveStatus::Enabled);
        let mut expired = swept.expired;
        loop {
            let swept = sweep(&third).await;
            expired += swept.expired;
            if !swept.more {
                break;
            }
        }
        assert_eq!(expired, 3_001, "{mode:?}");
        let digest = third.reads().digest("t").await.unwrap();
        assert_eq!(digest.partitions.iter().map(|part| part.items).sum::<u64>(), 0);
    }
}

#[tokio::test]
async fn one_region_expires_an_item_and_the_others_hear_of_it() {
    for mode in MODES {
        let regions = Regions::with_table(mode, &["a", "b"]).await;
        let [a, b] = &regions.all[..] else { unreachable!() };
        enable(a).await;
        regions.settle().await;
        for number in 0..20 {
            put(a, "t", expiring(number, 1)).await;
        }
        regions.settle().await;
        regions.times.iter().for_each(|time| time.set(NOW + 5_000));
        assert_eq!(sweep(b).await.expired, 0, "a's items are a's for a while");
        assert_eq!(b.expiry().time_to_live("t").unwrap().0, TimeToLiveStatus::Enabled);
        assert_eq!(sweep(a).await.expired, 20);
        regions.settle().await;
        assert_eq!(regions.agree("t").await, (0, 20, 0));
        assert_eq!((expiries(a).await, expiries(b).await), ((20, 20), (0, 20)));
        regions.times.iter().for_each(|time| time.set(NOW + 5_000 + GRACE_MS));
        assert_eq!((sweep(a).await.expired, sweep(b).await.expired), (0, 0));
    }
}

#[tokio::test]
async fn regions_that_are_cut_off_expire_the_same_items_without_a_conflict() {
    for mode in MODES {
        let regions = Regions::with_table(mode, &["a", "b"]).await;
        let [a, b] = &regions.all[..] else { unreachable!() };
        enable(a).await;
        for number in 0..20 {
            put(a, "t", expiring(number, 1)).await;
        }
        regions.settle().await;
        regions.times.iter().for_each(|time| time.set(NOW + 5_000 + GRACE_MS));
        assert_eq!((sweep(a).await.expired, sweep(b).await.expired), (20, 20));
        let counts = b.counts();
        regions.settle().await;
        assert_eq!(regions.agree("t").await, (0, 20, 0));
        assert_eq!(b.counts().conflicts, 0);
        assert_eq!(b.counts().applied, counts.applied, "each region has them already");
    }
}

#[tokio::test]
async fn a_renewal_that_did_not_know_of_the_expiry_wins_over_it() {
    for mode in MODES {
        for expiry_first in [true, false] {
            let regions = Regions::with_table(mode, &["a", "b"]).await;
            let [a, b] = &regions.all[..] else { unreachable!() };
            enable(a).await;
            put(a, "t", expiring(1, 1)).await;
            regions.settle().await;
            regions.times.iter().for_each(|time| time.set(NOW + 5_000));
            // Region a lets it expire; b, which has not heard of that, renews it.
            assert_eq!(sweep(a).await.expired, 1);
            put(b, "t", expiring(1, 400)).await;
            put(b, "t", expiring(1, 500)).await;
            let (from, to) = if expiry_first { (a, b) } else { (b, a) };
            deliver_all(from, to).await.unwrap();
            regions.settle().await;
            // The expiry is the loser of the conflict.
            assert_eq!(regions.agree("t").await, (1, 0, 1), "{mode:?} {expiry_first}");
            for region in [a, b] {
                assert_eq!(get(region, "t", &key("k", 1)).await.unwrap(), expiring(1, 500));
                assert_eq!(sweep(region).await.expired, 0);
            }
            // And it expires when the renewal says so, in b, which wrote it.
            regions.times.iter().for_each(|time| time.set(NOW + 501_000));
            assert_eq!((sweep(a).await.expired, sweep(b).await.expired), (0, 1));
            regions.settle().await;
            assert_eq!(regions.agree("t").await, (0, 1, 1));
        }
    }
}

#[tokio::test]
async fn a_region_whose_maker_is_gone_expires_its_items_after_the_grace() {
    let regions = Regions::with_table(Spanning::Yes, &["a", "b"]).await;
    let [a, b] = &regions.all[..] else { unreachable!() };
    enable(a).await;
    put(a, "t", expiring(1, 1)).await;
    regions.settle().await;
    // a is not heard of again.
    regions.times[1].set(NOW + 1_000 + GRACE_MS);
    assert_eq!(sweep(b).await.expired, 0);
    regions.times[1].set(NOW + 1_001 + GRACE_MS);
    assert_eq!(sweep(b).await.expired, 1);
    assert!(!batches(b, a).await.is_empty(), "a hears of it when it is back");
    regions.settle().await;
    assert_eq!(regions.agree("t").await, (0, 1, 0));
}

#[tokio::test]
async fn a_copied_table_expires_too() {
    for mode in MODES {
        let regions = Regions::new(mode, &["a", "b"]).await;
        let [a, b] = &regions.all[..] else { unreachable!() };
        a.catalog().create_table(definition("t")).await.unwrap();
        for number in 0..50 {
            put(a, "t", expiring(number, 1)).await;
        }
        enable(a).await;
        sweep(a).await;
        regions.add("t", "b").await;
        put(a, "t", expiring(99, 1)).await;
        regions.settle().await;
        regions.times[1].set(NOW + 2_000 + GRACE_MS);
        assert_eq!(sweep(b).await.expired, 51, "{mode:?}");
    }
}

#[tokio::test]
async fn a_dropped_table_takes_its_expiry_index_with_it() {
    for mode in MODES {
        let (tables, time) = alone_at(mode).await;
        enable(&tables).await;
        put(&tables, "t", expiring(1, 5)).await;
        sweep(&tables).await;
        let before = rows(&tables).await;
        tables.catalog().delete_table("t").await.unwrap();
        while tables.table_named("t").is_ok() {
            tables.background().reconcile().await.unwrap();
        }
        time.set(NOW + 10_000);
        assert_eq!(sweep(&tables).await.expired, 0);
        assert!(before.0 == 1 && before.1 == 1, "{before:?}");
        assert_eq!(rows(&tables).await, (0, 0), "{mode:?}");
    }
}

/// How many entries expiry indexes have, and how many states are kept of them.
async fn rows(tables: &Region) -> (usize, usize) {
    use geodynamo_storage::Engine;
    let count = async |from: &[u8], to: &[u8]| {
        let scan = geodynamo_storage::Scan {
            from: std::ops::Bound::Included(from.to_vec().into()),
            to: std::ops::Bound::Excluded(to.to_vec().into()),
            direction: Default::default(),
            rows_max: 1_000,
            bytes_max: 1 << 20,
            once: false,
        };
        tables.engine().scan(scan).await.unwrap().rows
    };
    let states = count(&[0], &[1]).await;
    let states = states.iter().filter(|(key, _)| key[17..].starts_with(b"ttl/")).count();
    (count(&[9], &[10]).await.len(), states)
}

#[tokio::test]
async fn the_setting_may_change_once_an_hour() {
    let (tables, time) = alone_at(Spanning::Yes).await;
    let change = async |enabled: bool, attribute: &str| {
        let result = tables.expiry().update_time_to_live("t", enabled, attribute).await;
        result.err().map(|error| error.to_string())
    };
    let soon = Some("Time to live has been modified multiple times within a fixed interval".to_owned());
    assert_eq!(change(true, "x").await, None);
    assert_eq!(change(false, "x").await, soon);
    time.set(NOW + TtlOptions::default().change_interval_ms - 1);
    assert_eq!(change(false, "x").await, soon);
    time.set(NOW + TtlOptions::default().change_interval_ms);
    assert_eq!(change(false, "x").await, None);
    assert_eq!(change(true, "y").await, soon);
    assert!(tables.expiry().update_time_to_live("none", true, "x").await.is_err());
}

#[tokio::test]
async fn renewals_by_the_writer_of_what_another_region_let_expire_are_conflicts_too() {
    for mode in MODES {
        for expiry_first in [true, false] {
            let regions = Regions::with_table(mode, &["a", "b"]).await;
            let [a, b] = &regions.all[..] else { unreachable!() };
            enable(a).await;
            put(a, "t", expiring(1, 1)).await;
            regions.settle().await;
            // Only b's clock is past the grace; a, which wrote the item, renews it twice, so b sees only the second.
            regions.times[1].set(NOW + 2_000 + GRACE_MS);
            assert_eq!(sweep(b).await.expired, 1);
            put(a, "t", expiring(1, 400)).await;
            put(a, "t", expiring(1, 500)).await;
            let (from, to) = if expiry_first { (b, a) } else { (a, b) };
            deliver_all(from, to).await.unwrap();
            regions.settle().await;
            assert_eq!(regions.agree("t").await, (1, 0, 1), "{mode:?} {expiry_first}");
            assert_eq!(get(b, "t", &key("k", 1)).await.unwrap(), expiring(1, 500));
        }
    }
}
