"""The tests of unmodified libraries (tests/libraries): one `geodynamo dev` for all, one run of each language's own runner.
Beside it a region whose streams' shards last for seconds only, for who follows them from parent to child; and after that one that
enforces policies (scripts/roles.py), for SDKs that have no keys.

The libraries learn where the server is as in any program, from the AWS_… variables.
"""

import json
import os
import re
import signal
import subprocess
import tempfile
import xml.etree.ElementTree
from contextlib import contextmanager
from pathlib import Path

import roles

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


# What finds keys for an SDK, or tells who it is. A program without keys has none of the machine's that runs the tests.
IDENTITY_VARIABLES = (
    "AWS_ACCESS_KEY_ID",
    "AWS_SECRET_ACCESS_KEY",
    "AWS_SESSION_TOKEN",
    "AWS_PROFILE",
    "AWS_DEFAULT_PROFILE",
    "AWS_ROLE_ARN",
    "AWS_WEB_IDENTITY_TOKEN_FILE",
    "AWS_CONTAINER_CREDENTIALS_FULL_URI",
    "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI",
)


def run(rust_program):
    """Runs all; gives (passed, failed). `rust_program` is the test program of the AWS SDK for Rust's chain (tests/tests/credentials.rs)."""
    paths = {**environments(), "rust": rust_program}
    passed = failed = 0
    with tempfile.TemporaryDirectory() as folder:
        for name, runner, variables in runs(Path(folder)):
            print(f"-- {name}", flush=True)
            report = Path(folder, f"report of {name}")
            report.mkdir()
            code = runner(paths, variables, report)
            if code is None:
                continue
            counted = count(report, code)
            print(f"-- {name}: {counted[0]} passed, {counted[1]} failed", flush=True)
            passed, failed = passed + counted[0], failed + counted[1]
    return passed, failed


def runs(folder):
    """Every run: its name, its runner and the variables that lead it to its server, which is there until the next one is asked for."""
    with servers(folder) as variables:
        for runner in (python, javascript, java):
            yield runner.__name__, runner, variables
    with roles.region(folder / "roles", server) as ways:
        for way, variables in ways.items():
            for runner in (javascript_role, java_role, go_role, rust_role):
                yield f"{runner.__name__}, by {way}".replace("_role", "'s role"), runner, variables


def python(paths, variables, report):
    command = [paths["python"], "-m", "pytest", "-v", "--tb=short", "-p", "no:cacheprovider"]
    return execute([*command, f"--junitxml={report}/report.xml", LIBRARIES / "python"], variables)


def javascript(paths, variables, report, folder="."):
    command = [paths["node"], "--test", "--test-timeout=120000", "--test-concurrency=2"]
    command += ["--test-reporter=spec", "--test-reporter-destination=stdout"]
    command += ["--test-reporter=junit", f"--test-reporter-destination={report}/report.xml"]
    tests = sorted((LIBRARIES / "javascript" / folder).glob("*.test.js"))
    return execute([*command, *tests], {**variables, "NODE_PATH": paths["node_modules"]})


def javascript_role(paths, variables, report):
    return javascript(paths, variables, report, "roles")


def java(paths, variables, report, tests="!CredentialsTest"):
    command = ["mvn", "--batch-mode", "--quiet", f"--file={LIBRARIES / 'java/pom.xml'}"]
    command += [f"-Dmaven.repo.local={paths['maven_repository']}", f"-Doutput={report}", f"-Dtest={tests}", "test"]
    return execute(command, variables)


def java_role(paths, variables, report):
    return java(paths, variables, report, "CredentialsTest")


def go_role(paths, variables, report):
    """None where there is no Go that can build it."""
    if not paths["go"]:
        print("SKIPPED: Go of the version in tests/libraries/go/go.mod, or later, is not here", flush=True)
        return None
    events = Path(report, "events.json")
    # The caches are those that scripts/library-envs filled.
    go = {"GOTOOLCHAIN": "local", "GOFLAGS": "-mod=readonly", "GOMODCACHE": paths["go_modules"], "GOCACHE": paths["go_build"]}
    command = [paths["go"], "test", "-json", "-count=1", f"-timeout={RUNNER_TIMEOUT_S // 2}s", "./..."]
    with events.open("w") as output:
        code = execute(command, {**variables, **go}, LIBRARIES / "go", output)
    suite = xml.etree.ElementTree.Element("testsuite")
    for line in events.read_text().splitlines():
        event = json.loads(line) if line.startswith("{") else {"Output": line + "\n"}
        print(event.get("Output", ""), end="", flush=True)
        if "Test" in event and event["Action"] in ("pass", "fail", "skip"):
            case = xml.etree.ElementTree.SubElement(suite, "testcase", name=event["Test"])
            verdict = {"fail": "failure", "skip": "skipped"}.get(event["Action"])
            if verdict:
                xml.etree.ElementTree.SubElement(case, verdict)
    xml.etree.ElementTree.ElementTree(suite).write(report / "report.xml")
    return code


def rust_role(paths, variables, report):
    output = Path(report, "output")
    with output.open("w") as file:
        code = execute([paths["rust"], "--ignored", "--test-threads=1"], variables, output=file)
    suite = xml.etree.ElementTree.Element("testsuite")
    for line in output.read_text().splitlines():
        print(line, flush=True)
        verdict = re.fullmatch(r"test (\S+) \.\.\. (ok|FAILED)", line)
        if verdict:
            case = xml.etree.ElementTree.SubElement(suite, "testcase", name=verdict[1])
            if verdict[2] == "FAILED":
                xml.etree.ElementTree.SubElement(case, "failure")
    xml.etree.ElementTree.ElementTree(suite).write(report / "report.xml")
    return code


def execute(command, variables, folder=LIBRARIES, output=None):
    others = {name: value for name, value in os.environ.items() if name not in IDENTITY_VARIABLES}
    try:
        return subprocess.call(
            NICE + [str(word) for word in command],
            cwd=folder,
            env={**others, **variables},
            stdin=subprocess.DEVNULL,
            stdout=output,
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
