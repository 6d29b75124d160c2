"""The console as a person uses it: three regions of `geodynamo demo --json`, and Debian's Chromium, headless."""

import json
import os
import queue
import signal
import socket
import subprocess
import threading
import time
import urllib.request
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import boto3
import pytest
from botocore.config import Config
from playwright.sync_api import expect, sync_playwright

TARGET = Path(os.environ.get("CARGO_TARGET_DIR", Path.home() / ".cache/geodynamo/target"))
BINARY = TARGET / "debug" / "geodynamo"
ROOT = Path(__file__).resolve().parent.parent.parent
CHROMIUM = "/usr/bin/chromium"
START_S = 240
STATE_S = 60
# An insecure name for this machine: pages that come from it have no WebCrypto.
PLAIN_NAME = "console.test"
# For who works on the pages: they come from this folder (region/console/web), not from the binary that was built.
WEB = os.environ.get("GEODYNAMO_CONSOLE_WEB")
# What a page must never run: it would say so.
MARKUP = "<img src=x onerror=\"window.struck='img'\"><script>window.struck='script'</script>'\"><svg onload=\"window.struck='svg'\">"

expect.set_options(timeout=20_000)


class World:
    """The demo's regions."""

    def __init__(self, hello, buckets):
        # Buckets of S3 are its folders.
        self.buckets = buckets
        self.regions = {region["name"]: region for region in hello["regions"]}
        self.home = hello["regions"][0]
        self.console = self.home["console"]
        self.wan = hello["wan"]

    def client(self, service="dynamodb", region="us-east-1", key=None):
        of = self.regions[region]
        access_key_id, secret = key or (of["access_key_id"], of["secret_access_key"])
        return boto3.client(
            service,
            endpoint_url=of["endpoint"],
            region_name=region,
            aws_access_key_id=access_key_id,
            aws_secret_access_key=secret,
            config=Config(retries={"total_max_attempts": 1}, connect_timeout=5, read_timeout=60),
        )

    def make_table(self, name, everywhere=False, **more):
        client = self.client()
        client.create_table(
            TableName=name,
            AttributeDefinitions=[{"AttributeName": "pk", "AttributeType": "S"}],
            KeySchema=[{"AttributeName": "pk", "KeyType": "HASH"}],
            BillingMode="PAY_PER_REQUEST",
            **more,
        )
        wait_until(lambda: is_active(client, name), f"{name} is ACTIVE")
        for region in list(self.regions)[1:] if everywhere else []:
            client.update_table(TableName=name, ReplicaUpdates=[{"Create": {"RegionName": region}}])
            wait_until(lambda: is_active(client, name), f"{name} is ACTIVE with {region}")
        return client


def is_active(client, name):
    table = client.describe_table(TableName=name)["Table"]
    replicas = table.get("Replicas", [])
    return table["TableStatus"] == "ACTIVE" and all(each["ReplicaStatus"] == "ACTIVE" for each in replicas)


def wait_until(state, what, deadline_s=STATE_S):
    deadline = time.monotonic() + deadline_s
    while not (seen := state()):
        if time.monotonic() > deadline:
            pytest.fail(f"after {deadline_s} s still not: {what}")
        time.sleep(0.05)
    return seen


def pytest_addoption(parser):
    parser.addoption("--renew-pictures", action="store_true", help="keep the pages' pictures as they are now")


@pytest.fixture(autouse=True)
def healed(request):
    """A test that ends while a link is cut fails by itself, and takes no other along."""
    yield
    if "world" not in request.fixturenames:
        return
    world = request.getfixturevalue("world")
    with urllib.request.urlopen(f"{world.wan}/links", timeout=30) as answer:
        cut = [link for link in json.load(answer) if link["cut"]]
    for link in cut:
        heal = urllib.request.Request(f"{world.wan}/links/{link['from']}/{link['to']}", b'{"cut": false}', method="PUT")
        with urllib.request.urlopen(heal, timeout=30):
            pass


@pytest.fixture(scope="session")
def world(tmp_path_factory):
    with running_demo(tmp_path_factory.mktemp("demo")) as world:
        yield world


@contextmanager
def running_demo(folder):
    assert BINARY.exists(), f"{BINARY} is not built; `make test` builds it"
    with (folder / "stderr.log").open("wb") as log:
        process = subprocess.Popen(
            [BINARY, "demo", "--json", "--s3-dir", folder / "s3"], cwd=folder, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=log, text=True
        )
    lines = queue.Queue()
    threading.Thread(target=lambda: lines.put(process.stdout.readline()), daemon=True).start()
    try:
        yield World(json.loads(lines.get(timeout=START_S)), folder / "s3")
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            code = process.wait(timeout=60)
        except subprocess.TimeoutExpired:
            process.kill()
            code = process.wait()
    assert code == 0, (folder / "stderr.log").read_text()[-4000:]


class Alone:
    """One region with what the demo's have not: functions, a Kinesis, a key service for tables, a copy of a table. Kinesis and keys
    are moto's."""

    def __init__(self, ready, moto, received):
        self.console, self.endpoint = ready["admin"], f"http://{ready['data']}"
        self.moto, self.received = moto, received
        self.key = ("AKIDTESTS", "hush")

    def client(self, service="dynamodb"):
        return boto3.client(service, endpoint_url=self.endpoint, **keys(*self.key), config=Config(retries={"total_max_attempts": 1}))

    def moto_client(self, service):
        return boto3.client(service, endpoint_url=self.moto, **keys("moto", "moto"))


def keys(access_key_id, secret):
    return {"region_name": "us-east-1", "aws_access_key_id": access_key_id, "aws_secret_access_key": secret}


ALONE = """
region = "us-east-1"
node = "us-east-1"
data_dir = "data"
listen = {{ data = "127.0.0.1:0", admin = "127.0.0.1:0" }}
[[credentials]]
access_key_id = "AKIDTESTS"
secret_access_key = "hush"
[archive]
url = "archive"
ship_seconds = 1
[encryption]
key_file = "region.key"
[limits]
slow_request_ms = 5
[functions.thumbs]
url = "http://127.0.0.1:{function}/thumbs"
[destinations.kinesis]
endpoint = "{moto}"
access_key_id = "moto"
secret_access_key = "moto"
[table_keys.kms]
endpoint = "{moto}"
access_key_id = "moto"
secret_access_key = "moto"
[[sinks]]
name = "lake"
table = "Followed"
[sinks.iceberg]
place = "{lake}"
commit_seconds = 1
"""


@pytest.fixture(scope="session")
def alone(tmp_path_factory):
    with running_alone(tmp_path_factory.mktemp("alone")) as alone:
        yield alone


@contextmanager
def running_alone(folder):
    (folder / "lake").mkdir()
    with function() as (port, received), moto_server(folder) as moto:
        (folder / "region.toml").write_text(ALONE.format(function=port, moto=moto, lake=folder / "lake"))
        subprocess.run([BINARY, "keys", "new", folder / "region.key"], check=True, timeout=60)
        with (folder / "stderr.log").open("wb") as log:
            command = [BINARY, "serve", "--config", "region.toml"]
            process = subprocess.Popen(command, cwd=folder, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=log, text=True)
        lines = queue.Queue()
        threading.Thread(target=lambda: lines.put(process.stdout.readline()), daemon=True).start()
        try:
            yield Alone(json.loads(lines.get(timeout=START_S)), moto, received)
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait(timeout=60)


@contextmanager
def function():
    """An address that takes events: its port, and the events that came."""
    received = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self):
            received.append(json.loads(self.rfile.read(int(self.headers["content-length"]))))
            self.send_response(200)
            self.send_header("content-length", "2")
            self.end_headers()
            self.wfile.write(b"{}")

        def log_message(self, *_):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server.server_port, received
    server.shutdown()


@contextmanager
def moto_server(folder):
    command = [ROOT / "scripts/python-env", "--path", "tests/sdk/requirements-s3.txt"]
    path = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True).stdout.strip()
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with (folder / "moto.log").open("wb") as log:
        command = [f"{path}/bin/moto_server", "-H", "127.0.0.1", "-p", str(port)]
        server = subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT)
    client = boto3.client("kms", endpoint_url=f"http://127.0.0.1:{port}", **keys("moto", "moto"))

    def answers():
        try:
            return client.list_keys() is not None
        except Exception:
            return False

    try:
        wait_until(answers, "moto's server answers")
        yield f"http://127.0.0.1:{port}"
    finally:
        server.terminate()
        server.wait(timeout=30)


@pytest.fixture(scope="session")
def chromium():
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=CHROMIUM, args=["--no-sandbox", f"--host-resolver-rules=MAP {PLAIN_NAME} 127.0.0.1"]
        )
        yield browser
        browser.close()


@pytest.fixture
def browse(chromium, world):
    """Opens the console in a window of its own, signed in. What goes wrong in a page fails the test."""
    contexts = []

    def open_window(key=None, address=None, signs_in=True, **settings):
        settings = {"viewport": {"width": 1280, "height": 720}, **settings}
        context = chromium.new_context(accept_downloads=True, **settings)
        contexts.append(context)
        if WEB:
            context.route("**/console/**", from_folder)
        page = context.new_page()
        page.faults = []
        page.on("pageerror", lambda error: page.faults.append(str(error)))
        page.on("console", lambda said: page.faults.append(said.text) if is_fault(said) else None)
        page.base = address or world.console
        page.goto(page.base)
        if signs_in:
            sign_in(page, *(key or (world.home["access_key_id"], world.home["secret_access_key"])))
        return page

    yield open_window
    for context in contexts:
        for page in context.pages:
            assert page.evaluate("window.struck") is None, "a page ran what an item held"
            assert getattr(page, "faults", []) == []
        context.close()


def from_folder(route):
    path = Path(WEB, route.request.url.split("/console/", 1)[1])
    kinds = {".js": "text/javascript", ".css": "text/css", ".svg": "image/svg+xml"}
    route.fulfill(body=path.read_text(), content_type=kinds[path.suffix])


def is_fault(said):
    """A refusal is a status, which Chromium logs; so it does that a header has no use without TLS. Nothing else may be."""
    known = ("Failed to load resource", "Cross-Origin-Opener-Policy header has been ignored")
    return said.type == "error" and not any(text in said.text for text in known)


def sign_in(page, access_key_id, secret):
    page.get_by_label("Access key ID").fill(access_key_id)
    page.get_by_label("Secret access key").fill(secret)
    page.get_by_role("button", name="Sign in").click()
    expect(page.get_by_role("navigation", name="Pages")).to_be_visible()


def row(page, label, text):
    """The lines of a table of the page that have a text."""
    return page.get_by_role("region", name=label, exact=True).locator("tbody tr").filter(has_text=text)


def command(dialog):
    """The AWS CLI's command that a dialog shows for the same."""
    dialog.get_by_text("Do the same with").click()
    return dialog.locator("pre.command").first


def go(page, path):
    page.goto(f"{page.base}#/{path}")
