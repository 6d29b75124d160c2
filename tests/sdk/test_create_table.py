"""CreateTable: every parameter of the model, as DescribeTable shows it afterwards, and the refusals."""

import pytest
from conftest import key_schema, table_definition, wait_until

INVALID = "One or more parameter values were invalid: "


def units(read, write):
    return {"ReadCapacityUnits": read, "WriteCapacityUnits": write}


def shown(client, name):
    return client.describe_table(TableName=name)["Table"]


def refused(client, code, message, **definition):
    with pytest.raises(client.exceptions.ClientError) as error:
        client.create_table(**definition)
    assert error.value.response["Error"] == {"Code": code, "Message": message}


def test_a_new_table_is_creating_then_active(client, make_table, name):
    definition = table_definition(name, "pk")
    assert client.create_table(**definition)["TableDescription"]["TableStatus"] == "CREATING"
    try:
        client.get_waiter("table_exists").wait(TableName=name, WaiterConfig={"Delay": 1, "MaxAttempts": 30})
        assert shown(client, name)["TableStatus"] == "ACTIVE"
        refused(client, "ResourceInUseException", f"Table already exists: {name}", **definition)
    finally:
        client.delete_table(TableName=name)


def test_on_demand(client, make_table, name):
    make_table("pk")
    table = shown(client, name)
    assert table["BillingModeSummary"] == {
        "BillingMode": "PAY_PER_REQUEST",
        "LastUpdateToPayPerRequestDateTime": table["CreationDateTime"],
    }
    assert table["ProvisionedThroughput"] == {**units(0, 0), "NumberOfDecreasesToday": 0}
    assert table["WarmThroughput"] == {
        "ReadUnitsPerSecond": 12000,
        "WriteUnitsPerSecond": 4000,
        "Status": "ACTIVE",
    }
    for absent in ("OnDemandThroughput", "SSEDescription", "TableClassSummary", "GlobalTableVersion", "Replicas"):
        assert absent not in table
    assert table["DeletionProtectionEnabled"] is False


def test_provisioned(client, make_table, name):
    make_table(
        "pk",
        attributes=["h"],
        BillingMode="PROVISIONED",
        ProvisionedThroughput=units(7, 8),
        GlobalSecondaryIndexes=[
            {
                "IndexName": "by-h",
                "KeySchema": key_schema("h"),
                "Projection": {"ProjectionType": "KEYS_ONLY"},
                "ProvisionedThroughput": units(5, 6),
            }
        ],
    )
    table = shown(client, name)
    assert "BillingModeSummary" not in table
    assert table["ProvisionedThroughput"] == {**units(7, 8), "NumberOfDecreasesToday": 0}
    assert table["WarmThroughput"]["ReadUnitsPerSecond"] == 7
    (index,) = table["GlobalSecondaryIndexes"]
    assert index["ProvisionedThroughput"] == {**units(5, 6), "NumberOfDecreasesToday": 0}
    assert index["WarmThroughput"] == {"ReadUnitsPerSecond": 5, "WriteUnitsPerSecond": 6, "Status": "ACTIVE"}
    assert index["IndexStatus"] == "ACTIVE"


def test_on_demand_maximums_and_warm_throughput(client, make_table, name):
    make_table(
        "pk",
        attributes=["h"],
        OnDemandThroughput={"MaxReadRequestUnits": 100, "MaxWriteRequestUnits": 50},
        WarmThroughput={"ReadUnitsPerSecond": 20000, "WriteUnitsPerSecond": 5000},
        GlobalSecondaryIndexes=[
            {
                "IndexName": "by-h",
                "KeySchema": key_schema("h"),
                "Projection": {"ProjectionType": "ALL"},
                "OnDemandThroughput": {"MaxReadRequestUnits": 10},
                "WarmThroughput": {"ReadUnitsPerSecond": 13000},
            }
        ],
    )
    table = shown(client, name)
    assert table["OnDemandThroughput"] == {"MaxReadRequestUnits": 100, "MaxWriteRequestUnits": 50}
    warm = {"ReadUnitsPerSecond": 20000, "WriteUnitsPerSecond": 5000, "Status": "ACTIVE"}
    assert table["WarmThroughput"] == warm
    (index,) = table["GlobalSecondaryIndexes"]
    assert index["OnDemandThroughput"] == {"MaxReadRequestUnits": 10}
    assert index["WarmThroughput"]["ReadUnitsPerSecond"] == 13000
    assert index["WarmThroughput"]["WriteUnitsPerSecond"] == 4000


def test_the_answer_lacks_what_takes_a_moment(client, make_table, name):
    """WarmThroughput that was not asked for, and since when a table is billed on demand, come with DescribeTable."""
    definition = table_definition(
        name,
        "pk",
        attributes=["h", "i"],
        GlobalSecondaryIndexes=[global_index(), global_index("warm", "i", WarmThroughput={"ReadUnitsPerSecond": 13000})],
    )
    answer = client.create_table(**definition)["TableDescription"]
    table = shown(client, name)
    assert set(table) - set(answer) == {"WarmThroughput"} and set(answer) <= set(table)
    assert answer["BillingModeSummary"] == {"BillingMode": "PAY_PER_REQUEST"}
    first, warmed = sorted(answer["GlobalSecondaryIndexes"], key=lambda index: index["IndexName"])
    assert "WarmThroughput" not in first
    assert warmed["WarmThroughput"] == {
        "ReadUnitsPerSecond": 13000,
        "WriteUnitsPerSecond": 4000,
        "Status": "UPDATING",
    }
    assert (first["IndexStatus"], warmed["IndexStatus"]) == ("CREATING", "CREATING")
    client.delete_table(TableName=name)
    client.get_waiter("table_not_exists").wait(TableName=name, WaiterConfig={"Delay": 1, "MaxAttempts": 30})
    definition = table_definition(name, "pk", WarmThroughput={"WriteUnitsPerSecond": 5000})
    answer = client.create_table(**definition)["TableDescription"]
    assert answer["WarmThroughput"]["Status"] == "UPDATING"
    assert shown(client, name)["WarmThroughput"]["Status"] == "ACTIVE"
    client.delete_table(TableName=name)


def test_maximums_of_nothing_are_none(client, make_table, name):
    make_table("pk", OnDemandThroughput={}, WarmThroughput={})
    assert "OnDemandThroughput" not in shown(client, name)


def test_class_protection_stream_and_tags(client, make_table, name):
    stream = {"StreamEnabled": True, "StreamViewType": "KEYS_ONLY"}
    make_table(
        "pk",
        TableClass="STANDARD_INFREQUENT_ACCESS",
        DeletionProtectionEnabled=True,
        StreamSpecification=stream,
        Tags=[{"Key": "a", "Value": "1"}, {"Key": "b", "Value": ""}],
        SSESpecification={"Enabled": False},
    )
    try:
        table = shown(client, name)
        assert table["TableClassSummary"] == {"TableClass": "STANDARD_INFREQUENT_ACCESS"}
        assert table["DeletionProtectionEnabled"] is True
        assert table["StreamSpecification"] == stream
        assert table["LatestStreamArn"] == f"{table['TableArn']}/stream/{table['LatestStreamLabel']}"
        assert "SSEDescription" not in table
        tags = client.list_tags_of_resource(ResourceArn=table["TableArn"])["Tags"]
        assert sorted((tag["Key"], tag["Value"]) for tag in tags) == [("a", "1"), ("b", "")]
    finally:
        client.update_table(TableName=name, DeletionProtectionEnabled=False)


def test_counts_are_true_within_six_seconds(client, make_table, name):
    make_table(
        "pk",
        "sk",
        attributes=["h"],
        LocalSecondaryIndexes=[
            {"IndexName": "local", "KeySchema": key_schema("pk", "h"), "Projection": {"ProjectionType": "KEYS_ONLY"}}
        ],
        GlobalSecondaryIndexes=[
            {"IndexName": "by-h", "KeySchema": key_schema("h"), "Projection": {"ProjectionType": "KEYS_ONLY"}}
        ],
    )
    for n in range(20):
        item = {"pk": {"S": "p"}, "sk": {"S": f"{n:02}"}, "x": {"S": "1234567890"}}
        if n % 2 == 0:
            item["h"] = {"S": "h"}
        client.put_item(TableName=name, Item=item)
    client.delete_item(TableName=name, Key={"pk": {"S": "p"}, "sk": {"S": "01"}})

    def counted():
        table = shown(client, name)
        (local,) = table["LocalSecondaryIndexes"]
        (index,) = table["GlobalSecondaryIndexes"]
        return (
            (table["ItemCount"], table["TableSizeBytes"]),
            (local["ItemCount"], local["IndexSizeBytes"]),
            (index["ItemCount"], index["IndexSizeBytes"]),
        )

    # An item: 3 + 4 + 11 bytes, and 2 with h; an entry of an index: the keys alone.
    expected = ((19, 19 * 18 + 10 * 2), (10, 10 * 9), (10, 10 * 9))
    wait_until(lambda: counted() == expected, f"the counts are {expected}", deadline_s=6)


def global_index(name="by-h", key="h", **more):
    index = {"IndexName": name, "KeySchema": key_schema(key), "Projection": {"ProjectionType": "ALL"}}
    return {**index, **more}


@pytest.mark.parametrize(
    "changed, message",
    [
        (
            {"BillingMode": "PROVISIONED"},
            INVALID + "ReadCapacityUnits and WriteCapacityUnits must both be specified when BillingMode is PROVISIONED",
        ),
        (
            {"ProvisionedThroughput": units(1, 1)},
            INVALID
            + "Neither ReadCapacityUnits nor WriteCapacityUnits can be specified when BillingMode is PAY_PER_REQUEST",
        ),
        (
            {"OnDemandThroughput": {"MaxReadRequestUnits": 0}},
            INVALID + "Requested MaxReadRequestUnits for OnDemandThroughput for table is outside of valid range",
        ),
        (
            {"OnDemandThroughput": {"MaxReadRequestUnits": 1, "MaxWriteRequestUnits": -1}},
            INVALID + "Requested MaxWriteRequestUnits for OnDemandThroughput for table is outside of valid range",
        ),
        (
            {"GlobalSecondaryIndexes": [global_index(OnDemandThroughput={"MaxReadRequestUnits": -2})]},
            INVALID + "Requested MaxReadRequestUnits for OnDemandThroughput for index : by-h is outside of valid range",
        ),
        (
            {
                "BillingMode": "PROVISIONED",
                "ProvisionedThroughput": units(1, 1),
                "OnDemandThroughput": {"MaxReadRequestUnits": 1},
            },
            INVALID
            + "MaxReadRequestUnits for OnDemandThroughput cannot be specified when table BillingMode is PROVISIONED.",
        ),
        (
            {"WarmThroughput": {"ReadUnitsPerSecond": 11999}},
            INVALID + "Requested ReadUnitsPerSecond for WarmThroughput for table is lower than initial throughput for "
            "OnDemand. See: https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/"
            "on-demand-capacity-mode.html#on-demand-capacity-mode-initial",
        ),
        (
            {"StreamSpecification": {"StreamEnabled": True}},
            INVALID + "Table is being created with a stream enabled, UpdateViewType is required",
        ),
        (
            {"StreamSpecification": {"StreamEnabled": False, "StreamViewType": "NEW_IMAGE"}},
            INVALID + "Table is being created with a stream disabled, UpdateViewType should not be specified",
        ),
        (
            {"AttributeDefinitions": [{"AttributeName": "pk", "AttributeType": kind} for kind in "SN"]},
            "Attribute Name is duplicated: pk",
        ),
        (
            {
                "KeySchema": [
                    {"AttributeName": "pk", "KeyType": "HASH"},
                    {"AttributeName": "pk", "KeyType": "RANGE"},
                ]
            },
            "Invalid KeySchema: Some index key attribute have no definition",
        ),
        ({"AttributeDefinitions": []}, "Invalid KeySchema: Some index key attribute have no definition"),
        (
            {"Tags": [{"Key": "a!", "Value": "b"}]},
            "The Tag Key provided is invalid, Key: a!",
        ),
        (
            {"ResourcePolicy": '{"Version":"2012-10-17","Statement":[]}'},
            "Invalid policy document: Syntax errors in policy: no statements at position (line 1, column 1)",
        ),
        (
            {"GlobalSecondaryIndexes": [global_index(key="nothing")]},
            INVALID + "Some index key attributes are not defined in AttributeDefinitions. Keys: [nothing], "
            "AttributeDefinitions: [pk, h]",
        ),
        (
            {"GlobalSecondaryIndexes": [global_index(ProvisionedThroughput=units(1, 1))]},
            INVALID + "ProvisionedThroughput should not be specified for index: by-h when BillingMode is PAY_PER_REQUEST",
        ),
        (
            {"GlobalSecondaryIndexes": [global_index(f"index-{n}") for n in range(21)]},
            INVALID + "GlobalSecondaryIndex count exceeds the per-table limit of 20",
        ),
        (
            {"GlobalSecondaryIndexes": [global_index(), global_index()]},
            INVALID + "Duplicate index name: by-h",
        ),
        (
            {
                "GlobalSecondaryIndexes": [
                    global_index(
                        f"index-{n}",
                        Projection={"ProjectionType": "INCLUDE", "NonKeyAttributes": [f"a{i}" for i in range(17)]},
                    )
                    for n in range(6)
                ]
            },
            INVALID + "Number of NonKeyAttributes in all indexes exceeds the limit of 100",
        ),
        (
            {"LocalSecondaryIndexes": [global_index()]},
            INVALID + "Table KeySchema does not have a range key, which is required when specifying a "
            "LocalSecondaryIndex",
        ),
        (
            {},
            INVALID + "Number of attributes in KeySchema does not exactly match number of attributes defined in "
            "AttributeDefinitions",
        ),
        (
            {"KeySchema": key_schema("pk", "sk")},
            "Invalid KeySchema: Some index key attribute have no definition",
        ),
        (
            {"KeySchema": key_schema("other")},
            INVALID + "Some index key attributes are not defined in AttributeDefinitions. Keys: [other], "
            "AttributeDefinitions: [pk]",
        ),
        (
            {"GlobalSecondaryIndexes": [global_index(key="pk")]},
            INVALID + "Some AttributeDefinitions are not used. AttributeDefinitions: [pk, h], keys used: [pk]",
        ),
    ],
    ids=lambda value: ",".join(value) or "an unused attribute" if isinstance(value, dict) else "",
)
def test_refusals(client, name, changed, message):
    indexed = not changed or any(parameter.endswith("Indexes") for parameter in changed)
    definition = {**table_definition(name, "pk", attributes=["h"] if indexed else []), **changed}
    refused(client, "ValidationException", message, **definition)
    assert name not in client.list_tables()["TableNames"]


def test_six_local_indexes_are_refused(client, name):
    names = [f"l{n}" for n in range(6)]
    local = [
        {"IndexName": f"by-{key}", "KeySchema": key_schema("pk", key), "Projection": {"ProjectionType": "ALL"}}
        for key in names
    ]
    definition = table_definition(name, "pk", "sk", attributes=names, LocalSecondaryIndexes=local)
    message = INVALID + "Number of LocalSecondaryIndexes exceeds per-table limit of 5"
    refused(client, "ValidationException", message, **definition)
