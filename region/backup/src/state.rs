//! What is stored: vaults, plans, selections and jobs, as rows that this replica keeps ([`Keeper::Backup`]).
//!
//! Rows of other accounts than the cluster's own begin with `@ACCOUNT/`.
//!
//! Recovery points are not: the archive has them, each a backup with a [`Note`]. What was changed of one since is a row,
//! [`Marks`].

use std::{
    collections::BTreeMap,
    sync::{Arc, atomic::Ordering::Relaxed},
};

use bytes::Bytes;
use geodynamo_replicator_core::Millis;
use geodynamo_storage::Engine;
use geodynamo_table::{Keeper, TableError, Tables, is_account};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::Shared;

/// What every row of another account than the cluster's own begins with. No kind of row does.
const OF_ACCOUNT: &str = "@";
/// All rows are of one group: what belongs together is one commit.
const GROUP: u64 = 0;
/// Milliseconds of a day.
pub(crate) const DAY_MS: Millis = 24 * 60 * 60 * 1000;

/// Tags by their keys.
pub(crate) type Tags = BTreeMap<String, String>;

/// A vault.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Vault {
    #[serde(rename = "n")]
    pub(crate) name: String,
    #[serde(rename = "c")]
    pub(crate) created_ms: Millis,
    #[serde(rename = "r", default)]
    pub(crate) creator_request: Option<String>,
    #[serde(rename = "t", default)]
    pub(crate) tags: Tags,
    #[serde(rename = "l", default)]
    pub(crate) lock: Option<Lock>,
}

/// A vault's lock.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Lock {
    /// How many days recovery points are kept at least.
    #[serde(rename = "a", default)]
    pub(crate) min_days: Option<i64>,
    /// How many at most.
    #[serde(rename = "z", default)]
    pub(crate) max_days: Option<i64>,
    /// From when on nobody can change or take it away; never, if there is none.
    #[serde(rename = "d", default)]
    pub(crate) fixed_ms: Option<Millis>,
}

/// How long a recovery point is kept, in days; for ever if it is not told.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Lifecycle {
    #[serde(rename = "c", default)]
    pub(crate) cold_days: Option<i64>,
    #[serde(rename = "d", default)]
    pub(crate) delete_days: Option<i64>,
}

/// A rule's copy of each backup.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct CopyAction {
    #[serde(rename = "v")]
    pub(crate) vault_arn: String,
    #[serde(rename = "l", default)]
    pub(crate) lifecycle: Lifecycle,
}

/// The plan and the rule that something comes from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Creator {
    #[serde(rename = "p")]
    pub(crate) plan: String,
    #[serde(rename = "n")]
    pub(crate) plan_name: String,
    #[serde(rename = "v")]
    pub(crate) version: String,
    #[serde(rename = "r")]
    pub(crate) rule: String,
    #[serde(rename = "m")]
    pub(crate) rule_name: String,
    #[serde(rename = "s")]
    pub(crate) schedule: String,
    #[serde(rename = "z")]
    pub(crate) zone: String,
}

/// What the archive has of a recovery point beside the backup.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Note {
    #[serde(rename = "v")]
    pub(crate) vault: String,
    /// The table's ARN, in the region where the backup was made.
    #[serde(rename = "a")]
    pub(crate) resource: String,
    #[serde(rename = "i")]
    pub(crate) role: String,
    /// The job that made it, or brought it here.
    #[serde(rename = "j")]
    pub(crate) job: String,
    #[serde(rename = "l", default)]
    pub(crate) lifecycle: Lifecycle,
    #[serde(rename = "t", default)]
    pub(crate) tags: Tags,
    #[serde(rename = "c", default)]
    pub(crate) creator: Option<Creator>,
    /// The vault that it was copied from.
    #[serde(rename = "s", default)]
    pub(crate) source_vault_arn: Option<String>,
}

/// What was changed of a recovery point, by its backup's ARN.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Marks {
    #[serde(rename = "a")]
    pub(crate) arn: String,
    #[serde(rename = "l", default)]
    pub(crate) lifecycle: Option<Lifecycle>,
    #[serde(rename = "t", default)]
    pub(crate) tags: Option<Tags>,
    #[serde(rename = "r", default)]
    pub(crate) restored_ms: Option<Millis>,
}

/// A plan.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Plan {
    #[serde(rename = "i")]
    pub(crate) id: String,
    #[serde(rename = "c")]
    pub(crate) created_ms: Millis,
    #[serde(rename = "d", default)]
    pub(crate) deleted_ms: Option<Millis>,
    #[serde(rename = "l", default)]
    pub(crate) ran_ms: Option<Millis>,
    #[serde(rename = "r", default)]
    pub(crate) creator_request: Option<String>,
    #[serde(rename = "t", default)]
    pub(crate) tags: Tags,
    /// Its versions, the current one last; there is always one.
    #[serde(rename = "v")]
    pub(crate) versions: Vec<PlanVersion>,
    /// Up to when each rule's runs have been begun, or passed over, by the rules' ids.
    #[serde(rename = "f", default)]
    pub(crate) through_ms: BTreeMap<String, Millis>,
}

/// A version of a plan.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct PlanVersion {
    #[serde(rename = "v")]
    pub(crate) version: String,
    #[serde(rename = "c")]
    pub(crate) created_ms: Millis,
    #[serde(rename = "n")]
    pub(crate) name: String,
    /// The `BackupPlan` as it is shown, JSON.
    #[serde(rename = "b")]
    pub(crate) body: String,
}

/// What a plan is for.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Selection {
    #[serde(rename = "i")]
    pub(crate) id: String,
    #[serde(rename = "p")]
    pub(crate) plan: String,
    #[serde(rename = "c")]
    pub(crate) created_ms: Millis,
    #[serde(rename = "r", default)]
    pub(crate) creator_request: Option<String>,
    /// The `BackupSelection` as it is shown, JSON.
    #[serde(rename = "b")]
    pub(crate) body: String,
}

/// How far a job has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum JobState {
    /// Not begun.
    Created,
    Running,
    /// Someone wants it to end.
    Aborting,
    Aborted,
    Completed,
    Failed,
    /// It could not begin in time.
    Expired,
}

/// What all jobs have.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Job {
    #[serde(rename = "i")]
    pub(crate) id: String,
    #[serde(rename = "s")]
    pub(crate) state: JobState,
    #[serde(rename = "m", default)]
    pub(crate) message: Option<String>,
    #[serde(rename = "c")]
    pub(crate) created_ms: Millis,
    #[serde(rename = "e", default)]
    pub(crate) ended_ms: Option<Millis>,
    #[serde(rename = "r")]
    pub(crate) role: String,
    /// The table's ARN.
    #[serde(rename = "a")]
    pub(crate) resource: String,
    #[serde(rename = "z", default)]
    pub(crate) bytes: u64,
    /// What says that a request was sent twice.
    #[serde(rename = "k", default)]
    pub(crate) token: Option<String>,
    #[serde(rename = "p", default)]
    pub(crate) creator: Option<Creator>,
}

/// A backup job.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct BackupJob {
    #[serde(rename = "j")]
    pub(crate) job: Job,
    #[serde(rename = "v")]
    pub(crate) vault: String,
    #[serde(rename = "l", default)]
    pub(crate) lifecycle: Lifecycle,
    #[serde(rename = "t", default)]
    pub(crate) tags: Tags,
    #[serde(rename = "b")]
    pub(crate) start_by_ms: Millis,
    /// How long it may take once it has begun.
    #[serde(rename = "w")]
    pub(crate) complete_ms: Millis,
    #[serde(rename = "g", default)]
    pub(crate) begun_ms: Option<Millis>,
    #[serde(rename = "p", default)]
    pub(crate) point: Option<String>,
    #[serde(rename = "x", default)]
    pub(crate) copies: Vec<CopyAction>,
}

/// A copy job.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct CopyJob {
    #[serde(rename = "j")]
    pub(crate) job: Job,
    #[serde(rename = "s")]
    pub(crate) source_vault: String,
    #[serde(rename = "o")]
    pub(crate) source_point: String,
    #[serde(rename = "d")]
    pub(crate) vault_arn: String,
    /// What the backup is called there.
    #[serde(rename = "n")]
    pub(crate) backup_id: String,
    #[serde(rename = "l", default)]
    pub(crate) lifecycle: Lifecycle,
    #[serde(rename = "p", default)]
    pub(crate) point: Option<String>,
    /// The backup job whose rule it is of.
    #[serde(rename = "b", default)]
    pub(crate) by_job: Option<String>,
}

/// A restore job.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct RestoreJob {
    #[serde(rename = "j")]
    pub(crate) job: Job,
    #[serde(rename = "p")]
    pub(crate) point: String,
    #[serde(rename = "v")]
    pub(crate) vault: String,
    #[serde(rename = "n")]
    pub(crate) table: String,
    #[serde(rename = "m")]
    pub(crate) point_created_ms: Millis,
    /// Tags for the table once it is there.
    #[serde(rename = "t", default)]
    pub(crate) tags: Tags,
    /// The master key that the table is to be under, or none of its own; none if it is to be as the backup's was.
    #[serde(rename = "k", default, with = "told", skip_serializing_if = "Option::is_none")]
    pub(crate) key: Option<Option<String>>,
}

/// What is told of a key: an empty text is none.
mod told {
    use serde::{Deserialize as _, Deserializer, Serialize as _, Serializer};

    pub(super) fn serialize<S: Serializer>(key: &Option<Option<String>>, to: S) -> Result<S::Ok, S::Error> {
        key.as_ref().map(|key| key.as_deref().unwrap_or_default()).serialize(to)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Option<Option<String>>, D::Error> {
        let told = Option::<String>::deserialize(from)?;
        Ok(told.map(|key| Some(key).filter(|key| !key.is_empty())))
    }
}

/// A row.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) enum Row {
    #[serde(rename = "v")]
    Vault(Vault),
    #[serde(rename = "p")]
    Plan(Plan),
    #[serde(rename = "s")]
    Selection(Selection),
    #[serde(rename = "m")]
    Marks(Marks),
    #[serde(rename = "b")]
    Backup(BackupJob),
    #[serde(rename = "c")]
    Copy(CopyJob),
    #[serde(rename = "r")]
    Restore(RestoreJob),
}

/// Everything, in memory.
#[derive(Debug, Default)]
pub(crate) struct Known {
    pub(crate) vaults: BTreeMap<String, Vault>,
    pub(crate) plans: BTreeMap<String, Plan>,
    pub(crate) selections: BTreeMap<String, Selection>,
    pub(crate) marks: BTreeMap<String, Marks>,
    pub(crate) backups: BTreeMap<String, BackupJob>,
    pub(crate) copies: BTreeMap<String, CopyJob>,
    pub(crate) restores: BTreeMap<String, RestoreJob>,
}

impl Lock {
    /// Whether nobody can change it any more.
    pub(crate) fn is_fixed(&self, now_ms: Millis) -> bool {
        self.fixed_ms.is_some_and(|fixed| fixed <= now_ms)
    }
}

impl Lifecycle {
    /// When a recovery point becomes cold, and when it goes.
    pub(crate) fn moments(&self, created_ms: Millis) -> (Option<Millis>, Option<Millis>) {
        let at = |days: Option<i64>| {
            let days = Millis::try_from(days?).ok()?;
            Some(created_ms.saturating_add(days.saturating_mul(DAY_MS)))
        };
        (at(self.cold_days), at(self.delete_days))
    }

    /// As the API has it; nothing if it tells nothing.
    pub(crate) fn shown(&self) -> Value {
        if *self == Self::default() {
            return Value::Null;
        }
        json!({ "MoveToColdStorageAfterDays": self.cold_days, "DeleteAfterDays": self.delete_days })
    }
}

impl JobState {
    /// AWS Backup's name.
    pub(crate) fn code(self) -> &'static str {
        match self {
            Self::Created => "CREATED",
            Self::Running => "RUNNING",
            Self::Aborting => "ABORTING",
            Self::Aborted => "ABORTED",
            Self::Completed => "COMPLETED",
            Self::Failed => "FAILED",
            Self::Expired => "EXPIRED",
        }
    }

    pub(crate) fn has_ended(self) -> bool {
        !matches!(self, Self::Created | Self::Running | Self::Aborting)
    }
}

impl Job {
    /// Ends it.
    pub(crate) fn end(&mut self, state: JobState, message: Option<String>, now_ms: Millis) {
        self.state = state;
        self.message = message;
        self.ended_ms = Some(now_ms);
    }
}

impl Row {
    /// Where it is stored.
    pub(crate) fn place(&self) -> Bytes {
        let (kind, name) = match self {
            Self::Vault(vault) => ('v', &vault.name),
            Self::Plan(plan) => ('p', &plan.id),
            Self::Selection(selection) => ('s', &selection.id),
            Self::Marks(marks) => ('m', &marks.arn),
            Self::Backup(job) => ('b', &job.job.id),
            Self::Copy(job) => ('c', &job.job.id),
            Self::Restore(job) => ('r', &job.job.id),
        };
        format!("{kind}/{name}").into()
    }

    fn pack(&self) -> Result<Bytes, TableError> {
        let packed = rmp_serde::to_vec_named(self);
        packed
            .map(Bytes::from)
            .map_err(|error| TableError::Corrupt(error.to_string()))
    }
}

impl Known {
    fn put(&mut self, row: Row) {
        match row {
            Row::Vault(vault) => drop(self.vaults.insert(vault.name.clone(), vault)),
            Row::Plan(plan) => drop(self.plans.insert(plan.id.clone(), plan)),
            Row::Selection(selection) => drop(self.selections.insert(selection.id.clone(), selection)),
            Row::Marks(marks) => drop(self.marks.insert(marks.arn.clone(), marks)),
            Row::Backup(job) => drop(self.backups.insert(job.job.id.clone(), job)),
            Row::Copy(job) => drop(self.copies.insert(job.job.id.clone(), job)),
            Row::Restore(job) => drop(self.restores.insert(job.job.id.clone(), job)),
        }
    }

    fn remove(&mut self, row: &Row) {
        match row {
            Row::Vault(vault) => drop(self.vaults.remove(&vault.name)),
            Row::Plan(plan) => drop(self.plans.remove(&plan.id)),
            Row::Selection(selection) => drop(self.selections.remove(&selection.id)),
            Row::Marks(marks) => drop(self.marks.remove(&marks.arn)),
            Row::Backup(job) => drop(self.backups.remove(&job.job.id)),
            Row::Copy(job) => drop(self.copies.remove(&job.job.id)),
            Row::Restore(job) => drop(self.restores.remove(&job.job.id)),
        }
    }

    /// Jobs that are under way or remembered.
    pub(crate) fn jobs(&self) -> usize {
        self.backups.len() + self.copies.len() + self.restores.len()
    }

    /// Whatever is of the account, as rows.
    pub(crate) fn rows(&self) -> Vec<Row> {
        let mut rows: Vec<Row> = self.vaults.values().cloned().map(Row::Vault).collect();
        rows.extend(self.plans.values().cloned().map(Row::Plan));
        rows.extend(self.selections.values().cloned().map(Row::Selection));
        rows.extend(self.marks.values().cloned().map(Row::Marks));
        rows.extend(self.backups.values().cloned().map(Row::Backup));
        rows.extend(self.copies.values().cloned().map(Row::Copy));
        rows.extend(self.restores.values().cloned().map(Row::Restore));
        rows
    }
}

/// Where an account's row is stored.
pub(crate) fn place_of(own: &str, account: &str, row: &Row) -> Bytes {
    if account == own {
        return row.place();
    }
    [format!("{OF_ACCOUNT}{account}/").as_bytes(), &row.place()]
        .concat()
        .into()
}

/// The account whose row is stored there.
fn account_in(place: &[u8]) -> Option<&str> {
    let rest = place.strip_prefix(OF_ACCOUNT.as_bytes())?;
    let account = rest.split(|byte| *byte == b'/').next()?;
    std::str::from_utf8(account).ok().filter(|account| is_account(account))
}

/// Reads what is stored, by accounts. A row that a newer release wrote is passed over.
pub(crate) async fn load<E: Engine>(tables: &Tables<E>) -> Result<BTreeMap<Arc<str>, Known>, TableError> {
    let mut all: BTreeMap<Arc<str>, Known> = BTreeMap::new();
    for (_, place, value) in tables.local().kept_rows(Keeper::Backup).await? {
        let account = account_in(&place).unwrap_or_else(|| tables.account());
        match rmp_serde::from_slice::<Row>(&value) {
            Ok(row) => all.entry(account.into()).or_default().put(row),
            Err(error) => tracing::warn!(%error, ?place, "a row of AWS Backup's is not known"),
        }
    }
    Ok(all)
}

/// Changes rows of an account durably, all or none, then what is in memory.
pub(crate) async fn commit<E: Engine>(of: &Shared<E>, rows: Vec<Row>, gone: Vec<Row>) -> Result<(), TableError> {
    let place = |row: &Row| place_of(of.tables.account(), &of.account, row);
    let mut changes = Vec::with_capacity(rows.len() + gone.len());
    for row in &rows {
        changes.push((place(row), Some(row.pack()?)));
    }
    changes.extend(gone.iter().map(|row| (place(row), None)));
    of.tables.local().keep(Keeper::Backup, GROUP, changes).await?;
    let mut known = of.known.lock();
    let before = known.jobs();
    rows.into_iter().for_each(|row| known.put(row));
    gone.iter().for_each(|row| known.remove(row));
    of.jobs.fetch_add(known.jobs(), Relaxed);
    of.jobs.fetch_sub(before, Relaxed);
    Ok(())
}

#[cfg(test)]
mod tests;
