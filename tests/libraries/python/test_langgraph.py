"""LangGraph's DynamoDB checkpointer and store (PyPI: langgraph-checkpoint-aws, AWS's own)."""

import asyncio
import operator
from typing import Annotated, TypedDict

import pytest
from langgraph.graph import END, START, StateGraph
from langgraph.types import Command, interrupt
from langgraph_checkpoint_aws import DynamoDBSaver, DynamoDBStore


@pytest.fixture
def saver(client, name, endpoint):
    """The checkpointer, over the table that its documentation tells its users to make."""
    client.create_table(
        TableName=name,
        AttributeDefinitions=[{"AttributeName": key, "AttributeType": "S"} for key in ("PK", "SK")],
        KeySchema=[{"AttributeName": "PK", "KeyType": "HASH"}, {"AttributeName": "SK", "KeyType": "RANGE"}],
        BillingMode="PAY_PER_REQUEST",
    )
    client.get_waiter("table_exists").wait(TableName=name, WaiterConfig={"Delay": 1})
    return DynamoDBSaver(table_name=name, region_name="us-east-1", endpoint_url=endpoint, ttl_seconds=3600)


class State(TypedDict):
    messages: Annotated[list[str], operator.add]
    count: int


def graph(saver, ask=False):
    def plan(state):
        return {"messages": [f"planned {state['count']}"], "count": state["count"] + 1}

    def act(state):
        answer = interrupt("may I?") if ask else "unasked"
        return {"messages": [f"acted {answer}"]}

    builder = StateGraph(State)
    builder.add_node("plan", plan)
    builder.add_node("act", act)
    builder.add_edge(START, "plan")
    builder.add_edge("plan", "act")
    builder.add_edge("act", END)
    return builder.compile(checkpointer=saver)


def thread(name):
    return {"configurable": {"thread_id": name}}


def test_a_thread_goes_on_where_it_stopped(saver):
    app = graph(saver)
    first = app.invoke({"messages": ["hello"], "count": 0}, thread("one"))
    assert first["messages"] == ["hello", "planned 0", "acted unasked"]
    # Nothing but the thread's name: the rest comes out of the table.
    again = graph(saver).invoke({"messages": ["more"]}, thread("one"))
    assert again["messages"] == [*first["messages"], "more", "planned 1", "acted unasked"]
    assert app.get_state(thread("two")).values == {}

    history = list(app.get_state_history(thread("one")))
    # Newest first; two steps, the start and the input of each invocation.
    assert [state.values.get("count") for state in history] == [2, 2, 1, 1, 1, 1, 0, None]
    earlier = next(state for state in history if state.next == ("act",))
    assert app.get_state(earlier.config).values == earlier.values
    assert len(list(saver.list(thread("one"), limit=3))) == 3


def test_an_interrupted_thread_is_resumed(saver):
    app = graph(saver, ask=True)
    app.invoke({"messages": [], "count": 5}, thread("asks"))
    waiting = graph(saver, ask=True).get_state(thread("asks"))
    assert waiting.next == ("act",) and waiting.tasks[0].interrupts[0].value == "may I?"
    done = graph(saver, ask=True).invoke(Command(resume="yes"), thread("asks"))
    assert done["messages"] == ["planned 5", "acted yes"]


def test_async_and_deletion(saver, client, name):
    async def run():
        app = graph(saver)
        ends = await asyncio.gather(*(app.ainvoke({"messages": [], "count": n}, thread(f"t{n}")) for n in range(4)))
        assert [end["count"] for end in ends] == [1, 2, 3, 4]
        # Large enough to be written in parts of a batch.
        await app.ainvoke({"messages": ["x" * 200_000], "count": 0}, thread("t0"))
        return app

    app = asyncio.run(run())
    assert len(app.get_state(thread("t0")).values["messages"][2]) == 200_000
    item = client.scan(TableName=name, Limit=1)["Items"][0]
    assert "ttl" in item
    for n in range(4):
        saver.delete_thread(f"t{n}")
    assert client.scan(TableName=name, Select="COUNT")["Count"] == 0


def test_store(name, endpoint):
    store = DynamoDBStore(table_name=name, region_name="us-east-1", endpoint_url=endpoint, ttl={"default_ttl": 60})
    store.setup()
    store.setup()
    for n in range(30):
        store.put(("users", f"u{n % 3}"), f"key{n}", {"n": n, "even": n % 2 == 0})
    store.put(("places",), "here", {"at": [1, -2]})
    assert store.get(("users", "u1"), "key4").value == {"n": 4, "even": True}
    assert store.get(("users", "u1"), "key5") is None
    found = store.search(("users", "u0"), filter={"even": True}, limit=20)
    assert sorted(item.value["n"] for item in found) == [0, 6, 12, 18, 24]
    assert set(store.list_namespaces(prefix=("users",))) == {("users", f"u{n}") for n in range(3)}
    store.delete(("users", "u1"), "key4")
    assert store.get(("users", "u1"), "key4") is None
