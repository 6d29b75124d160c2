"""Reads an Iceberg table by DuckDB, in an environment of its own: for each line of the standard input, a metadata file, prints a line of
JSON with the table's columns and rows."""

import decimal
import json
import sys

import duckdb
from duckdb_extensions import import_extension

import_extension("avro")
import_extension("iceberg")
CONNECTION = duckdb.connect()
CONNECTION.execute("LOAD iceberg")


def read(place):
    found = CONNECTION.execute("SELECT * FROM iceberg_scan(?)", [place])
    columns = [(column[0], str(column[1])) for column in found.description]
    rows = [dict(zip((name for name, _ in columns), row)) for row in found.fetchall()]
    return {"columns": columns, "rows": rows}


def value(value):
    return {"decimal": str(value)} if isinstance(value, decimal.Decimal) else value.hex()


for line in sys.stdin:
    try:
        answer = read(line.strip())
    except Exception as error:
        answer = {"error": f"{type(error).__name__}: {error}"}
    print(json.dumps(answer, default=value), flush=True)
