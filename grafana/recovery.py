"""The dashboard of what is kept and moved: the archive, restores, exports and imports."""

from lines import lines


def rows(row, series, region):
    now, rate = lines(series, region)
    return [
        row("Archive"),
        now("Archive behind", "Of the table that it is furthest behind.", "geodynamo_archive_behind_seconds", "s"),
        now("Tables archived", "With point-in-time recovery.", "geodynamo_archive_tables"),
        rate("Failures", "The archive could not be written or read.", "geodynamo_archive_failures_total"),
        rate("Bytes archived", "Segments as stored, bases before compression.", "geodynamo_archive_written_bytes_total", "Bps"),
        rate("Segments", "Of change logs.", "geodynamo_archive_segments_total"),
        rate("Bases and backups", "Whole tables.", "geodynamo_archive_bases_total"),
        now("Windows begun anew", "The archive was behind for too long.", "geodynamo_archive_windows_restarted_total"),
        rate("Read for damage", "Every object, over and over.", "geodynamo_archive_scrubbed_bytes_total", "Bps"),
        now("Damaged objects", "The log names them.", "geodynamo_archive_damaged_objects"),
        row("Restores"),
        now("Under way", "Tables that are being restored.", "geodynamo_restores"),
        now("Items put", "By the restores under way.", "geodynamo_restores_items"),
        now("Items of their bases", "About how many there will be.", "geodynamo_restores_base_items"),
        rate("Restored items", "All restores.", "geodynamo_restored_items_total"),
        now("Failed restores", "Their tables were removed.", "geodynamo_restores_failed_total"),
        now("Backups", "Being written.", "geodynamo_backups"),
        row("AWS Backup's jobs"),
        now("Backup jobs", "That have not ended.", "geodynamo_backup_jobs"),
        now("Copies", "To other vaults and regions, that have not ended.", "geodynamo_backup_copy_jobs"),
        rate("Bytes copied", "Before compression.", "geodynamo_backup_copied_bytes_total", "Bps"),
        now("Restore jobs", "That have not ended.", "geodynamo_backup_restore_jobs"),
        now("Failed jobs", "Since the process started; describe-backup-job and so on tell why.", "geodynamo_backup_jobs_failed_total"),
        row("Exports, imports and bulk operations"),
        now("Exports", "That run or wait.", "geodynamo_exports"),
        rate("Exported items", "Of incremental exports, changes.", "geodynamo_exported_items_total"),
        now("Exports done", "Since the process started.", "geodynamo_exports_completed_total"),
        now("Failed exports", "DescribeExport tells why.", "geodynamo_exports_failed_total"),
        now("Imports", "That run or wait.", "geodynamo_imports"),
        rate("Imported items", "Put into new tables.", "geodynamo_imported_items_total"),
        now("Imports done", "Since the process started.", "geodynamo_imports_completed_total"),
        now("Failed imports", "Or with bad items; DescribeImport tells why.", "geodynamo_imports_failed_total"),
        rate("Bad records", "No items, or none of their table.", "geodynamo_import_errors_total"),
        now("Bulk operations", "That run or wait.", "geodynamo_bulk_operations"),
        rate("Items of bulk operations", "Put into tables that serve.", "geodynamo_bulk_put_items_total"),
        now("Bulk operations done", "Since the process started.", "geodynamo_bulk_operations_completed_total"),
        now("Failed bulk operations", "Or cancelled, or with bad items; DescribeBulkOperation tells why.", "geodynamo_bulk_operations_failed_total"),
        rate("Bad records of bulk operations", "No items, or none of their table.", "geodynamo_bulk_errors_total"),
    ]
