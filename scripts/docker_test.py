"""compose.yaml from an image to volumes that survive, where a Docker engine answers; where none does, it says SKIPPED, and holds
compose.yaml against Compose's schema and the topology.

Builds, starts the three regions, writes in each and reads in the others, cuts and heals a link, takes everything down, starts it again
and finds what was written. Uses the ports that compose.yaml publishes on loopback.
"""

import json
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import boto3

ROOT = Path(__file__).resolve().parent.parent
PORTS = {"us-east-1": 8001, "eu-west-1": 8002, "ap-northeast-1": 8003}
STATE_MAX_S = 60


def main():
    if subprocess.call(["docker", "info"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) != 0:
        print("=" * 72)
        print("SKIPPED: no Docker engine answers (docker info fails). Nothing was built or started.")
        print("What can be said without one: compose.yaml against Compose's schema and the topology.")
        print("=" * 72, flush=True)
        command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "tests/sdk/test_compose.py"]
        sys.exit(subprocess.call(command, cwd=ROOT))
    try:
        compose("up", "--build", "--detach", "--wait", *PORTS)
        clients = connect()
        story(clients)
        compose("down")
        compose("up", "--detach", "--wait", *PORTS)
        until("what was written is there after a restart", lambda: has(connect()["eu-west-1"], "from us-east-1"))
        print("ok   volumes survive")
    finally:
        compose("down", "--volumes")


def story(clients):
    home, *others = PORTS
    clients[home].create_table(
        TableName="compose",
        BillingMode="PAY_PER_REQUEST",
        AttributeDefinitions=[{"AttributeName": "pk", "AttributeType": "S"}],
        KeySchema=[{"AttributeName": "pk", "KeyType": "HASH"}],
    )
    for region in others:
        until("the table takes an update", lambda: status(clients[home]) == "ACTIVE")
        clients[home].update_table(TableName="compose", ReplicaUpdates=[{"Create": {"RegionName": region}}])
        until(f"the replica in {region} is ACTIVE", lambda region=region: status(clients[region]) == "ACTIVE")
    for region, client in clients.items():
        client.put_item(TableName="compose", Item={"pk": {"S": f"from {region}"}})
    for region in PORTS:
        for client in clients.values():
            until(f"every region has the write of {region}", lambda region=region, client=client: has(client, f"from {region}"))
    print("ok   writes in each region are read in the others")
    cut(home, others[0], True)
    clients[home].put_item(TableName="compose", Item={"pk": {"S": "behind the cut"}})
    cut(home, others[0], False)
    until("the cut is healed", lambda: has(clients[others[0]], "behind the cut"))
    print("ok   cut and healed")


def connect():
    keys = dict(line.split("=", 1) for line in compose("run", "--rm", "keys").split())
    return {
        region: boto3.client(
            "dynamodb",
            region_name=region,
            endpoint_url=f"http://127.0.0.1:{port}",
            aws_access_key_id=keys["AWS_ACCESS_KEY_ID"],
            aws_secret_access_key=keys["AWS_SECRET_ACCESS_KEY"],
        )
        for region, port in PORTS.items()
    }


def compose(*arguments):
    return subprocess.run(["docker", "compose", *arguments], cwd=ROOT, check=True, stdout=subprocess.PIPE, text=True).stdout


def status(client):
    try:
        return client.describe_table(TableName="compose")["Table"]["TableStatus"]
    except client.exceptions.ResourceNotFoundException:
        return None


def has(client, key):
    return "Item" in client.get_item(TableName="compose", Key={"pk": {"S": key}}, ConsistentRead=True)


def cut(a, b, whether):
    for start, end in ((a, b), (b, a)):
        body = json.dumps({"cut": whether}).encode()
        request = urllib.request.Request(f"http://127.0.0.1:9091/links/{start}/{end}", body, method="PUT")
        urllib.request.urlopen(request, timeout=10).close()


def until(what, holds):
    deadline = time.monotonic() + STATE_MAX_S
    while not holds():
        if time.monotonic() > deadline:
            sys.exit(f"after {STATE_MAX_S} s still not: {what}")
        time.sleep(0.1)


if __name__ == "__main__":
    main()
