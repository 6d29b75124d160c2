"""Expressions: what conditions and filters mean, their limits, and every refusal with its text and rank. What updates do is
with UpdateItem, projections with GetItem, key conditions with Query."""

import pytest

from .wire import b, invalid, n, s

ITEM = {
    "n": n(5),
    "zero": n(0),
    "text": s("hello"),
    "empty": s(""),
    "é": s("Grüße"),
    "binary": b("AAECAw=="),
    "yes": {"BOOL": True},
    "nothing": {"NULL": True},
    "tags": {"SS": ["a", "b", "hello"]},
    "numbers": {"NS": ["1", "5"]},
    "binaries": {"BS": ["AA==", "AAECAw=="]},
    "list": {"L": [s("one"), n(2), {"L": [n(3)]}, {"M": {"x": n(4)}}]},
    "map": {"M": {"x": n(1), "y": {"M": {"z": s("deep")}}, "a.b": n(7)}},
    "twin": n(5),
}
NAMES = {
    "#list": "list",
    "#map": "map",
    "#text": "text",
    "#binary": "binary",
    "#zero": "zero",
    "#empty": "empty",
    "#e": "é",
    "#ab": "a.b",
    "#z": "z",
}


def names_in(*expressions):
    words = " ".join(expressions).replace("#", " #")
    for sign in "().[],=<>":
        words = words.replace(sign, " ")
    used = {key: name for key, name in NAMES.items() if key in words.split()}
    return {"ExpressionAttributeNames": used} if used else {}


def values(given):
    return {"ExpressionAttributeValues": {f":{key}": value for key, value in given.items()}} if given else {}


CONDITIONS = [
    # Comparisons: values of one type, by their own order.
    ("n = :v", {"v": n("5.0")}, True),
    ("n = :v", {"v": s("5")}, False),
    ("n <> :v", {"v": s("5")}, True),
    ("n <> :v", {"v": n(5)}, False),
    ("absent <> :v", {"v": n(5)}, True),
    ("absent = :v", {"v": n(5)}, False),
    ("n < :v", {"v": n(6)}, True),
    ("n <= :v", {"v": n(5)}, True),
    ("n > :v", {"v": n(5)}, False),
    ("n >= :v", {"v": n("-1E+100")}, True),
    (":v < n", {"v": n(4)}, True),
    ("n < :v", {"v": s("6")}, False),
    ("n >= :v", {"v": s("1")}, False),
    ("absent < :v", {"v": n(5)}, False),
    ("#text < :v", {"v": s("hellp")}, True),
    ("#text < :v", {"v": s("hell")}, False),
    ("#text > :v", {"v": s("HELLO")}, True),
    ("#e > :v", {"v": s("Grz")}, True),
    ("#binary > :v", {"v": b("AAEC")}, True),
    ("#binary < :v", {"v": b("/w==")}, True),
    ("#empty = :v", {"v": s("")}, True),
    ("#empty < :v", {"v": s("a")}, True),
    ("n = twin", {}, True),
    ("n < absent", {}, False),
    ("yes = :v", {"v": {"BOOL": True}}, True),
    ("nothing = :v", {"v": {"NULL": True}}, True),
    ("tags = :v", {"v": {"SS": ["hello", "b", "a"]}}, True),
    ("numbers = :v", {"v": {"NS": ["5.0", "1"]}}, True),
    ("#list = :v", {"v": ITEM["list"]}, True),
    ("#map = :v", {"v": {"M": {**ITEM["map"]["M"], "x": n("1.0")}}}, True),
    ("#map = :v", {"v": {"M": {"x": n(1)}}}, False),
    # Paths.
    ("#map.x = :v", {"v": n(1)}, True),
    ("#map.y.#z = :v", {"v": s("deep")}, True),
    ("#map.#ab = :v", {"v": n(7)}, True),
    ("#list[1] = :v", {"v": n(2)}, True),
    ("#list[2][0] = :v", {"v": n(3)}, True),
    ("#list[3].x = :v", {"v": n(4)}, True),
    ("#list[9] = :v", {"v": n(4)}, False),
    ("n.x = :v", {"v": n(5)}, False),
    # BETWEEN, IN.
    ("n BETWEEN :a AND :b", {"a": n(5), "b": n(6)}, True),
    ("n between :a and :b", {"a": n(6), "b": n(7)}, False),
    ("n BETWEEN #zero AND twin", {}, True),
    (":a BETWEEN #zero AND n", {"a": n(3)}, True),
    ("#text BETWEEN :a AND :b", {"a": n(1), "b": n(9)}, False),
    ("absent BETWEEN :a AND :b", {"a": n(1), "b": n(9)}, False),
    ("n IN (:a, :b)", {"a": s("5"), "b": n(5)}, True),
    ("n in (:a)", {"a": n(6)}, False),
    ("n IN (#zero, twin)", {}, True),
    ("absent IN (:a)", {"a": n(6)}, False),
    ("#map IN (:a)", {"a": ITEM["map"]}, True),
    # Functions.
    ("attribute_exists(n)", {}, True),
    ("attribute_exists(nothing)", {}, True),
    ("attribute_exists(#map.y.#z)", {}, True),
    ("attribute_exists(#map.absent)", {}, False),
    ("attribute_exists(#list[3])", {}, True),
    ("attribute_exists(#list[4])", {}, False),
    ("attribute_not_exists(absent)", {}, True),
    ("attribute_not_exists(n)", {}, False),
    ("attribute_not_exists(absent.x)", {}, True),
    *((f"attribute_type({name}, :t)", {"t": s(kind)}, True) for name, kind in [("n", "N"), ("#text", "S"), ("#binary", "B"), ("yes", "BOOL"), ("nothing", "NULL"), ("tags", "SS"), ("numbers", "NS"), ("binaries", "BS"), ("#list", "L"), ("#map", "M")]),
    ("attribute_type(n, :t)", {"t": s("S")}, False),
    ("attribute_type(absent, :t)", {"t": s("S")}, False),
    ("attribute_type(:v, :t)", {"v": n(1), "t": s("N")}, True),
    ("attribute_type(:v, :t)", {"v": n(1), "t": s("S")}, False),
    ("begins_with(#text, :v)", {"v": s("hel")}, True),
    ("begins_with(#text, :v)", {"v": s("")}, True),
    ("begins_with(#text, :v)", {"v": s("ello")}, False),
    ("begins_with(#binary, :v)", {"v": b("AAE=")}, True),
    ("begins_with(#text, :v)", {"v": b("aGVs")}, False),
    ("begins_with(n, :v)", {"v": s("5")}, False),
    ("begins_with(absent, :v)", {"v": s("5")}, False),
    ("contains(#text, :v)", {"v": s("ell")}, True),
    ("contains(#text, :v)", {"v": s("x")}, False),
    ("contains(#binary, :v)", {"v": b("AQI=")}, True),
    ("contains(tags, :v)", {"v": s("b")}, True),
    ("contains(tags, :v)", {"v": s("ell")}, False),
    ("contains(numbers, :v)", {"v": n("5.00")}, True),
    ("contains(numbers, n)", {}, True),
    ("contains(tags, #text)", {}, True),
    ("contains(binaries, :v)", {"v": b("AA==")}, True),
    ("contains(#list, :v)", {"v": n(2)}, True),
    ("contains(#list, :v)", {"v": {"M": {"x": n(4)}}}, True),
    ("contains(#list, :v)", {"v": n(3)}, False),
    ("contains(n, :v)", {"v": n(5)}, False),
    ("contains(#map, :v)", {"v": s("x")}, False),
    ("contains(absent, :v)", {"v": s("x")}, False),
    ("size(#text) = :v", {"v": n(5)}, True),
    ("size(#e) = :v", {"v": n(5)}, True),
    # In UTF-16 code units, of which the clef has two.
    ("size(:s) = :v", {"s": s("é\U0001d11e"), "v": n(3)}, True),
    ("size(#empty) = :v", {"v": n(0)}, True),
    ("size(#binary) = :v", {"v": n(4)}, True),
    ("size(tags) > :v", {"v": n(2)}, True),
    ("size(#list) BETWEEN :v AND :v", {"v": n(4)}, True),
    ("size(#map) IN (:v)", {"v": n(3)}, True),
    ("size(#map.y) = :v", {"v": n(1)}, True),
    ("size(n) = :v", {"v": n(1)}, False),
    ("size(absent) < :v", {"v": n(1)}, False),
    ("size(#text) = n", {}, True),
    ("size(#text) = size(#text)", {}, True),
    ("contains(numbers, size(#text))", {}, True),
    # Logic: NOT before AND before OR; case does not count.
    ("NOT n = :v", {"v": n(6)}, True),
    ("NOT NOT n = :v", {"v": n(5)}, True),
    ("n = :a AND n = :b", {"a": n(5), "b": n(6)}, False),
    ("n = :a OR n = :b", {"a": n(5), "b": n(6)}, True),
    ("n = :a OR n = :b AND n = :b", {"a": n(5), "b": n(6)}, True),
    ("(n = :a OR n = :b) AND n = :b", {"a": n(5), "b": n(6)}, False),
    ("NOT n = :b AND n = :a", {"a": n(5), "b": n(6)}, True),
    ("NOT (n = :b AND n = :a)", {"a": n(5), "b": n(6)}, True),
    ("not (n = :b or (n = :a and attribute_exists(absent)))", {"a": n(5), "b": n(6)}, True),
    ("NOT absent < :v", {"v": n(5)}, True),
    ("(n) = (:v)", {"v": n(5)}, True),
    ("n=:v AND#text=:w", {"v": n(5), "w": s("hello")}, True),
]


@pytest.fixture(scope="module")
def key(wire, sorted_table):
    key = {"pk": s("expressions"), "sk": s("item")}
    wire("PutItem", TableName=sorted_table, Item={**key, **ITEM})
    return key


@pytest.mark.parametrize(("expression", "given", "holds"), CONDITIONS)
def test_conditions_and_filters(wire, sorted_table, key, expression, given, holds):
    """The same as a ConditionExpression and as a FilterExpression of Query and of Scan."""
    names = names_in(expression)
    check = {"TableName": sorted_table, "Key": key, "ConditionExpression": expression, **names, **values(given)}
    if holds:
        assert wire("UpdateItem", **check) == {}
    else:
        assert wire.refusal("UpdateItem", **check) == "ConditionalCheckFailedException: The conditional request failed"
    query = {"TableName": sorted_table, "FilterExpression": expression, **names}
    page = wire("Query", **query, KeyConditionExpression="pk = :p", **values({**given, "p": key["pk"]}))
    assert (page["Count"], page["ScannedCount"]) == (int(holds), 1)


def test_filters_of_scans(wire, shared_table):
    table = shared_table("pk")
    wire("PutItem", TableName=table, Item={"pk": s("a"), **ITEM})
    for expression, given, holds in CONDITIONS:
        page = wire("Scan", TableName=table, FilterExpression=expression, **names_in(expression), **values(given))
        assert page["Count"] == int(holds), expression


def test_a_condition_on_an_item_that_is_not_there(wire, sorted_table, pk):
    put = {"TableName": sorted_table, "Item": {"pk": s(pk), "sk": s("a")}}
    for expression in ("attribute_exists(pk)", "a = b", "size(pk) > size(sk)", "NOT attribute_not_exists(pk)"):
        refused = wire.refusal("PutItem", **put, ConditionExpression=expression)
        assert refused == "ConditionalCheckFailedException: The conditional request failed", expression
    wire("PutItem", **put, ConditionExpression="attribute_not_exists(pk) AND a <> b")


def type_of(operator, kind):
    return f"Incorrect operand type for operator or function; operator or function: {operator}, operand type: {kind}"


V = {"v": n(1)}
CONDITION_REFUSALS = [
    ("", {}, "The expression can not be empty;"),
    # Syntax.
    (" ", {}, 'Syntax error; token: "<EOF>", near: ""'),
    ("a", {}, 'Syntax error; token: "<EOF>", near: "a"'),
    ("a =", {}, 'Syntax error; token: "<EOF>", near: "="'),
    ("a = b c", {}, 'Syntax error; token: "c", near: "b c"'),
    ("a == b", {}, 'Syntax error; token: "=", near: "== b"'),
    ("a = 5", {}, 'Syntax error; token: "5", near: "= 5"'),
    ("a = 'b'", {}, "Syntax error; token: \"'\", near: \"= 'b\""),
    ("a = $", {}, 'Syntax error; token: "$", near: "= $"'),
    ("(a = b", {}, 'Syntax error; token: "<EOF>", near: "b"'),
    ("a = b)", {}, 'Syntax error; token: ")", near: "b)"'),
    ("a IN b", {}, 'Syntax error; token: "b", near: "IN b"'),
    ("a IN ()", {}, 'Syntax error; token: ")", near: "()"'),
    ("a BETWEEN b", {}, 'Syntax error; token: "<EOF>", near: "b"'),
    ("a BETWEEN b OR c", {}, 'Syntax error; token: "OR", near: "b OR c"'),
    ("AND a = b", {}, 'Syntax error; token: "AND", near: "AND a"'),
    ("a = b AND", {}, 'Syntax error; token: "<EOF>", near: "AND"'),
    ("a. = b", {}, 'Syntax error; token: "=", near: ". = b"'),
    ("a[b] = c", {}, 'Syntax error; token: "b", near: "[b]"'),
    ("a[-1] = c", {}, 'Syntax error; token: "-", near: "[-1"'),
    ("a[1.5] = c", {}, 'Syntax error; token: ".", near: "1.5"'),
    ("_a = b", {}, 'Syntax error; token: "_", near: "_a"'),
    ("a + b = c", {}, 'Syntax error; token: "+", near: "a + b"'),
    # Parentheses.
    ("((a = b))", {}, "The expression has redundant parentheses;"),
    ("((a)) = b", {}, "The expression has redundant parentheses;"),
    ("a = ((b))", {}, "The expression has redundant parentheses;"),
    # Functions.
    ("exists(a)", {}, "Invalid function name; function: exists"),
    ("SIZE(a) = b", {}, "Invalid function name; function: SIZE"),
    ("Attribute_Exists(a)", {}, "Invalid function name; function: Attribute_Exists"),
    (
        "if_not_exists(a, :v) = b",
        V,
        "The function is not allowed in a condition expression; function: if_not_exists",
    ),
    (
        "list_append(a, :v) = b",
        V,
        "The function is not allowed in a condition expression; function: list_append",
    ),
    ("size(a)", {}, "The function is not allowed to be used this way in an expression; function: size"),
    (
        "attribute_exists(a) = b",
        {},
        "The function is not allowed to be used this way in an expression; function: attribute_exists",
    ),
    (
        "a = contains(b, c)",
        {},
        "The function is not allowed to be used this way in an expression; function: contains",
    ),
    (
        "attribute_exists(a, b)",
        {},
        "Incorrect number of operands for operator or function; operator or function: attribute_exists, number of "
        "operands: 2",
    ),
    (
        "begins_with(a)",
        {},
        "Incorrect number of operands for operator or function; operator or function: begins_with, number of operands: 1",
    ),
    (
        "size(a, b) = c",
        {},
        "Incorrect number of operands for operator or function; operator or function: size, number of operands: 2",
    ),
    (
        "attribute_exists(:v)",
        V,
        "Operator or function requires a document path; operator or function: attribute_exists",
    ),
    # Names and values.
    ("name = b", {}, "Attribute name is a reserved keyword; reserved keyword: name"),
    ("a.Status = b", {}, "Attribute name is a reserved keyword; reserved keyword: Status"),
    (
        "#a = b",
        {},
        "An expression attribute name used in the document path is not defined; attribute name: #a",
    ),
    ("a = :a", {}, "An expression attribute value used in expression is not defined; attribute value: :a"),
    ("a[99999999999] = b", {}, "List index is not within the allowable range; index: [99999999999]"),
    # Operands.
    ("a < :v", {"v": {"BOOL": True}}, type_of("<", "BOOL")),
    (":v >= a", {"v": {"M": {}}}, type_of(">=", "M")),
    ("a BETWEEN :v AND b", {"v": {"NULL": True}}, type_of("BETWEEN", "NULL")),
    ("begins_with(a, :v)", {"v": n(1)}, type_of("begins_with", "N")),
    ("begins_with(:v, a)", {"v": {"SS": ["a"]}}, type_of("begins_with", "SS")),
    ("contains(:v, a)", {"v": n(1)}, type_of("contains", "N")),
    ("size(:v) = a", {"v": n(1)}, type_of("size", "N")),
    ("attribute_type(a, :v)", {"v": n(1)}, type_of("attribute_type", "N")),
    (
        "attribute_type(a, :v)",
        {"v": s("STRING")},
        "Invalid attribute type name found; type: STRING, valid types: {B,NULL,SS,BOOL,L,BS,N,NS,S,M}",
    ),
    (
        "a = a",
        {},
        "The first operand must be distinct from the remaining operands for this operator or function; operator: =, "
        "first operand: [a]",
    ),
    (
        "a.b[0] IN (:v, a.b[0])",
        V,
        "The first operand must be distinct from the remaining operands for this operator or function; operator: IN, "
        "first operand: [a, b, [0]]",
    ),
    (
        "a BETWEEN :v AND :w",
        {"v": n(2), "w": n(1)},
        "The BETWEEN operator requires upper bound to be greater than or equal to lower bound; lower bound operand: "
        "AttributeValue: {N:2}, upper bound operand: AttributeValue: {N:1}",
    ),
    (
        "a BETWEEN :v AND :w",
        {"v": n(1), "w": s("2")},
        "The BETWEEN operator requires same data type for lower and upper bounds; lower bound operand: AttributeValue: "
        "{N:1}, upper bound operand: AttributeValue: {S:2}",
    ),
]


@pytest.mark.parametrize(("expression", "given", "says"), CONDITION_REFUSALS)
def test_a_wrong_condition_is_refused(wire, sorted_table, key, expression, given, says):
    check = {"TableName": sorted_table, "Key": key, "ConditionExpression": expression, **values(given)}
    assert wire.refusal("UpdateItem", **check) == invalid(f"Invalid ConditionExpression: {says}")
    filtered = {"TableName": sorted_table, "FilterExpression": expression, **values(given)}
    says = says.replace("a condition expression", "a filter expression")
    assert wire.refusal("Scan", **filtered) == invalid(f"Invalid FilterExpression: {says}")


@pytest.mark.parametrize(
    ("expression", "given", "says"),
    [
        ("", {}, "The expression can not be empty;"),
        ("SET", {}, 'Syntax error; token: "<EOF>", near: "SET"'),
        ("a = :v", V, 'Syntax error; token: "a", near: "a ="'),
        ("SET a", {}, 'Syntax error; token: "<EOF>", near: "a"'),
        ("SET a = :v,", V, 'Syntax error; token: "<EOF>", near: ","'),
        ("SET a = :v b = :v", V, 'Syntax error; token: "b", near: ":v b ="'),
        ("SET a = :v * :v", V, 'Syntax error; token: "*", near: ":v * :v"'),
        ("SET :v = a", V, 'Syntax error; token: ":v", near: "SET :v ="'),
        ("REMOVE a = :v", V, 'Syntax error; token: "=", near: "a = :v"'),
        ("ADD a b", {}, 'Syntax error; token: "b", near: "a b"'),
        ("DELETE a", {}, 'Syntax error; token: "<EOF>", near: "a"'),
        ("SET a = :v AND b = :v", V, 'Syntax error; token: "AND", near: ":v AND b"'),
        (
            "SET a = :v SET b = :v",
            V,
            'The "SET" section can only be used once in an update expression;',
        ),
        (
            "REMOVE a ADD b :v REMOVE c",
            V,
            'The "REMOVE" section can only be used once in an update expression;',
        ),
        ("SET a = ((b + :v))", V, "The expression has redundant parentheses;"),
        ("SET a = append(a, :v)", V, "Invalid function name; function: append"),
        (
            "SET a = attribute_exists(b)",
            {},
            "The function is not allowed in an update expression; function: attribute_exists",
        ),
        ("SET a = size(b)", {}, "The function is not allowed in an update expression; function: size"),
        (
            "SET a = list_append(b)",
            {},
            "Incorrect number of operands for operator or function; operator or function: list_append, number of "
            "operands: 1",
        ),
        (
            "SET a = if_not_exists(:v, b)",
            V,
            "Operator or function requires a document path; operator or function: if_not_exists",
        ),
        ("SET a = list_append(b, :v)", V, type_of("list_append", "N")),
        ("SET a = b + :v", {"v": s("1")}, type_of("+", "S")),
        ("SET a = :v - b", {"v": {"L": []}}, type_of("-", "L")),
        (
            "ADD a :v",
            {"v": s("1")},
            "Incorrect operand type for operator or function; operator: ADD, operand type: STRING, typeSet: "
            "ALLOWED_FOR_ADD_OPERAND",
        ),
        (
            "DELETE a :v",
            {"v": n(1)},
            "Incorrect operand type for operator or function; operator: DELETE, operand type: NUMBER, typeSet: "
            "ALLOWED_FOR_DELETE_OPERAND",
        ),
        (
            "DELETE a :v",
            {"v": {"L": []}},
            "Incorrect operand type for operator or function; operator: DELETE, operand type: LIST, typeSet: "
            "ALLOWED_FOR_DELETE_OPERAND",
        ),
        ("SET name = :v", V, "Attribute name is a reserved keyword; reserved keyword: name"),
        (
            "SET a = :v, #b = :v",
            V,
            "An expression attribute name used in the document path is not defined; attribute name: #b",
        ),
        (
            "SET a = :v, b = :w",
            V,
            "An expression attribute value used in expression is not defined; attribute value: :w",
        ),
        (
            "SET a = :v, b = :v, a = :v",
            V,
            "Two document paths overlap with each other; must remove or rewrite one of these paths; path one: [a], path "
            "two: [a]",
        ),
        (
            "SET a.b = :v REMOVE a",
            V,
            "Two document paths overlap with each other; must remove or rewrite one of these paths; path one: [a, b], "
            "path two: [a]",
        ),
        (
            "SET a.b = :v REMOVE a[0]",
            V,
            "Two document paths conflict with each other; must remove or rewrite one of these paths; path one: [a, b], "
            "path two: [a, [0]]",
        ),
    ],
)
def test_a_wrong_update_is_refused(wire, sorted_table, key, expression, given, says):
    update = {"TableName": sorted_table, "Key": key, "UpdateExpression": expression, **values(given)}
    assert wire.refusal("UpdateItem", **update) == invalid(f"Invalid UpdateExpression: {says}")


@pytest.mark.parametrize(
    ("expression", "says"),
    [
        # A syntax error anywhere comes before all else.
        ("name = :a AND exists(#b) AND ((a = a)) AND", 'Syntax error; token: "<EOF>", near: "AND"'),
        ("name = :a AND exists(#b) AND ((a = a))", "The expression has redundant parentheses;"),
        ("name = :a AND #b = a AND a = a AND exists(a)", "Invalid function name; function: exists"),
        ("#b = a AND :a = a AND a = a AND name = a", "Attribute name is a reserved keyword; reserved keyword: name"),
        (
            "a = a AND :a = a AND #b = a",
            "An expression attribute name used in the document path is not defined; attribute name: #b",
        ),
        (
            "a = a AND begins_with(a) AND a = :a",
            "An expression attribute value used in expression is not defined; attribute value: :a",
        ),
        (
            "a = a AND a < :v AND begins_with(a)",
            "Incorrect number of operands for operator or function; operator or function: begins_with, number of "
            "operands: 1",
        ),
        ("a = a AND a < :v", type_of("<", "BOOL")),
    ],
)
def test_the_rank_of_several_faults(wire, sorted_table, key, expression, says):
    check = {"TableName": sorted_table, "Key": key, "ConditionExpression": expression}
    check |= {"ExpressionAttributeValues": {":v": {"BOOL": True}}}
    assert wire.refusal("UpdateItem", **check) == invalid(f"Invalid ConditionExpression: {says}")


def test_expressions_have_at_most_4096_bytes(wire, sorted_table, key):
    longest = "attribute_exists(" + "a" * (4096 - 18) + ")"
    table = {"TableName": sorted_table}
    values = {"ExpressionAttributeValues": {":p": key["pk"]}}
    says = "Expression size has exceeded the maximum allowed size; expression size:"
    assert wire.refusal("UpdateItem", **table, Key=key, ConditionExpression=longest).startswith("ConditionalCheckFailed")
    assert wire.refusal("UpdateItem", **table, Key=key, ConditionExpression=longest + " ") == invalid(
        f"Invalid ConditionExpression: {says} 4097"
    )
    assert wire("Scan", **table, FilterExpression=longest)["Count"] == 0
    assert wire.refusal("Scan", **table, FilterExpression=longest + " ") == invalid(
        f"Invalid FilterExpression: {says} 4097"
    )
    for operation, parameter, start, more in (
        ("UpdateItem", "UpdateExpression", "REMOVE ", {"Key": key}),
        ("GetItem", "ProjectionExpression", "", {"Key": key}),
        ("Query", "KeyConditionExpression", "pk = :p AND ", values),
    ):
        expression = start + "a" * (4097 - len(start))
        refused = wire.refusal(operation, **table, **more, **{parameter: expression})
        assert refused == invalid(f"Invalid {parameter}: {says} 4097"), operation
    # Bytes, not characters; and as sent, not as substituted.
    assert wire.refusal("GetItem", **table, Key=key, ProjectionExpression="é" * 2049) == invalid(
        f"Invalid ProjectionExpression: {says} 4098"
    )
    names = {"ExpressionAttributeNames": {"#n": "n" * 5000}}
    assert wire("GetItem", **table, Key=key, ProjectionExpression="#n", **names) == {"Item": {}}


def test_expressions_have_at_most_300_operators(wire, sorted_table, key):
    check = {"TableName": sorted_table, "Key": key}
    condition = " OR ".join(["a=b"] * 150) + " OR c=d"
    says = "The expression contains too many operators; operator count: 301"
    assert wire.refusal("UpdateItem", **check, ConditionExpression=condition) == invalid(
        f"Invalid ConditionExpression: {says}"
    )
    condition = "NOT " + " OR ".join(["a=b"] * 150)
    assert wire("UpdateItem", **check, ConditionExpression=condition) == {}
    update = "SET " + ",".join(f"a{number}=n+n" for number in range(300))
    assert len(wire("UpdateItem", **check, UpdateExpression=update, ReturnValues="UPDATED_NEW")["Attributes"]) == 300
    assert wire.refusal("UpdateItem", **check, UpdateExpression=update + ",a=n+n") == invalid(
        f"Invalid UpdateExpression: {says}"
    )
    wire("UpdateItem", **check, UpdateExpression="REMOVE " + ",".join(f"a{number}" for number in range(300)))


def test_in_takes_at_most_100_operands(wire, sorted_table, key):
    check = {"TableName": sorted_table, "Key": key}
    given = {f":{number}": n(number) for number in range(101)}
    hundred = {name: given[name] for name in list(given)[:100]}
    wire("UpdateItem", **check, ConditionExpression=f"n IN ({', '.join(hundred)})", ExpressionAttributeValues=hundred)
    refused = wire.refusal(
        "UpdateItem", **check, ConditionExpression=f"n IN ({', '.join(given)})", ExpressionAttributeValues=given
    )
    assert refused == invalid(
        "Invalid ConditionExpression: The IN operator is provided with too many operands; number of operands: 101"
    )


def test_paths_are_at_most_as_deep_as_items(wire, sorted_table, key):
    check = {"TableName": sorted_table, "Key": key}
    deepest = "a" + ".b" * 31
    assert wire("GetItem", **check, ProjectionExpression=deepest) == {"Item": {}}
    assert wire.refusal("GetItem", **check, ProjectionExpression=deepest + "[0]") == invalid(
        "Invalid ProjectionExpression: The document path has too many nesting levels; nesting levels: 33"
    )
