"""Replay: last night's update is dropped into tonight's folder, or counted again after a restart.
It belongs to one round and counts once.
"""

from collections.abc import Callable

import pytest

from hyperfed.testing.federation import SmallFederation
from tests.attack.conftest import VICTIM


@pytest.fixture
def second_night() -> SmallFederation:
    fed = SmallFederation()
    fed.play(1)
    fed.open(2, quorum=3)
    fed.submit_all(round_id=2, but=[VICTIM])
    return fed


def test_last_nights_update_in_tonights_folder_is_refused(
    second_night: SmallFederation, refuse: Callable[..., object]
) -> None:
    fed = second_night
    key = fed.put(
        fed.store.read(f"inbox/00000001/{VICTIM}/0", max_bytes=1 << 20), VICTIM, round_id=2
    )
    refuse(fed, key, "R-84", round_id=2)


def test_a_counted_update_is_not_counted_again_as_late(
    second_night: SmallFederation, refuse: Callable[..., object]
) -> None:
    """Copied to a free slot of its own old folder, where it would be a late update for tonight: its
    sequence was counted. Each call is a new
    process: what was counted is in the committed state, not in a memory.
    """
    fed = second_night
    key = fed.put(
        fed.store.read(f"inbox/00000001/{VICTIM}/0", max_bytes=1 << 20), VICTIM, round_id=1, slot=1
    )
    refuse(fed, key, "R-89", round_id=2)


def test_a_sequence_that_was_counted_is_not_used_again(
    second_night: SmallFederation, refuse: Callable[..., object]
) -> None:
    fed = second_night
    key = fed.put(fed.envelope(VICTIM, round_id=2, sequence=1), VICTIM, round_id=2)
    assert "not above 1" in refuse(fed, key, "R-89", round_id=2).reason  # type: ignore[attr-defined]


def test_an_update_for_a_round_to_come_is_refused(
    second_night: SmallFederation, refuse: Callable[..., object]
) -> None:
    fed = second_night
    key = fed.put(fed.envelope(VICTIM, round_id=2, round=3), VICTIM, round_id=2)
    refuse(fed, key, "R-84", round_id=2)


def test_the_honest_twin_submits_for_tonight(
    second_night: SmallFederation, commit: Callable[..., None]
) -> None:
    second_night.submit(VICTIM, round_id=2)
    commit(second_night, round_id=2)


def test_the_honest_twin_that_is_late_counts_once(commit: Callable[..., None]) -> None:
    """Not in its own round's freeze, then late for the next; not again in the one after."""
    fed = SmallFederation()
    fed.open(1)
    fed.submit_all(but=[VICTIM])
    commit(fed, counted=2)
    fed.submit(VICTIM)
    fed.open(2)
    fed.submit_all(round_id=2, but=[VICTIM])
    commit(fed, round_id=2)
    fates = {c: r.fate.value for c in fed.clients if (r := fed.receipt(c, 2)) is not None}
    assert fates[VICTIM] == "late"
    fed.open(3)
    fed.submit_all(round_id=3, but=[VICTIM])
    commit(fed, round_id=3, counted=2)
