"""What a receipt says of each fate, with and without a weighing."""

from dataclasses import replace
from datetime import timedelta

import pytest

from hyperfed.errors import SchemaError
from hyperfed.protocol import merkle
from hyperfed.protocol.ledger import Chained
from hyperfed.protocol.objects import Freeze, Plan, Refused, Tombstone
from hyperfed.protocol.receipt_objects import Fate, Receipt, Weighing
from hyperfed.protocol.receipts import receipt_holds, receipts_of
from hyperfed.testing.federation import SmallFederation

WEIGHED = Weighing(weight=0.5, agreement=0.25, trust=0.75)


@pytest.fixture(scope="module")
def round_2() -> tuple[Plan, Freeze, Chained]:
    """A round that counts site-01, counts site-02 late, refuses site-03, and has not seen site-04
    and site-05.
    """
    fed = SmallFederation(clients=5)
    fed.open(1, quorum=2)
    fed.submit_all(but=["site-02", "site-03"])
    fed.run(1)
    fed.open(2, quorum=2)
    fed.submit("site-02", round_id=1, now=fed.night(1) + timedelta(hours=1))
    fed.submit("site-01", round_id=2)
    fed.put(fed.envelope("site-03", round_id=2, policy=bytes(32)), "site-03", round_id=2)
    fed.run(2)
    frozen = fed.reader().freeze(2)
    assert frozen is not None
    return fed.plan(2), frozen.value, fed.reader().ledger()[-1]


def told(
    round_2: tuple[Plan, Freeze, Chained],
    *,
    tombstone: Tombstone | None = None,
    weighings: dict[str, Weighing] | None = None,
) -> dict[str, tuple[Fate, str, str]]:
    receipts = receipts_of(*round_2, tombstone=tombstone, weighings=weighings or {})
    return {r.client: (r.fate, r.rule, r.reason) for r in receipts}


def test_without_a_weighing_each_fate_is_said(round_2: tuple[Plan, Freeze, Chained]) -> None:
    said = told(round_2)
    assert said["site-01"] == (Fate.COUNTED, "", "counted")
    late = "made for round 1, counted 1 round late with weight 0.9"
    assert said["site-02"] == (Fate.LATE, "", late)
    assert said["site-03"][:2] == (Fate.REFUSED, "R-87")
    unseen = (Fate.NOT_SEEN, "", "no update for round 2 was there at the freeze")
    assert said["site-04"] == said["site-05"] == unseen


def test_a_weighing_is_told_to_whom_it_is_about(round_2: tuple[Plan, Freeze, Chained]) -> None:
    said = told(round_2, weighings={"site-01": WEIGHED, "site-02": WEIGHED})
    words = "counted with weight 0.50; its agreement with the others is 0.25"
    assert said["site-01"] == (Fate.COUNTED, "", words)
    assert said["site-02"] == (Fate.LATE, "", f"made for round 1, counted 1 round late; {words}")
    assert said["site-04"] == told(round_2)["site-04"]
    weighings = dict.fromkeys(round_2[0].cohort, WEIGHED)
    receipts = receipts_of(*round_2, tombstone=None, weighings=weighings)
    assert [r.client for r in receipts if r.weighing] == ["site-01", "site-02"]


def test_a_void_round_says_so_to_all_but_the_refused(
    round_2: tuple[Plan, Freeze, Chained],
) -> None:
    plan, freeze, _ = round_2
    tombstone = Tombstone(
        federation=plan.federation, round=2, rule="R-65", reason="no budget", time=freeze.time
    )
    said = told(round_2, tombstone=tombstone)
    void = (Fate.VOID, "R-65", "the round is void: no budget")
    assert [said[f"site-0{i}"] for i in (1, 2, 4, 5)] == [void] * 4
    assert said["site-03"][:2] == (Fate.REFUSED, "R-87")


def test_who_is_excluded_is_told_why(round_2: tuple[Plan, Freeze, Chained]) -> None:
    plan, freeze, end = round_2
    excluding = replace(freeze, excluded=("site-04",))
    said = told((plan, excluding, end))
    assert said["site-04"][:2] == (Fate.EXCLUDED, "R-95")
    assert said["site-05"][0] is Fate.NOT_SEEN


def test_of_several_refusals_the_newest_rounds_is_told_and_none_to_a_stranger(
    round_2: tuple[Plan, Freeze, Chained],
) -> None:
    plan, freeze, end = round_2
    mine = freeze.refused[0]
    older = replace(mine, made_for=1, rule="R-89", reason="older")
    stranger = Refused(
        key="inbox/x", client="../x", made_for=0, sequence=-1, digest=b"", rule="R-82", reason="no"
    )
    for refused in ((older, mine, stranger), (mine, older, stranger)):
        said = told((plan, replace(freeze, refused=refused), end))
        assert said["site-03"][1] == "R-87"
        assert sorted(said) == list(plan.cohort)
    twice = (replace(mine, rule="R-89"), mine)  # of two of one round, the later in the freeze
    assert told((plan, replace(freeze, refused=twice), end))["site-03"][1] == "R-87"


# -- a receipt holds as it was given, and no other -------------------------------------------


def given(
    round_2: tuple[Plan, Freeze, Chained], *, void: bool = False
) -> tuple[Receipt, Receipt, Receipt, Receipt]:
    """Receipts that hold: of who is counted, late, refused and not seen; or the same of a void."""
    plan, freeze, end = round_2
    tombstone = Tombstone(
        federation=plan.federation, round=2, rule="R-65", reason="no budget", time=freeze.time
    )
    receipts = receipts_of(plan, freeze, end, tombstone=tombstone if void else None, weighings={})
    assert all(receipt_holds(r, voided=void) for r in receipts)
    counted, late, refused, unseen, _ = receipts
    return counted, late, refused, unseen


def test_no_other_fate_and_no_other_update_passes(round_2: tuple[Plan, Freeze, Chained]) -> None:
    counted, late, refused, unseen = given(round_2)
    lies = (
        replace(counted, fate=Fate.LATE),
        replace(counted, fate=Fate.REFUSED),
        replace(counted, fate=Fate.EXCLUDED),
        replace(counted, fate=Fate.NOT_SEEN),
        replace(counted, sequence=counted.sequence + 1),
        replace(counted, digest=bytes(32)),
        replace(counted, client="site-04"),
        replace(late, fate=Fate.COUNTED),
        replace(late, sequence=late.sequence + 1),
        replace(refused, fate=Fate.COUNTED),
        replace(refused, rule="R-88"),
        replace(refused, client="site-04"),
        replace(refused, fate=Fate.EXCLUDED),
        replace(unseen, fate=Fate.COUNTED),
        replace(unseen, fate=Fate.REFUSED),
        replace(counted, merkle_head=bytes(32)),
        replace(counted, index=late.index),
    )
    assert [lie for lie in lies if receipt_holds(lie, voided=False)] == []


def test_who_is_excluded_by_a_refusal_shows_that_refusal(
    round_2: tuple[Plan, Freeze, Chained],
) -> None:
    plan, freeze, end = round_2
    by_trust = replace(freeze, refused=(replace(freeze.refused[0], rule="R-95"),))
    end = replace(end, entry=replace(end.entry, merkle_head=merkle.head(by_trust.leaves)))
    counted, _, excluded, *_ = receipts_of(plan, by_trust, end, tombstone=None, weighings={})
    assert excluded.fate is Fate.EXCLUDED
    assert receipt_holds(excluded, voided=False)
    assert not receipt_holds(replace(excluded, client="site-04"), voided=False)
    assert not receipt_holds(replace(counted, fate=Fate.EXCLUDED), voided=False)


def test_a_void_is_told_of_a_round_that_was_void_and_of_no_other(
    round_2: tuple[Plan, Freeze, Chained],
) -> None:
    counted, late, refused, unseen = given(round_2)
    in_void = given(round_2, void=True)
    assert [r.fate for r in in_void] == [Fate.VOID, Fate.VOID, Fate.REFUSED, Fate.VOID]
    assert not any(receipt_holds(r, voided=True) for r in (counted, late, unseen))
    assert not any(receipt_holds(r, voided=False) for r in in_void if r.fate is Fate.VOID)
    assert receipt_holds(refused, voided=True), "a refusal stands, whatever became of the round"
    anothers = replace(in_void[0], client="site-04")
    assert not receipt_holds(anothers, voided=True)


def test_a_weighing_has_bounds() -> None:
    for agreement, weight, trust in ((-1, 0, 0), (1, 1, 1), (None, 0, 1)):
        Weighing(agreement=agreement, weight=weight, trust=trust)
    for agreement, weight, trust in (
        (-1.01, 0.5, 0.5),
        (1.01, 0.5, 0.5),
        (0.5, -0.01, 0.5),
        (0.5, 1.01, 0.5),
        (0.5, 0.5, -0.01),
        (None, 0.5, 1.01),
        (float("nan"), 0.5, 0.5),
    ):
        with pytest.raises(SchemaError, match="are shares"):
            Weighing(agreement=agreement, weight=weight, trust=trust)
