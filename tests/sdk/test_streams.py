"""DynamoDB Streams: ListStreams, DescribeStream, GetShardIterator, GetRecords, and a consumer that walks the shards."""

import json
import time

import boto3
import pytest
from boto3.dynamodb.types import TypeDeserializer, TypeSerializer
from botocore.config import Config
from conftest import serve, table_definition, wait_until

SHARD_S = 2
RETENTION_S = 3600


@pytest.fixture
def streams(dev):
    return dev.client("dynamodbstreams")


@pytest.fixture(scope="session")
def quick(tmp_path_factory):
    """A region whose shards are two seconds old when a child continues them, of tables of two partitions; a shard may be
    read five times a second."""
    settings = f"""
[storage]
partitions_per_table = 2
[streams]
shard_seconds = {SHARD_S}
retention_seconds = {RETENTION_S}
reads_per_second = 5
"""
    with serve(tmp_path_factory.mktemp("quick"), settings) as region:
        yield region


def with_stream(make_table, *keys, view="NEW_AND_OLD_IMAGES", **more):
    return make_table(*keys, StreamSpecification={"StreamEnabled": True, "StreamViewType": view}, **more)


def stream_of(client, table):
    return client.describe_table(TableName=table)["Table"]["LatestStreamArn"]


def shards_of(streams, arn, **more):
    """All shards, page by page."""
    shards, start = [], {}
    while True:
        described = streams.describe_stream(StreamArn=arn, **start, **more)["StreamDescription"]
        shards += described["Shards"]
        if "LastEvaluatedShardId" not in described:
            return shards
        start = {"ExclusiveStartShardId": described["LastEvaluatedShardId"]}


def iterator(streams, arn, shard, kind="TRIM_HORIZON", **more):
    got = streams.get_shard_iterator(StreamArn=arn, ShardId=shard["ShardId"], ShardIteratorType=kind, **more)
    return got["ShardIterator"]


def drain(streams, at, **more):
    """All records that there are from an iterator on."""
    records = []
    while at:
        page = streams.get_records(ShardIterator=at, **more)
        if not page["Records"]:
            return records
        records += page["Records"]
        at = page.get("NextShardIterator")
    return records


def everything(streams, arn):
    return [record for shard in shards_of(streams, arn) for record in drain(streams, iterator(streams, arn, shard))]


def refusal(call, **arguments):
    """The code and the message of the error that a call gives."""
    with pytest.raises(Exception) as refused:
        call(**arguments)
    error = refused.value.response["Error"]
    return error["Code"], error["Message"]


def item(pk, **more):
    return {"pk": {"S": pk}, **{name: TypeSerializer().serialize(value) for name, value in more.items()}}


def test_a_record_has_awss_shape(dev, client, streams, make_table):
    table = with_stream(make_table, "pk")
    before = int(time.time())
    client.put_item(TableName=table, Item=item("a", x=1))
    client.update_item(
        TableName=table,
        Key=item("a"),
        UpdateExpression="SET x = :v",
        ExpressionAttributeValues={":v": {"S": "two"}},
    )
    client.delete_item(TableName=table, Key=item("a"))
    records = everything(streams, stream_of(client, table))
    assert [record["eventName"] for record in records] == ["INSERT", "MODIFY", "REMOVE"]
    assert len({record["eventID"] for record in records}) == 3
    for record in records:
        assert record["eventVersion"] == "1.1"
        assert record["eventSource"] == "aws:dynamodb"
        assert record["awsRegion"] == dev.name
        assert "userIdentity" not in record
        body = record["dynamodb"]
        assert body["Keys"] == item("a")
        assert body["StreamViewType"] == "NEW_AND_OLD_IMAGES"
        created = body["ApproximateCreationDateTime"]
        assert before <= created.timestamp() <= time.time()
        assert created.microsecond == 0
        assert 21 <= len(body["SequenceNumber"]) <= 40 and body["SequenceNumber"].isdigit()
    numbers = [record["dynamodb"]["SequenceNumber"] for record in records]
    assert numbers == sorted(numbers, key=int) == sorted(numbers)
    images = [(body.get("OldImage"), body.get("NewImage")) for body in (record["dynamodb"] for record in records)]
    assert images == [
        (None, item("a", x=1)),
        (item("a", x=1), item("a", x="two")),
        (item("a", x="two"), None),
    ]


def test_size_bytes_is_that_of_aws_documents_example(client, streams, make_table):
    """The records of AWS's guide (Lambda with DynamoDB Streams), whose sizes are told there."""
    table = with_stream(make_table, "Id:N")
    key = {"Id": {"N": "101"}}
    client.put_item(TableName=table, Item={**key, "Message": {"S": "New item!"}})
    client.put_item(TableName=table, Item={**key, "Message": {"S": "This item has changed"}})
    client.delete_item(TableName=table, Key=key)
    records = everything(streams, stream_of(client, table))
    assert [record["dynamodb"]["SizeBytes"] for record in records] == [26, 59, 38]


def test_a_new_streams_shards_are_the_tables_partitions(client, streams, make_table, name):
    """As many as DynamoDB gives a new table for what it can take: programs that read the first shard only see all of a
    small provisioned table's."""
    provisioned = lambda read, write: {  # noqa: E731
        "BillingMode": "PROVISIONED",
        "ProvisionedThroughput": {"ReadCapacityUnits": read, "WriteCapacityUnits": write},
    }
    for number, (billing, shards) in enumerate(
        [
            ({}, 4),
            (provisioned(5, 5), 1),
            (provisioned(3000, 1000), 1),
            (provisioned(1, 2001), 3),
            ({"WarmThroughput": {"ReadUnitsPerSecond": 15_001}}, 6),
        ]
    ):
        table = with_stream(make_table, "pk", name=f"{name}-{number}", **billing)
        assert len(shards_of(streams, stream_of(client, table))) == shards, billing


@pytest.mark.parametrize("view", ["KEYS_ONLY", "NEW_IMAGE", "OLD_IMAGE", "NEW_AND_OLD_IMAGES"])
def test_view_types(client, streams, make_table, view):
    table = with_stream(make_table, "pk", view=view)
    client.put_item(TableName=table, Item=item("a", x=1))
    client.put_item(TableName=table, Item=item("a", x=2))
    first, second = (record["dynamodb"] for record in everything(streams, stream_of(client, table)))
    assert first["StreamViewType"] == second["StreamViewType"] == view
    assert ("NEW" in view) == ("NewImage" in first) == ("NewImage" in second)
    assert ("OLD" in view) == ("OldImage" in second)
    assert "OldImage" not in first
    assert first["Keys"] == item("a")


def test_writes_that_change_nothing_have_no_record(client, streams, make_table):
    for view in ("KEYS_ONLY", "NEW_AND_OLD_IMAGES"):
        table = with_stream(make_table, "pk", view=view, name=f"unchanged-{view}-{time.time_ns()}")
        client.put_item(TableName=table, Item=item("a", x={"one", "two"}))
        client.put_item(TableName=table, Item=item("a", x={"two", "one"}))
        client.update_item(
            TableName=table,
            Key=item("a"),
            UpdateExpression="SET y = :v REMOVE y2",
            ExpressionAttributeValues={":v": {"N": "1"}},
        )
        client.update_item(
            TableName=table,
            Key=item("a"),
            UpdateExpression="SET y = :v",
            ExpressionAttributeValues={":v": {"N": "1.0"}},
        )
        client.delete_item(TableName=table, Key=item("b"))
        records = everything(streams, stream_of(client, table))
        assert [record["eventName"] for record in records] == ["INSERT", "MODIFY"], view


def test_batches_are_recorded_like_single_writes(client, streams, make_table):
    table = with_stream(make_table, "pk", "sk:N")
    keys = [{"pk": {"S": "a"}, "sk": {"N": str(n)}} for n in range(20)]
    client.batch_write_item(RequestItems={table: [{"PutRequest": {"Item": key}} for key in keys]})
    client.batch_write_item(RequestItems={table: [{"DeleteRequest": {"Key": key}} for key in keys[:5]]})
    records = everything(streams, stream_of(client, table))
    assert sorted(r["eventName"] for r in records) == ["INSERT"] * 20 + ["REMOVE"] * 5


def test_replaying_a_stream_gives_the_table(client, streams, make_table):
    table = with_stream(make_table, "pk", "sk:N")
    for n in range(120):
        key = {"pk": {"S": "abc"[n % 3]}, "sk": {"N": str(n % 7)}}
        if n % 5 == 4:
            client.delete_item(TableName=table, Key=key)
        else:
            client.put_item(TableName=table, Item={**key, "n": {"N": str(n)}})
    replayed = {}
    for record in everything(streams, stream_of(client, table)):
        body = record["dynamodb"]
        key = json.dumps(body["Keys"], sort_keys=True)
        assert replayed.get(key) == body.get("OldImage")
        if record["eventName"] == "REMOVE":
            del replayed[key]
        else:
            assert (record["eventName"] == "INSERT") == (key not in replayed)
            replayed[key] = body["NewImage"]
    found = client.scan(TableName=table, ConsistentRead=True)["Items"]
    ordered = lambda items: sorted(items, key=lambda one: json.dumps(one, sort_keys=True))  # noqa: E731
    assert ordered(replayed.values()) == ordered(found)


def test_a_read_right_after_a_write_sees_it(client, streams, make_table):
    table = with_stream(make_table, "pk")
    arn = stream_of(client, table)
    latest = {shard["ShardId"]: iterator(streams, arn, shard, "LATEST") for shard in shards_of(streams, arn)}
    for n in range(10):
        client.put_item(TableName=table, Item=item(f"key {n}"))
        found = []
        for shard, at in latest.items():
            page = streams.get_records(ShardIterator=at)
            found += page["Records"]
            latest[shard] = page["NextShardIterator"]
        assert [record["dynamodb"]["Keys"] for record in found] == [item(f"key {n}")]


def test_describe_stream(client, streams, make_table):
    table = with_stream(make_table, "pk", "sk:N", view="OLD_IMAGE")
    shown = client.describe_table(TableName=table)["Table"]
    described = streams.describe_stream(StreamArn=shown["LatestStreamArn"])["StreamDescription"]
    assert described["StreamArn"] == shown["LatestStreamArn"]
    assert described["StreamLabel"] == shown["LatestStreamLabel"]
    assert described["StreamArn"].endswith(f":table/{table}/stream/{described['StreamLabel']}")
    assert described["StreamStatus"] == "ENABLED"
    assert described["StreamViewType"] == "OLD_IMAGE"
    assert described["TableName"] == table
    assert described["KeySchema"] == shown["KeySchema"]
    assert described["CreationRequestDateTime"].timestamp() == pytest.approx(time.time(), abs=60)
    shards = described["Shards"]
    assert shards
    for shard in shards:
        assert 28 <= len(shard["ShardId"]) <= 65
        assert set(shard["SequenceNumberRange"]) == {"StartingSequenceNumber"}
        assert "ParentShardId" not in shard
    # Paged, it is the same.
    assert shards_of(streams, described["StreamArn"], Limit=3) == shards
    first = streams.describe_stream(StreamArn=described["StreamArn"], Limit=3)["StreamDescription"]
    assert first["LastEvaluatedShardId"] == first["Shards"][-1]["ShardId"]


def test_list_streams_pages(client, streams, make_table, name):
    tables = sorted(with_stream(make_table, "pk", name=f"{name}-{n}") for n in range(5))
    listed, start = [], {}
    while True:
        page = streams.list_streams(Limit=2, **start)
        assert len(page["Streams"]) <= 2
        listed += page["Streams"]
        if "LastEvaluatedStreamArn" not in page:
            break
        start = {"ExclusiveStartStreamArn": page["LastEvaluatedStreamArn"]}
    assert [stream["TableName"] for stream in listed if stream["TableName"] in tables] == tables
    only = streams.list_streams(TableName=tables[1])["Streams"]
    shown = client.describe_table(TableName=tables[1])["Table"]
    assert only == [
        {
            "StreamArn": shown["LatestStreamArn"],
            "StreamLabel": shown["LatestStreamLabel"],
            "TableName": tables[1],
        }
    ]
    assert streams.list_streams(TableName=f"{name}-no-such-table")["Streams"] == []


def test_switched_off_and_on_it_is_another_stream(client, streams, make_table):
    table = with_stream(make_table, "pk")
    client.put_item(TableName=table, Item=item("a", x=1))
    old = stream_of(client, table)
    client.update_table(TableName=table, StreamSpecification={"StreamEnabled": False})
    client.put_item(TableName=table, Item=item("a", x=2))
    shown = streams.describe_stream(StreamArn=old)["StreamDescription"]
    assert shown["StreamStatus"] == "DISABLED"
    assert all("EndingSequenceNumber" in shard["SequenceNumberRange"] for shard in shown["Shards"])
    on = {"StreamEnabled": True, "StreamViewType": "KEYS_ONLY"}
    client.update_table(TableName=table, StreamSpecification=on)
    new = stream_of(client, table)
    assert new != old
    client.put_item(TableName=table, Item=item("a", x=3))
    assert [r["dynamodb"]["NewImage"] for r in everything(streams, old)] == [item("a", x=1)]
    assert [(r["eventName"], r["dynamodb"]["Keys"]) for r in everything(streams, new)] == [("MODIFY", item("a"))]
    assert [stream["StreamArn"] for stream in streams.list_streams(TableName=table)["Streams"]] == [old, new]
    # A closed shard's last page has no next iterator.
    shard = shown["Shards"][0]
    assert "NextShardIterator" not in streams.get_records(ShardIterator=iterator(streams, old, shard))


def test_a_deleted_tables_stream_stays_readable(client, streams, name):
    on = {"StreamEnabled": True, "StreamViewType": "NEW_IMAGE"}
    client.create_table(**table_definition(name, "pk", StreamSpecification=on))
    client.put_item(TableName=name, Item=item("a", x=1))
    arn = stream_of(client, name)
    client.delete_table(TableName=name)
    client.get_waiter("table_not_exists").wait(TableName=name, WaiterConfig={"Delay": 1, "MaxAttempts": 30})
    assert streams.describe_stream(StreamArn=arn)["StreamDescription"]["StreamStatus"] == "DISABLED"
    assert [record["dynamodb"]["NewImage"] for record in everything(streams, arn)] == [item("a", x=1)]
    assert [stream["StreamArn"] for stream in streams.list_streams(TableName=name)["Streams"]] == [arn]


def test_iterator_types(client, streams, make_table):
    table = with_stream(make_table, "pk", "sk:N")
    for n in range(8):
        client.put_item(TableName=table, Item={"pk": {"S": "a"}, "sk": {"N": str(n)}})
    arn = stream_of(client, table)
    [(shard, records)] = [
        (shard, found)
        for shard in shards_of(streams, arn)
        if (found := drain(streams, iterator(streams, arn, shard)))
    ]
    assert len(records) == 8
    read = lambda kind, **more: drain(streams, iterator(streams, arn, shard, kind, **more))  # noqa: E731
    assert read("LATEST") == []
    start = shard["SequenceNumberRange"]["StartingSequenceNumber"]
    assert read("AT_SEQUENCE_NUMBER", SequenceNumber=start) == records
    for n, record in enumerate(records):
        number = record["dynamodb"]["SequenceNumber"]
        assert read("AT_SEQUENCE_NUMBER", SequenceNumber=number) == records[n:]
        assert read("AFTER_SEQUENCE_NUMBER", SequenceNumber=number) == records[n + 1 :]
    assert read("AT_TIMESTAMP", Timestamp=0) == records
    # Limit pages; the pages join.
    assert drain(streams, iterator(streams, arn, shard), Limit=3) == records
    assert len(streams.get_records(ShardIterator=iterator(streams, arn, shard), Limit=3)["Records"]) == 3


def test_get_records_stops_at_one_megabyte(client, streams, make_table):
    table = with_stream(make_table, "pk", "sk:N", view="NEW_IMAGE")
    for n in range(7):
        client.put_item(TableName=table, Item={"pk": {"S": "a"}, "sk": {"N": str(n)}, "x": {"S": "x" * 300_000}})
    arn = stream_of(client, table)
    pages = []
    for shard in shards_of(streams, arn):
        at = iterator(streams, arn, shard)
        while (page := streams.get_records(ShardIterator=at))["Records"]:
            pages.append(len(page["Records"]))
            at = page["NextShardIterator"]
    assert pages == [3, 3, 1]


def test_refusals(dev, client, streams, make_table):
    table = with_stream(make_table, "pk")
    arn = stream_of(client, table)
    shard = shards_of(streams, arn)[0]["ShardId"]
    missing = arn[: arn.rindex("/") + 1] + "1999-12-31T23:59:59.999"
    not_found = ("ResourceNotFoundException", f"Requested resource not found: Stream: {missing} not found")
    assert refusal(streams.describe_stream, StreamArn=missing) == not_found
    no_shard = ("ResourceNotFoundException", "Requested resource not found: Shard does not exist")
    nowhere = "shardId-00000000000000000000-00000000"
    latest = {"ShardIteratorType": "LATEST"}
    assert refusal(streams.get_shard_iterator, StreamArn=missing, ShardId=shard, **latest) == not_found
    assert refusal(streams.get_shard_iterator, StreamArn=arn, ShardId=nowhere, **latest) == no_shard
    for kind in ("AT_SEQUENCE_NUMBER", "AFTER_SEQUENCE_NUMBER"):
        given = {"StreamArn": arn, "ShardId": shard, "ShardIteratorType": kind}
        assert refusal(streams.get_shard_iterator, **given)[0] == "ValidationException"
        code, message = refusal(streams.get_shard_iterator, **given, SequenceNumber="1" * 40)
        assert (code, message) == ("ValidationException", "Invalid SequenceNumber")
    at_time = {"StreamArn": arn, "ShardId": shard, "ShardIteratorType": "AT_TIMESTAMP"}
    for given in ({}, {"Timestamp": time.time() + 60}):
        assert refusal(streams.get_shard_iterator, **at_time, **given)[0] == "ValidationException"
    for bad in (arn[: arn.rindex("/stream/")], "a" * 40):
        assert refusal(streams.describe_stream, StreamArn=bad)[0] == "ValidationException"
    good = streams.get_shard_iterator(StreamArn=arn, ShardId=shard, **latest)["ShardIterator"]
    streams.get_records(ShardIterator=good)
    for bad in ("nonsense", good[:-1], good[:-1] + ("0" if good[-1] != "0" else "1"), good.replace(table, "other")):
        assert refusal(streams.get_records, ShardIterator=bad)[0] in ("ValidationException", "ResourceNotFoundException")
    assert refusal(streams.get_records, ShardIterator=good, Limit=1001) == (
        "ValidationException",
        "1 validation error detected: Value '1001' at 'limit' failed to satisfy constraint: "
        "Member must have value less than or equal to 1000",
    )
    for kind in ("TRIM_HORIZON", "LATEST"):
        given = {"StreamArn": arn, "ShardId": shard, "ShardIteratorType": kind, "SequenceNumber": "1" * 21}
        assert refusal(streams.get_shard_iterator, **given) == (
            "ValidationException",
            f"SequenceNumber must not be provided for the ShardIteratorType {kind}",
        )
    # The SDK itself refuses what its model does, unless told not to.
    unchecked = dev.settings()
    unchecked["config"] = unchecked["config"].merge(Config(parameter_validation=False))
    unchecked = boto3.client("dynamodbstreams", **unchecked)
    code, message = refusal(unchecked.get_records, ShardIterator=good, Limit=0)
    assert code == "ValidationException"
    assert message == (
        "1 validation error detected: Value '0' at 'limit' failed to satisfy constraint: "
        "Member must have value greater than or equal to 1"
    )


class Consumer:
    """Walks a stream as the KCL's DynamoDB adapter does: parents to their ends first, then their children, which it asks
    for by CHILD_SHARDS; checkpoints by sequence number."""

    def __init__(self, streams, arn):
        self.streams, self.arn = streams, arn
        self.open = {}
        self.seen = set()
        self.records = []
        self.lineage = []
        for shard in shards_of(streams, arn):
            if "ParentShardId" not in shard:
                self.start(shard)

    def start(self, shard):
        if shard["ShardId"] in self.seen:
            return
        self.seen.add(shard["ShardId"])
        self.lineage.append((shard.get("ParentShardId"), shard["ShardId"]))
        self.open[shard["ShardId"]] = iterator(self.streams, self.arn, shard)

    def poll(self):
        for shard, at in list(self.open.items()):
            page = self.streams.get_records(ShardIterator=at)
            self.records += page["Records"]
            if "NextShardIterator" in page:
                self.open[shard] = page["NextShardIterator"]
                continue
            del self.open[shard]
            children = shards_of(self.streams, self.arn, ShardFilter={"Type": "CHILD_SHARDS", "ShardId": shard})
            assert children, "a closed shard of a stream that is on has a child"
            for child in children:
                assert child["ParentShardId"] == shard
                self.start(child)


def test_a_consumer_follows_the_shards_over_three_generations(quick):
    client, streams = quick.client(), quick.client("dynamodbstreams")
    on = {"StreamEnabled": True, "StreamViewType": "NEW_IMAGE"}
    client.create_table(**table_definition("walked", "pk", "sk:N", StreamSpecification=on))
    client.get_waiter("table_exists").wait(TableName="walked", WaiterConfig={"Delay": 1, "MaxAttempts": 30})
    consumer = Consumer(streams, stream_of(client, "walked"))
    written = 0

    def three_generations():
        nonlocal written
        for pk in ("a", "b", "c", "d", "e"):
            client.put_item(TableName="walked", Item={"pk": {"S": pk}, "sk": {"N": "1"}, "n": {"N": str(written)}})
            written += 1
        consumer.poll()
        return len(consumer.seen) >= 2 * 4

    wait_until(three_generations, "each partition has had four shards", every_s=0.3)
    wait_until(lambda: consumer.poll() or len(consumer.records) >= written, "all is read", every_s=0.3)
    numbers = [int(record["dynamodb"]["NewImage"]["n"]["N"]) for record in consumer.records]
    assert sorted(numbers) == list(range(written)), "each write once"
    by_key = {}
    for record in consumer.records:
        by_key.setdefault(record["dynamodb"]["Keys"]["pk"]["S"], []).append(record["dynamodb"])
    for bodies in by_key.values():
        order = [int(body["NewImage"]["n"]["N"]) for body in bodies]
        assert order == sorted(order)
        sequences = [int(body["SequenceNumber"]) for body in bodies]
        assert sequences == sorted(sequences)
    # The lineage is what DescribeStream shows of it; every range is closed but the last ones, and they follow each other.
    shards = {shard["ShardId"]: shard for shard in shards_of(streams, consumer.arn)}
    for parent, child in consumer.lineage:
        assert shards[child].get("ParentShardId") == parent
        if parent:
            ranges = shards[parent]["SequenceNumberRange"], shards[child]["SequenceNumberRange"]
            assert int(ranges[0]["EndingSequenceNumber"]) < int(ranges[1]["StartingSequenceNumber"])
    # A checkpoint in a closed shard reads on from there.
    first = consumer.records[0]["dynamodb"]["SequenceNumber"]
    closed = next(
        shard
        for shard in shards.values()
        if int(shard["SequenceNumberRange"]["StartingSequenceNumber"])
        < int(first)
        < int(shard["SequenceNumberRange"].get("EndingSequenceNumber", "9" * 40))
        and drain_slowly(streams, iterator(streams, consumer.arn, shard))[:1]
        and drain_slowly(streams, iterator(streams, consumer.arn, shard))[0]["dynamodb"]["SequenceNumber"] == first
    )
    rest = drain_slowly(streams, iterator(streams, consumer.arn, closed, "AFTER_SEQUENCE_NUMBER", SequenceNumber=first))
    whole = drain_slowly(streams, iterator(streams, consumer.arn, closed))
    assert rest == whole[1:]


def drain_slowly(streams, at):
    """As drain, where reads are counted: what is read too often is read again."""
    return wait_until(lambda: try_drain(streams, at), "the shard may be read", every_s=0.3)[0]


def try_drain(streams, at):
    try:
        return [drain(streams, at)]
    except streams.exceptions.LimitExceededException:
        return None


def test_a_shard_that_is_read_too_often_is_refused(quick):
    client, streams = quick.client(), quick.client("dynamodbstreams")
    on = {"StreamEnabled": True, "StreamViewType": "KEYS_ONLY"}
    client.create_table(**table_definition("often", "pk", StreamSpecification=on))
    arn = stream_of(client, "often")
    at = iterator(streams, arn, shards_of(streams, arn)[0])

    def refused():
        try:
            for _ in range(6):
                streams.get_records(ShardIterator=at)
        except streams.exceptions.LimitExceededException as error:
            return error.response["Error"]["Message"]

    assert wait_until(refused, "six reads in one second are too many") == "Too many operations for a given subscriber."


def test_replicated_writes_are_in_each_regions_stream(regions, name):
    clients = [region.client() for region in regions]
    clients[0].create_table(**table_definition(name, "pk"))
    clients[0].get_waiter("table_exists").wait(TableName=name, WaiterConfig={"Delay": 1, "MaxAttempts": 30})
    for region in regions[1:]:
        clients[0].update_table(TableName=name, ReplicaUpdates=[{"Create": {"RegionName": region.name}}])

        def settled():
            table = clients[0].describe_table(TableName=name)["Table"]
            return table["TableStatus"] == "ACTIVE" and all(
                replica["ReplicaStatus"] == "ACTIVE" for replica in table["Replicas"]
            )

        wait_until(settled, f"the replica in {region.name} is active")
    for region, client in zip(regions, clients):
        client.put_item(TableName=name, Item=item(f"from {region.name}", x=1))
    deserialize = TypeDeserializer().deserialize
    for region, client in zip(regions, clients):
        streams = region.client("dynamodbstreams")
        arn = stream_of(client, name)
        assert f":{region.name}:" in arn

        def all_there():
            found = everything(streams, arn)
            return len(found) >= len(regions) and found

        found = wait_until(all_there, f"the writes of all regions are in the stream of {region.name}")
        assert {record["awsRegion"] for record in found} == {region.name}
        keys = sorted(deserialize(record["dynamodb"]["Keys"]["pk"]) for record in found)
        assert keys == sorted(f"from {other.name}" for other in regions)
    clients[0].delete_table(TableName=name)
