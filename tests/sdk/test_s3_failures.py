"""A server of S3 that fails one request in twenty, for archives and for the buckets of exports and imports: moto's and SeaweedFS,
behind a proxy that answers with an error, says nothing, breaks an answer off, or loses the answer to what was done."""

import http.client
import itertools
import json
import random
import socketserver
import threading
import time
from collections import Counter
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler
from urllib.parse import urlsplit

import boto3
import pytest
from botocore.config import Config

from conftest import serve, table_definition, wait_until
from test_backups import active, items, put, restorable_until, restored, switch
from test_backups_s3 import KEYS as MOTO_KEYS
from test_backups_s3 import s3  # noqa: F401 (a fixture)
from test_recovery_faults import KEYS as WEED_KEYS
from test_recovery_faults import Weed

FAILS_EVERY = 20
# So many requests have to have failed in each way before a test ends.
FAILED_LEAST = 2
ROUNDS_MAX = 30
ITEMS = 300
DEADLINE_S = 180
BUSY = b'<?xml version="1.0"?><Error><Code>SlowDown</Code><Message>Reduce your request rate.</Message></Error>'


class Proxy(socketserver.ThreadingMixIn, socketserver.TCPServer):
    """Passes requests on to a server, and fails some."""

    daemon_threads = True
    allow_reuse_address = True
    ways = ("error", "silence", "half an answer", "lost answer")

    def __init__(self, endpoint):
        super().__init__(("127.0.0.1", 0), Passing)
        self.server = urlsplit(endpoint)
        self.endpoint = f"http://127.0.0.1:{self.server_address[1]}"
        self.lock, self.dice, self.by_turns = threading.Lock(), random.Random(16), itertools.cycle(self.ways)
        self.requests, self.failed, self.on = 0, Counter(), True

    def fate(self):
        """How a request fails; None if it does not."""
        with self.lock:
            self.requests += 1
            if not self.on or self.dice.random() >= 1 / FAILS_EVERY:
                return None
            way = next(self.by_turns)
            self.failed[way] += 1
            return way

    def handle_error(self, request, client_address):
        """Clients hang up, too."""


class Passing(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def pass_on(self):
        body = self.body()
        fate = self.server.fate()
        if fate == "error":
            self.answer(503, [("Content-Type", "application/xml")], BUSY)
            return
        if fate == "silence":
            self.close_connection = True
            return
        connection = http.client.HTTPConnection(self.server.server.hostname, self.server.server.port, timeout=60)
        connection.putrequest(self.command, self.path, skip_host=True, skip_accept_encoding=True)
        for name, value in self.headers.items():
            if name.lower() not in ("connection", "transfer-encoding", "expect", "content-length"):
                connection.putheader(name, value)
        if self.command in ("PUT", "POST") or body:
            connection.putheader("Content-Length", str(len(body)))
        connection.endheaders(body or None)
        response = connection.getresponse()
        content = response.read()
        connection.close()
        if fate == "lost answer":
            self.close_connection = True
            return
        of_connection = ("connection", "transfer-encoding", "content-length")
        headers = [(name, value) for name, value in response.getheaders() if name.lower() not in of_connection]
        length = response.getheader("Content-Length")
        self.answer(response.status, headers, content, length, half=fate == "half an answer")

    do_GET = do_PUT = do_POST = do_DELETE = do_HEAD = pass_on

    def body(self):
        if self.headers.get("Expect", "").lower() == "100-continue":
            self.send_response_only(100)
            self.end_headers()
        if "chunked" in self.headers.get("Transfer-Encoding", ""):
            content = b""
            while size := int(self.rfile.readline().split(b";")[0], 16):
                content += self.rfile.read(size)
                self.rfile.readline()
            self.rfile.readline()
            return content
        return self.rfile.read(int(self.headers.get("Content-Length", 0)))

    def answer(self, status, headers, content, length=None, half=False):
        self.send_response_only(status)
        for name, value in headers:
            self.send_header(name, value)
        if self.command == "HEAD":
            self.send_header("Content-Length", length or "0")
            content = b""
        else:
            self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        if half:
            self.close_connection = True
            content = content[: len(content) // 2]
        self.wfile.write(content)

    def log_message(self, *_):
        pass


@contextmanager
def failing(endpoint):
    proxy = Proxy(endpoint)
    thread = threading.Thread(target=proxy.serve_forever, daemon=True)
    thread.start()
    try:
        yield proxy
    finally:
        proxy.shutdown()
        thread.join(timeout=30)
        proxy.server_close()


@pytest.fixture(params=["moto", "weed"])
def server(request, tmp_path):
    """The address and the keys of a server with two buckets."""
    if request.param == "moto":
        store, endpoint = request.getfixturevalue("s3")
        for bucket in ("flaky-archive", "flaky-exports"):
            store.create_bucket(Bucket=bucket)
        yield endpoint, MOTO_KEYS
        return
    weed = Weed(tmp_path)
    try:
        weed.start()
        for bucket in ("flaky-archive", "flaky-exports"):
            weed.client().create_bucket(Bucket=bucket)
        yield weed.endpoint, WEED_KEYS
    finally:
        weed.kill()


def settings(endpoint, keys):
    place = f"""
endpoint = "{endpoint}"
region = "us-east-1"
access_key_id = "{keys["aws_access_key_id"]}"
secret_access_key = "{keys["aws_secret_access_key"]}"
"""
    return f'[archive]\nurl = "s3://flaky-archive/here"\nship_seconds = 1\n{place}\n[s3]\n{place}'


def test_nothing_is_lost_where_one_request_in_twenty_fails(server, tmp_path):
    endpoint, keys = server
    with failing(endpoint) as proxy, serve(tmp_path, settings(proxy.endpoint, keys)) as region:
        client = region.client()
        arn = client.create_table(**table_definition("tab", "pk"))["TableDescription"]["TableArn"]
        client.get_waiter("table_exists").wait(TableName="tab")
        switch(client, "tab")
        with region.resource().Table("tab").batch_writer() as batch:
            for number in range(ITEMS):
                batch.put_item(Item={"pk": f"k{number}", "v": f"{number} " * 50})
        for number in range(ROUNDS_MAX):
            put(client, "tab", "round", str(number))
            expected = items(client, "tab")
            backup = client.create_backup(TableName="tab", BackupName="mine")["BackupDetails"]["BackupArn"]
            restorable_until(client, "tab", time.time())
            prefix = exported(client, arn)
            assert items(client, imported(client, f"loaded{number}", prefix)) == expected
            wait_until(lambda: is_available(client, backup), "the backup is whole", DEADLINE_S)  # noqa: B023
            client.restore_table_from_backup(TargetTableName=f"back{number}", BackupArn=backup)
            active(client, f"back{number}")
            assert items(client, f"back{number}") == expected
            restored(client, f"then{number}", SourceTableName="tab", UseLatestRestorableTime=True)
            assert items(client, f"then{number}") == expected
            if all(proxy.failed[way] >= FAILED_LEAST for way in proxy.ways):
                break
        print(f"{proxy.requests} requests, failed: {dict(proxy.failed)}")
        assert all(proxy.failed[way] >= FAILED_LEAST for way in proxy.ways), proxy.failed


def is_available(client, backup):
    described = client.describe_backup(BackupArn=backup)["BackupDescription"]["BackupDetails"]
    assert described["BackupStatus"] in ("CREATING", "AVAILABLE"), described
    return described["BackupStatus"] == "AVAILABLE"


def exported(client, arn):
    """Exports; gives the prefix of the data files."""
    begun = client.export_table_to_point_in_time(TableArn=arn, S3Bucket="flaky-exports")["ExportDescription"]["ExportArn"]

    def ended():
        found = client.describe_export(ExportArn=begun)["ExportDescription"]
        return found if found["ExportStatus"] != "IN_PROGRESS" else None

    done = wait_until(ended, "the export has ended", DEADLINE_S)
    assert (done["ExportStatus"], done["ItemCount"]) == ("COMPLETED", ITEMS + 1), done
    return done["ExportManifest"].replace("manifest-summary.json", "data/")


def imported(client, name, prefix):
    begun = client.import_table(
        S3BucketSource={"S3Bucket": "flaky-exports", "S3KeyPrefix": prefix},
        InputFormat="DYNAMODB_JSON",
        InputCompressionType="GZIP",
        TableCreationParameters=table_definition(name, "pk"),
    )["ImportTableDescription"]["ImportArn"]

    def ended():
        found = client.describe_import(ImportArn=begun)["ImportTableDescription"]
        return found if found["ImportStatus"] != "IN_PROGRESS" else None

    done = wait_until(ended, "the import has ended", DEADLINE_S)
    assert (done["ImportStatus"], done["ImportedItemCount"]) == ("COMPLETED", ITEMS + 1), done
    return name


def test_the_proxy_fails_requests(s3):  # noqa: F811
    """The control: a client that does not ask again sees each way of failing, and what was lost of an answer was done."""
    store, endpoint = s3
    store.create_bucket(Bucket="control")
    with failing(endpoint) as proxy:
        config = Config(s3={"addressing_style": "path"}, retries={"total_max_attempts": 1})
        client = boto3.client("s3", endpoint_url=proxy.endpoint, config=config, **MOTO_KEYS)
        proxy.dice = Always()
        errors = {}
        for way in proxy.ways:
            call = client.put_object if way == "lost answer" else client.get_object
            body = {"Body": json.dumps("done").encode()} if way == "lost answer" else {}
            proxy.on = False
            client.put_object(Bucket="control", Key=way, Body=b"before" * 100)
            proxy.on = True
            with pytest.raises(Exception) as error:  # noqa: PT011, B017
                call(Bucket="control", Key=way, **body)["Body"].read()
            errors[way] = type(error.value).__name__
        assert len(set(errors.values())) >= 3, errors
        assert store.get_object(Bucket="control", Key="lost answer")["Body"].read() == b'"done"'


class Always:
    def random(self):
        return 0.0
