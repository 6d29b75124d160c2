"""Dashboards, alert rules and metrics, held against each other and against a Prometheus that scrapes regions under load."""

import json
import os
import re
import subprocess
import sys
import urllib.request
from pathlib import Path

import pytest
import yaml
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models.dashboard import Dashboard
from watched import ROOT, RULES, Demo, Prometheus, named, until, watching

GRAFANA = ROOT / "grafana"
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


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    """A demo and a region apart, under load and misuse, and a Prometheus that scrapes them."""
    demo = Demo(tmp_path_factory.mktemp("watched-demo"))
    try:
        with watching(demo, tmp_path_factory.mktemp("watching")) as world:
            yield world
    finally:
        demo.server.stop()


# Panels that may have no data here, each with its reason.
QUIET = {
    "replication.json: Progress of copies": "the copies of two small tables are over before Prometheus looks",
}
# No region of these is on Cassandra; those of tests/cassandra are.
CONFIGURED = re.compile(r"geodynamo_cassandra_")
VARIABLES = {"$__rate_interval": "10s", "$region": ".*", "$peer": ".*", "$operation": ".*", "$table": ".*"}


def filled_in(text):
    for variable, value in VARIABLES.items():
        text = text.replace(variable, value)
    return text


def test_every_panel_shows_something(world):
    wanted = {(place, text) for place, text in queries() if not CONFIGURED.search(text)}
    assert set(QUIET) <= {place for place, _ in wanted}, "a reason for a panel that is none"

    def all_have_data():
        for place, text in list(wanted):
            if world.prometheus.query(filled_in(text)):
                wanted.discard((place, text))
        return {place for place, _ in wanted} <= set(QUIET)

    try:
        until("data for every panel", all_have_data, 60)
    except pytest.fail.Exception:
        pytest.fail(f"no data: {sorted(wanted)}")


def variables():
    """What dashboards ask Prometheus for to fill their variables' lists with: place, metric, label."""
    for name, dashboard in dashboards().items():
        for variable in dashboard["templating"]["list"]:
            if variable["type"] == "query":
                asked = re.fullmatch(r"label_values\((\w+), (\w+)\)", variable["query"]["query"])
                yield f"{name}: {variable['name']}", *asked.groups()


def values(prometheus, metric, label):
    """Of `label_values(metric, label)`, asked as Grafana does."""
    return prometheus.get(f"label/{label}/values", **{"match[]": metric})


def test_every_variable_has_values(world):
    regions = sorted(region["metric"]["region"] for region in world.prometheus.query('up{job="geodynamo"}'))
    asked = list(variables())
    assert asked
    for place, metric, label in asked:
        found = until(f"values for {place}", lambda: values(world.prometheus, metric, label))
        if label == "region":
            assert sorted(found) == regions, place
    assert values(world.prometheus, "geodynamo_link_up", "no_label_of_it") == []
    assert values(world.prometheus, "geodynamo_no_metric", "region") == []


def test_every_rule_can_be_evaluated(world):
    prometheus = world.prometheus
    for group in until("rules were evaluated", lambda: prometheus.get("rules")["groups"]):
        for rule in group["rules"]:
            assert rule["health"] in ("ok", "unknown"), rule
    for rule in rules():
        prometheus.query(rule["expr"])


# What no region here has, each with its reason.
UNLIKELY = {"geodynamo_node_zone_info": "no node here has a zone"}


def exported(regions):
    """What regions' admin ports tell of: name → kind."""
    found = {}
    for region in regions:
        with urllib.request.urlopen(f"{region.admin}/metrics", timeout=10) as answer:
            for name, kind in re.findall(r"^# TYPE (\w+) (\w+)$", answer.read().decode(), re.MULTILINE):
                suffix = {"counter": "_total", "info": "_info"}.get(kind, "")
                found[name + suffix] = kind
    return found


def test_what_is_exported_is_what_is_documented(world):
    known = {name: kind for name, kind in catalogue().items() if not CONFIGURED.match(name)}
    until("all that is likely", lambda: set(known) - set(exported(world.regions)) <= set(UNLIKELY))
    found = {name: kind for name, kind in exported(world.regions).items() if not CONFIGURED.match(name)}
    assert found.items() <= known.items()


OPEN_METRICS = "application/openmetrics-text;version=1.0.0"
PROTOBUF = "application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=delimited"


def scraped(region, accept):
    request = urllib.request.Request(f"{region.admin}/metrics", headers={"Accept": accept})
    with urllib.request.urlopen(request, timeout=10) as answer:
        return answer.headers["Content-Type"], answer.read()


def test_the_form_is_negotiated(world):
    demo = world.demo
    kind, text = scraped(demo.regions[0], f"{OPEN_METRICS};q=0.9,{PROTOBUF};q=0.5")
    assert kind.startswith("application/openmetrics-text") and text.endswith(b"# EOF\n")
    kind, _ = scraped(demo.regions[0], f"{PROTOBUF},{OPEN_METRICS};q=0.8")
    assert kind.startswith("application/vnd.google.protobuf")


def test_native_histograms_arrive(world, tmp_path):
    """Prometheus with the feature scrapes protobuf; what it then has of a histogram is native, and quantiles come of it."""
    demo, classic = world.demo, world.prometheus
    native = Prometheus(named(demo.regions), tmp_path, "--enable-feature=native-histograms")
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


def test_pictures_can_be_drawn(world, tmp_path):
    """GEODYNAMO_PICTURES=FOLDER keeps them."""
    prometheus = world.prometheus
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


def test_a_cut_link_raises_an_alert_that_clears(world):
    demo, prometheus = world.demo, world.prometheus
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
