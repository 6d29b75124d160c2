"""ExpressionAttributeNames and ExpressionAttributeValues: their refusals, their limits, and the words that need them."""

import pytest

from .wire import invalid, n, s

NAMES_PARAMETER, VALUES_PARAMETER = "ExpressionAttributeNames", "ExpressionAttributeValues"


@pytest.fixture(scope="module")
def key(wire, sorted_table):
    key = {"pk": s("placeholders"), "sk": s("item")}
    wire("PutItem", TableName=sorted_table, Item={**key, "n": n(5)})
    return key


@pytest.mark.parametrize(
    ("parameter", "given", "says"),
    [
        (NAMES_PARAMETER, {}, "ExpressionAttributeNames must not be empty"),
        (NAMES_PARAMETER, {"a": "b"}, 'ExpressionAttributeNames contains invalid key: Syntax error; key: "a"'),
        (NAMES_PARAMETER, {"#": "b"}, 'ExpressionAttributeNames contains invalid key: Syntax error; key: "#"'),
        (NAMES_PARAMETER, {"#a-b": "b"}, 'ExpressionAttributeNames contains invalid key: Syntax error; key: "#a-b"'),
        (NAMES_PARAMETER, {"#a": "b", "#c": "b"}, "Value provided in ExpressionAttributeNames unused in expressions: keys: {#a, #c}"),
        (VALUES_PARAMETER, {}, "ExpressionAttributeValues must not be empty"),
        (VALUES_PARAMETER, {"a": n(1)}, 'ExpressionAttributeValues contains invalid key: Syntax error; key: "a"'),
        (VALUES_PARAMETER, {":": n(1)}, 'ExpressionAttributeValues contains invalid key: Syntax error; key: ":"'),
        (
            VALUES_PARAMETER,
            {":a": {}},
            "ExpressionAttributeValues contains invalid value: Supplied AttributeValue is empty, must contain exactly one "
            "of the supported datatypes for key :a",
        ),
        # Empty sets are told as anywhere.
        (VALUES_PARAMETER, {":a": {"SS": []}}, "One or more parameter values were invalid: An string set  may not be empty"),
        (VALUES_PARAMETER, {":a": {"NS": []}}, "One or more parameter values were invalid: An number set  may not be empty"),
        (VALUES_PARAMETER, {":a": {"BS": []}}, "One or more parameter values were invalid: Binary sets should not be empty"),
        (
            VALUES_PARAMETER,
            {":a": {"SS": ["a", "a"]}},
            "ExpressionAttributeValues contains invalid value: One or more parameter values were invalid: Input "
            "collection [a, a] contains duplicates. for key :a",
        ),
        (
            VALUES_PARAMETER,
            {":a": n(1)},
            "Value provided in ExpressionAttributeValues unused in expressions: keys: {:a}",
        ),
    ],
    ids=lambda value: str(value)[:60],
)
def test_wrong_names_and_values_are_refused(wire, sorted_table, key, parameter, given, says):
    check = {"TableName": sorted_table, "Key": key, "ConditionExpression": "b <> c", parameter: given}
    assert wire.refusal("UpdateItem", **check) == invalid(says)


def test_names_and_values_have_limits(wire, sorted_table, key):
    check = {"TableName": sorted_table, "Key": key}
    name = "#" + "a" * 254
    wire("GetItem", **check, ProjectionExpression=name, ExpressionAttributeNames={name: "a"})
    refused = wire.refusal("GetItem", **check, ProjectionExpression=f"{name}a", ExpressionAttributeNames={f"{name}a": "a"})
    assert refused.startswith(invalid("ExpressionAttributeNames contains invalid key: "))
    # Two megabytes together.
    condition = {"ConditionExpression": "absent = :a OR absent = :b OR n = :c"}
    large = s("x" * (1024 * 1024 - 10))
    given = {":a": large, ":b": large, ":c": n(5)}
    wire("UpdateItem", **check, **condition, ExpressionAttributeValues=given)
    given[":b"] = s("x" * (1024 * 1024 + 10))
    refused = wire.refusal("UpdateItem", **check, **condition, ExpressionAttributeValues=given)
    assert "maximum allowed size of 2097152 bytes" in refused


@pytest.mark.parametrize("word", ["abort", "ACTION", "Date", "hidden", "Name", "second", "TTL", "value", "zone"])
def test_reserved_words_need_a_placeholder(wire, sorted_table, key, word):
    get = {"TableName": sorted_table, "Key": key}
    assert wire.refusal("GetItem", **get, ProjectionExpression=word) == invalid(
        f"Invalid ProjectionExpression: Attribute name is a reserved keyword; reserved keyword: {word}"
    )
    assert wire("GetItem", **get, ProjectionExpression="#w", ExpressionAttributeNames={"#w": word}) == {"Item": {}}
