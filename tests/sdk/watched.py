"""Regions under a light load and misuse, and a Prometheus that scrapes them: what the tests of dashboards and telemetry look at."""

import json
import shutil
import subprocess
import threading
import urllib.parse
import urllib.request
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path

import boto3
import yaml
from botocore.exceptions import ClientError
from conftest import START_S, Region, Server, free_port, serve, table_definition, wait_until
from functions import Failed, NotThere, functions_server
from test_kinesis import KEYS, moto, stream
from test_sessions import Session

ROOT = Path(__file__).resolve().parents[2]
RULES = ROOT / "grafana" / "prometheus" / "rules.yml"
DEADLINE_S = 60
# The region that has what the demo's have not; none of theirs, so that both have a place on the map.
APART = "sa-east-1"
# DynamoDB's largest item, nearly: some 390 write units, so that a table of five has none left after a few.
LARGE = "x" * 390_000


class Prometheus:
    """Debian's Prometheus on loopback, scraping regions by name."""

    def __init__(self, regions, folder, *more):
        folder.mkdir(exist_ok=True)
        shutil.copy(RULES, folder / "rules.yml")
        targets = [
            {"targets": [region.admin.removeprefix("http://")], "labels": {"region": name}} for name, region in regions.items()
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


def named(regions):
    return {region.name: region for region in regions}


class Demo:
    """Three regions of a module's own, for it cuts their links."""

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


class World:
    """The demo's three regions, and one apart from them that has what a demo has not: an audit trail, a function, a Kinesis and a lake."""

    def __init__(self, demo, apart, prometheus):
        self.demo, self.apart, self.prometheus = demo, apart, prometheus
        self.regions = [*demo.regions, apart]


@contextmanager
def watching(demo, folder):
    """All of it under load, scraped."""
    home, *others = demo.regions
    client = home.client()
    make(client, "watched", StreamSpecification=STREAM)
    client.update_contributor_insights(TableName="watched", ContributorInsightsAction="ENABLE")
    few = {"ReadCapacityUnits": 5, "WriteCapacityUnits": 5}
    make(client, "provisioned", BillingMode="PROVISIONED", ProvisionedThroughput=few)
    client.update_contributor_insights(TableName="provisioned", ContributorInsightsAction="ENABLE")
    for other in others:
        until("the table takes an update", lambda: is_active(home))
        client.update_table(TableName="watched", ReplicaUpdates=[{"Create": {"RegionName": other.name}}])
        until(f"a replica in {other.name}", lambda other=other: is_active(other))
    with ExitStack() as undo:
        apart = undo.enter_context(apart_region(folder / "apart"))
        prometheus = Prometheus(named([*demo.regions, apart]), folder / "prometheus")
        undo.callback(prometheus.stop)
        work = [*(Load(region) for region in demo.regions), Load(apart), Follow(home), Misuse(home)]
        undo.enter_context(repeated(work))
        until("Prometheus scrapes four regions", lambda: len(prometheus.query('up{job="geodynamo"} == 1')) == 4)
        yield World(demo, apart, prometheus)
    for table in ("watched", "provisioned"):
        client.delete_table(TableName=table)


STREAM = {"StreamEnabled": True, "StreamViewType": "NEW_AND_OLD_IMAGES"}
SETTINGS = """
[audit]
path = "audit.log"
data_events = true
[functions.hook]
url = "{functions}/hook"
[destinations.kinesis]
endpoint = "http://127.0.0.1:{kinesis}"
access_key_id = "moto"
secret_access_key = "moto"
[[sinks]]
name = "lake"
table = "watched"
[sinks.iceberg]
place = "lake"
commit_seconds = 1
"""


@contextmanager
def apart_region(folder):
    """One region whose table runs a function, which fails or is busy at times, and is copied to a Kinesis and a lake."""
    folder.mkdir()
    with functions_server() as functions, moto(folder) as (_, port):
        calls = iter(range(1 << 60))

        def hook(_):
            match next(calls) % 10:
                case 3:
                    raise Failed()
                case 7:
                    raise NotThere()

        functions.behave["hook"] = hook
        kinesis = boto3.client("kinesis", endpoint_url=f"http://127.0.0.1:{port}", **KEYS | {"region_name": APART})
        with serve(folder, SETTINGS.format(functions=functions.address, kinesis=port), name=APART) as region:
            client = region.client()
            make(client, "watched", StreamSpecification=STREAM)
            source = client.describe_table(TableName="watched")["Table"]["LatestStreamArn"]
            filters = {"Filters": [{"Pattern": json.dumps({"dynamodb": {"Keys": {"pk": {"S": [{"anything-but": ["1"]}]}}}})}]}
            region.client("lambda").create_event_source_mapping(
                EventSourceArn=source, FunctionName="hook", StartingPosition="TRIM_HORIZON", FilterCriteria=filters
            )
            client.enable_kinesis_streaming_destination(TableName="watched", StreamArn=stream(kinesis, "watched"))
            yield replace(region, admin=f"http://{region.admin}")


class Load:
    """Writes and reads in a region."""

    every_s = 0.02

    def __init__(self, region):
        self.client, self.name, self.number = region.client(), region.name, 0

    def __call__(self):
        key = {"pk": {"S": str(self.number % 50)}}
        self.client.put_item(TableName="watched", Item={**key, "by": {"S": self.name}})
        self.client.get_item(TableName="watched", Key=key)
        if self.number % 10 == 0:
            self.client.query(
                TableName="watched", KeyConditionExpression="pk = :pk", ExpressionAttributeValues={":pk": key["pk"]}
            )
        self.number += 1


class Follow:
    """Reads a stream."""

    every_s = 0.5

    def __init__(self, region):
        self.streams = region.client("dynamodbstreams")
        stream = {"StreamArn": region.client().describe_table(TableName="watched")["Table"]["LatestStreamArn"]}
        (shard, *_) = self.streams.describe_stream(**stream)["StreamDescription"]["Shards"]
        place = {**stream, "ShardId": shard["ShardId"], "ShardIteratorType": "LATEST"}
        self.place = self.streams.get_shard_iterator(**place)["ShardIterator"]

    def __call__(self):
        if self.place:
            self.place = self.streams.get_records(ShardIterator=self.place).get("NextShardIterator")


class Misuse:
    """What clients do that is refused, and what few do: a key that is none, a signature that is none, more than a table has
    capacity for; a session."""

    every_s = 0.5

    def __init__(self, region):
        self.client, self.stranger = region.client(), replace(region, secret_access_key="not theirs").client()
        self.session = region.client()
        Session().follow(self.session)

    def __call__(self):
        refused(self.client.put_item, TableName="watched", Item={"other": {"S": "no key"}})
        refused(self.stranger.get_item, TableName="watched", Key={"pk": {"S": "1"}})
        for _ in range(5):
            large = {"pk": {"S": "hot"}, "large": {"S": LARGE}}
            refused(self.client.put_item, may_pass=True, TableName="provisioned", Item=large)
        self.session.get_item(TableName="watched", Key={"pk": {"S": "1"}})


def refused(call, may_pass=False, **request):
    try:
        call(**request)
    except ClientError as error:
        assert error.response["ResponseMetadata"]["HTTPStatusCode"] < 500, error
    else:
        assert may_pass, f"{request} passed"


@contextmanager
def repeated(work):
    """Each of them again and again, in a thread of its own. What went wrong in one fails whoever waits for the end."""
    stop, faults = threading.Event(), []

    def repeat(one):
        try:
            while not stop.wait(one.every_s):
                one()
        except Exception as fault:
            faults.append(fault)

    threads = [threading.Thread(target=repeat, args=(one,)) for one in work]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        stop.set()
        for thread in threads:
            thread.join()
    assert not faults, faults


def make(client, name, **more):
    client.create_table(**table_definition(name, "pk", **more))
    client.get_waiter("table_exists").wait(TableName=name, WaiterConfig={"Delay": 1, "MaxAttempts": 30})


def is_active(region):
    client = region.client()
    try:
        return client.describe_table(TableName="watched")["Table"]["TableStatus"] == "ACTIVE"
    except client.exceptions.ResourceNotFoundException:
        return False


def until(what, holds, deadline_s=DEADLINE_S):
    def answered():
        try:
            return holds()
        except OSError:
            return None

    return wait_until(answered, what, deadline_s, every_s=0.2)
