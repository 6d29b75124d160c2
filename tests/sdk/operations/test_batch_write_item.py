"""BatchWriteItem: puts and deletes of several tables, all or none of them judged, capacity, metrics."""

import pytest

from .wire import b, invalid, n, parameters, s


def put(**attributes):
    return {"PutRequest": {"Item": attributes}}


def delete(**key):
    return {"DeleteRequest": {"Key": key}}


def test_puts_and_deletes_of_several_tables(wire, plain, sorted_table, pk):
    wire("PutItem", TableName=plain, Item={"pk": s(pk), "v": n(1)})
    items = {
        plain: [delete(pk=s(pk)), put(pk=s(pk + "-"), v=n(2)), delete(pk=s("absent"))],
        sorted_table: [put(pk=s(pk), sk=s("a")), put(pk=s(pk), sk=s("b"))],
    }
    assert wire("BatchWriteItem", RequestItems=items) == {"UnprocessedItems": {}}
    assert wire("GetItem", TableName=plain, Key={"pk": s(pk)}) == {}
    assert wire("GetItem", TableName=plain, Key={"pk": s(pk + "-")})["Item"]["v"] == n(2)
    query = dict(KeyConditionExpression="pk = :p", ExpressionAttributeValues={":p": s(pk)}, Select="COUNT")
    assert wire("Query", TableName=sorted_table, **query)["Count"] == 2


def test_twenty_five_writes(wire, plain, pk):
    writes = [put(pk=s(f"{pk}-{number}")) for number in range(26)]
    assert wire("BatchWriteItem", RequestItems={plain: writes[:25]}) == {"UnprocessedItems": {}}
    refused = wire.refusal("BatchWriteItem", RequestItems={plain: writes})
    assert refused.startswith(invalid(f"1 validation error detected: Value '{{{plain}=[WriteRequest(putRequest="))
    # The whole list is shown, however long it is.
    assert all(f"{pk}-{number}," in refused for number in range(26))
    assert refused.endswith(
        "at 'requestItems' failed to satisfy constraint: Map value must satisfy constraint: [Member must have length less "
        "than or equal to 25, Member must have length greater than or equal to 1]"
    )
    items = {plain: writes[:25], "another-table": [delete(pk=s("a"))]}
    assert wire.refusal("BatchWriteItem", RequestItems=items) == invalid(
        "Too many items requested for the BatchWriteItem call"
    )


SCHEMA = invalid("The provided key element does not match the schema")
SEVERAL = invalid(
    "Supplied AttributeValue has more than one datatypes set, must contain exactly one of the supported datatypes"
)


@pytest.mark.parametrize(
    ("write", "says"),
    [
        ({}, SEVERAL),
        ({**put(pk=s("a"), sk=s("a")), **delete(pk=s("a"), sk=s("a"))}, SEVERAL),
        (put(pk=s("a")), SCHEMA),
        (put(pk=n(1), sk=s("a")), SCHEMA),
        (delete(pk=s("a")), SCHEMA),
        (delete(pk=s("a"), sk=s("a"), v=n(1)), SCHEMA),
        (
            put(pk=s("a"), sk={}),
            invalid("Supplied AttributeValue is empty, must contain exactly one of the supported datatypes"),
        ),
        (put(pk=s("a"), sk=s("a"), v={"SS": []}), parameters("An string set  may not be empty")),
        (
            put(pk=s(""), sk=s("a")),
            invalid(
                "One or more parameter values are not valid. The AttributeValue for a key attribute cannot contain an "
                "empty string value. Key: pk"
            ),
        ),
        (
            put(pk=s("a"), sk=s("s" * 1025)),
            parameters("Aggregated size of all range keys has exceeded the size limit of 1024 bytes"),
        ),
        (
            put(pk=s("a"), sk=s("a"), gp=n(1)),
            parameters("Type mismatch for Index Key gp Expected: S Actual: N IndexName: g-all"),
        ),
        (
            put(pk=s("a"), sk=s("a"), gb=b("")),
            invalid(
                "One or more parameter values are not valid. A value specified for a secondary index key is not "
                "supported. The AttributeValue for a key attribute cannot contain an empty binary value. IndexName: "
                "g-binary, IndexKey: gb"
            ),
        ),
        (
            put(pk=s("a"), sk=s("a"), v=s("x" * 409_600)),
            invalid("Item size has exceeded the maximum allowed size"),
        ),
        (put(pk=s("good"), sk=s("good")), invalid("Provided list of item keys contains duplicates")),
        (delete(pk=s("good"), sk=s("good")), invalid("Provided list of item keys contains duplicates")),
    ],
    ids=lambda value: str(value)[:70],
)
def test_nothing_is_written_if_one_is_wrong(wire, indexed, plain, pk, write, says):
    items = {plain: [put(pk=s(pk))], indexed: [put(pk=s("good"), sk=s("good")), write]}
    assert wire.refusal("BatchWriteItem", RequestItems=items) == says
    assert wire("GetItem", TableName=plain, Key={"pk": s(pk)}) == {}
    assert wire("GetItem", TableName=indexed, Key={"pk": s("good"), "sk": s("good")}) == {}


@pytest.mark.parametrize(
    ("request_", "says"),
    [
        (
            {},
            "1 validation error detected: Value null at 'requestItems' failed to satisfy constraint: Member must not be "
            "null",
        ),
        ({"RequestItems": {}}, "The requestItems parameter is required for BatchWriteItem"),
        (
            {"RequestItems": {"abc": []}},
            "1 validation error detected: Value '{abc=[]}' at 'requestItems' failed to satisfy constraint: Map value must "
            "satisfy constraint: [Member must have length less than or equal to 25, Member must have length greater than "
            "or equal to 1]",
        ),
        (
            {"RequestItems": {"abc": [{"PutRequest": {}}]}},
            "1 validation error detected: Value null at 'requestItems.abc.member.1.member.putRequest.item' failed to "
            "satisfy constraint: Member must not be null",
        ),
        (
            {"RequestItems": {"no-such-table": [put(v=s("x" * 409_600))]}},
            "Item size has exceeded the maximum allowed size",
        ),
    ],
    ids=lambda value: str(value)[:70],
)
def test_the_order_in_which_errors_are_found(wire, request_, says):
    assert wire.refusal("BatchWriteItem", **request_) == invalid(says)


def test_no_table(wire, plain, pk):
    items = {plain: [put(pk=s(pk))], "no-such-table": [put(pk=s("a"))]}
    refused = wire.refusal("BatchWriteItem", RequestItems=items)
    assert refused == "ResourceNotFoundException: Requested resource not found"
    assert wire("GetItem", TableName=plain, Key={"pk": s(pk)}) == {}


def test_capacity(wire, plain, indexed, pk):
    items = {
        plain: [put(pk=s(pk), v=s("x" * 2000)), delete(pk=s("absent"))],
        indexed: [put(pk=s(pk), sk=s("a"), gp=s(pk)), put(pk=s(pk), sk=s("b"))],
    }
    answer = wire("BatchWriteItem", RequestItems=items, ReturnConsumedCapacity="INDEXES")
    consumed = {each["TableName"]: each for each in answer["ConsumedCapacity"]}
    assert consumed == {
        plain: {"TableName": plain, "CapacityUnits": 3.0, "Table": {"CapacityUnits": 3.0}},
        indexed: {
            "TableName": indexed,
            "CapacityUnits": 3.0,
            "Table": {"CapacityUnits": 2.0},
            "GlobalSecondaryIndexes": {"g-keys": {"CapacityUnits": 1.0}},
        },
    }


def test_item_collection_metrics(wire, plain, indexed, pk):
    """One entry for each item collection of a table with local indexes."""
    items = {plain: [put(pk=s(pk))], indexed: [put(pk=s(pk), sk=s("a")), put(pk=s(pk), sk=s("b")), put(pk=s(pk + "-"), sk=s("a"))]}
    metrics = wire("BatchWriteItem", RequestItems=items, ReturnItemCollectionMetrics="SIZE")["ItemCollectionMetrics"]
    assert list(metrics) == [indexed]
    collections = sorted(each["ItemCollectionKey"]["pk"]["S"] for each in metrics[indexed])
    assert collections == [pk, pk + "-"]
    assert all(each["SizeEstimateRangeGB"] == [0.0, 1.0] for each in metrics[indexed])


def test_a_table_by_its_name_and_its_arn_is_one_table(wire, sorted_table, pk):
    arn = wire("DescribeTable", TableName=sorted_table)["Table"]["TableArn"]
    one, other = {"pk": s(pk), "sk": s("a")}, {"pk": s(pk), "sk": s("b")}
    delete, puts = {"DeleteRequest": {"Key": one}}, [{"PutRequest": {"Item": item}} for item in (other, one)]
    refused = wire.refusal("BatchWriteItem", RequestItems={sorted_table: [delete], arn: puts})
    assert refused == invalid("Provided list of item keys contains duplicates")
    request = {sorted_table: [delete], arn: puts[:1]}
    answer = wire("BatchWriteItem", RequestItems=request, ReturnConsumedCapacity="TOTAL")
    assert answer["ConsumedCapacity"] == [{"TableName": sorted_table, "CapacityUnits": 2.0}]
    assert wire("GetItem", TableName=sorted_table, Key=other)["Item"] == other
