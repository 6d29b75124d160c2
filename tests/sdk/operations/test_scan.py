"""Scan: all items, segments, paging, filters, Select, indexes, what it refuses."""

import pytest
from conftest import key_schema

from .wire import invalid, n, s


@pytest.fixture(scope="module")
def forest(wire, shared_table):
    """60 items in 20 partitions; two thirds have an index key."""
    table = shared_table(
        "pk",
        "sk:N",
        attributes=("gp",),
        GlobalSecondaryIndexes=[
            {
                "IndexName": "g-include",
                "KeySchema": key_schema("gp"),
                "Projection": {"ProjectionType": "INCLUDE", "NonKeyAttributes": ["seen"]},
            }
        ],
        LocalSecondaryIndexes=[
            {
                "IndexName": "l-keys",
                "KeySchema": key_schema("pk", "gp"),
                "Projection": {"ProjectionType": "KEYS_ONLY"},
            }
        ],
    )
    for number in range(60):
        item = {"pk": s(f"p{number % 20}"), "sk": n(number), "seen": n(number), "unseen": n(number)}
        wire("PutItem", TableName=table, Item={**item, **({"gp": s("g")} if number % 3 else {})})
    return table


def numbers(page):
    return [int(item["sk"]["N"]) for item in page["Items"]]


def all_pages(wire, **request):
    found, start, pages = [], {}, 0
    while True:
        page = wire("Scan", **request, **start)
        assert page["Count"] == len(page["Items"]) <= request.get("Limit", 1000)
        found, pages = found + numbers(page), pages + 1
        if "LastEvaluatedKey" not in page:
            return found, pages
        start = {"ExclusiveStartKey": page["LastEvaluatedKey"]}


@pytest.mark.parametrize("limit", [1, 7, 60, 61])
def test_pages(wire, forest, limit):
    found, pages = all_pages(wire, TableName=forest, Limit=limit)
    assert sorted(found) == list(range(60))
    assert pages == 60 // limit + 1
    # Within a partition key items are in order, and together.
    assert [n for n in found if n % 20 == 7] == [7, 27, 47]


@pytest.mark.parametrize("total", [1, 2, 7, 1000])
def test_segments_share_all_items(wire, forest, total):
    found = []
    for segment in range(total):
        found += all_pages(wire, TableName=forest, Segment=segment, TotalSegments=total, Limit=5)[0]
    assert sorted(found) == list(range(60))


@pytest.mark.parametrize("index", ["g-include", "l-keys"])
def test_indexes_are_sparse(wire, forest, index):
    found, _ = all_pages(wire, TableName=forest, IndexName=index, Limit=7)
    assert sorted(found) == [number for number in range(60) if number % 3]
    names = {"g-include": {"pk", "sk", "gp", "seen"}, "l-keys": {"pk", "sk", "gp"}}[index]
    page = wire("Scan", TableName=forest, IndexName=index)
    assert (page["Count"], page["ScannedCount"]) == (40, 40)
    assert all(set(item) == names for item in page["Items"])
    page = wire("Scan", TableName=forest, IndexName=index, Limit=3)
    assert set(page["LastEvaluatedKey"]) == {"pk", "sk", "gp"}


def test_filters_may_name_keys(wire, forest):
    values = {":p": s("p7"), ":n": n(30)}
    page = wire("Scan", TableName=forest, FilterExpression="pk = :p AND sk < :n", ExpressionAttributeValues=values)
    assert (numbers(page), page["Count"], page["ScannedCount"]) == ([7, 27], 2, 60)


def test_projections(wire, forest):
    page = wire("Scan", TableName=forest, ProjectionExpression="seen", Select="SPECIFIC_ATTRIBUTES", Limit=2)
    assert all(set(item) == {"seen"} for item in page["Items"])
    page = wire("Scan", TableName=forest, AttributesToGet=["seen", "sk"], Limit=2)
    assert all(set(item) == {"seen", "sk"} for item in page["Items"])
    page = wire("Scan", TableName=forest, Select="COUNT")
    assert page == {"Count": 60, "ScannedCount": 60}
    page = wire("Scan", TableName=forest, IndexName="l-keys", ProjectionExpression="unseen", Limit=2)
    assert all(set(item) == {"unseen"} for item in page["Items"])


@pytest.mark.parametrize(
    ("request_", "consumed"),
    [
        # In each of the four partitions of an on-demand table.
        ({}, {"CapacityUnits": 2.0, "Table": {"CapacityUnits": 2.0}}),
        ({"ConsistentRead": True}, {"CapacityUnits": 4.0, "Table": {"CapacityUnits": 4.0}}),
        ({"Segment": 1, "TotalSegments": 2}, {"CapacityUnits": 1.0, "Table": {"CapacityUnits": 1.0}}),
        (
            {"IndexName": "g-include"},
            {
                "CapacityUnits": 2.0,
                "Table": {"CapacityUnits": 0.0},
                "GlobalSecondaryIndexes": {"g-include": {"CapacityUnits": 2.0}},
            },
        ),
    ],
)
def test_capacity(wire, forest, request_, consumed):
    answer = wire("Scan", TableName=forest, **request_, ReturnConsumedCapacity="INDEXES")
    assert answer["ConsumedCapacity"] == {"TableName": forest, **consumed}


INVALID = "The provided starting key is invalid"
SCHEMA = f"{INVALID}: The provided key element does not match the schema"


@pytest.mark.parametrize(
    ("request_", "says"),
    [
        ({"ExclusiveStartKey": {"pk": s("a")}}, SCHEMA),
        ({"ExclusiveStartKey": {"pk": s("a"), "sk": s("a")}}, SCHEMA),
        ({"ExclusiveStartKey": {"pk": s("a"), "sk": n(1), "seen": n(1)}}, SCHEMA),
        ({"IndexName": "g-include", "ExclusiveStartKey": {"pk": s("a"), "sk": n(1)}}, INVALID),
        ({"IndexName": "g-include", "ExclusiveStartKey": {"gp": s("a")}}, INVALID),
        ({"IndexName": "g-include", "ExclusiveStartKey": {"pk": s("a"), "sk": n(1), "gp": n(1)}}, SCHEMA),
        (
            {"ExclusiveStartKey": {"pk": s("a"), "sk": {"NULL": False}}},
            "The provided starting key is invalid: One or more parameter values were invalid: Null attribute value types "
            "must have the value of true",
        ),
        (
            {"Segment": 0},
            "The TotalSegments parameter is required but was not present in the request when Segment parameter is present",
        ),
        (
            {"TotalSegments": 1},
            "The Segment parameter is required but was not present in the request when parameter TotalSegments is present",
        ),
        (
            {"Segment": 2, "TotalSegments": 2},
            "The Segment parameter is zero-based and must be less than parameter TotalSegments: Segment: 2 is not less "
            "than TotalSegments: 2",
        ),
        (
            {"Segment": -1, "TotalSegments": 0},
            "2 validation errors detected: Value '0' at 'totalSegments' failed to satisfy constraint: Member must have "
            "value greater than or equal to 1; Value '-1' at 'segment' failed to satisfy constraint: Member must have "
            "value greater than or equal to 0",
        ),
        (
            {"Segment": 0, "TotalSegments": 1_000_001},
            "1 validation error detected: Value '1000001' at 'totalSegments' failed to satisfy constraint: Member must "
            "have value less than or equal to 1000000",
        ),
        ({"IndexName": "none"}, "The table does not have the specified index: none"),
        (
            {"IndexName": "g-include", "ConsistentRead": True},
            "Consistent reads are not supported on global secondary indexes",
        ),
        (
            {"IndexName": "g-include", "Select": "ALL_ATTRIBUTES"},
            "One or more parameter values were invalid: Select type ALL_ATTRIBUTES is not supported for global secondary "
            "index g-include because its projection type is not ALL",
        ),
        (
            {"IndexName": "g-include", "ProjectionExpression": "unseen"},
            "One or more parameter values were invalid: Global secondary index g-include does not project [unseen]",
        ),
        (
            {"Select": "ALL_PROJECTED_ATTRIBUTES"},
            "ALL_PROJECTED_ATTRIBUTES can be used only when Querying using an IndexName",
        ),
        (
            {"Select": "SPECIFIC_ATTRIBUTES"},
            "Must specify the AttributesToGet or ProjectionExpression when choosing to get SPECIFIC_ATTRIBUTES",
        ),
        (
            {"Select": "COUNT", "AttributesToGet": ["a"]},
            "Cannot specify the AttributesToGet when choosing to get only the Count",
        ),
        (
            {"ExpressionAttributeValues": {":v": n(1)}},
            "ExpressionAttributeValues can only be specified when using expressions: FilterExpression is null",
        ),
        (
            {"ExpressionAttributeNames": {"#a": "a"}},
            "ExpressionAttributeNames can only be specified when using expressions",
        ),
        (
            {"AttributesToGet": ["a", "a"]},
            "One or more parameter values were invalid: Duplicate value in attribute name: a",
        ),
    ],
    ids=lambda value: str(value)[:70],
)
def test_what_it_refuses(wire, forest, request_, says):
    assert wire.refusal("Scan", TableName=forest, **request_) == invalid(says)


def test_a_starting_key_of_another_segment_is_refused(wire, forest):
    first = wire("Scan", TableName=forest, Segment=0, TotalSegments=2, Limit=1)
    start = {"ExclusiveStartKey": first["LastEvaluatedKey"]}
    assert wire("Scan", TableName=forest, Segment=0, TotalSegments=2, **start)["Count"] > 0
    assert wire.refusal("Scan", TableName=forest, Segment=1, TotalSegments=2, **start) == invalid(
        "The provided starting key is invalid: Invalid ExclusiveStartKey. Please use ExclusiveStartKey with correct "
        "Segment. TotalSegments: 2 Segment: 1"
    )


def test_a_page_ends_at_one_megabyte_before_filters(wire, shared_table):
    table = shared_table("pk")
    for number in range(7):
        wire("PutItem", TableName=table, Item={"pk": s(str(number)), "v": s("x" * 400_000)})
    page = wire("Scan", TableName=table, FilterExpression="attribute_not_exists(v)")
    assert (page["Count"], page["ScannedCount"], page["Items"]) == (0, 3, [])
    assert set(page["LastEvaluatedKey"]) == {"pk"}
    scanned, start = 0, {}
    while True:
        page = wire("Scan", TableName=table, Select="COUNT", **start)
        scanned += page["ScannedCount"]
        if "LastEvaluatedKey" not in page:
            break
        start = {"ExclusiveStartKey": page["LastEvaluatedKey"]}
    assert scanned == 7


def test_no_table(wire):
    assert wire.refusal("Scan", TableName="no-such-table") == "ResourceNotFoundException: Requested resource not found"


@pytest.mark.parametrize("index", ["g-include", "l-keys"])
def test_what_an_index_does_not_have_is_missing_in_a_scan(wire, forest, index):
    scan = {"TableName": forest, "IndexName": index}
    assert wire("Scan", **scan, FilterExpression="attribute_exists(unseen)")["Count"] == 0
    page = wire("Scan", **scan, FilterExpression="attribute_not_exists(unseen)")
    assert (page["Count"], page["ScannedCount"]) == (40, 40)
    older = {"ScanFilter": {"unseen": {"ComparisonOperator": "NOT_NULL"}}}
    assert wire("Scan", **scan, **older)["Count"] == 0
    statement = f'SELECT * FROM "{forest}"."{index}" WHERE unseen IS MISSING'
    assert len(wire("ExecuteStatement", Statement=statement)["Items"]) == 40
    # Also where the whole item is shown.
    if index == "l-keys":
        whole = {"Select": "ALL_ATTRIBUTES", "FilterExpression": "attribute_not_exists(unseen)"}
        assert all("unseen" in item for item in wire("Scan", **scan, **whole)["Items"])
        assert wire("Scan", **scan, **whole)["Count"] == 40
