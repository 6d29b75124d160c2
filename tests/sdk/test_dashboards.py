"""Dashboards, alert rules and metrics, held against each other and against a Prometheus that scrapes regions under load."""

import json
import os
import re
import shutil
import subprocess
import sys
import threading
import time
import urllib.parse
import urllib.request
from pathlib import Path

import pytest
import yaml
from conftest import START_S, Region, Server, free_port, wait_until
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models.dashboard import Dashboard

ROOT = Path(__file__).resolve().parents[2]
GRAFANA = ROOT / "grafana"
RULES = GRAFANA / "prometheus" / "rules.yml"
DEADLINE_S = 60
NAME = re.compile(r"\bgeodynamo_[a-z0-9_]+")
# Metrics that no dashboard shows, each with its reason.
NOT_SHOWN = {}


def catalogue():
    """The documented metrics: name → kind."""
    rows = re.findall(r"^\| `(\w+)` \| (\w+) \|", (ROOT / "docs" / "metrics.md").read_text(), re.MULTILINE)
    return dict(rows)


def families(text):
    """The catalogue's names that a text uses."""
    known = catalogue()
    found = set()
    for name in NAME.findall(text):
        base = re.sub(r"_(bucket|sum|count)$", "", name)
        found.add(base if known.get(base) == "histogram" else name)
    return found


def dashboards():
    return {path.name: json.loads(path.read_text()) for path in sorted((GRAFANA / "dashboards").glob("*.json"))}


def queries():
    for name, dashboard in dashboards().items():
        for panel in dashboard["panels"]:
            for target in panel.get("targets", []):
                yield f"{name}: {panel['title']}", target["expr"]


def rules():
    for group in yaml.safe_load(RULES.read_text())["groups"]:
        yield from group["rules"]


def test_the_files_are_what_the_code_makes():
    subprocess.run([sys.executable, GRAFANA / "dashboards.py", "--check"], check=True)


def test_dashboards_and_the_catalogue_name_the_same_metrics():
    known = set(catalogue())
    shown = families(json.dumps(dashboards()))
    assert shown <= known, f"dashboards name what is not exported: {shown - known}"
    ruled = families(RULES.read_text())
    assert ruled <= known, f"rules name what is not exported: {ruled - known}"
    assert known - shown == set(NOT_SHOWN), "each metric is on a dashboard or has a reason not to be"


def test_panels_are_described_and_have_units():
    for name, dashboard in dashboards().items():
        ids = [panel["id"] for panel in dashboard["panels"]]
        assert len(ids) == len(set(ids)), name
        for panel in dashboard["panels"]:
            if panel["type"] == "row":
                continue
            place = panel["gridPos"]
            assert place["x"] + place["w"] <= 24, panel["title"]
            assert panel["description"], panel["title"]
            assert panel["fieldConfig"]["defaults"]["unit"], panel["title"]


def test_grafanas_own_types_read_all_of_the_dashboards():
    """Grafana's published SDK is made from its schemas: what it does not keep, Grafana does not know."""
    for name, dashboard in dashboards().items():
        kept = json.loads(JSONEncoder().encode(Dashboard.from_json(dashboard)))
        assert list(lost(dashboard, kept, name)) == []


def test_what_grafana_does_not_know_is_found():
    kept = json.loads(JSONEncoder().encode(Dashboard.from_json({"title": "t", "panels": [], "colour": "red"})))
    assert list(lost({"title": "t", "colour": "red"}, kept, "x")) == ["x/colour"]


def lost(given, kept, place):
    """Yields where something of `given` is missing or different in `kept`."""
    if isinstance(given, dict) and isinstance(kept, dict):
        for key, value in given.items():
            if key in kept:
                yield from lost(value, kept[key], f"{place}/{key}")
            else:
                yield f"{place}/{key}"
    elif isinstance(given, list) and isinstance(kept, list) and len(given) == len(kept):
        for number, (a, b) in enumerate(zip(given, kept)):
            yield from lost(a, b, f"{place}/{number}")
    elif given != kept:
        yield place


def test_each_alert_has_a_runbook():
    alerts = [rule for rule in rules() if "alert" in rule]
    assert alerts
    for alert in alerts:
        runbook = ROOT / alert["annotations"]["runbook"]
        assert alert["alert"] in runbook.read_text(), f"{alert['alert']} is not in {runbook}"


def test_the_rules_are_sound():
    subprocess.run(["promtool", "check", "rules", RULES], check=True, stdout=subprocess.PIPE)
    subprocess.run(["promtool", "check", "config", GRAFANA / "prometheus" / "prometheus.yml"], check=True, stdout=subprocess.PIPE)


class Prometheus:
    """Debian's Prometheus on loopback, scraping the demo's regions."""

    def __init__(self, regions, folder, *more):
        shutil.copy(RULES, folder / "rules.yml")
        targets = [
            {"targets": [region.admin.removeprefix("http://")], "labels": {"region": region.name}} for region in regions
        ]
        config = {
            "global": {"scrape_interval": "1s", "evaluation_interval": "1s"},
            "rule_files": ["rules.yml"],
            "scrape_configs": [{"job_name": "geodynamo", "static_configs": targets}],
        }
        (folder / "prometheus.yml").write_text(yaml.safe_dump(config))
        self.port = free_port()
        command = [
            "prometheus",
            f"--config.file={folder / 'prometheus.yml'}",
            f"--storage.tsdb.path={folder / 'data'}",
            f"--web.listen-address=127.0.0.1:{self.port}",
            *more,
        ]
        self.log = (folder / "log").open("wb")
        self.process = subprocess.Popen(command, stdout=self.log, stderr=self.log)
        self.url = f"http://127.0.0.1:{self.port}"

    def get(self, path, **parameters):
        url = f"http://127.0.0.1:{self.port}/api/v1/{path}?{urllib.parse.urlencode(parameters)}"
        with urllib.request.urlopen(url, timeout=10) as answer:
            return json.load(answer)["data"]

    def query(self, text):
        return self.get("query", query=text)["result"]

    def firing(self, name):
        return [alert for alert in self.get("alerts")["alerts"] if alert["labels"]["alertname"] == name and alert["state"] == "firing"]

    def stop(self):
        self.process.terminate()
        self.process.wait(20)
        self.log.close()


def until(what, holds, deadline_s=DEADLINE_S):
    def answered():
        try:
            return holds()
        except OSError:
            return None

    return wait_until(answered, what, deadline_s, every_s=0.2)


class Demo:
    """Three regions of this module's own, for it cuts their links."""

    def __init__(self, folder):
        self.server = Server(["demo", "--json"], folder)
        hello = json.loads(self.server.line(START_S))
        self.wan = hello["wan"]
        self.regions = [
            Region(r["name"], r["endpoint"], r["access_key_id"], r["secret_access_key"], r["admin"])
            for r in hello["regions"]
        ]

    def cut(self, a, b, whether):
        for start, end in ((a, b), (b, a)):
            body = json.dumps({"cut": whether}).encode()
            request = urllib.request.Request(f"{self.wan}/links/{start}/{end}", body, method="PUT")
            urllib.request.urlopen(request, timeout=10).close()


@pytest.fixture(scope="module")
def demo(tmp_path_factory):
    demo = Demo(tmp_path_factory.mktemp("watched-demo"))
    yield demo
    demo.server.stop()


@pytest.fixture(scope="module")
def watched(demo, tmp_path_factory):
    """The demo under a light load, and a Prometheus that scrapes it."""
    regions = demo.regions
    home, *others = regions
    client = home.client()
    client.create_table(
        TableName="watched",
        BillingMode="PAY_PER_REQUEST",
        StreamSpecification={"StreamEnabled": True, "StreamViewType": "NEW_AND_OLD_IMAGES"},
        AttributeDefinitions=[{"AttributeName": "pk", "AttributeType": "S"}],
        KeySchema=[{"AttributeName": "pk", "KeyType": "HASH"}],
    )
    client.get_waiter("table_exists").wait(TableName="watched")
    client.update_contributor_insights(TableName="watched", ContributorInsightsAction="ENABLE")
    client.create_table(
        TableName="provisioned",
        ProvisionedThroughput={"ReadCapacityUnits": 5, "WriteCapacityUnits": 5},
        AttributeDefinitions=[{"AttributeName": "pk", "AttributeType": "S"}],
        KeySchema=[{"AttributeName": "pk", "KeyType": "HASH"}],
    )
    for other in others:
        until("the table takes an update", lambda: is_active(home))
        client.update_table(TableName="watched", ReplicaUpdates=[{"Create": {"RegionName": other.name}}])
        until(f"a replica in {other.name}", lambda other=other: is_active(other))
    stop = threading.Event()

    def load(region):
        client, number = region.client(), 0
        while not stop.is_set():
            key = {"pk": {"S": str(number % 50)}}
            client.put_item(TableName="watched", Item={**key, "by": {"S": region.name}})
            client.get_item(TableName="watched", Key=key)
            if number % 10 == 0:
                client.query(
                    TableName="watched", KeyConditionExpression="pk = :pk", ExpressionAttributeValues={":pk": key["pk"]}
                )
            number += 1
            stop.wait(0.02)

    def follow(region):
        streams = region.client("dynamodbstreams")
        stream = {"StreamArn": region.client().describe_table(TableName="watched")["Table"]["LatestStreamArn"]}
        (shard, *_) = streams.describe_stream(**stream)["StreamDescription"]["Shards"]
        place = streams.get_shard_iterator(**stream, ShardId=shard["ShardId"], ShardIteratorType="LATEST")["ShardIterator"]
        while place and not stop.is_set():
            place = streams.get_records(ShardIterator=place).get("NextShardIterator")
            stop.wait(0.5)

    loaders = [threading.Thread(target=load, args=(region,)) for region in regions]
    loaders.append(threading.Thread(target=follow, args=(home,)))
    prometheus = Prometheus(regions, tmp_path_factory.mktemp("prometheus"))
    for loader in loaders:
        loader.start()
    until("Prometheus scrapes three regions", lambda: len(prometheus.query('up{job="geodynamo"} == 1')) == 3)
    yield demo, prometheus
    stop.set()
    for loader in loaders:
        loader.join()
    prometheus.stop()
    for table in ("watched", "provisioned"):
        client.delete_table(TableName=table)


def is_active(region):
    client = region.client()
    try:
        return client.describe_table(TableName="watched")["Table"]["TableStatus"] == "ACTIVE"
    except client.exceptions.ResourceNotFoundException:
        return False


# Panels that have no data while nothing goes wrong, counters by a label that did not occur; and of the audit trail, which a
# region keeps only if it is told to.
QUIET = {
    "capacity-and-errors.json: Errors by operation",
    "capacity-and-errors.json: Refused before an operation",
    "capacity-and-errors.json: Audit records",
    "capacity-and-errors.json: Audit records lost",
    "capacity-and-errors.json: Throttled keys",
    "replication.json: Progress of copies",
    "replication.json: Rows healed",
    "replication.json: Session requests",
}
# What has data only where the configuration names functions, a Kinesis or Cassandra: the demo's does not.
CONFIGURED = re.compile(r"geodynamo_(trigger|kinesis|sink|cassandra)_")


def test_every_panel_shows_something(watched):
    _, prometheus = watched
    wanted = {(place, text): None for place, text in queries() if not CONFIGURED.search(text)}
    values = {"$__rate_interval": "10s", "$region": ".*", "$peer": ".*", "$operation": ".*", "$table": ".*"}

    def all_have_data():
        for place, text in list(wanted):
            query = text
            for variable, value in values.items():
                query = query.replace(variable, value)
            if prometheus.query(query):
                del wanted[place, text]
        return {place for place, _ in wanted} <= QUIET

    try:
        until("data for every panel", all_have_data, 40)
    except pytest.fail.Exception:
        pytest.fail(f"no data: {sorted(wanted)}")


def test_every_rule_can_be_evaluated(watched):
    _, prometheus = watched
    for group in until("rules were evaluated", lambda: prometheus.get("rules")["groups"]):
        for rule in group["rules"]:
            assert rule["health"] in ("ok", "unknown"), rule
    for rule in rules():
        prometheus.query(rule["expr"])


UNLIKELY = {
    "geodynamo_requests_refused_total",
    "geodynamo_audit_records_lost_total",
    "geodynamo_audit_records_written_total",
    "geodynamo_healed_rows_total",
    # No node of the demo has a zone.
    "geodynamo_node_zone_info",
    "geodynamo_session_requests_total",
}


def test_what_is_exported_is_what_is_documented(watched):
    demo, _ = watched
    known = catalogue()
    exported = {}
    for region in demo.regions:
        with urllib.request.urlopen(f"{region.admin}/metrics", timeout=10) as answer:
            for name, kind in re.findall(r"^# TYPE (\w+) (\w+)$", answer.read().decode(), re.MULTILINE):
                suffix = {"counter": "_total", "info": "_info"}.get(kind, "")
                exported[name + suffix] = kind
    # A counter by a label that did not occur has no line yet.
    absent = {name: kind for name, kind in known.items() if name not in exported}
    assert {name for name in absent if not name.startswith("geodynamo_cassandra_")} <= UNLIKELY
    assert exported | absent == known


OPEN_METRICS = "application/openmetrics-text;version=1.0.0"
PROTOBUF = "application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=delimited"


def scraped(region, accept):
    request = urllib.request.Request(f"{region.admin}/metrics", headers={"Accept": accept})
    with urllib.request.urlopen(request, timeout=10) as answer:
        return answer.headers["Content-Type"], answer.read()


def test_the_form_is_negotiated(watched):
    demo, _ = watched
    kind, text = scraped(demo.regions[0], f"{OPEN_METRICS};q=0.9,{PROTOBUF};q=0.5")
    assert kind.startswith("application/openmetrics-text") and text.endswith(b"# EOF\n")
    kind, _ = scraped(demo.regions[0], f"{PROTOBUF},{OPEN_METRICS};q=0.8")
    assert kind.startswith("application/vnd.google.protobuf")


def test_native_histograms_arrive(watched, tmp_path):
    """Prometheus with the feature scrapes protobuf; what it then has of a histogram is native, and quantiles come of it."""
    demo, classic = watched
    native = Prometheus(demo.regions, tmp_path, "--enable-feature=native-histograms")
    name = "geodynamo_request_duration_seconds"
    chosen = f'{name}{{operation="PutItem",outcome="success"}}'
    try:
        assert until("native histograms", lambda: [each for each in native.query(chosen) if "histogram" in each])
        p99 = f"histogram_quantile(0.99, sum(rate({chosen}[10s])))"
        (found,) = until("a quantile of them", lambda: [each for each in native.query(p99) if each["value"][1] != "NaN"])
        assert 0 < float(found["value"][1]) < 10
        for other in ("geodynamo_table_request_duration_seconds", "geodynamo_replication_latency_seconds", "geodynamo_storage_write_seconds"):
            assert until(other, lambda: [each for each in native.query(other) if "histogram" in each]), other
        assert native.query("geodynamo_link_up") and native.query("geodynamo_build_info")
        # The same numbers, whatever the form.
        count = f"sum(histogram_count({chosen}))"
        seen = float(until("a count", lambda: native.query(count))[0]["value"][1])
        (later,) = classic.query(f'sum({name}_count{{operation="PutItem",outcome="success"}})')
        assert seen <= float(later["value"][1]) + 200
    finally:
        native.stop()
    assert not classic.query(f"{chosen}"), "without the feature there are buckets only"


def test_pictures_can_be_drawn(watched, tmp_path):
    """GEODYNAMO_PICTURES=FOLDER keeps them."""
    _, prometheus = watched
    kept = os.environ.get("GEODYNAMO_PICTURES")
    folder = ROOT / kept if kept else tmp_path
    if kept:
        # A while of load, so that there is something to see.
        until("two minutes of load", lambda: prometheus.query('min(count_over_time(up{job="geodynamo"}[10m])) > 110'), 150)
    environment = ["scripts/python-env", "--path", "tests/console/requirements.txt"]
    python = Path(subprocess.check_output(environment, cwd=ROOT, text=True).strip()) / "bin" / "python"
    subprocess.run([python, GRAFANA / "pictures.py", prometheus.url, folder], check=True, timeout=240)
    for drawn in dashboards():
        picture = folder / drawn.replace(".json", ".png")
        assert 5_000 < picture.stat().st_size < 200_000, picture
        assert (GRAFANA / "pictures" / picture.name).exists(), f"{picture.name} is not kept"


def test_a_cut_link_raises_an_alert_that_clears(watched):
    demo, prometheus = watched
    home, other = demo.regions[:2]

    def between():
        return [alert for alert in prometheus.firing("GeodynamoLinkDown") if alert["labels"]["region"] == home.name]

    assert not between()
    demo.cut(home.name, other.name, True)
    try:
        until("the alert fires", between, 90)
    finally:
        demo.cut(home.name, other.name, False)
    until("the alert clears", lambda: not between(), 90)
