"""Exports read by others (DuckDB, Amazon's own Ion library), and imports of what others write, by boto3.

A bucket is a folder of `--s3-dir`; those of a server of S3 are in test_backups_s3.py.
"""

import base64
import csv
import gzip
import hashlib
import json
import time
import urllib.request
from datetime import datetime, timezone
from decimal import Decimal

import amazon.ion.simpleion as ion
import duckdb
import pytest
from amazon.ion.simple_types import IonPyNull
from boto3.dynamodb.types import Binary
from botocore.exceptions import ClientError

from conftest import run_dev, serve, table_definition, wait_until

ITEMS = [
    {
        "pk": f"item {number}",
        "sk": number,
        "text": 'quotes " and \\ and é𝄞 and\nlines',
        "price": Decimal("12.50") * number,
        "tags": {"a", "b"},
        "sizes": {Decimal(1), Decimal("2.5")},
        "raw": {b"\0", b"\xff\xfe"},
        "nested": {"list": [True, None, {"deep": Decimal("-1E+20")}], "empty": {}, "none": []},
        "blob": bytes([0, 1, 255]),
    }
    for number in range(300)
]
KEYS = ("pk", "sk:N")


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    """A region, and the folder of its buckets."""
    folder = tmp_path_factory.mktemp("transfers")
    buckets = folder / "buckets"
    with run_dev(folder, "--s3-dir", str(buckets), "--data", str(folder / "data")) as (region, _):
        yield region, buckets


def make(region, name, items=(), *keys, archived=True):
    """A table with point-in-time recovery that reaches back before its items; gives its ARN."""
    client = region.client()
    client.create_table(**table_definition(name, *(keys or KEYS)))
    client.get_waiter("table_exists").wait(TableName=name, WaiterConfig={"Delay": 1, "MaxAttempts": 60})
    if archived:
        switched = {"PointInTimeRecoveryEnabled": True}
        client.update_continuous_backups(TableName=name, PointInTimeRecoverySpecification=switched)
        wait_until(lambda: "EarliestRestorableDateTime" in recovery(client, name), "there is a window")
    with region.resource().Table(name).batch_writer() as batch:
        for item in items:
            batch.put_item(Item=item)
    return client.describe_table(TableName=name)["Table"]["TableArn"]


def recovery(client, name):
    found = client.describe_continuous_backups(TableName=name)["ContinuousBackupsDescription"]
    return found["PointInTimeRecoveryDescription"]


@pytest.fixture(scope="module")
def exported(home):
    return make(home[0], "exported", ITEMS)


def export(home, arn, bucket, **more):
    """Exports; gives the description, the manifest's summary and the data files."""
    region, buckets = home
    client = region.client()
    begun = client.export_table_to_point_in_time(TableArn=arn, S3Bucket=bucket, **more)["ExportDescription"]
    assert begun["ExportStatus"] == "IN_PROGRESS"

    def ended():
        found = client.describe_export(ExportArn=begun["ExportArn"])["ExportDescription"]
        return found if found["ExportStatus"] != "IN_PROGRESS" else None

    done = wait_until(ended, "the export has ended")
    assert done["ExportStatus"] == "COMPLETED", done
    listed = client.list_exports(TableArn=arn)["ExportSummaries"]
    assert any(summary["ExportArn"] == begun["ExportArn"] for summary in listed)
    return done, *read_manifest(buckets / bucket, done)


def read_manifest(folder, done):
    checked(folder / done["ExportManifest"])
    summary = json.loads((folder / done["ExportManifest"]).read_text())
    listed = folder / summary["manifestFilesS3Key"]
    checked(listed)
    files = [json.loads(line) for line in listed.read_text().splitlines()]
    assert sum(file["itemCount"] for file in files) == summary["itemCount"] == done["ItemCount"]
    for file in files:
        content = (folder / file["dataFileS3Key"]).read_bytes()
        assert base64.b64encode(hashlib.md5(content).digest()).decode() == file["md5Checksum"]
        assert len(gzip.decompress(content).splitlines()) == file["itemCount"]
    return summary, [folder / file["dataFileS3Key"] for file in files]


def checked(manifest):
    checksum = manifest.with_suffix(".checksum").read_text()
    assert base64.b64encode(hashlib.md5(manifest.read_bytes()).digest()).decode() == checksum


def lines(files):
    """The lines of DynamoDB JSON, sets in order."""
    return [json.loads(line) for path in files for line in gzip.decompress(path.read_bytes()).splitlines()]


def plain(value):
    """Items as boto3's resources and as the Ion library give them, in one form."""
    if isinstance(value, (Binary, bytes, bytearray)):
        return bytes(value)
    if isinstance(value, dict) or hasattr(value, "items"):
        return {str(name): plain(inner) for name, inner in value.items()}
    annotations = [annotation.text for annotation in getattr(value, "ion_annotations", ())]
    if isinstance(value, (set, frozenset)) or annotations:
        return {plain(inner) for inner in value}
    if isinstance(value, list):
        return [plain(inner) for inner in value]
    if value is None or isinstance(value, IonPyNull):
        return None
    if getattr(value, "ion_type", None) is not None and value.ion_type.name == "BOOL":
        return bool(value)
    if isinstance(value, Decimal):
        return Decimal(value)
    return value if isinstance(value, bool) else str(value)


def by_key(items):
    found = {(str(item["pk"]), Decimal(item["sk"])): plain(item) for item in items}
    assert len(found) == len(items)
    return found


def scan(region, table):
    scanned, page = [], {}
    while True:
        page = region.resource().Table(table).scan(ConsistentRead=True, **page)
        scanned += page["Items"]
        if "LastEvaluatedKey" not in page:
            return scanned
        page = {"ExclusiveStartKey": page["LastEvaluatedKey"]}


def sets_sorted(value):
    if isinstance(value, dict):
        return {
            name: sorted(inner) if name in ("SS", "NS", "BS") and isinstance(inner, list) else sets_sorted(inner)
            for name, inner in value.items()
        }
    return [sets_sorted(inner) for inner in value] if isinstance(value, list) else value


def test_duckdb_reads_a_full_export(home, exported):
    done, summary, files = export(home, exported, "json-exports", S3Prefix="some/prefix", S3BucketOwner="0" * 12)
    assert done["ExportManifest"].startswith("some/prefix/AWSDynamoDB/")
    assert (done["ExportType"], done["ExportFormat"], done["S3BucketOwner"]) == ("FULL_EXPORT", "DYNAMODB_JSON", "0" * 12)
    assert (home[1] / "json-exports" / done["ExportManifest"]).with_name("_started").read_bytes() == b""
    assert (summary["version"], summary["exportArn"]) == ("2020-06-30", done["ExportArn"])
    moment = datetime.strptime(summary["exportTime"], "%Y-%m-%dT%H:%M:%S.%f%z")
    assert abs((moment - done["ExportTime"]).total_seconds()) < 0.01 and moment.tzinfo is not None
    paths = [str(path) for path in files]
    query = "SELECT Item FROM read_json($paths, format='newline_delimited', columns={'Item': 'JSON'})"
    read = [json.loads(row[0]) for row in duck(query, {"paths": paths})]
    # Lists and what is in them as a client's pages give them.
    pages = home[0].client().get_paginator("scan").paginate(TableName="exported")
    scanned = json.loads(json.dumps([item for page in pages for item in page["Items"]], default=as_base64))
    assert sorted(map(json.dumps, map(sets_sorted, read))) == sorted(map(json.dumps, map(sets_sorted, scanned)))
    price = "SELECT sum(CAST(Item->'price'->>'N' AS DECIMAL(20, 4))) FROM read_json($paths, columns={'Item': 'JSON'})"
    assert duck(price, {"paths": paths})[0][0] == sum(item["price"] for item in ITEMS)


def duck(query, parameters=None):
    with duckdb.connect() as connection:
        return connection.execute(query, parameters).fetchall()


def as_base64(value):
    return base64.b64encode(value).decode()


def test_amazons_ion_library_reads_a_full_export(home, exported):
    done, summary, files = export(home, exported, "ion-exports", ExportFormat="ION")
    assert summary["outputFormat"] == done["ExportFormat"] == "ION"
    texts = [gzip.decompress(path.read_bytes()).decode() for path in files]
    read = [value["Item"] for text in texts for value in ion.loads(text, single_value=False)]
    assert by_key(read) == by_key(scan(home[0], "exported"))


def test_an_export_of_an_earlier_moment(home):
    region, _ = home
    arn = make(region, "earlier", [{"pk": "a", "sk": 1, "v": "before"}])
    moment = next_second()
    region.resource().Table("earlier").put_item(Item={"pk": "a", "sk": 1, "v": "after"})
    region.resource().Table("earlier").put_item(Item={"pk": "b", "sk": 1, "v": "after"})
    read = [line["Item"]["v"]["S"] for line in lines(export(home, arn, "earlier", ExportTime=moment)[2])]
    assert read == ["before"]


def next_second():
    """A whole second that has begun, later than all that was done: requests have whole seconds only."""
    moment = int(time.time()) + 1
    while time.time() < moment + 0.02:
        time.sleep(0.02)
    return datetime.fromtimestamp(moment, timezone.utc)


def test_incremental_exports(home):
    region, _ = home
    before = [{"pk": key, "sk": 1, "v": "old"} for key in ("same", "updated", "deleted", "back")]
    arn = make(region, "changes", before)
    table = region.resource().Table("changes")
    begin = next_second()
    table.put_item(Item={"pk": "updated", "sk": 1, "v": "between"})
    table.put_item(Item={"pk": "updated", "sk": 1, "v": "new"})
    table.put_item(Item={"pk": "made", "sk": 1, "v": "new"})
    table.put_item(Item={"pk": "gone", "sk": 1, "v": "new"})
    table.delete_item(Key={"pk": "gone", "sk": 1})
    table.delete_item(Key={"pk": "deleted", "sk": 1})
    table.delete_item(Key={"pk": "back", "sk": 1})
    table.put_item(Item={"pk": "back", "sk": 1, "v": "again"})
    end = next_second()
    table.put_item(Item={"pk": "same", "sk": 1, "v": "later"})

    def images(bucket, view=None, **more):
        window = {"ExportFromTime": begin, "ExportToTime": end, **({"ExportViewType": view} if view else {})}
        kind = {"ExportType": "INCREMENTAL_EXPORT", "IncrementalExportSpecification": window}
        done, summary, files = export(home, arn, bucket, **kind, **more)
        assert done["IncrementalExportSpecification"]["ExportFromTime"] == begin
        assert (summary["version"], summary["exportType"]) == ("2023-08-01", "INCREMENTAL_EXPORT")
        assert summary["outputView"] == (view or "NEW_AND_OLD_IMAGES")
        assert all("/data/" in str(path) and done["ExportArn"].split("/")[-1] in path.name for path in files)
        return files

    def changes(files):
        found = {}
        for line in lines(files):
            micros = int(line["Metadata"]["WriteTimestampMicros"]["N"])
            assert begin.timestamp() * 1e6 <= micros < end.timestamp() * 1e6
            assert line["Keys"]["sk"] == {"N": "1"} and len(line["Keys"]) == 2
            value = lambda image: line.get(image, {}).get("v", {}).get("S")
            found[line["Keys"]["pk"]["S"]] = (value("NewImage"), value("OldImage"))
        return found

    assert changes(images("both")) == {
        "updated": ("new", "old"),
        "made": ("new", None),
        "deleted": (None, "old"),
        "back": ("again", "old"),
    }
    new = changes(images("new", "NEW_IMAGE"))
    assert new == {"updated": ("new", None), "made": ("new", None), "deleted": (None, None), "back": ("again", None)}
    texts = [gzip.decompress(path.read_bytes()).decode() for path in images("ion", ExportFormat="ION")]
    records = [value["Record"] for text in texts for value in ion.loads(text, single_value=False)]
    assert {str(record["Keys"]["pk"]) for record in records} == set(new)
    assert all("WriteTimestampMicros" in record["Metadata"] for record in records)
    chosen = {"FilterExpression": "v = :new", "ExpressionAttributeValues": {":new": {"S": "new"}}}
    assert set(changes(images("chosen", FilterSpecification=chosen))) == {"updated", "made"}


def test_a_filtered_export(home, exported):
    filter = {
        "KeyConditionExpression": "pk = :pk AND sk BETWEEN :low AND :high",
        "FilterExpression": "#price > :price",
        "ProjectionExpression": "#price, nested.#empty",
        "ExpressionAttributeNames": {"#price": "price", "#empty": "empty"},
        "ExpressionAttributeValues": {
            ":pk": {"S": "item 7"},
            ":low": {"N": "7"},
            ":high": {"N": "9"},
            ":price": {"N": "1"},
        },
    }
    done, _, files = export(home, exported, "filtered", FilterSpecification=filter)
    assert done["FilterSpecification"] == filter
    assert lines(files) == [{"Item": {"price": {"N": "87.5"}, "nested": {"M": {"empty": {"M": {}}}}}}]


def test_what_cannot_be_exported(home, exported):
    region, _ = home
    client = region.client()

    def refused(code, **parameters):
        with pytest.raises(ClientError) as error:
            client.export_table_to_point_in_time(**{"TableArn": exported, "S3Bucket": "refused", **parameters})
        assert error.value.response["Error"]["Code"] == code

    refused("TableNotFoundException", TableArn=exported.replace("exported", "missing"))
    refused("InvalidExportTimeException", ExportTime=time.time() - 86_400)
    refused("InvalidExportTimeException", ExportTime=time.time() + 86_400)
    window = {"ExportFromTime": time.time() - 86_400, "ExportToTime": time.time()}
    incremental = {"ExportType": "INCREMENTAL_EXPORT", "IncrementalExportSpecification": window}
    refused("InvalidExportTimeException", **incremental)
    refused("ValidationException", IncrementalExportSpecification=window)
    refused("ValidationException", ExportTime=time.time(), **incremental)
    refused("ValidationException", FilterSpecification={"FilterExpression": "v = :v"})
    named = {"KeyConditionExpression": "pk = :v", "FilterExpression": "sk = :v"}
    refused("ValidationException", FilterSpecification={**named, "ExpressionAttributeValues": {":v": {"S": "v"}}})
    unarchived = make(region, "unarchived", archived=False)
    refused("PointInTimeRecoveryUnavailableException", TableArn=unarchived)
    with pytest.raises(client.exceptions.ExportNotFoundException):
        client.describe_export(ExportArn=f"{exported}/export/01234567890123-abcdef01")
    with pytest.raises(client.exceptions.ImportNotFoundException):
        client.describe_import(ImportArn=f"{exported}/import/01234567890123-abcdef01")


def test_a_client_token_begins_one_job(home, exported):
    region, buckets = home
    client = region.client()
    wanted = {"TableArn": exported, "S3Bucket": "once", "ClientToken": "only-once"}
    first = client.export_table_to_point_in_time(**wanted)["ExportDescription"]["ExportArn"]
    assert client.export_table_to_point_in_time(**wanted)["ExportDescription"]["ExportArn"] == first
    with pytest.raises(client.exceptions.ExportConflictException):
        client.export_table_to_point_in_time(**{**wanted, "S3Bucket": "other"})
    write(buckets, "once-more", "data.json", b'{"Item":{"pk":{"S":"a"}}}')
    wanted = {**import_request("once-more", "from-once", "DYNAMODB_JSON", "pk"), "ClientToken": "only-once"}
    first = client.import_table(**wanted)["ImportTableDescription"]["ImportArn"]
    assert client.import_table(**wanted)["ImportTableDescription"]["ImportArn"] == first
    with pytest.raises(client.exceptions.ImportConflictException):
        client.import_table(**{**wanted, "InputFormat": "ION"})


def test_jobs_are_listed_by_pages(home, exported):
    client = home[0].client()
    for _ in range(3):
        export(home, exported, "listed")
    arns, page = [], {}
    while page is not None:
        reply = client.list_exports(TableArn=exported, MaxResults=2, **page)
        arns += [summary["ExportArn"] for summary in reply["ExportSummaries"]]
        assert len(reply["ExportSummaries"]) <= 2
        page = {"NextToken": reply["NextToken"]} if "NextToken" in reply else None
    assert len(arns) == len(set(arns)) >= 3
    assert arns == sorted(arns, reverse=True)


def import_request(bucket, name, format, *keys, compression="NONE", prefix=None, **options):
    definition = table_definition(name, *keys, **options.pop("table", {}))
    return {
        "S3BucketSource": {"S3Bucket": bucket, **({"S3KeyPrefix": prefix} if prefix else {})},
        "InputFormat": format,
        "InputCompressionType": compression,
        "TableCreationParameters": definition,
        **options,
    }


def imported(region, *arguments, **options):
    """Imports, and waits for the end."""
    client = region.client()
    begun = client.import_table(**import_request(*arguments, **options))["ImportTableDescription"]
    assert begun["ImportStatus"] == "IN_PROGRESS"
    assert begun["TableCreationParameters"]["TableName"] == arguments[1]
    return import_ended(client, begun["ImportArn"])


def import_ended(client, arn):
    def ended():
        found = client.describe_import(ImportArn=arn)["ImportTableDescription"]
        return found if found["ImportStatus"] != "IN_PROGRESS" else None

    done = wait_until(ended, "the import has ended")
    listed = client.list_imports(TableArn=done["TableArn"])["ImportSummaryList"]
    assert [(summary["ImportArn"], summary["ImportStatus"]) for summary in listed] == [(arn, done["ImportStatus"])]
    return done


def write(buckets, bucket, key, content):
    path = buckets / bucket / key
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)


@pytest.mark.parametrize("format", ["DYNAMODB_JSON", "ION"])
def test_an_export_is_imported_again(home, exported, format):
    region, _ = home
    name = f"again-{format.lower().replace('_', '-')}"
    done, _, _ = export(home, exported, name, ExportFormat=format)
    prefix = done["ExportManifest"].removesuffix("manifest-summary.json") + "data/"
    result = imported(region, name, name, format, *KEYS, compression="GZIP", prefix=prefix)
    assert result["ImportStatus"] == "COMPLETED", result
    assert (result["ImportedItemCount"], result["ErrorCount"]) == (len(ITEMS), 0)
    assert by_key(scan(region, name)) == by_key(scan(region, "exported"))
    described = region.client().describe_table(TableName=name)["Table"]
    assert (described["TableStatus"], described["ItemCount"]) == ("ACTIVE", len(ITEMS))


def test_what_pythons_csv_writes_is_imported(home):
    region, buckets = home
    (buckets / "csvs").mkdir(parents=True)
    rows = [[f"p{number}", number, f'a "quoted"; text,\n{number}', ""] for number in range(100)]
    with (buckets / "csvs" / "with-header.csv").open("w", newline="") as file:
        csv.writer(file, delimiter=";").writerows([["pk", "sk", "text", "left out"], *rows])
    with (buckets / "csvs" / "without-header.csv").open("w", newline="") as file:
        csv.writer(file).writerows(rows)
    semicolons = {"Delimiter": ";"}
    header = {"HeaderList": ["pk", "sk", "text", "left out"]}
    for name, prefix, options in [("from-csv", "with-h", semicolons), ("from-csv-too", "without", header)]:
        options = {"InputFormatOptions": {"Csv": options}}
        done = imported(region, "csvs", name, "CSV", *KEYS, prefix=prefix, **options)
        assert (done["ImportStatus"], done["ImportedItemCount"]) == ("COMPLETED", 100)
        expected = [{"pk": pk, "sk": Decimal(sk), "text": text} for pk, sk, text, _ in rows]
        assert by_key(scan(region, name)) == by_key(expected)


def test_what_duckdb_writes_is_imported(home):
    """Zstandard and gzip, several objects; an index has its entries with the items, and the last of one key stays."""
    region, buckets = home
    (buckets / "ducks").mkdir(parents=True)
    rows = "SELECT 'p' || i AS pk, i % 7 AS colour, 'n' || i AS name FROM range(5000) t(i)"
    duck(f"COPY ({rows}) TO '{buckets}/ducks/1.csv.zst' (FORMAT csv, HEADER, COMPRESSION zstd)")
    duck(f"COPY ({rows} WHERE i = 3) TO '{buckets}/ducks/2.csv.zst' (FORMAT csv, HEADER, COMPRESSION zstd)")
    table = {
        "attributes": ["colour:N"],
        "GlobalSecondaryIndexes": [
            {
                "IndexName": "by-colour",
                "KeySchema": [{"AttributeName": "colour", "KeyType": "HASH"}],
                "Projection": {"ProjectionType": "KEYS_ONLY"},
            }
        ],
    }
    done = imported(region, "ducks", "ducks", "CSV", "pk", compression="ZSTD", table=table)
    assert (done["ImportStatus"], done["ProcessedItemCount"], done["ImportedItemCount"]) == ("COMPLETED", 5001, 5001)
    assert done["ProcessedSizeBytes"] == sum(path.stat().st_size for path in (buckets / "ducks").iterdir())
    query = {"KeyConditionExpression": "colour = :c", "ExpressionAttributeValues": {":c": {"N": "3"}}}
    found = region.client().query(TableName="ducks", IndexName="by-colour", **query)["Items"]
    assert {item["pk"]["S"] for item in found} == {f"p{number}" for number in range(3, 5000, 7)}
    typed = "SELECT {'pk': {'S': 'p' || i}, 'n': {'N': i::VARCHAR}} AS Item FROM range(1000) t(i)"
    (buckets / "ducks-json").mkdir()
    duck(f"COPY ({typed}) TO '{buckets}/ducks-json/1.json.gz' (FORMAT json, COMPRESSION gzip)")
    done = imported(region, "ducks-json", "ducks-json", "DYNAMODB_JSON", "pk", compression="GZIP")
    assert (done["ImportStatus"], done["ImportedItemCount"]) == ("COMPLETED", 1000)
    assert {(item["pk"], item["n"]) for item in scan(region, "ducks-json")} == {(f"p{n}", Decimal(n)) for n in range(1000)}


def test_bad_items_are_counted_and_the_rest_is_imported(home):
    region, buckets = home
    bad = ['{"Item":{"pk":{"S":"good"}}}', "", '{"Item":{"other":{"S":"no key"}}}', "{", '{"Item":{"pk":{"N":"1"}}}']
    write(buckets, "bad", "data.json", "\n".join(bad).encode())
    done = imported(region, "bad", "from-bad", "DYNAMODB_JSON", "pk")
    assert (done["ImportStatus"], done["FailureCode"]) == ("FAILED", "ItemValidationError")
    assert (done["ProcessedItemCount"], done["ImportedItemCount"], done["ErrorCount"]) == (4, 1, 3)
    assert [item["pk"] for item in scan(region, "from-bad")] == ["good"]
    told = error_log(region, done)
    assert [(line["itemS3Pointer"]["key"], line["itemS3Pointer"]["line"]) for line in told] == [
        ("data.json", 3),
        ("data.json", 4),
        ("data.json", 5),
    ]
    assert told[0]["errorMessages"] == ["One or more parameter values were invalid: Missing the key pk in the item"]


def error_log(region, done):
    """What was wrong with an import's items."""
    port = region.admin.removeprefix("http://")
    with urllib.request.urlopen(f"http://{port}/import-errors?import={done['ImportArn']}", timeout=30) as answer:
        return [json.loads(line) for line in answer.read().splitlines()]


@pytest.mark.parametrize(
    "case, content, format",
    [
        ("not-gzip", b"this is not gzip", "DYNAMODB_JSON"),
        ("cut-off", gzip.compress(b'{"Item":{"pk":{"S":"a"}}}\n' * 5000)[:-30], "DYNAMODB_JSON"),
        ("header-twice", gzip.compress(b"pk,pk\n1,2\n"), "CSV"),
    ],
)
def test_a_bad_object_leaves_no_table(home, case, content, format):
    region, buckets = home
    write(buckets, case, "data.gz", content)
    done = imported(region, case, case, format, "pk", compression="GZIP")
    assert (done["ImportStatus"], done["FailureCode"]) == ("FAILED", "InvalidFileFormat")
    assert "data.gz" in done["FailureMessage"]
    client = region.client()
    wait_until(lambda: case not in client.list_tables()["TableNames"], "the table is gone")


def test_buckets_and_names_that_do_not_do(home, exported):
    region, buckets = home
    done = imported(region, "nowhere", "from-nowhere", "DYNAMODB_JSON", "pk")
    assert (done["ImportStatus"], done["FailureCode"]) == ("FAILED", "S3NoSuchBucket")
    write(buckets, "empty", "other/data.json", b"{}")
    done = imported(region, "empty", "from-empty", "DYNAMODB_JSON", "pk", prefix="some/")
    assert (done["ImportStatus"], done["FailureCode"]) == ("FAILED", "S3NoSuchKey")
    client = region.client()
    with pytest.raises(client.exceptions.ResourceInUseException, match="Table already exists: exported"):
        client.import_table(**import_request("empty", "exported", "DYNAMODB_JSON", "pk"))
    with pytest.raises(ClientError, match="ValidationException"):
        options = {"InputFormatOptions": {"Csv": {"Delimiter": ";"}}}
        client.import_table(**import_request("empty", "from-empty", "DYNAMODB_JSON", "pk", **options))


def test_an_import_goes_on_after_a_crash(tmp_path):
    """kill -9 in the midst of an import, twice: afterwards every item is there, and every count and error is told once."""
    items, bad = 60_000, 60
    rows = [{"pk": {"S": f"k{number}"}, "text": {"S": "x" * 300}} for number in range(items)]
    text = [json.dumps({"Item": row}) for row in rows]
    for number in range(bad):
        text.insert(number * items // bad, json.dumps({"Item": {"none": {"S": str(number)}}}))
    half = len(text) // 2
    for name, part in (("a", text[:half]), ("b", text[half:])):
        write(tmp_path / "data" / "s3", "big", f"{name}.json.gz", gzip.compress("\n".join(part).encode(), 1))
    arn = None
    for round in range(2):
        with serve(tmp_path, crash=True) as region:
            client = region.client()
            if arn is None:
                request = import_request("big", "big", "DYNAMODB_JSON", "pk", compression="GZIP")
                arn = client.import_table(**request)["ImportTableDescription"]["ImportArn"]
            far = [5_000, 25_000][round]

            def has_begun():
                found = client.describe_import(ImportArn=arn)["ImportTableDescription"]
                return found if found.get("ProcessedItemCount", 0) > far else None

            seen = wait_until(has_begun, "the import is under way", every_s=0.01)
            assert seen["ImportStatus"] == "IN_PROGRESS", "it was too fast to be broken off"
            assert client.describe_table(TableName="big")["Table"]["TableStatus"] == "CREATING"
            with pytest.raises(client.exceptions.ResourceNotFoundException):
                client.put_item(TableName="big", Item={"pk": {"S": "early"}})
    with serve(tmp_path) as region:
        client = region.client()
        done = import_ended(client, arn)
        assert (done["ImportStatus"], done["FailureCode"]) == ("FAILED", "ItemValidationError")
        counts = (done["ProcessedItemCount"], done["ImportedItemCount"], done["ErrorCount"])
        assert counts == (items + bad, items, bad)
        sizes = sum(path.stat().st_size for path in (tmp_path / "data" / "s3" / "big").iterdir())
        assert done["ProcessedSizeBytes"] == sizes
        told = error_log(region, done)
        # A bad item's bytes are in no file that the region wrote for itself.
        written = [path.read_bytes() for path in (tmp_path / "data" / "transfers").rglob("*") if path.is_file()]
        assert written and not any(b"itemS3Pointer" in content or b"COMPLETED" in content for content in written)
        assert len({tuple(line["itemS3Pointer"].items()) for line in told}) == len(told) == bad
        found = {item["pk"] for item in scan(region, "big")}
        assert len(found) == items and found == {row["pk"]["S"] for row in rows}
