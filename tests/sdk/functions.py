"""Functions for the tests of triggers: an HTTP server that stands for them, by plain POST and by Lambda's Invoke API."""

import json
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import unquote


class Functions:
    """What was invoked, in order; `raw` has headers and bodies as they came. `behave[NAME]` decides what a function answers: it gets the event and gives the answer's
    document, or raises `Failed`."""

    def __init__(self):
        self.lock = threading.Lock()
        self.invocations = []
        self.raw = []
        self.behave = {}
        functions = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self):
                body = self.rfile.read(int(self.headers["content-length"]))
                parts = unquote(self.path).split("?")[0].strip("/").split("/")
                # /2015-03-31/functions/NAME/invocations, or /NAME.
                by_api = parts[0] == "2015-03-31"
                name = parts[2] if by_api else parts[-1]
                event = json.loads(body)
                with functions.lock:
                    functions.invocations.append((name, event, dict(self.headers)))
                    functions.raw.append((name, dict(self.headers), body))
                    behaviour = functions.behave.get(name)
                try:
                    status, headers, answer = 200, {}, behaviour(event) if behaviour else None
                except Failed as failed:
                    status, headers, answer = failed.answer(by_api)
                except NotThere:
                    status, headers, answer = 429, {}, {"Reason": "ReservedFunctionConcurrentInvocationLimitExceeded"}
                text = json.dumps(answer).encode()
                try:
                    self.send_response(status)
                    self.send_header("content-type", "application/json")
                    self.send_header("content-length", str(len(text)))
                    for header, value in headers.items():
                        self.send_header(header, value)
                    self.end_headers()
                    self.wfile.write(text)
                except OSError:
                    pass  # Whoever asked is gone.

            def log_message(self, *_):
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        self.address = f"http://127.0.0.1:{self.server.server_address[1]}"

    def events(self, name):
        with self.lock:
            return [event for called, event, _ in self.invocations if called == name]

    def records(self, name):
        return [record for event in self.events(name) for record in event["Records"]]

    def forget(self):
        with self.lock:
            self.invocations.clear()
            self.raw.clear()
            self.behave.clear()


class Failed(Exception):
    """A function that throws: told by a header, or in the body as Lambda's emulator does, or by a plain status."""

    def __init__(self, in_header=True):
        super().__init__("on purpose")
        self.in_header = in_header

    def answer(self, by_api):
        error = {"errorMessage": "on purpose", "errorType": "ValueError"}
        if not by_api:
            return 500, {}, error
        return 200, {"X-Amz-Function-Error": "Unhandled"} if self.in_header else {}, error


class NotThere(Exception):
    """A function that is busy."""


@contextmanager
def functions_server():
    functions = Functions()
    try:
        yield functions
    finally:
        functions.server.shutdown()
        functions.server.server_close()


def number(record):
    """The number that the tests put into items, or that was there last."""
    image = record["dynamodb"].get("NewImage") or record["dynamodb"].get("OldImage")
    return int(image["n"]["N"])


def key(record):
    return record["dynamodb"]["Keys"]["pk"]["S"]


def assert_in_order(records):
    """Of each item, records come in the order of the stream, but for whole stretches that come again: a record is never
    before one that it follows in the stream for the first time."""
    seen = {}
    for record in records:
        sequence = record["dynamodb"]["SequenceNumber"]
        of_item = seen.setdefault(key(record), [])
        if sequence not in of_item:
            assert not of_item or sequence > of_item[-1], f"{key(record)}: {sequence} after {of_item[-1]}"
            of_item.append(sequence)
    return seen
