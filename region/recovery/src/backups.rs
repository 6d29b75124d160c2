//! Backups on demand, and those of deleted tables.

use std::{collections::BTreeMap, sync::atomic::Ordering, time::Duration};

use geodynamo_replicator_core::Millis;
use geodynamo_storage::Engine;
use geodynamo_table::{
    Table, given_name,
    recovery::{
        BACKUP_RETENTION_MS, Backup, BackupKind, BackupState, Cut, DELETED_TABLE_BACKUP, TableSettings, TableSnapshot,
    },
};
use serde::{Deserialize, Serialize};

use crate::{
    Error, Job, Recoveries, Result,
    base::{self, Base},
    chain::{Listing, manifest, read},
    codec::{kind, pack},
    layout::{self, RECORD},
};

/// How long a backup that could not be written waits until it is tried again.
const RETRY: Duration = Duration::from_secs(1);
/// How often that is done if it is the table that cannot be read: some ten minutes, in which damage is mended if it can be.
const TABLE_TRIES_MAX: u32 = 600;

/// All backups of a region, by id, which is also by time.
#[derive(Debug, Default)]
pub(crate) struct Backups(BTreeMap<String, Entry>);

/// A backup.
#[derive(Clone, Debug)]
pub(crate) struct Entry {
    pub(crate) dir: String,
    pub(crate) record: BackupRecord,
    /// What it is read from; none while it is being written.
    pub(crate) job: Option<Job>,
}

/// What the archive says of a backup.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct BackupRecord {
    #[serde(rename = "i")]
    pub(crate) id: String,
    #[serde(rename = "n")]
    pub(crate) name: String,
    /// Whether the region made it, of a table that was deleted.
    #[serde(rename = "y", default)]
    pub(crate) system: bool,
    #[serde(rename = "c")]
    pub(crate) created_ms: Millis,
    #[serde(rename = "e", default)]
    pub(crate) expires_ms: Option<Millis>,
    #[serde(rename = "s")]
    pub(crate) settings: TableSettings,
    #[serde(rename = "k")]
    pub(crate) items: u64,
    #[serde(rename = "z")]
    pub(crate) bytes: u64,
    /// What it is read from, if it has no base of its own.
    #[serde(rename = "j", default)]
    pub(crate) job: Option<Job>,
    /// What the service wrote here that asked for it; only AWS Backup's API does.
    #[serde(rename = "o", default, with = "serde_bytes", skip_serializing_if = "Option::is_none")]
    pub(crate) note: Option<Vec<u8>>,
}

impl Backups {
    pub(crate) fn get(&self, id: &str) -> Option<&Entry> {
        self.0.get(id)
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &Entry> {
        self.0.values()
    }

    /// How many are being written.
    pub(crate) fn running(&self) -> usize {
        self.iter().filter(|entry| entry.job.is_none()).count()
    }

    pub(crate) fn insert(&mut self, entry: Entry) {
        self.0.insert(entry.record.id.clone(), entry);
    }
}

impl BackupRecord {
    pub(crate) fn new(
        kind: BackupKind,
        name: &str,
        ms: Millis,
        settings: TableSettings,
        (items, bytes): (u64, u64),
    ) -> Self {
        let system = kind == BackupKind::System;
        Self {
            id: format!("{ms:014}-{:08x}", rand::random::<u32>()),
            name: name.into(),
            system,
            created_ms: ms,
            expires_ms: system.then(|| ms.saturating_add(BACKUP_RETENTION_MS)),
            settings,
            items,
            bytes,
            job: None,
            note: None,
        }
    }

    /// Who made it.
    pub(crate) fn kind(&self) -> BackupKind {
        match (self.system, &self.note) {
            (true, _) => BackupKind::System,
            (false, Some(_)) => BackupKind::Aws,
            (false, None) => BackupKind::User,
        }
    }
}

impl<E: Engine> Recoveries<E> {
    /// Learns which backups the archive has, once; goes on with those that a crash left unfinished, of their tables as they
    /// are now.
    pub async fn load_backups(&self) -> Result<()> {
        if self.backups_known.load(Ordering::Acquire) {
            return Ok(());
        }
        // Whoever comes second must not take away what has begun to come in since.
        let _loading = self.backups_loading.lock().await;
        if self.backups_known.load(Ordering::Acquire) {
            return Ok(());
        }
        let folder = layout::backups(self.tables.region());
        let mut all = Vec::new();
        for table in self.archive.folders(&folder).await? {
            for id in self.archive.folders(&format!("{folder}/{table}")).await? {
                let dir = format!("{folder}/{table}/{id}");
                let listing = Listing::of(&self.archive, &dir).await?;
                let name = format!("{dir}/{RECORD}");
                if !listing.all.contains(&name) {
                    // Its deletion was broken off, or a copy of it from another region.
                    self.archive.delete(&listing.all).await?;
                    continue;
                }
                let record: BackupRecord = match read(&self.archive, &name, kind::RECORD).await {
                    Err(error) if !error.may_pass() => {
                        // The others are none the worse for it. It stays where it is: somebody may have another copy.
                        tracing::error!(%error, "the record of a backup cannot be read: the backup is not shown");
                        continue;
                    }
                    record => record?,
                };
                all.push(self.entry_of(dir, record, &listing).await?);
            }
        }
        let mut unfinished = Vec::new();
        {
            let mut backups = self.backups.lock();
            for entry in all {
                if entry.job.is_none() {
                    unfinished.push(entry.clone());
                }
                backups.insert(entry);
            }
        }
        self.backups_known.store(true, Ordering::Release);
        for entry in unfinished {
            self.resume_in_background(entry);
        }
        Ok(())
    }

    /// Goes on with a backup that was not finished, until it is whole or gone.
    fn resume_in_background(&self, entry: Entry) {
        let this = self.clone();
        tokio::spawn(async move {
            while let Err(error) = this.resume(&entry).await {
                this.report("going on with a backup", Err(error));
                tokio::time::sleep(RETRY).await;
            }
        });
    }

    async fn entry_of(&self, dir: String, mut record: BackupRecord, listing: &Listing) -> Result<Entry> {
        let mut job = record.job.clone();
        if let (None, Some(base)) = (&job, listing.bases.last()) {
            match manifest(&self.archive, base).await {
                // Among rows that are sealed are those of deleted items, too.
                Ok(manifest) if manifest.sealed.is_none() => {
                    (record.items, record.bytes) = (manifest.items, manifest.bytes);
                }
                Ok(_) => {}
                Err(error) if error.may_pass() => return Err(error),
                // It was whole once: a restore fails, and nothing else does.
                Err(error) => tracing::error!(%error, backup = record.id, "a backup is damaged"),
            }
            job = Some(whole(&dir, base));
        }
        Ok(Entry { dir, record, job })
    }

    /// Goes on with a backup that was not finished. If its table is gone, so is the backup: nobody was told that it is whole.
    async fn resume(&self, entry: &Entry) -> Result<()> {
        // What was written of it is of another moment.
        let listing = Listing::of(&self.archive, &entry.dir).await?;
        self.archive.delete(&listing.garbage).await?;
        let settings = &entry.record.settings;
        let table = self.tables.table_named(&settings.name).ok();
        let table = table.filter(|table| table.id() == settings.id);
        let snapshot = match table {
            Some(table) => self.tables.logs().snapshot_of(&table).await,
            None => None,
        };
        match snapshot {
            Some(snapshot) => self.write_in_background(entry.clone(), snapshot),
            None => {
                tracing::error!(
                    backup = entry.record.id,
                    "a backup was not finished before its table was deleted, or its key was away: it is removed"
                );
                self.remove_backup(entry).await?;
            }
        }
        Ok(())
    }

    /// Begins a backup of a table as it is now.
    pub(crate) async fn begin_backup(&self, table: &Table, name: &str, note: Option<Vec<u8>>) -> Result<Entry> {
        let snapshot = self.tables.logs().snapshot_of(table).await.ok_or(Error::Gone)?;
        let (settings, ms) = (snapshot.settings.clone(), snapshot.cut.ms);
        let mut record = BackupRecord::new(BackupKind::User, name, ms, settings, snapshot.counts);
        record.note = note;
        let entry = self.put_record(record).await?;
        self.write_in_background(entry.clone(), snapshot);
        Ok(entry)
    }

    /// Records that a table's chain is a backup of it as it was when it was deleted.
    pub(crate) async fn back_up_deleted(&self, table: &Table, dir: &str, cut: &Cut) -> Result<()> {
        self.load_backups().await?;
        let there = self.backups.lock().iter().any(|entry| {
            let record = &entry.record;
            record.system && record.settings.id == table.id()
        });
        if there {
            return Ok(());
        }
        let listing = Listing::of(&self.archive, dir).await?;
        let base = listing
            .base_for(cut.ms)
            .ok_or_else(|| Error::damaged(dir, "it has no base"))?;
        let settings = self.tables.local().settings_of(table);
        let name = format!("{}{DELETED_TABLE_BACKUP}", given_name(table.name()));
        let mut record = BackupRecord::new(BackupKind::System, &name, cut.ms, settings, table.counts());
        record.job = Some(Job {
            dir: dir.into(),
            base: base.dir.clone(),
            base_ms: base.cut_ms,
            at_ms: Some(cut.ms),
            ends: cut.ends.iter().map(|end| end.0).collect(),
        });
        self.put_record(record).await?;
        Ok(())
    }

    async fn put_record(&self, record: BackupRecord) -> Result<Entry> {
        let entry = self.write_record(record).await?;
        self.backups.lock().insert(entry.clone());
        Ok(entry)
    }

    /// Puts a record into the archive; nobody is told of it yet.
    pub(crate) async fn write_record(&self, record: BackupRecord) -> Result<Entry> {
        let dir = layout::backup(self.tables.region(), &record.settings.name, &record.id);
        let name = format!("{dir}/{RECORD}");
        self.archive.put(&name, kind::RECORD, pack(&name, &record)?).await?;
        let job = record.job.clone();
        Ok(Entry { dir, record, job })
    }

    fn write_in_background(&self, entry: Entry, snapshot: TableSnapshot<E::Snapshot>) {
        let this = self.clone();
        tokio::spawn(async move {
            let mut tries = 0;
            loop {
                let written = base::write(&this.archive, &entry.dir, &snapshot, this.options.chunk_bytes).await;
                match written {
                    Ok((base, manifest)) => {
                        this.counters.bases.fetch_add(1, Ordering::Relaxed);
                        this.count_bytes(manifest.stored_bytes);
                        let mut done = entry.clone();
                        (done.record.items, done.record.bytes) = (manifest.items, manifest.bytes);
                        done.job = Some(whole(&entry.dir, &base));
                        this.backups.lock().insert(done);
                        return;
                    }
                    Err(error) if error.may_pass() && tries < TABLE_TRIES_MAX => {
                        // An archive that is away is waited for.
                        tries += u32::from(matches!(error, Error::Table(_)));
                        this.report("writing a backup", Err(error));
                        tokio::time::sleep(RETRY).await;
                    }
                    Err(error) => {
                        tracing::error!(backup = entry.record.id, %error, "a backup cannot be written: it is removed");
                        while let Err(error) = this.remove_backup(&entry).await {
                            this.report("removing a backup", Err(error));
                            tokio::time::sleep(RETRY).await;
                        }
                        return;
                    }
                }
            }
        });
    }

    /// Takes a backup away, with its chain if it is a deleted table's.
    pub(crate) async fn remove_backup(&self, entry: &Entry) -> Result<()> {
        self.archive.delete(&[format!("{}/{RECORD}", entry.dir)]).await?;
        self.backups.lock().0.remove(&entry.record.id);
        let mut folders = vec![entry.dir.as_str()];
        if let Some(job) = entry.record.job.as_ref() {
            // All chains of the table.
            folders.extend(job.dir.rsplit_once('/').map(|(table, _)| table));
        }
        for folder in folders {
            self.remove_folder(folder).await?;
        }
        Ok(())
    }

    /// Takes a folder away: manifests first, so that nothing is half there.
    pub(crate) async fn remove_folder(&self, folder: &str) -> Result<()> {
        let found = self.archive.list(folder).await?.into_iter();
        let (mut first, rest): (Vec<_>, Vec<_>) = found
            .map(|found| found.name)
            .partition(|name| name.ends_with(layout::MANIFEST));
        first.extend(rest);
        self.archive.delete(&first).await?;
        Ok(())
    }

    /// A backup as the API shows it.
    pub(crate) fn shown(&self, entry: &Entry) -> Backup {
        let record = &entry.record;
        let table = self.table_arn(&record.settings.name);
        Backup {
            arn: format!("{table}/backup/{}", record.id),
            name: record.name.clone(),
            kind: record.kind(),
            state: if entry.job.is_some() {
                BackupState::Available
            } else {
                BackupState::Creating
            },
            created_ms: record.created_ms,
            expires_ms: record.expires_ms,
            settings: record.settings.clone(),
            items: record.items,
            bytes: record.bytes,
        }
    }

    /// A table's ARN in this region.
    pub(crate) fn table_arn(&self, name: &str) -> String {
        self.tables.local().table_arn(name)
    }

    /// Whether something that is being restored is read from a folder.
    pub(crate) fn is_read(&self, dir: &str) -> bool {
        self.tables.loads().restoring().iter().any(|restoring| {
            let job: Option<Job> = rmp_serde::from_slice(&restoring.restore.job).ok();
            job.is_some_and(|job| job.dir == dir)
        })
    }
}

/// A backup with a base of its own.
pub(crate) fn whole(dir: &str, base: &Base) -> Job {
    Job {
        dir: dir.into(),
        base: base.dir.clone(),
        base_ms: base.cut_ms,
        at_ms: None,
        ends: Vec::new(),
    }
}
