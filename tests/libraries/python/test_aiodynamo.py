"""aiodynamo: asyncio, its own signing, its own HTTP."""

import asyncio
import time
from contextlib import asynccontextmanager

import aiohttp
import pytest
from aiodynamo.client import Client
from aiodynamo.credentials import Credentials
from aiodynamo.errors import ConditionalCheckFailed, ItemNotFound, TableNotFound, TransactionCanceled, ValidationException
from aiodynamo.expressions import F, HashKey, RangeKey
from aiodynamo.http.aiohttp import AIOHTTP
from aiodynamo.models import (
    BatchGetRequest,
    BatchWriteRequest,
    GlobalSecondaryIndex,
    KeySchema,
    KeySpec,
    KeyType,
    LocalSecondaryIndex,
    PayPerRequest,
    Projection,
    ProjectionType,
    ReturnValues,
    StaticDelayRetry,
    StreamSpecification,
    TimeToLiveStatus,
)
from aiodynamo.operations import ConditionCheck, Delete, Get, Put, Update
from yarl import URL

POLL = StaticDelayRetry(time_limit_secs=60, delay=0.05)
KEYS = KeySchema(KeySpec("user", KeyType.string), KeySpec("at", KeyType.number))


@pytest.fixture
def table(endpoint, name):
    """Opens the table inside a test's own event loop."""

    @asynccontextmanager
    async def open_table(**creation):
        async with aiohttp.ClientSession() as session:
            client = Client(AIOHTTP(session), Credentials.auto(), "us-east-1", URL(endpoint), numeric_type=int)
            table = client.table(name)
            assert not await table.exists()
            await table.create(PayPerRequest(), KEYS, wait_for_active=POLL, **creation)
            assert await table.exists()
            yield table
            await table.delete(wait_for_disabled=POLL)
            with pytest.raises(TableNotFound):
                await table.describe()

    return open_table


def test_items_and_indexes(table):
    lsi = LocalSecondaryIndex(
        "by-score", KeySchema(KeySpec("user", KeyType.string), KeySpec("score", KeyType.number)), Projection(ProjectionType.all)
    )
    gsi = GlobalSecondaryIndex(
        "by-game", KeySchema(KeySpec("game", KeyType.string)), Projection(ProjectionType.include, ["score"]), None
    )

    async def run():
        async with table(lsis=[lsi], gsis=[gsi], stream=StreamSpecification(enabled=True)) as plays:
            about = await plays.describe()
            assert (about.key_schema, about.throughput) == (KEYS, PayPerRequest())
            await asyncio.gather(
                *(
                    plays.put_item({"user": "u", "at": n, "game": ["chess", "go"][n % 2], "score": 100 - n, "moves": [n]})
                    for n in range(40)
                )
            )
            assert (await plays.get_item({"user": "u", "at": 7}))["score"] == 93
            assert await plays.get_item({"user": "u", "at": 7}, projection=F("moves", 0) & F("game")) == {
                "moves": [7],
                "game": "go",
            }
            recent = plays.query(HashKey("user", "u") & RangeKey("at").gte(30), scan_forward=False, limit=3)
            assert [item["at"] async for item in recent] == [39, 38, 37]
            worst = plays.query(HashKey("user", "u"), index="by-score", limit=2)
            assert [item["score"] async for item in worst] == [61, 62]
            assert await plays.count(HashKey("game", "go"), index="by-game", filter_expression=F("score").gt(70)) == 15
            assert await plays.scan_count(filter_expression=F("at").between(10, 19) & F("game").equals("chess")) == 5
            assert await plays.scan_count(filter_expression=F("moves").contains(3) | ~F("game").exists()) == 1

            change = F("score").change(5) & F("moves").append([70]) & F("note").set("n") & F("game").remove()
            new = await plays.update_item({"user": "u", "at": 7}, change, return_values=ReturnValues.all_new)
            assert new == {"user": "u", "at": 7, "score": 98, "moves": [7, 70], "note": "n"}
            with pytest.raises(ConditionalCheckFailed):
                await plays.update_item({"user": "u", "at": 7}, F("score").set(0), condition=F("game").exists())
            with pytest.raises(ConditionalCheckFailed):
                await plays.put_item({"user": "u", "at": 7}, condition=F("user").does_not_exist())
            with pytest.raises(ValidationException):
                await plays.get_item({"user": "u"})
            old = await plays.delete_item({"user": "u", "at": 7}, return_values=ReturnValues.all_old)
            assert old == new
            with pytest.raises(ItemNotFound):
                await plays.get_item({"user": "u", "at": 7})

    asyncio.run(run())


def test_batches(table):
    async def run():
        async with table() as events:
            items = [{"user": f"u{n}", "at": n, "flag": n % 2 == 0, "nothing": None, "blob": bytes([n])} for n in range(25)]
            left = await events.client.batch_write({events.name: BatchWriteRequest(items_to_put=items)})
            assert left == {}
            keys = [{"user": item["user"], "at": item["at"]} for item in items]
            got = await events.client.batch_get({events.name: BatchGetRequest(keys + [{"user": "none", "at": 1}])})
            assert sorted(got.items[events.name], key=lambda item: item["at"]) == items
            assert not any(got.unprocessed_keys.values())
            await events.client.batch_write({events.name: BatchWriteRequest(keys_to_delete=keys[:20])})
            assert [item async for item in events.scan()].__len__() == 5

    asyncio.run(run())


def test_transactions(table):
    async def run():
        async with table() as accounts:
            client, name = accounts.client, accounts.name
            key = [{"user": f"u{n}", "at": 0} for n in range(4)]
            puts = [Put(name, {**key[n], "balance": 100}, condition=F("user").does_not_exist()) for n in range(3)]
            await client.transact_write_items(puts, request_token=name)
            # The same token again: done already, so not refused.
            await client.transact_write_items(puts, request_token=name)
            with pytest.raises(TransactionCanceled) as refused:
                await client.transact_write_items([Put(name, {**key[3]}), *puts])
            assert [reason and reason.code for reason in refused.value.cancellation_reasons] == [
                None,
                *["ConditionalCheckFailed"] * 3,
            ]
            move = [
                Update(name, key[0], F("balance").change(-30), condition=F("balance").gte(30)),
                Update(name, key[1], F("balance").change(30)),
                ConditionCheck(name, key[2], F("balance").equals(100)),
                Delete(name, key[3]),
            ]
            await client.transact_write_items(move)
            seen = await client.transact_get_items([Get(name, key[0]), Get(name, key[1], projection=F("balance"))])
            assert seen == [{**key[0], "balance": 70}, {"balance": 130}]

    asyncio.run(run())


def test_time_to_live(table):
    async def run():
        async with table() as sessions:
            assert (await sessions.client.describe_time_to_live(sessions.name)).status is TimeToLiveStatus.disabled
            await sessions.time_to_live.enable("expires", wait_for_enabled=POLL)
            about = await sessions.time_to_live.describe()
            assert (about.attribute, about.status) == ("expires", TimeToLiveStatus.enabled)
            now = int(time.time())
            await sessions.put_item({"user": "old", "at": 1, "expires": now - 60})
            await sessions.put_item({"user": "new", "at": 1, "expires": now + 3600})
            deadline = time.monotonic() + 60
            while await sessions.scan_count() > 1:
                assert time.monotonic() < deadline, "what expired is still there"
                await asyncio.sleep(0.1)
            assert [item["user"] async for item in sessions.scan()] == ["new"]

    asyncio.run(run())
