//! Backups of tables whose key is away.
//!
//! Nothing of such a table can be read, so its backup has the rows as they are sealed, beside the table's data key as the key
//! service wrapped it. It is restored once the service opens that again: until then it is as unreadable as the table was.

use geodynamo_storage::Engine;
use geodynamo_table::{
    Table,
    recovery::{BackupKind, DELETED_TABLE_BACKUP, SealedRows},
};

use crate::{
    Error, Job, Recoveries, Result,
    backups::{BackupRecord, whole},
    base,
    chain::manifest,
    layout,
};

/// What a table's name is followed by in that of its backup, once its key has been away for too long.
const ARCHIVED_TABLE_BACKUP: &str = "$ArchivedTableBackup";

impl<E: Engine> Recoveries<E> {
    /// Archives the tables whose key has been away for [`geodynamo_table::recovery::KEY_AWAY_MAX_MS`]: a backup, then the table
    /// goes. The first error, if there was one.
    ///
    /// # Errors
    /// If the archive cannot be written.
    pub async fn archive_inaccessible(&self) -> Result<()> {
        let mut result = Ok(());
        for table in self.tables.loads().tables_to_archive() {
            let archived = async {
                self.back_up_sealed(&table, BackupKind::User).await?;
                Ok(self.tables.loads().remove_archived(table.id()).await?)
            };
            match archived.await {
                Ok(true) => tracing::error!(
                    table = table.name(),
                    "its key has been away for seven days: the table is a backup now, and is gone"
                ),
                // The key is there again.
                Ok(false) => {}
                Err(error) => result = result.and(Err(error)),
            }
        }
        result
    }

    /// Writes a backup of a table as it is, sealed, unless there is one.
    pub(crate) async fn back_up_sealed(&self, table: &Table, kind: BackupKind) -> Result<()> {
        self.load_backups().await?;
        let names = [ARCHIVED_TABLE_BACKUP, DELETED_TABLE_BACKUP].map(|suffix| format!("{}{suffix}", table.name()));
        let there = self.backups.lock().iter().any(|entry| {
            let record = &entry.record;
            record.settings.id == table.id() && names.contains(&record.name)
        });
        if there {
            return Ok(());
        }
        let snapshot = self.tables.logs().snapshot_of(table).await.ok_or(Error::Gone)?;
        let sealed = self.tables.loads().sealed_rows(table).ok_or(Error::Gone)?;
        let [archived, deleted] = names;
        let name = if kind == BackupKind::System { deleted } else { archived };
        let (settings, counts) = (snapshot.settings.clone(), snapshot.counts);
        let record = BackupRecord::new(kind, &name, snapshot.cut.ms, settings, counts);
        let dir = layout::backup(self.tables.region(), &record.settings.name, &record.id);
        // The record last: without it what is there is garbage.
        let (base, _) = base::write_sealed(&self.archive, &dir, &snapshot, self.options.chunk_bytes, sealed).await?;
        let mut entry = self.write_record(record).await?;
        entry.job = Some(whole(&dir, &base));
        self.backups.lock().insert(entry);
        Ok(())
    }

    /// By what the rows of a job are opened, if they are sealed.
    pub(crate) async fn sealed_of(&self, job: &Job) -> Result<Option<SealedRows>> {
        let base = base::Base {
            cut_ms: job.base_ms,
            dir: job.base.clone(),
        };
        Ok(manifest(&self.archive, &base).await?.sealed)
    }
}
