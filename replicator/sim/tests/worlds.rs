//! The simulation of worlds: many seeds hold the laws, and the negative controls are caught.

use std::thread;

use geodynamo_simulation::{Control, Failure, Law, Totals, replay, run};

/// How many worlds are simulated.
const SEEDS: u64 = 500;
/// The fewest events of a world.
const EVENTS_MIN: u64 = 1_000;
/// How many seeds a negative control gets at most to be caught.
const CONTROL_SEEDS: u64 = 20;

/// Seeds that once found a fault, each with what it found. They are simulated first.
const CORPUS: &[(&str, u64)] = &[
    ("where a gap was found passed for acknowledged", 0),
    (
        "a stretch sent before a resume counted as the newer one sent after it, and a version was lost",
        46,
    ),
    ("a restarted clock went below a version that was merged before", 10),
    ("the oracle did not read pasts as version vectors", 4),
    (
        "a copy told the peer of a log's end before the link had heard of it, and the log was not sent",
        454,
    ),
];

#[test]
fn worlds_hold_the_laws() {
    let mut totals = Totals::default();
    for (name, seed) in CORPUS {
        let world = run(*seed, Control::None).unwrap_or_else(|failure| panic!("{name}: {failure}"));
        totals.add(&world);
    }
    let halves = thread::scope(|scope| {
        let half = |first: u64| {
            scope.spawn(move || {
                let mut totals = Totals::default();
                for seed in (first..SEEDS).step_by(2) {
                    let world = run(seed, Control::None).map_err(|failure| failure.to_string())?;
                    assert!(
                        world.events >= EVENTS_MIN,
                        "seed {seed} had only {} events",
                        world.events
                    );
                    totals.add(&world);
                }
                Ok::<_, String>(totals)
            })
        };
        [half(0), half(1)].map(|half| half.join().expect("the thread's own assertions"))
    });
    for half in halves {
        totals.add(&half.unwrap_or_else(|failure| panic!("{failure}")));
    }
    println!("{SEEDS} worlds:\n{totals}");
    for (name, count) in totals.all() {
        assert!(count > 0, "no {name} in {SEEDS} worlds");
    }
}

/// The first failure of a house that does something wrong on purpose.
fn caught(control: Control) -> Box<Failure> {
    let failure = (0..CONTROL_SEEDS).find_map(|seed| run(seed, control).err());
    let failure = failure.unwrap_or_else(|| panic!("{control:?} was not caught in {CONTROL_SEEDS} worlds"));
    println!("{control:?} is caught by seed {}: {:?}", failure.seed, failure.broken);
    failure
}

#[test]
fn arrival_order_is_caught() {
    let failure = caught(Control::ArrivalOrderWins);
    assert_eq!(failure.broken.law, Law::NothingComesBack);
}

#[test]
fn a_cursor_before_sync_is_caught() {
    let failure = caught(Control::CursorBeforeSync);
    assert_eq!(failure.broken.law, Law::CursorsAndLinks);
}

#[test]
fn ignored_pasts_are_caught() {
    let failure = caught(Control::PastsIgnored);
    assert_eq!(failure.broken.law, Law::Conflicts);
}

#[test]
fn early_collection_is_caught() {
    let failure = caught(Control::EarlyCollection);
    assert!(matches!(failure.broken.law, Law::NothingComesBack | Law::Converges));
}

#[test]
fn a_seed_replays_exactly() {
    let (one, trace) = replay(11, Control::None);
    let (two, again) = replay(11, Control::None);
    assert_eq!(one.expect("seed 11 holds"), two.expect("seed 11 holds"));
    assert!(trace.len() > 100);
    assert_eq!(trace, again);
    let (one, two) = (caught(Control::CursorBeforeSync), caught(Control::CursorBeforeSync));
    assert_eq!((one.seed, &one.broken, &one.trace), (two.seed, &two.broken, &two.trace));
}
