"""Query, Scan, batches and indexes."""

from decimal import Decimal

import pytest
from boto3.dynamodb.conditions import Attr, Key
from conftest import key_schema, wait_until


@pytest.fixture
def orders(dev, make_table):
    """60 orders of 3 customers, with a global and a local index."""
    name = make_table(
        "customer",
        "number:N",
        attributes=("state", "total:N"),
        GlobalSecondaryIndexes=[
            {
                "IndexName": "by-state",
                "KeySchema": key_schema("state", "total"),
                "Projection": {"ProjectionType": "INCLUDE", "NonKeyAttributes": ["note"]},
            }
        ],
        LocalSecondaryIndexes=[
            {
                "IndexName": "by-total",
                "KeySchema": key_schema("customer", "total"),
                "Projection": {"ProjectionType": "ALL"},
            }
        ],
    )
    table = dev.resource().Table(name)
    with table.batch_writer() as batch:
        for order in ORDERS:
            batch.put_item(Item=order)
    return table


ORDERS = [
    {
        "customer": customer,
        # Negative and fractional numbers: their order is not that of their digits.
        "number": Decimal(n) / 4 - 2,
        "total": Decimal((n * 37) % 101),
        "note": f"note {n}",
        "hidden": "x" * 10,
        # Some orders are in no state, so not in the global index.
        **({"state": ["open", "paid"][n % 2]} if n % 5 else {}),
    }
    for customer in ("ada", "bob", "eve")
    for n in range(20)
]


def of(customer):
    return sorted((o for o in ORDERS if o["customer"] == customer), key=lambda o: o["number"])


def test_query_in_order(orders):
    assert orders.query(KeyConditionExpression=Key("customer").eq("ada"))["Items"] == of("ada")
    backward = orders.query(KeyConditionExpression=Key("customer").eq("ada"), ScanIndexForward=False)["Items"]
    assert backward == of("ada")[::-1]
    assert orders.query(KeyConditionExpression=Key("customer").eq("nobody"))["Items"] == []


@pytest.mark.parametrize(
    ("condition", "holds"),
    [
        (Key("number").eq(Decimal("-0.5")), lambda n: n == Decimal("-0.5")),
        (Key("number").lt(0), lambda n: n < 0),
        (Key("number").lte(0), lambda n: n <= 0),
        (Key("number").gt(Decimal("1.25")), lambda n: n > Decimal("1.25")),
        (Key("number").gte(Decimal("1.25")), lambda n: n >= Decimal("1.25")),
        (Key("number").between(-1, 1), lambda n: -1 <= n <= 1),
    ],
)
def test_sort_key_conditions(orders, condition, holds):
    items = orders.query(KeyConditionExpression=Key("customer").eq("bob") & condition)["Items"]
    assert items == [order for order in of("bob") if holds(order["number"])]
    assert items


@pytest.mark.parametrize("forward", [True, False])
@pytest.mark.parametrize("limit", [1, 7, 20, 50])
def test_query_pages(orders, limit, forward):
    items, start = [], {}
    while True:
        page = orders.query(
            KeyConditionExpression=Key("customer").eq("eve"), Limit=limit, ScanIndexForward=forward, **start
        )
        assert page["Count"] == len(page["Items"]) <= limit
        items += page["Items"]
        if "LastEvaluatedKey" not in page:
            break
        start = {"ExclusiveStartKey": page["LastEvaluatedKey"]}
    assert items == (of("eve") if forward else of("eve")[::-1])


def test_filter_counts_what_it_scanned(orders):
    page = orders.query(KeyConditionExpression=Key("customer").eq("ada"), FilterExpression=Attr("total").gt(50))
    assert page["ScannedCount"] == 20
    assert page["Items"] == [order for order in of("ada") if order["total"] > 50]
    counted = orders.query(KeyConditionExpression=Key("customer").eq("ada"), Select="COUNT")
    assert counted["Count"] == 20
    assert "Items" not in counted


def test_a_page_ends_at_one_megabyte(dev, make_table):
    table = dev.resource().Table(make_table("pk", "sk:N"))
    with table.batch_writer() as batch:
        for n in range(30):
            batch.put_item(Item={"pk": "a", "sk": n, "filler": "x" * 100_000})
    pages = list(
        table.meta.client.get_paginator("query").paginate(
            TableName=table.name, KeyConditionExpression=Key("pk").eq("a"), ProjectionExpression="sk"
        )
    )
    assert len(pages) == 3
    assert [item["sk"] for page in pages for item in page["Items"]] == list(range(30))


@pytest.mark.parametrize("segments", [1, 2, 7])
def test_scan_in_segments(orders, segments):
    found = []
    for segment in range(segments):
        pages = orders.meta.client.get_paginator("scan").paginate(
            TableName=orders.name, Segment=segment, TotalSegments=segments, PaginationConfig={"PageSize": 4}
        )
        found += [item for page in pages for item in page["Items"]]
    assert sorted(found, key=identity) == sorted(ORDERS, key=identity)


def identity(order):
    return order["customer"], order["number"]


def test_global_index(orders):
    paid = sorted((o for o in ORDERS if o.get("state") == "paid"), key=lambda o: o["total"])
    query = {"IndexName": "by-state", "KeyConditionExpression": Key("state").eq("paid")}
    items = wait_until(
        lambda: (found := orders.query(**query)["Items"]) and len(found) == len(paid) and found, "the index has all"
    )
    assert [item["total"] for item in items] == [order["total"] for order in paid]
    wanted = ("customer", "number", "state", "total", "note")
    projected = [{name: order[name] for name in wanted} for order in paid]
    assert sorted(items, key=identity) == sorted(projected, key=identity)
    # Sparse: only orders in a state.
    in_index = orders.scan(IndexName="by-state", Select="COUNT")["Count"]
    assert in_index == sum("state" in order for order in ORDERS)


def test_global_index_pages_through_equal_keys(orders):
    items, start = [], {}
    while True:
        page = orders.query(IndexName="by-state", KeyConditionExpression=Key("state").eq("open"), Limit=3, **start)
        items += page["Items"]
        if "LastEvaluatedKey" not in page:
            break
        assert set(page["LastEvaluatedKey"]) == {"customer", "number", "state", "total"}
        start = {"ExclusiveStartKey": page["LastEvaluatedKey"]}
    assert sorted(map(identity, items)) == sorted(identity(o) for o in ORDERS if o.get("state") == "open")


def test_indexes_follow_updates(orders):
    def in_state(state):
        found = orders.query(IndexName="by-state", KeyConditionExpression=Key("state").eq(state))["Items"]
        return [identity(item) for item in found]

    key = {"customer": "ada", "number": Decimal("-1.75")}
    update = {"Key": key, "ExpressionAttributeNames": {"#s": "state"}}
    orders.update_item(**update, UpdateExpression="SET #s = :s", ExpressionAttributeValues={":s": "lost"})
    wait_until(lambda: in_state("lost") == [("ada", Decimal("-1.75"))], "the entry is there")
    orders.update_item(**update, UpdateExpression="REMOVE #s")
    wait_until(lambda: in_state("lost") == [], "the entry is gone")
    orders.update_item(**update, UpdateExpression="SET #s = :s", ExpressionAttributeValues={":s": "lost"})
    orders.delete_item(Key=key)
    wait_until(lambda: in_state("lost") == [], "the entry is gone with the item")


def test_local_index(orders):
    items = orders.query(
        IndexName="by-total", KeyConditionExpression=Key("customer").eq("bob") & Key("total").gt(40), ConsistentRead=True
    )["Items"]
    assert items == sorted((o for o in of("bob") if o["total"] > 40), key=lambda o: o["total"])


def test_batches(dev, make_table):
    client = dev.client()
    one, two = make_table("pk"), make_table("pk", name=f"second-{dev.name}-batches")
    puts = [{"PutRequest": {"Item": {"pk": {"S": f"{n:02}"}, "n": {"N": str(n)}}}} for n in range(25)]
    answer = client.batch_write_item(RequestItems={one: puts[:20], two: puts[20:]})
    assert answer["UnprocessedItems"] == {}
    deletes = [{"DeleteRequest": {"Key": {"pk": {"S": f"{n:02}"}}}} for n in range(10)]
    client.batch_write_item(RequestItems={one: deletes})
    read = client.batch_get_item(
        RequestItems={
            one: {"Keys": [{"pk": {"S": f"{n:02}"}} for n in range(20)], "ProjectionExpression": "pk"},
            two: {"Keys": [{"pk": {"S": "24"}}, {"pk": {"S": "none"}}], "ConsistentRead": True},
        }
    )
    assert read["UnprocessedKeys"] == {}
    assert sorted(item["pk"]["S"] for item in read["Responses"][one]) == [f"{n:02}" for n in range(10, 20)]
    assert read["Responses"][two] == [{"pk": {"S": "24"}, "n": {"N": "24"}}]


def test_bad_batches_are_refused(client, make_table):
    name = make_table("pk")
    put = {"PutRequest": {"Item": {"pk": {"S": "a"}}}}
    for requests in ([put] * 26, [put, put], [{}]):
        with pytest.raises(client.exceptions.ClientError) as refused:
            client.batch_write_item(RequestItems={name: requests})
        assert refused.value.response["Error"]["Code"] == "ValidationException"
    assert client.scan(TableName=name)["Count"] == 0


@pytest.mark.parametrize(
    "arguments",
    [
        {"KeyConditionExpression": "total = :v", "ExpressionAttributeValues": {":v": 1}},
        {"KeyConditionExpression": "customer > :v", "ExpressionAttributeValues": {":v": "a"}},
        {"KeyConditionExpression": "customer = :v", "ExpressionAttributeValues": {":v": 1}},
        {"KeyConditionExpression": "customer = :v", "ExpressionAttributeValues": {":v": "a"}, "IndexName": "none"},
        {"KeyConditionExpression": "customer = :v", "ExpressionAttributeValues": {":v": "a", ":unused": 1}},
    ],
    ids=["no key", "partition key not equal", "wrong type", "no such index", "unused value"],
)
def test_bad_queries_are_refused(orders, arguments):
    with pytest.raises(orders.meta.client.exceptions.ClientError) as refused:
        orders.query(**arguments)
    assert refused.value.response["Error"]["Code"] == "ValidationException"
