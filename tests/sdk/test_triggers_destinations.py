"""Notes of records that a function does not take: to SQS, SNS and S3 by their APIs, which moto's server has; to tables."""

import json

import boto3
import pytest
from botocore.config import Config
from conftest import serve, table_definition, wait_until
from functions import Failed, functions_server, key
from test_backups_s3 import KEYS, s3  # noqa: F401 (the server is a fixture)
from test_triggers import ONE, World, refused


@pytest.fixture
def services(s3):  # noqa: F811
    _, endpoint = s3
    config = Config(s3={"addressing_style": "path"})
    return endpoint, {
        service: boto3.client(service, endpoint_url=endpoint, config=config, **KEYS) for service in ("sqs", "sns", "s3")
    }


def test_notes_arrive_in_awss_form(tmp_path, services, name):
    endpoint, clients = services
    queue = clients["sqs"].create_queue(QueueName="dead")["QueueUrl"]
    heard = clients["sqs"].create_queue(QueueName="heard")["QueueUrl"]
    arn = lambda url: clients["sqs"].get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
    topic = clients["sns"].create_topic(Name="dead")["TopicArn"]
    clients["sns"].subscribe(TopicArn=topic, Protocol="sqs", Endpoint=arn(heard))
    clients["s3"].create_bucket(Bucket="dead")
    key_of_moto = 'access_key_id = "moto"\nsecret_access_key = "moto"'
    settings = "".join(f'[destinations.{service}]\nendpoint = "{endpoint}"\n{key_of_moto}\n' for service in clients)

    def fails(_):
        raise Failed

    def messages(url):
        answer = clients["sqs"].receive_message(QueueUrl=url, WaitTimeSeconds=0).get("Messages", [])
        return [json.loads(message["Body"]) for message in answer]

    with functions_server() as functions:
        for function in ("one", "two", "three"):
            functions.behave[function] = fails
            settings += f'[functions.{function}]\nurl = "{functions.address}/{function}"\n'
        with serve(tmp_path, settings) as region:
            world = World(region, name)
            uuids = [
                world.map(
                    function, MaximumRetryAttempts=0, DestinationConfig={"OnFailure": {"Destination": destination}}
                )
                for function, destination in [("one", arn(queue)), ("two", topic), ("three", "arn:aws:s3:::dead")]
            ]
            world.put("a", 1)
            (by_queue,) = wait_until(lambda: messages(queue), "a message in the queue", 30)
            (by_topic,) = wait_until(lambda: messages(heard), "a message by the topic", 30)
            stored = lambda: clients["s3"].list_objects_v2(Bucket="dead").get("Contents", [])
            (found,) = wait_until(stored, "an object in the bucket", 30)
            by_bucket = json.load(clients["s3"].get_object(Bucket="dead", Key=found["Key"])["Body"])
            world.remove()
    by_topic = json.loads(by_topic["Message"])
    for note, function in [(by_queue, "one"), (by_topic, "two"), (by_bucket, "three")]:
        assert note["requestContext"]["functionArn"].endswith(f":function:{function}")
        assert note["requestContext"]["condition"] == "RetryAttemptsExhausted"
        assert note["responseContext"]["statusCode"] == 500
        assert note["DDBStreamBatchInfo"]["batchSize"] == 1
    assert "payload" not in by_queue and "payload" not in by_topic
    (record,) = json.loads(by_bucket["payload"])["Records"]
    assert key(record) == "a"
    shard = by_bucket["DDBStreamBatchInfo"]["shardId"]
    assert found["Key"].startswith(f"aws/lambda/{uuids[2]}/{shard}/20")


def table_arn(name):
    return f"arn:aws:dynamodb:us-east-1:000000000000:table/{name}"


def to(arn):
    return {"DestinationConfig": {"OnFailure": {"Destination": arn}}}


def scanned(client, name):
    return client.scan(TableName=name, ConsistentRead=True)["Items"]


def test_a_table_has_each_note_once(tmp_path, name):
    """A shard waits until its note is in the table; the same note again, after a kill -9 before the checkpoint, takes its place."""
    alone, sorted_by = f"{name}-a", f"{name}-s"
    with functions_server() as functions:

        def fails(event):
            raise Failed

        settings = "[throttle]\nenabled = false\n"
        for function in ("one", "two"):
            functions.behave[function] = fails
            settings += f'[functions.{function}]\nurl = "{functions.address}/{function}"\n'
        with serve(tmp_path, settings, crash=True) as region:
            client = region.client()
            client.create_table(**table_definition(alone, "note", **ONE))
            client.create_table(**table_definition(sorted_by, "mapping", "records:B", **ONE))
            for table in (alone, sorted_by):
                client.get_waiter("table_exists").wait(TableName=table, WaiterConfig={"Delay": 1, "MaxAttempts": 30})
            world = World(region, name)
            first = world.map("one", MaximumRetryAttempts=0, BatchSize=1, **to(table_arn(alone)))
            second = world.map("two", MaximumRetryAttempts=0, BatchSize=1, **to(table_arn(sorted_by)))
            for n in range(3):
                world.put(f"k{n}", n)
            wait_until(lambda: len(scanned(client, alone)) == len(scanned(client, sorted_by)) == 3, "three notes in each", 30)
            notes = {table: scanned(client, table) for table in (alone, sorted_by)}
            shard = notes[alone][0]["DDBStreamBatchInfo"]["M"]["shardId"]["S"]
            for note in notes[alone]:
                sequence = note["DDBStreamBatchInfo"]["M"]["startSequenceNumber"]["S"]
                assert note["note"]["S"] == f"{first}/{shard}/{sequence}-{sequence}"
                assert note["requestContext"]["M"]["condition"]["S"] == "RetryAttemptsExhausted"
                assert note["responseContext"]["M"]["statusCode"]["N"] == "500" and note["version"]["S"] == "1.0"
                (record,) = json.loads(note["payload"]["S"])["Records"]
                assert record["dynamodb"]["SequenceNumber"] == sequence
            keys = [note["records"]["B"].decode() for note in notes[sorted_by]]
            assert {note["mapping"]["S"] for note in notes[sorted_by]} == {second}
            assert keys == sorted(keys) and all(key.startswith(f"{shard}/") for key in keys)
            # A table that is gone: the shard waits, and says why.
            client.delete_table(TableName=alone)
            client.get_waiter("table_not_exists").wait(TableName=alone, WaiterConfig={"Delay": 1, "MaxAttempts": 30})
            world.put("k3", 3)
            wait_until(lambda: "destination" in world.get(first)["LastProcessingResult"], "it waits", 30)
            wait_until(lambda: len(scanned(client, sorted_by)) == 4, "the other goes on", 30)
        with serve(tmp_path, settings) as region:
            client = region.client()
            client.create_table(**table_definition(alone, "note", **ONE))
            wait_until(lambda: any("k3" in note["payload"]["S"] for note in scanned_or_none(client, alone)), "the note", 60)
            again = scanned(client, sorted_by)
            assert len(again) == 4 and len({note["records"]["B"] for note in again}) == 4


def scanned_or_none(client, name):
    try:
        return scanned(client, name)
    except client.exceptions.ResourceNotFoundException:
        return []


def test_a_table_that_does_not_fit_is_refused(tmp_path, name):
    with functions_server() as functions, serve(tmp_path, f'[functions.one]\nurl = "{functions.address}/one"\n') as region:
        client = region.client()
        world = World(region, name)
        number, own, indexed = f"{name}-n", f"{name}-v", f"{name}-i"
        client.create_table(**table_definition(number, "pk", "sk:N", **ONE))
        client.create_table(**table_definition(own, "version", **ONE))
        index = {"IndexName": "by-time", "KeySchema": [{"AttributeName": "timestamp", "KeyType": "HASH"}], "Projection": {"ProjectionType": "ALL"}}
        index["ProvisionedThroughput"] = ONE["ProvisionedThroughput"]
        definition = table_definition(indexed, "pk", **ONE, GlobalSecondaryIndexes=[index])
        definition["AttributeDefinitions"].append({"AttributeName": "timestamp", "AttributeType": "N"})
        client.create_table(**definition)
        for table in (number, own, indexed):
            client.get_waiter("table_exists").wait(TableName=table, WaiterConfig={"Delay": 1, "MaxAttempts": 30})
        create = world.mappings.create_event_source_mapping
        given = {"EventSourceArn": world.arn, "FunctionName": "one", "StartingPosition": "LATEST"}
        elsewhere = table_arn(own).replace("us-east-1", "eu-west-1")
        for arn, told in [
            (table_arn("absent"), "not found"),
            (table_arn(number), "sk must be of the type S or B"),
            (table_arn(own), "of its own"),
            (table_arn(indexed), "timestamp"),
            (world.arn.split("/stream")[0], "the stream's own"),
            (elsewhere, "another region"),
            (f"{table_arn(own)}/index/by", "is invalid"),
        ]:
            assert told in refused("InvalidParameterValueException", create, **given, **to(arn)), arn
        uuid = world.map("one")
        update = world.mappings.update_event_source_mapping
        assert "of its own" in refused("InvalidParameterValueException", update, UUID=uuid, **to(table_arn(own)))
        assert world.get(uuid)["DestinationConfig"] == {"OnFailure": {}}
        world.remove()
