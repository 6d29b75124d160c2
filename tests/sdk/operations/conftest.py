"""Tables that the operations' tests share; each test keeps to partition keys of its own."""

import uuid

import pytest
from conftest import key_schema, table_definition, wait_until

from .wire import Wire


@pytest.fixture(scope="session")
def wire(dev):
    return Wire(dev.endpoint)


@pytest.fixture(scope="session")
def shared_table(wire):
    """Makes tables that live as long as the server: shared_table("pk", "sk:N", GlobalSecondaryIndexes=[…])."""

    def make(*keys, attributes=(), **more):
        name = f"operations-{uuid.uuid4().hex[:8]}"
        wire("CreateTable", **table_definition(name, *keys, attributes=attributes, **more))
        wait_until(lambda: wire("DescribeTable", TableName=name)["Table"]["TableStatus"] == "ACTIVE", "it is active")
        return name

    return make


@pytest.fixture(scope="session")
def plain(shared_table):
    """Partition key `pk`."""
    return shared_table("pk")


@pytest.fixture(scope="session")
def sorted_table(shared_table):
    """Partition key `pk`, sort key `sk`."""
    return shared_table("pk", "sk")


@pytest.fixture(scope="session")
def numbered(shared_table):
    """Partition key `pk`, sort key `sk`, a number."""
    return shared_table("pk", "sk:N")


@pytest.fixture(scope="session")
def indexed(shared_table):
    """Partition key `pk`, sort key `sk`; global indexes `g-all` and `g-include` (with `seen`) on `gp` and the number `gs`,
    `g-keys` on `gp`; local indexes `l-all`, `l-keys`, `l-include` (with `seen`) on `ls`; `g-binary` on the binary `gb`."""

    def index(name, keys, kind, *seen):
        projection = {"ProjectionType": kind, **({"NonKeyAttributes": list(seen)} if seen else {})}
        return {"IndexName": name, "KeySchema": key_schema(*keys), "Projection": projection}

    return shared_table(
        "pk",
        "sk",
        attributes=("gp", "gs:N", "ls", "gb:B"),
        GlobalSecondaryIndexes=[
            index("g-all", ("gp", "gs"), "ALL"),
            index("g-include", ("gp", "gs"), "INCLUDE", "seen"),
            index("g-keys", ("gp",), "KEYS_ONLY"),
            index("g-binary", ("gb",), "KEYS_ONLY"),
        ],
        LocalSecondaryIndexes=[
            index("l-all", ("pk", "ls"), "ALL"),
            index("l-keys", ("pk", "ls"), "KEYS_ONLY"),
            index("l-include", ("pk", "ls"), "INCLUDE", "seen"),
        ],
    )


@pytest.fixture
def pk():
    """A partition key that no other test uses."""
    return uuid.uuid4().hex[:12]
