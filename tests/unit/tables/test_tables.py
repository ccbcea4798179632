"""Tables check themselves when made: wherever their columns come from, what exists is good."""

import dataclasses
from typing import Any

import numpy as np
import pytest

from hyperfed.codec import from_record, to_record
from hyperfed.config import MAX_SAMPLES, MAX_VARIABLES
from hyperfed.errors import BoundsError, PacketError
from hyperfed.tables.columns import as_column
from hyperfed.tables.hyperedges import HyperedgeTable
from hyperfed.tables.tables import MAX_LAG, DeltaTable, EdgeTable, pack_keys, unpack_keys

NAN, HUGE = float("nan"), 10**400
EDGES: dict[str, Any] = {
    "source": np.array([0, 1], np.uint32),
    "target": np.array([1, 2], np.uint32),
    "lag": np.array([1, 1], np.uint16),
    "effect": np.array([0.5, -0.5]),
    "confidence": np.array([0.5, 1.0]),
    "stability": np.array([0.0, 1.0]),
    "hits": np.array([1, 2], np.uint32),
    "n": np.array([1, 2], np.uint64),
}


@pytest.mark.parametrize(
    "columns",
    [
        {"source": [-1, 0]},
        {"source": [0, 1 << 33]},
        {"source": [0.0, 1.0]},
        {"source": ["a", "b"]},
        {"source": [[0], [1]]},
        {"source": [None, 1]},
        {"source": [True, False]},
        {"source": 0},
        {"source": [[0], [1, 2]]},
        {"lag": [0, 1 << 16]},
        {"effect": [1j, 0]},
        {"effect": [0.5]},
        {"effect": [NAN, 0]},
        {"hits": [-1, 0]},
        {"n": np.array([0, MAX_SAMPLES + 1], np.uint64)},
        {"source": [1, 0]},
        {"source": [0, 0], "target": [1, 1]},
        {"source": [1, 1], "target": [1, 2], "lag": [0, 0]},
        {"ci_low": [0.0, -1.0]},
        {"ci_low": [0.6, -1.0], "ci_high": [1.0, 1.0]},
        {"ci_low": [0.0, -1.0], "ci_high": [0.4, 1.0]},
    ],
)
def test_a_bad_column_is_refused(columns: dict[str, Any]) -> None:
    EdgeTable(**(EDGES | {"n": np.array([0, MAX_SAMPLES], np.uint64)}))
    with pytest.raises(BoundsError) as caught:
        EdgeTable(**(EDGES | columns))
    assert "edges" in caught.value.subject


def test_columns_are_read_only_and_of_their_type() -> None:
    table = EdgeTable(**(EDGES | {"source": [0, 1], "effect": [1, 2]}))
    for field in dataclasses.fields(table):
        column = getattr(table, field.name)
        assert column is None or not column.flags.writeable
    assert [table.source.dtype, table.effect.dtype, table.n.dtype] == [
        np.uint32,
        np.float64,
        np.uint64,
    ]
    with pytest.raises(dataclasses.FrozenInstanceError):
        table.source = np.zeros(2)  # type: ignore[misc]


def test_build_sorts_broadcasts_and_has_one_zero() -> None:
    table = EdgeTable.build(
        source=[1, 0], target=[2, 1], lag=1, effect=[-0.0, 1.0], confidence=1, stability=1
    )
    assert table.source.tolist() == [0, 1]
    assert not np.signbit(table.effect).any()
    with pytest.raises(BoundsError, match="twice"):
        EdgeTable.build(source=[1, 1], target=[2, 2], lag=1, effect=1, confidence=1, stability=1)


def test_keys_pack_and_unpack_at_their_edges() -> None:
    source, target, lag = (
        np.array([0, MAX_VARIABLES - 1], np.uint32),
        np.array([1, MAX_VARIABLES - 1], np.uint32),
        np.array([0, MAX_LAG], np.uint16),
    )
    keys = pack_keys(source, target, lag)
    assert keys.tolist() == [1 << 16, (1 << 64) - 1]
    for back, given in zip(unpack_keys(keys), (source, target, lag), strict=True):
        assert (back == given).all()


def test_a_delta_table_is_checked_too() -> None:
    columns = {
        "source": [0],
        "target": [1],
        "lag": [0],
        "weight_delta": [0.5],
        "ci_low_delta": [0.0],
        "ci_high_delta": [0.0],
        "hits_delta": [-1],
    }
    assert len(DeltaTable(**columns)) == 1
    for bad in (
        {"weight_delta": [NAN]},
        {"hits_delta": [2**31]},
        {"target": [0]},
        {"source": [1 << 24]},
        {"ci_low_delta": [0.0, 1.0]},
    ):
        with pytest.raises(BoundsError):
            DeltaTable(**(columns | bad))


TABLES: dict[type, dict[str, Any]] = {
    EdgeTable: EDGES,
    DeltaTable: {
        "source": [0],
        "target": [1],
        "lag": [0],
        "weight_delta": [0.5],
        "ci_low_delta": [0.0],
        "ci_high_delta": [0.0],
        "hits_delta": [1],
    },
    HyperedgeTable: {name: np.asarray(column) for name, column in EDGES.items() if name != "source"}
    | {"sources": [0, 3, 0, 1], "offsets": [0, 2, 4]},
}


@pytest.mark.parametrize(
    ("kind", "name"), [(kind, name) for kind, columns in TABLES.items() for name in columns]
)
def test_a_column_that_is_missing_is_named(kind: type, name: str) -> None:
    """Also where a client signed that it is null: what comes after a table's checks looks at every
    column.
    """
    whole = kind(**TABLES[kind])
    with pytest.raises(BoundsError, match=f"{name}: is missing"):
        kind(**(TABLES[kind] | {name: None}))
    with pytest.raises(PacketError, match=f"{name}: is missing"):
        from_record(kind, to_record(whole) | {name: None})


def test_as_column_keeps_what_fits_and_refuses_what_does_not() -> None:
    assert as_column([1, 2], np.uint16, "x").dtype == np.uint16
    assert as_column([], np.uint32, "x").dtype == np.uint32
    for bad in ([1 << 16], [-1], [0.5], "ab", [[1]], [object()], 5, [HUGE]):
        with pytest.raises(BoundsError):
            as_column(bad, np.uint16, "x")
