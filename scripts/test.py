"""`make test`: every check and test, one stage after the other; a failing stage does not stop the next one.

Prints what each stage took and ends in one line, `N passed, N failed`. Exits 1 if anything failed. A check (format,
clippy, rustdoc, the build) counts as one; a stage of tests counts its tests, and one failure more if a test program
ended without a verdict (a crash, a time-out).

`scripts/test.py NAME…` runs only the stages whose names contain one of the words (the build is always run).
"""

import json
import os
import re
import subprocess
import sys
import tempfile
import threading
import time
import xml.etree.ElementTree
from dataclasses import dataclass
from pathlib import Path

import cassandra
import libraries

ROOT = Path(__file__).resolve().parent.parent
NICE = ["nice", "-n", "5"]
# One run of CI may take 90 minutes; a test program that hangs must not eat them all.
TEST_PROGRAM_TIMEOUT_S = 1500
CARGO_VERDICT = re.compile(r"^test result: \w+\. (\d+) passed; (\d+) failed;")


@dataclass
class Count:
    passed: int = 0
    failed: int = 0

    def __add__(self, other):
        return Count(self.passed + other.passed, self.failed + other.failed)


@dataclass
class TestProgram:
    """One test executable that cargo built."""

    package: str
    manifest_folder: str
    target: str
    path: str


def main():
    wanted = sys.argv[1:]
    stages = Stages(wanted)
    stages.run("format", lambda: check(["cargo", "fmt", "--all", "--check"]))
    stages.run("tidy", lambda: check([sys.executable, "scripts/tidy.py"]))
    programs = []
    stages.run("build", lambda: build(programs), always=True)
    stages.run(
        "clippy",
        lambda: check(NICE + ["cargo", "clippy", "--quiet", "--workspace", "--all-targets", "--", "-D", "warnings"]),
    )
    stages.run(
        "rustdoc",
        lambda: check(NICE + ["cargo", "doc", "--quiet", "--workspace", "--no-deps"], RUSTDOCFLAGS="-D warnings"),
    )
    apart = ("geodynamo-simulation", "geodynamo-tests")
    stages.run("unit and property tests", lambda: run_all(p for p in programs if p.package not in apart))
    stages.run("documentation tests", lambda: run_cargo_tests(NICE + ["cargo", "test", "--workspace", "--doc", "--quiet"]))
    stages.run("simulation", lambda: run_all(p for p in programs if p.package == "geodynamo-simulation"))
    stages.run("SDK clients", run_sdk_tests)
    stages.run("console", run_console_tests)
    stages.run("network namespaces", run_netns_test)
    stages.run("policies' oracle", run_oracle)
    stages.run("cassandra", lambda: run_cassandra_tests(p for p in programs if p.package == "geodynamo-cassandra"))
    credentials = next((p.path for p in programs if p.target == "credentials"), None)
    stages.run("libraries", lambda: Count(*libraries.run(credentials)))
    # Real processes, timed ones among them: one program after the other, one test after the other.
    stages.run("processes", lambda: run_all((p for p in programs if p.package == "geodynamo-tests"), threads=1))
    stages.finish()


class Stages:
    """Runs stages, times them, and sums what they counted."""

    def __init__(self, wanted):
        self.wanted = wanted
        self.done = []

    def run(self, name, stage, always=False):
        if self.wanted and not always and not any(word in name for word in self.wanted):
            return
        print(f"\n== {name}", flush=True)
        start = time.monotonic()
        try:
            count = stage()
        except Exception as error:  # a broken stage is a failure, and the next stages still run
            print(f"{name}: {error!r}", flush=True)
            count = Count(failed=1)
        took = time.monotonic() - start
        print(f"== {name}: {count.passed} passed, {count.failed} failed, {took:.0f} s", flush=True)
        self.done.append((name, count, took))

    def finish(self):
        print("\nstage                          passed   failed        s")
        for name, count, took in self.done:
            print(f"{name:<28} {count.passed:>8} {count.failed:>8} {took:>8.0f}")
        total = sum((count for _, count, _ in self.done), Count())
        if total.passed == 0:
            total.failed += 1
        print(f"\n{total.passed} passed, {total.failed} failed", flush=True)
        sys.exit(1 if total.failed else 0)


def check(command, **variables):
    """A command whose exit code is the verdict."""
    code = subprocess.call(command, cwd=ROOT, env={**os.environ, **variables}, stdin=subprocess.DEVNULL)
    return Count(passed=1) if code == 0 else Count(failed=1)


def build(programs):
    """Builds every library, program and test once (dev profile) and notes the test programs in `programs`.

    One build of everything, so that cargo unifies features once and nothing is compiled twice.
    """
    command = NICE + ["cargo", "build", "--workspace", "--all-targets", "--keep-going"]
    command += ["--message-format=json-render-diagnostics"]
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stdin=subprocess.DEVNULL, text=True)
    for line in process.stdout:
        message = json.loads(line)
        if message.get("reason") != "compiler-artifact" or not message.get("executable"):
            continue
        if message["profile"]["test"]:
            folder = str(Path(message["manifest_path"]).parent)
            programs.append(
                TestProgram(package_name(folder), folder, message["target"]["name"], message["executable"])
            )
    code = process.wait()
    print(f"{len(programs)} test programs", flush=True)
    return Count(passed=1) if code == 0 and programs else Count(failed=1)


def package_name(folder):
    manifest = Path(folder, "Cargo.toml").read_text()
    return re.search(r'^name = "([^"]+)"', manifest, re.MULTILINE).group(1)


def run_cassandra_tests(programs):
    """What needs a real Cassandra. Fails where there is no Java."""
    with cassandra.cluster(heap_mb=640) as nodes:
        os.environ["GEODYNAMO_CASSANDRA"] = ",".join(node.contact_point for node in nodes)
        return run_all(programs, threads=1, ignored=True) + run_pytest(sys.executable, "tests/cassandra")


def run_all(programs, threads=None, ignored=False):
    total = Count()
    for program in sorted(programs, key=lambda p: (p.package, p.target)):
        print(f"-- {program.package} {program.target}", flush=True)
        arguments = [f"--test-threads={threads}", "--nocapture"] if threads else ["--quiet"]
        arguments += ["--ignored"] if ignored else []
        # As `cargo test` runs them: in the package's folder, with its name for it.
        total += run_cargo_tests(
            NICE + [program.path, *arguments],
            folder=program.manifest_folder,
            CARGO_MANIFEST_DIR=program.manifest_folder,
        )
    return total


def run_cargo_tests(command, folder=ROOT, **variables):
    """Runs what prints `test result:` lines; passes its output on."""
    process = subprocess.Popen(
        command,
        cwd=folder,
        env={**os.environ, **variables},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
    )
    timer = threading.Timer(TEST_PROGRAM_TIMEOUT_S, process.kill)
    timer.start()
    count = Count()
    for line in process.stdout:
        verdict = CARGO_VERDICT.match(line)
        if verdict:
            count += Count(int(verdict.group(1)), int(verdict.group(2)))
        # Programs without tests say so in three lines; leave those out.
        if verdict is None or count.passed or count.failed:
            print(line, end="", flush=True)
    code = process.wait()
    timer.cancel()
    if code != 0 and count.failed == 0:
        print(f"{command[0] if command[0] != 'nice' else command[3]} ended with {code} and no failed test", flush=True)
        count.failed = 1
    return count


def run_netns_test():
    """Three regions on three networks. Where namespaces cannot be made (no root, a sandbox), it says so."""
    name = f"gd{os.getpid()}-probe"
    if subprocess.call(["ip", "netns", "add", name], stderr=subprocess.DEVNULL) != 0:
        print("SKIPPED: network namespaces cannot be made here (they need root)", flush=True)
        return Count()
    subprocess.call(["ip", "netns", "delete", name])
    return check([sys.executable, "scripts/netns.py", "test"])


def run_oracle():
    """20,000 generated policies and requests, decided here and by an independent evaluator."""
    paths = libraries.environments()
    judge = libraries.TARGET / "debug" / "examples" / "judge"
    variables = {"JUDGE": str(judge), "NODE": paths["node"], "IAM_SIMULATE": paths["oracle"]}
    return check([sys.executable, "tests/policies/oracle.py"], **variables)


def run_sdk_tests():
    return run_pytest(sys.executable, "tests/sdk", "tests/shim")


def run_console_tests():
    """In an environment of its own: nothing else needs a browser's driver."""
    command = [ROOT / "scripts/python-env", "--path", "tests/console/requirements.txt"]
    folder = subprocess.check_output(command, cwd=ROOT, stdin=subprocess.DEVNULL, text=True).strip()
    return run_pytest(f"{folder}/bin/python", "tests/console")


def run_pytest(python, *folders):
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder, "report.xml")
        command = [python, "-m", "pytest", "-v", "--tb=short", "-p", "no:cacheprovider", f"--junitxml={report}"]
        code = subprocess.call([*command, *folders], cwd=ROOT, stdin=subprocess.DEVNULL)
        count = Count()
        if report.exists():
            for suite in xml.etree.ElementTree.parse(report).iter("testsuite"):
                bad = int(suite.get("failures")) + int(suite.get("errors"))
                skipped = int(suite.get("skipped"))
                count += Count(max(int(suite.get("tests")) - bad - skipped, 0), bad)
    if code != 0 and count.failed == 0:
        print(f"pytest ended with {code} and no failed test", flush=True)
        count.failed = 1
    return count


if __name__ == "__main__":
    main()
