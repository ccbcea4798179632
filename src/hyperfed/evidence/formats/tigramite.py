"""Write and read the arrays of tigramite's results, in one .npz file without pickle.

1. `graph[i, j, lag]` is the link from variable i, `lag` steps ago, to variable j, as text; at lag 0
   both (i, j) and (j, i) are there. `val_matrix` has the effect, `q_matrix` the q-value (1 where it
   is not known), `names` the variables.
2. tigramite's own results have `p_matrix` and partial correlations there; ours are the federation's
   effects, in the units of the vocabulary.
"""

import io
import zipfile

import numpy as np

from hyperfed.errors import ConfigError, SchemaError
from hyperfed.evidence.names import turned
from hyperfed.evidence.table import MARKS, EdgeEvidence, EvidenceRow

__all__ = ["decode", "encode"]

_MOST_CELLS = 50_000_000


def encode(table: EdgeEvidence) -> bytes:
    """Return the arrays as an .npz file. Raises ConfigError where they would be very large."""
    index = {name: i for i, name in enumerate(table.variables)}
    longest = max((row.lag for row in table.pairs), default=0)
    shape = (len(index), len(index), longest + 1)
    if np.prod(shape, dtype=np.float64) > _MOST_CELLS:
        raise ConfigError(
            f"would have {shape[0]} x {shape[1]} x {shape[2]} cells",
            subject="tigramite arrays",
            remedy="Export to a format that lists edges, such as parquet",
        )
    graph, value, q = np.full(shape, "", "<U3"), np.zeros(shape), np.ones(shape)
    for row in table.pairs:
        at = (index[row.source], index[row.target], row.lag)
        cells = [(at, row.endpoints)]
        if row.lag == 0:
            cells.append(((at[1], at[0], 0), turned(row.endpoints)))
        for cell, marks in cells:
            graph[cell] = marks
            value[cell] = 0.0 if row.effect is None else row.effect
            q[cell] = 1.0 if row.q is None else row.q
    stream = io.BytesIO()
    names = np.array(table.variables, dtype=str)
    np.savez_compressed(stream, graph=graph, val_matrix=value, q_matrix=q, names=names)
    return stream.getvalue()


def decode(data: bytes) -> EdgeEvidence:
    """Return the links of an .npz file with `graph` and `names`; numbers where they are there."""
    try:
        with np.load(io.BytesIO(data), allow_pickle=False) as arrays:
            held = {name: arrays[name] for name in arrays.files}
    except (zipfile.BadZipFile, OSError, EOFError) as exc:
        raise SchemaError("is no .npz file", subject="tigramite file") from exc
    graph, names = held["graph"], tuple(map(str, held["names"].tolist()))
    if graph.ndim != 3 or graph.shape[:2] != (len(names), len(names)):
        raise SchemaError(
            f"graph has the shape {graph.shape}; [variables, variables, lags] is needed",
            subject="tigramite file",
        )
    rows = []
    for i, j, lag in np.argwhere(graph != "").tolist():
        marks = str(graph[i, j, lag]).replace("x", "o")  # x: tests disagree about the mark
        if marks not in MARKS:
            raise SchemaError(f"has the link {marks!r:.20}", subject="tigramite file")
        if lag == 0 and j < i and graph[j, i, 0] != "":
            continue  # told from the other end
        values = {
            field: float(held[name][i, j, lag])
            for field, name in (("effect", "val_matrix"), ("q", "q_matrix"))
            if name in held
        }
        ends = {"from": names[i], "to": names[j]}
        if marks in ("<--", "<-o"):
            ends, marks = {"from": names[j], "to": names[i]}, turned(marks)
        rows.append(EvidenceRow.of({**ends, "lag": lag, "endpoints": marks, **values}))
    return EdgeEvidence.of_rows(iter(rows), names)
