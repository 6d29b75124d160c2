"""Global secondary indexes that UpdateTable adds, changes and removes while writes go on."""

import threading
from decimal import Decimal

import pytest
from boto3.dynamodb.conditions import Key
from conftest import key_schema, wait_until

ITEMS = 1500
BY_H = {
    "IndexName": "by-h",
    "KeySchema": key_schema("h"),
    "Projection": {"ProjectionType": "ALL"},
}
H_IS_A_STRING = [{"AttributeName": "h", "AttributeType": "S"}]


def fill(dev, name, items):
    with dev.resource().Table(name).batch_writer() as batch:
        for item in items:
            batch.put_item(Item=item)


def add(client, name, index=BY_H, definitions=H_IS_A_STRING, **more):
    return client.update_table(
        TableName=name,
        AttributeDefinitions=definitions,
        GlobalSecondaryIndexUpdates=[{"Create": {**index, **more}}],
    )["TableDescription"]


def remove(client, name, index="by-h"):
    return client.update_table(TableName=name, GlobalSecondaryIndexUpdates=[{"Delete": {"IndexName": index}}])[
        "TableDescription"
    ]


def index_of(client, name, index="by-h"):
    table = client.describe_table(TableName=name)["Table"]
    found = [shown for shown in table.get("GlobalSecondaryIndexes", []) if shown["IndexName"] == index]
    return found[0] if found else None


def settled(client, name):
    wait_until(lambda: client.describe_table(TableName=name)["Table"]["TableStatus"] == "ACTIVE", "the table is ACTIVE")


def scan_all(dev, name, **more):
    pages = dev.client().get_paginator("scan").paginate(TableName=name, **more)
    return sorted((item["pk"]["S"] for page in pages for item in page["Items"]))


def refused(client, code, message, call):
    with pytest.raises(client.exceptions.ClientError) as error:
        call()
    assert error.value.response["Error"] == {"Code": code, "Message": message}


def test_an_added_index_is_creating_then_active_and_holds_what_was_there(dev, client, make_table, name):
    make_table("pk")
    fill(dev, name, ({"pk": f"item-{n}", "h": f"group-{n % 10}", "n": n} for n in range(ITEMS)))
    shown = add(client, name)
    assert shown["TableStatus"] == "UPDATING"
    (index,) = shown["GlobalSecondaryIndexes"]
    assert (index["IndexStatus"], index["Backfilling"]) == ("CREATING", False)
    assert {"AttributeName": "h", "AttributeType": "S"} in shown["AttributeDefinitions"]

    # Until it is ACTIVE it is CREATING, and a query of it is refused.
    def active():
        index = index_of(client, name)
        if index["IndexStatus"] == "ACTIVE":
            return True
        assert index["IndexStatus"] == "CREATING"
        assert isinstance(index["Backfilling"], bool)
        return False

    wait_until(active, "the index is ACTIVE")
    settled(client, name)
    index = index_of(client, name)
    assert "Backfilling" not in index
    assert index["ItemCount"] == ITEMS
    assert index["IndexSizeBytes"] == client.describe_table(TableName=name)["Table"]["TableSizeBytes"]
    found = dev.resource().Table(name).query(IndexName="by-h", KeyConditionExpression=Key("h").eq("group-3"))
    assert sorted(item["n"] for item in found["Items"]) == [Decimal(n) for n in range(3, ITEMS, 10)]


def test_a_query_of_an_index_that_is_being_filled_is_refused(dev, client, make_table, name):
    make_table("pk")
    fill(dev, name, ({"pk": f"item-{n}", "h": "same"} for n in range(ITEMS)))
    seen = []
    add(client, name)
    # It may be ACTIVE before the first query arrives; then nothing is refused.
    while index_of(client, name)["IndexStatus"] != "ACTIVE":
        try:
            client.scan(TableName=name, IndexName="by-h", Limit=1)
        except client.exceptions.ClientError as error:
            seen.append(error.response["Error"])
    settled(client, name)
    text = "Cannot read from backfilling global secondary index: by-h"
    assert all(error == {"Code": "ValidationException", "Message": text} for error in seen)
    assert client.scan(TableName=name, IndexName="by-h", Select="COUNT")["Count"] == ITEMS


def test_writes_go_on_while_an_index_is_filled_and_removed(dev, client, make_table, name):
    make_table("pk")
    fill(dev, name, ({"pk": f"item-{n}", "h": "old"} for n in range(ITEMS)))
    stop = threading.Event()
    failures = []

    def write(writer):
        table = dev.resource().Table(name)
        n = writer
        while not stop.is_set():
            n = (n + 7) % (ITEMS + 300)
            key = {"pk": f"item-{n}"}
            try:
                if n % 5 == 0:
                    table.delete_item(Key=key)
                elif n % 5 == 1:
                    table.update_item(Key=key, UpdateExpression="REMOVE h")
                else:
                    table.put_item(Item={**key, "h": f"new-{n % 3}"})
            except Exception as error:  # What fails in a thread is told by the test.
                failures.append(error)
                return

    writers = [threading.Thread(target=write, args=(writer,)) for writer in range(3)]
    for writer in writers:
        writer.start()
    try:
        for _ in range(2):
            add(client, name)
            settled(client, name)
            remove(client, name)
            settled(client, name)
        add(client, name)
        settled(client, name)
    finally:
        stop.set()
        for writer in writers:
            writer.join()
    assert failures == []
    with_h = scan_all(dev, name, FilterExpression="attribute_exists(h)")
    assert scan_all(dev, name, IndexName="by-h") == with_h
    assert index_of(client, name)["ItemCount"] == len(with_h)


def test_a_removed_index_is_deleting_then_gone(dev, client, make_table, name):
    make_table("pk", attributes=["h"], GlobalSecondaryIndexes=[BY_H])
    fill(dev, name, [{"pk": "a", "h": "x"}])
    assert index_of(client, name)["IndexStatus"] == "ACTIVE"
    assert "Backfilling" not in index_of(client, name)
    shown = remove(client, name)
    assert shown["TableStatus"] == "UPDATING"
    assert shown["GlobalSecondaryIndexes"][0]["IndexStatus"] == "DELETING"
    settled(client, name)
    table = client.describe_table(TableName=name)["Table"]
    assert "GlobalSecondaryIndexes" not in table
    assert [attribute["AttributeName"] for attribute in table["AttributeDefinitions"]] == ["pk"]
    refused(
        client,
        "ValidationException",
        "The table does not have the specified index: by-h",
        lambda: client.scan(TableName=name, IndexName="by-h"),
    )
    # The attribute may be of any type again.
    client.put_item(TableName=name, Item={"pk": {"S": "b"}, "h": {"N": "1"}})


def test_items_with_a_wrong_typed_or_empty_index_key_are_left_out(dev, client, make_table, name):
    make_table("pk")
    fill(dev, name, [{"pk": "right", "h": "x"}, {"pk": "number", "h": 1}, {"pk": "empty", "h": ""}, {"pk": "none"}])
    add(client, name)
    settled(client, name)
    assert scan_all(dev, name, IndexName="by-h") == ["right"]
    assert scan_all(dev, name) == ["empty", "none", "number", "right"]
    refused(
        client,
        "ValidationException",
        "One or more parameter values were invalid: Type mismatch for Index Key h Expected: S Actual: N IndexName: by-h",
        lambda: client.put_item(TableName=name, Item={"pk": {"S": "new"}, "h": {"N": "1"}}),
    )
    refused(
        client,
        "ValidationException",
        "One or more parameter values are not valid. A value specified for a secondary index key is not supported. The "
        "AttributeValue for a key attribute cannot contain an empty string value. IndexName: by-h, IndexKey: h",
        lambda: client.put_item(TableName=name, Item={"pk": {"S": "new"}, "h": {"S": ""}}),
    )
    # An update that mends the item brings it into the index.
    client.update_item(
        TableName=name,
        Key={"pk": {"S": "number"}},
        UpdateExpression="SET h = :h",
        ExpressionAttributeValues={":h": {"S": "mended"}},
    )
    assert scan_all(dev, name, IndexName="by-h") == ["number", "right"]


@pytest.mark.parametrize(
    "projection, expected",
    [
        ({"ProjectionType": "KEYS_ONLY"}, {"pk", "h"}),
        ({"ProjectionType": "INCLUDE", "NonKeyAttributes": ["x"]}, {"pk", "h", "x"}),
        ({"ProjectionType": "ALL"}, {"pk", "h", "x", "y"}),
    ],
    ids=lambda value: value["ProjectionType"] if isinstance(value, dict) else "",
)
def test_back_fill_projects(dev, client, make_table, name, projection, expected):
    make_table("pk")
    fill(dev, name, [{"pk": "a", "h": "x", "x": 1, "y": 2}])
    add(client, name, Projection=projection)
    settled(client, name)
    (item,) = client.scan(TableName=name, IndexName="by-h")["Items"]
    assert set(item) == expected


def test_one_index_at_a_time(client, make_table, name):
    make_table("pk")
    text = "Subscriber limit exceeded: Only 1 online index can be created or deleted simultaneously per table"
    refused(
        client,
        "LimitExceededException",
        text,
        lambda: client.update_table(
            TableName=name,
            AttributeDefinitions=H_IS_A_STRING,
            GlobalSecondaryIndexUpdates=[{"Create": BY_H}, {"Create": {**BY_H, "IndexName": "other"}}],
        ),
    )
    add(client, name)
    settled(client, name)
    refused(
        client,
        "ValidationException",
        "Attempting to create an index which already exists",
        lambda: add(client, name),
    )


def test_an_index_that_is_not_there_cannot_be_removed_or_changed(client, make_table, name):
    make_table("pk", BillingMode="PROVISIONED", ProvisionedThroughput=units(1, 1))
    refused(client, "ResourceNotFoundException", "Requested resource not found", lambda: remove(client, name))
    change = {"Update": {"IndexName": "by-h", "ProvisionedThroughput": units(1, 1)}}
    refused(
        client,
        "ResourceNotFoundException",
        "Requested resource not found",
        lambda: client.update_table(TableName=name, GlobalSecondaryIndexUpdates=[change]),
    )


def test_throughput_of_an_index_changes(client, make_table, name):
    make_table("pk", BillingMode="PROVISIONED", ProvisionedThroughput=units(1, 1))
    refused(
        client,
        "ValidationException",
        "One or more parameter values were invalid: ProvisionedThroughput is not specified for index: by-h",
        lambda: add(client, name),
    )
    add(client, name, ProvisionedThroughput=units(2, 3))
    settled(client, name)
    change = {"Update": {"IndexName": "by-h", "ProvisionedThroughput": units(4, 5)}}
    shown = client.update_table(TableName=name, GlobalSecondaryIndexUpdates=[change])["TableDescription"]
    assert shown["GlobalSecondaryIndexes"][0]["IndexStatus"] == "UPDATING"
    settled(client, name)
    index = index_of(client, name)
    throughput = index["ProvisionedThroughput"]
    assert (throughput["ReadCapacityUnits"], throughput["WriteCapacityUnits"]) == (4, 5)
    assert index["IndexStatus"] == "ACTIVE"


@pytest.mark.parametrize(
    "definitions, text",
    [
        ([], "AttributeDefinitions is not specified for index: by-h"),
        (
            [{"AttributeName": "more", "AttributeType": "S"}],
            "Some index key attributes are not defined in AttributeDefinitions. Keys: [h], AttributeDefinitions: [more]",
        ),
    ],
    ids=["none", "others"],
)
def test_an_added_index_defines_its_attributes(client, make_table, name, definitions, text):
    """All of them, also those that the table has defined."""
    make_table("pk", attributes=["h"], GlobalSecondaryIndexes=[{**BY_H, "IndexName": "there"}])
    text = f"One or more parameter values were invalid: {text}"
    refused(client, "ValidationException", text, lambda: add(client, name, definitions=definitions))
    assert index_of(client, name) is None


def test_other_definitions_are_passed_over(client, make_table, name):
    """One that nothing uses, and one of a key that says otherwise than the table, which the index does not use."""
    make_table("pk")
    more = [{"AttributeName": "more", "AttributeType": "B"}, {"AttributeName": "pk", "AttributeType": "N"}]
    add(client, name, definitions=[*H_IS_A_STRING, *more])
    settled(client, name)
    table = client.describe_table(TableName=name)["Table"]
    defined = {one["AttributeName"]: one["AttributeType"] for one in table["AttributeDefinitions"]}
    assert defined == {"pk": "S", "h": "S"}


@pytest.mark.parametrize(
    ("keys", "there", "new"),
    [
        (["sk"], "key{pk:S:HASH}, SchemaElement: key{sk:N:RANGE}", "key{sk:S:HASH}"),
        (["h", "sk"], "key{pk:S:HASH}, SchemaElement: key{sk:N:RANGE}", "key{h:S:HASH}, SchemaElement: key{sk:S:RANGE}"),
        (["i"], "key{i:N:HASH}", "key{i:S:HASH}"),
    ],
    ids=["a sort key", "beside a new one", "an index's key"],
)
def test_attributes_are_not_redefined(client, make_table, name, keys, there, new):
    of_i = {**BY_H, "IndexName": "by-i", "KeySchema": key_schema("i")}
    make_table("pk", "sk:N", attributes=["i:N"], GlobalSecondaryIndexes=[of_i])
    definitions = [{"AttributeName": key, "AttributeType": "S"} for key in keys]
    text = (
        "One or more parameter values were invalid: Attributes cannot be redefined. Please check that your attribute has "
        f"the same type as previously defined. Existing schema: Schema:[SchemaElement: {there}] New schema: "
        f"Schema:[SchemaElement: {new}]"
    )
    index = {**BY_H, "KeySchema": key_schema(*keys)}
    refused(client, "ValidationException", text, lambda: add(client, name, index, definitions))
    assert index_of(client, name) is None


def test_an_index_may_use_the_tables_keys(dev, client, make_table, name):
    make_table("pk", "sk:N")
    fill(dev, name, [{"pk": f"p{n}", "sk": n % 2} for n in range(10)])
    turned = {**BY_H, "IndexName": "turned", "KeySchema": key_schema("sk", "pk")}
    given = [{"AttributeName": "pk", "AttributeType": "S"}, {"AttributeName": "sk", "AttributeType": "N"}]
    add(client, name, turned, given)
    settled(client, name)
    found = client.query(
        TableName=name,
        IndexName="turned",
        KeyConditionExpression="sk = :one",
        ExpressionAttributeValues={":one": {"N": "1"}},
    )
    assert [item["pk"]["S"] for item in found["Items"]] == ["p1", "p3", "p5", "p7", "p9"]


def units(read, write):
    return {"ReadCapacityUnits": read, "WriteCapacityUnits": write}
