"""Requests as they travel: JSON in, JSON out, with nothing of a client library between.

What clients see through boto3 is shown elsewhere; here every member, every text and every header counts, also of
requests that no client library lets out.
"""

import json
import zlib
from dataclasses import dataclass

import urllib3

JSON = "application/x-amz-json-1.0"


@dataclass
class Answer:
    """A whole answer; `body` is as it came, decoded only where the server compressed it."""

    status: int
    headers: urllib3.HTTPHeaderDict
    raw: bytes

    @property
    def body(self):
        coding = self.headers.get("content-encoding")
        wbits = {"gzip": 31, "deflate": 15}
        return self.raw if coding is None else zlib.decompress(self.raw, wbits=wbits[coding])

    @property
    def json(self):
        return json.loads(self.body)

    @property
    def kind(self):
        """The error's `__type` without its namespace."""
        return self.json["__type"].split("#")[-1]

    @property
    def message(self):
        return self.json.get("message", self.json.get("Message"))


class Wire:
    """One server's data port."""

    def __init__(self, endpoint):
        self.endpoint = endpoint
        self.pool = urllib3.PoolManager(retries=False, maxsize=4)

    def send(self, body, target=None, method="POST", path="/", headers=None):
        """Any bytes, any headers."""
        headers = {"Content-Type": JSON, **(headers or {})}
        if target:
            headers["X-Amz-Target"] = target
        response = self.pool.request(
            method, self.endpoint + path, body=body, headers=headers, decode_content=False, preload_content=True
        )
        return Answer(response.status, response.headers, response.data)

    def answer(self, operation, request, **headers):
        """What the server says to an operation's request, whatever it is."""
        service = "DynamoDBStreams" if operation in STREAMS else "DynamoDB"
        body = request if isinstance(request, bytes) else json.dumps(request).encode()
        return self.send(body, f"{service}_20120810.{operation}", headers=headers)

    def __call__(self, operation, **request):
        """The reply of a request that must succeed."""
        answer = self.answer(operation, request)
        assert answer.status == 200, (operation, answer.body)
        return answer.json

    def refusal(self, operation, **request):
        """`Kind: message` of a request that must be refused."""
        answer = self.answer(operation, request)
        assert answer.status == 400, (operation, answer.body)
        return f"{answer.kind}: {answer.message}"


STREAMS = {"DescribeStream", "GetRecords", "GetShardIterator", "ListStreams"}


def invalid(text):
    """The most common refusal."""
    return f"ValidationException: {text}"


def parameters(text):
    """The most common refusal of parameters' values."""
    return invalid(f"One or more parameter values were invalid: {text}")


def s(text):
    return {"S": text}


def n(number):
    return {"N": str(number)}


def b(base64):
    return {"B": base64}


def nested(levels):
    """A value of so many levels: maps and lists in turn, a string innermost."""
    value = s("deep")
    for level in range(levels - 1):
        value = {"M": {"m": value}} if level % 2 else {"L": [value]}
    return value
