"""The admin port: what it tells everybody, what asks for a signature, and what policies say to that."""

import json
import urllib.error
import urllib.request

import botocore.auth
import botocore.awsrequest
import botocore.credentials
import pytest
from conftest import serve

STRICT = """
[admin]
trust_local = false
open_metrics = false
"""
ONE_TABLE = {
    "Version": "2012-10-17",
    "Statement": [
        {"Effect": "Allow", "Action": "geodynamo:ReadDigest", "Resource": "arn:aws:dynamodb:*:*:table/Mine"},
        {"Effect": "Allow", "Action": "geodynamo:ReadLatency", "Resource": "*"},
    ],
}


@pytest.fixture(scope="module")
def strict(tmp_path_factory):
    with serve(tmp_path_factory.mktemp("strict"), STRICT) as region:
        client = region.client()
        for name in ("Mine", "Other"):
            client.create_table(
                TableName=name,
                AttributeDefinitions=[{"AttributeName": "pk", "AttributeType": "S"}],
                KeySchema=[{"AttributeName": "pk", "KeyType": "HASH"}],
                BillingMode="PAY_PER_REQUEST",
            )
            client.get_waiter("table_exists").wait(TableName=name, WaiterConfig={"Delay": 1})
        yield region


def ask(region, path, key=None, region_name="us-east-1", service="geodynamo", method="GET"):
    request = botocore.awsrequest.AWSRequest(method, f"http://{region.admin}{path}")
    if key:
        credentials = botocore.credentials.Credentials(*key)
        botocore.auth.SigV4Auth(credentials, service, region_name).add_auth(request)
    sent = urllib.request.Request(request.url, headers=dict(request.headers), method=method)
    try:
        with urllib.request.urlopen(sent, timeout=30) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as refused:
        return refused.code, refused.read().decode()


def root(region):
    return (region.access_key_id, region.secret_access_key)


def test_what_everybody_may_ask(strict):
    for path in ("/healthz", "/readyz", "/", "/console/app.js", "/console.json"):
        assert ask(strict, path)[0] == 200, path


def test_the_rest_asks_for_a_signature(strict):
    for path in ("/metrics", "/latency", "/digest?table=Mine", "/conflicts?table=Mine", "/links", "/regions/us-east-1/metrics", "/nothing"):
        status, body = ask(strict, path)
        assert (status, "error" in json.loads(body)) == (403, True), path
    assert ask(strict, "/latency", (strict.access_key_id, "wrong"))[0] == 403
    assert ask(strict, "/latency", ("AKIDNOBODY", "wrong"))[0] == 403
    assert ask(strict, "/latency", root(strict), service="dynamodb")[0] == 403
    # Whoever asks need not know the region.
    for region_name in ("us-east-1", "eu-west-1"):
        assert ask(strict, "/latency", root(strict), region_name)[0] == 200
    for path in ("/metrics", "/digest?table=Mine", "/conflicts?table=Mine", "/links"):
        assert ask(strict, path, root(strict))[0] == 200, path


def test_policies_say_who_may(strict):
    iam = strict.client("iam")
    iam.create_user(UserName="watcher")
    iam.put_user_policy(UserName="watcher", PolicyName="one", PolicyDocument=json.dumps(ONE_TABLE))
    made = iam.create_access_key(UserName="watcher")["AccessKey"]
    key = (made["AccessKeyId"], made["SecretAccessKey"])
    assert ask(strict, "/digest?table=Mine", key)[0] == 200
    assert ask(strict, "/latency", key)[0] == 200
    for path, action in (("/digest?table=Other", "ReadDigest"), ("/conflicts?table=Mine", "ReadConflicts"), ("/metrics", "ReadMetrics")):
        status, body = ask(strict, path, key)
        assert status == 403 and f"is not authorized to perform: geodynamo:{action}" in json.loads(body)["error"], body
    # What it does to a table is not told by what is asked of another region in its place.
    assert ask(strict, "/regions/us-east-1/digest?table=Other", key)[0] == 403


def test_this_machine_is_trusted_and_pages_from_elsewhere_are_not(tmp_path):
    with serve(tmp_path) as region:
        assert ask(region, "/latency")[0] == 200
        for headers in ({"Origin": "http://evil.example"}, {"Host": "evil.example"}):
            request = urllib.request.Request(f"http://{region.admin}/latency", headers=headers)
            with pytest.raises(urllib.error.HTTPError) as refused:
                urllib.request.urlopen(request, timeout=30)
            assert refused.value.code == 403, headers


def test_who_signs_is_judged_on_this_machine_too(tmp_path):
    """This machine is trusted as long as it does not say who asks."""
    with serve(tmp_path) as region:
        iam = region.client("iam")
        iam.create_user(UserName="nobody")
        made = iam.create_access_key(UserName="nobody")["AccessKey"]
        key = (made["AccessKeyId"], made["SecretAccessKey"])
        for method, path, action in (
            ("GET", "/insights?table=Theirs", "ReadInsights"),
            ("GET", "/digest?table=Theirs", "ReadDigest"),
            ("GET", "/keys", "ReadKeys"),
            ("GET", "/latency", "ReadLatency"),
            ("GET", "/slow-requests", "ReadSlowRequests"),
            ("GET", "/regions/us-east-1/metrics", "ReadMetrics"),
            ("POST", "/verify", "ChangeVerify"),
            ("POST", "/regions/us-east-1/verify", "ChangeVerify"),
            ("PUT", "/wan/links/us-east-1/eu-west-1", "ChangeWan"),
        ):
            status, body = ask(region, path, key, method=method)
            assert status == 403 and f"geodynamo:{action}" in json.loads(body)["error"], (path, status, body)
        assert ask(region, "/latency", (made["AccessKeyId"], "wrong"))[0] == 403
        # Root may, and so may what everybody may.
        assert ask(region, "/latency", root(region))[0] == 200
        assert ask(region, "/readyz", key)[0] == 200


def test_slow_requests_are_shown(tmp_path):
    with serve(tmp_path, "[limits]\nslow_request_ms = 1\n") as region:
        client = region.client()
        client.create_table(
            TableName="Slow",
            AttributeDefinitions=[{"AttributeName": "pk", "AttributeType": "S"}],
            KeySchema=[{"AttributeName": "pk", "KeyType": "HASH"}],
            BillingMode="PAY_PER_REQUEST",
        )
        client.get_waiter("table_exists").wait(TableName="Slow", WaiterConfig={"Delay": 1})
        answered = client.put_item(TableName="Slow", Item={"pk": {"S": "a"}, "text": {"S": "x" * 300_000}})
        _, body = ask(region, "/slow-requests")
        slow = json.loads(body)["requests"]
        mine = next(each for each in slow if each["request_id"] == answered["ResponseMetadata"]["RequestId"])
        assert (mine["operation"], mine["status"]) == ("PutItem", 200)
        assert mine["took_ms"] >= 1 and mine["why"] and mine["fsync_ms"] >= 0
