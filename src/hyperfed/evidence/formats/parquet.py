"""Write and read Parquet: the columns of the CSV file with their types.

The variables are in its metadata.
"""

import io
import json

from hyperfed.evidence.formats.csv_table import COLUMNS
from hyperfed.evidence.table import EdgeEvidence, EvidenceRow
from hyperfed.hypergraph.frames import library_named

__all__ = ["decode", "encode"]

_TEXTS = ("from", "to", "endpoints", "status", "engine", "version")
_COUNTS = ("lag", "support", "measured", "positive", "negative", "samples")
_KEY = b"hyperfed.variables"


def encode(table: EdgeEvidence) -> bytes:
    """Return the edges as a Parquet file. Raises ConfigError where pyarrow is not installed."""
    arrow = library_named("pyarrow", "parquet")
    parquet = library_named("pyarrow.parquet", "parquet")
    known = [row.known for row in table.rows]
    kinds = {
        name: arrow.string()
        if name in _TEXTS
        else arrow.int64()
        if name in _COUNTS
        else arrow.float64()
        for name in COLUMNS
    }
    columns = {
        name: arrow.array([row.get(name) for row in known], type=kind)
        for name, kind in kinds.items()
    }
    frame = arrow.table(columns).replace_schema_metadata({_KEY: json.dumps(table.variables)})
    stream = io.BytesIO()
    parquet.write_table(frame, stream)
    return stream.getvalue()


def decode(data: bytes) -> EdgeEvidence:
    """Return the edges of a Parquet file. Raises ConfigError where pyarrow is not installed."""
    parquet = library_named("pyarrow.parquet", "parquet")
    frame = parquet.read_table(io.BytesIO(data))
    named = (frame.schema.metadata or {}).get(_KEY, b"[]")
    return EdgeEvidence.of_rows(
        (EvidenceRow.of(row) for row in frame.to_pylist()), tuple(json.loads(named))
    )
