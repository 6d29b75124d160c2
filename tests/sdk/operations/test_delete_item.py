"""DeleteItem: what it returns, its conditions, its errors. Wrong keys are with GetItem's."""

import pytest

from .wire import invalid, n, s


def test_deleting_twice(wire, plain, pk):
    item = {"pk": s(pk), "v": n(1)}
    wire("PutItem", TableName=plain, Item=item)
    delete = dict(TableName=plain, Key={"pk": s(pk)}, ReturnValues="ALL_OLD")
    assert wire("DeleteItem", **delete) == {"Attributes": item}
    assert wire("DeleteItem", **delete) == {}
    assert wire("GetItem", TableName=plain, Key={"pk": s(pk)}) == {}


def test_by_default_it_returns_nothing(wire, plain, pk):
    for returns in ({}, {"ReturnValues": "NONE"}):
        wire("PutItem", TableName=plain, Item={"pk": s(pk), "v": n(1)})
        assert wire("DeleteItem", TableName=plain, Key={"pk": s(pk)}, **returns) == {}


@pytest.mark.parametrize("returns", ["UPDATED_OLD", "ALL_NEW", "UPDATED_NEW"])
def test_it_returns_nothing_else(wire, plain, returns):
    refused = wire.refusal("DeleteItem", TableName=plain, Key={"pk": s("a")}, ReturnValues=returns)
    assert refused == invalid("ReturnValues can only be ALL_OLD or NONE")


def test_conditions(wire, plain, pk):
    item = {"pk": s(pk), "v": n(1)}
    wire("PutItem", TableName=plain, Item=item)
    delete = dict(TableName=plain, Key={"pk": s(pk)}, ExpressionAttributeValues={":v": n(2)})
    failed = {
        "__type": "com.amazonaws.dynamodb.v20120810#ConditionalCheckFailedException",
        "message": "The conditional request failed",
    }
    assert wire.answer("DeleteItem", {**delete, "ConditionExpression": "v = :v"}).json == failed
    request = {**delete, "ConditionExpression": "v = :v", "ReturnValuesOnConditionCheckFailure": "ALL_OLD"}
    assert wire.answer("DeleteItem", request).json == {**failed, "Item": item}
    assert wire("DeleteItem", **delete, ConditionExpression="v < :v") == {}
    assert wire.refusal("DeleteItem", **delete, ConditionExpression="v < :v").startswith("ConditionalCheckFailed")


@pytest.mark.parametrize(
    ("size", "units"), [(None, 1.0), (10, 1.0), (1024 - 15, 1.0), (1024 - 14, 2.0), (10_000, 10.0)]
)
def test_capacity(wire, plain, pk, size, units):
    if size:
        # "pk" and 12 bytes of key, "v" and the filler: 15 bytes and the filler.
        wire("PutItem", TableName=plain, Item={"pk": s(pk), "v": s("x" * size)})
    answer = wire("DeleteItem", TableName=plain, Key={"pk": s(pk)}, ReturnConsumedCapacity="TOTAL")
    assert answer == {"ConsumedCapacity": {"TableName": plain, "CapacityUnits": units}}


@pytest.mark.parametrize(
    ("request_", "says"),
    [
        (
            {"Key": {"pk": {}}, "Expected": {}, "ConditionExpression": "(", "ReturnValues": "ALL_NEW"},
            "Can not use both expression and non-expression parameters in the same request: Non-expression parameters: "
            "{Expected} Expression parameters: {ConditionExpression}",
        ),
        (
            {"Key": {"pk": {}}, "ConditionExpression": "(", "ReturnValues": "ALL_NEW"},
            "Supplied AttributeValue is empty, must contain exactly one of the supported datatypes",
        ),
        (
            {"Key": {"pk": s("a")}, "ConditionExpression": "(", "ReturnValues": "ALL_NEW"},
            "ReturnValues can only be ALL_OLD or NONE",
        ),
        (
            {"Key": {"pk": n(1)}, "ConditionExpression": "("},
            'Invalid ConditionExpression: Syntax error; token: "<EOF>", near: "("',
        ),
        ({"Key": {"pk": n(1)}, "ConditionExpression": "a = b"}, "The provided key element does not match the schema"),
    ],
    ids=lambda value: str(value)[:60],
)
def test_the_order_in_which_errors_are_found(wire, plain, request_, says):
    assert wire.refusal("DeleteItem", TableName=plain, **request_) == invalid(says)
