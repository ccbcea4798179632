"""`PayloadCodec`: every packet and protocol object survives the way, and nothing but its one form
is read.
"""

import dataclasses
from typing import Any

import numpy as np
import pytest

from hyperfed.codec import PayloadCodec, pack, to_record
from hyperfed.hypergraph.global_model import GlobalModel
from hyperfed.packets import PathPack, Update
from hyperfed.protocol.entries import (
    LedgerEntry,
)
from hyperfed.protocol.objects import (
    Freeze,
    Plan,
    RoundState,
    Tombstone,
)
from hyperfed.protocol.receipt_objects import (
    Receipt,
    ReceiptPage,
)
from hyperfed.registry.registry import Registry
from hyperfed.tables.vocabulary import Vocabulary
from tests.unit.codec.documents import BATCHES, PACKETS


def same(a: Any, b: Any) -> bool:
    """Equality that goes through the one form: models hold arrays, which have no single truth
    value.
    """
    return type(a) is type(b) and pack(to_record(a)) == pack(to_record(b))


@pytest.mark.parametrize("compression", [None, "zstd"])
@pytest.mark.parametrize("name", PACKETS)
def test_a_packet_survives_the_way(name: str, compression: str | None) -> None:
    packet, codec = PACKETS[name], PayloadCodec(compression=compression)
    data = codec.encode(packet)
    back = codec.decode(data, type(packet))
    assert back == packet
    assert codec.encode(back) == data
    assert codec.kind_of(data) == type(packet).__name__


@pytest.mark.parametrize("name", BATCHES)
def test_a_batch_survives_the_way(name: str) -> None:
    kind, batch = BATCHES[name]
    data = PayloadCodec().encode(batch)
    assert PayloadCodec().decode(data, list[kind]) == batch
    assert PayloadCodec().encode(tuple(batch)) == data


def test_a_protocol_object_survives_the_way(objects: dict[str, Any]) -> None:
    kinds = {type(v) for v in objects.values()}
    assert kinds >= {
        Plan,
        Freeze,
        GlobalModel,
        Tombstone,
        RoundState,
        Receipt,
        ReceiptPage,
        LedgerEntry,
        Registry,
        Vocabulary,
    }
    for value in objects.values():
        for codec in (PayloadCodec(), PayloadCodec(compression="zstd")):
            data = codec.encode(value)
            back = codec.decode(data, type(value))
            assert same(back, value)
            assert codec.encode(back) == data


def test_ints_and_numpy_numbers_become_the_one_number_that_travels() -> None:
    """A packet made of ints or numpy scalars is the same packet, with the same bytes; -0.0 is
    0.0.
    """
    made = [
        PathPack(0, 1, 2, 1, 1, 0),
        PathPack(np.int64(0), np.uint8(1), np.int32(2), np.float64(1), np.float32(1), -0.0),
    ]  # type: ignore[arg-type]
    assert len({PayloadCodec().encode(p) for p in made}) == 1
    assert [type(v) for v in dataclasses.astuple(made[1])] == [int, int, int, float, float, float]


def test_columns_are_read_only_views_of_the_bytes_read() -> None:
    data = PayloadCodec().encode(PACKETS["Update f64"])
    effect = PayloadCodec().decode(data, Update).edges.effect  # type: ignore[union-attr]
    assert not effect.flags.writeable
    assert not effect.flags.owndata
    with pytest.raises(ValueError, match="read-only"):
        effect[0] = 1.0
