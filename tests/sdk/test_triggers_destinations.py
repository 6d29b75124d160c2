"""Notes of records that a function does not take, to SQS, SNS and S3 by their APIs: moto's server, which is another's."""

import json

import boto3
import pytest
from botocore.config import Config
from conftest import serve, wait_until
from functions import Failed, functions_server, key
from test_backups_s3 import KEYS, s3  # noqa: F401 (the server is a fixture)
from test_triggers import World


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
