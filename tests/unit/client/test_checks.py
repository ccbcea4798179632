"""What a client compares before it acts: its marks with the ledger (R-50, R-124)."""

from types import SimpleNamespace
from typing import Any, cast

import pytest

from hyperfed.client import ClientMemory
from hyperfed.client.checks import check_ledger, check_plan, check_registered
from hyperfed.client.memory import Marks
from hyperfed.errors import RegistryError, RoundError
from hyperfed.protocol.ledger import Chained
from hyperfed.registry.annulments import Annulment
from hyperfed.registry.registry import Registry
from hyperfed.testing.federation import SmallFederation, key_of

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


def test_a_plan_names_a_commit_that_the_ledger_holds(ledger: list[Chained]) -> None:
    def naming(commit: bytes) -> Any:
        plan = SimpleNamespace(newest_commit=commit, newest_commit_round=1)
        return SimpleNamespace(value=plan, key="rounds/00000002/plan")

    check_plan(naming(b""), [])
    check_plan(naming(ledger[1].digest), ledger)
    for held in ([], ledger[:1], ledger):
        with pytest.raises(RoundError, match="which the ledger does not hold") as caught:
            check_plan(naming(GONE), held)
        assert caught.value.rule == "R-50"


def test_a_key_is_the_clients_own_and_of_the_round() -> None:
    fed = SmallFederation()
    old, new = fed.keys["site-01"], key_of("new")
    fed.rotate("site-01", new, from_round=3, overlap=0)
    for key_pair, round_id in ((old, 2), (new, 3)):
        check_registered(fed.registry, "site-01", key_pair, round_id=round_id)
    for key_pair, round_id in ((old, 3), (new, 2), (fed.keys["site-02"], 2)):
        with pytest.raises(RegistryError, match="is not registered for round") as caught:
            check_registered(fed.registry, "site-01", key_pair, round_id=round_id)
        assert caught.value.rule == "R-81"
