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

/// What a metric counts in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unit {
    /// Seconds, or seconds since 1970.
    Seconds,
    /// Bytes.
    Bytes,
    /// Bytes a second.
    BytesPerSecond,
    /// A part of a whole, from 0 to 1.
    Ratio,
    /// Things: what they are, in UCUM's braces.
    Count(&'static str),
    /// A number without a unit: a flag, an epoch, what is always 1.
    One,
}

impl Unit {
    /// As OpenTelemetry has units: UCUM's case-sensitive codes.
    pub fn ucum(self) -> &'static str {
        match self {
            Self::Seconds => "s",
            Self::Bytes => "By",
            Self::BytesPerSecond => "By/s",
            Self::Ratio | Self::One => "1",
            Self::Count(things) => things,
        }
    }
}

/// A metric.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Metric {
    /// Its name, without the prefix and without a counter's `_total`.
    pub name: &'static str,
    /// How it behaves.
    pub kind: Kind,
    /// What it counts in.
    pub unit: Unit,
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
    ($($constant:ident = $kind:ident $unit:ident $(($things:literal))? $name:literal [$($label:literal),*] $help:literal $(($cloudwatch:literal))?;)*) => {
        $(
            #[doc = $help]
            pub const $constant: Metric = Metric {
                name: $name,
                kind: Kind::$kind,
                unit: Unit::$unit $(($things))?,
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
    BUILD = Info One "build" ["version", "commit"] "What this process was built from";
    REGION = Info One "region" ["region", "node"] "Which region and node this process is";
    NODE_ZONE = Info One "node_zone" ["node", "zone"] "Which zone this node is in, where the topology says so";
    REGION_PLACE = Info One "region_place" ["region", "place", "latitude", "longitude"]
        "Where this region is, in degrees; of regions that are named like AWS's";
    PEER = Info One "peer" ["region", "peer_region"] "A region that this one has links with";
    PROCESS_RESIDENT_MEMORY = Gauge Bytes "process_resident_memory_bytes" [] "Memory that is resident";
    PROCESS_RESIDENT_MEMORY_PEAK = Gauge Bytes "process_resident_memory_peak_bytes" [] "The most memory that was resident";
    PROCESS_OPEN_FDS = Gauge Count("{file}") "process_open_fds" [] "Open file descriptors";
    PROCESS_CPU = Counter Seconds "process_cpu_seconds" [] "Processor time of the process, user and system";
    PROCESS_START = Gauge Seconds "process_start_time_seconds" [] "When the process started, in seconds since 1970";
    TIME = Gauge Seconds "time_seconds" [] "The node's clock, in seconds since 1970";

    // Requests.
    REQUEST_DURATION = Histogram Seconds "request_duration_seconds" ["operation", "outcome"]
        "Time from a whole request to its whole answer" ("SuccessfulRequestLatency");
    REQUESTS_REFUSED = Counter Count("{request}") "requests_refused" ["reason"]
        "Requests that the data port refused before or instead of an operation: signatures, sizes, unknown operations"
        ("UserErrors");
    SESSION_REQUESTS = Counter Count("{request}") "session_requests" ["outcome"] "Requests with a session or a bound on staleness: answered at once, after waiting, or refused because this region was behind";
    REQUEST_PANICS = Counter Count("{panic}") "request_panics" [] "Handlers that panicked" ("SystemErrors");
    REQUEST_BUFFERED_BYTES = Gauge Bytes "request_buffered_bytes" [] "Memory that requests' bodies hold";
    AUDIT_RECORDS_WRITTEN = Counter Count("{record}") "audit_records_written" [] "Records of the audit trail that were written";
    AUDIT_RECORDS_LOST = Counter Count("{record}") "audit_records_lost" []
        "Records of the audit trail that were lost: the queue was full, or the file could not be written";
    CONNECTIONS_OPEN = Gauge Count("{connection}") "connections_open" [] "Connections of clients";
    CONNECTIONS = Counter Count("{connection}") "connections" [] "Connections that clients made";

    // Tables.
    VERSIONS_APPLIED = Counter Count("{version}") "versions_applied" [] "Versions of other regions that became this one's";
    VERSIONS_DUPLICATE = Counter Count("{version}") "versions_duplicate" [] "Versions that came again, or were outdated";
    VERSIONS_PARKED = Counter Count("{version}") "versions_parked" [] "Versions parked: their stamps were too far ahead of this node's clock";
    VERSIONS_RELEASED = Counter Count("{version}") "versions_released" [] "Parked versions that were merged since";
    VERSIONS_WAITING = Gauge Count("{version}") "versions_waiting" [] "Versions that are parked now";
    CONFLICTS = Counter Count("{conflict}") "conflicts" ["resolution"]
        "Conflicts recorded: writes that lost to a concurrent one. `refused`: one that came lost to the one held here; `displaced`: the one held here lost to one that came; `reported`: another region found it";
    ITEMS_EXPIRED = Counter Count("{item}") "items_expired" [] "Items deleted here because their time to live was over"
        ("TimeToLiveDeletedItemCount");
    REQUESTS_THROTTLED = Counter Count("{request}") "requests_throttled" []
        "Requests, or items of batches, refused or cut short for want of capacity" ("ThrottledRequests");
    TABLE_REQUEST_DURATION = Histogram Seconds "table_request_duration_seconds" ["table", "operation"]
        "Time that an operation on items took that was done; by the first 100 tables that the process knew, the rest as `other`"
        ("SuccessfulRequestLatency");
    TABLE_CONSUMED_READ_UNITS = Counter Count("{unit}") "table_consumed_read_units" ["table", "index"]
        "Read units that requests consumed; of a global index under its name" ("ConsumedReadCapacityUnits");
    TABLE_CONSUMED_WRITE_UNITS = Counter Count("{unit}") "table_consumed_write_units" ["table", "index"]
        "Write units that requests consumed; of a global index under its name" ("ConsumedWriteCapacityUnits");
    TABLE_PROVISIONED_READ_UNITS = Gauge Count("{unit}/s") "table_provisioned_read_units" ["table", "index"]
        "Read units a second that are provisioned" ("ProvisionedReadCapacityUnits");
    TABLE_PROVISIONED_WRITE_UNITS = Gauge Count("{unit}/s") "table_provisioned_write_units" ["table", "index"]
        "Write units a second that are provisioned" ("ProvisionedWriteCapacityUnits");
    TABLE_THROTTLED_READS = Counter Count("{read}") "table_throttled_reads" ["table", "index"]
        "Reads of items, or pages, refused or cut short for want of capacity" ("ReadThrottleEvents");
    TABLE_THROTTLED_WRITES = Counter Count("{write}") "table_throttled_writes" ["table", "index"]
        "Writes of items refused for want of capacity" ("WriteThrottleEvents");
    TABLE_THROTTLED_REQUESTS = Counter Count("{request}") "table_throttled_requests" ["table", "operation"]
        "Requests of which nothing was done for want of capacity" ("ThrottledRequests");
    TABLE_USER_ERRORS = Counter Count("{request}") "table_user_errors" ["table", "operation"]
        "Requests refused for other reasons than capacity and conditions; those that name no table that is there as `other`"
        ("UserErrors");
    TABLE_SYSTEM_ERRORS = Counter Count("{request}") "table_system_errors" ["table", "operation"] "Requests that failed by the server's fault"
        ("SystemErrors");
    TABLE_RETURNED_ITEMS = Counter Count("{item}") "table_returned_items" ["table", "operation"] "Items that queries and scans gave back"
        ("ReturnedItemCount");
    TABLE_FAILED_CONDITIONS = Counter Count("{write}") "table_failed_conditions" ["table"]
        "Writes whose condition did not hold, those of transactions not among them" ("ConditionalCheckFailedRequests");
    TABLE_TRANSACTION_CONFLICTS = Counter Count("{item}") "table_transaction_conflicts" ["table"]
        "Items that a request could not have because of a transaction" ("TransactionConflict");
    TABLE_EXPIRED_ITEMS = Counter Count("{item}") "table_expired_items" ["table"]
        "Items deleted here because their time to live was over" ("TimeToLiveDeletedItemCount");
    TABLE_KEYS_AWAY = Gauge Count("{table}") "table_keys_away" []
        "Tables that take no requests because the key service does not give their key";
    TABLE_KEY_WEIGHT = Gauge One "table_key_weight" ["table", "index", "rule", "key"]
        "Of the heaviest keys in the last five minutes, where contributor insights are on: units consumed, or requests throttled";
    STREAM_ITERATOR_AGE = Histogram Seconds "stream_iterator_age_seconds" ["table"]
        "How old the last record was that each GetRecords gave a reader of the table's streams; 0 if it gave none, as the reader has all"
        ("IteratorAge");
    STREAM_RETURNED_RECORDS = Counter Count("{record}") "stream_returned_records" ["table"] "Records that GetRecords gave readers of the table's streams"
        ("ReturnedRecordsCount");
    STREAM_RETURNED_BYTES = Counter Bytes "stream_returned_bytes" ["table"] "Bytes of those records, by DynamoDB's formula"
        ("ReturnedBytes");
    COPIES = Gauge Count("{copy}") "copies" [] "Tables of which this region is fetching its copy: it joins them, or fetches what others hold of a lost replica";
    COPY_PROGRESS = Gauge Ratio "copy_progress_ratio" ["table", "peer_region"]
        "Which part of the copy is here that is being fetched from a region; of the first 100 tables by name";
    COPIED_ROWS = Counter Count("{row}") "copied_rows" [] "Rows of copies of tables that were fetched";
    REPLICAS_REFUSED = Counter Count("{replica}") "replicas_refused" [] "Replicas that this region was asked for and did not take";
    COPIES_REFUSED = Counter Count("{copy}") "copies_refused" []
        "Copies of tables that other regions asked for and were not given, as no member had asked them to take a replica";
    REGISTERS_REFUSED = Counter Count("{setting}") "registers_refused" []
        "Settings of tables that came from regions that may not write them, and were not taken";
    REPLICAS_EXPELLED = Counter Count("{replica}") "replicas_expelled" []
        "Replicas of other regions that were taken out of their groups, as they were out of reach for too long";
    REPLICAS_ALONE = Counter Count("{replica}") "replicas_gone_alone" []
        "Replicas of this region that left their groups, by order, or as they were out of reach for too long";
    REGION_SILENT_SECONDS = Gauge Seconds "region_silent_seconds" ["peer_region"]
        "For how long a region has been out of reach; its replicas leave their groups after `part_after_seconds`";
    REPLICAS_FAILED = Gauge Count("{replica}") "replicas_failed" []
        "Replicas that could not be made, of all tables and in all regions, as far as is known here";
    INDEXES_BUILDING = Gauge Count("{index}") "indexes_building" [] "Global indexes whose copy here is being filled";
    INDEX_BACKFILL_ITEMS = Gauge Count("{item}") "index_backfill_items" [] "Items that the back-fills under way have looked at"
        ("OnlineIndexPercentageProgress");
    INDEX_BACKFILL_TABLE_ITEMS = Gauge Count("{item}") "index_backfill_table_items" []
        "Items of the tables of the back-fills under way";
    ARCHIVE_TABLES = Gauge Count("{table}") "archive_tables" [] "Tables with point-in-time recovery";
    ARCHIVE_BEHIND_SECONDS = Gauge Seconds "archive_behind_seconds" []
        "How far the archive is behind the table that it is furthest behind";
    ARCHIVE_SEGMENTS = Counter Count("{segment}") "archive_segments" [] "Segments of change logs archived";
    ARCHIVE_BASES = Counter Count("{base}") "archive_bases" [] "Bases and backups archived";
    ARCHIVE_WRITTEN_BYTES = Counter Bytes "archive_written_bytes" [] "Bytes put into the archive: segments compressed, bases not";
    ARCHIVE_FAILURES = Counter Count("{failure}") "archive_failures" [] "Times that the archive could not be written or read";
    ARCHIVE_WINDOWS_RESTARTED = Counter Count("{window}") "archive_windows_restarted" []
        "Windows of point-in-time recovery that began anew: the archive was behind for too long";
    ARCHIVE_SCRUBBED_BYTES = Counter Bytes "archive_scrubbed_bytes" [] "Bytes of the archive that were read to find damage";
    ARCHIVE_DAMAGED_OBJECTS = Gauge Count("{object}") "archive_damaged_objects" []
        "Objects of the archive that were found to be damaged, and are so still";
    BACKUPS = Gauge Count("{backup}") "backups" [] "Backups that are being written";
    RESTORES = Gauge Count("{restore}") "restores" [] "Tables that are being restored";
    RESTORES_ITEMS = Gauge Count("{item}") "restores_items" [] "Items that the restores under way have put";
    RESTORES_BASE_ITEMS = Gauge Count("{item}") "restores_base_items" []
        "Items of the bases of the restores under way: about how many there will be";
    RESTORED_ITEMS = Counter Count("{item}") "restored_items" [] "Items restored";
    RESTORES_FAILED = Counter Count("{restore}") "restores_failed" [] "Restores that could not be finished, and whose tables were removed";
    BACKUP_JOBS = Gauge Count("{job}") "backup_jobs" [] "Backup jobs of AWS Backup's API that have not ended";
    BACKUP_COPY_JOBS = Gauge Count("{job}") "backup_copy_jobs" [] "Copies of backups to other vaults and regions that have not ended";
    BACKUP_RESTORE_JOBS = Gauge Count("{job}") "backup_restore_jobs" [] "Restore jobs of AWS Backup's API that have not ended";
    BACKUP_JOBS_FAILED = Counter Count("{job}") "backup_jobs_failed" [] "Jobs of AWS Backup's API that failed, or did not begin in time"
        ("NumberOfBackupJobsFailed");
    BACKUP_COPIED_BYTES = Counter Bytes "backup_copied_bytes" [] "Bytes of backups sent to other vaults and regions, not compressed";
    EXPORTS = Gauge Count("{export}") "exports" [] "Exports that run or wait";
    EXPORTS_COMPLETED = Counter Count("{export}") "exports_completed" [] "Exports that are done";
    EXPORTS_FAILED = Counter Count("{export}") "exports_failed" [] "Exports that failed";
    EXPORTED_ITEMS = Counter Count("{item}") "exported_items" [] "Items that exports wrote; of incremental ones, changes";
    IMPORTS = Gauge Count("{import}") "imports" [] "Imports that run or wait";
    IMPORTS_COMPLETED = Counter Count("{import}") "imports_completed" [] "Imports that are done";
    IMPORTS_FAILED = Counter Count("{import}") "imports_failed" [] "Imports that failed, or had bad items";
    IMPORTED_ITEMS = Counter Count("{item}") "imported_items" [] "Items that imports put";
    IMPORT_ERRORS = Counter Count("{record}") "import_errors" [] "Records of imports that were no items, or none of their table";
    BULK_OPERATIONS = Gauge Count("{operation}") "bulk_operations" [] "Bulk operations that run or wait";
    BULK_OPERATIONS_COMPLETED = Counter Count("{operation}") "bulk_operations_completed" [] "Bulk operations that are done";
    BULK_OPERATIONS_FAILED = Counter Count("{operation}") "bulk_operations_failed" []
        "Bulk operations that failed, were cancelled, or had bad items";
    BULK_PUT_ITEMS = Counter Count("{item}") "bulk_put_items" [] "Items that bulk operations put";
    BULK_ERRORS = Counter Count("{record}") "bulk_errors" [] "Records of bulk operations that were no items, or none of their table";

    // Event source mappings.
    TRIGGER_ENABLED = Gauge One "trigger_enabled" ["mapping", "function", "table"] "1 while the event source mapping runs";
    TRIGGER_ITERATOR_AGE = Gauge Seconds "trigger_iterator_age_seconds" ["mapping", "function", "table"]
        "Age of the oldest record that was read and that the function has not taken; 0 if there is none"
        ("IteratorAge");
    TRIGGER_INVOCATIONS = Counter Count("{invocation}") "trigger_invocations" ["mapping", "function", "table"] "Invocations of the function"
        ("Invocations");
    TRIGGER_ERRORS = Counter Count("{invocation}") "trigger_errors" ["mapping", "function", "table"]
        "Invocations that the function failed in, or with some of the records" ("Errors");
    TRIGGER_NOT_REACHED = Counter Count("{invocation}") "trigger_not_reached" ["mapping", "function", "table"]
        "Invocations that did not reach the function: it was busy or away" ("Throttles");
    TRIGGER_DELIVERED_RECORDS = Counter Count("{record}") "trigger_delivered_records" ["mapping", "function", "table"]
        "Records that the function has taken" ("InvokedEventCount");
    TRIGGER_FILTERED_RECORDS = Counter Count("{record}") "trigger_filtered_records" ["mapping", "function", "table"]
        "Records that no filter let through" ("FilteredOutEventCount");
    TRIGGER_DISCARDED_RECORDS = Counter Count("{record}") "trigger_discarded_records" ["mapping", "function", "table"]
        "Records that were given up: too old, or tried too often" ("DroppedEventCount");

    // Kinesis streaming destinations.
    KINESIS_AGE = Gauge Seconds "kinesis_age_seconds" ["table", "stream"]
        "Age of the oldest record that was read and that the stream has not taken; 0 if there is none";
    KINESIS_DELIVERED_RECORDS = Counter Count("{record}") "kinesis_delivered_records" ["table", "stream"] "Records that the stream has taken";
    KINESIS_FAILURES = Counter Count("{call}") "kinesis_failures" ["table", "stream"]
        "Calls that the stream did not take, or not wholly";
    KINESIS_LOST_RECORDS = Counter Count("{record}") "kinesis_lost_records" ["table", "stream"]
        "Records that the stream will never take, for they are too large" ("FailedToReplicateRecordCount");

    // Sinks.
    SINK_LAG = Gauge Seconds "sink_lag_seconds" ["sink", "table"]
        "Age of the oldest change that the sink's copy does not have; 0 if it has all";
    SINK_CHANGES = Counter Count("{change}") "sink_changes" ["sink", "table"] "Changes that the sink's copy took";
    SINK_COMMITS = Counter Count("{transaction}") "sink_commits" ["sink", "table"] "Transactions that brought them";
    SINK_FAILURES = Counter Count("{failure}") "sink_failures" ["sink", "table"] "Times that the sink's copy could not be reached or changed";
    SINK_LOADS = Counter Count("{snapshot}") "sink_loads" ["sink", "table"] "Times that the sink's copy was begun with a snapshot";
    SINK_LOADED_ITEMS = Counter Count("{item}") "sink_loaded_items" ["sink", "table"] "Items of snapshots that the sink's copy took";

    // Replication.
    REPLICATION_LATENCY = Histogram Seconds "replication_latency_seconds" ["from_region"]
        "Time from a version's stamp, by its region's clock, until it is durable here" ("ReplicationLatency");
    REPLICATION_APPLY = Histogram Seconds "replication_apply_seconds" ["from_region"] "Time to apply a batch durably";
    REPLICATION_OLDEST_UNREPLICATED = Gauge Seconds "replication_oldest_unreplicated_seconds" ["peer_region"]
        "Age of the oldest write of this region that the peer has not applied; 0 if it has applied all"
        ("AgeOfOldestUnreplicatedRecord");
    LINK_UP = Gauge One "link_up" ["peer_region"] "1 while the peer is connected";
    LINK_CONNECTIONS = Counter Count("{connection}") "link_connections" ["peer_region"] "Connections made to the peer";
    LINK_SENT_BYTES = Counter Bytes "link_sent_bytes" ["peer_region"] "Bytes sent, after compression";
    LINK_SENT_DELTAS = Counter Count("{delta}") "link_sent_deltas" ["peer_region"] "Deltas sent";
    LINK_SKIPPED_CHANGES = Counter Count("{change}") "link_skipped_changes" ["peer_region"] "Changes that needed no delta";
    LINK_BACKLOG_CHANGES = Gauge Count("{change}") "link_backlog_changes" ["peer_region"]
        "Changes that the peer has not acknowledged, at most" ("PendingReplicationCount");
    LINK_CLOCK_OFFSET = Gauge Seconds "link_clock_offset_seconds" ["peer_region"]
        "How far the peer's clock is ahead of this node's, by its answers to pings; exact to half of the round trip. Negative if it is behind";
    LINK_RTT = Gauge Seconds "link_rtt_seconds" ["peer_region"] "The QUIC connection's smoothed round-trip time";
    LINK_PACKETS_LOST = Gauge Count("{packet}") "link_packets_lost" ["peer_region"]
        "Packets of the present connection that were declared lost";
    LINK_CONGESTION_EVENTS = Gauge Count("{event}") "link_congestion_events" ["peer_region"]
        "Times the congestion window of the present connection was cut";
    LINK_WINDOW_BYTES = Gauge Bytes "link_window_bytes" ["peer_region"] "The connection's congestion window";
    LINK_LAST_ACK = Gauge Seconds "link_last_ack_timestamp_seconds" ["peer_region"]
        "When the peer last acknowledged something, in seconds since 1970";
    LINK_LOGS_AHEAD = Gauge Count("{log}") "link_logs_ahead" ["peer_region"]
        "Logs of which the peer holds more than this replica: data was lost here";
    LINK_FAULT = Gauge One "link_fault" ["peer_region"] "1 while a fault is on the link on purpose: a game day";
    LINK_FAULT_PACKETS = Counter Count("{packet}") "link_fault_packets" [] "Packets that were lost on purpose, of all links";
    LINK_RECEIVED_DELTAS = Counter Count("{delta}") "link_received_deltas" ["peer_region"] "Deltas received";
    LINK_APPLIED_VERSIONS = Counter Count("{version}") "link_applied_versions" ["peer_region"] "Versions applied";
    LINK_DUPLICATE_VERSIONS = Counter Count("{version}") "link_duplicate_versions" ["peer_region"] "Versions that were held already";
    LINK_PARKED_VERSIONS = Counter Count("{version}") "link_parked_versions" ["peer_region"] "Versions parked";
    LINK_CONFLICTS = Counter Count("{conflict}") "link_conflicts" ["peer_region"] "Conflicts recorded";
    LINK_BATCHES = Counter Count("{batch}") "link_batches" ["peer_region"] "Batches applied";
    LINK_APPLY_FAILURES = Counter Count("{failure}") "link_apply_failures" ["peer_region"] "Times that a log stalled or applying failed";
    VERIFICATIONS = Counter Count("{verification}") "verifications" [] "Verifications with other regions that came to their end";
    VERIFICATIONS_FAILED = Counter Count("{verification}") "verifications_failed" [] "Verifications with other regions that broke off";
    VERIFIED_ROWS = Counter Count("{row}") "verified_rows" [] "Rows that verifications went through";
    HEALED_ROWS = Counter Count("{row}") "healed_rows" ["reason"] "Rows that differed and were brought from another region: missing, outdated, damaged, or a conflict's record";
    UNHEALED_ROWS = Gauge Count("{row}") "unhealed_rows" [] "Damaged rows that no other region has whole, and rows of one stamp that differ";
    TOMBSTONES = Gauge Count("{tombstone}") "tombstones" [] "Tombstones of deleted items, as of each table's last scan";
    TOMBSTONE_BYTES = Gauge Bytes "tombstone_bytes" [] "What tombstones take, before compression";
    TOMBSTONES_COLLECTED = Counter Count("{tombstone}") "tombstones_collected" [] "Tombstones taken away, as every region has agreed to forget them";
    TOMBSTONES_AGE = Gauge Seconds "tombstones_kept_seconds" [] "Of the table that is farthest behind: how old tombstones are before they are collected";
    CONFLICT_RECORDS = Gauge Count("{record}") "conflict_records" [] "Records of conflicts, as of each table's last scan";
    CONFLICT_RECORD_BYTES = Gauge Bytes "conflict_record_bytes" [] "What records of conflicts take, before compression";
    CONFLICTS_DROPPED = Counter Count("{record}") "conflict_records_dropped" [] "Records of conflicts taken away for their age or their number";
    VERIFICATION_AGE = Gauge Seconds "verification_age_seconds" ["peer_region"] "Since when the partition that waits longest was not shown to be equal in both regions; of each pair, the region whose name comes first tells";

    // Storage.
    STORAGE_COMMITS = Counter Count("{commit}") "storage_commits" [] "Commits carried out";
    STORAGE_COMMITS_REFUSED = Counter Count("{commit}") "storage_commits_refused" [] "Commits refused by a precondition";
    STORAGE_COMMITS_FAILED = Counter Count("{commit}") "storage_commits_failed" [] "Commits that failed";
    STORAGE_READS_FAILED = Counter Count("{read}") "storage_reads_failed" [] "Reads of the store that failed";
    STORAGE_RECOVERIES = Counter Count("{recovery}") "storage_recoveries" []
        "How often writes were taken again after they had been refused";
    STORAGE_WRITTEN_BYTES = Counter Bytes "storage_written_bytes" [] "Bytes of written batches";
    STORAGE_ROW_CACHE_HITS = Counter Count("{read}") "storage_row_cache_hits" [] "Reads of single rows that the row cache answered";
    STORAGE_ROW_CACHE_MISSES = Counter Count("{read}") "storage_row_cache_misses" []
        "Reads of single rows that the row cache did not answer";
    STORAGE_BATCH_COMMITS = Histogram Count("{commit}") "storage_batch_commits" [] "Commits in a batch, which has one sync";
    STORAGE_WRITE = Histogram Seconds "storage_write_seconds" [] "Time that a batch's write took: WAL, fsync, memtables";
    STORAGE_SYNC = Histogram Seconds "storage_sync_seconds" [] "Time that the sync (fsync) of a batch's WAL took";
    STORAGE_STALLED = Counter Seconds "storage_write_stall_seconds" []
        "Time that writes waited for flushes and compaction: slowed, stopped, or while memtables were changed";
    STORAGE_BLOCK_CACHE_HITS = Counter Count("{block}") "storage_block_cache_hits" [] "Blocks (of data, indexes, filters) that were in the block cache";
    STORAGE_BLOCK_CACHE_MISSES = Counter Count("{block}") "storage_block_cache_misses" [] "Blocks that were read from files instead";
    STORAGE_QUEUE_JOBS = Gauge Count("{job}") "storage_queue_jobs" [] "Jobs that wait for the committer";
    STORAGE_QUEUE_BYTES = Gauge Bytes "storage_queue_bytes" [] "Bytes of the jobs that wait";
    STORAGE_CACHE_BYTES = Gauge Bytes "storage_cache_bytes" [] "Bytes in the block cache, memtables included";
    STORAGE_ROW_CACHE_BYTES = Gauge Bytes "storage_row_cache_bytes" [] "Bytes of rows in the row cache";
    STORAGE_MEMTABLE_BYTES = Gauge Bytes "storage_memtable_bytes" [] "Bytes in memtables";
    STORAGE_TABLE_BYTES = Gauge Bytes "storage_table_bytes" [] "Bytes of table files on disk";
    STORAGE_CLASS_BYTES = Gauge Bytes "storage_class_bytes" ["class"]
        "Bytes of files that hold items and index entries of tables of a class: STANDARD, STANDARD_INFREQUENT_ACCESS";
    STORAGE_CLASS_MOVES = Gauge One "storage_class_moves" []
        "Tables and indexes, each by itself, whose rows are being moved to their table's class";
    STORAGE_CLASS_MOVED_BYTES = Counter Bytes "storage_class_moved_bytes" [] "Bytes that were moved to another table class";
    ENCRYPTION_KEY_AWAY_SECONDS = Gauge Seconds "encryption_key_away_seconds" []
        "For how long the service that has the region's key has not given it; 0 while it does, or no service has it";
    ENCRYPTION_DATA_KEY_AGE_SECONDS = Gauge Seconds "encryption_data_key_age_seconds" []
        "How old the data key is that new files get theirs from";
    ENCRYPTION_FILES = Gauge Count("{file}") "encryption_files" ["data_key"]
        "Files of the store by the data key that they are under: current, older";
    ENCRYPTION_FILE_BYTES = Gauge Bytes "encryption_file_bytes" ["data_key"] "Bytes of those files";
    ENCRYPTION_REWRITTEN_BYTES = Counter Bytes "encryption_rewritten_bytes" []
        "Bytes written anew because they were under an older data key";
    STORAGE_SCRUBBED_BYTES = Counter Bytes "storage_scrubbed_bytes" []
        "Bytes of rows that were read in the background, and are whole";
    STORAGE_SCRUBS = Counter Count("{pass}") "storage_scrubs" [] "How often all files were read so";
    STORAGE_DAMAGED_FILES = Gauge Count("{file}") "storage_damaged_files" [] "Damaged files that are in use still";
    STORAGE_QUARANTINED_FILES = Counter Count("{file}") "storage_quarantined_files" []
        "Damaged files that were taken out of use; their other rows are kept";
    STORAGE_UNMENDED_RANGES = Gauge Count("{range}") "storage_unmended_ranges" []
        "Ranges of rows or log records that were in such files and are not mended: requests for them are refused";
    STORAGE_UNMENDABLE_TABLES = Gauge Count("{table}") "storage_unmendable_tables" []
        "Tables with such rows that neither another region nor the archive can give back";
    STORAGE_FLUSHED_BYTES = Counter Bytes "storage_flushed_bytes" [] "Bytes of files that memtables were written to";
    STORAGE_COMPACTION_READ_BYTES = Counter Bytes "storage_compaction_read_bytes" [] "Bytes of files that compactions read";
    STORAGE_COMPACTION_WRITTEN_BYTES = Counter Bytes "storage_compaction_written_bytes" [] "Bytes of files that compactions wrote";
    STORAGE_COMPACTION_PENDING_BYTES = Gauge Bytes "storage_compaction_pending_bytes" []
        "Bytes that compaction has to rewrite";
    STORAGE_WRITE_LIMIT = Gauge BytesPerSecond "storage_write_limit_bytes_per_second" []
        "What writes are slowed to; 0 if they are not";
    STORAGE_WRITES_STOPPED = Gauge One "storage_writes_stopped" [] "1 while writes are stopped by compaction's debt";
    STORAGE_UNWRITABLE = Gauge One "storage_unwritable" ["reason"]
        "1 for the reason why writes are refused, if they are: no_room, read_only, writes_fail, broken";
    STORAGE_RESERVE_BYTES = Gauge Bytes "storage_reserve_bytes" [] "Room kept in reserve for a full disk";
    STORAGE_DISK_FREE_BYTES = Gauge Bytes "storage_disk_free_bytes" []
        "Bytes free for this process in the file system of the data directory";
    STORAGE_DISK_BYTES = Gauge Bytes "storage_disk_size_bytes" [] "Size of the file system of the data directory";

    // A region on Cassandra.
    CASSANDRA_OWNER = Gauge One "cassandra_owner" [] "1 while this node writes the region's log, 0 while it stands by; only on Cassandra";
    CASSANDRA_EPOCH = Gauge One "cassandra_epoch" [] "The epoch of the node that writes: greater with every one";
    CASSANDRA_PASSED_ON = Gauge Count("{request}") "cassandra_passed_on_requests" []
        "Requests that a node that stands by passes on now, those that wait for an owner among them";
    CASSANDRA_ANSWERED = Counter Count("{request}") "cassandra_standby_requests" ["by"]
        "Requests to a node that stands by, by who answered: `node` is itself, `owner` the node that writes";
    CASSANDRA_READ_AGE = Gauge Seconds "cassandra_read_age_seconds" []
        "How old what a node reads that stands by may be at most; absent while it answers no reads";
    CASSANDRA_POSITION = Gauge Count("{entry}") "cassandra_log_position" [] "The last entry of the log";
    CASSANDRA_BEHIND = Gauge Count("{entry}") "cassandra_rows_behind" [] "Entries of the log that rows have not followed yet";
    CASSANDRA_OVERLAY_BYTES = Gauge Bytes "cassandra_overlay_bytes" [] "Bytes of the entries that rows have not followed yet";
    CASSANDRA_ENTRIES = Counter Count("{entry}") "cassandra_entries" [] "Entries of the log written: each a lightweight transaction of many commits";
    CASSANDRA_UNKNOWN = Counter Count("{entry}") "cassandra_unknown_outcomes" []
        "Times that Cassandra did not answer whether an entry of the log was written, which was then found out";
    CASSANDRA_ROWS = Counter Count("{row}") "cassandra_rows_written" [] "Rows written after the log";
    CASSANDRA_READS = Counter Count("{row}") "cassandra_reads" [] "Single rows read from Cassandra";
}

/// The catalogue as a Markdown document, as `docs/metrics.md` holds it.
pub fn markdown() -> String {
    let mut text = String::from(
        "# Metrics\n\nMade by `geodynamo metrics > docs/metrics.md` from the catalogue in the code; do not edit.\n\n\
         Each region's process serves them at `GET /metrics` of its admin port: as OpenMetrics text, with \
         exemplars, or, where `Accept` prefers it, as Prometheus' protobuf, with native histograms. Units are UCUM's, as \
         OpenTelemetry has them: `s` seconds, `By` bytes, `{things}` counts of things, `1` none.\n\n\
         | metric | kind | unit | labels | meaning | CloudWatch |\n| --- | --- | --- | --- | --- | --- |\n",
    );
    for metric in ALL {
        // Writing to a String cannot fail.
        let _ = writeln!(
            text,
            "| `{}` | {} | {} | {} | {} | {} |",
            metric.full_name(),
            format!("{:?}", metric.kind).to_lowercase(),
            metric.unit.ucum(),
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

    /// What a name of a metric with this unit ends with, by Prometheus' conventions; none where things are counted.
    fn suffix(unit: Unit) -> Option<&'static str> {
        match unit {
            Unit::Seconds => Some("_seconds"),
            Unit::Bytes => Some("_bytes"),
            Unit::BytesPerSecond => Some("_bytes_per_second"),
            Unit::Ratio => Some("_ratio"),
            Unit::Count(_) | Unit::One => None,
        }
    }

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
            let by_name = ["_bytes_per_second", "_bytes", "_seconds", "_ratio"]
                .into_iter()
                .find(|suffix| metric.name.ends_with(suffix));
            assert_eq!(
                suffix(metric.unit),
                by_name,
                "{}: its name tells another unit",
                metric.name
            );
            if let Unit::Count(things) = metric.unit {
                assert!(things.starts_with('{'), "{}: {things}", metric.name);
            }
        }
    }

    #[test]
    fn the_documentation_is_current() {
        let kept = include_str!("../../../docs/metrics.md");
        assert_eq!(kept, markdown(), "run: geodynamo metrics > docs/metrics.md");
    }
}
