"""BatchExecuteStatement."""

from .songs import KEY, KEY_WANTED, refusal, song, statements


def test_batch_of_reads(client, music, songs):
    reply = client.batch_execute_statement(
        Statements=statements(
            music,
            ("SELECT * FROM {t} WHERE artist = ? AND song = ?", {"S": "ada"}, {"N": "3"}),
            "SELECT title, notes[0] FROM {t} WHERE artist = 'bob' AND song = 4",
            "SELECT * FROM {t} WHERE artist = 'nobody' AND song = 4",
            "SELECT nothing FROM {t} WHERE artist = 'bob' AND song = 5",
            "SELECT * FROM {t} WHERE artist = 'ada' AND song = 4 AND prize = true",
            "SELECT * FROM {t} WHERE artist = 'bob' AND song = 8 AND prize = false",
            "SELECT * FROM {t} WHERE artist = 'ada'",
            'SELECT * FROM {t}."by-genre" WHERE genre = \'jazz\' AND song = 1',
            "SELECT * FROM {t} WHERE",
            'SELECT * FROM "no-such-table" WHERE a = 1',
        ),
        ReturnConsumedCapacity="TOTAL",
    )
    several = {
        "Code": "ValidationError",
        "Message": "Select statements within BatchExecuteStatement must specify the primary key in the where clause.",
    }
    assert reply["Responses"] == [
        {"TableName": music, "Item": song("ada", 3)},
        {"TableName": music, "Item": {"title": {"S": "bob's no. 4"}, "notes[0]": {"N": "4"}}},
        {"TableName": music},
        # It is there, and has nothing of what was asked for.
        {"TableName": music, "Item": {}},
        {"TableName": music, "Item": song("ada", 4)},
        {"TableName": music},
        {"TableName": music, "Error": several},
        {"TableName": music, "Error": several},
        {
            "Error": {
                "Code": "ValidationError",
                "Message": "Statement wasn't well formed, can't be processed: Unexpected term",
            }
        },
        {"Error": {"Code": "ResourceNotFound", "Message": "Requested resource not found"}},
    ]
    assert reply["ConsumedCapacity"] == [{"TableName": music, "CapacityUnits": 3.0}]


def test_batch_of_writes(client, music, one):
    for number in range(1, 5):
        client.put_item(TableName=music, Item={"artist": {"S": "eve"}, "song": {"N": str(number)}, "n": {"N": "1"}})
    reply = client.batch_execute_statement(
        Statements=[
            *statements(
                music,
                "INSERT INTO {t} VALUE {'artist': 'bob', 'song': 1}",
                "INSERT INTO {t} VALUE {'artist': 'eve', 'song': 1}",
                f"UPDATE {{t}} SET n = n + 1 {KEY} RETURNING ALL NEW *",
                "UPDATE {t} SET n = 2 WHERE artist = 'eve' AND song = 2 AND n = 1",
                "UPDATE {t} SET n = 0 WHERE artist = 'eve' AND song = 3 AND n = 6",
                "DELETE FROM {t} WHERE artist = 'nobody' AND song = 1",
                "UPDATE {t} SET n = 0 WHERE artist = 'ada'",
            ),
            {
                "Statement": f"DELETE FROM \"{music}\" WHERE artist = 'eve' AND song = 4 AND n = 6",
                "ReturnValuesOnConditionCheckFailure": "ALL_OLD",
            },
        ],
        ReturnConsumedCapacity="INDEXES",
    )
    got = reply["Responses"]
    assert all(response["TableName"] == music for response in got)
    errors = [response.get("Error", {}).get("Code") for response in got]
    assert errors == [
        None,
        "DuplicateItem",
        None,
        None,
        "ConditionalCheckFailed",
        None,
        "ValidationError",
        "ConditionalCheckFailed",
    ]
    assert got[1]["Error"]["Message"] == "Duplicate primary key exists in table"
    assert got[2]["Item"]["n"] == {"N": "6"}
    assert got[4]["Error"] == {"Code": "ConditionalCheckFailed", "Message": "The conditional request failed"}
    assert got[6]["Error"]["Message"] == KEY_WANTED
    assert got[7]["Error"]["Item"]["n"] == {"N": "1"}
    assert one()["n"] == {"N": "6"}
    # One entry a table; what failed by its condition counts in the total alone.
    (consumed,) = reply["ConsumedCapacity"]
    assert consumed["Table"] == {"CapacityUnits": 4.0}
    indexes = consumed.get("LocalSecondaryIndexes", {}), consumed.get("GlobalSecondaryIndexes", {})
    of_indexes = sum(index["CapacityUnits"] for kind in indexes for index in kind.values())
    assert consumed["CapacityUnits"] == 4.0 + of_indexes + 3.0


def test_one_batch_cannot_name_an_item_twice(client, music, one):
    for twice in [
        statements(music, f"SELECT * FROM {{t}} {KEY}", f"SELECT n FROM {{t}} {KEY}"),
        statements(music, f"UPDATE {{t}} SET n = 6 {KEY}", f"DELETE FROM {{t}} {KEY}"),
    ]:
        assert refusal(lambda: client.batch_execute_statement(Statements=twice)) == (
            "ValidationException",
            "Provided list of item keys contains duplicates",
        )
    assert one()["n"] == {"N": "5"}


def test_reads_and_writes_do_not_mix(client, music, one):
    both = statements(music, f"SELECT * FROM {{t}} {KEY}", f"DELETE FROM {{t}} {KEY}")
    assert refusal(lambda: client.batch_execute_statement(Statements=both)) == (
        "ValidationException",
        "Read and write requests together in the same batch is not supported.",
    )
    assert one()["n"] == {"N": "5"}
