//! Which regions have a replica of a table, and which table has a name in a region. Decisions only: no I/O, no clock.
//!
//! A name is a region's own: two regions may each make a table of one name while they do not hear of each other, and each
//! acknowledges writes to its own. So nobody but the region itself can say whether it takes a replica, and two registers
//! tell of one:
//!
//! - the **request**, written by the members, the regions that have the table: that a replica is to be made, or removed.
//!   A request is a wish. It changes nothing in the region that it is about.
//! - the **answer**, written by the region that it is about: that it holds the table (CREATING, ACTIVE, DELETING), or that
//!   it cannot (CREATION_FAILED, and why). It answers while it holds its catalog's lock, as CreateTable does, so a name has
//!   one table there: the one that came first, for as long as the region holds it. Others write this register only to give
//!   up a replica that is lost (see [`crate::lost`]).
//!
//! Both carry the number of the join that they are about, so a late request, or one made without knowing of the last
//! answer, does not touch another join: a removal ends the join that it names, and a failure is shown for as long as its own
//! request is the last one.
//!
//! A region **holds** a table if its answer names its own incarnation and is not a failure. What the incarnation before held
//! (the data directory is a new one) keeps its name until this one has answered.
//!
//! The version before had one register for both, and of two tables of one name in a region that with the lesser id hid the
//! other. A register of it that says CREATING without an incarnation is a request. Where a region holds two tables of a
//! name, [`holder`] says which has it; the other is drained, removed, and shown as CREATION_FAILED ([`step`]).

mod members;
mod outage;
mod request;
mod step;

pub use self::outage::OUT_OF_REACH_MS;

#[cfg(test)]
mod model;

use std::{cmp::Reverse, collections::BTreeMap};

use geodynamo_replicator_core::Millis;

pub(crate) use self::{
    members::{Viewer, Way, admissions, inherited, is_lawful, joined_with},
    outage::{Outage, expelled, outage},
    request::{check_newcomer, check_open, create_request, delete_request},
    step::{Here, Step, forgotten, left, rejoined, step},
};
use crate::{
    schema::{ReplicaAction, ReplicaEntry, ReplicaRequest, ReplicaStatus},
    table::{TableStatus, registers::Registers},
};

/// The replicas that count for a region that looks; see [`members`].
pub(crate) fn replicas(registers: &Registers, viewer: Viewer<'_>) -> BTreeMap<String, ReplicaEntry> {
    let honoured = members::honoured(registers, viewer);
    let counts = |region: &String| honoured.as_ref().is_none_or(|honoured| honoured.contains(region));
    let regions = registers.answers.keys().chain(registers.requests.keys());
    let shown = regions.filter(|region| counts(region)).filter_map(|region| {
        let answer = registers.answers.get(region);
        let expelled = registers.expelled.get(region).copied();
        if region != viewer.0 && answer.is_some_and(|answer| expelled == Some(answer.join)) {
            return None;
        }
        // What is asked of the region that looks has been judged when it came; who asked may have left since.
        let is_for = |request: &&ReplicaRequest| region == viewer.0 || counts(&request.by);
        let request = registers.requests.get(region).filter(is_for);
        Some((region.clone(), shown(answer, request)?))
    });
    shown.collect()
}

/// A region's replica, from what was asked and what the region answered.
pub(crate) fn shown(answer: Option<&ReplicaEntry>, request: Option<&ReplicaRequest>) -> Option<ReplicaEntry> {
    let Some(request) = request else {
        return answer.cloned();
    };
    let Some(answer) = answer else {
        return (request.action == ReplicaAction::Create).then(|| asked_for(request));
    };
    let same = request.join == answer.join;
    match request.action {
        ReplicaAction::Create if answer.status == ReplicaStatus::Failed && !same => Some(asked_for(request)),
        // Taken back: there is nothing to remove.
        ReplicaAction::Delete if same && (answer.status == ReplicaStatus::Failed || answer.incarnation.is_none()) => {
            None
        }
        ReplicaAction::Delete if same && answer.status != ReplicaStatus::Deleting => Some(ReplicaEntry {
            status: ReplicaStatus::Deleting,
            since_ms: request.since_ms,
            ..answer.clone()
        }),
        ReplicaAction::Create | ReplicaAction::Delete => Some(answer.clone()),
    }
}

fn asked_for(request: &ReplicaRequest) -> ReplicaEntry {
    ReplicaEntry {
        status: ReplicaStatus::Creating,
        join: request.join,
        source: Some(request.by.clone()),
        incarnation: None,
        since_ms: request.since_ms,
        failure: None,
    }
}

/// The regions that serve a table, in the order of their names.
pub(crate) fn joined_members(registers: &Registers) -> Vec<&str> {
    let active = registers.replicas.iter();
    let active = active.filter(|(_, entry)| entry.status == ReplicaStatus::Active);
    active.map(|(region, _)| region.as_str()).collect()
}

/// What the region that makes a table says of its replica.
pub(crate) fn founder(join: u64, incarnation: u64, now: Millis) -> ReplicaEntry {
    ReplicaEntry {
        status: ReplicaStatus::Active,
        join,
        source: None,
        incarnation: Some(incarnation),
        since_ms: now,
        failure: None,
    }
}

/// A region's replica once its copy is whole; `None` if the join is over, or another one.
pub(crate) fn joined(own: &ReplicaEntry, join: u64, incarnation: u64, now: Millis) -> Option<ReplicaEntry> {
    let joins = own.status == ReplicaStatus::Creating && own.incarnation == Some(incarnation) && own.join == join;
    joins.then(|| ReplicaEntry {
        status: ReplicaStatus::Active,
        since_ms: now,
        ..own.clone()
    })
}

/// A region's replica that is to be removed.
pub(crate) fn leaving(own: &ReplicaEntry, now: Millis) -> ReplicaEntry {
    ReplicaEntry {
        status: ReplicaStatus::Deleting,
        since_ms: now,
        ..own.clone()
    }
}

/// How strong a table's claim to its name is in a region. A region holds the table from [`Claim::Leaving`] on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Claim {
    /// The incarnation before held it, and this one has not answered yet.
    Inherited,
    /// It is being removed.
    Leaving,
    /// It serves, or its copy is under way.
    Holds,
}

impl Claim {
    /// The claim of a region's own replica. A request makes none, nor does a failure.
    pub(crate) fn of(own: &ReplicaEntry, incarnation: u64) -> Option<Self> {
        let held_by = own.incarnation?;
        let mine = held_by == incarnation;
        match own.status {
            ReplicaStatus::Failed => None,
            ReplicaStatus::Creating | ReplicaStatus::Active => Some(if mine { Self::Holds } else { Self::Inherited }),
            ReplicaStatus::Deleting => mine.then_some(Self::Leaving),
        }
    }
}

/// The table that has a name in a region, of all tables of that name with their replicas there: the one that the region
/// holds. There are two such only if the version before took both: then the one that was made there goes before one that was
/// copied there, and after that the older one.
pub(crate) fn holder<'a>(
    tables: impl IntoIterator<Item = (u64, &'a ReplicaEntry)>,
    incarnation: u64,
) -> Option<(u64, Claim)> {
    let claims = tables
        .into_iter()
        .filter_map(|(id, own)| Some((id, own, Claim::of(own, incarnation)?)));
    let first = claims.max_by_key(|(id, own, claim)| {
        let made_here = own.source.is_none();
        (*claim, made_here, Reverse(own.since_ms), Reverse(*id))
    });
    first.map(|(id, _, claim)| (id, claim))
}

/// How far a table has come in a region, but for its indexes; `None` if the region neither holds it nor takes over from
/// the incarnation before.
pub(crate) fn table_status(registers: &Registers, region: &str, incarnation: u64) -> Option<TableStatus> {
    let own = registers.replicas.get(region)?;
    let claim = Claim::of(own, incarnation)?;
    Some(match (claim, own.status) {
        (Claim::Leaving, _) => TableStatus::Deleting,
        // What another incarnation held has to be fetched first.
        (Claim::Inherited, _) | (Claim::Holds, ReplicaStatus::Creating) => TableStatus::Creating,
        (Claim::Holds, _) if registers.replicas.values().any(is_changing) => TableStatus::Updating,
        (Claim::Holds, _) if registers.leaving.contains_key(region) => TableStatus::Updating,
        (Claim::Holds, _) => TableStatus::Active,
    })
}

fn is_changing(entry: &ReplicaEntry) -> bool {
    matches!(entry.status, ReplicaStatus::Creating | ReplicaStatus::Deleting)
}

/// A region's replica and the source of its copy, if it joins the table and every active member has admitted it.
pub(crate) fn join_source<'a>(
    registers: &'a Registers,
    region: &str,
    incarnation: u64,
) -> Option<(&'a ReplicaEntry, &'a String)> {
    let own = registers.replicas.get(region)?;
    if own.status != ReplicaStatus::Creating || own.incarnation != Some(incarnation) {
        return None;
    }
    let mut source = None;
    for (member, entry) in &registers.replicas {
        if member == region || entry.status != ReplicaStatus::Active {
            continue;
        }
        if registers.admissions.get(&(region.to_owned(), member.clone())) != Some(&own.join) {
            return None;
        }
        if source.is_none() || own.source.as_ref() == Some(member) {
            source = Some(member);
        }
    }
    Some((own, source?))
}

/// How many replicas could not be made, of a table that some region serves.
pub(crate) fn failed(registers: &Registers) -> usize {
    let with = |status: ReplicaStatus| registers.replicas.values().filter(move |entry| entry.status == status);
    if registers.definition.is_none() || with(ReplicaStatus::Active).next().is_none() {
        return 0;
    }
    with(ReplicaStatus::Failed).count()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::schema::Failure;

    const ME: u64 = 7;

    fn entry(status: ReplicaStatus, join: u64, incarnation: Option<u64>) -> ReplicaEntry {
        ReplicaEntry {
            status,
            join,
            source: Some("a".into()),
            incarnation,
            since_ms: 5,
            failure: None,
        }
    }

    fn request(action: ReplicaAction, join: u64) -> ReplicaRequest {
        ReplicaRequest {
            action,
            join,
            by: "a".into(),
            since_ms: 9,
        }
    }

    #[test]
    fn what_is_shown_of_a_replica() {
        use ReplicaAction::{Create, Delete};
        use ReplicaStatus::{Active, Creating, Deleting, Failed};
        let held = Some(ME);
        let cases = [
            // Nothing, a request, one that was taken back.
            (None, None, None),
            (None, Some((Create, 1)), Some((Creating, 1, 9))),
            (None, Some((Delete, 1)), None),
            // Answers.
            (Some((Creating, 1, held)), Some((Create, 1)), Some((Creating, 1, 5))),
            (Some((Active, 1, held)), Some((Create, 1)), Some((Active, 1, 5))),
            (Some((Active, 1, held)), None, Some((Active, 1, 5))),
            (Some((Failed, 1, held)), Some((Create, 1)), Some((Failed, 1, 5))),
            // A request that came late, or was made without knowing of the answer.
            (Some((Active, 1, held)), Some((Create, 2)), Some((Active, 1, 5))),
            (Some((Active, 2, held)), Some((Delete, 1)), Some((Active, 2, 5))),
            (Some((Failed, 2, held)), Some((Delete, 1)), Some((Failed, 2, 5))),
            // Removals.
            (Some((Active, 1, held)), Some((Delete, 1)), Some((Deleting, 1, 9))),
            (Some((Creating, 1, held)), Some((Delete, 1)), Some((Deleting, 1, 9))),
            (Some((Deleting, 1, held)), Some((Delete, 1)), Some((Deleting, 1, 5))),
            // A failure that was taken back, and one after which it was asked anew.
            (Some((Failed, 1, held)), Some((Delete, 1)), None),
            (Some((Failed, 1, held)), Some((Create, 2)), Some((Creating, 2, 9))),
            // Of the version before: a request in the place of an answer.
            (Some((Creating, 1, None)), None, Some((Creating, 1, 5))),
            (Some((Creating, 1, None)), Some((Delete, 1)), None),
        ];
        for (answer, asked, wanted) in cases {
            let case = format!("{answer:?} {asked:?}");
            let answer = answer.map(|(status, join, incarnation)| entry(status, join, incarnation));
            let asked = asked.map(|(action, join)| request(action, join));
            let shown = shown(answer.as_ref(), asked.as_ref());
            let shown = shown.map(|entry| (entry.status, entry.join, entry.since_ms));
            assert_eq!(shown, wanted, "{case}");
        }
    }

    #[test]
    fn who_has_a_name() {
        use ReplicaStatus::{Active, Creating, Deleting, Failed};
        let holder_of = |tables: &[(u64, ReplicaEntry)]| {
            let tables = tables.iter().map(|(id, own)| (*id, own));
            holder(tables, ME).map(|(id, _)| id)
        };
        assert_eq!(holder_of(&[]), None);
        // Requests and failures have none, whatever their ids.
        let mine = entry(Active, 1, Some(ME));
        for other in [
            entry(Creating, 2, None),
            entry(Failed, 2, Some(ME)),
            entry(Deleting, 2, None),
            entry(Active, 2, Some(6)),
            entry(Deleting, 2, Some(ME)),
        ] {
            assert_eq!(
                holder_of(&[(5, mine.clone()), (1, other.clone())]),
                Some(5),
                "{other:?}"
            );
            assert_eq!(
                holder_of(&[(5, mine.clone()), (9, other.clone())]),
                Some(5),
                "{other:?}"
            );
        }
        assert_eq!(holder_of(&[(1, entry(Creating, 2, None))]), None);
        assert_eq!(holder_of(&[(1, entry(Active, 2, Some(6)))]), Some(1));
        // What the version before left: made here goes before copied here, then the older, whatever the ids.
        let founded = founder(1, ME, 8);
        assert_eq!(holder_of(&[(5, founded.clone()), (1, mine.clone())]), Some(5));
        assert_eq!(holder_of(&[(1, founded), (5, mine.clone())]), Some(1));
        let later = ReplicaEntry {
            since_ms: 6,
            ..mine.clone()
        };
        assert_eq!(holder_of(&[(5, mine.clone()), (1, later)]), Some(5));
    }

    #[test]
    fn a_late_copy_undoes_no_removal() {
        let own = entry(ReplicaStatus::Creating, 1, Some(ME));
        assert_eq!(
            joined(&own, 1, ME, 9).map(|entry| entry.status),
            Some(ReplicaStatus::Active)
        );
        assert_eq!(joined(&own, 2, ME, 9), None);
        assert_eq!(joined(&own, 1, ME + 1, 9), None);
        assert_eq!(joined(&leaving(&own, 8), 1, ME, 9), None);
    }

    /// What the version before wrote is read, and what this one writes of an answer the version before would read, too.
    #[test]
    fn stored_forms() {
        let before = rmp_serde::from_slice::<ReplicaEntry>(b"\x84\xa1s\xa6Active\xa1j\x01\xa1i\x07\xa1t\x05");
        assert_eq!(
            before.unwrap(),
            ReplicaEntry {
                source: None,
                ..entry(ReplicaStatus::Active, 1, Some(ME))
            }
        );
        let failed = ReplicaEntry {
            failure: Some(Failure::NameTaken),
            ..entry(ReplicaStatus::Failed, 1, None)
        };
        let golden: &[u8] = b"\x85\xa1s\xa6Failed\xa1j\x01\xa1f\xa1a\xa1t\x05\xa1x\xa9NameTaken";
        assert_eq!(rmp_serde::to_vec_named(&failed).unwrap(), golden);
        assert_eq!(rmp_serde::from_slice::<ReplicaEntry>(golden).unwrap(), failed);
        let asked = request(ReplicaAction::Create, 1);
        let golden: &[u8] = b"\x84\xa1a\xa6Create\xa1j\x01\xa1f\xa1a\xa1t\x09";
        assert_eq!(rmp_serde::to_vec_named(&asked).unwrap(), golden);
        assert_eq!(rmp_serde::from_slice::<ReplicaRequest>(golden).unwrap(), asked);
    }
}
