"""Equivocation: one client signs two different updates with one sequence, to show different parties
different things. Both are refused and recorded.
"""

from collections.abc import Callable

import pytest

from hyperfed.errors import QuorumMissed
from hyperfed.testing.federation import SmallFederation
from tests.attack.conftest import VICTIM


def test_two_updates_with_one_sequence_are_both_refused(
    fed: SmallFederation, refuse: Callable[..., object]
) -> None:
    keys = [
        fed.put(
            fed.envelope(VICTIM, sequence=5, update=fed.update(VICTIM, effect=e)), VICTIM, slot=i
        )
        for i, e in enumerate((0.5, -0.5))
    ]
    for key in keys:
        refuse(fed, key, "R-92")
    judged = fed.judge(1)
    assert len({r.digest for r in judged.refused}) == 2, (
        "both digests are recorded: the proof of it"
    )
    assert {r.sequence for r in judged.refused} == {5}


def test_with_one_nonce_too(fed: SmallFederation) -> None:
    """The second repeats the first one's nonce, so that it looks like a replay: neither counts, and
    both digests are on record.
    """
    for slot, effect in enumerate((0.5, -0.5)):
        fed.put(
            fed.envelope(
                VICTIM, sequence=5, nonce=b"1" * 16, update=fed.update(VICTIM, effect=effect)
            ),
            VICTIM,
            slot=slot,
        )
    before = fed.decided()
    judged = fed.judge(1)
    assert VICTIM not in {a.client for a in judged.admitted}
    assert sorted(r.rule for r in judged.refused) == ["R-89", "R-92"]
    assert len({r.digest for r in judged.refused}) == 2
    with pytest.raises(QuorumMissed):
        fed.run(1)
    assert fed.decided() == before


def test_with_a_second_one_that_cannot_be_read(fed: SmallFederation) -> None:
    """The other version is sealed garbage: what it says does not matter, that it was signed
    does.
    """
    fed.put(fed.envelope(VICTIM, sequence=5), VICTIM)
    fed.put(fed.envelope(VICTIM, sequence=5, body=b"garbage"), VICTIM, slot=1)
    judged = fed.judge(1)
    assert VICTIM not in {a.client for a in judged.admitted}
    assert "R-92" in {r.rule for r in judged.refused}
    with pytest.raises(QuorumMissed):
        fed.run(1)


def test_one_sequence_for_two_rounds(
    commit: Callable[..., None], refuse: Callable[..., object]
) -> None:
    """Late for the last round and on time for this one, under one sequence."""
    fed = SmallFederation()
    fed.open(1)
    fed.submit_all(but=[VICTIM])
    commit(fed, counted=2)
    fed.open(2, quorum=3)
    fed.submit_all(round_id=2, but=[VICTIM])
    late = fed.put(fed.envelope(VICTIM, round_id=1, sequence=5), VICTIM, round_id=1)
    now = fed.put(fed.envelope(VICTIM, round_id=2, sequence=5), VICTIM, round_id=2)
    refuse(fed, late, "R-92", round_id=2)
    refuse(fed, now, "R-92", round_id=2)


def test_it_is_in_the_freeze_and_the_receipt(fed: SmallFederation) -> None:
    """Where the round goes on without the client, both digests lie in the freeze, under the
    ledger's Merkle head, and the client is told.
    """
    federation = SmallFederation()
    federation.open(1)
    federation.submit_all(but=[VICTIM])
    for slot, effect in enumerate((0.5, -0.5)):
        federation.put(
            federation.envelope(
                VICTIM, sequence=5, update=federation.update(VICTIM, effect=effect)
            ),
            VICTIM,
            slot=slot,
        )
    assert federation.run(1).counted == 2
    frozen = federation.reader().freeze(1)
    assert frozen is not None
    assert [r.rule for r in frozen.value.refused] == ["R-92", "R-92"]
    receipt = federation.receipt(VICTIM)
    assert receipt is not None
    assert (receipt.fate.value, receipt.rule) == ("refused", "R-92")


def test_the_honest_twin_corrects_itself_with_the_next_sequence(
    fed: SmallFederation, commit: Callable[..., None]
) -> None:
    for slot, sequence in enumerate((5, 6)):
        fed.put(
            fed.envelope(VICTIM, sequence=sequence, update=fed.update(VICTIM, effect=0.5 + slot)),
            VICTIM,
            slot=slot,
        )
    assert [r.rule for r in fed.judge(1).refused] == ["R-93"]
    commit(fed)


def test_a_correction_after_an_equivocation_counts(
    fed: SmallFederation, commit: Callable[..., None]
) -> None:
    for slot, effect in enumerate((0.5, -0.5)):
        fed.put(
            fed.envelope(VICTIM, sequence=5, update=fed.update(VICTIM, effect=effect)),
            VICTIM,
            slot=slot,
        )
    fed.put(fed.envelope(VICTIM, sequence=6), VICTIM, slot=2)
    commit(fed)
