"""Three regions, one table: unmodified SDKs write in each and read in all."""

import json
import subprocess
import threading
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal

import airportsdata
import pytest
from conftest import BINARY, key_schema, table_definition, wait_until


@pytest.fixture
def table(regions, name):
    """A table with replicas in all three regions, ACTIVE everywhere; its name."""
    make_global(regions, table_definition(name, "pk"))
    return name


def make_global(regions, definition):
    name = definition["TableName"]
    first = regions[0].client()
    first.create_table(**definition)
    first.get_waiter("table_exists").wait(TableName=name, WaiterConfig={"Delay": 1, "MaxAttempts": 60})
    for region in regions[1:]:
        first.update_table(TableName=name, ReplicaUpdates=[{"Create": {"RegionName": region.name}}])
        wait_until(
            lambda region=region: statuses(regions[0], name).get(region.name) == "ACTIVE",
            f"{region.name} is ACTIVE",
        )
    for region in regions:
        others = {other.name for other in regions} - {region.name}
        wait_until(
            lambda region=region, others=others: described(region, name).get("TableStatus") == "ACTIVE"
            and {name for name, status in statuses(region, name).items() if status == "ACTIVE"} >= others,
            f"{region.name} knows all replicas",
        )


def described(region, name):
    client = region.client()
    try:
        return client.describe_table(TableName=name)["Table"]
    except client.exceptions.ResourceNotFoundException:
        return {}


def statuses(region, name):
    return {r["RegionName"]: r["ReplicaStatus"] for r in described(region, name).get("Replicas", [])}


def get(region, table, key):
    return region.resource().Table(table).get_item(Key={"pk": key}).get("Item")


def digest(region, table):
    with urllib.request.urlopen(f"{region.admin}/digest?table={table}", timeout=30) as answer:
        return json.load(answer)


def same_digest(regions, table):
    wait_until(
        lambda: len({json.dumps(digest(region, table), sort_keys=True) for region in regions}) == 1,
        "equal digests",
        every_s=0.2,
    )


def test_description(regions, table):
    for region in regions:
        about = described(region, table)
        assert about["GlobalTableVersion"] == "2019.11.21"
        assert about["StreamSpecification"]["StreamEnabled"] is True
        assert f":{region.name}:" in about["TableArn"]


def test_each_replica_has_a_stream_of_its_own(regions, table):
    labels = []
    for region in regions:
        about = described(region, table)
        streams = region.client("dynamodbstreams")
        shown = streams.describe_stream(StreamArn=about["LatestStreamArn"])["StreamDescription"]
        assert shown["StreamLabel"] == about["LatestStreamLabel"]
        labels.append(about["LatestStreamLabel"])
        with pytest.raises(region.client().exceptions.ClientError) as refused:
            region.client().update_table(TableName=table, StreamSpecification={"StreamEnabled": False})
        assert refused.value.response["Error"]["Message"] == (
            "One or more parameter values were invalid: Disabling Stream is not allowed for a Global Table replica."
        )
    assert labels[0] not in labels[1:]


@pytest.mark.parametrize("writer", [0, 1, 2])
def test_a_write_is_seen_in_the_other_regions(regions, table, writer):
    item = {"pk": f"from-{writer}", "n": Decimal(writer), "list": [1, {"a": None}]}
    regions[writer].resource().Table(table).put_item(Item=item)
    assert get(regions[writer], table, item["pk"]) == item
    for region in regions:
        wait_until(lambda region=region: get(region, table, item["pk"]) == item, f"{region.name} has it")
    # An update and a delete in other regions than the write.
    updater, deleter = regions[(writer + 1) % 3], regions[(writer + 2) % 3]
    updater.resource().Table(table).update_item(
        Key={"pk": item["pk"]}, UpdateExpression="SET n = n + :one", ExpressionAttributeValues={":one": 1}
    )
    for region in regions:
        wait_until(lambda region=region: get(region, table, item["pk"])["n"] == writer + 1, f"{region.name}: updated")
    deleter.resource().Table(table).delete_item(Key={"pk": item["pk"]})
    for region in regions:
        wait_until(lambda region=region: get(region, table, item["pk"]) is None, f"{region.name}: deleted")


def verify(region, *arguments):
    admin = region.admin.removeprefix("http://")
    command = [BINARY, "verify", *arguments, "--admin", admin, "--timeout", "60"]
    return subprocess.run(command, capture_output=True, text=True, timeout=90, check=False)


def test_replicas_are_shown_to_be_equal(regions, table):
    here = regions[1].resource().Table(table)
    with here.batch_writer() as batch:
        for number in range(300):
            batch.put_item(Item={"pk": f"k{number}", "text": "x" * 100})
    here.delete_item(Key={"pk": "k7"})
    # What is on its way when it begins may be taken for a difference once.
    wait_until(lambda: verify(regions[0], table).returncode == 0, "all pairs are equal")
    shown = verify(regions[0], table)
    assert shown.stdout.count(" equal ") == 2 and "up to" in shown.stdout, shown.stdout
    with urllib.request.urlopen(f"{regions[0].admin}/verify?table={table}", timeout=30) as answer:
        peers = json.load(answer)["tables"][0]["peers"]
    assert set(peers) == {region.name for region in regions[1:]}
    for pair in peers.values():
        assert pair["rows"] >= 300 and pair["twins"] == pair["unhealed"] == 0
        assert all(partition["proven"]["equal_up_to"] for partition in pair["partitions"])
        # Nothing was amiss.
        assert not any(partition["healed"] for partition in pair["partitions"])
    assert verify(regions[2], "no-such-table").returncode != 0
    # The service's own tables, too.
    wait_until(lambda: verify(regions[2], "(catalog)").returncode == 0, "the catalogs are equal")


def test_a_region_that_is_connected_is_not_forgotten(regions, table):
    admin = regions[0].admin.removeprefix("http://")
    command = [BINARY, "region", "forget", regions[1].name, "--admin", admin]
    refused = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)
    assert refused.returncode != 0 and "is connected" in refused.stderr
    assert set(statuses(regions[0], table)) >= {regions[1].name}


def test_conflicts_converge(regions, table):
    def write(region):
        here = region.resource().Table(table)
        for round_number in range(5):
            for n in range(20):
                here.put_item(Item={"pk": f"key-{n}", "who": region.name, "round": round_number})

    with ThreadPoolExecutor(len(regions)) as pool:
        list(pool.map(write, regions))

    same_digest(regions, table)
    views = [{n: get(region, table, f"key-{n}") for n in range(20)} for region in regions]
    assert views[0] == views[1] == views[2]
    assert all(item["round"] == 4 for item in views[0].values())


def test_losers_of_conflicts_are_seen_and_put_back(regions, table):
    """All writes that lost are in every region's stream of conflicts, and on the command line; one is put back."""

    def write(region):
        here = region.resource().Table(table)
        for round_number in range(10):
            here.put_item(Item={"pk": "contested", "who": region.name, "round": round_number})

    with ThreadPoolExecutor(len(regions)) as pool:
        list(pool.map(write, regions))
    same_digest(regions, table)

    def losers(region):
        streams = region.client("dynamodbstreams")
        listed = streams.list_streams(TableName=table)["Streams"]
        changes, conflicts = listed
        assert conflicts["StreamLabel"] == changes["StreamLabel"] + ".conflicts"
        arn = conflicts["StreamArn"]
        described = streams.describe_stream(StreamArn=arn)["StreamDescription"]
        assert described["StreamViewType"] == "NEW_AND_OLD_IMAGES"
        found = []
        for shard in described["Shards"]:
            iterator = streams.get_shard_iterator(
                StreamArn=arn, ShardId=shard["ShardId"], ShardIteratorType="TRIM_HORIZON"
            )["ShardIterator"]
            found += streams.get_records(ShardIterator=iterator)["Records"]
        return found

    seen = []
    for region in regions:
        found = losers(region)
        for record in found:
            assert record["userIdentity"]["Type"] == "Conflict"
            loser, winner = record["userIdentity"]["PrincipalId"].split(";")
            assert loser.startswith(f"loser={record['dynamodb']['OldImage']['who']['S']}@")
            assert winner.startswith("winner=")
        seen.append(sorted((r["dynamodb"]["OldImage"]["who"]["S"], r["dynamodb"]["OldImage"]["round"]["N"]) for r in found))
    assert seen[0] == seen[1] == seen[2]
    assert len(seen[0]) >= 2, "the last writes of two regions lost, at least"

    admin = regions[1].admin.removeprefix("http://")

    def run(*arguments):
        command = [BINARY, "conflicts", *arguments, "--admin", admin]
        return subprocess.run(command, env=regions[1].environment(), check=True, stdout=subprocess.PIPE, text=True).stdout

    listed = json.loads(run("list", table, "--output", "json"))
    assert sorted((c["loser"]["item"]["who"]["S"], c["loser"]["item"]["round"]["N"]) for c in listed) == seen[1]
    assert len(run("list", table).splitlines()) == 2 * len(listed)
    one = listed[0]
    shown = json.loads(run("show", table, one["id"]))
    assert shown["loser"] == one["loser"] and shown["current"]["item"] is not None
    data = regions[1].endpoint.removeprefix("http://")
    run("restore", table, one["id"], "--data", data, "--region", regions[1].name)
    for region in regions:
        wait_until(
            lambda region=region: get(region, table, "contested")["who"] == one["loser"]["item"]["who"]["S"],
            f"{region.name}: put back",
        )


def test_settings_travel(regions, table):
    arns = [described(region, table)["TableArn"] for region in regions]
    # Tags and deletion protection are a region's own.
    regions[0].client().tag_resource(ResourceArn=arns[0], Tags=[{"Key": "only", "Value": "here"}])
    assert regions[1].client().list_tags_of_resource(ResourceArn=arns[1])["Tags"] == []
    regions[1].client().update_table(TableName=table, DeletionProtectionEnabled=True)
    assert described(regions[1], table)["DeletionProtectionEnabled"] is True
    assert described(regions[0], table)["DeletionProtectionEnabled"] is False


def test_a_replica_is_added_and_deleted(regions, name):
    first, second, third = regions
    client = first.client()
    client.create_table(**table_definition(name, "pk"))
    client.get_waiter("table_exists").wait(TableName=name, WaiterConfig={"Delay": 1, "MaxAttempts": 60})
    here = first.resource().Table(name)
    with here.batch_writer() as batch:
        for n in range(500):
            batch.put_item(Item={"pk": f"before-{n}", "n": n})
    here.delete_item(Key={"pk": "before-7"})
    assert described(third, name) == {}

    client.update_table(TableName=name, ReplicaUpdates=[{"Create": {"RegionName": third.name}}])
    wait_until(lambda: statuses(first, name).get(third.name) == "ACTIVE", "the replica is ACTIVE")
    wait_until(lambda: described(third, name).get("TableStatus") == "ACTIVE", "the table is ACTIVE there")
    same_digest([first, third], name)
    assert third.client().scan(TableName=name, Select="COUNT")["Count"] == 499
    assert described(second, name) == {}

    with pytest.raises(client.exceptions.ClientError) as refused:
        client.update_table(TableName=name, ReplicaUpdates=[{"Create": {"RegionName": third.name}}])
    assert refused.value.response["Error"]["Code"] == "ValidationException"

    client.update_table(TableName=name, ReplicaUpdates=[{"Delete": {"RegionName": third.name}}])
    wait_until(lambda: third.name not in statuses(first, name), "the replica is gone")
    wait_until(lambda: described(third, name) == {}, "the table is gone there")
    assert client.scan(TableName=name, Select="COUNT")["Count"] == 499


def test_the_wrong_region_in_a_signature_is_refused(regions):
    settings = {**regions[0].settings(), "region_name": regions[1].name}
    import boto3

    client = boto3.client("dynamodb", **settings)
    with pytest.raises(client.exceptions.ClientError) as refused:
        client.list_tables()
    assert refused.value.response["Error"]["Code"] in ("InvalidSignatureException", "SignatureDoesNotMatch")


def test_a_wrong_key_is_refused(regions):
    import boto3

    for wrong, code in (
        ({"aws_secret_access_key": "wrong"}, "InvalidSignatureException"),
        ({"aws_access_key_id": "AKIANOBODY"}, "UnrecognizedClientException"),
    ):
        client = boto3.client("dynamodb", **{**regions[0].settings(), **wrong})
        with pytest.raises(client.exceptions.ClientError) as refused:
            client.list_tables()
        assert refused.value.response["Error"]["Code"] == code


def test_a_real_data_set(regions, name):
    """Some 7,900 airports (those with an IATA code), written in one region, read whole in the others."""
    airports = {
        code: {field: Decimal(str(v)) if isinstance(v, float) else v for field, v in airport.items()}
        for code, airport in airportsdata.load("IATA").items()
    }
    assert len(airports) > 7_000
    definition = table_definition(
        name,
        "iata",
        attributes=("country", "name"),
        GlobalSecondaryIndexes=[
            {
                "IndexName": "by-country",
                "KeySchema": key_schema("country", "name"),
                "Projection": {"ProjectionType": "ALL"},
            }
        ],
    )
    make_global(regions, definition)
    # So many airports of one country in so little time are too much for one key of an index: the SDK tries again.
    with regions[1].resource(attempts=10).Table(name).batch_writer() as batch:
        for airport in airports.values():
            batch.put_item(Item=airport)

    for region in regions:
        wait_until(
            lambda region=region: count(region, name) == len(airports), f"{region.name} has all", every_s=0.5
        )
        assert {item["iata"]: item for item in scan(region, name)} == airports
        here = sorted(a["iata"] for a in airports.values() if a["country"] == "IS")
        there = query_country(region, name, "IS")
        assert here and sorted(item["iata"] for item in there) == here
        assert [item["name"].encode() for item in there] == sorted(item["name"].encode() for item in there)
    same_digest(regions, name)


def scan(region, name, **more):
    table = region.resource().Table(name)
    pages = table.meta.client.get_paginator("scan").paginate(TableName=name, **more)
    return [item for page in pages for item in page.get("Items", [])]


def count(region, name):
    pages = region.client().get_paginator("scan").paginate(TableName=name, Select="COUNT")
    return sum(page["Count"] for page in pages)


def query_country(region, name, country):
    from boto3.dynamodb.conditions import Key

    table = region.resource().Table(name)
    return table.query(IndexName="by-country", KeyConditionExpression=Key("country").eq(country))["Items"]


def test_an_index_added_in_one_region_is_filled_in_all_under_writes(regions, table):
    with regions[0].resource().Table(table).batch_writer() as batch:
        for n in range(300):
            batch.put_item(Item={"pk": f"key-{n}", "h": f"group-{n % 5}"})
    stop = threading.Event()

    def write(region):
        here = region.resource().Table(table)
        n = 0
        while not stop.is_set():
            n += 1
            here.put_item(Item={"pk": f"key-{n * 7 % 400}", "h": f"group-{n % 5}", "who": region.name})
            if n % 10 == 0:
                here.delete_item(Key={"pk": f"key-{n % 400}"})

    with ThreadPoolExecutor(len(regions)) as pool:
        writers = [pool.submit(write, region) for region in regions]
        try:
            regions[1].client().update_table(
                TableName=table,
                AttributeDefinitions=[{"AttributeName": "h", "AttributeType": "S"}],
                GlobalSecondaryIndexUpdates=[
                    {
                        "Create": {
                            "IndexName": "by-h",
                            "KeySchema": key_schema("h"),
                            "Projection": {"ProjectionType": "ALL"},
                        }
                    }
                ],
            )
            for region in regions:
                wait_until(lambda region=region: index_statuses(region, table) == {"by-h": "ACTIVE"}, "it is filled")
        finally:
            stop.set()
    for writer in writers:
        writer.result()
    same_digest(regions, table)
    assert [part["part"] for part in digest(regions[0], table)["indexes"]] == ["by-h"]
    for region in regions:
        pages = region.client().get_paginator("scan").paginate(TableName=table, IndexName="by-h")
        entries = {item["pk"]["S"]: item for page in pages for item in page["Items"]}
        pages = region.client().get_paginator("scan").paginate(TableName=table)
        assert entries == {item["pk"]["S"]: item for page in pages for item in page["Items"]}

    regions[2].client().update_table(TableName=table, GlobalSecondaryIndexUpdates=[{"Delete": {"IndexName": "by-h"}}])
    for region in regions:
        wait_until(lambda region=region: index_statuses(region, table) == {}, "it is gone")
    same_digest(regions, table)


def index_statuses(region, table):
    indexes = described(region, table).get("GlobalSecondaryIndexes", [])
    return {index["IndexName"]: index["IndexStatus"] for index in indexes}


def test_replicas_have_read_throughput_and_a_table_class_of_their_own(regions, name):
    units = {"ReadCapacityUnits": 5, "WriteCapacityUnits": 6}
    index = {
        "IndexName": "by-h",
        "KeySchema": key_schema("h"),
        "Projection": {"ProjectionType": "KEYS_ONLY"},
        "ProvisionedThroughput": units,
    }
    definition = table_definition(
        name, "pk", attributes=["h"], GlobalSecondaryIndexes=[index], ProvisionedThroughput=units
    )
    make_global(regions, {**definition, "BillingMode": "PROVISIONED"})
    first, second, third = regions
    override = {
        "RegionName": second.name,
        "ProvisionedThroughputOverride": {"ReadCapacityUnits": 50},
        "GlobalSecondaryIndexes": [
            {"IndexName": "by-h", "ProvisionedThroughputOverride": {"ReadCapacityUnits": 40}}
        ],
        "TableClassOverride": "STANDARD_INFREQUENT_ACCESS",
    }
    first.client().update_table(TableName=name, ReplicaUpdates=[{"Update": override}])

    def reads(region):
        table = described(region, name)
        (index,) = table["GlobalSecondaryIndexes"]
        return (
            table["ProvisionedThroughput"]["ReadCapacityUnits"],
            table["ProvisionedThroughput"]["WriteCapacityUnits"],
            index["ProvisionedThroughput"]["ReadCapacityUnits"],
            table.get("TableClassSummary", {}).get("TableClass"),
        )

    wait_until(lambda: reads(second) == (50, 6, 40, "STANDARD_INFREQUENT_ACCESS"), "its own settings are there")
    assert reads(first) == reads(third) == (5, 6, 5, None)

    def seen_from(region):
        replicas = {replica["RegionName"]: replica for replica in described(region, name)["Replicas"]}
        return replicas[second.name]

    wait_until(lambda: "ProvisionedThroughputOverride" in seen_from(third), "the third region knows")
    for region in (first, third):
        replica = seen_from(region)
        assert replica["ProvisionedThroughputOverride"] == {"ReadCapacityUnits": 50}
        assert replica["GlobalSecondaryIndexes"] == override["GlobalSecondaryIndexes"]
        assert replica["ReplicaTableClassSummary"]["TableClass"] == "STANDARD_INFREQUENT_ACCESS"
        assert replica["ReplicaArn"].endswith(f":{second.name}:000000000000:table/{name}")

    # Write capacity is the same everywhere.
    third.client().update_table(
        TableName=name, ProvisionedThroughput={"ReadCapacityUnits": 7, "WriteCapacityUnits": 8}
    )
    wait_until(lambda: (reads(first)[:2], reads(second)[:2]) == ((7, 8), (50, 8)), "the new capacity is known")
