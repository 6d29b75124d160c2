"""ExecuteStatement: SELECT."""

import pytest

from .songs import numbers, refusal


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
        "Strongly consistent read is not supported on Global Secondary Indexes",
    )
    assert refusal(lambda: run('SELECT * FROM {t}."nope"')) == (
        "ValidationException",
        "The table does not have the specified index",
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
        refused = refusal(lambda: run(other, {"S": parameter}, NextToken=token))
        assert refused == ("ValidationException", "NextToken does not match request")
    for broken in ["x", "AAAA", token[:-8], token[:20] + "AAAA" + token[24:]]:
        code, message = refusal(lambda: run(statement, {"S": "ada"}, NextToken=broken))
        assert code == "ValidationException" and message in ("Invalid NextToken", "NextToken does not match request")


def test_pages_of_a_megabyte(run, client, music):
    for number in range(5):
        client.put_item(
            TableName=music,
            Item={"artist": {"S": "big"}, "song": {"N": str(number)}, "data": {"B": bytes(300 * 1024)}},
        )
    for statement in ("SELECT song FROM {t}", "SELECT song FROM {t} WHERE artist = 'big'"):
        first = run(statement)
        assert numbers(first) == [0, 1, 2, 3]
        rest = run(statement, NextToken=first["NextToken"])
        assert numbers(rest) == [4] and "NextToken" not in rest


def test_indexes_show_and_filter_by_what_they_have(run, songs):
    """As a Query of the index does."""
    genres = 'FROM {t}."by-genre" WHERE genre = \'jazz\''
    assert refusal(lambda: run(f"SELECT year {genres}"))[0] == "ValidationException"
    assert refusal(lambda: run(f"SELECT * {genres} AND year = 2000"))[0] == "ValidationException"


def test_parameters_as_python_values(dev, music, songs):
    """By boto3's resource, whose client turns Python's values into attribute values."""
    reply = dev.resource().meta.client.execute_statement(
        Statement=f'SELECT title, song FROM "{music}" WHERE artist = ? AND song BETWEEN ? AND ?', Parameters=["ada", 3, 4]
    )
    assert reply["Items"] == [{"title": f"ada's no. {number}", "song": number} for number in (3, 4)]


def test_a_table_by_its_arn(run, client, music, songs):
    arn = client.describe_table(TableName=music)["Table"]["TableArn"]
    found = client.execute_statement(Statement=f"SELECT * FROM \"{arn}\" WHERE artist = 'ada' AND song = 3")
    assert numbers(found) == [3]
