"""What a client that was restored from a backup is told, and charges, of local noise."""

from copy import deepcopy
from decimal import Decimal
from pathlib import Path

import pytest

from hyperfed.client import ClientMemory
from hyperfed.client.going_on import sequence_from_receipts
from hyperfed.errors import RefusedError, RoundError
from hyperfed.packets import PolicyPack
from hyperfed.protocol.receipt_objects import Receipt
from hyperfed.testing.federation import SmallFederation

LOCAL = PolicyPack(
    strategy="mean",
    privacy="local",
    privacy_epsilon=Decimal("0.5"),
    trust_min=0,
    max_lag=1,
    stability_min=0,
)


def test_a_restored_guard_is_charged_what_the_ledger_says() -> None:
    fed = SmallFederation(clients=3, policy=LOCAL)
    fed.play(1)
    backup = deepcopy(fed.memories["site-03"].marks)
    fed.play(2)
    fed.play(3)
    honest = fed.memories["site-03"].privacy_guard(fed.registry.budget).spent_epsilon
    restored = ClientMemory()
    restored.marks = backup
    guard = restored.privacy_guard(fed.registry.budget)
    first = fed.reader().ledger()[0].entry
    guard.charge(first.mechanisms, operation=f"{first.federation}/round/1")
    assert guard.spent_epsilon < honest
    fed.memories["site-03"] = restored
    fed.open(4)
    fed.submit("site-03", round_id=4)
    fed.submit("site-01", round_id=4)
    again = fed.memories["site-01"].privacy_guard(fed.registry.budget).spent_epsilon
    assert guard.spent_epsilon == again, "four nights, as the twin that was never restored"


def test_a_restored_client_draws_no_second_message_and_is_told_the_truth() -> None:
    fed = SmallFederation(clients=3, policy=LOCAL)
    fed.play(1)
    backup = deepcopy(fed.memories["site-03"].marks)
    fed.open(2)
    fed.submit("site-03", round_id=2)
    restored = ClientMemory()
    restored.marks = backup
    fed.memories["site-03"] = restored
    with pytest.raises(RefusedError, match="has its message already") as caught:
        fed.submit("site-03", round_id=2)
    assert "Nothing was sent or spent" in caught.value.remedy
    guard = restored.privacy_guard(fed.registry.budget)
    assert guard.accountant.mechanisms == (), "and so it is"


def test_one_receipt_is_read_a_night(tmp_path: Path) -> None:
    fed = SmallFederation(clients=3)
    fed.memories["site-01"] = ClientMemory(tmp_path / "memory.json")
    for round_id in (1, 2, 3):
        fed.play(round_id)
    asked: list[int] = []

    def receipt_of(round_id: int) -> Receipt | None:
        asked.append(round_id)
        return fed.receipt("site-01", round_id)

    memory = ClientMemory(tmp_path / "memory.json")
    assert memory.marks.receipt_round == 2
    records = fed.registry.keys_of("site-01")
    own = fed.keys["site-01"].public
    known = sequence_from_receipts(memory, [1, 2, 3], receipt_of, records=records, own=own)
    assert (known, asked) == ((3, 3), [3])


def test_a_receipt_that_cannot_be_read_stops_only_who_knows_nothing_else() -> None:
    fed = SmallFederation(clients=3)
    fed.play(1)

    def broken(round_id: int) -> Receipt | None:
        raise RoundError("does not prove what it says", subject="receipt")

    memory = fed.memories["site-01"]
    own = fed.keys["site-01"].public
    records = fed.registry.keys_of("site-01")
    assert sequence_from_receipts(memory, [1], broken, records=records, own=own) == (0, 0)
    with pytest.raises(RoundError):
        sequence_from_receipts(ClientMemory(), [1], broken, records=records, own=own)
