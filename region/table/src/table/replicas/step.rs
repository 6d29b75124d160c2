//! What a region does about its own replica of a table.

use geodynamo_replicator_core::{Millis, Stamp};
use xxhash_rust::xxh3::xxh3_64;

use super::{Claim, leaving, shown};
use crate::{
    Result,
    schema::{Failure, ReplicaAction, ReplicaEntry, ReplicaStatus},
    table::{
        lost::relays,
        registers::{Change, Registers, Setting, pack},
    },
};

/// A region, as it decides.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Here<'a> {
    /// Its name.
    pub(crate) region: &'a str,
    /// The incarnation of its data directory.
    pub(crate) incarnation: u64,
    /// Whether it has had a copy of another region's catalog, or never needs one. A fresh data directory answers nothing
    /// before: it does not know what the one before it held.
    pub(crate) knows_catalog: bool,
    /// Local time, in milliseconds since the Unix epoch.
    pub(crate) now: Millis,
}

/// What there is to do.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Step {
    /// Nothing, until something changes.
    Rest,
    /// The replica serves: others are to be admitted, or given up.
    Serve,
    /// This is to be the answer.
    Answer(ReplicaEntry),
    /// The data directory is a new one, and these regions serve the table: a copy is to be fetched from one of them, unless
    /// there is a reason why it cannot be held any more. Either way they are to give each other what they have of the lost
    /// incarnation.
    Rejoin {
        /// The regions that serve the table; at least one.
        survivors: Vec<String>,
        /// Why no copy is to be fetched.
        failure: Option<Failure>,
    },
    /// The data is to be taken away, once the others have it.
    Leave,
    /// The answer is about nothing any more.
    Forget,
}

/// What a region is to do about its replica of the table `id`; `holder` is the table that has the name there. To be decided,
/// and carried out, under the lock of the region's catalog.
pub(crate) fn step(here: Here<'_>, id: u64, registers: &Registers, holder: Option<(u64, Claim)>) -> Step {
    let answer = registers.answers.get(here.region);
    let own = registers.replicas.get(here.region);
    let (Some(own), Some(_)) = (own, &registers.definition) else {
        // It was taken back, or the last member took the table away. A definition that is not here yet comes.
        let over = match answer {
            Some(_) => own.is_none() || here.knows_catalog,
            None => here.knows_catalog && is_unheard(registers, here.region) && is_last(registers, here.region),
        };
        return if over { Step::Forget } else { Step::Rest };
    };
    let failed = |failure| {
        Step::Answer(ReplicaEntry {
            status: ReplicaStatus::Failed,
            since_ms: here.now,
            failure: Some(failure),
            ..own.clone()
        })
    };
    let mine = own.incarnation == Some(here.incarnation);
    let taken = holder.is_some_and(|(other, _)| other != id);
    match own.status {
        ReplicaStatus::Failed => Step::Rest,
        // From here on it cannot be called back: the data is about to go.
        ReplicaStatus::Deleting if mine && answer.is_none_or(|answer| answer.status != ReplicaStatus::Deleting) => {
            Step::Answer(own.clone())
        }
        ReplicaStatus::Deleting => Step::Leave,
        ReplicaStatus::Creating | ReplicaStatus::Active if mine && taken => Step::Answer(ReplicaEntry {
            failure: Some(Failure::NameTaken),
            ..leaving(own, here.now)
        }),
        ReplicaStatus::Creating | ReplicaStatus::Active if !mine && !here.knows_catalog => Step::Rest,
        ReplicaStatus::Active if mine => Step::Serve,
        ReplicaStatus::Active => {
            let survivors = others(registers, here.region, |status| status == ReplicaStatus::Active);
            let failure = taken.then_some(Failure::NameTaken);
            if !survivors.is_empty() {
                return Step::Rejoin { survivors, failure };
            }
            // What it held is lost, and the table starts empty.
            let empty = ReplicaEntry {
                incarnation: Some(here.incarnation),
                since_ms: here.now,
                ..own.clone()
            };
            failure.map_or(Step::Answer(empty), failed)
        }
        ReplicaStatus::Creating if taken => failed(Failure::NameTaken),
        ReplicaStatus::Creating => {
            let may_serve = |status| matches!(status, ReplicaStatus::Active | ReplicaStatus::Creating);
            if others(registers, here.region, may_serve).is_empty() {
                return failed(Failure::NoSource);
            }
            if mine {
                return Step::Rest;
            }
            Step::Answer(ReplicaEntry {
                incarnation: Some(here.incarnation),
                since_ms: here.now,
                ..own.clone()
            })
        }
    }
}

fn others(registers: &Registers, region: &str, takes: impl Fn(ReplicaStatus) -> bool) -> Vec<String> {
    let others = registers.replicas.iter();
    let others = others.filter(|(other, entry)| *other != region && takes(entry.status));
    others.map(|(other, _)| other.clone()).collect()
}

/// The registers of a region whose data directory is a new one: see [`Step::Rejoin`]. `stamp` makes the join a new one.
pub(crate) fn rejoined(
    here: Here<'_>,
    registers: &Registers,
    (survivors, failure): (&[String], Option<Failure>),
    stamp: Stamp,
) -> Result<Vec<Change>> {
    let (Some(own), Some(source)) = (registers.replicas.get(here.region), survivors.first()) else {
        return Ok(Vec::new());
    };
    let region = here.region.to_owned();
    // Some survivors may lack writes of the lost incarnation that others have.
    let survivors: Vec<&String> = survivors.iter().collect();
    let newcomer = Some(&region).filter(|_| failure.is_none());
    let members: Vec<&String> = survivors.iter().copied().chain(newcomer).collect();
    let mut changes = relays(&members, &survivors, stamp)?;
    // The join brings what its source has.
    changes.retain(|(setting, _)| *setting != Setting::Relay(region.clone(), source.clone()));
    let entry = match failure {
        None => ReplicaEntry {
            status: ReplicaStatus::Creating,
            join: xxh3_64(&stamp.to_bytes()),
            source: Some(source.clone()),
            incarnation: Some(here.incarnation),
            since_ms: here.now,
            failure: None,
        },
        Some(_) => ReplicaEntry {
            status: ReplicaStatus::Failed,
            since_ms: here.now,
            failure,
            ..own.clone()
        },
    };
    changes.push((Setting::Replica(region), Some(pack(&entry)?)));
    Ok(changes)
}

/// Whether a region was asked to remove its replica, and has not said so: it may have made it meanwhile.
fn is_unheard(registers: &Registers, region: &str) -> bool {
    let request = registers.requests.get(region);
    !registers.answers.contains_key(region) && request.is_some_and(|request| request.action == ReplicaAction::Delete)
}

/// Whether no other region than this one has the table. Whoever says to have it counts here: what describes the table goes only
/// with the last of them.
fn is_last(registers: &Registers, region: &str) -> bool {
    let has_it = |other: &String| {
        let entry = shown(registers.answers.get(other), registers.requests.get(other));
        is_unheard(registers, other) || entry.is_some_and(|entry| entry.status != ReplicaStatus::Failed)
    };
    let mut others = registers.answers.keys().chain(registers.requests.keys());
    !others.any(|other| other != region && has_it(other))
}

/// The registers of a region whose answer is about nothing any more, or that was asked to remove what it never made, and is the
/// last to hear of it.
pub(crate) fn forgotten(here: Here<'_>, registers: &Registers) -> Result<Vec<Change>> {
    if registers.answers.contains_key(here.region) {
        return Ok(vec![(Setting::Replica(here.region.into()), None)]);
    }
    left(here, registers)
}

/// The registers of a region whose data of the table is gone: what concerns it is taken away; with the last replica, all of
/// the table, but for what other regions say.
pub(crate) fn left(here: Here<'_>, registers: &Registers) -> Result<Vec<Change>> {
    let region = here.region;
    let answer = registers.answers.get(region);
    if let Some(answer) = answer.filter(|answer| answer.failure == Some(Failure::NameTaken)) {
        let failed = ReplicaEntry {
            status: ReplicaStatus::Failed,
            since_ms: here.now,
            ..answer.clone()
        };
        return Ok(vec![(Setting::Replica(region.into()), Some(pack(&failed)?))]);
    }
    let last = is_last(registers, region);
    let mut settings = if last {
        registers.settings()
    } else {
        registers.settings_of(region)
    };
    // It may have been asked anew, by a member that did not know.
    let asked_anew = registers.requests.get(region).is_some_and(|request| {
        request.action == ReplicaAction::Create && answer.is_none_or(|answer| answer.join != request.join)
    });
    settings.retain(|setting| match setting {
        Setting::Replica(of) => of == region,
        Setting::Request(of) | Setting::Overrides(of) | Setting::TableClass(of) if !last => of != region || !asked_anew,
        _ => true,
    });
    // What is said of this region itself goes last: with it others know that this region may take the rest away.
    let own = registers.settings_of(region);
    settings.sort_by_key(|setting| own.contains(setting));
    Ok(settings.into_iter().map(|setting| (setting, None)).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::schema::{Definition, KeyAttribute, KeySchema, KeyType, ReplicaRequest};

    const ME: u64 = 7;
    const TABLE: u64 = 1;

    fn here(knows_catalog: bool) -> Here<'static> {
        Here {
            region: "b",
            incarnation: ME,
            knows_catalog,
            now: 9,
        }
    }

    fn entry(status: ReplicaStatus, incarnation: Option<u64>) -> ReplicaEntry {
        ReplicaEntry {
            status,
            join: 3,
            source: Some("a".into()),
            incarnation,
            since_ms: 5,
            failure: None,
        }
    }

    /// A table of region a, with what b says of its replica and what was asked of b.
    fn table(answer: Option<ReplicaEntry>, asked: Option<ReplicaAction>) -> Registers {
        let key = KeyAttribute {
            name: "p".into(),
            kind: KeyType::S,
        };
        let mut registers = Registers {
            definition: Some(Definition {
                name: "t".into(),
                created_ms: 0,
                keys: KeySchema::new(key, None),
                local_indexes: Vec::new(),
                partitions: 1,
                uuid: 0,
            }),
            ..Registers::default()
        };
        let founder = super::super::founder(1, 1, 0);
        registers.answers.insert("a".into(), founder);
        registers.admissions.insert(("a".into(), "b".into()), 1);
        registers.answers.extend(answer.map(|answer| ("b".to_owned(), answer)));
        let request = asked.map(|action| ReplicaRequest {
            action,
            join: 3,
            by: "a".into(),
            since_ms: 4,
        });
        registers
            .requests
            .extend(request.map(|request| ("b".to_owned(), request)));
        registers.show_replicas(("b", ME));
        registers
    }

    #[test]
    fn steps() {
        use ReplicaStatus::{Active, Creating, Deleting, Failed};
        let (free, own, other) = (None, Some((TABLE, Claim::Holds)), Some((TABLE + 1, Claim::Leaving)));
        let answer = |status, incarnation, failure, since_ms| {
            Step::Answer(ReplicaEntry {
                since_ms,
                failure,
                ..entry(status, incarnation)
            })
        };
        let taken = Some(Failure::NameTaken);
        let rejoin = |failure| Step::Rejoin {
            survivors: vec!["a".into()],
            failure,
        };
        let asked = Some(ReplicaAction::Create);
        let told_to_go = Some(ReplicaAction::Delete);
        let cases = [
            (None, None, free, Step::Rest),
            // Asked: the name is free, or another table's.
            (None, asked, free, answer(Creating, Some(ME), None, 9)),
            (None, asked, other, answer(Failed, None, taken, 9)),
            (Some((Creating, None)), None, other, answer(Failed, None, taken, 9)),
            // Taken back, before and after the answer.
            (None, told_to_go, free, Step::Rest),
            (Some((Failed, None)), told_to_go, other, Step::Forget),
            (Some((Failed, None)), asked, other, Step::Rest),
            // Held.
            (Some((Creating, Some(ME))), asked, own, Step::Rest),
            (Some((Active, Some(ME))), asked, own, Step::Serve),
            (
                Some((Active, Some(ME))),
                told_to_go,
                own,
                answer(Deleting, Some(ME), None, 4),
            ),
            (Some((Deleting, Some(ME))), told_to_go, own, Step::Leave),
            (Some((Deleting, Some(ME))), asked, own, Step::Leave),
            // The version before took both.
            (
                Some((Active, Some(ME))),
                asked,
                other,
                answer(Deleting, Some(ME), taken, 9),
            ),
            // The data directory is a new one.
            (Some((Active, Some(6))), asked, own, rejoin(None)),
            (Some((Active, Some(6))), asked, other, rejoin(taken)),
            (
                Some((Creating, Some(6))),
                asked,
                own,
                answer(Creating, Some(ME), None, 9),
            ),
            (Some((Active, Some(6))), told_to_go, free, Step::Leave),
        ];
        for (own, asked, holder, wanted) in cases {
            let case = format!("{own:?} {asked:?} {holder:?}");
            let registers = table(own.map(|(status, incarnation)| entry(status, incarnation)), asked);
            assert_eq!(step(here(true), TABLE, &registers, holder), wanted, "{case}");
            let unsure = step(here(false), TABLE, &registers, holder);
            let mine = own.is_some_and(|(_, incarnation)| incarnation == Some(ME));
            let waits = !mine && matches!(wanted, Step::Answer(_) | Step::Rejoin { .. });
            assert_eq!(unsure, if waits { Step::Rest } else { wanted }, "{case}");
        }
    }

    #[test]
    fn what_was_called_off_before_it_was_made_leaves_nothing() {
        let mut registers = table(None, Some(ReplicaAction::Delete));
        assert_eq!(step(here(true), TABLE, &registers, None), Step::Rest, "others have it");
        registers.answers.remove("a");
        assert_eq!(
            step(here(false), TABLE, &registers, None),
            Step::Rest,
            "others may have it"
        );
        assert_eq!(step(here(true), TABLE, &registers, None), Step::Forget);
        let changes = forgotten(here(true), &registers).unwrap();
        for setting in [Setting::Definition, Setting::Request("b".into())] {
            assert!(changes.contains(&(setting.clone(), None)), "{setting:?}");
        }
    }

    #[test]
    fn a_table_that_is_gone_is_answered_for_no_more() {
        let mut registers = table(Some(entry(ReplicaStatus::Active, Some(ME))), None);
        registers.definition = None;
        assert_eq!(step(here(true), TABLE, &registers, None), Step::Forget);
        assert_eq!(step(here(false), TABLE, &registers, None), Step::Rest);
        let mut registers = table(None, Some(ReplicaAction::Create));
        registers.definition = None;
        assert_eq!(step(here(true), TABLE, &registers, None), Step::Rest);
    }

    #[test]
    fn what_is_left_behind() {
        // One that was asked anew while it left is to answer that.
        let mut registers = table(
            Some(entry(ReplicaStatus::Deleting, Some(ME))),
            Some(ReplicaAction::Create),
        );
        let gone = |registers: &Registers| -> Vec<Setting> {
            let changes = left(here(true), registers).unwrap();
            changes.into_iter().map(|(setting, _)| setting).collect()
        };
        let (answer, request) = (Setting::Replica("b".into()), Setting::Request("b".into()));
        let promise = Setting::Admission("a".into(), "b".into());
        assert_eq!(gone(&registers), [answer.clone(), request.clone(), promise.clone()]);
        registers.requests.get_mut("b").unwrap().join = 4;
        registers.show_replicas(("b", ME));
        assert_eq!(gone(&registers), [answer.clone(), promise.clone()]);
        // The last one takes all away, but not what others say.
        registers.answers.insert("a".into(), entry(ReplicaStatus::Failed, None));
        registers.show_replicas(("b", ME));
        assert_eq!(gone(&registers), [Setting::Definition, answer, request, promise]);
    }
}
