"""What a table holds and how far its indexes are, when the process is killed (kill -9) and started again."""

import pytest
from conftest import key_schema, serve, table_definition, wait_until

ITEMS = 4000
BY_H = {"IndexName": "by-h", "KeySchema": key_schema("h"), "Projection": {"ProjectionType": "ALL"}}


@pytest.fixture
def table(tmp_path, name):
    """A table of a process that was killed just after an index was added to it: the folder and the table's name."""
    with serve(tmp_path, crash=True) as region:
        region.client().create_table(**table_definition(name, "pk"))
        with region.resource().Table(name).batch_writer() as batch:
            for n in range(ITEMS):
                batch.put_item(Item={"pk": f"item-{n}", "h": f"group-{n % 7}"})
        region.client().update_table(
            TableName=name,
            AttributeDefinitions=[{"AttributeName": "h", "AttributeType": "S"}],
            GlobalSecondaryIndexUpdates=[{"Create": BY_H}],
        )
    return tmp_path, name


def shown(client, name):
    return client.describe_table(TableName=name)["Table"]


def test_a_back_fill_goes_on_and_the_counts_are_true_within_six_seconds(table):
    folder, name = table
    with serve(folder, crash=True) as region:
        client = region.client()
        wait_until(lambda: shown(client, name)["ItemCount"] == ITEMS, "ItemCount is true", deadline_s=6)
        wait_until(lambda: shown(client, name)["TableStatus"] == "ACTIVE", "the index is filled")
        (index,) = shown(client, name)["GlobalSecondaryIndexes"]
        assert (index["IndexStatus"], index["ItemCount"]) == ("ACTIVE", ITEMS)
        pages = client.get_paginator("scan").paginate(TableName=name, IndexName="by-h", Select="COUNT")
        assert sum(page["Count"] for page in pages) == ITEMS
        size = shown(client, name)["TableSizeBytes"]
        client.update_table(TableName=name, GlobalSecondaryIndexUpdates=[{"Delete": {"IndexName": "by-h"}}])
    # Killed again, just after the index was removed.
    with serve(folder) as region:
        client = region.client()
        wait_until(lambda: "GlobalSecondaryIndexes" not in shown(client, name), "the index is gone")
        counts = lambda: (shown(client, name)["ItemCount"], shown(client, name)["TableSizeBytes"])
        wait_until(lambda: counts() == (ITEMS, size), "the counts are true", deadline_s=6)
    # After an orderly stop they are true at once.
    with serve(folder) as region:
        assert shown(region.client(), name)["ItemCount"] == ITEMS
