"""UpdateTimeToLive, DescribeTimeToLive, and that expired items go."""

import time
from decimal import Decimal

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError

from conftest import serve, table_definition, wait_until
from test_global_tables import make_global, same_digest

QUICK = """
[ttl]
sweep_ms = 50
grace_ms = 0
change_interval_ms = 1500
"""


@pytest.fixture(scope="module")
def quick(tmp_path_factory):
    """A region that looks for expired items twenty times a second, and lets the setting change after 1.5 seconds."""
    with serve(tmp_path_factory.mktemp("ttl"), QUICK) as region:
        yield region


def status(client, table):
    return client.describe_time_to_live(TableName=table)["TimeToLiveDescription"]


def switch(client, table, enabled, attribute="ttl"):
    specification = {"Enabled": enabled, "AttributeName": attribute}
    reply = client.update_time_to_live(TableName=table, TimeToLiveSpecification=specification)
    assert reply["TimeToLiveSpecification"] == specification


def refused(code, message, call):
    with pytest.raises(ClientError) as error:
        call()
    assert (error.value.response["Error"]["Code"], error.value.response["Error"]["Message"]) == (code, message)


def keys(client, table, **more):
    return sorted(item["pk"]["S"] for item in client.scan(TableName=table, **more)["Items"])


def new_table(client, name, **more):
    client.create_table(
        TableName=name,
        BillingMode="PAY_PER_REQUEST",
        AttributeDefinitions=[{"AttributeName": n, "AttributeType": "S"} for n in ("pk", "gk")],
        KeySchema=[{"AttributeName": "pk", "KeyType": "HASH"}],
        GlobalSecondaryIndexes=[
            {
                "IndexName": "by-gk",
                "KeySchema": [{"AttributeName": "gk", "KeyType": "HASH"}],
                "Projection": {"ProjectionType": "ALL"},
            }
        ],
        **more,
    )
    client.get_waiter("table_exists").wait(TableName=name, WaiterConfig={"Delay": 1, "MaxAttempts": 30})


def test_time_to_live_is_off_until_it_is_switched_on(client, make_table):
    table = make_table("pk")
    assert status(client, table) == {"TimeToLiveStatus": "DISABLED"}
    refused("ValidationException", "TimeToLive is already disabled", lambda: switch(client, table, False))
    switch(client, table, True)
    described = status(client, table)
    assert described == {"TimeToLiveStatus": "ENABLED", "AttributeName": "ttl"}
    on = {"TimeToLiveStatus": "ENABLED", "AttributeName": "ttl"}
    wait_until(lambda: status(client, table) == on, "time to live is enabled")


def test_the_setting_changes_once_an_hour(client, make_table):
    table = make_table("pk")
    switch(client, table, True)
    refused("ValidationException", "TimeToLive is already enabled", lambda: switch(client, table, True))
    refused(
        "ValidationException",
        "TimeToLive is active on a different AttributeName: current AttributeName is ttl",
        lambda: switch(client, table, True, "other"),
    )
    refused(
        "ValidationException",
        "Time to live has been modified multiple times within a fixed interval",
        lambda: switch(client, table, False),
    )


def test_requests_are_validated(dev, make_table):
    table = make_table("pk")
    # botocore's own checks must not get in the way.
    settings = dev.settings()
    settings["config"] = settings["config"].merge(Config(parameter_validation=False))
    client = boto3.client("dynamodb", **settings)
    one = "1 validation error detected: Value "
    for attribute, message in [
        (
            "",
            one + "'' at 'timeToLiveSpecification.attributeName' failed to satisfy constraint: "
            "Member must have length greater than or equal to 1",
        ),
        (
            "a" * 256,
            one + f"'{'a' * 256}' at 'timeToLiveSpecification.attributeName' failed to satisfy constraint: "
            "Member must have length less than or equal to 255",
        ),
    ]:
        specification = {"Enabled": True, "AttributeName": attribute}
        refused(
            "ValidationException",
            message,
            lambda: client.update_time_to_live(TableName=table, TimeToLiveSpecification=specification),
        )
    switch(client, table, True, "a" * 255)


def test_a_table_that_is_not_there(client):
    message = "Requested resource not found: Table: not-there not found"
    refused("ResourceNotFoundException", message, lambda: status(client, "not-there"))
    refused("ResourceNotFoundException", message, lambda: switch(client, "not-there", True))


def test_expired_items_go_and_the_others_stay(quick, name):
    client = quick.client()
    new_table(client, name)
    now = int(time.time())
    five_years = 5 * 365 * 86400 + 2 * 86400
    stay = {
        "later": {"N": str(now + 3600)},
        "milliseconds": {"N": str(now * 1000)},
        "too-old": {"N": str(now - five_years)},
        "zero": {"N": "0"},
        "negative": {"N": "-5"},
        "text": {"S": str(now - 60)},
        "set": {"NS": [str(now - 60)]},
        "null": {"NULL": True},
    }
    go = {"gone": {"N": str(now - 60)}, "gone-exponent": {"N": f"{now - 60}E0"}}
    # Half before time to live is switched on, which goes through what is there, half after.
    values = list({**stay, **go}.items())
    put = lambda pk, value: client.put_item(TableName=name, Item={"pk": {"S": pk}, "gk": {"S": "g"}, "ttl": value})
    for pk, value in values:
        put("before-" + pk, value)
    client.put_item(TableName=name, Item={"pk": {"S": "without"}, "gk": {"S": "g"}})
    switch(client, name, True)
    for pk, value in values:
        put("after-" + pk, value)
    put("soon", {"N": str(now + 2)})
    left = sorted([when + pk for when in ("before-", "after-") for pk in stay] + ["without"])
    wait_until(lambda: keys(client, name) == left, "the expired items are gone")
    assert time.time() > now + 2, "the last one did not go before its time"
    assert keys(client, name, IndexName="by-gk") == left
    table = wait_until(
        lambda: (seen := client.describe_table(TableName=name)["Table"])["ItemCount"] == len(left) and seen, "counts"
    )
    assert table["GlobalSecondaryIndexes"][0]["ItemCount"] == len(left)


def test_an_expired_item_shows_until_it_is_deleted(client, make_table):
    # The sweep of `geodynamo dev` is not as quick as this.
    table = make_table("pk")
    switch(client, table, True)
    past = {"N": str(int(time.time()) - 60)}
    client.put_item(TableName=table, Item={"pk": {"S": "a"}, "ttl": past})
    seen = client.get_item(TableName=table, Key={"pk": {"S": "a"}}, ConsistentRead=True)
    assert seen.get("Item") is None or seen["Item"]["ttl"] == past
    gone = lambda: "Item" not in client.get_item(TableName=table, Key={"pk": {"S": "a"}})
    wait_until(gone, "the item is deleted within a minute", deadline_s=60)


def test_a_renewed_item_stays(quick, name):
    client = quick.client()
    new_table(client, name)
    switch(client, name, True)
    table = quick.resource().Table(name)
    now = int(time.time())
    for pk in ("renewed", "freed", "let-go"):
        table.put_item(Item={"pk": pk, "ttl": Decimal(now + 2)})
    names = {"#t": "ttl"}
    table.update_item(
        Key={"pk": "renewed"},
        UpdateExpression="ADD #t :d",
        ExpressionAttributeNames=names,
        ExpressionAttributeValues={":d": 3600},
    )
    table.update_item(Key={"pk": "freed"}, UpdateExpression="REMOVE #t", ExpressionAttributeNames=names)
    wait_until(lambda: keys(client, name) == ["freed", "renewed"], "only the item that was let go is gone")


def test_switched_off_nothing_expires_and_another_attribute_may_be_chosen(quick, name):
    client = quick.client()
    new_table(client, name)
    put = lambda pk, **ttl: client.put_item(
        TableName=name, Item={"pk": {"S": pk}, **{key: {"N": str(value)} for key, value in ttl.items()}}
    )
    past = int(time.time()) - 60
    switch(client, name, True)
    put("first", ttl=past)
    wait_until(lambda: keys(client, name) == [], "it is gone")
    off = lambda: status(client, name) == {"TimeToLiveStatus": "DISABLED"}
    wait_until(lambda: changed(client, name, False, "ttl"), "it may be switched off")
    wait_until(off, "it is off")
    put("second", ttl=past)
    put("third", other=past)
    wait_until(lambda: changed(client, name, True, "other"), "it may be switched on again")
    wait_until(lambda: keys(client, name) == ["second"], "what expires by the other attribute is gone")


def changed(client, table, enabled, attribute):
    """Whether the setting could be changed: too soon after the last change it cannot."""
    try:
        switch(client, table, enabled, attribute)
        return True
    except ClientError as error:
        assert "multiple times within a fixed interval" in str(error), error
        return False


def test_expired_items_go_after_a_restart(tmp_path, name):
    with serve(tmp_path, "[ttl]\nsweep_ms = 3600000\n") as region:
        client = region.client()
        new_table(client, name)
        past = {"N": str(int(time.time()) - 60)}
        client.put_item(TableName=name, Item={"pk": {"S": "first"}, "ttl": past})
        switch(client, name, True)
        wait_until(lambda: keys(client, name) == [], "the only sweep for an hour is over")
        for pk in ("a", "b", "c"):
            client.put_item(TableName=name, Item={"pk": {"S": pk}, "ttl": past})
        client.put_item(TableName=name, Item={"pk": {"S": "stays"}})
        assert keys(client, name) == ["a", "b", "c", "stays"]
    with serve(tmp_path, QUICK) as region:
        client = region.client()
        assert status(client, name) == {"TimeToLiveStatus": "ENABLED", "AttributeName": "ttl"}
        wait_until(lambda: keys(client, name) == ["stays"], "the expired items are gone")


def test_a_global_table_expires_everywhere_and_one_region_says_it_was_the_service(regions, name):
    make_global(regions, table_definition(name, "pk"))
    first, writer = regions[0].client(), regions[1].client()
    switch(first, name, True)
    on = {"TimeToLiveStatus": "ENABLED", "AttributeName": "ttl"}
    for region in regions:
        wait_until(lambda: status(region.client(), name) == on, f"time to live is enabled in {region.name}")
    expires = str(int(time.time()) + 10)
    pks = [f"k{number}" for number in range(10)]
    for pk in pks:
        writer.put_item(TableName=name, Item={"pk": {"S": pk}, "ttl": {"N": expires}})
    writer.put_item(TableName=name, Item={"pk": {"S": "stays"}})
    for region in regions:
        wait_until(lambda: keys(region.client(), name) == [*pks, "stays"], f"the items are in {region.name}")
    for region in regions:
        wait_until(lambda: keys(region.client(), name) == ["stays"], f"the items are gone in {region.name}")
    same_digest(regions, name)
    # The region that wrote the items deleted them; the others took its deletions over.
    for region in regions:
        found = lambda: len(seen := removals(region, name)) == len(pks) and seen
        removed = wait_until(found, "the records", every_s=1)
        service = {"Type": "Service", "PrincipalId": "dynamodb.amazonaws.com"}
        expected = service if region is regions[1] else None
        assert [record.get("userIdentity") for record in removed] == [expected] * len(pks), region.name


def removals(region, table):
    streams = region.client("dynamodbstreams")
    arn = region.client().describe_table(TableName=table)["Table"]["LatestStreamArn"]
    records = []
    for shard in streams.describe_stream(StreamArn=arn)["StreamDescription"]["Shards"]:
        where = {"StreamArn": arn, "ShardId": shard["ShardId"], "ShardIteratorType": "TRIM_HORIZON"}
        at = streams.get_shard_iterator(**where)["ShardIterator"]
        while at and (page := streams.get_records(ShardIterator=at))["Records"]:
            records += page["Records"]
            at = page.get("NextShardIterator")
    return [record for record in records if record["eventName"] == "REMOVE"]
