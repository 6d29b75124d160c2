"""Traces and metrics over OTLP, taken by a real collector: rotel, which tells in its log what it has received."""

import json
import os
import re
import subprocess
import time
import urllib.request
from pathlib import Path

import pytest
import yaml
from conftest import BINARY, START_S, Region, Server, free_port, wait_until
from watched import Prometheus, named, until

ROOT = Path(__file__).resolve().parents[2]
TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
CALLER = "00f067aa0ba902b7"
DEADLINE_S = 60


class Collector:
    """rotel on loopback: receives, logs, and sends nothing on."""

    def __init__(self, folder):
        command = ["scripts/python-env", "--path", "tests/sdk/requirements-rotel.txt"]
        venv = Path(subprocess.check_output(command, cwd=ROOT, text=True).strip())
        (program,) = venv.glob("lib/python3*/site-packages/rotel/rotel-agent")
        self.http, grpc = free_port(), free_port()
        self.log = folder / "rotel.log"
        command = [
            program,
            "start",
            "--exporter=blackhole",
            "--debug-log=traces",
            "--debug-log=metrics",
            "--debug-log-verbosity=detailed",
            f"--otlp-http-endpoint=127.0.0.1:{self.http}",
            f"--otlp-grpc-endpoint=127.0.0.1:{grpc}",
        ]
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(command, cwd=folder, stdin=subprocess.DEVNULL, stdout=log, stderr=log)

    def text(self):
        return re.sub(r"\x1b\[[0-9;]*m", "", self.log.read_text(errors="replace"))

    def stop(self):
        self.process.terminate()
        self.process.wait(20)


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    """Three regions that export what they trace, and their metrics twice a second."""
    folder = tmp_path_factory.mktemp("telemetry")
    collector = Collector(folder)
    names = {
        "OTEL_EXPORTER_OTLP_ENDPOINT": f"http://127.0.0.1:{collector.http}",
        "OTEL_METRIC_EXPORT_INTERVAL": "500",
        "OTEL_BSP_SCHEDULE_DELAY": "200",
        # Only what a caller traces.
        "OTEL_TRACES_SAMPLER": "parentbased_always_off",
        "OTEL_RESOURCE_ATTRIBUTES": "deployment.environment.name=test-of-telemetry",
    }
    before = {name: os.environ.get(name) for name in names}
    os.environ.update(names)
    try:
        server = Server(["demo", "--json"], folder / "demo")
    finally:
        for name, value in before.items():
            os.environ.pop(name) if value is None else os.environ.update({name: value})
    hello = json.loads(server.line(START_S))
    regions = [Region(r["name"], r["endpoint"], r["access_key_id"], r["secret_access_key"], r["admin"]) for r in hello["regions"]]
    yield collector, regions
    server.stop()
    collector.stop()


def make_table(regions):
    home, *others = regions
    client = home.client()
    client.create_table(
        TableName="traced",
        BillingMode="PAY_PER_REQUEST",
        AttributeDefinitions=[{"AttributeName": "pk", "AttributeType": "S"}],
        KeySchema=[{"AttributeName": "pk", "KeyType": "HASH"}],
    )
    for other in others:
        wait_until(lambda: status(home) == "ACTIVE", "the table takes an update", DEADLINE_S)
        client.update_table(TableName="traced", ReplicaUpdates=[{"Create": {"RegionName": other.name}}])
        wait_until(lambda other=other: status(other) == "ACTIVE", f"a replica in {other.name}", DEADLINE_S)
    return client


def status(region):
    client = region.client()
    try:
        return client.describe_table(TableName="traced")["Table"]["TableStatus"]
    except client.exceptions.ResourceNotFoundException:
        return None


def spans(text, trace):
    """The spans of a trace in rotel's log: name, id, parent, and the region whose resource they are of."""
    found, region = {}, None
    block = {}
    for line in text.splitlines():
        if match := re.search(r"cloud\.region[^a-z]*(?:Str\(|String\(|StringValue\()?\"?([a-z]+-[a-z]+-\d)", line):
            region = match.group(1)
        if match := re.search(r"^\s*(Trace ID|Parent ID|ID|Name)\s*:\s*(\S*)", line):
            block[match.group(1)] = match.group(2)
            if match.group(1) == "Name" and block.get("Trace ID") == trace:
                found[block["ID"]] = (block["Name"], block["Parent ID"], region)
    return found


def put_traced(client):
    def traced(request, **_):
        request.headers.add_header("traceparent", f"00-{TRACE}-{CALLER}-01")

    client.meta.events.register("before-sign.dynamodb.PutItem", traced)
    client.put_item(TableName="traced", Item={"pk": {"S": "followed"}})
    client.meta.events.unregister("before-sign.dynamodb.PutItem", traced)


def test_one_trace_goes_through_all_regions(world):
    collector, regions = world
    client = make_table(regions)
    home, *others = (region.name for region in regions)
    put_traced(client)
    client.put_item(TableName="traced", Item={"pk": {"S": "not followed"}})

    def whole():
        seen = spans(collector.text(), TRACE)
        names = sorted((name, region) for name, _, region in seen.values())
        wanted = [("PutItem", home), ("commit", home), ("ship", home), ("ship", home), *(("apply", other) for other in others)]
        return seen if names == sorted(wanted) else None

    try:
        seen = wait_until(whole, "the whole trace", DEADLINE_S, every_s=0.2)
    except pytest.fail.Exception:
        pytest.fail(f"{spans(collector.text(), TRACE)}\n{collector.text()[-6000:]}")
    by_name = {name: (span, parent) for span, (name, parent, _) in seen.items()}
    request, parent = by_name["PutItem"]
    assert parent == CALLER, "the caller's trace goes on"
    assert by_name["commit"][1] == request
    ships = {span for span, (name, parent, _) in seen.items() if name == "ship" and parent == request}
    assert len(ships) == 2
    assert {parent for name, parent, _ in seen.values() if name == "apply"} == ships, "each apply follows a way of its own"
    assert set(re.findall(r"Trace ID\s*:\s*(\w+)", collector.text())) == {TRACE}, "nothing else is traced"
    # An example of a latency is the trace that had it.
    assert f'trace_id="{TRACE}"' in metrics(regions[0])
    # So it is of the time until the write was durable in each other region.
    for region in regions[1:]:
        example = rf'geodynamo_replication_latency_seconds_bucket{{[^}}]*from_region="{home}"[^}}]*}} \d+ # {{trace_id="{TRACE}"}}'
        assert re.search(example, metrics(region)), region.name


def metrics(region):
    with urllib.request.urlopen(f"{region.admin}/metrics", timeout=10) as answer:
        return answer.read().decode()


def test_metrics_arrive_from_all_regions(world):
    collector, regions = world
    for region in regions:
        region.client().list_tables()
    names = ("geodynamo_connections_total", "geodynamo_link_up", "geodynamo_request_duration_seconds", "geodynamo_build_info")
    kinds = ("DataType: ExponentialHistogram", "DataType: Sum", "DataType: Gauge")
    wanted = [*names, *kinds, *(f"({region.name})" for region in regions), "(test-of-telemetry)"]

    def lacking():
        text = collector.text()
        return [each for each in wanted if each not in text]

    try:
        wait_until(lambda: not lacking(), "metrics", DEADLINE_S, every_s=0.2)
    except pytest.fail.Exception:
        kinds = set(re.findall(r"DataType: \w+", collector.text()))
        pytest.fail(f"lacking: {lacking()}; kinds: {kinds}\n{collector.text()[:3000]}")


def test_prometheus_keeps_the_traces_behind_latencies(world, tmp_path):
    """Started as compose.yaml starts it; the trace is that of the write, in the region that took it and in one that got it."""
    _, regions = world
    compose = yaml.safe_load((ROOT / "compose.yaml").read_text())
    features = [word for word in compose["services"]["prometheus"]["command"] if word.startswith("--enable-feature")]
    prometheus = Prometheus(named(regions), tmp_path, *features)

    def kept(name, region):
        found = prometheus.get("query_exemplars", query=f'{name}_bucket{{region="{region.name}"}}', start=0, end=time.time() + 60)
        return TRACE in {one["labels"]["trace_id"] for each in found for one in each["exemplars"]}

    try:
        for name, region in (
            ("geodynamo_request_duration_seconds", regions[0]),
            ("geodynamo_replication_latency_seconds", regions[1]),
        ):
            until(f"an example of {name}", lambda name=name, region=region: kept(name, region))
    finally:
        prometheus.stop()


def test_a_variable_that_makes_no_sense_is_told(tmp_path):
    environment = {**os.environ, "OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:1", "OTEL_EXPORTER_OTLP_PROTOCOL": "grpc"}
    done = subprocess.run([BINARY, "dev", "--port", "0"], cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=60)
    assert done.returncode != 0
    assert "OTEL_EXPORTER_OTLP_PROTOCOL=grpc: only http/protobuf is spoken" in done.stderr
