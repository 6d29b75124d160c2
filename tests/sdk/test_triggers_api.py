"""Lambda's API for event source mappings against botocore's model of it: every parameter, paging, tags, errors."""

import boto3
import botocore.session
import pytest
from botocore.config import Config
from conftest import serve, wait_until
from test_triggers import World, refused

FUNCTIONS = 104
# What mappings of other event sources have, and the key of a service that is not here: told in Lambda's words.
OF_OTHERS = {
    "KMSKeyArn": "arn:aws:kms:us-east-1:000000000000:key/k",
    "LoggingConfig": {"SystemLogLevel": "INFO"},
    "ScalingConfig": {"MaximumConcurrency": 5},
    "Topics": ["t"],
    "Queues": ["q"],
    "SourceAccessConfigurations": [{"Type": "BASIC_AUTH", "URI": "arn:aws:secretsmanager:us-east-1:000000000000:secret:s"}],
    "SelfManagedEventSource": {"Endpoints": {"KAFKA_BOOTSTRAP_SERVERS": ["a:9092"]}},
    "AmazonManagedKafkaEventSourceConfig": {"ConsumerGroupId": "g"},
    "SelfManagedKafkaEventSourceConfig": {"ConsumerGroupId": "g"},
    "DocumentDBEventSourceConfig": {"DatabaseName": "d"},
    "ProvisionedPollerConfig": {"MinimumPollers": 1},
    "StartingPositionTimestamp": 1_700_000_000,
}
QUEUE = "arn:aws:sqs:us-east-1:000000000000:dead"
# A value of each parameter that a mapping of a stream has, and what takes it back.
CHANGES = {
    "BatchSize": (7, 100),
    "MaximumBatchingWindowInSeconds": (3, 0),
    "ParallelizationFactor": (2, 1),
    "MaximumRecordAgeInSeconds": (60, -1),
    "MaximumRetryAttempts": (0, -1),
    "BisectBatchOnFunctionError": (True, False),
    "TumblingWindowInSeconds": (30, 0),
    "FunctionResponseTypes": (["ReportBatchItemFailures"], []),
    "FilterCriteria": ({"Filters": [{"Pattern": '{"eventName": ["INSERT"]}'}, {"Pattern": '{"dynamodb": {"Keys": {"pk": {"S": [{"anything-but": ["x"]}]}}}}'}]}, {}),
    "DestinationConfig": ({"OnFailure": {"Destination": QUEUE}}, {"OnFailure": {}}),
    "MetricsConfig": ({"Metrics": ["EventCount"]}, {"Metrics": []}),
}


def members(operation):
    return set(botocore.session.get_session().get_service_model("lambda").operation_model(operation).input_shape.members)


def settings(functions):
    return "".join(f'[functions.f{n}]\nurl = "http://127.0.0.1:9/"\n' for n in range(functions)) + '[destinations.sqs]\nfolder = "notes"\n'


@pytest.fixture
def world(tmp_path, name):
    with serve(tmp_path, settings(3)) as region:
        yield World(region, name)


def test_the_model_has_no_parameter_that_is_not_known_here():
    known = set(CHANGES) | set(OF_OTHERS) | {"Enabled", "FunctionName"}
    assert members("CreateEventSourceMapping") == known | {"EventSourceArn", "StartingPosition", "Tags"}
    assert members("UpdateEventSourceMapping") <= known | {"UUID"}


def test_every_parameter_is_kept_and_can_be_changed(world):
    """At creation, by an update of that alone, and taken back; it is shown as it was told, and nothing else changes."""
    client = world.mappings
    given = {"EventSourceArn": world.arn, "StartingPosition": "LATEST", "Enabled": False}
    plain = world.map("f0", start="LATEST", Enabled=False)
    world.until(plain, "Disabled")
    first = shown(world.get(plain))
    for name, (told, back) in CHANGES.items():
        for value in (told, back):
            client.update_event_source_mapping(UUID=plain, **{name: value})
            world.until(plain, "Disabled")
            now = shown(world.get(plain))
            expected = {**first, name: value} if value == told else first
            assert now == expected, name
    made = client.create_event_source_mapping(FunctionName="f1", **given, **{name: told for name, (told, _) in CHANGES.items() if name != "ParallelizationFactor"})
    for name, (told, _) in CHANGES.items():
        assert made[name] == (1 if name == "ParallelizationFactor" else told), name
    world.until(made["UUID"], "Disabled")
    changed = client.update_event_source_mapping(UUID=made["UUID"], FunctionName="f2")
    assert changed["FunctionArn"].endswith(":function:f2")
    world.until(made["UUID"], "Disabled")
    assert "f0" in refused("ResourceConflictException", client.update_event_source_mapping, UUID=made["UUID"], FunctionName="f0")
    refused("ResourceNotFoundException", client.update_event_source_mapping, UUID=made["UUID"], FunctionName="absent")
    together = {"UUID": plain, "TumblingWindowInSeconds": 1, "ParallelizationFactor": 2}
    refused("InvalidParameterValueException", client.update_event_source_mapping, **together)
    # The client would not send some of these.
    unchecked = boto3.client("lambda", **{**world.region.settings(), "config": Config(parameter_validation=False)})
    for name, (low, high) in {
        "BatchSize": (0, 10_001),
        "MaximumBatchingWindowInSeconds": (-1, 301),
        "ParallelizationFactor": (0, 11),
        "MaximumRecordAgeInSeconds": (-2, 604_801),
        "MaximumRetryAttempts": (-2, 10_001),
        "TumblingWindowInSeconds": (-1, 901),
    }.items():
        for value in (low, high):
            refused("ValidationException", unchecked.update_event_source_mapping, UUID=plain, **{name: value})
    assert shown(world.get(plain)) == first


def shown(mapping):
    """What a mapping is, but for when it was changed."""
    mapping.setdefault("FilterCriteria", {})
    mapping.setdefault("MetricsConfig", {"Metrics": []})
    return {name: value for name, value in mapping.items() if name not in ("LastModified", "ResponseMetadata")}


def test_what_mappings_of_streams_do_not_have_is_refused(world):
    client = world.mappings
    given = {"EventSourceArn": world.arn, "FunctionName": "f0", "StartingPosition": "LATEST"}
    uuid = world.map("f1", Enabled=False)
    world.until(uuid, "Disabled")
    for name, value in OF_OTHERS.items():
        assert name in refused("InvalidParameterValueException", client.create_event_source_mapping, **given, **{name: value})
        if name in members("UpdateEventSourceMapping"):
            assert name in refused("InvalidParameterValueException", client.update_event_source_mapping, UUID=uuid, **{name: value})
    for destination in ("kafka://topic", "arn:aws:lambda:us-east-1:000000000000:function:f0", "arn:aws:sns:us-east-1:000000000000:t"):
        config = {"DestinationConfig": {"OnFailure": {"Destination": destination}}}
        refused("InvalidParameterValueException", client.create_event_source_mapping, **given, **config)
    success = {"DestinationConfig": {"OnSuccess": {"Destination": QUEUE}}}
    refused("InvalidParameterValueException", client.create_event_source_mapping, **given, **success)


@pytest.mark.parametrize(
    ("pattern", "taken"),
    [
        ('{"dynamodb": {"NewImage": {"a": {"S": [null]}}}}', True),
        ('{"dynamodb": {"NewImage": {"a": {"S": [""]}}}}', True),
        ('{"dynamodb": {"NewImage": {"a": {"S": ["x", "y"]}}}}', True),
        ('{"dynamodb": {"NewImage": {"a": {"S": [{"equals-ignore-case": "X"}]}}}}', True),
        ('{"dynamodb": {"NewImage": {"a": {"S": [{"anything-but": ["x"]}]}}}}', True),
        ('{"dynamodb": {"NewImage": {"a": {"S": [{"anything-but": {"prefix": "x"}}]}}}}', True),
        ('{"dynamodb": {"NewImage": {"a": {"N": [{"numeric": ["=", 100]}]}}}}', True),
        ('{"dynamodb": {"NewImage": {"a": {"N": [{"numeric": [">", 10, "<=", 20]}]}}}}', True),
        ('{"dynamodb": {"NewImage": {"a": {"S": [{"exists": false}]}}}}', True),
        ('{"dynamodb": {"NewImage": {"a": {"S": [{"prefix": "x"}]}}}}', True),
        ('{"dynamodb": {"NewImage": {"a": {"S": [{"suffix": "x"}]}}}}', True),
        ('{"dynamodb": {"NewImage": {"a": {"S": [{"wildcard": "x*y"}]}}}}', True),
        ('{"$or": [{"eventName": ["INSERT"]}, {"dynamodb": {"Keys": {"pk": {"S": ["x"]}}}}]}', True),
        ('{"eventName": "INSERT"}', False),
        ('{"eventName": []}', False),
        ('{"eventName": [{"like": "x"}]}', False),
        ('{"eventName": [{"numeric": ["~", 1]}]}', False),
        ("{}", False),
        ("[]", False),
        ("eventName", False),
    ],
)
def test_forms_of_filters(world, pattern, taken):
    given = {"EventSourceArn": world.arn, "FunctionName": "f0", "StartingPosition": "LATEST", "Enabled": False}
    criteria = {"Filters": [{"Pattern": pattern}]}
    if taken:
        assert world.mappings.create_event_source_mapping(**given, FilterCriteria=criteria)["FilterCriteria"] == criteria
    else:
        message = refused("InvalidParameterValueException", world.mappings.create_event_source_mapping, **given, FilterCriteria=criteria)
        assert message.startswith("Invalid filter pattern definition.")


def test_pages_have_a_hundred_mappings_at_most(tmp_path, name):
    with serve(tmp_path, settings(FUNCTIONS)) as region:
        world = World(region, name)
        client = world.mappings
        made = {
            client.create_event_source_mapping(EventSourceArn=world.arn, FunctionName=f"f{n}", StartingPosition="LATEST", Enabled=False)["UUID"]
            for n in range(FUNCTIONS)
        }
        assert len(made) == FUNCTIONS
        for most in (None, 100, 101, 10_000):
            first = client.list_event_source_mappings(**({"MaxItems": most} if most else {}))
            assert len(first["EventSourceMappings"]) == 100
            rest = client.list_event_source_mappings(Marker=first["NextMarker"])
            found = [mapping["UUID"] for page in (first, rest) for mapping in page["EventSourceMappings"]]
            assert "NextMarker" not in rest and len(found) == FUNCTIONS and set(found) == made
        pages = list(client.get_paginator("list_event_source_mappings").paginate(PaginationConfig={"PageSize": 13}))
        sizes = [len(page["EventSourceMappings"]) for page in pages]
        assert sizes == [13] * 8 and {m["UUID"] for page in pages for m in page["EventSourceMappings"]} == made
        assert client.list_event_source_mappings(EventSourceArn=world.arn.replace(name, "other"))["EventSourceMappings"] == []
        refused("ResourceNotFoundException", client.list_event_source_mappings, FunctionName="absent")
    # A mapping whose function is not configured any more is still found by it.
    with serve(tmp_path, settings(2)) as region:
        client = region.client("lambda")
        (mapping,) = client.list_event_source_mappings(FunctionName="f7")["EventSourceMappings"]
        assert mapping["UUID"] in made and mapping["State"] == "Disabled"
        assert client.delete_event_source_mapping(UUID=mapping["UUID"])["State"] == "Deleting"
        gone = lambda: client.list_event_source_mappings(EventSourceArn=mapping["EventSourceArn"], MaxItems=100)
        wait_until(lambda: mapping["UUID"] not in str(gone()), "it is gone", 30)


def test_tags(world):
    client = world.mappings
    uuid = world.map("f0", Enabled=False, Tags={"a": "1", "b": "2"})
    arn = world.get(uuid)["EventSourceMappingArn"]
    client.tag_resource(Resource=arn, Tags={"b": "3", "c": ""})
    assert client.list_tags(Resource=arn)["Tags"] == {"a": "1", "b": "3", "c": ""}
    assert client.untag_resource(Resource=arn, TagKeys=["a", "absent"])["ResponseMetadata"]["HTTPStatusCode"] == 204
    assert client.list_tags(Resource=arn)["Tags"] == {"b": "3", "c": ""}
    refused("InvalidParameterValueException", client.tag_resource, Resource=arn, Tags={f"t{n}": "" for n in range(49)})
    refused("InvalidParameterValueException", client.tag_resource, Resource=arn, Tags={"aws:x": ""})
    absent = arn.replace(uuid, "00000000-0000-4000-8000-000000000000")
    for call, more in [(client.list_tags, {}), (client.tag_resource, {"Tags": {"a": ""}}), (client.untag_resource, {"TagKeys": ["a"]})]:
        refused("ResourceNotFoundException", call, Resource=absent, **more)
    refused("ResourceNotFoundException", client.list_tags, Resource="arn:aws:lambda:us-east-1:000000000000:function:f0")
