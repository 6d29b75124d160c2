"""GetItem: keys, projections, capacity."""

import pytest

from .wire import b, invalid, n, s

SCHEMA = invalid("The provided key element does not match the schema")


def test_an_item_and_nothing(wire, sorted_table, pk):
    item = {"pk": s(pk), "sk": s("a"), "v": n(1)}
    wire("PutItem", TableName=sorted_table, Item=item)
    for consistent in (None, False, True):
        read = {"TableName": sorted_table, "ConsistentRead": consistent}
        assert wire("GetItem", Key={"pk": s(pk), "sk": s("a")}, **read) == {"Item": item}
        assert wire("GetItem", Key={"pk": s(pk), "sk": s("b")}, **read) == {}


@pytest.mark.parametrize(
    ("key", "says"),
    [
        ({}, SCHEMA),
        ({"pk": s("a")}, SCHEMA),
        ({"sk": s("a")}, SCHEMA),
        ({"pk": s("a"), "other": s("a")}, SCHEMA),
        ({"pk": s("a"), "sk": s("a"), "other": s("a")}, SCHEMA),
        ({"pk": n(1), "sk": s("a")}, SCHEMA),
        ({"pk": s("a"), "sk": b("AA==")}, SCHEMA),
        ({"pk": s("a"), "sk": {"M": {}}}, SCHEMA),
        (
            {"pk": s(""), "sk": s("a")},
            invalid(
                "One or more parameter values are not valid. The AttributeValue for a key attribute cannot contain an "
                "empty string value. Key: pk"
            ),
        ),
        (
            {"pk": s("p" * 2049), "sk": s("a")},
            invalid(
                "One or more parameter values were invalid: Size of hashkey has exceeded the maximum size limit of2048 "
                "bytes"
            ),
        ),
        (
            {"pk": s("a"), "sk": s("s" * 1025)},
            invalid(
                "One or more parameter values were invalid: Aggregated size of all range keys has exceeded the size "
                "limit of 1024 bytes"
            ),
        ),
    ],
    ids=lambda value: str(value)[:50],
)
@pytest.mark.parametrize("operation", ["GetItem", "DeleteItem", "UpdateItem"])
def test_a_wrong_key_is_refused(wire, sorted_table, operation, key, says):
    assert wire.refusal(operation, TableName=sorted_table, Key=key) == says


ITEM = {
    "name": s("n"),
    "a": n(1),
    "list": {"L": [n(0), {"M": {"x": n(1), "y": n(2)}}, {"L": [n(3), n(4)]}]},
    "map": {"M": {"x": n(1), "y": {"M": {"z": n(2), "w": n(3)}}}},
    "set": {"SS": ["a", "b"]},
    "dotted.name": n(5),
}


@pytest.mark.parametrize(
    ("projection", "expect"),
    [
        ("a", {"a": n(1)}),
        ("a, absent", {"a": n(1)}),
        ("absent", {}),
        ("pk", {"pk": ...}),
        ("#n, a", {"name": s("n"), "a": n(1)}),
        ("#d", {"dotted.name": n(5)}),
        ("#map.x", {"map": {"M": {"x": n(1)}}}),
        ("#map.x, #map.y.z", {"map": {"M": {"x": n(1), "y": {"M": {"z": n(2)}}}}}),
        ("#map.y.#z", {"map": {"M": {"y": {"M": {"z": n(2)}}}}}),
        ("#map.absent", {}),
        ("a.b", {}),
        ("a[0]", {}),
        ("#list.x", {}),
        ("#list[0]", {"list": {"L": [n(0)]}}),
        ("#list[2], #list[0]", {"list": {"L": [n(0), {"L": [n(3), n(4)]}]}}),
        ("#list[2][1], #list[1].y", {"list": {"L": [{"M": {"y": n(2)}}, {"L": [n(4)]}]}}),
        ("#list[7]", {}),
        ("#set", {"set": {"SS": ["a", "b"]}}),
        ("#set[0]", {}),
    ],
)
def test_projections(wire, plain, pk, projection, expect):
    wire("PutItem", TableName=plain, Item={"pk": s(pk), **ITEM})
    names = {"#n": "name", "#d": "dotted.name", "#map": "map", "#list": "list", "#set": "set", "#z": "z"}
    used = {key: name for key, name in names.items() if f"{key}" in projection.replace(".", " ").replace("[", " ").replace(",", " ").split()}
    request = {"ExpressionAttributeNames": used} if used else {}
    answer = wire("GetItem", TableName=plain, Key={"pk": s(pk)}, ProjectionExpression=projection, **request)
    wanted = {name: s(pk) if value is ... else value for name, value in expect.items()}
    assert answer == {"Item": wanted}


@pytest.mark.parametrize(
    ("request_", "says"),
    [
        ({"ProjectionExpression": ""}, "Invalid ProjectionExpression: The expression can not be empty;"),
        (
            {"ProjectionExpression": "a, b.c, b"},
            "Invalid ProjectionExpression: Two document paths overlap with each other; must remove or rewrite one of "
            "these paths; path one: [b, c], path two: [b]",
        ),
        (
            {"ProjectionExpression": "a, a"},
            "Invalid ProjectionExpression: Two document paths overlap with each other; must remove or rewrite one of "
            "these paths; path one: [a], path two: [a]",
        ),
        (
            {"ProjectionExpression": "b.c, b[0]"},
            "Invalid ProjectionExpression: Two document paths conflict with each other; must remove or rewrite one of "
            "these paths; path one: [b, c], path two: [b, [0]]",
        ),
        (
            {"ProjectionExpression": "a, name"},
            "Invalid ProjectionExpression: Attribute name is a reserved keyword; reserved keyword: name",
        ),
        (
            {"ProjectionExpression": "a b"},
            'Invalid ProjectionExpression: Syntax error; token: "b", near: "a b"',
        ),
        (
            {"ProjectionExpression": ":v"},
            'Invalid ProjectionExpression: Syntax error; token: ":v", near: ":v"',
        ),
        (
            {"ProjectionExpression": "#a"},
            "Invalid ProjectionExpression: An expression attribute name used in the document path is not defined; "
            "attribute name: #a",
        ),
        (
            {"ProjectionExpression": "a", "ExpressionAttributeNames": {"#a": "a", "#b": "b"}},
            "Value provided in ExpressionAttributeNames unused in expressions: keys: {#a, #b}",
        ),
        (
            {"ExpressionAttributeNames": {"#a": "a"}},
            "ExpressionAttributeNames can only be specified when using expressions",
        ),
        (
            {"ProjectionExpression": "a", "AttributesToGet": ["a"]},
            "Can not use both expression and non-expression parameters in the same request: Non-expression parameters: "
            "{AttributesToGet} Expression parameters: {ProjectionExpression}",
        ),
        (
            {"AttributesToGet": ["a", "b", "a"]},
            "One or more parameter values were invalid: Duplicate value in attribute name: a",
        ),
        (
            {"AttributesToGet": []},
            "1 validation error detected: Value '[]' at 'attributesToGet' failed to satisfy constraint: Member must "
            "have length greater than or equal to 1",
        ),
    ],
    ids=lambda value: str(value)[:60],
)
def test_a_bad_projection_is_refused(wire, plain, request_, says):
    assert wire.refusal("GetItem", TableName=plain, Key={"pk": s("a")}, **request_) == invalid(says)


def test_attributes_to_get(wire, plain, pk):
    wire("PutItem", TableName=plain, Item={"pk": s(pk), **ITEM})
    answer = wire("GetItem", TableName=plain, Key={"pk": s(pk)}, AttributesToGet=["name", "dotted.name", "map.x"])
    assert answer["Item"] == {"name": s("n"), "dotted.name": n(5)}


@pytest.mark.parametrize(
    ("filler", "consistent", "units"),
    [
        (None, False, 0.5),
        (None, True, 1.0),
        (10, False, 0.5),
        (10, True, 1.0),
        (4096 - 15, True, 1.0),
        (4096 - 14, True, 2.0),
        (4096 - 14, False, 1.0),
        (400_000, False, 49.0),
    ],
)
def test_capacity(wire, plain, pk, filler, consistent, units):
    if filler:
        # "pk" and 12 bytes of key, "v" and the filler: 15 bytes and the filler.
        wire("PutItem", TableName=plain, Item={"pk": s(pk), "v": s("x" * filler)})
    read = dict(TableName=plain, Key={"pk": s(pk)}, ConsistentRead=consistent)
    assert "ConsumedCapacity" not in wire("GetItem", **read, ReturnConsumedCapacity="NONE")
    total = wire("GetItem", **read, ReturnConsumedCapacity="TOTAL")["ConsumedCapacity"]
    assert total == {"TableName": plain, "CapacityUnits": units}
    each = wire("GetItem", **read, ReturnConsumedCapacity="INDEXES")["ConsumedCapacity"]
    assert each == {"TableName": plain, "CapacityUnits": units, "Table": {"CapacityUnits": units}}


def test_the_order_in_which_errors_are_found(wire):
    empty = "Supplied AttributeValue is empty, must contain exactly one of the supported datatypes"
    key = {"TableName": "no-such-table", "Key": {"a": {}}}
    mixed = {"ProjectionExpression": "", "AttributesToGet": ["a"]}
    assert "Can not use both" in wire.refusal("GetItem", **key, **mixed)
    assert wire.refusal("GetItem", **key, ProjectionExpression="(") == invalid(empty)
    key["Key"] = {"a": s("a")}
    assert "Syntax error" in wire.refusal("GetItem", **key, ProjectionExpression="(")
    assert wire.refusal("GetItem", **key) == "ResourceNotFoundException: Requested resource not found"
