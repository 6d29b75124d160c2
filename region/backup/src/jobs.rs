//! Backup jobs: what calls and plans begin.

use geodynamo_replicator_core::Millis;
use geodynamo_storage::Engine;
use serde_json::{Value, json};

use std::sync::atomic::Ordering::Relaxed;

use crate::{
    BackupError, JOBS_MAX, RESOURCE_TYPE, Shared,
    error::Result,
    page::{is_between, is_wanted, latest_first, lean, maybe_seconds, page, seconds},
    points::{lifecycle_of, role_of},
    state::{BackupJob, CopyAction, Job, JobState, Lifecycle, Row, Tags},
    tags::tags_of,
    uuid,
    wire::{Input, required, text},
};

/// Within how many minutes a job begins, if it is not told.
const START_MINUTES: u64 = 8 * 60;
/// Within how many it ends, if it is not told.
const COMPLETE_MINUTES: u64 = 7 * 24 * 60;
/// The fewest minutes of either.
const WINDOW_MINUTES_MIN: u64 = 60;
/// The most: 100 years.
const WINDOW_MINUTES_MAX: u64 = 100 * 365 * 24 * 60;
const MINUTE_MS: Millis = 60 * 1000;

/// What a backup job is to do.
#[derive(Clone, Debug)]
pub(crate) struct Wanted {
    pub(crate) vault: String,
    /// The table's ARN.
    pub(crate) resource: String,
    pub(crate) role: String,
    pub(crate) windows: Windows,
    pub(crate) lifecycle: Lifecycle,
    pub(crate) tags: Tags,
    pub(crate) copies: Vec<CopyAction>,
}

/// Within what time a job begins, and ends once it has begun, in minutes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Windows {
    pub(crate) start: u64,
    pub(crate) complete: u64,
}

impl Windows {
    /// What a call or a rule tells.
    pub(crate) fn of(start: Option<&Value>, complete: Option<&Value>) -> Result<Self> {
        let minutes = |told: Option<&Value>, usual: u64, name: &str| match told.and_then(Value::as_i64) {
            None => Ok(usual),
            Some(minutes) => {
                let fits = u64::try_from(minutes).ok();
                let fits = fits.filter(|minutes| (WINDOW_MINUTES_MIN..=WINDOW_MINUTES_MAX).contains(minutes));
                fits.ok_or_else(|| {
                    BackupError::invalid(format!("{name} must be at least {WINDOW_MINUTES_MIN} minutes"))
                })
            }
        };
        Ok(Self {
            start: minutes(start, START_MINUTES, "StartWindowMinutes")?,
            complete: minutes(complete, COMPLETE_MINUTES, "CompletionWindowMinutes")?,
        })
    }
}

impl Job {
    pub(crate) fn new(resource: &str, role: &str, now_ms: Millis) -> Self {
        Self {
            id: uuid(),
            state: JobState::Created,
            message: None,
            created_ms: now_ms,
            ended_ms: None,
            role: role.to_owned(),
            resource: resource.to_owned(),
            bytes: 0,
            token: None,
            creator: None,
        }
    }
}

impl Wanted {
    /// The job of it, as of a moment.
    pub(crate) fn job(self, now_ms: Millis) -> BackupJob {
        BackupJob {
            job: Job::new(&self.resource, &self.role, now_ms),
            vault: self.vault,
            lifecycle: self.lifecycle,
            tags: self.tags,
            start_by_ms: now_ms.saturating_add(self.windows.start * MINUTE_MS),
            complete_ms: self.windows.complete * MINUTE_MS,
            begun_ms: None,
            point: None,
            copies: self.copies,
        }
    }
}

impl<E: Engine> Shared<E> {
    /// Refuses where there are too many jobs already.
    pub(crate) fn check_jobs(&self) -> Result<()> {
        if self.jobs.load(Relaxed) >= JOBS_MAX {
            return Err(BackupError::limit(format!("A region has {JOBS_MAX} jobs at most")));
        }
        Ok(())
    }

    pub(crate) async fn start_backup(&self, input: &Input) -> Result<Value> {
        let resource = required(input, "ResourceArn")?;
        if !resource.starts_with("arn:") || resource.split(':').nth(2) != Some("dynamodb") {
            return Err(BackupError::invalid(format!(
                "Unsupported resource type, or invalid ARN: {resource}"
            )));
        }
        let not_found = || BackupError::not_found(format!("Resource does not exist: {resource}"));
        let table = self.table_of(resource).ok_or_else(not_found)?;
        self.tables.table_named(&table).map_err(|_| not_found())?;
        self.recoveries()?;
        if input.contains_key("LogicallyAirGappedBackupVaultArn") {
            return Err(BackupError::invalid("Logically air-gapped vaults are not supported"));
        }
        let wanted = Wanted {
            vault: required(input, "BackupVaultName")?.to_owned(),
            resource: resource.to_owned(),
            role: role_of(input)?,
            windows: Windows::of(input.get("StartWindowMinutes"), input.get("CompleteWindowMinutes"))?,
            lifecycle: lifecycle_of(input.get("Lifecycle"))?,
            tags: tags_of(input, "RecoveryPointTags")?,
            copies: Vec::new(),
        };
        self.vault_or_default(&wanted.vault).await?;
        let _changing = self.changing.lock().await;
        let token = text(input, "IdempotencyToken");
        let (known, again) = {
            let known = self.known.lock();
            let mut jobs = known.backups.values();
            let again = jobs
                .find(|job| token.is_some() && job.job.token.as_deref() == token)
                .cloned();
            (known.vaults.contains_key(&wanted.vault), again)
        };
        if !known {
            return Err(crate::vaults::no_vault(&wanted.vault));
        }
        let job = match again {
            Some(there) if there.job.resource == wanted.resource && there.vault == wanted.vault => there,
            Some(_) => {
                return Err(BackupError::invalid(
                    "The idempotency token was used with other parameters",
                ));
            }
            None => {
                self.check_jobs()?;
                let mut job = wanted.job(self.tables.now_ms());
                job.job.token = token.map(str::to_owned);
                self.commit(vec![Row::Backup(job.clone())], Vec::new()).await?;
                self.wake.notify_one();
                job
            }
        };
        Ok(lean(json!({
            "BackupJobId": job.job.id,
            "RecoveryPointArn": job.point,
            "CreationDate": seconds(job.job.created_ms),
            "IsParent": false,
        })))
    }

    /// What jobs of all kinds show.
    pub(crate) fn job_shown(&self, job: &Job) -> Value {
        json!({
            "AccountId": &*self.account,
            "ResourceArn": job.resource,
            "ResourceType": RESOURCE_TYPE,
            "CreationDate": seconds(job.created_ms),
            "CompletionDate": maybe_seconds(job.ended_ms),
            "StatusMessage": job.message,
            "BackupSizeInBytes": job.bytes,
            "IamRoleArn": job.role,
            "IsParent": false,
        })
    }

    fn backup_job_shown(&self, job: &BackupJob) -> Value {
        let mut shown = self.job_shown(&job.job);
        let done = job.job.state == JobState::Completed;
        let more = json!({
            "BackupJobId": job.job.id,
            "BackupVaultName": job.vault,
            "BackupVaultArn": self.vault_arn(&job.vault),
            "VaultType": "BACKUP_VAULT",
            "RecoveryPointArn": job.point,
            "RecoveryPointLifecycle": job.lifecycle.shown(),
            "IsEncrypted": true,
            "State": job.job.state.code(),
            "PercentDone": if done { "100.0" } else { "0.0" },
            "CreatedBy": self.creator_shown(job.job.creator.as_ref()),
            "StartBy": seconds(job.start_by_ms),
            "ExpectedCompletionDate": maybe_seconds(job.begun_ms.map(|begun| begun.saturating_add(job.complete_ms))),
            "BytesTransferred": if done { job.job.bytes } else { 0 },
            "ResourceName": self.name_in(&job.job.resource),
            "InitiationDate": maybe_seconds(job.begun_ms),
            "MessageCategory": category(&job.job),
        });
        add(&mut shown, more);
        lean(shown)
    }

    pub(crate) fn describe_backup_job(&self, input: &Input) -> Result<Value> {
        let id = required(input, "BackupJobId")?;
        let job = self.known.lock().backups.get(id).cloned();
        Ok(self.backup_job_shown(&job.ok_or_else(|| no_job(id))?))
    }

    pub(crate) fn list_backup_jobs(&self, input: &Input) -> Result<Value> {
        let jobs: Vec<BackupJob> = self.known.lock().backups.values().cloned().collect();
        let wanted = jobs.iter().filter(|job| {
            is_wanted(input, "ByState", Some(job.job.state.code()))
                && is_wanted(input, "ByBackupVaultName", Some(&job.vault))
                && self.is_wanted(input, &job.job)
        });
        let shown = wanted.map(|job| {
            let key = latest_first(job.job.created_ms, &job.job.id);
            (key, self.backup_job_shown(job))
        });
        Ok(page(input, "BackupJobs", shown.collect()))
    }

    /// Whether a list that a call asks for has a job, as far as jobs of all kinds are alike.
    pub(crate) fn is_wanted(&self, input: &Input, job: &Job) -> bool {
        let account = text(input, "ByAccountId");
        is_wanted(input, "ByResourceArn", Some(&job.resource))
            && is_wanted(input, "ByResourceType", Some(RESOURCE_TYPE))
            && is_wanted(input, "ByParentJobId", None)
            && is_wanted(input, "ByMessageCategory", Some(category(job)))
            && account.is_none_or(|account| account == &*self.account)
            && is_between(input, ("ByCreatedAfter", "ByCreatedBefore"), Some(job.created_ms))
            && is_between(input, ("ByCompleteAfter", "ByCompleteBefore"), job.ended_ms)
    }

    pub(crate) async fn stop_backup(&self, input: &Input) -> Result<Value> {
        let id = required(input, "BackupJobId")?;
        // The runner changes jobs, too.
        let _ticking = self.ticking.lock().await;
        let job = self.known.lock().backups.get(id).cloned();
        let mut job = job.ok_or_else(|| no_job(id))?;
        if job.job.state.has_ended() {
            return Err(BackupError::refused(format!(
                "Backup job {id} cannot be stopped: it is {}",
                job.job.state.code()
            )));
        }
        job.job.state = JobState::Aborting;
        self.commit(vec![Row::Backup(job)], Vec::new()).await?;
        self.wake.notify_one();
        Ok(Value::Null)
    }
}

/// Adds members to an object.
pub(crate) fn add(to: &mut Value, more: Value) {
    if let (Value::Object(to), Value::Object(more)) = (to, more) {
        to.extend(more);
    }
}

/// What AWS calls the reason of a job's state.
pub(crate) fn category(job: &Job) -> &'static str {
    match job.state {
        JobState::Failed | JobState::Expired => "FAILURE",
        JobState::Aborted => "ABORTED",
        _ => "SUCCESS",
    }
}

pub(crate) fn no_job(id: &str) -> BackupError {
    BackupError::not_found(format!("Job does not exist: {id}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn windows() {
        let of = |start: Value, complete: Value| Windows::of(Some(&start), Some(&complete));
        let usual = Windows::of(None, None).unwrap();
        assert_eq!((usual.start, usual.complete), (480, 10_080));
        assert_eq!(
            of(json!(60), json!(120)).unwrap(),
            Windows {
                start: 60,
                complete: 120
            }
        );
        assert!(of(json!(59), json!(120)).is_err() && of(json!(60), json!(-1)).is_err());
    }
}
