"""Reads an Iceberg table by PyIceberg, in an environment of its own: for each line of the standard input, a folder or a metadata file,
prints a line of JSON with the current snapshot's number, its summary, and its rows."""

import json
import sys
from pathlib import Path

from pyiceberg.io.pyarrow import PyArrowFileIO
from pyiceberg.table import StaticTable


def read(place):
    location = f"{place}/metadata/v{Path(place, 'metadata/version-hint.text').read_text()}.metadata.json"
    table = StaticTable.from_metadata(location, {"py-io-impl": f"{PyArrowFileIO.__module__}.PyArrowFileIO"})
    snapshot = table.current_snapshot()
    rows = table.scan().to_arrow().to_pylist()
    for row in rows:
        row["_key"] = row["_key"].hex()
    return {
        "sequence": snapshot.sequence_number,
        "operation": snapshot.summary.operation.value,
        "summary": snapshot.summary.additional_properties,
        "snapshots": len(table.metadata.snapshots),
        "columns": [(field.name, str(field.field_type)) for field in table.schema().fields],
        "rows": rows,
    }


for line in sys.stdin:
    try:
        answer = read(line.strip())
    except Exception as error:  # a table that is not there yet, or that moves on under the reader
        answer = {"error": f"{type(error).__name__}: {error}"}
    print(json.dumps(answer, default=lambda value: value.hex()), flush=True)
