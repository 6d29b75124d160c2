"""The parameters that expressions replaced: Expected, AttributeUpdates, ConditionalOperator, KeyConditions, QueryFilter,
ScanFilter (AttributesToGet is with each reading operation), and that they do not mix with expressions."""

import pytest

from .wire import b, invalid, n, parameters, s

ITEM = {
    "n": n(5),
    "text": s("hello"),
    "binary": b("AAEC"),
    "tags": {"SS": ["a", "b"]},
    "list": {"L": [s("one"), n(2)]},
    "map": {"M": {"x": n(1)}},
    "nothing": {"NULL": True},
}


def comparison(operator, *values):
    return {"ComparisonOperator": operator, **({"AttributeValueList": list(values)} if values else {})}


COMPARISONS = [
    ("n", comparison("EQ", n("5.0")), True),
    ("n", comparison("EQ", s("5")), False),
    ("list", comparison("EQ", {"L": [s("one"), n(2)]}), True),
    ("map", comparison("EQ", {"M": {"x": n(1)}}), True),
    ("tags", comparison("EQ", {"SS": ["b", "a"]}), True),
    ("absent", comparison("EQ", n(5)), False),
    ("n", comparison("NE", n(6)), True),
    ("n", comparison("NE", n(5)), False),
    ("n", comparison("NE", s("5")), True),
    ("n", comparison("LT", n(6)), True),
    ("n", comparison("LT", n(5)), False),
    ("n", comparison("LE", n(5)), True),
    ("n", comparison("GT", n(-5)), True),
    ("n", comparison("GE", n("5.1")), False),
    ("n", comparison("LT", s("9")), False),
    ("text", comparison("GT", s("help")), False),
    ("text", comparison("GT", s("hell")), True),
    ("binary", comparison("LT", b("AAED")), True),
    ("absent", comparison("LT", n(5)), False),
    ("n", comparison("BETWEEN", n(5), n(6)), True),
    ("n", comparison("BETWEEN", n(6), n(7)), False),
    ("n", comparison("IN", n(1), n(5)), True),
    ("n", comparison("IN", n(1)), False),
    ("absent", comparison("IN", n(1)), False),
    ("text", comparison("BEGINS_WITH", s("he")), True),
    ("text", comparison("BEGINS_WITH", s("el")), False),
    ("binary", comparison("BEGINS_WITH", b("AAE=")), True),
    ("n", comparison("BEGINS_WITH", s("5")), False),
    ("text", comparison("CONTAINS", s("ell")), True),
    ("tags", comparison("CONTAINS", s("b")), True),
    ("tags", comparison("CONTAINS", s("c")), False),
    ("list", comparison("CONTAINS", n(2)), True),
    ("binary", comparison("CONTAINS", b("AQ==")), True),
    ("text", comparison("NOT_CONTAINS", s("x")), True),
    ("tags", comparison("NOT_CONTAINS", s("a")), False),
    ("n", comparison("NOT_NULL"), True),
    ("nothing", comparison("NOT_NULL"), True),
    ("absent", comparison("NOT_NULL"), False),
    ("absent", comparison("NULL"), True),
    ("nothing", comparison("NULL"), False),
]


@pytest.fixture(scope="module")
def item_key(wire, sorted_table):
    key = {"pk": s("legacy"), "sk": s("item")}
    wire("PutItem", TableName=sorted_table, Item={**key, **ITEM})
    return key


@pytest.mark.parametrize(("name", "condition", "holds"), COMPARISONS)
def test_comparisons(wire, sorted_table, item_key, name, condition, holds):
    """In Expected, in QueryFilter and in ScanFilter."""
    update = {"TableName": sorted_table, "Key": item_key, "Expected": {name: condition}}
    if holds:
        assert wire("UpdateItem", **update) == {}
    else:
        refused = wire.refusal("UpdateItem", **update)
        assert refused == "ConditionalCheckFailedException: The conditional request failed"
    query = {
        "TableName": sorted_table,
        "KeyConditions": {"pk": comparison("EQ", s("legacy"))},
        "QueryFilter": {name: condition},
    }
    page = wire("Query", **query)
    assert (page["Count"], page["ScannedCount"]) == (int(holds), 1)
    scan = {name: condition, "pk": comparison("EQ", s("legacy"))}
    assert wire("Scan", TableName=sorted_table, ScanFilter=scan)["Count"] == int(holds)


@pytest.mark.parametrize(
    ("condition", "says"),
    [
        (comparison("EQ"), "Invalid number of argument(s) for the EQ ComparisonOperator"),
        (comparison("EQ", n(1), n(2)), "Invalid number of argument(s) for the EQ ComparisonOperator"),
        (comparison("BETWEEN", n(1)), "Invalid number of argument(s) for the BETWEEN ComparisonOperator"),
        (comparison("NULL", n(1)), "Invalid number of argument(s) for the NULL ComparisonOperator"),
        (comparison("IN"), "Invalid number of argument(s) for the IN ComparisonOperator"),
        (comparison("LT", {"BOOL": True}), "ComparisonOperator LT is not valid for BOOL AttributeValue type"),
        (comparison("BEGINS_WITH", n(1)), "ComparisonOperator BEGINS_WITH is not valid for N AttributeValue type"),
        (comparison("CONTAINS", {"SS": ["a"]}), "ComparisonOperator CONTAINS is not valid for SS AttributeValue type"),
        (comparison("IN", {"L": []}), "ComparisonOperator IN is not valid for L AttributeValue type"),
        (comparison("IN", n(1), s("a")), "AttributeValues inside AttributeValueList must be of same type"),
        (comparison("BETWEEN", n(1), s("a")), "AttributeValues inside AttributeValueList must be of same type"),
    ],
    ids=str,
)
def test_a_wrong_comparison_is_refused(wire, sorted_table, condition, says):
    scan = {"TableName": sorted_table, "ScanFilter": {"a": condition}}
    assert wire.refusal("Scan", **scan) == parameters(says)


def test_a_wrong_range_is_refused(wire, sorted_table):
    scan = {"TableName": sorted_table, "ScanFilter": {"a": comparison("BETWEEN", n(2), n(1))}}
    says = "The BETWEEN condition was provided a range where the lower bound is bigger than the upper bound"
    assert wire.refusal("Scan", **scan) == invalid(says)


def test_an_unknown_comparison_is_refused(wire, sorted_table):
    operators = "IN, NULL, BETWEEN, LT, NOT_CONTAINS, EQ, GT, NOT_NULL, NE, LE, BEGINS_WITH, GE, CONTAINS"
    assert wire.refusal("Scan", TableName=sorted_table, ScanFilter={"a": comparison("=", n(1))}) == invalid(
        "1 validation error detected: Value '=' at 'scanFilter.a.member.comparisonOperator' failed to satisfy "
        f"constraint: Member must satisfy enum value set: [{operators}]"
    )


@pytest.mark.parametrize(
    ("expected", "says"),
    [
        ({"Exists": True}, "Value must be provided when Exists is true for Attribute: a"),
        ({}, "Value must be provided when Exists is null for Attribute: a"),
        ({"Exists": False, "Value": n(1)}, "Value cannot be used when Exists is false for Attribute: a"),
        (
            {"Exists": True, "ComparisonOperator": "NULL"},
            "Exists and ComparisonOperator cannot be used together for Attribute: a",
        ),
        (
            {"AttributeValueList": [n(1)]},
            "AttributeValueList can only be used with a ComparisonOperator for Attribute: a",
        ),
        (
            {"ComparisonOperator": "EQ", "Value": n(1), "AttributeValueList": [n(1)]},
            "Value and AttributeValueList cannot be used together for Attribute: a",
        ),
        (
            {"ComparisonOperator": "EQ"},
            "Value or AttributeValueList must be used with ComparisonOperator: EQ for Attribute: a",
        ),
    ],
    ids=str,
)
@pytest.mark.parametrize("operation", ["PutItem", "UpdateItem", "DeleteItem"])
def test_a_wrong_expectation_is_refused(wire, plain, operation, expected, says):
    what = "Item" if operation == "PutItem" else "Key"
    refused = wire.refusal(operation, TableName=plain, **{what: {"pk": s("a")}}, Expected={"a": expected})
    assert refused == parameters(says)


FAILED = "ConditionalCheckFailedException: The conditional request failed"


@pytest.mark.parametrize("operation", ["PutItem", "UpdateItem", "DeleteItem"])
@pytest.mark.parametrize(
    ("expected", "operator", "holds"),
    [
        ({"n": {"Value": n(1)}}, None, True),
        ({"n": {"Value": n(1), "Exists": True}}, None, True),
        ({"n": {"Value": n(2)}}, None, False),
        ({"n": {"Exists": False}}, None, False),
        ({"absent": {"Exists": False}}, None, True),
        ({"n": {"ComparisonOperator": "GT", "Value": n(0)}}, None, True),
        ({"n": {"Value": n(1)}, "absent": {"Exists": False}}, None, True),
        ({"n": {"Value": n(2)}, "absent": {"Exists": False}}, None, False),
        ({"n": {"Value": n(2)}, "absent": {"Exists": False}}, "AND", False),
        ({"n": {"Value": n(2)}, "absent": {"Exists": False}}, "OR", True),
    ],
)
def test_expectations(wire, plain, pk, operation, expected, operator, holds):
    item = {"pk": s(pk), "n": n(1)}
    wire("PutItem", TableName=plain, Item=item)
    what = {"Item": {"pk": s(pk)}} if operation == "PutItem" else {"Key": {"pk": s(pk)}}
    request = {"TableName": plain, **what, "Expected": expected}
    if operator:
        request["ConditionalOperator"] = operator
    if holds:
        assert wire(operation, **request) == {}
    else:
        assert wire.refusal(operation, **request) == FAILED
        assert wire("GetItem", TableName=plain, Key={"pk": s(pk)})["Item"] == item


@pytest.mark.parametrize(
    ("before", "updates", "after"),
    [
        ({}, {"a": {"Value": n(1)}}, {"a": n(1)}),
        ({"a": n(1)}, {"a": {"Action": "PUT", "Value": s("x")}, "b": {"Value": n(2)}}, {"a": s("x"), "b": n(2)}),
        ({"a": n(1)}, {"a": {"Action": "DELETE"}}, {}),
        ({"a": n(1)}, {"b": {"Action": "DELETE"}}, {"a": n(1)}),
        ({"a": {"SS": ["x", "y"]}}, {"a": {"Action": "DELETE", "Value": {"SS": ["x"]}}}, {"a": {"SS": ["y"]}}),
        ({"a": {"SS": ["x"]}}, {"a": {"Action": "DELETE", "Value": {"SS": ["x"]}}}, {}),
        ({"a": n(1)}, {"a": {"Action": "ADD", "Value": n("0.5")}}, {"a": n("1.5")}),
        ({}, {"a": {"Action": "ADD", "Value": n(-3)}}, {"a": n(-3)}),
        ({"a": {"SS": ["x"]}}, {"a": {"Action": "ADD", "Value": {"SS": ["y"]}}}, {"a": {"SS": ["x", "y"]}}),
        ({}, {"a": {"Action": "ADD", "Value": {"NS": ["1"]}}}, {"a": {"NS": ["1"]}}),
        ({"a": {"L": [n(1)]}}, {"a": {"Action": "ADD", "Value": {"L": [n(2)]}}}, {"a": {"L": [n(1), n(2)]}}),
        ({}, {"a": {"Action": "ADD", "Value": {"L": [n(2)]}}}, {"a": {"L": [n(2)]}}),
    ],
)
def test_attribute_updates(wire, plain, pk, before, updates, after):
    wire("PutItem", TableName=plain, Item={"pk": s(pk), **before})
    wire("UpdateItem", TableName=plain, Key={"pk": s(pk)}, AttributeUpdates=updates)
    assert wire("GetItem", TableName=plain, Key={"pk": s(pk)})["Item"] == {"pk": s(pk), **after}


def test_only_deleting_attributes_makes_no_item(wire, plain, pk):
    updates = {"a": {"Action": "DELETE"}, "b": {"Action": "DELETE", "Value": {"SS": ["x"]}}}
    wire("UpdateItem", TableName=plain, Key={"pk": s(pk)}, AttributeUpdates=updates)
    assert wire("GetItem", TableName=plain, Key={"pk": s(pk)}) == {}
    wire("UpdateItem", TableName=plain, Key={"pk": s(pk)}, AttributeUpdates={})
    assert wire("GetItem", TableName=plain, Key={"pk": s(pk)}) == {"Item": {"pk": s(pk)}}


@pytest.mark.parametrize(
    ("update", "says"),
    [
        ({"Action": "PUT"}, parameters("Only DELETE action is allowed when no attribute value is specified")),
        ({"Action": "ADD"}, parameters("Only DELETE action is allowed when no attribute value is specified")),
        ({}, parameters("Only DELETE action is allowed when no attribute value is specified")),
        ({"Action": "ADD", "Value": s("a")}, parameters("ADD action is not supported for the type STRING")),
        ({"Action": "ADD", "Value": {"M": {}}}, parameters("ADD action is not supported for the type MAP")),
        (
            {"Action": "DELETE", "Value": s("a")},
            parameters("DELETE action with value is not supported for the type STRING"),
        ),
        (
            {"Action": "DELETE", "Value": {"L": []}},
            parameters("DELETE action with value is not supported for the type LIST"),
        ),
        (
            {"Action": "SET", "Value": n(1)},
            invalid(
                "1 validation error detected: Value 'SET' at 'attributeUpdates.a.member.action' failed to satisfy "
                "constraint: Member must satisfy enum value set: [ADD, DELETE, PUT]"
            ),
        ),
        ({"Action": "ADD", "Value": {"NS": ["1"]}}, invalid("Type mismatch for attribute to update")),
        ({"Action": "DELETE", "Value": {"NS": ["1"]}}, invalid("Type mismatch for attribute to update")),
    ],
    ids=str,
)
def test_a_wrong_attribute_update_is_refused(wire, plain, pk, update, says):
    wire("PutItem", TableName=plain, Item={"pk": s(pk), "a": s("text")})
    request = {"TableName": plain, "Key": {"pk": s(pk)}, "AttributeUpdates": {"a": update}}
    assert wire.refusal("UpdateItem", **request) == says


def test_keys_are_not_updated(wire, plain, pk):
    request = {"TableName": plain, "Key": {"pk": s(pk)}, "AttributeUpdates": {"pk": {"Value": s("b")}}}
    says = parameters("Cannot update attribute pk. This attribute is part of the key")
    assert wire.refusal("UpdateItem", **request) == says


@pytest.mark.parametrize(
    ("conditions", "expect"),
    [
        ({"pk": comparison("EQ", s("kc"))}, [1, 2, 3, 10]),
        ({"pk": comparison("EQ", s("kc")), "sk": comparison("EQ", n(2))}, [2]),
        ({"pk": comparison("EQ", s("kc")), "sk": comparison("LT", n(2))}, [1]),
        ({"pk": comparison("EQ", s("kc")), "sk": comparison("LE", n(2))}, [1, 2]),
        ({"pk": comparison("EQ", s("kc")), "sk": comparison("GT", n(2))}, [3, 10]),
        ({"pk": comparison("EQ", s("kc")), "sk": comparison("GE", n(2))}, [2, 3, 10]),
        ({"pk": comparison("EQ", s("kc")), "sk": comparison("BETWEEN", n(2), n(3))}, [2, 3]),
    ],
)
def test_key_conditions(wire, numbered, conditions, expect):
    for number in (1, 2, 3, 10):
        wire("PutItem", TableName=numbered, Item={"pk": s("kc"), "sk": n(number)})
    page = wire("Query", TableName=numbered, KeyConditions=conditions)
    assert [int(item["sk"]["N"]) for item in page["Items"]] == expect


@pytest.mark.parametrize(
    ("conditions", "says"),
    [
        (
            None,
            invalid("Either the KeyConditions or KeyConditionExpression parameter must be specified in the request."),
        ),
        ({"sk": comparison("EQ", n(1))}, invalid("Query condition missed key schema element: pk")),
        (
            {"pk": comparison("EQ", s("a")), "other": comparison("EQ", n(1))},
            invalid("Query condition missed key schema element: sk"),
        ),
        (
            {"pk": comparison("EQ", s("a")), "sk": comparison("EQ", n(1)), "other": comparison("EQ", n(1))},
            invalid("Conditions can be of length 1 or 2 only"),
        ),
        ({"pk": comparison("LT", s("a"))}, invalid("Query key condition not supported")),
        (
            {"pk": comparison("NE", s("a"))},
            invalid("Attempted conditional constraint is not an indexable operation"),
        ),
        (
            {"pk": comparison("EQ", s("a")), "sk": comparison("IN", n(1))},
            invalid("Attempted conditional constraint is not an indexable operation"),
        ),
        ({"pk": comparison("EQ", n(1))}, parameters("Condition parameter type does not match schema type")),
        (
            {"pk": comparison("EQ", s("a")), "sk": comparison("EQ", s("a"))},
            parameters("Condition parameter type does not match schema type"),
        ),
        (
            {"pk": comparison("EQ", s(""))},
            invalid(
                "One or more parameter values are not valid. The AttributeValue for a key attribute cannot contain an "
                "empty string value. Key: pk"
            ),
        ),
    ],
    ids=str,
)
def test_a_wrong_key_condition_is_refused(wire, numbered, conditions, says):
    request = {"KeyConditions": conditions} if conditions else {}
    assert wire.refusal("Query", TableName=numbered, **request) == says


def test_a_query_filter_on_keys_is_refused(wire, numbered):
    query = {"TableName": numbered, "KeyConditions": {"pk": comparison("EQ", s("a"))}}
    for key, value in (("pk", s("a")), ("sk", n(1))):
        says = f"QueryFilter can only contain non-primary key attributes: Primary key attribute: {key}"
        assert wire.refusal("Query", **query, QueryFilter={key: comparison("EQ", value)}) == invalid(says)


ALONE = invalid("ConditionalOperator cannot be used without Filter or Expected")
FOR_ONE = invalid("ConditionalOperator can only be used when Filter or Expected has two or more elements")


def test_a_conditional_operator_joins_at_least_two(wire, numbered):
    one = {"a": comparison("EQ", n(1))}
    query = {"TableName": numbered, "KeyConditions": {"pk": comparison("EQ", s("a"))}, "ConditionalOperator": "OR"}
    assert wire.refusal("Query", **query) == ALONE
    assert wire.refusal("Query", **query, QueryFilter=one) == FOR_ONE
    scan = {"TableName": numbered, "ConditionalOperator": "AND"}
    assert wire.refusal("Scan", **scan) == ALONE
    assert wire.refusal("Scan", **scan, ScanFilter=one) == FOR_ONE
    update = {"TableName": numbered, "Key": {"pk": s("a"), "sk": n(1)}, "ConditionalOperator": "OR"}
    assert wire.refusal("UpdateItem", **update) == ALONE
    assert wire.refusal("UpdateItem", **update, Expected={"a": {"Exists": False}}) == FOR_ONE


@pytest.mark.parametrize(
    ("operation", "older", "expressions"),
    [
        ("PutItem", ["Expected"], ["ConditionExpression"]),
        ("PutItem", ["Expected", "ConditionalOperator"], ["ConditionExpression"]),
        ("DeleteItem", ["Expected"], ["ConditionExpression"]),
        ("UpdateItem", ["AttributeUpdates"], ["UpdateExpression"]),
        ("UpdateItem", ["AttributeUpdates"], ["ConditionExpression"]),
        ("UpdateItem", ["Expected"], ["UpdateExpression"]),
        ("UpdateItem", ["AttributeUpdates", "Expected"], ["UpdateExpression", "ConditionExpression"]),
        ("GetItem", ["AttributesToGet"], ["ProjectionExpression"]),
        ("Query", ["QueryFilter"], ["KeyConditionExpression"]),
        ("Query", ["KeyConditions"], ["KeyConditionExpression"]),
        ("Query", ["AttributesToGet"], ["FilterExpression"]),
        (
            "Query",
            ["AttributesToGet", "QueryFilter", "ConditionalOperator", "KeyConditions"],
            ["ProjectionExpression", "FilterExpression", "KeyConditionExpression"],
        ),
        ("Scan", ["ScanFilter"], ["FilterExpression"]),
        ("Scan", ["ScanFilter"], ["ProjectionExpression"]),
        (
            "Scan",
            ["AttributesToGet", "ScanFilter", "ConditionalOperator"],
            ["ProjectionExpression", "FilterExpression"],
        ),
    ],
)
def test_they_do_not_mix_with_expressions(wire, plain, operation, older, expressions):
    what = {"PutItem": {"Item": {}}, "Query": {}, "Scan": {}}.get(operation, {"Key": {}})
    values = {"ConditionalOperator": "AND", "AttributesToGet": ["a"]}
    given = {name: values.get(name, {}) for name in older}
    refused = wire.refusal(operation, TableName=plain, **what, **given, **{name: "x" for name in expressions})
    assert refused == invalid(
        "Can not use both expression and non-expression parameters in the same request: Non-expression parameters: "
        f"{{{', '.join(older)}}} Expression parameters: {{{', '.join(expressions)}}}"
    )


def test_key_conditions_go_with_a_filter_expression(wire, numbered):
    wire("PutItem", TableName=numbered, Item={"pk": s("both"), "sk": n(1), "v": n(1)})
    page = wire(
        "Query",
        TableName=numbered,
        KeyConditions={"pk": comparison("EQ", s("both"))},
        FilterExpression="v = :v",
        ProjectionExpression="v",
        ExpressionAttributeValues={":v": n(1)},
    )
    assert page["Items"] == [{"v": n(1)}]
