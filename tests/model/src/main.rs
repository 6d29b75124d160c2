//! Runs the differential fuzzer for as many requests as wanted, on both engines.

use std::{process::ExitCode, time::Instant};

use clap::Parser;
use geodynamo_model::{Counts, EngineKind, World, report};

/// Random requests against an engine and against a plain model of DynamoDB.
#[derive(Parser)]
struct Arguments {
    /// The first world's seed; the others follow it.
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// How many requests, over all worlds.
    #[arg(long, default_value_t = 100_000)]
    requests: usize,
    /// How many requests a world gets.
    #[arg(long, default_value_t = 500)]
    world: usize,
    /// One engine only; both by turns unless told.
    #[arg(long)]
    engine: Option<EngineKind>,
    /// How many differences are shown before it gives up.
    #[arg(long, default_value_t = 1)]
    differences: usize,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let started = Instant::now();
    let mut counts = Counts::new();
    let mut differences = 0;
    let mut seed = arguments.seed;
    while counts.values().sum::<usize>() < arguments.requests && differences < arguments.differences {
        let by_turns = [EngineKind::Memory, EngineKind::Rocks][usize::from(seed % 2 == 1)];
        let world = World {
            seed,
            requests: arguments.world,
            engine: arguments.engine.unwrap_or(by_turns),
            fault: None,
        };
        if let Err(difference) = world.run(&mut counts).await {
            differences += 1;
            println!("{world:?}\n{difference}");
        }
        seed += 1;
    }
    let seconds = started.elapsed().as_secs_f64();
    let total: usize = counts.values().sum();
    println!("{:#}", report(&counts));
    println!(
        "{total} requests in {seconds:.1} s: {:.0} a second; seeds {} to {}; {differences} differences",
        total as f64 / seconds,
        arguments.seed,
        seed.saturating_sub(1)
    );
    if differences == 0 {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}
