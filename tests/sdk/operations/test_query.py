"""Query: key conditions, order, paging, filters, Select, indexes, capacity, what it refuses."""

import pytest

from .wire import b, invalid, n, s

VALUES = {":p": s("q")}


@pytest.fixture(scope="module")
def letters(wire, sorted_table):
    """Partition `q` has the sort keys a to j, each with its number and, if odd, its letter."""
    for number, letter in enumerate("abcdefghij"):
        item = {"pk": s("q"), "sk": s(letter), "n": n(number), **({"odd": s(letter)} if number % 2 else {})}
        wire("PutItem", TableName=sorted_table, Item=item)
    return sorted_table


@pytest.fixture(scope="module")
def orders(wire, indexed):
    """Partition `o` of the indexed table: nine items, six of them in the indexes."""
    for number in range(9):
        entry = {"gp": s("g"), "gs": n(number % 2), "ls": s(f"l{8 - number}"), "gb": b("AA==")} if number % 3 else {}
        item = {"pk": s("o"), "sk": s(str(number)), "seen": n(number), "unseen": n(number), **entry}
        wire("PutItem", TableName=indexed, Item=item)
    return indexed


def keys(page):
    return "".join(item["sk"]["S"] for item in page["Items"])


@pytest.mark.parametrize(
    ("condition", "values", "expect"),
    [
        ("pk = :p", {}, "abcdefghij"),
        (":p = pk", {}, "abcdefghij"),
        ("(pk = :p)", {}, "abcdefghij"),
        ("pk = :p AND sk = :a", {":a": s("c")}, "c"),
        ("sk = :a AND pk = :p", {":a": s("c")}, "c"),
        ("(pk = :p) and (sk = :a)", {":a": s("c")}, "c"),
        ("(pk = :p AND sk = :a)", {":a": s("c")}, "c"),
        ("pk = :p AND sk < :a", {":a": s("c")}, "ab"),
        ("pk = :p AND :a > sk", {":a": s("c")}, "ab"),
        ("pk = :p AND sk <= :a", {":a": s("c")}, "abc"),
        ("pk = :p AND sk > :a", {":a": s("h")}, "ij"),
        ("pk = :p AND sk >= :a", {":a": s("h")}, "hij"),
        ("pk = :p AND sk BETWEEN :a AND :b", {":a": s("c"), ":b": s("e")}, "cde"),
        ("pk = :p AND sk BETWEEN :a AND :a", {":a": s("c")}, "c"),
        ("pk = :p AND begins_with(sk, :a)", {":a": s("c")}, "c"),
        ("pk = :p AND begins_with(sk, :a)", {":a": s("cc")}, ""),
        ("pk = :p AND sk > :a", {":a": s("zzz")}, ""),
    ],
)
def test_key_conditions(wire, letters, condition, values, expect):
    query = dict(TableName=letters, KeyConditionExpression=condition, ExpressionAttributeValues={**VALUES, **values})
    page = wire("Query", **query)
    assert (keys(page), page["Count"], page["ScannedCount"]) == (expect, len(expect), len(expect))
    assert "LastEvaluatedKey" not in page
    assert keys(wire("Query", **query, ScanIndexForward=False)) == expect[::-1]


@pytest.mark.parametrize(
    ("condition", "values", "says"),
    [
        ("", {}, "Invalid KeyConditionExpression: The expression can not be empty;"),
        ("pk = :p OR sk = :p", {}, "Invalid operator used in KeyConditionExpression: OR"),
        ("NOT pk = :p", {}, "Invalid operator used in KeyConditionExpression: NOT"),
        ("pk <> :p", {}, "Invalid operator used in KeyConditionExpression: <>"),
        ("pk IN (:p)", {}, "Invalid operator used in KeyConditionExpression: IN"),
        ("pk = :p AND contains(sk, :p)", {}, "Invalid operator used in KeyConditionExpression: contains"),
        ("attribute_exists(pk)", None, "Invalid operator used in KeyConditionExpression: attribute_exists"),
        ("size(pk) = :p", {}, "KeyConditionExpressions cannot contain nested operations"),
        (
            "pk.a = :p",
            {},
            "Invalid KeyConditionExpression: KeyConditionExpressions cannot have conditions on nested attributes",
        ),
        (":p = :p", {}, "Invalid condition in KeyConditionExpression: No key attribute specified"),
        (
            "pk = sk",
            None,
            "Invalid KeyConditionExpression: Invalid condition in KeyConditionExpression: Multiple attribute names used in one "
            "condition",
        ),
        (
            "pk = :p AND begins_with(:p, sk)",
            {},
            "Invalid condition in KeyConditionExpression: begins_with operator must have the key attribute as its first "
            "operand",
        ),
        ("pk = :p AND pk = :p", {}, "KeyConditionExpressions must only contain one condition per key"),
        ("pk = :p AND sk > :p AND sk < :p", {}, "KeyConditionExpressions must only contain one condition per key"),
        ("pk = :p AND sk > :p AND another < :p", {}, "Conditions can be of length 1 or 2 only"),
        ("sk = :p", {}, "Query condition missed key schema element: pk"),
        ("pk = :p AND another = :p", {}, "Query condition missed key schema element: sk"),
        ("pk > :p", {}, "Query key condition not supported"),
        ("begins_with(pk, :p)", {}, "Query key condition not supported"),
        (
            "pk = :p AND sk BETWEEN :b AND :a",
            {":a": s("a"), ":b": s("b")},
            "Invalid KeyConditionExpression: The BETWEEN operator requires upper bound to be greater than or equal to "
            "lower bound; lower bound operand: AttributeValue: {S:b}, upper bound operand: AttributeValue: {S:a}",
        ),
        (
            "pk = :p AND sk BETWEEN :a AND :b",
            {":a": s("a"), ":b": n(1)},
            "Invalid KeyConditionExpression: The BETWEEN operator requires same data type for lower and upper bounds; "
            "lower bound operand: AttributeValue: {S:a}, upper bound operand: AttributeValue: {N:1}",
        ),
        (
            "pk = :a",
            {":a": s("")},
            "One or more parameter values are not valid. The AttributeValue for a key attribute cannot contain an empty "
            "string value. Key: pk",
        ),
        (
            "pk = :a",
            {":a": n(1)},
            "One or more parameter values were invalid: Condition parameter type does not match schema type",
        ),
        (
            "pk = :a AND sk > :b",
            {":a": s("a"), ":b": n(1)},
            "One or more parameter values were invalid: Condition parameter type does not match schema type",
        ),
        (
            "pk = :a AND begins_with(sk, :b)",
            {":a": s("a"), ":b": n(1)},
            "Invalid KeyConditionExpression: Incorrect operand type for operator or function; operator or function: "
            "begins_with, operand type: N",
        ),
        (
            "pk = :a",
            {":a": s("p" * 2049)},
            "One or more parameter values were invalid: Size of hashkey has exceeded the maximum size limit of2048 bytes",
        ),
        (
            "pk = :a AND sk = :b",
            {":a": s("a"), ":b": s("s" * 1025)},
            "One or more parameter values were invalid: Aggregated size of all range keys has exceeded the size limit of "
            "1024 bytes",
        ),
    ],
)
def test_a_wrong_key_condition_is_refused(wire, sorted_table, condition, values, says):
    given = {**(VALUES if ":p" in condition else {}), **values} if values is not None else {}
    request = {"ExpressionAttributeValues": given} if given else {}
    assert wire.refusal("Query", TableName=sorted_table, KeyConditionExpression=condition, **request) == invalid(says)


def test_filters_count_what_they_leave_out(wire, letters):
    query = dict(TableName=letters, KeyConditionExpression="pk = :p")
    page = wire("Query", **query, FilterExpression="attribute_exists(odd)", ExpressionAttributeValues=VALUES)
    assert (keys(page), page["Count"], page["ScannedCount"]) == ("bdfhj", 5, 10)
    values = {**VALUES, ":n": n(4)}
    page = wire("Query", **query, FilterExpression="n > :n", ExpressionAttributeValues=values, Limit=7)
    # The limit is on what is looked at.
    assert (keys(page), page["Count"], page["ScannedCount"]) == ("fg", 2, 7)
    assert page["LastEvaluatedKey"] == {"pk": s("q"), "sk": s("g")}


@pytest.mark.parametrize("key", ["pk", "sk"])
def test_a_filter_on_keys_is_refused(wire, letters, key):
    query = dict(TableName=letters, KeyConditionExpression="pk = :p", ExpressionAttributeValues=VALUES)
    says = f"Filter Expression can only contain non-primary key attributes: Primary key attribute: {key}"
    assert wire.refusal("Query", **query, FilterExpression=f"{key} <> :p") == invalid(says)
    assert wire.refusal("Query", **query, FilterExpression=f"odd = :p OR attribute_exists({key}.x)") == invalid(says)


@pytest.mark.parametrize("forward", [True, False])
@pytest.mark.parametrize("limit", [1, 3, 5, 10, 11])
def test_pages(wire, letters, forward, limit):
    query = dict(TableName=letters, KeyConditionExpression="pk = :p", ExpressionAttributeValues=VALUES)
    found, start, pages = "", {}, 0
    while True:
        page = wire("Query", **query, Limit=limit, ScanIndexForward=forward, **start)
        found, pages = found + keys(page), pages + 1
        if "LastEvaluatedKey" not in page:
            break
        # A page that the limit ends always says where to go on, also if nothing is left.
        assert page["Count"] == limit
        start = {"ExclusiveStartKey": page["LastEvaluatedKey"]}
    assert found == ("abcdefghij" if forward else "jihgfedcba")
    assert pages == 10 // limit + 1


def test_a_page_goes_on_from_a_key_that_is_not_there(wire, letters):
    query = dict(TableName=letters, KeyConditionExpression="pk = :p", ExpressionAttributeValues=VALUES)
    start = {"ExclusiveStartKey": {"pk": s("q"), "sk": s("cc")}}
    assert keys(wire("Query", **query, **start)) == "defghij"
    assert keys(wire("Query", **query, **start, ScanIndexForward=False)) == "cba"


EMPTY = "Supplied AttributeValue is empty, must contain exactly one of the supported datatypes"
NO_MATCH = "The provided starting key is invalid: The provided key element does not match the schema"


@pytest.mark.parametrize(
    ("start", "says"),
    [
        ({"pk": s("q")}, "The provided starting key is invalid"),
        ({"pk": s("q"), "other": s("a")}, "The provided starting key is invalid"),
        ({"pk": s("q"), "sk": n(1)}, NO_MATCH),
        ({"pk": s("q"), "sk": s("a"), "other": s("a")}, "The provided starting key is invalid"),
        ({"pk": s("q"), "sk": {}}, f"The provided starting key is invalid: {EMPTY}"),
        (
            {"pk": s("other"), "sk": s("d")},
            "The provided starting key is outside query boundaries based on provided conditions",
        ),
        ({"pk": s("q"), "sk": s("a")}, "The provided starting key does not match the range key predicate"),
        ({"pk": s("q"), "sk": s("zz")}, "The provided starting key does not match the range key predicate"),
    ],
    ids=str,
)
def test_a_wrong_starting_key_is_refused(wire, letters, start, says):
    query = dict(TableName=letters, KeyConditionExpression="pk = :p AND sk BETWEEN :c AND :d")
    values = {**VALUES, ":c": s("c"), ":d": s("f")}
    refused = wire.refusal("Query", **query, ExpressionAttributeValues=values, ExclusiveStartKey=start)
    assert refused == invalid(says)


@pytest.mark.parametrize(
    ("index", "start", "says"),
    [
        ("g-all", {"pk": s("o"), "sk": s("1")}, "The provided starting key is invalid"),
        ("g-all", {"gp": s("g"), "gs": n(1)}, "The provided starting key is invalid"),
        ("g-all", {"pk": s("o"), "sk": s("1"), "gp": s("g")}, "The provided starting key is invalid"),
        (
            "g-all",
            {"pk": s("o"), "sk": s("1"), "gp": s("g"), "gs": n(1), "seen": n(1)},
            "The provided starting key is invalid",
        ),
        ("g-all", {"pk": s("o"), "sk": s("1"), "gp": s("g"), "gs": s("1")}, NO_MATCH),
        (
            "g-all",
            {"pk": s("o"), "sk": s("1"), "gp": s("other"), "gs": n(1)},
            "The provided starting key is outside query boundaries based on provided conditions",
        ),
        ("l-all", {"pk": s("o"), "sk": s("1")}, "The provided starting key is invalid"),
        (
            "l-all",
            {"pk": s("other"), "sk": s("1"), "ls": s("l1")},
            "The provided starting key is outside query boundaries based on provided conditions",
        ),
    ],
    ids=str,
)
def test_a_wrong_starting_key_of_an_index_is_refused(wire, orders, index, start, says):
    by = {"g": ("gp", s("g")), "l": ("pk", s("o"))}[index[0]]
    refused = wire.refusal(
        "Query",
        TableName=orders,
        IndexName=index,
        KeyConditionExpression=f"{by[0]} = :v",
        ExpressionAttributeValues={":v": by[1]},
        ExclusiveStartKey=start,
    )
    assert refused == invalid(says)


def by_global(index, **more):
    return {
        "IndexName": index,
        "KeyConditionExpression": "gp = :g",
        "ExpressionAttributeValues": {":g": s("g"), **more},
    }


def by_local(index, **more):
    return {
        "IndexName": index,
        "KeyConditionExpression": "pk = :p",
        "ExpressionAttributeValues": {":p": s("o"), **more},
    }


@pytest.mark.parametrize(
    ("index", "names"),
    [
        ("g-all", {"pk", "sk", "gp", "gs", "ls", "gb", "seen", "unseen"}),
        ("g-include", {"pk", "sk", "gp", "gs", "seen"}),
        ("g-keys", {"pk", "sk", "gp"}),
        ("l-all", {"pk", "sk", "gp", "gs", "ls", "gb", "seen", "unseen"}),
        ("l-include", {"pk", "sk", "ls", "seen"}),
        ("l-keys", {"pk", "sk", "ls"}),
    ],
)
def test_what_indexes_project(wire, orders, index, names):
    by = by_global(index) if index[0] == "g" else by_local(index)
    for select in ({}, {"Select": "ALL_PROJECTED_ATTRIBUTES"}):
        page = wire("Query", TableName=orders, **by, **select)
        assert page["Count"] == 6
        assert all(set(item) == names for item in page["Items"])


def test_the_order_of_indexes(wire, orders):
    # By the number, then by the item's own key.
    page = wire("Query", TableName=orders, **by_global("g-all"))
    assert [(item["gs"]["N"], item["sk"]["S"]) for item in page["Items"]] == sorted(
        (str(number % 2), str(number)) for number in range(9) if number % 3
    )
    assert keys(wire("Query", TableName=orders, **by_local("l-all"))) == "875421"
    query = by_global("g-all", **{":n": n(1)})
    query["KeyConditionExpression"] = "gp = :g AND gs = :n"
    assert keys(wire("Query", TableName=orders, **query)) == "157"


@pytest.mark.parametrize("forward", [True, False])
@pytest.mark.parametrize(
    ("index", "last"), [("g-include", {"pk", "sk", "gp", "gs"}), ("g-keys", {"pk", "sk", "gp"}), ("l-keys", {"pk", "sk", "ls"})]
)
def test_pages_of_indexes(wire, orders, index, last, forward):
    by = by_global(index) if index[0] == "g" else by_local(index)
    whole = keys(wire("Query", TableName=orders, **by, ScanIndexForward=forward))
    found, start = "", {}
    while True:
        page = wire("Query", TableName=orders, **by, Limit=2, ScanIndexForward=forward, **start)
        found += keys(page)
        if "LastEvaluatedKey" not in page:
            break
        assert set(page["LastEvaluatedKey"]) == last
        start = {"ExclusiveStartKey": page["LastEvaluatedKey"]}
    assert found == whole


@pytest.mark.parametrize(
    ("request_", "says"),
    [
        (
            {**by_global("g-include"), "Select": "ALL_ATTRIBUTES"},
            "One or more parameter values were invalid: Select type ALL_ATTRIBUTES is not supported for global secondary "
            "index g-include because its projection type is not ALL",
        ),
        (
            {**by_global("g-include"), "ProjectionExpression": "unseen, seen, pk, ls"},
            "One or more parameter values were invalid: Global secondary index g-include does not project [ls, unseen]",
        ),
        (
            {**by_global("g-keys"), "AttributesToGet": None, "ProjectionExpression": "gs"},
            "One or more parameter values were invalid: Global secondary index g-keys does not project [gs]",
        ),
        (
            {**by_global("g-include"), "FilterExpression": "unseen = :g"},
            "One or more parameter values were invalid: Secondary index g-include does not project one or more filter "
            "attributes: [unseen]",
        ),
        (
            {**by_global("g-all"), "ConsistentRead": True},
            "Consistent reads are not supported on global secondary indexes",
        ),
        ({**by_global("none")}, "The table does not have the specified index: none"),
        (
            {**by_global("a"), "TableName": "no-such-table"},
            "1 validation error detected: Value 'a' at 'indexName' failed to satisfy constraint: Member must have length "
            "greater than or equal to 3",
        ),
        (
            {**by_global("g-all"), "FilterExpression": "gs = :g"},
            "Filter Expression can only contain non-primary key attributes: Primary key attribute: gs",
        ),
    ],
    ids=lambda value: str(value)[:70],
)
def test_what_indexes_refuse(wire, orders, request_, says):
    assert wire.refusal("Query", **{"TableName": orders, **request_}) == invalid(says)


def test_a_filter_on_the_tables_keys_is_allowed_on_an_index(wire, orders):
    query = by_global("g-keys", **{":s": s("4")})
    assert keys(wire("Query", TableName=orders, **query, FilterExpression="sk > :s")) == "578"


def test_local_indexes_fetch_what_they_lack(wire, orders):
    page = wire("Query", TableName=orders, **by_local("l-keys"), Select="ALL_ATTRIBUTES", ConsistentRead=True)
    assert all(set(item) == {"pk", "sk", "gp", "gs", "ls", "gb", "seen", "unseen"} for item in page["Items"])
    page = wire("Query", TableName=orders, **by_local("l-include"), ProjectionExpression="seen, unseen")
    assert all(set(item) == {"seen", "unseen"} for item in page["Items"])
    assert page["Count"] == 6


@pytest.mark.parametrize(
    ("select", "more", "says"),
    [
        ("ALL_ATTRIBUTES", {}, None),
        ("COUNT", {}, None),
        ("SPECIFIC_ATTRIBUTES", {"ProjectionExpression": "n"}, None),
        (None, {"ProjectionExpression": "n"}, None),
        (
            "ALL_ATTRIBUTES",
            {"ProjectionExpression": "n"},
            "Cannot specify the ProjectionExpression when choosing to get ALL_ATTRIBUTES",
        ),
        (
            "COUNT",
            {"ProjectionExpression": "n"},
            "Cannot specify the ProjectionExpression when choosing to get only the Count",
        ),
        (
            "SPECIFIC_ATTRIBUTES",
            {},
            "Must specify the AttributesToGet or ProjectionExpression when choosing to get SPECIFIC_ATTRIBUTES",
        ),
        (
            "ALL_PROJECTED_ATTRIBUTES",
            {},
            "ALL_PROJECTED_ATTRIBUTES can be used only when Querying using an IndexName",
        ),
        (
            "EVERYTHING",
            {},
            "1 validation error detected: Value 'EVERYTHING' at 'select' failed to satisfy constraint: Member must "
            "satisfy enum value set: [SPECIFIC_ATTRIBUTES, COUNT, ALL_ATTRIBUTES, ALL_PROJECTED_ATTRIBUTES]",
        ),
    ],
)
def test_select(wire, letters, select, more, says):
    query = dict(TableName=letters, KeyConditionExpression="pk = :p", ExpressionAttributeValues=VALUES, **more)
    query |= {"Select": select} if select else {}
    if says:
        assert wire.refusal("Query", **query) == invalid(says)
        return
    page = wire("Query", **query)
    assert (page["Count"], page["ScannedCount"]) == (10, 10)
    if select == "COUNT":
        assert "Items" not in page
    else:
        assert page["Items"][0] == ({"n": n(0)} if more else {"pk": s("q"), "sk": s("a"), "n": n(0)})


@pytest.mark.parametrize("filtered", [False, True])
def test_a_page_ends_at_one_megabyte_before_filters(wire, numbered, pk, filtered):
    """Three items of 400 KB pass a megabyte; so the fourth is on the next page."""
    for number in range(7):
        wire("PutItem", TableName=numbered, Item={"pk": s(pk), "sk": n(number), "v": s("x" * 400_000), "n": n(number)})
    query = dict(TableName=numbered, KeyConditionExpression="pk = :p", ProjectionExpression="sk")
    values = {":p": s(pk)}
    if filtered:
        query["FilterExpression"] = "n = :n"
        values[":n"] = n(6)
    sizes, found, start = [], [], {}
    while True:
        page = wire("Query", **query, ExpressionAttributeValues=values, **start)
        sizes.append((page["Count"], page["ScannedCount"]))
        found += [int(item["sk"]["N"]) for item in page["Items"]]
        if "LastEvaluatedKey" not in page:
            break
        assert set(page["LastEvaluatedKey"]) == {"pk", "sk"}
        start = {"ExclusiveStartKey": page["LastEvaluatedKey"]}
    if filtered:
        assert (sizes, found) == ([(0, 3), (0, 3), (1, 1)], [6])
    else:
        assert (sizes, found) == ([(3, 3), (3, 3), (1, 1)], list(range(7)))


@pytest.mark.parametrize(
    ("query", "consumed"),
    [
        # Ten items of some 20 bytes: one unit of 4 KB together.
        ({}, {"CapacityUnits": 0.5, "Table": {"CapacityUnits": 0.5}}),
        ({"ConsistentRead": True}, {"CapacityUnits": 1.0, "Table": {"CapacityUnits": 1.0}}),
    ],
)
def test_capacity(wire, letters, query, consumed):
    request = dict(TableName=letters, KeyConditionExpression="pk = :p", ExpressionAttributeValues=VALUES, **query)
    assert "ConsumedCapacity" not in wire("Query", **request)
    answer = wire("Query", **request, ReturnConsumedCapacity="INDEXES")
    assert answer["ConsumedCapacity"] == {"TableName": letters, **consumed}
    answer = wire("Query", **request, ReturnConsumedCapacity="TOTAL")
    assert answer["ConsumedCapacity"] == {"TableName": letters, "CapacityUnits": consumed["CapacityUnits"]}


@pytest.mark.parametrize(
    ("query", "consumed"),
    [
        (
            by_global("g-all"),
            {
                "CapacityUnits": 0.5,
                "Table": {"CapacityUnits": 0.0},
                "GlobalSecondaryIndexes": {"g-all": {"CapacityUnits": 0.5}},
            },
        ),
        (
            {**by_local("l-keys"), "ConsistentRead": True},
            {
                "CapacityUnits": 1.0,
                "Table": {"CapacityUnits": 0.0},
                "LocalSecondaryIndexes": {"l-keys": {"CapacityUnits": 1.0}},
            },
        ),
        # Each of the six items is fetched by itself.
        (
            {**by_local("l-keys"), "Select": "ALL_ATTRIBUTES"},
            {
                "CapacityUnits": 3.5,
                "Table": {"CapacityUnits": 3.0},
                "LocalSecondaryIndexes": {"l-keys": {"CapacityUnits": 0.5}},
            },
        ),
    ],
)
def test_capacity_of_indexes(wire, orders, query, consumed):
    answer = wire("Query", TableName=orders, **query, ReturnConsumedCapacity="INDEXES")
    assert answer["ConsumedCapacity"] == {"TableName": orders, **consumed}


@pytest.mark.parametrize(
    ("request_", "says"),
    [
        (
            {},
            "1 validation error detected: Value null at 'tableName' failed to satisfy constraint: Member must not be null",
        ),
        (
            {"TableName": "abc", "Limit": 0},
            "1 validation error detected: Value at 'Limit' failed to satisfy constraint: Member must have value "
            "greater than or equal to 1",
        ),
        (
            {"TableName": "abc", "ExclusiveStartKey": {"a": {}}, "QueryFilter": {}, "FilterExpression": ""},
            "Can not use both expression and non-expression parameters in the same request: Non-expression parameters: "
            "{QueryFilter} Expression parameters: {FilterExpression}",
        ),
        (
            {"TableName": "abc", "ExclusiveStartKey": {"a": {}}, "ExpressionAttributeValues": {":v": {}}},
            "ExpressionAttributeValues can only be specified when using expressions: FilterExpression and "
            "KeyConditionExpression are null",
        ),
        (
            {
                "TableName": "abc",
                "ProjectionExpression": "a",
                "ExclusiveStartKey": {"a": {}},
                "ExpressionAttributeValues": {":v": {}},
            },
            "ExpressionAttributeValues can only be specified when using expressions: FilterExpression and "
            "KeyConditionExpression are null",
        ),
        (
            {"TableName": "abc", "ExclusiveStartKey": {"a": {}}, "FilterExpression": ""},
            f"The provided starting key is invalid: {EMPTY}",
        ),
        ({"TableName": "abc", "FilterExpression": ""}, "Invalid FilterExpression: The expression can not be empty;"),
        (
            {"TableName": "abc"},
            "Either the KeyConditions or KeyConditionExpression parameter must be specified in the request.",
        ),
        (
            {"TableName": "abc", "FilterExpression": "attribute_exists(a)"},
            "Either the KeyConditions or KeyConditionExpression parameter must be specified in the request.",
        ),
    ],
    ids=lambda value: str(value)[:70],
)
def test_the_order_in_which_errors_are_found(wire, request_, says):
    assert wire.refusal("Query", **request_) == invalid(says)


def test_no_table(wire):
    query = dict(TableName="no-such-table", KeyConditionExpression="pk = :p", ExpressionAttributeValues=VALUES)
    assert wire.refusal("Query", **query) == "ResourceNotFoundException: Requested resource not found"
    assert wire.refusal("Query", **query, IndexName="none") == "ResourceNotFoundException: Requested resource not found"
