"""Copies of tables as Iceberg tables, read by PyIceberg: the same as a Scan, whatever breaks."""

import json
import random
import subprocess
from pathlib import Path

import pytest
from conftest import serve, wait_until
from test_sinks_postgres import canonical, command, make, metric, scan, sinks

ROOT = Path(__file__).resolve().parent.parent.parent


@pytest.fixture(scope="module")
def reader():
    environment = ["scripts/python-env", "--path", "tests/sdk/requirements-iceberg.txt"]
    path = subprocess.run(environment, cwd=ROOT, check=True, capture_output=True, text=True).stdout.strip()
    process = subprocess.Popen(
        [f"{path}/bin/python", "tests/sdk/iceberg_reader.py"], cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )

    def read(place):
        process.stdin.write(f"{place}\n")
        process.stdin.flush()
        return json.loads(process.stdout.readline())

    yield read
    process.stdin.close()
    process.wait(timeout=30)


def settings(table, more="", options="", commit_seconds=1):
    return f"""
{options}
[throttle]
enabled = false
[[sinks]]
name = "lake"
table = "{table}"
[sinks.iceberg]
place = "lake"
commit_seconds = {commit_seconds}
document = "dynamodb"
{more}
"""


def items(read):
    return sorted(json.dumps(typed(json.loads(row["item"])), sort_keys=True) for row in read.get("rows", []))


def typed(item):
    """Sets in an order."""
    return {name: {kind: sorted(value) if kind in ("SS", "NS", "BS") else value} for name, one in item.items() for kind, value in one.items()}


def same(read, client, name):
    return "rows" in read and items(read) == sorted(canonical(item) for item in scan(client, name))


def test_a_copy_is_what_engines_read(tmp_path, reader, name):
    with serve(tmp_path, settings(name)) as region:
        client = region.client()
        make(client, name, "pk", "sk:N")
        place = tmp_path / "lake" / name
        for n in range(40):
            more = {"ss": {"SS": ["b", "a"]}, "b": {"B": b"\x00"}, "nul": {"S": "\x00"}}
            client.put_item(TableName=name, Item={"pk": {"S": f"k{n}"}, "sk": {"N": str(n)}, **more})
        read = wait_until(lambda: same(read := reader(place), client, name) and read, "all are there", 30)
        assert read["columns"] == [["_key", "binary"], ["pk", "string"], ["sk", "double"], ["item", "string"]]
        assert {row["pk"]: row["sk"] for row in read["rows"]}["k7"] == 7.0
        positions = [int(position) for position in read["summary"]["geodynamo.positions"].split(",")]
        assert sum(positions) == 40
        client.delete_item(TableName=name, Key={"pk": {"S": "k1"}, "sk": {"N": "1"}})
        client.put_item(TableName=name, Item={"pk": {"S": "k2"}, "sk": {"N": "2"}, "v": {"S": "new"}})
        read = wait_until(lambda: same(read := reader(place), client, name) and read, "a change and a deletion", 30)
        assert int(read["summary"]["total-position-deletes"]) >= 1
        # Many small files become one, and nothing else changes.
        for turn in range(10):
            client.put_item(TableName=name, Item={"pk": {"S": "k2"}, "sk": {"N": "2"}, "v": {"N": str(turn)}})
            commits = metric(region, "sink_commits_total", "lake")
            wait_until(lambda: metric(region, "sink_commits_total", "lake") > commits or metric(region, "sink_lag_seconds", "lake") == 0, "a commit", 30)
        read = wait_until(lambda: same(read := reader(place), client, name) and read, "after all that", 30)
        assert int(read["summary"]["total-data-files"]) < 9, read["summary"]
        assert sinks(region)["lake"]["loads"] == 1
        assert "lake" in command(region, "list")


def test_every_change_is_there_through_kill_9(tmp_path, reader, name):
    """At each start the copy goes on from its positions; what it has at any time is a Scan's at them, so no item is there twice."""
    rng = random.Random(5)
    number = 0
    for turn in range(5):
        with serve(tmp_path, settings(name), crash=True) as region:
            client = region.client()
            if turn == 0:
                make(client, name)
            else:
                assert sinks(region)["lake"]["loads"] == 0
            place = tmp_path / "lake" / name
            before = reader(place).get("sequence", 0)
            moved = lambda: (read := reader(place)).get("sequence", 0) > before and read
            while not (read := moved()) or rng.random() < 0.5:
                for _ in range(40):
                    number += 1
                    key = {"pk": {"S": f"{rng.randrange(80)}"}}
                    if rng.random() < 0.25:
                        client.delete_item(TableName=name, Key=key)
                    else:
                        client.put_item(TableName=name, Item={**key, "n": {"N": str(number)}})
            keys = [row["_key"] for row in read["rows"]]
            assert len(keys) == len(set(keys)), "an item is there twice"
    with serve(tmp_path, settings(name)) as region:
        client = region.client()
        wait_until(lambda: same(reader(place), client, name), "the copy is the same", 30)
        assert sinks(region)["lake"]["loads"] == 0


@pytest.mark.parametrize("position_first", [False, True])
def test_positions_apart_from_changes_lose_some(tmp_path, reader, name, position_first):
    """The second is the negative control. A store that takes no files of rows fails the commit behind the positions."""
    options = f"[sink_options]\nposition_first = {str(position_first).lower()}"
    with serve(tmp_path, settings(name, options=options), crash=True) as region:
        client = region.client()
        make(client, name)
        place = tmp_path / "lake" / name
        wait_until(lambda: reader(place).get("rows") == [], "an empty copy", 30)
        # A file where the folder of rows should be.
        (place / "data").rmdir() if (place / "data").exists() else None
        (place / "data").write_text("")
        client.put_item(TableName=name, Item={"pk": {"S": "lost?"}})
        wait_until(lambda: sinks(region)["lake"]["failures"] >= 1, "the store fails", 30)
        assert metric(region, "sink_lag_seconds", "lake") > 0
    (place / "data").unlink()
    with serve(tmp_path, settings(name, options=options)) as region:
        client = region.client()
        client.put_item(TableName=name, Item={"pk": {"S": "next"}})
        wait_until(lambda: any("next" in item for item in items(reader(place))), "the next change", 30)
        if position_first:
            assert not same(reader(place), client, name), "a change should have been lost"
        else:
            wait_until(lambda: same(reader(place), client, name), "the copy is the same", 30)
