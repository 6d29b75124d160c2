//! Worlds of replicas on one virtual clock and one seed.
//!
//! A world has three regions (a fourth may join) whose stores are simulated and whose links are the replicator core's own
//! [`Sender`](geodynamo_replicator_core::link::Sender) and [`Receiver`](geodynamo_replicator_core::link::Receiver), joins
//! its own `Source` and `Joiner`, decisions its own `judge`, `admit` and `Clock`. Clients write in every region while
//! links delay, break, double and reorder frames, cuts come and go, processes crash and lose what was not synced, and wall
//! clocks drift, step back and run ahead. Then the faults end, the world comes to rest, and the laws are checked.
//!
//! The same seed gives the same world, event for event: a seed that fails is replayed with [`replay`], which also tells
//! what happened.

mod check;
mod collect;
mod connection;
mod control;
mod copy;
mod event;
mod faults;
mod oracle;
mod replica;
mod rng;
mod store;
mod totals;
mod trace;
mod world;

pub use control::Control;
pub use totals::Totals;
pub use trace::{Broken, Failure, Law};

use world::World;

/// Runs the world of a seed. A failure carries the trace of what happened last.
pub fn run(seed: u64, control: Control) -> Result<Totals, Box<Failure>> {
    match World::new(seed, control, false).run() {
        Ok(totals) => Ok(totals),
        // The same again, this time with a trace.
        Err(_) => replay(seed, control).0,
    }
}

/// Runs the world of a seed and tells what happened, line by line.
pub fn replay(seed: u64, control: Control) -> (Result<Totals, Box<Failure>>, Vec<String>) {
    let mut world = World::new(seed, control, true);
    let outcome = world.run();
    let trace = world.into_trace();
    let outcome = outcome.map_err(|broken| {
        Box::new(Failure {
            seed,
            control,
            broken,
            trace: trace.clone(),
        })
    });
    (outcome, trace)
}
