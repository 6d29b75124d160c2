"""Clients that record what they do, and the judge of what they recorded (tests/src/bin/judge.rs)."""

import itertools
import json
import random
import subprocess
import threading
import time

from botocore.exceptions import BotoCoreError, ClientError, ConnectTimeoutError, EndpointConnectionError
from conftest import TARGET

JUDGE = TARGET / "debug" / "judge"


class Recorder(threading.Thread):
    """Reads, writes, swaps and increments items of a table by one node, and notes when and what came of it."""

    moments = itertools.count()

    def __init__(self, clients, table, items, seed):
        super().__init__(daemon=True)
        # None retries: what is tried twice is no single call.
        self.clients, self.table, self.items = clients, table, items
        self.random = random.Random(seed)
        self.going = threading.Event()
        self.calls, self.answered = [], 0

    def run(self):
        for turn in itertools.count():
            if self.going.is_set():
                return
            item = self.random.choice(self.items)
            # None is at the same node for ever: whoever lost its node asks another one.
            client = self.clients[turn % len(self.clients)]
            kind = self.random.choice((self.read, self.read, self.increment, self.increment, self.write, self.swap))
            call = {"item": item, "begin": next(self.moments), "end": None}
            try:
                seen = kind(client, item, call)
                call.update(seen, end=next(self.moments))
                self.answered += 1
            except (BotoCoreError, ClientError) as error:
                # It did not get there, or changes nothing: not a call that anybody could have seen.
                if is_undone(error) or not call.keys() & {"increment", "write", "swap"}:
                    time.sleep(0.05)
                    continue
            self.calls.append(call)

    def key(self, item):
        return {"TableName": self.table, "Key": {"pk": {"S": item}}}

    def read(self, client, item, call):
        call["read"] = None
        return {"read": value(client.get_item(**self.key(item), ConsistentRead=True).get("Item"))}

    def increment(self, client, item, call):
        call["increment"] = None
        done = client.update_item(
            **self.key(item),
            UpdateExpression="ADD n :one",
            ExpressionAttributeValues={":one": {"N": "1"}},
            ReturnValues="UPDATED_NEW",
        )
        return {"increment": value(done["Attributes"])}

    def write(self, client, item, call):
        call["write"] = self.random.randrange(1_000_000)
        put = {"pk": {"S": item}, "n": {"N": str(call["write"])}}
        done = client.put_item(TableName=self.table, Item=put, ReturnValues="ALL_OLD")
        return {"from": value(done.get("Attributes"))}

    def swap(self, client, item, call):
        expected = value(client.get_item(**self.key(item)).get("Item"))
        call.update(begin=next(self.moments), expected=expected, swap=self.random.randrange(1_000_000))
        put = {"pk": {"S": item}, "n": {"N": str(call["swap"])}}
        condition = {"ConditionExpression": "attribute_not_exists(pk)"}
        if expected is not None:
            condition = {"ConditionExpression": "n = :n", "ExpressionAttributeValues": {":n": {"N": str(expected)}}}
        try:
            client.put_item(TableName=self.table, Item=put, **condition)
        except client.exceptions.ConditionalCheckFailedException:
            return {"done": False}
        return {"done": True}

    def stop(self):
        self.going.set()
        self.join(timeout=120)
        assert not self.is_alive()


def is_undone(error):
    """Whether a call that failed was certainly not carried out."""
    if isinstance(error, (EndpointConnectionError, ConnectTimeoutError)):
        return True
    return isinstance(error, ClientError) and error.response["ResponseMetadata"]["HTTPStatusCode"] == 503


def value(item):
    return int(item["n"]["N"]) if item else None


def judge(calls):
    """What the judge says, and whether all is well."""
    lines = "\n".join(json.dumps(call) for call in calls)
    done = subprocess.run([JUDGE], input=lines, capture_output=True, text=True, timeout=300)
    return done.returncode == 0, done.stdout + done.stderr
