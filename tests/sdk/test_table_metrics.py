"""What a region's metrics tell of its tables, against what was done to them."""

import re
import urllib.request

import pytest
from botocore.exceptions import ClientError
from conftest import run_dev, table_definition

TOLD_APART_MAX = 100


@pytest.fixture(scope="module")
def region(tmp_path_factory):
    with run_dev(tmp_path_factory.mktemp("counted"), "--throttle") as (region, _):
        yield region


def counts(region, table):
    """The table's numbers: metric, and what its other labels say, → value."""
    with urllib.request.urlopen(f"{region.admin}/metrics", timeout=10) as answer:
        text = answer.read().decode()
    found = {}
    for name, labels, value in re.findall(r"^geodynamo_table_(\w+)\{([^}]*)\} (\S+)", text, re.MULTILINE):
        labels = dict(re.findall(r'(\w+)="([^"]*)"', labels))
        if labels.pop("table") == table and not name.endswith("_bucket"):
            found[(name, *labels.values())] = float(value)
    return found


def test_requests_are_counted_with_cloudwatchs_meanings(region):
    client = region.client()
    index = {
        "IndexName": "by-n",
        "KeySchema": [{"AttributeName": "n", "KeyType": "HASH"}],
        "Projection": {"ProjectionType": "KEYS_ONLY"},
    }
    client.create_table(**table_definition("counted", "pk", attributes=["n:N"], GlobalSecondaryIndexes=[index]))
    for number in range(10):
        item = {"pk": {"S": str(number)}, "n": {"N": str(number)}, "filler": {"S": "x" * 1500}}
        client.put_item(TableName="counted", Item=item)
    for _ in range(4):
        client.get_item(TableName="counted", Key={"pk": {"S": "1"}})
    scan = client.scan(TableName="counted", ReturnConsumedCapacity="TOTAL")["ConsumedCapacity"]["CapacityUnits"]
    client.query(
        TableName="counted", IndexName="by-n", KeyConditionExpression="n = :n", ExpressionAttributeValues={":n": {"N": "3"}}
    )
    with pytest.raises(client.exceptions.ConditionalCheckFailedException):
        client.delete_item(TableName="counted", Key={"pk": {"S": "2"}}, ConditionExpression="attribute_not_exists(pk)")
    with pytest.raises(ClientError, match="ValidationException"):
        client.get_item(TableName="counted", Key={"wrong": {"S": "1"}})
    seen = counts(region, "counted")
    assert seen["request_duration_seconds_count", "PutItem"] == 10
    assert seen["request_duration_seconds_count", "GetItem"] == 4
    assert 0 < seen["request_duration_seconds_sum", "PutItem"] < 60
    # 1.5 KB: two write units each, and two for the condition that failed; an eventually consistent read is half a unit.
    assert seen["consumed_write_units_total", ""] == 22
    assert seen["consumed_write_units_total", "by-n"] == 10
    # The wrong key consumed nothing; what a scan takes goes by partitions.
    assert scan >= 2
    assert seen["consumed_read_units_total", ""] == 4 * 0.5 + scan
    assert seen["consumed_read_units_total", "by-n"] == 0.5
    assert seen["returned_items_total", "Scan"] == 10
    assert seen["returned_items_total", "Query"] == 1
    assert ("returned_items_total", "PutItem") not in seen
    assert seen[("failed_conditions_total",)] == 1
    assert seen["user_errors_total", "GetItem"] == 1
    assert seen["user_errors_total", "DeleteItem"] == 0, "a failed condition is no user error"
    assert seen["system_errors_total", "PutItem"] == 0


def test_throttled_requests_are_told_from_throttled_writes(region):
    client = region.client()
    definition = table_definition("narrow", "pk")
    definition |= {"BillingMode": "PROVISIONED", "ProvisionedThroughput": {"ReadCapacityUnits": 1, "WriteCapacityUnits": 1}}
    client.create_table(**definition)
    refused = 0
    for number in range(1000):
        try:
            client.put_item(TableName="narrow", Item={"pk": {"S": str(number)}})
        except client.exceptions.ProvisionedThroughputExceededException:
            refused += 1
            if refused == 3:
                break
    assert refused == 3
    seen = counts(region, "narrow")
    assert seen["throttled_requests_total", "PutItem"] == 3
    assert seen["throttled_writes_total", ""] == 3
    assert seen["user_errors_total", "PutItem"] == 0
    assert seen["provisioned_write_units", ""] == 1


def test_names_that_clients_make_up_are_no_labels(region):
    client = region.client()
    for number in range(5):
        with pytest.raises(client.exceptions.ResourceNotFoundException):
            client.get_item(TableName=f"made-up-{number}", Key={"pk": {"S": "1"}})
    assert counts(region, "made-up-1") == {}
    assert counts(region, "other")["user_errors_total", "GetItem"] == 5


def test_so_many_tables_are_told_apart(region):
    client = region.client()
    names = [f"many-{number:03}" for number in range(TOLD_APART_MAX + 3)]
    for name in names:
        client.create_table(**table_definition(name, "pk"))
        client.put_item(TableName=name, Item={"pk": {"S": "1"}})
    told = [name for name in names if counts(region, name)]
    # Two were there before.
    assert len(told) == TOLD_APART_MAX - 2
    assert counts(region, "other")["request_duration_seconds_count", "PutItem"] == 5
    assert counts(region, "other")["consumed_write_units_total", ""] == 5
    # One that goes makes room for the next one that comes, and takes nothing out of the sum.
    client.delete_table(TableName=names[-1])
    client.delete_table(TableName=names[0])
    client.create_table(**table_definition("newcomer", "pk"))
    client.put_item(TableName="newcomer", Item={"pk": {"S": "1"}})
    assert counts(region, "other")["consumed_write_units_total", ""] == 5
    assert counts(region, "newcomer")["consumed_write_units_total", ""] == 1
    assert counts(region, names[0]) == {}
