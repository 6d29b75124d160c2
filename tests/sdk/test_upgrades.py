"""A data directory of the last landed release is opened by this one, and nothing of it is lost."""

import tarfile
from pathlib import Path

import former
import pytest
from boto3.dynamodb.conditions import Key
from conftest import serve, wait_until

FORMER = sorted((Path(__file__).parent / "former").glob("*.tar.gz"))


@pytest.fixture(params=FORMER, ids=lambda path: path.name.removesuffix(".tar.gz"))
def folder(request, tmp_path):
    with tarfile.open(request.param) as archive:
        archive.extractall(tmp_path, filter="data")
    return tmp_path


def items_of(pages):
    return {int(item["sk"]): plain(item) for page in pages for item in page["Items"]}


def plain(item):
    return item | {"bytes": bytes(item["bytes"])}


def records(region):
    """All that is left of the table's stream, which is all of it for a day."""
    streams = region.client("dynamodbstreams")
    (stream,) = streams.list_streams(TableName=former.TABLE)["Streams"]
    found = []
    for shard in streams.describe_stream(StreamArn=stream["StreamArn"])["StreamDescription"]["Shards"]:
        at = streams.get_shard_iterator(
            StreamArn=stream["StreamArn"], ShardId=shard["ShardId"], ShardIteratorType="TRIM_HORIZON"
        )["ShardIterator"]
        page = streams.get_records(ShardIterator=at)
        found += page["Records"]
    return found


def test_a_former_release_s_directory_is_opened_and_written_to(folder):
    assert FORMER
    for changed in (False, True):
        # Once as it was left, and once more as this release left it.
        with serve(folder) as region:
            client, table = region.client(), region.resource().Table(former.TABLE)
            wait_until(lambda c=client: shown(c)["TableStatus"] == "ACTIVE", "the table is active")
            expected = former.kept()
            if changed:
                expected[1000] = former.item(1000 % 50) | {"sk": 1000}
            paginator = region.resource().meta.client.get_paginator
            for arguments in ({}, {"IndexName": "by-g"}, {"IndexName": "by-l"}):
                found = items_of(paginator("scan").paginate(TableName=former.TABLE, **arguments))
                assert found == expected
            pages = paginator("query").paginate(
                TableName=former.TABLE, IndexName="by-g", KeyConditionExpression=Key("g").eq("g-3")
            )
            assert items_of(pages) == {number: item for number, item in expected.items() if item["g"] == "g-3"}
            assert shown(client)["StreamSpecification"] == former.STREAM
            (tag,) = client.list_tags_of_resource(ResourceArn=shown(client)["TableArn"])["Tags"]
            assert tag["Value"] == "a release before"
            ttl = client.describe_time_to_live(TableName=former.TABLE)["TimeToLiveDescription"]
            assert ttl["AttributeName"] == "expires" and ttl["TimeToLiveStatus"] in ("ENABLED", "ENABLING")
            if not changed:
                table.put_item(Item=former.item(1000 % 50) | {"sk": 1000})
                assert any(int(r["dynamodb"]["Keys"]["sk"]["N"]) == 1000 for r in records(region))


def shown(client):
    return client.describe_table(TableName=former.TABLE)["Table"]


def test_a_directory_that_cannot_be_read_is_refused_and_left_as_it_is(folder):
    """The control: one byte of the manifest's name file says that another release wrote it."""
    current = next((folder / "data").rglob("CURRENT"))
    whole = current.read_bytes()
    current.write_bytes(whole[::-1])
    before = {path: path.stat().st_size for path in (folder / "data").rglob("*.sst")}
    with pytest.raises(pytest.fail.Exception), serve(folder):
        pass
    assert {path: path.stat().st_size for path in (folder / "data").rglob("*.sst")} == before
