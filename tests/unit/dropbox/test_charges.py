"""Which reserves are charges (R-119), and what of an abandoned branch carries over (R-124)."""

from dataclasses import replace
from decimal import Decimal

import pytest

from hyperfed.dropbox.charges import carried, charging, is_alien
from hyperfed.dropbox.reader import DropBoxReader
from hyperfed.errors import LedgerError
from hyperfed.packets import PolicyPack
from hyperfed.protocol.entries import Mechanism
from hyperfed.protocol.ledger import Chained, annulled_entry
from hyperfed.protocol.object_keys import Keys
from hyperfed.registry.annulments import Annulment
from hyperfed.registry.registry import Budget
from hyperfed.testing.federation import SmallFederation
from tests.attack.forged import forge_plan

pytestmark = pytest.mark.unit

PRIVATE = PolicyPack(
    strategy="mean", privacy="central", privacy_epsilon=Decimal(1), trust_min=0, max_lag=1
)
MORE = (Mechanism(kind="basic", epsilon=Decimal(9), delta=Decimal("0.00009")),)


@pytest.fixture(scope="module")
def fed() -> SmallFederation:
    """Round 1 is private and committed."""
    fed = SmallFederation(clients=4, policy=PRIVATE)
    fed.play(1)
    return fed


@pytest.fixture(scope="module")
def reader(fed: SmallFederation) -> DropBoxReader:
    return fed.reader()


def changed(chained: Chained, **changes: object) -> Chained:
    return replace(chained, entry=replace(chained.entry, **changes))  # type: ignore[arg-type]


def annulled(chained: Chained) -> Chained:
    return replace(chained, entry=annulled_entry(chained.entry), original=chained.entry)


def test_a_reserve_is_a_charge_where_its_plan_asks_for_it_or_it_was_committed(
    reader: DropBoxReader,
) -> None:
    reserve, commit = reader.ledger()
    alien = changed(reserve, mechanisms=MORE)
    unplanned, uncharged = changed(alien, round=7), changed(reserve, mechanisms=())
    other = changed(alien, freeze=b"x" * 32)
    for ledger, charged in (
        ([reserve], [reserve]),
        ([alien], []),
        ([alien, commit], [alien, commit]),
        ([alien, annulled(commit)], [alien, annulled(commit)]),
        ([other, commit], [commit]),
        ([unplanned], [unplanned]),
        ([uncharged], [uncharged]),
        ([annulled(reserve)], [annulled(reserve)]),
        ([annulled(alien)], []),
    ):
        assert charging(reader, ledger) == charged


def test_a_reserve_is_alien_where_no_plan_asks_for_it(fed: SmallFederation) -> None:
    twin = fed.twin()
    reserve = twin.reader().ledger()[0].entry
    twin.policy = PolicyPack()
    twin.open(2)
    twin.store.put_if_absent(Keys.plan(3), b"rubbish")
    twin.amend(budget=replace(twin.registry.budget, unit="record"))
    twin.policy = PRIVATE
    forge_plan(twin, 4)  # a policy that protects clients, under a budget that protects records
    forge_plan(twin, 5, registry_version=9)
    asked = {
        (round_id, bool(mechanisms)): is_alien(
            twin.reader(), replace(reserve, round=round_id, mechanisms=mechanisms)
        )
        for round_id in (1, 2, 3, 4, 5, 6)
        for mechanisms in (reserve.mechanisms, ())
    }
    assert [key for key, alien in asked.items() if alien] == [
        (1, False),
        (2, True),
        (4, True),
        (4, False),
    ]


def test_an_abandoned_branchs_reserve_carries_over_by_another_id(fed: SmallFederation) -> None:
    left, right = fed.twin(), fed.twin()
    right.play(2)
    branch, bytes_of = right.reader().ledger()[2:], right.objects("ledger/")
    left.amend(
        annulled=(
            Annulment(sequence=2, digest=left.reader().ledger()[1].digest),
            *(
                Annulment(sequence=n, digest=c.digest, entry=bytes_of[Keys.ledger(n)])
                for n, c in enumerate(branch, 3)
            ),
        )
    )
    (charge,) = carried(left.reader())
    reserve = branch[0]
    assert (charge.original, charge.digest) == (reserve.entry, reserve.digest)
    assert charge.entry.mechanisms == reserve.entry.mechanisms
    assert charge.entry.id == reserve.digest, "no void of the other branch refunds it"
    assert charging(left.reader(), []) == [charge]
    assert carried(left.reader(), version=1) == charging(left.reader(), [], version=1) == []


@pytest.mark.parametrize("wrong", ["number", "digest"])
def test_an_annulment_holds_the_entry_that_it_names(fed: SmallFederation, wrong: str) -> None:
    twin = fed.twin()
    reserve, data = twin.reader().ledger()[0], twin.objects()[Keys.ledger(1)]
    number, digest = (9, reserve.digest) if wrong == "number" else (1, b"\1" * 32)
    twin.amend(annulled=(Annulment(sequence=number, digest=digest, entry=data),))
    with pytest.raises(LedgerError, match="holds another entry than it names") as caught:
        carried(twin.reader())
    assert caught.value.rule == "R-124"


def test_a_reserve_that_any_version_since_its_plan_asks_for_is_charged(
    fed: SmallFederation,
) -> None:
    """The registry may have changed between a round's plan and its reserve."""
    twin = fed.twin()
    reserve = twin.reader().ledger()[0].entry
    twin.amend(budget=Budget(unit="record"))
    assert not is_alien(twin.reader(), reserve)
    assert is_alien(twin.reader(), replace(reserve, mechanisms=MORE))
