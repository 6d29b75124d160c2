"""UpdateTable: every parameter of the model, as DescribeTable shows it afterwards, and the refusals. Global secondary
indexes are in test_index_lifecycle.py, replicas in test_global_tables.py."""

import re
import urllib.request

import pytest
from conftest import key_schema

INVALID = "One or more parameter values were invalid: "
LOCAL = (
    "Cannot add, delete, or update the local region through ReplicaUpdates. Use CreateTable, DeleteTable, or UpdateTable as "
    "required."
)


def units(read, write):
    return {"ReadCapacityUnits": read, "WriteCapacityUnits": write}


def shown(client, name):
    return client.describe_table(TableName=name)["Table"]


def update(client, name, **changes):
    return client.update_table(TableName=name, **changes)["TableDescription"]


def refused(client, name, code, message, **changes):
    with pytest.raises(client.exceptions.ClientError) as error:
        client.update_table(TableName=name, **changes)
    assert error.value.response["Error"] == {"Code": code, "Message": message}


@pytest.fixture
def provisioned(make_table):
    return make_table("pk", BillingMode="PROVISIONED", ProvisionedThroughput=units(10, 10))


def test_it_is_updating_then_active(client, provisioned):
    changed = update(client, provisioned, ProvisionedThroughput=units(11, 10))
    assert changed["TableStatus"] == "UPDATING"
    client.get_waiter("table_exists").wait(TableName=provisioned, WaiterConfig={"Delay": 1, "MaxAttempts": 30})
    assert shown(client, provisioned)["TableStatus"] == "ACTIVE"


def test_a_table_that_is_not_there(client, name):
    message = f"Requested resource not found: Table: {name} not found"
    refused(client, name, "ResourceNotFoundException", message, ProvisionedThroughput=units(1, 1))


def test_nothing_to_update(client, provisioned):
    message = (
        "At least one of ProvisionedThroughput, BillingMode, UpdateStreamEnabled, GlobalSecondaryIndexUpdates, "
        "SSESpecification, ReplicaUpdates, MultiAccountReplicaReady, ReplicaTransitRoleArn, MultiRegionConsistency, "
        "DeletionProtectionEnabled, OnDemandThroughput, WarmThroughput or TableClass is required"
    )
    refused(client, provisioned, "ValidationException", message)
    defined = [{"AttributeName": "pk", "AttributeType": "S"}]
    for nothing in ({"WarmThroughput": {}}, {"OnDemandThroughput": {}}, {"AttributeDefinitions": defined}):
        refused(client, provisioned, "ValidationException", message, **nothing)
    message = message.replace("MultiRegionConsistency, ", "")
    refused(client, provisioned, "ValidationException", message, MultiRegionConsistency="EVENTUAL")


def test_definitions_are_passed_over_unless_an_index_is_added(client, provisioned):
    """Also those that say otherwise than the table."""
    for defined in (["pk:N"], ["other:S"], ["pk:S", "other:B"], []):
        definitions = [dict(zip(("AttributeName", "AttributeType"), text.split(":"))) for text in defined]
        update(client, provisioned, AttributeDefinitions=definitions, DeletionProtectionEnabled=False)
    assert shown(client, provisioned)["AttributeDefinitions"] == [{"AttributeName": "pk", "AttributeType": "S"}]


def test_increases_and_decreases_are_dated(client, provisioned):
    update(client, provisioned, ProvisionedThroughput=units(20, 10))
    throughput = shown(client, provisioned)["ProvisionedThroughput"]
    assert (throughput["ReadCapacityUnits"], throughput["NumberOfDecreasesToday"]) == (20, 0)
    assert "LastIncreaseDateTime" in throughput
    assert "LastDecreaseDateTime" not in throughput
    update(client, provisioned, ProvisionedThroughput=units(20, 9))
    throughput = shown(client, provisioned)["ProvisionedThroughput"]
    assert (throughput["WriteCapacityUnits"], throughput["NumberOfDecreasesToday"]) == (9, 1)
    assert throughput["LastDecreaseDateTime"] >= throughput["LastIncreaseDateTime"]


def test_the_fifth_decrease_of_an_hour_is_refused(client, provisioned):
    for read in (9, 8, 7, 6):
        update(client, provisioned, ProvisionedThroughput=units(read, 10))
    with pytest.raises(client.exceptions.LimitExceededException) as error:
        update(client, provisioned, ProvisionedThroughput=units(5, 10))
    message = error.value.response["Error"]["Message"]
    # Four decreases just before midnight (UTC) would leave room for four more; that is not waited for here.
    assert message.startswith(
        "Subscriber limit exceeded: Provisioned throughput decreases are limited within a given UTC day. After the first 4 "
        "decreases, each subsequent decrease in the same UTC day can be performed at most once every 3600 seconds. Number "
        "of decreases today: 4. Last decrease at "
    )
    # An increase is no decrease.
    update(client, provisioned, ProvisionedThroughput=units(60, 10))


def test_the_same_throughput_is_refused(client, provisioned):
    message = (
        "The provisioned throughput for the table will not change. The requested value equals the current value. Current "
        "ReadCapacityUnits provisioned for the table: 10. Requested ReadCapacityUnits: 10. Current WriteCapacityUnits "
        "provisioned for the table: 10. Requested WriteCapacityUnits: 10. Refer to the Amazon DynamoDB Developer Guide for "
        "current limits and how to request higher limits."
    )
    refused(client, provisioned, "ValidationException", message, ProvisionedThroughput=units(10, 10))


def test_billing_modes_are_switched(client, make_table, name):
    make_table(
        "pk",
        attributes=["h"],
        GlobalSecondaryIndexes=[
            {"IndexName": "by-h", "KeySchema": key_schema("h"), "Projection": {"ProjectionType": "ALL"}}
        ],
    )
    created = shown(client, name)["BillingModeSummary"]["LastUpdateToPayPerRequestDateTime"]
    message = INVALID + "ProvisionedThroughput must be specified when BillingMode is PROVISIONED"
    refused(client, name, "ValidationException", message, BillingMode="PROVISIONED")
    message = INVALID + "ProvisionedThroughput must be specified for index: by-h"
    refused(
        client, name, "ValidationException", message, BillingMode="PROVISIONED", ProvisionedThroughput=units(3, 4)
    )
    index = {"Update": {"IndexName": "by-h", "ProvisionedThroughput": units(5, 6)}}
    update(
        client,
        name,
        BillingMode="PROVISIONED",
        ProvisionedThroughput=units(3, 4),
        GlobalSecondaryIndexUpdates=[index],
    )
    table = shown(client, name)
    assert table["BillingModeSummary"] == {"BillingMode": "PROVISIONED", "LastUpdateToPayPerRequestDateTime": created}
    assert table["ProvisionedThroughput"]["ReadCapacityUnits"] == 3
    assert table["GlobalSecondaryIndexes"][0]["ProvisionedThroughput"]["WriteCapacityUnits"] == 6

    message = (
        INVALID
        + "Neither ReadCapacityUnits nor WriteCapacityUnits can be specified when BillingMode is PAY_PER_REQUEST"
    )
    refused(
        client, name, "ValidationException", message, BillingMode="PAY_PER_REQUEST", ProvisionedThroughput=units(1, 1)
    )
    update(client, name, BillingMode="PAY_PER_REQUEST")
    table = shown(client, name)
    assert table["BillingModeSummary"]["BillingMode"] == "PAY_PER_REQUEST"
    assert table["BillingModeSummary"]["LastUpdateToPayPerRequestDateTime"] > created
    assert table["ProvisionedThroughput"]["ReadCapacityUnits"] == 0
    assert table["GlobalSecondaryIndexes"][0]["ProvisionedThroughput"]["WriteCapacityUnits"] == 0
    refused(client, name, "ValidationException", message, ProvisionedThroughput=units(1, 1))


def test_a_table_that_once_was_on_demand_says_since_when(client, provisioned):
    update(client, provisioned, BillingMode="PAY_PER_REQUEST")
    update(client, provisioned, BillingMode="PROVISIONED", ProvisionedThroughput=units(1, 1))
    summary = shown(client, provisioned)["BillingModeSummary"]
    assert summary["BillingMode"] == "PROVISIONED"
    assert "LastUpdateToPayPerRequestDateTime" in summary


def test_the_fifth_switch_to_on_demand_of_a_day_is_refused(client, provisioned):
    for _ in range(4):
        update(client, provisioned, BillingMode="PAY_PER_REQUEST")
        update(client, provisioned, BillingMode="PROVISIONED", ProvisionedThroughput=units(1, 1))
    with pytest.raises(client.exceptions.LimitExceededException) as error:
        update(client, provisioned, BillingMode="PAY_PER_REQUEST")
    assert error.value.response["Error"]["Message"].startswith(
        "Subscriber limit exceeded: Update to PayPerRequest mode are limited to 4 times in 1 day(s). Last update at "
    )


def test_on_demand_maximums_are_set_and_taken_away(client, make_table, name):
    """What is taken away is -1 in the answer, and nothing in DescribeTable."""
    make_table("pk")
    read, write = "MaxReadRequestUnits", "MaxWriteRequestUnits"
    for given, answered, described in [
        ({read: 5}, {read: 5}, {read: 5}),
        ({write: 6}, {read: 5, write: 6}, {read: 5, write: 6}),
        ({read: -1}, {read: -1, write: 6}, {write: 6}),
        ({write: -1}, {write: -1}, None),
        ({read: -1, write: -1}, {read: -1, write: -1}, None),
        ({read: 7, write: -1}, {read: 7, write: -1}, {read: 7}),
    ]:
        assert update(client, name, OnDemandThroughput=given)["OnDemandThroughput"] == answered, given
        assert shown(client, name).get("OnDemandThroughput") == described, given
    for units in (-2, 0):
        message = INVALID + f"Requested {read} for OnDemandThroughput for table is outside of valid range"
        refused(client, name, "ValidationException", message, OnDemandThroughput={read: units})


def test_a_provisioned_table_has_no_maximums(client, make_table, name):
    index = {"IndexName": "by-h", "KeySchema": key_schema("h"), "Projection": {"ProjectionType": "ALL"}}
    make_table("pk", attributes=["h"], GlobalSecondaryIndexes=[index], OnDemandThroughput={"MaxReadRequestUnits": 5})
    of_index = {"IndexName": "by-h", "OnDemandThroughput": {"MaxWriteRequestUnits": 6}}
    update(client, name, GlobalSecondaryIndexUpdates=[{"Update": of_index}])
    units_of_index = {"Update": {"IndexName": "by-h", "ProvisionedThroughput": units(1, 1)}}
    update(
        client,
        name,
        BillingMode="PROVISIONED",
        ProvisionedThroughput=units(1, 1),
        GlobalSecondaryIndexUpdates=[units_of_index],
    )
    for given, of in [
        ({"OnDemandThroughput": {"MaxWriteRequestUnits": 0}}, ""),
        ({"GlobalSecondaryIndexUpdates": [{"Update": of_index}]}, " for index : by-h"),
    ]:
        message = (
            INVALID + f"MaxWriteRequestUnits for OnDemandThroughput{of} cannot be specified when the table BillingMode is "
            "PROVISIONED"
        )
        refused(client, name, "ValidationException", message, **given)
    # Nor has it those of before when it is switched back.
    update(client, name, BillingMode="PAY_PER_REQUEST")
    table = shown(client, name)
    assert "OnDemandThroughput" not in table and "OnDemandThroughput" not in table["GlobalSecondaryIndexes"][0]


def test_warm_throughput_only_grows(client, make_table, name):
    make_table("pk")
    update(client, name, WarmThroughput={"ReadUnitsPerSecond": 15000})
    assert shown(client, name)["WarmThroughput"] == {
        "ReadUnitsPerSecond": 15000,
        "WriteUnitsPerSecond": 4000,
        "Status": "ACTIVE",
    }
    message = (
        INVALID + "Requested ReadUnitsPerSecond for WarmThroughput for table is lower than current WarmThroughput, "
        "decreasing WarmThroughput is not supported"
    )
    refused(client, name, "ValidationException", message, WarmThroughput={"ReadUnitsPerSecond": 14000})


def test_index_throughput_on_demand(client, make_table, name):
    make_table(
        "pk",
        attributes=["h"],
        GlobalSecondaryIndexes=[
            {"IndexName": "by-h", "KeySchema": key_schema("h"), "Projection": {"ProjectionType": "ALL"}}
        ],
    )
    change = {
        "IndexName": "by-h",
        "OnDemandThroughput": {"MaxWriteRequestUnits": 9},
        "WarmThroughput": {"WriteUnitsPerSecond": 5000},
    }
    update(client, name, GlobalSecondaryIndexUpdates=[{"Update": change}])
    (index,) = shown(client, name)["GlobalSecondaryIndexes"]
    assert index["OnDemandThroughput"] == {"MaxWriteRequestUnits": 9}
    assert index["WarmThroughput"] == {
        "ReadUnitsPerSecond": 12000,
        "WriteUnitsPerSecond": 5000,
        "Status": "ACTIVE",
    }


def test_table_class(client, make_table, name):
    make_table("pk")
    assert "TableClassSummary" not in shown(client, name)
    update(client, name, TableClass="STANDARD_INFREQUENT_ACCESS")
    summary = shown(client, name)["TableClassSummary"]
    assert summary["TableClass"] == "STANDARD_INFREQUENT_ACCESS"
    assert summary["LastUpdateDateTime"] >= shown(client, name)["CreationDateTime"]


def test_items_are_moved_to_the_table_s_class(dev, client, make_table, name):
    index = [
        {
            "IndexName": "by-kind",
            "KeySchema": [{"AttributeName": "kind", "KeyType": "HASH"}],
            "Projection": {"ProjectionType": "ALL"},
        }
    ]
    make_table("pk", attributes=["kind"], GlobalSecondaryIndexes=index)
    table = dev.resource().Table(name)
    with table.batch_writer() as batch:
        for number in range(300):
            batch.put_item({"pk": str(number), "kind": f"k{number % 3}", "text": f"{number} " * 100})

    def measured(metric):
        with urllib.request.urlopen(f"{dev.admin}/metrics", timeout=10) as answer:
            lines = re.findall(rf"^geodynamo_storage_{metric}(?:\{{.*\}})? (\S+)$", answer.read().decode(), re.MULTILINE)
        return sum(map(float, lines))

    for table_class in ("STANDARD_INFREQUENT_ACCESS", "STANDARD"):
        before = measured("class_moved_bytes_total")
        update(client, name, TableClass=table_class)
        versions = 0
        while measured("class_moves") or measured("class_moved_bytes_total") < before + 2 * 300 * 100:
            number = versions % 300
            versions += 1
            table.update_item(
                Key={"pk": str(number)},
                UpdateExpression="ADD seen :one",
                ExpressionAttributeValues={":one": 1},
                ConditionExpression="attribute_exists(pk)",
            )
            assert versions < 20_000
        assert len(table.scan(ConsistentRead=True)["Items"]) == 300
        of_kind = table.query(IndexName="by-kind", KeyConditionExpression="kind = :k", ExpressionAttributeValues={":k": "k1"})
        assert of_kind["Count"] == 100


@pytest.mark.parametrize(
    "changes, message",
    [
        (
            {"StreamSpecification": {"StreamEnabled": True}},
            INVALID + "If stream is being enabled then UpdateViewType is required",
        ),
        (
            {"StreamSpecification": {"StreamEnabled": False, "StreamViewType": "KEYS_ONLY"}},
            INVALID + "If stream is being disabled, then UpdateViewType must not be specified",
        ),
        (
            {"ReplicaUpdates": [{"Create": {"RegionName": "eu-west-1", "KMSMasterKeyId": "key"}}]},
            "KMSMasterKeyId is not available in this version of geodynamo",
        ),
        (
            {"ReplicaUpdates": [{"Update": {"RegionName": "eu-west-1"}}]},
            INVALID + "KMSMasterKeyId must be specified for each replica.",
        ),
        (
            {"ReplicaUpdates": [{"Update": {"RegionName": "eu-west-1", "TableClassOverride": "STANDARD"}}]},
            "Update global table operation failed because one or more replicas were not part of the global table. Please "
            "retry the request without these replicas: [eu-west-1].",
        ),
        ({"ReplicaUpdates": [{"Create": {"RegionName": "us-east-1"}}]}, LOCAL),
        ({"ReplicaUpdates": [{"Update": {"RegionName": "us-east-1", "TableClassOverride": "STANDARD"}}]}, LOCAL),
        ({"ReplicaUpdates": [{"Delete": {"RegionName": "us-east-1"}}]}, LOCAL),
        (
            {"MultiRegionConsistency": "STRONG"},
            "MultiRegionConsistency STRONG is not available in this version of geodynamo",
        ),
        (
            {"MultiRegionConsistency": "EVENTUAL", "DeletionProtectionEnabled": False},
            INVALID + "MultiRegionConsistency can only be specified when a replica is created",
        ),
        (
            {"DisassociationProtectionEnabled": False},
            INVALID + "DisassociationProtectionEnabled can only be specified for a global table replica",
        ),
    ],
    ids=lambda value: ",".join(value) if isinstance(value, dict) else "",
)
def test_refusals(client, make_table, name, changes, message):
    make_table("pk")
    refused(client, name, "ValidationException", message, **changes)


def test_a_stream_that_is_off_cannot_be_switched_off(client, make_table, name):
    make_table("pk")
    off = {"StreamEnabled": False}
    message = f"Table has no stream to disable: TableName: {name}"
    refused(client, name, "ValidationException", message, StreamSpecification=off)
    update(client, name, StreamSpecification={"StreamEnabled": True, "StreamViewType": "KEYS_ONLY"})
    update(client, name, StreamSpecification=off)
    refused(client, name, "ValidationException", message, StreamSpecification=off)


def test_a_table_that_is_being_deleted_is_in_use(client, make_table, name):
    make_table("pk")
    client.delete_table(TableName=name)
    try:
        client.update_table(TableName=name, DeletionProtectionEnabled=True)
        pytest.fail("a table that is being deleted was changed")
    except client.exceptions.ResourceInUseException as error:
        text = f"Attempt to change a resource which is still in use: Table is being deleted: {name}"
        assert error.response["Error"]["Message"] == text
    except client.exceptions.ResourceNotFoundException:
        pass  # It is gone already.
    # For the fixture, which deletes it again.
    client.get_waiter("table_not_exists").wait(TableName=name, WaiterConfig={"Delay": 1, "MaxAttempts": 30})
    client.create_table(
        TableName=name,
        KeySchema=key_schema("pk"),
        AttributeDefinitions=[{"AttributeName": "pk", "AttributeType": "S"}],
        BillingMode="PAY_PER_REQUEST",
    )
