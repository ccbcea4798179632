"""Fifty nights are the same bytes as they were (`fifty_nights.py` says which, and how the file is
written anew).
"""

import secrets
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any

import pytest

from hyperfed import kernels
from hyperfed.protocol.receipt_objects import (
    Fate,
)
from hyperfed.protocol.receipts import receipts_of
from hyperfed.testing.federation import SmallFederation
from tests.property import fifty_nights


@contextmanager
def others_drawing() -> Iterator[None]:
    """Draw in another thread all the time, as a client of Prefect's does now and then."""
    over = threading.Event()

    def draw() -> None:
        while not over.wait(0.01):
            secrets.token_bytes(4)

    other = threading.Thread(target=draw)
    other.start()
    try:
        yield
    finally:
        over.set()
        other.join()


def compare(nights: dict[str, dict[str, str]]) -> None:
    assert len(nights) == 50
    differing = fifty_nights.differing(nights, fifty_nights.read())
    assert differing == [], (
        "not the bytes that they were; `python -m tests.property.fifty_nights --write` where "
        "that is meant"
    )


def test_fifty_nights_are_the_bytes_that_they_were_and_hold_what_nights_hold() -> None:
    """And an auditor who computes all of them again finds nothing."""
    fates: Counter[Fate] = Counter()
    rules: set[str] = set()
    ends: Counter[str] = Counter()

    def look(fed: SmallFederation, last: int) -> None:
        fifty_nights.audited(fed, last)
        reader = fed.reader()
        for end in (c for c in reader.ledger() if c.entry.kind.value != "reserve"):
            plan, frozen, result = (
                of(end.entry.round) for of in (reader.plan, reader.freeze, reader.result)
            )
            assert plan is not None
            assert result is not None
            tombstone = result.value if end.entry.kind.value == "void" else None
            told = receipts_of(
                plan.value,
                frozen.value if frozen else None,
                end,
                tombstone=tombstone,
                weighings={},
            )  # type: ignore[arg-type]
            fates.update(receipt.fate for receipt in told)
            rules.update(refused.rule for refused in (frozen.value.refused if frozen else ()))
            rules.update({tombstone.rule} if tombstone else ())  # type: ignore[union-attr]
            ends[end.entry.kind.value] += 1

    with others_drawing():
        compare(fifty_nights.play(look))
    assert fates.keys() == set(Fate), "counted, late, refused, excluded, not seen, void"
    assert rules == {
        "R-60",
        "R-62",
        "R-65",
        "R-80",
        "R-81",
        "R-82",
        "R-83",
        "R-84",
        "R-85",
        "R-87",
        "R-88",
        "R-91",
        "R-92",
        "R-93",
        "R-95",
    }
    assert (ends["commit"], ends["void"]) == (47, 3)


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_machine_code_makes_them_the_same_bytes(
    machine_code: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    used = []

    def watched(*given: Any) -> Any:
        used.append(given)
        return machine_code.agreement(*given)

    loops = SimpleNamespace(agreement=watched)
    monkeypatch.setattr(kernels._state, "loops", loops)
    compare(fifty_nights.play())
    assert used
