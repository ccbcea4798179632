"""Packets that break one rule and no other, by rule; and the round that judges them."""

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from typing import Any

import numpy as np

from hyperfed.codec import PayloadCodec, pack, unpack
from hyperfed.config import MAX_EFFECT, Limits
from hyperfed.crypto.envelope import Header, PacketType, assemble, open_envelope, sign_envelope
from hyperfed.packets import CausalSemanticPack, PathPack, Update
from hyperfed.protocol.object_keys import Keys
from hyperfed.registry.floors import Floors
from hyperfed.tables.hyperedges import HyperedgeTable
from hyperfed.tables.tables import DeltaTable, EdgeTable
from hyperfed.testing.federation import SmallFederation, key_of
from hyperfed.validator.admission import RoundContext

WHO = "site-01"
KEY = Keys.inbox(5, WHO, 0)
PAIRS = [(i, j) for i in range(3) for j in range(3) if i != j]
LIMITS = Limits(max_update_bytes=50_000)


def context(fed: SmallFederation, **changes: Any) -> RoundContext:
    return replace(
        RoundContext(
            registry=fed.registry,
            plan=fed.plan(5),
            now=fed.night(5),
            key_pair=fed.coordinator,
            limits=LIMITS,
        ),
        **changes,
    )


def edges(fed: SmallFederation, **columns: Any) -> Update:
    update = fed.update(WHO)
    assert update.edges is not None
    return replace(update, edges=replace(update.edges, **columns))


def deltas(base: bytes = b"b" * 32) -> Update:
    one = np.ones(1)
    table = DeltaTable(
        source=np.zeros(1, np.uint32),
        target=np.ones(1, np.uint32),
        lag=np.ones(1, np.uint16),
        weight_delta=one,
        ci_low_delta=one,
        ci_high_delta=one,
        hits_delta=np.ones(1, np.int32),
    )
    return Update(measured=np.arange(4, dtype=np.uint32), deltas=table, base=base)


def rebuilt(
    data: bytes,
    *,
    type_: str | None = None,
    body: bytes | None = None,
    signature: bytes | None = None,
) -> bytes:
    e = open_envelope(data)
    signatures = [(k, signature or s) for k, s in e.signatures]
    return assemble(
        type_ or e.type, bytes(e.header_bytes), signatures, e.body if body is None else body
    )


def send(fed: SmallFederation, **changes: Any) -> bytes:
    return fed.envelope(WHO, round_id=5, **changes)


# rule -> what breaks it: (federation) -> (bytes, key), or (bytes, key, changes of the context)
BREAKS: dict[str, list[Callable[[SmallFederation], tuple[Any, ...]]]] = {
    "R-80": [lambda f: (bytes(LIMITS.max_update_bytes + 1), KEY)],
    "R-81": [
        lambda f: (send(f, key_pair=key_of("stranger")), KEY),
        lambda f: (
            send(f),
            KEY,
            {
                "registry": f.registry.revoke(
                    WHO, from_round=5, previous=b"x" * 32, issued=f.registry.issued
                )
            },
        ),
        lambda f: (
            send(f, round=4),
            Keys.inbox(4, WHO, 0),
            {
                "registry": f.registry.revoke(
                    WHO, from_round=5, previous=b"x" * 32, issued=f.registry.issued
                )
            },
        ),
    ],
    "R-30": [
        lambda f: (send(f, type_=PacketType.MESSAGE), KEY),
        lambda f: (pack(unpack(send(f))[:4]), KEY),
        lambda f: (pack([*unpack(send(f))[:3], [], b""]), KEY),
    ],
    "R-31": [
        lambda f: (rebuilt(send(f, type_=PacketType.MESSAGE), type_=PacketType.UPDATE), KEY),
        lambda f: (rebuilt(send(f), signature=b"s" * 64), KEY),
    ],
    "R-33": [lambda f: (rebuilt(send(f), body=b"another body"), KEY)],
    "R-82": [
        lambda f: (send(f), Keys.inbox(5, "site-02", 0)),
        lambda f: (send(f, sender="site-02"), Keys.inbox(5, "site-02", 0)),
        lambda f: (send(f), KEY + "/x"),
    ],
    "R-125": [
        lambda f: (send(f), KEY, {"registry": replace(f.registry, floors=Floors(privacy="local"))})
    ],
    "R-83": [
        lambda f: (send(f, federation="other"), KEY),
        lambda f: (send(f, audience="clients"), KEY),
    ],
    "R-84": [
        lambda f: (send(f, round=4), KEY),
        lambda f: (send(f, round=2), Keys.inbox(2, WHO, 0)),
        lambda f: (send(f, round=6), Keys.inbox(6, WHO, 0)),
    ],
    "R-85": [
        lambda f: (send(f, created=f.night(5) + timedelta(seconds=601)), KEY),
        lambda f: (send(f, expires=f.night(5) - timedelta(seconds=600)), KEY),
        lambda f: (send(f, expires=f.opens(5)), KEY),
        # not expired yet, and never valid: it ends before it begins, or as it begins
        lambda f: (
            send(
                f,
                created=f.night(5) + timedelta(seconds=600),
                expires=f.night(5) + timedelta(seconds=599),
            ),
            KEY,
        ),
        lambda f: (send(f, created=f.night(5), expires=f.night(5)), KEY),
    ],
    "R-86": [
        lambda f: (send(f, vocabulary=b"v" * 32), KEY),
        lambda f: (send(f, vocabulary=b""), KEY),
    ],
    "R-87": [lambda f: (send(f, policy=b"p" * 32), KEY), lambda f: (send(f, policy=b""), KEY)],
    "R-88": [lambda f: (send(f, sealed=False), KEY)],
    "R-89": [
        lambda f: (send(f, nonce=b""), KEY),
        lambda f: (send(f, nonce=b"n" * 15), KEY),
        lambda f: (send(f, nonce=b"n" * 17), KEY),
        lambda f: (send(f, sequence=7), KEY, {"highest": {f.keys[WHO].key_id: 7}}),
    ],
    "R-11": [
        lambda f: (send(f, body=pack([1, "Update", "", 1, b"\x80"])), KEY),
        lambda f: (send(f, body=pack([1, "Update", "", 1, b"\xc0"])), KEY),
    ],
    "R-12": [lambda f: (send(f, body=PayloadCodec().encode(PathPack(0, 1, 0, 1, 1, 1))), KEY)],
    "R-10": [lambda f: (send(f)[:-1], KEY), lambda f: (b"", KEY)],
    "R-13": [lambda f: (send(f, body=pack([1, "Update", "zstd", 1, b"\x80"])), KEY)],
    "R-40": [
        lambda f: (send(f, encryption="rot13", sealed=False), KEY),
        lambda f: (send(f), KEY, {"key_pair": key_of("stranger")}),
    ],
    "R-41": [lambda f: (rebuilt_header(f), KEY)],
    "R-90": [
        lambda f: (send(f, update=Update(measured=np.arange(5), edges=EdgeTable.empty())), KEY),
        lambda f: (send(f, update=edges(f, lag=np.full(3, 4, np.uint16))), KEY),
        lambda f: (
            send(f, update=replace(f.update(WHO), semantic=CausalSemanticPack(confounders=[4]))),
            KEY,
        ),
    ],
    "R-91": [
        lambda f: (
            send(
                f,
                update=edges(
                    f, effect=np.array([0.5, 0.049, 0.5]), ci_low=np.zeros(3), ci_high=np.ones(3)
                ),
            ),
            KEY,
        ),
        lambda f: (send(f, update=edges(f, stability=np.array([0.8, 0.8, 0.09]))), KEY),
        lambda f: (send(f, update=many(f)), KEY),
        lambda f: (
            send(
                f,
                update=replace(
                    f.update(WHO),
                    semantic=CausalSemanticPack(dag_edges=[(i, j, 1.0) for i, j in PAIRS]),
                ),
            ),
            KEY,
        ),
        lambda f: (
            send(
                f,
                update=replace(
                    f.update(WHO), semantic=CausalSemanticPack(interventions=[{}] * 257)
                ),
            ),
            KEY,
        ),
        lambda f: (
            send(
                f,
                update=replace(
                    f.update(WHO),
                    semantic=CausalSemanticPack(
                        interventions=[{f"{i}": "x" * 2000 for i in range(33)}]
                    ),
                ),
            ),
            KEY,
        ),
    ],
    "R-99": [
        lambda f: (
            send(
                f,
                update=edges(
                    f, effect=np.array([0.5, 1.01 * MAX_EFFECT, 0.5]), ci_low=None, ci_high=None
                ),
            ),
            KEY,
        ),
        lambda f: (
            send(
                f,
                update=edges(
                    f, ci_low=np.array([-1.01 * MAX_EFFECT, 0.0, 0.0]), ci_high=np.ones(3)
                ),
            ),
            KEY,
        ),
        lambda f: (
            send(f, update=edges(f, ci_low=np.zeros(3), ci_high=np.array([1.0, 1.0, 1e300]))),
            KEY,
        ),
        lambda f: (send(f, update=replace(f.update(WHO), hyperedges=together(-1e31))), KEY),
    ],
    "R-97": [
        lambda f: (send(f, update=deltas()), KEY),
        lambda f: (send(f, update=deltas()), KEY, {"base_of": lambda client, digest: None}),
    ],
}


def many(fed: SmallFederation) -> Update:
    table = EdgeTable.build(
        source=[i for i, _ in PAIRS],
        target=[j for _, j in PAIRS],
        lag=1,
        effect=0.5,
        confidence=0.5,
        stability=0.5,
    )
    return Update(measured=np.arange(4), edges=table)


def together(effect: float) -> HyperedgeTable:
    return HyperedgeTable.build(
        sources=[[0, 1]], target=[2], lag=[1], effect=[effect], confidence=[0.8], stability=[0.8]
    )


def rebuilt_header(fed: SmallFederation) -> bytes:
    """A body sealed under one header and signed under another."""
    envelope = open_envelope(send(fed))
    header = Header.from_bytes(envelope.header_bytes)
    return sign_envelope(
        PacketType.UPDATE, replace(header, nonce=b"m" * 16), envelope.body, [fed.keys[WHO]]
    )


CASES = [(rule, i) for rule, makes in BREAKS.items() for i in range(len(makes))]
