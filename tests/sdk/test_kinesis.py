"""Kinesis streaming destinations, to moto's Kinesis, which is another's implementation of it."""

import json
import socket
import subprocess
import time
from contextlib import contextmanager
from pathlib import Path

import boto3
import pytest
from botocore.exceptions import ClientError
from conftest import serve, table_definition, wait_until

ROOT = Path(__file__).resolve().parent.parent.parent
KEYS = {"aws_access_key_id": "moto", "aws_secret_access_key": "moto", "region_name": "us-east-1"}
# Not the records' order of arrival, but how they are told apart.
KINDS = ["INSERT", "MODIFY", "REMOVE"]


@contextmanager
def moto(folder, port=0):
    command = ["scripts/python-env", "--path", "tests/sdk/requirements-s3.txt"]
    path = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True).stdout.strip()
    if not port:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
    with (folder / "moto.log").open("ab") as log:
        server = subprocess.Popen(
            [f"{path}/bin/moto_server", "-H", "127.0.0.1", "-p", str(port)], stdout=log, stderr=subprocess.STDOUT
        )
    client = boto3.client("kinesis", endpoint_url=f"http://127.0.0.1:{port}", **KEYS)

    def answers():
        try:
            return client.list_streams() is not None
        except Exception:
            return False

    try:
        wait_until(answers, "moto's server answers", 60)
        yield client, port
    finally:
        server.terminate()
        server.wait(timeout=30)


def settings(port):
    return f"""
[destinations.kinesis]
endpoint = "http://127.0.0.1:{port}"
access_key_id = "moto"
secret_access_key = "moto"
[throttle]
enabled = false
"""


def make(client, name):
    client.create_table(**table_definition(name, "pk"))
    client.get_waiter("table_exists").wait(TableName=name, WaiterConfig={"Delay": 1, "MaxAttempts": 30})


def status(client, name):
    shown = client.describe_kinesis_streaming_destination(TableName=name)["KinesisDataStreamDestinations"]
    return {destination["StreamArn"]: destination["DestinationStatus"] for destination in shown}


def stream(kinesis, name):
    kinesis.create_stream(StreamName=name, ShardCount=2)
    wait_until(
        lambda: kinesis.describe_stream(StreamName=name)["StreamDescription"]["StreamStatus"] == "ACTIVE", "a stream", 30
    )
    return kinesis.describe_stream(StreamName=name)["StreamDescription"]["StreamARN"]


def records(kinesis, name):
    """Of each shard in its order."""
    found = []
    for shard in kinesis.list_shards(StreamName=name)["Shards"]:
        iterator = kinesis.get_shard_iterator(
            StreamName=name, ShardId=shard["ShardId"], ShardIteratorType="TRIM_HORIZON"
        )["ShardIterator"]
        while True:
            page = kinesis.get_records(ShardIterator=iterator, Limit=1000)
            found += [(json.loads(record["Data"]), record["PartitionKey"]) for record in page["Records"]]
            iterator = page.get("NextShardIterator")
            if not page["Records"] or not iterator:
                break
    return found


def enable(client, kinesis, name, arn, **more):
    answer = client.enable_kinesis_streaming_destination(TableName=name, StreamArn=arn, **more)
    assert answer["DestinationStatus"] == "ENABLING"
    wait_until(lambda: status(client, name)[arn] == "ACTIVE", "the destination is ACTIVE", 30)


def test_a_destinations_life_and_awss_records(tmp_path, name):
    with moto(tmp_path) as (kinesis, port), serve(tmp_path, settings(port)) as region:
        client = region.client()
        make(client, name)
        client.put_item(TableName=name, Item={"pk": {"S": "before"}, "n": {"N": "0"}})
        arn = stream(kinesis, "changes")
        assert status(client, name) == {}
        microseconds = {"ApproximateCreationDateTimePrecision": "MICROSECOND"}
        enable(client, kinesis, name, arn, EnableKinesisStreamingConfiguration=microseconds)
        with pytest.raises(ClientError, match="not in a valid state to enable"):
            client.enable_kinesis_streaming_destination(TableName=name, StreamArn=arn)

        client.put_item(TableName=name, Item={"pk": {"S": "a"}, "n": {"N": "1"}})
        client.put_item(TableName=name, Item={"pk": {"S": "a"}, "n": {"N": "2"}})
        client.put_item(TableName=name, Item={"pk": {"S": "a"}, "n": {"N": "2"}})  # changes nothing
        client.delete_item(TableName=name, Key={"pk": {"S": "a"}})
        found = wait_until(lambda: len(r := records(kinesis, "changes")) >= 3 and r, "three records", 30)
        assert [record["eventName"] for record, _ in found] == KINDS
        first, second, third = (record for record, _ in found)
        assert len({key for _, key in found}) == 1
        assert set(first) == {
            "awsRegion", "eventID", "eventName", "userIdentity", "recordFormat", "tableName", "dynamodb", "eventSource"
        }
        assert (first["awsRegion"], first["tableName"], first["eventSource"]) == ("us-east-1", name, "aws:dynamodb")
        assert (first["recordFormat"], first["userIdentity"]) == ("application/json", None)
        assert len({record["eventID"] for record, _ in found}) == 3
        assert first["dynamodb"]["Keys"] == {"pk": {"S": "a"}} and "OldImage" not in first["dynamodb"]
        assert second["dynamodb"]["OldImage"] == {"pk": {"S": "a"}, "n": {"N": "1"}}
        assert second["dynamodb"]["NewImage"] == {"pk": {"S": "a"}, "n": {"N": "2"}}
        assert third["dynamodb"]["OldImage"]["n"] == {"N": "2"} and "NewImage" not in third["dynamodb"]
        assert third["dynamodb"]["ApproximateCreationDateTimePrecision"] == "MICROSECOND"
        assert abs(third["dynamodb"]["ApproximateCreationDateTime"] / 1e6 - time.time()) < 60
        assert "SequenceNumber" not in third["dynamodb"] and third["dynamodb"]["SizeBytes"] > 0

        milliseconds = {"ApproximateCreationDateTimePrecision": "MILLISECOND"}
        changed = client.update_kinesis_streaming_destination(
            TableName=name, StreamArn=arn, UpdateKinesisStreamingConfiguration=milliseconds
        )
        assert changed["DestinationStatus"] == "UPDATING"
        client.put_item(TableName=name, Item={"pk": {"S": "b"}})
        found = wait_until(lambda: len(r := records(kinesis, "changes")) >= 4 and r, "a fourth record", 30)
        (last,) = [record for record, _ in found if record["dynamodb"]["Keys"] == {"pk": {"S": "b"}}]
        assert abs(last["dynamodb"]["ApproximateCreationDateTime"] / 1e3 - time.time()) < 60

        off = client.disable_kinesis_streaming_destination(TableName=name, StreamArn=arn)
        assert off["DestinationStatus"] == "DISABLING"
        wait_until(lambda: status(client, name)[arn] == "DISABLED", "it is DISABLED", 30)
        client.put_item(TableName=name, Item={"pk": {"S": "c"}})
        enable(client, kinesis, name, arn)
        client.put_item(TableName=name, Item={"pk": {"S": "d"}})
        found = wait_until(lambda: len(r := records(kinesis, "changes")) >= 5 and r, "a fifth record", 30)
        assert {"c"} & {record["dynamodb"]["Keys"]["pk"]["S"] for record, _ in found} == set()

        absent = arn.replace("changes", "absent")
        client.enable_kinesis_streaming_destination(TableName=name, StreamArn=absent)
        wait_until(lambda: status(client, name)[absent] == "ENABLE_FAILED", "there is no such stream", 30)
        with pytest.raises(client.exceptions.ResourceNotFoundException):
            client.enable_kinesis_streaming_destination(TableName="absent", StreamArn=arn)


def test_nothing_is_lost_through_kill_9_and_a_stream_that_is_away(tmp_path, name):
    """Writes go on meanwhile; what comes twice comes in stretches, so the last record of an item is its last change."""
    total = 300
    with moto(tmp_path) as (kinesis, port):
        with serve(tmp_path, settings(port), crash=True) as region:
            client = region.client()
            make(client, name)
            enable(client, kinesis, name, stream(kinesis, "changes"))
            for n in range(100):
                client.put_item(TableName=name, Item={"pk": {"S": f"{n % 10}"}, "n": {"N": str(n)}})
        with serve(tmp_path, settings(port), crash=True) as region:
            client = region.client()
            for n in range(100, 200):
                client.put_item(TableName=name, Item={"pk": {"S": f"{n % 10}"}, "n": {"N": str(n)}})
        with serve(tmp_path, settings(port)) as region:
            client = region.client()
            for n in range(200, total):
                client.put_item(TableName=name, Item={"pk": {"S": f"{n % 10}"}, "n": {"N": str(n)}})
            numbers = lambda: [int(record["dynamodb"]["NewImage"]["n"]["N"]) for record, _ in records(kinesis, "changes")]
            wait_until(lambda: set(numbers()) == set(range(total)), "all have come", 30)
            for item in range(10):
                assert [n for n in numbers() if n % 10 == item][-1] == total - 10 + item
    with moto(tmp_path, port), serve(tmp_path, settings(port)) as region:
        # It has forgotten the stream: what is written waits, and writes do not.
        client = region.client()
        for n in range(10):
            client.put_item(TableName=name, Item={"pk": {"S": "late"}, "n": {"N": str(n)}})
        kinesis = boto3.client("kinesis", endpoint_url=f"http://127.0.0.1:{port}", **KEYS)
        stream(kinesis, "changes")
        wait_until(lambda: len(records(kinesis, "changes")) >= 10, "what waited has come", 40)
