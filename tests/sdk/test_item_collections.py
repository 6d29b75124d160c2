"""Item collections of tables with local secondary indexes: their metrics and their limit."""

import pytest
from conftest import key_schema, serve, table_definition

LIMIT = 20_000


@pytest.fixture(scope="module")
def serving(tmp_path_factory):
    """A region whose item collections are small."""
    settings = f"[storage]\nitem_collection_bytes = {LIMIT}\n"
    with serve(tmp_path_factory.mktemp("collections"), settings) as region:
        yield region.client()


@pytest.fixture
def table(serving, name):
    new_table(serving, name)
    yield name
    serving.delete_table(TableName=name)


def new_table(client, name, **more):
    local = {
        "IndexName": "by-l",
        "KeySchema": key_schema("pk", "l"),
        "Projection": {"ProjectionType": "ALL"},
    }
    definition = table_definition(name, "pk", "sk:N", attributes=["l"], LocalSecondaryIndexes=[local], **more)
    client.create_table(**definition)
    client.get_waiter("table_exists").wait(TableName=name, WaiterConfig={"Delay": 1, "MaxAttempts": 30})


def key(pk, sk):
    return {"pk": {"S": pk}, "sk": {"N": str(sk)}}


def item(pk, sk, size=0, **more):
    return {**key(pk, sk), "x": {"S": "x" * size}, **more}


def of(pk):
    return {"ItemCollectionKey": {"pk": {"S": pk}}, "SizeEstimateRangeGB": [0.0, 1.0]}


def too_large(client, call):
    with pytest.raises(client.exceptions.ItemCollectionSizeLimitExceededException) as error:
        call()
    assert error.value.response["Error"]["Message"] == "Collection size exceeded."
    assert error.value.response["ResponseMetadata"]["HTTPStatusCode"] == 400


def test_single_writes_tell_their_collections_size(serving, table):
    asked = {"TableName": table, "ReturnItemCollectionMetrics": "SIZE"}
    assert serving.put_item(Item=item("a", 1), **asked)["ItemCollectionMetrics"] == of("a")
    updated = serving.update_item(Key=key("b", 1), UpdateExpression="SET y = :y",
                                  ExpressionAttributeValues={":y": {"N": "1"}}, **asked)
    assert updated["ItemCollectionMetrics"] == of("b")
    assert serving.delete_item(Key=key("a", 1), **asked)["ItemCollectionMetrics"] == of("a")


def test_nothing_is_told_unasked_or_of_a_table_without_local_indexes(serving, table, name):
    assert "ItemCollectionMetrics" not in serving.put_item(TableName=table, Item=item("a", 1))
    plain = name + "-plain"
    serving.create_table(**table_definition(plain, "pk", "sk:N"))
    serving.get_waiter("table_exists").wait(TableName=plain, WaiterConfig={"Delay": 1, "MaxAttempts": 30})
    put = serving.put_item(TableName=plain, Item=item("a", 1), ReturnItemCollectionMetrics="SIZE")
    assert "ItemCollectionMetrics" not in put
    # And nothing limits it.
    serving.put_item(TableName=plain, Item=item("a", 2, LIMIT * 2))
    serving.delete_table(TableName=plain)


def test_batches_and_transactions_tell_each_collection_once(serving, table):
    writes = [{"PutRequest": {"Item": item(pk, n)}} for pk in ("a", "b") for n in (1, 2)]
    batch = serving.batch_write_item(RequestItems={table: writes}, ReturnItemCollectionMetrics="SIZE")
    told = sorted(batch["ItemCollectionMetrics"][table], key=lambda metrics: metrics["ItemCollectionKey"]["pk"]["S"])
    assert told == [of("a"), of("b")]
    actions = [
        {"Put": {"TableName": table, "Item": item("a", 1)}},
        {"Delete": {"TableName": table, "Key": key("a", 2)}},
        {"Update": {"TableName": table, "Key": key("c", 1), "UpdateExpression": "REMOVE y"}},
    ]
    done = serving.transact_write_items(TransactItems=actions, ReturnItemCollectionMetrics="SIZE")
    told = sorted(done["ItemCollectionMetrics"][table], key=lambda metrics: metrics["ItemCollectionKey"]["pk"]["S"])
    assert told == [of("a"), of("c")]


def test_a_write_that_makes_a_collection_too_large_is_refused(serving, table):
    # Index entries count: an item of this kind is in the collection twice.
    for n in range(4):
        serving.put_item(TableName=table, Item=item("p", n, LIMIT // 10, l={"S": "l"}))
    too_large(serving, lambda: serving.put_item(TableName=table, Item=item("p", 9, LIMIT // 10, l={"S": "l"})))
    assert "Item" not in serving.get_item(TableName=table, Key=key("p", 9))
    grow = {"UpdateExpression": "SET x = :x", "ExpressionAttributeValues": {":x": {"S": "x" * (LIMIT // 4)}}}
    too_large(serving, lambda: serving.update_item(TableName=table, Key=key("p", 0), **grow))
    put = {"PutRequest": {"Item": item("p", 9, LIMIT // 4)}}
    too_large(serving, lambda: serving.batch_write_item(RequestItems={table: [put]}))
    # Other collections, deletes and what shrinks are not concerned.
    serving.put_item(TableName=table, Item=item("q", 9, LIMIT // 4))
    serving.update_item(TableName=table, Key=key("p", 0), UpdateExpression="REMOVE x")
    serving.delete_item(TableName=table, Key=key("p", 1))
    serving.put_item(TableName=table, Item=item("p", 9, LIMIT // 10, l={"S": "l"}))


def test_a_transaction_tells_which_action_makes_a_collection_too_large(serving, table):
    actions = [
        {"Put": {"TableName": table, "Item": item("a", 1)}},
        {"Put": {"TableName": table, "Item": item("b", 1, LIMIT)}},
    ]
    with pytest.raises(serving.exceptions.TransactionCanceledException) as error:
        serving.transact_write_items(TransactItems=actions)
    reasons = [reason["Code"] for reason in error.value.response["CancellationReasons"]]
    assert reasons == ["None", "ItemCollectionSizeLimitExceeded"]
    assert serving.scan(TableName=table)["Items"] == []


def test_several_actions_of_a_transaction_count_together(serving, table):
    actions = [{"Put": {"TableName": table, "Item": item("a", n, LIMIT * 2 // 5)}} for n in range(3)]
    with pytest.raises(serving.exceptions.TransactionCanceledException) as error:
        serving.transact_write_items(TransactItems=actions)
    reasons = [reason["Code"] for reason in error.value.response["CancellationReasons"]]
    assert reasons == ["None", "None", "ItemCollectionSizeLimitExceeded"]
