"""Copies of tables in PostgreSQL: the same as a Scan, whatever breaks."""

import base64
import json
import random
import re
import subprocess
import threading
import urllib.request
from decimal import Decimal

import pytest
from conftest import BINARY, serve, table_definition, wait_until
from postgres import postgres

NOTHING = {"N": "0"}


@pytest.fixture(scope="module")
def pg():
    with postgres() as server:
        yield server


@pytest.fixture
def fresh(pg):
    """The server with an empty schema."""
    pg.psql("DROP SCHEMA public CASCADE", "CREATE SCHEMA public")
    return pg


def settings(pg, *sinks, more="", tls=""):
    lines = [more, "[throttle]\nenabled = false"]
    for name, table, extra in sinks:
        lines.append(
            f'[[sinks]]\nname = "{name}"\ntable = "{table}"\n[sinks.postgres]\naddress = "{pg.address(more=tls)}"\n'
            f'password_file = "{pg.folder}/password"\nca_file = "{pg.ca}"\n{extra}'
        )
    return "\n".join(lines)


def make(client, name, *keys):
    client.create_table(**table_definition(name, *(keys or ("pk",))))
    client.get_waiter("table_exists").wait(TableName=name, WaiterConfig={"Delay": 1, "MaxAttempts": 30})


def scan(client, name):
    pages = client.get_paginator("scan").paginate(TableName=name, ConsistentRead=True)
    return [item for page in pages for item in page["Items"]]


def canonical(item):
    """DynamoDB's JSON, as text: binary in base64, sets sorted."""

    def plain(value):
        ((kind, value),) = value.items()
        match kind:
            case "B":
                value = base64.b64encode(value).decode()
            case "BS":
                value = sorted(base64.b64encode(binary).decode() for binary in value)
            case "SS" | "NS":
                value = sorted(value)
            case "M":
                value = {name: plain(one) for name, one in value.items()}
            case "L":
                value = [plain(one) for one in value]
        return {kind: value}

    return json.dumps({name: plain(value) for name, value in item.items()}, sort_keys=True)


def typed_copy(pg, name):
    """A copy of documents in DynamoDB's JSON, in the form of `canonical`."""

    def binary(value):
        ((kind, value),) = value.items()
        match kind:
            case "B":
                value = base64.b64decode(value)
            case "BS":
                value = [base64.b64decode(one) for one in value]
            case "M":
                value = {name: binary(one) for name, one in value.items()}
            case "L":
                value = [binary(one) for one in value]
        return {kind: value}

    rows = pg.rows(f'SELECT item FROM "{name}"')
    return sorted(canonical({name: binary(value) for name, value in row["item"].items()}) for row in rows)


def same(pg, client, name, into=None):
    return typed_copy(pg, into or name) == sorted(canonical(item) for item in scan(client, name))


def is_there(pg, name):
    return pg.psql(f"SELECT to_regclass('\"{name}\"') IS NOT NULL").strip() == "t"


def sinks(region):
    with urllib.request.urlopen(f"http://{region.admin}/sinks", timeout=10) as answer:
        return {sink["name"]: sink for sink in json.load(answer)["sinks"]}


def metric(region, name, sink):
    with urllib.request.urlopen(f"http://{region.admin}/metrics", timeout=10) as answer:
        text = answer.read().decode()
    (value,) = re.findall(rf'^geodynamo_{name}{{sink="{sink}",[^}}]*}} (\S+)', text, re.M)
    return float(value)


def command(region, *arguments, code=0):
    ask = [BINARY, "sink", *arguments, "--admin", region.admin]
    done = subprocess.run(ask, env=region.environment(), capture_output=True, text=True)
    assert done.returncode == code, done.stderr
    return done.stdout if code == 0 else done.stderr


def test_a_copy_is_what_one_queries(tmp_path, fresh, name):
    """The snapshot, then changes of every kind; every type of attribute; keys that text and indexes of PostgreSQL cannot have."""
    pg = fresh
    digits = "12345678901234567890123456789012345678"
    long = "".join(random.Random(7).choices("0123456789abcdefghijklmnopqrstuvwxyz", k=2048))
    with serve(tmp_path, settings(pg, ("w", name, ""), ("typed", name, f'into = "typed"\ndocument = "dynamodb"\n'),
                                  tls="?sslmode=require")) as region:
        client = region.client()
        wait_until(lambda: sinks(region)["w"]["state"] == "no table", "there is no table yet", 30)
        make(client, name, "pk", "sk:N")
        item = {
            "pk": {"S": "a"}, "sk": {"N": digits}, "text": {"S": "ä\"\\ ☃"}, "n": {"N": "-1E-130"}, "big": {"N": "9.9E+125"},
            "b": {"B": b"\x00\xff"}, "t": {"BOOL": True}, "z": {"NULL": True}, "l": {"L": [{"S": "x"}, {"M": {"y": NOTHING}}]},
            "ss": {"SS": ["q", "p"]}, "ns": {"NS": ["2", "1.5"]}, "bs": {"BS": [b"1", b"2"]}, "m": {"M": {}},
        }
        client.put_item(TableName=name, Item=item)
        for key, sort in [(long, "9" * 38), ("nul\x00", "0"), ("nul\ufffd", "0")]:
            client.put_item(TableName=name, Item={"pk": {"S": key}, "sk": {"N": sort}, "n": {"N": "1"}})
        counted = lambda: is_there(pg, name) and pg.psql(f'SELECT count(*) FROM "{name}"').strip() == "4"
        wait_until(counted, "all are there", 30)
        (row,) = pg.rows(f"""SELECT pk, sk::text, item, item->>'n' AS n, (item->>'big')::numeric = 99e124 AS big
                             FROM "{name}" WHERE pk = 'a'""")
        assert (row["pk"], row["sk"], Decimal(row["n"]), row["big"]) == ("a", digits, Decimal("-1E-130"), True)
        document = row["item"]
        assert (document["text"], document["b"], document["t"], document["z"]) == ("ä\"\\ ☃", "AP8=", True, None)
        assert (document["ss"], document["l"], document["m"]) == (["p", "q"], ["x", {"y": 0}], {})
        assert sorted(document["ns"]) == [1.5, 2]
        nul = pg.rows(f"SELECT pk FROM \"{name}\" WHERE pk LIKE 'nul%'")
        assert nul == [{"pk": "nul\ufffd"}] * 2

        client.delete_item(TableName=name, Key={"pk": {"S": "nul\x00"}, "sk": {"N": "0"}})
        key = {"pk": {"S": "a"}, "sk": {"N": digits}}
        update = {"UpdateExpression": "SET n = :n REMOVE big", "ExpressionAttributeValues": {":n": {"N": "7"}}}
        client.update_item(TableName=name, Key=key, **update)
        client.transact_write_items(TransactItems=[
            {"Put": {"TableName": name, "Item": {"pk": {"S": f"t{n}"}, "sk": {"N": "1"}}}} for n in range(20)
        ])
        wait_until(lambda: same(pg, client, name, "typed"), "the copy is the same", 30)
        (row,) = wait_until(lambda: pg.rows(f"SELECT item FROM \"{name}\" WHERE item->>'n' = '7'"), "the update", 30)
        assert "big" not in row["item"]
        wait_until(lambda: metric(region, "sink_lag_seconds", "w") == 0, "nothing waits", 10)
        assert metric(region, "sink_changes_total", "w") + metric(region, "sink_loaded_items_total", "w") >= 26
        assert metric(region, "sink_loads_total", "w") == 1
        assert sinks(region)["w"]["state"] == "following" and sinks(region)["w"]["from_file"]

        # Another table of that name: the copy begins anew, with other columns.
        client.delete_table(TableName=name)
        wait_until(lambda: sinks(region)["w"]["state"] == "no table", "the table is gone", 30)
        make(client, name, "id:B")
        client.put_item(TableName=name, Item={"id": {"B": b"\x00\x01"}})
        columns = f"SELECT string_agg(attname, ',' ORDER BY attnum) FROM pg_attribute WHERE attrelid = '\"{name}\"'::regclass AND attnum > 0"
        wait_until(lambda: pg.psql(columns).strip() == "_key,id,item", "other columns", 30)
        wait_until(lambda: pg.rows(f'SELECT id FROM "{name}"') == [{"id": "\\x0001"}], "the item", 30)


def history(pg, name):
    """From here on, what becomes of items is kept, in the transactions that do it."""
    pg.psql(
        "CREATE TABLE history (at bigserial, key bytea, n bigint)",
        """CREATE FUNCTION note() RETURNS trigger AS $$ BEGIN
             INSERT INTO history (key, n) VALUES (NEW._key, (NEW.item#>>'{n,N}')::bigint); RETURN NEW; END $$ LANGUAGE plpgsql""",
        f'CREATE TRIGGER note AFTER INSERT OR UPDATE ON "{name}" FOR EACH ROW EXECUTE FUNCTION note()',
    )


def repeated(pg):
    """Changes of an item that came twice, or out of their order."""
    return pg.psql("""SELECT count(*) FROM (SELECT n, lag(n) OVER (PARTITION BY key ORDER BY at) AS before FROM history) AS h
                      WHERE n <= before""").strip()


def test_every_change_is_there_exactly_once_through_kill_9_of_both(tmp_path, fresh, name):
    """Writes go on meanwhile, of the region where it is up. The copy never begins anew: it goes on from its positions."""
    pg, rng = fresh, random.Random(3)
    config = settings(pg, ("w", name, 'document = "dynamodb"\n'))
    number = 0

    def write(client, count):
        nonlocal number
        for _ in range(count):
            number += 1
            key = {"pk": {"S": f"{rng.randrange(60)}"}}
            if rng.random() < 0.2:
                client.delete_item(TableName=name, Key=key)
            else:
                client.put_item(TableName=name, Item={**key, "n": {"N": str(number)}, "x": {"S": "x" * rng.randrange(300)}})

    for turn in range(6):
        with serve(tmp_path, config, crash=True) as region:
            client = region.client()
            if turn == 0:
                make(client, name)
                write(client, 100)
                wait_until(lambda: is_there(pg, name) and same(pg, client, name), "the snapshot", 30)
                history(pg, name)
            else:
                wait_until(lambda: sinks(region)["w"]["state"] == "following", "it goes on", 30)
                assert sinks(region)["w"]["loads"] == 0
            restart = None
            if turn % 2:
                pg.kill()
                restart = threading.Timer(rng.random(), pg.start)
                restart.start()
            write(client, 250)
            if restart:
                restart.join()
            write(client, rng.randrange(100))
    with serve(tmp_path, config) as region:
        client = region.client()
        wait_until(lambda: same(pg, client, name), "the copy is the same", 30)
        assert sinks(region)["w"]["loads"] == 0 and repeated(pg) == "0"
        # As another engine would be told of it, were a change to come twice.
        pg.psql(f'UPDATE "{name}" SET item = item WHERE _key = (SELECT _key FROM "{name}" LIMIT 1)')
        assert repeated(pg) == "1"


@pytest.mark.parametrize("position_first", [False, True])
def test_positions_apart_from_changes_lose_some(tmp_path, fresh, name, position_first):
    """The second is the negative control of the first, and of the test above."""
    pg = fresh
    more = f"[sink_options]\nposition_first = {str(position_first).lower()}"
    config = settings(pg, ("w", name, 'document = "dynamodb"\n'), more=more)
    position = lambda: pg.psql("SELECT sum(position) FROM geodynamo_sinks").strip()
    waits = "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'geodynamo' AND wait_event_type = 'Lock'"
    with serve(tmp_path, config, crash=True) as region:
        client = region.client()
        make(client, name)
        wait_until(lambda: is_there(pg, name), "the copy", 30)
        before = position()
        # The copy cannot be changed, until the one that is asleep is ended.
        holder = threading.Thread(
            target=pg.psql,
            args=(f'BEGIN; LOCK TABLE "{name}" IN SHARE MODE; SELECT pg_sleep(60) /* holder */; COMMIT',),
            kwargs={"check": False},
        )
        holder.start()
        held = "SELECT count(*) FROM pg_stat_activity WHERE query LIKE '%/* holder */%' AND wait_event = 'PgSleep'"
        wait_until(lambda: pg.psql(held).strip() == "1", "the table is held", 30)
        client.put_item(TableName=name, Item={"pk": {"S": "lost?"}, "n": {"N": "1"}})
        wait_until(lambda: pg.psql(waits).strip() == "1", "the change waits", 30)
        assert (position() != before) == position_first
    pg.psql("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE wait_event = 'PgSleep'")
    holder.join()
    with serve(tmp_path, config) as region:
        client = region.client()
        client.put_item(TableName=name, Item={"pk": {"S": "next"}, "n": {"N": "2"}})
        wait_until(lambda: any("next" in row for row in typed_copy(pg, name)), "the next change", 30)
        if position_first:
            assert not same(pg, client, name), "a change should have been lost"
        else:
            wait_until(lambda: same(pg, client, name), "the copy is the same", 30)


def test_sinks_are_added_and_removed_and_leave_others_tables_alone(tmp_path, fresh, name):
    pg = fresh
    pg.psql("CREATE TABLE mine (x int)")
    arguments = ["--postgres", pg.address(more="?sslmode=disable"), "--password-file", f"{pg.folder}/password"]
    with serve(tmp_path, settings(pg)) as region:
        client = region.client()
        make(client, name)
        client.put_item(TableName=name, Item={"pk": {"S": "a"}})
        assert "no sinks" in command(region, "list")
        command(region, "add", "w", "--table", name, *arguments, "--schema", "lake", "--into", "copy")
        assert "already" in command(region, "add", "w", "--table", name, *arguments, code=1)
        assert "password_file" in command(region, "add", "x", "--table", name, "--postgres", "postgres://u:p@h/d", code=1)
        command(region, "add", "mine", "--table", name, *arguments, "--into", "mine")
        wait_until(lambda: "no sink has made" in sinks(region)["mine"].get("error", ""), "it is left alone", 30)
        assert pg.psql("SELECT count(*) FROM mine").strip() == "0"
        command(region, "add", "second", "--table", name, *arguments, "--schema", "lake", "--into", "copy")
        writers = lambda: [sinks(region)[sink] for sink in ("w", "second")]
        wait_until(lambda: {sink["state"] for sink in writers()} >= {"following"}, "one writes", 30)
        wait_until(lambda: any("another sink" in sink.get("error", "") for sink in writers()), "the other does not", 30)
        command(region, "remove", "second")
        command(region, "remove", "mine")
        assert "no sink 'mine'" in command(region, "remove", "mine", code=1)
        wait_until(lambda: pg.rows('SELECT pk FROM lake.copy') == [{"pk": "a"}], "the item", 30)
    with serve(tmp_path, settings(pg)) as region:
        client = region.client()
        wait_until(lambda: sinks(region)["w"]["state"] == "following", "it is still there", 30)
        client.put_item(TableName=name, Item={"pk": {"S": "b"}})
        wait_until(lambda: len(pg.rows("SELECT pk FROM lake.copy")) == 2, "the next item", 30)
        assert name in command(region, "list") and sinks(region)["w"]["loads"] == 0

        # A copy that was put back to how it was once is noticed, and begins anew.
        pg.psql("UPDATE lake.geodynamo_sinks SET epoch = 'another'", "DELETE FROM lake.copy")
        client.put_item(TableName=name, Item={"pk": {"S": "c"}})
        wait_until(lambda: len(pg.rows("SELECT pk FROM lake.copy")) == 3, "it begins anew", 30)
        assert sinks(region)["w"]["loads"] == 1

        # Away: writes do not wait, and the lag tells.
        pg.kill()
        try:
            client.put_item(TableName=name, Item={"pk": {"S": "d"}})
            wait_until(lambda: metric(region, "sink_lag_seconds", "w") > 0.5, "the lag tells", 30)
            assert sinks(region)["w"]["error"] and metric(region, "sink_failures_total", "w") > 0
        finally:
            pg.start()
        wait_until(lambda: len(pg.rows("SELECT pk FROM lake.copy")) == 4, "it comes back", 30)
        command(region, "remove", "w")
        client.put_item(TableName=name, Item={"pk": {"S": "e"}})
        assert sinks(region) == {} and len(pg.rows("SELECT pk FROM lake.copy")) == 4
        # What was written meanwhile was kept for nobody: the copy begins anew.
        command(region, "add", "w", "--table", name, *arguments, "--schema", "lake", "--into", "copy")
        wait_until(lambda: len(pg.rows("SELECT pk FROM lake.copy")) == 5, "all items", 30)
        assert sinks(region)["w"]["loads"] == 1


def test_logs_are_not_held_for_ever(tmp_path, fresh, name):
    """A sink that was away for too long begins anew, and has nothing that is gone."""
    pg = fresh
    with serve(tmp_path, settings(pg, ("w", name, ""), more="[sink_options]\nheld_seconds = 1")) as region:
        client = region.client()
        make(client, name)
        client.put_item(TableName=name, Item={"pk": {"S": "old"}})
        wait_until(lambda: is_there(pg, name) and pg.rows(f'SELECT pk FROM "{name}"') == [{"pk": "old"}], "the item", 30)
        pg.kill()
        try:
            client.delete_item(TableName=name, Key={"pk": {"S": "old"}})
            client.put_item(TableName=name, Item={"pk": {"S": "new"}})
            wait_until(lambda: "will begin anew" in (tmp_path / "stderr.log").read_text(), "it is given up", 30)
        finally:
            pg.start()
        wait_until(lambda: pg.rows(f'SELECT pk FROM "{name}"') == [{"pk": "new"}], "it begins anew", 30)
        assert sinks(region)["w"]["loads"] == 2
