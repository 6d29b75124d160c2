"""Each alert rule by promtool: it fires on series that tell of trouble, says so in its text, and is silent on series that do not.

The series have the labels that the catalogue gives their metrics, and those that Prometheus adds when it scrapes: a rule that goes by
another label fires for nobody here, or under other labels than these.
"""

import re
import subprocess
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[2]
RULES = ROOT / "grafana" / "prometheus" / "rules.yml"
HERE = {"region": "eu-west-1"}
LINK = {**HERE, "peer_region": "us-east-1"}
FROM = {**HERE, "from_region": "us-east-1"}
# A sample every 15 s for two hours.
SAMPLES = 480


def steady(value):
    return f"{value}+0x{SAMPLES}"


def growing(by):
    return f"0+{by}x{SAMPLES}"


def buckets(name, labels, counts):
    """Series of a histogram that gets so many values more with each sample: by upper bound, as Prometheus has them, cumulative."""
    every = {(f"{name}_bucket", (("le", bound), *labels.items())): growing(count) for bound, count in counts.items()}
    return every | {(f"{name}_count", tuple(labels.items())): growing(counts["+Inf"])}


def one(name, labels, values):
    return {(name, tuple(labels.items())): values}


def requests(outcome, **counts):
    labels = {**HERE, "operation": "PutItem", "outcome": outcome}
    return buckets("geodynamo_request_duration_seconds", labels, {bound.replace("_", "."): count for bound, count in counts.items()})


def disk(free):
    return one("geodynamo_storage_disk_free_bytes", HERE, steady(free)) | one("geodynamo_storage_disk_size_bytes", HERE, steady(1000))


def lag(slow):
    return buckets("geodynamo_replication_latency_seconds", FROM, {"1.0": 100 - slow, "+Inf": 100})


def sync(slow):
    return buckets("geodynamo_storage_sync_seconds", HERE, {"0.02": 1000 - slow, "0.1": 1000, "+Inf": 1000})


def latency(slow):
    labels = {**HERE, "operation": "PutItem", "outcome": "success"}
    return buckets("geodynamo_request_duration_seconds", labels, {"0.01": 1000 - slow, "0.02": 1000, "+Inf": 1000})


def errors(failed):
    fine = {**HERE, "operation": "PutItem", "outcome": "success"}
    bad = {**HERE, "operation": "PutItem", "outcome": "server_error"}
    name = "geodynamo_request_duration_seconds"
    return buckets(name, fine, {"+Inf": 1000 - failed}) | buckets(name, bad, {"+Inf": failed})


def conflicts(a_sample):
    return {key: value for way in ("refused", "displaced") for key, value in one(
        "geodynamo_conflicts_total", {**HERE, "resolution": way}, growing(a_sample)
    ).items()}


# Alert → series of trouble, the labels that it fires with, its text; series of none.
CASES = {
    "GeodynamoRegionDown": (
        one("up", {**HERE, "job": "geodynamo"}, steady(0)), {**HERE, "job": "geodynamo"},
        "eu-west-1 does not answer",
        one("up", {**HERE, "job": "geodynamo"}, steady(1)) | one("up", {**HERE, "job": "another"}, steady(0)),
    ),
    "GeodynamoLinkDown": (
        one("geodynamo_link_up", LINK, steady(0)), LINK,
        "eu-west-1 has no connection to us-east-1",
        one("geodynamo_link_up", LINK, steady(1)),
    ),
    "GeodynamoRegionsAboutToPart": (
        one("geodynamo_region_silent_seconds", LINK, steady(39_600)), LINK,
        "eu-west-1 has not reached us-east-1 for 11h 0m 0s; after 20 hours their tables part",
        one("geodynamo_region_silent_seconds", LINK, steady(35_000)),
    ),
    "GeodynamoOldestWriteNotReplicated": (
        one("geodynamo_replication_oldest_unreplicated_seconds", LINK, steady(90)), LINK,
        "eu-west-1 has writes of 1m 30s ago that us-east-1 lacks",
        one("geodynamo_replication_oldest_unreplicated_seconds", LINK, steady(59)),
    ),
    "GeodynamoReplicationLagBurn": (lag(20), FROM, "us-east-1 to eu-west-1: 20% of versions took over 1 s", lag(14)),
    "GeodynamoConflicts": (conflicts(30), HERE, "eu-west-1 records 4 conflicts a second", conflicts(6)),
    "GeodynamoClockAhead": (
        one("geodynamo_versions_waiting", HERE, steady(3)), HERE,
        "eu-west-1 holds versions back whose stamps are ahead of its clock",
        one("geodynamo_versions_waiting", HERE, steady(0)),
    ),
    "GeodynamoClockOffset": (
        one("geodynamo_link_clock_offset_seconds", LINK, steady(-2)), LINK,
        "eu-west-1's and us-east-1's clocks are 2s apart",
        one("geodynamo_link_clock_offset_seconds", LINK, steady(0.9)),
    ),
    "GeodynamoDiskSpace": (disk(50), HERE, "eu-west-1 has 5% of its disk left", disk(150)),
    "GeodynamoDamagedFiles": (
        one("geodynamo_storage_damaged_files", HERE, steady(2)), HERE, "eu-west-1 has 2 damaged files",
        one("geodynamo_storage_damaged_files", HERE, steady(0)),
    ),
    "GeodynamoUnmended": (
        one("geodynamo_storage_unmended_ranges", HERE, steady(2)), HERE,
        "eu-west-1: 2 ranges of rows that were in damaged files are not mended",
        one("geodynamo_storage_unmended_ranges", HERE, steady(0)),
    ),
    "GeodynamoUnmendable": (
        one("geodynamo_storage_unmendable_tables", HERE, steady(1)), HERE,
        "eu-west-1: 1 tables have lost rows that nobody can give back",
        one("geodynamo_storage_unmendable_tables", HERE, steady(0)),
    ),
    "GeodynamoKeyAway": (
        one("geodynamo_encryption_key_away_seconds", HERE, steady(120)), HERE,
        "eu-west-1: the region's key cannot be had for 2m 0s",
        one("geodynamo_encryption_key_away_seconds", HERE, steady(0)),
    ),
    "GeodynamoTableKeyAway": (
        one("geodynamo_table_keys_away", HERE, steady(4)), HERE, "eu-west-1: 4 tables take no requests, for their key is away",
        one("geodynamo_table_keys_away", HERE, steady(0)),
    ),
    "GeodynamoUnwritable": (
        one("geodynamo_storage_unwritable", {**HERE, "reason": "no_room"}, steady(1)), {**HERE, "reason": "no_room"},
        "eu-west-1 refuses writes: no_room",
        one("geodynamo_storage_unwritable", {**HERE, "reason": "no_room"}, steady(0)),
    ),
    "GeodynamoWritesStopped": (
        one("geodynamo_storage_writes_stopped", HERE, steady(1)), HERE,
        "eu-west-1 has stopped writes until compaction catches up",
        one("geodynamo_storage_writes_stopped", HERE, steady(0)),
    ),
    "GeodynamoSlowSync": (
        sync(1000), HERE, "eu-west-1: syncing a batch takes 99.2ms at p99", sync(5),
    ),
    "GeodynamoServerErrors": (errors(20), HERE, "eu-west-1 fails 2% of its requests", errors(0)),
    "GeodynamoLatency": (
        latency(1000), HERE, "eu-west-1: p99 is 19.9ms; the objective is single-digit milliseconds", latency(5),
    ),
    "GeodynamoLostData": (
        one("geodynamo_link_logs_ahead", LINK, steady(1)), LINK, "eu-west-1 has lost writes that us-east-1 still has",
        one("geodynamo_link_logs_ahead", LINK, steady(0)),
    ),
    "GeodynamoArchiveBehind": (
        one("geodynamo_archive_behind_seconds", HERE, steady(600)), HERE,
        "eu-west-1: point-in-time recovery ends 10m 0s ago",
        one("geodynamo_archive_behind_seconds", HERE, steady(200)),
    ),
    "GeodynamoArchiveDamaged": (
        one("geodynamo_archive_damaged_objects", HERE, steady(1)), HERE, "eu-west-1: 1 objects of the archive are damaged",
        one("geodynamo_archive_damaged_objects", HERE, steady(0)),
    ),
    "GeodynamoBackupJobFailed": (
        one("geodynamo_backup_jobs_failed_total", HERE, growing(1)), HERE,
        "eu-west-1: a backup, a copy of one or a restore has failed",
        one("geodynamo_backup_jobs_failed_total", HERE, steady(3)),
    ),
}


def alerts():
    groups = yaml.safe_load(RULES.read_text())["groups"]
    return {rule["alert"]: rule for group in groups for rule in group["rules"] if "alert" in rule}


def test_every_alert_is_tried():
    assert set(CASES) == set(alerts())


def test_the_series_have_the_metrics_labels():
    rows = re.findall(r"^\| `(\w+)` \| \w+ \| [^|]* \| ([^|]*) \|", (ROOT / "docs" / "metrics.md").read_text(), re.MULTILINE)
    known = {name: {label for label in labels.split(", ") if label} for name, labels in rows}
    for trouble, _, _, none in CASES.values():
        for name, labels in trouble | none:
            if name != "up":
                base = name if name in known else re.sub(r"_(bucket|count)$", "", name)
                assert {label for label, _ in labels} - {"le", "region"} == known[base] - {"region"}, name


def tried(alert, series, fired):
    """A test of promtool's: the alert, after two hours of these series."""
    notation = [
        {"series": f"{name}{{{','.join(f'{label}={value!r}' for label, value in labels)}}}".replace("'", '"'), "values": values}
        for (name, labels), values in series.items()
    ]
    test = {"eval_time": "2h", "alertname": alert, "exp_alerts": fired}
    return {"interval": "15s", "input_series": notation, "alert_rule_test": [test]}


def promtool(folder, tests, rules=RULES):
    path = folder / "tests.yml"
    path.write_text(yaml.safe_dump({"rule_files": [str(rules)], "evaluation_interval": "15s", "tests": tests}))
    return subprocess.run(["promtool", "test", "rules", path], capture_output=True, text=True, check=False)


def tried_on(alert):
    trouble, labels, text, none = CASES[alert]
    rule = alerts()[alert]
    fired = [{"exp_labels": {**labels, **rule["labels"]}, "exp_annotations": {**rule["annotations"], "summary": text}}]
    return [tried(alert, trouble, fired), tried(alert, none, [])]


@pytest.mark.parametrize("alert", CASES)
def test_it_fires_on_trouble_only(alert, tmp_path):
    done = promtool(tmp_path, tried_on(alert))
    assert done.returncode == 0, done.stdout + done.stderr


def test_a_wrong_label_is_found(tmp_path):
    """Of the rules as they are, with one label misspelt: they parse, and an alert does not fire any more."""
    text = RULES.read_text()
    wrong = tmp_path / "wrong.yml"
    wrong.write_text(text.replace('outcome="server_error"', 'outcome="server-error"'))
    assert wrong.read_text() != text
    subprocess.run(["promtool", "check", "rules", wrong], check=True, stdout=subprocess.PIPE)
    assert promtool(tmp_path, tried_on("GeodynamoServerErrors"), wrong).returncode != 0
