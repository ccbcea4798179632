"""What a round refuses to adopt: a ledger that lost entries, a state or a model that is another."""

from dataclasses import replace
from datetime import timedelta

import pytest

from hyperfed.crypto.envelope import PacketType
from hyperfed.errors import LedgerError, RoundError
from hyperfed.protocol.documents import sign_object
from hyperfed.protocol.machine import Why
from hyperfed.protocol.object_keys import Keys
from hyperfed.protocol.receipt_objects import (
    Fate,
)
from hyperfed.testing.federation import SmallFederation
from tests.unit.coordinator.test_round_runner import fates


def test_a_ledger_that_lost_what_a_frozen_update_has_seen_reserves_nothing() -> None:
    """R-73. Round 1 ended void and its clients know; after round 2 is frozen the bucket forgets
    it.
    """
    fed = SmallFederation()
    fed.open(1)
    fed.open(2)
    assert fed.run(1, now=fed.registry.windows.deadline(2)).why is Why.VOID
    fed.submit_all(round_id=2)
    runner = fed.runner(2)
    assert runner.freeze(2, runner.validate(runner.collect(2))).counted == 3
    objects = fed.store._objects  # type: ignore[attr-defined]
    lost = [key for key in objects if key.startswith((Keys.ledger(1), "rounds/00000001/"))]
    cut = {key: objects.pop(key) for key in lost}
    before = fed.objects()
    for act in (lambda: fed.runner(2).reserve(2), lambda: fed.run(2)):
        with pytest.raises(
            LedgerError, match="a counted update of round 2 has seen entry 1"
        ) as caught:
            act()
        assert caught.value.rule == "R-73"
    assert fed.objects() == before
    objects.update(cut)
    assert fed.run(2).why is Why.COMMITTED


def _put(fed: SmallFederation, key: str, data: bytes) -> None:
    """What whoever runs the bucket can do."""
    fed.store._objects[key] = data  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    "lie", [{"freeze": b"f" * 32}, {"result": b"r" * 32}, {"base_state": b"b" * 32}], ids=str
)
def test_a_state_of_another_freeze_result_or_base_is_not_adopted(lie: dict[str, bytes]) -> None:
    fed = SmallFederation()
    fed.open(1)
    fed.submit_all()
    runner = fed.runner(1)
    runner.freeze(1, runner.validate(runner.collect(1)))
    fed.runner(1).release(1)
    twin = fed.twin()
    twin.run(1)
    honest = twin.reader().state(1)
    assert honest is not None
    forged = sign_object(
        Keys.state(1),
        PacketType.STATE,
        replace(honest.value, **lie),
        key_pair=fed.coordinator,
        time=fed.night(1),
    )
    _put(fed, Keys.state(1), forged.data)
    before = fed.objects()
    with pytest.raises(RoundError, match="of another freeze, result or base state") as caught:
        fed.run(1)
    assert (caught.value.rule, caught.value.subject) == ("R-67", Keys.state(1))
    assert fed.objects() == before
    _put(fed, Keys.state(1), twin.objects()[Keys.state(1)])
    assert fed.run(1).why is Why.COMMITTED, "the honest one is adopted"


@pytest.mark.parametrize("how", ["forged", "gone"])
@pytest.mark.parametrize("name", ["freeze", "result", "state"])
def test_no_receipt_tells_of_what_the_ledger_does_not_name(name: str, how: str) -> None:
    """R-61. The coordinator died between the commit and the receipts; meanwhile an object became
    another.
    """
    fed = SmallFederation()
    fed.play(1)
    objects, reader = fed.store._objects, fed.reader()  # type: ignore[attr-defined]
    for client in fed.clients:
        del objects[Keys.receipt(1, client)]
    freeze, result, state = reader.freeze(1), reader.result(1), reader.state(1)
    assert freeze is not None
    assert result is not None
    assert state is not None
    forgeries = {
        "freeze": (
            PacketType.FREEZE,
            replace(freeze.value, time=freeze.value.time + timedelta(seconds=1)),
        ),
        "result": (PacketType.RESULT, replace(result.value, statement="better")),
        "state": (PacketType.STATE, replace(state.value, clients=state.value.clients[:2])),
    }
    key, (type_, value) = f"rounds/00000001/{name}", forgeries[name]
    kept = objects.pop(key)
    if how == "forged":
        _put(
            fed,
            key,
            sign_object(key, type_, value, key_pair=fed.coordinator, time=fed.night(1)).data,
        )
    fed.open(2)
    before = fed.objects()
    for round_id in (1, 2):  # as its own coordinator, or as the next round's
        with pytest.raises(RoundError) as caught:
            fed.run(round_id)
        assert (caught.value.rule, caught.value.subject) == ("R-61", key)
    assert fed.objects() == before
    _put(fed, key, kept)
    assert fed.run(1).why is Why.COMMITTED
    assert set(fates(fed).values()) == {(Fate.COUNTED, "")}


@pytest.mark.parametrize("how", ["forged", "gone"])
@pytest.mark.parametrize("name", ["freeze", "result"])
def test_a_model_of_an_earlier_night_that_is_gone_or_another_ends_the_next(
    name: str, how: str
) -> None:
    """A client's accuracy is measured against the last models: without one, everybody's would be
    perfect.
    """
    fed = SmallFederation()
    fed.play(1)
    fed.open(2)
    fed.submit_all(round_id=2)
    runner = fed.runner(2)
    runner.freeze(2, runner.validate(runner.collect(2)))
    reader = fed.reader()
    freeze, result = reader.freeze(1), reader.result(1)
    assert freeze is not None
    assert result is not None
    key, type_, value = {
        "freeze": (
            freeze.key,
            PacketType.FREEZE,
            replace(freeze.value, time=freeze.value.time + timedelta(seconds=1)),
        ),
        "result": (result.key, PacketType.RESULT, replace(result.value, statement="better")),
    }[name]
    kept = fed.store._objects.pop(key)  # type: ignore[attr-defined]
    if how == "forged":
        _put(
            fed,
            key,
            sign_object(key, type_, value, key_pair=fed.coordinator, time=fed.night(1)).data,
        )
    fed.runner(2).release(2)
    before = fed.objects()
    with pytest.raises(RoundError, match="not the one that the ledger names") as caught:
        fed.runner(2).conclude(2)
    assert (caught.value.rule, caught.value.subject) == ("R-61", Keys.result(1))
    assert fed.objects() == before
    _put(fed, key, kept)
    assert fed.run(2).why is Why.COMMITTED
