"""A region of two nodes on three nodes of Cassandra, one in each zone: a zone is lost, with the node that writes.

By default one round; GEODYNAMO_ZONE_ROUNDS sets more (`make soak-zones`).
"""

import os
import signal
import time
import uuid

import pytest
from botocore.exceptions import BotoCoreError, ClientError
from conftest import World, cassandra, create, wait_until
from history import Recorder, judge

ROUNDS = int(os.environ.get("GEODYNAMO_ZONE_ROUNDS", "1"))
CLIENTS = 6
ITEMS = [f"item-{number}" for number in range(8)]
# A zone of Cassandra and the owner at once: a lease, time-outs of what was on its way to the dead node, and a busy machine.
STALL_MAX_S = 90


@pytest.fixture(scope="module")
def zones():
    """Three nodes of Cassandra, in three racks."""
    with cassandra.cluster(nodes=3, port=19342, heap_mb=640) as nodes:
        yield nodes


@pytest.fixture(scope="module")
def world(tmp_path_factory, zones):
    points = [node.contact_point for node in zones]
    world = World(tmp_path_factory.mktemp("zones"), points, replication_factor=3, on_rocks=False)
    try:
        for node in world.nodes.values():
            node.start()
        yield world
    finally:
        world.end()


def test_a_zone_and_the_owner_are_lost_at_once(world, zones):
    table = f"test-{uuid.uuid4().hex[:12]}"
    create(world.settle()[0].client(), table)
    calls = []
    for round in range(ROUNDS):
        owner, other = world.settle()
        clients = [node.client(read_timeout=10) for node in (owner, other)]
        recorders = [Recorder(clients, table, ITEMS, seed=100 * round + number) for number in range(CLIENTS)]
        for recorder in recorders:
            recorder.start()
        progress(recorders, 20, "calls are answered")
        # Each round another zone; the first node of Cassandra is the one that others join by, and is lost like any.
        lost = zones[(round + 1) % len(zones)]
        killed = time.monotonic()
        lost.kill()
        owner.kill()
        wait_until(other.is_owner, "the other node takes over", STALL_MAX_S)
        progress(recorders, 20, "calls are answered without the zone")
        print(f"\nanswered again {time.monotonic() - killed:.1f} s after the loss, or before")
        owner.start()
        lost.start()
        progress(recorders, 20, "calls are answered once the zone is back")
        for recorder in recorders:
            recorder.stop()
        calls += [call for recorder in recorders for call in recorder.calls]
        answered = sum(recorder.answered for recorder in recorders)
        print(f"round {round}: {answered} of {sum(len(r.calls) for r in recorders)} calls answered")
        # What is there in the end belongs to the history.
        client = other.client(attempts=5)
        for item in ITEMS:
            call = {"item": item, "begin": next(Recorder.moments)}
            found = client.get_item(TableName=table, Key={"pk": {"S": item}}, ConsistentRead=True).get("Item")
            calls.append({**call, "read": int(found["n"]["N"]) if found else None, "end": next(Recorder.moments)})
    is_well, verdict = judge(calls)
    print(verdict)
    assert is_well, verdict
    # The negative control: an acknowledged increment that is taken out of the history is missed.
    is_well, _ = judge(without_an_increment(calls))
    assert not is_well


def progress(recorders, count, what):
    """Waits until each client had so many answers more."""
    before = [recorder.answered for recorder in recorders]
    is_done = lambda: all(r.answered >= b + count for r, b in zip(recorders, before))
    wait_until(is_done, what, STALL_MAX_S)


def without_an_increment(calls):
    """The history without an increment that was seen: whoever came next saw a sum that nobody made."""
    increments = [call for call in calls if call.get("increment") is not None]
    made = {(call["item"], call["increment"]) for call in increments}
    gone = next(call for call in increments if (call["item"], call["increment"] + 1) in made)
    return [call for call in calls if call is not gone]


def test_the_region_tells_its_nodes_zones(world):
    owner, other = world.settle()
    told = other.owner()
    assert (told["zone"], told["owner_zone"]) == (other.name[-1], owner.name[-1])
    assert owner.owner()["zone"] == owner.name[-1]
    assert f'zone="{owner.name[-1]}"' in owner.ask("/metrics")[1]


def test_reads_go_on_without_a_zone(world, zones):
    owner, other = world.settle()
    table = f"test-{uuid.uuid4().hex[:12]}"
    create(owner.client(), table)
    owner.client().put_item(TableName=table, Item={"pk": {"S": "k"}, "n": {"N": "1"}})

    def read():
        try:
            return other.client(attempts=5).get_item(TableName=table, Key={"pk": {"S": "k"}}).get("Item")
        except (BotoCoreError, ClientError):
            # Where Cassandra is slow, the lease goes from node to node. Whoever was replaced ends, and is started again.
            for node in world.nodes.values():
                if not node.is_running():
                    node.start()
            return None

    zones[2].signal(signal.SIGSTOP)
    try:
        wait_until(read, "a read is answered", STALL_MAX_S)
    finally:
        zones[2].signal(signal.SIGCONT)
