//! Members that are out of reach for too long.
//!
//! DynamoDB takes a replica whose region is out of reach for 20 hours out of the group; nothing of its data is deleted. Nobody can
//! tell a region that is gone from one that is cut off, and both sides of a cut decide by the same rule without hearing of each
//! other: the side with more of the members (of two halves, the one with the first by name) stays the group, and takes the
//! others out of it. Each region on the other side goes on alone, with all it has, as one that left the group.
//!
//! Who was taken out learns so when it is back, and goes on alone then.

use geodynamo_replicator_core::{Millis, Stamp};

use super::{Viewer, joined_members};
use crate::{
    Result,
    table::{
        lost::{GIVEN_UP_MS, relays},
        registers::{Change, Registers, Setting, pack},
    },
};

/// How long a member may be out of reach, as long as nothing else is said, in milliseconds: DynamoDB's 20 hours.
pub const OUT_OF_REACH_MS: Millis = 20 * 3_600_000;

/// What a region is to do about members that are out of reach.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Outage {
    /// Nothing.
    None,
    /// They are taken out of the group.
    Expel(Vec<String>),
    /// This region is on the smaller side, or was taken out: it goes on alone.
    GoAlone,
}

/// What a region that serves a table is to do about members that it has not heard of for `limit` milliseconds, by `silent_ms`.
/// The members of a side take turns, as they do in giving up what is lost.
pub(crate) fn outage(
    registers: &Registers,
    (me, incarnation): Viewer<'_>,
    limit: Millis,
    silent_ms: impl Fn(&str) -> Millis,
) -> Outage {
    let members = joined_members(registers);
    let own = registers
        .answers
        .get(me)
        .filter(|own| own.incarnation == Some(incarnation));
    let Some(own) = own.filter(|_| members.contains(&me)) else {
        return Outage::None;
    };
    if registers.expelled.get(me) == Some(&own.join) {
        return Outage::GoAlone;
    }
    let is_silent = |member: &&str, patience: Millis| *member != me && silent_ms(member) >= patience;
    let silent: Vec<&str> = members
        .iter()
        .copied()
        .filter(|member| is_silent(member, limit))
        .collect();
    if limit == 0 || silent.is_empty() {
        return Outage::None;
    }
    let side: Vec<&str> = members
        .iter()
        .copied()
        .filter(|member| !silent.contains(member))
        .collect();
    let halves = 2 * side.len() == members.len();
    if 2 * side.len() < members.len() || (halves && side.first() != members.first()) {
        return Outage::GoAlone;
    }
    let turn = side.iter().position(|member| *member == me).unwrap_or(0) as Millis;
    let patience = limit.saturating_add(GIVEN_UP_MS.saturating_mul(turn));
    if !silent.iter().all(|member| is_silent(member, patience)) {
        return Outage::None;
    }
    Outage::Expel(silent.into_iter().map(str::to_owned).collect())
}

/// The registers that take members out of the group. What some of the others have of theirs, all of them get: `stamp` makes
/// those orders new ones.
pub(crate) fn expelled(registers: &Registers, me: &str, out: &[String], stamp: Stamp) -> Result<Vec<Change>> {
    let mut changes = Vec::new();
    for member in out {
        if let Some(answer) = registers.answers.get(member) {
            changes.push((Setting::Expelled(member.clone()), Some(pack(&answer.join)?)));
            // What once let it in does so no more.
            changes.push((Setting::Request(member.clone()), None));
            changes.push((Setting::Admission(member.clone(), me.to_owned()), None));
        }
    }
    let members = joined_members(registers).into_iter().map(str::to_owned);
    let rest: Vec<String> = members.filter(|member| !out.contains(member)).collect();
    let rest: Vec<&String> = rest.iter().collect();
    changes.extend(relays(&rest, &rest, stamp)?);
    Ok(changes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::table::replicas::founder;

    const ME: u64 = 7;

    fn of(regions: &[&str], me: &str) -> Registers {
        let mut registers = Registers::default();
        for (number, region) in regions.iter().enumerate() {
            let incarnation = if *region == me { ME } else { 100 + number as u64 };
            registers
                .answers
                .insert((*region).into(), founder(number as u64, incarnation, 0));
            if *region != me {
                registers
                    .admissions
                    .insert(((*region).into(), me.into()), number as u64);
            }
        }
        registers.show_replicas((me, ME));
        registers
    }

    /// Whatever way a cut goes through up to five regions, one side at most stays the group, and every member of the others
    /// goes on alone: nobody is in two groups.
    #[test]
    fn one_side_stays_the_group() {
        let names = ["a", "b", "c", "d", "e"];
        for count in 2..=names.len() {
            let all = &names[..count];
            for side in 1..(1_u32 << count) - 1 {
                let is_here = |region: &str| {
                    all.iter()
                        .position(|name| *name == region)
                        .is_some_and(|at| side >> at & 1 == 1)
                };
                let (mut stay, mut alone) = (Vec::new(), Vec::new());
                for me in all {
                    let registers = of(all, me);
                    let silent = |other: &str| {
                        if is_here(other) == is_here(me) {
                            0
                        } else {
                            10 * OUT_OF_REACH_MS
                        }
                    };
                    match outage(&registers, (me, ME), OUT_OF_REACH_MS, silent) {
                        Outage::GoAlone => alone.push(*me),
                        Outage::Expel(out) => {
                            assert!(out.iter().all(|out| is_here(out) != is_here(me)));
                            stay.push(*me);
                        }
                        Outage::None => panic!("{me} waits for ever"),
                    }
                }
                assert!(!stay.is_empty() && stay.iter().all(|region| is_here(region) == is_here(stay[0])));
                assert!(alone.iter().all(|region| is_here(region) != is_here(stay[0])));
                assert_eq!(stay.len() + alone.len(), count);
            }
        }
    }

    #[test]
    fn patience_and_turns() {
        let registers = of(&["a", "b", "c"], "b");
        let after = |ms: Millis| move |other: &str| if other == "c" { ms } else { 0 };
        let look = |limit, ms| outage(&registers, ("b", ME), limit, after(ms));
        assert_eq!(look(OUT_OF_REACH_MS, OUT_OF_REACH_MS - 1), Outage::None);
        assert_eq!(look(OUT_OF_REACH_MS, OUT_OF_REACH_MS), Outage::None, "it is a's turn");
        let out = Outage::Expel(vec!["c".into()]);
        assert_eq!(look(OUT_OF_REACH_MS, OUT_OF_REACH_MS + GIVEN_UP_MS), out);
        assert_eq!(look(0, Millis::MAX), Outage::None, "switched off");
    }

    #[test]
    fn who_was_taken_out_is_seen_by_nobody_and_goes_on_alone() {
        let mut registers = of(&["a", "b", "c"], "c");
        let stamp = Stamp::default();
        let changes = expelled(&of(&["a", "b", "c"], "a"), "a", &["c".into()], stamp).unwrap();
        let gone: Vec<_> = changes
            .iter()
            .filter(|(_, value)| value.is_none())
            .map(|(setting, _)| setting)
            .collect();
        let promise = Setting::Admission("c".into(), "a".into());
        assert_eq!(gone, [&Setting::Request("c".into()), &promise]);
        for (setting, value) in changes {
            if let Some(value) = value {
                registers.read(setting, &value).unwrap();
            }
        }
        registers.admissions.insert(("c".into(), "b".into()), 2);
        let due = super::super::admissions(&registers, "b").unwrap();
        assert!(
            due.contains(&(Setting::Admission("c".into(), "b".into()), None)),
            "{due:?}"
        );
        assert_eq!(registers.relays.len(), 2);
        registers.show_replicas(("c", ME));
        assert_eq!(outage(&registers, ("c", ME), OUT_OF_REACH_MS, |_| 0), Outage::GoAlone);
        registers.show_replicas(("a", 100));
        assert!(!registers.replicas.contains_key("c"));
        // Another join is another matter.
        registers.answers.get_mut("c").unwrap().join = 77;
        registers.show_replicas(("c", ME));
        assert_eq!(outage(&registers, ("c", ME), OUT_OF_REACH_MS, |_| 0), Outage::None);
    }
}
