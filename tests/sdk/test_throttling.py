"""Throttling: provisioned tables and indexes, hot keys, batches, transactions, pages; the errors and their reasons."""

import time

import boto3
import pytest
from botocore.exceptions import ClientError

from conftest import serve, table_definition

TABLE = (
    "The level of configured provisioned throughput for the table was exceeded. Consider increasing your provisioning "
    "level with the UpdateTable API."
)
INDEX = (
    "The level of configured provisioned throughput for one or more global secondary indexes of the table was exceeded. "
    "Consider increasing your provisioning level for the under-provisioned global secondary indexes with the UpdateTable "
    "API"
)
HOT = (
    "Throughput exceeds the current capacity of your table or index. DynamoDB is automatically scaling your table or "
    "index so please try again shortly. If exceptions persist, check if you have a hot key: "
    "https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/bp-partition-key-design.html"
)
# A throttled request must come well before this many.
REQUESTS_MAX = 400


@pytest.fixture(scope="module")
def serving(tmp_path_factory):
    """A region as `geodynamo serve` runs it by default."""
    with serve(tmp_path_factory.mktemp("throttling")) as region:
        yield region


@pytest.fixture(scope="module")
def low(tmp_path_factory):
    """A region with low ceilings on hot keys."""
    settings = "[throttle]\nkey_range_read = 20\nkey_range_write = 10\n"
    with serve(tmp_path_factory.mktemp("ceilings"), settings) as region:
        yield region


@pytest.fixture(scope="module")
def quota(tmp_path_factory):
    """A region whose account may use little of an on-demand table."""
    settings = "[throttle]\non_demand_read = 2\non_demand_write = 3\n"
    with serve(tmp_path_factory.mktemp("quota"), settings) as region:
        yield region


def new_table(client, name, read, write, index=None, keys=("pk",)):
    definition = table_definition(name, *keys, attributes=("gk",) if index else (), BillingMode="PROVISIONED")
    definition["ProvisionedThroughput"] = {"ReadCapacityUnits": read, "WriteCapacityUnits": write}
    if index:
        definition["GlobalSecondaryIndexes"] = [
            {
                "IndexName": "by-gk",
                "KeySchema": [{"AttributeName": "gk", "KeyType": "HASH"}],
                "Projection": {"ProjectionType": "ALL"},
                "ProvisionedThroughput": {"ReadCapacityUnits": index[0], "WriteCapacityUnits": index[1]},
            }
        ]
    client.create_table(**definition)
    client.get_waiter("table_exists").wait(TableName=name, WaiterConfig={"Delay": 1, "MaxAttempts": 30})


def until_throttled(request):
    """Repeats a request until it is refused; gives the error's document and how many were answered."""
    for answered in range(REQUESTS_MAX):
        try:
            request(answered)
        except ClientError as error:
            return error.response, answered
    pytest.fail(f"{REQUESTS_MAX} requests were not throttled")


def check(error, code, message, reason, resource, reasons="ThrottlingReasons"):
    assert error["ResponseMetadata"]["HTTPStatusCode"] == 400
    assert (error["Error"]["Code"], error["Error"]["Message"]) == (code, message)
    [told] = error[reasons]
    assert told["reason"] == reason
    assert told["resource"].startswith("arn:aws:dynamodb:us-east-1:") and told["resource"].endswith(resource)


def put(client, name, number, **more):
    client.put_item(TableName=name, Item={"pk": {"S": f"k{number}"}, **more})


def test_writes_past_what_is_provisioned(serving, name):
    client = serving.client()
    new_table(client, name, 100, 1)
    began = time.monotonic()
    error, answered = until_throttled(lambda number: put(client, name, number))
    check(
        error,
        "ProvisionedThroughputExceededException",
        TABLE,
        "TableWriteProvisionedThroughputExceeded",
        f":table/{name}",
    )
    # A second's worth when the table is made, then what the time gives.
    assert answered <= 2 + time.monotonic() - began + 3
    assert client.get_item(TableName=name, Key={"pk": {"S": "k0"}})["Item"], "reads are apart"


def test_writes_past_the_maximum_of_an_on_demand_table(serving, name):
    client = serving.client()
    definition = table_definition(name, "pk", OnDemandThroughput={"MaxWriteRequestUnits": 1})
    client.create_table(**definition)
    client.get_waiter("table_exists").wait(TableName=name, WaiterConfig={"Delay": 1, "MaxAttempts": 30})
    error, _ = until_throttled(lambda number: put(client, name, number))
    assert error["Error"]["Code"] == "ThrottlingException"
    [told] = error["throttlingReasons" if "throttlingReasons" in error else "ThrottlingReasons"]
    assert told["reason"] == "TableWriteMaxOnDemandThroughputExceeded"
    # Reads have no maximum, and without one writes go on.
    client.get_item(TableName=name, Key={"pk": {"S": "k0"}})
    client.update_table(TableName=name, OnDemandThroughput={"MaxWriteRequestUnits": -1})
    for number in range(20):
        put(client, name, number)


def test_the_sdk_waits_and_gets_through(serving, name):
    new_table(serving.client(), name, 100, 5)
    settings = serving.settings()
    del settings["config"]
    client = boto3.client("dynamodb", **settings)
    for number in range(15):
        put(client, name, number)
    assert client.scan(TableName=name, Select="COUNT")["Count"] == 15


def test_reads_past_what_is_provisioned(serving, name):
    client = serving.client()
    new_table(client, name, 1, 100)
    get = lambda _: client.get_item(TableName=name, Key={"pk": {"S": "k"}}, ConsistentRead=True)
    error, _ = until_throttled(get)
    check(
        error,
        "ProvisionedThroughputExceededException",
        TABLE,
        "TableReadProvisionedThroughputExceeded",
        f":table/{name}",
    )
    for read in (client.scan, lambda **table: client.query(**table, **of("k"))):
        error, _ = until_throttled(lambda _: read(TableName=name, ConsistentRead=True))
        assert error["Error"]["Code"] == "ProvisionedThroughputExceededException"
    put(client, name, 1)


def of(pk):
    return {"KeyConditionExpression": "pk = :pk", "ExpressionAttributeValues": {":pk": {"S": pk}}}


def test_an_index_out_of_capacity_throttles_the_tables_writes(serving, name):
    client = serving.client()
    new_table(client, name, 100, 400, index=(1, 1))
    error, _ = until_throttled(lambda number: put(client, name, number, gk={"S": f"g{number}"}))
    check(
        error,
        "ProvisionedThroughputExceededException",
        INDEX,
        "IndexWriteProvisionedThroughputExceeded",
        f":table/{name}/index/by-gk",
    )
    for number in range(20):
        put(client, name, number + 1000)
    query = {"KeyConditionExpression": "gk = :g", "ExpressionAttributeValues": {":g": {"S": "g0"}}}
    error, _ = until_throttled(lambda _: client.query(TableName=name, IndexName="by-gk", **query))
    check(
        error,
        "ProvisionedThroughputExceededException",
        INDEX,
        "IndexReadProvisionedThroughputExceeded",
        f":table/{name}/index/by-gk",
    )


def test_unused_capacity_is_saved(serving, name):
    client = serving.client()
    new_table(client, name, 100, 10)
    until_throttled(lambda number: put(client, name, number))
    time.sleep(3)
    began = time.monotonic()
    _, answered = until_throttled(lambda number: put(client, name, number))
    assert 30 <= answered <= 30 + 10 * (time.monotonic() - began) + 10


def test_batch_write_gives_what_it_could_not_write(serving, name):
    client = serving.client()
    new_table(client, name, 100, 2)
    puts = [{"PutRequest": {"Item": {"pk": {"S": f"k{number}"}}}} for number in range(24)]
    requests = {name: [*puts, {"DeleteRequest": {"Key": {"pk": {"S": "none"}}}}]}
    reply = client.batch_write_item(RequestItems=requests, ReturnConsumedCapacity="TOTAL")
    left = reply["UnprocessedItems"][name]
    written = 25 - len(left)
    assert 1 <= written <= 10 and all(request in requests[name] for request in left)
    assert reply["ConsumedCapacity"] == [{"TableName": name, "CapacityUnits": float(written)}]
    assert client.scan(TableName=name, Select="COUNT")["Count"] in (written, written - 1)
    # Nothing left at all: an error.
    until_throttled(lambda number: put(client, name, number))
    error, _ = until_throttled(lambda _: client.batch_write_item(RequestItems=requests))
    check(
        error,
        "ProvisionedThroughputExceededException",
        TABLE,
        "TableWriteProvisionedThroughputExceeded",
        f":table/{name}",
    )


def test_batch_get_gives_what_it_could_not_read(serving, name):
    client = serving.client()
    new_table(client, name, 5, 400)
    for number in range(30):
        put(client, name, number)
    keys = [{"pk": {"S": f"k{number}"}} for number in range(30)]
    until_throttled(lambda _: client.scan(TableName=name, ConsistentRead=True))
    time.sleep(1)
    request = {name: {"Keys": keys, "ConsistentRead": True, "ProjectionExpression": "pk"}}
    reply = client.batch_get_item(RequestItems=request)
    found, left = reply["Responses"][name], reply["UnprocessedKeys"][name]
    assert 1 <= len(found) <= 15
    assert found + left["Keys"] == keys
    assert left["ConsistentRead"] is True and left["ProjectionExpression"] == "pk"
    error, _ = until_throttled(lambda _: client.batch_get_item(RequestItems=request))
    assert error["Error"]["Code"] == "ProvisionedThroughputExceededException"


def test_a_page_ends_where_the_capacity_does(serving, name):
    client = serving.client()
    new_table(client, name, 10, 400, keys=("pk", "sk"))
    for number in range(40):
        item = {"pk": {"S": "k"}, "sk": {"S": f"{number:03}"}, "x": {"S": "x" * 4000}}
        client.put_item(TableName=name, Item=item)
    scan = lambda _: client.scan(TableName=name, ConsistentRead=True)
    until_throttled(scan)
    pages, seen, start = 0, [], {}
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        try:
            page = client.query(TableName=name, ConsistentRead=True, **of("k"), **start)
        except client.exceptions.ProvisionedThroughputExceededException:
            time.sleep(0.2)
            continue
        pages += 1
        seen += [item["sk"]["S"] for item in page["Items"]]
        if "LastEvaluatedKey" not in page:
            break
        start = {"ExclusiveStartKey": page["LastEvaluatedKey"]}
    assert seen == [f"{number:03}" for number in range(40)]
    # 40 KB a second.
    assert pages > 1


def test_a_throttled_transaction_tells_why(serving, name):
    client = serving.client()
    new_table(client, name, 1, 2)
    actions = [{"Put": {"TableName": name, "Item": {"pk": {"S": f"t{number}"}}}} for number in range(6)]
    error, _ = until_throttled(lambda _: client.transact_write_items(TransactItems=actions))
    assert error["Error"]["Code"] == "TransactionCanceledException"
    codes = [reason["Code"] for reason in error["CancellationReasons"]]
    assert set(codes) <= {"None", "ProvisionedThroughputExceeded"} and len(codes) == 6
    reason = next(reason for reason in error["CancellationReasons"] if reason["Code"] != "None")
    assert reason == {"Code": "ProvisionedThroughputExceeded", "Message": TABLE}
    gets = [{"Get": {"TableName": name, "Key": {"pk": {"S": f"t{number}"}}}} for number in range(6)]
    error, _ = until_throttled(lambda _: client.transact_get_items(TransactItems=gets))
    codes = [reason["Code"] for reason in error["CancellationReasons"]]
    assert "ProvisionedThroughputExceeded" in codes


def test_an_on_demand_table_throttles_only_hot_keys(low, name):
    client = low.client()
    client.create_table(**table_definition(name, "pk", "sk"))
    client.get_waiter("table_exists").wait(TableName=name, WaiterConfig={"Delay": 1, "MaxAttempts": 30})
    item = lambda pk, number: {"pk": {"S": pk}, "sk": {"S": str(number)}}
    hot = lambda number: client.put_item(TableName=name, Item=item("hot", number))
    error, _ = until_throttled(hot)
    check(
        error,
        "ThrottlingException",
        HOT,
        "TableWriteKeyRangeThroughputExceeded",
        f":table/{name}",
        reasons="throttlingReasons",
    )
    for number in range(100):
        client.put_item(TableName=name, Item=item(f"cold{number}", 0))
    error, _ = until_throttled(lambda _: client.get_item(TableName=name, Key=item("hot", 1), ConsistentRead=True))
    assert error["throttlingReasons"][0]["reason"] == "TableReadKeyRangeThroughputExceeded"


MAXIMUM = "Throughput exceeds the maximum OnDemandThroughput configured on table or index"


def on_demand(client, name, *keys, **more):
    client.create_table(**table_definition(name, *keys, **more))
    client.get_waiter("table_exists").wait(TableName=name, WaiterConfig={"Delay": 1, "MaxAttempts": 30})


def test_the_maximum_of_an_on_demand_table(serving, name):
    client = serving.client()
    on_demand(client, name, "pk", OnDemandThroughput={"MaxReadRequestUnits": 1, "MaxWriteRequestUnits": 2})
    refused = "ThrottlingException", MAXIMUM
    error, answered = until_throttled(lambda number: put(client, name, number))
    check(error, *refused, "TableWriteMaxOnDemandThroughputExceeded", f":table/{name}", reasons="throttlingReasons")
    assert answered >= 2
    get = lambda _: client.get_item(TableName=name, Key={"pk": {"S": "k0"}}, ConsistentRead=True)
    error, _ = until_throttled(get)
    check(error, *refused, "TableReadMaxOnDemandThroughputExceeded", f":table/{name}", reasons="throttlingReasons")
    batch = {name: [{"PutRequest": {"Item": {"pk": {"S": f"b{number}"}}}} for number in range(25)]}
    error, _ = until_throttled(lambda _: client.batch_write_item(RequestItems=batch))
    assert error["Error"]["Code"] == "ThrottlingException"
    actions = [{"Put": {"TableName": name, "Item": {"pk": {"S": f"t{number}"}}}} for number in range(4)]
    error, _ = until_throttled(lambda _: client.transact_write_items(TransactItems=actions))
    reasons = [reason for reason in error["CancellationReasons"] if reason["Code"] != "None"]
    assert reasons[0] == {"Code": "ThrottlingError", "Message": MAXIMUM}
    # Without a maximum it is not held to one.
    client.update_table(
        TableName=name, OnDemandThroughput={"MaxReadRequestUnits": -1, "MaxWriteRequestUnits": -1}
    )
    client.get_waiter("table_exists").wait(TableName=name, WaiterConfig={"Delay": 1, "MaxAttempts": 30})
    for number in range(50):
        put(client, name, number)


def test_the_maximum_of_an_on_demand_index(serving, name):
    client = serving.client()
    index = {
        "IndexName": "by-gk",
        "KeySchema": [{"AttributeName": "gk", "KeyType": "HASH"}],
        "Projection": {"ProjectionType": "ALL"},
        "OnDemandThroughput": {"MaxReadRequestUnits": 50, "MaxWriteRequestUnits": 1},
    }
    on_demand(client, name, "pk", attributes=("gk",), GlobalSecondaryIndexes=[index])
    error, _ = until_throttled(lambda number: put(client, name, number, gk={"S": f"g{number}"}))
    check(
        error,
        "ThrottlingException",
        MAXIMUM,
        "IndexWriteMaxOnDemandThroughputExceeded",
        f":table/{name}/index/by-gk",
        reasons="throttlingReasons",
    )
    for number in range(50):
        put(client, name, number + 1000)


def test_the_accounts_quota_of_an_on_demand_table(quota, name):
    client = quota.client()
    on_demand(client, name, "pk")
    error, _ = until_throttled(lambda number: put(client, name, number))
    check(
        error,
        "RequestLimitExceeded",
        "Throughput exceeds the current throughput limit for your account. Please contact AWS Support at "
        "https://aws.amazon.com/support request a limit increase",
        "TableWriteAccountLimitExceeded",
        f":table/{name}",
    )


def test_statements_are_throttled_like_other_requests(serving, name):
    client = serving.client()
    new_table(client, name, 1, 1)
    insert = lambda number: f"INSERT INTO \"{name}\" VALUE {{'pk': 'k{number}'}}"
    error, _ = until_throttled(lambda number: client.execute_statement(Statement=insert(number)))
    check(
        error,
        "ProvisionedThroughputExceededException",
        TABLE,
        "TableWriteProvisionedThroughputExceeded",
        f":table/{name}",
    )
    batch = [{"Statement": insert(f"b{number}")} for number in range(20)]
    answers = client.batch_execute_statement(Statements=batch)["Responses"]
    errors = {answer["Error"]["Code"] for answer in answers if "Error" in answer}
    assert errors == {"ProvisionedThroughputExceeded"}


def test_a_hot_key_of_a_provisioned_table(low, name):
    client = low.client()
    new_table(client, name, 1000, 1000)
    error, _ = until_throttled(lambda _: put(client, name, "hot"))
    check(
        error,
        "ProvisionedThroughputExceededException",
        TABLE,
        "TableWriteKeyRangeThroughputExceeded",
        f":table/{name}",
    )


def test_dev_does_not_throttle(client, name):
    new_table(client, name, 1, 1)
    for number in range(50):
        put(client, name, number)
        client.get_item(TableName=name, Key={"pk": {"S": f"k{number}"}}, ConsistentRead=True)
    client.delete_table(TableName=name)
