"""PutItem, GetItem, UpdateItem, DeleteItem through boto3's client and resource."""

from decimal import Decimal

import pytest
from boto3.dynamodb.conditions import Attr
from boto3.dynamodb.types import Binary

EVERY_TYPE = {
    "pk": "everything",
    "text": "Grüße, 世界 \u0000 \U0001f30d",
    "number": Decimal("-12345678901234567890123456789012345678"),
    "tiny": Decimal("1E-130"),
    "large": Decimal("9.9999999999999999999999999999999999999E+37"),
    "binary": Binary(bytes(range(256))),
    "yes": True,
    "no": False,
    "nothing": None,
    "list": ["a", Decimal(1), ["nested", {"deep": [True]}]],
    "map": {"a": Decimal("1.5"), "": "no key is too short", "nested": {"list": []}},
    "texts": {"a", "b", "c"},
    "numbers": {Decimal(1), Decimal("2.50"), Decimal("-3")},
    "binaries": {Binary(b"a"), Binary(b"\xff\x00")},
    "empty": "",
}


@pytest.fixture
def table(dev, make_table):
    return dev.resource().Table(make_table("pk"))


def test_every_type_comes_back_as_it_was(table):
    table.put_item(Item=EVERY_TYPE)
    assert table.get_item(Key={"pk": "everything"}, ConsistentRead=True)["Item"] == EVERY_TYPE
    assert table.get_item(Key={"pk": "something else"}).get("Item") is None


def test_put_replaces_the_whole_item(table):
    table.put_item(Item={"pk": "a", "one": 1})
    assert "Attributes" not in table.put_item(Item={"pk": "a", "two": 2})
    old = table.put_item(Item={"pk": "a", "three": 3}, ReturnValues="ALL_OLD")["Attributes"]
    assert old == {"pk": "a", "two": 2}
    assert table.get_item(Key={"pk": "a"})["Item"] == {"pk": "a", "three": 3}


def test_projection(table):
    table.put_item(Item={"pk": "a", "map": {"x": 1, "y": 2}, "list": [1, 2, 3], "name": "n", "rest": 0})
    item = table.get_item(
        Key={"pk": "a"},
        ProjectionExpression="#map.x, #list[1], #name",
        ExpressionAttributeNames={"#map": "map", "#list": "list", "#name": "name"},
    )["Item"]
    assert item == {"map": {"x": 1}, "list": [2], "name": "n"}


@pytest.mark.parametrize(
    ("return_values", "expect"),
    [
        ("NONE", None),
        ("ALL_OLD", {"pk": "a", "kept": "k", "count": 1, "gone": "g"}),
        ("UPDATED_OLD", {"count": 1, "gone": "g"}),
        ("ALL_NEW", {"pk": "a", "kept": "k", "count": 6, "new": "n"}),
        ("UPDATED_NEW", {"count": 6, "new": "n"}),
    ],
)
def test_update_returns(table, return_values, expect):
    table.put_item(Item={"pk": "a", "kept": "k", "count": 1, "gone": "g"})
    answer = table.update_item(
        Key={"pk": "a"},
        UpdateExpression="SET #c = #c + :five, #n = :n REMOVE gone",
        ExpressionAttributeNames={"#c": "count", "#n": "new"},
        ExpressionAttributeValues={":five": 5, ":n": "n"},
        ReturnValues=return_values,
    )
    assert answer.get("Attributes") == expect
    assert table.get_item(Key={"pk": "a"})["Item"] == {"pk": "a", "kept": "k", "count": 6, "new": "n"}


@pytest.mark.parametrize(
    ("expression", "values", "expect"),
    [
        ("SET a = :v", {":v": 1}, {"a": 1}),
        ("SET a = if_not_exists(a, :v)", {":v": 7}, {"a": 7}),
        ("SET #list = list_append(#list, :v)", {":v": ["z"]}, {"list": ["x", "y", "z"]}),
        ("SET #list[0] = :v", {":v": "w"}, {"list": ["w", "y"]}),
        ("SET #list[9] = :v", {":v": "w"}, {"list": ["x", "y", "w"]}),
        ("SET #map.nested.deep = :v", {":v": True}, {"map": {"nested": {"deep": True}}}),
        ("REMOVE #list[0]", {}, {"list": ["y"]}),
        ("REMOVE #map.nested", {}, {"map": {}}),
        ("ADD n :v", {":v": Decimal("0.1")}, {"n": Decimal("10.1")}),
        ("ADD tags :v", {":v": {"c"}}, {"tags": {"a", "b", "c"}}),
        ("DELETE tags :v", {":v": {"a"}}, {"tags": {"b"}}),
        ("DELETE tags :v", {":v": {"a", "b"}}, {"tags": None}),
        ("SET n = n - :v", {":v": 11}, {"n": -1}),
        ("SET a = n, n = :v", {":v": 0}, {"a": 10, "n": 0}),
    ],
)
def test_update_expressions(table, expression, values, expect):
    before = {"pk": "a", "n": 10, "list": ["x", "y"], "map": {"nested": {}}, "tags": {"a", "b"}}
    table.put_item(Item=before)
    names = {name: attribute for name, attribute in {"#list": "list", "#map": "map"}.items() if name in expression}
    arguments = {"Key": {"pk": "a"}, "UpdateExpression": expression}
    if names:
        arguments["ExpressionAttributeNames"] = names
    if values:
        arguments["ExpressionAttributeValues"] = values
    table.update_item(**arguments)
    wanted = {name: value for name, value in {**before, **expect}.items() if value is not None}
    assert table.get_item(Key={"pk": "a"})["Item"] == wanted


def test_update_makes_an_item(table):
    table.update_item(Key={"pk": "new"}, UpdateExpression="ADD hits :one", ExpressionAttributeValues={":one": 1})
    assert table.get_item(Key={"pk": "new"})["Item"] == {"pk": "new", "hits": 1}


def test_delete(table):
    table.put_item(Item={"pk": "a", "n": 1})
    assert table.delete_item(Key={"pk": "a"}, ReturnValues="ALL_OLD")["Attributes"] == {"pk": "a", "n": 1}
    assert "Attributes" not in table.delete_item(Key={"pk": "a"}, ReturnValues="ALL_OLD")
    assert "Item" not in table.get_item(Key={"pk": "a"})


@pytest.mark.parametrize(
    ("condition", "holds"),
    [
        (Attr("pk").exists(), True),
        (Attr("pk").not_exists(), False),
        (Attr("n").eq(5), True),
        (Attr("n").ne(5), False),
        (Attr("n").between(1, 5), True),
        (Attr("n").gt(5) | Attr("text").begins_with("he"), True),
        (Attr("n").gte(5) & ~Attr("text").contains("ell"), False),
        (Attr("text").is_in(["bye", "hello"]), True),
        (Attr("text").size().eq(5), True),
        (Attr("text").attribute_type("N"), False),
        (Attr("tags").contains("b"), True),
        (Attr("map.x").lt(2), True),
        (Attr("list[1]").eq("two"), True),
        (Attr("absent").lt(1), False),
        (Attr("text").gt(1), False),
    ],
)
def test_conditions(table, condition, holds):
    item = {"pk": "a", "n": 5, "text": "hello", "tags": {"a", "b"}, "map": {"x": 1}, "list": ["one", "two"]}
    table.put_item(Item=item)
    client = table.meta.client
    if holds:
        table.put_item(Item={"pk": "a", "done": True}, ConditionExpression=condition)
        assert table.get_item(Key={"pk": "a"})["Item"] == {"pk": "a", "done": True}
        return
    with pytest.raises(client.exceptions.ConditionalCheckFailedException) as refused:
        table.put_item(
            Item={"pk": "a", "done": True},
            ConditionExpression=condition,
            ReturnValuesOnConditionCheckFailure="ALL_OLD",
        )
    assert refused.value.response["Error"]["Message"] == "The conditional request failed"
    assert refused.value.response["Item"]["text"] in ("hello", {"S": "hello"})
    assert table.get_item(Key={"pk": "a"})["Item"] == item


def test_consumed_capacity(table):
    capacity = table.put_item(Item={"pk": "a", "text": "x" * 2000}, ReturnConsumedCapacity="TOTAL")["ConsumedCapacity"]
    assert capacity == {"TableName": table.name, "CapacityUnits": 2.0}
    read = {"Key": {"pk": "a"}, "ReturnConsumedCapacity": "TOTAL"}
    assert table.get_item(**read)["ConsumedCapacity"]["CapacityUnits"] == 0.5
    assert table.get_item(**read, ConsistentRead=True)["ConsumedCapacity"]["CapacityUnits"] == 1.0


@pytest.mark.parametrize(
    ("operation", "arguments", "says"),
    [
        ("put_item", {"Item": {"other": "a"}}, "Missing the key pk in the item"),
        ("put_item", {"Item": {"pk": 1}}, "Type mismatch for key pk expected: S actual: N"),
        ("put_item", {"Item": {"pk": ""}}, "empty string value"),
        ("get_item", {"Key": {"pk": "a", "more": "b"}}, "The provided key element does not match the schema"),
        ("put_item", {"Item": {"pk": "a", "x": "y" * 420_000}}, "Item size has exceeded the maximum allowed size"),
        ("update_item", {"Key": {"pk": "a"}, "UpdateExpression": "SET"}, "Invalid UpdateExpression"),
        ("update_item", {"Key": {"pk": "a"}, "UpdateExpression": "SET a = :v"}, ":v"),
        ("put_item", {"Item": {"pk": "a"}, "ConditionExpression": "(" * 4096}, "Invalid ConditionExpression"),
    ],
)
def test_a_bad_request_is_refused(table, operation, arguments, says):
    with pytest.raises(table.meta.client.exceptions.ClientError) as refused:
        getattr(table, operation)(**arguments)
    error = refused.value.response["Error"]
    assert error["Code"] == "ValidationException"
    assert says in error["Message"]


def test_no_table(client):
    with pytest.raises(client.exceptions.ResourceNotFoundException) as refused:
        client.get_item(TableName="nothing-here", Key={"pk": {"S": "a"}})
    assert refused.value.response["Error"]["Message"] == "Requested resource not found"
