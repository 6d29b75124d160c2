//! What backups and restores count.

use std::fmt;

use geodynamo_recovery::Recoveries;
use geodynamo_rocks::RocksEngine;
use prometheus_client::{collector::Collector, encoding::DescriptorEncoder};

use super::{counter, gauge};

/// Shows how far the archive is, and what is being restored.
pub struct RecoveryCollector(pub Recoveries<RocksEngine>);

impl Collector for RecoveryCollector {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let status = self.0.status();
        let e = &mut encoder;
        gauge(e, "archive_tables", "Tables with point-in-time recovery", status.tables)?;
        gauge(
            e,
            "archive_behind_seconds",
            "How far the archive is behind the table that it is furthest behind",
            status.behind_ms / 1000,
        )?;
        counter(
            e,
            "archive_segments",
            "Segments of change logs archived",
            status.segments,
        )?;
        counter(e, "archive_bases", "Bases and backups archived", status.bases)?;
        counter(
            e,
            "archive_written_bytes",
            "Bytes put into the archive: segments as they are stored, bases before they are compressed",
            status.archived_bytes,
        )?;
        counter(
            e,
            "archive_failures",
            "Times that the archive could not be written or read",
            status.failures,
        )?;
        counter(
            e,
            "archive_windows_restarted",
            "Windows of point-in-time recovery that began anew because the archive was behind for too long",
            status.chains_broken,
        )?;
        gauge(
            e,
            "restores",
            "Tables that are being restored",
            status.restores.len() as u64,
        )?;
        gauge(
            e,
            "restores_items",
            "Items that the restores under way have put",
            status.restores.iter().map(|restore| restore.items).sum(),
        )?;
        gauge(
            e,
            "restores_base_items",
            "Items of the bases of the restores under way: about how many there will be",
            status.restores.iter().map(|restore| restore.of).sum(),
        )?;
        counter(e, "restored_items", "Items restored", status.restored_items)?;
        counter(
            e,
            "restores_failed",
            "Restores that could not be finished, and whose tables were removed",
            status.restores_failed,
        )
    }
}

impl fmt::Debug for RecoveryCollector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("RecoveryCollector")
    }
}
