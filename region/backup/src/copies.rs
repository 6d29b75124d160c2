//! Copy jobs: to a vault of this region or of another one.

use geodynamo_storage::Engine;
use geodynamo_table::{
    given_name,
    recovery::{Backup, BackupKind, BackupState, Recovery},
};
use serde_json::{Value, json};
use xxhash_rust::xxh3::xxh3_64;

use crate::{
    BackupError, RESOURCE_TYPE, SERVICE, Shared, VAULT,
    error::Result,
    jobs::{add, category, no_job},
    page::{is_wanted, latest_first, lean, page, seconds},
    points::{Point, lifecycle_of, no_point, role_of},
    state::{CopyJob, Job, Lifecycle, Note, Row},
    vaults::{DEFAULT, is_name},
    wire::{Input, required, text},
};

/// Where a vault is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct VaultPlace<'a> {
    pub(crate) region: &'a str,
    pub(crate) account: &'a str,
    pub(crate) name: &'a str,
}

/// Reads a vault's ARN.
pub(crate) fn vault_place(arn: &str) -> Option<VaultPlace<'_>> {
    let parts: Vec<&str> = arn.split(':').collect();
    match parts[..] {
        ["arn", "aws", SERVICE, region, account, VAULT, name] if is_name(name) && !region.is_empty() => {
            Some(VaultPlace { region, account, name })
        }
        _ => None,
    }
}

/// A new copy job. What the backup is called there goes by when it was made, and by the job, so that one that is begun twice
/// makes one copy.
pub(crate) fn copy_job(job: Job, source: &Point, vault_arn: &str, lifecycle: Lifecycle) -> CopyJob {
    let number = xxh3_64(job.id.as_bytes()) >> 32;
    CopyJob {
        backup_id: format!("{:014}-{number:08x}", source.backup.created_ms),
        source_vault: source.note.vault.clone(),
        source_point: source.backup.arn.clone(),
        vault_arn: vault_arn.to_owned(),
        lifecycle,
        point: None,
        by_job: None,
        job,
    }
}

impl<E: Engine> Shared<E> {
    /// What is to be copied: a recovery point, or, as if the default vault had it, a backup that DynamoDB's own API made.
    pub(crate) async fn copied(&self, arn: &str, vault: &str) -> Result<Point> {
        match self.any_point(arn).await {
            Ok(point) if point.note.vault == vault => Ok(point),
            Ok(_) => Err(no_point(arn)),
            Err(error) if error.code != "ResourceNotFoundException" || vault != DEFAULT => Err(error),
            Err(_) => {
                let backup = self.recoveries()?.backup(arn).await.map_err(|_| no_point(arn))?;
                if !self.owns(&backup.settings.name) {
                    return Err(no_point(arn));
                }
                self.plain_point(backup)
            }
        }
    }

    fn plain_point(&self, backup: Backup) -> Result<Point> {
        if backup.kind != BackupKind::User {
            return Err(BackupError::refused(format!("Backup {} cannot be copied", backup.arn)));
        }
        let note = Note {
            vault: DEFAULT.to_owned(),
            resource: self.table_arn(given_name(&backup.settings.name)),
            role: String::new(),
            job: String::new(),
            lifecycle: Lifecycle::default(),
            tags: Default::default(),
            creator: None,
            source_vault_arn: None,
        };
        Ok(Point {
            backup,
            note,
            marks: None,
        })
    }

    /// Refuses a vault that copies cannot go to.
    pub(crate) fn check_destination(&self, arn: &str) -> Result<()> {
        let invalid = || BackupError::invalid(format!("Invalid destination backup vault: {arn}"));
        let place = vault_place(arn).ok_or_else(invalid)?;
        if place.account != &*self.account {
            return Err(BackupError::invalid("Copies to other accounts are not supported"));
        }
        if place.region == self.tables.region() {
            return Ok(());
        }
        let names = self.regions.get().map(|regions| regions.names()).unwrap_or_default();
        if names.iter().any(|name| name == place.region) {
            return Ok(());
        }
        Err(BackupError::invalid(format!(
            "There is no region {} in this cluster",
            place.region
        )))
    }

    pub(crate) async fn start_copy(&self, input: &Input) -> Result<Value> {
        let vault_arn = required(input, "DestinationBackupVaultArn")?;
        self.check_destination(vault_arn)?;
        let vault = required(input, "SourceBackupVaultName")?;
        if vault != DEFAULT {
            self.vault(vault)?;
        }
        let source = self.copied(required(input, "RecoveryPointArn")?, vault).await?;
        if source.backup.state != BackupState::Available {
            return Err(BackupError::refused(format!(
                "Recovery point {} is not complete",
                source.backup.arn
            )));
        }
        let (role, lifecycle) = (role_of(input)?, lifecycle_of(input.get("Lifecycle"))?);
        let _changing = self.changing.lock().await;
        let token = text(input, "IdempotencyToken");
        let again = {
            let known = self.known.lock();
            let mut jobs = known.copies.values();
            jobs.find(|job| token.is_some() && job.job.token.as_deref() == token)
                .cloned()
        };
        let job = match again {
            Some(there) if there.source_point == source.backup.arn && there.vault_arn == vault_arn => there,
            Some(_) => {
                return Err(BackupError::invalid(
                    "The idempotency token was used with other parameters",
                ));
            }
            None => {
                self.check_jobs()?;
                let mut job = Job::new(&source.note.resource, &role, self.tables.now_ms());
                job.token = token.map(str::to_owned);
                job.bytes = source.backup.bytes;
                let job = copy_job(job, &source, vault_arn, lifecycle);
                self.commit(vec![Row::Copy(job.clone())], Vec::new()).await?;
                self.wake.notify_one();
                job
            }
        };
        Ok(json!({ "CopyJobId": job.job.id, "CreationDate": seconds(job.job.created_ms), "IsParent": false }))
    }

    fn copy_job_shown(&self, job: &CopyJob) -> Value {
        let mut shown = self.job_shown(&job.job);
        let more = json!({
            "CopyJobId": job.job.id,
            "SourceBackupVaultArn": self.vault_arn(&job.source_vault),
            "SourceRecoveryPointArn": job.source_point,
            "DestinationBackupVaultArn": job.vault_arn,
            "DestinationVaultType": "BACKUP_VAULT",
            "DestinationRecoveryPointArn": job.point,
            "DestinationRecoveryPointLifecycle": job.lifecycle.shown(),
            "State": job.job.state.code(),
            "CreatedBy": self.creator_shown(job.job.creator.as_ref()),
            "CreatedByBackupJobId": job.by_job,
            "ResourceType": RESOURCE_TYPE,
            "ResourceName": job.job.resource.rsplit('/').next(),
            "MessageCategory": category(&job.job),
        });
        add(&mut shown, more);
        lean(shown)
    }

    pub(crate) fn describe_copy_job(&self, input: &Input) -> Result<Value> {
        let id = required(input, "CopyJobId")?;
        let job = self.known.lock().copies.get(id).cloned();
        let job = job.ok_or_else(|| no_job(id))?;
        Ok(json!({ "CopyJob": self.copy_job_shown(&job) }))
    }

    pub(crate) fn list_copy_jobs(&self, input: &Input) -> Result<Value> {
        let jobs: Vec<CopyJob> = self.known.lock().copies.values().cloned().collect();
        let wanted = jobs.iter().filter(|job| {
            is_wanted(input, "ByState", Some(job.job.state.code()))
                && is_wanted(input, "ByDestinationVaultArn", Some(&job.vault_arn))
                && is_wanted(input, "BySourceRecoveryPointArn", Some(&job.source_point))
                && self.is_wanted(input, &job.job)
        });
        let shown = wanted.map(|job| {
            let key = latest_first(job.job.created_ms, &job.job.id);
            (key, self.copy_job_shown(job))
        });
        Ok(page(input, "CopyJobs", shown.collect()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places() {
        let place = vault_place("arn:aws:backup:eu-west-1:000000000000:backup-vault:far").unwrap();
        assert_eq!(
            (place.region, place.account, place.name),
            ("eu-west-1", "000000000000", "far")
        );
        for bad in [
            "",
            "far",
            "arn:aws:backup:eu:0:backup-vault:",
            "arn:aws:s3:eu:0:backup-vault:vv",
            "arn:aws:backup:eu:0:backup-vault:a b",
        ] {
            assert_eq!(vault_place(bad), None, "{bad}");
        }
    }
}
