"""A region's key that a key service has: moto's AWS KMS, and OpenBao's transit engine where its program is there. Between the
region and the service stands a proxy that fails, or is slow, when it is told to."""

import http.client
import json
import os
import re
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
from conftest import BINARY, free_port, serve, table_definition, wait_until

ROOT = Path(__file__).resolve().parent.parent.parent
KEYS = {"aws_access_key_id": "moto", "aws_secret_access_key": "moto", "region_name": "us-east-1"}
TOKEN = "root-of-the-tests"
AWAY = r"^geodynamo_encryption_key_away_seconds (\d+)"


class Proxy:
    """Passes requests on to a port of loopback, or does not."""

    def __init__(self, port):
        self.mode, self.calls = "pass", 0
        proxy = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self):
                proxy.calls += 1
                body = self.rfile.read(int(self.headers["content-length"]))
                if proxy.mode == "fail once":
                    proxy.mode = "pass"
                    return self.answer(503, b"{}")
                if proxy.mode == "fail":
                    return self.answer(503, b"{}")
                if proxy.mode == "disabled":
                    # As AWS has it; moto decrypts under a key that is disabled.
                    return self.answer(400, b'{"__type": "DisabledException", "message": "The key is disabled."}')
                if proxy.mode == "slow":
                    time.sleep(1)
                there = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
                there.request("POST", self.path, body, {k: v for k, v in self.headers.items()})
                answer = there.getresponse()
                self.answer(answer.status, answer.read())

            def answer(self, status, body):
                self.send_response(status)
                self.send_header("content-length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_):
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.address = f"http://127.0.0.1:{self.server.server_port}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()


@contextmanager
def running(command, port, folder, environment=None):
    log = (folder / "log").open("wb")
    server = subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT, env=environment)

    def answers():
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", port)) == 0

    try:
        wait_until(answers, f"{command[0]} answers")
        yield
    finally:
        server.terminate()
        server.wait(timeout=30)


@pytest.fixture(scope="module")
def kms(tmp_path_factory):
    """moto's KMS: a proxy before it, and two keys."""
    environment = ["scripts/python-env", "--path", "tests/sdk/requirements-s3.txt"]
    path = subprocess.run(environment, cwd=ROOT, check=True, capture_output=True, text=True).stdout.strip()
    port = free_port()
    with running([f"{path}/bin/moto_server", "-H", "127.0.0.1", "-p", str(port)], port, tmp_path_factory.mktemp("moto")):
        client = boto3.client("kms", endpoint_url=f"http://127.0.0.1:{port}", **KEYS)
        keys = [client.create_key()["KeyMetadata"]["KeyId"] for _ in range(2)]
        yield Proxy(port), client, keys


@pytest.fixture(scope="module")
def transit(tmp_path_factory):
    """OpenBao's transit engine: a proxy before it, and the name of a key."""
    environment = ["scripts/python-env", "--path", "tests/sdk/requirements-bao.txt"]
    path = subprocess.run(environment, cwd=ROOT, check=True, capture_output=True, text=True).stdout.strip()
    port, folder = free_port(), tmp_path_factory.mktemp("bao")
    command = [f"{path}/bin/bao", "server", "-dev", f"-dev-root-token-id={TOKEN}", f"-dev-listen-address=127.0.0.1:{port}"]
    with running(command, port, folder, {"HOME": str(folder), "PATH": os.environ["PATH"]}):

        def ask(path, **body):
            request = urllib.request.Request(f"http://127.0.0.1:{port}/v1/{path}", json.dumps(body).encode())
            request.add_header("X-Vault-Token", TOKEN)
            try:
                return urllib.request.urlopen(request, timeout=10).status
            except OSError:
                return 0

        wait_until(lambda: ask("sys/mounts/transit", type="transit") in (200, 204), "the transit engine is mounted")
        assert ask("transit/keys/region", type="aes256-gcm96") in (200, 204)
        token = folder / "token"
        token.write_text(TOKEN + "\n")
        yield Proxy(port), token


def kms_settings(proxy, key, more=""):
    return f"""
[encryption]
check_seconds = 1
{more}
[encryption.kms]
endpoint = "{proxy.address}"
key_id = "{key}"
access_key_id = "moto"
secret_access_key = "moto"
"""


def transit_settings(proxy, token, more=""):
    return f"""
[encryption]
check_seconds = 1
{more}
[encryption.vault]
address = "{proxy.address}"
key = "region"
token_file = "{token}"
"""


def measured(region, pattern):
    with urllib.request.urlopen(f"http://{region.admin}/metrics", timeout=10) as answer:
        return int(re.search(pattern, answer.read().decode(), re.MULTILINE)[1])


def refused(folder, settings):
    """Starts a region that is not to start, over what `serve` has left; what it says."""
    config = folder / "region.toml"
    start = re.sub(r"\n\[encryption.*", "", config.read_text(), flags=re.DOTALL)
    config.write_text(start + settings)
    ended = subprocess.run([BINARY, "serve", "--config", str(config)], capture_output=True, text=True, timeout=60)
    assert ended.returncode != 0
    return ended.stderr


def written_and_read(folder, settings):
    with serve(folder, settings) as region:
        client = region.client()
        client.create_table(**table_definition("keyed", "pk"))
        client.get_waiter("table_exists").wait(TableName="keyed", WaiterConfig={"Delay": 1, "MaxAttempts": 30})
        client.put_item(TableName="keyed", Item={"pk": {"S": "planted-secret"}})
    with serve(folder, settings) as region:
        assert region.client().get_item(TableName="keyed", Key={"pk": {"S": "planted-secret"}})["Item"]
    for path in folder.glob("data/db/*"):
        assert b"planted-secret" not in path.read_bytes(), path


def goes_on_without(proxy, folder, settings):
    """The service goes away and comes back: nothing but the metric tells."""
    with serve(folder, settings) as region:
        wait_until(lambda: measured(region, AWAY) == 0, "the key is there")
        proxy.mode = "fail"
        wait_until(lambda: measured(region, AWAY) > 0, "it is said that the key is away")
        client = region.client()
        client.put_item(TableName="keyed", Item={"pk": {"S": "without"}})
        assert client.get_item(TableName="keyed", Key={"pk": {"S": "without"}}, ConsistentRead=True)["Item"]
        proxy.mode = "slow"
        wait_until(lambda: measured(region, AWAY) == 0, "the key is back")
    proxy.mode = "fail"
    said = refused(folder, settings)
    assert "503" in said and proxy.address in said, said
    proxy.mode = "fail once"
    with serve(folder, settings):
        pass
    assert proxy.mode == "pass"


def test_a_key_of_kms(kms, tmp_path):
    proxy, client, (key, other) = kms
    settings = kms_settings(proxy, key)
    written_and_read(tmp_path, settings)
    keyring = json.loads((tmp_path / "data/keyring.json").read_text())
    assert {entry["region_key"] for entry in keyring["keys"]} == {f"kms:{key}"}
    goes_on_without(proxy, tmp_path, settings)
    proxy.mode = "disabled"
    assert "DisabledException" in refused(tmp_path, settings)
    assert json.loads((tmp_path / "data/keyring.json").read_text()) == keyring, "it is left as it was"
    proxy.mode = "pass"
    # To another key, and back to serving under that one alone.
    with serve(tmp_path, kms_settings(proxy, other)):
        rotate = [BINARY, "keys", "rotate", "--config", str(tmp_path / "region.toml"), "--data-key"]
        assert "1 data keys" in subprocess.run(rotate, check=True, capture_output=True, text=True, timeout=60).stdout
    client.disable_key(KeyId=key)
    with serve(tmp_path, kms_settings(proxy, other)) as region:
        assert region.client().get_item(TableName="keyed", Key={"pk": {"S": "planted-secret"}})["Item"]
        older = r'^geodynamo_encryption_files{data_key="older"} (\d+)'
        rewritten = r"^geodynamo_encryption_rewritten_bytes_total (\d+)"
        wait_until(lambda: measured(region, rewritten) > 0, "files are written anew under the new data key")
        assert measured(region, older) >= 0
    client.enable_key(KeyId=key)


def test_from_a_local_key_to_kms_s(kms, tmp_path):
    proxy, _, (key, _) = kms
    subprocess.run([BINARY, "keys", "new", str(tmp_path / "local.key")], check=True)
    local = 'key_file = "local.key"'
    written_and_read(tmp_path, f"[encryption]\n{local}\n")
    assert "kms:" in refused(tmp_path, kms_settings(proxy, key)), "the key that sealed it is not told"
    with serve(tmp_path, kms_settings(proxy, key, local)):
        rotate = [BINARY, "keys", "rotate", "--config", str(tmp_path / "region.toml")]
        subprocess.run(rotate, check=True, timeout=60)
    (tmp_path / "local.key").unlink()
    with serve(tmp_path, kms_settings(proxy, key)) as region:
        assert region.client().get_item(TableName="keyed", Key={"pk": {"S": "planted-secret"}})["Item"]


def test_a_region_ends_when_its_key_was_away_for_too_long(kms, tmp_path):
    proxy, _, (key, _) = kms
    settings = kms_settings(proxy, key, "away_seconds = 2")
    written_and_read(tmp_path, settings)
    config = tmp_path / "region.toml"
    process = subprocess.Popen([BINARY, "serve", "--config", str(config)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert process.stdout.readline()
    proxy.mode = "fail"
    try:
        _, said = process.communicate(timeout=60)
    finally:
        process.kill()
        proxy.mode = "pass"
    assert process.returncode != 0 and "away for too long" in said, said


def test_a_key_of_a_transit_engine(transit, tmp_path):
    proxy, token = transit
    settings = transit_settings(proxy, token)
    written_and_read(tmp_path, settings)
    goes_on_without(proxy, tmp_path, settings)
    wrong = tmp_path / "wrong"
    wrong.write_text("no token")
    assert "403" in refused(tmp_path, transit_settings(proxy, wrong))
    written = json.loads((tmp_path / "data/keyring.json").read_text())
    assert {entry["region_key"] for entry in written["keys"]} == {"transit:region"}
