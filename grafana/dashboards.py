"""The dashboards as code: `python3 grafana/dashboards.py` writes `grafana/dashboards/*.json`, which Grafana provisions.

Classic JSON (schemaVersion 41): every Grafana from 9 on imports it. Queries use the metrics of docs/metrics.md. Prometheus gives each
region's process the label `region` (see prometheus/prometheus.yml). A test keeps the files current, evaluates every query against a
running Prometheus and holds the metrics' names against the catalogue.
"""

import json
import sys
from pathlib import Path

import agreement
import reactions
import recovery
import tables
import upkeep
from panels import dashboard, grid, heatmap, matrix, panel, quantile, row, series, stat, states

FOLDER = Path(__file__).resolve().parent / "dashboards"
REGION = 'region=~"$region"'
LINK = 'region=~"$region",peer_region=~"$peer"'
LATENCIES = ((0.5, "p50"), (0.99, "p99"), (0.999, "p99.9"))
# AWS's promise, and this project's objective: single-digit milliseconds.
OBJECTIVE_S = 0.01


def main():
    made = {name: json.dumps(dashboard, indent=2, sort_keys=True) + "\n" for name, dashboard in dashboards()}
    if "--check" in sys.argv:
        stale = [name for name, text in made.items() if (FOLDER / name).read_text() != text]
        sys.exit(f"not current, run grafana/dashboards.py: {stale}" if stale else 0)
    for name, text in made.items():
        (FOLDER / name).write_text(text)


def dashboards():
    yield "overview.json", dashboard("Overview", "overview", overview())
    yield "region.json", dashboard("Region", "region", region(), operation=True, table=True)
    yield "replication.json", dashboard("Replication", "replication", replication(), peer=True)
    yield "storage.json", dashboard("Storage", "storage", storage())
    yield "streams-and-ttl.json", dashboard("Streams, time to live, indexes", "streams-and-ttl", background(), table=True)
    yield "recovery.json", dashboard("Recovery", "recovery", recovery.rows(row, series, REGION))
    yield "capacity-and-errors.json", dashboard("Capacity and errors", "capacity-and-errors", capacity(), table=True)


def overview():
    requests = f"sum(rate(geodynamo_request_duration_seconds_count{{{REGION}}}[$__rate_interval]))"
    failed = (
        f'sum(rate(geodynamo_request_duration_seconds_count{{{REGION},outcome="server_error"}}[$__rate_interval])) or vector(0)'
    )
    return [
        row("Now"),
        stat("Regions up", "Regions that Prometheus reaches.", 'count(up{job="geodynamo"} == 1)', "none", 4),
        stat("Requests", "All regions together.", requests, "reqps", 5),
        stat(
            "Server errors",
            "Share of requests that failed by the server's fault.",
            f"({failed}) / clamp_min({requests}, 0.001)",
            "percentunit",
            5,
            thresholds=[("green", None), ("red", 0.001)],
        ),
        stat(
            "p99 of all requests",
            "The objective is single-digit milliseconds.",
            quantile(0.99, "geodynamo_request_duration_seconds", REGION),
            "s",
            5,
            thresholds=[("green", None), ("red", OBJECTIVE_S)],
        ),
        stat(
            "Oldest write not replicated",
            "Over all links.",
            f"max(geodynamo_replication_oldest_unreplicated_seconds{{{REGION}}})",
            "s",
            5,
            thresholds=[("green", None), ("orange", 5), ("red", 60)],
        ),
        row("Requests"),
        series(
            "Requests by region",
            "Whole requests answered, all outcomes.",
            [(f"sum by (region) (rate(geodynamo_request_duration_seconds_count{{{REGION}}}[$__rate_interval]))", "{{region}}")],
            "reqps",
            12,
        ),
        series(
            "Latency against the objective",
            "From a whole request to its whole answer, all operations and regions.",
            [
                (quantile(q, "geodynamo_request_duration_seconds", REGION), name) for q, name in LATENCIES
            ]
            + [(f"vector({OBJECTIVE_S})", "objective")],
            "s",
            12,
        ),
        tables.world(panel, REGION),
        row("Between the regions"),
        matrix(
            "Replication latency, p99: written in (row), durable in (column)",
            "Time from a version's stamp until it is durable in the other region.",
            "histogram_quantile(0.99, sum by (le, from_region, region) "
            f"(rate(geodynamo_replication_latency_seconds_bucket{{{REGION}}}[$__rate_interval])))",
            12,
        ),
        states(
            "Links",
            "Whether each directed link's peer is connected.",
            f"geodynamo_link_up{{{REGION}}}",
            "{{region}} to {{peer_region}}",
            12,
        ),
        series(
            "Conflicts",
            "Writes that lost to a concurrent one, as each region recorded them.",
            [(f"sum by (region) (rate(geodynamo_conflicts_total{{{REGION}}}[$__rate_interval]))", "{{region}}")],
            "ops",
            12,
        ),
        grid(
            "Processes",
            "What runs where.",
            f"geodynamo_build_info{{{REGION}}} * on (instance) group_left (node) geodynamo_region_info",
            12,
        ),
    ]


def region():
    chosen = f'{REGION},operation=~"$operation"'
    return [
        row("Operations"),
        series(
            "Requests by operation",
            "Whole requests answered.",
            [(f"sum by (operation) (rate(geodynamo_request_duration_seconds_count{{{chosen}}}[$__rate_interval]))", "{{operation}}")],
            "reqps",
            12,
        ),
        series(
            "Outcomes",
            "Success, errors of the clients' making, errors of the server's making.",
            [(f"sum by (outcome) (rate(geodynamo_request_duration_seconds_count{{{chosen}}}[$__rate_interval]))", "{{outcome}}")],
            "reqps",
            12,
        ),
        *(
            series(
                f"{name} by operation",
                "Time from a whole request to its whole answer (CloudWatch: SuccessfulRequestLatency).",
                [
                    (
                        f"histogram_quantile({q}, sum by (le, operation) "
                        f'(rate(geodynamo_request_duration_seconds_bucket{{{chosen},outcome="success"}}[$__rate_interval])))',
                        "{{operation}}",
                    )
                ],
                "s",
                8,
            )
            for q, name in LATENCIES
        ),
        heatmap(
            "Latency of all that is chosen",
            "How many requests took how long.",
            f"sum by (le) (increase(geodynamo_request_duration_seconds_bucket{{{chosen}}}[$__rate_interval]))",
            24,
        ),
        *tables.requests(row, series, REGION),
        row("Clients"),
        series(
            "Connections",
            "Open connections of clients, and new ones a second.",
            [
                (f"geodynamo_connections_open{{{REGION}}}", "open, {{region}}"),
                (f"rate(geodynamo_connections_total{{{REGION}}}[$__rate_interval])", "new a second, {{region}}"),
            ],
            "none",
            12,
        ),
        series(
            "Memory of requests' bodies",
            "Bounded by [memory] request_mb.",
            [(f"geodynamo_request_buffered_bytes{{{REGION}}}", "{{region}}")],
            "bytes",
            12,
        ),
    ]


def replication():
    name = "{{region}} to {{peer_region}}"

    def link(title, description, metric, unit, rate=False):
        query = f"{metric}{{{LINK}}}"
        return series(title, description, [(f"rate({query}[$__rate_interval])" if rate else query, name)], unit, 8)

    def received(title, description, metric):
        query = f"rate({metric}{{{LINK}}}[$__rate_interval])"
        return series(title, description, [(query, "{{region}} from {{peer_region}}")], "ops", 8)

    return [
        row("How far behind"),
        series(
            "Replication latency, p99",
            "From a version's stamp until it is durable here (CloudWatch: ReplicationLatency).",
            [
                (
                    "histogram_quantile(0.99, sum by (le, region, from_region) "
                    f"(rate(geodynamo_replication_latency_seconds_bucket{{{REGION}}}[$__rate_interval])))",
                    "{{from_region}} to {{region}}",
                )
            ],
            "s",
            8,
        ),
        link("Oldest write not replicated", "0 if the peer has applied all.", "geodynamo_replication_oldest_unreplicated_seconds", "s"),
        link("Backlog", "Changes not acknowledged (CloudWatch: PendingReplicationCount).", "geodynamo_link_backlog_changes", "none"),
        heatmap(
            "Replication latency",
            "All links into the chosen regions.",
            f"sum by (le) (increase(geodynamo_replication_latency_seconds_bucket{{{REGION}}}[$__rate_interval]))",
            24,
        ),
        row("The connections"),
        states("Links", "Whether each peer is connected.", f"geodynamo_link_up{{{LINK}}}", name, 8),
        link("Round trip", "QUIC's smoothed round-trip time.", "geodynamo_link_rtt_seconds", "s"),
        link("Congestion window", "Bytes that may be under way.", "geodynamo_link_window_bytes", "bytes"),
        link("Packets lost", "Of the present connection.", "geodynamo_link_packets_lost", "none"),
        link("Congestion events", "Of the present connection.", "geodynamo_link_congestion_events", "none"),
        link("Connections made", "More than one tells of cuts.", "geodynamo_link_connections_total", "none"),
        series(
            "Since the last acknowledgement",
            "Grows while nothing is written, too.",
            [(f"geodynamo_time_seconds{{{REGION}}} - on (region) group_right geodynamo_link_last_ack_timestamp_seconds{{{LINK}}}", name)],
            "s",
            8,
        ),
        link("Faults on purpose", "1 during a game day: `geodynamo link`.", "geodynamo_link_fault", "none"),
        link("Logs ahead", "The peer holds more than this replica: data was lost here.", "geodynamo_link_logs_ahead", "none"),
        series(
            "Clock offset between regions",
            "How far the peer's clock is ahead, by its answers to pings: exact to half of the round trip.",
            [(f"geodynamo_link_clock_offset_seconds{{{LINK}}}", "{{peer_region}} ahead of {{region}}")],
            "s",
            8,
        ),
        series(
            "Clock offset to Prometheus",
            "The node's clock less Prometheus' as it scraped: the scrape's own delay is in it.",
            [(f"geodynamo_time_seconds{{{REGION}}} - timestamp(geodynamo_time_seconds{{{REGION}}})", "{{region}}")],
            "s",
            8,
        ),
        row("Sent"),
        link("Bytes sent", "After compression.", "geodynamo_link_sent_bytes_total", "Bps", rate=True),
        link("Deltas sent", "Versions that crossed the link.", "geodynamo_link_sent_deltas_total", "ops", rate=True),
        link("Changes that needed no delta", "A newer version of the key went already.", "geodynamo_link_skipped_changes_total", "ops", rate=True),
        row("Received"),
        received("Deltas received", "As they came.", "geodynamo_link_received_deltas_total"),
        received("Versions applied", "They became this region's.", "geodynamo_link_applied_versions_total"),
        received("Duplicates", "Held already.", "geodynamo_link_duplicate_versions_total"),
        received("Conflicts", "Recorded with their losers.", "geodynamo_link_conflicts_total"),
        received("Parked", "Stamps too far ahead of this node's clock.", "geodynamo_link_parked_versions_total"),
        received("Failures to apply", "A log stalled or applying failed.", "geodynamo_link_apply_failures_total"),
        received("Batches", "Commits that applied deltas.", "geodynamo_link_batches_total"),
        series(
            "Time to apply a batch, p99",
            "Until it is durable.",
            [
                (
                    "histogram_quantile(0.99, sum by (le, region, from_region) "
                    f"(rate(geodynamo_replication_apply_seconds_bucket{{{REGION}}}[$__rate_interval])))",
                    "{{region}} from {{from_region}}",
                )
            ],
            "s",
            8,
        ),
        grid("Peers", "Regions of the topology.", f"geodynamo_peer_info{{{REGION}}}", 8),
        row("Regions that join"),
        series("Copies under way", "Tables of which the region fetches its copy.", [(f"geodynamo_copies{{{REGION}}}", "{{region}}")], "none", 8),
        series(
            "Progress of copies",
            "Which part is here.",
            [(f"geodynamo_copy_progress_ratio{{{LINK}}}", "{{table}} to {{region}} from {{peer_region}}")],
            "percentunit",
            8,
        ),
        series("Rows copied", "Taken in.", [(f"rate(geodynamo_copied_rows_total{{{REGION}}}[$__rate_interval])", "{{region}}")], "ops", 8),
        *agreement.rows(row, series, REGION),
    ]


def storage():
    def of(title, description, queries, unit, width=8):
        return series(title, description, [(q, legend) for q, legend in queries], unit, width)

    def rate(metric):
        return f"rate({metric}{{{REGION}}}[$__rate_interval])"

    hits, misses = rate("geodynamo_storage_row_cache_hits_total"), rate("geodynamo_storage_row_cache_misses_total")
    block_hits, block_misses = rate("geodynamo_storage_block_cache_hits_total"), rate("geodynamo_storage_block_cache_misses_total")
    return [
        row("Commits"),
        of("Commits", "Carried out; refused by a precondition; failed.", [
            (rate("geodynamo_storage_commits_total"), "{{region}}"),
            (rate("geodynamo_storage_commits_refused_total"), "refused, {{region}}"),
            (rate("geodynamo_storage_commits_failed_total"), "failed, {{region}}"),
        ], "ops"),
        of("A batch's write, p50 and p99", "WAL, fsync and memtables: what every durable write waits for.", [
            (quantile(q, "geodynamo_storage_write_seconds", REGION, "region"), f"{name}, {{{{region}}}}")
            for q, name in LATENCIES[:2]
        ], "s"),
        of("A batch's sync, p50 and p99", "The fsync alone: the disk's part of it.", [
            (quantile(q, "geodynamo_storage_sync_seconds", REGION, "region"), f"{name}, {{{{region}}}}")
            for q, name in LATENCIES[:2]
        ], "s"),
        of("Commits in a batch", "How many writers share a sync, on average.", [
            (f"{rate('geodynamo_storage_batch_commits_sum')} / {rate('geodynamo_storage_batch_commits_count')}", "{{region}}"),
        ], "none"),
        of("Written", "Bytes of batches.", [(rate("geodynamo_storage_written_bytes_total"), "{{region}}")], "Bps"),
        of("Queue", "Jobs that wait for the committer.", [(f"geodynamo_storage_queue_jobs{{{REGION}}}", "{{region}}")], "none"),
        of("Queue, bytes", "Bytes of those jobs.", [(f"geodynamo_storage_queue_bytes{{{REGION}}}", "{{region}}")], "bytes"),
        row("Compaction"),
        of("Flushes and compaction", "Bytes of files; what is written beside what commits brought is the store's write amplification.", [
            (rate("geodynamo_storage_flushed_bytes_total"), "flushed, {{region}}"),
            (rate("geodynamo_storage_compaction_read_bytes_total"), "read by compaction, {{region}}"),
            (rate("geodynamo_storage_compaction_written_bytes_total"), "written by compaction, {{region}}"),
        ], "Bps"),
        of("Compaction's debt", "Bytes that it has to rewrite.", [(f"geodynamo_storage_compaction_pending_bytes{{{REGION}}}", "{{region}}")], "bytes"),
        of("Writes slowed to", "0 if they are not.", [(f"geodynamo_storage_write_limit_bytes_per_second{{{REGION}}}", "{{region}}")], "Bps"),
        of("Time that writes stall", "Share of the time that the committer waits for flushes and compaction.", [
            (rate("geodynamo_storage_write_stall_seconds_total"), "{{region}}"),
        ], "percentunit"),
        states("Writes stopped", "By compaction's debt.", f"1 - geodynamo_storage_writes_stopped{{{REGION}}}", "{{region}}", 8),
        row("A full or failing disk"),
        states("Writes taken", "By each reason why they might not be.", f"1 - geodynamo_storage_unwritable{{{REGION}}}", "{{region}}, {{reason}}", 8),
        of("Recoveries and failed reads", "Since the process started.", [
            (f"geodynamo_storage_recoveries_total{{{REGION}}}", "recoveries, {{region}}"),
            (f"geodynamo_storage_reads_failed_total{{{REGION}}}", "failed reads, {{region}}"),
        ], "none"),
        *upkeep.upkeep(of, row, rate, REGION),
        *upkeep.cassandra(of, row, rate, REGION),
        row("Memory and disk"),
        of("Row cache, share of hits", "Reads of single rows.", [(f"{hits} / clamp_min({hits} + {misses}, 1)", "{{region}}")], "percentunit"),
        of("Block cache, share of hits", "Blocks of data, indexes and filters.", [
            (f"{block_hits} / clamp_min({block_hits} + {block_misses}, 1)", "{{region}}"),
        ], "percentunit"),
        of("Caches", "Block cache with memtables, row cache, memtables.", [
            (f"geodynamo_storage_cache_bytes{{{REGION}}}", "blocks, {{region}}"),
            (f"geodynamo_storage_row_cache_bytes{{{REGION}}}", "rows, {{region}}"),
            (f"geodynamo_storage_memtable_bytes{{{REGION}}}", "memtables, {{region}}"),
        ], "bytes"),
        of("Disk free", "In the file system of the data directory.", [
            (f"geodynamo_storage_disk_free_bytes{{{REGION}}}", "free, {{region}}"),
            (f"geodynamo_storage_disk_size_bytes{{{REGION}}}", "size, {{region}}"),
        ], "bytes"),
        of("Process memory", "Resident, and the most that was.", [
            (f"geodynamo_process_resident_memory_bytes{{{REGION}}}", "now, {{region}}"),
            (f"geodynamo_process_resident_memory_peak_bytes{{{REGION}}}", "peak, {{region}}"),
        ], "bytes"),
        of("Processor", "Cores in use.", [(rate("geodynamo_process_cpu_seconds_total"), "{{region}}")], "none"),
        of("Open files", "File descriptors.", [(f"geodynamo_process_open_fds{{{REGION}}}", "{{region}}")], "none"),
        of("Uptime", "Since the process started.", [
            (f"geodynamo_time_seconds{{{REGION}}} - geodynamo_process_start_time_seconds{{{REGION}}}", "{{region}}"),
        ], "s"),
    ]


def background():
    def rate(metric):
        return [(f"rate({metric}{{{REGION}}}[$__rate_interval])", "{{region}}")]

    def now(metric):
        return [(f"{metric}{{{REGION}}}", "{{region}}")]

    age = "histogram_quantile({}, sum by (le, region, table) (rate(geodynamo_stream_iterator_age_seconds_bucket{{{}}}[$__rate_interval])))"
    of_table = f"{REGION},{tables.TABLE}"
    return [
        row("DynamoDB Streams"),
        series(
            "Iterator age of readers",
            "Age of the last record that GetRecords gave; 0 where a reader has all.",
            [(age.format(q, of_table), f"{name}, {{{{table}}}}, {{{{region}}}}") for q, name in LATENCIES[:2]],
            "s",
            8,
        ),
        series(
            "Records returned",
            "By GetRecords (CloudWatch: ReturnedRecordsCount).",
            [(f"rate(geodynamo_stream_returned_records_total{{{of_table}}}[$__rate_interval])", "{{table}}, {{region}}")],
            "ops",
            8,
        ),
        series(
            "Bytes returned",
            "By GetRecords (CloudWatch: ReturnedBytes).",
            [(f"rate(geodynamo_stream_returned_bytes_total{{{of_table}}}[$__rate_interval])", "{{table}}, {{region}}")],
            "Bps",
            8,
        ),
        row("Time to live"),
        series("Items expired", "Deleted here (CloudWatch: TimeToLiveDeletedItemCount).", rate("geodynamo_items_expired_total"), "ops", 24),
        row("Indexes"),
        series("Indexes being filled", "Global indexes.", now("geodynamo_indexes_building"), "none", 8),
        series("Items looked at", "By the back-fills under way.", now("geodynamo_index_backfill_items"), "none", 8),
        series("Items of their tables", "The back-fills end here.", now("geodynamo_index_backfill_table_items"), "none", 8),
        row("Versions of other regions"),
        series("Applied", "They became this region's.", rate("geodynamo_versions_applied_total"), "ops", 8),
        series("Duplicates", "Came again, or were outdated.", rate("geodynamo_versions_duplicate_total"), "ops", 8),
        series(
            "Conflicts",
            "A concurrent write lost: refused (it came too late), displaced (it was held here), reported (found elsewhere).",
            [(f"sum by (region, resolution) (rate(geodynamo_conflicts_total{{{REGION}}}[$__rate_interval]))", "{{resolution}}, {{region}}")],
            "ops",
            8,
        ),
        series("Parked", "Stamps too far ahead.", rate("geodynamo_versions_parked_total"), "ops", 8),
        series("Released", "Merged since.", rate("geodynamo_versions_released_total"), "ops", 8),
        series("Replicas refused", "This region was asked for and did not take them: a table of the name was there.", now("geodynamo_replicas_refused_total"), "none", 8),
        series("Replicas failed", "In whatever region, as far as is known here.", now("geodynamo_replicas_failed"), "none", 8),
        series("Waiting", "Parked now.", now("geodynamo_versions_waiting"), "none", 8),
        series("Regions out of reach", "For how long. Their replicas are parted with after 20 hours.", now("geodynamo_region_silent_seconds"), "s", 8),
        series("Replicas taken out", "Of other regions that were out of reach for too long.", now("geodynamo_replicas_expelled_total"), "none", 8),
        series("Replicas gone alone", "This region's, by order or as it was out of reach.", now("geodynamo_replicas_gone_alone_total"), "none", 8),
        series("Copies refused", "To regions that no member had asked to take a replica.", now("geodynamo_copies_refused_total"), "none", 12),
        series("Settings refused", "They came from regions that may not write them.", now("geodynamo_registers_refused_total"), "none", 12),
        *reactions.rows(row, series, REGION),
    ]


def capacity():
    return [
        row("Capacity"),
        series(
            "Throttled",
            "Requests or items of batches (CloudWatch: ThrottledRequests).",
            [(f"rate(geodynamo_requests_throttled_total{{{REGION}}}[$__rate_interval])", "{{region}}")],
            "ops",
            24,
        ),
        *tables.capacity(row, series, REGION),
        row("Errors"),
        series(
            "Errors by operation",
            "Of the clients' making, and of the server's.",
            [
                (
                    "sum by (operation, outcome) "
                    f'(rate(geodynamo_request_duration_seconds_count{{{REGION},outcome!="success"}}[$__rate_interval]))',
                    "{{operation}}, {{outcome}}",
                )
            ],
            "ops",
            12,
        ),
        series(
            "Refused before an operation",
            "Signatures, sizes, unknown operations; by reason.",
            [(f"sum by (reason) (rate(geodynamo_requests_refused_total{{{REGION}}}[$__rate_interval]))", "{{reason}}")],
            "ops",
            12,
        ),
        series(
            "Panics",
            "Handlers that panicked: a fault of ours, please report it.",
            [(f"geodynamo_request_panics_total{{{REGION}}}", "{{region}}")], "none", 12
        ),
        series(
            "Failed commits",
            "Of the store.",
            [(f"rate(geodynamo_storage_commits_failed_total{{{REGION}}}[$__rate_interval])", "{{region}}")],
            "ops",
            12,
        ),
        series(
            "Audit records",
            "Of regions that keep an audit trail.",
            [(f"rate(geodynamo_audit_records_written_total{{{REGION}}}[$__rate_interval])", "{{region}}")],
            "ops",
            12,
        ),
        series(
            "Audit records lost",
            "The queue was full, or the file could not be written.",
            [(f"geodynamo_audit_records_lost_total{{{REGION}}}", "{{region}}")],
            "none",
            12,
        ),
    ]


if __name__ == "__main__":
    main()
