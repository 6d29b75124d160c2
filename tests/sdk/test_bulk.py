"""Bulk operations: objects of buckets put into tables that serve, by boto3."""

import gzip
import json

import amazon.ion.simpleion as ion
import pytest
from botocore.exceptions import ClientError

from conftest import run_dev, serve, wait_until
from test_accounts import SHOP, make_account
from test_export_import import make, scan, write
from test_streams import drain, iterator, shards_of

ENDED = {"COMPLETED", "COMPLETED_WITH_ERRORS", "CANCELLED", "FAILED"}
OWN = "000000000000"


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    """A region, and the folder of its buckets."""
    folder = tmp_path_factory.mktemp("bulk")
    buckets = folder / "buckets"
    with run_dev(folder, "--s3-dir", str(buckets), "--data", str(folder / "data")) as (region, _):
        yield region, buckets


def request(table, bucket, prefix="in/", format="DYNAMODB_JSON", types=("ERROR", "CONDITION_CHECK_FAILURE"), **more):
    source = {"S3Bucket": bucket, "S3KeyPrefix": prefix, "InputFormat": format, **more.pop("source", {})}
    output = {"S3Bucket": f"{bucket}-told", "OutputType": list(types), **more.pop("output", {})}
    return {"TableName": table, "InputS3Configuration": source, "OutputS3Configuration": output, **more}


def start(client, *arguments, **more):
    return client.start_bulk_put_items(**request(*arguments, **more))["BulkOperationDescription"]


def describe(client, arn):
    return client.describe_bulk_operation(BulkOperationArn=arn)["BulkOperationDescription"]


def ended(client, arn):
    def has_ended():
        found = describe(client, arn)
        return found if found["BulkOperationStatus"] in ENDED else None

    return wait_until(has_ended, "the bulk operation has ended")


def carried_out(region, *arguments, **more):
    client = region.client()
    begun = start(client, *arguments, **more)
    assert begun["BulkOperationStatus"] == "IN_PROGRESS" and "EndTime" not in begun
    return ended(client, begun["BulkOperationArn"])


def told(buckets, done, kind):
    """The lines of a report."""
    bucket = buckets / done["OutputS3Configuration"]["S3Bucket"]
    folder = bucket / "AWSDynamoDB" / done["BulkOperationArn"].rpartition("/")[2] / kind
    return [json.loads(line) for file in sorted(folder.glob("*.json")) for line in file.read_text().splitlines()]


def records(count, size=10, first=0):
    return [{"Item": {"pk": {"S": f"k{number}"}, "v": {"S": "x" * size}}} for number in range(first, first + count)]


def lines(records):
    return "".join(json.dumps(record) + "\n" for record in records).encode()


def test_items_are_put_into_a_table_that_serves(home):
    region, buckets = home
    client = region.client()
    arn = make(region, "plain", [{"pk": "there", "v": "old"}], "pk", archived=False)
    write(buckets, "plain", "in/1.json.gz", gzip.compress(lines(records(700))))
    write(buckets, "plain", "in/2.json.gz", gzip.compress(lines(records(300, first=700))))
    done = carried_out(region, arn, "plain", source={"InputCompressionType": "GZIP"}, PerformanceTier="ACCELERATED")
    assert done["BulkOperationStatus"] == "COMPLETED"
    assert done["BulkOperationArn"].startswith(f"{arn}/")
    table = client.describe_table(TableName="plain")["Table"]
    assert done["TableDetails"] == [{"TableName": arn, "TableId": table["TableId"]}]
    assert (done["ProcessedItemCount"], done["FailedItemCount"]) == (1000, 0)
    sizes = sum(path.stat().st_size for path in (buckets / "plain" / "in").iterdir())
    assert done["ProcessedInputBytes"] == done["TotalInputBytes"] == sizes
    assert done["PerformanceTier"] == "ACCELERATED" and "FailureCode" not in done
    usage = done["BulkOperationUsage"][0]
    assert usage["BulkPutBytes"] == usage["Table"]["BulkPutBytes"] == 1000 * 1024
    assert done["StartTime"] <= done["EndTime"] and done["ClientToken"]
    assert len(scan(region, "plain")) == 1001


def test_conditions_and_bad_records_are_told(home):
    region, buckets = home
    make(region, "judged", [{"pk": "there", "version": 3}, {"pk": "same"}], "pk", archived=False)
    never = {"ConditionExpression": "attribute_not_exists(pk)"}
    newer = {
        "ConditionExpression": "#v < :v",
        "ExpressionAttributeNames": {"#v": "version"},
        "ExpressionAttributeValues": {":v": {"N": "4"}},
    }
    parts = [
        {"Item": {"pk": {"S": "there"}}, **never},
        {"Item": {"pk": {"S": "same"}}, **never},
        {"Item": {"pk": {"S": "there"}, "version": {"N": "4"}}, **newer},
        {"Item": {"pk": {"S": "new"}}, **never},
        {"Item": {"pk": {"N": "7"}}},
        {"Item": {"pk": {"S": "x"}}, "ConditionExpression": "size(pk"},
        {"Item": {"pk": {"S": "x"}}, "ExpressionAttributeValues": {":v": {"N": "4"}}},
        {"Item": {"pk": {"S": "x"}, "large": {"S": "x" * 410_000}}},
        {"pk": {"S": "x"}},
    ]
    write(buckets, "judged", "in/1.json", lines(parts) + b"{broken\n")
    done = carried_out(region, "judged", "judged")
    assert done["BulkOperationStatus"] == "COMPLETED_WITH_ERRORS"
    assert (done["ProcessedItemCount"], done["FailedItemCount"]) == (10, 6)
    errors = told(buckets, done, "error")
    assert sorted(line["itemS3Pointer"]["line"] for line in errors) == [5, 6, 7, 8, 9, 10]
    by_line = {line["itemS3Pointer"]["line"]: line for line in errors}
    assert "Type mismatch for key pk expected: S actual: N" in by_line[5]["errorMessages"][0]
    assert by_line[5]["Item"] == {"pk": {"N": "7"}} and "Item" not in by_line[10]
    assert by_line[6]["errorMessages"][0].startswith("Invalid ConditionExpression")
    assert "ExpressionAttributeValues can only be specified when using expressions" in by_line[7]["errorMessages"][0]
    refused = {line["itemS3Pointer"]["line"]: line for line in told(buckets, done, "condition-check-failure")}
    assert sorted(refused) == [1, 2]
    assert refused[1]["Item"] == {"pk": {"S": "there"}}
    assert refused[1]["ExistingItem"] == {"pk": {"S": "there"}, "version": {"N": "3"}}
    found = {item["pk"]: item.get("version") for item in scan(region, "judged")}
    assert found == {"there": 4, "same": None, "new": None}


def test_ion_as_amazons_library_writes_it(home):
    region, buckets = home
    make(region, "ion", (), "pk", archived=False)
    texts = [
        ion.dumps({"Item": {"pk": f"k{number}", "n": number}}, binary=False, indent=indent)
        for number, indent in enumerate([None, "  ", None, "\t"])
    ]
    write(buckets, "ion", "in/1.ion", "\n".join(texts).encode())
    done = carried_out(region, "ion", "ion", format="ION")
    assert (done["BulkOperationStatus"], done["ProcessedItemCount"]) == ("COMPLETED", 4)
    assert {item["pk"]: item["n"] for item in scan(region, "ion")} == {f"k{number}": number for number in range(4)}


def test_a_stream_and_an_index_see_the_writes(home):
    region, buckets = home
    client, streams = region.client(), region.client("dynamodbstreams")
    client.create_table(
        TableName="seen",
        AttributeDefinitions=[{"AttributeName": name, "AttributeType": "S"} for name in ("pk", "v")],
        KeySchema=[{"AttributeName": "pk", "KeyType": "HASH"}],
        GlobalSecondaryIndexes=[
            {
                "IndexName": "by-v",
                "KeySchema": [{"AttributeName": "v", "KeyType": "HASH"}],
                "Projection": {"ProjectionType": "ALL"},
            }
        ],
        BillingMode="PAY_PER_REQUEST",
        StreamSpecification={"StreamEnabled": True, "StreamViewType": "NEW_IMAGE"},
    )
    client.get_waiter("table_exists").wait(TableName="seen", WaiterConfig={"Delay": 1, "MaxAttempts": 60})
    write(buckets, "seen", "in/1.json", lines(records(40)))
    done = carried_out(region, "seen", "seen")
    assert done["BulkOperationStatus"] == "COMPLETED"
    usage = done["BulkOperationUsage"][0]
    assert usage["GlobalSecondaryIndexes"] == {"by-v": {"BulkPutBytes": 40 * 1024}}
    assert usage["BulkPutBytes"] == 80 * 1024
    by_value = {":v": {"S": "x" * 10}}
    found = client.query(
        TableName="seen", IndexName="by-v", KeyConditionExpression="v = :v", ExpressionAttributeValues=by_value
    )
    assert found["Count"] == 40
    arn = client.describe_table(TableName="seen")["Table"]["LatestStreamArn"]

    def changed():
        shards = shards_of(streams, arn)
        all_records = [record for shard in shards for record in drain(streams, iterator(streams, arn, shard))]
        return len(all_records) == 40 and {record["dynamodb"]["Keys"]["pk"]["S"] for record in all_records}

    assert wait_until(changed, "the stream has all changes") == {f"k{number}" for number in range(40)}


def test_an_operation_is_cancelled_in_its_midst(home):
    region, buckets = home
    client = region.client()
    make(region, "slow", (), "pk", archived=False)
    write(buckets, "slow", "in/1.json", lines(records(40_000)))
    arn = start(client, "slow", "slow", MaxWriteRequestUnits=1024)["BulkOperationArn"]
    wait_until(lambda: describe(client, arn)["ProcessedItemCount"] > 100, "it is under way", every_s=0.01)
    cancelled = client.cancel_bulk_operation(BulkOperationArn=arn)
    assert cancelled == {**cancelled, "BulkOperationArn": arn, "BulkOperationStatus": "CANCELLING"}
    done = ended(client, arn)
    assert (done["BulkOperationStatus"], done["FailureCode"]) == ("CANCELLED", "Cancelled")
    written = len(scan(region, "slow"))
    assert 100 < written == done["ProcessedItemCount"] < 40_000
    assert done["MaxWriteRequestUnits"] == 1024
    # At the rate that was asked for, with what was saved before the first write.
    seconds = (done["EndTime"] - done["StartTime"]).total_seconds()
    assert written <= 1024 * (seconds + 1)
    with pytest.raises(ClientError, match="ValidationException.*not in progress"):
        client.cancel_bulk_operation(BulkOperationArn=arn)


def test_operations_are_listed_by_pages(home):
    region, buckets = home
    client = region.client()
    make(region, "listed", (), "pk", archived=False)
    write(buckets, "listed", "in/1.json", lines(records(1)))
    begun = [carried_out(region, "listed", "listed")["BulkOperationArn"] for _ in range(12)]
    first = client.list_bulk_operations()
    assert len(first["BulkOperationsSummaryList"]) == 10 and first["NextToken"]
    arns, page = [], {"MaxResults": 5}
    while page:
        reply = client.list_bulk_operations(**page)
        assert len(reply["BulkOperationsSummaryList"]) <= 5
        arns += [summary["BulkOperationArn"] for summary in reply["BulkOperationsSummaryList"]]
        page = {"MaxResults": 5, "NextToken": reply["NextToken"]} if "NextToken" in reply else None
    assert len(arns) == len(set(arns))
    assert [arn for arn in arns if arn in begun] == begun[::-1]
    summary = first["BulkOperationsSummaryList"][0]
    assert (summary["BulkOperationArn"], summary["BulkOperationStatus"]) == (begun[-1], "COMPLETED")
    with pytest.raises(ClientError, match="ValidationException"):
        client.list_bulk_operations(NextToken="0" * 16)


def test_a_client_token_begins_one_operation(home):
    region, buckets = home
    client = region.client()
    make(region, "once", (), "pk", archived=False)
    write(buckets, "once", "in/1.json", lines(records(1)))
    arns = {start(client, "once", "once", ClientToken="once")["BulkOperationArn"] for _ in range(3)}
    assert len(arns) == 1
    with pytest.raises(client.exceptions.IdempotentParameterMismatchException):
        start(client, "once", "once", prefix="other/", ClientToken="once")


def test_what_cannot_be_started(home):
    region, buckets = home
    client = region.client()
    make(region, "refusing", (), "pk", archived=False)
    write(buckets, "refusing", "in/1.json", lines(records(1)))
    with pytest.raises(client.exceptions.ResourceNotFoundException):
        start(client, "no-such-table", "refusing")
    for more in (
        {"types": ()},
        {"PerformanceTier": "SLOW"},
        {"format": "CSV"},
        {"output": {"S3SseAlgorithm": "AES256", "S3SseKmsKeyId": "key"}},
    ):
        with pytest.raises(ClientError, match="ValidationException"):
            start(client, "refusing", "refusing", **more)
    missing = f"arn:aws:dynamodb:us-east-1:{OWN}:table/refusing/bulk-operation/01489602797149-73d8d5bc"
    for call in (client.describe_bulk_operation, client.cancel_bulk_operation):
        with pytest.raises(client.exceptions.ResourceNotFoundException):
            call(BulkOperationArn=missing)
    for more, code in (
        ({"prefix": "none/"}, "S3NoSuchKey"),
        ({"source": {"S3Bucket": "nowhere"}}, "S3NoSuchBucket"),
        ({"source": {"S3BucketOwner": SHOP}}, "S3AccessDenied"),
        ({"output": {"S3BucketOwner": SHOP}}, "S3AccessDenied"),
    ):
        done = carried_out(region, "refusing", "refusing", **more)
        assert (done["BulkOperationStatus"], done["FailureCode"]) == ("FAILED", code), more
    assert scan(region, "refusing") == []


def test_buckets_are_of_whoever_asks(tmp_path):
    """What the cluster's own account has in a bucket is no other account's, whatever that says."""
    buckets = tmp_path / "data" / "s3"
    with serve(tmp_path) as own:
        shop = make_account(own, SHOP, "shop")
        write(buckets, "loads", "in/1.json", lines(records(1)))
        for region in (own, shop):
            make(region, "filled", (), "pk", archived=False)
        for more, code in (({}, "S3NoSuchBucket"), ({"source": {"S3BucketOwner": OWN}}, "S3AccessDenied")):
            done = carried_out(shop, "filled", "loads", **more)
            assert (done["BulkOperationStatus"], done["FailureCode"]) == ("FAILED", code)
        assert scan(shop, "filled") == []
        write(buckets / f"@{SHOP}", "loads", "in/1.json", lines(records(2)))
        arn = carried_out(shop, "filled", "loads", source={"S3BucketOwner": SHOP})["BulkOperationArn"]
        assert len(scan(shop, "filled")) == 2
        # Nor are its operations.
        assert own.client().list_bulk_operations()["BulkOperationsSummaryList"] == []
        assert len(shop.client().list_bulk_operations()["BulkOperationsSummaryList"]) == 3
        with pytest.raises(ClientError, match="AccessDeniedException"):
            own.client().describe_bulk_operation(BulkOperationArn=arn)
        assert carried_out(own, "filled", "loads")["ProcessedItemCount"] == 1


def test_an_operation_goes_on_after_a_crash(tmp_path):
    """kill -9 in the midst, twice: every item is there, and every count and error is told once."""
    items, bad = 12_000, 24
    buckets = tmp_path / "data" / "s3"
    parts = records(items)
    for record in parts[::3]:
        record["ConditionExpression"] = "attribute_not_exists(pk)"
    for number in range(bad):
        parts.insert(number * items // bad, {"Item": {"none": {"S": str(number)}}})
    half = len(parts) // 2
    for name, part in (("a", parts[:half]), ("b", parts[half:])):
        write(buckets, "big", f"in/{name}.json", lines(part))
    arn = None
    for far in (1_000, 7_000):
        with serve(tmp_path, crash=True) as region:
            client = region.client()
            if arn is None:
                make(region, "big", (), "pk", archived=False)
                arn = start(client, "big", "big", MaxWriteRequestUnits=2_000)["BulkOperationArn"]
            wait_until(lambda: describe(client, arn)["ProcessedItemCount"] > far, "it is under way", every_s=0.01)
            assert describe(client, arn)["BulkOperationStatus"] == "IN_PROGRESS", "it was too fast to be broken off"
    with serve(tmp_path) as region:
        client = region.client()
        done = ended(client, arn)
        assert done["BulkOperationStatus"] == "COMPLETED_WITH_ERRORS"
        assert (done["ProcessedItemCount"], done["FailedItemCount"]) == (items + bad, bad)
        assert done["ProcessedInputBytes"] == done["TotalInputBytes"]
        errors = told(buckets, done, "error")
        assert len({tuple(line["itemS3Pointer"].items()) for line in errors}) == len(errors) == bad
        assert told(buckets, done, "condition-check-failure") == []
        assert {item["pk"] for item in scan(region, "big")} == {f"k{number}" for number in range(items)}
