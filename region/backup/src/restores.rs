//! Restore jobs: tables made from recovery points.

use geodynamo_storage::Engine;
use geodynamo_table::{
    given_name,
    recovery::{BackupState, Recovery, RestoreSource},
};
use serde_json::{Value, json};

use crate::{
    BackupError, RESOURCE_TYPE, Shared,
    error::Result,
    jobs::{add, no_job},
    page::{is_wanted, latest_first, lean, page, seconds},
    points::{Point, role_of},
    state::{Job, JobState, RestoreJob, Row},
    wire::{Input, required, text},
};

/// The entry of a restore's metadata that names the table.
const TARGET: &str = "targetTableName";
/// Those that say under which key it is to be. Source: AWS Backup developer guide, "Restore a DynamoDB table".
const ENCRYPTION: &str = "encryptionType";
const KEY: &str = "kmsMasterKeyArn";
/// What stands there where no key is named.
const NO_KEY: &str = "Not Applicable";
/// The key that is meant then: DynamoDB's own in KMS.
const MANAGED_KEY: &str = "alias/aws/dynamodb";
/// The longest name of a table.
const NAME_LEN: std::ops::RangeInclusive<usize> = 3..=255;

/// AWS Backup's name of a restore job's state.
fn status(state: JobState) -> &'static str {
    match state {
        JobState::Created => "PENDING",
        state => state.code(),
    }
}

/// An entry of a restore's metadata, whose names have no case.
fn entry<'a>(metadata: &'a Value, name: &str) -> Option<&'a str> {
    let entries = metadata.as_object()?;
    let found = entries.iter().find(|(key, _)| key.eq_ignore_ascii_case(name));
    found.and_then(|(_, value)| value.as_str())
}

impl<E: Engine> Shared<E> {
    pub(crate) async fn start_restore(&self, input: &Input) -> Result<Value> {
        if text(input, "ResourceType").is_some_and(|kind| kind != RESOURCE_TYPE) {
            return Err(BackupError::invalid(format!("ResourceType must be {RESOURCE_TYPE}")));
        }
        let metadata = input.get("Metadata").unwrap_or(&Value::Null);
        let target = entry(metadata, TARGET);
        let key = self.wanted_key(metadata)?;
        let target = target.ok_or_else(|| BackupError::missing(&format!("Metadata.{TARGET}")))?;
        let of_names = |character: char| character.is_ascii_alphanumeric() || "_-.".contains(character);
        if !NAME_LEN.contains(&target.len()) || !target.chars().all(of_names) {
            return Err(BackupError::invalid(format!("Invalid table name: {target}")));
        }
        // It has no character that a name cannot have.
        let stored = self.stored(target).unwrap_or_default();
        let role = match text(input, "IamRoleArn") {
            None => String::new(),
            Some(_) => role_of(input)?,
        };
        let point = self.any_point(required(input, "RecoveryPointArn")?).await?;
        if point.backup.state != BackupState::Available {
            return Err(BackupError::refused(format!(
                "Recovery point {} is not complete",
                point.backup.arn
            )));
        }
        let _changing = self.changing.lock().await;
        let token = text(input, "IdempotencyToken");
        let again = {
            let known = self.known.lock();
            let mut jobs = known.restores.values();
            jobs.find(|job| token.is_some() && job.job.token.as_deref() == token)
                .cloned()
        };
        if let Some(there) = again {
            if there.table != *stored || there.point != point.backup.arn || there.key != key {
                return Err(BackupError::invalid(
                    "The idempotency token was used with other parameters",
                ));
            }
            return Ok(json!({ "RestoreJobId": there.job.id }));
        }
        if self.tables.table_named(&stored).is_ok() {
            return Err(BackupError::invalid(format!("Table already exists: {target}")));
        }
        self.check_jobs()?;
        let mut job = Job::new(&point.note.resource, &role, self.tables.now_ms());
        job.token = token.map(str::to_owned);
        job.bytes = point.backup.bytes;
        let with_tags = input.get("CopySourceTagsToRestoredResource").and_then(Value::as_bool) == Some(true);
        let job = RestoreJob {
            job,
            point: point.backup.arn.clone(),
            vault: point.note.vault.clone(),
            table: stored.into_owned(),
            point_created_ms: point.backup.created_ms,
            tags: if with_tags {
                point.tags().clone()
            } else {
                Default::default()
            },
            key,
        };
        let id = job.job.id.clone();
        self.commit(vec![Row::Restore(job)], Vec::new()).await?;
        self.wake.notify_one();
        Ok(json!({ "RestoreJobId": id }))
    }

    /// The key that a restore's metadata asks for; none if they ask for nothing, `Some(None)` for none of the table's own.
    fn wanted_key(&self, metadata: &Value) -> Result<Option<Option<String>>> {
        let key = entry(metadata, KEY).filter(|key| !key.eq_ignore_ascii_case(NO_KEY));
        match (entry(metadata, ENCRYPTION), key) {
            (None, None) => Ok(None),
            (Some("Default"), None) => Ok(Some(None)),
            (Some("Default") | None, Some(_)) => Err(BackupError::invalid(format!(
                "Metadata.{KEY} can only be specified with {ENCRYPTION} KMS"
            ))),
            (Some("KMS"), _) if !self.tables.sealing().has_master_keys() => {
                Err(BackupError::invalid("This region has no key service for tables"))
            }
            (Some("KMS"), key) => Ok(Some(Some(key.unwrap_or(MANAGED_KEY).to_owned()))),
            (Some(other), _) => Err(BackupError::invalid(format!(
                "Metadata.{ENCRYPTION} must be Default or KMS, not {other}"
            ))),
        }
    }

    /// Begins to restore.
    pub(crate) async fn restore(&self, point: &Point, job: &RestoreJob) -> Result<()> {
        let recoveries = self.recoveries()?;
        let from = recoveries
            .restorable(RestoreSource::Backup(point.backup.arn.clone()))
            .await?;
        let mut create = from.settings.create(&job.table);
        if let Some(key) = &job.key {
            create.master_key.clone_from(key);
        }
        recoveries.restore(from, create).await?;
        Ok(())
    }

    fn restore_job_shown(&self, job: &RestoreJob) -> Value {
        let mut shown = self.job_shown(&job.job);
        let done = job.job.state == JobState::Completed;
        let more = json!({
            // It is the restored table that other jobs have there.
            "ResourceArn": Value::Null,
            "SourceResourceArn": job.job.resource,
            "RestoreJobId": job.job.id,
            "RecoveryPointArn": job.point,
            "BackupVaultArn": self.vault_arn(&job.vault),
            "Status": status(job.job.state),
            "PercentDone": self.percent(job),
            "IamRoleArn": Some(&job.job.role).filter(|role| !role.is_empty()),
            "CreatedResourceArn": done.then(|| self.table_arn(given_name(&job.table))),
            "RecoveryPointCreationDate": seconds(job.point_created_ms),
        });
        add(&mut shown, more);
        lean(shown)
    }

    fn percent(&self, job: &RestoreJob) -> String {
        let restores = self
            .recoveries
            .as_ref()
            .map(|all| all.status().restores)
            .unwrap_or_default();
        let progress = restores.iter().find(|restore| restore.table == job.table);
        let part = match (job.job.state, progress) {
            (JobState::Completed, _) => 1.0,
            (JobState::Running, Some(progress)) if progress.of > 0 => progress.items as f64 / progress.of as f64,
            _ => 0.0,
        };
        format!("{:.2}%", part.min(1.0) * 100.0)
    }

    pub(crate) fn describe_restore_job(&self, input: &Input) -> Result<Value> {
        let id = required(input, "RestoreJobId")?;
        let job = self.known.lock().restores.get(id).cloned();
        Ok(self.restore_job_shown(&job.ok_or_else(|| no_job(id))?))
    }

    pub(crate) fn list_restore_jobs(&self, input: &Input) -> Result<Value> {
        let jobs: Vec<RestoreJob> = self.known.lock().restores.values().cloned().collect();
        let wanted = jobs.iter().filter(|job| {
            is_wanted(input, "ByStatus", Some(status(job.job.state)))
                && is_wanted(input, "ByRestoreTestingPlanArn", None)
                && self.is_wanted(input, &job.job)
        });
        let shown = wanted.map(|job| {
            let key = latest_first(job.job.created_ms, &job.job.id);
            (key, self.restore_job_shown(job))
        });
        Ok(page(input, "RestoreJobs", shown.collect()))
    }
}
