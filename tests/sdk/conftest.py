"""Servers for the SDK tests: one `geodynamo dev`, one `geodynamo demo --json` with three regions, each once a session.

The clients are the ones that PyPI ships, unchanged; all that is set is the endpoint and the keys.
"""

import json
import os
import queue
import re
import signal
import socket
import subprocess
import threading
import time
import uuid
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import airportsdata
import boto3
import pytest
from botocore.config import Config

TARGET = Path(os.environ.get("CARGO_TARGET_DIR", Path.home() / ".cache/geodynamo/target"))
BINARY = TARGET / "debug" / "geodynamo"
START_S = 240
STATE_S = 90


@dataclass
class Region:
    """A region's data port, and who may use it."""

    name: str
    endpoint: str
    access_key_id: str
    secret_access_key: str
    admin: str | None = None
    # The WAN emulator between the regions.
    wan: str | None = None

    def client(self, service="dynamodb"):
        return boto3.client(service, **self.settings())

    def resource(self, attempts=1):
        return boto3.resource("dynamodb", **self.settings(attempts))

    def settings(self, attempts=1):
        # No retries unless told: a test sees what the server answered.
        retries = {"total_max_attempts": attempts, "mode": "standard"}
        config = Config(retries=retries, connect_timeout=5, read_timeout=60)
        return {
            "endpoint_url": self.endpoint,
            "region_name": self.name,
            "aws_access_key_id": self.access_key_id,
            "aws_secret_access_key": self.secret_access_key,
            "config": config,
        }

    def environment(self):
        return {
            **os.environ,
            "AWS_ENDPOINT_URL_DYNAMODB": self.endpoint,
            "AWS_DEFAULT_REGION": self.name,
            "AWS_ACCESS_KEY_ID": self.access_key_id,
            "AWS_SECRET_ACCESS_KEY": self.secret_access_key,
            "AWS_PAGER": "",
            # Nobody's own settings.
            "AWS_CONFIG_FILE": os.devnull,
            "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
        }


class Server:
    """A `geodynamo` process: its lines of output as they come, its end by SIGTERM, which must give 0."""

    def __init__(self, arguments, folder):
        assert BINARY.exists(), f"{BINARY} is not built; `make test` builds it"
        folder.mkdir(parents=True, exist_ok=True)
        self.log = folder / "stderr.log"
        environment = {**os.environ, "AIRPORTS_CSV": str(Path(airportsdata.__file__).with_name("airports.csv"))}
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                [BINARY, *arguments],
                cwd=folder,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
            )
        self.lines = queue.Queue()
        threading.Thread(target=self.read, daemon=True).start()

    def read(self):
        for line in self.process.stdout:
            self.lines.put(line)
        self.lines.put(None)

    def line(self, timeout_s):
        try:
            line = self.lines.get(timeout=timeout_s)
        except queue.Empty:
            line = None
        if line is None:
            self.process.kill()
            pytest.fail(f"{self.process.args} did not say what was awaited: {self.log.read_text()[-4000:]}")
        return line

    def kill(self):
        self.process.kill()
        self.process.wait(timeout=60)

    def stop(self):
        self.process.send_signal(signal.SIGTERM)
        try:
            code = self.process.wait(timeout=60)
        except subprocess.TimeoutExpired:
            self.process.kill()
            pytest.fail(f"SIGTERM did not end {self.process.args} in 60 s: {self.log.read_text()[-4000:]}")
        assert code == 0, f"{self.process.args} ended with {code}: {self.log.read_text()[-4000:]}"


@pytest.fixture(scope="session")
def dev(tmp_path_factory):
    """One region that takes any credentials, its tables passing through DynamoDB's states."""
    with run_dev(tmp_path_factory.mktemp("dev"), "--delay-transient-statuses") as (region, _):
        yield region


@contextmanager
def run_dev(folder, *arguments):
    """`geodynamo dev`: its region, and the file of its log."""
    server = Server(["dev", "--port", "0", *arguments], folder)
    deadline = time.monotonic() + START_S
    while not (found := re.search(r"https?://[\w.\-]+:\d+", server.line(deadline - time.monotonic()))):
        pass
    while not (console := re.search(r"^console: http://([\w.\-]+:\d+)", server.line(deadline - time.monotonic()))):
        pass
    try:
        yield Region("us-east-1", found.group(), "any", "any", f"http://{console.group(1)}"), server.log
    except BaseException:
        server.kill()
        raise
    server.stop()


@contextmanager
def serve(folder, settings="", crash=False, name="us-east-1"):
    """One region by `geodynamo serve`, with further settings (TOML), its data kept in the folder. It is stopped at the
    end, or killed (kill -9)."""
    config = folder / "region.toml"
    config.write_text(
        f"""
region = "{name}"
node = "{name}"
data_dir = "data"
listen = {{ data = "127.0.0.1:0", admin = "127.0.0.1:0" }}
[[credentials]]
access_key_id = "AKIDTESTS"
secret_access_key = "hush"
{settings}"""
    )
    server = Server(["serve", "--config", str(config)], folder)
    try:
        ready = json.loads(server.line(START_S))
        yield Region(name, f"http://{ready['data']}", "AKIDTESTS", "hush", ready["admin"])
    except BaseException:
        server.kill()
        raise
    if crash:
        server.kill()
    else:
        server.stop()


@pytest.fixture(scope="session")
def regions(tmp_path_factory):
    """Three regions with links and a WAN between them."""
    server = Server(["demo", "--json"], tmp_path_factory.mktemp("demo"))
    hello = json.loads(server.line(START_S))
    all_regions = [
        Region(r["name"], r["endpoint"], r["access_key_id"], r["secret_access_key"], r["admin"], hello["wan"])
        for r in hello["regions"]
    ]
    assert [region.name for region in all_regions] == ["us-east-1", "eu-west-1", "ap-northeast-1"]
    yield all_regions
    server.stop()


@pytest.fixture
def client(dev):
    return dev.client()


@pytest.fixture
def name():
    """A table name that no other test uses."""
    return f"test-{uuid.uuid4().hex[:12]}"


@pytest.fixture
def make_table(client, name):
    """Creates tables that are removed after the test: make_table("pk", "sk:N", GlobalSecondaryIndexes=[…])."""
    made = []

    def make(*keys, attributes=(), name=name, **more):
        definition = table_definition(name, *keys, attributes=attributes, **more)
        client.create_table(**definition)
        made.append(name)
        client.get_waiter("table_exists").wait(TableName=name, WaiterConfig={"Delay": 1, "MaxAttempts": 30})
        return name

    yield make
    for table in made:
        client.delete_table(TableName=table)


def table_definition(name, *keys, attributes=(), **more):
    """`keys`: "name" or "name:TYPE", partition key first; `attributes`: further definitions, for indexes."""
    parsed = [(key.split(":") + ["S"])[:2] for key in (*keys, *attributes)]
    return {
        "TableName": name,
        "AttributeDefinitions": [{"AttributeName": n, "AttributeType": t} for n, t in parsed],
        "KeySchema": key_schema(*keys),
        "BillingMode": "PAY_PER_REQUEST",
        **more,
    }


def key_schema(*keys):
    kinds = ["HASH", "RANGE"]
    return [{"AttributeName": key.split(":")[0], "KeyType": kind} for key, kind in zip(keys, kinds)]


def free_port():
    """A port of loopback that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def wait_until(state, what, deadline_s=STATE_S, every_s=0.05):
    """Waits until state() is true and returns what it gave; fails after the deadline."""
    deadline = time.monotonic() + deadline_s
    while True:
        seen = state()
        if seen:
            return seen
        if time.monotonic() > deadline:
            pytest.fail(f"after {deadline_s} s still not: {what}")
        time.sleep(every_s)
