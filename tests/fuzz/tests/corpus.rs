//! The kept corpus, and a minute of changes of it, shared among the targets.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on ends")]

mod cost;

use std::{
    path::Path,
    time::{Duration, Instant},
};

use geodynamo_fuzz::{BYTES_MAX, Mutator, TARGETS, Target};

/// For all targets together.
const TIME: Duration = Duration::from_secs(60);
/// Inputs of a round.
const ROUND: usize = 64;

/// What policies, names and calls of strangers are read by: one input may cost this much, and no more.
const BOUNDED: [&str; 4] = ["arns", "policies", "query", "signatures"];
/// The time of a processor. An input takes less than a millisecond on an idle machine, without optimization too.
const CPU_MAX: Duration = Duration::from_secs(1);
/// Memory, of all inputs of a round together.
const MEMORY_BYTES_MAX: u64 = 64 << 20;

#[test]
fn no_input_makes_a_reader_panic() {
    cost::prove();
    let share = TIME / u32::try_from(TARGETS.len()).unwrap();
    for target in TARGETS {
        let corpus = corpus(target);
        assert!(corpus.len() >= 5, "{} has a corpus", target.name);
        round(target, &corpus);
        // The seed is told with what fails; another one in every run, so that runs add up.
        let seed = std::time::SystemTime::UNIX_EPOCH.elapsed().unwrap().as_nanos() as u64;
        let mut mutator = Mutator::new(seed);
        let started = Instant::now();
        let mut runs = corpus.len();
        while started.elapsed() < share {
            let inputs: Vec<_> = (0..ROUND).map(|_| mutator.next_input(&corpus, BYTES_MAX)).collect();
            round(target, &inputs);
            runs += inputs.len();
        }
        println!("{}: {runs} inputs from {} kept ones", target.name, corpus.len());
    }
}

/// Runs inputs, within bounds if the target has some.
fn round(target: &Target, inputs: &[Vec<u8>]) {
    let is_bounded = BOUNDED.contains(&target.name);
    let memory = is_bounded.then(cost::Memory::now);
    for input in inputs {
        let before = is_bounded.then(cost::cpu);
        run(target, input);
        if let Some(before) = before {
            let cpu = cost::cpu() - before;
            assert!(
                cpu < CPU_MAX,
                "{} takes {cpu:?} for: {}",
                target.name,
                input.escape_ascii()
            );
        }
    }
    if let Some(memory) = memory {
        let more = memory.peak_more();
        assert!(more < MEMORY_BYTES_MAX, "{} takes {more} bytes", target.name);
    }
}

/// Runs an input; tells it if it fails.
fn run(target: &Target, input: &[u8]) {
    if let Err(panic) = std::panic::catch_unwind(|| (target.run)(input)) {
        eprintln!("{} fails with: {}", target.name, input.escape_ascii());
        std::panic::resume_unwind(panic);
    }
}

fn corpus(target: &Target) -> Vec<Vec<u8>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus").join(target.name);
    let mut files: Vec<_> = std::fs::read_dir(&folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    files.sort();
    files.iter().map(|file| std::fs::read(file).unwrap()).collect()
}
