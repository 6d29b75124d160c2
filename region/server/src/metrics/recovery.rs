//! What backups and restores count.

use std::fmt;

use geodynamo_recovery::Recoveries;
use geodynamo_rocks::RocksEngine;
use prometheus_client::{collector::Collector, encoding::DescriptorEncoder};

use super::{catalogue, counter, gauge};

/// Shows how far the archive is, and what is being restored.
pub struct RecoveryCollector(pub Recoveries<RocksEngine>);

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
