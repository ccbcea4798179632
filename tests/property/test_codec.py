"""One form, there and back: decode(encode(x)) == x, encode(decode(b)) == b for everything accepted,
and a changed byte only raises PacketError.
"""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as nps

from hyperfed.codec import PayloadCodec, pack, unpack
from hyperfed.config import MAX_VARIABLES
from hyperfed.errors import PacketError
from hyperfed.packets import CausalSemanticPack, Claims, EdgeDelta, PathPack, PolicyPack, Update
from hyperfed.tables.hyperedges import HyperedgeTable
from hyperfed.tables.tables import MAX_LAG, DeltaTable, EdgeTable
from hyperfed.tables.vocabulary import Variable, Vocabulary

# -- plain values ----------------------------------------------------------------------------------

finite = st.floats(allow_nan=False, allow_infinity=False).map(lambda v: v + 0.0)
texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=40)
scalars = (
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | finite
    | texts
    | st.binary(max_size=600)
)
plain = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=5) | st.dictionaries(texts, inner, max_size=5),
    max_leaves=12,
)


def bytes_of(value: Any) -> Any:
    if isinstance(value, memoryview):
        return bytes(value)
    if isinstance(value, list):
        return [bytes_of(v) for v in value]
    return {k: bytes_of(v) for k, v in value.items()} if isinstance(value, dict) else value


def typed(value: Any) -> Any:
    """With every type beside its value: True is not 1, 1 is not 1.0."""
    if isinstance(value, list):
        return [typed(v) for v in value]
    return (
        {k: typed(v) for k, v in value.items()} if isinstance(value, dict) else (type(value), value)
    )


@given(plain)
def test_a_plain_value_survives_the_way(value: Any) -> None:
    try:
        data = pack(value)
    except PacketError:
        return  # nested deeper than eight
    assert typed(bytes_of(unpack(data))) == typed(value)


@given(st.binary(max_size=60))
def test_whatever_is_read_is_what_would_be_written(data: bytes) -> None:
    try:
        value = unpack(data)
    except PacketError:
        return
    assert pack(value) == data


@given(plain, st.data())
def test_a_changed_value_is_refused_or_has_its_own_one_form(
    value: Any, data: st.DataObject
) -> None:
    try:
        packed = bytearray(pack(value))
    except PacketError:
        return
    at = data.draw(st.integers(0, len(packed) - 1))
    packed[at] = data.draw(st.integers(0, 255))
    try:
        back = unpack(bytes(packed))
    except PacketError:
        return
    assert pack(back) == packed


# -- packets ---------------------------------------------------------------------------------------

index, unit, lags = st.integers(0, MAX_VARIABLES - 1), st.floats(0, 1), st.integers(0, MAX_LAG)
pairs = st.tuples(index, index, lags).filter(lambda k: k[0] != k[1] or k[2] > 0)
paths = st.builds(lambda k, e, c, s: PathPack(*k, e, c, s), pairs, finite, unit, unit)
edge_deltas = st.builds(
    lambda k, w, ci, h: EdgeDelta(k[0], k[1], w, ci, h, lag=k[2]),
    pairs,
    finite,
    st.tuples(finite, finite),
    st.integers(-(2**31), 2**31 - 1),
)
looked_at = st.lists(lags, max_size=4, unique=True).map(lambda own: tuple(sorted(own)))
policies = st.builds(
    lambda *, lags, max_lag, **rest: PolicyPack(lags=lags, max_lag=max((max_lag, *lags)), **rest),
    lags=looked_at,
    g_min=st.floats(0, 1e300),
    stability_min=unit,
    n_proposals=st.integers(0, 2**32 - 1),
    max_lag=lags,
    strategy=st.sampled_from(("consensus", "union", "intersection", "weighted")),
    vote_min=unit,
    staleness_decay=st.floats(0.001, 1),
    n_cap=st.integers(0, 2**53 - 1),
    sealed=st.booleans(),
)
entries = st.none() | st.booleans() | st.integers(-(2**63), 2**63 - 1) | finite | texts
semantics = st.builds(
    CausalSemanticPack,
    st.lists(
        st.tuples(index, index, finite).filter(lambda e: e[0] != e[1]),
        max_size=6,
        unique_by=lambda e: e[:2],
    ),
    st.lists(index, max_size=6, unique=True),
    st.lists(st.dictionaries(texts, entries, max_size=4), max_size=3),
)
claims = st.builds(
    Claims, clip_norm=st.none() | st.floats(0, 1e300), loss=st.none() | st.floats(0, 1e300)
)


@st.composite
def edge_tables(draw: st.DrawFn, among: int = MAX_VARIABLES) -> EdgeTable:
    keys = sorted(
        draw(
            st.lists(
                st.tuples(st.integers(0, among - 1), st.integers(0, among - 1), lags).filter(
                    lambda k: k[0] != k[1] or k[2]
                ),
                max_size=8,
                unique=True,
            )
        )
    )
    dtype, rows = draw(st.sampled_from((np.float32, np.float64))), len(keys)
    floats = st.floats(-(2.0**100), 2.0**100, width=32)
    effect, reach = (
        draw(nps.arrays(dtype, rows, elements=floats)) + dtype(0),
        np.abs(draw(nps.arrays(dtype, rows, elements=st.floats(0, 2.0**100, width=32)))),
    )
    interval = draw(st.booleans())
    unit32 = st.floats(0, 1, width=32)
    return EdgeTable(
        source=np.array([k[0] for k in keys], np.uint32),
        target=np.array([k[1] for k in keys], np.uint32),
        lag=np.array([k[2] for k in keys], np.uint16),
        effect=effect,
        ci_low=effect - reach + dtype(0) if interval else None,
        ci_high=effect + reach + dtype(0) if interval else None,
        confidence=draw(nps.arrays(dtype, rows, elements=unit32)) + dtype(0),
        stability=draw(nps.arrays(dtype, rows, elements=unit32)) + dtype(0),
        hits=draw(nps.arrays(np.uint32, rows)),
        n=draw(nps.arrays(np.uint64, rows, elements=st.integers(0, 2**63))),
    )


@st.composite
def hyperedge_tables(draw: st.DrawFn, among: int) -> HyperedgeTable:
    sources = st.lists(st.integers(0, among - 1), min_size=2, max_size=4, unique=True).map(sorted)
    rows = draw(
        st.lists(
            st.tuples(sources, st.integers(0, among - 1), st.integers(1, MAX_LAG)),
            max_size=6,
            unique_by=lambda r: (tuple(r[0]), r[1], r[2]),
        )
    )
    return HyperedgeTable.build(
        sources=[r[0] for r in rows],
        target=[r[1] for r in rows],
        lag=[r[2] for r in rows],
        effect=0.5,
        confidence=0.5,
        stability=0.5,
    )


@st.composite
def delta_tables(draw: st.DrawFn, among: int) -> DeltaTable:
    table = draw(edge_tables(among))
    rows = len(table)
    columns = {
        name: draw(nps.arrays(np.float64, rows, elements=finite)) + 0.0
        for name in ("weight_delta", "ci_low_delta", "ci_high_delta")
    }
    return DeltaTable(
        source=table.source,
        target=table.target,
        lag=table.lag,
        hits_delta=draw(nps.arrays(np.int32, rows)),
        **columns,
    )


@st.composite
def updates(draw: st.DrawFn) -> Update:
    among = draw(st.integers(2, 12))
    changes = draw(st.booleans())
    dags = st.lists(
        st.tuples(st.integers(0, among - 1), st.integers(0, among - 1), finite).filter(
            lambda e: e[0] != e[1]
        ),
        max_size=3,
        unique_by=lambda e: e[:2],
    )
    update = Update(
        measured=np.arange(among, dtype=np.uint32),
        edges=None if changes else draw(edge_tables(among)),
        deltas=draw(delta_tables(among)) if changes else None,
        base=draw(st.binary(min_size=32, max_size=32)) if changes else None,
        hyperedges=draw(st.none() | hyperedge_tables(among)),
        semantic=draw(st.none() | st.builds(CausalSemanticPack, dags)),
        claims=draw(claims),
    )
    more = draw(st.none() | st.sets(lags, max_size=3))
    if more is None:
        return update
    tables = [t for t in (update.edges, update.deltas, update.hyperedges) if t is not None]
    used = {int(lag) for table in tables for lag in table.lag}
    return replace(update, lags=tuple(sorted(used | more)))


printable = st.text(st.characters(categories=["L", "N", "P"]), min_size=1, max_size=20)
vocabularies = st.builds(
    lambda names, domain, version: Vocabulary(tuple(Variable(n, domain) for n in names), version),
    st.lists(printable, max_size=6, unique=True),
    printable,
    st.integers(0, 2**53 - 1),
)
packets = st.one_of(
    paths,
    edge_deltas,
    policies,
    semantics,
    claims,
    edge_tables(),
    hyperedge_tables(9),
    delta_tables(9),
    updates(),
    vocabularies,
)


@given(packets)
def test_a_packet_survives_the_way_with_and_without_compression(packet: Any) -> None:
    for compression in (None, "zstd"):
        codec = PayloadCodec(compression=compression)
        data = codec.encode(packet)
        back = codec.decode(data, type(packet))
        assert back == packet
        assert codec.encode(back) == data


@given(st.lists(paths, max_size=5))
def test_a_batch_survives_the_way(batch: list[PathPack]) -> None:
    data = PayloadCodec().encode(batch)
    assert PayloadCodec().decode(data, list[PathPack]) == batch


@settings(max_examples=400)
@given(packets, st.data())
def test_a_mutation_is_refused_or_is_another_packet_in_its_one_form(
    packet: Any, data: st.DataObject
) -> None:
    """Never a foreign error, and never two forms of one packet."""
    codec, kind = PayloadCodec(), type(packet)
    encoded = bytearray(codec.encode(packet))
    for _ in range(data.draw(st.integers(1, 3))):
        at = data.draw(st.integers(0, len(encoded) - 1))
        match data.draw(st.sampled_from(("set", "insert", "delete", "cut"))):
            case "set":
                encoded[at] = data.draw(st.integers(0, 255))
            case "insert":
                encoded.insert(at, data.draw(st.integers(0, 255)))
            case "delete" if len(encoded) > 1:
                del encoded[at]
            case _ if len(encoded) > 1:
                del encoded[max(1, at) :]
    try:
        back = codec.decode(bytes(encoded), kind)
    except PacketError:
        return
    document = unpack(bytes(encoded))
    assert document[2] == "zstd" or codec.encode(back) == encoded


@given(packets, packets)
def test_different_packets_have_different_bytes(one: Any, other: Any) -> None:
    same = type(one) is type(other) and one == other
    assert (PayloadCodec().encode(one) == PayloadCodec().encode(other)) == same


@given(paths)
def test_only_its_own_kind_reads_it(packet: PathPack) -> None:
    for kind in (EdgeDelta, PolicyPack, Update, EdgeTable):
        with pytest.raises(PacketError):
            PayloadCodec().decode(PayloadCodec().encode(packet), kind)
