"""PutItem: every type, sizes, keys, index keys, conditions, what it returns."""

import pytest

from .wire import b, invalid, n, nested, parameters, s

EMPTY = "Supplied AttributeValue is empty, must contain exactly one of the supported datatypes"
SEVERAL = (
    "Supplied AttributeValue has more than one datatypes set, must contain exactly one of the supported datatypes"
)
NESTING = (
    "Nesting Levels have exceeded supported limits: Attributes in the item have nested levels beyond supported limit"
)
TOO_LARGE = "Item size has exceeded the maximum allowed size"
ITEM_BYTES_MAX = 400 * 1024


@pytest.mark.parametrize(
    "value",
    [
        s("text"),
        s(""),
        s("Grüße, 世界 \u0000 \U0001f30d"),
        n(5),
        b("AAEC/w=="),
        b(""),
        {"BOOL": True},
        {"BOOL": False},
        {"NULL": True},
        {"L": []},
        {"L": [s(""), n(1), {"NULL": True}, {"L": [{"M": {}}]}]},
        {"M": {}},
        {"M": {"a": s(""), "b": {"M": {"c": {"L": []}}}}},
        {"SS": ["", "a", "b"]},
        {"NS": ["-3", "1", "2.5"]},
        {"BS": ["", "AA==", "AQ=="]},
        nested(32),
    ],
    ids=lambda value: str(value)[:40],
)
def test_every_type_comes_back_as_it_was(wire, plain, pk, value):
    assert wire("PutItem", TableName=plain, Item={"pk": s(pk), "v": value}) == {}
    item = wire("GetItem", TableName=plain, Key={"pk": s(pk)}, ConsistentRead=True)["Item"]
    assert item == {"pk": s(pk), "v": value}


@pytest.mark.parametrize(
    ("value", "says"),
    [
        ({}, invalid(EMPTY)),
        (None, invalid(EMPTY)),
        ({"S": None}, invalid(EMPTY)),
        ({"X": "a"}, invalid(EMPTY)),
        ({"L": [{}]}, invalid(EMPTY)),
        ({"M": {"a": {}}}, invalid(EMPTY)),
        ({"S": "a", "N": "1"}, invalid(SEVERAL)),
        ({"S": "a", "SS": ["a"]}, invalid(SEVERAL)),
        # A bad number is told before there being too many types.
        ({"S": "a", "N": "x"}, invalid("The parameter cannot be converted to a numeric value: x")),
        ({"NULL": False}, parameters("Null attribute value types must have the value of true")),
        ({"SS": []}, parameters("An string set  may not be empty")),
        ({"NS": []}, parameters("An number set  may not be empty")),
        ({"BS": []}, parameters("Binary sets should not be empty")),
        ({"SS": ["a", "a"]}, parameters("Input collection [a, a] contains duplicates.")),
        ({"SS": ["b", "a", "b"]}, parameters("Input collection [b, a, b] contains duplicates.")),
        ({"NS": ["1", "1"]}, invalid("Input collection contains duplicates")),
        ({"NS": ["1", "1.0"]}, invalid("Input collection contains duplicates")),
        ({"BS": ["AA==", "AA=="]}, parameters("Input collection [AA==, AA==]of type BS contains duplicates.")),
        ({"SS": ["a", None]}, parameters("An string set  may not have a null string as a member")),
        (nested(33), invalid(NESTING)),
        (nested(60), invalid(NESTING)),
    ],
    ids=lambda value: str(value)[:40],
)
def test_a_value_that_makes_no_sense_is_refused(wire, plain, pk, value, says):
    assert wire.refusal("PutItem", TableName=plain, Item={"pk": s(pk), "v": value}) == says
    # So is it deep in an item.
    if value != nested(33):
        assert wire.refusal("PutItem", TableName=plain, Item={"pk": s(pk), "l": {"L": [value]}}) == says
    assert "Item" not in wire("GetItem", TableName=plain, Key={"pk": s(pk)})


@pytest.mark.parametrize(
    ("item", "says"),
    [
        ({}, parameters("Missing the key pk in the item")),
        ({"other": s("a")}, parameters("Missing the key pk in the item")),
        ({"pk": s("a")}, parameters("Missing the key sk in the item")),
        ({"pk": n(1), "sk": s("a")}, parameters("Type mismatch for key pk expected: S actual: N")),
        ({"pk": s("a"), "sk": {"BOOL": True}}, parameters("Type mismatch for key sk expected: S actual: BOOL")),
        ({"pk": s("a"), "sk": {"NULL": True}}, parameters("Type mismatch for key sk expected: S actual: NULL")),
        (
            {"pk": s(""), "sk": s("a")},
            invalid(
                "One or more parameter values are not valid. The AttributeValue for a key attribute cannot contain an "
                "empty string value. Key: pk"
            ),
        ),
        (
            {"pk": s("a"), "sk": s("")},
            invalid(
                "One or more parameter values are not valid. The AttributeValue for a key attribute cannot contain an "
                "empty string value. Key: sk"
            ),
        ),
        (
            {"pk": s("p" * 2049), "sk": s("a")},
            parameters("Size of hashkey has exceeded the maximum size limit of2048 bytes"),
        ),
        (
            {"pk": s("é" * 1025), "sk": s("a")},
            parameters("Size of hashkey has exceeded the maximum size limit of2048 bytes"),
        ),
        (
            {"pk": s("a"), "sk": s("s" * 1025)},
            parameters("Aggregated size of all range keys has exceeded the size limit of 1024 bytes"),
        ),
    ],
)
def test_a_wrong_key_is_refused(wire, sorted_table, item, says):
    assert wire.refusal("PutItem", TableName=sorted_table, Item=item) == says


def test_the_longest_keys(wire, sorted_table):
    item = {"pk": s("p" * 2048), "sk": s("s" * 1024)}
    wire("PutItem", TableName=sorted_table, Item=item)
    assert wire("GetItem", TableName=sorted_table, Key=item)["Item"] == item
    wire("DeleteItem", TableName=sorted_table, Key=item)


@pytest.mark.parametrize(
    ("attributes", "says"),
    [
        ({"gp": n(1)}, parameters("Type mismatch for Index Key gp Expected: S Actual: N IndexName: g-all")),
        ({"gs": s("a")}, parameters("Type mismatch for Index Key gs Expected: N Actual: S IndexName: g-all")),
        ({"ls": {"M": {}}}, parameters("Type mismatch for Index Key ls Expected: S Actual: M IndexName: l-all")),
        (
            {"gp": s("")},
            invalid(
                "One or more parameter values are not valid. A value specified for a secondary index key is not "
                "supported. The AttributeValue for a key attribute cannot contain an empty string value. IndexName: "
                "g-all, IndexKey: gp"
            ),
        ),
        (
            {"gb": b("")},
            invalid(
                "One or more parameter values are not valid. A value specified for a secondary index key is not "
                "supported. The AttributeValue for a key attribute cannot contain an empty binary value. IndexName: "
                "g-binary, IndexKey: gb"
            ),
        ),
        (
            {"gp": s("p" * 2049), "gs": n(1)},
            parameters(
                "Size limit exceeded for Index Key gp Actual Size: 2049 bytes Max Size: 2048 bytes IndexName: g-all"
            ),
        ),
        (
            {"ls": s("é" * 513)},
            parameters(
                "Size limit exceeded for Index Key ls Actual Size: 1026 bytes Max Size: 1024 bytes IndexName: l-all"
            ),
        ),
    ],
    ids=str,
)
def test_a_wrong_index_key_is_refused(wire, indexed, pk, attributes, says):
    key = {"pk": s(pk), "sk": s("a")}
    assert wire.refusal("PutItem", TableName=indexed, Item={**key, **attributes}) == says
    assert "Item" not in wire("GetItem", TableName=indexed, Key=key)


def test_the_largest_item(wire, plain, pk):
    # Names count, too: "pk" and the key, "v" and the text.
    filler = ITEM_BYTES_MAX - len("pk" + pk + "v")
    wire("PutItem", TableName=plain, Item={"pk": s(pk), "v": s("x" * filler)})
    refused = wire.refusal("PutItem", TableName=plain, Item={"pk": s(pk), "v": s("x" * (filler + 1))})
    assert refused == invalid(TOO_LARGE)
    # It is found before the table is looked for.
    assert wire.refusal("PutItem", TableName="no-such-table", Item={"v": s("x" * ITEM_BYTES_MAX)}) == invalid(TOO_LARGE)


@pytest.mark.parametrize(
    ("value", "size"),
    [
        (s("é"), 2),
        (b("AAAA"), 3),
        ({"BOOL": False}, 1),
        ({"NULL": True}, 1),
        (n(0), 1),
        (n(7), 2),
        (n(100), 2),
        (n("12.5"), 3),
        (n(-7), 3),
        (n("9" * 38), 20),
        ({"L": []}, 3),
        ({"L": [s("ab"), {"BOOL": True}]}, 3 + 1 + 2 + 1 + 1),
        ({"M": {}}, 3),
        ({"M": {"ab": s("c")}}, 3 + 1 + 2 + 1),
        ({"SS": ["a", "bc"]}, 3),
    ],
    ids=lambda value: str(value)[:30],
)
def test_the_size_formula(wire, plain, pk, value, size):
    """An item is filled up to the limit beside the value, then by one byte more."""
    filler = ITEM_BYTES_MAX - len("pk" + pk + "f" + "v") - size
    wire("PutItem", TableName=plain, Item={"pk": s(pk), "v": value, "f": s("x" * filler)})
    refused = wire.refusal("PutItem", TableName=plain, Item={"pk": s(pk), "v": value, "f": s("x" * (filler + 1))})
    assert refused == invalid(TOO_LARGE)


def test_an_item_and_its_local_index_entry_share_the_limit(wire, indexed, pk):
    key = {"pk": s(pk), "sk": s("a")}
    half = {"v": s("x" * (ITEM_BYTES_MAX // 2))}
    wire("PutItem", TableName=indexed, Item={**key, **half})
    # With `ls` it is in l-all, too, which copies everything.
    refused = wire.refusal("PutItem", TableName=indexed, Item={**key, **half, "ls": s("l")})
    assert refused == invalid(TOO_LARGE)


def test_attribute_names_have_at_most_65535_bytes(wire, plain, pk):
    longest = "a" * 65535
    wire("PutItem", TableName=plain, Item={"pk": s(pk), longest: n(1), "m": {"M": {longest: n(1)}}})
    says = "1 validation error detected: Attribute name is too large, must be less than 65536 bytes"
    for item in ({longest + "a": n(1)}, {"m": {"M": {longest + "a": n(1)}}}):
        assert wire.refusal("PutItem", TableName=plain, Item={"pk": s(pk), **item}) == invalid(says)


def test_what_it_returns(wire, plain, pk):
    key = {"pk": s(pk)}
    for returns in (None, "NONE", "ALL_OLD"):
        request = {"ReturnValues": returns} if returns else {}
        assert wire("PutItem", TableName=plain, Item=key, **request) == {}, returns
        wire("DeleteItem", TableName=plain, Key=key)
    wire("PutItem", TableName=plain, Item={**key, "v": n(1)})
    assert wire("PutItem", TableName=plain, Item={**key, "v": n(2)}) == {}
    assert wire("PutItem", TableName=plain, Item=key, ReturnValues="ALL_OLD") == {"Attributes": {**key, "v": n(2)}}


@pytest.mark.parametrize("returns", ["UPDATED_OLD", "ALL_NEW", "UPDATED_NEW"])
def test_it_returns_nothing_else(wire, plain, pk, returns):
    refused = wire.refusal("PutItem", TableName=plain, Item={"pk": s(pk)}, ReturnValues=returns)
    assert refused == invalid("ReturnValues can only be ALL_OLD or NONE")


def test_a_failed_condition(wire, plain, pk):
    item = {"pk": s(pk), "v": n(1)}
    wire("PutItem", TableName=plain, Item=item)
    put = dict(TableName=plain, Item={"pk": s(pk)}, ConditionExpression="attribute_not_exists(pk)")
    failed = {
        "__type": "com.amazonaws.dynamodb.v20120810#ConditionalCheckFailedException",
        "message": "The conditional request failed",
    }
    assert wire.answer("PutItem", put).json == failed
    assert wire.answer("PutItem", {**put, "ReturnValues": "ALL_OLD"}).json == failed
    assert wire.answer("PutItem", {**put, "ReturnValuesOnConditionCheckFailure": "NONE"}).json == failed
    with_item = wire.answer("PutItem", {**put, "ReturnValuesOnConditionCheckFailure": "ALL_OLD"}).json
    assert with_item == {**failed, "Item": item}
    assert wire("GetItem", TableName=plain, Key={"pk": s(pk)})["Item"] == item
    # Of an item that is not there there is nothing to return.
    absent = {"TableName": plain, "Item": {"pk": s(pk + "-")}, "ConditionExpression": "attribute_exists(pk)"}
    assert wire.answer("PutItem", {**absent, "ReturnValuesOnConditionCheckFailure": "ALL_OLD"}).json == failed


def test_no_table(wire):
    answer = wire.answer("PutItem", {"TableName": "no-such-table", "Item": {"pk": s("a")}})
    assert (answer.status, answer.json) == (
        400,
        {
            "__type": "com.amazonaws.dynamodb.v20120810#ResourceNotFoundException",
            "message": "Requested resource not found",
        },
    )


@pytest.mark.parametrize(
    ("request_", "says"),
    [
        (
            {},
            "2 validation errors detected: Value null at 'tableName' failed to satisfy constraint: Member must not be "
            "null; Value null at 'item' failed to satisfy constraint: Member must not be null",
        ),
        (
            {"TableName": "", "Item": {}},
            "1 validation error detected: Value '' at 'tableName' failed to satisfy constraint: Member must have length "
            "greater than or equal to 1",
        ),
        (
            {"TableName": "ab", "Item": {}},
            "1 validation error detected: Value 'ab' at 'tableName' failed to satisfy constraint: Member must have "
            "length greater than or equal to 3",
        ),
        (
            {"TableName": "a" * 256, "Item": {}},
            f"1 validation error detected: Value '{'a' * 256}' at 'tableName' failed to satisfy constraint: Member must "
            "have length less than or equal to 255",
        ),
        (
            {"TableName": "abc;", "Item": {}},
            "1 validation error detected: Value 'abc;' at 'tableName' failed to satisfy constraint: Member must satisfy "
            "regular expression pattern: [a-zA-Z0-9_.-]+",
        ),
        (
            {"TableName": "abc", "Item": {}, "ReturnValues": "all"},
            "1 validation error detected: Value 'all' at 'returnValues' failed to satisfy constraint: Member must "
            "satisfy enum value set: [ALL_NEW, UPDATED_OLD, ALL_OLD, NONE, UPDATED_NEW]",
        ),
        (
            {"TableName": "abc", "Item": {}, "ReturnConsumedCapacity": "all", "ReturnItemCollectionMetrics": "all"},
            "2 validation errors detected: Value 'all' at 'returnConsumedCapacity' failed to satisfy constraint: Member "
            "must satisfy enum value set: [INDEXES, TOTAL, NONE]; Value 'all' at 'returnItemCollectionMetrics' failed "
            "to satisfy constraint: Member must satisfy enum value set: [SIZE, NONE]",
        ),
        ({"TableName": "abc", "Item": {"a": {}}, "ReturnValues": "ALL_NEW"}, EMPTY),
        (
            {"TableName": "abc", "Item": {"a": {}}, "Expected": {}, "ConditionExpression": ""},
            "Can not use both expression and non-expression parameters in the same request: Non-expression parameters: "
            "{Expected} Expression parameters: {ConditionExpression}",
        ),
        (
            {"TableName": "abc", "Item": {"a": {}}, "ExpressionAttributeValues": {}},
            "ExpressionAttributeValues can only be specified when using expressions: ConditionExpression is null",
        ),
        (
            {"TableName": "abc", "Item": {"a": {}}, "ExpressionAttributeNames": {}},
            "ExpressionAttributeNames can only be specified when using expressions",
        ),
        (
            {
                "TableName": "abc",
                "Item": {"a": s("a")},
                "ConditionExpression": "(",
                "ExpressionAttributeValues": {":v": {}},
                "ReturnValues": "ALL_NEW",
            },
            "ReturnValues can only be ALL_OLD or NONE",
        ),
        (
            {
                "TableName": "abc",
                "Item": {"a": s("a")},
                "ConditionExpression": "(",
                "ExpressionAttributeValues": {":v": {}, "b": {}},
                "ExpressionAttributeNames": {},
            },
            "ExpressionAttributeNames must not be empty",
        ),
        (
            {
                "TableName": "abc",
                "Item": {"a": s("a")},
                "ConditionExpression": "(",
                "ExpressionAttributeValues": {":v": {}, "b": {}},
            },
            'ExpressionAttributeValues contains invalid key: Syntax error; key: "b"',
        ),
        (
            {
                "TableName": "abc",
                "Item": {"a": s("a")},
                "ConditionExpression": "(",
                "ExpressionAttributeValues": {":v": {}},
            },
            f"ExpressionAttributeValues contains invalid value: {EMPTY} for key :v",
        ),
        (
            {"TableName": "no-such-table", "Item": {"a": s("a")}, "ConditionExpression": "("},
            'Invalid ConditionExpression: Syntax error; token: "<EOF>", near: "("',
        ),
    ],
    ids=lambda value: str(value)[:60],
)
def test_the_order_in_which_errors_are_found(wire, request_, says):
    assert wire.refusal("PutItem", **request_) == invalid(says)


EMPTY_NAME = "Empty attribute name"


@pytest.mark.parametrize(
    ("operation", "request_of"),
    [
        ("PutItem", lambda table, key: {"TableName": table, "Item": {**key, "": s("a")}}),
        ("BatchWriteItem", lambda table, key: {"RequestItems": {table: [{"PutRequest": {"Item": {**key, "": s("a")}}}]}}),
        (
            "TransactWriteItems",
            lambda table, key: {"TransactItems": [{"Put": {"TableName": table, "Item": {**key, "": s("a")}}}]},
        ),
        ("UpdateItem", lambda table, key: {"TableName": table, "Key": key, "AttributeUpdates": {"": {"Value": s("a")}}}),
        (
            "UpdateItem",
            lambda table, key: {"TableName": table, "Key": key, "Expected": {"": {"Exists": False}}},
        ),
        ("GetItem", lambda table, key: {"TableName": table, "Key": key, "AttributesToGet": ["a", ""]}),
        ("Scan", lambda table, key: {"TableName": table, "AttributesToGet": [""]}),
        ("Scan", lambda table, key: {"TableName": table, "ScanFilter": {"": {"ComparisonOperator": "NULL"}}}),
        (
            "ExecuteStatement",
            lambda table, key: {"Statement": f"INSERT INTO \"{table}\" VALUE {{'pk': 'a', '': 1}}"},
        ),
    ],
)
def test_attributes_have_names(wire, plain, pk, operation, request_of):
    key = {"pk": s(pk)}
    assert wire.refusal(operation, **request_of(plain, key)) == parameters(EMPTY_NAME)
    assert "Item" not in wire("GetItem", TableName=plain, Key=key)


def test_an_entry_of_a_map_may_be_without_a_name(wire, plain, pk):
    item = {"pk": s(pk), "map": {"M": {"": s("a")}}}
    wire("PutItem", TableName=plain, Item=item)
    assert wire("GetItem", TableName=plain, Key={"pk": s(pk)})["Item"] == item
