"""Regions as processes of their own, each with its own folders: for tests that kill one, or take away what it has."""

import json
import subprocess
from contextlib import contextmanager

from conftest import BINARY, START_S, Region, Server, free_port

KEYS = ("AKIDTESTS", "hush")


class Node:
    """A region of a cluster: its folder, and its process while it runs."""

    def __init__(self, folder, name, settings):
        self.name = name
        self.folder = folder / name
        self.folder.mkdir()
        self.ports = {port: free_port() for port in ("data", "admin", "replication")}
        self.settings = settings
        self.server = None
        endpoint, admin = f"http://127.0.0.1:{self.ports['data']}", f"127.0.0.1:{self.ports['admin']}"
        self.region = Region(name, endpoint, *KEYS, admin)

    def address(self, port):
        return f"127.0.0.1:{self.ports[port]}"

    def configure(self):
        (self.folder / "region.toml").write_text(
            f"""
region = "{self.name}"
node = "{self.name}-a"
data_dir = "data"
topology = "../topology.toml"
[listen]
data = "{self.address("data")}"
admin = "{self.address("admin")}"
replication = "{self.address("replication")}"
[cluster_tls]
cert = "../certs/{self.name}-a.pem"
key = "../certs/{self.name}-a.key"
ca = "../certs/ca.pem"
[archive]
url = "archive"
ship_seconds = 1
[[credentials]]
access_key_id = "{KEYS[0]}"
secret_access_key = "{KEYS[1]}"
{self.settings}"""
        )

    def start(self):
        self.server = Server(["serve", "--config", str(self.folder / "region.toml")], self.folder)
        json.loads(self.server.line(START_S))

    def kill(self):
        """kill -9"""
        if self.server:
            self.server.kill()
            self.server = None

    def client(self, service="dynamodb"):
        return self.region.client(service)


@contextmanager
def cluster(folder, names, settings=""):
    """Regions of these names, linked, with further settings (TOML)."""
    nodes = [Node(folder, name, settings) for name in names]
    topology = 'cluster = "tests"\n'
    for node in nodes:
        topology += f"""
[[region]]
name = "{node.name}"
[[region.node]]
name = "{node.name}-a"
replication = "{node.address("replication")}"
data = "{node.address("data")}"
admin = "{node.address("admin")}"
"""
    (folder / "topology.toml").write_text(topology)
    certs = [BINARY, "certs", "--topology", folder / "topology.toml", "--out", folder / "certs"]
    subprocess.run(certs, check=True, capture_output=True)
    for node in nodes:
        node.configure()
        node.start()
    try:
        yield nodes
    finally:
        for node in nodes:
            node.kill()
