"""Global indexes whose keys have several attributes ("Multi-attribute keys pattern" in the developer guide)."""

import pytest
from boto3.dynamodb.types import TypeSerializer
from conftest import table_definition, wait_until

SERIALIZE = TypeSerializer().serialize


def schema(partition, sort=()):
    return [
        *({"AttributeName": name, "KeyType": "HASH"} for name in partition),
        *({"AttributeName": name, "KeyType": "RANGE"} for name in sort),
    ]


def index(name, partition, sort=(), kind="ALL"):
    return {"IndexName": name, "KeySchema": schema(partition, sort), "Projection": {"ProjectionType": kind}}


BY_ROUND = index("by-round", ("tournament", "region"), ("round", "bracket", "match"), "KEYS_ONLY")
EQUALITY = "Query key condition must have an equality condition on"
ATTRIBUTES = ("tournament", "region", "round:N", "bracket", "match")


def values(**given):
    return {f":{name}": SERIALIZE(value) for name, value in given.items()}


@pytest.fixture
def matches(client, make_table, name):
    make_table("id", attributes=ATTRIBUTES, GlobalSecondaryIndexes=[BY_ROUND])
    for tournament in ("summer", "winter"):
        for region in ("eu", "na"):
            for round_ in (2, 10):
                for bracket in ("lower", "upper"):
                    for match in ("a", "b"):
                        put(client, name, tournament, region, round_, bracket, match)
    return name


def put(client, name, tournament, region, round_, bracket, match):
    item = {"tournament": tournament, "region": region, "round": round_, "bracket": bracket, "match": match}
    item = {key: value for key, value in item.items() if value is not None}
    item["id"] = "-".join(str(value) for value in item.values())
    client.put_item(TableName=name, Item={key: SERIALIZE(value) for key, value in item.items()})
    return item["id"]


def found(client, name, condition, index="by-round", **more):
    names, given = more.pop("names", {}), more.pop("given")
    names = {"ExpressionAttributeNames": {"#r": "region", **names}}
    request = {"TableName": name, "IndexName": index, "KeyConditionExpression": condition, **names, **more}
    return client.query(**request, ExpressionAttributeValues=values(**given))


def ids(answer):
    return [item["id"]["S"] for item in answer["Items"]]


def test_the_schema_is_shown_as_it_was_given(client, matches):
    table = client.describe_table(TableName=matches)["Table"]
    (shown,) = table["GlobalSecondaryIndexes"]
    assert shown["KeySchema"] == BY_ROUND["KeySchema"]
    assert {definition["AttributeName"] for definition in table["AttributeDefinitions"]} == {
        "id",
        *(attribute.split(":")[0] for attribute in ATTRIBUTES),
    }


@pytest.mark.parametrize(
    ("condition", "given", "expected"),
    [
        (
            "",
            {},
            [f"winter-eu-{r}-{b}-{m}" for r in (2, 10) for b in ("lower", "upper") for m in "ab"],
        ),
        (" AND round = :n", {"n": 10}, [f"winter-eu-10-{b}-{m}" for b in ("lower", "upper") for m in "ab"]),
        (" AND round < :n", {"n": 10}, [f"winter-eu-2-{b}-{m}" for b in ("lower", "upper") for m in "ab"]),
        (" AND round = :n AND bracket = :b", {"n": 2, "b": "upper"}, ["winter-eu-2-upper-a", "winter-eu-2-upper-b"]),
        (" AND bracket > :b AND round = :n", {"n": 2, "b": "lower"}, ["winter-eu-2-upper-a", "winter-eu-2-upper-b"]),
        (
            " AND round = :n AND begins_with(bracket, :b)",
            {"n": 2, "b": "lo"},
            ["winter-eu-2-lower-a", "winter-eu-2-lower-b"],
        ),
        (
            " AND round = :n AND bracket = :b AND match BETWEEN :x AND :y",
            {"n": 2, "b": "upper", "x": "aa", "y": "c"},
            ["winter-eu-2-upper-b"],
        ),
    ],
    ids=lambda value: value.strip() or "partition key" if isinstance(value, str) else "",
)
def test_conditions_go_from_left_to_right(client, matches, condition, given, expected):
    condition = "tournament = :t AND #r = :r" + condition.replace("match", "#m")
    names = {"#m": "match"} if "#m" in condition else {}
    given = {"t": "winter", "r": "eu", **given}
    assert ids(found(client, matches, condition, given=given, names=names)) == expected
    backward = found(client, matches, condition, given=given, names=names, ScanIndexForward=False)
    assert ids(backward) == expected[::-1]
    pages, start = [], {}
    while True:
        page = found(client, matches, condition, given=given, names=names, Limit=3, **start)
        pages += ids(page)
        if "LastEvaluatedKey" not in page:
            break
        assert set(page["LastEvaluatedKey"]) == {"id", "tournament", "region", "round", "bracket", "match"}
        start = {"ExclusiveStartKey": page["LastEvaluatedKey"]}
    assert pages == expected


@pytest.mark.parametrize(
    ("condition", "given", "message"),
    [
        ("tournament = :t", {"t": "a"}, f"{EQUALITY} HASH key attribute region"),
        ("#r = :r", {"r": "a"}, f"{EQUALITY} HASH key attribute tournament"),
        ("tournament = :t AND #r > :r", {"t": "a", "r": "a"}, f"{EQUALITY} HASH key attribute region"),
        (
            "tournament = :t AND #r = :r AND bracket = :b",
            {"t": "a", "r": "a", "b": "c"},
            f"{EQUALITY} RANGE key attribute round, which stands before another one",
        ),
        (
            "tournament = :t AND #r = :r AND round > :n AND bracket = :b",
            {"t": "a", "r": "a", "n": 1, "b": "c"},
            f"{EQUALITY} RANGE key attribute round, which stands before another one",
        ),
        (
            "tournament = :t AND #r = :r AND round = :n",
            {"t": "a", "r": "a", "n": "1"},
            "One or more parameter values were invalid: Condition parameter type does not match schema type",
        ),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_conditions_that_skip_an_attribute(client, matches, condition, given, message):
    names = {} if "#r" in condition else {"names": {}}
    with pytest.raises(client.exceptions.ClientError) as refused:
        request = {"TableName": matches, "IndexName": "by-round", "KeyConditionExpression": condition}
        if "names" not in names:
            request["ExpressionAttributeNames"] = {"#r": "region"}
        client.query(**request, ExpressionAttributeValues=values(**given))
    assert refused.value.response["Error"] == {"Code": "ValidationException", "Message": message}


def test_an_item_without_one_of_the_attributes_is_not_in_the_index(client, matches):
    whole = put(client, matches, "spring", "eu", 1, "upper", "a")
    for missing in range(5):
        parts = ["spring", "eu", 1, "upper", "b"]
        parts[missing] = None
        put(client, matches, *parts)
    condition = "tournament = :t AND #r = :r"
    assert ids(found(client, matches, condition, given={"t": "spring", "r": "eu"})) == [whole]
    scanned = client.scan(TableName=matches, IndexName="by-round")["Items"]
    assert len(scanned) == 32 + 1
    # A change of one attribute moves the entry.
    client.update_item(
        TableName=matches,
        Key={"id": {"S": whole}},
        UpdateExpression="SET #r = :r",
        ExpressionAttributeNames={"#r": "region"},
        ExpressionAttributeValues={":r": {"S": "na"}},
    )
    assert ids(found(client, matches, condition, given={"t": "spring", "r": "eu"})) == []
    assert ids(found(client, matches, condition, given={"t": "spring", "r": "na"})) == [whole]


def test_an_attribute_of_another_type_is_refused(client, matches):
    with pytest.raises(client.exceptions.ClientError) as refused:
        put(client, matches, "winter", "eu", "one", "upper", "a")
    assert refused.value.response["Error"]["Message"] == (
        "One or more parameter values were invalid: Type mismatch for Index Key round Expected: N Actual: S "
        "IndexName: by-round"
    )


def test_the_index_is_added_to_a_table_that_has_items(client, make_table, name):
    make_table("id")
    for match in "abc":
        put(client, name, "winter", "eu", 1, "upper", match)
    put(client, name, "winter", "na", 1, "upper", "a")
    definitions = table_definition(name, "tournament", attributes=ATTRIBUTES[1:])["AttributeDefinitions"]
    client.update_table(
        TableName=name, AttributeDefinitions=definitions, GlobalSecondaryIndexUpdates=[{"Create": BY_ROUND}]
    )
    wait_until(
        lambda: client.describe_table(TableName=name)["Table"]["GlobalSecondaryIndexes"][0]["IndexStatus"] == "ACTIVE",
        "the index is filled",
    )
    answer = found(client, name, "tournament = :t AND #r = :r", given={"t": "winter", "r": "eu"})
    assert ids(answer) == [f"winter-eu-1-upper-{match}" for match in "abc"]


@pytest.mark.parametrize(
    ("where", "expected", "units"),
    [
        ("AND \"round\" = 2 AND bracket = 'upper'", ["winter-eu-2-upper-a", "winter-eu-2-upper-b"], 0.5),
        ("AND \"round\" < 10 AND bracket = 'upper'", ["winter-eu-2-upper-a", "winter-eu-2-upper-b"], 0.5),
        ("AND bracket = 'upper' AND id = 'winter-eu-10-upper-a'", ["winter-eu-10-upper-a"], 0.5),
        ("AND \"round\" BETWEEN 3 AND 11 AND begins_with(bracket, 'l')", ["winter-eu-10-lower-a", "winter-eu-10-lower-b"], 0.5),
    ],
)
def test_a_statement_finds_the_same(client, matches, where, expected, units):
    # Whoever scanned the index would pay for these, too.
    for n in range(5):
        put(client, matches, "winter", "asia", n, "upper", "x" * 900)
    of = f'SELECT id FROM "{matches}"."by-round" WHERE region = \'eu\' '
    statement = f"{of} AND tournament = 'winter' {where}"
    answer = client.execute_statement(Statement=statement, ReturnConsumedCapacity="TOTAL")
    assert ids(answer) == expected
    assert answer["ConsumedCapacity"]["CapacityUnits"] == units
    pages, more = [], {}
    while True:
        page = client.execute_statement(Statement=statement, Limit=1, **more)
        pages += ids(page)
        if "NextToken" not in page:
            break
        more = {"NextToken": page["NextToken"]}
    assert pages == expected
    # Without one of the partition key's attributes it is a scan.
    answer = client.execute_statement(Statement=f"{of} {where}", ReturnConsumedCapacity="TOTAL")
    assert set(ids(answer)) >= set(expected)
    assert answer["ConsumedCapacity"]["CapacityUnits"] > units


@pytest.mark.parametrize(
    ("definition", "starts"),
    [
        ({"KeySchema": schema(["a", "b"])}, "Invalid KeySchema: The second KeySchemaElement is not a RANGE key type"),
        ({"KeySchema": schema(["a"], ["b", "c"])}, "1 validation error detected: Value '[KeySchemaElement("),
        ({"GlobalSecondaryIndexes": [index("i-i", "abcde")]}, "Invalid KeySchema: "),
        ({"GlobalSecondaryIndexes": [index("i-i", "a", "bcdef")]}, "Invalid KeySchema: "),
        (
            {"GlobalSecondaryIndexes": [index("i-i", "aba")]},
            "Invalid KeySchema: Two elements in the KeySchema have the same name: a",
        ),
        (
            {"GlobalSecondaryIndexes": [{**index("i-i", "a"), "KeySchema": [*schema("a", "b"), *schema("c")]}]},
            "Invalid KeySchema: All HASH key elements must precede all RANGE key elements",
        ),
    ],
    ids=["table", "longer table", "five to find by", "five to sort by", "twice", "out of order"],
)
def test_other_schemas_are_refused(client, name, definition, starts):
    given = table_definition(name, "a", attributes=list("bcdef"))
    with pytest.raises(client.exceptions.ClientError) as refused:
        client.create_table(**{**given, **definition})
    error = refused.value.response["Error"]
    assert (error["Code"], error["Message"][: len(starts)]) == ("ValidationException", starts)


def test_keys_of_four_and_four_attributes(client, make_table, name):
    make_table("id", attributes=list("abcdefgh"), GlobalSecondaryIndexes=[index("widest", "abcd", "efgh")])
    for n in range(3):
        item = {key: {"S": f"{key}{n if key == 'h' else ''}"} for key in "abcdefgh"}
        client.put_item(TableName=name, Item={"id": {"S": str(n)}, **item})
    answer = client.query(
        TableName=name,
        IndexName="widest",
        KeyConditionExpression=" AND ".join(f"{key} = :{key}" for key in "abcdefg") + " AND h >= :h",
        ExpressionAttributeValues={f":{key}": {"S": "h1" if key == "h" else key} for key in "abcdefgh"},
    )
    assert ids(answer) == ["1", "2"]
