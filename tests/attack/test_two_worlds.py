"""A bucket that shows two members two consistent worlds, or one of them an old one (R-130). Heads
that they read to each other differ, and an old model says how many windows it is behind.
"""

from datetime import timedelta

import pytest

from hyperfed.cli.heads import age_of, head_compared
from hyperfed.errors import RoundError
from hyperfed.operations.audit import audit
from hyperfed.protocol.heads import head_of
from hyperfed.testing.federation import SmallFederation


def worlds() -> tuple[SmallFederation, SmallFederation]:
    """Two histories of one federation: in one of them round 2 lacks a client."""
    here = SmallFederation(clients=4)
    here.play(1)
    there = here.twin()
    here.play(2)
    there.play(2, but=["site-04"])
    return here, there


def test_heads_of_two_worlds_differ_and_the_audit_says_so() -> None:
    here, there = worlds()
    ledger, other = here.reader().ledger(), head_of(there.reader().ledger())
    assert audit(here.store, here.fingerprint).ok
    assert audit(there.store, there.fingerprint).ok, "each world by itself holds"
    with pytest.raises(RoundError, match="two histories"):
        head_compared(ledger, other, there.registry)
    report = audit(here.store, here.fingerprint, other=other)
    assert [(f.key, f.rule) for f in report.findings] == [("ledger/000000000004", "R-130")]


def test_the_honest_twin_sees_the_same_head_a_night_earlier_or_later() -> None:
    here, _ = worlds()
    before = head_of(here.reader().ledger())
    here.play(3)
    ledger = here.reader().ledger()
    told = head_compared(ledger, before, here.registry)
    assert told["compared"] == "the same history as far as entry 4"
    assert audit(here.store, here.fingerprint, other=before).ok
    behind = head_compared(ledger[:4], head_of(ledger), here.registry)
    assert "ends before entry 6" in behind["compared"]


@pytest.mark.parametrize(("days", "behind"), [(0, 0), (1, 1), (10, 10), (29, 29)])
def test_an_old_model_says_how_many_windows_it_is_behind(days: int, behind: int) -> None:
    fed = SmallFederation()
    fed.play(1)
    age = age_of(fed.registry, 1, fed.night(1) + timedelta(days=days))
    assert age["windows_behind"] == behind
    assert ("windows have ended since" in age["said"]) == (behind > 1)
