"""ExecuteTransaction."""

import uuid

import pytest
from botocore.exceptions import ClientError

from .songs import KEY, KEY_WANTED, refusal, song, statements


def test_transaction_of_reads(client, music, songs):
    reply = client.execute_transaction(
        TransactStatements=statements(
            music,
            ("SELECT * FROM {t} WHERE artist = ? AND song = 3", {"S": "ada"}),
            "SELECT * FROM {t} WHERE artist = 'nobody' AND song = 4",
            "SELECT title FROM {t} WHERE artist = 'bob' AND song = 4",
        ),
        ReturnConsumedCapacity="TOTAL",
    )
    assert reply["Responses"] == [{"Item": song("ada", 3)}, {}, {"Item": {"title": {"S": "bob's no. 4"}}}]
    assert [(one["TableName"], one["CapacityUnits"]) for one in reply["ConsumedCapacity"]] == [(music, 6)]
    several = statements(music, "SELECT * FROM {t} WHERE artist = 'ada'")
    assert refusal(lambda: client.execute_transaction(TransactStatements=several)) == (
        "ValidationException",
        "Select statements within ExecuteTransaction must specify the primary key in the where clause.",
    )


def test_transaction_of_writes(client, run, music, one):
    run("INSERT INTO {t} VALUE {'artist': 'old', 'song': 1}")
    reply = client.execute_transaction(
        TransactStatements=statements(
            music,
            ("INSERT INTO {t} VALUE {'artist': 'new', 'song': ?}", {"N": "1"}),
            f"UPDATE {{t}} SET n = n + 1 {KEY} AND n = 5",
            "DELETE FROM {t} WHERE artist = 'old' AND song = 1",
        ),
        ReturnConsumedCapacity="TOTAL",
    )
    assert reply["Responses"] == []
    assert [one["CapacityUnits"] for one in reply["ConsumedCapacity"]] == [6]
    assert one()["n"] == {"N": "6"}
    artists = {item["artist"]["S"] for item in run("SELECT * FROM {t}")["Items"]}
    assert artists == {"ada", "new"}


def test_a_failed_statement_cancels_its_transaction(client, run, music, one):
    insert = "INSERT INTO {t} VALUE {'artist': 'new', 'song': 1}"
    for statement, code, message in [
        ("INSERT INTO {t} VALUE {'artist': 'ada', 'song': 1}", "DuplicateItem", "Duplicate primary key exists in table"),
        (f"UPDATE {{t}} SET n = 1 {KEY} AND n = 6", "ConditionalCheckFailed", "The conditional request failed"),
        ("UPDATE {t} SET n = 1 WHERE artist = 'x' AND song = 1", "ConditionalCheckFailed", "The conditional request failed"),
        (f"DELETE FROM {{t}} {KEY} AND n = 6", "ConditionalCheckFailed", "The conditional request failed"),
        (f"EXISTS(SELECT * FROM {{t}} {KEY} AND n IS MISSING)", "ConditionalCheckFailed", "The conditional request failed"),
        ("EXISTS(SELECT * FROM {t} WHERE artist = 'x' AND song = 1)", "ConditionalCheckFailed", "The conditional request failed"),
    ]:
        with pytest.raises(ClientError) as caught:
            client.execute_transaction(TransactStatements=statements(music, insert, statement))
        response = caught.value.response
        assert response["Error"]["Code"] == "TransactionCanceledException", statement
        assert response["CancellationReasons"] == [{"Code": "None"}, {"Code": code, "Message": message}], statement
        assert run("SELECT * FROM {t} WHERE artist = 'new'")["Items"] == []
    assert one()["n"] == {"N": "5"}


@pytest.mark.parametrize(
    ("statement", "message"),
    [
        ("UPDATE {t} SET n = 1 WHERE artist = 'ada'", KEY_WANTED),
        ("DELETE FROM {t} WHERE artist = 'ada' AND song > 1", KEY_WANTED),
        ("EXISTS(SELECT * FROM {t} WHERE artist = 'ada' AND n = 5)", KEY_WANTED),
        ("DELETE FROM {t} WHERE artist = 'ada' AND song = 'x'", "The provided key element does not match the schema"),
        (
            "INSERT INTO {t} VALUE {'artist': 'x'}",
            "One or more parameter values were invalid: Missing the key song in the item",
        ),
    ],
)
def test_a_statement_that_does_not_fit_its_table_cancels(client, music, one, statement, message):
    with pytest.raises(ClientError) as caught:
        client.execute_transaction(TransactStatements=statements(music, f"UPDATE {{t}} SET n = 0 {KEY}", statement))
    assert caught.value.response["Error"]["Code"] == "TransactionCanceledException"
    assert caught.value.response["CancellationReasons"] == [
        {"Code": "None"},
        {"Code": "ValidationError", "Message": message},
    ]
    assert one()["n"] == {"N": "5"}


def test_a_malformed_statement_refuses_its_transaction(client, music, one):
    malformed = statements(music, f"UPDATE {{t}} SET n = 0 {KEY}", "UPDATE {t} SET")
    assert refusal(lambda: client.execute_transaction(TransactStatements=malformed)) == (
        "ValidationException",
        "Statement wasn't well formed, can't be processed: Expected assignment for SET",
    )
    assert one()["n"] == {"N": "5"}


@pytest.mark.parametrize(
    ("statement", "message"),
    [
        (f"UPDATE {{t}} SET n = 0 {KEY} RETURNING ALL OLD *", "RETURNING clause is not supported in ExecuteTransaction."),
        (f"DELETE FROM {{t}} {KEY} RETURNING ALL OLD *", "RETURNING clause is not supported in ExecuteTransaction."),
        (
            "EXISTS(SELECT * FROM {t}.\"by-genre\" WHERE genre = 'rock' AND song = 1)",
            "Reads on indices are not supported within transactions.",
        ),
    ],
)
def test_what_a_statement_cannot_be_within_a_transaction(client, music, one, statement, message):
    unlike = statements(music, "DELETE FROM {t} WHERE artist = 'x' AND song = 1", statement)
    assert refusal(lambda: client.execute_transaction(TransactStatements=unlike)) == (
        "ValidationException",
        f"Validation failed in TransactStatements[1]: {message}",
    )
    assert one()["n"] == {"N": "5"}


def test_exists_checks_its_item(client, run, music, one):
    client.execute_transaction(
        TransactStatements=statements(
            music,
            f"EXISTS(SELECT * FROM {{t}} {KEY} AND n = 5 AND nothing IS MISSING)",
            ("INSERT INTO {t} VALUE {'artist': 'new', 'song': ?}", {"N": "1"}),
        )
    )
    assert len(run("SELECT * FROM {t} WHERE artist = 'new'")["Items"]) == 1


def test_a_transaction_with_a_token_happens_once(client, music, one):
    token = str(uuid.uuid4())
    raise_n = statements(music, f"UPDATE {{t}} SET n = n + 1 {KEY}")
    for _ in range(3):
        client.execute_transaction(TransactStatements=raise_n, ClientRequestToken=token)
    assert one()["n"] == {"N": "6"}
    other = statements(music, f"UPDATE {{t}} SET n = n + 2 {KEY}")
    code, _ = refusal(lambda: client.execute_transaction(TransactStatements=other, ClientRequestToken=token))
    assert code == "IdempotentParameterMismatchException"


def test_one_transaction_cannot_write_an_item_twice(client, music, one):
    twice = statements(music, f"UPDATE {{t}} SET n = 1 {KEY}", f"DELETE FROM {{t}} {KEY}")
    assert refusal(lambda: client.execute_transaction(TransactStatements=twice)) == (
        "ValidationException",
        "Transaction request cannot include multiple operations on one item",
    )


def test_reads_and_writes_do_not_mix(client, music, one):
    both = statements(music, f"SELECT * FROM {{t}} {KEY}", f"DELETE FROM {{t}} {KEY}")
    assert refusal(lambda: client.execute_transaction(TransactStatements=both)) == (
        "ValidationException",
        "ExecuteTransaction API does not support both read and write operations in the same request.",
    )
    assert one()["n"] == {"N": "5"}
