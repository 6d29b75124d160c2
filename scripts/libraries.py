"""The tests of unmodified libraries (tests/libraries): one `geodynamo dev` for all, one run of each language's own runner.
Beside it a region whose streams' shards last for seconds only, for who follows them from parent to child.

The libraries learn where the server is as in any program, from the AWS_… variables.
"""

import os
import re
import signal
import subprocess
import tempfile
import xml.etree.ElementTree
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
LIBRARIES = ROOT / "tests" / "libraries"
TARGET = Path(os.environ.get("CARGO_TARGET_DIR", Path.home() / ".cache/geodynamo/target"))
NICE = ["nice", "-n", "5"]
# A runner takes about 15 s; one that hangs must not eat up the run.
RUNNER_TIMEOUT_S = 300

# A region that takes the same credentials; what its shards hold, their children continue after seconds.
SHORT_SHARDS = """
region = "us-east-1"
node = "us-east-1"
data_dir = "data"
listen = { data = "127.0.0.1:0", admin = "127.0.0.1:0" }
storage = { partitions_per_table = 2 }
streams = { shard_seconds = 8 }
[[credentials]]
access_key_id = "any"
secret_access_key = "any"
"""


def run():
    """Runs all; gives (passed, failed)."""
    paths = environments()
    passed = failed = 0
    with tempfile.TemporaryDirectory() as folder, servers(Path(folder)) as variables:
        for runner in (python, javascript, java):
            print(f"-- {runner.__name__}", flush=True)
            report = Path(folder, runner.__name__)
            report.mkdir()
            counted = count(report, runner(paths, variables, report))
            print(f"-- {runner.__name__}: {counted[0]} passed, {counted[1]} failed", flush=True)
            passed, failed = passed + counted[0], failed + counted[1]
    return passed, failed


def python(paths, variables, report):
    command = [paths["python"], "-m", "pytest", "-v", "--tb=short", "-p", "no:cacheprovider"]
    return execute([*command, f"--junitxml={report}/report.xml", LIBRARIES / "python"], variables)


def javascript(paths, variables, report):
    command = [paths["node"], "--test", "--test-timeout=120000", "--test-concurrency=2"]
    command += ["--test-reporter=spec", "--test-reporter-destination=stdout"]
    command += ["--test-reporter=junit", f"--test-reporter-destination={report}/report.xml"]
    tests = sorted((LIBRARIES / "javascript").glob("*.test.js"))
    return execute([*command, *tests], {**variables, "NODE_PATH": paths["node_modules"]})


def java(paths, variables, report):
    command = ["mvn", "--batch-mode", "--quiet", f"--file={LIBRARIES / 'java/pom.xml'}"]
    command += [f"-Dmaven.repo.local={paths['maven_repository']}", f"-Doutput={report}", "test"]
    return execute(command, variables)


def execute(command, variables):
    try:
        return subprocess.call(
            NICE + [str(word) for word in command],
            cwd=LIBRARIES,
            env={**os.environ, **variables},
            stdin=subprocess.DEVNULL,
            timeout=RUNNER_TIMEOUT_S,
        )
    except subprocess.TimeoutExpired:
        print(f"took more than {RUNNER_TIMEOUT_S} s", flush=True)
        return -1


def count(report, code):
    """Counts the test cases in the JUnit reports that a runner wrote; one failure more if it failed without saying where."""
    passed = failed = 0
    for file in report.rglob("*.xml"):
        # Node.js writes the control characters of messages as they are, which XML does not allow.
        text = re.sub(r"[\x00-\x08\x0b\x0c\x0e-\x1f]", "", file.read_text(errors="replace"))
        for case in xml.etree.ElementTree.fromstring(text.encode()).iter("testcase"):
            verdicts = {child.tag for child in case}
            if verdicts & {"failure", "error"}:
                failed += 1
            elif "skipped" not in verdicts:
                passed += 1
    if failed == 0 and (code != 0 or passed == 0):
        print(f"the runner ended with {code}, {passed} tests passed and none failed", flush=True)
        failed = 1
    return passed, failed


def environments():
    """What scripts/library-envs made."""
    lines = subprocess.check_output([ROOT / "scripts/library-envs"], text=True, stdin=subprocess.DEVNULL).splitlines()
    return dict(line.split("=", 1) for line in lines)


@contextmanager
def servers(folder):
    """Both servers; gives the variables that lead clients to them."""
    config = Path(folder, "region.toml")
    config.write_text(SHORT_SHARDS)
    local = ("dev", "--port", "0", "--delay-transient-statuses")
    with server(folder, *local) as dev, server(folder, "serve", "--config", config) as short_shards:
        yield {
            "AWS_ENDPOINT_URL_DYNAMODB": dev,
            "AWS_ENDPOINT_URL_DYNAMODB_STREAMS": dev,
            "GEODYNAMO_SHORT_SHARDS": short_shards,
            "AWS_DEFAULT_REGION": "us-east-1",
            "AWS_REGION": "us-east-1",
            "AWS_ACCESS_KEY_ID": "any",
            "AWS_SECRET_ACCESS_KEY": "any",
            # Nobody's own settings.
            "AWS_CONFIG_FILE": os.devnull,
            "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
        }


@contextmanager
def server(folder, command, *arguments):
    """A running `geodynamo`; gives its data port. SIGTERM must end it with 0."""
    errors = Path(folder, f"{command}.log")
    with errors.open("w+") as log:
        process = subprocess.Popen(
            [TARGET / "debug" / "geodynamo", command, *arguments],
            cwd=folder,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=log,
            text=True,
        )
        try:
            found = None
            while found is None:
                line = process.stdout.readline()
                if not line:
                    raise RuntimeError(f"geodynamo {command} ended: {errors.read_text()[-4000:]}")
                # `dev` greets with an address; `serve` says where it is in JSON.
                found = re.search(r'http://([\w.]+:\d+)|"data":"([\w.]+:\d+)"', line)
            yield f"http://{found.group(1) or found.group(2)}"
        finally:
            process.send_signal(signal.SIGTERM)
            try:
                code = process.wait(timeout=60)
            except subprocess.TimeoutExpired:
                process.kill()
                code = process.wait()
        if code != 0:
            raise RuntimeError(f"geodynamo {command} ended with {code}: {errors.read_text()[-4000:]}")
