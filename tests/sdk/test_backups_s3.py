"""An archive in a bucket of an S3 API: moto's server, which is another's implementation of it."""

import socket
import subprocess
import time
from pathlib import Path

import boto3
import pytest
from botocore.config import Config

from conftest import serve, table_definition, wait_until
from test_backups import active, items, put, recovery, refused, restorable_until, restored, switch

ROOT = Path(__file__).resolve().parent.parent.parent
KEYS = {"aws_access_key_id": "moto", "aws_secret_access_key": "moto", "region_name": "us-east-1"}


@pytest.fixture(scope="module")
def s3(tmp_path_factory):
    """A client of moto's server, and its address."""
    environment = ["scripts/python-env", "--path", "tests/sdk/requirements-s3.txt"]
    path = subprocess.run(environment, cwd=ROOT, check=True, capture_output=True, text=True).stdout.strip()
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    log = (tmp_path_factory.mktemp("moto") / "log").open("wb")
    server = subprocess.Popen(
        [f"{path}/bin/moto_server", "-H", "127.0.0.1", "-p", str(port)], stdout=log, stderr=subprocess.STDOUT
    )
    endpoint = f"http://127.0.0.1:{port}"
    client = boto3.client("s3", endpoint_url=endpoint, config=Config(s3={"addressing_style": "path"}), **KEYS)

    def answers():
        try:
            return client.list_buckets() is not None
        except Exception:
            return False

    wait_until(answers, "moto's server answers")
    yield client, endpoint
    server.terminate()
    server.wait(timeout=30)


def archive(endpoint, bucket):
    return f"""
[archive]
url = "s3://{bucket}/some/prefix"
endpoint = "{endpoint}"
region = "us-east-1"
access_key_id = "moto"
secret_access_key = "moto"
ship_seconds = 1
"""


def test_point_in_time_and_backups_in_a_bucket(s3, tmp_path):
    store, endpoint = s3
    store.create_bucket(Bucket="archive")
    with serve(tmp_path, archive(endpoint, "archive")) as region:
        client = region.client()
        client.create_table(**table_definition("tab", "pk"))
        client.get_waiter("table_exists").wait(TableName="tab")
        switch(client, "tab")
        for number in range(20):
            put(client, "tab", f"k{number}", "x" * number)
        before = items(client, "tab")
        arn = client.create_backup(TableName="tab", BackupName="mine")["BackupDetails"]["BackupArn"]
        restorable_until(client, "tab", time.time())
        restored(client, "restored", SourceTableName="tab", UseLatestRestorableTime=True)
        assert items(client, "restored") == before
        described = client.describe_backup
        wait_until(
            lambda: described(BackupArn=arn)["BackupDescription"]["BackupDetails"]["BackupStatus"] == "AVAILABLE",
            "the backup is whole",
        )
    names = [found["Key"] for found in store.list_objects_v2(Bucket="archive")["Contents"]]
    assert all(name.startswith(("some/prefix/us-east-1/", "some/prefix/keyring/us-east-1/")) for name in names)
    # Another process reads it; and what was tampered with makes no table.
    chunk = next(name for name in names if "/backup/tab/" in name and name.endswith("/000000"))
    with serve(tmp_path, archive(endpoint, "archive")) as region:
        client = region.client()
        client.restore_table_from_backup(TargetTableName="back", BackupArn=arn)
        active(client, "back")
        assert items(client, "back") == before
        content = store.get_object(Bucket="archive", Key=chunk)["Body"].read()
        store.put_object(Bucket="archive", Key=chunk, Body=content[:-1])
        client.restore_table_from_backup(TargetTableName="damaged", BackupArn=arn)
        client.get_waiter("table_not_exists").wait(TableName="damaged", WaiterConfig={"Delay": 1, "MaxAttempts": 60})
        # Whoever has it put right can restore.
        store.put_object(Bucket="archive", Key=chunk, Body=content)
        client.restore_table_from_backup(TargetTableName="mended", BackupArn=arn)
        active(client, "mended")
        assert items(client, "mended") == before


def test_a_bucket_that_is_not_there(s3, tmp_path):
    """Tables serve all the same, and the window begins once the bucket is there."""
    store, endpoint = s3
    with serve(tmp_path, archive(endpoint, "not-yet")) as region:
        client = region.client()
        client.create_table(**table_definition("tab", "pk"))
        client.get_waiter("table_exists").wait(TableName="tab")
        switch(client, "tab")
        put(client, "tab", "k", "v")
        refused("InternalServerError", lambda: client.create_backup(TableName="tab", BackupName="mine"))
        time.sleep(1.5)
        assert "LatestRestorableDateTime" not in recovery(client, "tab")
        store.create_bucket(Bucket="not-yet")
        restorable_until(client, "tab", time.time())
        restored(client, "restored", SourceTableName="tab", UseLatestRestorableTime=True)
        assert items(client, "restored") == {"k": "v"}


def test_exports_and_imports_in_buckets(s3, tmp_path):
    store, endpoint = s3
    for bucket in ("archive-of-exports", "exports"):
        store.create_bucket(Bucket=bucket)
    buckets = f"""
[s3]
endpoint = "{endpoint}"
region = "us-east-1"
access_key_id = "moto"
secret_access_key = "moto"
"""
    with serve(tmp_path, archive(endpoint, "archive-of-exports") + buckets) as region:
        client = region.client()
        arn = client.create_table(**table_definition("tab", "pk"))["TableDescription"]["TableArn"]
        client.get_waiter("table_exists").wait(TableName="tab")
        switch(client, "tab")
        for number in range(20):
            put(client, "tab", f"k{number}", "x" * number)

        def over(described):
            (job,) = (value for name, value in described.items() if name.endswith("Description"))
            return job if "IN_PROGRESS" not in job.values() else None

        def export(bucket):
            begun = client.export_table_to_point_in_time(TableArn=arn, S3Bucket=bucket)["ExportDescription"]["ExportArn"]
            return wait_until(lambda: over(client.describe_export(ExportArn=begun)), "the export has ended")

        def load(bucket, name, prefix):
            parameters = table_definition(name, "pk")
            begun = client.import_table(
                S3BucketSource={"S3Bucket": bucket, "S3KeyPrefix": prefix},
                InputFormat="DYNAMODB_JSON",
                InputCompressionType="GZIP",
                TableCreationParameters=parameters,
            )["ImportTableDescription"]["ImportArn"]
            return wait_until(lambda: over(client.describe_import(ImportArn=begun)), "the import has ended")

        done = export("exports")
        assert (done["ExportStatus"], done["ItemCount"]) == ("COMPLETED", 20), done
        store.head_object(Bucket="exports", Key=done["ExportManifest"])
        loaded = load("exports", "loaded", done["ExportManifest"].replace("manifest-summary.json", "data/"))
        assert (loaded["ImportStatus"], loaded["ImportedItemCount"]) == ("COMPLETED", 20), loaded
        assert items(client, "loaded") == items(client, "tab")
        failed = export("no-such-bucket")
        assert (failed["ExportStatus"], failed["FailureCode"]) == ("FAILED", "S3NoSuchBucket"), failed
        failed = load("no-such-bucket", "never", "data/")
        assert (failed["ImportStatus"], failed["FailureCode"]) == ("FAILED", "S3NoSuchBucket"), failed
        client.get_waiter("table_not_exists").wait(TableName="never", WaiterConfig={"Delay": 1, "MaxAttempts": 60})
