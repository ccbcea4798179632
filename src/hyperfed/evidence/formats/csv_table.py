"""Write and read CSV: one row for each edge, with the columns of bnlearn's `bn.strength` first.

1. A file of R's `write.csv` is read as it is, with or without its column of row names.
2. A name that a spreadsheet would take for a formula gets an apostrophe before it, which the reader
   takes off again. Source: OWASP, CSV Injection.
"""

import csv
import io
import re
from collections.abc import Mapping
from dataclasses import fields
from typing import Any

from hyperfed.errors import SchemaError
from hyperfed.evidence.table import EdgeEvidence, EvidenceRow

__all__ = ["COLUMNS", "decode", "encode", "plain_cells"]

COLUMNS = ("from", "to", *(field.name for field in fields(EvidenceRow)[2:]))
_FORMULA = tuple("=+-@\t\r\n")
_GUARDED = re.compile(r"'+[=+@\t\r\n-]")
_NAMES = ("from", "to")


def plain_cells(row: Mapping[str, Any]) -> dict[str, Any]:
    """Return a row whose texts no spreadsheet takes for a formula."""
    return {
        name: f"'{value}" if isinstance(value, str) and value.startswith(_FORMULA) else value
        for name, value in row.items()
    }


def encode(table: EdgeEvidence) -> bytes:
    """Return the edges as CSV."""
    stream = io.StringIO()
    writer = csv.DictWriter(stream, COLUMNS, lineterminator="\n")
    writer.writeheader()
    for row in table.rows:
        writer.writerow({name: _guarded(value) for name, value in row.known.items()})
    return stream.getvalue().encode()


def decode(data: bytes) -> EdgeEvidence:
    """Return the edges of a CSV file. Raises SchemaError where it has no columns from and to."""
    reader = csv.DictReader(io.StringIO(data.decode("utf-8-sig"), newline=""), strict=True)
    if not set(_NAMES) <= set(reader.fieldnames or ()):
        raise SchemaError("has no columns from and to", subject="csv file")
    return EdgeEvidence.of_rows(EvidenceRow.of(_bare(row)) for row in reader)


def _guarded(value: Any) -> Any:
    """Return a text as no formula; one that looks guarded already is guarded again."""
    return f"'{value}" if isinstance(value, str) and _GUARDED.match(f"'{value}") else value


def _bare(row: Mapping[str, Any]) -> dict[str, Any]:
    """Return a row as it was before `_guarded`; NA, R's word, is not known."""
    bare = {}
    for name, value in row.items():
        text = value if isinstance(value, str) else ""
        if _GUARDED.match(text):
            text = text[1:]
        bare[name] = "" if text == "NA" and name not in _NAMES else text
    return bare
