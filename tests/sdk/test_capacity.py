"""ConsumedCapacity of every operation: AWS developer guide, "DynamoDB read and write operations" and the indexes' pages.

A read unit covers 4 KB (half a unit if eventually consistent, two in a transaction), a write unit 1 KB (two in a
transaction). Query and Scan round the sum of the items, everything else rounds each item.
"""

import pytest

KB = 1024


def item(pk, size, **more):
    """An item with the keys pk (S) and sk (S) = "0" of so many bytes by DynamoDB's formula: names and values."""
    attributes = {"pk": {"S": pk}, "sk": {"S": "0"}, **more}
    used = sum(len(name) + len(next(iter(value.values()))) for name, value in attributes.items())
    return {**attributes, "x": {"S": "x" * (size - used - 1)}}


def total(units, table):
    return {"TableName": table, "CapacityUnits": units}


def by_index(table, units, **indexes):
    """As INDEXES shows it: GlobalSecondaryIndexes and LocalSecondaryIndexes are maps of units."""
    figures = {"Table": {"CapacityUnits": units}}
    for kind, of_index in indexes.items():
        figures[kind] = {name: {"CapacityUnits": units} for name, units in of_index.items()}
        units += sum(of_index.values())
    return {"TableName": table, "CapacityUnits": units, **figures}


@pytest.fixture
def plain(make_table):
    return make_table("pk", "sk")


@pytest.fixture
def indexed(make_table, name):
    """With a local index `loc` and global indexes `glo` (keys only) and `all` on the attributes lk, gk and ak."""
    index = lambda name, keys, projection: {
        "IndexName": name,
        "KeySchema": [{"AttributeName": key, "KeyType": kind} for key, kind in zip(keys, ("HASH", "RANGE"))],
        "Projection": {"ProjectionType": projection},
    }
    return make_table(
        "pk",
        "sk",
        attributes=("lk", "gk", "ak"),
        name=f"{name}-indexed",
        LocalSecondaryIndexes=[index("loc", ("pk", "lk"), "KEYS_ONLY")],
        GlobalSecondaryIndexes=[index("glo", ("gk",), "KEYS_ONLY"), index("all", ("ak",), "ALL")],
    )


def consumed(reply):
    return reply.get("ConsumedCapacity")


def test_it_is_told_only_if_asked_for(client, plain):
    key = {"pk": {"S": "a"}, "sk": {"S": "0"}}
    for asked in ({}, {"ReturnConsumedCapacity": "NONE"}):
        assert consumed(client.put_item(TableName=plain, Item=key, **asked)) is None
        assert consumed(client.get_item(TableName=plain, Key=key, **asked)) is None
        assert consumed(client.scan(TableName=plain, **asked)) is None
        assert consumed(client.batch_get_item(RequestItems={plain: {"Keys": [key]}}, **asked)) is None
        assert consumed(client.delete_item(TableName=plain, Key=key, **asked)) is None


@pytest.mark.parametrize(
    "size, strong", [(100, 1.0), (4 * KB, 1.0), (4 * KB + 1, 2.0), (7 * KB, 2.0), (40 * KB, 10.0)]
)
def test_get_item_rounds_to_4_kb_and_halves(client, plain, size, strong):
    client.put_item(TableName=plain, Item=item("a", size))
    get = lambda **more: client.get_item(
        TableName=plain, Key={"pk": {"S": "a"}, "sk": {"S": "0"}}, ReturnConsumedCapacity="TOTAL", **more
    )
    assert consumed(get(ConsistentRead=True)) == total(strong, plain)
    assert consumed(get()) == total(strong / 2, plain)
    # A projection reads the whole item.
    assert consumed(get(ProjectionExpression="pk")) == total(strong / 2, plain)


def test_a_missing_item_costs_as_the_smallest(client, plain):
    key = {"pk": {"S": "none"}, "sk": {"S": "0"}}
    get = lambda **more: client.get_item(TableName=plain, Key=key, **more)
    assert consumed(get(ReturnConsumedCapacity="TOTAL")) == total(0.5, plain)
    assert consumed(get(ReturnConsumedCapacity="INDEXES", ConsistentRead=True)) == by_index(plain, 1.0)


@pytest.mark.parametrize("size, units", [(100, 1.0), (KB, 1.0), (KB + 1, 2.0), (10 * KB, 10.0)])
def test_put_item_rounds_to_1_kb(client, plain, size, units):
    put = lambda item: consumed(client.put_item(TableName=plain, Item=item, ReturnConsumedCapacity="TOTAL"))
    assert put(item("a", size)) == total(units, plain)
    # Replaced by a smaller one: the larger counts.
    assert put(item("a", 100)) == total(units, plain)
    assert put(item("a", 100)) == total(1.0, plain)


def test_update_item_counts_the_larger_of_before_and_after(client, plain):
    client.put_item(TableName=plain, Item=item("a", 5 * KB, n={"S": "1"}))
    update = lambda pk, expression, **values: consumed(
        client.update_item(
            TableName=plain,
            Key={"pk": {"S": pk}, "sk": {"S": "0"}},
            UpdateExpression=expression,
            ReturnConsumedCapacity="TOTAL",
            **({"ExpressionAttributeValues": values} if values else {}),
        )
    )
    # Only a small part changes, or nothing at all.
    assert update("a", "SET n = :n", **{":n": {"S": "2"}}) == total(5.0, plain)
    assert update("a", "SET n = :n", **{":n": {"S": "2"}}) == total(5.0, plain)
    assert update("a", "SET y = :y", **{":y": {"S": "y" * KB}}) == total(7.0, plain)
    assert update("a", "REMOVE x, y") == total(7.0, plain)
    assert update("new", "SET n = :n", **{":n": {"S": "2"}}) == total(1.0, plain)


def test_delete_item_counts_what_was_there(client, plain):
    client.put_item(TableName=plain, Item=item("a", 3 * KB + 1))
    delete = lambda: client.delete_item(
        TableName=plain, Key={"pk": {"S": "a"}, "sk": {"S": "0"}}, ReturnConsumedCapacity="TOTAL"
    )
    assert consumed(delete()) == total(4.0, plain)
    assert consumed(delete()) == total(1.0, plain)


def test_writes_count_the_indexes_that_change(client, indexed):
    put = lambda **attributes: consumed(
        client.put_item(TableName=indexed, Item=item("a", 3 * KB, **attributes), ReturnConsumedCapacity="INDEXES")
    )
    g, all_, l = "GlobalSecondaryIndexes", "all", "LocalSecondaryIndexes"
    assert put() == by_index(indexed, 3.0)
    # In: each index gets an entry, of its projection's size.
    every = {"lk": {"S": "1"}, "gk": {"S": "1"}, "ak": {"S": "1"}}
    assert put(**every) == by_index(indexed, 3.0, **{g: {"glo": 1.0, all_: 3.0}, l: {"loc": 1.0}})
    # Nothing of an index changes: it costs nothing.
    assert put(**every) == by_index(indexed, 3.0)
    # Only what the index that copies all has.
    assert put(**every, n={"S": "1"}) == by_index(indexed, 3.0, **{g: {all_: 3.0}})
    # The index key changes: the entry is taken away and put.
    moved = {**every, "gk": {"S": "2"}, "ak": {"S": "2"}, "lk": {"S": "2"}}
    assert put(**moved, n={"S": "1"}) == by_index(indexed, 3.0, **{g: {"glo": 2.0, all_: 6.0}, l: {"loc": 2.0}})
    # Out.
    assert put(lk={"S": "2"}) == by_index(indexed, 3.0, **{g: {"glo": 1.0, all_: 3.0}})
    deleted = client.delete_item(
        TableName=indexed, Key={"pk": {"S": "a"}, "sk": {"S": "0"}}, ReturnConsumedCapacity="TOTAL"
    )
    assert consumed(deleted) == total(4.0, indexed)


def test_query_rounds_the_sum_of_the_items(client, plain):
    for number in range(10):
        client.put_item(TableName=plain, Item={**item("q", KB), "sk": {"S": str(number)}})
    query = lambda **more: client.query(
        TableName=plain,
        KeyConditionExpression="pk = :pk",
        ExpressionAttributeValues={":pk": {"S": "q"}, **more.pop("values", {})},
        ReturnConsumedCapacity="TOTAL",
        **more,
    )
    # 10 KB: three units, not ten.
    assert consumed(query(ConsistentRead=True)) == total(3.0, plain)
    assert consumed(query()) == total(1.5, plain)
    assert consumed(query(Select="COUNT")) == total(1.5, plain)
    assert consumed(query(Limit=4)) == total(0.5, plain)
    assert consumed(query(Limit=5, ConsistentRead=True)) == total(2.0, plain)
    # What a filter leaves out was read.
    filtered = query(FilterExpression="x = :none", values={":none": {"S": "-"}})
    assert filtered["Items"] == [] and consumed(filtered) == total(1.5, plain)
    assert consumed(query(ProjectionExpression="sk")) == total(1.5, plain)
    nothing = client.query(
        TableName=plain,
        KeyConditionExpression="pk = :pk",
        ExpressionAttributeValues={":pk": {"S": "none"}},
        ReturnConsumedCapacity="INDEXES",
    )
    assert consumed(nothing) == by_index(plain, 0.5)


@pytest.mark.parametrize(
    "billing, partitions",
    [
        ({}, 4),
        ({"BillingMode": "PROVISIONED", "ProvisionedThroughput": {"ReadCapacityUnits": 5, "WriteCapacityUnits": 5}}, 1),
    ],
    ids=["on demand", "provisioned"],
)
def test_scan_rounds_the_sum_of_each_partition(client, make_table, billing, partitions):
    table = make_table("pk", "sk", **billing)
    scan = lambda **more: consumed(client.scan(TableName=table, ReturnConsumedCapacity="TOTAL", **more))
    assert scan() == total(partitions / 2, table)
    assert scan(ConsistentRead=True) == total(partitions, table)
    for number in range(9):
        client.put_item(TableName=table, Item=item(f"k{number}", 2 * KB))
    segments = [scan(Segment=part, TotalSegments=partitions)["CapacityUnits"] for part in range(partitions)]
    assert scan() == total(sum(segments), table)
    assert scan(ConsistentRead=True) == total(2 * sum(segments), table)
    assert scan(Select="COUNT") == total(sum(segments), table)
    # 18 KB of items, rounded up to 4 KB in each partition.
    assert 5 <= 2 * sum(segments) <= 4 + partitions
    # Pages end where they end: the partition of the last item is read in both.
    first = client.scan(TableName=table, Limit=5, ReturnConsumedCapacity="TOTAL")
    rest = scan(ExclusiveStartKey=first["LastEvaluatedKey"])
    both = consumed(first)["CapacityUnits"] + rest["CapacityUnits"]
    assert sum(segments) <= both <= sum(segments) + 0.5


def test_a_page_of_1_mb(client, plain):
    for number in range(4):
        client.put_item(TableName=plain, Item={**item("big", 300 * KB), "sk": {"S": str(number)}})
    page = client.scan(TableName=plain, ReturnConsumedCapacity="TOTAL", ConsistentRead=True)
    # All in one partition; the scan looked at the ones before it, and not behind it.
    assert page["ScannedCount"] == 4 and 300 <= consumed(page)["CapacityUnits"] <= 303


def test_reads_of_indexes(client, indexed):
    for number in range(10):
        more = {"lk": {"S": f"{number}"}, "gk": {"S": "g"}, "ak": {"S": "a"}}
        client.put_item(TableName=indexed, Item={**item("p", 2 * KB, **more), "sk": {"S": str(number)}})
    read = lambda index, key, value, **more: consumed(
        client.query(
            TableName=indexed,
            IndexName=index,
            KeyConditionExpression=f"{key} = :v",
            ExpressionAttributeValues={":v": {"S": value}},
            ReturnConsumedCapacity="INDEXES",
            **more,
        )
    )
    g, l = "GlobalSecondaryIndexes", "LocalSecondaryIndexes"
    assert read("glo", "gk", "g") == by_index(indexed, 0.0, **{g: {"glo": 0.5}})
    assert read("all", "ak", "a") == by_index(indexed, 0.0, **{g: {"all": 2.5}})
    assert read("loc", "pk", "p") == by_index(indexed, 0.0, **{l: {"loc": 0.5}})
    assert read("loc", "pk", "p", ConsistentRead=True) == by_index(indexed, 0.0, **{l: {"loc": 1.0}})
    # What the local index does not have is fetched from the table, item by item.
    fetched = read("loc", "pk", "p", Select="ALL_ATTRIBUTES")
    assert fetched == by_index(indexed, 5.0, **{l: {"loc": 0.5}})
    # In one of its four partitions; nothing in the others.
    scan = client.scan(TableName=indexed, IndexName="all", ReturnConsumedCapacity="INDEXES")
    assert consumed(scan) == by_index(indexed, 0.0, **{g: {"all": 4.0}})
    scan = client.scan(TableName=indexed, IndexName="all", ReturnConsumedCapacity="TOTAL")
    assert consumed(scan) == total(4.0, indexed)


def test_batch_get_rounds_each_item(client, make_table, name):
    tables = sorted(make_table("pk", "sk", name=f"{name}-{number}") for number in range(2))
    for table in tables:
        for number in range(3):
            client.put_item(TableName=table, Item=item(f"k{number}", 1500))
    keys = [{"pk": {"S": f"k{number}"}, "sk": {"S": "0"}} for number in range(4)]
    requests = {tables[0]: {"Keys": keys}, tables[1]: {"Keys": keys, "ConsistentRead": True}}
    reply = client.batch_get_item(RequestItems=requests, ReturnConsumedCapacity="TOTAL")
    # Four of 4 KB at most, the missing one included.
    by_name = sorted(consumed(reply), key=lambda each: each["TableName"])
    assert by_name == [total(2.0, tables[0]), total(4.0, tables[1])]
    reply = client.batch_get_item(RequestItems={tables[0]: {"Keys": keys}}, ReturnConsumedCapacity="INDEXES")
    assert consumed(reply) == [by_index(tables[0], 2.0)]


def test_batch_write_sums_each_write(client, plain, indexed):
    puts = [{"PutRequest": {"Item": item(f"k{number}", 1500)}} for number in range(4)]
    gone = {"DeleteRequest": {"Key": {"pk": {"S": "none"}, "sk": {"S": "0"}}}}
    into_index = [
        {"PutRequest": {"Item": item(f"k{number}", 1500, gk={"S": "g"}, lk={"S": "l"})}} for number in range(3)
    ]
    requests = {plain: [*puts, gone], indexed: into_index}
    reply = client.batch_write_item(RequestItems=requests, ReturnConsumedCapacity="INDEXES")
    g, l = "GlobalSecondaryIndexes", "LocalSecondaryIndexes"
    by_name = {each["TableName"]: each for each in consumed(reply)}
    assert by_name == {
        plain: by_index(plain, 9.0),
        indexed: by_index(indexed, 6.0, **{g: {"glo": 3.0}, l: {"loc": 3.0}}),
    }
    reply = client.batch_write_item(RequestItems={plain: [gone]}, ReturnConsumedCapacity="TOTAL")
    assert consumed(reply) == [total(1.0, plain)]


def test_transactions_count_twice_and_say_which_units(client, plain):
    actions = [{"Put": {"TableName": plain, "Item": item(f"t{number}", 1500)}} for number in range(2)]
    check = {
        "ConditionCheck": {
            "TableName": plain,
            "Key": {"pk": {"S": "none"}, "sk": {"S": "0"}},
            "ConditionExpression": "attribute_not_exists(pk)",
        }
    }
    reply = client.transact_write_items(TransactItems=[*actions, check], ReturnConsumedCapacity="INDEXES")
    units = {"CapacityUnits": 10.0, "WriteCapacityUnits": 10.0}
    assert consumed(reply) == [{"TableName": plain, **units, "Table": units}]
    gets = [{"Get": {"TableName": plain, "Key": {"pk": {"S": pk}, "sk": {"S": "0"}}}} for pk in ("t0", "t1", "none")]
    reply = client.transact_get_items(TransactItems=gets, ReturnConsumedCapacity="TOTAL")
    assert consumed(reply) == [{"TableName": plain, "CapacityUnits": 6.0, "ReadCapacityUnits": 6.0}]


def test_an_unknown_kind_is_refused(client, plain):
    with pytest.raises(client.exceptions.ClientError) as refused:
        client.scan(TableName=plain, ReturnConsumedCapacity="ALL")
    assert refused.value.response["Error"]["Message"] == (
        "1 validation error detected: Value 'ALL' at 'returnConsumedCapacity' failed to satisfy constraint: Member must "
        "satisfy enum value set: [INDEXES, TOTAL, NONE]"
    )
