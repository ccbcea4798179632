"""Truncated, extended, nested, oversized and exploding updates, signed by a registered client that
means harm. None takes the round with it.
"""

import dataclasses
import tracemalloc
from collections.abc import Callable

import numpy as np
import pytest
import zstandard

from hyperfed.codec import PayloadCodec, pack, to_record
from hyperfed.codec.versions import lowered
from hyperfed.config import Limits
from hyperfed.packets import CausalSemanticPack, Update
from hyperfed.testing.federation import SmallFederation
from hyperfed.validator.admission import Arrival, RoundContext
from hyperfed.validator.validator import PacketValidator
from tests.attack.conftest import VICTIM


def document(
    payload: bytes,
    *,
    compression: str = "",
    raw_size: int | None = None,
    kind: str = "Update",
    version: int = 1,
) -> bytes:
    return pack(
        [version, kind, compression, len(payload) if raw_size is None else raw_size, payload]
    )


@pytest.mark.parametrize("keep", [0, 1, 2, 50, 0.5, -65, -1])
def test_a_truncated_envelope(
    fed: SmallFederation, refuse: Callable[..., object], keep: float
) -> None:
    data = fed.envelope(VICTIM)
    cut = data[: int(len(data) * keep) if isinstance(keep, float) else keep]
    refuse(fed, fed.put(cut, VICTIM), "R-10")


@pytest.mark.parametrize("tail", [b"\0", b"\xc0", b"x" * 1000])
def test_trailing_bytes(fed: SmallFederation, refuse: Callable[..., object], tail: bytes) -> None:
    refuse(fed, fed.put(fed.envelope(VICTIM) + tail, VICTIM), "R-10")


def test_two_envelopes_in_one(fed: SmallFederation, refuse: Callable[..., object]) -> None:
    data = fed.envelope(VICTIM)
    refuse(fed, fed.put(data + data, VICTIM), "R-10")


def test_not_an_envelope(fed: SmallFederation, refuse: Callable[..., object]) -> None:
    refuse(fed, fed.put(b"<html>not found</html>", VICTIM), "R-10")


def test_a_million_nested_lists(fed: SmallFederation, refuse: Callable[..., object]) -> None:
    refuse(fed, fed.put(b"\x91" * (1 << 20), VICTIM), "R-10")


@pytest.mark.parametrize(
    ("body", "rule"),
    [
        (b"", "R-12"),
        (b"garbage", "R-12"),
        (document(b"\x91" * 9 + b"\x90"), "R-10"),
        (document(b"\xc0"), "R-11"),
        (document(b"\x80"), "R-11"),
        (document(b"\xc0", raw_size=2), "R-13"),
        (document(b"\xc0", kind="Plan"), "R-12"),
        (document(b"\xc0", version=99), "R-12"),
        (document(b"\xc0\xc0"), "R-10"),
        (document(b"\xc0", compression="gzip"), "R-13"),
        (document(b"\xc0", compression="zstd"), "R-13"),
    ],
)
def test_a_signed_and_sealed_body_that_is_no_update(
    fed: SmallFederation, refuse: Callable[..., object], body: bytes, rule: str
) -> None:
    refuse(fed, fed.put(fed.envelope(VICTIM, body=body), VICTIM), rule)


def test_an_oversized_object_is_not_read(refuse: Callable[..., object]) -> None:
    """Judged by the listing: the store's `read` is never asked for it."""
    fed = SmallFederation(limits=Limits(max_update_bytes=10_000))
    fed.open(1, quorum=3)
    fed.submit_all(but=[VICTIM])
    key = fed.put(bytes(10_001), VICTIM)
    asked: list[str] = []
    read = fed.store.read
    fed.store.read = lambda k, *, max_bytes: (asked.append(k), read(k, max_bytes=max_bytes))[1]  # type: ignore[method-assign]
    fed.judge(1)
    assert key not in asked
    assert "inbox/00000001/site-01/0" in asked
    refuse(fed, key, "R-80")


def test_an_object_that_grew_after_it_was_listed(refuse: Callable[..., object]) -> None:
    fed = SmallFederation(limits=Limits(max_update_bytes=10_000))
    fed.open(1)
    context = RoundContext(
        registry=fed.registry, plan=fed.plan(1), now=fed.night(1), limits=fed.limits
    )
    arrival = Arrival(key="inbox/00000001/site-01/0", size=10, data=bytes(10_001))
    assert [r.rule for r in PacketValidator(context=context).admit([arrival]).refused] == ["R-80"]


@pytest.mark.parametrize("declared", [1 << 28, (1 << 28) + 1, 1000])
def test_a_zip_bomb(refuse: Callable[..., object], declared: int) -> None:
    """8 KB that inflate to 256 MB, sealed: refused before a byte is inflated, in a megabyte of
    memory.
    """
    fed = SmallFederation(limits=Limits(max_raw_bytes=1 << 24))
    fed.open(1, quorum=3)
    fed.submit_all(but=[VICTIM])
    bomb = zstandard.ZstdCompressor(level=1).compress(bytes(1 << 28))
    key = fed.put(
        fed.envelope(
            VICTIM,
            body=document(pack([declared, bomb, b""]), compression="zstd", raw_size=declared),
        ),
        VICTIM,
    )
    tracemalloc.start()
    try:
        refuse(fed, key, "R-13")
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 4 << 20


def test_more_edges_than_the_policy_takes(refuse: Callable[..., object]) -> None:
    fed = SmallFederation()
    fed.open(1, quorum=3, n_proposals=2)
    for client in fed.clients[:2]:
        fed.submit(
            client,
            dataclasses.replace(
                fed.update(client), edges=fed.update(client).edges.take(np.array([0, 1]))
            ),
        )  # type: ignore[union-attr]
    refuse(fed, fed.put(fed.envelope(VICTIM), VICTIM), "R-91")


@pytest.mark.parametrize(
    "semantic",
    [
        CausalSemanticPack(interventions=[{"do": i} for i in range(257)]),
        CausalSemanticPack(interventions=[{f"{i}": "x" * 2000 for i in range(40)}]),
    ],
    ids=["many", "long"],
)
def test_interventions_that_would_fill_everyones_broadcast(
    fed: SmallFederation, refuse: Callable[..., object], semantic: CausalSemanticPack
) -> None:
    """They are published as they are: one client must not make the result too large to read."""
    refuse(
        fed,
        fed.put(
            fed.envelope(VICTIM, update=dataclasses.replace(fed.update(VICTIM), semantic=semantic)),
            VICTIM,
        ),
        "R-91",
    )


@pytest.mark.parametrize("effect", [float("nan"), float("inf"), -0.0])
def test_numbers_that_are_none(
    fed: SmallFederation, refuse: Callable[..., object], effect: float
) -> None:
    """A client whose software lacks our checks writes them into its columns."""
    _, record = lowered(Update, to_record(fed.update(VICTIM)))
    record["edges"]["effect"][1] = np.array([effect, 1, 1], dtype="<f8").tobytes()
    refused = refuse(
        fed,
        fed.put(fed.envelope(VICTIM, body=document(pack(record))), VICTIM),
        "R-10" if not np.isfinite(effect) else "R-11",
    )
    assert "effect" in refused.reason or "edges" in refused.reason  # type: ignore[attr-defined]


def test_the_honest_twin(fed: SmallFederation, commit: Callable[..., None]) -> None:
    body = PayloadCodec(compression="zstd").encode(fed.update(VICTIM))
    fed.put(fed.envelope(VICTIM, body=body), VICTIM)
    commit(fed)
