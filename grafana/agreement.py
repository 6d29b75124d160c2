"""Rows of the replication dashboard: whether replicas agree, what is forgotten, and who waited for a region to catch up."""

from lines import lines


def rows(row, series, region):
    now, rate = lines(series, region)
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
        rate("Rows healed", "Brought from another region, by reason.", "geodynamo_healed_rows_total", legend="{{reason}}, {{region}}"),
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
        rate("Session requests", "By what came of them.", "geodynamo_session_requests_total", legend="{{outcome}}, {{region}}"),
        rate("Packets that faults took", "Faults that were put on links.", "geodynamo_link_fault_packets_total"),
    ]
