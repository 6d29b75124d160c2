"""ExecuteStatement: INSERT, UPDATE, DELETE; and what is refused."""

import pytest
from botocore.exceptions import ClientError

from .songs import KEY, KEY_WANTED, refusal


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
    # Half a unit for each of the four partitions of a table on demand.
    assert units("SELECT * FROM {t}")["CapacityUnits"] == 2
    assert units(f"UPDATE {{t}} SET n = 1 {KEY}")["CapacityUnits"] == 1
    assert units("INSERT INTO {t} VALUE {'artist': 'x', 'song': 1, 'genre': 'y'}")["CapacityUnits"] == 2
    by_index = run("SELECT * FROM {t}.\"by-genre\" WHERE genre = 'y'", ReturnConsumedCapacity="INDEXES")
    assert by_index["ConsumedCapacity"]["GlobalSecondaryIndexes"] == {"by-genre": {"CapacityUnits": 0.5}}
    assert units("DELETE FROM {t} WHERE artist = 'x' AND song = 1")["CapacityUnits"] == 2


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
