//! Every metric of the process: its name, kind, labels and meaning, in one list.
//!
//! Collectors name their metrics by these constants and nothing else, so what is exported is what is listed. The table in
//! `docs/metrics.md` is made from the list (`geodynamo metrics`), and a test compares both, the dashboards and the alert
//! rules with it.
//!
//! Names follow Prometheus' conventions (base units, in the name; the exporter appends `_total` to counters) and get the
//! prefix `geodynamo_`. Where CloudWatch has a metric of the same meaning for DynamoDB, the entry tells its name.
//! Source: <https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/metrics-dimensions.html>.

use std::fmt::Write as _;

/// The prefix of every name.
pub const PREFIX: &str = "geodynamo";

/// How a metric behaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Only grows while the process lives.
    Counter,
    /// Goes up and down.
    Gauge,
    /// Counts values by their size. Buckets are cumulative, as Prometheus has them.
    Histogram,
    /// Always 1: its labels are what it tells.
    Info,
}

/// A metric.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Metric {
    /// Its name, without the prefix and without a counter's `_total`.
    pub name: &'static str,
    /// How it behaves.
    pub kind: Kind,
    /// Its labels, in the order of their values.
    pub labels: &'static [&'static str],
    /// What it means.
    pub help: &'static str,
    /// CloudWatch's name of the same thing.
    pub cloudwatch: Option<&'static str>,
}

impl Metric {
    /// The name that Prometheus knows; of a histogram, without `_bucket` and the like.
    pub fn full_name(&self) -> String {
        let suffix = match self.kind {
            Kind::Counter => "_total",
            Kind::Info => "_info",
            Kind::Gauge | Kind::Histogram => "",
        };
        format!("{PREFIX}_{}{suffix}", self.name)
    }
}

macro_rules! catalogue {
    ($($constant:ident = $kind:ident $name:literal [$($label:literal),*] $help:literal $(($cloudwatch:literal))?;)*) => {
        $(
            #[doc = $help]
            pub const $constant: Metric = Metric {
                name: $name,
                kind: Kind::$kind,
                labels: &[$($label),*],
                help: $help,
                cloudwatch: catalogue!(@optional $($cloudwatch)?),
            };
        )*
        /// All of them, in the order of the documentation.
        pub const ALL: &[Metric] = &[$($constant),*];
    };
    (@optional) => { None };
    (@optional $cloudwatch:literal) => { Some($cloudwatch) };
}

catalogue! {
    // The process.
    BUILD = Info "build" ["version", "commit"] "What this process was built from";
    REGION = Info "region" ["region", "node"] "Which region and node this process is";
    NODE_ZONE = Info "node_zone" ["node", "zone"] "Which zone this node is in, where the topology says so";
    REGION_PLACE = Info "region_place" ["region", "place", "latitude", "longitude"]
        "Where this region is, in degrees; of regions that are named like AWS's";
    PEER = Info "peer" ["region", "peer_region"] "A region that this one has links with";
    PROCESS_RESIDENT_MEMORY = Gauge "process_resident_memory_bytes" [] "Memory that is resident";
    PROCESS_RESIDENT_MEMORY_PEAK = Gauge "process_resident_memory_peak_bytes" [] "The most memory that was resident";
    PROCESS_OPEN_FDS = Gauge "process_open_fds" [] "Open file descriptors";
    PROCESS_CPU = Counter "process_cpu_seconds" [] "Processor time of the process, user and system";
    PROCESS_START = Gauge "process_start_time_seconds" [] "When the process started, in seconds since 1970";
    TIME = Gauge "time_seconds" [] "The node's clock, in seconds since 1970";

    // Requests.
    REQUEST_DURATION = Histogram "request_duration_seconds" ["operation", "outcome"]
        "Time from a whole request to its whole answer" ("SuccessfulRequestLatency");
    REQUESTS_REFUSED = Counter "requests_refused" ["reason"]
        "Requests that the data port refused before or instead of an operation: signatures, sizes, unknown operations"
        ("UserErrors");
    SESSION_REQUESTS = Counter "session_requests" ["outcome"] "Requests with a session or a bound on staleness: answered at once, after waiting, or refused because this region was behind";
    REQUEST_PANICS = Counter "request_panics" [] "Handlers that panicked" ("SystemErrors");
    REQUEST_BUFFERED_BYTES = Gauge "request_buffered_bytes" [] "Memory that requests' bodies hold";
    AUDIT_RECORDS_WRITTEN = Counter "audit_records_written" [] "Records of the audit trail that were written";
    AUDIT_RECORDS_LOST = Counter "audit_records_lost" []
        "Records of the audit trail that were lost: the queue was full, or the file could not be written";
    CONNECTIONS_OPEN = Gauge "connections_open" [] "Connections of clients";
    CONNECTIONS = Counter "connections" [] "Connections that clients made";

    // Tables.
    VERSIONS_APPLIED = Counter "versions_applied" [] "Versions of other regions that became this one's";
    VERSIONS_DUPLICATE = Counter "versions_duplicate" [] "Versions that came again, or were outdated";
    VERSIONS_PARKED = Counter "versions_parked" [] "Versions parked: their stamps were too far ahead of this node's clock";
    VERSIONS_RELEASED = Counter "versions_released" [] "Parked versions that were merged since";
    VERSIONS_WAITING = Gauge "versions_waiting" [] "Versions that are parked now";
    CONFLICTS = Counter "conflicts" [] "Conflicts recorded: writes that lost to a concurrent one";
    ITEMS_EXPIRED = Counter "items_expired" [] "Items deleted here because their time to live was over"
        ("TimeToLiveDeletedItemCount");
    REQUESTS_THROTTLED = Counter "requests_throttled" []
        "Requests, or items of batches, refused or cut short for want of capacity" ("ThrottledRequests");
    TABLE_REQUEST_DURATION = Histogram "table_request_duration_seconds" ["table", "operation"]
        "Time that an operation on items took that was done; by the first 100 tables that the process knew, the rest as `other`"
        ("SuccessfulRequestLatency");
    TABLE_CONSUMED_READ_UNITS = Counter "table_consumed_read_units" ["table", "index"]
        "Read units that requests consumed; of a global index under its name" ("ConsumedReadCapacityUnits");
    TABLE_CONSUMED_WRITE_UNITS = Counter "table_consumed_write_units" ["table", "index"]
        "Write units that requests consumed; of a global index under its name" ("ConsumedWriteCapacityUnits");
    TABLE_PROVISIONED_READ_UNITS = Gauge "table_provisioned_read_units" ["table", "index"]
        "Read units a second that are provisioned" ("ProvisionedReadCapacityUnits");
    TABLE_PROVISIONED_WRITE_UNITS = Gauge "table_provisioned_write_units" ["table", "index"]
        "Write units a second that are provisioned" ("ProvisionedWriteCapacityUnits");
    TABLE_THROTTLED_READS = Counter "table_throttled_reads" ["table", "index"]
        "Reads of items, or pages, refused or cut short for want of capacity" ("ReadThrottleEvents");
    TABLE_THROTTLED_WRITES = Counter "table_throttled_writes" ["table", "index"]
        "Writes of items refused for want of capacity" ("WriteThrottleEvents");
    TABLE_THROTTLED_REQUESTS = Counter "table_throttled_requests" ["table", "operation"]
        "Requests of which nothing was done for want of capacity" ("ThrottledRequests");
    TABLE_USER_ERRORS = Counter "table_user_errors" ["table", "operation"]
        "Requests refused for other reasons than capacity and conditions; those that name no table that is there as `other`"
        ("UserErrors");
    TABLE_SYSTEM_ERRORS = Counter "table_system_errors" ["table", "operation"] "Requests that failed by the server's fault"
        ("SystemErrors");
    TABLE_RETURNED_ITEMS = Counter "table_returned_items" ["table", "operation"] "Items that queries and scans gave back"
        ("ReturnedItemCount");
    TABLE_FAILED_CONDITIONS = Counter "table_failed_conditions" ["table"]
        "Writes whose condition did not hold, those of transactions not among them" ("ConditionalCheckFailedRequests");
    TABLE_TRANSACTION_CONFLICTS = Counter "table_transaction_conflicts" ["table"]
        "Items that a request could not have because of a transaction" ("TransactionConflict");
    TABLE_EXPIRED_ITEMS = Counter "table_expired_items" ["table"]
        "Items deleted here because their time to live was over" ("TimeToLiveDeletedItemCount");
    TABLE_KEYS_AWAY = Gauge "table_keys_away" []
        "Tables that take no requests because the key service does not give their key";
    TABLE_KEY_WEIGHT = Gauge "table_key_weight" ["table", "index", "rule", "key"]
        "Of the heaviest keys in the last five minutes, where contributor insights are on: units consumed, or requests throttled";
    REPLICAS_REFUSED = Counter "replicas_refused" [] "Replicas that this region was asked for and did not take";
    COPIES_REFUSED = Counter "copies_refused" []
        "Copies of tables that other regions asked for and were not given, as no member had asked them to take a replica";
    REGISTERS_REFUSED = Counter "registers_refused" []
        "Settings of tables that came from regions that may not write them, and were not taken";
    REPLICAS_EXPELLED = Counter "replicas_expelled" []
        "Replicas of other regions that were taken out of their groups, as they were out of reach for too long";
    REPLICAS_ALONE = Counter "replicas_gone_alone" []
        "Replicas of this region that left their groups, by order, or as they were out of reach for too long";
    REGION_SILENT_SECONDS = Gauge "region_silent_seconds" ["peer_region"]
        "For how long a region has been out of reach; its replicas leave their groups after `part_after_seconds`";
    REPLICAS_FAILED = Gauge "replicas_failed" []
        "Replicas that could not be made, of all tables and in all regions, as far as is known here";
    INDEXES_BUILDING = Gauge "indexes_building" [] "Global indexes whose copy here is being filled";
    INDEX_BACKFILL_ITEMS = Gauge "index_backfill_items" [] "Items that the back-fills under way have looked at"
        ("OnlineIndexPercentageProgress");
    INDEX_BACKFILL_TABLE_ITEMS = Gauge "index_backfill_table_items" []
        "Items of the tables of the back-fills under way";
    ARCHIVE_TABLES = Gauge "archive_tables" [] "Tables with point-in-time recovery";
    ARCHIVE_BEHIND_SECONDS = Gauge "archive_behind_seconds" []
        "How far the archive is behind the table that it is furthest behind";
    ARCHIVE_SEGMENTS = Counter "archive_segments" [] "Segments of change logs archived";
    ARCHIVE_BASES = Counter "archive_bases" [] "Bases and backups archived";
    ARCHIVE_WRITTEN_BYTES = Counter "archive_written_bytes" [] "Bytes put into the archive: segments compressed, bases not";
    ARCHIVE_FAILURES = Counter "archive_failures" [] "Times that the archive could not be written or read";
    ARCHIVE_WINDOWS_RESTARTED = Counter "archive_windows_restarted" []
        "Windows of point-in-time recovery that began anew: the archive was behind for too long";
    ARCHIVE_SCRUBBED_BYTES = Counter "archive_scrubbed_bytes" [] "Bytes of the archive that were read to find damage";
    ARCHIVE_DAMAGED_OBJECTS = Gauge "archive_damaged_objects" []
        "Objects of the archive that were found to be damaged, and are so still";
    BACKUPS = Gauge "backups" [] "Backups that are being written";
    RESTORES = Gauge "restores" [] "Tables that are being restored";
    RESTORES_ITEMS = Gauge "restores_items" [] "Items that the restores under way have put";
    RESTORES_BASE_ITEMS = Gauge "restores_base_items" []
        "Items of the bases of the restores under way: about how many there will be";
    RESTORED_ITEMS = Counter "restored_items" [] "Items restored";
    RESTORES_FAILED = Counter "restores_failed" [] "Restores that could not be finished, and whose tables were removed";
    BACKUP_JOBS = Gauge "backup_jobs" [] "Backup jobs of AWS Backup's API that have not ended";
    BACKUP_COPY_JOBS = Gauge "backup_copy_jobs" [] "Copies of backups to other vaults and regions that have not ended";
    BACKUP_RESTORE_JOBS = Gauge "backup_restore_jobs" [] "Restore jobs of AWS Backup's API that have not ended";
    BACKUP_JOBS_FAILED = Counter "backup_jobs_failed" [] "Jobs of AWS Backup's API that failed, or did not begin in time"
        ("NumberOfBackupJobsFailed");
    BACKUP_COPIED_BYTES = Counter "backup_copied_bytes" [] "Bytes of backups sent to other vaults and regions, not compressed";
    EXPORTS = Gauge "exports" [] "Exports that run or wait";
    EXPORTS_COMPLETED = Counter "exports_completed" [] "Exports that are done";
    EXPORTS_FAILED = Counter "exports_failed" [] "Exports that failed";
    EXPORTED_ITEMS = Counter "exported_items" [] "Items that exports wrote; of incremental ones, changes";
    IMPORTS = Gauge "imports" [] "Imports that run or wait";
    IMPORTS_COMPLETED = Counter "imports_completed" [] "Imports that are done";
    IMPORTS_FAILED = Counter "imports_failed" [] "Imports that failed, or had bad items";
    IMPORTED_ITEMS = Counter "imported_items" [] "Items that imports put";
    IMPORT_ERRORS = Counter "import_errors" [] "Records of imports that were no items, or none of their table";

    // Event source mappings.
    TRIGGER_ENABLED = Gauge "trigger_enabled" ["mapping", "function", "table"] "1 while the event source mapping runs";
    TRIGGER_ITERATOR_AGE = Gauge "trigger_iterator_age_seconds" ["mapping", "function", "table"]
        "Age of the oldest record that was read and that the function has not taken; 0 if there is none"
        ("IteratorAge");
    TRIGGER_INVOCATIONS = Counter "trigger_invocations" ["mapping", "function", "table"] "Invocations of the function"
        ("Invocations");
    TRIGGER_ERRORS = Counter "trigger_errors" ["mapping", "function", "table"]
        "Invocations that the function failed in, or with some of the records" ("Errors");
    TRIGGER_NOT_REACHED = Counter "trigger_not_reached" ["mapping", "function", "table"]
        "Invocations that did not reach the function: it was busy or away" ("Throttles");
    TRIGGER_DELIVERED_RECORDS = Counter "trigger_delivered_records" ["mapping", "function", "table"]
        "Records that the function has taken" ("InvokedEventCount");
    TRIGGER_FILTERED_RECORDS = Counter "trigger_filtered_records" ["mapping", "function", "table"]
        "Records that no filter let through" ("FilteredOutEventCount");
    TRIGGER_DISCARDED_RECORDS = Counter "trigger_discarded_records" ["mapping", "function", "table"]
        "Records that were given up: too old, or tried too often" ("DroppedEventCount");

    // Kinesis streaming destinations.
    KINESIS_AGE = Gauge "kinesis_age_seconds" ["table", "stream"]
        "Age of the oldest record that was read and that the stream has not taken; 0 if there is none";
    KINESIS_DELIVERED_RECORDS = Counter "kinesis_delivered_records" ["table", "stream"] "Records that the stream has taken";
    KINESIS_FAILURES = Counter "kinesis_failures" ["table", "stream"]
        "Calls that the stream did not take, or not wholly";
    KINESIS_LOST_RECORDS = Counter "kinesis_lost_records" ["table", "stream"]
        "Records that the stream will never take, for they are too large" ("FailedToReplicateRecordCount");

    // Sinks.
    SINK_LAG = Gauge "sink_lag_seconds" ["sink", "table"]
        "Age of the oldest change that the sink's copy does not have; 0 if it has all";
    SINK_CHANGES = Counter "sink_changes" ["sink", "table"] "Changes that the sink's copy took";
    SINK_COMMITS = Counter "sink_commits" ["sink", "table"] "Transactions that brought them";
    SINK_FAILURES = Counter "sink_failures" ["sink", "table"] "Times that the sink's copy could not be reached or changed";
    SINK_LOADS = Counter "sink_loads" ["sink", "table"] "Times that the sink's copy was begun with a snapshot";
    SINK_LOADED_ITEMS = Counter "sink_loaded_items" ["sink", "table"] "Items of snapshots that the sink's copy took";

    // Replication.
    REPLICATION_LATENCY = Histogram "replication_latency_seconds" ["from_region"]
        "Time from a version's stamp, by its region's clock, until it is durable here" ("ReplicationLatency");
    REPLICATION_APPLY = Histogram "replication_apply_seconds" ["from_region"] "Time to apply a batch durably";
    REPLICATION_OLDEST_UNREPLICATED = Gauge "replication_oldest_unreplicated_seconds" ["peer_region"]
        "Age of the oldest write of this region that the peer has not applied; 0 if it has applied all"
        ("AgeOfOldestUnreplicatedRecord");
    LINK_UP = Gauge "link_up" ["peer_region"] "1 while the peer is connected";
    LINK_CONNECTIONS = Counter "link_connections" ["peer_region"] "Connections made to the peer";
    LINK_SENT_BYTES = Counter "link_sent_bytes" ["peer_region"] "Bytes sent, after compression";
    LINK_SENT_DELTAS = Counter "link_sent_deltas" ["peer_region"] "Deltas sent";
    LINK_SKIPPED_CHANGES = Counter "link_skipped_changes" ["peer_region"] "Changes that needed no delta";
    LINK_BACKLOG_CHANGES = Gauge "link_backlog_changes" ["peer_region"]
        "Changes that the peer has not acknowledged, at most" ("PendingReplicationCount");
    LINK_RTT = Gauge "link_rtt_seconds" ["peer_region"] "The QUIC connection's smoothed round-trip time";
    LINK_PACKETS_LOST = Gauge "link_packets_lost" ["peer_region"]
        "Packets of the present connection that were declared lost";
    LINK_CONGESTION_EVENTS = Gauge "link_congestion_events" ["peer_region"]
        "Times the congestion window of the present connection was cut";
    LINK_WINDOW_BYTES = Gauge "link_window_bytes" ["peer_region"] "The connection's congestion window";
    LINK_LAST_ACK = Gauge "link_last_ack_timestamp_seconds" ["peer_region"]
        "When the peer last acknowledged something, in seconds since 1970";
    LINK_LOGS_AHEAD = Gauge "link_logs_ahead" ["peer_region"]
        "Logs of which the peer holds more than this replica: data was lost here";
    LINK_FAULT = Gauge "link_fault" ["peer_region"] "1 while a fault is on the link on purpose: a game day";
    LINK_FAULT_PACKETS = Counter "link_fault_packets" [] "Packets that were lost on purpose, of all links";
    LINK_RECEIVED_DELTAS = Counter "link_received_deltas" ["peer_region"] "Deltas received";
    LINK_APPLIED_VERSIONS = Counter "link_applied_versions" ["peer_region"] "Versions applied";
    LINK_DUPLICATE_VERSIONS = Counter "link_duplicate_versions" ["peer_region"] "Versions that were held already";
    LINK_PARKED_VERSIONS = Counter "link_parked_versions" ["peer_region"] "Versions parked";
    LINK_CONFLICTS = Counter "link_conflicts" ["peer_region"] "Conflicts recorded";
    LINK_BATCHES = Counter "link_batches" ["peer_region"] "Batches applied";
    LINK_APPLY_FAILURES = Counter "link_apply_failures" ["peer_region"] "Times that a log stalled or applying failed";
    VERIFICATIONS = Counter "verifications" [] "Verifications with other regions that came to their end";
    VERIFICATIONS_FAILED = Counter "verifications_failed" [] "Verifications with other regions that broke off";
    VERIFIED_ROWS = Counter "verified_rows" [] "Rows that verifications went through";
    HEALED_ROWS = Counter "healed_rows" ["reason"] "Rows that differed and were brought from another region: missing, outdated, damaged, or a conflict's record";
    UNHEALED_ROWS = Gauge "unhealed_rows" [] "Damaged rows that no other region has whole, and rows of one stamp that differ";
    TOMBSTONES = Gauge "tombstones" [] "Tombstones of deleted items, as of each table's last scan";
    TOMBSTONE_BYTES = Gauge "tombstone_bytes" [] "What tombstones take, before compression";
    TOMBSTONES_COLLECTED = Counter "tombstones_collected" [] "Tombstones taken away, as every region has agreed to forget them";
    TOMBSTONES_AGE = Gauge "tombstones_kept_seconds" [] "Of the table that is farthest behind: how old tombstones are before they are collected";
    CONFLICT_RECORDS = Gauge "conflict_records" [] "Records of conflicts, as of each table's last scan";
    CONFLICT_RECORD_BYTES = Gauge "conflict_record_bytes" [] "What records of conflicts take, before compression";
    CONFLICTS_DROPPED = Counter "conflict_records_dropped" [] "Records of conflicts taken away for their age or their number";
    VERIFICATION_AGE = Gauge "verification_age_seconds" ["peer_region"] "Since when the partition that waits longest was not shown to be equal in both regions; of each pair, the region whose name comes first tells";

    // Storage.
    STORAGE_COMMITS = Counter "storage_commits" [] "Commits carried out";
    STORAGE_COMMITS_REFUSED = Counter "storage_commits_refused" [] "Commits refused by a precondition";
    STORAGE_COMMITS_FAILED = Counter "storage_commits_failed" [] "Commits that failed";
    STORAGE_READS_FAILED = Counter "storage_reads_failed" [] "Reads of the store that failed";
    STORAGE_RECOVERIES = Counter "storage_recoveries" []
        "How often writes were taken again after they had been refused";
    STORAGE_WRITTEN_BYTES = Counter "storage_written_bytes" [] "Bytes of written batches";
    STORAGE_ROW_CACHE_HITS = Counter "storage_row_cache_hits" [] "Reads of single rows that the row cache answered";
    STORAGE_ROW_CACHE_MISSES = Counter "storage_row_cache_misses" []
        "Reads of single rows that the row cache did not answer";
    STORAGE_BATCH_COMMITS = Histogram "storage_batch_commits" [] "Commits in a batch, which has one sync";
    STORAGE_WRITE = Histogram "storage_write_seconds" [] "Time that a batch's write took: WAL, fsync, memtables";
    STORAGE_QUEUE_JOBS = Gauge "storage_queue_jobs" [] "Jobs that wait for the committer";
    STORAGE_QUEUE_BYTES = Gauge "storage_queue_bytes" [] "Bytes of the jobs that wait";
    STORAGE_CACHE_BYTES = Gauge "storage_cache_bytes" [] "Bytes in the block cache, memtables included";
    STORAGE_ROW_CACHE_BYTES = Gauge "storage_row_cache_bytes" [] "Bytes of rows in the row cache";
    STORAGE_MEMTABLE_BYTES = Gauge "storage_memtable_bytes" [] "Bytes in memtables";
    STORAGE_TABLE_BYTES = Gauge "storage_table_bytes" [] "Bytes of table files on disk";
    STORAGE_CLASS_BYTES = Gauge "storage_class_bytes" ["class"]
        "Bytes of files that hold items and index entries of tables of a class: STANDARD, STANDARD_INFREQUENT_ACCESS";
    STORAGE_CLASS_MOVES = Gauge "storage_class_moves" []
        "Tables and indexes, each by itself, whose rows are being moved to their table's class";
    STORAGE_CLASS_MOVED_BYTES = Counter "storage_class_moved_bytes" [] "Bytes that were moved to another table class";
    ENCRYPTION_KEY_AWAY_SECONDS = Gauge "encryption_key_away_seconds" []
        "For how long the service that has the region's key has not given it; 0 while it does, or no service has it";
    ENCRYPTION_DATA_KEY_AGE_SECONDS = Gauge "encryption_data_key_age_seconds" []
        "How old the data key is that new files get theirs from";
    ENCRYPTION_FILES = Gauge "encryption_files" ["data_key"]
        "Files of the store by the data key that they are under: current, older";
    ENCRYPTION_FILE_BYTES = Gauge "encryption_file_bytes" ["data_key"] "Bytes of those files";
    ENCRYPTION_REWRITTEN_BYTES = Counter "encryption_rewritten_bytes" []
        "Bytes written anew because they were under an older data key";
    STORAGE_SCRUBBED_BYTES = Counter "storage_scrubbed_bytes" []
        "Bytes of rows that were read in the background, and are whole";
    STORAGE_SCRUBS = Counter "storage_scrubs" [] "How often all files were read so";
    STORAGE_DAMAGED_FILES = Gauge "storage_damaged_files" [] "Damaged files that are in use still";
    STORAGE_QUARANTINED_FILES = Counter "storage_quarantined_files" []
        "Damaged files that were taken out of use; their other rows are kept";
    STORAGE_UNMENDED_RANGES = Gauge "storage_unmended_ranges" []
        "Ranges of rows or log records that were in such files and are not mended: requests for them are refused";
    STORAGE_UNMENDABLE_TABLES = Gauge "storage_unmendable_tables" []
        "Tables with such rows that neither another region nor the archive can give back";
    STORAGE_COMPACTION_PENDING_BYTES = Gauge "storage_compaction_pending_bytes" []
        "Bytes that compaction has to rewrite";
    STORAGE_WRITE_LIMIT = Gauge "storage_write_limit_bytes_per_second" []
        "What writes are slowed to; 0 if they are not";
    STORAGE_WRITES_STOPPED = Gauge "storage_writes_stopped" [] "1 while writes are stopped by compaction's debt";
    STORAGE_UNWRITABLE = Gauge "storage_unwritable" ["reason"]
        "1 for the reason why writes are refused, if they are: no_room, read_only, writes_fail, broken";
    STORAGE_RESERVE_BYTES = Gauge "storage_reserve_bytes" [] "Room kept in reserve for a full disk";
    STORAGE_DISK_FREE_BYTES = Gauge "storage_disk_free_bytes" []
        "Bytes free for this process in the file system of the data directory";
    STORAGE_DISK_BYTES = Gauge "storage_disk_size_bytes" [] "Size of the file system of the data directory";

    // A region on Cassandra.
    CASSANDRA_OWNER = Gauge "cassandra_owner" [] "1 while this node writes the region's log, 0 while it stands by; only on Cassandra";
    CASSANDRA_EPOCH = Gauge "cassandra_epoch" [] "The epoch of the node that writes: greater with every one";
    CASSANDRA_PASSED_ON = Gauge "cassandra_passed_on_requests" []
        "Requests that a node that stands by passes on now, those that wait for an owner among them";
    CASSANDRA_ANSWERED = Counter "cassandra_standby_requests" ["by"]
        "Requests to a node that stands by, by who answered: `node` is itself, `owner` the node that writes";
    CASSANDRA_READ_AGE = Gauge "cassandra_read_age_milliseconds" []
        "How old what a node reads that stands by may be at most; absent while it answers no reads";
    CASSANDRA_POSITION = Gauge "cassandra_log_position" [] "The last entry of the log";
    CASSANDRA_BEHIND = Gauge "cassandra_rows_behind" [] "Entries of the log that rows have not followed yet";
    CASSANDRA_OVERLAY_BYTES = Gauge "cassandra_overlay_bytes" [] "Bytes of the entries that rows have not followed yet";
    CASSANDRA_ENTRIES = Counter "cassandra_entries" [] "Entries of the log written: each a lightweight transaction of many commits";
    CASSANDRA_UNKNOWN = Counter "cassandra_unknown_outcomes" []
        "Times that Cassandra did not answer whether an entry of the log was written, which was then found out";
    CASSANDRA_ROWS = Counter "cassandra_rows_written" [] "Rows written after the log";
    CASSANDRA_READS = Counter "cassandra_reads" [] "Single rows read from Cassandra";
}

/// The catalogue as a Markdown document, as `docs/metrics.md` holds it.
pub fn markdown() -> String {
    let mut text = String::from(
        "# Metrics\n\nMade by `geodynamo metrics > docs/metrics.md` from the catalogue in the code; do not edit.\n\n\
         Each region's process serves them at `GET /metrics` of its admin port: as OpenMetrics text, with \
         exemplars, or, where `Accept` prefers it, as Prometheus' protobuf, with native histograms.\n\n\
         | metric | kind | labels | meaning | CloudWatch |\n| --- | --- | --- | --- | --- |\n",
    );
    for metric in ALL {
        // Writing to a String cannot fail.
        let _ = writeln!(
            text,
            "| `{}` | {} | {} | {} | {} |",
            metric.full_name(),
            format!("{:?}", metric.kind).to_lowercase(),
            metric.labels.join(", "),
            metric.help,
            metric.cloudwatch.unwrap_or_default(),
        );
    }
    text
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn names_are_unique_and_have_base_units() {
        let names: BTreeSet<_> = ALL.iter().map(Metric::full_name).collect();
        assert_eq!(names.len(), ALL.len());
        for metric in ALL {
            for bad in [
                "milliseconds",
                "microseconds",
                "_ms",
                "_us",
                "kilobytes",
                "percent",
                "_total",
            ] {
                assert!(!metric.name.ends_with(bad), "{}: not a base unit", metric.name);
            }
            assert!(
                metric
                    .name
                    .bytes()
                    .all(|byte| byte.is_ascii_lowercase() || byte == b'_'),
                "{}",
                metric.name
            );
            assert!(!metric.help.ends_with('.'), "{}: no full stop", metric.name);
        }
    }

    #[test]
    fn the_documentation_is_current() {
        let kept = include_str!("../../../../docs/metrics.md");
        assert_eq!(kept, markdown(), "run: geodynamo metrics > docs/metrics.md");
    }
}
