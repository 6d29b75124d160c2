"""Triggers through kill -9 of the region: every record at least once, those of an item in their order."""

import random
import threading
import time

import pytest
from conftest import serve, wait_until
from functions import assert_in_order, functions_server, number
from test_triggers import World

ROUNDS = 6
PUTS = 60


@pytest.fixture
def functions():
    with functions_server() as functions:
        yield functions


def settings(functions, more=""):
    return f"""
[functions.hook]
url = "{functions.address}/hook"
{more}
[throttle]
enabled = false
"""


def put(region, name, numbers):
    client = region.client()
    for n in numbers:
        client.put_item(TableName=name, Item={"pk": {"S": f"{n % 7}"}, "n": {"N": str(n)}})


@pytest.mark.parametrize("parallel", [1, 4])
def test_nothing_is_lost_and_order_is_kept(tmp_path, functions, name, parallel):
    """Killed while the function has records, and while others wait for it."""
    rng = random.Random(parallel)
    functions.behave["hook"] = lambda _: time.sleep(rng.random() * 0.02)
    for turn in range(ROUNDS):
        with serve(tmp_path, settings(functions), crash=True) as region:
            if turn == 0:
                world = World(region, name)
                world.map("hook", BatchSize=3, ParallelizationFactor=parallel)
            before = len(functions.records("hook"))
            put(region, name, range(turn * PUTS, (turn + 1) * PUTS))
            wait_until(lambda: len(functions.records("hook")) > before, "it goes on after kill -9", 10)
    with serve(tmp_path, settings(functions)):
        seen = lambda: {number(record) for record in functions.records("hook")}
        wait_until(lambda: seen() == set(range(ROUNDS * PUTS)), "all have come", 30)
    sequences = assert_in_order(functions.records("hook"))
    assert sum(len(of_item) for of_item in sequences.values()) == ROUNDS * PUTS


@pytest.mark.parametrize("checkpoint_first", [False, True])
def test_a_checkpoint_before_the_function_has_the_records_loses_some(tmp_path, functions, name, checkpoint_first):
    """The second is the negative control of the first, and of the test above."""
    more = f"[triggers]\ncheckpoint_first = {str(checkpoint_first).lower()}"
    release = threading.Event()
    functions.behave["hook"] = lambda _: release.wait(30) and None
    with serve(tmp_path, settings(functions, more), crash=True) as region:
        world = World(region, name)
        world.map("hook", BatchSize=1)
        put(region, name, range(PUTS))
        wait_until(lambda: functions.records("hook"), "the function has the first record", 10)
    release.set()
    functions.forget()
    with serve(tmp_path, settings(functions, more)) as region:
        put(region, name, [PUTS])
        seen = lambda: {number(record) for record in functions.records("hook")}
        wait_until(lambda: PUTS in seen(), "the last record has come", 30)
        if checkpoint_first:
            assert seen() != set(range(PUTS + 1)), "records should have been lost"
        else:
            wait_until(lambda: seen() == set(range(PUTS + 1)), "all have come", 30)
