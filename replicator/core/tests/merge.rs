//! Laws 2, 3, 4 and 7 for the pure part: merging is order-free, conflicts are found whatever the order, clocks never repeat.

#![allow(clippy::unwrap_used, reason = "a test may")]

use std::collections::{BTreeMap, BTreeSet};

use geodynamo_replicator_core::{Clock, ClockError, Hlc, Judgement, Past, PastError, ReplicaId, Stamp, judge};
use proptest::prelude::*;

/// One write of a history: who writes, and which earlier writes of the key it has merged by then.
#[derive(Clone, Debug)]
struct Write {
    replica: u64,
    clock_step: i64,
    sees: Vec<prop::sample::Index>,
    is_expiry: bool,
}

fn write(replicas: u64) -> impl Strategy<Value = Write> {
    (
        0..replicas,
        -5_i64..20,
        prop::collection::vec(any::<prop::sample::Index>(), 0..3),
        prop::bool::weighted(0.1),
    )
        .prop_map(|(replica, clock_step, sees, is_expiry)| Write {
            replica,
            clock_step,
            sees,
            is_expiry,
        })
}

type Held = Option<(Stamp, Past)>;

/// Merges as a replica does; notes conflicts' losers.
fn merge(held: &mut Held, incoming: &(Stamp, Past), losers: &mut BTreeSet<Stamp>) {
    let judgement = judge(
        held.as_ref().map(|(stamp, past)| (*stamp, past)),
        (incoming.0, &incoming.1),
    );
    match judgement {
        Judgement::Displaces => losers.extend(held.as_ref().map(|(stamp, _)| *stamp)),
        Judgement::Refused => {
            losers.insert(incoming.0);
        }
        _ => {}
    }
    if judgement.applies() {
        *held = Some(incoming.clone());
    }
}

/// Real histories: each replica's clock runs on its own (and back), each write sees what its replica has merged.
fn history(writes: Vec<Write>, replicas: u64) -> Vec<(Stamp, Past)> {
    let mut clocks: Vec<(Clock, u64)> = (0..replicas)
        .map(|id| {
            let mut clock = Clock::new(ReplicaId(id + 1), Hlc::default());
            clock.raise_ceiling(Hlc::from_millis(1 << 40));
            (clock, 1_000)
        })
        .collect();
    let mut held: Vec<Held> = vec![None; clocks.len()];
    let mut made: Vec<(Stamp, Past)> = Vec::new();
    for write in writes {
        let at = write.replica as usize;
        for seen in write.sees {
            if !made.is_empty() {
                let seen = &made[seen.index(made.len())];
                clocks[at].0.observe(seen.0);
                merge(&mut held[at], seen, &mut BTreeSet::new());
            }
        }
        let version = match &held[at] {
            Some((stamp, past)) if write.is_expiry && !stamp.expiry => (stamp.expired(), Past::after(past, *stamp)),
            current => {
                let (clock, now) = &mut clocks[at];
                *now = now.saturating_add_signed(write.clock_step);
                let past = current
                    .as_ref()
                    .map_or_else(Past::new, |(stamp, past)| Past::after(past, *stamp));
                (clock.issue(*now).unwrap(), past)
            }
        };
        if let Some((stamp, _)) = &held[at] {
            assert!(
                version.0 > *stamp,
                "a write made after reading a version has a greater stamp"
            );
        }
        merge(&mut held[at], &version, &mut BTreeSet::new());
        // Two replicas may expire the same version: it is the same stamp and the same past, so one version.
        if !made.contains(&version) {
            made.push(version);
        }
    }
    made
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn any_order_with_duplicates_gives_the_greatest_stamp(
        (replicas, writes) in (1_u64..6).prop_flat_map(|n| (Just(n), prop::collection::vec(write(n), 1..14))),
        orders in prop::collection::vec(prop::collection::vec(any::<prop::sample::Index>(), 0..40), 2..5),
    ) {
        let made = history(writes, replicas);
        let stamps: BTreeSet<Stamp> = made.iter().map(|(stamp, _)| *stamp).collect();
        prop_assert_eq!(stamps.len(), made.len(), "no stamp is issued twice");
        let greatest = made.iter().max_by_key(|(stamp, _)| *stamp).cloned();
        for order in orders {
            let mut held = None;
            let mut losers = BTreeSet::new();
            for at in order {
                merge(&mut held, &made[at.index(made.len())], &mut losers);
            }
            for version in &made {
                merge(&mut held, version, &mut losers);
            }
            prop_assert_eq!(&held, &greatest);
            for loser in &losers {
                // A loser is really concurrent with some version: at least one greater stamp does not cover it.
                prop_assert!(
                    made.iter().any(|(stamp, past)| stamp > loser && !past.covers(*loser)),
                    "{loser} was overwritten by all that are greater, yet recorded as a loser"
                );
            }
        }
    }

    #[test]
    fn judging_twice_changes_nothing(
        (replicas, writes) in (1_u64..5).prop_flat_map(|n| (Just(n), prop::collection::vec(write(n), 1..10))),
        picks in prop::collection::vec(any::<prop::sample::Index>(), 1..10),
    ) {
        let made = history(writes, replicas);
        let mut held = None;
        for pick in picks {
            let version = &made[pick.index(made.len())];
            merge(&mut held, version, &mut BTreeSet::new());
            let before = held.clone();
            let mut losers = BTreeSet::new();
            let again = judge(held.as_ref().map(|(stamp, past)| (*stamp, past)), (version.0, &version.1));
            merge(&mut held, version, &mut losers);
            prop_assert_eq!(&held, &before);
            prop_assert!(!again.applies());
        }
    }

    #[test]
    fn a_past_covers_what_was_added_and_nothing_newer(
        added in prop::collection::vec((0_u64..5, 0_u64..50, any::<bool>()), 0..30),
        asked in (0_u64..5, 0_u64..50, any::<bool>()),
    ) {
        // No replica is 0: its entry says up to where everything was seen.
        let stamp =
            |(replica, time, expiry): (u64, u64, bool)| Stamp { time: Hlc(time), replica: ReplicaId(replica + 1), expiry };
        let past: Past = added.iter().copied().map(stamp).collect();
        // A replica's versions and their expiries count apart.
        let mut newest: BTreeMap<(ReplicaId, bool), Stamp> = BTreeMap::new();
        for stamp in added.into_iter().map(stamp) {
            let seen = newest.entry((stamp.replica, stamp.expiry)).or_insert(stamp);
            *seen = (*seen).max(stamp);
        }
        let asked = stamp(asked);
        prop_assert_eq!(past.covers(asked), newest.get(&(asked.replica, asked.expiry)).is_some_and(|seen| *seen >= asked));
        prop_assert_eq!(past.iter().collect::<Vec<_>>(), newest.into_values().collect::<Vec<_>>());
        let mut bytes = Vec::new();
        past.write_bytes(&mut bytes);
        prop_assert_eq!(Past::from_bytes(&bytes).unwrap(), past);
    }

    #[test]
    fn past_bytes_from_elsewhere_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..80)) {
        let _ = Past::from_bytes(&bytes);
    }

    #[test]
    fn stamp_bytes_keep_order(
        a in (any::<u64>(), any::<u64>(), any::<bool>()),
        b in (any::<u64>(), any::<u64>(), any::<bool>()),
    ) {
        let stamp = |(time, replica, expiry)| Stamp { time: Hlc(time), replica: ReplicaId(replica), expiry };
        let (a, b) = (stamp(a), stamp(b));
        prop_assert_eq!(a.cmp(&b), a.to_bytes().cmp(&b.to_bytes()));
        prop_assert_eq!(Stamp::from_bytes(&a.to_bytes()), Some(a));
    }

    /// Clocks step back, run ahead and restart; crashes lose ceilings that were asked for but not yet durable.
    #[test]
    fn a_clock_never_repeats(steps in prop::collection::vec((0_u8..10, -100_000_i64..100_000), 1..200)) {
        let mut now: u64 = 1_700_000_000_000;
        let mut durable = Hlc::default();
        let mut clock = Clock::new(ReplicaId(7), durable);
        let mut last = None;
        for (kind, step) in steps {
            now = now.saturating_add_signed(step);
            match kind {
                0 => clock = Clock::new(ReplicaId(7), durable),
                1 => clock.observe(Stamp::new(Hlc::from_millis(now + step.unsigned_abs() % 5_000), ReplicaId(9))),
                2 | 3 => {
                    if let Some(ceiling) = clock.wants_ceiling(now) {
                        prop_assert!(ceiling > durable);
                        durable = ceiling;
                        clock.raise_ceiling(ceiling);
                        prop_assert!(clock.issue(now).is_ok_and(|stamp| Some(stamp) > last.replace(stamp)));
                    }
                }
                _ => match clock.issue(now) {
                    Ok(stamp) => {
                        prop_assert!(Some(stamp) > last, "{stamp} after {last:?}");
                        prop_assert!(stamp.time <= durable, "a stamp above what is durable");
                        prop_assert!(stamp.time >= Hlc::from_millis(now));
                        last = Some(stamp);
                    }
                    Err(ClockError::Ceiling) => prop_assert!(clock.wants_ceiling(now).is_some(), "stuck"),
                },
            }
        }
    }
}

#[test]
fn judgements() {
    let stamp = |time, replica| Stamp::new(Hlc(time), ReplicaId(replica));
    let seen = |stamps: &[Stamp]| stamps.iter().copied().collect::<Past>();
    let check = |current: Option<(Stamp, &[Stamp])>, incoming: (Stamp, &[Stamp]), expect: Judgement| {
        let current = current.map(|(stamp, past)| (stamp, seen(past)));
        let got = judge(
            current.as_ref().map(|(stamp, past)| (*stamp, past)),
            (incoming.0, &seen(incoming.1)),
        );
        assert_eq!(got, expect, "{current:?} <- {incoming:?}");
    };
    let (a1, a2, b1, b2) = (stamp(1, 1), stamp(3, 1), stamp(1, 2), stamp(2, 2));
    check(None, (a1, &[]), Judgement::Overwrites);
    check(Some((a1, &[])), (a1, &[]), Judgement::Duplicate);
    check(Some((a1, &[])), (a2, &[a1]), Judgement::Overwrites);
    check(Some((a2, &[a1])), (a1, &[]), Judgement::Outdated);
    check(Some((a1, &[])), (b1, &[]), Judgement::Displaces);
    check(Some((b1, &[])), (a1, &[]), Judgement::Refused);
    check(Some((a2, &[a1])), (b2, &[a1]), Judgement::Refused);
    check(Some((a2, &[b2])), (b1, &[]), Judgement::Outdated);
    check(Some((b2, &[])), (a2, &[b2]), Judgement::Overwrites);
    check(Some((b2, &[])), (b2.expired(), &[b2]), Judgement::Overwrites);
    // A renewal concurrent with the expiry wins, and the expiry is the loser, whichever comes first.
    check(Some((b2.expired(), &[b2])), (a2, &[b2]), Judgement::Displaces);
    check(Some((a2, &[b2])), (b2.expired(), &[b2]), Judgement::Refused);
    // So it is for later writes of the replica that wrote the expired version, if they did not see the expiry.
    let (b3, b4) = (stamp(4, 2), stamp(5, 2));
    check(Some((b4, &[b3])), (b2.expired(), &[b2]), Judgement::Refused);
    check(Some((b2.expired(), &[b2])), (b4, &[b3]), Judgement::Displaces);
    check(
        Some((b4, &[b3, b2.expired()])),
        (b2.expired(), &[b2]),
        Judgement::Outdated,
    );
    check(
        Some((b2.expired(), &[b2])),
        (b4, &[b3, b2.expired()]),
        Judgement::Overwrites,
    );
}

#[test]
fn pasts_that_are_none() {
    let check = |stamps: &[(u64, u64)], expect: PastError| {
        let bytes: Vec<u8> = stamps
            .iter()
            .flat_map(|&(time, replica)| Stamp::new(Hlc(time), ReplicaId(replica)).to_bytes())
            .collect();
        assert_eq!(Past::from_bytes(&bytes), Err(expect));
    };
    check(&[(1, 2), (1, 1)], PastError::Order);
    check(&[(1, 1), (2, 1)], PastError::Order);
    let pair = |stamps: [Stamp; 2]| Past::from_bytes(&stamps.map(Stamp::to_bytes).concat());
    let (own, expired) = (
        Stamp::new(Hlc(5), ReplicaId(1)),
        Stamp::new(Hlc(3), ReplicaId(1)).expired(),
    );
    assert_eq!(pair([expired, own]), Err(PastError::Order));
    assert_eq!(pair([own, expired]), Ok([own, expired].into_iter().collect()));
    let many: Vec<(u64, u64)> = (0..=Past::REPLICAS_MAX as u64).map(|replica| (1, replica)).collect();
    check(&many, PastError::Long);
    assert_eq!(Past::from_bytes(&[0; 16]), Err(PastError::Bytes));
    let mut bad_expiry = [0; Stamp::LEN];
    bad_expiry[16] = 2;
    assert_eq!(Past::from_bytes(&bad_expiry), Err(PastError::Bytes));
}

/// Who has forgotten has seen everything up to there, whoever wrote it.
#[test]
fn a_past_of_what_was_forgotten_covers_all_up_to_there() {
    let past = Past::forgotten(Hlc(9));
    for replica in [1, 7, u64::MAX] {
        let stamp = |time| Stamp::new(Hlc(time), ReplicaId(replica));
        assert!(past.covers(stamp(9)) && past.covers(stamp(8).expired()) && !past.covers(stamp(10)));
        let later = Past::after(&past, stamp(20));
        assert!(later.covers(stamp(9)) && later.covers(stamp(20)) && !later.covers(Stamp::new(Hlc(10), ReplicaId(3))));
    }
    assert!(Past::forgotten(Hlc(0)).is_empty());
}
