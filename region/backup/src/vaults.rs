//! Vaults and their locks.

use geodynamo_storage::Engine;
use serde_json::{Value, json};

use crate::{
    BackupError, Shared, VAULTS_MAX,
    error::Result,
    page::{lean, maybe_seconds, page, seconds},
    state::{DAY_MS, Lifecycle, Lock, Row, Tags, Vault},
    tags::tags_of,
    wire::{Input, required, text},
};

/// The vault that a region has without anybody having made it, as in AWS.
pub(crate) const DEFAULT: &str = "Default";
/// What a vault's name is.
const NAME_LEN: std::ops::RangeInclusive<usize> = 2..=50;
/// The fewest days between a lock and the day from which on it cannot be changed: AWS's 72 hours.
const CHANGEABLE_DAYS_MIN: i64 = 3;
/// The most days of any retention: about a hundred years.
pub(crate) const DAYS_MAX: i64 = 36_500;

/// Whether a text can be a vault's name.
pub(crate) fn is_name(name: &str) -> bool {
    NAME_LEN.contains(&name.len()) && name.chars().all(|c| c.is_ascii_alphanumeric() || "-_".contains(c))
}

impl Vault {
    /// Why a recovery point that is kept as told may not come into it.
    pub(crate) fn refuses(&self, lifecycle: &Lifecycle) -> Option<String> {
        let lock = self.lock?;
        let told = lifecycle.delete_days;
        let short = lock.min_days.is_some_and(|least| told.is_some_and(|days| days < least));
        let long = lock.max_days.is_some_and(|most| told.is_none_or(|days| days > most));
        (short || long).then(|| {
            format!(
                "The retention period is not between the minimum and the maximum of the locked backup vault {}.",
                self.name
            )
        })
    }
}

impl<E: Engine> Shared<E> {
    pub(crate) fn vault(&self, name: &str) -> Result<Vault> {
        let found = self.known.lock().vaults.get(name).cloned();
        found.ok_or_else(|| no_vault(name))
    }

    /// A vault; the default one is made when it is first wanted.
    pub(crate) async fn vault_or_default(&self, name: &str) -> Result<Vault> {
        match self.vault(name) {
            Err(_) if name == DEFAULT => {
                let _changing = self.changing.lock().await;
                self.make_vault(name, None, Tags::new()).await
            }
            found => found,
        }
    }

    /// Makes a vault unless it is there. The caller holds [`Shared::changing`].
    pub(crate) async fn make_vault(&self, name: &str, request: Option<&str>, tags: Tags) -> Result<Vault> {
        if let Some(there) = self.found_vault(name).await? {
            return Ok(there);
        }
        let vault = Vault {
            name: name.to_owned(),
            created_ms: self.tables.now_ms(),
            creator_request: request.map(str::to_owned),
            tags,
            lock: None,
        };
        self.store_vault(&vault).await?;
        Ok(vault)
    }

    /// Stores a vault: in the archive, too, for its lock is to outlive the data directory.
    pub(crate) async fn store_vault(&self, vault: &Vault) -> Result<()> {
        if let Some(recoveries) = &self.recoveries {
            let value = rmp_serde::to_vec_named(vault).map_err(BackupError::unavailable)?;
            recoveries
                .set_register(&self.register(&vault.name), value.into())
                .await?;
        }
        self.commit(vec![Row::Vault(vault.clone())], Vec::new()).await
    }

    /// A vault that is known here, or that the archive has and is known from now on: its row was lost with a data directory. The
    /// caller holds [`Shared::changing`].
    async fn found_vault(&self, name: &str) -> Result<Option<Vault>> {
        if let Ok(there) = self.vault(name) {
            return Ok(Some(there));
        }
        let Some(recoveries) = &self.recoveries else {
            return Ok(None);
        };
        let Some(kept) = recoveries.register(&self.register(name)).await? else {
            return Ok(None);
        };
        // What cannot be read is not written over: it may be a lock.
        let vault: Vault = rmp_serde::from_slice(&kept).map_err(BackupError::unavailable)?;
        let locked = vault.lock.is_some();
        tracing::warn!(vault = name, locked, "a backup vault is taken up from the archive");
        self.commit(vec![Row::Vault(vault.clone())], Vec::new()).await?;
        Ok(Some(vault))
    }

    /// What a vault is called among the archive's registers. No vault's name has a dot.
    fn register(&self, name: &str) -> String {
        if *self.account == *self.tables.account() {
            return format!("vault-{name}");
        }
        format!("vault-{}.{name}", self.account)
    }

    pub(crate) async fn create_vault(&self, input: &Input) -> Result<Value> {
        let name = required(input, "BackupVaultName")?;
        if input.contains_key("EncryptionKeyArn") {
            return Err(BackupError::invalid(
                "EncryptionKeyArn is not supported: backups are encrypted with their region's key",
            ));
        }
        let request = text(input, "CreatorRequestId");
        let tags = tags_of(input, "BackupVaultTags")?;
        let _changing = self.changing.lock().await;
        if let Some(there) = self.found_vault(name).await? {
            if request.is_none() || there.creator_request.as_deref() != request {
                return Err(BackupError::exists(format!(
                    "Backup vault with the same name already exists: {name}"
                )));
            }
        } else if self.known.lock().vaults.len() >= VAULTS_MAX {
            return Err(BackupError::limit(format!(
                "An account has {VAULTS_MAX} backup vaults in a region at most"
            )));
        }
        let vault = self.make_vault(name, request, tags).await?;
        Ok(json!({
            "BackupVaultName": vault.name,
            "BackupVaultArn": self.vault_arn(&vault.name),
            "CreationDate": seconds(vault.created_ms),
        }))
    }

    pub(crate) async fn describe_vault(&self, input: &Input) -> Result<Value> {
        let vault = self.vault(required(input, "BackupVaultName")?)?;
        let count = self.points_in(&vault.name).await?.len();
        Ok(self.vault_shown(&vault, count))
    }

    fn vault_shown(&self, vault: &Vault, points: usize) -> Value {
        lean(json!({
            "BackupVaultName": vault.name,
            "BackupVaultArn": self.vault_arn(&vault.name),
            "VaultType": "BACKUP_VAULT",
            "VaultState": "AVAILABLE",
            "CreationDate": seconds(vault.created_ms),
            "CreatorRequestId": vault.creator_request,
            "NumberOfRecoveryPoints": points,
            "Locked": vault.lock.is_some(),
            "MinRetentionDays": vault.lock.and_then(|lock| lock.min_days),
            "MaxRetentionDays": vault.lock.and_then(|lock| lock.max_days),
            "LockDate": maybe_seconds(vault.lock.and_then(|lock| lock.fixed_ms)),
            "EncryptionKeyType": "AWS_OWNED_KMS_KEY",
        }))
    }

    pub(crate) async fn list_vaults(&self, input: &Input) -> Result<Value> {
        let vaults: Vec<Vault> = self.known.lock().vaults.values().cloned().collect();
        let points = self.points().await?;
        // There are only plain ones, and nobody shares any.
        let other = text(input, "ByVaultType").is_some_and(|kind| kind != "BACKUP_VAULT");
        let shared = input.get("ByShared").and_then(Value::as_bool) == Some(true);
        let vaults = vaults.into_iter().filter(|_| !other && !shared).map(|vault| {
            let count = points.iter().filter(|point| point.note.vault == vault.name).count();
            (vault.name.clone(), self.vault_shown(&vault, count))
        });
        Ok(page(input, "BackupVaultList", vaults.collect()))
    }

    pub(crate) async fn delete_vault(&self, input: &Input) -> Result<Value> {
        let name = required(input, "BackupVaultName")?;
        let _changing = self.changing.lock().await;
        let vault = self.vault(name)?;
        let used = {
            let known = self.known.lock();
            known
                .backups
                .values()
                .any(|job| job.vault == name && !job.job.state.has_ended())
        };
        if used || !self.points_in(name).await?.is_empty() {
            return Err(BackupError::refused(format!(
                "Backup vault cannot be deleted because it contains recovery points: {name}"
            )));
        }
        self.remove_register(name).await?;
        self.commit(Vec::new(), vec![Row::Vault(vault)]).await?;
        Ok(Value::Null)
    }

    /// Takes a vault out of the archive, before its row goes: if it is broken off in between, the row is there to be deleted again.
    /// The other way round the vault would be taken up from the archive, as one whose row was lost.
    pub(crate) async fn remove_register(&self, name: &str) -> Result<()> {
        if let Some(recoveries) = &self.recoveries {
            recoveries.remove_register(&self.register(name)).await?;
        }
        Ok(())
    }

    pub(crate) async fn put_lock(&self, input: &Input) -> Result<Value> {
        let days = |name: &str| input.get(name).and_then(Value::as_i64);
        let (min_days, max_days) = (days("MinRetentionDays"), days("MaxRetentionDays"));
        let changeable = days("ChangeableForDays");
        let in_range = |days: Option<i64>, least: i64| days.is_none_or(|days| (least..=DAYS_MAX).contains(&days));
        if !in_range(min_days, 1) || !in_range(max_days, min_days.unwrap_or(1)) {
            return Err(BackupError::invalid(format!(
                "MinRetentionDays must be 1 or more and not more than MaxRetentionDays, which must be {DAYS_MAX} or less"
            )));
        }
        if !in_range(changeable, CHANGEABLE_DAYS_MIN) {
            return Err(BackupError::invalid(format!(
                "ChangeableForDays must be between {CHANGEABLE_DAYS_MIN} and {DAYS_MAX}"
            )));
        }
        let now_ms = self.tables.now_ms();
        let _changing = self.changing.lock().await;
        let mut vault = self.changeable(required(input, "BackupVaultName")?)?;
        vault.lock = Some(Lock {
            min_days,
            max_days,
            // It was found to be positive.
            fixed_ms: changeable.map(|days| now_ms.saturating_add(days.unsigned_abs() * DAY_MS)),
        });
        self.store_vault(&vault).await?;
        Ok(Value::Null)
    }

    pub(crate) async fn delete_lock(&self, input: &Input) -> Result<Value> {
        let _changing = self.changing.lock().await;
        let mut vault = self.changeable(required(input, "BackupVaultName")?)?;
        vault.lock = None;
        self.store_vault(&vault).await?;
        Ok(Value::Null)
    }

    /// A vault whose lock can be changed. Whoever asks, it is the same: nothing here knows the caller.
    fn changeable(&self, name: &str) -> Result<Vault> {
        let vault = self.vault(name)?;
        let now_ms = self.tables.now_ms();
        if vault.lock.is_some_and(|lock| lock.is_fixed(now_ms)) {
            return Err(BackupError::refused(format!(
                "The lock of backup vault {name} can no longer be changed or deleted: its grace time is over"
            )));
        }
        Ok(vault)
    }
}

pub(crate) fn no_vault(name: &str) -> BackupError {
    BackupError::not_found(format!("Backup vault does not exist: {name}"))
}
