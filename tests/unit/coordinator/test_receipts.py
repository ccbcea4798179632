"""Receipts are written once, whole, and of what the ledger names (R-61, R-68)."""

from dataclasses import replace
from typing import Any

import pytest

from hyperfed.coordinator.receipts import Receipts
from hyperfed.crypto.envelope import PacketType
from hyperfed.errors import RoundError, TransientError
from hyperfed.protocol.documents import COORDINATOR, end_of, sign_object
from hyperfed.protocol.ledger import Chained
from hyperfed.protocol.object_keys import Keys
from hyperfed.protocol.objects import Plan
from hyperfed.protocol.receipts import tells_weighings, wanted_keys
from hyperfed.storage.memory import MemoryStore
from hyperfed.storage.store import ObjectStore
from hyperfed.testing.federation import SmallFederation

MINE = Keys.receipt(1, "site-01")


@pytest.fixture
def fed() -> SmallFederation:
    fed = SmallFederation()
    fed.play(1)
    return fed


def writer(fed: SmallFederation, store: ObjectStore | None = None) -> Receipts:
    return Receipts(
        store=store or fed.store,
        reader=fed.reader(),
        key_pair=fed.coordinator,
        limits=fed.limits,
    )


def ended(fed: SmallFederation) -> tuple[Plan, Chained]:
    end = end_of(fed.reader().ledger(), 1)
    assert end is not None
    return fed.plan(1), end


def take(fed: SmallFederation, key: str) -> bytes:
    return bytes(fed.store._objects.pop(key))  # type: ignore[attr-defined]


def test_they_are_there_once_the_whole_cohort_has_its_own(fed: SmallFederation) -> None:
    plan, end = ended(fed)
    assert writer(fed).are_there(plan)
    assert wanted_keys(plan) == {Keys.receipt(1, client) for client in fed.clients}
    mine = take(fed, MINE)
    assert not writer(fed).are_there(plan)
    writer(fed).put(plan, end)
    assert writer(fed).are_there(plan)
    assert fed.objects()[MINE] == mine, "whoever writes them, they are the same"


class Writes(MemoryStore):
    """Notes what is written, and answers nothing where it is down."""

    def __init__(self, fed: SmallFederation, *, down: bool = False) -> None:
        super().__init__()
        self._objects = fed.store._objects  # type: ignore[attr-defined]
        self.written: list[str] = []
        self.down = down

    def put_if_absent(self, key: str, data: bytes | memoryview) -> bool:
        if self.down:
            raise TransientError("no answer", subject=key)
        self.written.append(key)
        return super().put_if_absent(key, data)


def test_only_those_that_are_missing_are_written(fed: SmallFederation) -> None:
    take(fed, MINE)
    store = Writes(fed)
    writer(fed, store).put(*ended(fed))
    assert store.written == [MINE]


def test_a_store_that_is_down_is_no_success(fed: SmallFederation) -> None:
    take(fed, MINE)
    with pytest.raises(TransientError):
        writer(fed, Writes(fed, down=True)).put(*ended(fed))
    assert MINE not in fed.objects()


@pytest.mark.parametrize("kind", ["result", "freeze", "state"])
@pytest.mark.parametrize("there", [True, False])
def test_nothing_is_told_of_what_the_ledger_does_not_name(
    fed: SmallFederation, kind: str, there: bool
) -> None:
    """R-61: the bucket, or a thief of the coordinator's key, has put another in its place."""
    reader, given = fed.reader(), ended(fed)
    stored: Any = getattr(reader, kind)(1)
    type_ = {"result": PacketType.RESULT, "freeze": PacketType.FREEZE, "state": PacketType.STATE}
    lie: dict[str, Any] = {
        "result": {"statement": "trust me"},
        "freeze": {"claim_sequence": 7, "claim_digest": b"c" * 32},
        "state": {"result": b"r" * 32},
    }[kind]
    take(fed, stored.key)
    if there:
        other = sign_object(
            stored.key,
            type_[kind],
            replace(stored.value, **lie),
            key_pair=fed.coordinator,
            time=fed.night(1),
            audience="clients" if kind == "result" else COORDINATOR,
        )
        fed.store.put_if_absent(stored.key, other.data)
    take(fed, MINE)
    before = fed.objects()
    with pytest.raises(RoundError, match="not the one the ledger names") as caught:
        writer(fed).put(*given)
    assert (caught.value.rule, caught.value.subject) == ("R-61", stored.key)
    assert fed.objects() == before


@pytest.mark.parametrize(("formula", "told"), [(1, False), (2, False), (3, True), (4, True)])
def test_weighings_are_told_from_the_third_formula_on(
    fed: SmallFederation, formula: int, told: bool
) -> None:
    """Receipts of a round that was frozen before stay as they were, whoever audits them."""
    frozen = fed.reader().freeze(1)
    assert frozen is not None
    assert tells_weighings(replace(frozen.value, formula=formula)) is told
    assert not tells_weighings(None)
