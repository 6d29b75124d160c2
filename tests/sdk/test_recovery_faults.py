"""What fails while a region archives, takes backups, restores and imports: the region (kill -9), the archive's server (kill -9),
the disk (full). Nothing acknowledged is missing from a restore to a later moment, and no table is ACTIVE with less than it
should have.

The archive's server is SeaweedFS, which keeps what it has told to be written. GEODYNAMO_RECOVERY_ROUNDS sets the number of
rounds (`make soak-recovery`), GEODYNAMO_RECOVERY_SEED what they are.
"""

import json
import os
import random
import signal
import subprocess
import threading
import time
from contextlib import contextmanager
from pathlib import Path

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from conftest import free_port, serve, table_definition, wait_until
from test_backups import delete, restorable_until, switch
from test_export_import import import_request, write

ROOT = Path(__file__).resolve().parent.parent.parent
ROUNDS = int(os.environ.get("GEODYNAMO_RECOVERY_ROUNDS", "3"))
SEED = int(os.environ.get("GEODYNAMO_RECOVERY_SEED", "16"))
KEYS = {"aws_access_key_id": "weed", "aws_secret_access_key": "weedweed", "region_name": "us-east-1"}
# Loads take no more room while there is less than 64 MiB.
DISK_MB = 256
LEFT_MB = 40
IMPORTED = 4_000
STATE_S = 180


@contextmanager
def small_disk(at):
    """A small file system in memory."""
    at.mkdir(parents=True)
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={DISK_MB}m", "tmpfs", at], capture_output=True)
    if mounted.returncode != 0:
        pytest.skip("no small disk can be mounted here")
    try:
        yield Disk(at)
    finally:
        subprocess.run(["umount", "--lazy", at], check=False)


class Disk:
    def __init__(self, at):
        self.at = at
        self.ballast = at / "ballast"

    def left(self):
        found = os.statvfs(self.at)
        return found.f_bavail * found.f_frsize >> 20

    def fill(self):
        with self.ballast.open("wb") as file:
            while self.left() > LEFT_MB:
                file.write(b"x" * (1 << 20))
                file.flush()

    def empty(self):
        self.ballast.unlink(missing_ok=True)


class Weed:
    """SeaweedFS, with a bucket for the archive."""

    def __init__(self, folder):
        environment = ["scripts/python-env", "--path", "tests/sdk/requirements-weed.txt"]
        path = subprocess.run(environment, cwd=ROOT, check=True, capture_output=True, text=True).stdout.strip()
        self.folder = folder / "weed"
        self.folder.mkdir()
        actions = ["Admin", "Read", "Write", "List", "Tagging"]
        keys = {"accessKey": KEYS["aws_access_key_id"], "secretKey": KEYS["aws_secret_access_key"]}
        identities = {"identities": [{"name": "tests", "credentials": [keys], "actions": actions}]}
        (self.folder / "keys.json").write_text(json.dumps(identities))
        ports = [f"-{part}={free_port()}" for part in (
            "master.port", "master.port.grpc", "volume.port", "volume.port.grpc", "filer.port", "filer.port.grpc",
            "s3.port.grpc",
        )]  # fmt: skip
        self.port = free_port()
        self.command = [
            f"{path}/bin/weed", "server", "-dir=.", "-ip=127.0.0.1", "-ip.bind=127.0.0.1", *ports, "-filer", "-s3",
            f"-s3.port={self.port}", "-s3.port.iceberg=0", "-s3.port.lance=0", "-s3.config=keys.json",
            "-master.volumeSizeLimitMB=64", "-volume.max=50",
        ]  # fmt: skip
        self.endpoint = f"http://127.0.0.1:{self.port}"
        self.process = None

    def client(self):
        config = Config(s3={"addressing_style": "path"}, retries={"total_max_attempts": 1})
        return boto3.client("s3", endpoint_url=self.endpoint, config=config, **KEYS)

    def start(self):
        with (self.folder / "log").open("ab") as log:
            self.process = subprocess.Popen(self.command, cwd=self.folder, stdout=log, stderr=log)
        client = self.client()

        def takes_objects():
            assert self.process.poll() is None, (self.folder / "log").read_text()[-3000:]
            try:
                if not client.list_buckets()["Buckets"]:
                    client.create_bucket(Bucket="archive")
                client.put_object(Bucket="archive", Key="probe/it", Body=b"is there")
                return True
            except (BotoCoreError, ClientError):
                return False

        wait_until(takes_objects, "SeaweedFS takes objects", STATE_S, every_s=0.3)

    def kill(self):
        if self.process:
            self.process.send_signal(signal.SIGKILL)
            self.process.wait(timeout=60)
            self.process = None

    def settings(self):
        return f"""
[archive]
url = "s3://archive/some/prefix"
endpoint = "{self.endpoint}"
region = "us-east-1"
access_key_id = "{KEYS["aws_access_key_id"]}"
secret_access_key = "{KEYS["aws_secret_access_key"]}"
ship_seconds = 1
"""


class Writer:
    """Puts items one after the other until it is told to stop, or the region is gone; keeps what was acknowledged."""

    def __init__(self, client, round_, acknowledged):
        self.client, self.round, self.acknowledged = client, round_, acknowledged
        self.stopped = threading.Event()
        self.thread = threading.Thread(target=self.run)
        self.thread.start()

    def run(self):
        number = 0
        while not self.stopped.is_set():
            key = f"{self.round}-{number}"
            try:
                self.client.put_item(TableName="tab", Item={"pk": {"S": key}, "v": {"S": "x" * (number % 90 * 40)}})
                self.acknowledged.append((key, time.time()))
            except (BotoCoreError, ClientError):
                # Perhaps it is there all the same. A full disk refuses until it has room again.
                self.stopped.wait(0.05)
            number += 1

    def stop(self):
        self.stopped.set()
        self.thread.join(timeout=STATE_S)


def keys(client, table):
    pages = client.get_paginator("scan").paginate(TableName=table, ProjectionExpression="pk")
    return {item["pk"]["S"] for page in pages for item in page["Items"]}


def status(client, table):
    try:
        return client.describe_table(TableName=table)["Table"]["TableStatus"]
    except client.exceptions.ResourceNotFoundException:
        return "GONE"


def active(client, table):
    """Waits until a table is ACTIVE. It is CREATING before, and never gone."""

    def is_active():
        seen = status(client, table)
        assert seen in ("CREATING", "ACTIVE"), seen
        return seen == "ACTIVE"

    wait_until(is_active, f"{table} is ACTIVE", STATE_S, every_s=0.1)


def lines():
    item = {"text": {"S": "x" * 700}}
    return "\n".join(json.dumps({"Item": {"pk": {"S": f"i{number}"}, **item}}) for number in range(IMPORTED))


class Story:
    """What was begun in all rounds, and what it has to come to."""

    def __init__(self):
        self.acknowledged = []
        # Restored tables, and what had been acknowledged by their moment.
        self.restores = {}
        self.backups = {}
        self.imports = {}

    def begin(self, what, client, round_):
        """Begins one thing; it may be refused, for then it was not begun."""
        before = {key for key, _ in list(self.acknowledged)}
        try:
            if what == "backup":
                arn = client.create_backup(TableName="tab", BackupName=f"backup-{round_}")["BackupDetails"]["BackupArn"]
                self.backups[arn] = before
            elif what == "restore":
                moment = client.describe_continuous_backups(TableName="tab")["ContinuousBackupsDescription"]
                moment = moment["PointInTimeRecoveryDescription"]["LatestRestorableDateTime"].timestamp()
                target = f"restored-{round_}"
                client.restore_table_to_point_in_time(
                    SourceTableName="tab", TargetTableName=target, RestoreDateTime=moment
                )
                # A moment is a whole second and what is committed in it.
                self.restores[target] = {key for key, at in list(self.acknowledged) if at < moment}
            elif what == "import":
                request = import_request("source", f"imported-{round_}", "DYNAMODB_JSON", "pk")
                arn = client.import_table(**request)["ImportTableDescription"]["ImportArn"]
                self.imports[arn] = f"imported-{round_}"
        except (BotoCoreError, ClientError, KeyError) as error:
            print(f"  no {what}: {error!r}", flush=True)

    def ends(self, client):
        """Everything that was begun ends, and with all that it should have."""
        everything = {key for key, _ in self.acknowledged}
        for table, expected in self.restores.items():
            active(client, table)
            found = keys(client, table)
            assert expected <= found, f"{table} lacks {len(expected - found)} items"
        for arn, table in self.imports.items():

            def has_ended(arn=arn):
                found = client.describe_import(ImportArn=arn)["ImportTableDescription"]
                return found if found["ImportStatus"] != "IN_PROGRESS" else None

            done = wait_until(has_ended, "the import has ended", STATE_S)
            counts = (done["ImportStatus"], done["ImportedItemCount"], done["ErrorCount"])
            assert counts == ("COMPLETED", IMPORTED, 0), done
            assert len(keys(client, table)) == IMPORTED
        for number, (arn, expected) in enumerate(self.backups.items()):

            def is_available(arn=arn):
                try:
                    return client.describe_backup(BackupArn=arn)["BackupDescription"]["BackupDetails"]["BackupStatus"]
                except client.exceptions.BackupNotFoundException:
                    # One that a kill broke off is none.
                    return "GONE"

            wait_until(lambda: is_available() != "CREATING", "the backup is there", STATE_S)
            if is_available() == "AVAILABLE":
                target = f"backup-{number}"
                client.restore_table_from_backup(TargetTableName=target, BackupArn=arn)
                active(client, target)
                found = keys(client, target)
                assert expected <= found, f"the backup lacks {len(expected - found)} items"
                delete(client, target)
        restorable_until(client, "tab", time.time() + 1)
        client.restore_table_to_point_in_time(
            SourceTableName="tab", TargetTableName="whole", UseLatestRestorableTime=True
        )
        active(client, "whole")
        assert keys(client, "whole") >= everything
        assert keys(client, "whole") == keys(client, "tab")


FAULTS = ("region", "archive", "disk")


def test_faults_at_random_instants(tmp_path):
    chance, story, weed = random.Random(SEED), Story(), Weed(tmp_path)
    with small_disk(tmp_path / "disk") as disk:
        home = disk.at / "region"
        home.mkdir()
        write(tmp_path / "s3", "source", "items.json", lines().encode())
        settings = f'{weed.settings()}\n[s3]\ndir = "{tmp_path}/s3"\n'
        try:
            for round_ in range(ROUNDS):
                # Each kind in turn, and what is under way as chance has it; all of it in the end.
                fault, works = FAULTS[round_ % len(FAULTS)], chance.sample(("backup", "restore", "import"), 2)
                print(f"round {round_}: {fault} while {works}", flush=True)
                if weed.process is None:
                    weed.start()
                with serve(home, settings, crash=True) as region:
                    client = region.client()
                    if round_ == 0:
                        client.create_table(**table_definition("tab", "pk"))
                        client.get_waiter("table_exists").wait(TableName="tab")
                        switch(client, "tab")
                    restorable_until(client, "tab", time.time() - 1)
                    writer = Writer(client, round_, story.acknowledged)
                    try:
                        time.sleep(chance.uniform(0.5, 2.5))
                        for work in works:
                            story.begin(work, client, round_)
                        time.sleep(chance.uniform(0, 0.4))
                        if fault == "archive":
                            weed.kill()
                            time.sleep(chance.uniform(0.5, 2))
                            weed.start()
                        elif fault == "disk":
                            disk.fill()
                            time.sleep(chance.uniform(0.5, 2))
                            if chance.random() < 0.5:
                                disk.empty()
                        if fault == "region":
                            # With whatever it is at.
                            region_ends = time.monotonic() + chance.uniform(0, 0.3)
                            while time.monotonic() < region_ends:
                                time.sleep(0.01)
                    finally:
                        if fault != "region":
                            writer.stop()
                    # What comes next is kill -9.
                if fault == "region":
                    writer.stop()
                disk.empty()
            if weed.process is None:
                weed.start()
            with serve(home, settings) as region:
                story.ends(region.client())
                # It would be seen if something was missing.
                story.restores = {"whole": {"never written"}}
                with pytest.raises(AssertionError, match="lacks 1 items"):
                    story.ends(region.client())
        finally:
            weed.kill()
    assert story.acknowledged, "something was acknowledged"
    begun = len(story.restores) + len(story.backups) + len(story.imports)
    assert begun >= ROUNDS, f"{begun} things were begun"
    print(f"{len(story.acknowledged)} items acknowledged, {begun} things begun")


def test_a_full_disk_holds_loads_up(tmp_path):
    """Restores and imports wait for room and go on by themselves; nobody sees half of a table meanwhile."""
    with small_disk(tmp_path / "disk") as disk:
        home = disk.at / "region"
        home.mkdir()
        write(tmp_path / "s3", "source", "items.json", lines().encode())
        settings = f'[archive]\nurl = "{tmp_path}/archive"\nship_seconds = 1\n[s3]\ndir = "{tmp_path}/s3"\n'
        with serve(home, settings) as region:
            client = region.client()
            arn = client.import_table(**import_request("source", "tab", "DYNAMODB_JSON", "pk"))
            arn = arn["ImportTableDescription"]["ImportArn"]
            active(client, "tab")
            backup = client.create_backup(TableName="tab", BackupName="mine")["BackupDetails"]["BackupArn"]

            def is_available():
                told = client.describe_backup(BackupArn=backup)["BackupDescription"]["BackupDetails"]
                return told["BackupStatus"] == "AVAILABLE"

            wait_until(is_available, "the backup is there")
            disk.fill()
            client.restore_table_from_backup(TargetTableName="restored", BackupArn=backup)
            request = import_request("source", "imported", "DYNAMODB_JSON", "pk")
            arn = client.import_table(**request)["ImportTableDescription"]["ImportArn"]
            log = home / "stderr.log"

            def said(what):
                return [line for line in log.read_text().splitlines() if what in line and "no room" in line]

            wait_until(lambda: said("restoring a table"), "the restore waits for room")
            wait_until(lambda: said("import is broken off"), "the import waits for room")
            for table in ("restored", "imported"):
                assert status(client, table) == "CREATING"
                with pytest.raises(client.exceptions.ResourceNotFoundException):
                    client.scan(TableName=table)
            assert client.describe_import(ImportArn=arn)["ImportTableDescription"]["ImportStatus"] == "IN_PROGRESS"
            # Who serves clients goes first.
            client.put_item(TableName="tab", Item={"pk": {"S": "meanwhile"}})
            disk.empty()
            active(client, "restored")
            active(client, "imported")
            expected = {f"i{number}" for number in range(IMPORTED)}
            assert keys(client, "restored") == keys(client, "imported") == expected
            wait_until(
                lambda: client.describe_import(ImportArn=arn)["ImportTableDescription"]["ImportStatus"] == "COMPLETED",
                "the import is completed",
            )
            counted = client.describe_table(TableName="restored")["Table"]["ItemCount"]
            assert counted == IMPORTED
