"""Copies of tables as Iceberg tables, read by PyIceberg and DuckDB: the same as a Scan, whatever breaks."""

import base64
import json
import random
import subprocess
import urllib.request
from contextlib import contextmanager
from decimal import Decimal
from pathlib import Path

import pytest
from conftest import serve, wait_until
from iceberg_catalogue import catalogue
from test_sinks_postgres import canonical, command, make, metric, scan, sinks

ROOT = Path(__file__).resolve().parent.parent.parent


@contextmanager
def reading(requirements, script):
    """Asks a program, in an environment of its own, for what it reads at a place."""
    environment = ["scripts/python-env", "--path", f"tests/sdk/{requirements}"]
    path = subprocess.run(environment, cwd=ROOT, check=True, capture_output=True, text=True).stdout.strip()
    process = subprocess.Popen(
        [f"{path}/bin/python", f"tests/sdk/{script}"], cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )

    def read(place):
        process.stdin.write(f"{place}\n")
        process.stdin.flush()
        return json.loads(process.stdout.readline())

    yield read
    process.stdin.close()
    process.wait(timeout=30)


@pytest.fixture(scope="module")
def reader():
    with reading("requirements-iceberg.txt", "iceberg_reader.py") as read:
        yield read


@pytest.fixture(scope="module")
def duckdb():
    with reading("requirements-duckdb.txt", "duckdb_reader.py") as read:
        yield read


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


def plain(value):
    """A value of DynamoDB's as plain JSON has it."""
    ((kind, value),) = value.items()
    match kind:
        case "N":
            return Decimal(value)
        case "NULL":
            return None
        case "B":
            return base64.b64encode(bytes(value)).decode()
        case "M":
            return {name: plain(member) for name, member in value.items()}
        case "L":
            return [plain(member) for member in value]
        case "SS":
            return sorted(value)
        case "NS":
            return sorted(Decimal(number) for number in value)
        case "BS":
            return sorted(base64.b64encode(bytes(binary)).decode() for binary in value)
    return value


def columns_of(value):
    """What a value is in a column of its type: the type as the column's doc tells it, and the value; `None` for none."""
    ((kind, inner),) = value.items()
    if kind == "N" and not fit([inner]):
        return "JSON", Decimal(inner)
    if kind in ("S", "BOOL", "N", "B"):
        return kind, scalar(kind, inner)
    if kind in ("SS", "BS") or kind == "NS" and fit(inner):
        return f"a list of {kind[0]}", sorted(scalar(kind[0], one) for one in inner)
    if kind == "L" and len(kinds := {kind for member in inner for kind in member}) == 1 and kinds <= {"S", "N", "B", "BOOL"}:
        (of,) = kinds
        return f"a list of {of}", [scalar(of, member[of]) for member in inner]
    return None if kind == "NULL" or inner == [] else ("JSON", plain(value))


def fit(numbers):
    """Whether doubles, or decimals of 18 digits behind the point and 20 before it, have all of them."""
    numbers = [Decimal(number) for number in numbers]
    are_doubles = all(Decimal(repr(float(number))) == number for number in numbers)
    return are_doubles or all(abs(number) < 10**20 and number.normalize().as_tuple().exponent >= -18 for number in numbers)


def scalar(kind, value):
    return {"N": Decimal, "B": lambda binary: bytes(binary).hex()}.get(kind, lambda value: value)(value)


def told(kind, value):
    """A column's value in the same form."""
    if kind.startswith("a list of "):
        return [told(kind.removeprefix("a list of "), one) for one in value]
    if kind == "JSON":
        return json.loads(value, parse_float=Decimal, parse_int=Decimal)
    if kind == "N":
        return Decimal(value["decimal"]) if isinstance(value, dict) else Decimal(repr(value))
    return value


def assert_typed(read, docs, client, name):
    """Each attribute of each item is in one column, of its type."""
    rows = {row["pk"]: row for row in read["rows"]}
    found = scan(client, name)
    assert len(rows) == len(found) == len(read["rows"])
    for item in found:
        row = rows[item["pk"]["S"]]
        in_columns = {}
        for column, doc in docs.items():
            attribute, kind = doc.rsplit(" as ", 1)
            if row[column] is not None and row[column] not in ([], "[]"):
                assert attribute not in in_columns, (attribute, row)
                in_columns[attribute] = (kind, told(kind, row[column]))
        expected = {attribute: columns_of(value) for attribute, value in item.items() if attribute != "pk"}
        assert in_columns == {attribute: value for attribute, value in expected.items() if value}, item["pk"]


VALUES = [
    lambda rng: {"S": rng.choice(["", "x", "ü\x00"])},
    lambda rng: {"N": str(rng.randrange(-50, 50))},
    lambda rng: {"N": rng.choice(["19.99", "-0.001", "1700000000123", "9007199254740993", "1E+30", "0.1234567890123456789"])},
    lambda rng: {"N": rng.choice(["12345678901234567890123456789012345678", "1.00000000000000000001", "1E-100", "1E+125"])},
    lambda rng: {"B": rng.randbytes(3)},
    lambda rng: {"BOOL": rng.random() < 0.5},
    lambda rng: {"NULL": True},
    lambda rng: {"SS": rng.sample(["a", "b", "c"], 2)},
    lambda rng: {"NS": rng.sample(["1", "2.5", "9007199254740993", "1E-30"], 2)},
    lambda rng: {"BS": [b"\x00", b"\xff"]},
    lambda rng: {"L": [{"S": "b"}, {"S": "a"}]},
    lambda rng: {"L": []},
    lambda rng: {"L": [{"N": "3"}, {"N": "1.5"}]},
    lambda rng: {"L": [{"S": "b"}, {"N": "1"}, {"NULL": True}, {"L": []}]},
    lambda rng: {"M": {"n": {"N": "9007199254740993"}, "s": {"SS": ["z", "y"]}, "m": {"M": {"b": {"B": b"\x01"}}}}},
]
NAMES = ["a", "A", "total", "tags.element", "item", "_key", "with space", "ünïcode", "late"]


def random_item(rng, key, names):
    return {"pk": {"S": key}} | {name: rng.choice(VALUES)(rng) for name in rng.sample(names, rng.randrange(len(names)))}


def test_typed_columns_grow_with_what_items_have(tmp_path, reader, duckdb, name):
    """Through changes of types, kill -9, and the compaction of files that were written before there were all the columns."""
    rng = random.Random(11)
    written = 0
    for turn in range(3):
        with serve(tmp_path, settings(name, 'columns = "typed"'), crash=True) as region:
            client = region.client()
            if turn == 0:
                make(client, name)
            names = NAMES[: 4 + 2 * turn] if turn < 2 else NAMES
            place = tmp_path / "lake" / name
            for _ in range(6):
                for _ in range(15):
                    written += 1
                    client.put_item(TableName=name, Item=random_item(rng, f"k{rng.randrange(60)}", names))
                client.delete_item(TableName=name, Key={"pk": {"S": f"k{rng.randrange(60)}"}})
                read = wait_until(lambda: same(read := reader(place), client, name) and read, "the copy is the same", 30)
                assert_typed(read, read["docs"], client, name)
            assert turn == 0 or sinks(region)["lake"]["loads"] == 0
            by_duckdb = duckdb(read["metadata"])
            assert "rows" in by_duckdb, by_duckdb
            assert_typed(by_duckdb, read["docs"], client, name)
    kinds = dict(read["columns"])
    assert kinds["_key"] == "binary" and kinds["pk"] == kinds["item"] == "string"
    assert len({column.lower() for column in kinds}) == len(kinds), "engines do not regard case"
    assert {"double", "decimal(38, 18)", "boolean", "binary", "list<string>", "list<double>"} <= set(kinds.values())


def catalogued(address, table, folder, more=""):
    (folder / "client-secret").write_text("hush\n")
    return settings(
        table,
        f"""catalog = "{address}"
namespace = "lake.house"
client_id = "geodynamo"
client_secret_file = "client-secret"
keep_seconds = 5
{more}""",
    )


def test_a_catalogue_has_the_table(tmp_path, reader, duckdb, name):
    with catalogue(tmp_path) as rest, serve(tmp_path, catalogued(rest.address, name, tmp_path, 'columns = "typed"')) as region:
        client = region.client()
        make(client, name)
        place = json.dumps({"uri": rest.address, "token": rest.token, "namespace": "lake.house", "table": name})
        for n in range(40):
            client.put_item(TableName=name, Item={"pk": {"S": f"k{n}"}, "n": {"N": str(n)}, f"a{n % 3}": {"S": "x"}})
        read = wait_until(lambda: same(read := reader(place), client, name) and read, "all are there", 60)
        assert_typed(read, read["docs"], client, name)
        for n in range(6):
            client.put_item(TableName=name, Item={"pk": {"S": f"k{n}"}, f"b{n}": {"BOOL": True}})
            client.delete_item(TableName=name, Key={"pk": {"S": f"k{n + 10}"}})
            read = wait_until(lambda: same(read := reader(place), client, name) and read, "the changes", 30)
        assert_typed(read, read["docs"], client, name)
        by_duckdb = duckdb(read["metadata"].removeprefix("file://"))
        assert_typed(by_duckdb, read["docs"], client, name)
        assert rest.tokens_given == 1
        # A token that is not taken any more is replaced by another.
        rest.token = "another"
        client.put_item(TableName=name, Item={"pk": {"S": "with another token"}})
        place = place.replace("the-token", "another")
        wait_until(lambda: same(reader(place), client, name), "the change with another token", 60)
        assert rest.tokens_given == 2
        wait_until(lambda: reader(place)["snapshots"] == 1 or client.put_item(TableName=name, Item={"pk": {"S": "x"}}) is None, "old snapshots go", 60)


def test_commits_of_which_nothing_is_known_are_there_once(tmp_path, reader, name):
    """Answers that are lost, commits that are refused, and commits that arrive when others were made; with kill -9 between."""
    rng = random.Random(3)
    with catalogue(tmp_path) as rest:
        place = json.dumps({"uri": rest.address, "token": rest.token, "namespace": "lake.house", "table": name})
        config = catalogued(rest.address, name, tmp_path)
        faults, kinds = [], ["after", None, "late", "before", None, "late", "after"]

        def fault(method, path):
            if method != "POST" or f"/tables/{name}" not in path:
                return None
            faults.append(kinds[len(faults) % len(kinds)])
            return faults[-1]

        number = 0
        for turn in range(3):
            with serve(tmp_path, config, crash=True) as region:
                client = region.client()
                if turn == 0:
                    make(client, name)
                    wait_until(lambda: "rows" in reader(place), "the copy", 60)
                assert turn == 0 or sinks(region)["lake"]["loads"] == 0
                rest.release.clear()
                rest.fault = fault
                begun = len(faults)
                while len(faults) < begun + len(kinds):
                    for _ in range(20):
                        number += 1
                        key = {"pk": {"S": f"{rng.randrange(50)}"}}
                        if rng.random() < 0.25:
                            client.delete_item(TableName=name, Key=key)
                        else:
                            client.put_item(TableName=name, Item={**key, "n": {"N": str(number)}})
                    read = reader(place)
                    keys = [row["_key"] for row in read["rows"]]
                    assert len(keys) == len(set(keys)), "an item is there twice"
                    if rng.random() < 0.2:
                        rest.release.set()
                rest.release.set()
        rest.fault = lambda method, path: None
        for thread in rest.late:
            thread.join(30)
        assert {"before", "after", "late"} <= set(faults)
        with serve(tmp_path, config) as region:
            client = region.client()
            client.put_item(TableName=name, Item={"pk": {"S": "last"}})
            wait_until(lambda: same(reader(place), client, name), "the copy is the same", 60)
            assert sinks(region)["lake"]["loads"] == 0


@pytest.mark.parametrize("position_first", [False, True])
def test_positions_in_a_commit_of_their_own_lose_changes(tmp_path, reader, name, position_first):
    """The second is the negative control: of two commits the catalogue takes the first, and the process ends."""
    with catalogue(tmp_path) as rest:
        place = json.dumps({"uri": rest.address, "token": rest.token, "namespace": "lake.house", "table": name})
        config = f"[sink_options]\nposition_first = {str(position_first).lower()}\n" + catalogued(rest.address, name, tmp_path)
        with serve(tmp_path, config, crash=True) as region:
            make(client := region.client(), name)
            wait_until(lambda: reader(place).get("rows") == [], "an empty copy", 60)
            commits = rest.commits
            is_commit = lambda method, path: method == "POST" and path.endswith(f"/tables/{name}")
            rest.fault = lambda method, path: "before" if is_commit(method, path) and rest.commits > commits else None
            client.put_item(TableName=name, Item={"pk": {"S": "lost?"}})
            wait_until(lambda: rest.commits > commits, "the first commit", 30)
            if position_first:
                wait_until(lambda: sinks(region)["lake"]["failures"] >= 1, "the second one is refused", 30)
        rest.fault = lambda method, path: None
        with serve(tmp_path, config) as region:
            client = region.client()
            client.put_item(TableName=name, Item={"pk": {"S": "next"}})
            wait_until(lambda: any("next" in item for item in items(reader(place))), "the next change", 60)
            assert same(reader(place), client, name) is not position_first


def test_a_table_that_something_else_changes_is_left_alone(tmp_path, name):
    with catalogue(tmp_path) as rest, serve(tmp_path, catalogued(rest.address, name, tmp_path)) as region:
        make(client := region.client(), name)
        wait_until(lambda: sinks(region)["lake"]["loads"] == 1, "the copy", 60)
        change = {"requirements": [], "updates": [{"action": "add-schema", "schema": OTHER}, {"action": "set-current-schema", "schema-id": -1}]}
        request = urllib.request.Request(
            f"{rest.address}/v1/namespaces/lake%1Fhouse/tables/{name}",
            json.dumps(change).encode(),
            {"authorization": f"Bearer {rest.token}", "content-type": "application/json"},
        )
        urllib.request.urlopen(request, timeout=30).close()
        client.put_item(TableName=name, Item={"pk": {"S": "a"}})
        wait_until(lambda: "left alone" in sinks(region)["lake"].get("error", ""), "it says so", 60)
        commits = rest.commits
        client.put_item(TableName=name, Item={"pk": {"S": "b"}})
        failures = sinks(region)["lake"]["failures"]
        wait_until(lambda: sinks(region)["lake"]["failures"] > failures, "another try", 60)
        assert rest.commits == commits


def test_the_command_line_adds_one_with_a_catalogue(tmp_path, reader, name):
    """And says so if the catalogue has the table at another place."""
    secret = tmp_path / "secret"
    secret.write_text("hush\n")
    with catalogue(tmp_path) as rest, serve(tmp_path, "[throttle]\nenabled = false") as region:
        client = region.client()
        make(client, name)
        client.put_item(TableName=name, Item={"pk": {"S": "a"}, "n": {"N": "1"}})
        common = ["--table", name, "--typed-columns", "--dynamodb-json", "--commit-seconds", "1", "--catalog", rest.address, "--namespace", "lake.house"]
        common += ["--client-id", "geodynamo", "--client-secret-file", str(secret), "--scope", "PRINCIPAL_ROLE:ALL"]
        command(region, "add", "lake", "--iceberg", str(tmp_path / "lake"), *common)
        place = json.dumps({"uri": rest.address, "token": rest.token, "namespace": "lake.house", "table": name})
        read = wait_until(lambda: same(read := reader(place), client, name) and read, "the copy", 60)
        assert dict(read["columns"])["n"] == "double"
        command(region, "add", "elsewhere", "--iceberg", str(tmp_path / "elsewhere"), *common)
        wait_until(lambda: "the catalogue has the table at" in sinks(region)["elsewhere"].get("error", ""), "it says so", 60)
        assert same(reader(place), client, name)


OTHER = {"type": "struct", "schema-id": 1, "fields": [{"id": 1, "name": "_key", "required": True, "type": "binary"}, {"id": 9, "name": "mine", "required": False, "type": "string"}]}
