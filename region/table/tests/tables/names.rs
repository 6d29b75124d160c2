//! Tables of one name that regions make while they do not hear of each other, and the replicas that they then ask for.

use std::collections::BTreeSet;

use geodynamo_storage::Spanning;
use geodynamo_table::{
    DRAIN_MS_MAX, Description, TableError, TableStatus, UpdateTable,
    schema::{Failure, ReplicaStatus},
};

use crate::{
    regions::{Regions, deliver_all},
    replication::owners,
    support::{MODES, NOW, Region, definition, get, key, n, put, s, with},
};

const TAKEN: &str = "Failed to create a the new replica of table with name: 't' because one or more replicas already existed as tables.";

/// Regions that know each other's catalogs, and have no tables.
async fn regions(mode: Spanning, names: &[&'static str]) -> Regions {
    let regions = Regions::new(mode, names).await;
    regions.settle().await;
    regions
}

fn creates(region: &str) -> UpdateTable {
    UpdateTable {
        replica_creates: vec![region.into()],
        ..UpdateTable::default()
    }
}

fn deletes(region: &str) -> UpdateTable {
    UpdateTable {
        replica_deletes: vec![region.into()],
        ..UpdateTable::default()
    }
}

async fn ask(by: &Region, of: &str) -> Result<Description, TableError> {
    by.catalog().update_table("t", creates(of)).await
}

async fn take_back(by: &Region, of: &str) -> Result<Description, TableError> {
    by.catalog().update_table("t", deletes(of)).await
}

/// What a region shows of another's replica of `t`.
fn shown(by: &Region, of: &str) -> Option<(ReplicaStatus, Option<String>)> {
    let table = by.describe("t").unwrap();
    let replica = table.replicas.iter().find(|replica| replica.region == of)?;
    Some((replica.entry.status, replica.failure_text("t")))
}

fn failed() -> Option<(ReplicaStatus, Option<String>)> {
    Some((ReplicaStatus::Failed, Some(TAKEN.into())))
}

fn id(region: &Region) -> u64 {
    region.table("t").unwrap().id()
}

/// A region serves the table of this id as `t`, with the item that it acknowledged, and knows of no replica.
async fn assert_untouched(region: &Region, table: u64, item: &str) {
    assert_eq!(id(region), table);
    assert!(get(region, "t", &key(item, 1)).await.is_some());
    let shown = region.describe("t").unwrap();
    assert_eq!((shown.status, shown.replicas), (TableStatus::Active, vec![]));
}

/// Two regions make `t`, the second puts an item, and the first asks the second for a replica before it can know. Whatever
/// ids the tables got, and whether the request arrives at once or after a cut: the second keeps its table, and the first is
/// told.
#[tokio::test]
async fn a_regions_own_table_is_nobodys_replica() {
    for mode in MODES {
        let mut orders = BTreeSet::new();
        for (later, asker, cut) in (0..16_usize).map(|case| (case as u64 / 4, case % 2, case % 4 < 2)) {
            let mut regions = regions(mode, &["a", "b"]).await;
            regions.times[0].set(NOW + later);
            regions.times[1].set(NOW + 2 * later);
            let owner = 1 - asker;
            {
                let (asking, owning) = (&regions.all[asker], &regions.all[owner]);
                asking.catalog().create_table(definition("t")).await.unwrap();
                put(asking, "t", key("theirs", 1)).await;
                owning.catalog().create_table(definition("t")).await.unwrap();
                put(owning, "t", key("mine", 1)).await;
                orders.insert(id(asking) < id(owning));
                let table = id(owning);
                ask(asking, owning.region()).await.unwrap();
                if cut {
                    for region in &regions.all {
                        regions.settle_among(&[region.region()]).await;
                    }
                    let asked = Some((ReplicaStatus::Creating, None));
                    assert_eq!(shown(asking, owning.region()), asked, "nobody has answered");
                    assert_untouched(owning, table, "mine").await;
                }
                regions.settle().await;

                assert_untouched(owning, table, "mine").await;
                assert!(get(owning, "t", &key("theirs", 1)).await.is_none());
                assert_eq!(shown(asking, owning.region()), failed(), "{mode:?} {later} {asker}");
                assert!(asking.local().is_settled("t"), "it can be changed again");
                assert!(get(asking, "t", &key("theirs", 1)).await.is_some());
                let told = |region: &Region| (region.counts().refused_replicas, region.local().failed_replicas());
                assert_eq!((told(owning), told(asking)), ((1, 1), (0, 1)));

                // What either writes from here on stays its own.
                put(owning, "t", with(key("mine", 1), "x", n(2))).await;
                put(asking, "t", with(key("theirs", 1), "x", n(2))).await;
                regions.settle().await;
                assert!(get(asking, "t", &key("mine", 1)).await.is_none());
                assert_eq!(id(owning), table);
                // It stays so for as long as nobody takes it back, and through restarts.
                let again = ask(asking, owning.region()).await.unwrap_err();
                assert_eq!(again.to_string(), TAKEN);
            }
            let table = id(&regions.all[owner]);
            for at in 0..2 {
                regions.restart(at).await;
            }
            regions.settle().await;
            let (asking, owning) = (&regions.all[asker], &regions.all[owner]);
            assert_eq!(shown(asking, owning.region()), failed());
            assert_untouched(owning, table, "mine").await;

            take_back(asking, owning.region()).await.unwrap();
            regions.settle().await;
            assert_eq!(shown(asking, owning.region()), None);
            assert_eq!(
                (asking.local().failed_replicas(), owning.local().failed_replicas()),
                (0, 0)
            );
            assert_untouched(owning, table, "mine").await;
            // Now it is known.
            let known = ask(asking, owning.region()).await.unwrap_err();
            assert!(
                matches!(&known, TableError::Validation(text) if text == TAKEN),
                "{known}"
            );

            // Once the name is free there, it can be asked anew.
            owning.catalog().delete_table("t").await.unwrap();
            regions.settle().await;
            assert!(!owners(owning).await.contains(&table));
            ask(asking, owning.region()).await.unwrap();
            regions.settle().await;
            assert_eq!(id(owning), id(asking));
            assert_eq!(regions.agree_on_digests("t").await, 1);
        }
        assert_eq!(orders.len(), 2, "both orders of ids were met");
    }
}

#[tokio::test]
async fn a_failed_replica_stays_so_until_it_is_asked_for_anew() {
    for mode in MODES {
        let regions = regions(mode, &["a", "b"]).await;
        let (a, b) = (&regions.all[0], &regions.all[1]);
        a.catalog().create_table(definition("t")).await.unwrap();
        b.catalog().create_table(definition("t")).await.unwrap();
        ask(a, "b").await.unwrap();
        regions.settle().await;
        assert_eq!(shown(a, "b"), failed());
        b.catalog().delete_table("t").await.unwrap();
        regions.settle().await;
        assert!(b.table_named("t").is_err());
        assert_eq!(shown(a, "b"), failed());
        // The name is b's to use again, too.
        b.catalog().create_table(definition("t")).await.unwrap();
        put(b, "t", key("mine", 1)).await;
        regions.settle().await;
        assert_untouched(b, id(b), "mine").await;
        // With its last replica, the table goes, and nothing of it is left anywhere.
        let table = id(a);
        a.catalog().delete_table("t").await.unwrap();
        regions.settle().await;
        assert!(a.table_named("t").is_err());
        assert!(!owners(a).await.contains(&table) && !owners(b).await.contains(&table));
        assert_eq!((a.local().failed_replicas(), b.local().failed_replicas()), (0, 0));
    }
}

#[tokio::test]
async fn regions_that_ask_each_other_keep_their_own_tables() {
    for mode in MODES {
        let regions = regions(mode, &["a", "b", "c"]).await;
        for region in &regions.all {
            region.catalog().create_table(definition("t")).await.unwrap();
            put(region, "t", key(region.region(), 1)).await;
        }
        let [a, b, c] = [0, 1, 2].map(|at| &regions.all[at]);
        ask(a, "b").await.unwrap();
        ask(b, "a").await.unwrap();
        ask(c, "b").await.unwrap();
        regions.settle().await;
        assert_eq!(
            (shown(a, "b"), shown(b, "a"), shown(c, "b")),
            (failed(), failed(), failed())
        );
        for region in &regions.all {
            assert!(region.local().is_settled("t"));
            assert!(get(region, "t", &key(region.region(), 1)).await.is_some());
        }
        assert_eq!(b.counts().refused_replicas, 2);
    }
}

/// A request that was made before a cut, or in it, arrives when the region has long made a table of its own.
#[tokio::test]
async fn a_request_that_comes_late_finds_the_name_taken() {
    for mode in MODES {
        let regions = regions(mode, &["a", "b"]).await;
        let (a, b) = (&regions.all[0], &regions.all[1]);
        a.catalog().create_table(definition("t")).await.unwrap();
        ask(a, "b").await.unwrap();
        regions.times[1].set(NOW + 3_600_000);
        b.catalog().create_table(definition("t")).await.unwrap();
        put(b, "t", key("mine", 1)).await;
        let table = id(b);
        regions.times[0].set(NOW + 3_600_000);
        regions.settle().await;
        assert_untouched(b, table, "mine").await;
        assert_eq!(shown(a, "b"), failed());
    }
}

/// Which of two requests of different tables a region takes is what it hears first; the other one fails.
#[tokio::test]
async fn of_two_requests_the_first_is_taken() {
    for mode in MODES {
        for first in 0..2 {
            let regions = regions(mode, &["a", "b", "c"]).await;
            let [a, b, c] = [0, 1, 2].map(|at| &regions.all[at]);
            for region in [a, b] {
                region.catalog().create_table(definition("t")).await.unwrap();
                put(region, "t", key(region.region(), 1)).await;
                ask(region, "c").await.unwrap();
            }
            let (one, other) = if first == 0 { (a, b) } else { (b, a) };
            deliver_all(one, c).await.unwrap();
            c.background().reconcile().await.unwrap();
            // From here on the name is taken, for requests and for CreateTable.
            let refused = c.catalog().create_table(definition("t")).await.unwrap_err();
            assert!(matches!(refused, TableError::ResourceInUse(_)));
            regions.settle().await;
            assert_eq!(shown(one, "c"), Some((ReplicaStatus::Active, None)));
            assert_eq!(shown(other, "c"), failed());
            assert_eq!(id(c), id(one));
            assert!(get(c, "t", &key(one.region(), 1)).await.is_some());
            assert!(get(c, "t", &key(other.region(), 1)).await.is_none());
        }
    }
}

/// A request that is not answered can be taken back, and the table deleted, whether or not the region has heard of it.
#[tokio::test]
async fn a_request_is_taken_back_before_it_is_answered() {
    for mode in MODES {
        for heard in [false, true] {
            let regions = regions(mode, &["a", "b"]).await;
            let (a, b) = (&regions.all[0], &regions.all[1]);
            a.catalog().create_table(definition("t")).await.unwrap();
            put(a, "t", key("k", 1)).await;
            let table = id(a);
            ask(a, "b").await.unwrap();
            if heard {
                deliver_all(a, b).await.unwrap();
                b.background().reconcile().await.unwrap();
                assert_eq!(b.table_named("t").unwrap().status(), TableStatus::Creating);
            }
            assert!(!a.local().is_settled("t"));
            take_back(a, "b").await.unwrap();
            assert_eq!(shown(a, "b"), None);
            a.catalog().delete_table("t").await.unwrap();
            regions.settle_among(&["a"]).await;
            assert!(a.table_named("t").is_err());
            regions.settle().await;
            assert!(a.table_named("t").is_err() && b.table_named("t").is_err());
            assert!(!owners(a).await.contains(&table) && !owners(b).await.contains(&table));
            b.catalog().create_table(definition("t")).await.unwrap();
        }
    }
}

/// Removing a replica ends the join that was meant, not one that was made since.
#[tokio::test]
async fn an_old_removal_does_not_end_a_new_replica() {
    for mode in MODES {
        let regions = Regions::with_table(mode, &["a", "b", "c"]).await;
        let [a, b, c] = [0, 1, 2].map(|at| &regions.all[at]);
        // a is cut off while the others remove b's replica and ask for a new one, and then removes the old one, too.
        take_back(c, "b").await.unwrap();
        regions.settle_among(&["b", "c"]).await;
        for time in &regions.times {
            time.set(NOW + DRAIN_MS_MAX + 1);
        }
        regions.settle_among(&["b", "c"]).await;
        assert!(b.table_named("t").is_err());
        ask(c, "b").await.unwrap();
        regions.settle_among(&["b", "c"]).await;
        assert_eq!(
            b.table_named("t").unwrap().status(),
            TableStatus::Creating,
            "a has yet to admit it"
        );
        take_back(a, "b").await.unwrap();
        regions.settle().await;
        assert_eq!(id(b), id(c));
        put(b, "t", with(key("k", 1), "x", s("b"))).await;
        regions.settle().await;
        assert_eq!(regions.agree_on_digests("t").await, 1);
        for region in [a, c] {
            assert_eq!(shown(region, "b"), Some((ReplicaStatus::Active, None)));
        }
    }
}

/// A region with a fresh data directory has made a table before it heard what the one before it held.
#[tokio::test]
async fn a_table_that_was_made_after_a_loss_keeps_its_name() {
    for mode in MODES {
        let mut regions = Regions::with_table(mode, &["a", "b", "c"]).await;
        put(&regions.all[0], "t", key("k", 1)).await;
        regions.settle().await;
        let global = id(&regions.all[0]);
        regions.replace(1).await;
        let [a, b, c] = [0, 1, 2].map(|at| &regions.all[at]);
        b.catalog().create_table(definition("t")).await.unwrap();
        put(b, "t", key("mine", 1)).await;
        let table = id(b);
        assert_ne!(table, global);
        regions.settle().await;
        assert_untouched(b, table, "mine").await;
        for region in [a, c] {
            assert_eq!((id(region), shown(region, "b")), (global, failed()));
            assert!(region.local().is_settled("t"));
        }
        assert_eq!(
            a.reads().digest("t").await.unwrap(),
            c.reads().digest("t").await.unwrap()
        );
    }
}

/// A generator of numbers that is the same on every machine (xorshift).
struct Dice(u64);

impl Dice {
    fn below(&mut self, sides: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) as usize % sides
    }
}

/// Regions, what they acknowledged, and which links are cut.
struct Walk {
    regions: Regions,
    acknowledged: Vec<Option<u64>>,
    /// Replicas that somebody ordered away: region and table.
    ordered: BTreeSet<(usize, u64)>,
    cut: BTreeSet<(usize, usize)>,
}

const NAMES: [&str; 3] = ["a", "b", "c"];

impl Walk {
    fn reached(&self, at: usize) -> Vec<&'static str> {
        let is_cut = |other: usize| self.cut.contains(&(at.min(other), at.max(other)));
        (0..NAMES.len())
            .filter(|other| !is_cut(*other))
            .map(|other| NAMES[other])
            .collect()
    }

    async fn order(&mut self, dice: &mut Dice) {
        let (at, other) = (dice.below(3), dice.below(3));
        let region = &self.regions.all[at];
        let table = region.table_named("t").map(|table| table.id()).ok();
        match dice.below(7) {
            0 | 1 => drop(region.catalog().create_table(definition("t")).await),
            2 if at != other => drop(region.catalog().update_table("t", creates(NAMES[other])).await),
            3 if at != other => {
                let done = region.catalog().update_table("t", deletes(NAMES[other])).await.is_ok();
                self.ordered.extend(table.filter(|_| done).map(|table| (other, table)));
            }
            4 => {
                let done = region.catalog().delete_table("t").await.is_ok();
                self.ordered.extend(table.filter(|_| done).map(|table| (at, table)));
            }
            5 if at != other => drop(self.cut.insert((at.min(other), at.max(other)))),
            6 => self.cut.clear(),
            _ => {}
        }
    }

    async fn happen(&self, dice: &mut Dice) {
        let (at, other) = (dice.below(3), dice.below(3));
        let region = &self.regions.all[at];
        match dice.below(3) {
            0 if at != other && self.reached(at).contains(&NAMES[other]) => {
                // What cannot be had now comes again.
                let _ = deliver_all(region, &self.regions.all[other]).await;
            }
            1 => region.background().reconcile().await.unwrap(),
            _ => drop(self.regions.join(region, &self.reached(at)).await),
        }
    }

    /// Clients write what they can, and see what they wrote.
    async fn look(&mut self, context: &str) {
        for (at, name) in NAMES.into_iter().enumerate() {
            let region = &self.regions.all[at];
            let serves = region.table("t").map(|table| table.id()).ok();
            let known = self.acknowledged[at].filter(|table| !self.ordered.contains(&(at, *table)));
            if let Some(table) = known {
                assert_eq!(serves, Some(table), "{context}: the table of {} is out of sight", name);
                let item = get(region, "t", &key(name, 1)).await;
                assert!(item.is_some(), "{context}: an item of {} is lost", name);
            } else if let Some(table) = serves.filter(|table| !self.ordered.contains(&(at, *table))) {
                put(region, "t", key(name, 1)).await;
                self.acknowledged[at] = Some(table);
            }
        }
    }

    async fn end(&mut self, context: &str) {
        self.cut.clear();
        self.regions.settle().await;
        for time in &self.regions.times {
            time.set(NOW + DRAIN_MS_MAX + 1);
        }
        self.regions.settle().await;
        self.look(context).await;
        self.regions.settle().await;
        for region in &self.regions.all {
            let Ok(table) = region.describe("t") else { continue };
            assert_eq!(table.status, TableStatus::Active, "{context}");
            for replica in table.replicas {
                let there = self
                    .regions
                    .all
                    .iter()
                    .find(|there| there.region() == replica.region)
                    .unwrap();
                let theirs = there.table("t").map(|table| table.id()).ok();
                let ours = Some(id(region));
                match replica.entry.status {
                    ReplicaStatus::Active => {
                        assert_eq!(theirs, ours, "{context}: ACTIVE, and not its table");
                        let digests = (
                            there.reads().digest("t").await.unwrap(),
                            region.reads().digest("t").await.unwrap(),
                        );
                        assert_eq!(digests.0, digests.1, "{context}: ACTIVE, and does not replicate");
                    }
                    ReplicaStatus::Failed => assert_ne!(theirs, ours, "{context}"),
                    other => panic!("{context}: {other:?} for ever"),
                }
                assert!(matches!(replica.entry.failure, None | Some(Failure::NameTaken)));
            }
        }
    }
}

/// The laws that the model in `src/replicas/model.rs` is checked for, on tables, catalogs and logs as they are.
#[tokio::test]
async fn random_orders_cuts_and_heals_hide_nothing() {
    let (mut active, mut failures) = (0, 0);
    for seed in 1..=60 {
        let mut dice = Dice(0x9E37_79B9_7F4A_7C15_u64.wrapping_mul(seed));
        let mut walk = Walk {
            regions: regions(MODES[seed as usize % 2], &NAMES).await,
            acknowledged: vec![None; NAMES.len()],
            ordered: BTreeSet::new(),
            cut: BTreeSet::new(),
        };
        for round in 0..60 {
            let context = format!("seed {seed}, round {round}");
            if dice.below(4) == 0 {
                walk.order(&mut dice).await;
            } else {
                walk.happen(&mut dice).await;
            }
            walk.look(&context).await;
        }
        walk.end(&format!("seed {seed}, at the end")).await;
        for table in walk.regions.all.iter().filter_map(|region| region.describe("t").ok()) {
            let count = |status| {
                table
                    .replicas
                    .iter()
                    .filter(|replica| replica.entry.status == status)
                    .count()
            };
            active += count(ReplicaStatus::Active);
            failures += count(ReplicaStatus::Failed);
        }
    }
    assert!(
        active > 10 && failures > 10,
        "{active} ACTIVE, {failures} failed: too tame"
    );
}
