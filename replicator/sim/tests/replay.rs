//! Replays one seed: `GEODYNAMO_SEED=17 cargo test -p geodynamo-simulation replay -- --nocapture`.

#![allow(clippy::disallowed_methods, reason = "the seed comes from the environment")]

use geodynamo_simulation::{Control, replay};

#[test]
fn replay_the_seed_from_the_environment() {
    let seed = std::env::var("GEODYNAMO_SEED").ok();
    let seed = seed.map(|seed| seed.parse().expect("GEODYNAMO_SEED is a number"));
    let (outcome, trace) = replay(seed.unwrap_or(0), Control::None);
    if seed.is_some() {
        trace.iter().for_each(|line| println!("{line}"));
    }
    match outcome {
        Ok(totals) => println!("{totals}"),
        Err(failure) => panic!("{failure}"),
    }
}
