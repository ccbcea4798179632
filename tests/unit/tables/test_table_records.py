"""Tables as records: a column of another type, length, order or value is refused, and what refuses
it names the table.
"""

import struct
import tracemalloc
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from hyperfed.codec import PayloadCodec, pack, to_record
from hyperfed.codec.versions import lowered
from hyperfed.errors import BoundsError, PacketError
from hyperfed.packets import Update
from hyperfed.tables.hyperedges import HyperedgeTable
from hyperfed.tables.tables import EdgeTable
from tests.unit.codec.documents import document, edges, hyperedges, refused


def column(dtype: str, values: Any) -> list[Any]:
    return [dtype, np.array(values, dtype=dtype).tobytes()]


EDGE_RECORD = to_record(edges(rows=2))
BAD_COLUMNS: dict[str, dict[str, Any]] = {
    "another integer": {"source": column("<u8", [0, 1])},
    "a signed one": {"source": column("<i4", [0, 1])},
    "a float for an index": {"source": column("<f8", [0, 1])},
    "big-endian": {"source": column(">u4", [0, 1])},
    "an object": {"source": ["|O", b"\0" * 16]},
    "a structure": {"source": ["<u4,<u4", b"\0" * 16]},
    "no dtype": {"source": [None, b"\0" * 8]},
    "half a value": {"source": ["<u4", b"\0" * 7]},
    "one row less": {"hits": column("<u4", [1])},
    "a list": {"source": [0, 1]},
    "three parts": {"source": ["<u4", b"\0" * 8, b""]},
    "no column": {"source": None},
    "mixed floats": {"confidence": column("<f4", [0.5, 0.5])},
    "nan": {"effect": column("<f8", [float("nan"), 0])},
    "infinite": {"effect": column("<f8", [float("inf"), 0])},
    "-0.0": {"effect": column("<f8", [-0.0, 0])},
    "confidence above 1": {"confidence": column("<f8", [1.5, 0])},
    "stability below 0": {"stability": column("<f8", [-0.5, 0])},
    "only one end": {"ci_low": None},
    "an interval beside its effect": {"ci_low": column("<f8", [1.0, 1.0])},
    "an interval upside down": {"ci_low": EDGE_RECORD["ci_high"], "ci_high": EDGE_RECORD["ci_low"]},
    "out of order": {"source": column("<u4", [1, 0])},
    "an edge twice": {
        "source": column("<u4", [0, 0]),
        "target": column("<u4", [1, 1]),
        "lag": column("<u2", [1, 1]),
    },
    "itself, at once": {
        "source": column("<u4", [0, 1]),
        "target": column("<u4", [0, 2]),
        "lag": column("<u2", [0, 1]),
    },
    "an index beyond all": {"source": column("<u4", [0, 1 << 24])},
    "more samples than sums can hold": {"n": column("<u8", [1, 2**64 - 1])},
}


@pytest.mark.parametrize("name", BAD_COLUMNS)
def test_a_bad_column_is_refused(name: str) -> None:
    good = document(kind="EdgeTable", payload=pack(EDGE_RECORD))
    assert PayloadCodec().decode(good, EdgeTable) == edges(rows=2)
    bad = document(kind="EdgeTable", payload=pack(EDGE_RECORD | BAD_COLUMNS[name]))
    assert (
        "edges" in (error := refused(bad, EdgeTable)).subject.lower()
        or "EdgeTable" in error.subject
    )


def test_a_float_that_overflows_its_column_is_refused_without_a_warning() -> None:
    """A float64 of 1e300 in a table of float32 columns becomes infinite in the cast: an error with
    its row, no RuntimeWarning. On the wire it is not cast.
    """
    table = edges(np.float32, rows=2)
    with pytest.raises(BoundsError, match="row 0 holds inf; numbers must be finite"):
        replace(table, ci_high=np.array([1e300, 1e300]))
    record = to_record(table) | {"ci_high": column("<f8", [1e300, 1e300])}
    assert (
        refused(document(kind="EdgeTable", payload=pack(record)), EdgeTable).problem
        == "column of float64; float32 belongs here"
    )


# the entry of a column of 255 million bytes without a plane: 14 bytes
ZERO = struct.pack("<BBId", 0, 1, 255 << 20, 0.0)


@pytest.mark.parametrize(
    ("change", "why"),
    [
        (
            {"measured": ["|u1:planes", ZERO]},
            "Update.measured: column of uint8; uint32 belongs here",
        ),
        (
            {"edges.source": ["|u1:planes", ZERO]},
            "Update.edges.source: column of uint8; uint32 belongs here",
        ),
        (
            {"edges.effect": ["|u1:planes", ZERO]},
            "Update.edges.effect: column of uint8; float64 belongs here",
        ),
        (
            {"edges.confidence": ["|u1:planes", ZERO]},
            "Update.edges.confidence: column of uint8; float64 belongs here",
        ),
        (
            {"hyperedges.offsets": ["|u1:planes", ZERO]},
            "Update.hyperedges.offsets: column of uint8; uint32 belongs here",
        ),
        (
            {"hyperedges.stability": ["|u1:planes", ZERO]},
            "Update.hyperedges.stability: column of uint8; float64 belongs here",
        ),
    ],
)
def test_a_column_of_another_dtype_is_not_cast_before_it_is_refused(
    change: dict[str, Any], why: str
) -> None:
    """A few hundred bytes may declare a quarter of a gigabyte; a cast would make two of it."""
    update = Update(
        measured=np.arange(9, dtype=np.uint32), edges=edges(rows=2), hyperedges=hyperedges()
    )
    _, plain = lowered(Update, to_record(update))
    ((path, column),) = change.items()
    place = plain if "." not in path else plain[path.split(".")[0]]
    place[path.split(".")[-1]] = column
    record = pack(plain)
    data = pack([1, "Update", "zstd", len(record) + (255 << 20), pack([len(record), record, b""])])
    tracemalloc.start()
    try:
        with pytest.raises(PacketError) as caught:
            PayloadCodec().decode(data, Update)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert str(caught.value).startswith(why)
    assert peak < 1 << 20


HYPER_RECORD = to_record(hyperedges())
BAD_HYPEREDGES: dict[str, dict[str, Any]] = {
    "one source": {"offsets": column("<u4", [0, 1, 4, 7])},
    "offsets that fall": {"offsets": column("<u4", [0, 5, 2, 7])},
    "offsets beyond": {"offsets": column("<u4", [0, 3, 5, 4_000_000_000])},
    "offsets not from 0": {"offsets": column("<u4", [1, 3, 5, 7])},
    "no offsets": {"offsets": column("<u4", [])},
    "too few offsets": {"offsets": column("<u4", [0, 3, 7])},
    "unsorted sources": {"sources": column("<u4", [3, 2, 0, 0, 1, 0, 3])},
    "a source twice": {"sources": column("<u4", [0, 2, 2, 0, 1, 0, 3])},
    "a row twice": {"sources": column("<u4", [0, 2, 3, 0, 1, 0, 1])},
    "rows out of order": {"sources": column("<u4", [0, 2, 3, 0, 3, 0, 1])},
    "targets out of order": {"target": column("<u4", [3, 2, 2])},
    "an index beyond all": {"sources": column("<u4", [0, 2, 3, 0, 1, 0, 1 << 24])},
    "its own target at once": {"lag": column("<u2", [0, 1, 1]), "target": column("<u4", [0, 2, 2])},
}


@pytest.mark.parametrize("name", BAD_HYPEREDGES)
def test_bad_hyperedges_are_refused(name: str) -> None:
    assert (
        PayloadCodec().decode(
            document(kind="HyperedgeTable", payload=pack(HYPER_RECORD)), HyperedgeTable
        )
        == hyperedges()
    )
    error = refused(
        document(kind="HyperedgeTable", payload=pack(HYPER_RECORD | BAD_HYPEREDGES[name])),
        HyperedgeTable,
    )
    assert "hyperedges" in error.subject
