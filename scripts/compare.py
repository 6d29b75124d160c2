"""Runs the same workloads of the load generator against geodynamo and other servers of DynamoDB's API, one after the other on
this machine, and writes docs/comparison.md.

    compare.py BINARIES [--quick] [--only NAME,…] [--out FILE]

BINARIES is the folder with release builds of `geodynamo` and `geodynamo-loadgen`. Each server runs at its defaults, geodynamo
as `serve` does it: durable, encrypted, requests signed and authorized; only throttling is off. Rounds go by turns, each with fresh servers; the middle
round counts. The other servers are installed under ~/.cache/geodynamo/peers the first time, at the versions named here.
"""

import argparse
import json
import os
import platform
import re
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from datetime import date
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
CACHE = Path.home() / ".cache" / "geodynamo" / "peers"
VERSIONS = {"dynalite": "4.0.0", "ExtendDB": "0.1.10", "dynoxide": "3.2.0", "MiniStack": "1.5.33", "moto": "5.2.5"}
# The key that ExtendDB's developer mode says it takes; its secret is the one of AWS's documentation.
EXAMPLE_KEY = ("AKIAIOSFODNN7EXAMPLE", "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY")
WORKLOADS = ["puts", "gets", "updates", "ycsb-a"]
# What geodynamo's rate is to be of the best peer's, at least.
TARGETS = {"puts": 6, "gets": 2.5, "updates": 6}
ITEMS = 10_000
START_S = 60
# For filling the table, and for each workload: both take some 20 s.
RUN_S_MAX = 180


class Server:
    """A server of DynamoDB's API, as it is started here."""

    def __init__(self, name, version, durable, command, credentials=("local", "local"), environment=None, prepare=None):
        self.name, self.version, self.durable = name, version, durable
        self.command, self.credentials, self.environment, self.prepare = command, credentials, environment, prepare


def main():
    arguments = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    arguments.add_argument("binaries", type=Path)
    arguments.add_argument("--quick", action="store_true", help="one round of three seconds: for trying it out")
    arguments.add_argument("--only", help="the servers to run, by name")
    arguments.add_argument("--out", type=Path, default=ROOT / "docs" / "comparison.md")
    chosen = arguments.parse_args()
    rounds, seconds = (1, 3) if chosen.quick else (3, 10)
    servers = [server for server in all_servers(chosen.binaries) if not chosen.only or server.name in chosen.only.split(",")]
    # name → workload → what each round measured
    measured, peaks, slow = {}, {}, set()
    for number in range(rounds):
        for server in (server for server in servers if server.name not in slow):
            print(f"== round {number + 1} of {rounds}: {server.name}", flush=True)
            try:
                results, peak = run(server, chosen.binaries / "geodynamo-loadgen", seconds)
            except subprocess.TimeoutExpired:
                print(f"{server.name} took more than {RUN_S_MAX} s for one step: it is left out", flush=True)
                slow.add(server.name)
                continue
            for workload, result in results.items():
                measured.setdefault(server.name, {}).setdefault(workload, []).append(result)
            peaks[server.name] = max(peak, peaks.get(server.name, 0))
    servers = [server for server in servers if server.name not in slow]
    page = document(servers, measured, peaks, rounds, seconds)
    if slow:
        page += f"\nLeft out, as one step took more than {RUN_S_MAX} s: {', '.join(sorted(slow))}.\n"
    chosen.out.write_text(page)
    print(page)


def all_servers(binaries):
    node, python = CACHE / "npm" / "node_modules", CACHE / "py" / "bin"
    install(node, python)
    extend_db = node / "@extenddb" / "linux-x64" / "extenddb"
    commit = subprocess.run(["git", "describe", "--always", "--dirty"], cwd=ROOT, capture_output=True, text=True).stdout.strip()
    return [
        Server(
            "geodynamo",
            commit,
            "every write is on disk (fsync) before its reply",
            lambda port, folder: [binaries / "geodynamo", "serve", "--config", folder / "region.toml"],
            prepare=lambda port, folder: configuration(port, folder, binaries),
        ),
        Server(
            "dynalite",
            VERSIONS["dynalite"],
            "nothing: in memory (LevelDB with `--path`, not synced)",
            lambda port, folder: ["node", node / "dynalite" / "cli.js", "--host", "127.0.0.1", "--port", str(port)],
        ),
        Server(
            "ExtendDB",
            VERSIONS["ExtendDB"],
            "SQLite's file, with its own settings for syncing",
            lambda port, folder: [extend_db, "serve", "-c", folder / "x.toml", "-p", str(port), "--foreground"],
            credentials=EXAMPLE_KEY,
            prepare=lambda port, folder: subprocess.run(
                [extend_db, "init", "--sqlite-path", folder / "x.sqlite", "--config", folder / "x.toml", "--bind-addr", "127.0.0.1"],
                check=True,
                env=os.environ | {"HOME": str(folder)},
                capture_output=True,
            ),
        ),
        Server(
            "dynoxide",
            VERSIONS["dynoxide"],
            "nothing: in memory (SQLite's file with `--db-path`)",
            lambda port, folder: [CACHE / "cargo" / "bin" / "dynoxide", "serve", "--host", "127.0.0.1", "--port", str(port)],
        ),
        Server(
            "MiniStack",
            VERSIONS["MiniStack"],
            "nothing: in memory",
            lambda port, folder: [python / "ministack"],
            environment=lambda port: {"GATEWAY_PORT": str(port)},
        ),
        Server(
            "moto",
            VERSIONS["moto"],
            "nothing: in memory",
            lambda port, folder: [python / "moto_server", "-H", "127.0.0.1", "-p", str(port)],
        ),
    ]


def install(node, python):
    """The other servers, where they are not there yet."""
    wanted = {"npm": f"dynalite@{VERSIONS['dynalite']} @extenddb/linux-x64@{VERSIONS['ExtendDB']}"}
    if not (node / "dynalite").exists() or not (node / "@extenddb").exists():
        print("== installing dynalite and ExtendDB (npm)", flush=True)
        (CACHE / "npm").mkdir(parents=True, exist_ok=True)
        subprocess.run(["npm", "install", "--silent", "--prefix", CACHE / "npm", *wanted["npm"].split()], check=True)
    if not (python / "ministack").exists():
        print("== installing MiniStack and moto (PyPI)", flush=True)
        subprocess.run([sys.executable, "-m", "venv", CACHE / "py"], check=True)
        packages = [f"ministack=={VERSIONS['MiniStack']}", f"moto[server,dynamodb]=={VERSIONS['moto']}"]
        subprocess.run([python / "pip", "install", "--quiet", *packages], check=True)
    if not (CACHE / "cargo" / "bin" / "dynoxide").exists():
        print("== building dynoxide (crates.io; takes some minutes)", flush=True)
        command = ["cargo", "install", "dynoxide-rs", "--version", VERSIONS["dynoxide"], "--locked", "--root", CACHE / "cargo"]
        subprocess.run(command, check=True, env=os.environ | {"CARGO_TARGET_DIR": str(CACHE / "dynoxide-target")})


def configuration(port, folder, binaries):
    subprocess.run([binaries / "geodynamo", "keys", "new", folder / "region.key"], check=True, capture_output=True)
    (folder / "region.toml").write_text(
        f"""region = "us-east-1"
node = "us-east-1"
data_dir = "data"
listen = {{ data = "127.0.0.1:{port}", admin = "127.0.0.1:0" }}
# A generator's hottest keys would meet DynamoDB's ceilings, which the others do not have.
throttle = {{ enabled = false }}
[encryption]
key_file = "region.key"
[[credentials]]
access_key_id = "local"
secret_access_key = "local"
"""
    )


def run(server, loadgen, seconds):
    """Starts it, fills a table, runs the workloads. What the load generator says of each, and the peak of memory in MiB."""
    with tempfile.TemporaryDirectory(prefix="compare-") as folder:
        folder, port = Path(folder), free_port()
        if server.prepare:
            server.prepare(port, folder)
        environment = os.environ | {"HOME": str(folder)} | (server.environment(port) if server.environment else {})
        command = [str(part) for part in server.command(port, folder)]
        log = folder / "log"
        with log.open("wb") as output:
            process = subprocess.Popen(
                command, stdout=output, stderr=output, stdin=subprocess.DEVNULL, env=environment, cwd=folder, start_new_session=True
            )
        try:
            await_start(process, port, log)
            common = [str(loadgen), "--endpoint", f"127.0.0.1:{port}", "--region", "us-east-1", "--access-key-id", server.credentials[0]]
            common += ["--secret-access-key", server.credentials[1]]
            ask(common + ["load", "--items", str(ITEMS)])
            results = {}
            for workload in WORKLOADS:
                told = ask(common + ["run", "--workload", workload, "--seconds", str(seconds), "--json"])
                results[workload] = json.loads(told)
            return results, peak_mib(process.pid)
        finally:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait(timeout=START_S)


def ask(command):
    done = subprocess.run(command, capture_output=True, text=True, timeout=RUN_S_MAX)
    if done.returncode != 0:
        sys.exit(f"{' '.join(command)}: {done.stderr[-2000:]}")
    return done.stdout


def free_port():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


def await_start(process, port, log):
    deadline = time.monotonic() + START_S
    while time.monotonic() < deadline:
        if process.poll() is not None:
            break
        try:
            urllib.request.urlopen(f"http://127.0.0.1:{port}/", timeout=5)
            return
        except urllib.error.HTTPError:
            return
        except OSError:
            time.sleep(0.1)
    sys.exit(f"{process.args[0]} did not start: {log.read_text(errors='replace')[-2000:]}")


def peak_mib(leader):
    """The peak of memory of the processes in a session, added up."""
    total = 0
    for status in Path("/proc").glob("[0-9]*/status"):
        try:
            if os.getsid(int(status.parent.name)) == leader:
                found = re.search(r"VmHWM:\s+(\d+) kB", status.read_text())
                total += int(found.group(1)) if found else 0
        except OSError:
            continue
    return total / 1024


def middle(results, pick):
    return statistics.median(pick(result) for result in results)


def figures(results):
    """Requests a second, p50 and p99 of the response in ms, and failed requests, of one workload's rounds."""

    def quantile(name):
        return lambda result: max(operation["response_ms"][name] for operation in result["operations"] if operation["done"])

    rate = middle(results, lambda result: sum(operation["done"] for operation in result["operations"]) / result["seconds"])
    failed = sum(sum(operation["errors"].values()) for result in results for operation in result["operations"])
    return rate, middle(results, quantile("p50")), middle(results, quantile("p99")), failed


def judged(workload, rates):
    """How geodynamo compares with the best of the others, from rates by name, and what is wanted."""
    peers = {name: rate for name, rate in rates.items() if name != "geodynamo"}
    if "geodynamo" not in rates or not any(peers.values()):
        return []
    best = max(peers, key=peers.get)
    ratio = rates["geodynamo"] / peers[best]
    said = f"Of the best peer's rate, {best}'s, geodynamo has × {ratio:.1f}"
    wanted = TARGETS.get(workload)
    if wanted is None:
        return ["", f"{said}; no target."]
    return ["", f"{said}; wanted: × {wanted}, which is {'reached' if ratio >= wanted else 'not reached'}."]


def document(servers, measured, peaks, rounds, seconds):
    cpu = next((line.split(":", 1)[1].strip() for line in Path("/proc/cpuinfo").read_text().splitlines() if "model name" in line), "?")
    lines = [
        "# Side by side",
        "",
        "The load generator's workloads against servers of DynamoDB's API, each at its defaults, one after the other on one machine",
        f"({os.cpu_count()} × {cpu}, Linux {platform.release()}, {date.today()}); clients and server share it. {rounds} round(s) by turns,",
        f"{seconds} s for each workload after 2 s of warming up, 32 connections in a closed loop, {ITEMS:,} items of 300 bytes; the middle round",
        "counts. Latencies are the client's, of the slower operation where a workload has two. geodynamo runs as `serve` does: signed",
        "requests, policies, encrypted files, one fsync for many writers; only throttling is off. Made by `make compare`.",
        "",
        "Speeds of a machine that does other things besides say nothing by themselves; the ratios of one run do. Wanted are "
        + ", ".join(f"{workload} × {ratio}" for workload, ratio in TARGETS.items()),
        "of the best peer's rate; each table is followed by what this run says to that, and another run prints it anew.",
        "",
        "| server | version | a write survives a power cut | peak memory, MiB |",
        "| --- | --- | --- | --- |",
    ]
    for server in servers:
        lines.append(f"| {server.name} | {server.version} | {server.durable} | {peaks[server.name]:.0f} |")
    ours = measured.get("geodynamo", {})
    for workload in WORKLOADS:
        lines += ["", f"## {workload}", "", "| server | requests/s | geodynamo is | p50, ms | p99, ms | failed |", "| --- | ---: | ---: | ---: | ---: | ---: |"]
        rates = {}
        for server in servers:
            rate, p50, p99, failed = figures(measured[server.name][workload])
            rates[server.name] = rate
            ratio = f"× {figures(ours[workload])[0] / rate:.1f}" if ours and rate else ""
            lines.append(f"| {server.name} | {rate:,.0f} | {ratio} | {p50:.2f} | {p99:.2f} | {failed} |")
        lines += judged(workload, rates)
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    main()
