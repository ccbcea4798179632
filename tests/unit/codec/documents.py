"""Packets of every kind, and documents made by hand."""

from typing import Any

import numpy as np
import pytest

from hyperfed.codec import PayloadCodec, pack, to_record
from hyperfed.config import Limits
from hyperfed.errors import PacketError
from hyperfed.packets import CausalSemanticPack, Claims, EdgeDelta, PathPack, PolicyPack, Update
from hyperfed.tables.hyperedges import HyperedgeTable
from hyperfed.tables.tables import DeltaTable, EdgeTable


def edges(dtype: Any = np.float64, *, interval: bool = True, rows: int = 5) -> EdgeTable:
    effect = (np.arange(rows) * 0.25 - 0.5).astype(dtype)
    return EdgeTable(
        source=np.arange(rows, dtype=np.uint32),
        target=np.arange(1, rows + 1, dtype=np.uint32),
        lag=np.arange(rows, dtype=np.uint16),
        effect=effect,
        ci_low=(effect - 1).astype(dtype) if interval else None,
        ci_high=(effect + 1).astype(dtype) if interval else None,
        confidence=np.full(rows, 0.5, dtype),
        stability=np.full(rows, 1.0, dtype),
        hits=np.full(rows, 3, np.uint32),
        n=np.full(rows, 2**40, np.uint64),
    )


def hyperedges() -> HyperedgeTable:
    return HyperedgeTable.build(
        sources=[[1, 0], [2, 3, 0], [0, 3]],
        target=[2, 1, 2],
        lag=[1, 2, 1],
        effect=[0.5, -0.25, 1.0],
        confidence=0.5,
        stability=0.75,
    )


def deltas() -> DeltaTable:
    zero = np.zeros(2)
    return DeltaTable(
        source=np.array([0, 1], np.uint32),
        target=np.array([1, 2], np.uint32),
        lag=np.array([1, 1], np.uint16),
        weight_delta=np.array([0.5, -0.5]),
        ci_low_delta=zero,
        ci_high_delta=zero,
        hits_delta=np.array([-1, 2], np.int32),
    )


SEMANTIC = CausalSemanticPack(
    dag_edges=[(1, 0, -0.5), (0, 1, 1)],
    confounders=[3, 1],
    interventions=[{"do": "heat", "to": 1.5, "n": 3, "ok": True, "x": None}],
)
MEASURED = np.arange(6, dtype=np.uint32)
PACKETS: dict[str, Any] = {
    "PathPack": PathPack(0, 1, 2, -1.5, 0.25, 1.0),
    "PathPack of ints": PathPack(0, 1, 2, -1, 0, 1),
    "EdgeDelta": EdgeDelta(0, 1, 0.5, (-0.25, 0.25), -3),
    "EdgeDelta with lag": EdgeDelta(4, 4, 0.5, (0, 0), 3, lag=7),
    "PolicyPack": PolicyPack(g_min=0.01, n_proposals=10, strategy="weighted", sealed=False),
    "CausalSemanticPack": SEMANTIC,
    "empty CausalSemanticPack": CausalSemanticPack(),
    "Claims": Claims(clip_norm=1.0, loss=None),
    "edges f64": edges(),
    "edges f32": edges(np.float32),
    "no edges": EdgeTable.empty(),
    "deltas": deltas(),
    "hyperedges": hyperedges(),
    "Update f64": Update(measured=MEASURED, edges=edges()),
    "Update f32": Update(measured=MEASURED, edges=edges(np.float32, interval=False)),
    "Update of everything": Update(
        measured=MEASURED,
        edges=edges(),
        hyperedges=hyperedges(),
        semantic=SEMANTIC,
        claims=Claims(loss=0.125),
    ),
    "Update of deltas": Update(measured=MEASURED, deltas=deltas(), base=b"\x07" * 32),
    "Update of nothing": Update(measured=np.zeros(0, np.uint32), edges=EdgeTable.empty()),
}
BATCHES: dict[str, tuple[Any, Any]] = {
    "PathPacks": (PathPack, [PathPack(i, i + 1, 0, 0.5, 0.5, 0.5) for i in range(20)]),
    "EdgeDeltas": (EdgeDelta, [EdgeDelta(i, i + 1, 0.5, (0, 0), 1) for i in range(3)]),
    "none": (PathPack, []),
}


def document(
    version: Any = 1,
    kind: Any = "PathPack",
    compression: Any = "",
    raw_size: Any = None,
    payload: Any = None,
) -> bytes:
    payload = pack(to_record(PACKETS["PathPack"])) if payload is None else payload
    return pack(
        [version, kind, compression, len(payload) if raw_size is None else raw_size, payload]
    )


def refused(data: bytes, kind: Any = PathPack, **limits: int) -> PacketError:
    with pytest.raises(PacketError) as caught:
        PayloadCodec(limits=Limits(**limits)).decode(data, kind)
    return caught.value


RAW = pack(to_record(PACKETS["PathPack"]))
