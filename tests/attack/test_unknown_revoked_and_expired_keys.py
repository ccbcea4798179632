"""Keys that do not speak any more, not yet, or never did; and a stolen key that dates its updates
back to before its revocation.
"""

from collections.abc import Callable
from dataclasses import replace

import pytest

from hyperfed.errors import RegistryError
from hyperfed.registry.registry import KeyRecord
from hyperfed.testing.federation import SmallFederation, key_of
from tests.attack.conftest import VICTIM


def with_validity(fed: SmallFederation, **validity: int) -> None:
    record = fed.registry.client(VICTIM)
    changed = replace(record, keys=(KeyRecord(keys=fed.keys[VICTIM].public, **validity),))
    fed.amend(clients=tuple(changed if c is record else c for c in fed.registry.clients))


def test_an_unknown_key(fed: SmallFederation, refuse: Callable[..., object]) -> None:
    refused = refuse(fed, fed.put(fed.envelope(VICTIM, key_pair=key_of("unknown")), VICTIM), "R-81")
    assert "hyperfed registry add" in refused.remedy  # type: ignore[attr-defined]


def test_a_client_revoked_after_the_round_was_opened(
    fed: SmallFederation, refuse: Callable[..., object]
) -> None:
    """Revocation works at the next freeze: the plan still invites the client, its update is there
    already.
    """
    key = fed.submit(VICTIM).key
    assert VICTIM in fed.plan(1).cohort
    fed.amend(clients=tuple(c for c in fed.registry.clients if c.client_id != VICTIM))
    refuse(fed, key, "R-81")


def test_a_revoked_key_cannot_date_back(
    commit: Callable[..., None], refuse: Callable[..., object]
) -> None:
    """Revoked from round 2 on, the thief signs for round 1, in which the key was good, and hopes to
    be counted late in round 2.
    """
    fed = SmallFederation()
    fed.open(1)
    fed.submit_all(but=[VICTIM])
    commit(fed, counted=2)
    fed.open(2, quorum=3)
    fed.submit_all(round_id=2, but=[VICTIM])
    fed.revoke(VICTIM, from_round=2)
    key = fed.put(fed.envelope(VICTIM, round_id=1), VICTIM, round_id=1)
    assert "not in round 2" in refuse(fed, key, "R-81", round_id=2).reason  # type: ignore[attr-defined]


def test_an_expired_key(fed: SmallFederation, refuse: Callable[..., object]) -> None:
    key = fed.submit(VICTIM).key
    with_validity(fed, valid_from=0, valid_until=0)
    refuse(fed, key, "R-81")


def test_a_key_that_is_not_valid_yet(fed: SmallFederation, refuse: Callable[..., object]) -> None:
    key = fed.submit(VICTIM).key
    with_validity(fed, valid_from=2)
    refuse(fed, key, "R-81")


def test_the_client_is_told_before_it_sends(fed: SmallFederation) -> None:
    with_validity(fed, valid_from=2)
    before = fed.objects()
    with pytest.raises(RegistryError) as caught:
        fed.submit(VICTIM)
    assert caught.value.rule == "R-81"
    assert fed.objects() == before


def test_a_coordinators_revoked_key_opens_no_round(fed: SmallFederation) -> None:
    new = key_of("new coordinator")
    fed.amend(
        coordinators=(
            KeyRecord(keys=fed.coordinator.public, valid_until=1),
            KeyRecord(keys=new.public, valid_from=2),
        )
    )
    before = fed.objects()
    with pytest.raises(Exception, match="R-81"):
        fed.open(2)
    assert fed.objects() == before
    fed.coordinator = new
    assert fed.open(2).signed.header.key_id == new.key_id


@pytest.mark.parametrize("which", ["old", "new"])
def test_the_honest_twin_rotates_its_key(commit: Callable[..., None], which: str) -> None:
    """In the round of overlap both keys speak; after it only the new one."""
    fed = SmallFederation()
    fed.play(1)
    old, new = fed.keys[VICTIM], key_of("rotated")
    fed.rotate(VICTIM, new, from_round=2)
    fed.open(2, quorum=3)
    fed.keys[VICTIM] = old if which == "old" else new
    fed.submit_all(round_id=2)
    commit(fed, round_id=2)
    fed.open(3, quorum=3)
    if which == "old":
        with pytest.raises(RegistryError):
            fed.submit(VICTIM, round_id=3)
        fed.keys[VICTIM] = new
    fed.submit_all(round_id=3)
    commit(fed, round_id=3)
