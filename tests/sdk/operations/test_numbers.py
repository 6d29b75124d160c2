"""Numbers: 38 digits, ±1E-130 to ±9.99…E+125, one normal form."""

import pytest

from .wire import invalid, n, s

NINES = "9" * 38
MALFORMED = "The parameter cannot be converted to a numeric value"
OVERFLOW = "Number overflow. Attempting to store a number with magnitude larger than supported range"
UNDERFLOW = "Number underflow. Attempting to store a number with magnitude smaller than supported range"
DIGITS = "Attempting to store more than 38 significant digits in a Number"


@pytest.mark.parametrize(
    ("given", "normal"),
    [
        ("0", "0"),
        ("-0", "0"),
        ("0.000", "0"),
        ("0E+200", "0"),
        ("007", "7"),
        ("+7", "7"),
        ("7.", "7"),
        (".5", "0.5"),
        ("-.50", "-0.5"),
        ("1.50", "1.5"),
        ("100", "100"),
        ("1e2", "100"),
        ("1E+2", "100"),
        ("12e-1", "1.2"),
        ("1E-10", "0.0000000001"),
        (NINES, NINES),
        (f"-{NINES}", f"-{NINES}"),
        (f"0.{NINES}", f"0.{NINES}"),
        ("000" + NINES + ".000", NINES),
        ("1" + "0" * 37, "1" + "0" * 37),
        # Plain digits, always. (Python's resource refuses to read so many; its client takes them as they are.)
        ("1E38", "1" + "0" * 38),
        ("1.00000000000000007629769841092E+50", "100000000000000007629769841092" + "0" * 21),
        ("1E+100", "1" + "0" * 100),
        ("1e125", "1" + "0" * 125),
        ("9." + "9" * 37 + "E+125", NINES + "0" * 88),
        ("-9." + "9" * 37 + "E125", "-" + NINES + "0" * 88),
    ],
)
def test_a_number_comes_back_in_normal_form(wire, plain, pk, given, normal):
    wire("PutItem", TableName=plain, Item={"pk": s(pk), "n": n(given), "set": {"NS": [given]}})
    item = wire("GetItem", TableName=plain, Key={"pk": s(pk)})["Item"]
    assert (item["n"], item["set"]) == (n(normal), {"NS": [normal]})


def test_the_smallest_magnitudes_are_exact(wire, plain, pk):
    for text in ("1E-130", "-1E-130", "0." + "0" * 129 + "1"):
        wire("PutItem", TableName=plain, Item={"pk": s(pk), "n": n(text)})
        condition = {"ConditionExpression": "n = :n", "ExpressionAttributeValues": {":n": n(text)}}
        wire("DeleteItem", TableName=plain, Key={"pk": s(pk)}, **condition)


REFUSED = [
    ("", MALFORMED),
    ("abc", f"{MALFORMED}: abc"),
    (" 1", f"{MALFORMED}:  1"),
    ("1 ", f"{MALFORMED}: 1 "),
    ("1,5", f"{MALFORMED}: 1,5"),
    ("--1", f"{MALFORMED}: --1"),
    ("1e", f"{MALFORMED}: 1e"),
    ("0x10", f"{MALFORMED}: 0x10"),
    ("NaN", f"{MALFORMED}: NaN"),
    ("Infinity", f"{MALFORMED}: Infinity"),
    ("1_000", f"{MALFORMED}: 1_000"),
    ("1E126", OVERFLOW),
    ("-1E126", OVERFLOW),
    ("1" + "0" * 126, OVERFLOW),
    ("1E999999999999999999999", OVERFLOW),
    ("1E-131", UNDERFLOW),
    ("-1E-131", UNDERFLOW),
    ("1E-999999999999999999999", UNDERFLOW),
    ("1" + "0" * 37 + "1", DIGITS),
    ("1." + "0" * 37 + "1", DIGITS),
    (NINES + "9", DIGITS),
    (NINES + ".9", DIGITS),
]


@pytest.mark.parametrize(("text", "says"), REFUSED)
def test_what_is_no_number_is_refused(wire, plain, pk, text, says):
    for value in (n(text), {"NS": [text]}, {"L": [{"M": {"deep": n(text)}}]}):
        refused = wire.refusal("PutItem", TableName=plain, Item={"pk": s(pk), "v": value})
        assert refused == invalid(says), value
    refused = wire.refusal(
        "UpdateItem",
        TableName=plain,
        Key={"pk": s(pk)},
        UpdateExpression="SET n = :n",
        ExpressionAttributeValues={":n": n(text)},
    )
    assert refused == invalid(f"ExpressionAttributeValues contains invalid value: {says} for key :n")
    assert "Item" not in wire("GetItem", TableName=plain, Key={"pk": s(pk)})


def test_numbers_that_are_equal_are_one_key(wire, numbered, pk):
    for text in ("1", "1.0", "10E-1", "+1"):
        wire("PutItem", TableName=numbered, Item={"pk": s(pk), "sk": n(text), "as": s(text)})
    page = wire("Query", TableName=numbered, KeyConditionExpression="pk = :p", ExpressionAttributeValues={":p": s(pk)})
    assert page["Items"] == [{"pk": s(pk), "sk": n(1), "as": s("+1")}]


def test_numbers_are_sorted_by_value(wire, numbered, pk):
    ordered = ["-9E+125", "-10.5", "-10", "-1E-130", "0", "1E-130", "0.05", "0.5", "3", "20", "100", "9E+125"]
    for text in sorted(ordered):
        wire("PutItem", TableName=numbered, Item={"pk": s(pk), "sk": n(text), "as": s(text)})
    page = wire("Query", TableName=numbered, KeyConditionExpression="pk = :p", ExpressionAttributeValues={":p": s(pk)})
    assert [item["as"]["S"] for item in page["Items"]] == ordered


@pytest.mark.parametrize(
    ("before", "expression", "value", "expect"),
    [
        ("0.1", "SET n = n + :v", "0.2", "0.3"),
        ("1", "SET n = n - :v", "1", "0"),
        ("1", "SET n = :v - n", "-1", "-2"),
        (NINES, "SET n = n - :v", "1", NINES[:-1] + "8"),
        ("1E+37", "SET n = n + :v", "1", "1" + "0" * 36 + "1"),
        ("5", "ADD n :v", "-7.5", "-2.5"),
        ("9E+125", "SET n = n + :v", "1E+125", OVERFLOW),
        ("-9E+125", "ADD n :v", "-1E+125", OVERFLOW),
        # These would have more than 38 digits.
        ("1E+38", "SET n = n + :v", "1", OVERFLOW),
        ("1E+50", "SET n = n - :v", "1", OVERFLOW),
        ("1", "ADD n :v", "1E-40", OVERFLOW),
    ],
)
def test_arithmetic_is_exact(wire, plain, pk, before, expression, value, expect):
    wire("PutItem", TableName=plain, Item={"pk": s(pk), "n": n(before)})
    update = dict(
        TableName=plain,
        Key={"pk": s(pk)},
        UpdateExpression=expression,
        ExpressionAttributeValues={":v": n(value)},
        ReturnValues="UPDATED_NEW",
    )
    if expect in (OVERFLOW, DIGITS):
        assert wire.refusal("UpdateItem", **update) == invalid(expect)
    else:
        assert wire("UpdateItem", **update)["Attributes"] == {"n": n(expect)}
