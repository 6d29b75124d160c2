"""BatchGetItem: several tables, projections, UnprocessedKeys, capacity, what it refuses."""

import pytest

from .wire import invalid, n, s


def key(*names):
    return [{"pk": s(name)} for name in names]


def test_items_of_several_tables(wire, plain, sorted_table, pk):
    wire("PutItem", TableName=plain, Item={"pk": s(pk), "v": n(1), "w": n(2)})
    wire("PutItem", TableName=sorted_table, Item={"pk": s(pk), "sk": s("a"), "v": n(3)})
    answer = wire(
        "BatchGetItem",
        RequestItems={
            plain: {
                "Keys": key(pk, "absent"),
                "ProjectionExpression": "#v",
                "ExpressionAttributeNames": {"#v": "v"},
                "ConsistentRead": True,
            },
            sorted_table: {"Keys": [{"pk": s(pk), "sk": s("a")}]},
        },
    )
    assert answer == {
        "Responses": {plain: [{"v": n(1)}], sorted_table: [{"pk": s(pk), "sk": s("a"), "v": n(3)}]},
        "UnprocessedKeys": {},
    }


def test_a_table_without_items_has_an_empty_response(wire, plain):
    answer = wire("BatchGetItem", RequestItems={plain: {"Keys": key("absent")}})
    assert answer == {"Responses": {plain: []}, "UnprocessedKeys": {}}


def test_attributes_to_get(wire, plain, pk):
    wire("PutItem", TableName=plain, Item={"pk": s(pk), "v": n(1), "w": n(2)})
    request = {plain: {"Keys": key(pk), "AttributesToGet": ["w", "absent"]}}
    assert wire("BatchGetItem", RequestItems=request)["Responses"] == {plain: [{"w": n(2)}]}


def test_what_is_over_16_megabytes_is_left(wire, plain, pk):
    names = [f"{pk}-{number}" for number in range(50)]
    for name in names:
        wire("PutItem", TableName=plain, Item={"pk": s(name), "v": s("x" * 400_000)})
    request = {"Keys": key(*names), "ConsistentRead": True, "ProjectionExpression": "pk"}
    answer = wire("BatchGetItem", RequestItems={plain: request})
    found = [item["pk"]["S"] for item in answer["Responses"][plain]]
    # The limit is on what is read, not on what the projection leaves of it.
    assert len(found) == 16_000_000 // 400_016
    left = answer["UnprocessedKeys"]
    assert left == {plain: {**request, "Keys": key(*(name for name in names if name not in found))}}
    rest = wire("BatchGetItem", RequestItems=left)
    assert rest["UnprocessedKeys"] == {}
    assert sorted(found + [item["pk"]["S"] for item in rest["Responses"][plain]]) == sorted(names)


def test_of_100_items_of_300_kilobytes_52_come(wire, plain, pk):
    """The API reference's own example. Items of 300 KB: `pk`, `v` and their values."""
    names = [f"{pk}-{number:02}" for number in range(100)]
    for name in names:
        wire("PutItem", TableName=plain, Item={"pk": s(name), "v": s("x" * (300 * 1024 - 3 - len(name)))})
    request = {plain: {"Keys": key(*names), "ProjectionExpression": "pk"}}
    answer = wire("BatchGetItem", RequestItems=request)
    assert len(answer["Responses"][plain]) == 52
    assert len(answer["UnprocessedKeys"][plain]["Keys"]) == 48


@pytest.mark.parametrize(("consistent", "units"), [(False, 0.5), (True, 1.0)])
def test_capacity(wire, plain, sorted_table, pk, consistent, units):
    """Each item is rounded up by itself; what is not there costs as much as a small one."""
    wire("PutItem", TableName=plain, Item={"pk": s(pk), "v": s("x" * 5000)})
    items = {
        plain: {"Keys": key(pk, "absent"), "ConsistentRead": consistent},
        sorted_table: {"Keys": [{"pk": s("absent"), "sk": s("a")}], "ConsistentRead": consistent},
    }
    assert "ConsumedCapacity" not in wire("BatchGetItem", RequestItems=items)
    answer = wire("BatchGetItem", RequestItems=items, ReturnConsumedCapacity="TOTAL")
    consumed = {each["TableName"]: each["CapacityUnits"] for each in answer["ConsumedCapacity"]}
    assert consumed == {plain: 3 * units, sorted_table: units}
    answer = wire("BatchGetItem", RequestItems=items, ReturnConsumedCapacity="INDEXES")
    consumed = {each["TableName"]: each["Table"] for each in answer["ConsumedCapacity"]}
    assert consumed == {plain: {"CapacityUnits": 3 * units}, sorted_table: {"CapacityUnits": units}}


def test_one_hundred_keys(wire, plain):
    hundred = [str(number) for number in range(100)]
    assert wire("BatchGetItem", RequestItems={plain: {"Keys": key(*hundred)}})["Responses"] == {plain: []}
    assert wire.refusal("BatchGetItem", RequestItems={plain: {"Keys": key(*hundred, "more")}}) == invalid(
        f"Value at 'RequestItems.{plain}.member.Keys' failed to satisfy constraint: Member must have length less than or "
        "equal to 100"
    )
    items = {plain: {"Keys": key(*hundred)}, "another-table": {"Keys": key("more")}}
    assert wire.refusal("BatchGetItem", RequestItems=items) == invalid(
        "Too many items requested for the BatchGetItem call"
    )


EMPTY = "Supplied AttributeValue is empty, must contain exactly one of the supported datatypes"


@pytest.mark.parametrize(
    ("items", "says"),
    [
        (
            None,
            "1 validation error detected: Value null at 'requestItems' failed to satisfy constraint: Member must not be "
            "null",
        ),
        ({}, "The requestItems parameter is required for BatchGetItem"),
        (
            {"abc": {}},
            "1 validation error detected: Value null at 'requestItems.abc.member.keys' failed to satisfy constraint: "
            "Member must not be null",
        ),
        (
            {"abc": {"Keys": []}},
            "Value at 'RequestItems.abc.member.Keys' failed to satisfy constraint: Member must have length greater than or "
            "equal to 1",
        ),
        ({"PLAIN": {"Keys": [{"pk": {}}]}}, EMPTY),
        ({"PLAIN": {"Keys": [{}]}}, "The provided key element does not match the schema"),
        ({"PLAIN": {"Keys": [{"pk": n(1)}]}}, "The provided key element does not match the schema"),
        (
            {"PLAIN": {"Keys": [{"pk": s("a"), "sk": s("a")}]}},
            "The provided key element does not match the schema",
        ),
        ({"PLAIN": {"Keys": key("a", "b", "a")}}, "Provided list of item keys contains duplicates"),
        (
            {"PLAIN": {"Keys": [{"pk": {}}], "ProjectionExpression": "a", "AttributesToGet": ["a"]}},
            "Can not use both expression and non-expression parameters in the same request: Non-expression parameters: "
            "{AttributesToGet} Expression parameters: {ProjectionExpression}",
        ),
        (
            {"PLAIN": {"Keys": key("a"), "ExpressionAttributeNames": {"#a": "a"}}},
            "ExpressionAttributeNames can only be specified when using expressions",
        ),
        (
            {"PLAIN": {"Keys": key("a"), "ProjectionExpression": "a b"}},
            'Invalid ProjectionExpression: Syntax error; token: "b", near: "a b"',
        ),
    ],
    ids=lambda value: str(value)[:70],
)
def test_what_it_refuses(wire, plain, items, says):
    if items:
        items = {plain if name == "PLAIN" else name: request for name, request in items.items()}
    refused = wire.refusal("BatchGetItem", **({} if items is None else {"RequestItems": items}))
    assert refused == invalid(says)


def test_numbers_that_are_equal_are_one_key(wire, numbered):
    keys = [{"pk": s("a"), "sk": n("1")}, {"pk": s("a"), "sk": n("1.0")}]
    refused = wire.refusal("BatchGetItem", RequestItems={numbered: {"Keys": keys}})
    assert refused == invalid("Provided list of item keys contains duplicates")


def test_no_table(wire, plain):
    items = {plain: {"Keys": key("a")}, "no-such-table": {"Keys": key("a")}}
    refused = wire.refusal("BatchGetItem", RequestItems=items)
    assert refused == "ResourceNotFoundException: Requested resource not found"


def test_a_table_by_its_name_and_its_arn_is_one_table(wire, plain):
    arn = wire("DescribeTable", TableName=plain)["Table"]["TableArn"]
    refused = wire.refusal("BatchGetItem", RequestItems={plain: {"Keys": key("a")}, arn: {"Keys": key("b", "a")}})
    assert refused == invalid("Provided list of item keys contains duplicates")
    request = {plain: {"Keys": key("a")}, arn: {"Keys": key("b")}}
    answer = wire("BatchGetItem", RequestItems=request, ReturnConsumedCapacity="TOTAL")
    assert answer["ConsumedCapacity"] == [{"TableName": plain, "CapacityUnits": 1.0}]
    assert answer["UnprocessedKeys"] == {}
