"""Panels of the storage dashboard: what is kept how and where, what is damaged, and what is under which key."""


def upkeep(of, row, rate, region):
    """The panels, made by the dashboards' own functions; `region` is the selector of regions."""

    def gauge(title, description, metric, unit, legend="{{region}}"):
        return of(title, description, [(f"geodynamo_{metric}{{{region}}}", legend)], unit)

    def moved(title, description, metric):
        return of(title, description, [(rate(f"geodynamo_{metric}"), "{{region}}")], "Bps")

    return [
        gauge("Reserve", "Room kept for a full disk; 0 while it is given up.", "storage_reserve_bytes", "bytes"),
        row("Files"),
        gauge("Table files", "On disk, the WAL not counted.", "storage_table_bytes", "bytes"),
        gauge("Table classes", "Bytes of files by class.", "storage_class_bytes", "bytes", "{{class}}, {{region}}"),
        gauge("Moves between classes", "Tables and indexes that are being moved.", "storage_class_moves", "none"),
        moved("Moved between classes", "Bytes of rows.", "storage_class_moved_bytes_total"),
        gauge("Damaged files", "In use still.", "storage_damaged_files", "none"),
        gauge("Files taken out of use", "As they were damaged.", "storage_quarantined_files_total", "none"),
        gauge("Ranges not mended", "What was in them, and is refused until it is mended.", "storage_unmended_ranges", "none"),
        gauge("Tables not to be mended", "Nobody can give back what they lost.", "storage_unmendable_tables", "none"),
        moved("Read in the background", "To find damage.", "storage_scrubbed_bytes_total"),
        gauge("All files read", "How often, since the process started.", "storage_scrubs_total", "none"),
        row("Keys"),
        gauge("Region key away", "For how long its service has not given it.", "encryption_key_away_seconds", "s"),
        gauge("Tables without their key", "They take no requests until the key service gives it again.", "table_keys_away", "none"),
        gauge("Age of the data key", "The one that new files get theirs from.", "encryption_data_key_age_seconds", "s"),
        gauge("Files by data key", "Those under older ones are written anew.", "encryption_files", "none", "{{data_key}}, {{region}}"),
        gauge("Bytes by data key", "Of those files.", "encryption_file_bytes", "bytes", "{{data_key}}, {{region}}"),
        moved("Written anew", "Because of an older data key.", "encryption_rewritten_bytes_total"),
    ]


def cassandra(of, row, rate, region):
    """The panels of regions on Cassandra; without one they are empty."""

    def gauge(title, description, metric, unit="none"):
        return of(title, description, [(f"geodynamo_cassandra_{metric}{{{region}}}", "{{region}}, {{instance}}")], unit)

    def each(title, description, metric):
        return of(title, description, [(rate(f"geodynamo_cassandra_{metric}_total"), "{{region}}, {{instance}}")], "ops")

    return [
        row("Cassandra"),
        gauge("Owner", "1 is the node that writes the region's log.", "owner"),
        gauge("Epoch", "Greater with every owner.", "epoch"),
        of(
            "Zone of the owner",
            "1 for the zone of the node that writes the region's log, where the topology names zones.",
            [(f"geodynamo_cassandra_owner{{{region}}} * on (instance) group_left (zone) geodynamo_node_zone_info", "{{zone}}, {{region}}, {{instance}}")],
            "none",
        ),
        gauge("Requests passed on", "By nodes that stand by, to the owner, now.", "passed_on_requests"),
        of(
            "Requests to nodes that stand by",
            "Answered by the node itself, or by the owner.",
            [(rate("geodynamo_cassandra_standby_requests_total"), "{{by}}, {{region}}, {{instance}}")],
            "reqps",
        ),
        gauge("Age of what is read", "By nodes that stand by; at a second they leave reads to the owner.", "read_age_seconds", "s"),
        each("Log entries", "Lightweight transactions, each of many commits.", "entries"),
        each("Unknown outcomes", "Cassandra did not answer in time; found out afterwards.", "unknown_outcomes"),
        gauge("Log position", "The last entry of the log.", "log_position"),
        gauge("Rows behind the log", "Entries that rows have not followed yet.", "rows_behind"),
        gauge("Overlay", "Bytes of those entries.", "overlay_bytes", "bytes"),
        each("Rows written", "After the log.", "rows_written"),
        each("Rows read", "Single ones, from Cassandra.", "reads"),
    ]
