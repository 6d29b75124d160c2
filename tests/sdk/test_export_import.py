"""Exports read by others (DuckDB, Amazon's own Ion library), and imports of what others write, by boto3 against `geodynamo dev`.

A bucket is a folder of `--s3-dir`.
"""

import csv
import gzip
import hashlib
import base64
import json
import re
import time
from decimal import Decimal

import amazon.ion.simpleion as ion
import duckdb
import pytest
from botocore.exceptions import ClientError
from conftest import START_S, Region, Server, wait_until


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    """One region with its buckets' folder."""
    folder = tmp_path_factory.mktemp("transfers")
    buckets = folder / "buckets"
    server = Server(["dev", "--port", "0", "--data", str(folder / "data"), "--s3-dir", str(buckets)], folder)
    deadline = time.monotonic() + START_S
    while not (found := re.search(r"https?://[\w.\-]+:\d+", server.line(deadline - time.monotonic()))):
        pass
    yield Region("us-east-1", found.group(), "any", "any"), buckets
    server.stop()


ITEMS = [
    {
        "pk": f"item {number}",
        "sk": number,
        "text": 'quotes " and \\ and é𝄞 and\nlines',
        "price": Decimal("12.50") * number,
        "tags": {"a", "b"},
        "sizes": {Decimal(1), Decimal("2.5")},
        "nested": {"list": [True, None, {"deep": Decimal(7)}]},
        "blob": bytes([0, 1, 255]),
    }
    for number in range(300)
]


@pytest.fixture(scope="module")
def table(home):
    region, _ = home
    client = region.client()
    client.create_table(
        TableName="exported",
        BillingMode="PAY_PER_REQUEST",
        AttributeDefinitions=[{"AttributeName": "pk", "AttributeType": "S"}, {"AttributeName": "sk", "AttributeType": "N"}],
        KeySchema=[{"AttributeName": "pk", "KeyType": "HASH"}, {"AttributeName": "sk", "KeyType": "RANGE"}],
    )
    recovery = {"PointInTimeRecoveryEnabled": True}
    client.update_continuous_backups(TableName="exported", PointInTimeRecoverySpecification=recovery)
    with region.resource().Table("exported").batch_writer() as batch:
        for item in ITEMS:
            batch.put_item(Item=item)
    return client.describe_table(TableName="exported")["Table"]["TableArn"]


def export(home, table, bucket, **more):
    region, buckets = home
    client = region.client()
    started = client.export_table_to_point_in_time(TableArn=table, S3Bucket=bucket, **more)["ExportDescription"]
    assert started["ExportStatus"] == "IN_PROGRESS"
    arn = started["ExportArn"]
    ended = wait_until(lambda: ended_export(client, arn), "the export has ended")
    assert ended["ExportStatus"] == "COMPLETED", ended
    assert any(summary["ExportArn"] == arn for summary in client.list_exports(TableArn=table)["ExportSummaries"])
    return ended, buckets / bucket


def ended_export(client, arn):
    found = client.describe_export(ExportArn=arn)["ExportDescription"]
    return found if found["ExportStatus"] != "IN_PROGRESS" else None


def data_files(ended, folder):
    summary = json.loads((folder / ended["ExportManifest"]).read_text())
    text = (folder / summary["manifestFilesS3Key"]).read_bytes()
    checksum = (folder / summary["manifestFilesS3Key"].replace(".json", ".checksum")).read_text()
    assert base64.b64encode(hashlib.md5(text).digest()).decode() == checksum
    files = [json.loads(line) for line in text.decode().splitlines()]
    assert sum(file["itemCount"] for file in files) == summary["itemCount"] == ended["ItemCount"]
    for file in files:
        content = (folder / file["dataFileS3Key"]).read_bytes()
        assert base64.b64encode(hashlib.md5(content).digest()).decode() == file["md5Checksum"]
        yield folder / file["dataFileS3Key"]


def scan(region, table):
    pages = region.client().get_paginator("scan").paginate(TableName=table)
    return sorted((json.dumps(item, sort_keys=True, default=str) for page in pages for item in page["Items"]))


def test_duckdb_reads_a_full_export(home, table):
    ended, folder = export(home, table, "json-exports", S3Prefix="some/prefix", ExportFormat="DYNAMODB_JSON")
    assert ended["ExportManifest"].startswith("some/prefix/AWSDynamoDB/")
    files = [str(path) for path in data_files(ended, folder)]
    rows = duckdb.sql(f"SELECT Item.pk.S AS pk, Item.sk.N AS sk, Item.price.N AS price FROM read_json({files})").fetchall()
    assert sorted(rows) == sorted((item["pk"], str(item["sk"]), str(item["price"].normalize() + 0).rstrip()) for item in ITEMS) or {
        (pk, Decimal(sk), Decimal(price)) for pk, sk, price in rows
    } == {(item["pk"], Decimal(item["sk"]), item["price"]) for item in ITEMS}


def test_amazons_ion_library_reads_a_full_export(home, table):
    ended, folder = export(home, table, "ion-exports", ExportFormat="ION")
    found = {}
    for path in data_files(ended, folder):
        for value in ion.loads(gzip.decompress(path.read_bytes()).decode(), single_value=False):
            found[str(value["Item"]["pk"])] = value["Item"]
    assert len(found) == len(ITEMS)
    item = found["item 7"]
    assert str(item["text"]) == ITEMS[7]["text"]
    assert Decimal(item["price"]) == ITEMS[7]["price"]
    assert bytes(item["blob"]) == ITEMS[7]["blob"]
    assert [annotation.text for annotation in item["tags"].ion_annotations] == ["$dynamodb_SS"]
    assert sorted(str(tag) for tag in item["tags"]) == ["a", "b"]


@pytest.mark.parametrize("format", ["DYNAMODB_JSON", "ION"])
def test_an_export_is_imported_again(home, table, format):
    region, _ = home
    bucket = f"again-{format.lower().replace('_', '-')}"
    ended, folder = export(home, table, bucket, ExportFormat=format)
    prefix = ended["ExportManifest"].removesuffix("manifest-summary.json") + "data/"
    name = f"imported-{format.lower().replace('_', '-')}"
    imported = import_table(region, bucket, name, format, "GZIP", prefix, "sk:N")
    assert imported["ImportStatus"] == "COMPLETED", imported
    assert imported["ImportedItemCount"] == len(ITEMS)
    assert scan(region, name) == scan(region, "exported")


def import_table(region, bucket, name, format, compression="NONE", prefix="", *more_keys, **options):
    client = region.client()
    keys = ["pk:S", *more_keys]
    parsed = [key.split(":") for key in keys]
    started = client.import_table(
        S3BucketSource={"S3Bucket": bucket, **({"S3KeyPrefix": prefix} if prefix else {})},
        InputFormat=format,
        InputCompressionType=compression,
        TableCreationParameters={
            "TableName": name,
            "BillingMode": "PAY_PER_REQUEST",
            "AttributeDefinitions": [{"AttributeName": key, "AttributeType": kind} for key, kind in parsed],
            "KeySchema": [
                {"AttributeName": key, "KeyType": kind} for (key, _), kind in zip(parsed, ["HASH", "RANGE"])
            ],
        },
        **options,
    )["ImportTableDescription"]
    arn = started["ImportArn"]
    assert any(summary["ImportArn"] == arn for summary in client.list_imports()["ImportSummaryList"])

    def ended():
        found = client.describe_import(ImportArn=arn)["ImportTableDescription"]
        return found if found["ImportStatus"] != "IN_PROGRESS" else None

    return wait_until(ended, "the import has ended")


def test_what_pythons_csv_writes_is_imported(home):
    region, buckets = home
    (buckets / "csvs").mkdir(parents=True)
    with (buckets / "csvs" / "data.csv").open("w", newline="") as file:
        writer = csv.writer(file, delimiter=";")
        writer.writerow(["pk", "sk", "text"])
        writer.writerows([f"p{number}", number, f'a "quoted"; text,\n{number}'] for number in range(100))
    options = {"InputFormatOptions": {"Csv": {"Delimiter": ";"}}}
    done = import_table(region, "csvs", "from-csv", "CSV", "NONE", "", "sk:N", **options)
    assert (done["ImportStatus"], done["ImportedItemCount"]) == ("COMPLETED", 100)
    item = region.client().get_item(TableName="from-csv", Key={"pk": {"S": "p5"}, "sk": {"N": "5"}})["Item"]
    assert item["text"]["S"] == 'a "quoted"; text,\n5'


def test_bad_items_are_counted_and_the_rest_is_imported(home):
    region, buckets = home
    (buckets / "bad").mkdir(parents=True)
    lines = ['{"Item":{"pk":{"S":"good"}}}', '{"Item":{"other":{"S":"no key"}}}', "{", '{"Item":{"pk":{"N":"1"}}}', ""]
    (buckets / "bad" / "data.json").write_text("\n".join(lines))
    done = import_table(region, "bad", "from-bad", "DYNAMODB_JSON")
    assert (done["ImportStatus"], done["FailureCode"]) == ("FAILED", "ItemValidationError")
    assert (done["ProcessedItemCount"], done["ImportedItemCount"], done["ErrorCount"]) == (4, 1, 3)
    assert len(scan(region, "from-bad")) == 1


def test_a_bad_object_leaves_no_table(home):
    region, buckets = home
    (buckets / "broken").mkdir(parents=True)
    (buckets / "broken" / "data.json.gz").write_bytes(b"this is not gzip")
    done = import_table(region, "broken", "from-broken", "DYNAMODB_JSON", "GZIP")
    assert done["ImportStatus"] == "FAILED"
    client = region.client()
    wait_until(lambda: "from-broken" not in client.list_tables()["TableNames"], "the table is gone")


def test_a_bucket_that_is_not_there(home):
    region, _ = home
    done = import_table(region, "nowhere", "from-nowhere", "DYNAMODB_JSON")
    assert (done["ImportStatus"], done["FailureCode"]) == ("FAILED", "S3NoSuchBucket")


def test_what_cannot_be_exported_is_refused(home, table):
    region, _ = home
    client = region.client()

    def refused(code, **parameters):
        with pytest.raises(ClientError) as error:
            client.export_table_to_point_in_time(**{"TableArn": table, "S3Bucket": "refused", **parameters})
        assert error.value.response["Error"]["Code"] == code

    refused("TableNotFoundException", TableArn=table.replace("exported", "missing"))
    refused("InvalidExportTimeException", ExportTime=time.time() - 86_400)
    refused("InvalidExportTimeException", ExportTime=time.time() + 86_400)
    with pytest.raises(client.exceptions.ExportNotFoundException):
        client.describe_export(ExportArn=f"{table}/export/01234567890123-abcdef01")
    with pytest.raises(client.exceptions.ImportNotFoundException):
        client.describe_import(ImportArn=f"{table}/import/01234567890123-abcdef01")


def test_a_client_token_begins_one_export(home, table):
    region, _ = home
    client = region.client()
    wanted = {"TableArn": table, "S3Bucket": "once", "ClientToken": "only-once"}
    first = client.export_table_to_point_in_time(**wanted)["ExportDescription"]["ExportArn"]
    assert client.export_table_to_point_in_time(**wanted)["ExportDescription"]["ExportArn"] == first
    with pytest.raises(client.exceptions.ExportConflictException):
        client.export_table_to_point_in_time(**{**wanted, "S3Bucket": "other"})
