//! What backups, restores, jobs of AWS Backup's API, exports and imports count.

use std::fmt;

use geodynamo_backup::Backups;
use geodynamo_engine::RegionEngine;
use geodynamo_metrics::{catalogue, counter, gauge};
use geodynamo_recovery::Recoveries;
use geodynamo_transfer::Transfers;
use prometheus_client::{collector::Collector, encoding::DescriptorEncoder};

/// Shows how far the archive is, and what is being restored.
pub struct RecoveryCollector(pub Recoveries<RegionEngine>);

impl Collector for RecoveryCollector {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let status = self.0.status();
        let e = &mut encoder;
        gauge(e, &catalogue::ARCHIVE_TABLES, status.tables)?;
        gauge(e, &catalogue::ARCHIVE_BEHIND_SECONDS, status.behind_ms / 1000)?;
        counter(e, &catalogue::ARCHIVE_SEGMENTS, status.segments)?;
        counter(e, &catalogue::ARCHIVE_BASES, status.bases)?;
        counter(e, &catalogue::ARCHIVE_WRITTEN_BYTES, status.archived_bytes)?;
        counter(e, &catalogue::ARCHIVE_FAILURES, status.failures)?;
        counter(e, &catalogue::ARCHIVE_WINDOWS_RESTARTED, status.chains_broken)?;
        counter(e, &catalogue::ARCHIVE_SCRUBBED_BYTES, status.scrubbed_bytes)?;
        gauge(e, &catalogue::ARCHIVE_DAMAGED_OBJECTS, status.damaged_objects)?;
        gauge(e, &catalogue::BACKUPS, status.backups)?;
        gauge(e, &catalogue::RESTORES, status.restores.len() as u64)?;
        gauge(
            e,
            &catalogue::RESTORES_ITEMS,
            status.restores.iter().map(|restore| restore.items).sum(),
        )?;
        gauge(
            e,
            &catalogue::RESTORES_BASE_ITEMS,
            status.restores.iter().map(|restore| restore.of).sum(),
        )?;
        counter(e, &catalogue::RESTORED_ITEMS, status.restored_items)?;
        counter(e, &catalogue::RESTORES_FAILED, status.restores_failed)
    }
}

impl fmt::Debug for RecoveryCollector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("RecoveryCollector")
    }
}

/// Shows AWS Backup's jobs.
#[derive(Debug)]
pub struct BackupCollector(pub Backups<RegionEngine>);

impl Collector for BackupCollector {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let status = self.0.status();
        let e = &mut encoder;
        gauge(e, &catalogue::BACKUP_JOBS, status.backup_jobs)?;
        gauge(e, &catalogue::BACKUP_COPY_JOBS, status.copy_jobs)?;
        gauge(e, &catalogue::BACKUP_RESTORE_JOBS, status.restore_jobs)?;
        counter(e, &catalogue::BACKUP_JOBS_FAILED, status.jobs_failed)?;
        counter(e, &catalogue::BACKUP_COPIED_BYTES, status.copied_bytes)
    }
}

/// Shows exports, imports and bulk operations.
pub struct TransferCollector(pub Transfers<RegionEngine>);

impl Collector for TransferCollector {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let status = self.0.status();
        let e = &mut encoder;
        gauge(e, &catalogue::EXPORTS, status.exports)?;
        counter(e, &catalogue::EXPORTS_COMPLETED, status.exports_completed)?;
        counter(e, &catalogue::EXPORTS_FAILED, status.exports_failed)?;
        counter(e, &catalogue::EXPORTED_ITEMS, status.exported_items)?;
        gauge(e, &catalogue::IMPORTS, status.imports)?;
        counter(e, &catalogue::IMPORTS_COMPLETED, status.imports_completed)?;
        counter(e, &catalogue::IMPORTS_FAILED, status.imports_failed)?;
        counter(e, &catalogue::IMPORTED_ITEMS, status.imported_items)?;
        counter(e, &catalogue::IMPORT_ERRORS, status.import_errors)?;
        gauge(e, &catalogue::BULK_OPERATIONS, status.bulk.running)?;
        counter(e, &catalogue::BULK_OPERATIONS_COMPLETED, status.bulk.completed)?;
        counter(e, &catalogue::BULK_OPERATIONS_FAILED, status.bulk.failed)?;
        counter(e, &catalogue::BULK_PUT_ITEMS, status.bulk.put_items)?;
        counter(e, &catalogue::BULK_ERRORS, status.bulk.errors)
    }
}

impl fmt::Debug for TransferCollector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TransferCollector")
    }
}
