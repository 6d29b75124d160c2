#!/usr/bin/env python3
"""Apache Cassandra for tests and the demo: its jars by Maven, its nodes on loopback addresses 127.0.0.n.

    cassandra.py setup              brings the jars into the cache; prints their folder
    cassandra.py run [--nodes N] [--data FOLDER] [--port PORT] [--heap-mb MB]
                                    starts N nodes (1 or 3), prints one line of JSON once they are up ({"contact_points": […],
                                    "replication": N}), and ends them when standard input ends or a signal comes

The nodes keep to little memory, and take no care of their data beyond the run: this is no recipe for a real cluster.
"""

import argparse
import hashlib
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
CACHE = Path(os.environ.get("GEODYNAMO_CACHE", Path.home() / ".cache/geodynamo"))
POM = ROOT / "scripts/cassandra-jars/pom.xml"
# A node alone is up within 15 s on an idle machine.
START_TIMEOUT_S = 180
STOP_TIMEOUT_S = 20

EXPORTS = """
java.base/jdk.internal.misc java.management.rmi/com.sun.jmx.remote.internal.rmi java.rmi/sun.rmi.registry
java.rmi/sun.rmi.server java.sql/java.sql java.base/java.lang.ref jdk.unsupported/sun.misc jdk.compiler/com.sun.tools.javac.file
jdk.attach/sun.tools.attach java.base/jdk.internal.ref
""".split()
OPENS = """
java.base/java.lang.module java.base/jdk.internal.loader java.base/jdk.internal.ref java.base/jdk.internal.reflect
java.base/jdk.internal.math java.base/jdk.internal.module java.base/jdk.internal.util.jar java.base/sun.nio.ch java.base/java.io
java.base/java.lang.reflect java.base/java.lang java.base/java.util java.base/java.nio
jdk.management/com.sun.management.internal jdk.compiler/com.sun.tools.javac
""".split()

YAML = """
cluster_name: geodynamo
num_tokens: 1
initial_token: "{token}"
partitioner: org.apache.cassandra.dht.Murmur3Partitioner
authenticator: AllowAllAuthenticator
authorizer: AllowAllAuthorizer
listen_address: {address}
rpc_address: {address}
storage_port: {storage_port}
native_transport_port: {port}
endpoint_snitch: GossipingPropertyFileSnitch
seed_provider:
  - class_name: org.apache.cassandra.locator.SimpleSeedProvider
    parameters: [{{seeds: "127.0.0.1:{storage_port}"}}]
data_file_directories: ["{data}/data"]
commitlog_directory: "{data}/commitlog"
hints_directory: "{data}/hints"
saved_caches_directory: "{data}/saved_caches"
cdc_raw_directory: "{data}/cdc_raw"
disk_failure_policy: die
commit_failure_policy: die
auto_snapshot: false
paxos_variant: v2
commitlog_sync: batch
commitlog_segment_size: 32MiB
concurrent_reads: 16
concurrent_writes: 16
native_transport_max_threads: 16
memtable_allocation_type: heap_buffers
memtable_heap_space: 96MiB
memtable_offheap_space: 32MiB
key_cache_size: 8MiB
counter_cache_size: 0MiB
storage_compatibility_mode: NONE
cas_contention_timeout: 1800ms
write_request_timeout: 2000ms
read_request_timeout: 5000ms
"""

LOGBACK = """
<configuration>
  <appender name="STDOUT" class="ch.qos.logback.core.ConsoleAppender">
    <encoder><pattern>%-5level %date{{ISO8601}} %F:%L - %msg%n</pattern></encoder>
  </appender>
  <root level="INFO"><appender-ref ref="STDOUT"/></root>
</configuration>
"""


class Failed(Exception):
    """Told in one line."""


def setup():
    """Brings the jars, once; gives their folder."""
    for program in ("java", "mvn"):
        if shutil.which(program) is None:
            raise Failed(f"{program} is missing: `make setup-cassandra` installs what Cassandra needs")
    key = hashlib.sha256(POM.read_bytes()).hexdigest()[:16]
    folder = CACHE / "cassandra" / key
    if folder.exists():
        return folder
    folder.parent.mkdir(parents=True, exist_ok=True)
    coming = Path(tempfile.mkdtemp(prefix=f"{key}.", dir=folder.parent))
    print("== bringing Apache Cassandra's jars (70 MB)", file=sys.stderr, flush=True)
    command = ["mvn", "--batch-mode", "--quiet", f"--file={POM}", f"-Dmaven.repo.local={CACHE / 'maven'}"]
    command += ["dependency:copy-dependencies", "-DincludeScope=runtime", f"-DoutputDirectory={coming}"]
    if subprocess.call(command, stdin=subprocess.DEVNULL, stdout=sys.stderr, timeout=900) != 0:
        shutil.rmtree(coming, ignore_errors=True)
        raise Failed("Maven did not bring Cassandra's jars")
    try:
        coming.rename(folder)
    except OSError:  # somebody else was first
        shutil.rmtree(coming, ignore_errors=True)
    return folder


class Node:
    """A node of Cassandra: a process that is started, killed, started again."""

    def __init__(self, number, nodes, data, port, heap_mb):
        self.number, self.nodes, self.heap_mb = number, nodes, heap_mb
        self.address, self.port = f"127.0.0.{number}", port
        self.data = Path(data, f"node{number}")
        self.log = self.data / "log"
        self.process = None

    @property
    def contact_point(self):
        return f"{self.address}:{self.port}"

    def start(self):
        """Starts it and waits until it takes clients."""
        jars = setup()
        conf = self.data / "conf"
        conf.mkdir(parents=True, exist_ok=True)
        (self.data / "tmp").mkdir(exist_ok=True)
        token = -(1 << 63) + (1 << 64) * (self.number - 1) // self.nodes
        values = {"address": self.address, "port": self.port, "data": self.data, "token": token}
        (conf / "cassandra.yaml").write_text(YAML.format(**values, storage_port=self.port + 1000))
        (conf / "cassandra-rackdc.properties").write_text(f"dc=region\nrack={'abc'[(self.number - 1) % 3]}\n")
        (conf / "logback.xml").write_text(LOGBACK.format())
        agent = next(jars.glob("jamm-*.jar"))
        command = ["nice", "-n", "5", "java", f"-javaagent:{agent}", "-Xms256M", f"-Xmx{self.heap_mb}M"]
        command += ["-XX:MaxDirectMemorySize=256M", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-Xss512k", "-Xshare:auto"]
        command += [f"--add-exports={name}=ALL-UNNAMED" for name in EXPORTS]
        command += [f"--add-opens={name}=ALL-UNNAMED" for name in OPENS]
        properties = {
            "jdk.attach.allowAttachSelf": "true",
            "java.net.preferIPv4Stack": "true",
            "io.netty.tryReflectionSetAccessible": "true",
            "cassandra-foreground": "yes",
            "cassandra.ring_delay_ms": "2000",
            "cassandra.superuser_setup_delay_ms": "0",
            "cassandra.skip_wait_for_gossip_to_settle": "0",
            "cassandra.consistent.rangemovement": "false",
            "cassandra.logdir": self.data,
            "cassandra.storagedir": self.data,
            "cassandra.config": f"file://{conf}/cassandra.yaml",
            "java.io.tmpdir": self.data / "tmp",
        }
        command += [f"-D{name}={value}" for name, value in properties.items()]
        command += ["-cp", f"{conf}:{jars}/*", "org.apache.cassandra.service.CassandraDaemon"]
        offset = self.log.stat().st_size if self.log.exists() else 0
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd=self.data)
        deadline = time.monotonic() + START_TIMEOUT_S
        while True:
            with self.log.open("rb") as log:
                log.seek(offset)
                text = log.read()
            if b"Startup complete" in text:
                return
            if self.process.poll() is not None or time.monotonic() > deadline:
                last = b"\n".join(text.splitlines()[-20:]).decode(errors="replace")
                self.kill()
                raise Failed(f"Cassandra's node {self.number} did not start:\n{last}")
            time.sleep(0.2)

    def signal(self, number):
        self.process.send_signal(number)

    def kill(self):
        if self.process is not None and self.process.poll() is None:
            self.process.kill()
            self.process.wait()

    def stop(self):
        if self.process is not None and self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(STOP_TIMEOUT_S)
            except subprocess.TimeoutExpired:
                self.kill()


@contextmanager
def cluster(nodes=1, data=None, port=19042, heap_mb=512):
    """Running nodes, which end with the context."""
    with tempfile.TemporaryDirectory(prefix="geodynamo-cassandra-") as temporary:
        started = [Node(number, nodes, data or temporary, port, heap_mb) for number in range(1, nodes + 1)]
        try:
            # One after the other: nodes that join at once get into each other's way.
            for node in started:
                node.start()
            yield started
        finally:
            for node in started:
                # Nothing of a temporary cluster is wanted any more.
                node.stop() if data else node.kill()


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("setup")
    run = commands.add_parser("run")
    run.add_argument("--nodes", type=int, choices=(1, 3), default=1)
    run.add_argument("--data", type=Path)
    run.add_argument("--port", type=int, default=19042)
    run.add_argument("--heap-mb", type=int, default=512)
    arguments = parser.parse_args()
    try:
        if arguments.command == "setup":
            print(setup())
            return
        # So that nodes end with whoever started this.
        for number in (signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, lambda *_: sys.exit(0))
        data = arguments.data and arguments.data.resolve()
        with cluster(arguments.nodes, data, arguments.port, arguments.heap_mb) as nodes:
            points = [node.contact_point for node in nodes]
            print(json.dumps({"contact_points": points, "replication": len(nodes)}), flush=True)
            while sys.stdin.buffer.read(4096):
                pass
    except Failed as failed:
        sys.exit(f"cassandra: {failed}")
    except KeyboardInterrupt:
        pass


if __name__ == "__main__":
    main()
