"""Measures how soon changes are elsewhere: at functions, in a lake table; and what sinks and functions that are away cost those who write.

    $(scripts/python-env --path)/bin/python scripts/reactions.py BINARIES [--only function,batches,lake,faults] [--seconds N]

BINARIES is the folder with builds of `geodynamo` and `geodynamo-loadgen`, of one profile. Everything is a ratio of one run, or the time
from a change to where it is: speeds of a machine that does other things besides say nothing by themselves.
"""

import argparse
import json
import os
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
from contextlib import contextmanager
from pathlib import Path

import boto3
from botocore.config import Config

ROOT = Path(__file__).resolve().parent.parent
KEY = ("AKIDREACTIONS", "hush")
STREAM = {"StreamEnabled": True, "StreamViewType": "NEW_AND_OLD_IMAGES"}
BATCH = 25
WRITERS = 4
COMMIT_S = 2
WAIT_S = 120
ROUNDS = 3
FAILURES = 7

CONFIG = """
region = "us-east-1"
node = "us-east-1"
data_dir = "data"
listen = {{ data = "127.0.0.1:0", admin = "127.0.0.1:0" }}
[[credentials]]
access_key_id = "{0}"
secret_access_key = "{1}"
[throttle]
enabled = false
{more}
"""

# A function that notes when each record came.
APP = """
import os, time

OUT = open(os.environ["OUT"], "a", buffering=1 << 20)

def handler(event, context):
    now = time.time_ns()
    OUT.writelines(f"{record['dynamodb']['NewImage']['n']['N']} {now}\\n" for record in event["Records"])
    OUT.flush()
"""


@contextmanager
def region(binaries, folder, more):
    """A region of its own; gives its clients' maker, its process, and its admin port."""
    folder.mkdir(parents=True, exist_ok=True)
    config = folder / "region.toml"
    config.write_text(CONFIG.format(*KEY, more=more))
    with open(folder / "log", "w") as log:
        process = subprocess.Popen([binaries / "geodynamo", "serve", "--config", config], stdout=subprocess.PIPE, stderr=log, text=True, cwd=folder)
    try:
        ready = json.loads(process.stdout.readline())

        def client(service="dynamodb"):
            keys = {"aws_access_key_id": KEY[0], "aws_secret_access_key": KEY[1], "region_name": "us-east-1"}
            return boto3.client(service, endpoint_url=f"http://{ready['data']}", config=Config(retries={"total_max_attempts": 1}), **keys)

        yield client, process, ready
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(timeout=60)


def make(client, table):
    client.create_table(
        TableName=table,
        AttributeDefinitions=[{"AttributeName": "pk", "AttributeType": "S"}],
        KeySchema=[{"AttributeName": "pk", "KeyType": "HASH"}],
        BillingMode="PAY_PER_REQUEST",
        StreamSpecification=STREAM,
    )
    client.get_waiter("table_exists").wait(TableName=table, WaiterConfig={"Delay": 1, "MaxAttempts": 60})
    return client.describe_table(TableName=table)["Table"]["LatestStreamArn"]


class Writer:
    """Puts new items at a rate; knows when each was sent and when it was acknowledged, in nanoseconds."""

    def __init__(self, make_client, table, rate, seconds, base=0):
        self.sent, self.done, self.lock = {}, {}, threading.Lock()
        self.finished, self.base = [], base
        each = rate / WRITERS / BATCH
        threads = [threading.Thread(target=self.run, args=(make_client(), table, number, each, seconds)) for number in range(WRITERS)]
        self.began = time.time()
        for thread in threads:
            thread.start()
        self.threads = threads

    def run(self, client, table, number, each, seconds):
        begun, batches = time.time(), 0
        while time.time() - begun < seconds:
            due = begun + batches / each
            time.sleep(max(0.0, due - time.time()))
            first = self.base + (batches * WRITERS + number) * BATCH
            names = range(first, first + BATCH)
            puts = [{"PutRequest": {"Item": {"pk": {"S": f"k{n}"}, "n": {"N": str(n)}, "text": {"S": "x" * 200}}}} for n in names]
            sent = time.time_ns()
            client.batch_write_item(RequestItems={table: puts})
            done = time.time_ns()
            with self.lock:
                for n in names:
                    self.sent[n], self.done[n] = sent, done
                self.finished.append((done, BATCH))
            batches += 1

    def join(self):
        for thread in self.threads:
            thread.join()
        return len(self.done) / (max(self.done.values()) / 1e9 - self.began)


def wait_until(state, what):
    until = time.time() + WAIT_S
    while not (found := state()):
        if time.time() > until:
            raise SystemExit(f"{what}: not after {WAIT_S} s")
        time.sleep(0.02)
    return found


def cpu_s(process):
    fields = Path(f"/proc/{process.pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def function_settings(folder):
    environment = [ROOT / "scripts/python-env", "--path", "tests/sdk/requirements-lambda.txt"]
    python = subprocess.run(environment, check=True, capture_output=True, text=True, cwd=ROOT).stdout.strip()
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "app.py").write_text(APP)
    return (
        f'[functions.local]\ncommand = ["{python}/bin/python", "-m", "awslambdaric", "app.handler"]\nfolder = "{folder}"\n'
        f'environment = {{ OUT = "{folder}/out" }}\n'
    )


def map_function(make_client, arn, start, batch_size=100):
    lambdas = make_client("lambda")
    made = lambdas.create_event_source_mapping(EventSourceArn=arn, FunctionName="local", StartingPosition=start, BatchSize=batch_size)
    wait_until(lambda: lambdas.get_event_source_mapping(UUID=made["UUID"])["State"] == "Enabled", "the mapping")


def arrived(folder):
    path = folder / "out"
    lines = path.read_text().splitlines() if path.exists() else []
    return {int(n): int(at) for n, at in map(str.split, lines)}


def quantile(values, part):
    values = sorted(values)
    return values[min(len(values) - 1, int(len(values) * part))]


def function(binaries, folder, seconds):
    """From a put's sending, and from its reply, to the function's first line, at 1,000 changes a second."""
    with region(binaries, folder, function_settings(folder / "app")) as (make_client, process, _):
        arn = make(make_client(), "changes")
        map_function(make_client, arn, "LATEST")
        warm = Writer(make_client, "changes", 200, 2)
        warm.join()
        wait_until(lambda: len(arrived(folder / "app")) == len(warm.done), "a warm function")
        (folder / "app/out").write_text("")
        before, begun = cpu_s(process), time.time()
        # New items: a put that changes nothing has no record.
        writer = Writer(make_client, "changes", 1000, seconds, 1_000_000)
        rate = writer.join()
        wait_until(lambda: len(arrived(folder / "app")) >= len(writer.done), "all changes")
        found = arrived(folder / "app")
        used = (cpu_s(process) - before) / (time.time() - begun)
        for name, since in (("sent", writer.sent), ("acknowledged", writer.done)):
            late = [(found[n] - since[n]) / 1e6 for n in since]
            p50, p99 = quantile(late, 0.5), quantile(late, 0.99)
            print(f"change → warm local function, from when it was {name}: p50 {p50:.1f} ms, p99 {p99:.1f} ms")
        print(f"  at {rate:,.0f} changes/s; the region, writes and all, took {used:.2f} cores")


def batches(binaries, folder, seconds):
    """What the runner takes for batches of 100, of a backlog, while nobody writes."""
    with region(binaries, folder, function_settings(folder / "app")) as (make_client, process, _):
        arn = make(make_client(), "changes")
        writer = Writer(make_client, "changes", 100_000, seconds)
        writer.join()
        count = len(writer.done)
        before, begun = cpu_s(process), time.time()
        map_function(make_client, arn, "TRIM_HORIZON")
        wait_until(lambda: len(arrived(folder / "app")) == count, "the backlog")
        took = (max(arrived(folder / "app").values()) / 1e9) - begun
        used = cpu_s(process) - before
        print(f"a backlog of {count:,} changes in batches of 100: {count / took:,.0f} changes/s")
        print(f"  the region took {used / count * 1e6:.0f} µs of a core for each: {used / count * 10_000:.2f} cores at 10,000 changes/s")


def lake(binaries, folder, seconds):
    """How old the oldest change is that a lake table does not have, at its oldest, above the commit interval."""
    for columns in ("keys", "typed"):
        measure_lake(binaries, folder / columns, seconds, columns)


def measure_lake(binaries, folder, seconds, columns):
    lake = folder / "lake"
    settings = f'[[sinks]]\nname = "lake"\ntable = "changes"\n[sinks.iceberg]\nplace = "{lake}"\ncommit_seconds = {COMMIT_S}\ncolumns = "{columns}"\n'
    with region(binaries, folder, settings) as (make_client, process, _):
        make(make_client(), "changes")
        wait_until(lambda: positions(lake / "changes") is not None, "the lake table")
        before, used = positions(lake / "changes"), cpu_s(process)
        writer = Writer(make_client, "changes", 5000, seconds)
        ages = []
        while any(thread.is_alive() for thread in writer.threads):
            had, now = positions(lake / "changes") - before, time.time_ns()
            with writer.lock:
                finished = sorted(writer.finished)
            # Writes may be in another order in the logs than their replies are: what is behind this many may be missing.
            for done, count in finished:
                had -= count
                if had < 0:
                    ages.append((now - done) / 1e9)
                    break
            time.sleep(0.02)
        rate = writer.join()
        count = len(writer.done)
        wait_until(lambda: positions(lake / "changes") - before >= count, "all changes")
        used = (cpu_s(process) - used) / count * 1e6
        print(f"lake table, columns = {columns}, a commit every {COMMIT_S} s: the oldest change that it did not have was {max(ages):.1f} s old at most,")
        print(f"  {max(ages) - COMMIT_S:+.1f} s against the interval, at {rate:,.0f} changes/s; in the middle {statistics.median(ages):.1f} s;")
        print(f"  the region, writes and all, took {used:.0f} µs of a core for each change")


def positions(table):
    """How many changes a lake table has, by its newest snapshot's summary."""
    try:
        version = int((table / "metadata/version-hint.text").read_text())
        metadata = json.loads((table / f"metadata/v{version}.metadata.json").read_text())
    except (OSError, ValueError):
        return None
    newest = next(s for s in metadata["snapshots"] if s["snapshot-id"] == metadata["current-snapshot-id"])
    return sum(int(position) for position in newest["summary"]["geodynamo.positions"].split(","))


def faults(binaries, folder, seconds):
    """Puts with everything away that follows the table, by puts with nothing that follows it; by turns."""
    closed = socket.socket()
    closed.bind(("127.0.0.1", 0))
    away = f"http://127.0.0.1:{closed.getsockname()[1]}"
    folder.mkdir(parents=True, exist_ok=True)
    sinks = [
        f'[sinks.postgres]\naddress = "{away.replace("http", "postgres").replace("//", "//u@")}/d"\n',
        f'[sinks.iceberg]\nplace = "{folder}/lake"\ncommit_seconds = 1\n',
    ]
    faulted = f'[triggers]\nmemory_mb = 1\n[functions.local]\nurl = "{away}"\n[destinations.kinesis]\nendpoint = "{away}"\n'
    faulted += "".join(f'[[sinks]]\nname = "s{place}"\ntable = "loadgen"\n{sink}' for place, sink in enumerate(sinks))
    # A stream has images in the change log, whoever reads them: a table with a stream that nobody reads is beside them.
    rates = {"without": [], "stream": [], "with": []}
    used = {name: [] for name in rates}
    for turn in range(ROUNDS * len(rates)):
        name = list(rates)[turn % len(rates)]
        shutil.rmtree(folder / "lake", ignore_errors=True)
        with region(binaries, folder / str(turn), faulted if name == "with" else "") as (make_client, process, ready):
            common = [binaries / "geodynamo-loadgen", "--endpoint", ready["data"], "--region", "us-east-1"]
            common += ["--access-key-id", KEY[0], "--secret-access-key", KEY[1]]
            subprocess.run([*common, "load", "--items", "1000"], check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            client, table = make_client(), "loadgen"
            if name != "without":
                client.update_table(TableName=table, StreamSpecification=STREAM)
            if name == "with":
                # A copy that was begun, so that the logs are held for it, and that cannot be kept up any more.
                copy = folder / "lake/loadgen"
                wait_until(lambda: positions(copy) is not None, "the lake table")
                shutil.rmtree(copy / "data", ignore_errors=True)
                (copy / "data").write_text("")
                arn = wait_until(lambda: client.describe_table(TableName=table)["Table"].get("LatestStreamArn"), "the stream")
                map_function(make_client, arn, "LATEST")
                client.enable_kinesis_streaming_destination(TableName=table, StreamArn="arn:aws:kinesis:us-east-1:000000000000:stream/s")
            puts = lambda of: subprocess.run(
                [*common, "run", "--workload", "puts", "--seconds", str(of), "--json"], check=True, capture_output=True, text=True
            )
            puts(3)
            if name == "with":
                # Everything is away for a while: what may gather has gathered, and pauses are at their longest.
                wait_until(lambda: all(sink["failures"] >= FAILURES for sink in sinks_of(ready)), "failures")
            before = cpu_s(process)
            result = json.loads(puts(seconds).stdout)
            done = sum(operation["done"] for operation in result["operations"])
            rates[name].append(done / result["seconds"])
            used[name].append((cpu_s(process) - before) / done * 1e6)
    closed.close()
    for other in ("without", "stream"):
        ratios = [one / two for one, two in zip(rates["with"], rates[other])]
        told = {"without": "without any of it", "stream": "with a stream that nobody reads"}[other]
        print(f"puts with PostgreSQL, a lake's folder, Kinesis and a function away, by puts {told}: {statistics.median(ratios):.3f}")
        print(f"  in each round {', '.join(f'{ratio:.3f}' for ratio in ratios)}")
    shown = {name: ", ".join(f"{rate:,.0f}" for rate in found) for name, found in rates.items()}
    print(f"  puts/s: {shown}")
    print("  the region's µs of a core for each put, warming up included: " + ", ".join(f"{name} {statistics.median(of):.0f}" for name, of in used.items()))


def sinks_of(ready):
    with urllib.request.urlopen(f"http://{ready['admin']}/sinks", timeout=10) as answer:
        return json.load(answer)["sinks"]


def main():
    arguments = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    arguments.add_argument("binaries", type=Path)
    arguments.add_argument("--only", help="what to measure, by name")
    arguments.add_argument("--seconds", type=int, default=10)
    chosen = arguments.parse_args()
    all_of_them = {"function": function, "batches": batches, "lake": lake, "faults": faults}
    for name, measure in all_of_them.items():
        if not chosen.only or name in chosen.only.split(","):
            with tempfile.TemporaryDirectory() as folder:
                measure(chosen.binaries.resolve(), Path(folder) / name, chosen.seconds)
                sys.stdout.flush()


if __name__ == "__main__":
    main()
