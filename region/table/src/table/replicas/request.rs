//! What the members of a table ask of other regions.

use geodynamo_replicator_core::Millis;

use crate::{
    Result, TableError,
    schema::{ReplicaAction, ReplicaRequest, ReplicaStatus, name_taken},
    table::{
        TableStatus,
        registers::{Change, Registers, Setting, pack},
    },
};

/// Whether a table of this status can be changed: replicas to be made (`creates`), and to be removed (`deletes`).
///
/// A replica that is being made can be taken back for as long as its region has not answered: it may never.
///
/// # Errors
/// [`TableError::ResourceInUse`].
pub(crate) fn check_open(
    registers: &Registers,
    (name, status): (&str, TableStatus),
    creates: &[String],
    deletes: &[String],
) -> Result<()> {
    let is_unanswered = |region: &String| {
        let entry = registers.replicas.get(region);
        entry.is_some_and(|entry| entry.status == ReplicaStatus::Creating && entry.incarnation.is_none())
    };
    match status {
        TableStatus::Active => Ok(()),
        TableStatus::Updating if creates.is_empty() && deletes.iter().all(is_unanswered) => Ok(()),
        status => Err(TableError::in_use(name, status)),
    }
}

/// Whether a region can be asked for a replica, as far as this one knows: `same_name` are all tables of the name.
///
/// Source: ack-api-quirks, DDB-TABLE-203 and 225 (measured in October 2026): a region that has a replica, one that has a table
/// of its own of that name, and one whose table is being deleted are refused in the same words.
///
/// # Errors
/// [`TableError::Validation`].
pub(crate) fn check_newcomer<'a>(
    registers: &Registers,
    name: &str,
    newcomer: &str,
    mut same_name: impl Iterator<Item = &'a Registers>,
) -> Result<()> {
    // A replica of this table that failed has to be taken back first; one of another table is no table there.
    let is_there = |other: &Registers| {
        let entry = other.replicas.get(newcomer);
        entry.is_some_and(|entry| entry.status != ReplicaStatus::Failed)
    };
    if registers.replicas.contains_key(newcomer) || registers.has_left(newcomer) || same_name.any(is_there) {
        return Err(TableError::Validation(name_taken(name)));
    }
    Ok(())
}

/// Asks a region for a replica.
pub(crate) fn create_request(newcomer: &str, by: &str, join: u64, now: Millis) -> Result<Change> {
    let request = ReplicaRequest {
        action: ReplicaAction::Create,
        join,
        by: by.into(),
        since_ms: now,
    };
    Ok((Setting::Request(newcomer.into()), Some(pack(&request)?)))
}

/// Asks a region to remove its replica, or takes back that it was asked for one.
///
/// # Errors
/// [`TableError::Validation`] if there is no such replica.
pub(crate) fn delete_request(registers: &Registers, leaver: &str, by: &str, now: Millis) -> Result<Vec<Change>> {
    let entry = registers.replicas.get(leaver).filter(|_| leaver != by);
    let entry = entry.ok_or_else(|| TableError::no_replica(leaver))?;
    let request = ReplicaRequest {
        action: ReplicaAction::Delete,
        join: entry.join,
        by: by.into(),
        since_ms: now,
    };
    let mut changes = vec![(Setting::Request(leaver.into()), Some(pack(&request)?))];
    let is_taken_back = entry.status == ReplicaStatus::Failed || entry.incarnation.is_none();
    if is_taken_back {
        // What it was to have of its own goes, too; nobody else would take that away.
        let settings = registers.settings_of(leaver).into_iter();
        let own = settings.filter(|setting| matches!(setting, Setting::Overrides(_) | Setting::TableClass(_)));
        changes.extend(own.map(|setting| (setting, None)));
    }
    Ok(changes)
}
