"""A registered client writes a perfectly signed update into another client's folder, to speak in
its place or to use its slots.
"""

from collections.abc import Callable

from hyperfed.testing.federation import SmallFederation
from tests.attack.conftest import VICTIM


def test_an_update_in_another_folder_is_refused(
    fed: SmallFederation, refuse: Callable[..., object]
) -> None:
    key = fed.put(fed.envelope("site-01"), VICTIM)
    assert "site-01 wrote into the folder of site-03" in refuse(fed, key, "R-82").reason  # type: ignore[attr-defined]


def test_a_copy_of_anothers_honest_update_is_refused(
    fed: SmallFederation, refuse: Callable[..., object]
) -> None:
    key = fed.put(fed.store.read("inbox/00000001/site-01/0", max_bytes=1 << 20), VICTIM)
    refuse(fed, key, "R-82")


def test_the_one_whose_update_was_copied_still_counts(
    fed: SmallFederation, commit: Callable[..., None]
) -> None:
    """A copy that sorts before the original must not use up its nonce."""
    copied = fed.envelope(VICTIM)
    fed.put(copied, "site-01", slot=3)
    fed.put(copied, VICTIM)
    commit(fed)


def test_the_honest_twin_finds_the_next_slot(
    fed: SmallFederation, commit: Callable[..., None]
) -> None:
    fed.put(fed.envelope("site-01"), VICTIM)
    assert fed.submit(VICTIM).key.endswith("/1")
    commit(fed)
