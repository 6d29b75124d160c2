//! A hundred thousand random requests answered as the model answers them; and planted faults found.

use std::collections::BTreeMap;

use geodynamo_model::{Counts, EngineKind, Fault, Kind, World, report};

/// Requests of the whole run, on both engines.
const REQUESTS: usize = 100_000;
/// Requests of one world.
const WORLD_REQUESTS: usize = 500;
/// Requests within which a planted fault is found, whichever it is.
const FAULT_REQUESTS_MAX: usize = 60_000;

/// What the whole run is made of, each kind with successes and with refusals.
const KINDS: &[Kind] = &[
    ("PutItem", ""),
    ("PutItem", "with older parameters"),
    ("DeleteItem", ""),
    ("DeleteItem", "with older parameters"),
    ("UpdateItem", ""),
    ("UpdateItem", "with older parameters"),
    ("GetItem", ""),
    ("GetItem", "with older parameters"),
    ("Query", ""),
    ("Query", "with older parameters"),
    ("Query", "by keys of several attributes"),
    ("Scan", ""),
    ("Scan", "with older parameters"),
    ("BatchGetItem", ""),
    ("BatchGetItem", "with older parameters"),
    ("BatchWriteItem", ""),
    ("TransactWriteItems", ""),
    ("TransactWriteItems", "with a token"),
    ("TransactGetItems", ""),
    ("ExecuteStatement", "SELECT"),
    ("ExecuteStatement", "SELECT from an index"),
    ("ExecuteStatement", "SELECT by keys of several attributes"),
    ("ExecuteStatement", "INSERT"),
    ("ExecuteStatement", "UPDATE"),
    ("ExecuteStatement", "DELETE"),
    ("BatchExecuteStatement", "of reads"),
    ("BatchExecuteStatement", "of writes"),
    ("ExecuteTransaction", "of reads"),
    ("ExecuteTransaction", "of writes"),
    ("ExecuteTransaction", "with a token"),
    ("UpdateTable", "that adds an index"),
    ("UpdateTable", "that adds an index with keys of several attributes"),
    ("UpdateTable", "that removes an index"),
    ("DescribeTable", ""),
    ("UpdateTimeToLive", ""),
    ("DescribeTimeToLive", ""),
];
/// What happens by itself.
const NEVER_REFUSED: &[Kind] = &[
    ("(time passes)", ""),
    ("(a step of back-fills)", ""),
    ("(back-fills end)", ""),
];
/// What is for transactions only.
const NEVER_ACCEPTED: Kind = ("ExecuteStatement", "EXISTS");

#[tokio::test]
async fn the_engine_answers_as_the_model_does() {
    let mut counts = Counts::new();
    for seed in 0.. {
        if counts.values().sum::<usize>() >= REQUESTS {
            break;
        }
        let engine = [EngineKind::Memory, EngineKind::Rocks][usize::from(seed % 4 == 3)];
        let world = World {
            seed,
            requests: WORLD_REQUESTS,
            engine,
            fault: None,
        };
        if let Err(difference) = world.run(&mut counts).await {
            panic!("{world:?}\n{difference}");
        }
    }
    println!("{:#}", report(&counts));
    let by_kind = by_kind(&counts);
    for kind in KINDS {
        let (succeeded, made) = by_kind.get(kind).copied().unwrap_or_default();
        assert!(succeeded > 0, "{kind:?}: of {made} none succeeds");
        assert!(succeeded < made, "{kind:?}: none is refused");
        // Errors do not dominate.
        assert!(succeeded * 2 > made, "{kind:?}: {succeeded} of {made} succeed");
    }
    for kind in NEVER_REFUSED {
        let (succeeded, made) = by_kind.get(kind).copied().unwrap_or_default();
        assert!(made > 0 && succeeded == made, "{kind:?}: {succeeded} of {made} succeed");
    }
    let (succeeded, made) = by_kind.get(&NEVER_ACCEPTED).copied().unwrap_or_default();
    assert!(
        made > 0 && succeeded == 0,
        "{NEVER_ACCEPTED:?}: {succeeded} of {made} succeed"
    );
    assert_eq!(
        by_kind.len(),
        KINDS.len() + NEVER_REFUSED.len() + 1,
        "kinds not listed here"
    );
}

#[tokio::test]
async fn the_same_seed_gives_the_same_run() {
    let run = async || {
        let mut counts = Counts::new();
        let world = World {
            seed: 5,
            requests: WORLD_REQUESTS,
            engine: EngineKind::Memory,
            fault: Some(Fault::BetweenLeavesOutItsUpperBound),
        };
        let difference = world
            .run(&mut counts)
            .await
            .map_err(|difference| difference.to_string());
        (counts, difference)
    };
    assert_eq!(run().await, run().await);
}

#[tokio::test]
async fn planted_faults_are_found() {
    for fault in Fault::ALL {
        let mut made = 0;
        let mut found = None;
        for seed in 0.. {
            let mut counts = Counts::new();
            let world = World {
                seed,
                requests: WORLD_REQUESTS,
                engine: EngineKind::Memory,
                fault: Some(*fault),
            };
            let run = world.run(&mut counts).await;
            match run {
                Err(difference) => found = Some((made + difference.after, difference.requests.len())),
                Ok(()) => made += counts.values().sum::<usize>(),
            }
            if found.is_some() || made >= FAULT_REQUESTS_MAX {
                break;
            }
        }
        let (after, shortest) = found.unwrap_or_else(|| panic!("{fault:?} was not found in {made} requests"));
        println!("{fault:?}: found after {after} requests, shown in {shortest}");
        // Two tables to make, the requests that matter (pages of ten items need eleven): short enough to read.
        assert!(shortest <= 16, "{fault:?}: {shortest} requests");
    }
}

/// How many requests of each kind succeed, in part at least, and how many there are.
fn by_kind(counts: &Counts) -> BTreeMap<Kind, (usize, usize)> {
    let mut sums = BTreeMap::new();
    for ((kind, outcome), count) in counts {
        let sum: &mut (usize, usize) = sums.entry(*kind).or_default();
        sum.0 += if matches!(*outcome, "ok" | "partly") { *count } else { 0 };
        sum.1 += count;
    }
    sums
}
