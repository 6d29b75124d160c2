"""DynamoDB Streams of servers of their own: records that are trimmed, and a stream that survives kill -9."""

from conftest import STATE_S, serve, table_definition, wait_until
from test_streams import drain, everything, item, iterator, refusal, shards_of, stream_of


def test_trimmed_records_are_refused(tmp_path):
    """What is older than the retention is gone: an iterator before it, or its sequence number, is refused; TRIM_HORIZON
    starts behind it, and a consumer that had read to the end misses nothing."""
    kept_s = 10
    settings = f"[storage]\npartitions_per_table = 1\n[streams]\nretention_seconds = {kept_s}\n"
    with serve(tmp_path, settings) as region:
        client, streams = region.client(), region.client("dynamodbstreams")
        on = {"StreamEnabled": True, "StreamViewType": "KEYS_ONLY"}
        client.create_table(**table_definition("trimmed", "pk", StreamSpecification=on))
        client.get_waiter("table_exists").wait(TableName="trimmed", WaiterConfig={"Delay": 1, "MaxAttempts": 30})
        arn = stream_of(client, "trimmed")
        for key in "ab":
            client.put_item(TableName="trimmed", Item=item(key))
        [shard] = shards_of(streams, arn)
        horizon = iterator(streams, arn, shard)
        first, second = [found["dynamodb"]["SequenceNumber"] for found in drain(streams, horizon)]
        at_first = iterator(streams, arn, shard, "AT_SEQUENCE_NUMBER", SequenceNumber=first)
        behind = iterator(streams, arn, shard, "AFTER_SEQUENCE_NUMBER", SequenceNumber=second)

        def refused():
            try:
                assert drain(streams, at_first)
            except streams.exceptions.TrimmedDataAccessException as error:
                return error.response["Error"]["Message"]

        trimmed = "The data you are trying to access has been trimmed"
        assert wait_until(refused, "the records are trimmed", kept_s + STATE_S) == trimmed
        for kind in ("AT_SEQUENCE_NUMBER", "AFTER_SEQUENCE_NUMBER"):
            given = {"StreamArn": arn, "ShardId": shard["ShardId"], "ShardIteratorType": kind, "SequenceNumber": first}
            assert refusal(streams.get_shard_iterator, **given) == ("TrimmedDataAccessException", trimmed)
        client.put_item(TableName="trimmed", Item=item("c"))
        for at in (behind, horizon, iterator(streams, arn, shard)):
            assert [found["dynamodb"]["Keys"] for found in drain(streams, at)] == [item("c")]


def test_a_stream_survives_kill_9(tmp_path):
    with serve(tmp_path, crash=True) as region:
        client, streams = region.client(), region.client("dynamodbstreams")
        on = {"StreamEnabled": True, "StreamViewType": "NEW_AND_OLD_IMAGES"}
        client.create_table(**table_definition("killed", "pk", StreamSpecification=on))
        client.get_waiter("table_exists").wait(TableName="killed", WaiterConfig={"Delay": 1, "MaxAttempts": 30})
        arn = stream_of(client, "killed")
        for n in range(50):
            client.put_item(TableName="killed", Item=item(f"key {n % 10}", x=n))
        shards, records = shards_of(streams, arn), everything(streams, arn)
        assert len(records) == 50
        at = {shard["ShardId"]: iterator(streams, arn, shard, "LATEST") for shard in shards}

    with serve(tmp_path) as region:
        client, streams = region.client(), region.client("dynamodbstreams")
        assert stream_of(client, "killed") == arn
        assert shards_of(streams, arn) == shards
        assert everything(streams, arn) == records
        client.put_item(TableName="killed", Item=item("key 1", x="after"))
        [(shard, record)] = [(shard, record) for shard in at for record in drain(streams, at[shard])]
        assert record["dynamodb"]["OldImage"] == item("key 1", x=41)
        of_key = [found["dynamodb"] for found in records if found["dynamodb"]["Keys"] == item("key 1")]
        before = [found["SequenceNumber"] for found in of_key]
        assert int(record["dynamodb"]["SequenceNumber"]) > max(map(int, before))
