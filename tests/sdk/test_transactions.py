"""TransactWriteItems and TransactGetItems by boto3, from their API references and the guide's "transactions: how it works"."""

import threading
import uuid

import pytest
from botocore.exceptions import ClientError

FAILED = {"Code": "ConditionalCheckFailed", "Message": "The conditional request failed"}
NONE = {"Code": "None"}
SCHEMA = "The provided key element does not match the schema"


@pytest.fixture
def table(make_table):
    return make_table("pk")


@pytest.fixture
def other(make_table):
    return make_table("pk", "sk:N", name=f"test-other-{uuid.uuid4().hex[:12]}")


def put(table, key, **more):
    fields = {name: more.pop(name) for name in list(more) if name[0].isupper()}
    return {"Put": {"TableName": table, "Item": {"pk": {"S": key}, **more}, **fields}}


def update(table, key, expression, values=None, **fields):
    if values:
        fields["ExpressionAttributeValues"] = values
    return {"Update": {"TableName": table, "Key": {"pk": {"S": key}}, "UpdateExpression": expression, **fields}}


def delete(table, key, **fields):
    return {"Delete": {"TableName": table, "Key": {"pk": {"S": key}}, **fields}}


def check(table, key, condition, **fields):
    key = key if isinstance(key, dict) else {"pk": {"S": key}}
    return {"ConditionCheck": {"TableName": table, "Key": key, "ConditionExpression": condition, **fields}}


def get(table, key, **fields):
    key = key if isinstance(key, dict) else {"pk": {"S": key}}
    return {"Get": {"TableName": table, "Key": key, **fields}}


def write(client, *actions, **arguments):
    return client.transact_write_items(TransactItems=list(actions), **arguments)


def read(client, table, key):
    return client.get_item(TableName=table, Key={"pk": {"S": key}}, ConsistentRead=True).get("Item")


def refused(call, name="ValidationException"):
    with pytest.raises(ClientError) as caught:
        call()
    response = caught.value.response
    assert response["Error"]["Code"] == name, response
    assert response["ResponseMetadata"]["HTTPStatusCode"] == 400
    return response


def cancelled(call, *reasons):
    """The reasons are in the order of the actions, in the answer and in its message."""
    response = refused(call, "TransactionCanceledException")
    assert response["CancellationReasons"] == list(reasons)
    codes = ", ".join(reason["Code"] for reason in reasons)
    message = f"Transaction cancelled, please refer cancellation reasons for specific reasons [{codes}]"
    assert response["Error"]["Message"] == message
    return response


def test_every_kind_of_action_over_two_tables(client, table, other):
    client.put_item(TableName=table, Item={"pk": {"S": "b"}, "n": {"N": "1"}, "gone": {"S": "g"}})
    client.put_item(TableName=table, Item={"pk": {"S": "c"}})
    client.put_item(TableName=table, Item={"pk": {"S": "d"}, "n": {"N": "4"}})
    answer = write(
        client,
        put(table, "a", n={"N": "1"}, ConditionExpression="attribute_not_exists(pk)"),
        update(
            table,
            "b",
            "SET #n = #n + :v REMOVE gone",
            {":v": {"N": "10"}, ":one": {"N": "1"}},
            ConditionExpression="#n = :one",
            ExpressionAttributeNames={"#n": "n"},
        ),
        delete(table, "c", ConditionExpression="attribute_exists(pk)"),
        check(table, "d", "n > :v", ExpressionAttributeValues={":v": {"N": "3"}}),
        {"Put": {"TableName": other, "Item": {"pk": {"S": "a"}, "sk": {"N": "1"}}}},
        update(table, "new", "ADD hits :v", {":v": {"N": "1"}}),
    )
    assert set(answer) == {"ResponseMetadata"}
    assert read(client, table, "a") == {"pk": {"S": "a"}, "n": {"N": "1"}}
    assert read(client, table, "b") == {"pk": {"S": "b"}, "n": {"N": "11"}}
    assert read(client, table, "c") is None
    assert read(client, table, "d") == {"pk": {"S": "d"}, "n": {"N": "4"}}
    assert read(client, table, "new") == {"pk": {"S": "new"}, "hits": {"N": "1"}}
    assert client.scan(TableName=other)["Items"] == [{"pk": {"S": "a"}, "sk": {"N": "1"}}]


def test_a_failed_condition_cancels_everything_and_gives_reasons_in_order(client, table):
    stored = {"pk": {"S": "old"}, "n": {"N": "1"}}
    client.put_item(TableName=table, Item=stored)
    new = {"ConditionExpression": "attribute_not_exists(pk)"}
    old = {"ReturnValuesOnConditionCheckFailure": "ALL_OLD"}
    cancelled(
        lambda: write(
            client,
            put(table, "a"),
            put(table, "old", **new, **old),
            delete(table, "b"),
            check(table, "c", "attribute_exists(pk)", **old),
        ),
        NONE,
        {**FAILED, "Item": stored},
        NONE,
        FAILED,
    )
    for action in [
        put(table, "old", **new),
        delete(table, "old", **new),
        update(table, "old", "SET n = :v", {":v": {"N": "2"}}, **new),
        check(table, "old", "attribute_not_exists(pk)"),
    ]:
        cancelled(lambda: write(client, put(table, "a"), action), NONE, FAILED)
        (fields,) = action.values()
        fields.update(old)
        cancelled(lambda: write(client, action, put(table, "a")), {**FAILED, "Item": stored}, NONE)
    assert client.scan(TableName=table)["Items"] == [stored]


@pytest.mark.parametrize(
    ("expression", "values", "message"),
    [
        (
            "SET n = nowhere",
            None,
            "The provided expression refers to an attribute that does not exist in the item",
        ),
        ("SET n = n + :v", {":v": {"S": "x"}}, None),
        ("SET t = t + :v", {":v": {"N": "1"}}, "An operand in the update expression has an incorrect data type"),
        ("SET a.b.c = :v", {":v": {"N": "1"}}, "The document path provided in the update expression is invalid for update"),
        ("SET big = :v", {":v": {"S": "x" * 409600}}, "Item size to update has exceeded the maximum allowed size"),
        (
            "ADD huge :v",
            {":v": {"N": "9.9E125"}},
            "Number overflow. Attempting to store a number with magnitude larger than supported range",
        ),
        (
            "SET pk = :v",
            {":v": {"S": "x"}},
            "One or more parameter values were invalid: Cannot update attribute pk. This attribute is part of the key",
        ),
    ],
)
def test_what_an_update_cannot_do_is_a_validation_error_of_its_action(client, table, expression, values, message):
    client.put_item(TableName=table, Item={"pk": {"S": "a"}, "n": {"N": "1"}, "t": {"S": "t"}, "huge": {"N": "9.9E125"}})
    transaction = lambda: write(client, put(table, "b"), update(table, "a", expression, values))  # noqa: E731
    if message is None:
        # The operand's type is wrong whatever the item is: the request is at fault.
        refused(transaction)
    else:
        cancelled(transaction, NONE, {"Code": "ValidationError", "Message": message})
    assert read(client, table, "b") is None


@pytest.mark.parametrize(
    ("kind", "fields", "message"),
    [
        ("Delete", {"Key": {"pk": {"N": "1"}}}, SCHEMA),
        ("Delete", {"Key": {"pk": {"S": "a"}, "sk": {"S": "b"}}}, SCHEMA),
        ("Update", {"Key": {"other": {"S": "a"}}, "UpdateExpression": "REMOVE x"}, SCHEMA),
        ("ConditionCheck", {"Key": {"pk": {"B": b"1"}}, "ConditionExpression": "attribute_exists(pk)"}, SCHEMA),
        ("Put", {"Item": {"sk": {"S": "a"}}}, "One or more parameter values were invalid: Missing the key pk in the item"),
        (
            "Put",
            {"Item": {"pk": {"N": "1"}}},
            "One or more parameter values were invalid: Type mismatch for key pk expected: S actual: N",
        ),
        (
            "Put",
            {"Item": {"pk": {"S": "a"}, "g": {"N": "1"}}},
            "One or more parameter values were invalid: Type mismatch for Index Key g Expected: S Actual: N IndexName: by-g",
        ),
    ],
)
def test_a_key_that_does_not_fit_the_schema_is_a_validation_error_of_its_action(client, make_table, kind, fields, message):
    index = {"IndexName": "by-g", "KeySchema": [{"AttributeName": "g", "KeyType": "HASH"}]}
    table = make_table("pk", attributes=["g"], GlobalSecondaryIndexes=[{**index, "Projection": {"ProjectionType": "ALL"}}])
    cancelled(
        lambda: write(client, {kind: {"TableName": table, **fields}}, put(table, "b")),
        {"Code": "ValidationError", "Message": message},
        NONE,
    )
    assert read(client, table, "b") is None


def test_of_several_validation_errors_the_first_is_told(client, table):
    client.put_item(TableName=table, Item={"pk": {"S": "a"}, "t": {"S": "t"}})
    nowhere = update(table, "b", "SET n = nowhere")
    wrong = update(table, "a", "SET t = t + :v", {":v": {"N": "1"}})
    exists = check(table, "c", "attribute_exists(pk)")
    first = {"Code": "ValidationError", "Message": "The provided expression refers to an attribute that does not exist in the item"}
    cancelled(lambda: write(client, put(table, "d"), nowhere, exists, wrong), NONE, first, FAILED, NONE)
    misfits = [delete(table, "a"), *({"Delete": {"TableName": table, "Key": {"pk": {"N": n}}}} for n in "12")]
    cancelled(lambda: write(client, *misfits), NONE, {"Code": "ValidationError", "Message": SCHEMA}, NONE)


@pytest.mark.parametrize(
    ("actions", "message"),
    [
        (lambda t: [put(t, "a"), check(t, "a", "attribute_exists(pk)")], "Transaction request cannot include multiple operations on one item"),
        (lambda t: [put(t, "a"), delete(t, "b"), put(t, "a")], "Transaction request cannot include multiple operations on one item"),
        (lambda t: [{**put(t, "a"), **delete(t, "b")}], "TransactItems can only contain one of Check, Put, Update or Delete"),
        (lambda t: [{}], "TransactItems can only contain one of Check, Put, Update or Delete"),
        (
            lambda t: [put(t, "")],
            "One or more parameter values are not valid. The AttributeValue for a key attribute cannot contain an empty string value. Key: pk",
        ),
        (
            lambda t: [check(t, "", "attribute_exists(pk)")],
            "One or more parameter values are not valid. The AttributeValue for a key attribute cannot contain an empty string value. Key: pk",
        ),
        (lambda t: [put(t, "a", x={"S": "x" * 409600})], "Item size has exceeded the maximum allowed size"),
        (
            lambda t: [put(t, str(n), x={"S": "x" * 400000}) for n in range(11)],
            "The aggregate transaction size cannot exceed 4 MB",
        ),
        (
            lambda t: [put(t, "a", ConditionExpression="pk = ")],
            "Invalid ConditionExpression: Syntax error; token: \"<EOF>\", near: \"=\"",
        ),
        (
            lambda t: [put(t, "a", ExpressionAttributeValues={":v": {"S": "x"}})],
            "ExpressionAttributeValues can only be specified when using expressions: ConditionExpression is null",
        ),
        (
            lambda t: [update(t, "a", "SET x = :v", {":v": {"S": "x"}, ":w": {"S": "x"}})],
            "Value provided in ExpressionAttributeValues unused in expressions: keys: {:w}",
        ),
    ],
)
def test_a_request_that_no_table_could_make_right_is_refused_as_a_whole(client, table, actions, message):
    assert refused(lambda: write(client, *actions(table)))["Error"]["Message"] == message
    assert client.scan(TableName=table)["Count"] == 0


def test_faults_are_found_in_the_order_of_their_kinds(client, table):
    """Actions that are none, expressions, tables, keys' values, keys' types, one item twice, conditions."""
    kinds = [
        ({}, "TransactItems can only contain one of Check, Put, Update or Delete"),
        (
            put(table, "a", ConditionExpression="a = b, c"),
            'Invalid ConditionExpression: Syntax error; token: ",", near: "b, c"',
        ),
        (put("no-such-table", "a"), "Requested resource not found"),
        (put(table, ""), "empty string value. Key: pk"),
        (put(table, "twice"), "Transaction request cannot include multiple operations on one item"),
        (check(table, {"pk": {"N": "1"}}, "attribute_exists(pk)"), "[None, None, ValidationError]"),
        (delete(table, "x", ConditionExpression="attribute_exists(pk)"), "[None, None, ConditionalCheckFailed]"),
    ]
    for number, (sooner, message) in enumerate(kinds):
        for later in [put(table, "b"), *(action for action, _ in kinds[number + 1 :])]:
            # The fault that is found first stands last.
            with pytest.raises(ClientError) as caught:
                write(client, put(table, "twice"), later, sooner)
            found = caught.value.response["Error"]["Message"]
            assert message in found, (later, sooner)


def test_a_hundred_actions_and_no_more(client, table):
    write(client, *(put(table, str(number)) for number in range(100)))
    assert client.scan(TableName=table)["Count"] == 100
    answer = client.transact_get_items(TransactItems=[get(table, str(number)) for number in range(100)])
    assert [item["Item"]["pk"]["S"] for item in answer["Responses"]] == [str(number) for number in range(100)]
    error = refused(lambda: write(client, *(put(table, str(number)) for number in range(101))))
    message = error["Error"]["Message"]
    assert "Member must have length less than or equal to 100" in message
    # The whole list is shown, however long it is.
    assert all(f"pk=AttributeValue(s={number}," in message for number in range(101)), message[:500]


def test_a_table_that_is_not_there(client, table):
    for call in [
        lambda: write(client, put(table, "a"), put("no-such-table", "a")),
        lambda: client.transact_get_items(TransactItems=[get(table, "a"), get("no-such-table", "a")]),
    ]:
        error = refused(call, "ResourceNotFoundException")
        assert error["Error"]["Message"] == "Requested resource not found"
    assert read(client, table, "a") is None


def test_a_token_makes_a_repetition_the_same_transaction(client, table):
    token = str(uuid.uuid4())
    add = [update(table, "a", "ADD n :v", {":v": {"N": "1"}}), put(table, "b", x={"S": "x" * 5000})]
    first = write(client, *add, ClientRequestToken=token, ReturnConsumedCapacity="TOTAL")
    assert first["ConsumedCapacity"] == [{"TableName": table, "CapacityUnits": 12.0, "WriteCapacityUnits": 12.0}]
    for _ in range(2):
        again = write(client, *add, ClientRequestToken=token, ReturnConsumedCapacity="TOTAL")
        assert again["ConsumedCapacity"] == [{"TableName": table, "CapacityUnits": 6.0, "ReadCapacityUnits": 6.0}]
    assert read(client, table, "a")["n"] == {"N": "1"}
    error = refused(
        lambda: write(client, *reversed(add), ClientRequestToken=token), "IdempotentParameterMismatchException"
    )
    assert error["Error"]["Message"].startswith("DynamoDB rejected the request because you retried a request")
    write(client, *add, ClientRequestToken=str(uuid.uuid4()))
    # boto3 makes up a token of its own for each call.
    write(client, *add)
    assert read(client, table, "a")["n"] == {"N": "3"}


def test_a_token_that_many_use_at_once_is_one_transaction(dev, client, table):
    """Repetitions while the first is under way are told so or find it done; it is done once."""
    token = str(uuid.uuid4())
    add = [update(table, f"item {number}", "ADD n :one", {":one": {"N": "1"}}) for number in range(100)]
    outcomes, start = [], threading.Barrier(8)

    def use():
        own = dev.client()
        start.wait()
        for _ in range(5):
            try:
                write(own, *add, ClientRequestToken=token)
                outcomes.append("done")
            except own.exceptions.TransactionInProgressException as error:
                assert error.response["Error"]["Message"] == "Transaction from previous request is still in progress"
                outcomes.append("in progress")

    users = [threading.Thread(target=use) for _ in range(start.parties)]
    for user in users:
        user.start()
    for user in users:
        user.join()
    assert len(outcomes) == 40 and "done" in outcomes
    items = client.scan(TableName=table, ConsistentRead=True)["Items"]
    assert len(items) == 100 and all(found["n"] == {"N": "1"} for found in items)


def test_a_cancelled_transaction_does_not_use_its_token_up(client, table):
    token = str(uuid.uuid4())
    exists = [check(table, "a", "attribute_exists(pk)"), put(table, "b")]
    cancelled(lambda: write(client, *exists, ClientRequestToken=token), FAILED, NONE)
    client.put_item(TableName=table, Item={"pk": {"S": "a"}})
    write(client, *exists, ClientRequestToken=token)
    client.delete_item(TableName=table, Key={"pk": {"S": "a"}})
    write(client, *exists, ClientRequestToken=token)


def test_a_token_is_of_one_to_36_characters(client, table):
    write(client, put(table, "a"), ClientRequestToken="x" * 36)
    error = refused(lambda: write(client, put(table, "b"), ClientRequestToken="x" * 37))
    assert "'clientRequestToken' failed to satisfy constraint" in error["Error"]["Message"]


def test_gets_are_answered_in_order(client, table, other):
    client.put_item(TableName=table, Item={"pk": {"S": "a"}, "x": {"N": "1"}, "y": {"L": [{"N": "1"}, {"N": "2"}]}})
    client.put_item(TableName=other, Item={"pk": {"S": "a"}, "sk": {"N": "1"}})
    answer = client.transact_get_items(
        TransactItems=[
            get(other, {"pk": {"S": "a"}, "sk": {"N": "1"}}),
            get(table, "missing"),
            get(table, "a", ProjectionExpression="#y[1]", ExpressionAttributeNames={"#y": "y"}),
            get(other, {"pk": {"S": "a"}, "sk": {"N": "2"}}),
        ],
        ReturnConsumedCapacity="TOTAL",
    )
    assert answer["Responses"] == [
        {"Item": {"pk": {"S": "a"}, "sk": {"N": "1"}}},
        {},
        {"Item": {"y": {"L": [{"N": "2"}]}}},
        {},
    ]
    assert answer["ConsumedCapacity"] == [
        {"TableName": other, "CapacityUnits": 4.0, "ReadCapacityUnits": 4.0},
        {"TableName": table, "CapacityUnits": 4.0, "ReadCapacityUnits": 4.0},
    ]
    projected = client.transact_get_items(TransactItems=[get(table, "a", ProjectionExpression="z")])
    assert projected["Responses"] == [{"Item": {}}]
    assert "ConsumedCapacity" not in projected


def test_gets_that_are_refused(client, table):
    cancelled(
        lambda: client.transact_get_items(TransactItems=[get(table, "a"), get(table, {"pk": {"N": "1"}})]),
        NONE,
        {"Code": "ValidationError", "Message": SCHEMA},
    )
    # A value that no key can have is its action's, too; and of several validation errors the first is told.
    empty = (
        "One or more parameter values are not valid. The AttributeValue for a key attribute cannot contain an empty string "
        "value. Key: pk"
    )
    cancelled(
        lambda: client.transact_get_items(TransactItems=[get(table, "a"), get(table, ""), get(table, {"pk": {"N": "1"}})]),
        NONE,
        {"Code": "ValidationError", "Message": empty},
        NONE,
    )
    for gets, message in [
        ([get(table, "a"), get(table, "a")], "Transaction request cannot include multiple operations on one item"),
        ([get(table, "a", ProjectionExpression="a,,b")], "Invalid ProjectionExpression: Syntax error; token: \",\", near: \",,b\""),
    ]:
        error = refused(lambda: client.transact_get_items(TransactItems=gets))
        assert error["Error"]["Message"] == message


def test_writes_cost_twice_for_the_items_and_once_for_index_entries(client, make_table):
    index = {"Projection": {"ProjectionType": "ALL"}}
    table = make_table(
        "pk",
        "sk",
        attributes=["g", "l"],
        GlobalSecondaryIndexes=[{"IndexName": "by-g", "KeySchema": [{"AttributeName": "g", "KeyType": "HASH"}], **index}],
        LocalSecondaryIndexes=[
            {
                "IndexName": "by-l",
                "KeySchema": [{"AttributeName": "pk", "KeyType": "HASH"}, {"AttributeName": "l", "KeyType": "RANGE"}],
                **index,
            }
        ],
    )
    key = lambda sort: {"pk": {"S": "a"}, "sk": {"S": sort}}  # noqa: E731
    item = {"g": {"S": "g"}, "l": {"S": "l"}, "x": {"S": "x" * 1500}}
    actions = [
        {"Put": {"TableName": table, "Item": {**key("1"), **item}}},
        {"Put": {"TableName": table, "Item": key("2")}},
        check(table, key("3"), "attribute_not_exists(pk)"),
    ]
    answer = write(client, *actions, ReturnConsumedCapacity="INDEXES", ReturnItemCollectionMetrics="SIZE")
    units = lambda n: {"CapacityUnits": n, "WriteCapacityUnits": n}  # noqa: E731
    assert answer["ConsumedCapacity"] == [
        {
            "TableName": table,
            **units(12.0),
            "Table": units(8.0),
            "LocalSecondaryIndexes": {"by-l": units(2.0)},
            "GlobalSecondaryIndexes": {"by-g": units(2.0)},
        }
    ]
    assert answer["ItemCollectionMetrics"] == {
        table: [{"ItemCollectionKey": {"pk": {"S": "a"}}, "SizeEstimateRangeGB": [0.0, 1.0]}]
    }
    # The item was of two units: taking it away costs as much, and so does a check of it.
    assert write(client, check(table, key("1"), "attribute_exists(pk)"), ReturnConsumedCapacity="TOTAL")[
        "ConsumedCapacity"
    ] == [{"TableName": table, **units(4.0)}]
    answer = client.transact_get_items(TransactItems=[get(table, key("1"))], ReturnConsumedCapacity="INDEXES")
    read_units = {"CapacityUnits": 2.0, "ReadCapacityUnits": 2.0}
    assert answer["ConsumedCapacity"] == [{"TableName": table, **read_units, "Table": read_units}]


def test_conflicts_are_told_and_nothing_is_lost(dev, client, table):
    """Clients that move money between few accounts, by transactions and by single writes, while others look."""
    accounts = [f"account-{number}" for number in range(4)]
    write(client, *(put(table, account, balance={"N": "100"}, single={"N": "0"}) for account in accounts))
    done, allowed = threading.Event(), set()
    moved, added, sums = [0] * 4, [0] * 2, []

    def attempt(call):
        try:
            return call()
        except ClientError as error:
            code = error.response["Error"]["Code"]
            reasons = [reason["Code"] for reason in error.response.get("CancellationReasons", [])]
            assert code == "TransactionConflictException" or "TransactionConflict" in reasons, error
            assert set(reasons) <= {"None", "TransactionConflict"}, error
            allowed.add((code, len(reasons)))
            return None

    def mover(number):
        own = dev.client()
        for turn in range(60):
            source, target = accounts[(number + turn) % 4], accounts[(number * 2 + turn * 3 + 1) % 4]
            if source == target:
                continue
            one = {":one": {"N": "1"}}
            actions = [
                update(table, source, "ADD balance :less", {":less": {"N": "-1"}}),
                update(table, target, "ADD balance :one", one),
            ]
            moved[number] += attempt(lambda: write(own, *actions)) is not None

    def adder(number):
        own = dev.client()
        for turn in range(100):
            arguments = {
                "TableName": table,
                "Key": {"pk": {"S": accounts[turn % 4]}},
                "UpdateExpression": "ADD single :one",
                "ExpressionAttributeValues": {":one": {"N": "1"}},
            }
            added[number] += attempt(lambda: own.update_item(**arguments)) is not None

    def looker():
        own = dev.client()
        while not done.is_set():
            answer = attempt(lambda: own.transact_get_items(TransactItems=[get(table, account) for account in accounts]))
            if answer:
                sums.append(sum(int(item["Item"]["balance"]["N"]) for item in answer["Responses"]))

    failures = []

    def guarded(work, *arguments):
        try:
            work(*arguments)
        except BaseException as error:  # the test's own thread tells of it
            failures.append(error)

    looking = threading.Thread(target=guarded, args=(looker,))
    threads = [threading.Thread(target=guarded, args=(mover, number)) for number in range(4)]
    threads += [threading.Thread(target=guarded, args=(adder, number)) for number in range(2)]
    for thread in [looking, *threads]:
        thread.start()
    for thread in threads:
        thread.join()
    done.set()
    looking.join()
    assert not failures, failures
    items = client.scan(TableName=table, ConsistentRead=True)["Items"]
    assert sum(int(item["balance"]["N"]) for item in items) == 400
    assert sum(int(item["single"]["N"]) for item in items) == sum(added)
    assert sum(moved) > 0
    assert set(sums) <= {400}
    # With so many at so few items, some met.
    assert ("TransactionCanceledException", 2) in allowed


def test_changes_reach_global_indexes(client, make_table):
    index = {"IndexName": "by-g", "KeySchema": [{"AttributeName": "g", "KeyType": "HASH"}]}
    table = make_table("pk", attributes=["g"], GlobalSecondaryIndexes=[{**index, "Projection": {"ProjectionType": "ALL"}}])
    write(client, put(table, "a", g={"S": "x"}), put(table, "b", g={"S": "x"}))
    query = {
        "TableName": table,
        "IndexName": "by-g",
        "KeyConditionExpression": "g = :g",
        "ExpressionAttributeValues": {":g": {"S": "x"}},
    }
    assert client.query(**query)["Count"] == 2
    write(client, delete(table, "a"), update(table, "b", "REMOVE g"))
    assert client.query(**query)["Count"] == 0


def test_each_item_of_a_transaction_has_its_record_in_the_stream(dev, client, make_table):
    table = make_table("pk", StreamSpecification={"StreamEnabled": True, "StreamViewType": "NEW_AND_OLD_IMAGES"})
    client.put_item(TableName=table, Item={"pk": {"S": "b"}})
    client.put_item(TableName=table, Item={"pk": {"S": "c"}})
    write(
        client,
        put(table, "a", x={"N": "1"}),
        update(table, "b", "SET x = :v", {":v": {"N": "2"}}),
        delete(table, "c"),
        check(table, "d", "attribute_not_exists(pk)"),
    )
    cancelled(lambda: write(client, put(table, "e"), check(table, "d", "attribute_exists(pk)")), NONE, FAILED)
    streams = dev.client("dynamodbstreams")
    arn = client.describe_table(TableName=table)["Table"]["LatestStreamArn"]
    records = []
    for shard in streams.describe_stream(StreamArn=arn)["StreamDescription"]["Shards"]:
        at = streams.get_shard_iterator(StreamArn=arn, ShardId=shard["ShardId"], ShardIteratorType="TRIM_HORIZON")
        records += streams.get_records(ShardIterator=at["ShardIterator"])["Records"]
    seen = {(record["eventName"], record["dynamodb"]["Keys"]["pk"]["S"]) for record in records}
    assert seen == {("INSERT", "a"), ("INSERT", "b"), ("INSERT", "c"), ("MODIFY", "b"), ("REMOVE", "c")}


def test_a_batch_among_transactions_leaves_nothing_out(dev, client, table):
    """BatchWriteItem has no TransactionConflictException: what it meets, it waits for."""
    failures = []

    def transact(number):
        own = dev.client()
        for turn in range(25):
            try:
                write(own, *(put(table, str(key), by={"S": f"transaction-{number}"}) for key in range(5)))
            except ClientError as error:
                if error.response["Error"]["Code"] != "TransactionCanceledException":
                    failures.append(error)

    threads = [threading.Thread(target=transact, args=(number,)) for number in range(3)]
    for thread in threads:
        thread.start()
    for turn in range(25):
        puts = [{"PutRequest": {"Item": {"pk": {"S": str(key)}, "by": {"S": "batch"}}}} for key in range(10)]
        assert client.batch_write_item(RequestItems={table: puts})["UnprocessedItems"] == {}
    for thread in threads:
        thread.join()
    assert not failures
    assert client.scan(TableName=table)["Count"] == 10


def test_a_transaction_names_its_tables_also_by_arn(client, table):
    arn = client.describe_table(TableName=table)["Table"]["TableArn"]
    write(client, put(arn, "a"), put(table, "b"))
    error = refused(lambda: write(client, put(arn, "c"), put(table, "c")))
    assert error["Error"]["Message"] == "Transaction request cannot include multiple operations on one item"
    assert client.scan(TableName=table)["Count"] == 2
