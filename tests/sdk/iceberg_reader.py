"""Reads an Iceberg table by PyIceberg, in an environment of its own: for each line of the standard input, which is a folder, or JSON that
names a table of a REST catalogue (`uri`, `token`, `namespace`, `table`), prints a line of JSON with the current snapshot's number, its
summary, its columns and its rows."""

import decimal
import json
import sys
from pathlib import Path

from pyiceberg.catalog.rest import RestCatalog
from pyiceberg.io.pyarrow import PyArrowFileIO
from pyiceberg.table import StaticTable

FILES = {"py-io-impl": f"{PyArrowFileIO.__module__}.PyArrowFileIO"}


def opened(place):
    if place.startswith("{"):
        told = json.loads(place)
        catalogue = RestCatalog("rest", uri=told["uri"], token=told["token"], **FILES)
        return catalogue.load_table((*told["namespace"].split("."), told["table"]))
    return StaticTable.from_metadata(f"{place}/metadata/v{Path(place, 'metadata/version-hint.text').read_text()}.metadata.json", FILES)


def read(place):
    table = opened(place)
    snapshot = table.current_snapshot()
    rows = table.scan().to_arrow().to_pylist()
    for row in rows:
        row["_key"] = row["_key"].hex()
    return {
        "sequence": snapshot.sequence_number,
        "operation": snapshot.summary.operation.value,
        "summary": snapshot.summary.additional_properties,
        "snapshots": len(table.metadata.snapshots),
        "schemas": len(table.metadata.schemas),
        "metadata": table.metadata_location,
        "columns": [(field.name, str(field.field_type)) for field in table.schema().fields],
        "docs": {field.name: field.doc for field in table.schema().fields if field.doc},
        "rows": rows,
    }


def value(value):
    return {"decimal": str(value)} if isinstance(value, decimal.Decimal) else value.hex()


for line in sys.stdin:
    try:
        answer = read(line.strip())
    except Exception as error:  # a table that is not there yet, or that moves on under the reader
        answer = {"error": f"{type(error).__name__}: {error}"}
    print(json.dumps(answer, default=value), flush=True)
