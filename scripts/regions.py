"""What three regions with a WAN emulator between them are put through, wherever they run: netns.py has them in network namespaces,
docker_test.py in containers.

One table in all of them; a write in each is read in the others; load on all; a link is cut, both sides write, it is healed: equal digests.
"""

import json
import sys
import time
import urllib.error
import urllib.request

import boto3
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

NAMES = ("us-east-1", "eu-west-1", "ap-northeast-1")
TABLE = "everywhere"
# Enough to see that it goes through; no measurement.
LOAD = ["--workload", "conflicts", "--items", "500"]
RUN = [*LOAD, "--arrivals", "poisson:60", "--seconds", "5", "--warm-up-seconds", "1"]
# Read back in all regions, and judged. No word here needs quoting in a shell's variable.
JUDGED = ["--verify", "--json", "--slo", "lag.p50<10s", "--slo", "errors<0.1%"]
STATE_MAX_S = 60


class Regions:
    """Three regions: `data` and `admin` say at what HOST:PORT each answers, `control` where the emulator does."""

    def __init__(self, data, admin, control, credentials):
        self.admin, self.control, self.credentials = admin, control, credentials
        self.clients = {
            region: boto3.client(
                "dynamodb",
                region_name=region,
                endpoint_url=f"http://{data[region]}",
                aws_access_key_id=credentials["AWS_ACCESS_KEY_ID"],
                aws_secret_access_key=credentials["AWS_SECRET_ACCESS_KEY"],
            )
            for region in NAMES
        }

    def story(self, load):
        """All of it. `load()` puts load on all regions, and gives the load generator's document."""
        self.make_table()
        said("one table in three regions")
        self.write_in_each()
        said("a write in each region is read in the others")
        self.judge(load())
        said("load on all regions: each lags behind the others by its link's delay, and all hold what was acknowledged")
        self.refuse_strangers()
        said("admin ports ask other machines for a signature")
        self.cut_and_heal()
        said("healed: equal digests in all regions")

    def make_table(self):
        home, *others = NAMES
        self.clients[home].create_table(
            TableName=TABLE,
            BillingMode="PAY_PER_REQUEST",
            AttributeDefinitions=[{"AttributeName": "pk", "AttributeType": "S"}],
            KeySchema=[{"AttributeName": "pk", "KeyType": "HASH"}],
        )
        for region in others:
            until("the table takes an update", lambda: self.status(home) == "ACTIVE")
            self.clients[home].update_table(TableName=TABLE, ReplicaUpdates=[{"Create": {"RegionName": region}}])
            until(f"the replica in {region} is ACTIVE", lambda region=region: self.status(region) == "ACTIVE")

    def write_in_each(self):
        for region in NAMES:
            self.clients[region].put_item(TableName=TABLE, Item={"pk": {"S": f"from {region}"}})
        self.see_what_each_wrote()

    def see_what_each_wrote(self):
        for region in NAMES:
            for other in NAMES:
                until(f"{other} has the write of {region}", lambda: self.has(other, f"from {region}"))

    def judge(self, outcome):
        """All of it is there; what is written is visible elsewhere after the link's delay, not before."""
        assert outcome["verified"]["items"] > 50 and outcome["verified"]["faults"] == 0, outcome["verified"]
        with urllib.request.urlopen(f"http://{self.control}/links", timeout=10) as answer:
            delays = {(link["from"], link["to"]): link["delay_ms"] for link in json.load(answer)}
        for pair in outcome["lag"]:
            # From the acknowledgement on, which comes a little after the commit that is sent.
            assert pair["visible_ms"]["p50"] > 0.5 * delays[pair["from"], pair["to"]], (pair, delays)

    def refuse_strangers(self):
        try:
            urllib.request.urlopen(self.digest_url(NAMES[0]), timeout=10)
        except urllib.error.HTTPError as refused:
            assert refused.code == 403, refused
            return
        raise AssertionError("an admin port told another machine something without a signature")

    def cut_and_heal(self):
        here, there = NAMES[:2]
        self.cut(here, there, True)
        for region in (here, there):
            for place in range(10):
                self.clients[region].put_item(TableName=TABLE, Item={"pk": {"S": f"item {place}"}, "by": {"S": region}})
        assert self.digest(here) != self.digest(there), "the link is cut, and both sides hold the same"
        said("both sides of a cut link take writes")
        self.cut(here, there, False)
        self.see_equal_digests()

    def see_equal_digests(self):
        until("equal digests", lambda: len({self.digest(region) for region in NAMES}) == 1)

    def status(self, region):
        client = self.clients[region]
        try:
            return client.describe_table(TableName=TABLE)["Table"]["TableStatus"]
        except client.exceptions.ResourceNotFoundException:
            return None

    def has(self, region, key):
        return "Item" in self.clients[region].get_item(TableName=TABLE, Key={"pk": {"S": key}}, ConsistentRead=True)

    def digest(self, region):
        """What a replica holds, in short; signed, for the region takes us for another machine."""
        request = AWSRequest("GET", self.digest_url(region))
        key = Credentials(self.credentials["AWS_ACCESS_KEY_ID"], self.credentials["AWS_SECRET_ACCESS_KEY"])
        SigV4Auth(key, "geodynamo", region).add_auth(request)
        with urllib.request.urlopen(urllib.request.Request(request.url, headers=dict(request.headers)), timeout=10) as answer:
            return answer.read()

    def digest_url(self, region):
        return f"http://{self.admin[region]}/digest?table={TABLE}"

    def cut(self, a, b, whether):
        for start, end in ((a, b), (b, a)):
            body = json.dumps({"cut": whether}).encode()
            request = urllib.request.Request(f"http://{self.control}/links/{start}/{end}", body, method="PUT")
            urllib.request.urlopen(request, timeout=10).close()


def said(what):
    print(f"ok   {what}", flush=True)


def until(what, holds):
    deadline = time.monotonic() + STATE_MAX_S
    while not holds():
        if time.monotonic() > deadline:
            sys.exit(f"after {STATE_MAX_S} s still not: {what}")
        time.sleep(0.1)


def credentials_of(text):
    """Those of the file that docker/init.sh makes."""
    return dict(line.split("=", 1) for line in text.split())
