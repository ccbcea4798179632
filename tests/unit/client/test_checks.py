"""What a client compares before it acts: its marks with the ledger (R-50, R-124)."""

from types import SimpleNamespace
from typing import Any, cast

import pytest

from hyperfed.client import ClientMemory
from hyperfed.client.checks import check_ledger
from hyperfed.client.memory import Marks
from hyperfed.errors import RoundError
from hyperfed.protocol.ledger import Chained
from hyperfed.registry.annulments import Annulment
from hyperfed.registry.registry import Registry
from hyperfed.testing.federation import SmallFederation

GONE = b"g" * 32


@pytest.fixture(scope="module")
def ledger() -> list[Chained]:
    fed = SmallFederation()
    fed.play(1)
    return fed.reader().ledger()


def annulling(*heads: tuple[int, bytes]) -> Registry:
    annulled = tuple(Annulment(sequence=sequence, digest=digest) for sequence, digest in heads)
    return cast(Registry, SimpleNamespace(annulled=annulled))


def marks(sequence: int, digest: bytes) -> Marks:
    return Marks(ledger_sequence=sequence, ledger_digest=digest.hex())


def test_a_ledger_that_goes_on_from_what_was_seen_is_followed(ledger: list[Chained]) -> None:
    one, two = (c.digest for c in ledger)
    for seen in (Marks(), marks(1, one), marks(2, two)):
        assert check_ledger(ledger, seen, annulling())


def test_another_or_a_shorter_ledger_is_a_rollback(ledger: list[Chained]) -> None:
    for seen in (marks(2, GONE), marks(3, GONE), marks(1, ledger[1].digest)):
        with pytest.raises(RoundError) as caught:
            check_ledger(ledger, seen, annulling((1, GONE)))
        assert caught.value.rule == "R-50"


def test_a_branch_that_the_roots_have_abandoned_is_left(ledger: list[Chained]) -> None:
    two = ledger[1].digest
    assert not check_ledger(ledger, marks(2, GONE), annulling((2, GONE)))
    assert not check_ledger(ledger, marks(3, GONE), annulling((3, GONE)))
    assert check_ledger(ledger, marks(2, two), annulling((2, two))), "annulled, and still there"


def test_a_memory_that_leaves_a_branch_keeps_its_sequence() -> None:
    memory = ClientMemory()
    given: dict[str, Any] = {"sequence": 5, "registry_version": 3, "receipt_round": 2}
    memory.raise_to(
        **given, ledger_sequence=4, ledger_digest="ab", broadcast_round=2, broadcast="cd"
    )
    memory.abandon_ledger()
    assert memory.marks == Marks(**given)
