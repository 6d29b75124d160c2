//! The kept corpus, and a minute of changes of it, shared among the targets.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on ends")]

use std::{
    path::Path,
    time::{Duration, Instant},
};

use geodynamo_fuzz::{BYTES_MAX, Mutator, TARGETS, Target};

/// For all targets together.
const TIME: Duration = Duration::from_secs(60);

#[test]
fn no_input_makes_a_reader_panic() {
    let share = TIME / u32::try_from(TARGETS.len()).unwrap();
    for target in TARGETS {
        let corpus = corpus(target);
        assert!(corpus.len() >= 5, "{} has a corpus", target.name);
        for input in &corpus {
            run(target, input);
        }
        // The seed is told with what fails; another one in every run, so that runs add up.
        let seed = std::time::SystemTime::UNIX_EPOCH.elapsed().unwrap().as_nanos() as u64;
        let mut mutator = Mutator::new(seed);
        let started = Instant::now();
        let mut runs = corpus.len();
        while started.elapsed() < share {
            for _ in 0..64 {
                run(target, &mutator.next_input(&corpus, BYTES_MAX));
                runs += 1;
            }
        }
        println!("{}: {runs} inputs from {} kept ones", target.name, corpus.len());
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
