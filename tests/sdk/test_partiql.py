"""PartiQL: ExecuteStatement, BatchExecuteStatement, ExecuteTransaction."""

import uuid

import pytest
from botocore.exceptions import ClientError
from conftest import key_schema


@pytest.fixture
def music(make_table):
    """A table (artist, song:N) with a local index by year, and a global one by genre that has the year only."""
    return make_table(
        "artist",
        "song:N",
        attributes=("year:N", "genre"),
        LocalSecondaryIndexes=[
            {
                "IndexName": "by-year",
                "KeySchema": key_schema("artist", "year"),
                "Projection": {"ProjectionType": "KEYS_ONLY"},
            }
        ],
        GlobalSecondaryIndexes=[
            {
                "IndexName": "by-genre",
                "KeySchema": key_schema("genre", "song"),
                "Projection": {"ProjectionType": "INCLUDE", "NonKeyAttributes": ["title"]},
            }
        ],
    )


@pytest.fixture
def run(client, music):
    """run("SELECT * FROM {t} …", parameter, …, Limit=…): the reply of a statement; {t} is the table."""

    def run(statement, *parameters, **more):
        if parameters:
            more["Parameters"] = list(parameters)
        return client.execute_statement(Statement=statement.replace("{t}", f'"{music}"'), **more)

    return run


@pytest.fixture
def songs(client, music):
    """Three artists of twelve songs each."""
    for artist in ("ada", "bob", "eve"):
        client.batch_write_item(
            RequestItems={music: [{"PutRequest": {"Item": song(artist, number)}} for number in range(12)]}
        )
    return [song(artist, number) for artist in ("ada", "bob", "eve") for number in range(12)]


def song(artist, number):
    return {
        "artist": {"S": artist},
        "song": {"N": str(number)},
        "year": {"N": str(2000 - number)},
        "genre": {"S": ["jazz", "rock"][number % 2]},
        "title": {"S": f"{artist}'s no. {number}"},
        "tags": {"SS": ["all", f"t{number % 3}"]},
        "notes": {"L": [{"N": str(number)}, {"M": {"deep": {"S": "x" * number}}}]},
        **({"prize": {"BOOL": True}} if number % 4 == 0 else {}),
    }


def numbers(reply):
    return [int(item["song"]["N"]) for item in reply["Items"]]


def refusal(call):
    with pytest.raises(ClientError) as caught:
        call()
    error = caught.value.response["Error"]
    return error["Code"], error["Message"]


def test_select_of_everything(run, songs):
    items = run("SELECT * FROM {t}")["Items"]
    key = lambda item: (item["artist"]["S"], int(item["song"]["N"]))  # noqa: E731
    assert sorted(items, key=key) == songs


@pytest.mark.parametrize(
    ("where", "expected"),
    [
        ("artist = 'ada'", range(12)),
        ("artist = 'ada' AND song = 5", [5]),
        ("artist = 'ada' AND song > 9", [10, 11]),
        ("artist = 'ada' AND song BETWEEN 3 AND 5", [3, 4, 5]),
        ("artist = 'ada' AND song IN [7, 3, 99]", [3, 7]),
        ("artist = 'ada' AND song >= 3 AND song < 5", [3, 4]),
        ("artist = 'ada' AND song <> 0 AND song < 3", [1, 2]),
        ("artist = 'ada' AND NOT song > 1", [0, 1]),
        ("artist = 'ada' AND prize = true", [0, 4, 8]),
        ("artist = 'ada' AND prize IS MISSING AND song < 4", [1, 2, 3]),
        ("artist = 'ada' AND prize IS NOT MISSING", [0, 4, 8]),
        ("artist = 'ada' AND contains(tags, 't2')", [2, 5, 8, 11]),
        ("artist = 'ada' AND CONTAINS(\"title\", 'no. 1')", [1, 10, 11]),
        ("artist = 'ada' AND begins_with(title, 'ada''s no. 1')", [1, 10, 11]),
        ("artist = 'ada' AND attribute_type(prize, 'BOOL')", [0, 4, 8]),
        ("artist = 'ada' AND size(notes[1].deep) > 9", [10, 11]),
        ("artist = 'ada' AND notes[0] = 6", [6]),
        ("artist = 'ada' AND notes[1].deep = 'xx'", [2]),
        ("artist = 'ada' AND (song = 1 OR song = 2)", [1, 2]),
        ("artist = 'ada' AND (genre = 'jazz' OR song = 1) AND song < 3", [0, 1, 2]),
        ("artist = 'ada' AND tags = <<'t0', 'all'>>", [0, 3, 6, 9]),
        ("artist = 'nobody'", []),
        ("title = 'ada''s no. 3'", [3]),
        ("title IN ['ada''s no. 3', 'bob''s no. 3'] AND artist < 'b'", [3]),
    ],
)
def test_where(run, songs, where, expected):
    assert numbers(run(f"SELECT * FROM {{t}} WHERE {where}")) == list(expected)


def test_select_of_several_keys_in_pages_of_ten(run, songs):
    def pages(statement):
        reply = run(statement)
        read = [reply["Items"]]
        while "NextToken" in reply:
            assert len(reply["Items"]) <= 10
            reply = run(statement, NextToken=reply["NextToken"])
            read.append(reply["Items"])
        return [(item["artist"]["S"], int(item["song"]["N"])) for page in read for item in page]

    every = lambda *artists: [(artist, n) for artist in artists for n in range(12)]  # noqa: E731
    assert pages("SELECT * FROM {t} WHERE artist IN ['eve', 'ada']") == every("eve", "ada")
    assert pages("SELECT * FROM {t} WHERE artist = 'bob' OR artist = 'ada'") == every("bob", "ada")
    assert pages("SELECT * FROM {t} WHERE artist IN ['eve', 'ada'] ORDER BY artist") == every("ada", "eve")
    descending = pages("SELECT * FROM {t} WHERE artist IN ['ada', 'eve', 'nobody'] ORDER BY artist DESC, song DESC")
    assert descending == every("ada", "eve")[::-1]
    both = pages("SELECT * FROM {t} WHERE artist IN ['ada', 'eve'] AND song IN [4, 2]")
    assert both == [("ada", 2), ("ada", 4), ("eve", 2), ("eve", 4)]


def test_columns_are_shown_under_their_last_name(run, songs):
    where = "WHERE artist = 'ada' AND song = 4"
    for columns, expected in [
        ("title, prize", {"title": {"S": "ada's no. 4"}, "prize": {"BOOL": True}}),
        ('"title"', {"title": {"S": "ada's no. 4"}}),
        ("notes[1].deep", {"deep": {"S": "xxxx"}}),
        ("notes[0], nothing", {"notes[0]": {"N": "4"}}),
        ("nothing", {}),
    ]:
        assert run(f"SELECT {columns} FROM {{t}} {where}")["Items"] == [expected]


def test_order(run, songs):
    assert numbers(run("SELECT song FROM {t} WHERE artist = 'ada' ORDER BY song")) == list(range(12))
    assert numbers(run("SELECT song FROM {t} WHERE artist = 'ada' ORDER BY song DESC")) == list(range(12))[::-1]
    assert numbers(run("SELECT * FROM {t} WHERE artist = 'ada' ORDER BY song DESC", Limit=2)) == [11, 10]


def test_indexes(run, music, songs):
    years = 'FROM {t}."by-year" WHERE artist = \'bob\''
    assert numbers(run(f"SELECT * {years}")) == list(range(12))[::-1]
    assert numbers(run(f"SELECT * {years} AND year >= 1999 ORDER BY year DESC")) == [0, 1]
    assert run(f"SELECT * {years} AND year = 1999")["Items"] == [
        {"artist": {"S": "bob"}, "song": {"N": "1"}, "year": {"N": "1999"}}
    ]
    # A local index takes from the table what it lacks.
    assert run(f"SELECT title {years} AND year = 1999")["Items"] == [{"title": {"S": "bob's no. 1"}}]
    genres = 'FROM {t}."by-genre" WHERE genre = \'jazz\''
    found = run(f"SELECT * {genres} AND song = 4")["Items"]
    assert sorted(item["title"]["S"] for item in found) == [f"{artist}'s no. 4" for artist in ("ada", "bob", "eve")]
    assert all(set(item) == {"artist", "song", "genre", "title"} for item in found)
    assert len(run(f"SELECT * {genres} AND artist = 'ada'")["Items"]) == 6
    assert refusal(lambda: run(f"SELECT * {genres}", ConsistentRead=True)) == (
        "ValidationException",
        "Consistent reads are not supported on global secondary indexes",
    )
    assert refusal(lambda: run('SELECT * FROM {t}."nope"')) == (
        "ValidationException",
        "The table does not have the specified index: nope",
    )


@pytest.mark.parametrize("statement", ["SELECT * FROM {t}", "SELECT * FROM {t} WHERE artist = 'ada' AND song < 9"])
@pytest.mark.parametrize("limit", [1, 4, 100])
def test_pages_by_limit(run, songs, statement, limit):
    whole = run(statement)["Items"]
    read, reply = [], run(statement, Limit=limit)
    while True:
        assert len(reply["Items"]) <= limit
        read += reply["Items"]
        assert ("NextToken" in reply) == ("LastEvaluatedKey" in reply)
        if "NextToken" not in reply:
            break
        assert reply["LastEvaluatedKey"] == {name: read[-1][name] for name in ("artist", "song")}
        reply = run(statement, Limit=limit, NextToken=reply["NextToken"])
    assert read == whole


def test_limit_counts_what_is_looked_at(run, songs):
    reply = run("SELECT * FROM {t} WHERE artist = 'ada' AND prize = true", Limit=4)
    assert numbers(reply) == [0]
    assert "NextToken" in reply


def test_one_whole_key_has_no_next_page(run, songs):
    assert "NextToken" not in run("SELECT * FROM {t} WHERE artist = 'ada' AND song = 3", Limit=1)


def test_a_next_token_is_of_its_statement(run, songs):
    statement = "SELECT * FROM {t} WHERE artist = ?"
    token = run(statement, {"S": "ada"}, Limit=5)["NextToken"]
    assert numbers(run(statement, {"S": "ada"}, Limit=2, NextToken=token)) == [5, 6]
    for other, parameter in [(statement, "bob"), (statement + " AND song > 0", "ada")]:
        code, _ = refusal(lambda: run(other, {"S": parameter}, NextToken=token))
        assert code == "ValidationException"
    for broken in ["x", "AAAA", token[:-8], token[:20] + "AAAA" + token[24:]]:
        code, _ = refusal(lambda: run(statement, {"S": "ada"}, NextToken=broken))
        assert code == "ValidationException"


def test_insert(run, client, music):
    item = {
        "artist": {"S": "it's"},
        "song": {"N": "1"},
        "map": {"M": {"a": {"L": [{"N": "1.5"}, {"NULL": True}]}, "b c": {"S": "x"}}},
        "set": {"NS": ["-1", "2"]},
        "binary": {"B": b"\x00\xff"},
        "flag": {"BOOL": False},
        "long": {"N": "12345678901234567890123456789012345678"},
    }
    statement = (
        "INSERT INTO {t} VALUE {'artist': 'it''s', 'song': 1, 'map': {'a': [1.50, NULL], 'b c': 'x'}, "
        "'set': <<2, -1>>, 'binary': ?, 'flag': FALSE, 'long': 12345678901234567890123456789012345678}"
    )
    reply = run(statement, {"B": b"\x00\xff"})
    assert reply["Items"] == [] and "NextToken" not in reply
    stored = client.get_item(TableName=music, Key={"artist": {"S": "it's"}, "song": {"N": "1"}})["Item"]
    stored["set"]["NS"].sort()
    assert stored == item
    assert refusal(lambda: run(statement, {"B": b""})) == (
        "DuplicateItemException",
        "Duplicate primary key exists in table",
    )


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ("{'artist': 'a'}", "One or more parameter values were invalid: Missing the key song in the item"),
        (
            "{'artist': 'a', 'song': 'b'}",
            "One or more parameter values were invalid: Type mismatch for key song expected: N actual: S",
        ),
        (
            "{'artist': '', 'song': 1}",
            "One or more parameter values are not valid. The AttributeValue for a key attribute cannot contain an empty "
            "string value. Key: artist",
        ),
    ],
)
def test_an_item_to_insert_must_fit_the_table(run, value, message):
    assert refusal(lambda: run(f"INSERT INTO {{t}} VALUE {value}")) == ("ValidationException", message)


KEY = "WHERE artist = 'ada' AND song = 1"


@pytest.fixture
def one(run):
    """An item to change; gives what it is now."""
    run(
        "INSERT INTO {t} VALUE {'artist': 'ada', 'song': 1, 'n': 5, 'list': [1, 2], 'words': <<'a', 'b'>>, "
        "'map': {'x': 1, 'y': 2}}"
    )

    def now():
        [item] = run(f"SELECT * FROM {{t}} {KEY}", ConsistentRead=True)["Items"]
        return {name: value for name, value in item.items() if name not in ("artist", "song")}

    return now


@pytest.mark.parametrize(
    ("change", "attribute", "value"),
    [
        ("SET n = 6", "n", {"N": "6"}),
        ("SET n = n + 1.5", "n", {"N": "6.5"}),
        ("SET n = 10 - n - 1", "n", {"N": "4"}),
        ("SET m = n", "m", {"N": "5"}),
        ('SET "list" = list_append("list", [3])', "list", {"L": [{"N": "1"}, {"N": "2"}, {"N": "3"}]}),
        ('SET "list" = LIST_APPEND([0], "list")', "list", {"L": [{"N": "0"}, {"N": "1"}, {"N": "2"}]}),
        ('SET "list"[0] = \'x\'', "list", {"L": [{"S": "x"}, {"N": "2"}]}),
        ('REMOVE "list"[0]', "list", {"L": [{"N": "2"}]}),
        ("SET words = set_add(words, <<'b', 'c'>>)", "words", {"SS": ["a", "b", "c"]}),
        ("SET words = set_delete(words, <<'b', 'c'>>)", "words", {"SS": ["a"]}),
        ("SET words = set_delete(words, <<'a', 'b'>>)", "words", None),
        ("SET fresh = set_add(fresh, <<1>>)", "fresh", {"NS": ["1"]}),
        ("SET map.z = {'deep': [true]}", "map", {"M": {"x": {"N": "1"}, "y": {"N": "2"}, "z": {"M": {"deep": {"L": [{"BOOL": True}]}}}}}),
        ("REMOVE map.x", "map", {"M": {"y": {"N": "2"}}}),
        ("REMOVE n", "n", None),
        ("REMOVE nothing", "n", {"N": "5"}),
    ],
)
def test_update(run, one, change, attribute, value):
    before = one()
    assert run(f"UPDATE {{t}} {change} {KEY}")["Items"] == []
    after = one()
    for item in (before, after):
        for sets in item.values():
            sets.get("SS", []).sort()
    assert after.pop(attribute, None) == value
    before.pop(attribute, None)
    assert after == before


def test_update_of_several_attributes(run, one):
    run(f"UPDATE {{t}} SET n = n + 1 SET a = ?, b = n REMOVE map SET words = set_add(words, <<'c'>>) {KEY}", {"B": b"x"})
    after = one()
    assert (after["n"], after["a"], after["b"]) == ({"N": "6"}, {"B": b"x"}, {"N": "5"})
    assert "map" not in after and sorted(after["words"]["SS"]) == ["a", "b", "c"]


def test_what_an_update_returns(run, one):
    whole = {"artist", "song", "n", "list", "words", "map"}
    for number, (returning, names, n) in enumerate(
        [
            ("ALL OLD", whole, 0),
            ("ALL NEW", whole, 0),
            ("MODIFIED OLD", {"n"}, 0),
            ("MODIFIED NEW", {"n"}, 0),
        ]
    ):
        [item] = run(f"UPDATE {{t}} SET n = n + 1 {KEY} RETURNING {returning} *")["Items"]
        assert set(item) == names
        assert item["n"] == {"N": str(5 + number + ("NEW" in returning))}
    assert run(f"UPDATE {{t}} SET fresh = 1 {KEY} RETURNING MODIFIED OLD *")["Items"] == []


def test_an_update_is_of_an_item_that_is_there_and_meets_the_rest(run, one):
    failed = ("ConditionalCheckFailedException", "The conditional request failed")
    assert refusal(lambda: run("UPDATE {t} SET n = 1 WHERE artist = 'ada' AND song = 2")) == failed
    assert run("SELECT * FROM {t} WHERE artist = 'ada' AND song = 2")["Items"] == []
    assert refusal(lambda: run(f"UPDATE {{t}} SET n = 1 {KEY} AND n = 6")) == failed
    run(f"UPDATE {{t}} SET n = 1 {KEY} AND n = 5 AND contains(words, 'a')")
    assert one()["n"] == {"N": "1"}
    with pytest.raises(ClientError) as caught:
        run(f"UPDATE {{t}} SET n = 2 {KEY} AND n = 5", ReturnValuesOnConditionCheckFailure="ALL_OLD")
    assert caught.value.response["Item"]["n"] == {"N": "1"}


def test_an_update_cannot_change_a_key_or_what_is_not_there(run, one):
    assert refusal(lambda: run(f"UPDATE {{t}} SET song = 3 {KEY}")) == (
        "ValidationException",
        "One or more parameter values were invalid: Cannot update attribute song. This attribute is part of the key",
    )
    assert refusal(lambda: run(f"UPDATE {{t}} SET n = nothing + 1 {KEY}")) == (
        "ValidationException",
        "The provided expression refers to an attribute that does not exist in the item",
    )
    assert refusal(lambda: run(f"UPDATE {{t}} SET n = map + 1 {KEY}")) == (
        "ValidationException",
        "An operand in the update expression has an incorrect data type",
    )
    assert refusal(lambda: run(f"UPDATE {{t}} SET nothing.x = 1 {KEY}")) == (
        "ValidationException",
        "The document path provided in the update expression is invalid for update",
    )


def test_delete(run, one):
    failed = ("ConditionalCheckFailedException", "The conditional request failed")
    assert refusal(lambda: run(f"DELETE FROM {{t}} {KEY} AND n = 6")) == failed
    with pytest.raises(ClientError) as caught:
        run(f"DELETE FROM {{t}} {KEY} AND n = 6", ReturnValuesOnConditionCheckFailure="ALL_OLD")
    assert caught.value.response["Item"]["n"] == {"N": "5"}
    [old] = run(f"DELETE FROM {{t}} {KEY} AND n = 5 RETURNING ALL OLD *")["Items"]
    assert old["n"] == {"N": "5"} and old["artist"] == {"S": "ada"}
    # What is not there is deleted with success, whatever else is asked of it.
    assert run(f"DELETE FROM {{t}} {KEY}")["Items"] == []
    assert run(f"DELETE FROM {{t}} {KEY} AND n = 5 RETURNING ALL OLD *")["Items"] == []


KEY_WANTED = "Where clause does not contain a mandatory equality on all key attributes"


@pytest.mark.parametrize("where", ["", "WHERE artist = 'a'", "WHERE artist = 'a' AND song > 1", "WHERE artist = 'a' OR song = 1"])
@pytest.mark.parametrize("statement", ["UPDATE {t} SET n = 1", "DELETE FROM {t}"])
def test_a_write_needs_the_whole_key(run, statement, where):
    assert refusal(lambda: run(f"{statement} {where}")) == ("ValidationException", KEY_WANTED)


@pytest.mark.parametrize(
    ("statement", "message"),
    [
        ("TRUNCATE {t}", "Statement wasn't well formed, can't be processed: Expected data manipulation"),
        ("SELECT * FROM {t} WHERE user = 'x'", "Statement wasn't well formed, can't be processed: Unexpected keyword"),
        ("SELECT COUNT(*) FROM {t}", "Unexpected path component at 1:8:5"),
        ("SELECT * FROM {t} ORDER BY song", "Must have WHERE clause in the statement when using ORDER BY clause."),
        (
            "SELECT * FROM {t} WHERE song = 1 ORDER BY song",
            "Must have at least one non-optional hash key condition in WHERE clause when using ORDER BY clause.",
        ),
        (
            "SELECT * FROM {t} WHERE artist = 'a' ORDER BY title",
            "Variable reference title in ORDER BY clause must be part of the primary key",
        ),
        ("SELECT * FROM {t} WHERE artist = ?", "Number of parameters in request and statement don't match."),
        (
            "SELECT * FROM {t} WHERE artist = 1",
            "One or more parameter values were invalid: Condition parameter type does not match schema type",
        ),
        ("DELETE FROM {t} WHERE artist = 1 AND song = 1", "The provided key element does not match the schema"),
        ("EXISTS(SELECT * FROM {t} WHERE artist = 'a' AND song = 1)", "The EXISTS function can only be used in transactions"),
    ],
)
def test_refusals(run, statement, message):
    assert refusal(lambda: run(statement)) == ("ValidationException", message)


def test_a_table_that_is_not_there(client):
    assert refusal(lambda: client.execute_statement(Statement='SELECT * FROM "no-such-table"')) == (
        "ResourceNotFoundException",
        "Requested resource not found",
    )


def test_limits_of_the_request(client, run):
    code, message = refusal(lambda: run("SELECT * FROM {t} WHERE a = '" + "x" * 8192 + "'"))
    assert code == "ValidationException" and "less than or equal to 8192" in message
    code, message = refusal(lambda: client.batch_execute_statement(Statements=[{"Statement": "x"}] * 26))
    assert code == "ValidationException" and "less than or equal to 25" in message
    code, message = refusal(lambda: client.execute_transaction(TransactStatements=[{"Statement": "x"}] * 101))
    assert code == "ValidationException" and "less than or equal to 100" in message


def test_consumed_capacity(run, music, one):
    def units(statement, **more):
        return run(statement, ReturnConsumedCapacity="TOTAL", **more)["ConsumedCapacity"]

    assert units(f"SELECT * FROM {{t}} {KEY}") == {"TableName": music, "CapacityUnits": 0.5}
    assert units(f"SELECT * FROM {{t}} {KEY}", ConsistentRead=True)["CapacityUnits"] == 1
    assert units("SELECT * FROM {t}")["CapacityUnits"] == 0.5
    assert units(f"UPDATE {{t}} SET n = 1 {KEY}")["CapacityUnits"] == 1
    assert units("INSERT INTO {t} VALUE {'artist': 'x', 'song': 1, 'genre': 'y'}")["CapacityUnits"] == 2
    by_index = run("SELECT * FROM {t}.\"by-genre\" WHERE genre = 'y'", ReturnConsumedCapacity="INDEXES")
    assert by_index["ConsumedCapacity"]["GlobalSecondaryIndexes"] == {"by-genre": {"CapacityUnits": 0.5}}
    assert units("DELETE FROM {t} WHERE artist = 'x' AND song = 1")["CapacityUnits"] == 2


def statements(music, *list_):
    """(statement, parameter, …) or a statement alone, {t} being the table."""
    made = []
    for entry in list_:
        text, *parameters = entry if isinstance(entry, tuple) else (entry,)
        made.append({"Statement": text.replace("{t}", f'"{music}"'), **({"Parameters": parameters} if parameters else {})})
    return made


def test_batch_of_reads(client, music, songs):
    reply = client.batch_execute_statement(
        Statements=statements(
            music,
            ("SELECT * FROM {t} WHERE artist = ? AND song = ?", {"S": "ada"}, {"N": "3"}),
            "SELECT title, notes[0] FROM {t} WHERE artist = 'bob' AND song = 4",
            "SELECT * FROM {t} WHERE artist = 'nobody' AND song = 4",
            "SELECT * FROM {t} WHERE artist = 'ada' AND song = 4 AND prize = true",
            "SELECT * FROM {t} WHERE artist = 'ada' AND song = 4 AND prize = false",
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
    assert [one["CapacityUnits"] for one in reply["ConsumedCapacity"]] == [0.5] * 5


def test_batch_of_writes(client, music, one):
    reply = client.batch_execute_statement(
        Statements=[
            *statements(
                music,
                "INSERT INTO {t} VALUE {'artist': 'bob', 'song': 1}",
                "INSERT INTO {t} VALUE {'artist': 'ada', 'song': 1}",
                f"UPDATE {{t}} SET n = n + 1 {KEY} RETURNING ALL NEW *",
                f"UPDATE {{t}} SET n = n + 1 {KEY} AND n = 6",
                f"UPDATE {{t}} SET n = 0 {KEY} AND n = 6",
                "DELETE FROM {t} WHERE artist = 'nobody' AND song = 1",
                "UPDATE {t} SET n = 0 WHERE artist = 'ada'",
            ),
            {
                "Statement": f'DELETE FROM "{music}" {KEY} AND n = 1',
                "ReturnValuesOnConditionCheckFailure": "ALL_OLD",
            },
        ]
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
    assert got[7]["Error"]["Item"]["n"] == {"N": "7"}
    assert one()["n"] == {"N": "7"}


MIXED = "The entire request must consist of either read statements or write statements, you cannot mix both"


def test_reads_and_writes_do_not_mix(client, music, one):
    both = statements(music, f"SELECT * FROM {{t}} {KEY}", f"DELETE FROM {{t}} {KEY}")
    assert refusal(lambda: client.batch_execute_statement(Statements=both)) == ("ValidationException", MIXED)
    assert refusal(lambda: client.execute_transaction(TransactStatements=both)) == ("ValidationException", MIXED)
    assert one()["n"] == {"N": "5"}


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
    assert reply["Responses"] == [{}, {}, {}]
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


def test_the_guides_own_examples(client, make_table, name):
    """From the developer guide's pages on PartiQL."""
    table = make_table("primarykey", name=f"{name}-types")
    run = lambda statement: client.execute_statement(Statement=statement.replace("TypesTable", f'"{table}"'))  # noqa: E731
    run("""INSERT INTO TypesTable value {'primarykey':'1',
        'NumberType':1,
        'MapType' : {'entryname1': 'value', 'entryname2': 4},
        'ListType': [1,'stringval'],
        'NumberSetType':<<1,34,32,4.5>>,
        'StringSetType':<<'stringval','stringval2'>>
        }""")
    run("""UPDATE TypesTable
        SET NumberType=NumberType + 100
        SET MapType.NewMapEntry=[2020, 'stringvalue', 2.4]
        SET ListType = LIST_APPEND(ListType, [4, <<'string1', 'string2'>>])
        SET NumberSetType= SET_ADD(NumberSetType, <<345, 48.4>>)
        SET StringSetType = SET_ADD(StringSetType, <<'stringsetvalue1', 'stringsetvalue2'>>)
        WHERE primarykey='1'""")
    run("""UPDATE TypesTable
        SET NumberType=NumberType - 1
        REMOVE ListType[1]
        REMOVE MapType.NewMapEntry
        SET NumberSetType = SET_DELETE( NumberSetType, <<345>>)
        SET StringSetType = SET_DELETE( StringSetType, <<'stringsetvalue1'>>)
        WHERE primarykey='1'""")
    [item] = run("SELECT * FROM TypesTable WHERE primarykey='1'")["Items"]
    assert item["NumberType"] == {"N": "100"}
    assert item["MapType"] == {"M": {"entryname1": {"S": "value"}, "entryname2": {"N": "4"}}}
    assert item["ListType"]["L"][:2] == [{"N": "1"}, {"N": "4"}]
    assert sorted(item["ListType"]["L"][2]["SS"]) == ["string1", "string2"]
    assert sorted(item["NumberSetType"]["NS"], key=float) == ["1", "4.5", "32", "34", "48.4"]
    assert sorted(item["StringSetType"]["SS"]) == ["stringsetvalue2", "stringval", "stringval2"]
