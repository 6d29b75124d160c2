//! Recovery points: backups of the archive that bear a note.

use std::collections::BTreeMap;

use geodynamo_replicator_core::Millis;
use geodynamo_storage::Engine;
use geodynamo_table::{
    given_name,
    recovery::{Backup, BackupFilter, BackupState, Recovery},
};
use serde_json::{Value, json};

use crate::{
    BackupError, PLAN, RESOURCE_TYPE, Shared,
    error::Result,
    page::{is_between, is_wanted, latest_first, lean, maybe_seconds, page, seconds},
    state::{Creator, Lifecycle, Marks, Note, Row, Tags},
    vaults::DAYS_MAX,
    wire::{Input, required, text},
};

/// How many days a recovery point is in cold storage at least, as in AWS.
const COLD_DAYS_MIN: i64 = 90;
/// What AWS takes for "never" beside nothing.
const NEVER: i64 = -1;
/// The most backups of a table that are looked through at a time.
const BACKUPS_AT_ONCE: usize = 1000;

/// A recovery point.
#[derive(Clone, Debug)]
pub(crate) struct Point {
    pub(crate) backup: Backup,
    pub(crate) note: Note,
    pub(crate) marks: Option<Marks>,
}

impl Point {
    pub(crate) fn lifecycle(&self) -> Lifecycle {
        let changed = self.marks.as_ref().and_then(|marks| marks.lifecycle);
        changed.unwrap_or(self.note.lifecycle)
    }

    pub(crate) fn tags(&self) -> &Tags {
        let changed = self.marks.as_ref().and_then(|marks| marks.tags.as_ref());
        changed.unwrap_or(&self.note.tags)
    }

    fn status(&self) -> &'static str {
        match self.backup.state {
            BackupState::Creating => "CREATING",
            BackupState::Available => "COMPLETED",
            BackupState::Deleted => "DELETING",
        }
    }
}

/// A lifecycle from its document.
pub(crate) fn lifecycle_of(told: Option<&Value>) -> Result<Lifecycle> {
    let days = |name: &str| {
        let told = told.and_then(|told| told.get(name)).and_then(Value::as_i64);
        match told.filter(|days| *days != NEVER) {
            Some(days) if !(1..=DAYS_MAX).contains(&days) => {
                Err(BackupError::invalid(format!("{name} must be between 1 and {DAYS_MAX}")))
            }
            days => Ok(days),
        }
    };
    let lifecycle = Lifecycle {
        cold_days: days("MoveToColdStorageAfterDays")?,
        delete_days: days("DeleteAfterDays")?,
    };
    if let (Some(cold), Some(delete)) = (lifecycle.cold_days, lifecycle.delete_days)
        && delete < cold + COLD_DAYS_MIN
    {
        return Err(BackupError::invalid(format!(
            "DeleteAfterDays cannot be less than {COLD_DAYS_MIN} days apart from MoveToColdStorageAfterDays"
        )));
    }
    Ok(lifecycle)
}

impl<E: Engine> Shared<E> {
    /// All recovery points of the account, oldest first; none where there is no archive.
    pub(crate) async fn points(&self) -> Result<Vec<Point>> {
        let Some(recoveries) = &self.recoveries else {
            return Ok(Vec::new());
        };
        let noted = recoveries.noted().await?;
        let known = self.known.lock();
        let points = noted.into_iter().filter_map(|(backup, note)| {
            if !self.owns(&backup.settings.name) {
                return None;
            }
            // What a newer release wrote may not be known here; it stays where it is.
            let note: Note = rmp_serde::from_slice(&note).ok()?;
            let marks = known.marks.get(&backup.arn).cloned();
            Some(Point { backup, note, marks })
        });
        Ok(points.collect())
    }

    /// Those of a vault.
    pub(crate) async fn points_in(&self, vault: &str) -> Result<Vec<Point>> {
        let mut points = self.points().await?;
        points.retain(|point| point.note.vault == vault);
        Ok(points)
    }

    /// One by its ARN, wherever it is.
    pub(crate) async fn any_point(&self, arn: &str) -> Result<Point> {
        let found = self.points().await?.into_iter().find(|point| point.backup.arn == arn);
        found.ok_or_else(|| no_point(arn))
    }

    /// The one that a call names by its vault and its ARN.
    async fn point(&self, input: &Input) -> Result<Point> {
        let vault = self.vault(required(input, "BackupVaultName")?)?;
        let arn = required(input, "RecoveryPointArn")?;
        let point = self.any_point(arn).await?;
        if point.note.vault == vault.name {
            Ok(point)
        } else {
            Err(no_point(arn))
        }
    }

    /// What was changed of one, or nothing yet.
    pub(crate) fn marks(&self, arn: &str) -> Marks {
        let known = self.known.lock().marks.get(arn).cloned();
        known.unwrap_or_else(|| Marks {
            arn: arn.to_owned(),
            lifecycle: None,
            tags: None,
            restored_ms: None,
        })
    }

    pub(crate) fn creator_shown(&self, creator: Option<&Creator>) -> Value {
        let Some(creator) = creator else { return Value::Null };
        json!({
            "BackupPlanId": creator.plan,
            "BackupPlanArn": self.arn(PLAN, &creator.plan),
            "BackupPlanName": creator.plan_name,
            "BackupPlanVersion": creator.version,
            "BackupRuleId": creator.rule,
            "BackupRuleName": creator.rule_name,
            "BackupRuleCron": creator.schedule,
            "BackupRuleTimezone": creator.zone,
        })
    }

    fn point_shown(&self, point: &Point) -> Value {
        let Point { backup, note, marks } = point;
        let lifecycle = point.lifecycle();
        let (cold_ms, delete_ms) = lifecycle.moments(backup.created_ms);
        let cold = cold_ms.is_some_and(|cold| cold <= self.tables.now_ms());
        let done = backup.state == BackupState::Available;
        let calculated = match (cold_ms, delete_ms) {
            (None, None) => Value::Null,
            _ => json!({ "MoveToColdStorageAt": maybe_seconds(cold_ms), "DeleteAt": maybe_seconds(delete_ms) }),
        };
        lean(json!({
            "RecoveryPointArn": backup.arn,
            "BackupVaultName": note.vault,
            "BackupVaultArn": self.vault_arn(&note.vault),
            "SourceBackupVaultArn": note.source_vault_arn,
            "ResourceArn": note.resource,
            "ResourceType": RESOURCE_TYPE,
            "ResourceName": given_name(&backup.settings.name),
            "CreatedBy": self.creator_shown(note.creator.as_ref()),
            "IamRoleArn": note.role,
            "Status": point.status(),
            "CreationDate": seconds(backup.created_ms),
            "InitiationDate": seconds(backup.created_ms),
            "CompletionDate": maybe_seconds(self.completed_ms(point).filter(|_| done)),
            "BackupSizeInBytes": backup.bytes,
            "CalculatedLifecycle": calculated,
            "Lifecycle": lifecycle.shown(),
            "IsEncrypted": true,
            "StorageClass": if cold { "COLD" } else { "WARM" },
            "LastRestoreTime": maybe_seconds(marks.as_ref().and_then(|marks| marks.restored_ms)),
            "IsParent": false,
            "VaultType": "BACKUP_VAULT",
            "EncryptionKeyType": "AWS_OWNED_KMS_KEY",
        }))
    }

    /// When the job that made it ended, as far as that is remembered.
    fn completed_ms(&self, point: &Point) -> Option<Millis> {
        let known = self.known.lock();
        let job = known.backups.get(&point.note.job);
        Some(job.and_then(|job| job.job.ended_ms).unwrap_or(point.backup.created_ms))
    }

    pub(crate) async fn describe_point(&self, input: &Input) -> Result<Value> {
        let point = self.point(input).await?;
        Ok(self.point_shown(&point))
    }

    pub(crate) async fn list_points_of_vault(&self, input: &Input) -> Result<Value> {
        let vault = self.vault(required(input, "BackupVaultName")?)?;
        let points = self.points_in(&vault.name).await?;
        let wanted = points.iter().filter(|point| {
            let plan = point.note.creator.as_ref().map(|creator| creator.plan.as_str());
            is_wanted(input, "ByResourceArn", Some(&point.note.resource))
                && is_wanted(input, "ByResourceType", Some(RESOURCE_TYPE))
                && is_wanted(input, "ByBackupPlanId", plan)
                && is_wanted(input, "ByParentRecoveryPointArn", None)
                && is_between(
                    input,
                    ("ByCreatedAfter", "ByCreatedBefore"),
                    Some(point.backup.created_ms),
                )
        });
        let shown = wanted.map(|point| {
            let mut shown = self.point_shown(point);
            if let Value::Object(members) = &mut shown {
                members.remove("StorageClass");
            }
            (latest_first(point.backup.created_ms, &point.backup.arn), shown)
        });
        Ok(page(input, "RecoveryPoints", shown.collect()))
    }

    pub(crate) async fn list_points_of_resource(&self, input: &Input) -> Result<Value> {
        let arn = required(input, "ResourceArn")?;
        let only_own = input.get("ManagedByAWSBackupOnly").and_then(Value::as_bool) == Some(true);
        let mut shown = Vec::new();
        let show = |backup: &Backup, status: &str, vault: Option<&str>| {
            let value = lean(json!({
                "RecoveryPointArn": backup.arn,
                "CreationDate": seconds(backup.created_ms),
                "Status": status,
                "BackupSizeBytes": backup.bytes,
                "BackupVaultName": vault,
                "IsParent": false,
                "ResourceName": given_name(&backup.settings.name),
                "VaultType": vault.map(|_| "BACKUP_VAULT"),
                "EncryptionKeyType": "AWS_OWNED_KMS_KEY",
            }));
            (latest_first(backup.created_ms, &backup.arn), value)
        };
        for point in self.points().await? {
            // Copies are of a table of another region; whoever asks for that of the same name here means them, too.
            let here = self.table_arn(given_name(&point.backup.settings.name));
            if point.note.resource == arn || here == arn {
                shown.push(show(&point.backup, point.status(), Some(&point.note.vault)));
            }
        }
        if let (false, Some(table)) = (only_own, self.table_of(arn)) {
            for backup in self.plain_backups(&table).await? {
                let whole = backup.state == BackupState::Available;
                shown.push(show(&backup, if whole { "COMPLETED" } else { "CREATING" }, None));
            }
        }
        Ok(page(input, "RecoveryPoints", shown))
    }

    /// Backups of a table that DynamoDB's own API made.
    async fn plain_backups(&self, table: &str) -> Result<Vec<Backup>> {
        let Some(recoveries) = &self.recoveries else {
            return Ok(Vec::new());
        };
        let (mut all, mut after) = (Vec::new(), None);
        loop {
            let filter = BackupFilter {
                account: Some(self.account.to_string()),
                table: Some(table.to_owned()),
                kind: Some(geodynamo_table::recovery::BackupKind::User),
                from_ms: None,
                before_ms: None,
                after,
                limit: BACKUPS_AT_ONCE,
            };
            let page = recoveries.backups(filter).await?;
            all.extend(page.backups);
            after = page.last;
            if after.is_none() {
                return Ok(all);
            }
        }
    }

    pub(crate) async fn delete_point(&self, input: &Input) -> Result<Value> {
        // Whoever locks the vault does it before or after.
        let _changing = self.changing.lock().await;
        let point = self.point(input).await?;
        let vault = self.vault(&point.note.vault)?;
        let arn = &point.backup.arn;
        if vault.lock.is_some() {
            return Err(BackupError::refused(format!(
                "Recovery point {arn} cannot be deleted: backup vault {} is locked",
                vault.name
            )));
        }
        self.remove_point(&point).await?;
        Ok(Value::Null)
    }

    /// Takes a recovery point away, with what was changed of it.
    ///
    /// # Errors
    /// `InvalidResourceStateException` while it is written, restored or copied.
    pub(crate) async fn remove_point(&self, point: &Point) -> Result<()> {
        let arn = &point.backup.arn;
        let copied = {
            let known = self.known.lock();
            let mut copies = known.copies.values();
            copies.any(|job| job.source_point == *arn && !job.job.state.has_ended())
        };
        if copied {
            return Err(BackupError::new(
                "InvalidResourceStateException",
                format!("Recovery point {arn} is being copied"),
            ));
        }
        self.recoveries()?.remove_noted(arn).await?;
        if point.marks.is_some() {
            self.commit(Vec::new(), vec![Row::Marks(self.marks(arn))]).await?;
        }
        Ok(())
    }

    pub(crate) async fn update_lifecycle(&self, input: &Input) -> Result<Value> {
        let lifecycle = lifecycle_of(input.get("Lifecycle"))?;
        let _changing = self.changing.lock().await;
        let mut point = self.point(input).await?;
        let vault = self.vault(&point.note.vault)?;
        if vault.lock.is_some() {
            return Err(BackupError::refused(format!(
                "The lifecycle of recovery point {} cannot be changed: backup vault {} is locked",
                point.backup.arn, vault.name
            )));
        }
        let (cold_ms, _) = point.lifecycle().moments(point.backup.created_ms);
        let is_cold = cold_ms.is_some_and(|cold| cold <= self.tables.now_ms());
        if is_cold && lifecycle.cold_days != point.lifecycle().cold_days {
            return Err(BackupError::refused(
                "A recovery point in cold storage cannot be moved back",
            ));
        }
        let marks = Marks {
            lifecycle: Some(lifecycle),
            ..self.marks(&point.backup.arn)
        };
        self.commit(vec![Row::Marks(marks.clone())], Vec::new()).await?;
        point.marks = Some(marks);
        let shown = self.point_shown(&point);
        Ok(lean(json!({
            "BackupVaultArn": shown["BackupVaultArn"],
            "RecoveryPointArn": shown["RecoveryPointArn"],
            "Lifecycle": shown["Lifecycle"],
            "CalculatedLifecycle": shown["CalculatedLifecycle"],
        })))
    }

    pub(crate) async fn restore_metadata(&self, input: &Input) -> Result<Value> {
        let point = self.point(input).await?;
        let key = point.backup.settings.master_key.as_deref();
        Ok(json!({
            "BackupVaultArn": self.vault_arn(&point.note.vault),
            "RecoveryPointArn": point.backup.arn,
            "RestoreMetadata": {
                "originalTableName": given_name(&point.backup.settings.name),
                "encryptionType": if key.is_some() { "KMS" } else { "Default" },
                "kmsMasterKeyArn": key.unwrap_or("Not Applicable"),
            },
            "ResourceType": RESOURCE_TYPE,
        }))
    }

    /// The newest recovery point of each table that has one, by the table's ARN.
    async fn newest(&self) -> Result<BTreeMap<String, Point>> {
        let mut newest = BTreeMap::new();
        for point in self.points().await? {
            if point.backup.state == BackupState::Available {
                // They come oldest first.
                newest.insert(point.note.resource.clone(), point);
            }
        }
        Ok(newest)
    }

    fn protected_shown(&self, point: &Point) -> Value {
        json!({
            "ResourceArn": point.note.resource,
            "ResourceType": RESOURCE_TYPE,
            "ResourceName": given_name(&point.backup.settings.name),
            "LastBackupTime": seconds(point.backup.created_ms),
            "LastBackupVaultArn": self.vault_arn(&point.note.vault),
            "LastRecoveryPointArn": point.backup.arn,
        })
    }

    pub(crate) async fn list_protected(&self, input: &Input) -> Result<Value> {
        let newest = self.newest().await?.into_iter();
        let shown = newest.map(|(arn, point)| (arn, self.protected_shown(&point)));
        Ok(page(input, "Results", shown.collect()))
    }

    pub(crate) async fn describe_protected(&self, input: &Input) -> Result<Value> {
        let arn = required(input, "ResourceArn")?;
        let newest = self.newest().await?;
        let point = newest.get(arn);
        let point = point.ok_or_else(|| BackupError::not_found(format!("Resource is not protected: {arn}")))?;
        Ok(self.protected_shown(point))
    }
}

pub(crate) fn no_point(arn: &str) -> BackupError {
    BackupError::not_found(format!("Recovery point does not exist: {arn}"))
}

/// The role that a call names.
pub(crate) fn role_of(input: &Input) -> Result<String> {
    let role = text(input, "IamRoleArn").unwrap_or_default();
    let name = role
        .split_once(":iam::")
        .and_then(|(_, rest)| rest.split_once(":role/"));
    match name {
        Some((_, name)) if role.starts_with("arn:") && !name.is_empty() => Ok(role.to_owned()),
        _ => Err(BackupError::invalid(format!("Invalid role ARN: {role}"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lifecycles() {
        let read = |told: Value| lifecycle_of(Some(&told));
        assert_eq!(lifecycle_of(None).unwrap(), Lifecycle::default());
        assert_eq!(read(json!({ "DeleteAfterDays": -1 })).unwrap(), Lifecycle::default());
        let both = read(json!({ "MoveToColdStorageAfterDays": 30, "DeleteAfterDays": 120 })).unwrap();
        assert_eq!((both.cold_days, both.delete_days), (Some(30), Some(120)));
        for bad in [
            json!({ "MoveToColdStorageAfterDays": 30, "DeleteAfterDays": 119 }),
            json!({ "DeleteAfterDays": 0 }),
            json!({ "DeleteAfterDays": 36_501 }),
        ] {
            assert_eq!(
                read(bad.clone()).unwrap_err().code,
                "InvalidParameterValueException",
                "{bad}"
            );
        }
    }
}
