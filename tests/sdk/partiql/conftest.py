"""A table of songs, and statements on it."""

import pytest
from conftest import key_schema

from .songs import KEY, song


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
