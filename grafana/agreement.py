"""Rows of the replication dashboard: whether replicas agree, what is forgotten, and who waited for a region to catch up."""


def rows(row, series, region):
    def now(title, description, metric, unit="none", legend="{{region}}"):
        return series(title, description, [(f"{metric}{{{region}}}", legend)], unit, 8)

    def rate(title, description, metric, legend="{{region}}"):
        return series(title, description, [(f"rate({metric}{{{region}}}[$__rate_interval])", legend)], "ops", 8)

    return [
        row("Agreement"),
        rate("Verifications", "Of tables with other regions, come to their end.", "geodynamo_verifications_total"),
        rate("Verifications that broke off", "They begin anew.", "geodynamo_verifications_failed_total"),
        rate("Rows verified", "At a bounded rate.", "geodynamo_verified_rows_total"),
        now(
            "Longest not verified",
            "The partition that waits longest.",
            "geodynamo_verification_age_seconds",
            "s",
            "{{region}} – {{peer_region}}",
        ),
        rate("Rows healed", "Brought from another region, by reason.", "geodynamo_healed_rows_total", "{{reason}}, {{region}}"),
        now("Rows not healed", "Damaged, and whole nowhere; or two contents under one stamp.", "geodynamo_unhealed_rows"),
        row("What is kept of deletes and conflicts"),
        now("Tombstones", "As of each table's last scan.", "geodynamo_tombstones"),
        now("Bytes of tombstones", "Before compression.", "geodynamo_tombstone_bytes", "bytes"),
        rate("Tombstones collected", "Every region has agreed to forget them.", "geodynamo_tombstones_collected_total"),
        now("Age of tombstones", "Before they are collected.", "geodynamo_tombstones_kept_seconds", "s"),
        now("Conflict records", "As of each table's last scan.", "geodynamo_conflict_records"),
        now("Bytes of conflict records", "Before compression.", "geodynamo_conflict_record_bytes", "bytes"),
        rate("Conflict records dropped", "For their age or number.", "geodynamo_conflict_records_dropped_total"),
        row("Sessions and faults"),
        rate("Session requests", "By what came of them.", "geodynamo_session_requests_total", "{{outcome}}, {{region}}"),
        rate("Packets that faults took", "Faults that were put on links.", "geodynamo_link_fault_packets_total", "{{region}}"),
    ]
