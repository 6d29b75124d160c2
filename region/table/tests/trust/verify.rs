//! Verification: what differs is found, healed from the region that has it, and nothing else moves.

use bytes::Bytes;
use geodynamo_replicator_core::{
    ReplicaId, TableId, frame,
    verify::{Answer, Question, Verified, Verifier, VerifierAction, VerifyOrder},
};
use geodynamo_storage::{Commit, Direction, Engine, Scan, Spanning, Write};
use geodynamo_table::{HealReason, TableError};
use proptest::prelude::*;

use crate::{
    regions::{Regions, deliver_all, peer},
    support::{MODES, NOW, Region, get, key, n, put, s, with},
};

/// Items' records, and conflict records: spaces of engine keys.
pub(crate) const ITEMS: u8 = 1;
const CONFLICTS: u8 = 3;

/// Carries out the verification that is due between two regions, if one is; gives what it showed and the bytes that
/// travelled.
pub(crate) async fn verify(
    asker: &Region,
    answerer: &Region,
) -> Option<(VerifyOrder, Result<Verified, String>, usize)> {
    let order = asker.verify().verification_due(answerer.region())?;
    let mut verifier = Verifier::new(&order, asker.replica(), answerer.replica());
    let (mut answers, mut bytes) = (Vec::new(), 0);
    let ended = loop {
        match verifier.poll_action().unwrap() {
            VerifierAction::Send(question) => {
                bytes += frame::encode(&question).unwrap().len();
                answers.extend(answer(asker, answerer, order.table, question).await);
            }
            VerifierAction::Receive => {
                let answer = answers.remove(0);
                bytes += frame::encode(&answer).unwrap().len();
                verifier.answered(answer);
            }
            VerifierAction::Do(task) => match asker.verify().verify_do(&order, &peer(answerer), task).await {
                Ok(done) => verifier.done(done),
                Err(error) => verifier.failed(error.0),
            },
            VerifierAction::Done(verified) => break Ok(verified),
            VerifierAction::GiveUp(reason) => break Err(reason),
        }
    };
    asker.verify().verify_ended(&order, ended.clone());
    Some((order, ended, bytes))
}

async fn answer(asker: &Region, answerer: &Region, table: TableId, question: Question) -> Option<Answer> {
    let answered = match question {
        Question::Begin { replica, standing, .. } => answerer
            .verify()
            .verify_begin(asker.region(), table, replica, standing)
            .await
            .map(Some),
        question => answerer.verify().verify_answer(asker.region(), table, question).await,
    };
    answered.unwrap_or_else(|error| Some(Answer::Refused { reason: error.0 }))
}

/// Verifies everything between all regions, while links go on, until all is proven; gives the bytes that travelled.
pub(crate) async fn verify_all(regions: &Regions) -> usize {
    let mut bytes = 0;
    for _ in 0..20 {
        for region in &regions.all {
            region.verify().verify_now(None).unwrap();
        }
        let mut unproven = 0;
        for asker in &regions.all {
            for answerer in &regions.all {
                while let Some((_, ended, moved)) = verify(asker, answerer).await {
                    unproven += ended.unwrap().unproven.len();
                    bytes += moved;
                    // What was healed is passed over by links.
                    deliver_all(asker, answerer).await.unwrap();
                    deliver_all(answerer, asker).await.unwrap();
                }
            }
        }
        if unproven == 0 {
            return bytes;
        }
        regions.settle().await;
    }
    panic!("replicas are never proven equal");
}

/// All rows of a table in a space.
pub(crate) async fn rows(region: &Region, space: u8) -> Vec<(Bytes, Bytes)> {
    let id = region.table_named("t").unwrap().id();
    let from = [&[space][..], &id.to_be_bytes()].concat();
    let to = [&[space][..], &(id + 1).to_be_bytes()].concat();
    let scan = Scan {
        from: std::ops::Bound::Included(from.into()),
        to: std::ops::Bound::Excluded(to.into()),
        direction: Direction::Forward,
        rows_max: usize::MAX,
        bytes_max: usize::MAX,
        once: true,
    };
    region.engine().scan(scan).await.unwrap().rows
}

/// Writes behind the tables' back.
async fn harm(region: &Region, writes: Vec<Write>) {
    for write in writes {
        let commit = Commit {
            writes: vec![write],
            ..Commit::default()
        };
        region.engine().commit(commit).await.unwrap();
    }
}

fn flipped(value: &Bytes, at: usize) -> Bytes {
    let mut bytes = value.to_vec();
    let at = at % bytes.len();
    bytes[at] ^= 4;
    bytes.into()
}

fn healed(region: &Region) -> Vec<(HealReason, u64)> {
    region.verify().verify_counts().healed.into_iter().collect()
}

async fn fill(region: &Region, count: usize) {
    for number in 0..count {
        let item = with(key(&format!("p{}", number % 97), number as i64), "g", s("indexed"));
        put(region, "t", with(item, "l", s(&number.to_string()))).await;
    }
}

async fn settle(regions: &Regions) {
    // A batch takes 64 changes of a log.
    regions.settle().await;
    assert_eq!(
        regions.all[0].reads().digest("t").await.unwrap(),
        regions.all[1].reads().digest("t").await.unwrap()
    );
}

#[tokio::test(start_paused = true)]
async fn equal_replicas_are_proven_equal_and_move_next_to_nothing() {
    for mode in MODES {
        let regions = Regions::with_table(mode, &["a", "b"]).await;
        fill(&regions.all[0], 3000).await;
        settle(&regions).await;
        let logged = regions.logged();
        let bytes = verify_all(&regions).await;
        // Three tables, both ways.
        assert!(bytes < 10_000, "{bytes} bytes for 3,000 items");
        for (region, other) in [(0, "b"), (1, "a")] {
            let reports = regions.all[region].verify().verify_report(Some("t")).unwrap();
            let pair = &reports[0].peers[other];
            assert_eq!((pair.proven.len(), pair.rows, pair.in_flight), (4, 3000, 0));
            let up_to = &pair.proven[&0].up_to;
            assert!(up_to["a"].millis() >= NOW && up_to["b"].millis() >= NOW, "{up_to:?}");
            assert_eq!(healed(&regions.all[region]), []);
        }
        assert_eq!(regions.logged(), logged);
    }
}

#[tokio::test(start_paused = true)]
async fn what_one_lacks_is_brought_and_nothing_else() {
    for mode in MODES {
        let regions = Regions::with_table(mode, &["a", "b"]).await;
        let (a, b) = (&regions.all[0], &regions.all[1]);
        fill(a, 500).await;
        settle(&regions).await;
        let before = rows(b, ITEMS).await;
        for number in 0..100 {
            put(a, "t", with(key(&format!("p{}", number % 97), number), "x", n(2))).await;
        }
        // A conflict, and a tombstone.
        put(a, "t", with(key("c", 1), "x", n(1))).await;
        put(b, "t", with(key("c", 1), "x", n(2))).await;
        put(b, "t", key("d", 1)).await;
        settle(&regions).await;
        let table = b.table("t").unwrap();
        b.writes()
            .delete(&table, &key("d", 1), Default::default())
            .await
            .unwrap();
        settle(&regions).await;
        let whole = rows(a, ITEMS).await;
        let indexes = a.reads().digest("t").await.unwrap().indexes;

        // What b held before an update is put back; some of a's items are lost; so are b's conflict record and a's tombstone.
        let now = rows(b, ITEMS).await;
        let old: Vec<_> = before
            .iter()
            .filter(|(key, value)| now.iter().any(|(known, is)| known == key && is != value))
            .take(7)
            .map(|(key, value)| Write::Put(key.clone(), value.clone()))
            .collect();
        assert_eq!(old.len(), 7);
        harm(b, old).await;
        let conflicts = rows(b, CONFLICTS).await;
        assert_eq!(conflicts.len(), 1);
        harm(b, vec![Write::Delete(conflicts[0].0.clone())]).await;
        let unharmed =
            |(key, value): &&(Bytes, Bytes)| value[2] & 1 == 0 && before.contains(&(key.clone(), value.clone()));
        let lost = now.iter().filter(unharmed).take(5);
        harm(a, lost.map(|(key, _)| Write::Delete(key.clone())).collect()).await;
        let tombstone = now.iter().find(|(_, value)| value[2] & 1 == 1).unwrap();
        harm(a, vec![Write::Delete(tombstone.0.clone())]).await;
        assert_ne!(rows(a, ITEMS).await, whole);

        let bytes = verify_all(&regions).await;
        for region in [a, b] {
            assert_eq!(rows(region, ITEMS).await, whole, "{mode:?}");
            assert_eq!(region.reads().digest("t").await.unwrap().indexes, indexes, "{mode:?}");
        }
        assert_eq!(rows(a, CONFLICTS).await, rows(b, CONFLICTS).await);
        assert_eq!(healed(a), [(HealReason::Missing, 6)]);
        assert_eq!(healed(b), [(HealReason::Outdated, 7), (HealReason::Conflict, 1)]);
        assert!(bytes < 200_000, "{bytes}");
        let report = b.verify().verify_report(Some("t")).unwrap().remove(0);
        assert_eq!(report.peers["a"].last_healed.len(), 8);
        // Once is enough, and what was healed goes to nobody: it came from where it was.
        verify_all(&regions).await;
        assert_eq!(healed(a), [(HealReason::Missing, 6)]);
        let logged = regions.logged();
        regions.settle().await;
        assert_eq!(regions.logged(), logged);
    }
}

#[tokio::test(start_paused = true)]
async fn rot_is_shown_to_nobody_and_healed() {
    for mode in MODES {
        let regions = Regions::with_table(mode, &["a", "b"]).await;
        let (a, b) = (&regions.all[0], &regions.all[1]);
        fill(a, 300).await;
        settle(&regions).await;
        let whole = a.reads().digest("t").await.unwrap();
        let logged = regions.logged();
        let items = rows(b, ITEMS).await;
        // In the item, in the past, in the stamp, in the check.
        for (number, at) in [(3, 30), (77, 19), (120, 4), (200, usize::MAX)] {
            let (key, value) = &items[number];
            let at = if at == usize::MAX { value.len() - 1 } else { at };
            harm(b, vec![Write::Put(key.clone(), flipped(value, at))]).await;
        }
        let id = b.table("t").unwrap().id();
        let rotten: Vec<Bytes> = [3, 77, 120, 200]
            .iter()
            .map(|at: &usize| items[*at].0.slice(17..))
            .collect();
        let sent = b
            .logs()
            .versions(TableId(id), vec![rotten[0].clone()], usize::MAX)
            .await;
        assert!(sent.is_err(), "no link sends it");
        assert!(matches!(b.reads().digest("t").await, Err(TableError::Corrupt(_))));

        // The side whose records are whole asks first, and keeps them.
        a.verify().verify_now(Some("t")).unwrap();
        let (_, ended, _) = verify(a, b).await.unwrap();
        // Two of them are in one stretch.
        assert_eq!(ended.unwrap().behind.len(), 3);
        assert_eq!(a.reads().digest("t").await.unwrap(), whole);
        assert_eq!(healed(a), []);
        // It has told the other one, which heals itself.
        let (order, ended, _) = verify(b, a).await.unwrap();
        assert!(!order.stretches.is_empty());
        ended.unwrap();
        assert_eq!(healed(b), [(HealReason::Damaged, 4)]);
        assert_eq!(b.reads().digest("t").await.unwrap(), whole, "{mode:?}");
        // The very same versions: no stream tells of them, and no link sends them.
        assert_eq!(regions.logged(), logged);
    }
}

/// The negative control of the check: without one, what rotted would be taken for another version, or for the same one.
#[tokio::test(start_paused = true)]
async fn two_contents_of_one_stamp_are_reported_and_left() {
    let regions = Regions::with_table(Spanning::Yes, &["a", "b"]).await;
    let (a, b) = (&regions.all[0], &regions.all[1]);
    fill(a, 10).await;
    settle(&regions).await;
    // A record of format 1 has no check.
    let (key, value) = rows(b, ITEMS).await.remove(0);
    let mut unchecked = value[..value.len() - 4].to_vec();
    unchecked[0] = 1;
    harm(b, vec![Write::Put(key.clone(), unchecked.clone().into())]).await;
    verify_all(&regions).await;
    let twins = |region: &Region, peer: &str| region.verify().verify_report(Some("t")).unwrap()[0].peers[peer].twins;
    assert_eq!((twins(a, "b"), healed(b)), (0, vec![]), "what it says is the same");
    let last = unchecked.len() - 1;
    unchecked[last] ^= 1;
    harm(b, vec![Write::Put(key, unchecked.into())]).await;
    verify_all(&regions).await;
    assert_eq!((twins(a, "b"), twins(b, "a")), (1, 1));
    assert_eq!((healed(a), healed(b)), (vec![], vec![]));
}

#[tokio::test(start_paused = true)]
async fn what_is_on_its_way_is_no_difference() {
    let regions = Regions::with_table(Spanning::Yes, &["a", "b"]).await;
    let (a, b) = (&regions.all[0], &regions.all[1]);
    fill(a, 50).await;
    settle(&regions).await;
    for number in 0..20 {
        put(b, "t", with(key("new", number), "x", n(1))).await;
    }
    // The link brings nothing for as long as the verification waits.
    a.verify().verify_now(Some("t")).unwrap();
    let (_, ended, _) = verify(a, b).await.unwrap();
    assert_eq!(ended.unwrap().in_flight, 20);
    assert_eq!(healed(a), []);
    assert!(get(a, "t", &key("new", 1)).await.is_none());
    let proven = |region: &Region| {
        region.verify().verify_report(Some("t")).unwrap()[0].peers["b"]
            .proven
            .len()
    };
    assert_eq!(proven(a), 0, "so few rows are one stretch");
    // The link brings it while the verification waits.
    a.verify().verify_now(Some("t")).unwrap();
    let (verified, delivered) = tokio::join!(verify(a, b), async {
        tokio::time::sleep(std::time::Duration::from_millis(500)).await;
        deliver_all(b, a).await
    });
    delivered.unwrap();
    assert_eq!(verified.unwrap().1.unwrap().in_flight, 0);
    assert_eq!((healed(a), proven(a)), (vec![], 4));
}

/// What only one survivor has heard of a table that a lost region made reaches the others.
#[tokio::test(start_paused = true)]
async fn the_catalog_is_verified_too() {
    let regions = Regions::new(Spanning::Yes, &["a", "b", "c"]).await;
    regions.settle().await;
    let [a, b, c] = [0, 1, 2].map(|at| &regions.all[at]);
    c.catalog().create_table(crate::support::definition("t")).await.unwrap();
    deliver_all(c, a).await.unwrap();
    // c is lost here. a's link passes over what came from it.
    deliver_all(a, b).await.unwrap();
    assert!(b.table_named("t").is_err());
    for region in [a, b] {
        region.verify().verify_now(None).unwrap();
    }
    while let Some((_, ended, _)) = verify(b, a).await {
        ended.unwrap();
    }
    assert!(healed(b).iter().all(|(reason, _)| *reason == HealReason::Missing) && !healed(b).is_empty());
    let catalog = |region: &Region| {
        let report = region.verify().verify_report(Some("(catalog)")).unwrap().remove(0);
        report.table
    };
    assert_eq!(catalog(b), "(catalog)");
}

#[tokio::test]
async fn who_does_not_serve_a_table_learns_nothing_of_it() {
    let regions = Regions::new(Spanning::Yes, &["a", "b", "c"]).await;
    let [a, b, c] = [0, 1, 2].map(|at| &regions.all[at]);
    a.catalog().create_table(crate::support::definition("t")).await.unwrap();
    regions.add("t", "b").await;
    put(a, "t", key("k", 1)).await;
    let table = TableId(a.table("t").unwrap().id());
    let begin = async |region: &str, replica: ReplicaId| {
        let standing = Default::default();
        a.verify().verify_begin(region, table, replica, standing).await.is_ok()
    };
    assert!(begin("b", b.replica()).await);
    assert!(!begin("c", c.replica()).await, "it has no replica");
    assert!(!begin("b", ReplicaId(99)).await, "it is not that replica");
    let list = Question::List {
        kind: geodynamo_replicator_core::verify::RowKind::Item,
        stretch: Default::default(),
        horizons: Default::default(),
    };
    assert!(a.verify().verify_answer("c", table, list.clone()).await.is_err());
    assert!(matches!(
        a.verify().verify_answer("b", table, list).await,
        Ok(Some(Answer::Rows(_)))
    ));
}

/// What is done to a row behind the tables' back.
#[derive(Clone, Copy, Debug)]
enum Harm {
    Lose,
    Rot(usize),
}

fn arb_harm() -> impl Strategy<Value = (bool, usize, Harm)> {
    let harm = prop_oneof![Just(Harm::Lose), any::<usize>().prop_map(Harm::Rot)];
    (any::<bool>(), any::<usize>(), harm)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    /// Whatever is lost or rots in one region only comes back, whatever the number of rows and wherever they are.
    #[test]
    fn any_harm_to_one_side_heals(
        count in 1_usize..3000,
        one_partition in any::<bool>(),
        harms in prop::collection::vec(arb_harm(), 0..40),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .start_paused(true)
            .build()
            .unwrap();
        runtime.block_on(async {
            let regions = Regions::with_table(Spanning::Yes, &["a", "b"]).await;
            for number in 0..count {
                let p = if one_partition { "p".to_owned() } else { format!("p{number}") };
                put(&regions.all[number % 2], "t", key(&p, number as i64)).await;
            }
            settle(&regions).await;
            let items = rows(&regions.all[0], ITEMS).await;
            let indexes = regions.all[0].reads().digest("t").await.unwrap().indexes;
            let mut harmed = std::collections::BTreeMap::new();
            for (side, at, harm) in harms {
                harmed.entry(at % items.len()).or_insert((side, harm));
            }
            for (at, (side, done)) in &harmed {
                let (key, value) = &items[*at];
                let write = match done {
                    Harm::Lose => Write::Delete(key.clone()),
                    Harm::Rot(bit) => Write::Put(key.clone(), flipped(value, *bit)),
                };
                harm(&regions.all[usize::from(*side)], vec![write]).await;
            }
            verify_all(&regions).await;
            for region in &regions.all {
                assert_eq!(rows(region, ITEMS).await, items);
                assert_eq!(region.reads().digest("t").await.unwrap().indexes, indexes);
            }
            let brought: u64 = regions.all.iter().flat_map(healed).map(|(_, count)| count).sum();
            assert_eq!(brought, harmed.len() as u64);
        });
    }
}

#[test]
fn reports_of_a_table_that_is_not_there() {
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    runtime.block_on(async {
        let regions = Regions::new(Spanning::Yes, &["a", "b"]).await;
        assert!(regions.all[0].verify().verify_report(Some("nope")).is_err());
        assert!(regions.all[0].verify().verify_now(Some("nope")).is_err());
    });
}
