//! Who belongs to a table is decided by those who do.
//!
//! A region says of itself what it likes: its answer is its own register. So an answer counts for nothing until a member has
//! vouched for the region, in one of two registers that no region can write about itself (see [`is_lawful`]):
//!
//! - the **request** by which a member asks for it,
//! - the **admission** by which a member holds its logs for it.
//!
//! A region that serves a table honours whom it has admitted itself, and whoever one of those asks for or has admitted, and so
//! on; it admits them in its turn, so the chain ends at its own registers, which it takes from nobody. A region that has just
//! had its copy begins with the source of it. Whom it does not honour is no replica in its sight ([`Registers::replicas`]): it
//! is sent nothing, its deltas are not taken, and it waits in nobody's way.
//!
//! A region that has no replica of the table has nothing to give, and shows what everybody says. While its copy is under way, or
//! while it leaves, a region shows whom anybody but themselves has vouched for: each of them has to hold its logs.

use std::collections::BTreeSet;

use crate::{
    Result,
    schema::{ReplicaAction, ReplicaEntry, ReplicaRequest, ReplicaStatus},
    table::registers::{Change, Registers, Setting, pack},
};

/// How registers come in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Way {
    /// By the link of the region that wrote them.
    Link,
    /// From a region that passes on what others wrote, too: a copy of the catalog, or what was found lacking.
    PassedOn,
}

/// A region, and the incarnation of its data directory.
pub(crate) type Viewer<'a> = (&'a str, u64);

/// How far a region has come that looks at its own replica.
fn standing(registers: &Registers, (me, incarnation): Viewer<'_>) -> Option<ReplicaStatus> {
    let own = registers.answers.get(me)?;
    let is_mine = own.incarnation == Some(incarnation) && own.status != ReplicaStatus::Failed;
    is_mine.then_some(own.status)
}

/// The regions whose answers and requests count for one that looks; `None` if all do.
pub(super) fn honoured(registers: &Registers, viewer: Viewer<'_>) -> Option<BTreeSet<String>> {
    let me = viewer.0;
    let known = |region: &String| registers.answers.contains_key(region) || registers.requests.contains_key(region);
    let admissions = registers.admissions.keys();
    let admissions = admissions.filter(|(newcomer, member)| newcomer != member && known(newcomer));
    let mut honoured = BTreeSet::from([me.to_owned()]);
    if standing(registers, viewer)? != ReplicaStatus::Active {
        honoured.extend(registers.answers[me].source.clone());
        honoured.extend(admissions.map(|(newcomer, _)| newcomer.clone()));
        honoured.extend(registers.requests.keys().cloned());
        return Some(honoured);
    }
    let own = admissions.filter(|(_, member)| member == me);
    honoured.extend(own.map(|(newcomer, _)| newcomer.clone()));
    loop {
        let is_asked_for = |(_, request): &(&String, &ReplicaRequest)| {
            request.action == ReplicaAction::Create && honoured.contains(&request.by)
        };
        let is_admitted = |(region, answer): &(&String, &ReplicaEntry)| {
            let mut admissions = registers.admissions.iter();
            answer.status != ReplicaStatus::Failed
                && admissions.any(|((newcomer, member), join)| {
                    newcomer == *region && member != newcomer && *join == answer.join && honoured.contains(member)
                })
        };
        let asked = registers.requests.iter().filter(is_asked_for).map(|(region, _)| region);
        let admitted = registers.answers.iter().filter(is_admitted).map(|(region, _)| region);
        let more: Vec<String> = asked
            .chain(admitted)
            .filter(|region| !honoured.contains(*region))
            .cloned()
            .collect();
        if more.is_empty() {
            return Some(honoured);
        }
        honoured.extend(more);
    }
}

/// The promises of a region that serves a table to hold its logs for every other replica, where it has not given them yet, and
/// those that are about nothing any more. A promise is kept by trimming, which goes by the catalog's replicas.
pub(crate) fn admissions(registers: &Registers, region: &str) -> Result<Vec<Change>> {
    let mut changes = Vec::new();
    let own = |of: &String| Setting::Admission(of.clone(), region.to_owned());
    for (other, entry) in registers.replicas.iter().filter(|(other, _)| *other != region) {
        let promised = registers.admissions.get(&(other.clone(), region.to_owned()));
        let joins = matches!(entry.status, ReplicaStatus::Creating | ReplicaStatus::Active);
        if joins && promised != Some(&entry.join) {
            changes.push((own(other), Some(pack(&entry.join)?)));
        }
    }
    for (other, _) in registers.admissions.keys().filter(|(_, member)| member == region) {
        let is_known = registers.answers.contains_key(other) || registers.requests.contains_key(other);
        let shown = registers.replicas.get(other);
        let answer = registers.answers.get(other);
        let is_out = answer.is_some_and(|answer| registers.expelled.get(other) == Some(&answer.join));
        if !is_known || is_out || shown.is_some_and(|entry| entry.status == ReplicaStatus::Failed) {
            changes.push((own(other), None));
        }
    }
    Ok(changes)
}

/// The registers of a region whose copy is whole: its replica, and its promises to the source and to whom that vouches for.
pub(crate) fn joined_with(
    registers: &Registers,
    entry: ReplicaEntry,
    source: &str,
    viewer: Viewer<'_>,
) -> Result<Vec<Change>> {
    let me = viewer.0.to_owned();
    let mut changes = vec![(Setting::Replica(me.clone()), Some(pack(&entry)?))];
    let mut then = registers.clone();
    then.answers.insert(me.clone(), entry);
    if let Some(answer) = then.answers.get(source) {
        let join = answer.join;
        changes.push((Setting::Admission(source.to_owned(), me.clone()), Some(pack(&join)?)));
        then.admissions.insert((source.to_owned(), me.clone()), join);
    }
    then.show_replicas(viewer);
    changes.extend(admissions(&then, &me)?);
    Ok(changes)
}

/// Promises to every replica that is shown without asking who vouches for it: those of a table that a release before this rule
/// has kept. `None` if this region does not serve it.
pub(crate) fn inherited(registers: &Registers, viewer: Viewer<'_>) -> Result<Vec<Change>> {
    let serves = matches!(
        standing(registers, viewer),
        Some(ReplicaStatus::Active | ReplicaStatus::Deleting)
    );
    let mut changes = Vec::new();
    for (other, entry) in registers
        .answers
        .iter()
        .filter(|(other, _)| serves && *other != viewer.0)
    {
        let key = (other.clone(), viewer.0.to_owned());
        if entry.status == ReplicaStatus::Active && !registers.admissions.contains_key(&key) {
            changes.push((Setting::Admission(key.0, key.1), Some(pack(&entry.join)?)));
        }
    }
    Ok(changes)
}

/// Whether a region may write a register, or take it away (`value` is none): `registers` are the table's as the receiver
/// has them. What a region cannot have written, or may not, is not taken.
pub(crate) fn is_lawful(
    registers: Option<&Registers>,
    viewer: Viewer<'_>,
    (from, way): (&str, Way),
    (setting, value): (&Setting, Option<&[u8]>),
) -> bool {
    let me = viewer.0;
    let held = registers.filter(|registers| !registers.is_apart && standing(registers, viewer).is_some());
    // Where nothing of the table is held, there is nothing to keep from anybody; who wrote what counts all the same.
    let is_member = held.is_none_or(|registers| {
        // The source of a copy that leaves takes the rest away after its own answer.
        let honoured = honoured(registers, viewer).is_some_and(|honoured| honoured.contains(from));
        let is_out = |answer: &ReplicaEntry| {
            answer.status == ReplicaStatus::Failed || registers.expelled.get(from) == Some(&answer.join)
        };
        honoured && !registers.answers.get(from).is_some_and(is_out)
    });
    let passes_on = way == Way::PassedOn && is_member;
    match (setting, value) {
        (Setting::Replica(of), Some(_)) => from == of || (passes_on && (of != me || held.is_none())),
        (Setting::Admission(newcomer, member), Some(_)) => {
            newcomer != member && member != me && (from == member || (passes_on && from != newcomer))
        }
        (Setting::Request(of), Some(value)) => {
            let is_own = rmp_serde::from_slice::<ReplicaRequest>(value).is_ok_and(|request| request.by == from);
            from != of && is_member && (is_own || passes_on)
        }
        (Setting::Relay(..), Some(_)) => is_member,
        // Who was taken out does not take that back.
        (Setting::Expelled(of), _) => from != of && is_member,
        (Setting::Apart(of, _), _) => from == of || passes_on,
        _ => setting.concerns(from) || is_member,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::table::replicas::founder;

    const ME: u64 = 7;

    fn shown(registers: &mut Registers) -> Vec<&str> {
        registers.show_replicas(("a", ME));
        registers.replicas.keys().map(String::as_str).collect()
    }

    fn request(by: &str) -> ReplicaRequest {
        ReplicaRequest {
            action: ReplicaAction::Create,
            join: 9,
            by: by.into(),
            since_ms: 0,
        }
    }

    fn admit(registers: &mut Registers, newcomer: &str, member: &str, join: u64) {
        registers.admissions.insert((newcomer.into(), member.into()), join);
    }

    /// Region a serves a table; b, c and d say that they do, too.
    fn four() -> Registers {
        let mut registers = Registers::default();
        for (number, region) in ["a", "b", "c", "d"].into_iter().enumerate() {
            let own = founder(number as u64, ME + number as u64, 0);
            registers.answers.insert(region.into(), own);
        }
        registers
    }

    #[test]
    fn the_chain_ends_at_ones_own_registers() {
        let mut registers = four();
        assert_eq!(shown(&mut registers), ["a"]);
        // They vouch for each other: that is nothing to a.
        admit(&mut registers, "b", "c", 1);
        admit(&mut registers, "c", "b", 2);
        registers.requests.insert("d".into(), request("c"));
        assert_eq!(shown(&mut registers), ["a"]);
        admit(&mut registers, "b", "a", 1);
        assert_eq!(shown(&mut registers), ["a", "b", "c", "d"]);
        // Another join is another matter, where a has not admitted it.
        admit(&mut registers, "c", "b", 3);
        assert_eq!(shown(&mut registers), ["a", "b"]);
        admit(&mut registers, "b", "a", 5);
        assert_eq!(
            shown(&mut registers),
            ["a", "b"],
            "b came back with a new data directory"
        );
        // Whoever looks and holds nothing sees all.
        registers.show_replicas(("a", ME + 1));
        assert_eq!(registers.replicas.len(), 4);
    }

    #[test]
    fn promises_follow_whom_others_vouch_for_and_end_with_them() {
        let mut registers = four();
        admit(&mut registers, "b", "a", 1);
        admit(&mut registers, "c", "b", 2);
        registers.show_replicas(("a", ME));
        let due = admissions(&registers, "a").unwrap();
        assert_eq!(
            due,
            [(Setting::Admission("c".into(), "a".into()), Some(pack(&2_u64).unwrap()))]
        );
        registers.answers.remove("b");
        admit(&mut registers, "c", "a", 2);
        registers.show_replicas(("a", ME));
        let due = admissions(&registers, "a").unwrap();
        assert_eq!(due, [(Setting::Admission("b".into(), "a".into()), None)]);
    }

    #[test]
    fn who_joins_begins_with_its_source() {
        let mut registers = four();
        let joined = ReplicaEntry {
            source: Some("b".into()),
            ..founder(0, ME, 0)
        };
        let creating = ReplicaEntry {
            status: ReplicaStatus::Creating,
            ..joined.clone()
        };
        registers.answers.insert("a".into(), creating);
        assert_eq!(shown(&mut registers), ["a", "b"]);
        admit(&mut registers, "c", "b", 2);
        assert_eq!(
            shown(&mut registers),
            ["a", "b", "c"],
            "each of them has to hold its logs"
        );
        let changes = joined_with(&registers, joined, "b", ("a", ME)).unwrap();
        let settings: Vec<Setting> = changes.into_iter().map(|(setting, _)| setting).collect();
        let own = |of: &str| Setting::Admission(of.into(), "a".into());
        assert_eq!(settings, [Setting::Replica("a".into()), own("b"), own("c")]);
    }

    #[test]
    fn a_table_of_a_release_before_keeps_its_members() {
        let mut registers = four();
        let changes = inherited(&registers, ("a", ME)).unwrap();
        assert_eq!(changes.len(), 3);
        for (setting, value) in changes {
            registers.read(setting, &value.unwrap()).unwrap();
        }
        assert_eq!(shown(&mut registers).len(), 4);
        assert_eq!(inherited(&registers, ("a", ME + 1)).unwrap(), []);
    }
}
