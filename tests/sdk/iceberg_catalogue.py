"""A REST catalogue for the tests: Apache Iceberg's own, in Java, behind a proxy that asks for a token and loses answers on purpose."""

import hashlib
import http.client
import json
import os
import shutil
import subprocess
import sys
import tempfile
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qs

HERE = Path(__file__).resolve().parent / "iceberg-catalogue"
CACHE = Path(os.environ.get("GEODYNAMO_CACHE", Path.home() / ".cache/geodynamo"))
START_S = 60


def jars():
    """Brings the jars, once; gives their folder."""
    pom = HERE / "pom.xml"
    folder = CACHE / "iceberg-catalogue" / hashlib.sha256(pom.read_bytes()).hexdigest()[:16]
    if folder.exists():
        return folder
    folder.parent.mkdir(parents=True, exist_ok=True)
    coming = Path(tempfile.mkdtemp(prefix="coming.", dir=folder.parent))
    command = ["mvn", "--batch-mode", "--quiet", f"--file={pom}", f"-Dmaven.repo.local={CACHE / 'maven'}"]
    command += ["dependency:copy-dependencies", "-DincludeScope=runtime", f"-DoutputDirectory={coming}"]
    subprocess.run(command, check=True, stdin=subprocess.DEVNULL, stdout=sys.stderr, timeout=900)
    try:
        coming.rename(folder)
    except OSError:  # somebody else was first
        shutil.rmtree(coming, ignore_errors=True)
    return folder


class Proxy:
    """What stands between a region and the catalogue. `fault(method, path)` says what happens to a call: `None`, or "before" (it is
    refused with 503 and does not get there), "after" (it gets there, and the answer is lost), "late" (the caller is told nothing,
    and it gets there afterwards: `release` is set)."""

    def __init__(self, port, token):
        self.token, self.fault = token, lambda method, path: None
        self.release = threading.Event()
        self.calls, self.commits, self.tokens_given = [], 0, 0
        self.late = []
        proxy = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def handle_one(self):
                body = self.rfile.read(int(self.headers.get("content-length") or 0))
                if self.path == "/v1/oauth/tokens":
                    return self.give_token(parse_qs(body.decode()))
                proxy.calls.append((self.command, self.path))
                if self.headers.get("authorization") != f"Bearer {proxy.token}":
                    return self.answer(401, b'{"error": {"message": "no token", "type": "NotAuthorizedException", "code": 401}}')
                fault = proxy.fault(self.command, self.path)
                if fault == "before":
                    return self.answer(503, b"")
                if fault == "late":
                    self.close_connection = True
                    thread = threading.Thread(target=lambda: proxy.release.wait(60) and self.forward(body), daemon=True)
                    proxy.late.append(thread)
                    return thread.start()
                status, answer = self.forward(body)
                if fault == "after":
                    self.close_connection = True
                    return None
                return self.answer(status, answer)

            do_GET = do_POST = do_HEAD = do_DELETE = handle_one

            def give_token(self, form):
                if form.get("client_id") != ["geodynamo"] or form.get("client_secret") != ["hush"]:
                    return self.answer(401, b'{"error": "invalid_client"}')
                proxy.tokens_given += 1
                document = {"access_token": proxy.token, "token_type": "bearer", "expires_in": 3600}
                return self.answer(200, json.dumps(document).encode())

            def forward(self, body):
                connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
                headers = {"content-type": self.headers["content-type"]} if body else {}
                connection.request(self.command, self.path, body or None, headers)
                response = connection.getresponse()
                answer = response.read()
                connection.close()
                if self.command == "POST" and "/tables/" in self.path and response.status == 200:
                    proxy.commits += 1
                return response.status, answer

            def answer(self, status, body):
                self.send_response(status)
                self.send_header("content-type", "application/json")
                self.send_header("content-length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_):
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        self.address = f"http://127.0.0.1:{self.server.server_address[1]}"


@contextmanager
def catalogue(folder, token="the-token"):
    """A catalogue that keeps its database in a folder, and its proxy."""
    command = ["java", "-Xmx256m", "-cp", f"{jars()}/*", str(HERE / "Catalogue.java"), str(folder / "catalogue.db"), str(folder / "warehouse")]
    with open(folder / "catalogue.log", "w") as log:
        process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log, text=True)
    timer = threading.Timer(START_S, process.kill)
    timer.start()
    port = process.stdout.readline().strip()
    timer.cancel()
    assert port, (folder / "catalogue.log").read_text()[-2000:]
    proxy = Proxy(int(port), token)
    try:
        yield proxy
    finally:
        proxy.release.set()
        proxy.server.shutdown()
        proxy.server.server_close()
        process.stdin.close()
        process.wait(timeout=30)
