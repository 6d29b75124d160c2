"""A region of two nodes: either answers everything, and losing one loses nothing that was acknowledged."""

import json
import os
import signal
import subprocess
import threading
import time
import urllib.error
import urllib.request
import uuid

import boto3
import pytest
from botocore.exceptions import BotoCoreError, ClientError
from conftest import BINARY, ON_ROCKS, create, run, wait_until

# A client that waits no longer than this for an answer before it asks again.
PATIENCE_S = 3
# What losing an owner may cost: its lease of 3 s, and what the next one reads, on a busy machine.
STALL_MAX_S = 20


class Writer(threading.Thread):
    """Counts an item up, and puts one of its own for each number, until it is told to stop."""

    def __init__(self, client, table, name):
        super().__init__(daemon=True)
        self.client, self.table, self.name = client, table, name
        self.going = threading.Event()
        self.acknowledged, self.times, self.refusals = [], [], []

    def run(self):
        number = 0
        while not self.going.is_set():
            number += 1
            item = {"pk": {"S": f"{self.name}-{number}"}, "n": {"N": str(number)}}
            # The same put again is harmless: nobody else writes the item.
            while not self.going.is_set():
                try:
                    self.client.put_item(TableName=self.table, Item=item)
                except (BotoCoreError, ClientError) as error:
                    self.refusals.append(str(error))
                    time.sleep(0.02)
                    continue
                self.acknowledged.append(number)
                self.times.append(time.monotonic())
                break

    def stop(self):
        self.going.set()
        self.join(timeout=60)

    def stall_s(self):
        """The longest time without an acknowledgement."""
        return max(after - before for before, after in zip(self.times, self.times[1:]))

    def lost(self, client):
        """What was acknowledged and is not there."""
        get = lambda number: client.get_item(
            TableName=self.table, Key={"pk": {"S": f"{self.name}-{number}"}}, ConsistentRead=True
        ).get("Item")
        return [number for number in self.acknowledged if (get(number) or {}).get("n") != {"N": str(number)}]


def test_either_node_answers_the_ordinary_operations(pair):
    owner, other = pair
    name = f"test-{uuid.uuid4().hex[:12]}"
    for node in pair:
        client = node.client()
        client.create_table(
            TableName=name,
            AttributeDefinitions=[{"AttributeName": a, "AttributeType": "S"} for a in ("pk", "sk", "gk")],
            KeySchema=[{"AttributeName": "pk", "KeyType": "HASH"}, {"AttributeName": "sk", "KeyType": "RANGE"}],
            GlobalSecondaryIndexes=[
                {
                    "IndexName": "by-gk",
                    "KeySchema": [{"AttributeName": "gk", "KeyType": "HASH"}],
                    "Projection": {"ProjectionType": "ALL"},
                }
            ],
            BillingMode="PAY_PER_REQUEST",
            StreamSpecification={"StreamEnabled": True, "StreamViewType": "NEW_AND_OLD_IMAGES"},
        )
        client.get_waiter("table_exists").wait(TableName=name, WaiterConfig={"Delay": 1, "MaxAttempts": 30})
        item = lambda sk, gk="g": {"pk": {"S": "p"}, "sk": {"S": sk}, "gk": {"S": gk}}
        key = lambda sk: {"pk": {"S": "p"}, "sk": {"S": sk}}
        for number in range(20):
            client.put_item(TableName=name, Item=item(f"{number:02}"))
        # Large: 350 KB.
        client.put_item(TableName=name, Item={**item("big"), "blob": {"B": bytes(350 * 1024)}})
        with pytest.raises(client.exceptions.ConditionalCheckFailedException):
            client.put_item(TableName=name, Item=item("00"), ConditionExpression="attribute_not_exists(pk)")
        client.update_item(
            TableName=name,
            Key=key("01"),
            UpdateExpression="SET gk = :g ADD hits :one",
            ExpressionAttributeValues={":g": {"S": "other"}, ":one": {"N": "1"}},
        )
        client.delete_item(TableName=name, Key=key("02"))
        client.transact_write_items(
            TransactItems=[
                {"Put": {"TableName": name, "Item": {**item("x"), "pk": {"S": f"tx-{number}"}}}} for number in range(5)
            ]
        )
        with pytest.raises(client.exceptions.TransactionCanceledException):
            client.transact_write_items(
                TransactItems=[
                    {"Delete": {"TableName": name, "Key": key("03")}},
                    {
                        "ConditionCheck": {
                            "TableName": name,
                            "Key": key("04"),
                            "ConditionExpression": "attribute_not_exists(pk)",
                        }
                    },
                ]
            )
        for reader in (node, owner, other):
            ask = reader.client()
            query = {
                "TableName": name,
                "KeyConditionExpression": "pk = :p AND sk BETWEEN :a AND :z",
                "ExpressionAttributeValues": {":p": {"S": "p"}, ":a": {"S": "00"}, ":z": {"S": "19"}},
                "ConsistentRead": True,
            }
            found = [row["sk"]["S"] for row in ask.query(**query)["Items"]]
            assert found == [f"{number:02}" for number in range(20) if number != 2]
            assert [row["sk"]["S"] for row in ask.query(**query, ScanIndexForward=False)["Items"]] == found[::-1]
            assert len(ask.get_item(TableName=name, Key=key("big"), ConsistentRead=True)["Item"]["blob"]["B"]) == 350 * 1024
            pages = ask.get_paginator("scan").paginate(TableName=name, ConsistentRead=True, Limit=7)
            assert sum(page["Count"] for page in pages) == 20 + 5
            by_index = lambda: ask.query(
                TableName=name,
                IndexName="by-gk",
                KeyConditionExpression="gk = :g",
                ExpressionAttributeValues={":g": {"S": "other"}},
            )["Items"]
            wait_until(by_index, "a node that stands by has caught up", deadline_s=3)
            assert [(row["sk"]["S"], row["hits"]["N"]) for row in by_index()] == [("01", "1")]
        events = stream_events(node, name)
        # 21 puts, an update, a deletion, five of a transaction; nothing of what was refused.
        assert events == {"INSERT": 21 + 5, "MODIFY": 1, "REMOVE": 1}
        client.delete_table(TableName=name)
        client.get_waiter("table_not_exists").wait(TableName=name, WaiterConfig={"Delay": 1, "MaxAttempts": 60})


def stream_events(node, table):
    arn = node.client().describe_table(TableName=table)["Table"]["LatestStreamArn"]
    streams = node.client(service="dynamodbstreams")
    events = {}
    for shard in streams.describe_stream(StreamArn=arn)["StreamDescription"]["Shards"]:
        iterator = streams.get_shard_iterator(
            StreamArn=arn, ShardId=shard["ShardId"], ShardIteratorType="TRIM_HORIZON"
        )["ShardIterator"]
        while True:
            answer = streams.get_records(ShardIterator=iterator)
            for record in answer["Records"]:
                events[record["eventName"]] = events.get(record["eventName"], 0) + 1
            iterator = answer.get("NextShardIterator")
            if not answer["Records"] or not iterator:
                break
    return events


def test_both_nodes_tell_the_truth_of_themselves(pair):
    owner, other = pair
    told, seen = owner.owner(), other.owner()
    assert (told["node"], told["owner"], told["is_owner"]) == (owner.name, owner.name, True)
    assert (seen["node"], seen["owner"], seen["is_owner"]) == (other.name, owner.name, False)
    assert seen["epoch"] == told["epoch"] > 0 and seen["forward"] == owner.address("forward")
    assert told["position"] >= told["followed"]
    assert owner.ask("/readyz") == (200, "ok\n")
    status, text = other.ask("/readyz")
    assert status == 200 and f"stands by: node {owner.name} writes" in text
    assert "geodynamo_cassandra_owner 1" in owner.ask("/metrics")[1]
    assert "geodynamo_cassandra_owner 0" in other.ask("/metrics")[1]
    # What a stand-by cannot tell is the owner's to tell.
    class Stay(urllib.request.HTTPRedirectHandler):
        def redirect_request(self, *_):
            return None

    with pytest.raises(urllib.error.HTTPError) as redirect:
        urllib.request.build_opener(Stay).open(f"http://{other.address('admin')}/latency", timeout=5)
    assert redirect.value.code == 307
    assert redirect.value.headers["location"] == f"http://{owner.address('admin')}/latency"
    assert "CREATE TABLE" in run("schema", "cassandra", "--datacenter", "dc1")


def test_an_owner_that_is_killed_loses_nothing(pair, world, table):
    owner, other = pair
    writers = [Writer(other.client(read_timeout=PATIENCE_S), table, f"w{number}") for number in range(4)]
    for writer in writers:
        writer.start()
    wait_until(lambda: min(len(writer.acknowledged) for writer in writers) > 20, "writes are acknowledged")
    killed = time.monotonic()
    owner.kill()
    wait_until(other.is_owner, "the other node takes over", STALL_MAX_S)
    wait_until(
        lambda: all(sum(at > killed for at in writer.times) > 20 for writer in writers), "writes go on", STALL_MAX_S
    )
    for writer in writers:
        writer.stop()
    client = other.client()
    for writer in writers:
        assert writer.lost(client) == []
    stall = max(writer.stall_s() for writer in writers)
    acknowledged = sum(len(writer.acknowledged) for writer in writers)
    print(f"\n{acknowledged} acknowledged, none lost; longest stall {stall:.1f} s")
    assert stall < STALL_MAX_S
    # What comes back stands by, and answers.
    owner.start()
    assert not owner.is_owner()
    assert writers[0].lost(owner.client()) == []


def test_an_owner_that_is_stopped_and_wakes_is_refused(pair, world, table):
    owner, other = pair
    key = {"pk": {"S": "k"}}
    count = {
        "TableName": table,
        "Key": key,
        "UpdateExpression": "ADD n :one",
        "ExpressionAttributeValues": {":one": {"N": "1"}},
        "ReturnValues": "UPDATED_NEW",
    }
    to_owner = owner.client(read_timeout=60)
    assert to_owner.update_item(**count)["Attributes"]["n"] == {"N": "1"}
    epoch = owner.owner()["epoch"]
    owner.signal(signal.SIGSTOP)
    # A request that the stopped owner has, and will look at when it wakes.
    outcome = []
    asking = threading.Thread(target=lambda: outcome.append(attempt(lambda: to_owner.update_item(**count))))
    asking.start()
    wait_until(other.is_owner, "the other node takes over", STALL_MAX_S)
    client = other.client()
    for number in range(2, 12):
        assert client.update_item(**count)["Attributes"]["n"] == {"N": str(number)}
    owner.signal(signal.SIGCONT)
    asking.join(timeout=60)
    assert isinstance(outcome[0], (BotoCoreError, ClientError)), f"a replaced owner answered: {outcome}"
    assert client.get_item(TableName=table, Key=key, ConsistentRead=True)["Item"]["n"] == {"N": "11"}, "forked"
    # It ends, for its supervisor to start it again; then it stands by.
    assert owner.process.wait(timeout=30) != 0
    assert "another node has taken over the region" in owner.tail()
    owner.start()
    seen = owner.owner()
    assert seen["owner"] == other.name and seen["epoch"] > epoch
    assert owner.client().update_item(**count)["Attributes"]["n"] == {"N": "12"}


def attempt(call):
    try:
        return call()
    except (BotoCoreError, ClientError) as error:
        return error


def test_an_owner_that_is_asked_to_end_hands_over_at_once(pair, world, table):
    owner, other = pair
    writer = Writer(other.client(read_timeout=PATIENCE_S), table, "w")
    writer.start()
    wait_until(lambda: len(writer.acknowledged) > 20, "writes are acknowledged")
    asked = time.monotonic()
    owner.stop()
    wait_until(other.is_owner, "the other node takes over", STALL_MAX_S)
    wait_until(lambda: sum(at > asked for at in writer.times) > 50, "writes go on", STALL_MAX_S)
    writer.stop()
    assert writer.lost(other.client()) == []
    print(f"\nlongest stall {writer.stall_s():.1f} s")
    owner.start()
    # The other way round: back to where it was, through a node that has not served yet.
    other.stop()
    wait_until(owner.is_owner, "the first node takes over again", STALL_MAX_S)
    assert writer.lost(owner.client()) == []


def test_a_global_table_of_both_engines(pair, world):
    owner, other = pair
    rocks = world.rocks
    name = f"global-{uuid.uuid4().hex[:12]}"
    client = other.client()
    create(client, name)
    client.put_item(TableName=name, Item={"pk": {"S": "before"}, "n": {"N": "0"}})
    client.update_table(TableName=name, ReplicaUpdates=[{"Create": {"RegionName": ON_ROCKS}}])
    wait_until(lambda: is_active(client, name) and is_active(rocks.client(), name), "both replicas are ACTIVE")
    for number in range(50):
        node = rocks if number % 2 else other
        node.client().put_item(TableName=name, Item={"pk": {"S": f"k{number}"}, "n": {"N": str(number)}})
    wait_until(lambda: digests(world, name), "both regions have the same")
    # The owner goes: the links begin anew at the other node, in both directions.
    owner.kill()
    rocks.client().put_item(TableName=name, Item={"pk": {"S": "while"}, "n": {"N": "1"}})
    wait_until(other.is_owner, "the other node takes over", STALL_MAX_S)
    client.put_item(TableName=name, Item={"pk": {"S": "after"}, "n": {"N": "2"}})
    wait_until(lambda: digests(world, name), "both regions have the same again")
    for at in (client, rocks.client()):
        found = at.scan(TableName=name, ConsistentRead=True)["Items"]
        assert {item["pk"]["S"] for item in found} == {"before", "while", "after"} | {f"k{n}" for n in range(50)}


def is_active(client, name):
    try:
        table = client.describe_table(TableName=name)["Table"]
    except client.exceptions.ResourceNotFoundException:
        return False
    replicas = [replica["ReplicaStatus"] for replica in table.get("Replicas", [])]
    return table["TableStatus"] == "ACTIVE" and bool(replicas) and set(replicas) == {"ACTIVE"}


def digests(world, name):
    """Whether both regions' digests of a table are equal."""
    nodes = [next((node for node in world.pair if node.is_owner()), None), world.rocks]
    if nodes[0] is None:
        return False
    answers = [node.ask(f"/digest?table={name}") for node in nodes]
    return all(status == 200 for status, _ in answers) and len({json.dumps(json.loads(text)) for _, text in answers}) == 1


def test_the_demo_has_a_region_of_two_nodes(tmp_path, contact_points):
    environment = {**os.environ, "GEODYNAMO_CASSANDRA": ",".join(contact_points)}
    with (tmp_path / "log").open("wb") as log:
        demo = subprocess.Popen(
            [BINARY, "demo", "--engine", "cassandra", "--json", "--data", tmp_path / "demo"],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=log,
            env=environment,
            text=True,
        )
    try:
        line = demo.stdout.readline()
        assert line, (tmp_path / "log").read_text()
        regions = json.loads(line)["regions"]
        assert [len(region["nodes"]) for region in regions] == [2, 1, 1]
        first = regions[0]
        assert first["endpoint"] == first["nodes"][0]["endpoint"]
        client = lambda region, node: boto3.client(
            "dynamodb",
            endpoint_url=node["endpoint"],
            region_name=region["name"],
            aws_access_key_id=region["access_key_id"],
            aws_secret_access_key=region["secret_access_key"],
        )
        at_all = [client(region, node) for region in regions for node in region["nodes"]]
        name = "demo"
        create(at_all[1], name)
        others = [{"Create": {"RegionName": region["name"]}} for region in regions[1:]]
        for other in others:
            wait_until(lambda: at_all[1].describe_table(TableName=name)["Table"]["TableStatus"] == "ACTIVE", "ACTIVE")
            at_all[1].update_table(TableName=name, ReplicaUpdates=[other])
        wait_until(lambda: all(is_active(at, name) for at in at_all), "the table is ACTIVE everywhere")
        at_all[-1].put_item(TableName=name, Item={"pk": {"S": "from afar"}})
        seen = lambda at: at.get_item(TableName=name, Key={"pk": {"S": "from afar"}}).get("Item")
        wait_until(lambda: all(seen(at) for at in at_all), "all nodes have the item")
        demo.send_signal(signal.SIGTERM)
        assert demo.wait(timeout=60) == 0, (tmp_path / "log").read_text()
    finally:
        if demo.poll() is None:
            demo.kill()
            demo.wait()
