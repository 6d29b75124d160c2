"""The protocol: headers, statuses, error forms, checksums, compression, bodies that make no sense, signatures."""

import base64
import gzip
import hashlib
import hmac
import json
import os
import re
import zlib
from datetime import datetime, timedelta, timezone

import pytest
import urllib3

from .wire import JSON, Wire, n, s

CORAL = "com.amazon.coral.service#"
VALIDATION = "com.amazon.coral.validate#ValidationException"
DYNAMODB = "com.amazonaws.dynamodb.v20120810#"


def test_an_answers_headers(wire, plain):
    for answer in (
        wire.answer("DescribeTable", {"TableName": plain}),
        wire.answer("DescribeTable", {"TableName": "no-such-table"}),
        wire.answer("Nothing", {}),
    ):
        headers = answer.headers
        assert headers["content-type"] == JSON
        assert re.fullmatch("[0-9A-V]{52}", headers["x-amzn-requestid"])
        assert headers["x-amz-crc32"] == str(zlib.crc32(answer.raw))
        assert int(headers["content-length"]) == len(answer.raw)
        assert "date" in headers


@pytest.mark.parametrize(
    ("operation", "request_", "kind", "key"),
    [
        ("DescribeTable", {}, VALIDATION, "message"),
        ("DescribeTable", {"TableName": 1}, f"{CORAL}SerializationException", "Message"),
        ("DescribeTable", {"TableName": "no-such-table"}, f"{DYNAMODB}ResourceNotFoundException", "message"),
        ("CreateTable", "EXISTING", f"{DYNAMODB}ResourceInUseException", "message"),
        ("PutItem", "CONDITION", f"{DYNAMODB}ConditionalCheckFailedException", "message"),
        ("TransactWriteItems", "TRANSACTION", f"{DYNAMODB}TransactionCanceledException", "Message"),
        ("DescribeGlobalTable", {"GlobalTableName": "abc"}, f"{DYNAMODB}GlobalTableNotFoundException", "message"),
    ],
)
def test_error_forms(wire, plain, operation, request_, kind, key):
    condition = {"TableName": plain, "Item": {"pk": s("a")}, "ConditionExpression": "attribute_exists(absent)"}
    known = {
        "EXISTING": {
            "TableName": plain,
            "AttributeDefinitions": [{"AttributeName": "pk", "AttributeType": "S"}],
            "KeySchema": [{"AttributeName": "pk", "KeyType": "HASH"}],
            "BillingMode": "PAY_PER_REQUEST",
        },
        "CONDITION": condition,
        "TRANSACTION": {"TransactItems": [{"Put": condition}]},
    }
    answer = wire.answer(operation, known[request_] if isinstance(request_, str) else request_)
    assert answer.status == 400
    assert answer.json["__type"] == kind
    assert answer.json[key]


@pytest.mark.parametrize(
    "target", [None, "", "Nothing", "DynamoDB_20120810", "DynamoDB_20120810.", "DynamoDB_20120810.Nothing", "DynamoDB_20111205.GetItem", "dynamodb_20120810.GetItem"]
)
def test_an_unknown_operation(wire, target):
    answer = wire.send(b"{}", target)
    assert (answer.status, answer.json) == (400, {"__type": f"{CORAL}UnknownOperationException"})


def test_an_operation_that_is_not_offered(wire):
    """A request that is wrong in itself is told so first."""
    assert wire.refusal("SearchVectors").startswith("ValidationException: 4 validation errors detected: ")
    search = {"TableName": "abc", "IndexName": "abc", "SearchVector": [{"N": "1"}], "TopK": 1}
    answer = wire.answer("SearchVectors", search)
    assert (answer.status, answer.json) == (
        400,
        {
            "__type": f"{CORAL}UnknownOperationException",
            "message": "SearchVectors is not available in this version of geodynamo.",
        },
    )


def test_the_health_check(wire):
    answer = wire.send(None, method="GET")
    assert (answer.status, answer.body) == (200, b"healthy: dynamodb.us-east-1.amazonaws.com ")
    head = wire.send(None, method="HEAD")
    assert (head.status, head.body) == (200, b"")
    same = ("content-type", "content-length", "x-amz-crc32")
    assert [head.headers[name] for name in same] == [answer.headers[name] for name in same]


@pytest.mark.parametrize(("length", "status"), [(15_000, 200), (16_384, 400), (40_000, 400)])
def test_headers_of_more_than_16_kilobytes(wire, plain, length, status):
    for headers in ({"X-Long": "x" * length}, {f"X-Long-{n}": "x" * (length // 10) for n in range(10)}):
        assert wire.answer("DescribeTable", {"TableName": plain}, **headers).status == status


@pytest.mark.parametrize(("method", "path", "status"), [("GET", "/table", 404), ("POST", "/x", 404), ("PUT", "/", 405)])
def test_other_paths_and_methods(wire, method, path, status):
    assert wire.send(b"{}", "DynamoDB_20120810.ListTables", method=method, path=path).status == status


@pytest.mark.parametrize(
    "content_type", [JSON, "application/x-amz-json-1.1", "application/json", "application/x-amz-json-1.0; charset=utf-8", "text/plain", ""]
)
def test_the_content_type_does_not_matter(wire, plain, content_type):
    """The target alone says what a request is."""
    answer = wire.answer("DescribeTable", {"TableName": plain}, **{"Content-Type": content_type})
    assert (answer.status, answer.headers["content-type"]) == (200, JSON)
    answer = wire.answer("DescribeTable", {"TableName": 1}, **{"Content-Type": content_type})
    assert (answer.status, answer.kind) == (400, "SerializationException")


ORIGIN = {"Origin": "https://app.example"}


def test_a_browser_asks_first(wire):
    """Scripts of any origin may call: the signature says who may do what."""
    asks = {
        **ORIGIN,
        "Access-Control-Request-Method": "POST",
        "Access-Control-Request-Headers": "authorization,content-type,x-amz-date,x-amz-target",
    }
    answer = wire.send(None, method="OPTIONS", headers=asks)
    assert (answer.status, answer.body) == (200, b"")
    assert answer.headers["access-control-allow-origin"] == "*"
    assert answer.headers["access-control-allow-methods"] == "POST"
    assert answer.headers["access-control-allow-headers"] == asks["Access-Control-Request-Headers"]
    assert answer.headers["access-control-max-age"] == "172800"


def test_a_browser_may_read_answers_and_refusals(wire, plain):
    for target, status in (("DynamoDB_20120810.ListTables", 200), ("DynamoDB_20120810.GetItem", 400), ("Nothing", 400)):
        answer = wire.send(b"{}", target, headers=ORIGIN)
        assert (answer.status, answer.headers["access-control-allow-origin"]) == (status, "*")
        assert {"x-amzn-requestid", "x-amz-crc32"} <= set(answer.headers["access-control-expose-headers"].split(", "))
    answer = wire.answer("DescribeTable", {"TableName": plain})
    assert not [header for header in answer.headers if header.lower().startswith("access-control")]


def test_members_that_are_not_known_are_passed_over(wire, plain, pk):
    item = {"pk": {**s(pk), "X": {"deep": [1]}}}
    wire("PutItem", TableName=plain, Item=item, New={"a": [None, {"b": 1.5e300}]}, tableName="abc")
    assert wire("GetItem", TableName=plain, Key={"pk": s(pk)}, Other=None)["Item"] == {"pk": s(pk)}


def test_null_is_as_if_a_member_were_not_there(wire, plain, pk):
    put = {"TableName": plain, "Item": {"pk": s(pk)}, "ConditionExpression": None, "Expected": None}
    assert wire("PutItem", **put, ExpressionAttributeNames=None, ExpressionAttributeValues=None, ReturnValues=None) == {}


@pytest.mark.parametrize(
    "body", [b"", b" ", b"{", b'{"a"}', b"{'TableName': 'abc'}", b"{} {}", b"hello", b"\xff\xfe", b'{"TableName": "\xff"}', b'{"a": 01}', b'{"a": NaN}', b'{"a": 1,}', b'{"TableName": "\\ud800"}', b'{"x":' + b"[" * 10_000]
)
def test_a_body_that_is_not_json(wire, body):
    answer = wire.answer("DescribeTable", body)
    assert (answer.status, answer.json) == (400, {"__type": f"{CORAL}SerializationException"})


MAP = "Unrecognized collection type java.util.Map<java.lang.String, com.amazonaws.dynamodb.v20120810.AttributeValue>"
VALUE = "Unrecognized collection type class com.amazonaws.dynamodb.v20120810.AttributeValue"
STRUCTURE = "Start of structure or map found where not expected"


@pytest.mark.parametrize(
    ("operation", "request_", "says"),
    [
        ("PutItem", {"TableName": 1}, "NUMBER_VALUE cannot be converted to String"),
        ("PutItem", {"TableName": 1.5}, "DECIMAL_VALUE cannot be converted to String"),
        ("PutItem", {"TableName": True}, "TRUE_VALUE cannot be converted to String"),
        ("PutItem", {"TableName": False}, "FALSE_VALUE cannot be converted to String"),
        ("PutItem", {"TableName": []}, "Unrecognized collection type class java.lang.String"),
        ("PutItem", {"TableName": {}}, STRUCTURE),
        ("PutItem", {"Item": []}, MAP),
        ("PutItem", {"Item": "a"}, "Unexpected field type"),
        ("PutItem", {"Item": {"a": []}}, VALUE),
        ("PutItem", {"Item": {"a": "b"}}, "Unexpected value type in payload"),
        ("PutItem", {"Item": {"a": {"S": 1}}}, "NUMBER_VALUE cannot be converted to String"),
        ("PutItem", {"Item": {"a": {"N": 1}}}, "NUMBER_VALUE cannot be converted to String"),
        ("PutItem", {"Item": {"a": {"S": {}}}}, STRUCTURE),
        ("PutItem", {"Item": {"a": {"S": []}}}, "Unrecognized collection type class java.lang.String"),
        ("PutItem", {"Item": {"a": {"B": 1}}}, "only base-64-encoded strings are convertible to bytes"),
        ("PutItem", {"Item": {"a": {"B": "a"}}}, "Base64 encoded length is expected a multiple of 4 bytes but found: 1"),
        ("PutItem", {"Item": {"a": {"B": "=+/="}}}, "Invalid last non-pad Base64 character dectected"),
        ("PutItem", {"Item": {"a": {"B": "+$cd"}}}, "Invalid Base64 character: '$'"),
        ("PutItem", {"Item": {"a": {"BOOL": "true"}}}, "Unexpected token received from parser"),
        ("PutItem", {"Item": {"a": {"BOOL": 1}}}, "NUMBER_VALUE cannot be converted to Boolean"),
        ("PutItem", {"Item": {"a": {"NULL": "true"}}}, "Unexpected token received from parser"),
        ("PutItem", {"Item": {"a": {"SS": "a"}}}, "Unexpected field type"),
        ("PutItem", {"Item": {"a": {"SS": [1]}}}, "NUMBER_VALUE cannot be converted to String"),
        ("PutItem", {"Item": {"a": {"SS": {}}}}, STRUCTURE),
        ("PutItem", {"Item": {"a": {"L": {}}}}, STRUCTURE),
        ("PutItem", {"Item": {"a": {"L": ["a"]}}}, "Unexpected value type in payload"),
        ("PutItem", {"Item": {"a": {"M": []}}}, MAP),
        ("PutItem", {"Item": {"a": {"M": {"b": []}}}}, VALUE),
        ("PutItem", {"ExpressionAttributeNames": []}, "Unrecognized collection type java.util.Map<java.lang.String, java.lang.String>"),
        ("PutItem", {"ExpressionAttributeValues": "a"}, "Unexpected field type"),
        ("PutItem", {"ExpressionAttributeValues": {":a": {"N": 1}}}, "NUMBER_VALUE cannot be converted to String"),
        ("GetItem", {"ConsistentRead": "true"}, "Unexpected token received from parser"),
        ("GetItem", {"ConsistentRead": 1}, "NUMBER_VALUE cannot be converted to Boolean"),
        ("GetItem", {"AttributesToGet": "a"}, "Unexpected field type"),
        ("GetItem", {"AttributesToGet": [True]}, "TRUE_VALUE cannot be converted to String"),
        ("Query", {"Limit": "1"}, "STRING_VALUE cannot be converted to Integer"),
        ("Query", {"Limit": True}, "TRUE_VALUE cannot be converted to Integer"),
        ("Query", {"ExclusiveStartKey": []}, MAP),
        ("CreateTable", {"KeySchema": {}}, STRUCTURE),
        ("CreateTable", {"KeySchema": ["a"]}, "Unexpected value type in payload"),
        ("CreateTable", {"ProvisionedThroughput": {"ReadCapacityUnits": "1"}}, "STRING_VALUE cannot be converted to Long"),
        ("BatchGetItem", {"RequestItems": []}, "Unrecognized collection type java.util.Map<java.lang.String, com.amazonaws.dynamodb.v20120810.KeysAndAttributes>"),
        ("BatchWriteItem", {"RequestItems": {"abc": {}}}, STRUCTURE),
    ],
    ids=lambda value: str(value)[:50],
)
def test_a_body_of_another_shape(wire, operation, request_, says):
    answer = wire.answer(operation, request_)
    assert (answer.status, answer.json) == (400, {"__type": f"{CORAL}SerializationException", "Message": says})


def test_a_table_is_named_by_its_arn_too(wire, plain, pk):
    arn = wire("DescribeTable", TableName=plain)["Table"]["TableArn"]
    assert re.fullmatch(rf"arn:aws:dynamodb:us-east-1:\d{{12}}:table/{plain}", arn)
    wire("PutItem", TableName=arn, Item={"pk": s(pk), "v": n(1)})
    assert wire("GetItem", TableName=arn, Key={"pk": s(pk)})["Item"]["v"] == n(1)
    read = wire("BatchGetItem", RequestItems={arn: {"Keys": [{"pk": s(pk)}]}})
    assert read["Responses"] == {arn: [{"pk": s(pk), "v": n(1)}]}
    assert wire.refusal("GetItem", TableName="arn:x", Key={}).startswith("ValidationException: Invalid TableArn")


def test_an_arn_of_another_region_is_refused(wire, plain, pk):
    """As the service says it in reports to Terraform's provider for AWS (#42792) and its DynamoDB module (#85)."""
    arn = wire("DescribeTable", TableName=plain)["Table"]["TableArn"].replace("us-east-1", "eu-west-1")
    refusal = f"ValidationException: 1 validation error detected: Invalid AWS region in '{arn}'"
    put = {"TableName": arn, "Item": {"pk": s(pk)}}
    for operation, request_ in (
        ("PutItem", put),
        ("GetItem", {"TableName": arn, "Key": {"pk": s(pk)}}),
        ("Query", {"TableName": arn, "KeyConditionExpression": "pk = :p", "ExpressionAttributeValues": {":p": s(pk)}}),
        ("Scan", {"TableName": arn}),
        ("BatchGetItem", {"RequestItems": {arn: {"Keys": [{"pk": s(pk)}]}}}),
        ("BatchWriteItem", {"RequestItems": {arn: [{"PutRequest": {"Item": {"pk": s(pk)}}}]}}),
        ("TransactWriteItems", {"TransactItems": [{"Put": put}]}),
        ("DescribeTable", {"TableName": arn}),
        ("DescribeContinuousBackups", {"TableName": arn}),
        ("DescribeTimeToLive", {"TableName": arn}),
        ("DeleteTable", {"TableName": arn}),
    ):
        assert wire.refusal(operation, **request_) == refusal, operation
    assert "Item" not in wire("GetItem", TableName=plain, Key={"pk": s(pk)})


@pytest.fixture
def large_item(wire, plain, pk):
    wire("PutItem", TableName=plain, Item={"pk": s(pk), "v": s("abcdefgh" * 40_000)})
    return {"TableName": plain, "Key": {"pk": s(pk)}}


@pytest.mark.parametrize(
    ("accept", "compressed"),
    [
        (None, None),
        ("identity", None),
        ("gzip", "gzip"),
        ("GZIP", "gzip"),
        ("gzip, deflate, br, zstd", "gzip"),
        ("deflate, gzip", "gzip"),
        ("deflate", "deflate"),
        ("deflate, gzip;q=0.5", "deflate"),
        ("deflate;q=0.5, gzip;q=0.2", "deflate"),
        ("*", "gzip"),
        ("br, *;q=0.1", "gzip"),
        ("gzip;q=0, *", "deflate"),
        ("x-gzip", None),
        ("br, zstd", None),
        ("gzip;q=0", None),
        ("gzip; q=0.0, br", None),
        ("gzipped", None),
    ],
)
def test_large_answers_are_compressed_for_who_accepts_it(wire, large_item, accept, compressed):
    headers = {"Accept-Encoding": accept} if accept else {}
    answer = wire.answer("GetItem", large_item, **headers)
    assert answer.headers.get("content-encoding") == compressed
    assert len(answer.raw) < 20_000 if compressed else len(answer.raw) > 320_000
    # The checksum is of what is sent: so every SDK has it.
    assert answer.headers["x-amz-crc32"] == str(zlib.crc32(answer.raw))
    assert len(answer.json["Item"]["v"]["S"]) == 320_000


def test_only_the_first_accept_encoding_counts(wire, large_item):
    for values, coding in ((("br", "gzip"), None), (("deflate", "gzip"), "deflate")):
        headers = urllib3.HTTPHeaderDict()
        for value in values:
            headers.add("Accept-Encoding", value)
        target = {"X-Amz-Target": "DynamoDB_20120810.GetItem", "Content-Type": JSON}
        headers.extend(target)
        response = wire.pool.request(
            "POST", wire.endpoint + "/", body=json.dumps(large_item), headers=headers, decode_content=False
        )
        assert response.headers.get("content-encoding") == coding


def test_what_does_not_repeat_itself_is_compressed_too(wire, plain, pk):
    """Letters and digits are six bits each."""
    text = base64.b64encode(os.urandom(150_000)).decode()
    wire("PutItem", TableName=plain, Item={"pk": s(pk), "v": s(text)})
    for coding in ("gzip", "deflate"):
        request = {"TableName": plain, "Key": {"pk": s(pk)}}
        answer = wire.answer("GetItem", request, **{"Accept-Encoding": coding})
        assert answer.json["Item"]["v"] == s(text)
        assert len(answer.raw) < 0.77 * len(text)


def test_small_answers_are_not_compressed(wire, plain):
    answer = wire.answer("DescribeTable", {"TableName": plain}, **{"Accept-Encoding": "gzip"})
    assert "content-encoding" not in answer.headers


def bare_deflate(body):
    """RFC 1951 without the frame that HTTP asks for."""
    compressor = zlib.compressobj(wbits=-15)
    return compressor.compress(body) + compressor.flush()


@pytest.mark.parametrize(
    ("coding", "compress"),
    [("gzip", gzip.compress), ("GZIP", gzip.compress), ("deflate", zlib.compress), ("deflate", bare_deflate)],
)
def test_compressed_requests(wire, plain, pk, coding, compress):
    request = {"TableName": plain, "Item": {"pk": s(pk), "v": s("x" * 100_000)}}
    body = compress(json.dumps(request).encode())
    assert len(body) < 1000
    answer = wire.answer("PutItem", body, **{"Content-Encoding": coding})
    assert (answer.status, answer.json) == (200, {})
    assert len(wire("GetItem", TableName=plain, Key={"pk": s(pk)})["Item"]["v"]["S"]) == 100_000


@pytest.mark.parametrize("coding", ["garbage", "br", "gzip, deflate", "identity"])
def test_requests_of_a_coding_that_nobody_knows(wire, plain, pk, coding):
    """They are no client's mistake to DynamoDB. Nothing is written."""
    request = {"TableName": plain, "Item": {"pk": s(pk)}}
    answer = wire.answer("PutItem", request, **{"Content-Encoding": coding})
    known = coding == "identity"
    assert answer.status == (200 if known else 500)
    if not known:
        assert answer.json == {"__type": f"{CORAL}InternalFailure"}
    assert ("Item" in wire("GetItem", TableName=plain, Key={"pk": s(pk)})) == known


@pytest.mark.parametrize(("coding", "compress"), [("gzip", gzip.compress), ("deflate", zlib.compress)])
def test_compressed_requests_that_make_no_sense(wire, coding, compress):
    whole = compress(b"{}")
    for body in (b"", b"{}", whole[:-3], whole + b"more", compress(b"")):
        answer = wire.answer("ListTables", body, **{"Content-Encoding": coding})
        assert (answer.status, answer.json) == (500, {"__type": f"{CORAL}InternalFailure"}), body


def test_a_compressed_request_is_no_larger_than_another(wire):
    """A body of a few kilobytes that would become 100 megabytes."""
    body = gzip.compress(b" " * (100 << 20))
    answer = wire.answer("ListTables", body, **{"Content-Encoding": "gzip"})
    assert (answer.status, answer.kind) == (413, "RequestEntityTooLargeException")


def test_a_request_of_more_than_16_megabytes(wire):
    answer = wire.answer("PutItem", b'{"x":"' + b"x" * (16 << 20) + b'"}')
    assert (answer.status, answer.kind) == (413, "RequestEntityTooLargeException")


# Signatures, against a region that insists on them.

NOW = "%Y%m%dT%H%M%SZ"


def signed(region, body=b"{}", *, when=None, secret=None, key=None, scope=None, drop=(), change=None):
    """Headers of a request to ListTables as the specification has them, with one thing wrong if asked for."""
    when = when or datetime.now(timezone.utc)
    date, host = when.strftime(NOW), region.endpoint.split("//")[1]
    scope = scope or f"{date[:8]}/{region.name}/dynamodb/aws4_request"
    headers = {"host": host, "x-amz-date": date, "x-amz-target": "DynamoDB_20120810.ListTables"}
    names = ";".join(headers)
    canonical = "\n".join(
        ["POST", "/", "", *(f"{name}:{value}" for name, value in headers.items()), "", names, hashlib.sha256(body).hexdigest()]
    )
    to_sign = "\n".join(["AWS4-HMAC-SHA256", date, scope, hashlib.sha256(canonical.encode()).hexdigest()])
    signing = ("AWS4" + (secret or region.secret_access_key)).encode()
    for part in [*scope.split("/"), to_sign]:
        signing = hmac.new(signing, part.encode(), hashlib.sha256).digest()
    parts = {
        "Credential": f"{key or region.access_key_id}/{scope}",
        "SignedHeaders": names,
        "Signature": signing.hex(),
    }
    parts |= change or {}
    value = ", ".join(f"{name}={part}" for name, part in parts.items() if name not in drop)
    sent = {"X-Amz-Date": date, "Authorization": f"AWS4-HMAC-SHA256 {value}"}
    return {name: value for name, value in sent.items() if name not in drop}


def refused(region, body=b"{}", **headers):
    answer = Wire(region.endpoint).answer("ListTables", body, **headers)
    assert answer.status == 400, answer.body
    return answer.json["__type"], answer.message


def test_a_good_signature(regions):
    answer = Wire(regions[0].endpoint).answer("ListTables", b"{}", **signed(regions[0]))
    assert (answer.status, "TableNames" in answer.json) == (200, True)


def test_no_signature(regions):
    expect = (f"{CORAL}MissingAuthenticationTokenException", "Request is missing Authentication Token")
    assert refused(regions[0]) == expect
    assert refused(regions[0], **{"X-Amz-Date": "20260101T000000Z"}) == expect
    # What cannot be an operation's request is told so before.
    answer = Wire(regions[0].endpoint).answer("Nothing", b"{}")
    assert answer.json == {"__type": f"{CORAL}UnknownOperationException"}


@pytest.mark.parametrize(
    ("drop", "missing"),
    [
        (["Credential"], ["Authorization header requires 'Credential' parameter."]),
        (["Signature"], ["Authorization header requires 'Signature' parameter."]),
        (["SignedHeaders"], ["Authorization header requires 'SignedHeaders' parameter."]),
        (
            ["X-Amz-Date"],
            ["Authorization header requires existence of either a 'X-Amz-Date' or a 'Date' header."],
        ),
        (
            ["Credential", "Signature", "SignedHeaders", "X-Amz-Date"],
            [
                "Authorization header requires 'Credential' parameter.",
                "Authorization header requires 'Signature' parameter.",
                "Authorization header requires 'SignedHeaders' parameter.",
                "Authorization header requires existence of either a 'X-Amz-Date' or a 'Date' header.",
            ],
        ),
    ],
)
def test_an_incomplete_signature(regions, drop, missing):
    headers = signed(regions[0], drop=drop)
    expect = " ".join([*missing, "Authorization=" + headers["Authorization"].strip()])
    kind, message = refused(regions[0], **headers)
    assert (kind, message.strip()) == (f"{CORAL}IncompleteSignatureException", expect)


MISMATCH = (
    "The request signature we calculated does not match the signature you provided. Check your AWS Secret Access Key and "
    "signing method. Consult the service documentation for details."
)


def test_wrong_signatures(regions):
    region = regions[0]
    wrong = (f"{CORAL}InvalidSignatureException", MISMATCH)
    assert refused(region, **signed(region, secret="another")) == wrong
    assert refused(region, b'{"Limit":1}', **signed(region)) == wrong
    assert refused(region, **signed(region, change={"Signature": "0" * 64})) == wrong
    unknown = (f"{CORAL}UnrecognizedClientException", "The security token included in the request is invalid.")
    assert refused(region, **signed(region, key="AKIANOBODY")) == unknown
    day = datetime.now(timezone.utc).strftime("%Y%m%d")
    kind, message = refused(region, **signed(region, scope=f"{day}/mars-north-1/dynamodb/aws4_request"))
    assert (kind, message.strip()) == (
        f"{CORAL}InvalidSignatureException",
        "Credential should be scoped to a valid region.",
    )
    kind, message = refused(region, **signed(region, scope=f"{day}/{region.name}/s3/aws4_request"))
    assert (kind, message.strip()) == (
        f"{CORAL}InvalidSignatureException",
        "Credential should be scoped to correct service: 'dynamodb'.",
    )


@pytest.mark.parametrize("separator", [",", " ", "  "])
def test_parameters_of_a_signature_apart_by_commas_or_blanks(regions, separator):
    headers = signed(regions[0])
    headers["Authorization"] = headers["Authorization"].replace(", ", separator)
    assert Wire(regions[0].endpoint).answer("ListTables", b"{}", **headers).status == 200
    old = signed(regions[0], when=datetime.now(timezone.utc) - timedelta(hours=1))
    old["Authorization"] = old["Authorization"].replace(", ", separator)
    kind, message = refused(regions[0], **old)
    assert kind == f"{CORAL}InvalidSignatureException" and message.startswith("Signature expired: ")


@pytest.mark.parametrize(("minutes", "says"), [(-16, "Signature expired: {}"), (16, "Signature not yet current: {}")])
def test_a_signature_of_another_time(regions, minutes, says):
    when = datetime.now(timezone.utc) + timedelta(minutes=minutes)
    kind, message = refused(regions[0], **signed(regions[0], when=when))
    assert kind == f"{CORAL}InvalidSignatureException"
    assert message.startswith(says.format(when.strftime(NOW)) + " is ")
    assert "15 min.)" in message


