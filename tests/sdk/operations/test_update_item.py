"""UpdateItem: SET, REMOVE, ADD, DELETE, what it returns, what it refuses. Wrong keys are with GetItem's, legacy updates
with the legacy parameters."""

import pytest

from .wire import b, invalid, n, nested, parameters, s

BEFORE = {
    "n": n(10),
    "text": s("t"),
    "list": {"L": [s("x"), s("y"), s("z")]},
    "map": {"M": {"nested": {"M": {"deep": n(1)}}, "twice": n(2)}},
    "tags": {"SS": ["a", "b"]},
    "numbers": {"NS": ["1", "2"]},
    "binaries": {"BS": ["AA==", "AQ=="]},
    "nothing": {"NULL": True},
}
NAMES = {"#list": "list", "#map": "map", "#text": "text", "#nothing": "nothing"}


def names_in(expression):
    used = {key: name for key, name in NAMES.items() if key in expression}
    return {"ExpressionAttributeNames": used} if used else {}


def values(**given):
    return {"ExpressionAttributeValues": {f":{key}": value for key, value in given.items()}} if given else {}


@pytest.mark.parametrize(
    ("expression", "given", "changed"),
    [
        # SET
        ("SET a = :v", {"v": n(1)}, {"a": n(1)}),
        ("set a = :v, b = :w", {"v": n(1), "w": s("")}, {"a": n(1), "b": s("")}),
        ("SET a = n", {}, {"a": n(10)}),
        ("SET a = #map.nested", {}, {"a": {"M": {"deep": n(1)}}}),
        ("SET a = n, n = :v", {"v": n(0)}, {"a": n(10), "n": n(0)}),
        ("SET n = n + :v", {"v": n(5)}, {"n": n(15)}),
        ("SET n = n - :v", {"v": n(15)}, {"n": n(-5)}),
        ("SET n = :v - n", {"v": n(15)}, {"n": n(5)}),
        ("SET n = n + n", {}, {"n": n(20)}),
        ("SET a = if_not_exists(a, :v)", {"v": n(7)}, {"a": n(7)}),
        ("SET n = if_not_exists(n, :v)", {"v": n(7)}, {}),
        ("SET #nothing = if_not_exists(#nothing, :v)", {"v": n(7)}, {}),
        ("SET a = if_not_exists(a, n)", {}, {"a": n(10)}),
        ("SET a = if_not_exists(a, :z) + :v", {"z": n(0), "v": n(7)}, {"a": n(7)}),
        ("SET n = if_not_exists(n, :z) + :v", {"z": n(0), "v": n(7)}, {"n": n(17)}),
        ("SET #list = list_append(#list, :v)", {"v": {"L": [n(1)]}}, {"list": {"L": [s("x"), s("y"), s("z"), n(1)]}}),
        ("SET #list = list_append(:v, #list)", {"v": {"L": [n(1)]}}, {"list": {"L": [n(1), s("x"), s("y"), s("z")]}}),
        ("SET a = list_append(:v, :v)", {"v": {"L": [n(1)]}}, {"a": {"L": [n(1), n(1)]}}),
        (
            "SET a = list_append(if_not_exists(a, :e), :v)",
            {"e": {"L": []}, "v": {"L": [n(1)]}},
            {"a": {"L": [n(1)]}},
        ),
        ("SET #list[1] = :v", {"v": n(1)}, {"list": {"L": [s("x"), n(1), s("z")]}}),
        ("SET #list[3] = :v", {"v": n(1)}, {"list": {"L": [s("x"), s("y"), s("z"), n(1)]}}),
        ("SET #list[99] = :v", {"v": n(1)}, {"list": {"L": [s("x"), s("y"), s("z"), n(1)]}}),
        (
            "SET #list[9] = :v, #list[5] = :w",
            {"v": n(1), "w": n(2)},
            {"list": {"L": [s("x"), s("y"), s("z"), n(2), n(1)]}},
        ),
        (
            "SET #map.nested.deep = :v, #map.fresh = :v",
            {"v": n(9)},
            {"map": {"M": {"nested": {"M": {"deep": n(9)}}, "twice": n(2), "fresh": n(9)}}},
        ),
        ("SET #map.nested = :v", {"v": n(9)}, {"map": {"M": {"nested": n(9), "twice": n(2)}}}),
        # REMOVE
        ("REMOVE n, tags", {}, {"n": None, "tags": None}),
        ("REMOVE absent", {}, {}),
        ("REMOVE #list[0]", {}, {"list": {"L": [s("y"), s("z")]}}),
        ("REMOVE #list[0], #list[1]", {}, {"list": {"L": [s("z")]}}),
        ("REMOVE #list[2], #list[0]", {}, {"list": {"L": [s("y")]}}),
        ("REMOVE #list[7]", {}, {}),
        ("REMOVE #map.nested.deep", {}, {"map": {"M": {"nested": {"M": {}}, "twice": n(2)}}}),
        ("REMOVE #map.absent", {}, {}),
        # ADD
        ("ADD n :v", {"v": n(-3)}, {"n": n(7)}),
        ("ADD a :v", {"v": n(3)}, {"a": n(3)}),
        ("ADD tags :v", {"v": {"SS": ["b", "c"]}}, {"tags": {"SS": ["a", "b", "c"]}}),
        ("ADD numbers :v", {"v": {"NS": ["2.0", "3"]}}, {"numbers": {"NS": ["1", "2", "3"]}}),
        ("ADD binaries :v", {"v": {"BS": ["Ag=="]}}, {"binaries": {"BS": ["AA==", "AQ==", "Ag=="]}}),
        ("ADD a :v", {"v": {"SS": ["c"]}}, {"a": {"SS": ["c"]}}),
        ("ADD #map.twice :v", {"v": n(3)}, {"map": {"M": {"nested": {"M": {"deep": n(1)}}, "twice": n(5)}}}),
        # DELETE
        ("DELETE tags :v", {"v": {"SS": ["a", "absent"]}}, {"tags": {"SS": ["b"]}}),
        ("DELETE numbers :v", {"v": {"NS": ["1.0"]}}, {"numbers": {"NS": ["2"]}}),
        ("DELETE binaries :v", {"v": {"BS": ["AA=="]}}, {"binaries": {"BS": ["AQ=="]}}),
        ("DELETE tags :v", {"v": {"SS": ["a", "b"]}}, {"tags": None}),
        ("DELETE absent :v", {"v": {"SS": ["a"]}}, {}),
        # All at once, in any order and case.
        (
            "delete tags :t add n :v remove #text set a = #text",
            {"t": {"SS": ["a"]}, "v": n(1)},
            {"tags": {"SS": ["b"]}, "n": n(11), "text": None, "a": s("t")},
        ),
        ("SET #list[0] = #list[1], #list[1] = #list[0]", {}, {"list": {"L": [s("y"), s("x"), s("z")]}}),
        ("SET #list[3] = :v REMOVE #list[0]", {"v": n(1)}, {"list": {"L": [s("y"), s("z"), n(1)]}}),
    ],
)
def test_update_expressions(wire, plain, pk, expression, given, changed):
    wire("PutItem", TableName=plain, Item={"pk": s(pk), **BEFORE})
    update = {"TableName": plain, "Key": {"pk": s(pk)}, "UpdateExpression": expression}
    assert wire("UpdateItem", **update, **names_in(expression), **values(**given)) == {}
    expect = {name: value for name, value in {**BEFORE, **changed}.items() if value}
    assert wire("GetItem", TableName=plain, Key={"pk": s(pk)})["Item"] == {"pk": s(pk), **expect}


MISSING = "The provided expression refers to an attribute that does not exist in the item"
PATH = "The document path provided in the update expression is invalid for update"
TYPE = "An operand in the update expression has an incorrect data type"


@pytest.mark.parametrize(
    ("expression", "given", "says"),
    [
        ("SET a = absent", {}, MISSING),
        ("SET a = absent + :v", {"v": n(1)}, MISSING),
        ("SET a = #list[7]", {}, MISSING),
        ("SET a = #map.absent", {}, MISSING),
        ("SET a = list_append(absent, :v)", {"v": {"L": []}}, MISSING),
        ("SET n = #text + :v", {"v": n(1)}, TYPE),
        ("SET n = :v - tags", {"v": n(1)}, TYPE),
        ("SET a = list_append(n, :v)", {"v": {"L": []}}, TYPE),
        ("ADD #text :v", {"v": n(1)}, TYPE),
        ("ADD tags :v", {"v": n(1)}, TYPE),
        ("ADD tags :v", {"v": {"NS": ["1"]}}, TYPE),
        ("ADD #nothing :v", {"v": n(1)}, TYPE),
        ("DELETE n :v", {"v": {"SS": ["a"]}}, TYPE),
        ("DELETE tags :v", {"v": {"NS": ["1"]}}, TYPE),
        ("SET absent.a = :v", {"v": n(1)}, PATH),
        ("SET n.a = :v", {"v": n(1)}, PATH),
        ("SET #list.a = :v", {"v": n(1)}, PATH),
        ("SET #map[0] = :v", {"v": n(1)}, PATH),
        ("SET absent[0] = :v", {"v": n(1)}, PATH),
        ("SET #map.absent.a = :v", {"v": n(1)}, PATH),
        ("REMOVE absent.a", {}, PATH),
        ("REMOVE #text[0]", {}, PATH),
        ("ADD absent.a :v", {"v": n(1)}, PATH),
    ],
)
def test_what_an_item_does_not_allow(wire, plain, pk, expression, given, says):
    before = {"pk": s(pk), **BEFORE}
    wire("PutItem", TableName=plain, Item=before)
    update = {"TableName": plain, "Key": {"pk": s(pk)}, "UpdateExpression": expression}
    assert wire.refusal("UpdateItem", **update, **names_in(expression), **values(**given)) == invalid(says)
    assert wire("GetItem", TableName=plain, Key={"pk": s(pk)})["Item"] == before


@pytest.mark.parametrize(
    ("expression", "given", "item"),
    [
        (None, {}, {}),
        ("SET a = :v", {"v": n(1)}, {"a": n(1)}),
        ("ADD a :v", {"v": n(1)}, {"a": n(1)}),
        ("SET a = :v REMOVE b", {"v": n(1)}, {"a": n(1)}),
        # What only takes away makes no item.
        ("REMOVE a", {}, None),
        ("DELETE a :v", {"v": {"SS": ["a"]}}, None),
        ("REMOVE a DELETE b :v", {"v": {"SS": ["a"]}}, None),
        # Wherever it is.
        ("REMOVE a.b", {}, None),
        ("REMOVE a[0].b, c", {}, None),
        ("DELETE a.b :v", {"v": {"SS": ["a"]}}, None),
    ],
)
def test_an_item_that_is_not_there(wire, plain, pk, expression, given, item):
    update = {"UpdateExpression": expression} if expression else {}
    answer = wire("UpdateItem", TableName=plain, Key={"pk": s(pk)}, **update, **values(**given), ReturnValues="ALL_OLD")
    assert answer == {}
    found = wire("GetItem", TableName=plain, Key={"pk": s(pk)}).get("Item")
    assert found == (None if item is None else {"pk": s(pk), **item})


@pytest.mark.parametrize(
    ("returns", "of_old", "of_none"),
    [
        (None, None, None),
        ("NONE", None, None),
        (
            "ALL_OLD",
            {"pk": ..., "kept": s("k"), "n": n(1), "gone": s("g"), "m": {"M": {"x": n(1), "y": n(2)}}, "l": {"L": [n(0), n(1)]}},
            None,
        ),
        (
            "UPDATED_OLD",
            {"n": n(1), "gone": s("g"), "m": {"M": {"x": n(1)}}, "l": {"L": [n(1)]}},
            None,
        ),
        (
            "ALL_NEW",
            {"pk": ..., "kept": s("k"), "n": n(6), "fresh": s("n"), "m": {"M": {"x": n(9), "y": n(2)}}, "l": {"L": [n(0), n(9)]}},
            {"pk": ..., "n": n(5), "fresh": s("n")},
        ),
        (
            "UPDATED_NEW",
            {"n": n(6), "fresh": s("n"), "m": {"M": {"x": n(9)}}, "l": {"L": [n(9)]}},
            {"n": n(5), "fresh": s("n")},
        ),
    ],
)
def test_what_it_returns(wire, plain, pk, returns, of_old, of_none):
    def attributes(expect):
        return {} if expect is None else {"Attributes": {k: s(pk) if v is ... else v for k, v in expect.items()}}

    old = {"kept": s("k"), "n": n(1), "gone": s("g"), "m": {"M": {"x": n(1), "y": n(2)}}, "l": {"L": [n(0), n(1)]}}
    wire("PutItem", TableName=plain, Item={"pk": s(pk), **old})
    update = {"TableName": plain, "Key": {"pk": s(pk)}, **({"ReturnValues": returns} if returns else {})}
    answer = wire(
        "UpdateItem",
        **update,
        UpdateExpression="SET fresh = :n, m.x = :x, l[1] = :x ADD n :five REMOVE gone",
        **values(n=s("n"), x=n(9), five=n(5)),
    )
    assert answer == attributes(of_old)
    wire("DeleteItem", TableName=plain, Key={"pk": s(pk)})
    expression = "SET fresh = :n ADD n :five REMOVE gone"
    answer = wire("UpdateItem", **update, UpdateExpression=expression, **values(n=s("n"), five=n(5)))
    assert answer == attributes(of_none)


def test_conditions(wire, plain, pk):
    update = {"TableName": plain, "Key": {"pk": s(pk)}, "UpdateExpression": "SET v = :v", **values(v=n(1))}
    failed = {
        "__type": "com.amazonaws.dynamodb.v20120810#ConditionalCheckFailedException",
        "message": "The conditional request failed",
    }
    old = {"ReturnValuesOnConditionCheckFailure": "ALL_OLD"}
    assert wire.answer("UpdateItem", {**update, "ConditionExpression": "attribute_exists(pk)", **old}).json == failed
    assert wire("GetItem", TableName=plain, Key={"pk": s(pk)}) == {}
    wire("UpdateItem", **update, ConditionExpression="attribute_not_exists(pk)")
    assert wire.answer("UpdateItem", {**update, "ConditionExpression": "v <> :v"}).json == failed
    item = {"pk": s(pk), "v": n(1)}
    assert wire.answer("UpdateItem", {**update, "ConditionExpression": "v <> :v", **old}).json == {**failed, "Item": item}
    # A condition alone is an update, too.
    wire("UpdateItem", TableName=plain, Key={"pk": s(pk)}, ConditionExpression="v = :v", **values(v=n(1)))


@pytest.mark.parametrize(
    ("expression", "given", "says"),
    [
        ("SET pk = :v", {"v": s("b")}, parameters("Cannot update attribute pk. This attribute is part of the key")),
        ("REMOVE sk", {}, parameters("Cannot update attribute sk. This attribute is part of the key")),
        ("SET x = :v, sk = :v", {"v": s("b")}, parameters("Cannot update attribute sk. This attribute is part of the key")),
        ("SET gp = :v", {"v": n(1)}, parameters("Type mismatch for Index Key gp Expected: S Actual: N IndexName: g-all")),
        ("ADD ls :v", {"v": n(1)}, parameters("Type mismatch for Index Key ls Expected: S Actual: N IndexName: l-all")),
        (
            "SET gp = :v",
            {"v": s("")},
            invalid(
                "One or more parameter values are not valid. The update expression attempted to update a secondary index "
                "key to a value that is not supported. The AttributeValue for a key attribute cannot contain an empty "
                "string value."
            ),
        ),
        (
            "SET gb = :v",
            {"v": b("")},
            invalid(
                "One or more parameter values are not valid. The update expression attempted to update a secondary index "
                "key to a value that is not supported. The AttributeValue for a key attribute cannot contain an empty "
                "binary value."
            ),
        ),
        (
            "SET ls = :v",
            {"v": s("s" * 1025)},
            invalid("The update expression attempted to update the secondary index key beyond allowed size limits"),
        ),
        (
            "SET gp = :v",
            {"v": s("p" * 2049)},
            invalid("The update expression attempted to update the secondary index key beyond allowed size limits"),
        ),
    ],
    ids=lambda value: str(value)[:60],
)
def test_keys_of_the_table_and_of_indexes(wire, indexed, pk, expression, given, says):
    key = {"pk": s(pk), "sk": s("a")}
    update = {"TableName": indexed, "Key": key, "UpdateExpression": expression}
    assert wire.refusal("UpdateItem", **update, **values(**given)) == says
    assert wire("GetItem", TableName=indexed, Key=key) == {}


@pytest.mark.parametrize("operand", ["amount", "if_not_exists(amount, :v)"])
def test_an_index_key_taken_from_the_item_has_a_type_that_only_the_item_tells(wire, indexed, pk, operand):
    key = {"pk": s(pk), "sk": s("a")}
    wire("PutItem", TableName=indexed, Item={**key, "amount": n(1)})
    update = {"TableName": indexed, "Key": key, "UpdateExpression": f"SET gp = {operand}"}
    given = values(v=s("a")) if ":v" in operand else {}
    assert wire.refusal("UpdateItem", **update, **given) == invalid(
        "The update expression attempted to update the secondary index key to unsupported type"
    )


def test_an_item_grows_up_to_the_limits(wire, plain, pk):
    # Of an update, 3 bytes count, and 19 of a writing action; of the item that it leaves, its key.
    filler = 400 * 1024 - len("v") - max(3 + 19, len("pk" + pk))
    update = {"TableName": plain, "Key": {"pk": s(pk)}, "UpdateExpression": "SET v = :v"}
    wire("UpdateItem", **update, **values(v=s("x" * filler)))
    refused = wire.refusal("UpdateItem", **update, **values(v=s("x" * (filler + 1))))
    assert refused == invalid("Item size to update has exceeded the maximum allowed size")
    nesting = (
        "Nesting Levels have exceeded supported limits: Attributes in the item have nested levels beyond supported limit"
    )
    wire("UpdateItem", **update, **values(v={"M": {"m": nested(31)}}))
    update["UpdateExpression"] = "SET v.m = :v"
    wire("UpdateItem", **update, **values(v=nested(31)))
    assert wire.refusal("UpdateItem", **update, **values(v=nested(32))) == invalid(nesting)


def test_attribute_names_have_at_most_65535_bytes(wire, plain, pk):
    says = invalid("1 validation error detected: Attribute name is too large, must be less than 65536 bytes")
    update = {"TableName": plain, "Key": {"pk": s(pk)}}
    longest = "a" * 65535
    wire("UpdateItem", **update, UpdateExpression="SET #n = :v", ExpressionAttributeNames={"#n": longest}, **values(v=n(1)))
    names = {"ExpressionAttributeNames": {"#n": longest + "a"}}
    assert wire.refusal("UpdateItem", **update, UpdateExpression="SET #n = :v", **names, **values(v=n(1))) == says
    deep = values(v={"M": {longest + "a": n(1)}})
    assert wire.refusal("UpdateItem", **update, UpdateExpression="SET v = :v", **deep) == says


@pytest.mark.parametrize(("before", "after", "units"), [(None, 10, 1.0), (3000, 10, 3.0), (10, 3000, 3.0), (None, None, 1.0)])
def test_capacity(wire, plain, pk, before, after, units):
    if before:
        wire("PutItem", TableName=plain, Item={"pk": s(pk), "v": s("x" * before)})
    update = {"UpdateExpression": "SET v = :v", **values(v=s("x" * after))} if after else {}
    answer = wire("UpdateItem", TableName=plain, Key={"pk": s(pk)}, **update, ReturnConsumedCapacity="INDEXES")
    assert answer == {
        "ConsumedCapacity": {"TableName": plain, "CapacityUnits": units, "Table": {"CapacityUnits": units}}
    }


@pytest.mark.parametrize(
    ("request_", "says"),
    [
        (
            {"Key": {"pk": {}}, "AttributeUpdates": {}, "Expected": {}, "UpdateExpression": "", "ConditionExpression": ""},
            "Can not use both expression and non-expression parameters in the same request: Non-expression parameters: "
            "{AttributeUpdates, Expected} Expression parameters: {UpdateExpression, ConditionExpression}",
        ),
        (
            {"Key": {"pk": {}}, "UpdateExpression": ""},
            "Supplied AttributeValue is empty, must contain exactly one of the supported datatypes",
        ),
        ({"Key": {"pk": n(1)}, "UpdateExpression": ""}, "Invalid UpdateExpression: The expression can not be empty;"),
        (
            {"Key": {"pk": n(1)}, "UpdateExpression": "SET a = :v", "ConditionExpression": "("},
            "Invalid UpdateExpression: An expression attribute value used in expression is not defined; attribute "
            "value: :v",
        ),
        (
            {"Key": {"pk": n(1)}, "UpdateExpression": "REMOVE a", "ConditionExpression": "("},
            'Invalid ConditionExpression: Syntax error; token: "<EOF>", near: "("',
        ),
        (
            {"Key": {"pk": n(1)}, "UpdateExpression": "SET a = :a", "ExpressionAttributeValues": {":a": n(1), ":b": n(1)}},
            "Value provided in ExpressionAttributeValues unused in expressions: keys: {:b}",
        ),
        (
            {"Key": {"pk": n(1)}, "ExpressionAttributeValues": {":b": n(1)}},
            "ExpressionAttributeValues can only be specified when using expressions: UpdateExpression and "
            "ConditionExpression are null",
        ),
        ({"Key": {"pk": n(1)}, "UpdateExpression": "REMOVE a"}, "The provided key element does not match the schema"),
        (
            {"Key": {"pk": s("a")}, "ReturnValues": "ALL"},
            "1 validation error detected: Value 'ALL' at 'returnValues' failed to satisfy constraint: Member must "
            "satisfy enum value set: [ALL_NEW, UPDATED_OLD, ALL_OLD, NONE, UPDATED_NEW]",
        ),
    ],
    ids=lambda value: str(value)[:60],
)
def test_the_order_in_which_errors_are_found(wire, plain, request_, says):
    assert wire.refusal("UpdateItem", TableName=plain, **request_) == invalid(says)


def test_what_an_update_writes_has_400_kb_with_its_actions(wire, plain):
    def update(size, expression="SET f = :v"):
        """With so many bytes of the item in all: the key has three, the attribute's name one."""
        value = {":v": s("x" * (size - 3 - 1))}
        request = dict(TableName=plain, Key={"pk": s("a")}, ExpressionAttributeValues=value)
        return wire.refusal("UpdateItem", **request, UpdateExpression=expression)

    too_large = invalid("Item size to update has exceeded the maximum allowed size")
    assert update(409_582) == too_large
    assert "Item" not in wire("GetItem", TableName=plain, Key={"pk": s("a")})
    wire(
        "UpdateItem",
        TableName=plain,
        Key={"pk": s("a")},
        UpdateExpression="SET f = :v",
        ExpressionAttributeValues={":v": s("x" * (409_581 - 4))},
    )
    # An action that clears something costs less.
    assert update(409_580, "SET f = :v REMOVE g") == too_large
    older = {"f": {"Action": "PUT", "Value": s("x" * (409_582 - 4))}}
    assert wire.refusal("UpdateItem", TableName=plain, Key={"pk": s("a")}, AttributeUpdates=older) == too_large
    # Not so in transactions and PartiQL, and not of what is put.
    full = s("x" * (409_600 - 4))
    put = {"TableName": plain, "Item": {"pk": s("a"), "f": full}}
    wire("PutItem", **put)
    change = {"TableName": plain, "Key": {"pk": s("a")}, "UpdateExpression": "SET f = :v"}
    wire("TransactWriteItems", TransactItems=[{"Update": {**change, "ExpressionAttributeValues": {":v": full}}}])
    wire("ExecuteStatement", Statement=f"UPDATE \"{plain}\" SET f = ? WHERE pk = 'a'", Parameters=[full])
    wire("DeleteItem", TableName=plain, Key={"pk": s("a")})


@pytest.mark.parametrize(
    ("expression", "says"),
    [
        ("SET a = :n + :n + :n", 'Syntax error; token: "+", near: ":n + :n"'),
        ("SET a = (:n - :n) + :n", 'Syntax error; token: "+", near: ") + :n"'),
        (
            "SET a = list_append(list_append(:l, :l), :l)",
            "The function is not allowed to be used this way in an expression; function: list_append",
        ),
    ],
)
def test_operations_have_two_operands(wire, plain, pk, expression, says):
    given = {":n": n(1)} if ":n" in expression else {":l": {"L": []}}
    update = {"TableName": plain, "Key": {"pk": s(pk)}, "ExpressionAttributeValues": given}
    refused = wire.refusal("UpdateItem", **update, UpdateExpression=expression)
    assert refused == invalid(f"Invalid UpdateExpression: {says}")
    wire("UpdateItem", **update, UpdateExpression="SET a = (:n - :n)" if ":n" in given else "SET a = list_append(:l, :l)")
