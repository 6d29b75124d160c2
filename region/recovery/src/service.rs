//! What the API asks for.

use geodynamo_replicator_core::Millis;
use geodynamo_storage::Engine;
use geodynamo_table::{
    CreateTable, Description, TableError, TableStatus, given_name,
    recovery::{
        Answer, Backup, BackupFilter, BackupKind, BackupPage, BackupState, ContinuousBackups, PointInTime,
        RECOVERY_PERIOD_DAYS_MAX, Recovery, RecoveryError, Restorable, Restore, RestoreSource, TableSettings,
    },
};

use crate::{
    Archived, Error, Job, Recoveries, archived_tables,
    backups::Entry,
    codec::{pack, unpack},
};

const SECOND_MS: Millis = 1000;
const DAY_MS: Millis = 24 * 60 * 60 * SECOND_MS;

type Result<T> = std::result::Result<T, RecoveryError>;

impl From<Error> for RecoveryError {
    fn from(error: Error) -> Self {
        match error {
            Error::Table(error) => Self::Table(error),
            error => Self::Archive(error.to_string()),
        }
    }
}

impl<E: Engine> Recovery for Recoveries<E> {
    fn continuous_backups(&self, table: &str) -> Result<ContinuousBackups> {
        let found = self.tables.table_named(table);
        let found = found.map_err(|_| RecoveryError::TableNotFound(table.into()))?;
        let setting = self
            .tables
            .local()
            .point_in_time(&found)
            .filter(|setting| setting.enabled);
        let Some(setting) = setting else {
            return Ok(ContinuousBackups::default());
        };
        let window = self.follower(found.id()).and_then(|follower| follower.window());
        Ok(ContinuousBackups {
            enabled: true,
            period_days: Some(setting.period_days),
            window: window.and_then(|(first, closed)| {
                let first = first.max(self.oldest_ms(setting)).div_ceil(SECOND_MS) * SECOND_MS;
                let last = closed.saturating_sub(1) / SECOND_MS * SECOND_MS;
                (first <= last).then_some((first, last))
            }),
        })
    }

    fn update_continuous_backups<'a>(
        &'a self,
        table: &'a str,
        enabled: bool,
        period_days: Option<u32>,
    ) -> Answer<'a, ContinuousBackups> {
        Box::pin(async move {
            let found = self.tables.table_named(table);
            let found = found.map_err(|_| RecoveryError::TableNotFound(table.into()))?;
            match found.status() {
                TableStatus::Active | TableStatus::Updating => {}
                status => return Err(in_use(table, status)),
            }
            let before = self.tables.local().point_in_time(&found);
            let was_on = before.is_some_and(|before| before.enabled);
            let period = before.filter(|before| before.enabled).map(|before| before.period_days);
            let setting = PointInTime {
                enabled,
                period_days: period_days.or(period).unwrap_or(RECOVERY_PERIOD_DAYS_MAX),
                since_ms: match before {
                    Some(before) if was_on == enabled => before.since_ms,
                    _ => self.tables.now_ms(),
                },
            };
            let never = before.is_none() && !enabled;
            if !never && before != Some(setting) {
                self.tables.loads().set_point_in_time(table, setting).await?;
            }
            self.continuous_backups(table)
        })
    }

    fn create_backup<'a>(&'a self, table: &'a str, name: &'a str) -> Answer<'a, Backup> {
        Box::pin(self.create(table, name, None))
    }

    fn backup<'a>(&'a self, arn: &'a str) -> Answer<'a, Backup> {
        Box::pin(async move { Ok(self.shown(&self.entry(arn).await?)) })
    }

    fn delete_backup<'a>(&'a self, arn: &'a str) -> Answer<'a, Backup> {
        Box::pin(async move {
            let entry = self.entry(arn).await?;
            if entry.record.kind() == BackupKind::Aws {
                return Err(RecoveryError::BackupOfVault(arn.into()));
            }
            self.remove(&entry, arn).await
        })
    }

    fn backups(&self, filter: BackupFilter) -> Answer<'_, BackupPage> {
        Box::pin(async move {
            self.load_backups().await?;
            let after = match filter.after.as_deref() {
                Some(arn) => Some(
                    backup_of(arn)
                        .ok_or_else(|| RecoveryError::BackupNotFound(arn.into()))?
                        .to_owned(),
                ),
                None => None,
            };
            let backups = self.backups.lock();
            let fits = |entry: &&Entry| {
                let record = &entry.record;
                after.as_ref().is_none_or(|after| record.id > *after)
                    && filter
                        .account
                        .as_deref()
                        .is_none_or(|account| account == self.tables.local().owner(&record.settings.name))
                    && filter.table.as_ref().is_none_or(|table| *table == record.settings.name)
                    && filter.kind.is_none_or(|wanted| wanted == record.kind())
                    && filter.from_ms.is_none_or(|from| record.created_ms >= from)
                    && filter.before_ms.is_none_or(|before| record.created_ms < before)
            };
            let mut fitting = backups.iter().filter(fits);
            let page: Vec<_> = fitting
                .by_ref()
                .take(filter.limit)
                .map(|entry| self.shown(entry))
                .collect();
            let more = fitting.next().is_some();
            Ok(BackupPage {
                last: page.last().filter(|_| more).map(|last| last.arn.clone()),
                backups: page,
            })
        })
    }

    fn restorable(&self, source: RestoreSource) -> Answer<'_, Restorable> {
        Box::pin(async move {
            match source {
                RestoreSource::Backup(arn) => {
                    let entry = self.entry(&arn).await?;
                    let Some(job) = &entry.job else {
                        return Err(RecoveryError::BackupInUse(arn));
                    };
                    let record = &entry.record;
                    self.restorable_from(record.settings.clone(), job, record.created_ms, Some(arn))
                }
                RestoreSource::PointInTime { table, at_ms } => self.restorable_at(&table, at_ms).await,
            }
        })
    }

    fn restore(&self, from: Restorable, create: CreateTable) -> Answer<'_, Description> {
        Box::pin(async move {
            let name = create.name.clone();
            self.check_restore(&name)?;
            let job: Job = unpack("a restore", &from.restore.job)?;
            // What of the archive cannot be read, the restore tells.
            if let Ok(Some(sealed)) = self.sealed_of(&job).await {
                // A key that is still away is the caller's to see to.
                self.tables.loads().opener(&sealed).await?;
            }
            // From the count up to the table: of two requests the second one counts the first one's.
            let _beginning = self.restore_beginning.lock().await;
            self.check_restore(&name)?;
            let created = self.tables.loads().create_restored(create, &from.restore).await;
            let description = created.map_err(|error| match error {
                TableError::ResourceInUse(_) => RecoveryError::TableAlreadyExists(name),
                error => error.into(),
            })?;
            self.wake.notify_one();
            Ok(description)
        })
    }
}

impl<E: Engine> Recoveries<E> {
    /// What can be restored of a chain: the table as it was at a moment, or at the last one there is. The chain may be of
    /// another region or cluster.
    ///
    /// # Errors
    /// [`RecoveryError::InvalidRestoreTime`] if the moment is not in the chain's window.
    pub async fn restorable_of(&self, chain: &Archived, at_ms: Option<Millis>) -> Result<Restorable> {
        let at_ms = at_ms.unwrap_or(chain.window().1);
        let job = chain.job(at_ms).ok_or(RecoveryError::InvalidRestoreTime)?;
        let settings = chain.settings(&self.archive).await?;
        self.restorable_from(settings, &job, at_ms, None)
    }

    /// What to read to have a table, also one that was deleted and is named by its ARN, as it was at a moment, or at the last
    /// one there is; with its settings.
    pub async fn job_of(&self, table: &str, at_ms: Option<Millis>) -> Result<(TableSettings, Job)> {
        let Restorable { settings, restore } = self.restorable_at(table, at_ms).await?;
        Ok((settings, unpack("a restore", &restore.job)?))
    }

    /// Begins a backup of a table as it is now, which bears a note of the service that asks for it and is of the kind
    /// [`BackupKind::Aws`].
    ///
    /// # Errors
    /// Those of [`Recovery::create_backup`].
    pub async fn create_noted(&self, table: &str, name: &str, note: Vec<u8>) -> Result<Backup> {
        self.create(table, name, Some(note)).await
    }

    /// The backups that bear a note, with their notes, oldest first.
    ///
    /// # Errors
    /// If the archive cannot be read.
    pub async fn noted(&self) -> Result<Vec<(Backup, Vec<u8>)>> {
        self.load_backups().await?;
        let backups = self.backups.lock();
        let noted = backups.iter().filter_map(|entry| {
            let note = entry.record.note.clone()?;
            Some((self.shown(entry), note))
        });
        Ok(noted.collect())
    }

    /// Removes a backup, also one that bears a note; gives what it was.
    ///
    /// # Errors
    /// Those of [`Recovery::delete_backup`].
    pub async fn remove_noted(&self, arn: &str) -> Result<Backup> {
        let entry = self.entry(arn).await?;
        self.remove(&entry, arn).await
    }

    /// Whether one more table may be restored now, under this name.
    fn check_restore(&self, name: &str) -> Result<()> {
        if self.tables.table_named(name).is_ok() {
            return Err(RecoveryError::TableAlreadyExists(name.into()));
        }
        if self.tables.loads().restoring().len() >= self.options.restores_max {
            return Err(RecoveryError::LimitExceeded(format!(
                "Subscriber limit exceeded: There is a limit of {} simultaneous restores",
                self.options.restores_max
            )));
        }
        Ok(())
    }

    async fn create(&self, table: &str, name: &str, note: Option<Vec<u8>>) -> Result<Backup> {
        let found = self.tables.table_named(table);
        let found = found.map_err(|_| RecoveryError::TableNotFound(table.into()))?;
        match found.status() {
            TableStatus::Active | TableStatus::Updating => {}
            status => return Err(in_use(table, status)),
        }
        self.load_backups().await?;
        if self.backups.lock().running() >= self.options.backups_max {
            return Err(RecoveryError::LimitExceeded(format!(
                "Subscriber limit exceeded: There is a limit of {} simultaneous backups",
                self.options.backups_max
            )));
        }
        match self.begin_backup(&found, name, note).await {
            Ok(entry) => Ok(Backup {
                state: BackupState::Creating,
                ..self.shown(&entry)
            }),
            Err(Error::Gone) => Err(RecoveryError::TableNotFound(table.into())),
            Err(error) => Err(error.into()),
        }
    }

    async fn remove(&self, entry: &Entry, arn: &str) -> Result<Backup> {
        let Some(job) = &entry.job else {
            return Err(RecoveryError::BackupInUse(arn.into()));
        };
        if self.is_read(&job.dir) {
            return Err(RecoveryError::BackupInUse(arn.into()));
        }
        self.remove_backup(entry).await?;
        Ok(Backup {
            state: BackupState::Deleted,
            ..self.shown(entry)
        })
    }

    /// The oldest moment that a table's setting lets one restore.
    fn oldest_ms(&self, setting: PointInTime) -> Millis {
        let period = Millis::from(setting.period_days) * DAY_MS;
        self.tables.now_ms().saturating_sub(period)
    }

    pub(crate) async fn entry(&self, arn: &str) -> Result<Entry> {
        self.load_backups().await?;
        let not_found = || RecoveryError::BackupNotFound(arn.into());
        let id = backup_of(arn).ok_or_else(not_found)?;
        let table = self.tables.local().name_in_arn(arn).ok_or_else(not_found)?;
        let backups = self.backups.lock();
        let entry = backups.get(id).filter(|entry| entry.record.settings.name == table);
        entry.cloned().ok_or_else(not_found)
    }

    async fn restorable_at(&self, source: &str, at_ms: Option<Millis>) -> Result<Restorable> {
        let by_arn = source.starts_with("arn:");
        // What is no ARN of a table names no table there is.
        let named = by_arn.then(|| self.tables.local().name_in_arn(source).unwrap_or_default());
        let name = named.as_deref().unwrap_or(source);
        let live = self.tables.table_named(name).ok();
        if let Some(table) = &live {
            let setting = self
                .tables
                .local()
                .point_in_time(table)
                .filter(|setting| setting.enabled);
            let unavailable = || RecoveryError::PointInTimeRecoveryUnavailable(name.into());
            let setting = setting.ok_or_else(unavailable)?;
            let follower = self.follower(table.id());
            let chain = follower.as_ref().and_then(|follower| follower.chain());
            let window = follower.and_then(|follower| follower.window());
            if let (Some((dir, ends)), Some((first, closed))) = (chain, window) {
                let last = closed.saturating_sub(1);
                let at = at_ms.unwrap_or(last.max(first));
                if (first..=last).contains(&at) && at >= self.oldest_ms(setting) {
                    let chains = archived_tables(&self.archive, self.tables.region(), Some(name)).await?;
                    let chain = chains.iter().find(|chain| chain.dir() == dir);
                    let job = chain.and_then(|chain| chain.job_with(at, ends));
                    let job = job.ok_or(RecoveryError::InvalidRestoreTime)?;
                    return self.restorable_from(self.tables.local().settings_of(table), &job, at, None);
                }
            }
            if at_ms.is_none() {
                return Err(RecoveryError::InvalidRestoreTime);
            }
        } else if !by_arn {
            return Err(RecoveryError::TableNotFound(name.into()));
        }
        let period = live.as_ref().and_then(|table| self.tables.local().point_in_time(table));
        let live = live
            .zip(period)
            .map(|(table, setting)| (table.id(), self.oldest_ms(setting)));
        self.restorable_of_archive(name, at_ms, live).await
    }

    /// From a chain that is not written any more: of a deleted table, of an earlier data directory, of a window that ended.
    /// `live` is the table of that name that there is, and the oldest moment that its setting lets one restore.
    async fn restorable_of_archive(
        &self,
        name: &str,
        at_ms: Option<Millis>,
        live: Option<(u64, Millis)>,
    ) -> Result<Restorable> {
        let chains = archived_tables(&self.archive, self.tables.region(), Some(name)).await?;
        if chains.is_empty() && live.is_none() {
            return Err(RecoveryError::TableNotFound(name.into()));
        }
        let oldest = self
            .tables
            .now_ms()
            .saturating_sub(Millis::from(RECOVERY_PERIOD_DAYS_MAX) * DAY_MS);
        let allowed = |chain: &Archived, at: Millis| live.is_none_or(|(id, oldest)| chain.id != id || at >= oldest);
        let found = match at_ms {
            Some(at) => chains
                .iter()
                .rev()
                .filter(|chain| allowed(chain, at))
                .find_map(|chain| Some((chain, at, chain.job(at)?))),
            None => chains.iter().max_by_key(|chain| chain.window().1).and_then(|chain| {
                let at = chain.window().1;
                Some((chain, at, chain.job(at)?))
            }),
        };
        let found = found.filter(|(_, at, _): &(&Archived, Millis, Job)| *at >= oldest);
        let (chain, at, _) = found.ok_or(RecoveryError::InvalidRestoreTime)?;
        self.restorable_of(chain, Some(at)).await
    }

    fn restorable_from(
        &self,
        settings: TableSettings,
        job: &Job,
        at_ms: Millis,
        backup: Option<String>,
    ) -> Result<Restorable> {
        let restore = Restore {
            source_table_arn: Some(self.table_arn(&settings.name)),
            source_backup_arn: backup,
            at_ms,
            in_progress: true,
            job: pack("a restore", job)?.to_vec(),
        };
        Ok(Restorable { settings, restore })
    }
}

fn in_use(table: &str, status: TableStatus) -> RecoveryError {
    let being = match status {
        TableStatus::Creating => "created",
        TableStatus::Deleting => "deleted",
        TableStatus::Updating | TableStatus::Active | TableStatus::Inaccessible => "updated",
    };
    RecoveryError::TableInUse(format!("Table is being {being}: {}", given_name(table)))
}

/// The id of a backup's ARN.
fn backup_of(arn: &str) -> Option<&str> {
    let (_, rest) = arn.split_once(":table/")?;
    let (table, id) = rest.split_once("/backup/")?;
    (!table.is_empty() && !id.is_empty()).then_some(id)
}
