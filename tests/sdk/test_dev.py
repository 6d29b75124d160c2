"""What people who come from DynamoDB Local expect of `geodynamo dev`, and what the other commands keep to."""

import pytest
from botocore.exceptions import ClientError
from conftest import key_schema, run_dev, table_definition

H_IS_A_STRING = [{"AttributeName": "h", "AttributeType": "S"}]
BY_H = {"IndexName": "by-h", "KeySchema": key_schema("h"), "Projection": {"ProjectionType": "ALL"}}
SEALED = {"Enabled": True, "SSEType": "KMS"}


@pytest.fixture(scope="module")
def local(tmp_path_factory):
    with run_dev(tmp_path_factory.mktemp("local")) as (region, log):
        yield region, log


@pytest.fixture
def client(local):
    return local[0].client()


def test_tables_are_there_and_gone_at_once(client, name):
    for turn in range(20):
        made = client.create_table(**table_definition(name, "pk"))["TableDescription"]
        assert made["TableStatus"] == "ACTIVE"
        client.put_item(TableName=name, Item={"pk": {"S": "a"}, "turn": {"N": str(turn)}})
        assert client.scan(TableName=name)["Count"] == 1
        client.delete_table(TableName=name)
        assert name not in client.list_tables()["TableNames"]
        with pytest.raises(client.exceptions.ResourceNotFoundException):
            client.describe_table(TableName=name)


def test_indexes_are_there_and_gone_at_once(client, name):
    client.create_table(**table_definition(name, "pk"))
    for number in range(100):
        client.put_item(TableName=name, Item={"pk": {"S": str(number)}, "h": {"S": "x"}})
    shown = client.update_table(
        TableName=name, AttributeDefinitions=H_IS_A_STRING, GlobalSecondaryIndexUpdates=[{"Create": BY_H}]
    )["TableDescription"]
    assert (shown["TableStatus"], shown["GlobalSecondaryIndexes"][0]["IndexStatus"]) == ("ACTIVE", "ACTIVE")
    query = {"KeyConditionExpression": "h = :x", "ExpressionAttributeValues": {":x": {"S": "x"}}}
    assert client.query(TableName=name, IndexName="by-h", **query)["Count"] == 100
    remove = [{"Delete": {"IndexName": "by-h"}}]
    shown = client.update_table(TableName=name, GlobalSecondaryIndexUpdates=remove)["TableDescription"]
    assert shown["TableStatus"] == "ACTIVE" and "GlobalSecondaryIndexes" not in shown
    client.delete_table(TableName=name)


def test_an_index_made_with_its_table_is_active(client, name):
    made = client.create_table(**table_definition(name, "pk", attributes=["h"], GlobalSecondaryIndexes=[BY_H]))
    (index,) = made["TableDescription"]["GlobalSecondaryIndexes"]
    assert index["IndexStatus"] == "ACTIVE"
    client.delete_table(TableName=name)


def test_encryption_is_taken_and_shown_and_the_log_says_once_that_there_is_none(local, client, name):
    made = client.create_table(**table_definition(name, "pk", SSESpecification=SEALED))["TableDescription"]
    arn = f"arn:aws:kms:us-east-1:{made['TableArn'].split(':')[4]}:"
    expect = {"Status": "ENABLED", "SSEType": "KMS", "KMSMasterKeyArn": arn + "alias/aws/dynamodb"}
    described = lambda: client.describe_table(TableName=name)["Table"]  # noqa: E731
    assert made["SSEDescription"] == expect == described()["SSEDescription"]
    key = {**SEALED, "KMSMasterKeyId": "1234abcd"}
    changed = client.update_table(TableName=name, SSESpecification=key)["TableDescription"]
    assert changed["SSEDescription"]["KMSMasterKeyArn"] == arn + "key/1234abcd"
    client.update_table(TableName=name, SSESpecification={"Enabled": False})
    assert "SSEDescription" not in described()

    def recovery(**wanted):
        if wanted:
            client.update_continuous_backups(TableName=name, PointInTimeRecoverySpecification=wanted)
        backups = client.describe_continuous_backups(TableName=name)["ContinuousBackupsDescription"]
        return backups["PointInTimeRecoveryDescription"]

    assert recovery() == {"PointInTimeRecoveryStatus": "DISABLED"}
    on = recovery(PointInTimeRecoveryEnabled=True)
    assert (on["PointInTimeRecoveryStatus"], on["RecoveryPeriodInDays"]) == ("ENABLED", 35)
    assert recovery(PointInTimeRecoveryEnabled=True, RecoveryPeriodInDays=7)["RecoveryPeriodInDays"] == 7
    assert recovery(PointInTimeRecoveryEnabled=False) == {"PointInTimeRecoveryStatus": "DISABLED"}

    client.update_table(TableName=name, SSESpecification=SEALED)
    client.delete_table(TableName=name)
    client.create_table(**table_definition(name, "pk"))
    assert "SSEDescription" not in described()
    client.delete_table(TableName=name)
    assert local[1].read_text().count("but nothing is encrypted") == 1


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"Enabled": False, "SSEType": "KMS"}, "SSEType can not be specified if Enabled is false"),
        ({"Enabled": False, "KMSMasterKeyId": "k"}, "KMSMasterKeyId can not be specified if Enabled is false"),
    ],
)
def test_encryption_that_makes_no_sense(client, name, given, says):
    with pytest.raises(ClientError) as refused:
        client.create_table(**table_definition(name, "pk", SSESpecification=given))
    message = refused.value.response["Error"]["Message"]
    assert message == f"One or more parameter values were invalid: {says}"


def test_other_regions_take_no_encryption(regions, name):
    client = regions[0].client()

    def refusal(call, **arguments):
        with pytest.raises(ClientError) as refused:
            call(**arguments)
        error = refused.value.response["Error"]
        assert error["Code"] == "ValidationException"
        return error["Message"]

    says = " is not available in this version of geodynamo"
    definition = table_definition(name, "pk")
    assert refusal(client.create_table, **definition, SSESpecification=SEALED) == (
        "SSESpecification with Enabled true" + says
    )
    assert client.create_table(**definition)["TableDescription"]["TableStatus"] == "CREATING"
    assert refusal(client.update_table, TableName=name, SSESpecification=SEALED) == (
        "SSESpecification with Enabled true" + says
    )
    client.delete_table(TableName=name)
