"""Sessions that move between regions, with the code that docs/sessions.md shows: own writes are read wherever they were made, or
the region says that it is behind; and bounds on how old a read is."""

import json
import re
import subprocess
import urllib.request
from contextlib import contextmanager
from pathlib import Path

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError
from conftest import table_definition, wait_until
from test_global_tables import make_global

ROOT = Path(__file__).resolve().parent.parent.parent
PAGE = (ROOT / "docs/sessions.md").read_text()
SESSION = "x-geodynamo-session"


def shown(language):
    """The code that the page shows."""
    return re.search(rf"```{language}\n(.*?)```", PAGE, re.DOTALL).group(1)


exec(shown("python"))


@pytest.fixture(scope="module")
def table(regions):
    name = "sessions"
    make_global(regions, table_definition(name, "pk"))
    return name


@contextmanager
def cut(regions, alone):
    """One region's links to the others, cut in both directions."""
    pairs = [(alone.name, other.name) for other in regions if other is not alone]
    pairs += [(end, start) for start, end in pairs]

    def change(is_cut):
        for start, end in pairs:
            body = json.dumps({"cut": is_cut}).encode()
            request = urllib.request.Request(f"{alone.wan}/links/{start}/{end}", body, method="PUT")
            urllib.request.urlopen(request, timeout=10).close()

    change(True)
    try:
        yield
    finally:
        change(False)


class User:
    """Somebody who goes from region to region."""

    def __init__(self, wait_ms=5000, **more):
        self.session = Session()
        self.headers = {"x-geodynamo-session-wait-ms": str(wait_ms), **more}

    def at(self, region, follows=True, attempts=1):
        settings = region.settings()
        settings["config"] = Config(retries={"total_max_attempts": attempts, "mode": "standard"})
        client = boto3.client("dynamodb", **settings)
        client.meta.events.register("before-sign.dynamodb", lambda request, **_: self.add(request))
        if follows:
            self.session.follow(client)
        return client

    def add(self, request):
        for name, value in self.headers.items():
            request.headers[name] = value


def put(client, table, key, **more):
    return client.put_item(TableName=table, Item={"pk": {"S": key}}, **more)


def has(client, table, key):
    return "Item" in client.get_item(TableName=table, Key={"pk": {"S": key}})


def test_own_writes_are_read_in_every_region(regions, table):
    user = User()
    missed = 0
    for n in range(12):
        here, there = regions[n % 3], regions[(n + 1) % 3]
        put(user.at(here), table, f"own-{n}")
        # Without the session, what is on its way is not seen: it is the session that waits.
        missed += not has(user.at(there, follows=False), table, f"own-{n}")
        assert has(user.at(there), table, f"own-{n}"), n
    assert missed > 0, "the regions are too near to tell"
    # A condition judges the own write, too; PartiQL and batches read it.
    put(user.at(regions[0]), table, "condition")
    with pytest.raises(ClientError) as refused:
        put(user.at(regions[2]), table, "condition", ConditionExpression="attribute_not_exists(pk)")
    assert refused.value.response["Error"]["Code"] == "ConditionalCheckFailedException"
    put(user.at(regions[1]), table, "more")
    statement = f"SELECT * FROM \"{table}\" WHERE pk = 'more'"
    assert len(user.at(regions[0]).execute_statement(Statement=statement)["Items"]) == 1
    request = {table: {"Keys": [{"pk": {"S": "more"}}, {"pk": {"S": "own-0"}}]}}
    assert len(user.at(regions[2]).batch_get_item(RequestItems=request)["Responses"][table]) == 2


def test_a_region_that_is_behind_says_so(regions, table):
    here, there, _ = regions
    user = User(wait_ms=300)
    with cut(regions, here):
        put(user.at(here), table, "behind")
        with pytest.raises(ClientError) as refused:
            has(user.at(there), table, "behind")
        response = refused.value.response
        assert response["Error"]["Code"] == "ReplicaNotCaughtUpException"
        assert response["ResponseMetadata"]["HTTPStatusCode"] == 503
        # SDKs try again.
        with pytest.raises(ClientError) as refused:
            has(user.at(there, attempts=2), table, "behind")
        assert refused.value.response["ResponseMetadata"]["RetryAttempts"] == 1
        # Nothing was done.
        with pytest.raises(ClientError):
            put(user.at(there), table, "not-written")
        # Who does not ask is answered, and so is who has seen less.
        assert not has(user.at(there, follows=False), table, "behind")
        assert not has(User(wait_ms=300).at(there), table, "not-written")
        assert has(user.at(here), table, "behind")
    user.headers["x-geodynamo-session-wait-ms"] = "10000"
    wait_until(lambda: has(user.at(there, attempts=5), table, "behind"), "it is there")
    assert not has(user.at(there), table, "not-written")


def test_reads_are_no_older_than_allowed(regions, table):
    here, there, _ = regions
    old = User(wait_ms=3000, **{"x-geodynamo-max-staleness-ms": "60000"})
    new = User(wait_ms=3000, **{"x-geodynamo-max-staleness-ms": "0"})
    for n in range(5):
        put(here.client(), table, f"fresh-{n}")
        assert has(new.at(there, follows=False), table, f"fresh-{n}"), n
    assert has(old.at(there, follows=False), table, "fresh-0")
    new.headers["x-geodynamo-session-wait-ms"] = "300"
    with cut(regions, here):
        put(here.client(), table, "unseen")
        # What was proven a moment ago holds for who allows a minute.
        assert not has(old.at(there, follows=False), table, "unseen")
        with pytest.raises(ClientError) as refused:
            has(new.at(there, follows=False), table, "unseen")
        error = refused.value.response["Error"]
        assert error["Code"] == "ReplicaNotCaughtUpException"
        assert f"what '{here.name}' has acknowledged" in error["Message"]
        # A write has no age.
        put(new.at(there, follows=False), table, "written-meanwhile")
    new.headers["x-geodynamo-session-wait-ms"] = "10000"
    assert wait_until(lambda: has(new.at(there, follows=False, attempts=5), table, "unseen"), "it is there")


def test_what_is_no_token_is_refused(regions, table):
    user = User()
    put(user.at(regions[0]), table, "token")
    good = user.session.token
    assert re.fullmatch(r"[\w-]{20,400}", good)
    for bad in ["x", good[:-1], good[:10] + ("A" if good[10] != "A" else "B") + good[11:], "A" * 9000, "é"]:
        user.session.token = bad
        with pytest.raises(ClientError) as refused:
            has(user.at(regions[0]), table, "token")
        assert refused.value.response["Error"]["Code"] == "ValidationException", bad
    user.session.token = good
    user.headers["x-geodynamo-session-wait-ms"] = "soon"
    with pytest.raises(ClientError, match="must be a whole number of milliseconds"):
        has(user.at(regions[0]), table, "token")


def test_who_does_not_ask_gets_no_token(regions, table):
    answer = put(regions[0].client(), table, "plain")
    assert SESSION not in answer["ResponseMetadata"]["HTTPHeaders"]


def test_javascript(regions, table, tmp_path):
    """The JavaScript of the page, in a user's hands."""
    paths = subprocess.check_output([ROOT / "scripts/library-envs"], text=True, stdin=subprocess.DEVNULL)
    paths = dict(line.split("=", 1) for line in paths.splitlines())
    script = tmp_path / "session.cjs"
    script.write_text(
        f"""
const {{ DynamoDBClient, GetItemCommand, PutItemCommand }} = require('@aws-sdk/client-dynamodb')
{shown("javascript")}
async function main() {{
  const regions = JSON.parse(process.env.REGIONS)
  const session = {{}}
  const clients = regions.map((settings) => new DynamoDBClient({{ ...settings, maxAttempts: 3 }}))
  clients.forEach((client) => follow(client, session))
  const TableName = {json.dumps(table)}
  for (let n = 0; n < 9; n += 1) {{
    const pk = {{ S: `javascript-${{n}}` }}
    await clients[n % 3].send(new PutItemCommand({{ TableName, Item: {{ pk }} }}))
    const {{ Item }} = await clients[(n + 1) % 3].send(new GetItemCommand({{ TableName, Key: {{ pk }} }}))
    if (!Item) throw new Error(`${{n}} is not seen`)
  }}
  clients.forEach((client) => client.destroy())
}}
main().catch((error) => {{ console.error(error); process.exit(1) }})
"""
    )
    settings = [
        {
            "endpoint": region.endpoint,
            "region": region.name,
            "credentials": {"accessKeyId": region.access_key_id, "secretAccessKey": region.secret_access_key},
        }
        for region in regions
    ]
    environment = {**regions[0].environment(), "NODE_PATH": paths["node_modules"], "REGIONS": json.dumps(settings)}
    done = subprocess.run([paths["node"], script], env=environment, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
