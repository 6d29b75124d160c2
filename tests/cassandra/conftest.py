"""A region of two nodes on a real Cassandra, beside one on RocksDB; the clients are PyPI's, unchanged.

`GEODYNAMO_CASSANDRA` names Cassandra's nodes if it runs already; without it, one node is started for the session.
"""

import json
import os
import queue
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
import uuid
from pathlib import Path

import boto3
import pytest
from botocore.config import Config

ROOT = Path(__file__).resolve().parent.parent.parent
sys.path.append(str(ROOT / "scripts"))

import cassandra  # noqa: E402  (scripts/cassandra.py)

TARGET = Path(os.environ.get("CARGO_TARGET_DIR", Path.home() / ".cache/geodynamo/target"))
BINARY = TARGET / "debug" / "geodynamo"
START_S = 120
STATE_S = 60
KEY = ("AKIDTESTS", "hush")
# The region on Cassandra and its nodes, and the one on RocksDB.
ON_CASSANDRA, ON_ROCKS = "us-east-1", "eu-west-1"
NODES = {"us-east-1-a": ON_CASSANDRA, "us-east-1-b": ON_CASSANDRA, "eu-west-1": ON_ROCKS}
# How Cassandra's data centre is called (scripts/cassandra.py).
DATACENTER = "region"


class Node:
    """A `geodynamo serve`: it is started, killed, started again, on the same ports."""

    def __init__(self, folder, name):
        self.folder, self.name, self.region = folder, name, NODES[name]
        self.ports = {port: free_port() for port in ("data", "admin", "replication", "forward")}
        self.log = folder / f"{name}.log"
        self.process = None

    def address(self, port):
        return f"127.0.0.1:{self.ports[port]}"

    @property
    def endpoint(self):
        return f"http://{self.address('data')}"

    def configure(self, contact_points, keyspace, replication_factor):
        storage = ""
        if self.region == ON_CASSANDRA:
            storage = f"""
[storage]
engine = "cassandra"
[storage.cassandra]
contact_points = {json.dumps(contact_points)}
keyspace = "{keyspace}"
datacenter = "{DATACENTER}"
replication_factor = {replication_factor}
forward = "{self.address("forward")}"
"""
        config = self.folder / f"{self.name}.toml"
        config.write_text(
            f"""
region = "{self.region}"
node = "{self.name}"
data_dir = "{self.name}"
topology = "topology.toml"
[listen]
data = "{self.address("data")}"
admin = "{self.address("admin")}"
replication = "{self.address("replication")}"
[cluster_tls]
cert = "certs/{self.name}.pem"
key = "certs/{self.name}.key"
ca = "certs/ca.pem"
[encryption]
enabled = false
[access]
cluster_key_file = "certs/cluster.key"
[[credentials]]
access_key_id = "{KEY[0]}"
secret_access_key = "{KEY[1]}"
{storage}"""
        )
        return config

    def start(self):
        """Starts it; returns once it answers clients, itself or by passing them on."""
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [BINARY, "serve", "--config", self.folder / f"{self.name}.toml"],
                cwd=self.folder,
                env={**os.environ, "RUST_LOG": os.environ.get("RUST_LOG", "info")},
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
            )
        lines = queue.Queue()
        threading.Thread(target=lambda: lines.put(self.process.stdout.readline()), daemon=True).start()
        try:
            ready = lines.get(timeout=START_S)
        except queue.Empty:
            ready = ""
        if not ready:
            self.kill()
            pytest.fail(f"{self.name} is not ready: {self.tail()}")
        assert json.loads(ready)["data"] == self.address("data")

    def tail(self):
        return self.log.read_text()[-4000:]

    def is_running(self):
        return self.process is not None and self.process.poll() is None

    def signal(self, number):
        self.process.send_signal(number)

    def kill(self):
        if self.is_running():
            self.process.kill()
            self.process.wait()

    def stop(self):
        self.signal(signal.SIGTERM)
        assert self.process.wait(timeout=60) == 0, self.tail()

    def ask(self, path):
        """A path of the admin port: status and text."""
        try:
            with urllib.request.urlopen(f"http://{self.address('admin')}{path}", timeout=5) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            return error.code, error.read().decode()
        except OSError as error:
            return 0, str(error)

    def owner(self):
        status, text = self.ask("/owner")
        return json.loads(text) if status == 200 else {}

    def is_owner(self):
        return self.owner().get("is_owner", False)

    def client(self, attempts=1, read_timeout=30, service="dynamodb"):
        retries = {"total_max_attempts": attempts, "mode": "standard"}
        return boto3.client(
            service,
            endpoint_url=self.endpoint,
            region_name=self.region,
            aws_access_key_id=KEY[0],
            aws_secret_access_key=KEY[1],
            config=Config(retries=retries, connect_timeout=2, read_timeout=read_timeout),
        )


class World:
    """The nodes of both regions."""

    def __init__(self, folder, contact_points, replication_factor=1, on_rocks=True):
        names = [name for name, region in NODES.items() if on_rocks or region == ON_CASSANDRA]
        self.nodes = {name: Node(folder, name) for name in names}
        self.rocks = self.nodes.get(ON_ROCKS)
        (folder / "topology.toml").write_text(self.topology())
        run("certs", "--topology", folder / "topology.toml", "--out", folder / "certs")
        keyspace = f"test_{uuid.uuid4().hex[:12]}"
        configs = [node.configure(contact_points, keyspace, replication_factor) for node in self.nodes.values()]
        run("schema", "cassandra", "--config", configs[0], "--create")

    def topology(self):
        text = 'cluster = "test"\n'
        for region in dict.fromkeys(node.region for node in self.nodes.values()):
            text += f'\n[[region]]\nname = "{region}"\n'
            for node in self.nodes.values():
                if node.region == region:
                    text += f'[[region.node]]\nname = "{node.name}"\n'
                    text += f'zone = "{node.name[-1]}"\n' if region == ON_CASSANDRA else ""
                    text += "".join(f'{port} = "{node.address(port)}"\n' for port in ("replication", "data", "admin"))
        return text

    @property
    def pair(self):
        return [node for node in self.nodes.values() if node.region == ON_CASSANDRA]

    def owner(self):
        """The node that writes, and the other one."""
        return wait_until(self.seen_owner, "one node of two writes, and the other stands by")

    def seen_owner(self):
        found = sorted(self.pair, key=lambda node: not node.is_owner())
        return found if found[0].is_owner() and found[1].ask("/readyz")[0] == 200 else None

    def settle(self):
        """Starts what a test has ended."""
        for node in self.nodes.values():
            if not node.is_running():
                node.start()
        return self.owner()

    def end(self):
        for node in self.nodes.values():
            if node.is_running():
                node.signal(signal.SIGCONT)
                node.kill()


def run(*arguments):
    done = subprocess.run([BINARY, *arguments], stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, f"{arguments}: {done.stderr}"
    return done.stdout


@pytest.fixture(scope="session")
def contact_points():
    running = os.environ.get("GEODYNAMO_CASSANDRA")
    if running:
        yield running.split(",")
        return
    with cassandra.cluster(heap_mb=640) as nodes:
        yield [node.contact_point for node in nodes]


@pytest.fixture(scope="session")
def world(tmp_path_factory, contact_points):
    assert BINARY.exists(), f"{BINARY} is not built; `make test` builds it"
    world = World(tmp_path_factory.mktemp("world"), contact_points)
    try:
        for node in world.nodes.values():
            node.start()
        yield world
    finally:
        world.end()


@pytest.fixture
def pair(world):
    """The owner of the region on Cassandra, and the node that stands by."""
    return world.settle()


@pytest.fixture
def table(pair):
    """A table of the region on Cassandra, by its owner; its name."""
    name = f"test-{uuid.uuid4().hex[:12]}"
    create(pair[0].client(), name)
    return name


def create(client, name, **more):
    client.create_table(
        TableName=name,
        AttributeDefinitions=[{"AttributeName": "pk", "AttributeType": "S"}],
        KeySchema=[{"AttributeName": "pk", "KeyType": "HASH"}],
        BillingMode="PAY_PER_REQUEST",
        **more,
    )
    client.get_waiter("table_exists").wait(TableName=name, WaiterConfig={"Delay": 1, "MaxAttempts": 60})


def free_port():
    """A port of loopback that nobody listens on, by TCP or UDP."""
    while True:
        with socket.socket() as tcp, socket.socket(type=socket.SOCK_DGRAM) as udp:
            tcp.bind(("127.0.0.1", 0))
            try:
                udp.bind(tcp.getsockname())
            except OSError:
                continue
            return tcp.getsockname()[1]


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
