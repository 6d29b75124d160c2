//! A hundred thousand random requests answered as the model answers them; and planted faults found.

use geodynamo_model::{Counts, EngineKind, Fault, World, report};

/// Requests of the whole run, on both engines.
const REQUESTS: usize = 100_000;
/// Requests of one world.
const WORLD_REQUESTS: usize = 500;
/// Requests within which a planted fault is found, whichever it is.
const FAULT_REQUESTS_MAX: usize = 6_000;

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
    // Errors do not dominate, and every operation succeeds mostly.
    for (operation, outcomes) in by_operation(&counts) {
        assert!(
            outcomes.0 * 2 > outcomes.1,
            "{operation}: {} of {} succeed",
            outcomes.0,
            outcomes.1
        );
    }
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
        // Two tables to make, the requests that matter: short enough to read.
        assert!(shortest <= 12, "{fault:?}: {shortest} requests");
    }
}

/// How many requests of each operation succeed, and how many there are.
fn by_operation(counts: &Counts) -> std::collections::BTreeMap<&'static str, (usize, usize)> {
    let mut sums = std::collections::BTreeMap::new();
    for ((operation, outcome), count) in counts {
        let sum: &mut (usize, usize) = sums.entry(*operation).or_default();
        sum.0 += if *outcome == "ok" { *count } else { 0 };
        sum.1 += count;
    }
    sums
}
