"""What the tests of PartiQL are about, and how they say it."""

import pytest
from botocore.exceptions import ClientError

KEY = "WHERE artist = 'ada' AND song = 1"
KEY_WANTED = "Where clause does not contain a mandatory equality on all key attributes"


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


def statements(music, *list_):
    """(statement, parameter, …) or a statement alone, {t} being the table."""
    made = []
    for entry in list_:
        text, *parameters = entry if isinstance(entry, tuple) else (entry,)
        made.append({"Statement": text.replace("{t}", f'"{music}"'), **({"Parameters": parameters} if parameters else {})})
    return made
